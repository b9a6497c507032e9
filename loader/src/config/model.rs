//! The validated configuration: what the supervisor builds the gateway from.
//!
//! Place: end of the way file → tree → draft → checks → here. Everything is a host-order value that was checked.
//! Directions: `rx_` is what this gateway looks up or checks, `tx_` what it writes; the file's words are
//! `session_id` (rx), `peer_session_id` (tx), `cookie` (tx), `peer_cookie` (rx). They are translated in `draft` on the
//! way in and in `render` on the way out, nowhere else.
//! Not in it: anything learned from the host (interface indices, queue counts, routes).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

pub use super::mss::MssClamp;
pub use super::outer::Outer;
pub use super::sequencing::{Seq, Sequencing};
pub use super::spread::Spread;
pub use super::tuning::{Driving, TxChecksum, Work, WorkMode};
pub use dataplane::tables::oversize::Fragmentation;
pub use wire::ethernet::VlanId;
pub use wire::l2tpv3::{Cookie, SessionId, Sublayer, TunnelId};

use crate::control::locate::default_socket;

/// One gateway. Ports, tunnels, sessions and bridges stand in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[gateway]`: the process.
    pub gateway: Gateway,
    /// `[umem]`: frame memory.
    pub umem: Umem,
    /// `[port.NAME]`: interfaces with AF_XDP sockets.
    pub ports: Vec<Port>,
    /// `[tunnel.NAME]`: pairs of underlay endpoints, with their sessions.
    pub tunnels: Vec<Tunnel>,
    /// `[bridge.NAME]`: bridge domains.
    pub bridges: Vec<Bridge>,
}

/// The gateway process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gateway {
    /// Name given in the file; [`Gateway::name`] falls back to the host's.
    pub configured_name: Option<String>,
    /// Number of workers; `None`: as many as the ports' common queue count and the CPUs allow.
    /// When only `cpus` is given, its length.
    pub workers: Option<u32>,
    /// CPU of worker 0, 1, ...; `None`: chosen at start. As long as `workers` when both are given.
    pub cpus: Option<Vec<u32>>,
    /// Control socket given in the file; [`Gateway::control_socket`] falls back to the default place.
    pub configured_control_socket: Option<PathBuf>,
    /// How workers work (`mode`, `batch`).
    pub work: Work,
}

/// Frame memory shared by all sockets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Umem {
    /// Units: chunks. `None`: as many as all rings of all queues hold, and some for each worker.
    pub chunks: Option<u32>,
    /// 2048 or 4096; `None`: the smaller that fits the ports' MTU.
    pub chunk_bytes: Option<u32>,
    /// Back the memory by huge pages that were reserved.
    pub huge_pages: bool,
}

/// An interface that the gateway holds AF_XDP sockets on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name in the configuration and in every `show`.
    pub name: String,
    /// Linux interface name.
    pub interface: String,
    /// Which network it faces.
    pub role: Role,
    /// The least attach mode that is accepted.
    pub mode: Mode,
    /// Descriptors per receive ring (and fill ring). A power of two.
    pub rx_ring: u32,
    /// Descriptors per transmit ring (and completion ring). A power of two.
    pub tx_ring: u32,
    /// How its sockets are driven (`need_wakeup`, `busy_poll_us`, `tx_checksum`, ...).
    pub driving: Driving,
}

/// Which network a port faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The routed network that carries the tunnels.
    Underlay,
    /// A local LAN.
    Access,
    /// Underlay, and VLANs of the same wire are LANs.
    Both,
}

impl Role {
    /// Whether tunnels may use the port.
    #[must_use]
    pub fn is_underlay(self) -> bool {
        matches!(self, Self::Underlay | Self::Both)
    }

    /// Whether bridges may use the port.
    #[must_use]
    pub fn is_access(self) -> bool {
        matches!(self, Self::Access | Self::Both)
    }
}

/// The least attach mode that is accepted on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The best that works, shown by `port show`.
    Auto,
    /// Native XDP with zero-copy sockets, or refuse to start.
    ZeroCopy,
    /// Native XDP, zero-copy or copy sockets, or refuse to start.
    Native,
    /// Generic XDP, even where native would work.
    Generic,
}

