//! Tests of rings in plain memory: against a queue model, and between two threads.

use std::collections::VecDeque;
use std::thread;

use proptest::prelude::*;

use super::*;

/// One act at either end of a ring.
#[derive(Debug, Clone, Copy)]
enum Act {
    Push(u8),
    Publish,
    Pop(u8),
    /// Up to so many at once, of which the other side has or wants as many as the second says.
    PushWhile(u8, u8),
    PopWhile(u8, u8),
    Release,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (1u8..20).prop_map(Act::Push),
        Just(Act::Publish),
        (1u8..20).prop_map(Act::Pop),
        (0u8..20, 0u8..20).prop_map(|(count, given)| Act::PushWhile(count, given)),
        (0u8..20, 0u8..20).prop_map(|(count, wanted)| Act::PopWhile(count, wanted)),
        Just(Act::Release)
    ]
}

/// What the ring should hold: entries by where they are on their way.
#[derive(Default)]
struct Model {
    written: VecDeque<u64>,
    visible: VecDeque<u64>,
    /// Read, but their slots not yet released.
    read: usize,
    pushed: u64,
}

impl Model {
    fn taken(&self) -> usize {
        self.written.len() + self.visible.len() + self.read
    }
}

/// Does one act on ring and model; both must agree.
fn step(act: Act, (producer, consumer): &mut HeapEnds<u64>, model: &mut Model) -> Result<(), TestCaseError> {
    match act {
        Act::Push(count) => {
            for _ in 0..count {
                let fits = model.taken() < producer.size() as usize;
                prop_assert_eq!(producer.push(model.pushed).is_ok(), fits);
                if fits {
                    model.written.push_back(model.pushed);
                    model.pushed += 1;
                }
            }
        }
        Act::Publish => {
            prop_assert_eq!(producer.publish() as usize, model.written.len());
            model.visible.append(&mut model.written);
        }
        Act::Pop(count) => {
            for _ in 0..count {
                let expected = model.visible.pop_front();
                prop_assert_eq!(consumer.pop(), expected);
                model.read += usize::from(expected.is_some());
            }
        }
        Act::PushWhile(count, given) => {
            let room = producer.size() as usize - model.taken();
            let fits = usize::from(count.min(given)).min(room);
            let mut entries = (model.pushed..).take(given.into());
            prop_assert_eq!(producer.push_while(count.into(), || entries.next()) as usize, fits);
            model.written.extend((model.pushed..).take(fits));
            model.pushed += fits as u64;
        }
        Act::PopWhile(count, wanted) => {
            let mut read = Vec::new();
            let popped = consumer.pop_while(count.into(), |entry| {
                let is_wanted = read.len() < usize::from(wanted);
                if is_wanted {
                    read.push(entry);
                }
                is_wanted
            });
            let expected = usize::from(count.min(wanted)).min(model.visible.len());
            prop_assert_eq!(&read, &model.visible.drain(..expected).collect::<Vec<_>>());
            prop_assert_eq!(popped as usize, expected);
            model.read += expected;
        }
        Act::Release => {
            prop_assert_eq!(consumer.release() as usize, model.read);
            model.read = 0;
        }
    }
    // Before anything brings the ends' views up to date.
    prop_assert_eq!(consumer.is_empty(), model.visible.is_empty());
    prop_assert_eq!(producer.is_full(), model.taken() == producer.size() as usize);
    prop_assert_eq!(producer.unpublished() as usize, model.written.len());
    prop_assert_eq!(producer.unconsumed() as usize, model.visible.len() + model.read);
    prop_assert_eq!(consumer.available(u32::MAX) as usize, model.visible.len());
    prop_assert_eq!(producer.free_count(u32::MAX) as usize, producer.size() as usize - model.taken());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 8 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ring_is_a_bounded_queue_also_where_its_indices_wrap(
        shift in 0u32..6, before_wrap in 0u32..100, acts in prop::collection::vec(act(), 0..200),
    ) {
        let mut ends = pair(1 << shift, 0u64, 0u32.wrapping_sub(before_wrap));
        let mut model = Model::default();
        for act in acts {
            step(act, &mut ends, &mut model)?;
        }
    }
}

#[test]
fn an_entry_is_invisible_until_it_is_published() {
    let (mut producer, mut consumer) = pair(4, 0u64, 0);
    producer.push(7).unwrap();
    assert_eq!(consumer.pop(), None);
    assert_eq!(producer.publish(), 1);
    assert_eq!(consumer.pop(), Some(7));
}

#[test]
fn a_slot_is_not_reused_until_it_is_released() {
    let (mut producer, mut consumer) = pair(1, 0u64, u32::MAX);
    producer.push(1).unwrap();
    producer.publish();
    assert_eq!(consumer.pop(), Some(1));
    assert_eq!(producer.push(2), Err(2));
    assert_eq!(consumer.release(), 1);
    producer.push(2).unwrap();
}

#[test]
fn a_wish_to_be_woken_is_seen_by_the_producer() {
    let (producer, mut consumer) = pair(2, 0u64, 0);
    assert!(!producer.needs_wakeup());
    consumer.ask_for_wakeup(true);
    assert!(producer.needs_wakeup());
    consumer.ask_for_wakeup(false);
    assert!(!producer.needs_wakeup());
}

#[test]
fn an_index_that_cannot_be_stops_a_ring_and_harms_nothing() {
    let (mut producer, consumer) = pair(4, 0u64, 0);
    // The other end claims to have consumed what was never written.
    consumer.shared.consumer().store(1000, core::sync::atomic::Ordering::Release);
    assert_eq!(producer.free_count(4), 4, "the last view still holds");
    for entry in 0..4 {
        producer.push(entry).unwrap();
    }
    assert_eq!(producer.push(4), Err(4));

    let (producer, mut consumer) = pair(4, 0u64, 0);
    // The other end claims to have written a thousand entries into four slots.
    producer.shared.producer().store(1000, core::sync::atomic::Ordering::Release);
    assert_eq!(consumer.available(u32::MAX), 4);
}

#[test]
#[should_panic(expected = "a ring's size is a power of two")]
fn a_ring_of_another_size_is_not_made() {
    let _ = pair(12, 0u64, 0);
}

#[test]
fn between_two_threads_every_descriptor_arrives_once_in_order_and_whole() {
    const BLANK: Descriptor = Descriptor { ring_address: 0, len: 0, options: 0 };
    let count: u32 = if cfg!(miri) { 300 } else { 300_000 };
    let (mut producer, mut consumer) = pair(64, BLANK, u32::MAX - 100);
    let writer = thread::spawn(move || {
        let mut next = 0;
        while next < count {
            let entry = Descriptor { ring_address: u64::from(next) << 11, len: next, options: !next };
            if producer.push(entry).is_ok() {
                next += 1;
            } else {
                thread::yield_now();
            }
            if next % 7 == 0 || next == count || producer.free_count(1) == 0 {
                producer.publish();
            }
        }
        producer
    });
    let mut expected = 0;
    while expected < count {
        let Some(entry) = consumer.pop() else {
            consumer.release();
            thread::yield_now();
            continue;
        };
        assert_eq!(
            entry,
            Descriptor { ring_address: u64::from(expected) << 11, len: expected, options: !expected }
        );
        expected += 1;
        if expected % 5 == 0 {
            consumer.release();
        }
    }
    consumer.release();
    assert_eq!(writer.join().unwrap().unconsumed(), 0);
}
