//! Placement: the CPUs of workers, and the NUMA node that everything of a gateway is on.
//!
//! ```text
//!  /sys: CPUs, cores, nodes -> topology --+
//!  /sys: the ports' cards   -> near node -+-> choice -> Placement -> main thread's CPUs, workers' CPUs, warnings
//!  /proc: other gateways    -> rivals ----+
//! ```
//! Place on the path: before it, once per start, and in `worker show` and `doctor`. While a gateway chooses, it holds the [`Turn`] of its
//! runtime directory, so that two that start at the same time do not choose the same.
//! Not here: how many workers there are (the supervisor), and binding them ([`dataplane::worker::pin`]).

mod choice;
pub(crate) mod cpu_list;
mod rivals;
mod topology;
mod turn;

use rustix::thread::{CpuSet, sched_setaffinity};

pub(crate) use rivals::{Rival, WORKER_THREAD, look as look_for_rivals};
pub(crate) use topology::{most_common, of_device};
pub(crate) use turn::Turn;

use topology::Topology;

use crate::config::Port;
use crate::nic::PortFacts;
use crate::tree::Tree;

/// What a gateway has to know to choose.
#[derive(Debug)]
pub(crate) struct Surroundings {
    topology: Topology,
    /// The node where the ports are.
    near: Option<usize>,
    rivals: Vec<Rival>,
}

/// The CPU of each worker, worker 0 first.
#[derive(Debug)]
pub(crate) struct Placement {
    pub(crate) cpus: Vec<usize>,
    surroundings: Surroundings,
}

impl Surroundings {
    /// Looks at the machine, for a gateway on these ports whose process may use these CPUs.
    pub(crate) fn look(tree: &Tree, allowed: &[usize], ports: &[(&Port, PortFacts)]) -> Self {
        Self::near(tree, allowed, topology::near_node(tree, ports))
    }

    /// The same for ports on this node.
    pub(crate) fn near(tree: &Tree, allowed: &[usize], near: Option<usize>) -> Self {
        let rivals = look_for_rivals(tree, std::process::id());
        Self { topology: Topology::read(tree, allowed), near, rivals }
    }

    /// The best CPUs for so many workers.
    pub(crate) fn choose(self, workers: usize) -> Placement {
        Placement {
            cpus: choice::choose(&self.topology, self.near, &self.rivals, workers),
            surroundings: self,
        }
    }

    /// CPUs that somebody else chose.
    pub(crate) fn with(self, cpus: Vec<usize>) -> Placement {
        Placement { cpus, surroundings: self }
    }
}

impl Placement {
    /// What is not as good as it could be, a sentence each.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let shared = self.cpus.iter().filter_map(|&cpu| sharing(cpu, &self.surroundings.rivals));
        shared.chain(self.distance()).chain(self.homelessness()).collect()
    }

    /// Workers that are not where the ports are.
    fn distance(&self) -> Option<String> {
        let Surroundings { topology, near, .. } = &self.surroundings;
        let near = (*near)?;
        let is_far = |cpu: &usize| topology.node_of(*cpu).is_some_and(|node| node != near);
        let mut far: Vec<usize> = self.cpus.iter().copied().filter(is_far).collect();
        far.sort_unstable();
        let (list, here) = (cpu_list::write(&far), cpu_list::write(&topology.of_node(near)));
        let here = if here.is_empty() { "none" } else { &here };
        (!far.is_empty()).then(|| {
            format!(
                "workers on CPU {list} are not on NUMA node {near}, where the ports are: frames cross between the memory of two nodes; \
                 of that node this process may use: {here}"
            )
        })
    }

    /// Workers whose node the main thread cannot keep to.
    fn homelessness(&self) -> Option<String> {
        let node = self.node()?;
        self.surroundings.topology.of_node(node).is_empty().then(|| {
            format!(
                "the main thread may use no CPU of NUMA node {node}, where all workers are: frame memory may lie on another; \
                 start spanwire with one of its CPUs allowed (`taskset`, `CPUAffinity=`)"
            )
        })
    }

    /// The node of all workers; `None` on a machine of one node, and when they are on several.
    fn node(&self) -> Option<usize> {
        let topology = &self.surroundings.topology;
        let mut nodes = self.cpus.iter().map(|cpu| topology.node_of(*cpu));
        let first = nodes.next().flatten()?;
        (topology.has_nodes() && nodes.all(|node| node == Some(first))).then_some(first)
    }

    /// The CPUs that the main thread should keep to, so that what it allocates lies on the workers' node, frame memory first; none where all
    /// are as good.
    pub(crate) fn home(&self) -> Vec<usize> {
        self.node().map(|node| self.surroundings.topology.of_node(node)).unwrap_or_default()
    }

    /// In words, for the log.
    pub(crate) fn text(&self) -> String {
        let node = |cpu: &usize| self.surroundings.topology.node_of(*cpu);
        let one = |(worker, cpu): (usize, &usize)| match node(cpu)
            .filter(|_| self.surroundings.topology.has_nodes())
        {
            Some(node) => format!("worker {worker} on CPU {cpu} of NUMA node {node}"),
            None => format!("worker {worker} on CPU {cpu}"),
        };
        self.cpus.iter().enumerate().map(one).collect::<Vec<_>>().join(", ")
    }
}

