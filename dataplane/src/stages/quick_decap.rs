//! quick decap: packets that look like nearly all others, read at fixed offsets.
//!
//! ```text
//! | Ethernet 14 | IPv4 20 | UDP 8 | flags 4 | session id 4 | cookie | sublayer | frame | padding |
//! | Ethernet 14 | IPv4 20 |                 | session id 4 | cookie | sublayer | frame | padding |
//! ```
//! Place on the path: `decap` asks here first. What is taken here is what `decap` would have made of it: not tagged, IPv4 without options,
//! no fragment, of a [`QuickSession`], and right in every respect. Anything else is left as it was, and `decap` finds out what it is
//! and which reason it is dropped for. Packets of one session in a row are looked up and counted once.
//!
//! Bench: `decap`, 668 -> 340 instructions and 101 -> 55 cycles per frame, together with a pass over the FDB that was cut.

use wire::{
    ethernet::{self, EtherType, EthernetHeader},
    ipv4::{self, FLAG_DONT_FRAGMENT, Ipv4Header, PROTOCOL_L2TP, PROTOCOL_UDP},
    l2tpv3::{SessionHeader, UdpDataHeader},
    overhead::{ETHERNET_BYTES, IPV4_BYTES},
    udp::{self, UdpHeader},
};
use xsk::Frame;
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::Context;
use crate::{
    batch::Slot,
    tables::quick_sessions::{QuickKey, QuickSession, QuickSessions},
};

/// Version 4 and a header of five words.
const V4_WITHOUT_OPTIONS: u8 = 0x45;

/// Least that follows the session id: an Ethernet header.
type Behind = [u8; ETHERNET_BYTES];

/// A packet over IP, up to where the least frame ends.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct OverIp {
    link: EthernetHeader,
    ip: Ipv4Header,
    session: SessionHeader,
    behind: Behind,
}

/// A packet over UDP, up to where the least frame ends.
#[derive(FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct OverUdp {
    link: EthernetHeader,
    ip: Ipv4Header,
    udp: UdpHeader,
    flags: UdpDataHeader,
    session: SessionHeader,
    behind: Behind,
}

/// What stands in front of the cookie.
struct Tunnel<'p> {
    key: QuickKey,
    behind: &'p Behind,
    /// Where the packet ends, from the frame's first byte. Units: bytes.
    end: usize,
}

/// The packets of one batch.
pub(super) struct QuickDecap<'t> {
    context: Context<'t>,
    sessions: &'t QuickSessions,
    /// The session of the packet before.
    at_hand: &'t QuickSession,
    /// Frames of it that are not counted yet, and their bytes.
    frames: u64,
    bytes: u64,
}

impl<'t> QuickDecap<'t> {
    /// None yet.
    #[inline]
    pub(super) fn new(context: &Context<'t>) -> Self {
        const NOBODY: &QuickSession = &QuickSession::VACANT;
        let sessions = context.tables.sessions.quick();
        Self { context: *context, sessions, at_hand: NOBODY, frames: 0, bytes: 0 }
    }

    /// Takes a packet's outer headers off, and lets the frame enter its bridge domain. `None`: it is as it was, and has to be looked at
    /// more closely.
    #[inline(always)]
    pub(super) fn run(&mut self, frame: &mut Frame, slot: &mut Slot) -> Option<()> {
        let head = frame.linear()?;
        let tunnel = read(head)?;
        if !self.at_hand.has(&tunnel.key) {
            self.turn_to(&tunnel.key)?;
        }
        let session = self.at_hand;
        let [a, b, c, d, e, f, g, h, ..] = *tunnel.behind;
        if !session.cookie.is([a, b, c, d, e, f, g, h]) {
            return None;
        }
        let header_bytes = session.header_bytes();
        let (headers, _) = head.split_at_checked(header_bytes)?;
        if !session.is_frame(*headers.last_chunk()?) {
            return None;
        }
        let frame_bytes = tunnel.end.checked_sub(header_bytes)?;
        if frame_bytes < ETHERNET_BYTES {
            return None;
        }
        let inner = frame.keep(header_bytes, frame_bytes)?;
        let (header, _) = ethernet::split(inner).ok()?;
        slot.session = Some(session.position);
        slot.enter(session.ingress, header);
        self.frames += 1;
        self.bytes += frame_bytes as u64;
        Some(())
    }

    /// Goes on with another session.
    #[inline(never)]
    fn turn_to(&mut self, key: &QuickKey) -> Option<()> {
        let found = self.sessions.find(key)?;
        self.count();
        self.at_hand = found;
        Some(())
    }

    /// Adds what was taken to the session's counters.
    #[inline]
    pub(super) fn count(&mut self) {
        if self.frames == 0 {
            return;
        }
        if let Some(session) = self.context.tables.sessions.at(self.at_hand.position)
            && let Some(counters) = session.counters.of(self.context.worker)
        {
            counters.rx_frames.add(self.frames);
            counters.rx_bytes.add(self.bytes);
            counters.heard(self.context.now_s);
        }
        (self.frames, self.bytes) = (0, 0);
    }
}

/// Checks the headers in front of the cookie; `None` for all that is not as it nearly always is.
#[inline(always)]
fn read(head: &[u8]) -> Option<Tunnel<'_>> {
    let (OverIp { link, ip, session, behind }, _) = OverIp::ref_from_prefix(head).ok()?;
    let end = ETHERNET_BYTES + usize::from(ip.total_length.get());
    let is_plain = link.ethertype() == EtherType::IPV4
        && ip.version_ihl == V4_WITHOUT_OPTIONS
        && ip.flags_fragment.get() & !FLAG_DONT_FRAGMENT == 0
        && end <= head.len()
        && ipv4::verify_checksum(ip, &[]).is_ok();
    if !is_plain {
        return None;
    }
    match ip.protocol {
        PROTOCOL_UDP => read_udp(head, end),
        PROTOCOL_L2TP => {
            let addresses = [ip.source, ip.destination];
            let key = QuickKey::new(PROTOCOL_L2TP, addresses, [[0; 2]; 2], session.session_id.to_bytes());
            Some(Tunnel { key, behind, end })
        }
        _ => None,
    }
}

/// The same from UDP on; `end` is where the IP packet ends.
#[inline(always)]
fn read_udp(head: &[u8], end: usize) -> Option<Tunnel<'_>> {
    let (OverUdp { ip, udp, flags, session, behind, .. }, _) = OverUdp::ref_from_prefix(head).ok()?;
    let udp_end = ETHERNET_BYTES + IPV4_BYTES + usize::from(udp.length.get());
    if udp_end > end || !flags.is_data() || (udp.has_checksum() && !is_intact(head, ip)) {
        return None;
    }
    let ports = [udp.source_port.to_bytes(), udp.destination_port.to_bytes()];
    let key = QuickKey::new(PROTOCOL_UDP, [ip.source, ip.destination], ports, session.session_id.to_bytes());
    Some(Tunnel { key, behind, end: udp_end })
}

/// Whether a packet's UDP checksum is right.
#[inline(never)]
fn is_intact(head: &[u8], ip: &Ipv4Header) -> bool {
    let segment = head.get(ETHERNET_BYTES + IPV4_BYTES..).unwrap_or_default();
    udp::split(segment).is_ok_and(|(udp, payload)| {
        udp::verify_checksum(udp, payload, ip.pseudo_header(udp.length.get())).is_ok()
    })
}

#[cfg(test)]
mod tests;
