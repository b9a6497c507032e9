//! Two AF_XDP queues over `xsk-rs`, joined: that crate leaves it to its caller to prove whose a frame is.
//!
//! A descriptor stands for the right to its chunk. It is in one place at a time: in one of the two pairs of rings, or in
//! `free`, or in the [`Frames`] of a turn that is under way. Turns are not interrupted, so the last is never seen from
//! outside.

use std::fmt;
use std::num::NonZeroU32;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use anyhow::{Context as _, anyhow};
use rustix::net::sockopt;
use xsk_rs::config::{BindFlags, FrameSize, Interface, LibxdpFlags, QueueSize, SocketConfig, UmemConfig};
use xsk_rs::socket::XdpStatistics;
use xsk_rs::{CompQueue, FillQueue, FrameDesc, RxQueue, Socket, TxQueue, Umem};

/// Calls by which a batch of 64 frames is sent, and one more.
const CALLS_PER_FLUSH: usize = 3;

/// How the sockets are made.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Entries of each ring.
    pub ring: u32,
    /// Bytes of a chunk.
    pub chunk_bytes: u32,
    /// Whether frames must or must not be in the driver's own memory; `None`: as it can.
    pub zero_copy: Option<bool>,
}

/// Room for the descriptors of a turn.
#[derive(Debug)]
pub struct Frames(Vec<FrameDesc>);

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forwarded {
    /// Frames received.
    pub received: usize,
    /// Frames of those that were put on the TX ring.
    pub sent: usize,
}

/// One interface's queue.
struct Queue {
    tx: TxQueue,
    rx: RxQueue,
    fill: FillQueue,
    completion: CompQueue,
    /// Frames put on the TX ring and not completed.
    under_way: u64,
}

/// The same queue of two interfaces, with a frame memory of their own.
pub struct Pair {
    // Dropped before the memory that they refer to.
    queues: [Queue; 2],
    free: Vec<FrameDesc>,
    ring: u32,
    _umem: Umem,
}

impl fmt::Debug for Pair {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pair").field("ring", &self.ring).finish_non_exhaustive()
    }
}

impl Frames {
    /// Room for a batch of this length, made with the pair whose frames it will hold.
    fn of(descriptors: &[FrameDesc], length: usize) -> Self {
        Self(descriptors.iter().copied().cycle().take(length).collect())
    }
}

impl Pair {
    /// Opens a queue of two interfaces over one frame memory, and room for a batch of `batch` frames.
    ///
    /// # Errors
    /// The memory or a socket cannot be had.
    pub fn open(
        interfaces: [&str; 2],
        queue: u32,
        shape: &Shape,
        batch: usize,
    ) -> anyhow::Result<(Self, Frames)> {
        let rings = ring_size(shape.ring)?;
        let config = UmemConfig::builder()
            .frame_size(FrameSize::new(shape.chunk_bytes).map_err(|fault| anyhow!("{fault}"))?)
            .fill_queue_size(rings)
            .comp_queue_size(rings)
            .build()
            .map_err(|fault| anyhow!("{fault}"))?;
        // As many as all rings of both queues hold.
        let count = NonZeroU32::new(2 * 4 * shape.ring).context("rings of no entries")?;
        let (umem, mut free) =
            Umem::new(config, count, false).context("xsk-rs cannot make the frame memory")?;
        let frames = Frames::of(&free, batch);
        let [first, second] = interfaces;
        let mut queues = [open_queue(&umem, first, queue, shape)?, open_queue(&umem, second, queue, shape)?];
        for queue in &mut queues {
            queue.refill(&mut free, shape.ring as usize);
        }
        Ok((Self { queues, free, ring: shape.ring, _umem: umem }, frames))
    }

    /// Forwards one batch from one interface to the other and keeps the rings full.
    pub fn forward(&mut self, from: usize, frames: &mut Frames) -> Forwarded {
        let [first, second] = &mut self.queues;
        let (from, to) = if from == 0 { (first, second) } else { (second, first) };
        // SAFETY: `frames` holds copies of descriptors that grant nothing: it is scratch, overwritten here. The chunks
        // received were in the fill ring, where only `refill` puts them, which takes them out of `free`.
        let received = unsafe { from.rx.consume(&mut frames.0) };
        let sent = to.send(&frames.0[..received], &mut self.free);
        to.flush(self.ring);
        to.reap(&mut self.free, frames);
        from.refill(&mut self.free, frames.0.len());
        Forwarded { received, sent }
    }

