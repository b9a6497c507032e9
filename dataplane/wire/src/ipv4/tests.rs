use super::*;
use etherparse::{IpFragOffset, IpNumber, Ipv4Options};
use proptest::prelude::*;
use std::vec;

/// UDP without options, two bytes of payload, then padding.
const UDP_PACKET: [u8; 30] = [
    0x45, // version 4, header length 5 words
    0x00, // TOS
    0x00, 0x16, // total length 22
    0xBE, 0xEF, // identification
    0x40, 0x00, // don't fragment, offset 0
    0x40, // TTL 64
    0x11, // UDP
    0xF7, 0xE3, // header checksum
    192, 0, 2, 1, // source
    192, 0, 2, 2, // destination
    0xAA, 0xBB, // payload
    0, 0, 0, 0, 0, 0, 0, 0, // Ethernet padding
];

const WITH_OPTIONS: [u8; 29] = [
    0x47, // version 4, header length 7 words
    0xB8, // TOS
    0x00, 0x1D, // total length 29
    0x00, 0x01, // identification
    0x20, 0x03, // more fragments, offset 3 * 8
    0x01, // TTL 1
    0x73, // protocol 115
    0x00, 0x00, // header checksum, not looked at by split
    10, 0, 0, 1, // source
    10, 0, 0, 2, // destination
    0x94, 0x04, 0x00, 0x00, // router alert
    0x01, 0x01, 0x01, 0x00, // no-operation, end of list
    0xDE, // payload
];

#[test]
fn padding_behind_the_total_length_is_cut() {
    let (header, options, payload) = split(&UDP_PACKET).unwrap();
    assert_eq!(options, []);
    assert_eq!(payload, [0xAA, 0xBB]);
    assert_eq!((header.protocol, header.ttl, header.identification.get()), (PROTOCOL_UDP, 64, 0xBEEF));
    assert_eq!((header.source, header.destination), ([192, 0, 2, 1], [192, 0, 2, 2]));
    assert!(header.dont_fragment() && !header.is_fragment());
}

#[test]
fn options_stand_between_header_and_payload() {
    let (header, options, payload) = split(&WITH_OPTIONS).unwrap();
    assert_eq!(header.header_bytes(), 28);
    assert_eq!(options, [0x94, 0x04, 0, 0, 1, 1, 1, 0]);
    assert_eq!(payload, [0xDE]);
    assert_eq!(header.protocol, PROTOCOL_L2TP);
}

#[test]
fn fragments_are_told_by_flag_or_offset() {
    let (header, ..) = split(&WITH_OPTIONS).unwrap();
    assert!(header.is_fragment() && header.more_fragments() && !header.dont_fragment());
    assert_eq!(header.fragment_offset_bytes(), 24);
    let fragment = |flags: u16| {
        let header = Ipv4Header { flags_fragment: U16::new(flags), ..*header };
        (header.is_fragment(), header.fragment_offset_bytes())
    };
    assert_eq!(fragment(0x0000), (false, 0));
    assert_eq!(fragment(0x4000), (false, 0));
    assert_eq!(fragment(0x8000), (false, 0), "the reserved bit says nothing");
    assert_eq!(fragment(0x2000), (true, 0), "first fragment");
    assert_eq!(fragment(0x1FFF), (true, 65_528), "last fragment");
}

#[test]
fn checksum_is_verified_over_header_and_options() {
    let (header, options, _) = split(&UDP_PACKET).unwrap();
    assert_eq!(verify_checksum(header, options), Ok(()));
    let mut damaged = UDP_PACKET;
    damaged[8] ^= 0x01;
    let (header, options, _) = split(&damaged).unwrap();
    assert_eq!(verify_checksum(header, options), Err(Ipv4Error::Checksum));
    let (header, options, _) = split(&WITH_OPTIONS).unwrap();
    assert_eq!(verify_checksum(header, options), Err(Ipv4Error::Checksum));
}

#[test]
fn every_cut_is_truncated() {
    for length in 0..22 {
        assert_eq!(split(&UDP_PACKET[..length]), Err(Ipv4Error::Truncated), "{length} bytes");
    }
    for length in 0..29 {
        assert_eq!(split(&WITH_OPTIONS[..length]), Err(Ipv4Error::Truncated), "{length} bytes");
    }
}

#[test]
fn inconsistent_fields_are_refused_each_with_its_reason() {
    let with = |at: usize, value: u8| {
        let mut packet = UDP_PACKET;
        packet[at] = value;
        split(&packet).unwrap_err()
    };
    assert_eq!(with(0, 0x65), Ipv4Error::Version);
    assert_eq!(with(0, 0x44), Ipv4Error::HeaderLength);
    assert_eq!(with(0, 0x40), Ipv4Error::HeaderLength);
    assert_eq!(with(0, 0x46), Ipv4Error::TotalLength, "24 bytes of header in 22");
    assert_eq!(with(3, 0x13), Ipv4Error::TotalLength, "total length 19");
    assert_eq!(with(3, 0x1F), Ipv4Error::Truncated, "total length 31");
}

#[test]
fn total_length_may_be_the_bare_header() {
    let mut packet = UDP_PACKET;
    packet[3] = 20;
    assert_eq!(split(&packet).unwrap().2, []);
}

