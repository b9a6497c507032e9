//! CPU time of the whole machine.
//!
//! A gateway's work is done partly by its worker threads and partly by the kernel, in softirqs that no process is charged for.
//! Only the whole machine's accounting has all of it: what was not idle. The kernel measures the idle time of each CPU in
//! nanoseconds and shows it so in `/proc/timer_list`; `/proc/stat` has the same in clock ticks, too coarse for one flow.

use std::collections::BTreeMap;
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
pub struct Reading {
    idle: Idle,
    /// Time that a hypervisor gave to others. Units: ns.
    stolen_ns: u64,
    taken: Instant,
}

impl Reading {
    /// Reads the idle time now.
    ///
    /// # Errors
    /// The kernel shows it in neither of the two places.
    pub fn take() -> Result<Self> {
        let list = fs::read_to_string("/proc/timer_list").ok();
        let stat = fs::read_to_string("/proc/stat").context("reading /proc/stat")?;
        let idle = match list.as_deref().and_then(idle_of_timer_list) {
            Some(idle) => idle,
            None => idle_of_stat(&stat).context("/proc/stat does not tell the idle time")?,
        };
        Ok(Self { idle, stolen_ns: stolen_of_stat(&stat).unwrap_or(0), taken: Instant::now() })
    }

    /// CPUs that are read.
    #[must_use]
    pub fn cpus(&self) -> u32 {
        self.idle.cpus
    }

    /// Time from this reading to a later one.
    #[must_use]
    pub fn wall(&self, later: &Self) -> Duration {
        later.taken - self.taken
    }

    /// Time from this reading to a later one in which CPUs were not idle; what a hypervisor took away is in it. Units: ns.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "spans of seconds, shown with three digits")]
    pub fn busy_ns(&self, later: &Self) -> f64 {
        let idle = later.idle.ns.saturating_sub(self.idle.ns) as f64;
        self.wall(later).as_nanos() as f64 * f64::from(later.idle.cpus) - idle
    }

    /// Time from this reading to a later one that a hypervisor gave to others, in steps of a clock tick. Units: ns.
    #[must_use]
    pub fn stolen_ns(&self, later: &Self) -> u64 {
        later.stolen_ns.saturating_sub(self.stolen_ns)
    }

    /// Busy time since this reading above what an idle machine takes in that time; negative when the machine did
    /// less of its other work meanwhile. Units: ns.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn busy_above_idle_ns(&self, idle_share: f64) -> Result<f64> {
        let now = Self::take()?;
        Ok(self.busy_ns(&now) - self.wall(&now).as_secs_f64() * 1e9 * idle_share)
    }
}

/// Busy CPU time per wall time while nothing is sent: the machine's other work.
///
/// # Errors
/// As [`Reading::take`].
pub fn idle_share() -> Result<f64> {
    let before = Reading::take()?;
    thread::sleep(IDLE_PERIOD);
    Ok(before.busy_above_idle_ns(0.0)? / before.taken.elapsed().as_secs_f64() / 1e9)
}

/// CPU time so far of all processes that are neither `root`'s nor its descendants', nor threads of the kernel, in steps
/// of a clock tick per process. Units: ns.
///
/// A process that ended is still in it: its parent has its time. So the difference of two calls is what those
/// processes took meanwhile. What the kernel did in softirqs while one of them ran is in it too.
///
/// # Errors
/// `/proc` cannot be listed.
pub fn others_ns(root: u32) -> Result<u64> {
    let mut processes = BTreeMap::new();
    for entry in fs::read_dir("/proc").context("listing /proc")? {
        let path = entry.context("listing /proc")?.path();
        let is_process = path.file_name().is_some_and(|name| name.as_encoded_bytes()[0].is_ascii_digit());
        // It may have ended since.
        if let Some(stat) = is_process.then(|| fs::read_to_string(path.join("stat")).ok()).flatten() {
            processes.extend(process_of_stat(&stat));
        }
    }
    let of_others: u64 =
        processes.iter().filter(|(pid, _)| !is_own(**pid, root, &processes)).map(|(_, one)| one.ticks).sum();
    Ok(of_others * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
}

/// What `/proc/PID/stat` tells of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct OneProcess {
    parent: u32,
    /// Of itself and of its children that have ended.
    ticks: u64,
}

