use super::*;
use xsk::{Umem, UmemConfig};

const CHUNKS: usize = 1024;
/// Hash of the only tunnel.
const TUNNEL: u64 = 7 << 32;

/// A pool, as many ends as asked for, and the wakers of their workers.
fn joined(workers: usize) -> (Arc<ChunkPool>, Vec<Option<Exchange>>, Vec<Waker>) {
    joined_with(1024, workers)
}

fn joined_with(chunk_count: u32, workers: usize) -> (Arc<ChunkPool>, Vec<Option<Exchange>>, Vec<Waker>) {
    let config = UmemConfig { chunk_count, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
    let (_, pool) = Umem::map(&config).unwrap();
    let wakers: Vec<_> = (0..workers).map(|_| Waker::new().unwrap()).collect();
    let ends = exchange(&wakers, &pool);
    (pool, ends, wakers)
}

fn two() -> (Arc<ChunkPool>, [Exchange; 2], Vec<Waker>) {
    two_with(1024)
}

fn two_with(chunk_count: u32) -> (Arc<ChunkPool>, [Exchange; 2], Vec<Waker>) {
    let (pool, ends, wakers) = joined_with(chunk_count, 2);
    let ends: Vec<_> = ends.into_iter().map(Option::unwrap).collect();
    (pool, ends.try_into().unwrap(), wakers)
}

fn frame(cache: &mut ChunkCache, byte: u8) -> Frame {
    Frame::from_bytes(cache.take().unwrap(), 256, &[byte; 60]).unwrap()
}

#[test]
fn a_single_worker_has_no_exchange() {
    assert!(joined(1).1.iter().all(Option::is_none));
    assert!(joined(65).1.iter().all(Option::is_none));
    assert_eq!(joined(64).1.into_iter().flatten().count(), 64);
}

#[test]
fn fragments_belong_to_whoever_asks_first() {
    let (_, [one, other], _wakers) = two();
    let hash = |number: u64| number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    assert_eq!((one.owner(hash(1)), other.owner(hash(1))), (0, 0));
    assert_eq!((other.owner(hash(2)), one.owner(hash(2))), (1, 1));
    assert_eq!((one.owner(hash(1)), other.owner(hash(2))), (0, 1), "for good");
}

#[test]
fn frames_come_out_in_order_and_are_counted_at_both_ends() {
    let (pool, [mut one, mut other], _wakers) = two();
    let mut cache = ChunkCache::new(Arc::clone(&pool), 128);
    for byte in 0..3 {
        one.give(1, TUNNEL, frame(&mut cache, byte)).unwrap();
    }
    assert_eq!((one.net_chunks(), other.net_chunks()), (-3, 0));
    for byte in 0..3 {
        let frame = other.take().unwrap();
        assert_eq!(frame.linear(), Some(&[byte; 60][..]));
        cache.give_frame(frame);
    }
    assert!(other.take().is_none() && one.take().is_none());
    assert_eq!((one.net_chunks(), other.net_chunks()), (-3, 3));
}

#[test]
fn a_lane_without_room_and_a_worker_that_is_not_there_give_the_frame_back() {
    let (pool, [mut one, _other], _wakers) = two();
    let mut cache = ChunkCache::new(Arc::clone(&pool), 128);
    for _ in 0..LANE_CHUNKS / 2 {
        one.give(1, TUNNEL, frame(&mut cache, 0)).unwrap();
    }
    let refused = one.give(1, TUNNEL, frame(&mut cache, 7)).unwrap_err();
    assert_eq!(refused.linear(), Some(&[7; 60][..]));
    let refused = one.give(2, TUNNEL, refused).unwrap_err();
    cache.give_frame(refused);
    assert_eq!(one.net_chunks(), -256);
}

#[test]
fn frames_that_nobody_took_go_back_to_the_pool_with_the_last_worker() {
    let (pool, [mut one, other], _wakers) = two();
    let mut cache = ChunkCache::new(Arc::clone(&pool), 128);
    one.give(1, TUNNEL, frame(&mut cache, 0)).unwrap();
    cache.flush();
    drop(other);
    assert_eq!(pool.free_count(), CHUNKS - 1);
    drop(one);
    assert_eq!(pool.free_count(), CHUNKS);
}

#[test]
fn only_a_sleeper_is_woken_and_only_once() {
    let (pool, [mut one, mut other], wakers) = two();
    let mut cache = ChunkCache::new(Arc::clone(&pool), 128);
    one.give(1, TUNNEL, frame(&mut cache, 0)).unwrap();
    one.wake();
    assert_eq!(wakers[1].clear(), 0, "it does not sleep");
    assert!(!other.may_sleep(), "a frame waits");
    cache.give_frame(other.take().unwrap());
    assert!(other.may_sleep());
    one.wake();
    assert_eq!(wakers[1].clear(), 0, "nothing for it");
    one.give(1, TUNNEL, frame(&mut cache, 0)).unwrap();
    one.give(1, TUNNEL, frame(&mut cache, 0)).unwrap();
    one.wake();
    assert_eq!(wakers[1].clear(), 1);
    one.give(1, TUNNEL, frame(&mut cache, 0)).unwrap();
    one.wake();
    assert_eq!((wakers[1].clear(), wakers[0].clear()), (0, 0), "woken already");
    other.awake();
}

/// Packets of as many frames as asked for, with numbers from `first` on.
fn give_packets(end: &mut Exchange, worker: usize, cache: &mut ChunkCache, bytes: std::ops::Range<u8>) {
    for byte in bytes {
        end.give_packet(worker, frame(cache, byte)).unwrap();
    }
}

#[test]
fn packets_wait_to_be_pushed_and_come_out_in_order_as_blocks() {
    let (pool, [mut one, mut other], _wakers) = two();
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 128), FrameBatch::new());
    give_packets(&mut one, 1, &mut cache, 0..5);
    assert_eq!((other.take_packets(&mut batch), one.net_chunks()), (0, -5), "not pushed yet");
    one.push_packets();
    give_packets(&mut one, 1, &mut cache, 5..100);
    one.push_packets();
    // 64 of the 95 went by themselves, the rest upon the push.
    for (count, first) in [(5, 0), (64, 5), (31, 69)] {
        assert_eq!(other.take_packets(&mut batch), count);
        for (byte, frame) in (first..).zip(batch.drain(..)) {
            assert_eq!(frame.linear(), Some(&[byte; 60][..]));
            cache.give_frame(frame);
        }
        // The last ones waited until the taker had caught up.
        one.wake();
    }
    assert_eq!((other.take_packets(&mut batch), other.net_chunks(), one.net_chunks()), (0, 100, -100));
}

