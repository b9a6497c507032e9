//! Configuration to TOML text for people: commented, stable, without keys that say what holds anyway.

use std::fmt::{Display, Write};

use super::keys::{self, Absent, Key};
use super::model::{
    Bridge, Config, Cookie, Driving, Encap, Fragmentation, Gateway, Mode, PeerMode, Port, SUBLAYER_WORDS,
    Seq, Session, Spread, Tunnel, TxChecksum, Umem, WorkMode, fragmentation_word,
};
use super::mss;
use super::outer;

/// Text under construction.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// An empty line, comments, and the head of a table.
    fn table(&mut self, comment: &str, path: &str) {
        if !self.0.is_empty() {
            self.line("");
        }
        if !comment.is_empty() {
            self.line(&format!("# {comment}"));
        }
        self.line(&format!("[{path}]"));
    }

    fn value(&mut self, key: &Key, value: impl Display) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "{} = {value}", key.name());
    }

    fn text(&mut self, key: &Key, value: &str) {
        self.value(key, quoted(value));
    }

    fn integer(&mut self, key: &Key, value: u32) {
        if key.default != Absent::Integer(value) {
            self.value(key, value);
        }
    }
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

impl Config {
    /// The configuration as a file. Parsing it gives the same configuration.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = Text::default();
        gateway(&self.gateway, &mut text);
        umem(self.umem, &mut text);
        for (index, one) in self.ports.iter().enumerate() {
            port(one, index == 0, &mut text);
        }
        for one in &self.tunnels {
            tunnel(one, &mut text);
        }
        for one in &self.bridges {
            bridge(one, &mut text);
        }
        text.0
    }
}

fn gateway(gateway: &Gateway, text: &mut Text) {
    if *gateway == Gateway::default() {
        return;
    }
    text.table("", "gateway");
    if let Some(name) = &gateway.configured_name {
        text.text(&keys::GATEWAY_NAME, name);
    }
    if let Some(workers) = gateway.workers {
        text.value(&keys::GATEWAY_WORKERS, workers);
    }
    if let Some(cpus) = &gateway.cpus {
        text.value(&keys::GATEWAY_CPUS, format!("{cpus:?}"));
    }
    if let Some(path) = &gateway.configured_control_socket {
        text.text(&keys::GATEWAY_CONTROL_SOCKET, &path.to_string_lossy());
    }
    if gateway.work.mode != WorkMode::Adaptive {
        text.text(&keys::GATEWAY_MODE, gateway.work.mode.word());
    }
    text.integer(&keys::GATEWAY_BATCH, gateway.work.batch);
}

fn umem(umem: Umem, text: &mut Text) {
    if umem == Umem::default() {
        return;
    }
    text.table("Frame memory, shared by all sockets.", "umem");
    if let Some(chunks) = umem.chunks {
        text.integer(&keys::UMEM_CHUNKS, chunks);
    }
    if let Some(bytes) = umem.chunk_bytes {
        text.value(&keys::UMEM_CHUNK_BYTES, bytes);
    }
    if umem.huge_pages {
        text.value(&keys::UMEM_HUGE_PAGES, true);
    }
}

fn port(port: &Port, first: bool, text: &mut Text) {
    let comment =
        if first { "Interfaces: the underlay faces the routed network, access faces a LAN." } else { "" };
    text.table(comment, &format!("port.{}", port.name));
    if port.interface != port.name {
        text.text(&keys::PORT_INTERFACE, &port.interface);
    }
    text.text(&keys::PORT_ROLE, port.role.word());
    if port.mode != Mode::Auto {
        text.text(&keys::PORT_MODE, port.mode.word());
    }
    text.integer(&keys::PORT_RX_RING, port.rx_ring);
    text.integer(&keys::PORT_TX_RING, port.tx_ring);
    driving(port.driving, text);
}

fn driving(driving: Driving, text: &mut Text) {
    if !driving.need_wakeup {
        text.value(&keys::PORT_NEED_WAKEUP, false);
    }
    text.integer(&keys::PORT_BUSY_POLL_US, driving.busy_poll_us);
    text.integer(&keys::PORT_BUSY_POLL_BUDGET, driving.busy_poll_budget);
    if let Some(polls) = driving.napi_defer_hard_irqs {
        text.value(&keys::PORT_NAPI_DEFER_HARD_IRQS, polls);
    }
    if let Some(timeout) = driving.gro_flush_timeout_ns {
        text.value(&keys::PORT_GRO_FLUSH_TIMEOUT_NS, timeout);
    }
    if driving.tx_checksum != TxChecksum::Auto {
        text.text(&keys::PORT_TX_CHECKSUM, driving.tx_checksum.word());
    }
}

