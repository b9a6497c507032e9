//! Terminal: tables as text.

use comfy_table::CellAlignment;

use super::goals;
use super::pages::{self, Findings};
use super::systems::{Need, System};
use crate::report::{self, Grid};

/// CPUs of other processes above which the numbers are doubtful.
const QUIET_CPUS: f64 = 0.3;

/// Lists systems, with what each needs.
pub(super) fn list(chosen: &[&'static System]) {
    let mut grid = Grid {
        columns: ["name", "system", "family", "compared with", "needs"].map(str::to_owned).to_vec(),
        rows: Vec::new(),
    };
    for system in chosen {
        let needs = match system.need {
            Need::Nothing => "-".to_owned(),
            Need::Package(package, _) => {
                format!("package {package}; fetched into the target folder if missing")
            }
            Need::KernelL2tp => "a kernel with l2tp_eth".to_owned(),
        };
        let cells = [system.name, system.title, system.family.title(), system.null().unwrap_or("-"), &needs];
        grid.rows.push(cells.map(str::to_owned).to_vec());
    }
    let mut table = report::text(&grid);
    table.column_iter_mut().for_each(|column| column.set_cell_alignment(CellAlignment::Left));
    println!("{table}");
}

/// Prints everything that was found.
pub(super) fn print(findings: Findings<'_>) {
    let Findings { results, goals, .. } = findings;
    println!("\n{}", report::text(&pages::table(results)));
    for note in pages::NOTES {
        println!("{note}");
    }
    let latencies = pages::latencies(results);
    if !latencies.rows.is_empty() {
        println!("\n{}", report::text(&latencies));
        println!(
            "Latency: from the moment at which a frame was due by the schedule; load: part of the system's own highest rate."
        );
    }
    if let Some(uml) = findings.uml {
        println!("\n{}", report::text(&uml.table()));
    }
    println!("\n{}", report::text(&goals::table(goals)));
    for line in pages::absent(results) {
        println!("not measured: {line}");
    }
    let others = results.others_cpus();
    if others > QUIET_CPUS {
        println!(
            "Other processes had up to {others:.1} CPUs meanwhile. Their time is not in the numbers; what they did to caches is."
        );
    }
}
