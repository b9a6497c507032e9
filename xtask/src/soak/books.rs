//! The books: for every hop, what entered, what was counted as lost on it, what left, and the difference.
//!
//! ```text
//!  pc1 generator > veth > XDP > AF_XDP > gw-a > veth > router > veth > XDP > AF_XDP > gw-b > ... > gw-c > veth > pc3 sink
//! ```
//! Where both directions share a hop and its losses have one counter, there is one row for both.

use anyhow::Result;
use netlab::article::SITES;
use serde::Serialize;

use super::counters::{Counters, EXIT_REASONS, ROUTER_LOSSES};
use super::flood::{DIRECTIONS, Generated, Sunk};

/// What is counted at the ports' XDP program for frames that it gives to the engine, by the side the port faces.
const TO_ENGINE: [(&str, &[&str]); 2] =
    [("eth1", &["engine_access"]), ("eth0", &["engine_tunnel", "engine_fragment"])];

/// Reasons for which a packet from the underlay is no frame of a pseudowire.
const DECAP_REASONS: [&str; 26] = [
    "not_ip",
    "ip_malformed",
    "ip_checksum",
    "not_tunnel_protocol",
    "fragment_malformed",
    "fragment_tiny",
    "hand_over_full",
    "fragment_duplicate",
    "fragment_overlap",
    "fragment_length",
    "fragment_too_many",
    "fragment_ecn",
    "reassembled_too_big",
    "fragment_timeout",
    "fragment_share",
    "reassembly_full",
    "udp_malformed",
    "udp_checksum",
    "l2tp_truncated",
    "l2tp_version",
    "l2tp_control",
    "unknown_session",
    "wrong_source",
    "cookie_mismatch",
    "vccv",
    "payload_truncated",
];

/// The name for rows that count both directions.
const BOTH: &str = "both";

/// One place where frames enter and leave.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Hop {
    /// `pc1 > pc3`, `pc3 > pc1` or `both`.
    pub(super) direction: String,
    /// From where to where.
    pub(super) place: String,
    /// Frames that entered.
    pub(super) entered: u64,
    /// Frames that somebody counted as lost here, by counter.
    pub(super) lost: Vec<Loss>,
    /// Frames that left.
    pub(super) left: u64,
}

/// Frames that one counter counts as lost.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Loss {
    /// The counter, in words.
    pub(super) what: String,
    /// Its frames.
    pub(super) frames: u64,
}

impl Hop {
    /// Frames that entered, less those that left or were counted as lost: zero when the books balance.
    pub(super) fn difference(&self) -> i128 {
        let lost: u64 = self.lost.iter().map(|loss| loss.frames).sum();
        i128::from(self.entered) - i128::from(lost) - i128::from(self.left)
    }
}

/// Writes what generators and sinks report beside the counters; order as in [`DIRECTIONS`].
pub(super) fn enter_ends(counted: &mut Counters, generated: &[Generated], sunk: &[Sunk]) {
    for ((direction, generated), sunk) in DIRECTIONS.iter().zip(generated).zip(sunk) {
        let (sender, receiver) = (SITES[direction[0]].pc, SITES[direction[2]].pc);
        counted.set(format!("{sender} generated"), generated.frames);
        counted.set(format!("{receiver} sunk"), sunk.frames);
        counted.set(format!("{receiver} not of the flood"), sunk.other_frames);
        counted.set(format!("{receiver} of unknown flows"), sunk.unknown_flow_frames);
    }
}

/// The books of both directions, hop by hop from generator to sink, then those that both share.
///
/// # Errors
/// Somebody does not count what the books need.
pub(super) fn books(counted: &Counters) -> Result<Vec<Hop>> {
    let clerk = Clerk { counted };
    let mut hops = Vec::new();
    for direction in DIRECTIONS {
        clerk.write_direction(direction, &mut hops)?;
    }
    clerk.write_underlay(&mut hops)?;
    for site in &SITES {
        clerk.write_engine(site.gateway, &mut hops)?;
    }
    Ok(hops)
}

/// Writes rows from counters.
struct Clerk<'c> {
    counted: &'c Counters,
}

