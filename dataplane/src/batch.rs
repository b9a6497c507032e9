//! A batch: up to 64 frames on their way through the stages, and what is known about each so far.
//!
//! Place on the path: filled by a port, annotated by `decap` or `admit`, `learn` and `forward`, emptied by `flood` and
//! `encap`. Stages pass over all slots one after the other, so that the look-ups of one pass overlap in the CPU.

use arrayvec::ArrayVec;
use wire::ethernet::EthernetHeader;
use xsk::{BATCH, Deal, Frame, FrameBatch, Positions};

use crate::{
    tables::{
        attachment::Ingress,
        bridge_domains::{DomainId, MemberId},
        fdb::MacKey,
    },
    verdict::DropReason,
};

/// Frames that one batch takes at most.
pub const MOST: usize = BATCH;

/// What the stages decided about a slot so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nobody claimed it yet.
    Undecided,
    /// In a bridge domain, on its way to a destination.
    Entered,
    /// Leaves by this member.
    Forward(MemberId),
    /// Leaves by the flood set.
    Flood,
    /// Leaves nowhere.
    Drop(DropReason),
    /// A fragment of an outer packet, on its way to be put together with the others.
    Fragment,
}

/// What is known about one frame.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// The decision so far.
    pub fate: Fate,
    /// The bridge domain it entered.
    pub domain: DomainId,
    /// The member it came from.
    pub ingress: MemberId,
    /// Position in the session table of the pseudowire it came from.
    pub session: Option<u32>,
    /// Inner source address.
    pub source: MacKey,
    /// Inner destination address.
    pub destination: MacKey,
}

impl Slot {
    /// A slot nobody looked at.
    const FRESH: Self = Self {
        fate: Fate::Undecided,
        domain: DomainId(0),
        ingress: MemberId(0),
        session: None,
        source: MacKey::new([0; 6]),
        destination: MacKey::new([0; 6]),
    };

    /// Lets a frame with this header enter a bridge domain.
    #[inline]
    pub fn enter(&mut self, ingress: Ingress, header: &EthernetHeader) {
        (self.fate, self.domain, self.ingress) = (Fate::Entered, ingress.domain, ingress.member);
        (self.destination, self.source) = MacKey::pair(header);
    }

    /// Ends the frame's way. The first reason stands.
    #[inline]
    pub fn discard(&mut self, reason: DropReason) {
        if !matches!(self.fate, Fate::Drop(_)) {
            self.fate = Fate::Drop(reason);
        }
    }
}

/// Frames and their slots, position by position.
#[derive(Debug)]
pub struct Batch {
    /// The frames; a port adds to them.
    pub frames: FrameBatch,
    slots: ArrayVec<Slot, BATCH>,
}

impl Default for Batch {
    fn default() -> Self {
        Self { frames: FrameBatch::new(), slots: ArrayVec::new() }
    }
}

impl Batch {
    /// Gives every frame a fresh slot; called once after a port filled the batch.
    ///
    /// Out of line: unrolled in a worker's round, it had the addresses of all slots calculated in each. Bench: `encap, batch 1`, 1200 -> 1064
    /// instructions.
    #[inline(never)]
    pub fn open(&mut self) {
        self.slots.clear();
        self.slots.extend(self.frames.iter().map(|_| Slot::FRESH));
    }

    /// Takes away what slots are left of the batch before, so that frames can be taken out of this one before the others get theirs.
    #[inline]
    pub fn close(&mut self) {
        self.slots.clear();
    }

    /// Frames with their slots.
    #[inline]
    pub fn all(&mut self) -> impl Iterator<Item = (&mut Frame, &mut Slot)> {
        self.frames.iter_mut().zip(&mut self.slots)
    }

    /// Positions without a frame that somebody decided about: all where no frame has a slot yet, and those behind the last frame.
    #[inline]
    pub fn undecided(&self) -> Positions {
        let decided = self.slots.iter().enumerate().filter(|(_, slot)| slot.fate != Fate::Undecided);
        !decided.fold(0, |positions, (position, _)| positions | 1 << position)
    }

    /// Lets `take` take frames out. The others stay, in order, each with its slot.
    #[inline]
    pub fn deal(&mut self, take: impl FnOnce(&mut Deal<'_>)) {
        let mut deal = Deal::new(&mut self.frames);
        take(&mut deal);
        let left = deal.left();
        drop(deal);
        let mut position = 0;
        self.slots.retain(|_| {
            position += 1;
            left >> (position - 1) & 1 == 1
        });
    }

    /// All frames, and their slots, position by position.
    #[inline]
    pub fn parts(&mut self) -> (&mut [Frame], &mut [Slot]) {
        (&mut self.frames, &mut self.slots)
    }

    /// Takes all frames out; what was decided about them is at their positions.
    #[inline]
    pub fn drain(&mut self) -> (impl Iterator<Item = Frame>, &[Slot]) {
        (self.frames.drain(..), &self.slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use xsk::{ChunkCache, Umem, UmemConfig};

    #[test]
    fn what_is_not_taken_out_stays_in_order_with_the_slots_of_those_that_were_decided_about() {
        let config = UmemConfig { chunk_count: 64, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
        let (_, pool) = Umem::map(&config).unwrap();
        let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 64), Batch::default());
        for number in 0..10 {
            batch.frames.push(Frame::from_bytes(cache.take().unwrap(), 256, &[number; 60]).unwrap());
        }
        batch.open();
        // Admitted before, and to stay whatever is said of them.
        let admitted = [2, 3, 7];
        for (position, (_, slot)) in batch.all().enumerate() {
            if admitted.contains(&position) {
                (slot.fate, slot.session) = (Fate::Entered, u32::try_from(position).ok());
            }
        }
        assert_eq!(batch.undecided() & 0b11_1111_1111, 0b11_0111_0011);
        let thirds = 0b10_0100_1001;
        let taken = batch.undecided() & !thirds;
        batch.deal(|frames| frames.take(taken).for_each(|frame| cache.give_frame(frame)));
        let left: Vec<_> =
            batch.all().map(|(frame, slot)| (frame.head()[0], slot.fate, slot.session)).collect();
        let undecided = |number| (number, Fate::Undecided, None);
        let entered = |number| (number, Fate::Entered, Some(u32::from(number)));
        let expected = [undecided(0), entered(2), entered(3), undecided(6), entered(7), undecided(9)];
        assert_eq!(left, expected);
        batch.drain().0.for_each(|frame| cache.give_frame(frame));
        cache.flush();
        assert_eq!(pool.free_count(), 64);
    }
}
