//! Judges object files: loads each through libbpf and compares what it does with the pure decision; or says what it takes.

#![forbid(unsafe_code)]

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use judge::cost::Cost;
use judge::{KernelProgram, agreement, cost};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let outcome = match words.as_slice() {
        [word, files @ ..] if word == "--cost" && !files.is_empty() => print_cost(files),
        files @ [first, ..] if first != "--cost" => files
            .iter()
            .map(Path::new)
            .try_for_each(|path| judge_file(path).with_context(|| path.display().to_string())),
        _ => {
            eprintln!("usage: spanwire-ebpf-judge [--cost] OBJECT...");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads an object and has it verified.
fn load(path: &Path) -> Result<KernelProgram> {
    ensure!(rustix::process::geteuid().is_root(), "loading a BPF program needs root");
    KernelProgram::load(&std::fs::read(path)?)
}

fn judge_file(path: &Path) -> Result<()> {
    let mut program = load(path)?;
    let verified = program.verified_instructions()?;
    let instructions = program.instructions()?;
    let compared = agreement::check(&mut program)?;
    println!(
        "{}: verifier processed {verified} instructions of a program of {instructions}; agrees with the decision on {compared} frames",
        path.display()
    );
    Ok(())
}

/// Prints what one run of each program takes, by kind of frame.
fn print_cost(files: &[OsString]) -> Result<()> {
    let load = |file: &OsString| load(Path::new(file)).with_context(|| Path::new(file).display().to_string());
    let mut programs: Vec<_> = files.iter().map(load).collect::<Result<_>>()?;
    for Cost { name, runs_ns } in cost::measure(&mut programs)? {
        let runs: String = runs_ns.iter().map(|ns| format!("{ns:>5} ns")).collect();
        println!("{name:<24}{runs}");
    }
    Ok(())
}
