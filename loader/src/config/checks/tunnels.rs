//! Checks of `[tunnel.NAME]`: addresses, encapsulation, endpoints that no two tunnels share.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::repeats;
use crate::config::draft::{Draft, DraftTunnel};
use crate::config::model::{PeerMode, unspecified_like};
use crate::config::report::Report;
use crate::config::{model::Fragmentation, outer};

pub(super) fn check(draft: &Draft, report: &mut Report<'_>) {
    for tunnel in &draft.tunnels {
        check_address(&tunnel.path, "local", tunnel.local, report);
        check_address(&tunnel.path, "remote", tunnel.remote, report);
        check_address_pair(tunnel, report);
        check_encap(tunnel, report);
        let is_ipv6 = tunnel.local.or(tunnel.remote).map(|address| address.is_ipv6());
        outer::check(&tunnel.path, tunnel.is_udp, is_ipv6, report);
        check_df(tunnel, report);
        if tunnel.sessions.is_empty() {
            let remedy = format!("add [{}.session.NAME]", tunnel.path);
            report.note(&tunnel.path, "has no session and carries nothing", remedy);
        }
    }
    check_ids_differ(&draft.tunnels, report);
    check_endpoints_differ(&draft.tunnels, report);
}

fn check_address(tunnel: &str, key: &str, address: Option<IpAddr>, report: &mut Report<'_>) {
    let Some(address) = address else { return };
    let path = format!("{tunnel}.{key}");
    let fault = match address {
        IpAddr::V4(address) => unusable_v4(address),
        IpAddr::V6(address) => unusable_v6(address),
    };
    if let Some((kind, remedy)) = fault {
        report.fault(&path, format!("{address} is {kind} address"), remedy);
    }
}

const UNICAST: &str = "give the unicast address of one gateway";

fn unusable_v4(address: Ipv4Addr) -> Option<(&'static str, &'static str)> {
    let kind = match address {
        _ if address.is_unspecified() => "the unspecified",
        _ if address.is_multicast() => "a multicast",
        _ if address.is_loopback() => "a loopback",
        _ if address.is_broadcast() => "the broadcast",
        _ => return None,
    };
    Some((kind, UNICAST))
}

fn unusable_v6(address: Ipv6Addr) -> Option<(&'static str, &'static str)> {
    Some(match address {
        _ if address.is_unspecified() => ("the unspecified", UNICAST),
        _ if address.is_multicast() => ("a multicast", UNICAST),
        _ if address.is_loopback() => ("a loopback", UNICAST),
        // Such packets exist on no wire (RFC 4291 §2.5.5.2).
        _ if address.to_ipv4_mapped().is_some() => ("an IPv4-mapped", "give the IPv4 address itself"),
        _ if address.is_unicast_link_local() => {
            ("a link-local", "give an address that is valid beyond one link: global, or unique local")
        }
        _ => return None,
    })
}

fn check_address_pair(tunnel: &DraftTunnel, report: &mut Report<'_>) {
    let (Some(local), Some(remote)) = (tunnel.local, tunnel.remote) else { return };
    let path = format!("{}.remote", tunnel.path);
    if local == remote {
        report.fault(&path, format!("{remote} is also local"), "give the peer's address");
    }
    if local.is_ipv4() != remote.is_ipv4() {
        let problem = format!("{remote} and local {local} are of different address families");
        report.fault(&path, problem, "give two addresses of one family");
    }
}

fn check_encap(tunnel: &DraftTunnel, report: &mut Report<'_>) {
    for key in ["udp_sport", "udp_dport"] {
        let path = format!("{}.{key}", tunnel.path);
        match (tunnel.is_udp, report.has_place(&path)) {
            (Some(true), false) if key == "udp_dport" && tunnel.peer == Some(PeerMode::Learn) => {}
            (Some(true), false) => {
                report.fault(&path, "is missing, and encap is \"udp\"", "give an integer from 1 to 65535");
            }
            (Some(false), true) => {
                report.fault(
                    &path,
                    "has no meaning with encap = \"ip\"",
                    "remove it, or give encap = \"udp\"",
                );
            }
            _ => {}
        }
    }
}

fn check_df(tunnel: &DraftTunnel, report: &mut Report<'_>) {
    if !tunnel.outer.is_some_and(|outer| outer.df) {
        return;
    }
    let path = format!("{}.df", tunnel.path);
    if tunnel.local.is_some_and(|local| local.is_ipv6()) {
        report.fault(&path, "has no meaning over IPv6, whose routers never cut packets up", "remove it");
    } else if tunnel.fragmentation == Some(Fragmentation::Outer) {
        let problem = "is true, and fragmentation is \"outer\": such a packet may not be cut up";
        report.fault(&path, problem, "give fragmentation = \"inner\" or \"drop\", or df = false");
    }
}

fn check_ids_differ(tunnels: &[DraftTunnel], report: &mut Report<'_>) {
    for (first, second) in repeats(tunnels, |tunnel| tunnel.tunnel_id) {
        let problem = format!("is also the id of {} ({})", first.path, report.line_of(&first.path));
        report.fault(&format!("{}.tunnel_id", second.path), problem, "give each tunnel an id of its own");
    }
}

fn check_endpoints_differ(tunnels: &[DraftTunnel], report: &mut Report<'_>) {
    for (first, second) in repeats(tunnels, endpoints) {
        let problem = format!("has the same endpoints as {} ({})", first.path, report.line_of(&first.path));
        let remedy = match second.is_udp {
            Some(true) if second.peer == Some(PeerMode::Learn) => {
                "both take packets from anyone: give it another udp_sport or local, or make its sessions part of that tunnel"
            }
            Some(true) => "give it other UDP ports or addresses, or make its sessions part of that tunnel",
            _ => "make its sessions part of that tunnel, or give it other addresses",
        };
        report.fault(&second.path, problem, remedy);
    }
}

/// What a received packet shows of its tunnel.
type Endpoints = (IpAddr, IpAddr, Option<(u16, u16)>);

/// The tunnel's; `None` while a part of it is at fault.
fn endpoints(tunnel: &DraftTunnel) -> Option<Endpoints> {
    if tunnel.peer? == PeerMode::Learn {
        // From anyone, to here.
        let local = tunnel.local?;
        return Some((local, unspecified_like(local), Some((tunnel.udp_sport?, 0))));
    }
    let ports = match tunnel.is_udp? {
        true => Some((tunnel.udp_sport?, tunnel.udp_dport?)),
        false => None,
    };
    Some((tunnel.local?, tunnel.remote?, ports))
}
