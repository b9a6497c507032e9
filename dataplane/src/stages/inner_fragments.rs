//! inner_fragments: an IPv4 packet that is too large for a pseudowire goes through it in pieces.
//!
//! ```text
//! | Ethernet, tags | IPv4 header        | payload ...............................|
//! | Ethernet, tags | IPv4, more follow  | payload ....|
//!               | Ethernet, tags | IPv4, at 1416 | payload ......................|
//! ```
//! Place on the path: called by `too_big` for sessions with `fragmentation = "inner"`. Each piece is a frame of its own in
//! a chunk of its own; the frame itself stays as it is. The receiving host puts the packet together, not the peer.
//! Deliberately not here: fragments of outer packets.

use arrayvec::ArrayVec;
use wire::{
    ethernet::{self, EtherType},
    ipv4::{
        self,
        fragments::{Fragment, Fragments},
    },
    overhead::ETHERNET_MIN_BYTES,
};
use xsk::Frame;

use super::{
    COPY_START_BYTES, Context, Exits,
    send::{count_at_member, leave},
};
use crate::{ports::Port, tables::bridge_domains::Member, verdict::DropReason};

/// Most pieces that one frame is cut into: a jumbo frame on the smallest path that is believed.
const MAX_FRAGMENTS: usize = 24;

/// Longest frame of several chunks that is cut up: longer than the jumbo frames of any LAN. It stands on the stack meanwhile.
/// Units: bytes.
const MAX_CHAINED_BYTES: usize = 16 << 10;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Every piece left.
    Sent,
    /// At least one piece did not leave: the packet is lost. The reason is counted at the member.
    Failed(DropReason),
    /// It is no IPv4 packet, its sender forbids it, or it cannot be done.
    Impossible,
}

/// Sends the pieces of a frame by a member that takes frames of up to `largest` bytes. Nothing leaves unless there are
/// chunks for all of them.
pub(super) fn run<P: Port>(
    context: &Context<'_>,
    frame: &Frame,
    largest: usize,
    member: &Member,
    exits: &mut Exits<'_, P>,
) -> Cut {
    match frame.linear() {
        Some(bytes) => run_on(context, bytes, largest, member, exits),
        None => run_chained(context, frame, largest, member, exits),
    }
}

/// [`run`] for a frame that stands in several chunks: its bytes are brought together first.
#[cold]
#[inline(never)]
fn run_chained<P: Port>(
    context: &Context<'_>,
    frame: &Frame,
    largest: usize,
    member: &Member,
    exits: &mut Exits<'_, P>,
) -> Cut {
    let mut whole = [0; MAX_CHAINED_BYTES];
    let Some(bytes) = whole.get_mut(..frame.len()) else { return Cut::Impossible };
    match frame.read_at(0, bytes) {
        Some(()) => run_on(context, bytes, largest, member, exits),
        None => Cut::Impossible,
    }
}

fn run_on<P: Port>(
    context: &Context<'_>,
    bytes: &[u8],
    largest: usize,
    member: &Member,
    exits: &mut Exits<'_, P>,
) -> Cut {
    // A path may take more than the one chunk that a piece stands in.
    let room = exits.cache.pool().umem().chunk_bytes().saturating_sub(COPY_START_BYTES);
    let Some((link, fragments)) = cut(bytes, largest.min(room)) else { return Cut::Impossible };
    let mut pieces: ArrayVec<Frame, MAX_FRAGMENTS> = ArrayVec::new();
    let made = fragments.take(MAX_FRAGMENTS).try_for_each(|fragment| {
        let piece = write(link, &fragment, exits)?;
        // There is room for as many as are taken.
        pieces.try_push(piece).map_err(|refused| {
            exits.cache.give_frame(refused.element());
            DropReason::TooBig
        })
    });
    let mut outcome = made;
    for piece in pieces {
        match outcome {
            Ok(()) => outcome = leave(context, piece, member, exits),
            Err(_) => exits.cache.give_frame(piece),
        }
    }
    match (made, outcome) {
        (Ok(()), Ok(())) => Cut::Sent,
        // What did not leave was counted by `leave`.
        (Ok(()), Err(reason)) => Cut::Failed(reason),
        (Err(reason), _) => {
            count_at_member(context, member, reason);
            Cut::Failed(reason)
        }
    }
}

/// The bytes in front of a frame's IPv4 packet, and the packet's fragments.
fn cut(frame: &[u8], largest: usize) -> Option<(&[u8], Fragments<'_>)> {
    let view = ethernet::read(frame).ok()?;
    if view.ethertype != EtherType::IPV4 {
        return None;
    }
    let (header, options, payload) = ipv4::split(view.payload).ok()?;
    // A router drops what has a wrong checksum (RFC 1812 §5.2.2); cutting it up would make the checksum right.
    ipv4::verify_checksum(header, options).ok()?;
    if header.dont_fragment() {
        return None;
    }
    let mtu = largest.checked_sub(view.payload_offset)?;
    let fragments = Fragments::new(header, options, payload, mtu).ok()?;
    let packet_bytes = usize::from(header.total_length.get());
    let unit = mtu.checked_sub(header.header_bytes())? / 8 * 8;
    (packet_bytes <= unit.saturating_mul(MAX_FRAGMENTS))
        .then_some((frame.get(..view.payload_offset)?, fragments))
}

/// One piece: the link header of the whole, then the fragment, then what an Ethernet frame needs to be long enough.
fn write<P>(link: &[u8], fragment: &Fragment<'_>, exits: &mut Exits<'_, P>) -> Result<Frame, DropReason> {
    let bytes = (link.len() + fragment.packet_bytes()).max(ETHERNET_MIN_BYTES);
    let chunk = exits.cache.take().ok_or(DropReason::NoChunk)?;
    let mut piece = Frame::new(chunk, COPY_START_BYTES, bytes).map_err(|chunk| {
        exits.cache.give(chunk);
        DropReason::TooBig
    })?;
    match fill(piece.head_mut(), link, fragment) {
        Some(()) => Ok(piece),
        None => {
            exits.cache.give_frame(piece);
            Err(DropReason::TooBig)
        }
    }
}

fn fill(out: &mut [u8], link: &[u8], fragment: &Fragment<'_>) -> Option<()> {
    let (front, packet) = out.split_at_mut_checked(link.len())?;
    front.copy_from_slice(link);
    fragment.write(packet).ok()?.fill(0);
    Some(())
}
