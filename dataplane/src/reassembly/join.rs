//! join: the parts of a packet become one frame, in the chunk of the first part.
//!
//! ```text
//!  chunk of the first part:  | Ethernet | IP, "more fragments" | payload 0..1480 |
//!  afterwards:               | Ethernet | IP, whole            | payload 0..1480 | 1480..1566 |
//!                                                                  copied from the second ^
//! ```
//! Place on the path: called by the table when the last missing part arrived. The IP header is the first part's, with its length, its
//! checksum, and without what made it a fragment (RFC 791 §3.2, RFC 8200 §4.5); so the packet passes `decap` like any other.

use wire::{
    ethernet::{self, EtherType},
    ipv4::Ipv4Header,
    ipv6::{self, FRAGMENT_HEADER_BYTES, Ipv6Header},
};
use xsk::Frame;
use zerocopy::FromBytes;

use super::{
    Ends,
    partial::{Part, START_BYTES},
};
use crate::verdict::DropReason;

/// ECN field: the sender does not speak ECN (RFC 3168 §5).
const NOT_ECT: u8 = 0;
/// ECN field: congestion experienced.
const CE: u8 = 3;

/// Joins parts that follow each other without a gap, from offset 0 on. All but the first are handed to `ends`.
///
/// # Errors
/// The first part, and why the packet is lost.
pub(super) fn join(
    mut parts: impl Iterator<Item = Part>,
    ends: &mut impl Ends,
) -> Result<Option<Frame>, (Frame, DropReason)> {
    let Some(Part { mut frame, fragment: first }) = parts.next() else { return Ok(None) };
    frame.truncate(usize::from(first.payload_at) + usize::from(first.len));
    let mut marks = Marks::default();
    marks.note(first.ecn);
    let mut fate = Ok(());
    for part in parts {
        marks.note(part.fragment.ecn);
        fate = fate.and_then(|()| append(&mut frame, part.payload()).ok_or(DropReason::ReassembledTooBig));
        ends.merged(part.frame);
    }
    let whole = fate
        .and_then(|()| marks.joined().ok_or(DropReason::FragmentEcn))
        .and_then(|ecn| make_whole(&mut frame, ecn).ok_or(DropReason::FragmentMalformed));
    match whole {
        Ok(()) => Ok(Some(frame)),
        Err(reason) => Err((frame, reason)),
    }
}

/// Adds bytes to the end of a frame; where the room behind it is too short, the frame moves towards the front of its chunk.
fn append(frame: &mut Frame, bytes: &[u8]) -> Option<()> {
    if frame.tailroom_bytes() < bytes.len() {
        let len = frame.len();
        let room = frame.headroom_bytes().checked_sub(START_BYTES)?;
        frame.push_front(room)?.copy_within(room.., 0);
        frame.truncate(len);
    }
    let len = frame.len();
    frame.extend_back(bytes.len())?.get_mut(len..)?.copy_from_slice(bytes);
    Some(())
}

/// Makes the first part's IP header that of the whole packet.
fn make_whole(frame: &mut Frame, ecn: u8) -> Option<()> {
    let link = ethernet::read(frame.bytes()).ok()?;
    let at = link.payload_offset;
    match link.ethertype {
        EtherType::IPV4 => make_whole_ipv4(frame.bytes_mut().get_mut(at..)?, ecn),
        EtherType::IPV6 => make_whole_ipv6(frame, at, ecn),
        _ => None,
    }
}

fn make_whole_ipv4(packet: &mut [u8], ecn: u8) -> Option<()> {
    let total_length = u16::try_from(packet.len()).ok()?;
    let (header, rest) = Ipv4Header::mut_from_prefix(packet).ok()?;
    let options = rest.get(..header.header_bytes().checked_sub(size_of::<Ipv4Header>())?)?;
    header.total_length.set(total_length);
    header.set_fragment(0, false);
    header.tos = header.tos & !CE | ecn;
    header.seal(options);
    Some(())
}

/// The fragment header goes; what stands in front of it moves up to where it was.
fn make_whole_ipv6(frame: &mut Frame, at: usize, ecn: u8) -> Option<()> {
    let packet = frame.bytes().get(at..)?;
    let (header, payload) = Ipv6Header::ref_from_prefix(packet).ok()?;
    let found = ipv6::find_fragment(header, payload).ok()??;
    let (next_header, named_at) = (found.header.next_header, at + found.next_header_offset);
    let fragment_at = at + found.offset;
    let payload_length = u16::try_from(payload.len().checked_sub(FRAGMENT_HEADER_BYTES)?).ok()?;
    let bytes = frame.bytes_mut();
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
