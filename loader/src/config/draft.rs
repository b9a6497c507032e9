//! The file's values before the checks between them: whatever could be read, so that every check finds what it needs
//! although other values are at fault.

use std::net::IpAddr;
use std::path::PathBuf;

use toml::de::DeTable;

use super::ids;
use super::keys;
use super::model::{
    Bridge, Config, Cookie, Encap, FRAGMENTATION_WORDS, Fragmentation, Gateway, Link, Member, Mode, PeerMode,
    Port, Role, SUBLAYER_WORDS, Session, SessionId, Spread, Sublayer, Tunnel, TunnelId, Umem, VlanId,
    unspecified_like,
};
use super::mss;
use super::outer::{self, Outer};
use super::report::Report;
use super::section::Section;
use super::sequencing::{self, Sequencing};
use super::tuning::{self, Driving};

/// A whole file.
pub(crate) struct Draft {
    pub(crate) gateway: Gateway,
    pub(crate) umem: Option<Umem>,
    pub(crate) ports: Vec<DraftPort>,
    pub(crate) tunnels: Vec<DraftTunnel>,
    pub(crate) bridges: Vec<DraftBridge>,
}

/// `[port.NAME]`.
pub(crate) struct DraftPort {
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) interface: Option<String>,
    pub(crate) role: Option<Role>,
    mode: Option<Mode>,
    pub(crate) rx_ring: Option<u32>,
    pub(crate) tx_ring: Option<u32>,
    driving: Option<Driving>,
}

/// `[tunnel.NAME]`.
pub(crate) struct DraftTunnel {
    pub(crate) path: String,
    name: String,
    pub(crate) local: Option<IpAddr>,
    pub(crate) remote: Option<IpAddr>,
    pub(crate) tunnel_id: Option<TunnelId>,
    peer_tunnel_id: Option<TunnelId>,
    /// Whether `encap` is `udp`.
    pub(crate) is_udp: Option<bool>,
    pub(crate) udp_sport: Option<u16>,
    pub(crate) udp_dport: Option<u16>,
    pub(crate) peer: Option<PeerMode>,
    pub(crate) outer: Option<Outer>,
    pub(crate) fragmentation: Option<Fragmentation>,
    mss_clamp: Option<mss::MssClamp>,
    pub(crate) spread: Option<Spread>,
    pub(crate) sessions: Vec<DraftSession>,
}

/// `[tunnel.NAME.session.NAME]`.
pub(crate) struct DraftSession {
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) rx_session_id: Option<SessionId>,
    pub(crate) tx_session_id: Option<SessionId>,
    pub(crate) rx_cookie: Option<Cookie>,
    /// Empty: there is none.
    pub(crate) rx_cookie_also: Option<Cookie>,
    tx_cookie: Option<Cookie>,
    pub(crate) sublayer: Option<Sublayer>,
    pub(crate) sequencing: Option<Sequencing>,
}

/// `[bridge.NAME]`.
pub(crate) struct DraftBridge {
    pub(crate) path: String,
    name: String,
    /// `None`: the key is missing or no list, which is reported.
    pub(crate) members: Option<Vec<DraftMember>>,
    ageing_s: Option<u32>,
    fdb_entries: Option<u32>,
}

/// One text of `members`.
pub(crate) struct DraftMember {
    pub(crate) path: String,
    pub(crate) name: String,
    pub(crate) vlan: Option<VlanId>,
}

/// Reads every value of the file.
pub(crate) fn read(tree: &DeTable<'_>, report: &mut Report<'_>) -> Draft {
    let root = Section::root(tree);
    let empty = DeTable::new();
    Draft {
        gateway: root.sub("gateway").map(|section| gateway(&section, report)).unwrap_or_default(),
        umem: umem(&root.sub("umem").unwrap_or_else(|| Section::root(&empty)), report),
        ports: root.named("port").into_iter().map(|(name, section)| port(name, &section, report)).collect(),
        tunnels: root
            .named("tunnel")
            .into_iter()
            .map(|(name, section)| tunnel(name, &section, report))
            .collect(),
        bridges: root
            .named("bridge")
            .into_iter()
            .map(|(name, section)| bridge(name, &section, report))
            .collect(),
    }
}

