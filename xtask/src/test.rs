//! `cargo xtask test`: everything that has to pass, step by step; a failed step does not stop the others.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, Parser as _};

use crate::{install, workspace};

/// Options of `test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Leave out what needs root, and pass without it.
    #[arg(long)]
    unprivileged: bool,
    /// Only the steps whose name contains this word.
    #[arg(long, value_name = "WORD")]
    only: Option<String>,
}

/// One thing that has to pass.
struct Step {
    name: &'static str,
    /// Whether it needs root: namespaces, AF_XDP sockets, loading of programs.
    privileged: bool,
    run: fn() -> Result<()>,
}

/// Everything that has to pass, in order: cheap verdicts first.
const STEPS: &[Step] = &[
    Step { name: "packages", privileged: false, run: install_packages },
    Step { name: "format", privileged: false, run: || cargo(&["fmt", "--all", "--check"]) },
    Step { name: "clippy", privileged: false, run: clippy },
    Step {
        name: "unit, property and golden tests",
        privileged: false,
        run: || cargo(&["test", "--workspace", "--no-fail-fast"]),
    },
    Step { name: "network namespace tests", privileged: true, run: namespace_tests },
    Step { name: "steering program", privileged: true, run: || xtask(&["ebpf", "--check"]) },
    Step { name: "documentation of the code", privileged: false, run: code_documentation },
    Step { name: "documentation of the product", privileged: false, run: book },
    Step { name: "lab", privileged: true, run: || xtask(&["lab"]) },
];

/// How a step ended.
enum Outcome {
    Passed,
    Failed(String),
    /// It needs root, and this is not root.
    Skipped,
}

/// Runs every step and prints a summary.
///
/// # Errors
/// A step failed, or was skipped for want of root without `--unprivileged`.
pub(crate) fn run(args: &TestArgs) -> Result<()> {
    let is_root = rustix::process::geteuid().is_root();
    let chosen = |step: &&Step| args.only.as_ref().is_none_or(|word| step.name.contains(word.as_str()));
    let steps: Vec<&Step> = STEPS.iter().filter(chosen).collect();
    ensure!(
        !steps.is_empty(),
        "no step is called so; there are: {}",
        STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(", ")
    );
    let start = Instant::now();
    let mut rows = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        eprintln!(
            "\n[{}/{}] {} ({} since the start)",
            index + 1,
            steps.len(),
            step.name,
            shown(start.elapsed())
        );
        let begin = Instant::now();
        let outcome = attempt(step, is_root && !args.unprivileged);
        rows.push((step.name, outcome, begin.elapsed()));
    }
    summarize(&rows, start.elapsed(), args.unprivileged)
}

/// Runs one step, or skips it.
fn attempt(step: &Step, may_run_privileged: bool) -> Outcome {
    if step.privileged && !may_run_privileged {
        eprintln!("      skipped: needs root");
        return Outcome::Skipped;
    }
    match (step.run)() {
        Ok(()) => Outcome::Passed,
        Err(fault) => {
            eprintln!("      FAILED: {fault:#}");
            Outcome::Failed(format!("{fault:#}"))
        }
    }
}

/// Prints the table and the closing line.
fn summarize(rows: &[(&str, Outcome, Duration)], total: Duration, may_skip: bool) -> Result<()> {
    println!();
    for (name, outcome, time) in rows {
        let word = match outcome {
            Outcome::Passed => "passed",
            Outcome::Failed(_) => "FAILED",
            Outcome::Skipped => "skipped",
        };
        println!("{word:8} {:>9}  {name}", shown(*time));
    }
    for (name, outcome, _) in rows {
        if let Outcome::Failed(fault) = outcome {
            println!("\n{name}: {fault}");
        }
    }
    let count = |test: fn(&Outcome) -> bool| rows.iter().filter(|(_, outcome, _)| test(outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped));
    let passed = count(|outcome| matches!(outcome, Outcome::Passed));
    println!("\nsteps: {passed} passed, {failed} failed, {skipped} skipped; {}", shown(total));
    match (failed, skipped) {
        (0, 0) => Ok(()),
        (0, _) if may_skip => Ok(()),
        (0, _) => bail!("steps were skipped for want of root; --unprivileged passes without them"),
        _ => bail!("{failed} of {} steps failed", rows.len()),
    }
}

