//! What has to hold besides the books: chunks, workers, processes, pseudowires, stations.

use std::slice;

use anyhow::Result;
use netlab::Process;
use netlab::article::SITES;
use serde::{Deserialize, Serialize};

use super::ask::Asker;
use super::counters::{Chunks, Counters, Worker};
use super::flood::{DIRECTIONS, FLOWS, Sunk};
use crate::lab::gateways;
use crate::lab::ping::Ping;
use crate::lab::trial::PAIRS;

/// Something that has to hold.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    /// What.
    pub(super) what: String,
    /// Whether it does.
    pub(super) ok: bool,
    /// What was found.
    pub(super) found: String,
}

impl Check {
    fn new(what: impl Into<String>, ok: bool, found: impl Into<String>) -> Self {
        Self { what: what.into(), ok, found: found.into() }
    }
}

/// One row of `spanwire fdb show --json`.
#[derive(Debug, Deserialize)]
struct FdbEntry {
    mac: String,
    member: String,
}

/// Whether every gateway knows where the stations of both ends are; otherwise what one of them knows.
pub(super) fn stations_known(asker: &Asker<'_>) -> Result<(), String> {
    for (site, (west, east)) in
        SITES.iter().zip([("eth1", "l2tpeth0"), ("l2tpeth0", "l2tpeth1"), ("l2tpeth0", "eth1")])
    {
        let entries: Vec<FdbEntry> = asker.rows(site.gateway, "fdb").map_err(|fault| format!("{fault:#}"))?;
        let known = |first: &str, member: &str| {
            let is_there = |entry: &&FdbEntry| entry.mac.starts_with(first) && entry.member == member;
            entries.iter().filter(is_there).count()
        };
        let counts = [known("02:00:00:01:00:", west), known("02:00:00:03:00:", east)];
        if counts != [FLOWS as usize; 2] {
            return Err(format!("{} knows {counts:?} stations of {FLOWS} at each end", site.gateway));
        }
    }
    Ok(())
}

/// Whether no chunk waits for its transmission to be completed, and no fragment for others.
pub(super) fn nothing_in_flight(asker: &Asker<'_>) -> Result<(), String> {
    for site in &SITES {
        let workers: Vec<Worker> =
            asker.rows(site.gateway, "worker").map_err(|fault| format!("{fault:#}"))?;
        if let Some(worker) = workers.iter().find(|worker| worker.chunks.tx > 0) {
            return Err(format!("{} worker {} still sends {}", site.gateway, worker.id, worker.chunks.tx));
        }
        if let Some(worker) = workers.iter().find(|worker| worker.chunks.parked > 0) {
            let parked = worker.chunks.parked;
            return Err(format!("{} worker {}: fragments wait in {parked} chunks", site.gateway, worker.id));
        }
    }
    Ok(())
}

/// Every worker of every gateway: running, and its chunks all there.
pub(super) fn workers(asker: &Asker<'_>) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for site in &SITES {
        for worker in asker.rows::<Worker>(site.gateway, "worker")? {
            let Worker { id, state, chunks, .. } = worker;
            let Chunks { free, fill, tx, parked, total, conserved } = chunks;
            let ok = state == "running" && conserved && total > 0 && free + fill + tx + parked == total;
            let found = format!("{state}; {free} free + {fill} fill + {tx} tx + {parked} parked = {total}");
            checks.push(Check::new(
                format!("{} worker {id} runs, its chunks add up", site.gateway),
                ok,
                found,
            ));
        }
    }
    Ok(checks)
}

/// Nothing of the flood was flooded, came twice, or came where it does not belong; no descriptor was refused.
///
/// The frames of a flow keep their order where every interface has one queue.
pub(super) fn flood(counted: &Counters, sunk: &[Sunk], queues: u32) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for site in &SITES {
        let gateway = site.gateway;
        let of_gateway = format!("{gateway} ");
        let (flooded, copies) =
            (counted.get(&format!("{gateway} flooded"))?, counted.get(&format!("{gateway} copies"))?);
        let found = format!("{flooded} flooded, {copies} copies");
        checks.push(Check::new(
            format!("{gateway} forwards, and floods nothing"),
            flooded + copies == 0,
            found,
        ));
        let is_refusal = |name: &str| name.ends_with("x_invalid_descs");
        let refusals = counted.below(&of_gateway).filter(|(name, _)| is_refusal(name));
        let refused: Vec<u64> = refusals.map(|(_, descriptors)| descriptors).collect();
        let ok = !refused.is_empty() && refused.iter().all(|descriptors| *descriptors == 0);
        checks.push(Check::new(
            format!("{gateway}: the kernel refuses no descriptor"),
            ok,
            format!("{refused:?}"),
        ));
    }
    let stray = counted.get(&format!("{} eth0 rx_packets", SITES[1].pc))?;
    checks.push(Check::new(format!("{} gets none of it", SITES[1].pc), stray == 0, stray.to_string()));
    checks.extend(sunk.iter().zip(DIRECTIONS).map(|(sunk, [_, _, to])| arrival(SITES[to].pc, sunk, queues)));
    Ok(checks)
}

