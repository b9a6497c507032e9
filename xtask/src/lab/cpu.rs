//! CPU time of the whole machine.
//!
//! A gateway's work is done partly by its worker threads and partly by the kernel, in softirqs that no process is charged for.
//! Only the whole machine's accounting has all of it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// For how long the idle machine is watched.
const IDLE_PERIOD: Duration = Duration::from_secs(2);

/// A reading of the machine's busy time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    busy_ticks: u64,
    taken: Instant,
}

impl Reading {
    /// Reads `/proc/stat` now.
    pub(super) fn take() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
        let busy_ticks = busy_ticks(&text).context("/proc/stat has no line for all CPUs")?;
        Ok(Self { busy_ticks, taken: Instant::now() })
    }

    /// Busy time of all CPUs from this reading until now. Units: ns, in steps of a clock tick.
    fn busy_ns(&self) -> Result<u64> {
        let ticks = Self::take()?.busy_ticks.saturating_sub(self.busy_ticks);
        Ok(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
    }

    /// Busy time since this reading above what an idle machine takes in that time; negative when the machine did
    /// less of its other work meanwhile. Units: ns.
    #[expect(clippy::cast_precision_loss, reason = "spans of seconds, shown with three digits")]
    pub(super) fn busy_above_idle_ns(&self, idle_share: f64) -> Result<f64> {
        let busy = self.busy_ns()? as f64;
        Ok(busy - idle_share * self.taken.elapsed().as_nanos() as f64)
    }
}

/// Busy CPU time per wall time while the gateways run and no flow does.
pub(super) fn idle_share() -> Result<f64> {
    let before = Reading::take()?;
    thread::sleep(IDLE_PERIOD);
    Ok(before.busy_above_idle_ns(0.0)? / before.taken.elapsed().as_secs_f64() / 1e9)
}

/// Ticks spent in user, nice, system, irq and softirq, all CPUs together.
///
/// Not in it: idle and I/O wait, steal (another machine's time), and guest (already in user).
/// Source: <https://docs.kernel.org/6.12/filesystems/proc.html#miscellaneous-kernel-statistics-in-proc-stat>
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [user, nice, system, _idle, _io_wait, irq, softirq, ..] = fields[..] else { return None };
    Some(user + nice + system + irq + softirq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_io_wait_and_steal_are_not_busy() {
        //         user nice system idle iowait irq softirq steal guest guest_nice
        let stat = "cpu  10 20 30 4000 500 6 7 800 90 100\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(busy_ticks(stat), Some(10 + 20 + 30 + 6 + 7));
    }

    #[test]
    fn a_file_without_the_line_for_all_cpus_is_refused() {
        assert_eq!(busy_ticks("cpu0 1 2 3 4 5 6 7 8 9 10\n"), None);
    }
}
