//! Attach: an interface becomes a port, and an interface again.
//!
//! Order in: program on (it passes everything to the kernel while the port is unknown to it), interface prepared,
//! sockets opened and filled, slots set, port announced, queues handed to the workers. Order out: the reverse.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::Context;
use dataplane::{
    counters::{PerWorker, PortCounters},
    ports::xsk_port::XskPort,
    tables::PortId,
};
use ebpf::abi::{PortConfig, Roles};
use rustix::io::Errno;
use xsk::{BindError, BindMode, BusyPoll, ChunkCache, KernelStatistics, SocketConfig, Umem, XskQueue};

use super::{
    crew::Crew,
    host,
    tx_checksum::{self, Checksums},
};
use crate::{
    config::{Mode, Port},
    control::api::ChecksumBy,
    maps::SteeringMaps,
    netlink::Link,
    nic::{Deferral, NicKeeper, PortFacts, PortNeeds, PreparedPort},
    program::{AttachMode, AttachedLink, SteeringProgram},
};

/// What attaching works with.
pub(super) struct Tools<'a> {
    pub(super) umem: &'static Umem,
    pub(super) cache: &'a mut ChunkCache,
    pub(super) program: &'a mut SteeringProgram,
    pub(super) maps: &'a mut SteeringMaps,
    pub(super) keeper: &'a NicKeeper,
    pub(super) crew: &'a Crew,
    /// Slots of the socket map that each port may use.
    pub(super) slots_per_port: u32,
    /// Frames that a worker takes from a queue at a time.
    pub(super) batch: u32,
}

impl Tools<'_> {
    /// Whether the interface is fit to be this port.
    fn check(&self, port: &Port, facts: &PortFacts) -> anyhow::Result<()> {
        let (interface, workers) = (&port.interface, self.crew.len());
        let (rx, tx) = (facts.rx_queues, facts.tx_queues);
        anyhow::ensure!(
            rx.min(tx) as usize >= workers,
            "{interface} has {rx} RX and {tx} TX queues, {workers} workers need as many; \
             give it more (`ethtool -L {interface} combined {workers}`)"
        );
        anyhow::ensure!(
            rx <= self.slots_per_port,
            "{interface} has {rx} RX queues, {} are possible; lower it (`ethtool -L {interface} combined N`)",
            self.slots_per_port
        );
        if let Some(problem) = host::mtu_problem(interface, facts.mtu, self.umem.chunk_bytes()) {
            anyhow::bail!(problem);
        }
        Ok(())
    }
}

/// A port that holds its interface.
#[derive(Debug)]
pub(super) struct AttachedPort {
    pub(super) facts: PortFacts,
    pub(super) is_zero_copy: bool,
    /// Whether its sockets carry frames that span several chunks.
    pub(super) has_multi_buffer: bool,
    /// Why zero-copy was not obtained, when it was tried.
    pub(super) copy_reason: Option<String>,
    /// Who makes the UDP checksums of packets that leave by it.
    pub(super) checksums: Checksums,
    slot_base: u32,
    /// Second descriptors of the sockets, to read statistics while workers own the queues.
    sockets: Vec<OwnedFd>,
    link: AttachedLink,
    prepared: PreparedPort,
}

