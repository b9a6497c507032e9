//! The `spanwire` process: what it prints, where, and how it ends, with a served control socket and without one.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use loader::control::api::{
    DropStatus, FdbEntryStatus, FdbKind, GatewayStatus, PortStatus, SessionChanged, SessionStatus,
    TunnelStatus, WorkerStatus,
};
use loader::control::change::CookieChange;
use loader::control::server::ControlServer;
use loader::control::source::StatusSource;

/// Entries in the FDB: enough for more text than a pipe holds.
const FDB_ENTRIES: u32 = 4000;

/// A gateway with a large FDB, one worker and two drop reasons.
struct SmallGateway;

impl StatusSource for SmallGateway {
    fn gateway(&self) -> GatewayStatus {
        GatewayStatus {
            name: "gw-t".to_owned(),
            version: "0.1.0".to_owned(),
            uptime_s: 5,
            pid: 99,
            mode: "adaptive".to_owned(),
        }
    }
    fn tunnels(&self) -> Vec<TunnelStatus> {
        Vec::new()
    }
    fn sessions(&self) -> Vec<SessionStatus> {
        Vec::new()
    }
    fn ports(&self) -> Vec<PortStatus> {
        Vec::new()
    }
    fn bridges(&self) -> Vec<String> {
        vec!["br0".to_owned()]
    }
    fn fdb(&self, _bridge: Option<&str>) -> Vec<FdbEntryStatus> {
        (0..FDB_ENTRIES)
            .map(|number| FdbEntryStatus {
                bridge: "br0".to_owned(),
                mac: format!("02:00:00:00:{:02x}:{:02x}", number >> 8, number & 0xff),
                member: "eth1".to_owned(),
                vlan: None,
                age_s: 1,
                kind: FdbKind::Dynamic,
            })
            .collect()
    }
    fn workers(&self) -> Vec<WorkerStatus> {
        vec![WorkerStatus::default()]
    }
    fn drops(&self) -> Vec<DropStatus> {
        let row = |reason: &str, frames| DropStatus {
            reason: reason.to_owned(),
            text: format!("means {reason}"),
            frames,
            by_worker: vec![frames],
            copies: 0,
        };
        vec![row("truncated", 3), row("loop", 0)]
    }
    fn set_cookies(&self, session: &str, _: &CookieChange) -> Result<SessionChanged, String> {
        Err(format!("there is no session {session}"))
    }
}

/// A served control socket in a directory of its own.
struct Served {
    directory: PathBuf,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Served {
    fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("spanwire-cli-{}-{number}", std::process::id()));
        let socket = directory.join("gw-t.sock");
        let (ready, started) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let server = ControlServer::bind(&socket).unwrap();
                ready.send(()).unwrap();
                tokio::select! {
                    never = server.serve(&SmallGateway) => match never {},
                    _ = stopped => {}
                }
            });
        });
        started.recv().unwrap();
        Self { directory, stop: Some(stop), thread: Some(thread) }
    }

    fn command(&self, words: &str) -> Command {
        let mut command = spanwire(words);
        command.arg("--control-socket").arg(self.directory.join("gw-t.sock"));
        command
    }

    fn ask(&self, words: &str) -> Output {
        self.command(words).output().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(JoinHandle::join);
        let _ = std::fs::remove_dir_all(&self.directory);
        if !std::thread::panicking() {
            assert!(matches!(ended, Some(Ok(()))), "the server thread panicked");
        }
    }
}

fn spanwire(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanwire"));
    command.args(words.split_whitespace()).env_remove("SPANWIRE_LOG");
    command
}

/// Exit code, standard output, standard error.
fn parts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn version_is_printed_as_text_and_as_json() {
    let version = env!("CARGO_PKG_VERSION");
    let text = parts(&spanwire("version").output().unwrap());
    assert_eq!(text, (Some(0), format!("spanwire {version}\n"), String::new()));
    let (code, json, _) = parts(&spanwire("version --json").output().unwrap());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["name"], &json["version"]), (Some(0), &"spanwire".into(), &version.into()));
}

#[test]
fn help_is_no_fault_and_no_command_is() {
    let (code, out, err) = parts(&spanwire("--help").output().unwrap());
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("Usage: spanwire"), "{out}");
    let (code, out, err) = parts(&spanwire("").output().unwrap());
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("Usage: spanwire"), "{err}");
}

