use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use core::sync::atomic::Ordering::Relaxed;
use proptest::{collection::vec, option, prelude::*, sample::Index};
use wire::{
    build::{self, FrameSpec, Transport},
    ethernet::VlanId,
    l2tpv3::{Cookie, DataHeader, SessionId, Sublayer},
};
use xsk::{ChunkCache, Umem, UmemConfig};

use super::*;
use crate::{
    batch::Batch,
    counters::{PerWorker, WorkerCounters},
    exchange::exchange,
    ports::PortSet,
    reassembly::Limits,
    stages::{AnswerBudget, Exits, Fragments, Identification, decap, spread},
    tables::{
        attachment::Attachment,
        bridge_domains::{DomainId, MemberId},
        oversize::MssLimit,
        session_state::RxSequencing,
        sessions::{Endpoint, RxSession, SessionIndex, SessionTable},
        snapshot::Tables,
    },
    waker::Waker,
};

/// Least length of an inner frame that every session's good packets are taken with: an ARP request that nobody padded. Units: bytes.
const LEAST_BYTES: usize = 42;

/// Bytes of the longest headers, and a few more.
const HEADER_BYTES: usize = 100;

/// How packets of a session look.
#[derive(Clone, Copy, Debug)]
struct Look {
    is_v6: bool,
    peer: u8,
    transport: Transport,
    id: u32,
    cookie: Cookie,
    sublayer: Sublayer,
}

impl Look {
    /// Our address, and the peer's.
    fn addresses(&self) -> [IpAddr; 2] {
        if self.is_v6 {
            let at = |host| IpAddr::V6(Ipv6Addr::new(0x2001, 0xDB8, 0, 7, 0, 0, 0, host));
            [at(6), at(0x100 + u16::from(self.peer))]
        } else {
            [IpAddr::V4(Ipv4Addr::new(10, 200, 100, 6)), IpAddr::V4(Ipv4Addr::new(10, 0, 0, self.peer))]
        }
    }
}

/// Sessions that are quick, all of one peer's ids at several peers, of both IP versions and over both carriers. The first half is of IPv4.
fn looks() -> Vec<Look> {
    let mut looks = Vec::new();
    let cookies = [Cookie::NONE, Cookie::four([1, 2, 3, 4]), Cookie::eight([8, 7, 6, 5, 4, 3, 2, 1])];
    for (is_v6, peer) in [(false, 1), (false, 2), (true, 1), (true, 2)] {
        for transport in [Transport::udp_unchecked(5001, 6001), Transport::L2TP_IP] {
            for (id, cookie) in (1..).zip(cookies) {
                for (high, sublayer) in [(0, Sublayer::None), (0x0300_0000, Sublayer::Default)] {
                    looks.push(Look { is_v6, peer, transport, id: high | id, cookie, sublayer });
                }
            }
        }
    }
    looks
}

/// Makes the IPv4 header's checksum right again, where there is one.
fn seal(look: &Look, bytes: &mut [u8]) {
    if !look.is_v6 {
        Ipv4Header::mut_from_prefix(&mut bytes[14..]).unwrap().0.seal(&[]);
    }
}

