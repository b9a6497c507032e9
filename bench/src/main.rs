//! `spanwire-bench`: each subcommand ends with one JSON document on standard output.

use std::process::ExitCode;

use bench::engine::scaling;
use bench::sys::allocator::CountingAllocator;
use bench::{count, generate, memory, null_forward, replay, sink, usage};
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Load generator, sink, null forwarder and in-memory benches of spanwire.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Send stamped frames out of an interface as live XDP frames.
    Generate(generate::Args),
    /// Send one given frame in bursts over AF_XDP, and tell the CPU time of this machine meanwhile.
    Replay(replay::Args),
    /// Count and drop stamped frames that arrive at an interface, and check their sequence numbers.
    Sink(sink::Args),
    /// Forward every frame between two interfaces over AF_XDP, unread.
    NullForward(null_forward::Args),
    /// Tell the CPU time of this machine over a time, softirqs included.
    Usage(usage::Args),
    /// Time code on frames in memory: cycles, nanoseconds and allocations per frame.
    Memory(memory::Args),
    /// Run each case of `memory` a few times, for valgrind to count its instructions.
    Count(memory::Choice),
    /// Time one worker, and two at a time on two CPUs.
    Scaling(scaling::Args),
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(document) => {
            println!("{document}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one subcommand and returns its report as JSON.
fn run(command: &Command) -> anyhow::Result<String> {
    let document = match command {
        Command::Generate(args) => serde_json::to_string_pretty(&generate::run(args)?)?,
        Command::Replay(args) => serde_json::to_string_pretty(&replay::run(args)?)?,
        Command::Sink(args) => serde_json::to_string_pretty(&sink::run(args)?)?,
        Command::NullForward(args) => serde_json::to_string_pretty(&null_forward::run(args)?)?,
        Command::Usage(args) => serde_json::to_string_pretty(&usage::run(args)?)?,
        Command::Memory(args) => serde_json::to_string_pretty(&memory::run(args)?)?,
        Command::Count(choice) => serde_json::to_string_pretty(&count::run(choice)?)?,
        Command::Scaling(args) => serde_json::to_string_pretty(&scaling::run(args)?)?,
    };
    Ok(document)
}
