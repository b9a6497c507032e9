//! A gateway in memory: one worker, ports that are queues in memory, tables built by hand.
//!
//! ```text
//!  LAN 0 --+                      +-- session A (UDP 5001/6001, id 1000) --+
//!          +-- bridge domain 0 ---+                                        +-- WAN (port 2)
//!  LAN 1 --+                      +-- session B (IP 115, id 2000) ---------+
//! ```
//! Frames go in by [`Rig::arrive`] and [`Rig::deliver`] and come out by [`Rig::sent`]; [`frames`] builds them. Every check of the
//! master invariant is in [`Rig::assert_conserved`].

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of the rig")]

pub mod any_bytes;
pub mod crew;
pub mod frames;
pub mod pieces;
pub mod reassembly;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use dataplane::{
    counters::{PerWorker, PortCounters, SessionCounters, WorkerCounters},
    exchange::{Exchange, exchange},
    ports::mem_port::{MemPort, MemWire, multi_buffer_port},
    reassembly::Fragment,
    tables::{
        PortId,
        attachment::Attachment,
        bridge_domains::{BridgeDomain, Circuit, DomainId, Member, MemberId},
        fdb::Fdb,
        next_hops::{Encap, NextHop, OuterAddresses, OuterFields, TxParameters, TxSession},
        oversize::{Fragmentation, MssClamp},
        peer_watch::PeerWatch,
        session_state::{RxSequencing, SessionState},
        sessions::{Endpoint, RxSession, SessionIndex, SessionTable},
        snapshot::{self, PortTable, SharedTables, Tables},
    },
    verdict::DropReason,
    waker::Waker,
    worker::{Clock, Command, Mailbox, Worker, WorkerSetup, mailbox},
};
use wire::{
    ethernet::MacAddr,
    l2tpv3::{Cookie, SessionId, Sublayer},
};
use xsk::{ChecksumRequest, ChunkCache, ChunkPool, Frame, Umem, UmemConfig};

pub const LAN_0: PortId = PortId(0);
pub const LAN_1: PortId = PortId(1);
pub const WAN: PortId = PortId(2);
pub const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 200, 100, 6);
pub const PEER_A: Ipv4Addr = Ipv4Addr::new(10, 200, 100, 2);
pub const PEER_B: Ipv4Addr = Ipv4Addr::new(10, 200, 100, 10);
pub const COOKIE_A: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
/// Chunks there are at all.
pub const CHUNKS: u32 = 2048;
/// Places in each ring of a port.
pub const RING: u32 = 256;
/// Largest frame that a LAN port transmits. Units: bytes.
pub const LAN_FRAME_BYTES: usize = 1518;

/// A gateway in memory.
pub struct Rig {
    pub worker: Worker<MemPort>,
    pub mailbox: Mailbox<MemPort>,
    pub wires: Vec<MemWire>,
    pub tables: SharedTables,
    pub clock: Arc<Clock>,
    pub fdb: Arc<Fdb>,
    pub counters: PerWorker<WorkerCounters>,
    pub sessions: Vec<PerWorker<SessionCounters>>,
    /// By [`PortId`].
    pub port_counters: Vec<PerWorker<PortCounters>>,
    pub pool: Arc<ChunkPool>,
    /// Chunks outside the engine: those of ports not yet attached, or closed.
    pub outside: ChunkCache,
    /// Chunks that a frame of each port may stand in.
    max_segments: [usize; 3],
    /// Exchange ends of workers that do not run.
    pub others: Vec<Exchange>,
}

