//! `spanwire doctor` on a veth: what it tells, what `--apply` changes, and that everything is put back.
//!
//! ```text
//!     gateway                    peer
//! +-------------+           +-------------+
//! |        eth1 +-----------+ eth0        |      two queues possible, one in use
//! +-------------+           +-------------+
//! ```
//! What belongs to the machine as a whole (huge pages, CPU frequency) is hidden from it, so that only the namespace is changed.

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that fails")]

#[path = "netns_net_support/mod.rs"]
mod support;

use std::process::{Command, Output};

use netlab::Process;
use rustix::process::Signal;
use serde_json::Value;
use support::{Lab, Machine, SOON};

const SPANWIRE: &str = env!("CARGO_BIN_EXE_spanwire");

/// Hides what belongs to the machine, in the mount namespace that `ip netns exec` made; then runs the rest.
const HIDE: &str = "for folder in /sys/kernel/mm/hugepages /sys/devices/system/cpu/cpufreq; do \
                    if [ -d $folder ]; then mount -t tmpfs none $folder || exit 9; fi; done; exec \"$@\"";

/// Everything that `--apply` changes on a veth.
#[derive(Debug, PartialEq, Eq)]
struct Settings {
    rx_queues: usize,
    tx_queues: usize,
    napi_defer_hard_irqs: String,
    gro_flush_timeout: String,
}

struct Site {
    gateway: Machine,
    peer: Machine,
    lab: Lab,
}

impl Site {
    fn new() -> Self {
        let lab = Lab::new("netdoctor");
        let [gateway, peer] = ["gw", "peer"].map(|name| lab.machine(name));
        gateway.ip(&format!(
            "link add eth1 numrxqueues 2 numtxqueues 2 type veth peer name eth0 numrxqueues 2 numtxqueues 2 netns {}",
            peer.namespace()
        ));
        gateway.ethtool("-L eth1 rx 1 tx 1").unwrap();
        gateway.ip("link set eth1 up");
        peer.ip("link set eth0 up");
        Self { gateway, peer, lab }
    }

    /// The words of a `doctor` command inside, behind a `wrapper`.
    fn words<'w>(wrapper: &[&'w str], arguments: &[&'w str]) -> Vec<&'w str> {
        [&["sh", "-c", HIDE, "sh"], wrapper, &[SPANWIRE, "doctor"], arguments].concat()
    }

    fn doctor(&self, arguments: &[&str]) -> Output {
        self.gateway.command(&Self::words(&[], arguments)).output().unwrap()
    }

    /// Starts `doctor --apply` and waits until it has changed something.
    fn apply(&self, name: &str) -> Process {
        let words = Self::words(&[], &["--apply", "eth1"]);
        let process = self.gateway.spawn(name, &words).unwrap();
        self.lab.await_that("the changes", || process.log().contains("until Ctrl-C"));
        process
    }

    fn settings(&self) -> Settings {
        let read = |file: &str| {
            let path = format!("/sys/class/net/eth1/{file}");
            self.gateway.run(&["cat", &path]).unwrap().trim().to_owned()
        };
        let queues = self.gateway.run(&["ls", "/sys/class/net/eth1/queues"]).unwrap();
        let count = |kind: &str| queues.lines().filter(|name| name.starts_with(kind)).count();
        Settings {
            rx_queues: count("rx-"),
            tx_queues: count("tx-"),
            napi_defer_hard_irqs: read("napi_defer_hard_irqs"),
            gro_flush_timeout: read("gro_flush_timeout"),
        }
    }
}

/// As many queues as the machine has CPUs for, of two.
fn wanted() -> Settings {
    let queues = std::thread::available_parallelism().unwrap().get().min(2);
    Settings {
        rx_queues: queues,
        tx_queues: queues,
        napi_defer_hard_irqs: "2".into(),
        gro_flush_timeout: "200000".into(),
    }
}

fn as_found() -> Settings {
    Settings { rx_queues: 1, tx_queues: 1, napi_defer_hard_irqs: "0".into(), gro_flush_timeout: "0".into() }
}

