//! DSCP and ECN between inner and outer IP header, both IP versions, both ways; and nothing of it unless it is asked for.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::net::{IpAddr, Ipv6Addr};

use dataplane::{
    tables::{bridge_domains::MemberId, fdb::MacKey, next_hops::OuterFields},
    verdict::DropReason,
};
use etherparse::{NetSlice, SlicedPacket};
use proptest::prelude::*;
use rig::{
    LAN_0, Plan, Rig, WAN,
    frames::{PC_1, PC_2, changed, lan_frame, packet_a, packet_b},
};
use wire::{
    build::{self, FrameSpec, Transport},
    ethernet::{MacAddr, VlanId, VlanTag},
};

const V6: fn(u8) -> Ipv6Addr = |host| Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into());

/// An IP packet in a LAN frame from PC 1 to PC 2, with this class and so many tags.
fn inner_ip(is_ipv6: bool, class: u8, tags: usize) -> Vec<u8> {
    let tags = vec![VlanTag::customer(VlanId::new(7).unwrap()); tags];
    let address = |host| if is_ipv6 { IpAddr::V6(V6(host)) } else { IpAddr::from([10, 1, 0, host]) };
    let spec = FrameSpec {
        destination: MacAddr(PC_2),
        source: MacAddr(PC_1),
        tags: &tags,
        source_ip: address(1),
        destination_ip: address(2),
        transport: Transport::udp(9, 9),
        ..FrameSpec::default()
    };
    let mut bytes = vec![0; 256];
    let used = build::frame(&mut bytes, &spec, &[&[0xA5; 32]]).unwrap();
    bytes.truncate(used);
    let ip = 14 + 4 * tags.len();
    if is_ipv6 {
        bytes[ip] |= class >> 4;
        bytes[ip + 1] |= class << 4;
    } else {
        bytes[ip + 1] = class;
        bytes[ip + 10..ip + 12].fill(0);
        let sum = !wire::checksum::sum(&bytes[ip..ip + 20]).fold();
        bytes[ip + 10..ip + 12].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// Class of the first IP header of a frame, as another reader sees it; its checksum has to be right.
fn class_of(frame: &[u8]) -> u8 {
    match SlicedPacket::from_ethernet(frame).unwrap().net.unwrap() {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            assert_eq!(header.header_checksum(), header.to_header().calc_header_checksum());
            header.dcp().value() << 2 | header.ecn().value()
        }
        NetSlice::Ipv6(ip) => ip.header().traffic_class(),
        other => panic!("{other:?}"),
    }
}

/// Both sessions over this IP version, with these outer fields.
fn plan(outer_ipv6: bool, fields: OuterFields) -> Plan {
    let plain = Plan { fields, ..Plan::default() };
    match outer_ipv6 {
        false => plain,
        true => Plan { local: V6(6).into(), peers: [V6(2).into(), V6(10).into()], ..plain },
    }
}

/// The outer class that a frame leaves with, by session A (UDP) and by session B (IP 115).
fn sent_classes(outer_ipv6: bool, fields: OuterFields, frame: &[u8]) -> [u8; 2] {
    [2, 3].map(|member| {
        let mut rig = Rig::with(plan(outer_ipv6, fields));
        rig.fdb.learn(MacKey::new(PC_2), MemberId(member), 1);
        rig.deliver(LAN_0, frame);
        let [packet] = rig.sent(WAN).try_into().unwrap();
        assert_eq!(packet[packet.len() - frame.len()..], *frame, "the frame itself is as it was");
        rig.assert_conserved();
        class_of(&packet)
    })
}

fn copying(bits: u8, rest: u8) -> OuterFields {
    OuterFields { traffic_class: rest, copied_class: bits, ..OuterFields::default() }
}

proptest! {
    #[test]
    fn the_outer_class_is_the_chosen_one_with_the_copied_bits_of_the_inner(
        outer_ipv6: bool,
        inner_ipv6: bool,
        class: u8,
        tags in 0_usize..3,
        fixed: u8,
        copied in prop_oneof![Just(0), Just(0xFC), Just(0x03), Just(0xFF)],
    ) {
        let expected = fixed & !copied | class & copied;
        let sent = sent_classes(outer_ipv6, copying(copied, fixed), &inner_ip(inner_ipv6, class, tags));
        prop_assert_eq!(sent, [expected; 2]);
    }
}

#[test]
fn frames_without_a_whole_ip_header_leave_with_class_zero_of_the_copied_bits() {
    let cut = |frame: &[u8], len: usize| frame[..len].to_vec();
    let mut odd_version = inner_ip(false, 0xFF, 0);
    odd_version[14] = 0x65;
    for frame in [
        lan_frame(PC_2, PC_1),
        cut(&inner_ip(false, 0xFF, 0), 14 + 19),
        cut(&inner_ip(true, 0xFF, 1), 18 + 39),
        inner_ip(false, 0xFF, 3),
        odd_version,
    ] {
        assert_eq!(sent_classes(false, copying(0xFF, 0), &frame), [0; 2], "{frame:02x?}");
        assert_eq!(sent_classes(true, copying(0x03, 0xB8), &frame), [0xB8; 2], "{frame:02x?}");
    }
}

/// What comes out of session B when an inner packet of this class arrives in an outer one of that class.
fn received(combines_ecn: bool, inner: &[u8], outer_class: u8) -> Result<Vec<u8>, DropReason> {
    let mut rig = Rig::with(Plan { combines_ecn, ..Plan::default() });
    rig.deliver(WAN, &changed(packet_b(inner), |packet| packet[15] = outer_class));
    let sent = rig.sent(LAN_0);
    rig.assert_conserved();
    match DropReason::ALL.iter().find(|reason| rig.drops(**reason) > 0) {
        Some(reason) => Err(*reason),
        None => Ok(sent.into_iter().next().unwrap()),
    }
}

const NOT_ECT: u8 = 0;
const ECT_1: u8 = 1;
const ECT_0: u8 = 2;
const CE: u8 = 3;

/// RFC 6040 figure 4, line by line; columns: outer Not-ECT, ECT(0), ECT(1), CE. `None`: drop.
const TABLE: [(u8, [Option<u8>; 4]); 4] = [
    (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
    (ECT_0, [Some(ECT_0), Some(ECT_0), Some(ECT_1), Some(CE)]),
    (ECT_1, [Some(ECT_1), Some(ECT_1), Some(ECT_1), Some(CE)]),
    (CE, [Some(CE), Some(CE), Some(CE), Some(CE)]),
];

#[test]
fn congestion_noted_on_the_way_is_noted_in_the_frame_as_the_rfc_has_it() {
    let dscp = 0xB8;
    for inner_ipv6 in [false, true] {
        for tags in 0..3 {
            for (inner, row) in TABLE {
                for (outer, expected) in [NOT_ECT, ECT_0, ECT_1, CE].into_iter().zip(row) {
                    let frame = inner_ip(inner_ipv6, dscp | inner, tags);
                    let got = received(true, &frame, 0x28 | outer).map(|frame| class_of(&frame));
                    let expected = expected.map(|ecn| dscp | ecn).ok_or(DropReason::CeOverNotEct);
                    assert_eq!(got, expected, "IPv6 {inner_ipv6}, {tags} tags, inner {inner}, outer {outer}");
                }
            }
        }
    }
}

#[test]
fn nothing_but_class_and_checksum_of_the_inner_packet_changes() {
    for inner_ipv6 in [false, true] {
        let got = received(true, &inner_ip(inner_ipv6, ECT_0, 1), CE).unwrap();
        assert_eq!(got, inner_ip(inner_ipv6, CE, 1), "IPv6 {inner_ipv6}");
    }
}

#[test]
fn in_compatibility_mode_the_outer_class_means_nothing() {
    for inner in [NOT_ECT, ECT_0, ECT_1, CE] {
        let frame = inner_ip(false, inner, 0);
        assert_eq!(received(false, &frame, 0xB8 | CE).unwrap(), frame);
    }
}

#[test]
fn a_frame_without_an_ip_packet_passes_whatever_the_outer_header_says() {
    let frame = lan_frame(PC_2, PC_1);
    assert_eq!(received(true, &frame, CE).unwrap(), frame);
    let cut = inner_ip(false, NOT_ECT, 0)[..33].to_vec();
    assert_eq!(received(true, &cut, CE).unwrap(), cut);
}

#[test]
fn the_outer_class_is_found_behind_tags_and_in_ipv6() {
    let frame = inner_ip(true, ECT_0, 0);
    // Behind a tag of the underlay.
    let mut rig = Rig::with(Plan { combines_ecn: true, ..Plan::default() });
    let mut tagged = changed(packet_a(&frame), |packet| packet[15] = CE);
    tagged.splice(12..12, [0x81, 0x00, 0, 100]);
    rig.deliver(WAN, &tagged);
    assert_eq!(rig.sent(LAN_0).iter().map(|frame| class_of(frame)).collect::<Vec<_>>(), [CE]);
    // Over IPv6.
    let mut rig = Rig::with(Plan { combines_ecn: true, ..plan(true, OuterFields::default()) });
    let spec = FrameSpec {
        source_ip: V6(10).into(),
        destination_ip: V6(6).into(),
        transport: Transport::L2TP_IP,
        ..FrameSpec::default()
    };
    let sublayer = wire::l2tpv3::Sublayer::Default;
    let mut packet = rig::frames::data_packet(&spec, 2000, wire::l2tpv3::Cookie::NONE, sublayer, &frame);
    packet[15] |= CE << 4;
    rig.deliver(WAN, &packet);
    assert_eq!(rig.sent(LAN_0).iter().map(|frame| class_of(frame)).collect::<Vec<_>>(), [CE]);
}
