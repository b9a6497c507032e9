//! fragment: an outer packet that is longer than its path allows leaves in several pieces.
//!
//! ```text
//!  | Ethernet | IP | UDP | L2TPv3 | inner frame ....................................... |
//!  | Ethernet | IP | UDP | L2TPv3 | inner frame ...... |          where it was, cut short
//!                      | Ethernet | IP | ... the rest .. |        copied to further chunks
//! ```
//! Place on the path: called by `send` behind `encap`, for sessions that cut (`fragmentation = "outer"`). All pieces but the
//! last are as long as the path allows, so that few bytes are copied. All leave or none: without a chunk for each, or without room in the
//! ring for all, the packet is dropped whole.
//!
//! IPv4: header copied, offset and "more fragments" set (RFC 791 §3.2). IPv6: only the source may cut, which is what a gateway
//! is to its outer packets; a fragment header follows the IPv6 header (RFC 8200 §4.5).

use core::ops::Range;

use arrayvec::ArrayVec;
use wire::{
    ipv4::Ipv4Header,
    ipv6::{FRAGMENT_HEADER_BYTES, FragmentHeader, Ipv6Header, NEXT_FRAGMENT},
};
use xsk::{ChunkCache, Frame, SEGMENT_START_BYTES};
use zerocopy::{FromBytes, IntoBytes};

use super::{Exits, identification::Identification};
use crate::{
    chain::{self, Parts},
    ports::Port,
    reassembly::FRAGMENTS_PER_PACKET,
    tables::{PortId, next_hops::Cut},
    verdict::DropReason,
};

/// Offset in its chunk at which a further piece starts. Units: bytes.
const PIECE_START_BYTES: usize = wire::overhead::XDP_HEADROOM_BYTES;

/// An IPv6 header, as a value of the length fields. Units: bytes.
const IPV6_LENGTH: u16 = 40;
const _: () = assert!(IPV6_LENGTH as usize == size_of::<Ipv6Header>());

/// The pieces behind the first.
type Rest = ArrayVec<Frame, FRAGMENTS_PER_PACKET>;

/// Sends an encapsulated packet in pieces. Returns how many.
///
/// # Errors
/// Why nothing was sent; every chunk is back in the cache.
#[cold]
pub(super) fn send<P: Port>(
    mut frame: Frame,
    port: PortId,
    cut: &Cut,
    exits: &mut Exits<'_, P>,
) -> Result<u64, DropReason> {
    let mut rest = Rest::new();
    let made = pieces(&mut frame, cut, exits.identification, exits.cache, &mut rest);
    let pieces = || core::iter::once(&frame).chain(&rest);
    if let Err(reason) = made.and_then(|()| check_room(port, pieces(), exits)) {
        core::iter::once(frame).chain(rest).for_each(|piece| exits.cache.give_frame(piece));
        return Err(reason);
    }
    let mut count = 0;
    for piece in core::iter::once(frame).chain(rest) {
        // There is room: it was seen above, and nobody else writes to the ring.
        let refused = match exits.ports.tx(port) {
            Some(queue) => queue.transmit(piece).err(),
            None => Some(piece),
        };
        match refused {
            None => count += 1,
            Some(piece) => exits.cache.give_frame(piece),
        }
    }
    Ok(count)
}

/// Whether the port takes all pieces now.
fn check_room<'f, P: Port>(
    port: PortId,
    pieces: impl Iterator<Item = &'f Frame>,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    let queue = exits.ports.tx(port).ok_or(DropReason::NoTxQueue)?;
    let (mut most, mut all) = (0, 0);
    for segments in pieces.map(Frame::segment_count) {
        (most, all) = (segments.max(most), all + segments);
    }
    if most > queue.max_segments() {
        return Err(DropReason::TooManySegments);
    }
    if queue.has_room(all) || exits.ports.make_room(port, all, exits.cache) {
        return Ok(());
    }
    Err(DropReason::TxRingFull)
}

/// Makes the pieces: `frame` becomes the first, the others go to `rest`.
fn pieces(
    frame: &mut Frame,
    cut: &Cut,
    identification: &mut Identification,
    cache: &mut ChunkCache,
    rest: &mut Rest,
) -> Result<(), DropReason> {
    let form = Form::of(frame, cut, identification).ok_or(DropReason::TooBig)?;
    let (header_bytes, unit) = (cut.link_bytes + form.header_bytes(), cut.piece_bytes);
    let payload_bytes = frame.len().checked_sub(header_bytes).ok_or(DropReason::TooBig)?;
    for offset in (0..payload_bytes).step_by(unit.max(1)).skip(1) {
        let len = unit.min(payload_bytes - offset);
        let mut piece = copy(frame, header_bytes, offset..offset + len, form.added_bytes(), cache)?;
        let more = offset + len < payload_bytes;
        let written = form.write(&mut piece, cut.link_bytes, offset, more);
        let kept = rest.try_push(piece).map_err(|refused| cache.give_frame(refused.element()));
        kept.ok().and(written).ok_or(DropReason::TooBig)?;
    }
    frame.truncate(header_bytes + unit, cache);
    flatten(frame, cache);
    if form.added_bytes() > 0 {
        make_gap(frame, header_bytes, form.added_bytes()).ok_or(DropReason::NoHeadroom)?;
    }
    form.write(frame, cut.link_bytes, 0, true).ok_or(DropReason::TooBig)
}

