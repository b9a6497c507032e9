//! What is printed: one line per case, a summary, or JSON.

use anyhow::{Result, ensure};
use serde::Serialize;

use super::breakage::Breakage;
use super::case::{Case, Expected};
use super::judge::Evidence;
use super::pings::Pings;
use super::trial::Outcome;

/// How one case ended.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    name: String,
    pub(super) ok: bool,
    /// The option of ours that was broken.
    #[serde(skip)]
    broken: Option<&'static str>,
    /// `passes` or `refused`.
    expected: &'static str,
    pings_sent: u32,
    pings_received: u32,
    /// Frames that the gateways of the case sent by pseudowires, and frames that they accepted.
    frames_sent: u64,
    frames_accepted: u64,
    faults: Vec<String>,
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
    pub(super) fn new(
        case: &Case,
        pings: &Pings,
        evidence: &Evidence<'_>,
        breakage: Option<&'static Breakage>,
    ) -> Self {
        let Evidence { tunnels, books, .. } = evidence;
        let faults = evidence.faults(case, pings);
        let wires = case.wires.iter().flat_map(|wire| [0, 1].map(|end| books.ledger(tunnels, wire, end)));
        let ledgers: Vec<_> = wires.flatten().collect();
        Self {
            name: case.name.clone(),
            ok: faults.is_empty(),
            broken: breakage.map(|breakage| breakage.key),
            expected: if case.expected == Expected::Passes { "passes" } else { "refused" },
            pings_sent: pings.sent,
            pings_received: pings.received,
            frames_sent: ledgers.iter().map(|ledger| ledger.tx_frames).sum(),
            frames_accepted: ledgers.iter().map(|ledger| ledger.rx_frames).sum(),
            faults,
        }
    }

    /// The line of the case, and one more for each fault.
    fn line(&self) -> String {
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
        // With the lines of those cases: in a long log the summary at its end is what is read first.
        let lines =
            || cases.iter().filter(|row| !row.ok).map(|row| format!("\n{}", row.line())).collect::<String>();
        ensure!(*failed == 0, "{failed} of {} cases failed{}", cases.len(), lines());
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

/// Prints a line for each broken option, with what one case said.
///
/// # Errors
/// A case passed although an option that it rests on is broken, or a gateway did not end well.
pub(super) fn print_broken(outcome: &Outcome, breakages: &[&Breakage]) -> Result<()> {
    for Breakage { key, .. } in breakages {
        let rows = || outcome.rows.iter().filter(|row| row.broken == Some(key));
        let failed = rows().filter(|row| !row.ok).count();
        println!("{key:16} broken: {failed} of the {} cases that rest on it failed", rows().count());
        if let Some((name, fault)) = rows().find_map(|row| Some((&row.name, row.faults.first()?))) {
            println!("{:16} such as {name}: {fault}", "");
        }
    }
    let passed = outcome.rows.iter().filter(|row| row.ok);
    let passed: Vec<_> =
        passed.map(|row| format!("{} with {} broken", row.name, row.broken.unwrap_or_default())).collect();
    ensure!(passed.is_empty(), "these passed all the same:\n{}", passed.join("\n"));
    ensure!(outcome.faults.is_empty(), "{}", outcome.faults.join("; "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interop::breakage;

    fn row(faults: &[&str], broken: Option<&'static str>) -> Row {
        Row {
            name: "udp4/a-case".to_owned(),
            ok: faults.is_empty(),
            broken,
            expected: "passes",
            pings_sent: 18,
            pings_received: 18,
            frames_sent: 42,
            frames_accepted: 42,
            faults: faults.iter().map(|fault| (*fault).to_owned()).collect(),
        }
    }

    fn report(rows: Vec<Row>, faults: &[&str]) -> Report {
        let faults = faults.iter().map(|fault| (*fault).to_owned()).collect();
        Report::new("6.12".to_owned(), Outcome { rows, faults }, 1.0)
    }

    #[test]
    fn one_failed_case_or_a_gateway_that_ends_badly_fails_the_run() {
        report(vec![row(&[], None)], &[]).verdict().unwrap();
        assert!(report(vec![row(&[], None), row(&["lost"], None)], &[]).verdict().is_err());
        assert!(report(vec![row(&[], None)], &["gw1 did not end well"]).verdict().is_err());
    }

    #[test]
    fn every_fault_of_a_case_is_under_its_line() {
        let line = row(&["lost", "wrong"], None).line();
        assert!(line.starts_with("FAILED udp4/a-case "), "{line}");
        assert!(line.ends_with("frames accepted 42/42\n         lost\n         wrong"), "{line}");
    }

    #[test]
    fn a_case_that_passes_with_a_broken_option_fails_the_run() {
        let breakages = breakage::named("cookie").unwrap();
        let outcome = |rows| Outcome { rows, faults: Vec::new() };
        let failed = row(&["lost"], Some("cookie"));
        print_broken(&outcome(vec![failed]), &breakages).unwrap();
        let fault = print_broken(&outcome(vec![row(&[], Some("cookie"))]), &breakages).unwrap_err();
        assert!(fault.to_string().contains("udp4/a-case with cookie broken"), "{fault}");
    }
}
