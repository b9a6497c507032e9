//! Instructions per packet of the whole machine, kernel included: spanwire in zero-copy mode beside the kernel's `l2tp_eth`.
//!
//! ```text
//!  sta              gw                        peer
//!  generator        gateway                   generator
//!  lan0 ==========> lan        wan =========> wan  takes nothing, counts nothing      encapsulation
//!  lan0 <========== lan        wan <========= wan                                     decapsulation
//! ```
//! The emulator makes an instruction a nanosecond, so the guest's busy time is instructions. A trial ([`trial`]) sends bursts at
//! equal intervals and reads the busy time; the same trial with frames that the gateway's cards do not take is what generator and sink
//! cost, and is subtracted. Frames that leave are for nobody, so the cards at the other ends take nothing: a sink that costs nothing. What
//! passed is counted by the gateway's outgoing card.

mod packets;
mod pages;
mod results;
mod session;
mod systems;
mod trial;

use anyhow::Result;

use super::boot;
use crate::progress::Progress;
use crate::report::environment::CpuTicks;
use crate::report::{Document, Environment, ResultsFolder};
use crate::workspace;
use results::Load;
use systems::System;
use trial::Direction;

/// What to measure.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Lengths of the frames without FCS. Units: bytes.
    pub(crate) sizes: Vec<u32>,
    /// How often everything is measured.
    pub(crate) rounds: u32,
    /// Only what the goal needs, and no report; a goal that is missed by far is a fault.
    pub(crate) is_short: bool,
    /// Write the result as JSON.
    pub(crate) json: bool,
    /// Cargo's profile for what is built.
    pub(crate) profile: String,
}

impl Plan {
    fn systems(&self) -> &'static [System] {
        if self.is_short { &[System::L2tp, System::Spanwire] } else { &System::ALL }
    }

    fn directions(&self) -> &'static [Direction] {
        if self.is_short { &[Direction::Encap, Direction::Decap] } else { &Direction::ALL }
    }

    fn loads(&self) -> &'static [Load] {
        if self.is_short { &[Load::Steady] } else { &Load::ALL }
    }

    fn command_line(&self) -> String {
        let sizes: Vec<String> = self.sizes.iter().map(u32::to_string).collect();
        format!("cargo xtask compare --zero-copy --sizes {} --rounds {}", sizes.join(","), self.rounds)
    }
}

/// Boots a guest, measures in it, and prints and writes what was found.
///
/// # Errors
/// Something is missing or does not build, a system fails or loses frames at the steady load, or, in the short form, the goal is missed by far.
pub(crate) fn measure(plan: &Plan) -> Result<()> {
    let mut progress = Progress::new(4);
    let programs = progress.step("building gateway and generator as they are released", || {
        let build = |name| workspace::build_with(&plan.profile, name, name);
        Ok([build("spanwire")?, build("spanwire-bench")?])
    })?;
    let (mut environment, start) = (Environment::read(), CpuTicks::now());
    let (mut guest, kernel) = boot(&mut progress, &programs.each_ref())?;
    let outcome = progress.step("counting instructions", || session::measure(&mut guest, plan));
    if outcome.is_err() {
        eprintln!("{}", guest.diagnosis());
    }
    let results = outcome?;
    drop(guest);
    environment.note_stolen_since(start);
    environment.note(
        "guest",
        format!("kernel {}, one CPU of 1 instruction per ns, igb cards of QEMU", kernel.version),
    );
    environment.note("driver and mode", "igb, native XDP, AF_XDP in zero-copy mode");
    environment.note("build", "release profile: LTO, one codegen unit");
    let document = Document {
        command: "instructions".to_owned(),
        command_line: plan.command_line(),
        headline: None,
        sections: pages::sections(&results, &plan.sizes),
        raw: serde_json::to_value(&results)?,
        environment,
    };
    if plan.json {
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        pages::print(&results);
    }
    if plan.is_short {
        return pages::gate(&results);
    }
    let folder = ResultsFolder::of(&document.environment);
    folder.add(&document)?;
    eprintln!("report: {}", folder.path().display());
    Ok(())
}
