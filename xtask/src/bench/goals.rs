//! Goals: the numbers that the engine has to hold in memory, and whether it does.

use super::callgrind::Counts;
use super::measured::{ARITHMETIC, Scaling, ScalingCase, Spread, Timed};
use crate::report::Grid;

/// Case of the ports in memory without an engine: what stands in for the rings is no part of the engine's cost.
const PORTS: &str = "ports without engine";

/// Limits, must and aim, of what plots show too: instructions of encap and decap, and the ratio of two workers to one.
pub(super) const INSTRUCTIONS: [f64; 2] = [280.0, 180.0];
pub(super) const TWO_WORKERS: [f64; 2] = [1.8, 1.9];

/// How a goal was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    Aim,
    Must,
    Not,
}

/// One goal.
#[derive(Debug, Clone)]
pub(super) struct Goal {
    what: String,
    /// The limits, and what was found, for people.
    must: String,
    aim: String,
    measured: String,
    pub(super) met: Met,
}

/// All that the goals are about.
#[derive(Debug, Clone, Copy)]
pub(super) struct Findings<'f> {
    pub(super) timed: &'f Timed,
    pub(super) counts: &'f [Counts],
    pub(super) scaling: Option<&'f Scaling>,
}

/// Every goal that these findings say something about.
pub(super) fn goals(findings: Findings<'_>) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (way, name) in [("encap", "encap path, 64 B, 1 k MACs, batch 64"), ("decap", "decap path, likewise")]
    {
        goals.extend(findings.cycles(way, name));
        goals.extend(findings.instructions(way, name));
    }
    for way in ["encap", "decap"] {
        goals.extend(findings.large_fdb(way));
    }
    goals.extend(findings.steady_state());
    goals.extend(findings.two_workers());
    goals.extend(findings.one_tunnel());
    goals
}

/// The goals as a table.
pub(super) fn table(goals: &[Goal]) -> Grid {
    let row = |goal: &Goal| {
        let met = match goal.met {
            Met::Aim => "aim met",
            Met::Must => "must met",
            Met::Not => "NOT met",
        };
        vec![goal.what.clone(), goal.must.clone(), goal.aim.clone(), goal.measured.clone(), met.to_owned()]
    };
    Grid {
        columns: ["goal", "must", "aim", "measured", ""].map(str::to_owned).to_vec(),
        rows: goals.iter().map(row).collect(),
    }
}

/// A goal of at most so much.
fn at_most(what: String, [must, aim]: [f64; 2], value: f64, measured: String) -> Goal {
    let met = match value {
        _ if value <= aim => Met::Aim,
        _ if value <= must => Met::Must,
        _ => Met::Not,
    };
    Goal { what, must: format!("≤ {must}"), aim: format!("≤ {aim}"), measured, met }
}

/// A median with its quartiles.
fn shown(spread: Spread) -> String {
    format!("{:.1} ({:.1} to {:.1})", spread.median, spread.lower_quartile, spread.upper_quartile)
}

