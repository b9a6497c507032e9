//! Host: what the machine decides for a configuration: how many workers, on which CPUs, how large a chunk, how many open files.

use anyhow::{Context, bail};
use dataplane::{exchange::LANE_CHUNKS, reassembly::Limits, worker::pin::allowed_cpus};
use rustix::process::{Resource, getrlimit, setrlimit};
use wire::overhead;

use crate::{
    config::{Config, Mode, Port, model::DEFAULT_RING},
    nic::{PortFacts, zero_copy_room},
    placement::{Surroundings, keep_to},
    tree::Tree,
};

/// Chunk sizes AF_XDP offers on a machine with pages of 4096 bytes.
const CHUNK_BYTES: [u32; 2] = [2048, 4096];

/// Chunks beyond the rings, per worker: its private cache, what it takes for copies, and fragments that wait for others.
const CHUNKS_PER_WORKER: u64 = 1024 + Limits::WORKER.chunks as u64;

/// The same for what workers share: fragments that other workers received, and this one has not taken yet.
const CHUNKS_PER_LANE: u64 = LANE_CHUNKS as u64;

/// Most chunks that one memory can have.
const MOST_CHUNKS: u32 = 1 << 20;

/// Lets this process open as many files as it may: each tunnel holds a socket, and a service starts with room for 1024.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn raise_file_limit() -> rustix::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit })
}

/// How many workers: as configured, else one per queue that all ports have, as far as there are CPUs.
///
/// # Errors
/// When a port has fewer queues, or this process fewer CPUs, than there are to be workers.
pub(super) fn worker_count(config: &Config, facts: &[(&Port, PortFacts)]) -> anyhow::Result<usize> {
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
    if config.gateway.cpus.is_none() && wanted > allowed.len() {
        bail!(
            "{wanted} workers configured, but this process may use {} CPUs only; lower `workers`",
            allowed.len()
        );
    }
    Ok(wanted)
}

/// The CPU of each worker: as configured, else the best there are, next to the ports and away from other gateways' workers. The main
/// thread, which allocates for all, moves to their node. What is not as good as it could be is logged.
pub(super) fn place_workers(config: &Config, facts: &[(&Port, PortFacts)], workers: usize) -> Vec<usize> {
    let surroundings = Surroundings::look(&Tree::of_this_machine(), &allowed_cpus(), facts);
    let placement = match &config.gateway.cpus {
        Some(cpus) => surroundings.with(cpus.iter().map(|&cpu| cpu as usize).take(workers).collect()),
        None => surroundings.choose(workers),
    };
    tracing::info!("{}", placement.text());
    for warning in placement.warnings() {
        tracing::warn!("{warning}");
    }
    let home = placement.home();
    if !home.is_empty()
        && let Err(error) = keep_to(&home)
    {
        tracing::warn!(
            "cannot keep the main thread on the workers' NUMA node: {error}; frame memory may be on another"
        );
    }
    placement.cpus
}

/// Queues usable in both directions.
fn queues(facts: &PortFacts) -> u32 {
    facts.rx_queues.min(facts.tx_queues)
}

/// The configured chunk size, else the smallest that holds a frame of every port, also in zero-copy mode where the port may have it;
/// else the largest: some frames span several, or some port has to do without zero-copy.
///
/// # Errors
/// When a port's MTU does not fit as many chunks as one frame may span.
pub(super) fn chunk_bytes(config: &Config, facts: &[(&Port, PortFacts)]) -> anyhow::Result<u32> {
    let Some((widest, widest_facts)) = facts.iter().max_by_key(|(_, facts)| facts.mtu) else {
        return Ok(CHUNK_BYTES[0]);
    };
    let fits_all =
        |bytes: &u32| facts.iter().all(|(port, facts)| fits_one_chunk(port, facts, *bytes as usize));
    let chosen = config
        .umem
        .chunk_bytes
        .or_else(|| CHUNK_BYTES.into_iter().find(fits_all))
        .unwrap_or(CHUNK_BYTES[CHUNK_BYTES.len() - 1]);
    match mtu_problem(&widest.interface, widest_facts.mtu, chosen as usize) {
        Some(problem) => bail!(problem),
        None => Ok(chosen),
    }
}

/// Whether a port's frames fit one chunk, in the best mode that it may have.
fn fits_one_chunk(port: &Port, facts: &PortFacts, chunk_bytes: usize) -> bool {
    let is_generic = port.mode == Mode::Generic;
    !needs_multi_buffer(facts.mtu, chunk_bytes)
        && (is_generic || zero_copy_problem(facts, facts.mtu, chunk_bytes).is_none())
}

