//! The null forwarder over the gateway's own AF_XDP sockets and shared frame memory.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use xsk::{ChunkCache, ChunkPool, FrameBatch, SocketConfig, Umem, UmemConfig, XskQueue};

use super::joint::{Counts, Joint, Kernel};
use super::{Args, Port};

/// Chunks that a worker keeps beside those in its rings.
const CACHE_CHUNKS: usize = 512;

/// One worker's queues, of the first and the second interface.
pub(super) struct Worker {
    pub(super) queues: [XskQueue; 2],
    pub(super) cache: ChunkCache,
    batch: FrameBatch,
    pub(super) counts: [Counts; 2],
}

/// Maps the frame memory and opens every worker's two queues.
pub(super) fn open(args: &Args, ports: &[Port; 2]) -> anyhow::Result<Vec<Worker>> {
    // Per queue: fill and RX ring, TX and completion ring; chunks stand in one of each pair at most.
    let chunk_count = (args.workers * 2 * 4).saturating_mul(args.ring).next_power_of_two();
    let config =
        UmemConfig { chunk_count, chunk_bytes: args.chunk_bytes, headroom_bytes: 0, huge_pages: false };
    let (umem, pool) = Umem::map(&config)?;
    (0..args.workers).map(|queue| Worker::open(umem, &pool, args, ports, queue)).collect()
}

impl Worker {
    /// Opens one queue of both interfaces.
    fn open(
        umem: &'static Umem,
        pool: &Arc<ChunkPool>,
        args: &Args,
        ports: &[Port; 2],
        queue: u32,
    ) -> anyhow::Result<Self> {
        let config = SocketConfig {
            rx_ring: args.ring,
            tx_ring: args.ring,
            fill_ring: args.ring,
            completion_ring: args.ring,
            mode: args.mode.into(),
            ..SocketConfig::default()
        };
        let mut cache = ChunkCache::new(Arc::clone(pool), CACHE_CHUNKS);
        let [first, second] = ports;
        let queues = [
            XskQueue::open(umem, first.ifindex, queue, &config, &mut cache)?,
            XskQueue::open(umem, second.ifindex, queue, &config, &mut cache)?,
        ];
        Ok(Self { queues, cache, batch: FrameBatch::new(), counts: [Counts::default(); 2] })
    }

    /// Writes a batch that came in by one side to the TX ring of the other.
    pub(super) fn transmit(&mut self, from: usize, batch: &mut FrameBatch) {
        transmit(&mut self.queues[1 - from], &mut self.cache, batch, &mut self.counts[from]);
    }

    /// Makes the kernel send what waits, and keeps the rings full.
    pub(super) fn renew(&mut self) {
        for queue in &mut self.queues {
            queue.flush();
            queue.reap(&mut self.cache);
            queue.refill(&mut self.cache);
        }
    }
}

impl Joint for Worker {
    fn turn(&mut self) -> usize {
        let Self { queues: [first, second], cache, batch, counts: [forth, back] } = self;
        one_way(first, second, cache, batch, forth) + one_way(second, first, cache, batch, back)
    }

    fn under_way(&self) -> u64 {
        self.queues.iter().map(|queue| u64::from(queue.held().tx)).sum()
    }

    fn wake_drivers(&mut self) {
        self.queues.iter_mut().for_each(XskQueue::wake_before_sleep);
    }

    fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        self.queues.each_ref().map(|queue| queue.as_fd())
    }

    fn counts(&self) -> [Counts; 2] {
        [0, 1].map(|from| {
            let counted = self.counts[from];
            let tx_lost_frames = counted.tx_lost_frames + self.queues[1 - from].counts().tx_lost;
            Counts { tx_lost_frames, ..counted }
        })
    }

    fn kernel(&self, side: usize) -> anyhow::Result<Kernel> {
        let queue = &self.queues[side];
        let counted = queue.statistics()?;
        Ok(Kernel {
            is_zero_copy: queue.is_zero_copy(),
            rx_ring_full_frames: counted.rx_ring_full,
            rx_dropped_frames: counted.rx_dropped,
        })
    }

    fn close(mut self) {
        // Their chunks go back to the pool.
        let [first, second] = self.queues;
        first.close(&mut self.cache);
        second.close(&mut self.cache);
    }
}

/// Forwards one batch one way and keeps the rings full.
fn one_way(
    from: &mut XskQueue,
    to: &mut XskQueue,
    cache: &mut ChunkCache,
    batch: &mut FrameBatch,
    counts: &mut Counts,
) -> usize {
    let received = from.receive(cache, batch);
    transmit(to, cache, batch, counts);
    to.flush();
    to.reap(cache);
    from.refill(cache);
    received
}

/// Writes a batch to a TX ring.
fn transmit(to: &mut XskQueue, cache: &mut ChunkCache, batch: &mut FrameBatch, counts: &mut Counts) {
    for frame in batch.drain(..) {
        match to.transmit(frame) {
            Ok(()) => counts.frames += 1,
            Err(frame) => {
                counts.tx_ring_full_frames += 1;
                cache.give_frame(frame);
            }
        }
    }
}
