//! send: one frame leaves by one member of a bridge domain: as it is, tagged, or encapsulated.
//!
//! Place on the path: called by `emit` and `flood`. What is sent, and what is not, is counted at the pseudowire here.

use wire::overhead::VLAN_TAG_BYTES;
use xsk::{ChecksumRequest, Frame};

use super::{
    Context, Exits, encap, fragment,
    identification::Identification,
    mss_clamp,
    too_big::{self, Origin},
};
use crate::{
    counters::{PerWorker, SessionCounters},
    ports::Port,
    tables::{
        PortId,
        bridge_domains::{Circuit, Member},
        next_hops::{Cut, TxSession},
    },
    verdict::DropReason,
};

/// Whether a frame of `frame_bytes` may leave by a member as far as sizes and states go.
///
/// # Errors
/// The reason why not.
#[inline]
pub(super) fn check(context: &Context<'_>, frame_bytes: usize, member: &Member) -> Result<(), DropReason> {
    let bytes = frame_bytes + if member.vlan.is_some() { VLAN_TAG_BYTES } else { 0 };
    let largest = match member.circuit {
        Circuit::Port(port) => context.tables.port(port).map(|table| table.max_frame_bytes),
        Circuit::Session(index) => context.tables.tx_session(index).map(TxSession::max_sent_bytes),
        Circuit::Down => None,
    };
    match largest {
        None => Err(DropReason::MemberDown),
        Some(largest) if bytes > largest => Err(DropReason::TooBig),
        Some(_) => Ok(()),
    }
}

/// Sends a frame out by a member, in pieces if that is how it fits; the frame is gone afterwards, sent or not, and a
/// drop is counted at the pseudowire.
///
/// # Errors
/// The reason why it was not sent; its chunks are back in the cache, unless it left again as an answer to its sender.
#[inline]
pub(super) fn send<P: Port>(
    context: &Context<'_>,
    frame: Frame,
    origin: Origin,
    member: &Member,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    match check(context, frame.len(), member) {
        Ok(()) => leave(context, frame, member, exits),
        Err(DropReason::TooBig) => too_big::run(context, frame, origin, member, exits),
        Err(reason) => refuse(context, frame, member, reason, exits),
    }
}

/// [`send`] for frames that nothing is done for when they do not fit.
///
/// # Errors
/// The reason why it was not sent; its chunks are back in the cache.
pub(super) fn send_fitting<P: Port>(
    context: &Context<'_>,
    frame: Frame,
    member: &Member,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    match check(context, frame.len(), member) {
        Ok(()) => leave(context, frame, member, exits),
        Err(reason) => refuse(context, frame, member, reason, exits),
    }
}

/// Sends a frame that [`check`] found to fit.
///
/// # Errors
/// The reason why it was not sent; its chunks are back in the cache.
#[inline]
pub(super) fn leave<P: Port>(
    context: &Context<'_>,
    frame: Frame,
    member: &Member,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    if frame.is_linear() {
        return leave_with(context, frame, 0, member, exits);
    }
    leave_chained(context, frame, member, exits)
}

/// [`leave`] for a frame that stands in several chunks; out of line, so that it costs the others nothing.
#[cold]
#[inline(never)]
fn leave_chained<P: Port>(
    context: &Context<'_>,
    frame: Frame,
    member: &Member,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    let beyond = frame.beyond_bytes();
    leave_with(context, frame, beyond, member, exits)
}

/// [`leave`] for a frame of which `beyond` bytes stand in further segments.
#[inline(always)]
fn leave_with<P: Port>(
    context: &Context<'_>,
    mut frame: Frame,
    beyond: usize,
    member: &Member,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    let frame_bytes = frame.head_len() + beyond;
    let sent = match prepare(context, &mut frame, beyond, member, exits.identification) {
        Ok(Way { port, cut: None, request }) => transmit(frame, port, request, exits).map(|()| 1),
        Ok(Way { port, cut: Some(cut), .. }) => fragment::send(frame, port, &cut, exits),
        Err(reason) => return refuse(context, frame, member, reason, exits),
    };
    match sent {
        Ok(pieces) => count_sent(context, frame_bytes, pieces, member),
        Err(reason) => count_at_member(context, member, reason),
    }
    sent.map(|_| ())
}

/// How a frame leaves.
struct Way {
    port: PortId,
    /// `Some`: in several pieces.
    cut: Option<Cut>,
    /// What the port has to fill in.
    request: Option<ChecksumRequest>,
}