/// Why an interface whose frames fit a chunk cannot have zero-copy: its card puts less than that into one. `None` when it can, as
/// far as this is concerned.
pub(super) fn zero_copy_problem(facts: &PortFacts, mtu: u32, chunk_bytes: usize) -> Option<String> {
    let PortFacts { interface, driver, .. } = facts;
    let room = |bytes: usize| zero_copy_room(driver, bytes.saturating_sub(overhead::XDP_HEADROOM_BYTES));
    let frame = |room: usize| room.saturating_sub(overhead::frame_bytes(0, 2));
    let (used, mtu) = (room(chunk_bytes), mtu as usize);
    if mtu <= frame(used) || mtu > largest_mtu(chunk_bytes, 1) {
        return None;
    }
    let largest = CHUNK_BYTES[CHUNK_BYTES.len() - 1] as usize;
    let cure = if mtu <= frame(room(largest)) {
        format!("set umem.chunk_bytes to {largest}, or leave it out")
    } else {
        format!("lower the MTU (`ip link set {interface} mtu {}`)", frame(used))
    };
    Some(format!(
        "in zero-copy mode {driver} receives {used} bytes into a chunk of {chunk_bytes}, too few for MTU {mtu} of {interface}; {cure}"
    ))
}

/// Largest MTU whose frames, with two tags, fit this many chunks. Units: bytes.
pub(crate) fn largest_mtu(chunk_bytes: usize, chunks: usize) -> usize {
    let room = chunk_bytes.saturating_sub(overhead::XDP_HEADROOM_BYTES) * chunks;
    room.saturating_sub(overhead::frame_bytes(0, 2))
}

/// Whether frames of an MTU span several chunks.
pub(crate) fn needs_multi_buffer(mtu: u32, chunk_bytes: usize) -> bool {
    mtu as usize > largest_mtu(chunk_bytes, 1)
}

/// What is wrong when frames of an interface do not fit as many chunks as one may span: `None` when they do.
pub(crate) fn mtu_problem(interface: &str, mtu: u32, chunk_bytes: usize) -> Option<String> {
    let largest = largest_mtu(chunk_bytes, xsk::MAX_SEGMENTS);
    (mtu as usize > largest).then(|| {
        format!(
            "MTU {mtu} of {interface} does not fit {} chunks of {chunk_bytes} bytes, which hold {largest}; \
             lower it (`ip link set {interface} mtu {largest}`)",
            xsk::MAX_SEGMENTS
        )
    })
}

/// What to do about a port that could not be attached because its frames span several chunks.
pub(super) fn multi_buffer_cure(interface: &str, mtu: u32, chunk_bytes: usize) -> String {
    let largest = largest_mtu(chunk_bytes, 1);
    format!(
        "frames of MTU {mtu} span several chunks, which needs multi-buffer; without it the MTU can be {largest} at most \
         (`ip link set {interface} mtu {largest}`)"
    )
}

/// What workers may have in use beside the rings. A single worker exchanges nothing.
const fn beyond_rings(workers: usize) -> u64 {
    let lanes = if workers > 1 { workers as u64 } else { 0 };
    CHUNKS_PER_WORKER * workers as u64 + CHUNKS_PER_LANE * lanes
}

/// The configured number of chunks, else as many as can be in use at once: every ring of every queue full, and
/// [`beyond_rings`].
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
    let needed = facts.iter().map(rings).sum::<u64>() + beyond_rings(workers);
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

