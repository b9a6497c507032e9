//! Table: the unfinished packets of one worker.
//!
//! ```text
//!  key --index--> slot: open (fragments) or refused (reason), until its time is over
//!                  |         |
//!             age list    peer's list        both oldest first
//! ```
//! A refused packet keeps its slot, without fragments, so that those still to come are dropped for the same reason and do not begin a
//! packet anew (RFC 5722 §4 demands it of overlaps).

use xsk::Frame;

use super::{
    Ends, Limits,
    fragment::{Fragment, Key},
    index::{Index, Secret},
    join::join,
    list::{Links, List},
    partial::{Misfit, Part, Partial},
    peers::{Kind, Peers},
};
use crate::verdict::DropReason;

/// One packet.
#[derive(Debug)]
struct Slot {
    key: Key,
    /// Second of its first fragment.
    begun_s: u32,
    peer: u16,
    /// `Some`: it is refused.
    refused: Option<DropReason>,
    partial: Partial,
}

impl Slot {
    fn vacant() -> Self {
        let key = Key { source: 0, destination: 0, identification: 0, protocol: 0 };
        Self { key, begun_s: 0, peer: 0, refused: None, partial: Partial::default() }
    }
}

/// Puts packets together; one worker's own.
#[derive(Debug)]
pub struct Reassembly {
    limits: Limits,
    slots: Box<[Slot]>,
    index: Index,
    /// A slot is vacant or by age.
    links: Links,
    vacant: List,
    by_age: List,
    peers: Peers,
    /// Fragments in all slots.
    parked: u16,
    /// Chunks that they stand in.
    parked_chunks: u16,
    secret: Secret,
}

