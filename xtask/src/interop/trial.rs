//! One go: sessions at both sides, frames, books, verdicts.

use anyhow::{Result, ensure};

use super::breakage::Breakage;
use super::capture::Capture;
use super::case::{Case, Gateway};
use super::guest::Guest;
use super::judge::{Books, Evidence};
use super::matrix::Matrix;
use super::ours::{self, Ours};
use super::report::Row;
use super::{PINGS, REST_DEADLINE, SCRIPT_DEADLINE};
use super::{diagnosis, pings, scripts, theirs};
use crate::lab::gateways;
use crate::progress::Progress;

/// Everything that a go needs.
#[derive(Debug)]
pub(super) struct Trial<'t> {
    pub(super) matrix: &'t Matrix,
    pub(super) cases: &'t [&'t Case],
    pub(super) ours: Ours<'t>,
    pub(super) guest: &'t mut Guest,
    /// Whether the gateways run on afterwards.
    pub(super) keep: bool,
}

/// How a go ended.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) rows: Vec<Row>,
    /// What is wrong besides the cases.
    pub(super) faults: Vec<String>,
}

impl Trial<'_> {
    /// All cases, as they are.
    ///
    /// # Errors
    /// A side does not come up or does not answer; a case that fails is no error.
    pub(super) fn whole(&mut self, progress: &mut Progress) -> Result<Outcome> {
        let cases = self.cases;
        progress.step("making the stations", || self.make_stations())?;
        self.go(progress, cases, None, PINGS)
    }

    /// Each option broken, one after the other, with the cases that rest on it. Prints a line for each.
    ///
    /// # Errors
    /// As [`Self::whole`], or a case does not fail although its option is broken.
    pub(super) fn broken(&mut self, progress: &mut Progress, breakages: &[&Breakage]) -> Result<Outcome> {
        progress.step("making the stations", || self.make_stations())?;
        let mut missed = Vec::new();
        let mut previous: Vec<&Case> = Vec::new();
        for breakage in breakages {
            let cases = breakage.cases(&self.matrix.tunnels, self.cases);
            ensure!(!cases.is_empty(), "no chosen case rests on {}", breakage.key);
            let forget = scripts::forget_sessions(&self.matrix.tunnels, &previous);
            self.guest.run(&forget, SCRIPT_DEADLINE)?;
            let Outcome { rows, faults } = self.go(progress, &cases, Some(breakage), 1)?;
            ensure!(faults.is_empty(), "{}", faults.join("; "));
            let failed = rows.iter().filter(|row| !row.ok).count();
            println!(
                "{:18} broken: {failed} of the {} cases that rest on it failed",
                breakage.key,
                rows.len()
            );
            let example = rows.iter().find_map(|row| Some((&row.name, row.faults.first()?)));
            example.iter().for_each(|(name, fault)| println!("{:18} for one: {name}: {fault}", ""));
            missed.extend(
                rows.iter().filter(|row| row.ok).map(|row| format!("{}: {}", breakage.key, row.name)),
            );
            previous = cases;
        }
        ensure!(missed.is_empty(), "passed although the option is broken:\n{}", missed.join("\n"));
        Ok(Outcome::default())
    }

    fn make_stations(&mut self) -> Result<()> {
        self.guest.run(&scripts::stations(self.cases), SCRIPT_DEADLINE).map(drop)
    }

    /// The cases once, with a broken option or none.
    fn go(
        &mut self,
        progress: &mut Progress,
        cases: &[&Case],
        breakage: Option<&Breakage>,
        count: u32,
    ) -> Result<Outcome> {
        let what = breakage.map_or(String::new(), |breakage| format!(", {} broken", breakage.key));
        let tunnels = &self.matrix.tunnels;
        let (processes, capture) = progress.step(&format!("making {} cases{what}", cases.len()), || {
            let capture = Capture::start(self.ours.lab, &self.ours.network.wires)?;
            // Ours first: what the kernel sends while nobody is there would be missing in the books.
            let processes = self.ours.start(tunnels, cases, breakage)?;
            self.guest.run(&scripts::sessions(tunnels, cases), SCRIPT_DEADLINE)?;
            Ok((processes, capture))
        })?;
        let pings = progress.step("sending", || pings::send(self.guest, cases, count))?;
        progress.step("reading both sides' counters", || {
            let books = self.books_at_rest(cases)?;
            let flows = capture.end()?;
            let evidence = Evidence { tunnels, cases, books: &books, flows: &flows };
            let judged = cases.iter().zip(&pings).map(|(case, pings)| Row::new(case, pings, &evidence));
            let rows: Vec<Row> = judged.collect();
            let failed: Vec<&Case> =
                cases.iter().zip(&rows).filter(|(_, row)| !row.ok).map(|(case, _)| *case).collect();
            if breakage.is_none() && !failed.is_empty() {
                eprintln!("{}", diagnosis::of(&self.ours, self.guest, tunnels, &failed));
            }
            let faults = if self.keep { Vec::new() } else { gateways::end(&processes)? };
            Ok(Outcome { rows, faults })
        })
    }

    /// What both sides count, as soon as that stands still.
    fn books_at_rest(&mut self, cases: &[&Case]) -> Result<Books> {
        let mut last = None;
        let (ours, guest) = (self.ours, &mut *self.guest);
        ours.lab.wait_until("all counters to stand still", REST_DEADLINE, || {
            let now = read(&ours, guest, cases).map_err(|fault| format!("{fault:#}"))?;
            let books = now.clone();
            if last.replace(now).as_ref() == Some(&books) { Ok(books) } else { Err("they move".to_owned()) }
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
