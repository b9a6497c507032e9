//! Follow: brings the gateway in step with the host: interfaces that come and go, links, addresses, routes, neighbours.
//!
//! [`refresh`] asks the kernel between borrows of the gateway, never during one: a control request may come in meanwhile.

use dataplane::tables::{bridge_domains::BridgeDomain, snapshot::Tables};
use std::{cell::RefCell, collections::BTreeMap, net::IpAddr, sync::Arc, time::Instant};
use xsk::anchor::TunnelEnds;

use super::{
    gateway::{Absence, Gateway, PortState, TunnelState},
    host,
};
use crate::{
    config::{Encap, Tunnel},
    control::api::ChecksumBy,
    maps::MapsError,
    netlink::{
        Link, Network, PathMtu,
        next_hop::{self, TunnelEndpoint, TunnelReadiness},
    },
    nic::PortFacts,
    publish::{self, PortWorld, World, endpoints, underlay_vlan},
};

/// Brings the gateway in step with the host.
///
/// # Errors
/// When the gateway cannot go on.
pub(super) async fn refresh(gateway: &RefCell<Gateway>, network: &Network) -> anyhow::Result<()> {
    let (peers, endpoints, underlay) = {
        let mut gateway = gateway.borrow_mut();
        gateway.reviewed = Instant::now();
        gateway.follow_links()?;
        let config = &gateway.plan.config;
        let peers = gateway.peers.ends(config);
        let endpoint = |(tunnel, peer): (&Tunnel, &Option<_>)| peer.map(|peer| endpoint_of(tunnel, peer));
        let endpoints: Vec<_> = config.tunnels.iter().zip(&peers).map(endpoint).collect();
        (peers, endpoints, gateway.underlay_interfaces())
    };
    let mut tunnels = Vec::with_capacity(endpoints.len());
    for endpoint in &endpoints {
        let Some(endpoint) = endpoint else {
            tunnels.push(TunnelState::unknown_peer());
            continue;
        };
        let readiness = next_hop::follow(network, endpoint, |oif| underlay.contains(&oif)).await;
        let route = network.route_lookup(*endpoint).await.ok();
        let next_hop = route.as_ref().map(|route| route.gateway.unwrap_or(endpoint.remote));
        let path_mtu = match (&readiness, &route) {
            (TunnelReadiness::Up { mtu, .. }, Some(route)) => {
                Some(PathMtu::of(route, *mtu, endpoint.remote.is_ipv6()))
            }
            _ => None,
        };
        tunnels.push(TunnelState { readiness, next_hop, path_mtu });
    }
    gateway.borrow_mut().take_over(tunnels, peers);
    Ok(())
}

/// The two ends of a tunnel whose peer is there, as far as the way there depends on them.
fn endpoint_of(tunnel: &Tunnel, (remote, remote_port): (IpAddr, u16)) -> TunnelEndpoint {
    TunnelEndpoint {
        local: tunnel.local,
        remote,
        udp_ports: match tunnel.encap {
            Encap::Ip => None,
            Encap::Udp { sport, .. } => Some((sport, remote_port)),
        },
    }
}

impl Gateway {
    /// Attaches ports whose interface has come, detaches those whose interface has gone, or has other queues or an MTU now that asks for
    /// other sockets.
    fn follow_links(&mut self) -> anyhow::Result<()> {
        let view = self.network.view();
        for position in 0..self.ports.len() {
            let interface = self.plan.config.ports[position].interface.clone();
            let link = view.link_by_name(&interface);
            self.give_up_if_changed(position, &interface, link)?;
            if let (PortState::Absent(absence), Some(link)) = (&self.ports[position], link)
                && absence.is_due(link.ifindex)
                && let Err(error) = self.attach(position, link)
            {
                self.note_failure(position, link.ifindex, &error);
            }
        }
        Ok(())
    }

    /// Detaches a port that no longer holds what its name stands for.
    fn give_up_if_changed(
        &mut self,
        position: usize,
        interface: &str,
        link: Option<&Link>,
    ) -> anyhow::Result<()> {
        let PortState::Attached(attached) = &self.ports[position] else { return Ok(()) };
        let Some(link) = link.filter(|link| link.ifindex == attached.ifindex()) else {
            tracing::warn!("interface {interface} is gone");
            return self.detach(position, Absence::gone(interface));
        };
        let queues = |facts: &PortFacts| (facts.rx_queues, facts.tx_queues);
        match PortFacts::read(link) {
            Ok(now) if queues(&now) != queues(&attached.facts) => {
                tracing::info!("{interface} has {} RX and {} TX queues now", now.rx_queues, now.tx_queues);
                self.detach(position, Absence::gone(interface))
            }
            Ok(now)
                if !attached.has_multi_buffer && host::needs_multi_buffer(now.mtu, self.chunk_bytes()) =>
            {
                tracing::info!("{interface} has MTU {} now, whose frames span several chunks", now.mtu);
                self.detach(position, Absence::gone(interface))
            }
            Ok(now)
                if attached.is_zero_copy
                    && let Some(problem) = host::zero_copy_problem(&now, now.mtu, self.chunk_bytes()) =>
            {
                tracing::info!("{problem}");
                self.detach(position, Absence::gone(interface))
            }
            _ => Ok(()),
        }
    }