/// Huge pages of 2 MiB that the default memory takes, for ports with these numbers of queues and default rings.
pub(crate) fn huge_pages(queues: impl Iterator<Item = u32>, mtu: u32, workers: usize) -> u64 {
    let chunk_bytes = if needs_multi_buffer(mtu, 2048) { CHUNK_BYTES[1] } else { CHUNK_BYTES[0] };
    let of_rings: u64 = queues.map(|queues| u64::from(queues) * 2 * u64::from(DEFAULT_RING)).sum();
    let chunks = of_rings + beyond_rings(workers);
    (chunks * u64::from(chunk_bytes)).div_ceil(2 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_limit_is_raised_to_what_is_allowed() {
        let before = getrlimit(Resource::Nofile);
        let low = before.maximum.map_or(1024, |most| most.min(1024));
        setrlimit(Resource::Nofile, rustix::process::Rlimit { current: Some(low), ..before }).unwrap();
        raise_file_limit().unwrap();
        assert_eq!(getrlimit(Resource::Nofile).current, before.maximum);
    }

    #[test]
    fn an_mtu_needs_several_chunks_from_the_first_byte_that_does_not_fit_one() {
        // 2048 less 256 of headroom, 14 of Ethernet and 8 of tags.
        assert!(!needs_multi_buffer(1770, 2048) && needs_multi_buffer(1771, 2048));
        assert!(!needs_multi_buffer(3818, 4096) && needs_multi_buffer(3819, 4096));
        let cure = multi_buffer_cure("eth0", 9000, 4096);
        assert!(cure.contains("MTU 9000") && cure.contains("`ip link set eth0 mtu 3818`"), "{cure}");
    }

    #[test]
    fn an_mtu_is_refused_from_the_first_byte_that_does_not_fit_all_chunks_of_a_frame() {
        assert_eq!(mtu_problem("eth0", 17 * 1792 - 22, 2048), None);
        let problem = mtu_problem("eth0", 17 * 1792 - 21, 2048).unwrap();
        assert!(problem.contains("MTU 30443 of eth0") && problem.contains("mtu 30442"), "{problem}");
        assert_eq!(mtu_problem("eth0", 65_000, 4096), None);
    }

    /// A configuration of one port, on `eth0`, and more.
    fn config(more: &str) -> Config {
        let text = "[gateway]\nname = \"g\"\n[port.lan]\ninterface = \"eth0\"\nrole = \"underlay\"\n";
        let checked = crate::config::check("test.toml", &format!("{text}{more}"), None);
        checked.config.unwrap_or_else(|| panic!("{}", checked.findings))
    }

    fn facts(driver: &str, mtu: u32) -> PortFacts {
        PortFacts {
            interface: "eth0".into(),
            ifindex: 1,
            mac: wire::ethernet::MacAddr([2, 0, 0, 0, 0, 1]),
            mtu,
            driver: driver.into(),
            bus: String::new(),
            rx_queues: 1,
            tx_queues: 1,
            hardware_rx_ring: None,
            hardware_tx_ring: None,
        }
    }

    #[test]
    fn a_card_that_uses_less_of_a_chunk_gets_a_larger_one() {
        let chosen = |more: &str, mtu| {
            let config = config(more);
            chunk_bytes(&config, &[(&config.ports[0], facts("igb", mtu))]).unwrap()
        };
        assert_eq!([1002, 1003, 1500, 3051].map(|mtu| chosen("", mtu)), [2048, 4096, 4096, 4096]);
        assert_eq!(chosen("mode = \"generic\"\n", 1500), 2048, "it does not receive into chunks");
        assert_eq!(chosen("[umem]\nchunk_bytes = 2048\n", 1500), 2048, "as configured");
    }

    #[test]
    fn zero_copy_is_refused_from_the_first_byte_that_the_card_does_not_put_into_a_chunk() {
        let problem = |driver, mtu, chunk| zero_copy_problem(&facts(driver, mtu), mtu, chunk);
        assert_eq!(problem("igb", 1002, 2048), None);
        let small = problem("igb", 1003, 2048).unwrap();
        assert!(small.contains("receives 1024 bytes") && small.contains("chunk_bytes to 4096"), "{small}");
        assert_eq!(problem("igb", 3050, 4096), None);
        let long = problem("igb", 3051, 4096).unwrap();
        assert!(long.contains("`ip link set eth0 mtu 3050`"), "{long}");
        assert_eq!(problem("igb", 3819, 4096), None, "it spans several chunks, which is another matter");
        assert_eq!(problem("veth", 1770, 2048), None);
    }

    #[test]
    fn chunks_are_as_small_as_the_largest_mtu_allows() {
        let chosen = |config: &Config, mtu| chunk_bytes(config, &[(&config.ports[0], facts("veth", mtu))]);
        let free = config("");
        for (mtu, bytes) in
            [(1500, 2048), (1770, 2048), (1771, 4096), (3818, 4096), (3819, 4096), (9000, 4096)]
        {
            assert_eq!(chosen(&free, mtu).unwrap(), bytes, "{mtu}");
        }
        let small = config("[umem]\nchunk_bytes = 2048\n");
        assert_eq!(chosen(&small, 9000).unwrap(), 2048, "as configured");
        assert!(chosen(&small, 40_000).unwrap_err().to_string().contains("lower it"));
    }
}
