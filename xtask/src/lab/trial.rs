//! What is tried between the PCs: every directed pair, one after the other.

use anyhow::Result;
use netlab::Node;
use netlab::article::{Article, LAN_MTU_BYTES, SITES};

use super::flow::{self, Flow, Shape};
use super::ping::{self, Ping};

/// Pace of a flow: such that two busy cores, shared by seven machines, follow without loss.
const RATE_PPS: u32 = 5000;

/// Datagrams of a flow: two seconds' worth.
const COUNT: u32 = 2 * RATE_PPS;

/// The largest frame of a LAN, and the smallest; both with FCS. Units: bytes.
const FRAME_BYTES: [usize; 2] = [LAN_MTU_BYTES as usize + 14 + 4, 64];

/// Index of sender and of receiver in [`SITES`], for each directed pair.
pub(crate) const PAIRS: [(usize, usize); 6] = [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)];

/// Pings every pair; order as in [`PAIRS`].
pub(crate) fn ping_pairs(network: &Article) -> Result<Vec<Ping>> {
    ping_each(network, ping::ping)
}

/// Pings every pair with packets as large as the LAN takes; order as in [`PAIRS`].
pub(super) fn ping_pairs_largest(network: &Article) -> Result<Vec<Ping>> {
    ping_each(network, ping::ping_largest)
}

fn ping_each(network: &Article, ping: impl Fn(&Node, &str) -> Result<Ping>) -> Result<Vec<Ping>> {
    PAIRS.iter().map(|&(from, to)| ping(&network.pcs[from], &SITES[to].lan.to_string())).collect()
}

/// Sends the large and the small flow of every pair; order as in [`PAIRS`].
pub(super) fn send_flows(network: &Article, idle_share: f64) -> Result<Vec<[Flow; 2]>> {
    let mut flows = Vec::new();
    for (number, &(from, to)) in PAIRS.iter().enumerate() {
        let (sender, receiver) = (&network.pcs[from], &network.pcs[to]);
        eprintln!("      {} to {} ({}/{})", sender.name(), receiver.name(), number + 1, PAIRS.len());
        let [large, small] = FRAME_BYTES;
        let large = send(sender, receiver, to, large, idle_share)?;
        let small = send(sender, receiver, to, small, idle_share)?;
        flows.push([large, small]);
    }
    Ok(flows)
}

/// Sends one flow to the PC of a site.
fn send(sender: &Node, receiver: &Node, site: usize, frame_bytes: usize, idle_share: f64) -> Result<Flow> {
    let shape = Shape { frame_bytes, count: COUNT, rate_pps: RATE_PPS };
    flow::send(sender, receiver, SITES[site].lan, shape, idle_share)
}
