//! `sink`: counts and drops stamped frames at an interface, and checks each flow's sequence numbers.
//!
//! `bpf/sink.bpf.c` does the counting in XDP, natively where the driver can. The program is attached by
//! a link that ends with this process, however that ends.

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use libbpf_rs::Object;
use serde::Serialize;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::interface::{self, Counters};
use crate::latency::Latency;
use crate::object;
use crate::stop::{self, Stop};

/// How often the counters are looked at for `--frames` and signals.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// 64-bit words of the window in `bpf/sink.bpf.c`.
const WINDOW_WORDS: usize = 16;

/// Classes of latencies in `bpf/sink.bpf.c`.
const LATENCY_CLASSES: u32 = 1984;

/// Where to count, and for how long.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The interface whose frames are counted, in the present namespace.
    #[arg(long)]
    interface: String,
    /// Flow ids below this are counted; the rest are dropped as unknown.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    flows: u32,
    /// What happens to frames without a stamp.
    #[arg(long, value_enum, default_value_t = Others::Pass)]
    others: Others,
    /// Stop once this many stamped frames have come.
    #[arg(long)]
    frames: Option<u64>,
    /// Stop after this many seconds; without it, run until SIGTERM or SIGINT.
    #[arg(long, value_parser = stop::parse_seconds)]
    duration: Option<Duration>,
    /// Told to stop by a signal, go on until no stamped frame has come for this many seconds: those under way still count.
    #[arg(long, value_parser = stop::parse_seconds)]
    silence: Option<Duration>,
    /// Tell how long after they were due frames came: those of a generator with --on-schedule on this machine.
    #[arg(long)]
    latency: bool,
    /// Report every flow that was seen.
    #[arg(long)]
    per_flow: bool,
}

/// What happens to frames without a stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Others {
    /// The kernel's stack gets them.
    Pass,
    /// Nobody gets them.
    Drop,
}

impl Others {
    /// The XDP action.
    fn action(self) -> u32 {
        match self {
            Self::Drop => 1,
            Self::Pass => 2,
        }
    }
}

/// What was counted.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The counting interface.
    pub interface: String,
    /// Stamped frames of known flows, duplicates included.
    pub frames: u64,
    /// Bytes of those, without check sequences.
    pub bytes: u64,
    /// From the first to the last of them, at timer-tick resolution (1 to 10 ms).
    pub seconds: f64,
    /// `frames` per second; 0 where they came within one tick.
    pub frames_per_s: f64,
    /// Flows of which a frame came.
    pub flows_seen: u32,
    /// Sequence numbers that never came, between the first and the last that came of their flow.
    pub missing_frames: u64,
    /// Frames that came behind a later one of their flow, for the first time.
    pub reordered_frames: u64,
    /// Frames that had come before.
    pub duplicate_frames: u64,
    /// Frames so far behind (about 1000) that they may be either; they are also in `missing_frames`.
    pub stale_frames: u64,
    /// Stamped frames of flows beyond `--flows`.
    pub unknown_flow_frames: u64,
    /// Frames without a stamp.
    pub other_frames: u64,
    /// Bytes of those.
    pub other_bytes: u64,
    /// What the interface counted meanwhile.
    pub interface_counters: Counters,
    /// How long after they were due frames came, where asked for and told by the frames.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<Latency>,
    /// Each flow that was seen, where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_flow: Option<Vec<FlowReport>>,
}

/// What was counted of one flow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlowReport {
    /// Its id.
    pub flow: u32,
    /// Its frames, duplicates included.
    pub frames: u64,
    /// Bytes of those.
    pub bytes: u64,
    /// The lowest sequence number that came.
    pub first_sequence: u64,
    /// The highest sequence number that came.
    pub last_sequence: u64,
    /// See [`Report::missing_frames`].
    pub missing_frames: u64,
    /// See [`Report::reordered_frames`].
    pub reordered_frames: u64,
    /// See [`Report::duplicate_frames`].
    pub duplicate_frames: u64,
    /// See [`Report::stale_frames`].
    pub stale_frames: u64,
}

/// One flow as `bpf/sink.bpf.c` declares it.
#[derive(FromBytes, IntoBytes, Immutable, Clone, Copy)]
#[repr(C)]
struct FlowRecord {
    lock: u32,
    reserved: u32,
    frames: u64,
    bytes: u64,
    first: u64,
    highest: u64,
    reordered: u64,
    duplicates: u64,
    stale: u64,
    seen: [u64; WINDOW_WORDS],
}

