//! What spanwire has beyond `ip l2tp`: keys without a word there, against a kernel peer that knows nothing of them.
//!
//! Each of these cases has its keys in the configuration, behind the import, and most have an exercise besides the pings that
//! shows the key's effect. What exercises do stands in `exercises`, what has to come of them there and in `judge`.

use toml::{Table, Value};

use super::case::{Case, Checksums, Encap, Expected, Family, Gateway};
use super::matrix::{COOKIE8, Matrix, Options, PAIR, PLAIN, head};

/// Where a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Tunnel,
    Session,
}

/// A key of ours, in the tunnel or session of a case's first wire.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting {
    pub(super) place: Place,
    pub(super) key: &'static str,
    pub(super) value: Value,
}

/// What is done in a case besides pings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exercise {
    /// Pings whose packets have a differentiated services field and an ECN field.
    Marked,
    /// A TCP connection, content both ways, and what either end takes for the other's largest segment.
    Tcp,
    /// Instead of pings: one that does not fit and nobody may cut up, then those of a sender that knows.
    TooBig,
    /// The kernel is where we do not expect it, and later somewhere else.
    Learn,
    /// The kernel's cookie changes while frames arrive.
    NewCookie,
    /// A few of the kernel's numbered packets get lost.
    Loss,
}

/// A case: its name, what its session is told, the place of its addresses, keys of ours, exercise.
struct Own {
    name: &'static str,
    options: Options,
    place: u8,
    tunnel: &'static [(&'static str, Word)],
    session: &'static [(&'static str, Word)],
    exercise: Option<Exercise>,
}

/// A value that can be a constant.
#[derive(Debug, Clone, Copy)]
enum Word {
    Text(&'static str),
    Number(i64),
    Flag(bool),
}

/// The largest segment that a case demands by number. Units: bytes.
const MSS: i64 = 1000;

const CASES: &[Own] = &[
    Own { name: "marks/default", exercise: Some(Exercise::Marked), ..Own::NOTHING },
    Own {
        name: "marks/ttl-dscp",
        place: 2,
        tunnel: &[("ttl", Word::Number(33)), ("dscp", Word::Number(10))],
        exercise: Some(Exercise::Marked),
        ..Own::NOTHING
    },
    Own {
        name: "marks/copied",
        place: 3,
        tunnel: &[("dscp", Word::Text("copy")), ("ecn", Word::Text("copy"))],
        exercise: Some(Exercise::Marked),
        ..Own::NOTHING
    },
    Own { name: "fragments", place: 1, exercise: Some(Exercise::Tcp), ..Own::NOTHING },
    Own {
        name: "fragmentation-inner",
        place: 5,
        tunnel: &[("fragmentation", Word::Text("inner"))],
        ..Own::NOTHING
    },
    Own {
        name: "fragmentation-drop",
        place: 6,
        tunnel: &[("fragmentation", Word::Text("drop"))],
        exercise: Some(Exercise::TooBig),
        ..Own::NOTHING
    },
    Own {
        name: "mss_clamp-auto",
        place: 7,
        tunnel: &[("mss_clamp", Word::Text("auto"))],
        exercise: Some(Exercise::Tcp),
        ..Own::NOTHING
    },
    Own {
        name: "mss_clamp-1000",
        place: 8,
        tunnel: &[("mss_clamp", Word::Number(MSS))],
        exercise: Some(Exercise::Tcp),
        ..Own::NOTHING
    },
    Own { name: "cookie-change", exercise: Some(Exercise::NewCookie), ..Own::NOTHING },
    Own {
        name: "seq_observe",
        options: Options { seq: ["send", "both"], ..COOKIE8 },
        place: 10,
        session: &[("seq_observe", Word::Flag(true))],
        exercise: Some(Exercise::Loss),
        ..Own::NOTHING
    },
    Own {
        name: "seq-both-with-loss",
        options: Options { seq: ["both", "both"], ..PLAIN },
        place: 11,
        exercise: Some(Exercise::Loss),
        ..Own::NOTHING
    },
];

/// Only over IPv4, as IPv6 has no such bit.
const DF: Own = Own {
    name: "marks/df",
    place: 4,
    tunnel: &[("df", Word::Flag(true)), ("fragmentation", Word::Text("drop"))],
    ..Own::NOTHING
};

/// The place of the addresses of the case with a peer that is learned.
const LEARN_PLACE: u8 = 9;

impl Own {
    const NOTHING: Self =
        Self { name: "", options: COOKIE8, place: 0, tunnel: &[], session: &[], exercise: None };
}

impl Matrix {
    /// The cases of one encapsulation over one family.
    pub(super) fn add_own(&mut self, encap: Encap, family: Family) {
        for own in CASES {
            self.add_one(own, encap, family);
        }
        if family == Family::V4 {
            self.add_one(&DF, encap, family);
        }
        self.add_second_cookie(encap, family);
        if encap == Encap::Udp {
            self.add_learned(family);
        }
    }

    fn add_one(&mut self, own: &Own, encap: Encap, family: Family) {
        let settings = [(Place::Tunnel, own.tunnel), (Place::Session, own.session)].into_iter();
        let settings = settings.flat_map(|(place, keys)| keys.iter().map(move |key| (place, key)));
        let settings = settings.map(|(place, (key, word))| Setting { place, key, value: word.value() });
        self.own_case((own.name, own.place), encap, family, own.options, settings.collect());
        if let Some(case) = self.cases.last_mut() {
            case.exercise = own.exercise;
        }
    }

