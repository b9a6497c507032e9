//! Callgrind: instructions of the engine's loop, counted by valgrind.
//!
//! `spanwire-bench count` runs a few passes of each case inside one function, and calls another at each case's end. Collection is
//! switched on and off by the first (`--toggle-collect`), a dump is written before the second (`--dump-before`), so neither setting
//! up nor preparing frames is counted. Out of each dump come:
//!
//! * instructions of the program itself, by object. Those of other objects (libc's `memcpy`) are kept apart: which variant of it
//!   runs depends on the CPU, and the program's own instructions do not.
//! * bus events: instructions with a lock prefix, so locks and all other atomic read-modify-write.
//! * system calls.
//!
//! Source: callgrind manual, "Callgrind Command-line Options" and "Callgrind Format Specification".

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::workspace;

/// The function whose calls are counted, and the one that ends a case.
const COUNTED: &str = "bench::count::counted_pass";
const END: &str = "bench::count::end_of_case";

/// What was counted of one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Counts {
    /// The case.
    pub(super) name: String,
    /// Frames in the counted passes.
    pub(super) frames: u64,
    /// Instructions of the program itself.
    pub(super) instructions: u64,
    /// Instructions of libraries.
    pub(super) library_instructions: u64,
    /// Atomic read-modify-write instructions, locks among them.
    pub(super) locked_instructions: u64,
    /// System calls.
    pub(super) system_calls: u64,
}

impl Counts {
    /// Instructions of the program itself for one frame.
    pub(super) fn per_frame(&self) -> f64 {
        per(self.instructions, self.frames)
    }

    /// Instructions of libraries for one frame.
    pub(super) fn library_per_frame(&self) -> f64 {
        per(self.library_instructions, self.frames)
    }

    /// Atomic read-modify-write instructions for one frame.
    pub(super) fn locked_per_frame(&self) -> f64 {
        per(self.locked_instructions, self.frames)
    }
}

/// What `spanwire-bench count` reports.
#[derive(Debug, Deserialize)]
struct Counted {
    cases: Vec<CountedCase>,
}

#[derive(Debug, Deserialize)]
struct CountedCase {
    name: String,
    frames: u64,
}

/// Counts the cases of the short or the full suite.
///
/// # Errors
/// Valgrind fails, or its dumps do not fit what the program says it ran.
pub(super) fn count(program: &Path, short: bool) -> Result<Vec<Counts>> {
    let folder = folder()?;
    let suite: &[&str] = if short { &["--short"] } else { &[] };
    let counted = valgrind(program, &folder, &["--collect-bus=yes", "--collect-systime=yes"], suite)?;
    let dump = |(number, case): (usize, CountedCase)| {
        let path = folder.join(format!("dump.{}", number + 1));
        read(&path, program, case)
    };
    (0..).zip(counted.cases).map(dump).collect()
}

/// Instructions of one case by their addresses in the program, and its frames.
///
/// # Errors
/// Valgrind fails, or there is no such case.
pub(super) fn by_address(program: &Path, case: &str) -> Result<(BTreeMap<u64, u64>, u64)> {
    let folder = folder()?;
    let counted = valgrind(program, &folder, &["--dump-instr=yes"], &["--case", &format!("={case}")])?;
    let frames = counted.cases.first().map_or(0, |case| case.frames);
    let bytes = fs::read(folder.join("dump.1")).context("valgrind wrote no dump")?;
    Ok((addresses(&String::from_utf8_lossy(&bytes), &program.to_string_lossy()), frames))
}

/// An empty folder for dumps.
fn folder() -> Result<PathBuf> {
    let folder = workspace::target_dir()?.join("callgrind");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// Runs the counting subcommand under callgrind; the dumps are then in the folder, `dump.1` the first case's.
fn valgrind(program: &Path, folder: &Path, options: &[&str], arguments: &[&str]) -> Result<Counted> {
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .args(options)
        .arg(format!("--toggle-collect=*{COUNTED}*"))
        .arg(format!("--dump-before=*{END}*"))
        .arg(format!("--callgrind-out-file={}", folder.join("dump").display()))
        .arg(format!("--log-file={}", folder.join("log").display()))
        .arg(program)
        .arg("count")
        .args(arguments);
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("starting valgrind")?;
    let log = || fs::read_to_string(folder.join("log")).unwrap_or_default();
    ensure!(output.status.success(), "valgrind failed ({}):\n{}", output.status, log());
    serde_json::from_slice(&output.stdout).context("reading what was run")
}

/// Reads one case's dump.
fn read(path: &PathBuf, program: &Path, case: CountedCase) -> Result<Counts> {
    let bytes = fs::read(path).with_context(|| format!("valgrind wrote no dump of {:?}", case.name))?;
    let dump = Dump::of(&String::from_utf8_lossy(&bytes), &program.to_string_lossy());
    ensure!(
        dump.passes > 0 && dump.own > 0,
        "the dump of {:?} has no call of {COUNTED}; is the function still called so?",
        case.name
    );
    Ok(Counts {
        name: case.name,
        frames: case.frames,
        instructions: dump.own,
        library_instructions: dump.others,
        locked_instructions: dump.locked,
        system_calls: dump.system_calls,
    })
}

/// The sums over one dump.
#[derive(Debug, Default, PartialEq, Eq)]
struct Dump {
    /// Calls of the counted function.
    passes: u64,
    /// Instructions in the program's object and in all others.
    own: u64,
    others: u64,
    /// Inside the counted function and what it calls.
    locked: u64,
    system_calls: u64,
}

impl Dump {
    /// Sums up a dump with events `Ir Ge sysCount sysTime`; zeros at a line's end are left out. `program` is the object whose
    /// instructions are its own.
    ///
    /// A line is a name (`ob=`, `fn=`; with `c` in front those of a called function), `calls=` followed by the line with the
    /// call's whole cost, or a position with the costs of that position itself.
    fn of(text: &str, program: &str) -> Self {
        let mut dump = Self::default();
        let (mut objects, mut functions) = (Names::default(), Names::default());
        let (mut object, mut called) = (String::new(), String::new());
        let mut calls = None;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix("ob=") {
                object = objects.resolve(name);
            } else if let Some(name) = line.strip_prefix("cob=") {
                objects.resolve(name);
            } else if let Some(name) = line.strip_prefix("fn=") {
                functions.resolve(name);
            } else if let Some(name) = line.strip_prefix("cfn=") {
                called = functions.resolve(name);
            } else if let Some(counts) = line.strip_prefix("calls=") {
                calls = Some(counts.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0));
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                let costs: Vec<u64> = line.split(' ').skip(1).filter_map(|cost| cost.parse().ok()).collect();
                let cost = |event: usize| costs.get(event).copied().unwrap_or(0);
                match calls.take() {
                    Some(count) if called.contains(COUNTED) => {
                        dump.passes += count;
                        dump.locked += cost(1);
                        dump.system_calls += cost(2);
                    }
                    Some(_) => {}
                    None if object == program => dump.own += cost(0),
                    None => dump.others += cost(0),
                }
            }
        }
        dump
    }
}

