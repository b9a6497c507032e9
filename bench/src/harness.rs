//! Timing of code in memory: interleaved runs, median and spread.
//!
//! Runs of all cases alternate, so that a slow spell of the machine falls on all of them alike; the
//! median and the quartiles say how far to trust a number. What a case does beside its frames
//! (building them, clearing tables) belongs outside the closure.

use serde::Serialize;

use crate::sys::allocator::{self, NotInstalled};
use crate::sys::tsc::{self, TscClock};

/// One thing to time.
pub struct Case<'work> {
    name: String,
    work: Box<dyn FnMut() -> u64 + 'work>,
}

impl<'work> Case<'work> {
    /// A case whose `work` handles some frames and returns their number. One call should take between
    /// 0.1 ms and 10 ms: long against reading the clock, short against the scheduler's slice.
    pub fn new(name: impl Into<String>, work: impl FnMut() -> u64 + 'work) -> Self {
        Self { name: name.into(), work: Box::new(work) }
    }

    /// The case's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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
    fn scaled(self, factor: f64) -> Self {
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
    /// Frames in all timed runs.
    pub frames: u64,
    /// Time-stamp counter cycles per frame.
    pub cycles_per_frame: Spread,
    /// Nanoseconds per frame.
    pub ns_per_frame: Spread,
    /// Allocations in one run after warm-up.
    pub allocations_per_run: u64,
}

/// What was measured of all cases.
#[derive(Debug, Clone, Serialize)]
pub struct Measurements {
    /// Timed runs of each case.
    pub runs: usize,
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
    /// A case handled no frame, so that there is nothing to divide by.
    #[error("case {name} handled no frame")]
    NoFrames {
        /// The case's name.
        name: String,
    },
    /// No runs were asked for.
    #[error("0 runs asked for, at least 1 needed")]
    NoRuns,
}

/// Times every case `runs` times, alternating between them, after one run each to warm up and one to
/// count allocations.
///
/// # Errors
/// [`HarnessError`]: nothing to divide by, or allocations are not counted.
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
    for (index, case) in cases.iter().enumerate() {
        let cycles_per_frame = Spread::of(&samples[index]).ok_or(HarnessError::NoRuns)?;
        measured.push(Measurement {
            name: case.name.clone(),
            frames: frames[index],
            cycles_per_frame,
            ns_per_frame: cycles_per_frame.scaled(clock.ticks_to_ns(1.0)),
            allocations_per_run: allocations[index],
        });
    }
    Ok(Measurements { runs, tsc_hz: clock.ticks_per_s(), cases: measured })
}

/// Runs a case twice and returns the second run's allocations.
fn warm_up(case: &mut Case<'_>) -> Result<u64, HarnessError> {
    (case.work)();
    let (_, allocated) = allocator::count_during(&mut case.work)?;
    Ok(allocated.count)
}

/// Runs a case once: frames handled, and cycles per frame.
fn time_once(case: &mut Case<'_>) -> Result<(u64, f64), HarnessError> {
    let first = tsc::ticks();
    let count = (case.work)();
    let last = tsc::ticks();
    if count == 0 {
        return Err(HarnessError::NoFrames { name: case.name.clone() });
    }
    Ok((count, (last - first) as f64 / count as f64))
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

    #[test]
    fn a_case_that_allocates_once_a_run_is_reported_so() {
        let mut cases = [
            Case::new("allocates", || black_box(vec![1_u8; 100]).len() as u64),
            Case::new("does not", || (0..100_u64).map(black_box).count() as u64),
        ];
        let measured = measure(&mut cases, 5).expect("measured");
        let allocations: Vec<u64> = measured.cases.iter().map(|case| case.allocations_per_run).collect();
        assert_eq!((allocations, measured.cases[0].frames), (vec![1, 0], 500));
    }

    #[test]
    fn ten_times_the_work_takes_several_times_the_cycles() {
        let work = |rounds: u64| move || (0..1000 * rounds).map(black_box).count() as u64 / rounds;
        let mut cases = [Case::new("once", work(1)), Case::new("ten times", work(10))];
        let measured = measure(&mut cases, 21).expect("measured");
        let ratio = measured.cases[1].cycles_per_frame.minimum / measured.cases[0].cycles_per_frame.minimum;
        assert!((5.0..20.0).contains(&ratio), "ratio {ratio}");
    }

    #[test]
    fn a_case_without_frames_is_refused_by_name() {
        let error = measure(&mut [Case::new("idle", || 0)], 1).expect_err("nothing to divide by");
        assert_eq!(error, HarnessError::NoFrames { name: "idle".to_owned() });
    }
}
