//! Turn: one gateway of a runtime directory chooses its CPUs at a time, until its workers are bound and can be seen.

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::time::Duration;

/// The file that is locked. No gateway's name begins with a dot, so it is none of their files.
const FILE: &str = ".cpus.lock";

/// How often, and how far apart, the lock is tried. Another gateway has it while it maps its frame memory and starts its workers.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// The right to choose. Ends when dropped, or with the process.
#[derive(Debug)]
pub(crate) struct Turn {
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
        let file = File::options().write(true).create(true).truncate(false).open(path)?;
        for _ in 0..tries {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "another gateway has been choosing for seconds"))
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
        assert!(Turn::within(&directory, 1).is_ok());
    }

    #[test]
    fn a_directory_that_is_not_there_is_told() {
        let missing = Turn::take(Path::new("/proc/spanwire")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
