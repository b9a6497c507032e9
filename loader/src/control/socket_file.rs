//! The socket's place in the file system: made with the right mode, taken over from the dead, never from the living.
//!
//! The socket is bound under a temporary name, given its mode and then renamed, so no client ever sees it with
//! another mode and a stale file is replaced in one step. A lock on the directory keeps two starting gateways apart.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use thiserror::Error;

/// Mode of the socket file: the owner and its group may ask.
const SOCKET_MODE: u32 = 0o660;
/// Mode of a directory that is made for it.
const DIRECTORY_MODE: u32 = 0o755;
/// How often, and how far apart, the directory's lock is tried.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Why the control socket cannot be made.
#[derive(Debug, Error)]
pub enum BindError {
    /// A gateway answers on it.
    #[error(
        "control socket {path} belongs to a running gateway; stop that one, or give this one another name or \
         `--control-socket`"
    )]
    InUse {
        /// The socket.
        path: String,
    },
    /// Something else has the name.
    #[error(
        "control socket {path} exists and is not a socket; remove it, or set another `gateway.control_socket`"
    )]
    NotASocket {
        /// The file.
        path: String,
    },
    /// Another gateway is starting in the same directory and does not get on.
    #[error(
        "cannot lock {directory}: another gateway has been starting there for two seconds; look what it waits for"
    )]
    Locked {
        /// The directory.
        directory: String,
    },
    /// The kernel refused.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// What with.
        path: String,
        /// Why not.
        source: io::Error,
    },
}

impl BindError {
    fn io(operation: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        Self::Io { operation, path: path.display().to_string(), source: source.into() }
    }
}

/// A socket file that this process made; removed when dropped, unless another has taken its name.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode of the file that we made.
    identity: (u64, u64),
}

impl SocketFile {
    /// Makes the socket file and listens on it.
    ///
    /// # Errors
    /// When the name is taken, or the kernel refuses.
    pub(super) fn listen(path: &Path) -> Result<(Self, UnixListener), BindError> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        make_directory(directory)?;
        let _lock = lock_directory(directory)?;
        refuse_taken(path)?;
        let (listener, identity) = bind_beside(path)?;
        Ok((Self { path: path.to_owned(), identity }, listener))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours =
            fs::symlink_metadata(&self.path).is_ok_and(|file| (file.dev(), file.ino()) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("cannot remove control socket {}: {error}", self.path.display());
        }
    }
}

/// Makes the directory and what is missing above it.
fn make_directory(directory: &Path) -> Result<(), BindError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .map_err(|error| BindError::io("make directory", directory, error))
}

/// Locks the directory until the returned file is dropped.
fn lock_directory(directory: &Path) -> Result<File, BindError> {
    let file = File::open(directory).map_err(|error| BindError::io("open directory", directory, error))?;
    for _ in 0..LOCK_TRIES {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(LOCK_PAUSE),
            Err(error) => return Err(BindError::io("lock directory", directory, error)),
        }
    }
    Err(BindError::Locked { directory: directory.display().to_string() })
}

/// Refuses a name that a living gateway or something other than a socket has.
fn refuse_taken(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(BindError::io("look at control socket", path, error)),
        Ok(file) if !file.file_type().is_socket() => {
            Err(BindError::NotASocket { path: path.display().to_string() })
        }
        Ok(_) if is_live(path) => Err(BindError::InUse { path: path.display().to_string() }),
        Ok(_) => Ok(()),
    }
}

/// Whether a process listens on the socket. Only a refused connection proves that none does.
pub(super) fn is_live(path: &Path) -> bool {
    !matches!(try_connect(path), Err(rustix::io::Errno::CONNREFUSED | rustix::io::Errno::NOENT))
}

/// Connects without waiting: a listener whose queue is full answers "again", which is a living one too.
pub(super) fn try_connect(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

/// Binds under a temporary name in the same directory, sets the mode, renames.
fn bind_beside(path: &Path) -> Result<(UnixListener, (u64, u64)), BindError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(BindError::io("remove", &beside, error));
        }
        _ => {}
    }
    let listener =
        UnixListener::bind(&beside).map_err(|error| BindError::io("bind control socket", path, error))?;
    let placed = place(&beside, path);
    if placed.is_err() {
        // The first fault is the one to report; a second one here changes nothing about it.
        let _ = fs::remove_file(&beside);
    }
    Ok((listener, placed?))
}

/// Gives the bound socket its mode and its name; yields its device and inode.
fn place(beside: &Path, path: &Path) -> Result<(u64, u64), BindError> {
    fs::set_permissions(beside, fs::Permissions::from_mode(SOCKET_MODE))
        .map_err(|error| BindError::io("set the mode of control socket", path, error))?;
    let file =
        fs::symlink_metadata(beside).map_err(|error| BindError::io("look at control socket", path, error))?;
    fs::rename(beside, path).map_err(|error| BindError::io("name control socket", path, error))?;
    Ok((file.dev(), file.ino()))
}
