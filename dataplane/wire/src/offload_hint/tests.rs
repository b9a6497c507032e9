use super::*;
use crate::build::{self, FrameSpec, Transport};
use crate::ethernet::{VlanId, VlanTag};
use core::net::IpAddr;
use proptest::prelude::*;
use std::vec::Vec;

/// UDP over IPv4 as a Linux sender with TX checksum offload hands it to a veth.
const LEFT_TO_NIC: [u8; 46] = [
    0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00, // Ethernet
    0x45, 0x00, 0x00, 0x20, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0xB6, 0xC9, // IPv4, total length 32
    192, 0, 2, 1, // source
    192, 0, 2, 2, // destination
    0x0F, 0xA0, 0x13, 0x88, // ports 4000, 5000
    0x00, 0x0C, // length 12
    0x84, 0x21, // C000 + 0201 + C000 + 0202 + 0011 + 000C, folded
    0x01, 0x02, 0x03, 0x04, // payload
];

fn spec(v6: bool, transport: Transport) -> FrameSpec<'static> {
    let addresses = if v6 { ["2001:db8::1", "2001:db8::2"] } else { ["192.0.2.1", "192.0.2.2"] };
    let [source_ip, destination_ip] = addresses.map(|text| text.parse::<IpAddr>().expect("an address"));
    FrameSpec { source_ip, destination_ip, transport, ..FrameSpec::default() }
}

/// A built frame and where its transport header starts.
fn built(spec: &FrameSpec<'_>, payload: &[u8]) -> (Vec<u8>, usize) {
    let mut out = std::vec![0; 2048];
    let length = build::frame(&mut out, spec, &[payload]).expect("fits");
    out.truncate(length);
    let start = 14 + 4 * spec.tags.len() + if spec.source_ip.is_ipv4() { 20 } else { 40 };
    (out, start)
}

/// Writes the bare pseudo-header sum into the checksum field, as a sender with offload does.
fn leave_to_nic(frame: &mut [u8], start: usize, checksum_offset: usize) {
    let (pseudo, ..) = transport(frame).expect("a transport segment");
    let field = start + checksum_offset;
    frame[field..field + 2].copy_from_slice(&pseudo.fold().to_be_bytes());
}

/// A TCP header without options, its checksum zero.
fn tcp_header() -> [u8; 20] {
    let mut header = [0; 20];
    header[..4].copy_from_slice(&[0x0F, 0xA0, 0x13, 0x88]);
    header[12] = 0x50;
    header[13] = 0x02;
    header
}

#[test]
fn literal_frame_with_the_bare_pseudo_header_sum_is_found() {
    assert!(is_only_pseudo_header(&LEFT_TO_NIC));
}

#[test]
fn any_other_checksum_field_is_not() {
    for difference in 1..=0xFFFF_u16 {
        let mut frame = LEFT_TO_NIC;
        frame[40..42].copy_from_slice(&(0x8421 ^ difference).to_be_bytes());
        assert!(!is_only_pseudo_header(&frame), "differs in {difference:#06x}");
    }
}

#[test]
fn right_checksum_that_equals_the_pseudo_header_sum_is_not() {
    // With these last payload bytes the right checksum itself is 0x8421.
    let mut frame = LEFT_TO_NIC;
    frame[44..46].copy_from_slice(&[0, 0]);
    frame[40..42].copy_from_slice(&[0, 0]);
    let (pseudo, _, segment) = transport(&frame).unwrap();
    let without = (pseudo + checksum::sum(segment)).fold();
    // without + last + 0x8421 has to be 0xFFFF in one's complement
    let last = Sum::ZERO.add_u16(without).add_u16(0x8421).finish();
    frame[44..46].copy_from_slice(&last.to_be_bytes());
    frame[40..42].copy_from_slice(&[0x84, 0x21]);
    assert!(!is_only_pseudo_header(&frame));
}

#[test]
fn fragments_and_other_protocols_are_not() {
    let mut fragment = LEFT_TO_NIC;
    fragment[20] = 0x20;
    assert!(!is_only_pseudo_header(&fragment));
    let mut icmp = LEFT_TO_NIC;
    icmp[23] = 1;
    assert!(!is_only_pseudo_header(&icmp));
    let mut arp = LEFT_TO_NIC;
    arp[12..14].copy_from_slice(&[0x08, 0x06]);
    assert!(!is_only_pseudo_header(&arp));
}

#[test]
fn every_cut_of_the_frame_is_not() {
    for length in 0..LEFT_TO_NIC.len() {
        assert!(!is_only_pseudo_header(&LEFT_TO_NIC[..length]), "{length} bytes");
    }
}

#[test]
fn ipv6_fragment_is_not() {
    // Atomic: found. With more to come: not.
    for (more, expected) in [(0, true), (1, false)] {
        let mut segment = Vec::from([17, 0, 0, more, 0, 0, 0, 9]);
        segment.extend_from_slice(&[0x0F, 0xA0, 0x13, 0x88, 0, 9, 0, 0, 0x55]);
        let (mut frame, start) = built(&spec(true, Transport::Protocol(44)), &segment);
        let pseudo = crate::checksum::pseudo_header_v6(
            frame[22..38].try_into().unwrap(),
            frame[38..54].try_into().unwrap(),
            17,
            9,
        );
        frame[start + 14..start + 16].copy_from_slice(&pseudo.fold().to_be_bytes());
        assert_eq!(is_only_pseudo_header(&frame), expected);
    }
}

proptest! {
    #[test]
    fn udp_left_to_the_nic_is_found_and_whole_udp_is_not(
        v6 in any::<bool>(), tagged in any::<bool>(), payload in prop::collection::vec(any::<u8>(), 0..1400),
    ) {
        let tags = [VlanTag::customer(VlanId::MAX)];
        let spec = FrameSpec { tags: if tagged { &tags } else { &[] }, ..spec(v6, Transport::udp(4000, 5000)) };
        let (mut frame, start) = built(&spec, &payload);
        prop_assert!(!is_only_pseudo_header(&frame));
        let whole = [frame[start + 6], frame[start + 7]];
        leave_to_nic(&mut frame, start, 6);
        prop_assume!(whole != [frame[start + 6], frame[start + 7]]);
        prop_assert!(is_only_pseudo_header(&frame));
    }

    #[test]
    fn tcp_left_to_the_nic_is_found_and_whole_tcp_is_not(
        v6 in any::<bool>(), payload in prop::collection::vec(any::<u8>(), 0..1400),
    ) {
        let mut segment = Vec::from(tcp_header());
        segment.extend_from_slice(&payload);
        let (mut frame, start) = built(&spec(v6, Transport::Protocol(PROTOCOL_TCP)), &segment);
        let (pseudo, _, unsummed) = transport(&frame).unwrap();
        let whole = (pseudo + checksum::sum(unsummed)).finish();
        prop_assume!(whole != pseudo.fold());
        frame[start + 16..start + 18].copy_from_slice(&whole.to_be_bytes());
        prop_assert!(!is_only_pseudo_header(&frame));
        leave_to_nic(&mut frame, start, 16);
        prop_assert!(is_only_pseudo_header(&frame));
    }
}
