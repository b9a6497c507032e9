//! Frames and tables to compare over: one frame for every path of the decision, then damaged copies of each.
//!
//! Everything is derived from fixed seeds, so that a disagreement can be found again by its index.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result};
use ebpf::abi::{AccessVlanKey, EndpointKey, EndpointValue, Payload, PortConfig, Roles};
use wire::build::{FrameSpec, Transport, frame};
use wire::ethernet::{VlanId, VlanTag};
use wire::ipv4::{PROTOCOL_ESP, PROTOCOL_L2TP, PROTOCOL_TCP, PROTOCOL_UDP};
use wire::ipv6::{NEXT_DESTINATION_OPTIONS, NEXT_FRAGMENT, NEXT_HOP_BY_HOP, NEXT_ROUTING};

use crate::kernel::TEST_RUN_IFINDEX;
use crate::model::ModelTables;

const LOCAL_V4: Ipv4Addr = Ipv4Addr::new(10, 200, 100, 2);
const REMOTE_V4: Ipv4Addr = Ipv4Addr::new(10, 200, 100, 6);
const ELSEWHERE_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const LOCAL_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const REMOTE_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 6);
const LOCAL_PORT: u16 = 5001;
const REMOTE_PORT: u16 = 6001;
/// The local port of a tunnel that learns its peer.
const LEARNING_PORT: u16 = 5003;
const ACCESS_VLAN: u16 = 10;
const OTHER_VLAN: u16 = 20;

/// An L2TPv3 data header over UDP, session 1000, and some payload.
const L2TP_UDP_DATA: [u8; 12] = [0, 3, 0, 0, 0, 0, 3, 0xe8, 1, 2, 3, 4];
/// The start of a control message over UDP: T, L, S, version 3, length 20.
const L2TP_UDP_CONTROL: [u8; 12] = [0xc8, 3, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0];
/// Session 1000 over IP, and some payload.
const L2TP_IP_DATA: [u8; 12] = [0, 0, 3, 0xe8, 1, 2, 3, 4, 5, 6, 7, 8];
/// Session 0 over IP, and the start of a control message.
const L2TP_IP_CONTROL: [u8; 12] = [0, 0, 0, 0, 0xc8, 3, 0, 20, 0, 0, 0, 1];

/// Every set of tables that makes a difference, with a name.
#[must_use]
pub fn tables() -> Vec<(&'static str, ModelTables)> {
    let underlay = Roles::UNDERLAY;
    let with_port = |roles: Roles, queue_count: u32, sockets: &[u32]| ModelTables {
        ports: [(TEST_RUN_IFINDEX, PortConfig::new(roles, 8, queue_count))].into(),
        endpoints: endpoints(),
        vlans: [AccessVlanKey::new(TEST_RUN_IFINDEX, ACCESS_VLAN)].into(),
        sockets: sockets.iter().copied().collect(),
    };
    vec![
        ("port not configured", ModelTables { endpoints: endpoints(), ..ModelTables::default() }),
        ("underlay", with_port(underlay, 1, &[8])),
        ("underlay without socket", with_port(underlay, 1, &[9])),
        ("underlay where a tunnel learns its peer", with_port(underlay.with(Roles::LEARNS_PEERS), 1, &[8])),
        ("underlay whose queue is not served", with_port(underlay, 0, &[8])),
        ("access by VLAN", with_port(Roles::ACCESS, 1, &[8])),
        ("access by VLAN without socket", with_port(Roles::ACCESS, 1, &[])),
        ("access as a whole", with_port(Roles::ACCESS_WHOLE, 1, &[8])),
        ("access as a whole without socket", with_port(Roles::ACCESS_WHOLE, 1, &[])),
        ("both, by VLAN", with_port(underlay.with(Roles::ACCESS), 1, &[8])),
        ("both, by VLAN, without socket", with_port(underlay.with(Roles::ACCESS), 1, &[])),
        ("both, access as a whole", with_port(underlay.with(Roles::ACCESS_WHOLE), 1, &[8])),
    ]
}

