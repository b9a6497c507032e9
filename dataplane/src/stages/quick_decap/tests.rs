use std::net::{IpAddr, Ipv4Addr};

use core::sync::atomic::Ordering::Relaxed;
use proptest::{collection::vec, prelude::*, sample::Index};
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
    stages::decap,
    tables::{
        attachment::Attachment,
        bridge_domains::{DomainId, MemberId},
        oversize::MssLimit,
        session_state::RxSequencing,
        sessions::{Endpoint, RxSession, SessionIndex, SessionTable},
        snapshot::Tables,
    },
};

const OURS: Ipv4Addr = Ipv4Addr::new(10, 200, 100, 6);

/// How packets of a session look.
#[derive(Clone, Copy, Debug)]
struct Look {
    peer: u8,
    transport: Transport,
    id: u32,
    cookie: Cookie,
    sublayer: Sublayer,
}

/// Sessions that are quick, all of one peer's ids at several peers and over both carriers.
fn looks() -> Vec<Look> {
    let mut looks = Vec::new();
    let cookies = [Cookie::NONE, Cookie::four([1, 2, 3, 4]), Cookie::eight([8, 7, 6, 5, 4, 3, 2, 1])];
    for peer in [1, 2] {
        for transport in [Transport::udp_unchecked(5001, 6001), Transport::L2TP_IP] {
            for (id, cookie) in (1..).zip(cookies) {
                for (high, sublayer) in [(0, Sublayer::None), (0x0300_0000, Sublayer::Default)] {
                    looks.push(Look { peer, transport, id: high | id, cookie, sublayer });
                }
            }
        }
    }
    looks
}

fn session(look: &Look, position: u32) -> RxSession {
    let (protocol, remote_port, local_port) = match look.transport {
        Transport::Udp { source_port, destination_port, .. } => (17, source_port, destination_port),
        Transport::Protocol(protocol) => (protocol, 0, 0),
    };
    let endpoint = Endpoint {
        local: Endpoint::map_v4(OURS.octets()),
        remote: Endpoint::map_v4([10, 0, 0, look.peer]),
        local_port,
        remote_port,
        protocol,
    };
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
    let spec = FrameSpec {
        source_ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, look.peer)),
        destination_ip: IpAddr::V4(OURS),
        transport: look.transport,
        ..FrameSpec::default()
    };
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

/// What became of a packet: slot and bytes, and what the sessions counted.
fn outcome(slot: &Slot, frame: &Frame, tables: &Tables) -> String {
    let counted: Vec<_> = tables
        .sessions
        .iter()
        .map(|session| {
            let counters = session.counters.of(0).unwrap();
            (counters.rx_frames.get(), counters.rx_bytes.get(), counters.last_heard_s.load(Relaxed))
        })
        .collect();
    format!("{slot:?} {:?} {counted:?}", frame.linear())
}

/// What becomes of the packet here, or `None`; and what of it when it is looked at closely.
fn both(sessions: &dyn Fn() -> Vec<RxSession>, bytes: &[u8]) -> (Option<String>, String) {
    let counters = WorkerCounters::default();
    let mut cache = chunks();
    let mut run = |is_quick: bool| {
        let tables = tables(sessions());
        let context = Context { tables: &tables, counters: &counters, worker: 0, now_s: 7 };
        let mut batch = Batch::default();
        batch.frames.push(Frame::from_bytes(cache.take().unwrap(), 256, bytes).unwrap());
        batch.open();
        let (frame, slot) = batch.undecided().next().unwrap();
        let before = outcome(slot, frame, &tables);
        if !is_quick {
            decap::look_closely(&context, frame, slot, &mut cache);
            return Some(outcome(slot, frame, &tables));
        }
        let mut quick = QuickDecap::new(&context);
        let taken = quick.run(frame, slot);
        quick.count();
        let after = outcome(slot, frame, &tables);
        assert!(taken.is_some() || before == after, "left as it was");
        taken.map(|()| after)
    };
    (run(true), run(false).unwrap())
}

/// A change to a packet's bytes.
fn change() -> impl Strategy<Value = (Index, u8)> {
    // Most changes are to headers, which are at the front.
    (any::<Index>(), prop_oneof![Just(1), Just(0x80), any::<u8>()])
}

proptest! {
    /// Whatever arrives: what is taken here is what a closer look makes of it.
    #[test]
    fn what_is_taken_becomes_what_a_closer_look_makes_of_it(
        which: Index, inner in vec(any::<u8>(), 0..200), padding in vec(any::<u8>(), 0..20),
        changes in vec(change(), 0..3), seals: bool, cut in 0usize..8,
    ) {
        let looks = looks();
        let mut bytes = packet(which.get(&looks), &inner);
        bytes.extend(padding);
        for (at, flipped) in changes {
            let at = at.index(bytes.len().min(80));
            bytes[at] ^= flipped;
        }
        if seals {
            let (header, _) = Ipv4Header::mut_from_prefix(&mut bytes[14..]).unwrap();
            header.seal(&[]);
        }
        bytes.truncate(bytes.len() - if cut < 4 { 0 } else { cut });
        let (quick, closely) = both(&sessions, &bytes);
        if let Some(quick) = quick {
            prop_assert_eq!(quick, closely);
        }
    }

    /// No good packet of a quick session takes the long way, with or without a UDP checksum.
    #[test]
    fn good_packets_are_taken(which: Index, inner in vec(any::<u8>(), 14..200), checksum: bool, padding in 0usize..20) {
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
    for look in [5, 6, 11].map(|position: usize| looks[position]) {
        let good = {
            let mut bytes = packet(&look, &[2; 60]);
            bytes.extend([0; 40]);
            bytes
        };
        for bit in 0..8 * 80 {
            for seals in [false, true] {
                let mut bytes = good.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                if seals {
                    Ipv4Header::mut_from_prefix(&mut bytes[14..]).unwrap().0.seal(&[]);
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
    for look in [5, 5, 6, 5].map(|position: usize| looks[position]) {
        let bytes = packet(&look, &[2; 60]);
        batch.frames.push(Frame::from_bytes(cache.take().unwrap(), 256, &bytes).unwrap());
    }
    batch.open();
    decap::run(&context, &mut batch, &mut cache);
    let counted = |position: u32| {
        let counters = tables.sessions.at(position).unwrap().counters.of(0).unwrap();
        (counters.rx_frames.get(), counters.rx_bytes.get())
    };
    assert_eq!((counted(5), counted(6)), ((3, 180), (1, 60)));
}
