use super::*;
use crate::checksum::{pseudo_header_v4, sum};
use etherparse::{TcpHeaderSlice, TcpOptionElement};
use proptest::prelude::*;
use std::vec::Vec;

/// A SYN with MSS 1460, window scale 7 behind a no-operation, and SACK permitted.
const SYN: [u8; 32] = [
    0x9C, 0x40, // source port 40000
    0x00, 0x50, // destination port 80
    0x00, 0x00, 0x00, 0x01, // sequence number
    0x00, 0x00, 0x00, 0x00, // acknowledgement number
    0x80, // header of 8 words
    0x02, // SYN
    0xFA, 0xF0, // window
    0x00, 0x00, // checksum, filled in by `sealed`
    0x00, 0x00, // urgent pointer
    0x02, 0x04, 0x05, 0xB4, // MSS 1460
    0x01, 0x03, 0x03, 0x07, // no operation, window scale 7
    0x04, 0x02, // SACK permitted
    0x00, 0x00, // end of options, padding
];

fn checksum_of(segment: &[u8]) -> u16 {
    let length = u16::try_from(segment.len()).unwrap();
    (pseudo_header_v4([192, 0, 2, 1], [192, 0, 2, 2], 6, length) + sum(segment)).fold()
}

/// The segment with its checksum filled in.
fn sealed(segment: &[u8]) -> Vec<u8> {
    let mut segment = segment.to_vec();
    segment[16..18].fill(0);
    let checksum = !checksum_of(&segment);
    segment[16..18].copy_from_slice(&checksum.to_be_bytes());
    segment
}

/// A SYN with these options, padded to whole words.
fn syn_with(options: &[u8]) -> Vec<u8> {
    let mut segment = SYN[..20].to_vec();
    segment.extend_from_slice(options);
    while !segment.len().is_multiple_of(4) {
        segment.push(0);
    }
    segment[12] = u8::try_from(segment.len() / 4).unwrap() << 4;
    sealed(&segment)
}

/// Every MSS that the judge reads.
fn judged_mss(segment: &[u8]) -> Vec<u16> {
    let header = TcpHeaderSlice::from_slice(segment).unwrap();
    let values = header.options_iterator().map_while(Result::ok).filter_map(|option| match option {
        TcpOptionElement::MaximumSegmentSize(value) => Some(value),
        _ => None,
    });
    values.collect()
}

#[test]
fn a_larger_mss_is_lowered_and_nothing_else_changes() {
    let before = sealed(&SYN);
    let mut after = before.clone();
    assert!(clamp_mss(&mut after, 1406));
    let mut expected = before.clone();
    expected[22..24].copy_from_slice(&[0x05, 0x7E]); // 1406
    expected[16..18].copy_from_slice(&after[16..18]);
    assert_eq!(after, expected);
    assert_eq!(checksum_of(&after), 0xFFFF);
    assert_eq!(judged_mss(&after), [1406]);
}

#[test]
fn an_mss_that_fits_stays() {
    for largest in [1460, 1461, u16::MAX] {
        let mut segment = sealed(&SYN);
        assert!(!clamp_mss(&mut segment, largest));
        assert_eq!(segment, sealed(&SYN));
    }
}

#[test]
fn without_syn_or_without_the_option_nothing_changes() {
    let mut acknowledgement = SYN;
    acknowledgement[13] = 0x10; // ACK
    let segments =
        [sealed(&acknowledgement), syn_with(&[]), syn_with(&[3, 3, 7]), syn_with(&[0, 2, 4, 5, 0xB4])];
    for before in segments {
        let mut after = before.clone();
        assert!(!clamp_mss(&mut after, 536));
        assert_eq!(after, before);
    }
}

#[test]
fn an_answer_to_a_syn_is_clamped_too() {
    let mut segment = SYN;
    segment[13] = 0x12; // SYN and ACK
    assert!(clamp_mss(&mut sealed(&segment), 1400));
}