fn tunnel(tunnel: &Tunnel, text: &mut Text) {
    let guess = tunnel.configured_peer();
    let comment = match (tunnel.encap, guess) {
        (Encap::Udp { .. }, None) => String::from("Tunnel over UDP to a peer that is learned."),
        (Encap::Udp { .. }, _) => format!("Tunnel to {} over UDP.", tunnel.remote),
        (Encap::Ip, _) => format!("Tunnel to {} over IP protocol 115.", tunnel.remote),
    };
    let path = format!("tunnel.{}", tunnel.name);
    text.table(&comment, &path);
    text.text(&keys::TUNNEL_LOCAL, &tunnel.local.to_string());
    if guess.is_some() {
        text.text(&keys::TUNNEL_REMOTE, &tunnel.remote.to_string());
    }
    if tunnel.peer == PeerMode::Learn {
        text.text(&keys::TUNNEL_PEER, tunnel.peer.word());
    }
    text.value(&keys::TUNNEL_ID, tunnel.tunnel_id.get());
    text.value(&keys::TUNNEL_PEER_ID, tunnel.peer_tunnel_id.get());
    text.text(&keys::TUNNEL_ENCAP, tunnel.encap.word());
    if let Encap::Udp { sport, dport } = tunnel.encap {
        text.value(&keys::TUNNEL_UDP_SPORT, sport);
        if guess.is_some() {
            text.value(&keys::TUNNEL_UDP_DPORT, dport);
        }
    }
    for (key, value) in outer::settings(&tunnel.outer) {
        text.value(key, value);
    }
    if tunnel.fragmentation != Fragmentation::default() {
        text.text(&keys::TUNNEL_FRAGMENTATION, fragmentation_word(tunnel.fragmentation));
    }
    if let Some(value) = mss::setting(tunnel.mss_clamp) {
        text.value(&keys::TUNNEL_MSS_CLAMP, value);
    }
    if tunnel.spread != Spread::default() {
        text.text(&keys::TUNNEL_SPREAD, tunnel.spread.word());
    }
    for one in &tunnel.sessions {
        session(one, &path, text);
    }
}

fn session(session: &Session, tunnel: &str, text: &mut Text) {
    text.table("", &format!("{tunnel}.session.{}", session.name));
    text.value(&keys::SESSION_ID, session.rx_session_id.get());
    text.value(&keys::SESSION_PEER_ID, session.tx_session_id.get());
    for (key, cookie) in [
        (&keys::SESSION_COOKIE, session.tx_cookie),
        (&keys::SESSION_PEER_COOKIE, session.rx_cookie),
        (&keys::SESSION_PEER_COOKIE_ALSO, session.rx_cookie_also.unwrap_or(Cookie::NONE)),
    ] {
        if cookie != Cookie::NONE {
            text.text(key, &cookie.to_string());
        }
    }
    let word = SUBLAYER_WORDS.iter().find(|(_, sublayer)| *sublayer == session.sublayer);
    if let Some((word, _)) = word.filter(|(word, _)| keys::SESSION_L2SPEC_TYPE.default != Absent::Word(word))
    {
        text.text(&keys::SESSION_L2SPEC_TYPE, word);
    }
    if session.sequencing.seq != Seq::None {
        text.text(&keys::SESSION_SEQ, session.sequencing.seq.word());
    }
    if session.sequencing.observe {
        text.value(&keys::SESSION_SEQ_OBSERVE, true);
    }
}

fn bridge(bridge: &Bridge, text: &mut Text) {
    text.table("One LAN.", &format!("bridge.{}", bridge.name));
    let members: Vec<_> = bridge.members.iter().map(|member| quoted(&member.to_string())).collect();
    text.value(&keys::BRIDGE_MEMBERS, format!("[{}]", members.join(", ")));
    text.integer(&keys::BRIDGE_AGEING_S, bridge.ageing_s);
    text.integer(&keys::BRIDGE_FDB_ENTRIES, bridge.fdb_entries);
}
