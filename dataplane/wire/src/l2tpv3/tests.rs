use super::*;
use proptest::prelude::*;
use std::string::ToString;
use std::vec;
use std::vec::Vec;
use zerocopy::byteorder::network_endian::U32;

const COOKIE_8: [u8; 8] = [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF];

const OVER_UDP: [u8; 24] = [
    0x00, 0x03, 0x00, 0x00, // T=0, version 3, reserved
    0x00, 0x00, 0x03, 0xE8, // session id 1000
    0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF, // cookie
    0x00, 0x00, 0x00, 0x00, // default sublayer
    0xF0, 0xF1, 0xF2, 0xF3, // inner frame
];

const OVER_IP: [u8; 12] = [
    0xFF, 0xFF, 0xFF, 0xFF, // session id 4294967295
    0xDE, 0xAD, 0xBE, 0xEF, // cookie
    0xF0, 0xF1, 0xF2, 0xF3, // inner frame
];

const HELLO_OVER_UDP: [u8; 20] = [
    0xC8, 0x03, // T=1, L=1, S=1, version 3
    0x00, 0x14, // length 20
    0x00, 0x00, 0x03, 0xE8, // control connection id 1000
    0x00, 0x05, // Ns
    0x00, 0x02, // Nr
    0x80, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x06, // message type AVP: HELLO
];

fn id(value: u32) -> SessionId {
    SessionId::new(value).expect("not zero")
}

#[test]
fn udp_packet_is_taken_apart_layer_by_layer() {
    let (session, rest) = split_udp(&OVER_UDP).unwrap();
    assert_eq!(session, id(1000));
    let rest = Cookie::eight(COOKIE_8).strip(rest).unwrap();
    let (word, inner) = Sublayer::Default.strip(rest).unwrap();
    assert_eq!(word, DefaultSublayer::UNSEQUENCED);
    assert_eq!(inner, [0xF0, 0xF1, 0xF2, 0xF3]);
}

#[test]
fn ip_packet_is_taken_apart_layer_by_layer() {
    let (session, rest) = split_ip(&OVER_IP).unwrap();
    assert_eq!(session, id(u32::MAX));
    let rest = Cookie::four([0xDE, 0xAD, 0xBE, 0xEF]).strip(rest).unwrap();
    let (_, inner) = Sublayer::None.strip(rest).unwrap();
    assert_eq!(inner, [0xF0, 0xF1, 0xF2, 0xF3]);
}

#[test]
fn session_without_cookie_and_sublayer_has_the_frame_behind_its_id() {
    let (_, rest) = split_ip(&OVER_IP).unwrap();
    let (_, inner) = Sublayer::None.strip(Cookie::NONE.strip(rest).unwrap()).unwrap();
    assert_eq!(inner, &OVER_IP[4..]);
}

#[test]
fn every_cut_of_the_header_is_truncated() {
    for length in 0..8 {
        assert_eq!(split_udp(&OVER_UDP[..length]), Err(L2tpError::Truncated), "{length} bytes");
    }
    for length in 0..4 {
        assert_eq!(split_ip(&OVER_IP[..length]), Err(L2tpError::Truncated), "{length} bytes");
        assert_eq!(Sublayer::Default.strip(&OVER_IP[..length]), Err(L2tpError::Truncated));
    }
    assert_eq!(split_udp(&OVER_UDP[..8]), Ok((id(1000), &[][..])));
}

#[test]
fn other_versions_are_refused_before_any_other_bit_is_looked_at() {
    for version in (0..=15).filter(|version| *version != 3) {
        let mut packet = OVER_UDP;
        packet[1] = version;
        assert_eq!(split_udp(&packet), Err(L2tpError::Version), "version {version}");
        packet[0] = 0xC8;
        assert_eq!(split_udp(&packet), Err(L2tpError::Version), "control, version {version}");
    }
}

