//! What the machine gives: compiler of BPF programs, huge pages, CPUs.
//!
//! What the gateway cannot run without at all is in [`preflight`], whose items are rows here too. Every row is made
//! from files below a [`Tree`], which says nothing about the others.

use super::change::Change;
use super::cpus;
use super::row::{Row, Verdict};
use super::tree::Tree;
use crate::placement::Placement;
use crate::preflight;

const CPU: &str = "sys/devices/system/cpu";
const HUGE_PAGES: &str = "sys/kernel/mm/hugepages/hugepages-2048kB";
const TRANSPARENT: &str = "sys/kernel/mm/transparent_hugepage/enabled";
const BPF_JIT: &str = "proc/sys/net/core/bpf_jit_enable";

/// The rows of what the gateway cannot run without.
pub(super) fn preflight_rows(report: &preflight::Report) -> Vec<Row> {
    let row = |item: &preflight::Item| {
        let row = match item.state {
            preflight::State::Ok => return Row::ok(item.name, item.found.clone()),
            preflight::State::Limited => Row::better(item.name, item.found.clone()),
            preflight::State::Missing => Row::obstacle(item.name, item.found.clone()),
        };
        row.because(item.why).by_hand(item.how)
    };
    report.items.iter().map(row).collect()
}

/// The rows of the machine; `huge_pages` is how many 2 MiB pages the frame memory would take, `allowed` the process's CPUs.
pub(super) fn rows(tree: &Tree, huge_pages: u64, allowed: &[usize]) -> Vec<Row> {
    let mut rows = vec![bpf_jit(tree), transparent_row(tree), huge_page_row(tree, huge_pages)];
    rows.extend([
        cpu_row(tree, allowed),
        isolation(tree),
        siblings(tree, allowed),
        governor(tree),
        mitigations(tree),
    ]);
    rows.extend(irq_balance(tree));
    rows
}

fn bpf_jit(tree: &Tree) -> Row {
    let thing = "BPF compiler";
    match tree.text(BPF_JIT).as_deref() {
        Some("0") => Row::obstacle(thing, "off")
            .because("the steering program runs interpreted for every packet")
            .by(vec![Change::of_file(tree.path(BPF_JIT), &1)]),
        Some(value) => Row::ok(thing, if value == "2" { "on, with debugging output" } else { "on" }),
        None => Row::untold(
            thing,
            "shown to root, in the machine's own network namespace; kernels built with CONFIG_BPF_JIT_ALWAYS_ON have it on",
        ),
    }
}

fn transparent_row(tree: &Tree) -> Row {
    let thing = "transparent huge pages";
    let Some(choices) = tree.text(TRANSPARENT) else {
        return Row::untold(thing, "a kernel without CONFIG_TRANSPARENT_HUGEPAGE has none");
    };
    // All of them, the one that was chosen in brackets.
    let chosen = choices.split_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    match chosen {
        Some(chosen @ ("always" | "madvise")) => Row::ok(thing, chosen)
            .because("frame memory and large tables can stand in them; none has to be reserved"),
        chosen => Row::better(thing, chosen.unwrap_or(&choices))
            .because("frame memory and large tables stand in small pages, which takes address translations")
            .by_hand(format!("echo madvise > {}", tree.path(TRANSPARENT).display())),
    }
}

fn huge_page_row(tree: &Tree, needed: u64) -> Row {
    let thing = "reserved huge pages";
    let file = |name: &str| tree.number::<u64>(&format!("{HUGE_PAGES}/{name}"));
    let (Some(all), Some(free)) = (file("nr_hugepages"), file("free_hugepages")) else {
        return Row::untold(
            thing,
            "a kernel without CONFIG_HUGETLBFS has none, and `umem.huge_pages` must be false",
        );
    };
    let found = format!("{free} of {all} free, {needed} for this gateway");
    if free >= needed {
        return Row::ok(thing, found).because("used with `umem.huge_pages = true`");
    }
    let more = all.saturating_add(needed - free);
    let change = Change::of_file(tree.path(&format!("{HUGE_PAGES}/nr_hugepages")), &more);
    if transparent_row(tree).verdict == Verdict::Ok {
        let command = change.command();
        return Row::ok(thing, found).because(format!(
            "only `umem.huge_pages = true` needs them, before the gateway starts: `{command}`"
        ));
    }
    Row::better(thing, found)
        .because("`umem.huge_pages = true` spares address translations, and needs them reserved before the gateway starts")
        .by(vec![change])
}

