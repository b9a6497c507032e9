//! `null-forward`: every frame from one interface to the other over AF_XDP, unread.
//!
//! The least a gateway on the same rings can do; what the engine adds is its rate against this one's. It
//! uses the gateway's own sockets and shared frame memory, and polls without sleeping.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::ValueEnum;
use libbpf_rs::{Link, Object};
use serde::Serialize;
use xsk::{
    BindMode, ChunkCache, ChunkPool, FrameBatch, KernelStatistics, SocketConfig, Umem, UmemConfig, XskQueue,
};

use crate::generate::pin;
use crate::interface;
use crate::object;
use crate::stop::{self, Stop};

/// Turns between two looks at the clock.
const TURNS_PER_LOOK: u32 = 1024;

/// Chunks that a worker keeps beside those in its rings.
const CACHE_CHUNKS: usize = 512;

/// What to join, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The two interfaces, in the present namespace: --interface A --interface B.
    #[arg(long, required = true, num_args = 1)]
    interface: Vec<String>,
    /// Workers; worker n serves queue n of both interfaces.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// CPU of worker 0; worker n runs on the n-th one behind it.
    #[arg(long)]
    cpu: Option<usize>,
    /// How frames get from the driver into the memory.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    mode: Mode,
    /// Entries of each ring, a power of two.
    #[arg(long, default_value_t = 2048)]
    ring: u32,
    /// Bytes of a chunk, 2048 or 4096.
    #[arg(long, default_value_t = 2048)]
    chunk_bytes: u32,
    /// Stop after this many seconds; without it, run until SIGTERM or SIGINT.
    #[arg(long, value_parser = stop::parse_seconds)]
    duration: Option<Duration>,
}

/// How frames get from the driver into the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Zero-copy where the driver can, else copy.
    Auto,
    /// Zero-copy or not at all.
    ZeroCopy,
    /// Copy, whatever the driver can.
    Copy,
}

/// What was forwarded.
#[derive(Debug, Serialize)]
pub struct Report {
    /// From the first turn to the last.
    pub seconds: f64,
    /// Frames forwarded per second, both ways together.
    pub frames_per_s: f64,
    /// From the first interface to the second, and back; over all workers.
    pub directions: [Direction; 2],
}

/// One direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Direction {
    /// Receiving interface.
    pub from: String,
    /// Sending interface.
    pub to: String,
    /// Whether every receiving socket is zero-copy.
    pub is_zero_copy: bool,
    /// Frames put on the TX ring.
    pub frames: u64,
    /// Frames that found the TX ring full.
    pub tx_ring_full_frames: u64,
    /// Frames that the kernel dropped because the RX ring was full.
    pub rx_ring_full_frames: u64,
    /// Frames that the kernel dropped on receipt for other reasons, an empty fill ring included.
    pub rx_dropped_frames: u64,
}

/// One interface with its program; frames go to the sockets in it while the link lives.
struct Port {
    name: String,
    ifindex: u32,
    object: Object,
}

/// One worker's queues, of the first and the second interface.
struct Worker {
    queues: [XskQueue; 2],
    cache: ChunkCache,
    counts: [Counts; 2],
}

/// What one worker did with the frames of one queue.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    frames: u64,
    tx_ring_full_frames: u64,
}

/// Forwards until the end that `args` name. Writes one line to standard error once it forwards.
///
/// # Errors
/// An interface is missing, or the kernel refuses a socket or the program.
pub fn run(args: &Args) -> anyhow::Result<Report> {
    let [first, second] = args.interface.as_slice() else {
        return Err(anyhow!("{} interfaces named, 2 needed", args.interface.len()));
    };
    let mut ports = [Port::load(first)?, Port::load(second)?];
    let mut workers = open_workers(args, &ports)?;
    for port in &mut ports {
        port.admit(&workers, first)?;
    }
    let [first_port, second_port] = &mut ports;
    let links = [first_port.attach()?, second_port.attach()?];
    let stop = Stop::after(args.duration)?;
    eprintln!("forwarding between {first} and {second}");
    let start = Instant::now();
    forward_all(&mut workers, &stop, args.cpu)?;
    let seconds = start.elapsed().as_secs_f64();
    drop(links);
    let directions = [direction(&workers, 0, first, second)?, direction(&workers, 1, second, first)?];
    for worker in workers {
        worker.close();
    }
    let frames: u64 = directions.iter().map(|direction| direction.frames).sum();
    Ok(Report { seconds, frames_per_s: frames as f64 / seconds, directions })
}

impl Port {
    /// Loads the program for an interface; it is not attached yet.
    fn load(name: &str) -> anyhow::Result<Self> {
        let ifindex = interface::index(name)?;
        let object = object::load(object::open(object::REDIRECT)?, object::REDIRECT)?;
        Ok(Self { name: name.to_owned(), ifindex, object })
    }

