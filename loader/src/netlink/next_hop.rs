//! Whether a tunnel can send, where to, and if not: why not.
//!
//! [`evaluate`] is a pure function of facts; [`follow`] gathers them and asks the kernel to resolve what is not resolved.

use std::net::IpAddr;

use serde::Serialize;
use wire::ethernet::{MacAddr, VlanTag};

use super::link::Link;
use super::neighbour::{Neighbour, NeighbourState};
use super::network::Network;
use super::path_mtu::PathMtu;
use super::route::{RouteAnswer, RouteKind, RouteQuery, Unreachable};
use super::view::LocalAddress;
use super::way_out::WayOut;

/// A tunnel's two ends, as far as the way there depends on them.
pub type TunnelEndpoint = RouteQuery;

/// What is known about the way to a tunnel's remote end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Where the tunnel's local address is on this host.
    pub local: LocalAddress,
    /// The kernel's route to the remote address.
    pub route: Result<RouteAnswer, Unreachable>,
    /// The link that the route leaves by, when it is known.
    pub link: Option<Link>,
    /// How that link leads to an underlay port of the gateway.
    pub way_out: WayOut,
    /// The next hop's neighbour entry.
    pub neighbour: Option<Neighbour>,
}

/// Whether a tunnel can send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TunnelReadiness {
    /// It can: by this interface, between these Ethernet addresses.
    Up {
        /// Interface index of the underlay port.
        oif: u32,
        /// The tag that packets carry on that port; `None`: none.
        vlan: Option<VlanTag>,
        /// The Ethernet address that they are sent from: the port's, or that of the VLAN interface.
        src_mac: MacAddr,
        /// The next hop's Ethernet address.
        dst_mac: MacAddr,
        /// Largest outer packet on the way. Units: bytes, without the Ethernet header.
        mtu: u32,
    },
    /// It cannot.
    Down(DownReason),
}

/// Why a tunnel cannot send.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum DownReason {
    /// The local address is on no interface.
    #[error("local address {local} is not on this host")]
    LocalAddressMissing {
        /// The tunnel's local address.
        local: IpAddr,
    },
    /// The local address has not passed duplicate address detection.
    #[error("local address {local} on {interface} has not passed duplicate address detection")]
    LocalAddressUnusable {
        /// The tunnel's local address.
        local: IpAddr,
        /// Where it is.
        interface: String,
    },
    /// The tunnel learns its peer, and has not heard it yet.
    #[error("its peer has not been heard yet")]
    PeerUnknown,
    /// The remote address is one of this host's own.
    #[error("remote address {remote} is on this host itself")]
    RemoteIsLocal {
        /// The tunnel's remote address.
        remote: IpAddr,
    },
    /// The remote address is a broadcast or multicast address.
    #[error("remote address {remote} is not that of one host")]
    RemoteNotUnicast {
        /// The tunnel's remote address.
        remote: IpAddr,
    },
    /// The interface is switched off.
    #[error("interface {interface} is down")]
    InterfaceDown {
        /// Its name.
        interface: String,
    },
    /// The interface has no carrier.
    #[error("interface {interface} has no carrier")]
    NoCarrier {
        /// Its name.
        interface: String,
    },
    /// No route covers the remote address.
    #[error("no route to {remote}")]
    NoRoute {
        /// The tunnel's remote address.
        remote: IpAddr,
    },
    /// A route says that the remote address is not to be reached.
    #[error("route to {remote} refuses it: {refusal}")]
    RouteRefuses {
        /// The tunnel's remote address.
        remote: IpAddr,
        /// In which way.
        refusal: Unreachable,
    },
    /// The route leaves by an interface that the view does not hold.
    #[error("route to {remote} leaves by interface index {oif}, which is not known")]
    InterfaceUnknown {
        /// The tunnel's remote address.
        remote: IpAddr,
        /// The interface's index.
        oif: u32,
    },
    /// The route leaves by an interface that is not an underlay port.
    #[error("route to {remote} leaves by {interface}, which is not an underlay port")]
    NotUnderlay {
        /// The tunnel's remote address.
        remote: IpAddr,
        /// The interface's name.
        interface: String,
    },
    /// The route leaves by an interface that an underlay port is a part of: a bridge, a bond, two VLAN tags.
    #[error(
        "route to {remote} leaves by {interface}, which stands on top of underlay port {port}: \
         only {port} itself or one VLAN of it can carry a tunnel"
    )]
    PortHidden {
        /// The tunnel's remote address.
        remote: IpAddr,
        /// The interface's name.
        interface: String,
        /// The port's interface.
        port: String,
    },
    /// The route leaves by a VLAN that is also a LAN.
    #[error("route to {remote} leaves by VLAN {vlan} of {interface}, which is a member of bridge {bridge}")]
    VlanBridged {
        /// The tunnel's remote address.
        remote: IpAddr,
        /// The port's interface.
        interface: String,
        /// VLAN identifier.
        vlan: u16,
        /// The bridge's name.
        bridge: String,
    },
    /// The interface is not Ethernet, or does not resolve addresses.
    #[error("interface {interface} has no Ethernet neighbours to send to")]
    NoLinkLayer {
        /// Its name.
        interface: String,
    },
    /// The next hop's Ethernet address is not known.
    #[error("next hop {next_hop} is not resolved (neighbour state {state})")]
    NextHopUnresolved {
        /// The next router, or the remote address itself.
        next_hop: IpAddr,
        /// How far its resolution is.
        state: NeighbourState,
    },
    /// The next hop's Ethernet address is not that of one station.
    #[error("next hop {next_hop} has Ethernet address {mac}, which is not that of one station")]
    NextHopNotUnicast {
        /// The next router, or the remote address itself.
        next_hop: IpAddr,
        /// Its address.
        #[serde(serialize_with = "as_text")]
        mac: MacAddr,
    },
}

