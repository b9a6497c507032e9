//! Neighbour entries that stay put while frames are counted.
//!
//! ARP frames of the kernel would be counted by the interfaces among the frames of the flood, and those that a full ring
//! loses would be told from the flood's by nobody. So every entry is made permanent before, and stale afterwards.

use anyhow::Result;
use netlab::Node;
use netlab::article::Article;
use serde::Deserialize;

/// One row of `ip -json neighbour show`; entries that are not resolved have no address.
#[derive(Debug, Deserialize)]
struct Neighbour {
    dst: String,
    dev: String,
    lladdr: Option<String>,
}

/// Makes every resolved entry of every machine permanent.
///
/// # Errors
/// An entry cannot be changed.
pub(super) fn freeze(network: &Article) -> Result<()> {
    set(network, "permanent")
}

/// Lets every entry be checked and renewed again.
///
/// # Errors
/// An entry cannot be changed.
pub(super) fn thaw(network: &Article) -> Result<()> {
    set(network, "stale")
}

fn set(network: &Article, state: &str) -> Result<()> {
    for node in network.pcs.iter().chain(&network.gateways).chain([&network.router]) {
        set_all_of(node, state)?;
    }
    Ok(())
}

fn set_all_of(node: &Node, state: &str) -> Result<()> {
    let entries: Vec<Neighbour> = serde_json::from_str(&node.ip("-json neighbour show nud all")?)?;
    for Neighbour { dst, dev, lladdr } in entries {
        if let (Some(mac), true) = (lladdr, dev != "lo") {
            node.ip(&format!("neighbour replace {dst} lladdr {mac} dev {dev} nud {state}"))?;
        }
    }
    Ok(())
}
