//! The packet path allocates nothing once it is warm, and frees nothing: a counting allocator watches every stage, new
//! tables included.
//!
//! One test in a binary of its own: the allocator counts for the whole process.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::{alloc::System, sync::Arc};

use dataplane::{
    ports::mem_port::MemWire,
    tables::{
        PortId,
        bridge_domains::MemberId,
        fdb::MacKey,
        oversize::{Fragmentation, MssClamp},
        session_state::RxSequencing,
        snapshot::Tables,
    },
};
use rig::{
    LAN_0, LAN_1, Plan, RING, Rig, WAN,
    crew::{Crew, wait_until},
    frames::{
        EVERYBODY, PC_1, PC_2, changed, ipv4_frame, lan_frame, lan_frame_of, packet_a, packet_a_over,
        packet_b,
    },
    pieces::pieces,
    tables,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use wire::{build::Transport, l2tpv3::Cookie};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How often a measurement is made; the best counts. The test harness's own thread allocates a little, once, when it begins
/// to wait for the test; what the path allocates it allocates every time.
const ATTEMPTS: usize = 3;

/// Floods, unicast both ways, relays, fragments both ways, and drops: everything a frame can meet.
fn traffic() -> Vec<(PortId, Vec<u8>)> {
    let (behind_a, unknown) = ([2, 0, 0, 0, 0, 3], [2, 0, 0, 0, 9, 9]);
    let in_fragments = pieces(&packet_a(&lan_frame_of(PC_1, behind_a, 1500)), 7, 1480);
    let [first, second]: [Vec<u8>; 2] = in_fragments.try_into().unwrap();
    let lonely = pieces(&packet_a(&lan_frame_of(PC_1, behind_a, 1500)), 8, 1480).remove(0);
    vec![
        (WAN, first),
        (WAN, second),
        (WAN, lonely),
        (LAN_0, lan_frame_of(behind_a, PC_1, 1600)),
        (LAN_0, lan_frame(EVERYBODY, PC_1)),
        (LAN_1, lan_frame(PC_1, PC_2)),
        (WAN, packet_a(&lan_frame(PC_1, behind_a))),
        (LAN_0, lan_frame(behind_a, PC_1)),
        (LAN_0, lan_frame(unknown, PC_1)),
        (WAN, packet_a(&lan_frame(unknown, behind_a))),
        (WAN, changed(packet_a(&lan_frame(unknown, behind_a)), |packet| packet[50] ^= 1)),
        (WAN, changed(packet_a(&lan_frame(PC_1, behind_a)), |packet| packet[50..58].fill(9))),
        (WAN, changed(packet_a(&lan_frame(PC_1, behind_a)), |packet| packet[58] = 0x40)),
        (WAN, changed(packet_b(&lan_frame(PC_1, behind_a)), |packet| packet[38] = 0x40)),
        (WAN, vec![0; 20]),
        (LAN_1, vec![1; 10]),
    ]
}

/// Tables in which session A numbers what it sends, accepts two cookies, and looks at received numbers: it observes, session B
/// is strict.
fn plan() -> Plan {
    Plan {
        tx_numbers: std::array::from_fn(|_| Some(Arc::default())),
        rx_sequencing: [RxSequencing::Observed(Arc::default()), RxSequencing::Strict(Arc::default())],
        rx_cookie_also: Some(Cookie::eight([9; 8])),
        ..Plan::default()
    }
}

/// Allocations, reallocations and deallocations of the whole process during `work`.
fn allocator_calls(work: impl FnOnce()) -> usize {
    let region = Region::new(ALLOCATOR);
    work();
    let change = region.change();
    change.allocations + change.deallocations + change.reallocations
}

/// Sends everything, and takes what comes out, until the worker's counters say that all of it was received.
fn carry(crew: &Crew, wires: &[MemWire], traffic: &[(PortId, Vec<u8>)]) {
    let goal = crew.count(0).received.get() + traffic.len() as u64;
    for (port, bytes) in traffic {
        assert!(wires[port.index()].send(bytes));
    }
    wait_until("everything was received", || {
        for wire in wires {
            while wire.receive(|_| ()).is_some() {}
        }
        crew.count(0).received.get() == goal
    });
}

/// The same with frames that stand in several chunks.
fn jumbo_traffic() -> Vec<(PortId, Vec<u8>)> {
    let (behind_a, long) = ([2, 0, 0, 0, 0, 3], |to, from| lan_frame_of(to, from, 9000));
    let padded = |mut packet: Vec<u8>| {
        packet.resize(9600, 0);
        packet
    };
    vec![
        (LAN_0, long(EVERYBODY, PC_1)),
        (WAN, packet_a_over(Transport::udp(5001, 6001), &long(PC_1, behind_a))),
        (LAN_0, long(behind_a, PC_1)),
        (WAN, padded(packet_a(&lan_frame_of(PC_1, behind_a, 2000)))),
        (WAN, changed(packet_a(&long(PC_1, behind_a)), |packet| packet[50] ^= 1)),
    ]
}

/// One worker in this thread: every stage.
fn assert_stages_do_not_allocate(plan: Plan, traffic: &[(PortId, Vec<u8>)]) {
    let cuts = plan.fragmentation == Fragmentation::Outer;
    let mut rig = Rig::with(plan);
    let pass = |rig: &mut Rig| {
        for (port, bytes) in traffic.iter().cycle().take(90) {
            assert!(rig.arrive(*port, bytes));
            if bytes.len() > 2000 {
                rig.drain();
                rig.discard_sent();
            }
        }
        rig.drain();
        rig.discard_sent();
    };
    pass(&mut rig);
    let calls = (0..ATTEMPTS).map(|_| allocator_calls(|| (0..20).for_each(|_| pass(&mut rig)))).min();
    assert_eq!(calls, Some(0), "in 1800 frames");
    let counters = rig.count();
    assert!(counters.reassembled_packets.get() > 0 && (counters.extra_fragments.get() > 0) == cuts);
    assert!(counters.forwarded.get() > 0 && counters.flooded.get() > 0 && counters.drops.total() > 0);
    rig.assert_conserved();
}

/// One worker in a thread of its own while tables are replaced: what is replaced is freed by who publishes, later.
fn assert_publications_cost_the_worker_nothing(traffic: &[(PortId, Vec<u8>)]) {
    let mut crew = Crew::start(1, u32::MAX);
    let wires = [LAN_0, LAN_1, WAN].map(|id| crew.attach(0, id, RING));
    let prepare = |crew: &Crew| -> Vec<Arc<Tables>> {
        (0..50).map(|_| Arc::new(tables(plan(), &crew.fdb, &crew.sessions))).collect()
    };
    let pass = |crew: &mut Crew, prepared: &mut Vec<Arc<Tables>>| {
        while let Some(tables) = prepared.pop() {
            crew.publish(tables);
            carry(crew, &wires, traffic);
        }
        wait_until("only the publisher holds replaced tables", || {
            crew.retired.iter().all(|tables| Arc::strong_count(tables) == 1)
        });
    };
    let mut prepared = prepare(&crew);
    pass(&mut crew, &mut prepared);
    let calls = (0..ATTEMPTS).map(|_| {
        let mut prepared = prepare(&crew);
        crew.retired.reserve(prepared.len());
        allocator_calls(|| pass(&mut crew, &mut prepared))
    });
    assert_eq!(calls.min(), Some(0), "in 50 publications");
    assert_eq!(crew.free_retired(), 0);
    crew.stop();
}

/// Two workers, of which one gives the other packets of a spread session.
fn assert_handing_over_costs_nothing() {
    let mut crew = Crew::start(2, u32::MAX);
    crew.fdb.learn(MacKey::new(PC_1), MemberId(0), 1);
    let spread = Plan { spread: [true, true], ..Plan::default() };
    crew.publish(Arc::new(tables(spread, &crew.fdb, &crew.sessions)));
    let wires = [0, 1].map(|worker| [LAN_0, WAN].map(|id| crew.attach(worker, id, RING)));
    wait_until("all queues are served", || {
        crew.counters.iter().all(|worker| worker.chunks.read().fill == u64::from(2 * RING))
    });
    let packets: Vec<_> =
        (0..50).map(|flow| packet_a(&lan_frame_of(PC_1, [2, 1, 0, 0, 0, flow], 60))).collect();
    let pass = || {
        for packet in &packets {
            wait_until("a chunk is lent", || {
                wires.iter().for_each(|[lan, _]| while lan.discard() {});
                wires[0][1].send(packet)
            });
        }
    };
    pass();
    let calls = (0..ATTEMPTS).map(|_| allocator_calls(|| (0..40).for_each(|_| pass()))).min();
    assert_eq!(calls, Some(0), "in 2000 packets");
    assert!(crew.count(0).handed.get() > 500, "{}", crew.count(0).handed.get());
    crew.stop();
}

#[test]
fn a_warm_path_does_not_touch_the_allocator() {
    let traffic = traffic();
    assert_stages_do_not_allocate(plan(), &traffic);
    // Packets that are cut up, packets that are answered with an error, and others.
    let frames = [(1400, false), (1400, true), (400, true)].map(|(bytes, df)| (LAN_0, ipv4_frame(bytes, df)));
    let narrow = Plan {
        path_mtu_bytes: 600,
        fragmentation: Fragmentation::Inner,
        mss_clamp: MssClamp::Path,
        ..Plan::default()
    };
    assert_stages_do_not_allocate(narrow, &[&frames, &traffic[..]].concat());
    let cut_up = Plan { path_mtu_bytes: 1500, ..Plan::jumbo() };
    assert_stages_do_not_allocate(cut_up, &[jumbo_traffic(), traffic.clone()].concat());
    assert_publications_cost_the_worker_nothing(&traffic);
    assert_handing_over_costs_nothing();
}
