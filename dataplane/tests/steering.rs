//! What the steering program gives to the engine is what the engine takes it for: a fragment, or a whole packet of a tunnel.
//!
//! Both read the outer headers, each in its own way: the program as few of them as the verifier lets it. Here they get the same packets.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

use dataplane::verdict::DropReason;
use ebpf::{
    abi::{AccessVlanKey, EndpointKey, EndpointValue, Payload, PortConfig, Roles, Stat},
    packet_view::SliceView,
    steer::{Decision, Ingress, Tables, steer},
};
use proptest::prelude::*;
use rig::{
    COOKIE_A, LAN_0, LOCAL, PEER_A, PEER_B, Plan, Rig, WAN,
    frames::{EVERYBODY, PC_1, data_packet, lan_frame_of, lengthen, reseal},
};
use wire::{
    build::{FrameSpec, Transport},
    l2tpv3::{Cookie, Sublayer},
};

const LOCAL_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 6);
const PEER_A_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const PEER_B_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 10);

/// The endpoints of the rig's two tunnels, over IPv4 and IPv6, on an underlay port.
struct Endpoints(HashMap<EndpointKey, EndpointValue>);

impl Tables for Endpoints {
    fn port(&self, _: u32) -> Option<PortConfig> {
        Some(PortConfig::new(Roles::UNDERLAY, 0, 1))
    }

    fn is_covered(&self, _: &AccessVlanKey) -> bool {
        false
    }

    fn endpoint(&self, key: &EndpointKey) -> Option<EndpointValue> {
        self.0.get(key).copied()
    }
}

/// What the program decides.
fn steered(packet: &[u8]) -> Decision {
    let a = EndpointKey::ipv4(17, LOCAL, PEER_A).with_ports(6001, 5001);
    let a_6 = EndpointKey::ipv6(17, LOCAL_6, PEER_A_6).with_ports(6001, 5001);
    let b = [EndpointKey::ipv4(115, LOCAL, PEER_B), EndpointKey::ipv6(115, LOCAL_6, PEER_B_6)];
    let keys = [a, a.for_fragments(), a_6, a_6.for_fragments()].into_iter().chain(b);
    let endpoints = Endpoints(keys.map(|key| (key, EndpointValue::new(Payload::L2tp))).collect());
    steer(&SliceView(packet), &endpoints, Ingress { ifindex: 1, rx_queue: 0 })
}

/// What became of a packet in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Delivered,
    Parked,
    Dropped(DropReason),
}

/// What the engine makes of it.
fn ended(is_v6: bool, packet: &[u8]) -> End {
    let v6 = Plan { local: LOCAL_6.into(), peers: [PEER_A_6.into(), PEER_B_6.into()], ..Plan::default() };
    let mut rig = Rig::with(if is_v6 { v6 } else { Plan::default() });
    rig.deliver(WAN, packet);
    if rig.count().chunks.read().parked > 0 {
        return End::Parked;
    }
    let dropped = DropReason::ALL.iter().find(|reason| rig.drops(**reason) > 0).copied();
    dropped.map_or_else(|| rig.sent(LAN_0).pop().map(|_| End::Delivered).unwrap(), End::Dropped)
}

/// A good packet of session A (over UDP) or B; what follows the IP header starts at 34 or 54.
fn good(is_v6: bool, is_udp: bool) -> Vec<u8> {
    let [a, b, local]: [IpAddr; 3] = match is_v6 {
        true => [PEER_A_6, PEER_B_6, LOCAL_6].map(IpAddr::V6),
        false => [PEER_A, PEER_B, LOCAL].map(IpAddr::V4),
    };
    let (source_ip, transport, id, cookie) = match is_udp {
        true => (a, Transport::udp(5001, 6001), 1000, Cookie::eight(COOKIE_A)),
        false => (b, Transport::L2TP_IP, 2000, Cookie::NONE),
    };
    let spec = FrameSpec { source_ip, destination_ip: local, transport, ..FrameSpec::default() };
    data_packet(&spec, id, cookie, Sublayer::Default, &lan_frame_of(EVERYBODY, PC_1, 700))
}