/// Ends the way of a frame that does not leave by a member.
#[cold]
fn refuse<P>(
    context: &Context<'_>,
    frame: Frame,
    member: &Member,
    reason: DropReason,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    exits.cache.give_frame(frame);
    count_at_member(context, member, reason);
    Err(reason)
}

/// Adds a frame that left to the pseudowire it left by. Units: bytes of the inner frame, tag of the member not counted.
#[inline]
fn count_sent(context: &Context<'_>, frame_bytes: usize, pieces: u64, member: &Member) {
    if let Circuit::Session(index) = member.circuit
        && let Some(session) = context.tables.tx_session(index)
        && let Some(counters) = session.counters().of(context.worker)
    {
        counters.tx_frames.add(1);
        counters.tx_bytes.add(frame_bytes as u64);
        if pieces > 1 {
            counters.tx_fragments.add(pieces);
            context.counters.extra_fragments.add(pieces - 1);
        }
    }
}

/// Adds a SYN whose MSS was lowered to the pseudowire it left or arrived by.
#[cold]
pub(super) fn count_clamped(context: &Context<'_>, counters: &PerWorker<SessionCounters>) {
    if let Some(counters) = counters.of(context.worker) {
        counters.mss_clamped.add(1);
    }
}

/// Makes a frame what it has to be on the wire, and says how it leaves.
#[inline(always)]
fn prepare(
    context: &Context<'_>,
    frame: &mut Frame,
    beyond: usize,
    member: &Member,
    identification: &mut Identification,
) -> Result<Way, DropReason> {
    if let Some(vlan) = member.vlan {
        encap::push_vlan(frame, vlan)?;
    }
    match member.circuit {
        Circuit::Port(port) => Ok(Way { port, cut: None, request: None }),
        Circuit::Session(index) => {
            let session = context.tables.tx_session(index).ok_or(DropReason::MemberDown)?;
            if mss_clamp::run(frame, session.mss_limit()) {
                count_clamped(context, session.counters());
            }
            let cut = session.cut_for(frame.head_len() + beyond);
            // A checksum is in the first of several pieces, and over all of them: nobody behind the engine can fill it in.
            let offload = session.offload.as_ref().filter(|_| cut.is_none());
            encap::run(frame, beyond, session, offload, identification)?;
            Ok(Way { port: session.port(), cut, request: offload.map(|offload| offload.request) })
        }
        Circuit::Down => Err(DropReason::MemberDown),
    }
}

#[inline]
fn transmit<P: Port>(
    frame: Frame,
    port: PortId,
    request: Option<ChecksumRequest>,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    let Some(queue) = exits.ports.tx(port) else {
        return transmit_again(frame, port, request, DropReason::NoTxQueue, exits);
    };
    match queue.transmit_with(frame, request) {
        Ok(()) => Ok(()),
        Err(frame) => transmit_again(frame, port, request, DropReason::TxRingFull, exits),
    }
}

/// Tries once more when a full ring refused the frame, and ends its way when that does not help either.
#[cold]
#[inline(never)]
pub(super) fn transmit_again<P: Port>(
    frame: Frame,
    port: PortId,
    request: Option<ChecksumRequest>,
    reason: DropReason,
    exits: &mut Exits<'_, P>,
) -> Result<(), DropReason> {
    let max_segments = exits.ports.tx(port).map_or(0, |queue| queue.max_segments());
    let (frame, reason) = if reason != DropReason::TxRingFull {
        (frame, reason)
    } else if frame.segment_count() > max_segments {
        (frame, DropReason::TooManySegments)
    } else {
        match exits.ports.retry(port, frame, request, exits.cache) {
            Ok(()) => return Ok(()),
            Err(frame) => (frame, DropReason::TxRingFull),
        }
    };
    exits.cache.give_frame(frame);
    Err(reason)
}

/// Adds a drop to a pseudowire: the one the frame came from, or the one it should have left by. A frame that is lost
/// between two pseudowires is counted at both.
#[cold]
pub(super) fn count_at_session(context: &Context<'_>, position: u32, reason: DropReason) {
    if let Some(session) = context.tables.sessions.at(position)
        && let Some(counters) = session.counters.of(context.worker)
    {
        counters.drops.add(reason);
    }
}

/// Adds a drop to the pseudowire that a member is, if it is one.
#[cold]
pub(super) fn count_at_member(context: &Context<'_>, member: &Member, reason: DropReason) {
    if let Circuit::Session(index) = member.circuit {
        count_at_session(context, index.0, reason);
    }
}