impl Reassembly {
    /// An empty table. Everything it will ever need is allocated here.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let secret = Secret::new();
        let count = usize::from(limits.packets);
        let mut links = Links::new(count);
        let mut vacant = List::EMPTY;
        (0..limits.packets).for_each(|position| links.push(&mut vacant, position));
        Self {
            limits,
            slots: (0..count).map(|_| Slot::vacant()).collect(),
            index: Index::new(count),
            links,
            vacant,
            by_age: List::EMPTY,
            peers: Peers::new(limits.packets, secret),
            parked: 0,
            parked_chunks: 0,
            secret,
        }
    }

    /// Fragments that wait for others.
    #[must_use]
    #[inline]
    pub fn parked(&self) -> usize {
        usize::from(self.parked)
    }

    /// Chunks that those stand in.
    #[must_use]
    #[inline]
    pub fn parked_chunks(&self) -> usize {
        usize::from(self.parked_chunks)
    }

    /// Takes a fragment, which [`Fragment::read`] read from `frame`. Returns the whole packet if this was the last one missing.
    pub fn take(
        &mut self,
        frame: Frame,
        fragment: Fragment,
        now_s: u32,
        ends: &mut impl Ends,
    ) -> Option<Frame> {
        self.expire(now_s, ends);
        let Some(position) = self.find(&fragment.key).or_else(|| self.begin(fragment.key, now_s, ends))
        else {
            ends.lost(frame, DropReason::ReassemblyFull);
            return None;
        };
        let slot = self.slots.get_mut(usize::from(position))?;
        if let Some(reason) = slot.refused {
            ends.lost(frame, reason);
            return None;
        }
        let part = Part { frame, fragment };
        match slot.partial.place(&part) {
            Err(Misfit::Duplicate) => {
                ends.lost(part.frame, DropReason::FragmentDuplicate);
                None
            }
            Err(Misfit::Spoilt(reason)) => {
                ends.lost(part.frame, reason);
                self.refuse(position, reason, ends);
                None
            }
            Ok(place) if slot.partial.lacks_only(&fragment) => self.finish(position, place, part, ends),
            Ok(_) => {
                self.park(part, ends);
                None
            }
        }
    }

    /// Gives up what took too long.
    #[inline]
    pub fn expire(&mut self, now_s: u32, ends: &mut impl Ends) {
        while let Some(oldest) = self.by_age.first()
            && self.begun_s(oldest).saturating_add(self.limits.timeout_s) < now_s
        {
            self.give_up(oldest, DropReason::FragmentTimeout, ends);
        }
    }

    /// Gives up everything; the table is empty afterwards.
    pub fn clear(&mut self, ends: &mut impl Ends) {
        while let Some(oldest) = self.by_age.first() {
            self.give_up(oldest, DropReason::FragmentTimeout, ends);
        }
    }

    #[inline]
    fn begun_s(&self, position: u16) -> u32 {
        self.slots.get(usize::from(position)).map_or(0, |slot| slot.begun_s)
    }

    #[inline]
    fn find(&self, key: &Key) -> Option<u16> {
        let is_meant = |at: u16| self.slots.get(usize::from(at)).is_some_and(|slot| slot.key == *key);
        self.index.find(key.hash(self.secret), is_meant)
    }

    /// A slot for a new packet, at the cost of an older one where need be.
    fn begin(&mut self, key: Key, now_s: u32, ends: &mut impl Ends) -> Option<u16> {
        self.make_room(key.source, Kind::Packets, 1, ends);
        let position = self.links.pop(&mut self.vacant)?;
        let peer = self.peers.add_packet(key.source, position)?;
        let slot = self.slots.get_mut(usize::from(position))?;
        (slot.key, slot.begun_s, slot.peer, slot.refused) = (key, now_s, peer, None);
        self.links.push(&mut self.by_age, position);
        self.index.insert(key.hash(self.secret), position);
        Some(position)
    }

    /// Sees to it that the sender at `address` may have `more` packets or chunks: gives up its own oldest packets while that would be
    /// more than its share, else those of whoever has most while the table is full.
    fn make_room(&mut self, address: u128, kind: Kind, more: u16, ends: &mut impl Ends) {
        let share = match kind {
            Kind::Packets => self.limits.packets_per_peer(),
            Kind::Chunks => self.limits.chunks_per_peer(),
        };
        // Ends: each pass takes a packet out, and an empty table has room.
        loop {
            let own = self.peers.find(address);
            let own_count = own.map_or(0, |peer| self.peers.count(peer, kind));
            let own_oldest = || own.and_then(|peer| self.peers.oldest(peer));
            let (oldest, reason) = if own_count.saturating_add(more) > share {
                (own_oldest(), DropReason::FragmentShare)
            } else if !self.has_room(kind, more) {
                let most = self.peers.most(kind);
                let oldest = if most > own_count { self.oldest_of_biggest(kind, most) } else { own_oldest() };
                (oldest, DropReason::ReassemblyFull)
            } else {
                return;
            };
            let Some(oldest) = oldest else { return };
            self.give_up(oldest, reason, ends);
        }
    }

    /// The oldest packet of a peer that has this much. Of several such peers the one whose packet is oldest loses it: were it always
    /// the same, a newcomer that took its place would be next.
    #[cold]
    fn oldest_of_biggest(&self, kind: Kind, most: u16) -> Option<u16> {
        let count_of = |at: u16| Some(self.peers.count(self.slots.get(usize::from(at))?.peer, kind));
        self.links.iter(&self.by_age).find(|at| count_of(*at) == Some(most))
    }

    fn has_room(&self, kind: Kind, more: u16) -> bool {
        match kind {
            Kind::Packets => self.vacant.first().is_some(),
            Kind::Chunks => self.parked_chunks.saturating_add(more) <= self.limits.chunks,
        }
    }

    /// Parks a fragment that fits its packet.
    fn park(&mut self, part: Part, ends: &mut impl Ends) {
        let (key, chunks) = (part.fragment.key, part.chunks());
        self.make_room(key.source, Kind::Chunks, chunks, ends);
        // The room may have come from this very packet.
        let slot = self.find(&key).and_then(|at| self.slots.get_mut(usize::from(at)));
        let Some(slot) = slot else { return ends.lost(part.frame, DropReason::FragmentShare) };
        let refused = match slot.partial.place(&part) {
            Ok(place) => slot.partial.insert(place, part).map_err(|part| (part, DropReason::FragmentTooMany)),
            Err(_) => Err((part, DropReason::FragmentOverlap)),
        };
        match refused {
            Ok(()) => {
                self.parked += 1;
                self.parked_chunks = self.parked_chunks.saturating_add(chunks);
                self.peers.add_chunks(slot.peer, chunks);
            }
            // Not reached: it was placed before, and the packet has not changed since.
            Err((part, reason)) => ends.lost(part.frame, reason),
        }
    }

    /// Puts a packet together whose last missing fragment is `part`.
    fn finish(&mut self, position: u16, place: usize, part: Part, ends: &mut impl Ends) -> Option<Frame> {
        let slot = self.slots.get_mut(usize::from(position))?;
        let parked = (slot.partial.len(), slot.partial.chunks());
        if let Err(part) = slot.partial.insert(place, part) {
            ends.lost(part.frame, DropReason::FragmentTooMany);
            return None;
        }
        let whole_bytes = slot.partial.have_bytes();
        let joined = join(slot.partial.drain(), whole_bytes, ends);
        self.strike_off(position, parked);
        self.remove(position);
        joined.unwrap_or_else(|reason| {
            ends.dropped(reason);
            None
        })
    }

    /// Drops a packet's fragments, and those still to come.
    fn refuse(&mut self, position: u16, reason: DropReason, ends: &mut impl Ends) {
        let Some(slot) = self.slots.get_mut(usize::from(position)) else { return };
        slot.refused = Some(reason);
        let parked = (slot.partial.len(), slot.partial.chunks());
        slot.partial.drain().for_each(|part| ends.lost(part.frame, reason));
        self.strike_off(position, parked);
    }

    /// Drops a packet's fragments and forgets it.
    #[cold]
    fn give_up(&mut self, position: u16, reason: DropReason, ends: &mut impl Ends) {
        self.refuse(position, reason, ends);
        self.remove(position);
    }

    /// Forgets so many fragments in so many chunks, which were a packet's.
    fn strike_off(&mut self, position: u16, (fragments, chunks): (u16, u16)) {
        let Some(slot) = self.slots.get(usize::from(position)) else { return };
        self.parked = self.parked.saturating_sub(fragments);
        self.parked_chunks = self.parked_chunks.saturating_sub(chunks);
        self.peers.remove_chunks(slot.peer, chunks);
    }

    /// Makes a slot without fragments vacant.
    fn remove(&mut self, position: u16) {
        let Some(slot) = self.slots.get(usize::from(position)) else { return };
        self.index.remove(slot.key.hash(self.secret), position);
        self.peers.remove_packet(slot.peer, position);
        self.links.remove(&mut self.by_age, position);
        self.links.push(&mut self.vacant, position);
    }
}
