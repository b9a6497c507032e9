//! `compare --knobs`: what settings of spanwire do, each alone against the defaults, on the wires of `compare`.
//!
//! ```text
//!  round 1..n:  setting after setting:  set up both gateways with it, then
//!                 idle                      CPU time while nothing is sent
//!                 a thin stream             CPU time per frame, and how long frames take
//!                 the highest rate          by search near that of the defaults
//! ```
//! Settings alternate within a round, as systems do. Printed as Markdown, a figure for each round.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use super::bed::Bed;
use super::load::{Look, Offer};
use super::measure::{Stage as _, highest_rate};
use super::placement::Placement;
use super::plan::Plan;
use super::priority::Raised;
use super::search::Search;
use super::site::Tuning;
use super::systems;
use super::tools::Tools;
use super::{CompareArgs, check};
use crate::progress::Progress;
use crate::report::Environment;
use crate::workspace;

/// The system whose settings these are.
const SYSTEM: &str = "spanwire-udp";

/// Length of the frames without FCS. Units: bytes.
const FRAME_BYTES: u32 = 64;

/// Rate of the thin stream: a worker sleeps between its bursts. Units: frames/s.
const THIN_RATE: u64 = 10_000;

/// How long nothing is sent.
const IDLE: Duration = Duration::from_millis(1500);

/// How long the thin stream lasts, with each look at it. Units: s.
const THIN_S: f64 = 0.5;

/// About what one setting takes in one round, all of it. Units: s.
const VISIT_S: f64 = 9.0;

/// A setting.
struct Knob {
    /// The keys that are not as they come, as Markdown.
    name: &'static str,
    tuning: Tuning,
    /// Whether the short form tries it.
    is_short: bool,
    need: Need,
}

/// What a setting needs of the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    /// A CPU for each gateway, beside the generator's.
    Cpus,
    /// Reserved huge pages.
    HugePages,
}

const AS_IT_COMES: Tuning = Tuning { gateway: "", ports: "", umem: "" };

const fn gateway(name: &'static str, gateway: &'static str) -> Knob {
    Knob { name, tuning: Tuning { gateway, ..AS_IT_COMES }, is_short: false, need: Need::Nothing }
}

const fn ports(name: &'static str, ports: &'static str) -> Knob {
    Knob { name, tuning: Tuning { ports, ..AS_IT_COMES }, is_short: false, need: Need::Nothing }
}

const fn umem(name: &'static str, umem: &'static str) -> Knob {
    Knob { name, tuning: Tuning { umem, ..AS_IT_COMES }, is_short: false, need: Need::Nothing }
}

impl Knob {
    const fn short(self) -> Self {
        Self { is_short: true, ..self }
    }

    const fn needing(self, need: Need) -> Self {
        Self { need, ..self }
    }
}

/// Every setting, the defaults first.
const KNOBS: &[Knob] = &[
    gateway("defaults", "").short(),
    gateway("`mode = \"interrupt\"`", "mode = \"interrupt\""),
    gateway("`mode = \"busy\"`", "mode = \"busy\"").needing(Need::Cpus),
    gateway("`batch = 1`", "batch = 1"),
    gateway("`batch = 8`", "batch = 8"),
    ports("`need_wakeup = false`", "need_wakeup = false"),
    ports("`busy_poll_us = 20`", "busy_poll_us = 20"),
    ports(
        "`napi_defer_hard_irqs = 2`, `gro_flush_timeout_ns = 200000`",
        "napi_defer_hard_irqs = 2\ngro_flush_timeout_ns = 200000",
    ),
    ports("`rx_ring = 256`, `tx_ring = 256`", "rx_ring = 256\ntx_ring = 256").short(),
    ports("`rx_ring = 512`, `tx_ring = 512`", "rx_ring = 512\ntx_ring = 512"),
    ports("`rx_ring = 1024`, `tx_ring = 1024`", "rx_ring = 1024\ntx_ring = 1024"),
    ports("`rx_ring = 4096`, `tx_ring = 4096`", "rx_ring = 4096\ntx_ring = 4096"),
    umem("`chunks = 65536`", "chunks = 65536"),
    umem("`chunk_bytes = 4096`", "chunk_bytes = 4096"),
    umem("`huge_pages = true`", "huge_pages = true").needing(Need::HugePages),
];