/// The thread that starts all others of the kernel.
const KTHREADD: u32 = 2;

/// Whether a process is `root`, one of its descendants, or a thread of the kernel.
fn is_own(pid: u32, root: u32, processes: &BTreeMap<u32, OneProcess>) -> bool {
    let mut at = pid;
    // Two reads of /proc may disagree, so a circle is possible: nobody is deeper than there are processes.
    for _ in 0..processes.len() {
        if at == root || at == KTHREADD {
            return true;
        }
        match processes.get(&at) {
            Some(process) => at = process.parent,
            None => return false,
        }
    }
    false
}

/// Id, parent and times in a text of `/proc/PID/stat`. The name, in parentheses, may hold anything.
///
/// Source: <https://docs.kernel.org/6.12/filesystems/proc.html#id10>
fn process_of_stat(stat: &str) -> Option<(u32, OneProcess)> {
    let (start, end) = (stat.find('(')?, stat.rfind(')')?);
    let pid = stat[..start].trim().parse().ok()?;
    // Fields 3 and up: state, parent, ..., user, system, children's user, children's system time (14 to 17).
    let fields: Vec<&str> = stat[end + 1..].split_whitespace().collect();
    let parent = fields.get(1)?.parse().ok()?;
    let times = fields.get(11..15)?.iter().map(|field| field.parse::<u64>());
    let ticks = times.sum::<Result<u64, _>>().ok()?;
    Some((pid, OneProcess { parent, ticks }))
}

/// Stolen time in a text of `/proc/stat`: the eighth number. Units: ns.
fn stolen_of_stat(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: u64 = line.split_whitespace().nth(7)?.parse().ok()?;
    Some(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
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
    fn stolen_time_is_the_eighth_number() {
        let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second();
        let stat = "cpu  1 2 3 4 5 6 7 800 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(stolen_of_stat(stat), Some(800 * tick_ns));
    }

    #[test]
    fn a_process_is_read_whatever_its_name_holds() {
        let stat = "77 (a) b (c) S 12 77 77 0 -1 4194560 1 2 3 4 100 20 3000 400 20 0 1 0 5 6 7";
        assert_eq!(process_of_stat(stat), Some((77, OneProcess { parent: 12, ticks: 3520 })));
        assert_eq!(process_of_stat("77 (short) S 12"), None);
    }

    #[test]
    fn descendants_and_kernel_threads_are_own_and_the_rest_is_others() {
        let process = |parent| OneProcess { parent, ticks: 1 };
        let tree = [(1, 0), (2, 0), (9, 2), (50, 1), (60, 50), (70, 60), (80, 1), (90, 91), (91, 90)];
        let processes: BTreeMap<u32, OneProcess> =
            tree.iter().map(|&(pid, parent)| (pid, process(parent))).collect();
        let own: Vec<u32> = processes.keys().copied().filter(|&pid| is_own(pid, 50, &processes)).collect();
        assert_eq!(own, [2, 9, 50, 60, 70]);
    }

    #[test]
    fn a_process_that_has_ended_is_still_counted_by_its_parent() {
        // This process is nobody's root here, so its own and its children's times are others' times.
        let before = others_ns(u32::MAX).unwrap();
        let spin = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        assert!(std::process::Command::new("sh").args(["-c", spin]).status().unwrap().success());
        assert!(others_ns(u32::MAX).unwrap() > before);
    }

    #[test]
    fn a_file_without_the_line_for_all_cpus_is_refused() {
        assert_eq!(idle_of_stat("cpu0 1 2 3 4 5 6 7 8 9 10\n"), None);
    }
}
