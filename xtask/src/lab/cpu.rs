//! CPU time of the whole machine.
//!
//! A gateway's work is done partly by its worker threads and partly by the kernel, in softirqs that no process is charged for.
//! Only the whole machine's accounting has all of it: what was not idle. The kernel measures the idle time of each CPU in
//! nanoseconds and shows it so in `/proc/timer_list`; `/proc/stat` has the same in clock ticks, too coarse for one flow.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// For how long the idle machine is watched.
const IDLE_PERIOD: Duration = Duration::from_secs(2);

/// Idle time of all CPUs together since the machine was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Idle {
    cpus: u32,
    ns: u64,
}

/// A reading of the machine's idle time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    idle: Idle,
    taken: Instant,
}

impl Reading {
    /// Reads the idle time now.
    pub(super) fn take() -> Result<Self> {
        let list = fs::read_to_string("/proc/timer_list").ok();
        let idle = match list.as_deref().and_then(idle_of_timer_list) {
            Some(idle) => idle,
            None => {
                let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
                idle_of_stat(&stat).context("/proc/stat does not tell the idle time")?
            }
        };
        Ok(Self { idle, taken: Instant::now() })
    }

    /// Busy time since this reading above what an idle machine takes in that time; negative when the machine did
    /// less of its other work meanwhile. Units: ns.
    #[expect(clippy::cast_precision_loss, reason = "spans of seconds, shown with three digits")]
    pub(super) fn busy_above_idle_ns(&self, idle_share: f64) -> Result<f64> {
        let now = Self::take()?;
        let wall = (now.taken - self.taken).as_nanos() as f64;
        let idle = now.idle.ns.saturating_sub(self.idle.ns) as f64;
        Ok(wall * (f64::from(now.idle.cpus) - idle_share) - idle)
    }
}

/// Busy CPU time per wall time while the gateways run and no flow does.
pub(super) fn idle_share() -> Result<f64> {
    let before = Reading::take()?;
    thread::sleep(IDLE_PERIOD);
    Ok(before.busy_above_idle_ns(0.0)? / before.taken.elapsed().as_secs_f64() / 1e9)
}

/// Idle and I/O wait time in a text of `/proc/timer_list`; `None` when a CPU does not tell.
///
/// A spell counts once it has ended, so that of a CPU which sleeps right now is added: its tick is stopped, and it has not
/// come from `.idle_entrytime` to `.idle_exittime`. Without a stopped tick no spell is longer than a tick.
/// Source: <https://elixir.bootlin.com/linux/v6.12/source/kernel/time/timer_list.c>
fn idle_of_timer_list(list: &str) -> Option<Idle> {
    let now = list.lines().find_map(|line| nanoseconds(line.strip_prefix("now at ")?))?;
    let mut idle = Idle { cpus: 0, ns: 0 };
    for cpu in list.split("\ncpu: ").skip(1) {
        let value = |name| cpu.lines().find_map(|line| value_of(line, name));
        let field = |name| nanoseconds(value(name)?);
        // A kernel that ticks on when idle leaves it at zero.
        let sleep = field(".idle_sleeptime").filter(|ns| *ns > 0)?;
        idle.cpus += 1;
        idle.ns += sleep + field(".iowait_sleeptime")?;
        let (entry, exit) = (field(".idle_entrytime")?, field(".idle_exittime")?);
        if value(".tick_stopped")? == "1" && entry > exit {
            idle.ns += now.saturating_sub(entry);
        }
    }
    (idle.cpus > 0).then_some(idle)
}

/// The value in a line `  NAME : VALUE`.
fn value_of<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let (key, value) = line.split_once(':')?;
    (key.trim() == name).then(|| value.trim())
}

/// The number in `NUMBER nsecs`.
fn nanoseconds(text: &str) -> Option<u64> {
    text.strip_suffix(" nsecs")?.parse().ok()
}

/// Idle and I/O wait time in a text of `/proc/stat`, in steps of a clock tick.
///
/// Source: <https://docs.kernel.org/6.12/filesystems/proc.html#miscellaneous-kernel-statistics-in-proc-stat>
fn idle_of_stat(stat: &str) -> Option<Idle> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let [_user, _nice, _system, idle, io_wait, ..] = fields[..] else { return None };
    let is_cpu = |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| !rest.starts_with(' '));
    let cpus = u32::try_from(stat.lines().filter(is_cpu).count()).ok()?;
    Some(Idle { cpus, ns: (idle + io_wait) * (1_000_000_000 / rustix::param::clock_ticks_per_second()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three CPUs: the first sleeps since 50 ns; the second works since 10 ns; so does the third, whose last spell was so
    /// short that its tick went on, which leaves the exit time as it was.
    const TIMER_LIST: &str = "\
Timer List Version: v0.10
now at 1000 nsecs

cpu: 0
 clock 0:
 # expires at 1500-1500 nsecs [in 500 to 500 nsecs]
  .tick_stopped   : 1
  .idle_entrytime : 950 nsecs
  .idle_exittime  : 900 nsecs
  .idle_sleeptime : 300 nsecs
  .iowait_sleeptime: 7 nsecs
jiffies: 4296395817

cpu: 1
  .tick_stopped   : 0
  .idle_entrytime : 980 nsecs
  .idle_exittime  : 990 nsecs
  .idle_sleeptime : 400 nsecs
  .iowait_sleeptime: 20 nsecs
jiffies: 4296395817

cpu: 2
  .tick_stopped   : 0
  .idle_entrytime : 600 nsecs
  .idle_exittime  : 500 nsecs
  .idle_sleeptime : 100 nsecs
  .iowait_sleeptime: 0 nsecs
jiffies: 4296395817

Tick Device: mode:     1
";

    #[test]
    fn idle_and_io_wait_of_all_cpus_are_added_and_the_present_sleep_with_them() {
        let expected = Idle { cpus: 3, ns: 300 + 7 + 50 + 400 + 20 + 100 };
        assert_eq!(idle_of_timer_list(TIMER_LIST), Some(expected));
    }

    #[test]
    fn a_timer_list_in_which_a_cpu_does_not_tell_its_idle_time_is_not_used() {
        for (told, instead) in [(".idle_sleeptime", ".other"), ("400 nsecs", "0 nsecs")] {
            assert_eq!(idle_of_timer_list(&TIMER_LIST.replacen(told, instead, 1)), None, "{instead}");
        }
        assert_eq!(idle_of_timer_list("Timer List Version: v0.10\nnow at 1000 nsecs\n"), None);
    }

    #[test]
    fn only_idle_and_io_wait_of_the_ticks_are_idle() {
        //         user nice system idle iowait irq softirq steal guest guest_nice
        let stat =
            "cpu  10 20 30 4000 500 6 7 800 90 100\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu1 1 2 3 4 5 6 7 8 9 10\n";
        let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second();
        assert_eq!(idle_of_stat(stat), Some(Idle { cpus: 2, ns: 4500 * tick_ns }));
    }

    #[test]
    fn a_file_without_the_line_for_all_cpus_is_refused() {
        assert_eq!(idle_of_stat("cpu0 1 2 3 4 5 6 7 8 9 10\n"), None);
    }
}
