//! Judges object files: loads each through libbpf and compares what it does with the pure decision.

#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use judge::{KernelProgram, agreement};

fn main() -> ExitCode {
    let files: Vec<_> = std::env::args_os().skip(1).collect();
    if files.is_empty() {
        eprintln!("usage: spanwire-ebpf-judge OBJECT...");
        return ExitCode::from(2);
    }
    for file in files {
        let path = Path::new(&file);
        if let Err(error) = judge_file(path).with_context(|| path.display().to_string()) {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn judge_file(path: &Path) -> Result<()> {
    let object = std::fs::read(path)?;
    ensure!(rustix::process::geteuid().is_root(), "loading a BPF program needs root");
    let mut program = KernelProgram::load(&object)?;
    let verified = program.verified_instructions()?;
    let instructions = program.instructions()?;
    let compared = agreement::check(&mut program)?;
    println!(
        "{}: verifier processed {verified} instructions of a program of {instructions}; agrees with the decision on {compared} frames",
        path.display()
    );
    Ok(())
}
