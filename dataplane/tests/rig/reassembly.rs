//! A judge of [`Reassembly`]: a model that keeps everything in lists, and demands that the table does the same with each fragment.
//!
//! Two peers send, one over IPv4 and one over IPv6, so that each may take exactly its share and nobody the other's. The property
//! test, the fuzz target and the test of its seeds all go through [`Judge::take`].

use std::{collections::HashSet, sync::Arc};

use dataplane::{
    reassembly::{Ends, FRAGMENTS_PER_PACKET, Fragment, Limits, Reassembly},
    verdict::DropReason,
};
use xsk::{ChunkCache, ChunkPool, Frame};

use super::{CHUNKS, pieces::fragment, whole_pool};

/// Chunks of the rig's memory. Units: bytes.
const CHUNK_BYTES: usize = 2048;

/// A fragment that somebody sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Over IPv6, by the second peer.
    pub is_v6: bool,
    /// Identification.
    pub packet: u8,
    /// A multiple of 8.
    pub offset: usize,
    pub len: usize,
    pub more: bool,
    /// Changes the payload.
    pub spoilt: u8,
}

impl Piece {
    fn end(&self) -> usize {
        self.offset + self.len
    }

    fn peer(&self) -> usize {
        usize::from(self.is_v6)
    }

    /// The headers of its packet, which say nothing of fragments.
    fn headers(&self) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        if self.is_v6 {
            bytes.extend([0x86, 0xDD, 0x60, 0, 0, 0, 0, 0, 115, 64]);
            for last in [1, 254] {
                bytes.extend([0x20, 0x01, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
            }
        } else {
            bytes.extend([0x08, 0x00, 0x45, 0, 0, 0, 0, self.packet, 0, 0, 64, 115, 0, 0]);
            bytes.extend([10, 0, 0, 1, 10, 0, 0, 254]);
        }
        bytes
    }

    /// Its payload: every byte of a packet differs from its neighbours, and from those of other packets.
    fn payload(&self) -> Vec<u8> {
        let byte = |at: usize| {
            let [low, high, ..] = at.to_le_bytes();
            low.wrapping_mul(31) ^ high ^ self.packet ^ self.spoilt
        };
        (self.offset..self.end()).map(byte).collect()
    }

    fn bytes(&self) -> Vec<u8> {
        fragment(&self.headers(), u32::from(self.packet), self.offset, &self.payload(), self.more)
    }

    /// What is wrong with it, whatever else came.
    fn fault(&self) -> Option<DropReason> {
        let is_tiny =
            if self.is_v6 { self.more && self.len < 512 } else { self.offset == 0 && self.len < 48 };
        let header_bytes = if self.is_v6 { 0 } else { 20 };
        if is_tiny {
            Some(DropReason::FragmentTiny)
        } else if (self.offset == 0 && !self.more)
            || (self.more && !self.len.is_multiple_of(8))
            || self.len == 0
            || header_bytes + self.end() > 65_535
        {
            Some(DropReason::FragmentMalformed)
        } else {
            None
        }
    }

    /// Whether a packet that reaches to its end has room in a chunk.
    fn has_room(&self) -> bool {
        let payload_at = if self.is_v6 { 62 } else { 34 };
        64 + payload_at + self.end() <= CHUNK_BYTES
    }
}

/// What became of a fragment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Lost(DropReason, Vec<u8>),
    Merged(Vec<u8>),
    Whole(Vec<u8>),
}

/// A packet in the model.
struct ModelPacket {
    peer: usize,
    packet: u8,
    begun_s: u32,
    refused: Option<DropReason>,
    parts: Vec<Piece>,
}

impl ModelPacket {
    /// What is wrong with one more fragment.
    fn fault(&self, piece: &Piece) -> Option<DropReason> {
        if self.parts.contains(piece) {
            return Some(DropReason::FragmentDuplicate);
        }
        if self.parts.iter().any(|part| part.offset < piece.end() && piece.offset < part.end()) {
            return Some(DropReason::FragmentOverlap);
        }
        let last_end = self.parts.iter().find(|part| !part.more).map(Piece::end);
        let furthest = self.parts.iter().map(Piece::end).max().unwrap_or(0);
        let is_beyond = last_end.is_some_and(|end| piece.end() > end || !piece.more);
        if is_beyond || (!piece.more && furthest > piece.offset) {
            return Some(DropReason::FragmentLength);
        }
        if !piece.has_room() {
            return Some(DropReason::ReassembledTooBig);
        }
        (self.parts.len() == FRAGMENTS_PER_PACKET).then_some(DropReason::FragmentTooMany)
    }

