//! Workers as threads: queues come and go and tables change while frames flow, and no frame or chunk is lost or doubled.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::sync::Arc;

use dataplane::{
    ports::mem_port::MemWire,
    tables::{PortId, bridge_domains::MemberId, fdb::MacKey},
    verdict::DropReason,
    worker::Command,
};
use rig::{
    LAN_0, LAN_1, Plan, RING, WAN,
    crew::{Crew, wait_until},
    frames::{PC_1, PC_2, lan_frame, packet_a},
    tables,
};

/// A station behind session A.
const PC_3: [u8; 6] = [2, 0, 0, 0, 0, 3];

/// Frames a stream has under way at most: fewer than a ring has places, so that none is dropped.
const WINDOW: usize = 200;

/// Numbered frames from one port to another, through one worker. The number stands in a frame's last four bytes.
struct Stream {
    from: PortId,
    to: PortId,
    bytes: Vec<u8>,
    sent: u32,
    /// By number: whether it came out.
    seen: Vec<bool>,
}

impl Stream {
    fn new(from: PortId, to: PortId, bytes: Vec<u8>) -> Self {
        Self { from, to, bytes, sent: 0, seen: Vec::new() }
    }

    fn came_out(&self) -> usize {
        self.seen.iter().filter(|seen| **seen).count()
    }

    /// Sends the next frames, as many as the window and the lent chunks allow, up to `most` in all.
    fn send(&mut self, wires: &[MemWire], gone: usize, most: u32) {
        while self.sent < most && self.seen.len() - self.came_out() - gone < WINDOW {
            let start = self.bytes.len() - 4;
            self.bytes[start..].copy_from_slice(&self.sent.to_be_bytes());
            if !wires[self.from.index()].send(&self.bytes) {
                break;
            }
            self.sent += 1;
            self.seen.push(false);
        }
    }

    /// Takes what came out.
    fn take(&mut self, wires: &[MemWire]) {
        let last = |bytes: &[u8]| u32::from_be_bytes(*bytes.last_chunk().unwrap());
        while let Some(number) = wires[self.to.index()].receive(last) {
            let seen = &mut self.seen[number as usize];
            assert!(!*seen, "frame {number} came out twice");
            *seen = true;
        }
    }
}

/// One stream per pair of neighbours in the ring LAN 0, LAN 1, WAN; each output port belongs to one stream.
fn streams() -> [Stream; 3] {
    [
        Stream::new(LAN_0, LAN_1, lan_frame(PC_2, PC_1)),
        Stream::new(LAN_1, WAN, lan_frame(PC_3, PC_2)),
        Stream::new(WAN, LAN_0, packet_a(&lan_frame(PC_1, PC_3))),
    ]
}

/// Two polling workers with a queue of every port each, and their stations known.
fn two_workers() -> (Crew, Vec<Vec<MemWire>>) {
    let mut crew = Crew::start(2, u32::MAX);
    for (mac, member) in [(PC_1, 0), (PC_2, 1), (PC_3, 2)] {
        crew.fdb.learn(MacKey::new(mac), MemberId(member), 1);
    }
    let wires = (0..2).map(|worker| [LAN_0, LAN_1, WAN].map(|id| crew.attach(worker, id, RING)).to_vec());
    let wires = wires.collect();
    (crew, wires)
}

#[test]
fn two_workers_carry_every_frame_once_while_tables_are_replaced() {
    const FRAMES: u32 = 3_000;
    let (mut crew, wires) = two_workers();
    let mut flows = [streams(), streams()];
    let mut published = 0;
    wait_until("every frame comes out", || {
        for (streams, wires) in flows.iter_mut().zip(&wires) {
            for stream in streams {
                stream.send(wires, 0, FRAMES);
                stream.take(wires);
            }
        }
        let plan = Plan { path_mtu_bytes: 1500 + published % 100, ..Plan::default() };
        crew.publish(Arc::new(tables(plan, &crew.fdb, &crew.sessions)));
        published += 1;
        crew.free_retired();
        crew.assert_conserved();
        flows.iter().flatten().all(|stream| stream.came_out() == FRAMES as usize)
    });
    wait_until("the workers let go of replaced tables", || crew.free_retired() == 0);
    assert!(published > 20, "{published} publications");
    for worker in 0..2 {
        assert_eq!(crew.count(worker).forwarded.get(), u64::from(3 * FRAMES));
        assert_eq!(crew.count(worker).drops.total(), 0);
    }
    crew.stop();
}

