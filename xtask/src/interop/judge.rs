//! Whether a case ended as it has to: pings, both sides' counters, and what stood on the wire.

use super::capture::{Flow, Flows, Packet};
use super::case::{Case, Encap, Expected, Gateway, Ours, Refusal, Theirs, Tunnel, Wire};
use super::pings::Pings;
use super::{ours, theirs};

/// The bit of the sublayer that says that there is a number, and the number (RFC 3931 §4.6).
const NUMBERED: u32 = 0x4000_0000;
const NUMBER: u32 = 0x00ff_ffff;

/// What both sides counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Books {
    /// Of [`Gateway::OURS`], in that order.
    pub(super) ours: [ours::Counts; 2],
    pub(super) theirs: theirs::Counts,
}

/// What one end of a pseudowire counted. Bytes are those of frames without FCS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) rx_frames: u64,
    rx_bytes: u64,
    pub(super) tx_frames: u64,
    tx_bytes: u64,
    /// Errors and drops.
    faults: u64,
}

impl Books {
    fn ours(&self, gateway: Gateway) -> &ours::Counts {
        let [first, second] = &self.ours;
        if gateway == Gateway::Second { second } else { first }
    }

    /// What an end counted; `None` when it does not know the session.
    pub(super) fn ledger(&self, tunnels: &[Tunnel], wire: &Wire, end: usize) -> Option<Ledger> {
        let name = wire.name();
        match wire.gateways[end] {
            Gateway::Kernel => {
                let encap = tunnels[usize::from(wire.tunnels[end])].encap;
                let header_bytes = wire.ends[end].header_bytes(encap);
                let theirs::Interface { rx_frames, rx_bytes, tx_frames, tx_bytes, faults } =
                    *self.theirs.interfaces.get(&name)?;
                // Of misread frames it may have counted less than that.
                let rx_bytes = rx_bytes.saturating_sub(rx_frames * header_bytes);
                Some(Ledger { rx_frames, rx_bytes, tx_frames, tx_bytes, faults })
            }
            gateway => self.ours(gateway).sessions.get(&name).map(|row| Ledger {
                rx_frames: row.rx_frames,
                rx_bytes: row.rx_bytes,
                tx_frames: row.tx_frames,
                tx_bytes: row.tx_bytes,
                faults: row.drops.values().sum(),
            }),
        }
    }
}

/// Everything that a verdict is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Evidence<'e> {
    pub(super) tunnels: &'e [Tunnel],
    /// All cases that ran: some things are not counted apart.
    pub(super) cases: &'e [&'e Case],
    pub(super) books: &'e Books,
    pub(super) flows: &'e Flows,
}

