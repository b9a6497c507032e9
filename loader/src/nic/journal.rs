//! The file by which a later start puts back what a killed gateway had switched.
//!
//! One JSON file per gateway, `NAME.nic` in the runtime directory, written before a feature is switched and gone when all are
//! back. Beside it `NAME.lock`, locked for as long as the gateway runs, so that a second one does not undo the first one's work;
//! an orderly end removes it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::NicError;

/// A feature that was switched off and has to be put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leftover {
    /// The interface's name when it was switched.
    pub interface: String,
    /// The interface's index.
    pub ifindex: u32,
    /// The interface's Ethernet address when it was switched.
    pub mac: String,
    /// The inode number of the interface's network namespace.
    pub namespace: u64,
    /// The feature, as `ethtool -k` names it.
    pub feature: String,
    /// What it was before.
    pub before: bool,
    /// What it was before, when it is not a feature but a number in `/sys/class/net`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
}

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    entries: Vec<Leftover>,
    _lock: Lock,
}

impl Journal {
    /// Opens the journal of a gateway, with the entries that an earlier one left.
    pub(super) fn open(directory: &Path, gateway: &str) -> Result<Self, NicError> {
        fs::create_dir_all(directory).map_err(failed("create directory", directory))?;
        let lock = Lock::take(directory, gateway)?;
        let path = directory.join(format!("{gateway}.nic"));
        let entries = match fs::read(&path) {
            Ok(bytes) => parse(&bytes, &path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed("read", &path)(error)),
        };
        Ok(Self { path, entries, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn entries(&self) -> &[Leftover] {
        &self.entries
    }

    /// Notes a switch that is about to be made.
    pub(super) fn add(&mut self, entry: Leftover) -> Result<(), NicError> {
        if !self.entries.contains(&entry) {
            self.entries.push(entry);
            self.write()?;
        }
        Ok(())
    }

    /// Forgets a switch that was undone.
    pub(super) fn remove(&mut self, entry: &Leftover) -> Result<(), NicError> {
        self.entries.retain(|known| known != entry);
        self.write()
    }

    /// Replaces the file as a whole, so that no reader finds half of it.
    fn write(&self) -> Result<(), NicError> {
        if self.entries.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    Err(failed("remove", &self.path)(error))
                }
                _ => Ok(()),
            };
        }
        let text = serde_json::to_vec_pretty(&self.entries).map_err(io::Error::from);
        let next = self.path.with_extension("nic.next");
        text.and_then(|text| fs::write(&next, text))
            .and_then(|()| fs::rename(&next, &self.path))
            .map_err(failed("write", &self.path))
    }
}

/// An unreadable journal keeps nobody from starting: what it held is lost either way.
fn parse(bytes: &[u8], path: &Path) -> Vec<Leftover> {
    serde_json::from_slice(bytes).unwrap_or_else(|error| {
        tracing::warn!(path = %path.display(), %error, "journal of interface features is unreadable, ignoring it");
        Vec::new()
    })
}

/// The lock file of a running gateway; dropping this removes it.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    file: File,
}

impl Lock {
    fn take(directory: &Path, gateway: &str) -> Result<Self, NicError> {
        let path = directory.join(format!("{gateway}.lock"));
        loop {
            let file = File::options().write(true).create(true).truncate(false).open(&path);
            let file = file.map_err(failed("create", &path))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(NicError::AlreadyRunning { gateway: gateway.to_owned(), path });
                }
                Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
            }
            // Between opening and locking, its owner may have ended and removed it: then the lock is on a file without a name.
            let inode = file.metadata().map_err(failed("look at", &path))?.ino();
            if fs::metadata(&path).is_ok_and(|named| named.ino() == inode) {
                return Ok(Self { path, file });
            }
        }
    }
}

