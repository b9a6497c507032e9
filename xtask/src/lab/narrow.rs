//! The same sites over an underlay of 1500 bytes: default settings have to make LANs of 1500 bytes work there.
//!
//! The gateways are started for this alone, with the configurations that the import made, and ended afterwards. Every pair
//! of PCs is tried with the largest ping that nobody may cut up, and with a TCP connection whose segments are as large.

mod table;

use std::path::Path;

use anyhow::{Context as _, Result};
use netlab::article::{Article, SITES};
use netlab::{Lab, Process};
use serde::{Deserialize, Serialize};

use super::gateways::{self, Gateways};
use super::ping::{self, Ping};
use super::transfer::{self, Transfer};
use super::trial::PAIRS;

/// MTU of the underlay links. Units: bytes.
pub(super) const MTU_BYTES: u32 = 1500;

/// Content of one TCP connection. Units: bytes.
pub(super) const TRANSFER_BYTES: u64 = 8 << 20;

/// What was found over the narrow underlay.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Narrow {
    /// Every directed pair of PCs, in the order of [`PAIRS`].
    pub(super) pairs: Vec<NarrowPair>,
    /// Every session.
    pub(super) sessions: Vec<NarrowSession>,
}

/// One directed pair of PCs.
#[derive(Debug, Clone, Serialize)]
pub(super) struct NarrowPair {
    pub(super) from: &'static str,
    pub(super) to: &'static str,
    /// What the pair's frames are carried by, as [`carrier`] has it.
    pub(super) carrier: &'static str,
    pub(super) ping_largest: Ping,
    pub(super) tcp: Transfer,
}

/// One row of `spanwire session show --json`, as far as it is looked at here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NarrowSession {
    /// The gateway that was asked.
    #[serde(default)]
    pub(super) gateway: String,
    pub(super) name: String,
    /// Largest outer packet that the path takes. Units: bytes.
    pub(super) path_mtu_bytes: Option<u32>,
    /// Outer fragments sent.
    pub(super) tx_fragments: u64,
}

/// Narrows the underlay, starts the gateways, tries every pair, ends the gateways, and gives the links `wide_bytes` again.
/// Returns what is wrong with the gateways' ends, besides.
///
/// # Errors
/// Something does not come up; loss is no error.
pub(super) fn exercise(
    (lab, binary): (&Lab, &Path),
    network: &Article,
    gateways: &Gateways<'_>,
    wide_bytes: u32,
) -> Result<(Narrow, Vec<String>)> {
    network.set_underlay_mtu(MTU_BYTES)?;
    let processes: Vec<Process> = gateways.start("-narrow")?;
    gateways.wait_until_up()?;
    let pairs: Result<Vec<NarrowPair>> = PAIRS.iter().map(|&pair| try_pair(network, pair)).collect();
    let narrow = Narrow { pairs: pairs?, sessions: sessions(lab, binary)? };
    if !narrow.faults().is_empty() && !netlab::interrupted() {
        eprintln!("{}", gateways::diagnosis(lab, binary, true));
    }
    let faults = gateways::end(&processes)?;
    network.set_underlay_mtu(wide_bytes)?;
    Ok((narrow, faults))
}

fn try_pair(network: &Article, (from, to): (usize, usize)) -> Result<NarrowPair> {
    let (sender, receiver) = (&network.pcs[from], &network.pcs[to]);
    let address = SITES[to].lan;
    let ping_largest = ping::ping_largest(sender, &address.to_string())?;
    let tcp = transfer::send(sender, receiver, address, TRANSFER_BYTES)?;
    Ok(NarrowPair { from: SITES[from].pc, to: SITES[to].pc, carrier: carrier((from, to)), ping_largest, tcp })
}

/// What carries the frames of a pair: the article joins the first two sites over UDP and the last two over IP.
fn carrier((from, to): (usize, usize)) -> &'static str {
    match (from.min(to), from.max(to)) {
        (0, 1) => "UDP",
        (1, 2) => "IP 115",
        _ => "both",
    }
}

/// The sessions of all gateways.
fn sessions(lab: &Lab, binary: &Path) -> Result<Vec<NarrowSession>> {
    let mut all = Vec::new();
    for site in &SITES {
        let json = gateways::show(binary, lab.dir(), site.gateway, "session", &["--json"]);
        let json = json.map_err(anyhow::Error::msg)?;
        let sessions: Vec<NarrowSession> =
            serde_json::from_str(&json).with_context(|| format!("{}: session show --json", site.gateway))?;
        let gateway = site.gateway.to_owned();
        all.extend(sessions.into_iter().map(|session| NarrowSession { gateway: gateway.clone(), ..session }));
    }
    Ok(all)
}

