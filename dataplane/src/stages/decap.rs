//! decap: an underlay packet becomes the inner frame of a pseudowire.
//!
//! ```text
//! | outer headers | flags | session id | cookie | sublayer | inner frame | padding |
//!  \___________________ pulled off _______________________/            \_ cut __/
//! ```
//! Place on the path: first stage for underlay ports. Checks go from the outside in; the cookie is looked at after the
//! session is found (RFC 3931 §5.1.1). The payload is not moved.

use wire::{
    ethernet, ipv4,
    l2tpv3::{self, L2tpError},
    overhead::VLAN_TAG_BYTES,
};
use xsk::{ChunkCache, Frame};

use super::{
    Context, mss_clamp,
    outer::{self, Outer},
    outer_chained,
    quick_decap::{AHEAD, QuickDecap},
    roam,
    send::count_clamped,
    sequence, traffic_class,
};
use crate::{
    batch::{Batch, Fate, Slot},
    tables::{
        attachment::Ingress,
        sessions::{NoSession, RxSession},
    },
    verdict::DropReason,
};

/// Every packet of a batch, or what `admit` left of it.
#[inline(never)]
pub(super) fn run(context: &Context<'_>, batch: &mut Batch, cache: &mut ChunkCache) {
    let (frames, slots) = batch.parts();
    frames.iter().take(AHEAD).for_each(Frame::prefetch);
    open_all(context, QuickDecap::new(context), frames, slots, cache);
}

/// The same where somebody compared every packet, with these tables, and all are like those of the session at `position` in what its packets have in
/// common.
///
/// Bench: `scaling`, one tunnel of the cheapest frames, 51.1 -> 48.9 cycles, against packets that are compared twice.
#[inline(never)]
pub(super) fn run_alike(context: &Context<'_>, batch: &mut Batch, position: u32, cache: &mut ChunkCache) {
    let (frames, slots) = batch.parts();
    frames.iter().take(AHEAD).for_each(Frame::prefetch);
    let mut quick = QuickDecap::behind(context, position);
    let taken = quick.run::<true>(frames, slots);
    if let (Some(frames), Some(slots)) = (frames.get_mut(taken..), slots.get_mut(taken..)) {
        open_all(context, quick, frames, slots, cache);
    }
}

/// Packets one after the other; of those in a row that are alike, all at once.
#[inline(always)]
fn open_all<'t>(
    context: &Context<'t>,
    mut quick: QuickDecap<'t>,
    mut frames: &mut [Frame],
    mut slots: &mut [Slot],
    cache: &mut ChunkCache,
) {
    while !frames.is_empty() {
        if let Some(frame) = frames.get(AHEAD) {
            frame.prefetch();
        }
        let taken = quick.run::<false>(frames, slots);
        let (Some(rest), Some(rest_slots)) = (frames.get_mut(taken..), slots.get_mut(taken..)) else {
            return;
        };
        (frames, slots) = (rest, rest_slots);
        if taken > 0 {
            continue;
        }
        let (Some((frame, rest)), Some((slot, rest_slots))) =
            (frames.split_first_mut(), slots.split_first_mut())
        else {
            return;
        };
        if slot.fate == Fate::Undecided {
            look_closely(context, frame, slot, cache);
        }
        (frames, slots) = (rest, rest_slots);
    }
}

/// What becomes of a packet that is not like nearly all others.
#[inline(never)]
pub(super) fn look_closely(
    context: &Context<'_>,
    frame: &mut Frame,
    slot: &mut Slot,
    cache: &mut ChunkCache,
) {
    if !frame.is_linear() {
        return run_chained(context, frame, slot, cache);
    }
    let opened = match outer::read(frame.head()) {
        Ok(Some(outer)) => open(context, frame.head(), &outer, slot),
        Ok(None) => return slot.fate = Fate::Fragment,
        Err(reason) => Err(reason),
    };
    match opened {
        Ok((session, inner)) => unwrap(context, frame, slot, session, &inner, cache),
        Err(reason) => slot.discard(reason),
    }
}

/// The same for a packet that stands in several chunks; out of line, so that it costs the others nothing.
#[cold]
#[inline(never)]
fn run_chained(context: &Context<'_>, frame: &mut Frame, slot: &mut Slot, cache: &mut ChunkCache) {
    let opened = match outer_chained::read(frame) {
        Ok(Some(outer)) => open(context, frame.head(), &outer, slot),
        Ok(None) => return slot.fate = Fate::Fragment,
        Err(reason) => Err(reason),
    };
    match opened {
        Ok((session, inner)) => unwrap(context, frame, slot, session, &inner, cache),
        Err(reason) => slot.discard(reason),
    }
}

/// Where the inner frame stands in the outer one. Units: bytes.
struct Inner {
    offset: usize,
    len: usize,
    /// Whether the cookie was the second that the session accepts.
    is_cookie_also: bool,
}

