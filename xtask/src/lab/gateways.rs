//! The three gateways of the lab: from the article's commands to sessions that are up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netlab::article::{Article, COMMANDS, SITES};
use netlab::{Lab, Process};
use serde::{Deserialize, Serialize};

/// Time for all sessions to come up.
const UP_DEADLINE: Duration = Duration::from_secs(30);

/// Lines of each log that a diagnosis shows.
const TAIL_LINES: usize = 25;

/// One row of `spanwire session show --json`, as far as the lab looks at it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    /// The gateway that was asked.
    #[serde(default)]
    pub(crate) gateway: String,
    /// Name of the session.
    pub(crate) name: String,
    /// Id that the peer sends.
    pub(crate) session_id: u32,
    /// Id that is sent to the peer.
    pub(crate) peer_session_id: u32,
    /// `up` or `down`.
    pub(crate) state: String,
    /// Why it is down.
    pub(crate) reason: Option<String>,
}

/// The gateways of a lab.
#[derive(Debug)]
pub(crate) struct Gateways<'l> {
    lab: &'l Lab,
    network: &'l Article,
    binary: &'l Path,
}

impl<'l> Gateways<'l> {
    /// Gateways that are not started yet.
    pub(crate) fn new(lab: &'l Lab, network: &'l Article, binary: &'l Path) -> Self {
        Self { lab, network, binary }
    }

    /// Writes each gateway's command list and has `spanwire import` make a configuration of it.
    pub(crate) fn import(&self) -> Result<()> {
        for (site, commands) in SITES.iter().zip(COMMANDS) {
            self.import_one(site.gateway, commands).with_context(|| format!("importing {}", site.gateway))?;
        }
        Ok(())
    }

    fn import_one(&self, name: &str, commands: &str) -> Result<()> {
        let script = self.lab.dir().join(format!("{name}.sh"));
        fs::write(&script, commands).with_context(|| format!("writing {}", script.display()))?;
        let mut import = Command::new(self.binary);
        import.args(["import", "--underlay", "eth0", "--name", name]).arg(&script).stdin(Stdio::null());
        let output = import.output().with_context(|| format!("starting {}", self.binary.display()))?;
        let notes = String::from_utf8_lossy(&output.stderr);
        notes.lines().for_each(|note| eprintln!("      {note}"));
        ensure!(output.status.success(), "`spanwire import` failed ({})", output.status);
        let path = self.configuration(name);
        fs::write(&path, output.stdout).with_context(|| format!("writing {}", path.display()))
    }

    /// Starts one gateway per namespace; order as in [`SITES`]. Lock, journal and control socket stand in the lab's folder.
    /// `suffix` is added to the names of the processes and their logs, where there are several starts.
    pub(crate) fn start(&self, suffix: &str) -> Result<Vec<Process>> {
        let binary = text(self.binary)?;
        let mut processes = Vec::new();
        for (site, node) in SITES.iter().zip(&self.network.gateways) {
            let configuration = self.configuration(site.gateway);
            let config = text(&configuration)?;
            let words = [binary, "run", "--config", config, "--runtime-directory", text(self.lab.dir())?];
            processes.push(node.spawn(&format!("{}{suffix}", site.gateway), &words)?);
        }
        Ok(processes)
    }

    /// Waits until every session of every gateway is up, and returns them.
    pub(crate) fn wait_until_up(&self) -> Result<Vec<Session>> {
        let probe = || {
            let mut sessions = Vec::new();
            for (site, commands) in SITES.iter().zip(COMMANDS) {
                let count = session_count(commands);
                sessions.extend(all_up(self.binary, self.lab.dir(), site.gateway, count)?);
            }
            Ok(sessions)
        };
        self.lab.wait_until("all sessions to be up", UP_DEADLINE, probe)
    }

    fn configuration(&self, name: &str) -> PathBuf {
        self.lab.dir().join(format!("{name}.toml"))
    }
}

/// Sessions that a command list makes.
fn session_count(commands: &str) -> usize {
    commands.lines().filter(|line| line.starts_with("ip l2tp add session ")).count()
}

/// Ends the gateways (SIGTERM), and says what is wrong with their ends and with their logs: nothing, if all is well.
///
/// # Errors
/// A process cannot be waited for.
pub(crate) fn end(processes: &[Process]) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for process in processes {
        let status = process.terminate()?;
        faults.extend(end_faults(process.name(), status, &process.log()));
    }
    Ok(faults)
}

/// What is wrong with the end of a gateway that was told to end, and with its log.
fn end_faults(name: &str, status: ExitStatus, log: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !status.success() {
        faults.push(format!("{name} did not end well on SIGTERM ({status})"));
    }
    // The level is the first word of a line, or the second behind the time.
    let errors = log.lines().filter(|line| line.split_whitespace().take(2).any(|word| word == "ERROR"));
    faults.extend(errors.map(|line| format!("{name} logged: {line}")));
    faults
}

/// The control socket of a gateway.
pub(crate) fn socket(dir: &Path, gateway: &str) -> PathBuf {
    dir.join(format!("{gateway}.sock"))
}

