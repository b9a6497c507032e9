//! `scaling`, second half: one tunnel of many inner flows, all received by one worker, with and without a second one to share them.
//!
//! ```text
//!  without:  CPU A: belt -> worker A -> left                       CPU B: waits
//!  with:     CPU A: belt -> worker A -> left
//!                              \-- lane of packets ----> CPU B: worker B -> left
//! ```
//! Both kinds of passes follow each other at once, so that a slow spell of the machine falls on both. A pass is over when every frame has
//! left; filling and draining the queues between the workers is part of it, waking the second worker is not: a tunnel that saturates one keeps
//! the other awake. Between passes, and not measured: every frame is
//! looked at, and a flow of which one frame left behind a later one, or by two workers, ends the measurement. Worker A's frames are
//! made on CPU A, so the last of them are in A's caches when a pass begins; behind a NIC all would be in the cache that both share.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Barrier, PoisonError};

use anyhow::{Context, ensure};
use dataplane::exchange::lane_packets;
use dataplane::worker::pin;
use xsk::{BATCH, Frame};

use super::rig::{Rig, Site};
use super::scaling::ScalingCase;
use super::scenario::{BASE_FRAMES, Carrier, FrameLength, Scenario, Way};
use super::traffic::inner_number;
use crate::harness::{Spread, Work};
use crate::sys::tsc::{self, TscClock};

/// Passes of each kind in one round, of which the ninth of ten counts. A test looks at none of their rates.
const PASSES: usize = if cfg!(test) { 4 } else { 32 };

/// Frames of a pass: so many that filling and draining the lane between the workers is little beside it, as it is where a tunnel saturates a worker, and
/// that most of them come from the cache that all cores share, where a card puts them; and a quarter, a burst.
const PASS_FRAMES: [u32; 2] = [16 * BASE_FRAMES, 4 * BASE_FRAMES];

/// One session, whose packets RSS cannot tell apart; 500 stations at either end. The cheapest packets there are, then dearer ones; in passes of each length.
fn scenarios() -> impl Iterator<Item = Scenario> {
    let carried = |way, carrier| Scenario { carrier, ..Scenario::base(way) };
    let checksum = carried(Way::Decap, Carrier::UdpChecksum);
    let kinds = [
        carried(Way::Decap, Carrier::Ip),
        carried(Way::Decap, Carrier::Udp),
        carried(Way::Relay, Carrier::Ip),
        checksum,
        Scenario { frame: FrameLength::Bytes(1518), ..checksum },
    ];
    PASS_FRAMES.into_iter().flat_map(move |frames| kinds.map(|kind| Scenario { frames, ..kind }))
}

/// What the second worker's thread and the first one's have in common.
struct Shared {
    start: Barrier,
    end: Barrier,
    /// Whether a pass is going on.
    is_running: AtomicBool,
    /// Whether the second worker makes its rounds.
    is_awake: AtomicBool,
    is_over: AtomicBool,
    /// Frames that left by the second worker in this pass.
    left: AtomicUsize,
    /// The frames themselves, between passes.
    frames: Mutex<Vec<Frame>>,
}

/// Measures every case, in rounds of passes with one worker and with two.
///
/// # Errors
/// A rig cannot be made, frames are lost, or a flow leaves out of order.
pub(super) fn run(runs: u32, cpus: [usize; 2], clock: &TscClock) -> anyhow::Result<Vec<ScalingCase>> {
    scenarios().map(|scenario| case(&scenario, runs, cpus, clock)).collect()
}

fn case(
    scenario: &Scenario,
    runs: u32,
    [first, second]: [usize; 2],
    clock: &TscClock,
) -> anyhow::Result<ScalingCase> {
    let site = Site::spread(scenario, 2)?;
    let shared = Shared {
        start: Barrier::new(2),
        end: Barrier::new(2),
        is_running: AtomicBool::new(false),
        is_awake: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        left: AtomicUsize::new(0),
        frames: Mutex::new(Vec::with_capacity(scenario.frames as usize)),
    };
    let rounds = std::thread::scope(|scope| {
        let helper = scope.spawn(|| help(&site, second, &shared));
        // On a thread of its own, so that the caller's stays where it was.
        let leader = scope.spawn(|| {
            let outcome = lead(scenario, &site, first, runs, &shared);
            shared.is_over.store(true, Relaxed);
            shared.start.wait();
            outcome
        });
        let outcome = leader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)).and(outcome)
    })
    .with_context(|| scenario.to_string())?;
    let spread = |of: fn(&[f64; 2]) -> f64| {
        Spread::of(&rounds.iter().map(of).collect::<Vec<_>>()).context("at least one round")
    };
    Ok(ScalingCase {
        name: scenario.to_string(),
        one_frames_per_s: spread(|round| round[0])?.scaled(clock.ticks_per_s()),
        two_frames_per_s: spread(|round| round[1])?.scaled(clock.ticks_per_s()),
        ratio: spread(|round| round[1] / round[0])?,
    })
}

