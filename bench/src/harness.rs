//! Timing of code in memory: interleaved runs, median and spread.
//!
//! Runs of all cases alternate, so that a slow spell of the machine falls on all of them alike; the
//! median and the quartiles say how far to trust a number. What a case does beside its frames
//! (building them, clearing tables) belongs outside the closure.

use serde::Serialize;

use crate::engine::scenario::Scenario;
use crate::sys::allocator::{self, NotInstalled};
use crate::sys::tsc::{self, TscClock};

/// Timed passes of one run; a pass that is not timed goes before them, to warm the caches up.
const PASSES_PER_RUN: u64 = 4;

/// Something that handles frames, again and again.
pub trait Work {
    /// What has to be done between two passes, and is not measured.
    fn prepare(&mut self) {}

    /// One pass; returns the number of frames that it handled. It should take between 10 us and 10 ms: long against reading the
    /// clock, short against the scheduler's slice.
    fn run(&mut self) -> u64;

    /// Frames that a pass has to handle; one that handles another number is an error.
    fn frames(&self) -> u64;
}

/// One thing to measure.
pub struct Case<'work> {
    name: String,
    scenario: Option<Scenario>,
    work: Box<dyn Work + 'work>,
}

impl<'work> Case<'work> {
    /// A case.
    pub fn new(name: impl Into<String>, work: impl Work + 'work) -> Self {
        Self { name: name.into(), scenario: None, work: Box::new(work) }
    }

    /// The same with its scenario.
    #[must_use]
    pub fn of(self, scenario: Scenario) -> Self {
        Self { scenario: Some(scenario), ..self }
    }

    /// The case's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Prepares and runs one pass; returns what `measure` says of it. `measure` must run it once.
    ///
    /// # Errors
    /// The pass handled fewer or more frames than it has to.
    pub fn pass<T>(&mut self, measure: impl FnOnce(&mut dyn Work) -> (u64, T)) -> Result<T, HarnessError> {
        self.work.prepare();
        let expected = self.work.frames();
        let (frames, measured) = measure(self.work.as_mut());
        if frames == expected && frames > 0 {
            Ok(measured)
        } else {
            Err(HarnessError::Frames { name: self.name.clone(), frames, expected })
        }
    }
}

/// Middle and spread of one figure over all runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The fastest run.
    pub minimum: f64,
    /// A quarter of the runs are below.
    pub lower_quartile: f64,
    /// Half of the runs are below.
    pub median: f64,
    /// A quarter of the runs are above.
    pub upper_quartile: f64,
    /// The slowest run.
    pub maximum: f64,
}

impl Spread {
    /// Middle and spread of `samples`; `None` of none.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (minimum, maximum) = (*sorted.first()?, *sorted.last()?);
        Some(Self {
            minimum,
            lower_quartile: quantile(&sorted, 1),
            median: quantile(&sorted, 2),
            upper_quartile: quantile(&sorted, 3),
            maximum,
        })
    }

    /// Every figure multiplied by `factor`.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self {
            minimum: self.minimum * factor,
            lower_quartile: self.lower_quartile * factor,
            median: self.median * factor,
            upper_quartile: self.upper_quartile * factor,
            maximum: self.maximum * factor,
        }
    }
}

/// The value at `quarters` fourths of sorted, non-empty samples, between neighbours in proportion.
fn quantile(sorted: &[f64], quarters: usize) -> f64 {
    let position = (sorted.len() - 1) * quarters;
    let (low, rest) = (position / 4, position % 4);
    let high = (low + 1).min(sorted.len() - 1);
    sorted[low] + (sorted[high] - sorted[low]) * rest as f64 / 4.0
}

/// What was measured of one case.
#[derive(Debug, Clone, Serialize)]
pub struct Measurement {
    /// The case's name.
    pub name: String,
    /// What it varies, if it is one of the engine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scenario: Option<Scenario>,
    /// Frames in all timed runs.
    pub frames: u64,
    /// Time-stamp counter cycles per frame.
    pub cycles_per_frame: Spread,
    /// Nanoseconds per frame.
    pub ns_per_frame: Spread,
    /// Cycles per frame of each run, in order, in tenths: run `n` of all cases was made at about the same time.
    pub samples: Vec<f64>,
    /// Allocations in one pass after warm-up.
    pub allocations_per_pass: u64,
}

/// What was measured of all cases.
#[derive(Debug, Clone, Serialize)]
pub struct Measurements {
    /// Timed runs of each case.
    pub runs: usize,
    /// Timed passes of each run.
    pub passes_per_run: u64,
    /// The rate of the counter that `cycles` are of.
    pub tsc_hz: f64,
    /// In the order given.
    pub cases: Vec<Measurement>,
}

/// Why a measurement failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HarnessError {
    /// The program does not count allocations.
    #[error(transparent)]
    NotInstalled(#[from] NotInstalled),
    /// A pass did not handle every frame once.
    #[error("case {name:?} handled {frames} frames in a pass, not {expected}")]
    Frames {
        /// The case's name.
        name: String,
        /// Frames handled.
        frames: u64,
        /// Frames there were.
        expected: u64,
    },
    /// No runs were asked for.
    #[error("0 runs asked for, at least 1 needed")]
    NoRuns,
}

