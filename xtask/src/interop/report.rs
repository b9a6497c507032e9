//! What is printed: one line per case, a summary, or JSON.

use anyhow::{Result, ensure};
use serde::Serialize;

use super::case::{Case, Expected};
use super::judge::Evidence;
use super::pings::Pings;
use super::trial::Outcome;

/// How one case ended.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) ok: bool,
    /// `passes` or `refused`.
    expected: &'static str,
    pings_sent: u32,
    pings_received: u32,
    /// Frames that the gateways of the case sent by pseudowires, and frames that they accepted.
    frames_sent: u64,
    frames_accepted: u64,
    pub(super) faults: Vec<String>,
}

/// How all ended.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The guest's kernel.
    kernel: String,
    cases: Vec<Row>,
    passed: usize,
    failed: usize,
    /// What is wrong besides the cases: a gateway that did not end well.
    faults: Vec<String>,
    seconds: f64,
}

impl Row {
    pub(super) fn new(case: &Case, pings: &Pings, evidence: &Evidence<'_>) -> Self {
        let Evidence { tunnels, books, .. } = evidence;
        let faults = evidence.faults(case, pings);
        let wires = case.wires.iter().flat_map(|wire| [0, 1].map(|end| books.ledger(tunnels, wire, end)));
        let ledgers: Vec<_> = wires.flatten().collect();
        Self {
            name: case.name.clone(),
            ok: faults.is_empty(),
            expected: if case.expected == Expected::Passes { "passes" } else { "refused" },
            pings_sent: pings.sent,
            pings_received: pings.received,
            frames_sent: ledgers.iter().map(|ledger| ledger.tx_frames).sum(),
            frames_accepted: ledgers.iter().map(|ledger| ledger.rx_frames).sum(),
            faults,
        }
    }

    /// The line of the case, and one more for each fault.
    pub(super) fn line(&self) -> String {
        let Self { name, pings_sent, pings_received, frames_sent, frames_accepted, .. } = self;
        let word = if self.ok { "ok" } else { "FAILED" };
        let mut text = format!(
            "{word:6} {name:56} pings {pings_received}/{pings_sent}, frames accepted {frames_accepted}/{frames_sent}"
        );
        for fault in &self.faults {
            text += &format!("\n         {fault}");
        }
        text
    }
}

impl Report {
    pub(super) fn new(kernel: String, outcome: Outcome, seconds: f64) -> Self {
        let Outcome { rows: cases, faults } = outcome;
        let passed = cases.iter().filter(|row| row.ok).count();
        Self { kernel, passed, failed: cases.len() - passed, cases, faults, seconds }
    }

    /// # Errors
    /// A case failed, or something besides.
    pub(super) fn verdict(&self) -> Result<()> {
        let Self { failed, cases, faults, .. } = self;
        ensure!(*failed == 0, "{failed} of {} cases failed", cases.len());
        ensure!(faults.is_empty(), "{}", faults.join("; "));
        Ok(())
    }

    /// Prints the lines and the summary, or everything as JSON.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub(super) fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        self.cases.iter().for_each(|row| println!("{}", row.line()));
        println!(
            "\ncases: {} passed, {} failed; against Linux {}; {:.0} s",
            self.passed, self.failed, self.kernel, self.seconds
        );
        Ok(())
    }
}
