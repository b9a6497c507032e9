//! What `spanwire-bench memory` and `spanwire-bench scaling` report: its JSON as types.

use serde::{Deserialize, Serialize};

use crate::report::Value;

/// What was timed in memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Timed {
    pub(super) runs: usize,
    pub(super) passes_per_run: u64,
    /// Rate of the time-stamp counter.
    pub(super) tsc_hz: f64,
    pub(super) cases: Vec<TimedCase>,
}

/// One case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TimedCase {
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scenario: Option<Scenario>,
    pub(super) frames: u64,
    pub(super) cycles_per_frame: Spread,
    pub(super) ns_per_frame: Spread,
    /// Cycles per frame, run by run; run `n` of all cases was made at about the same time.
    pub(super) samples: Vec<f64>,
    pub(super) allocations_per_pass: u64,
}

/// What a case varies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scenario {
    pub(super) way: Way,
    pub(super) frame: FrameLength,
    pub(super) macs: u32,
    pub(super) sessions: u32,
    pub(super) burst: u32,
    /// A word.
    pub(super) carrier: String,
    #[serde(default = "base_frames")]
    pub(super) frames: u32,
    #[serde(default)]
    pub(super) huge_pages: bool,
}

/// Frames of a pass, in results that do not tell.
const fn base_frames() -> u32 {
    BASE_FRAMES
}

/// Frames of a pass of each base.
pub(super) const BASE_FRAMES: u32 = 1024;

/// The way through the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    Encap,
    Decap,
    Relay,
    Ports,
}

impl Way {
    /// The ways through the engine, and their bases' names.
    pub(super) const ENGINE: [(Self, &'static str); 3] =
        [(Self::Encap, "encap"), (Self::Decap, "decap"), (Self::Relay, "relay")];
}

/// Length of inner frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FrameLength {
    Bytes(u32),
    Imix,
}

/// Middle and spread over all runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    pub(super) minimum: f64,
    pub(super) lower_quartile: f64,
    pub(super) median: f64,
    pub(super) upper_quartile: f64,
    pub(super) maximum: f64,
}

impl Spread {
    /// Middle and spread of numbers; `None` of none.
    pub(super) fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |quarters: usize| sorted.get((sorted.len().checked_sub(1)? * quarters).div_ceil(4)).copied();
        Some(Self {
            minimum: at(0)?,
            lower_quartile: at(1)?,
            median: at(2)?,
            upper_quartile: at(3)?,
            maximum: at(4)?,
        })
    }

    /// The median between the quartiles.
    pub(super) fn value(self) -> Value {
        Value::spread(self.lower_quartile, self.median, self.upper_quartile)
    }
}

impl Timed {
    /// The case of a name.
    pub(super) fn case(&self, name: &str) -> Option<&TimedCase> {
        self.cases.iter().find(|case| case.name == name)
    }

    /// How much more cycles per frame one case takes than another, run by run.
    pub(super) fn difference(&self, name: &str, less: &str) -> Option<Spread> {
        let (more, less) = (self.case(name)?, self.case(less)?);
        Spread::of(
            &more.samples.iter().zip(&less.samples).map(|(more, less)| more - less).collect::<Vec<_>>(),
        )
    }
}

/// What one worker and two did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Scaling {
    pub(super) runs: u32,
    pub(super) cpus: [usize; 2],
    pub(super) cases: Vec<ScalingCase>,
    /// One tunnel, received by one worker: alone, and with a second one that has its share of the inner flows.
    pub(super) spread: Vec<ScalingCase>,
}

/// One case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct ScalingCase {
    pub(super) name: String,
    pub(super) one_frames_per_s: Spread,
    pub(super) two_frames_per_s: Spread,
    pub(super) ratio: Spread,
}

/// Name of the case that shows what two CPUs of the machine can gain at all.
pub(super) const ARITHMETIC: &str = "arithmetic";

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &str, samples: &[f64]) -> TimedCase {
        let spread = Spread::of(samples).unwrap();
        TimedCase {
            name: name.to_owned(),
            scenario: None,
            frames: 1,
            cycles_per_frame: spread,
            ns_per_frame: spread,
            samples: samples.to_vec(),
            allocations_per_pass: 0,
        }
    }

    #[test]
    fn a_difference_is_taken_run_by_run_so_a_slow_spell_of_both_cancels_out() {
        let cases = vec![case("base", &[10.0, 90.0, 10.0]), case("more", &[15.0, 96.0, 14.0])];
        let timed = Timed { runs: 3, passes_per_run: 1, tsc_hz: 1e9, cases };
        let difference = timed.difference("more", "base").unwrap();
        assert_eq!((difference.minimum, difference.median, difference.maximum), (4.0, 5.0, 6.0));
        assert_eq!(timed.difference("more", "other"), None);
    }

    #[test]
    fn no_sample_has_no_spread() {
        assert_eq!(Spread::of(&[]), None);
    }
}
