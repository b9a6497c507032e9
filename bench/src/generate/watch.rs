//! The thread that ends the generator's system call.
//!
//! The call runs until all its frames are sent or its thread has a signal pending. A signal that comes
//! before the call has begun is lost on it, so the watch repeats its signal until the caller is done.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::anyhow;
use rustix::process::{Signal, getpid, kill_process};

use super::program::Completion;
use crate::stop::Stop;

/// How often the end is looked for.
const INTERVAL: Duration = Duration::from_millis(10);

/// The running watch.
pub(super) struct Watch {
    over: Arc<AtomicBool>,
    finished: Arc<AtomicBool>,
    thread: JoinHandle<anyhow::Result<()>>,
}

impl Watch {
    /// Starts to look for a stop and for the last frame. Signals go to the process: the kernel gives
    /// them to its main thread, which therefore has to be the one that sends.
    pub(super) fn start(stop: Stop, completion: Completion) -> io::Result<Self> {
        let alarm = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal_hook::consts::SIGALRM, alarm)?;
        let over = Arc::new(AtomicBool::new(false));
        let finished = Arc::new(AtomicBool::new(false));
        let (tell, told) = (Arc::clone(&over), Arc::clone(&finished));
        let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(move || {
            while !told.load(Ordering::Acquire) {
                let complete = completion.is_reached();
                // A map that cannot be read ends the run too, lest nobody ends it.
                if stop.is_due() || !matches!(complete, Ok(false)) {
                    tell.store(true, Ordering::Release);
                    kill_process(getpid(), Signal::ALARM)?;
                }
                complete?;
                std::thread::sleep(INTERVAL);
            }
            Ok(())
        })?;
        Ok(Self { over, finished, thread })
    }

    /// Whether the end was seen.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Ends the watch, and returns what went wrong in it.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        self.finished.store(true, Ordering::Release);
        self.thread.join().map_err(|_| anyhow!("the watch thread panicked"))?
    }
}
