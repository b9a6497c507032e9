//! Visits: the plan carried out in the lab, system after system, round after round.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::bed::Bed;
use super::measure;
use super::placement::Placement;
use super::plan::{Plan, Visit};
use super::priority::Raised;
use super::results::Results;
use super::systems::{self, System};
use super::tools::Tools;

/// Makes all visits. A system that fails is noted, and left out of further rounds.
///
/// # Errors
/// A signal tells this process to end.
pub(super) fn make(plan: &Plan, tools: &Tools, placement: &Placement, results: &mut Results) -> Result<()> {
    let _priority = Raised::here()?;
    let start = Instant::now();
    let visits = plan.visits();
    for (number, visit) in visits.iter().enumerate() {
        if start.elapsed() > plan.bound {
            eprintln!("      time is up: {} of {} visits were made", number, visits.len());
            break;
        }
        let Some(system) = systems::named(visit.system) else { continue };
        if results.absent.iter().any(|absent| absent.system == system.name) {
            continue;
        }
        eprintln!(
            "      [{}/{}, {:.0} s] round {} of {}: {}",
            number + 1,
            visits.len(),
            start.elapsed().as_secs_f64(),
            visit.round + 1,
            plan.rounds,
            system.title
        );
        if let Err(fault) = visit_one(plan, *visit, system, tools, placement, results) {
            ensure!(!netlab::interrupted(), "interrupted");
            results.note_absent(system.name, format!("{fault:#}"));
        }
    }
    Ok(())
}

/// One visit to one system: every size.
fn visit_one(
    plan: &Plan,
    visit: Visit,
    system: &System,
    tools: &Tools,
    placement: &Placement,
    results: &mut Results,
) -> Result<()> {
    let bed = Bed::make(system, tools, placement)?;
    for &size in &plan.sizes {
        let beside = results.rates_beside(system.name, size, visit.round);
        let known = results.entry(system.name, size);
        measure::round(&bed, plan, visit.round, &beside, known)?;
        let rate = known.rounds.last().and_then(|round| round.rate).unwrap_or(0);
        let gateways = known.rounds.last().and_then(|round| round.cost.as_ref()?.gateways_ns());
        let gateways = gateways.filter(|_| system.has_gateways());
        let gateways = gateways.map_or_else(String::new, |ns| format!(", gateways {ns:.0} CPU-ns per frame"));
        eprintln!("            {size} bytes: {rate} frames/s without loss{gateways}");
    }
    Ok(())
}
