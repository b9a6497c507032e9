//! Poll versus sleep, busy polling and NAPI deferral: what an idle gateway costs, and that traffic flows at once whatever is chosen.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use netlab::Process;
use rustix::process::Signal;
use serde_json::Value;

use super::{
    pair::{Pair, Tuning, ends, loopback_v4, tunnel, udp},
    sites::{SOON, SPANWIRE},
};

/// The most that an idle gateway may use of a CPU.
const IDLE_SHARE: f64 = 0.02;

/// Sleeps of half a second that an idle gateway is watched for.
const SLEEPS: u64 = 10;

/// Much shorter than those, and much longer than the waits of a worker whose sockets cannot be watched.
const SHORTEST_SLEEP: Duration = Duration::from_millis(20);

/// A gateway as it comes.
const UNTUNED: Tuning<'_> = Tuning { gateway: "", ports: "" };

/// Two gateways, tuned like this, with the session up and the PCs known to each other.
fn running(name: &str, tunings: [&Tuning<'_>; 2]) -> (Pair, Process) {
    let pair = Pair::laid_out(name, 1);
    let [west, _east] = [0, 1].map(|side| {
        pair.start_tuned(side, tunings[side], &tunnel(side, ends(side, loopback_v4), &udp(side)))
    });
    [0, 1].into_iter().for_each(|side| pair.await_up(side));
    expect_three_answers(&pair);
    (pair, west)
}

/// However long they take: two busy workers may have all CPUs there are.
fn expect_three_answers(pair: &Pair) {
    let text = pair.ping(0, &[]).unwrap();
    assert!(text.contains(" 3 received"), "{text}");
}

/// CPU time that all threads of a process have used.
fn cpu_time(pid: u32) -> Duration {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let used_ns = |thread: fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    Duration::from_nanos(threads.map(|thread| used_ns(thread.unwrap())).sum())
}

/// How often the worker of a gateway has slept.
fn sleeps(pair: &Pair, side: usize) -> u64 {
    pair.rows(side, "worker").unwrap().iter().map(|worker| worker["sleeps"].as_u64().unwrap()).sum()
}

/// How often the worker of a gateway has waited, as the kernel counts it: asking the gateway would be work for it.
fn waits(gateway: &Process) -> u64 {
    let threads = fs::read_dir(format!("/proc/{}/task", gateway.pid())).unwrap();
    let of = |thread: &fs::DirEntry| {
        let text = fs::read_to_string(thread.path().join("status")).unwrap();
        let field =
            |name| text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned())).unwrap();
        (field("Name:"), field("voluntary_ctxt_switches:").parse::<u64>().unwrap())
    };
    let workers =
        threads.map(|thread| of(&thread.unwrap())).filter(|(name, _)| name.starts_with("spanwire-w"));
    workers.map(|(_, count)| count).sum()
}

/// Part of a CPU that a gateway uses while its worker sleeps so many times more.
fn idle_share(pair: &Pair, gateway: &Process) -> f64 {
    let before = sleeps(pair, 0);
    let (start, used, waited) = (Instant::now(), cpu_time(gateway.pid()), waits(gateway));
    let deadline = Duration::from_secs(60);
    let probe = || {
        let more = waits(gateway) - waited;
        if more >= SLEEPS { Ok(()) } else { Err(format!("{more} waits")) }
    };
    pair.lab.wait_until("the worker to have slept", deadline, probe).unwrap();
    let took = start.elapsed();
    assert!(took > SHORTEST_SLEEP * u32::try_from(SLEEPS).unwrap(), "{SLEEPS} waits took {took:?}");
    let share = (cpu_time(gateway.pid()) - used).as_secs_f64() / start.elapsed().as_secs_f64();
    assert!(sleeps(pair, 0) - before >= SLEEPS, "it waited for something else");
    share
}

