//! glance: the session of a packet and the flow of its inner frame.
//!
//! Place on the path: `spread` asks here for each batch. Nearly all packets are of the session of the packet before, and alike: that is compared
//! at once, by what `decap` compares, cookie included. Anything else is read header by header and looked up, and not checked.
//!
//! If a whole batch is alike, the comparison here is the only one that packets get which this worker keeps: see [`Glance::common`].

use wire::{
    ethernet::{self, EtherType},
    inner_flow,
    ipv4::{self, Ipv4Header},
    ipv6::{self, Ipv6Header},
    l2tpv3::{self, SessionId},
};
use xsk::{Frame, FrameBatch, Positions, ones};
use zerocopy::FromBytes;

use super::super::outer;
use crate::{
    exchange::{Exchange, MAX_WORKERS},
    tables::{
        quick_sessions::{Found, Front, QuickTable},
        sessions::{Endpoint, SessionTable},
        spreading::Entry,
    },
};

/// Ports, length and checksum of UDP. Units: bytes.
const UDP_BYTES: usize = 8;

/// Packets that the CPU is asked for before they are looked at.
///
/// Bench: `scaling`, the tunnel that is spread.
const AHEAD: usize = 12;

const _: () = assert!(MAX_WORKERS <= u64::BITS as usize);

/// Which packets of a batch each worker has.
pub(super) struct Shares {
    /// By worker.
    positions: [Positions; MAX_WORKERS],
    /// Workers that have any, a bit each.
    workers: u64,
}

impl Shares {
    /// A packet's worker.
    #[inline(always)]
    fn put(&mut self, position: usize, worker: u8) {
        let worker = usize::from(worker) % MAX_WORKERS;
        self.positions[worker] |= 1 << position;
        self.workers |= 1 << worker;
    }

    /// What others than this worker have, worker by worker.
    #[inline]
    pub(super) fn of_others(&self, own: usize) -> impl Iterator<Item = (usize, Positions)> {
        ones(self.workers & !(1 << own)).map(|worker| (worker, self.positions[worker % MAX_WORKERS]))
    }
}

/// The session of the packets before.
pub(super) struct Glance<'t> {
    sessions: &'t SessionTable,
    /// Position of that session.
    before: u32,
    /// Whether it is spread.
    is_spread: bool,
    /// Whether all packets of the batch were compared with it and are like it.
    are_alike: bool,
}

impl<'t> Glance<'t> {
    /// No packet came before.
    #[inline]
    pub(super) const fn new(sessions: &'t SessionTable) -> Self {
        Self { sessions, before: u32::MAX, is_spread: false, are_alike: false }
    }

    /// The packets that each worker has. Nobody has one that is not of a spread session, or a fragment, or nothing that `decap` would take.
    pub(super) fn run(&mut self, frames: &FrameBatch, exchange: &Exchange) -> Shares {
        let mut shares = Shares { positions: [0; MAX_WORKERS], workers: 0 };
        frames.iter().take(AHEAD).for_each(fetch);
        let mut position = 0;
        while let Some(first) = frames.get(position) {
            if let Some(frame) = frames.get(position + AHEAD) {
                fetch(frame);
            }
            let sessions = self.sessions.quick();
            let end = match ethernet::split(first.head()).map(|(header, _)| header.ethertype()) {
                Ok(EtherType::IPV4) => self.take(&sessions.v4, frames, position, &mut shares, exchange),
                Ok(EtherType::IPV6) => self.take(&sessions.v6, frames, position, &mut shares, exchange),
                _ => position,
            };
            if end == position
                && let Some((_, flow)) = self.flow(first.head())
            {
                shares.put(position, exchange.taker_of(flow));
            }
            self.are_alike = position == 0 && end == frames.len();
            position = end.max(position + 1);
        }
        shares
    }

    /// The session that every packet of the batch is like, in all that its packets have in common: nobody has to compare them again. `None`: there are
    /// others, or no packets.
    #[inline]
    pub(super) fn common(&self) -> Option<u32> {
        self.are_alike.then_some(self.before)
    }

