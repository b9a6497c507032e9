//! Checks against what there is room for: in the steering program's maps, and in the engine's 16-bit positions.

use std::collections::HashSet;
use std::hash::Hash;
use std::net::IpAddr;

use ebpf::abi::{ACCESS_VLANS_MAX, ENDPOINTS_MAX, PORTS_MAX};

use crate::config::draft::{Draft, DraftTunnel};
use crate::config::model::{PeerMode, unspecified_like};
use crate::config::report::Report;

/// Most bridges, and most members of one: a position has 16 bits, and one position past the last is counted up to.
pub(crate) const POSITIONS_MAX: usize = u16::MAX as usize - 1;

pub(super) fn check(draft: &Draft, report: &mut Report<'_>) {
    check_ports(draft, report);
    check_endpoints(draft, report);
    check_access_vlans(draft, report);
    check_positions(draft, report);
}

fn check_ports(draft: &Draft, report: &mut Report<'_>) {
    let Some(port) = draft.ports.get(PORTS_MAX) else { return };
    let count = draft.ports.len();
    let problem = format!("there are {count} ports, and the steering program has room for {PORTS_MAX}");
    report.fault(&port.path, problem, format!("take {} of them out", count - PORTS_MAX));
}

fn check_endpoints(draft: &Draft, report: &mut Report<'_>) {
    let keys = draft
        .tunnels
        .iter()
        .flat_map(|tunnel| endpoints(tunnel).into_iter().map(move |key| (&*tunnel.path, key)));
    let Some((path, count)) = first_beyond(keys, ENDPOINTS_MAX) else { return };
    let problem = format!(
        "the tunnels need {count} endpoints (a UDP tunnel needs two, three if it learns its peer), \
         and the steering program has room for {ENDPOINTS_MAX}"
    );
    report.fault(path, problem, "take tunnels out, or make sessions of tunnels to the same peer");
}

/// What a tunnel's packets are known by; over UDP also what their fragments are, which carry no ports.
type Endpoint = (IpAddr, IpAddr, bool, Option<(u16, u16)>);

/// The tunnel's endpoints; none while a part of it is at fault.
fn endpoints(tunnel: &DraftTunnel) -> Vec<Endpoint> {
    let Some((local, is_udp)) = tunnel.local.zip(tunnel.is_udp) else { return Vec::new() };
    if tunnel.peer == Some(PeerMode::Learn) {
        // From anyone, from the peer, and its fragments; no other tunnel ever has the same, as peers may be anywhere.
        let own = |sport| (0..3).map(move |one| (local, unspecified_like(local), true, Some((sport, one))));
        return tunnel.udp_sport.into_iter().flat_map(own).collect();
    }
    let Some(remote) = tunnel.remote else { return Vec::new() };
    let ports = tunnel.udp_sport.zip(tunnel.udp_dport).filter(|_| is_udp);
    let with_ports = ports.map(|ports| (local, remote, is_udp, Some(ports)));
    [(local, remote, is_udp, None)].into_iter().chain(with_ports).collect()
}

fn check_access_vlans(draft: &Draft, report: &mut Report<'_>) {
    let ports: HashSet<_> = draft.ports.iter().map(|port| port.name.as_str()).collect();
    let vlans = draft
        .members()
        .filter(|(_, member)| ports.contains(member.name.as_str()))
        .filter_map(|(_, member)| Some((&*member.path, (member.name.as_str(), member.vlan?))));
    let Some((path, count)) = first_beyond(vlans, ACCESS_VLANS_MAX) else { return };
    let problem = format!(
        "the bridges have {count} VLANs of ports, and the steering program has room for {ACCESS_VLANS_MAX}"
    );
    report.fault(path, problem, "take VLANs out, or name ports as a whole");
}

fn check_positions(draft: &Draft, report: &mut Report<'_>) {
    if let Some(bridge) = draft.bridges.get(POSITIONS_MAX) {
        let problem =
            format!("there are {} bridges, and there is room for {POSITIONS_MAX}", draft.bridges.len());
        report.fault(&bridge.path, problem, "take bridges out");
    }
    for bridge in &draft.bridges {
        let members = bridge.members.as_deref().unwrap_or_default();
        if let Some(member) = members.get(POSITIONS_MAX) {
            let problem =
                format!("the bridge has {} members, and there is room for {POSITIONS_MAX}", members.len());
            report.fault(&member.path, problem, "take members out");
        }
    }
}

/// When there are more than `limit` different keys: where the first of them beyond it stands, and their number.
fn first_beyond<'p, K: Hash + Eq>(
    keys: impl Iterator<Item = (&'p str, K)>,
    limit: usize,
) -> Option<(&'p str, usize)> {
    let mut seen = HashSet::new();
    let mut first = None;
    for (path, key) in keys {
        if seen.insert(key) && seen.len() > limit && first.is_none() {
            first = Some(path);
        }
    }
    first.map(|path| (path, seen.len()))
}
