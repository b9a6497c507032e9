//! `cargo xtask soak`: a flood of small frames through the article's three sites, in both directions at the highest rate
//! that the wires take, and its books: no frame that nobody accounts for, no chunk lost, no worker gone.
//!
//! ```text
//!  pc1 generator, sink === gw-a === router === gw-b === router === gw-c === pc3 generator, sink
//! ```
//! Everything happens inside namespaces that the lab makes itself, and all of it is removed when the command ends.

mod ask;
mod books;
mod checks;
mod counters;
mod flood;
mod neighbours;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use netlab::article::{self, Article};
use netlab::{Lab, Process};

use crate::lab::{gateways, trial};
use crate::progress::Progress;
use crate::{install, workspace};
use ask::Asker;
use counters::Counters;
use flood::Flood;
use report::{Findings, Report};

/// Name of the lab; its namespaces are called `sw-soak-<node>`.
const LAB_NAME: &str = "soak";

/// Steps that [`run`] announces.
const STEPS: usize = 9;

/// Time for all counters to come to rest.
const REST_DEADLINE: Duration = Duration::from_secs(30);

/// Equal readings of all counters, one after the other, that count as rest.
const REST_READINGS: usize = 5;

/// Options of `soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    /// How long to flood.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Length of the frames in bytes, without FCS.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(64..=1514))]
    bytes: u16,
    /// RX and TX queues of every interface.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    queues: u32,
    /// Write the result as JSON.
    #[arg(long)]
    json: bool,
    /// Use this gateway program instead of building one.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Something is missing or does not come up, a frame or chunk is not accounted for, or something does not survive.
pub(crate) fn run(args: &SoakArgs) -> Result<()> {
    let mut progress = Progress::new(STEPS);
    progress.step("checking what has to be installed", || {
        install::packages(&[install::LAB, install::C_LIBRARIES].concat())?;
        let missing = netlab::missing();
        ensure!(missing.is_empty(), "{}", missing.join("; "));
        Ok(())
    })?;
    let (binary, bench) = progress.step("building gateway, generator and sink", || {
        let gateway = match &args.binary {
            Some(path) => std::path::absolute(path).context("finding the gateway")?,
            None => workspace::build_gateway()?,
        };
        Ok((gateway, workspace::build("spanwire-bench", "spanwire-bench")?))
    })?;
    let (lab, network) = progress.step("laying out a router, three gateways and three PCs", || {
        let lab = Lab::new(LAB_NAME)?;
        let network = article::lay_out(&lab, args.queues)?;
        Ok((lab, network))
    })?;
    let flood = Flood { lab: &lab, network: &network, bench: &bench, frame_bytes: args.bytes };
    let outcome = exercise(&mut progress, args, &flood, &binary);
    if outcome.is_err() && !netlab::interrupted() {
        eprintln!("{}", gateways::diagnosis(&lab, &binary, true));
    }
    let removed = lab.remove();
    let report = outcome?;
    report.print(args.json)?;
    ensure!(report.is_ok(), "the books do not balance, or something did not survive");
    removed
}

/// Starts the gateways, floods, and looks at what became of it.
fn exercise(progress: &mut Progress, args: &SoakArgs, flood: &Flood<'_>, binary: &Path) -> Result<Report> {
    let Flood { lab, network, .. } = *flood;
    let asker = Asker { binary, dir: lab.dir() };
    let processes = progress.step("starting three gateways, waiting until all sessions are up", || {
        let gateways = gateways::Gateways::new(lab, network, binary);
        gateways.import()?;
        let processes = gateways.start("")?;
        gateways.wait_until_up()?;
        Ok(processes)
    })?;
    progress.step("pinging every pair of PCs, teaching the stations", || {
        let pings = checks::pings(&trial::ping_pairs(network)?);
        ensure!(pings.ok, "{}", pings.found);
        neighbours::freeze(network)?;
        flood.teach()?;
        lab.wait_until("all stations to be known", REST_DEADLINE, || checks::stations_known(&asker))
    })?;
    let (sinks, before) = progress
        .step("starting the sinks, waiting until all counters stand still", || {
            Ok((flood.start_sinks()?, at_rest(lab, network, &asker)?))
        })?;
    let generated = progress
        .step(&format!("flooding in both directions for {} s", args.seconds), || flood.run(args.seconds))?;
    let after = progress.step("waiting until all counters stand still", || at_rest(lab, network, &asker))?;
    let sunk = flood::stop_sinks(&sinks)?;
    let mut counted = after.since(&before).context("a counter did not survive the flood")?;
    books::enter_ends(&mut counted, &generated, &sunk);
    let mut checks = checks::workers(&asker)?;
    checks.extend(checks::flood(&counted, &sunk, args.queues)?);
    progress.step("pinging every pair of PCs, ending the gateways", || {
        checks.extend(aftermath(network, &processes)?);
        Ok(())
    })?;
    let hops = books::books(&counted)?;
    let (seconds, frame_bytes) = (args.seconds, args.bytes);
    Report::new(Findings { seconds, frame_bytes, counted, hops, checks, generated, sunk })
}

/// What is left of the network when the flood is over, and of the gateways when they are told to end.
fn aftermath(network: &Article, processes: &[Process]) -> Result<Vec<checks::Check>> {
    neighbours::thaw(network)?;
    let mut checks = vec![checks::pings(&trial::ping_pairs(network)?)];
    checks.extend(checks::ends(processes)?);
    Ok(checks)
}

/// Reads all counters once they stand still and nothing is being sent.
fn at_rest(lab: &Lab, network: &Article, asker: &Asker<'_>) -> Result<Counters> {
    let mut last = Counters::default();
    let mut equal = 0;
    lab.wait_until("all counters to stand still", REST_DEADLINE, || {
        checks::nothing_in_flight(asker)?;
        let now = counters::read(network, asker).map_err(|fault| format!("{fault:#}"))?;
        equal = if now == last { equal + 1 } else { 0 };
        if equal >= REST_READINGS {
            return Ok(now);
        }
        let moved = now.since(&last).map(|difference| difference.moved()).unwrap_or_default();
        last = now;
        Err(format!("{equal} equal readings of {REST_READINGS}; moving: {moved}"))
    })
}
