use super::*;
use crate::ipv4::{split, verify_checksum};
use etherparse::Ipv4HeaderSlice;
use proptest::prelude::*;
use std::vec::Vec;

const PC: [u8; 4] = [10, 200, 101, 1];
const SERVER: [u8; 4] = [10, 200, 101, 2];

/// A packet of identification 7 with these flags and options.
fn packet(flags_fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut header = Ipv4Header::new(PC, SERVER, 17, options.len() + payload.len()).unwrap();
    header.version_ihl = 0x45 + u8::try_from(options.len() / 4).unwrap();
    header.identification = U16::new(7);
    header.flags_fragment = U16::new(flags_fragment);
    header.seal(options);
    let mut bytes = std::vec![0; 20];
    header.write(options, &mut [0; 60]).unwrap();
    bytes.resize(20 + options.len() + payload.len(), 0);
    header.write(options, &mut bytes).unwrap().copy_from_slice(payload);
    bytes
}

fn counting(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect()
}

/// The fragments' packets.
fn cut(packet: &[u8], mtu: usize) -> Result<Vec<Vec<u8>>, Ipv4Error> {
    let (header, options, payload) = split(packet)?;
    let written = |fragment: Fragment<'_>| {
        let mut bytes = std::vec![0; fragment.packet_bytes()];
        assert_eq!(fragment.write(&mut bytes), Ok(&mut [][..]));
        bytes
    };
    Ok(Fragments::new(header, options, payload, mtu)?.map(written).collect())
}

#[test]
fn a_packet_of_30_bytes_payload_is_cut_into_these() {
    let fragments = cut(&packet(0, &[], &counting(30)), 36).unwrap();
    let headers: Vec<_> = fragments.iter().map(|f| (f[..10].to_vec(), f[20..].to_vec())).collect();
    let expected = [
        (std::vec![0x45, 0, 0, 36, 0, 7, 0x20, 0, 64, 17], counting(30)[..16].to_vec()), // 16 bytes, more
        (std::vec![0x45, 0, 0, 34, 0, 7, 0x00, 2, 64, 17], counting(30)[16..].to_vec()), // 14 bytes at 2 units
    ];
    assert_eq!(headers, expected);
}

#[test]
fn a_packet_that_fits_is_its_own_only_fragment() {
    let whole = packet(0, &[1, 1, 1, 0], &counting(30));
    assert_eq!(cut(&whole, 54).unwrap(), std::slice::from_ref(&whole));
    assert_eq!(cut(&whole, 53).unwrap().len(), 2);
    assert_eq!(cut(&packet(0, &[], &[]), 28).unwrap(), [packet(0, &[], &[])]);
}

#[test]
fn only_options_with_the_copied_flag_stand_in_later_fragments() {
    // Record route (7, not copied) of 4 bytes, no operation, loose source route (131, copied) of 7 bytes.
    let options = [7, 4, 4, 0, 1, 131, 7, 4, 10, 0, 0, 1];
    let fragments = cut(&packet(0, &options, &counting(64)), 48).unwrap();
    assert_eq!(fragments[0][20..32], options);
    for later in &fragments[1..] {
        assert_eq!(later[0], 0x47, "20 bytes and 8 of options");
        assert_eq!(later[20..28], [131, 7, 4, 10, 0, 0, 1, 0], "filled up");
    }
    assert_eq!(fragments[0].len(), 48, "16 bytes of payload");
    assert_eq!(fragments[1].len(), 44, "16 bytes of payload: 20 would fit, but not in whole units");
}

#[test]
fn options_that_overrun_are_not_cut() {
    for options in [[7, 5, 4, 0], [131, 1, 4, 0], [131, 0, 0, 0], [1, 1, 1, 7]] {
        assert_eq!(cut(&packet(0, &options, &counting(64)), 48), Err(Ipv4Error::Options), "{options:?}");
    }
}

#[test]
fn a_fragment_is_cut_further() {
    // More fragments, at 100 units.
    let fragments = cut(&packet(0x2000 | 100, &[], &counting(24)), 36).unwrap();
    let flags: Vec<_> = fragments.iter().map(|f| u16::from_be_bytes([f[6], f[7]])).collect();
    assert_eq!(flags, [0x2000 | 100, 0x2000 | 102], "more follow the last one, too");
    let last = cut(&packet(100, &[], &counting(24)), 36).unwrap();
    assert_eq!(last[1][6..8], [0, 102]);
}

#[test]
fn what_would_end_behind_the_longest_packet_is_not_cut() {
    assert_eq!(cut(&packet(0x1FFF, &[], &counting(24)), 36), Err(Ipv4Error::TooLong));
}

#[test]
fn an_mtu_without_room_for_one_unit_is_refused() {
    assert_eq!(cut(&packet(0, &[], &counting(30)), 27), Err(Ipv4Error::NoRoom));
    assert_eq!(cut(&packet(0, &[], &counting(30)), 28).unwrap().len(), 4);
}

#[test]
fn a_buffer_that_is_too_short_is_not_written_beyond() {
    let whole = packet(0, &[], &counting(30));
    let (header, options, payload) = split(&whole).unwrap();
    let fragment = Fragments::new(header, options, payload, 1500).unwrap().next().unwrap();
    for length in 0..50 {
        assert_eq!(fragment.write(&mut std::vec![0; length]), Err(Ipv4Error::NoRoom));
    }
}

proptest! {
    #[test]
    fn fragments_fit_and_together_are_the_packet(
        payload in prop::collection::vec(any::<u8>(), 0..3000), mtu in 68_usize..1600,
        words in 0_usize..=10, flags in prop_oneof![Just(0_u16), Just(0x2000)], offset in 0_u16..4000,
    ) {
        let payload = if flags & 0x2000 == 0 { payload } else { payload[..payload.len() / 8 * 8].to_vec() };
        // Router alert (148, copied), then one record route of what is left.
        let mut options = std::vec![148, 4, 0, 0];
        options.extend([7, u8::try_from(words.max(2) * 4 - 4).unwrap().max(3)]);
        options.resize(words.max(2) * 4, 0);
        let options = if words == 0 { std::vec![] } else { options };
        let whole = packet(flags | offset, &options, &payload);
        let fragments = cut(&whole, mtu).unwrap();
        let mut together = Vec::new();
        for (number, fragment) in fragments.iter().enumerate() {
            prop_assert!(fragment.len() <= mtu);
            let judged = Ipv4HeaderSlice::from_slice(fragment).unwrap();
            prop_assert_eq!(judged.header_checksum(), judged.to_header().calc_header_checksum());
            let (header, options, data) = split(fragment).unwrap();
            prop_assert_eq!(verify_checksum(header, options), Ok(()));
            prop_assert_eq!(header.fragment_offset_bytes(), usize::from(offset) * 8 + together.len());
            let is_last = number + 1 == fragments.len();
            prop_assert_eq!(judged.more_fragments(), !is_last || flags & 0x2000 != 0);
            prop_assert!(is_last || data.len() % 8 == 0);
            prop_assert_eq!((judged.identification(), judged.ttl(), judged.protocol().0), (7, 64, 17));
            together.extend_from_slice(data);
        }
        prop_assert_eq!(together, payload);
    }
}
