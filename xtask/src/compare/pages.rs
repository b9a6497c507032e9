//! Pages: tables and plots of the results, for terminals and for the report.

use super::goals::{self, Goal};
use super::plan::Plan;
use super::results::{LatencyAt, Measured, Results};
use super::systems::{self, SYSTEMS, System};
use super::uml::Ratios;
use crate::report::{
    Axis, BarSeries, Bars, Figure, Grid, Headline, LineSeries, Lines, Places, Plot, Point, Scale, Section,
    Spread, Value,
};

/// Of all commands, this has the picture that says most.
const HEADLINE_RANK: u32 = 2;

/// Everything that a page is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Findings<'f> {
    pub(super) plan: &'f Plan,
    pub(super) results: &'f Results,
    pub(super) uml: Option<&'f Ratios>,
    pub(super) goals: &'f [Goal],
}

/// What the numbers are, below the table.
pub(super) const NOTES: [&str; 5] = [
    "Rate: the highest at which no more than the stated share of frames was lost, of trials after RFC 2544, median of the rounds \
     (lowest to highest).",
    "Gateways: CPU time of the whole machine per frame, softirqs included, at 95 % of that rate, of both gateways together (one \
     encapsulates, one decapsulates); without idle waiting, without other processes, and without what generator and sink take on the \
     bare wire at the same rate.",
    "Tunnel: the same less that of the null forwarder of the same family, taken in the same round, and at the same rate where it \
     was measured at it. The null forwarder is the gateway with the tunnel taken out: as many gateways in the row, the same way in \
     and out of each (AF_XDP sockets, kernel bridge, Open vSwitch), no outer headers. OpenVPN's frames come and go through a \
     kernel bridge.",
    "Frames per CPU-second: what one CPU could carry if it did nothing else than both gateways' work.",
    "Rates depend on which CPU does what; compare CPU time between families, and rates within one. A program that sleeps when \
     nothing comes takes more per frame the fewer come.",
];

/// The main table.
pub(super) fn table(results: &Results) -> Grid {
    let columns = [
        "system",
        "bytes",
        "rate, 1000/s",
        "gateways, CPU-ns/frame",
        "tunnel, CPU-ns/frame",
        "1000 frames/CPU-s",
    ];
    let rows = in_order(results).map(|(system, measured)| {
        let tunnel = results.tunnel_ns(system.name, measured.frame_bytes);
        let gateways = measured.gateways_ns().filter(|_| system.has_gateways());
        vec![
            system.title.to_owned(),
            measured.frame_bytes.to_string(),
            shown(measured.rate(), 1e-3),
            gateways.map_or_else(
                || shown(measured.ends_ns(), 1.0) + " (ends)",
                |gateways| shown(Some(gateways), 1.0),
            ),
            shown(tunnel, 1.0),
            shown(gateways.map(|gateways| gateways.inverse(1e9)), 1e-3),
        ]
    });
    Grid { columns: columns.map(str::to_owned).to_vec(), rows: rows.collect() }
}

/// The table of latencies.
pub(super) fn latencies(results: &Results) -> Grid {
    let columns = ["system", "bytes", "load", "1000/s", "lost", "p50, us", "p90", "p99", "p99.9", "max"];
    let rows = in_order(results).flat_map(|(system, measured)| {
        measured.latencies.iter().map(move |at| latency_row(system, measured.frame_bytes, at))
    });
    Grid { columns: columns.map(str::to_owned).to_vec(), rows: rows.collect() }
}

fn latency_row(system: &System, frame_bytes: u32, at: &LatencyAt) -> Vec<String> {
    let mut row = vec![
        system.title.to_owned(),
        frame_bytes.to_string(),
        format!("{:.0} %", at.load * 100.0),
        format!("{:.0}", thousands(at.rate)),
        format!("{:.3} %", at.loss * 100.0),
    ];
    row.extend(percentiles(at).map(|ns| ns.map_or_else(|| "-".to_owned(), |ns| format!("{:.1}", ns / 1e3))));
    row
}

/// p50, p90, p99, p99.9 and max. Units: ns.
#[expect(clippy::cast_precision_loss, reason = "times far below 2^53 ns")]
fn percentiles(at: &LatencyAt) -> [Option<f64>; 5] {
    let latency = at.latency.as_ref();
    let each = latency.map(|latency| {
        [latency.p50_ns, latency.p90_ns, latency.p99_ns, latency.p999_ns, latency.max_ns].map(|ns| ns as f64)
    });
    each.map_or([None; 5], |each| each.map(Some))
}

