//! Server and client over a real socket in a temporary directory.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as BlockingStream;
use std::path::PathBuf;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::super::change::{SetRequest, Settable};
use super::super::client::{ClientError, ControlClient};
use super::super::tests::{self as rows, FixedSource, TemporaryDirectory};
use super::*;

/// A server on a thread of its own; stopped when dropped.
struct Running {
    directory: TemporaryDirectory,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(limits: Limits) -> Self {
        let directory = TemporaryDirectory::new();
        let path = directory.path().join("made/gw-a.sock");
        let (ready, started) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            runtime().block_on(async {
                let server = ControlServer::bind_with(&path, limits).unwrap();
                ready.send(()).unwrap();
                tokio::select! {
                    never = server.serve(&FixedSource) => match never {},
                    _ = stopped => {}
                }
            });
        });
        started.recv().unwrap();
        Self { directory, stop: Some(stop), thread: Some(thread) }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("made/gw-a.sock")
    }

    fn client(&self) -> ControlClient {
        ControlClient::connect(&self.path()).unwrap()
    }

    /// Writes raw bytes, ends the writing side if told so, and reads until the server closes.
    fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = BlockingStream::connect(self.path()).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the server thread panicked");
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn every_object_is_shown_over_one_connection() {
    let running = Running::start(Limits::default());
    let mut client = running.client();
    assert_eq!(client.gateway().unwrap(), FixedSource.gateway());
    assert_eq!(client.tunnels(None).unwrap(), rows::tunnels());
    assert_eq!(client.sessions(None).unwrap(), rows::sessions());
    assert_eq!(client.ports(None).unwrap(), rows::ports());
    assert_eq!(client.fdb(None).unwrap(), rows::fdb());
    assert_eq!(client.workers().unwrap(), rows::workers());
    assert_eq!(client.drops().unwrap(), rows::drops());
}

#[test]
fn a_name_and_a_bridge_narrow_the_rows() {
    let running = Running::start(Limits::default());
    let mut client = running.client();
    assert_eq!(client.sessions(Some("l2tpeth1")).unwrap(), rows::sessions()[1..]);
    assert_eq!(client.fdb(Some("br0")).unwrap(), rows::fdb()[..1]);
}

#[test]
fn an_unknown_name_is_refused_with_the_known_ones_and_the_connection_lives_on() {
    let running = Running::start(Limits::default());
    let mut client = running.client();
    let refusal = client.tunnels(Some("t9")).unwrap_err();
    assert_eq!(refusal.to_string(), "gw-a has no tunnel t9; it has: t1000, t2000");
    let refusal = client.fdb(Some("br9")).unwrap_err();
    assert_eq!(refusal.to_string(), "gw-a has no bridge br9; it has: br0, br1");
    assert_eq!(client.ports(Some("wan")).unwrap(), rows::ports()[1..]);
}

