use super::*;
use etherparse::{PacketBuilder, PacketBuilderStep, TcpOptionElement, TransportSlice, UdpHeader, VlanId};
use proptest::prelude::*;

/// [`super::run`] on the bytes of a frame in one chunk.
fn run(frame: &mut [u8], limit: MssLimit) -> bool {
    limit != MssLimit::Unlimited && may_be_syn(frame) && clamp(frame, 0, limit)
}

const MACS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

/// A TCP segment in a frame, as another implementation builds it.
fn frame(is_ipv6: bool, tags: usize, is_syn: bool, options: &[TcpOptionElement], payload: &[u8]) -> Vec<u8> {
    let link = PacketBuilder::ethernet2(MACS[0], MACS[1]);
    let vid = |vid| VlanId::try_new(vid).unwrap();
    let ip = match (tags, is_ipv6) {
        (0, false) => link.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64),
        (1, false) => link.single_vlan(vid(10)).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64),
        (_, false) => link.double_vlan(vid(20), vid(10)).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64),
        (0, true) => link.ipv6([0xFD; 16], [0xFE; 16], 64),
        (1, true) => link.single_vlan(vid(10)).ipv6([0xFD; 16], [0xFE; 16], 64),
        (_, true) => link.double_vlan(vid(20), vid(10)).ipv6([0xFD; 16], [0xFE; 16], 64),
    };
    let mut tcp = ip.tcp(40_000, 80, 1, 64_000);
    if is_syn {
        tcp = tcp.syn();
    }
    written(tcp.options(options).unwrap(), payload)
}

fn written(step: PacketBuilderStep<etherparse::TcpHeader>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    step.write(&mut bytes, payload).unwrap();
    bytes
}

/// The MSS that the judge reads, and whether it finds the checksum right.
fn judged(frame: &[u8]) -> (Option<u16>, bool) {
    let sliced = etherparse::SlicedPacket::from_ethernet(frame).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = &sliced.transport else { panic!("no TCP") };
    let mss = tcp.options_iterator().find_map(|option| match option {
        Ok(TcpOptionElement::MaximumSegmentSize(mss)) => Some(mss),
        _ => None,
    });
    let header = tcp.to_header();
    let expected = match sliced.net.as_ref().unwrap() {
        etherparse::NetSlice::Ipv4(ip) => {
            header.calc_checksum_ipv4_raw(ip.header().source(), ip.header().destination(), tcp.payload())
        }
        etherparse::NetSlice::Ipv6(ip) => {
            header.calc_checksum_ipv6_raw(ip.header().source(), ip.header().destination(), tcp.payload())
        }
        etherparse::NetSlice::Arp(_) => panic!("no IP"),
    };
    (mss, expected.unwrap() == header.checksum)
}

/// Path 1500 over UDP with sublayer.
const LIMIT: MssLimit = MssLimit::Frame(1460);
const MSS_1460: TcpOptionElement = TcpOptionElement::MaximumSegmentSize(1460);

#[test]
fn a_syn_is_clamped_to_what_is_left_behind_its_headers() {
    for (is_ipv6, tags, expected) in [
        (false, 0, 1406),
        (false, 1, 1402),
        (false, 2, 1398),
        (true, 0, 1386),
        (true, 1, 1382),
        (true, 2, 1378),
    ] {
        let mut bytes = frame(is_ipv6, tags, true, &[MSS_1460], &[]);
        assert!(run(&mut bytes, LIMIT), "IPv6 {is_ipv6}, {tags} tags");
        assert_eq!(judged(&bytes), (Some(expected), true), "IPv6 {is_ipv6}, {tags} tags");
        assert!(!run(&mut bytes, LIMIT), "once is enough");
    }
}

#[test]
fn without_a_limit_no_frame_is_touched() {
    let before = frame(false, 0, true, &[MSS_1460], &[]);
    let mut after = before.clone();
    assert!(!run(&mut after, MssLimit::Unlimited));
    assert_eq!(after, before);
}

