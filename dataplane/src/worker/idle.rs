//! When a worker that finds nothing to do sleeps.
//!
//! Place on the path: once per round of the loop. Rounds are counted instead of time, as a round reads no clock. What is not here: how
//! it sleeps, and what wakes it.

/// As a number of rounds: never sleep.
pub const NEVER: u32 = u32::MAX;

/// What a worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next round.
    Work,
    /// The next round, after a breath.
    Spin,
    /// Sleep until something happens.
    Sleep,
}

/// Counts rounds without a frame.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    rounds: u32,
    so_far: u32,
}

impl Idle {
    /// Sleeps after so many rounds without a frame; [`NEVER`]: never.
    #[must_use]
    pub const fn new(rounds: u32) -> Self {
        Self { rounds, so_far: 0 }
    }

    /// What comes after a round that received so many frames.
    #[inline]
    pub const fn after(&mut self, received: usize) -> Next {
        if received > 0 {
            self.so_far = 0;
            return Next::Work;
        }
        if self.rounds == NEVER {
            return Next::Spin;
        }
        if self.so_far < self.rounds {
            self.so_far += 1;
            return Next::Spin;
        }
        Next::Sleep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_sleeps_after_its_rounds_and_again_after_each_that_woke_it_for_nothing() {
        let mut idle = Idle::new(2);
        let next: Vec<_> = [0, 0, 0, 0, 5, 0, 0, 0].map(|received| idle.after(received)).into();
        use Next::{Sleep, Spin, Work};
        assert_eq!(next, [Spin, Spin, Sleep, Sleep, Work, Spin, Spin, Sleep]);
    }

    #[test]
    fn no_rounds_is_to_sleep_at_once() {
        let mut idle = Idle::new(0);
        assert_eq!([idle.after(1), idle.after(0)], [Next::Work, Next::Sleep]);
    }

    #[test]
    fn a_busy_worker_never_sleeps_however_long_nothing_comes() {
        let mut idle = Idle { so_far: NEVER - 1, ..Idle::new(NEVER) };
        assert_eq!([idle.after(0), idle.after(0), idle.after(0)], [Next::Spin; 3]);
    }
}
