//! One trial: bursts at an interval through whatever stands between the cards, or into cards that take nothing.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use super::packets::{self, Way};
use crate::zero_copy::emulator::Guest;

/// Frames of a burst: what a driver or a card hands over at once when it is busy.
pub(super) const BURST: u32 = 32;

/// Bursts before those that are measured.
const WARM_UP: u32 = 32;

/// Time from the start of the generators' programs to the first burst: their cards have their links again by then. Units: s.
const LEAD_S: u32 = 8;

/// Directions of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Direction {
    /// LAN to WAN.
    Encap,
    /// WAN to LAN.
    Decap,
    /// Both at once, half of the frames each.
    Both,
}

impl Direction {
    pub(super) const ALL: [Self; 3] = [Self::Encap, Self::Decap, Self::Both];

    /// What tables call it.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Encap => "encapsulation",
            Self::Decap => "decapsulation",
            Self::Both => "both",
        }
    }

    fn ways(self) -> &'static [Way] {
        match self {
            Self::Encap => &[Way::Out],
            Self::Decap => &[Way::In],
            Self::Both => &[Way::Out, Way::In],
        }
    }

    /// Time from burst to burst of each generator, for so many frames a second of all.
    #[expect(clippy::cast_precision_loss, reason = "one or two")]
    pub(super) fn interval(self, frames_per_s: f64) -> Duration {
        Duration::from_secs_f64(f64::from(BURST) * self.ways().len() as f64 / frames_per_s)
    }

    /// Frames a second of all generators, at this time from burst to burst.
    pub(super) fn rate(self, interval: Duration) -> f64 {
        self.interval(1.0).as_secs_f64() / interval.as_secs_f64()
    }
}

/// What is sent in a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) direction: Direction,
    /// Length of the frames of the LAN without FCS. Units: bytes.
    pub(super) frame_bytes: u32,
    /// Whether what the peer sends are packets of the tunnel.
    pub(super) in_tunnel: bool,
    /// Time from burst to burst of each generator.
    pub(super) interval: Duration,
    /// Bursts of each generator that are measured.
    pub(super) bursts: u32,
}

/// What came out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    /// Frames of the measurement, of all generators.
    pub(super) frames: u64,
    /// Frames sent, those before the measurement included.
    pub(super) sent: u64,
    /// Frames that a generator's card did not take.
    pub(super) refused: u64,
    /// Of these, frames that left by the gateway's other card.
    pub(super) passed: u64,
    /// Bursts that began more than an interval too late.
    pub(super) late_bursts: u64,
    /// Length of the measurement. Units: s.
    pub(super) seconds: f64,
    /// Instructions of the whole machine in it.
    pub(super) instructions: f64,
}

/// What a generator reports; the same words.
#[derive(Debug, Deserialize)]
struct Report {
    is_zero_copy: bool,
    warm_up_frames: u64,
    frames: u64,
    tx_ring_full_frames: u64,
    late_bursts: u64,
    seconds: f64,
    busy_ns: Option<f64>,
}

impl Outcome {
    /// Whether every frame was sent and came through, and the generators kept to their time.
    pub(super) fn is_whole(&self) -> bool {
        self.passed == self.sent && self.refused == 0 && self.late_bursts == 0
    }

    /// Instructions of the whole machine per frame.
    #[expect(clippy::cast_precision_loss, reason = "thousands of frames")]
    pub(super) fn per_frame(&self) -> f64 {
        self.instructions / self.frames as f64
    }
}

/// Sends, with a system in place (`for_nobody` is false) or into cards that take nothing.
///
/// # Errors
/// The guest does not answer, or a generator fails.
pub(super) fn run(guest: &mut Guest, traffic: &Traffic, for_nobody: bool) -> Result<Outcome> {
    let said = guest.run(&script(traffic, for_nobody)?)?;
    outcome(&said, traffic.direction).with_context(|| format!("reading what the generators say: {said}"))
}

/// Starts the generators at one time, and tells what the gateway's cards have sent before and after.
fn script(traffic: &Traffic, for_nobody: bool) -> Result<String> {
    let mut script = format!(
        "rm -f /tmp/replay.*\npids=\necho $(card_sent wan) $(card_sent lan)\nstart=$(($(cut -d. -f1 /proc/uptime) + {LEAD_S}))\n"
    );
    for (number, way) in traffic.direction.ways().iter().enumerate() {
        // One of them measures; their times are the same.
        let measure = if number == 0 { "--measure " } else { "" };
        let frame = packets::frame(*way, usize::try_from(traffic.frame_bytes)?)?;
        let (place, bytes) = match way {
            Way::Out => ("sta lan0", frame),
            Way::In if traffic.in_tunnel => ("peer wan", packets::packet(&frame, for_nobody)?),
            Way::In => ("peer wan", frame),
        };
        let interval_us = traffic.interval.as_secs_f64() * 1e6;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        script.push_str(&format!(
            "replay {place} {measure}--mode zero-copy --burst {BURST} --warm-up {WARM_UP} --bursts {} --interval-us {interval_us:.3} \
             --start-at $start --frame {digits}\n",
            traffic.bursts
        ));
    }
    script.push_str("replays_end\necho $(card_sent wan) $(card_sent lan)\ncat /tmp/replay.*\n");
    Ok(script)
}

