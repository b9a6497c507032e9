//! Measuring: one visit to one system, by the plan.
//!
//! A system stands on a [`Stage`]: the lab's wires, or machines that somebody else has set up.

use anyhow::Result;

use super::load::{Look, Offer, Outcome};
use super::plan::{COST_LOAD, PLAIN_LOSS, Plan};
use super::reports::Usage;
use super::results::{Cost, LatencyAt, Measured, Round};
use super::search::Search;

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

/// Measures one round of a system with one frame size, and adds it to what is known. If it carries anything, CPU time is
/// measured at the rates `beside`, too, which are those of systems that are compared with this one.
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
    known.rounds.push(Round { round, rate, cost, beside: Vec::new() });
    let beside = if rate.is_some() && plan.beside_runs > 0 { beside } else { &[] };
    for &rate in beside {
        let cost = cost_at(rate, plan.beside_runs)?;
        // What the round has so far stays, whatever fails here.
        if let Some(round) = known.rounds.last_mut() {
            round.beside.push(cost);
        }
    }
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

/// CPU time at a rate, in so many runs.
fn cost(stage: &impl Stage, plan: &Plan, frame_bytes: u32, rate: u64, runs: u32) -> Result<Cost> {
    let offer = Offer { frame_bytes, rate, seconds: plan.cost_s, look: Look::Cpu };
    let mut cost = Cost { rate, loss: 0.0, system: Vec::new(), wire: Vec::new() };
    for _ in 0..runs {
        let (outcome, [system, wire]) = stage.usages(&offer)?;
        cost.loss += outcome.loss() / f64::from(runs);
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::super::results::tests::measured;
    use super::super::systems::SYSTEMS;
    use super::*;

    /// Carries so many frames a second, and loses all of more. Remembers at which rates CPU time was measured.
    struct Carrying {
        most: u64,
        usages: RefCell<Vec<u64>>,
    }

    impl Stage for Carrying {
        fn has_gateways(&self) -> bool {
            true
        }

        fn offer(&self, offer: &Offer) -> Result<Outcome> {
            let Offer { rate, .. } = *offer;
            let came = if rate <= self.most { rate } else { 0 };
            #[expect(clippy::cast_precision_loss, reason = "rates far below 2^53")]
            let sent_pps = rate as f64;
            Ok(Outcome { sent: rate, came, sent_pps, usage: None, latency: None })
        }

        fn usages(&self, offer: &Offer) -> Result<(Outcome, [Option<Usage>; 2])> {
            self.usages.borrow_mut().push(offer.rate);
            Ok((self.offer(offer)?, [None, None]))
        }
    }

    fn round_of(most: u64, beside: &[u64]) -> (Round, Vec<u64>) {
        let plan = Plan { loads: &[], ..Plan::long(SYSTEMS.iter().take(2).collect(), vec![64], 1, 0.0) };
        let (stage, mut known) = (Carrying { most, usages: RefCell::default() }, measured("null", &[]));
        round(&stage, &plan, 0, beside, &mut known).unwrap();
        (known.rounds.pop().unwrap(), stage.usages.into_inner())
    }

    #[test]
    fn cpu_time_is_measured_near_the_highest_rate_and_at_those_of_others() {
        let (round, usages) = round_of(1_000_000, &[300, 400]);
        let own = round.cost.unwrap().rate;
        assert!((930_000..=950_000).contains(&own), "{own}");
        assert_eq!(usages, [own, own, 300, 400]);
        let beside: Vec<(u64, f64)> = round.beside.iter().map(|cost| (cost.rate, cost.loss)).collect();
        assert_eq!(beside, [(300, 0.0), (400, 0.0)]);
    }

    #[test]
    fn of_what_carries_nothing_no_cpu_time_is_measured() {
        let (round, usages) = round_of(0, &[300]);
        assert!(round.rate.is_none() && round.cost.is_none() && round.beside.is_empty());
        assert_eq!(usages, [0; 0]);
    }
}
