//! Making the kernel transmit.
//!
//! In copy mode one system call takes a part of the TX ring (32 frames, unless the kernel let more be set) and answers "again"; it does so,
//! too, when it can take nothing. Only the ring's consumer index tells the two apart.

use rustix::io::Errno;

/// How often the kernel was called, and whether it refused in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kicks {
    pub(super) calls: u32,
    pub(super) refused: bool,
}

/// Calls `kick`, which answers with the kernel's word and the number of frames that are left, until the kernel has taken all of
/// `waiting`, takes nothing more, or has been called `limit` times.
#[inline]
pub(super) fn until_taken(
    mut waiting: u32,
    limit: u32,
    zero_copy: bool,
    mut kick: impl FnMut() -> (Result<(), Errno>, u32),
) -> Kicks {
    for calls in 1..=limit {
        let (answer, left) = kick();
        let progress = left < waiting;
        let goes_on = match answer {
            _ if left == 0 => false,
            Err(Errno::AGAIN) => progress,
            // Zero-copy: the driver is awake and goes on by itself.
            Ok(()) => progress && !zero_copy,
            Err(_) => false,
        };
        if !goes_on {
            let refused = answer.is_err() && !progress && left != 0;
            return Kicks { calls, refused };
        }
        waiting = left;
    }
    Kicks { calls: limit, refused: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kicks a kernel that answers as scripted, one answer per call.
    fn kick(waiting: u32, limit: u32, zero_copy: bool, script: &[(Result<(), Errno>, u32)]) -> Kicks {
        let mut answers = script.iter().copied();
        until_taken(waiting, limit, zero_copy, || {
            answers.next().expect("not called more often than scripted")
        })
    }

    #[test]
    fn copy_mode_is_called_again_for_as_long_as_it_takes_something() {
        let script = [(Err(Errno::AGAIN), 38), (Err(Errno::AGAIN), 6), (Ok(()), 0)];
        assert_eq!(kick(70, 9, false, &script), Kicks { calls: 3, refused: false });
    }

    #[test]
    fn a_kernel_that_takes_nothing_is_left_alone_and_counted() {
        for error in [Errno::AGAIN, Errno::BUSY, Errno::NOBUFS, Errno::NETDOWN, Errno::NXIO] {
            assert_eq!(kick(5, 9, false, &[(Err(error), 5)]), Kicks { calls: 1, refused: true }, "{error:?}");
        }
        let script = [(Err(Errno::AGAIN), 3), (Err(Errno::AGAIN), 3)];
        assert_eq!(kick(5, 9, false, &script), Kicks { calls: 2, refused: true });
    }

    #[test]
    fn an_error_after_progress_waits_for_the_next_flush_and_is_no_refusal() {
        assert_eq!(kick(5, 9, false, &[(Err(Errno::BUSY), 4)]), Kicks { calls: 1, refused: false });
        assert_eq!(kick(5, 9, false, &[(Err(Errno::NOBUFS), 0)]), Kicks { calls: 1, refused: false });
    }

    #[test]
    fn zero_copy_is_woken_once() {
        assert_eq!(kick(64, 9, true, &[(Ok(()), 60)]), Kicks { calls: 1, refused: false });
    }

    #[test]
    fn the_number_of_calls_is_bounded() {
        let script = [(Err(Errno::AGAIN), 9), (Err(Errno::AGAIN), 8), (Err(Errno::AGAIN), 7)];
        assert_eq!(kick(10, 3, false, &script), Kicks { calls: 3, refused: false });
    }
}