impl AttachedPort {
    /// Makes an interface a port.
    ///
    /// # Errors
    /// The interface is then as it was.
    pub(super) fn attach(
        tools: &mut Tools<'_>,
        id: PortId,
        port: &Port,
        roles: Roles,
        link: &Link,
        counters: &PerWorker<PortCounters>,
    ) -> anyhow::Result<Self> {
        let facts = PortFacts::read(link)?;
        tools.check(port, &facts)?;
        let multi_buffer = host::needs_multi_buffer(facts.mtu, tools.umem.chunk_bytes());
        let mut config = socket_config(tools, port, multi_buffer);
        let no_zero_copy = host::zero_copy_problem(&facts, facts.mtu, tools.umem.chunk_bytes());
        config.mode = mode_without_zero_copy(config.mode, no_zero_copy.as_deref())?;
        let attached = attach_program(tools.program, port, link.ifindex)?;
        let needs = PortNeeds { is_access: port.role.is_access(), mode: attached.mode() };
        let mut prepared = tools.keeper.prepare(link, needs)?;
        tools.keeper.defer_interrupts(&mut prepared, link, Deferral::of(&port.driving))?;
        let slot_base = tools.slots_per_port * u32::from(id.0);
        let announcement = PortConfig::new(roles, slot_base, facts.rx_queues).with_stat_row(stat_row(id));
        let mut opened = Opened::default();
        let checksums = opened
            .open_all(tools, port, &facts, &config, slot_base, announcement)
            .and_then(|()| tx_checksum::decide(port, &facts, &opened.queues));
        let checksums = match checksums {
            Ok(checksums) => checksums,
            Err(error) => {
                opened.undo(tools, link.ifindex, slot_base);
                return Err(error);
            }
        };
        let Opened { queues, sockets } = opened;
        let is_zero_copy = queues.iter().all(XskQueue::is_zero_copy);
        let refusal = queues.iter().find_map(XskQueue::zero_copy_refusal);
        let copy_reason = no_zero_copy.or_else(|| refusal.map(ToString::to_string));
        let workers = tools.crew.len();
        for (worker, queue) in (0..workers).cycle().zip(queues) {
            let queue = XskPort::new(id, queue, worker, counters.clone());
            tools.crew.attach(worker, queue.with_checksum_offload(checksums.by != ChecksumBy::Gateway));
        }
        let has_multi_buffer = multi_buffer;
        Ok(Self {
            facts,
            is_zero_copy,
            has_multi_buffer,
            copy_reason,
            checksums,
            slot_base,
            sockets,
            link: attached,
            prepared,
        })
    }

    /// Makes it an interface again.
    ///
    /// # Errors
    /// When a worker does not give its queues up.
    pub(super) fn detach(self, tools: &mut Tools<'_>, id: PortId) -> anyhow::Result<()> {
        withdraw(tools.maps, self.link.ifindex(), self.slot_base, self.queue_count());
        // Sockets end only when every descriptor is closed, and their chunks come back only then.
        drop(self.sockets);
        for port in tools.crew.detach(id)? {
            port.into_queue().close(tools.cache);
        }
        tools.cache.flush();
        drop(self.link);
        drop(self.prepared);
        Ok(())
    }

    /// Ends a port whose queues the stopped workers have already given back.
    pub(super) fn dissolve(self, maps: &mut SteeringMaps, queues: Vec<XskPort>, cache: &mut ChunkCache) {
        withdraw(maps, self.link.ifindex(), self.slot_base, self.queue_count());
        drop(self.link);
        drop(self.sockets);
        for port in queues {
            port.into_queue().close(cache);
        }
        drop(self.prepared);
    }

    /// The interface's index.
    pub(super) fn ifindex(&self) -> u32 {
        self.link.ifindex()
    }

    /// Where the program runs.
    pub(super) fn mode(&self) -> AttachMode {
        self.link.mode()
    }

    /// Why the program runs generically although native mode was tried.
    pub(super) fn native_refusal(&self) -> Option<&str> {
        self.link.native_refusal()
    }

    /// Queues with a socket.
    pub(super) fn queue_count(&self) -> u32 {
        u32::try_from(self.sockets.len()).unwrap_or(u32::MAX)
    }

    /// What was changed on the interface.
    pub(super) fn prepared(&self) -> &PreparedPort {
        &self.prepared
    }

    /// What the kernel counted, all queues together.
    pub(super) fn kernel_statistics(&self) -> KernelStatistics {
        let mut sum = KernelStatistics::default();
        for one in self.sockets.iter().filter_map(|socket| KernelStatistics::read(socket.as_fd()).ok()) {
            sum.rx_dropped += one.rx_dropped;
            sum.rx_ring_full += one.rx_ring_full;
            sum.fill_ring_empty += one.fill_ring_empty;
            sum.tx_ring_empty += one.tx_ring_empty;
            sum.rx_invalid_descriptors += one.rx_invalid_descriptors;
            sum.tx_invalid_descriptors += one.tx_invalid_descriptors;
        }
        sum
    }
}

/// Takes a port out of the program's sight; what fails because the interface is gone needs no undoing.
fn withdraw(maps: &mut SteeringMaps, ifindex: u32, slot_base: u32, queues: u32) {
    if let Err(error) = maps.remove_port(ifindex) {
        tracing::warn!("{error:#}");
    }
    for slot in slot_base..slot_base + queues {
        if let Err(error) = maps.clear_socket(slot) {
            tracing::debug!("{error:#}");
        }
    }
}

