//! The decision: to the engine, to the kernel's stack, or nowhere.
//!
//! Place on the path: called once per received frame, by the program in the kernel and by tests on the host. It reads a
//! [`PacketView`] and asks [`Tables`]; it changes nothing. Not here: the redirect itself and the counters (`main`).
//!
//! In this order:
//!
//! 1. A port that is not configured: to the kernel.
//! 2. Access: a frame of a covered VLAN, or any frame of a port that is access as a whole, goes to the engine.
//! 3. Underlay: a packet of a known endpoint goes to the engine, unless it is an L2TP control message. Fragments carry
//!    no ports (only the first does), so they are found by addresses and protocol alone. Where some tunnel learns its peer,
//!    a UDP packet that is no fragment is looked up a second time, by its destination alone.
//! 4. Everything else goes to the kernel: not surely ours.
//!
//! Where no socket serves the RX queue, an underlay packet goes to the kernel and an access frame is dropped: the
//! kernel must not take part in a LAN that the gateway bridges.

mod headers;

use wire::ethernet::EtherType;
use wire::ipv4::{PROTOCOL_ESP, PROTOCOL_L2TP, PROTOCOL_UDP};
use wire::udp::UdpHeader;

use crate::abi::{AccessVlanKey, Endpoint, EndpointKey, EndpointValue, PortConfig, Roles, Stat};
use crate::packet_view::PacketView;

use self::headers::{IpPacket, LinkLayer, read};

/// Set in the first byte of an L2TP control message over UDP (the T bit).
const CONTROL_BIT: u8 = 0x80;
/// The session ID of control messages over IP.
const CONTROL_SESSION: [u8; 4] = [0; 4];

/// What the gateway wrote for the program.
pub trait Tables {
    /// The configuration of a port; `None` when the gateway does not hold it.
    fn port(&self, ifindex: u32) -> Option<PortConfig>;
    /// Whether a VLAN of a port belongs to a bridge domain.
    fn is_covered(&self, vlan: &AccessVlanKey) -> bool;
    /// What a tunnel endpoint carries; `None` when there is no such endpoint.
    fn endpoint(&self, key: &EndpointKey) -> Option<EndpointValue>;
}

/// Where a frame came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// The kernel's index of the interface.
    pub ifindex: u32,
    /// The RX queue of that interface, from 0.
    pub rx_queue: u32,
}

/// Which side of the gateway a frame came from; says what becomes of it when no socket is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The routed network: without a socket the kernel gets the packet.
    Underlay,
    /// A LAN: without a socket the frame is dropped.
    Access,
}

/// What the program does with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The frame goes to an AF_XDP socket (`XDP_REDIRECT`).
    Redirect,
    /// The frame goes to the kernel's stack (`XDP_PASS`).
    Pass,
    /// The frame ends here (`XDP_DROP`).
    Drop,
}

impl Side {
    /// What becomes of a frame that has no socket to go to.
    #[inline(always)]
    #[must_use]
    pub const fn fallback(self) -> (Action, Stat) {
        match self {
            Self::Underlay => (Action::Pass, Stat::PassNoSocket),
            Self::Access => (Action::Drop, Stat::DropNoSocket),
        }
    }
}

/// Where a frame belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// To the engine.
    Engine {
        /// The slot of the queue's socket; `None` when the gateway does not serve the queue.
        slot: Option<u32>,
        /// Decides the fallback.
        side: Side,
        /// Counts the frame if the slot holds a socket.
        stat: Stat,
    },
    /// To the kernel's stack, counted.
    Pass(Stat),
}

impl Decision {
    /// What the program does, given the slots that hold a socket.
    #[must_use]
    pub fn outcome(self, has_socket: impl FnOnce(u32) -> bool) -> (Action, Stat) {
        match self {
            Self::Pass(stat) => (Action::Pass, stat),
            Self::Engine { slot: Some(slot), stat, .. } if has_socket(slot) => (Action::Redirect, stat),
            Self::Engine { side, .. } => side.fallback(),
        }
    }
}

/// Decides where a frame belongs.
#[inline(always)]
pub fn steer<View: PacketView>(frame: &View, tables: &impl Tables, ingress: Ingress) -> Decision {
    let Some(port) = tables.port(ingress.ifindex) else {
        return Decision::Pass(Stat::PassUnknownPort);
    };
    let slot = port.slot(ingress.rx_queue);
    match classify(frame, tables, ingress.ifindex, port.roles()) {
        Ok((side, stat)) => Decision::Engine { slot, side, stat },
        Err(stat) => Decision::Pass(stat),
    }
}

