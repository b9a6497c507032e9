//! `--commands`: the commands that set one gateway up, for real servers; the lab's own steps, as a script.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;

use super::site::{Side, Site, Tuning, script};
use super::systems;
use super::tools::Tools;

/// Options of `--commands`.
#[derive(Debug, Clone, Args)]
pub(super) struct CommandsArgs {
    /// Print the commands that set up a gateway of this system, and do nothing.
    #[arg(long, value_name = "NAME", requires_all = ["side", "lan", "wan", "local", "remote"])]
    pub(super) commands: Option<String>,
    /// With --commands: which of the two gateways; a is the generator's.
    #[arg(long, value_enum, requires = "commands")]
    side: Option<Side>,
    /// With --commands: its interface towards the LAN.
    #[arg(long, value_name = "INTERFACE", requires = "commands")]
    lan: Option<String>,
    /// With --commands: its interface towards the other gateway.
    #[arg(long, value_name = "INTERFACE", requires = "commands")]
    wan: Option<String>,
    /// With --commands: its own address there, prefix length 30 or shorter.
    #[arg(long, value_name = "ADDRESS", requires = "commands")]
    local: Option<Ipv4Addr>,
    /// With --commands: the other gateway's address.
    #[arg(long, value_name = "ADDRESS", requires = "commands")]
    remote: Option<Ipv4Addr>,
    /// With --commands: the CPU for the gateway's threads.
    #[arg(long, value_name = "CPU", default_value_t = 1)]
    cpu: usize,
    /// With --commands: a folder for the gateway's files.
    #[arg(long, value_name = "FOLDER", default_value = "/run/spanwire-compare")]
    dir: PathBuf,
}

/// Prints the script of a system.
///
/// # Errors
/// There is no such system.
pub(super) fn print(args: &CommandsArgs, name: &str) -> Result<()> {
    let system =
        systems::named(name).with_context(|| format!("there is no system {name:?}; --list names them"))?;
    let given = "clap asks for all of them with --commands";
    let site = Site {
        side: args.side.context(given)?,
        lan: args.lan.clone().context(given)?,
        wan: args.wan.clone().context(given)?,
        local: args.local.context(given)?,
        remote: args.remote.context(given)?,
        cpu: args.cpu,
        dir: args.dir.clone(),
        tuning: Tuning::default(),
    };
    let Site { lan, wan, local, dir, .. } = &site;
    print!(
        "# {}: gateway {}. {wan} has the address {local}; both interfaces are up.\nmkdir -p {}\n\
         for interface in {lan} {wan}; do ethtool -K $interface tx off tso off gso off gro off txvlan off; done\n{}",
        system.title,
        site.side.name(),
        dir.display(),
        script(&system.steps(&site, &Tools::by_name())?)
    );
    Ok(())
}
