//! `ip link set DEV ...` and the options of bridges.

use crate::config::model::{AGEING_S, DEFAULT_AGEING_S};
use crate::import::notes::NoteKind;
use crate::import::state::State;
use crate::import::words::number;

/// Settings without a value.
const FLAGS: &[&str] = &["up", "down", "nomaster"];

/// Settings: those without a value, then those with one. Source: iproute2 6.1, `ip/iplink.c`, `iplink_parse`.
const SETTINGS: &[&str] = &[
    "up",
    "down",
    "nomaster",
    "master",
    "mtu",
    "promisc",
    "name",
    "address",
    "txqueuelen",
    "txqlen",
    "alias",
    "arp",
    "multicast",
    "allmulticast",
    "group",
    "netns",
    "addrgenmode",
    "dynamic",
    "broadcast",
    "brd",
    "protodown",
    "state",
    "link-netns",
    "gso_max_size",
    "gso_max_segs",
    "type",
    "dev",
];

/// What one command says of one link.
#[derive(Default)]
struct Words {
    device: Option<String>,
    settings: Vec<(&'static str, String)>,
    /// What stands behind `type`.
    type_options: Option<Vec<String>>,
}

impl Words {
    /// `None` when a word has no meaning, which is noted.
    fn read(words: &[String], state: &mut State) -> Option<Self> {
        let mut read = Self::default();
        let mut rest = words.iter();
        while let Some(word) = rest.next() {
            let known = SETTINGS.contains(&word.as_str());
            if !known && read.device.is_none() {
                read.device = Some(word.clone());
                continue;
            }
            match state.whole(word, SETTINGS, "setting of ip link set")? {
                "dev" => read.device = rest.next().cloned(),
                "type" => read.type_options = Some(rest.by_ref().cloned().collect()),
                setting if FLAGS.contains(&setting) => read.push(setting, String::new(), state),
                setting => read.push(setting, rest.next().cloned().unwrap_or_default(), state),
            }
        }
        Some(read)
    }

