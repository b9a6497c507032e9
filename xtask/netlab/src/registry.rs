//! The living labs of this process, and the thread that removes them on a signal.

use std::io::{self, Write as _};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::process::guard;
use crate::state::Shared;

/// Labs that have to go when the process is told to.
static LIVING: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

/// What has to be put back, besides labs, when the process is told to end.
static PUT_BACK: Mutex<Vec<fn()>> = Mutex::new(Vec::new());

/// Set by the first signal.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// The result of starting the signal thread: once per process.
static WATCH: OnceLock<Result<(), String>> = OnceLock::new();

/// Whether a signal has told this process to end; its labs are being removed by then.
#[must_use]
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Remembers a lab, and starts to watch for signals with the first one.
pub(crate) fn register(lab: &Arc<Shared>) -> Result<()> {
    watch()?;
    let mut living = guard(&LIVING);
    living.retain(|other| other.strong_count() > 0);
    living.push(Arc::downgrade(lab));
    Ok(())
}

/// Has `action` carried out on a signal, after all labs are gone: the process ends then without running any destructor.
///
/// # Errors
/// Signals cannot be watched for.
pub fn on_interruption(action: fn()) -> Result<()> {
    guard(&PUT_BACK).push(action);
    watch()
}

/// Watches for signals from now on.
fn watch() -> Result<()> {
    let watch = WATCH.get_or_init(|| watch_signals().map_err(|fault| format!("{fault:#}")));
    watch.as_ref().map_err(|fault| anyhow!("{fault}")).copied()
}

/// Starts the thread that waits for SIGINT, SIGTERM or SIGHUP.
fn watch_signals() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("registering for signals")?;
    let body = move || {
        if let Some(signal) = signals.forever().next() {
            leave(signal);
        }
    };
    thread::Builder::new().name("lab-signals".into()).spawn(body).context("starting the signal thread")?;
    Ok(())
}

/// Removes every living lab, then ends the process as a shell would report that signal.
fn leave(signal: i32) {
    INTERRUPTED.store(true, Ordering::SeqCst);
    let living: Vec<_> = guard(&LIVING).iter().filter_map(Weak::upgrade).collect();
    if !living.is_empty() {
        tell("\ninterrupted: removing the namespaces and processes of the lab");
    }
    for lab in living {
        lab.tear_down();
    }
    guard(&PUT_BACK).iter().for_each(|action| action());
    process::exit(128 + signal);
}

/// Writes a line to standard error if anybody still reads it.
///
/// `eprintln!` panics when nobody does, as after a terminal is closed: the rest of the clean-up would not happen.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Keeps the calling thread from going on while the signal thread ends the process.
pub(crate) fn halt_when_interrupted() {
    while interrupted() {
        thread::park();
    }
}