#[test]
fn a_worker_that_is_behind_gets_full_blocks_and_refuses_no_packet_before_its_lane_is_full_of_them() {
    let (pool, [mut one, mut other], _wakers) = two();
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 128), FrameBatch::new());
    for _ in 0..packets::EAGER_BLOCKS + 1 {
        give_packets(&mut one, 1, &mut cache, 0..1);
        one.push_packets();
    }
    assert!(!one.may_sleep(), "one packet waits for others");
    give_packets(&mut one, 1, &mut cache, 1..64);
    one.push_packets();
    assert!(one.may_sleep(), "the block was full");
    one.awake();
    give_packets(&mut one, 1, &mut cache, 64..65);
    one.push_packets();
    let mut counts = Vec::new();
    loop {
        match other.take_packets(&mut batch) {
            0 => break,
            count => counts.push(count),
        }
        batch.drain(..).for_each(|frame| cache.give_frame(frame));
        one.wake();
    }
    assert_eq!(counts, [2, 64, 1]);
}

#[test]
fn packets_of_a_worker_that_gets_more_wait_until_their_block_is_full_or_the_round_after() {
    let (pool, [mut one, mut other], _wakers) = two();
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 128), FrameBatch::new());
    let mut take = |other: &mut Exchange, cache: &mut ChunkCache| {
        let count = other.take_packets(&mut batch);
        batch.drain(..).for_each(|frame| cache.give_frame(frame));
        count
    };
    give_packets(&mut one, 1, &mut cache, 0..40);
    one.offer_packets(true);
    one.wake();
    assert_eq!(take(&mut other, &mut cache), 0, "the block is not full");
    give_packets(&mut one, 1, &mut cache, 40..80);
    one.offer_packets(true);
    one.wake();
    assert_eq!(take(&mut other, &mut cache), 64);
    assert!(!one.may_sleep(), "16 packets wait");
    one.wake();
    assert_eq!(take(&mut other, &mut cache), 16, "a round without a full batch lets them go");
    give_packets(&mut one, 1, &mut cache, 80..81);
    one.offer_packets(false);
    assert_eq!(take(&mut other, &mut cache), 1, "and so does a batch that is not full");
}

#[test]
fn packets_off_the_lane_and_in_no_batch_keep_their_worker_awake_and_go_back_at_its_end() {
    let (pool, [mut one, mut other], _wakers) = two();
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 128), FrameBatch::new());
    // Two blocks that do not fit one batch together.
    for range in [0..60, 60..120] {
        give_packets(&mut one, 1, &mut cache, range);
        one.push_packets();
    }
    assert_eq!(other.take_packets(&mut batch), 60);
    assert!(!other.may_sleep(), "60 wait");
    assert_eq!((one.net_chunks(), other.net_chunks()), (-120, 60), "nobody's before they are in a batch");
    batch.drain(..).for_each(|frame| cache.give_frame(frame));
    cache.flush();
    let (before, _) = (pool.free_count(), drop(other));
    assert_eq!(pool.free_count(), before + 60);
}

