//! The engine in memory: whole rounds of a worker, on frames that go round in a circle.
//!
//! ```text
//!  LAN (port 0) --- bridge domain --+-- session A (UDP 5001/6001, id 1000) --+
//!                                   +-- session B (IP 115, id 2000) ---------+-- WAN (port 1)
//! ```
//! What is timed is a worker's own round: receive, every stage, counters, transmit. What stands in for the rings is
//! [`circle`]: a transmitted frame gets its first shape back and waits to be received again, in the same chunk.
//! Its cost is a case of its own, so that it can be subtracted.
//!
//! Not here: AF_XDP, whose cost only a kernel can show.

mod circle;
mod tables;

use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, ensure};
use dataplane::counters::{PerWorker, WorkerCounters};
use dataplane::ports::Port;
use dataplane::tables::snapshot::{self, Tables};
use dataplane::worker::{Clock, Command, Mailbox, Worker, WorkerSetup, mailbox};
use xsk::{ChunkCache, Frame, FrameBatch, Umem, UmemConfig};

use self::circle::{Circle, CirclePort};
use crate::flows::FlowPlan;
use crate::harness::Case;

/// Times that a run takes every frame through the engine.
const PASSES_PER_RUN: u64 = 16;

/// Where a frame starts in its chunk: as AF_XDP delivers it. Units: bytes.
const FRAME_START_BYTES: usize = 256;

/// Chunks beyond those of the frames: for the worker's cache, and for copies if it floods.
const SPARE_CHUNKS: u32 = 512;

/// The way that the frames of a case take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// From the LAN into a pseudowire over UDP.
    Encap,
    /// Out of a pseudowire over UDP to the LAN.
    Decap,
    /// Out of a pseudowire over UDP into one over IP.
    Relay,
}

impl Way {
    /// Every way.
    const ALL: [Self; 3] = [Self::Encap, Self::Decap, Self::Relay];

    /// The case's name.
    fn name(self) -> &'static str {
        match self {
            Self::Encap => "engine, lan to pseudowire over udp",
            Self::Decap => "engine, pseudowire over udp to lan",
            Self::Relay => "engine, pseudowire over udp to pseudowire over ip",
        }
    }
}

/// A worker with two ports and frames that come again and again.
struct Rig {
    worker: Worker<CirclePort>,
    circle: Rc<Circle>,
    counters: PerWorker<WorkerCounters>,
    frames: u64,
    /// Held so that the worker's inbox stays open.
    _mailbox: Mailbox<CirclePort>,
}

impl Rig {
    /// Lays the way out for the frames of a plan; all stations are known.
    ///
    /// # Errors
    /// There is no memory for the frames, or one does not fit a chunk.
    fn new(way: Way, plan: &FlowPlan) -> anyhow::Result<Self> {
        Self::with(way, plan, tables::tables(way, plan)?)
    }

    /// The same with given tables.
    fn with(way: Way, plan: &FlowPlan, tables: Tables) -> anyhow::Result<Self> {
        let (_, pool) = Umem::map(&memory(plan))?;
        let shared = snapshot::shared();
        shared.store(Arc::new(tables));
        let counters = PerWorker::new(1);
        let (mailbox, inbox) = mailbox()?;
        let mut cache = ChunkCache::new(Arc::clone(&pool), 256);
        let circle = Rc::new(Circle::new(way, frames(way, plan, &mut cache)?));
        cache.flush();
        let mut worker = Worker::new(WorkerSetup {
            worker: 0,
            cache,
            inbox,
            tables: shared,
            counters: counters.clone(),
            clock: Arc::new(Clock::default()),
            idle_rounds: 0,
            exchange: None,
        });
        for port in Circle::ports(&circle) {
            mailbox.send(Command::Attach(port));
        }
        ensure!(worker.answer_mailbox(), "the worker was told to stop");
        Ok(Self { worker, circle, counters, frames: u64::from(plan.flows), _mailbox: mailbox })
    }

    /// Takes every frame through the engine several times; returns how many went through.
    fn run(&mut self) -> u64 {
        let goal = self.frames * PASSES_PER_RUN;
        let mut passed = 0;
        while passed < goal {
            let count = self.worker.round() as u64;
            if count == 0 {
                break;
            }
            passed += count;
        }
        passed
    }