fn cpu_row(tree: &Tree, allowed: &[usize]) -> Row {
    let thing = "CPUs";
    let online = cpu_list(tree, "online").unwrap_or_default();
    let found = format!("{} online, {} for this process", cpus::write(&online), cpus::write(allowed));
    if allowed.len() < 2 {
        return Row::better(thing, found).because("worker and kernel share the only one");
    }
    Row::ok(thing, found)
}

fn isolation(tree: &Tree) -> Row {
    let thing = "isolated CPUs";
    let Some(isolated) = cpu_list(tree, "isolated") else {
        return Row::untold(thing, "the kernel does not tell");
    };
    let online = cpu_list(tree, "online").unwrap_or_default();
    if !isolated.is_empty() {
        return Row::ok(thing, cpus::write(&isolated)).because("for workers: name them in `gateway.cpus`");
    }
    if online.len() < 4 {
        return Row::ok(thing, "none").because("with so few, all are needed for everything");
    }
    let (_, far) = online.split_at(online.len() / 2);
    let list = cpus::write(far);
    Row::better(thing, "none")
        .because("other processes run on the workers' CPUs and delay frames; takes a restart")
        .by_hand(format!("on the kernel's command line: isolcpus={list} nohz_full={list}"))
}

fn siblings(tree: &Tree, allowed: &[usize]) -> Row {
    let thing = "hyper-threads";
    let sibling_list = |cpu: &usize| cpu_list(tree, &format!("cpu{cpu}/topology/thread_siblings_list"));
    let mut cores: Vec<Vec<usize>> = allowed.iter().filter_map(sibling_list).collect();
    if cores.len() < allowed.len() {
        return Row::untold(thing, "the kernel does not tell which CPUs share a core");
    }
    cores.sort();
    cores.dedup();
    if cores.iter().all(|core| core.len() < 2) {
        return Row::ok(thing, "none");
    }
    let found = cores.iter().map(|core| cpus::write(core)).collect::<Vec<_>>().join(" ");
    Row::ok(thing, found)
        .because("two workers on one core share it: a gateway takes a CPU of each before it takes a second")
}

/// Where the workers of a gateway that starts now are.
pub(super) fn placement(placement: &Placement) -> Row {
    let row = match placement.warnings().as_slice() {
        [] => Row::ok("placement", placement.text()),
        warnings => Row::better("placement", placement.text()).because(warnings.join("; ")),
    };
    if row.why.is_empty() { row.because("of a gateway on all these interfaces that starts now") } else { row }
}

fn governor(tree: &Tree) -> Row {
    let thing = "CPU frequency";
    let policies = tree.names(&format!("{CPU}/cpufreq"));
    let file = |policy: &String| format!("{CPU}/cpufreq/{policy}/scaling_governor");
    let of_policies: Vec<_> =
        policies.iter().filter_map(|policy| Some((file(policy), tree.text(&file(policy))?))).collect();
    if of_policies.is_empty() {
        return Row::ok(thing, "not chosen by this kernel");
    }
    let slow: Vec<_> = of_policies.iter().filter(|(_, governor)| governor != "performance").collect();
    let mut found: Vec<_> = of_policies.iter().map(|(_, governor)| governor.as_str()).collect();
    found.sort_unstable();
    found.dedup();
    let found = found.join(", ");
    if slow.is_empty() {
        return Row::ok(thing, found);
    }
    let changes = slow.iter().map(|(path, _)| Change::of_file(tree.path(path), &"performance")).collect();
    Row::better(thing, found)
        .because("after a pause the first frames are served at a low frequency")
        .by(changes)
}

fn mitigations(tree: &Tree) -> Row {
    let thing = "mitigations";
    let folder = format!("{CPU}/vulnerabilities");
    let names = tree.names(&folder);
    let states = names.iter().filter_map(|name| Some((name, tree.text(&format!("{folder}/{name}"))?)));
    let states: Vec<_> = states.filter(|(_, state)| !state.starts_with("Not affected")).collect();
    if names.is_empty() {
        return Row::untold(thing, "the kernel does not tell");
    }
    let (open, closed): (Vec<_>, Vec<_>) =
        states.iter().partition(|(_, state)| state.starts_with("Vulnerable"));
    let list = |some: &[&(&String, String)]| {
        some.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
    };
    let mut parts = Vec::new();
    if !closed.is_empty() {
        parts.push(format!("on: {}", list(&closed)));
    }
    if !open.is_empty() {
        parts.push(format!("vulnerable: {}", list(&open)));
    }
    if parts.is_empty() {
        return Row::ok(thing, "none needed");
    }
    Row::ok(thing, parts.join("; ")).because(
        "they make system calls and interrupts dearer; state them beside measurements, and leave them on",
    )
}