#[test]
fn a_syn_behind_ipv4_options_or_ipv6_extensions_is_found() {
    let plain = frame(false, 0, true, &[MSS_1460], &[]);
    let mut bytes = plain[..14 + 20].to_vec();
    bytes[14] = 0x46;
    bytes[17] += 4; // total length
    bytes.extend([148, 4, 0, 0]); // router alert
    bytes.extend(&plain[14 + 20..]);
    assert!(run(&mut bytes, LIMIT));
    assert_eq!(bytes[14 + 24 + 22..14 + 24 + 24], 1406_u16.to_be_bytes());

    let plain = frame(true, 0, true, &[MSS_1460], &[]);
    let mut bytes = plain[..14 + 40].to_vec();
    bytes[14 + 6] = 60; // destination options
    bytes[14 + 5] += 8; // payload length
    bytes.extend([6, 0, 1, 4, 0, 0, 0, 0]); // then TCP; padding
    bytes.extend(&plain[14 + 40..]);
    assert!(run(&mut bytes, LIMIT));
    assert_eq!(bytes[14 + 48 + 22..14 + 48 + 24], 1386_u16.to_be_bytes());
}

#[test]
fn fragments_are_not_touched() {
    for flags in [[0x20, 0x00], [0x00, 0x01]] {
        let mut bytes = frame(false, 0, true, &[MSS_1460], &[]);
        bytes[14 + 6..14 + 8].copy_from_slice(&flags);
        assert!(!run(&mut bytes, LIMIT), "{flags:?}");
    }
    let plain = frame(true, 0, true, &[MSS_1460], &[]);
    let mut bytes = plain[..14 + 40].to_vec();
    bytes[14 + 6] = 44; // fragment header
    bytes[14 + 5] += 8;
    bytes.extend([6, 0, 0, 1, 0, 0, 0, 7]); // then TCP; offset 0, more fragments
    bytes.extend(&plain[14 + 40..]);
    assert!(!run(&mut bytes.clone(), LIMIT));
    bytes[14 + 40 + 3] = 0; // an atomic fragment is whole (RFC 6946)
    assert!(run(&mut bytes, LIMIT));
}

#[test]
fn the_padding_of_a_short_frame_is_not_taken_for_options() {
    // The header states options of which the packet ends before, and the padding looks like an MSS.
    let mut bytes = frame(false, 0, true, &[], &[]);
    bytes[14 + 20 + 12] = 0x60; // six words
    bytes.extend([2, 4, 0x23, 0x28, 0, 0]);
    assert!(!run(&mut bytes, LIMIT));
}

#[test]
fn other_protocols_do_not_get_beyond_the_first_look() {
    let mut udp = Vec::new();
    PacketBuilder::ethernet2(MACS[0], MACS[1])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .udp(2, 0x0202)
        .write(&mut udp, &[0xFF; 40])
        .unwrap();
    assert!(udp.len() > 14 + 20 + UdpHeader::LEN && !may_be_syn(&udp));
    assert!(!may_be_syn(&frame(false, 0, false, &[MSS_1460], &[])), "no SYN");
    assert!(!may_be_syn(&frame(true, 2, false, &[MSS_1460], &[])), "no SYN");
    assert!(may_be_syn(&frame(true, 2, true, &[], &[])));
    for length in 0..34 {
        assert!(!may_be_syn(&vec![0xFF; length]));
    }
}

proptest! {
    #[test]
    fn every_syn_is_clamped_and_nothing_else_is(
        is_ipv6 in any::<bool>(), tags in 0_usize..=2, is_syn in any::<bool>(), mss in any::<u16>(),
        nops in 0_usize..4, payload in prop::collection::vec(any::<u8>(), 0..64), largest in 100_u16..9000,
    ) {
        let mut options = vec![TcpOptionElement::Noop; nops];
        options.push(TcpOptionElement::MaximumSegmentSize(mss));
        let before = frame(is_ipv6, tags, is_syn, &options, &payload);
        let mut after = before.clone();
        let is_changed = run(&mut after, MssLimit::Frame(largest));
        let headers = 14 + 4 * u16::try_from(tags).unwrap() + if is_ipv6 { 60 } else { 40 };
        let limit = largest.saturating_sub(headers).max(48);
        prop_assert_eq!(is_changed, is_syn && mss > limit);
        prop_assert_eq!(judged(&after), (Some(if is_syn { mss.min(limit) } else { mss }), true));
        prop_assert_eq!(before == after, !is_changed);
    }

    #[test]
    fn any_bytes_are_taken(mut bytes in prop::collection::vec(any::<u8>(), 0..120), ip in any::<bool>()) {
        if bytes.len() > 24 {
            bytes[12..14].copy_from_slice(if ip { &[0x08, 0x00] } else { &[0x86, 0xDD] });
            bytes[14] = if ip { 0x45 } else { 0x60 };
            bytes[if ip { 23 } else { 20 }] = 6;
        }
        let before = bytes.clone();
        prop_assert_eq!(run(&mut bytes, LIMIT), bytes != before);
    }
}
