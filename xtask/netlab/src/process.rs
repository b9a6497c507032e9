//! Processes of a lab: a child with a log file, ended by its id.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

/// Time that a process has between SIGTERM and SIGKILL.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// Time between two looks at a process that should end.
const PERIOD: Duration = Duration::from_millis(10);

/// A process that runs inside a namespace of a lab; its output goes to a log file.
///
/// The lab ends it at the latest when the lab itself goes. Cloning gives another handle to the same process.
#[derive(Debug, Clone)]
pub struct Process {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    log: PathBuf,
    pid: u32,
    child: Mutex<Child>,
    /// Set once somebody asked for its end, so that its absence is no fault.
    dismissed: Mutex<bool>,
}

impl Process {
    /// Takes charge of a started child.
    pub(crate) fn new(name: &str, log: PathBuf, child: Child) -> Self {
        let inner = Inner {
            name: name.to_owned(),
            log,
            pid: child.id(),
            child: Mutex::new(child),
            dismissed: Mutex::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The name it was started under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.inner.pid
    }

    /// The file that holds its standard output and error.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.inner.log
    }

    /// Everything it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read(&self.inner.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The last `count` lines it wrote.
    #[must_use]
    pub fn log_tail(&self, count: usize) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }

    /// How it ended, or `None` while it runs.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn exit_status(&self) -> Result<Option<ExitStatus>> {
        self.child().try_wait().with_context(|| format!("asking for the state of {}", self.name()))
    }

    /// Whether it still runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.exit_status(), Ok(None))
    }

    /// Whether it ended although nobody asked it to.
    pub(crate) fn ended_unasked(&self) -> bool {
        !*guard(&self.inner.dismissed) && !self.is_running()
    }

    /// Sends a signal; nothing happens when the process has ended.
    pub fn signal(&self, signal: Signal) {
        // The lock is held over the call: a child is not reaped meanwhile, so its id cannot be another's.
        let mut child = self.child();
        if let (Ok(None), Some(pid)) = (child.try_wait(), Pid::from_raw(self.inner.pid.cast_signed())) {
            // It may have ended since; then there is nothing to signal.
            let _ = kill_process(pid, signal);
        }
    }

    /// Asks the process to end (SIGTERM), insists after a while (SIGKILL), and returns how it ended.
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn terminate(&self) -> Result<ExitStatus> {
        self.dismiss();
        self.await_end(GRACE)
    }

    /// Ends the process at once (SIGKILL).
    ///
    /// # Errors
    /// The process cannot be waited for.
    pub fn kill(&self) -> Result<ExitStatus> {
        *guard(&self.inner.dismissed) = true;
        self.signal(Signal::KILL);
        self.await_end(GRACE)
    }

    /// Waits for an end that the process comes to by itself, at most for `deadline`.
    ///
    /// # Errors
    /// It still runs at the deadline; it is left running.
    pub fn wait(&self, deadline: Duration) -> Result<ExitStatus> {
        *guard(&self.inner.dismissed) = true;
        let start = Instant::now();
        while start.elapsed() < deadline {
            if let Some(status) = self.exit_status()? {
                return Ok(status);
            }
            thread::sleep(PERIOD);
        }
        *guard(&self.inner.dismissed) = false;
        anyhow::bail!("{} still runs after {:.1} s", self.name(), deadline.as_secs_f64())
    }

    /// Asks the process to end, without waiting for it.
    pub(crate) fn dismiss(&self) {
        *guard(&self.inner.dismissed) = true;
        self.signal(Signal::TERM);
    }

    /// Waits for the end of a dismissed process; kills it when `grace` has passed.
    pub(crate) fn await_end(&self, grace: Duration) -> Result<ExitStatus> {
        match self.wait(grace) {
            Ok(status) => Ok(status),
            Err(_) => {
                *guard(&self.inner.dismissed) = true;
                self.signal(Signal::KILL);
                self.child().wait().with_context(|| format!("waiting for the end of {}", self.name()))
            }
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        guard(&self.inner.child)
    }
}

/// Locks; a panic elsewhere does not make the state wrong, as every write is a single assignment.
pub(crate) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;
    use crate::wait_until;

    const SOON: Duration = Duration::from_secs(10);

    /// A shell that runs `script`, with a log file whose name no other test has.
    fn started(name: &str, script: &str) -> Process {
        let log = std::env::temp_dir().join(format!("netlab-{}-{name}.log", std::process::id()));
        let output = File::create(&log).unwrap();
        let child = Command::new("sh").args(["-c", script]).stdout(output).spawn().unwrap();
        Process::new(name, log, child)
    }

    /// Waits for the one word that a script writes when its trap is set.
    fn await_ready(process: &Process) {
        let ready = || if process.log() == "ready\n" { Ok(()) } else { Err(process.log()) };
        wait_until("the trap", SOON, ready).unwrap();
    }

    #[test]
    fn a_process_that_ignores_sigterm_is_killed_after_the_grace_period() {
        let process = started("deaf", "trap '' TERM; echo ready; while :; do sleep 0.05; done");
        await_ready(&process);
        process.dismiss();
        let status = process.await_end(Duration::from_millis(200)).unwrap();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()));
        assert!(!process.is_running());
        fs::remove_file(process.log_path()).unwrap();
    }

    #[test]
    fn a_process_that_heeds_sigterm_is_not_killed() {
        let process = started("tidy", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done");
        await_ready(&process);
        assert_eq!(process.terminate().unwrap().code(), Some(7));
        fs::remove_file(process.log_path()).unwrap();
    }

    #[test]
    fn an_end_that_nobody_asked_for_is_noticed() {
        let process = started("short", "exit 0");
        let ended = || if process.ended_unasked() { Ok(()) } else { Err("not noticed".to_owned()) };
        wait_until("its end", SOON, ended).unwrap();
        fs::remove_file(process.log_path()).unwrap();
        let dismissed = started("long", "exec sleep 60");
        dismissed.terminate().unwrap();
        assert!(!dismissed.ended_unasked());
        fs::remove_file(dismissed.log_path()).unwrap();
    }
}
