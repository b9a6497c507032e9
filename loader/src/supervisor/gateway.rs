//! Gateway: the running thing, from the main thread's side.
//!
//! It owns the program, the maps, the crew and the attached ports; [`refresh`] brings all of them in step with the
//! host, and publishes tables when something changed.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    net::IpAddr,
    path::PathBuf,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use dataplane::{
    tables::{PortId, snapshot},
    worker::Clock,
};
use xsk::{ChunkCache, Umem, UmemConfig};

use super::{
    attach::{AttachedPort, Tools},
    crew::{Crew, Shared},
    host,
};
use crate::{
    cli::RunOptions,
    config::{Config, Encap, Tunnel},
    maps::SteeringMaps,
    netlink::{
        Link, Network,
        next_hop::{self, TunnelEndpoint, TunnelReadiness},
    },
    nic::{NicKeeper, PortFacts},
    program::{ProgramOptions, SteeringProgram},
    publish::{self, Plan, PortWorld, World, endpoints},
};

/// How often tunnels are looked at without a change being reported: keeps neighbours in use fresh.
const REVIEW: Duration = Duration::from_secs(5);

/// How often addresses are aged.
const AGEING: Duration = Duration::from_secs(2);

/// Where the state of interfaces that the gateway changed is kept until they are put back.
const RUNTIME_DIRECTORY: &str = "/run/spanwire";

/// A configured port: attached, or not and why.
#[derive(Debug)]
pub(super) enum PortState {
    Attached(Box<AttachedPort>),
    Absent(String),
}

/// What is known about a tunnel's way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TunnelState {
    pub(super) readiness: TunnelReadiness,
    pub(super) next_hop: Option<IpAddr>,
}

/// The running gateway.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) plan: Plan,
    pub(super) ports: Vec<PortState>,
    pub(super) tunnels: Vec<TunnelState>,
    pub(super) world: World,
    pub(super) shared: Shared,
    pub(super) crew: Crew,
    pub(super) maps: SteeringMaps,
    pub(super) network: Rc<Network>,
    pub(super) started: Instant,
    program: SteeringProgram,
    keeper: NicKeeper,
    umem: &'static Umem,
    /// The main thread's chunks, in hand only while queues are opened or closed.
    cache: ChunkCache,
    reviewed: Instant,
    aged: Instant,
}

impl Gateway {
    /// Starts workers and attaches every port.
    ///
    /// # Errors
    /// When anything the configuration asks for is not to be had; the host is then as it was.
    pub(super) fn start(config: Config, options: &RunOptions, network: Rc<Network>) -> anyhow::Result<Self> {
        let view = network.view();
        let mut facts = Vec::new();
        for port in &config.ports {
            let link = view
                .link_by_name(&port.interface)
                .with_context(|| format!("find interface {}", port.interface))?;
            facts.push((port, PortFacts::read(link)?));
        }
        let cpus = host::place_workers(&config, &facts)?;
        let umem_config = UmemConfig {
            chunk_count: host::chunk_count(&config, &facts, cpus.len())?,
            chunk_bytes: host::chunk_bytes(&config, &view)?,
            headroom_bytes: 0,
            huge_pages: config.umem.huge_pages,
        };
        let (umem, pool) = Umem::map(&umem_config)?;
        let (keeper, leftovers) = NicKeeper::open(&PathBuf::from(RUNTIME_DIRECTORY), &config.gateway.name())?;
        for leftover in &leftovers {
            tracing::warn!("put back {} of {}, left by an earlier run", leftover.feature, leftover.interface);
        }
        let program_options = ProgramOptions { log_decisions: options.program_log_level > 0 };
        let (program, maps) = SteeringProgram::load(program_options)?;
        let plan = Plan::new(config, cpus.len(), seed());
        let shared = Shared {
            pool: Arc::clone(&pool),
            tables: snapshot::shared(),
            counters: plan.worker_counters.clone(),
            clock: Arc::new(Clock::default()),
        };
        let crew = Crew::hire(&cpus, &shared)?;
        let now = Instant::now();
        let absent = || PortState::Absent("not attached yet".to_owned());
        let mut gateway = Self {
            ports: plan.config.ports.iter().map(|_| absent()).collect(),
            tunnels: Vec::new(),
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
        };
        match gateway.attach_all() {
            Ok(()) => Ok(gateway),
            Err(error) => {
                gateway.stop();
                Err(error)
            }
        }
    }

