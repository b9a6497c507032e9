//! `cargo xtask compare`: spanwire beside other ways to join two LANs, end to end over veth, on the same wires.
//!
//! ```text
//!  plan -> bed (wires + one system's gateways) -> load (generator, sink) -> measure -> results -> pages, goals
//! ```
//! Everything runs inside namespaces that the lab makes itself, daemons included, with files in the lab's own folder; all of
//! it is removed when the command ends, however it ends.

mod bed;
mod commands;
mod goals;
mod kernel_l2tp;
mod knobs;
mod load;
mod measure;
mod nic;
mod packages;
mod pages;
mod placement;
mod plan;
mod priority;
mod reports;
mod results;
mod search;
mod site;
mod systems;
mod terminal;
mod tools;
mod uml;
mod visits;
mod wires;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::Args;

use crate::progress::Progress;
use crate::report::environment::CpuTicks;
use crate::report::{Document, Environment, ResultsFolder};
use crate::zero_copy::instructions;
use crate::{install, workspace};
use pages::Findings;
use placement::Placement;
use plan::Plan;
use results::Results;
use systems::{Need, SYSTEMS, System};
use tools::Tools;

/// Sizes that are measured unless others are asked for: the smallest, and the largest of a 1500-byte LAN.
const SIZES: [u32; 2] = [64, 1514];

/// Options of `compare`.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// Only these systems, by name: `--only spanwire-udp,vxlan`. Their null forwarders and the bare wire are measured as well.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// List the systems, what each needs, and whether that is here.
    #[arg(long)]
    list: bool,
    /// Few systems, one size, one round, no report: below 90 seconds.
    #[arg(long, conflicts_with_all = ["sizes", "rounds"])]
    short: bool,
    /// Lengths of the frames in bytes, without FCS.
    #[arg(long, value_name = "BYTES", value_delimiter = ',', default_values_t = SIZES, value_parser = clap::value_parser!(u32).range(64..=1514))]
    sizes: Vec<u32>,
    /// How often everything is measured.
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Share of the frames of a trial that may be lost: 0 is none.
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    loss: f64,
    /// Where this kernel has no l2tp_eth: measure it in User-mode Linux, by its ratio to VXLAN there. The first time, a kernel
    /// is built (5 to 10 minutes).
    #[arg(long, conflicts_with = "short")]
    uml: bool,
    /// Instead of systems, settings of spanwire one at a time; as Markdown. 2 rounds unless another number is given: below 5 minutes.
    #[arg(long, value_name = "ROUNDS", num_args = 0..=1, default_missing_value = "2", conflicts_with_all = ["only", "list", "uml", "rounds", "sizes", "json", "zero_copy"], value_parser = clap::value_parser!(u32).range(1..=20))]
    knobs: Option<u32>,
    /// Instead of all this: instructions per packet, kernel included, of spanwire in zero-copy mode and of the kernel's l2tp_eth, between
    /// igb cards that QEMU emulates; without root. With --short: 64-byte frames, one load, one round, and a bound on their ratio.
    #[arg(long, conflicts_with_all = ["only", "list", "loss", "uml"])]
    zero_copy: bool,
    /// Write the result as JSON.
    #[arg(long)]
    json: bool,
    /// Cargo's profile for what is built; other than release is for trying this command out.
    #[arg(long, value_name = "PROFILE", default_value = "release", hide = true)]
    profile: String,
    #[command(flatten)]
    nic: nic::NicArgs,
    #[command(flatten)]
    print: commands::CommandsArgs,
}

/// Runs the command.
///
/// # Errors
/// Something is missing or does not build, or a system that is here fails or carries nothing.
pub(crate) fn run(args: &CompareArgs) -> Result<()> {
    ensure!((0.0..1.0).contains(&args.loss), "--loss {} is no share from 0 to below 1", args.loss);
    if args.zero_copy {
        return instructions::measure(&instructions_plan(args));
    }
    if let Some(name) = &args.print.commands {
        return commands::print(&args.print, name);
    }
    if let Some(rounds) = args.knobs {
        return knobs::run(args, rounds);
    }
    let chosen = choose(args)?;
    if args.list {
        terminal::list(&chosen);
        return Ok(());
    }
    if let Some(file) = &args.nic.file {
        return on_nics(args, file);
    }
    in_lab(args, &chosen)
}

