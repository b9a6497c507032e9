//! Status: what `show` commands see, read from counters and state at the moment of asking.

use std::cell::RefCell;

use dataplane::{
    counters::{PerWorker, SessionCounters, WorkerCounters},
    tables::{PortId, fdb::MacKey},
    verdict::DropReason,
};
use std::sync::atomic::Ordering::Relaxed;
use wire::{
    ethernet::MacAddr,
    l2tpv3::{self, Sublayer},
    overhead::{self, IpFamily},
};

use super::{
    attach::{AttachedPort, stat_row},
    gateway::{Gateway, PortState},
    host, path_status,
};
use crate::{
    config::{self, Link, model, mss},
    control::{
        api::{
            ChunkCounts, Counts, DropStatus, Encap, FdbEntryStatus, FdbKind, GatewayStatus, KernelRings,
            PeerMode, PortStatus, Role, SequenceCounts, SessionChanged, SessionStatus, State, TunnelStatus,
            WorkerState, WorkerStatus, XdpMode,
        },
        change::CookieChange,
        source::StatusSource,
    },
    netlink::next_hop::TunnelReadiness,
    placement,
    program::AttachMode,
    publish::{plan::PlannedSession, tables::is_spread},
    tree::Tree,
};

impl StatusSource for RefCell<Gateway> {
    fn gateway(&self) -> GatewayStatus {
        let gateway = self.borrow();
        GatewayStatus {
            name: gateway.plan.config.gateway.name(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: gateway.started.elapsed().as_secs(),
            pid: std::process::id(),
            mode: gateway.plan.config.gateway.work.mode.word().to_owned(),
        }
    }

    fn tunnels(&self) -> Vec<TunnelStatus> {
        let gateway = self.borrow();
        let tunnels = gateway.plan.config.tunnels.iter().enumerate();
        tunnels.map(|(position, tunnel)| tunnel_status(&gateway, position, tunnel)).collect()
    }

    fn sessions(&self) -> Vec<SessionStatus> {
        let gateway = self.borrow();
        gateway.plan.sessions().map(|planned| session_status(&gateway, planned)).collect()
    }

    fn ports(&self) -> Vec<PortStatus> {
        let gateway = self.borrow();
        gateway.plan.ports().map(|(id, port)| port_status(&gateway, id, port)).collect()
    }

    fn bridges(&self) -> Vec<String> {
        self.borrow().plan.config.bridges.iter().map(|bridge| bridge.name.clone()).collect()
    }

    fn fdb(&self, bridge: Option<&str>) -> Vec<FdbEntryStatus> {
        let gateway = self.borrow();
        let asked = |name: &str| bridge.is_none_or(|bridge| bridge == name);
        let bridges =
            gateway.plan.config.bridges.iter().zip(&gateway.plan.fdbs).filter(|(b, _)| asked(&b.name));
        let mut entries: Vec<_> =
            bridges.flat_map(|(bridge, fdb)| fdb_entries(&gateway, bridge, fdb)).collect();
        entries.sort_by(|a, b| (&a.bridge, &a.mac).cmp(&(&b.bridge, &b.mac)));
        entries
    }

    fn workers(&self) -> Vec<WorkerStatus> {
        let gateway = self.borrow();
        let rivals = placement::look_for_rivals(&Tree::of_this_machine(), std::process::id());
        let workers = gateway.crew.cpus().zip(gateway.plan.worker_counters.iter());
        let status =
            |(id, (cpu, counters))| worker_status(id, cpu, counters, placement::sharing(cpu, &rivals));
        (0u32..).zip(workers).map(status).collect()
    }

    fn drops(&self) -> Vec<DropStatus> {
        let gateway = self.borrow();
        let status = |reason: DropReason| {
            let by_worker: Vec<u64> =
                gateway.plan.worker_counters.iter().map(|worker| worker.drops.get(reason)).collect();
            DropStatus {
                reason: reason.name().to_owned(),
                text: reason.text().to_owned(),
                frames: by_worker.iter().sum(),
                by_worker,
                copies: gateway.plan.worker_counters.sum(|worker| worker.copy_drops.get(reason)),
            }
        };
        DropReason::ALL.iter().copied().map(status).collect()
    }

    fn set_cookies(&self, session: &str, change: &CookieChange) -> Result<SessionChanged, String> {
        // Requests are answered between awaits, and nobody holds a borrow over one.
        self.borrow_mut().set_cookies(session, change)
    }
}

fn tunnel_status(gateway: &Gateway, position: usize, tunnel: &config::Tunnel) -> TunnelStatus {
    let state = gateway.tunnels.get(position);
    let learned = gateway.peers.learned(position).copied();
    let (remote, port) = gateway.peers.end_of(position, tunnel).unwrap_or((tunnel.remote, 0));
    let (udp_sport, udp_dport) = match tunnel.encap {
        config::Encap::Ip => (None, None),
        config::Encap::Udp { sport, .. } => (Some(sport), Some(port).filter(|port| *port != 0)),
    };
    let mut status = TunnelStatus {
        name: tunnel.name.clone(),
        state: State::Down,
        reason: Some("not looked at yet".to_owned()),
        encap: if udp_sport.is_some() { Encap::Udp } else { Encap::Ip },
        local: tunnel.local,
        remote,
        udp_sport,
        udp_dport,
        peer: match tunnel.peer {
            config::model::PeerMode::Fixed => PeerMode::Fixed,
            config::model::PeerMode::Learn => PeerMode::Learn,
        },
        peer_heard_s: learned.and_then(|peer| peer.since).map(|since| since.elapsed().as_secs()),
        peer_moves: learned.map_or(0, |peer| peer.moves),
        peer_moves_held_back: learned.map_or(0, |peer| peer.held_back),
        tunnel_id: tunnel.tunnel_id.get(),
        peer_tunnel_id: tunnel.peer_tunnel_id.get(),
        port: None,
        vlan: None,
        next_hop: state.and_then(|state| state.next_hop),
        next_hop_mac: None,
        path_mtu: None,
        fragmentation: model::fragmentation_word(tunnel.fragmentation).to_owned(),
        df: tunnel.outer.df,
        path: path_status::path(gateway, position),
        mss_clamp: mss::word(tunnel.mss_clamp),
        spread: tunnel.spread.word().to_owned(),
        spread_active: is_tunnel_spread(gateway, position, tunnel),
        sessions: tunnel.sessions.iter().map(|session| session.name.clone()).collect(),
        warnings: gateway.anchors.problem(position).map(str::to_owned).into_iter().collect(),
    };
    match state.map(|state| &state.readiness) {
        None => {}
        Some(TunnelReadiness::Down(reason)) => status.reason = Some(reason.to_string()),
        Some(TunnelReadiness::Up { oif, vlan, dst_mac, mtu, .. }) => {
            status.state = State::Up;
            status.reason = None;
            status.port = gateway.world.port_of(*oif).and_then(|id| port_name(gateway, id));
            status.vlan = vlan.map(|tag| tag.vid.get());
            status.next_hop_mac = Some(dst_mac.to_string());
            status.path_mtu = Some(*mtu);
        }
    }
    status
}

/// Whether any session's packets are spread over the workers now.
fn is_tunnel_spread(gateway: &Gateway, position: usize, tunnel: &config::Tunnel) -> bool {
    let is_wanted = gateway.world.spread.get(position).is_some_and(|is_spread| *is_spread);
    is_wanted && tunnel.sessions.iter().any(|session| session.sequencing.is_free_of_order())
}

fn port_name(gateway: &Gateway, id: PortId) -> Option<String> {
    gateway.plan.config.ports.get(id.index()).map(|port| port.name.clone())
}

fn session_status(gateway: &Gateway, planned: PlannedSession<'_>) -> SessionStatus {
    let (tunnel, session) = (planned.tunnel, planned.session);
    let counters = &gateway.plan.session_counters[planned.index.index()];
    let link = Link::Session(session.name.clone());
    let membership = gateway.plan.memberships(&link).next();
    let is_bridged = membership.is_some();
    let (bridge, vlan) = match membership {
        None => (None, None),
        Some((domain, _, member)) => {
            let bridge = gateway.plan.config.bridges.get(usize::from(domain.0));
            (bridge.map(|bridge| bridge.name.clone()), member.vlan.map(|vlan| vlan.get()))
        }
    };
    let (reason, path_mtu) = session_reason(gateway, planned, is_bridged);
    let fit = path_status::Fit::new(path_mtu, overhead_bytes(tunnel, session), vlan.is_some());
    SessionStatus {
        name: session.name.clone(),
        tunnel: tunnel.name.clone(),
        bridge,
        vlan,
        session_id: session.rx_session_id.get(),
        peer_session_id: session.tx_session_id.get(),
        state: if reason.is_none() { State::Up } else { State::Down },
        reason,
        rx_frames: counters.sum(|c| c.rx_frames.get()),
        rx_bytes: counters.sum(|c| c.rx_bytes.get()),
        tx_frames: counters.sum(|c| c.tx_frames.get()),
        tx_bytes: counters.sum(|c| c.tx_bytes.get()),
        tx_fragments: counters.sum(|c| c.tx_fragments.get()),
        last_heard_s: last_heard_s(gateway.now_s(), counters),
        drops: drops_of(counters),
        overhead_bytes: fit.overhead,
        path_mtu_bytes: fit.path_mtu,
        max_frame_bytes: fit.max_frame,
        inner_mtu: fit.inner_mtu,
        mss_clamped: counters.sum(|c| c.mss_clamped.get()),
        inner_fragmented: counters.sum(|c| c.inner_fragmented.get()),
        icmp_sent: counters.sum(|c| c.icmp_sent.get()),
        icmp_limited: counters.sum(|c| c.icmp_limited.get()),
        l2spec_type: match session.sublayer {
            Sublayer::None => "none".to_owned(),
            Sublayer::Default => "default".to_owned(),
        },
        cookie_bytes: cookie_bytes(session.tx_cookie),
        peer_cookie_bytes: cookie_bytes(session.rx_cookie),
        peer_cookie_also: session.rx_cookie_also.is_some(),
        peer_cookie_also_frames: counters.sum(|c| c.rx_cookie_also.get()),
        seq: session.sequencing.seq.word().to_owned(),
        seq_discards: dropped(counters, DropReason::SequenceMissing)
            + dropped(counters, DropReason::OutOfSequence),
        oos_packets: dropped(counters, DropReason::OutOfSequence) + counters.sum(|c| c.rx_late.get()),
        seq_resyncs: counters.sum(|c| c.rx_resyncs.get()),
        spread: is_spread(&gateway.world, planned),
        observed: session.sequencing.observe.then(|| observed(counters)),
    }
}

fn dropped(counters: &PerWorker<SessionCounters>, reason: DropReason) -> u64 {
    counters.sum(|c| c.drops.get(reason))
}

fn observed(counters: &PerWorker<SessionCounters>) -> SequenceCounts {
    SequenceCounts {
        numbered: counters.sum(|c| c.rx_numbered.get()),
        lost: counters.sum(|c| c.rx_lost.get()),
        reordered: counters.sum(|c| c.rx_late.get()),
        duplicates: counters.sum(|c| c.rx_duplicates.get()),
    }
}

fn cookie_bytes(cookie: l2tpv3::Cookie) -> u8 {
    u8::try_from(cookie.len_bytes()).unwrap_or(u8::MAX)
}

/// Why a session is down, if it is, and the path MTU, if it is known.
fn session_reason(
    gateway: &Gateway,
    planned: PlannedSession<'_>,
    is_bridged: bool,
) -> (Option<String>, Option<u32>) {
    let tunnel = &planned.tunnel.name;
    match gateway.tunnels.get(planned.tunnel_position).map(|state| &state.readiness) {
        None => (Some(format!("tunnel {tunnel} is not looked at yet")), None),
        Some(TunnelReadiness::Down(reason)) => (Some(format!("tunnel {tunnel} is down: {reason}")), None),
        Some(TunnelReadiness::Up { mtu, .. }) if !is_bridged => {
            (Some("it is a member of no bridge".to_owned()), Some(*mtu))
        }
        Some(TunnelReadiness::Up { mtu, .. }) => (None, Some(*mtu)),
    }
}

fn overhead_bytes(tunnel: &config::Tunnel, session: &config::Session) -> usize {
    let family = if tunnel.local.is_ipv4() { IpFamily::V4 } else { IpFamily::V6 };
    let encap = match tunnel.encap {
        config::Encap::Ip => l2tpv3::Encap::Ip,
        config::Encap::Udp { .. } => l2tpv3::Encap::Udp,
    };
    overhead::encap_bytes(family, encap, session.tx_cookie.len_bytes(), session.sublayer)
}

fn last_heard_s(now_s: u32, counters: &PerWorker<SessionCounters>) -> Option<u64> {
    let heard = counters.iter().map(|c| c.last_heard_s.load(Relaxed)).max().unwrap_or(0);
    (heard > 0).then(|| u64::from(now_s.saturating_sub(heard)))
}

fn drops_of(counters: &PerWorker<SessionCounters>) -> Counts {
    let counted = DropReason::ALL
        .iter()
        .map(|reason| (reason.name().to_owned(), counters.sum(|c| c.drops.get(*reason))));
    counted.filter(|(_, frames)| *frames > 0).collect()
}

fn port_status(gateway: &Gateway, id: PortId, port: &config::Port) -> PortStatus {
    let counters = &gateway.plan.port_counters[id.index()];
    let mut status = PortStatus {
        name: port.name.clone(),
        interface: port.interface.clone(),
        ifindex: None,
        role: match port.role {
            config::Role::Underlay => Role::Underlay,
            config::Role::Access => Role::Access,
            config::Role::Both => Role::Both,
        },
        state: State::Down,
        reason: None,
        driver: None,
        xdp_mode: None,
        zero_copy: false,
        multi_buffer: false,
        copy_reason: None,
        tx_checksum: None,
        tx_checksum_reason: None,
        queues: 0,
        mtu: None,
        mac: None,
        promiscuous: false,
        changed_features: Vec::new(),
        rx_frames: counters.sum(|c| c.rx_frames.get()),
        rx_bytes: counters.sum(|c| c.rx_bytes.get()),
        tx_frames: counters.sum(|c| c.tx_frames.get()),
        tx_bytes: counters.sum(|c| c.tx_bytes.get()),
        rx_chained: counters.sum(|c| c.rx_chained.get()),
        rx_discarded: counters.sum(|c| c.rx_discarded.get()),
        tx_chained: counters.sum(|c| c.tx_chained.get()),
        steering: Counts::new(),
        kernel_rings: KernelRings::default(),
        warnings: partial_checksum_warning(port, counters.sum(|c| c.partial_checksums.get())),
    };
    match &gateway.ports[id.index()] {
        PortState::Absent(absence) => status.reason = Some(absence.reason.clone()),
        PortState::Attached(attached) => describe(gateway, id, attached, &mut status),
    }
    status
}

/// Adds what is known of a port while it holds its interface.
fn describe(gateway: &Gateway, id: PortId, attached: &AttachedPort, status: &mut PortStatus) {
    let world = gateway.world.ports.get(id.index()).copied().unwrap_or_default();
    status.state = if world.is_up { State::Up } else { State::Down };
    status.reason =
        (!world.is_up).then(|| format!("interface {} is down or has no carrier", status.interface));
    status.ifindex = Some(attached.ifindex());
    status.driver = Some(attached.facts.driver.clone());
    status.xdp_mode = Some(match attached.mode() {
        AttachMode::Native => XdpMode::Native,
        AttachMode::Generic => XdpMode::Generic,
    });
    status.zero_copy = attached.is_zero_copy;
    status.multi_buffer = attached.has_multi_buffer;
    status.queues = attached.queue_count();
    status.mtu = Some(world.mtu_bytes);
    status.mac = Some(attached.facts.mac.to_string());
    let changes = attached.prepared().changes();
    status.promiscuous = changes.iter().any(|change| change.feature == "promiscuous" && change.now);
    let word = |on: bool| if on { "on" } else { "off" };
    let features = changes.iter().filter(|change| change.feature != "promiscuous");
    status.changed_features =
        features.clone().map(|change| format!("{} {}", change.feature, word(change.now))).collect();
    let numbers = attached.prepared().numbers().iter();
    status.changed_features.extend(numbers.map(|number| format!("{} {}", number.name, number.now)));
    let unmet = features.filter(|change| change.is_unmet());
    status.warnings.extend(unmet.map(|change| format!("{} cannot be switched off", change.feature)));
    status.copy_reason.clone_from(&attached.copy_reason);
    if status.role != Role::Access {
        status.tx_checksum = Some(attached.checksums.by);
        status.tx_checksum_reason.clone_from(&attached.checksums.reason);
        status.warnings.extend(attached.checksums.warning(&attached.facts));
    }
    status.warnings.extend(attached.native_refusal().map(|refusal| format!("no native XDP: {refusal}")));
    status.warnings.extend(host::mtu_problem(&status.interface, world.mtu_bytes, gateway.chunk_bytes()));
    status.warnings.extend(kernel_bridge_warning(gateway, attached.ifindex()));
    let rings = attached.kernel_statistics();
    status.kernel_rings = KernelRings {
        rx_dropped: rings.rx_dropped,
        rx_ring_full: rings.rx_ring_full,
        fill_ring_empty: rings.fill_ring_empty,
        tx_ring_empty: rings.tx_ring_empty,
        rx_invalid_descs: rings.rx_invalid_descriptors,
        tx_invalid_descs: rings.tx_invalid_descriptors,
    };
    match gateway.maps.stats(stat_row(id)) {
        Ok(stats) => {
            status.steering =
                stats.into_iter().map(|(stat, count)| (stat.name().to_owned(), count)).collect();
        }
        Err(error) => status.warnings.push(format!("{error:#}")),
    }
}

/// What to do about an interface that a kernel bridge or bond still holds.
fn kernel_bridge_warning(gateway: &Gateway, ifindex: u32) -> Option<String> {
    gateway.network.with_view(|view| {
        let link = view.link(ifindex)?;
        let controller = view.link(link.controller?)?;
        Some(format!(
            "{} is still a member of {}; take it out: `ip link set {} nomaster`",
            link.name, controller.name, link.name
        ))
    })
}

/// What to do about a sender on a veth that leaves checksums to hardware that is not there.
fn partial_checksum_warning(port: &config::Port, seen: u64) -> Vec<String> {
    if seen == 0 {
        return Vec::new();
    }
    vec![format!(
        "frames arrive on {} with checksums that were never filled in, and their receivers will drop them: \
         on the machine or namespace at the other end, run `ethtool -K INTERFACE tx off tso off gso off`",
        port.interface
    )]
}

fn fdb_entries(
    gateway: &Gateway,
    bridge: &config::Bridge,
    fdb: &dataplane::tables::fdb::Fdb,
) -> Vec<FdbEntryStatus> {
    let now_s = gateway.now_s();
    let describe = |entry: dataplane::tables::fdb::FdbEntry| {
        let member = bridge.members.get(usize::from(entry.member.0))?;
        Some(FdbEntryStatus {
            bridge: bridge.name.clone(),
            mac: text(entry.mac),
            member: member.link.name().to_owned(),
            vlan: member.vlan.map(|vlan| vlan.get()),
            age_s: u64::from(now_s.saturating_sub(entry.heard_s)),
            kind: FdbKind::Dynamic,
        })
    };
    fdb.entries().filter_map(describe).collect()
}

fn text(mac: MacKey) -> String {
    MacAddr(mac.octets()).to_string()
}

fn worker_status(id: u32, cpu: usize, counters: &WorkerCounters, sharing: Option<String>) -> WorkerStatus {
    let chunks = counters.chunks.read();
    WorkerStatus {
        id,
        cpu: u32::try_from(cpu).ok(),
        state: if counters.running.get() == 1 { WorkerState::Running } else { WorkerState::Stopped },
        batches: counters.batches.get(),
        received: counters.received.get(),
        forwarded: counters.forwarded.get(),
        flooded: counters.flooded.get(),
        dropped: counters.drops.total(),
        handed: counters.handed.get(),
        taken: counters.taken.get(),
        reassembled: counters.reassembled.get(),
        parked: counters.parked.get(),
        reassembled_packets: counters.reassembled_packets.get(),
        extra_fragments: counters.extra_fragments.get(),
        copies: counters.copies.get(),
        polls: counters.rounds.get(),
        sleeps: counters.sleeps.get(),
        wakeups: counters.kicks.get(),
        fdb_full: counters.fdb_full.get(),
        chunks: ChunkCounts {
            free: chunks.cached,
            fill: chunks.fill,
            tx: chunks.tx,
            parked: chunks.parked,
            total: chunks.on_loan,
            conserved: chunks.is_conserved(),
        },
        warnings: sharing.into_iter().collect(),
    }
}
