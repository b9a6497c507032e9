//! Sessions whose inner flows are spread over the workers: every frame comes out once, in its flow's order, wherever it went.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::{collections::VecDeque, sync::Arc};

use dataplane::{
    ports::mem_port::MemWire,
    tables::{
        PortId,
        bridge_domains::{Circuit, DomainId, Member, MemberId},
        fdb::MacKey,
        session_state::{RxSequencing, SessionState},
    },
    verdict::DropReason,
    worker::Command,
};
use rig::{
    LAN_0, Plan, RING, WAN,
    crew::{Crew, wait_until},
    frames::{PC_1, PC_2, lan_frame_of, packet_a, packet_b},
    pieces::pieces,
    tables,
};
use wire::ethernet::VlanId;

/// Flows of each session.
const FLOWS: u16 = 50;

/// Frames on their way at most: fewer than a ring has places, so that none is dropped.
const WINDOW: usize = 200;

/// Workers with a queue of LAN 0 and one of the WAN each; PC 1 lives on LAN 0; both sessions are spread.
fn spreading(workers: usize, idle_rounds: u32) -> (Crew, Vec<[MemWire; 2]>) {
    let mut crew = Crew::start(workers, idle_rounds);
    crew.fdb.learn(MacKey::new(PC_1), MemberId(0), 1);
    publish(&mut crew, [true, true]);
    let wires = (0..workers).map(|worker| [LAN_0, WAN].map(|id| crew.attach(worker, id, RING)));
    let wires = wires.collect();
    // A worker may be given packets before it has anything to send them by.
    wait_until("all queues are served", || {
        crew.counters.iter().all(|worker| worker.chunks.read().fill == u64::from(2 * RING))
    });
    (crew, wires)
}

fn publish(crew: &mut Crew, spread: [bool; 2]) {
    publish_plan(crew, Plan { spread, ..Plan::default() });
}

/// Publishes tables, and waits until no worker uses others. Only while they poll.
fn publish_at_rest(crew: &mut Crew, plan: Plan) {
    publish_plan(crew, plan);
    let rounds: Vec<_> = crew.counters.iter().map(|worker| worker.rounds.get()).collect();
    wait_until("two rounds begin and end", || {
        crew.counters.iter().zip(&rounds).all(|(worker, before)| worker.rounds.get() > before + 2)
    });
}

fn publish_plan(crew: &mut Crew, plan: Plan) {
    crew.publish(Arc::new(tables(plan, &crew.fdb, &crew.sessions)));
}

/// The frame of a flow that has this number in it, which is what is checked when it comes out. The flow is that of its station.
fn frame(session: u8, flow: u16, number: u32, len: usize) -> Vec<u8> {
    let [high, low] = flow.to_be_bytes();
    let mut frame = lan_frame_of(PC_1, [2, 1, 0, session, high, low], len);
    frame[20..24].copy_from_slice(&number.to_be_bytes());
    frame
}

/// The packet of such a frame.
fn packet(session: u8, flow: u16, number: u32, len: usize) -> Vec<u8> {
    [packet_a, packet_b][usize::from(session)](&frame(session, flow, number, len))
}

/// What came out: session, flow and number.
type Seen = (u8, u16, u32);

fn seen(frame: &[u8]) -> Seen {
    let at = |offset: usize| frame[offset..].first_chunk().unwrap();
    (frame[9], u16::from_be_bytes([frame[10], frame[11]]), u32::from_be_bytes(*at(20)))
}

/// The order of every flow, though its frames may come out of several workers.
struct Order<'w> {
    wires: &'w [[MemWire; 2]],
    /// By worker: frames that came out of it and have not been looked at.
    waiting: Vec<VecDeque<Seen>>,
    /// By session and flow: the next number.
    next: [[u32; FLOWS as usize]; 2],
    /// By worker: frames that came out of it.
    came: Vec<usize>,
}

impl<'w> Order<'w> {
    fn new(wires: &'w [[MemWire; 2]]) -> Self {
        let waiting = wires.iter().map(|_| VecDeque::new()).collect();
        Self { wires, waiting, next: [[0; FLOWS as usize]; 2], came: vec![0; wires.len()] }
    }

    fn count(&self) -> usize {
        self.came.iter().sum()
    }

