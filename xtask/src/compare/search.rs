//! Search: the highest rate without loss, by trials at rates between one that passed and one that failed.
//!
//! After RFC 2544 §26.1: binary search over the rate, loss by count of frames. Trials here are shorter than its 60 s, and a
//! stated share of frames may be lost.

/// What is taken for the rate when nothing is known. Units: frames/s.
const FIRST_RATE: u64 = 250_000;

/// No rate above this is tried. Units: frames/s.
const HIGHEST_RATE: u64 = 16_000_000;

/// A system that fails at this carries nothing. Units: frames/s.
const LOWEST_RATE: u64 = 500;

/// Most trials of a search.
const MAX_TRIALS: u32 = 16;

/// A search under way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Search {
    passed: Option<u64>,
    failed: Option<u64>,
    first: u64,
    /// The search ends when the failed rate is at most this many times the passed one.
    close: f64,
    /// How much is gone up or down while only one side is known.
    step: f64,
    trials: u32,
}

impl Search {
    /// A search from nothing, until the failed rate is at most `close` times the passed one.
    pub(super) fn new(close: f64) -> Self {
        Self { passed: None, failed: None, first: FIRST_RATE, close, step: 2.0, trials: 0 }
    }

    /// A search near a rate that was found before.
    pub(super) fn near(rate: u64, close: f64) -> Self {
        Self { first: rate.max(LOWEST_RATE), step: 1.15, ..Self::new(close) }
    }

    /// The next rate to try; `None` when the search is over.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates far below 2^53"
    )]
    pub(super) fn next(&self) -> Option<u64> {
        if self.trials >= MAX_TRIALS {
            return None;
        }
        let scaled = |rate: u64, factor: f64| (rate as f64 * factor) as u64;
        match (self.passed, self.failed) {
            (None, None) => Some(self.first),
            (Some(passed), None) if passed >= HIGHEST_RATE => None,
            (Some(passed), None) => Some(scaled(passed, self.step).min(HIGHEST_RATE)),
            (None, Some(failed)) if failed <= LOWEST_RATE => None,
            (None, Some(failed)) => Some(scaled(failed, 1.0 / self.step).max(LOWEST_RATE)),
            (Some(passed), Some(failed)) if failed as f64 <= passed as f64 * self.close => None,
            (Some(passed), Some(failed)) => Some((passed as f64 * failed as f64).sqrt() as u64),
        }
    }

    /// Notes the outcome of a trial.
    pub(super) fn note(&mut self, rate: u64, passes: bool) {
        self.trials += 1;
        // Where only one side is known, the steps grow: a first guess may be far off.
        self.step = if self.passed.is_none() || self.failed.is_none() {
            self.step.powf(1.3).min(4.0)
        } else {
            self.step
        };
        let side = if passes { &mut self.passed } else { &mut self.failed };
        *side = Some(rate);
    }

    /// The highest rate that passed.
    pub(super) fn found(&self) -> Option<u64> {
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches for a system that carries `truth` frames a second.
    fn run(mut search: Search, truth: u64) -> Search {
        while let Some(rate) = search.next() {
            search.note(rate, rate <= truth);
        }
        search
    }

    #[test]
    fn the_rate_is_found_from_below_and_from_above() {
        for truth in [700, 5_000, 40_000, 249_999, 250_000, 1_000_000, 7_000_000] {
            let found = run(Search::new(1.03), truth).found().unwrap();
            assert!(found <= truth && found * 103 / 100 + 1 >= truth, "{truth}: found {found}");
        }
    }

    #[test]
    fn a_search_near_the_rate_takes_few_trials() {
        for truth in [95_000, 100_000, 110_000] {
            let search = run(Search::near(100_000, 1.03), truth);
            let found = search.found().unwrap();
            assert!(found <= truth && found * 103 / 100 + 1 >= truth, "{truth}: found {found}");
            assert!(search.trials <= 6, "{search:?}");
        }
    }

    #[test]
    fn a_system_that_carries_nothing_has_no_rate_and_the_search_ends() {
        assert_eq!(run(Search::new(1.03), 0).found(), None);
    }

    #[test]
    fn a_system_without_a_limit_ends_at_the_highest_rate() {
        assert_eq!(run(Search::new(1.03), u64::MAX).found(), Some(HIGHEST_RATE));
    }
}