/// Only where it runs.
fn irq_balance(tree: &Tree) -> Option<Row> {
    let is_it = |pid: &String| {
        pid.bytes().all(|byte| byte.is_ascii_digit())
            && tree.text(&format!("proc/{pid}/comm")).as_deref() == Some("irqbalance")
    };
    tree.names("proc").iter().any(is_it).then(|| {
        Row::better("irqbalance", "runs")
            .because("it moves interrupts away from where they were put")
            .by_hand("systemctl stop irqbalance")
    })
}

/// A list of CPUs in a file.
fn cpu_list(tree: &Tree, file: &str) -> Option<Vec<usize>> {
    cpus::read(&tree.text(&format!("{CPU}/{file}"))?)
}

#[cfg(test)]
mod tests {
    use super::super::tree::tests::Planted;
    use super::*;
    use crate::placement::Surroundings;

    fn verdict_and_command(row: &Row) -> (Verdict, Option<&str>) {
        (row.verdict, row.command.as_deref())
    }

    #[test]
    fn a_compiler_that_is_off_stands_in_the_way_and_can_be_switched_on() {
        let planted = Planted::new(&[(BPF_JIT, "0")]);
        let row = bpf_jit(&planted.tree);
        let command = format!("echo 1 > {}", planted.tree.path(BPF_JIT).display());
        assert_eq!(verdict_and_command(&row), (Verdict::StandsInTheWay, Some(command.as_str())));
        assert_eq!(row.changes.len(), 1);
        planted.write(BPF_JIT, "1");
        assert_eq!(bpf_jit(&planted.tree).verdict, Verdict::Ok);
        assert_eq!(bpf_jit(&Planted::new(&[]).tree).verdict, Verdict::CannotBeTold);
    }

    #[test]
    fn as_many_huge_pages_are_added_as_are_missing() {
        let (all, free) = (format!("{HUGE_PAGES}/nr_hugepages"), format!("{HUGE_PAGES}/free_hugepages"));
        let planted = Planted::new(&[(&all, "10"), (&free, "4")]);
        let row = huge_page_row(&planted.tree, 20);
        let command = format!("echo 26 > {}", planted.tree.path(&all).display());
        assert_eq!(verdict_and_command(&row), (Verdict::CouldBeBetter, Some(command.as_str())));
        assert_eq!(row.found, "4 of 10 free, 20 for this gateway");
        assert_eq!(huge_page_row(&planted.tree, 4).verdict, Verdict::Ok);
        assert_eq!(huge_page_row(&Planted::new(&[]).tree, 4).verdict, Verdict::CannotBeTold);
    }

    #[test]
    fn huge_pages_need_not_be_reserved_where_the_kernel_gives_them_when_asked() {
        let (all, free) = (format!("{HUGE_PAGES}/nr_hugepages"), format!("{HUGE_PAGES}/free_hugepages"));
        let planted = Planted::new(&[(&all, "0"), (&free, "0"), (TRANSPARENT, "always [madvise] never")]);
        assert_eq!(transparent_row(&planted.tree).found, "madvise");
        let row = huge_page_row(&planted.tree, 20);
        assert_eq!((verdict_and_command(&row), row.changes.is_empty()), ((Verdict::Ok, None), true));
        assert!(row.why.contains("echo 20 > "), "{}", row.why);
        planted.write(TRANSPARENT, "always madvise [never]");
        let row = transparent_row(&planted.tree);
        let command = format!("echo madvise > {}", planted.tree.path(TRANSPARENT).display());
        assert_eq!(verdict_and_command(&row), (Verdict::CouldBeBetter, Some(command.as_str())));
        assert_eq!(huge_page_row(&planted.tree, 20).verdict, Verdict::CouldBeBetter);
        assert_eq!(transparent_row(&Planted::new(&[]).tree).verdict, Verdict::CannotBeTold);
    }

    fn machine(online: &str, isolated: &str, cores: &[(usize, &str)]) -> Planted {
        let (online_file, isolated_file) = (format!("{CPU}/online"), format!("{CPU}/isolated"));
        let planted = Planted::new(&[(&online_file, online), (&isolated_file, isolated)]);
        for (cpu, siblings) in cores {
            planted.write(&format!("{CPU}/cpu{cpu}/topology/thread_siblings_list"), siblings);
        }
        planted
    }

