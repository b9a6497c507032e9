use super::*;
use crate::ipv4::Ipv4Header;
use crate::ipv6::Ipv6Header;
use proptest::prelude::*;
use std::vec::Vec;

const SEGMENT: [u8; 13] = [
    0x13, 0x89, // source port 5001
    0x17, 0x71, // destination port 6001
    0x00, 0x0B, // length 11
    0x00, 0x00, // no checksum
    0x01, 0x02, 0x03, // payload
    0x00, 0x00, // padding
];

#[test]
fn bytes_behind_the_udp_length_are_cut() {
    let (header, payload) = split(&SEGMENT).unwrap();
    assert_eq!((header.source_port.get(), header.destination_port.get()), (5001, 6001));
    assert_eq!(header.length.get(), 11);
    assert!(!header.has_checksum());
    assert_eq!(payload, [1, 2, 3]);
}

#[test]
fn every_cut_is_truncated() {
    for length in 0..11 {
        assert_eq!(split(&SEGMENT[..length]), Err(UdpError::Truncated), "{length} bytes");
    }
}

#[test]
fn length_below_the_header_is_refused() {
    for length in 0..8 {
        let mut segment = SEGMENT;
        segment[5] = length;
        assert_eq!(split(&segment), Err(UdpError::Length), "length {length}");
    }
    let mut segment = SEGMENT;
    segment[5] = 8;
    assert_eq!(split(&segment).unwrap().1, []);
}

#[test]
fn zero_checksum_passes_and_a_wrong_one_does_not() {
    let pseudo = checksum::pseudo_header_v4([192, 0, 2, 1], [192, 0, 2, 2], 17, 11);
    let (header, payload) = split(&SEGMENT).unwrap();
    assert_eq!(verify_checksum(header, payload, pseudo), Ok(()));
    let mut sealed = *header;
    sealed.seal(payload, pseudo);
    // Pseudo-header 841F+1, header 2B05, payload 0402; carried round: B327; complement.
    assert_eq!(sealed.checksum.get(), 0x4CD8);
    assert_eq!(verify_checksum(&sealed, payload, pseudo), Ok(()));
    assert_eq!(verify_checksum(&sealed, &[1, 2, 4], pseudo), Err(UdpError::Checksum));
}

#[test]
fn new_header_is_the_literal_one_and_needs_8_bytes() {
    let header = UdpHeader::new(5001, 6001, 3).unwrap();
    assert_eq!(header.as_bytes(), &SEGMENT[..8]);
    assert_eq!(header.write(&mut [0; 7]), Err(UdpError::NoRoom));
    assert_eq!(header.write(&mut [0; 8]), Ok(&mut [][..]));
}

#[test]
fn longest_segment_has_65535_bytes() {
    assert_eq!(UdpHeader::new(1, 1, 65_527).unwrap().length.get(), 65_535);
    assert_eq!(UdpHeader::new(1, 1, 65_528), Err(UdpError::TooLong));
}

proptest! {
    #[test]
    fn the_judge_computes_the_same_checksum_over_ipv4(
        addresses in any::<[[u8; 4]; 2]>(), ports in any::<[u16; 2]>(),
        payload in prop::collection::vec(any::<u8>(), 0..256),
    ) {
        let mut header = UdpHeader::new(ports[0], ports[1], payload.len()).unwrap();
        let ip = Ipv4Header::new(addresses[0], addresses[1], 17, payload.len() + 8).unwrap();
        header.seal(&payload, ip.pseudo_header(header.length.get()));
        let judged = etherparse::UdpHeader {
            source_port: ports[0], destination_port: ports[1], length: header.length.get(), checksum: 0,
        };
        let expected = judged.calc_checksum_ipv4_raw(addresses[0], addresses[1], &payload).unwrap();
        prop_assert_eq!(header.checksum.get(), expected);
        prop_assert_eq!(verify_checksum(&header, &payload, ip.pseudo_header(header.length.get())), Ok(()));
    }

    #[test]
    fn the_judge_computes_the_same_checksum_over_ipv6(
        addresses in any::<[[u8; 16]; 2]>(), ports in any::<[u16; 2]>(),
        payload in prop::collection::vec(any::<u8>(), 0..256),
    ) {
        let mut header = UdpHeader::new(ports[0], ports[1], payload.len()).unwrap();
        let ip = Ipv6Header::new(addresses[0], addresses[1], 17, payload.len() + 8).unwrap();
        header.seal(&payload, ip.pseudo_header(17, u32::from(header.length.get())));
        let judged = etherparse::UdpHeader {
            source_port: ports[0], destination_port: ports[1], length: header.length.get(), checksum: 0,
        };
        let expected = judged.calc_checksum_ipv6_raw(addresses[0], addresses[1], &payload).unwrap();
        prop_assert_eq!(header.checksum.get(), expected);
    }

    #[test]
    fn written_segment_is_split_into_what_was_written(
        ports in any::<[u16; 2]>(), checksum in any::<u16>(), payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut header = UdpHeader::new(ports[0], ports[1], payload.len()).unwrap();
        header.checksum = U16::new(checksum);
        let mut segment = Vec::from([0; 8]);
        header.write(&mut segment).unwrap();
        segment.extend_from_slice(&payload);
        segment.push(0xEE);
        prop_assert_eq!(split(&segment), Ok((&header, &payload[..])));
    }
}