fn endpoints() -> std::collections::HashMap<EndpointKey, EndpointValue> {
    let l2tp = EndpointValue::new(Payload::L2tp);
    let udp_v4 = EndpointKey::ipv4(PROTOCOL_UDP, LOCAL_V4, REMOTE_V4).with_ports(LOCAL_PORT, REMOTE_PORT);
    let udp_v6 = EndpointKey::ipv6(PROTOCOL_UDP, LOCAL_V6, REMOTE_V6).with_ports(LOCAL_PORT, REMOTE_PORT);
    let learning_v4 = udp_v4.with_ports(LEARNING_PORT, REMOTE_PORT).without_peer();
    let learning_v6 = udp_v6.with_ports(LEARNING_PORT, REMOTE_PORT).without_peer();
    [
        (learning_v4, l2tp),
        (learning_v6, l2tp),
        (udp_v4, l2tp),
        (udp_v4.for_fragments(), l2tp),
        (udp_v6, l2tp),
        (udp_v6.for_fragments(), l2tp),
        (EndpointKey::ipv4(PROTOCOL_L2TP, LOCAL_V4, REMOTE_V4), l2tp),
        (EndpointKey::ipv6(PROTOCOL_L2TP, LOCAL_V6, REMOTE_V6), l2tp),
        (EndpointKey::ipv4(PROTOCOL_ESP, LOCAL_V4, REMOTE_V4), EndpointValue::new(Payload::Esp)),
    ]
    .into()
}

/// One whole frame for every path of the decision, under every tagging.
///
/// # Errors
///
/// When a frame cannot be built.
pub fn whole_frames() -> Result<Vec<Vec<u8>>> {
    let tag = |vid| VlanId::new(vid).map(VlanTag::customer).context("VLAN ID");
    let taggings = [
        vec![],
        vec![tag(ACCESS_VLAN)?],
        vec![tag(OTHER_VLAN)?],
        vec![tag(0)?],
        vec![tag(ACCESS_VLAN)?, tag(OTHER_VLAN)?],
        vec![tag(OTHER_VLAN)?, tag(ACCESS_VLAN)?],
    ];
    let mut frames = Vec::new();
    for tags in &taggings {
        frames.extend(packets_v4(tags)?);
        frames.extend(packets_v6(tags)?);
    }
    frames.push([&[0xff; 6][..], &[2, 0, 0, 0, 0, 1], &[0x08, 0x06], &[0; 46]].concat()); // ARP
    frames
        .push([&[0xff; 12][..], &[0x81, 0, 0, 10, 0x81, 0, 0, 20, 0x81, 0, 0, 30, 8, 0], &[0; 46]].concat()); // three tags
    frames.push([&[0xff; 12][..], &[0x88, 0xa8, 0, 20, 0x81, 0, 0, 10, 8, 0], &[0; 46]].concat()); // service tag
    Ok(frames)
}

/// What nearly all frames of a gateway are: a name, the [`tables`] that they meet, and the frame.
///
/// # Errors
///
/// When a frame cannot be built.
pub fn common() -> Result<[(&'static str, &'static str, Vec<u8>); 6]> {
    let udp = Transport::udp(REMOTE_PORT, LOCAL_PORT);
    let over_ip = Transport::L2TP_IP;
    let v4 = |transport, payload: &[u8]| build(&[], REMOTE_V4.into(), LOCAL_V4.into(), transport, payload);
    let v6 = |transport, payload: &[u8]| build(&[], REMOTE_V6.into(), LOCAL_V6.into(), transport, payload);
    let tag = VlanId::new(ACCESS_VLAN).map(VlanTag::customer).context("VLAN ID")?;
    let tagged = build(&[tag], REMOTE_V4.into(), LOCAL_V4.into(), udp, &L2TP_UDP_DATA)?;
    Ok([
        ("underlay: UDP over IPv4", "underlay", v4(udp, &L2TP_UDP_DATA)?),
        ("underlay: IPv4", "underlay", v4(over_ip, &L2TP_IP_DATA)?),
        ("underlay: UDP over IPv6", "underlay", v6(udp, &L2TP_UDP_DATA)?),
        ("underlay: IPv6", "underlay", v6(over_ip, &L2TP_IP_DATA)?),
        ("access as a whole", "access as a whole", tagged.clone()),
        ("access by VLAN", "access by VLAN", tagged),
    ])
}

