//! Plan: what is measured, in what order, and how long it takes.
//!
//! ```text
//!  round 1..n:  system after system:  set up, then for each size:
//!                 highest rate without loss    trials, each a second
//!                 CPU time at 95 % of it       the system, the wire, the system, the wire
//!                   null forwarders: at the same rates as those that are compared with them, too
//!                 latency at 10, 50, 90 %      in the last round
//! ```
//! Systems alternate within a round, so that a slow spell of the machine does not fall on one of them alone; ratios and
//! differences are taken within a round. A null forwarder is visited behind those that are compared with it, when their
//! rates are known; when time is up in between, those have nothing to be compared with in that round.

use std::time::Duration;

use super::load::WARM_UP_S;
use super::systems::{self, System};

/// Seconds of setting up and removing one system.
const SET_UP_S: f64 = 2.0;

/// Seconds that a run takes besides its own time: starting programs, waiting for stragglers, ending the system call.
const RUN_OVERHEAD_S: f64 = 0.5;

/// Trials of a search from nothing, and of one near a known rate, repeated ones included.
const TRIALS: [f64; 2] = [14.0, 10.0];

/// Share of the highest rate at which CPU time is measured. A worker that sleeps when nothing comes takes more per frame the fewer
/// frames come, so its CPU time per frame is least near it.
pub(super) const COST_LOAD: f64 = 0.95;

/// Loss that is no accident: a trial that fails by more is not tried again, and a null forwarder is not compared at a rate at which it
/// loses more.
pub(super) const PLAIN_LOSS: f64 = 0.03;

/// What is measured.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// In the order of the tables.
    pub(super) systems: Vec<&'static System>,
    /// Lengths of frames without FCS. Units: bytes.
    pub(super) sizes: Vec<u32>,
    /// How often everything is measured.
    pub(super) rounds: u32,
    /// Share of the frames of a trial that may be lost. Range: 0 to 1.
    pub(super) loss: f64,
    /// The search ends when the rate that failed is at most this many times the one that passed.
    pub(super) close: f64,
    /// Trials of one rate, when those before failed closely.
    pub(super) attempts: u32,
    /// Length of a trial of the search. Units: s.
    pub(super) trial_s: f64,
    /// Length of a run that measures CPU time. Units: s.
    pub(super) cost_s: f64,
    /// Such runs of a system in a round; as many of the bare wire alternate with them.
    pub(super) cost_runs: u32,
    /// Such runs of a null forwarder at each rate of those that are compared with it. 0: it is compared at its own rate.
    pub(super) beside_runs: u32,
    /// Length of a measurement of latency. Units: s.
    pub(super) latency_s: f64,
    /// Shares of the highest rate at which latency is measured. Range: 0 to 1.
    pub(super) loads: &'static [f64],
    /// No visit is begun after this time.
    pub(super) bound: Duration,
}

/// What one round measures of one system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Visit {
    /// Round, from 0.
    pub(super) round: u32,
    /// The system.
    pub(super) system: &'static str,
}

impl Plan {
    /// The long form.
    pub(super) fn long(systems: Vec<&'static System>, sizes: Vec<u32>, rounds: u32, loss: f64) -> Self {
        Self {
            systems,
            sizes,
            rounds,
            loss,
            close: 1.02,
            attempts: 3,
            trial_s: 0.5,
            cost_s: 1.2,
            cost_runs: 2,
            beside_runs: 1,
            latency_s: 1.5,
            loads: &[0.1, 0.5, 0.9],
            bound: Duration::from_secs(38 * 60),
        }
    }

    /// The short form: enough to see that everything works, and roughly what it costs.
    pub(super) fn short(systems: Vec<&'static System>, size: u32, loss: f64) -> Self {
        Self {
            systems,
            sizes: vec![size],
            rounds: 1,
            loss,
            close: 1.05,
            attempts: 2,
            trial_s: 0.25,
            cost_s: 0.5,
            cost_runs: 1,
            beside_runs: 0,
            latency_s: 0.4,
            loads: &[0.5],
            bound: Duration::from_secs(65),
        }
    }

    /// Whether latency is measured in this round.
    pub(super) fn measures_latency(&self, round: u32) -> bool {
        round + 1 == self.rounds
    }

