//! `brctl ...`, the older tool for bridges.

use super::link_set::set_ageing;
use crate::import::notes::NoteKind;
use crate::import::state::State;

const VERBS: &[&str] = &[
    "addbr",
    "delbr",
    "addif",
    "delif",
    "setageing",
    "stp",
    "show",
    "showmacs",
    "showstp",
    "setbridgeprio",
    "setfd",
    "sethello",
    "setmaxage",
    "setpathcost",
    "setportprio",
    "hairpin",
];

pub(super) fn run(words: &[String], state: &mut State) {
    let Some((verb, words)) = words.split_first() else {
        return state.untranslated("says not what to do");
    };
    let Some(verb) = state.whole(verb, VERBS, "command of brctl") else { return };
    let Some((bridge, links)) = words.split_first() else {
        return match verb {
            "show" => state.note(NoteKind::NotNeeded, "shows, and changes nothing"),
            _ => state.untranslated("names no bridge"),
        };
    };
    if let Some(surplus) = links.get(most_words(verb)) {
        state.untranslated(format!("{verb} has no use for {surplus:?}"));
    }
    match verb {
        "addbr" => {
            state.add_bridge(bridge);
        }
        "delbr" => delete(bridge, state),
        "addif" | "delif" if links.is_empty() => state.untranslated("names no link"),
        "addif" => links.iter().for_each(|link| add_link(link, bridge, state)),
        "delif" => links.iter().for_each(|link| remove_link(link, bridge, state)),
        "setageing" => set_ageing(bridge, links.first().and_then(|seconds| seconds.parse().ok()), state),
        "stp" => stp(links, state),
        "show" | "showmacs" | "showstp" => state.note(NoteKind::NotNeeded, "shows, and changes nothing"),
        "hairpin" => state.untranslated("spanwire's bridges never send a frame back where it came from"),
        verb => state.note(NoteKind::NotNeeded, format!("{verb} is a setting of STP")),
    }
}

/// How many words behind the bridge's name have a meaning.
fn most_words(verb: &str) -> usize {
    match verb {
        "addbr" | "delbr" => 0,
        "setageing" | "stp" => 1,
        _ => usize::MAX,
    }
}

fn delete(bridge: &str, state: &mut State) {
    if state.bridge(bridge).is_some() {
        state.remove(bridge);
    } else {
        state.note(NoteKind::NotNeeded, format!("removes the bridge {bridge}, which was not added before"));
    }
}

/// Unlike `ip link set`, this does not take a link out of another bridge.
fn add_link(link: &str, bridge: &str, state: &mut State) {
    match state.master(link).filter(|master| *master != bridge).map(str::to_owned) {
        Some(other) => {
            state.untranslated(format!("{link} is in {other} already: the kernel refuses it, too"));
        }
        None => state.enslave(link, bridge),
    }
}

fn remove_link(link: &str, bridge: &str, state: &mut State) {
    if state.master(link) == Some(bridge) {
        state.take_out(link);
    } else {
        let text = format!("{link} is not in {bridge}: removes what was not added before");
        state.note(NoteKind::NotNeeded, text);
    }
}

fn stp(words: &[String], state: &mut State) {
    if words.first().is_some_and(|word| matches!(word.as_str(), "off" | "no" | "0")) {
        state.note(NoteKind::NotNeeded, "spanwire's bridges do not speak STP");
    } else {
        state.untranslated("spanwire's bridges do not speak STP: keep the topology free of loops");
    }
}
