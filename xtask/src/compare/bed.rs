//! Test bed: the wires with one system's gateways on them, from the first command to the last process gone.

use std::cell::{Cell, RefCell};
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use netlab::{Lab, Node, Process};

use super::load::{Load, Look, Offer, Outcome, Place};
use super::measure::Stage;
use super::placement::Placement;
use super::reports::Usage;
use super::site::{Ready, Side, Site, Step, Tuning};
use super::systems::System;
use super::tools::Tools;
use super::wires::{LAN, WIRE, Wires};

/// Name of the lab; its namespaces are called `sw-compare-<machine>`.
const LAB_NAME: &str = "compare";

/// Time for a program to be ready, and for gateways to find each other.
const READY_DEADLINE: Duration = Duration::from_secs(20);

/// Frames by which a path is tried, and their rate.
const TRIAL_RATE: u64 = 2000;
const TRIAL_S: f64 = 0.1;

/// Wires with gateways on them. Dropping it removes everything.
#[derive(Debug)]
pub(super) struct Bed<'a> {
    lab: Lab,
    wires: Wires,
    tools: &'a Tools,
    placement: &'a Placement,
    system: &'a System,
    started: Cell<u32>,
    /// What spanwire is told that is not as it comes.
    tuning: Tuning,
    /// Programs of the gateways that go on running.
    programs: RefCell<Vec<u32>>,
}

impl<'a> Bed<'a> {
    /// Lays the wires, sets the gateways up and waits until they carry frames.
    ///
    /// # Errors
    /// A step fails, a program is not ready in time, or no frame arrives; the text has the ends of all logs.
    pub(super) fn make(system: &'a System, tools: &'a Tools, placement: &'a Placement) -> Result<Self> {
        Self::tuned(system, tools, placement, Tuning::default())
    }

    /// The same with further lines in the gateways' configurations.
    ///
    /// # Errors
    /// As [`Self::make`].
    pub(super) fn tuned(
        system: &'a System,
        tools: &'a Tools,
        placement: &'a Placement,
        tuning: Tuning,
    ) -> Result<Self> {
        let lab = Lab::new(LAB_NAME)?;
        let wires = Wires::lay(&lab)?;
        let (started, programs) = (Cell::new(0), RefCell::default());
        let bed = Self { lab, wires, tools, placement, system, started, tuning, programs };
        bed.set_up().with_context(|| format!("setting up {}", system.name))?;
        Ok(bed)
    }

    fn set_up(&self) -> Result<()> {
        for side in Side::BOTH {
            let site = self.wires.site(side, &self.lab, self.placement.gateways[side.index()]);
            let site = Site { tuning: self.tuning, ..site };
            fs::create_dir_all(&site.dir).with_context(|| format!("creating {}", site.dir.display()))?;
            self.carry_out(&site, &self.wires.gateways[side.index()])?;
        }
        if self.system.has_gateways() {
            self.await_frames()?;
        }
        Ok(())
    }

    fn carry_out(&self, site: &Site, node: &Node) -> Result<()> {
        for step in self.system.steps(site, self.tools)? {
            match step {
                Step::File { path, text } => {
                    fs::write(&path, text).with_context(|| format!("writing {path}"))?;
                }
                Step::Run(words) => {
                    node.run(&borrowed(&words)).map(drop)?;
                }
                Step::Start { name, words, ready } => {
                    let process = node.spawn(&format!("{}-{name}", site.side.name()), &borrowed(&words))?;
                    self.programs.borrow_mut().push(process.pid());
                    self.await_ready(&process, node, &ready)?;
                }
            }
        }
        Ok(())
    }

    fn await_ready(&self, process: &Process, node: &Node, ready: &Ready) -> Result<()> {
        self.lab.wait_until(&format!("{} to be ready", process.name()), READY_DEADLINE, || match ready {
            Ready::Writes(sign) if process.log().contains(sign) => Ok(()),
            Ready::Writes(sign) => Err(format!("{sign:?} is not in its output")),
            Ready::Answers(words, sign) => match node.run(&borrowed(words)) {
                Ok(answer) if answer.contains(sign) => Ok(()),
                Ok(answer) => Err(answer),
                Err(fault) => Err(format!("{fault:#}")),
            },
        })
    }

    /// Waits until a few frames arrive, whole and in number, with all stations known.
    fn await_frames(&self) -> Result<()> {
        let offer = Offer { frame_bytes: 64, rate: TRIAL_RATE, seconds: TRIAL_S, look: Look::Loss };
        let load = self.load();
        self.lab.wait_until("frames to arrive", READY_DEADLINE, || {
            let attempt = || {
                load.teach(LAN)?;
                load.offer(LAN, LAN, &offer)
            };
            let outcome = attempt().map_err(|fault| format!("{fault:#}"))?;
            if outcome.sent > 0 && outcome.came == outcome.sent {
                return Ok(());
            }
            Err(format!("{} of {} frames came", outcome.came, outcome.sent))
        })
    }

    /// CPU time so far of the gateways' programs, all threads; what the kernel does in softirqs meanwhile is in it as far as one of them ran.
    ///
    /// # Errors
    /// A program has ended.
    pub(super) fn programs_time(&self) -> Result<Duration> {
        let programs = self.programs.borrow();
        let times: Vec<Duration> = programs.iter().map(|&pid| cpu_time(pid)).collect::<Result<_>>()?;
        Ok(times.iter().sum())
    }

    /// Generator and sink on these wires.
    fn load(&self) -> Load<'_> {
        Load {
            lab: &self.lab,
            generator: Place::In(&self.wires.generator),
            sink: Place::In(&self.wires.sink),
            tools: self.tools,
            cpu: self.placement.generator,
            started: &self.started,
        }
    }

    fn offer_at(&self, interface: &str, offer: &Offer) -> Result<Outcome> {
        ensure!(!netlab::interrupted(), "interrupted");
        let outcome = self.load().offer(interface, interface, offer);
        outcome.with_context(|| format!("{} frames/s through {}", offer.rate, self.system.name))
    }
}

impl Stage for Bed<'_> {
    fn has_gateways(&self) -> bool {
        self.system.has_gateways()
    }

    fn offer(&self, offer: &Offer) -> Result<Outcome> {
        self.offer_at(if self.has_gateways() { LAN } else { WIRE }, offer)
    }

    /// The whole machine's, and that over the wire without gateways, beside which the idle gateways are still there.
    fn usages(&self, offer: &Offer) -> Result<(Outcome, [Option<Usage>; 2])> {
        let outcome = self.offer(offer)?;
        let wire = self.offer_at(WIRE, offer)?.usage;
        let usage = outcome.usage;
        Ok((outcome, [usage, wire]))
    }
}

/// CPU time of all threads of a process. Source: <https://docs.kernel.org/6.12/scheduler/sched-stats.html#proc-pid-schedstat>
fn cpu_time(pid: u32) -> Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let mut ns = 0;
    for thread in fs::read_dir(&folder).with_context(|| format!("listing {folder}"))? {
        let path = thread.with_context(|| format!("listing {folder}"))?.path().join("schedstat");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let on_cpu = text.split(' ').next().and_then(|number| number.parse::<u64>().ok());
        ns += on_cpu.with_context(|| format!("{} says {text:?}", path.display()))?;
    }
    Ok(Duration::from_nanos(ns))
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}
