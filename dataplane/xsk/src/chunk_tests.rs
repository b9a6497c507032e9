//! Tests of pool and caches: no chunk is lost or doubled, whoever trades.

use std::collections::HashSet;
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::frame::Frame;
use crate::{Umem, UmemConfig};

fn pool(chunk_count: u32) -> Arc<ChunkPool> {
    let config = UmemConfig { chunk_count, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
    Umem::map(&config).unwrap().1
}

#[test]
fn a_new_pool_has_all_chunks_whatever_their_number() {
    for count in [1, 63, 64, 65, 200] {
        assert_eq!(pool(count).free_count(), count as usize);
    }
}

#[test]
fn every_chunk_is_another_one() {
    let mut cache = ChunkCache::new(pool(200), 0);
    let chunks: Vec<Chunk> = std::iter::from_fn(|| cache.take()).collect();
    let places: HashSet<_> = chunks.iter().map(|chunk| chunk.base().addr()).collect();
    assert_eq!((chunks.len(), places.len()), (200, 200));
    chunks.into_iter().for_each(|chunk| cache.give(chunk));
}

#[test]
fn a_full_cache_gives_a_block_to_the_pool() {
    let pool = pool(256);
    let mut cache = ChunkCache::new(Arc::clone(&pool), 128);
    let chunks: Vec<Chunk> = std::iter::from_fn(|| cache.take()).collect();
    assert_eq!(pool.free_count(), 0);
    for chunk in chunks {
        cache.give(chunk);
        assert!(cache.len() <= 128);
    }
    assert_eq!(pool.free_count() + cache.len(), 256);
}

#[test]
fn a_dropped_cache_gives_everything_back() {
    let pool = pool(100);
    let mut cache = ChunkCache::new(Arc::clone(&pool), 128);
    let chunk = cache.take().unwrap();
    cache.give(chunk);
    assert!(pool.free_count() < 100);
    drop(cache);
    assert_eq!(pool.free_count(), 100);
}

#[test]
fn chunks_left_over_become_part_of_a_block_again() {
    let pool = pool(128);
    let mut cache = ChunkCache::new(Arc::clone(&pool), 128);
    for _ in 0..10 {
        let kept = cache.take().unwrap();
        cache.flush();
        cache.give(kept);
        cache.flush();
        assert_eq!(pool.free_count(), 128);
    }
    assert_eq!(std::iter::from_fn(|| cache.take().map(drop)).count(), 128);
}

#[test]
#[should_panic(expected = "a chunk goes back to the memory it is from")]
fn a_chunk_of_another_memory_is_not_taken() {
    let mut ours = ChunkCache::new(pool(1), 0);
    let mut theirs = ChunkCache::new(pool(1), 0);
    ours.give(theirs.take().unwrap());
}

/// What a worker does with its cache.
#[derive(Debug, Clone, Copy)]
enum Act {
    Take(usize),
    Give(usize),
    Flush,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![4 => (1usize..150).prop_map(Act::Take), 4 => (1usize..150).prop_map(Act::Give), 1 => Just(Act::Flush)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 128 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn free_and_in_flight_are_all_chunks_after_every_act(
        count in 1u32..400, acts in prop::collection::vec((0usize..3, act()), 0..60),
    ) {
        let pool = pool(count);
        let mut caches: Vec<ChunkCache> = [0, 128, 300].map(|capacity| ChunkCache::new(Arc::clone(&pool), capacity)).into();
        let mut in_flight = Vec::new();
        for (who, act) in acts {
            match act {
                Act::Take(wanted) => in_flight.extend((0..wanted).map_while(|_| caches[who].take())),
                Act::Give(wanted) => (0..wanted).map_while(|_| in_flight.pop()).for_each(|chunk| caches[who].give(chunk)),
                Act::Flush => caches[who].flush(),
            }
            let cached: usize = caches.iter().map(ChunkCache::len).sum();
            prop_assert_eq!(pool.free_count() + cached + in_flight.len(), count as usize);
        }
        in_flight.drain(..).for_each(|chunk| caches[0].give(chunk));
        drop(caches);
        prop_assert_eq!(pool.free_count(), count as usize);
    }
}

/// Takes and gives for a while, and writes into what it holds: were a chunk in two hands, the bytes would tell.
fn work(pool: Arc<ChunkPool>, mark: u8, rounds: usize) {
    let mut cache = ChunkCache::new(pool, 128);
    for round in 0..rounds {
        let mut frames: Vec<Frame> = (0..1 + round % 90)
            .map_while(|_| cache.take())
            .map(|chunk| Frame::from_bytes(chunk, 0, &[mark; 8]).unwrap())
            .collect();
        thread::yield_now();
        for frame in frames.drain(..) {
            assert_eq!(frame.head(), [mark; 8]);
            cache.give_frame(frame);
        }
        if round % 16 == 0 {
            cache.flush();
        }
    }
}

#[test]
fn workers_on_three_threads_neither_lose_nor_share_a_chunk() {
    let pool = pool(300);
    let rounds = if cfg!(miri) { 20 } else { 5_000 };
    thread::scope(|scope| {
        for mark in 1..=3 {
            let pool = Arc::clone(&pool);
            scope.spawn(move || work(pool, mark, rounds));
        }
    });
    assert_eq!(pool.free_count(), 300);
}