/// What a test may change about the tables before they are published.
pub struct Plan {
    pub members: Vec<Member>,
    pub attachments: [Attachment; 3],
    pub session_attachments: [Attachment; 2],
    pub up: [bool; 2],
    pub path_mtu_bytes: usize,
    pub sublayers: [Sublayer; 2],
    /// What numbers the packets of each session; `None`: they are not numbered.
    pub tx_numbers: [Option<Arc<SessionState>>; 2],
    pub rx_sequencing: [RxSequencing; 2],
    /// The cookie that session A expects.
    pub rx_cookie: Cookie,
    /// The second cookie that session A accepts.
    pub rx_cookie_also: Option<Cookie>,
    pub fdb_entries: usize,
    pub fragmentation: Fragmentation,
    pub mss_clamp: MssClamp,
    /// The gateway's underlay address.
    pub local: IpAddr,
    /// The addresses of both peers.
    pub peers: [IpAddr; 2],
    /// Whether session A sends UDP checksums, and wants them.
    pub udp_checksum: bool,
    /// Whether the WAN port fills in checksums.
    pub checksum_offload: bool,
    /// What both sessions write into the outer header.
    pub fields: OuterFields,
    /// Whether each session's packets are spread over the workers.
    pub spread: [bool; 2],
    /// Session A's tunnel learns its peer, and notes sightings here.
    pub peer: Option<Arc<PeerWatch>>,
    /// Where session A's peer is now, address and UDP port; `None`: not known. Only with `peer`.
    pub peer_end: Option<(IpAddr, u16)>,
    /// Whether both sessions note in the frame what the outer header says of congestion.
    pub combines_ecn: bool,
    /// Largest frame that a LAN port transmits. Units: bytes.
    pub lan_frame_bytes: usize,
    /// Chunks that a frame of each port may stand in.
    pub max_segments: [usize; 3],
    /// Workers besides the rig's own, which do not run.
    pub other_workers: usize,
}