#[expect(clippy::cast_precision_loss, reason = "rates far below 2^53")]
fn thousands(rate: u64) -> f64 {
    rate as f64 / 1e3
}

/// The systems that were not measured, with the reasons.
pub(super) fn absent(results: &Results) -> Vec<String> {
    results.absent.iter().map(|absent| format!("{}: {}", absent.system, absent.reason)).collect()
}

/// The command's part of the report.
pub(super) fn sections(findings: Findings<'_>) -> Vec<Section> {
    let Findings { plan, results, uml, goals } = findings;
    let mut sections = vec![
        Section {
            title: "What a tunnel costs".to_owned(),
            text: NOTES.map(str::to_owned).to_vec(),
            tables: vec![table(results), goals::table(goals)],
            figures: [cost_figure(findings), tunnel_figure(findings), rate_figure(findings)]
                .into_iter()
                .flatten()
                .collect(),
        },
        Section {
            title: "Latency under load".to_owned(),
            text: vec![
                "From the moment at which a frame was due by the schedule to its arrival: a generator that is held up does not hide \
                 it. At parts of each system's own highest rate."
                    .to_owned(),
            ],
            tables: vec![latencies(results)],
            figures: plan.sizes.iter().filter_map(|&size| latency_figure(results, size)).collect(),
        },
    ];
    if let Some(uml) = uml {
        sections.push(uml.section());
    }
    if !results.absent.is_empty() {
        let text = absent(results);
        sections.push(Section { title: "Not measured".to_owned(), text, ..Section::default() });
    }
    sections
}

/// The picture that says most: CPU time of the gateways by system.
pub(super) fn headline(findings: Findings<'_>, cpu: &str) -> Option<Headline> {
    let results = findings.results;
    let figure = cost_figure(findings)?;
    let said = |system: &str| {
        let title = systems::named(system)?.title;
        Some(format!("{title} {:.0}", results.find(system, 64)?.gateways_ns()?.median))
    };
    let numbers: Vec<String> =
        ["spanwire-udp", "vxlan", "openvpn-aes"].into_iter().filter_map(said).collect();
    let sentence = format!(
        "CPU time that a pair of gateways takes for one 64-byte frame, on {cpu}, over veth, in ns: {}.",
        numbers.join(", ")
    );
    Some(Headline { rank: HEADLINE_RANK, sentence, figure })
}

fn cost_figure(findings: Findings<'_>) -> Option<Figure> {
    let value = |measured: &Measured| measured.gateways_ns();
    bars(findings, "CPU time of a pair of gateways", "CPU-ns per frame", SYSTEMS, value)
}

fn tunnel_figure(findings: Findings<'_>) -> Option<Figure> {
    let value = |measured: &Measured| findings.results.tunnel_ns(&measured.system, measured.frame_bytes);
    let title = "CPU time of the tunnel alone: less the null forwarder of the same family";
    bars(findings, title, "CPU-ns per frame", SYSTEMS, value)
}

fn rate_figure(findings: Findings<'_>) -> Option<Figure> {
    let value = |measured: &Measured| {
        let Spread { low, median, high } = measured.rate()?;
        Some(Spread { low: low / 1e3, median: median / 1e3, high: high / 1e3 })
    };
    bars(findings, "Highest rate without loss", "1000 frames/s", SYSTEMS, value)
}

/// Bars of a number by system, one series for each size; systems without it are left out.
fn bars(
    findings: Findings<'_>,
    title: &str,
    label: &str,
    systems: &[System],
    number: impl Fn(&Measured) -> Option<Spread>,
) -> Option<Figure> {
    let Findings { plan, results, .. } = findings;
    let value = |system: &System, size: u32| results.find(system.name, size).and_then(&number);
    let shown: Vec<&System> = systems
        .iter()
        .filter(|system| {
            system.has_gateways() && plan.sizes.iter().any(|&size| value(system, size).is_some())
        })
        .collect();
    let series = plan.sizes.iter().map(|&size| BarSeries {
        name: format!("{size} bytes"),
        values: shown.iter().map(|system| value(system, size).map(drawn)).collect(),
    });
    let bars = Bars {
        label: label.to_owned(),
        categories: shown.iter().map(|system| system.title.to_owned()).collect(),
        series: series.collect(),
        marks: Vec::new(),
    };
    let note = "Median of the rounds, with the lowest and the highest.".to_owned();
    (!shown.is_empty()).then(|| Figure { title: title.to_owned(), note, plot: Plot::Bars(bars) })
}

