//! What the lab found: the drawn topology, one table, or JSON.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use netlab::article::SITES;
use serde::Serialize;

use super::drawing::topology;
use super::flow::Flow;
use super::gateways::Session;
use super::narrow::Narrow;
use super::ping::Ping;
use super::trial::PAIRS;

/// Idle load above which the CPU times drown in it. Units: CPUs.
const QUIET_CPUS: f64 = 0.2;

/// What stands below the table.
const FOOTNOTE: &str = "\
1518 B: the largest frame of a 1500-byte LAN, 64 B: the smallest, both with FCS; each flow is 10000 UDP datagrams at a steady
pace, every one checked for its content at the receiver. packets/s is that pace as it arrived, not the most that is possible.
CPU-ns per packet: time that the CPUs of the whole machine were not idle while the flow ran, less what the idle lab takes in
that time, by packets received. It includes the sending and the receiving PC, the router, whatever else the machine did, and
what a hypervisor took away; the bottom line is more trustworthy than a single cell. \"-\": lost in the machine's other work.";

/// Everything that the lab found.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether every pair works without loss, and nothing else is wrong.
    ok: bool,
    /// What is wrong besides loss: how gateways ended, what they left behind.
    faults: Vec<String>,
    /// All sessions, gateway by gateway.
    sessions: Vec<Session>,
    /// Every directed pair of PCs.
    pairs: Vec<Pair>,
    /// CPUs that the machine kept busy while the gateways ran and no flow did: before the flows, and after them.
    idle_cpus: [f64; 2],
    /// CPU time per packet over all flows of the large, then of the small frames. Units: ns.
    cpu_ns_per_packet: [Option<f64>; 2],
    /// The same pairs over an underlay of 1500 bytes.
    narrow: Narrow,
}

/// One directed pair of PCs.
#[derive(Debug, Serialize)]
struct Pair {
    from: &'static str,
    to: &'static str,
    ok: bool,
    ping: Ping,
    /// With packets of 1500 bytes that nobody may cut up.
    ping_largest: Ping,
    /// Large frames, then small ones.
    flows: [FlowRow; 2],
}

/// A flow with what is derived from it.
#[derive(Debug, Serialize)]
struct FlowRow {
    #[serde(flatten)]
    flow: Flow,
    cpu_ns_per_packet: Option<f64>,
}

impl Report {
    /// Puts together what was found; `pings` and `flows` in the order of [`PAIRS`].
    pub(super) fn new(
        sessions: Vec<Session>,
        [pings, largest]: [Vec<Ping>; 2],
        flows: &[[Flow; 2]],
        idle_cpus: [f64; 2],
        narrow: Narrow,
    ) -> Self {
        let parts = PAIRS.iter().zip(pings.into_iter().zip(largest)).zip(flows);
        let pairs: Vec<Pair> =
            parts.map(|((&pair, pings), flows)| Pair::new(pair, pings.into(), flows)).collect();
        let over_all = |size: usize| {
            let (received, cpu_ns) = flows.iter().fold((0, 0.0), |(received, cpu_ns), both| {
                (received + both[size].received, cpu_ns + both[size].cpu_ns)
            });
            per_packet(cpu_ns, received)
        };
        let ok = pairs.len() == PAIRS.len() && pairs.iter().all(|pair| pair.ok);
        let cpu_ns_per_packet = [over_all(0), over_all(1)];
        let faults = narrow.faults();
        let mut report =
            Self { ok, faults: Vec::new(), sessions, pairs, idle_cpus, cpu_ns_per_packet, narrow };
        report.add_faults(faults);
        report
    }

    /// Adds what is wrong besides loss.
    pub(super) fn add_faults(&mut self, faults: Vec<String>) {
        self.ok &= faults.is_empty();
        self.faults.extend(faults);
    }

    /// Whether every pair works without loss, and nothing else is wrong.
    pub(super) fn is_ok(&self) -> bool {
        self.ok
    }

    /// The report in one word: nothing, or what fails the command.
    ///
    /// # Errors
    /// A pair does not work without loss, or something else is wrong.
    pub(super) fn verdict(&self) -> Result<()> {
        ensure!(self.faults.is_empty(), "{}", self.faults.join("; "));
        ensure!(self.ok, "not every pair of PCs works without loss");
        Ok(())
    }