    /// Takes what came out, in the order of each flow.
    ///
    /// A frame may be seen in one ring before an earlier one is seen in another that was looked at before. But that one is there
    /// then: so after looking at all rings twice more there is always one that is next, or the order is broken.
    fn take(&mut self) {
        let mut fruitless = 0;
        while fruitless < 3 {
            for ([lan, _], waiting) in self.wires.iter().zip(&mut self.waiting) {
                waiting.extend(std::iter::from_fn(|| lan.receive(seen)));
            }
            fruitless = if self.pass() { 0 } else { fruitless + 1 };
        }
        assert!(
            self.waiting.iter().all(VecDeque::is_empty),
            "out of order: {:?}, {:?}",
            self.waiting,
            self.next
        );
    }

    /// Passes frames whose turn it is. Returns whether there was one.
    fn pass(&mut self) -> bool {
        let before = self.count();
        for (waiting, came) in self.waiting.iter_mut().zip(&mut self.came) {
            while let Some(&(session, flow, number)) = waiting.front() {
                let next = &mut self.next[usize::from(session)][usize::from(flow)];
                if number != *next {
                    break;
                }
                *next += 1;
                *came += 1;
                waiting.pop_front();
            }
        }
        self.count() > before
    }
}

/// Sends so many rounds of frames, one of each flow, all to worker 0; calls `now_and_then` between them.
fn send_rounds(
    crew: &mut Crew,
    wires: &[[MemWire; 2]],
    rounds: u32,
    mut now_and_then: impl FnMut(&mut Crew, u32),
) -> Vec<usize> {
    let mut order = Order::new(wires);
    let mut sent = 0;
    for number in 0..rounds {
        for flow in 0..FLOWS {
            for session in 0..2 {
                wait_until("a chunk is lent and the window is open", || {
                    order.take();
                    sent - order.count() < WINDOW && wires[0][1].send(&packet(session, flow, number, 60))
                });
                sent += 1;
            }
        }
        now_and_then(crew, number);
        crew.assert_conserved();
    }
    wait_until("every frame comes out", || {
        order.take();
        order.count() == sent
    });
    order.came
}

/// Frames handed over and taken, by all workers.
fn exchanged(crew: &Crew) -> [u64; 2] {
    [crew.counters.sum(|worker| worker.handed.get()), crew.counters.sum(|worker| worker.taken.get())]
}

#[test]
fn flows_of_one_worker_s_queue_come_out_of_all_workers_each_in_its_order() {
    const ROUNDS: u32 = 60;
    for workers in [2, 3] {
        let (mut crew, wires) = spreading(workers, u32::MAX);
        let came = send_rounds(&mut crew, &wires, ROUNDS, |_, _| ());
        let all = 2 * usize::from(FLOWS) * ROUNDS as usize;
        assert_eq!(crew.count(0).received.get(), all as u64, "{workers}");
        let [handed, taken] = exchanged(&crew);
        assert_eq!((handed, taken), ((all - came[0]) as u64, handed), "{workers}: {came:?}");
        assert!(came.iter().all(|came| came * workers > all / 3), "{workers}: {came:?}");
        assert_eq!(crew.counters.sum(|worker| worker.drops.total()), 0);
        crew.stop();
    }
}

#[test]
fn what_a_lan_sends_to_an_underlay_port_is_not_given_away_though_it_looks_like_a_packet() {
    let (mut crew, wires) = spreading(2, u32::MAX);
    let vlan = VlanId::new(10).unwrap();
    let mut plan = Plan { spread: [true, true], ..Plan::default() };
    plan.members.push(Member { circuit: Circuit::Port(WAN), vlan: Some(vlan), group: 0 });
    plan.attachments[2].attach_vlan(vlan, DomainId(0), MemberId(4));
    publish_at_rest(&mut crew, plan);
    let mut came = [Vec::new(), Vec::new()];
    let mut take = || {
        for ([lan, _], came) in wires.iter().zip(&mut came) {
            came.extend(std::iter::from_fn(|| lan.receive(<[u8]>::to_vec)));
        }
        came.iter().map(Vec::len).sum::<usize>()
    };
    let mut of_lan = Vec::new();
    for flow in 0..FLOWS {
        let packet = packet(1, flow, 0, 60);
        let mut bridged = packet.clone();
        bridged[..12].copy_from_slice([PC_1, PC_2].as_flattened());
        let mut tagged = bridged.clone();
        tagged.splice(12..12, [0x81, 0, 0, 10]);
        for bytes in [&tagged, &packet] {
            wait_until("a chunk is lent", || {
                take();
                wires[0][1].send(bytes)
            });
        }
        of_lan.push(bridged);
    }
    wait_until("every frame comes out", || take() == 2 * usize::from(FLOWS));
    let [own, others] = came;
    assert_eq!(
        own.iter().filter(|frame| of_lan.contains(frame)).collect::<Vec<_>>(),
        Vec::from_iter(&of_lan)
    );
    assert!(!others.is_empty() && others.iter().all(|frame| !of_lan.contains(frame)));
    assert_eq!(exchanged(&crew), [others.len() as u64; 2]);
    crew.stop();
}

