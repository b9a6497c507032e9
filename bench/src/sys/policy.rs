//! The scheduling policy of a thread.

use std::io;

/// Lets this thread run only when no thread of another policy wants the CPU, and give way at once when one does: `SCHED_IDLE`.
///
/// # Errors
/// The kernel refuses.
pub fn run_when_idle() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: `sched_setscheduler` reads one `sched_param` and writes nothing; `parameters` is one and lives until it returns. Thread 0 is
    // the caller.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_the_policy_afterwards() {
        std::thread::spawn(|| {
            run_when_idle().expect("everybody may");
            let stat = std::fs::read_to_string("/proc/thread-self/stat").expect("a thread has one");
            // Field 41, the 39th behind the name: the policy; 5 is SCHED_IDLE.
            let policy = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(38));
            assert_eq!(policy, Some("5"), "{stat}");
        })
        .join()
        .expect("no panic");
    }
}
