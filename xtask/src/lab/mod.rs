//! `cargo xtask lab`: the article's network on this machine, its gateways run by spanwire, every pair of PCs tried.
//!
//! Everything happens inside namespaces that the lab makes itself, and all of it is removed when the command ends,
//! however it ends; `--keep` leaves it up until `lab down`.

mod drawing;
mod flow;
pub(crate) mod gateways;
mod host;
mod narrow;
pub(crate) mod ping;
mod report;
mod transfer;
pub(crate) mod trial;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use netlab::article::{self, Article, SITES};
use netlab::{Lab, Process, cpu};

use crate::progress::Progress;
use crate::{install, workspace};
use gateways::Gateways;
use host::Folder;
use report::Report;

/// Name of the lab; its namespaces are called `sw-lab-<node>`.
const LAB_NAME: &str = "lab";

/// Steps that [`whole_run`] announces; `--keep` leaves the last one out.
const STEPS: usize = 10;

/// Options of `lab`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct LabArgs {
    /// What to do instead of a whole run.
    #[command(subcommand)]
    action: Option<LabAction>,
    /// Leave the network up when done, and say how to enter it.
    #[arg(long)]
    keep: bool,
    /// Write the result as JSON.
    #[arg(long)]
    json: bool,
    /// RX and TX queues of every interface.
    #[arg(long, value_name = "COUNT", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    queues: u32,
    /// MTU of the underlay, but for the part of the run that always is about one of 1500 bytes. Below 1562, the largest
    /// frames of the LANs leave in fragments.
    #[arg(long, value_name = "BYTES", default_value_t = article::UNDERLAY_MTU_BYTES,
        value_parser = clap::value_parser!(u32).range(576..=1700))]
    underlay_mtu: u32,
    /// Use this gateway program instead of building one.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// What `lab` does instead of a whole run.
#[derive(Debug, Subcommand)]
enum LabAction {
    /// Remove what `lab --keep` left up.
    Down,
}

/// Runs the command.
///
/// # Errors
/// Something is missing, does not come up, loses a frame, or cannot be removed afterwards.
pub(crate) fn run(args: &LabArgs) -> Result<()> {
    match args.action {
        Some(LabAction::Down) => take_down(),
        None => whole_run(args),
    }
}

/// Removes a lab that was left up.
fn take_down() -> Result<()> {
    let found = netlab::remove_kept(LAB_NAME)?;
    println!("{}", if found { "removed the lab" } else { "there is no lab" });
    Ok(())
}

/// Lays out, starts, tries, reports, and removes or keeps.
fn whole_run(args: &LabArgs) -> Result<()> {
    let mut progress = Progress::new(if args.keep { STEPS - 1 } else { STEPS });
    let binary = prepare(&mut progress, args)?;
    let host = Folder::read()?;
    let (lab, network) = progress.step("laying out a router, three gateways and three PCs", || {
        if netlab::kept(LAB_NAME).is_some() {
            eprintln!("      replacing the lab that --keep left up");
        }
        let lab = Lab::new(LAB_NAME)?;
        let network = article::lay_out_over(&lab, args.queues, args.underlay_mtu)?;
        Ok((lab, network))
    })?;
    let mut outcome = exercise(&mut progress, (&lab, &binary), &network, args.underlay_mtu);
    if outcome.as_ref().map_or(true, |(report, _)| !report.is_ok()) && !netlab::interrupted() {
        eprintln!("{}", gateways::diagnosis(&lab, &binary, outcome.is_ok()));
    }
    if let Ok((report, processes)) = &mut outcome {
        if !args.keep {
            report.add_faults(progress.step("ending the gateways", || gateways::end(processes))?);
        }
        report.add_faults(host.changes()?);
        report.print(args.json)?;
    }
    let removed = if args.keep { keep(lab, &binary) } else { lab.remove() };
    let verdict = outcome.and_then(|(report, _)| report.verdict());
    if let (Err(_), Err(fault)) = (&verdict, &removed) {
        eprintln!("error: {fault:#}");
    }
    verdict.and(removed)
}

/// Sees to it that everything needed is there: packages, and the gateway.
fn prepare(progress: &mut Progress, args: &LabArgs) -> Result<PathBuf> {
    progress.step("checking what has to be installed", || {
        install::packages(install::LAB)?;
        let missing = netlab::missing();
        ensure!(missing.is_empty(), "{}", missing.join("; "));
        Ok(())
    })?;
    match &args.binary {
        Some(path) => {
            progress.step("using the given gateway", || std::path::absolute(path).context("finding it"))
        }
        None => progress.step("building the gateway", workspace::build_gateway),
    }
}

/// Tries every pair over an underlay of 1500 bytes, then starts the gateways over that of the run and tries every pair; the
/// gateways still run afterwards.
fn exercise(
    progress: &mut Progress,
    (lab, binary): (&Lab, &Path),
    network: &Article,
    underlay_mtu_bytes: u32,
) -> Result<(Report, Vec<Process>)> {
    let gateways = Gateways::new(lab, network, binary);
    progress.step("translating the article's command lists", || gateways.import())?;
    let (narrow, faults) = progress
        .step("over an underlay of 1500 bytes: pings with DF and TCP between every pair", || {
            narrow::exercise((lab, binary), network, &gateways, underlay_mtu_bytes)
        })?;
    let (processes, sessions) = progress
        .step("starting three gateways, waiting until all sessions are up", || {
            Ok((gateways.start("")?, gateways.wait_until_up()?))
        })?;
    let pings = progress
        .step("pinging every pair of PCs, with small packets and the LAN's largest", || {
            Ok([trial::ping_pairs(network)?, trial::ping_pairs_largest(network)?])
        })?;
    let idle = progress.step("measuring the idle machine", cpu::idle_share)?;
    let (flows, idle_after) = progress
        .step("sending a 1500-byte and a 64-byte flow between every pair", || {
            Ok((trial::send_flows(network, idle)?, cpu::idle_share()?))
        })?;
    let mut report = Report::new(sessions, pings, &flows, [idle, idle_after], narrow);
    report.add_faults(faults);
    Ok((report, processes))
}

/// Leaves the lab up and says how to enter it.
fn keep(lab: Lab, binary: &Path) -> Result<()> {
    let kept = lab.keep()?;
    let binary = binary.display();
    let pids: Vec<String> =
        kept.processes.iter().map(|process| format!("{} {}", process.name, process.pid)).collect();
    eprintln!(
        "\nThe lab is left up (processes: {}; logs and configurations in {}).",
        pids.join(", "),
        kept.dir.display()
    );
    eprintln!("  ip netns exec sw-lab-{} ping {}", SITES[0].pc, SITES[2].lan);
    for site in &SITES {
        eprintln!(
            "  {binary} session show --control-socket {}",
            gateways::socket(&kept.dir, site.gateway).display()
        );
    }
    eprintln!("  cargo xtask lab down      removes it");
    Ok(())
}
