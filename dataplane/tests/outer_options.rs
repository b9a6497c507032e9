//! IPv4 options and IPv6 extension headers on the underlay: stepped over or counted, never taken for something else.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::net::{IpAddr, Ipv6Addr};

use dataplane::verdict::DropReason;
use proptest::prelude::*;
use rig::{
    LAN_0, PEER_B, Plan, Rig, WAN,
    frames::{
        EVERYBODY, PC_1, changed, data_packet, from_peer, inner, lan_frame_of, lengthen, packet_a,
        packet_a_over, packet_b, reseal,
    },
    pieces::pieces,
};
use wire::{
    build::{FrameSpec, Transport},
    l2tpv3::{Cookie, Sublayer},
};

/// What became of a packet: the frames that came out, or the reason.
fn fate(plan: Plan, packet: &[u8]) -> Result<Vec<Vec<u8>>, DropReason> {
    let mut rig = Rig::with(plan);
    rig.deliver(WAN, packet);
    let sent = rig.sent(LAN_0);
    rig.assert_conserved();
    match DropReason::ALL.iter().find(|reason| rig.drops(**reason) > 0) {
        Some(reason) => Err(*reason),
        None => Ok(sent),
    }
}

/// Puts options into the IPv4 header of a packet and makes lengths and checksum right.
fn with_options(mut packet: Vec<u8>, options: &[u8]) -> Vec<u8> {
    assert!(options.len().is_multiple_of(4) && options.len() <= 40);
    packet.splice(34..34, options.iter().copied());
    packet[14] = 0x45 + u8::try_from(options.len() / 4).unwrap();
    lengthen(&mut packet, 16, i16::try_from(options.len()).unwrap());
    reseal(&mut packet);
    packet
}

fn fate_v4(packet: &[u8]) -> Result<Vec<Vec<u8>>, DropReason> {
    fate(Plan::default(), packet)
}

/// Good packets of both sessions, with and without UDP checksum.
fn good() -> [Vec<u8>; 3] {
    [packet_a(&inner()), packet_a_over(Transport::udp(5001, 6001), &inner()), packet_b(&inner())]
}

#[test]
fn options_of_every_length_are_stepped_over() {
    for packet in good() {
        for words in 0..=10 {
            for options in [vec![1; 4 * words], [0x94, 4, 0, 0].repeat(words)] {
                assert_eq!(
                    fate_v4(&with_options(packet.clone(), &options)),
                    Ok(vec![inner()]),
                    "{words} words"
                );
            }
        }
    }
}

#[test]
fn source_routes_and_options_beyond_the_header_are_counted() {
    for packet in good() {
        for kind in [131, 137] {
            let routed = with_options(packet.clone(), &[1, kind, 7, 4, 10, 0, 0, 1]);
            assert_eq!(fate_v4(&routed), Err(DropReason::IpOptions));
        }
        for options in [[7, 5, 0, 0], [7, 1, 0, 0], [1, 1, 1, 7]] {
            let malformed = with_options(packet.clone(), &options);
            assert_eq!(fate_v4(&malformed), Err(DropReason::IpMalformed), "{options:?}");
        }
    }
}

#[test]
fn a_wrong_checksum_shows_in_the_options_too() {
    for packet in good() {
        let mut packet = with_options(packet, &[0x94, 4, 0, 0]);
        packet[37] ^= 1;
        assert_eq!(fate_v4(&packet), Err(DropReason::IpChecksum));
    }
}

#[test]
fn a_header_length_beyond_the_packet_is_malformed() {
    let bare =
        data_packet(&from_peer(PEER_B, Transport::L2TP_IP), 2000, Cookie::NONE, Sublayer::Default, &[]);
    for words in 8..=15 {
        let packet = changed(bare.clone(), |packet| packet[14] = 0x40 | words);
        assert_eq!(fate_v4(&packet), Err(DropReason::IpMalformed), "{words} words");
    }
}

#[test]
fn bytes_of_options_are_never_taken_for_the_l2tp_header() {
    // In the options: what would be session 2000, its sublayer and a frame. Behind them: a session that nobody has.
    let spec = from_peer(PEER_B, Transport::L2TP_IP);
    let unknown = data_packet(&spec, 9999, Cookie::NONE, Sublayer::Default, &inner());
    let mut decoy = vec![0, 0, 7, 0xD0];
    decoy.extend([0; 4]);
    decoy.extend(&inner()[..32]);
    assert_eq!(fate_v4(&with_options(unknown, &decoy)), Err(DropReason::UnknownSession));
}

#[test]
fn fragments_with_options_are_put_together_and_source_routed_ones_are_not() {
    let frame = lan_frame_of(EVERYBODY, PC_1, 300);
    for packet in [packet_a(&frame), packet_b(&frame)] {
        for (options, expected) in [([0x94, 4, 0, 0], Ok(())), ([131, 3, 4, 0], Err(DropReason::IpOptions))] {
            let mut rig = Rig::new();
            let pieces = pieces(&packet, 7, 160);
            pieces.iter().for_each(|piece| rig.deliver(WAN, &with_options(piece.clone(), &options)));
            match expected {
                Ok(()) => assert_eq!(rig.sent(LAN_0), core::slice::from_ref(&frame)),
                Err(reason) => assert_eq!(rig.drops(reason), pieces.len() as u64),
            }
            rig.assert_conserved();
        }
    }
}

const LOCAL_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 6);
const PEER_A_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
const PEER_B_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 10);

