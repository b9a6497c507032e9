use super::*;
use proptest::prelude::*;

/// The kernel's algorithm, statement by statement, without its queue: what is queued without a reorder timeout is taken out
/// at once. Linux 6.12 `net/l2tp/l2tp_core.c`: `l2tp_seq_check_rx_window`, `l2tp_recv_data_seq`, `l2tp_recv_dequeue`,
/// `l2tp_recv_dequeue_skb`, `l2tp_session_create`.
#[derive(Debug)]
struct Kernel {
    nr: u32,
    nr_oos: u32,
    nr_oos_count: i32,
    reorder_skip: bool,
}

const NR_MAX: u32 = 0xFF_FFFF;
const NR_WINDOW_SIZE: u32 = NR_MAX / 2;
const NR_OOS_COUNT_MAX: i32 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KernelFate {
    Delivered,
    OutsideWindow,
    Discarded,
}

impl Kernel {
    /// `l2tp_session_create`: "Use NR of first received packet".
    fn new() -> Self {
        Self { nr: 0, nr_oos: 0, nr_oos_count: 0, reorder_skip: true }
    }

    fn is_in_window(&self, nr: u32) -> bool {
        let nws = if nr >= self.nr { nr - self.nr } else { (NR_MAX + 1) - (self.nr - nr) };
        nws < NR_WINDOW_SIZE
    }

    fn receive(&mut self, ns: u32) -> KernelFate {
        if !self.is_in_window(ns) {
            return KernelFate::OutsideWindow;
        }
        if ns != self.nr {
            let nr_next = (self.nr_oos + 1) & NR_MAX;
            if ns == nr_next {
                self.nr_oos_count += 1;
            } else {
                self.nr_oos_count = 0;
            }
            self.nr_oos = ns;
            if self.nr_oos_count > NR_OOS_COUNT_MAX {
                self.reorder_skip = true;
            }
            if !self.reorder_skip {
                return KernelFate::Discarded;
            }
        }
        if self.reorder_skip {
            self.reorder_skip = false;
            self.nr = ns;
        }
        self.nr = (self.nr + 1) & NR_MAX;
        KernelFate::Delivered
    }
}

/// Fates of numbers in turn.
fn fates(numbers: impl IntoIterator<Item = u32>) -> Vec<Fate> {
    let mut state = Strict::default();
    let mut take = |number| {
        let (after, fate) = state.receive(number);
        state = Strict::unpack(after.pack());
        assert_eq!(state, after, "packing keeps everything");
        fate
    };
    numbers.into_iter().map(&mut take).collect()
}

/// How many are accepted, in order or not.
fn accepted(fates: &[Fate]) -> usize {
    fates.iter().filter(|fate| **fate != Fate::OutOfOrder).count()
}

use Fate::{InOrder, OutOfOrder, Resync};

#[test]
fn the_first_packet_sets_the_expectation_whatever_its_number() {
    for first in [0, 1, 0x7F_FFFE, 0x7F_FFFF, 0x80_0000, 0xFF_FFFF] {
        assert_eq!(fates([first, next(first), next(first)]), [InOrder, InOrder, OutOfOrder], "{first}");
    }
}

#[test]
fn the_first_packet_is_the_last_of_a_row_as_in_the_kernel() {
    // Found by the property below: 1 seemed to follow a packet 0 that never was, after a peer that began again near the end.
    let begin = [1].into_iter().chain(0xFF_FFF9..=0xFF_FFFE).chain(1..8);
    let fates = fates(begin);
    let dropped = [OutOfOrder; 5];
    assert_eq!(fates, [&[InOrder][..], &dropped, &[Resync], &dropped, &[Resync, InOrder]].concat());
}

#[test]
fn numbers_begin_again_at_0_after_the_largest() {
    assert_eq!(fates([0xFF_FFFE, 0xFF_FFFF, 0, 1]), [InOrder; 4]);
}

#[test]
fn one_lost_packet_costs_the_five_behind_it() {
    let fates = fates([0, 1, 3, 4, 5, 6, 7, 8, 9, 10]);
    let dropped = [OutOfOrder; 5];
    assert_eq!(fates, [&[InOrder, InOrder][..], &dropped, &[Resync, InOrder, InOrder]].concat());
}

