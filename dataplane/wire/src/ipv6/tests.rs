use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const UDP_NUMBER: u8 = 17;
const SOURCE: [u8; 16] = [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const DESTINATION: [u8; 16] = [0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];

const PACKET: [u8; 44] = [
    0x6A, 0xB1, 0x23, 0x45, // version 6, traffic class 0xAB, flow label 0x12345
    0x00, 0x03, // payload length 3
    0x73, // protocol 115
    0x40, // hop limit 64
    0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, // source
    0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, // destination
    0x01, 0x02, 0x03, // payload
    0x00, // Ethernet padding
];

/// Header in front of `payload` whose first extension is `next_header`.
fn upper(next_header: u8, payload: &[u8]) -> Result<UpperLayer<'_>, Ipv6Error> {
    upper_layer(&Ipv6Header::new(SOURCE, DESTINATION, next_header, payload.len()).unwrap(), payload)
}

#[test]
fn padding_behind_the_payload_length_is_cut() {
    let (header, payload) = split(&PACKET).unwrap();
    assert_eq!(payload, [1, 2, 3]);
    assert_eq!((header.source, header.destination), (SOURCE, DESTINATION));
    assert_eq!((header.next_header, header.hop_limit), (115, 64));
    assert_eq!(header.version_class_flow.get(), 0x6AB1_2345);
}

#[test]
fn every_cut_is_truncated_and_other_versions_refused() {
    for length in 0..43 {
        assert_eq!(split(&PACKET[..length]), Err(Ipv6Error::Truncated), "{length} bytes");
    }
    let mut packet = PACKET;
    packet[0] = 0x4A;
    assert_eq!(split(&packet), Err(Ipv6Error::Version));
}

#[test]
fn packet_without_extensions_is_its_own_upper_layer() {
    let found = upper(115, &[1, 2, 3]).unwrap();
    assert_eq!((found.protocol, found.fragment, found.payload), (115, None, &[1, 2, 3][..]));
}

#[test]
fn options_and_routing_headers_are_walked_past() {
    let payload = [
        60, 0, 1, 4, 0, 0, 0, 0, // hop-by-hop: destination options follow, 8 bytes
        43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // destination options: 16 bytes
        50, 0, 0, 0, 0, 0, 0, 0, // routing: ESP follows
        0xE5, 0x90, // ESP
    ];
    let found = upper(NEXT_HOP_BY_HOP, &payload).unwrap();
    assert_eq!((found.protocol, found.payload), (50, &[0xE5, 0x90][..]));
    assert!(!found.is_fragment());
}

#[test]
fn first_fragment_is_walked_past_and_later_ones_stop_the_walk() {
    let first = [
        60, 0, 0x00, 0x01, 0, 0, 0, 7, // fragment: offset 0, more to come, identification 7
        17, 0, 1, 4, 0, 0, 0, 0,    // destination options: UDP follows
        0xAA, // UDP
    ];
    let found = upper(NEXT_FRAGMENT, &first).unwrap();
    assert_eq!((found.protocol, found.payload), (UDP_NUMBER, &[0xAA][..]));
    assert!(found.is_fragment());
    assert_eq!(found.fragment.unwrap().identification.get(), 7);

    let later = [
        60, 0, 0x05, 0xA8, 0, 0, 0, 7,    // fragment: offset 1448, the last
        0xBB, // from the middle of the payload
    ];
    let found = upper(NEXT_FRAGMENT, &later).unwrap();
    assert_eq!((found.protocol, found.payload), (60, &[0xBB][..]));
    assert!(found.is_fragment());
    let fragment = found.fragment.unwrap();
    assert_eq!((fragment.offset_bytes(), fragment.more_fragments()), (1448, false));
}

#[test]
fn atomic_fragment_is_whole() {
    let found = upper(NEXT_FRAGMENT, &[17, 0, 0, 0, 0, 0, 0, 7, 0xAA]).unwrap();
    assert!(!found.is_fragment());
    assert_eq!((found.protocol, found.payload), (UDP_NUMBER, &[0xAA][..]));
}

#[test]
fn a_part_stays_one_whatever_fragment_header_is_in_it_or_around_it() {
    let header = |offset_flags: u8, next| [next, 0, 0, offset_flags, 0, 0, 0, 7];
    let (atomic, first, later) = (0, 1, 8);
    for (outer, inner) in [(first, atomic), (atomic, first), (first, later), (atomic, later), (first, first)]
    {
        let payload = [header(outer, NEXT_FRAGMENT), header(inner, 17)].concat();
        assert!(upper(NEXT_FRAGMENT, &payload).unwrap().is_fragment(), "{outer} around {inner}");
    }
    let whole = [header(atomic, NEXT_FRAGMENT), header(atomic, 17)].concat();
    assert!(!upper(NEXT_FRAGMENT, &whole).unwrap().is_fragment());
}