/// What there is to say about a CPU that also has workers of other gateways; `None` when it has none.
pub(crate) fn sharing(cpu: usize, rivals: &[Rival]) -> Option<String> {
    let others: Vec<String> =
        rivals.iter().filter(|rival| rival.cpu == cpu).map(|rival| rival.pid.to_string()).collect();
    let (process, workers) = match others.len() {
        0 => return None,
        1 => ("process", "a worker"),
        _ => ("processes", "workers"),
    };
    Some(format!(
        "CPU {cpu} also has {workers} of another gateway, {process} {}: they wait for each other; another `gateway.cpus`, or fewer workers",
        others.join(", ")
    ))
}

/// Keeps the calling thread, and all that it starts, to these CPUs.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn keep_to(cpus: &[usize]) -> rustix::io::Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().filter(|cpu| **cpu < CpuSet::MAX_CPU).for_each(|cpu| set.set(*cpu));
    sched_setaffinity(None, &set)
}

#[cfg(test)]
mod tests {
    use super::topology::tests::two_nodes;
    use super::*;
    use crate::tree::tests::Planted;

    /// A gateway on ports of node 1, which may use these CPUs.
    fn surroundings(tree: &Tree, allowed: &[usize], taken: &[(u32, usize)]) -> Surroundings {
        let rivals = taken.iter().map(|&(pid, cpu)| Rival { pid, cpu }).collect();
        Surroundings { rivals, ..Surroundings::near(tree, allowed, Some(1)) }
    }

    #[test]
    fn chosen_cpus_that_are_free_and_near_give_no_warning() {
        let machine = two_nodes();
        let placement = surroundings(&machine.tree, &[0, 1, 2, 3], &[(9, 0)]).choose(2);
        assert_eq!((placement.cpus.as_slice(), placement.warnings().len()), (&[2, 3][..], 0));
        assert_eq!(placement.text(), "worker 0 on CPU 2 of NUMA node 1, worker 1 on CPU 3 of NUMA node 1");
    }

    #[test]
    fn a_shared_cpu_is_told_with_the_processes_that_have_it_also_when_it_was_configured() {
        let machine = two_nodes();
        let placement = surroundings(&machine.tree, &[2], &[(9, 2)]).choose(1);
        assert!(
            placement.warnings()[0].starts_with("CPU 2 also has a worker of another gateway, process 9:")
        );
        let placement = surroundings(&machine.tree, &[2, 3], &[(9, 3), (11, 3)]).with(vec![3, 2]);
        let warnings = placement.warnings();
        assert!(
            warnings[0].starts_with("CPU 3 also has workers of another gateway, processes 9, 11:"),
            "{warnings:?}"
        );
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn workers_away_from_the_ports_are_told_with_what_there_is_near_them() {
        let machine = two_nodes();
        let warning = |allowed: &[usize], workers| {
            surroundings(&machine.tree, allowed, &[]).choose(workers).warnings().remove(0)
        };
        let told = warning(&[0, 1, 3], 3);
        assert!(
            told.starts_with("workers on CPU 0-1 are not on NUMA node 1") && told.ends_with("may use: 3"),
            "{told}"
        );
        assert!(warning(&[0, 1], 1).ends_with("may use: none"));
    }

    #[test]
    fn the_main_thread_stays_where_all_workers_are() {
        let machine = two_nodes();
        let home =
            |cpus: &[usize]| surroundings(&machine.tree, &[0, 1, 2, 3, 6], &[]).with(cpus.to_vec()).home();
        assert_eq!(home(&[3, 2]), [2, 3, 6]);
        assert_eq!(home(&[0]), [0, 1]);
        assert_eq!(home(&[0, 2]), [0; 0], "workers on both");
        assert_eq!(home(&[7]), [2, 3, 6], "kept free for workers, as `isolcpus` does");
        let small = Planted::new(&[("sys/devices/system/node/node0/cpulist", "0-1")]);
        assert_eq!(surroundings(&small.tree, &[0, 1], &[]).with(vec![1]).home(), [0; 0], "one node");
    }

    #[test]
    fn a_main_thread_that_cannot_be_where_the_workers_are_is_told() {
        let machine = two_nodes();
        let placement = surroundings(&machine.tree, &[0, 1], &[]).with(vec![2, 3]);
        assert_eq!(placement.home(), [0; 0]);
        let warnings = placement.warnings();
        assert!(warnings[0].starts_with("the main thread may use no CPU of NUMA node 1"), "{warnings:?}");
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn a_thread_keeps_to_the_cpus_that_it_is_told() {
        let allowed = dataplane::worker::pin::allowed_cpus;
        std::thread::spawn(move || {
            let last = *allowed().last().unwrap();
            keep_to(&[last, CpuSet::MAX_CPU]).unwrap();
            assert_eq!(allowed(), [last]);
            assert!(keep_to(&[]).is_err() && allowed() == [last]);
        })
        .join()
        .unwrap();
    }
}