#[test]
fn a_full_lane_keeps_one_block_back_and_refuses_the_next_packet() {
    let (pool, [mut one, mut other], _wakers) = two_with(8192);
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 128), FrameBatch::new());
    let room = (packets::LANE_BLOCKS + 1) * packets::BLOCK;
    for _ in 0..room {
        give_packets(&mut one, 1, &mut cache, 0..1);
    }
    let refused = one.give_packet(1, frame(&mut cache, 7)).unwrap_err();
    assert_eq!(refused.linear(), Some(&[7; 60][..]));
    assert!(!one.may_sleep(), "packets wait for room");
    let mut count = other.take_packets(&mut batch);
    one.wake();
    assert!(one.may_sleep());
    one.awake();
    one.give_packet(1, refused).unwrap();
    one.push_packets();
    while !batch.is_empty() {
        batch.drain(..).for_each(|frame| cache.give_frame(frame));
        one.wake();
        count += other.take_packets(&mut batch);
    }
    assert_eq!((count, one.net_chunks() + other.net_chunks()), (room + 1, 0));
}

#[test]
fn a_sender_is_settled_when_all_that_it_gave_is_finished_or_its_taker_has_ended() {
    let (pool, [mut one, mut other], _wakers) = two();
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 128), FrameBatch::new());
    assert!(one.is_settled() && other.is_settled());
    give_packets(&mut one, 1, &mut cache, 0..3);
    assert!(!one.is_settled(), "not pushed");
    one.push_packets();
    assert!(!one.is_settled(), "not taken");
    assert_eq!(other.take_packets(&mut batch), 3);
    assert!(!one.is_settled() && other.is_settled(), "not finished");
    other.finish_packets();
    assert!(one.is_settled());
    give_packets(&mut one, 1, &mut cache, 0..3);
    batch.drain(..).for_each(|frame| cache.give_frame(frame));
    drop(other);
    assert!(one.is_settled(), "nobody is there to finish them");
    cache.flush();
    drop(one);
    assert_eq!(pool.free_count(), CHUNKS, "those that were not pushed come back too");
}

#[test]
fn packets_wake_a_sleeper() {
    let (pool, [mut one, mut other], wakers) = two();
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 128), FrameBatch::new());
    assert!(other.may_sleep());
    give_packets(&mut one, 1, &mut cache, 0..1);
    one.wake();
    assert_eq!(wakers[1].clear(), 1, "pushed and woken");
    assert!(!other.may_sleep(), "a packet waits");
    assert_eq!(other.take_packets(&mut batch), 1);
    batch.drain(..).for_each(|frame| cache.give_frame(frame));
}

#[test]
fn threads_that_give_each_other_packets_lose_none_and_keep_their_order() {
    const COUNT: u32 = 20_000;
    let (pool, ends, _wakers) = joined(3);
    std::thread::scope(|scope| {
        for (number, end) in (0u8..).zip(ends.into_iter().flatten()) {
            let pool = &pool;
            scope.spawn(move || exchange_numbered(end, number, pool, COUNT));
        }
    });
    assert_eq!(pool.free_count(), CHUNKS);
}

/// Gives each other worker so many numbered packets, and takes as many from each in order.
fn exchange_numbered(mut end: Exchange, own: u8, pool: &Arc<ChunkPool>, count: u32) {
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(pool), 128), FrameBatch::new());
    let others: Vec<usize> = (0..3).filter(|worker| *worker != usize::from(own)).collect();
    let (mut sent, mut came) = ([0; 3], [0; 3]);
    let is_done = |numbers: &[u32; 3]| others.iter().all(|worker| numbers[*worker] == count);
    while !is_done(&sent) || !is_done(&came) || !end.is_settled() {
        for &worker in &others {
            // Fewer on their way than there are chunks, for everybody together.
            while sent[worker] < count && sent[worker] < came[worker] + 100 {
                let mut bytes = [own; 60];
                bytes[4..8].copy_from_slice(&sent[worker].to_be_bytes());
                let Some(chunk) = cache.take() else { break };
                match end.give_packet(worker, Frame::from_bytes(chunk, 256, &bytes).unwrap()) {
                    Ok(()) => sent[worker] += 1,
                    Err(frame) => {
                        cache.give_frame(frame);
                        break;
                    }
                }
            }
        }
        end.push_packets();
        end.take_packets(&mut batch);
        for frame in batch.drain(..) {
            let bytes = frame.linear().unwrap();
            let (from, number) =
                (usize::from(bytes[0]), u32::from_be_bytes(*bytes[4..].first_chunk().unwrap()));
            assert_eq!(number, came[from], "from {from}");
            came[from] += 1;
            cache.give_frame(frame);
        }
        end.finish_packets();
        std::thread::yield_now();
    }
}