/// What one round found of a setting.
struct Found {
    /// Of a CPU, by both gateways' programs while nothing is sent.
    idle: f64,
    /// CPU time of both gateways' programs. Units: ns per frame of the thin stream.
    thin_ns: f64,
    /// From the moment at which a frame was due: the shortest, the median. `None` when none came. Units: ns.
    latency_ns: Option<[u64; 2]>,
    /// The highest rate without loss; `None` when there is none. Units: frames/s.
    rate: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// Something is missing or does not build, or a setting carries no frames.
pub(super) fn run(args: &CompareArgs, rounds: u32) -> Result<()> {
    let rounds = if args.short { 1 } else { rounds };
    let mut progress = Progress::new(3);
    progress.step("checking what has to be installed", check)?;
    let tools = progress.step("building gateway, generator and sink as they are released", || {
        let bench = workspace::build_with(&args.profile, "spanwire-bench", "spanwire-bench")?;
        Ok(Tools::here(workspace::build_with(&args.profile, "spanwire", "spanwire")?, bench))
    })?;
    let placement = Placement::here();
    let (chosen, absent) = choose(args.short, &placement);
    let minutes = f64::from(rounds) * f64::from(u32::try_from(chosen.len())?) * VISIT_S / 60.0;
    let found =
        progress.step(&format!("measuring {} settings, about {minutes:.1} min", chosen.len()), || {
            eprintln!("      {}", placement.text());
            measure(&chosen, rounds, &tools, &placement)
        })?;
    print(&chosen, &found, &absent, &placement);
    Ok(())
}

/// The settings that can be tried here, and the others with the reason.
fn choose(is_short: bool, placement: &Placement) -> (Vec<&'static Knob>, Vec<String>) {
    let (mut chosen, mut absent) = (Vec::new(), Vec::new());
    for knob in KNOBS.iter().filter(|knob| knob.is_short || !is_short) {
        match missing(knob.need, placement) {
            None => chosen.push(knob),
            Some(reason) => absent.push(format!("{}: {reason}", knob.name)),
        }
    }
    (chosen, absent)
}

/// Huge pages that the two gateways take: two ports each with rings of 2048, and what a worker has beside them.
const HUGE_PAGES: u64 = 48;

/// Why a setting cannot be tried here.
fn missing(need: Need, placement: &Placement) -> Option<String> {
    const FREE: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages";
    let [a, b] = placement.gateways;
    match need {
        Need::Nothing => None,
        Need::Cpus if a != b && ![a, b].contains(&placement.generator) => None,
        Need::Cpus => Some(format!(
            "the gateways' workers never sleep and need a CPU each; there are {}",
            placement.cpus
        )),
        Need::HugePages => {
            let free = std::fs::read_to_string(FREE).ok().and_then(|text| text.trim().parse().ok());
            let is_enough = free.is_some_and(|free: u64| free >= HUGE_PAGES);
            (!is_enough)
                .then(|| format!("needs {HUGE_PAGES} huge pages: `sysctl vm.nr_hugepages={HUGE_PAGES}`"))
        }
    }
}

/// What every round found of each setting, setting by setting.
fn measure(
    knobs: &[&'static Knob],
    rounds: u32,
    tools: &Tools,
    placement: &Placement,
) -> Result<Vec<Vec<Found>>> {
    let _priority = Raised::here()?;
    let (start, mut found) = (Instant::now(), knobs.iter().map(|_| Vec::new()).collect::<Vec<_>>());
    let mut usual_rate = None;
    for round in 0..rounds {
        for (knob, found) in knobs.iter().zip(&mut found) {
            eprintln!(
                "      [{:.0} s] round {} of {rounds}: {}",
                start.elapsed().as_secs_f64(),
                round + 1,
                knob.name
            );
            let one = visit(knob, usual_rate, tools, placement).with_context(|| knob.name)?;
            usual_rate = usual_rate.or(one.rate);
            found.push(one);
        }
    }
    Ok(found)
}

/// One round of one setting.
fn visit(knob: &Knob, usual_rate: Option<u64>, tools: &Tools, placement: &Placement) -> Result<Found> {
    let system = systems::named(SYSTEM).context("there is the system that is tuned")?;
    let bed = Bed::tuned(system, tools, placement, knob.tuning)?;
    let plan = Plan::short(vec![system], FRAME_BYTES, 0.0);
    let idle = idle(&bed)?;
    let thin = |look| Offer { frame_bytes: FRAME_BYTES, rate: THIN_RATE, seconds: THIN_S, look };
    let before = bed.programs_time()?;
    let came = bed.offer(&thin(Look::Loss))?.came;
    ensure!(came > 0, "no frame came");
    let thin_ns = nanoseconds(bed.programs_time()? - before) / whole(came);
    let latency = bed.offer(&thin(Look::Latency))?.latency;
    let latency_ns = latency.map(|latency| [latency.min_ns, latency.p50_ns]);
    let search = usual_rate.map_or_else(|| Search::new(plan.close), |rate| Search::near(rate, plan.close));
    let rate = highest_rate(&bed, &plan, FRAME_BYTES, search)?;
    Ok(Found { idle, thin_ns, latency_ns, rate })
}

/// Part of a CPU that the gateways' programs use while nothing is sent.
fn idle(bed: &Bed<'_>) -> Result<f64> {
    let (start, before) = (Instant::now(), bed.programs_time()?);
    // A span of time is what is measured here.
    thread::sleep(IDLE);
    Ok(nanoseconds(bed.programs_time()? - before) / nanoseconds(start.elapsed()))
}

#[expect(clippy::cast_precision_loss, reason = "spans of seconds")]
fn nanoseconds(span: Duration) -> f64 {
    span.as_nanos() as f64
}

#[expect(clippy::cast_precision_loss, reason = "counts of some seconds")]
fn whole(count: u64) -> f64 {
    count as f64
}

/// The table, and what has to be known about it.
fn print(knobs: &[&Knob], found: &[Vec<Found>], absent: &[String], placement: &Placement) {
    let environment = Environment::read();
    println!("{}, kernel {}; veth, copy mode. {}.\n", environment.cpu, environment.kernel, placement.text());
    print!("{}", table(knobs, found));
    println!(
        "\nA figure for each round. CPU time is that of both gateways' programs; the thin stream is {THIN_RATE} frames of {FRAME_BYTES} bytes per second \
         in bursts of {}, the delay that of its frames through both gateways, one way.",
        super::load::BURST
    );
    for line in absent {
        println!("Not measured: {line}");
    }
}

/// The table as Markdown.
fn table(knobs: &[&Knob], found: &[Vec<Found>]) -> String {
    let head = "| setting | idle, of a CPU | CPU time per frame, thin stream | shortest delay | median delay | highest rate without loss |\n\
                |---|---|---|---|---|---|\n";
    let us = |ns: f64| format!("{:.1}", ns / 1e3);
    let delay = |found: &Found, which: usize| {
        found.latency_ns.map_or_else(|| "-".to_owned(), |latency| us(whole(latency[which])))
    };
    let rows = knobs.iter().zip(found).map(|(knob, found)| {
        let cell = |unit: &str, figure: &dyn Fn(&Found) -> String| {
            format!("{} {unit}", found.iter().map(figure).collect::<Vec<_>>().join(", "))
        };
        let rate =
            |found: &Found| found.rate.map_or_else(|| "-".to_owned(), |rate| (rate / 1000).to_string());
        format!(
            "| {} | {} | {} | {} | {} | {} |\n",
            knob.name,
            cell("%", &|found| format!("{:.2}", found.idle * 100.0)),
            cell("us", &|found| us(found.thin_ns)),
            cell("us", &|found| delay(found, 0)),
            cell("us", &|found| delay(found, 1)),
            cell("k/s", &rate),
        )
    });
    head.to_owned() + &rows.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_figure_of_every_round() {
        let found = |idle, latency_ns, rate| Found { idle, thin_ns: 3600.0, latency_ns, rate };
        let rounds = vec![found(0.0012, Some([25_000, 61_300]), Some(412_345)), found(0.02, None, None)];
        let text = table(&[&KNOBS[0]], &[rounds]);
        let row = "| defaults | 0.12, 2.00 % | 3.6, 3.6 us | 25.0, - us | 61.3, - us | 412, - k/s |\n";
        assert!(text.ends_with(row), "{text}");
        assert_eq!(text.lines().map(|line| line.matches('|').count()).collect::<Vec<_>>(), [7, 7, 7]);
    }

    #[test]
    fn workers_that_never_sleep_are_not_put_on_one_cpu() {
        let on = |gateways| Placement { generator: 0, gateways, cpus: 4 };
        assert!(missing(Need::Cpus, &on([1, 2])).is_none());
        assert!(missing(Need::Cpus, &on([1, 1])).is_some() && missing(Need::Cpus, &on([0, 1])).is_some());
    }

    #[test]
    fn two_rounds_take_below_five_minutes() {
        assert!(VISIT_S * 2.0 * f64::from(u32::try_from(KNOBS.len()).unwrap()) < 300.0);
        let (short, _) = choose(true, &Placement { generator: 0, gateways: [1, 1], cpus: 2 });
        assert!(short.len() > 1 && short.len() < 4 && short[0].tuning == AS_IT_COMES);
    }
}