impl FlowRecord {
    /// The record in the report's words; `None` of a flow that never came.
    fn report(&self, flow: u32) -> Option<FlowReport> {
        if self.frames == 0 {
            return None;
        }
        let span = self.highest - self.first + 1;
        let distinct = self.frames - self.duplicates - self.stale;
        Some(FlowReport {
            flow,
            frames: self.frames,
            bytes: self.bytes,
            first_sequence: self.first,
            last_sequence: self.highest,
            missing_frames: span - distinct,
            reordered_frames: self.reordered,
            duplicate_frames: self.duplicates,
            stale_frames: self.stale,
        })
    }
}

/// One CPU's totals as `bpf/sink.bpf.c` declares them.
#[derive(FromBytes, Clone, Copy)]
#[repr(C)]
struct Totals {
    frames: u64,
    bytes: u64,
    first_ns: u64,
    last_ns: u64,
    other_frames: u64,
    other_bytes: u64,
    unknown_flow_frames: u64,
}

/// The constants of `bpf/sink.bpf.c`.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Settings {
    flow_count: u32,
    other_action: u32,
    with_latency: u32,
    padding: u32,
}

/// Counts until the end that `args` name. Writes one line to standard error once it is attached.
///
/// # Errors
/// The interface is missing or has a program already, or the kernel refuses this one.
pub fn run(args: &Args) -> anyhow::Result<Report> {
    let ifindex = i32::try_from(interface::index(&args.interface)?)?;
    let stop = Stop::after(args.duration)?;
    let mut object = prepare(args)?;
    let before = Counters::read(&args.interface)?;
    let link = object::program_mut(&mut object)?
        .attach_xdp(ifindex)
        .with_context(|| format!("cannot attach the sink to interface {}", args.interface))?;
    eprintln!("sink attached to {}", args.interface);
    let mut end = End::new(args);
    while !end.is_reached(&stop, frames_so_far(&object)?) {
        std::thread::sleep(POLL_INTERVAL);
    }
    let interface_counters = Counters::read(&args.interface)?.since(before);
    drop(link);
    report(&object, args, interface_counters)
}

/// Loads the program with room for the flows.
fn prepare(args: &Args) -> anyhow::Result<Object> {
    let mut open = object::open(object::SINK)?;
    let settings = Settings {
        flow_count: args.flows,
        other_action: args.others.action(),
        with_latency: u32::from(args.latency),
        padding: 0,
    };
    object::set_settings(&mut open, settings.as_bytes())?;
    object::set_entries(&mut open, "FLOWS", args.flows)?;
    object::load(open, object::SINK)
}

/// The end: of time, by the number of frames, or by a signal and silence after it.
#[derive(Debug)]
struct End {
    frames: Option<u64>,
    silence: Option<Duration>,
    /// Frames at the last look after the signal, and since when there are so many; `None` before.
    heard: Option<(u64, Instant)>,
}

impl End {
    /// An end that has not come yet.
    fn new(args: &Args) -> Self {
        Self { frames: args.frames, silence: args.silence, heard: None }
    }

    /// Whether it has come, now that `came` frames have.
    fn is_reached(&mut self, stop: &Stop, came: u64) -> bool {
        let has_all = self.frames.is_some_and(|frames| came >= frames);
        has_all || stop.is_overdue() || (stop.is_signalled() && self.is_silent(came))
    }

    /// Whether nothing has come for as long as asked, counted from the first time that this is called.
    fn is_silent(&mut self, came: u64) -> bool {
        let Some(silence) = self.silence else { return true };
        match self.heard {
            Some((before, since)) if before == came => since.elapsed() >= silence,
            _ => {
                self.heard = Some((came, Instant::now()));
                false
            }
        }
    }
}

/// Stamped frames until now.
fn frames_so_far(object: &Object) -> anyhow::Result<u64> {
    Ok(read_totals(object)?.iter().map(|totals| totals.frames).sum())
}

/// Frames by latency class, over all CPUs.
fn latency_classes(object: &Object) -> anyhow::Result<Vec<u64>> {
    let map = object::map(object, "LATENCIES")?;
    let over_cpus = |class| Ok(object::read_per_cpu::<u64>(&map, class)?.iter().sum());
    (0..LATENCY_CLASSES).map(over_cpus).collect()
}

/// Every CPU's totals.
fn read_totals(object: &Object) -> anyhow::Result<Vec<Totals>> {
    object::read_per_cpu(&object::map(object, "TOTALS")?, 0)
}

