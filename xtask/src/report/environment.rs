//! Environment: the facts about a machine without which its numbers mean nothing.
//!
//! Read from `/proc` and `/sys`. Nothing that names the machine, its users or its folders is among them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::workspace;

/// What was measured on, and what else went on meanwhile.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Environment {
    /// A name for folders, from the CPU's model: no host name.
    pub(crate) machine: String,
    /// Day of the measurement, UTC, `2026-01-31`.
    pub(crate) date: String,
    /// The CPU as it calls itself, with family, model and stepping.
    pub(crate) cpu: String,
    /// CPUs online.
    pub(crate) cpus: usize,
    /// Whether the CPU says that it runs under a hypervisor.
    pub(crate) is_virtual: bool,
    /// Data and unified caches of the first CPU.
    pub(crate) caches: Vec<String>,
    /// Main memory. Units: MiB.
    pub(crate) memory_mib: u64,
    /// Kernel release.
    pub(crate) kernel: String,
    /// What the kernel says about each vulnerability that affects the CPU.
    pub(crate) mitigations: BTreeMap<String, String>,
    /// Frequency governor of the first CPU; "none visible" where a hypervisor hides it.
    pub(crate) governor: String,
    /// The compiler.
    pub(crate) toolchain: String,
    /// Commit that was measured, with a `+` when files differed from it.
    pub(crate) revision: String,
    /// Load averages over 1, 5 and 15 minutes when the measurement began.
    pub(crate) load_at_start: Vec<f64>,
    /// Share of all CPU time that the hypervisor gave to others meanwhile. Range: 0 to 1.
    pub(crate) stolen_share: f64,
    /// What only the measuring command knows: driver, mode, profile.
    pub(crate) more: BTreeMap<String, String>,
}

/// CPU time so far. Units: ticks, of all CPUs together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CpuTicks {
    all: u64,
    stolen: u64,
}

impl Environment {
    /// Reads the facts of this machine. What cannot be read is "unknown".
    pub(crate) fn read() -> Self {
        let cpuinfo = text("/proc/cpuinfo");
        let model = cpu_field(&cpuinfo, "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
        Self {
            machine: slug(&model),
            date: date_of(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())),
            cpu: cpu_name(&model, &cpuinfo),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            is_virtual: cpu_field(&cpuinfo, "flags")
                .is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
            caches: caches(),
            memory_mib: memory_mib(&text("/proc/meminfo")),
            kernel: known(text("/proc/sys/kernel/osrelease").trim()),
            mitigations: mitigations(),
            governor: governor(),
            toolchain: first_line(Command::new("rustc").current_dir(workspace::root()).arg("--version")),
            revision: revision(),
            load_at_start: load(&text("/proc/loadavg")),
            stolen_share: 0.0,
            more: BTreeMap::new(),
        }
    }

    /// Adds a fact.
    pub(crate) fn note(&mut self, name: &str, fact: impl Into<String>) {
        self.more.insert(name.to_owned(), fact.into());
    }

    /// Notes what share of the CPUs' time others had since `start`.
    pub(crate) fn note_stolen_since(&mut self, start: CpuTicks) {
        self.stolen_share = CpuTicks::now().stolen_share_since(start);
    }

    /// All facts as rows of two cells.
    pub(crate) fn rows(&self) -> Vec<[String; 2]> {
        let virtual_machine = if self.is_virtual { "a virtual machine" } else { "bare metal" };
        let load = self.load_at_start.iter().map(|load| format!("{load:.2}")).collect::<Vec<_>>().join(", ");
        let mut rows = vec![
            ["CPU".to_owned(), self.cpu.clone()],
            ["CPUs online".to_owned(), format!("{}, {virtual_machine}", self.cpus)],
            ["caches".to_owned(), self.caches.join(", ")],
            ["memory".to_owned(), format!("{} MiB", self.memory_mib)],
            ["kernel".to_owned(), self.kernel.clone()],
            ["frequency governor".to_owned(), self.governor.clone()],
            ["compiler".to_owned(), self.toolchain.clone()],
            ["commit".to_owned(), self.revision.clone()],
            ["date".to_owned(), self.date.clone()],
            ["load at the start (1, 5, 15 min)".to_owned(), load],
            ["CPU time stolen meanwhile".to_owned(), format!("{:.1} %", self.stolen_share * 100.0)],
        ];
        rows.extend(self.more.iter().map(|(name, fact)| [name.clone(), fact.clone()]));
        let mitigations = self
            .mitigations
            .iter()
            .map(|(name, state)| [format!("CPU vulnerability: {name}"), state.clone()]);
        rows.extend(mitigations);
        rows
    }
}

impl CpuTicks {
    /// The time until now.
    pub(crate) fn now() -> Self {
        Self::of_stat(&text("/proc/stat")).unwrap_or(Self { all: 0, stolen: 0 })
    }

    /// The time in the first line of `/proc/stat`: user nice system idle iowait irq softirq steal, then guests, whose time is
    /// in user and nice already.
    fn of_stat(stat: &str) -> Option<Self> {
        let mut fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
        let mut ticks = [0_u64; 8];
        for tick in &mut ticks {
            *tick = fields.next()?.parse().ok()?;
        }
        Some(Self { all: ticks.iter().sum(), stolen: ticks[7] })
    }