/// Percentiles by system, at half of the highest rate.
fn latency_figure(results: &Results, size: u32) -> Option<Figure> {
    let series: Vec<LineSeries> = in_order(results)
        .filter(|(_, measured)| measured.frame_bytes == size)
        .filter_map(|(system, measured)| {
            let at = measured.latencies.iter().find(|at| (at.load - 0.5).abs() < 0.01)?;
            at.latency.as_ref()?;
            let heights = percentiles(at).into_iter().flatten();
            let points = heights.enumerate().map(|(place, ns)| point(place, ns / 1e3));
            Some(LineSeries { name: system.title.to_owned(), points: points.collect() })
        })
        .collect();
    let names = ["p50", "p90", "p99", "p99.9", "max"].map(str::to_owned).to_vec();
    let axis = |label: &str, places| Axis { label: label.to_owned(), places };
    let lines = Lines {
        x: axis("share of the frames", Places::Names(names)),
        y: axis("latency, us", Places::Numbers(Scale::Log)),
        series,
        marks: Vec::new(),
    };
    let title = format!("Latency at 50 % of the highest rate, {size} bytes");
    let note = "Each system at half of its own highest rate.".to_owned();
    (!lines.series.is_empty()).then_some(Figure { title, note, plot: Plot::Lines(lines) })
}

#[expect(clippy::cast_precision_loss, reason = "a handful of places")]
fn point(place: usize, height: f64) -> Point {
    Point { x: place as f64, y: Value::exact(height) }
}

fn drawn(spread: Spread) -> Value {
    Value::spread(spread.low, spread.median, spread.high)
}

/// What was measured, in the order of the systems.
fn in_order(results: &Results) -> impl Iterator<Item = (&'static System, &Measured)> {
    SYSTEMS.iter().flat_map(|system| {
        results
            .measured
            .iter()
            .filter(|measured| measured.system == system.name)
            .map(move |found| (system, found))
    })
}

/// A number with its spread, scaled; one that was measured once without.
pub(super) fn shown(spread: Option<Spread>, scale: f64) -> String {
    let Some(Spread { low, median, high }) = spread else { return "-".to_owned() };
    let text = |number: f64| {
        let scaled = number * scale;
        if scaled.abs() < 10.0 { format!("{scaled:.1}") } else { format!("{scaled:.0}") }
    };
    if (high - low).abs() < f64::EPSILON {
        return text(median);
    }
    format!("{} ({} to {})", text(median), text(low), text(high))
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::{measured, results};
    use super::*;

    #[test]
    fn the_table_has_what_was_measured_in_the_order_of_the_systems() {
        let results = results(vec![
            measured("spanwire-udp", &[(900_000, 1500.0), (1_100_000, 1700.0)]),
            measured("null", &[(1_000_000, 1000.0), (1_000_000, 1000.0)]),
            measured("wire", &[(4_000_000, 0.0)]),
        ]);
        let rows = table(&results).rows;
        assert_eq!(rows[0], ["wire only", "64", "4000", "200 (ends)", "-", "-"]);
        assert_eq!(rows[1], ["null forwarder, own rings", "64", "1000", "1000", "-", "1000"]);
        let expected = [
            "spanwire, L2TPv3 over UDP",
            "64",
            "1000 (900 to 1100)",
            "1600 (1500 to 1700)",
            "600 (500 to 700)",
            "625 (588 to 667)",
        ];
        assert_eq!(rows[2], expected);
    }

    #[test]
    fn a_latency_that_nobody_measured_is_a_dash() {
        let system = systems::named("bridge").unwrap();
        let at = LatencyAt { load: 0.1, rate: 25_000, loss: 1.0, latency: None };
        let row = latency_row(system, 64, &at);
        assert_eq!(row, ["kernel bridge", "64", "10 %", "25", "100.000 %", "-", "-", "-", "-", "-"]);
    }
}