impl NarrowPair {
    /// Whether every ping came back and the whole stream arrived unchanged.
    pub(super) fn is_ok(&self) -> bool {
        self.ping_largest.sent > 0 && self.ping_largest.received == self.ping_largest.sent && self.tcp.is_ok()
    }
}

impl NarrowSession {
    /// Whether what was tried really met a path that was too narrow: every session carries the streams of two pairs, and
    /// a stream's segments, each of which takes two fragments, are not more than 1460 bytes.
    pub(super) fn has_cut(&self) -> bool {
        self.path_mtu_bytes == Some(MTU_BYTES) && self.tx_fragments >= 2 * 2 * (TRANSFER_BYTES / 1460)
    }
}

impl Narrow {
    /// What is wrong; nothing, if all works.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.pairs.len() != PAIRS.len() || self.sessions.is_empty() {
            faults.push(format!("not everything was tried over an underlay of {MTU_BYTES} bytes"));
        }
        for pair in self.pairs.iter().filter(|pair| !pair.is_ok()) {
            let NarrowPair { from, to, tcp, .. } = pair;
            let why = tcp.fault.as_deref().unwrap_or("loss or other content");
            faults.push(format!("{from} to {to} fails over an underlay of {MTU_BYTES} bytes: {why}"));
        }
        for session in self.sessions.iter().filter(|session| !session.has_cut()) {
            let NarrowSession { gateway, name, path_mtu_bytes, tx_fragments } = session;
            faults.push(format!(
                "{gateway} {name}: {tx_fragments} fragments sent over a path of {path_mtu_bytes:?} bytes, fewer than the \
                 streams need over {MTU_BYTES}"
            ));
        }
        faults
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Everything works.
    pub(in crate::lab) fn good() -> Narrow {
        let ping_largest = Ping { sent: 10, received: 10, rtt_avg_ms: Some(0.3) };
        let digest = "00".to_owned();
        let tcp = Transfer {
            bytes: TRANSFER_BYTES,
            received_bytes: TRANSFER_BYTES,
            digest: digest.clone(),
            received_digest: digest,
            seconds: 1.0,
            fault: None,
        };
        let pair = |&pair: &(usize, usize)| NarrowPair {
            from: SITES[pair.0].pc,
            to: SITES[pair.1].pc,
            carrier: carrier(pair),
            ping_largest: ping_largest.clone(),
            tcp: tcp.clone(),
        };
        let session = NarrowSession {
            gateway: "gw-a".to_owned(),
            name: "l2tpeth0".to_owned(),
            path_mtu_bytes: Some(MTU_BYTES),
            tx_fragments: 23_500,
        };
        Narrow { pairs: PAIRS.iter().map(pair).collect(), sessions: vec![session; 4] }
    }

    #[test]
    fn the_first_two_sites_are_joined_over_udp_and_the_last_two_over_ip() {
        let carriers: Vec<_> = good().pairs.iter().map(|pair| pair.carrier).collect();
        assert_eq!(carriers, ["UDP", "UDP", "IP 115", "IP 115", "both", "both"]);
    }

    #[test]
    fn each_thing_that_is_wrong_is_a_fault() {
        type Harm = fn(&mut Narrow);
        let harms: [(&str, Harm); 6] = [
            ("a ping is lost", |narrow| narrow.pairs[2].ping_largest.received -= 1),
            ("a byte is missing", |narrow| narrow.pairs[3].tcp.received_bytes -= 1),
            ("the content is another", |narrow| narrow.pairs[3].tcp.received_digest.push('1')),
            ("a pair was not tried", |narrow| drop(narrow.pairs.pop())),
            ("the path was not narrow", |narrow| narrow.sessions[1].path_mtu_bytes = Some(1600)),
            ("nothing was cut up", |narrow| narrow.sessions[1].tx_fragments = 0),
        ];
        assert_eq!(good().faults(), Vec::<String>::new());
        for (what, harm) in harms {
            let mut narrow = good();
            harm(&mut narrow);
            assert_eq!(narrow.faults().len(), 1, "{what}");
        }
    }
}
