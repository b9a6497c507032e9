//! Topology: which CPUs there are, which of them share a core, and on which NUMA node they and the ports are.

use super::cpu_list;
use crate::config::Port;
use crate::nic::{self, PortFacts};
use crate::tree::Tree;

/// A CPU that this process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// The kernel's number.
    pub(crate) id: usize,
    /// Its NUMA node; `None` where the kernel has none.
    pub(crate) node: Option<usize>,
    /// The CPUs of its core, itself among them.
    pub(crate) siblings: Vec<usize>,
}

/// The CPUs that this process may use, and the NUMA nodes of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Topology {
    /// In ascending order.
    pub(crate) cpus: Vec<Cpu>,
    /// Nodes that have CPUs, with all of them, also those that this process may not use.
    nodes: Vec<(usize, Vec<usize>)>,
}

impl Topology {
    /// Reads it. What the kernel does not tell is taken for one node, and for cores of one CPU.
    pub(crate) fn read(tree: &Tree, allowed: &[usize]) -> Self {
        let nodes = nodes(tree);
        let cpu = |&id: &usize| Cpu { id, node: node_in(&nodes, id), siblings: siblings(tree, id) };
        Self { cpus: allowed.iter().map(cpu).collect(), nodes }
    }

    /// Whether CPUs are on several nodes.
    pub(crate) fn has_nodes(&self) -> bool {
        self.nodes.len() > 1
    }

    /// A CPU's node, whether or not this process may use it.
    pub(crate) fn node_of(&self, id: usize) -> Option<usize> {
        node_in(&self.nodes, id)
    }

    /// The CPUs of a node that this process may use.
    pub(crate) fn of_node(&self, node: usize) -> Vec<usize> {
        self.cpus.iter().filter(|cpu| cpu.node == Some(node)).map(|cpu| cpu.id).collect()
    }
}

fn node_in(nodes: &[(usize, Vec<usize>)], cpu: usize) -> Option<usize> {
    nodes.iter().find(|(_, cpus)| cpus.contains(&cpu)).map(|(node, _)| *node)
}

/// Nodes that have CPUs.
fn nodes(tree: &Tree) -> Vec<(usize, Vec<usize>)> {
    const NODES: &str = "sys/devices/system/node";
    let node = |name: String| {
        let cpus = cpu_list::read(&tree.text(&format!("{NODES}/{name}/cpulist"))?)?;
        Some((name.strip_prefix("node")?.parse().ok()?, cpus)).filter(|(_, cpus)| !cpus.is_empty())
    };
    tree.names(NODES).into_iter().filter_map(node).collect()
}

fn siblings(tree: &Tree, cpu: usize) -> Vec<usize> {
    let file = format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    let told = tree.text(&file).and_then(|list| cpu_list::read(&list));
    told.filter(|cpus| cpus.contains(&cpu)).unwrap_or_else(|| vec![cpu])
}

/// A small file of an interface's device. A paravirtual card stands one below the device that has the place.
pub(crate) fn of_device(tree: &Tree, interface: &str, file: &str) -> Option<String> {
    let path = |device: &str| format!("sys/class/net/{interface}/{device}/{file}");
    ["device", "device/.."].iter().find_map(|device| tree.text(&path(device)))
}

/// The NUMA node of an interface's card; `None` of a virtual one, and where the machine does not tell.
pub(crate) fn node_of_port(tree: &Tree, facts: &PortFacts) -> Option<usize> {
    let PortFacts { interface, ifindex, mac, bus, .. } = facts;
    let folder = tree.path(&format!("sys/class/net/{interface}"));
    // That folder shows one network namespace, that of the bus all of them.
    let of_class = || of_device(tree, interface, "numa_node");
    let of_bus = || tree.text(&format!("sys/bus/pci/devices/{bus}/numa_node"));
    let told = nic::is_shown(&folder, *ifindex, Some(*mac)).then(of_class).flatten().or_else(of_bus);
    // A machine of one node says -1.
    told?.parse().ok()
}

/// The node next to the ports: that of most of them, of most underlay ports where there are as many; `None` when no port has one.
pub(crate) fn near_node(tree: &Tree, ports: &[(&Port, PortFacts)]) -> Option<usize> {
    let placed =
        |(port, facts): &(&Port, PortFacts)| Some((port.role.is_underlay(), node_of_port(tree, facts)?));
    most_common(&ports.iter().filter_map(placed).collect::<Vec<_>>())
}

