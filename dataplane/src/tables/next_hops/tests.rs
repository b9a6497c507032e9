use super::*;
use wire::ethernet::VlanId;

fn hop(vlan: Option<VlanTag>) -> NextHop {
    NextHop {
        port: PortId(1),
        src_mac: MacAddr([2, 0, 0, 0, 0, 1]),
        dst_mac: MacAddr([2, 0, 0, 0, 0, 2]),
        vlan,
        path_mtu_bytes: 1500,
    }
}

fn parameters(encap: Encap, tx_cookie: Cookie, sublayer: Sublayer) -> TxParameters {
    let id = SessionId::new(0xFFFF_FFFF).unwrap();
    TxParameters { tx_cookie, sublayer, ..TxParameters::plain(V4, encap, id) }
}

fn session(hop: &NextHop, parameters: &TxParameters) -> TxSession {
    TxSession::new(hop, parameters, PerWorker::new(1))
}

const UDP: Encap = Encap::Udp { local_port: 5001, remote_port: 6001, checksum: false };

const V4: OuterAddresses =
    OuterAddresses::V4 { local: Ipv4Addr::new(10, 200, 100, 2), remote: Ipv4Addr::new(10, 200, 100, 6) };

const V6: OuterAddresses = OuterAddresses::V6 {
    local: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2),
    remote: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 6),
};

#[test]
fn the_template_over_udp_has_these_bytes_at_its_end() {
    let session =
        session(&hop(None), &parameters(UDP, Cookie::four([0xC0, 0xC1, 0xC2, 0xC3]), Sublayer::Default));
    let expected: Vec<u8> = [
        &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00][..], // Ethernet: destination, source, IPv4
        &[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17],                 // IPv4: length 20, id 0, DF clear, TTL 64, UDP
        &session.template[MAX_ENCAP_BYTES - 58 + 24..MAX_ENCAP_BYTES - 58 + 26], // checksum: patched per frame
        &[10, 200, 100, 2, 10, 200, 100, 6],
        &[0x13, 0x89, 0x17, 0x71, 0, 0, 0, 0], // UDP: 5001, 6001, length, checksum
        &[0, 3, 0, 0],                         // T=0, version 3
        &[0xFF, 0xFF, 0xFF, 0xFF],             // session id
        &[0xC0, 0xC1, 0xC2, 0xC3],             // cookie
        &[0, 0, 0, 0],                         // sublayer
    ]
    .concat();
    assert_eq!(session.template[MAX_ENCAP_BYTES - session.encap_bytes..], expected);
    assert_eq!((session.encap_bytes, session.link_bytes), (58, 14));
}

#[test]
fn overhead_agrees_with_the_table_of_lengths() {
    use wire::overhead::encap_bytes;
    for (addresses, family) in [(V4, IpFamily::V4), (V6, IpFamily::V6)] {
        for (encap, wire_encap) in [(Encap::Ip, l2tpv3::Encap::Ip), (UDP, l2tpv3::Encap::Udp)] {
            for cookie in [Cookie::NONE, Cookie::four([1; 4]), Cookie::eight([1; 8])] {
                for sublayer in [Sublayer::None, Sublayer::Default] {
                    let parameters = TxParameters { addresses, ..parameters(encap, cookie, sublayer) };
                    let session = session(&hop(None), &parameters);
                    let expected = encap_bytes(family, wire_encap, cookie.len_bytes(), sublayer);
                    assert_eq!(session.overhead_bytes(), expected);
                    assert_eq!(session.max_frame_bytes(), 1500 - expected);
                }
            }
        }
    }
}

#[test]
fn a_tag_on_the_underlay_moves_the_headers_forward() {
    let tag = VlanTag::customer(VlanId::new(100).unwrap());
    let session = session(&hop(Some(tag)), &parameters(Encap::Ip, Cookie::NONE, Sublayer::None));
    assert_eq!((session.encap_bytes, session.link_bytes), (18 + 24, 18));
    let start = MAX_ENCAP_BYTES - session.encap_bytes;
    assert_eq!(session.template[start + 12..start + 18], [0x81, 0x00, 0, 100, 0x08, 0x00]);
}

#[test]
fn the_template_over_ipv6_has_these_bytes_at_its_end() {
    let fields = OuterFields { hop_limit: 9, traffic_class: 0xB8, copied_class: 0, dont_fragment: true };
    let plain = parameters(UDP, Cookie::NONE, Sublayer::None);
    let session = session(&hop(None), &TxParameters { addresses: V6, fields, ..plain });
    let expected: Vec<u8> = [
        &[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xDD][..], // Ethernet: destination, source, IPv6
        &[0x6B, 0x80, 0, 0, 0, 0, 17, 9], // version 6, class B8, payload length 0, UDP, 9 hops
        &[0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
        &[0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6],
        &[0x13, 0x89, 0x17, 0x71, 0, 0, 0, 0], // UDP: 5001, 6001, length, checksum
        &[0, 3, 0, 0],                         // T=0, version 3
        &[0xFF, 0xFF, 0xFF, 0xFF],             // session id
    ]
    .concat();
    assert_eq!(session.template[MAX_ENCAP_BYTES - session.encap_bytes..], expected);
}

#[test]
fn class_hops_and_dont_fragment_stand_in_the_ipv4_header() {
    let fields = OuterFields { hop_limit: 9, traffic_class: 0xB8, copied_class: 0, dont_fragment: true };
    let plain = parameters(Encap::Ip, Cookie::NONE, Sublayer::None);
    let session = session(&hop(None), &TxParameters { fields, ..plain });
    let header = &session.template[MAX_ENCAP_BYTES - 24..];
    assert_eq!((header[1], &header[6..10]), (0xB8, &[0x40, 0, 9, 115][..]));
}

#[test]
fn addresses_of_two_versions_do_not_mix() {
    let [v4, v6] = ["10.0.0.1", "2001:db8::1"].map(|text| text.parse::<IpAddr>().unwrap());
    assert!(OuterAddresses::new(v4, v4).is_some() && OuterAddresses::new(v6, v6).is_some());
    assert_eq!((OuterAddresses::new(v4, v6), OuterAddresses::new(v6, v4)), (None, None));
}
