//! The decision over literal frames.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::collections::{HashMap, HashSet};

use super::{Action, Decision, Ingress, Side, Tables, steer};
use crate::abi::{AccessVlanKey, EndpointKey, EndpointValue, Payload, PortConfig, Roles, Stat};
use crate::packet_view::SliceView;

const IFINDEX: u32 = 7;
const SLOT_BASE: u32 = 32;
const QUEUE_COUNT: u32 = 4;

const MACS: &[u8] = &[
    0x02, 0, 0, 0, 0, 2, // destination
    0x02, 0, 0, 0, 0, 1, // source
];
const TYPE_IPV4: &[u8] = &[0x08, 0x00];
const TYPE_IPV6: &[u8] = &[0x86, 0xdd];
const TYPE_ARP: &[u8] = &[0x08, 0x06];
const TAG_10: &[u8] = &[0x81, 0x00, 0x00, 0x0a];
const TAG_10_PRIORITY_5: &[u8] = &[0x81, 0x00, 0xa0, 0x0a];
const TAG_20: &[u8] = &[0x81, 0x00, 0x00, 0x14];
const SERVICE_TAG_10: &[u8] = &[0x88, 0xa8, 0x00, 0x0a];
const SERVICE_TAG_20: &[u8] = &[0x88, 0xa8, 0x00, 0x14];
const PRIORITY_TAG: &[u8] = &[0x81, 0x00, 0xe0, 0x00];
const UDP: &[u8] = &[
    0x17, 0x71, // source port 6001
    0x13, 0x89, // destination port 5001
    0, 16, // length
    0, 0, // checksum: none
];
const UDP_OTHER_PORT: &[u8] = &[0x17, 0x71, 0x13, 0x8a, 0, 16, 0, 0];
const L2TP_UDP_DATA: &[u8] = &[
    0x00, 0x03, 0, 0, // data, version 3
    0, 0, 0x03, 0xe8, // session 1000
];
const L2TP_UDP_CONTROL: &[u8] = &[
    0xc8, 0x03, 0, 12, // control, with length and sequence, version 3, length 12
    0, 0, 0, 1, // control connection 1
];
const L2TP_IP_DATA: &[u8] = &[0, 0, 0x03, 0xe8]; // session 1000
const L2TP_IP_CONTROL: &[u8] = &[
    0, 0, 0, 0, // session 0
    0xc8, 0x03, 0, 12, // control
];

/// An IPv4 header from 10.0.0.6 to 10.0.0.2.
fn ipv4(protocol: u8, flags_fragment: [u8; 2]) -> Vec<u8> {
    let [flags, fragment] = flags_fragment;
    vec![
        0x45, 0, 0, 36, // version 4, five words; length
        0, 1, flags, fragment, // identification
        64, protocol, 0, 0, // time to live; checksum: not looked at
        10, 0, 0, 6, // source
        10, 0, 0, 2, // destination
    ]
}

/// An IPv6 header from 2001:db8::6 to 2001:db8::2.
fn ipv6(next_header: u8) -> Vec<u8> {
    let mut header = vec![0x60, 0, 0, 0, 0, 16, next_header, 64];
    header.extend_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6]); // source
    header.extend_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]); // destination
    header
}

#[derive(Default)]
struct Model {
    roles: Option<Roles>,
    endpoints: HashMap<EndpointKey, EndpointValue>,
    vlans: HashSet<AccessVlanKey>,
}

impl Tables for Model {
    fn port(&self, ifindex: u32) -> Option<PortConfig> {
        let roles = self.roles.filter(|_| ifindex == IFINDEX)?;
        Some(PortConfig::new(roles, SLOT_BASE, QUEUE_COUNT))
    }

    fn is_covered(&self, vlan: &AccessVlanKey) -> bool {
        self.vlans.contains(vlan)
    }

    fn endpoint(&self, key: &EndpointKey) -> Option<EndpointValue> {
        self.endpoints.get(key).copied()
    }
}

