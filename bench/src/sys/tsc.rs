//! The processor's time-stamp counter, and its frequency as measured against the monotonic clock.

use std::time::{Duration, Instant};

/// How long [`TscClock::calibrate`] measures.
const CALIBRATION: Duration = Duration::from_millis(50);

/// Reads the counter. `Units:` ticks of a constant rate, which is not the core's present clock rate.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub fn ticks() -> u64 {
    // SAFETY: RDTSC has no operands, touches no memory and exists on every x86-64 processor; Linux
    // leaves it enabled for user space (a process disables it only by its own prctl(PR_SET_TSC)).
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Reads the clock. `Units:` nanoseconds, where there is no time-stamp counter to read.
#[cfg(not(target_arch = "x86_64"))]
#[must_use]
pub fn ticks() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    u64::try_from(START.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The counter's measured rate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TscClock {
    ticks_per_s: f64,
}

impl TscClock {
    /// Measures the rate over 50 ms of busy waiting.
    #[must_use]
    pub fn calibrate() -> Self {
        let start = Instant::now();
        let first = ticks();
        while start.elapsed() < CALIBRATION {
            std::hint::spin_loop();
        }
        let last = ticks();
        Self { ticks_per_s: (last - first) as f64 / start.elapsed().as_secs_f64() }
    }

    /// Ticks in a second.
    #[must_use]
    pub fn ticks_per_s(self) -> f64 {
        self.ticks_per_s
    }

    /// A number of ticks as nanoseconds.
    #[must_use]
    pub fn ticks_to_ns(self, ticks: f64) -> f64 {
        ticks * 1e9 / self.ticks_per_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_agrees_with_the_clock_over_a_sleep() {
        let clock = TscClock::calibrate();
        let (start, first) = (Instant::now(), ticks());
        std::thread::sleep(Duration::from_millis(100));
        let (wall_ns, last) = (start.elapsed().as_nanos() as f64, ticks());
        let counted_ns = clock.ticks_to_ns((last - first) as f64);
        assert!(
            (counted_ns / wall_ns - 1.0).abs() < 0.2,
            "{counted_ns} ns counted, {wall_ns} ns on the clock"
        );
    }
}
