//! One AF_XDP socket that sends copies of one frame.

use std::os::fd::AsFd as _;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use libbpf_rs::Link;
use xsk::{ChunkCache, Frame, SocketConfig, TX_METADATA_BYTES, Umem, UmemConfig, XskQueue};

use crate::interface;
use crate::null_forward::Mode;
use crate::port::Port;

/// Entries of the rings: some bursts.
const RING: u32 = 2048;

/// Bytes of a chunk: what a card needs in zero-copy mode for frames beyond 1500 bytes.
const CHUNK_BYTES: u32 = 4096;

/// Chunks that are kept beside those in the rings.
const CACHE_CHUNKS: usize = 512;

/// How long a card may take to have its link again after a program was attached, and to send what it was given.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two looks at what is waited for.
const PERIOD: Duration = Duration::from_micros(500);

/// An open socket, with the program that a driver wants to see before it sends.
pub(super) struct Sender {
    queue: XskQueue,
    cache: ChunkCache,
    bytes: Vec<u8>,
    _link: Link,
    _port: Port,
}

impl Sender {
    /// Opens the first queue of an interface, attaches the program, and waits until the link is there.
    pub(super) fn open(interface: &str, mode: Mode, bytes: &[u8]) -> anyhow::Result<Self> {
        let mut port = Port::load(interface)?;
        // Fill and RX ring, TX and completion ring; chunks stand in one of each pair at most.
        let config = UmemConfig {
            chunk_count: 4 * RING,
            chunk_bytes: CHUNK_BYTES,
            headroom_bytes: 0,
            huge_pages: false,
        };
        let (umem, pool) = Umem::map(&config)?;
        let config = SocketConfig {
            rx_ring: RING,
            tx_ring: RING,
            fill_ring: RING,
            completion_ring: RING,
            mode: mode.into(),
            ..SocketConfig::default()
        };
        let mut cache = ChunkCache::new(pool, CACHE_CHUNKS);
        let queue = XskQueue::open(umem, port.ifindex, 0, &config, &mut cache)?;
        port.admit(0, queue.as_fd())?;
        let link = port.attach()?;
        let sender = Self { queue, cache, bytes: bytes.to_vec(), _link: link, _port: port };
        let end = Instant::now() + PATIENCE;
        while !interface::has_carrier(interface) {
            ensure!(Instant::now() < end, "interface {interface} has no carrier");
            thread::sleep(PERIOD);
        }
        Ok(sender)
    }

    /// Whether frames pass between driver and memory without a copy.
    pub(super) fn is_zero_copy(&self) -> bool {
        self.queue.is_zero_copy()
    }

    /// Sends so many copies of the frame; returns how many the ring had no room for.
    pub(super) fn burst(&mut self, frames: u32) -> u32 {
        self.queue.reap(&mut self.cache);
        let mut sent = 0;
        while sent < frames && self.send_one() {
            sent += 1;
        }
        self.queue.flush();
        frames - sent
    }

    /// Puts one copy into the ring; whether it had room, and memory was free.
    fn send_one(&mut self) -> bool {
        let Some(chunk) = self.cache.take() else { return false };
        match Frame::from_bytes(chunk, TX_METADATA_BYTES, &self.bytes) {
            Ok(frame) => self.queue.transmit(frame).map_err(|frame| self.cache.give_frame(frame)).is_ok(),
            Err(chunk) => {
                self.cache.give(chunk);
                false
            }
        }
    }

    /// Waits until all is sent.
    pub(super) fn drain(&mut self) -> anyhow::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            self.queue.flush();
            self.queue.reap(&mut self.cache);
            let waiting = self.queue.held().tx;
            if waiting == 0 {
                return Ok(());
            }
            ensure!(Instant::now() < end, "{waiting} frames are not sent");
            thread::sleep(PERIOD);
        }
    }

    /// Closes the socket; its chunks go back to the pool.
    pub(super) fn close(self) {
        let Self { queue, mut cache, .. } = self;
        queue.close(&mut cache);
    }
}
