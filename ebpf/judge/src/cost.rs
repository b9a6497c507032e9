//! What one run of the program takes, by kind of frame.

use anyhow::{Context, Result, ensure};
use ebpf::abi::Stat;

use crate::corpus;
use crate::kernel::{KernelProgram, Standing};

/// Runs that a mean is of. The kernel tells it in whole nanoseconds.
const RUNS: u32 = 200_000;

/// Rounds: the least mean of them counts, which nothing else on the machine has disturbed.
const ROUNDS: usize = 15;

/// One kind of frame.
#[derive(Clone, Debug)]
pub struct Cost {
    /// What it is.
    pub name: &'static str,
    /// What one run takes, program by program. Units: ns.
    pub runs_ns: Vec<u128>,
}

/// Measures every kind of frame that goes to the engine, all programs in turn in each round.
///
/// # Errors
///
/// When a program cannot be run, or does not hand such a frame to the engine.
pub fn measure(programs: &mut [KernelProgram]) -> Result<Vec<Cost>> {
    corpus::common()?.into_iter().map(|(name, tables, frame)| one(name, tables, &frame, programs)).collect()
}

fn one(name: &'static str, tables: &str, frame: &[u8], programs: &mut [KernelProgram]) -> Result<Cost> {
    let all = corpus::tables();
    let (_, tables) = all.iter().find(|(other, _)| *other == tables).context("no such tables")?;
    for program in &mut *programs {
        program.set_tables(tables, Standing::Both)?;
        let seen = program.run(frame)?.stat;
        ensure!(matches!(seen, Stat::EngineTunnel | Stat::EngineAccess), "{name}: the program says {seen:?}");
    }
    let mut runs_ns = vec![u128::MAX; programs.len()];
    for _ in 0..ROUNDS {
        for (program, least) in programs.iter().zip(&mut runs_ns) {
            *least = program.run_times(frame, RUNS)?.1.min(*least);
        }
    }
    Ok(Cost { name, runs_ns })
}