#[test]
fn order_is_kept_while_spreading_is_switched_on_and_off() {
    let (mut crew, wires) = spreading(2, u32::MAX);
    let came = send_rounds(&mut crew, &wires, 300, |crew, round| {
        publish(crew, [round % 2 == 0, round % 3 == 0]);
        crew.free_retired();
    });
    assert!(came.iter().all(|came| *came > 1000), "{came:?}");
    wait_until("replaced tables are let go of", || crew.free_retired() == 0);
    crew.stop();
}

#[test]
fn order_of_packets_put_together_from_fragments_of_two_queues_is_kept_while_spreading_is_switched() {
    let (mut crew, wires) = spreading(2, u32::MAX);
    let mut order = Order::new(&wires);
    let mut sent = 0;
    for number in 0..200 {
        for flow in 0..FLOWS {
            let packet = packet(0, flow, number, 1514);
            let parts = pieces(&packet, number * u32::from(FLOWS) + u32::from(flow), 1480);
            wait_until("the window is open", || {
                order.take();
                sent - order.count() < 60
            });
            for (part, worker) in parts.iter().zip(&wires) {
                wait_until("a chunk is lent", || worker[1].send(part));
            }
            sent += 1;
            if flow % 3 == 0 {
                publish(&mut crew, [flow % 2 == 0, true]);
                crew.free_retired();
            }
        }
    }
    wait_until("every packet comes out", || {
        order.take();
        order.count() == sent
    });
    assert!(order.came.iter().all(|came| *came > 200), "{:?}", order.came);
    wait_until("replaced tables are let go of", || crew.free_retired() == 0);
    crew.stop();
}

#[test]
fn a_session_that_looks_at_sequence_numbers_is_never_spread() {
    let (mut crew, wires) = spreading(2, u32::MAX);
    let states = [(); 2].map(|()| Arc::new(SessionState::default()));
    let [strict, observed] = states;
    let rx_sequencing = [RxSequencing::Strict(strict), RxSequencing::Observed(observed)];
    publish_at_rest(&mut crew, Plan { spread: [true, true], rx_sequencing, ..Plan::default() });
    for flow in 0..FLOWS {
        for session in 0..2 {
            wait_until("a chunk is lent", || wires[0][1].send(&packet(session, flow, 0, 60)));
        }
    }
    wait_until("each frame has its end", || crew.count(0).ends() == 2 * u64::from(FLOWS));
    assert_eq!(exchanged(&crew), [0, 0]);
    assert_eq!(crew.count(0).drops.get(DropReason::SequenceMissing), u64::from(FLOWS));
    crew.stop();
}

#[test]
fn packets_put_together_from_fragments_are_spread_like_whole_ones() {
    let (crew, wires) = spreading(2, u32::MAX);
    let mut order = Order::new(&wires);
    for flow in 0..FLOWS {
        for part in pieces(&packet(0, flow, 0, 1514), u32::from(flow), 1480) {
            wait_until("a chunk is lent", || wires[0][1].send(&part));
        }
        wait_until("the packet comes out", || {
            order.take();
            order.count() == usize::from(flow) + 1
        });
    }
    assert!(order.came.iter().all(|came| *came > 10), "{:?}", order.came);
    assert_eq!(exchanged(&crew)[0], order.came[1] as u64);
    crew.stop();
}

#[test]
fn forged_packets_are_dropped_for_their_reason_by_whoever_takes_them() {
    let (crew, wires) = spreading(2, u32::MAX);
    for flow in 0..FLOWS {
        let mut forged = packet(0, flow, 0, 60);
        forged[50] ^= 1;
        wait_until("a chunk is lent", || wires[0][1].send(&forged));
    }
    let mismatches = |worker: usize| crew.count(worker).drops.get(DropReason::CookieMismatch);
    wait_until("all are dropped", || mismatches(0) + mismatches(1) == u64::from(FLOWS));
    assert!(mismatches(0) > 0 && mismatches(1) > 0);
    assert_eq!(
        crew.sessions[0].sum(|session| session.drops.get(DropReason::CookieMismatch)),
        u64::from(FLOWS)
    );
    crew.stop();
}