/// A further piece: the headers, a gap, and a part of the payload; in several chunks where one does not hold it.
fn copy(
    frame: &Frame,
    header_bytes: usize,
    part: Range<usize>,
    gap: usize,
    cache: &mut ChunkCache,
) -> Result<Frame, DropReason> {
    let mut chain = Parts::new();
    let whole = fill(&mut chain, frame, header_bytes, part, gap, cache)
        .and_then(|()| chain::join(&mut chain, cache).ok_or(DropReason::TooBig));
    chain.drain(..).for_each(|piece| cache.give_frame(piece));
    whole
}

/// Copies into as many chunks as it takes.
fn fill(
    chain: &mut Parts,
    frame: &Frame,
    header_bytes: usize,
    part: Range<usize>,
    gap: usize,
    cache: &mut ChunkCache,
) -> Result<(), DropReason> {
    let (mut at, end) = (header_bytes + part.start, header_bytes + part.end);
    let (mut front, mut start) = (header_bytes, PIECE_START_BYTES);
    while at < end {
        let gap = if front > 0 { gap } else { 0 };
        let chunk = cache.take().ok_or(DropReason::NoChunk)?;
        let room = chunk.room_bytes().saturating_sub(start + front + gap);
        let count = room.min(end - at);
        let mut segment = Frame::new(chunk, start, front + gap + count).map_err(|chunk| {
            cache.give(chunk);
            DropReason::TooBig
        })?;
        let copied = segment.head_mut().split_at_mut_checked(front + gap).and_then(|(headers, payload)| {
            frame.read_at(0, headers.get_mut(..front)?)?;
            frame.read_at(at, payload)
        });
        let kept = chain.try_push(segment).map_err(|refused| cache.give_frame(refused.element()));
        kept.ok().and(copied).filter(|()| count > 0).ok_or(DropReason::TooBig)?;
        (at, front, start) = (at + count, 0, SEGMENT_START_BYTES);
    }
    Ok(())
}

/// Lets a frame of several chunks stand in one, if one holds it and there is one: not every port sends others.
fn flatten(frame: &mut Frame, cache: &mut ChunkCache) {
    if frame.is_linear() {
        return;
    }
    let Some(chunk) = cache.take() else { return };
    match frame.copy_into(chunk, PIECE_START_BYTES) {
        Ok(flat) => cache.give_frame(core::mem::replace(frame, flat)),
        Err(chunk) => cache.give(chunk),
    }
}

/// Moves the headers `gap` bytes away from the payload.
fn make_gap(frame: &mut Frame, header_bytes: usize, gap: usize) -> Option<()> {
    frame.push_front(gap)?.get_mut(..gap + header_bytes)?.copy_within(gap.., 0);
    Some(())
}

/// How pieces of a packet are told to be such.
#[derive(Clone, Copy)]
enum Form {
    /// By the IPv4 header; its identification is there since encapsulation.
    V4,
    /// By a fragment header.
    V6 { next_header: u8, identification: u32 },
}

impl Form {
    /// That of an encapsulated packet.
    fn of(frame: &Frame, cut: &Cut, identification: &mut Identification) -> Option<Self> {
        let packet = frame.head().get(cut.link_bytes..)?;
        if packet.first()? >> 4 == 4 {
            return Some(Self::V4);
        }
        let (header, _) = Ipv6Header::ref_from_prefix(packet).ok()?;
        Some(Self::V6 { next_header: header.next_header, identification: identification.next_ipv6() })
    }

    /// Length of the IP header. Units: bytes.
    const fn header_bytes(self) -> usize {
        match self {
            Self::V4 => size_of::<Ipv4Header>(),
            Self::V6 { .. } => size_of::<Ipv6Header>(),
        }
    }

    /// What follows it in each piece. Units: bytes.
    const fn added_bytes(self) -> usize {
        match self {
            Self::V4 => 0,
            Self::V6 { .. } => FRAGMENT_HEADER_BYTES,
        }
    }

    /// Writes a piece's headers behind `link_bytes`; its payload stands at `offset` of the packet's.
    fn write(self, piece: &mut Frame, link_bytes: usize, offset: usize, more: bool) -> Option<()> {
        let packet_bytes = u16::try_from(piece.len().checked_sub(link_bytes)?).ok()?;
        let offset = u16::try_from(offset).ok()?;
        let packet = piece.head_mut().get_mut(link_bytes..)?;
        match self {
            Self::V4 => {
                let (header, _) = Ipv4Header::mut_from_prefix(packet).ok()?;
                header.total_length.set(packet_bytes);
                header.set_fragment(offset, more);
                header.seal(&[]);
            }
            Self::V6 { next_header, identification } => {
                let (header, rest) = Ipv6Header::mut_from_prefix(packet).ok()?;
                header.next_header = NEXT_FRAGMENT;
                header.payload_length.set(packet_bytes.checked_sub(IPV6_LENGTH)?);
                let fragment = FragmentHeader::new(next_header, offset, more, identification);
                rest.get_mut(..FRAGMENT_HEADER_BYTES)?.copy_from_slice(fragment.as_bytes());
            }
        }
        Some(())
    }
}