/// The row of a thing: verdict, what was found, command.
fn row<'r>(rows: &'r Value, thing: &str) -> (&'r str, &'r str, Option<&'r str>) {
    let row = rows.as_array().unwrap().iter().find(|row| row["thing"] == thing).unwrap();
    (row["verdict"].as_str().unwrap(), row["found"].as_str().unwrap(), row["command"].as_str())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_veth_is_told_with_what_it_cannot_tell_and_nothing_is_changed() {
    let site = Site::new();
    let output = site.doctor(&["--json", "eth1"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(report["ports"].as_object().unwrap().keys().collect::<Vec<_>>(), ["eth1"]);
    let port = &report["ports"]["eth1"];
    assert!(row(port, "driver").1.starts_with("veth"));
    assert_eq!(row(port, "link"), ("ok", "up", None));
    assert_eq!(row(port, "native XDP").0, "could_be_better", "the peer has two transmit queues");
    assert_eq!(row(port, "zero-copy").0, "could_be_better");
    assert_eq!(row(port, "queues").1, "rx 1 tx 1 (at most rx 2 tx 2)");
    assert_eq!(row(port, "interrupts").0, "cannot_be_told");
    assert_eq!(row(port, "NAPI deferral").1, "0 polls, 0 ns");
    assert_eq!(row(port, "checksums").0, "cannot_be_told");
    assert_eq!(row(&report["machine"], "CAP_NET_ADMIN").0, "ok");
    assert_eq!(site.settings(), as_found());
    site.peer.ethtool("-L eth0 tx 1").unwrap();
    let output = site.doctor(&["--json", "eth1"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(row(&report["ports"]["eth1"], "native XDP").0, "ok");
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_command_runs_in_a_changed_world_which_is_as_before_when_it_has_ended() {
    let site = Site::new();
    let look = "cat /sys/class/net/eth1/napi_defer_hard_irqs /sys/class/net/eth1/gro_flush_timeout; \
                ls -d /sys/class/net/eth1/queues/rx-* | wc -l";
    let output = site.doctor(&["--apply", "eth1", "--", "sh", "-c", look]);
    let queues = wanted().rx_queues;
    assert_eq!(text(&output.stdout), format!("2\n200000\n{queues}\n"), "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(site.settings(), as_found());
    let told = text(&output.stderr);
    let change = "changed /sys/class/net/eth1/gro_flush_timeout: 0 -> 200000 \
                  (undone by `echo 0 > /sys/class/net/eth1/gro_flush_timeout`)";
    assert!(
        told.contains(change) && told.contains("undone /sys/class/net/eth1/gro_flush_timeout: 200000 -> 0"),
        "{told}"
    );
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_command_that_fails_is_told_and_everything_undone() {
    let site = Site::new();
    let output = site.doctor(&["--apply", "eth1", "--", "sh", "-c", "exit 7"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("sh ended with exit status: 7"), "{}", text(&output.stderr));
    let output = site.doctor(&["--apply", "eth1", "--", "/no/such/program"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("run /no/such/program"), "{}", text(&output.stderr));
    assert_eq!(site.settings(), as_found());
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_signal_ends_it_with_everything_undone() {
    let site = Site::new();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let process = site.apply(&format!("doctor-{}", signal.as_raw()));
        assert_eq!(site.settings(), wanted());
        process.signal(signal);
        let status = process.wait(SOON).unwrap();
        assert!(status.success(), "{signal:?}: {}", process.log());
        assert_eq!(site.settings(), as_found(), "{signal:?}");
    }
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_signal_is_handed_on_to_the_command_which_is_waited_for() {
    let site = Site::new();
    let script = "trap 'echo asked; exit 0' TERM; echo waiting; while :; do sleep 0.05; done";
    let words = Site::words(&[], &["--apply", "eth1", "--", "sh", "-c", script]);
    let process = site.gateway.spawn("doctor", &words).unwrap();
    site.lab.await_that("the command", || process.log().contains("waiting"));
    process.signal(Signal::TERM);
    assert!(process.wait(SOON).unwrap().success(), "{}", process.log());
    assert!(process.log().contains("asked"), "{}", process.log());
    assert_eq!(site.settings(), as_found());
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn what_somebody_else_changed_meanwhile_stays_and_is_named() {
    let site = Site::new();
    let process = site.apply("doctor");
    site.gateway.run(&["sh", "-c", "echo 77 > /sys/class/net/eth1/gro_flush_timeout"]).unwrap();
    process.signal(Signal::INT);
    assert_eq!(process.wait(SOON).unwrap().code(), Some(1), "{}", process.log());
    assert_eq!(site.settings(), Settings { gro_flush_timeout: "77".into(), ..as_found() });
    let told = "NOT undone, /sys/class/net/eth1/gro_flush_timeout: was 0, set to 200000 here, and is 77 now: somebody else changed it; \
                by hand: `echo 0 > /sys/class/net/eth1/gro_flush_timeout`";
    assert!(process.log().contains(told), "{}", process.log());
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_interface_that_goes_away_meanwhile_is_named() {
    let site = Site::new();
    let process = site.apply("doctor");
    site.gateway.ip("link delete eth1");
    process.signal(Signal::INT);
    assert_eq!(process.wait(SOON).unwrap().code(), Some(1), "{}", process.log());
    let log = process.log();
    assert!(log.contains("NOT undone, queues of eth1: was rx 1 tx 1: eth1, with index "), "{log}");
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn nobody_is_told_everything_but_what_takes_rights() {
    let site = Site::new();
    // The program is handed over open: nobody may not look into every folder.
    let become_nobody = "exec 3<\"$0\"; exec setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all /proc/self/fd/3 doctor --json eth1";
    let output = site.gateway.command(&["sh", "-c", become_nobody, SPANWIRE]).output().unwrap();
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!(row(&report["machine"], "CAP_NET_ADMIN").0, "stands_in_the_way");
    assert_eq!(row(&report["ports"]["eth1"], "queues").1, "rx 1 tx 1 (at most rx 2 tx 2)");
    assert_eq!(row(&report["ports"]["eth1"], "NAPI deferral").1, "0 polls, 0 ns");
    assert_eq!(output.status.code(), Some(1), "what a gateway lacks stands in the way");
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn files_of_another_namespace_are_not_believed() {
    let site = Site::new();
    let inode = format!("/run/netns/{}", site.gateway.namespace());
    let net = format!("--net={inode}");
    let output = Command::new("nsenter").args([&net, SPANWIRE, "doctor", "--json", "eth1"]).output().unwrap();
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    assert_eq!(row(&report["ports"]["eth1"], "NAPI deferral"), ("cannot_be_told", "-", None));
    assert_eq!(
        row(&report["ports"]["eth1"], "queues").1,
        "rx 1 tx 1 (at most rx 2 tx 2)",
        "netlink follows the thread"
    );
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_interface_that_is_not_there_is_named_and_nothing_changed() {
    let site = Site::new();
    let output = site.doctor(&["--apply", "eth1", "eth7"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("there is no interface \"eth7\" here"), "{}", text(&output.stderr));
    assert_eq!(site.settings(), as_found());
}
