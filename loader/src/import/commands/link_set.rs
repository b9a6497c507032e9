//! `ip link set DEV ...` and the options of bridges.

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

/// Range of `ageing_s`. Units: seconds.
const AGEING_S: std::ops::RangeInclusive<u32> = 10..=1_000_000;

pub(super) fn run(words: &[String], state: &mut State) {
    let mut device = None;
    let mut settings: Vec<(&'static str, String)> = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let known = SETTINGS.contains(&word.as_str());
        if !known && device.is_none() {
            device = Some(word.clone());
            continue;
        }
        match state.whole(word, SETTINGS, "setting of ip link set") {
            Some("dev") => device = rest.next().cloned(),
            Some("type") => {
                let options: Vec<_> = rest.by_ref().cloned().collect();
                return set_type(device.as_deref(), &options, state);
            }
            Some(setting) if FLAGS.contains(&setting) => settings.push((setting, String::new())),
            Some(setting) => settings.push((setting, rest.next().cloned().unwrap_or_default())),
            None => return,
        }
    }
    let Some(mut device) = device else {
        return state.untranslated("names no link");
    };
    for (setting, value) in settings {
        apply(&mut device, setting, &value, state);
    }
}

fn apply(device: &mut String, setting: &str, value: &str, state: &mut State) {
    match (setting, value) {
        ("up", _) => {
            state.up.insert(device.clone());
        }
        ("down", _) => {
            state.up.remove(device.as_str());
            state.note(NoteKind::Advice, format!("what the configuration names is up while spanwire runs; to keep {device} down, take it out"));
        }
        ("nomaster", _) => state.release(device),
        ("master", "") => state.untranslated("master names no bridge"),
        ("master", bridge) => state.enslave(device, bridge),
        ("promisc", _) => {
            state.note(NoteKind::NotNeeded, "spanwire makes access ports promiscuous while it is attached");
        }
        ("name", new) if state.is_made(device) => {
            state.rename(device, new);
            new.clone_into(device);
        }
        ("netns", _) => state.untranslated("moves the link to another network namespace"),
        (setting, _) if state.is_made(device) => {
            let reason = format!("{device} has no interface under spanwire: {setting} has no counterpart");
            let reason =
                if setting == "mtu" { format!("{reason}; the underlay port's MTU decides") } else { reason };
            state.untranslated(reason);
        }
        (setting, _) => {
            let text =
                format!("{setting} stays a setting of the interface: keep the command where it is needed");
            state.note(NoteKind::NotNeeded, text);
        }
    }
}

fn set_type(device: Option<&str>, words: &[String], state: &mut State) {
    match (device, words.split_first()) {
        (Some(device), Some((kind, options))) if kind == "bridge" => bridge_options(device, options, state),
        (_, Some((kind, _))) => state.untranslated(format!("options of {kind} links have no counterpart")),
        _ => state.untranslated("type has no value"),
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
        "stp_state" | "vlan_filtering" if matches!(value, "0" | "off") => {}
        "stp_state" => state.untranslated("spanwire's bridges do not speak STP: keep the topology free of loops"),
        "vlan_filtering" => state.untranslated(
            "spanwire's bridges do not filter by VLAN: make a bridge per VLAN, with members such as \"eth1.10\"",
        ),
        "forward_delay" | "hello_time" | "max_age" | "priority" => {
            state.note(NoteKind::NotNeeded, format!("{option} is a setting of STP"));
        }
        "ageing_time" => set_ageing(name, number(value).map(|hundredths| hundredths / 100), state),
        option => state.untranslated(format!("the bridge option {option} has no counterpart")),
    }
}

/// Sets the ageing time of bridge `name`. Units: seconds.
pub(super) fn set_ageing(name: &str, ageing_s: Option<u32>, state: &mut State) {
    let Some(seconds) = ageing_s.filter(|seconds| AGEING_S.contains(seconds)) else {
        return state.untranslated("the ageing time is not from 10 to 1000000 seconds");
    };
    match state.bridge(name) {
        Some(bridge) => bridge.ageing_s = Some(seconds),
        None => state.untranslated(format!("the bridge {name:?} was not made by a command before")),
    }
}
