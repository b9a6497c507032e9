//! The null forwarder: AF_XDP in, AF_XDP out, nothing read.

use anyhow::Result;

use super::super::site::{Ready, Site, Step, words};
use super::super::tools::Tools;

/// Rounds without a frame before a worker sleeps: the gateway's own number.
const IDLE_ROUNDS: u32 = 32;

/// Over the gateway's own sockets.
pub(super) fn own(site: &Site, tools: &Tools) -> Result<Vec<Step>> {
    forwarder(site, tools, "own")
}

/// Over those of `xsk-rs`.
pub(super) fn xsk_rs(site: &Site, tools: &Tools) -> Result<Vec<Step>> {
    forwarder(site, tools, "xsk-rs")
}

fn forwarder(site: &Site, tools: &Tools, rings: &str) -> Result<Vec<Step>> {
    let Site { lan, wan, cpu, .. } = site;
    let options = format!(
        "null-forward --interface {lan} --interface {wan} --rings {rings} --cpu {cpu} --idle-rounds {IDLE_ROUNDS}"
    );
    let words = [tools.program("spanwire-bench")?, words(&options)].concat();
    Ok(vec![Step::Start {
        name: "null-forward".to_owned(),
        words,
        ready: Ready::Writes("forwarding between"),
    }])
}
