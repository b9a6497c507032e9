//! `null-forward`: every frame from one interface to the other over AF_XDP, unread.
//!
//! The least that an AF_XDP gateway can do; what an engine adds is its rate and its cost against this one's. It does it
//! over the gateway's own sockets ([`own`]), or over those of `xsk-rs` ([`xsk_rs`]), with the same program, the same
//! rings and the same rules of sleep ([`joint`]): so the two also tell what our own sockets are worth.

mod joint;
mod live_frames;
mod own;
mod xsk_rs;

use std::time::Duration;

use anyhow::{anyhow, ensure};
use clap::ValueEnum;
use serde::Serialize;
use xsk::BindMode;

use self::joint::Joint;
use crate::port::Port;
use crate::stop::{self, Stop};

/// What to join, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The two interfaces, in the present namespace: --interface A --interface B.
    #[arg(long, required = true, num_args = 1)]
    interface: Vec<String>,
    /// Whose AF_XDP sockets to use.
    #[arg(long, value_enum, default_value_t = Rings::Own)]
    rings: Rings,
    /// How frames leave.
    #[arg(long, value_enum, default_value_t = Transmit::Socket)]
    transmit: Transmit,
    /// The fewest frames of a turn that leave as live frames; fewer leave by the sockets.
    #[arg(long, default_value_t = 8, value_name = "FRAMES")]
    live_from: usize,
    /// Workers; worker n serves queue n of both interfaces.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// CPU of worker 0; worker n runs on the n-th one behind it.
    #[arg(long)]
    cpu: Option<usize>,
    /// Rounds without a frame before a worker sleeps; without it, none ever sleeps.
    #[arg(long)]
    idle_rounds: Option<u32>,
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

/// Whose AF_XDP sockets are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rings {
    /// The gateway's.
    Own,
    /// Those of the crate xsk-rs, which stands on libxdp.
    XskRs,
}

/// How frames leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transmit {
    /// By the TX rings of the sockets.
    Socket,
    /// As live XDP frames of a test run, whose program redirects them to the driver.
    LiveFrames,
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
    /// Whose sockets did it.
    pub rings: Rings,
    /// How frames left.
    pub transmit: Transmit,
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
    /// Frames put on the TX ring, or given to the driver by redirection.
    pub frames: u64,
    /// Of those, the redirected ones.
    pub redirected_frames: u64,
    /// Frames that the kernel took and did not give to the driver.
    pub tx_lost_frames: u64,
    /// Frames that found the TX ring full.
    pub tx_ring_full_frames: u64,
    /// Frames that the kernel dropped because the RX ring was full.
    pub rx_ring_full_frames: u64,
    /// Frames that the kernel dropped on receipt for other reasons, an empty fill ring included.
    pub rx_dropped_frames: u64,
}

/// Forwards until the end that `args` name. Writes one line to standard error once it forwards.
///
/// # Errors
/// An interface is missing, or the kernel refuses a socket or the program.
pub fn run(args: &Args) -> anyhow::Result<Report> {
    let [first, second] = args.interface.as_slice() else {
        return Err(anyhow!("{} interfaces named, 2 needed", args.interface.len()));
    };
    if args.transmit == Transmit::LiveFrames {
        ensure!(args.rings == Rings::Own, "live frames go with the gateway's own sockets only");
        let (first, transmitters) = Port::load_with_transmitters(first, args.workers)?;
        let ports = [first, Port::load(second)?];
        return forward(args, live_frames::open(args, &ports, transmitters)?, ports);
    }
    let ports = [Port::load(first)?, Port::load(second)?];
    match args.rings {
        Rings::Own => forward(args, own::open(args, &ports)?, ports),
        Rings::XskRs => forward(args, xsk_rs::open(args, &ports)?, ports),
    }
}

/// Forwards with open sockets; worker n has those of queue n.
fn forward(args: &Args, mut workers: Vec<impl Joint>, mut ports: [Port; 2]) -> anyhow::Result<Report> {
    for (side, port) in ports.iter_mut().enumerate() {
        for (queue, worker) in (0..).zip(&workers) {
            port.admit(queue, worker.sockets()[side])?;
        }
    }
    let [first, second] = &mut ports;
    let links = [first.attach()?, second.attach()?];
    let stop = Stop::after(args.duration)?;
    eprintln!("forwarding between {} and {}", first.name, second.name);
    let seconds = joint::forward_all(&mut workers, &stop, args.cpu, args.idle_rounds)?.as_secs_f64();
    drop(links);
    let directions = [
        direction(&workers, 0, &first.name, &second.name)?,
        direction(&workers, 1, &second.name, &first.name)?,
    ];
    workers.into_iter().for_each(Joint::close);
    let frames: u64 = directions.iter().map(|direction| direction.frames).sum();
    let frames_per_s = frames as f64 / seconds;
    Ok(Report { rings: args.rings, transmit: args.transmit, seconds, frames_per_s, directions })
}

/// Adds up one direction: what came in by the queues of one side.
fn direction(workers: &[impl Joint], side: usize, from: &str, to: &str) -> anyhow::Result<Direction> {
    let start =
        Direction { from: from.to_owned(), to: to.to_owned(), is_zero_copy: true, ..Direction::default() };
    workers.iter().try_fold(start, |sum, worker| {
        let (counts, kernel) = (worker.counts()[side], worker.kernel(side)?);
        Ok(Direction {
            is_zero_copy: sum.is_zero_copy && kernel.is_zero_copy,
            frames: sum.frames + counts.frames,
            redirected_frames: sum.redirected_frames + counts.redirected_frames,
            tx_lost_frames: sum.tx_lost_frames + counts.tx_lost_frames,
            tx_ring_full_frames: sum.tx_ring_full_frames + counts.tx_ring_full_frames,
            rx_ring_full_frames: sum.rx_ring_full_frames + kernel.rx_ring_full_frames,
            rx_dropped_frames: sum.rx_dropped_frames + kernel.rx_dropped_frames,
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
