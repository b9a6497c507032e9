//! `ip l2tp add|del tunnel|session ...`.

use std::net::IpAddr;

use super::l2tp_arguments::{
    Arguments, SESSION_KEYS, TUNNEL_KEYS, UDP_KEYS, note_checksums, note_others, note_settings,
};
use crate::config::keys::{ENCAPS, L2SPEC_TYPES, SEQS};
use crate::config::model::{
    Cookie, Encap, Fragmentation, MssClamp, Outer, PeerMode, SUBLAYER_WORDS, Seq, Sequencing, Session,
    SessionId, Spread, Sublayer, Tunnel, TunnelId,
};
use crate::import::notes::NoteKind;
use crate::import::state::State;
use crate::import::words::number;

const VERBS: &[&str] = &["add", "delete", "show", "lst", "list", "help"];
const THINGS: &[&str] = &["tunnel", "session"];

pub(super) fn run(words: &[String], state: &mut State) {
    let Some((verb, words)) = words.split_first() else {
        return state.untranslated("says not what to do");
    };
    let adds = match state.abbreviated(verb, VERBS, "command of ip l2tp") {
        Some("add") => true,
        Some("delete") => false,
        Some(_) => return state.note(NoteKind::NotNeeded, "shows, and changes nothing"),
        None => return,
    };
    let Some((thing, words)) = words.split_first() else {
        return state.untranslated("names neither tunnel nor session");
    };
    let Some(thing) = state.abbreviated(thing, THINGS, "object of ip l2tp") else { return };
    let Some(arguments) = Arguments::read(words, state) else { return };
    match (adds, thing) {
        (true, "tunnel") => add_tunnel(&arguments, state),
        (true, _) => add_session(&arguments, state),
        (false, "tunnel") => delete_tunnel(&arguments, state),
        (false, _) => delete_session(&arguments, state),
    }
}

fn tunnel_id(text: &str) -> Option<TunnelId> {
    number(text).and_then(TunnelId::new)
}

fn session_id(text: &str) -> Option<SessionId> {
    number(text).and_then(SessionId::new)
}

fn udp_port(text: &str) -> Option<u16> {
    number(text).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
}

fn add_tunnel(arguments: &Arguments, state: &mut State) {
    // Each is looked at, so that all that is missing is said at once.
    let address = |text: &str| text.parse::<IpAddr>().ok();
    let local = arguments.needed("local", state, address);
    let remote = arguments.needed("remote", state, address);
    let id = arguments.needed("tunnel_id", state, tunnel_id);
    let peer_id = arguments.needed("peer_tunnel_id", state, tunnel_id);
    let encap = encap(arguments, state);
    let outer = outer(arguments, state);
    let (Some(local), Some(remote), Some(tunnel_id), Some(peer_tunnel_id), Some(encap), Some(outer)) =
        (local, remote, id, peer_id, encap, outer)
    else {
        return;
    };
    let tunnel = Tunnel {
        name: format!("t{tunnel_id}"),
        local,
        remote,
        peer: PeerMode::Fixed,
        tunnel_id,
        peer_tunnel_id,
        encap,
        outer: outer.of(local, encap),
        fragmentation: Fragmentation::default(),
        mss_clamp: MssClamp::Off,
        spread: Spread::default(),
        sessions: Vec::new(),
    };
    if exists(&tunnel, state) {
        return;
    }
    note_settings(arguments, state);
    note_checksums(arguments, local, encap, state);
    note_others(
        arguments,
        "the tunnel",
        &[TUNNEL_KEYS, if encap == Encap::Ip { &[] } else { UDP_KEYS }],
        state,
    );
    state.tunnel_places.insert(tunnel_id, state.current.clone());
    state.tunnels.push(tunnel);
}

