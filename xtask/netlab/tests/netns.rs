//! Labs on the real kernel. Privileged, so ignored by default: run as root with `--ignored`.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which clippy does not take for tests")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use netlab::article::{self, SITES};
use netlab::{Lab, LinkOptions};

/// Time for anything that has to happen by itself.
const SOON: Duration = Duration::from_secs(10);

/// Names of the namespaces of a lab.
fn namespaces(lab: &str) -> Vec<String> {
    let prefix = format!("sw-{lab}-");
    let Ok(entries) = fs::read_dir("/run/netns") else { return Vec::new() };
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(&prefix)).collect()
}

fn assert_nothing_left(lab: &str) {
    assert_eq!(namespaces(lab), Vec::<String>::new());
    assert!(!Path::new(&format!("/run/sw-{lab}")).exists());
}

fn assert_privileged() {
    assert_eq!(netlab::missing(), Vec::<String>::new(), "this test needs more than it has");
}

/// Whether a process exists and is not a zombie.
fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
#[ignore = "needs root and network namespaces"]
fn gateways_of_the_article_reach_each_other_through_the_router_and_not_the_pcs() {
    assert_privileged();
    let lab = Lab::new("nlarticle").unwrap();
    let network = article::lay_out(&lab, 2).unwrap();
    for site in &SITES {
        let target = site.underlay.to_string();
        network.gateways[0].run(&["ping", "-c", "1", "-W", "2", "-s", "1572", "-M", "do", &target]).unwrap();
    }
    let other_pc = SITES[1].lan.to_string();
    assert!(network.pcs[0].run(&["ping", "-c", "1", "-W", "1", &other_pc]).is_err());
    assert_two_queues(&network.gateways[0]);
    drop(lab);
    assert_nothing_left("nlarticle");
}

fn assert_two_queues(node: &netlab::Node) {
    let queues = node.run(&["ls", "/sys/class/net/eth0/queues"]).unwrap();
    assert_eq!(queues.split_whitespace().collect::<Vec<_>>(), ["rx-0", "rx-1", "tx-0", "tx-1"]);
}

#[test]
#[ignore = "needs root and network namespaces"]
fn a_panic_ends_processes_and_removes_namespaces() {
    assert_privileged();
    let pid = std::sync::Mutex::new(0);
    let panicked = std::panic::catch_unwind(|| {
        let lab = Lab::new("nlpanic").unwrap();
        let node = lab.node("one").unwrap();
        *pid.lock().unwrap() = node.spawn("sleeper", &["sleep", "600"]).unwrap().pid();
        panic!("on purpose");
    });
    assert!(panicked.is_err());
    assert_nothing_left("nlpanic");
    assert!(!is_alive(*pid.lock().unwrap_or_else(std::sync::PoisonError::into_inner)));
}

/// Set for the process that a test below starts and interrupts: a file that it removes at its end.
const VICTIM: &str = "NETLAB_VICTIM";

#[test]
#[ignore = "needs root and network namespaces"]
fn ctrl_c_ends_processes_removes_namespaces_and_puts_back_what_it_was_told_to() {
    assert_privileged();
    if std::env::var_os(VICTIM).is_some() {
        hold_a_lab();
    }
    let file = std::env::temp_dir().join(format!("netlab-victim-{}", std::process::id()));
    fs::write(&file, "").unwrap();
    let mut victim =
        start_victim("ctrl_c_ends_processes_removes_namespaces_and_puts_back_what_it_was_told_to", &file);
    let sleeper = announced_pid(&mut victim);
    assert_eq!(namespaces("nlctrlc"), ["sw-nlctrlc-one"]);
    assert!(is_alive(sleeper));
    let pid = victim.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let ended = || victim.try_wait().unwrap().ok_or("it still runs".to_owned());
    let end = netlab::wait_until("the end of the interrupted process", SOON, ended);
    if end.is_err() {
        victim.kill().unwrap();
        netlab::remove_kept("nlctrlc").unwrap();
    }
    assert_eq!(end.unwrap().code(), Some(128 + 2));
    assert_nothing_left("nlctrlc");
    assert!(!is_alive(sleeper));
    assert!(!file.exists());
}

/// Makes a lab with a process, names that on standard error, and waits for the end.
fn hold_a_lab() -> ! {
    netlab::on_interruption(|| fs::remove_file(std::env::var_os(VICTIM).unwrap()).unwrap()).unwrap();
    let lab = Lab::new("nlctrlc").unwrap();
    let sleeper = lab.node("one").unwrap().spawn("sleeper", &["sleep", "600"]).unwrap();
    eprintln!("sleeper {}", sleeper.pid());
    loop {
        std::thread::park();
    }
}

