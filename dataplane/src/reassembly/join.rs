//! join: the parts of a packet become one frame.
//!
//! ```text
//!  chunk of the first part:  | Ethernet | IP, "more fragments" | payload 0..1480 |
//!  afterwards:               | Ethernet | IP, whole            | payload 0..1480 | 1480..1566 |
//!                                                                  copied from the second ^
//! ```
//! A packet that fits the first part's chunk is copied together there, so that everything behind sees an ordinary frame. A longer one
//! stands in the chunks that its parts came in, chained.
//!
//! Place on the path: called by the table when the last missing part arrived. The IP header is the first part's, with its length, its
//! checksum, and without what made it a fragment (RFC 791 §3.2, RFC 8200 §4.5); so the packet passes `decap` like any other.

use wire::{
    ethernet::{self, EtherType},
    ipv4::Ipv4Header,
    ipv6::{self, FRAGMENT_HEADER_BYTES, Ipv6Header},
};
use xsk::{ChunkCache, Frame};
use zerocopy::FromBytes;

use super::{Ends, partial::Part};
use crate::{
    chain::{self, Parts},
    verdict::DropReason,
};

/// Least offset in its chunk at which a packet that was copied together starts: with the outer headers that decapsulation takes off, it
/// leaves the headroom that encapsulation wants. Units: bytes.
const START_BYTES: usize = 64;

const _: () = assert!(
    START_BYTES + wire::overhead::ETHERNET_BYTES + wire::overhead::IPV4_BYTES + 4
        >= wire::overhead::MAX_ENCAP_BYTES + wire::overhead::VLAN_TAG_BYTES
);

/// ECN field: the sender does not speak ECN (RFC 3168 §5).
const NOT_ECT: u8 = 0;
/// ECN field: congestion experienced.
const CE: u8 = 3;

/// Joins parts that follow each other without a gap, from offset 0 on, and carry `whole_bytes` together. Each but one is counted as
/// merged.
///
/// # Errors
/// Why the packet is lost; all of its chunks are back then.
pub(super) fn join(
    mut parts: impl Iterator<Item = Part>,
    whole_bytes: usize,
    ends: &mut impl Ends,
) -> Result<Option<Frame>, DropReason> {
    let Some(mut first) = parts.next() else { return Ok(None) };
    let payload_at = usize::from(first.fragment.payload_at);
    first.frame.truncate(payload_at + usize::from(first.fragment.len), ends.cache());
    let mut marks = Marks::default();
    marks.note(first.fragment.ecn);
    let parts = parts.inspect(|part| marks.note(part.fragment.ecn));
    let mut frame = if START_BYTES + payload_at + whole_bytes <= room_bytes(&first.frame) {
        copy_together(first.frame, parts, ends)?
    } else {
        chain_together(first.frame, parts, ends)?
    };
    let whole = marks
        .joined()
        .ok_or(DropReason::FragmentEcn)
        .and_then(|ecn| make_whole(&mut frame, ecn).ok_or(DropReason::FragmentMalformed));
    match whole {
        Ok(()) => Ok(Some(frame)),
        Err(reason) => {
            ends.cache().give_frame(frame);
            Err(reason)
        }
    }
}

/// Room in the chunk of a linear frame; 0 for others, to which nothing can be added. Units: bytes.
fn room_bytes(frame: &Frame) -> usize {
    if frame.is_linear() { frame.headroom_bytes() + frame.len() + frame.tailroom_bytes() } else { 0 }
}

/// Copies all parts behind the first one, where there is room for them.
fn copy_together(
    mut frame: Frame,
    parts: impl Iterator<Item = Part>,
    ends: &mut impl Ends,
) -> Result<Frame, DropReason> {
    let mut copied = Some(());
    for part in parts {
        copied = copied.and_then(|()| append(&mut frame, &part, ends.cache()));
        ends.cache().give_frame(part.frame);
        ends.merged();
    }
    if copied.is_none() {
        ends.cache().give_frame(frame);
        return Err(DropReason::ReassembledTooBig);
    }
    Ok(frame)
}

/// Adds a part's payload to the end of a frame; where the room behind it is too short, the frame moves to the front of its chunk.
fn append(frame: &mut Frame, part: &Part, cache: &mut ChunkCache) -> Option<()> {
    let count = usize::from(part.fragment.len);
    if frame.tailroom_bytes() < count {
        let len = frame.len();
        let room = frame.headroom_bytes().checked_sub(START_BYTES)?;
        frame.push_front(room)?.copy_within(room.., 0);
        frame.truncate(len, cache);
    }
    let len = frame.len();
    part.read_payload(0, frame.extend_back(count)?.get_mut(len..)?)
}

