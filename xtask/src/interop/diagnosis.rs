//! What there is to know after a failure.

use std::time::Duration;

use netlab::Process;

use super::case::{Case, Gateway, Tunnel};
use super::guest::Guest;
use super::ours::Ours;
use crate::lab::gateways;

/// Lines of each log that are shown.
const TAIL_LINES: usize = 25;

/// Failed cases whose sessions are shown.
const MOST_CASES: usize = 5;

/// Time that the guest has to tell what it knows.
const DEADLINE: Duration = Duration::from_secs(20);

/// The guest's console; the end of each process's log; the drops and ports of each gateway of ours; the lines between; and what both sides say of the sessions of the
/// failed cases, of the first ones when there are many.
pub(super) fn of(
    ours: &Ours<'_>,
    guest: &mut Guest,
    tunnels: &[Tunnel],
    (processes, failed): (&[Process], &[&Case]),
) -> String {
    let failed = &failed[..failed.len().min(MOST_CASES)];
    let mut parts = vec![format!("--- the guest's console:\n{}", guest.console_tail())];
    for process in processes.iter().chain([&guest.process().clone()]) {
        let state = if process.is_running() { "running" } else { "ended" };
        let tail = process.log_tail(TAIL_LINES);
        parts.push(format!("--- {} ({state}), last lines:\n{tail}", process.name()));
    }
    for gateway in Gateway::OURS.map(Gateway::name) {
        let show = |object| gateways::show(ours.binary, ours.lab.dir(), gateway, object, &[]);
        // It is not running in every case.
        if let (Ok(drops), Ok(sessions)) = (show("drop"), show("session")) {
            parts.push(format!("--- {gateway}, drop show:\n{}", drops.trim_end()));
            parts.push(format!("--- {gateway}, session show:\n{}", rows_of(&sessions, failed)));
            for port in ["eth0", "eth1"] {
                let shown = gateways::show(ours.binary, ours.lab.dir(), gateway, "port", &[port]);
                parts.push(format!(
                    "--- {gateway}, port show {port}:\n{}",
                    counts_of(&shown.unwrap_or_default())
                ));
            }
        }
    }
    let links = ours.network.wires.ip("-statistics link show").unwrap_or_default();
    parts.push(format!("--- bridges, taps and their lines:\n{}", links.trim_end()));
    if !failed.is_empty() {
        let told = guest.run("$ip -n gw -s link show wan; $ip -n gw l2tp show session", DEADLINE);
        let told = told.map_or_else(|fault| format!("{fault:#}"), |told| sessions_of(&told, tunnels, failed));
        parts.push(format!("--- the kernel's sessions:\n{told}"));
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

/// The lines `name: value` of what steering program and kernel count, without zeros.
fn counts_of(port: &str) -> String {
    let is_counted = |line: &&str| {
        (line.starts_with("steering.") || line.starts_with("kernel_rings.")) && !line.ends_with(": 0")
    };
    port.lines().filter(is_counted).collect::<Vec<_>>().join("\n")
}

/// What `ip l2tp show session` says of the sessions of the cases: a line that names session and tunnel, then others, indented.
fn sessions_of(text: &str, tunnels: &[Tunnel], cases: &[&Case]) -> String {
    let wires = cases.iter().flat_map(|case| &case.wires);
    let asked: Vec<String> = wires
        .filter(|wire| wire.gateways.contains(&Gateway::Kernel))
        .map(|wire| {
            let end = wire.end(Gateway::Kernel);
            let tunnel = tunnels[usize::from(wire.tunnels[end])].end(Gateway::Kernel).tunnel_id;
            format!("Session {} in tunnel {tunnel}", wire.ends[end].session_id)
        })
        .collect();
    // What stands in front of the first session is about the interface of all.
    let mut is_asked = true;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("Session ") {
            is_asked = asked.iter().any(|head| head == line);
        }
        if is_asked {
            lines.push(line);
        }
    }
    lines.join("\n")
}
