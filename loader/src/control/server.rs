//! The gateway's end of the control socket: accepts, reads one line, answers, within limits.
//!
//! Everything runs inside the one future of [`ControlServer::serve`], on the thread that polls it: a source needs
//! neither `Send` nor a lock. A client can cost at most its share: so many clients, such a long request, so long a wait.

use std::convert::Infallible;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use super::protocol::Reply;
pub use super::socket_file::BindError;
use super::socket_file::SocketFile;
use super::source::{Rights, StatusSource, answer};

/// How long to rest when the kernel cannot accept, mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes read at once.
const READ_BYTES: usize = 1024;

/// What one client, and all of them, may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Clients served at the same time; one more is told so and turned away.
    pub clients: usize,
    /// Length of a request without its line feed.
    pub request_bytes: usize,
    /// Time from the connection, or from the reply before, to the end of a request.
    pub request_timeout: Duration,
    /// Time for a client to take a reply.
    pub reply_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 16,
            request_bytes: 4096,
            request_timeout: Duration::from_secs(10),
            reply_timeout: Duration::from_secs(10),
        }
    }
}

/// A listening control socket; its file is removed when this is dropped.
#[derive(Debug)]
pub struct ControlServer {
    listener: UnixListener,
    limits: Limits,
    _file: SocketFile,
}

impl ControlServer {
    /// Makes the socket at `path`, mode 0660, and its directory when that is missing.
    ///
    /// A file left by a dead gateway is replaced.
    ///
    /// # Errors
    /// When a living gateway or another file has the name, or the kernel refuses.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub fn bind(path: &Path) -> Result<Self, BindError> {
        Self::bind_with(path, Limits::default())
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// As [`ControlServer::bind`].
    ///
    /// # Panics
    /// As [`ControlServer::bind`].
    pub fn bind_with(path: &Path, limits: Limits) -> Result<Self, BindError> {
        let listen_error = |source| BindError::Io {
            operation: "listen on control socket",
            path: path.display().to_string(),
            source,
        };
        let (file, listener) = SocketFile::listen(path)?;
        listener.set_nonblocking(true).map_err(listen_error)?;
        let listener = UnixListener::from_std(listener).map_err(listen_error)?;
        Ok(Self { listener, limits, _file: file })
    }

    /// Answers clients from `source`, as long as it is polled.
    pub async fn serve(&self, source: &dyn StatusSource) -> Infallible {
        let mut clients = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) if clients.len() < self.limits.clients => {
                        clients.push(converse(stream, source, self.limits));
                    }
                    Ok((stream, _)) => turn_away(&stream, self.limits.clients),
                    Err(error) => {
                        tracing::warn!("control socket cannot accept a client: {error}");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(()) = clients.next() => {}
            }
        }
    }
}

/// Tells a client that there are too many. One short line always fits the send buffer of a fresh connection.
fn turn_away(stream: &UnixStream, clients: usize) {
    let refusal = Reply::Error(format!("{clients} clients are being served already; try again"));
    if let Err(error) = stream.try_write(&line_of(&refusal)) {
        tracing::debug!("control client left before it was turned away: {error}");
    }
}

/// Serves one client until it leaves, misbehaves or takes too long.
async fn converse(mut stream: UnixStream, source: &dyn StatusSource, limits: Limits) {
    let mut pending = Vec::new();
    let rights = rights_of(&stream);
    loop {
        let read =
            timeout(limits.request_timeout, read_line(&mut stream, &mut pending, limits.request_bytes));
        let (reply, last) = match read.await {
            Ok(Ok(Some(line))) => (answer(source, &line, rights), false),
            Ok(Ok(None)) => return,
            Ok(Err(refusal)) => (Reply::Error(refusal), true),
            Err(_) => (Reply::Error(format!("no request within {:?}", limits.request_timeout)), true),
        };
        let written = timeout(limits.reply_timeout, stream.write_all(&line_of(&reply))).await;
        if last || !matches!(written, Ok(Ok(()))) {
            return;
        }
    }
}

/// What the client's user may do: the socket lets the group in too, to be shown things.
fn rights_of(stream: &UnixStream) -> Rights {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(client) if client.uid() == 0 || client.uid() == own => Rights::Change,
        _ => Rights::Show,
    }
}

/// Reads up to the next line feed, which is not part of the line; what follows it stays in `pending`.
///
/// The last line may lack it. `None` at the end. The error is the text of the refusal.
async fn read_line(
    stream: &mut UnixStream,
    pending: &mut Vec<u8>,
    most_bytes: usize,
) -> Result<Option<Vec<u8>>, String> {
    loop {
        let end = pending.iter().position(|&byte| byte == b'\n');
        if end.unwrap_or(pending.len()) > most_bytes {
            return Err(format!("the request is longer than {most_bytes} bytes"));
        }
        if let Some(end) = end {
            let rest = pending.split_off(end + 1);
            let mut line = std::mem::replace(pending, rest);
            line.truncate(end);
            return Ok(Some(line));
        }
        let mut part = [0; READ_BYTES];
        let count =
            stream.read(&mut part).await.map_err(|error| format!("cannot read the request: {error}"))?;
        if count == 0 {
            return Ok((!pending.is_empty()).then(|| std::mem::take(pending)));
        }
        pending.extend_from_slice(&part[..count]);
    }
}

/// The reply as one line of JSON.
fn line_of(reply: &Reply) -> Vec<u8> {
    let mut line =
        serde_json::to_vec(reply).expect("status rows have string keys and no fallible serializer");
    line.push(b'\n');
    line
}

#[cfg(test)]
mod tests;
