//! Physical mode: generator and sink on this machine's own interfaces, gateways wherever somebody has set them up.
//!
//! ```text
//!  this machine                    gateway A            gateway B
//!   --generator-on ========= LAN           WAN ==== WAN           LAN ===+
//!   --sink-on ============================================================+
//! ```
//! The commands that set up a gateway are printed by `--commands`. CPU time is that of the gateways' machines, told by
//! `spanwire-bench usage` there, started from here by whatever command reaches them; of it, what they take when idle is
//! taken away.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use netlab::Lab;
use serde::Deserialize;

use super::load::{Load, Look, Offer, Outcome, Place, finish};
use super::measure::{self, Stage};
use super::placement::Placement;
use super::plan::Plan;
use super::reports::Usage;
use super::results::Results;
use super::systems::{self, System};
use super::tools::Tools;

/// Name of the lab: logs of generator and sink, no namespace.
const LAB_NAME: &str = "comparenic";

/// What stands for the number of seconds in a command.
const SECONDS: &str = "{seconds}";

/// Time that a generator has to send before CPU time is measured, and that it goes on sending afterwards. Units: s.
const LEAD_S: f64 = 0.7;
const TRAIL_S: f64 = 3.0;

/// Options of the physical mode.
#[derive(Debug, Clone, Args)]
#[group(id = "physical")]
pub(super) struct NicArgs {
    /// Measure gateways that are set up already: send out of this interface of this machine. It is flooded.
    #[arg(long, value_name = "INTERFACE", requires_all = ["sink_on", "system", "file"])]
    pub(super) generator_on: Option<String>,
    /// The interface of this machine at which the frames come back; its frames are counted and dropped.
    #[arg(long, value_name = "INTERFACE", requires = "generator_on")]
    pub(super) sink_on: Option<String>,
    /// Which system the gateways run.
    #[arg(long, value_name = "NAME", requires = "generator_on")]
    pub(super) system: Option<String>,
    /// A command that prints `spanwire-bench usage --duration {seconds}` of a gateway's machine, for example through ssh;
    /// once for each machine.
    #[arg(long, value_name = "COMMAND", requires = "generator_on")]
    pub(super) usage: Vec<String>,
    /// The file of all results so far; this system's are added.
    #[arg(long, value_name = "FILE", requires = "generator_on")]
    pub(super) file: Option<PathBuf>,
}

/// What a usage command prints.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Told {
    seconds: f64,
    cpus: u32,
    busy_ns: f64,
    stolen_ns: f64,
}

/// Interfaces of this machine, with gateways between them.
struct Nics<'a> {
    lab: Lab,
    system: &'a System,
    from: &'a str,
    to: &'a str,
    usage: &'a [String],
    /// CPU time of the gateways' machines without load, per second.
    idle: Vec<Told>,
    tools: &'a Tools,
    placement: &'a Placement,
    started: Cell<u32>,
}

/// The system of this name.
///
/// # Errors
/// There is none, or it has no gateways and is not the bare wire.
pub(super) fn system(args: &NicArgs) -> Result<&'static System> {
    let name = args.system.as_deref().unwrap_or_default();
    systems::named(name).with_context(|| format!("there is no system {name:?}; --list names them"))
}

/// The results in the file so far: none when there is no file.
///
/// # Errors
/// The file is none of these.
pub(super) fn read(file: &Path) -> Result<Results> {
    match fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text).with_context(|| format!("{} is no result", file.display())),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(Results::default()),
        Err(fault) => Err(fault).with_context(|| format!("reading {}", file.display())),
    }
}

/// Writes the results to the file.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(file: &Path, results: &Results) -> Result<()> {
    let text = serde_json::to_string_pretty(results)?;
    fs::write(file, text).with_context(|| format!("writing {}", file.display()))
}