#[test]
fn extension_that_does_not_fit_is_refused() {
    assert_eq!(upper(NEXT_HOP_BY_HOP, &[]), Err(Ipv6Error::ExtensionTruncated));
    assert_eq!(upper(NEXT_ROUTING, &[17, 0, 0, 0, 0, 0, 0]), Err(Ipv6Error::ExtensionTruncated));
    assert_eq!(
        upper(NEXT_DESTINATION_OPTIONS, &[17, 255, 0, 0, 0, 0, 0, 0]),
        Err(Ipv6Error::ExtensionTruncated)
    );
    assert_eq!(upper(NEXT_FRAGMENT, &[17, 0, 0, 0, 0, 0, 0]), Err(Ipv6Error::ExtensionTruncated));
}

#[test]
fn six_extensions_are_walked_past_and_a_seventh_is_refused() {
    let mut payload: Vec<u8> = [60, 0, 1, 4, 0, 0, 0, 0].repeat(MAX_EXTENSIONS);
    assert_eq!(upper(60, &payload), Err(Ipv6Error::TooManyExtensions));
    payload[8 * (MAX_EXTENSIONS - 1)] = UDP_NUMBER;
    assert_eq!(upper(60, &payload).unwrap().protocol, UDP_NUMBER);
}

#[test]
fn longest_payload_has_65535_bytes() {
    let length = |bytes| Ipv6Header::new(SOURCE, DESTINATION, 17, bytes).map(|h| h.payload_length.get());
    assert_eq!(length(65_535), Ok(65_535));
    assert_eq!(length(65_536), Err(Ipv6Error::TooLong));
}

#[test]
fn new_header_is_the_literal_one_and_needs_40_bytes() {
    let header = Ipv6Header::new(SOURCE, DESTINATION, 115, 3).unwrap();
    let mut written = [0xEE; 40];
    header.write(&mut written).unwrap();
    assert_eq!(written[..4], [0x60, 0, 0, 0]);
    assert_eq!(written[4..], PACKET[4..40]);
    assert_eq!(header.write(&mut [0; 39]), Err(Ipv6Error::NoRoom));
}

proptest! {
    #[test]
    fn what_the_judge_writes_is_read_and_written_back(
        addresses in any::<[[u8; 16]; 2]>(),
        [traffic_class, next_header, hop_limit] in any::<[u8; 3]>(),
        flow in 0_u32..1 << 20,
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let judged = etherparse::Ipv6Header {
            traffic_class,
            flow_label: flow.try_into().unwrap(),
            payload_length: payload.len().try_into().unwrap(),
            next_header: next_header.into(),
            hop_limit,
            source: addresses[0],
            destination: addresses[1],
        };
        let mut packet = Vec::from(judged.to_bytes());
        packet.extend_from_slice(&payload);
        packet.extend_from_slice(&[0; 3]);
        let (header, read) = split(&packet).unwrap();
        prop_assert_eq!(read, &payload[..]);
        prop_assert_eq!((header.source, header.destination), (addresses[0], addresses[1]));
        prop_assert_eq!((header.next_header, header.hop_limit), (next_header, hop_limit));
        let mut written = vec![0; 40];
        prop_assert!(header.write(&mut written).unwrap().is_empty());
        prop_assert_eq!(&written[..], &packet[..40]);
    }

    #[test]
    fn the_judge_walks_extension_headers_to_the_same_place(
        sizes in prop::collection::vec(0_usize..4, 0..3),
        fragment in any::<Option<(u16, bool)>>(),
        payload in prop::collection::vec(any::<u8>(), 0..32),
    ) {
        // Hop-by-hop first, destination options after it, a fragment header last: the order RFC 8200 wants.
        let numbers: Vec<u8> = (0..sizes.len()).map(|i| if i == 0 { 0 } else { 60 }).collect();
        let last = if fragment.is_some() { NEXT_FRAGMENT } else { UDP_NUMBER };
        let mut bytes = Vec::new();
        for (index, size) in sizes.iter().enumerate() {
            bytes.extend_from_slice(&[*numbers.get(index + 1).unwrap_or(&last), u8::try_from(*size).unwrap()]);
            bytes.resize(bytes.len() + 6 + size * 8, 0);
        }
        if let Some((offset, more)) = fragment {
            bytes.extend_from_slice(&[UDP_NUMBER, 0]);
            bytes.extend_from_slice(&(offset << 3 | u16::from(more)).to_be_bytes());
            bytes.extend_from_slice(&[0, 0, 0, 9]);
        }
        bytes.extend_from_slice(&payload);
        let first = *numbers.first().unwrap_or(&last);
        let found = upper(first, &bytes).unwrap();

        let (extensions, next, rest) =
            etherparse::Ipv6Extensions::from_slice(first.into(), &bytes).unwrap();
        prop_assert_eq!((found.protocol, found.payload), (next.0, rest));
        prop_assert_eq!(found.is_fragment(), extensions.is_fragmenting_payload());
        let judged = extensions.fragment.map(|f| (usize::from(f.fragment_offset.byte_offset()), f.more_fragments));
        prop_assert_eq!(found.fragment.map(|f| (f.offset_bytes(), f.more_fragments())), judged);
    }
}