/// The thread of the second worker: takes what it is given while a pass goes on.
fn help(site: &Site, cpu: usize, shared: &Shared) -> anyhow::Result<()> {
    let made = pin::pin(cpu).map_err(anyhow::Error::from).and_then(|()| Rig::idle(site, 1));
    let mut rig = match made {
        Ok(rig) => Some(rig),
        Err(fault) => {
            shared.start.wait();
            if !shared.is_over.swap(true, Relaxed) {
                // The other thread learns it at the end of its pass, and says once more that it is over.
                shared.end.wait();
                shared.start.wait();
            }
            return Err(fault);
        }
    };
    loop {
        shared.start.wait();
        if shared.is_over.load(Relaxed) {
            return Ok(());
        }
        if let Some(rig) = &mut rig {
            shared.is_awake.store(true, Release);
            while shared.is_running.load(Acquire) {
                rig.round();
                shared.left.store(rig.left(), Release);
            }
            let mut frames = shared.frames.lock().unwrap_or_else(PoisonError::into_inner);
            rig.take_left(&mut frames);
        }
        shared.end.wait();
    }
}

/// The thread of the first worker: frames per tick of one worker and of both, round by round.
fn lead(
    scenario: &Scenario,
    site: &Site,
    cpu: usize,
    runs: u32,
    shared: &Shared,
) -> anyhow::Result<Vec<[f64; 2]>> {
    pin::pin(cpu)?;
    let mut leader = Leader { rig: Rig::alone(site)?, shared, order: Order::new(scenario) };
    // Once each, to bring everything into the caches.
    leader.pass(site, false)?;
    leader.pass(site, true)?;
    ensure!(leader.order.has_come_by[1], "the second worker was given nothing");
    let mut rounds = Vec::new();
    for _ in 0..runs {
        let mut rates = [const { Vec::new() }; 2];
        for _ in 0..PASSES {
            for (is_spread, rates) in [false, true].into_iter().zip(&mut rates) {
                rates.push(leader.pass(site, is_spread)?);
            }
        }
        let [one, two] = rates.map(undisturbed);
        rounds.push([one.context("a pass")?, two.context("a pass")?]);
    }
    Ok(rounds)
}

/// What passes do that nobody else disturbed: nine in ten are slower. A pass of two workers needs both CPUs at once for as long as it takes,
/// which on a machine with other work is rare; so the median would tell of that work. Both kinds are measured alike.
fn undisturbed(mut rates: Vec<f64>) -> Option<f64> {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() * 9 / 10).copied()
}

struct Leader<'s> {
    rig: Rig,
    shared: &'s Shared,
    order: Order,
}

impl Leader<'_> {
    /// One pass; returns the frames per tick.
    fn pass(&mut self, site: &Site, is_spread: bool) -> anyhow::Result<f64> {
        let frames = self.order.scenario.frames as usize;
        site.set_spread(is_spread);
        self.rig.prepare();
        let shared = self.shared;
        shared.left.store(0, Relaxed);
        if is_spread {
            shared.is_running.store(true, Release);
            shared.is_awake.store(false, Relaxed);
            shared.start.wait();
            while !shared.is_awake.load(Acquire) && !shared.is_over.load(Relaxed) {
                std::hint::spin_loop();
            }
        }
        let first = tsc::ticks();
        // Beyond any time that a pass takes, so that a lost frame ends the measurement.
        let deadline = first + (1 << 33);
        let mut window = Window::default();
        loop {
            let is_idle = self.rig.round() == 0;
            let received = frames - self.rig.arriving();
            // What the other worker counts lies in its cache, so it is not looked at each time.
            if !is_idle && window.is_open(received) {
                continue;
            }
            window.left = self.rig.left() + shared.left.load(Acquire);
            self.rig.open(window.is_open(received));
            if is_idle && (window.left >= frames || tsc::ticks() > deadline) {
                break;
            }
        }
        let ticks = tsc::ticks() - first;
        if is_spread {
            shared.is_running.store(false, Release);
            shared.end.wait();
            ensure!(!shared.is_over.load(Relaxed), "the second worker could not start");
        }
        let mut others = shared.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let count = self.rig.left() + others.len();
        ensure!(count == frames, "{count} of {frames} frames left");
        let Self { rig, order, .. } = self;
        rig.with_left(|left| order.check([left, &others]))?;
        self.rig.add_left(&mut others);
        Ok(frames as f64 / ticks.max(1) as f64)
    }
}