impl Clerk<'_> {
    /// A row: sums of counters, and losses as (words, counter).
    fn hop(
        &self,
        direction: &str,
        place: String,
        entered: &[String],
        lost: &[(String, String)],
        left: &[String],
    ) -> Result<Hop> {
        let sum = |names: &[String]| names.iter().map(|name| self.counted.get(name)).sum::<Result<u64>>();
        let loss = |(what, name): &(String, String)| {
            Ok(Loss { what: what.clone(), frames: self.counted.get(name)? })
        };
        Ok(Hop {
            direction: direction.to_owned(),
            place,
            entered: sum(entered)?,
            lost: lost.iter().map(loss).collect::<Result<_>>()?,
            left: sum(left)?,
        })
    }

    /// What one direction has for itself: both LANs, and every engine.
    fn write_direction(&self, [from, middle, to]: [usize; 3], hops: &mut Vec<Hop>) -> Result<()> {
        let (near, centre, far) = (&SITES[from], &SITES[middle], &SITES[to]);
        let name = format!("{} > {}", near.pc, far.pc);
        hops.push(self.hop(
            &name,
            format!("{} generator > {} eth1", near.pc, near.gateway),
            &[format!("{} generated", near.pc)],
            &[("veth ring full".to_owned(), format!("{} eth0 tx_dropped", near.pc))],
            &[format!("{} eth1 rx_packets", near.gateway)],
        )?);
        self.write_steering(&name, near.gateway, "eth1", hops)?;
        let (enter, leave) = if from < to { ("l2tpeth0", "l2tpeth1") } else { ("l2tpeth1", "l2tpeth0") };
        let pseudowire = |gateway: &str, session: &str| format!("{gateway} {session}");
        let (a, b_in) = (pseudowire(near.gateway, "l2tpeth0"), pseudowire(centre.gateway, enter));
        let (b_out, c) = (pseudowire(centre.gateway, leave), pseudowire(far.gateway, "l2tpeth0"));
        let access = format!("{} eth1 engine_rx", near.gateway);
        hops.push(self.exit(&name, near.gateway, access, format!("{a} tx"), &format!("{a} exit_drop"))?);
        let (entry, exit) = (format!("{b_in} rx"), format!("{b_out} tx"));
        hops.push(self.exit(&name, centre.gateway, entry, exit, &format!("{b_out} exit_drop"))?);
        let (entry, exit) = (format!("{c} rx"), format!("{} eth1 engine_tx", far.gateway));
        hops.push(self.exit(&name, far.gateway, entry, exit, &format!("{} not_at_sessions", far.gateway))?);
        hops.push(self.hop(
            &name,
            format!("{} eth1 > {} eth0", far.gateway, far.pc),
            &[format!("{} eth1 engine_tx", far.gateway)],
            &[("veth ring full".to_owned(), format!("{} eth1 tx_dropped", far.gateway))],
            &[format!("{} eth0 rx_packets", far.pc)],
        )?);
        let not_of_flood = ["not of the flood", "of unknown flows"];
        hops.push(self.hop(
            &name,
            format!("{} eth0 > sink", far.pc),
            &[format!("{} eth0 rx_packets", far.pc)],
            &not_of_flood.map(|what| (what.to_owned(), format!("{} {what}", far.pc))),
            &[format!("{} sunk", far.pc)],
        )?);
        Ok(())
    }

    /// Frames of one direction through an engine; `drops` counts those that were lost on the way out.
    fn exit(&self, direction: &str, gateway: &str, entry: String, exit: String, drops: &str) -> Result<Hop> {
        let lost = EXIT_REASONS.map(|reason| (reason.to_owned(), format!("{drops} {reason}")));
        let place = format!("{gateway} engine, {} > {}", shown(&entry, gateway), shown(&exit, gateway));
        self.hop(direction, place, &[entry], &lost, &[exit])
    }

    /// From a port's XDP program over its AF_XDP sockets to the engine.
    fn write_steering(&self, direction: &str, gateway: &str, port: &str, hops: &mut Vec<Hop>) -> Result<()> {
        let place = format!("{gateway} {port}");
        let engine = TO_ENGINE.iter().find(|(name, _)| *name == port).map_or(&[][..], |(_, stats)| stats);
        let to_engine: Vec<String> = engine.iter().map(|stat| format!("{place} steering {stat}")).collect();
        let prefix = format!("{place} steering ");
        let elsewhere: Vec<(String, String)> = self
            .counted
            .below(&prefix)
            .filter(|(stat, _)| !stat.starts_with("engine_"))
            .map(|(stat, _)| (stat.to_owned(), format!("{prefix}{stat}")))
            .collect();
        let seen = [format!("{place} rx_packets")];
        hops.push(self.hop(direction, format!("{place} XDP steering"), &seen, &elsewhere, &to_engine)?);
        let lost = [("AF_XDP RX ring full", "rx_ring_full"), ("AF_XDP no chunk", "rx_dropped")]
            .map(|(what, ring)| (what.to_owned(), format!("{place} ring {ring}")));
        let received = [format!("{place} engine_rx")];
        hops.push(self.hop(
            direction,
            format!("{place} AF_XDP socket > engine"),
            &to_engine,
            &lost,
            &received,
        )?);
        Ok(())
    }

    /// The underlay, whose losses are counted for both directions together.
    fn write_underlay(&self, hops: &mut Vec<Hop>) -> Result<()> {
        for site in &SITES {
            let (gateway, router) = (site.gateway, site.router_interface);
            hops.push(self.hop(
                BOTH,
                format!("{gateway} eth0 > router {router}"),
                &[format!("{gateway} eth0 engine_tx")],
                &[("router's backlog full".to_owned(), format!("{gateway} eth0 tx_dropped"))],
                &[format!("router {router} rx_packets")],
            )?);
        }
        self.write_router(hops)?;
        for site in &SITES {
            let (gateway, router) = (site.gateway, site.router_interface);
            let sent = [format!("router {router} tx_packets")];
            let came = [format!("{gateway} eth0 rx_packets")];
            hops.push(self.hop(BOTH, format!("router {router} > {gateway} eth0"), &sent, &[], &came)?);
            self.write_steering(BOTH, gateway, "eth0", hops)?;
        }
        Ok(())
    }

    /// The router: its IP layer, then towards the middle gateway and back.
    fn write_router(&self, hops: &mut Vec<Hop>) -> Result<()> {
        let [a, b, c] = SITES.map(|site| format!("router {}", site.router_interface));
        let losses = ROUTER_LOSSES.map(|name| (name.to_owned(), format!("router ip {name}")));
        let (all_in, forwarded) = ("router ip InReceives".to_owned(), "router ip ForwDatagrams".to_owned());
        let came = [&a, &b, &c].map(|interface| format!("{interface} rx_packets"));
        hops.push(self.hop(
            BOTH,
            "router interfaces > IP".to_owned(),
            &came,
            &[],
            std::slice::from_ref(&all_in),
        )?);
        let delivered = ("to the router itself".to_owned(), "router ip InDelivers".to_owned());
        let lost: Vec<_> = losses.into_iter().chain([delivered]).collect();
        hops.push(self.hop(BOTH, "router IP".to_owned(), &[all_in], &lost, &[forwarded])?);
        for (sources, targets, place) in
            [(vec![&a, &c], vec![&b], "router, to gw-b"), (vec![&b], vec![&a, &c], "router, from gw-b")]
        {
            let entered: Vec<_> = sources.iter().map(|interface| format!("{interface} rx_packets")).collect();
            let left: Vec<_> = targets.iter().map(|interface| format!("{interface} tx_packets")).collect();
            let full = |interface: &&String| {
                let words = interface.rsplit(' ').next().unwrap_or_default();
                (format!("veth ring full, {words}"), format!("{interface} tx_dropped"))
            };
            let lost: Vec<_> = targets.iter().map(full).collect();
            hops.push(self.hop(BOTH, place.to_owned(), &entered, &lost, &left)?);
        }
        Ok(())
    }

    /// An engine's own books.
    fn write_engine(&self, gateway: &str, hops: &mut Vec<Hop>) -> Result<()> {
        let name = |what: &str| format!("{gateway} {what}");
        let ports = ["eth0", "eth1"];
        let received = ports.map(|port| name(&format!("{port} engine_rx")));
        let row = |place: &str, entered: &[String], lost: &[(String, String)], left: &[String]| {
            self.hop(BOTH, format!("{gateway} {place}"), entered, lost, left)
        };
        hops.push(row("ports > workers", &received, &[], &[name("received")])?);
        let reason = |reason: &str| (reason.to_owned(), name(&format!("drop {reason}")));
        let all = format!("{gateway} drop ");
        let every_reason: Vec<_> = self.counted.below(&all).map(|(name, _)| reason(name)).collect();
        // Fragments that still wait are neither: after a few seconds without traffic there are none.
        let merged = ("put into another fragment's chunk".to_owned(), name("reassembled"));
        let lost: Vec<_> = every_reason.into_iter().chain([merged.clone()]).collect();
        let kept = [name("forwarded"), name("flooded")];
        hops.push(row("verdicts", &[name("received")], &lost, &kept)?);
        hops.push(row("worker > worker", &[name("handed")], &[], &[name("taken")])?);
        let sessions: Vec<_> = ["l2tpeth0", "l2tpeth1"]
            .iter()
            .map(|session| name(&format!("{session} rx")))
            .filter(|counter| self.counted.get(counter).is_ok())
            .collect();
        let lost: Vec<_> = DECAP_REASONS.map(reason).into_iter().chain([merged]).collect();
        hops.push(row("eth0 > pseudowires", &[name("eth0 engine_rx")], &lost, &sessions)?);
        let sent = ports.map(|port| name(&format!("{port} engine_tx")));
        let out = ["forwarded", "flooded", "copies", "extra_fragments"].map(name);
        hops.push(row("workers > TX rings", &out, &[], &sent)?);
        Ok(())
    }
}

