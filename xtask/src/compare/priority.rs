//! Priority: other work on the machine is held back while it is measured.
//!
//! Programs started from here inherit the highest priority that is not real-time: a polling worker takes a whole CPU, and
//! real-time threads that do are held up by the kernel for 50 ms of every second. Where the kernel groups processes by session
//! (`sched_autogroup`), priorities count within a session only, so the session's is raised as well, and put back at the end and on a
//! signal.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::Result;
use rustix::process::{getpriority_process, setpriority_process};

/// The highest priority.
const HIGHEST: i32 = -20;

/// Where a process finds the priority of its session: `/autogroup-95 nice 0`.
const SESSION: &str = "/proc/self/autogroup";

/// The session's priority when this process first raised it.
static BEFORE: OnceLock<Option<i32>> = OnceLock::new();

/// Raised priorities. Dropping it puts back what was before.
#[derive(Debug)]
pub(super) struct Raised {
    own: Option<i32>,
}

impl Raised {
    /// Raises the priorities; what the kernel refuses stays as it is.
    ///
    /// # Errors
    /// Signals cannot be watched for.
    pub(super) fn here() -> Result<Self> {
        let own = getpriority_process(None).ok();
        let before =
            BEFORE.get_or_init(|| session_priority(&fs::read_to_string(SESSION).unwrap_or_default()));
        netlab::on_interruption(put_session_back)?;
        let _ = setpriority_process(None, HIGHEST);
        set_session(before.map(|_| HIGHEST));
        Ok(Self { own })
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        put_session_back();
        if let Some(own) = self.own {
            let _ = setpriority_process(None, own);
        }
    }
}

/// Gives the session the priority that it had.
fn put_session_back() {
    set_session(BEFORE.get().copied().flatten());
}

/// Writes the priority of the session, if there is one to write.
fn set_session(priority: Option<i32>) {
    if let Some(priority) = priority.filter(|_| Path::new(SESSION).exists()) {
        let _ = fs::write(SESSION, priority.to_string());
    }
}

/// The number at the end.
fn session_priority(text: &str) -> Option<i32> {
    text.trim().rsplit_once(" nice ")?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sessions_priority_is_read() {
        assert_eq!(session_priority("/autogroup-95 nice -3\n"), Some(-3));
        assert_eq!(session_priority(""), None);
    }
}