#[test]
fn a_gap_within_the_row_begins_it_anew() {
    let fates = fates([0, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15]);
    let dropped = [OutOfOrder; 10];
    assert_eq!(fates, [&[InOrder][..], &dropped, &[Resync, InOrder]].concat());
}

#[test]
fn duplicates_of_a_running_session_are_dropped_and_never_believed() {
    // Every packet comes again, ten packets later.
    let stream = (10..1000).flat_map(|number| [number, number - 10]);
    let fates = fates((0..10).chain(stream));
    assert_eq!((accepted(&fates), fates.iter().filter(|fate| **fate == Resync).count()), (1000, 0));
}

#[test]
fn a_playback_is_dropped_as_long_as_the_session_runs() {
    let mut state = Strict::default();
    for number in 0..5000 {
        let (after, fate) = state.receive(number);
        assert_eq!(fate, InOrder);
        // Three packets of a recording that began at 0, between any two real ones.
        state = (0..3).fold(after, |state, step| {
            let (after, fate) = state.receive((number * 3 + step) % number.max(1));
            assert_eq!(fate, OutOfOrder);
            after
        });
    }
}

#[test]
fn a_peer_that_starts_again_at_0_is_heard_from_its_sixth_packet_on() {
    for before in [10, 5000, 0x7F_FFFF, 0x80_0000, 0xC0_0000] {
        let fates = fates([before - 1, before].into_iter().chain(0..8));
        let dropped = [OutOfOrder; 5];
        assert_eq!(
            fates,
            [&[InOrder, InOrder][..], &dropped, &[Resync, InOrder, InOrder]].concat(),
            "{before}"
        );
    }
}

#[test]
fn the_kernel_does_not_hear_such_a_peer_and_that_is_where_we_differ() {
    let mut kernel = Kernel::new();
    assert!((0..5000).all(|number| kernel.receive(number) == KernelFate::Delivered));
    assert!((0..5000).all(|number| kernel.receive(number) == KernelFate::OutsideWindow));
    assert_eq!(kernel.receive(5000), KernelFate::Delivered);
}

/// Where a packet's number stands to the one before it.
fn steps() -> impl Strategy<Value = Vec<u32>> {
    let step = prop_oneof![
        12 => Just(1_u32),
        2 => 0_u32..9,
        2 => (1_u32..12).prop_map(|back| (MASK + 1) - back),
        1 => any::<u32>().prop_map(|any| any & MASK),
        1 => prop_oneof![Just(WINDOW - 1), Just(WINDOW), Just(WINDOW + 1), Just(MASK)],
    ];
    proptest::collection::vec(step, 1..300)
}

proptest! {
    #[test]
    fn fates_are_the_kernels_but_for_rows_from_behind(first in 0..NR_WINDOW_SIZE, steps in steps()) {
        let (mut ours, mut kernel) = (Strict::default(), Kernel::new());
        let mut number = first;
        // Numbers from behind since the last accepted packet.
        let mut behind: Vec<u32> = Vec::new();
        for step in [0].into_iter().chain(steps) {
            number = (number + step) & MASK;
            let (after, fate) = ours.receive(number);
            ours = after;
            let expected = match kernel.receive(number) {
                KernelFate::Delivered => None,
                KernelFate::Discarded => Some(OutOfOrder),
                KernelFate::OutsideWindow => {
                    behind.push(number);
                    let row = behind.iter().rev().take(6);
                    let is_row = behind.len() >= 6 && row.clone().zip(row.skip(1)).all(|(b, a)| *b == next(*a));
                    // From here on the kernel would go another way: it is brought where we are.
                    if is_row {
                        kernel.nr = next(number);
                    }
                    Some(if is_row { Resync } else { OutOfOrder })
                }
            };
            match expected {
                Some(expected) => prop_assert_eq!(fate, expected),
                None => prop_assert_ne!(fate, OutOfOrder),
            }
            if fate != OutOfOrder {
                behind.clear();
            }
            prop_assert_eq!(ours.expected, kernel.nr);
        }
    }

    #[test]
    fn no_state_is_stuck(first in any::<u64>(), second in any::<u64>(), number in 0..=MASK) {
        let mut state = Strict::unpack([first, second]);
        let fates: Vec<_> = (0..20)
            .map(|step| {
                let (after, fate) = state.receive((number + step) & MASK);
                state = after;
                fate
            })
            .collect();
        prop_assert!(fates[12..].iter().all(|fate| *fate == InOrder), "{:?}", fates);
    }
}
