//! What there is to know after a failure.

use std::fmt::Write as _;
use std::time::Duration;

use super::case::{Case, Gateway, Tunnel};
use super::guest::Guest;
use super::ours::Ours;
use super::scripts::end_of;
use crate::lab::gateways;

/// Lines of each log that are shown.
const TAIL_LINES: usize = 25;

/// Failed cases whose sessions are shown.
const MOST_CASES: usize = 5;

/// Time that the guest has to tell what it knows.
const DEADLINE: Duration = Duration::from_secs(20);

/// The guest's console; of each gateway of ours the end of its log and its drops; and what both sides say of the sessions of the
/// failed cases, of the first ones when there are many.
pub(super) fn of(ours: &Ours<'_>, guest: &mut Guest, tunnels: &[Tunnel], failed: &[&Case]) -> String {
    let failed = &failed[..failed.len().min(MOST_CASES)];
    let mut parts = vec![format!("--- the guest's console:\n{}", guest.console_tail())];
    parts.push(ours.lab.log_tails(TAIL_LINES));
    for gateway in Gateway::OURS.map(Gateway::name) {
        let show = |object| gateways::show(ours.binary, ours.lab.dir(), gateway, object, &[]);
        // It is not running in every case.
        if let (Ok(drops), Ok(sessions)) = (show("drop"), show("session")) {
            parts.push(format!("--- {gateway}, drop show:\n{}", drops.trim_end()));
            parts.push(format!("--- {gateway}, session show:\n{}", rows_of(&sessions, failed)));
        }
    }
    if !failed.is_empty() {
        let told = guest.run(&script(tunnels, failed), DEADLINE).unwrap_or_else(|fault| format!("{fault:#}"));
        parts.push(format!("--- the kernel's sessions:\n{}", told.trim_end()));
    }
    parts.join("\n")
}

/// The head of a table, and its rows about sessions of the cases.
fn rows_of(table: &str, cases: &[&Case]) -> String {
    let names: Vec<String> = cases.iter().flat_map(|case| &case.wires).map(super::case::Wire::name).collect();
    let is_asked =
        |line: &str| line.split_whitespace().next().is_some_and(|name| names.iter().any(|n| n == name));
    let lines = table.lines().enumerate().filter(|(number, line)| *number == 0 || is_asked(line));
    lines.map(|(_, line)| line).collect::<Vec<_>>().join("\n")
}

/// Asks the kernel for its sessions of the cases; one that does not exist is an answer, too.
fn script(tunnels: &[Tunnel], cases: &[&Case]) -> String {
    let mut text = String::new();
    let wires = cases.iter().flat_map(|case| &case.wires);
    for wire in wires.filter(|wire| wire.gateways.contains(&Gateway::Kernel)) {
        let end = end_of(wire.gateways, Gateway::Kernel);
        let tunnel = tunnels[usize::from(wire.tunnels[end])].ends[end].tunnel_id;
        let session = wire.ends[end].session_id;
        let _ = writeln!(text, "$ip -n gw l2tp show session tunnel_id {tunnel} session_id {session} || true");
    }
    text
}