/// The node that occurs most; on a tie that of more underlay ports, which are marked; then the lowest.
pub(crate) fn most_common(ports: &[(bool, usize)]) -> Option<usize> {
    let votes = |node: usize| {
        let of_node = || ports.iter().filter(move |(_, one)| *one == node);
        (of_node().count(), of_node().filter(|(is_underlay, _)| *is_underlay).count())
    };
    ports.iter().map(|(_, node)| *node).max_by_key(|&node| (votes(node), std::cmp::Reverse(node)))
}

#[cfg(test)]
pub(super) mod tests {
    use wire::ethernet::MacAddr;

    use super::*;
    use crate::tree::tests::Planted;

    /// Files of a machine with two nodes, two cores each, two CPUs per core, numbered as servers do: siblings are four apart.
    pub(crate) fn two_nodes() -> Planted {
        let planted = Planted::new(&[
            ("sys/devices/system/node/node0/cpulist", "0-1,4-5"),
            ("sys/devices/system/node/node1/cpulist", "2-3,6-7"),
            ("sys/devices/system/node/node2/cpulist", ""),
            ("sys/devices/system/node/online", "0-2"),
        ]);
        for cpu in 0..8 {
            let siblings = format!("{},{}", cpu % 4, cpu % 4 + 4);
            planted
                .write(&format!("sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"), &siblings);
        }
        planted
    }

    fn facts(interface: &str, ifindex: u32, bus: &str) -> PortFacts {
        PortFacts {
            interface: interface.into(),
            ifindex,
            mac: MacAddr([2, 0, 0, 0, 0, 5]),
            mtu: 1500,
            driver: "igb".into(),
            bus: bus.into(),
            rx_queues: 2,
            tx_queues: 2,
            hardware_rx_ring: None,
            hardware_tx_ring: None,
        }
    }

    #[test]
    fn cpus_have_their_node_and_their_core() {
        let topology = Topology::read(&two_nodes().tree, &[1, 6]);
        let cpu = |id, node, siblings: [usize; 2]| Cpu { id, node: Some(node), siblings: siblings.to_vec() };
        assert_eq!(topology.cpus, [cpu(1, 0, [1, 5]), cpu(6, 1, [2, 6])]);
        assert_eq!(topology.nodes.len(), 2, "a node of memory alone is not one of CPUs");
        assert_eq!([1, 2, 9].map(|cpu| topology.node_of(cpu)), [Some(0), Some(1), None]);
        assert_eq!((topology.of_node(0), topology.of_node(7)), (vec![1], vec![]));
    }

    #[test]
    fn a_kernel_that_tells_nothing_has_cores_of_one_cpu_and_no_nodes() {
        let topology = Topology::read(&Planted::new(&[]).tree, &[0, 3]);
        let cpu = |id| Cpu { id, node: None, siblings: vec![id] };
        assert_eq!(topology.cpus, [cpu(0), cpu(3)]);
        assert!(!topology.has_nodes());
    }

    #[test]
    fn a_card_is_found_by_its_name_where_that_is_shown_else_by_its_bus() {
        let planted = Planted::new(&[
            ("sys/class/net/eth1/ifindex", "5"),
            ("sys/class/net/eth1/address", "02:00:00:00:00:05"),
            ("sys/class/net/eth1/device/numa_node", "1"),
            ("sys/class/net/eth2/ifindex", "6"),
            ("sys/class/net/eth2/address", "02:00:00:00:00:05"),
            ("sys/bus/pci/devices/0000:01:00.0/numa_node", "0"),
            ("sys/bus/pci/devices/0000:02:00.0/numa_node", "-1"),
        ]);
        let node = |interface, ifindex, bus| node_of_port(&planted.tree, &facts(interface, ifindex, bus));
        assert_eq!(node("eth1", 5, "0000:01:00.0"), Some(1));
        assert_eq!(node("eth1", 7, "0000:01:00.0"), Some(0), "another namespace's eth1 is shown");
        assert_eq!(node("eth2", 6, "0000:02:00.0"), None, "one node");
        assert_eq!(node("eth2", 6, ""), None, "virtual");
    }

    #[test]
    fn the_node_of_most_ports_is_near_and_the_underlay_decides_a_tie() {
        let (access, underlay) = (false, true);
        assert_eq!(most_common(&[]), None);
        assert_eq!(most_common(&[(access, 1), (underlay, 0), (access, 1)]), Some(1));
        assert_eq!(most_common(&[(access, 0), (underlay, 1)]), Some(1));
        assert_eq!(most_common(&[(underlay, 1), (access, 0)]), Some(1));
        assert_eq!(most_common(&[(access, 1), (access, 0)]), Some(0), "else the lowest");
    }
}