/// Whether a tunnel has the same id, or the same endpoints, which is noted.
fn exists(tunnel: &Tunnel, state: &mut State) -> bool {
    let endpoints = |tunnel: &Tunnel| (tunnel.local, tunnel.remote, tunnel.encap);
    let id = tunnel.tunnel_id;
    if let Some(place) = state.tunnel_places.get(&id).cloned() {
        state.exists(&format!("tunnel_id {id}"), &place);
        return true;
    }
    let same = state.tunnels.iter().find(|known| endpoints(known) == endpoints(tunnel));
    let Some(same) = same.map(|known| known.tunnel_id) else { return false };
    let line = state.tunnel_places.get(&same).map(|place| state.line_of(place)).unwrap_or_default();
    state.untranslated(format!(
        "tunnel_id {same} has the same endpoints ({line}): make the sessions part of that tunnel"
    ));
    true
}

fn encap(arguments: &Arguments, state: &mut State) -> Option<Encap> {
    let word = state.whole(arguments.get("encap").unwrap_or("udp"), ENCAPS, "encapsulation")?;
    if !meaning(Encap::WORDS, word)? {
        return Some(Encap::Ip);
    }
    let sport = arguments.needed("udp_sport", state, udp_port);
    let dport = arguments.needed("udp_dport", state, udp_port);
    Some(Encap::Udp { sport: sport?, dport: dport? })
}

/// The words about UDP checksums; `None` when one cannot be read, which is noted.
fn outer(arguments: &Arguments, state: &mut State) -> Option<Checksums> {
    let default = Outer::default();
    let mut flag = |key, default| match arguments.get(key) {
        None => Some(default),
        Some(_) => arguments.needed(key, state, on_off),
    };
    let udp_csum = flag("udp_csum", default.udp_csum);
    let udp6_csum_tx = flag("udp6_csum_tx", default.udp6_csum_tx);
    let udp6_csum_rx = flag("udp6_csum_rx", default.udp6_csum_rx);
    Some(Checksums { udp_csum: udp_csum?, udp6_csum_tx: udp6_csum_tx?, udp6_csum_rx: udp6_csum_rx? })
}

/// The two words that iproute2 takes for a flag.
fn on_off(word: &str) -> Option<bool> {
    meaning(&[("on", true), ("off", false)], word)
}

/// What the commands say of UDP checksums.
struct Checksums {
    udp_csum: bool,
    udp6_csum_tx: bool,
    udp6_csum_rx: bool,
}

impl Checksums {
    /// What of it has an effect on a tunnel; the rest has none in the kernel either.
    fn of(&self, local: IpAddr, encap: Encap) -> Outer {
        let default = Outer::default();
        match local {
            _ if encap == Encap::Ip => default,
            IpAddr::V4(_) => Outer { udp_csum: self.udp_csum, ..default },
            IpAddr::V6(_) => {
                Outer { udp6_csum_tx: self.udp6_csum_tx, udp6_csum_rx: self.udp6_csum_rx, ..default }
            }
        }
    }
}

/// What `word` means.
fn meaning<T: Copy>(words: &[(&str, T)], word: &str) -> Option<T> {
    words.iter().find(|(known, _)| *known == word).map(|(_, meaning)| *meaning)
}

fn add_session(arguments: &Arguments, state: &mut State) {
    let tunnel = arguments.needed("tunnel_id", state, tunnel_id);
    let rx_id = arguments.needed("session_id", state, session_id);
    let tx_id = arguments.needed("peer_session_id", state, session_id);
    let tx_cookie = cookie(arguments, "cookie", state);
    let rx_cookie = cookie(arguments, "peer_cookie", state);
    let sublayer = sublayer(arguments, state);
    let (Some(tunnel), Some(rx_session_id), Some(tx_session_id)) = (tunnel, rx_id, tx_id) else { return };
    let (Some(tx_cookie), Some(rx_cookie), Some(sublayer)) = (tx_cookie, rx_cookie, sublayer) else { return };
    let Some(seq) = seq(arguments, sublayer, state) else { return };
    let Some(index) = state.tunnels.iter().position(|known| known.tunnel_id == tunnel) else {
        return state.untranslated(format!("no tunnel with tunnel_id {tunnel} was added before"));
    };
    if id_exists(index, rx_session_id, state) {
        return;
    }
    let name = arguments.get("name").map_or_else(|| state.free_session_name(), str::to_owned);
    if !state.make(&name) {
        return;
    }
    note_settings(arguments, state);
    note_others(arguments, "the session", &[SESSION_KEYS], state);
    state.tunnels[index].sessions.push(Session {
        name,
        rx_session_id,
        tx_session_id,
        rx_cookie,
        rx_cookie_also: None,
        tx_cookie,
        sublayer,
        sequencing: Sequencing { seq, observe: false },
    });
}

