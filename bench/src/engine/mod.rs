//! The engine in memory: whole rounds of a worker, on frames that a port hands over from memory.
//!
//! ```text
//!  LAN (port 0) --- bridge domain --+-- pseudowires A --+
//!                                   +-- pseudowires B --+-- WAN (port 1)
//!
//!  encap: LAN -> A      decap: A -> LAN      relay: A -> B (the article's gw-b)
//! ```
//! What is counted is a worker's own round: receive, every stage, counters, transmit. What stands in for the rings is the
//! [`belt`]: receiving and transmitting move a frame's descriptor, and frames become new ones between the counted passes. What
//! that costs by itself is a case of its own.
//!
//! A [`scenario`] says what is varied, [`suite`] lists the scenarios, [`traffic`] makes their frames, [`tables`] what the engine
//! knows, and a [`rig`] puts it together. [`scaling`] runs two rigs on two
//! CPUs, each with frames of its own, and [`spread`] with those that one of them receives.
//!
//! Not here: AF_XDP, whose cost only a kernel can show.

mod belt;
mod rig;
pub mod scaling;
pub mod scenario;
mod spread;
pub mod suite;
mod tables;
mod traffic;

use crate::harness::Case;
pub(crate) use rig::huge_pages;
use scenario::Scenario;

/// Cases of scenarios, after a pass that shows that the engine forwards every frame as it should.
///
/// # Errors
/// A rig cannot be made, or its engine does not forward every frame.
pub fn cases(scenarios: &[Scenario]) -> anyhow::Result<Vec<Case<'static>>> {
    scenarios.iter().map(rig::case).collect()
}