#[test]
fn bad_requests_are_answered_with_an_error_each() {
    let running = Running::start(Limits::default());
    let answer =
        running.exchange(b"not json\n{\"show\":\"nonsense\"}\n{\"show\":\"workers\",\"name\":\"w\"}\n");
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines.len(), 3, "{answer}");
    assert!(lines[0].starts_with(r#"{"error":"cannot read the request: expected ident"#), "{}", lines[0]);
    assert!(lines[1].contains("unknown variant `nonsense`, expected one of `gateway`"), "{}", lines[1]);
    assert_eq!(lines[2], r#"{"error":"workers cannot be narrowed by name"}"#);
}

#[test]
fn a_session_is_changed_and_what_cannot_be_is_refused_before_anything_is() {
    let running = Running::start(Limits::default());
    let mut client = running.client();
    let request = |name: &str, cookie: &str| SetRequest {
        set: Settable::Session,
        name: name.to_owned(),
        cookie: Some(cookie.to_owned()),
        peer_cookie: None,
        peer_cookie_also: None,
    };
    assert_eq!(client.set(&request("l2tpeth0", "01234567")).unwrap(), rows::changed());
    for (name, cookie, refusal) in [
        ("l2tpeth9", "01234567", "gw-a has no session l2tpeth9; it has: l2tpeth0, l2tpeth1"),
        ("l2tpeth1", "01234567", "l2tpeth1 cannot be changed"),
        ("l2tpeth0", "0123", "cookie has 4 hexadecimal digits; give 8 or 16 hexadecimal digits"),
    ] {
        assert_eq!(client.set(&request(name, cookie)).unwrap_err().to_string(), refusal);
    }
    let answer = running.exchange(b"{\"set\":\"tunnel\",\"name\":\"t\"}\n{\"set\":\"session\"}\n");
    let lines: Vec<&str> = answer.lines().collect();
    assert!(lines[0].contains("unknown variant `tunnel`, expected `session`"), "{answer}");
    assert!(lines[1].contains("missing field `name`"), "{answer}");
}

#[test]
fn a_client_that_may_only_ask_changes_nothing() {
    let line = br#"{"set":"session","name":"l2tpeth0","cookie":"01234567"}"#;
    assert_eq!(answer(&FixedSource, line, Rights::Change), Reply::Changed(rows::changed()));
    let Reply::Error(text) = answer(&FixedSource, line, Rights::Show) else { panic!("refused") };
    assert_eq!(text, "only root and the gateway's own user may change it; members of its group may ask");
    let shown = answer(&FixedSource, br#"{"show":"sessions"}"#, Rights::Show);
    assert_eq!(shown, Reply::Sessions(rows::sessions()));
}

#[test]
fn bytes_that_are_no_text_and_an_empty_line_are_bad_requests() {
    let running = Running::start(Limits::default());
    let answer = running.exchange(b"\xff\xfe\0\n\n");
    assert_eq!(answer.lines().count(), 2, "{answer}");
    assert!(
        answer.lines().all(|line| line.starts_with(r#"{"error":"cannot read the request: "#)),
        "{answer}"
    );
}

#[test]
fn a_last_request_may_lack_its_line_feed() {
    let running = Running::start(Limits::default());
    assert_eq!(
        running.exchange(br#"{"show":"gateway"}"#),
        "{\"gateway\":{\"name\":\"gw-a\",\"version\":\"0.1.0\",\"uptime_s\":61,\"pid\":4242,\"mode\":\"adaptive\"}}\n"
    );
}

#[test]
fn a_request_may_be_as_long_as_the_limit_and_not_a_byte_longer() {
    let limits = Limits { request_bytes: 30, ..Limits::default() };
    let running = Running::start(limits);
    let longest = format!("{:<30}\n", r#"{"show":"gateway"}"#);
    assert!(running.exchange(longest.as_bytes()).starts_with(r#"{"gateway":"#));
    let longer = format!("{:<31}\n{longest}", r#"{"show":"gateway"}"#);
    let answer = running.exchange(longer.as_bytes());
    assert_eq!(answer, "{\"error\":\"the request is longer than 30 bytes\"}\n");
}

#[test]
fn an_endless_request_is_cut_off() {
    let running = Running::start(Limits::default());
    let mut stream = BlockingStream::connect(running.path()).unwrap();
    stream.write_all(&[b' '; 4097]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "{\"error\":\"the request is longer than 4096 bytes\"}\n");
}

#[test]
fn a_client_that_sends_no_whole_request_in_time_is_told_and_left() {
    let limits = Limits { request_timeout: Duration::from_millis(50), ..Limits::default() };
    let running = Running::start(limits);
    let mut stream = BlockingStream::connect(running.path()).unwrap();
    stream.write_all(b"{\"show\":").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "{\"error\":\"no request within 50ms\"}\n");
}

#[test]
fn one_client_too_many_is_turned_away_and_welcome_later() {
    let running = Running::start(Limits { clients: 1, ..Limits::default() });
    let mut first = running.client();
    first.gateway().unwrap();
    let refusal = running.client().gateway().unwrap_err();
    assert_eq!(refusal.to_string(), "1 clients are being served already; try again");
    drop(first);
    let served = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        running.client().gateway().is_ok()
    });
    assert!(served);
}

#[test]
fn the_socket_is_for_owner_and_group_and_goes_with_the_server() {
    let running = Running::start(Limits::default());
    let path = running.path();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o660);
    drop(running);
    assert!(matches!(ControlClient::connect(&path), Err(ClientError::Missing { .. })));
}

#[test]
fn a_living_gateways_socket_is_not_taken() {
    let running = Running::start(Limits::default());
    let refusal = runtime().block_on(async { ControlServer::bind(&running.path()) }).unwrap_err().to_string();
    assert!(refusal.contains("belongs to a running gateway; stop that one"), "{refusal}");
    assert!(running.client().gateway().is_ok());
}

#[test]
fn a_dead_gateways_socket_is_replaced() {
    let directory = TemporaryDirectory::new();
    let path = directory.path().join("gw-a.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(matches!(ControlClient::connect(&path), Err(ClientError::Dead { .. })));
    runtime().block_on(async {
        let _server = ControlServer::bind(&path).unwrap();
        assert!(BlockingStream::connect(&path).is_ok());
    });
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let directory = TemporaryDirectory::new();
    let path = directory.path().join("gw-a.sock");
    std::fs::write(&path, "precious").unwrap();
    let refusal = runtime().block_on(async { ControlServer::bind(&path) }).unwrap_err().to_string();
    assert!(refusal.contains("exists and is not a socket; remove it"), "{refusal}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn a_path_too_long_for_a_socket_is_refused_and_leaves_nothing() {
    let directory = TemporaryDirectory::new();
    let path = directory.path().join("g".repeat(120));
    let refusal = runtime().block_on(async { ControlServer::bind(&path) }).unwrap_err().to_string();
    assert!(refusal.starts_with("cannot bind control socket "), "{refusal}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