#[test]
fn reserved_bits_are_ignored_on_receive() {
    let mut packet = OVER_UDP;
    packet[..4].copy_from_slice(&[0x7F, 0xF3, 0xFF, 0xFF]);
    assert_eq!(split_udp(&packet).unwrap().0, id(1000));
}

#[test]
fn control_messages_are_told_from_data() {
    assert_eq!(split_udp(&HELLO_OVER_UDP), Err(L2tpError::Control));
    assert_eq!(split_udp(&[0, 3, 0, 0, 0, 0, 0, 0]), Err(L2tpError::Control), "session id 0");
    let mut over_ip = vec![0; 4];
    over_ip.extend_from_slice(&HELLO_OVER_UDP);
    assert_eq!(split_ip(&over_ip), Err(L2tpError::Control));
}

#[test]
fn control_header_is_read_over_udp_and_over_ip() {
    let (header, avps) = split_control_udp(&HELLO_OVER_UDP).unwrap();
    assert_eq!(header.control_connection_id.get(), 1000);
    assert_eq!((header.ns.get(), header.nr.get()), (5, 2));
    assert_eq!(avps, &HELLO_OVER_UDP[12..]);
    assert_eq!(*header, ControlHeader::new(1000, 5, 2, 8).unwrap());

    let mut over_ip = vec![0; 4];
    over_ip.extend_from_slice(&HELLO_OVER_UDP);
    assert_eq!(split_control_ip(&over_ip), Ok((header, avps)));
    over_ip[3] = 1;
    assert_eq!(split_control_ip(&over_ip), Err(L2tpError::NotControl));
}

#[test]
fn control_header_with_illegal_flags_or_length_is_refused() {
    let with = |at: usize, value: u8| {
        let mut message = HELLO_OVER_UDP;
        message[at] = value;
        split_control_udp(&message).map(|_| ())
    };
    assert_eq!(with(0, 0x48), Err(L2tpError::NotControl), "T clear");
    assert_eq!(with(0, 0x88), Err(L2tpError::NotControl), "L clear");
    assert_eq!(with(0, 0xC0), Err(L2tpError::NotControl), "S clear");
    assert_eq!(with(1, 0x02), Err(L2tpError::NotControl), "version 2");
    assert_eq!(with(1, 0xF3), Ok(()), "reserved bits are ignored");
    assert_eq!(with(3, 11), Err(L2tpError::NotControl), "shorter than the header");
    assert_eq!(with(3, 12), Ok(()), "no AVP");
    assert_eq!(with(3, 21), Err(L2tpError::Truncated));
    for length in 0..20 {
        assert_eq!(split_control_udp(&HELLO_OVER_UDP[..length]), Err(L2tpError::Truncated), "{length} bytes");
    }
    for length in 0..4 {
        assert_eq!(split_control_ip(&[0; 4][..length]), Err(L2tpError::Truncated));
    }
}