#[test]
fn a_wrong_word_exits_with_two_and_suggests_the_right_one() {
    let (code, out, err) = parts(&spanwire("sesion show").output().unwrap());
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("sesion") && err.contains("'session'"), "{err}");
}

#[test]
fn without_a_gateway_the_error_names_the_socket_and_the_cure() {
    let (code, out, err) =
        parts(&spanwire("tunnel show --control-socket /nonexistent/gw.sock").output().unwrap());
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(
        err,
        "spanwire: no gateway is running: there is no control socket /nonexistent/gw.sock; \
         start one with `spanwire run --config FILE`\n"
    );
}

#[test]
fn a_gateway_is_shown_as_details_and_as_json() {
    let served = Served::start();
    let text = parts(&served.ask("gateway show"));
    assert_eq!(
        text,
        (
            Some(0),
            "name: gw-t\nversion: 0.1.0\nuptime_s: 5\npid: 99\nmode: adaptive\n".to_owned(),
            String::new()
        )
    );
    let (_, json, _) = parts(&served.ask("gateway show --json"));
    assert_eq!(
        json,
        "{\n  \"name\": \"gw-t\",\n  \"version\": \"0.1.0\",\n  \"uptime_s\": 5,\n  \"pid\": 99,\n  \"mode\": \"adaptive\"\n}\n"
    );
}

#[test]
fn drops_that_never_occurred_are_shown_only_when_asked_for() {
    let served = Served::start();
    let (_, some, _) = parts(&served.ask("drop show"));
    assert_eq!(some, "FRAMES  COPIES  REASON     MEANING\n     3       0  truncated  means truncated\n");
    let (_, all, _) = parts(&served.ask("drop show --all"));
    assert_eq!(all, format!("{some}     0       0  loop       means loop\n"));
}

#[test]
fn no_rows_are_a_header_and_an_empty_array() {
    let served = Served::start();
    let (code, text, _) = parts(&served.ask("session show"));
    assert_eq!((code, text.lines().count()), (Some(0), 1));
    assert!(text.starts_with("NAME  STATE  TUNNEL"), "{text}");
    assert_eq!(parts(&served.ask("session show --json")).1, "[]\n");
}

#[test]
fn what_the_gateway_refuses_is_a_failure_in_its_words() {
    let served = Served::start();
    let refused = parts(&served.ask("fdb show --bridge br7"));
    assert_eq!(
        refused,
        (Some(1), String::new(), "spanwire: gw-t has no bridge br7; it has: br0\n".to_owned())
    );
}

#[test]
fn a_session_that_is_not_there_cannot_be_set() {
    let served = Served::start();
    let refused = parts(&served.ask("session set s7 --cookie 01234567 --json"));
    assert_eq!(
        refused,
        (Some(1), String::new(), "spanwire: gw-t has no session s7; it has: none\n".to_owned())
    );
    let (code, out, err) = parts(&served.ask("session set s7"));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("--peer-cookie-also"), "{err}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let served = Served::start();
    let mut child = served.command("fdb show").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 6];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut first).unwrap();
    drop(out);
    let (code, _, err) = parts(&child.wait_with_output().unwrap());
    assert_eq!((first, code, err.as_str()), (*b"BRIDGE", Some(0), ""));
}

#[test]
fn a_faulty_file_is_reported_in_full_and_exits_with_two() {
    let served = Served::start();
    let file = served.directory.join("wrong.toml");
    std::fs::write(&file, "[gatway]\nname = \"a\"\n[tunnel.t1]\ntunnel_id = 0\n").unwrap();
    let (code, out, err) = parts(&spanwire("config check --no-interfaces").arg(&file).output().unwrap());
    assert_eq!((code, err.as_str()), (Some(2), ""), "{out}");
    let starts = |line: &str| out.contains(&format!("{}:{line}:", file.display()));
    assert!(starts("1") && starts("4"), "{out}");
    let (code, json, _) =
        parts(&spanwire("config check --no-interfaces --json").arg(&file).output().unwrap());
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((code, &json["faults"][0]["line"]), (Some(2), &1.into()));
}

