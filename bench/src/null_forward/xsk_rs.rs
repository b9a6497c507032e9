//! The null forwarder over the sockets of `xsk-rs`: the same turns as with our own.

use std::os::fd::BorrowedFd;

use super::joint::{Counts, Joint, Kernel};
use super::{Args, Mode, Port};
use crate::sys::xsk_rs::{Forwarded, Frames, Pair, Shape};

/// Most frames of a turn; the gateway's batch.
const BATCH_FRAMES: usize = 64;

/// One worker's queues, of the first and the second interface, with a frame memory of their own.
pub(super) struct Worker {
    pair: Pair,
    frames: Frames,
    counts: [Counts; 2],
}

/// Opens every worker's two queues.
pub(super) fn open(args: &Args, ports: &[Port; 2]) -> anyhow::Result<Vec<Worker>> {
    let shape = Shape {
        ring: args.ring,
        chunk_bytes: args.chunk_bytes,
        zero_copy: match args.mode {
            Mode::Auto => None,
            Mode::ZeroCopy => Some(true),
            Mode::Copy => Some(false),
        },
    };
    let names = [ports[0].name.as_str(), ports[1].name.as_str()];
    let open = |queue| {
        let (pair, frames) = Pair::open(names, queue, &shape, BATCH_FRAMES)?;
        Ok(Worker { pair, frames, counts: [Counts::default(); 2] })
    };
    (0..args.workers).map(open).collect()
}

impl Joint for Worker {
    fn turn(&mut self) -> usize {
        (0..2)
            .map(|from| {
                let Forwarded { received, sent } = self.pair.forward(from, &mut self.frames);
                let counts = &mut self.counts[from];
                counts.frames += sent as u64;
                counts.tx_ring_full_frames += (received - sent) as u64;
                received
            })
            .sum()
    }

    fn under_way(&self) -> u64 {
        self.pair.under_way()
    }

    fn wake_drivers(&mut self) {
        self.pair.wake_drivers();
    }

    fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        self.pair.sockets()
    }

    fn counts(&self) -> [Counts; 2] {
        self.counts
    }

    fn kernel(&self, side: usize) -> anyhow::Result<Kernel> {
        let counted = self.pair.statistics(side)?;
        Ok(Kernel {
            is_zero_copy: self.pair.is_zero_copy(side)?,
            rx_ring_full_frames: counted.rx_ring_full(),
            rx_dropped_frames: counted.rx_dropped(),
        })
    }

    fn close(self) {}
}
