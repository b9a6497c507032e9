//! The guest: what it is told to do, and what it says.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use netlab::Lab;
use serde::{Deserialize, Serialize};

use super::super::packages::empty_folder;
use super::super::site::{Side, Site, Tuning, script};
use super::super::systems::{self, System};
use super::super::tools::{Tools, text};
use super::super::wires::{ADDRESSES, LAN, WAN};

/// Name of the lab; it has one namespace, for the guest's processes.
const LAB_NAME: &str = "compareuml";

/// The systems that the guest's kernel has.
const SYSTEMS: [&str; 5] = ["wire", "bridge", "vxlan", "l2tp-udp", "l2tp-ip"];

/// Frames of a run: a second of the slowest chain.
const FRAMES: u32 = 300_000;

/// Time for one run, setting up included.
const RUN_DEADLINE: Duration = Duration::from_secs(40);

/// The init script.
const INIT: &str = include_str!("guest.sh");

/// One run in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Run {
    /// Round, from 0.
    pub(super) round: u32,
    /// The system's name.
    pub(super) system: String,
    /// Length of the frames without FCS. Units: bytes.
    pub(super) frame_bytes: u32,
    /// Frames sent.
    pub(super) sent: u32,
    /// Frames that came.
    pub(super) came: u32,
    /// Time it took. Units: us.
    pub(super) us: u32,
}

/// Boots the guest, has it measure, and ends it.
///
/// # Errors
/// It does not come to an end in time, or a system could not be set up in it.
pub(super) fn run(
    kernel: &Path,
    folder: &Path,
    sizes: &[u32],
    rounds: u32,
    tools: &Tools,
) -> Result<Vec<Run>> {
    let plan = plan(sizes, rounds);
    write_files(folder, &plan, tools)?;
    let lab = Lab::new(LAB_NAME)?;
    let node = lab.node("uml")?;
    let init = text(&folder.join("init"))?;
    let words = [
        text(kernel)?,
        "mem=256M".to_owned(),
        "rootfstype=hostfs".to_owned(),
        "ro".to_owned(),
        "quiet".to_owned(),
        "con=null".to_owned(),
        "ssl=null".to_owned(),
        "con0=null,fd:1".to_owned(),
        format!("init={init}"),
        format!("compare={}", text(folder)?),
    ];
    let guest = node.spawn("uml", &words.each_ref().map(String::as_str))?;
    let mut told = 0;
    let count = u32::try_from(plan.len()).unwrap_or(u32::MAX);
    lab.wait_until("the guest to be done", RUN_DEADLINE * count, || {
        let log = guest.log();
        let lines: Vec<&str> = log.lines().filter(|line| line.starts_with("result ")).collect();
        for line in &lines[told.min(lines.len())..] {
            eprintln!("      {}", line.trim_start_matches("result "));
        }
        told = lines.len();
        let is_done = log.lines().any(|line| line.trim() == "done");
        if is_done { Ok(()) } else { Err(format!("{told} of {count} runs made")) }
    })?;
    guest.kill()?;
    let log = guest.log();
    if let Some(failed) = log.lines().find(|line| line.starts_with("failed ")) {
        bail!("in User-mode Linux: {failed}: {}", log.trim());
    }
    let runs: Vec<Run> = log.lines().filter_map(result).collect();
    ensure!(runs.len() == plan.len(), "{} of {} runs have a result:\n{log}", runs.len(), plan.len());
    Ok(runs)
}

/// Lines of round, system, size, frames.
fn plan(sizes: &[u32], rounds: u32) -> Vec<String> {
    let systems = |round| {
        SYSTEMS
            .iter()
            .flat_map(move |system| sizes.iter().map(move |size| format!("{round} {system} {size} {FRAMES}")))
    };
    (0..rounds).flat_map(systems).collect()
}

/// Writes the init script, the plan, and a script for either gateway of every system.
fn write_files(folder: &Path, plan: &[String], tools: &Tools) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    empty_folder(folder)?;
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    write("plan", &(plan.join("\n") + "\n"))?;
    write("init", INIT)?;
    fs::set_permissions(folder.join("init"), fs::Permissions::from_mode(0o755)).context("making init run")?;
    for system in SYSTEMS.iter().filter_map(|name| systems::named(name)) {
        for side in Side::BOTH {
            let steps = System::steps(system, &site(side), tools)?;
            write(&format!("{}-{}.sh", system.name, side.name()), &script(&steps))?;
        }
    }
    Ok(())
}

/// A gateway's place: the guest has the same wires as the lab.
fn site(side: Side) -> Site {
    let address = |index: usize| -> Ipv4Addr { ADDRESSES[index] };
    Site {
        side,
        lan: LAN.to_owned(),
        wan: WAN.to_owned(),
        local: address(side.index()),
        remote: address(1 - side.index()),
        cpu: 0,
        dir: PathBuf::new(),
        tuning: Tuning::default(),
    }
}

/// What a line of the console says: `result ROUND SYSTEM BYTES SENT CAME US`.
fn result(line: &str) -> Option<Run> {
    let mut words = line.trim().strip_prefix("result ")?.split_whitespace();
    let run = Run {
        round: words.next()?.parse().ok()?,
        system: words.next()?.to_owned(),
        frame_bytes: words.next()?.parse().ok()?,
        sent: words.next()?.parse().ok()?,
        came: words.next()?.parse().ok()?,
        us: words.next()?.parse().ok()?,
    };
    (words.next().is_none() && run.us > 0).then_some(run)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_console_is_read_and_a_torn_one_is_not() {
        let run = Run {
            round: 1,
            system: "l2tp-udp".to_owned(),
            frame_bytes: 64,
            sent: 60_000,
            came: 59_990,
            us: 312_345,
        };
        assert_eq!(result("result 1 l2tp-udp 64 60000 59990 312345\r"), Some(run));
        assert_eq!(result("result 1 l2tp-udp 64 60000 59990 "), None);
        assert_eq!(result("[    1.0] resultless"), None);
    }

    #[test]
    fn every_round_has_every_system_and_all_kernel_systems_have_scripts() {
        assert_eq!(plan(&[64, 1514], 2).len(), 2 * 2 * SYSTEMS.len());
        for name in &SYSTEMS[1..] {
            let steps = systems::named(name).unwrap().steps(&site(Side::A), &Tools::by_name()).unwrap();
            assert!(script(&steps).contains("master br0"), "{name}");
        }
    }
}
