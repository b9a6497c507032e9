//! spread: packets of a session that is spread go to the worker that has their inner flow.
//!
//! Place on the path: in front of `decap`, when there are such sessions and several workers; else it costs a look per batch. Only as
//! much of a packet is read as tells its session and where its inner frame starts. Everything is checked by the worker that takes it.
//! What is not surely a packet of such a session stays here, fragments among it; packets put together from fragments come by again.
//!
//! Deliberately not here: which worker has which flow ([`crate::exchange`]), what a flow is ([`wire::inner_flow`]).

use wire::{
    ethernet::{self, EtherType},
    inner_flow,
    ipv4::{self, Ipv4Header},
    ipv6::{self, Ipv6Header},
    l2tpv3::{self, SessionId},
};
use xsk::Frame;
use zerocopy::FromBytes;

use super::{Context, Exits, outer, send::count_at_session};
use crate::{
    batch::{Batch, Fate, Slot},
    exchange::Exchange,
    tables::{
        sessions::Endpoint,
        spreading::{Entry, Spreading},
    },
    verdict::{DropReason, Verdict},
};

/// Ports, length and checksum of UDP. Units: bytes.
const UDP_BYTES: usize = 8;

/// Gives away what other workers have to take; the rest stays in the batch, in order.
pub(super) fn run<P>(context: &Context<'_>, batch: &mut Batch, exits: &mut Exits<'_, P>) {
    let Exits { fragments, cache, .. } = exits;
    let Some(exchange) = fragments.exchange() else { return };
    let spreading = context.tables.sessions.spreading();
    let mut handed = 0;
    batch.retain(|frame, slot| {
        let Some((entry, worker)) = other_worker(spreading, exchange, &frame, slot) else {
            return Some(frame);
        };
        match exchange.give_packet(worker, frame) {
            Ok(()) => handed += 1,
            Err(frame) => {
                cache.give_frame(frame);
                context.counters.count(Verdict::Dropped(DropReason::HandOverFull));
                count_at_session(context, entry.position, DropReason::HandOverFull);
            }
        }
        None
    });
    context.counters.handed.add(handed);
    exchange.push_packets();
}

/// The session of a packet that another worker has to take, and that worker.
#[inline]
fn other_worker(
    spreading: &Spreading,
    exchange: &Exchange,
    frame: &Frame,
    slot: &Slot,
) -> Option<(Entry, usize)> {
    if slot.fate != Fate::Undecided {
        return None;
    }
    let (session_id, endpoint, rest) = read(frame.head())?;
    let entry = spreading.find(session_id, &endpoint)?;
    let inner = rest.get(usize::try_from(entry.before_frame_bytes).ok()?..)?;
    let worker = exchange.worker_of(inner_flow::hash(inner));
    (worker != exchange.worker()).then_some((entry, worker))
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
