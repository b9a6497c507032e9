//! Reports: what generator and sink write when they end, as far as it is looked at.

use serde::{Deserialize, Serialize};

/// What the machine did while frames were sent; the generator's report has the same words.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Usage {
    pub(super) seconds: f64,
    pub(super) frames: u64,
    pub(super) cpus: u32,
    pub(super) busy_ns: f64,
    pub(super) waited_ns: f64,
    pub(super) others_ns: f64,
    pub(super) stolen_ns: f64,
}

/// How long after they were due frames came; the sink's report has the same words.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Latency {
    pub(super) frames: u64,
    pub(super) min_ns: u64,
    pub(super) p50_ns: u64,
    pub(super) p90_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) p999_ns: u64,
    pub(super) max_ns: u64,
    pub(super) curve: Vec<(f64, u64)>,
}

/// What the generator reports.
#[derive(Debug, Deserialize)]
pub(super) struct Generated {
    pub(super) frames: u64,
    pub(super) frames_per_s: f64,
    pub(super) usage: Option<Usage>,
}

/// What the sink reports.
#[derive(Debug, Deserialize)]
pub(super) struct Sunk {
    pub(super) frames: u64,
    pub(super) duplicate_frames: u64,
    pub(super) latency: Option<Latency>,
}

impl Usage {
    /// Time of the machine that went into the frames: what was busy, but for waiting, for other processes and for what a
    /// hypervisor took. Units: ns.
    pub(super) fn work_ns(&self) -> f64 {
        self.busy_ns - self.waited_ns - self.others_ns - self.stolen_ns
    }

    /// CPUs that other processes had meanwhile.
    pub(super) fn others_cpus(&self) -> f64 {
        self.others_ns / 1e9 / self.seconds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_and_what_others_did_is_no_work() {
        let usage = Usage {
            seconds: 2.0,
            frames: 1000,
            cpus: 2,
            busy_ns: 3e9,
            waited_ns: 1.5e9,
            others_ns: 0.4e9,
            stolen_ns: 0.1e9,
        };
        assert!((usage.work_ns() - 1e9).abs() < 1e-3);
        assert!((usage.others_cpus() - 0.2).abs() < 1e-9);
    }
}