/// A port that covers VLAN 10, with UDP, IP and ESP endpoints between `.2` (or `::2`) and `.6` (or `::6`).
fn model(roles: Roles) -> Model {
    let (local, remote) = (Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 6));
    let local_v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
    let remote_v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 6);
    let l2tp = EndpointValue::new(Payload::L2tp);
    let udp = EndpointKey::ipv4(17, local, remote).with_ports(5001, 6001);
    let udp_v6 = EndpointKey::ipv6(17, local_v6, remote_v6).with_ports(5001, 6001);
    let endpoints = [
        (udp, l2tp),
        (udp.for_fragments(), l2tp),
        (udp_v6, l2tp),
        (udp_v6.for_fragments(), l2tp),
        (EndpointKey::ipv4(115, local, remote), l2tp),
        (EndpointKey::ipv4(50, local, remote), EndpointValue::new(Payload::Esp)),
    ];
    Model { roles: Some(roles), endpoints: endpoints.into(), vlans: [AccessVlanKey::new(IFINDEX, 10)].into() }
}

fn decide(roles: Roles, parts: &[&[u8]]) -> Decision {
    let frame = parts.concat();
    steer(&SliceView(&frame), &model(roles), Ingress { ifindex: IFINDEX, rx_queue: 1 })
}

/// The decision for what stands behind the MAC addresses of a frame on an underlay port.
fn underlay(parts: &[&[u8]]) -> Decision {
    decide(Roles::UNDERLAY, &[&[MACS], parts].concat())
}

fn tunnel() -> Decision {
    Decision::Engine { slot: Some(33), side: Side::Underlay, stat: Stat::EngineTunnel }
}

fn fragment() -> Decision {
    Decision::Engine { slot: Some(33), side: Side::Underlay, stat: Stat::EngineFragment }
}

fn access() -> Decision {
    Decision::Engine { slot: Some(33), side: Side::Access, stat: Stat::EngineAccess }
}

#[test]
fn data_over_udp_is_the_engines() {
    assert_eq!(underlay(&[TYPE_IPV4, &ipv4(17, [0x40, 0]), UDP, L2TP_UDP_DATA]), tunnel());
    assert_eq!(underlay(&[TYPE_IPV6, &ipv6(17), UDP, L2TP_UDP_DATA]), tunnel());
}

#[test]
fn data_over_ip_is_the_engines() {
    assert_eq!(underlay(&[TYPE_IPV4, &ipv4(115, [0, 0]), L2TP_IP_DATA]), tunnel());
}

#[test]
fn control_messages_stay_with_the_kernel() {
    let control = Decision::Pass(Stat::PassControl);
    assert_eq!(underlay(&[TYPE_IPV4, &ipv4(17, [0, 0]), UDP, L2TP_UDP_CONTROL]), control);
    assert_eq!(underlay(&[TYPE_IPV6, &ipv6(17), UDP, L2TP_UDP_CONTROL]), control);
    assert_eq!(underlay(&[TYPE_IPV4, &ipv4(115, [0, 0]), L2TP_IP_CONTROL]), control);
}

#[test]
fn esp_is_the_engines_whatever_it_starts_with() {
    assert_eq!(underlay(&[TYPE_IPV4, &ipv4(50, [0, 0]), &[0, 0, 0, 0]]), tunnel());
    assert_eq!(underlay(&[TYPE_IPV4, &ipv4(50, [0, 0]), &[0x80]]), tunnel());
}

#[test]
fn other_ports_protocols_and_types_stay_with_the_kernel() {
    let not_tunnel = Decision::Pass(Stat::PassNotTunnel);
    assert_eq!(underlay(&[TYPE_IPV4, &ipv4(17, [0, 0]), UDP_OTHER_PORT, L2TP_UDP_DATA]), not_tunnel);
    assert_eq!(underlay(&[TYPE_IPV4, &ipv4(6, [0, 0]), &[0; 20]]), not_tunnel); // TCP
    assert_eq!(underlay(&[TYPE_IPV4, &ipv4(1, [0, 0]), &[8, 0, 0, 0]]), not_tunnel); // ping
    assert_eq!(underlay(&[TYPE_IPV6, &ipv6(58), &[135, 0, 0, 0]]), not_tunnel); // neighbour solicitation
    assert_eq!(underlay(&[TYPE_IPV6, &ipv6(115), L2TP_IP_DATA]), not_tunnel); // no such endpoint over IPv6
    assert_eq!(underlay(&[TYPE_ARP, &[0; 28]]), Decision::Pass(Stat::PassNotIp));
}

#[test]
fn the_way_back_does_not_match() {
    let mut reversed = ipv4(115, [0, 0]);
    reversed[12..20].rotate_left(4);
    assert_eq!(underlay(&[TYPE_IPV4, &reversed, L2TP_IP_DATA]), Decision::Pass(Stat::PassNotTunnel));
}

