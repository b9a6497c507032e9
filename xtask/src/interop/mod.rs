//! `cargo xtask interop`: spanwire against the kernel's own `l2tp_eth`, in every option that `ip l2tp` has.
//!
//! A Debian kernel in an emulated machine is the peer; it is booted once. Every case is a LAN, or three, of its own, with its
//! own session and addresses, and all cases stand at the same time: one gateway process of ours has all of their sessions.
//! So the time goes into frames and not into starts, and hundreds of sessions beside each other are tried by the way.
//! `matrix` has the cases, `network` and `scripts` draw what stands where, `judge` says what has to come out.

mod breakage;
mod capture;
mod case;
mod commands;
mod diagnosis;
mod exercises;
mod guest;
mod judge;
mod matrix;
mod mismatches;
mod network;
mod ours;
mod own;
mod pings;
mod plan;
mod report;
mod scripts;
mod theirs;
mod trial;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use netlab::Lab;

use crate::guest::kernel::Kernel;
use crate::guest::{control, packages};
use crate::lab::gateways;
use crate::progress::Progress;
use crate::{install, workspace};
use breakage::Breakage;
use case::{Case, Gateway};
use guest::Guest;
use matrix::Matrix;
use network::Network;
use ours::Ours;
use plan::Go;
use report::Report;
use trial::Trial;

/// Name of the lab; its namespaces are called `sw-interop-<node>`.
const LAB_NAME: &str = "interop";

/// Steps that a run announces before its goes.
const STEPS: usize = 5;

/// Time that a script of the set-up may take.
const SCRIPT_DEADLINE: Duration = Duration::from_secs(180);

/// Options of `interop`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct InteropArgs {
    /// What to do instead of a run.
    #[command(subcommand)]
    action: Option<Action>,
    /// Only the cases whose name contains this, or one of several with commas between; given again: and this.
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// Without the cases whose name contains this, or one of several with commas between.
    #[arg(long, value_name = "PATTERN")]
    except: Vec<String>,
    /// Print the names of the cases and do nothing.
    #[arg(long)]
    list: bool,
    /// Leave network, gateways and guest up when done, and say how to enter them.
    #[arg(long)]
    keep: bool,
    /// Write the result as JSON.
    #[arg(long)]
    json: bool,
    /// Break an option of our side, several with commas between, or `all`, one after the other: the cases that rest on
    /// it have to fail.
    #[arg(long = "break", value_name = "OPTION", conflicts_with_all = ["keep", "json"])]
    breakage: Option<String>,
    /// Instead of the matrix: zero-copy between two `igb` cards that QEMU emulates, in one guest and without root.
    #[arg(long, conflicts_with_all = ["only", "except", "list", "keep", "breakage"])]
    zero_copy: bool,
    /// Use this gateway program instead of building one.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// What `interop` does instead of a run.
#[derive(Debug, Subcommand)]
enum Action {
    /// Remove what `interop --keep` left up.
    Down,
    /// Run a shell script in the guest that `interop --keep` left up; `$ip` is iproute2.
    Guest {
        /// The script.
        script: String,
    },
}

/// Runs the command.
///
/// # Errors
/// Something is missing, does not come up, or a case does not end as it has to.
pub(crate) fn run(args: &InteropArgs) -> Result<()> {
    if args.zero_copy {
        return crate::zero_copy::prove(args.binary.as_deref(), args.json);
    }
    let breakages = breakage::named(args.breakage.as_deref().unwrap_or_default())?;
    let matrix = matrix::all();
    let is_chosen = |case: &&Case| {
        let fits = |pattern: &String| pattern.split(',').any(|part| case.name.contains(part));
        args.only.iter().all(fits) && !args.except.iter().any(fits)
    };
    let cases: Vec<&Case> = matrix.cases.iter().filter(is_chosen).collect();
    ensure!(!cases.is_empty(), "no case is called so; --list names all {}", matrix.cases.len());
    match &args.action {
        Some(Action::Down) => take_down(),
        Some(Action::Guest { script }) => ask_kept_guest(script),
        None if args.list => {
            cases.iter().for_each(|case| println!("{}", case.name));
            Ok(())
        }
        None => {
            let goes = plan::plan(&matrix, &cases, &breakages)?;
            whole_run(args, &matrix, &goes, &breakages)
        }
    }
}

/// Removes a lab that was left up.
fn take_down() -> Result<()> {
    let found = netlab::remove_kept(LAB_NAME)?;
    println!("{}", if found { "removed the network and the guest" } else { "nothing is up" });
    Ok(())
}