/// Whether the kernel has the session id in use, which is noted: in the same tunnel, or in any other without UDP ports.
fn id_exists(tunnel: usize, id: SessionId, state: &mut State) -> bool {
    let is_ip = state.tunnels[tunnel].encap == Encap::Ip;
    let mut rivals = state
        .tunnels
        .iter()
        .enumerate()
        .filter(|(index, known)| *index == tunnel || is_ip && known.encap == Encap::Ip);
    let same = rivals.find_map(|(_, known)| {
        let mut sessions = known.sessions.iter();
        sessions.find(|session| session.rx_session_id == id).map(|session| session.name.clone())
    });
    let Some(name) = same else { return false };
    let place = state.made.get(&name).cloned().unwrap_or_default();
    state.exists(&format!("session_id {id}, as {name},"), &place);
    true
}

fn cookie(arguments: &Arguments, key: &str, state: &mut State) -> Option<Cookie> {
    match arguments.get(key) {
        None => Some(Cookie::NONE),
        Some(_) => {
            arguments.needed(key, state, |text| text.parse().ok().filter(|cookie| *cookie != Cookie::NONE))
        }
    }
}

fn sublayer(arguments: &Arguments, state: &mut State) -> Option<Sublayer> {
    // iproute2 does not look at the case of this word, nor of that of `seq`.
    let word = arguments.get("l2spec_type").unwrap_or("default").to_ascii_lowercase();
    state.whole(&word, L2SPEC_TYPES, "sublayer type").and_then(|word| meaning(SUBLAYER_WORDS, word))
}

/// The directions in which packets are numbered; `None` when the word cannot be read, which is noted.
fn seq(arguments: &Arguments, sublayer: Sublayer, state: &mut State) -> Option<Seq> {
    let word = arguments.get("seq").unwrap_or("none").to_ascii_lowercase();
    let seq = state.whole(&word, SEQS, "word of seq").and_then(|word| meaning(Seq::WORDS, word))?;
    if sublayer == Sublayer::Default || seq == Seq::None {
        return Some(seq);
    }
    // Numbers stand in the sublayer. The kernel takes the setting all the same, and sends none.
    if seq.receives() {
        let word = seq.word();
        state.untranslated(format!(
            "seq {word} with l2spec_type none makes the kernel drop every frame it receives"
        ));
    } else {
        state.note(
            NoteKind::NotNeeded,
            "seq send has no effect with l2spec_type none: the kernel sends no numbers, too",
        );
    }
    Some(Seq::None)
}

fn delete_tunnel(arguments: &Arguments, state: &mut State) {
    let Some(id) = arguments.needed("tunnel_id", state, tunnel_id) else { return };
    let Some(index) = state.tunnels.iter().position(|tunnel| tunnel.tunnel_id == id) else {
        return state.note(NoteKind::NotNeeded, "removes a tunnel that was not added before");
    };
    note_others(arguments, "which tunnel to remove", &[&["tunnel_id"]], state);
    let sessions: Vec<_> = state.tunnels[index].sessions.iter().map(|session| session.name.clone()).collect();
    for session in sessions {
        state.remove(&session);
    }
    state.tunnels.remove(index);
    state.tunnel_places.remove(&id);
}

fn delete_session(arguments: &Arguments, state: &mut State) {
    let Some(tunnel) = arguments.needed("tunnel_id", state, tunnel_id) else { return };
    let Some(id) = arguments.needed("session_id", state, session_id) else { return };
    note_others(arguments, "which session to remove", &[&["tunnel_id", "session_id"]], state);
    let tunnel = state.tunnels.iter().find(|known| known.tunnel_id == tunnel);
    let session =
        tunnel.and_then(|tunnel| tunnel.sessions.iter().find(|session| session.rx_session_id == id));
    match session.map(|session| session.name.clone()) {
        Some(name) => {
            state.remove(&name);
        }
        None => state.note(NoteKind::NotNeeded, "removes a session that was not added before"),
    }
}
