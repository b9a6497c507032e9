//! Baseline: the instructions per frame that the engine is held to, `bench/baseline.json`.
//!
//! Instructions do not depend on the machine's speed, load or clock, so they are what CI can judge by; time is not.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::callgrind::Counts;
use crate::workspace;

/// How much more a case may take than its baseline. Units: percent.
const TOLERANCE: f64 = 3.0;

/// Instructions of libraries for each frame that are a call of one: fewer are a call once per round.
const LIBRARY_INSTRUCTIONS: f64 = 3.0;

/// How the baseline is renewed, for people.
pub(super) const RENEW: &str =
    "if this is meant, renew the baseline with `cargo xtask bench --renew`, and say in the commit why";

/// Instructions per frame, with what compiled them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Baseline {
    /// The compiler: another one may use more instructions, or fewer, for the same source.
    toolchain: String,
    /// The instruction set.
    architecture: String,
    /// By case.
    instructions_per_frame: BTreeMap<String, f64>,
}

/// What comparing with the baseline came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// What must not be, one line each.
    pub(super) faults: Vec<String>,
    /// What people should know.
    pub(super) remarks: Vec<String>,
}

impl Baseline {
    /// What was counted, as the baseline of later changes.
    pub(super) fn new(counts: &[Counts], toolchain: &str) -> Self {
        let rounded = |counts: &Counts| (counts.name.clone(), (counts.per_frame() * 100.0).round() / 100.0);
        Self {
            toolchain: toolchain.to_owned(),
            architecture: ARCH.to_owned(),
            instructions_per_frame: counts.iter().map(rounded).collect(),
        }
    }

    /// The committed baseline.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(super) fn read() -> Result<Self> {
        let path = path();
        let text = fs::read_to_string(&path)
            .with_context(|| format!("reading {}; `cargo xtask bench --renew` writes it", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no baseline", path.display()))
    }

    /// Writes it where it is committed.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self) -> Result<PathBuf> {
        let path = path();
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// Whether it is about a case.
    pub(super) fn holds(&self, name: &str) -> bool {
        self.instructions_per_frame.contains_key(name)
    }

    /// Compares what was counted, `toolchain` having compiled it.
    pub(super) fn compare(&self, counts: &[Counts], toolchain: &str) -> Comparison {
        let mut comparison = Comparison::default();
        if self.architecture != ARCH {
            let Self { architecture, .. } = self;
            comparison
                .remarks
                .push(format!("not compared: the baseline is of {architecture}, this is {ARCH}"));
            return comparison;
        }
        for (name, &old) in &self.instructions_per_frame {
            match counts.iter().find(|counts| counts.name == *name) {
                Some(counts) => comparison.judge(name, old, counts.per_frame()),
                None => comparison.faults.push(format!("{name}: in the baseline, and not counted any more")),
            }
        }
        comparison.faults.extend(counts.iter().filter_map(library_calls));
        let is_new = |counts: &&Counts| !self.instructions_per_frame.contains_key(&counts.name);
        for counts in counts.iter().filter(is_new) {
            comparison.faults.push(format!("{}: counted, and not in the baseline", counts.name));
        }
        if self.toolchain != toolchain {
            comparison.remarks.push(format!("the baseline is of {}, this is {toolchain}", self.toolchain));
        }
        comparison
    }
}

/// What is wrong with a case that calls a library for each frame: `memcpy` for headers of fixed size is such a call.
fn library_calls(counts: &Counts) -> Option<String> {
    let per_frame = counts.library_per_frame();
    let line = || {
        format!("{}: {per_frame:.1} instructions per frame in libraries, where none should be", counts.name)
    };
    (per_frame >= LIBRARY_INSTRUCTIONS).then(line)
}

impl Comparison {
    /// Judges one case.
    fn judge(&mut self, name: &str, old: f64, new: f64) {
        let percent = (new / old - 1.0) * 100.0;
        let line = format!(
            "{name}: {old:.1} instructions per frame in the baseline, {new:.1} now ({percent:+.1} %)"
        );
        if percent > TOLERANCE {
            self.faults.push(line);
        } else if percent < -TOLERANCE {
            self.remarks.push(line + "; renew the baseline to hold the gain");
        }
    }

    /// Writes the remarks, and fails with the faults.
    ///
    /// # Errors
    /// There are faults.
    pub(super) fn verdict(&self) -> Result<()> {
        self.remarks.iter().for_each(|remark| println!("{remark}"));
        if self.faults.is_empty() {
            return Ok(());
        }
        bail!("the engine's instructions (tolerance {TOLERANCE} %):\n  {}\n{RENEW}", self.faults.join("\n  "))
    }
}

fn path() -> PathBuf {
    workspace::root().join("bench/baseline.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(name: &str, instructions: u64) -> Counts {
        Counts {
            name: name.to_owned(),
            frames: 100,
            instructions,
            library_instructions: 0,
            locked_instructions: 0,
            system_calls: 0,
        }
    }

    fn compared(now: &[Counts]) -> Comparison {
        Baseline::new(&[counts("encap", 10_000), counts("decap", 20_000)], "rustc 1").compare(now, "rustc 1")
    }

    #[test]
    fn what_is_within_the_tolerance_passes_without_a_word() {
        assert_eq!(compared(&[counts("encap", 10_290), counts("decap", 19_500)]), Comparison::default());
    }

    #[test]
    fn four_percent_more_fails_and_names_case_and_both_numbers_and_the_cure() {
        let comparison = compared(&[counts("encap", 10_400), counts("decap", 20_000)]);
        let fault = comparison.verdict().unwrap_err().to_string();
        assert!(
            fault.contains("encap: 100.0 instructions per frame in the baseline, 104.0 now (+4.0 %)"),
            "{fault}"
        );
        assert!(fault.contains("cargo xtask bench --renew") && !fault.contains("decap"), "{fault}");
    }

    #[test]
    fn four_percent_less_is_remarked_and_passes() {
        let comparison = compared(&[counts("encap", 9_600), counts("decap", 20_000)]);
        assert_eq!((comparison.faults.len(), comparison.remarks.len()), (0, 1), "{comparison:?}");
    }

    #[test]
    fn a_call_of_a_library_for_each_frame_fails_and_one_per_round_does_not() {
        let with = |library_instructions| Counts { library_instructions, ..counts("encap", 10_000) };
        assert_eq!(compared(&[with(299), counts("decap", 20_000)]), Comparison::default());
        let comparison = compared(&[with(300), counts("decap", 20_000)]);
        assert_eq!(
            comparison.faults,
            ["encap: 3.0 instructions per frame in libraries, where none should be"]
        );
    }

    #[test]
    fn a_case_that_came_or_went_fails() {
        let comparison = compared(&[counts("encap", 10_000), counts("relay", 1)]);
        let expected =
            ["decap: in the baseline, and not counted any more", "relay: counted, and not in the baseline"];
        assert_eq!(comparison.faults, expected);
    }

    #[test]
    fn another_compiler_is_remarked() {
        let baseline = Baseline::new(&[counts("encap", 10_000)], "rustc 1");
        let comparison = baseline.compare(&[counts("encap", 10_000)], "rustc 2");
        assert_eq!(comparison.remarks, ["the baseline is of rustc 1, this is rustc 2"]);
    }
}
