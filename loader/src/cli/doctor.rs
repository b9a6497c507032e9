//! `doctor`: prints what was examined; with `--apply` makes the changes, waits, and undoes them.
//!
//! The report goes to standard output, what is changed and undone to standard error.

use std::ffi::OsString;
use std::process::{ExitCode, ExitStatus};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::args::DoctorArgs;
use super::exit::Exit;
use super::output;
use super::table::{self, Align, Column};
use crate::doctor::{Applied, Change, Examination, Outcome, Row, Tree, Verdict, examine};
use crate::netlink::{Network, NetworkOptions, View};
use crate::supervisor::Endings;

/// How often changes are looked for: one change may make another possible, as more queues do for interrupts.
const ROUNDS: usize = 2;

/// Looks; fails when something stands in the way, or with `--apply` when something could not be changed, undone or run.
pub(super) fn doctor(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the main thread's runtime")?;
    let is_good = runtime.block_on(async {
        let network =
            Network::open(NetworkOptions::default()).await.context("read this host's interfaces")?;
        let view = network.view();
        drop(network);
        if args.apply { apply(args, &view).await } else { look(args, &view) }
    })?;
    Ok(if is_good { Exit::Done } else { Exit::Failed }.into())
}

/// Prints the report; whether nothing stands in the way.
fn look(args: &DoctorArgs, view: &View) -> anyhow::Result<bool> {
    let examination = examine(&args.ports, view, &Tree::of_this_machine())?;
    if args.json {
        output::json(&examination)?;
    } else {
        output::text(&report(&examination))?;
    }
    Ok(examination.is_free())
}

/// Changes, waits, undoes; whether all of that went well.
async fn apply(args: &DoctorArgs, view: &View) -> anyhow::Result<bool> {
    // Handlers come first: from here on a signal ends this in order, with everything undone.
    let mut endings = Endings::listen()?;
    if args.command.is_empty() {
        look(args, view)?;
    }
    let mut applied = Applied::default();
    let outcome = work(args, view, &mut applied, &mut endings).await;
    let undone = applied.undo();
    undone.iter().for_each(say);
    Ok(outcome? && !undone.iter().any(Outcome::is_failure))
}

/// Changes and waits; whether all of that went well.
async fn work(
    args: &DoctorArgs,
    view: &View,
    applied: &mut Applied,
    endings: &mut Endings,
) -> anyhow::Result<bool> {
    let is_changed = change(args, view, applied)?;
    if let [program, arguments @ ..] = args.command.as_slice() {
        let status = run(program, arguments, endings).await?;
        if !status.success() {
            output::note(&format!("{} ended with {status}\n", program.display()));
        }
        return Ok(is_changed && status.success());
    }
    if applied.is_empty() {
        output::note("nothing was changed\n");
    } else {
        output::note("until Ctrl-C or SIGTERM\n");
        endings.wait().await;
    }
    Ok(is_changed)
}

/// Makes the changes of all rows, each once; whether none was refused.
fn change(args: &DoctorArgs, view: &View, applied: &mut Applied) -> anyhow::Result<bool> {
    let mut tried: Vec<Change> = Vec::new();
    let mut is_changed = true;
    for _ in 0..ROUNDS {
        let examination = examine(&args.ports, view, &Tree::of_this_machine())?;
        for change in examination.rows().flat_map(|row| &row.changes) {
            if !tried.contains(change) {
                tried.push(change.clone());
                let outcome = applied.make(change);
                say(&outcome);
                is_changed &= !outcome.is_failure();
            }
        }
    }
    Ok(is_changed)
}

/// Runs a program to its end; a signal to this process ends it.
async fn run(
    program: &OsString,
    arguments: &[OsString],
    endings: &mut Endings,
) -> anyhow::Result<ExitStatus> {
    let failed = || format!("run {}", program.display());
    let mut child = Command::new(program).args(arguments).spawn().with_context(failed)?;
    loop {
        tokio::select! {
            status = child.wait() => return status.with_context(failed),
            () = endings.wait() => end(&child),
        }
    }
}

/// Asks a program to end.
fn end(child: &Child) {
    let pid = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed()));
    if let Some(pid) = pid {
        // It may have ended meanwhile, which is what is wanted.
        let _ = kill_process(pid, Signal::TERM);
    }
}

fn say(outcome: &Outcome) {
    output::note(&format!("{outcome}\n"));
}

const COLUMNS: [Column; 3] = [("THING", Align::Left), ("VERDICT", Align::Left), ("FOUND", Align::Left)];

/// The report as text: a table of the machine and of each interface, with what there is to say below.
fn report(examination: &Examination) -> String {
    let mut text = section("machine", &examination.machine);
    for (name, rows) in &examination.ports {
        text.push('\n');
        text.push_str(&section(name, rows));
    }
    if examination.rows().any(|row| !row.changes.is_empty()) {
        text.push_str(
            "\n`spanwire doctor --apply PORT...` makes the changes marked with # on the machine and the named ports, and undoes them at its \
             end; `-- COMMAND` runs a program meanwhile.\n",
        );
    }
    text
}

fn section(name: &str, rows: &[Row]) -> String {
    let cells: Vec<_> =
        rows.iter().map(|row| [row.thing.to_owned(), row.verdict.to_string(), row.found.clone()]).collect();
    let notes: String =
        rows.iter().filter(|row| row.verdict != Verdict::Ok || !row.why.is_empty()).map(note).collect();
    format!("== {name}\n{}{notes}", table::render(&COLUMNS, &cells))
}

/// What there is to say about a row, and its command, a line for each change.
fn note(row: &Row) -> String {
    let mut text = match (row.why.as_str(), &row.command) {
        ("", None) => return String::new(),
        ("", Some(_)) => format!("- {}:\n", row.thing),
        (why, _) => format!("- {}: {why}\n", row.thing),
    };
    let commands: Vec<String> = match (&row.command, row.changes.as_slice()) {
        (Some(command), []) => vec![format!("    {command}\n")],
        (_, changes) => changes.iter().map(|change| format!("  # {}\n", change.command())).collect(),
    };
    text.extend(commands);
    text
}
