use super::*;

const NO_COOKIE: usize = 0;

#[test]
fn added_bytes_are_those_of_the_headers() {
    use Encap::{Ip, Udp};
    use IpFamily::{V4, V6};
    let table = [
        (V4, Ip, NO_COOKIE, Sublayer::None, 24),
        (V4, Udp, NO_COOKIE, Sublayer::None, 36),
        (V4, Udp, NO_COOKIE, Sublayer::Default, 40),
        (V4, Udp, 4, Sublayer::Default, 44),
        (V4, Udp, 8, Sublayer::Default, 48),
        (V6, Ip, NO_COOKIE, Sublayer::None, 44),
        (V6, Udp, 8, Sublayer::Default, 68),
    ];
    for (family, encap, cookie, sublayer, expected) in table {
        assert_eq!(encap_bytes(family, encap, cookie, sublayer), expected, "{family:?} {encap:?} {cookie}");
    }
}

#[test]
fn inner_mtu_over_1500_bytes_of_ipv4() {
    // Columns: no sublayer and no cookie; sublayer; sublayer and 8-byte cookie.
    let columns = [(Sublayer::None, NO_COOKIE), (Sublayer::Default, NO_COOKIE), (Sublayer::Default, 8)];
    let rows = [(Encap::Ip, [1462, 1458, 1450]), (Encap::Udp, [1450, 1446, 1438])];
    for (encap, expected) in rows {
        for ((sublayer, cookie), mtu) in columns.into_iter().zip(expected) {
            let v4 = encap_bytes(IpFamily::V4, encap, cookie, sublayer);
            assert_eq!(inner_mtu(1500, v4, 0), mtu, "{encap:?} {sublayer:?} {cookie}");
            assert_eq!(inner_mtu(1500, v4, 1), mtu - 4, "each inner tag takes 4");
            let v6 = encap_bytes(IpFamily::V6, encap, cookie, sublayer);
            assert_eq!(inner_mtu(1500, v6, 0), mtu - 20, "IPv6 takes 20");
        }
    }
}

#[test]
fn path_mtu_that_carries_1500_inner_bytes() {
    let udp = |family, cookie| encap_bytes(family, Encap::Udp, cookie, Sublayer::Default);
    assert_eq!(path_mtu(1500, udp(IpFamily::V4, NO_COOKIE), 0), 1554);
    assert_eq!(path_mtu(1500, udp(IpFamily::V4, 8), 0), 1562);
    assert_eq!(path_mtu(1500, udp(IpFamily::V4, 8), 1), 1566);
    assert_eq!(path_mtu(1500, udp(IpFamily::V6, 8), 1), 1586);
}

#[test]
fn path_too_small_for_the_headers_carries_nothing() {
    assert_eq!(inner_mtu(53, 40, 0), 0);
    assert_eq!(inner_mtu(54, 40, 0), 0);
    assert_eq!(inner_mtu(55, 40, 0), 1);
    assert_eq!(inner_mtu(0, usize::MAX, usize::MAX), 0);
}

#[test]
fn frame_of_an_mtu_has_its_header_and_tags_on_top() {
    assert_eq!(frame_bytes(1500, 0), 1514);
    assert_eq!(frame_bytes(1500, 2), 1522);
}

#[test]
fn headroom_holds_the_longest_header_and_one_pushed_tag() {
    // 14 Ethernet + 8 tags + 40 IPv6 + 8 UDP + 4 flags + 4 session id + 8 cookie + 4 sublayer
    assert_eq!(WORST_ENCAP_BYTES, 14 + 8 + 40 + 8 + 4 + 4 + 8 + 4);
    assert_eq!(MAX_ENCAP_BYTES, 96);
}