/// A time as minutes and seconds.
fn shown(time: Duration) -> String {
    format!("{}:{:04.1} min", time.as_secs() / 60, time.as_secs_f64() % 60.0)
}

fn install_packages() -> Result<()> {
    install::packages(&[install::LAB, install::CAPTURE, install::C_LIBRARIES].concat())
}

fn clippy() -> Result<()> {
    cargo(&["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"])
}

/// Tests that make namespaces are ignored by default. One at a time: they share two cores and time-outs.
fn namespace_tests() -> Result<()> {
    // `--tests` leaves documentation examples out: ignored ones are not meant to run.
    cargo(&["test", "--workspace", "--no-fail-fast", "--tests", "--", "--ignored", "--test-threads=1"])
}

fn code_documentation() -> Result<()> {
    let mut command = workspace::cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]);
    succeed(command.env("RUSTDOCFLAGS", "--deny warnings"))
}

/// Builds the book.
fn book() -> Result<()> {
    let mdbook = find_mdbook()?;
    let mut command = Command::new(mdbook);
    succeed(command.current_dir(workspace::root()).args(["build", "docs"]))
}

/// The mdBook program: one that is installed, or one built without its web server and search, and unoptimised.
///
/// Debian 12 has no package of it; building it like this takes about a minute on two cores.
fn find_mdbook() -> Result<PathBuf> {
    if netlab::is_on_path("mdbook") {
        return Ok(PathBuf::from("mdbook"));
    }
    let home = workspace::target_dir()?.join("tools");
    let program = home.join("bin/mdbook");
    if !program.is_file() {
        eprintln!("      building mdbook");
        let mut install = workspace::cargo(&[
            "install",
            "mdbook@0.5.4",
            "--locked",
            "--no-default-features",
            "--debug",
            "--root",
        ]);
        succeed(install.arg(&home))?;
    }
    Ok(program)
}

/// Runs cargo; its output goes where this program's goes, closing lines of the test runners included.
fn cargo(arguments: &[&str]) -> Result<()> {
    succeed(&mut workspace::cargo(arguments))
}

/// Runs another command of this program.
fn xtask(arguments: &[&str]) -> Result<()> {
    let words = ["cargo xtask"].iter().chain(arguments);
    crate::run(crate::Xtask::try_parse_from(words)?)
}

/// Runs a command that has to succeed.
fn succeed(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("starting {name}"))?;
    ensure!(status.success(), "{name} {} ({status})", words(command));
    Ok(())
}

/// The arguments of a command as one would type them.
fn words(command: &Command) -> String {
    command.get_args().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(outcome: Outcome) -> (&'static str, Outcome, Duration) {
        ("step", outcome, Duration::from_secs(1))
    }

    #[test]
    fn a_failed_step_fails_the_command() {
        let rows = [row(Outcome::Passed), row(Outcome::Failed("why".to_owned()))];
        let fault = summarize(&rows, Duration::ZERO, true).unwrap_err().to_string();
        assert_eq!(fault, "1 of 2 steps failed");
    }

    #[test]
    fn a_skipped_step_fails_the_command_unless_that_was_asked_for() {
        let rows = [row(Outcome::Passed), row(Outcome::Skipped)];
        assert!(summarize(&rows, Duration::ZERO, false).is_err());
        assert!(summarize(&rows, Duration::ZERO, true).is_ok());
    }

    #[test]
    fn times_are_shown_as_minutes_and_seconds() {
        assert_eq!(shown(Duration::from_millis(61_500)), "1:01.5 min");
    }
}