impl Drop for Lock {
    /// Removes the file while it is locked, so that it is surely ours, then unlocks by name: closing alone would not, while a
    /// process being started still holds a copy of the descriptor.
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
        let _closed_anyway = self.file.unlock();
    }
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> NicError {
    let path = path.to_owned();
    move |source| NicError::Journal { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A directory of its own, gone when dropped.
    struct Directory(PathBuf);

    impl Directory {
        fn new() -> Self {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("spanwire-journal-{}-{count}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn entry(feature: &str) -> Leftover {
        Leftover {
            interface: "eth1".into(),
            ifindex: 5,
            mac: "02:00:00:00:00:05".into(),
            namespace: 4_026_531_840,
            feature: feature.into(),
            before: true,
            number: None,
        }
    }

    #[test]
    fn entries_survive_until_they_are_removed() {
        let directory = Directory::new();
        let mut journal = Journal::open(&directory.0, "gw-a").unwrap();
        journal.add(entry("rx-lro")).unwrap();
        journal.add(entry("rx-gro")).unwrap();
        drop(journal);
        let mut journal = Journal::open(&directory.0, "gw-a").unwrap();
        assert_eq!(journal.entries(), [entry("rx-lro"), entry("rx-gro")]);
        journal.remove(&entry("rx-lro")).unwrap();
        drop(journal);
        assert_eq!(Journal::open(&directory.0, "gw-a").unwrap().entries(), [entry("rx-gro")]);
    }

    #[test]
    fn a_number_survives_and_a_journal_of_before_there_were_any_is_read() {
        let directory = Directory::new();
        let number = Leftover { number: Some(77), ..entry("gro_flush_timeout") };
        let mut journal = Journal::open(&directory.0, "gw-a").unwrap();
        journal.add(number.clone()).unwrap();
        drop(journal);
        assert_eq!(Journal::open(&directory.0, "gw-a").unwrap().entries(), [number]);
        let old = r#"[{"interface":"eth1","ifindex":5,"mac":"02:00:00:00:00:05","namespace":4026531840,"feature":"rx-lro","before":true}]"#;
        fs::write(directory.0.join("gw-a.nic"), old).unwrap();
        assert_eq!(Journal::open(&directory.0, "gw-a").unwrap().entries(), [entry("rx-lro")]);
    }

    #[test]
    fn the_file_is_gone_when_nothing_is_left_to_put_back() {
        let directory = Directory::new();
        let mut journal = Journal::open(&directory.0, "gw-a").unwrap();
        journal.add(entry("rx-lro")).unwrap();
        assert!(directory.0.join("gw-a.nic").exists());
        journal.remove(&entry("rx-lro")).unwrap();
        assert!(!directory.0.join("gw-a.nic").exists());
    }

    #[test]
    fn a_second_gateway_of_the_same_name_is_refused_and_one_of_another_name_is_not() {
        let directory = Directory::new();
        let _first = Journal::open(&directory.0, "gw-a").unwrap();
        let error = Journal::open(&directory.0, "gw-a").unwrap_err();
        let lock = directory.0.join("gw-a.lock");
        assert_eq!(
            error.to_string(),
            format!(
                "another gateway named gw-a is running ({} is locked); stop that one, or give this one another \
                 `gateway.name`",
                lock.display()
            )
        );
        assert!(lock.exists(), "the refused one does not remove it");
        Journal::open(&directory.0, "gw-b").unwrap();
    }

    #[test]
    fn an_orderly_end_leaves_the_directory_as_it_was_found() {
        let directory = Directory::new();
        fs::create_dir_all(&directory.0).unwrap();
        let mut journal = Journal::open(&directory.0, "gw-a").unwrap();
        journal.add(entry("rx-lro")).unwrap();
        journal.remove(&entry("rx-lro")).unwrap();
        assert!(directory.0.join("gw-a.lock").exists());
        drop(journal);
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 0);
    }

    #[test]
    fn gateways_that_start_and_end_all_the_time_never_hold_the_lock_together() {
        let directory = Directory::new();
        let holders = AtomicU32::new(0);
        let start_and_end = || {
            for _ in 0..5000 {
                match Journal::open(&directory.0, "gw-a") {
                    Ok(_journal) => {
                        assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        holders.fetch_sub(1, Ordering::SeqCst);
                    }
                    Err(error) => assert!(matches!(error, NicError::AlreadyRunning { .. }), "{error}"),
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(start_and_end);
            }
        });
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_named_with_the_cure() {
        let error = Journal::open(Path::new("/proc/spanwire"), "gw-a").unwrap_err();
        assert_eq!(
            error.to_string(),
            "create directory /proc/spanwire; the runtime directory has to be writable, `--runtime-directory DIR` \
             sets another"
        );
    }

    #[test]
    fn an_unreadable_file_is_taken_for_an_empty_one() {
        let directory = Directory::new();
        fs::create_dir_all(&directory.0).unwrap();
        fs::write(directory.0.join("gw-a.nic"), b"{ half").unwrap();
        assert_eq!(Journal::open(&directory.0, "gw-a").unwrap().entries(), []);
    }
}
