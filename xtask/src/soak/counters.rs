//! Counters by name, and how they are read from every machine of the network.
//!
//! A name is the place and what is counted there: `gw-a eth1 steering engine_access`. A name that does not exist is an
//! error, never a zero.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use netlab::Node;
use netlab::article::{Article, SITES};
use serde::Deserialize;
use serde_json::Value;

use super::ask::Asker;

/// Reasons for which a frame is dropped on its way out of the engine; the pseudowire that it should have left by
/// counts them too.
pub(super) const EXIT_REASONS: [&str; 5] =
    ["member_down", "too_big", "no_headroom", "tx_ring_full", "no_tx_queue"];

/// What the router's kernel counts of IP packets that it does not forward.
pub(super) const ROUTER_LOSSES: [&str; 5] =
    ["InHdrErrors", "InAddrErrors", "InDiscards", "OutDiscards", "OutNoRoutes"];

/// Counters of IP packets in `/proc/net/snmp` that are read besides.
const ROUTER_COUNTS: [&str; 3] = ["InReceives", "InDelivers", "ForwDatagrams"];

/// What counts on while nothing happens: looks of the kernel at an empty ring, not frames.
const IDLE_COUNTER: &str = "tx_ring_empty";

/// Counters at one moment, or what was counted between two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counters(BTreeMap<String, u64>);

impl Counters {
    /// Sets one counter.
    pub(super) fn set(&mut self, name: String, value: u64) {
        self.0.insert(name, value);
    }

    /// Adds to one counter, from zero when it is new.
    fn add(&mut self, name: String, value: u64) {
        *self.0.entry(name).or_default() += value;
    }

    /// One counter.
    ///
    /// # Errors
    /// There is none of this name.
    pub(super) fn get(&self, name: &str) -> Result<u64> {
        self.0.get(name).copied().with_context(|| format!("nobody counts {name:?}"))
    }

    /// All counters whose name starts with `prefix`, without it.
    pub(super) fn below<'c>(&'c self, prefix: &'c str) -> impl Iterator<Item = (&'c str, u64)> {
        self.0.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, *value)))
    }

    /// Names of the counters that are not zero.
    pub(super) fn moved(&self) -> String {
        let moved = self.0.iter().filter(|(_, value)| **value > 0).map(|(name, _)| name.as_str());
        moved.collect::<Vec<_>>().join(", ")
    }

    /// Every counter, by name.
    pub(super) fn all(&self) -> &BTreeMap<String, u64> {
        &self.0
    }

    /// What was counted since `earlier`.
    ///
    /// # Errors
    /// A counter is new or went back: then what counts it was started anew in between.
    pub(super) fn since(&self, earlier: &Self) -> Result<Self> {
        let difference = |(name, value): (&String, &u64)| {
            let before = earlier.get(name)?;
            let counted = value.checked_sub(before).with_context(|| format!("{name} went back"))?;
            Ok((name.clone(), counted))
        };
        self.0.iter().map(difference).collect::<Result<_>>().map(Self)
    }
}

/// One row of `spanwire port show --json`, as far as it is counted with.
#[derive(Debug, Deserialize)]
struct Port {
    name: String,
    rx_frames: u64,
    tx_frames: u64,
    steering: BTreeMap<String, u64>,
    kernel_rings: BTreeMap<String, u64>,
}

/// One row of `spanwire session show --json`, as far as it is counted with.
#[derive(Debug, Deserialize)]
struct Session {
    name: String,
    rx_frames: u64,
    tx_frames: u64,
    drops: BTreeMap<String, u64>,
}

/// One row of `spanwire drop show --json`.
#[derive(Debug, Deserialize)]
struct Drop {
    reason: String,
    frames: u64,
}

/// One row of `spanwire worker show --json`.
#[derive(Debug, Deserialize)]
pub(super) struct Worker {
    /// Its number.
    pub(super) id: u32,
    /// `running` or `stopped`.
    pub(super) state: String,
    received: u64,
    forwarded: u64,
    flooded: u64,
    handed: u64,
    taken: u64,
    reassembled: u64,
    extra_fragments: u64,
    copies: u64,
    /// Where its chunks are.
    pub(super) chunks: Chunks,
}

/// Where a worker's chunks are.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Chunks {
    pub(super) free: u64,
    pub(super) fill: u64,
    pub(super) tx: u64,
    pub(super) parked: u64,
    pub(super) total: u64,
    pub(super) conserved: bool,
}

/// Reads everything that is counted anywhere in the network.
///
/// # Errors
/// A machine or a gateway does not answer.
pub(super) fn read(network: &Article, asker: &Asker<'_>) -> Result<Counters> {
    let mut counters = Counters::default();
    for node in network.pcs.iter().chain(&network.gateways).chain([&network.router]) {
        read_interfaces(node, &mut counters).with_context(|| format!("interfaces of {}", node.name()))?;
    }
    read_router(&network.router, &mut counters).context("IP counters of the router")?;
    for site in &SITES {
        read_gateway(site.gateway, asker, &mut counters)?;
    }
    Ok(counters)
}