    /// Puts the workers' sockets of this interface into the program's map.
    fn admit(&mut self, workers: &[Worker], first: &str) -> anyhow::Result<()> {
        let side = usize::from(self.name != first);
        let sockets = object::map_mut(&mut self.object, "SOCKETS")?;
        for worker in workers {
            let queue = &worker.queues[side];
            object::write_entry(&sockets, queue.queue_id(), &queue.as_fd().as_raw_fd())?;
        }
        Ok(())
    }

    /// Attaches the program until the link is dropped.
    fn attach(&mut self) -> anyhow::Result<Link> {
        object::program_mut(&mut self.object)?
            .attach_xdp(i32::try_from(self.ifindex)?)
            .with_context(|| format!("cannot attach the redirection to interface {}", self.name))
    }
}

/// Maps the frame memory and opens every worker's two queues.
fn open_workers(args: &Args, ports: &[Port; 2]) -> anyhow::Result<Vec<Worker>> {
    // Per queue: fill and RX ring, TX and completion ring; chunks stand in one of each pair at most.
    let chunk_count = (args.workers * 2 * 4).saturating_mul(args.ring).next_power_of_two();
    let config =
        UmemConfig { chunk_count, chunk_bytes: args.chunk_bytes, headroom_bytes: 0, huge_pages: false };
    let (umem, pool) = Umem::map(&config)?;
    (0..args.workers).map(|queue| Worker::open(umem, &pool, args, ports, queue)).collect()
}

impl Worker {
    /// Opens one queue of both interfaces.
    fn open(
        umem: &'static Umem,
        pool: &Arc<ChunkPool>,
        args: &Args,
        ports: &[Port; 2],
        queue: u32,
    ) -> anyhow::Result<Self> {
        let config = SocketConfig {
            rx_ring: args.ring,
            tx_ring: args.ring,
            fill_ring: args.ring,
            completion_ring: args.ring,
            mode: args.mode.into(),
            ..SocketConfig::default()
        };
        let mut cache = ChunkCache::new(Arc::clone(pool), CACHE_CHUNKS);
        let [first, second] = ports;
        let queues = [
            XskQueue::open(umem, first.ifindex, queue, &config, &mut cache)?,
            XskQueue::open(umem, second.ifindex, queue, &config, &mut cache)?,
        ];
        Ok(Self { queues, cache, counts: [Counts::default(); 2] })
    }

    /// Forwards until it is time to stop.
    fn forward(&mut self, stop: &Stop) {
        let mut batch = FrameBatch::new();
        let [first, second] = &mut self.queues;
        let [forth, back] = &mut self.counts;
        while !stop.is_due() {
            for _ in 0..TURNS_PER_LOOK {
                turn(first, second, &mut self.cache, &mut batch, forth);
                turn(second, first, &mut self.cache, &mut batch, back);
            }
        }
    }

    /// Closes both queues; their chunks go back to the pool.
    fn close(mut self) {
        let [first, second] = self.queues;
        first.close(&mut self.cache);
        second.close(&mut self.cache);
    }
}

/// Forwards one batch one way and keeps the rings full.
fn turn(
    from: &mut XskQueue,
    to: &mut XskQueue,
    cache: &mut ChunkCache,
    batch: &mut FrameBatch,
    counts: &mut Counts,
) {
    from.receive(cache, batch);
    for frame in batch.drain(..) {
        match to.transmit(frame) {
            Ok(()) => counts.frames += 1,
            Err(frame) => {
                counts.tx_ring_full_frames += 1;
                cache.give_frame(frame);
            }
        }
    }
    to.flush();
    to.reap(cache);
    from.refill(cache);
}

/// Runs every worker on a thread of its own.
fn forward_all(workers: &mut [Worker], stop: &Stop, cpu: Option<usize>) -> anyhow::Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .iter_mut()
            .enumerate()
            .map(|(index, worker)| {
                scope.spawn(move || {
                    if let Some(cpu) = cpu {
                        pin(cpu + index)?;
                    }
                    worker.forward(stop);
                    anyhow::Ok(())
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a worker panicked"))?)
    })
}

/// Adds up one direction: what came in by the queues of one side.
fn direction(workers: &[Worker], side: usize, from: &str, to: &str) -> anyhow::Result<Direction> {
    let start =
        Direction { from: from.to_owned(), to: to.to_owned(), is_zero_copy: true, ..Direction::default() };
    workers.iter().try_fold(start, |sum, worker| {
        let (queue, counts) = (&worker.queues[side], worker.counts[side]);
        let kernel: KernelStatistics = queue.statistics()?;
        Ok(Direction {
            is_zero_copy: sum.is_zero_copy && queue.is_zero_copy(),
            frames: sum.frames + counts.frames,
            tx_ring_full_frames: sum.tx_ring_full_frames + counts.tx_ring_full_frames,
            rx_ring_full_frames: sum.rx_ring_full_frames + kernel.rx_ring_full,
            rx_dropped_frames: sum.rx_dropped_frames + kernel.rx_dropped,
            ..sum
        })
    })
}

impl From<Mode> for BindMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Auto => Self::Auto,
            Mode::ZeroCopy => Self::ZeroCopy,
            Mode::Copy => Self::Copy,
        }
    }
}