    /// Of two settings of one thing the last one counts, as for iproute2.
    fn push(&mut self, setting: &'static str, value: String, state: &mut State) {
        let earlier = self.settings.iter().position(|(earlier, _)| thing(earlier) == thing(setting));
        if let Some((earlier, _)) = earlier.map(|position| self.settings.remove(position)) {
            state.note(NoteKind::NotNeeded, format!("of {earlier} and {setting} the last one counts"));
        }
        self.settings.push((setting, value));
    }
}

/// What a setting is about.
fn thing(setting: &'static str) -> &'static str {
    match setting {
        "down" => "up",
        "nomaster" => "master",
        other => other,
    }
}

pub(super) fn run(words: &[String], state: &mut State) {
    let Some(Words { device, settings, type_options }) = Words::read(words, state) else { return };
    let Some(mut device) = device else {
        return state.untranslated("names no link");
    };
    if settings.is_empty() && type_options.is_none() {
        state.note(NoteKind::NotNeeded, "sets nothing");
    }
    for (setting, value) in settings {
        apply(&mut device, setting, &value, state);
    }
    if let Some(options) = type_options {
        set_type(&device, &options, state);
    }
}

fn apply(device: &mut String, setting: &str, value: &str, state: &mut State) {
    match (setting, value) {
        ("up", _) => set_up(device, state),
        ("down", _) => set_down(device, state),
        ("nomaster", _) => state.release(device),
        ("master", "") => state.untranslated("master names no bridge"),
        ("master", bridge) => state.enslave(device, bridge),
        ("promisc", _) => {
            state.note(NoteKind::NotNeeded, "spanwire makes access ports promiscuous while it is attached");
        }
        ("name", new) => rename(device, new, state),
        ("netns", _) => state.untranslated("moves the link to another network namespace"),
        (setting, _) if state.is_made(device) => {
            let reason = format!("{device} has no interface under spanwire: {setting} has no counterpart");
            let reason =
                if setting == "mtu" { format!("{reason}; the underlay port's MTU decides") } else { reason };
            state.untranslated(reason);
        }
        (setting, _) => state.stays(setting),
    }
}

/// What the commands made is up anyway, and told of when no command says so; an interface is not touched.
fn set_up(device: &str, state: &mut State) {
    if state.bridge(device).is_some() && !state.is_made(device) {
        state.note(NoteKind::NotNeeded, format!("the bridge {device} is up while spanwire runs"));
    } else if !state.is_made(device) {
        state.stays("up");
    } else if !state.up.insert(device.to_owned()) {
        state.note(NoteKind::NotNeeded, format!("{device} is up already"));
    }
}

fn set_down(device: &str, state: &mut State) {
    if !state.is_made(device) {
        return state.stays("down");
    }
    state.up.remove(device);
    let text =
        format!("what the configuration names is up while spanwire runs; to keep {device} down, take it out");
    state.note(NoteKind::Advice, text);
}

fn rename(device: &mut String, new: &str, state: &mut State) {
    if !state.is_free(new) {
        return;
    }
    if state.is_named(new) {
        return state.untranslated(format!("{new} is the name of another link, which a command before uses"));
    }
    if !state.is_made(device) {
        state.stays("name");
    }
    state.rename(device, new);
    new.clone_into(device);
}

fn set_type(device: &str, words: &[String], state: &mut State) {
    match words.split_first() {
        Some((kind, [])) => state.note(NoteKind::NotNeeded, format!("sets no option of the {kind}")),
        Some((kind, options)) if kind == "bridge" => bridge_options(device, options, state),
        Some((kind, _)) => state.untranslated(format!("options of {kind} links have no counterpart")),
        None => state.untranslated("type has no value"),
    }
}

/// The options of bridge `name`.
pub(super) fn bridge_options(name: &str, words: &[String], state: &mut State) {
    for pair in words.chunks(2) {
        let value = pair.get(1).map_or("", String::as_str);
        bridge_option(name, &pair[0], value, state);
    }
}

fn bridge_option(name: &str, option: &str, value: &str, state: &mut State) {
    match option {
        "stp_state" | "vlan_filtering" if matches!(value, "0" | "off") => {
            state.note(NoteKind::NotNeeded, format!("{option} is off in spanwire's bridges"));
        }
        "stp_state" => state.untranslated("spanwire's bridges do not speak STP: keep the topology free of loops"),
        "vlan_filtering" => state.untranslated(
            "spanwire's bridges do not filter by VLAN: make a bridge per VLAN, with members such as \"eth1.10\"",
        ),
        "forward_delay" | "hello_time" | "max_age" | "priority" => {
            state.note(NoteKind::NotNeeded, format!("{option} is a setting of STP"));
        }
        "ageing_time" => set_ageing_hundredths(name, number(value), state),
        option => state.untranslated(format!("the bridge option {option} has no counterpart")),
    }
}

fn set_ageing_hundredths(name: &str, hundredths: Option<u32>, state: &mut State) {
    if hundredths.is_some_and(|hundredths| hundredths % 100 != 0) {
        state.note(NoteKind::Advice, "the ageing time is rounded down to whole seconds");
    }
    set_ageing(name, hundredths.map(|hundredths| hundredths / 100), state);
}

/// Sets the ageing time of bridge `name`. Units: seconds.
pub(super) fn set_ageing(name: &str, ageing_s: Option<u32>, state: &mut State) {
    let Some(seconds) = ageing_s.filter(|seconds| AGEING_S.contains(seconds)) else {
        let (min, max) = (AGEING_S.start(), AGEING_S.end());
        return state.untranslated(format!("the ageing time is not from {min} to {max} seconds"));
    };
    let place = state.current.clone();
    let Some(bridge) = state.bridge(name) else {
        return state.untranslated(format!("the bridge {name:?} was not made by a command before"));
    };
    let before = bridge.ageing_s.replace((seconds, place)).map_or(DEFAULT_AGEING_S, |(before, _)| before);
    if before == seconds {
        state.note(NoteKind::NotNeeded, format!("the ageing time is {seconds} seconds anyway"));
    }
}
