//! The machine's own runtime folder, which no gateway of a lab may touch: a real gateway may keep its files there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Where a gateway that is not told otherwise keeps lock, journal and control socket.
const RUNTIME_FOLDER: &str = "/run/spanwire";

/// What tells one state of a file from another: inode, length, seconds and nanoseconds of its last change.
type Mark = (u64, u64, i64, i64);

/// A folder as it was at a time.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Its files; `None` when there was no such folder.
    files: Option<BTreeMap<OsString, Mark>>,
}

impl Folder {
    /// Reads the runtime folder now.
    ///
    /// # Errors
    /// It exists and cannot be listed.
    pub(super) fn read() -> Result<Self> {
        Self::read_at(Path::new(RUNTIME_FOLDER))
    }

    fn read_at(path: &Path) -> Result<Self> {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(fault) if fault.kind() == ErrorKind::NotFound => {
                return Ok(Self { path: path.to_owned(), files: None });
            }
            Err(fault) => return Err(fault).with_context(|| format!("listing {}", path.display())),
        };
        let mut files = BTreeMap::new();
        for entry in entries {
            let entry = entry.with_context(|| format!("listing {}", path.display()))?;
            // A file that went away since is not there.
            let Ok(file) = entry.metadata() else { continue };
            files.insert(entry.file_name(), (file.ino(), file.len(), file.mtime(), file.mtime_nsec()));
        }
        Ok(Self { path: path.to_owned(), files: Some(files) })
    }

    /// What has changed since, one line per file: nothing, if all is as it was.
    ///
    /// # Errors
    /// The folder cannot be listed.
    pub(super) fn changes(&self) -> Result<Vec<String>> {
        let now = Self::read_at(&self.path)?;
        let none = BTreeMap::new();
        let (old, new) = (self.files.as_ref().unwrap_or(&none), now.files.as_ref().unwrap_or(&none));
        let mut changes = Vec::new();
        if self.files.is_some() != now.files.is_some() {
            changes.push(format!("{} came or went meanwhile", self.path.display()));
        }
        for name in old.keys().chain(new.keys().filter(|name| !old.contains_key(*name))) {
            if old.get(name) != new.get(name) {
                changes.push(format!("{} changed meanwhile", self.path.join(name).display()));
            }
        }
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of this test's own.
    fn scratch(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("xtask-{}-{name}", std::process::id()));
        fs::create_dir(&path).unwrap();
        path
    }

    #[test]
    fn new_changed_and_removed_files_are_named_and_others_are_not() {
        let path = scratch("files");
        for name in ["gw-a.lock", "gw-a.nic", "gw-b.lock"] {
            fs::write(path.join(name), "").unwrap();
        }
        let before = Folder::read_at(&path).unwrap();
        assert_eq!(before.changes().unwrap(), Vec::<String>::new());
        fs::write(path.join("gw-a.nic"), "[]").unwrap();
        fs::remove_file(path.join("gw-b.lock")).unwrap();
        fs::write(path.join("gw-c.lock"), "").unwrap();
        let expected = ["gw-a.nic", "gw-b.lock", "gw-c.lock"]
            .map(|name| format!("{} changed meanwhile", path.join(name).display()));
        assert_eq!(before.changes().unwrap(), expected);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn a_folder_that_was_made_meanwhile_is_a_change_even_if_it_is_empty() {
        let path = scratch("made");
        fs::remove_dir(&path).unwrap();
        let before = Folder::read_at(&path).unwrap();
        assert_eq!(before.changes().unwrap(), Vec::<String>::new());
        fs::create_dir(&path).unwrap();
        assert_eq!(before.changes().unwrap(), [format!("{} came or went meanwhile", path.display())]);
        fs::remove_dir(path).unwrap();
    }
}
