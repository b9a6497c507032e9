//! When bursts are due: at equal intervals from a start, whatever happens.

use std::num::NonZeroU64;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::thread::{ClockId, clock_nanosleep_absolute, set_current_timer_slack};
use rustix::time::{Timespec, clock_gettime};

/// How far the kernel may put a wake-up off to join it with another one. Units: ns. The default is 50 microseconds.
const SLACK_NS: u64 = 1;

/// A schedule on the clock that does not stand still while the machine sleeps.
#[derive(Debug)]
pub(super) struct Timing {
    interval: Duration,
    /// When the next burst is due.
    due: Duration,
    late: u64,
}

impl Timing {
    /// A schedule that starts at a second of the uptime, or now; waits for it.
    pub(super) fn new(interval: Duration, start_at_s: Option<u64>) -> anyhow::Result<Self> {
        set_current_timer_slack(NonZeroU64::new(SLACK_NS)).context("setting the timer slack")?;
        let now = now();
        let due = start_at_s.map_or(now, Duration::from_secs);
        ensure!(due >= now, "ready {:.3} s after the time to begin", (now - due).as_secs_f64());
        Ok(Self { interval, due, late: 0 })
    }

    /// Waits until the next burst is due; one that is overdue is not waited for.
    pub(super) fn next_burst(&mut self) -> anyhow::Result<()> {
        let now = now();
        if now < self.due {
            sleep_until(self.due)?;
        } else if now > self.due + self.interval {
            self.late += 1;
        }
        self.due += self.interval;
        Ok(())
    }

    /// Waits for so long, from now or from when the next burst would be due, whichever is later; that is due then.
    pub(super) fn settle(&mut self, time: Duration) -> anyhow::Result<()> {
        self.due = self.due.max(now()) + time;
        sleep_until(self.due)
    }

    /// Bursts that were begun more than an interval too late.
    pub(super) fn late(&self) -> u64 {
        self.late
    }
}

/// Uptime.
fn now() -> Duration {
    Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default()
}

fn sleep_until(time: Duration) -> anyhow::Result<()> {
    let time = Timespec::try_from(time).context("a time beyond the clock's end")?;
    loop {
        match clock_nanosleep_absolute(ClockId::Boottime, &time) {
            Err(rustix::io::Errno::INTR) => {}
            slept => return slept.context("sleeping"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bursts_are_due_at_equal_intervals_from_the_start() {
        let interval = Duration::from_millis(2);
        let start = now();
        let mut timing = Timing::new(interval, None).expect("a clock");
        for burst in 0..5 {
            timing.next_burst().expect("a clock");
            assert!(now() - start >= interval * burst, "burst {burst}");
        }
        timing.settle(Duration::from_millis(3)).expect("a clock");
        assert!(now() - start >= interval * 5 + Duration::from_millis(3));
    }

    #[test]
    fn who_is_late_is_told_and_goes_on_without_waiting() {
        let mut timing = Timing::new(Duration::from_micros(1), None).expect("a clock");
        sleep_until(now() + Duration::from_millis(5)).expect("a clock");
        for _ in 0..3 {
            timing.next_burst().expect("a clock");
        }
        assert_eq!(timing.late(), 3);
    }

    #[test]
    fn a_start_that_has_passed_is_refused() {
        assert!(Timing::new(Duration::from_micros(1), Some(0)).is_err());
    }
}
