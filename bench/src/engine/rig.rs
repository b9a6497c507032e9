//! Rig: a worker with two ports on a belt, and the frames of a scenario.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use dataplane::counters::{PerWorker, WorkerCounters};
use dataplane::exchange::{Exchange, exchange};
use dataplane::ports::Port;
use dataplane::tables::PortId;
use dataplane::tables::snapshot::{self, SharedTables, Tables};
use dataplane::waker::Waker;
use dataplane::worker::{Clock, Command, Mailbox, Worker, WorkerSetup, mailbox};
use xsk::{BATCH, Chunk, ChunkCache, ChunkPool, Frame, FrameBatch, Umem, UmemConfig};

use super::belt::{Belt, BeltPort};
use super::scenario::{Scenario, Way};
use super::tables::{self, LAN, WAN};
use super::traffic::Traffic;
use crate::harness::{Case, Work};

/// Chunks of each worker beyond those of its frames: for its cache, and for copies if it floods.
const SPARE_CHUNKS: u32 = 256;

/// Size of a chunk: as the gateway chooses it for frames of up to 1518 bytes. Units: bytes.
const CHUNK_BYTES: u32 = 2048;

/// What the workers of a scenario share.
pub(super) struct Site {
    scenario: Scenario,
    workers: usize,
    tables: SharedTables,
    counters: PerWorker<WorkerCounters>,
    clock: Arc<Clock>,
    pool: Arc<ChunkPool>,
    /// The workers' ends of the exchange between them, until each takes its own.
    exchanges: Mutex<Vec<Option<Exchange>>>,
    /// Tables that keep every packet where it is received, and that spread all sessions.
    alternatives: Option<[Arc<Tables>; 2]>,
}

/// Chunks of the frame memory for so many frames, which so many workers have together.
const fn chunk_count(frames: u32, workers: u32) -> u32 {
    frames + workers * SPARE_CHUNKS
}

/// Pages of 2 MiB that the frame memory of a case takes.
pub(crate) fn huge_pages(scenario: &Scenario) -> u64 {
    (u64::from(chunk_count(scenario.frames, 1)) * u64::from(CHUNK_BYTES)).div_ceil(2 << 20)
}

impl Site {
    /// A site for that many workers; all stations are known.
    ///
    /// # Errors
    /// The scenario does not fit the engine's tables, or there is no memory for its frames.
    pub(super) fn new(scenario: &Scenario, workers: usize) -> anyhow::Result<Self> {
        Self::with(scenario, workers, workers * scenario.frames as usize, tables::tables(scenario, workers)?)
    }

    fn with(scenario: &Scenario, workers: usize, frames: usize, tables: Tables) -> anyhow::Result<Self> {
        let shared = snapshot::shared();
        shared.store(Arc::new(tables));
        let chunk_count = chunk_count(u32::try_from(frames)?, u32::try_from(workers)?);
        let huge_pages = scenario.huge_pages;
        let config = UmemConfig { chunk_count, chunk_bytes: CHUNK_BYTES, headroom_bytes: 0, huge_pages };
        let (_, pool) = Umem::map(&config)?;
        let wakers = (0..workers).map(|_| Waker::new()).collect::<Result<Vec<_>, _>>()?;
        let exchanges = Mutex::new(exchange(&wakers, &pool));
        let (counters, clock) = (PerWorker::new(workers), Arc::new(Clock::default()));
        Ok(Self {
            scenario: *scenario,
            workers,
            tables: shared,
            counters,
            clock,
            pool,
            exchanges,
            alternatives: None,
        })
    }

    /// A site whose sessions can be spread over its workers.
    ///
    /// # Errors
    /// As [`Site::new`].
    pub(super) fn spread(scenario: &Scenario, workers: usize) -> anyhow::Result<Self> {
        let alternatives = [tables::tables(scenario, workers)?, tables::tables(scenario, workers)?];
        let alternatives = alternatives.map(|mut tables| {
            tables.sessions = std::mem::take(&mut tables.sessions).with_spread(|_| true);
            tables
        });
        let [spread, mut kept] = alternatives;
        kept.sessions = std::mem::take(&mut kept.sessions).with_spread(|_| false);
        let site = Self::with(scenario, workers, scenario.frames as usize, Tables::default())?;
        Ok(Self { alternatives: Some([Arc::new(kept), Arc::new(spread)]), ..site })
    }