fn packets_v4(tags: &[VlanTag]) -> Result<Vec<Vec<u8>>> {
    let tunnel = Transport::udp(REMOTE_PORT, LOCAL_PORT);
    let to_learning = Transport::udp(40_000, LEARNING_PORT);
    let elsewhere = build(tags, ELSEWHERE_V4.into(), LOCAL_V4.into(), to_learning, &L2TP_UDP_DATA)?;
    let build =
        |transport, payload: &[u8]| build(tags, REMOTE_V4.into(), LOCAL_V4.into(), transport, payload);
    let ip_offset = 14 + 4 * tags.len();
    let mut frames = vec![
        build(tunnel, &L2TP_UDP_DATA)?,
        build(tunnel, &L2TP_UDP_CONTROL)?,
        build(tunnel, &[])?,
        build(Transport::udp(REMOTE_PORT, LOCAL_PORT + 1), &L2TP_UDP_DATA)?,
        build(Transport::udp(LOCAL_PORT, REMOTE_PORT), &L2TP_UDP_DATA)?,
        build(Transport::udp(0, 0), &L2TP_UDP_DATA)?,
        elsewhere,
        build(to_learning, &L2TP_UDP_DATA)?,
        build(to_learning, &L2TP_UDP_CONTROL)?,
        build(Transport::udp(0, LEARNING_PORT), &L2TP_UDP_DATA)?,
        build(Transport::L2TP_IP, &L2TP_IP_DATA)?,
        build(Transport::L2TP_IP, &L2TP_IP_CONTROL)?,
        build(Transport::L2TP_IP, &[])?,
        build(Transport::Protocol(PROTOCOL_ESP), &[0, 0, 0, 1, 0, 0, 0, 1])?,
        build(Transport::Protocol(PROTOCOL_TCP), &[0; 20])?,
    ];
    for transport in [tunnel, Transport::L2TP_IP, Transport::Protocol(PROTOCOL_TCP)] {
        for flags in [[0x20, 0], [0x20, 1], [0, 1], [0x40, 0], [0x80, 0]] {
            let mut fragment = build(transport, &L2TP_UDP_DATA)?;
            fragment[ip_offset + 6..ip_offset + 8].copy_from_slice(&flags);
            frames.push(fragment);
        }
    }
    for ihl in [0, 4, 6, 15] {
        let mut with_options = build(tunnel, &L2TP_UDP_DATA)?;
        with_options[ip_offset] = 0x40 | ihl;
        for _ in 5..ihl {
            with_options.splice(ip_offset + 20..ip_offset + 20, [1; 4]);
        }
        frames.push(with_options);
    }
    Ok(frames)
}

