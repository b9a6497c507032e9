//! Results: what was measured, and the few numbers that are derived from it.

use serde::{Deserialize, Serialize};

use super::plan::PLAIN_LOSS;
use super::reports::{Latency, Usage};
use super::systems::{self, System};
use crate::report::Spread;

/// Everything that was measured of one system with one frame size.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Measured {
    /// The system's name.
    pub(super) system: String,
    /// Length of the frames without FCS. Units: bytes.
    pub(super) frame_bytes: u32,
    /// Round after round.
    pub(super) rounds: Vec<Round>,
    /// Of the last round.
    pub(super) latencies: Vec<LatencyAt>,
}

/// One round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Round {
    /// Its number, from 0.
    pub(super) round: u32,
    /// The highest rate without loss; `None` when there is none. Units: frames/s.
    pub(super) rate: Option<u64>,
    /// CPU time at a part of it.
    pub(super) cost: Option<Cost>,
    /// The same at the rates of systems that this one is the null forwarder of.
    #[serde(default)]
    pub(super) beside: Vec<Cost>,
}

/// CPU time at a rate: with the system, and of generator and sink alone at the same rate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Cost {
    /// Offered. Units: frames/s.
    pub(super) rate: u64,
    /// Share of the frames that did not come, mean of the runs. Range: 0 to 1.
    pub(super) loss: f64,
    /// With the system, run after run.
    pub(super) system: Vec<Usage>,
    /// Over the wire alone, run after run.
    pub(super) wire: Vec<Usage>,
}

/// Latency at a rate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LatencyAt {
    /// Share of the highest rate. Range: 0 to 1.
    pub(super) load: f64,
    /// Offered. Units: frames/s.
    pub(super) rate: u64,
    /// Share of the frames that did not come. Range: 0 to 1.
    pub(super) loss: f64,
    /// `None` when no frame came.
    pub(super) latency: Option<Latency>,
}

/// A system that was not measured, and why.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Absent {
    /// The system's name.
    pub(super) system: String,
    /// What is missing, or what failed.
    pub(super) reason: String,
}

/// Everything.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Results {
    /// By system and size.
    pub(super) measured: Vec<Measured>,
    /// What was not measured.
    pub(super) absent: Vec<Absent>,
}

impl Cost {
    /// CPU time of the gateways per frame: of the whole machine, without what generator and sink take on the bare wire at
    /// the same rate. Units: ns.
    pub(super) fn gateways_ns(&self) -> Option<f64> {
        Some(mean(&self.system)? / (1.0 - self.loss) - mean(&self.wire)?)
    }

    /// CPU time of generator and sink alone per frame. Units: ns.
    pub(super) fn ends_ns(&self) -> Option<f64> {
        mean(&self.wire)
    }

    /// The most CPUs that other processes had in one of the runs.
    pub(super) fn others_cpus(&self) -> f64 {
        self.system.iter().chain(&self.wire).map(Usage::others_cpus).fold(0.0, f64::max)
    }
}

/// Work per frame over all runs.
#[expect(clippy::cast_precision_loss, reason = "counts of some seconds")]
fn mean(runs: &[Usage]) -> Option<f64> {
    let frames: u64 = runs.iter().map(|usage| usage.frames).sum();
    (frames > 0).then(|| runs.iter().map(Usage::work_ns).sum::<f64>() / frames as f64)
}

impl Measured {
    /// Each round's number, if it has one.
    fn each<'m>(&'m self, number: impl Fn(&Round) -> Option<f64> + 'm) -> impl Iterator<Item = f64> + 'm {
        self.rounds.iter().filter_map(number)
    }

    /// The highest rate without loss. Units: frames/s.
    pub(super) fn rate(&self) -> Option<Spread> {
        Spread::of(self.each(rate_of))
    }

    /// CPU time of the gateways. Units: ns per frame.
    pub(super) fn gateways_ns(&self) -> Option<Spread> {
        Spread::of(self.each(gateways_of))
    }

