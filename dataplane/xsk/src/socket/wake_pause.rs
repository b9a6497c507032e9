//! Sparing calls to a driver that was woken and has not come yet.
//!
//! In zero-copy mode a call does not send: it makes the card interrupt, and the driver takes what the ring holds when that comes, which
//! a card that moderates interrupts puts off by tens of microseconds. A worker goes round its queues many times meanwhile. Nothing is
//! gained by waking again before the driver has taken something; what is written until then goes with the rest. So a flush or
//! refill that sees the driver's index where it was at the last call goes without one, for 64 times at first, then twice as many, up
//! to 512. A wake-up that is lost after all, or a driver that came and could take nothing, costs so much and no more.

/// Flushes without a call after the first one. A worker that sleeps after fewer rounds makes the second call on its way to sleep, if the driver has not come by then.
pub const FIRST_FLUSHES: u32 = 64;

/// Flushes without a call between two attempts, at most.
const MOST_FLUSHES: u32 = 512;

/// Which flushes wake the driver.
#[derive(Debug, Default)]
pub(super) struct WakePause {
    /// The driver's index when it was last woken.
    woken_at: Option<u32>,
    /// Flushes that still go without a call for as long as the index stays there.
    left: u32,
    /// Length of the last pause.
    length: u32,
}

impl WakePause {
    /// Whether to wake a driver whose index is `consumed`; to be asked once per flush that has something for it.
    #[inline]
    pub(super) fn is_over(&mut self, consumed: u32) -> bool {
        if self.woken_at != Some(consumed) {
            return true;
        }
        match self.left.checked_sub(1) {
            None => true,
            Some(left) => {
                self.left = left;
                false
            }
        }
    }

    /// The driver was woken; its index was `consumed` before, and `waiting` entries were there for it. With none, its index cannot tell that it came, so
    /// it is not spared for that.
    #[inline]
    pub(super) fn woken(&mut self, consumed: u32, waiting: u32) {
        if waiting == 0 {
            return;
        }
        let again = self.woken_at == Some(consumed);
        self.length = if again { (self.length * 2).min(MOST_FLUSHES) } else { FIRST_FLUSHES };
        self.left = self.length;
        self.woken_at = Some(consumed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flushes without a call, with the driver at `consumed`, until one wakes it.
    fn pause(pause: &mut WakePause, consumed: u32) -> u32 {
        let mut flushes = 0;
        while !pause.is_over(consumed) {
            flushes += 1;
        }
        pause.woken(consumed, 1);
        flushes
    }

    #[test]
    fn a_driver_that_has_taken_something_is_woken_at_once() {
        let mut driver = WakePause::default();
        for consumed in [0, 1, 65, u32::MAX, 0] {
            assert_eq!(pause(&mut driver, consumed), 0, "{consumed}");
        }
    }

    #[test]
    fn a_driver_that_has_not_come_is_woken_by_every_513th_flush_in_the_end() {
        let mut driver = WakePause::default();
        for expected in [0, 64, 128, 256, 512, 512] {
            assert_eq!(pause(&mut driver, 7), expected);
        }
    }

    #[test]
    fn pauses_are_short_again_once_the_driver_has_come() {
        let mut driver = WakePause::default();
        for _ in 0..4 {
            pause(&mut driver, 7);
        }
        assert_eq!(pause(&mut driver, 8), 0);
        assert_eq!(pause(&mut driver, 8), 64);
    }

    #[test]
    fn a_driver_that_was_woken_with_nothing_there_is_woken_for_what_comes_then() {
        let mut driver = WakePause::default();
        pause(&mut driver, 7);
        driver.woken(8, 0);
        assert_eq!(pause(&mut driver, 8), 0);
    }
}
