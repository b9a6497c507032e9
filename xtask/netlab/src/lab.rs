//! The lab: owner of namespaces, links and processes.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::node::Node;
use crate::process::{GRACE, Process, guard};
use crate::{registry, shell, teardown, wait};

/// Where each lab has its folder: locked while it lives, home of its logs.
const RUNTIME_DIR: &str = "/run";

/// The folder for files inside a lab's folder. Apart, because programs may lock the folder that their files stand in.
const FILES: &str = "files";

/// The file in a lab's folder that says that it was left up on purpose.
const KEPT_FILE: &str = "kept.json";

/// Lines of each log that a failed wait shows.
const TAIL_LINES: usize = 15;

/// How a veth pair is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOptions {
    /// MTU of both ends. Units: bytes.
    pub mtu_bytes: u32,
    /// Transmit and receive queues of both ends. Range: 1 and up.
    pub queue_count: u32,
    /// NAPI on both ends (`ethtool -K gro on`): an end takes frames that the peer's XDP program sends or redirects
    /// to it only when it has NAPI. AF_XDP sockets in copy mode do not need it.
    pub napi: bool,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self { mtu_bytes: 1500, queue_count: 1, napi: false }
    }
}

/// A network of namespaces, owned: dropping it removes everything it made.
#[derive(Debug)]
pub struct Lab {
    shared: Arc<Shared>,
}

/// What the lab's handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    name: String,
    /// The folder that says that the lab exists: locked while it lives.
    home: PathBuf,
    /// A folder in it, for logs and the callers' files.
    dir: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The folder, locked; `None` once the lab is removed or kept.
    lock: Option<File>,
    processes: Vec<Process>,
}

/// What `Lab::keep` left up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// The folder of its files, with the logs.
    pub dir: PathBuf,
    /// Its namespaces, as `ip netns` knows them.
    pub namespaces: Vec<String>,
    /// Its processes.
    pub processes: Vec<KeptProcess>,
}

/// A process that `Lab::keep` left up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeptProcess {
    /// The name it was started under.
    pub name: String,
    /// Its id.
    pub pid: u32,
    /// The file its output goes to.
    pub log: PathBuf,
}

impl Lab {
    /// Makes an empty lab and removes what an earlier one of this name left behind.
    ///
    /// `name`: lower-case letters and digits, at most 24. Namespaces are called `sw-<name>-<node>`.
    ///
    /// # Errors
    /// A bad name, missing privilege, another process that uses the name, or leftovers that cannot be removed.
    pub fn new(name: &str) -> Result<Self> {
        check_name(name)?;
        let home = folder(name);
        let lock = lock_folder(name, &home)?;
        let state = Mutex::new(State { lock: Some(lock), processes: Vec::new() });
        let lab =
            Self { shared: Arc::new(Shared { name: name.to_owned(), dir: home.join(FILES), home, state }) };
        registry::register(&lab.shared)?;
        teardown::remove_namespaces(&prefix(name)).context("removing what an earlier run left behind")?;
        empty_folder(&lab.shared.home)?;
        fs::create_dir(lab.dir()).with_context(|| format!("creating {}", lab.dir().display()))?;
        Ok(lab)
    }

    /// The folder of the lab's files: logs, and room for the caller's own. It goes with the lab.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Adds a machine: a namespace with its loopback up and without IPv6 autoconfiguration noise.
    ///
    /// # Errors
    /// The name is taken, or the namespace cannot be made.
    pub fn node(&self, name: &str) -> Result<Node> {
        let namespace = format!("{}{name}", prefix(&self.shared.name));
        self.shared.while_living(|_| shell::ip(&format!("netns add {namespace}")))?;
        let node = Node::new(Arc::clone(&self.shared), name, namespace);
        node.ip("link set lo up")?;
        // An address is usable at once, and nothing is sent that nobody asked for.
        for key in ["accept_dad", "accept_ra", "autoconf", "router_solicitations"] {
            node.ipv6_sysctl(&format!("conf.default.{key}"), "0")?;
        }
        Ok(node)
    }

