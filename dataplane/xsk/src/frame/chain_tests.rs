//! Tests of chains: bytes stay in order and in place, no chunk is lost or doubled, and a link is never written over.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{Umem, UmemConfig};

const CHUNKS: u32 = 48;

fn cache() -> ChunkCache {
    let config = UmemConfig { chunk_count: CHUNKS, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
    let (_, pool) = Umem::map(&config).unwrap();
    ChunkCache::new(Arc::clone(&pool), 128)
}

/// Chunks that the cache can give.
fn free(cache: &ChunkCache) -> usize {
    cache.len() + cache.pool().free_count()
}

fn segment(cache: &mut ChunkCache, start: usize, bytes: &[u8]) -> Frame {
    Frame::from_bytes(cache.take().unwrap(), start, bytes).unwrap()
}

/// A frame of these segments, each `start` bytes into its chunk.
fn frame(cache: &mut ChunkCache, start: usize, segments: &[&[u8]]) -> Frame {
    let mut rest = None;
    for bytes in segments.iter().rev() {
        let head = segment(cache, start, bytes);
        rest = Some(match rest {
            None => head,
            Some(rest) => head.followed_by(rest).unwrap(),
        });
    }
    rest.unwrap()
}

fn bytes(frame: &Frame) -> Vec<u8> {
    frame.segments().collect::<Vec<_>>().concat()
}

#[test]
fn a_chain_is_its_segments_one_after_the_other() {
    let mut cache = cache();
    let chain = frame(&mut cache, 256, &[b"jumbo", b" ", b"frame"]);
    assert_eq!((chain.len(), chain.head(), chain.segment_count()), (11, &b"jumbo"[..], 3));
    assert!(!chain.is_linear() && !chain.is_empty() && chain.linear().is_none());
    assert_eq!(bytes(&chain), b"jumbo frame");
    assert_eq!(chain.segments().map(<[u8]>::len).collect::<Vec<_>>(), [5, 1, 5]);
    cache.give_frame(chain);
    assert_eq!(free(&cache), CHUNKS as usize);
}

#[test]
fn the_head_grows_up_to_its_link_and_no_further() {
    let mut cache = cache();
    let mut chain = frame(&mut cache, 256, &[b"head", b"rest"]);
    assert_eq!((chain.headroom_bytes(), chain.tailroom_bytes()), (240, 0));
    assert!(chain.push_front(241).is_none() && chain.extend_back(1).is_none());
    assert!(chain.before_mut::<241>().is_none());
    chain.before_mut::<240>().unwrap().fill(7);
    chain.push_front(240).unwrap()[..240].fill(9);
    assert_eq!(&bytes(&chain)[238..], b"\x09\x09headrest");
    assert_eq!(chain.headroom_bytes(), 0);
    cache.give_frame(chain);
    assert_eq!(free(&cache), CHUNKS as usize);
}

#[test]
fn a_head_without_room_for_the_link_is_refused() {
    let mut cache = cache();
    let (head, rest) = (segment(&mut cache, 15, b"a"), segment(&mut cache, 0, b"b"));
    let (head, rest) = head.followed_by(rest).unwrap_err();
    cache.give_frame(head);
    let head = segment(&mut cache, 16, b"a");
    let chain = head.followed_by(rest).unwrap();
    assert_eq!((bytes(&chain), chain.headroom_bytes()), (b"ab".to_vec(), 0));
    cache.give_frame(chain);
    assert_eq!(free(&cache), CHUNKS as usize);
}

#[test]
fn what_can_be_no_chain_is_refused_and_given_back_whole() {
    let mut cache = cache();
    for (front, back) in [(&b""[..], &b"b"[..]), (b"a", b"")] {
        let (head, rest) = (segment(&mut cache, 64, front), segment(&mut cache, 64, back));
        let (head, rest) = head.followed_by(rest).unwrap_err();
        assert_eq!((head.head(), rest.head()), (front, back));
        cache.give_frame(head);
        cache.give_frame(rest);
    }
    let chained = frame(&mut cache, 64, &[b"a", b"b"]);
    let rest = segment(&mut cache, 64, b"c");
    let (chained, rest) = chained.followed_by(rest).unwrap_err();
    assert_eq!((bytes(&chained), bytes(&rest)), (b"ab".to_vec(), b"c".to_vec()), "only a linear head");
    cache.give_frame(chained);
    cache.give_frame(rest);
    assert_eq!(free(&cache), CHUNKS as usize);
}

#[test]
fn a_frame_has_a_limited_number_of_segments() {
    let mut cache = cache();
    let most = frame(&mut cache, 64, &[b"x".as_slice(); MAX_SEGMENTS]);
    assert_eq!(most.segment_count(), MAX_SEGMENTS);
    let (head, most) = segment(&mut cache, 64, b"y").followed_by(most).unwrap_err();
    assert_eq!(most.len(), MAX_SEGMENTS);
    cache.give_frame(head);
    cache.give_frame(most);
    assert_eq!(free(&cache), CHUNKS as usize);
}

#[test]
fn a_cut_gives_back_the_chunks_it_frees_and_no_other() {
    let mut cache = cache();
    for (len, segments) in [(9, 3), (8, 3), (7, 3), (6, 2), (4, 2), (3, 1), (1, 1), (0, 1)] {
        let mut chain = frame(&mut cache, 64, &[b"abc", b"def", b"ghi"]);
        chain.truncate(len, &mut cache);
        assert_eq!((bytes(&chain).as_slice(), chain.len()), (&b"abcdefghi"[..len], len));
        assert_eq!((chain.segment_count(), free(&cache)), (segments, CHUNKS as usize - segments), "{len}");
        cache.give_frame(chain);
    }
}

#[test]
fn the_front_is_pulled_past_the_head() {
    let mut cache = cache();
    for (count, segments) in [(0, 3), (2, 3), (3, 2), (5, 2), (6, 1), (8, 1), (9, 1)] {
        let mut chain = frame(&mut cache, 64, &[b"abc", b"def", b"ghi"]);
        assert_eq!(chain.pull_front(count).is_some(), count < 3, "a head is not emptied by the way");
        if count >= 3 {
            chain.pull_through(count, &mut cache).unwrap();
        }
        assert_eq!(bytes(&chain), &b"abcdefghi"[count..]);
        assert_eq!((chain.segment_count(), free(&cache)), (segments, CHUNKS as usize - segments), "{count}");
        assert!(chain.pull_through(10 - count, &mut cache).is_none());
        assert_eq!(bytes(&chain), &b"abcdefghi"[count..], "nothing changes");
        cache.give_frame(chain);
    }
}

#[test]
fn a_read_crosses_segments_and_ends_with_the_frame() {
    let mut cache = cache();
    let chain = frame(&mut cache, 64, &[b"abc", b"def", b"ghi"]);
    for from in 0..=9 {
        for to in from..=9 {
            let mut out = vec![0; to - from];
            chain.read_at(from, &mut out).unwrap();
            assert_eq!(out, &b"abcdefghi"[from..to]);
        }
        assert!(chain.read_at(from, &mut vec![0; 10 - from]).is_none());
    }
    assert!(chain.read_at(10, &mut []).is_none() || chain.read_at(usize::MAX, &mut [0]).is_none());
    cache.give_frame(chain);
}

#[test]
fn a_copy_takes_no_more_chunks_than_it_needs_and_leaves_the_original() {
    let mut cache = cache();
    let pattern: Vec<u8> = (0..=250).cycle().take(6000).collect();
    let parts: Vec<&[u8]> = pattern.chunks(1000).collect();
    let chain = frame(&mut cache, 256, &parts);
    let copy = chain.copy_from_cache(256, &mut cache).unwrap();
    // 1792 bytes fit the first chunk, 2008 each further one.
    assert_eq!(copy.segments().map(<[u8]>::len).collect::<Vec<_>>(), [1792, 2008, 2008, 192]);
    assert_eq!((bytes(&copy), bytes(&chain)), (pattern.clone(), pattern));
    assert_eq!(copy.headroom_bytes(), 240);
    cache.give_frame(copy);
    cache.give_frame(chain);
    assert_eq!(free(&cache), CHUNKS as usize);
}

#[test]
fn a_copy_that_cannot_be_whole_is_none_and_costs_no_chunk() {
    let mut cache = cache();
    let pattern = [5; 1700];
    let chain = frame(&mut cache, 256, &[&pattern[..], &pattern, &pattern, &pattern]);
    let hoard: Vec<Chunk> = std::iter::from_fn(|| cache.take()).collect();
    let mut hoard = hoard.into_iter();
    for few in 0..4 {
        assert_eq!(free(&cache), few);
        assert!(chain.copy_from_cache(256, &mut cache).is_none());
        assert_eq!(free(&cache), few);
        cache.give(hoard.next().unwrap());
    }
    let copy = chain.copy_from_cache(256, &mut cache).unwrap();
    assert_eq!(copy.len(), 6800);
    cache.give_frame(copy);
    assert!(chain.copy_from_cache(2048, &mut cache).is_none(), "a first chunk without room");
    assert!(chain.copy_from_cache(3000, &mut cache).is_none());
    hoard.for_each(|chunk| cache.give(chunk));
    cache.give_frame(chain);
    assert_eq!(free(&cache), CHUNKS as usize);
}

#[test]
fn a_short_chain_becomes_linear_in_a_chunk_that_holds_it() {
    let mut cache = cache();
    let chain = frame(&mut cache, 256, &[b"abc", b"def"]);
    let chunk = cache.take().unwrap();
    let refused = chain.copy_into(chunk, 2043).unwrap_err();
    let copy = chain.copy_into(refused, 2042).unwrap();
    assert_eq!(copy.linear(), Some(&b"abcdef"[..]));
    cache.give_frame(copy);
    cache.give_frame(chain);
}

#[test]
fn a_chain_can_be_handed_to_another_thread() {
    let mut cache = cache();
    let mut chain = frame(&mut cache, 256, &[b"ab", b"cd"]);
    let chain = std::thread::spawn(move || {
        chain.head_mut()[0] = b'x';
        chain
    })
    .join()
    .unwrap();
    assert_eq!(bytes(&chain), b"xbcd");
    cache.give_frame(chain);
}

/// One act on a frame.
#[derive(Debug, Clone, Copy)]
enum Act {
    Push(usize),
    Pull(usize),
    PullThrough(usize),
    Truncate(usize),
    Extend(usize),
    /// A new head, at this offset in its chunk and this long, in front of it.
    Lead(usize, usize),
    /// The rest is taken off and put back.
    Rejoin,
    /// The rest is taken off and given up.
    Behead,
    Copy(usize),
}

fn act() -> impl Strategy<Value = Act> {
    let count = prop_oneof![4 => 0usize..80, 2 => 0usize..5000, 1 => Just(usize::MAX)];
    prop_oneof![
        3 => count.clone().prop_map(Act::Push),
        2 => count.clone().prop_map(Act::Pull),
        2 => count.clone().prop_map(Act::PullThrough),
        1 => (0usize..20_000).prop_map(Act::Truncate),
        1 => count.prop_map(Act::Extend),
        5 => (0usize..600, 0usize..1448).prop_map(|(start, len)| Act::Lead(start, len)),
        1 => Just(Act::Rejoin),
        1 => Just(Act::Behead),
        1 => (0usize..300).prop_map(Act::Copy),
    ]
}

/// What a segment should be: its place in its chunk, and its bytes.
#[derive(Debug, Clone)]
struct Model {
    start: usize,
    bytes: Vec<u8>,
}

/// Frame and model, which every act leaves alike.
struct Pair {
    frame: Frame,
    model: VecDeque<Model>,
    cache: ChunkCache,
    /// Fills new bytes, each time with other ones.
    next: u8,
}

impl Pair {
    fn len(&self) -> usize {
        self.model.iter().map(|segment| segment.bytes.len()).sum()
    }

    fn fill(&mut self, count: usize) -> Vec<u8> {
        self.next = self.next.wrapping_mul(5).wrapping_add(113);
        vec![self.next; count]
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Push(count) => self.push(count),
            Act::Pull(count) => {
                let head = self.model[0].bytes.len();
                let fits = count < head || (count == head && self.model.len() == 1);
                assert_eq!(self.frame.pull_front(count).is_some(), fits);
                if fits {
                    self.pull(count);
                }
            }
            Act::PullThrough(count) => {
                let fits = count <= self.len();
                assert_eq!(self.frame.pull_through(count, &mut self.cache).is_some(), fits);
                if fits {
                    self.pull(count);
                }
            }
            Act::Truncate(len) => {
                self.frame.truncate(len, &mut self.cache);
                self.truncate(len);
            }
            Act::Extend(count) => self.extend(count),
            Act::Lead(start, len) => self.lead(start, len),
            Act::Rejoin => {
                if let Some(rest) = self.frame.take_rest() {
                    let head = core::mem::replace(&mut self.frame, rest);
                    let rest = core::mem::replace(&mut self.frame, head);
                    self.replace(|frame| frame.followed_by(rest).unwrap());
                }
            }
            Act::Behead => {
                if let Some(rest) = self.frame.take_rest() {
                    self.cache.give_frame(rest);
                    self.model.truncate(1);
                }
            }
            Act::Copy(start) => {
                let copy = self.frame.copy_from_cache(start, &mut self.cache);
                if let Some(copy) = copy {
                    assert_eq!(bytes(&copy), bytes(&self.frame));
                    self.cache.give_frame(copy);
                }
            }
        }
    }

    /// Makes another frame of the frame.
    fn replace(&mut self, change: impl FnOnce(Frame) -> Frame) {
        let spare = Frame::new(self.cache.take().unwrap(), 0, 0).unwrap();
        let frame = core::mem::replace(&mut self.frame, spare);
        let spare = core::mem::replace(&mut self.frame, change(frame));
        self.cache.give_frame(spare);
    }

    fn push(&mut self, count: usize) {
        let link = if self.model.len() > 1 { LINK_BYTES } else { 0 };
        let fits = count <= self.model[0].start - link;
        let new = self.fill(if fits { count } else { 0 });
        let pushed = self.frame.push_front(count);
        assert_eq!(pushed.is_some(), fits);
        if let Some(head) = pushed {
            head[..count].copy_from_slice(&new);
            let head = &mut self.model[0];
            head.start -= count;
            head.bytes.splice(..0, new);
        }
    }

    fn pull(&mut self, mut count: usize) {
        while self.model.len() > 1 && count >= self.model[0].bytes.len() {
            count -= self.model.pop_front().unwrap().bytes.len();
        }
        self.model[0].start += count;
        self.model[0].bytes.drain(..count);
    }

    fn truncate(&mut self, len: usize) {
        let mut left = len;
        for segment in &mut self.model {
            segment.bytes.truncate(left);
            left -= segment.bytes.len();
        }
        while self.model.len() > 1 && self.model.back().unwrap().bytes.is_empty() {
            self.model.pop_back();
        }
    }

    fn extend(&mut self, count: usize) {
        let head = &self.model[0];
        let fits = self.model.len() == 1 && count <= 2048 - head.start - head.bytes.len();
        let new = self.fill(if fits { count } else { 0 });
        let extended = self.frame.extend_back(count);
        assert_eq!(extended.is_some(), fits);
        if let Some(head) = extended {
            let at = head.len() - count;
            head[at..].copy_from_slice(&new);
            self.model[0].bytes.extend(new);
        }
    }

    fn lead(&mut self, start: usize, len: usize) {
        let new = self.fill(len);
        let head = segment(&mut self.cache, start, &new);
        let fits = start >= LINK_BYTES && len > 0 && self.len() > 0 && self.model.len() < MAX_SEGMENTS;
        let mut refused = None;
        self.replace(|frame| match head.followed_by(frame) {
            Ok(frame) => frame,
            Err((head, frame)) => {
                refused = Some(head);
                frame
            }
        });
        assert_eq!(refused.is_none(), fits);
        match refused {
            Some(head) => self.cache.give_frame(head),
            None => self.model.push_front(Model { start, bytes: new }),
        }
    }

    fn check(&self) {
        assert_eq!(self.frame.len(), self.len());
        assert_eq!(self.frame.segment_count(), self.model.len());
        assert_eq!(self.frame.is_linear(), self.model.len() == 1);
        assert!(self.frame.segments().eq(self.model.iter().map(|segment| segment.bytes.as_slice())));
        let link = if self.model.len() > 1 { LINK_BYTES } else { 0 };
        assert_eq!(self.frame.headroom_bytes(), self.model[0].start - link);
        assert_eq!(free(&self.cache) + self.model.len(), CHUNKS as usize);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 8 } else { 512 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_acts_on_a_frame_are_those_on_lists_of_bytes(acts in prop::collection::vec(act(), 0..60)) {
        let mut cache = cache();
        let first = segment(&mut cache, 300, b"first");
        let model = VecDeque::from([Model { start: 300, bytes: b"first".to_vec() }]);
        let mut pair = Pair { frame: first, model, cache, next: 1 };
        for act in acts {
            pair.act(act);
            pair.check();
        }
        pair.cache.give_frame(pair.frame);
        let places: HashSet<_> =
            std::iter::from_fn(|| pair.cache.take()).map(|chunk| chunk.base().addr()).collect();
        prop_assert_eq!(places.len(), CHUNKS as usize, "none lost, none doubled");
    }
}
