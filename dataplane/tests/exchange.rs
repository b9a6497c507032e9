//! Fragments that arrive at one worker and belong to another: whole packets come out, nobody sleeps over them, no chunk is lost.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

mod rig;

use std::time::{Duration, Instant};

use dataplane::{
    ports::mem_port::MemWire,
    tables::{PortId, bridge_domains::MemberId, fdb::MacKey},
    verdict::DropReason,
    worker::Command,
};
use rig::{
    LAN_0, RING, WAN,
    crew::{Crew, wait_until},
    frames::{PC_1, PC_2, lan_frame, lan_frame_of, packet_a, packet_b},
    pieces::pieces,
};

/// Two workers with a queue of LAN 0 and one of the WAN each; PC 1 lives on LAN 0.
fn two_workers(idle_rounds: u32) -> (Crew, [[MemWire; 2]; 2]) {
    let mut crew = Crew::start(2, idle_rounds);
    crew.fdb.learn(MacKey::new(PC_1), MemberId(0), 1);
    let wires = [0, 1].map(|worker| [LAN_0, WAN].map(|id| crew.attach(worker, id, RING)));
    (crew, wires)
}

/// A frame of PC 2 that has a number in its last bytes.
fn numbered(number: u32) -> Vec<u8> {
    let mut frame = lan_frame_of(PC_1, PC_2, 1514);
    frame[1510..].copy_from_slice(&number.to_be_bytes());
    frame
}

/// The fragments of session A's or B's packet of that frame.
fn fragments(session: usize, number: u32) -> Vec<Vec<u8>> {
    let packet = [packet_a, packet_b][session](&numbered(number));
    pieces(&packet, number & 0xFFFF, 1480)
}

/// Fragments handed over and taken, by all workers.
fn exchanged(crew: &Crew) -> [u64; 2] {
    [crew.counters.sum(|worker| worker.handed.get()), crew.counters.sum(|worker| worker.taken.get())]
}

#[test]
fn packets_whose_fragments_come_by_two_workers_are_put_together_once_while_whole_ones_pass() {
    const PACKETS: u32 = 3_000;
    /// Packets on their way at most: fewer than a table holds.
    const WINDOW: usize = 60;
    let (crew, wires) = two_workers(u32::MAX);
    let (mut sent, mut came) = (0, vec![false; 2 * PACKETS as usize]);
    let mut count = 0;
    let small = packet_a(&lan_frame(PC_1, PC_2));
    let mut smalls = [0u64; 2];
    wait_until("every packet comes out", || {
        while sent < PACKETS && (2 * sent as usize) - count < WINDOW {
            for session in 0..2 {
                let parts = fragments(session, 2 * sent + u32::from(session == 1));
                for (at, part) in parts.iter().enumerate() {
                    // In turns: each worker gets the first and the second parts of some.
                    wait_until("a chunk is lent", || wires[(at + sent as usize / 2) % 2][1].send(part));
                }
            }
            smalls[0] += u64::from(wires[0][1].send(&small));
            sent += 1;
        }
        for worker in &wires {
            while let Some(number) = worker[0].receive(|frame| {
                (frame.len() == 1514).then(|| u32::from_be_bytes(*frame.last_chunk().unwrap()))
            }) {
                let Some(number) = number else {
                    smalls[1] += 1;
                    continue;
                };
                assert!(
                    !std::mem::replace(&mut came[number as usize], true),
                    "frame {number} came out twice"
                );
                count += 1;
            }
        }
        crew.assert_conserved();
        count == 2 * PACKETS as usize && smalls[0] == smalls[1]
    });
    let [handed, taken] = exchanged(&crew);
    assert_eq!((handed, taken), (2 * u64::from(PACKETS), 2 * u64::from(PACKETS)), "every second fragment");
    assert_eq!(crew.counters.sum(|worker| worker.reassembled_packets.get()), 2 * u64::from(PACKETS));
    assert_eq!(crew.counters.sum(|worker| worker.drops.total()), 0);
    crew.stop();
}