/// What the kernel counts for every `ethN` of a machine.
fn read_interfaces(node: &Node, counters: &mut Counters) -> Result<()> {
    let links: Vec<Value> = serde_json::from_str(&node.ip("-json -statistics link show")?)?;
    for link in &links {
        let name = link["ifname"].as_str().context("a link without a name")?;
        if name == "lo" {
            continue;
        }
        for (direction, what) in
            ["rx", "tx"].iter().flat_map(|d| ["packets", "dropped", "errors"].map(|w| (d, w)))
        {
            let value = &link["stats64"][direction][what];
            let value = value.as_u64().with_context(|| format!("{name} has no {direction} {what}"))?;
            counters.set(format!("{} {name} {direction}_{what}", node.name()), value);
        }
    }
    Ok(())
}

/// What the router's IP layer counts.
fn read_router(router: &Node, counters: &mut Counters) -> Result<()> {
    let text = router.run(&["cat", "/proc/net/snmp"])?;
    for name in ROUTER_LOSSES.iter().chain(&ROUTER_COUNTS) {
        let value = ip_counter(&text, name).with_context(|| format!("/proc/net/snmp has no {name}"))?;
        counters.set(format!("router ip {name}"), value);
    }
    Ok(())
}

/// A counter of the two `Ip:` lines: names, then values in the same order.
fn ip_counter(snmp: &str, name: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Ip:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let position = names.split_whitespace().position(|word| word == name)?;
    values.split_whitespace().nth(position)?.parse().ok()
}

/// What a gateway counts: ports, pseudowires, verdicts, drops by reason.
fn read_gateway(gateway: &str, asker: &Asker<'_>, counters: &mut Counters) -> Result<()> {
    for port in asker.rows::<Port>(gateway, "port")? {
        let place = format!("{gateway} {}", port.name);
        counters.set(format!("{place} engine_rx"), port.rx_frames);
        counters.set(format!("{place} engine_tx"), port.tx_frames);
        port.steering
            .into_iter()
            .for_each(|(what, count)| counters.set(format!("{place} steering {what}"), count));
        for (what, count) in port.kernel_rings.into_iter().filter(|(what, _)| what != IDLE_COUNTER) {
            counters.set(format!("{place} ring {what}"), count);
        }
    }
    let drops = asker.rows::<Drop>(gateway, "drop")?;
    let sessions = asker.rows::<Session>(gateway, "session")?;
    for session in &sessions {
        let place = format!("{gateway} {}", session.name);
        counters.set(format!("{place} rx"), session.rx_frames);
        counters.set(format!("{place} tx"), session.tx_frames);
        for reason in EXIT_REASONS {
            let frames = session.drops.get(reason).copied().unwrap_or(0);
            counters.set(format!("{place} exit_drop {reason}"), frames);
        }
    }
    for Drop { reason, frames } in drops {
        let at_sessions: u64 = sessions.iter().filter_map(|session| session.drops.get(&reason)).sum();
        counters.set(format!("{gateway} not_at_sessions {reason}"), frames.saturating_sub(at_sessions));
        counters.set(format!("{gateway} drop {reason}"), frames);
    }
    for worker in asker.rows::<Worker>(gateway, "worker")? {
        counters.add(format!("{gateway} received"), worker.received);
        counters.add(format!("{gateway} forwarded"), worker.forwarded);
        counters.add(format!("{gateway} flooded"), worker.flooded);
        counters.add(format!("{gateway} handed"), worker.handed);
        counters.add(format!("{gateway} taken"), worker.taken);
        counters.add(format!("{gateway} reassembled"), worker.reassembled);
        counters.add(format!("{gateway} extra_fragments"), worker.extra_fragments);
        counters.add(format!("{gateway} copies"), worker.copies);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(pairs: &[(&str, u64)]) -> Counters {
        Counters(pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect())
    }

    #[test]
    fn a_counter_that_went_back_is_refused_and_named() {
        let fault = counters(&[("gw-a received", 4)]).since(&counters(&[("gw-a received", 5)])).unwrap_err();
        assert_eq!(fault.to_string(), "gw-a received went back");
    }

    #[test]
    fn a_name_that_nobody_counts_is_no_zero() {
        assert!(counters(&[("gw-a received", 4)]).get("gw-a receivd").is_err());
    }

    #[test]
    fn differences_are_taken_counter_by_counter() {
        let later = counters(&[("a", 5), ("b", 7)]);
        assert_eq!(later.since(&counters(&[("a", 5), ("b", 4)])).unwrap(), counters(&[("a", 0), ("b", 3)]));
    }

    #[test]
    fn an_ip_counter_is_found_by_the_position_of_its_name() {
        let snmp = "Ip: Forwarding InReceives InHdrErrors\nIp: 1 200 3\nIcmp: InMsgs\nIcmp: 9\n";
        assert_eq!(ip_counter(snmp, "InHdrErrors"), Some(3));
        assert_eq!(ip_counter(snmp, "InMsgs"), None);
    }
}