    /// The kernel sends the second of two cookies that we take.
    fn add_second_cookie(&mut self, encap: Encap, family: Family) {
        self.own_case(("peer_cookie_also", 0), encap, family, COOKIE8, Vec::new());
        if let Some(case) = self.cases.last_mut() {
            let cookie = case.wires[0].ends[0].peer_cookie.clone();
            let session = |key, value: String| Setting { place: Place::Session, key, value: value.into() };
            case.settings = vec![
                session("peer_cookie", "00".repeat(cookie.len() / 2)),
                session("peer_cookie_also", cookie),
            ];
        }
    }

    /// We guess another address of the kernel, and another port.
    fn add_learned(&mut self, family: Family) {
        let guess = family.other_address(Gateway::Kernel).to_string();
        let settings: [(&'static str, Value); 3] =
            [("peer", "learn".into()), ("remote", guess.into()), ("udp_dport", 9.into())];
        let settings = settings.map(|(key, value)| Setting { place: Place::Tunnel, key, value });
        self.own_case(("peer-learn", LEARN_PLACE), Encap::Udp, family, COOKIE8, settings.into());
        if let Some(case) = self.cases.last_mut() {
            case.exercise = Some(Exercise::Learn);
        }
    }

    fn own_case(
        &mut self,
        (name, place): (&str, u8),
        encap: Encap,
        family: Family,
        options: Options,
        settings: Vec<Setting>,
    ) {
        let addresses = PAIR.map(|gateway| family.place(gateway, place));
        let tunnel = self.tunnel_between(encap, family, PAIR, addresses, [Checksums::DEFAULT; 2]);
        let wire = self.wire(tunnel, PAIR, options);
        self.case(format!("{}/{name}", head(encap, family)), PAIR.into(), vec![wire], Expected::Passes);
        if let Some(case) = self.cases.last_mut() {
            case.narrow = super::case::NARROW_PLACES.contains(&place);
            case.settings = settings;
        }
    }
}

impl Word {
    fn value(self) -> Value {
        match self {
            Self::Text(text) => text.into(),
            Self::Number(number) => number.into(),
            Self::Flag(flag) => flag.into(),
        }
    }
}

impl Case {
    /// The value of a key of ours, where the case has it.
    pub(super) fn setting(&self, key: &str) -> Option<&Value> {
        self.settings.iter().find(|setting| setting.key == key).map(|setting| &setting.value)
    }

    /// Writes the case's keys into an imported configuration. `tunnel_id` is ours of its first wire.
    ///
    /// Returns whether tunnel and session are there.
    pub(super) fn apply_settings(&self, configuration: &mut Table, tunnel_id: u32) -> bool {
        let tunnels = configuration.get_mut("tunnel").and_then(Value::as_table_mut);
        let mut tunnels =
            tunnels.into_iter().flat_map(Table::iter_mut).filter_map(|(_, value)| value.as_table_mut());
        let is_it = |tunnel: &&mut Table| {
            tunnel.get("tunnel_id").and_then(Value::as_integer) == Some(tunnel_id.into())
        };
        let Some(tunnel) = tunnels.find(is_it) else { return false };
        for Setting { place, key, value } in &self.settings {
            let table = match place {
                Place::Tunnel => Some(&mut *tunnel),
                Place::Session => tunnel
                    .get_mut("session")
                    .and_then(|sessions| sessions.get_mut(self.wires[0].name()))
                    .and_then(Value::as_table_mut),
            };
            let Some(table) = table else { return false };
            table.insert((*key).to_owned(), value.clone());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interop::matrix;

    #[test]
    fn no_two_cases_with_different_keys_share_a_tunnel() {
        let Matrix { cases, .. } = matrix::all();
        let keys = |case: &Case| {
            let tunnel = case.settings.iter().filter(|setting| setting.place == Place::Tunnel);
            tunnel.map(|setting| (setting.key, setting.value.to_string())).collect::<Vec<_>>()
        };
        for case in &cases {
            for other in cases.iter().filter(|other| other.wires[0].tunnels == case.wires[0].tunnels) {
                assert_eq!(keys(case), keys(other), "{} and {}", case.name, other.name);
            }
        }
    }

    #[test]
    fn keys_are_written_into_the_tunnel_and_session_of_the_case() {
        let matrix = matrix::all();
        let case = matrix.cases.iter().find(|case| case.name == "udp4/seq_observe").unwrap();
        let name = case.wires[0].name();
        let text = format!("[tunnel.a]\ntunnel_id = 7\n[tunnel.a.session.{name}]\nsession_id = 1\n");
        let mut table: Table = text.parse().unwrap();
        assert!(case.apply_settings(&mut table, 7));
        assert_eq!(table["tunnel"]["a"]["session"][&name]["seq_observe"].as_bool(), Some(true));
        assert!(!case.apply_settings(&mut table, 8));
        let other = matrix.cases.iter().find(|case| case.name == "udp4/marks/ttl-dscp").unwrap();
        assert!(other.apply_settings(&mut table, 7));
        assert_eq!(table["tunnel"]["a"]["ttl"].as_integer(), Some(33));
    }
}