#[test]
fn new_header_is_the_literal_one() {
    let mut header = Ipv4Header::new([192, 0, 2, 1], [192, 0, 2, 2], PROTOCOL_UDP, 2).unwrap();
    header.identification = U16::new(0xBEEF);
    header.flags_fragment = U16::new(FLAG_DONT_FRAGMENT);
    header.seal(&[]);
    assert_eq!(header.as_bytes(), &UDP_PACKET[..20]);
}

#[test]
fn longest_packet_has_65535_bytes() {
    let total =
        |payload_bytes| Ipv4Header::new([0; 4], [0; 4], 17, payload_bytes).map(|h| h.total_length.get());
    assert_eq!(total(65_515), Ok(65_535));
    assert_eq!(total(65_516), Err(Ipv4Error::TooLong));
    assert_eq!(total(usize::MAX), Err(Ipv4Error::TooLong));
}

#[test]
fn write_refuses_short_buffers_and_options_the_header_does_not_state() {
    let plain = Ipv4Header::new([0; 4], [0; 4], 17, 0).unwrap();
    assert_eq!(plain.write(&[], &mut [0; 19]), Err(Ipv4Error::NoRoom));
    assert_eq!(plain.write(&[0; 4], &mut [0; 24]), Err(Ipv4Error::HeaderLength));
    let optioned = Ipv4Header { version_ihl: 0x46, ..plain };
    assert_eq!(optioned.write(&[0; 4], &mut [0; 23]), Err(Ipv4Error::NoRoom));
    assert_eq!(optioned.write(&[0; 4], &mut [0; 24]), Ok(&mut [][..]));
}

fn judged_header() -> impl Strategy<Value = etherparse::Ipv4Header> {
    let options = prop::collection::vec(any::<[u8; 4]>(), 0..=10);
    (
        any::<[u8; 4]>(),
        any::<[u8; 4]>(),
        any::<[u8; 3]>(),
        any::<[bool; 2]>(),
        any::<u16>(),
        0_u16..8192,
        options,
    )
        .prop_map(
            |(source, destination, [tos, ttl, protocol], [df, mf], identification, offset, options)| {
                let mut header = etherparse::Ipv4Header {
                    dscp: (tos >> 2).try_into().unwrap(),
                    ecn: (tos & 3).try_into().unwrap(),
                    identification,
                    dont_fragment: df,
                    more_fragments: mf,
                    fragment_offset: IpFragOffset::try_new(offset).unwrap(),
                    time_to_live: ttl,
                    protocol: IpNumber(protocol),
                    source,
                    destination,
                    options: Ipv4Options::try_from(options.as_flattened()).unwrap(),
                    ..Default::default()
                };
                header.set_payload_len(8).unwrap();
                header.header_checksum = header.calc_header_checksum();
                header
            },
        )
}

proptest! {
    #[test]
    fn what_the_judge_writes_is_read_and_written_back(judged in judged_header()) {
        let mut packet = std::vec::Vec::from(&judged.to_bytes()[..]);
        packet.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8, /* padding */ 0, 0]);
        let (header, options, payload) = split(&packet).unwrap();
        prop_assert_eq!(payload, &[1, 2, 3, 4, 5, 6, 7, 8]);
        prop_assert_eq!(options, &judged.options[..]);
        prop_assert_eq!(verify_checksum(header, options), Ok(()));
        prop_assert_eq!((header.source, header.destination), (judged.source, judged.destination));
        prop_assert_eq!((header.protocol, header.ttl), (judged.protocol.0, judged.time_to_live));
        prop_assert_eq!(header.is_fragment(), judged.is_fragmenting_payload());
        prop_assert_eq!(header.more_fragments(), judged.more_fragments);
        prop_assert_eq!(header.dont_fragment(), judged.dont_fragment);
        prop_assert_eq!(header.fragment_offset_bytes(), usize::from(judged.fragment_offset.byte_offset()));

        let mut written = vec![0; header.header_bytes()];
        let mut copy = *header;
        copy.checksum = U16::new(0xDEAD);
        copy.seal(options);
        prop_assert!(copy.write(options, &mut written).unwrap().is_empty());
        prop_assert_eq!(&written[..], &packet[..header.header_bytes()]);
    }

    #[test]
    fn a_fragment_says_where_it_stands_and_keeps_its_other_flag(
        units in 0u16..0x2000, more in any::<bool>(), before in any::<u16>(),
    ) {
        let mut header = Ipv4Header::new([1; 4], [2; 4], PROTOCOL_UDP, 100).unwrap();
        header.flags_fragment = U16::new(before);
        let dont_fragment = header.dont_fragment();
        header.set_fragment(units * 8, more);
        prop_assert_eq!(header.fragment_offset_bytes(), usize::from(units) * 8);
        prop_assert_eq!((header.more_fragments(), header.dont_fragment()), (more, dont_fragment));
        prop_assert_eq!(header.is_fragment(), more || units > 0);
    }

    #[test]
    fn patched_template_equals_a_sealed_header(
        addresses in any::<[[u8; 4]; 2]>(), ttl in any::<u8>(), total_length in any::<u16>(), id in any::<u16>(),
    ) {
        let mut template = Ipv4Header::new(addresses[0], addresses[1], PROTOCOL_UDP, 100).unwrap();
        template.ttl = ttl;
        let mut patched = template;
        patched.patch(total_length, id, template.template_sum());
        let mut sealed =
            Ipv4Header { total_length: U16::new(total_length), identification: U16::new(id), ..template };
        sealed.seal(&[]);
        prop_assert_eq!(patched, sealed);
    }
}
