//! Generator, sink and null forwarder on veth pairs, each in a namespace of its own.
//!
//! ```text
//!  left             right          left              middle                  right
//!  generate - eth0 === eth0 - sink      generate - eth0 === west  null-forward  east === eth0 - sink
//! ```
//!
//! Needs root, the `ip` and `ethtool` tools and a kernel with veth; therefore ignored unless asked for:
//! `cargo test -p spanwire-bench -- --ignored`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use netlab::{Lab, LinkOptions, Node};
use serde_json::Value;

/// The program under test.
const BENCH: &str = env!("CARGO_BIN_EXE_spanwire-bench");

/// Two namespaces joined by a veth pair.
struct Wire {
    left: Node,
    right: Node,
    _lab: Lab,
}

impl Wire {
    fn lay(test: &str) -> Self {
        let lab = Lab::new(&format!("bench{test}")).expect("a lab");
        let (left, right) = (lab.node("left").expect("a node"), lab.node("right").expect("a node"));
        lab.link((&left, "eth0"), (&right, "eth0"), &LinkOptions::default()).expect("a link");
        Self { left, right, _lab: lab }
    }
}

/// Starts the bench in a namespace.
fn start(node: &Node, args: &[&str]) -> Child {
    node.command(&[&[BENCH], args].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("ip runs")
}

/// Starts a command of the bench and waits for the line with which it says that it is ready.
fn start_ready(node: &Node, args: &[&str], ready: &str) -> Child {
    let mut child = start(node, args);
    let mut line = String::new();
    BufReader::new(child.stderr.as_mut().expect("piped")).read_line(&mut line).expect("readable");
    assert_eq!(line.trim_end(), ready);
    child
}

fn start_sink(node: &Node, args: &[&str]) -> Child {
    let args = [&["sink", "--interface", "eth0", "--per-flow"], args].concat();
    start_ready(node, &args, "sink attached to eth0")
}

/// Runs the generator to its end.
fn generate(node: &Node, args: &[&str]) -> Value {
    finish(start(node, &[&["generate", "--interface", "eth0", "--per-flow"], args].concat()))
}

/// Asks a command to end as a service manager would, and reads its report.
fn terminate(child: Child) -> Value {
    let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
    assert!(status.success(), "kill: {status}");
    finish(child)
}

/// Waits for a command and reads its report.
fn finish(child: Child) -> Value {
    let output = child.wait_with_output().expect("readable");
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON document")
}

fn number(report: &Value, pointer: &str) -> u64 {
    report
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("no number {pointer} in {report}"))
}

/// Every frame is either at the sink or among the drops of the veth ring, and the sequence numbers
/// show exactly those drops that lie between frames that came.
fn assert_all_accounted_for(generated: &Value, sunk: &Value) {
    let dropped = number(generated, "/interface_counters/tx_dropped_frames");
    assert_eq!(number(generated, "/frames"), number(sunk, "/frames") + dropped, "{generated} {sunk}");
    assert!(number(sunk, "/missing_frames") <= dropped, "{generated} {sunk}");
    for fault in ["/reordered_frames", "/duplicate_frames", "/stale_frames", "/unknown_flow_frames"] {
        assert_eq!(number(sunk, fault), 0, "{fault} in {sunk}");
    }
}

#[test]
#[ignore = "makes network namespaces, as root: cargo test -p spanwire-bench -- --ignored"]
fn a_million_frames_of_a_thousand_flows_are_all_accounted_for() {
    let wire = Wire::lay("million");
    let sink = start_sink(&wire.right, &["--flows", "1000"]);
    let generated = generate(
        &wire.left,
        &[
            "--count=1000000",
            "--flows=1000",
            "--source=02:00:00:00:01:00/1000",
            "--destination=02:00:00:01:00:00/10",
        ],
    );
    let sunk = terminate(sink);
    assert_eq!((number(&generated, "/frames"), number(&sunk, "/flows_seen")), (1_000_000, 1000));
    assert_all_accounted_for(&generated, &sunk);
    for flow in 0..1000 {
        assert_eq!(number(&generated, &format!("/frames_per_flow/{flow}")), 1000);
        assert_eq!(number(&sunk, &format!("/per_flow/{flow}/flow")), flow);
    }
}