#[test]
fn one_wrong_bit_anywhere_in_the_cookie_is_a_mismatch() {
    let eight = Cookie::eight(COOKIE_8);
    let four = Cookie::four([1, 2, 3, 4]);
    for bit in 0..64 {
        let mut rest = COOKIE_8.to_vec();
        rest[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(eight.strip(&rest), Err(L2tpError::CookieMismatch), "bit {bit}");
        let mut rest = [1, 2, 3, 4, 0xA5, 0xA5, 0xA5, 0xA5];
        rest[bit / 8] ^= 1 << (bit % 8);
        let verdict = four.strip(&rest).map(<[u8]>::len);
        assert_eq!(verdict, if bit < 32 { Err(L2tpError::CookieMismatch) } else { Ok(4) }, "bit {bit}");
    }
}

#[test]
fn cookie_in_fewer_than_eight_bytes_is_checked_too() {
    let four = Cookie::four([1, 2, 3, 4]);
    assert_eq!(four.strip(&[1, 2, 3, 4]), Ok(&[][..]));
    assert_eq!(four.strip(&[1, 2, 3, 4, 9, 9, 9]), Ok(&[9, 9, 9][..]));
    assert_eq!(four.strip(&[1, 2, 3, 5, 9]), Err(L2tpError::CookieMismatch));
    assert_eq!(four.strip(&[1, 2, 3]), Err(L2tpError::Truncated));
    assert_eq!(Cookie::eight(COOKIE_8).strip(&COOKIE_8[..7]), Err(L2tpError::Truncated));
    assert_eq!(Cookie::NONE.strip(&[]), Ok(&[][..]));
    assert_eq!(Cookie::NONE.strip(&[7]), Ok(&[7][..]));
}

#[test]
fn cookie_text_is_0_8_or_16_hex_digits() {
    assert_eq!("".parse(), Ok(Cookie::NONE));
    assert_eq!("deadBEEF".parse(), Ok(Cookie::four([0xDE, 0xAD, 0xBE, 0xEF])));
    assert_eq!("0123456789abcdef".parse(), Ok(Cookie::eight(COOKIE_8)));
    assert_eq!(Cookie::eight(COOKIE_8).to_string(), "0123456789abcdef");
    assert_eq!(Cookie::four([0, 1, 2, 3]).to_string(), "00010203");
    assert_eq!(Cookie::NONE.to_string(), "");
    let refusal = |text: &str| text.parse::<Cookie>().unwrap_err();
    for text in ["0", "dead", "deadbee", "deadbeef0", "0123456789abcdef0", "0123456789abcdef01"] {
        assert_eq!(refusal(text), L2tpError::CookieLength, "{text}");
    }
    assert_eq!(refusal("deadbeeg"), L2tpError::CookieDigit);
    assert_eq!(refusal("+eadbeef"), L2tpError::CookieDigit);
    assert_eq!(refusal("0xdeadbe"), L2tpError::CookieDigit);
}

#[test]
fn cookies_of_other_lengths_are_refused() {
    for length in (0..=9).filter(|length| ![0, 4, 8].contains(length)) {
        assert_eq!(Cookie::from_bytes(&[0; 9][..length]), Err(L2tpError::CookieLength), "{length} bytes");
    }
    assert_ne!(Cookie::four([0; 4]), Cookie::NONE);
    assert_ne!(Cookie::four([0; 4]), Cookie::eight([0; 8]));
}

#[test]
fn sublayer_bits_are_read() {
    let word = |value: u32| DefaultSublayer(U32::new(value));
    assert_eq!(word(0x4000_0000).sequence(), Some(0), "sequence number 0 is legal");
    assert_eq!(word(0x40FF_FFFF).sequence(), Some(0x00FF_FFFF));
    assert_eq!(word(0x00FF_FFFF).sequence(), None, "S clear: the field is ignored");
    assert!(word(0x8000_0000).is_vccv() && !word(0x7FFF_FFFF).is_vccv());
    assert!(word(0xC0FF_FFFF).is_whole_frame());
    assert!(!word(0x2000_0000).is_whole_frame() && !word(0x1000_0000).is_whole_frame());
    assert_eq!(DefaultSublayer::sequenced(0x0100_0002), word(0x4000_0002), "24 bits");
}

#[test]
fn ids_cover_everything_but_zero() {
    assert_eq!(SessionId::new(0), None);
    assert_eq!(SessionId::new(1).map(SessionId::get), Some(1));
    assert_eq!(TunnelId::new(u32::MAX).map(TunnelId::get), Some(u32::MAX));
    assert_eq!(TunnelId::new(0), None);
    assert_eq!(id(1000).to_string(), "1000");
    assert_eq!(size_of::<Option<SessionId>>(), 4);
}

#[test]
fn written_headers_are_the_literal_ones() {
    let udp = DataHeader::new(id(1000), Cookie::eight(COOKIE_8), Sublayer::Default);
    let mut out = [0xEE; 20];
    assert_eq!(udp.write(Encap::Udp, &mut out), Ok(&mut [][..]));
    assert_eq!(out, OVER_UDP[..20]);
    let ip = DataHeader::new(id(u32::MAX), Cookie::four([0xDE, 0xAD, 0xBE, 0xEF]), Sublayer::None);
    let mut out = [0xEE; 10];
    assert_eq!(ip.write(Encap::Ip, &mut out).map(|rest| rest.len()), Ok(2));
    assert_eq!(out, [0xFF, 0xFF, 0xFF, 0xFF, 0xDE, 0xAD, 0xBE, 0xEF, 0xEE, 0xEE]);
    let mut hello = [0; 12];
    ControlHeader::new(1000, 5, 2, 8).unwrap().write(&mut hello).unwrap();
    assert_eq!(hello, HELLO_OVER_UDP[..12]);
    assert_eq!(ControlHeader::new(1, 0, 0, 65_524), Err(L2tpError::NoRoom));
    assert_eq!(ControlHeader::new(1, 0, 0, 0).unwrap().write(&mut [0; 11]), Err(L2tpError::NoRoom));
}

#[test]
fn writing_into_too_short_a_buffer_is_refused() {
    let header = DataHeader::new(id(1), Cookie::eight(COOKIE_8), Sublayer::Default);
    for encap in [Encap::Udp, Encap::Ip] {
        for length in 0..header.len_bytes(encap) {
            assert_eq!(header.write(encap, &mut [0; 20][..length]), Err(L2tpError::NoRoom), "{length} bytes");
        }
    }
    assert_eq!(header.len_bytes(Encap::Udp), MAX_DATA_HEADER_BYTES);
}

fn any_cookie() -> impl Strategy<Value = Cookie> {
    prop_oneof![
        Just(Cookie::NONE),
        any::<[u8; 4]>().prop_map(Cookie::four),
        any::<[u8; 8]>().prop_map(Cookie::eight)
    ]
}

fn any_header() -> impl Strategy<Value = DataHeader> {
    (1_u32.., any_cookie(), any::<Option<u32>>()).prop_map(|(session, cookie, word)| DataHeader {
        session_id: id(session),
        cookie,
        sublayer: if word.is_some() { Sublayer::Default } else { Sublayer::None },
        sublayer_word: DefaultSublayer(U32::new(word.unwrap_or(0))),
    })
}

proptest! {
    #[test]
    fn written_packet_is_split_into_what_was_written(
        header in any_header(),
        over_udp in any::<bool>(),
        inner in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let encap = if over_udp { Encap::Udp } else { Encap::Ip };
        let mut packet = vec![0; header.len_bytes(encap)];
        prop_assert!(header.write(encap, &mut packet).unwrap().is_empty());
        packet.extend_from_slice(&inner);
        let (session, rest) = if over_udp { split_udp(&packet) } else { split_ip(&packet) }.unwrap();
        let (word, read) = header.sublayer.strip(header.cookie.strip(rest).unwrap()).unwrap();
        prop_assert_eq!((session, word), (header.session_id, header.sublayer_word));
        prop_assert_eq!(read, &inner[..]);
    }

    #[test]
    fn cookie_strip_equals_a_plain_prefix_compare(
        cookie in any_cookie(), mut rest in prop::collection::vec(any::<u8>(), 0..24), honest in any::<bool>(),
    ) {
        let expected = &cookie.padded()[..cookie.len_bytes()];
        if honest && rest.len() >= expected.len() {
            rest[..expected.len()].copy_from_slice(expected);
        }
        let plain = match rest.get(..expected.len()) {
            None => Err(L2tpError::Truncated),
            Some(front) if front == expected => Ok(&rest[expected.len()..]),
            Some(_) => Err(L2tpError::CookieMismatch),
        };
        prop_assert_eq!(cookie.strip(&rest), plain);
    }

    #[test]
    fn cookie_text_reads_back(cookie in any_cookie()) {
        prop_assert_eq!(cookie.to_string().parse(), Ok(cookie));
        let bytes: Vec<u8> = cookie.padded()[..cookie.len_bytes()].to_vec();
        prop_assert_eq!(Cookie::from_bytes(&bytes), Ok(cookie));
    }
}