    /// Attaches every port; the first that fails ends it.
    fn attach_all(&mut self) -> anyhow::Result<()> {
        self.maps.sync_endpoints(&endpoints::endpoints(&self.plan))?;
        let view = self.network.view();
        for position in 0..self.ports.len() {
            let port = &self.plan.config.ports[position];
            let link = view
                .link_by_name(&port.interface)
                .with_context(|| format!("find interface {}", port.interface))?;
            self.attach(position, link)?;
        }
        Ok(())
    }

    fn attach(&mut self, position: usize, link: &Link) -> anyhow::Result<()> {
        let port = &self.plan.config.ports[position];
        let id = PortId(u16::try_from(position).context("more than 65535 ports")?);
        let slots_per_port = self.slots_per_port();
        let mut tools = Tools {
            umem: self.umem,
            cache: &mut self.cache,
            program: &mut self.program,
            maps: &mut self.maps,
            keeper: &self.keeper,
            crew: &self.crew,
            slots_per_port,
        };
        let roles = endpoints::roles(&self.plan, port);
        let counters = &self.plan.port_counters[position];
        let attached = AttachedPort::attach(&mut tools, id, port, roles, link, counters)
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

    fn detach(&mut self, position: usize, reason: String) {
        let PortState::Attached(attached) =
            std::mem::replace(&mut self.ports[position], PortState::Absent(reason))
        else {
            return;
        };
        let slots_per_port = self.slots_per_port();
        let mut tools = Tools {
            umem: self.umem,
            cache: &mut self.cache,
            program: &mut self.program,
            maps: &mut self.maps,
            keeper: &self.keeper,
            crew: &self.crew,
            slots_per_port,
        };
        attached.detach(&mut tools, PortId(u16::try_from(position).unwrap_or(u16::MAX)));
    }

    /// Every port gets the same share of the socket map.
    fn slots_per_port(&self) -> u32 {
        let ports = u32::try_from(self.ports.len()).unwrap_or(u32::MAX);
        self.maps.socket_slots() / ports.max(1)
    }

    /// Attaches ports whose interface has come, detaches those whose interface has gone, and notes the state of links.
    fn follow_links(&mut self) {
        let view = self.network.view();
        for position in 0..self.ports.len() {
            let interface = self.plan.config.ports[position].interface.clone();
            let link = view.link_by_name(&interface);
            if let PortState::Attached(attached) = &self.ports[position]
                && link.map(|link| link.ifindex) != Some(attached.ifindex())
            {
                tracing::warn!("interface {interface} is gone");
                self.detach(position, format!("interface {interface} does not exist"));
            }
            if let (PortState::Absent(_), Some(link)) = (&self.ports[position], link)
                && let Err(error) = self.attach(position, link)
            {
                let reason = format!("{error:#}");
                tracing::warn!("{reason}");
                self.ports[position] = PortState::Absent(reason);
            }
        }
    }

    fn port_worlds(&self) -> Vec<PortWorld> {
        self.network.with_view(|view| {
            self.ports
                .iter()
                .map(|port| match port {
                    PortState::Absent(_) => PortWorld::default(),
                    PortState::Attached(attached) => {
                        let link = view.link(attached.ifindex());
                        PortWorld {
                            ifindex: Some(attached.ifindex()),
                            is_up: link.is_some_and(|link| link.is_up && link.has_carrier),
                            mtu_bytes: link.map_or(0, |link| link.mtu),
                        }
                    }
                })
                .collect()
        })
    }

    /// Takes over what was found out, and publishes tables when anything is different from before.
    fn take_over(&mut self, tunnels: Vec<TunnelState>) {
        let worlds = tunnels.iter().map(|tunnel| tunnel.readiness.clone()).collect();
        let world = World { ports: self.port_worlds(), tunnels: worlds };
        self.log_changes(&tunnels);
        self.tunnels = tunnels;
        if world == self.world {
            return;
        }
        if let Err(error) = self.maps.sync_access_vlans(&endpoints::access_vlans(&self.plan, &world)) {
            tracing::error!("{error:#}");
        }
        self.shared.tables.store(Arc::new(publish::tables::build(&self.plan, &world)));
        self.world = world;
    }

    fn log_changes(&self, tunnels: &[TunnelState]) {
        let before: BTreeMap<_, _> =
            self.plan.config.tunnels.iter().map(|t| &t.name).zip(&self.tunnels).collect();
        for (tunnel, now) in self.plan.config.tunnels.iter().zip(tunnels) {
            if before.get(&tunnel.name).is_some_and(|before| before.readiness == now.readiness) {
                continue;
            }
            match &now.readiness {
                TunnelReadiness::Up { dst_mac, .. } => {
                    tracing::info!("tunnel {} is up, next hop {dst_mac}", tunnel.name);
                }
                TunnelReadiness::Down(reason) => tracing::warn!("tunnel {} is down: {reason}", tunnel.name),
            }
        }
    }

    /// Sets the clock, ages addresses, looks after the workers. Returns whether a review of the tunnels is due.
    ///
    /// # Errors
    /// When a worker has ended: the gateway cannot go on.
    pub(super) fn tick(&mut self) -> anyhow::Result<bool> {
        let now_s = self.now_s();
        self.shared.clock.set_s(now_s);
        if let Some(worker) = self.crew.lost() {
            bail!("worker {worker} has ended; this is a fault in spanwire");
        }
        if self.aged.elapsed() >= AGEING {
            self.aged = Instant::now();
            for ((_, bridge), fdb) in self.plan.bridges().zip(&self.plan.fdbs) {
                fdb.age(now_s, bridge.ageing_s);
            }
        }
        Ok(self.reviewed.elapsed() >= REVIEW)
    }

    /// The engine's clock: seconds since start, from 1.
    pub(super) fn now_s(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_secs()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// Stops the workers and leaves the host as it was found.
    pub(super) fn stop(mut self) {
        let mut queues: BTreeMap<u16, Vec<_>> = BTreeMap::new();
        for queue in self.crew.stop() {
            queues.entry(dataplane::ports::Port::id(&queue).0).or_default().push(queue);
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

/// Brings the gateway in step with the host.
pub(super) async fn refresh(gateway: &RefCell<Gateway>, network: &Network) {
    gateway.borrow_mut().follow_links();
    gateway.borrow_mut().reviewed = Instant::now();
    let (endpoints, underlay) = {
        let gateway = gateway.borrow();
        let endpoints: Vec<_> = gateway.plan.config.tunnels.iter().map(endpoint_of).collect();
        let ports = gateway.plan.config.ports.iter().zip(&gateway.ports);
        let underlay: Vec<_> = ports
            .filter_map(|(port, state)| match state {
                PortState::Attached(attached) if port.role.is_underlay() => Some(attached.ifindex()),
                _ => None,
            })
            .collect();
        (endpoints, underlay)
    };
    let mut tunnels = Vec::with_capacity(endpoints.len());
    for endpoint in &endpoints {
        let readiness = next_hop::follow(network, endpoint, |oif| underlay.contains(&oif)).await;
        let next_hop =
            network.route_lookup(*endpoint).await.ok().map(|route| route.gateway.unwrap_or(endpoint.remote));
        tunnels.push(TunnelState { readiness, next_hop });
    }
    gateway.borrow_mut().take_over(tunnels);
}

fn endpoint_of(tunnel: &Tunnel) -> TunnelEndpoint {
    TunnelEndpoint {
        local: tunnel.local,
        remote: tunnel.remote,
        udp_ports: match tunnel.encap {
            Encap::Ip => None,
            Encap::Udp { sport, dport } => Some((sport, dport)),
        },
    }
}

/// A number that outsiders cannot guess: the standard library's hash keys are random per process.
fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u8)
}