impl Evidence<'_> {
    /// What is wrong with a case; nothing, if all is as it has to be.
    pub(super) fn faults(&self, case: &Case, pings: &Pings) -> Vec<String> {
        match case.expected {
            Expected::Passes => self.faults_of_passing(case, pings),
            Expected::Refused(refusal) => self.faults_of_refused(case, refusal, pings),
        }
    }

    fn faults_of_passing(&self, case: &Case, pings: &Pings) -> Vec<String> {
        let mut faults = pings.lost.clone();
        if pings.sent == 0 {
            faults.push("nothing was sent".to_owned());
        }
        for wire in &case.wires {
            faults.extend(self.ledger_faults(wire));
            for end in [0, 1] {
                faults.extend(self.mark_faults(wire, end));
            }
        }
        faults
    }

    /// What one end sent has to be what the other received, frames and bytes, and nobody may have counted a fault.
    fn ledger_faults(&self, wire: &Wire) -> Vec<String> {
        let name = wire.name();
        let ledgers = [0, 1].map(|end| self.books.ledger(self.tunnels, wire, end));
        let [Some(one), Some(other)] = ledgers else {
            return vec![format!("{name}: a gateway does not know the session")];
        };
        let mut faults = Vec::new();
        for ((sender, sent), (receiver, received)) in [((0, one), (1, other)), ((1, other), (0, one))] {
            let sent = (sent.tx_frames, sent.tx_bytes);
            let received = (received.rx_frames, received.rx_bytes);
            if sent != received || sent.0 == 0 {
                let [sender, receiver] = [sender, receiver].map(|end: usize| wire.gateways[end].name());
                faults.push(format!(
                    "{name}: {sender} sent {} frames of {} bytes, {receiver} received {} of {}",
                    sent.0, sent.1, received.0, received.1
                ));
            }
        }
        for (end, ledger) in [one, other].iter().enumerate().filter(|(_, ledger)| ledger.faults > 0) {
            faults.push(format!("{name}: {} counts {} faults", wire.gateways[end].name(), ledger.faults));
        }
        faults
    }

    /// Whether the packets of an end show what its options say. Between two gateways of ours nothing is captured.
    fn mark_faults(&self, wire: &Wire, end: usize) -> Vec<String> {
        if !wire.gateways.contains(&Gateway::Kernel) {
            return Vec::new();
        }
        let (gateway, tunnel) = (wire.gateways[end], &self.tunnels[usize::from(wire.tunnels[end])]);
        let sender = gateway.name();
        let Some(packets) = self.flows.get(&flow(tunnel, wire, end)) else {
            return vec![format!("{}: no packet of {sender} was seen on the wire", wire.name())];
        };
        let mut faults = Vec::new();
        if let Some(expected) = tunnel.sends_checksum(gateway) {
            let wrong = packets.iter().filter(|packet| (packet.checksum != Some(0)) != expected).count();
            if wrong > 0 {
                let word = if expected { "have no checksum" } else { "have a checksum" };
                faults.push(format!("{}: {wrong} packets of {sender} {word}", wire.name()));
            }
        }
        faults.extend(number_fault(wire, end, packets).map(|fault| format!("{}: {fault}", wire.name())));
        faults
    }

    fn faults_of_refused(&self, case: &Case, refusal: Refusal, pings: &Pings) -> Vec<String> {
        let mut faults = pings.answered.clone();
        if pings.sent == 0 {
            faults.push("nothing was sent".to_owned());
        }
        let wire = &case.wires[0];
        let [Some(ours), Some(theirs)] = [0, 1].map(|end| self.books.ledger(self.tunnels, wire, end)) else {
            faults.push(format!("{}: a gateway does not know the session", wire.name()));
            return faults;
        };
        for (name, ledger) in [("gw1", ours), ("gw", theirs)] {
            if ledger.tx_frames == 0 {
                faults.push(format!("{name} sent nothing that could be refused"));
            }
        }
        faults.extend(self.fault_of_ours(wire, refusal.ours, ours, theirs));
        faults.extend(self.fault_of_theirs(wire, refusal.theirs, ours, theirs));
        faults
    }

    /// What we made of the kernel's frames, if that is wrong.
    fn fault_of_ours(&self, wire: &Wire, expected: Ours, ours: Ledger, theirs: Ledger) -> Option<String> {
        let counts = self.books.ours(Gateway::First);
        let accepted = match expected {
            Ours::Accepted | Ours::Misread(_) => theirs.tx_frames,
            Ours::Session(_) | Ours::Total(_) | Ours::Steering(_) => 0,
        };
        if ours.rx_frames != accepted {
            return Some(format!(
                "we accepted {} of {} frames, not {accepted}",
                ours.rx_frames, theirs.tx_frames
            ));
        }
        let (counted, sent, reason) = match expected {
            Ours::Accepted => return None,
            Ours::Session(reason) => {
                let drops = counts.sessions.get(&wire.name()).map(|row| &row.drops)?;
                if drops.keys().any(|other| other != reason) {
                    return Some(format!("the session counts {drops:?} and not only {reason}"));
                }
                (drops.get(reason).copied().unwrap_or(0), theirs.tx_frames, reason)
            }
            Ours::Total(reason) | Ours::Misread(reason) => {
                (counts.drops.get(reason).copied().unwrap_or(0), self.sent_by_kernel(expected), reason)
            }
            Ours::Steering(decision) => {
                let counted = counts.steering.get(decision).copied().unwrap_or(0);
                // Others are left to the kernel, too: ICMP, for one.
                let sent = self.sent_by_kernel(expected);
                (counted.min(sent), sent, decision)
            }
        };
        (counted != sent)
            .then(|| format!("{reason} counts {counted} of the {sent} frames that the kernel sent"))
    }

    /// Frames that the kernel sent in all cases that end in the same counter.
    fn sent_by_kernel(&self, expected: Ours) -> u64 {
        let same = self
            .cases
            .iter()
            .filter(|case| matches!(case.expected, Expected::Refused(refusal) if refusal.ours == expected));
        same.filter_map(|case| self.books.ledger(self.tunnels, &case.wires[0], 1))
            .map(|ledger| ledger.tx_frames)
            .sum()
    }

    /// What the kernel made of our frames, if that is wrong.
    fn fault_of_theirs(&self, wire: &Wire, expected: Theirs, ours: Ledger, theirs: Ledger) -> Option<String> {
        let tunnel = self.tunnels[usize::from(wire.tunnels[1])].end(Gateway::Kernel);
        let refused = self.books.theirs.refused.get(&(tunnel.tunnel_id, wire.ends[1].session_id)).copied()?;
        let (accepted, counted) = match expected {
            Theirs::Misread => return None,
            Theirs::Accepted => (ours.tx_frames, 0),
            Theirs::Session => (0, ours.tx_frames),
            Theirs::Unseen => (0, 0),
        };
        ((theirs.rx_frames, refused) != (accepted, counted)).then(|| {
            format!(
                "of our {} frames the kernel accepted {} and counts {refused} as faulty, not {accepted} and {counted}",
                ours.tx_frames, theirs.rx_frames
            )
        })
    }
}

/// The packets that an end sends.
fn flow(tunnel: &Tunnel, wire: &Wire, end: usize) -> Flow {
    let side = tunnel.end(wire.gateways[end]);
    let ports = match tunnel.encap {
        Encap::Udp => (side.udp_sport, side.udp_dport),
        Encap::Ip => (0, 0),
    };
    Flow { source: side.local, destination: side.remote, ports, session_id: wire.ends[end].peer_session_id }
}

/// Whether the numbers are as the setting says: each one more than the last, or none.
///
/// The kernel's own are only looked at where nobody asks for numbers: it begins and ends to number by what it receives.
fn number_fault(wire: &Wire, end: usize, packets: &[Packet]) -> Option<String> {
    let session = &wire.ends[end];
    let numbers_expected = session.numbers();
    if session.l2spec_type != "default" || !wire.gateways[end].is_ours() && session.seq != "none" {
        return None;
    }
    let sender = wire.gateways[end].name();
    let mut last: Option<u32> = None;
    for packet in packets {
        let start = session.cookie.len() / 2;
        let Some(bytes) = packet.rest.get(start..).and_then(<[u8]>::first_chunk) else {
            return Some(format!("a packet of {sender} ends before its sublayer"));
        };
        let sublayer = u32::from_be_bytes(*bytes);
        if (sublayer & NUMBERED != 0) != numbers_expected {
            let word = if numbers_expected { "no" } else { "a" };
            return Some(format!("a packet of {sender} has {word} sequence number"));
        }
        let number = sublayer & NUMBER;
        if numbers_expected && last.is_some_and(|last| (last + 1) & NUMBER != number) {
            return Some(format!("{sender} sent number {number} behind {}", last.unwrap_or_default()));
        }
        last = Some(number);
    }
    None
}