    /// Writes the report to standard output.
    pub(super) fn print(&self, json: bool) -> Result<()> {
        if json {
            println!("{}", serde_json::to_string_pretty(self)?);
        } else {
            println!("\n{}\n{}\n{}\n{FOOTNOTE}", topology(), self.session_lines(), self.table());
            println!("{}\n", self.idle_line());
            println!("{}\n", self.narrow.shown());
        }
        Ok(())
    }

    /// What the CPU times are measured against, and whether they mean anything.
    fn idle_line(&self) -> String {
        let [before, after] = self.idle_cpus;
        let line =
            format!("With no flow, the machine kept {before:.2} CPUs busy before and {after:.2} after.");
        let warning = " It does other things meanwhile, so the CPU times above mean little.";
        if before.max(after) > QUIET_CPUS { line + warning } else { line }
    }

    fn session_lines(&self) -> String {
        self.sessions.iter().fold(String::new(), |mut text, session| {
            let Session { gateway, name, session_id, peer_session_id, state, .. } = session;
            let _ = writeln!(
                text,
                "{gateway} {name}: session {session_id}, peer's session {peer_session_id}, {state}"
            );
            text
        })
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header([
            "pair",
            "loss\nping",
            "loss\n1500 B, DF",
            "loss\n1518 B",
            "loss\n64 B",
            "round trip\naverage",
            "packets/s\n1518 B",
            "packets/s\n64 B",
            "CPU-ns/packet\n1518 B",
            "CPU-ns/packet\n64 B",
        ]);
        for pair in &self.pairs {
            table.add_row(pair.cells());
        }
        let mut totals = vec!["all pairs".to_owned()];
        totals.extend(std::iter::repeat_n(String::new(), 7));
        totals.extend(self.cpu_ns_per_packet.map(shown_ns));
        table.add_row(totals);
        table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        table
    }
}

impl Pair {
    fn new((from, to): (usize, usize), pings: [Ping; 2], flows: &[Flow; 2]) -> Self {
        let ok = pings.iter().all(|ping| ping.received == ping.sent) && flows.iter().all(Flow::is_ok);
        let [ping, ping_largest] = pings;
        let row = |flow: &Flow| FlowRow {
            cpu_ns_per_packet: per_packet(flow.cpu_ns, flow.received),
            flow: flow.clone(),
        };
        let flows = [row(&flows[0]), row(&flows[1])];
        Self { from: SITES[from].pc, to: SITES[to].pc, ok, ping, ping_largest, flows }
    }

    fn cells(&self) -> Vec<String> {
        let [large, small] = &self.flows;
        vec![
            format!("{} -> {}", self.from, self.to),
            shown_loss(self.ping.sent, self.ping.received),
            shown_loss(self.ping_largest.sent, self.ping_largest.received),
            large.shown_loss(),
            small.shown_loss(),
            self.ping.rtt_avg_ms.map_or("-".to_owned(), |ms| format!("{ms:.3} ms")),
            format!("{:.0}", large.flow.received_pps),
            format!("{:.0}", small.flow.received_pps),
            shown_ns(large.cpu_ns_per_packet),
            shown_ns(small.cpu_ns_per_packet),
        ]
    }
}

impl FlowRow {
    /// The loss, and what else is wrong.
    fn shown_loss(&self) -> String {
        let Flow { sent, received, duplicates, damaged, .. } = self.flow;
        let mut text = shown_loss(sent, received);
        for (count, word) in [(duplicates, "twice"), (damaged, "damaged")] {
            if count > 0 {
                let _ = write!(text, ", {count} {word}");
            }
        }
        text
    }
}

/// CPU time per packet; `None` when none arrived, or when the time is lost in the machine's other work.
fn per_packet(cpu_ns: f64, received: u32) -> Option<f64> {
    (received > 0 && cpu_ns > 0.0).then(|| cpu_ns / f64::from(received))
}

fn shown_ns(ns: Option<f64>) -> String {
    ns.map_or("-".to_owned(), |ns| format!("{ns:.0}"))
}