#[test]
#[ignore = "makes network namespaces, as root: cargo test -p spanwire-bench -- --ignored"]
fn paced_frames_with_a_vlan_tag_arrive_whole_and_the_sink_ends_with_the_last() {
    let wire = Wire::lay("paced");
    let sink = start_sink(&wire.right, &["--frames=20000", "--duration=20"]);
    let generated = generate(
        &wire.left,
        &["--count=20000", "--rate=50000", "--vlan=7", "--bytes=1400", "--source=02:00:00:00:00:01"],
    );
    let sunk = finish(sink);
    assert_all_accounted_for(&generated, &sunk);
    assert_eq!((number(&sunk, "/frames"), number(&sunk, "/bytes")), (20_000, 20_000 * 1400));
    assert_eq!(number(&sunk, "/per_flow/0/last_sequence"), 19_999);
    let seconds = generated["seconds"].as_f64().expect("a number");
    assert!(seconds > 0.39, "20000 frames at 50000 a second took {seconds} s");
}

#[test]
#[ignore = "makes network namespaces, as root: cargo test -p spanwire-bench -- --ignored"]
fn a_generator_that_is_told_to_stop_reports_what_it_sent() {
    let wire = Wire::lay("stop");
    let sink = start_sink(&wire.right, &[]);
    let generator = start(&wire.left, &["generate", "--interface", "eth0"]);
    std::thread::sleep(Duration::from_millis(500));
    let generated = terminate(generator);
    let sunk = terminate(sink);
    assert_eq!(generated["end"], "signal");
    assert_all_accounted_for(&generated, &sunk);
}

#[test]
#[ignore = "makes network namespaces, as root: cargo test -p spanwire-bench -- --ignored"]
fn a_killed_sink_leaves_no_program_behind() {
    let wire = Wire::lay("kill");
    let show = || wire.right.ip("-d link show dev eth0").expect("shown");
    let mut sink = start_sink(&wire.right, &[]);
    assert!(show().contains("prog/xdp"), "{}", show());
    sink.kill().expect("it runs");
    sink.wait().expect("it ran");
    assert!(!show().contains("xdp"), "{}", show());
}

#[test]
#[ignore = "makes network namespaces, as root: cargo test -p spanwire-bench -- --ignored"]
fn a_replayed_frame_arrives_as_often_as_was_asked_for_and_at_its_time() {
    let wire = Wire::lay("replay");
    let sink = start_sink(&wire.right, &["--others=drop", "--silence=1"]);
    // To a broadcast address, of a kind that nobody speaks, with as many bytes behind as make it 60.
    let frame = format!("ffffffffffff02000000000188b5{}", "5a".repeat(46));
    let words = ["replay", "--interface=eth0", "--mode=copy", "--burst=8", "--warm-up=2", "--bursts=25"];
    let replayed =
        finish(start(&wire.left, &[&words[..], &["--interval-us=2000", "--frame", &frame]].concat()));
    let sunk = terminate(sink);
    let counts = ["/warm_up_frames", "/frames", "/tx_ring_full_frames"].map(|name| number(&replayed, name));
    assert_eq!(counts, [2 * 8, 25 * 8, 0], "{replayed}");
    // The kernel may send something of its own beside.
    let others = number(&sunk, "/other_frames");
    assert!(others >= 27 * 8 && number(&sunk, "/other_bytes") >= 27 * 8 * 60, "{sunk}");
    assert!(others < 27 * 8 + 20, "{sunk}");
    let seconds = replayed["seconds"].as_f64().expect("a number");
    assert!(seconds >= 0.05, "25 bursts at intervals of 2 ms took {seconds} s");
}

/// Three namespaces in a row, and a null forwarder in the middle one.
struct Row {
    left: Node,
    right: Node,
    forwarder: Child,
    _lab: Lab,
}

impl Row {
    fn lay(test: &str, options: &[&str]) -> Self {
        let lab = Lab::new(&format!("bench{test}")).expect("a lab");
        let node = |name: &str| lab.node(name).expect("a node");
        let (left, middle, right) = (node("left"), node("middle"), node("right"));
        lab.link((&left, "eth0"), (&middle, "west"), &LinkOptions::default()).expect("a link");
        lab.link((&middle, "east"), (&right, "eth0"), &LinkOptions::default()).expect("a link");
        let words = [&["null-forward", "--interface", "west", "--interface", "east"], options].concat();
        let forwarder = start_ready(&middle, &words, "forwarding between west and east");
        Self { left, right, forwarder, _lab: lab }
    }
}

