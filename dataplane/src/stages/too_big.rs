//! too_big: what becomes of a frame that does not fit the pseudowire it should leave by.
//!
//! ```text
//!  fragmentation  inner packet                          what happens
//!  inner          IPv4 without DF                       `inner_fragments`
//!  inner, drop    IPv4 with DF, IPv6                    dropped; its sender is told the largest packet that fits
//!  drop           IPv4 without DF                       dropped
//!  any            other protocols, and all else         dropped
//! ```
//! The answer goes back by the member that the frame came from, tags and all, in the frame's own chunk: what Linux does for
//! tunnels on a bridge (`net/ipv4/ip_tunnel_core.c`, `iptunnel_pmtud_build_icmp`). The gateway has no address in the LAN, so
//! the answer comes from the address that the packet was for.
//!
//! Place on the path: called by `send` and `flood` instead of a transmission. A frame that was answered counts as dropped.
//! Deliberately not here: fragments of outer packets.

use wire::{
    ethernet::{self, EtherType},
    icmp, ipv4, ipv6,
    overhead::VLAN_TAG_BYTES,
};
use xsk::Frame;

use super::{
    Context, Exits,
    inner_fragments::{self, Cut},
    send::{count_at_member, send_fitting},
};
use crate::{
    counters::SessionCounters,
    ports::Port,
    tables::{
        bridge_domains::{Circuit, DomainId, Member, MemberId},
        oversize::Fragmentation,
    },
    verdict::DropReason,
};

/// Where a frame came from, as far as an answer to its sender goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    pub(super) domain: DomainId,
    pub(super) ingress: MemberId,
    /// Whether its sender may hear of it: not for a frame to many, and not for one that reached somebody.
    pub(super) may_answer: bool,
}

/// The pseudowire that a frame does not fit.
#[derive(Clone, Copy)]
struct Tight<'a> {
    fragmentation: Fragmentation,
    /// Largest frame, the member's own tag not counted. Units: bytes.
    largest: usize,
    counters: Option<&'a SessionCounters>,
}

impl<'a> Tight<'a> {
    /// `None` for members that are no pseudowire.
    fn of(context: &Context<'a>, member: &Member) -> Option<Self> {
        let Circuit::Session(index) = member.circuit else { return None };
        let session = context.tables.tx_session(index)?;
        let tag_bytes = if member.vlan.is_some() { VLAN_TAG_BYTES } else { 0 };
        Some(Self {
            fragmentation: session.fragmentation(),
            largest: session.max_frame_bytes().checked_sub(tag_bytes)?,
            counters: session.counters().of(context.worker),
        })
    }
}

/// Deals with a frame that does not fit a member; the frame is gone afterwards.
///
/// # Errors
/// The reason why nothing of it left by the member; it is counted there.
#[cold]
pub(super) fn run<P: Port>(
    context: &Context<'_>,
    frame: Frame,
    origin: Origin,
    member: &Member,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    let sent = run_copy(context, &frame, member, exits);
    match (sent, Tight::of(context, member)) {
        (Err(DropReason::TooBig), Some(tight)) => answer(context, frame, origin, tight, exits),
        _ => exits.cache.give(frame.into_chunk()),
    }
    sent
}

/// The same for a copy that was not made yet: the frame stays, and nobody is told.
///
/// # Errors
/// The reason why nothing of it left by the member; it is counted there.
#[cold]
pub(super) fn run_copy<P: Port>(
    context: &Context<'_>,
    frame: &Frame,
    member: &Member,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    let cut = match Tight::of(context, member) {
        Some(tight) if tight.fragmentation == Fragmentation::Inner => {
            let cut = inner_fragments::run(context, frame, tight.largest, member, exits);
            if let (Cut::Sent, Some(counters)) = (cut, tight.counters) {
                counters.inner_fragmented.add(1);
            }
            cut
        }
        _ => Cut::Impossible,
    };
    match cut {
        Cut::Sent => Ok(()),
        Cut::Failed(reason) => Err(reason),
        Cut::Impossible => {
            count_at_member(context, member, DropReason::TooBig);
            Err(DropReason::TooBig)
        }
    }
}

