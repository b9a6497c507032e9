//! What the commands so far have made: tunnels, bridges, VLAN links, memberships.

use std::collections::{BTreeMap, BTreeSet};

use super::notes::{Note, NoteKind};
use super::words::{Meant, abbreviated, whole};
use crate::config::model::Tunnel;

/// Where a command stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A bridge.
#[derive(Clone, Debug)]
pub(crate) struct BridgeState {
    pub(crate) name: String,
    /// Units: seconds. `None`: the default.
    pub(crate) ageing_s: Option<u32>,
}

/// A VLAN link.
#[derive(Clone, Debug)]
pub(crate) struct VlanLink {
    pub(crate) name: String,
    pub(crate) base: String,
    pub(crate) vlan: u16,
}

/// A link that has a bridge as its master.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) link: String,
    pub(crate) bridge: String,
    pub(crate) place: Place,
}

/// Everything made so far, and everything to say about it.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) tunnels: Vec<Tunnel>,
    pub(crate) bridges: Vec<BridgeState>,
    pub(crate) vlans: Vec<VlanLink>,
    pub(crate) memberships: Vec<Membership>,
    /// Links that the commands made, and where.
    pub(crate) made: BTreeMap<String, Place>,
    /// Links that were set up.
    pub(crate) up: BTreeSet<String>,
    /// Shell variables whose value is known.
    pub(crate) variables: BTreeMap<String, String>,
    /// Open `if`, `for`, `{` and the like.
    pub(crate) depth: usize,
    /// The command at work.
    pub(crate) current: Place,
    pub(crate) notes: Vec<Note>,
}

impl State {
    /// Says something about the command at work.
    pub(crate) fn note(&mut self, kind: NoteKind, text: impl Into<String>) {
        let place = self.current.clone();
        self.note_at(&place, kind, text);
    }

    /// The command at work, or part of it, has no translation.
    pub(crate) fn untranslated(&mut self, reason: impl Into<String>) {
        self.note(NoteKind::Untranslated, reason);
    }

    /// Says something about the command at `place`.
    pub(crate) fn note_at(&mut self, place: &Place, kind: NoteKind, text: impl Into<String>) {
        let Place { file, line, text: command } = place.clone();
        self.notes.push(Note { file, line, kind, command, text: text.into() });
    }

    /// The word of `table` that `word` abbreviates, or was meant to be, which is noted; `what` names the table.
    pub(crate) fn abbreviated(
        &mut self,
        word: &str,
        table: &[&'static str],
        what: &str,
    ) -> Option<&'static str> {
        self.resolved(abbreviated(word, table), word, what)
    }

    /// The word of `table` that `word` is, or was meant to be, which is noted; `what` names the table.
    pub(crate) fn whole(&mut self, word: &str, table: &[&'static str], what: &str) -> Option<&'static str> {
        self.resolved(whole(word, table), word, what)
    }

    fn resolved(&mut self, meant: Meant, word: &str, what: &str) -> Option<&'static str> {
        match meant {
            Meant::Known(known) => Some(known),
            Meant::Typo(near) => {
                self.note(NoteKind::Typo, format!("{word:?} is no {what}; taken as {near:?}"));
                Some(near)
            }
            Meant::Unknown => {
                self.untranslated(format!("{word:?} is no {what}"));
                None
            }
        }
    }

    /// Whether a session, bridge or VLAN link of this name was made here. Such links have no interface under spanwire.
    pub(crate) fn is_made(&self, link: &str) -> bool {
        self.made.contains_key(link)
    }

    /// The bridge called `name`.
    pub(crate) fn bridge(&mut self, name: &str) -> Option<&mut BridgeState> {
        self.bridges.iter_mut().find(|bridge| bridge.name == name)
    }

    /// Adds a bridge, unless it is there.
    pub(crate) fn add_bridge(&mut self, name: &str) {
        if self.bridge(name).is_none() {
            self.bridges.push(BridgeState { name: name.to_owned(), ageing_s: None });
            self.made.insert(name.to_owned(), self.current.clone());
        }
    }

    /// Makes `bridge` the master of `link`.
    pub(crate) fn enslave(&mut self, link: &str, bridge: &str) {
        if self.bridge(bridge).is_none() {
            self.note(
                NoteKind::Advice,
                format!("{bridge:?} was not made by a command before; taken as a bridge"),
            );
            self.bridges.push(BridgeState { name: bridge.to_owned(), ageing_s: None });
        }
        self.release(link);
        let membership =
            Membership { link: link.to_owned(), bridge: bridge.to_owned(), place: self.current.clone() };
        self.memberships.push(membership);
    }

    /// Takes `link` out of its bridge.
    pub(crate) fn release(&mut self, link: &str) {
        self.memberships.retain(|membership| membership.link != link);
    }

    /// Removes a link that was made here, and all that stood on it. False when there is none of that name.
    pub(crate) fn remove(&mut self, link: &str) -> bool {
        if self.made.remove(link).is_none() {
            return false;
        }
        self.up.remove(link);
        self.release(link);
        self.memberships.retain(|membership| membership.bridge != link);
        self.bridges.retain(|bridge| bridge.name != link);
        self.vlans.retain(|vlan| vlan.name != link);
        for tunnel in &mut self.tunnels {
            tunnel.sessions.retain(|session| session.name != link);
        }
        let upper: Vec<_> =
            self.vlans.iter().filter(|vlan| vlan.base == link).map(|vlan| vlan.name.clone()).collect();
        for vlan in upper {
            self.remove(&vlan);
        }
        true
    }

    /// Gives a link that was made here another name.
    pub(crate) fn rename(&mut self, old: &str, new: &str) {
        let names = (self
            .tunnels
            .iter_mut()
            .flat_map(|tunnel| &mut tunnel.sessions)
            .map(|session| &mut session.name))
        .chain(self.bridges.iter_mut().map(|bridge| &mut bridge.name))
        .chain(self.vlans.iter_mut().flat_map(|vlan| [&mut vlan.name, &mut vlan.base]))
        .chain(self.memberships.iter_mut().flat_map(|member| [&mut member.link, &mut member.bridge]));
        for name in names.filter(|name| *name == old) {
            new.clone_into(name);
        }
        if let Some(place) = self.made.remove(old) {
            self.made.insert(new.to_owned(), place);
        }
        if self.up.remove(old) {
            self.up.insert(new.to_owned());
        }
    }
}
