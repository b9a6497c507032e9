//! The thread that ends the generator's system call, and measures the machine while it runs.
//!
//! The call runs until all its frames are sent or its thread has a signal pending. A signal that comes
//! before the call has begun is lost on it, so the watch repeats its signal until the caller is done.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use rustix::process::{Signal, getpid, kill_process};

use super::program::{Completion, Progress};
use super::usage::{Usage, Window};
use crate::stop::Stop;

/// How often the end is looked for.
const INTERVAL: Duration = Duration::from_millis(10);

/// The running watch.
pub(super) struct Watch {
    over: Arc<AtomicBool>,
    finished: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<Option<Usage>>>,
}

impl Watch {
    /// Starts to look for a stop and for the last frame. With a `warm_up`, measures the machine from that long after the
    /// first frame to the end. Signals go to the process: the kernel gives them to its main thread, which therefore
    /// has to be the one that sends.
    pub(super) fn start(stop: Stop, completion: Completion, warm_up: Option<Duration>) -> io::Result<Self> {
        let alarm = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGALRM, alarm)?;
        let over = Arc::new(AtomicBool::new(false));
        let finished = Arc::new(AtomicBool::new(false));
        let (tell, told) = (Arc::clone(&over), Arc::clone(&finished));
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
            let mut meter = Meter { warm_up, first: None, window: None, usage: None };
            while !told.load(Ordering::Acquire) {
                let progress = completion.progress();
                let is_complete = progress.as_ref().map_or(true, |now| completion.is_reached(now));
                // A map that cannot be read ends the run too, lest nobody ends it.
                if stop.is_due() || is_complete {
                    meter.finish(&completion)?;
                    tell.store(true, Ordering::Release);
                    kill_process(getpid(), Signal::ALARM)?;
                }
                meter.look(&progress?, &completion)?;
                std::thread::sleep(INTERVAL);
            }
            Ok(meter.usage)
        })?;
        Ok(Self { over, finished, thread })
    }

    /// Whether the end was seen.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Ends the watch, and returns what it measured, or what went wrong in it.
    pub(super) fn finish(self) -> anyhow::Result<Option<Usage>> {
        self.finished.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the watch thread panicked"))?
    }
}

/// Measures the machine, once, if it is asked to.
struct Meter {
    warm_up: Option<Duration>,
    /// When the first frame had been sent.
    first: Option<Instant>,
    window: Option<Window>,
    usage: Option<Usage>,
}

impl Meter {
    /// Begins to measure when the warm-up is over.
    fn look(&mut self, progress: &Progress, completion: &Completion) -> anyhow::Result<()> {
        let Some(warm_up) = self.warm_up else { return Ok(()) };
        if self.first.is_none() && progress.frames > 0 {
            self.first = Some(Instant::now());
        }
        if self.window.is_none() && self.first.is_some_and(|first| first.elapsed() >= warm_up) {
            self.window = Some(Window::open(completion)?);
        }
        Ok(())
    }

    /// Ends the measurement, if it has begun and has not ended.
    fn finish(&mut self, completion: &Completion) -> anyhow::Result<()> {
        if let (Some(window), None) = (&self.window, &self.usage) {
            self.usage = Some(window.close(completion)?);
        }
        Ok(())
    }
}
