//! What the guest found, as ratios.

use serde::{Deserialize, Serialize};

use super::super::pages::shown;
use super::super::systems;
use super::guest::Run;
use crate::report::{Grid, Section, Spread};

/// Runs with fewer frames than this share of those sent say nothing.
const LEAST_CAME: f64 = 0.99;

/// Everything that was measured in the guest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::compare) struct Ratios {
    runs: Vec<Run>,
}

impl Ratios {
    /// Of these runs.
    pub(super) fn new(runs: Vec<Run>) -> Self {
        Self { runs }
    }

    /// CPU time of the kernel's `l2tp_eth` gateways over UDP by that of its VXLAN gateways: generator and sink are in
    /// neither. `None` when it was not measured with this size.
    pub(in crate::compare) fn l2tp_by_vxlan(&self, frame_bytes: u32) -> Option<f64> {
        Some(self.by_vxlan("l2tp-udp", frame_bytes)?.median)
    }

    /// Time per frame, of the whole chain. Units: ns.
    fn chain_ns(&self, round: u32, system: &str, frame_bytes: u32) -> Option<f64> {
        let is_it = |run: &&Run| run.round == round && run.system == system && run.frame_bytes == frame_bytes;
        let run = self.runs.iter().find(is_it)?;
        let came = f64::from(run.came);
        (came >= f64::from(run.sent) * LEAST_CAME).then(|| f64::from(run.us) * 1e3 / came)
    }

    /// The same of the gateways alone. Units: ns.
    fn gateways_ns(&self, round: u32, system: &str, frame_bytes: u32) -> Option<f64> {
        Some(self.chain_ns(round, system, frame_bytes)? - self.chain_ns(round, "wire", frame_bytes)?)
    }

    fn by_vxlan(&self, system: &str, frame_bytes: u32) -> Option<Spread> {
        let gateways = |round, system| self.gateways_ns(round, system, frame_bytes);
        self.over_rounds(|round| Some(gateways(round, system)? / gateways(round, "vxlan")?))
    }

    /// A number of each round.
    fn over_rounds(&self, number: impl Fn(u32) -> Option<f64>) -> Option<Spread> {
        let rounds = self.runs.iter().map(|run| run.round).max()?;
        Spread::of((0..=rounds).filter_map(number))
    }

    /// The section of the report.
    pub(in crate::compare) fn section(&self) -> Section {
        Section {
            title: "The kernel's own tunnels in User-mode Linux".to_owned(),
            text: vec![
                "Where this kernel has no l2tp_eth: its code in User-mode Linux, on the same chain of namespaces, with pktgen as \
                 generator. Times are those of User-mode Linux and mean nothing outside; ratios are taken round by round."
                    .to_owned(),
            ],
            tables: vec![self.table()],
            figures: Vec::new(),
        }
    }

    /// The table.
    pub(in crate::compare) fn table(&self) -> Grid {
        let columns = [
            "in User-mode Linux",
            "bytes",
            "chain, ns/frame",
            "gateways, ns/frame",
            "tunnel, ns/frame",
            "gateways by VXLAN",
        ];
        let mut cells: Vec<(&str, u32)> = Vec::new();
        for run in &self.runs {
            if !cells.contains(&(&run.system, run.frame_bytes)) {
                cells.push((&run.system, run.frame_bytes));
            }
        }
        let rows = cells.into_iter().map(|(system, size)| self.row(system, size)).collect();
        Grid { columns: columns.map(str::to_owned).to_vec(), rows }
    }

    fn row(&self, system: &str, size: u32) -> Vec<String> {
        let gateways = |round, system| self.gateways_ns(round, system, size);
        let found = systems::named(system);
        let title = found.map_or(system, |system| system.title).to_owned();
        let null = found.and_then(systems::System::null);
        let has_gateways = found.is_some_and(systems::System::has_gateways);
        let of_gateways = self.over_rounds(|round| gateways(round, system)).filter(|_| has_gateways);
        let tunnel = self.over_rounds(|round| Some(gateways(round, system)? - gateways(round, null?)?));
        let ratio = self.by_vxlan(system, size).filter(|_| has_gateways);
        let ratio = ratio.map_or_else(
            || "-".to_owned(),
            |Spread { low, median, high }| format!("{median:.2} ({low:.2} to {high:.2})"),
        );
        vec![
            title,
            size.to_string(),
            shown(self.over_rounds(|round| self.chain_ns(round, system, size)), 1.0),
            shown(of_gateways, 1.0),
            shown(tunnel, 1.0),
            ratio,
        ]
    }
}

#[cfg(test)]
pub(in crate::compare) mod tests {
    use super::*;

    /// One round in which gateways took these times, in us per 1000 frames, and generator and sink 500.
    pub(in crate::compare) fn ratios(gateways: &[(&str, u32)]) -> Ratios {
        let run = |(system, us): (&str, u32)| Run {
            round: 0,
            system: system.to_owned(),
            frame_bytes: 64,
            sent: 1000,
            came: 1000,
            us: us + 500,
        };
        Ratios::new([("wire", 0)].iter().chain(gateways).copied().map(run).collect())
    }

    #[test]
    fn ratios_are_of_the_gateways_without_generator_and_sink() {
        let ratios = ratios(&[("bridge", 1000), ("vxlan", 4000), ("l2tp-udp", 3000)]);
        assert!((ratios.l2tp_by_vxlan(64).unwrap() - 0.75).abs() < 1e-9);
        assert_eq!(ratios.l2tp_by_vxlan(1514), None);
        let rows = ratios.table().rows;
        assert_eq!(
            rows[3],
            ["kernel l2tp_eth + bridge, over UDP", "64", "3500", "3000", "2000", "0.75 (0.75 to 0.75)"]
        );
        assert_eq!(rows[0], ["wire only", "64", "500", "-", "-", "-"]);
    }

    #[test]
    fn a_run_that_lost_frames_says_nothing() {
        let mut ratios = ratios(&[("vxlan", 4000), ("l2tp-udp", 3000)]);
        ratios.runs[2].came = 900;
        assert_eq!(ratios.l2tp_by_vxlan(64), None);
    }
}
