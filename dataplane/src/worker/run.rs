//! run: a worker's loop, the one endless loop of the engine.
//!
//! One round: answer the mailbox, load the newest tables, then for each queue take chunks back, receive a batch, take
//! it through the stages; then take over fragments and packets from other workers, and at the end send what was queued. A round in which nothing waits anywhere
//! ends with the look that finds that out, and counts towards sleep; a sleeping worker waits on its mailbox and all its sockets, see `waits`.
//!
//! In steady state a round makes no allocation, takes no lock, reads no clock (the main thread keeps [`Clock`]) and
//! makes no system call besides the kicks and sleeps that AF_XDP itself asks for.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use crossbeam::utils::CachePadded;
use xsk::ChunkCache;

use super::idle::{Idle, Next};
use super::mailbox::{Command, Inbox};
use crate::{
    batch::Batch,
    counters::{PerWorker, Whereabouts, WorkerCounters},
    exchange::Exchange,
    ports::{Port, PortSet},
    reassembly::Limits,
    stages::{self, AnswerBudget, Exits, Fragments, Identification},
    tables::{PortId, snapshot::SharedTables},
};

/// Longest sleep while nothing is under way; a bound on how long a missed wake-up could last.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// Longest sleep while frames wait for transmission or completion: the kernel wakes nobody for those.
const TX_SLEEP: Duration = Duration::from_millis(1);

/// The engine's clock: seconds since start, kept by the main thread. It starts at 1, so that 0 can mean never.
#[derive(Debug)]
pub struct Clock(CachePadded<AtomicU32>);

impl Default for Clock {
    fn default() -> Self {
        Self(CachePadded::new(AtomicU32::new(1)))
    }
}

impl Clock {
    /// The second now.
    #[must_use]
    #[inline]
    pub fn now_s(&self) -> u32 {
        self.0.load(Relaxed)
    }

    /// Sets the second; main thread only.
    pub fn set_s(&self, now_s: u32) {
        self.0.store(now_s.max(1), Relaxed);
    }
}

/// What a worker is born with.
#[derive(Debug)]
pub struct WorkerSetup<P> {
    /// Its number.
    pub worker: usize,
    /// Its free chunks.
    pub cache: ChunkCache,
    /// Commands for it.
    pub inbox: Inbox<P>,
    /// Where it finds the tables.
    pub tables: SharedTables,
    /// Counters of all workers; it writes its own part.
    pub counters: PerWorker<WorkerCounters>,
    /// The engine's clock.
    pub clock: Arc<Clock>,
    /// Rounds without a frame before it sleeps. Range: 0 (sleep at once) upwards; [`NEVER`](super::idle::NEVER): never.
    pub idle_rounds: u32,
    /// Its end of the exchange between workers; `None` when it is the only one.
    pub exchange: Option<Exchange>,
}

/// A worker: what one thread owns.
#[derive(Debug)]
pub struct Worker<P> {
    setup: WorkerSetup<P>,
    ports: PortSet<P>,
    batch: Batch,
    /// Identifications of its outer packets.
    identification: Identification,
    /// Outer packets that arrived in fragments.
    fragments: Fragments,
    /// ICMP errors that it may still send.
    answers: AnswerBudget,
    /// Which sessions are spread over the workers, in the tables that frames were last received with.
    spread_generation: u64,
    /// Chunks that came with attached queues less those that left with detached ones.
    chunks_handed_in: i64,
    /// Frames handed to the kernel and not completed, at the last sleep.
    under_way: u32,
    /// Length of the last sleep.
    pause: Duration,
}

impl<P: Port> Worker<P> {
    /// A worker without queues yet.
    #[must_use]
    pub fn new(mut setup: WorkerSetup<P>) -> Self {
        // Hash keys of the standard library are random per process.
        let start = RandomState::new().hash_one(setup.worker);
        let identification = Identification::new(setup.worker, setup.counters.iter().count(), start);
        let fragments = Fragments::new(Limits::WORKER, setup.exchange.take());
        Self {
            setup,
            ports: PortSet::default(),
            batch: Batch::default(),
            identification,
            fragments,
            answers: AnswerBudget::default(),
            spread_generation: 0,
            chunks_handed_in: 0,
            under_way: 0,
            pause: TX_SLEEP,
        }
    }

    /// Serves until told to stop.
    pub fn run(mut self) {
        self.counters(|counters| counters.running.set(1));
        let mut idle = Idle::new(self.setup.idle_rounds);
        while self.answer_mailbox() {
            match idle.after(self.round()) {
                Next::Work => {}
                Next::Spin => core::hint::spin_loop(),
                Next::Sleep => self.sleep(),
            }
        }
        self.setup.cache.flush();
        self.publish();
        self.counters(|counters| counters.running.set(0));
    }

    fn counters(&self, note: impl FnOnce(&WorkerCounters)) {
        if let Some(counters) = self.setup.counters.of(self.setup.worker) {
            note(counters);
        }
    }

    /// Carries out waiting commands. Returns whether to go on.
    #[inline]
    pub fn answer_mailbox(&mut self) -> bool {
        self.setup.inbox.is_empty() || self.answer_all()
    }

    /// The same when there are some. Out of line: what a channel takes is many times what the loop does in a round that finds nothing.
    #[cold]
    #[inline(never)]
    fn answer_all(&mut self) -> bool {
        let mut goes_on = true;
        while goes_on && let Some(command) = self.setup.inbox.next() {
            goes_on = self.carry_out(command);
            // The next rounds may be quiet ones.
            self.publish();
        }
        goes_on
    }

