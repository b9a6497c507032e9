//! Whether a case ended as it has to: pings, both sides' counters, and what stood on the wire.

mod exercised;
mod marks;
mod refused;

use super::capture::{Flow, Packet, Seen};
use super::case::{Case, Encap, Expected, Gateway, SessionEnd, Tunnel, Wire};
use super::own::Exercise;
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
    pub(super) seen: &'e Seen,
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
            match case.exercise {
                Some(Exercise::Learn | Exercise::NewCookie | Exercise::Loss) => {
                    faults.extend(self.exercised_faults(case, wire));
                }
                exercise => {
                    // That of the frame that does not fit.
                    let drops = u64::from(exercise == Some(Exercise::TooBig));
                    faults.extend(self.ledger_faults(wire, drops));
                }
            }
            for end in [0, 1] {
                faults.extend(self.option_faults(wire, end));
                faults.extend(self.fragment_fault(case, wire, end).filter(|_| case.narrow));
            }
            faults.extend(self.mark_faults(case, wire));
        }
        faults
    }

    /// What one end sent has to be what the other received, frames and bytes, and nobody may have counted a fault, but for
    /// `drops` that the first end has to count.
    fn ledger_faults(&self, wire: &Wire, drops: u64) -> Vec<String> {
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
                let seen = self.packets(wire, sender).len();
                let [sender, receiver] = [sender, receiver].map(|end: usize| wire.gateways[end].name());
                faults.push(format!(
                    "{name}: {sender} sent {} frames of {} bytes, {receiver} received {} of {}; {seen} were seen \
                     at the guest",
                    sent.0, sent.1, received.0, received.1
                ));
            }
        }
        for (end, (ledger, expected)) in [(one, drops), (other, 0)].into_iter().enumerate() {
            if ledger.faults != expected {
                faults.push(format!("{name}: {} counts {} faults", wire.gateways[end].name(), ledger.faults));
            }
        }
        faults
    }

    /// Whether the packets of an end show what its options say. Between two gateways of ours nothing is captured.
    fn option_faults(&self, wire: &Wire, end: usize) -> Vec<String> {
        if !wire.gateways.contains(&Gateway::Kernel) {
            return Vec::new();
        }
        let (gateway, tunnel) = (wire.gateways[end], &self.tunnels[usize::from(wire.tunnels[end])]);
        let sender = gateway.name();
        let packets = self.packets(wire, end);
        if packets.is_empty() {
            return vec![format!("{}: no packet of {sender} was seen at the guest", wire.name())];
        }
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

    /// What is wrong when an end has sent no fragments, or some in spite of its setting.
    fn fragment_fault(&self, case: &Case, wire: &Wire, end: usize) -> Option<String> {
        let gateway = wire.gateways[end];
        let side = self.tunnels[usize::from(wire.tunnels[end])].end(gateway);
        let count = self.seen.fragments.get(&(side.local, side.remote)).copied().unwrap_or(0);
        let has_to = !gateway.is_ours() || case.setting("fragmentation").is_none();
        let word = if has_to { "no" } else { "a" };
        ((count > 0) != has_to)
            .then(|| format!("{}: {word} fragment of {} was seen", wire.name(), gateway.name()))
    }

    /// The packets of an end that were captured.
    fn packets(&self, wire: &Wire, end: usize) -> &[Packet] {
        let tunnel = &self.tunnels[usize::from(wire.tunnels[end])];
        self.seen.flows.get(&flow(tunnel, wire, end)).map_or(&[], Vec::as_slice)
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
    let is_asked = wire.ends.iter().any(SessionEnd::numbers) || session.demands_numbers();
    if session.l2spec_type != "default" || !wire.gateways[end].is_ours() && is_asked {
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

#[cfg(test)]
mod tests;
