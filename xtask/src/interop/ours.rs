//! Our side: configurations imported from the mirrored commands, gateways started with them, what they count.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use netlab::{Lab, Process};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::breakage::Breakage;
use super::case::{Case, Gateway, Tunnel};
use super::commands;
use super::network::Network;
use super::plan::Go;
use super::scripts::{access_vlan, tunnels_of};
use crate::lab::gateways;

/// Time for all sessions to come up.
const UP_DEADLINE: Duration = Duration::from_secs(60);

/// Addresses that a bridge has room for; the default takes memory for a LAN of thousands, and there are hundreds of bridges.
const FDB_ENTRIES: i64 = 64;

/// The gateways that spanwire runs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ours<'l> {
    pub(super) lab: &'l Lab,
    pub(super) network: &'l Network,
    pub(super) binary: &'l Path,
}

/// One row of `spanwire session show --json`, as far as it is counted with.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct SessionRow {
    pub(super) name: String,
    pub(super) rx_frames: u64,
    pub(super) rx_bytes: u64,
    pub(super) tx_frames: u64,
    pub(super) tx_bytes: u64,
    pub(super) drops: BTreeMap<String, u64>,
    /// Largest inner packet that fits the path.
    pub(super) inner_mtu: Option<u32>,
    pub(super) icmp_sent: u64,
    pub(super) peer_cookie_also_frames: u64,
    pub(super) seq_resyncs: u64,
    pub(super) observed: Option<Observed>,
}

/// What a session counts by sequence numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Observed {
    pub(super) lost: u64,
    pub(super) reordered: u64,
    pub(super) duplicates: u64,
}

/// One row of `spanwire tunnel show --json`, as far as it is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct TunnelRow {
    tunnel_id: u32,
    pub(super) remote: IpAddr,
    pub(super) udp_dport: Option<u16>,
    pub(super) peer_moves: u64,
}

/// One row of `spanwire drop show --json`.
#[derive(Debug, Deserialize)]
struct DropRow {
    reason: String,
    frames: u64,
}

/// One row of `spanwire port show --json`, as far as it is counted with.
#[derive(Debug, Deserialize)]
struct PortRow {
    name: String,
    steering: BTreeMap<String, u64>,
}

/// What a gateway of ours counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// By session name.
    pub(super) sessions: BTreeMap<String, SessionRow>,
    /// Frames dropped, by reason.
    pub(super) drops: BTreeMap<String, u64>,
    /// Decisions of the steering program on the underlay port.
    pub(super) steering: BTreeMap<String, u64>,
}

impl Ours<'_> {
    /// Starts each gateway of ours that a case of a go needs and waits until all of its sessions are up.
    ///
    /// # Errors
    /// The import says that something is left out, a gateway ends, or a session does not come up.
    pub(super) fn start(&self, tunnels: &[Tunnel], go: &Go<'_>) -> Result<Vec<Process>> {
        let Go { number, breakage, cases } = go;
        let needed = Gateway::OURS.map(|gateway| (gateway, session_names(cases, gateway).len()));
        let needed: Vec<_> = needed.into_iter().filter(|(_, count)| *count > 0).collect();
        let mut processes = Vec::new();
        for (gateway, _) in &needed {
            let configuration = self.configure(*gateway, tunnels, cases, *breakage)?;
            let config = text(&configuration)?;
            let folder = text(self.lab.dir())?;
            let words = [text(self.binary)?, "run", "--config", config, "--runtime-directory", folder];
            processes
                .push(self.network.gateway(*gateway).spawn(&format!("{}-{number}", gateway.name()), &words)?);
        }
        self.lab.wait_until("all sessions to be up", UP_DEADLINE, || {
            for (gateway, count) in &needed {
                gateways::all_up(self.binary, self.lab.dir(), gateway.name(), *count)?;
            }
            Ok(())
        })?;
        Ok(processes)
    }

    /// Imports the commands of a gateway, breaks what is to be broken, and returns the configuration's path.
    fn configure(
        &self,
        gateway: Gateway,
        tunnels: &[Tunnel],
        cases: &[&Case],
        breakage: Option<&Breakage>,
    ) -> Result<PathBuf> {
        let path = |suffix: &str| self.lab.dir().join(format!("{}.{suffix}", gateway.name()));
        let (script, configuration) = (path("sh"), path("toml"));
        fs::write(&script, script_of(gateway, tunnels, cases))
            .with_context(|| format!("writing {}", script.display()))?;
        let mut import = Command::new(self.binary);
        import.args(["import", "--underlay", "eth0", "--name", gateway.name()]).arg(&script);
        let output = import.stdin(Stdio::null()).output().context("starting `spanwire import`")?;
        let remarks = remarks(&String::from_utf8_lossy(&output.stderr));
        // A word that is left out would leave its cases to prove nothing.
        ensure!(
            output.status.success() && remarks.is_empty(),
            "`spanwire import` does not take every command ({}):\n{}",
            output.status,
            remarks.join("\n")
        );
        let mut table: toml::Table =
            String::from_utf8_lossy(&output.stdout).parse().context("reading the imported configuration")?;
        bridges_take_little_memory(&mut table);
        for case in cases.iter().filter(|case| !case.settings.is_empty()) {
            let tunnel_id = tunnels[usize::from(case.wires[0].tunnels[0])].end(Gateway::First).tunnel_id;
            let is_there = gateway != Gateway::First || case.apply_settings(&mut table, tunnel_id);
            ensure!(is_there, "{}: the import made no such tunnel and session", case.name);
        }
        if let Some(breakage) = breakage {
            breakage.apply(&mut table)?;
        }
        fs::write(&configuration, toml::to_string(&table)?)
            .with_context(|| format!("writing {}", configuration.display()))?;
        Ok(configuration)
    }

    /// What a gateway counts now.
    ///
    /// # Errors
    /// It does not answer, or in words that are not understood.
    pub(super) fn counts(&self, gateway: Gateway) -> Result<Counts> {
        let sessions = self.rows::<SessionRow>(gateway, "session", &["--json"])?;
        let drops = self.rows::<DropRow>(gateway, "drop", &["--json", "--all"])?;
        let ports = self.rows::<PortRow>(gateway, "port", &["--json"])?;
        let underlay = ports.into_iter().find(|port| port.name == "eth0").context("no port eth0")?;
        Ok(Counts {
            sessions: sessions.into_iter().map(|row| (row.name.clone(), row)).collect(),
            drops: drops.into_iter().map(|row| (row.reason, row.frames)).collect(),
            steering: underlay.steering,
        })
    }

    /// One session of a gateway.
    ///
    /// # Errors
    /// The gateway does not answer, or does not know the session.
    pub(super) fn session(&self, gateway: Gateway, name: &str) -> Result<SessionRow> {
        let rows = self.rows::<SessionRow>(gateway, "session", &["--json"])?;
        rows.into_iter().find(|row| row.name == name).with_context(|| format!("no session {name}"))
    }

    /// One tunnel of a gateway.
    ///
    /// # Errors
    /// The gateway does not answer, or does not know the tunnel.
    pub(super) fn tunnel(&self, gateway: Gateway, tunnel_id: u32) -> Result<TunnelRow> {
        let rows = self.rows::<TunnelRow>(gateway, "tunnel", &["--json"])?;
        rows.into_iter()
            .find(|row| row.tunnel_id == tunnel_id)
            .with_context(|| format!("no tunnel {tunnel_id}"))
    }

    /// Changes cookies of a session while it runs: `spanwire session set`.
    ///
    /// # Errors
    /// The gateway refuses.
    pub(super) fn set_cookies(&self, gateway: Gateway, session: &str, options: &[&str]) -> Result<()> {
        let mut command = Command::new(self.binary);
        command.args(["session", "set", session]).args(options).arg("--control-socket");
        command.arg(gateways::socket(self.lab.dir(), gateway.name())).stdin(Stdio::null());
        let output = command.output().context("starting `spanwire session set`")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    fn rows<R: DeserializeOwned>(&self, gateway: Gateway, object: &str, options: &[&str]) -> Result<Vec<R>> {
        let name = gateway.name();
        let text = gateways::show(self.binary, self.lab.dir(), name, object, options)
            .map_err(|fault| anyhow!("{fault}"))?;
        serde_json::from_str(&text).with_context(|| format!("{name}: {object} show --json"))
    }
}

