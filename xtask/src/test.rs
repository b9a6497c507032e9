//! `cargo xtask test`: everything that has to pass, step by step; a failed step does not stop the others.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::{Args, Parser as _};

use crate::miri::Watched;
use crate::workspace::{self, succeed};
use crate::{ebpf, install, miri};

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
    run: fn() -> Result<Outcome>,
}

/// Everything that has to pass, in order: cheap verdicts first.
const STEPS: &[Step] = &[
    Step { name: "packages", privileged: false, run: || passed(install_packages()) },
    Step { name: "format", privileged: false, run: || passed(cargo(&["fmt", "--all", "--check"])) },
    Step { name: "clippy", privileged: false, run: || passed(clippy()) },
    Step {
        name: "unit, property and golden tests",
        privileged: false,
        run: || passed(cargo(&["test", "--workspace", "--no-fail-fast"])),
    },
    Step { name: "memory accesses", privileged: false, run: memory_accesses },
    Step { name: "network namespace tests", privileged: true, run: || passed(namespace_tests()) },
    Step { name: "steering program", privileged: true, run: || passed(xtask(&["ebpf", "--check"])) },
    Step { name: "documentation of the code", privileged: false, run: || passed(code_documentation()) },
    Step { name: "documentation of the product", privileged: false, run: || passed(book()) },
    Step { name: "lab", privileged: true, run: || passed(xtask(&["lab"])) },
    Step { name: "interoperation", privileged: true, run: || passed(xtask(&["interop"])) },
    Step { name: "zero-copy", privileged: false, run: || passed(zero_copy()) },
    Step { name: "bench", privileged: false, run: || passed(xtask(&["bench", "--short"])) },
    Step { name: "comparison", privileged: true, run: || passed(xtask(&["compare", "--short"])) },
    Step { name: "soak", privileged: true, run: || passed(xtask(&["soak", "--seconds", SOAK_SECONDS])) },
];

/// How long the flood of the short form of `soak` lasts.
const SOAK_SECONDS: &str = "15";

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// With a remark, or none.
    Passed(&'static str),
    Failed(String),
    /// It needs root, and this is not root.
    Skipped,
    /// It needs something that not every machine has, and passing does not depend on it: what is missing.
    Absent(String),
}

/// A step that was tried.
struct Row {
    name: &'static str,
    outcome: Outcome,
    time: Duration,
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
        rows.push(Row { name: step.name, outcome, time: begin.elapsed() });
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
        Ok(outcome) => outcome,
        Err(fault) => {
            eprintln!("      FAILED: {fault:#}");
            Outcome::Failed(format!("{fault:#}"))
        }
    }
}

/// Prints the table and the closing line.
fn summarize(rows: &[Row], total: Duration, may_skip: bool) -> Result<()> {
    println!();
    rows.iter().for_each(|row| println!("{}", row.line()));
    for Row { name, outcome, .. } in rows {
        if let Outcome::Failed(fault) = outcome {
            println!("\n{name}: {fault}");
        }
    }
    let count = |test: fn(&Outcome) -> bool| rows.iter().filter(|row| test(&row.outcome)).count();
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped));
    let passed = count(|outcome| matches!(outcome, Outcome::Passed(_)));
    let absent = count(|outcome| matches!(outcome, Outcome::Absent(_)));
    println!(
        "\nsteps: {passed} passed, {failed} failed, {skipped} skipped, {absent} not possible here; {}",
        shown(total)
    );
    match (failed, skipped) {
        (0, 0) => Ok(()),
        (0, _) if may_skip => Ok(()),
        (0, _) => bail!("steps were skipped for want of root; --unprivileged passes without them"),
        _ => bail!("{failed} of {} steps failed", rows.len()),
    }
}

