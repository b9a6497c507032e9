//! spanwire as the gateway in the guest: its configuration, and what it counts.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::emulator::Guest;

/// A configuration: both ports in this mode, and more lines at its end.
pub(super) fn configuration(mode: &str, more: &str) -> String {
    format!(
        r#"[gateway]
name = "gw"

[port.lan]
role = "access"
mode = "{mode}"

[port.wan]
role = "underlay"
mode = "{mode}"

[tunnel.t1]
local = "192.0.2.1"
remote = "192.0.2.2"
tunnel_id = 1
peer_tunnel_id = 1
encap = "udp"
udp_sport = 1701
udp_dport = 1701

[tunnel.t1.session.s1]
session_id = 1
peer_session_id = 2

[bridge.lan]
members = ["lan", "s1"]
{more}"#
    )
}

/// Lines of a script that write a configuration to a file.
pub(super) fn write_lines(file: &str, configuration: &str) -> String {
    format!("cat >{file} <<'END'\n{configuration}\nEND\n")
}

/// One row of `spanwire port show --json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) driver: Option<String>,
    pub(super) xdp_mode: Option<String>,
    pub(super) zero_copy: bool,
    pub(super) rx_frames: u64,
    pub(super) tx_frames: u64,
    pub(super) kernel_rings: BTreeMap<String, u64>,
}

/// One row of `spanwire session show --json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Session {
    pub(super) rx_frames: u64,
    pub(super) tx_frames: u64,
    pub(super) tx_fragments: u64,
}

/// One row of `spanwire drop show --json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Dropped {
    pub(super) reason: String,
    pub(super) frames: u64,
    pub(super) copies: u64,
}

/// One row of `spanwire worker show --json`.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Worker {
    pub(super) state: String,
    pub(super) received: u64,
    pub(super) forwarded: u64,
    pub(super) flooded: u64,
    pub(super) dropped: u64,
    pub(super) handed: u64,
    pub(super) taken: u64,
    pub(super) reassembled: u64,
    pub(super) parked: u64,
    pub(super) extra_fragments: u64,
    pub(super) copies: u64,
    pub(super) wakeups: u64,
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

/// What the gateway counts, at one moment.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    pub(super) lan: Port,
    pub(super) wan: Port,
    pub(super) session: Session,
    pub(super) worker: Worker,
    pub(super) drops: Vec<Dropped>,
}

impl Counts {
    /// Asks the gateway.
    ///
    /// # Errors
    /// It does not answer, or has not two ports, one session and one worker.
    pub(super) fn read(guest: &mut Guest) -> Result<Self> {
        let mut ports: Vec<Port> = rows(guest, "port")?;
        let mut port = |name| {
            let place = ports.iter().position(|port| port.name == name);
            place.map(|place| ports.remove(place)).with_context(|| format!("there is no port {name}"))
        };
        let (lan, wan) = (port("lan")?, port("wan")?);
        let session = rows(guest, "session")?.pop().context("there is no session")?;
        let worker = rows(guest, "worker")?.pop().context("there is no worker")?;
        Ok(Self { lan, wan, session, worker, drops: rows(guest, "drop")? })
    }

    /// Frames and copies dropped, whatever for.
    pub(super) fn dropped(&self) -> u64 {
        self.drops.iter().map(|drop| drop.frames + drop.copies).sum()
    }

    /// What was dropped, in words.
    pub(super) fn dropped_words(&self) -> String {
        let word = |drop: &Dropped| format!("{} {}", drop.frames + drop.copies, drop.reason);
        let words: Vec<String> =
            self.drops.iter().filter(|drop| drop.frames + drop.copies > 0).map(word).collect();
        if words.is_empty() { "nothing dropped".to_owned() } else { words.join(", ") }
    }
}

/// The rows of `spanwire OBJECT show --json`.
fn rows<T: DeserializeOwned>(guest: &mut Guest, object: &str) -> Result<Vec<T>> {
    let text = guest.run(&format!("/tools/spanwire {object} show --json"))?;
    serde_json::from_str(&text).with_context(|| format!("reading what {object} show says: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_stands_at_both_ports_and_further_tables_at_the_end() {
        let text = configuration("zero-copy", "[umem]\nchunk_bytes = 2048\n");
        assert_eq!(text.matches("mode = \"zero-copy\"").count(), 2);
        let value: toml::Value = toml::from_str(&text).unwrap();
        assert_eq!(value["umem"]["chunk_bytes"].as_integer(), Some(2048));
    }
}