    /// The whole packet, if this fragment is the last one missing.
    fn joined(&self, piece: &Piece) -> Option<(Vec<u8>, Vec<Piece>)> {
        let mut parts: Vec<_> = self.parts.iter().chain([piece]).copied().collect();
        parts.sort_by_key(|part| part.offset);
        let end = parts.last().filter(|last| !last.more)?.end();
        let payload: Vec<u8> = parts.iter().flat_map(Piece::payload).collect();
        if payload.len() != end {
            return None;
        }
        let mut bytes = parts[0].headers();
        let length = u16::try_from(bytes.len() - 14 + payload.len()).unwrap();
        if piece.is_v6 {
            bytes[18..20].copy_from_slice(&(length - 40).to_be_bytes());
        } else {
            bytes[16..18].copy_from_slice(&length.to_be_bytes());
            bytes[18..20].copy_from_slice(&[0, piece.packet]);
            super::frames::reseal(&mut bytes);
        }
        Some(([bytes, payload].concat(), parts.split_off(1)))
    }
}

/// The table, and the model beside it.
pub struct Judge {
    table: Reassembly,
    limits: Limits,
    packets: Vec<ModelPacket>,
    now_s: u32,
    cache: ChunkCache,
    pool: Arc<ChunkPool>,
    /// Packets that became whole.
    pub whole: usize,
    /// What fragments were lost for.
    pub seen: HashSet<DropReason>,
}

/// Collects the table's answers.
struct Collected<'a> {
    ends: Vec<End>,
    cache: &'a mut ChunkCache,
}

impl Ends for Collected<'_> {
    fn lost(&mut self, frame: Frame, reason: DropReason) {
        self.ends.push(End::Lost(reason, frame.bytes().to_vec()));
        self.cache.give(frame.into_chunk());
    }

    fn merged(&mut self, frame: Frame) {
        self.ends.push(End::Merged(frame.bytes().to_vec()));
        self.cache.give(frame.into_chunk());
    }
}

impl Judge {
    pub fn new(limits: Limits) -> Self {
        let pool = whole_pool();
        let cache = ChunkCache::new(Arc::clone(&pool), 0);
        Self {
            table: Reassembly::new(limits),
            limits,
            packets: Vec::new(),
            now_s: 1,
            cache,
            pool,
            whole: 0,
            seen: HashSet::new(),
        }
    }

