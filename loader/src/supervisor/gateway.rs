//! Gateway: the running thing, from the main thread's side.
//!
//! It owns the program, the maps, the crew and the attached ports. Here it starts, ticks and stops; [`super::follow`]
//! keeps it in step with the host, [`super::status`] tells about it.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::Path,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use dataplane::{
    ports::Port as _,
    tables::{
        PortId,
        bridge_domains::BridgeDomain,
        snapshot::{self, Tables},
    },
    worker::Clock,
};
use tokio::sync::mpsc;
use xsk::{ChunkCache, Umem, UmemConfig};

use super::{
    attach::{AttachedPort, Tools},
    crew::{Crew, Shared},
    host,
    peers::Peers,
    spreading::Spreading,
};
use crate::{
    anchors::{Anchors, IcmpKind, IcmpLedger, Report},
    config::{Config, Port},
    maps::SteeringMaps,
    netlink::{
        Link, Network, PathMtu, View,
        next_hop::{DownReason, TunnelReadiness},
    },
    nic::{NicKeeper, PortFacts},
    placement::Turn,
    program::{ProgramOptions, SteeringProgram},
    publish::{Plan, World, endpoints},
};

/// How often tunnels are looked at without a change being reported: keeps neighbours in use fresh.
const REVIEW: Duration = Duration::from_secs(5);

/// How often addresses are aged.
const AGEING: Duration = Duration::from_secs(2);

/// A configured port: attached, or not and why.
#[derive(Debug)]
pub(super) enum PortState {
    Attached(Box<AttachedPort>),
    Absent(Absence),
}

/// Why a port is not attached, and when to try again.
#[derive(Debug)]
pub(super) struct Absence {
    pub(super) reason: String,
    /// The interface that could not be attached; a new one is tried at once.
    pub(super) ifindex: Option<u32>,
    pub(super) retry_at: Instant,
    /// Pause before the try after the next.
    pub(super) pause: Duration,
}

/// What is known about a tunnel's way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TunnelState {
    pub(super) readiness: TunnelReadiness,
    pub(super) next_hop: Option<IpAddr>,
    /// Largest outer packet, and who says so; `None` while there is no route.
    pub(super) path_mtu: Option<PathMtu>,
}

impl TunnelState {
    /// Of a tunnel that has not heard its peer.
    pub(super) fn unknown_peer() -> Self {
        Self { readiness: TunnelReadiness::Down(DownReason::PeerUnknown), next_hop: None, path_mtu: None }
    }
}

/// The running gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) plan: Plan,
    pub(super) ports: Vec<PortState>,
    pub(super) tunnels: Vec<TunnelState>,
    /// What stands for the tunnels in the kernel.
    pub(super) anchors: Anchors,
    /// What ICMP said about each tunnel's packets.
    pub(super) icmp: Vec<IcmpLedger>,
    /// Where anchors report to, until the supervisor takes it.
    reports: Option<mpsc::Receiver<Report>>,
    pub(super) peers: Peers,
    pub(super) spreading: Spreading,
    pub(super) world: World,
    pub(super) shared: Shared,
    pub(super) crew: Crew,
    pub(super) maps: SteeringMaps,
    pub(super) network: Rc<Network>,
    pub(super) started: Instant,
    pub(super) reviewed: Instant,
    program: SteeringProgram,
    keeper: NicKeeper,
    umem: &'static Umem,
    /// The main thread's chunks, in hand only while queues are opened or closed.
    cache: ChunkCache,
    aged: Instant,
    /// Replaced tables that a worker may still hold.
    pub(super) retired: Vec<Arc<Tables>>,
}

impl Absence {
    /// Not tried yet.
    fn new() -> Self {
        let (retry_at, pause) = (Instant::now(), Duration::from_secs(5));
        Self { reason: "not attached yet".to_owned(), ifindex: None, retry_at, pause }
    }

    /// The interface went away: the next one is tried at once.
    pub(super) fn gone(interface: &str) -> Self {
        Self { reason: format!("interface {interface} does not exist"), ..Self::new() }
    }

    /// A try failed: the next one waits, twice as long each time, up to a minute.
    pub(super) fn failed(&self, ifindex: u32, reason: String) -> Self {
        Self {
            reason,
            ifindex: Some(ifindex),
            retry_at: Instant::now() + self.pause,
            pause: (self.pause * 2).min(Duration::from_secs(60)),
        }
    }

    /// Whether an interface is to be tried now.
    pub(super) fn is_due(&self, ifindex: u32) -> bool {
        self.ifindex != Some(ifindex) || self.retry_at <= Instant::now()
    }
}

