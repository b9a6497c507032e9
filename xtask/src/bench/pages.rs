//! Pages: what the bench found, as tables and plots of a report.

use super::callgrind::Counts;
use super::goals::{self, Findings, Goal, INSTRUCTIONS, TWO_WORKERS};
use super::measured::{BASE_FRAMES, FrameLength, Scaling, ScalingCase, Scenario, Timed, TimedCase, Way};
use crate::report::{
    Axis, BarSeries, Bars, Figure, Grid, Headline, LineSeries, Lines, Mark, Places, Plot, Point, Scale,
    Section, Value,
};

/// What the figures are of, for their notes.
const NOTE: &str = "In memory, no kernel, no card. Median of interleaved runs, with quartiles.";

/// The bench's part of a page.
pub(super) fn sections(findings: Findings<'_>, goals: &[Goal]) -> Vec<Section> {
    let mut sections =
        vec![goals_section(goals), factors_section(findings.timed), instructions_section(findings.counts)];
    sections.extend(findings.scaling.map(scaling_section));
    sections.push(Section {
        title: "All cases".to_owned(),
        text: vec![
            "Base: 64-byte frames without FCS, 1000 stations, one session with cookie and sublayer over UDP and IPv4, batches of 64. \
             Each case names what differs from it. The ports in memory, which stand in for the rings, are part of every case; \
             what they cost is the case without engine."
                .to_owned(),
        ],
        tables: vec![cases_table(findings)],
        figures: Vec::new(),
    });
    sections
}

/// The picture that stands for the bench.
pub(super) fn headline(timed: &Timed, machine: &str) -> Option<Headline> {
    let value = |name: &str| timed.case(name).map(|case| case.ns_per_frame.value());
    let names = Way::ENGINE.map(|(_, name)| name);
    let median = |name: &str| timed.case(name).map(|case| case.ns_per_frame.median);
    let sentence = format!(
        "One core of a machine with {machine} takes a 64-byte frame into a pseudowire in {:.0} ns, out of one in {:.0} ns and from one \
         into another in {:.0} ns: the engine alone, in memory, without kernel and card.",
        median(names[0])?,
        median(names[1])?,
        median(names[2])?
    );
    let bars = Bars {
        label: "ns per frame".to_owned(),
        categories: [
            "encap: LAN to pseudowire",
            "decap: pseudowire to LAN",
            "relay: pseudowire to pseudowire",
        ]
        .map(str::to_owned)
        .to_vec(),
        series: vec![BarSeries { name: String::new(), values: names.map(value).to_vec() }],
        marks: Vec::new(),
    };
    let figure = Figure {
        title: "What the engine costs for a 64-byte frame".to_owned(),
        note: format!("{machine}, one core. {NOTE}"),
        plot: Plot::Bars(bars),
    };
    Some(Headline { rank: 1, sentence, figure })
}

/// Every case with all its figures.
pub(super) fn cases_table(findings: Findings<'_>) -> Grid {
    let columns = [
        "case",
        "cycles per frame",
        "quartiles",
        "ns per frame",
        "instructions per frame",
        "in libraries",
        "allocations",
    ];
    let row = |case: &TimedCase| {
        let counts = findings.counts.iter().find(|counts| counts.name == case.name);
        let counted = |of: fn(&Counts) -> f64| {
            counts.map_or_else(|| "-".to_owned(), |counts| format!("{:.1}", of(counts)))
        };
        let cycles = case.cycles_per_frame;
        vec![
            case.name.clone(),
            format!("{:.1}", cycles.median),
            format!("{:.1} to {:.1}", cycles.lower_quartile, cycles.upper_quartile),
            format!("{:.1}", case.ns_per_frame.median),
            counted(Counts::per_frame),
            counted(Counts::library_per_frame),
            case.allocations_per_pass.to_string(),
        ]
    };
    Grid {
        columns: columns.map(str::to_owned).to_vec(),
        rows: findings.timed.cases.iter().map(row).collect(),
    }
}

fn goals_section(goals: &[Goal]) -> Section {
    Section {
        title: "Goals in memory".to_owned(),
        text: vec![
            "Medians, with quartiles in brackets. Cycles are of the time-stamp counter. What the ports in memory cost by themselves \
             is subtracted, run by run; the figure with them stands beside it."
                .to_owned(),
        ],
        tables: vec![goals::table(goals)],
        figures: Vec::new(),
    }
}