/// Times every case `runs` times, alternating between them, after one pass each to warm up and one to
/// count allocations.
///
/// # Errors
/// [`HarnessError`]: a case lost frames, or allocations are not counted.
pub fn measure(cases: &mut [Case<'_>], runs: usize) -> Result<Measurements, HarnessError> {
    let clock = TscClock::calibrate();
    let allocations = cases.iter_mut().map(warm_up).collect::<Result<Vec<_>, _>>()?;
    let mut samples = vec![Vec::with_capacity(runs); cases.len()];
    let mut frames = vec![0; cases.len()];
    for _ in 0..runs {
        for (index, case) in cases.iter_mut().enumerate() {
            let (count, cycles) = time_once(case)?;
            frames[index] += count;
            samples[index].push(cycles);
        }
    }
    let mut measured = Vec::with_capacity(cases.len());
    for (index, (case, samples)) in cases.iter().zip(samples).enumerate() {
        let cycles_per_frame = Spread::of(&samples).ok_or(HarnessError::NoRuns)?;
        measured.push(Measurement {
            name: case.name.clone(),
            scenario: case.scenario,
            frames: frames[index],
            cycles_per_frame,
            ns_per_frame: cycles_per_frame.scaled(clock.ticks_to_ns(1.0)),
            samples: samples.into_iter().map(|cycles| (cycles * 10.0).round() / 10.0).collect(),
            allocations_per_pass: allocations[index],
        });
    }
    Ok(Measurements { runs, passes_per_run: PASSES_PER_RUN, tsc_hz: clock.ticks_per_s(), cases: measured })
}

/// Runs two passes of a case and returns the second one's allocations.
fn warm_up(case: &mut Case<'_>) -> Result<u64, HarnessError> {
    case.pass(|work| (work.run(), ()))?;
    case.pass(|work| match allocator::count_during(|| work.run()) {
        Ok((frames, allocated)) => (frames, Ok(allocated.count)),
        // The pass is not at fault: its frames are right.
        Err(fault) => (work.frames(), Err(fault)),
    })?
    .map_err(HarnessError::from)
}

/// Runs a case once: frames handled, and cycles per frame.
fn time_once(case: &mut Case<'_>) -> Result<(u64, f64), HarnessError> {
    case.pass(|work| (work.run(), ()))?;
    let (mut frames, mut cycles) = (0, 0);
    for _ in 0..PASSES_PER_RUN {
        let (count, ticks) = case.pass(|work| {
            let first = tsc::ticks();
            let count = work.run();
            (count, (count, tsc::ticks() - first))
        })?;
        frames += count;
        cycles += ticks;
    }
    Ok((frames, cycles as f64 / frames as f64))
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn quartiles_lie_between_neighbours_in_proportion() {
        let spread = Spread::of(&[4.0, 1.0, 3.0, 2.0]).expect("four samples");
        let expected =
            Spread { minimum: 1.0, lower_quartile: 1.75, median: 2.5, upper_quartile: 3.25, maximum: 4.0 };
        assert_eq!(spread, expected);
    }

    #[test]
    fn no_sample_has_no_spread() {
        assert_eq!(Spread::of(&[]), None);
    }

    /// A pass that calls a closure for as many frames.
    struct Pass<F>(u64, F);

    impl<F: FnMut(u64) -> u64> Work for Pass<F> {
        fn run(&mut self) -> u64 {
            (self.1)(self.0)
        }

        fn frames(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn a_case_that_allocates_once_a_pass_is_reported_so() {
        let mut cases = [
            Case::new("allocates", Pass(100, |_| black_box(vec![1_u8; 100]).len() as u64)),
            Case::new("does not", Pass(100, |frames| (0..frames).map(black_box).count() as u64)),
        ];
        let measured = measure(&mut cases, 5).expect("measured");
        let allocations: Vec<u64> = measured.cases.iter().map(|case| case.allocations_per_pass).collect();
        assert_eq!((allocations, measured.cases[0].frames), (vec![1, 0], 5 * 4 * 100));
    }

    #[test]
    fn ten_times_the_work_takes_several_times_the_cycles() {
        let work = |rounds: u64| move |frames| (0..frames * rounds).map(black_box).count() as u64 / rounds;
        let mut cases = [Case::new("one", Pass(1000, work(1))), Case::new("ten", Pass(1000, work(10)))];
        let measured = measure(&mut cases, 51).expect("measured");
        let [one, ten] = [0, 1].map(|index: usize| measured.cases[index].cycles_per_frame.median);
        assert!(ten > 4.0 * one, "{ten} and {one}");
    }

    #[test]
    fn what_is_prepared_is_not_timed_and_samples_belong_to_their_runs() {
        struct Slow;
        impl Work for Slow {
            fn prepare(&mut self) {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            fn run(&mut self) -> u64 {
                black_box(1)
            }
            fn frames(&self) -> u64 {
                1
            }
        }
        let measured = measure(&mut [Case::new("slow", Slow)], 3).expect("measured");
        assert!(measured.cases[0].ns_per_frame.minimum < 1e6, "{measured:?}");
        assert_eq!(measured.cases[0].samples.len(), 3);
    }

    #[test]
    fn a_pass_that_loses_a_frame_has_no_figures() {
        let fault =
            measure(&mut [Case::new("leaky", Pass(10, |frames| frames - 1))], 1).expect_err("refused");
        assert_eq!(fault.to_string(), "case \"leaky\" handled 9 frames in a pass, not 10");
    }

    #[test]
    fn no_runs_are_an_error() {
        assert!(matches!(
            measure(&mut [Case::new("any", Pass(1, |frames| frames))], 0),
            Err(HarnessError::NoRuns)
        ));
    }
}
