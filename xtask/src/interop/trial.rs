//! One go after the other: sessions at both sides, frames, books, verdicts.

use std::time::Duration;

use anyhow::Result;
use netlab::Process;

use super::capture::Capture;
use super::case::{Case, Gateway};
use super::exercises::Stage;
use super::guest::Guest;
use super::judge::{Books, Evidence};
use super::matrix::Matrix;
use super::ours::{self, Ours};
use super::pings::Pings;
use super::plan::Go;
use super::report::Row;
use super::{SCRIPT_DEADLINE, diagnosis, pings, scripts, theirs};
use crate::lab::gateways;
use crate::progress::Progress;

/// Steps of one go.
pub(super) const STEPS: usize = 3;

/// Echo requests of each kind between two stations; one is enough where all shall fail.
const PINGS: u32 = 3;
const PINGS_WHEN_BROKEN: u32 = 1;

/// Time for all counters to come to rest.
const REST_DEADLINE: Duration = Duration::from_secs(30);

/// Everything that the goes need.
#[derive(Debug)]
pub(super) struct Trial<'t> {
    pub(super) matrix: &'t Matrix,
    pub(super) ours: Ours<'t>,
    pub(super) guest: &'t mut Guest,
    /// Whether the gateways of the last go run on afterwards.
    pub(super) keep: bool,
    /// The processes of the current go.
    pub(super) current: Vec<Process>,
}

/// How all ended.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) rows: Vec<Row>,
    /// What is wrong besides the cases.
    pub(super) faults: Vec<String>,
}

impl Trial<'_> {
    /// Carries the goes out.
    ///
    /// # Errors
    /// A side does not come up or does not answer; a case that fails is no error.
    pub(super) fn run(&mut self, progress: &mut Progress, goes: &[Go<'_>]) -> Result<Outcome> {
        let mut all = Outcome::default();
        for (number, go) in goes.iter().enumerate() {
            let ends = !(self.keep && number + 1 == goes.len());
            let Outcome { rows, faults } = self.go(progress, go, ends)?;
            all.rows.extend(rows);
            all.faults.extend(faults);
            if ends {
                let script = scripts::forget_sessions(&self.matrix.tunnels, &go.cases);
                self.guest.run(&script, SCRIPT_DEADLINE)?;
            }
        }
        Ok(all)
    }

    fn go(&mut self, progress: &mut Progress, go: &Go<'_>, ends: bool) -> Result<Outcome> {
        let Go { cases, breakage, .. } = go;
        let what = breakage.map_or(String::new(), |breakage| format!(", {} broken", breakage.key));
        let (gateways, capture) =
            progress.step(&format!("making {} cases{what}", cases.len()), || self.make(go))?;
        let count = if breakage.is_some() { PINGS_WHEN_BROKEN } else { PINGS };
        let pings = progress.step("sending", || self.send(cases, count))?;
        progress.step("reading both sides' counters", || {
            let (books, size) = self.books_at_rest(cases, &capture)?;
            let seen = capture.end(size)?;
            let evidence = Evidence { tunnels: &self.matrix.tunnels, cases, books: &books, seen: &seen };
            let row = |(case, pings): (&&Case, &pings::Pings)| Row::new(case, pings, &evidence, *breakage);
            let rows: Vec<Row> = cases.iter().zip(&pings).map(row).collect();
            let failed: Vec<&Case> =
                cases.iter().zip(&rows).filter(|(_, row)| !row.ok).map(|(case, _)| *case).collect();
            if breakage.is_none() && !failed.is_empty() {
                eprintln!("{}", self.diagnosis(&failed));
            }
            let faults = if ends { gateways::end(&gateways)? } else { Vec::new() };
            Ok(Outcome { rows, faults })
        })
    }

    /// Starts a capture and our gateways, then makes the kernel's sessions: what the kernel sends while nobody is there
    /// would be missing in the books.
    fn make(&mut self, go: &Go<'_>) -> Result<(Vec<Process>, Capture)> {
        let tunnels = &self.matrix.tunnels;
        let capture = Capture::start(self.ours.lab, &self.ours.network.wires, go.number)?;
        self.current = vec![capture.process().clone()];
        let gateways = self.ours.start(tunnels, go)?;
        self.current.extend(gateways.iter().cloned());
        self.guest.run(&scripts::sessions(tunnels, &go.cases), SCRIPT_DEADLINE)?;
        Ok((gateways, capture))
    }

    /// Sends what there is to send: pings, and what each case demands besides.
    fn send(&mut self, cases: &[&Case], count: u32) -> Result<Vec<Pings>> {
        let mut all = vec![Pings::default(); cases.len()];
        let mut stage = Stage { guest: self.guest, ours: self.ours, tunnels: &self.matrix.tunnels };
        stage.before(cases, &mut all)?;
        pings::send(stage.guest, cases, count, &mut all)?;
        stage.after(cases, &mut all)?;
        Ok(all)
    }

    /// What there is to know after a failure.
    pub(super) fn diagnosis(&mut self, failed: &[&Case]) -> String {
        diagnosis::of(&self.ours, self.guest, &self.matrix.tunnels, (&self.current, failed))
    }

    /// What both sides count, and how much is captured, as soon as all of it stands still. Stations say something of their own accord at times:
    /// what is captured while nothing is counted, or the other way round, would be no fault of anybody.
    fn books_at_rest(&mut self, cases: &[&Case], capture: &Capture) -> Result<(Books, u64)> {
        let mut last = None;
        let (ours, guest) = (self.ours, &mut *self.guest);
        ours.lab.wait_until("all counters to stand still", REST_DEADLINE, || {
            let now = read(&ours, guest, cases)
                .and_then(|books| Ok((books, capture.size()?)))
                .map_err(|fault| format!("{fault:#}"))?;
            let rest = now.clone();
            if last.replace(now).as_ref() == Some(&rest) { Ok(rest) } else { Err("they move".to_owned()) }
        })
    }
}

fn read(ours: &Ours<'_>, guest: &mut Guest, cases: &[&Case]) -> Result<Books> {
    let counts = |gateway| {
        let runs = !ours::session_names(cases, gateway).is_empty();
        if runs { ours.counts(gateway) } else { Ok(ours::Counts::default()) }
    };
    let [first, second] = Gateway::OURS.map(counts);
    Ok(Books { ours: [first?, second?], theirs: theirs::counts(guest)? })
}
