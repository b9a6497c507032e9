//! Host: what the machine decides for a configuration: how many workers, on which CPUs, how large a chunk.

use anyhow::{Context, bail};
use dataplane::worker::pin::allowed_cpus;
use wire::overhead;

use crate::{
    config::{Config, Port},
    netlink::View,
    nic::PortFacts,
};

/// Chunk sizes AF_XDP offers on a machine with pages of 4096 bytes.
const CHUNK_BYTES: [u32; 2] = [2048, 4096];

/// Room the kernel's copy path keeps free behind a received frame: none; in front: the XDP headroom.
const CHUNK_OVERHEAD_BYTES: usize = overhead::XDP_HEADROOM_BYTES;

/// Chunks beyond the rings, per worker: its private cache, and what it takes for copies of floods.
const CHUNKS_PER_WORKER: u64 = 1024;

/// Most chunks that one memory can have.
const MOST_CHUNKS: u32 = 1 << 20;

/// The CPU of each worker: as configured, else one per queue that all ports have.
///
/// Unless told otherwise, gateways of one machine start at different CPUs, by process id.
///
/// # Errors
/// When a port has fewer queues than there are to be workers, or a CPU is not to be had.
pub(super) fn place_workers(config: &Config, facts: &[(&Port, PortFacts)]) -> anyhow::Result<Vec<usize>> {
    let allowed = allowed_cpus();
    if allowed.is_empty() {
        bail!("the kernel does not say which CPUs this process may use");
    }
    let common = facts.iter().map(|(_, facts)| queues(facts)).min().unwrap_or(1).max(1) as usize;
    let wanted = config.gateway.workers.map_or(common.min(allowed.len()), |workers| workers as usize);
    if let Some((port, facts)) = facts.iter().find(|(_, facts)| (queues(facts) as usize) < wanted) {
        bail!(
            "{} has {} RX and {} TX queues, {wanted} workers configured; \
             give it more (`ethtool -L {} combined {wanted}`) or set `workers` to {common}",
            port.interface,
            facts.rx_queues,
            facts.tx_queues,
            port.interface,
        );
    }
    if let Some(cpus) = &config.gateway.cpus {
        return Ok(cpus.iter().map(|&cpu| cpu as usize).take(wanted).collect());
    }
    if wanted > allowed.len() {
        bail!(
            "{wanted} workers configured, but this process may use {} CPUs only; lower `workers`",
            allowed.len()
        );
    }
    let start = std::process::id() as usize;
    Ok((0..wanted).filter_map(|worker| allowed.get((start + worker) % allowed.len()).copied()).collect())
}

/// Queues usable in both directions.
fn queues(facts: &PortFacts) -> u32 {
    facts.rx_queues.min(facts.tx_queues)
}

/// The configured chunk size, else the smallest that holds a frame of the largest MTU.
///
/// # Errors
/// When a port's MTU does not fit.
pub(super) fn chunk_bytes(config: &Config, view: &View) -> anyhow::Result<u32> {
    let largest =
        config.ports.iter().filter_map(|port| Some((port, view.link_by_name(&port.interface)?.mtu)));
    let Some((port, mtu)) = largest.max_by_key(|(_, mtu)| *mtu) else { return Ok(CHUNK_BYTES[0]) };
    let needed = overhead::frame_bytes(mtu as usize, 2) + CHUNK_OVERHEAD_BYTES;
    let fits = |bytes: &u32| *bytes as usize >= needed;
    match config.umem.chunk_bytes {
        Some(bytes) if fits(&bytes) => Ok(bytes),
        Some(bytes) => bail!(
            "MTU {mtu} of {} needs chunks of {needed} bytes, umem.chunk_bytes is {bytes}; \
             set it to 4096 or lower the MTU (`ip link set {} mtu N`)",
            port.interface,
            port.interface,
        ),
        None => match CHUNK_BYTES.into_iter().find(|bytes| fits(bytes)) {
            Some(bytes) => Ok(bytes),
            None => bail!(
                "MTU {mtu} of {} is too large: a frame must fit a chunk of 4096 bytes; lower it (`ip link set {} mtu 3500`)",
                port.interface,
                port.interface,
            ),
        },
    }
}

/// The configured number of chunks, else as many as can be in use at once: every ring of every queue full, and
/// [`CHUNKS_PER_WORKER`].
///
/// # Errors
/// When fewer are configured: some queue would never receive, or floods would never find a chunk.
pub(super) fn chunk_count(
    config: &Config,
    facts: &[(&Port, PortFacts)],
    workers: usize,
) -> anyhow::Result<u32> {
    let rings = |(port, facts): &(&Port, PortFacts)| {
        u64::from(facts.rx_queues) * (u64::from(port.rx_ring) + u64::from(port.tx_ring))
    };
    let needed = facts.iter().map(rings).sum::<u64>() + CHUNKS_PER_WORKER * workers as u64;
    let configured = config.umem.chunks.map_or(needed, u64::from);
    if configured < needed {
        bail!(
            "umem.chunks is {configured}, the rings of all queues and {workers} workers need {needed}; \
             set it to that or more, leave it out, or give the ports smaller rings"
        );
    }
    u32::try_from(configured)
        .ok()
        .filter(|count| *count <= MOST_CHUNKS)
        .with_context(|| format!("the rings of all queues need {configured} chunks, {MOST_CHUNKS} are possible; give the ports smaller rings"))
}
