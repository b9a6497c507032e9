//! What the handles of a lab share: its state, and the one way in which it goes.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, Result, bail, ensure};

use crate::folder::{self, FILES};
use crate::process::{GRACE, Process, guard};
use crate::{registry, teardown};

/// What the lab's handles share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) name: String,
    /// The folder that says that the lab exists: locked while it lives.
    pub(crate) home: PathBuf,
    /// A folder in it, for logs and the callers' files.
    pub(crate) dir: PathBuf,
    pub(crate) state: Mutex<State>,
}

/// What changes while it lives.
#[derive(Debug)]
pub(crate) struct State {
    /// The folder, locked; `None` once the lab is removed or kept.
    pub(crate) lock: Option<File>,
    pub(crate) processes: Vec<Process>,
}

impl Shared {
    /// The state of a lab whose folder is locked and empty.
    pub(crate) fn new(name: &str, home: PathBuf, lock: File) -> Self {
        let state = Mutex::new(State { lock: Some(lock), processes: Vec::new() });
        Self { name: name.to_owned(), dir: home.join(FILES), home, state }
    }

    /// Does `work` unless the lab is being removed; it is not removed meanwhile.
    pub(crate) fn while_living<T>(&self, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
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
    pub(crate) fn ended_unasked(&self) -> Option<String> {
        let state = guard(&self.state);
        let process = state.processes.iter().find(|process| process.ended_unasked())?;
        let status =
            process.exit_status().ok().flatten().map_or("unknown".to_owned(), |status| status.to_string());
        Some(format!("{} ended by itself ({status})", process.name()))
    }

    /// As [`remove`](Self::remove), for callers that have nobody to return faults to: they go to standard error.
    pub(crate) fn tear_down(&self) {
        complain(self.remove());
    }

    /// Ends the processes and removes namespaces and folder; only the first call does anything.
    ///
    /// # Errors
    /// What stays, all of it named: after a fault the rest goes all the same.
    pub(crate) fn remove(&self) -> Result<()> {
        let mut state = guard(&self.state);
        let Some(lock) = state.lock.take() else { return Ok(()) };
        for process in &state.processes {
            process.dismiss();
        }
        let mut results: Vec<Result<()>> =
            state.processes.iter().map(|process| process.await_end(GRACE).map(drop)).collect();
        results.push(teardown::remove_namespaces(&folder::prefix(&self.name)).map(drop));
        results.push(
            fs::remove_dir_all(&self.home).with_context(|| format!("removing {}", self.home.display())),
        );
        // Unlocked last, so that nobody makes a lab of this name before this one is gone.
        results.push(folder::unlock(&lock));
        let faults: Vec<_> =
            results.into_iter().filter_map(Result::err).map(|fault| format!("{fault:#}")).collect();
        if faults.is_empty() { Ok(()) } else { bail!("{}", faults.join("; ")) }
    }
}

/// Tells a fault that nobody can be handed.
pub(crate) fn complain(result: Result<()>) {
    if let Err(fault) = result {
        registry::tell(&format!("cleaning up: {fault:#}"));
    }
}