/// Makes a session's fragments belong to a worker, which is the first to receive one.
fn belong(crew: &Crew, wires: &[[MemWire; 2]; 2], worker: usize, session: usize) {
    wait_until("its queues are served", || crew.count(worker).chunks.read().fill == u64::from(2 * RING));
    assert!(wires[worker][1].send(&fragments(session, 0xFFFF)[0]));
    assert!(crew.detach(worker, PortId(9)).is_empty(), "a queue in memory wakes nobody, a command does");
    wait_until("the first one waits", || crew.count(worker).chunks.read().parked == 1);
}

#[test]
fn a_worker_that_sleeps_is_woken_by_fragments_that_belong_to_it() {
    let (crew, wires) = two_workers(0);
    let (session, sleeper, receiver) = (0, 1, 0);
    belong(&crew, &wires, sleeper, session);
    let start = Instant::now();
    for number in 0..10 {
        for part in fragments(session, number) {
            wait_until("a chunk is lent", || wires[receiver][1].send(&part));
        }
        assert!(crew.detach(receiver, PortId(9)).is_empty());
        wait_until("the packet comes out", || wires[sleeper][0].receive(|_| ()).is_some());
    }
    assert!(start.elapsed() < Duration::from_secs(2), "ten packets, each without the sleep of half a second");
    assert_eq!(exchanged(&crew), [20, 20]);
    crew.stop();
}

#[test]
fn a_flood_that_its_owner_cannot_take_leaves_room_for_other_tunnels_fragments() {
    const FLOOD: u32 = 600;
    const GOOD: u32 = 10;
    let (crew, wires) = two_workers(u32::MAX);
    let (owner, receiver) = (1, 0);
    // Both tunnels' fragments are of the worker that takes nothing any more, so that all of them wait in its lane.
    belong(&crew, &wires, owner, 0);
    assert!(wires[owner][1].send(&fragments(1, 0xFFFF)[0]));
    wait_until("both tunnels have an owner", || crew.count(owner).chunks.read().parked == 2);
    crew.hands[owner].mailbox.send(Command::Stop);
    wait_until("it has ended", || crew.count(owner).running.get() == 0);
    let send = |part: &[u8]| wait_until("a chunk is lent", || wires[receiver][1].send(part));
    for number in 0..FLOOD {
        send(&fragments(0, number)[0]);
    }
    wait_until("the flood has its end", || crew.count(receiver).ends() == u64::from(FLOOD));
    let refused = || crew.count(receiver).drops.get(DropReason::HandOverFull);
    let of_flood = refused();
    assert!(of_flood > 0, "it asked for more than there is");
    (0..GOOD).flat_map(|number| fragments(1, number)).for_each(|part| send(&part));
    wait_until("each has its end", || crew.count(receiver).ends() == u64::from(FLOOD + 2 * GOOD));
    assert_eq!(refused(), of_flood, "no fragment of the other tunnel is lost");
    crew.stop();
}

#[test]
fn fragments_for_a_worker_that_has_ended_are_not_lost_to_the_memory() {
    let (crew, wires) = two_workers(u32::MAX);
    let (session, ended, receiver) = (0, 1, 0);
    belong(&crew, &wires, ended, session);
    crew.hands[ended].mailbox.send(Command::Stop);
    wait_until("it has ended", || crew.count(ended).running.get() == 0);
    for number in 0..400 {
        for part in fragments(session, number) {
            wait_until("a chunk is lent", || wires[receiver][1].send(&part));
        }
    }
    // A batch is counted as received before its frames have their ends.
    wait_until("each of them has its end", || crew.count(receiver).ends() == 800);
    let refused = crew.count(receiver).drops.get(DropReason::HandOverFull);
    assert_eq!((exchanged(&crew), refused), ([256, 0], 544), "a tunnel's share of the room");
    crew.stop();
}

#[test]
fn a_worker_that_ends_gives_up_the_fragments_that_wait() {
    let (crew, wires) = two_workers(u32::MAX);
    let (session, holder) = (0, 1);
    for number in 0..5 {
        assert!(wires[holder][1].send(&fragments(session, number)[0]));
    }
    wait_until("five wait", || crew.count(holder).chunks.read().parked == 5);
    crew.stop();
}
