//! `cargo xtask bench`: what the engine costs in memory, without kernel and card.
//!
//! Three programs in one, all of `spanwire-bench`: `memory` for cycles and nanoseconds, `count` under callgrind for instructions,
//! `scaling` for two workers. The full form writes a report; the short form is part of `cargo xtask test`; `--check` compares
//! instructions with the committed baseline and nothing else.

mod baseline;
mod callgrind;
mod goals;
mod hot;
mod measured;
mod pages;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::de::DeserializeOwned;

use crate::progress::Progress;
use crate::report::environment::CpuTicks;
use crate::report::{self, Document, Environment, ResultsFolder};
use crate::{install, workspace};
use baseline::Baseline;
use callgrind::Counts;
use goals::{Findings, Goal, goals};
use measured::{Scaling, Timed};

/// Options of `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Few runs of few cases, no report; fails like `--check`.
    #[arg(long)]
    short: bool,
    /// Only count instructions, and fail when a case takes 3 % more than `bench/baseline.json` says.
    #[arg(long, conflicts_with = "short")]
    check: bool,
    /// Only count instructions, and write them to `bench/baseline.json`.
    #[arg(long, conflicts_with_all = ["short", "check"])]
    renew: bool,
    /// Only count the instructions of one case, and list the functions and lines they are in.
    #[arg(long, value_name = "CASE", conflicts_with_all = ["short", "check", "renew"])]
    hot: Option<String>,
    /// Write the result as JSON.
    #[arg(long, conflicts_with_all = ["check", "renew", "hot"])]
    json: bool,
}

/// How often cases run: full and short form. The short form's time is mostly valgrind's.
struct Runs {
    memory: u32,
    scaling: u32,
}

const FULL: Runs = Runs { memory: 301, scaling: 101 };
const SHORT: Runs = Runs { memory: 31, scaling: 9 };

/// What the table of goals leaves out.
const ELSEWHERE: &str = "Goals that need a kernel are not of this bench. There is no ESP in this version.";

/// Runs the command.
///
/// # Errors
/// Something is missing or does not build, a case loses frames, or instructions exceed the baseline.
pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    if args.check || args.renew {
        return count_only(args.renew);
    }
    if let Some(case) = &args.hot {
        return hot(case);
    }
    let mut progress = Progress::new(if args.short { 5 } else { 6 });
    let program = progress.step("building the bench", prepare)?;
    let (mut environment, start) = (Environment::read(), CpuTicks::now());
    let runs = if args.short { SHORT } else { FULL };
    let timed: Timed =
        progress.step("timing the engine in memory", || memory(&program, runs.memory, args.short))?;
    let scaling = progress.step("timing one worker and two", || scaling(&program, runs.scaling))?;
    let counts =
        progress.step("counting instructions with callgrind", || callgrind::count(&program, args.short))?;
    environment.note_stolen_since(start);
    environment.note("driver and mode", "none: frames in memory");
    environment.note("build", "release profile: LTO, one codegen unit");
    let findings = Findings { timed: &timed, counts: &counts, scaling: scaling.as_ref() };
    let goals = goals(findings);
    let document = document(args, environment, findings, &goals)?;
    if args.json {
        println!("{}", serde_json::to_string(&document)?);
    } else {
        print(findings, &goals);
    }
    if args.short {
        return progress.step("comparing instructions with the baseline", || compare(&counts));
    }
    progress.step("writing the report", || {
        let folder = ResultsFolder::of(&document.environment);
        folder.add(&document)?;
        eprintln!("      {}", folder.path().display());
        Ok(())
    })?;
    progress.step("comparing instructions with the baseline", || {
        let short: Vec<Counts> = held(&counts)?;
        compare(&short)
    })
}

/// Counts the instructions of the short suite, to compare them with the baseline or to make it.
fn count_only(renew: bool) -> Result<()> {
    let mut progress = Progress::new(3);
    let program = progress.step("building the bench", prepare)?;
    let counts =
        progress.step("counting instructions with callgrind", || callgrind::count(&program, true))?;
    if renew {
        return progress.step("writing the baseline", || {
            let path = Baseline::new(&counts, &Environment::read().toolchain).write()?;
            eprintln!("      {}: say in the commit why it changes", path.display());
            Ok(())
        });
    }
    progress.step("comparing instructions with the baseline", || compare(&counts))
}

/// Lists where the instructions of a case are.
fn hot(case: &str) -> Result<()> {
    let mut progress = Progress::new(3);
    let program = progress.step("building the bench", prepare)?;
    let (addresses, frames) =
        progress.step("counting instructions with callgrind", || callgrind::by_address(&program, case))?;
    let places = progress.step("looking their source up", || hot::places(&program, &addresses))?;
    println!("{}", report::text(&hot::by_function(&places, frames)));
    println!("{}", report::text(&hot::by_line(&places, frames)));
    Ok(())
}

/// Those counts that the baseline has.
fn held(counts: &[Counts]) -> Result<Vec<Counts>> {
    let baseline = Baseline::read()?;
    Ok(counts.iter().filter(|counts| baseline.holds(&counts.name)).cloned().collect())
}

fn compare(counts: &[Counts]) -> Result<()> {
    Baseline::read()?.compare(counts, &Environment::read().toolchain).verdict()
}

/// Installs what is missing and builds the bench as the gateway is released.
fn prepare() -> Result<PathBuf> {
    install::packages(&[install::C_LIBRARIES, install::VALGRIND].concat())?;
    workspace::build_with("release", "spanwire-bench", "spanwire-bench")
}

fn memory(program: &Path, runs: u32, short: bool) -> Result<Timed> {
    let runs = runs.to_string();
    let mut arguments = vec!["memory", "--runs", &runs];
    if short {
        arguments.push("--short");
    }
    report_of(program, &arguments)
}

/// Two workers, where there are two CPUs.
fn scaling(program: &Path, runs: u32) -> Result<Option<Scaling>> {
    if std::thread::available_parallelism()?.get() < 2 {
        eprintln!("      left out: two workers need two CPUs, and there is one");
        return Ok(None);
    }
    report_of(program, &["scaling", "--runs", &runs.to_string()]).map(Some)
}

/// Runs a subcommand of the bench and reads its report.
fn report_of<T: DeserializeOwned>(program: &Path, arguments: &[&str]) -> Result<T> {
    let mut command = Command::new(program);
    let output = command
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {}", program.display()))?;
    ensure!(output.status.success(), "spanwire-bench {} failed ({})", arguments.join(" "), output.status);
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("reading the report of spanwire-bench {}", arguments.join(" ")))
}

fn document(
    args: &BenchArgs,
    environment: Environment,
    findings: Findings<'_>,
    goals: &[Goal],
) -> Result<Document> {
    let short = if args.short { " --short" } else { "" };
    Ok(Document {
        command: "bench".to_owned(),
        command_line: format!("cargo xtask bench{short}"),
        headline: pages::headline(findings.timed, &environment.cpu),
        sections: pages::sections(findings, goals),
        raw: serde_json::json!({
            "memory": findings.timed, "callgrind": findings.counts, "scaling": findings.scaling,
        }),
        environment,
    })
}

fn print(findings: Findings<'_>, goals: &[Goal]) {
    println!("{}", report::text(&pages::cases_table(findings)));
    if let Some(scaling) = findings.scaling {
        println!("\n{}", report::text(&pages::scaling_table(scaling)));
    }
    println!("\n{}\n{ELSEWHERE}\n", report::text(&goals::table(goals)));
}
