//! `scaling`: one worker against two, each pinned to a CPU of its own, with the tables and the FDB in common.
//!
//! ```text
//!  round:   both, not measured | CPU A alone | CPU B alone | both      (the last three in turning order)
//! ```
//! The parts of a round follow each other within milliseconds, so that a slow spell of the machine falls on all of them; the first
//! brings tables and frames back into the caches.
//! What counts of a part is its median pass (1024 frames): other processes take the CPU away from few passes, and from those
//! for long.
//! Each worker has its ports, chunks and counters to itself, and every other frame of the flows. A piece of pure arithmetic goes
//! the same way: what two CPUs of this machine can gain at all.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use dataplane::worker::pin;
use serde::Serialize;

use super::rig::{Rig, Site};
use super::scenario::{Scenario, Way};
use super::spread;
use crate::harness::{Spread, Work};
use crate::sys::tsc::{self, TscClock};

/// How long each part of a round lasts.
const PART: Duration = Duration::from_millis(8);

/// Which workers run in each part of a round.
const PARTS: [[bool; 2]; 3] = [[true, false], [false, true], [true, true]];

/// Steps of arithmetic that count as one frame: about as long as a frame takes.
const STEPS: u64 = 32;

/// How long to measure, and where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Rounds of each case; cases alternate.
    #[arg(long, default_value_t = 51, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// The two CPUs; the first two that this process may use, by default.
    #[arg(long, value_name = "N", num_args = 2)]
    cpus: Option<Vec<usize>>,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub struct Scaling {
    /// Rounds of each case.
    pub runs: u32,
    /// The CPUs.
    pub cpus: [usize; 2],
    /// In the order measured.
    pub cases: Vec<ScalingCase>,
    /// One tunnel, received by one worker: alone, and with a second one that has its share of the inner flows.
    pub spread: Vec<ScalingCase>,
}

/// One case.
#[derive(Debug, Serialize)]
pub struct ScalingCase {
    /// Its name.
    pub name: String,
    /// Frames per second of one worker alone, mean of both CPUs.
    pub one_frames_per_s: Spread,
    /// Frames per second of both together.
    pub two_frames_per_s: Spread,
    /// The second by the first, round by round.
    pub ratio: Spread,
}

/// Measures every case.
///
/// # Errors
/// There are not two CPUs to run on, or a rig cannot be made or loses frames.
pub fn run(args: &Args) -> anyhow::Result<Scaling> {
    let cpus = args.cpus.clone().unwrap_or_else(pin::allowed_cpus);
    let cpus = *cpus.first_chunk::<2>().context("two workers need two CPUs; this process may use one")?;
    let clock = TscClock::calibrate();
    let mut sites: Vec<(String, Option<Site>)> = vec![("arithmetic".to_owned(), None)];
    for scenario in scenarios() {
        sites.push((scenario.to_string(), Some(Site::new(&scenario, 2)?)));
    }
    let rounds = exercise(&sites, args.runs, cpus)?;
    let case = |((name, _), rounds): ((String, _), Vec<[f64; 2]>)| {
        let spread = |of: fn(&[f64; 2]) -> f64| {
            Spread::of(&rounds.iter().map(of).collect::<Vec<_>>()).context("at least one round")
        };
        let per_s = clock.ticks_per_s();
        Ok(ScalingCase {
            name,
            one_frames_per_s: spread(|round| round[0])?.scaled(per_s),
            two_frames_per_s: spread(|round| round[1])?.scaled(per_s),
            ratio: spread(|round| round[1] / round[0])?,
        })
    };
    let cases = sites.into_iter().zip(rounds).map(case).collect::<anyhow::Result<_>>()?;
    let spread = spread::run(args.runs, cpus, &clock)?;
    Ok(Scaling { runs: args.runs, cpus, cases, spread })
}

/// Every way's base, and many flows of many sessions.
fn scenarios() -> Vec<Scenario> {
    let base = Way::ENGINE.map(Scenario::base);
    let many = base.map(|base| Scenario { macs: 100_000, sessions: 1000, ..base });
    base.into_iter().chain(many).collect()
}

/// Frames per tick of the time-stamp counter, in the median pass of a part; 0 of a worker that did not take part.
type Part = f64;

/// What the main thread tells the workers, by way of two barriers around each part.
struct Orders {
    start: Barrier,
    end: Barrier,
    /// Position of the case, and of the part in [`PARTS`].
    case: AtomicU32,
    part: AtomicU32,
    is_over: AtomicBool,
}

/// Runs all rounds; returns for each case and round the frames per tick of one worker and of two.
fn exercise(
    sites: &[(String, Option<Site>)],
    runs: u32,
    cpus: [usize; 2],
) -> anyhow::Result<Vec<Vec<[f64; 2]>>> {
    let orders = Orders {
        start: Barrier::new(3),
        end: Barrier::new(3),
        case: AtomicU32::new(0),
        part: AtomicU32::new(0),
        is_over: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let workers = [0, 1].map(|number| {
            let (sender, receiver): (Sender<anyhow::Result<Part>>, _) = channel();
            let (orders, cpu) = (&orders, cpus[number]);
            scope.spawn(move || work(sites, number, cpu, orders, &sender));
            receiver
        });
        let outcome = (|| {
            // What each worker says first is that its rigs are there, or why not.
            receive(&workers)?;
            let mut rounds = vec![Vec::new(); sites.len()];
            for run in 0..runs {
                for (case, rounds) in (0..).zip(&mut rounds) {
                    rounds.push(round(&orders, case, run, &workers)?);
                }
            }
            Ok(rounds)
        })();
        orders.is_over.store(true, SeqCst);
        orders.start.wait();
        outcome
    })
}