/// Names of the sessions that a gateway of ours has in the cases.
pub(super) fn session_names(cases: &[&Case], gateway: Gateway) -> Vec<String> {
    let wires = cases.iter().flat_map(|case| &case.wires);
    wires.filter(|wire| wire.gateways.contains(&gateway)).map(super::case::Wire::name).collect()
}

/// The commands that would make the kernel the gateway that ours is to be.
fn script_of(gateway: Gateway, tunnels: &[Tunnel], cases: &[&Case]) -> String {
    let mut text = String::new();
    for tunnel in tunnels_of(tunnels, cases, gateway) {
        let _ = writeln!(text, "ip {}", commands::tunnel(tunnel.end(gateway), tunnel.encap, tunnel.family));
    }
    for case in cases {
        let Some(site) = case.sites.iter().position(|at| *at == gateway) else { continue };
        let bridge = format!("br{}", case.number);
        let lan = format!("eth1.{}", access_vlan(case, site));
        let vlan = access_vlan(case, site);
        let _ = writeln!(text, "ip link add {bridge} type bridge\nip link set {bridge} up");
        let _ = writeln!(text, "ip link add link eth1 name {lan} type vlan id {vlan}");
        let mut members = vec![lan];
        for wire in case.wires.iter().filter(|wire| wire.gateways.contains(&gateway)) {
            let end = wire.end(gateway);
            let tunnel = tunnels[usize::from(wire.tunnels[end])].end(gateway);
            let _ = writeln!(text, "ip {}", commands::session(&wire.ends[end], tunnel, &wire.name()));
            members.push(wire.name());
        }
        for member in members {
            let _ = writeln!(text, "ip link set {member} master {bridge} up");
        }
    }
    text
}

/// What an import says of the commands, without its advice about the result: some cases are unwise on purpose.
fn remarks(notes: &str) -> Vec<String> {
    let is_advice = |line: &str| line.starts_with("imported configuration:") && line.contains(": note: ");
    let is_known = |line: &&str| is_advice(line) || line.starts_with("0 faults");
    notes.lines().filter(|line| !is_known(line)).take(20).map(str::to_owned).collect()
}

fn bridges_take_little_memory(table: &mut toml::Table) {
    let bridges = table.get_mut("bridge").and_then(toml::Value::as_table_mut).into_iter();
    for bridge in bridges.flat_map(|bridges| bridges.iter_mut()).filter_map(|(_, value)| value.as_table_mut())
    {
        bridge.insert("fdb_entries".to_owned(), FDB_ENTRIES.into());
    }
}

/// A path as text, for a command line.
fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