#[test]
fn whatever_bytes_a_packet_has_it_ends_once_and_its_chunk_comes_back() {
    const PACKETS: u32 = 20_000;
    let (crew, wires) = spreading(2, u32::MAX);
    // Xorshift: the same bytes each time.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % below
    };
    let discard = || wires.iter().flatten().for_each(|wire| while wire.discard() {});
    for number in 0..PACKETS {
        let mut bytes =
            packet(u8::from(number % 3 == 0), u16::try_from(number % 50).unwrap(), 0, 60 + random(200));
        for _ in 0..random(4) {
            // Headers of the packet and of what is in it, mostly.
            let within = if random(4) == 0 { bytes.len() } else { 90 };
            let at = random(within.min(bytes.len()));
            bytes[at] = u8::try_from(random(256)).unwrap();
        }
        if random(8) == 0 {
            bytes.truncate(1 + random(bytes.len()));
        }
        wait_until("a chunk is lent", || {
            discard();
            wires[0][1].send(&bytes)
        });
    }
    wait_until("every packet has its end", || {
        discard();
        let parked = crew.counters.sum(|worker| worker.parked.get());
        let [handed, taken] = exchanged(&crew);
        crew.counters.sum(|worker| worker.ends()) + parked == u64::from(PACKETS) + taken && handed == taken
    });
    assert!(exchanged(&crew)[0] > 1000 && crew.counters.sum(|worker| worker.drops.total()) > 1000);
    crew.stop();
}

#[test]
fn packets_of_sessions_that_are_not_spread_stay_where_they_arrived() {
    let (mut crew, wires) = spreading(2, u32::MAX);
    publish_at_rest(&mut crew, Plan { spread: [false, true], ..Plan::default() });
    for flow in 0..FLOWS {
        wait_until("a chunk is lent", || wires[0][1].send(&packet(0, flow, 0, 60)));
    }
    wait_until("each frame has its end", || crew.count(0).ends() == u64::from(FLOWS));
    assert_eq!((exchanged(&crew), wires[0][0].waiting()), ([0, 0], usize::from(FLOWS)));
    crew.stop();
}

#[test]
fn a_worker_that_sleeps_is_woken_by_packets_of_its_flows() {
    let (crew, wires) = spreading(2, 0);
    let flows = 0..FLOWS;
    let start = std::time::Instant::now();
    for flow in flows {
        wait_until("a chunk is lent", || wires[0][1].send(&packet(0, flow, 0, 60)));
        assert!(crew.detach(0, PortId(9)).is_empty(), "a queue in memory wakes nobody, a command does");
        let came = || wires.iter().any(|[lan, _]| lan.receive(|_| ()).is_some());
        wait_until("the frame comes out", came);
    }
    assert!(start.elapsed().as_secs() < 5, "without the sleep of half a second each");
    assert!(exchanged(&crew)[0] > 10);
    crew.stop();
}

#[test]
fn packets_for_a_worker_that_ends_meanwhile_are_dropped_for_one_reason_and_none_is_lost_to_the_memory() {
    let (crew, wires) = spreading(2, u32::MAX);
    let (receiver, ended) = (0, 1);
    let rounds = 20;
    for round in 0..rounds {
        match round {
            9 => crew.hands[ended].mailbox.send(Command::Stop),
            11 => wait_until("it has ended", || crew.hands[ended].has_ended()),
            _ => {}
        }
        for flow in 0..FLOWS {
            wait_until("a chunk is lent", || wires[receiver][1].send(&packet(1, flow, round, 60)));
            wires[receiver][0].receive(|_| ());
            wires[ended][0].receive(|_| ());
        }
    }
    let sent = u64::from(rounds) * u64::from(FLOWS);
    wait_until("each of them has its end", || crew.count(receiver).ends() == sent);
    let refused = crew.count(receiver).drops.get(DropReason::HandOverFull);
    let full = crew.count(receiver).drops.get(DropReason::TxRingFull);
    assert!(refused > 50, "{refused} of {sent}");
    assert_eq!(crew.count(receiver).drops.total(), refused + full);
    let at_session = |reason| crew.sessions[1].of(receiver).unwrap().drops.get(reason);
    assert_eq!(at_session(DropReason::HandOverFull), refused);
    crew.stop();
}
