//! The time that nobody wants, counted by a thread that takes it.
//!
//! A kernel tells its idle time in steps of ten milliseconds, newer ones at least, and says nothing of where a spell ends that an interrupt
//! breaks. So a thread that runs only when no other wants to reads the clock for ever: from one reading to the next is its own time when it
//! is short; when it is longer, an interrupt or another thread was in between, and all of that is work. On one CPU the sum of the short ones
//! is the time in which there was nothing to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};

use crate::sys::policy;

/// Longest time between two readings that nothing came between: several times of what a reading takes, and less than any interrupt.
const UNDISTURBED: Duration = Duration::from_nanos(400);

/// The counting thread.
pub(super) struct Idler {
    idle_ns: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// A reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    idle_ns: u64,
    taken: Instant,
}

impl Idler {
    /// Begins to count.
    pub(super) fn start() -> anyhow::Result<Self> {
        let (idle_ns, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&idle_ns), Arc::clone(&over));
        let idle = move || {
            policy::run_when_idle().context("taking the policy of idle threads")?;
            count_until(&end, &count);
            anyhow::Ok(())
        };
        let thread =
            std::thread::Builder::new().name("idle".to_owned()).spawn(idle).context("starting a thread")?;
        Ok(Self { idle_ns, over, thread })
    }

    /// The count now.
    pub(super) fn reading(&self) -> Reading {
        Reading { idle_ns: self.idle_ns.load(Relaxed), taken: Instant::now() }
    }

    /// Ends counting.
    pub(super) fn stop(self) -> anyhow::Result<()> {
        self.over.store(true, Relaxed);
        self.thread.join().map_err(|_| anyhow!("the counting thread panicked"))?
    }
}

impl Reading {
    /// Time from this reading to a later one in which one CPU had something to do. Units: ns.
    #[expect(clippy::cast_precision_loss, reason = "spans of seconds")]
    pub(super) fn busy_ns(&self, later: &Self) -> f64 {
        (later.taken - self.taken).as_nanos() as f64 - (later.idle_ns - self.idle_ns) as f64
    }
}

/// Counts undisturbed time until told to stop.
fn count_until(over: &AtomicBool, idle_ns: &AtomicU64) {
    let (mut sum, mut last) = (0_u64, Instant::now());
    while !over.load(Relaxed) {
        let now = Instant::now();
        let since = now - last;
        last = now;
        if since < UNDISTURBED {
            sum += u64::from(since.subsec_nanos());
            idle_ns.store(sum, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the policy of this thread: a machine that is busy throughout leaves nothing to one that waits for idle time.
    #[test]
    fn undisturbed_time_is_counted_and_it_is_not_more_than_passes() {
        let (over, idle_ns) = (AtomicBool::new(false), AtomicU64::new(0));
        let start = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| count_until(&over, &idle_ns));
            while idle_ns.load(Relaxed) == 0 {
                assert!(start.elapsed() < Duration::from_secs(60), "nothing is counted");
                std::thread::yield_now();
            }
            over.store(true, Relaxed);
        });
        assert!(u128::from(idle_ns.load(Relaxed)) <= start.elapsed().as_nanos());
    }

    #[test]
    fn what_was_not_idle_between_two_readings_is_busy() {
        let taken = Instant::now();
        let before = Reading { idle_ns: 500, taken };
        let after = Reading { idle_ns: 1200, taken: taken + Duration::from_nanos(1000) };
        assert!((before.busy_ns(&after) - 300.0).abs() < 1e-9);
    }
}
