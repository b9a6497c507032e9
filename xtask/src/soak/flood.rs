//! The load: generators and sinks of `spanwire-bench` in the PCs at both ends.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use netlab::article::Article;
use netlab::{Lab, Node, Process};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The two directions: index of sender, of the gateway in between, and of receiver in `article::SITES`.
pub(super) const DIRECTIONS: [[usize; 3]; 2] = [[0, 1, 2], [2, 1, 0]];

/// Flows, and stations behind each end.
pub(super) const FLOWS: u32 = 64;

/// First station behind the PC of each site.
const STATIONS: [&str; 3] = ["02:00:00:01:00:00", "02:00:00:02:00:00", "02:00:00:03:00:00"];

/// Frames with which the gateways learn the stations of one end: ten of each.
const LEARN_FRAMES: u32 = 10 * FLOWS;

/// Pace of those: such that no ring fills. Units: frames/s.
const LEARN_RATE: u32 = 1000;

/// Time that a program may take beyond what it was asked to.
const SLACK: Duration = Duration::from_secs(30);

/// How often progress is shown.
const NEWS_PERIOD: Duration = Duration::from_secs(10);

/// What a generator reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Generated {
    /// Frames given to the driver.
    pub(super) frames: u64,
    /// Rate over the time from the first to the last frame.
    pub(super) frames_per_s: f64,
}

/// What a sink reports.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Sunk {
    /// Frames of the flood.
    pub(super) frames: u64,
    /// Rate over the time from the first to the last frame.
    pub(super) frames_per_s: f64,
    /// Flows of which a frame came.
    pub(super) flows_seen: u32,
    /// Frames that came twice.
    pub(super) duplicate_frames: u64,
    /// Frames that came behind a later one of their flow.
    pub(super) reordered_frames: u64,
    /// Frames so late that nobody can tell.
    pub(super) stale_frames: u64,
    /// Frames of flows that nobody sends.
    pub(super) unknown_flow_frames: u64,
    /// Frames that are not of the flood.
    pub(super) other_frames: u64,
}

/// What runs at both ends, and what it is asked to do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flood<'a> {
    /// The lab that ends what runs.
    pub(super) lab: &'a Lab,
    /// Its machines.
    pub(super) network: &'a Article,
    /// The bench's program.
    pub(super) bench: &'a Path,
    /// Length of the frames without FCS. Units: bytes.
    pub(super) frame_bytes: u16,
}

impl Flood<'_> {
    /// Sends a few frames each way: the first are flooded, from then on every gateway knows where each station is.
    pub(super) fn teach(&self) -> Result<()> {
        for (turn, [from, _, to]) in [DIRECTIONS[0], DIRECTIONS[1], DIRECTIONS[0]].into_iter().enumerate() {
            let pace = format!("--count {LEARN_FRAMES} --rate {LEARN_RATE}");
            let learn = self.start_generator(&format!("learn{turn}"), from, to, &pace)?;
            let _: Generated = finish(&learn, SLACK)?;
        }
        Ok(())
    }

    /// Starts the sinks and waits until they count.
    pub(super) fn start_sinks(&self) -> Result<Vec<Process>> {
        let options = format!("--interface eth0 --flows {FLOWS}");
        let mut sinks = Vec::new();
        for [_, _, to] in DIRECTIONS {
            let node = &self.network.pcs[to];
            let sink = self.start(&format!("sink-{}", node.name()), node, "sink", &options)?;
            self.lab.wait_until("the sink to be attached", SLACK, || {
                let log = sink.log();
                if log.contains("sink attached") { Ok(()) } else { Err(log) }
            })?;
            sinks.push(sink);
        }
        Ok(sinks)
    }

    /// Floods in both directions at once, each as fast as it goes.
    pub(super) fn run(&self, seconds: u32) -> Result<Vec<Generated>> {
        let duration = format!("--duration {seconds}");
        let generators: Vec<Process> = DIRECTIONS
            .iter()
            .map(|[from, _, to]| {
                let name = format!("generate-{}", self.network.pcs[*from].name());
                self.start_generator(&name, *from, *to, &duration)
            })
            .collect::<Result<_>>()?;
        for second in 1..=seconds.saturating_sub(1) {
            std::thread::sleep(Duration::from_secs(1));
            if u64::from(second).is_multiple_of(NEWS_PERIOD.as_secs()) {
                eprintln!("      {second} of {seconds} s");
            }
        }
        generators.iter().map(|generator| finish(generator, SLACK)).collect()
    }

    fn start_generator(&self, name: &str, from: usize, to: usize, end: &str) -> Result<Process> {
        let (source, destination, bytes) = (STATIONS[from], STATIONS[to], self.frame_bytes);
        let options = format!(
            "--interface eth0 --flows {FLOWS} --source {source}/{FLOWS} --destination {destination}/{FLOWS} \
             --bytes {bytes} {end}"
        );
        self.start(name, &self.network.pcs[from], "generate", &options)
    }

    fn start(&self, name: &str, node: &Node, command: &str, options: &str) -> Result<Process> {
        let bench = self.bench.to_str().with_context(|| format!("{} is not UTF-8", self.bench.display()))?;
        let words: Vec<&str> = [bench, command].into_iter().chain(options.split_whitespace()).collect();
        node.spawn(name, &words)
    }
}

/// Ends the sinks and reads what they report.
pub(super) fn stop_sinks(sinks: &[Process]) -> Result<Vec<Sunk>> {
    let stop = |sink: &Process| {
        sink.terminate()?;
        report(sink)
    };
    sinks.iter().map(stop).collect()
}

/// Waits for a program to end by itself and reads what it reports.
fn finish<R: DeserializeOwned>(process: &Process, deadline: Duration) -> Result<R> {
    let status = process.wait(deadline)?;
    ensure!(status.success(), "{} failed ({status}): {}", process.name(), process.log().trim());
    report(process)
}

/// The JSON document at the end of what a program wrote.
fn report<R: DeserializeOwned>(process: &Process) -> Result<R> {
    let log = process.log();
    let Some(start) = log.find('{') else { bail!("{} reports nothing: {}", process.name(), log.trim()) };
    serde_json::from_str(&log[start..]).with_context(|| format!("{} reports {log:?}", process.name()))
}
