//! fragment: an outer packet that is longer than its path allows leaves in several pieces.
//!
//! ```text
//!  | Ethernet | IP | UDP | L2TPv3 | inner frame ....................................... |
//!  | Ethernet | IP | UDP | L2TPv3 | inner frame ...... |          the same chunk, cut short
//!                      | Ethernet | IP | ... the rest .. |        copied to further chunks
//! ```
//! Place on the path: called by `send` behind `encap`, for sessions that cut (`fragmentation = "outer"`). All pieces but the
//! last are as long as the path allows, so that few bytes are copied. All leave or none: without a chunk for each, or without room in the
//! ring for all, the packet is dropped whole.
//!
//! IPv4: header copied, offset and "more fragments" set (RFC 791 §3.2). IPv6: only the source may cut, which is what a gateway
//! is to its outer packets; a fragment header follows the IPv6 header (RFC 8200 §4.5).

use arrayvec::ArrayVec;
use wire::{
    ipv4::Ipv4Header,
    ipv6::{FRAGMENT_HEADER_BYTES, FragmentHeader, Ipv6Header, NEXT_FRAGMENT},
};
use xsk::{ChunkCache, Frame};
use zerocopy::{FromBytes, IntoBytes};

use super::{Exits, identification::Identification};
use crate::{
    ports::Port,
    reassembly::FRAGMENTS_PER_PACKET,
    tables::{PortId, next_hops::Cut},
    verdict::DropReason,
};

/// Offset in its chunk at which a further piece starts. Units: bytes.
const PIECE_START_BYTES: usize = wire::overhead::XDP_HEADROOM_BYTES;

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
    let sent = pieces(&mut frame, cut, exits.identification, exits.cache, &mut rest)
        .and_then(|()| has_room(port, rest.len() + 1, exits));
    if let Err(reason) = sent {
        core::iter::once(frame).chain(rest).for_each(|piece| exits.cache.give(piece.into_chunk()));
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
            Some(piece) => exits.cache.give(piece.into_chunk()),
        }
    }
    Ok(count)
}

/// Whether the port's ring takes all pieces.
fn has_room<P: Port>(port: PortId, count: usize, exits: &mut Exits<'_, P>) -> Result<(), DropReason> {
    let queue = exits.ports.tx(port).ok_or(DropReason::NoTxQueue)?;
    if queue.has_room(count) || exits.ports.make_room(port, count, exits.cache) {
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
    let mut offset = unit;
    while offset < payload_bytes {
        let len = unit.min(payload_bytes - offset);
        let piece = copy(frame, header_bytes, offset, len, form.added_bytes(), cache)?;
        rest.try_push(piece).map_err(|refused| {
            cache.give(refused.element().into_chunk());
            DropReason::TooBig
        })?;
        let piece = rest.last_mut().ok_or(DropReason::TooBig)?;
        form.write(piece, cut.link_bytes, offset, offset + len < payload_bytes).ok_or(DropReason::TooBig)?;
        offset += len;
    }
    frame.truncate(header_bytes + unit);
    if form.added_bytes() > 0 {
        make_gap(frame, header_bytes, form.added_bytes()).ok_or(DropReason::NoHeadroom)?;
    }
    form.write(frame, cut.link_bytes, 0, true).ok_or(DropReason::TooBig)
}

/// A further piece: the headers, a gap, and `len` bytes of the payload from `offset` on.
fn copy(
    frame: &Frame,
    header_bytes: usize,
    offset: usize,
    len: usize,
    gap: usize,
    cache: &mut ChunkCache,
) -> Result<Frame, DropReason> {
    let (headers, payload) = frame.bytes().split_at_checked(header_bytes).ok_or(DropReason::TooBig)?;
    let payload = payload.get(offset..offset + len).ok_or(DropReason::TooBig)?;
    let chunk = cache.take().ok_or(DropReason::NoChunk)?;
    let mut piece = Frame::new(chunk, PIECE_START_BYTES, header_bytes + gap + len).map_err(|chunk| {
        cache.give(chunk);
        DropReason::TooBig
    })?;
    let bytes = piece.bytes_mut();
    if let Some(slot) = bytes.get_mut(..header_bytes) {
        slot.copy_from_slice(headers);
    }
    if let Some(slot) = bytes.get_mut(header_bytes + gap..) {
        slot.copy_from_slice(payload);
    }
    Ok(piece)
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
        let packet = frame.bytes().get(cut.link_bytes..)?;
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
        let packet = piece.bytes_mut().get_mut(link_bytes..)?;
        let (packet_bytes, offset) = (u16::try_from(packet.len()).ok()?, u16::try_from(offset).ok()?);
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
                header.payload_length.set(u16::try_from(rest.len()).ok()?);
                let fragment = FragmentHeader::new(next_header, offset, more, identification);
                rest.get_mut(..FRAGMENT_HEADER_BYTES)?.copy_from_slice(fragment.as_bytes());
            }
        }
        Some(())
    }
}
