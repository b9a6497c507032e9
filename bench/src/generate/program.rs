//! The loaded generator program: its flows, its pace, and how far it is.

use std::time::Duration;

use anyhow::Context;
use libbpf_rs::{ErrorKind, MapHandle, Object, ProgramInput};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::flows::{FlowPlan, HEAD_BYTES};
use crate::object;

/// `BPF_F_TEST_XDP_LIVE_FRAMES`.
const LIVE_FRAMES: u32 = 1 << 1;

/// The most runs asked of one system call.
const CALL_RUNS: u64 = 1 << 30;

/// The longest burst: what the kernel hands to the driver at once.
pub(super) const MAX_BURST_FRAMES: u64 = 64;

/// Bursts come at least this often, unless the rate is lower still.
const LONGEST_INTERVAL: Duration = Duration::from_millis(1);

/// A paced generator that is behind by more than this gives the lost time up.
const MAX_LAG: Duration = Duration::from_millis(10);

/// The program reads the clock with every so many frames.
const CLOCK_FRAMES: u64 = 64;

/// How many frames how often, and what becomes of time that is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    burst_frames: u32,
    interval_ns: u64,
    max_lag_ns: u64,
}

impl Pace {
    /// The pace of `rate` frames a second, in bursts of at most `longest_burst`, as short as once a millisecond allows.
    /// Lost time is given up.
    pub(super) fn of(rate: u64, longest_burst: u64) -> Self {
        let rate = rate.clamp(1, 1_000_000_000);
        let per_interval = u128::from(rate) * LONGEST_INTERVAL.as_nanos() / 1_000_000_000;
        let longest_burst = longest_burst.clamp(1, MAX_BURST_FRAMES);
        let burst = u64::try_from(per_interval).unwrap_or(longest_burst).clamp(1, longest_burst);
        let interval_ns = burst * 1_000_000_000 / rate;
        let max_lag_ns = u64::try_from(MAX_LAG.as_nanos()).unwrap_or(u64::MAX);
        Self { burst_frames: u32::try_from(burst).unwrap_or(1), interval_ns, max_lag_ns }
    }

    /// The same pace as a schedule that holds whatever happens: what could not be sent in time is sent as soon as it can be.
    pub(super) fn on_schedule(self) -> Self {
        Self { max_lag_ns: u64::MAX, ..self }
    }
}

/// One flow as `bpf/generate.bpf.c` declares it.
#[derive(FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Flow {
    head: [u8; HEAD_BYTES],
    next_sequence: u64,
}

/// The constants of `bpf/generate.bpf.c`.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Settings {
    frame_limit: u64,
    burst_interval_ns: u64,
    max_lag_ns: u64,
    burst_frames: u32,
    flow_count: u32,
    sequence_offset: u32,
    time_offset: u32,
}

/// How far the program is, as `bpf/generate.bpf.c` declares it.
#[derive(FromBytes, Clone, Copy)]
#[repr(C)]
pub(super) struct Progress {
    pub(super) frames: u64,
    first_ns: u64,
    last_ns: u64,
    next_burst_ns: u64,
    burst_ns: u64,
    /// Time spent waiting for frames to become due.
    pub(super) waited_ns: u64,
    /// Time of the schedule that was given up.
    pub(super) given_up_ns: u64,
    runs: u64,
    idle_since_ns: u64,
    burst_left: u32,
    next_flow: u32,
}

impl Progress {
    /// From the first frame to the last one that the clock was read with.
    pub(super) fn seconds(self) -> f64 {
        Duration::from_nanos(self.last_ns.saturating_sub(self.first_ns)).as_secs_f64()
    }

    /// Frames per second over that time, 0 if there is none.
    pub(super) fn frames_per_s(self) -> f64 {
        let timed_frames = self.frames.saturating_sub(1) / CLOCK_FRAMES * CLOCK_FRAMES;
        if timed_frames == 0 { 0.0 } else { timed_frames as f64 / self.seconds() }
    }
}

/// Tells, from any thread, how far the generator is.
pub(super) struct Completion {
    state: MapHandle,
    limit: u64,
}

impl Completion {
    /// How far it is.
    pub(super) fn progress(&self) -> anyhow::Result<Progress> {
        object::read_entry(&self.state, 0)
    }

    /// Whether all frames asked for were sent at that time.
    pub(super) fn is_reached(&self, progress: &Progress) -> bool {
        progress.frames >= self.limit
    }
}

/// The program in the kernel, ready to send.
pub(super) struct Generator {
    object: Object,
    template: Vec<u8>,
    flows: u32,
    limit: u64,
    is_paced: bool,
}

