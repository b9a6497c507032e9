use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

use Meaning::{Duplicate, Late, Newer, Resync};

/// What a session's counters would say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    newer: u64,
    late: u64,
    duplicates: u64,
    resyncs: u64,
    lost: u64,
}

impl Count {
    fn add(&mut self, observation: Observation) {
        self.lost += u64::from(observation.lost);
        *match observation.meaning {
            Newer => &mut self.newer,
            Late => &mut self.late,
            Duplicate => &mut self.duplicates,
            Resync => &mut self.resyncs,
        } += 1;
    }
}

/// Numbers in turn.
fn count(numbers: impl IntoIterator<Item = u32>) -> Count {
    let (mut state, mut count) = (Observe::default(), Count::default());
    for number in numbers {
        let (after, observation) = state.receive(number);
        assert_eq!(Observe::unpack(after.pack()), after, "packing keeps everything");
        state = after;
        count.add(observation);
    }
    count
}

#[test]
fn an_unbroken_stream_is_newer_only_also_around_the_largest_number() {
    assert_eq!(count((0..1000).map(|n| (n + 0xFF_FE00) & MASK)), Count { newer: 1000, ..Count::default() });
}

#[test]
fn a_number_is_lost_when_the_window_has_passed_it() {
    let without_10 = |end| count((0..end).filter(|n| *n != 10));
    assert_eq!(without_10(10 + WINDOW).lost, 0, "still pending");
    assert_eq!(without_10(10 + WINDOW + 1).lost, 1);
    assert_eq!(without_10(1000).lost, 1, "once");
}

#[test]
fn a_number_that_comes_late_is_not_lost() {
    let late = (0..20).chain([21, 22, 20]).chain(23..200);
    assert_eq!(count(late), Count { newer: 199, late: 1, ..Count::default() });
}

#[test]
fn a_number_that_comes_again_is_a_duplicate_late_ones_too() {
    let twice = [0, 1, 1, 3, 2, 2, 3, 0].into_iter().chain(4..100);
    assert_eq!(count(twice), Count { newer: 99, late: 1, duplicates: 4, ..Count::default() });
}

#[test]
fn what_is_older_than_the_first_packet_is_nobodys_loss() {
    let begin = [100, 99, 98].into_iter().chain(101..300);
    assert_eq!(count(begin), Count { newer: 200, late: 2, ..Count::default() });
}

#[test]
fn a_jump_leaves_out_what_it_jumps_over() {
    for jump in [2, 63, 64, 65, 100, NEAR] {
        let stream = (0..100).chain((0..200).map(|n| 99 + jump + n));
        assert_eq!(count(stream).lost, u64::from(jump) - 1, "{jump}");
    }
}

#[test]
fn a_peer_that_starts_again_is_no_loss() {
    for before in [100, NEAR + 200, 0x7F_FFFF, 0x80_0000, 0xFF_0000] {
        let stream = (before - 100..before).chain(0..100);
        let count = count(stream);
        assert_eq!((count.lost, count.resyncs), (0, 1), "{before}");
        assert_eq!((count.newer, count.late), (194, 5), "{before}");
    }
}

#[test]
fn one_wrong_number_far_away_moves_nothing() {
    let stream = (0..100).chain([0x40_0000]).chain(100..300);
    assert_eq!(count(stream), Count { newer: 300, late: 1, ..Count::default() });
}

/// The same with positions that never wrap, and every position remembered.
#[derive(Default)]
struct Model {
    first: Option<u64>,
    highest: u64,
    came: BTreeSet<u64>,
}

impl Model {
    fn receive(&mut self, position: u64) -> Meaning {
        let first = *self.first.get_or_insert(position);
        let is_newer = self.came.is_empty() || position > self.highest;
        self.highest = self.highest.max(position);
        match self.came.insert(position) {
            false => Duplicate,
            true if is_newer && position >= first => Newer,
            true => Late,
        }
    }

    /// Positions that cannot come any more as far as the window goes, and did not come.
    fn lost(&self) -> u64 {
        let first = self.first.unwrap_or_default();
        let end = (self.highest + 1).saturating_sub(u64::from(WINDOW)).max(first);
        end - first - self.came.range(first..end).count() as u64
    }
}

proptest! {
    #[test]
    fn counts_are_those_of_a_model_that_forgets_nothing(
        first in 0..=u64::from(MASK),
        steps in proptest::collection::vec(prop_oneof![
            8 => Just(1_i64),
            2 => 2_i64..80,
            1 => 80_i64..i64::from(NEAR),
            3 => -70_i64..1,
        ], 1..400),
    ) {
        let (mut model, mut ours, mut lost) = (Model::default(), Observe::default(), 0);
        // Far enough from 0 for steps back.
        let base = first + u64::from(MASK) + 1;
        let mut at = base;
        for step in std::iter::once(0).chain(steps) {
            // Not farther back than the window, and not before the first packet: those have tests of their own.
            let lowest = (model.highest + 1).saturating_sub(u64::from(WINDOW)).max(base);
            at = at.saturating_add_signed(step).max(lowest);
            if at > model.highest && model.first.is_some() {
                at = at.min(model.highest + u64::from(NEAR));
            }
            let (after, observation) = ours.receive((at & u64::from(MASK)).try_into().unwrap());
            ours = after;
            lost += u64::from(observation.lost);
            prop_assert_eq!(observation.meaning, model.receive(at));
            prop_assert_eq!(lost, model.lost());
        }
    }

    #[test]
    fn no_state_is_stuck(first in any::<u64>(), second in any::<u64>(), number in 0..=MASK) {
        let mut state = Observe::unpack([first, second]);
        let meanings: Vec<_> = (0..90)
            .map(|step| {
                let (after, observation) = state.receive((number + step) & MASK);
                state = after;
                observation.meaning
            })
            .collect();
        prop_assert!(meanings[70..].iter().all(|meaning| *meaning == Newer), "{:?}", meanings);
    }
}
