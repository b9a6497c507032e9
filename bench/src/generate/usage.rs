//! What the whole machine did while frames were sent.
//!
//! A gateway's work is done partly in softirqs, many of them on the generator's own CPU and in its name. So the
//! machine's busy time is read, and what is known not to be work is told beside it: the generator's waiting, the time
//! of processes that are not of the measurement, and what a hypervisor took away.

use netlab::cpu::{self, Reading};
use rustix::process::{Pid, getppid};
use serde::Serialize;

use super::program::{Completion, Progress};

/// What the whole machine did in a part of the time in which frames were sent.
#[derive(Debug, Clone, Serialize)]
pub struct Usage {
    /// Length of that part.
    pub seconds: f64,
    /// Frames sent in it.
    pub frames: u64,
    /// CPUs of the machine.
    pub cpus: u32,
    /// Time in which CPUs were not idle, all together.
    pub busy_ns: f64,
    /// Time of that in which the generator waited for the next frame to become due.
    pub waited_ns: u64,
    /// Time of that taken by processes which are neither this one's parent nor descend from it, nor are the
    /// kernel's; in steps of a clock tick for each.
    pub others_ns: u64,
    /// Time of that in which a hypervisor ran something else; in steps of a clock tick.
    pub stolen_ns: u64,
    /// Time of the schedule that was given up, because the generator was held up for too long.
    pub given_up_ns: u64,
}

/// The start of the part of the time that is measured.
pub(super) struct Window {
    others_ns: u64,
    reading: Reading,
    progress: Progress,
}

impl Window {
    /// Begins to measure.
    pub(super) fn open(completion: &Completion) -> anyhow::Result<Self> {
        // In this order, so that the long look at all processes is not in what it measures.
        let others_ns = others_ns()?;
        Ok(Self { others_ns, reading: Reading::take()?, progress: completion.progress()? })
    }

    /// Ends the measurement.
    pub(super) fn close(&self, completion: &Completion) -> anyhow::Result<Usage> {
        let (reading, progress) = (Reading::take()?, completion.progress()?);
        Ok(Usage {
            seconds: self.reading.wall(&reading).as_secs_f64(),
            frames: progress.frames - self.progress.frames,
            cpus: reading.cpus(),
            busy_ns: self.reading.busy_ns(&reading),
            waited_ns: progress.waited_ns - self.progress.waited_ns,
            others_ns: others_ns()?.saturating_sub(self.others_ns),
            stolen_ns: self.reading.stolen_ns(&reading),
            given_up_ns: progress.given_up_ns - self.progress.given_up_ns,
        })
    }
}

/// CPU time so far of processes that are not of the measurement: those that the parent did not start.
fn others_ns() -> anyhow::Result<u64> {
    cpu::others_ns(getppid().map_or(1, |parent| Pid::as_raw_nonzero(parent).get().cast_unsigned()))
}
