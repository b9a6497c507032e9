//! What the soak found: the books, the checks, the rates; as tables or JSON.

use std::collections::BTreeMap;

use anyhow::Result;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use netlab::article::SITES;
use serde::Serialize;

use super::books::Hop;
use super::checks::Check;
use super::counters::Counters;
use super::flood::{DIRECTIONS, Generated, Sunk};

/// What stands below the table.
const FOOTNOTE: &str = "\
entered - lost - left = difference. \"veth ring full\": the sending end's tx_dropped, the receiving end's ring of 256 had no room.
\"AF_XDP RX ring full\", \"AF_XDP no chunk\": XDP_STATISTICS of the port's sockets. The rest are the engine's drop reasons, the
steering program's decisions and the router's IP counters. Neighbour entries stand still meanwhile, so no ARP is among the frames.";

/// Everything that was found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether all books balance and all checks hold.
    ok: bool,
    /// How long the generators ran. Units: seconds.
    seconds: u32,
    /// Length of the frames without FCS. Units: bytes.
    frame_bytes: u16,
    /// What was sent, passed on and received in each direction.
    rates: Vec<Rate>,
    /// The books, hop by hop.
    hops: Vec<Row>,
    /// What else has to hold.
    checks: Vec<Check>,
    /// Every counter's difference over the flood.
    counters: BTreeMap<String, u64>,
}

/// A hop with its result.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    hop: Hop,
    /// Frames that nobody accounts for.
    difference: i128,
}

/// One direction's rates. Units: frames/s.
#[derive(Debug, Clone, Serialize)]
struct Rate {
    direction: String,
    generated_per_s: f64,
    engine_per_s: f64,
    sunk_per_s: f64,
}

/// What there is to report from.
#[derive(Debug)]
pub(super) struct Findings {
    /// How long the generators ran. Units: seconds.
    pub(super) seconds: u32,
    /// Length of the frames without FCS. Units: bytes.
    pub(super) frame_bytes: u16,
    /// What was counted over the flood.
    pub(super) counted: Counters,
    /// The books.
    pub(super) hops: Vec<Hop>,
    /// What else has to hold.
    pub(super) checks: Vec<Check>,
    /// What the generators report.
    pub(super) generated: Vec<Generated>,
    /// What the sinks report.
    pub(super) sunk: Vec<Sunk>,
}

impl Report {
    /// Judges what was found.
    ///
    /// # Errors
    /// A counter that a rate needs is missing.
    pub(super) fn new(findings: Findings) -> Result<Self> {
        let Findings { seconds, frame_bytes, counted, hops, checks, generated, sunk } = findings;
        let ends = DIRECTIONS.iter().zip(&generated).zip(&sunk);
        let rate = |(([from, _, to], generated), sunk): ((&[usize; 3], &Generated), &Sunk)| {
            let (near, far) = (&SITES[*from], &SITES[*to]);
            let engine = counted.get(&format!("{} eth1 engine_rx", near.gateway))?;
            Ok(Rate {
                direction: format!("{} > {}", near.pc, far.pc),
                generated_per_s: generated.frames_per_s,
                engine_per_s: per_second(engine, seconds),
                sunk_per_s: sunk.frames_per_s,
            })
        };
        let rates = ends.map(rate).collect::<Result<_>>()?;
        let hops: Vec<Row> = hops.into_iter().map(|hop| Row { difference: hop.difference(), hop }).collect();
        let ok = !hops.is_empty()
            && !checks.is_empty()
            && hops.iter().all(|row| row.difference == 0)
            && checks.iter().all(|check| check.ok);
        Ok(Self { ok, seconds, frame_bytes, rates, hops, checks, counters: counted.all().clone() })
    }

    /// Whether everything holds.
    pub(super) fn is_ok(&self) -> bool {
        self.ok
    }

    /// Writes the report to standard output.
    pub(super) fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self)?);
            return Ok(());
        }
        println!("{}\n{FOOTNOTE}\n\n{}\n", self.books(), self.checked());
        for Rate { direction, generated_per_s, engine_per_s, sunk_per_s } in &self.rates {
            println!(
                "{direction}: {generated_per_s:.0} frames/s of {} bytes sent, {engine_per_s:.0} taken by the first engine, \
                 {sunk_per_s:.0} through all three gateways",
                self.frame_bytes
            );
        }
        let unbalanced = self.hops.iter().filter(|row| row.difference != 0).count();
        let failed = self.checks.iter().filter(|check| !check.ok).count();
        println!(
            "{} s: {} of {} hops balance, {} of {} checks hold",
            self.seconds,
            self.hops.len() - unbalanced,
            self.hops.len(),
            self.checks.len() - failed,
            self.checks.len()
        );
        Ok(())
    }

    fn books(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header([
            "direction",
            "hop",
            "entered",
            "lost, counted",
            "left",
            "difference",
        ]);
        for Row { hop, difference } in &self.hops {
            let lost: Vec<String> = hop
                .lost
                .iter()
                .filter(|loss| loss.frames > 0)
                .map(|loss| format!("{} {}", loss.frames, loss.what))
                .collect();
            table.add_row([
                hop.direction.clone(),
                hop.place.clone(),
                hop.entered.to_string(),
                if lost.is_empty() { "0".to_owned() } else { lost.join("\n") },
                hop.left.to_string(),
                difference.to_string(),
            ]);
        }
        table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        table
    }

    fn checked(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header(["", "what has to hold", "found"]);
        for Check { what, ok, found } in &self.checks {
            table.add_row([if *ok { "ok" } else { "FAILED" }, what, found]);
        }
        table
    }
}

/// A count as a rate.
#[expect(clippy::cast_precision_loss, reason = "shown without decimals")]
fn per_second(count: u64, seconds: u32) -> f64 {
    count as f64 / f64::from(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(left: u64, holds: bool) -> Report {
        let hop = Hop {
            direction: "both".to_owned(),
            place: "wire".to_owned(),
            entered: 10,
            lost: Vec::new(),
            left,
        };
        let check = Check { what: "all is well".to_owned(), ok: holds, found: String::new() };
        Report::new(Findings {
            seconds: 1,
            frame_bytes: 64,
            counted: Counters::default(),
            hops: vec![hop],
            checks: vec![check],
            generated: Vec::new(),
            sunk: Vec::new(),
        })
        .unwrap()
    }

    #[test]
    fn one_frame_that_nobody_accounts_for_fails_the_report() {
        assert!(report(10, true).is_ok());
        assert!(!report(9, true).is_ok());
    }

    #[test]
    fn one_check_that_does_not_hold_fails_the_report() {
        assert!(!report(10, false).is_ok());
    }
}