/// Queues opened so far.
#[derive(Default)]
struct Opened {
    queues: Vec<XskQueue>,
    sockets: Vec<OwnedFd>,
}

impl Opened {
    /// Opens every queue, makes the program deliver to them, and announces the port to it.
    fn open_all(
        &mut self,
        tools: &mut Tools<'_>,
        port: &Port,
        facts: &PortFacts,
        config: &SocketConfig,
        slot_base: u32,
        announcement: PortConfig,
    ) -> anyhow::Result<()> {
        for queue in 0..facts.rx_queues {
            let opened = self.open(tools, facts.ifindex, queue, config, slot_base);
            opened
                .map_err(|error| explain(error, config, facts, tools.umem.chunk_bytes()))
                .with_context(|| format!("open queue {queue} of {}", port.interface))?;
        }
        Ok(tools.maps.set_port(facts.ifindex, announcement)?)
    }

    fn open(
        &mut self,
        tools: &mut Tools<'_>,
        ifindex: u32,
        queue: u32,
        config: &SocketConfig,
        slot_base: u32,
    ) -> anyhow::Result<()> {
        self.queues.push(XskQueue::open(tools.umem, ifindex, queue, config, tools.cache)?);
        tools.cache.flush();
        let Some(opened) = self.queues.last() else { return Ok(()) };
        self.sockets.push(opened.as_fd().try_clone_to_owned().context("duplicate the socket's descriptor")?);
        Ok(tools.maps.set_socket(slot_base + queue, opened.as_fd())?)
    }

    fn undo(self, tools: &mut Tools<'_>, ifindex: u32, slot_base: u32) {
        withdraw(tools.maps, ifindex, slot_base, u32::try_from(self.queues.len()).unwrap_or(0));
        drop(self.sockets);
        for queue in self.queues {
            queue.close(tools.cache);
        }
        tools.cache.flush();
    }
}

/// An error of opening a queue, with what to do about it when it may be that long frames are not to be had.
fn explain(
    error: anyhow::Error,
    config: &SocketConfig,
    facts: &PortFacts,
    chunk_bytes: usize,
) -> anyhow::Error {
    let refusals = [Errno::INVAL, Errno::OPNOTSUPP].map(Errno::raw_os_error);
    let is_refused = error.downcast_ref::<BindError>().is_some_and(|error| refusals.contains(&error.errno()));
    if config.multi_buffer && is_refused {
        return error.context(host::multi_buffer_cure(&facts.interface, facts.mtu, chunk_bytes));
    }
    error
}

/// The row of steering counters of a port; row 0 is for interfaces that are no port.
pub(super) fn stat_row(id: PortId) -> u32 {
    u32::from(id.0) + 1
}

fn attach_program(program: &mut SteeringProgram, port: &Port, ifindex: u32) -> anyhow::Result<AttachedLink> {
    Ok(match port.mode {
        Mode::Auto => program.attach_best(&port.interface, ifindex)?,
        Mode::ZeroCopy | Mode::Native => program.attach(&port.interface, ifindex, AttachMode::Native)?,
        Mode::Generic => program.attach(&port.interface, ifindex, AttachMode::Generic)?,
    })
}

/// The mode to bind in when something keeps zero-copy from working although a bind would succeed.
fn mode_without_zero_copy(mode: BindMode, problem: Option<&str>) -> anyhow::Result<BindMode> {
    match (mode, problem) {
        (BindMode::ZeroCopy, Some(problem)) => anyhow::bail!("{problem}"),
        (BindMode::Auto, Some(_)) => Ok(BindMode::Copy),
        (mode, _) => Ok(mode),
    }
}

fn socket_config(tools: &Tools<'_>, port: &Port, multi_buffer: bool) -> SocketConfig {
    SocketConfig {
        rx_ring: port.rx_ring,
        fill_ring: port.rx_ring,
        tx_ring: port.tx_ring,
        completion_ring: port.tx_ring,
        mode: match port.mode {
            Mode::Auto | Mode::Native => BindMode::Auto,
            Mode::ZeroCopy => BindMode::ZeroCopy,
            Mode::Generic => BindMode::Copy,
        },
        need_wakeup: port.driving.need_wakeup,
        busy_poll: (port.driving.busy_poll_us > 0).then_some(BusyPoll {
            timeout_us: port.driving.busy_poll_us,
            budget_frames: port.driving.busy_poll_budget,
        }),
        batch: tools.batch,
        multi_buffer,
    }
}