/// Instructions of a program's object by address, of a dump with instruction positions: `0x1f20 58 4`, an address and its line
/// before the cost; an address may be `+3`, `-3` or `*`, from the one before.
fn addresses(text: &str, program: &str) -> BTreeMap<u64, u64> {
    let mut found = BTreeMap::new();
    let mut objects = Names::default();
    let (mut object, mut address, mut is_call) = (String::new(), 0_u64, false);
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("ob=") {
            object = objects.resolve(name);
        } else if let Some(name) = line.strip_prefix("cob=") {
            objects.resolve(name);
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            let mut fields = line.split(' ');
            address = moved(address, fields.next().unwrap_or_default());
            let cost = fields.nth(1).and_then(|cost| cost.parse().ok()).unwrap_or(0);
            if !std::mem::take(&mut is_call) && object == program && cost > 0 {
                *found.entry(address).or_insert(0) += cost;
            }
        }
    }
    found
}

/// An address from the one before.
fn moved(address: u64, position: &str) -> u64 {
    let number = |digits: &str| digits.parse().unwrap_or(0);
    match position.split_at_checked(1) {
        Some(("+", digits)) => address + number(digits),
        Some(("-", digits)) => address.saturating_sub(number(digits)),
        Some(("*", _)) | None => address,
        Some(_) => position.strip_prefix("0x").map_or(0, |hex| u64::from_str_radix(hex, 16).unwrap_or(0)),
    }
}

/// Names that are written whole once, `(7) name`, and as `(7)` afterwards.
#[derive(Debug, Default)]
struct Names(HashMap<String, String>);

impl Names {
    fn resolve(&mut self, text: &str) -> String {
        match text.split_once(' ') {
            Some((number, name)) => {
                self.0.insert(number.to_owned(), name.to_owned());
                name.to_owned()
            }
            None => self.0.get(text).cloned().unwrap_or_else(|| text.to_owned()),
        }
    }
}

/// A count for each frame.
#[expect(clippy::cast_precision_loss, reason = "a mean")]
fn per(count: u64, frames: u64) -> f64 {
    count as f64 / frames.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two passes that call a function of the program, which calls libc; a function in which nothing was collected.
    const DUMP: &str = "\
version: 1
positions: line
events: Ir Ge sysCount sysTime

ob=(1) /t/spanwire-bench
fl=(1) bench/src/count.rs
fn=(10) bench::count::run
20 0
cfn=(11) bench::count::counted_pass
calls=1 62
20 500 3 1 2
cfn=(11)
calls=1 62
+1 600 4

fn=(11)
62 7
cfn=(12) engine
calls=2 5
* 1000 7 1

fn=(12)
5 900
+3 90 7
cob=(2) /lib/libc.so.6
cfn=(13) memcpy
calls=4 1
* 103

ob=(2)
fn=(13)
1 100
-1 3

totals: 1100 7
";

    #[test]
    fn instructions_are_told_apart_by_object_and_calls_are_not_counted_twice() {
        let expected = Dump { passes: 2, own: 997, others: 103, locked: 7, system_calls: 1 };
        assert_eq!(Dump::of(DUMP, "/t/spanwire-bench"), expected);
    }

    #[test]
    fn instructions_are_found_by_absolute_and_relative_addresses_without_what_a_call_costs() {
        let text = "\
positions: instr line
ob=(1) /t/spanwire-bench
fn=(1) run
0x1f20 58 4
+3 +1 5
calls=1 0x2000 +2
* * 900
-3 58 1
ob=(2) /lib/libc.so.6
0x100 1 7
";
        assert_eq!(addresses(text, "/t/spanwire-bench"), BTreeMap::from([(0x1f20, 5), (0x1f23, 5)]));
    }

    #[test]
    fn a_dump_in_which_the_counted_function_was_not_called_is_seen() {
        let renamed = DUMP.replace("counted_pass", "other");
        assert_eq!(Dump::of(&renamed, "/t/spanwire-bench").passes, 0);
    }
}