/// What came at one sink.
fn arrival(pc: &str, sunk: &Sunk, queues: u32) -> Check {
    let Sunk { frames, flows_seen, duplicate_frames, reordered_frames, stale_frames, .. } = sunk;
    let late = reordered_frames + stale_frames;
    let ok = *frames > 0 && *flows_seen == FLOWS && *duplicate_frames == 0 && (late == 0 || queues > 1);
    let order = if queues > 1 { "" } else { " and in order" };
    let found = format!("{frames} frames of {flows_seen} flows, {duplicate_frames} twice, {late} late");
    Check::new(format!("{pc} gets all flows, each frame once{order}"), ok, found)
}

/// Every pair of PCs, afterwards.
pub(super) fn pings(pings: &[Ping]) -> Check {
    let lost: Vec<String> = PAIRS
        .iter()
        .zip(pings)
        .filter(|(_, ping)| ping.received != ping.sent || ping.sent == 0)
        .map(|((from, to), ping)| {
            format!("{} > {}: {} of {}", SITES[*from].pc, SITES[*to].pc, ping.received, ping.sent)
        })
        .collect();
    let ok = pings.len() == PAIRS.len() && lost.is_empty();
    let found = if ok { format!("{} pairs, no loss", pings.len()) } else { lost.join(", ") };
    Check::new("afterwards every pair of PCs pings without loss", ok, found)
}

/// Every gateway: still the process that was started, ends when told to, and finds all chunks back in its pool.
pub(super) fn ends(processes: &[Process]) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for gateway in processes {
        let alive = gateway.is_running();
        checks.push(Check::new(
            format!("{} still runs", gateway.name()),
            alive,
            format!("process {}", gateway.pid()),
        ));
        // At its end a gateway counts the chunks of its pool, and writes an error when one is missing.
        let faults = gateways::end(slice::from_ref(gateway))?;
        let found = if faults.is_empty() { "no error in its log".to_owned() } else { faults.join("; ") };
        let what = format!("{} ends well, all chunks in its pool", gateway.name());
        checks.push(Check::new(what, faults.is_empty(), found));
    }
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ping(received: u32) -> Ping {
        Ping { sent: 10, received, rtt_avg_ms: None }
    }

    #[test]
    fn one_lost_echo_of_one_pair_is_found_and_named() {
        let mut all = vec![ping(10); 6];
        assert!(pings(&all).ok);
        all[5] = ping(9);
        let check = pings(&all);
        assert_eq!((check.ok, check.found.as_str()), (false, "pc3 > pc1: 9 of 10"));
    }

    fn sunk(duplicate_frames: u64, reordered_frames: u64) -> Sunk {
        Sunk {
            frames: 1000,
            frames_per_s: 1.0,
            flows_seen: FLOWS,
            duplicate_frames,
            reordered_frames,
            stale_frames: 0,
            unknown_flow_frames: 0,
            other_frames: 0,
        }
    }

    #[test]
    fn a_frame_that_came_twice_fails_and_a_late_one_does_with_one_queue() {
        assert!(arrival("pc3", &sunk(0, 0), 1).ok);
        assert!(!arrival("pc3", &sunk(1, 0), 2).ok);
        assert!(!arrival("pc3", &sunk(0, 1), 1).ok);
        assert!(arrival("pc3", &sunk(0, 1), 2).ok);
    }

    #[test]
    fn a_sink_without_frames_fails() {
        assert!(!arrival("pc3", &Sunk { frames: 0, ..sunk(0, 0) }, 1).ok);
    }

    #[test]
    fn pairs_that_were_not_tried_are_not_ok() {
        assert!(!pings(&vec![ping(10); 5]).ok);
    }
}
