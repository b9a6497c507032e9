//! Measuring: one visit to one system, by the plan.
//!
//! A system stands on a [`Stage`]: the lab's wires, or machines that somebody else has set up.

use anyhow::Result;

use super::load::{Look, Offer, Outcome};
use super::plan::{COST_LOAD, Plan};
use super::reports::Usage;
use super::results::{Cost, LatencyAt, Measured, Round};
use super::search::Search;

/// Loss above which a failed trial is no accident and is not tried again.
const PLAIN_LOSS: f64 = 0.03;

/// Highest load at which the bare wire's latency is measured: looking at each frame's time takes the sink a part of what it
/// can do at most.
const HIGHEST_WIRE_LOAD: f64 = 0.5;

/// What a system stands on.
pub(super) trait Stage {
    /// Whether there are gateways between generator and sink.
    fn has_gateways(&self) -> bool;

    /// Offers frames to the system.
    ///
    /// # Errors
    /// A program fails; loss is no error.
    fn offer(&self, offer: &Offer) -> Result<Outcome>;

    /// Offers frames to the system and measures CPU time: with the system, and of all that is not the system's.
    ///
    /// # Errors
    /// As [`Self::offer`].
    fn usages(&self, offer: &Offer) -> Result<(Outcome, [Option<Usage>; 2])>;
}

/// Measures one round of a system with one frame size, and adds it to what is known. CPU time is measured at `beside`, too: rates of systems that
/// are compared with this one.
///
/// # Errors
/// A program fails; that a system carries nothing is no error.
pub(super) fn round(
    stage: &impl Stage,
    plan: &Plan,
    round: u32,
    beside: &[u64],
    known: &mut Measured,
) -> Result<()> {
    let frame_bytes = known.frame_bytes;
    let search = known
        .rate()
        .map_or_else(|| Search::new(plan.close), |rate| Search::near(whole(rate.median), plan.close));
    let rate = highest_rate(stage, plan, frame_bytes, search)?;
    let cost_at = |rate, runs| cost(stage, plan, frame_bytes, rate, runs);
    let cost = rate.map(|rate| cost_at(part(rate, COST_LOAD), plan.cost_runs)).transpose()?;
    let beside = beside.iter().map(|&rate| cost_at(rate, plan.beside_runs)).collect::<Result<_>>()?;
    known.rounds.push(Round { round, rate, cost, beside });
    if plan.measures_latency(round)
        && let Some(rate) = known.rate()
    {
        let latency = |&load: &f64| latency(stage, plan, frame_bytes, load, part(whole(rate.median), load));
        let loads = plan.loads.iter().filter(|&&load| stage.has_gateways() || load <= HIGHEST_WIRE_LOAD);
        known.latencies = loads.map(latency).collect::<Result<_>>()?;
    }
    Ok(())
}

/// The highest rate without loss.
pub(super) fn highest_rate(
    stage: &impl Stage,
    plan: &Plan,
    frame_bytes: u32,
    mut search: Search,
) -> Result<Option<u64>> {
    while let Some(rate) = search.next() {
        let offer = Offer { frame_bytes, rate, seconds: plan.trial_s, look: Look::Loss };
        search.note(rate, passes(stage, plan, &offer)?);
    }
    Ok(search.found())
}

/// Whether a rate is carried. A trial that fails closely is repeated: the machine does other things, too.
fn passes(stage: &impl Stage, plan: &Plan, offer: &Offer) -> Result<bool> {
    for _ in 0..plan.attempts {
        let outcome = stage.offer(offer)?;
        if outcome.loss() <= plan.loss && outcome.kept_up(offer) {
            return Ok(true);
        }
        if outcome.loss() > PLAIN_LOSS {
            break;
        }
    }
    Ok(false)
}

/// CPU time at a rate, run after run.
fn cost(stage: &impl Stage, plan: &Plan, frame_bytes: u32, rate: u64, runs: u32) -> Result<Cost> {
    let offer = Offer { frame_bytes, rate, seconds: plan.cost_s, look: Look::Cpu };
    let mut cost = Cost { rate, loss: 0.0, system: Vec::new(), wire: Vec::new() };
    for _ in 0..runs {
        let (outcome, [system, wire]) = stage.usages(&offer)?;
        cost.loss = cost.loss.max(outcome.loss());
        cost.system.extend(system);
        cost.wire.extend(wire);
    }
    Ok(cost)
}

/// Latency at a rate.
fn latency(stage: &impl Stage, plan: &Plan, frame_bytes: u32, load: f64, rate: u64) -> Result<LatencyAt> {
    let offer = Offer { frame_bytes, rate, seconds: plan.latency_s, look: Look::Latency };
    let outcome = stage.offer(&offer)?;
    Ok(LatencyAt { load, rate, loss: outcome.loss(), latency: outcome.latency })
}

/// A part of a rate.
#[expect(clippy::cast_precision_loss, reason = "rates far below 2^53")]
fn part(rate: u64, share: f64) -> u64 {
    whole(rate as f64 * share).max(1)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates far below 2^53")]
fn whole(rate: f64) -> u64 {
    rate as u64
}
