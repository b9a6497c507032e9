//! Making the kernel transmit.
//!
//! In zero-copy mode a call wakes the driver, which goes on by itself. In copy mode a call takes part of the TX ring, 32 frames unless
//! more could be set, and says in its answer why it stopped:
//!
//! | answer | what it means in copy mode |
//! |---|---|
//! | ok | nothing is left, or the completion ring has no room |
//! | EAGAIN | it has taken its 32 frames; or the device or the socket's buffer is full |
//! | EBUSY | one frame was dropped on the way to the device and counts as done: no carrier, or the driver refused it |
//! | ENETDOWN | the link is administratively down; nothing was taken |
//!
//! What was taken shows in the ring's consumer index, but not always at once: kernels before the middle of 2025, 6.12 among them, store it only when they have used up
//! the entries that they saw when they last looked. 64 frames are answered there by EAGAIN with the index unmoved, then by ok with
//! all 64 gone; so EAGAIN with the index unmoved is no sign of a stall until as many calls were made as taking everything would need.
//! Source: `__xsk_generic_xmit`, net/xdp/xsk.c, `xskq_cons_peek_desc`, net/xdp/xsk_queue.h, and `__dev_direct_xmit`, net/core/dev.c, v6.12.

use rustix::io::Errno;

/// Frames that a send call takes at least before it returns, in copy mode. Source: `TX_BATCH_SIZE`, net/xdp/xsk.c, v6.12.
const FRAMES_PER_CALL: u32 = 32;

/// Calls that one flush makes at most for a TX ring of `ring` slots.
pub(super) const fn call_limit(ring: u32) -> u32 {
    ring.div_ceil(FRAMES_PER_CALL) + 1
}

/// How often the kernel was called, and what became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kicks {
    pub(super) calls: u32,
    /// Frames that the kernel took and dropped.
    pub(super) lost: u32,
    /// The last answer was an error, and nothing was seen to be taken.
    pub(super) refused: bool,
    /// The link is administratively down.
    pub(super) link_down: bool,
}