#[test]
fn an_option_at_an_odd_offset_keeps_the_checksum_right() {
    let mut segment = syn_with(&[1, 2, 4, 0x23, 0x28]); // no operation, MSS 9000
    assert!(clamp_mss(&mut segment, 1400));
    assert_eq!((judged_mss(&segment), checksum_of(&segment)), (std::vec![1400], 0xFFFF));
}

#[test]
fn an_option_that_stands_twice_is_lowered_twice() {
    let mut segment = syn_with(&[2, 4, 0x23, 0x28, 1, 2, 4, 0x05, 0xB4, 2, 4, 0x02, 0x18]); // 9000, 1460, 536
    assert!(clamp_mss(&mut segment, 1400));
    assert_eq!((judged_mss(&segment), checksum_of(&segment)), (std::vec![1400, 1400, 536], 0xFFFF));
}

#[test]
fn options_that_overrun_or_have_no_length_end_the_search() {
    // Each has an MSS behind the broken option, which no receiver finds either.
    for options in
        [[3, 0, 2, 4, 0x23, 0x28, 0, 0], [3, 1, 2, 4, 0x23, 0x28, 0, 0], [3, 9, 2, 4, 0x23, 0x28, 0, 0]]
    {
        let before = syn_with(&options);
        let mut after = before.clone();
        assert!(!clamp_mss(&mut after, 1400), "{options:?}");
        assert_eq!(after, before);
    }
    let mut cut = syn_with(&[1, 2, 4, 5]); // the value ends with the header
    assert!(!clamp_mss(&mut cut, 536));
    let mut short = syn_with(&[2, 3, 0xFF, 1]); // an MSS of one byte is none
    assert!(!clamp_mss(&mut short, 536));
}

#[test]
fn a_header_that_is_cut_or_states_too_little_is_refused() {
    let segment = sealed(&SYN);
    for length in 0..segment.len() {
        assert_eq!(split(&segment[..length]), Err(TcpError::Truncated), "{length} bytes");
        assert!(!clamp_mss(&mut segment.clone()[..length], 536), "{length} bytes");
    }
    for words in 0..5 {
        let mut segment = segment.clone();
        segment[12] = words << 4;
        assert_eq!(split(&segment), Err(TcpError::HeaderLength));
    }
    let (header, options, payload) = split(&segment).unwrap();
    assert_eq!((header.source_port.get(), header.destination_port.get()), (40000, 80));
    assert_eq!((options, payload.len()), (&SYN[20..], 0));
}

fn any_option() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(std::vec![1]),
        any::<[u8; 2]>().prop_map(|[a, b]| std::vec![2, 4, a, b]),
        Just(std::vec![3, 3, 7]),
        Just(std::vec![4, 2]),
        any::<[u8; 8]>().prop_map(|stamps| [&[8, 10][..], &stamps].concat()),
    ]
}

proptest! {
    #[test]
    fn clamping_is_what_the_judge_would_do(
        options in prop::collection::vec(any_option(), 0..6), payload in prop::collection::vec(any::<u8>(), 0..32),
        largest in any::<u16>(), flags in any::<u8>(),
    ) {
        let mut options = options.concat();
        options.truncate(40);
        let mut before = syn_with(&options);
        before[13] = flags;
        before.extend(payload);
        let before = sealed(&before);
        let mut after = before.clone();
        let is_changed = clamp_mss(&mut after, largest);
        let is_syn = flags & FLAG_SYN != 0;
        let lowered = judged_mss(&before).into_iter().map(|mss| if is_syn { mss.min(largest) } else { mss });
        prop_assert_eq!(judged_mss(&after), lowered.collect::<Vec<_>>());
        prop_assert_eq!(is_changed, before != after);
        prop_assert!(checksum_of(&after) == 0xFFFF || checksum_of(&before) != 0xFFFF);
        prop_assert_eq!(before.len(), after.len());
    }

    #[test]
    fn any_bytes_are_taken(mut bytes in prop::collection::vec(any::<u8>(), 0..80), largest in any::<u16>()) {
        let before = bytes.clone();
        let is_changed = clamp_mss(&mut bytes, largest);
        prop_assert_eq!(is_changed, bytes != before);
    }
}
