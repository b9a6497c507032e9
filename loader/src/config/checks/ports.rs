//! Checks of `[port.NAME]`: interfaces that exist and are named once, ports that are of use.

use super::repeats;
use crate::config::draft::{Draft, DraftPort};
use crate::config::interfaces::InterfaceLookup;
use crate::config::model::Role;
use crate::config::names::interface_fault;
use crate::config::report::Report;
use crate::config::suggest;

pub(super) fn check(draft: &Draft, interfaces: Option<&dyn InterfaceLookup>, report: &mut Report<'_>) {
    for port in &draft.ports {
        check_interface(port, interfaces, report);
        check_use(port, draft, report);
    }
    check_interfaces_named_once(&draft.ports, report);
    check_underlay(draft, report);
}

/// The key at fault: `interface` when it is given, else the table whose name stands for it.
fn interface_path(port: &DraftPort, report: &Report<'_>) -> String {
    let path = format!("{}.interface", port.path);
    if report.has_place(&path) { path } else { port.path.clone() }
}

fn check_interface(port: &DraftPort, interfaces: Option<&dyn InterfaceLookup>, report: &mut Report<'_>) {
    let Some(interface) = &port.interface else { return };
    let path = interface_path(port, report);
    if let Some(problem) = interface_fault(interface) {
        let remedy = "give interface = \"...\" with a Linux interface name, at most 15 bytes";
        report.fault(&path, format!("the interface name {interface:?} {problem}"), remedy);
        return;
    }
    let Some(lookup) = interfaces else { return };
    if !lookup.names().contains(interface) {
        let known: Vec<_> = lookup.names().iter().map(String::as_str).filter(|name| *name != "lo").collect();
        let remedy = suggest::remedy(interface, "the interfaces here are", &known);
        report.fault(&path, format!("interface {interface:?} does not exist"), remedy);
    }
}

fn check_interfaces_named_once(ports: &[DraftPort], report: &mut Report<'_>) {
    for (first, second) in repeats(ports, |port| port.interface.as_deref()) {
        let interface = second.interface.as_deref().unwrap_or_default();
        let place = report.line_of(&first.path);
        let problem = format!("interface {interface:?} is already port {:?} ({place})", first.name);
        let remedy = "name each interface once; one port can be both underlay and access: role = \"both\"";
        report.fault(&interface_path(second, report), problem, remedy);
    }
}

fn check_use(port: &DraftPort, draft: &Draft, report: &mut Report<'_>) {
    if draft.members().any(|(_, member)| member.name == port.name) {
        return;
    }
    let remedy = format!("add {:?} to the members of a bridge, or give role = \"underlay\"", port.name);
    match port.role {
        Some(Role::Access) => {
            report.fault(&port.path, "faces a LAN, but no bridge has it as a member", remedy);
        }
        Some(Role::Both) => {
            report.note(&port.path, "has role \"both\", but no bridge has a VLAN of it", remedy);
        }
        Some(Role::Underlay) | None => {}
    }
}

fn check_underlay(draft: &Draft, report: &mut Report<'_>) {
    let may_be_underlay = |port: &DraftPort| port.role.is_none_or(Role::is_underlay);
    let Some(tunnel) = draft.tunnels.first() else { return };
    if !draft.ports.iter().any(may_be_underlay) {
        let remedy =
            "add [port.NAME] with role = \"underlay\" for the interface that faces the routed network";
        report.fault(&tunnel.path, "there are tunnels, but no underlay port to carry them", remedy);
    }
}
