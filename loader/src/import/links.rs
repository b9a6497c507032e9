//! Links by name: which there are, making and removing them, masters, new names.

use super::notes::NoteKind;
use super::state::{BridgeState, Membership, State};
use crate::config::names::interface_fault;

impl State {
    /// Whether a session, bridge or VLAN link of this name was made here. Such links have no interface under spanwire.
    pub(crate) fn is_made(&self, link: &str) -> bool {
        self.made.contains_key(link)
    }

    /// The bridge called `name`.
    pub(crate) fn bridge(&mut self, name: &str) -> Option<&mut BridgeState> {
        self.bridges.iter_mut().find(|bridge| bridge.name == name)
    }

    /// Makes the link called `name`. False when the kernel would refuse that, or has to do it; which is noted.
    pub(crate) fn make(&mut self, name: &str) -> bool {
        if !self.is_free(name) {
            return false;
        }
        if self.is_named(name) {
            let text = format!(
                "a command before uses {name}, which is made only here: in the kernel that one fails"
            );
            self.note(NoteKind::Advice, text);
        }
        self.made.insert(name.to_owned(), self.current.clone());
        true
    }

    /// Whether a command before names such a link without making it.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        !self.is_made(name)
            && (self.memberships.contains_key(name)
                || self.bridges.iter().any(|bridge| bridge.name == name)
                || self.vlans.iter().any(|vlan| vlan.base == name))
    }

    /// The lowest `l2tpethN` that is free, as the kernel chooses it.
    pub(crate) fn free_session_name(&mut self) -> String {
        let name = |number: u32| format!("l2tpeth{number}");
        while self.is_made(&name(self.lowest_free)) || self.underlay.contains(&name(self.lowest_free)) {
            self.lowest_free += 1;
        }
        name(self.lowest_free)
    }

    /// Whether a link can get this name; if not, that is noted.
    pub(crate) fn is_free(&mut self, name: &str) -> bool {
        if !self.is_legal(name) {
            return false;
        }
        if self.underlay.iter().any(|interface| interface == name) {
            let text = format!(
                "{name} faces the routed network and stays the kernel's: keep the command where it is needed"
            );
            self.note(NoteKind::NotNeeded, text);
            return false;
        }
        if let Some(place) = self.made.get(name).cloned() {
            self.exists(name, &place);
            return false;
        }
        true
    }

    /// Whether the kernel takes this name for an interface; if not, that is noted.
    fn is_legal(&mut self, name: &str) -> bool {
        let fault = interface_fault(name);
        if let Some(problem) = &fault {
            self.untranslated(format!("the interface name {name:?} {problem}"));
        }
        fault.is_none()
    }

    /// Makes a bridge. False when it cannot be made, which is noted.
    pub(crate) fn add_bridge(&mut self, name: &str) -> bool {
        if !self.make(name) {
            return false;
        }
        if self.bridge(name).is_none() {
            self.bridges.push(BridgeState { name: name.to_owned(), ageing_s: None });
        }
        true
    }

    /// Makes `bridge` the master of `link`.
    pub(crate) fn enslave(&mut self, link: &str, bridge: &str) {
        if !self.is_legal(link) || !self.is_legal(bridge) {
            return;
        }
        if self.master(link) == Some(bridge) {
            return self.note(NoteKind::NotNeeded, format!("{link} is in {bridge} already"));
        }
        if self.bridge(bridge).is_none() {
            if self.is_made(bridge) {
                return self.untranslated(format!("{bridge} is no bridge"));
            }
            let text = format!("{bridge:?} was not made by a command before; taken as a bridge");
            self.note(NoteKind::Advice, text);
            self.bridges.push(BridgeState { name: bridge.to_owned(), ageing_s: None });
        }
        let (order, place) = (self.next_order, self.current.clone());
        self.next_order += 1;
        self.memberships.insert(link.to_owned(), Membership { bridge: bridge.to_owned(), order, place });
    }

    /// The bridge that `link` is in.
    pub(crate) fn master(&self, link: &str) -> Option<&str> {
        self.memberships.get(link).map(|membership| membership.bridge.as_str())
    }

    /// Takes `link` out of its bridge, for a command that says so.
    pub(crate) fn release(&mut self, link: &str) {
        if !self.take_out(link) {
            self.note(
                NoteKind::NotNeeded,
                format!("{link} is in no bridge: removes what was not added before"),
            );
        }
    }

    /// Takes `link` out of its bridge. False when it was in none.
    pub(crate) fn take_out(&mut self, link: &str) -> bool {
        self.memberships.remove(link).is_some()
    }

    /// Removes a link that was made here, or a bridge, and all that stood on it. False when there is none of that name.
    pub(crate) fn remove(&mut self, link: &str) -> bool {
        let is_known = self.made.remove(link).is_some() || self.bridge(link).is_some();
        if !is_known {
            return false;
        }
        self.up.remove(link);
        self.lowest_free = 0;
        self.memberships.retain(|member, membership| member != link && membership.bridge != link);
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

    /// Gives a link another name.
    pub(crate) fn rename(&mut self, old: &str, new: &str) {
        let names = (self
            .tunnels
            .iter_mut()
            .flat_map(|tunnel| &mut tunnel.sessions)
            .map(|session| &mut session.name))
        .chain(self.bridges.iter_mut().map(|bridge| &mut bridge.name))
        .chain(self.vlans.iter_mut().flat_map(|vlan| [&mut vlan.name, &mut vlan.base]))
        .chain(self.memberships.values_mut().map(|membership| &mut membership.bridge));
        for name in names.filter(|name| *name == old) {
            new.clone_into(name);
        }
        self.lowest_free = 0;
        if let Some(membership) = self.memberships.remove(old) {
            self.memberships.insert(new.to_owned(), membership);
        }
        if let Some(place) = self.made.remove(old) {
            self.made.insert(new.to_owned(), place);
        }
        if self.up.remove(old) {
            self.up.insert(new.to_owned());
        }
    }
}
