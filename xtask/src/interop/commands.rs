//! The commands of one end, in the words of `ip l2tp`: the kernel's end runs them, and ours is imported from them.

use super::case::{Checksums, Encap, Family, SessionEnd, TunnelEnd};

/// `ip l2tp add tunnel`, without the first word.
pub(super) fn tunnel(end: &TunnelEnd, encap: Encap, family: Family) -> String {
    let TunnelEnd { local, remote, tunnel_id, peer_tunnel_id, udp_sport, udp_dport, checksums } = end;
    let udp = match encap {
        Encap::Ip => String::new(),
        Encap::Udp => {
            format!(" udp_sport {udp_sport} udp_dport {udp_dport}{}", checksum_words(*checksums, family))
        }
    };
    format!(
        "l2tp add tunnel tunnel_id {tunnel_id} peer_tunnel_id {peer_tunnel_id} encap {} local {local} \
         remote {remote}{udp}",
        encap.word()
    )
}

fn checksum_words(checksums: Checksums, family: Family) -> String {
    let word = |on: bool| if on { "on" } else { "off" };
    let Checksums { udp, udp6_tx, udp6_rx } = checksums;
    match family {
        Family::V4 => format!(" udp_csum {}", word(udp)),
        Family::V6 => format!(" udp6_csum_tx {} udp6_csum_rx {}", word(udp6_tx), word(udp6_rx)),
    }
}

/// `ip l2tp add session`, without the first word.
pub(super) fn session(end: &SessionEnd, tunnel: &TunnelEnd, name: &str) -> String {
    let SessionEnd { session_id, peer_session_id, cookie, peer_cookie, l2spec_type, seq } = end;
    let cookie_words = |word: &str, value: &str| {
        if value.is_empty() { String::new() } else { format!(" {word} {value}") }
    };
    format!(
        "l2tp add session name {name} tunnel_id {} session_id {session_id} peer_session_id {peer_session_id}\
         {}{} l2spec_type {l2spec_type} seq {seq}",
        tunnel.tunnel_id,
        cookie_words("cookie", cookie),
        cookie_words("peer_cookie", peer_cookie),
    )
}