    /// Publishes the tables with or without spread sessions. The caller waits for rounds to end.
    pub(super) fn set_spread(&self, is_spread: bool) {
        if let Some(alternatives) = &self.alternatives {
            self.tables.store(Arc::clone(&alternatives[usize::from(is_spread)]));
        }
    }

    /// A worker's end of the exchange; only once.
    fn exchange(&self, number: usize) -> Option<Exchange> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner).get_mut(number)?.take()
    }
}

/// A worker and what goes through it.
pub(super) struct Rig {
    worker: Worker<BeltPort>,
    belt: Rc<RefCell<Belt>>,
    traffic: Traffic,
    /// Number of the first frame on the belt.
    first: u64,
    counters: PerWorker<WorkerCounters>,
    number: usize,
    /// Of a pass.
    frames: u64,
    /// Held so that the worker's inbox stays open.
    _mailbox: Mailbox<BeltPort>,
}

impl Rig {
    /// Worker `number` of a site, and its frames.
    ///
    /// # Errors
    /// There is no memory for the frames.
    pub(super) fn new(site: &Site, number: usize) -> anyhow::Result<Self> {
        Self::assembled(site, number, loaded(site, number)?)
    }

    /// Worker 0 of a site, and the frames of all workers.
    ///
    /// # Errors
    /// As [`Rig::new`].
    pub(super) fn alone(site: &Site) -> anyhow::Result<Self> {
        let (traffic, frames) = (Traffic::new(&site.scenario, 0, 1)?, site.scenario.frames as usize);
        Self::assembled(site, 0, loaded_with(site, traffic, frames)?)
    }

    /// Worker `number` of a site without frames of its own.
    ///
    /// # Errors
    /// As [`Rig::new`].
    pub(super) fn idle(site: &Site, number: usize) -> anyhow::Result<Self> {
        Self::assembled(site, number, loaded_with(site, Traffic::new(&site.scenario, 0, 1)?, 0)?)
    }

    fn assembled(
        site: &Site,
        number: usize,
        (belt, traffic, cache): (Rc<RefCell<Belt>>, Traffic, ChunkCache),
    ) -> anyhow::Result<Self> {
        let (mailbox, inbox) = mailbox()?;
        let mut worker = Worker::new(WorkerSetup {
            worker: number,
            cache,
            inbox,
            tables: Arc::clone(&site.tables),
            counters: site.counters.clone(),
            clock: Arc::clone(&site.clock),
            idle_rounds: 0,
            exchange: site.exchange(number),
        });
        for id in [LAN, WAN] {
            mailbox.send(Command::Attach(port(&belt, id)));
        }
        ensure!(worker.answer_mailbox(), "the worker was told to stop");
        let counters = site.counters.clone();
        let (first, frames) = (number as u64, u64::from(site.scenario.frames));
        Ok(Self { worker, belt, traffic, first, counters, number, frames, _mailbox: mailbox })
    }

    /// One round of the worker; returns how many frames it received.
    #[inline]
    pub(super) fn round(&mut self) -> usize {
        self.worker.round()
    }

    /// How many frames have left.
    #[inline]
    pub(super) fn left(&self) -> usize {
        self.belt.borrow().left.len()
    }

    /// How many frames have not been received.
    #[inline]
    pub(super) fn arriving(&self) -> usize {
        self.belt.borrow().arriving.len()
    }

    /// Lets the next rounds receive frames, or none.
    #[inline]
    pub(super) fn open(&self, is_open: bool) {
        self.belt.borrow_mut().burst = if is_open { BATCH } else { 0 };
    }

    /// Moves the frames that have left to `frames`.
    pub(super) fn take_left(&self, frames: &mut Vec<Frame>) {
        frames.append(&mut self.belt.borrow_mut().left);
    }

    /// Puts frames that left by another worker to those that left by this one.
    pub(super) fn add_left(&self, frames: &mut Vec<Frame>) {
        self.belt.borrow_mut().left.append(frames);
    }

