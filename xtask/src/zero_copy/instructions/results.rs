//! Results: what was measured, and what is derived from it.

use serde::{Deserialize, Serialize};

use super::systems::System;
use super::trial::{Direction, Outcome};
use crate::report::Spread;

/// How much is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Load {
    /// The same for all systems, far below what any of them can carry.
    Steady,
    /// As much as leaves next to nothing of the CPU.
    Full,
}

impl Load {
    pub(super) const ALL: [Self; 2] = [Self::Steady, Self::Full];

    /// What tables call it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Full => "full",
        }
    }
}

/// Everything that was measured of one system in one case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) system: System,
    pub(super) direction: Direction,
    /// Length of the frames of the LAN without FCS. Units: bytes.
    pub(super) frame_bytes: u32,
    pub(super) load: Load,
    /// Offered, all generators together. Units: frames/s.
    pub(super) rate: f64,
    /// Round after round.
    pub(super) rounds: Vec<Round>,
}

/// One round.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Round {
    /// With the system.
    pub(super) system: Outcome,
    /// The same generators at the same times, with cards that take nothing.
    pub(super) ends: Outcome,
}

impl Round {
    /// Instructions per frame of all but generator and sink.
    pub(super) fn gateway(&self) -> f64 {
        self.system.per_frame() - self.ends.per_frame()
    }
}

impl Cell {
    /// Whether it is of this case.
    pub(super) fn is(&self, direction: Direction, frame_bytes: u32, load: Load) -> bool {
        (self.direction, self.frame_bytes, self.load) == (direction, frame_bytes, load)
    }

    /// A number of each round.
    pub(super) fn spread(&self, number: impl Fn(&Round) -> f64) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(number))
    }

    /// Instructions per frame of the gateway.
    pub(super) fn gateway(&self) -> Option<Spread> {
        self.spread(Round::gateway)
    }
}

/// Everything.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) cells: Vec<Cell>,
}

/// A case in which two systems are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ratio {
    pub(super) direction: Direction,
    pub(super) frame_bytes: u32,
    pub(super) load: Load,
    /// Round by round.
    pub(super) value: Spread,
}

impl Results {
    /// One system in one case.
    pub(super) fn find(
        &self,
        system: System,
        direction: Direction,
        frame_bytes: u32,
        load: Load,
    ) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.system == system && cell.is(direction, frame_bytes, load))
    }

    /// Instructions of one system by those of another, in every case in which both were measured.
    pub(super) fn ratios(&self, system: System, other: System) -> Vec<Ratio> {
        let of_cell = |cell: &Cell| {
            let other = self.find(other, cell.direction, cell.frame_bytes, cell.load)?;
            let both = cell.rounds.iter().zip(&other.rounds);
            let value = Spread::of(both.map(|(one, other)| one.gateway() / other.gateway()))?;
            let Cell { direction, frame_bytes, load, .. } = *cell;
            Some(Ratio { direction, frame_bytes, load, value })
        };
        self.cells.iter().filter(|cell| cell.system == system).filter_map(of_cell).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A cell whose gateway takes so many instructions per frame, round by round, and generator and sink 300.
    pub(in super::super) fn cell(system: System, direction: Direction, load: Load, gateway: &[f64]) -> Cell {
        let outcome = |per_frame: f64| Outcome {
            frames: 1000,
            sent: 1100,
            refused: 0,
            passed: 1100,
            late_bursts: 0,
            seconds: 0.1,
            instructions: per_frame * 1000.0,
        };
        let round = |gateway: &f64| Round { system: outcome(300.0 + gateway), ends: outcome(300.0) };
        let rounds = gateway.iter().map(round).collect();
        Cell { system, direction, frame_bytes: 64, load, rate: 1e5, rounds }
    }

    #[test]
    fn generator_and_sink_are_no_part_of_the_gateway_and_ratios_are_of_one_round() {
        let cells = vec![
            cell(System::L2tp, Direction::Encap, Load::Full, &[4000.0, 5000.0]),
            cell(System::Spanwire, Direction::Encap, Load::Full, &[1000.0, 1000.0]),
            cell(System::Spanwire, Direction::Decap, Load::Full, &[900.0]),
        ];
        let results = Results { cells };
        let ratios = results.ratios(System::Spanwire, System::L2tp);
        assert_eq!(ratios.len(), 1);
        let Spread { low, median, high } = ratios[0].value;
        assert!((low - 0.2).abs() < 1e-9 && (median - 0.225).abs() < 1e-9 && (high - 0.25).abs() < 1e-9);
    }
}