/// Sends every stream up to its number of frames, and does something when worker 0's first stream is half there. Ends when
/// every frame came out, or was dropped by worker 0 for want of a queue towards LAN 1.
fn carry_on(
    (crew, wires): &mut (Crew, Vec<Vec<MemWire>>),
    flows: &mut [[Stream; 3]; 2],
    frames: [u32; 3],
    at_half: impl FnOnce(&mut Crew, &mut [MemWire]),
) {
    let half = u32::midpoint(flows[0][0].sent, frames[0]);
    let mut at_half = Some(at_half);
    wait_until("every frame comes out or is counted", || {
        let mut is_over = true;
        for (worker, streams) in flows.iter_mut().enumerate() {
            for (stream, most) in streams.iter_mut().zip(frames) {
                let is_cut = worker == 0 && stream.to == LAN_1;
                let dropped = crew.count(worker).drops.get(DropReason::NoTxQueue);
                let gone = if is_cut { usize::try_from(dropped).unwrap() } else { 0 };
                stream.send(&wires[worker], gone, most);
                stream.take(&wires[worker]);
                is_over &= stream.sent == most && stream.came_out() + gone == stream.sent as usize;
            }
        }
        if let Some(action) = at_half.take_if(|_| flows[0][0].sent >= half) {
            action(crew, &mut wires[0]);
        }
        crew.assert_conserved();
        is_over
    });
    assert!(at_half.is_none());
}

#[test]
fn a_queue_detached_and_attached_again_under_traffic_loses_nothing_but_what_it_counts() {
    let mut engine = two_workers();
    let mut flows = [streams(), streams()];
    carry_on(&mut engine, &mut flows, [1000, 1000, 1000], |_, _| ());

    carry_on(&mut engine, &mut flows, [3000, 1000, 3000], |crew, _| {
        crew.hands[0].mailbox.send(Command::Detach(LAN_1));
    });
    let answer = engine.0.hands[0].mailbox.detached().try_recv().unwrap();
    assert_eq!((answer.port, answer.queues.len()), (Some(LAN_1), 1));
    for queue in answer.queues {
        queue.close(&mut engine.0.outside);
    }
    let dropped = engine.0.count(0).drops.get(DropReason::NoTxQueue);
    assert!((500..=1000 + WINDOW as u64).contains(&dropped), "{dropped} frames after the queue was gone");

    carry_on(&mut engine, &mut flows, [5000, 1000, 5000], |crew, wires| {
        wires[LAN_1.index()] = crew.attach(0, LAN_1, RING);
    });
    let more = engine.0.count(0).drops.get(DropReason::NoTxQueue) - dropped;
    assert!((500..=1500).contains(&more), "{more} frames until there was a queue again");
    carry_on(&mut engine, &mut flows, [6000, 2000, 6000], |_, _| ());
    let crew = engine.0;
    assert_eq!(crew.count(0).drops.total(), dropped + more, "for no other reason, and none since");
    assert_eq!(crew.count(1).drops.total(), 0, "the other worker's queue stayed");
    crew.stop();
}

#[test]
fn a_queue_is_detached_with_what_the_far_side_has_not_taken() {
    let (mut crew, wires) = two_workers();
    let mut streams = streams();
    streams[0].send(&wires[0], 0, 10);
    wait_until("ten frames wait for the far side", || wires[0][LAN_1.index()].waiting() == 10);
    let whole = u64::from(3 * RING);
    wait_until("the worker says so and lent other chunks", || {
        let chunks = crew.count(0).chunks.read();
        (chunks.fill, chunks.tx) == (whole, 10)
    });
    for queue in crew.detach(0, LAN_1) {
        queue.close(&mut crew.outside);
    }
    wait_until("the worker says so", || crew.count(0).chunks.read().tx == 0);
    let after = crew.count(0).chunks.read();
    assert!(after.is_conserved(), "{after:?}");
    assert_eq!(after.fill, whole - u64::from(RING));
    crew.stop();
}

#[test]
fn a_detach_of_a_port_nobody_serves_is_answered_all_the_same() {
    let (crew, _wires) = two_workers();
    assert_eq!(crew.detach(0, PortId(9)).len(), 0);
    crew.stop();
}