fn as_text<S: serde::Serializer>(value: &MacAddr, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Decides from facts whether a tunnel can send.
pub fn evaluate(endpoint: &TunnelEndpoint, facts: &Facts) -> TunnelReadiness {
    match way_out(endpoint, facts) {
        Ok(up) => up,
        Err(reason) => TunnelReadiness::Down(reason),
    }
}

fn way_out(endpoint: &TunnelEndpoint, facts: &Facts) -> Result<TunnelReadiness, DownReason> {
    check_local(endpoint, &facts.local)?;
    let route = usable_route(endpoint, facts)?;
    let (link, src_mac) = usable_link(endpoint, facts, route)?;
    let dst_mac = usable_neighbour(endpoint.next_hop(route), facts.neighbour)?;
    let (oif, vlan, port_mtu) = match &facts.way_out {
        WayOut::Vlan { port, tag } => (port.ifindex, Some(*tag), port.mtu),
        _ => (link.ifindex, None, link.mtu),
    };
    let mtu = PathMtu::of(route, link.mtu.min(port_mtu), endpoint.remote.is_ipv6()).bytes;
    Ok(TunnelReadiness::Up { oif, vlan, src_mac, dst_mac, mtu })
}

fn check_local(endpoint: &TunnelEndpoint, local: &LocalAddress) -> Result<(), DownReason> {
    match local {
        LocalAddress::Missing => Err(DownReason::LocalAddressMissing { local: endpoint.local }),
        LocalAddress::Unusable { interface } => {
            Err(DownReason::LocalAddressUnusable { local: endpoint.local, interface: interface.clone() })
        }
        LocalAddress::Here { .. } => Ok(()),
    }
}

fn usable_route<'f>(endpoint: &TunnelEndpoint, facts: &'f Facts) -> Result<&'f RouteAnswer, DownReason> {
    let remote = endpoint.remote;
    let route = facts.route.as_ref().map_err(|refusal| match (&facts.local, refusal) {
        // The kernel drops an interface's routes when it is switched off: name the cause, not the effect.
        (LocalAddress::Here { interface, is_up: false }, Unreachable::NoRoute) => {
            DownReason::InterfaceDown { interface: interface.clone() }
        }
        (_, Unreachable::NoRoute) => DownReason::NoRoute { remote },
        (_, refusal) => DownReason::RouteRefuses { remote, refusal: refusal.clone() },
    })?;
    match route.kind {
        RouteKind::Unicast => Ok(route),
        RouteKind::Local => Err(DownReason::RemoteIsLocal { remote }),
        RouteKind::Other => Err(DownReason::RemoteNotUnicast { remote }),
    }
}

