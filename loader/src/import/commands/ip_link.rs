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
}

fn add(words: &[String], state: &mut State) {
    let split = words.iter().position(|word| word == "type");
    let (front, kind) = split.map_or((words, &[][..]), |at| (&words[..at], &words[at + 1..]));
    let Some(link) = front_words(front, state) else { return };
    let Some((kind, options)) = kind.split_first() else {
        return state.untranslated("the new link has no type");
    };
    let Some(name) = link.name.clone() else {
        return state.untranslated("the new link has no name");
    };
    match kind.as_str() {
        "bridge" => {
            state.add_bridge(&name);
            link_set::bridge_options(&name, options, state);
        }
        "vlan" => {
            if !add_vlan(&name, link.base.as_deref(), options, state) {
                return;
            }
        }
        kind => {
            return state.untranslated(format!("links of type {kind} stay the kernel's: keep the command"));
        }
    }
    if link.is_up {
        state.up.insert(name.clone());
    }
    if let Some(master) = link.master {
        state.enslave(&name, &master);
    }
}

fn front_words(words: &[String], state: &mut State) -> Option<NewLink> {
    let mut link = NewLink::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "dev" | "name" => link.name = words.next().cloned(),
            "link" => link.base = words.next().cloned(),
            "master" => link.master = words.next().cloned(),
            "up" => link.is_up = true,
            "mtu" | "address" | "txqueuelen" | "txqlen" | "broadcast" | "numtxqueues" | "numrxqueues"
            | "index" => {
                let value = words.next().map_or("", String::as_str);
                state
                    .untranslated(format!("the new link has no interface under spanwire: no {word} {value}"));
            }
            name if link.name.is_none() => link.name = Some(name.to_owned()),
            other => {
                state.untranslated(format!("{other:?} is no word of ip link add"));
                return None;
            }
        }
    }
    Some(link)
}

/// `type vlan id N`. False when it has no translation, which is noted.
fn add_vlan(name: &str, base: Option<&str>, options: &[String], state: &mut State) -> bool {
    let Some(base) = base else {
        state.untranslated("the VLAN link names no link below it");
        return false;
    };
    let mut vlan = None;
    for pair in options.chunks(2) {
        let value = pair.get(1).map_or("", String::as_str);
        match state.whole(
            &pair[0],
            &["id", "protocol", "reorder_hdr", "gvrp", "mvrp", "loose_binding"],
            "option of a VLAN link",
        ) {
            Some("id") => {
                vlan =
                    number(value).and_then(|id| u16::try_from(id).ok()).filter(|id| (1..=4094).contains(id));
            }
            Some("protocol") if value.eq_ignore_ascii_case("802.1q") => {}
            Some("protocol") => {
                state.untranslated(format!(
                    "VLANs of protocol {value:?} cannot be bridge members, those of 802.1Q can"
                ));
                return false;
            }
            Some(option) => state.untranslated(format!("the option {option} has no counterpart")),
            None => return false,
        }
    }
    let Some(vlan) = vlan else {
        state.untranslated("the VLAN link has no id from 1 to 4094");
        return false;
    };
    state.vlans.push(VlanLink { name: name.to_owned(), base: base.to_owned(), vlan });
    state.made.insert(name.to_owned(), state.current.clone());
    true
}

fn delete(words: &[String], state: &mut State) {
    let name = words.iter().find(|word| !matches!(word.as_str(), "dev" | "name"));
    match name {
        Some(name) if state.remove(name) => {}
        Some(_) => state.note(NoteKind::NotNeeded, "removes a link that was not added before"),
        None => state.untranslated("names no link"),
    }
}
