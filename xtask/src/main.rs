//! Commands for working on spanwire: one module per command.

#![forbid(unsafe_code)]

mod bench;
mod compare;
mod ebpf;
mod golden;
mod guest;
mod install;
mod interop;
mod lab;
mod miri;
mod progress;
mod report;
mod soak;
mod test;
mod workspace;
mod zero_copy;

use std::process::ExitCode;

use clap::Parser;

/// Commands for working on spanwire.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Xtask {
    /// The article's network on this machine: router, three gateways, three PCs, every pair tried.
    Lab(lab::LabArgs),
    /// A flood through the article's three sites in both directions, and its books.
    Soak(soak::SoakArgs),
    /// What the engine costs in memory: time, instructions, two workers; a report and the goals.
    Bench(bench::BenchArgs),
    /// What a tunnel costs: spanwire beside the kernel's and other ways to join two LANs, on the same wires.
    Compare(Box<compare::CompareArgs>),
    /// The XDP steering program: build it, or check that the committed object is what its source gives.
    Ebpf(ebpf::EbpfArgs),
    /// The engine against packets of the kernel's own `l2tp_eth`; `--record` records them anew.
    Golden(golden::GoldenArgs),
    /// spanwire against the kernel's own `l2tp_eth`, in an emulated machine, in every option that `ip l2tp` has.
    Interop(interop::InteropArgs),
    /// The memory accesses of `dataplane/xsk`, watched by Miri or AddressSanitizer, whichever is installed.
    Miri,
    /// Page and picture of a folder of results, made again.
    Report(report::ReportArgs),
    /// Everything that has to pass.
    Test(test::TestArgs),
}

fn main() -> ExitCode {
    match run(Xtask::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("error: {fault:#}");
            ExitCode::FAILURE
        }
    }
}

/// Carries one command out.
fn run(command: Xtask) -> anyhow::Result<()> {
    match command {
        Xtask::Lab(args) => lab::run(&args),
        Xtask::Soak(args) => soak::run(&args),
        Xtask::Bench(args) => bench::run(&args),
        Xtask::Compare(args) => compare::run(&args),
        Xtask::Ebpf(args) => ebpf::run(&args),
        Xtask::Golden(args) => golden::run(&args),
        Xtask::Interop(args) => interop::run(&args),
        Xtask::Miri => miri::run(),
        Xtask::Report(args) => report::run(&args),
        Xtask::Test(args) => test::run(&args),
    }
}
