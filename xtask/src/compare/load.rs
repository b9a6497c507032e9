//! Load: one generator, one sink, and what they found. The same for every system.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use netlab::{Lab, Node, Process};
use rustix::process::Signal;
use serde::de::DeserializeOwned;

use super::reports::{Generated, Latency, Sunk, Usage};
use super::site::words;
use super::tools::Tools;

/// Flows, and stations at each end: some, so that no single one is in every cache.
pub(super) const FLOWS: u32 = 64;

/// First stations behind the generator and behind the sink.
const STATIONS: [&str; 2] = ["02:00:00:01:00:00", "02:00:00:02:00:00"];

/// Frames that are due at once: as a network card brings them that raises an interrupt for some frames, not for each.
pub(super) const BURST: u32 = 16;

/// How long after the generator's end the sink waits for stragglers: until none has come for so long. Units: s.
const SILENCE_S: f64 = 0.15;

/// Part of a measurement of CPU time that is not measured. Units: s.
pub(super) const WARM_UP_S: f64 = 0.3;

/// Time that a program may take beyond what it was asked to.
const SLACK: Duration = Duration::from_secs(20);

/// A part of the offered rate that may be missing: a generator that sends less was held up.
const HELD_UP: f64 = 0.98;

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Offer {
    /// Length of a frame without FCS. Units: bytes.
    pub(super) frame_bytes: u32,
    /// Rate. Units: frames/s.
    pub(super) rate: u64,
    /// For how long. Units: s.
    pub(super) seconds: f64,
    /// What is wanted to know besides loss.
    pub(super) look: Look,
}

/// What is wanted to know besides loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// Nothing.
    Loss,
    /// The CPU time of the whole machine.
    Cpu,
    /// How long each frame took from the moment at which it was due.
    Latency,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    /// Frames sent.
    pub(super) sent: u64,
    /// Frames that came.
    pub(super) came: u64,
    /// Rate of sending. Units: frames/s.
    pub(super) sent_pps: f64,
    /// What the machine did.
    pub(super) usage: Option<Usage>,
    /// How long the frames took.
    pub(super) latency: Option<Latency>,
}

/// Where a program runs.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// In a namespace of the lab.
    In(&'a Node),
    /// Where this command runs: on the machine's own interfaces.
    Here,
}

/// Generator and sink, and where they run.
#[derive(Debug)]
pub(super) struct Load<'a> {
    /// The lab that ends what runs.
    pub(super) lab: &'a Lab,
    /// Where is sent.
    pub(super) generator: Place<'a>,
    /// Where is received.
    pub(super) sink: Place<'a>,
    /// Where the programs are.
    pub(super) tools: &'a Tools,
    /// The generator's CPU.
    pub(super) cpu: usize,
    /// Programs started so far: each has a log of its own.
    pub(super) started: &'a Cell<u32>,
}

impl Outcome {
    /// Share of the frames that did not come. Range: 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    pub(super) fn loss(&self) -> f64 {
        self.sent.saturating_sub(self.came) as f64 / self.sent.max(1) as f64
    }

    /// Whether the frames were sent as fast as offered.
    #[expect(clippy::cast_precision_loss, reason = "rates far below 2^53")]
    pub(super) fn kept_up(&self, offer: &Offer) -> bool {
        self.sent_pps >= offer.rate as f64 * HELD_UP
    }
}