/// One plot for each factor.
fn factors_section(timed: &Timed) -> Section {
    Section {
        title: "Cost by one factor at a time".to_owned(),
        text: vec![format!(
            "Time-stamp counter: {:.3} GHz, so that 100 cycles are {:.1} ns. {} runs of {} passes over 1024 frames, all cases in turn.",
            timed.tsc_hz / 1e9,
            100.0 * 1e9 / timed.tsc_hz,
            timed.runs,
            timed.passes_per_run
        )],
        tables: Vec::new(),
        figures: vec![by_length(timed), by_macs(timed), by_sessions(timed), by_burst(timed)],
    }
}

/// The lengths in the order of the plot.
const LENGTHS: [(FrameLength, &str); 8] = [
    (FrameLength::Bytes(64), "64"),
    (FrameLength::Bytes(128), "128"),
    (FrameLength::Bytes(256), "256"),
    (FrameLength::Bytes(512), "512"),
    (FrameLength::Bytes(1024), "1024"),
    (FrameLength::Bytes(1280), "1280"),
    (FrameLength::Bytes(1518), "1518"),
    (FrameLength::Imix, "IMIX"),
];

fn by_length(timed: &Timed) -> Figure {
    let x = |scenario: &Scenario| {
        let position = LENGTHS.iter().position(|(length, _)| *length == scenario.frame)?;
        let same = Scenario { frame: FrameLength::Bytes(64), ..scenario.clone() };
        is_base(&same).then(|| f64::from(u32::try_from(position).unwrap_or(0)))
    };
    let names = LENGTHS.map(|(_, name)| name.to_owned()).to_vec();
    let axis = Axis {
        label: "length of the inner frame, bytes without FCS".to_owned(),
        places: Places::Names(names),
    };
    lines("By frame length", "The engine reads and writes headers only.", axis, &series(timed, x))
}

fn by_macs(timed: &Timed) -> Figure {
    let x = |scenario: &Scenario| {
        is_base(&Scenario { macs: 1000, ..scenario.clone() }).then_some(f64::from(scenario.macs))
    };
    let note = "Every frame is of the next station, so beyond the caches each look-up goes to memory.";
    lines("By number of stations in the FDB", note, numbers("stations"), &series(timed, x))
}

fn by_sessions(timed: &Timed) -> Figure {
    let x = |scenario: &Scenario| {
        let is_own = scenario.macs == (2 * scenario.sessions).max(1000);
        let base = Scenario { sessions: 1, macs: 1000, ..scenario.clone() };
        (is_own && is_base(&base)).then_some(f64::from(scenario.sessions))
    };
    let note = "Each frame is of the next session. With more sessions go more stations: two for each. A relay has half of the \
                sessions at either end.";
    lines("By number of sessions", note, numbers("sessions"), &series(timed, x))
}

fn by_burst(timed: &Timed) -> Figure {
    let x = |scenario: &Scenario| {
        is_base(&Scenario { burst: 64, ..scenario.clone() }).then_some(f64::from(scenario.burst))
    };
    let note = "Frames that a port hands over at once. The engine takes at most 64 at a time.";
    lines("By batch", note, numbers("frames that are there at once"), &series(timed, x))
}

fn numbers(label: &str) -> Axis {
    Axis { label: label.to_owned(), places: Places::Numbers(Scale::Log) }
}

/// Whether a scenario is its way's base.
fn is_base(scenario: &Scenario) -> bool {
    let Scenario { way: _, frame, macs, sessions, burst, carrier, frames, huge_pages } = scenario;
    let is_base_memory = *frames == BASE_FRAMES && !huge_pages;
    let is_base_way = *macs == 1000 && *sessions == 1 && *burst == 64 && carrier == "udp";
    *frame == FrameLength::Bytes(64) && is_base_way && is_base_memory
}

/// A line for each way, through the cases that `x` gives a place.
fn series(timed: &Timed, x: impl Fn(&Scenario) -> Option<f64>) -> Vec<LineSeries> {
    let line = |(way, name): (Way, &str)| {
        let point = |case: &TimedCase| {
            let scenario = case.scenario.as_ref().filter(|scenario| scenario.way == way)?;
            Some(Point { x: x(scenario)?, y: case.cycles_per_frame.value() })
        };
        let mut points: Vec<Point> = timed.cases.iter().filter_map(point).collect();
        points.sort_by(|one, other| one.x.total_cmp(&other.x));
        LineSeries { name: name.to_owned(), points }
    };
    Way::ENGINE.map(line).to_vec()
}