/// Sends paced frames through a null forwarder, and checks that all of them come, in order. Its rings hold all of them, so none is lost
/// however long the machine keeps it from running. Returns what the forwarder says.
fn assert_passes_every_frame(test: &str, options: &[&str]) -> Value {
    let Row { left, right, forwarder, _lab } = Row::lay(test, &[&["--ring=16384"], options].concat());
    let sink = start_sink(&right, &["--flows=10", "--silence=1"]);
    let generated = generate(&left, &["--count=10000", "--rate=5000", "--flows=10"]);
    let sunk = terminate(sink);
    let forwarded = terminate(forwarder);
    assert_eq!(number(&generated, "/interface_counters/tx_dropped_frames"), 0);
    assert_eq!(number(&sunk, "/frames"), 10_000, "{forwarded} {sunk}");
    assert_all_accounted_for(&generated, &sunk);
    assert!(number(&forwarded, "/directions/0/frames") >= 10_000, "{forwarded}");
    assert_eq!(number(&forwarded, "/directions/0/tx_ring_full_frames"), 0, "{forwarded}");
    forwarded
}

#[test]
#[ignore = "makes network namespaces, as root: cargo test -p spanwire-bench -- --ignored"]
fn the_null_forwarder_passes_every_paced_frame_in_order() {
    assert_passes_every_frame("null", &[]);
}

#[test]
#[ignore = "makes network namespaces, as root: cargo test -p spanwire-bench -- --ignored"]
fn a_null_forwarder_that_sleeps_when_idle_passes_every_paced_frame_in_order() {
    assert_passes_every_frame("sleep", &["--idle-rounds=8"]);
}

#[test]
#[ignore = "makes network namespaces, as root: cargo test -p spanwire-bench -- --ignored"]
fn the_null_forwarder_over_xsk_rs_passes_every_paced_frame_in_order() {
    assert_passes_every_frame("xskrs", &["--rings=xsk-rs", "--idle-rounds=8"]);
}

/// The same without the sockets' TX rings: nearly all frames have to have left the other way.
fn assert_redirects_every_frame(test: &str, options: &[&str]) {
    let forwarded = assert_passes_every_frame(test, options);
    assert!(number(&forwarded, "/directions/0/redirected_frames") >= 10_000, "{forwarded}");
    assert_eq!(number(&forwarded, "/directions/0/tx_lost_frames"), 0, "{forwarded}");
}

#[test]
#[ignore = "makes network namespaces, as root: cargo test -p spanwire-bench -- --ignored"]
fn a_null_forwarder_that_sends_live_frames_passes_every_paced_frame_in_order() {
    assert_redirects_every_frame("live", &["--transmit=live-frames", "--live-from=1", "--idle-rounds=8"]);
}

