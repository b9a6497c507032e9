//! `usage`: CPU time of this machine over a time; for gateways on machines of their own.
//!
//! Beside a generator that tells its rate, it gives the CPU time per frame of the gateway that it runs on.

use std::time::Duration;

use netlab::cpu::Reading;
use serde::Serialize;

use crate::stop;

/// How long to look.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Seconds.
    #[arg(long, value_parser = stop::parse_seconds, default_value = "1")]
    duration: Duration,
}

/// What the machine did.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// For how long it was looked at.
    pub seconds: f64,
    /// CPUs of the machine.
    pub cpus: u32,
    /// Time in which CPUs were not idle, softirqs included, all together.
    pub busy_ns: f64,
    /// Time of that in which a hypervisor ran something else; in steps of a clock tick.
    pub stolen_ns: u64,
}

/// Looks at the machine for a while.
///
/// # Errors
/// The kernel does not tell.
pub fn run(args: &Args) -> anyhow::Result<Report> {
    let before = Reading::take()?;
    std::thread::sleep(args.duration);
    let after = Reading::take()?;
    Ok(Report {
        seconds: before.wall(&after).as_secs_f64(),
        cpus: after.cpus(),
        busy_ns: before.busy_ns(&after),
        stolen_ns: before.stolen_ns(&after),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_busy_for_some_of_the_time_and_never_for_more_than_all_of_it() {
        let report = run(&Args { duration: Duration::from_millis(50) }).expect("readings");
        assert!(report.seconds >= 0.05 && report.cpus > 0, "{report:?}");
        let all_ns = report.seconds * 1e9 * f64::from(report.cpus);
        assert!(report.busy_ns > 0.0 && report.busy_ns <= all_ns * 1.2, "{report:?}");
    }
}