fn packets_v6(tags: &[VlanTag]) -> Result<Vec<Vec<u8>>> {
    let tunnel = Transport::udp(REMOTE_PORT, LOCAL_PORT);
    let build =
        |transport, payload: &[u8]| build(tags, REMOTE_V6.into(), LOCAL_V6.into(), transport, payload);
    let next_header = 14 + 4 * tags.len() + 6;
    let plain = [
        build(tunnel, &L2TP_UDP_DATA)?,
        build(tunnel, &L2TP_UDP_CONTROL)?,
        build(Transport::L2TP_IP, &L2TP_IP_DATA)?,
    ];
    let mut frames = plain.to_vec();
    frames.push(build(Transport::L2TP_IP, &L2TP_IP_CONTROL)?);
    frames.push(build(Transport::udp(40_000, LEARNING_PORT), &L2TP_UDP_DATA)?);
    frames.push(build(Transport::udp(40_000, LEARNING_PORT), &L2TP_UDP_CONTROL)?);
    frames.push(build(Transport::Protocol(PROTOCOL_ESP), &[0, 0, 0, 1])?);
    let fragments = [0_u16, 1, 8, 9, 6, 0xfff8].map(|bits| (NEXT_FRAGMENT, bits));
    let chains = [
        vec![(NEXT_HOP_BY_HOP, 0)],
        vec![(NEXT_DESTINATION_OPTIONS, 3)],
        vec![(NEXT_HOP_BY_HOP, 1), (NEXT_DESTINATION_OPTIONS, 0), (NEXT_ROUTING, 2)],
        vec![(NEXT_HOP_BY_HOP, 0), (NEXT_DESTINATION_OPTIONS, 0), (NEXT_ROUTING, 0), (NEXT_FRAGMENT, 1)],
        vec![(NEXT_DESTINATION_OPTIONS, 0); 4],
        vec![(NEXT_DESTINATION_OPTIONS, 0); 5],
        vec![(NEXT_DESTINATION_OPTIONS, 14); 4],
        vec![(NEXT_DESTINATION_OPTIONS, 255)],
    ]
    .into_iter()
    .chain(fragments.map(|header| vec![header]));
    for chain in chains {
        for whole in &plain {
            let mut extended = whole.clone();
            for (kind, argument) in chain.iter().rev() {
                let next = std::mem::replace(&mut extended[next_header], *kind);
                extended.splice(next_header + 34..next_header + 34, extension(*kind, next, *argument));
            }
            frames.push(extended);
        }
    }
    Ok(frames)
}

/// An extension header; the argument is its length in 8-byte units without the first, or a fragment's offset and flags.
fn extension(kind: u8, next: u8, argument: u16) -> Vec<u8> {
    let [high, low] = argument.to_be_bytes();
    if kind == NEXT_FRAGMENT {
        return vec![next, 0, high, low, 0, 0, 0, 7];
    }
    let mut header = vec![0; 8 + 8 * usize::from(argument)];
    header[..2].copy_from_slice(&[next, low]);
    header
}

fn build(
    tags: &[VlanTag],
    source_ip: IpAddr,
    destination_ip: IpAddr,
    transport: Transport,
    payload: &[u8],
) -> Result<Vec<u8>> {
    let spec = FrameSpec { tags, source_ip, destination_ip, transport, ..FrameSpec::default() };
    let mut bytes = vec![0; 256];
    let used = frame(&mut bytes, &spec, &[payload])?;
    bytes.truncate(used);
    Ok(bytes)
}

/// The frame cut off at every length from 14 bytes on that ends inside its first 150 bytes.
pub fn cut_off(frame: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (14..frame.len().min(150)).map(|length| frame[..length].to_vec())
}

/// `count` copies of the frame with one to four random bytes of its headers changed.
pub fn damaged(frame: &[u8], seed: u64, count: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut random = Xorshift(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    (0..count).map(move |_| {
        let mut copy = frame.to_vec();
        for _ in 0..=random.below(4) {
            let position = random.below(copy.len().min(100));
            // Small values turn up in headers far more often than chance would have it.
            copy[position] = random.pick(&[0, 1, 4, 6, 8, 17, 43, 44, 60, 0x45, 0x60, 0x81, 0xff]);
            if random.below(2) == 0 {
                copy[position] = random.next().to_be_bytes()[0];
            }
        }
        copy
    })
}

struct Xorshift(u64);

impl Xorshift {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or(0)
    }

    fn pick(&mut self, choices: &[u8]) -> u8 {
        choices[self.below(choices.len())]
    }
}