/// What there is to know after a failure: what each gateway says about its sessions and drops, and the end of each log
/// unless a failed wait has shown it already.
pub(crate) fn diagnosis(lab: &Lab, binary: &Path, with_logs: bool) -> String {
    let mut parts = if with_logs { vec![lab.log_tails(TAIL_LINES)] } else { Vec::new() };
    for site in &SITES {
        for object in ["session", "drop"] {
            let shown = show(binary, lab.dir(), site.gateway, object, &[]).unwrap_or_else(|fault| fault);
            parts.push(format!("--- {}, {object} show:\n{}", site.gateway, shown.trim_end()));
        }
        let ports = show(binary, lab.dir(), site.gateway, "port", &["--json"]);
        let lost = ports.and_then(|json| lost_in_kernel(&json)).unwrap_or_else(|fault| fault);
        parts.push(format!("--- {}, frames that the kernel lost in front of it: {lost}", site.gateway));
    }
    parts.join("\n")
}

/// What the kernel dropped because a gateway was late, by port, from `port show --json`: the engine never saw it, so no drop
/// reason has it.
///
/// # Errors
/// The text is not that of ports.
fn lost_in_kernel(json: &str) -> Result<String, String> {
    let rows: Vec<serde_json::Value> =
        serde_json::from_str(json).map_err(|fault| format!("unreadable reply: {fault}"))?;
    let mut lost = Vec::new();
    for row in &rows {
        let name = row["name"].as_str().ok_or("a port without a name")?;
        for counter in ["rx_ring_full", "rx_dropped", "fill_ring_empty"] {
            let count =
                row["kernel_rings"][counter].as_u64().ok_or_else(|| format!("{name} has no {counter}"))?;
            if count > 0 {
                lost.push(format!("{name} {counter} {count}"));
            }
        }
    }
    Ok(if lost.is_empty() { String::from("none") } else { lost.join(", ") })
}

/// The sessions of a gateway if there are `count` and all are up, otherwise their states.
///
/// # Errors
/// The states, as text, or that the gateway does not answer.
pub(crate) fn all_up(binary: &Path, dir: &Path, gateway: &str, count: usize) -> Result<Vec<Session>, String> {
    let json = show(binary, dir, gateway, "session", &["--json"])?;
    let mut sessions: Vec<Session> =
        serde_json::from_str(&json).map_err(|fault| format!("{gateway}: unreadable reply: {fault}"))?;
    let down = sessions.iter().filter(|session| session.state != "up");
    let mut states: Vec<String> = down
        .map(|session| {
            format!("{} is down: {}", session.name, session.reason.as_deref().unwrap_or("no reason given"))
        })
        .collect();
    if sessions.len() != count {
        states.push(format!("{} sessions, {count} expected", sessions.len()));
    }
    if !states.is_empty() {
        return Err(format!("{gateway}: {}", states.join(", ")));
    }
    sessions.iter_mut().for_each(|session| session.gateway = gateway.to_owned());
    Ok(sessions)
}

/// What `spanwire <object> show` prints for a gateway.
pub(crate) fn show(
    binary: &Path,
    dir: &Path,
    gateway: &str,
    object: &str,
    options: &[&str],
) -> Result<String, String> {
    let mut command = Command::new(binary);
    command
        .args([object, "show", "--control-socket"])
        .arg(socket(dir, gateway))
        .args(options)
        .stdin(Stdio::null());
    let output = command.output().map_err(|fault| format!("{gateway}: cannot start spanwire: {fault}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{gateway}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// A path as text, for a command line.
fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    const GOOD_LOG: &str = "2026-01-02T03:04:05.678901Z  INFO attached to eth0\n WARN no ERROR here\n";

    #[test]
    fn a_gateway_that_ends_with_zero_and_logs_no_error_has_no_fault() {
        assert_eq!(end_faults("gw-a", ExitStatus::from_raw(0), GOOD_LOG), Vec::<String>::new());
    }

    #[test]
    fn an_exit_code_and_a_signal_are_faults() {
        let faults = end_faults("gw-a", ExitStatus::from_raw(1 << 8), GOOD_LOG);
        assert_eq!(faults, ["gw-a did not end well on SIGTERM (exit status: 1)"]);
        let faults = end_faults("gw-a", ExitStatus::from_raw(9), "");
        assert_eq!(faults, ["gw-a did not end well on SIGTERM (signal: 9 (SIGKILL))"]);
    }

    #[test]
    fn an_error_in_the_log_is_a_fault_with_and_without_time() {
        let log = "2026-01-02T03:04:05.678901Z ERROR 3 chunks are missing\nERROR worker 0 ended by a panic\n";
        let faults = end_faults("gw-b", ExitStatus::from_raw(0), log);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].ends_with("ERROR 3 chunks are missing"), "{faults:?}");
    }

    #[test]
    fn what_the_kernel_lost_is_named_by_port_and_counter() {
        let port = |name: &str, full: u64| {
            format!(
                r#"{{"name":"{name}","kernel_rings":{{"rx_ring_full":{full},"rx_dropped":0,"fill_ring_empty":0}}}}"#
            )
        };
        let found = |ports: &[String]| lost_in_kernel(&format!("[{}]", ports.join(",")));
        assert_eq!(found(&[port("eth0", 2688), port("eth1", 0)]).unwrap(), "eth0 rx_ring_full 2688");
        assert_eq!(found(&[port("eth1", 0)]).unwrap(), "none");
        assert!(found(&[r#"{"name":"eth0"}"#.to_owned()]).unwrap_err().contains("rx_ring_full"));
    }

    #[test]
    fn the_middle_gateway_has_two_sessions_and_the_outer_ones_have_one() {
        assert_eq!(COMMANDS.map(session_count), [1, 2, 1]);
    }
}
