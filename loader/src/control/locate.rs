//! Which control socket a command talks to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::socket_file::is_live;

/// Where gateways put their control sockets.
pub const SOCKET_DIRECTORY: &str = "/run/spanwire";
/// How the file names of control sockets end.
const SOCKET_EXTENSION: &str = "sock";

/// Why no gateway could be chosen.
#[derive(Debug, Error)]
pub enum LocateError {
    /// There is none.
    #[error(
        "no gateway is running: {directory} holds no control socket; start one with `spanwire run --config FILE`, \
         or name its socket with `--control-socket PATH`"
    )]
    None {
        /// Where it was looked for.
        directory: String,
    },
    /// There were some.
    #[error(
        "no gateway is running: {directory} holds only sockets of gateways that have ended ({}); start one with \
         `spanwire run --config FILE`",
        gateways.join(", ")
    )]
    Dead {
        /// Where it was looked for.
        directory: String,
        /// Their names.
        gateways: Vec<String>,
    },
    /// There are several.
    #[error("several gateways are running: {}; choose one with `--gateway NAME`", gateways.join(", "))]
    Several {
        /// Their names.
        gateways: Vec<String>,
    },
    /// The directory cannot be read.
    #[error("cannot look for control sockets in {directory}")]
    Io {
        /// Where it was looked for.
        directory: String,
        /// Why not.
        source: io::Error,
    },
}

/// The socket of the gateway called `name`, unless its configuration names another.
#[must_use]
pub fn default_socket(name: &str) -> PathBuf {
    socket_in(Path::new(SOCKET_DIRECTORY), name)
}

/// The socket of the only gateway that runs.
///
/// # Errors
/// When there is none, or more than one.
pub fn only_socket() -> Result<PathBuf, LocateError> {
    only_socket_in(Path::new(SOCKET_DIRECTORY))
}

fn socket_in(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.{SOCKET_EXTENSION}"))
}

/// The only socket of a directory; of several, the only one that a process listens on.
fn only_socket_in(directory: &Path) -> Result<PathBuf, LocateError> {
    let place = || directory.display().to_string();
    let gateways = gateways_in(directory).map_err(|source| LocateError::Io { directory: place(), source })?;
    let live: Vec<&String> = gateways.iter().filter(|name| is_live(&socket_in(directory, name))).collect();
    match (live.as_slice(), gateways.as_slice()) {
        ([name], _) => Ok(socket_in(directory, name)),
        ([], []) => Err(LocateError::None { directory: place() }),
        ([], _) => Err(LocateError::Dead { directory: place(), gateways }),
        (several, _) => {
            Err(LocateError::Several { gateways: several.iter().map(ToString::to_string).collect() })
        }
    }
}

/// The names of the gateways that have a socket in a directory, sorted; none when there is no such directory.
fn gateways_in(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_socket = path.extension().is_some_and(|extension| extension == SOCKET_EXTENSION);
        if let (true, Some(name)) = (is_socket, path.file_stem()) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::super::tests::TemporaryDirectory;
    use super::*;

    #[test]
    fn a_named_gateway_has_its_socket_in_the_run_directory() {
        assert_eq!(default_socket("gw-a"), Path::new("/run/spanwire/gw-a.sock"));
    }

    #[test]
    fn without_a_socket_the_error_says_how_to_start_a_gateway() {
        let directory = TemporaryDirectory::new();
        let error = only_socket_in(directory.path()).unwrap_err().to_string();
        assert!(error.starts_with("no gateway is running: "), "{error}");
        assert!(error.contains("spanwire run --config FILE"), "{error}");
        assert!(matches!(only_socket_in(&directory.path().join("missing")), Err(LocateError::None { .. })));
    }

    #[test]
    fn the_only_live_socket_is_found_beside_files_and_sockets_of_the_dead() {
        let directory = TemporaryDirectory::new();
        drop(UnixListener::bind(socket_in(directory.path(), "gw-dead")).unwrap());
        std::fs::write(directory.path().join("notes.txt"), "x").unwrap();
        let dead = only_socket_in(directory.path()).unwrap_err().to_string();
        assert!(dead.contains("gateways that have ended (gw-dead)"), "{dead}");

        let _listener = UnixListener::bind(socket_in(directory.path(), "gw-a")).unwrap();
        assert_eq!(only_socket_in(directory.path()).unwrap(), directory.path().join("gw-a.sock"));
    }

    #[test]
    fn several_live_gateways_are_listed_with_the_option_that_chooses() {
        let directory = TemporaryDirectory::new();
        let _b = UnixListener::bind(socket_in(directory.path(), "gw-b")).unwrap();
        let _a = UnixListener::bind(socket_in(directory.path(), "gw-a")).unwrap();
        assert_eq!(
            only_socket_in(directory.path()).unwrap_err().to_string(),
            "several gateways are running: gw-a, gw-b; choose one with `--gateway NAME`"
        );
    }
}
