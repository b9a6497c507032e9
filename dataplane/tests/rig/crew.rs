//! Workers as they run in the gateway: one thread each, a queue of their own of every port, tables shared by all.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use dataplane::{
    counters::{PerWorker, SessionCounters, Whereabouts, WorkerCounters},
    exchange::exchange,
    ports::mem_port::{MemPort, MemWire, mem_port},
    tables::{
        PortId,
        fdb::Fdb,
        snapshot::{self, SharedTables, Tables},
    },
    worker::{Clock, Command, Inbox, Mailbox, Worker, WorkerSetup, mailbox},
};
use xsk::{ChunkCache, ChunkPool, Held};

use super::{CHUNKS, Plan, tables, whole_pool};

/// Far more than anything here takes; a test that waits this long fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// Polling workers take whole processors, so crews of one test program take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within [`DEADLINE`].
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        std::thread::yield_now();
    }
}

/// Workers and what they share.
pub struct Crew {
    pub hands: Vec<Hand>,
    pub pool: Arc<ChunkPool>,
    pub outside: ChunkCache,
    pub tables: SharedTables,
    /// Replaced tables that a worker may still be reading.
    pub retired: Vec<Arc<Tables>>,
    pub fdb: Arc<Fdb>,
    pub counters: PerWorker<WorkerCounters>,
    pub sessions: Vec<PerWorker<SessionCounters>>,
    _turn: MutexGuard<'static, ()>,
}

/// One running worker.
pub struct Hand {
    pub mailbox: Mailbox<MemPort>,
    thread: JoinHandle<()>,
}

impl Hand {
    /// Whether its thread has ended, and with it all that the worker had.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }
}

impl Crew {
    /// Starts workers without queues.
    pub fn start(workers: usize, idle_rounds: u32) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let pool = whole_pool();
        let (fdb, shared, clock) =
            (Arc::new(Fdb::new(1024, 5)), snapshot::shared(), Arc::new(Clock::default()));
        let counters = PerWorker::new(workers);
        let sessions: Vec<_> = (0..2).map(|_| PerWorker::new(workers)).collect();
        shared.store(Arc::new(tables(Plan::default(), &fdb, &sessions)));
        let (mailboxes, inboxes): (Vec<_>, Vec<_>) = (0..workers).map(|_| mailbox().unwrap()).unzip();
        let wakers: Vec<_> = inboxes.iter().map(Inbox::waker).collect();
        let ends = inboxes.into_iter().zip(exchange(&wakers, &pool));
        let hands =
            mailboxes.into_iter().zip(ends).enumerate().map(|(number, (mailbox, (inbox, exchange)))| {
                let worker = Worker::new(WorkerSetup {
                    worker: number,
                    cache: ChunkCache::new(Arc::clone(&pool), 128),
                    inbox,
                    tables: Arc::clone(&shared),
                    counters: counters.clone(),
                    clock: Arc::clone(&clock),
                    idle_rounds,
                    exchange,
                });
                Hand { mailbox, thread: std::thread::spawn(move || worker.run()) }
            });
        let hands = hands.collect();
        let outside = ChunkCache::new(Arc::clone(&pool), 128);
        let retired = Vec::new();
        Self { hands, pool, outside, tables: shared, retired, fdb, counters, sessions, _turn: turn }
    }

    /// Attaches a queue of `ring_frames` to a worker.
    pub fn attach(&mut self, worker: usize, id: PortId, ring_frames: u32) -> MemWire {
        let (port, wire) = mem_port(id, ring_frames, &mut self.outside);
        self.hands[worker].mailbox.send(Command::Attach(port));
        wire
    }

    /// Detaches a worker's queues of a port. They still hold what the far side has not taken.
    pub fn detach(&self, worker: usize, id: PortId) -> Vec<MemPort> {
        let mailbox = &self.hands[worker].mailbox;
        mailbox.send(Command::Detach(id));
        let answer = mailbox.detached().recv_timeout(DEADLINE).unwrap();
        assert_eq!(answer.port, Some(id));
        answer.queues
    }

    /// Publishes tables as the gateway does: the replaced ones are kept until nobody reads them any more.
    pub fn publish(&mut self, tables: Arc<Tables>) {
        self.retired.push(self.tables.swap(tables));
    }

    /// Frees replaced tables that no worker reads any more. Returns how many are left.
    pub fn free_retired(&mut self) -> usize {
        self.retired.retain(|tables| Arc::strong_count(tables) > 1);
        self.retired.len()
    }

    /// A worker's counters.
    pub fn count(&self, worker: usize) -> &WorkerCounters {
        self.counters.of(worker).unwrap()
    }

    /// Every worker knows where its chunks are.
    pub fn assert_conserved(&self) {
        for counters in self.counters.iter() {
            let chunks = counters.chunks.read();
            assert!(chunks.is_conserved(), "{chunks:?}");
        }
    }

    /// Stops every worker; each thread ends, no chunk is missing and every frame had one verdict.
    pub fn stop(mut self) {
        for hand in &self.hands {
            hand.mailbox.send(Command::Stop);
        }
        for hand in std::mem::take(&mut self.hands) {
            wait_until("a worker's thread ends", || hand.has_ended());
            hand.thread.join().unwrap();
            let answer = hand.mailbox.detached().try_recv().unwrap();
            assert_eq!(answer.port, None, "the last answer");
            for port in answer.queues {
                assert_eq!(port.close(&mut self.outside), Held::default());
            }
        }
        for counters in self.counters.iter() {
            assert_eq!(counters.running.get(), 0);
            assert_eq!(counters.chunks.read(), Whereabouts::default(), "everything was handed back");
            let came = counters.received.get() + counters.taken.get();
            assert_eq!(came, counters.ends(), "every frame has one verdict");
        }
        self.outside.flush();
        assert_eq!(self.pool.free_count(), CHUNKS as usize, "no chunk is lost or doubled");
    }
}
