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
    match verb {
        "addbr" => state.add_bridge(bridge),
        "delbr" => {
            state.remove(bridge);
        }
        "addif" => links.iter().for_each(|link| state.enslave(link, bridge)),
        "delif" => links.iter().for_each(|link| state.release(link)),
        "setageing" => set_ageing(bridge, links.first().and_then(|seconds| seconds.parse().ok()), state),
        "stp" => stp(links, state),
        "show" | "showmacs" | "showstp" => state.note(NoteKind::NotNeeded, "shows, and changes nothing"),
        "hairpin" => state.untranslated("spanwire's bridges never send a frame back where it came from"),
        verb => state.note(NoteKind::NotNeeded, format!("{verb} is a setting of STP")),
    }
}

fn stp(words: &[String], state: &mut State) {
    if !words.first().is_some_and(|word| matches!(word.as_str(), "off" | "no" | "0")) {
        state.untranslated("spanwire's bridges do not speak STP: keep the topology free of loops");
    }
}