/// `Ok` for the engine's frames, `Err` for the kernel's.
#[inline(always)]
fn classify<View: PacketView>(
    frame: &View,
    tables: &impl Tables,
    ifindex: u32,
    roles: Roles,
) -> Result<(Side, Stat), Stat> {
    let is_underlay = roles.contains(Roles::UNDERLAY);
    if roles.contains(Roles::ACCESS_WHOLE) && !is_underlay {
        return Ok((Side::Access, Stat::EngineAccess));
    }
    let link = LinkLayer::parse(frame)?;
    if roles.contains(Roles::ACCESS)
        && link.vlan_id != 0
        && tables.is_covered(&AccessVlanKey::new(ifindex, link.vlan_id))
    {
        return Ok((Side::Access, Stat::EngineAccess));
    }
    if !is_underlay {
        return Err(Stat::PassUncoveredVlan);
    }
    let stat = classify_underlay(frame, tables, &link, roles)?;
    Ok((Side::Underlay, stat))
}

#[inline(always)]
fn classify_underlay<View: PacketView>(
    frame: &View,
    tables: &impl Tables,
    link: &LinkLayer,
    roles: Roles,
) -> Result<Stat, Stat> {
    match link.ethertype {
        EtherType::IPV4 => {
            classify_packet(frame, tables, IpPacket::parse_ipv4(frame, link.payload_offset)?, roles)
        }
        EtherType::IPV6 => {
            classify_packet(frame, tables, IpPacket::parse_ipv6(frame, link.payload_offset)?, roles)
        }
        _ => Err(Stat::PassNotIp),
    }
}

/// For each family by itself, so that its key is made where it is looked up.
#[inline(always)]
fn classify_packet<View: PacketView>(
    frame: &View,
    tables: &impl Tables,
    packet: IpPacket<impl Endpoint>,
    roles: Roles,
) -> Result<Stat, Stat> {
    if !matches!(packet.protocol, PROTOCOL_UDP | PROTOCOL_L2TP | PROTOCOL_ESP) {
        return Err(Stat::PassNotTunnel);
    }
    if packet.is_fragment {
        return tables.endpoint(&packet.key.into()).map(|_| Stat::EngineFragment).ok_or(Stat::PassNotTunnel);
    }
    let (key, payload_offset) = transport(frame, &packet)?;
    let endpoint = match tables.endpoint(&key.into()) {
        None if packet.protocol == PROTOCOL_UDP && roles.contains(Roles::LEARNS_PEERS) => {
            tables.endpoint(&key.without_peer().into())
        }
        found => found,
    };
    let endpoint = endpoint.ok_or(Stat::PassNotTunnel)?;
    if endpoint.is_l2tp() && is_control(frame, packet.protocol, payload_offset)? {
        return Err(Stat::PassControl);
    }
    Ok(Stat::EngineTunnel)
}

/// The endpoint's whole key, and where the tunnel's own header starts.
#[inline(always)]
fn transport<View: PacketView, Key: Endpoint>(
    frame: &View,
    packet: &IpPacket<Key>,
) -> Result<(Key, usize), Stat> {
    if packet.protocol != PROTOCOL_UDP {
        return Ok((packet.key, packet.payload_offset));
    }
    let udp: UdpHeader = read(frame, packet.payload_offset)?;
    let key = packet.key.with_ports(udp.destination_port.get(), udp.source_port.get());
    Ok((key, packet.payload_offset + size_of::<UdpHeader>()))
}

/// Whether an L2TPv3 packet is a control message: over UDP its T bit says so, over IP its session ID 0 does.
///
/// Source: RFC 3931 §3.2.1, §4.1.1.2, §4.1.2.1.
#[inline(always)]
fn is_control<View: PacketView>(frame: &View, protocol: u8, offset: usize) -> Result<bool, Stat> {
    let first_word: [u8; 4] = read(frame, offset)?;
    Ok(if protocol == PROTOCOL_UDP {
        first_word[0] & CONTROL_BIT != 0
    } else {
        first_word == CONTROL_SESSION
    })
}

#[cfg(test)]
mod tests;
