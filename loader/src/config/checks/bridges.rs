//! Checks of `[bridge.NAME]`: members that exist, that may be bridged, and that stand in one bridge only.

use std::collections::{HashMap, HashSet};

use crate::config::draft::{Draft, DraftBridge, DraftMember};
use crate::config::model::{Role, VlanId};
use crate::config::report::Report;
use crate::config::suggest;

pub(super) fn check(draft: &Draft, report: &mut Report<'_>) {
    let ports = draft.ports.iter().map(|port| port.name.as_str());
    let sessions =
        draft.tunnels.iter().flat_map(|tunnel| tunnel.sessions.iter().map(|session| session.name.as_str()));
    let known: Vec<_> = ports.chain(sessions).collect();
    let known_set: HashSet<_> = known.iter().copied().collect();
    for bridge in &draft.bridges {
        check_count(bridge, report);
    }
    for (_, member) in draft.members() {
        if !known_set.contains(member.name.as_str()) {
            let remedy = suggest::remedy(&member.name, "the ports and sessions are", &known);
            report.fault(&member.path, format!("there is no port or session {:?}", member.name), remedy);
        }
        check_role(draft, member, report);
    }
    check_members_once(draft, report);
}

fn check_count(bridge: &DraftBridge, report: &mut Report<'_>) {
    let path = format!("{}.members", bridge.path);
    if report.has_place(&format!("{path}[1]")) {
        return;
    }
    if report.has_place(&format!("{path}[0]")) {
        report.note(&path, "has one member, so nothing can be forwarded", "add a second port or session");
    } else if bridge.members.is_some() {
        report.fault(&path, "is empty", "name at least one port or session");
    }
}

fn check_role(draft: &Draft, member: &DraftMember, report: &mut Report<'_>) {
    let Some(port) = draft.ports.iter().find(|port| port.name == member.name) else { return };
    let name = &port.name;
    match (port.role, member.vlan) {
        (Some(Role::Underlay), _) => report.fault(
            &member.path,
            format!("port {name:?} has role \"underlay\" and cannot be bridged"),
            format!("give {} role = \"access\", or \"both\" to bridge VLANs of it", port.path),
        ),
        (Some(Role::Both), None) => report.fault(
            &member.path,
            format!("port {name:?} has role \"both\": its untagged frames belong to the underlay"),
            format!("name a VLAN of it, such as \"{name}.10\", or give {} role = \"access\"", port.path),
        ),
        _ => {}
    }
}

/// A member and its bridge.
type InBridge<'d> = (&'d DraftBridge, &'d DraftMember);

fn check_members_once(draft: &Draft, report: &mut Report<'_>) {
    let mut seen: HashMap<(&str, Option<VlanId>), InBridge<'_>> = HashMap::new();
    let mut first_of: HashMap<&str, &DraftMember> = HashMap::new();
    for (bridge, member) in draft.members() {
        let name = member.name.as_str();
        if let Some(first) = seen.get(&(name, member.vlan)) {
            report_repeat(*first, (bridge, member), report);
            continue;
        }
        seen.insert((name, member.vlan), (bridge, member));
        let first = *first_of.entry(name).or_insert(member);
        if first.vlan.is_none() != member.vlan.is_none() {
            let place = report.line_of(&first.path);
            let problem = format!("the whole of {name:?} and a VLAN of it are both used ({place})");
            report.fault(&member.path, problem, "use either the whole of it or VLANs of it");
        }
    }
}

fn report_repeat(first: InBridge<'_>, second: InBridge<'_>, report: &mut Report<'_>) {
    let (name, place) = (&second.1.name, report.line_of(&first.1.path));
    let what = second.1.vlan.map_or_else(|| format!("{name:?}"), |vlan| format!("VLAN {vlan} of {name:?}"));
    let (problem, remedy) = match first.0.path == second.0.path {
        true => (format!("{what} stands twice in this bridge ({place})"), "name it once"),
        false => (format!("{what} is already in {} ({place})", first.0.path), "leave it in one bridge"),
    };
    report.fault(&second.1.path, problem, remedy);
}