fn usable_link<'f>(
    endpoint: &TunnelEndpoint,
    facts: &'f Facts,
    route: &RouteAnswer,
) -> Result<(&'f Link, MacAddr), DownReason> {
    let remote = endpoint.remote;
    let Some(link) = &facts.link else {
        return Err(DownReason::InterfaceUnknown { remote, oif: route.oif });
    };
    let interface = link.name.clone();
    match &facts.way_out {
        WayOut::Port => {}
        // Named first: the VLAN interface has no carrier because the port has none.
        WayOut::Vlan { port, .. } => carries(port)?,
        WayOut::Hidden { port } => {
            return Err(DownReason::PortHidden { remote, interface, port: port.clone() });
        }
        WayOut::Elsewhere => return Err(DownReason::NotUnderlay { remote, interface }),
    }
    carries(link)?;
    match link.mac {
        Some(mac) if link.resolves_neighbours => Ok((link, mac)),
        _ => Err(DownReason::NoLinkLayer { interface }),
    }
}

fn carries(link: &Link) -> Result<(), DownReason> {
    match (link.is_up, link.has_carrier) {
        (false, _) => Err(DownReason::InterfaceDown { interface: link.name.clone() }),
        (true, false) => Err(DownReason::NoCarrier { interface: link.name.clone() }),
        (true, true) => Ok(()),
    }
}

fn usable_neighbour(next_hop: IpAddr, entry: Option<Neighbour>) -> Result<MacAddr, DownReason> {
    let state = entry.map_or(NeighbourState::None, |entry| entry.state);
    match entry.and_then(|entry| entry.mac) {
        Some(mac) if state.is_usable() && (mac.is_multicast() || mac.is_zero()) => {
            Err(DownReason::NextHopNotUnicast { next_hop, mac })
        }
        Some(mac) if state.is_usable() => Ok(mac),
        _ => Err(DownReason::NextHopUnresolved { next_hop, state }),
    }
}

/// The neighbour that the kernel should be asked to resolve or check, when there is one.
pub fn wanted_probe(endpoint: &TunnelEndpoint, facts: &Facts) -> Option<(u32, IpAddr)> {
    let route = usable_route(endpoint, facts).ok()?;
    usable_link(endpoint, facts, route).ok()?;
    let state = facts.neighbour.map_or(NeighbourState::None, |entry| entry.state);
    state.wants_probe().then(|| (route.oif, endpoint.next_hop(route)))
}

/// Gathers the facts about a tunnel's way; `is_underlay_port` says which interface indexes are underlay ports.
pub async fn gather(
    network: &Network,
    endpoint: &TunnelEndpoint,
    is_underlay_port: impl Fn(u32) -> bool,
) -> Facts {
    let route = network.route_lookup(*endpoint).await;
    network.with_view(|view| {
        let link = route.as_ref().ok().and_then(|route| view.link(route.oif)).cloned();
        let neighbour =
            route.as_ref().ok().and_then(|route| view.neighbour(route.oif, endpoint.next_hop(route)));
        let way_out = link.as_ref().map(|link| WayOut::of(view, link, is_underlay_port));
        let way_out = way_out.unwrap_or(WayOut::Elsewhere);
        Facts { local: view.local_address(endpoint.local), route, link, way_out, neighbour }
    })
}

/// Gathers, asks the kernel to resolve or check the next hop where that is wanted, and decides.
///
/// To be called after every change and every few seconds besides: each call checks an entry that went stale.
pub async fn follow(
    network: &Network,
    endpoint: &TunnelEndpoint,
    is_underlay_port: impl Fn(u32) -> bool,
) -> TunnelReadiness {
    let facts = gather(network, endpoint, is_underlay_port).await;
    if let Some((oif, address)) = wanted_probe(endpoint, &facts)
        && let Err(error) = network.resolve(oif, address).await
    {
        // What remains unresolved is reported as such by the readiness itself.
        tracing::debug!(%error, "ask the kernel to resolve a next hop");
    }
    evaluate(endpoint, &facts)
}

#[cfg(test)]
mod tests;