/// With any flags and offset, and options that do nothing.
fn over_ipv4() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![Just(0u16), Just(0x4000), Just(0x8000), Just(0x2000), Just(0x2008), Just(8)];
    (any::<bool>(), 0usize..=10, flags).prop_map(|(is_udp, words, flags)| {
        let mut packet = good(false, is_udp);
        packet[14] = 0x45 + u8::try_from(words).unwrap();
        lengthen(&mut packet, 16, i16::try_from(4 * words).unwrap());
        packet.splice(34..34, vec![1; 4 * words]);
        packet[20..22].copy_from_slice(&flags.to_be_bytes());
        reseal(&mut packet);
        packet
    })
}

/// An extension header, its first byte left for the number of the next: options that do nothing, a route that has ended, or a fragment
/// header of any kind.
fn extension() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let padding = (prop_oneof![Just(0u8), Just(60), Just(43)], 0u8..3);
    prop_oneof![
        padding.prop_map(|(number, units)| {
            let mut bytes = vec![0; (usize::from(units) + 1) * 8];
            bytes[1] = units;
            (number, bytes)
        }),
        prop_oneof![Just(0u8), Just(1), Just(6), Just(8), Just(9)]
            .prop_map(|flags| (44, vec![0, 0, 0, flags, 0, 0, 0, 7])),
    ]
}

fn over_ipv6() -> impl Strategy<Value = Vec<u8>> {
    let extensions = prop::collection::vec(extension(), 0..6);
    (any::<bool>(), extensions).prop_map(|(is_udp, extensions)| {
        let mut packet = good(true, is_udp);
        for (number, mut bytes) in extensions {
            bytes[0] = std::mem::replace(&mut packet[20], number);
            lengthen(&mut packet, 18, i16::try_from(bytes.len()).unwrap());
            packet.splice(54..54, bytes);
        }
        packet
    })
}

/// Up to two tags behind the addresses.
fn tags() -> impl Strategy<Value = Vec<u8>> {
    let tag = prop_oneof![Just([0x81, 0x00, 0, 5]), Just([0x88, 0xA8, 0, 6])];
    prop::collection::vec(tag, 0..=2).prop_map(|tags| tags.concat())
}

/// Whether both say the same of a packet.
fn is_one_view(decision: Decision, end: End) -> bool {
    use DropReason::{
        EthernetMalformed, FragmentMalformed, FragmentTiny, IpChecksum, IpMalformed, IpOptions,
        NotTunnelProtocol, WrongSource,
    };
    match decision {
        Decision::Engine { stat: Stat::EngineTunnel, .. } => !matches!(
            end,
            End::Parked | End::Dropped(NotTunnelProtocol | WrongSource | FragmentTiny | FragmentMalformed)
        ),
        Decision::Engine { stat: Stat::EngineFragment, .. } => matches!(
            end,
            End::Parked
                | End::Dropped(
                    FragmentTiny
                        | FragmentMalformed
                        | IpChecksum
                        | IpMalformed
                        | IpOptions
                        | EthernetMalformed
                )
        ),
        Decision::Engine { .. } => false,
        // The program follows fewer extension headers than the engine.
        Decision::Pass(Stat::PassDeepHeaders) => true,
        Decision::Pass(_) => end != End::Delivered,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn the_program_and_the_engine_see_the_same_packet(
        (is_v6, packet) in prop_oneof![over_ipv4().prop_map(|packet| (false, packet)), over_ipv6().prop_map(|packet| (true, packet))],
        tags in tags(),
        damage in prop::option::of((12usize..90, 1u8..)),
    ) {
        let mut packet = packet;
        packet.splice(12..12, tags);
        if let Some((at, change)) = damage {
            packet[at] ^= change;
        }
        let (decision, end) = (steered(&packet), ended(is_v6, &packet));
        prop_assert!(is_one_view(decision, end), "{:?}, {:?}: {:02x?}", decision, end, &packet[12..100]);
    }
}
