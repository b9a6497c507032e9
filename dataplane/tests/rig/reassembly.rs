//! A judge of [`Reassembly`]: a model that keeps everything in lists, and demands that the table does the same with each fragment.
//!
//! Two peers send, one over IPv4 and one over IPv6, so that each may take exactly its share and nobody the other's. The property
//! test, the fuzz target and the test of its seeds all go through [`Judge::take`].

use std::{collections::HashSet, sync::Arc};

use dataplane::{
    reassembly::{Ends, FRAGMENTS_PER_PACKET, Fragment, Limits, Reassembly},
    verdict::DropReason,
};
use xsk::{ChunkCache, ChunkPool, Frame, MAX_SEGMENTS};

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
    /// It stands in two chunks although one would do.
    pub is_split: bool,
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

    /// Chunks that it stands in.
    fn chunks(&self) -> usize {
        let bytes = self.len + if self.is_v6 { 62 } else { 34 };
        match (bytes, self.is_split) {
            (301.., true) => 1 + (bytes - 280).div_ceil(CHUNK_BYTES - 256),
            _ => bytes.div_ceil(CHUNK_BYTES - 256),
        }
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

    /// Whether a packet that ends with it has room in a chunk.
    fn has_room(&self) -> bool {
        let payload_at = if self.is_v6 { 62 } else { 34 };
        64 + payload_at + self.end() <= CHUNK_BYTES
    }
}

/// What became of a fragment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Lost(DropReason, Vec<u8>),
    Dropped(DropReason),
    Merged,
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
        let is_same = |part: &Piece| Piece { is_split: piece.is_split, ..*part } == *piece;
        if self.parts.iter().any(is_same) {
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
        (self.parts.len() == FRAGMENTS_PER_PACKET).then_some(DropReason::FragmentTooMany)
    }

    /// What becomes of the packet and how many of its fragments are part of another's frame, if this is the last one missing.
    fn joined(&self, piece: &Piece) -> Option<(End, usize)> {
        let mut parts: Vec<_> = self.parts.iter().chain([piece]).copied().collect();
        parts.sort_by_key(|part| part.offset);
        let last = parts.last().filter(|last| !last.more)?;
        let end = last.end();
        let payload: Vec<u8> = parts.iter().flat_map(Piece::payload).collect();
        if payload.len() != end {
            return None;
        }
        let merged = parts.len() - 1;
        if !last.has_room() && parts.len() > MAX_SEGMENTS {
            return Some((End::Dropped(DropReason::ReassembledTooBig), merged));
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
        Some((End::Whole([bytes, payload].concat()), merged))
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
    fn dropped(&mut self, reason: DropReason) {
        self.ends.push(End::Dropped(reason));
    }

    fn merged(&mut self) {
        self.ends.push(End::Merged);
    }

    fn cache(&mut self) -> &mut ChunkCache {
        self.cache
    }

    fn lost(&mut self, frame: Frame, reason: DropReason) {
        self.ends.push(End::Lost(reason, bytes_of(&frame)));
        self.cache.give_frame(frame);
    }
}

/// All bytes of a frame.
pub fn bytes_of(frame: &Frame) -> Vec<u8> {
    frame.segments().flatten().copied().collect()
}

/// A frame that holds these bytes in as few chunks as possible, or in two although one would do.
pub fn frame_of(bytes: &[u8], is_split: bool, cache: &mut ChunkCache) -> Frame {
    let at = if is_split && bytes.len() > 300 { 280 } else { bytes.len().min(CHUNK_BYTES - 256) };
    let (front, rest) = bytes.split_at(at);
    let front = Frame::from_bytes(cache.take().unwrap(), 256, front).unwrap();
    if rest.is_empty() { front } else { front.followed_by(frame_of(rest, false, cache)).unwrap() }
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
        let frame = frame_of(&piece.bytes(), piece.is_split, &mut self.cache);
        let fragment = Fragment::read(&frame);
        assert_eq!(fragment.err(), piece.fault(), "{piece:?}");
        self.seen.extend(piece.fault());
        let Ok(fragment) = fragment else { return self.cache.give_frame(frame) };
        let mut collected = Collected { ends: Vec::new(), cache: &mut self.cache };
        let whole = self.table.take(frame, fragment, self.now_s, &mut collected);
        let mut found = collected.ends;
        if let Some(frame) = whole {
            found.push(End::Whole(bytes_of(&frame)));
            self.cache.give_frame(frame);
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
                End::Lost(reason, _) | End::Dropped(reason) => drop(self.seen.insert(*reason)),
                End::Merged => {}
                End::Whole(_) => self.whole += 1,
            }
        }
    }

    /// The table is as large as the model, and within its bounds.
    fn check(&mut self) {
        let parked: usize = self.packets.iter().map(|packet| packet.parts.len()).sum();
        let chunks = self.chunk_count(0) + self.chunk_count(1);
        assert_eq!((self.table.parked(), self.table.parked_chunks()), (parked, chunks));
        self.cache.flush();
        assert_eq!(self.pool.free_count() + chunks, CHUNKS as usize, "every chunk is parked or free");
        for peer in 0..2 {
            assert!(self.packet_count(peer) <= usize::from(self.limits.packets_per_peer()));
            assert!(self.chunk_count(peer) <= usize::from(self.limits.chunks_per_peer()));
        }
    }

    fn packet_count(&self, peer: usize) -> usize {
        self.packets.iter().filter(|packet| packet.peer == peer).count()
    }

    fn chunk_count(&self, peer: usize) -> usize {
        let packets = self.packets.iter().filter(|packet| packet.peer == peer);
        packets.flat_map(|packet| &packet.parts).map(Piece::chunks).sum()
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
            ends.extend(std::iter::repeat_n(End::Merged, merged));
            ends.push(whole);
            return ends;
        }
        while self.packet_count(peer) > 0
            && self.chunk_count(peer) + piece.chunks() > usize::from(self.limits.chunks_per_peer())
        {
            ends.extend(self.given_up(self.oldest(peer), DropReason::FragmentShare));
        }
        match self.position(&piece) {
            Some(at) => self.packets[at].parts.push(piece),
            None => ends.push(End::Lost(DropReason::FragmentShare, piece.bytes())),
        }
        ends
    }

    /// Small enough that a few hundred bytes use up a peer's share.
    pub const LIMITS: Limits = Limits { packets: 8, chunks: 48, timeout_s: 2 };

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
    ///   0xF0: wait; 1: IPv6; 2: offset in units of 64, not 256; 4: more follow; 8: changed payload; packet 0x80: in two chunks
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
            is_split: packet & 0x80 != 0,
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