    /// Joins two machines by a veth pair and sets both ends up.
    ///
    /// # Errors
    /// An interface name is taken, or the pair cannot be made.
    pub fn link(&self, left: (&Node, &str), right: (&Node, &str), options: &LinkOptions) -> Result<()> {
        let LinkOptions { mtu_bytes: mtu, queue_count: queues, napi } = options;
        let shape = format!("mtu {mtu} numtxqueues {queues} numrxqueues {queues}");
        let ((left, left_name), (right, right_name)) = (left, right);
        left.ip(&format!(
            "link add {left_name} {shape} type veth peer name {right_name} {shape} netns {}",
            right.namespace()
        ))?;
        for (node, interface) in [(left, left_name), (right, right_name)] {
            if *napi {
                node.ethtool(&format!("-K {interface} gro on"))?;
            }
            node.ip(&format!("link set {interface} up"))?;
        }
        Ok(())
    }

    /// Looks until `probe` yields a value, as [`crate::wait_until`] does, but gives up at once when a process of the
    /// lab ended by itself; a failure shows the last lines of every log.
    ///
    /// # Errors
    /// The deadline passed, or a process ended that nobody asked to.
    pub fn wait_until<T>(
        &self,
        what: &str,
        deadline: Duration,
        mut probe: impl FnMut() -> Result<T, String>,
    ) -> Result<T> {
        let probe_or_give_up = || match self.shared.ended_unasked() {
            Some(fault) => Ok(Err(fault)),
            None => probe().map(Ok),
        };
        match wait::wait_until(what, deadline, probe_or_give_up) {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(ended)) => bail!("waiting for {what}: {ended}\n{}", self.log_tails(TAIL_LINES)),
            Err(fault) => bail!("{fault}\n{}", self.log_tails(TAIL_LINES)),
        }
    }

    /// The last `count` lines of every process that was started.
    #[must_use]
    pub fn log_tails(&self, count: usize) -> String {
        let processes = guard(&self.shared.state).processes.clone();
        let tails = processes.iter().map(|process| {
            let state = if process.is_running() { "running" } else { "ended" };
            format!("--- {} ({state}), last lines:\n{}", process.name(), process.log_tail(count))
        });
        tails.collect::<Vec<_>>().join("\n")
    }

    /// Leaves everything up and running; [`remove_kept`], or a new lab of the same name, removes it.
    ///
    /// # Errors
    /// The record of what is left up cannot be written; the lab is removed then.
    pub fn keep(self) -> Result<Kept> {
        let namespaces = teardown::namespaces(&prefix(&self.shared.name))?;
        let mut state = guard(&self.shared.state);
        let processes =
            state.processes.iter().filter(|process| process.is_running()).map(KeptProcess::of).collect();
        let kept = Kept { dir: self.shared.dir.clone(), namespaces, processes };
        let path = self.shared.home.join(KEPT_FILE);
        let text = serde_json::to_string_pretty(&kept)?;
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        unlock(state.lock.take());
        drop(state);
        Ok(kept)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.shared.tear_down();
        registry::halt_when_interrupted();
    }
}

impl KeptProcess {
    fn of(process: &Process) -> Self {
        Self { name: process.name().to_owned(), pid: process.pid(), log: process.log_path().to_owned() }
    }
}

/// What `Lab::keep` left up under this name, if it did and nobody removed it.
#[must_use]
pub fn kept(name: &str) -> Option<Kept> {
    let text = fs::read_to_string(folder(name).join(KEPT_FILE)).ok()?;
    serde_json::from_str(&text).ok()
}

/// Removes a lab that was left up, or that a killed run left behind; returns whether there was anything.
///
/// # Errors
/// Another process uses the name, or something cannot be removed.
pub fn remove_kept(name: &str) -> Result<bool> {
    check_name(name)?;
    let found = folder(name).exists() || !teardown::namespaces(&prefix(name))?.is_empty();
    if found {
        drop(Lab::new(name)?);
    }
    Ok(found)
}

impl Shared {
    /// Does `work` unless the lab is being removed; it is not removed meanwhile.
    fn while_living<T>(&self, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = guard(&self.state);
        ensure!(state.lock.is_some(), "the lab {} is being removed", self.name);
        work(&mut state)
    }