/// Each echo finds everybody asleep, and has to be back before a sleep would end by itself. (`ping -W` would count late ones, too.)
fn expect_answers_out_of_sleep(pair: &Pair) {
    let text = pair.pcs[0].run(&["ping", "-c", "4", "-i", "0.8", "-W", "2", super::pair::PCS[1]]).unwrap();
    let times = text.split_whitespace().filter_map(|word| word.strip_prefix("time="));
    let ms: Vec<f64> = times.map(|time| time.parse().unwrap()).collect();
    assert!(ms.len() == 4 && ms.iter().all(|ms| *ms < 400.0), "{text}");
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn an_idle_gateway_uses_next_to_no_cpu_time_and_answers_at_once() {
    for mode in ["adaptive", "interrupt"] {
        let line = format!("mode = {mode:?}\n");
        let (pair, gateway) = running("nsidle", [&Tuning { gateway: &line, ports: "" }; 2]);
        let share = idle_share(&pair, &gateway);
        assert!(share < IDLE_SHARE, "{mode}: {:.2} % of a CPU", share * 100.0);
        println!("{mode}: {:.3} % of a CPU", share * 100.0);
        expect_answers_out_of_sleep(&pair);
        pair.expect_conserved();
    }
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_busy_worker_never_sleeps_and_says_so() {
    let (pair, gateway) = running("nsbusy", [&Tuning { gateway: "mode = \"busy\"\n", ports: "" }, &UNTUNED]);
    let used = cpu_time(gateway.pid());
    pair.lab
        .wait_until("the worker to have worked", SOON, || {
            let more = cpu_time(gateway.pid()) - used;
            if more > Duration::from_millis(300) { Ok(()) } else { Err(format!("{more:?}")) }
        })
        .unwrap();
    assert_eq!(sleeps(&pair, 0), 0);
    let mut show = Command::new(SPANWIRE);
    show.args(["gateway", "show", "--json", "--control-socket"]).arg(pair.lab.dir().join("gw-a.sock"));
    let status: Value = serde_json::from_slice(&show.output().unwrap().stdout).unwrap();
    assert_eq!(status["mode"], "busy");
    expect_three_answers(&pair);
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn traffic_flows_with_every_knob_at_its_other_end() {
    let ports = "need_wakeup = false\nbusy_poll_us = 20\nbusy_poll_budget = 8\n";
    let (pair, _gateway) =
        running("nsknobs", [&Tuning { gateway: "mode = \"interrupt\"\nbatch = 1\n", ports }; 2]);
    let text = pair.ping(0, &["-c", "300", "-i", "0.002", "-s", "1400"]).unwrap();
    assert!(text.contains(" 300 received"), "{text}");
    expect_answers_out_of_sleep(&pair);
    pair.expect_conserved();
}

/// `napi_defer_hard_irqs` and `gro_flush_timeout` of an interface of gw-a.
fn deferral(pair: &Pair, interface: &str) -> [String; 2] {
    ["napi_defer_hard_irqs", "gro_flush_timeout"].map(|file| {
        let path = format!("/sys/class/net/{interface}/{file}");
        pair.gateways[0].run(&["cat", &path]).unwrap().trim().to_owned()
    })
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn interrupts_are_deferred_while_ports_are_attached_and_put_back_at_the_end_and_after_a_kill() {
    let tuning = Tuning { gateway: "", ports: "busy_poll_us = 20\nnapi_defer_hard_irqs = 7\n" };
    let (pair, gateway) = running("nsnapi", [&tuning, &UNTUNED]);
    for interface in ["eth0", "eth1"] {
        assert_eq!(deferral(&pair, interface), ["7", "200000"]);
    }
    let rows = pair.rows(0, "port").unwrap();
    let told = rows[0]["changed_features"].as_array().unwrap();
    assert!(told.contains(&"napi_defer_hard_irqs 7".into()), "{told:?}");
    assert!(told.contains(&"gro_flush_timeout 200000".into()), "{told:?}");
    assert!(gateway.terminate().unwrap().success(), "{}", gateway.log());
    for interface in ["eth0", "eth1"] {
        assert_eq!(deferral(&pair, interface), ["0", "0"]);
    }

    let tunnels = tunnel(0, ends(0, loopback_v4), &udp(0));
    let killed = pair.start_tuned(0, &tuning, &tunnels);
    pair.await_up(0);
    killed.signal(Signal::KILL);
    killed.wait(SOON).unwrap();
    assert_eq!(deferral(&pair, "eth1"), ["7", "200000"], "nobody could put it back");
    let next = pair.start_tuned(0, &UNTUNED, &tunnels);
    pair.await_up(0);
    assert_eq!(deferral(&pair, "eth1"), ["0", "0"], "{}", next.log());
}