    /// Lets `look` see the frames that have left.
    pub(super) fn with_left<R>(&self, look: impl FnOnce(&[Frame]) -> R) -> R {
        look(&self.belt.borrow().left)
    }

    /// Refuses an engine that does not forward every frame, in order, as what it has to become.
    ///
    /// # Errors
    /// A frame was dropped or flooded, or is not what it has to be.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        self.run();
        let counters = self.counters.of(self.number).context("every worker counts")?;
        let belt = self.belt.borrow();
        let frames = self.frames();
        ensure!(
            belt.left.len() as u64 == frames && counters.forwarded.get() == frames,
            "of {frames} frames {} left and {} were forwarded, {} flooded, {} dropped",
            belt.left.len(),
            counters.forwarded.get(),
            counters.flooded.get(),
            counters.drops.total()
        );
        check_left(&belt, &self.traffic, self.first)
    }
}

impl Work for Rig {
    fn prepare(&mut self) {
        let belt = &mut *self.belt.borrow_mut();
        self.first = self.traffic.next_number();
        renew(belt, &mut self.traffic);
    }

    fn run(&mut self) -> u64 {
        let before = self.belt.borrow().left.len();
        while self.worker.round() > 0 {}
        // A frame that did not leave now is missed here, so a case that loses some is never measured as a fast one.
        (self.belt.borrow().left.len() - before) as u64
    }

    fn frames(&self) -> u64 {
        self.frames
    }
}

/// From port to port without an engine.
struct PortsAlone {
    belt: Rc<RefCell<Belt>>,
    traffic: Traffic,
    lan: BeltPort,
    wan: BeltPort,
    batch: FrameBatch,
    cache: ChunkCache,
    frames: u64,
}

impl Work for PortsAlone {
    fn prepare(&mut self) {
        renew(&mut self.belt.borrow_mut(), &mut self.traffic);
    }

    fn run(&mut self) -> u64 {
        let before = self.belt.borrow().left.len();
        while self.lan.receive(&mut self.cache, &mut self.batch) > 0 {
            for frame in self.batch.drain(..) {
                // A belt refuses no frame.
                let _ = self.wan.transmit(frame);
            }
        }
        (self.belt.borrow().left.len() - before) as u64
    }

    fn frames(&self) -> u64 {
        self.frames
    }
}

/// The case of a scenario, after a pass that shows that it works.
pub(super) fn case(scenario: &Scenario) -> anyhow::Result<Case<'static>> {
    let site = Site::new(scenario, 1)?;
    let name = scenario.to_string();
    if scenario.way == Way::Ports {
        let (belt, traffic, cache) = loaded(&site, 0)?;
        let (lan, wan) = (port(&belt, LAN), port(&belt, WAN));
        let frames = u64::from(scenario.frames);
        let work = PortsAlone { belt, traffic, lan, wan, batch: FrameBatch::new(), cache, frames };
        return Ok(Case::new(name, work).of(*scenario));
    }
    let mut rig = Rig::new(&site, 0)?;
    rig.check().with_context(|| name.clone())?;
    Ok(Case::new(name, rig).of(*scenario))
}

/// A belt full of frames, the traffic that follows them, and the cache of the memory they lie in.
fn loaded(site: &Site, number: usize) -> anyhow::Result<(Rc<RefCell<Belt>>, Traffic, ChunkCache)> {
    loaded_with(site, Traffic::new(&site.scenario, number, site.workers)?, site.scenario.frames as usize)
}

fn loaded_with(
    site: &Site,
    mut traffic: Traffic,
    frames: usize,
) -> anyhow::Result<(Rc<RefCell<Belt>>, Traffic, ChunkCache)> {
    let mut cache = ChunkCache::new(Arc::clone(&site.pool), 256);
    let Scenario { way, burst, frames: most, .. } = site.scenario;
    let most = frames.max(most as usize);
    let mut belt = Belt::new(tables::receiver(way), burst as usize, most);
    for _ in 0..frames {
        let chunk = cache.take().context("no chunk is left")?;
        let mut whole = Frame::new(chunk, 0, CHUNK_BYTES as usize)
            .map_err(|_| anyhow::anyhow!("a chunk is not of {CHUNK_BYTES} bytes"))?;
        whole.head_mut().fill(0);
        belt.arriving.push_back(traffic.arrive(chunk_of(whole))?);
    }
    cache.flush();
    Ok((Rc::new(RefCell::new(belt)), traffic, cache))
}

