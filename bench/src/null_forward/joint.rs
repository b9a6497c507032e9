//! Two queues joined by one worker, whosever sockets they are; and the workers' loop.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use dataplane::worker::Waits;

use crate::generate::pin;
use crate::stop::Stop;

/// Turns between two looks at the clock.
const TURNS_PER_LOOK: u32 = 1024;

/// Longest sleep while nothing is under way; bounds how late a worker sees that it is time to stop.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// Longest sleep while frames wait for transmission or completion, as in the gateway.
const TX_SLEEP: Duration = Duration::from_millis(1);

/// What a worker did with the frames of one queue.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) frames: u64,
    pub(super) tx_ring_full_frames: u64,
    /// Of `frames`, those that were redirected to the driver.
    pub(super) redirected_frames: u64,
    /// Frames that the kernel took and did not give to the driver.
    pub(super) tx_lost_frames: u64,
}

/// What the kernel tells of one queue.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kernel {
    pub(super) is_zero_copy: bool,
    pub(super) rx_ring_full_frames: u64,
    pub(super) rx_dropped_frames: u64,
}

/// One worker's queues, of the first and the second interface.
pub(super) trait Joint: Send {
    /// Forwards one batch each way and keeps the rings full. Returns the number of frames received.
    fn turn(&mut self) -> usize;

    /// Frames that the kernel has and has not sent.
    fn under_way(&self) -> u64;

    /// Wakes drivers that ask for it and have something to do, as the gateway does before it sleeps.
    fn wake_drivers(&mut self);

    /// The two sockets.
    fn sockets(&self) -> [BorrowedFd<'_>; 2];

    /// What became of the frames of both.
    fn counts(&self) -> [Counts; 2];

    /// What the kernel tells of one of the two.
    fn kernel(&self, side: usize) -> anyhow::Result<Kernel>;

    /// Closes both.
    fn close(self);
}

/// Runs every worker on a thread of its own; returns for how long.
pub(super) fn forward_all(
    workers: &mut [impl Joint],
    stop: &Stop,
    cpu: Option<usize>,
    idle_rounds: Option<u32>,
) -> anyhow::Result<Duration> {
    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = workers
            .iter_mut()
            .enumerate()
            .map(|(index, worker)| {
                scope.spawn(move || {
                    if let Some(cpu) = cpu {
                        pin(cpu + index)?;
                    }
                    forward(worker, stop, idle_rounds)
                })
            })
            .collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a worker panicked"))?)
    })?;
    Ok(start.elapsed())
}

/// Forwards until it is time to stop.
fn forward(worker: &mut impl Joint, stop: &Stop, idle_rounds: Option<u32>) -> anyhow::Result<()> {
    let mut waits = Waits::new().context("make what a worker waits on")?;
    worker.sockets().into_iter().for_each(|socket| waits.add(socket));
    let idle_rounds = idle_rounds.unwrap_or(u32::MAX);
    let mut idle = 0;
    while !stop.is_due() {
        for _ in 0..TURNS_PER_LOOK {
            if worker.turn() > 0 {
                idle = 0;
            } else if idle < idle_rounds {
                idle = idle.saturating_add(1);
            } else if idle_rounds < u32::MAX {
                sleep(worker, &waits);
                // Asleep for a moment or for long: the clock tells.
                break;
            }
        }
    }
    Ok(())
}

/// Waits for a frame or a completion, in the gateway's own way.
fn sleep(worker: &mut impl Joint, waits: &Waits) {
    let pause = if worker.under_way() == 0 { LONGEST_SLEEP } else { TX_SLEEP };
    worker.wake_drivers();
    waits.wait(pause);
}