    #[test]
    fn hyper_threads_are_named_by_core() {
        let planted = machine("0-3", "", &[(0, "0,2"), (1, "1,3"), (2, "0,2"), (3, "1,3")]);
        let row = siblings(&planted.tree, &[0, 1, 2, 3]);
        assert_eq!((row.found.as_str(), row.why.is_empty()), ("0,2 1,3", false));
        assert_eq!(siblings(&planted.tree, &[1]).found, "1,3", "only cores of this process");
        let planted = machine("0-1", "", &[(0, "0"), (1, "1")]);
        assert_eq!(siblings(&planted.tree, &[0, 1]).found, "none");
        assert_eq!(siblings(&planted.tree, &[0, 1, 2]).verdict, Verdict::CannotBeTold);
    }

    #[test]
    fn where_workers_would_be_is_told_with_what_is_wrong_about_it() {
        let planted = machine("0-1", "", &[(0, "0"), (1, "1")]);
        planted.write("proc/17/task/18/comm", "spanwire-w0");
        planted.write("proc/17/task/18/status", "Cpus_allowed_list:\t1");
        let row = |allowed: &[usize]| placement(&Surroundings::near(&planted.tree, allowed, None).choose(1));
        let free = row(&[0, 1]);
        assert_eq!((free.verdict, free.found.as_str()), (Verdict::Ok, "worker 0 on CPU 0"));
        let shared = row(&[1]);
        assert_eq!((shared.verdict, shared.found.as_str()), (Verdict::CouldBeBetter, "worker 0 on CPU 1"));
        assert!(shared.why.contains("process 17"), "{}", shared.why);
    }

    #[test]
    fn isolation_is_advised_where_there_are_cpus_to_spare() {
        assert_eq!(isolation(&machine("0-1", "", &[]).tree).verdict, Verdict::Ok);
        assert_eq!(isolation(&machine("0-7", "4-7", &[]).tree).found, "4-7");
        let row = isolation(&machine("0-7", "", &[]).tree);
        assert_eq!(row.command.unwrap(), "on the kernel's command line: isolcpus=4-7 nohz_full=4-7");
    }

    #[test]
    fn every_policy_that_is_not_for_performance_is_changed() {
        let file = |policy: &str| format!("{CPU}/cpufreq/{policy}/scaling_governor");
        let planted = Planted::new(&[
            (&file("policy0"), "powersave"),
            (&file("policy1"), "performance"),
            (&file("policy2"), "powersave"),
        ]);
        let row = governor(&planted.tree);
        assert_eq!((row.verdict, row.found.as_str()), (Verdict::CouldBeBetter, "performance, powersave"));
        let paths =
            ["policy0", "policy2"].map(|policy| planted.tree.path(&file(policy)).display().to_string());
        let commands = paths.map(|path| format!("echo performance > {path}")).join("; ");
        assert_eq!(row.command.unwrap(), commands);
        assert_eq!(governor(&Planted::new(&[]).tree).verdict, Verdict::Ok);
    }

    #[test]
    fn mitigations_are_listed_and_nothing_is_advised() {
        let file = |name: &str| format!("{CPU}/vulnerabilities/{name}");
        let planted = Planted::new(&[
            (&file("l1tf"), "Not affected"),
            (&file("spectre_v2"), "Mitigation: Retpolines"),
            (&file("mds"), "Vulnerable: no microcode"),
        ]);
        let row = mitigations(&planted.tree);
        assert_eq!((row.verdict, row.found.as_str()), (Verdict::Ok, "on: spectre_v2; vulnerable: mds"));
        assert_eq!(row.command, None);
    }

    #[test]
    fn irqbalance_is_told_of_only_where_it_runs() {
        let planted = Planted::new(&[("proc/17/comm", "bash"), ("proc/self/comm", "irqbalance")]);
        assert!(irq_balance(&planted.tree).is_none());
        planted.write("proc/18/comm", "irqbalance");
        assert_eq!(irq_balance(&planted.tree).unwrap().command.as_deref(), Some("systemctl stop irqbalance"));
    }

    #[test]
    fn what_preflight_misses_stands_in_the_way() {
        let report = preflight::Report::collect();
        let rows = preflight_rows(&report);
        assert_eq!(rows.len(), report.items.len());
        assert_eq!(rows.iter().any(|row| row.verdict == Verdict::StandsInTheWay), !report.is_ok());
    }
}
