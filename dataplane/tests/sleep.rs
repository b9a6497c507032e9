//! When a worker sleeps, what wakes it and how long it sleeps at most.
//!
//! Times are only ever compared with bounds several times as large as what is expected.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use dataplane::ports::mem_port::MemWire;
use rig::{
    LAN_0, LAN_1, WAN,
    crew::{Crew, wait_until},
    frames::inner,
};

/// A worker that sleeps as soon as it has nothing to do, with LAN 0 and LAN 1 attached and known to be served.
fn sleeper() -> (Crew, MemWire, MemWire) {
    let mut crew = Crew::start(1, 0);
    let wires = [crew.attach(0, LAN_0, 16), crew.attach(0, LAN_1, 16)];
    wait_until("both queues are served", || crew.count(0).chunks.read().fill == 32);
    let [lan_0, lan_1] = wires;
    (crew, lan_0, lan_1)
}

/// Lets `count` floods wait for LAN 1's far side, which the worker learns of when the mailbox wakes it.
fn leave_under_way(crew: &Crew, lan_0: &MemWire, count: u64) {
    for _ in 0..count {
        assert!(lan_0.send(&inner()));
    }
    crew.detach(0, WAN);
    wait_until("the frames are under way", || crew.count(0).chunks.read().tx == count);
}

/// Time that the next five sleeps take.
fn five_sleeps(crew: &Crew) -> Duration {
    let (start, before) = (Instant::now(), crew.count(0).sleeps.get());
    wait_until("five more sleeps", || {
        sleep(Duration::from_millis(1));
        crew.count(0).sleeps.get() >= before + 5
    });
    start.elapsed()
}

#[test]
fn a_command_wakes_a_sleeping_worker_at_once() {
    let (crew, _lan_0, _lan_1) = sleeper();
    let start = Instant::now();
    for _ in 0..10 {
        crew.detach(0, WAN);
    }
    assert!(start.elapsed() < Duration::from_secs(2), "ten answers, each without the sleep of half a second");
    crew.stop();
}

#[test]
fn a_command_that_was_answered_does_not_keep_the_worker_awake() {
    let (crew, _lan_0, _lan_1) = sleeper();
    let before = crew.count(0).sleeps.get();
    sleep(Duration::from_millis(200));
    let slept = crew.count(0).sleeps.get() - before;
    assert!(slept <= 5, "{slept} sleeps of half a second within a fifth of one");
    crew.stop();
}

#[test]
fn sleeps_are_short_while_frames_are_under_way_and_grow_when_none_of_them_goes() {
    let (crew, lan_0, lan_1) = sleeper();
    leave_under_way(&crew, &lan_0, 2);
    let first = five_sleeps(&crew);
    assert!(first < Duration::from_millis(1500), "1, 2, 4, 8, 16 ms took {first:?}");

    sleep(Duration::from_millis(400));
    let before = crew.count(0).sleeps.get();
    sleep(Duration::from_millis(200));
    let slept = crew.count(0).sleeps.get() - before;
    assert!(slept <= 5, "{slept} sleeps of 256 ms and more within 200 ms");

    assert_eq!(lan_1.receive(<[u8]>::to_vec), Some(inner()));
    wait_until("the worker takes the chunk back", || crew.count(0).chunks.read().tx == 1);
    let again = five_sleeps(&crew);
    assert!(again < Duration::from_millis(1200), "short again after one of them went, but took {again:?}");
    crew.stop();
}

#[test]
fn every_queue_is_looked_after_before_each_sleep() {
    let (crew, lan_0, lan_1) = sleeper();
    let sleeps = || crew.count(0).sleeps.get();
    // In this order: a sleep is counted just before its queues are looked after.
    let looked_after = [&lan_0, &lan_1].map(MemWire::sleeps);
    let before = sleeps();
    wait_until("three more sleeps", || sleeps() > before + 3);
    let slept = sleeps() - before;
    for (wire, looked_after) in [&lan_0, &lan_1].into_iter().zip(looked_after) {
        assert!(u64::from(wire.sleeps() - looked_after) + 1 >= slept);
    }
    crew.stop();
}

#[test]
fn a_worker_does_not_sleep_while_frames_wait_that_it_cannot_take() {
    let (crew, lan_0, lan_1) = sleeper();
    lan_0.withhold(true);
    assert!(lan_0.send(&inner()));
    // A command wakes it; a queue in memory does not.
    crew.detach(0, WAN);
    let (rounds, sleeps) = (crew.count(0).rounds.get(), crew.count(0).sleeps.get());
    wait_until("many rounds", || crew.count(0).rounds.get() > rounds + 1000);
    assert!(crew.count(0).sleeps.get() <= sleeps + 1, "it may have been on its way to sleep");
    lan_0.withhold(false);
    wait_until("the frame comes out", || lan_1.receive(<[u8]>::to_vec) == Some(inner()));
    crew.stop();
}
