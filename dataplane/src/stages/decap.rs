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
use xsk::Frame;

use super::{Context, mss_clamp, outer, send::count_clamped};
use crate::{
    batch::{Batch, Fate, Slot},
    tables::{
        attachment::Ingress,
        fdb::MacKey,
        sessions::{NoSession, RxSession},
    },
    verdict::DropReason,
};

#[inline]
pub(super) fn run(context: &Context<'_>, batch: &mut Batch) {
    for (frame, slot) in batch.undecided() {
        match open(context, frame.bytes(), slot) {
            Ok((session, inner)) => unwrap(context, frame, slot, session, &inner),
            Err(reason) => slot.discard(reason),
        }
    }
}

/// Where the inner frame stands in the outer one. Units: bytes.
struct Inner {
    offset: usize,
    len: usize,
}

/// Checks a packet from the outside in.
#[inline]
fn open<'t>(
    context: &Context<'t>,
    bytes: &[u8],
    slot: &mut Slot,
) -> Result<(&'t RxSession, Inner), DropReason> {
    let outer = outer::read(bytes)?;
    let (session_id, rest) = match outer.endpoint.protocol {
        ipv4::PROTOCOL_UDP => l2tpv3::split_udp(outer.payload)?,
        _ => l2tpv3::split_ip(outer.payload)?,
    };
    let (position, session) = context.tables.sessions.find(session_id, &outer.endpoint)?;
    slot.session = Some(position);
    if outer.lacks_checksum && session.needs_checksum {
        return Err(DropReason::UdpChecksumMissing);
    }
    let frame = session.rx_cookie.strip(rest).map_err(after_session)?;
    let (sublayer, frame) = session.sublayer.strip(frame).map_err(after_session)?;
    if sublayer.is_vccv() {
        return Err(DropReason::Vccv);
    }
    if !sublayer.is_whole_frame() {
        return Err(DropReason::Pwe3Fragment);
    }
    // Counted from the front: behind the frame there may be bytes that belong to UDP or to no layer at all.
    let offset = frame.as_ptr().addr().wrapping_sub(bytes.as_ptr().addr());
    Ok((session, Inner { offset, len: frame.len() }))
}

/// Takes the outer headers off and lets the inner frame enter its bridge domain.
#[inline]
fn unwrap(context: &Context<'_>, frame: &mut Frame, slot: &mut Slot, session: &RxSession, inner: &Inner) {
    if frame.pull_front(inner.offset).is_none() {
        return slot.discard(DropReason::PayloadTruncated);
    }
    frame.truncate(inner.len);
    if ethernet::split(frame.bytes()).is_err() {
        return slot.discard(DropReason::PayloadTruncated);
    }
    if let Some(counters) = session.counters.of(context.worker) {
        counters.rx_frames.add(1);
        counters.rx_bytes.add(inner.len as u64);
        counters.heard(context.now_s);
    }
    if mss_clamp::run(frame.bytes_mut(), session.mss_limit) {
        count_clamped(context, &session.counters);
    }
    match session.attachment.ingress(frame.bytes()) {
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
        let popped = ethernet::pop_tag(frame.bytes_mut()).ok().and_then(|_| frame.pull_front(VLAN_TAG_BYTES));
        if popped.is_none() {
            return slot.discard(DropReason::EthernetMalformed);
        }
    }
    match ethernet::split(frame.bytes()) {
        Ok((header, _)) => {
            slot.fate = Fate::Entered;
            slot.domain = ingress.domain;
            slot.ingress = ingress.member;
            slot.source = MacKey::new(header.source.0);
            slot.destination = MacKey::new(header.destination.0);
        }
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