#[test]
fn bytes_that_are_no_text_are_one_fault_beside_the_others() {
    let served = Served::start();
    let file = served.directory.join("latin1.toml");
    std::fs::write(&file, b"[port.wan]\nrole = \"underlay\"\n# Stra\xdfe\n[gatway]\n").unwrap();
    for words in ["config check --no-interfaces", "run --config"] {
        let (code, out, err) = parts(&spanwire(words).arg(&file).output().unwrap());
        let said = out + &err;
        assert_eq!(code, Some(2), "{said}");
        let name = file.display();
        assert!(said.contains(&format!("{name}:3:7: not TOML: the bytes here are not UTF-8")), "{said}");
        assert!(said.contains(&format!("{name}:4:2: gatway: unknown key")), "{said}");
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let (code, _, err) = parts(&spanwire("config check /nonexistent/gw.toml").output().unwrap());
    assert_eq!(code, Some(1));
    assert!(
        err.starts_with("spanwire: cannot read configuration /nonexistent/gw.toml: No such file"),
        "{err}"
    );
}

#[test]
fn a_log_filter_that_cannot_be_read_stops_run_before_anything_else() {
    let mut command = spanwire("run --config /nonexistent/gw.toml");
    let (code, _, err) = parts(&command.env("SPANWIRE_LOG", "loader=lots").output().unwrap());
    assert_eq!(code, Some(2));
    assert!(err.starts_with("spanwire: cannot read SPANWIRE_LOG=\"loader=lots\": "), "{err}");
}

#[test]
fn standard_output_that_takes_nothing_is_a_failure() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let (code, _, err) = parts(&spanwire("version").stdout(full).stderr(Stdio::piped()).output().unwrap());
    assert_eq!(code, Some(1));
    assert!(err.starts_with("spanwire: cannot write to standard output: No space left"), "{err}");
}

/// One gateway's commands, with a typing error in the fourth.
const SCRIPT: &str = "\
ip l2tp add tunnel tunnel_id 1000 peer_tunnel_id 1000 encap udp local 10.0.0.1 remote 10.0.0.2 \\
  udp_sport 5001 udp_dport 6001
ip l2tp add session tunnel_id 1000 session_id 1000 peer_session_id 1000
ip link add br0 type bridge
ip link set l2tpeth0 masetr br0
ip link set eth1 master br0
";

#[test]
fn an_import_is_a_configuration_on_standard_output_and_remarks_on_standard_error() {
    let served = Served::start();
    let script = served.directory.join("gw.sh");
    std::fs::write(&script, SCRIPT).unwrap();
    let mut command = spanwire("import --underlay eth0 --name gw-a");
    let (code, toml, remarks) = parts(&command.arg(&script).output().unwrap());
    assert_eq!(code, Some(0), "{remarks}");
    assert!(remarks.contains(&format!("{}:5: typo: ", script.display())), "{remarks}");
    let file = served.directory.join("gw.toml");
    std::fs::write(&file, &toml).unwrap();
    let checked = spanwire("config check --no-interfaces").arg(&file).output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{toml}\n{checked:?}");
}

#[test]
fn an_import_without_a_word_on_the_underlay_exits_with_two_and_still_prints() {
    let served = Served::start();
    let script = served.directory.join("gw.sh");
    std::fs::write(&script, SCRIPT).unwrap();
    let (code, toml, remarks) = parts(&spanwire("import").arg(&script).output().unwrap());
    assert_eq!(code, Some(2), "{remarks}");
    assert!(toml.contains("[tunnel."), "{toml}");
}

#[test]
fn a_script_with_a_comment_in_an_old_encoding_is_read() {
    let served = Served::start();
    let script = served.directory.join("gw.sh");
    std::fs::write(&script, [b"# Stra\xdfe\n", SCRIPT.as_bytes()].concat()).unwrap();
    let (code, toml, remarks) = parts(&spanwire("import --underlay eth0").arg(&script).output().unwrap());
    assert_eq!(code, Some(0), "{remarks}");
    assert!(
        toml.contains("members = [\"l2tpeth0\", \"eth1\"]") && remarks.contains("gw.sh:6: typo: "),
        "{toml}{remarks}"
    );
}

#[test]
fn a_script_that_is_not_there_is_named() {
    let (code, out, err) = parts(&spanwire("import /nonexistent/gw.sh").output().unwrap());
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("spanwire: cannot read script /nonexistent/gw.sh: No such file"), "{err}");
}
