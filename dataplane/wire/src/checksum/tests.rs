use super::*;
use proptest::prelude::*;

/// The definition, word by word: what the fast sum is held against.
fn plain_fold(bytes: &[u8]) -> u16 {
    let mut total = 0_u32;
    for pair in bytes.chunks(2) {
        total += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        total = (total & 0xFFFF) + (total >> 16);
    }
    u16::try_from(total).unwrap()
}

#[test]
fn rfc_1071_example_sums_to_ddf2() {
    let bytes = [0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7];
    assert_eq!(sum(&bytes).fold(), 0xDDF2);
    assert_eq!(sum(&bytes).finish(), 0x220D);
}

#[test]
fn odd_last_byte_is_the_high_half_of_a_word() {
    assert_eq!(sum(&[0x12]).fold(), 0x1200);
    assert_eq!(sum(&[0x12, 0x34, 0x56]).fold(), 0x6834);
    assert_eq!(sum(&[]).fold(), 0);
}

#[test]
fn data_under_its_checksum_is_valid() {
    let bytes = [0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7, 0x22, 0x0D];
    assert!(sum(&bytes).is_valid());
    assert!(!sum(&bytes[..8]).is_valid());
}

#[test]
fn udp_checksum_0_is_sent_as_ffff() {
    let complement_is_zero = Sum::ZERO.add_u16(0xFFFF);
    assert_eq!(complement_is_zero.finish(), 0);
    assert_eq!(complement_is_zero.finish_udp(), 0xFFFF);
    assert_eq!(Sum::ZERO.add_u16(0xFFFE).finish_udp(), 1);
}

#[test]
fn rfc_1624_example_updates_to_zero() {
    assert_eq!(update_u16(0xDD2F, 0x5555, 0x3285), 0x0000);
}

#[test]
fn carries_out_of_64_bits_come_back_in() {
    let almost = Sum(u64::MAX);
    assert_eq!(almost.plus(Sum(1)).fold(), 1_u16.to_be());
    assert_eq!(almost.plus(almost).fold(), 0xFFFF);
}

#[test]
fn ipv4_pseudo_header_is_the_sum_of_its_twelve_bytes() {
    let literal = [
        192, 0, 2, 1, // source
        198, 51, 100, 2, // destination
        0, 17, // zero, protocol
        0x01, 0x02, // length
    ];
    assert_eq!(pseudo_header_v4([192, 0, 2, 1], [198, 51, 100, 2], 17, 0x0102).fold(), plain_fold(&literal));
}

proptest! {
    #[test]
    fn sum_equals_the_definition(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        prop_assert_eq!(sum(&bytes).fold(), plain_fold(&bytes));
    }

    #[test]
    fn sums_of_even_pieces_add_up(
        bytes in prop::collection::vec(any::<u8>(), 0..256),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(bytes.len() / 2 + 1) * 2;
        prop_assert_eq!((sum(&bytes[..cut]) + sum(&bytes[cut..])).fold(), plain_fold(&bytes));
    }

    #[test]
    fn ipv6_pseudo_header_is_the_sum_of_its_forty_bytes(
        addresses in any::<[[u8; 16]; 2]>(), next_header in any::<u8>(), length in any::<u32>(),
    ) {
        let mut literal = std::vec::Vec::from(addresses.as_flattened());
        literal.extend_from_slice(&length.to_be_bytes());
        literal.extend_from_slice(&[0, 0, 0, next_header]);
        let fast = pseudo_header_v6(&addresses[0], &addresses[1], next_header, length);
        prop_assert_eq!(fast.fold(), plain_fold(&literal));
    }

    #[test]
    fn incremental_update_equals_the_full_checksum(
        mut words in prop::collection::vec(any::<u16>(), 3..32),
        at in any::<prop::sample::Index>(),
        new in any::<u32>(),
    ) {
        // As in an IPv4 header, one word never changes and is not zero.
        words[0] = 0x4500;
        let bytes = |words: &[u16]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<std::vec::Vec<_>>();
        let at = 1 + at.index(words.len() - 2);
        let before = sum(&bytes(&words)).finish();
        let old = u32::from(words[at]) << 16 | u32::from(words[at + 1]);

        let [high, low] = [(new >> 16) as u16, (new & 0xFFFF) as u16];
        words[at] = high;
        let after_one = sum(&bytes(&words)).finish();
        prop_assert_eq!(update_u16(before, (old >> 16) as u16, high), after_one);
        words[at + 1] = low;
        prop_assert_eq!(update_u32(before, old, new), sum(&bytes(&words)).finish());
    }
}

proptest! {
    /// Where bytes are cut, and into how many pieces, does not show in their sum.
    #[test]
    fn pieces_sum_to_the_whole(bytes in proptest::collection::vec(any::<u8>(), 0..300), cuts in proptest::collection::vec(0usize..60, 0..9)) {
        let start = Sum::ZERO.add_u16(0xBEEF);
        let (mut pieces, mut rest) = (Pieces::after(start), bytes.as_slice());
        for cut in cuts {
            let (piece, left) = rest.split_at(cut.min(rest.len()));
            (pieces, rest) = (pieces.with(piece), left);
        }
        prop_assert_eq!(pieces.with(rest).sum().fold(), (start + sum(&bytes)).fold());
    }
}
