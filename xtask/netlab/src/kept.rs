//! A lab that was left up: what it was, and its removal.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::folder;
use crate::lab::Lab;
use crate::process::{Process, guard};
use crate::state::{Shared, complain};
use crate::teardown;

/// The file in a lab's folder that says that it was left up on purpose.
const KEPT_FILE: &str = "kept.json";

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

impl KeptProcess {
    fn of(process: &Process) -> Self {
        Self { name: process.name().to_owned(), pid: process.pid(), log: process.log_path().to_owned() }
    }
}

/// What `Lab::keep` left up under this name, if it did and nobody removed it.
#[must_use]
pub fn kept(name: &str) -> Option<Kept> {
    let text = fs::read_to_string(folder::path(name).join(KEPT_FILE)).ok()?;
    serde_json::from_str(&text).ok()
}

/// Removes a lab that was left up, or that a killed run left behind; returns whether there was anything.
///
/// # Errors
/// Another process uses the name, or something cannot be removed.
pub fn remove_kept(name: &str) -> Result<bool> {
    folder::check_name(name)?;
    let found = folder::path(name).exists() || !teardown::namespaces(&folder::prefix(name))?.is_empty();
    if found {
        Lab::new(name)?.remove()?;
    }
    Ok(found)
}

/// Writes down what is left up, and lets go of the lab without removing it.
///
/// # Errors
/// The record cannot be written; the lab is still its owner's then.
pub(crate) fn leave_up(lab: &Shared) -> Result<Kept> {
    let namespaces = teardown::namespaces(&folder::prefix(&lab.name))?;
    let mut state = guard(&lab.state);
    let processes =
        state.processes.iter().filter(|process| process.is_running()).map(KeptProcess::of).collect();
    let kept = Kept { dir: lab.dir.clone(), namespaces, processes };
    let path = lab.home.join(KEPT_FILE);
    let text = serde_json::to_string_pretty(&kept)?;
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    if let Some(lock) = state.lock.take() {
        complain(folder::unlock(&lock));
    }
    Ok(kept)
}