/// Measures the gateways that are there, and adds what was found in place of what was known of them.
///
/// # Errors
/// Generator, sink or a usage command fails.
pub(super) fn measure(
    args: &NicArgs,
    plan: &Plan,
    tools: &Tools,
    placement: &Placement,
    results: &mut Results,
) -> Result<()> {
    let (Some(from), Some(to)) = (&args.generator_on, &args.sink_on) else {
        bail!("two interfaces are needed")
    };
    let system = system(args)?;
    let mut nics = Nics {
        lab: Lab::new(LAB_NAME)?,
        system,
        from,
        to,
        usage: &args.usage,
        idle: Vec::new(),
        tools,
        placement,
        started: Cell::new(0),
    };
    nics.load().teach(to)?;
    nics.idle = nics.told(plan.cost_s)?;
    results.measured.retain(|known| known.system != system.name);
    for round in 0..plan.rounds {
        for &size in &plan.sizes {
            let beside = results.rates_beside(system.name, size, round);
            let known = results.entry(system.name, size);
            measure::round(&nics, plan, round, &beside, known)?;
            let rate = known.rounds.last().and_then(|round| round.rate).unwrap_or(0);
            eprintln!(
                "      round {} of {}: {size} bytes: {rate} frames/s without loss",
                round + 1,
                plan.rounds
            );
        }
    }
    Ok(())
}

impl Nics<'_> {
    fn load(&self) -> Load<'_> {
        Load {
            lab: &self.lab,
            generator: Place::Here,
            sink: Place::Here,
            tools: self.tools,
            cpu: self.placement.generator,
            started: &self.started,
        }
    }

    /// What the gateways' machines do for a while, all at the same time.
    fn told(&self, seconds: f64) -> Result<Vec<Told>> {
        let load = self.load();
        let start = |command: &String| {
            let command = command.replace(SECONDS, &seconds.to_string());
            load.start(Place::Here, "usage", &["sh".to_owned(), "-c".to_owned(), command])
        };
        let processes = self.usage.iter().map(start).collect::<Result<Vec<_>>>()?;
        let deadline = Duration::from_secs_f64(seconds + LEAD_S + TRAIL_S);
        processes.iter().map(|process| finish(process, deadline)).collect()
    }
}

impl Stage for Nics<'_> {
    fn has_gateways(&self) -> bool {
        self.system.has_gateways()
    }

    fn offer(&self, offer: &Offer) -> Result<Outcome> {
        self.load().offer(self.from, self.to, offer)
    }

    /// That of the gateways' machines under load, and idle.
    fn usages(&self, offer: &Offer) -> Result<(Outcome, [Option<Usage>; 2])> {
        let longer = Offer { seconds: LEAD_S + offer.seconds + TRAIL_S, look: Look::Loss, ..*offer };
        let (outcome, told) = self.load().offer_while(self.from, self.to, &longer, || {
            thread::sleep(Duration::from_secs_f64(LEAD_S));
            self.told(offer.seconds)
        })?;
        ensure!(outcome.kept_up(&longer), "the generator sends {:.0} frames/s only", outcome.sent_pps);
        Ok((outcome, [sum(&told, offer.rate), sum(&self.idle, offer.rate)]))
    }
}

/// CPU time of all machines together, with the frames that a rate is in that time; `None` of no machine.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "frames of some seconds"
)]
fn sum(told: &[Told], rate: u64) -> Option<Usage> {
    let seconds = told.first()?.seconds;
    Some(Usage {
        seconds,
        frames: (rate as f64 * seconds) as u64,
        cpus: told.iter().map(|one| one.cpus).sum(),
        busy_ns: told.iter().map(|one| one.busy_ns * seconds / one.seconds).sum(),
        waited_ns: 0.0,
        others_ns: 0.0,
        stolen_ns: told.iter().map(|one| one.stolen_ns * seconds / one.seconds).sum(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_added_up_over_the_same_time() {
        let told = |seconds, busy_ns| Told { seconds, cpus: 4, busy_ns, stolen_ns: 0.0 };
        let usage = sum(&[told(2.0, 6e9), told(1.0, 1e9)], 1000).unwrap();
        assert_eq!((usage.cpus, usage.frames), (8, 2000));
        assert!((usage.work_ns() - 8e9).abs() < 1.0, "{usage:?}");
        assert_eq!(sum(&[], 1000), None);
    }

    #[test]
    fn a_file_that_is_not_there_holds_no_results_and_a_wrong_one_is_refused() {
        assert!(read(Path::new("/nonexistent/results.json")).unwrap().measured.is_empty());
        assert!(read(Path::new("/proc/self/stat")).is_err());
    }
}
