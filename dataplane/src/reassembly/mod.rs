//! Reassembly: outer packets that arrived in fragments are put together again.
//!
//! ```text
//!  fragment -> Fragment::read -> Reassembly::take -+-> parked, until the others are there or the time is over
//!                                                  +-> the whole packet, in the chunk of its first fragment or in all of theirs
//!                                                  +-> lost: to Ends, with the reason
//! ```
//! Place on the path: behind `decap`, which finds out that a packet is a fragment, and in front of it again, since the whole
//! packet passes it like any other. Whole packets never come here. A worker has one table of fixed size and allocates nothing after it
//! was made; time is the engine's clock, in seconds.
//!
//! What is bounded: packets and chunks in all, fragments of one packet, both by peer, and the time. Within its share a peer
//! loses its own oldest packet to a newer one; when the table is full, whoever has most in it does. So a peer that has less than the
//! others always finds room, whatever they send.
//!
//! Deliberately not here: which worker gets a fragment ([`crate::exchange`]), counters, and what the packets carry.

mod fragment;
mod index;
mod join;
mod list;
mod partial;
mod peers;
mod table;

pub use fragment::{Fragment, Key};
pub use partial::FRAGMENTS_PER_PACKET;
pub use table::Reassembly;

use xsk::{ChunkCache, Frame};

use crate::verdict::DropReason;

/// How much a table may hold, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Unfinished packets. Range: 1 to 65535.
    pub packets: u16,
    /// Chunks that their fragments stand in. Range: 1 to 65535.
    pub chunks: u16,
    /// Seconds that a packet may take, from its first fragment on; up to one more passes until that is noticed.
    pub timeout_s: u32,
}

impl Limits {
    /// What a worker of the gateway has. RFC 791 and RFC 8200 name longer times, 15 and 60 seconds; but the fragments of a tunnel's
    /// packet travel one behind the other, and with the 16 bits of an IPv4 identification a long wait joins parts of
    /// different packets (RFC 4963).
    pub const WORKER: Self = Self { packets: 512, chunks: 1024, timeout_s: 2 };

    /// Of [`Self::packets`], the most that one peer may have.
    #[must_use]
    pub const fn packets_per_peer(&self) -> u16 {
        self.packets.div_ceil(2)
    }

    /// Of [`Self::chunks`], the most that one peer may have.
    #[must_use]
    pub const fn chunks_per_peer(&self) -> u16 {
        self.chunks.div_ceil(2)
    }
}

/// What becomes of fragments that do not come out as packets.
pub trait Ends {
    /// A fragment is dropped; its chunks are back already.
    fn dropped(&mut self, reason: DropReason);

    /// A fragment has become part of another's frame.
    fn merged(&mut self);

    /// Where chunks go that nothing stands in any more.
    fn cache(&mut self) -> &mut ChunkCache;

    /// A fragment is dropped with its frame.
    fn lost(&mut self, frame: Frame, reason: DropReason) {
        self.cache().give_frame(frame);
        self.dropped(reason);
    }
}
