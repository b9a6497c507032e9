//! A lab's name on the machine: its folder, which is locked while it lives, and the prefix of its namespaces.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

/// Where each lab has its folder: locked while it lives, home of its logs.
const RUNTIME_DIR: &str = "/run";

/// The folder for files inside a lab's folder. Apart, because programs may lock the folder that their files stand in.
pub(crate) const FILES: &str = "files";

/// What the names of a lab's namespaces start with. A lab's name has no dash, so no prefix contains another's.
pub(crate) fn prefix(name: &str) -> String {
    format!("sw-{name}-")
}

/// The folder of a lab.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(RUNTIME_DIR).join(format!("sw-{name}"))
}

/// Refuses a name that could reach another lab's namespaces or another folder.
///
/// # Errors
/// It is not 1 to 24 lower-case letters and digits.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    ensure!(
        (1..=24).contains(&name.len()) && name.bytes().all(legal),
        "lab name {name:?} is not 1 to 24 lower-case letters and digits"
    );
    Ok(())
}

/// Makes the folder and locks it; the kernel unlocks it when this process ends, however it ends.
///
/// # Errors
/// Another process uses the name, or the folder cannot be made.
pub(crate) fn lock(name: &str, dir: &Path) -> Result<File> {
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

/// Removes everything in a folder.
///
/// # Errors
/// Something cannot be removed.
pub(crate) fn empty(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let path = entry?.path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.with_context(|| format!("removing {}", path.display()))?;
    }
    Ok(())
}

/// Unlocks by name, not by closing: a child that another thread just forks holds a copy of the file for a moment.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn unlock(lock: &File) -> Result<()> {
    lock.unlock().context("unlocking a lab")
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
