//! Endpoints: what the XDP program must know to hand tunnel packets and LAN frames to the engine.
//!
//! A tunnel that is down keeps its endpoint: its packets still belong to the engine, which counts them.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ebpf::abi::{AccessVlanKey, EndpointKey, Payload, Roles};
use wire::ipv4;

use super::{plan::Plan, tables::World};
use crate::config::model::{Encap, Link, Port, Role, Tunnel};

/// The endpoints of all tunnels.
#[must_use]
pub fn endpoints(plan: &Plan) -> HashMap<EndpointKey, Payload> {
    plan.config.tunnels.iter().flat_map(keys_of).map(|key| (key, Payload::L2tp)).collect()
}

/// A tunnel's packets and their fragments.
fn keys_of(tunnel: &Tunnel) -> Vec<EndpointKey> {
    match tunnel.encap {
        Encap::Ip => vec![key(ipv4::PROTOCOL_L2TP, tunnel)],
        Encap::Udp { sport, dport } => {
            let key = key(ipv4::PROTOCOL_UDP, tunnel).with_ports(sport, dport);
            vec![key, key.for_fragments()]
        }
    }
}

fn key(protocol: u8, tunnel: &Tunnel) -> EndpointKey {
    match (tunnel.local, tunnel.remote) {
        (IpAddr::V4(local), IpAddr::V4(remote)) => EndpointKey::ipv4(protocol, local, remote),
        (local, remote) => EndpointKey::ipv6(protocol, v6(local), v6(remote)),
    }
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => Ipv4Addr::to_ipv6_mapped(&address),
        IpAddr::V6(address) => address,
    }
}

/// What a port's frames are for.
#[must_use]
pub fn roles(plan: &Plan, port: &Port) -> Roles {
    let link = Link::Port(port.name.clone());
    let is_whole = plan.memberships(&link).any(|(_, _, member)| member.vlan.is_none());
    let access = if is_whole { Roles::ACCESS_WHOLE } else { Roles::ACCESS };
    match port.role {
        Role::Underlay => Roles::UNDERLAY,
        Role::Access => access,
        Role::Both => Roles::UNDERLAY.with(access),
    }
}

/// The VLANs of all attached ports that belong to bridge domains.
#[must_use]
pub fn access_vlans(plan: &Plan, world: &World) -> HashSet<AccessVlanKey> {
    let attached = plan.ports().filter_map(|(id, port)| Some((world.ports.get(id.index())?.ifindex?, port)));
    attached
        .flat_map(|(ifindex, port)| {
            let link = Link::Port(port.name.clone());
            let vlans: Vec<_> = plan.memberships(&link).filter_map(|(_, _, member)| member.vlan).collect();
            vlans.into_iter().map(move |vlan| AccessVlanKey::new(ifindex, vlan.get()))
        })
        .collect()
}