impl Load<'_> {
    /// Sends from `from` of the generator's machine and counts at `to` of the sink's.
    ///
    /// # Errors
    /// A program fails, or frames came twice; loss is no error.
    pub(super) fn offer(&self, from: &str, to: &str, offer: &Offer) -> Result<Outcome> {
        self.offer_while(from, to, offer, || Ok(())).map(|(outcome, ())| outcome)
    }

    /// The same; does `meanwhile` once the generator has been started.
    ///
    /// # Errors
    /// As [`Self::offer`], or `meanwhile` fails.
    pub(super) fn offer_while<T>(
        &self,
        from: &str,
        to: &str,
        offer: &Offer,
        meanwhile: impl FnOnce() -> Result<T>,
    ) -> Result<(Outcome, T)> {
        let sink = self.start_sink(to, offer)?;
        let Offer { rate, seconds, look, .. } = *offer;
        let look = match look {
            Look::Loss => String::new(),
            Look::Cpu => format!("--measure-after {WARM_UP_S}"),
            Look::Latency => "--on-schedule".to_owned(),
        };
        let end = if look.starts_with("--measure") { seconds + WARM_UP_S } else { seconds };
        let options = format!("--rate {rate} --burst {BURST} --duration {end} {look}");
        let generator = self.start_generator(from, [0, 1], offer.frame_bytes, &options)?;
        let found = meanwhile()?;
        let generated: Generated = finish(&generator, Duration::from_secs_f64(end) + SLACK)?;
        // What is under way is waited for, not what a held-up generator has not sent.
        sink.signal(Signal::TERM);
        let sunk: Sunk = finish(&sink, SLACK)?;
        ensure!(sunk.duplicate_frames == 0, "{} frames came twice", sunk.duplicate_frames);
        let outcome = Outcome {
            sent: generated.frames,
            came: sunk.frames,
            sent_pps: generated.frames_per_s,
            usage: generated.usage,
            latency: sunk.latency,
        };
        Ok((outcome, found))
    }

    /// Sends a few frames of each station from the far end, so that every gateway knows where it is.
    pub(super) fn teach(&self, interface: &str) -> Result<()> {
        let words = self.generator_words(interface, [1, 0], 64, "--count 640 --rate 20000")?;
        let teacher = self.start(self.sink, "teach", &words)?;
        let _: Generated = finish(&teacher, SLACK)?;
        Ok(())
    }

    /// Starts a sink and waits until it counts.
    fn start_sink(&self, interface: &str, offer: &Offer) -> Result<Process> {
        let latency = if offer.look == Look::Latency { "--latency" } else { "" };
        let longest = offer.seconds + SLACK.as_secs_f64() / 2.0;
        let options = format!(
            "sink --interface {interface} --flows {FLOWS} --silence {SILENCE_S} --duration {longest} {latency}"
        );
        let sink = self.start(
            self.sink,
            "sink",
            &[self.tools.program("spanwire-bench")?, words(&options)].concat(),
        )?;
        self.lab.wait_until("the sink to be attached", SLACK, || {
            let log = sink.log();
            if log.contains("sink attached") { Ok(()) } else { Err(log) }
        })?;
        Ok(sink)
    }

    fn start_generator(
        &self,
        interface: &str,
        ends: [usize; 2],
        frame_bytes: u32,
        options: &str,
    ) -> Result<Process> {
        let words = self.generator_words(interface, ends, frame_bytes, options)?;
        self.start(self.generator, "generate", &words)
    }

    fn generator_words(
        &self,
        interface: &str,
        ends: [usize; 2],
        frame_bytes: u32,
        options: &str,
    ) -> Result<Vec<String>> {
        let [source, destination] = ends.map(|end| STATIONS[end]);
        let cpu = self.cpu;
        let options = format!(
            "generate --interface {interface} --flows {FLOWS} --source {source}/{FLOWS} \
             --destination {destination}/{FLOWS} --bytes {frame_bytes} --cpu {cpu} {options}"
        );
        Ok([self.tools.program("spanwire-bench")?, words(&options)].concat())
    }

    /// Starts a program.
    ///
    /// # Errors
    /// It cannot be started.
    pub(super) fn start(&self, place: Place<'_>, name: &str, words: &[String]) -> Result<Process> {
        let number = self.started.get();
        self.started.set(number + 1);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let name = format!("{name}-{number}");
        match place {
            Place::In(node) => node.spawn(&name, &words),
            Place::Here => self.lab.spawn_here(&name, &words),
        }
    }
}

/// Waits for a program to end by itself and reads what it reports.
///
/// # Errors
/// It does not end in time, or not well, or reports nothing.
pub(super) fn finish<R: DeserializeOwned>(process: &Process, deadline: Duration) -> Result<R> {
    let status = process.wait(deadline)?;
    let log = process.log();
    ensure!(status.success(), "{} failed ({status}): {}", process.name(), log.trim());
    let Some(start) = log.find('{') else { bail!("{} reports nothing: {}", process.name(), log.trim()) };
    serde_json::from_str(&log[start..]).with_context(|| format!("{} reports {log:?}", process.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generator_that_was_held_up_did_not_offer_the_rate() {
        let offer = Offer { frame_bytes: 64, rate: 1000, seconds: 1.0, look: Look::Loss };
        let outcome = Outcome { sent: 1000, came: 999, sent_pps: 985.0, usage: None, latency: None };
        assert!(outcome.kept_up(&offer));
        assert!(!Outcome { sent_pps: 970.0, ..outcome.clone() }.kept_up(&offer));
        assert!((outcome.loss() - 0.001).abs() < 1e-12);
    }
}
