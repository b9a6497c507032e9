//! What the kernel's gateway counts, read from the guest.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::guest::Guest;
use super::scripts;

/// Time that reading may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// What one session interface counts. Bytes are those of frames without FCS; received ones have the L2TPv3 header besides,
/// as the kernel takes the length before it takes the header off (linux v6.12 `net/l2tp/l2tp_core.c`, `l2tp_recv_common`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) rx_frames: u64,
    pub(super) rx_bytes: u64,
    pub(super) tx_frames: u64,
    pub(super) tx_bytes: u64,
    /// Errors and drops, both ways.
    pub(super) faults: u64,
}

/// What the kernel's gateway counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// By session name.
    pub(super) interfaces: BTreeMap<String, Interface>,
    /// Received packets that a session refused, by tunnel id and session id: cookie, sequence number, length.
    pub(super) refused: HashMap<(u32, u32), u64>,
}

/// Reads everything.
///
/// # Errors
/// The guest does not answer, or in words that are not understood.
pub(super) fn counts(guest: &mut Guest) -> Result<Counts> {
    let output = guest.run(&scripts::counters(), DEADLINE)?;
    let (links, sessions) = output.split_once('\n').context("the guest has no interfaces")?;
    let interfaces = interfaces(links).with_context(|| format!("the guest's interfaces: {links}"))?;
    Ok(Counts { interfaces, refused: refused(sessions) })
}

/// The answer of `ip -s -j link show`.
fn interfaces(json: &str) -> Result<BTreeMap<String, Interface>> {
    let links: Vec<Value> = serde_json::from_str(json)?;
    let mut interfaces = BTreeMap::new();
    // Interfaces that are not asked for are empty objects.
    for link in links.iter().filter(|link| link.get("ifname").is_some()) {
        let count = |direction: &str, what: &str| {
            let value = link["stats64"][direction][what].as_u64();
            value.with_context(|| format!("no {direction} {what}"))
        };
        let mut faults = 0;
        for (direction, what) in [("rx", "errors"), ("rx", "dropped"), ("tx", "errors"), ("tx", "dropped")] {
            faults += count(direction, what)?;
        }
        let interface = Interface {
            rx_frames: count("rx", "packets")?,
            rx_bytes: count("rx", "bytes")?,
            tx_frames: count("tx", "packets")?,
            tx_bytes: count("tx", "bytes")?,
            faults,
        };
        interfaces
            .insert(link["ifname"].as_str().context("an interface without a name")?.to_owned(), interface);
    }
    Ok(interfaces)
}

/// The receive errors of each session in the kernel's debug file.
///
/// ```text
/// TUNNEL 5000 peer 1000 from 10.200.0.3 to 10.200.0.1
///  00000000 rx 0/0/0 rx 0/0/0
///   SESSION 3405774849, peer 167772161, ETH
///    ...
///    0/0 tx 10/1000/0 rx 10/1000/2
/// ```
/// The head of the file says the same in words instead of numbers.
/// Source: linux v6.12 `net/l2tp/l2tp_debugfs.c`, `l2tp_dfs_seq_tunnel_show`, `l2tp_dfs_seq_session_show`.
fn refused(text: &str) -> HashMap<(u32, u32), u64> {
    let mut refused = HashMap::new();
    let (mut tunnel, mut session) = (None, None);
    for line in text.lines() {
        let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        match words[..] {
            ["TUNNEL", id, ..] => (tunnel, session) = (id.parse().ok(), None),
            ["SESSION", id, ..] => session = id.parse().ok(),
            [.., "tx", _, "rx", counts] => {
                let errors = counts.rsplit('/').next().and_then(|errors| errors.parse().ok());
                if let (Some(tunnel), Some(session), Some(errors)) = (tunnel, session, errors) {
                    refused.insert((tunnel, session), errors);
                }
            }
            _ => {}
        }
    }
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_of_other_groups_are_left_out_and_faults_added_up() {
        let json = r#"[{},{"ifname":"w0","stats64":{
            "rx":{"bytes":100,"packets":1,"errors":2,"dropped":3},
            "tx":{"bytes":200,"packets":2,"errors":4,"dropped":5}}}]"#;
        let expected = Interface { rx_frames: 1, rx_bytes: 100, tx_frames: 2, tx_bytes: 200, faults: 14 };
        assert_eq!(interfaces(json).unwrap(), [("w0".to_owned(), expected)].into());
        assert!(interfaces(r#"[{"ifname":"w0","stats64":{"rx":{},"tx":{}}}]"#).is_err());
    }

    #[test]
    fn errors_are_those_of_the_session_and_not_of_its_tunnel() {
        let text = "TUNNEL ID, peer ID from IP to IP\n  SESSION ID, peer ID, PWTYPE\n   \
                    nr/ns tx-pkts/bytes/errs rx-pkts/bytes/errs\n\n\
                    TUNNEL 5000 peer 1000 from 10.200.0.3 to 10.200.0.1\n \
                    00000000 tx 0/0/0 rx 9/9/9\n  SESSION 3405774849, peer 167772161, ETH\n   refcnt 2\n   \
                    0/0 tx 10/1000/0 rx 10/1000/2\n   interface w0\n";
        assert_eq!(refused(text), [((5000, 3_405_774_849), 2)].into());
    }
}