#[test]
fn every_fragment_of_a_tunnel_packet_is_the_engines() {
    let first = [0x20, 0]; // more fragments, offset 0
    let middle = [0x20, 185];
    let last = [0, 185];
    for flags in [first, middle, last] {
        assert_eq!(underlay(&[TYPE_IPV4, &ipv4(17, flags), UDP, L2TP_UDP_DATA]), fragment());
        assert_eq!(underlay(&[TYPE_IPV4, &ipv4(115, flags), &[0; 8]]), fragment());
        let icmp = underlay(&[TYPE_IPV4, &ipv4(1, flags), &[0; 8]]);
        assert_eq!(icmp, Decision::Pass(Stat::PassNotTunnel));
    }
}

#[test]
fn ipv6_fragments_are_found_behind_their_header() {
    let packet =
        |flags: &[u8]| underlay(&[TYPE_IPV6, &ipv6(44), &[17, 0], flags, &[0, 0, 0, 7], UDP, L2TP_UDP_DATA]);
    assert_eq!(packet(&[0x00, 0x01]), fragment()); // offset 0, more
    assert_eq!(packet(&[0x05, 0xc8]), fragment()); // offset 185, last
    assert_eq!(packet(&[0x00, 0x00]), tunnel()); // atomic: whole
    assert_eq!(packet(&[0x00, 0x06]), tunnel()); // reserved bits mean nothing
}

/// A port of a gateway one of whose tunnels, at local port 5002, learns its peer.
fn learning() -> Model {
    let mut model = model(Roles::UNDERLAY.with(Roles::LEARNS_PEERS));
    let nobody = Ipv4Addr::UNSPECIFIED;
    let v4 = EndpointKey::ipv4(17, Ipv4Addr::new(10, 0, 0, 2), nobody).with_ports(5002, 0);
    let local_v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
    let v6 = EndpointKey::ipv6(17, local_v6, Ipv6Addr::UNSPECIFIED).with_ports(5002, 0);
    model.endpoints.extend([v4, v6].map(|key| (key, EndpointValue::new(Payload::L2tp))));
    model
}

fn decide_by(model: &Model, parts: &[&[u8]]) -> Decision {
    let frame = [&[MACS], parts].concat().concat();
    steer(&SliceView(&frame), model, Ingress { ifindex: IFINDEX, rx_queue: 1 })
}

/// From port 6001 to port 5002.
const UDP_TO_LEARNING: &[u8] = &[0x17, 0x71, 0x13, 0x8a, 0, 16, 0, 0];

#[test]
fn a_tunnel_that_learns_its_peer_hears_anybody_at_its_own_end_and_no_other_tunnel_does() {
    let model = learning();
    let mut elsewhere = ipv4(17, [0, 0]);
    elsewhere[12..16].copy_from_slice(&[198, 51, 100, 7]);
    let mut elsewhere_v6 = ipv6(17);
    elsewhere_v6[8..24].copy_from_slice(&[0xfd; 16]);
    let not_tunnel = Decision::Pass(Stat::PassNotTunnel);
    for (ethertype, header, other) in
        [(TYPE_IPV4, &ipv4(17, [0, 0]), &elsewhere), (TYPE_IPV6, &ipv6(17), &elsewhere_v6)]
    {
        for header in [header, other] {
            assert_eq!(decide_by(&model, &[ethertype, header, UDP_TO_LEARNING, L2TP_UDP_DATA]), tunnel());
            let control = decide_by(&model, &[ethertype, header, UDP_TO_LEARNING, L2TP_UDP_CONTROL]);
            assert_eq!(control, Decision::Pass(Stat::PassControl));
        }
        assert_eq!(decide_by(&model, &[ethertype, header, UDP, L2TP_UDP_DATA]), tunnel());
        assert_eq!(decide_by(&model, &[ethertype, other, UDP, L2TP_UDP_DATA]), not_tunnel);
    }
    let mut to_another = elsewhere.clone();
    to_another[19] = 3;
    assert_eq!(decide_by(&model, &[TYPE_IPV4, &to_another, UDP_TO_LEARNING, L2TP_UDP_DATA]), not_tunnel);
}

