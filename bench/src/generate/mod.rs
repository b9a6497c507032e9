//! `generate`: stamped frames out of an interface, as live XDP frames.
//!
//! The kernel runs `bpf/generate.bpf.c` over recycled pages in batches of 64 and redirects them to the
//! interface's driver. On a veth they arrive at the peer, which needs an XDP program (or GRO) to take
//! them. Frames that do not fit the peer's ring are lost there, carry sequence numbers, and show in
//! `interface_counters.tx_dropped_frames`.
//!
//! All frames are sent in one system call, because each that ends waits tens of milliseconds for its
//! page pool to go. A second thread looks for the end and interrupts the call by SIGALRM.

mod program;
mod usage;
mod watch;

use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;

use self::program::{Generator, MAX_BURST_FRAMES, Pace};
pub use self::usage::Usage;
use self::watch::Watch;
use crate::flows::{FlowPlan, MacRange};
use crate::interface::{self, Counters};
use crate::stop::{self, Stop};

/// What to send, and for how long.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The interface whose driver sends the frames, in the present namespace.
    #[arg(long)]
    interface: String,
    /// Source MAC addresses: the first, and how many: 02:00:00:00:01:00/1000.
    #[arg(long, default_value = "02:00:00:00:01:00")]
    source: MacRange,
    /// Destination MAC addresses, in the same form.
    #[arg(long, default_value = "02:00:00:00:02:00")]
    destination: MacRange,
    /// Flows, taken in turn; flow n has source address n and destination address n of their ranges.
    #[arg(long, default_value_t = 1)]
    flows: u32,
    /// Frame length in bytes without the check sequence, 64 to 3072.
    #[arg(long, default_value_t = 64)]
    bytes: usize,
    /// An 802.1Q tag with this VLAN, 0 to 4094.
    #[arg(long)]
    vlan: Option<u16>,
    /// Stop after this many frames.
    #[arg(long)]
    count: Option<u64>,
    /// Stop after this many seconds; without this and --count, run until SIGTERM or SIGINT.
    #[arg(long, value_parser = stop::parse_seconds)]
    duration: Option<Duration>,
    /// Frames per second; without it, as fast as it goes. Waiting is busy: the generator takes a whole CPU at every rate.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Frames that are due at once, at most; fewer where that is still once a millisecond.
    #[arg(long, default_value_t = MAX_BURST_FRAMES, value_parser = clap::value_parser!(u64).range(1..=MAX_BURST_FRAMES))]
    burst: u64,
    /// Hold to the schedule that --rate and --burst give, whatever happens: no lost time is given up, so that the times at
    /// which frames were due, which they carry, are those of the schedule. For the sink's --latency.
    #[arg(long, requires = "rate", conflicts_with = "vlan")]
    on_schedule: bool,
    /// Measure the CPU time of the whole machine from this many seconds after the first frame to the end.
    #[arg(long, value_parser = stop::parse_seconds)]
    measure_after: Option<Duration>,
    /// Run on this CPU.
    #[arg(long)]
    cpu: Option<usize>,
    /// Report the frames of every flow.
    #[arg(long)]
    per_flow: bool,
}

/// Why the generator ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum End {
    /// All frames asked for are sent.
    Count,
    /// The time is over.
    Duration,
    /// SIGTERM or SIGINT.
    Signal,
}

/// What was sent.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The sending interface.
    pub interface: String,
    /// Length of every frame.
    pub frame_bytes: usize,
    /// Flows in turn.
    pub flows: u32,
    /// Frames that were given a sequence number and handed to the interface's driver.
    pub frames: u64,
    /// From the first to the last frame, to 64 frames exactly; setting up is not in it.
    pub seconds: f64,
    /// Frames per second over that time; 0 for 64 frames and less.
    pub frames_per_s: f64,
    /// Why it ended.
    pub end: End,
    /// What the interface counted meanwhile; its peer may still be taking frames from its ring.
    pub interface_counters: Counters,
    /// Time of the schedule that was given up, because the generator was held up for too long.
    pub given_up_ns: u64,
    /// What the whole machine did meanwhile, where asked for and where it lasted long enough.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Frames of each flow, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frames_per_flow: Option<Vec<u64>>,
}

/// Sends until the end that `args` name.
///
/// # Errors
/// The arguments contradict each other, the interface is missing, or the kernel refuses the program.
pub fn run(args: &Args) -> anyhow::Result<Report> {
    let plan = FlowPlan {
        flows: args.flows,
        source: args.source,
        destination: args.destination,
        vlan: args.vlan,
        frame_bytes: args.bytes,
    };
    let pace = args.rate.map(|rate| Pace::of(rate, args.burst));
    let pace = if args.on_schedule { pace.map(Pace::on_schedule) } else { pace };
    let mut generator = Generator::load(&plan, interface::index(&args.interface)?, args.count, pace)?;
    let before = Counters::read(&args.interface)?;
    let (end, usage) = send(&mut generator, args)?;
    let interface_counters = Counters::read(&args.interface)?.since(before);
    let progress = generator.progress()?;
    Ok(Report {
        interface: args.interface.clone(),
        frame_bytes: args.bytes,
        flows: args.flows,
        frames: progress.frames,
        seconds: progress.seconds(),
        frames_per_s: progress.frames_per_s(),
        end,
        interface_counters,
        given_up_ns: progress.given_up_ns,
        usage,
        frames_per_flow: if args.per_flow { Some(generator.frames_per_flow()?) } else { None },
    })
}

/// Sends until all are sent, the time is over or a signal comes.
fn send(generator: &mut Generator, args: &Args) -> anyhow::Result<(End, Option<Usage>)> {
    let stop = Stop::after(args.duration)?;
    let watch = Watch::start(stop.clone(), generator.completion()?, args.measure_after)?;
    if let Some(cpu) = args.cpu {
        pin(cpu)?;
    }
    while !watch.is_over() && !generator.is_complete()? {
        generator.send()?;
    }
    let usage = watch.finish()?;
    let end = if stop.is_signalled() {
        End::Signal
    } else if generator.is_complete()? {
        End::Count
    } else {
        End::Duration
    };
    Ok((end, usage))
}

/// Pins this thread to a CPU.
///
/// # Errors
/// The process may not run on that CPU.
pub fn pin(cpu: usize) -> anyhow::Result<()> {
    let pinned = core_affinity::set_for_current(core_affinity::CoreId { id: cpu });
    if pinned { Ok(()) } else { Err(anyhow!("cannot run on CPU {cpu}")) }
}
