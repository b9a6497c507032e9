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

/// Gives one packet.
fn give_packet(end: &mut Exchange, worker: usize, frame: Frame) -> Result<(), Frame> {
    let mut batch = FrameBatch::from_iter([frame]);
    let given = end.give_packets(worker, &mut Deal::new(&mut batch), 1);
    assert_eq!(given + batch.len(), 1);
    batch.pop().map_or(Ok(()), Err)
}

/// Packets of as many frames as asked for, with numbers from `first` on.
fn give_packets(end: &mut Exchange, worker: usize, cache: &mut ChunkCache, bytes: std::ops::Range<u8>) {
    for byte in bytes {
        give_packet(end, worker, frame(cache, byte)).unwrap();
    }
}

#[test]
fn packets_are_seen_once_published_and_come_out_in_order_as_many_as_a_batch_takes() {
    let (pool, [mut one, mut other], _wakers) = two();
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 128), FrameBatch::new());
    give_packets(&mut one, 1, &mut cache, 0..5);
    assert_eq!((other.take_packets(&mut batch), one.net_chunks()), (0, -5), "not published yet");
    one.publish_packets();
    give_packets(&mut one, 1, &mut cache, 5..100);
    one.publish_packets();
    for (count, first) in [(64, 0), (36, 64)] {
        assert_eq!(other.take_packets(&mut batch), count);
        for (byte, frame) in (first..).zip(batch.drain(..)) {
            assert_eq!(frame.linear(), Some(&[byte; 60][..]));
            cache.give_frame(frame);
        }
    }
    assert_eq!((other.take_packets(&mut batch), other.net_chunks(), one.net_chunks()), (0, 100, -100));
}

#[test]
fn senders_come_first_in_turns() {
    let (pool, ends, _wakers) = joined(3);
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 256), FrameBatch::new());
    let [mut taker, mut one, mut other] =
        <[Exchange; 3]>::try_from(ends.into_iter().flatten().collect::<Vec<_>>()).unwrap();
    for (sender, byte) in [(&mut one, 1), (&mut other, 2)] {
        (0..100).for_each(|_| give_packet(sender, 0, frame(&mut cache, byte)).unwrap());
        sender.publish_packets();
    }
    let mut firsts = Vec::new();
    while taker.take_packets(&mut batch) > 0 {
        firsts.push(batch[0].head()[0]);
        batch.drain(..).for_each(|frame| cache.give_frame(frame));
        taker.finish_packets();
    }
    assert_eq!(firsts.len(), 4, "200 packets in batches of 64");
    assert_ne!(firsts[0], firsts[1]);
}

#[test]
fn packets_that_did_not_fit_a_batch_keep_their_worker_awake_and_go_back_at_its_end() {
    let (pool, [mut one, mut other], _wakers) = two();
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 128), FrameBatch::new());
    give_packets(&mut one, 1, &mut cache, 0..120);
    one.publish_packets();
    assert_eq!(other.take_packets(&mut batch), 64);
    assert!(!other.may_sleep(), "56 wait");
    assert_eq!((one.net_chunks(), other.net_chunks()), (-120, 64), "nobody's before they are in a batch");
    batch.drain(..).for_each(|frame| cache.give_frame(frame));
    cache.flush();
    let (before, _) = (pool.free_count(), drop(other));
    assert_eq!(pool.free_count(), before + 56);
}

#[test]
fn packets_for_a_worker_that_has_just_ended_come_back_with_the_last_one() {
    let (pool, [mut one, other], _wakers) = two();
    let mut cache = ChunkCache::new(Arc::clone(&pool), 128);
    give_packets(&mut one, 1, &mut cache, 0..3);
    drop(other);
    let refused = give_packet(&mut one, 1, frame(&mut cache, 7)).unwrap_err();
    cache.give_frame(refused);
    cache.flush();
    one.publish_packets();
    assert_eq!(pool.free_count(), CHUNKS - 3, "in the lane behind its taker's end");
    drop(one);
    assert_eq!(pool.free_count(), CHUNKS);
}

