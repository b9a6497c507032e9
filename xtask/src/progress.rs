//! Progress on standard error: which step of how many, and how long each took.

use std::time::Instant;

use anyhow::Result;

/// A command's steps, counted and timed.
#[derive(Debug)]
pub(crate) struct Progress {
    total: usize,
    begun: usize,
    start: Instant,
}

impl Progress {
    /// A command of `total` steps.
    pub(crate) fn new(total: usize) -> Self {
        Self { total, begun: 0, start: Instant::now() }
    }

    /// Announces a step, does it, and says how it ended.
    pub(crate) fn step<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.begun += 1;
        eprintln!("[{}/{}] {what}", self.begun, self.total);
        let start = Instant::now();
        let result = work();
        let word = if result.is_ok() { "done" } else { "FAILED" };
        eprintln!(
            "      {word} after {:.1} s ({:.1} s since the start)",
            start.elapsed().as_secs_f64(),
            self.start.elapsed().as_secs_f64()
        );
        result
    }
}
