//! `ip link add|del|set ...`: bridges and VLAN links; settings are in `link_set`.

use super::link_set;
use crate::import::notes::NoteKind;
use crate::import::state::{State, VlanLink};
use crate::import::words::number;

/// Source: iproute2 6.1, `ip/iplink.c`, `do_iplink`, in the order in which abbreviations match.
const VERBS: &[&str] = &[
    "add", "set", "change", "replace", "delete", "show", "lst", "list", "xstats", "afstats", "property",
    "help",
];

pub(super) fn run(words: &[String], state: &mut State) {
    let Some((verb, words)) = words.split_first() else {
        return state.note(NoteKind::NotNeeded, "shows, and changes nothing");
    };
    match state.abbreviated(verb, VERBS, "command of ip link") {
        Some("add" | "replace") => add(words, state),
        Some("set" | "change") => link_set::run(words, state),
        Some("delete") => delete(words, state),
        Some("property") => state.untranslated("other names of an interface have no counterpart"),
        Some(_) => state.note(NoteKind::NotNeeded, "shows, and changes nothing"),
        None => {}
    }
}

/// What `ip link add` says in front of `type`.
#[derive(Default)]
struct NewLink {
    name: Option<String>,
    base: Option<String>,
    is_up: bool,
    master: Option<String>,
    /// Settings of an interface, as written.
    settings: Vec<String>,
}

impl NewLink {
    /// `None` when a word has no meaning, which is noted.
    fn read(words: &[String], state: &mut State) -> Option<Self> {
        let mut link = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut value = || {
                let value = words.next().cloned();
                if value.is_none() {
                    state.untranslated(format!("{word} has no value"));
                }
                value
            };
            match word.as_str() {
                "dev" | "name" => link.name = Some(value()?),
                "link" => link.base = Some(value()?),
                "master" => link.master = Some(value()?),
                "up" => link.is_up = true,
                "down" => link.is_up = false,
                "mtu" | "address" | "txqueuelen" | "txqlen" | "broadcast" | "numtxqueues" | "numrxqueues"
                | "index" => link.settings.push(format!("{word} {}", value()?)),
                name if link.name.is_none() => link.name = Some(name.to_owned()),
                other => {
                    state.untranslated(format!("{other:?} is no word of ip link add"));
                    return None;
                }
            }
        }
        Some(link)
    }
}

fn add(words: &[String], state: &mut State) {
    let split = words.iter().position(|word| word == "type");
    let (front, kind) = split.map_or((words, &[][..]), |at| (&words[..at], &words[at + 1..]));
    let Some(link) = NewLink::read(front, state) else { return };
    let Some((kind, options)) = kind.split_first() else {
        return state.untranslated("the new link has no type");
    };
    let Some(name) = link.name.clone() else {
        return state.untranslated("the new link has no name");
    };
    let is_made = match kind.as_str() {
        "bridge" => add_bridge(&name, options, state),
        "vlan" => add_vlan(&name, link.base.as_deref(), options, state),
        kind => {
            state.untranslated(format!("links of type {kind} stay the kernel's: keep the command"));
            link.master.iter().for_each(|master| state.enslave(&name, master));
            false
        }
    };
    if is_made {
        finish(&name, link, state);
    }
}

/// What the new link is besides its type.
fn finish(name: &str, link: NewLink, state: &mut State) {
    for setting in link.settings {
        state.untranslated(format!("the new link has no interface under spanwire: no {setting}"));
    }
    if link.is_up {
        state.up.insert(name.to_owned());
    }
    if let Some(master) = link.master {
        state.enslave(name, &master);
    }
}

/// `type bridge ...`. False when it cannot be made, which is noted.
fn add_bridge(name: &str, options: &[String], state: &mut State) -> bool {
    let is_made = state.add_bridge(name);
    if is_made {
        link_set::bridge_options(name, options, state);
    }
    is_made
}

/// `type vlan id N`. False when it has no translation, which is noted.
fn add_vlan(name: &str, base: Option<&str>, options: &[String], state: &mut State) -> bool {
    let Some(base) = base else {
        state.untranslated("the VLAN link names no link below it");
        return false;
    };
    let Some(vlan) = vlan_id(options, state) else { return false };
    let same = state.vlans.iter().find(|link| link.base == base && link.vlan == vlan);
    if let Some(same) = same.map(|link| link.name.clone()) {
        let place = state.made.get(&same).cloned().unwrap_or_default();
        state.exists(&format!("VLAN {vlan} of {base}, as {same},"), &place);
        return false;
    }
    if !state.make(name) {
        return false;
    }
    state.vlans.push(VlanLink { name: name.to_owned(), base: base.to_owned(), vlan });
    true
}

const VLAN_OPTIONS: &[&str] = &["id", "protocol", "reorder_hdr", "gvrp", "mvrp", "loose_binding"];

/// The VLAN that the options name; `None` when a bridge member cannot have it, which is noted.
fn vlan_id(options: &[String], state: &mut State) -> Option<u16> {
    let mut vlan = None;
    for pair in options.chunks(2) {
        let value = pair.get(1).map_or("", String::as_str);
        match state.whole(&pair[0], VLAN_OPTIONS, "option of a VLAN link")? {
            "id" => {
                if vlan.is_some() {
                    state.note(NoteKind::NotNeeded, "id stands more than once: the last one counts");
                }
                vlan =
                    number(value).and_then(|id| u16::try_from(id).ok()).filter(|id| (1..=4094).contains(id));
            }
            "protocol" if value.eq_ignore_ascii_case("802.1q") => {}
            "protocol" => {
                let reason =
                    format!("VLANs of protocol {value:?} cannot be bridge members, those of 802.1Q can");
                state.untranslated(reason);
                return None;
            }
            option => state.untranslated(format!("the option {option} has no counterpart")),
        }
    }
    if vlan.is_none() {
        state.untranslated("the VLAN link has no id from 1 to 4094");
    }
    vlan
}

fn delete(words: &[String], state: &mut State) {
    let mut words = words.iter().filter(|word| !matches!(word.as_str(), "dev" | "name"));
    let name = words.next();
    if let Some(surplus) = words.next().filter(|word| *word != "type") {
        return state.untranslated(format!("{surplus:?} is no word of ip link delete"));
    }
    match name {
        Some(name) if state.remove(name) => {}
        Some(name) if state.take_out(name) => {
            let text = format!("{name} was not made by a command before; taken out of its bridge");
            state.note(NoteKind::Advice, text);
        }
        Some(_) => state.note(NoteKind::NotNeeded, "removes a link that was not added before"),
        None => state.untranslated("names no link"),
    }
}
