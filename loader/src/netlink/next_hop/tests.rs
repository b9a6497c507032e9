//! Readiness from facts alone.

use super::*;
use wire::ethernet::VlanId;

const SRC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x0a]);
const DST: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x01]);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn endpoint() -> TunnelEndpoint {
    TunnelEndpoint { local: ip("10.200.100.2"), remote: ip("10.200.100.6"), udp_ports: Some((5001, 6001)) }
}

fn eth0() -> Link {
    Link {
        ifindex: 3,
        name: "eth0".into(),
        mac: Some(SRC),
        mtu: 1500,
        is_up: true,
        has_carrier: true,
        resolves_neighbours: true,
        is_loopback: false,
        kind: None,
        vlan: None,
        controller: None,
        rx_queue_count: 1,
        tx_queue_count: 1,
    }
}

fn route() -> RouteAnswer {
    let gateway = Some(ip("10.200.100.1"));
    RouteAnswer {
        oif: 3,
        gateway,
        prefsrc: None,
        mtu: None,
        is_mtu_locked: false,
        mtu_expires_s: None,
        kind: RouteKind::Unicast,
    }
}

fn entry(state: NeighbourState) -> Option<Neighbour> {
    Some(Neighbour { mac: Some(DST), state })
}

fn here(is_up: bool) -> LocalAddress {
    LocalAddress::Here { interface: "eth0".into(), is_up }
}

/// Everything as it should be.
fn facts() -> Facts {
    Facts {
        local: here(true),
        route: Ok(route()),
        link: Some(eth0()),
        way_out: WayOut::Port,
        neighbour: entry(NeighbourState::Reachable),
    }
}

fn why(facts: &Facts) -> String {
    match evaluate(&endpoint(), facts) {
        TunnelReadiness::Down(reason) => reason.to_string(),
        up => panic!("expected down, is {up:?}"),
    }
}

fn up(mtu: u32) -> TunnelReadiness {
    TunnelReadiness::Up { oif: 3, vlan: None, src_mac: SRC, dst_mac: DST, mtu }
}

#[test]
fn a_tunnel_with_everything_is_up() {
    assert_eq!(evaluate(&endpoint(), &facts()), up(1500));
}

#[test]
fn every_usable_neighbour_state_keeps_the_tunnel_up() {
    use NeighbourState::{Delay, NoArp, Permanent, Probe, Stale};
    for state in [Stale, Delay, Probe, NoArp, Permanent] {
        assert_eq!(evaluate(&endpoint(), &Facts { neighbour: entry(state), ..facts() }), up(1500));
    }
}

#[test]
fn the_smaller_of_route_and_interface_mtu_counts() {
    for (route_mtu, expected) in [(1400, 1400), (9000, 1500)] {
        let route = Ok(RouteAnswer { mtu: Some(route_mtu), ..route() });
        assert_eq!(evaluate(&endpoint(), &Facts { route, ..facts() }), up(expected));
    }
}

#[test]
fn a_missing_local_address_is_the_first_thing_named() {
    let facts = Facts {
        local: LocalAddress::Missing,
        route: Err(Unreachable::Discarded),
        link: None,
        neighbour: None,
        ..facts()
    };
    assert_eq!(why(&facts), "local address 10.200.100.2 is not on this host");
}

#[test]
fn an_address_under_duplicate_detection_is_named_with_its_interface() {
    let facts = Facts { local: LocalAddress::Unusable { interface: "eth0".into() }, ..facts() };
    let expected = "local address 10.200.100.2 on eth0 has not passed duplicate address detection";
    assert_eq!(why(&facts), expected);
}

#[test]
fn a_missing_route_is_named() {
    let facts = Facts { route: Err(Unreachable::NoRoute), link: None, ..facts() };
    assert_eq!(why(&facts), "no route to 10.200.100.6");
}

#[test]
fn a_route_missing_because_the_interface_is_down_names_the_interface() {
    let facts = Facts { local: here(false), route: Err(Unreachable::NoRoute), link: None, ..facts() };
    assert_eq!(why(&facts), "interface eth0 is down");
}