/// Puts the chunks of all parts behind each other.
fn chain_together(
    frame: Frame,
    parts: impl Iterator<Item = Part>,
    ends: &mut impl Ends,
) -> Result<Frame, DropReason> {
    let mut chain = Parts::new();
    let mut added = chain::add(&mut chain, frame, ends.cache());
    for Part { mut frame, fragment } in parts {
        let payload_at = usize::from(fragment.payload_at);
        frame.truncate(payload_at + usize::from(fragment.len), ends.cache());
        added = added.and(frame.pull_through(payload_at, ends.cache()));
        match added {
            Some(()) => added = chain::add(&mut chain, frame, ends.cache()),
            None => ends.cache().give_frame(frame),
        }
        ends.merged();
    }
    let whole = added.and_then(|()| chain::join(&mut chain, ends.cache()));
    chain.drain(..).for_each(|frame| ends.cache().give_frame(frame));
    whole.ok_or(DropReason::ReassembledTooBig)
}

/// Makes the first part's IP header that of the whole packet.
fn make_whole(frame: &mut Frame, ecn: u8) -> Option<()> {
    let link = ethernet::read(frame.head()).ok()?;
    let at = link.payload_offset;
    match link.ethertype {
        EtherType::IPV4 => make_whole_ipv4(frame, at, ecn),
        EtherType::IPV6 => make_whole_ipv6(frame, at, ecn),
        _ => None,
    }
}

fn make_whole_ipv4(frame: &mut Frame, at: usize, ecn: u8) -> Option<()> {
    let total_length = u16::try_from(frame.len().checked_sub(at)?).ok()?;
    let (header, rest) = Ipv4Header::mut_from_prefix(frame.head_mut().get_mut(at..)?).ok()?;
    let options = rest.get(..header.header_bytes().checked_sub(size_of::<Ipv4Header>())?)?;
    header.total_length.set(total_length);
    header.set_fragment(0, false);
    header.tos = header.tos & !CE | ecn;
    header.seal(options);
    Some(())
}

/// The fragment header goes; what stands in front of it moves up to where it was.
fn make_whole_ipv6(frame: &mut Frame, at: usize, ecn: u8) -> Option<()> {
    let payload_bytes = frame.len().checked_sub(at + size_of::<Ipv6Header>())?;
    let (header, payload) = Ipv6Header::ref_from_prefix(frame.head().get(at..)?).ok()?;
    let found = ipv6::find_fragment(header, payload).ok()??;
    let (next_header, named_at) = (found.header.next_header, at + found.next_header_offset);
    let fragment_at = at + found.offset;
    let payload_length = u16::try_from(payload_bytes.checked_sub(FRAGMENT_HEADER_BYTES)?).ok()?;
    let bytes = frame.head_mut();
    *bytes.get_mut(named_at)? = next_header;
    let (header, _) = Ipv6Header::mut_from_prefix(bytes.get_mut(at..)?).ok()?;
    header.payload_length.set(payload_length);
    header.set_traffic_class(header.traffic_class() & !CE | ecn);
    bytes.get_mut(..fragment_at + FRAGMENT_HEADER_BYTES)?.copy_within(..fragment_at, FRAGMENT_HEADER_BYTES);
    frame.pull_front(FRAGMENT_HEADER_BYTES)
}

/// ECN fields seen, a bit each.
#[derive(Clone, Copy, Default)]
struct Marks {
    seen: u8,
    first: Option<u8>,
}

impl Marks {
    fn note(&mut self, ecn: u8) {
        self.seen |= 1 << (ecn & CE);
        self.first.get_or_insert(ecn);
    }

    fn has(self, ecn: u8) -> bool {
        self.seen & 1 << ecn != 0
    }

    /// The whole packet's field: congestion that one part met is the packet's; `None` where others say that the sender would
    /// not understand that (RFC 3168 §5.3).
    fn joined(self) -> Option<u8> {
        match (self.has(CE), self.has(NOT_ECT)) {
            (true, true) => None,
            (true, false) => Some(CE),
            (false, true) => Some(NOT_ECT),
            (false, false) => self.first,
        }
    }
}
