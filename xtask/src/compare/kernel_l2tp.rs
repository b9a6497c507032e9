//! Whether this kernel has `l2tp_eth`: the one way to know is to make a tunnel.

use anyhow::Result;
use netlab::Lab;

/// Name of the lab.
const LAB_NAME: &str = "comparel2tp";

/// What a pseudowire takes: both in a namespace of its own, which goes at once.
const COMMANDS: [&str; 3] = [
    "address add 192.0.2.1/32 dev lo",
    "l2tp add tunnel local 192.0.2.1 remote 192.0.2.1 tunnel_id 1 peer_tunnel_id 1 encap udp udp_sport 5001 udp_dport 5002",
    "l2tp add session tunnel_id 1 session_id 1 peer_session_id 1",
];

/// What is missing for a pseudowire of the kernel; `None` when nothing is.
///
/// # Errors
/// A namespace cannot be made.
pub(super) fn missing() -> Result<Option<String>> {
    let lab = Lab::new(LAB_NAME)?;
    let node = lab.node("probe")?;
    for command in COMMANDS {
        if let Err(fault) = node.ip(command) {
            let fault = format!("{fault:#}").replace('\n', " ");
            return Ok(Some(format!(
                "this kernel has no l2tp_eth, or no module of it is loaded; `cargo xtask compare --uml` measures it in \
                 User-mode Linux ({fault})"
            )));
        }
    }
    Ok(None)
}