/// Checks what is behind a packet's outer headers, from the outside in. `head` is the packet, or what of it is in the first chunk.
#[inline]
fn open<'t>(
    context: &Context<'t>,
    head: &[u8],
    outer: &Outer<'_>,
    slot: &mut Slot,
) -> Result<(&'t RxSession, Inner), DropReason> {
    let (session_id, rest) = match outer.endpoint.protocol {
        ipv4::PROTOCOL_UDP => l2tpv3::split_udp(outer.payload)?,
        _ => l2tpv3::split_ip(outer.payload)?,
    };
    let ((position, session), is_elsewhere) = match context.tables.sessions.find(session_id, &outer.endpoint)
    {
        Ok(found) => (found, false),
        Err(refusal) => (roam::find(context, session_id, &outer.endpoint).ok_or(refusal)?, true),
    };
    slot.session = Some(position);
    if outer.lacks_checksum && session.needs_checksum {
        return Err(DropReason::UdpChecksumMissing);
    }
    let (rest, is_cookie_also) = strip_cookie(session, rest)?;
    let (sublayer, inner) = session.sublayer.strip(rest).map_err(after_session)?;
    if sublayer.is_vccv() {
        return Err(DropReason::Vccv);
    }
    if !sublayer.is_whole_frame() {
        return Err(DropReason::Pwe3Fragment);
    }
    sequence::check(context, session, sublayer)?;
    if is_elsewhere {
        roam::note(context, session, &outer.endpoint);
    }
    // Counted from the front: behind the frame there may be bytes that belong to UDP or to no layer at all.
    let offset = inner.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
    Ok((session, Inner { offset, len: inner.len() + outer.beyond, is_cookie_also }))
}

/// Takes the cookie off: either of the two that the session may accept. Says whether it was the second.
///
/// Each is compared whole. The order of the two tells only which of them a packet had that has one of them.
#[inline]
fn strip_cookie<'b>(session: &RxSession, rest: &'b [u8]) -> Result<(&'b [u8], bool), DropReason> {
    match (session.rx_cookie.strip(rest), &session.rx_cookie_also) {
        (Err(L2tpError::CookieMismatch), Some(also)) => {
            also.strip(rest).map(|frame| (frame, true)).map_err(after_session)
        }
        (stripped, _) => stripped.map(|frame| (frame, false)).map_err(after_session),
    }
}

/// Takes the outer headers off and lets the inner frame enter its bridge domain.
#[inline]
fn unwrap(
    context: &Context<'_>,
    frame: &mut Frame,
    slot: &mut Slot,
    session: &RxSession,
    inner: &Inner,
    cache: &mut ChunkCache,
) {
    let outer_ecn = if session.combines_ecn { traffic_class::outer_ecn(frame.head_mut()) } else { 0 };
    if frame.pull_front(inner.offset).is_none() {
        return slot.discard(DropReason::PayloadTruncated);
    }
    frame.truncate(inner.len, cache);
    if ethernet::split(frame.head()).is_err() {
        return slot.discard(DropReason::PayloadTruncated);
    }
    if outer_ecn != 0
        && let Err(reason) = traffic_class::combine(frame.head_mut(), outer_ecn)
    {
        return slot.discard(reason);
    }
    if let Some(counters) = session.counters.of(context.worker) {
        counters.rx_frames.add(1);
        counters.rx_bytes.add(inner.len as u64);
        if inner.is_cookie_also {
            counters.rx_cookie_also.add(1);
        }
        counters.heard(context.now_s);
    }
    if mss_clamp::run(frame, session.mss_limit) {
        count_clamped(context, &session.counters);
    }
    match session.attachment.ingress(frame.head()) {
        Ok(Some(ingress)) => enter(frame, slot, ingress),
        Ok(None) if session.attachment.is_empty() => slot.discard(DropReason::SessionUnbridged),
        Ok(None) => slot.discard(DropReason::VlanNotMember),
        Err(error) => slot.discard(error.into()),
    }
}

/// Lets a frame enter a bridge domain: without its tag where the member is a VLAN, with its addresses noted.
#[inline]
pub(super) fn enter(frame: &mut Frame, slot: &mut Slot, ingress: Ingress) {
    if ingress.pop_tag {
        // Popping leaves four free bytes in front, which the frame then gives up.
        let popped = ethernet::pop_tag(frame.head_mut()).ok().and_then(|_| frame.pull_front(VLAN_TAG_BYTES));
        if popped.is_none() {
            return slot.discard(DropReason::EthernetMalformed);
        }
    }
    match ethernet::split(frame.head()) {
        Ok((header, _)) => slot.enter(ingress, header),
        Err(_) => slot.discard(DropReason::EthernetMalformed),
    }
}

/// What a short or wrong rest means once the session is known.
#[inline]
fn after_session(error: L2tpError) -> DropReason {
    match error {
        L2tpError::CookieMismatch => DropReason::CookieMismatch,
        _ => DropReason::PayloadTruncated,
    }
}

impl From<L2tpError> for DropReason {
    fn from(error: L2tpError) -> Self {
        match error {
            L2tpError::Version => Self::L2tpVersion,
            L2tpError::Control => Self::L2tpControl,
            L2tpError::CookieMismatch => Self::CookieMismatch,
            _ => Self::L2tpTruncated,
        }
    }
}

impl From<NoSession> for DropReason {
    fn from(refusal: NoSession) -> Self {
        match refusal {
            NoSession::Unknown => Self::UnknownSession,
            NoSession::WrongSource => Self::WrongSource,
        }
    }
}
