//! A session in one guest: systems in turn, each in every case; what generator and sink take in between.

use anyhow::{Context as _, Result, bail, ensure};

use super::Plan;
use super::results::{Cell, Load, Results, Round};
use super::systems::System;
use super::trial::{self, Direction, Outcome, Traffic};
use crate::zero_copy::emulator::Guest;

/// Frames a second of the steady load: a fraction of what the kernel's gateway can carry.
const STEADY_RATE: f64 = 50_000.0;

/// Bursts of a generator that are measured.
const BURSTS: u32 = 256;

/// Bursts that show a gateway where the stations are.
const TEACHING_BURSTS: u32 = 1;

/// Echo requests that have to pass a tunnel each way before it is measured.
const PINGS: u32 = 5;

/// Share of the CPU that the full load leaves free, and how far from it a trial may be.
const FREE_SHARE: f64 = 0.03;
const FREE_SHARE_OFF: f64 = 0.02;

/// Trials that look for the full load.
const MOST_TRIALS: u32 = 10;

/// Part of a rate at which frames were lost that is tried next.
const LOSS_STEP: f64 = 0.95;

/// Measures everything of a plan.
///
/// # Errors
/// The guest does not answer, a system does not come up, a tunnel carries nothing, or frames are lost at every rate.
pub(super) fn measure(guest: &mut Guest, plan: &Plan) -> Result<Results> {
    // Room for 1514-byte frames in a tunnel without fragments.
    guest.run("wide_underlay 1600")?;
    let mut session = Session { guest, plan, results: Results::default() };
    for round in 0..plan.rounds {
        for &system in plan.systems() {
            session.visit(system).with_context(|| format!("{}, round {}", system.title(), round + 1))?;
        }
    }
    Ok(session.results)
}

/// Measuring in one guest.
struct Session<'s> {
    guest: &'s mut Guest,
    plan: &'s Plan,
    results: Results,
}

/// One case of one system, measured and not yet without generator and sink.
struct Measured {
    traffic: Traffic,
    load: Load,
    outcome: Outcome,
}

impl Session<'_> {
    /// One round of one system.
    fn visit(&mut self, system: System) -> Result<()> {
        // First, so that a gateway that asks the kernel has the answer when it comes up.
        self.guest.run(&format!("wire_to 02:00:00:00:00:04\n{}", system.up()))?;
        if system.has_tunnel() {
            self.try_tunnel()?;
        }
        self.guest.run("wire_to $nobody_mac")?;
        let mut all = Vec::new();
        for &frame_bytes in &self.plan.sizes {
            for &direction in self.plan.directions() {
                all.extend(self.case(system, direction, frame_bytes)?);
            }
        }
        self.guest.run(system.down())?;
        // Without a gateway the cards are not promiscuous, and take nothing that is for others.
        for measured in all {
            let ends = trial::run(self.guest, &measured.traffic, true)?;
            ensure!(ends.passed == 0, "{} frames passed although nothing forwards", ends.passed);
            self.note(system, &measured, ends);
        }
        Ok(())
    }

    /// Frames have to arrive at both ends of the tunnel.
    fn try_tunnel(&mut self) -> Result<()> {
        let said = self.guest.run(&format!("ping_each {PINGS} 1000"))?;
        let ok = ["sta", "peer"].iter().all(|name| said.contains(&format!("{name} {PINGS}/{PINGS}\n")));
        ensure!(ok, "the tunnel does not carry echo requests: {said}");
        Ok(())
    }

    /// One direction and length, at each load.
    fn case(&mut self, system: System, direction: Direction, frame_bytes: u32) -> Result<Vec<Measured>> {
        let traffic = |rate: f64, bursts: u32| Traffic {
            direction,
            frame_bytes,
            in_tunnel: system.has_tunnel(),
            interval: direction.interval(rate),
            bursts,
        };
        let teaching = Traffic { direction: Direction::Both, ..traffic(STEADY_RATE, TEACHING_BURSTS) };
        trial::run(self.guest, &teaching, false)?;
        let steady = self.whole_trial(traffic(STEADY_RATE, BURSTS))?;
        let mut measured = vec![Measured { load: Load::Steady, ..steady }];
        if self.plan.loads().contains(&Load::Full) {
            let known = self.results.find(system, direction, frame_bytes, Load::Full).map(|cell| cell.rate);
            let full = match known {
                Some(rate) => self.whole_trial(traffic(rate, BURSTS))?,
                None => self.full_load(&measured[0].outcome, |rate| traffic(rate, BURSTS))?,
            };
            measured.push(Measured { load: Load::Full, ..full });
        }
        for Measured { load, outcome, traffic } in &measured {
            eprintln!(
                "      {}, {}, {frame_bytes} bytes, {} load: {:.0} instructions per frame at {:.0}/s, ends included",
                system.title(),
                direction.title(),
                load.title(),
                outcome.per_frame(),
                direction.rate(traffic.interval)
            );
        }
        Ok(measured)
    }

    /// A trial in which nothing may be lost.
    fn whole_trial(&mut self, traffic: Traffic) -> Result<Measured> {
        let outcome = trial::run(self.guest, &traffic, false)?;
        ensure!(outcome.is_whole(), "{traffic:?}: not every frame passed in time: {outcome:?}");
        Ok(Measured { traffic, load: Load::Steady, outcome })
    }

    /// Looks for the rate that leaves next to nothing of the CPU, from what a frame took at another rate.
    fn full_load(&mut self, start: &Outcome, traffic: impl Fn(f64) -> Traffic) -> Result<Measured> {
        let mut best: Option<Measured> = None;
        let (mut per_frame, mut ceiling) = (start.per_frame(), f64::INFINITY);
        for _ in 0..MOST_TRIALS {
            let rate = ((1.0 - FREE_SHARE) * 1e9 / per_frame).min(ceiling);
            let traffic = traffic(rate);
            let outcome = trial::run(self.guest, &traffic, false)?;
            if !outcome.is_whole() {
                ceiling = rate * LOSS_STEP;
                continue;
            }
            per_frame = outcome.per_frame();
            let free = 1.0 - per_frame * rate / 1e9;
            best = Some(Measured { traffic, load: Load::Full, outcome });
            if (free - FREE_SHARE).abs() < FREE_SHARE_OFF || rate >= ceiling {
                break;
            }
        }
        match best {
            Some(best) => Ok(best),
            None => bail!("frames are lost at every rate that was tried, down to {ceiling:.0}/s"),
        }
    }

    /// Adds a round to a cell.
    fn note(&mut self, system: System, measured: &Measured, ends: Outcome) {
        let Measured { traffic: Traffic { direction, frame_bytes, interval, .. }, load, outcome } = *measured;
        let round = Round { system: outcome, ends };
        let cells = &mut self.results.cells;
        let is_it = |cell: &&mut Cell| cell.system == system && cell.is(direction, frame_bytes, load);
        match cells.iter_mut().find(is_it) {
            Some(cell) => cell.rounds.push(round),
            None => {
                let rate = direction.rate(interval);
                cells.push(Cell { system, direction, frame_bytes, load, rate, rounds: vec![round] });
            }
        }
    }
}
