//! Round trips between two PCs.

use anyhow::{Context as _, Result};
use netlab::{Node, article::LAN_MTU_BYTES};
use serde::Serialize;

/// Echo requests per pair.
const REQUESTS: u32 = 10;

/// What `ping` counted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Ping {
    /// Requests sent.
    pub(crate) sent: u32,
    /// Replies received.
    pub(crate) received: u32,
    /// Average round trip; `None` when nothing came back. Units: ms.
    pub(crate) rtt_avg_ms: Option<f64>,
}

/// Payload of the largest echo request that fits the LAN: 8 bytes of ICMP and 20 of IP come in front. Units: bytes.
const LARGEST_BYTES: u32 = LAN_MTU_BYTES - 28;

/// Pings `address` from `node`.
///
/// # Errors
/// `ping` cannot be started or prints no summary; loss is no error.
pub(crate) fn ping(node: &Node, address: &str) -> Result<Ping> {
    ping_with(node, address, &[])
}

/// The same with packets as large as the LAN takes, which nobody may cut up.
///
/// # Errors
/// As [`ping`].
pub(crate) fn ping_largest(node: &Node, address: &str) -> Result<Ping> {
    ping_with(node, address, &["-M", "do", "-s", &LARGEST_BYTES.to_string()])
}

fn ping_with(node: &Node, address: &str, options: &[&str]) -> Result<Ping> {
    let requests = REQUESTS.to_string();
    let words = [&["ping", "-q", "-c", &requests, "-i", "0.02", "-W", "2"], options, &[address]].concat();
    let mut command = node.command(&words);
    let output = command.env("LC_ALL", "C").output().context("starting ping")?;
    let text = String::from_utf8_lossy(&output.stdout);
    summary(&text)
        .with_context(|| format!("ping {address}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Reads the summary of iputils' `ping -q`.
fn summary(text: &str) -> Option<Ping> {
    let counts = text.lines().find(|line| line.contains(" packets transmitted, "))?;
    let numbers: Vec<u32> =
        counts.split(',').map_while(|part| part.split_whitespace().next()?.parse().ok()).collect();
    let [sent, received, ..] = numbers[..] else { return None };
    // rtt min/avg/max/mdev = 0.045/0.058/0.071/0.013 ms
    let times = text.lines().find(|line| line.starts_with("rtt ")).and_then(|line| line.split(" = ").nth(1));
    let rtt_avg_ms = times.and_then(|times| times.split('/').nth(1)?.parse().ok());
    Some(Ping { sent, received, rtt_avg_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_average_are_read() {
        let text = "PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.\n\n--- 10.0.0.2 ping statistics ---\n\
            10 packets transmitted, 9 received, 10% packet loss, time 187ms\n\
            rtt min/avg/max/mdev = 0.045/0.058/0.071/0.013 ms\n";
        assert_eq!(summary(text), Some(Ping { sent: 10, received: 9, rtt_avg_ms: Some(0.058) }));
    }

    #[test]
    fn a_silent_peer_has_no_round_trip() {
        let text = "3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 40ms\n";
        assert_eq!(summary(text), Some(Ping { sent: 3, received: 0, rtt_avg_ms: None }));
    }
}
