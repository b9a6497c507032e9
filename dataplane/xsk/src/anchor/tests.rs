use super::*;
use proptest::prelude::*;

/// A control message.
fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
    let length = CONTROL_HEADER_BYTES + data.len();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(level.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(data);
    bytes.resize(length.next_multiple_of(8), 0);
    bytes
}

/// `struct sock_extended_err` of "fragmentation needed" with MTU 1400.
fn too_big(origin: u8, kind: u8, code: u8) -> Vec<u8> {
    let mut bytes = libc::EMSGSIZE.to_ne_bytes().to_vec();
    bytes.extend([origin, kind, code, 0]);
    bytes.extend(1400_u32.to_ne_bytes()); // info
    bytes.extend([0; 4]); // data
    bytes
}

fn v4_offender() -> Vec<u8> {
    let family = u16::try_from(libc::AF_INET).unwrap().to_ne_bytes();
    [&family[..], &[0, 0], &[10, 200, 100, 1], &[0; 8]].concat()
}

fn v6_offender() -> Vec<u8> {
    let family = u16::try_from(libc::AF_INET6).unwrap().to_ne_bytes();
    let address = "fd00::1".parse::<Ipv6Addr>().unwrap().octets();
    [&family[..], &[0; 6], &address, &[0; 4]].concat()
}

#[test]
fn an_icmp_error_is_read_with_its_mtu_and_who_sent_it() {
    let data = [too_big(libc::SO_EE_ORIGIN_ICMP, 3, 4), v4_offender()].concat();
    let error = read(&message(libc::SOL_IP, libc::IP_RECVERR, &data)).unwrap();
    let offender = Some("10.200.100.1".parse().unwrap());
    assert_eq!(error, IcmpError { is_ipv6: false, kind: 3, code: 4, mtu: 1400, offender });
    assert!(error.too_big());
    assert_eq!(error.to_string(), "ICMP type 3 code 4, MTU 1400 from 10.200.100.1");
}

#[test]
fn an_icmpv6_error_is_read_behind_another_message() {
    let data = [too_big(libc::SO_EE_ORIGIN_ICMP6, 2, 0), v6_offender()].concat();
    let control = [
        message(libc::SOL_SOCKET, libc::SO_TIMESTAMP, &[7; 13]),
        message(libc::SOL_IPV6, libc::IPV6_RECVERR, &data),
    ]
    .concat();
    let error = read(&control).unwrap();
    assert_eq!((error.is_ipv6, error.kind, error.mtu), (true, 2, 1400));
    assert_eq!(error.to_string(), "ICMPv6 type 2 code 0, MTU 1400 from fd00::1");
}

#[test]
fn an_error_that_is_not_from_the_path_is_none() {
    let local = too_big(libc::SO_EE_ORIGIN_LOCAL, 0, 0);
    assert_eq!(read(&message(libc::SOL_IP, libc::IP_RECVERR, &local)), None);
    assert_eq!(read(&message(libc::SOL_IP, libc::IP_TTL, &too_big(libc::SO_EE_ORIGIN_ICMP, 3, 4))), None);
    assert_eq!(read(&[]), None);
}

#[test]
fn an_error_of_nobody_has_no_offender() {
    let data = [too_big(libc::SO_EE_ORIGIN_ICMP, 3, 1), vec![0; 16]].concat();
    let error = read(&message(libc::SOL_IP, libc::IP_RECVERR, &data)).unwrap();
    assert_eq!((error.offender, error.too_big()), (None, false));
    assert_eq!(error.to_string(), "ICMP type 3 code 1");
}

#[test]
fn a_message_that_is_cut_short_is_none_or_has_no_offender() {
    let data = [too_big(libc::SO_EE_ORIGIN_ICMP, 3, 4), v4_offender()].concat();
    let whole = message(libc::SOL_IP, libc::IP_RECVERR, &data);
    for length in 0..whole.len() {
        assert_eq!(read(&whole[..length]), None, "{length} bytes: it states more");
    }
    let mut stated = whole.clone();
    stated[..8].copy_from_slice(&(CONTROL_HEADER_BYTES + 16 + 6).to_ne_bytes());
    assert_eq!(read(&stated).unwrap().offender, None);
}

proptest! {
    #[test]
    fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200), length in 0_usize..80, level in 0..50) {
        let _ = read(&bytes);
        let mut stated = length.to_ne_bytes().to_vec();
        stated.extend([level, 11].iter().flat_map(|word: &i32| word.to_ne_bytes()));
        stated.extend(bytes);
        let _ = read(&stated);
    }
}