/// Adds everything up.
fn report(object: &Object, args: &Args, interface_counters: Counters) -> anyhow::Result<Report> {
    let totals = read_totals(object)?;
    let map = object::map(object, "FLOWS")?;
    let records: Vec<FlowRecord> =
        (0..args.flows).map(|flow| object::read_entry(&map, flow)).collect::<Result<_, _>>()?;
    let flows: Vec<FlowReport> =
        (0..).zip(&records).filter_map(|(flow, record)| record.report(flow)).collect();
    let over_flows = |field: fn(&FlowReport) -> u64| flows.iter().map(field).sum::<u64>();
    let over_cpus = |field: fn(&Totals) -> u64| totals.iter().map(field).sum::<u64>();
    let frames = over_cpus(|totals| totals.frames);
    let seconds = span_seconds(&totals);
    Ok(Report {
        interface: args.interface.clone(),
        frames,
        bytes: over_cpus(|totals| totals.bytes),
        seconds,
        frames_per_s: if seconds > 0.0 { frames as f64 / seconds } else { 0.0 },
        flows_seen: u32::try_from(flows.len())?,
        missing_frames: over_flows(|flow| flow.missing_frames),
        reordered_frames: over_flows(|flow| flow.reordered_frames),
        duplicate_frames: over_flows(|flow| flow.duplicate_frames),
        stale_frames: over_flows(|flow| flow.stale_frames),
        unknown_flow_frames: over_cpus(|totals| totals.unknown_flow_frames),
        other_frames: over_cpus(|totals| totals.other_frames),
        other_bytes: over_cpus(|totals| totals.other_bytes),
        interface_counters,
        latency: if args.latency { Latency::of_classes(&latency_classes(object)?)? } else { None },
        per_flow: args.per_flow.then_some(flows),
    })
}