/// Sends echo requests of many lengths, whose bytes `ping` compares, through a null forwarder and back.
fn assert_changes_no_byte(test: &str, options: &[&str]) {
    let Row { left, right, forwarder, _lab } = Row::lay(test, options);
    for (node, address) in [(&left, "192.0.2.1/24"), (&right, "192.0.2.2/24")] {
        node.ip(&format!("address add {address} dev eth0")).expect("an address");
        // A veth takes redirected frames when its other end has an XDP program or GRO.
        let status = node
            .command(&["ethtool", "-K", "eth0", "gro", "on", "tx", "off"])
            .status()
            .expect("ethtool runs");
        assert!(status.success(), "ethtool: {status}");
    }
    for bytes in ["18", "100", "999", "1472"] {
        let words = [
            "ping",
            "-n",
            "-M",
            "do",
            "-c",
            "20",
            "-i",
            "0.01",
            "-W",
            "5",
            "-p",
            "a55a3cc301",
            "-s",
            bytes,
            "192.0.2.2",
        ];
        let output = left.command(&words).output().expect("ping runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(" 20 received") && !said.contains("wrong data"), "{bytes}: {said}");
    }
    let forwarded = terminate(forwarder);
    for direction in 0..2 {
        let redirected = number(&forwarded, &format!("/directions/{direction}/redirected_frames"));
        assert!(redirected >= 80, "{forwarded}");
    }
}

#[test]
#[ignore = "makes network namespaces, as root: cargo test -p spanwire-bench -- --ignored"]
fn a_null_forwarder_that_sends_live_frames_changes_no_byte() {
    assert_changes_no_byte("livebytes", &["--transmit=live-frames", "--live-from=1", "--idle-rounds=8"]);
}

#[test]
#[ignore = "makes network namespaces, as root: cargo test -p spanwire-bench -- --ignored"]
fn an_overrun_null_forwarder_over_xsk_rs_loses_no_chunk() {
    let Row { left, right, forwarder, _lab } = Row::lay("overrun", &["--rings=xsk-rs", "--ring=256"]);
    // Many times as many frames as there are chunks, as fast as it goes; then as many as the rings hold, so that none is
    // lost whenever the forwarder gets to run, if it has chunks for them.
    let flooded = start_sink(&right, &["--silence=1"]);
    generate(&left, &["--count=500000"]);
    terminate(flooded);
    let sink = start_sink(&right, &["--silence=1"]);
    let generated = generate(&left, &["--count=250", "--rate=4000"]);
    let sunk = terminate(sink);
    let forwarded = terminate(forwarder);
    // Which of the two it was, no chunk or no room in the ring, is a matter of when the forwarder got to run.
    let lost: u64 = ["rx_dropped_frames", "rx_ring_full_frames"]
        .map(|count| number(&forwarded, &format!("/directions/0/{count}")))
        .iter()
        .sum();
    assert!(lost > 10_000, "no flood: {forwarded}");
    assert_eq!(number(&sunk, "/frames"), number(&generated, "/frames"), "{forwarded} {sunk}");
}

#[test]
#[ignore = "makes network namespaces, as root: cargo test -p spanwire-bench -- --ignored"]
fn a_generator_on_schedule_tells_each_frames_latency_and_gives_no_time_up() {
    let wire = Wire::lay("schedule");
    let sink = start_sink(&wire.right, &["--latency", "--silence=1"]);
    let generated = generate(
        &wire.left,
        &["--count=20000", "--rate=20000", "--burst=1", "--on-schedule", "--measure-after=0.2"],
    );
    let sunk = terminate(sink);
    let frames = number(&sunk, "/frames");
    assert_eq!((frames, number(&sunk, "/latency/frames")), (20_000, 20_000), "{sunk}");
    assert_eq!(number(&generated, "/given_up_ns"), 0);
    let (p50, max) = (number(&sunk, "/latency/p50_ns"), number(&sunk, "/latency/max_ns"));
    // A busy machine may hold anything up, but not half of the frames for a second.
    assert!(p50 > 100 && p50 < 1_000_000_000 && max >= p50, "{sunk}");
    // Frame by frame every 50 us: nearly all of the time that the machine's other work leaves the generator is waiting.
    let (seconds, waited) =
        (generated["usage"]["seconds"].as_f64().expect("a number"), number(&generated, "/usage/waited_ns"));
    assert!(waited as f64 > seconds * 0.05e9 && (waited as f64) < seconds * 1e9, "{generated}");
}

#[test]
#[ignore = "makes network namespaces, as root: cargo test -p spanwire-bench -- --ignored"]
fn a_held_up_generator_on_schedule_sends_what_it_owes_and_tells_how_late() {
    let wire = Wire::lay("heldup");
    let sink = start_sink(&wire.right, &["--latency", "--silence=1"]);
    let words =
        ["generate", "--interface", "eth0", "--count=5000", "--rate=5000", "--burst=1", "--on-schedule"];
    let generator = start(&wire.left, &words);
    // Stopped in the middle for half a second: frames due meanwhile go out late, not never.
    std::thread::sleep(Duration::from_millis(400));
    for (signal, pause_ms) in [("-STOP", 500), ("-CONT", 0)] {
        let status =
            Command::new("kill").args([signal, &generator.id().to_string()]).status().expect("kill runs");
        assert!(status.success(), "kill: {status}");
        std::thread::sleep(Duration::from_millis(pause_ms));
    }
    let generated = finish(generator);
    let sunk = terminate(sink);
    assert_eq!((number(&generated, "/frames"), number(&sunk, "/frames")), (5000, 5000), "{sunk}");
    assert!(number(&sunk, "/latency/max_ns") > 300_000_000, "{sunk}");
}