/// Runs one test of this program in a process of its own, which takes the part of the one to be interrupted.
fn start_victim(test: &str, file: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "--nocapture", test]).env(VICTIM, file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The process id that the victim names. Nobody reads its standard error afterwards, as when a terminal is closed.
fn announced_pid(victim: &mut Child) -> u32 {
    let lines = BufReader::new(victim.stderr.take().unwrap()).lines().map_while(Result::ok);
    let pid = lines.filter_map(|line| line.strip_prefix("sleeper ")?.parse().ok()).next();
    pid.expect("the victim names a process")
}

#[test]
#[ignore = "needs root and network namespaces"]
fn what_a_killed_run_left_behind_is_removed_at_the_next_start() {
    assert_privileged();
    let add = ["netns", "add", "sw-nlkilled-one"];
    assert!(Command::new("ip").args(add).status().unwrap().success());
    let exec = ["netns", "exec", "sw-nlkilled-one", "sleep", "600"];
    let mut orphan = Command::new("ip").args(exec).stdin(Stdio::null()).spawn().unwrap();
    netlab::wait_until("the orphan to enter the namespace", SOON, || {
        let pids = Command::new("ip").args(["netns", "pids", "sw-nlkilled-one"]).output().unwrap();
        let pids = String::from_utf8(pids.stdout).unwrap();
        if pids.trim() == orphan.id().to_string() { Ok(()) } else { Err(pids) }
    })
    .unwrap();
    let lab = Lab::new("nlkilled").unwrap();
    assert_eq!(namespaces("nlkilled"), Vec::<String>::new());
    assert_eq!(orphan.wait().unwrap().signal(), Some(15));
    drop(lab);
    assert_nothing_left("nlkilled");
}

#[test]
#[ignore = "needs root and network namespaces"]
fn a_kept_lab_outlives_its_owner_until_it_is_removed() {
    assert_privileged();
    let lab = Lab::new("nlkept").unwrap();
    let process = lab.node("one").unwrap().spawn("sleeper", &["sleep", "600"]).unwrap();
    let kept = lab.keep().unwrap();
    assert_eq!(kept.processes[0].pid, process.pid());
    assert_eq!(kept.namespaces, ["sw-nlkept-one"]);
    assert_eq!(netlab::kept("nlkept").unwrap().namespaces, kept.namespaces);
    assert!(process.is_running());
    assert!(netlab::remove_kept("nlkept").unwrap());
    assert!(!process.is_running());
    assert_nothing_left("nlkept");
    assert!(!netlab::remove_kept("nlkept").unwrap());
}

#[test]
#[ignore = "needs root and network namespaces"]
fn what_cannot_be_removed_is_told_and_the_rest_goes() {
    assert_privileged();
    let lab = Lab::new("nlstays").unwrap();
    let process = lab.node("one").unwrap().spawn("sleeper", &["sleep", "600"]).unwrap();
    // Nobody can remove the folder of a mount.
    let mount = lab.dir().join("mount");
    fs::create_dir(&mount).unwrap();
    assert!(Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&mount).status().unwrap().success());
    let fault = lab.remove();
    assert!(Command::new("umount").arg(&mount).status().unwrap().success());
    assert!(format!("{:#}", fault.unwrap_err()).contains("removing /run/sw-nlstays"));
    assert_eq!(namespaces("nlstays"), Vec::<String>::new());
    assert!(!process.is_running());
    Lab::new("nlstays").unwrap().remove().unwrap();
    assert_nothing_left("nlstays");
}

#[test]
#[ignore = "needs root and network namespaces"]
fn a_lab_in_use_is_not_removed_by_another_of_its_name() {
    assert_privileged();
    let lab = Lab::new("nlbusy").unwrap();
    let node = lab.node("one").unwrap();
    assert!(Lab::new("nlbusy").unwrap_err().to_string().contains("another process uses"));
    node.ip("link show lo").unwrap();
}

#[test]
#[ignore = "needs root and network namespaces"]
fn a_wait_ends_early_when_a_process_dies_and_shows_its_log() {
    assert_privileged();
    let lab = Lab::new("nlwait").unwrap();
    let node = lab.node("one").unwrap();
    node.spawn("daemon", &["sh", "-c", "echo cannot go on; exit 7"]).unwrap();
    let never = || Err::<(), _>("still waiting".to_owned());
    let fault = lab.wait_until("the end of days", Duration::from_secs(60), never).unwrap_err().to_string();
    assert!(fault.contains("daemon ended by itself (exit status: 7)"), "{fault}");
    assert!(fault.contains("cannot go on"), "{fault}");
}

#[test]
#[ignore = "needs root and network namespaces"]
fn a_socket_opened_inside_a_namespace_stays_in_it() {
    assert_privileged();
    let lab = Lab::new("nlinside").unwrap();
    let (left, right) = (lab.node("left").unwrap(), lab.node("right").unwrap());
    lab.link((&left, "eth0"), (&right, "eth0"), &LinkOptions { napi: true, ..LinkOptions::default() })
        .unwrap();
    left.ip("address add 192.0.2.1/24 dev eth0").unwrap();
    right.ip("address add 192.0.2.2/24 dev eth0").unwrap();
    let receiver = right.inside(|| std::net::UdpSocket::bind("192.0.2.2:9000")).unwrap().unwrap();
    let sender = left.inside(|| std::net::UdpSocket::bind("192.0.2.1:0")).unwrap().unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    sender.send_to(b"frame", "192.0.2.2:9000").unwrap();
    let mut bytes = [0; 16];
    assert_eq!(receiver.recv(&mut bytes).unwrap(), 5);
}