/// How many frames may be in the engine: as many as a lane between two workers holds, so that none is dropped for want of room in it.
#[derive(Default)]
struct Window {
    /// Frames that have left by both workers, when somebody last looked.
    left: usize,
}

impl Window {
    /// Whether another batch may be received, of so many frames that were.
    fn is_open(&self, received: usize) -> bool {
        received + BATCH <= self.left + lane_packets(2)
    }
}

/// Whether the frames of each flow leave in order, and by one worker.
struct Order {
    scenario: Scenario,
    /// By flow: the number of its last frame.
    last: Vec<Option<u64>>,
    /// By worker: whether any frame left by it.
    has_come_by: [bool; 2],
}

impl Order {
    fn new(scenario: &Scenario) -> Self {
        Self { scenario: *scenario, last: vec![None; scenario.stations() as usize], has_come_by: [false; 2] }
    }

    fn check(&mut self, workers: [&[Frame]; 2]) -> anyhow::Result<()> {
        // By flow: the worker that it left by in this pass.
        let mut by = vec![None; self.last.len()];
        for (worker, frames) in workers.into_iter().enumerate() {
            for frame in frames {
                self.has_come_by[worker] = true;
                let number = inner_number(&self.scenario, frame)?;
                let flow = usize::try_from(number)? % self.last.len();
                ensure!(
                    self.last[flow] < Some(number),
                    "flow {flow}: frame {number} left behind frame {:?}",
                    self.last[flow]
                );
                self.last[flow] = Some(number);
                ensure!(*by[flow].get_or_insert(worker) == worker, "flow {flow} left by two workers");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_measured_with_its_flows_in_order() {
        let cpus = pin::allowed_cpus();
        let Some(cpus) = cpus.first_chunk::<2>() else { return };
        let cases = run(1, *cpus, &TscClock::calibrate()).unwrap_or_else(|fault| panic!("{fault:#}"));
        assert_eq!(cases.len(), scenarios().count());
        // Not by how much: on a busy machine the second worker may hardly run.
        assert!(cases.iter().all(|case| case.ratio.minimum > 0.0), "{cases:?}");
    }

    #[test]
    fn no_more_frames_are_under_way_than_a_lane_holds() {
        let frames = PASS_FRAMES[0];
        let site = Site::spread(&Scenario { frames, ..Scenario::base(Way::Decap) }, 2).expect("a site");
        let mut rig = Rig::alone(&site).expect("a rig");
        site.set_spread(false);
        let mut window = Window::default();
        let receive = |window: &Window, rig: &mut Rig| {
            while rig.round() > 0 {
                rig.open(window.is_open(frames as usize - rig.arriving()));
            }
            rig.open(true);
            rig.left()
        };
        // As if another worker had let none of them leave.
        assert_eq!(receive(&window, &mut rig), lane_packets(2));
        window.left = 200;
        assert_eq!(receive(&window, &mut rig), lane_packets(2) + 192, "whole batches");
    }

    #[test]
    fn a_flow_that_leaves_out_of_order_or_by_two_workers_is_found() {
        let scenario = Scenario::base(Way::Decap);
        let site = Site::spread(&scenario, 2).expect("a site");
        let mut rig = Rig::alone(&site).expect("a rig");
        site.set_spread(false);
        while rig.left() < scenario.frames as usize {
            rig.round();
        }
        let mut frames = Vec::new();
        rig.take_left(&mut frames);
        Order::new(&scenario).check([&frames, &[]]).expect("in order");
        // Of 500 flows, frame 0 and 500 are of one.
        let (one, other) = frames.split_at(500);
        let fault = Order::new(&scenario).check([one, other]).expect_err("two workers").to_string();
        assert!(fault.contains("two workers"), "{fault}");
        frames.swap(0, 500);
        let fault = Order::new(&scenario).check([&frames, &[]]).expect_err("out of order").to_string();
        assert!(fault.contains("left behind"), "{fault}");
    }
}
