//! AF_XDP memory, rings and sockets for gateways that rewrite frames in place.
//!
//! What it is: the memory that frames live in ([`Umem`], cut into [`Chunk`]s), a frame that can grow and shrink at
//! both ends without its payload being moved ([`Frame`]), the store of empty chunks ([`ChunkPool`], [`ChunkCache`]),
//! and one device queue with its socket and four rings ([`XskQueue`]). Beside them stands [`nic`]: what a port must
//! ask of an interface (promiscuous mode, offloads, channels), and [`anchor`]: a tunnel's socket in the kernel. Both are here
//! because other crates have no `unsafe` of their own.
//!
//! Place on the path: first and last. A frame comes out of [`XskQueue::receive`], is rewritten where it stands, and
//! leaves through [`XskQueue::transmit`]; its chunk comes back through [`XskQueue::reap`] and goes out again empty
//! through [`XskQueue::refill`].
//!
//! ```text
//!             fill ring                         RX ring
//! ChunkCache -----------> kernel, NIC writes -----------> Frame -> engine
//!     ^                                                              |
//!     |      completion ring                    TX ring              v
//!     +------------------ kernel, NIC reads <------------------ Frame
//! ```
//!
//! # Who owns a chunk
//!
//! At any time a chunk is in exactly one place: in a pool or cache, in a [`Chunk`] or [`Frame`] in somebody's hands, or
//! lent to the kernel by one queue. The queue keeps a bit per chunk for what it lent ([`Held`] counts them), accepts
//! from the kernel nothing that it had not lent, and takes everything back once socket and rings are gone. Hence the
//! invariant that tests assert: free + in flight = all. Nothing is reference-counted: the memory is mapped once and stays
//! for the life of the process, and neither `Chunk` nor `Frame` can be copied.
//!
//! # What is not in it
//!
//! No XDP program and no map: the loader attaches one and puts the socket (`XskQueue::as_fd`) into it. No parsing, no
//! threads, no policy, no logging. No unaligned chunks.
//!
//! # Unsafe
//!
//! Denied by default in this crate, too; allowed in `sys` (system calls), `umem` and `chunk` (addresses), `frame` (views of
//! a chunk's bytes), `ring` (the words shared with the kernel), `lane` and `prefetch`. Everything in plain memory runs under Miri:
//! `cargo miri test -p spanwire-xsk`.

#![deny(unsafe_code)]

pub mod anchor;
#[allow(unsafe_code, reason = "addresses of chunks inside the mapping")]
mod chunk;
mod chunk_cache;
mod chunk_pool;
#[allow(unsafe_code, reason = "views of a chunk's bytes")]
mod frame;
#[allow(unsafe_code, reason = "frames that another thread gave up")]
mod lane;
#[allow(unsafe_code, reason = "chunks that come back from the kernel")]
mod lent;
pub mod nic;
#[allow(unsafe_code, reason = "an instruction that the language has no other name for")]
mod prefetch;
#[allow(unsafe_code, reason = "index words and slots shared with the kernel")]
pub mod ring;
mod socket;
mod statistics;
#[allow(unsafe_code, reason = "system calls and mappings")]
mod sys;
mod tx_metadata;
#[allow(unsafe_code, reason = "the one mapping that all chunks lie in")]
mod umem;

pub use chunk::Chunk;
pub use chunk_cache::ChunkCache;
pub use chunk_pool::{BLOCK, ChunkPool};
pub use frame::{
    BATCH, Chunks, Deal, Frame, FrameBatch, MAX_SEGMENTS, Positions, SEGMENT_START_BYTES, Segments, ones,
};
pub use lane::{LaneReceiver, LaneSender, lane};
pub use lent::Held;
pub use prefetch::prefetch;
pub use socket::{BindError, BindMode, BindOperation, BusyPoll, SocketConfig, WAKE_PAUSE_FLUSHES, XskQueue};
pub use statistics::{KernelStatistics, QueueCounts};
pub use sys::ask_for_huge_pages;
pub use tx_metadata::{ChecksumRequest, TX_METADATA_BYTES};
pub use umem::{Umem, UmemConfig, UmemError};
