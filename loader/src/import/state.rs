//! What the commands so far have made: tunnels, bridges, VLAN links, memberships, shell variables.

use std::collections::{BTreeMap, BTreeSet};

use super::notes::{Note, NoteKind};
use super::words::{Meant, abbreviated, whole};
use crate::config::model::{Tunnel, TunnelId};

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
    /// Units: seconds, with the command that sets it. `None`: the default.
    pub(crate) ageing_s: Option<(u32, Place)>,
}

/// A VLAN link.
#[derive(Clone, Debug)]
pub(crate) struct VlanLink {
    pub(crate) name: String,
    pub(crate) base: String,
    pub(crate) vlan: u16,
}

/// That a link has a bridge as its master.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) bridge: String,
    /// Grows from command to command: members stand in the order in which they were added.
    pub(crate) order: usize,
    pub(crate) place: Place,
}

/// The value of a shell variable.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub(crate) value: String,
    pub(crate) place: Place,
    pub(crate) is_used: bool,
}

/// Everything made so far, and everything to say about it. What changes links is in `links`.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Interfaces that face the routed network. They stay the kernel's, whatever makes them.
    pub(crate) underlay: Vec<String>,
    pub(crate) tunnels: Vec<Tunnel>,
    pub(crate) tunnel_places: BTreeMap<TunnelId, Place>,
    pub(crate) bridges: Vec<BridgeState>,
    pub(crate) vlans: Vec<VlanLink>,
    /// By link.
    pub(crate) memberships: BTreeMap<String, Membership>,
    /// The next [`Membership::order`].
    pub(crate) next_order: usize,
    /// Links that the commands made, and where.
    pub(crate) made: BTreeMap<String, Place>,
    /// Every `l2tpethN` with a lower number has been made.
    pub(crate) lowest_free: u32,
    /// Links that were set up.
    pub(crate) up: BTreeSet<String>,
    /// Shell variables whose value is known.
    pub(crate) variables: BTreeMap<String, Variable>,
    /// Open `if`, `for`, `{` and the like.
    pub(crate) depth: usize,
    /// The command at work.
    pub(crate) current: Place,
    pub(crate) notes: Vec<Note>,
}

impl State {
    /// Nothing but the interfaces that face the routed network.
    pub(crate) fn new(underlay: &[String]) -> Self {
        Self { underlay: underlay.to_vec(), ..Self::default() }
    }

    /// Says something about the command at work.
    pub(crate) fn note(&mut self, kind: NoteKind, text: impl Into<String>) {
        let place = self.current.clone();
        self.note_at(&place, kind, text);
    }

    /// The command at work, or part of it, has no translation.
    pub(crate) fn untranslated(&mut self, reason: impl Into<String>) {
        self.note(NoteKind::Untranslated, reason);
    }

    /// The command at work makes something that is there already; `what` names it.
    pub(crate) fn exists(&mut self, what: &str, place: &Place) {
        let line = self.line_of(place);
        self.untranslated(format!("{what} exists already ({line}): the kernel refuses a second one, too"));
    }

    /// `line N`, with the file when it is not the one at work.
    pub(crate) fn line_of(&self, place: &Place) -> String {
        let Place { file, line, .. } = place;
        if *file == self.current.file { format!("line {line}") } else { format!("{file}:{line}") }
    }

    /// The command at work sets something that spanwire leaves to the kernel.
    pub(crate) fn stays(&mut self, setting: &str) {
        let text = format!("{setting} stays a setting of the interface: keep the command where it is needed");
        self.note(NoteKind::NotNeeded, text);
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

    /// Gives a shell variable a value that is known.
    pub(crate) fn assign(&mut self, name: &str, value: &str) {
        self.forget(name);
        let variable = Variable { value: value.to_owned(), place: self.current.clone(), is_used: false };
        self.variables.insert(name.to_owned(), variable);
    }

    /// A shell variable's value is no longer known.
    pub(crate) fn forget(&mut self, name: &str) {
        if let Some(variable) = self.variables.remove(name) {
            self.note_unused(name, &variable);
        }
    }

    /// Lists the variables that no command took its words from, and forgets them all.
    pub(crate) fn forget_all(&mut self) {
        for (name, variable) in std::mem::take(&mut self.variables) {
            self.note_unused(&name, &variable);
        }
    }

    fn note_unused(&mut self, name: &str, variable: &Variable) {
        if !variable.is_used {
            let text = format!("no command that could be followed uses {name}");
            self.note_at(&variable.place, NoteKind::NotNeeded, text);
        }
    }
}
