//! The commands' end of the control socket: blocking, one question at a time.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use super::api::{
    DropStatus, FdbEntryStatus, GatewayStatus, PortStatus, SessionChanged, SessionStatus, TunnelStatus,
    WorkerStatus,
};
use super::change::SetRequest;
use super::protocol::{Object, Reply, Request};
use super::socket_file::try_connect;

/// How long to wait for the gateway at each step.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a question has no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// There is no socket.
    #[error(
        "no gateway is running: there is no control socket {path}; start one with `spanwire run --config FILE`"
    )]
    Missing {
        /// The socket.
        path: String,
    },
    /// There is a socket, but nobody listens.
    #[error(
        "no gateway is running: control socket {path} was left by one that has ended; start it again with \
         `spanwire run --config FILE`"
    )]
    Dead {
        /// The socket.
        path: String,
    },
    /// The user may not ask.
    #[error(
        "cannot ask the gateway at {path}: permission denied; run as root or as a member of the socket's group"
    )]
    Forbidden {
        /// The socket.
        path: String,
    },
    /// The gateway did not answer in time.
    #[error("the gateway at {path} has not answered within {} s; see its log", PATIENCE.as_secs())]
    Silent {
        /// The socket.
        path: String,
    },
    /// The gateway closed the connection.
    #[error("the gateway at {path} closed the connection without an answer; see its log")]
    Closed {
        /// The socket.
        path: String,
    },
    /// The kernel refused.
    #[error("cannot ask the gateway at {path}")]
    Io {
        /// The socket.
        path: String,
        /// Why not.
        source: io::Error,
    },
    /// The answer is not one that this program knows.
    #[error("cannot understand the gateway at {path}; is it of another version than this program, {}?", env!("CARGO_PKG_VERSION"))]
    Foreign {
        /// The socket.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The answer is to another question.
    #[error(
        "the gateway at {path} did not answer with {wanted}; is it of another version than this program?"
    )]
    Unexpected {
        /// The socket.
        path: String,
        /// What was asked for.
        wanted: String,
    },
    /// The gateway refused, with its words.
    #[error("{0}")]
    Refused(String),
}

/// A connection to a running gateway.
#[derive(Debug)]
pub struct ControlClient {
    stream: BufReader<UnixStream>,
    path: String,
}

/// Generates the question for one object: ask, and take the rows out of the reply.
macro_rules! questions {
    ($($(#[$doc:meta])* $method:ident($($filter:ident)?) -> $variant:ident($rows:ty), $request:expr;)+) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// When the gateway cannot be asked, or refuses.
        pub fn $method(&mut self $(, $filter: Option<&str>)?) -> Result<$rows, ClientError> {
            match self.ask(&$request)? {
                Reply::$variant(rows) => Ok(rows),
                _ => Err(ClientError::Unexpected { path: self.path.clone(), wanted: Object::$variant.to_string() }),
            }
        }
    )+};
}

impl ControlClient {
    /// Connects to the gateway whose socket is `path`.
    ///
    /// # Errors
    /// When no gateway listens there, or it may not be asked.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let name = path.display().to_string();
        let stream = open_stream(path).map_err(|error| connect_error(name.clone(), error))?;
        Ok(Self { stream: BufReader::new(stream), path: name })
    }

    questions! {
        /// The gateway process.
        gateway() -> Gateway(GatewayStatus), Request::all(Object::Gateway);
        /// All tunnels, or the one of this name.
        tunnels(name) -> Tunnels(Vec<TunnelStatus>), Request::named(Object::Tunnels, name);
        /// All sessions, or the one of this name.
        sessions(name) -> Sessions(Vec<SessionStatus>), Request::named(Object::Sessions, name);
        /// All ports, or the one of this name.
        ports(name) -> Ports(Vec<PortStatus>), Request::named(Object::Ports, name);
        /// All FDB entries, or those of one bridge domain.
        fdb(bridge) -> Fdb(Vec<FdbEntryStatus>), Request::fdb(bridge);
        /// All workers.
        workers() -> Workers(Vec<WorkerStatus>), Request::all(Object::Workers);
        /// All drop reasons, also those that never occurred.
        drops() -> Drops(Vec<DropStatus>), Request::all(Object::Drops);
    }

    /// Changes a session.
    ///
    /// # Errors
    /// When the gateway cannot be asked, or refuses.
    pub fn set(&mut self, request: &SetRequest) -> Result<SessionChanged, ClientError> {
        match self.ask(request)? {
            Reply::Changed(changed) => Ok(changed),
            _ => {
                Err(ClientError::Unexpected { path: self.path.clone(), wanted: "what it changed".to_owned() })
            }
        }
    }

    /// Asks anything that can be written as a request: a [`Request`] or a [`SetRequest`].
    ///
    /// # Errors
    /// When the gateway cannot be asked, or refuses.
    pub fn ask(&mut self, request: &impl Serialize) -> Result<Reply, ClientError> {
        let mut line =
            serde_json::to_vec(request).expect("a request has string keys and no fallible serializer");
        line.push(b'\n');
        // A gateway that turns us away answers and closes before it reads, so the answer counts, not the write.
        let written = self.stream.get_mut().write_all(&line);
        let mut answer = Vec::new();
        self.stream.read_until(b'\n', &mut answer).map_err(|error| self.io_error(error))?;
        if answer.last() != Some(&b'\n') {
            written.map_err(|error| self.io_error(error))?;
            return Err(ClientError::Closed { path: self.path.clone() });
        }
        match serde_json::from_slice(&answer) {
            Ok(Reply::Error(text)) => Err(ClientError::Refused(text)),
            Ok(reply) => Ok(reply),
            Err(source) => Err(ClientError::Foreign { path: self.path.clone(), source }),
        }
    }

    fn io_error(&self, source: io::Error) -> ClientError {
        let path = self.path.clone();
        match source.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Silent { path },
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => ClientError::Closed { path },
            _ => ClientError::Io { path, source },
        }
    }
}

/// Connects without waiting for a gateway that accepts nobody, then waits at each step as long as our patience lasts.
fn open_stream(path: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::from(try_connect(path)?);
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// What a failed connection means.
fn connect_error(path: String, source: io::Error) -> ClientError {
    match source.kind() {
        io::ErrorKind::NotFound => ClientError::Missing { path },
        io::ErrorKind::ConnectionRefused => ClientError::Dead { path },
        io::ErrorKind::PermissionDenied => ClientError::Forbidden { path },
        io::ErrorKind::WouldBlock => ClientError::Silent { path },
        _ => ClientError::Io { path, source },
    }
}
