//! chain: linear frames, one behind the other, become one frame.
//!
//! Place on the path: where a packet of several chunks is made of parts: out of fragments, or as a fragment itself. Nothing is copied.

use arrayvec::ArrayVec;
use xsk::{ChunkCache, Frame, MAX_SEGMENTS};

/// Frames that are to become one, in order.
pub(crate) type Parts = ArrayVec<Frame, MAX_SEGMENTS>;

/// Adds the segments of a frame, each as a linear frame; empty ones are left out. `None`: they are too many, and those that found no
/// place are back in `cache`.
pub(crate) fn add(parts: &mut Parts, mut frame: Frame, cache: &mut ChunkCache) -> Option<()> {
    loop {
        let rest = frame.take_rest();
        if frame.is_empty() {
            cache.give_frame(frame);
        } else if let Err(refused) = parts.try_push(frame) {
            cache.give_frame(refused.element());
            rest.into_iter().for_each(|rest| cache.give_frame(rest));
            return None;
        }
        match rest {
            Some(next) => frame = next,
            None => return Some(()),
        }
    }
}

/// Makes one frame of all. `None`: they are too long together, or one has no room for a link; all are back in `cache`.
pub(crate) fn join(parts: &mut Parts, cache: &mut ChunkCache) -> Option<Frame> {
    let mut whole = parts.pop()?;
    while let Some(front) = parts.pop() {
        whole = match front.followed_by(whole) {
            Ok(longer) => longer,
            Err((front, rest)) => {
                [front, rest].into_iter().chain(parts.drain(..)).for_each(|frame| cache.give_frame(frame));
                return None;
            }
        };
    }
    Some(whole)
}
