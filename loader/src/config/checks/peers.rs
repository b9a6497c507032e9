//! Checks of `peer`: what a tunnel that learns its peer needs, and what any other does.

use crate::config::draft::{Draft, DraftTunnel};
use crate::config::model::PeerMode;
use crate::config::report::Report;

/// Length that the cookie must have by which a peer is told from anybody else. Units: bytes.
const COOKIE_BYTES: usize = 8;

pub(super) fn check(draft: &Draft, report: &mut Report<'_>) {
    for tunnel in &draft.tunnels {
        match tunnel.peer {
            Some(PeerMode::Fixed) => check_fixed(tunnel, report),
            Some(PeerMode::Learn) => check_learning(tunnel, report),
            None => {}
        }
    }
}

fn check_fixed(tunnel: &DraftTunnel, report: &mut Report<'_>) {
    let path = format!("{}.remote", tunnel.path);
    if !report.has_place(&path) {
        let remedy = match tunnel.is_udp {
            Some(false) => "give the peer's address; only over UDP can it be learned",
            _ => "give the peer's address, or peer = \"learn\" if it is not known",
        };
        report.fault(&path, "is missing", remedy);
    }
}

fn check_learning(tunnel: &DraftTunnel, report: &mut Report<'_>) {
    if tunnel.is_udp == Some(false) {
        let problem = "\"learn\" has no meaning with encap = \"ip\"";
        let remedy = "give encap = \"udp\" with udp_sport, or peer = \"fixed\"";
        report.fault(&format!("{}.peer", tunnel.path), problem, remedy);
        return;
    }
    check_guess(tunnel, report);
    for session in &tunnel.sessions {
        if session.rx_cookie.is_some_and(|cookie| cookie.len_bytes() != COOKIE_BYTES) {
            let path = format!("{}.peer_cookie", session.path);
            let problem = "is not of 8 bytes, and the tunnel knows its peer by nothing else";
            report.fault(&path, problem, "give 16 hexadecimal digits, or give the tunnel peer = \"fixed\"");
        }
    }
}

/// Address and port of the first guess stand together.
fn check_guess(tunnel: &DraftTunnel, report: &mut Report<'_>) {
    if tunnel.is_udp != Some(true) {
        return;
    }
    let [remote, dport] = ["remote", "udp_dport"].map(|key| format!("{}.{key}", tunnel.path));
    let (given, missing) = match (report.has_place(&remote), report.has_place(&dport)) {
        (true, false) => (remote, "udp_dport"),
        (false, true) => (dport, "remote"),
        _ => return,
    };
    report.fault(&given, format!("stands without {missing}"), "give both as a first guess, or neither");
}
