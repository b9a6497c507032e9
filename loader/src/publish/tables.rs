//! Tables: one snapshot, built from the plan and the world of the moment.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use dataplane::tables::{
    PortId,
    attachment::Attachment,
    bridge_domains::{BridgeDomain, Circuit, Member as TableMember},
    next_hops::{self, NextHop, OuterAddresses, TxParameters, TxSession},
    session_state::{RxSequencing, SessionState},
    sessions::{Endpoint, RxSession, SessionTable},
    snapshot::{PortTable, Tables},
};
use wire::{ipv4, overhead};

use super::{
    outer,
    plan::{Plan, PlannedSession},
};
use crate::{
    config::{
        model::{Bridge, Encap, Link, PeerMode, Port, Sequencing, Tunnel},
        outer::Ecn,
    },
    netlink::next_hop::TunnelReadiness,
};

/// What is known of one port at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortWorld {
    /// Interface index while attached.
    pub ifindex: Option<u32>,
    /// Whether the link is up and carries frames.
    pub is_up: bool,
    /// MTU of the interface. Units: bytes, without the Ethernet header.
    pub mtu_bytes: u32,
    /// Whether it has UDP checksums filled in, by the card or the kernel.
    pub fills_in_checksums: bool,
}

/// What is up at the moment, by position in the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// By port.
    pub ports: Vec<PortWorld>,
    /// By tunnel.
    pub tunnels: Vec<TunnelReadiness>,
    /// By tunnel: address and UDP port (0 over IP) of the peer; `None`: not known. Of tunnels that learn their peer only.
    pub peers: Vec<Option<(IpAddr, u16)>>,
    /// By tunnel: whether its packets are spread over the workers now.
    pub spread: Vec<bool>,
}

impl World {
    /// The port that an interface is attached as.
    #[must_use]
    pub fn port_of(&self, ifindex: u32) -> Option<PortId> {
        self.attached().find(|(_, attached)| *attached == ifindex).map(|(id, _)| id)
    }

    /// Where a tunnel's peer is: as configured, or as it was heard.
    pub(super) fn peer_of(&self, position: usize, tunnel: &Tunnel) -> Option<(IpAddr, u16)> {
        match tunnel.peer {
            PeerMode::Fixed => tunnel.configured_peer(),
            PeerMode::Learn => self.peers.get(position).copied().flatten(),
        }
    }

    /// Every attached port with its interface index.
    fn attached(&self) -> impl Iterator<Item = (PortId, u32)> {
        (0u16..).map(PortId).zip(&self.ports).filter_map(|(id, port)| Some((id, port.ifindex?)))
    }

    /// The attached ports by interface index.
    fn ports_by_ifindex(&self) -> HashMap<u32, PortId> {
        self.attached().map(|(id, ifindex)| (ifindex, id)).collect()
    }
}

/// Builds the snapshot.
#[must_use]
pub fn build(plan: &Plan, world: &World) -> Tables {
    let ports = world.ports_by_ifindex();
    let tx_sessions: Vec<_> =
        plan.sessions().map(|planned| tx_session(plan, world, &ports, planned)).collect();
    let is_session_up = |position: usize| tx_sessions.get(position).is_some_and(Option::is_some);
    let is_spread: Vec<_> = plan.sessions().map(|planned| is_spread(world, planned)).collect();
    Tables {
        ports: plan.ports().map(|(id, port)| port_table(plan, world, id, port)).collect(),
        sessions: SessionTable::new(
            plan.sessions()
                .zip(&tx_sessions)
                .map(|(planned, tx)| rx_session(plan, world, planned, tx.as_ref()))
                .collect(),
        )
        .with_spread(|session| is_spread.get(session.index.index()).is_some_and(|is_spread| *is_spread)),
        domains: plan
            .bridges()
            .zip(&plan.fdbs)
            .map(|((_, bridge), fdb)| {
                BridgeDomain::new(members(plan, world, bridge, is_session_up), Arc::clone(fdb))
            })
            .collect(),
        tx_sessions,
    }
}

/// Largest frame an interface takes: its MTU behind an Ethernet header and one tag (Linux `net/core/dev.c`,
/// `__is_skb_forwardable`).
#[must_use]
pub const fn max_frame_bytes(mtu_bytes: u32) -> usize {
    overhead::frame_bytes(mtu_bytes as usize, 1)
}

fn port_table(plan: &Plan, world: &World, id: PortId, port: &Port) -> PortTable {
    let state = world.ports.get(id.index()).copied().unwrap_or_default();
    PortTable {
        is_underlay: port.role.is_underlay(),
        attachment: attachment(plan, &Link::Port(port.name.clone())),
        max_frame_bytes: max_frame_bytes(state.mtu_bytes),
    }
}

fn attachment(plan: &Plan, link: &Link) -> Attachment {
    let mut attachment = Attachment::default();
    for (domain, id, member) in plan.memberships(link) {
        match member.vlan {
            None => attachment.attach_whole(domain, id),
            Some(vlan) => attachment.attach_vlan(vlan, domain, id),
        }
    }
    attachment
}