/// The loss in percent, with the count when there is any: a rounded 0 % is never shown for a real loss.
pub(super) fn shown_loss(sent: u32, received: u32) -> String {
    if sent > 0 && received == sent {
        return "0 %".to_owned();
    }
    let lost = sent.saturating_sub(received);
    format!("{:.2} % ({lost} of {sent})", 100.0 * f64::from(lost) / f64::from(sent.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::narrow;

    fn flow(received: u32) -> Flow {
        Flow {
            frame_bytes: 64,
            sent: 10,
            received,
            duplicates: 0,
            damaged: 0,
            received_pps: 5000.0,
            cpu_ns: 9000.0,
        }
    }

    fn report(last_received: u32) -> Report {
        let ping = Ping { sent: 10, received: 10, rtt_avg_ms: Some(0.1) };
        let mut flows = vec![[flow(10), flow(10)]; 6];
        flows[5][1] = flow(last_received);
        Report::new(
            Vec::new(),
            [vec![ping.clone(); 6], vec![ping; 6]],
            &flows,
            [0.1, 0.1],
            narrow::tests::good(),
        )
    }

    #[test]
    fn one_lost_datagram_of_one_pair_fails_the_whole_report() {
        assert!(report(10).is_ok());
        assert!(!report(9).is_ok());
    }

    #[test]
    fn a_pair_that_was_not_tried_fails_the_report() {
        let ping = Ping { sent: 10, received: 10, rtt_avg_ms: Some(0.1) };
        let (pings, flows) = ([vec![ping.clone(); 5], vec![ping; 5]], vec![[flow(10), flow(10)]; 5]);
        assert!(!Report::new(Vec::new(), pings, &flows, [0.1, 0.1], narrow::tests::good()).is_ok());
    }

    #[test]
    fn a_large_ping_that_did_not_come_back_fails_the_report() {
        let ping = |received| Ping { sent: 10, received, rtt_avg_ms: Some(0.1) };
        let of = |received| {
            let pings = [vec![ping(10); 6], vec![ping(received); 6]];
            let flows = vec![[flow(10), flow(10)]; 6];
            Report::new(Vec::new(), pings, &flows, [0.1, 0.1], narrow::tests::good())
        };
        assert!(of(10).is_ok() && !of(0).is_ok());
    }

    #[test]
    fn what_fails_over_the_narrow_underlay_fails_the_report() {
        let mut narrow = narrow::tests::good();
        narrow.pairs[0].tcp.received_bytes -= 1;
        let ping = Ping { sent: 10, received: 10, rtt_avg_ms: Some(0.1) };
        let pings = [vec![ping.clone(); 6], vec![ping; 6]];
        let report = Report::new(Vec::new(), pings, &vec![[flow(10), flow(10)]; 6], [0.1, 0.1], narrow);
        assert!(!report.is_ok());
        let fault = report.verdict().unwrap_err().to_string();
        assert!(fault.starts_with("pc1 to pc2 fails over an underlay of 1500 bytes"), "{fault}");
    }

    #[test]
    fn a_gateway_that_ends_badly_fails_the_report_and_is_named() {
        let mut report = report(10);
        report.add_faults(Vec::new());
        assert!(report.is_ok());
        report.verdict().unwrap();
        report.add_faults(vec!["gw-b did not end well".to_owned()]);
        assert!(!report.is_ok());
        assert_eq!(report.verdict().unwrap_err().to_string(), "gw-b did not end well");
    }

    #[test]
    fn work_of_others_before_or_after_the_flows_is_warned_of() {
        let line = |idle_cpus| Report { idle_cpus, ..report(10) }.idle_line();
        assert!(!line([0.02, 0.03]).contains("mean little"));
        assert!(line([0.02, 1.5]).contains("mean little"));
        assert!(line([1.5, 0.02]).contains("mean little"));
    }

    #[test]
    fn a_small_loss_is_never_shown_as_none() {
        assert_eq!(shown_loss(100_000, 99_999), "0.00 % (1 of 100000)");
        assert_eq!(shown_loss(10, 10), "0 %");
    }

    #[test]
    fn cpu_time_is_divided_by_what_arrived() {
        assert_eq!(per_packet(9000.0, 9), Some(1000.0));
        assert_eq!(per_packet(9000.0, 0), None);
        assert_eq!(per_packet(-20.0, 9), None);
    }
}
