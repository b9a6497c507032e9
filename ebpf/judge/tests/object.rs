//! The committed object in this machine's kernel: what it does, and what it reports.
//!
//! These tests load BPF programs and need root, so they are ignored by default; they touch no interface.
//! Run: `cargo test --package spanwire-ebpf-judge -- --ignored`.

#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

use std::sync::Mutex;

use aya::programs::Xdp;
use aya::{EbpfLoader, TestRun, TestRunOptions};
use aya_log::EbpfLogger;
use ebpf::abi::{self, Stat};
use ebpf::steer::Action;
use judge::{KernelProgram, Standing, agreement, corpus, cost};

#[test]
#[ignore = "needs root: loads a BPF program"]
fn the_kernel_and_the_pure_decision_agree_on_the_whole_corpus() {
    let mut program = KernelProgram::load(ebpf::OBJECT).unwrap();
    let compared = agreement::check(&mut program).unwrap();
    assert!(compared > 50_000, "{compared} frames are not the whole corpus");
    let counters = program.counters().unwrap();
    for stat in Stat::ALL {
        assert_ne!(counters[stat as usize], 0, "no frame of the corpus counts as {}", stat.name());
    }
    assert_eq!(counters.iter().sum::<u64>(), compared as u64, "a frame was counted twice or not at all");
}

#[test]
#[ignore = "needs root: loads a BPF program"]
fn a_frame_spread_over_fragments_is_steered_by_its_headers() {
    let mut program = KernelProgram::load(ebpf::OBJECT).unwrap();
    let (_, tables) = corpus::tables().swap_remove(1); // underlay
    program.set_tables(&tables, Standing::Both).unwrap();
    let mut jumbo = corpus::whole_frames().unwrap().swap_remove(0);
    jumbo.resize(9000, 0xaa); // does not fit one page
    let observed = program.run(&jumbo).unwrap();
    assert_eq!((observed.action, observed.stat), (Action::Redirect, Stat::EngineTunnel));
}

#[test]
#[ignore = "needs root: loads a BPF program"]
fn what_a_run_takes_is_told_for_every_common_frame_and_program() {
    let mut programs = [(); 2].map(|()| KernelProgram::load(ebpf::OBJECT).unwrap());
    let costs = cost::measure(&mut programs).unwrap();
    assert_eq!(costs.len(), corpus::common().unwrap().len());
    // A run looks up in two maps at least; no machine does that in no time, and none takes ten microseconds.
    let is_likely = |ns: &u128| (1..10_000).contains(ns);
    assert!(
        costs.iter().all(|cost| cost.runs_ns.len() == 2 && cost.runs_ns.iter().all(is_likely)),
        "{costs:?}"
    );
}

#[test]
#[ignore = "needs root: loads a BPF program"]
fn at_the_raised_log_level_every_decision_is_reported_and_at_the_default_none() {
    assert_eq!(logged(abi::LOG_LEVEL_OFF), Vec::<String>::new());
    assert_eq!(logged(abi::LOG_LEVEL_DEBUG), ["DEBUG port 1 queue 0: pass_unknown_port"]);
}

/// What the program reports about one frame of a port that is not configured.
fn logged(level: u8) -> Vec<String> {
    let mut object =
        EbpfLoader::new().override_global(abi::LOG_LEVEL, &level, true).load(ebpf::OBJECT).unwrap();
    let lines = Lines::default();
    let mut logger = EbpfLogger::init_with_logger(&mut object, &lines).unwrap();
    let program: &mut Xdp = object.program_mut(abi::PROGRAM).unwrap().try_into().unwrap();
    program.load().unwrap();
    program.test_run(TestRunOptions { data_in: Some(&[0; 64]), ..TestRunOptions::default() }).unwrap();
    logger.flush();
    drop(logger);
    lines.0.into_inner().unwrap()
}

#[derive(Default)]
struct Lines(Mutex<Vec<String>>);

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        self.0.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
    }

    fn flush(&self) {}
}