#[test]
fn refusing_routes_are_told_apart() {
    let refused = |refusal| why(&Facts { route: Err(refusal), ..facts() });
    assert_eq!(refused(Unreachable::Prohibited), "route to 10.200.100.6 refuses it: prohibited");
    assert_eq!(refused(Unreachable::Discarded), "route to 10.200.100.6 refuses it: discarded");
    assert_eq!(refused(Unreachable::Host), "route to 10.200.100.6 refuses it: unreachable");
}

#[test]
fn a_remote_address_of_this_host_or_of_many_hosts_is_refused() {
    let kind = |kind| why(&Facts { route: Ok(RouteAnswer { kind, ..route() }), ..facts() });
    assert_eq!(kind(RouteKind::Local), "remote address 10.200.100.6 is on this host itself");
    assert_eq!(kind(RouteKind::Other), "remote address 10.200.100.6 is not that of one host");
}

#[test]
fn a_route_by_an_interface_that_is_no_underlay_port_names_it() {
    let link = Some(Link { name: "eth9".into(), ..eth0() });
    let facts = Facts { link, way_out: WayOut::Elsewhere, ..facts() };
    assert_eq!(why(&facts), "route to 10.200.100.6 leaves by eth9, which is not an underlay port");
}

const VLAN_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 0x64]);

/// eth0.100 on eth0.
fn eth0_100() -> Link {
    Link { ifindex: 7, name: "eth0.100".into(), mac: Some(VLAN_MAC), mtu: 1400, ..eth0() }
}

/// Everything as it should be, the route by eth0.100.
fn vlan_facts(port: Link) -> Facts {
    let tag = VlanTag::customer(VlanId::new(100).unwrap());
    Facts {
        route: Ok(RouteAnswer { oif: 7, ..route() }),
        link: Some(eth0_100()),
        way_out: WayOut::Vlan { port: Box::new(port), tag },
        ..facts()
    }
}

#[test]
fn a_route_by_a_vlan_of_a_port_leaves_by_the_port_with_the_tag_and_the_vlans_address_and_mtu() {
    let TunnelReadiness::Up { oif, vlan, src_mac, mtu, .. } = evaluate(&endpoint(), &vlan_facts(eth0()))
    else {
        panic!("is down");
    };
    assert_eq!((oif, vlan.map(|tag| tag.vid.get()), src_mac, mtu), (3, Some(100), VLAN_MAC, 1400));
    let low = Link { mtu: 1300, ..eth0() };
    assert!(matches!(evaluate(&endpoint(), &vlan_facts(low)), TunnelReadiness::Up { mtu: 1300, .. }));
    let with_route_mtu = Ok(RouteAnswer { oif: 7, mtu: Some(1280), ..route() });
    let facts = Facts { route: with_route_mtu, ..vlan_facts(eth0()) };
    assert!(matches!(evaluate(&endpoint(), &facts), TunnelReadiness::Up { mtu: 1280, .. }));
}

#[test]
fn the_neighbour_of_a_vlan_is_asked_for_on_the_vlan_interface() {
    let unresolved = Facts { neighbour: None, ..vlan_facts(eth0()) };
    assert_eq!(wanted_probe(&endpoint(), &unresolved), Some((7, ip("10.200.100.1"))));
}

#[test]
fn a_vlan_whose_port_or_own_interface_is_down_names_which() {
    assert_eq!(why(&vlan_facts(Link { is_up: false, ..eth0() })), "interface eth0 is down");
    assert_eq!(why(&vlan_facts(Link { has_carrier: false, ..eth0() })), "interface eth0 has no carrier");
    let off = Facts { link: Some(Link { is_up: false, ..eth0_100() }), ..vlan_facts(eth0()) };
    assert_eq!(why(&off), "interface eth0.100 is down");
}

#[test]
fn a_route_by_a_bond_on_top_of_a_port_names_both() {
    let link = Some(Link { name: "bond0".into(), ..eth0() });
    let facts = Facts { link, way_out: WayOut::Hidden { port: "eth0".into() }, ..facts() };
    assert_eq!(
        why(&facts),
        "route to 10.200.100.6 leaves by bond0, which stands on top of underlay port eth0: \
         only eth0 itself or one VLAN of it can carry a tunnel"
    );
    assert_eq!(wanted_probe(&endpoint(), &Facts { neighbour: None, ..facts }), None);
}

