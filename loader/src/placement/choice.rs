//! Choice: which CPUs workers get. A function of what is described, nothing is asked or changed here.

use super::rivals::Rival;
use super::topology::{Cpu, Topology};

/// What counts against a CPU, the weightiest first; the lowest is chosen.
type Drawbacks = (Workers, IsFar, OnCore, IsFirst, usize);

/// Workers of other gateways on the CPU itself.
type Workers = usize;

/// Not on the node where the ports are.
type IsFar = bool;

/// Workers, of this gateway or others, on other CPUs of its core.
type OnCore = usize;

/// CPU 0, where kernels put what has no other place: interrupts, timers.
type IsFirst = bool;

/// The CPUs of so many workers, worker 0 first, no CPU twice; fewer where there are fewer CPUs.
///
/// `near` is the node where the ports are. Without one, all are on the node of the first as far as there is room.
pub(crate) fn choose(
    topology: &Topology,
    near: Option<usize>,
    rivals: &[Rival],
    workers: usize,
) -> Vec<usize> {
    let mut chosen: Vec<usize> = Vec::with_capacity(workers);
    while chosen.len() < workers {
        let near = near.or_else(|| topology.node_of(*chosen.first()?));
        let free = topology.cpus.iter().filter(|cpu| !chosen.contains(&cpu.id));
        let Some(best) = free.min_by_key(|cpu| drawbacks(cpu, near, rivals, &chosen)) else { break };
        chosen.push(best.id);
    }
    chosen
}

fn drawbacks(cpu: &Cpu, near: Option<usize>, rivals: &[Rival], chosen: &[usize]) -> Drawbacks {
    let is_beside = |other: &usize| *other != cpu.id && cpu.siblings.contains(other);
    let of_others = || rivals.iter().map(|rival| rival.cpu);
    let on_cpu = of_others().filter(|other| *other == cpu.id).count();
    let on_core = of_others().chain(chosen.iter().copied()).filter(is_beside).count();
    let is_far = near.is_some_and(|near| cpu.node != Some(near));
    (on_cpu, is_far, on_core, cpu.id == 0, cpu.id)
}

#[cfg(test)]
mod tests {
    use super::super::topology::tests::two_nodes;
    use super::*;
    use crate::tree::Tree;
    use crate::tree::tests::Planted;

    /// A machine without hyper-threads.
    fn one_node(cpus: usize) -> Planted {
        Planted::new(&[("sys/devices/system/node/node0/cpulist", &format!("0-{}", cpus - 1))])
    }

    fn rivals(cpus: &[usize]) -> Vec<Rival> {
        (100..).zip(cpus).map(|(pid, &cpu)| Rival { pid, cpu }).collect()
    }

    /// The choice on a machine of which all these CPUs may be used.
    fn chosen(
        tree: &Tree,
        allowed: &[usize],
        near: Option<usize>,
        taken: &[usize],
        workers: usize,
    ) -> Vec<usize> {
        choose(&Topology::read(tree, allowed), near, &rivals(taken), workers)
    }

    const ALL: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

    #[test]
    fn gateways_of_a_small_machine_take_a_free_cpu_each_and_then_the_one_with_the_fewest_workers() {
        let machine = one_node(2);
        let next = |taken: &[usize]| chosen(&machine.tree, &[0, 1], None, taken, 1);
        assert_eq!(next(&[]), [1], "CPU 0 last");
        assert_eq!(next(&[1]), [0]);
        assert_eq!(next(&[1, 0]), [1]);
        assert_eq!(next(&[1, 0, 1]), [0]);
    }

    #[test]
    fn workers_are_next_to_the_ports_one_per_core_first() {
        let machine = two_nodes();
        let on = |near, workers| chosen(&machine.tree, &ALL, Some(near), &[], workers);
        assert_eq!(on(1, 2), [2, 3]);
        assert_eq!(on(1, 4), [2, 3, 6, 7], "then the second CPU of each core");
        assert_eq!(on(0, 4), [1, 4, 5, 0], "core of CPU 0 by its other CPU, and CPU 0 last");
        assert_eq!(on(1, 6), [2, 3, 6, 7, 1, 4], "then the other node");
        assert_eq!(on(1, 9).len(), 8, "no CPU twice");
    }

    #[test]
    fn ports_without_a_node_keep_the_workers_on_one() {
        let machine = two_nodes();
        assert_eq!(chosen(&machine.tree, &ALL, None, &[], 3), [1, 4, 5]);
        assert_eq!(chosen(&machine.tree, &ALL, None, &[1, 4, 5, 0], 3), [2, 3, 6]);
    }

    #[test]
    fn a_cpu_that_may_not_be_used_is_not_chosen() {
        let machine = two_nodes();
        assert_eq!(chosen(&machine.tree, &[0, 5, 6], Some(1), &[], 3), [6, 5, 0]);
        assert_eq!(chosen(&machine.tree, &[0, 4], Some(1), &[], 1), [4], "none is near");
    }

    #[test]
    fn a_cpu_with_a_worker_of_another_gateway_is_worse_than_a_far_one_and_its_sibling_than_a_free_core() {
        let machine = two_nodes();
        let on = |taken: &[usize], workers| chosen(&machine.tree, &ALL, Some(1), taken, workers);
        assert_eq!(on(&[2], 1), [3]);
        assert_eq!(on(&[2, 3], 2), [6, 7]);
        assert_eq!(on(&[2, 7], 2), [3, 6], "every core has one");
        assert_eq!(on(&[2, 3, 6, 7], 2), [1, 4], "a free CPU of the other node");
        assert_eq!(on(&[0, 1, 2, 3, 4, 5, 6, 7, 2], 1), [3], "all have one, CPU 2 has two");
    }

    #[test]
    fn rivals_elsewhere_do_not_matter() {
        let machine = one_node(4);
        assert_eq!(chosen(&machine.tree, &[2, 3], None, &[0, 1, 9], 2), [2, 3]);
        assert_eq!(chosen(&machine.tree, &[], None, &[], 2), [0; 0]);
    }
}
