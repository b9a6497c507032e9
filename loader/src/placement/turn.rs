//! Turn: one gateway of a runtime directory chooses its CPUs at a time, until its workers are bound and can be seen.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file that is locked. No gateway's name begins with a dot, so it is none of their files.
const FILE: &str = ".cpus.lock";

/// How often, and how far apart, the lock is tried. Another gateway has it while it maps its frame memory and starts its workers.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// The right to choose. Ends when dropped, or with the process; the file goes with the first, and stays with the second.
#[derive(Debug)]
pub(crate) struct Turn {
    path: PathBuf,
    _file: File,
}

impl Turn {
    /// Waits until no other gateway of this directory is choosing.
    ///
    /// # Errors
    /// The file cannot be made or locked, or another gateway does not get on.
    pub(crate) fn take(directory: &Path) -> io::Result<Self> {
        Self::within(directory, TRIES)
    }

    fn within(directory: &Path, tries: u32) -> io::Result<Self> {
        let path = directory.join(FILE);
        for _ in 0..tries {
            let file = File::options().write(true).create(true).truncate(false).open(&path)?;
            match file.try_lock() {
                // Who had it before may have removed the file meanwhile: then this is the lock of a file that nobody else will find.
                Ok(()) if is_there(&path, &file)? => return Ok(Self { path, _file: file }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "another gateway has been choosing for seconds"))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // While it is locked, so it is still the same. What cannot be removed stays, and does no harm.
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the file of this path is `file`.
fn is_there(path: &Path, file: &File) -> io::Result<bool> {
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::Planted;

    #[test]
    fn one_gateway_chooses_at_a_time_and_the_next_when_it_has_ended() {
        let planted = Planted::new(&[("run/gw-a.lock", "")]);
        let directory = planted.tree.path("run");
        let first = Turn::take(&directory).unwrap();
        assert_eq!(Turn::within(&directory, 2).unwrap_err().kind(), io::ErrorKind::TimedOut);
        let second = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Turn::take(&directory));
            drop(first);
            waiting.join().unwrap()
        });
        assert!(second.is_ok());
        drop(second);
        assert!(!directory.join(FILE).exists(), "nothing is left behind");
        assert!(Turn::within(&directory, 1).is_ok());
    }

    #[test]
    fn a_lock_on_a_file_that_was_removed_meanwhile_is_none() {
        let planted = Planted::new(&[("run/gw-a.lock", "")]);
        let directory = planted.tree.path("run");
        let path = directory.join(FILE);
        let first = Turn::take(&directory).unwrap();
        let waiting = File::open(&path).unwrap();
        assert!(waiting.try_lock().is_err() && is_there(&path, &waiting).unwrap());
        drop(first);
        waiting.try_lock().unwrap();
        assert!(!is_there(&path, &waiting).unwrap(), "removed");
        let _next = Turn::take(&directory).unwrap();
        assert!(!is_there(&path, &waiting).unwrap(), "another one");
    }

    #[test]
    fn a_directory_that_is_not_there_is_told() {
        let missing = Turn::take(Path::new("/proc/spanwire")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
