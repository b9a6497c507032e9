//! Built frames under the eyes of an independent parser: `etherparse` reads what `wire::build` wrote.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use wire::build::{self, FrameSpec, Transport};
use wire::ethernet::{MacAddr, VlanId, VlanTag};
use wire::l2tpv3::{self, Cookie, DataHeader, SessionId, Sublayer};

fn any_addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
    prop_oneof![
        any::<[u32; 2]>().prop_map(|[a, b]| (Ipv4Addr::from(a).into(), Ipv4Addr::from(b).into())),
        any::<[u128; 2]>().prop_map(|[a, b]| (Ipv6Addr::from(a).into(), Ipv6Addr::from(b).into())),
    ]
}

fn any_tags() -> impl Strategy<Value = Vec<VlanTag>> {
    let tag = (0_u16..4095).prop_map(|vid| VlanTag::customer(VlanId::new(vid).expect("legal")));
    prop::collection::vec(tag, 0..=2)
}

/// The addresses as the judge reads them; the IPv4 header checksum is checked on the way.
fn judged_addresses(net: &NetSlice<'_>) -> (IpAddr, IpAddr) {
    match net {
        NetSlice::Ipv4(ip) => {
            let header = ip.header().to_header();
            assert_eq!(header.header_checksum, header.calc_header_checksum());
            (ip.header().source_addr().into(), ip.header().destination_addr().into())
        }
        NetSlice::Ipv6(ip) => (ip.header().source_addr().into(), ip.header().destination_addr().into()),
        NetSlice::Arp(_) => panic!("no ARP was built"),
    }
}

/// The UDP checksum as the judge computes it.
fn judged_checksum(net: &NetSlice<'_>, udp: &etherparse::UdpHeader, payload: &[u8]) -> u16 {
    match net {
        NetSlice::Ipv4(ip) => {
            udp.calc_checksum_ipv4_raw(ip.header().source(), ip.header().destination(), payload)
        }
        NetSlice::Ipv6(ip) => {
            udp.calc_checksum_ipv6_raw(ip.header().source(), ip.header().destination(), payload)
        }
        NetSlice::Arp(_) => panic!("no ARP was built"),
    }
    .expect("short enough")
}

proptest! {
    #[test]
    fn udp_frame_is_read_field_by_field_as_it_was_asked_for(
        macs in any::<[[u8; 6]; 2]>(), tags in any_tags(), (source_ip, destination_ip) in any_addresses(),
        ports in any::<[u16; 2]>(), ttl in any::<u8>(), payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let spec = FrameSpec {
            destination: MacAddr(macs[0]),
            source: MacAddr(macs[1]),
            tags: &tags,
            source_ip,
            destination_ip,
            ttl,
            identification: 7,
            transport: Transport::udp(ports[0], ports[1]),
        };
        let mut out = [0; 512];
        let length = build::frame(&mut out, &spec, &[&payload]).unwrap();
        let judged = SlicedPacket::from_ethernet(&out[..length]).unwrap();
        let link = judged.link.as_ref().and_then(|link| link.to_header()?.ethernet2()).unwrap();
        prop_assert_eq!((link.destination, link.source), (macs[0], macs[1]));
        let vids: Vec<_> = judged.vlan_ids().iter().map(|vid| vid.value()).collect();
        prop_assert_eq!(vids, tags.iter().map(|tag| tag.vid.get()).collect::<Vec<_>>());
        let net = judged.net.as_ref().unwrap();
        prop_assert_eq!(judged_addresses(net), (source_ip, destination_ip));
        let Some(TransportSlice::Udp(udp)) = &judged.transport else { panic!("no UDP was read") };
        prop_assert_eq!((udp.source_port(), udp.destination_port()), (ports[0], ports[1]));
        prop_assert_eq!(udp.payload(), &payload[..]);
        prop_assert_eq!(udp.checksum(), judged_checksum(net, &udp.to_header(), &payload));
    }

    #[test]
    fn l2tp_frame_carries_the_inner_frame_byte_for_byte(
        (source_ip, destination_ip) in any_addresses(), over_udp in any::<bool>(), session in 1_u32..,
        cookie in any::<[u8; 8]>(), inner in prop::collection::vec(any::<u8>(), 14..200),
    ) {
        let transport = if over_udp { Transport::udp_unchecked(5001, 6001) } else { Transport::L2TP_IP };
        let spec = FrameSpec { source_ip, destination_ip, transport, ..FrameSpec::default() };
        let session = SessionId::new(session).unwrap();
        let cookie = Cookie::eight(cookie);
        let header = DataHeader::new(session, cookie, Sublayer::Default);
        let mut out = [0; 512];
        let length = build::l2tp_frame(&mut out, &spec, &header, &inner).unwrap();
        let judged = SlicedPacket::from_ethernet(&out[..length]).unwrap();
        let (read, rest) = match &judged.transport {
            Some(TransportSlice::Udp(udp)) => l2tpv3::split_udp(udp.payload()),
            None => l2tpv3::split_ip(judged.ip_payload().unwrap().payload),
            Some(other) => panic!("read as {other:?}"),
        }.unwrap();
        prop_assert_eq!(read, session);
        let (_, read_inner) = Sublayer::Default.strip(cookie.strip(rest).unwrap()).unwrap();
        prop_assert_eq!(read_inner, &inner[..]);
    }
}