fn lines(title: &str, note: &str, x: Axis, series: &[LineSeries]) -> Figure {
    let y = Axis { label: "cycles per frame".to_owned(), places: Places::Numbers(Scale::Linear) };
    let lines = Lines { x, y, series: series.to_vec(), marks: Vec::new() };
    Figure { title: title.to_owned(), note: format!("{note} {NOTE}"), plot: Plot::Lines(lines) }
}

fn instructions_section(counts: &[Counts]) -> Section {
    let of = |name: &str| {
        counts.iter().find(|counts| counts.name == name).map(|counts| Value::exact(counts.per_frame()))
    };
    let engine: Vec<&Counts> = counts
        .iter()
        .filter(|counts| counts.name != "ports without engine" && !counts.name.starts_with("headers"))
        .collect();
    let carriers = ["", ", over IP", ", over UDP and IPv6", ", UDP checksum", ", batch 1"];
    let series = Way::ENGINE.map(|(_, name)| BarSeries {
        name: name.to_owned(),
        values: carriers.map(|carrier| of(&format!("{name}{carrier}"))).to_vec(),
    });
    let bars = Bars {
        label: "instructions per frame".to_owned(),
        categories: [
            "base: over UDP, IPv4",
            "over IP",
            "over UDP, IPv6",
            "with UDP checksum",
            "one frame at a time",
        ]
        .map(str::to_owned)
        .to_vec(),
        series: series.to_vec(),
        marks: vec![
            Mark { name: "goal of encap and decap, must".to_owned(), value: INSTRUCTIONS[0] },
            Mark { name: "aim".to_owned(), value: INSTRUCTIONS[1] },
        ],
    };
    Section {
        title: "Instructions per frame".to_owned(),
        text: vec![format!(
            "Counted by callgrind over {} cases: only the passes through the engine, only instructions of the program itself. They do \
             not depend on the machine's speed or load.",
            engine.len()
        )],
        tables: Vec::new(),
        figures: vec![Figure {
            title: "Instructions for a 64-byte frame".to_owned(),
            note: "1000 stations, one session, batches of 64; the ports in memory are included.".to_owned(),
            plot: Plot::Bars(bars),
        }],
    }
}

/// Every case with the name that tells the two kinds apart.
fn scaling_cases(scaling: &Scaling) -> impl Iterator<Item = (String, &ScalingCase)> {
    let own = scaling.cases.iter().map(|case| (case.name.clone(), case));
    own.chain(scaling.spread.iter().map(|case| (format!("one tunnel: {}", case.name), case)))
}

/// The ratios, one case a row.
pub(super) fn scaling_table(scaling: &Scaling) -> Grid {
    let columns = ["case", "one worker, million frames/s", "two workers", "ratio", "quartiles"];
    let rows = scaling_cases(scaling).map(|(name, case)| {
        vec![
            name,
            format!("{:.2}", case.one_frames_per_s.median / 1e6),
            format!("{:.2}", case.two_frames_per_s.median / 1e6),
            format!("{:.2}", case.ratio.median),
            format!("{:.2} to {:.2}", case.ratio.lower_quartile, case.ratio.upper_quartile),
        ]
    });
    Grid { columns: columns.map(str::to_owned).to_vec(), rows: rows.collect() }
}

fn scaling_section(scaling: &Scaling) -> Section {
    let bars = Bars {
        label: "frames per second of two workers by those of one".to_owned(),
        categories: scaling_cases(scaling).map(|(name, _)| name).collect(),
        series: vec![BarSeries {
            name: String::new(),
            values: scaling_cases(scaling).map(|(_, case)| Some(case.ratio.value())).collect(),
        }],
        marks: vec![
            Mark { name: "must".to_owned(), value: TWO_WORKERS[0] },
            Mark { name: "aim".to_owned(), value: TWO_WORKERS[1] },
        ],
    };
    Section {
        title: "Two workers".to_owned(),
        text: vec![
            "Two threads, each pinned to a CPU, with ports, chunks and counters of their own; tables and FDB in common. Arithmetic is \
             what two CPUs of this machine can gain at all; it counts a piece of about a frame's length as a frame. One tunnel: the \
             first worker receives all frames, and the second takes over its share of the flows."
                .to_owned(),
        ],
        tables: vec![scaling_table(scaling)],
        figures: vec![Figure {
            title: "Two workers against one".to_owned(),
            note: "Median of interleaved rounds, with quartiles.".to_owned(),
            plot: Plot::Bars(bars),
        }],
    }
}
