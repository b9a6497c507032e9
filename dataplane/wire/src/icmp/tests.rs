use super::*;
use etherparse::{Icmpv4Type, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use std::vec::Vec;

/// [`super::write_fragmentation_needed`] about a packet that is at hand as a whole.
fn write_fragmentation_needed(out: &mut [u8], mtu: u16) -> Result<usize, ipv4::Ipv4Error> {
    super::write_fragmentation_needed(out, 0, mtu)
}

/// [`super::write_packet_too_big`] about a packet that is at hand as a whole.
fn write_packet_too_big(out: &mut [u8], mtu: u32) -> Result<usize, ipv6::Ipv6Error> {
    super::write_packet_too_big(out, 0, mtu)
}

const PC: [u8; 4] = [10, 200, 101, 1];
const SERVER: [u8; 4] = [10, 200, 101, 2];
const PC_6: [u8; 16] = [0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const SERVER_6: [u8; 16] = [0xFD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

/// A UDP packet from the PC to the server that must not be fragmented, of so many bytes behind its header.
fn packet(payload_bytes: usize) -> Vec<u8> {
    let mut header = Ipv4Header::new(PC, SERVER, 17, payload_bytes).unwrap();
    header.flags_fragment = U16::new(ipv4::FLAG_DONT_FRAGMENT);
    header.seal(&[]);
    let payload = (0..payload_bytes).map(|n| u8::try_from(n % 251).unwrap());
    header.as_bytes().iter().copied().chain(payload).collect()
}

fn packet_6(payload_bytes: usize) -> Vec<u8> {
    let header = Ipv6Header::new(PC_6, SERVER_6, 17, payload_bytes).unwrap();
    let payload = (0..payload_bytes).map(|n| u8::try_from(n % 251).unwrap());
    header.as_bytes().iter().copied().chain(payload).collect()
}

fn with_room(front: usize, packet: &[u8]) -> Vec<u8> {
    [&std::vec![0xEE; front][..], packet].concat()
}

#[test]
fn fragmentation_needed_has_these_bytes() {
    let mut out = with_room(28, &packet(12));
    assert_eq!(write_fragmentation_needed(&mut out, 1446), Ok(60));
    let expected = [
        0x45, 0, 0, 60, // IPv4, 60 bytes
        0, 0, 0x40, 0, // identification 0, DF
        64, 1, out[10], out[11], // TTL, ICMP, checksum
        10, 200, 101, 2, // from the server
        10, 200, 101, 1, // to the PC
        3, 4, out[22], out[23], // destination unreachable, fragmentation needed, checksum
        0, 0, 0x05, 0xA6, // next-hop MTU 1446
    ];
    assert_eq!(out[..28], expected);
    assert_eq!(out[28..], packet(12), "the packet is quoted");
    assert!(checksum::sum(&out[..20]).is_valid() && checksum::sum(&out[20..60]).is_valid());
}

#[test]
fn packet_too_big_has_these_bytes() {
    let mut out = with_room(48, &packet_6(8));
    assert_eq!(write_packet_too_big(&mut out, 1426), Ok(96));
    assert_eq!(out[..8], [0x60, 0, 0, 0, 0, 56, 58, 64], "IPv6, 56 bytes, ICMPv6, hop limit");
    assert_eq!((&out[8..24], &out[24..40]), (&SERVER_6[..], &PC_6[..]));
    assert_eq!((&out[40..42], &out[44..48]), (&[2, 0][..], &[0, 0, 0x05, 0x92][..]), "too big, MTU 1426");
    assert_eq!(out[48..], packet_6(8));
}

#[test]
fn no_more_is_quoted_than_the_limit() {
    let mut out = with_room(28, &packet(1480));
    assert_eq!(write_fragmentation_needed(&mut out, 1446), Ok(576));
    let mut out = with_room(48, &packet_6(1460));
    assert_eq!(write_packet_too_big(&mut out, 1426), Ok(1280));
}

#[test]
fn padding_behind_the_packet_is_not_quoted() {
    let mut out = with_room(28, &[&packet(12)[..], &[0; 20]].concat());
    assert_eq!(write_fragmentation_needed(&mut out, 1446), Ok(60));
    let mut out = with_room(48, &[&packet_6(8)[..], &[0; 20]].concat());
    assert_eq!(write_packet_too_big(&mut out, 1426), Ok(96));
}

#[test]
fn what_is_no_packet_is_not_quoted() {
    for length in 0..28 + 32 {
        assert!(write_fragmentation_needed(&mut with_room(28, &packet(12))[..length], 1446).is_err());
    }
    for length in 0..48 + 48 {
        assert!(write_packet_too_big(&mut with_room(48, &packet_6(8))[..length], 1426).is_err());
    }
}

fn v4_answer(change: impl FnOnce(&mut Ipv4Header), payload: &[u8]) -> bool {
    let mut header = Ipv4Header::new(PC, SERVER, 17, payload.len()).unwrap();
    header.flags_fragment = U16::new(ipv4::FLAG_DONT_FRAGMENT);
    change(&mut header);
    may_answer_v4(&header, payload)
}

#[test]
fn only_a_packet_that_must_not_be_fragmented_is_answered() {
    assert!(v4_answer(|_| {}, &[]));
    assert!(!v4_answer(|header| header.flags_fragment = U16::ZERO, &[]), "DF is clear");
    assert!(v4_answer(|header| header.flags_fragment = U16::new(0x6000), &[]), "the first fragment");
    assert!(!v4_answer(|header| header.flags_fragment = U16::new(0x4001), &[]), "a later fragment");
}

#[test]
fn an_error_is_not_answered_and_an_echo_is() {
    let icmp = |payload: &[u8]| v4_answer(|header| header.protocol = 1, payload);
    assert!(icmp(&[8, 0]) && icmp(&[0, 0]), "echo and its reply");
    for kind in [3, 4, 5, 11, 12] {
        assert!(!icmp(&[kind, 0]), "type {kind}");
    }
    assert!(!icmp(&[]), "what it is cannot be seen");
}

#[test]
fn addresses_that_are_not_of_one_host_are_not_answered() {
    for address in
        [[0, 0, 0, 0], [0, 1, 2, 3], [127, 0, 0, 1], [224, 0, 0, 1], [239, 1, 1, 1], [255; 4], [240, 0, 0, 1]]
    {
        assert!(!v4_answer(|header| header.source = address, &[]), "{address:?}");
        assert!(!v4_answer(|header| header.destination = address, &[]), "{address:?}");
    }
}

fn v6_answer(source: [u8; 16], destination: [u8; 16], next: u8, payload: &[u8]) -> bool {
    may_answer_v6(&Ipv6Header::new(source, destination, next, payload.len()).unwrap(), payload)
}

#[test]
fn ipv6_errors_redirects_and_later_fragments_are_not_answered() {
    assert!(v6_answer(PC_6, SERVER_6, 17, &[0; 8]));
    assert!(v6_answer(PC_6, SERVER_6, 58, &[128, 0]), "echo");
    for kind in [1, 2, 3, 4, 100, 127, 137] {
        assert!(!v6_answer(PC_6, SERVER_6, 58, &[kind, 0]), "type {kind}");
    }
    assert!(!v6_answer(PC_6, SERVER_6, 58, &[]), "what it is cannot be seen");
    assert!(!v6_answer(PC_6, SERVER_6, 60, &[58, 0, 0, 0, 0, 0, 0, 0, 1]), "an error behind options");
    assert!(v6_answer(PC_6, SERVER_6, 44, &[17, 0, 0, 1, 0, 0, 0, 7, 0, 0]), "the first fragment");
    assert!(!v6_answer(PC_6, SERVER_6, 44, &[17, 0, 0, 8, 0, 0, 0, 7, 0, 0]), "a later fragment");
    assert!(!v6_answer(PC_6, SERVER_6, 60, &[17, 9]), "options that are cut short");
}

#[test]
fn ipv6_addresses_that_are_not_of_one_host_are_not_answered() {
    let mut multicast = [0; 16];
    multicast[..2].copy_from_slice(&[0xFF, 0x02]);
    let loopback = 1u128.to_be_bytes();
    for address in [[0; 16], loopback, multicast] {
        assert!(!v6_answer(address, SERVER_6, 17, &[]));
        assert!(!v6_answer(PC_6, address, 17, &[]));
    }
}

proptest! {
    #[test]
    fn the_judge_reads_what_was_written(payload_bytes in 0_usize..1600, mtu in 68_u16..) {
        let packet = packet(payload_bytes);
        let mut out = with_room(28, &packet);
        let length = write_fragmentation_needed(&mut out, mtu).unwrap();
        prop_assert!(length <= 576);
        let judged = SlicedPacket::from_ip(&out[..length]).unwrap();
        let Some(NetSlice::Ipv4(ip)) = &judged.net else { panic!("no IPv4") };
        let header = ip.header().to_header();
        prop_assert_eq!(header.header_checksum, header.calc_header_checksum());
        prop_assert_eq!((ip.header().source(), ip.header().destination()), (SERVER, PC));
        let Some(TransportSlice::Icmpv4(icmp)) = &judged.transport else { panic!("no ICMP") };
        let expected = etherparse::icmpv4::DestUnreachableHeader::FragmentationNeeded { next_hop_mtu: mtu };
        prop_assert_eq!(icmp.icmp_type(), Icmpv4Type::DestinationUnreachable(expected));
        prop_assert!(checksum::sum(&out[20..length]).is_valid());
        prop_assert_eq!(icmp.payload(), &packet[..length - 28]);
    }

    #[test]
    fn the_judge_reads_what_was_written_over_ipv6(payload_bytes in 0_usize..1600, mtu in 1280_u32..) {
        let packet = packet_6(payload_bytes);
        let mut out = with_room(48, &packet);
        let length = write_packet_too_big(&mut out, mtu).unwrap();
        prop_assert!(length <= 1280);
        let judged = SlicedPacket::from_ip(&out[..length]).unwrap();
        let Some(TransportSlice::Icmpv6(icmp)) = &judged.transport else { panic!("no ICMPv6") };
        prop_assert_eq!(icmp.icmp_type(), Icmpv6Type::PacketTooBig { mtu });
        prop_assert!(icmp.is_checksum_valid(SERVER_6, PC_6));
        prop_assert_eq!(icmp.payload(), &packet[..length - 48]);
    }

    #[test]
    fn any_bytes_are_taken(mut bytes in prop::collection::vec(any::<u8>(), 0..120), mtu in any::<u16>()) {
        if let Ok(length) = write_fragmentation_needed(&mut bytes.clone(), mtu) {
            prop_assert!(length <= bytes.len());
        }
        if let Ok(length) = write_packet_too_big(&mut bytes, u32::from(mtu)) {
            prop_assert!(length <= bytes.len());
        }
        let _ = ipv4::split(&bytes).map(|(header, _, payload)| may_answer_v4(header, payload));
        let _ = ipv6::split(&bytes).map(|(header, payload)| may_answer_v6(header, payload));
    }
}

#[test]
fn the_front_of_a_longer_packet_is_quoted_as_the_whole_would_be() {
    let whole: Vec<u8> =
        [Ipv4Header::new([10, 0, 0, 1], [10, 0, 0, 2], 17, 9000).unwrap().as_bytes(), &[7; 9000]].concat();
    let quote = |packet: &[u8], beyond| {
        let mut out = [&[0; V4_FRONT_BYTES][..], packet].concat();
        let len = super::write_fragmentation_needed(&mut out, beyond, 1446).map(|len| out[..len].to_vec());
        len.map_err(drop)
    };
    let expected = quote(&whole, 0).unwrap();
    assert_eq!(quote(&whole[..1000], 8020), Ok(expected));
    assert_eq!(quote(&whole[..1000], 8019), Err(()), "cut short");
    assert_eq!(quote(&whole[..500], 8520), Err(()), "not enough at hand to quote");

    let whole: Vec<u8> =
        [Ipv6Header::new([0xFD; 16], [0xFE; 16], 17, 9000).unwrap().as_bytes(), &[7; 9000]].concat();
    let quote = |packet: &[u8], beyond| {
        let mut out = [&[0; V6_FRONT_BYTES][..], packet].concat();
        let len = super::write_packet_too_big(&mut out, beyond, 1446).map(|len| out[..len].to_vec());
        len.map_err(drop)
    };
    let expected = quote(&whole, 0).unwrap();
    assert_eq!(quote(&whole[..1400], 7640), Ok(expected));
    assert_eq!(quote(&whole[..1400], 7639), Err(()), "cut short");
}