fn fate_v6(packet: &[u8]) -> Result<Vec<Vec<u8>>, DropReason> {
    let peers: [IpAddr; 2] = [PEER_A_V6.into(), PEER_B_V6.into()];
    fate(Plan { local: LOCAL_V6.into(), peers, udp_checksum: true, ..Plan::default() }, packet)
}

/// Good packets of both sessions over IPv6; what follows the IPv6 header starts at 54.
fn good_v6() -> [Vec<u8>; 2] {
    let from = |source: Ipv6Addr, transport| FrameSpec {
        source_ip: source.into(),
        destination_ip: LOCAL_V6.into(),
        transport,
        ..FrameSpec::default()
    };
    let over_udp = from(PEER_A_V6, Transport::udp(5001, 6001));
    let cookie = Cookie::eight(rig::COOKIE_A);
    [
        data_packet(&over_udp, 1000, cookie, Sublayer::Default, &inner()),
        data_packet(&from(PEER_B_V6, Transport::L2TP_IP), 2000, Cookie::NONE, Sublayer::Default, &inner()),
    ]
}

/// Puts extension headers between IPv6 header and payload, the first one first: number, and bytes whose first is filled in.
fn with_extensions(mut packet: Vec<u8>, extensions: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut next = packet[20];
    for (number, extension) in extensions.iter().rev() {
        let mut extension = extension.clone();
        extension[0] = next;
        next = *number;
        lengthen(&mut packet, 18, i16::try_from(extension.len()).unwrap());
        packet.splice(54..54, extension);
    }
    packet[20] = next;
    packet
}

fn one(number: u8, extension: [u8; 8]) -> [(u8, Vec<u8>); 1] {
    [(number, extension.to_vec())]
}

/// An options header that may be ignored, of `units` times 8 bytes.
fn padding(units: u8) -> Vec<u8> {
    let mut extension = vec![0; usize::from(units) * 8];
    extension[1] = units - 1;
    extension
}

#[test]
fn extension_headers_of_any_length_and_order_are_stepped_over() {
    for packet in good_v6() {
        for numbers in [vec![0], vec![60], vec![43], vec![44], vec![0, 60, 43, 44, 60], vec![60; 6]] {
            for units in [1, 2, 4] {
                // A fragment header is 8 bytes long; one of zeros is an atomic fragment.
                let length = |number| if number == 44 { 1 } else { units };
                let extensions: Vec<_> =
                    numbers.iter().map(|number| (*number, padding(length(*number)))).collect();
                let fate = fate_v6(&with_extensions(packet.clone(), &extensions));
                assert_eq!(fate, Ok(vec![inner()]), "{numbers:?} of {units} units");
            }
        }
    }
}

#[test]
fn routes_that_go_on_and_options_that_one_must_know_are_counted() {
    for packet in good_v6() {
        let fate = |number, extension| fate_v6(&with_extensions(packet.clone(), &one(number, extension)));
        for kind in [0, 2, 4] {
            assert_eq!(fate(43, [0, 0, kind, 1, 0, 0, 0, 0]), Err(DropReason::IpOptions));
        }
        for number in [0, 60] {
            for kind in [0x40, 0x80, 0xC2, 0xC9] {
                assert_eq!(fate(number, [0, 0, kind, 4, 0, 0, 0, 0]), Err(DropReason::IpOptions));
            }
            assert_eq!(fate(number, [0, 0, 1, 5, 0, 0, 0, 0]), Err(DropReason::IpMalformed));
        }
    }
}

#[test]
fn headers_that_the_engine_does_not_know_end_the_walk() {
    for packet in good_v6() {
        // Authentication, mobility, host identity, Shim6, no next header, an experiment.
        for number in [51, 135, 139, 140, 59, 253] {
            let packet = with_extensions(packet.clone(), &one(number, [0; 8]));
            assert_eq!(fate_v6(&packet), Err(DropReason::NotTunnelProtocol), "{number}");
        }
    }
}

#[test]
fn bytes_of_extension_headers_are_never_taken_for_the_l2tp_header() {
    let [_, packet] = good_v6();
    let unknown = {
        let mut packet = packet;
        packet[54..58].copy_from_slice(&9999_u32.to_be_bytes());
        packet
    };
    // A destination options header whose start reads as session 1852 and whose options hold session 2000.
    let mut decoy = vec![0, 5, 4, 44, 0, 0, 7, 0xD0];
    decoy.extend([0; 4]);
    decoy.extend(&inner()[..36]);
    let packet = with_extensions(unknown, &[(60, decoy)]);
    assert_eq!(fate_v6(&packet), Err(DropReason::UnknownSession));
}

proptest! {
    #[test]
    fn whatever_stands_in_options_the_frame_comes_out_whole_or_not_at_all(
        which in 0_usize..3,
        words in prop::collection::vec(any::<[u8; 4]>(), 0..=10),
    ) {
        if let Ok(frames) = fate_v4(&with_options(good()[which].clone(), &words.concat())) {
            prop_assert_eq!(frames, [inner()]);
        }
    }

    #[test]
    fn whatever_stands_in_extension_headers_the_frame_comes_out_whole_or_not_at_all(
        which in 0_usize..2,
        extensions in prop::collection::vec(
            (
                prop_oneof![Just(0_u8), Just(43), Just(44), Just(60), any::<u8>()],
                prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(60), any::<u8>()], 8..=40),
            ),
            0..4,
        ),
    ) {
        if let Ok(frames) = fate_v6(&with_extensions(good_v6()[which].clone(), &extensions)) {
            // Nothing: it is a fragment now, whose others do not come.
            prop_assert!(frames.is_empty() || frames == [inner()], "{frames:?}");
        }
    }
}
