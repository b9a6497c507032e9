//! Spreading: which tunnels' packets are spread over the workers now.
//!
//! A tunnel is one flow to the NIC, so one worker receives all of it. When that is more than the worker can do, while another one has time,
//! the tunnel is spread by its inner flows; `docs/src/decisions/spreading.md` says why so and not otherwise.
//!
//! ```text
//!              LOOKS_ON looks in a row: its worker is saturated, at least half by it, and another one is not
//!   kept here ----------------------------------------------------------------------------------------------> spread
//!             <----------------------------------------------------------------------------------------------
//!              LOOKS_OFF looks in a row: less than half of the frames that it had then
//!              after LOOKS_TRIAL looks: its worker was saturated all the time, and not clearly more came through;
//!                                       it is not tried again for LOOKS_REST looks
//! ```
//! Place: main thread, once per tick, from counters that the workers keep anyway.
//! Deliberately not here: who takes which flow, and how order is kept (`dataplane::exchange`).

use crate::{
    config::{Config, model::Spread},
    publish::Plan,
};

/// Looks in a row at a saturated worker before a tunnel is spread: one second.
const LOOKS_ON: u32 = 4;

/// Looks in a row at a tunnel with few frames before it is spread no more: ten seconds. Changing over is cheap, and back and forth is not.
const LOOKS_OFF: u32 = 40;

/// Looks after which spreading must have helped: two seconds.
const LOOKS_TRIAL: u32 = 8;

/// Looks before a tunnel that spreading did not help is spread again: one minute.
const LOOKS_REST: u32 = 240;

/// Frames of the trial by those that came as fast as before it: so many at least have helped. Units: percent.
const HELPED_PERCENT: u64 = 110;

/// Least share of a round's batch that a saturated worker receives, those that find nothing counted with the others: one that makes a third as many of these as full
/// ones has time to spare, if little.
const FULL: (u64, u64) = (3, 4);

/// Rounds per sleep of a saturated worker at least: it may have slept, but not often.
const ROUNDS_PER_SLEEP: u64 = 16;

/// What a worker did, up to now or from one look to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Work {
    rounds: u64,
    sleeps: u64,
    received: u64,
}

impl Work {
    fn since(self, before: Self) -> Self {
        Self {
            rounds: self.rounds.saturating_sub(before.rounds),
            sleeps: self.sleeps.saturating_sub(before.sleeps),
            received: self.received.saturating_sub(before.received),
        }
    }

    /// Whether frames were waiting nearly every time that the worker came for some.
    fn is_saturated(self, batch: u64) -> bool {
        let (part, whole) = FULL;
        self.rounds > 0
            && self.received * whole >= self.rounds * batch * part
            && self.sleeps * ROUNDS_PER_SLEEP <= self.rounds
    }
}

/// A tunnel as the looks have it.
#[derive(Clone, Debug)]
struct Watched {
    setting: Spread,
    /// By worker: frames of it, up to the last look.
    frames: Vec<u64>,
    is_spread: bool,
    /// Looks in a row that speak for the other state.
    looks: u32,
    /// Frames from one look to the next when it began to be spread.
    at_start: u64,
    /// How the spreading of it goes.
    trial: Trial,
    /// Looks before it may be spread again.
    rest: u32,
}

/// Whether spreading helps: looked at from when a tunnel begins to be spread until it is decided.
#[derive(Clone, Copy, Debug, Default)]
struct Trial {
    /// The worker that receives the tunnel.
    worker: usize,
    /// Looks so far; none more once it is decided.
    looks: u32,
    /// Frames that came through.
    frames: u64,
    /// In one look at least the worker had time to spare.
    had_time: bool,
}

impl Trial {
    /// Takes over one look; returns whether the tunnel fares no better than `at_start` promised without.
    fn has_failed(&mut self, count: u64, at_start: u64, work: &[Work], batch: u64) -> bool {
        if self.looks >= LOOKS_TRIAL {
            return false;
        }
        self.looks += 1;
        self.frames += count;
        self.had_time |= work.get(self.worker).is_none_or(|work| !work.is_saturated(batch));
        let expected = at_start * u64::from(LOOKS_TRIAL) * HELPED_PERCENT / 100;
        self.looks == LOOKS_TRIAL && !self.had_time && self.frames < expected
    }
}

