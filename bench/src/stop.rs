//! When a command ends: on SIGTERM, SIGINT, or its time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};

/// Tells whether to stop.
#[derive(Debug, Clone)]
pub struct Stop {
    signalled: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Stop {
    /// Stops on the first SIGTERM or SIGINT, or after `time` from now.
    ///
    /// # Errors
    /// The kernel refuses the signal handlers.
    pub fn after(time: Option<Duration>) -> io::Result<Self> {
        let signalled = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&signalled))?;
        }
        Ok(Self { signalled, deadline: time.and_then(|time| Instant::now().checked_add(time)) })
    }

    /// Whether it is time to stop.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.is_signalled() || self.is_overdue()
    }

    /// Whether the time is up, whatever signals say.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Whether a signal asked to stop. Reads no clock.
    #[must_use]
    pub fn is_signalled(&self) -> bool {
        self.signalled.load(Ordering::Relaxed)
    }
}

/// Reads a time on the command line: seconds, with a fraction allowed.
///
/// # Errors
/// The text is no number of seconds that a clock can hold.
pub fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    Duration::try_from_secs_f64(seconds).map_err(|cause| format!("{text:?}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_that_has_passed_is_due_without_a_signal() {
        let stop = Stop::after(Some(Duration::ZERO)).expect("handlers");
        assert_eq!((stop.is_due(), stop.is_signalled()), (true, false));
    }

    #[test]
    fn without_a_deadline_it_waits_for_a_signal() {
        assert!(!Stop::after(None).expect("handlers").is_due());
    }

    #[test]
    fn half_a_second_may_be_asked_for_and_a_negative_time_may_not() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(parse_seconds("-1").is_err());
    }
}