#[test]
fn nobody_is_heard_by_the_local_end_alone_unless_the_port_says_so() {
    let model = learning();
    let model = Model { roles: Some(Roles::UNDERLAY), ..model };
    let decision = decide_by(&model, &[TYPE_IPV4, &ipv4(17, [0, 0]), UDP_TO_LEARNING, L2TP_UDP_DATA]);
    assert_eq!(decision, Decision::Pass(Stat::PassNotTunnel));
}

#[test]
fn fragments_and_other_protocols_are_never_found_by_the_local_end_alone() {
    let model = learning();
    let mut part = ipv4(17, [0x20, 0]);
    part[12..16].copy_from_slice(&[198, 51, 100, 7]);
    let not_tunnel = Decision::Pass(Stat::PassNotTunnel);
    assert_eq!(decide_by(&model, &[TYPE_IPV4, &part, UDP_TO_LEARNING, L2TP_UDP_DATA]), not_tunnel);
    let mut over_ip = ipv4(115, [0, 0]);
    over_ip[12..16].copy_from_slice(&[198, 51, 100, 7]);
    assert_eq!(decide_by(&model, &[TYPE_IPV4, &over_ip, L2TP_IP_DATA]), not_tunnel);
}

#[test]
fn ipv4_options_are_stepped_over() {
    let mut header = ipv4(17, [0, 0]);
    header[0] = 0x46;
    assert_eq!(underlay(&[TYPE_IPV4, &header, &[0x94, 4, 0, 0], UDP, L2TP_UDP_DATA]), tunnel()); // router alert
}

#[test]
fn ipv6_extension_headers_are_stepped_over_up_to_four() {
    let destination_options = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
    let four = [60, 60, 60, 17].map(destination_options).concat();
    assert_eq!(underlay(&[TYPE_IPV6, &ipv6(60), &four, UDP, L2TP_UDP_DATA]), tunnel());
    let five = [60, 60, 60, 60, 17].map(destination_options).concat();
    let deep = underlay(&[TYPE_IPV6, &ipv6(60), &five, UDP, L2TP_UDP_DATA]);
    assert_eq!(deep, Decision::Pass(Stat::PassDeepHeaders));
}

#[test]
fn long_extension_headers_are_stepped_over() {
    let options = [&[17, 1][..], &[0; 14]].concat(); // 16 bytes
    assert_eq!(underlay(&[TYPE_IPV6, &ipv6(0), &options, UDP, L2TP_UDP_DATA]), tunnel());
}

#[test]
fn headers_that_contradict_themselves_stay_with_the_kernel() {
    for version_ihl in [0x44, 0x40, 0x65, 0x05] {
        let mut header = ipv4(17, [0, 0]);
        header[0] = version_ihl;
        let decision = underlay(&[TYPE_IPV4, &header, UDP, L2TP_UDP_DATA]);
        assert_eq!(decision, Decision::Pass(Stat::PassMalformed), "{version_ihl:#x}");
    }
    let mut header = ipv6(17);
    header[0] = 0x40;
    assert_eq!(underlay(&[TYPE_IPV6, &header, UDP, L2TP_UDP_DATA]), Decision::Pass(Stat::PassMalformed));
}

#[test]
fn a_packet_cut_off_anywhere_in_front_of_its_session_stays_with_the_kernel() {
    let whole = [MACS, TYPE_IPV4, &ipv4(17, [0, 0]), UDP, L2TP_UDP_DATA].concat();
    for length in 0..14 + 20 + 8 + 4 {
        let decision = decide(Roles::UNDERLAY, &[&whole[..length]]);
        assert_eq!(decision, Decision::Pass(Stat::PassTruncated), "{length} bytes");
    }
    assert_eq!(decide(Roles::UNDERLAY, &[&whole[..14 + 20 + 8 + 4]]), tunnel());
}

#[test]
fn up_to_two_tags_are_stepped_over_and_a_third_is_not() {
    let packet = [TYPE_IPV4, &ipv4(17, [0, 0]), UDP, L2TP_UDP_DATA].concat();
    assert_eq!(underlay(&[TAG_10, &packet]), tunnel());
    assert_eq!(underlay(&[SERVICE_TAG_20, TAG_10, &packet]), tunnel());
    assert_eq!(underlay(&[TAG_20, TAG_20, TAG_20, &packet]), Decision::Pass(Stat::PassNotIp));
}