    /// Takes packets from a position on, of one spread session, that are like nearly all others; returns the position of the first that
    /// is not.
    #[inline(always)]
    fn take<const N: usize>(
        &mut self,
        sessions: &QuickTable<N>,
        frames: &FrameBatch,
        position: usize,
        shares: &mut Shares,
        exchange: &Exchange,
    ) -> usize {
        let first = frames.get(position).map(Frame::head);
        let Some(found) = first.and_then(Front::of).and_then(|front| sessions.find(front)) else {
            return position;
        };
        if self.before != found.session.position {
            self.before = found.session.position;
            self.is_spread = first.and_then(|head| self.flow(head)).is_some();
        }
        if self.is_spread { row(&found, frames, position, shares, exchange) } else { position }
    }

    /// The session of a packet, and the hash of its inner flow, header by header. `None`: no packet of a spread session, a fragment, or
    /// nothing that `decap` would take.
    #[inline(never)]
    pub(super) fn flow(&self, head: &[u8]) -> Option<(Entry, u64)> {
        let (session_id, endpoint, rest) = read(head)?;
        let entry = self.sessions.spreading().find(session_id, &endpoint)?;
        Some((entry, inner_flow::hash(rest.get(entry.before_frame_bytes as usize..)?)))
    }
}

/// Asks the CPU for what tells a packet's session and flow. Inner IPv4 addresses stand in the second line.
#[inline(always)]
fn fetch(frame: &Frame) {
    frame.prefetch();
    frame.prefetch_second_line();
}

/// The workers of packets of a spread session from a position on, until there comes one that is not like the others of that session, cookie included.
/// Returns its position. A function of its own: what it compares with stays in registers.
#[inline(never)]
fn row<const N: usize>(
    found: &Found<'_, N>,
    frames: &FrameBatch,
    mut position: usize,
    shares: &mut Shares,
    exchange: &Exchange,
) -> usize {
    let (expected, mask, start) = (*found.expected(), *found.mask, found.session.header_bytes());
    while let Some(frame) = frames.get(position) {
        if let Some(frame) = frames.get(position + AHEAD) {
            fetch(frame);
        }
        let head = frame.head();
        let (Some(front), Some(inner)) = (Front::of(head), head.get(start..)) else { break };
        if !front.is_like(&mask, &expected) {
            break;
        }
        shares.put(position, exchange.taker_of(inner_flow::hash(inner)));
        position += 1;
    }
    position
}

/// What tells a packet's session, and what follows its session id. `None`: a fragment, or nothing that `decap` would take.
#[inline]
fn read(head: &[u8]) -> Option<(SessionId, Endpoint, &[u8])> {
    let link = ethernet::read(head).ok()?;
    let (mut endpoint, payload) = match link.ethertype {
        EtherType::IPV4 => read_ipv4(link.payload)?,
        EtherType::IPV6 => read_ipv6(link.payload)?,
        _ => return None,
    };
    let (session_id, rest) = match endpoint.protocol {
        ipv4::PROTOCOL_L2TP => l2tpv3::split_ip(payload),
        ipv4::PROTOCOL_UDP => {
            let (&[s0, s1, d0, d1, _, _, _, _], payload) = payload.split_first_chunk::<UDP_BYTES>()?;
            endpoint.remote_port = u16::from_be_bytes([s0, s1]);
            endpoint.local_port = u16::from_be_bytes([d0, d1]);
            l2tpv3::split_udp(payload)
        }
        _ => return None,
    }
    .ok()?;
    Some((session_id, endpoint, rest))
}

#[inline]
fn read_ipv4(packet: &[u8]) -> Option<(Endpoint, &[u8])> {
    let (header, _) = Ipv4Header::ref_from_prefix(packet).ok()?;
    let payload = packet.get(header.header_bytes()..)?;
    (!header.is_fragment()).then(|| (outer::endpoint_v4(header), payload))
}

/// Out of the IPv4 path's way: most underlays are IPv4.
#[inline(never)]
fn read_ipv6(packet: &[u8]) -> Option<(Endpoint, &[u8])> {
    let (header, payload) = Ipv6Header::ref_from_prefix(packet).ok()?;
    let upper = ipv6::upper_layer(header, payload).ok()?;
    let endpoint = outer::endpoint_v6(header, upper.protocol).ok()?;
    (!upper.is_fragment()).then_some((endpoint, upper.payload))
}
