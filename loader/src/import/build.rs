//! What the commands made, to a configuration.

use super::ImportOptions;
use super::notes::NoteKind;
use super::state::{Membership, Place, State};
use crate::config::Config;
use crate::config::model::{
    Bridge, DEFAULT_AGEING_S, DEFAULT_FDB_ENTRIES, DEFAULT_RING, Gateway, Link, Member, Mode, Port, Role,
    Umem, VlanId,
};

/// The configuration for everything in `state`; adds the notes that only the whole can give.
pub(crate) fn build(state: &mut State, options: &ImportOptions) -> Config {
    note_links_left_down(state);
    let mut ports = Vec::new();
    for interface in &options.underlay {
        add_port(&mut ports, interface, Role::Underlay);
    }
    let bridges = bridges(state, &mut ports);
    let mut tunnels = state.tunnels.clone();
    for session in tunnels.iter_mut().flat_map(|tunnel| &mut tunnel.sessions) {
        session.name = config_name(&session.name);
    }
    note_underlay(state, options);
    Config {
        gateway: Gateway { configured_name: options.name.clone(), ..Gateway::default() },
        umem: Umem::default(),
        ports,
        tunnels,
        bridges,
    }
}

/// The name that stands for a link in the configuration: dots separate VLAN ids there.
fn config_name(link: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' };
    link.chars().map(legal).collect()
}

/// The port for `interface`, added when it is not there; an underlay port that a bridge uses is both.
fn add_port(ports: &mut Vec<Port>, interface: &str, role: Role) -> String {
    let name = config_name(interface);
    match ports.iter_mut().find(|port| port.interface == interface) {
        Some(port) if port.role != role => port.role = Role::Both,
        Some(_) => {}
        None => ports.push(Port {
            name: name.clone(),
            interface: interface.to_owned(),
            role,
            mode: Mode::Auto,
            rx_ring: DEFAULT_RING,
            tx_ring: DEFAULT_RING,
        }),
    }
    name
}

fn bridges(state: &mut State, ports: &mut Vec<Port>) -> Vec<Bridge> {
    let mut bridges = Vec::new();
    for bridge in state.bridges.clone() {
        let memberships: Vec<_> =
            state.memberships.iter().filter(|m| m.bridge == bridge.name).cloned().collect();
        let members: Vec<_> = memberships.iter().filter_map(|m| member(m, state, ports)).collect();
        if members.is_empty() {
            let place = state.made.get(&bridge.name).cloned().unwrap_or_default();
            state.note_at(
                &place,
                NoteKind::Advice,
                format!("{} has no members and is left out", bridge.name),
            );
            continue;
        }
        bridges.push(Bridge {
            name: config_name(&bridge.name),
            members,
            ageing_s: bridge.ageing_s.unwrap_or(DEFAULT_AGEING_S),
            fdb_entries: DEFAULT_FDB_ENTRIES,
        });
    }
    bridges
}

fn member(membership: &Membership, state: &mut State, ports: &mut Vec<Port>) -> Option<Member> {
    let (base, vlan) = base_and_vlan(membership, state);
    if state.vlans.iter().any(|link| link.name == base) || state.bridge(&base).is_some() {
        let reason = format!("{base} below {} is neither a port nor a session", membership.link);
        state.note_at(&membership.place, NoteKind::Untranslated, reason);
        return None;
    }
    let is_session =
        state.tunnels.iter().flat_map(|tunnel| &tunnel.sessions).any(|session| session.name == base);
    let link = match is_session {
        true => Link::Session(config_name(&base)),
        false => Link::Port(add_port(ports, &base, Role::Access)),
    };
    Some(Member { link, vlan })
}

/// What a member stands on: itself, or the link below it and a VLAN.
fn base_and_vlan(membership: &Membership, state: &mut State) -> (String, Option<VlanId>) {
    let name = &membership.link;
    if let Some(link) = state.vlans.iter().find(|link| link.name == *name) {
        return (link.base.clone(), VlanId::new(link.vlan));
    }
    let by_name = name.rsplit_once('.').and_then(|(base, vlan)| {
        let vlan = vlan.parse().ok().filter(|vlan| *vlan > 0).and_then(VlanId::new)?;
        (!base.is_empty() && !state.is_made(name)).then(|| (base.to_owned(), vlan))
    });
    let Some((base, vlan)) = by_name else { return (name.clone(), None) };
    let text = format!("no command before makes {name}; by its name taken as VLAN {vlan} of {base}");
    state.note_at(&membership.place, NoteKind::Advice, text);
    (base, Some(vlan))
}

/// Links that these commands make and never set up stay down in the kernel; spanwire has no such state.
fn note_links_left_down(state: &mut State) {
    let left: Vec<(String, Place)> = state
        .made
        .iter()
        .filter(|(name, _)| !state.up.contains(*name))
        .map(|(name, place)| (name.clone(), place.clone()))
        .collect();
    for (name, place) in left {
        let text =
            format!("no command sets {name} up: in the kernel {name} would stay down; spanwire brings it up");
        state.note_at(&place, NoteKind::Advice, text);
    }
}

fn note_underlay(state: &mut State, options: &ImportOptions) {
    if options.underlay.is_empty() && !state.tunnels.is_empty() {
        let text = "no command names the interface that faces the routed network: \
                    give --underlay INTERFACE, or add its port to the output";
        state.note_at(&Place::default(), NoteKind::Advice, text);
    }
}