/// A pair of underlay endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    /// Name in the configuration and in every `show`.
    pub name: String,
    /// This gateway's address, IPv4 or IPv6.
    pub local: IpAddr,
    /// The peer's address, of the same family; of a peer that is to be learned and of which nothing is known, the unspecified
    /// one. [`Tunnel::configured_peer`] tells the two apart.
    pub remote: IpAddr,
    /// Whether the peer stays where it is.
    pub peer: PeerMode,
    /// This gateway's id of the tunnel. Never in data packets.
    pub tunnel_id: TunnelId,
    /// The peer's id of the tunnel. Never in data packets.
    pub peer_tunnel_id: TunnelId,
    /// What carries the L2TPv3 header.
    pub encap: Encap,
    /// What the outer headers hold besides.
    pub outer: Outer,
    /// What becomes of frames that do not fit the path.
    pub fragmentation: Fragmentation,
    /// What is done so that TCP sends no frames that do not fit.
    pub mss_clamp: MssClamp,
    /// Whether its received packets may be taken by any worker (`spread`).
    pub spread: Spread,
    /// The tunnel's pseudowires.
    pub sessions: Vec<Session>,
}

/// How the peer's end of a tunnel is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerMode {
    /// By the configuration.
    Fixed,
    /// By its packets; the configuration may have a first guess.
    Learn,
}

impl PeerMode {
    /// The file's words.
    pub const WORDS: &'static [(&'static str, Self)] = &[("fixed", Self::Fixed), ("learn", Self::Learn)];

    /// The file's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        word_of(Self::WORDS, self)
    }
}

/// The unspecified address of the family of `address`.
pub(crate) const fn unspecified_like(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

impl Tunnel {
    /// The peer's address, and its UDP port or 0, as far as the file has them.
    #[must_use]
    pub fn configured_peer(&self) -> Option<(IpAddr, u16)> {
        let port = match self.encap {
            Encap::Ip => 0,
            Encap::Udp { dport, .. } => dport,
        };
        (!self.remote.is_unspecified()).then_some((self.remote, port))
    }
}

/// What carries the L2TPv3 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encap {
    /// IP protocol 115.
    Ip,
    /// UDP between two fixed ports.
    Udp {
        /// Local port, not 0.
        sport: u16,
        /// Peer's port, not 0 unless it is to be learned.
        dport: u16,
    },
}

/// One pseudowire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Name in the configuration, in bridges and in every `show`.
    pub name: String,
    /// Session id in received packets (`session_id`).
    pub rx_session_id: SessionId,
    /// Session id in sent packets (`peer_session_id`).
    pub tx_session_id: SessionId,
    /// Cookie expected in received packets (`peer_cookie`); may be empty.
    pub rx_cookie: Cookie,
    /// A second cookie that is as good in received packets (`peer_cookie_also`); as long as `rx_cookie`, and never empty.
    pub rx_cookie_also: Option<Cookie>,
    /// Cookie written into sent packets (`cookie`); may be empty.
    pub tx_cookie: Cookie,
    /// L2-specific sublayer, both ways (`l2spec_type`).
    pub sublayer: Sublayer,
    /// Sequence numbers (`seq`, `seq_observe`).
    pub sequencing: Sequencing,
}

/// One bridge domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// Name in the configuration and in every `show`.
    pub name: String,
    /// Its ports, VLANs of ports, and pseudowires. At least one.
    pub members: Vec<Member>,
    /// Seconds after which an address that was not heard again is forgotten.
    pub ageing_s: u32,
    /// Most addresses the FDB holds.
    pub fdb_entries: u32,
}

/// One member of a bridge domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    /// The port or session meant.
    pub link: Link,
    /// `None`: all frames, tags untouched. `Some`: only this VLAN; its tag is popped on ingress and pushed on egress.
    pub vlan: Option<VlanId>,
}

/// What a bridge member stands on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// A port, by name.
    Port(String),
    /// A session, by name.
    Session(String),
}

impl Link {
    /// Name of the port or session.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Port(name) | Self::Session(name) => name,
        }
    }
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.link.name())?;
        self.vlan.map_or(Ok(()), |vlan| write!(f, ".{}", vlan.get()))
    }
}