    /// CPU time of generator and sink alone. Units: ns per frame.
    pub(super) fn ends_ns(&self) -> Option<Spread> {
        Spread::of(self.each(|round| round.cost.as_ref()?.ends_ns()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "rates far below 2^53")]
fn rate_of(round: &Round) -> Option<f64> {
    round.rate.map(|rate| rate as f64)
}

impl Round {
    /// CPU time at another system's rate; at its own where that was not measured. `None` too where it lost too much for that.
    fn cost_beside(&self, other: &Cost) -> Option<&Cost> {
        let cost = self.beside.iter().find(|cost| cost.rate == other.rate).or(self.cost.as_ref())?;
        (cost.loss <= PLAIN_LOSS).then_some(cost)
    }
}

fn gateways_of(round: &Round) -> Option<f64> {
    round.cost.as_ref()?.gateways_ns()
}

impl Results {
    /// What was measured of a system with a frame size.
    pub(super) fn find(&self, system: &str, frame_bytes: u32) -> Option<&Measured> {
        self.measured.iter().find(|found| found.system == system && found.frame_bytes == frame_bytes)
    }

    /// The same, made if need be.
    pub(super) fn entry(&mut self, system: &str, frame_bytes: u32) -> &mut Measured {
        let found =
            self.measured.iter().position(|found| found.system == system && found.frame_bytes == frame_bytes);
        let place = found.unwrap_or_else(|| {
            let (system, rounds) = (system.to_owned(), Vec::new());
            self.measured.push(Measured { system, frame_bytes, rounds, latencies: Vec::new() });
            self.measured.len() - 1
        });
        &mut self.measured[place]
    }

    /// Notes, and says, that a system is not measured.
    pub(super) fn note_absent(&mut self, system: &str, reason: String) {
        eprintln!("      not measured: {system}: {reason}");
        self.absent.push(Absent { system: system.to_owned(), reason });
    }

    /// What should have carried frames and did not: systems of these that failed, or lost frames at every rate.
    pub(super) fn faults(&self, systems: &[&System]) -> Vec<String> {
        let is_one = |name: &str| systems.iter().any(|system| system.name == name);
        let failed = self.absent.iter().filter(|absent| is_one(&absent.system));
        let failed = failed.map(|absent| format!("{}: {}", absent.system, absent.reason));
        let without = |measured: &&Measured| measured.rounds.iter().any(|round| round.rate.is_none());
        let barred = self.measured.iter().filter(|measured| is_one(&measured.system)).filter(without);
        let barred = barred.map(|measured| {
            format!("{}: lost frames of {} bytes at every rate", measured.system, measured.frame_bytes)
        });
        failed.chain(barred).collect()
    }

    /// A number of two systems from the same rounds.
    fn paired(
        &self,
        [one, other]: [&str; 2],
        frame_bytes: u32,
        number: impl Fn(&Round, &Round) -> Option<f64>,
    ) -> Option<Spread> {
        let others = &self.find(other, frame_bytes)?.rounds;
        let pair = |round: &Round| number(round, others.iter().find(|other| other.round == round.round)?);
        Spread::of(self.find(one, frame_bytes)?.each(pair))
    }

    /// What the tunnel costs: CPU time of the gateways less that of the null forwarder of the same family, at the same rate
    /// where it was measured at it. Units: ns per frame.
    pub(super) fn tunnel_ns(&self, system: &str, frame_bytes: u32) -> Option<Spread> {
        let null = systems::named(system)?.null()?;
        self.paired([system, null], frame_bytes, |round, null| {
            let cost = round.cost.as_ref()?;
            Some(cost.gateways_ns()? - null.cost_beside(cost)?.gateways_ns()?)
        })
    }

    /// The rates at which CPU time was measured in a round of the systems that this one is the null forwarder of,
    /// each once.
    pub(super) fn rates_beside(&self, null: &str, frame_bytes: u32, round: u32) -> Vec<u64> {
        let has_null = |name: &str| systems::named(name).and_then(System::null) == Some(null);
        let others =
            self.measured.iter().filter(|found| found.frame_bytes == frame_bytes && has_null(&found.system));
        let rounds = others.flat_map(|found| &found.rounds).filter(|found| found.round == round);
        let mut rates: Vec<u64> = rounds.filter_map(|found| Some(found.cost.as_ref()?.rate)).collect();
        rates.sort_unstable();
        rates.dedup();
        rates
    }

    /// Rate of one system by that of another.
    pub(super) fn rate_ratio(&self, systems: [&str; 2], frame_bytes: u32) -> Option<Spread> {
        self.paired(systems, frame_bytes, |one, other| Some(rate_of(one)? / rate_of(other)?))
    }

    /// Frames per CPU time of one system by those of another.
    pub(super) fn efficiency_ratio(&self, systems: [&str; 2], frame_bytes: u32) -> Option<Spread> {
        self.paired(systems, frame_bytes, |one, other| Some(gateways_of(other)? / gateways_of(one)?))
    }

    /// The most CPUs that other processes had in one of the runs.
    pub(super) fn others_cpus(&self) -> f64 {
        let rounds = self.measured.iter().flat_map(|measured| &measured.rounds);
        rounds
            .flat_map(|round| round.cost.iter().chain(&round.beside))
            .map(Cost::others_cpus)
            .fold(0.0, f64::max)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn usage(frames: u64, work_ns: f64) -> Usage {
        let rest = (1e9, 0.0, 0.0);
        Usage {
            seconds: 1.0,
            frames,
            cpus: 2,
            busy_ns: work_ns + rest.0,
            waited_ns: rest.0,
            others_ns: rest.1,
            stolen_ns: rest.2,
        }
    }

    fn cost(rate: u64, ns: f64) -> Cost {
        let system = vec![usage(1000, 1000.0 * (ns + 200.0))];
        Cost { rate, loss: 0.0, system, wire: vec![usage(500, 500.0 * 200.0)] }
    }

    /// A system with rounds of a rate, and of a CPU time of its gateways.
    pub(in super::super) fn measured(system: &str, rounds: &[(u64, f64)]) -> Measured {
        let round = |(round, &(rate, ns)): (u32, &(u64, f64))| Round {
            round,
            rate: Some(rate),
            cost: Some(cost(rate, ns)),
            beside: Vec::new(),
        };
        let rounds = (0..).zip(rounds).map(round).collect();
        Measured { system: system.to_owned(), frame_bytes: 64, rounds, latencies: Vec::new() }
    }

    pub(in super::super) fn results(measured: Vec<Measured>) -> Results {
        Results { measured, absent: Vec::new() }
    }

    fn near(found: Option<Spread>, low: f64, median: f64, high: f64) {
        let found = found.unwrap();
        for (found, expected) in [(found.low, low), (found.median, median), (found.high, high)] {
            assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
        }
    }

    #[test]
    fn what_the_ends_take_on_the_bare_wire_is_not_the_gateways() {
        near(measured("vxlan", &[(1000, 900.0), (1000, 1100.0)]).gateways_ns(), 900.0, 1000.0, 1100.0);
        near(measured("vxlan", &[(1000, 900.0)]).ends_ns(), 200.0, 200.0, 200.0);
    }

    #[test]
    fn a_tunnels_cost_is_taken_against_the_null_forwarder_of_its_family_round_by_round() {
        // The machine is twice as slow in the second round: the differences would be 500 too far apart otherwise.
        let results = results(vec![
            measured("null", &[(9, 100.0), (9, 200.0)]),
            measured("bridge", &[(9, 1000.0), (9, 2000.0)]),
            measured("vxlan", &[(9, 3000.0), (9, 6000.0)]),
            measured("spanwire-udp", &[(9, 300.0), (9, 600.0)]),
        ]);
        near(results.tunnel_ns("vxlan", 64), 2000.0, 3000.0, 4000.0);
        near(results.tunnel_ns("spanwire-udp", 64), 200.0, 300.0, 400.0);
        near(results.efficiency_ratio(["spanwire-udp", "vxlan"], 64), 10.0, 10.0, 10.0);
        assert_eq!(results.tunnel_ns("null", 64), None);
        assert_eq!(results.tunnel_ns("vxlan", 1514), None);
    }

    #[test]
    fn a_tunnels_cost_is_taken_at_one_rate_where_the_null_forwarder_was_measured_at_it() {
        // The null forwarder takes more per frame where fewer frames come.
        let mut null = measured("null", &[(700, 1600.0), (500, 2000.0)]);
        null.rounds[0].beside = vec![cost(400, 2100.0), cost(600, 1700.0)];
        let mut results = results(vec![
            null,
            measured("spanwire-udp", &[(600, 1810.0), (550, 2120.0)]),
            measured("spanwire-ip", &[(400, 2190.0)]),
            measured("vxlan", &[(450, 1.0)]),
        ]);
        // In the second round there is only the null forwarder's own rate.
        near(results.tunnel_ns("spanwire-udp", 64), 110.0, 115.0, 120.0);
        near(results.tunnel_ns("spanwire-ip", 64), 90.0, 90.0, 90.0);
        let again = results.measured[1].rounds[0].clone();
        results.measured[2].rounds.push(again);
        assert_eq!(results.rates_beside("null", 64, 0), [400, 600]);
        assert_eq!(results.rates_beside("null", 64, 1), [550]);
        assert_eq!(results.rates_beside("bridge", 64, 0), [450]);
        assert_eq!(results.rates_beside("null", 1514, 0), [0; 0]);
        assert_eq!(results.rates_beside("vxlan", 64, 0), [0; 0]);
        // One that loses much at a rate says nothing about it.
        results.measured[0].rounds[0].beside[1].loss = 0.5;
        near(results.tunnel_ns("spanwire-udp", 64), 120.0, 120.0, 120.0);
    }

    #[test]
    fn results_of_before_null_forwarders_were_measured_at_other_rates_are_read() {
        let round: Round = serde_json::from_str(r#"{"round":2,"rate":100,"cost":null}"#).unwrap();
        assert_eq!((round.round, round.beside.len()), (2, 0));
    }

    #[test]
    fn a_round_that_only_one_of_two_systems_has_is_left_out() {
        let results =
            results(vec![measured("null", &[(100, 1.0)]), measured("spanwire-udp", &[(90, 1.0), (50, 1.0)])]);
        near(results.rate_ratio(["spanwire-udp", "null"], 64), 0.9, 0.9, 0.9);
    }

    #[test]
    fn a_system_that_fails_or_carries_nothing_is_a_fault_and_one_that_is_not_here_is_none() {
        let here = ["null", "vxlan"].map(|name| systems::named(name).unwrap());
        let mut found = results(vec![measured("null", &[(100, 1.0)]), measured("vxlan", &[(90, 1.0)])]);
        found.note_absent("l2tp-udp", "no such kernel".to_owned());
        assert_eq!(found.faults(&here), [""; 0]);
        found.measured[1].rounds[0].rate = None;
        assert_eq!(found.faults(&here), ["vxlan: lost frames of 64 bytes at every rate"]);
        found.note_absent("null", "no frame came".to_owned());
        assert_eq!(found.faults(&here)[0], "null: no frame came");
    }

    #[test]
    fn the_median_of_two_is_between_them() {
        assert_eq!(Spread::of([3.0, 1.0]), Some(Spread { low: 1.0, median: 2.0, high: 3.0 }));
        assert_eq!(Spread::of([]), None);
    }
}