/// The interfaces of all ports, as found at the start.
fn look_up<'c>(config: &'c Config, view: &View) -> anyhow::Result<Vec<(&'c Port, PortFacts)>> {
    let find = |port: &'c Port| {
        let link = view.link_by_name(&port.interface);
        let link = link.with_context(|| format!("find interface {}", port.interface))?;
        Ok((port, PortFacts::read(link)?))
    };
    config.ports.iter().map(find).collect()
}

/// Opens the keeper of interfaces, which puts back what a killed gateway of this name left.
fn open_keeper(runtime_directory: &Path, config: &Config) -> anyhow::Result<NicKeeper> {
    let (keeper, leftovers) = NicKeeper::open(runtime_directory, &config.gateway.name())?;
    for leftover in &leftovers {
        tracing::warn!("put back {} of {}, left by an earlier run", leftover.feature, leftover.interface);
    }
    Ok(keeper)
}

/// Waits for other gateways to have chosen their CPUs. A gateway runs without, too: two may then have the same.
fn take_turn(runtime_directory: &Path) -> Option<Turn> {
    let turn = Turn::take(runtime_directory);
    turn.inspect_err(|error| tracing::warn!("choosing CPUs beside another gateway: {error}")).ok()
}

impl Gateway {
    /// Starts workers and attaches every port.
    ///
    /// # Errors
    /// When anything the configuration asks for is not to be had; the host is then as it was.
    pub(super) fn start(
        config: Config,
        program: ProgramOptions,
        runtime_directory: &Path,
        network: Rc<Network>,
    ) -> anyhow::Result<Self> {
        let facts = look_up(&config, &network.view())?;
        let workers = host::worker_count(&config, &facts)?;
        let umem_config = UmemConfig {
            chunk_count: host::chunk_count(&config, &facts, workers)?,
            chunk_bytes: host::chunk_bytes(&config, &facts)?,
            headroom_bytes: 0,
            huge_pages: config.umem.huge_pages,
        };
        let keeper = open_keeper(runtime_directory, &config)?;
        let (program, maps) = SteeringProgram::load(program)?;
        let turn = take_turn(runtime_directory);
        // Before the frame memory is mapped: that lies where the main thread is.
        let cpus = host::place_workers(&config, &facts, workers);
        let (umem, pool) = Umem::map(&umem_config)?;
        let plan = Plan::new(config, workers, seed());
        let shared = Shared {
            pool: Arc::clone(&pool),
            tables: snapshot::shared(),
            counters: plan.worker_counters.clone(),
            clock: Arc::new(Clock::default()),
            mode: plan.config.gateway.work.mode,
        };
        let crew = Crew::hire(&cpus, &shared)?;
        drop(turn);
        let now = Instant::now();
        let (anchors, reports) = Anchors::new(plan.config.tunnels.len());
        let gateway = Self {
            ports: plan.config.ports.iter().map(|_| PortState::Absent(Absence::new())).collect(),
            tunnels: Vec::new(),
            anchors,
            icmp: plan.config.tunnels.iter().map(|_| IcmpLedger::default()).collect(),
            reports: Some(reports),
            peers: Peers::new(&plan.config),
            spreading: Spreading::new(&plan.config, cpus.len()),
            world: World::default(),
            cache: ChunkCache::new(pool, 0),
            plan,
            shared,
            crew,
            maps,
            network,
            started: now,
            program,
            keeper,
            umem,
            reviewed: now,
            aged: now,
            retired: Vec::new(),
        };
        gateway.with_all_attached()
    }

    /// Attaches every port; the first that fails ends the gateway.
    fn with_all_attached(mut self) -> anyhow::Result<Self> {
        match self.attach_all() {
            Ok(()) => Ok(self),
            Err(error) => {
                self.stop();
                Err(error)
            }
        }
    }

    fn attach_all(&mut self) -> anyhow::Result<()> {
        self.maps.sync_endpoints(&endpoints::endpoints(&self.plan, &self.world))?;
        let view = self.network.view();
        for position in 0..self.ports.len() {
            let interface = &self.plan.config.ports[position].interface;
            let link = view.link_by_name(interface).with_context(|| format!("find interface {interface}"))?;
            self.attach(position, link)?;
        }
        Ok(())
    }

    /// Attaches one port.
    ///
    /// # Errors
    /// The interface is then as it was.
    pub(super) fn attach(&mut self, position: usize, link: &Link) -> anyhow::Result<()> {
        let port = self.plan.config.ports[position].clone();
        let id = PortId(u16::try_from(position).context("more than 65535 ports")?);
        let roles = endpoints::roles(&self.plan, &port);
        let counters = self.plan.port_counters[position].clone();
        let attached = AttachedPort::attach(&mut self.tools(), id, &port, roles, link, &counters)
            .with_context(|| format!("attach port {}", port.name))?;
        tracing::info!(
            "port {} holds {}: {} XDP, {}, {} queues",
            port.name,
            port.interface,
            attached.mode(),
            if attached.is_zero_copy { "zero-copy" } else { "copy" },
            attached.queue_count(),
        );
        self.ports[position] = PortState::Attached(Box::new(attached));
        Ok(())
    }