fn gateway(section: &Section<'_, '_>, report: &mut Report<'_>) -> Gateway {
    let workers = section.integer(&keys::GATEWAY_WORKERS, report);
    let cpus = section.integers(&keys::GATEWAY_CPUS, report);
    Gateway {
        configured_name: section.text(&keys::GATEWAY_NAME, report).map(str::to_owned),
        workers: workers.or_else(|| cpus.as_ref().and_then(|cpus| u32::try_from(cpus.len()).ok())),
        cpus,
        configured_control_socket: section.text(&keys::GATEWAY_CONTROL_SOCKET, report).map(PathBuf::from),
        work: tuning::read_work(section, report),
    }
}

fn umem(section: &Section<'_, '_>, report: &mut Report<'_>) -> Option<Umem> {
    let chunks = section.integer(&keys::UMEM_CHUNKS, report);
    let chunk_bytes = section.integer(&keys::UMEM_CHUNK_BYTES, report);
    let huge_pages = section.boolean(&keys::UMEM_HUGE_PAGES, report);
    Some(Umem { chunks, chunk_bytes, huge_pages: huge_pages? })
}

fn port(name: String, section: &Section<'_, '_>, report: &mut Report<'_>) -> DraftPort {
    let interface_path = section.path_of(&keys::PORT_INTERFACE);
    let given = section.text(&keys::PORT_INTERFACE, report).map(str::to_owned);
    DraftPort {
        interface: given.or_else(|| (!report.has_place(&interface_path)).then(|| name.clone())),
        role: section.choice(&keys::PORT_ROLE, Role::WORDS, report),
        mode: section.choice(&keys::PORT_MODE, Mode::WORDS, report),
        rx_ring: section.integer(&keys::PORT_RX_RING, report),
        tx_ring: section.integer(&keys::PORT_TX_RING, report),
        driving: tuning::read_driving(section, report),
        path: section.path.clone(),
        name,
    }
}

fn tunnel(name: String, section: &Section<'_, '_>, report: &mut Report<'_>) -> DraftTunnel {
    let mut udp_port = |key| section.integer(key, report).and_then(|port| u16::try_from(port).ok());
    let (udp_sport, udp_dport) = (udp_port(&keys::TUNNEL_UDP_SPORT), udp_port(&keys::TUNNEL_UDP_DPORT));
    DraftTunnel {
        local: section.address(&keys::TUNNEL_LOCAL, report),
        remote: section.address(&keys::TUNNEL_REMOTE, report),
        tunnel_id: section.integer(&keys::TUNNEL_ID, report).and_then(TunnelId::new),
        peer_tunnel_id: section.integer(&keys::TUNNEL_PEER_ID, report).and_then(TunnelId::new),
        is_udp: section.choice(&keys::TUNNEL_ENCAP, Encap::WORDS, report),
        udp_sport,
        udp_dport,
        peer: section.choice(&keys::TUNNEL_PEER, PeerMode::WORDS, report),
        outer: outer::read(section, report),
        fragmentation: section.choice(&keys::TUNNEL_FRAGMENTATION, FRAGMENTATION_WORDS, report),
        mss_clamp: mss::read(section, report),
        spread: section.choice(&keys::TUNNEL_SPREAD, Spread::WORDS, report),
        sessions: section
            .named("session")
            .into_iter()
            .map(|(name, section)| session(name, &section, report))
            .collect(),
        path: section.path.clone(),
        name,
    }
}

/// The one place where the file's directions become the code's.
fn session(name: String, section: &Section<'_, '_>, report: &mut Report<'_>) -> DraftSession {
    DraftSession {
        rx_session_id: section.integer(&keys::SESSION_ID, report).and_then(SessionId::new),
        tx_session_id: section.integer(&keys::SESSION_PEER_ID, report).and_then(SessionId::new),
        tx_cookie: section.cookie(&keys::SESSION_COOKIE, report),
        rx_cookie: section.cookie(&keys::SESSION_PEER_COOKIE, report),
        rx_cookie_also: section.cookie(&keys::SESSION_PEER_COOKIE_ALSO, report),
        sublayer: section.choice(&keys::SESSION_L2SPEC_TYPE, SUBLAYER_WORDS, report),
        sequencing: sequencing::read(section, report),
        path: section.path.clone(),
        name,
    }
}

