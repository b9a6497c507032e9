//! Sparing calls to a link that is administratively down.
//!
//! There every send fails with ENETDOWN and takes nothing, and a worker that has frames in the ring comes back every millisecond or
//! more often. So after a failure some flushes go without a call, twice as many after each further failure, up to 256.

/// Flushes without a call between two attempts, at most.
const MOST_FLUSHES: u32 = 256;

/// Which flushes call the kernel.
#[derive(Debug)]
pub(super) struct LinkPause {
    /// Flushes that still go without a call.
    left: u32,
    /// Length of the pause that the next failure starts.
    next: u32,
}

impl LinkPause {
    /// For a link that is up as far as is known.
    pub(super) fn new() -> Self {
        Self { left: 0, next: 1 }
    }

    /// Whether this flush calls the kernel; to be asked once per flush that has something to send.
    #[inline]
    pub(super) fn is_over(&mut self) -> bool {
        match self.left.checked_sub(1) {
            None => true,
            Some(left) => {
                self.left = left;
                false
            }
        }
    }

    /// What the call showed.
    #[inline]
    pub(super) fn learn(&mut self, link_down: bool) {
        if link_down {
            self.left = self.next;
            self.next = (self.next * 2).min(MOST_FLUSHES);
        } else {
            self.next = 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flushes until the kernel is called.
    fn pause(pause: &mut LinkPause) -> u32 {
        let mut flushes = 0;
        while !pause.is_over() {
            flushes += 1;
        }
        flushes
    }

    #[test]
    fn a_link_that_is_up_is_called_by_every_flush() {
        let mut link = LinkPause::new();
        for _ in 0..3 {
            assert!(link.is_over());
            link.learn(false);
        }
    }

    #[test]
    fn a_link_that_stays_down_is_called_by_every_257th_flush_in_the_end() {
        let mut link = LinkPause::new();
        for expected in [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 256] {
            assert_eq!(pause(&mut link), expected);
            link.learn(true);
        }
    }

    #[test]
    fn a_link_that_came_up_is_called_by_every_flush_again() {
        let mut link = LinkPause::new();
        for _ in 0..5 {
            pause(&mut link);
            link.learn(true);
        }
        assert_eq!(pause(&mut link), 16);
        link.learn(false);
        assert_eq!(pause(&mut link), 0);
        link.learn(true);
        assert_eq!(pause(&mut link), 1, "a new outage starts with a short pause");
    }
}
