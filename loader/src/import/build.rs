//! What the commands made, to a configuration.

use std::collections::{BTreeMap, HashSet};

use super::ImportOptions;
use super::names::Names;
use super::notes::NoteKind;
use super::state::{Membership, Place, State};
use crate::config::Config;
use crate::config::model::{
    Bridge, DEFAULT_AGEING_S, DEFAULT_FDB_ENTRIES, DEFAULT_RING, Driving, Gateway, Link, Member, Mode, Port,
    Role, Tunnel, Umem, VlanId,
};

/// The configuration, and where it comes from.
pub(crate) struct Built {
    pub(crate) config: Config,
    pub(crate) origins: Origins,
}

/// The command that a table, or a member of a bridge, comes from; by key path.
#[derive(Default)]
pub(crate) struct Origins {
    places: BTreeMap<String, Place>,
}

impl Origins {
    /// The command that the key at `path` comes from. None for a tunnel as a whole: what is at fault there is that no
    /// port carries it, which no command says.
    pub(crate) fn of(&self, path: &str) -> Option<&Place> {
        let mut around = path;
        loop {
            if let Some(place) = self.places.get(around) {
                let is_tunnel = around == path && path.split('.').count() == 2 && path.starts_with("tunnel.");
                return Some(place).filter(|_| !is_tunnel);
            }
            around = &around[..around.rfind('.')?];
        }
    }
}

/// A membership, resolved: what the link stands on.
struct Attached {
    bridge: String,
    /// A session's or an interface's name.
    base: String,
    is_session: bool,
    vlan: Option<VlanId>,
    place: Place,
}

/// The configuration for everything in `state`; adds the notes that only the whole can give.
pub(crate) fn build(state: &mut State, options: &ImportOptions) -> Built {
    note_links_left_down(state);
    note_unused_vlans(state);
    let attached = attachments(state);
    let names = Names::new(&links(&attached, state, options), state);
    let mut origins = Origins::default();
    let tunnels = tunnels(state, &names, &mut origins);
    let bridges = bridges(&attached, &names, state, &mut origins);
    note_underlay(state, options);
    let config = Config {
        gateway: Gateway { configured_name: options.name.clone(), ..Gateway::default() },
        umem: Umem::default(),
        ports: ports(&attached, &names, options),
        tunnels,
        bridges,
    };
    Built { config, origins }
}

/// Every interface and session, with the command that it comes from: what bridges can name.
fn links(attached: &[Attached], state: &State, options: &ImportOptions) -> Vec<(String, Place)> {
    let underlay = options.underlay.iter().map(|interface| (interface.clone(), Place::default()));
    let place_of = |name: &str| state.made.get(name).cloned().unwrap_or_default();
    let sessions = state.tunnels.iter().flat_map(|tunnel| &tunnel.sessions);
    let sessions = sessions.map(|session| (session.name.clone(), place_of(&session.name)));
    let ports = attached.iter().filter(|attached| !attached.is_session);
    let ports = ports.map(|attached| (attached.base.clone(), attached.place.clone()));
    underlay.chain(sessions).chain(ports).collect()
}

/// A port for each interface, in the order in which they are named; an underlay port that a bridge uses is both.
fn ports(attached: &[Attached], names: &Names, options: &ImportOptions) -> Vec<Port> {
    let underlay = options.underlay.iter().map(|interface| (interface, Role::Underlay));
    let access = attached.iter().filter(|attached| !attached.is_session);
    let access = access.map(|attached| (&attached.base, Role::Access));
    let mut ports: Vec<Port> = Vec::new();
    for (interface, role) in underlay.chain(access) {
        match ports.iter_mut().find(|port| port.interface == *interface) {
            Some(port) if port.role != role => port.role = Role::Both,
            Some(_) => {}
            None => ports.push(Port {
                name: names.of(interface),
                interface: interface.clone(),
                role,
                mode: Mode::Auto,
                rx_ring: DEFAULT_RING,
                tx_ring: DEFAULT_RING,
                driving: Driving::default(),
            }),
        }
    }
    ports
}

fn tunnels(state: &State, names: &Names, origins: &mut Origins) -> Vec<Tunnel> {
    let mut tunnels = state.tunnels.clone();
    for tunnel in &mut tunnels {
        let path = format!("tunnel.{}", tunnel.name);
        for session in &mut tunnel.sessions {
            let place = state.made.get(&session.name).cloned().unwrap_or_default();
            session.name = names.of(&session.name);
            origins.places.insert(format!("{path}.session.{}", session.name), place);
        }
        let place = state.tunnel_places.get(&tunnel.tunnel_id).cloned().unwrap_or_default();
        origins.places.insert(path, place);
    }
    tunnels
}

