//! Cases whose two sides cannot count the same: packets get lost on purpose, or the kernel counts from new on.
//!
//! Here the capture says what the kernel has sent: each packet that could reach us must have been accepted.

use super::{Evidence, flow};
use crate::interop::capture::{Flow, Packet};
use crate::interop::case::{Case, Gateway, Wire};
use crate::interop::exercises::{DROPPED_UNTIL_RESYNC, NOWHERE_MAC, moved_end, other_cookie};
use crate::interop::own::Exercise;

impl Evidence<'_> {
    pub(super) fn exercised_faults(&self, case: &Case, wire: &Wire) -> Vec<String> {
        let Some(ours) = self.books.ours(Gateway::First).sessions.get(&wire.name()) else {
            return vec![format!("{}: we do not know the session", wire.name())];
        };
        let packets = self.kernels_packets(case, wire);
        let lost = packets.iter().filter(|packet| packet.destination_mac == NOWHERE_MAC).count() as u64;
        let is_lossy = case.exercise == Some(Exercise::Loss);
        let (dropped, reason) = match case.exercise {
            Some(Exercise::Loss) if wire.ends[0].demands_numbers() => {
                (u64::from(DROPPED_UNTIL_RESYNC), "out_of_sequence")
            }
            Some(Exercise::NewCookie) => (with_old_cookie_again(wire, &packets), "cookie_mismatch"),
            _ => (0, ""),
        };
        let mut faults = Vec::new();
        let mut demand = |fits: bool, fault: String| {
            if !fits {
                faults.push(format!("{}: {fault}", wire.name()));
            }
        };
        let arrived = packets.len() as u64 - lost;
        demand(
            ours.rx_frames == arrived - dropped.min(arrived) && arrived > 0,
            format!(
                "we accepted {} of {arrived} packets of the kernel, not all but {dropped}",
                ours.rx_frames
            ),
        );
        let drops = ours.drops.values().sum::<u64>();
        demand(
            drops == dropped && ours.drops.get(reason).copied().unwrap_or(0) == dropped,
            format!("the session counts {:?} and not {dropped} {reason}", ours.drops),
        );
        demand(
            case.exercise != Some(Exercise::NewCookie) || dropped > 0,
            "the old cookie was not tried again".to_owned(),
        );
        if is_lossy {
            demand(lost > 0, "nothing got lost".to_owned());
            demand(
                ours.seq_resyncs == u64::from(dropped > 0),
                format!("counting began anew {} times", ours.seq_resyncs),
            );
            let observed = ours.observed.map(|seen| (seen.lost, seen.reordered, seen.duplicates));
            let expected = case.setting("seq_observe").map(|_| (lost, 0, 0));
            demand(
                observed == expected,
                format!("lost, reordered and twice are counted as {observed:?} and not {expected:?}"),
            );
        }
        faults
    }

    /// Every packet that the kernel sent in a wire, after a move too.
    fn kernels_packets(&self, case: &Case, wire: &Wire) -> Vec<&Packet> {
        let tunnel = &self.tunnels[usize::from(wire.tunnels[1])];
        let first = flow(tunnel, wire, 1);
        let mut flows = vec![first];
        if case.exercise == Some(Exercise::Learn) {
            let end = moved_end(tunnel.end(Gateway::Kernel), tunnel.family.address(Gateway::Kernel));
            flows.push(Flow { source: end.local, ports: (end.udp_sport, first.ports.1), ..first });
        }
        flows.iter().filter_map(|flow| self.seen.flows.get(flow)).flatten().collect()
    }
}

/// How many packets come with the old cookie behind the last one with the new.
fn with_old_cookie_again(wire: &Wire, packets: &[&Packet]) -> u64 {
    let new = other_cookie(&wire.ends[0].peer_cookie);
    let has_new = |packet: &&Packet| hex(&packet.rest).starts_with(&new);
    packets.iter().rev().take_while(|packet| !has_new(packet)).count() as u64
}

