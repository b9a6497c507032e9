//! Endpoints: what the XDP program must know to hand tunnel packets and LAN frames to the engine.
//!
//! A tunnel that is down keeps its endpoint: its packets still belong to the engine, which counts them.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ebpf::abi::{AccessVlanKey, EndpointKey, Payload, Roles};
use wire::ipv4;

use super::{plan::Plan, tables::World};
use crate::config::model::{Encap, Link, PeerMode, Port, Role, Tunnel, unspecified_like};

/// The endpoints of all tunnels.
#[must_use]
pub fn endpoints(plan: &Plan, world: &World) -> HashMap<EndpointKey, Payload> {
    let tunnels = plan.config.tunnels.iter().enumerate();
    let keys = tunnels.flat_map(|(position, tunnel)| keys_of(tunnel, world.peer_of(position, tunnel)));
    keys.map(|key| (key, Payload::L2tp)).collect()
}

/// A tunnel's packets and their fragments, with its peer where it is now.
///
/// A tunnel that learns its peer has its packets from anyone besides. Fragments of a peer that moved are the kernel's until a
/// whole packet told where it is: they carry no ports, so they could be anybody's to this address.
fn keys_of(tunnel: &Tunnel, peer: Option<(IpAddr, u16)>) -> Vec<EndpointKey> {
    let key = |remote| key(tunnel, remote);
    let (sport, mut keys) = match tunnel.encap {
        Encap::Ip => return peer.map(|(remote, _)| key(remote)).into_iter().collect(),
        Encap::Udp { sport, .. } => (sport, Vec::new()),
    };
    if let Some((remote, dport)) = peer {
        let key = key(remote).with_ports(sport, dport);
        keys.extend([key, key.for_fragments()]);
    }
    if tunnel.peer == PeerMode::Learn {
        keys.push(key(unspecified_like(tunnel.local)).with_ports(sport, 0).without_peer());
    }
    keys
}

fn key(tunnel: &Tunnel, remote: IpAddr) -> EndpointKey {
    let protocol = match tunnel.encap {
        Encap::Ip => ipv4::PROTOCOL_L2TP,
        Encap::Udp { .. } => ipv4::PROTOCOL_UDP,
    };
    match (tunnel.local, remote) {
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
    let learns = plan.config.tunnels.iter().any(|tunnel| tunnel.peer == PeerMode::Learn);
    let underlay = if learns { Roles::UNDERLAY.with(Roles::LEARNS_PEERS) } else { Roles::UNDERLAY };
    match port.role {
        Role::Underlay => underlay,
        Role::Access => access,
        Role::Both => underlay.with(access),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// A tunnel that learns its peer, and one over IP.
    const CONFIG: &str = r#"
        [port.wan]
        interface = "eth0"
        role = "underlay"
        [port.lan]
        interface = "eth1"
        role = "access"
        [tunnel.l]
        local = "10.0.0.1"
        peer = "PEER"
        remote = "10.0.0.9"
        tunnel_id = 1
        peer_tunnel_id = 1
        udp_sport = 5001
        udp_dport = 6001
        [tunnel.i]
        local = "2001:db8::1"
        remote = "2001:db8::2"
        tunnel_id = 2
        peer_tunnel_id = 2
        encap = "ip"
        [bridge.b]
        members = ["lan"]
    "#;

    fn plan(peer: &str) -> Plan {
        let checked = config::check("test.toml", &CONFIG.replace("PEER", peer), None);
        Plan::new(checked.config.unwrap_or_else(|| panic!("{}", checked.findings)), 1, 0)
    }

    fn keys(plan: &Plan, peer: Option<(IpAddr, u16)>) -> HashSet<EndpointKey> {
        endpoints(plan, &World { peers: vec![peer, None], ..World::default() }).into_keys().collect()
    }

    const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    fn over_ip() -> EndpointKey {
        let address = |host| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host);
        EndpointKey::ipv6(115, address(1), address(2))
    }

    #[test]
    fn a_fixed_tunnel_has_its_packets_and_their_fragments_whatever_was_heard() {
        let udp = EndpointKey::ipv4(17, LOCAL, Ipv4Addr::new(10, 0, 0, 9)).with_ports(5001, 6001);
        let expected = HashSet::from([udp, udp.for_fragments(), over_ip()]);
        assert_eq!(keys(&plan("fixed"), None), expected);
        assert_eq!(keys(&plan("fixed"), Some(([192, 0, 2, 7].into(), 7))), expected);
    }

    #[test]
    fn a_learning_tunnel_has_packets_without_peer_and_where_its_peer_is_fragments_too() {
        let anyone = EndpointKey::ipv4(17, LOCAL, Ipv4Addr::UNSPECIFIED).with_ports(5001, 0);
        assert_eq!(keys(&plan("learn"), None), HashSet::from([anyone, over_ip()]));
        let peer = EndpointKey::ipv4(17, LOCAL, Ipv4Addr::new(192, 0, 2, 7)).with_ports(5001, 7);
        let expected = HashSet::from([anyone, peer, peer.for_fragments(), over_ip()]);
        assert_eq!(keys(&plan("learn"), Some(([192, 0, 2, 7].into(), 7))), expected);
    }

    #[test]
    fn only_underlay_ports_of_a_gateway_with_a_learning_tunnel_look_again() {
        for (peer, learns) in [("learn", true), ("fixed", false)] {
            let plan = plan(peer);
            let of = |name| roles(&plan, plan.config.port(name).unwrap());
            assert_eq!(of("wan").contains(Roles::LEARNS_PEERS), learns);
            assert!(!of("lan").contains(Roles::LEARNS_PEERS));
        }
    }
}
