//! `ip OBJECT ...`: which object, and what becomes of those that are not links or L2TP.

use super::{ip_l2tp, ip_link, shows};
use crate::import::notes::NoteKind;
use crate::import::state::State;

/// Objects of `ip` in the order in which it matches abbreviations. Source: iproute2 6.1, `ip/ip.c`, `cmds`.
const OBJECTS: &[&str] = &[
    "address",
    "addrlabel",
    "maddress",
    "route",
    "rule",
    "neighbor",
    "neighbour",
    "ntable",
    "ntbl",
    "link",
    "l2tp",
    "fou",
    "ila",
    "macsec",
    "tunnel",
    "tunl",
    "tuntap",
    "tap",
    "token",
    "tcpmetrics",
    "tcp_metrics",
    "monitor",
    "xfrm",
    "mroute",
    "mrule",
    "netns",
    "netconf",
    "vrf",
    "sr",
    "nexthop",
    "mptcp",
    "ioam",
    "help",
    "stats",
];

pub(super) fn run(words: &[String], state: &mut State) {
    let Some(words) = without_options(words, state) else { return };
    let Some((object, words)) = words.split_first() else {
        return state.untranslated("names no object of ip");
    };
    match state.abbreviated(object, OBJECTS, "object of ip") {
        Some("link") => ip_link::run(words, state),
        Some("l2tp") => ip_l2tp::run(words, state),
        Some("address") => address(words, state),
        Some("netns") => {
            state.untranslated("works on another network namespace: import the commands of one gateway");
        }
        Some("xfrm") => state.untranslated("IPsec is not part of the configuration"),
        Some(object @ ("route" | "rule" | "neighbor" | "neighbour" | "nexthop")) => state.note(
            NoteKind::NotNeeded,
            format!("spanwire follows the kernel's {object} table: keep the command where it is needed"),
        ),
        Some(object) => state.untranslated(format!("ip {object} has no counterpart")),
        None => {}
    }
}

/// The words behind `ip`'s own options.
fn without_options<'w>(words: &'w [String], state: &mut State) -> Option<&'w [String]> {
    let mut words = words;
    while let Some((option, rest)) = words.split_first().filter(|(word, _)| word.starts_with('-')) {
        match option.trim_start_matches('-') {
            "n" | "netns" => {
                state.untranslated("works in another network namespace: import the commands of one gateway");
                return None;
            }
            "b" | "batch" => {
                state.untranslated(
                    "runs commands from a file: import that file, each line with \"ip\" in front",
                );
                return None;
            }
            "f" | "family" | "l" | "loops" | "rc" | "rcvbuf" => words = rest.get(1..).unwrap_or_default(),
            _ => words = rest,
        }
    }
    Some(words)
}

/// Source: iproute2 6.1, `ip/ipaddress.c`, `do_ipaddr`, in the order in which abbreviations match.
const ADDRESS_VERBS: &[&str] = &[
    "add", "change", "chg", "replace", "delete", "show", "lst", "list", "flush", "save", "showdump",
    "restore",
];

/// Addresses of real interfaces are the kernel's; spanwire's bridges and pseudowires have none.
fn address(words: &[String], state: &mut State) {
    if shows(words.first(), ADDRESS_VERBS) {
        return state.note(NoteKind::NotNeeded, "shows, and changes nothing");
    }
    let made = words.iter().find(|word| state.is_made(word)).cloned();
    match made {
        Some(link) => state.untranslated(format!(
            "{link} has no interface under spanwire that could have an address: give it to a host of the LAN"
        )),
        None => state
            .note(NoteKind::NotNeeded, "addresses stay the kernel's: keep the command where it is needed"),
    }
}