/// One round of a case, whose measured parts begin with part `first`.
fn round(
    orders: &Orders,
    case: u32,
    first: u32,
    workers: &[Receiver<anyhow::Result<Part>>; 2],
) -> anyhow::Result<[f64; 2]> {
    let mut rates = [[0.0; 2]; PARTS.len()];
    // Both together come before all others too; what that part measures there is written over.
    for part in [2, first % 3, (first + 1) % 3, (first + 2) % 3] {
        orders.case.store(case, SeqCst);
        orders.part.store(part, SeqCst);
        orders.start.wait();
        orders.end.wait();
        rates[part as usize] = receive(workers)?;
    }
    let [[first, _], [_, second], [both_first, both_second]] = rates;
    Ok([f64::midpoint(first, second), both_first + both_second])
}

/// What both workers have to say.
fn receive(workers: &[Receiver<anyhow::Result<Part>>; 2]) -> anyhow::Result<[Part; 2]> {
    let said = workers.each_ref().map(|worker| worker.recv().context("a worker ended").flatten());
    let [first, second] = said;
    Ok([first?, second?])
}

/// One worker's thread: its rigs, then parts as ordered.
fn work(
    sites: &[(String, Option<Site>)],
    number: usize,
    cpu: usize,
    orders: &Orders,
    answer: &Sender<anyhow::Result<Part>>,
) {
    let mut works = match pinned_works(sites, number, cpu) {
        Ok(works) => works,
        Err(fault) => {
            let _ = answer.send(Err(fault));
            orders.start.wait();
            return;
        }
    };
    let _ = answer.send(Ok(0.0));
    loop {
        orders.start.wait();
        if orders.is_over.load(SeqCst) {
            return;
        }
        let takes_part = PARTS.get(orders.part.load(SeqCst) as usize).is_some_and(|part| part[number]);
        let part = match works.get_mut(orders.case.load(SeqCst) as usize) {
            Some(work) if takes_part => passes(work.as_mut()),
            _ => Ok(0.0),
        };
        let _ = answer.send(part);
        orders.end.wait();
    }
}

/// Pins the thread and makes its rigs there.
fn pinned_works(
    sites: &[(String, Option<Site>)],
    number: usize,
    cpu: usize,
) -> anyhow::Result<Vec<Box<dyn Work>>> {
    pin::pin(cpu)?;
    let work = |(name, site): &(String, Option<Site>)| -> anyhow::Result<Box<dyn Work>> {
        let Some(site) = site else { return Ok(Box::new(Arithmetic)) };
        let mut rig = Rig::new(site, number)?;
        rig.check().with_context(|| name.clone())?;
        Ok(Box::new(rig))
    };
    sites.iter().map(work).collect()
}

/// Passes until the part is over; preparation counts neither as time nor as frames.
fn passes(work: &mut dyn Work) -> anyhow::Result<Part> {
    let begin = Instant::now();
    let mut rates = Vec::new();
    while begin.elapsed() < PART {
        work.prepare();
        let first = tsc::ticks();
        let count = work.run();
        let ticks = tsc::ticks() - first;
        ensure!(count == work.frames(), "{count} of {} frames left", work.frames());
        rates.push(count as f64 / ticks.max(1) as f64);
    }
    Spread::of(&rates).map(|spread| spread.median).context("a part of at least one pass")
}

/// Work that needs nothing but a CPU, and all of it: eight chains of calculations that do not wait for each other keep its units
/// busy, as the engine does. One chain would leave half of them to a second thread on the same core, and show nothing.
struct Arithmetic;

impl Work for Arithmetic {
    fn run(&mut self) -> u64 {
        let mut chains = black_box([1_u64, 2, 3, 4, 5, 6, 7, 8]);
        for _ in 0..self.frames() * STEPS {
            for chain in &mut chains {
                *chain = chain.rotate_left(5).wrapping_add(0x9E37_79B9);
            }
        }
        black_box(chains);
        self.frames()
    }

    fn frames(&self) -> u64 {
        1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_figures_from_every_round() {
        let measured = run(&Args { runs: 1, cpus: None });
        // A machine, or a container, with one CPU.
        if pin::allowed_cpus().len() < 2 {
            return assert!(measured.is_err());
        }
        let measured = measured.expect("two CPUs");
        assert_eq!(measured.cases.len(), 1 + scenarios().len());
        for case in measured.cases {
            assert!(case.one_frames_per_s.minimum > 1.0 && case.ratio.minimum > 0.1, "{case:?}");
        }
    }

    #[test]
    fn a_cpu_that_is_not_there_ends_the_measurement() {
        let fault = run(&Args { runs: 1, cpus: Some(vec![0, 100_000]) }).expect_err("refused").to_string();
        assert!(fault.contains("100000"), "{fault}");
    }
}
