//! The null forwarder that receives by the gateway's own AF_XDP sockets and sends without them: as live XDP frames.
//!
//! A call that sends costs as much as many frames do, so a turn with few frames sends them by the sockets. Both ways end in
//! the driver before they return, so no frame overtakes another, as long as the sockets' TX rings have been emptied.

use std::os::fd::BorrowedFd;

use xsk::FrameBatch;

use super::joint::{Counts, Joint, Kernel};
use super::{Args, own};
use crate::port::Port;
use crate::sys::live_frames::Transmitter;

/// One worker's queues, of the first and the second interface.
pub(super) struct Worker {
    sockets: own::Worker,
    transmitter: Transmitter,
    /// Where frames of the first and the second interface leave.
    targets: [u32; 2],
    /// What came in by each of the two.
    batches: [FrameBatch; 2],
    /// The fewest frames of a turn that are sent without the sockets.
    fewest: usize,
}

/// Opens every worker's two queues; each worker gets one of the transmitters.
pub(super) fn open(
    args: &Args,
    ports: &[Port; 2],
    transmitters: Vec<Transmitter>,
) -> anyhow::Result<Vec<Worker>> {
    let targets = [ports[1].ifindex, ports[0].ifindex];
    let worker = |(sockets, transmitter)| Worker {
        sockets,
        transmitter,
        targets,
        batches: [FrameBatch::new(), FrameBatch::new()],
        fewest: args.live_from,
    };
    Ok(own::open(args, ports)?.into_iter().zip(transmitters).map(worker).collect())
}

impl Joint for Worker {
    fn turn(&mut self) -> usize {
        let Self { sockets, batches, .. } = self;
        let received: usize = sockets
            .queues
            .iter_mut()
            .zip(batches)
            .map(|(queue, batch)| queue.receive(&mut sockets.cache, batch))
            .sum();
        if received >= self.fewest.max(1) && self.under_way() == 0 {
            self.redirect();
        } else {
            self.transmit();
        }
        self.sockets.renew();
        received
    }

    fn under_way(&self) -> u64 {
        self.sockets.under_way()
    }

    fn wake_drivers(&mut self) {
        self.sockets.wake_drivers();
    }

    fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        self.sockets.sockets()
    }

    fn counts(&self) -> [Counts; 2] {
        self.sockets.counts()
    }

    fn kernel(&self, side: usize) -> anyhow::Result<Kernel> {
        self.sockets.kernel(side)
    }

    fn close(self) {
        self.sockets.close();
    }
}

impl Worker {
    /// Sends all frames of a turn in one call.
    fn redirect(&mut self) {
        let Self { sockets: own::Worker { cache, counts, .. }, transmitter, targets, batches, .. } = self;
        let lens = batches.each_ref().map(|batch| batch.len());
        for (batch, target) in batches.iter_mut().zip(targets) {
            for frame in batch.drain(..) {
                let has_place = transmitter.push(*target, frame.linear().unwrap_or_default());
                debug_assert!(has_place, "two batches have places");
                cache.give_frame(frame);
            }
        }
        // What it leaves unsent is counted below.
        let _ = transmitter.send();
        let mut places = 0..;
        for (counts, len) in counts.iter_mut().zip(lens) {
            for place in places.by_ref().take(len) {
                let sent = u64::from(transmitter.is_sent(place));
                counts.frames += sent;
                counts.redirected_frames += sent;
                counts.tx_lost_frames += 1 - sent;
            }
        }
    }

    /// Sends all frames of a turn by the sockets.
    fn transmit(&mut self) {
        let Self { sockets, batches: [first, second], .. } = self;
        sockets.transmit(0, first);
        sockets.transmit(1, second);
    }
}