fn bridges(attached: &[Attached], names: &Names, state: &mut State, origins: &mut Origins) -> Vec<Bridge> {
    let mut members: BTreeMap<&str, Vec<(Member, Place)>> = BTreeMap::new();
    for attached in attached {
        let name = names.of(&attached.base);
        let link = if attached.is_session { Link::Session(name) } else { Link::Port(name) };
        let member = (Member { link, vlan: attached.vlan }, attached.place.clone());
        members.entry(&attached.bridge).or_default().push(member);
    }
    let places = |name: &str| state.made.get(name).cloned().unwrap_or_default();
    let all: Vec<_> =
        state.bridges.iter().map(|bridge| (bridge.name.clone(), places(&bridge.name))).collect();
    let bridge_names = Names::new(&all, state);
    let mut bridges = Vec::new();
    for bridge in state.bridges.clone() {
        let Some(members) = members.remove(bridge.name.as_str()) else {
            note_empty(&bridge.name, bridge.ageing_s.map(|(_, place)| place), state);
            continue;
        };
        let name = bridge_names.of(&bridge.name);
        for (index, (_, place)) in members.iter().enumerate() {
            origins.places.insert(format!("bridge.{name}.members[{index}]"), place.clone());
        }
        bridges.push(Bridge {
            name,
            members: members.into_iter().map(|(member, _)| member).collect(),
            ageing_s: bridge.ageing_s.map_or(DEFAULT_AGEING_S, |(seconds, _)| seconds),
            fdb_entries: DEFAULT_FDB_ENTRIES,
        });
    }
    bridges
}

/// Tells of a bridge without members, at the command that makes it and at the one that sets it.
fn note_empty(bridge: &str, ageing: Option<Place>, state: &mut State) {
    let made = state.made.get(bridge).cloned().unwrap_or_default();
    for place in std::iter::once(made).chain(ageing) {
        state.note_at(&place, NoteKind::Advice, format!("{bridge} has no members and is left out"));
    }
}

/// What the memberships come to, in the order of the commands.
fn attachments(state: &mut State) -> Vec<Attached> {
    let sessions = state.tunnels.iter().flat_map(|tunnel| &tunnel.sessions);
    let sessions: HashSet<_> = sessions.map(|session| session.name.clone()).collect();
    let mut memberships: Vec<_> = state.memberships.clone().into_iter().collect();
    memberships.sort_by_key(|(_, membership)| membership.order);
    let attached = |(link, membership): &(String, Membership)| attached(link, membership, &sessions, state);
    memberships.iter().filter_map(attached).collect()
}

/// What a membership comes to; `None` when its link cannot be a member, which is noted.
fn attached(
    link: &str,
    membership: &Membership,
    sessions: &HashSet<String>,
    state: &mut State,
) -> Option<Attached> {
    let Membership { bridge, place, .. } = membership;
    let (base, vlan) = base_and_vlan(link, place, state);
    if state.vlans.iter().any(|link| link.name == base) || state.bridge(&base).is_some() {
        let below = if base == *link { String::new() } else { format!(" below {link}") };
        let reason = format!("{base}{below} is neither a port nor a session");
        state.note_at(place, NoteKind::Untranslated, reason);
        return None;
    }
    let is_session = sessions.contains(&base);
    Some(Attached { bridge: bridge.clone(), base, is_session, vlan, place: place.clone() })
}

/// What a member stands on: itself, or the link below it and a VLAN.
fn base_and_vlan(name: &str, place: &Place, state: &mut State) -> (String, Option<VlanId>) {
    if let Some(link) = state.vlans.iter().find(|link| link.name == *name) {
        return (link.base.clone(), VlanId::new(link.vlan));
    }
    let by_name = name.rsplit_once('.').and_then(|(base, vlan)| {
        let vlan = vlan.parse().ok().filter(|vlan| *vlan > 0).and_then(VlanId::new)?;
        (!base.is_empty() && !state.is_made(name)).then(|| (base.to_owned(), vlan))
    });
    let Some((base, vlan)) = by_name else { return (name.to_owned(), None) };
    let text = format!("no command before makes {name}; by its name taken as VLAN {vlan} of {base}");
    state.note_at(place, NoteKind::Advice, text);
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

/// VLAN links have a meaning as members of bridges only.
fn note_unused_vlans(state: &mut State) {
    for vlan in state.vlans.clone() {
        if state.memberships.contains_key(&vlan.name) {
            continue;
        }
        let place = state.made.get(&vlan.name).cloned().unwrap_or_default();
        let text = format!(
            "{} is in no bridge and is left out: keep the command if the host itself needs VLAN {} of {}",
            vlan.name, vlan.vlan, vlan.base
        );
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