#[test]
fn a_full_lane_refuses_the_next_packet_until_its_taker_is_done_with_some() {
    let (pool, [mut one, mut other], _wakers) = two_with(8192);
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 128), FrameBatch::new());
    let room = packets::lane_packets(2);
    for _ in 0..room {
        give_packets(&mut one, 1, &mut cache, 0..1);
    }
    let refused = give_packet(&mut one, 1, frame(&mut cache, 7)).unwrap_err();
    assert_eq!(refused.linear(), Some(&[7; 60][..]));
    one.publish_packets();
    let mut count = other.take_packets(&mut batch);
    let refused = give_packet(&mut one, 1, refused).unwrap_err();
    other.finish_packets();
    give_packet(&mut one, 1, refused).unwrap();
    one.publish_packets();
    while !batch.is_empty() {
        batch.drain(..).for_each(|frame| cache.give_frame(frame));
        count += other.take_packets(&mut batch);
    }
    assert_eq!((count, one.net_chunks() + other.net_chunks()), (room + 1, 0));
}

#[test]
fn of_packets_that_a_lane_has_not_room_for_the_first_go_and_the_others_are_left() {
    let (pool, [mut one, mut other], _wakers) = two_with(8192);
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 128), FrameBatch::new());
    let room = packets::lane_packets(2);
    for _ in 0..room - 2 {
        give_packets(&mut one, 1, &mut cache, 0..1);
    }
    let mut four: FrameBatch = (10..14).map(|byte| frame(&mut cache, byte)).collect();
    // The second is not for that worker.
    let mut deal = Deal::new(&mut four);
    assert_eq!((one.give_packets(1, &mut deal, 0b1101), deal.left()), (2, 0b1010));
    drop(deal);
    assert_eq!(one.net_chunks(), -i64::try_from(room).unwrap());
    one.publish_packets();
    while other.take_packets(&mut batch) > 0 {
        four.extend(batch.drain(..).filter_map(|frame| match frame.head()[0] {
            0 => {
                cache.give_frame(frame);
                None
            }
            _ => Some(frame),
        }));
    }
    assert_eq!(four.iter().map(|frame| frame.head()[0]).collect::<Vec<_>>(), [11, 13, 10, 12]);
    four.drain(..).for_each(|frame| cache.give_frame(frame));
}

#[test]
fn all_lanes_to_one_worker_hold_as_much_however_many_there_are_but_none_is_short() {
    for workers in 2..=MAX_WORKERS {
        let each = packets::lane_packets(workers);
        let all = each * (workers - 1);
        assert!(each.is_power_of_two() && each >= 256, "{workers}");
        assert!(all <= 4096 && all > 2048 || each == 256, "{workers}: {all}");
    }
}

#[test]
fn a_sender_is_settled_when_all_that_it_gave_is_finished_or_its_taker_has_ended() {
    let (pool, [mut one, mut other], _wakers) = two();
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 128), FrameBatch::new());
    assert!(one.is_settled() && other.is_settled());
    give_packets(&mut one, 1, &mut cache, 0..3);
    assert!(!one.is_settled(), "not published");
    one.publish_packets();
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
    assert_eq!(pool.free_count(), CHUNKS, "those that nobody took come back too");
}

#[test]
fn packets_wake_a_sleeper() {
    let (pool, [mut one, mut other], wakers) = two();
    let (mut cache, mut batch) = (ChunkCache::new(Arc::clone(&pool), 128), FrameBatch::new());
    assert!(other.may_sleep());
    give_packets(&mut one, 1, &mut cache, 0..1);
    one.publish_packets();
    one.wake();
    assert_eq!(wakers[1].clear(), 1, "published and woken");
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
                match give_packet(&mut end, worker, Frame::from_bytes(chunk, 256, &bytes).unwrap()) {
                    Ok(()) => sent[worker] += 1,
                    Err(frame) => {
                        cache.give_frame(frame);
                        break;
                    }
                }
            }
        }
        end.publish_packets();
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
