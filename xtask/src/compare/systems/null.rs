//! The null forwarder: AF_XDP in, AF_XDP out, nothing read.

use anyhow::Result;

use super::super::site::{Ready, Site, Step, words};
use super::super::tools::Tools;

/// Rounds without a frame before a worker sleeps: the gateway's own number.
const IDLE_ROUNDS: u32 = 32;

/// Over the gateway's own sockets.
pub(super) fn own(site: &Site, tools: &Tools) -> Result<Vec<Step>> {
    forwarder(site, tools, "--rings own")
}

/// Over the gateway's own sockets on receipt; sent as live frames.
pub(super) fn live_frames(site: &Site, tools: &Tools) -> Result<Vec<Step>> {
    forwarder(site, tools, "--transmit live-frames")
}

/// Over those of `xsk-rs`.
pub(super) fn xsk_rs(site: &Site, tools: &Tools) -> Result<Vec<Step>> {
    forwarder(site, tools, "--rings xsk-rs")
}

fn forwarder(site: &Site, tools: &Tools, how: &str) -> Result<Vec<Step>> {
    let Site { lan, wan, cpu, .. } = site;
    let options = format!(
        "null-forward --interface {lan} --interface {wan} {how} --cpu {cpu} --idle-rounds {IDLE_ROUNDS}"
    );
    let words = [tools.program("spanwire-bench")?, words(&options)].concat();
    Ok(vec![Step::Start {
        name: "null-forward".to_owned(),
        words,
        ready: Ready::Writes("forwarding between"),
    }])
}