#[test]
fn a_route_by_an_unknown_interface_names_its_index() {
    let facts = Facts { link: None, way_out: WayOut::Elsewhere, ..facts() };
    assert_eq!(why(&facts), "route to 10.200.100.6 leaves by interface index 3, which is not known");
}

#[test]
fn an_interface_that_is_down_or_without_carrier_is_named() {
    let with = |link| why(&Facts { link: Some(link), ..facts() });
    assert_eq!(with(Link { is_up: false, ..eth0() }), "interface eth0 is down");
    assert_eq!(with(Link { has_carrier: false, ..eth0() }), "interface eth0 has no carrier");
}

#[test]
fn an_interface_without_ethernet_neighbours_is_named() {
    let expected = "interface eth0 has no Ethernet neighbours to send to";
    let with = |link| why(&Facts { link: Some(link), ..facts() });
    assert_eq!(with(Link { mac: None, ..eth0() }), expected);
    assert_eq!(with(Link { resolves_neighbours: false, ..eth0() }), expected);
}

#[test]
fn an_unresolved_next_hop_is_named_with_its_state() {
    let failed = Some(Neighbour { mac: None, state: NeighbourState::Failed });
    let with = |neighbour| why(&Facts { neighbour, ..facts() });
    assert_eq!(with(failed), "next hop 10.200.100.1 is not resolved (neighbour state FAILED)");
    assert_eq!(with(None), "next hop 10.200.100.1 is not resolved (neighbour state NONE)");
    // A failed entry may still hold the address that it once had.
    let kept = entry(NeighbourState::Failed);
    assert_eq!(with(kept), "next hop 10.200.100.1 is not resolved (neighbour state FAILED)");
}

#[test]
fn the_next_hop_of_a_connected_remote_is_the_remote_itself() {
    let route = Ok(RouteAnswer { gateway: None, ..route() });
    let facts = Facts { route, neighbour: None, ..facts() };
    assert_eq!(why(&facts), "next hop 10.200.100.6 is not resolved (neighbour state NONE)");
    assert_eq!(wanted_probe(&endpoint(), &facts), Some((3, ip("10.200.100.6"))));
}

#[test]
fn a_multicast_or_zero_address_of_the_next_hop_is_refused() {
    for mac in [MacAddr([0x01, 0, 0x5e, 0, 0, 1]), MacAddr([0; 6])] {
        let neighbour = Some(Neighbour { mac: Some(mac), state: NeighbourState::Permanent });
        let text = why(&Facts { neighbour, ..facts() });
        assert!(text.starts_with("next hop 10.200.100.1 has Ethernet address"), "{text}");
    }
}

#[test]
fn stale_failed_and_absent_neighbours_are_probed_and_no_others() {
    let probe = |neighbour| wanted_probe(&endpoint(), &Facts { neighbour, ..facts() });
    let wanted = Some((3, ip("10.200.100.1")));
    assert_eq!(probe(entry(NeighbourState::Stale)), wanted);
    assert_eq!(probe(entry(NeighbourState::Failed)), wanted);
    assert_eq!(probe(None), wanted);
    assert_eq!(probe(entry(NeighbourState::Reachable)), None);
    assert_eq!(probe(entry(NeighbourState::Incomplete)), None);
}

#[test]
fn nobody_is_probed_on_an_interface_that_cannot_send() {
    let probe = |facts: Facts| wanted_probe(&endpoint(), &Facts { neighbour: None, ..facts });
    assert_eq!(probe(Facts { way_out: WayOut::Elsewhere, ..facts() }), None);
    assert_eq!(probe(Facts { route: Err(Unreachable::NoRoute), ..facts() }), None);
    assert_eq!(probe(Facts { link: Some(Link { is_up: false, ..eth0() }), ..facts() }), None);
}

#[test]
fn reasons_serialize_with_stable_names() {
    let facts = Facts { neighbour: None, ..facts() };
    let TunnelReadiness::Down(reason) = evaluate(&endpoint(), &facts) else { panic!("is up") };
    let json = serde_json::to_value(&reason).unwrap();
    assert_eq!(json["reason"], "next_hop_unresolved");
    assert_eq!(json["next_hop"], "10.200.100.1");
    assert_eq!(json["state"], "NONE");
}