/// Reads two lines of counts and the generators' reports.
fn outcome(said: &str, direction: Direction) -> Result<Outcome> {
    let mut lines = said.splitn(3, '\n');
    let mut counts = || -> Result<[u64; 2]> {
        let line = lines.next().context("a line is missing")?;
        let numbers: Result<Vec<u64>, _> = line.split(' ').map(str::parse).collect();
        <[u64; 2]>::try_from(numbers?).ok().context("not two counts")
    };
    let (before, after) = (counts()?, counts()?);
    let reports: Result<Vec<Report>, _> =
        serde_json::Deserializer::from_str(lines.next().unwrap_or_default()).into_iter().collect();
    let reports = reports?;
    ensure!(reports.len() == direction.ways().len(), "{} reports", reports.len());
    ensure!(reports.iter().all(|report| report.is_zero_copy), "a generator is not zero-copy");
    let passed = direction.ways().iter().map(|way| match way {
        Way::Out => after[0] - before[0],
        Way::In => after[1] - before[1],
    });
    let sum = |count: fn(&Report) -> u64| reports.iter().map(count).sum::<u64>();
    let measured = reports.iter().find_map(|report| report.busy_ns.map(|busy_ns| (report.seconds, busy_ns)));
    let (seconds, instructions) = measured.context("no generator measured")?;
    ensure!(reports.iter().all(|report| report.frames > 0), "a generator sent nothing");
    Ok(Outcome {
        frames: sum(|report| report.frames),
        sent: sum(|report| report.warm_up_frames + report.frames),
        refused: sum(|report| report.tx_ring_full_frames),
        passed: passed.sum(),
        late_bursts: sum(|report| report.late_bursts),
        seconds,
        instructions,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"interface": "lan0", "frame_bytes": 64, "is_zero_copy": true, "warm_up_frames": 10,
        "frames": 100, "tx_ring_full_frames": 0, "late_bursts": 0, "seconds": 0.5, "busy_ns": 250000.0}"#;

    #[test]
    fn frames_are_counted_at_the_card_that_they_leave_by() {
        let said = format!("5 7\n115 107\n{REPORT}\n");
        let out = outcome(&said, Direction::Encap).unwrap();
        assert!(out.is_whole() && (out.per_frame() - 2500.0).abs() < 1e-9, "{out:?}");
        let back = outcome(&said, Direction::Decap).unwrap();
        assert_eq!((back.sent, back.passed, back.is_whole()), (110, 100, false));
        let both = outcome(&format!("{said}{REPORT}"), Direction::Both).unwrap();
        assert_eq!((both.frames, both.sent, both.passed), (200, 220, 210));
    }

    #[test]
    fn frames_that_a_card_did_not_take_make_a_trial_no_whole_one_and_none_at_all_is_a_fault() {
        let some = REPORT.replace("\"tx_ring_full_frames\": 0", "\"tx_ring_full_frames\": 1");
        assert!(!outcome(&format!("5 7\n115 107\n{some}\n"), Direction::Encap).unwrap().is_whole());
        let none = REPORT.replace("\"frames\": 100", "\"frames\": 0");
        assert!(outcome(&format!("5 7\n15 7\n{none}\n"), Direction::Encap).is_err());
    }

    #[test]
    fn a_generator_that_copies_or_says_nothing_is_a_fault() {
        let said = format!("5 7\n115 107\n{}", REPORT.replace("true", "false"));
        assert!(outcome(&said, Direction::Encap).is_err());
        assert!(outcome("5 7\n115 107\n", Direction::Encap).is_err());
    }

    #[test]
    fn rate_and_interval_are_of_all_generators() {
        let interval = Direction::Both.interval(100_000.0);
        assert_eq!(interval, Duration::from_micros(640));
        assert!((Direction::Both.rate(interval) - 100_000.0).abs() < 1e-6);
        assert_eq!(Direction::Encap.interval(100_000.0), Duration::from_micros(320));
    }
}