/// A counter's place without the gateway's name and the counter itself.
fn shown<'c>(counter: &'c str, gateway: &str) -> &'c str {
    counter.strip_prefix(gateway).and_then(|rest| rest.split_whitespace().next()).unwrap_or(counter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(pairs: &[(&str, u64)]) -> Counters {
        let mut counters = Counters::default();
        pairs.iter().for_each(|(name, value)| counters.set((*name).to_owned(), *value));
        counters
    }

    #[test]
    fn one_frame_that_nobody_counted_is_the_difference() {
        let counted =
            counters(&[("pc1 generated", 10), ("pc1 eth0 tx_dropped", 3), ("gw-a eth1 rx_packets", 6)]);
        let lost = [("veth ring full".to_owned(), "pc1 eth0 tx_dropped".to_owned())];
        let (entered, left) = (["pc1 generated".to_owned()], ["gw-a eth1 rx_packets".to_owned()]);
        let hop = Clerk { counted: &counted }.hop("pc1 > pc3", "wire".to_owned(), &entered, &lost, &left);
        assert_eq!(hop.unwrap().difference(), 1);
    }

    #[test]
    fn a_frame_that_came_twice_is_a_negative_difference() {
        let hop =
            Hop { direction: BOTH.to_owned(), place: String::new(), entered: 5, lost: Vec::new(), left: 6 };
        assert_eq!(hop.difference(), -1);
    }

    #[test]
    fn books_cannot_be_written_from_counters_that_are_missing() {
        assert!(books(&Counters::default()).is_err());
    }

    #[test]
    fn a_steering_decision_that_leaves_frames_to_the_kernel_is_a_loss_by_name() {
        let counted = counters(&[
            ("gw-a eth1 rx_packets", 10),
            ("gw-a eth1 steering engine_access", 8),
            ("gw-a eth1 steering pass_truncated", 2),
            ("gw-a eth1 ring rx_ring_full", 3),
            ("gw-a eth1 ring rx_dropped", 0),
            ("gw-a eth1 engine_rx", 5),
        ]);
        let mut hops = Vec::new();
        Clerk { counted: &counted }.write_steering(BOTH, "gw-a", "eth1", &mut hops).unwrap();
        assert_eq!(hops.iter().map(Hop::difference).collect::<Vec<_>>(), [0, 0]);
        assert_eq!((hops[0].lost[0].what.as_str(), hops[0].lost[0].frames), ("pass_truncated", 2));
    }
}