    /// Starts a process whose output goes to `<name>.log` in the lab's folder.
    pub(crate) fn start(&self, name: &str, command: &mut Command) -> Result<Process> {
        let log = self.dir.join(format!("{name}.log"));
        self.while_living(|state| {
            let file = File::options().create(true).append(true).open(&log);
            let file = file.with_context(|| format!("opening {}", log.display()))?;
            let errors = file.try_clone().context("duplicating a log file")?;
            command.stdout(file).stderr(Stdio::from(errors)).process_group(0);
            let child = command.spawn().with_context(|| format!("starting {name}"))?;
            let process = Process::new(name, log.clone(), child);
            state.processes.push(process.clone());
            Ok(process)
        })
    }

    /// Says which process ended by itself, if one did.
    fn ended_unasked(&self) -> Option<String> {
        let state = guard(&self.state);
        let process = state.processes.iter().find(|process| process.ended_unasked())?;
        let status =
            process.exit_status().ok().flatten().map_or("unknown".to_owned(), |status| status.to_string());
        Some(format!("{} ended by itself ({status})", process.name()))
    }

    /// Ends the processes and removes namespaces and folder; only the first call does anything.
    ///
    /// Faults go to standard error: there is nobody to return them to, and the rest has to go all the same.
    pub(crate) fn tear_down(&self) {
        let mut state = guard(&self.state);
        let Some(lock) = state.lock.take() else { return };
        for process in &state.processes {
            process.dismiss();
        }
        for process in &state.processes {
            complain(process.await_end(GRACE).map(drop));
        }
        complain(teardown::remove_namespaces(&prefix(&self.name)).map(drop));
        complain(fs::remove_dir_all(&self.home).with_context(|| format!("removing {}", self.home.display())));
        // Unlocked last, so that nobody makes a lab of this name before this one is gone.
        unlock(Some(lock));
    }
}

/// Unlocks by name, not by closing: a child that another thread just forks holds a copy of the file for a moment.
fn unlock(lock: Option<File>) {
    if let Some(lock) = lock {
        complain(lock.unlock().context("unlocking a lab"));
    }
}

/// Tells a fault that nobody can be handed.
fn complain(result: Result<()>) {
    if let Err(fault) = result {
        eprintln!("cleaning up: {fault:#}");
    }
}

/// What the names of a lab's namespaces start with. A lab's name has no dash, so no prefix contains another's.
fn prefix(name: &str) -> String {
    format!("sw-{name}-")
}

/// The folder of a lab.
fn folder(name: &str) -> PathBuf {
    Path::new(RUNTIME_DIR).join(format!("sw-{name}"))
}

fn check_name(name: &str) -> Result<()> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    ensure!(
        (1..=24).contains(&name.len()) && name.bytes().all(legal),
        "lab name {name:?} is not 1 to 24 lower-case letters and digits"
    );
    Ok(())
}

/// Makes the folder and locks it; the kernel unlocks it when this process ends, however it ends.
fn lock_folder(name: &str, dir: &Path) -> Result<File> {
    loop {
        fs::create_dir_all(dir).with_context(|| format!("creating {}", dir.display()))?;
        let lock = File::open(dir).with_context(|| format!("opening {}", dir.display()))?;
        if lock.try_lock().is_err() {
            bail!("another process uses the lab {name} ({} is locked)", dir.display());
        }
        // Between opening and locking, its owner may have removed it: then the lock is on a folder without a name.
        let inode = lock.metadata().context("reading the lock's inode")?.ino();
        if fs::metadata(dir).is_ok_and(|now| now.ino() == inode) {
            return Ok(lock);
        }
    }
}

fn empty_folder(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let path = entry?.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_reach_another_labs_namespaces_are_refused() {
        for name in ["", "lab-x", "Lab", "a/b", "abcdefghijklmnopqrstuvwxy"] {
            assert!(check_name(name).is_err(), "{name}");
        }
        check_name("lab2").unwrap();
    }
}