/// Tells a frame's sender how large its packets may be, if it may be told and the budget allows; the frame is gone
/// afterwards.
fn answer<P: Port>(
    context: &Context<'_>,
    mut frame: Frame,
    origin: Origin,
    tight: Tight<'_>,
    exits: &mut Exits<'_, P>,
) {
    let back = context.tables.domain(origin.domain).and_then(|domain| domain.member(origin.ingress));
    let is_wanted = origin.may_answer && tight.fragmentation != Fragmentation::Outer;
    let answer = if is_wanted { Answer::to(frame.bytes(), tight.largest) } else { None };
    let (Some(back), Some(answer)) = (back, answer) else {
        return exits.cache.give(frame.into_chunk());
    };
    if !exits.answers.take(context.now_s, answer.host()) {
        count(tight, |counters| counters.icmp_limited.add(1));
        return exits.cache.give(frame.into_chunk());
    }
    if answer.write(&mut frame).is_none() {
        return exits.cache.give(frame.into_chunk());
    }
    if send_fitting(context, frame, back, exits).is_ok() {
        count(tight, |counters| counters.icmp_sent.add(1));
    }
}

fn count(tight: Tight<'_>, add: impl FnOnce(&SessionCounters)) {
    if let Some(counters) = tight.counters {
        add(counters);
    }
}

/// An ICMP error that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    /// Ethernet header and tags of the frame. Units: bytes.
    link_bytes: usize,
    message: Message,
}

/// The host that hears it, and the largest IP packet that it is told. Units: bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message {
    V4 { host: [u8; 4], mtu: u16 },
    V6 { host: [u8; 16], mtu: u32 },
}

impl Answer {
    /// The answer to a frame that is larger than `largest`; `None` when there is to be none.
    fn to(frame: &[u8], largest: usize) -> Option<Self> {
        let view = ethernet::read(frame).ok()?;
        let mtu = largest.checked_sub(view.payload_offset)?;
        let message = match view.ethertype {
            EtherType::IPV4 => v4(view.payload, mtu)?,
            EtherType::IPV6 => v6(view.payload, mtu)?,
            _ => return None,
        };
        Some(Self { link_bytes: view.payload_offset, message })
    }

    /// The host that hears it.
    fn host(&self) -> &[u8] {
        match &self.message {
            Message::V4 { host, .. } => host,
            Message::V6 { host, .. } => host,
        }
    }

    /// Turns the frame that it is about into it; `None`, and the frame is of no more use, when there is no room.
    fn write(&self, frame: &mut Frame) -> Option<()> {
        let front_bytes = match self.message {
            Message::V4 { .. } => icmp::V4_FRONT_BYTES,
            Message::V6 { .. } => icmp::V6_FRONT_BYTES,
        };
        let bytes = frame.push_front(front_bytes)?;
        let link = front_bytes..front_bytes.checked_add(self.link_bytes)?;
        bytes.get(link.clone())?;
        bytes.copy_within(link, 0);
        let (header, packet) = bytes.split_at_mut_checked(self.link_bytes)?;
        let (addresses, _) = header.split_first_chunk_mut::<12>()?;
        // Back to where it came from: the answer's source is the frame's destination.
        addresses.rotate_left(6);
        let packet_bytes = match self.message {
            Message::V4 { mtu, .. } => icmp::write_fragmentation_needed(packet, mtu).ok()?,
            Message::V6 { mtu, .. } => icmp::write_packet_too_big(packet, mtu).ok()?,
        };
        frame.truncate(self.link_bytes + packet_bytes);
        Some(())
    }
}

/// The answer to an IPv4 packet. A packet that would fit without what stands behind it in the frame gets none.
fn v4(packet: &[u8], mtu: usize) -> Option<Message> {
    let (header, options, payload) = ipv4::split(packet).ok()?;
    ipv4::verify_checksum(header, options).ok()?;
    let is_due = mtu >= icmp::V4_MIN_MTU
        && usize::from(header.total_length.get()) > mtu
        && icmp::may_answer_v4(header, payload);
    is_due.then_some(Message::V4 { host: header.source, mtu: u16::try_from(mtu).ok()? })
}

/// The answer to an IPv6 packet. A path that takes less than any IPv6 link has to gets none: no host would believe it.
fn v6(packet: &[u8], mtu: usize) -> Option<Message> {
    let (header, payload) = ipv6::split(packet).ok()?;
    let packet_bytes = size_of::<ipv6::Ipv6Header>() + payload.len();
    let is_due = mtu >= icmp::V6_MIN_MTU && packet_bytes > mtu && icmp::may_answer_v6(header, payload);
    is_due.then_some(Message::V6 { host: header.source, mtu: u32::try_from(mtu).ok()? })
}
