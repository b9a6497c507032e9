//! A guest: Debian's kernel with its own `l2tp_eth` in an emulated machine, a few programs in memory, no disk.
//!
//! What `golden` (a guest that records by itself), `interop` and `zero_copy` (guests that are told what to do) have in common: the
//! packages they are made of, their first file system, the emulator's command line, the control port. Nothing is installed: packages are unpacked into
//! the target folder and stay there, for both. Deliberately not here: what the guest's first process does.

pub(crate) mod archive;
pub(crate) mod control;
pub(crate) mod kernel;
pub(crate) mod machine;
pub(crate) mod packages;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Makes a folder, in place of what stood there.
///
/// # Errors
/// What stood there cannot be removed, or the folder not be made.
pub(crate) fn empty_folder(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))
}

/// The last `count` lines of a guest's console.
pub(crate) fn tail(console: &str, count: usize) -> String {
    let lines: Vec<&str> = console.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