/// Lets new frames arrive in the chunks of those that left.
fn renew(belt: &mut Belt, traffic: &mut Traffic) {
    for frame in belt.left.drain(..) {
        let frame = traffic.arrive(chunk_of(frame)).expect("a frame arrived in this chunk before");
        belt.arriving.push_back(frame);
    }
}

/// The chunk of a frame of one chunk, as all are here.
fn chunk_of(frame: Frame) -> Chunk {
    frame.into_chunks().next().expect("a frame has a chunk")
}

/// Refuses frames that left and are not what those from number `first` on have to become.
fn check_left(belt: &Belt, traffic: &Traffic, first: u64) -> anyhow::Result<()> {
    for (frame, number) in belt.left.iter().zip((first..).step_by(traffic.step())) {
        traffic.check_left(number, frame)?;
    }
    Ok(())
}

fn port(belt: &Rc<RefCell<Belt>>, id: PortId) -> BeltPort {
    BeltPort { id, belt: Rc::clone(belt) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::scenario::{BASE_FRAMES, Carrier, FrameLength};

    #[test]
    fn every_way_forwards_the_frames_of_every_kind_of_scenario_as_it_should() {
        for base in Way::ENGINE.map(Scenario::base) {
            for scenario in [
                base,
                Scenario { frame: FrameLength::Imix, ..base },
                Scenario { macs: 3000, sessions: 100, ..base },
                Scenario { burst: 1, ..base },
                Scenario { frames: 3000, ..base },
                Scenario { carrier: Carrier::Ip, ..base },
                Scenario { carrier: Carrier::UdpIpv6, ..base },
                Scenario { carrier: Carrier::UdpChecksum, frame: FrameLength::Bytes(1518), ..base },
                Scenario { carrier: Carrier::UdpChecksumOffloaded, frame: FrameLength::Imix, ..base },
            ] {
                case(&scenario).unwrap_or_else(|fault| panic!("{fault:#}"));
            }
        }
    }

    #[test]
    fn frames_of_later_passes_are_forwarded_as_they_should_too() {
        for way in Way::ENGINE {
            let scenario =
                Scenario { frame: FrameLength::Imix, macs: 1500, sessions: 7, ..Scenario::base(way) };
            let site = Site::new(&scenario, 2).expect("a site");
            let mut rig = Rig::new(&site, 1).expect("a rig");
            for _ in 0..3 {
                rig.run();
                let belt = rig.belt.borrow();
                assert_eq!(belt.left.len(), BASE_FRAMES as usize);
                check_left(&belt, &rig.traffic, rig.first)
                    .unwrap_or_else(|fault| panic!("{way:?}: {fault:#}"));
                drop(belt);
                rig.prepare();
            }
        }
    }

    #[test]
    fn an_engine_that_does_not_know_all_stations_is_not_measured() {
        let scenario = Scenario::base(Way::Encap);
        let known = tables::tables(&Scenario { macs: 998, ..scenario }, 1).expect("tables");
        let mut rig = Rig::new(&Site::with(&scenario, 1, BASE_FRAMES as usize, known).expect("a site"), 0)
            .expect("a rig");
        let fault = rig.check().expect_err("frames to an unknown station are flooded").to_string();
        // Station 499 sends frame 499 and 999.
        assert!(fault.ends_with("1022 were forwarded, 2 flooded, 0 dropped"), "{fault}");
    }

    #[test]
    fn a_frame_that_left_as_something_else_is_refused() {
        let scenario = Scenario::base(Way::Decap);
        let mut rig = Rig::new(&Site::new(&scenario, 1).expect("a site"), 0).expect("a rig");
        rig.check().expect("an engine that works");
        rig.belt.borrow_mut().left.swap(3, 4);
        let fault = check_left(&rig.belt.borrow(), &rig.traffic, rig.first).expect_err("refused").to_string();
        assert!(fault.starts_with("frame 3 left as"), "{fault}");
    }
}