    /// Refuses an engine that does not forward every frame, or changes one.
    ///
    /// # Errors
    /// A frame was dropped or flooded, or does not come back as it was.
    fn check(&mut self) -> anyhow::Result<()> {
        let before = self.circle.contents();
        let passed = self.run();
        let counters = self.counters.of(0).context("one worker counts")?;
        let forwarded = counters.forwarded.get();
        ensure!(
            passed == self.frames * PASSES_PER_RUN && forwarded == passed,
            "of {passed} frames {forwarded} were forwarded, {} flooded, {} dropped",
            counters.flooded.get(),
            counters.drops.total()
        );
        ensure!(self.circle.contents() == before, "a frame came back changed");
        Ok(())
    }
}

/// Memory for the frames, in chunks as the gateway would choose them: where a frame stands in a page decides which
/// lines of the cache it competes for.
fn memory(plan: &FlowPlan) -> UmemConfig {
    let needed = FRAME_START_BYTES + tables::OUTER_BYTES + plan.frame_bytes;
    let chunk_bytes = if needed <= 2048 { 2048 } else { 4096 };
    UmemConfig { chunk_count: plan.flows + SPARE_CHUNKS, chunk_bytes, headroom_bytes: 0, huge_pages: false }
}

/// The frames of a way, each in its chunk.
fn frames(way: Way, plan: &FlowPlan, cache: &mut ChunkCache) -> anyhow::Result<Vec<Frame>> {
    let frame = |flow| {
        let inner = plan.frame(flow)?;
        let bytes = if way == Way::Encap { inner } else { tables::packet(&inner)? };
        let chunk = cache.take().context("no chunk is left")?;
        Frame::from_bytes(chunk, FRAME_START_BYTES, &bytes)
            .map_err(|_| anyhow::anyhow!("{} bytes do not fit a chunk", bytes.len()))
    };
    (0..plan.flows).map(frame).collect()
}

/// The engine on every way, after a run that shows that it forwards.
///
/// # Errors
/// The rig cannot be made, or the engine does not forward every frame.
pub fn cases(plan: &FlowPlan) -> anyhow::Result<Vec<Case<'static>>> {
    let mut cases = Vec::new();
    for way in Way::ALL {
        let mut rig = Rig::new(way, plan)?;
        rig.check().with_context(|| way.name().to_owned())?;
        cases.push(Case::new(way.name(), move || rig.run()));
    }
    cases.push(without_engine(plan)?);
    Ok(cases)
}

/// What goes round in the circle without an engine: receive a batch, transmit each frame.
///
/// # Errors
/// The frames cannot be made.
fn without_engine(plan: &FlowPlan) -> anyhow::Result<Case<'static>> {
    let (_, pool) = Umem::map(&memory(plan))?;
    let mut cache = ChunkCache::new(pool, 256);
    // Nothing is put in front of these frames or taken off them, so none has to get its shape back.
    let circle = Rc::new(Circle::unchanging(frames(Way::Encap, plan, &mut cache)?));
    let [mut lan, mut wan] = Circle::ports(&circle);
    let mut batch = FrameBatch::new();
    let goal = u64::from(plan.flows) * PASSES_PER_RUN;
    Ok(Case::new("circle without engine", move || {
        let mut passed = 0;
        while passed < goal {
            passed += lan.receive(&mut batch) as u64;
            for frame in batch.drain(..) {
                // A circle has room for every frame that came from it.
                let _ = wan.transmit(frame);
            }
        }
        passed
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> FlowPlan {
        FlowPlan {
            flows: 100,
            source: "02:00:00:01:00:00/100".parse().expect("a range"),
            destination: "02:00:00:02:00:00/100".parse().expect("a range"),
            vlan: None,
            frame_bytes: 64,
        }
    }

    #[test]
    fn every_way_forwards_every_frame_and_gives_it_back_unchanged() {
        for way in Way::ALL {
            let mut rig = Rig::new(way, &plan()).expect("a rig");
            rig.check().unwrap_or_else(|fault| panic!("{}: {fault:#}", way.name()));
        }
    }

    #[test]
    fn an_engine_that_knows_no_station_is_not_measured() {
        let others = FlowPlan { destination: "02:00:00:03:00:00/100".parse().expect("a range"), ..plan() };
        let tables = tables::tables(Way::Encap, &others).expect("tables");
        let mut rig = Rig::with(Way::Encap, &plan(), tables).expect("a rig");
        rig.check().expect_err("frames to unknown stations are flooded");
    }
}