/// Measures systems that the lab sets up, one after the other.
fn in_lab(args: &CompareArgs, chosen: &[&'static System]) -> Result<()> {
    let mut progress = Progress::new(4 + usize::from(args.uml));
    progress.step("checking what has to be installed", check)?;
    let mut tools = progress.step("building gateway, generator and sink as they are released", || {
        let bench = workspace::build_with(&args.profile, "spanwire-bench", "spanwire-bench")?;
        Ok(Tools::here(workspace::build_with(&args.profile, "spanwire", "spanwire")?, bench))
    })?;
    let mut results = Results::default();
    let present =
        progress.step("looking for the other systems", || find(chosen, &mut tools, &mut results))?;
    let plan = plan(args, present);
    let (mut environment, start) = (Environment::read(), CpuTicks::now());
    let placement = Placement::here();
    progress.step(&format!("measuring, {}", duration_of(&plan)), || {
        eprintln!("      {}", placement.text());
        visits::make(&plan, &tools, &placement, &mut results)
    })?;
    let uml = args.uml.then(|| {
        progress.step("measuring the kernel's tunnels in User-mode Linux", || {
            uml::measure(&args.sizes, args.rounds)
        })
    });
    let uml = uml.transpose()?;
    environment.note_stolen_since(start);
    note(&mut environment, &placement, &plan, &results);
    let goals = goals::goals(&results, uml.as_ref());
    let findings = Findings { plan: &plan, results: &results, uml: uml.as_ref(), goals: &goals };
    let document = document(args, environment, findings)?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&document)?);
    } else {
        terminal::print(findings);
    }
    if !args.short && args.only.is_empty() {
        let folder = ResultsFolder::of(&document.environment);
        folder.add(&document)?;
        eprintln!("report: {}", folder.path().display());
    }
    ensure!(!results.measured.is_empty(), "nothing could be measured");
    let faults = results.faults(&plan.systems);
    ensure!(faults.is_empty(), "not everything that is here carried frames:\n{}", faults.join("\n"));
    Ok(())
}

/// Measures one system that stands between two interfaces of this machine.
fn on_nics(args: &CompareArgs, file: &Path) -> Result<()> {
    let mut progress = Progress::new(3);
    progress.step("checking what has to be installed", check)?;
    let system = nic::system(&args.nic)?;
    let tools = progress.step("building generator and sink as they are released", || {
        let bench = workspace::build_with(&args.profile, "spanwire-bench", "spanwire-bench")?;
        Ok(Tools::here(bench.clone(), bench))
    })?;
    let mut results = nic::read(file)?;
    let (plan, placement) = (plan(args, vec![system]), Placement::here());
    progress.step(&format!("measuring {}, {}", system.title, duration_of(&plan)), || {
        nic::measure(&args.nic, &plan, &tools, &placement, &mut results)
    })?;
    nic::write(file, &results)?;
    let goals = goals::goals(&results, None);
    let findings = Findings { plan: &plan, results: &results, uml: None, goals: &goals };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
    } else {
        terminal::print(findings);
    }
    Ok(())
}

/// Sees to it that what the lab calls is installed.
fn check() -> Result<()> {
    install::packages(&[install::LAB, install::C_LIBRARIES].concat())?;
    let missing = netlab::missing();
    ensure!(missing.is_empty(), "{}", missing.join("; "));
    Ok(())
}

/// How long a plan takes, in words.
fn duration_of(plan: &Plan) -> String {
    let minutes = |time: Duration| time.as_secs_f64() / 60.0;
    format!("about {:.1} min, at most {:.1}", minutes(plan.estimate().min(plan.bound)), minutes(plan.bound))
}

