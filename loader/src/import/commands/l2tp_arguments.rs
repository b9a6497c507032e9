//! Keys and values of `ip l2tp`, and what is to be said of those that have no counterpart.

use std::net::IpAddr;

use crate::config::model::Encap;
use crate::import::notes::NoteKind;
use crate::import::state::State;

/// Every key of `ip l2tp add`. Each has one value. Source: iproute2 6.1, `ip/ipl2tp.c`, `parse_args`.
const KEYS: &[&str] = &[
    "encap",
    "name",
    "remote",
    "local",
    "tunnel_id",
    "peer_tunnel_id",
    "session_id",
    "peer_session_id",
    "udp_sport",
    "udp_dport",
    "udp_csum",
    "udp6_csum_rx",
    "udp6_csum_tx",
    "offset",
    "peer_offset",
    "cookie",
    "peer_cookie",
    "l2spec_type",
    "seq",
];

/// The short names that iproute2 has for ids, not in its help.
const SHORT: &[(&str, &str)] =
    &[("tid", "tunnel_id"), ("ptid", "peer_tunnel_id"), ("sid", "session_id"), ("psid", "peer_session_id")];

/// Keys that say something of a tunnel; of `UDP_KEYS` only when it is one over UDP.
pub(super) const TUNNEL_KEYS: &[&str] = &["encap", "remote", "local", "tunnel_id", "peer_tunnel_id"];
pub(super) const UDP_KEYS: &[&str] = &["udp_sport", "udp_dport", "udp_csum", "udp6_csum_rx", "udp6_csum_tx"];

/// Keys that say something of a session.
pub(super) const SESSION_KEYS: &[&str] = &[
    "name",
    "tunnel_id",
    "session_id",
    "peer_session_id",
    "offset",
    "peer_offset",
    "cookie",
    "peer_cookie",
    "l2spec_type",
    "seq",
];

/// Key and value as written.
pub(super) struct Arguments(Vec<(&'static str, String)>);

impl Arguments {
    /// `None` when a word has no meaning, which is noted.
    pub(super) fn read(words: &[String], state: &mut State) -> Option<Self> {
        let mut arguments = Vec::new();
        for pair in words.chunks(2) {
            let long = SHORT.iter().find(|(short, _)| *short == pair[0]);
            let key = state.whole(long.map_or(&*pair[0], |(_, key)| key), KEYS, "key of ip l2tp")?;
            let Some(value) = pair.get(1) else {
                state.untranslated(format!("{key} has no value"));
                return None;
            };
            if arguments.iter().any(|(earlier, _)| *earlier == key) {
                state.note(NoteKind::NotNeeded, format!("{key} stands more than once: the last one counts"));
            }
            arguments.push((key, value.clone()));
        }
        Some(Self(arguments))
    }

    /// The value of `key`; the last one counts, as for iproute2.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(name, _)| *name == key).map(|(_, value)| value.as_str())
    }

    /// The value of `key` as `parse` reads it; `None` when it is missing or cannot be read, which is noted.
    pub(super) fn needed<T>(
        &self,
        key: &str,
        state: &mut State,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        match self.get(key) {
            None => {
                state.untranslated(format!("{key} is missing"));
                None
            }
            Some(text) => {
                let value = parse(text);
                if value.is_none() {
                    state.untranslated(format!("{key} {text:?} cannot be used"));
                }
                value
            }
        }
    }
}

/// Keys that are none of `known`, and so have no meaning for `what`.
pub(super) fn note_others(arguments: &Arguments, what: &str, known: &[&[&str]], state: &mut State) {
    for (key, _) in arguments.0.iter().filter(|(key, _)| !known.iter().any(|keys| keys.contains(key))) {
        state.note(NoteKind::NotNeeded, format!("{key} says nothing of {what}: it is ignored by ip, too"));
    }
}

/// Checksum settings of the other address family than the tunnel's. Those of a tunnel without UDP say nothing of it at all.
pub(super) fn note_checksums(arguments: &Arguments, local: IpAddr, encap: Encap, state: &mut State) {
    if encap == Encap::Ip {
        return;
    }
    let (others, family): (&[&str], _) = match local {
        IpAddr::V4(_) => (&["udp6_csum_rx", "udp6_csum_tx"], "IPv4"),
        IpAddr::V6(_) => (&["udp_csum"], "IPv6"),
    };
    for key in others.iter().filter(|key| arguments.get(key).is_some()) {
        state.note(NoteKind::NotNeeded, format!("{key} has no meaning over {family}"));
    }
}

/// Settings without a key of their own.
pub(super) fn note_settings(arguments: &Arguments, state: &mut State) {
    for key in ["offset", "peer_offset"].iter().filter(|key| arguments.get(key).is_some()) {
        state.note(NoteKind::NotNeeded, format!("{key} is ignored by the kernel, too"));
    }
}
