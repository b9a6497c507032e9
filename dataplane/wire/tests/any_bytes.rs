//! No bytes whatever make a parser panic, or give back anything but a part of what it was given.

use core::net::Ipv6Addr;
use proptest::prelude::*;
use wire::build::{self, FrameSpec, Transport};
use wire::ethernet::{self, EtherType, MacAddr, VlanId, VlanTag};
use wire::l2tpv3::{self, Cookie, DataHeader, SessionId, Sublayer};
use wire::{ipv4, ipv6, offload_hint, udp};

/// `part` lies within `whole`: by address, not by content.
fn assert_within(part: &[u8], whole: &[u8]) {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    assert!(whole.start <= part.start && part.end <= whole.end);
}

/// Goes through every reader that could meet `frame` on the path; true when it got to an inner frame.
fn walk(frame: &[u8]) -> bool {
    let _ = offload_hint::is_only_pseudo_header(frame);
    let Ok(view) = ethernet::read(frame) else { return false };
    assert_within(view.payload, frame);
    assert_eq!(frame.len() - view.payload_offset, view.payload.len());
    match view.ethertype {
        EtherType::IPV4 => walk_ipv4(view.payload),
        EtherType::IPV6 => walk_ipv6(view.payload),
        _ => false,
    }
}

fn walk_ipv4(packet: &[u8]) -> bool {
    let Ok((header, options, payload)) = ipv4::split(packet) else { return false };
    assert_within(options, packet);
    assert_within(payload, packet);
    assert_eq!(20 + options.len() + payload.len(), usize::from(header.total_length.get()));
    let _ = ipv4::verify_checksum(header, options);
    walk_transport(header.protocol, payload)
}

fn walk_ipv6(packet: &[u8]) -> bool {
    let Ok((header, payload)) = ipv6::split(packet) else { return false };
    assert_within(payload, packet);
    assert_eq!(payload.len(), usize::from(header.payload_length.get()));
    let Ok(upper) = ipv6::upper_layer(header, payload) else { return false };
    assert_within(upper.payload, payload);
    walk_transport(upper.protocol, upper.payload)
}

fn walk_transport(protocol: u8, segment: &[u8]) -> bool {
    match protocol {
        ipv4::PROTOCOL_UDP => {
            let Ok((header, payload)) = udp::split(segment) else { return false };
            assert_within(payload, segment);
            assert_eq!(8 + payload.len(), usize::from(header.length.get()));
            let _ = l2tpv3::split_control_udp(payload).map(|(_, avps)| assert_within(avps, payload));
            walk_session(l2tpv3::split_udp(payload), payload)
        }
        ipv4::PROTOCOL_L2TP => {
            let _ = l2tpv3::split_control_ip(segment).map(|(_, avps)| assert_within(avps, segment));
            walk_session(l2tpv3::split_ip(segment), segment)
        }
        _ => false,
    }
}

fn walk_session(split: Result<(SessionId, &[u8]), l2tpv3::L2tpError>, payload: &[u8]) -> bool {
    let Ok((_, rest)) = split else { return false };
    assert_within(rest, payload);
    let Ok(rest) = Cookie::four([7; 4]).strip(rest) else { return false };
    let Ok((_, inner)) = Sublayer::Default.strip(rest) else { return false };
    assert_within(inner, payload);
    ethernet::read(inner).is_ok()
}

/// An outer frame of every kind: either family, either encapsulation, 0 to 2 tags.
fn valid_frame(v6: bool, over_udp: bool, tags: usize, inner: &[u8]) -> Vec<u8> {
    let tag = VlanTag::service(VlanId::MAX);
    let [near, far] = [1, 2].map(|last| Ipv6Addr::new(0x2001, 0xDB8, 0, 0, 0, 0, 0, last).into());
    let mut spec = FrameSpec { tags: &[tag; 2][..tags], ..FrameSpec::default() };
    if v6 {
        (spec.source_ip, spec.destination_ip) = (near, far);
    }
    spec.transport = if over_udp { Transport::udp(5001, 6001) } else { Transport::L2TP_IP };
    let session = SessionId::new(1000).expect("not zero");
    let header = DataHeader::new(session, Cookie::four([7; 4]), Sublayer::Default);
    let mut out = vec![0; 2048];
    let length = build::l2tp_frame(&mut out, &spec, &header, inner).expect("fits");
    out.truncate(length);
    out
}

#[test]
fn every_cut_of_every_kind_of_frame_is_walked_without_panic() {
    for kind in 0..12 {
        let frame = valid_frame(kind & 1 != 0, kind & 2 != 0, kind / 4, &[0; 14]);
        assert!(walk(&frame), "kind {kind} is read whole");
        for length in 0..frame.len() {
            assert!(!walk(&frame[..length]), "kind {kind}, {length} bytes");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        walk(&bytes);
        walk_ipv4(&bytes);
        walk_ipv6(&bytes);
        walk_transport(ipv4::PROTOCOL_UDP, &bytes);
        walk_transport(ipv4::PROTOCOL_L2TP, &bytes);
        let mut tagged = bytes.clone();
        let _ = ethernet::push_tag(&mut tagged, VlanTag::customer(VlanId::MAX));
        let _ = ethernet::pop_tag(&mut tagged);
    }

    #[test]
    fn damaged_frames_never_panic(
        kind in 0_usize..12,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut frame = valid_frame(kind & 1 != 0, kind & 2 != 0, kind / 4, &[0x5A; 60]);
        for (at, value) in damage {
            // The headers are in front: damage there goes deepest.
            let at = at.index(frame.len().min(100));
            frame[at] = value;
        }
        walk(&frame);
        walk(&frame[..cut.index(frame.len() + 1)]);
    }

    #[test]
    fn random_text_never_panics_the_text_readers(text in ".{0,20}") {
        let _ = text.parse::<MacAddr>();
        let _ = text.parse::<Cookie>();
    }
}