/// The first bytes as digits: more than a cookie has.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interop::judge::tests::{Made, answered};
    use crate::interop::ours::Observed;

    /// A case in which two of the kernel's packets went nowhere, ten arrived, and everything is counted as it has to be.
    fn lossy(name: &str) -> (Made, Case) {
        let (mut made, case) = Made::passing(name);
        let packets = made.packets(&case, 1);
        let packet = packets[0].clone();
        packets.resize(10, packet.clone());
        packets.resize(12, Packet { destination_mac: NOWHERE_MAC, ..packet });
        let demands = case.wires[0].ends[0].demands_numbers();
        let is_observed = case.setting("seq_observe").is_some();
        let ours = made.ours(&case);
        if demands {
            (ours.rx_frames, ours.seq_resyncs) = (5, 1);
            ours.drops = [("out_of_sequence".to_owned(), 5)].into();
        } else {
            ours.rx_frames = 10;
        }
        ours.observed = is_observed.then_some(Observed { lost: 2, reordered: 0, duplicates: 0 });
        (made, case)
    }

    #[test]
    fn a_loss_that_is_counted_as_it_has_to_be_is_no_fault_and_everything_else_is_one() {
        type Harm = fn(&mut Made, &Case);
        let harms: [(&str, Harm); 5] = [
            ("a frame is not accepted", |made, case| made.ours(case).rx_frames -= 1),
            ("a drop more", |made, case| made.ours(case).drops = [("vccv".to_owned(), 6)].into()),
            ("another beginning", |made, case| made.ours(case).seq_resyncs += 1),
            ("a loss that is not one", |made, case| {
                made.ours(case).observed = Some(Observed { lost: 3, reordered: 0, duplicates: 0 });
            }),
            ("a duplicate", |made, case| {
                made.ours(case).observed = Some(Observed { lost: 2, reordered: 0, duplicates: 1 });
            }),
        ];
        for name in ["udp4/seq_observe", "ip6/seq-both-with-loss"] {
            let (made, case) = lossy(name);
            assert_eq!(made.faults(&case, &answered()), Vec::<String>::new(), "{name}");
            for (what, harm) in harms {
                let (mut made, case) = lossy(name);
                harm(&mut made, &case);
                assert_eq!(made.faults(&case, &answered()).len(), 1, "{name}: {what}");
            }
            let (mut made, case) = lossy(name);
            made.packets(&case, 1).truncate(10);
            assert_ne!(made.faults(&case, &answered()), Vec::<String>::new(), "{name}: nothing was lost");
        }
    }

    #[test]
    fn both_cookies_are_to_be_accepted_and_then_the_old_one_no_more() {
        let (mut made, case) = Made::passing("ip4/cookie-change");
        let old = case.wires[0].ends[0].peer_cookie.clone();
        let bytes = |cookie: &str| -> Vec<u8> {
            let digit = |at: usize| u8::from_str_radix(&cookie[at..at + 2], 16).unwrap();
            (0..cookie.len()).step_by(2).map(digit).collect()
        };
        let packets = made.packets(&case, 1);
        let packet = packets[0].clone();
        let with = |cookie: &str| Packet { rest: [bytes(cookie), vec![0; 4]].concat(), ..packet.clone() };
        let (before, new) = (with(&old), with(&other_cookie(&old)));
        *packets = vec![before.clone(), before.clone(), new.clone(), before.clone(), before];
        made.ours(&case).rx_frames = 3;
        made.ours(&case).drops = [("cookie_mismatch".to_owned(), 2)].into();
        assert_eq!(made.faults(&case, &answered()), Vec::<String>::new());
        made.ours(&case).rx_frames = 4;
        assert_eq!(made.faults(&case, &answered()).len(), 1);
        made.ours(&case).rx_frames = 3;
        made.packets(&case, 1).push(new);
        assert_ne!(made.faults(&case, &answered()), Vec::<String>::new());
    }

    #[test]
    fn packets_from_both_places_of_a_peer_have_to_be_accepted() {
        let (mut made, case) = Made::passing("udp4/peer-learn");
        let tunnel = made.matrix.tunnels[usize::from(case.wires[0].tunnels[1])].clone();
        let first = flow(&tunnel, &case.wires[0], 1);
        let end = moved_end(tunnel.end(Gateway::Kernel), tunnel.family.address(Gateway::Kernel));
        let moved = Flow { source: end.local, ports: (end.udp_sport, first.ports.1), ..first };
        let packets = made.seen.flows[&first].clone();
        made.seen.flows.insert(moved, packets.clone());
        made.ours(&case).rx_frames = 2 * packets.len() as u64;
        assert_eq!(made.faults(&case, &answered()), Vec::<String>::new());
        made.ours(&case).rx_frames -= 1;
        assert_eq!(made.faults(&case, &answered()).len(), 1);
    }
}