/// Calls `kick`, which answers with the kernel's word and the number of frames that are left by the ring's index, until the kernel has
/// taken all of `waiting`, surely takes nothing more now, or has been called `limit` times.
#[inline]
pub(super) fn until_taken(
    mut waiting: u32,
    limit: u32,
    zero_copy: bool,
    mut kick: impl FnMut() -> (Result<(), Errno>, u32),
) -> Kicks {
    let mut kicks = Kicks::default();
    // Calls that may have taken their 32 frames since the index last moved.
    let mut unseen_calls = 0;
    while kicks.calls < limit {
        let (answer, left) = kick();
        kicks.calls += 1;
        let lost = !zero_copy && answer == Err(Errno::BUSY);
        kicks.lost += u32::from(lost);
        if left == 0 {
            break;
        }
        let progress = left < waiting;
        if progress {
            (waiting, unseen_calls) = (left, 0);
        }
        let goes_on = match answer {
            Ok(()) => progress && !zero_copy,
            Err(Errno::AGAIN) if progress => true,
            Err(Errno::AGAIN) if !zero_copy => {
                unseen_calls += 1;
                unseen_calls < waiting.div_ceil(FRAMES_PER_CALL)
            }
            Err(_) => lost,
        };
        if !goes_on {
            kicks.refused = answer.is_err() && !progress;
            kicks.link_down = answer == Err(Errno::NETDOWN);
            break;
        }
    }
    kicks
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGAIN: Result<(), Errno> = Err(Errno::AGAIN);
    const BUSY: Result<(), Errno> = Err(Errno::BUSY);

    /// Kicks a kernel that answers as scripted, one answer per call; all answers must be asked for.
    fn kick(waiting: u32, limit: u32, zero_copy: bool, script: &[(Result<(), Errno>, u32)]) -> Kicks {
        let mut answers = script.iter().copied();
        let kicks = until_taken(waiting, limit, zero_copy, || {
            answers.next().expect("not called more often than scripted")
        });
        assert_eq!(answers.next(), None, "called as often as scripted");
        kicks
    }

    fn calls(calls: u32) -> Kicks {
        Kicks { calls, ..Kicks::default() }
    }

    /// Copy mode of kernel 6.12 on a free device: what it sees of the ring, what it has done of that, and what it shows of it.
    struct Kernel612 {
        published: u32,
        cached_producer: u32,
        cached_consumer: u32,
        shown_consumer: u32,
    }

    impl Kernel612 {
        fn peek(&mut self) -> bool {
            if self.cached_producer == self.cached_consumer {
                self.shown_consumer = self.cached_consumer;
                self.cached_producer = self.published;
            }
            self.cached_producer != self.cached_consumer
        }

        fn send(&mut self) -> (Result<(), Errno>, u32) {
            let mut budget = 32;
            while self.peek() {
                if budget == 0 {
                    return (AGAIN, self.published - self.shown_consumer);
                }
                budget -= 1;
                self.cached_consumer += 1;
            }
            (Ok(()), self.published - self.shown_consumer)
        }
    }

    #[test]
    fn copy_mode_is_called_again_for_as_long_as_it_takes_something() {
        assert_eq!(kick(70, 9, false, &[(AGAIN, 38), (AGAIN, 6), (Ok(()), 0)]), calls(3));
    }

    #[test]
    fn kernel_6_12_is_called_again_although_it_does_not_show_what_it_took() {
        assert_eq!(kick(64, 9, false, &[(AGAIN, 64), (Ok(()), 0)]), calls(2));
        assert_eq!(kick(70, 9, false, &[(AGAIN, 70), (AGAIN, 70), (Ok(()), 0)]), calls(3));
        // It saw 10 of them in the flush before, and shows those when it looks for the rest.
        assert_eq!(kick(80, 9, false, &[(AGAIN, 70), (AGAIN, 70), (Ok(()), 0)]), calls(3));
    }

    #[test]
    fn kernel_6_12_is_emptied_by_one_flush_whatever_it_saw_before() {
        for seen_before in 0..100 {
            for new in 1..200 {
                let mut kernel = Kernel612 {
                    published: seen_before + new,
                    cached_producer: seen_before,
                    cached_consumer: seen_before / 2,
                    shown_consumer: 0,
                };
                let waiting = kernel.published;
                let kicks = until_taken(waiting, call_limit(512), false, || kernel.send());
                assert_eq!(kernel.cached_consumer, kernel.published, "{seen_before} and {new}: {kicks:?}");
                assert!(!kicks.refused && kicks.calls <= waiting.div_ceil(32), "{kicks:?}");
            }
        }
    }

    #[test]
    fn a_kernel_that_takes_nothing_is_left_alone_and_counted() {
        for error in [Errno::AGAIN, Errno::NOBUFS, Errno::NXIO] {
            let refused = Kicks { refused: true, ..calls(1) };
            assert_eq!(kick(5, 9, false, &[(Err(error), 5)]), refused, "{error:?}");
        }
        assert_eq!(kick(5, 9, false, &[(AGAIN, 3), (AGAIN, 3)]), Kicks { refused: true, ..calls(2) });
    }

    #[test]
    fn a_stall_is_believed_when_all_could_have_been_taken() {
        let script = [(AGAIN, 65), (AGAIN, 65), (AGAIN, 65)];
        assert_eq!(kick(65, 9, false, &script), Kicks { refused: true, ..calls(3) });
        assert_eq!(kick(65, 9, true, &[(AGAIN, 65)]), Kicks { refused: true, ..calls(1) });
    }

    #[test]
    fn no_room_for_completions_ends_the_flush_without_an_error() {
        assert_eq!(kick(70, 9, false, &[(AGAIN, 70), (Ok(()), 70)]), calls(2));
    }

    #[test]
    fn a_frame_lost_on_the_way_is_counted_and_the_next_one_sent() {
        let script = [(BUSY, 3), (BUSY, 3), (BUSY, 3), (Ok(()), 0)];
        assert_eq!(kick(3, 9, false, &script), Kicks { lost: 3, ..calls(4) });
        assert_eq!(kick(40, 9, false, &[(BUSY, 20), (Ok(()), 0)]), Kicks { lost: 1, ..calls(2) });
        assert_eq!(kick(1, 9, false, &[(BUSY, 0)]), Kicks { lost: 1, ..calls(1) });
    }

    #[test]
    fn a_busy_zero_copy_driver_has_lost_nothing() {
        assert_eq!(kick(3, 9, true, &[(BUSY, 3)]), Kicks { refused: true, ..calls(1) });
    }

    #[test]
    fn a_link_that_is_down_is_told_apart_from_other_errors() {
        let down = Kicks { refused: true, link_down: true, ..calls(1) };
        for zero_copy in [false, true] {
            assert_eq!(kick(100, 9, zero_copy, &[(Err(Errno::NETDOWN), 100)]), down);
        }
    }

    #[test]
    fn an_error_after_progress_waits_for_the_next_flush_and_is_no_refusal() {
        assert_eq!(kick(5, 9, false, &[(Err(Errno::NOBUFS), 4)]), calls(1));
        assert_eq!(kick(5, 9, false, &[(Err(Errno::NOBUFS), 0)]), calls(1));
    }

    #[test]
    fn zero_copy_is_woken_once() {
        assert_eq!(kick(64, 9, true, &[(Ok(()), 60)]), calls(1));
    }

    #[test]
    fn the_number_of_calls_is_bounded() {
        assert_eq!(kick(10, 3, false, &[(AGAIN, 9), (AGAIN, 8), (AGAIN, 7)]), calls(3));
        assert_eq!(kick(10, 2, false, &[(BUSY, 10), (BUSY, 10)]), Kicks { lost: 2, ..calls(2) });
        assert_eq!((call_limit(1), call_limit(32), call_limit(2048)), (2, 2, 65));
    }
}