impl Findings<'_> {
    fn count(&self, name: &str) -> Option<&Counts> {
        self.counts.iter().find(|counts| counts.name == name)
    }

    fn cycles(&self, way: &str, what: &str) -> Option<Goal> {
        let engine = self.timed.difference(way, PORTS)?;
        let whole = self.timed.case(way)?.cycles_per_frame.median;
        let measured = format!("{}; with the ports {whole:.1}", shown(engine));
        Some(at_most(format!("{what}: cycles"), [100.0, 60.0], engine.median, measured))
    }

    fn instructions(&self, way: &str, what: &str) -> Option<Goal> {
        let whole = self.count(way)?.per_frame();
        let engine = whole - self.count(PORTS)?.per_frame();
        let measured = format!("{engine:.1}; with the ports {whole:.1}");
        let what = format!("{what}: instructions");
        Some(at_most(what, INSTRUCTIONS, engine, measured))
    }

    fn large_fdb(&self, way: &str) -> Option<Goal> {
        let more = self.timed.difference(&format!("{way}, 1 M MACs"), way)?;
        let what = format!("FDB with 1 M MACs instead of 1 k, {way}: more cycles");
        Some(at_most(what, [80.0, 40.0], more.median, shown(more)))
    }

    /// Of all cases of the engine with full batches. Taking a lock that nobody holds is one locked instruction at least, so fewer
    /// of these than frames means that no frame takes one.
    fn steady_state(&self) -> Option<Goal> {
        let burst = |name: &str| self.timed.case(name)?.scenario.as_ref().map(|scenario| scenario.burst);
        let counts = self.counts.iter().filter(|counts| burst(&counts.name) == Some(64));
        let locked = counts.clone().map(Counts::locked_per_frame).reduce(f64::max)?;
        let system_calls: u64 = counts.map(|counts| counts.system_calls).sum();
        let timed = self.timed.cases.iter().filter(|case| case.scenario.is_some());
        let allocations: u64 = timed.map(|case| case.allocations_per_pass).sum();
        let met = if allocations == 0 && system_calls == 0 && locked < 1.0 { Met::Aim } else { Met::Not };
        Some(Goal {
            what: "allocations, locks, system calls per frame in steady state".to_owned(),
            must: "0".to_owned(),
            aim: "0".to_owned(),
            measured: format!(
                "{allocations} allocations, {system_calls} system calls, {locked:.2} atomic read-modify-writes"
            ),
            met,
        })
    }

    /// The worst of the cases where each worker receives its own frames.
    fn two_workers(&self) -> Option<Goal> {
        let engine = self.scaling?.cases.iter().filter(|case| case.name != ARITHMETIC);
        self.ratio("two workers against one", engine)
    }

    /// The worst of the cases where one worker receives everything.
    fn one_tunnel(&self) -> Option<Goal> {
        self.ratio("the same, one tunnel spread by its flows", self.scaling?.spread.iter())
    }

    /// Two workers by one, in the worst of these cases.
    fn ratio<'c>(&self, what: &str, cases: impl Iterator<Item = &'c ScalingCase>) -> Option<Goal> {
        let worst = cases.min_by(|one, other| one.ratio.median.total_cmp(&other.ratio.median))?;
        let machine = self.scaling?.cases.iter().find(|case| case.name == ARITHMETIC)?.ratio.median;
        let value = worst.ratio.median;
        let [must, aim] = TWO_WORKERS;
        let met = match value {
            _ if value >= aim => Met::Aim,
            _ if value >= must => Met::Must,
            _ => Met::Not,
        };
        let Spread { lower_quartile, upper_quartile, .. } = worst.ratio;
        Some(Goal {
            what: format!("{what}, worst case ({})", worst.name),
            must: format!("≥ {must}"),
            aim: format!("≥ {aim}"),
            measured: format!(
                "{value:.2} ({lower_quartile:.2} to {upper_quartile:.2}); pure arithmetic {machine:.2}"
            ),
            met,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::measured::{FrameLength, ScalingCase, Scenario, TimedCase, Way};
    use super::*;

    fn exactly(value: f64) -> Spread {
        Spread { minimum: value, lower_quartile: value, median: value, upper_quartile: value, maximum: value }
    }

    fn timed(cases: &[(&str, f64)]) -> Timed {
        let case = |(name, cycles): &(&str, f64)| TimedCase {
            name: (*name).to_owned(),
            scenario: Some(Scenario {
                way: Way::Encap,
                frame: FrameLength::Bytes(64),
                macs: 1000,
                sessions: 1,
                burst: 64,
                carrier: "udp".to_owned(),
                frames: 1024,
                huge_pages: false,
            }),
            frames: 1,
            cycles_per_frame: exactly(*cycles),
            ns_per_frame: exactly(*cycles),
            samples: vec![*cycles; 3],
            allocations_per_pass: 0,
        };
        Timed { runs: 3, passes_per_run: 1, tsc_hz: 1e9, cases: cases.iter().map(case).collect() }
    }

    fn counts(name: &str, instructions: u64, locked_instructions: u64) -> Counts {
        let name = name.to_owned();
        Counts {
            name,
            frames: 100,
            instructions,
            library_instructions: 0,
            locked_instructions,
            system_calls: 0,
        }
    }

    fn met(timed: &Timed, counts: &[Counts], scaling: Option<&Scaling>) -> Vec<Met> {
        goals(Findings { timed, counts, scaling }).iter().map(|goal| goal.met).collect()
    }

    #[test]
    fn the_ports_in_memory_are_no_part_of_the_engines_cost() {
        let counts = [counts("encap", 19_000, 3), counts(PORTS, 1_500, 0)];
        let timed = timed(&[("encap", 105.0), (PORTS, 7.0)]);
        assert_eq!(met(&timed, &counts, None), [Met::Must, Met::Aim, Met::Aim]);
    }

    #[test]
    fn goals_that_are_not_met_are_said_so() {
        let counts = [counts("encap", 30_000, 100), counts(PORTS, 1_500, 0)];
        let timed = timed(&[("encap", 108.0), (PORTS, 7.0), ("encap, 1 M MACs", 189.0)]);
        assert_eq!(met(&timed, &counts, None), [Met::Not; 4]);
        let grid = table(&goals(Findings { timed: &timed, counts: &counts, scaling: None }));
        assert_eq!(grid.rows[0].last().map(String::as_str), Some("NOT met"));
    }

    #[test]
    fn the_worst_case_of_two_workers_counts_and_arithmetic_is_none() {
        let case = |name: &str, ratio| ScalingCase {
            name: name.to_owned(),
            one_frames_per_s: exactly(1.0),
            two_frames_per_s: exactly(ratio),
            ratio: exactly(ratio),
        };
        let cases = vec![case(ARITHMETIC, 1.2), case("encap", 1.95), case("decap", 1.85)];
        let scaling = Scaling { runs: 1, cpus: [0, 1], cases, spread: vec![case("a", 1.9), case("b", 1.7)] };
        assert_eq!(met(&timed(&[]), &[], Some(&scaling)), [Met::Must, Met::Not]);
    }
}