#[test]
fn an_access_port_gives_its_vlans_to_the_engine_and_the_rest_to_the_kernel() {
    let uncovered = Decision::Pass(Stat::PassUncoveredVlan);
    for (tags, expected) in [
        (TAG_10, access()),
        (TAG_10_PRIORITY_5, access()),
        (&[TAG_10, TAG_20].concat(), access()),
        (TAG_20, uncovered),
        (&[TAG_20, TAG_10].concat(), uncovered), // the outer tag decides
        (SERVICE_TAG_10, uncovered),             // as the kernel's VLAN interfaces, which take 0x8100
        (PRIORITY_TAG, uncovered),
        (&[], uncovered),
    ] {
        assert_eq!(decide(Roles::ACCESS, &[MACS, tags, TYPE_ARP, &[0; 28]]), expected, "{tags:02x?}");
    }
}

#[test]
fn a_whole_access_port_gives_everything_to_the_engine() {
    for rest in [TYPE_ARP, TAG_20, PRIORITY_TAG, &[][..]] {
        assert_eq!(decide(Roles::ACCESS_WHOLE, &[MACS, rest]), access(), "{rest:02x?}");
    }
}

#[test]
fn on_a_port_that_is_both_the_vlan_decides_first() {
    let both = Roles::UNDERLAY.with(Roles::ACCESS);
    let packet = [TYPE_IPV4, &ipv4(17, [0, 0]), UDP, L2TP_UDP_DATA].concat();
    assert_eq!(decide(both, &[MACS, TAG_10, &packet]), access());
    assert_eq!(decide(both, &[MACS, TAG_20, &packet]), tunnel());
    assert_eq!(decide(both, &[MACS, &packet]), tunnel());
    assert_eq!(decide(both, &[MACS, TYPE_ARP, &[0; 28]]), Decision::Pass(Stat::PassNotIp));
}

#[test]
fn whole_access_covers_nothing_on_an_underlay_port() {
    let both = Roles::UNDERLAY.with(Roles::ACCESS_WHOLE);
    assert_eq!(decide(both, &[MACS, TYPE_ARP, &[0; 28]]), Decision::Pass(Stat::PassNotIp));
}

#[test]
fn an_unknown_port_is_the_kernels() {
    let frame = [MACS, TYPE_ARP, &[0; 28]].concat();
    let other = Ingress { ifindex: IFINDEX + 1, rx_queue: 0 };
    let decision = steer(&SliceView(&frame), &model(Roles::ACCESS_WHOLE), other);
    assert_eq!(decision, Decision::Pass(Stat::PassUnknownPort));
}

#[test]
fn without_a_socket_the_underlay_passes_and_access_drops() {
    let no_socket = |_| false;
    assert_eq!(tunnel().outcome(no_socket), (Action::Pass, Stat::PassNoSocket));
    assert_eq!(fragment().outcome(no_socket), (Action::Pass, Stat::PassNoSocket));
    assert_eq!(access().outcome(no_socket), (Action::Drop, Stat::DropNoSocket));
    let passed = Decision::Pass(Stat::PassNotIp);
    assert_eq!(passed.outcome(no_socket), (Action::Pass, Stat::PassNotIp));
}

#[test]
fn with_a_socket_the_frame_is_redirected_to_its_queues_slot() {
    assert_eq!(tunnel().outcome(|slot| slot == 33), (Action::Redirect, Stat::EngineTunnel));
    assert_eq!(access().outcome(|slot| slot == 33), (Action::Redirect, Stat::EngineAccess));
}

#[test]
fn a_queue_that_is_not_served_counts_as_one_without_socket() {
    let frame = [MACS, TYPE_ARP, &[0; 28]].concat();
    let ingress = Ingress { ifindex: IFINDEX, rx_queue: QUEUE_COUNT };
    let decision = steer(&SliceView(&frame), &model(Roles::ACCESS_WHOLE), ingress);
    assert_eq!(decision.outcome(|_| true), (Action::Drop, Stat::DropNoSocket));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_decided_upon_without_a_panic(
        frame in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..700),
        both: bool,
    ) {
        let roles = if both { Roles::UNDERLAY.with(Roles::ACCESS) } else { Roles::UNDERLAY };
        let (action, stat) = decide(roles, &[&frame]).outcome(|slot| slot == 33);
        let goes_to_the_engine = matches!(stat, Stat::EngineTunnel | Stat::EngineFragment | Stat::EngineAccess);
        proptest::prop_assert_eq!(action == Action::Redirect, goes_to_the_engine);
        proptest::prop_assert_eq!(action == Action::Drop, stat == Stat::DropNoSocket);
    }
}
