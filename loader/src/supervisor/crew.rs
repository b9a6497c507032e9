//! Crew: the worker threads, from the main thread's side.

use std::{
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, bail};
use dataplane::{
    counters::{PerWorker, WorkerCounters},
    exchange::{Exchange, exchange},
    ports::xsk_port::XskPort,
    tables::{PortId, snapshot::SharedTables},
    worker::{Clock, Command, Inbox, Mailbox, Worker, WorkerSetup, idle, mailbox, pin},
};
use xsk::{ChunkCache, ChunkPool};

use crate::{config::model::WorkMode, placement::WORKER_THREAD};

/// Chunks that a worker keeps for itself before it gives some to the pool.
const CACHE_CHUNKS: usize = 512;

/// Rounds over idle queues before an adaptive worker sleeps.
const ADAPTIVE_ROUNDS: u32 = 32;

// Then the worker sleeps before it would wake a driver for the second time, and asks once more on its way to sleep.
const _: () = assert!(ADAPTIVE_ROUNDS < xsk::WAKE_PAUSE_FLUSHES);

/// How long a worker may take to answer; it looks at its mailbox every round, and a command wakes it.
const ANSWER: Duration = Duration::from_secs(5);

/// What all workers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) pool: Arc<ChunkPool>,
    pub(super) tables: SharedTables,
    pub(super) counters: PerWorker<WorkerCounters>,
    pub(super) clock: Arc<Clock>,
    /// What a worker does when there is nothing to do.
    pub(super) mode: WorkMode,
}

/// The worker threads.
#[derive(Debug)]
pub(super) struct Crew {
    members: Vec<Member>,
}

#[derive(Debug)]
struct Member {
    mailbox: Mailbox<XskPort>,
    cpu: usize,
    thread: Option<JoinHandle<()>>,
}

impl Crew {
    /// Starts one worker per CPU given, worker 0 on the first.
    ///
    /// # Errors
    /// When a thread cannot be started or bound to its CPU; those already started are stopped.
    pub(super) fn hire(cpus: &[usize], shared: &Shared) -> anyhow::Result<Self> {
        let mut crew = Self { members: Vec::new() };
        for (worker, (place, &cpu)) in places(cpus.len(), shared)?.into_iter().zip(cpus).enumerate() {
            match Member::start(worker, cpu, place, shared) {
                Ok(member) => crew.members.push(member),
                Err(error) => {
                    crew.stop();
                    return Err(error);
                }
            }
        }
        Ok(crew)
    }

    /// Number of workers.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// The CPU of each worker.
    pub(super) fn cpus(&self) -> impl Iterator<Item = usize> {
        self.members.iter().map(|member| member.cpu)
    }

    /// Hands a queue to a worker.
    pub(super) fn attach(&self, worker: usize, port: XskPort) {
        if let Some(member) = self.members.get(worker) {
            member.mailbox.send(Command::Attach(port));
        }
    }

    /// Takes all queues of a port back from all workers.
    ///
    /// # Errors
    /// When a worker does not answer: it hangs, and the gateway cannot go on.
    pub(super) fn detach(&self, port: PortId) -> anyhow::Result<Vec<XskPort>> {
        for member in &self.members {
            member.mailbox.send(Command::Detach(port));
        }
        let mut queues = Vec::new();
        for (worker, member) in self.members.iter().enumerate() {
            let answer = member.mailbox.detached().recv_timeout(ANSWER);
            let answer =
                answer.with_context(|| format!("wait for worker {worker} to give up a port's queues"))?;
            anyhow::ensure!(answer.port == Some(port), "worker {worker} gave up the queues of another port");
            queues.extend(answer.queues);
        }
        Ok(queues)
    }

    /// The first worker whose thread has ended.
    pub(super) fn lost(&self) -> Option<usize> {
        self.members.iter().position(|member| member.thread.as_ref().is_none_or(JoinHandle::is_finished))
    }

    /// Stops all workers; their queues come back.
    pub(super) fn stop(&mut self) -> Vec<XskPort> {
        for member in &self.members {
            member.mailbox.send(Command::Stop);
        }
        let mut ports = Vec::new();
        for (worker, mut member) in self.members.drain(..).enumerate() {
            if member.thread.take().is_some_and(|thread| thread.join().is_err()) {
                tracing::error!("worker {worker} ended by a panic");
            }
            ports.extend(member.mailbox.detached().try_iter().flat_map(|answer| answer.queues));
        }
        ports
    }
}

/// Rounds over idle queues before a worker sleeps.
const fn idle_rounds(mode: WorkMode) -> u32 {
    match mode {
        WorkMode::Busy => idle::NEVER,
        WorkMode::Adaptive => ADAPTIVE_ROUNDS,
        WorkMode::Interrupt => 0,
    }
}

/// What joins a worker to the main thread and to the other workers.
struct Place {
    mailbox: Mailbox<XskPort>,
    inbox: Inbox<XskPort>,
    exchange: Option<Exchange>,
}

/// The places of so many workers.
fn places(workers: usize, shared: &Shared) -> anyhow::Result<Vec<Place>> {
    let pair = |worker| mailbox().with_context(|| format!("make the mailbox of worker {worker}"));
    let pairs: Vec<_> = (0..workers).map(pair).collect::<anyhow::Result<_>>()?;
    let wakers: Vec<_> = pairs.iter().map(|(_, inbox)| inbox.waker()).collect();
    let ends = exchange(&wakers, &shared.pool);
    let place = |((mailbox, inbox), exchange)| Place { mailbox, inbox, exchange };
    Ok(pairs.into_iter().zip(ends).map(place).collect())
}

impl Member {
    fn start(worker: usize, cpu: usize, place: Place, shared: &Shared) -> anyhow::Result<Self> {
        let Place { mailbox, inbox, exchange } = place;
        let setup = WorkerSetup {
            worker,
            cache: ChunkCache::new(Arc::clone(&shared.pool), CACHE_CHUNKS),
            inbox,
            tables: Arc::clone(&shared.tables),
            counters: shared.counters.clone(),
            clock: Arc::clone(&shared.clock),
            idle_rounds: idle_rounds(shared.mode),
            exchange,
        };
        let (pinned, answer) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(format!("{WORKER_THREAD}{worker}"))
            .spawn(move || {
                let outcome = pin::pin(cpu);
                let is_pinned = outcome.is_ok();
                let _ = pinned.send(outcome);
                if is_pinned {
                    Worker::new(setup).run();
                }
            })
            .with_context(|| format!("start the thread of worker {worker}"))?;
        match answer.recv() {
            Ok(outcome) => outcome?,
            Err(_) => bail!("worker {worker} ended before it started"),
        }
        Ok(Self { mailbox, cpu, thread: Some(thread) })
    }
}