    /// Lets time pass.
    pub fn wait(&mut self, seconds: u32) {
        self.now_s += seconds;
        let mut collected = Collected { ends: Vec::new(), cache: &mut self.cache };
        self.table.expire(self.now_s, &mut collected);
        let mut found = collected.ends;
        let mut expected = self.expired();
        self.note(&expected);
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "after {seconds} s");
        self.check();
    }

    /// Gives a fragment to both, and compares what they do with it.
    ///
    /// # Panics
    /// When they do different things.
    pub fn take(&mut self, piece: Piece) {
        let bytes = piece.bytes();
        let chunk = self.cache.take().unwrap();
        let frame = match Frame::from_bytes(chunk, 256, &bytes) {
            Ok(frame) => frame,
            Err(chunk) => return self.cache.give(chunk),
        };
        let fragment = Fragment::read(frame.bytes());
        assert_eq!(fragment.err(), piece.fault(), "{piece:?}");
        self.seen.extend(piece.fault());
        let Ok(fragment) = fragment else { return self.cache.give(frame.into_chunk()) };
        let mut collected = Collected { ends: Vec::new(), cache: &mut self.cache };
        let whole = self.table.take(frame, fragment, self.now_s, &mut collected);
        let mut found = collected.ends;
        if let Some(frame) = whole {
            found.push(End::Whole(frame.bytes().to_vec()));
            self.cache.give(frame.into_chunk());
        }
        let mut expected = self.expect(piece);
        self.note(&expected);
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{piece:?}");
        self.check();
    }

    /// Notes what the model expects.
    fn note(&mut self, ends: &[End]) {
        for end in ends {
            match end {
                End::Lost(reason, _) => drop(self.seen.insert(*reason)),
                End::Merged(_) => {}
                End::Whole(_) => self.whole += 1,
            }
        }
    }

    /// The table is as large as the model, and within its bounds.
    fn check(&mut self) {
        let parked: usize = self.packets.iter().map(|packet| packet.parts.len()).sum();
        assert_eq!(self.table.parked(), parked);
        self.cache.flush();
        assert_eq!(self.pool.free_count() + parked, CHUNKS as usize, "every chunk is parked or free");
        for peer in 0..2 {
            assert!(self.packet_count(peer) <= usize::from(self.limits.packets_per_peer()));
            assert!(self.fragment_count(peer) <= usize::from(self.limits.fragments_per_peer()));
        }
    }

    fn packet_count(&self, peer: usize) -> usize {
        self.packets.iter().filter(|packet| packet.peer == peer).count()
    }

    fn fragment_count(&self, peer: usize) -> usize {
        self.packets.iter().filter(|packet| packet.peer == peer).map(|packet| packet.parts.len()).sum()
    }

    fn position(&self, piece: &Piece) -> Option<usize> {
        self.packets.iter().position(|known| (known.peer, known.packet) == (piece.peer(), piece.packet))
    }

    /// What the model gives up by time.
    fn expired(&mut self) -> Vec<End> {
        let mut ends = Vec::new();
        while let Some(at) =
            self.packets.iter().position(|packet| packet.begun_s + self.limits.timeout_s < self.now_s)
        {
            ends.extend(self.given_up(at, DropReason::FragmentTimeout));
        }
        ends
    }

    fn given_up(&mut self, at: usize, reason: DropReason) -> Vec<End> {
        self.packets.remove(at).parts.iter().map(|part| End::Lost(reason, part.bytes())).collect()
    }

    fn oldest(&self, peer: usize) -> usize {
        self.packets.iter().position(|packet| packet.peer == peer).unwrap()
    }

    /// What the model does with a fragment.
    fn expect(&mut self, piece: Piece) -> Vec<End> {
        let mut ends = self.expired();
        let peer = piece.peer();
        if self.position(&piece).is_none() {
            while self.packet_count(peer) >= usize::from(self.limits.packets_per_peer()) {
                ends.extend(self.given_up(self.oldest(peer), DropReason::FragmentShare));
            }
            let (packet, begun_s) = (piece.packet, self.now_s);
            self.packets.push(ModelPacket { peer, packet, begun_s, refused: None, parts: Vec::new() });
        }
        let at = self.position(&piece).unwrap();
        let packet = &mut self.packets[at];
        let refusal = packet.refused.or_else(|| packet.fault(&piece));
        if let Some(reason) = refusal {
            ends.push(End::Lost(reason, piece.bytes()));
            if reason != DropReason::FragmentDuplicate {
                packet.refused = Some(reason);
                ends.extend(packet.parts.drain(..).map(|part| End::Lost(reason, part.bytes())));
            }
            return ends;
        }
        if let Some((whole, merged)) = packet.joined(&piece) {
            self.packets.remove(at);
            ends.extend(merged.iter().map(|part| End::Merged(part.bytes())));
            ends.push(End::Whole(whole));
            return ends;
        }
        while self.fragment_count(peer) >= usize::from(self.limits.fragments_per_peer()) {
            ends.extend(self.given_up(self.oldest(peer), DropReason::FragmentShare));
        }
        match self.position(&piece) {
            Some(at) => self.packets[at].parts.push(piece),
            None => ends.push(End::Lost(DropReason::FragmentShare, piece.bytes())),
        }
        ends
    }

    /// Small enough that a few hundred bytes use up a peer's share.
    pub const LIMITS: Limits = Limits { packets: 8, fragments: 24, timeout_s: 2 };

    /// What a fuzzer sends: five bytes for each fragment or wait. In the end, time passes until nothing is left.
    pub fn take_bytes(&mut self, bytes: &[u8]) {
        for step in bytes.as_chunks::<5>().0 {
            match Self::piece_of(*step) {
                Ok(piece) => self.take(piece),
                Err(seconds) => self.wait(seconds),
            }
        }
    }

    /// A fragment from five bytes, whatever they are; `Err`: seconds pass instead.
    ///
    /// ```text
    /// | kind | packet | offset | length / 8 | length % 8, and what changes the payload |
    ///   0xF0: wait; 1: IPv6; 2: offset in units of 64, not 256; 4: more follow; 8: changed payload
    /// ```
    pub fn piece_of(bytes: [u8; 5]) -> Result<Piece, u32> {
        let [kind, packet, offset, len, tail] = bytes;
        if kind & 0xF0 == 0xF0 {
            return Err(u32::from(kind & 3));
        }
        Ok(Piece {
            is_v6: kind & 1 != 0,
            packet: packet % 8,
            offset: usize::from(offset) * if kind & 2 != 0 { 64 } else { 256 },
            len: usize::from(len) * 8 + usize::from(tail % 8),
            more: kind & 4 != 0,
            spoilt: if kind & 8 != 0 { tail >> 3 } else { 0 },
        })
    }
}

impl Drop for Judge {
    /// Every fragment comes out.
    fn drop(&mut self) {
        let mut collected = Collected { ends: Vec::new(), cache: &mut self.cache };
        self.table.clear(&mut collected);
        self.cache.flush();
        super::give_back(&self.pool);
    }
}