    /// Share of the time since `start` that others had.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    fn stolen_share_since(self, start: Self) -> f64 {
        let all = self.all.saturating_sub(start.all).max(1);
        self.stolen.saturating_sub(start.stolen) as f64 / all as f64
    }
}

/// A file's text; nothing of one that cannot be read.
fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A fact, or the word for its absence.
fn known(fact: &str) -> String {
    if fact.is_empty() { "unknown".to_owned() } else { fact.to_owned() }
}

/// The first value of a field of `/proc/cpuinfo`.
fn cpu_field(cpuinfo: &str, name: &str) -> Option<String> {
    let value = |line: &str| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    };
    cpuinfo.lines().find_map(value)
}

/// Model name with the numbers that tell generations apart.
fn cpu_name(model: &str, cpuinfo: &str) -> String {
    let field = |name| cpu_field(cpuinfo, name);
    match (field("cpu family"), field("model"), field("stepping")) {
        (Some(family), Some(number), Some(stepping)) => {
            format!("{model} (family {family}, model {number}, stepping {stepping})")
        }
        _ => model.to_owned(),
    }
}

/// A CPU's name as a part of a folder's name: what stands before any clock rate, without trade marks.
fn slug(model: &str) -> String {
    let plain = model.to_lowercase().replace("(r)", " ").replace("(tm)", " ");
    let plain = plain.split('@').next().unwrap_or_default();
    let words = plain.split(|letter: char| !letter.is_ascii_alphanumeric());
    let words: Vec<&str> =
        words.filter(|word| !word.is_empty() && !["cpu", "processor"].contains(word)).collect();
    if words.is_empty() { "unknown-cpu".to_owned() } else { words.join("-") }
}

/// The day of a Unix time, by Howard Hinnant's `civil_from_days` (days counted from 0000-03-01).
fn date_of(unix_s: u64) -> String {
    let days = unix_s / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

/// Caches of the first CPU that hold data.
fn caches() -> Vec<String> {
    let of = |index: usize| {
        let fact = |name: &str| {
            let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/{name}");
            fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
        };
        let (level, kind, size) = (fact("level")?, fact("type")?, fact("size")?);
        (kind != "Instruction").then(|| format!("L{level} {size}"))
    };
    (0..8).filter_map(of).collect()
}

fn memory_mib(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.trim().strip_suffix(" kB")).and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

fn mitigations() -> BTreeMap<String, String> {
    let Ok(folder) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else { return BTreeMap::new() };
    let entry = |path: &Path| {
        let state = fs::read_to_string(path).ok()?.trim().to_owned();
        let name = path.file_name()?.to_string_lossy().replace('_', " ");
        (state != "Not affected").then_some((name, state))
    };
    folder.flatten().filter_map(|file| entry(&file.path())).collect()
}

fn governor() -> String {
    let found = text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    if found.trim().is_empty() { "none visible".to_owned() } else { found.trim().to_owned() }
}

/// The commit of the workspace.
fn revision() -> String {
    let git =
        |arguments: &[&str]| first_line(Command::new("git").current_dir(workspace::root()).args(arguments));
    let is_changed = git(&["status", "--porcelain", "--untracked-files=no"]) != "unknown";
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    if is_changed { commit + "+" } else { commit }
}

/// The first line that a command writes.
fn first_line(command: &mut Command) -> String {
    let output = command.output().ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    known(text.lines().next().unwrap_or_default())
}

fn load(loadavg: &str) -> Vec<f64> {
    loadavg.split_whitespace().take(3).filter_map(|load| load.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_named_by_its_cpu_model() {
        assert_eq!(slug("AMD EPYC 7B13 64-Core Processor"), "amd-epyc-7b13-64-core");
        assert_eq!(slug("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz"), "intel-xeon-e5-2680-v4");
        assert_eq!(slug(""), "unknown-cpu");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(date_of(0), "1970-01-01");
        assert_eq!(date_of(951_782_400), "2000-02-29");
        assert_eq!(date_of(1_735_689_599), "2024-12-31");
    }

    #[test]
    fn stolen_time_is_the_eighth_number_and_guests_are_not_counted_twice() {
        let stat = "cpu  10 0 10 60 0 0 0 20 5 5\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        let ticks = CpuTicks::of_stat(stat).unwrap();
        assert_eq!(ticks, CpuTicks { all: 100, stolen: 20 });
        let later = CpuTicks { all: 200, stolen: 45 };
        assert!((later.stolen_share_since(ticks) - 0.25).abs() < 1e-9);
    }

    #[test]
    fn the_first_value_of_a_field_counts_whatever_its_padding() {
        let cpuinfo = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n\nmodel name\t: other\n";
        assert_eq!(cpu_field(cpuinfo, "model name").as_deref(), Some("AMD EPYC"));
        assert_eq!(cpu_field(cpuinfo, "model").as_deref(), Some("17"));
        assert_eq!(cpu_field(cpuinfo, "name"), None);
    }

    #[test]
    fn this_machine_has_a_kernel_cpus_and_memory() {
        let here = Environment::read();
        assert!(here.kernel != "unknown" && here.cpus > 0 && here.memory_mib > 0, "{here:?}");
    }
}
