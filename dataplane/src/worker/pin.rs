//! Pins the calling thread to a CPU.

use core_affinity::CoreId;

/// The thread could not be bound to the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "bind worker thread to cpu {cpu}: the kernel refused; is the cpu online and allowed for this process (`taskset -p PID`)?"
)]
pub struct PinError {
    /// The CPU asked for.
    pub cpu: usize,
}

/// Binds the calling thread to `cpu` (the kernel's number).
///
/// # Errors
/// When the CPU does not exist, is offline, or is outside the process's cpuset.
pub fn pin(cpu: usize) -> Result<(), PinError> {
    // Asked first: the library panics on a number beyond the kernel's CPU set.
    let is_allowed = allowed_cpus().contains(&cpu);
    if is_allowed && core_affinity::set_for_current(CoreId { id: cpu }) {
        Ok(())
    } else {
        Err(PinError { cpu })
    }
}

/// CPUs this process may run on, ascending.
#[must_use]
pub fn allowed_cpus() -> Vec<usize> {
    let mut cpus: Vec<usize> =
        core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
    cpus.sort_unstable();
    cpus
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_can_be_pinned_to_an_allowed_cpu_and_to_no_other() {
        let first = allowed_cpus()[0];
        std::thread::spawn(move || {
            assert_eq!(pin(first), Ok(()));
            assert_eq!(allowed_cpus(), [first]);
            assert_eq!(pin(100_000), Err(PinError { cpu: 100_000 }));
        })
        .join()
        .unwrap();
    }
}