impl Plan {
    /// Jumbo frames everywhere.
    pub fn jumbo() -> Self {
        Self {
            path_mtu_bytes: 9600,
            lan_frame_bytes: 9018,
            max_segments: [xsk::MAX_SEGMENTS; 3],
            ..Self::default()
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        let whole = |member| {
            let mut attachment = Attachment::default();
            attachment.attach_whole(DomainId(0), MemberId(member));
            attachment
        };
        let member = |circuit| Member { circuit, vlan: None, group: 0 };
        Self {
            members: vec![
                member(Circuit::Port(LAN_0)),
                member(Circuit::Port(LAN_1)),
                member(Circuit::Session(SessionIndex(0))),
                member(Circuit::Session(SessionIndex(1))),
            ],
            attachments: [whole(0), whole(1), Attachment::default()],
            session_attachments: [whole(2), whole(3)],
            up: [true, true],
            path_mtu_bytes: 1600,
            sublayers: [Sublayer::Default, Sublayer::Default],
            tx_numbers: [None, None],
            rx_sequencing: [RxSequencing::Ignored, RxSequencing::Ignored],
            rx_cookie: Cookie::eight(COOKIE_A),
            rx_cookie_also: None,
            fdb_entries: 1024,
            fragmentation: Fragmentation::default(),
            mss_clamp: MssClamp::default(),
            local: LOCAL.into(),
            peers: [PEER_A.into(), PEER_B.into()],
            udp_checksum: false,
            checksum_offload: false,
            fields: OuterFields::default(),
            combines_ecn: false,
            lan_frame_bytes: LAN_FRAME_BYTES,
            max_segments: [1; 3],
            other_workers: 0,
            spread: [false; 2],
            peer: None,
            peer_end: None,
        }
    }
}

pub fn endpoint_a() -> Endpoint {
    Endpoint {
        local: Endpoint::map_v4(LOCAL.octets()),
        remote: Endpoint::map_v4(PEER_A.octets()),
        local_port: 6001,
        remote_port: 5001,
        protocol: 17,
    }
}

pub fn endpoint_b() -> Endpoint {
    Endpoint {
        remote: Endpoint::map_v4(PEER_B.octets()),
        local_port: 0,
        remote_port: 0,
        protocol: 115,
        ..endpoint_a()
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => Endpoint::map_v4(address.octets()),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// Where both peers are reached.
fn next_hop(path_mtu_bytes: usize) -> NextHop {
    NextHop {
        port: WAN,
        src_mac: MacAddr([2, 0, 0, 0, 0, 0xB]),
        dst_mac: MacAddr([2, 0, 0, 0, 0, 0xFE]),
        vlan: None,
        path_mtu_bytes,
    }
}

/// The same session with numbered packets, if there is something to number them.
fn numbered((session, numbers): (Option<TxSession>, Option<Arc<SessionState>>)) -> Option<TxSession> {
    match numbers {
        Some(state) => session.map(|session| session.numbered(state)),
        None => session,
    }
}

/// Where packets of both sessions come from and go to.
fn endpoints(plan: &Plan) -> [Endpoint; 2] {
    let local = mapped(plan.local);
    let fixed = |like: Endpoint, remote| Endpoint { local, remote: mapped(remote), ..like };
    let [peer_a, peer_b] = plan.peers;
    let session_a = match (&plan.peer, plan.peer_end) {
        (None, _) => fixed(endpoint_a(), peer_a),
        (Some(_), None) => Endpoint::without_peer(local, endpoint_a().local_port),
        (Some(_), Some((remote, remote_port))) => Endpoint { remote_port, ..fixed(endpoint_a(), remote) },
    };
    [session_a, fixed(endpoint_b(), peer_b)]
}

/// Tables as the control plane would build them.
pub fn tables(plan: Plan, fdb: &Arc<Fdb>, counters: &[PerWorker<SessionCounters>]) -> Tables {
    let [endpoint_a, endpoint_b] = endpoints(&plan);
    let hop = next_hop(plan.path_mtu_bytes);
    let udp = Encap::Udp { local_port: 6001, remote_port: 5001, checksum: plan.udp_checksum };
    let [peer_a, peer_b] = plan.peers;
    let parameters = [(peer_a, udp, 1000, Cookie::eight(COOKIE_A)), (peer_b, Encap::Ip, 2000, Cookie::NONE)];
    let tx_sessions: Vec<_> = parameters
        .iter()
        .zip(counters)
        .zip(plan.up)
        .zip(plan.sublayers)
        .map(|((((remote, encap, id, cookie), counters), up), sublayer)| {
            let addresses = OuterAddresses::new(plan.local, *remote).unwrap();
            let plain = TxParameters::plain(addresses, *encap, SessionId::new(*id).unwrap());
            let plain =
                TxParameters { fragmentation: plan.fragmentation, mss_clamp: plan.mss_clamp, ..plain };
            let parameters = TxParameters { tx_cookie: *cookie, sublayer, fields: plan.fields, ..plain };
            up.then(|| TxSession::new(&hop, &parameters, counters.clone()))
        })
        .zip(plan.tx_numbers)
        .map(numbered)
        .map(|session| if plan.checksum_offload { session.map(TxSession::offloaded) } else { session })
        .collect();
    let [attach_a, attach_b] = plan.session_attachments;
    let rx = [(endpoint_a, 1000, plan.rx_cookie, attach_a), (endpoint_b, 2000, Cookie::NONE, attach_b)];
    let rx_sessions = rx.into_iter().zip(counters).zip(0u32..).zip(plan.sublayers).zip(&tx_sessions).map(
        |(((((endpoint, id, rx_cookie, attachment), counters), index), sublayer), tx)| {
            let mss_limit = tx.as_ref().map(TxSession::mss_limit).unwrap_or_default();
            let (id, index) = (SessionId::new(id).unwrap(), SessionIndex(index));
            let plain = RxSession::plain(endpoint, id, index, attachment, counters.clone());
            let peer = if index == SessionIndex(0) { plan.peer.clone() } else { None };
            let (needs_checksum, combines_ecn) = (plan.udp_checksum, plan.combines_ecn);
            RxSession { rx_cookie, sublayer, mss_limit, peer, needs_checksum, combines_ecn, ..plain }
        },
    );
    let rx_cookies_also = [plan.rx_cookie_also, None];
    let rx_sessions = rx_sessions
        .zip(plan.rx_sequencing)
        .zip(rx_cookies_also)
        .map(|((session, sequencing), rx_cookie_also)| RxSession { sequencing, rx_cookie_also, ..session });
    let [lan_0, lan_1, wan] = plan.attachments;
    let port = |attachment, is_underlay| PortTable {
        is_underlay,
        attachment,
        max_frame_bytes: plan.lan_frame_bytes,
    };
    Tables {
        ports: vec![
            port(lan_0, false),
            port(lan_1, false),
            PortTable { max_frame_bytes: plan.path_mtu_bytes.max(1600) + 18, ..port(wan, true) },
        ],
        sessions: SessionTable::new(rx_sessions.collect()).with_spread(|session| {
            plan.spread.get(session.index.index()).is_some_and(|is_spread| *is_spread)
        }),
        tx_sessions,
        domains: vec![BridgeDomain::new(plan.members, Arc::clone(fdb))],
    }
}

/// Memory whose chunks are all in their pool. A mapping is never undone, so tests with many rigs take turns with a few.
static SPARE: Mutex<Vec<Arc<ChunkPool>>> = Mutex::new(Vec::new());

/// A pool with every chunk in it.
pub fn whole_pool() -> Arc<ChunkPool> {
    let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(whole) = spare.iter().position(|pool| pool.free_count() == CHUNKS as usize) {
        return spare.swap_remove(whole);
    }
    let config = UmemConfig { chunk_count: CHUNKS, chunk_bytes: 2048, headroom_bytes: 0, huge_pages: false };
    Umem::map(&config).unwrap().1
}

/// What a frame of these bytes says about the fragment in it.
pub fn fragment_of(bytes: &[u8]) -> Fragment {
    let pool = whole_pool();
    let mut cache = ChunkCache::new(Arc::clone(&pool), 0);
    let frame = Frame::from_bytes(cache.take().unwrap(), 256, bytes).unwrap();
    let fragment = Fragment::read(&frame).unwrap();
    cache.give_frame(frame);
    cache.flush();
    give_back(&pool);
    fragment
}

/// Leaves a pool for the next one who needs it, once all of its chunks are in it.
pub fn give_back(pool: &Arc<ChunkPool>) {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(pool));
}

impl Drop for Rig {
    /// Brings the chunks back into the pool, but for those in the caches, which do so themselves.
    fn drop(&mut self) {
        self.mailbox.send(Command::Stop);
        self.worker.answer_mailbox();
        for port in self.mailbox.detached().try_iter().flat_map(|answer| answer.queues) {
            port.close(&mut self.outside);
        }
        give_back(&self.pool);
    }
}

impl Rig {
    pub fn new() -> Self {
        Self::with(Plan::default())
    }

    pub fn with(plan: Plan) -> Self {
        let pool = whole_pool();
        let (mailbox, inbox) = mailbox().unwrap();
        let (fdb, shared, clock) =
            (Arc::new(Fdb::new(plan.fdb_entries, 5)), snapshot::shared(), Arc::new(Clock::default()));
        let counters = PerWorker::new(1);
        let sessions: Vec<_> = (0..2).map(|_| PerWorker::new(1)).collect();
        let (wires, port_counters, max_segments) = (Vec::new(), Vec::new(), plan.max_segments);
        let wakers: Vec<_> = (0..=plan.other_workers).map(|_| Waker::new().unwrap()).collect();
        let mut ends = exchange(&wakers, &pool).into_iter();
        let own_end = ends.next().unwrap();
        let others = ends.flatten().collect();
        shared.store(Arc::new(tables(plan, &fdb, &sessions)));
        let worker = Worker::new(WorkerSetup {
            worker: 0,
            cache: ChunkCache::new(Arc::clone(&pool), 256),
            inbox,
            tables: Arc::clone(&shared),
            counters: counters.clone(),
            clock: Arc::clone(&clock),
            idle_rounds: 0,
            exchange: own_end,
        });
        let outside = ChunkCache::new(Arc::clone(&pool), 256);
        let mut rig = Self {
            worker,
            mailbox,
            wires,
            tables: shared,
            clock,
            fdb,
            counters,
            sessions,
            port_counters,
            pool,
            outside,
            max_segments,
            others,
        };
        for id in [LAN_0, LAN_1, WAN] {
            rig.attach(id);
        }
        rig
    }

    /// Attaches a queue to the worker; its far side goes to the end of [`Rig::wires`].
    pub fn attach(&mut self, id: PortId) {
        let segments = self.max_segments[id.index()];
        let (port, wire) = multi_buffer_port(id, RING, segments, &mut self.outside);
        self.port_counters.push(port.counters().clone());
        self.wires.push(wire);
        self.mailbox.send(Command::Attach(port));
        assert!(self.worker.answer_mailbox());
    }

    /// Detaches a port from the worker and closes its queues. Returns how many there were.
    pub fn detach(&mut self, id: PortId) -> usize {
        self.mailbox.send(Command::Detach(id));
        assert!(self.worker.answer_mailbox());
        let answer = self.mailbox.detached().try_recv().unwrap();
        assert_eq!(answer.port, Some(id));
        let queues = answer.queues.len();
        for port in answer.queues {
            assert_eq!(port.close(&mut self.outside), xsk::Held::default());
        }
        queues
    }

    /// Publishes other tables; FDB and counters stay.
    pub fn republish(&mut self, plan: Plan) {
        self.tables.store(Arc::new(tables(plan, &self.fdb, &self.sessions)));
    }

    /// Lets bytes arrive on a port. Returns whether there was a chunk for them.
    pub fn arrive(&mut self, port: PortId, bytes: &[u8]) -> bool {
        self.wires[port.index()].send(bytes)
    }

    /// Lets bytes arrive on a port and runs the worker until it is idle.
    pub fn deliver(&mut self, port: PortId, bytes: &[u8]) {
        assert!(self.arrive(port, bytes));
        self.drain();
    }

    /// Runs the worker until it is idle.
    pub fn drain(&mut self) {
        while self.worker.round() > 0 {}
    }

    /// Everything that left by a port, oldest first.
    pub fn sent(&mut self, port: PortId) -> Vec<Vec<u8>> {
        let wire = &self.wires[port.index()];
        std::iter::from_fn(|| wire.receive(<[u8]>::to_vec)).collect()
    }

    /// What left by a port, without the identifications of outer packets, which no two workers share: what two rigs have in common.
    pub fn sent_unnumbered(&mut self, port: PortId) -> Vec<Vec<u8>> {
        self.sent_asking(port).into_iter().map(|(frame, _)| frame).collect()
    }

    /// The same, with the checksum that each frame asked the port to fill in.
    pub fn sent_asking(&mut self, port: PortId) -> Vec<(Vec<u8>, Option<ChecksumRequest>)> {
        let wire = &self.wires[port.index()];
        let next = || wire.receive_asking(|bytes, request| (bytes.to_vec(), request));
        let mut frames: Vec<_> = std::iter::from_fn(next).collect();
        for (frame, _) in frames.iter_mut().filter(|_| port == WAN) {
            match frame[14] >> 4 {
                // Identification and header checksum.
                4 => [18..20, 24..26].into_iter().for_each(|field| frame[field].fill(0)),
                // In the fragment header.
                6 if frame[20] == 44 => frame[58..62].fill(0),
                _ => {}
            }
        }
        frames
    }

    /// Lets everything that left go, without looking at it. Returns how many frames.
    pub fn discard_sent(&mut self) -> usize {
        self.wires
            .iter()
            .map(|wire| std::iter::repeat_with(|| wire.discard()).take_while(|gone| *gone).count())
            .sum()
    }

    /// The worker's counters.
    pub fn count(&self) -> &WorkerCounters {
        self.counters.of(0).unwrap()
    }

    /// Drops for a reason.
    pub fn drops(&self, reason: DropReason) -> u64 {
        self.count().drops.get(reason)
    }

    /// received + taken = forwarded + flooded + dropped + handed + reassembled + parked, and every chunk is where the worker and the pool say it is.
    pub fn assert_conserved(&mut self) {
        self.drain();
        self.discard_sent();
        self.worker.round();
        let counters = self.counters.of(0).unwrap();
        let chunks = counters.chunks.read();
        let came = counters.received.get() + counters.taken.get();
        let ends = counters.ends() + counters.parked.get();
        assert_eq!(came, ends, "every frame has one verdict or waits for others");
        assert!(chunks.is_conserved(), "{chunks:?}");
        assert_eq!(chunks.tx, 0, "the far side took everything");
        self.outside.flush();
        let on_loan = usize::try_from(chunks.on_loan).unwrap();
        let handed = usize::try_from(counters.handed.get() - counters.taken.get()).unwrap();
        let all = self.pool.free_count() + on_loan + handed;
        assert_eq!(all, CHUNKS as usize, "no chunk is lost or doubled");
    }
}
