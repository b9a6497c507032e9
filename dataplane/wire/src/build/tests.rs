use super::*;
use crate::ethernet::VlanId;
use crate::l2tpv3::{Cookie, SessionId, Sublayer};

#[test]
fn udp_frame_is_the_literal_one() {
    let mut out = [0xEE; 64];
    let spec = FrameSpec { transport: Transport::udp_unchecked(4000, 5000), ..FrameSpec::default() };
    let length = frame(&mut out, &spec, &[&[1, 2], &[], &[3, 4]]).unwrap();
    let expected = [
        0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00, // Ethernet
        0x45, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x40, 0x11, 0xF6, 0xC9, // IPv4, total length 32
        192, 0, 2, 1, // source
        192, 0, 2, 2, // destination
        0x0F, 0xA0, 0x13, 0x88, 0x00, 0x0C, 0x00, 0x00, // UDP, length 12, no checksum
        1, 2, 3, 4, // payload
    ];
    assert_eq!(out[..length], expected);
    assert!(out[length..].iter().all(|byte| *byte == 0xEE));
}

#[test]
fn l2tp_frame_over_ip_is_the_literal_one() {
    let mut out = [0xEE; 64];
    let tags = [VlanTag::customer(VlanId::new(200).unwrap())];
    let spec = FrameSpec {
        tags: &tags,
        ttl: 2,
        identification: 0x0102,
        transport: Transport::L2TP_IP,
        ..FrameSpec::default()
    };
    let header = DataHeader::new(
        SessionId::new(2000).unwrap(),
        Cookie::four([0xC0, 0xC1, 0xC2, 0xC3]),
        Sublayer::Default,
    );
    let length = l2tp_frame(&mut out, &spec, &header, &[0xAA, 0xBB]).unwrap();
    let expected = [
        0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, // addresses
        0x81, 0x00, 0x00, 0xC8, 0x08, 0x00, // tag, VID 200; IPv4
        0x45, 0x00, 0x00, 0x22, 0x01, 0x02, 0x00, 0x00, 0x02, 0x73, 0x33, 0x64, // total length 34, 115
        192, 0, 2, 1, // source
        192, 0, 2, 2, // destination
        0x00, 0x00, 0x07, 0xD0, // session id 2000
        0xC0, 0xC1, 0xC2, 0xC3, // cookie
        0x00, 0x00, 0x00, 0x00, // sublayer
        0xAA, 0xBB, // inner frame
    ];
    assert_eq!(out[..length], expected);
}

#[test]
fn every_buffer_that_is_too_short_is_refused() {
    let header = DataHeader::new(SessionId::new(1).unwrap(), Cookie::NONE, Sublayer::None);
    for transport in [Transport::udp(1, 2), Transport::L2TP_IP] {
        let spec = FrameSpec { transport, ..FrameSpec::default() };
        let needed = l2tp_frame(&mut [0; 256], &spec, &header, &[0; 60]).unwrap();
        for room in 0..needed {
            let refusal = l2tp_frame(&mut [0; 256][..room], &spec, &header, &[0; 60]);
            assert_eq!(refusal, Err(BuildError::NoRoom), "{room} bytes");
        }
        assert_eq!(l2tp_frame(&mut [0; 256][..needed], &spec, &header, &[0; 60]), Ok(needed));
    }
}

#[test]
fn too_long_payloads_and_mixed_families_are_refused() {
    let mut out = std::vec![0; 70_000];
    let payload = std::vec![0; 65_536];
    let largest = 65_535 - 20 - 8;
    let v4 = FrameSpec::default();
    assert_eq!(frame(&mut out, &v4, &[&payload[..largest]]), Ok(14 + 65_535));
    assert_eq!(frame(&mut out, &v4, &[&payload[..largest + 1]]), Err(BuildError::TooLong));
    assert_eq!(frame(&mut out, &v4, &[&payload]), Err(BuildError::TooLong));
    let mixed = FrameSpec { destination_ip: IpAddr::V6(core::net::Ipv6Addr::LOCALHOST), ..v4 };
    assert_eq!(frame(&mut out, &mixed, &[]), Err(BuildError::MixedFamilies));
}