impl Watched {
    /// Takes over what came since the last look, by worker, and what the workers did. Returns whether the tunnel changes its state.
    fn look(&mut self, frames: &[u64], work: &[Work], batch: u64) -> bool {
        let count: u64 = frames.iter().sum();
        if self.is_spread {
            let has_failed = self.trial.has_failed(count, self.at_start, work, batch);
            self.rest = if has_failed { LOOKS_REST } else { 0 };
            return (has_failed || self.has_lasted(LOOKS_OFF, count < self.at_start / 2))
                && self.change(count);
        }
        self.rest = self.rest.saturating_sub(1);
        let full = full_worker(work, frames, batch).filter(|&worker| {
            self.rest == 0
                && frames
                    .get(worker)
                    .zip(work.get(worker))
                    .is_some_and(|(own, work)| own * 2 >= work.received)
        });
        self.trial = Trial { worker: full.unwrap_or(0), ..Trial::default() };
        self.has_lasted(LOOKS_ON, full.is_some()) && self.change(count)
    }

    /// Whether so many looks in a row spoke for the other state, this one included.
    const fn has_lasted(&mut self, needed: u32, speaks_for_change: bool) -> bool {
        self.looks = if speaks_for_change { self.looks + 1 } else { 0 };
        self.looks >= needed
    }

    /// Goes over to the other state; true.
    const fn change(&mut self, count: u64) -> bool {
        (self.is_spread, self.looks, self.at_start) = (!self.is_spread, 0, count);
        true
    }
}

/// The tunnels of a gateway, by position in the plan.
#[derive(Debug)]
pub(super) struct Spreading {
    tunnels: Vec<Watched>,
    /// By worker: what it did up to the last look.
    workers: Vec<Work>,
}

impl Spreading {
    /// Nothing was looked at yet.
    pub(super) fn new(config: &Config, workers: usize) -> Self {
        let watched = |setting| Watched {
            setting,
            frames: vec![0; workers],
            is_spread: setting == Spread::On && workers > 1,
            looks: 0,
            at_start: 0,
            trial: Trial::default(),
            rest: 0,
        };
        let tunnels = config.tunnels.iter().map(|tunnel| watched(tunnel.spread)).collect();
        Self { tunnels, workers: vec![Work::default(); workers] }
    }

    /// Whether each tunnel is spread now, as far as its sessions may be.
    pub(super) fn states(&self) -> Vec<bool> {
        self.tunnels.iter().map(|tunnel| tunnel.is_spread).collect()
    }

    /// Looks at what workers and tunnels did since the last time. Returns whether any tunnel changes its state.
    pub(super) fn look(&mut self, plan: &Plan) -> bool {
        if self.workers.len() < 2 || self.tunnels.iter().all(|tunnel| tunnel.setting != Spread::Auto) {
            return false;
        }
        let now = plan.worker_counters.iter().map(|counters| Work {
            rounds: counters.rounds.get(),
            sleeps: counters.sleeps.get(),
            received: counters.received.get(),
        });
        let work: Vec<_> = now.zip(&mut self.workers).map(|(now, before)| step(before, now)).collect();
        let frames = frames_by_tunnel(plan, self.workers.len());
        let batch = u64::from(plan.config.gateway.work.batch);
        let mut has_changed = false;
        let tunnels = self.tunnels.iter_mut().zip(frames).zip(&plan.config.tunnels);
        for ((watched, frames), tunnel) in tunnels.filter(|((watched, _), _)| watched.setting == Spread::Auto)
        {
            let came: Vec<_> =
                watched.frames.iter().zip(&frames).map(|(b, now)| now.saturating_sub(*b)).collect();
            watched.frames = frames;
            if watched.look(&came, &work, batch) {
                has_changed = true;
                let state = match (watched.is_spread, watched.rest) {
                    (true, _) => "spread over the workers",
                    (false, 0) => "spread no more",
                    (false, _) => "spread no more, for it did not help",
                };
                tracing::info!("tunnel {}: its packets are {state}", tunnel.name);
            }
        }
        has_changed
    }
}

/// What a worker did since `before`, which becomes `now`.
fn step(before: &mut Work, now: Work) -> Work {
    let since = now.since(*before);
    *before = now;
    since
}

