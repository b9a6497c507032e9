//! Removing the namespaces of a lab, with everything that runs in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::shell;
use crate::wait::wait_until;

/// Where `ip netns` keeps its names.
const NAMESPACE_DIR: &str = "/run/netns";

/// Time that foreign processes inside a namespace have to end after SIGTERM, and again after SIGKILL.
const GRACE: Duration = Duration::from_secs(2);

/// The named namespaces whose name starts with `prefix`, sorted.
pub(crate) fn namespaces(prefix: &str) -> Result<Vec<String>> {
    if !Path::new(NAMESPACE_DIR).exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(NAMESPACE_DIR).context("listing network namespaces")? {
        let name = entry.context("listing network namespaces")?.file_name().to_string_lossy().into_owned();
        if name.starts_with(prefix) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Ends what runs in the namespaces of `prefix` and removes them; returns how many there were.
///
/// # Errors
/// Processes or namespaces that stay, all of them named.
pub(crate) fn remove_namespaces(prefix: &str) -> Result<usize> {
    let names = namespaces(prefix)?;
    let mut faults = Vec::new();
    if let Err(fault) = end_inhabitants(&names) {
        faults.push(format!("{fault:#}"));
    }
    for name in &names {
        if let Err(fault) = shell::ip(&format!("netns delete {name}")) {
            faults.push(format!("{fault:#}"));
        }
    }
    if faults.is_empty() { Ok(names.len()) } else { bail!("{}", faults.join("; ")) }
}

/// Ends the processes that live in the namespaces: SIGTERM first, SIGKILL for what stays.
fn end_inhabitants(names: &[String]) -> Result<()> {
    for signal in [Signal::TERM, Signal::KILL] {
        if inhabitants(names)?.is_empty() {
            return Ok(());
        }
        for pid in inhabitants(names)? {
            if let Some(pid) = Pid::from_raw(pid) {
                // It may have ended since; then there is nothing to signal.
                let _ = kill_process(pid, signal);
            }
        }
        let empty = || match inhabitants(names) {
            Ok(left) if left.is_empty() => Ok(()),
            Ok(left) => Err(format!("{left:?}")),
            Err(fault) => Err(format!("{fault:#}")),
        };
        let _ = wait_until("an end of all processes", GRACE, empty);
    }
    let left = inhabitants(names)?;
    if left.is_empty() { Ok(()) } else { bail!("processes {left:?} do not end") }
}

/// Ids of the processes that live in the namespaces, without this one.
fn inhabitants(names: &[String]) -> Result<BTreeSet<i32>> {
    let own = process::id().cast_signed();
    let mut pids = BTreeSet::new();
    for name in names {
        let text = shell::ip(&format!("netns pids {name}"))?;
        pids.extend(text.split_whitespace().filter_map(|word| word.parse::<i32>().ok()));
    }
    pids.remove(&own);
    Ok(pids)
}