fn members(
    plan: &Plan,
    world: &World,
    bridge: &Bridge,
    is_session_up: impl Fn(usize) -> bool,
) -> Vec<TableMember> {
    let circuit = |link: &Link| match link {
        Link::Port(name) => plan
            .port_id(name)
            .filter(|id| world.ports.get(id.index()).is_some_and(|port| port.is_up && port.ifindex.is_some()))
            .map_or(Circuit::Down, Circuit::Port),
        Link::Session(name) => plan
            .session_index(name)
            .filter(|index| is_session_up(index.index()))
            .map_or(Circuit::Down, Circuit::Session),
    };
    bridge
        .members
        .iter()
        .map(|member| TableMember { circuit: circuit(&member.link), vlan: member.vlan, group: 0 })
        .collect()
}

/// The outer addressing of packets that arrive through a tunnel whose peer is there; `None`: it is not known.
#[must_use]
pub fn rx_endpoint(tunnel: &Tunnel, peer: Option<(IpAddr, u16)>) -> Endpoint {
    let local = mapped(tunnel.local);
    let (local_port, protocol) = match tunnel.encap {
        Encap::Ip => (0, ipv4::PROTOCOL_L2TP),
        Encap::Udp { sport, .. } => (sport, ipv4::PROTOCOL_UDP),
    };
    match peer {
        None => Endpoint::without_peer(local, local_port),
        Some((remote, remote_port)) => {
            Endpoint { local, remote: mapped(remote), local_port, remote_port, protocol }
        }
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => Endpoint::map_v4(address.octets()),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// `tx` is the session's other half, while it is up: what hosts announce to each other depends on how large the path is.
fn rx_session(plan: &Plan, world: &World, planned: PlannedSession<'_>, tx: Option<&TxSession>) -> RxSession {
    let session = planned.session;
    let attachment = attachment(plan, &Link::Session(session.name.clone()));
    let counters = plan.session_counters[planned.index.index()].clone();
    let endpoint = rx_endpoint(planned.tunnel, world.peer_of(planned.tunnel_position, planned.tunnel));
    let plain = RxSession::plain(endpoint, session.rx_session_id, planned.index, attachment, counters);
    RxSession {
        rx_cookie: session.rx_cookie,
        rx_cookie_also: session.rx_cookie_also,
        sublayer: session.sublayer,
        sequencing: rx_sequencing(plan, planned),
        needs_checksum: outer::needs_checksum(planned.tunnel),
        combines_ecn: planned.tunnel.outer.ecn == Ecn::Copy,
        mss_limit: tx.map(TxSession::mss_limit).unwrap_or_default(),
        peer: plan.peer_watches[planned.tunnel_position].clone(),
        ..plain
    }
}

/// Whether any worker may take the session's packets.
#[must_use]
pub fn is_spread(world: &World, planned: PlannedSession<'_>) -> bool {
    let is_wanted = world.spread.get(planned.tunnel_position).is_some_and(|is_spread| *is_spread);
    is_wanted && planned.session.sequencing.is_free_of_order()
}

/// What the session remembers, the same in every snapshot.
fn state_of(plan: &Plan, planned: PlannedSession<'_>) -> Arc<SessionState> {
    Arc::clone(&plan.session_states[planned.index.index()])
}

fn rx_sequencing(plan: &Plan, planned: PlannedSession<'_>) -> RxSequencing {
    match planned.session.sequencing {
        Sequencing { seq, .. } if seq.receives() => RxSequencing::Strict(state_of(plan, planned)),
        Sequencing { observe: true, .. } => RxSequencing::Observed(state_of(plan, planned)),
        _ => RxSequencing::Ignored,
    }
}

fn tx_session(
    plan: &Plan,
    world: &World,
    ports: &HashMap<u32, PortId>,
    planned: PlannedSession<'_>,
) -> Option<TxSession> {
    let TunnelReadiness::Up { oif, vlan, src_mac, dst_mac, mtu } =
        *world.tunnels.get(planned.tunnel_position)?
    else {
        return None;
    };
    // The configuration check admits no tunnel between addresses of two versions.
    let (remote, remote_port) = world.peer_of(planned.tunnel_position, planned.tunnel)?;
    let addresses = OuterAddresses::new(planned.tunnel.local, remote)?;
    let port = *ports.get(&oif)?;
    let hop = NextHop { port, src_mac, dst_mac, vlan, path_mtu_bytes: mtu as usize };
    let encap = match planned.tunnel.encap {
        Encap::Ip => next_hops::Encap::Ip,
        Encap::Udp { sport, .. } => {
            let checksum = outer::sends_checksum(planned.tunnel);
            next_hops::Encap::Udp { local_port: sport, remote_port, checksum }
        }
    };
    let session = planned.session;
    let plain = TxParameters::plain(addresses, encap, session.tx_session_id);
    let parameters = TxParameters {
        tx_cookie: session.tx_cookie,
        sublayer: session.sublayer,
        fields: outer::fields(planned.tunnel),
        fragmentation: planned.tunnel.fragmentation,
        mss_clamp: planned.tunnel.mss_clamp,
        ..plain
    };
    let tx = TxSession::new(&hop, &parameters, plan.session_counters[planned.index.index()].clone());
    let is_offloaded = world.ports.get(port.index()).is_some_and(|port| port.fills_in_checksums);
    let tx = if is_offloaded { tx.offloaded() } else { tx };
    Some(if session.sequencing.seq.sends() { tx.numbered(state_of(plan, planned)) } else { tx })
}

#[cfg(test)]
mod tests;