impl Row {
    /// The row of the summary.
    fn line(&self) -> String {
        let (word, remark) = match &self.outcome {
            Outcome::Passed(remark) => ("passed", *remark),
            Outcome::Failed(_) => ("FAILED", ""),
            Outcome::Skipped => ("skipped", "needs root"),
            Outcome::Absent(what) => ("absent", what.as_str()),
        };
        let remark = if remark.is_empty() { String::new() } else { format!(" ({remark})") };
        format!("{word:8} {:>9}  {}{remark}", shown(self.time), self.name)
    }
}

/// A time as minutes and seconds.
fn shown(time: Duration) -> String {
    format!("{}:{:04.1} min", time.as_secs() / 60, time.as_secs_f64() % 60.0)
}

/// The outcome of a step that leaves nothing to remark.
fn passed(result: Result<()>) -> Result<Outcome> {
    result.map(|()| Outcome::Passed(""))
}

/// Installs what any later step needs; without root only what `cargo` needs to build everything.
fn install_packages() -> Result<()> {
    install::packages(&[install::C_LIBRARIES, install::VALGRIND].concat())?;
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    install::packages(&[install::LAB, install::CAPTURE, &ebpf::missing_packages()].concat())
}

/// Watches the memory accesses of `dataplane/xsk`, if that is possible here.
fn memory_accesses() -> Result<Outcome> {
    Ok(match miri::watch()? {
        Watched::By(name) => Outcome::Passed(name),
        Watched::Missing(what) => {
            eprintln!("      not possible here: {what}");
            Outcome::Absent(what)
        }
    })
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
    succeed(command.env("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private-intra-doc-links"))
}

/// Builds the book.
fn book() -> Result<()> {
    let mdbook = find_mdbook()?;
    let mut command = Command::new(mdbook);
    succeed(command.current_dir(workspace::root()).args(["build", "docs"]))
}

/// The mdBook program: one that is installed, or one built here.
fn find_mdbook() -> Result<PathBuf> {
    if netlab::is_on_path(install::MDBOOK.name) {
        return Ok(PathBuf::from(install::MDBOOK.name));
    }
    install::tool(&install::MDBOOK)
}

/// Runs cargo; its output goes where this program's goes, closing lines of the test runners included.
fn cargo(arguments: &[&str]) -> Result<()> {
    succeed(&mut workspace::cargo(arguments))
}

/// Zero-copy has to hold, and to pay.
fn zero_copy() -> Result<()> {
    xtask(&["interop", "--zero-copy"])?;
    xtask(&["compare", "--zero-copy", "--short"])
}

/// Runs another command of this program.
fn xtask(arguments: &[&str]) -> Result<()> {
    let words = ["cargo xtask"].iter().chain(arguments);
    crate::run(crate::Xtask::try_parse_from(words)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(outcome: Outcome) -> Row {
        Row { name: "step", outcome, time: Duration::from_secs(1) }
    }

    #[test]
    fn a_failed_step_fails_the_command() {
        let rows = [row(Outcome::Passed("")), row(Outcome::Failed("why".to_owned()))];
        let fault = summarize(&rows, Duration::ZERO, true).unwrap_err().to_string();
        assert_eq!(fault, "1 of 2 steps failed");
    }

    #[test]
    fn a_skipped_step_fails_the_command_unless_that_was_asked_for() {
        let rows = [row(Outcome::Passed("")), row(Outcome::Skipped)];
        assert!(summarize(&rows, Duration::ZERO, false).is_err());
        assert!(summarize(&rows, Duration::ZERO, true).is_ok());
    }

    #[test]
    fn a_step_that_is_not_possible_here_is_shown_with_what_is_missing_and_fails_nothing() {
        let rows = [row(Outcome::Passed("")), row(Outcome::Absent("no nightly".to_owned()))];
        assert!(summarize(&rows, Duration::ZERO, false).is_ok());
        assert_eq!(rows[1].line(), "absent   0:01.0 min  step (no nightly)");
    }

    #[test]
    fn times_are_shown_as_minutes_and_seconds() {
        assert_eq!(shown(Duration::from_millis(61_500)), "1:01.5 min");
    }
}