    /// All visits in order.
    pub(super) fn visits(&self) -> Vec<Visit> {
        let mut order = self.systems.clone();
        let place = |one: &System| self.systems.iter().position(|other| other.name == one.name);
        order.sort_by_key(|system| {
            // Right behind the last of them.
            let last = self.compared_with(system).filter_map(place).max();
            (last.max(place(system)), last)
        });
        let round = |round| order.iter().map(move |system| Visit { round, system: system.name });
        (0..self.rounds).flat_map(round).collect()
    }

    /// The systems that this one is the null forwarder of.
    fn compared_with(&self, null: &System) -> impl Iterator<Item = &'static System> {
        self.systems.iter().copied().filter(|system| system.null() == Some(null.name))
    }

    /// How long it takes, about, if nothing ends it early.
    pub(super) fn estimate(&self) -> Duration {
        let visits = self.visits();
        Duration::from_secs_f64(visits.iter().map(|visit| self.visit_s(visit)).sum())
    }

    #[expect(clippy::cast_precision_loss, reason = "a handful of sizes, loads and rates")]
    fn visit_s(&self, visit: &Visit) -> f64 {
        let run = |seconds: f64| seconds + RUN_OVERHEAD_S;
        let trials = TRIALS[usize::from(visit.round > 0)] * run(self.trial_s);
        let rates_beside =
            systems::named(visit.system).map_or(0, |system| self.compared_with(system).count());
        let cost_runs = f64::from(self.cost_runs) + f64::from(self.beside_runs) * rates_beside as f64;
        let costs = 2.0 * cost_runs * run(self.cost_s + WARM_UP_S);
        let loads = if self.measures_latency(visit.round) { self.loads.len() } else { 0 };
        SET_UP_S + self.sizes.len() as f64 * (trials + costs + loads as f64 * run(self.latency_s))
    }
}

#[cfg(test)]
mod tests {
    use super::super::systems::SYSTEMS;
    use super::*;

    #[test]
    fn the_forms_fit_their_times() {
        let all: Vec<&System> = SYSTEMS.iter().collect();
        let long = Plan::long(all, vec![64, 1514], 3, 0.0);
        assert!(
            long.estimate() <= long.bound && long.bound < Duration::from_secs(40 * 60),
            "{:?}",
            long.estimate()
        );
        let few: Vec<&System> = SYSTEMS.iter().filter(|system| system.is_short).collect();
        let short = Plan::short(few, 64, 0.0);
        // The last visit may begin at the bound, and every one can begin before it.
        let visits: Vec<f64> = short.visits().iter().map(|visit| short.visit_s(visit)).collect();
        let longest = short.bound + Duration::from_secs_f64(visits.iter().copied().fold(0.0, f64::max));
        assert!(longest <= Duration::from_secs(90), "{longest:?}");
        let last = Duration::from_secs_f64(visits[visits.len() - 1]);
        assert!(short.estimate() - last <= short.bound, "{:?}", short.estimate());
    }

    #[test]
    fn a_null_forwarder_comes_behind_those_that_are_compared_with_it() {
        let plan = Plan::long(SYSTEMS.iter().collect(), vec![64], 2, 0.0);
        let order: Vec<&str> = plan.visits().iter().map(|visit| visit.system).collect();
        assert_eq!(
            order[..7],
            [
                "wire",
                "null-live-frames",
                "null-xsk-rs",
                "spanwire-udp",
                "spanwire-ip",
                "spanwire-cookie",
                "null"
            ]
        );
        let place = |name| order.iter().position(|one| *one == name).unwrap();
        for system in SYSTEMS {
            assert!(system.null().is_none_or(|null| place(system.name) < place(null)), "{}", system.name);
        }
        assert_eq!(order.len(), 2 * SYSTEMS.len());
    }

    #[test]
    fn systems_alternate_and_latency_comes_last() {
        let plan = Plan::long(SYSTEMS.iter().take(2).collect(), vec![64], 2, 0.0);
        let order: Vec<(u32, &str)> = plan.visits().iter().map(|visit| (visit.round, visit.system)).collect();
        assert_eq!(order, [(0, "wire"), (0, "null"), (1, "wire"), (1, "null")]);
        assert_eq!([plan.measures_latency(0), plan.measures_latency(1)], [false, true]);
    }
}