fn session(look: &Look, position: u32) -> RxSession {
    let (protocol, remote_port, local_port) = match look.transport {
        Transport::Udp { source_port, destination_port, .. } => (17, source_port, destination_port),
        Transport::Protocol(protocol) => (protocol, 0, 0),
    };
    let number = |address| match address {
        IpAddr::V4(v4) => Endpoint::map_v4(v4.octets()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    let [local, remote] = look.addresses().map(number);
    let endpoint = Endpoint { local, remote, local_port, remote_port, protocol };
    let mut attachment = Attachment::default();
    attachment.attach_whole(DomainId(3), MemberId(u16::try_from(position).unwrap()));
    let id = SessionId::new(look.id).unwrap();
    let plain = RxSession::plain(endpoint, id, SessionIndex(position), attachment, PerWorker::new(1));
    RxSession { rx_cookie: look.cookie, sublayer: look.sublayer, ..plain }
}

fn sessions() -> Vec<RxSession> {
    (0..).zip(looks()).map(|(position, look)| session(&look, position)).collect()
}

fn tables(sessions: Vec<RxSession>) -> Tables {
    Tables { sessions: SessionTable::new(sessions), ..Tables::default() }
}

/// A packet as the peer sends it.
fn packet(look: &Look, inner: &[u8]) -> Vec<u8> {
    let [destination_ip, source_ip] = look.addresses();
    let spec = FrameSpec { source_ip, destination_ip, transport: look.transport, ..FrameSpec::default() };
    let header = DataHeader::new(SessionId::new(look.id).unwrap(), look.cookie, look.sublayer);
    let mut bytes = vec![0; 2048];
    let len = build::l2tp_frame(&mut bytes, &spec, &header, inner).unwrap();
    bytes.truncate(len);
    bytes
}

fn chunks() -> ChunkCache {
    let config = UmemConfig { chunk_count: 64, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
    ChunkCache::new(Umem::map(&config).unwrap().1, 128)
}

/// What became of the packets of a batch: slots and bytes, and what the sessions counted.
fn outcome(batch: &mut Batch, tables: &Tables) -> String {
    let became: Vec<_> = batch.all().map(|(frame, slot)| format!("{slot:?} {:?}", frame.linear())).collect();
    let counted: Vec<_> = tables
        .sessions
        .iter()
        .map(|session| {
            let counters = session.counters.of(0).unwrap();
            (counters.rx_frames.get(), counters.rx_bytes.get(), counters.last_heard_s.load(Relaxed))
        })
        .collect();
    format!("{became:?} {counted:?}")
}

/// Takes packets as `decap` does, but for those that it has to look at more closely. Returns how many were taken.
fn take_all(context: &Context<'_>, batch: &mut Batch) -> usize {
    let (frames, slots) = batch.parts();
    let (mut quick, mut at, mut taken) = (QuickDecap::new(context), 0, 0);
    while at < frames.len() {
        let count = quick.run::<false>(&mut frames[at..], &mut slots[at..]);
        (at, taken) = (at + count.max(1), taken + count);
    }
    taken
}

/// What becomes of a packet here, or `None`; and what of it when it is looked at closely. Alone, and as one of three that are alike, the
/// last two of which are a row.
fn both(sessions: &dyn Fn() -> Vec<RxSession>, bytes: &[u8]) -> (Option<String>, String) {
    let counters = WorkerCounters::default();
    let mut cache = chunks();
    let mut run = |is_quick: bool, count: usize| {
        let tables = tables(sessions());
        let context = Context { tables: &tables, counters: &counters, worker: 0, now_s: 7 };
        let mut batch = Batch::default();
        for _ in 0..count {
            batch.frames.push(Frame::from_bytes(cache.take().unwrap(), 256, bytes).unwrap());
        }
        batch.open();
        if !is_quick {
            batch.all().for_each(|(frame, slot)| decap::look_closely(&context, frame, slot, &mut cache));
            return Some(outcome(&mut batch, &tables));
        }
        let before = outcome(&mut batch, &tables);
        let taken = take_all(&context, &mut batch);
        let after = outcome(&mut batch, &tables);
        assert!([0, count].contains(&taken), "{taken} of {count} that are alike");
        assert!(taken > 0 || before == after, "left as it was");
        (taken > 0).then_some(after)
    };
    let (row, row_closely) = (run(true, 3), run(false, 3));
    let (alone, closely) = (run(true, 1), run(false, 1).unwrap());
    assert_eq!(row.is_some(), alone.is_some(), "whether it is one of a row or not");
    assert!(row.is_none() || row == row_closely, "{row:?} is {row_closely:?}");
    (alone, closely)
}

/// What becomes of those packets of a batch that the first of two workers keeps, and whether it found all of them alike, and used that if it may.
fn kept(packets: &[Vec<u8>], may_use: bool) -> (String, bool) {
    let tables =
        Tables { sessions: SessionTable::new(sessions()).with_spread(|_| true), ..Tables::default() };
    let counters = WorkerCounters::default();
    let context = Context { tables: &tables, counters: &counters, worker: 0, now_s: 7 };
    let mut cache = chunks();
    let wakers = [(); 2].map(|()| Waker::new().unwrap());
    let mut exchanges = exchange(&wakers, cache.pool());
    let mut batch = Batch::default();
    for bytes in packets {
        batch.frames.push(Frame::from_bytes(cache.take().unwrap(), 256, bytes).unwrap());
    }
    let mut exits = Exits {
        ports: &mut PortSet::<()>::default(),
        cache: &mut cache,
        identification: &mut Identification::new(0, 2, 0),
        fragments: &mut Fragments::new(Limits::WORKER, exchanges[0].take()),
        answers: &mut AnswerBudget::default(),
    };
    let common = spread::run(&context, &mut batch, &mut exits);
    batch.open();
    match common {
        Some(position) if may_use => decap::run_alike(&context, &mut batch, position, exits.cache),
        _ => decap::run(&context, &mut batch, exits.cache),
    }
    (outcome(&mut batch, &tables), common.is_some())
}

/// A change to a packet's bytes.
fn change() -> impl Strategy<Value = (Index, u8)> {
    // Most changes are to headers, which are at the front.
    (any::<Index>(), prop_oneof![Just(1), Just(0x80), any::<u8>()])
}

/// A packet among others that is not like them.
#[derive(Debug)]
struct Odd {
    position: Index,
    /// One of any session and flow instead.
    other: Option<(Index, u8)>,
    /// Otherwise the same with a change.
    change: (Index, u8),
    seals: bool,
}

fn odd() -> impl Strategy<Value = Odd> {
    let parts = (any::<Index>(), option::weighted(0.25, (any::<Index>(), 0u8..64)), change(), any::<bool>());
    parts.prop_map(|(position, other, change, seals)| Odd { position, other, change, seals })
}

proptest! {
    /// Whatever arrives: what is taken here is what a closer look makes of it.
    #[test]
    fn what_is_taken_becomes_what_a_closer_look_makes_of_it(
        which: Index, inner in vec(any::<u8>(), 0..200), padding in vec(any::<u8>(), 0..20),
        changes in vec(change(), 0..3), seals: bool, cut in 0usize..8, has_checksum: bool, needs_checksum: bool,
    ) {
        let looks = looks();
        let mut look = *which.get(&looks);
        if let Transport::Udp { checksum: wanted, .. } = &mut look.transport {
            *wanted = has_checksum;
        }
        let mut bytes = packet(&look, &inner);
        bytes.extend(padding);
        for (at, flipped) in changes {
            let at = at.index(bytes.len().min(HEADER_BYTES));
            bytes[at] ^= flipped;
        }
        if seals {
            seal(&look, &mut bytes);
        }
        bytes.truncate(bytes.len() - if cut < 4 { 0 } else { cut });
        let sessions = || sessions().into_iter().map(|session| RxSession { needs_checksum, ..session }).collect();
        let (quick, closely) = both(&sessions, &bytes);
        if let Some(quick) = quick {
            prop_assert_eq!(quick, closely);
        }
    }

    /// What a worker keeps of spread packets becomes what it would have become if nobody had compared it before.
    #[test]
    fn no_packet_that_is_kept_is_taken_for_one_like_the_others(
        which: Index, count in prop_oneof![1usize..4, 1usize..=64], has_checksum: bool, odd in vec(odd(), 0..3),
    ) {
        let looks = looks();
        let mut look = *which.get(&looks);
        if let Transport::Udp { checksum: wanted, .. } = &mut look.transport {
            *wanted = has_checksum;
        }
        // Each of a flow of its own, so that some are kept.
        let mut packets: Vec<_> = (0..64).take(count).map(|flow| packet(&look, &[flow; 60])).collect();
        for Odd { position, other, change: (at, flipped), seals } in &odd {
            let bytes = position.get_mut(&mut packets);
            if let Some((other, flow)) = other {
                *bytes = packet(other.get(&looks), &[*flow; 60]);
            } else {
                let at = at.index(bytes.len().min(HEADER_BYTES));
                bytes[at] ^= flipped;
            }
            if *seals {
                seal(&look, bytes);
            }
        }
        let (used, are_alike) = kept(&packets, true);
        prop_assert!(are_alike || !odd.is_empty());
        prop_assert_eq!(used, kept(&packets, false).0);
    }

    /// No good packet of a quick session takes the long way, with or without a UDP checksum.
    #[test]
    fn good_packets_are_taken(
        which: Index, inner in vec(any::<u8>(), LEAST_BYTES..200), checksum: bool, padding in 0usize..20,
    ) {
        let looks = looks();
        let mut look = *which.get(&looks);
        if let Transport::Udp { checksum: wanted, .. } = &mut look.transport {
            *wanted = checksum;
        }
        let mut bytes = packet(&look, &inner);
        bytes.resize(bytes.len() + padding, 0);
        let (quick, closely) = both(&sessions, &bytes);
        prop_assert_eq!(quick, Some(closely));
    }
}

/// Every bit of the headers turned over, one at a time, with the IPv4 checksum wrong by it and right again.
#[test]
fn no_bit_of_the_headers_is_overlooked() {
    let looks = looks();
    let mut taken = 0;
    for look in [5, 6, 11, 29, 35].map(|position: usize| looks[position]) {
        let good = {
            let mut bytes = packet(&look, &[2; 60]);
            bytes.extend([0; 40]);
            bytes
        };
        for bit in 0..8 * if look.is_v6 { HEADER_BYTES } else { 80 } {
            for seals in [false, true] {
                let mut bytes = good.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                if seals {
                    seal(&look, &mut bytes);
                }
                let (quick, closely) = both(&sessions, &bytes);
                taken += usize::from(quick.is_some());
                assert!(quick.is_none_or(|quick| quick == closely), "{look:?}, bit {bit}");
            }
        }
    }
    assert!(taken > 1000, "{taken}: many bits do not matter");
}

#[test]
fn sessions_that_take_more_than_this_are_looked_at_closely() {
    type Change = fn(&mut RxSession);
    let changes: [(&str, Change); 6] = [
        ("checksums wanted", |session| session.needs_checksum = true),
        ("ECN", |session| session.combines_ecn = true),
        ("MSS", |session| session.mss_limit = MssLimit::Segment(1000)),
        ("numbers", |session| session.sequencing = RxSequencing::Strict(std::sync::Arc::default())),
        ("not bridged", |session| session.attachment = Attachment::default()),
        ("a VLAN of its own", |session| {
            session.attachment.attach_vlan(VlanId::new(7).unwrap(), DomainId(3), MemberId(0));
        }),
    ];
    let look = looks()[5];
    let good = packet(&look, &[2; 60]);
    for (what, change) in changes {
        let changed = || {
            let mut session = session(&look, 0);
            change(&mut session);
            vec![session]
        };
        assert!(both(&|| vec![session(&look, 0)], &good).0.is_some());
        assert_eq!(both(&changed, &good).0, None, "{what}");
    }
}

#[test]
fn of_two_sessions_that_packets_cannot_tell_apart_the_first_gets_them() {
    let look = looks()[5];
    let good = packet(&look, &[2; 60]);
    let first_takes_more = || vec![RxSession { combines_ecn: true, ..session(&look, 0) }, session(&look, 1)];
    assert_eq!(both(&first_takes_more, &good).0, None);
    let alike = || vec![session(&look, 0), session(&look, 1)];
    let (quick, closely) = both(&alike, &good);
    assert_eq!(quick, Some(closely));
}

#[test]
fn sessions_in_turn_are_counted_each() {
    let looks = looks();
    let tables = tables(sessions());
    let counters = WorkerCounters::default();
    let context = Context { tables: &tables, counters: &counters, worker: 0, now_s: 7 };
    let mut cache = chunks();
    let mut batch = Batch::default();
    for look in [5, 5, 6, 5, 29, 29, 5, 30].map(|position: usize| looks[position]) {
        let bytes = packet(&look, &[2; 60]);
        batch.frames.push(Frame::from_bytes(cache.take().unwrap(), 256, &bytes).unwrap());
    }
    batch.open();
    decap::run(&context, &mut batch, &mut cache);
    let counted = |position: u32| {
        let counters = tables.sessions.at(position).unwrap().counters.of(0).unwrap();
        (counters.rx_frames.get(), counters.rx_bytes.get())
    };
    assert_eq!([5, 6, 29, 30].map(counted), [(4, 240), (1, 60), (2, 120), (1, 60)]);
}

#[test]
fn a_session_is_not_heard_by_packets_that_are_like_its_own_and_wrong() {
    let look = looks()[5];
    // Of the IPv4 header, the checksum alone: that is not among what is compared.
    let wrong = |flow| {
        let mut bytes = packet(&look, &[flow; 60]);
        bytes[24] ^= 1;
        bytes
    };
    let packets: Vec<_> = (0..64).map(wrong).collect();
    let (used, are_alike) = kept(&packets, true);
    assert!(are_alike && used.contains("IpChecksum"), "{used}");
    assert_eq!(used, kept(&packets, false).0);
}