/// Runs a script in the guest of a lab that was left up.
fn ask_kept_guest(script: &str) -> Result<()> {
    let kept =
        netlab::kept(LAB_NAME).context("no guest is up; `cargo xtask interop --keep` leaves one up")?;
    let mut port = std::os::unix::net::UnixStream::connect(guest::socket(&kept.dir))
        .context("connecting to the guest's control port")?;
    let (status, output) = control::ask(&mut port, script, SCRIPT_DEADLINE, &|| true)?;
    print!("{output}");
    ensure!(status == 0, "the script ended with status {status}");
    Ok(())
}

/// Prepares, boots, tries, reports, and removes or keeps.
fn whole_run(args: &InteropArgs, matrix: &Matrix, goes: &[Go<'_>], breakages: &[&Breakage]) -> Result<()> {
    let start = Instant::now();
    let mut progress = Progress::new(STEPS + trial::STEPS * goes.len());
    let (binary, unpacked) = prepare(&mut progress, args)?;
    let (lab, network) = progress.step("laying out two gateways and the wires to the guest", || {
        let lab = Lab::new(LAB_NAME)?;
        let network = Network::lay_out(&lab)?;
        Ok((lab, network))
    })?;
    let ours = Ours { lab: &lab, network: &network, binary: &binary };
    let mut guest = progress.step("booting a Debian kernel, making the stations", || {
        let archive = guest::build(&unpacked, lab.dir())?;
        let mut guest = Guest::boot(&lab, &network.wires, &unpacked, &archive)?;
        guest.run(&scripts::base(), SCRIPT_DEADLINE)?;
        guest.run(&scripts::stations(&cases_of(goes)), SCRIPT_DEADLINE)?;
        Ok(guest)
    })?;
    let mut trial = Trial { matrix, ours, guest: &mut guest, keep: args.keep, current: Vec::new() };
    let outcome = trial.run(&mut progress, goes);
    if outcome.is_err() && !netlab::interrupted() {
        eprintln!("{}", trial.diagnosis(&[]));
    }
    let removed = if args.keep { keep(lab, &binary) } else { lab.remove() };
    let outcome = outcome?;
    removed?;
    if !breakages.is_empty() {
        return report::print_broken(&outcome, breakages);
    }
    let report = Report::new(Kernel::of(&unpacked)?.version, outcome, start.elapsed().as_secs_f64());
    report.print(args.json)?;
    report.verdict()
}

/// Every case once.
fn cases_of<'m>(goes: &[Go<'m>]) -> Vec<&'m Case> {
    let mut cases: Vec<&Case> = goes.iter().flat_map(|go| go.cases.iter().copied()).collect();
    cases.sort_by_key(|case| case.number);
    cases.dedup_by_key(|case| case.number);
    cases
}

/// Leaves everything up and says how to enter it.
fn keep(lab: Lab, binary: &Path) -> Result<()> {
    let kept = lab.keep()?;
    eprintln!("\nEverything is left up; logs and configurations are in {}.", kept.dir.display());
    for gateway in Gateway::OURS.map(Gateway::name) {
        let socket = gateways::socket(&kept.dir, gateway);
        eprintln!("  {} session show --control-socket {}", binary.display(), socket.display());
    }
    eprintln!("  ip netns exec sw-{LAB_NAME}-wires tcpdump -ni wan");
    eprintln!("  cargo xtask interop guest '$ip -n gw l2tp show session'");
    eprintln!("  cargo xtask interop down      removes it");
    Ok(())
}

/// Sees to it that everything needed is there: packages, the gateway, what the guest is made of.
fn prepare(progress: &mut Progress, args: &InteropArgs) -> Result<(PathBuf, packages::Unpacked)> {
    progress.step("checking what has to be installed", || {
        install::packages(&[install::LAB, install::CAPTURE].concat())?;
        let missing = netlab::missing();
        ensure!(missing.is_empty(), "{}", missing.join("; "));
        ensure!(
            Path::new("/dev/net/tun").exists(),
            "there is no /dev/net/tun: this kernel has no tap devices"
        );
        Ok(())
    })?;
    let binary = match &args.binary {
        Some(path) => {
            progress.step("using the given gateway", || std::path::absolute(path).context("finding it"))?
        }
        None => progress.step("building the gateway", workspace::build_gateway)?,
    };
    let unpacked = progress.step("unpacking emulator and kernel", packages::unpack)?;
    Ok((binary, unpacked))
}
