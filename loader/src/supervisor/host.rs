//! Host: what the machine decides for a configuration: how many workers, on which CPUs, how large a chunk.

use anyhow::{Context, bail};
use dataplane::{reassembly::Limits, worker::pin::allowed_cpus};
use wire::overhead;

use crate::{
    config::{Config, Port},
    nic::PortFacts,
};

/// Chunk sizes AF_XDP offers on a machine with pages of 4096 bytes.
const CHUNK_BYTES: [u32; 2] = [2048, 4096];

/// Chunks beyond the rings, per worker: its private cache, what it takes for copies, and fragments that wait for others.
const CHUNKS_PER_WORKER: u64 = 1024 + Limits::WORKER.fragments as u64;

/// Most chunks that one memory can have.
const MOST_CHUNKS: u32 = 1 << 20;

/// The CPU of each worker: as configured, else one per queue that all ports have.
///
/// Unless told otherwise, the first CPU follows from the process id, so that gateways of one machine do not all start
/// at CPU 0.
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
pub(super) fn chunk_bytes(config: &Config, facts: &[(&Port, PortFacts)]) -> anyhow::Result<u32> {
    let Some((port, facts)) = facts.iter().max_by_key(|(_, facts)| facts.mtu) else {
        return Ok(CHUNK_BYTES[0]);
    };
    let problem = |bytes: u32| mtu_problem(&port.interface, facts.mtu, bytes as usize);
    match config.umem.chunk_bytes {
        Some(bytes) => {
            problem(bytes).map_or(Ok(bytes), |problem| bail!("{problem}, or set umem.chunk_bytes to 4096"))
        }
        None => match CHUNK_BYTES.into_iter().find(|bytes| problem(*bytes).is_none()) {
            Some(bytes) => Ok(bytes),
            None => bail!(problem(CHUNK_BYTES[1]).unwrap_or_default()),
        },
    }
}

/// What is wrong when frames of an interface do not fit a chunk: `None` when they do.
pub(super) fn mtu_problem(interface: &str, mtu: u32, chunk_bytes: usize) -> Option<String> {
    let largest = chunk_bytes.saturating_sub(overhead::frame_bytes(0, 2) + overhead::XDP_HEADROOM_BYTES);
    (mtu as usize > largest).then(|| {
        format!(
            "MTU {mtu} of {interface} does not fit chunks of {chunk_bytes} bytes, which hold {largest}; \
             lower it (`ip link set {interface} mtu {largest}`)"
        )
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_mtu_is_refused_from_the_first_byte_that_does_not_fit() {
        // 2048 less 256 of headroom, 14 of Ethernet and 8 of tags.
        assert_eq!(mtu_problem("eth0", 1770, 2048), None);
        let problem = mtu_problem("eth0", 1771, 2048).unwrap();
        assert!(problem.contains("MTU 1771 of eth0") && problem.contains("mtu 1770"), "{problem}");
        assert_eq!(mtu_problem("eth0", 3818, 4096), None);
    }
}
