//! One command to its effect on the [`State`], or to a note that says why it has none.

mod brctl;
mod ip;
mod ip_l2tp;
mod ip_link;
mod l2tp_arguments;
mod link_set;
mod shell;

use super::notes::NoteKind;
use super::script::Command;
use super::state::{Place, State};
use super::words::{Meant, abbreviated};

/// Commands that are read.
const PROGRAMS: &[&str] = &["ip", "bridge", "brctl", "modprobe", "sudo"];

/// Translates one command of `file`.
pub(crate) fn translate(file: &str, command: &Command, state: &mut State) {
    state.current = Place { file: file.to_owned(), line: command.line, text: command.text.clone() };
    let words = match &command.words {
        Ok(words) => words,
        Err(reason) => return state.untranslated(*reason),
    };
    if shell::is_control_flow(words, state) {
        return shell::forget_changed(words, state);
    }
    let is_housekeeping = words.first().is_some_and(|program| shell::is_housekeeping(program));
    if let Some(reason) = command.depends.filter(|_| !is_housekeeping) {
        state.untranslated(reason);
        return shell::forget_changed(words, state);
    }
    let Some(words) = shell::expanded(words, state) else { return };
    match words.first() {
        Some(program) if shell::is_housekeeping(program) => shell::note_housekeeping(&words, state),
        Some(program) => run(program, &words[1..], state),
        None => {}
    }
}

fn run(program: &str, words: &[String], state: &mut State) {
    let name = program.rsplit('/').next().unwrap_or(program);
    if HOST_PROGRAMS.contains(&name) {
        return state.untranslated(format!("{name} stays the host's: keep the command where it is needed"));
    }
    match state.whole(name, PROGRAMS, "command that import reads") {
        Some("ip") => ip::run(words, state),
        Some("bridge") => bridge(words, state),
        Some("brctl") => brctl::run(words, state),
        Some("modprobe") => modprobe(words, state),
        Some("sudo") => sudo(words, state),
        _ => {}
    }
}

/// Known programs with effects that are not spanwire's; named so that no typing error is suspected.
const HOST_PROGRAMS: &[&str] = &[
    "sysctl",
    "iptables",
    "ip6tables",
    "nft",
    "ethtool",
    "tc",
    "ovs-vsctl",
    "ifconfig",
    "route",
    "systemctl",
    "tcpdump",
    "ping",
];

/// Modules of what spanwire does itself.
const MODULES: &[&str] =
    &["l2tp", "bridge", "8021q", "stp", "llc", "br_netfilter", "udp_tunnel", "ip6_udp_tunnel"];

fn modprobe(words: &[String], state: &mut State) {
    // Words such as `debug=1` are parameters of the module.
    let mut modules = words.iter().filter(|word| !word.starts_with('-') && !word.contains('='));
    match modules.find(|module| !MODULES.iter().any(|known| module.starts_with(known))) {
        Some(other) => state.untranslated(format!(
            "the module {other} stays the kernel's: keep the command where it is needed"
        )),
        None => state.note(NoteKind::NotNeeded, "spanwire needs no L2TP or bridge module"),
    }
}

fn sudo(words: &[String], state: &mut State) {
    let command =
        words.iter().position(|word| !word.starts_with('-')).map_or(&[][..], |start| &words[start..]);
    match command.split_first() {
        Some((program, words)) if program != "sudo" => run(program, words, state),
        _ => state.untranslated("runs no command that can be read"),
    }
}

/// What `bridge OBJECT` can be told to do. Source: iproute2 6.1, `bridge/fdb.c`, `link.c`, `vlan.c`, `mdb.c`.
const BRIDGE_VERBS: &[&str] = &[
    "add", "append", "set", "change", "replace", "delete", "flush", "global", "tunnel", "get", "show", "lst",
    "list",
];

/// Whether a command that does what `verb` abbreviates shows, and changes nothing, as one without a verb does.
fn shows(verb: Option<&String>, verbs: &[&'static str]) -> bool {
    verb.is_none_or(|verb| matches!(abbreviated(verb, verbs), Meant::Known("get" | "show" | "lst" | "list")))
}

/// `bridge ...` changes what a kernel bridge does beyond its members; spanwire's has no such settings.
fn bridge(words: &[String], state: &mut State) {
    let what = words.first().map_or("", String::as_str);
    let objects = &["link", "fdb", "mdb", "vlan", "monitor", "vni"];
    let Some(object) = state.abbreviated(what, objects, "object of bridge") else { return };
    if shows(words.get(1), BRIDGE_VERBS) {
        return state.note(NoteKind::NotNeeded, "shows, and changes nothing");
    }
    match object {
        "vlan" => state.untranslated(
            "spanwire's bridges do not filter by VLAN: make a bridge per VLAN, with members such as \"eth1.10\"",
        ),
        "fdb" => state.untranslated("spanwire's bridges learn every address: there are no static entries"),
        "link" => state.untranslated("spanwire's bridge members have no settings of their own"),
        object => state.untranslated(format!("bridge {object} has no counterpart")),
    }
}