fn bridge(name: String, section: &Section<'_, '_>, report: &mut Report<'_>) -> DraftBridge {
    let members = section.texts(&keys::BRIDGE_MEMBERS, report);
    DraftBridge {
        members: members
            .map(|texts| texts.into_iter().filter_map(|(path, text)| member(path, text, report)).collect()),
        ageing_s: section.integer(&keys::BRIDGE_AGEING_S, report),
        fdb_entries: section.integer(&keys::BRIDGE_FDB_ENTRIES, report),
        path: section.path.clone(),
        name,
    }
}

/// `NAME` or `NAME.VLAN`.
fn member(path: String, text: &str, report: &mut Report<'_>) -> Option<DraftMember> {
    let Some((name, vlan)) = text.rsplit_once('.') else {
        return Some(DraftMember { path, name: text.to_owned(), vlan: None });
    };
    let vlan_id = ids::member_vlan(vlan);
    if vlan_id.is_none() {
        report.fault(
            &path,
            format!("{vlan:?} in {text:?} is no VLAN id"),
            "give NAME.VLAN with a VLAN id from 1 to 4094",
        );
        return None;
    }
    Some(DraftMember { path, name: name.to_owned(), vlan: vlan_id })
}

impl Draft {
    /// Every bridge member with its bridge, in the order of the file.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&DraftBridge, &DraftMember)> {
        self.bridges
            .iter()
            .flat_map(|bridge| bridge.members.iter().flatten().map(move |member| (bridge, member)))
    }

    /// The configuration, when every value is there.
    pub(crate) fn finish(self) -> Option<Config> {
        let is_port = |name: &str| self.ports.iter().any(|port| port.name == name);
        let bridges = self.bridges.iter().map(|bridge| bridge.finish(is_port)).collect::<Option<_>>()?;
        Some(Config {
            gateway: self.gateway,
            umem: self.umem?,
            ports: self.ports.into_iter().map(DraftPort::finish).collect::<Option<_>>()?,
            tunnels: self.tunnels.into_iter().map(DraftTunnel::finish).collect::<Option<_>>()?,
            bridges,
        })
    }
}

impl DraftPort {
    fn finish(self) -> Option<Port> {
        Some(Port {
            name: self.name,
            interface: self.interface?,
            role: self.role?,
            mode: self.mode?,
            rx_ring: self.rx_ring?,
            tx_ring: self.tx_ring?,
            driving: self.driving?,
        })
    }
}

impl DraftTunnel {
    fn finish(self) -> Option<Tunnel> {
        let (local, peer) = (self.local?, self.peer?);
        // What a tunnel that learns its peer does not know.
        let unknown = (peer == PeerMode::Learn).then(|| (unspecified_like(local), 0));
        let encap = match self.is_udp? {
            true => Encap::Udp {
                sport: self.udp_sport?,
                dport: self.udp_dport.or(unknown.map(|(_, port)| port))?,
            },
            false => Encap::Ip,
        };
        Some(Tunnel {
            name: self.name,
            local,
            remote: self.remote.or(unknown.map(|(address, _)| address))?,
            peer,
            tunnel_id: self.tunnel_id?,
            peer_tunnel_id: self.peer_tunnel_id?,
            encap,
            outer: self.outer?,
            fragmentation: self.fragmentation?,
            mss_clamp: self.mss_clamp?,
            spread: self.spread?,
            sessions: self.sessions.into_iter().map(DraftSession::finish).collect::<Option<_>>()?,
        })
    }
}

impl DraftSession {
    fn finish(self) -> Option<Session> {
        Some(Session {
            name: self.name,
            rx_session_id: self.rx_session_id?,
            tx_session_id: self.tx_session_id?,
            rx_cookie: self.rx_cookie?,
            rx_cookie_also: Some(self.rx_cookie_also?).filter(|cookie| *cookie != Cookie::NONE),
            tx_cookie: self.tx_cookie?,
            sublayer: self.sublayer?,
            sequencing: self.sequencing?,
        })
    }
}

impl DraftBridge {
    fn finish(&self, is_port: impl Fn(&str) -> bool) -> Option<Bridge> {
        let link = |name: &String| {
            if is_port(name) { Link::Port(name.clone()) } else { Link::Session(name.clone()) }
        };
        let members = self.members.as_ref()?.iter();
        Some(Bridge {
            name: self.name.clone(),
            members: members.map(|m| Member { link: link(&m.name), vlan: m.vlan }).collect(),
            ageing_s: self.ageing_s?,
            fdb_entries: self.fdb_entries?,
        })
    }
}