    /// Gives one port's interface back, if it is attached.
    ///
    /// # Errors
    /// When a worker does not give its queues up: the gateway cannot go on.
    pub(super) fn detach(&mut self, position: usize, absence: Absence) -> anyhow::Result<()> {
        let id = PortId(u16::try_from(position).context("more than 65535 ports")?);
        match std::mem::replace(&mut self.ports[position], PortState::Absent(absence)) {
            PortState::Attached(attached) => attached.detach(&mut self.tools(), id),
            PortState::Absent(_) => Ok(()),
        }
    }

    fn tools(&mut self) -> Tools<'_> {
        // Every port gets the same share of the socket map.
        let ports = u32::try_from(self.ports.len()).unwrap_or(u32::MAX);
        Tools {
            slots_per_port: self.maps.socket_slots() / ports.max(1),
            umem: self.umem,
            cache: &mut self.cache,
            program: &mut self.program,
            maps: &mut self.maps,
            keeper: &self.keeper,
            batch: self.plan.config.gateway.work.batch,
            crew: &self.crew,
        }
    }

    /// Size of a chunk. Units: bytes.
    pub(super) fn chunk_bytes(&self) -> usize {
        self.umem.chunk_bytes()
    }

    /// Sets the clock, ages addresses, looks after the workers, what they heard of peers and how much they have to do. Returns whether a
    /// review of the tunnels is due.
    ///
    /// # Errors
    /// When a worker has ended: the gateway cannot go on.
    pub(super) fn tick(&mut self) -> anyhow::Result<bool> {
        let now_s = self.now_s();
        self.shared.clock.set_s(now_s);
        let has_retired = !self.retired.is_empty();
        self.retired.retain(|tables| Arc::strong_count(tables) > 1);
        if has_retired && self.retired.is_empty() {
            // What workers learned from replaced tables since those were replaced; none does any more.
            self.shared.tables.load().domains.iter().for_each(BridgeDomain::forget_members_down);
        }
        if let Some(worker) = self.crew.lost() {
            bail!("worker {worker} has ended; this is a fault in spanwire");
        }
        if self.aged.elapsed() >= AGEING {
            self.aged = Instant::now();
            for ((_, bridge), fdb) in self.plan.bridges().zip(&self.plan.fdbs) {
                fdb.age(now_s, bridge.ageing_s);
            }
        }
        let has_moved = self.peers.look(&self.plan, Instant::now());
        let is_spread_anew = self.spreading.look(&self.plan);
        Ok(has_moved || is_spread_anew || self.reviewed.elapsed() >= REVIEW)
    }

    /// Where ICMP errors about tunnels are reported. Once: afterwards there is nothing to take.
    pub(super) fn take_reports(&mut self) -> Option<mpsc::Receiver<Report>> {
        self.reports.take()
    }

    /// Notes an ICMP error about a tunnel. Returns whether the way to its peer is to be looked up again.
    pub(super) fn note_icmp(&mut self, report: &Report) -> bool {
        let tunnel = self.plan.config.tunnels.get(report.tunnel);
        let (Some(tunnel), Some(ledger)) = (tunnel, self.icmp.get_mut(report.tunnel)) else { return false };
        ledger.note(&report.error, Instant::now());
        tracing::debug!("tunnel {}: {}", tunnel.name, report.error);
        let is_too_big = IcmpKind::of(&report.error) == IcmpKind::TooBig;
        if is_too_big && let Some((remote, _)) = self.peers.end_of(report.tunnel, tunnel) {
            self.network.forget_routes_to(remote);
        }
        is_too_big
    }

    /// The engine's clock: seconds since start, from 1.
    pub(super) fn now_s(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_secs()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Stops the workers and leaves the host as it was found.
    pub(super) fn stop(mut self) {
        let mut queues: BTreeMap<u16, Vec<_>> = BTreeMap::new();
        for queue in self.crew.stop() {
            queues.entry(queue.id().0).or_default().push(queue);
        }
        for (position, port) in (0u16..).zip(std::mem::take(&mut self.ports)) {
            if let PortState::Attached(attached) = port {
                attached.dissolve(
                    &mut self.maps,
                    queues.remove(&position).unwrap_or_default(),
                    &mut self.cache,
                );
            }
        }
        self.cache.flush();
        let pool = &self.shared.pool;
        let missing = pool.chunk_count().saturating_sub(pool.free_count() + pool.withheld_count());
        if missing > 0 {
            tracing::error!(
                "{missing} chunks of frame memory are missing at the end; this is a fault in spanwire"
            );
        }
    }
}

/// A number that outsiders cannot guess: the standard library's hash keys are random per process.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u8)
}