/// The worker that most of a tunnel's frames came to, if it cannot do more, and another one can.
fn full_worker(work: &[Work], came: &[u64], batch: u64) -> Option<usize> {
    let (worker, _) = came.iter().enumerate().max_by_key(|(_, frames)| **frames)?;
    let own = *work.get(worker)?;
    let has_help = work.iter().any(|work| !work.is_saturated(batch));
    (own.is_saturated(batch) && has_help).then_some(worker)
}

/// By tunnel and worker: the frames that the worker received, or took over, of sessions that may be spread.
fn frames_by_tunnel(plan: &Plan, workers: usize) -> Vec<Vec<u64>> {
    let mut frames = vec![vec![0; workers]; plan.config.tunnels.len()];
    for planned in plan.sessions().filter(|planned| planned.session.sequencing.is_free_of_order()) {
        let counters = plan.session_counters[planned.index.index()].iter();
        for (sum, counters) in frames[planned.tunnel_position].iter_mut().zip(counters) {
            *sum += counters.rx_frames.get();
        }
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const CONFIG: &str = r#"
        [port.wan]
        interface = "eth0"
        role = "underlay"
        [tunnel.a]
        local = "10.0.0.1"
        remote = "10.0.0.2"
        tunnel_id = 1
        peer_tunnel_id = 1
        encap = "ip"
        [tunnel.a.session.a1]
        session_id = 1
        peer_session_id = 1
        [tunnel.a.session.a2]
        session_id = 2
        peer_session_id = 2
        seq = "both"
        [tunnel.b]
        local = "10.0.0.1"
        remote = "10.0.0.3"
        tunnel_id = 2
        peer_tunnel_id = 2
        encap = "ip"
        spread = "SETTING"
        [tunnel.b.session.b1]
        session_id = 3
        peer_session_id = 3
    "#;

    fn plan(setting: &str, workers: usize) -> (Plan, Spreading) {
        let checked = config::check("test.toml", &CONFIG.replace("SETTING", setting), None);
        let plan = Plan::new(checked.config.unwrap_or_else(|| panic!("{}", checked.findings)), workers, 0);
        let spreading = Spreading::new(&plan.config, workers);
        (plan, spreading)
    }

    /// A worker's rounds until the next look, each of so many frames of the session at that position, and sleeps.
    fn works(plan: &Plan, worker: usize, session: usize, [rounds, frames, sleeps]: [u64; 3]) {
        let counters = plan.worker_counters.of(worker).unwrap();
        counters.rounds.add(rounds);
        counters.sleeps.add(sleeps);
        counters.received.add(rounds * frames);
        plan.session_counters[session].of(worker).unwrap().rx_frames.add(rounds * frames);
    }

    /// Looks as often as told, with the same work before each; returns which tunnels are spread then.
    fn after(plan: &Plan, spreading: &mut Spreading, looks: u32, before: impl Fn(&Plan)) -> Vec<bool> {
        for _ in 0..looks {
            before(plan);
            spreading.look(plan);
        }
        spreading.states()
    }

    /// What workers do until the next look.
    type Load = fn(&Plan);

    const SATURATED: [u64; 3] = [1000, 60, 2];

    #[test]
    fn a_tunnel_that_saturates_its_worker_for_a_second_is_spread() {
        let (plan, mut spreading) = plan("auto", 2);
        let load = |plan: &Plan| works(plan, 0, 0, SATURATED);
        assert_eq!(after(&plan, &mut spreading, LOOKS_ON - 1, load), [false, false]);
        assert_eq!(after(&plan, &mut spreading, 1, load), [true, false]);
    }

    #[test]
    fn a_pause_between_begins_the_second_anew() {
        let (plan, mut spreading) = plan("auto", 2);
        let load = |plan: &Plan| works(plan, 0, 0, SATURATED);
        after(&plan, &mut spreading, LOOKS_ON - 1, load);
        after(&plan, &mut spreading, 1, |plan| works(plan, 0, 0, [1000, 40, 0]));
        assert_eq!(after(&plan, &mut spreading, LOOKS_ON - 1, load), [false, false]);
    }

    #[test]
    fn nothing_is_spread_that_would_not_help() {
        let cases: [(&str, Load); 5] = [
            ("the worker sleeps between full rounds", |plan| works(plan, 0, 0, [1000, 64, 100])),
            ("its rounds are not full", |plan| works(plan, 0, 0, [1000, 47, 0])),
            ("every worker is saturated", |plan| {
                works(plan, 0, 0, SATURATED);
                works(plan, 1, 2, SATURATED);
            }),
            ("most of it is of a session whose packets have to stay", |plan| {
                works(plan, 0, 1, [800, 64, 0]);
                works(plan, 0, 0, [200, 64, 0]);
            }),
            ("nothing came, and no round was made", |_| {}),
        ];
        for (what, load) in cases {
            let (plan, mut spreading) = plan("auto", 2);
            assert_eq!(after(&plan, &mut spreading, 3 * LOOKS_ON, load), [false, false], "{what}");
        }
        let (plan, mut spreading) = plan("auto", 1);
        let load = |plan: &Plan| works(plan, 0, 0, SATURATED);
        assert_eq!(after(&plan, &mut spreading, 3 * LOOKS_ON, load), [false, false], "one worker");
    }

    #[test]
    fn it_is_spread_until_it_had_less_than_half_for_ten_seconds() {
        let (plan, mut spreading) = plan("auto", 2);
        after(&plan, &mut spreading, LOOKS_ON, |plan| works(plan, 0, 0, SATURATED));
        // Half of it by each worker, and neither saturated any more.
        let both = |plan: &Plan| (0..2).for_each(|worker| works(plan, worker, 0, [1000, 20, 0]));
        assert_eq!(after(&plan, &mut spreading, 2 * LOOKS_OFF, both), [true, false]);
        let less = |plan: &Plan| works(plan, 1, 0, [1000, 29, 0]);
        after(&plan, &mut spreading, LOOKS_OFF - 1, less);
        after(&plan, &mut spreading, 1, both);
        assert_eq!(after(&plan, &mut spreading, LOOKS_OFF - 1, less), [true, false], "begun anew");
        assert_eq!(after(&plan, &mut spreading, 1, less), [false, false]);
    }

    #[test]
    fn it_is_spread_no_more_for_a_minute_when_that_did_not_help() {
        let (plan, mut spreading) = plan("auto", 2);
        let load = |plan: &Plan| works(plan, 0, 0, SATURATED);
        after(&plan, &mut spreading, LOOKS_ON, load);
        // The receiver is as busy as before, and less than a tenth more comes through.
        let no_gain = |plan: &Plan| {
            works(plan, 0, 0, SATURATED);
            works(plan, 1, 0, [100, 59, 0]);
        };
        assert_eq!(after(&plan, &mut spreading, LOOKS_TRIAL - 1, no_gain), [true, false]);
        assert_eq!(after(&plan, &mut spreading, 1, no_gain), [false, false]);
        assert_eq!(after(&plan, &mut spreading, LOOKS_REST + LOOKS_ON - 2, load), [false, false], "rests");
        assert_eq!(after(&plan, &mut spreading, 1, load), [true, false], "is tried again");
    }

    #[test]
    fn it_stays_spread_when_more_comes_through_or_its_worker_has_time() {
        let gain: Load = |plan| {
            works(plan, 0, 0, SATURATED);
            works(plan, 1, 0, [110, 60, 0]);
        };
        let time: Load = |plan| works(plan, 0, 0, [1000, 40, 0]);
        for other in [gain, time] {
            let (plan, mut spreading) = plan("auto", 2);
            after(&plan, &mut spreading, LOOKS_ON, |plan| works(plan, 0, 0, SATURATED));
            assert_eq!(after(&plan, &mut spreading, 2 * LOOKS_TRIAL, other), [true, false]);
        }
    }

    #[test]
    fn what_the_file_says_holds_whatever_the_load_is() {
        let load = |plan: &Plan| works(plan, 0, 2, SATURATED);
        for (setting, expected) in [("on", true), ("off", false)] {
            let (plan, mut spreading) = plan(setting, 2);
            assert_eq!(spreading.states(), [false, expected]);
            assert_eq!(after(&plan, &mut spreading, 2 * LOOKS_ON, load), [false, expected], "{setting}");
            assert_eq!(after(&plan, &mut spreading, 2 * LOOKS_OFF, |_| {}), [false, expected], "{setting}");
        }
        assert_eq!(self::plan("on", 1).1.states(), [false, false], "nobody to spread it over");
    }
}
