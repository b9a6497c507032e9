//! Pins the calling thread to a CPU.

use core_affinity::CoreId;
use rustix::thread::CpuSet;

/// The thread could not be bound to the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "bind worker thread to cpu {cpu}: the kernel refused; is the cpu online, and in the cpuset of this process's control group (`cpuset.cpus.effective`)?"
)]
pub struct PinError {
    /// The CPU asked for.
    pub cpu: usize,
}

/// Binds the calling thread to `cpu` (the kernel's number).
///
/// # Errors
/// When the CPU does not exist, is offline, or is outside the process's cpuset. Outside of its affinity is no error: CPUs that the kernel keeps
/// free (`isolcpus`) are.
pub fn pin(cpu: usize) -> Result<(), PinError> {
    // The library panics on a number beyond its CPU set.
    if cpu < CpuSet::MAX_CPU && core_affinity::set_for_current(CoreId { id: cpu }) {
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
    fn a_thread_can_be_pinned_to_any_cpu_that_there_is_and_to_no_other() {
        let cpus = allowed_cpus();
        std::thread::spawn(move || {
            // From the second on a CPU is outside of the thread's affinity.
            for cpu in cpus {
                assert_eq!(pin(cpu), Ok(()));
                assert_eq!(allowed_cpus(), [cpu]);
            }
            for missing in [CpuSet::MAX_CPU - 1, CpuSet::MAX_CPU, 100_000] {
                assert_eq!(pin(missing), Err(PinError { cpu: missing }));
            }
        })
        .join()
        .unwrap();
    }
}
