//! CPUs of workers: gateways of one machine keep away from each other's, say so where they cannot, and forget a killed one.

use std::{collections::BTreeSet, fs};

use netlab::Process;
use rustix::process::Signal;

use super::{
    pair::{Pair, Tuning, ends, loopback_v4, tunnel, udp},
    sites::SOON,
};

/// Starts a gateway; `line` goes into `[gateway]`.
fn start(pair: &Pair, side: usize, line: &str) -> Process {
    let tuning = Tuning { gateway: line, ports: "" };
    pair.start_tuned(side, &tuning, &tunnel(side, ends(side, loopback_v4), &udp(side)))
}

/// The CPU of a gateway's only worker, and what it warns of.
fn placed(pair: &Pair, side: usize) -> (u64, String) {
    let rows = pair.await_rows(side, "worker", "the worker to run", |rows| {
        rows.len() == 1 && rows[0]["state"] == "running"
    });
    (rows[0]["cpu"].as_u64().unwrap(), rows[0]["warnings"].to_string())
}

/// CPUs of this machine that some gateway's worker is bound to.
fn taken() -> BTreeSet<String> {
    let folders = |path: String| {
        fs::read_dir(path)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path().to_str()?.to_owned()))
    };
    let threads = folders("/proc".to_owned()).flat_map(|process| folders(format!("{process}/task")));
    let cpu = |thread: String| {
        let name = fs::read_to_string(format!("{thread}/comm")).ok()?;
        let status = fs::read_to_string(format!("{thread}/status")).ok()?;
        let cpus = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:\t"))?.to_owned();
        name.starts_with("spanwire-w").then_some(cpus)
    };
    threads.filter_map(cpu).collect()
}

/// Two gateways have the same CPU only where there is no free one; other gateways may run on this machine.
fn expect_apart(pair: &Pair) {
    let [(a, _), (b, warning)] = [0, 1].map(|side| placed(pair, side));
    let (cpus, taken) = (std::thread::available_parallelism().unwrap().get(), taken());
    assert!(a != b || taken.len() >= cpus, "both on CPU {a}, taken: {taken:?}\n{}", pair.lab.log_tails(20));
    assert!(a != b || warning.contains(&format!("CPU {b} also has")), "{warning}");
}

/// How a gateway tells of another's worker on its CPU.
fn of_process(process: &Process) -> String {
    format!("{}", process.pid())
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn gateways_of_one_machine_take_cpus_of_their_own_also_when_they_start_at_once() {
    let pair = Pair::laid_out("nsplace", 1);
    let running = [0, 1].map(|side| start(&pair, side, ""));
    expect_apart(&pair);
    assert!(running[0].terminate().unwrap().success(), "{}", running[0].log());
    let _again = start(&pair, 0, "");
    expect_apart(&pair);
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_cpu_that_another_gateway_has_is_told_by_both_until_one_is_killed() {
    let pair = Pair::laid_out("nsshare", 1);
    let first = start(&pair, 0, "cpus = [0]\n");
    assert_eq!(placed(&pair, 0).0, 0);
    let second = start(&pair, 1, "cpus = [0]\n");
    let (cpu, warning) = placed(&pair, 1);
    assert_eq!(cpu, 0, "as configured");
    assert!(warning.contains("CPU 0 also has") && warning.contains(&of_process(&first)), "{warning}");
    assert!(second.log().contains("CPU 0 also has"), "{}", second.log());
    let (_, of_first) = placed(&pair, 0);
    assert!(of_first.contains(&of_process(&second)), "{of_first}");

    first.signal(Signal::KILL);
    first.wait(SOON).unwrap();
    let (_, left) = placed(&pair, 1);
    assert!(!left.contains(&of_process(&first)), "{left}");
}