    /// Notes that a port could not be attached; the same reason is logged once.
    fn note_failure(&mut self, position: usize, ifindex: u32, error: &anyhow::Error) {
        let PortState::Absent(absence) = &self.ports[position] else { return };
        let reason = format!("{error:#}");
        if absence.reason != reason {
            tracing::warn!("{reason}");
        }
        self.ports[position] = PortState::Absent(absence.failed(ifindex, reason));
    }

    /// Interfaces that packets to peers may leave by.
    fn underlay_interfaces(&self) -> Vec<u32> {
        let ports = self.plan.config.ports.iter().zip(&self.ports);
        let attached = ports.filter_map(|(port, state)| match state {
            PortState::Attached(attached) if port.role.is_underlay() => Some(attached.ifindex()),
            _ => None,
        });
        attached.collect()
    }

    fn port_worlds(&self) -> Vec<PortWorld> {
        let world = |state: &PortState| match state {
            PortState::Absent(_) => PortWorld::default(),
            PortState::Attached(attached) => self.network.with_view(|view| {
                let link = view.link(attached.ifindex());
                PortWorld {
                    ifindex: Some(attached.ifindex()),
                    is_up: link.is_some_and(|link| link.is_up && link.has_carrier),
                    mtu_bytes: link.map_or(0, |link| link.mtu),
                    fills_in_checksums: attached.checksums.by != ChecksumBy::Gateway,
                }
            }),
        };
        self.ports.iter().map(world).collect()
    }

    /// Takes over what was found out, and publishes tables when anything is different from before.
    fn take_over(&mut self, mut tunnels: Vec<TunnelState>, peers: Vec<Option<(IpAddr, u16)>>) {
        let mut world =
            World { ports: self.port_worlds(), tunnels: Vec::new(), peers, spread: self.spreading.states() };
        for (state, peer) in tunnels.iter_mut().zip(&world.peers) {
            let (port_of, readiness) = (|oif| world.port_of(oif), state.readiness.clone());
            if let Some((remote, _)) = *peer {
                state.readiness = underlay_vlan::refuse_bridged(&self.plan, remote, readiness, port_of);
            }
        }
        world.tunnels = tunnels.iter().map(|tunnel| tunnel.readiness.clone()).collect();
        self.log_changes(&tunnels);
        self.tunnels = tunnels;
        self.hold_anchors(&world.peers);
        if world == self.world {
            return;
        }
        self.publish(publish::tables::build(&self.plan, &world));
        match self.write_maps(&world) {
            Ok(()) => self.world = world,
            // The world stays the old one, so the next look does all of this again.
            Err(error) => tracing::error!("{error:#}"),
        }
    }

    /// Holds an anchor for each tunnel that is up.
    fn hold_anchors(&mut self, peers: &[Option<(IpAddr, u16)>]) {
        let tunnels = self.plan.config.tunnels.iter().zip(peers).zip(&self.tunnels);
        let ends = tunnels.map(|((tunnel, peer), state)| {
            let TunnelEndpoint { local, remote, udp_ports } = endpoint_of(tunnel, (*peer)?);
            let is_up = matches!(state.readiness, TunnelReadiness::Up { .. });
            is_up.then_some(TunnelEnds { local, remote, udp_ports })
        });
        self.anchors.follow(ends);
    }

    /// Makes the XDP program know what it has to.
    fn write_maps(&mut self, world: &World) -> Result<(), MapsError> {
        self.maps.sync_endpoints(&endpoints::endpoints(&self.plan, world))?;
        self.maps.sync_access_vlans(&endpoints::access_vlans(&self.plan, world))
    }

    /// Makes tables the ones that workers look things up in.
    pub(super) fn publish(&mut self, tables: Tables) {
        // Workers may still hold the old ones; they are freed here, by a later tick, never by a worker.
        self.retired.push(self.shared.tables.swap(Arc::new(tables)));
        self.shared.tables.load().domains.iter().for_each(BridgeDomain::forget_members_down);
    }

    fn log_changes(&self, tunnels: &[TunnelState]) {
        let before: BTreeMap<_, _> =
            self.plan.config.tunnels.iter().map(|tunnel| &tunnel.name).zip(&self.tunnels).collect();
        for (tunnel, now) in self.plan.config.tunnels.iter().zip(tunnels) {
            if before.get(&tunnel.name).is_some_and(|before| before.readiness == now.readiness) {
                continue;
            }
            let before = before.get(&tunnel.name).map(|before| &before.readiness);
            match (before, &now.readiness) {
                (
                    Some(TunnelReadiness::Up { dst_mac: mac, mtu: old, .. }),
                    TunnelReadiness::Up { dst_mac, mtu, .. },
                ) if mac == dst_mac && old != mtu => {
                    tracing::info!("path MTU of tunnel {} is {mtu}, was {old}", tunnel.name);
                }
                (_, TunnelReadiness::Up { dst_mac, .. }) => {
                    tracing::info!("tunnel {} is up, next hop {dst_mac}", tunnel.name);
                }
                (_, TunnelReadiness::Down(reason)) => {
                    tracing::warn!("tunnel {} is down: {reason}", tunnel.name);
                }
            }
        }
    }
}