    /// Frames put on a TX ring and not completed.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        self.queues.iter().map(|queue| queue.under_way).sum()
    }

    /// Wakes drivers that wait for chunks to receive into; those that have something to send were woken when it was written, and each turn since.
    pub fn wake_drivers(&mut self) {
        for queue in &mut self.queues {
            if queue.fill.needs_wakeup() {
                // It asks the socket whether anything came, which wakes the driver. An error would show when frames fail to come.
                let _ = queue.fill.wakeup(queue.rx.fd_mut(), 0);
            }
        }
    }

    /// The two sockets.
    #[must_use]
    pub fn sockets(&self) -> [BorrowedFd<'_>; 2] {
        self.queues.each_ref().map(Queue::socket)
    }

    /// What the kernel counted at one of the two.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn statistics(&self, side: usize) -> anyhow::Result<XdpStatistics> {
        self.queues[side].rx.fd().xdp_statistics().context("cannot read an AF_XDP socket's statistics")
    }

    /// Whether frames are in the driver's own memory.
    ///
    /// # Errors
    /// The kernel refuses to tell.
    pub fn is_zero_copy(&self, side: usize) -> anyhow::Result<bool> {
        let options = sockopt::xdp_options(self.queues[side].socket())?;
        Ok(options.contains(rustix::net::xdp::XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY))
    }
}

impl Queue {
    /// Puts chunks that are in no ring and not in `free` on the TX ring, and what does not fit into `free`.
    fn send(&mut self, batch: &[FrameDesc], free: &mut Vec<FrameDesc>) -> usize {
        // The ring takes all that it is offered or nothing.
        let room = self.tx.nb_free(to_count(batch.len())) as usize;
        let (fitting, rest) = batch.split_at(room.min(batch.len()));
        // SAFETY: the caller has just taken these chunks out of an RX ring, so they are in no ring and not in `free`; and
        // they are of the one memory that both queues were opened with.
        let sent = unsafe { self.tx.produce(fitting) };
        free.extend_from_slice(&fitting[sent..]);
        free.extend_from_slice(rest);
        self.under_way += sent as u64;
        sent
    }

    /// Asks the kernel to send, if there is something and it wants to be asked; in copy mode it takes 32 frames each time.
    fn flush(&mut self, ring: u32) {
        for _ in 0..CALLS_PER_FLUSH {
            if self.tx.nb_free_exact() >= ring || !self.tx.needs_wakeup() || self.tx.wakeup().is_err() {
                // What could not be sent is asked for again in the next turn.
                break;
            }
        }
    }

    /// Takes back the chunks of frames that were sent.
    fn reap(&mut self, free: &mut Vec<FrameDesc>, frames: &mut Frames) {
        // SAFETY: `frames` is scratch, overwritten here; the chunks completed were in the TX ring, and in nothing else.
        let count = unsafe { self.completion.consume(&mut frames.0) };
        free.extend_from_slice(&frames.0[..count]);
        self.under_way = self.under_way.saturating_sub(count as u64);
    }

    /// Gives the kernel free chunks to receive into, at most `limit`.
    fn refill(&mut self, free: &mut Vec<FrameDesc>, limit: usize) {
        // The ring takes all that it is offered or nothing.
        let room = self.fill.nb_free(to_count(limit)) as usize;
        let start = free.len() - room.min(limit).min(free.len());
        // SAFETY: chunks in `free` are in no ring; those that the ring took are removed from it at once. They are of the
        // one memory that the queue was opened with.
        let count = unsafe { self.fill.produce(&free[start..]) };
        free.drain(start..start + count);
    }

    fn socket(&self) -> BorrowedFd<'_> {
        // SAFETY: the descriptor is that of the socket which `rx` holds a share of, so it is open as long as `self` is.
        unsafe { BorrowedFd::borrow_raw(self.rx.fd().as_raw_fd()) }
    }
}

/// Opens one socket. The caller's own program brings it its frames.
fn open_queue(umem: &Umem, interface: &str, queue: u32, shape: &Shape) -> anyhow::Result<Queue> {
    let name: Interface = interface.parse().map_err(|fault| anyhow!("{interface}: {fault}"))?;
    let mode = match shape.zero_copy {
        None => BindFlags::empty(),
        Some(true) => BindFlags::XDP_ZEROCOPY,
        Some(false) => BindFlags::XDP_COPY,
    };
    let config = SocketConfig::builder()
        .rx_queue_size(ring_size(shape.ring)?)
        .tx_queue_size(ring_size(shape.ring)?)
        .libxdp_flags(LibxdpFlags::XSK_LIBXDP_FLAGS_INHIBIT_PROG_LOAD)
        .bind_flags(mode | BindFlags::XDP_USE_NEED_WAKEUP)
        .build();
    // SAFETY: the flag that inhibits loading of a program is set, so nothing can be freed twice.
    let opened = unsafe { Socket::new(config, umem, &name, queue) };
    let (tx, rx, others) =
        opened.with_context(|| format!("xsk-rs cannot open queue {queue} of interface {interface}"))?;
    let (fill, completion) = others.with_context(|| format!("queue {queue} of {interface} is in use"))?;
    Ok(Queue { tx, rx, fill, completion, under_way: 0 })
}

/// A count of things in a batch.
fn to_count(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn ring_size(entries: u32) -> anyhow::Result<QueueSize> {
    QueueSize::new(entries).map_err(|fault| anyhow!("rings of {entries} entries: {fault}"))
}