    /// Carries out one command. Returns whether to go on.
    fn carry_out(&mut self, command: Command<P>) -> bool {
        match command {
            Command::Attach(port) => {
                self.chunks_handed_in += chunks_in(&port);
                self.setup.inbox.watch(&port);
                self.ports.attach(port);
            }
            Command::Detach(id) => {
                let gone = self.ports.detach(id);
                self.hand_back(Some(id), gone);
            }
            Command::Stop => {
                self.drop_fragments();
                let gone = core::mem::take(&mut self.ports).into_ports();
                self.hand_back(None, gone);
                return false;
            }
        }
        true
    }

    /// Drops fragments that still wait for others.
    fn drop_fragments(&mut self) {
        let Self { setup, fragments, .. } = self;
        if let Some(counters) = setup.counters.of(setup.worker) {
            fragments.clear(counters, &mut setup.cache);
        }
    }

    fn hand_back(&mut self, port: Option<PortId>, queues: Vec<P>) {
        self.chunks_handed_in -= queues.iter().map(chunks_in).sum::<i64>();
        self.setup.inbox.hand_back(port, queues);
    }

    /// Serves each queue once. Returns the number of frames received, from queues and from other workers.
    pub fn round(&mut self) -> usize {
        if self.ports.is_quiet() && self.fragments.is_quiet() {
            self.counters(|counters| counters.rounds.add(1));
            // What the kernel did not take yet.
            if self.ports.flush() {
                self.publish();
            }
            return 0;
        }
        self.busy_round()
    }

    /// A round that may have something to do.
    fn busy_round(&mut self) -> usize {
        let Self { setup, ports, batch, identification, fragments, answers, spread_generation, .. } = self;
        let Some(counters) = setup.counters.of(setup.worker) else { return 0 };
        let tables = setup.tables.load();
        let context =
            stages::Context { tables: &tables, counters, worker: setup.worker, now_s: setup.clock.now_s() };
        let mut received = 0;
        let generation = tables.sessions.spreading().generation();
        let may_receive = generation == *spread_generation
            || fragments.exchange().is_none_or(|exchange| exchange.is_settled());
        if may_receive {
            *spread_generation = generation;
        }
        for position in 0..ports.len() {
            let Some(port) = ports.at(position) else { break };
            port.reclaim(&mut setup.cache);
            if !may_receive {
                continue;
            }
            let count = port.receive(&mut setup.cache, &mut batch.frames);
            if count > 0 {
                received += count;
                let id = port.id();
                let mut exits = Exits { ports, cache: &mut setup.cache, identification, fragments, answers };
                stages::run(&context, id, batch, &mut exits);
            }
        }
        let mut exits = Exits { ports, cache: &mut setup.cache, identification, fragments, answers };
        if may_receive {
            // What is put together from them is given away as well.
            received += stages::run_fragments(&context, batch, &mut exits);
        }
        received += stages::run_packets(&context, batch, &mut exits);
        drop(tables);
        counters.rounds.add(1);
        self.fragments.wake();
        self.ports.flush();
        if let Some(exchange) = self.fragments.exchange() {
            exchange.finish_packets();
        }
        self.publish();
        received
    }

    /// Publishes where the worker's chunks are, and what its queues did.
    fn publish(&self) {
        let (mut fill, mut tx, mut kicks) = (0, 0, 0);
        for port in self.ports.iter() {
            let held = port.held();
            fill += u64::from(held.fill);
            tx += u64::from(held.tx);
            kicks += port.kicks();
        }
        let on_loan = self.setup.cache.net_from_pool() + self.chunks_handed_in + self.fragments.net_chunks();
        let whereabouts = Whereabouts {
            cached: self.setup.cache.len() as u64,
            fill,
            tx,
            parked: self.fragments.parked_chunks() as u64,
            on_loan: u64::try_from(on_loan).unwrap_or(0),
        };
        self.counters(|counters| {
            counters.chunks.publish(whereabouts);
            counters.kicks.set(kicks);
            counters.parked.set(self.fragments.parked() as u64);
        });
    }

    /// Waits for a frame, a completion, a command or what another worker gives.
    fn sleep(&mut self) {
        // Frames that are left where they are, as while others are on their way at another worker, were told of once and will not be again.
        if self.ports.iter().any(P::has_received) || !self.fragments.may_sleep() {
            return core::hint::spin_loop();
        }
        self.counters(|counters| counters.sleeps.add(1));
        let pause = self.pause();
        self.ports.iter_mut().for_each(P::wake_before_sleep);
        self.setup.inbox.wait(pause);
        self.fragments.awake();
    }
}

impl<P: Port> Worker<P> {
    /// How long to sleep: briefly while frames are under way, longer each time that none of them has gone meanwhile.
    fn pause(&mut self) -> Duration {
        let under_way: u32 = self.ports.iter().map(|port| port.held().tx).sum();
        let has_moved = under_way != self.under_way;
        self.under_way = under_way;
        self.pause = match under_way {
            0 => LONGEST_SLEEP,
            _ if has_moved => TX_SLEEP,
            _ => (self.pause * 2).min(LONGEST_SLEEP),
        };
        self.pause
    }
}

/// Chunks on the other side of a queue's rings.
fn chunks_in<P: Port>(port: &P) -> i64 {
    let held = port.held();
    i64::from(held.fill) + i64::from(held.tx)
}
