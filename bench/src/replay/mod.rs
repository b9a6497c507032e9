//! `replay`: one given frame again and again, in bursts on a schedule, over AF_XDP.
//!
//! A generator that sends whatever a gateway is to be given, outer headers included, at next to no cost. Between bursts it
//! sleeps. On a machine of one CPU it can measure the busy time ([`idler`]) from before the first burst until a while after the last;
//! a generator whose frames nobody takes tells what has to be subtracted. What is not here: counting what arrives, which the cards do.

mod idler;
mod sender;
mod timing;

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Serialize;

use self::idler::{Idler, Reading};
use self::sender::Sender;
use self::timing::Timing;
use crate::null_forward::Mode;
use crate::stop;

/// Shortest and longest frame without check sequence. Units: bytes.
const FRAME_BYTES: std::ops::RangeInclusive<usize> = 14..=3072;

/// What to send, and when.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The interface whose first queue sends, in the present namespace.
    #[arg(long)]
    interface: String,
    /// The frame without check sequence, as hexadecimal digits.
    #[arg(long, value_parser = parse_frame)]
    frame: FrameBytes,
    /// Frames of a burst.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=512))]
    burst: u32,
    /// Bursts that are measured.
    #[arg(long, default_value_t = 100)]
    bursts: u32,
    /// Bursts before these, not measured.
    #[arg(long, default_value_t = 0)]
    warm_up: u32,
    /// Microseconds from burst to burst, a fraction allowed.
    #[arg(long, value_parser = parse_interval)]
    interval_us: Duration,
    /// Seconds for which frames may be under way when a burst is the last one before the measurement or in it.
    #[arg(long, value_parser = stop::parse_seconds, default_value = "0.005")]
    settle: Duration,
    /// Second of the machine's uptime at which to begin; without it, at once.
    #[arg(long)]
    start_at: Option<u64>,
    /// Tell the busy time of the machine, which has one CPU; of several generators, one.
    #[arg(long)]
    measure: bool,
    /// How frames get from the memory to the driver.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    mode: Mode,
}

/// A frame's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameBytes(Vec<u8>);

/// What was sent, and what the machine did meanwhile.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The sending interface.
    pub interface: String,
    /// Length of the frame.
    pub frame_bytes: usize,
    /// Whether the socket is zero-copy.
    pub is_zero_copy: bool,
    /// Frames sent before the measurement.
    pub warm_up_frames: u64,
    /// Frames sent in it.
    pub frames: u64,
    /// Frames of both that the TX ring had no room for; they are not in either.
    pub tx_ring_full_frames: u64,
    /// Bursts that were begun more than an interval too late.
    pub late_bursts: u64,
    /// Length of the measurement.
    pub seconds: f64,
    /// Time of that in which the machine's one CPU had something to do, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub busy_ns: Option<f64>,
}

/// Sends.
///
/// # Errors
/// The interface is missing, the kernel refuses program or socket, the time to begin has passed, or frames stay in the ring.
pub fn run(args: &Args) -> anyhow::Result<Report> {
    let mut sender = Sender::open(&args.interface, args.mode, &args.frame.0)?;
    let outcome = send(&mut sender, args);
    sender.close();
    outcome
}

fn send(sender: &mut Sender, args: &Args) -> anyhow::Result<Report> {
    let mut timing = Timing::new(args.interval_us, args.start_at)?;
    let frames = |bursts: u32| u64::from(bursts) * u64::from(args.burst);
    let full_before = bursts(sender, &mut timing, args, args.warm_up)?;
    // Not earlier: it takes all the time that there is, which an emulator has to go through.
    let idler = args.measure.then(start_idler).transpose()?;
    timing.settle(args.settle)?;
    let (start, before) = (Instant::now(), idler.as_ref().map(Idler::reading));
    let full = bursts(sender, &mut timing, args, args.bursts)?;
    let (seconds, after) = (start.elapsed().as_secs_f64(), idler.as_ref().map(Idler::reading));
    idler.map(Idler::stop).transpose()?;
    Ok(Report {
        interface: args.interface.clone(),
        frame_bytes: args.frame.0.len(),
        is_zero_copy: sender.is_zero_copy(),
        warm_up_frames: frames(args.warm_up) - full_before,
        frames: frames(args.bursts) - full,
        tx_ring_full_frames: full_before + full,
        late_bursts: timing.late(),
        seconds,
        busy_ns: before.zip(after).map(|(before, after)| Reading::busy_ns(&before, &after)),
    })
}

/// Begins to count idle time, where one thread can.
fn start_idler() -> anyhow::Result<Idler> {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    ensure!(cpus == 1, "--measure takes a machine of one CPU; this process has {cpus}");
    Idler::start()
}

/// Sends bursts and waits until they are gone and forwarded; returns the frames that the ring had no room for.
fn bursts(sender: &mut Sender, timing: &mut Timing, args: &Args, count: u32) -> anyhow::Result<u64> {
    let mut full = 0;
    for _ in 0..count {
        timing.next_burst()?;
        full += u64::from(sender.burst(args.burst));
    }
    sender.drain()?;
    timing.settle(args.settle)?;
    Ok(full)
}

/// Reads a frame on the command line.
fn parse_frame(text: &str) -> Result<FrameBytes, String> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|letter| letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.ok_or_else(|| "there is something that is no hexadecimal digit".to_owned())?;
    let (pairs, rest) = digits.as_chunks::<2>();
    match (rest.len(), pairs.len()) {
        (0, len) if FRAME_BYTES.contains(&len) => {
            Ok(FrameBytes(pairs.iter().map(|[high, low]| high << 4 | low).collect()))
        }
        (0, len) => Err(format!("{len} bytes are no Ethernet frame")),
        _ => Err(format!("{} digits are no whole bytes", digits.len())),
    }
}

/// Reads a number of microseconds above zero.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let us: f64 = text.parse().map_err(|_| format!("{text:?} is no number of microseconds"))?;
    match Duration::try_from_secs_f64(us / 1e6) {
        Ok(interval) if !interval.is_zero() => Ok(interval),
        _ => Err(format!("{text:?} is no interval")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_read_from_whole_bytes_and_has_an_ethernet_header() {
        let text = "0200000000010200000000020800Ff";
        let bytes = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 255];
        assert_eq!(parse_frame(text), Ok(FrameBytes(bytes.to_vec())));
        assert_eq!(parse_frame(&text[1..]), Err("29 digits are no whole bytes".to_owned()));
        assert_eq!(parse_frame(&text[4..]), Err("13 bytes are no Ethernet frame".to_owned()));
        assert!(parse_frame("0x00").is_err());
    }

    #[test]
    fn an_interval_may_be_a_fraction_and_not_nothing() {
        assert_eq!(parse_interval("12.5"), Ok(Duration::from_nanos(12_500)));
        assert!(
            parse_interval("0").is_err() && parse_interval("-1").is_err() && parse_interval("x").is_err()
        );
    }
}