/// Everything for the report.
fn document(args: &CompareArgs, environment: Environment, findings: Findings<'_>) -> Result<Document> {
    Ok(Document {
        command: "compare".to_owned(),
        command_line: command_line(args),
        headline: pages::headline(findings, &environment.cpu),
        sections: pages::sections(findings),
        raw: serde_json::json!({ "lab": findings.results, "uml": findings.uml }),
        environment,
    })
}

/// The systems that are asked for, with what they are compared with.
fn choose(args: &CompareArgs) -> Result<Vec<&'static System>> {
    if args.only.is_empty() {
        return Ok(SYSTEMS.iter().filter(|system| !args.short || system.is_short).collect());
    }
    let mut names = vec!["wire"];
    for name in &args.only {
        let Some(system) = systems::named(name) else {
            let known: Vec<&str> = SYSTEMS.iter().map(|system| system.name).collect();
            bail!("there is no system {name:?}; there are: {}", known.join(", "));
        };
        names.push(system.name);
        names.extend(system.null());
    }
    Ok(SYSTEMS.iter().filter(|system| names.contains(&system.name)).collect())
}

/// Those systems whose needs are met here; the others are noted with the reason.
fn find(
    chosen: &[&'static System],
    tools: &mut Tools,
    results: &mut Results,
) -> Result<Vec<&'static System>> {
    let wants_l2tp = chosen.iter().any(|system| system.need == Need::KernelL2tp);
    let no_l2tp = if wants_l2tp { kernel_l2tp::missing()? } else { None };
    let mut present = Vec::new();
    for system in chosen {
        let reason = match system.need {
            Need::Nothing => None,
            Need::Package(package, program) => {
                tools.fetch(package, program).err().map(|fault| format!("{fault:#}"))
            }
            Need::KernelL2tp => no_l2tp.clone(),
        };
        match reason {
            None => present.push(*system),
            Some(reason) => results.note_absent(system.name, reason),
        }
    }
    Ok(present)
}

fn plan(args: &CompareArgs, systems: Vec<&'static System>) -> Plan {
    if args.short {
        Plan::short(systems, SIZES[0], args.loss)
    } else {
        Plan::long(systems, args.sizes.clone(), args.rounds, args.loss)
    }
}

/// What to measure on the zero-copy guest.
fn instructions_plan(args: &CompareArgs) -> instructions::Plan {
    let (sizes, rounds) = if args.short { (vec![SIZES[0]], 1) } else { (args.sizes.clone(), args.rounds) };
    instructions::Plan { sizes, rounds, is_short: args.short, json: args.json, profile: args.profile.clone() }
}

/// What else has to be known about the numbers.
fn note(environment: &mut Environment, placement: &Placement, plan: &Plan, results: &Results) {
    environment.note(
        "driver and mode",
        "veth, native XDP, AF_XDP in copy mode; GSO, TSO, checksum and VLAN offloads off",
    );
    environment.note("build", "release profile: LTO, one codegen unit");
    environment.note("placement", placement.text());
    environment.note("loss goal", format!("{} of the frames of a trial of {} s", plan.loss, plan.trial_s));
    environment.note("most CPUs of other processes in a run", format!("{:.2}", results.others_cpus()));
}

/// The command line to find it all again.
fn command_line(args: &CompareArgs) -> String {
    let mut words = vec!["cargo xtask compare".to_owned()];
    if args.short {
        words.push("--short".to_owned());
    } else {
        let sizes: Vec<String> = args.sizes.iter().map(u32::to_string).collect();
        words.push(format!("--sizes {} --rounds {}", sizes.join(","), args.rounds));
    }
    words.push(format!("--loss {}", args.loss));
    if args.uml {
        words.push("--uml".to_owned());
    }
    if !args.only.is_empty() {
        words.push(format!("--only {}", args.only.join(",")));
    }
    words.join(" ")
}