/// From the first to the last frame over all CPUs.
fn span_seconds(totals: &[Totals]) -> f64 {
    let active = || totals.iter().filter(|totals| totals.frames > 0);
    let first_ns = active().map(|totals| totals.first_ns).min().unwrap_or(0);
    let last_ns = active().map(|totals| totals.last_ns).max().unwrap_or(0);
    Duration::from_nanos(last_ns.saturating_sub(first_ns)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use libbpf_rs::ProgramInput;

    use super::*;
    use crate::flows::FlowPlan;

    fn record() -> FlowRecord {
        FlowRecord {
            lock: 0,
            reserved: 0,
            frames: 10,
            bytes: 640,
            first: 5,
            highest: 16,
            reordered: 2,
            duplicates: 1,
            stale: 0,
            seen: [0; WINDOW_WORDS],
        }
    }

    #[test]
    fn nine_distinct_frames_of_twelve_sequence_numbers_leave_three_missing() {
        let report = record().report(7).expect("it came");
        assert_eq!((report.flow, report.missing_frames, report.duplicate_frames), (7, 3, 1));
    }

    #[test]
    fn a_flow_that_never_came_is_not_reported() {
        assert_eq!(FlowRecord { frames: 0, first: 0, highest: 0, ..record() }.report(0), None);
    }

    #[test]
    fn the_span_is_over_the_cpus_that_saw_frames() {
        let idle = Totals {
            frames: 0,
            bytes: 0,
            first_ns: 0,
            last_ns: 0,
            other_frames: 0,
            other_bytes: 0,
            unknown_flow_frames: 0,
        };
        let early = Totals { frames: 1, first_ns: 1_000_000_000, last_ns: 1_500_000_000, ..idle };
        let late = Totals { frames: 1, first_ns: 1_250_000_000, last_ns: 3_000_000_000, ..idle };
        assert!((span_seconds(&[idle, late, early]) - 2.0).abs() < 1e-9);
    }

    /// Runs the program, attached to nothing, over one frame of flow 0 for each sequence number.
    fn feed(object: &mut Object, vlan: Option<u16>, sequences: &[u64]) {
        let range = |text: &str| text.parse().expect("a range");
        let (source, destination) = (range("02:00:00:00:01:00"), range("02:00:00:00:02:00"));
        let plan = FlowPlan { flows: 1, source, destination, vlan, frame_bytes: 64 };
        let program = object::program_mut(object).expect("the sink");
        for sequence in sequences {
            let mut frame = plan.frame(0).expect("a frame");
            frame[plan.sequence_offset()..][..8].copy_from_slice(&sequence.to_be_bytes());
            let input = ProgramInput { data_in: Some(&frame), ..ProgramInput::default() };
            assert_eq!(program.test_run(input).expect("it runs").return_value, 1, "XDP_DROP");
        }
    }

    fn counted(object: &Object) -> FlowReport {
        let record: FlowRecord =
            object::read_entry(&object::map(object, "FLOWS").expect("a map"), 0).expect("an entry");
        record.report(0).expect("it came")
    }

    fn loaded() -> Object {
        prepare(&Args {
            interface: String::new(),
            flows: 1,
            others: Others::Pass,
            frames: None,
            duration: None,
            silence: None,
            latency: true,
            per_flow: true,
        })
        .expect("loaded")
    }

    #[test]
    fn after_a_signal_stragglers_are_waited_for_and_without_silence_nothing_is() {
        let mut end = End { frames: Some(10), silence: Some(Duration::ZERO), heard: None };
        assert!(!end.is_silent(3), "frames may be under way");
        assert!(!end.is_silent(4), "one has come since");
        assert!(end.is_silent(4));
        assert!(End { silence: None, ..end }.is_silent(5));
    }

    #[test]
    fn all_frames_or_a_deadline_are_an_end_without_a_signal() {
        let end = || End { frames: Some(10), silence: Some(Duration::ZERO), heard: None };
        let waiting = Stop::after(None).expect("handlers");
        assert_eq!([9, 9, 10].map(|came| end().is_reached(&waiting, came)), [false, false, true]);
        let overdue = Stop::after(Some(Duration::ZERO)).expect("handlers");
        assert!(end().is_reached(&overdue, 0));
    }

    #[test]
    #[ignore = "needs root: cargo test -p spanwire-bench -- --ignored"]
    fn a_frame_that_was_due_a_while_ago_is_booked_with_that_time() {
        let mut object = loaded();
        let range = |text: &str| text.parse().expect("a range");
        let (source, destination) = (range("02:00:00:00:01:00"), range("02:00:00:00:02:00"));
        let plan = FlowPlan { flows: 1, source, destination, vlan: None, frame_bytes: 64 };
        let mut frame = plan.frame(0).expect("a frame");
        let ago_ns = 30_000_000_000_u64;
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let now_ns = u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).expect("positive");
        let due = (now_ns.wrapping_sub(ago_ns) << 16).to_be_bytes();
        frame[plan.time_offset().expect("untagged")..][..6].copy_from_slice(&due[..6]);
        let input = ProgramInput { data_in: Some(&frame), ..ProgramInput::default() };
        object::program_mut(&mut object).expect("the sink").test_run(input).expect("it runs");
        // Without a time: counted as a frame, not as a latency.
        feed(&mut object, None, &[1]);
        let latency = Latency::of_classes(&latency_classes(&object).expect("classes"));
        let latency = latency.expect("a histogram").expect("one frame");
        assert_eq!((latency.frames, frames_so_far(&object).expect("totals")), (1, 2));
        assert!(latency.max_ns.abs_diff(ago_ns) < ago_ns / 50, "{latency:?}");
    }

    #[test]
    #[ignore = "needs root: cargo test -p spanwire-bench -- --ignored"]
    fn gaps_late_frames_and_duplicates_are_told_apart() {
        let mut object = loaded();
        // 10 and 11 in order; 14 skips 12 and 13; 12 is late; 12 again is a duplicate, and so is 14.
        feed(&mut object, None, &[10, 11, 14, 12, 12, 14]);
        let expected = FlowReport {
            flow: 0,
            frames: 6,
            bytes: 6 * 64,
            first_sequence: 10,
            last_sequence: 14,
            missing_frames: 1,
            reordered_frames: 1,
            duplicate_frames: 2,
            stale_frames: 0,
        };
        assert_eq!(counted(&object), expected);
    }

    #[test]
    #[ignore = "needs root: cargo test -p spanwire-bench -- --ignored"]
    fn a_jump_beyond_the_window_forgets_what_is_behind_it() {
        let mut object = loaded();
        // 5000 / 64 is word 78: words 63 to 78 remain, so 4032 may come late and 4031 may be anything.
        feed(&mut object, Some(9), &[0, 1, 5000, 4032, 4032, 4031, 1]);
        let report = counted(&object);
        assert_eq!((report.reordered_frames, report.duplicate_frames, report.stale_frames), (1, 1, 2));
        assert_eq!(report.missing_frames, 5001 - 4);
    }

    #[test]
    #[ignore = "needs root: cargo test -p spanwire-bench -- --ignored"]
    fn a_frame_without_a_stamp_is_passed_and_counted_apart() {
        let object = &mut loaded();
        let input = ProgramInput { data_in: Some(&[0xFF; 64]), ..ProgramInput::default() };
        let verdict = object::program_mut(object).expect("the sink").test_run(input).expect("it runs");
        let totals = read_totals(object).expect("totals");
        assert_eq!(verdict.return_value, 2, "XDP_PASS");
        assert_eq!(totals.iter().map(|totals| (totals.frames, totals.other_frames)).max(), Some((0, 1)));
    }
}