impl Gateway {
    /// The configured name, or the host's.
    #[must_use]
    pub fn name(&self) -> String {
        self.configured_name.clone().unwrap_or_else(host_name)
    }

    /// The configured control socket, or the one that is looked for under the gateway's name.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.configured_control_socket.clone().unwrap_or_else(|| default_socket(&self.name()))
    }
}

/// The host's name as the kernel has it; `spanwire` when it cannot be read or could not be part of a path.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if super::names::gateway_name_fault(name).is_none() { name.to_owned() } else { String::from("spanwire") }
}

impl Config {
    /// The port called `name`.
    #[must_use]
    pub fn port(&self, name: &str) -> Option<&Port> {
        self.ports.iter().find(|port| port.name == name)
    }

    /// The tunnel called `name`.
    #[must_use]
    pub fn tunnel(&self, name: &str) -> Option<&Tunnel> {
        self.tunnels.iter().find(|tunnel| tunnel.name == name)
    }

    /// The session called `name`, with its tunnel. Session names are unique in the whole configuration.
    #[must_use]
    pub fn session(&self, name: &str) -> Option<(&Tunnel, &Session)> {
        self.sessions().find(|(_, session)| session.name == name)
    }

    /// Every session with its tunnel, in the order of the file.
    pub fn sessions(&self) -> impl Iterator<Item = (&Tunnel, &Session)> {
        self.tunnels.iter().flat_map(|tunnel| tunnel.sessions.iter().map(move |session| (tunnel, session)))
    }

    /// The bridge called `name`.
    #[must_use]
    pub fn bridge(&self, name: &str) -> Option<&Bridge> {
        self.bridges.iter().find(|bridge| bridge.name == name)
    }

    /// The bridge that the whole of `link` (`vlan` = `None`) or one VLAN of it belongs to.
    #[must_use]
    pub fn bridge_of(&self, link: &Link, vlan: Option<VlanId>) -> Option<&Bridge> {
        self.bridges.iter().find(|bridge| bridge.members.iter().any(|m| m.link == *link && m.vlan == vlan))
    }
}

impl Role {
    /// The file's words.
    pub const WORDS: &'static [(&'static str, Self)] =
        &[("underlay", Self::Underlay), ("access", Self::Access), ("both", Self::Both)];

    /// The file's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        word_of(Self::WORDS, self)
    }
}

impl Mode {
    /// The file's words.
    pub const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", Self::Auto),
        ("zero-copy", Self::ZeroCopy),
        ("native", Self::Native),
        ("generic", Self::Generic),
    ];

    /// The file's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        word_of(Self::WORDS, self)
    }
}

impl Encap {
    /// The file's words, each with whether UDP ports belong to it.
    pub const WORDS: &'static [(&'static str, bool)] = &[("udp", true), ("ip", false)];

    /// The file's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        word_of(Self::WORDS, matches!(self, Self::Udp { .. }))
    }
}

/// The file's words for what becomes of frames that do not fit the path.
pub const FRAGMENTATION_WORDS: &[(&str, Fragmentation)] =
    &[("outer", Fragmentation::Outer), ("inner", Fragmentation::Inner), ("drop", Fragmentation::Drop)];

/// The file's word for what becomes of frames that do not fit the path.
#[must_use]
pub fn fragmentation_word(fragmentation: Fragmentation) -> &'static str {
    word_of(FRAGMENTATION_WORDS, fragmentation)
}

/// The file's words for sublayers.
pub const SUBLAYER_WORDS: &[(&str, Sublayer)] = &[("default", Sublayer::Default), ("none", Sublayer::None)];

fn word_of<T: Copy + PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}

/// Default of `rx_ring` and `tx_ring`. Units: descriptors.
pub const DEFAULT_RING: u32 = 2048;
/// Range of `ageing_s`. Units: seconds.
pub const AGEING_S: RangeInclusive<u32> = 10..=1_000_000;
/// Default of `ageing_s`. Units: seconds.
pub const DEFAULT_AGEING_S: u32 = 300;
/// Default of `fdb_entries`. Units: addresses.
pub const DEFAULT_FDB_ENTRIES: u32 = 65_536;