impl Generator {
    /// Loads the program with the plan's flows, to send at most `count` frames out of an interface.
    pub(super) fn load(
        plan: &FlowPlan,
        ifindex: u32,
        count: Option<u64>,
        pace: Option<Pace>,
    ) -> anyhow::Result<Self> {
        let template = plan.frame(0)?;
        let limit = count.unwrap_or(u64::MAX);
        let mut open = object::open(object::GENERATE)?;
        object::set_settings(&mut open, settings(plan, limit, pace)?.as_bytes())?;
        object::set_entries(&mut open, "FLOWS", plan.flows)?;
        let mut object = object::load(open, object::GENERATE)?;
        let flows = object::map_mut(&mut object, "FLOWS")?;
        for flow in 0..plan.flows {
            let frame = plan.frame(flow)?;
            let head = *frame.first_chunk().context("a frame is shorter than its head")?;
            object::write_entry(&flows, flow, &Flow { head, next_sequence: 0 })?;
        }
        object::write_entry(&object::map_mut(&mut object, "OUT")?, 0, &ifindex)?;
        Ok(Self { object, template, flows: plan.flows, limit, is_paced: pace.is_some() })
    }

    /// Sends until the frames are sent or a signal comes. A paced generator runs on behind its last
    /// frame: then only a signal ends it.
    pub(super) fn send(&mut self) -> anyhow::Result<()> {
        let left = self.limit - self.progress()?.frames;
        let runs = if self.is_paced { CALL_RUNS } else { left.min(CALL_RUNS) };
        let input = ProgramInput {
            data_in: Some(&self.template),
            flags: LIVE_FRAMES,
            repeat: u32::try_from(runs)?,
            ..ProgramInput::default()
        };
        match object::program_mut(&mut self.object)?.test_run(input) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error).context("the kernel refuses to run the generator with live frames"),
        }
    }

    /// How far it is.
    pub(super) fn progress(&self) -> anyhow::Result<Progress> {
        object::read_entry(&object::map(&self.object, "STATE")?, 0)
    }

    /// Whether all frames asked for are sent.
    pub(super) fn is_complete(&self) -> anyhow::Result<bool> {
        Ok(self.progress()?.frames >= self.limit)
    }

    /// The same question, to be asked by another thread.
    pub(super) fn completion(&self) -> anyhow::Result<Completion> {
        let state = MapHandle::try_from(&object::map(&self.object, "STATE")?)?;
        Ok(Completion { state, limit: self.limit })
    }

    /// Frames that each flow has sent: its next sequence number.
    pub(super) fn frames_per_flow(&self) -> anyhow::Result<Vec<u64>> {
        let map = object::map(&self.object, "FLOWS")?;
        (0..self.flows).map(|flow| Ok(object::read_entry::<Flow>(&map, flow)?.next_sequence)).collect()
    }
}

/// The program's constants.
fn settings(plan: &FlowPlan, frame_limit: u64, pace: Option<Pace>) -> anyhow::Result<Settings> {
    Ok(Settings {
        frame_limit,
        burst_interval_ns: pace.map_or(0, |pace| pace.interval_ns),
        max_lag_ns: pace.map_or(0, |pace| pace.max_lag_ns),
        burst_frames: pace.map_or(0, |pace| pace.burst_frames),
        flow_count: plan.flows,
        sequence_offset: u32::try_from(plan.sequence_offset())?,
        time_offset: u32::try_from(plan.time_offset().unwrap_or(0))?,
    })
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros as _;

    use super::*;

    #[test]
    fn a_million_a_second_is_64_frames_every_64_microseconds() {
        assert_eq!(
            Pace::of(1_000_000, 64),
            Pace { burst_frames: 64, interval_ns: 64_000, max_lag_ns: 10_000_000 }
        );
    }

    #[test]
    fn ten_thousand_a_second_is_10_frames_every_millisecond() {
        let pace = Pace::of(10_000, 64);
        assert_eq!((pace.burst_frames, pace.interval_ns), (10, 1_000_000));
    }

    #[test]
    fn a_rate_below_one_per_millisecond_sends_single_frames() {
        let pace = Pace::of(3, 64);
        assert_eq!((pace.burst_frames, pace.interval_ns), (1, 333_333_333));
    }

    #[test]
    fn bursts_may_be_shorter_and_a_schedule_gives_no_time_up() {
        let expected = Pace { burst_frames: 1, interval_ns: 4000, max_lag_ns: u64::MAX };
        assert_eq!(Pace::of(250_000, 1).on_schedule(), expected);
        let pace = Pace::of(250_000, 16);
        assert_eq!((pace.burst_frames, pace.interval_ns), (16, 64_000));
    }

    #[test]
    fn the_rate_counts_only_frames_up_to_the_last_clock_reading() {
        let progress =
            Progress { frames: 150, first_ns: 1_000, last_ns: 1_000 + 128_000, ..Progress::new_zeroed() };
        assert!((progress.frames_per_s() - 1e6).abs() < 1e-3);
    }
}
