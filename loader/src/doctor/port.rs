//! What can be found out about an interface, as plain values; [`port_rows`](super::port_rows) judges them.
//!
//! What the driver does not tell is `None`, and so is everything from `/sys/class/net` when that shows another network namespace.

use ebpf::abi;
use xsk::nic::{
    Channels, Coalescing, Ethtool, Feature, Flow, HashFields, QueueInterrupt, ReceiveSpread, RingSizes,
    XdpCapabilities, queue_interrupts, xdp_capabilities,
};

use super::change::Interface;
use super::cpus;
use super::tree::Tree;
use crate::netlink::Link;
use crate::nic::{self, NicError, PortFacts};
use crate::placement::of_device;
use crate::program::Occupant;

/// What was found out about an interface.
#[derive(Clone, Debug)]
pub(super) struct Findings {
    pub(super) interface: Interface,
    pub(super) facts: PortFacts,
    pub(super) is_up: bool,
    pub(super) has_carrier: bool,
    /// Name of the kernel's bridge, bond or VRF that it is a member of.
    pub(super) controller: Option<String>,
    pub(super) occupant: Option<Occupant>,
    pub(super) xdp: Option<XdpCapabilities>,
    pub(super) channels: Option<Channels>,
    pub(super) rings: Option<RingSizes>,
    pub(super) coalescing: Option<Coalescing>,
    pub(super) spread: Option<ReceiveSpread>,
    /// Flows that the driver tells of, and what is hashed of each.
    pub(super) hashes: Vec<(Flow, HashFields)>,
    /// Features of the interface that matter, and their states.
    pub(super) features: Vec<(&'static str, Feature)>,
    /// Interrupts of receive queues, each with the CPUs that it may go to, and the one it does go to.
    pub(super) interrupts: Vec<Interrupt>,
    /// What only `/sys/class/net` tells; `None` when it shows another network namespace.
    pub(super) sysfs: Option<Sysfs>,
}

/// The interrupt of a receive queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interrupt {
    pub(super) queue: u32,
    pub(super) irq: u32,
    /// The CPUs that it goes to.
    pub(super) cpus: Vec<usize>,
}

/// What `/sys/class/net` tells of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sysfs {
    /// Units: megabits per second.
    pub(super) speed_mbps: Option<u32>,
    pub(super) numa_node: Option<u32>,
    /// CPUs next to the card.
    pub(super) near_cpus: Option<Vec<usize>>,
    pub(super) napi_defer_hard_irqs: Option<u64>,
    /// Units: nanoseconds.
    pub(super) gro_flush_timeout_ns: Option<u64>,
}

/// Features that are looked at.
const FEATURES: [&str; 10] = [
    "rx-lro",
    "rx-gro-hw",
    "rx-vlan-hw-parse",
    "rx-vlan-stag-hw-parse",
    "rx-ntuple-filter",
    "hw-tc-offload",
    "rx-hashing",
    "tx-checksum-ipv4",
    "tx-checksum-ipv6",
    "tx-checksum-ip-generic",
];

impl Findings {
    /// Looks at an interface.
    ///
    /// # Errors
    /// It is not Ethernet, or is gone.
    pub(super) fn look(link: &Link, controller: Option<String>, tree: &Tree) -> Result<Self, NicError> {
        let facts = PortFacts::read(link)?;
        let interface = Interface { name: link.name.clone(), ifindex: link.ifindex };
        let read = |source| NicError::Read { what: "features", interface: link.name.clone(), source };
        let ethtool = Ethtool::open(&link.name).map_err(read)?;
        // Whatever else the driver refuses to tell, it does not tell.
        let hash = |flow| Some((flow, ethtool.hash_fields(flow).ok()??));
        let feature = |name| Some((name, ethtool.feature(name).ok()??));
        let sysfs = Sysfs::look(link, tree);
        let interrupts = match queue_interrupts(link.ifindex) {
            Ok(told) if !told.is_empty() => told,
            _ if sysfs.is_some() => by_name(&link.name, tree),
            _ => Vec::new(),
        };
        Ok(Self {
            is_up: link.is_up,
            has_carrier: link.has_carrier,
            controller,
            occupant: occupant(link.ifindex),
            xdp: xdp_capabilities(link.ifindex).ok(),
            channels: ethtool.channels().ok().flatten(),
            rings: ethtool.ring_sizes().ok().flatten(),
            coalescing: ethtool.coalescing().ok().flatten(),
            spread: ethtool.receive_spread().ok().flatten(),
            hashes: [Flow::Udp4, Flow::Udp6, Flow::Ip4, Flow::Ip6].into_iter().filter_map(hash).collect(),
            features: FEATURES.into_iter().filter_map(feature).collect(),
            interrupts: interrupts.iter().filter_map(|interrupt| Interrupt::look(interrupt, tree)).collect(),
            interface,
            facts,
            sysfs,
        })
    }

    /// State of a feature that is looked at.
    pub(super) fn feature(&self, name: &str) -> Option<Feature> {
        self.features.iter().find(|(known, _)| *known == name).map(|(_, state)| *state)
    }

    /// What is hashed of a flow.
    pub(super) fn hash(&self, flow: Flow) -> Option<HashFields> {
        self.hashes.iter().find(|(known, _)| *known == flow).map(|(_, fields)| *fields)
    }
}

/// A program on the interface that is not a gateway's.
fn occupant(ifindex: u32) -> Option<Occupant> {
    let occupant = crate::program::present_program(ifindex).ok()??;
    (occupant.name.as_deref() != Some(abi::PROGRAM)).then_some(occupant)
}

/// Interrupts of receive queues by the names that drivers give them (`eth0-TxRx-0`, `virtio2-input.0`, `mlx5_comp0@pci:...`), where
/// the driver does not tell the kernel which is which.
fn by_name(interface: &str, tree: &Tree) -> Vec<QueueInterrupt> {
    let folder = |device: &str| format!("sys/class/net/{interface}/{device}/msi_irqs");
    let numbers = ["device", "device/.."].iter().flat_map(|device| tree.names(&folder(device)));
    let interrupt = |irq: String| {
        let actions = tree.text(&format!("sys/kernel/irq/{irq}/actions"))?;
        Some(QueueInterrupt { queue: queue_in(&actions)?, irq: irq.parse().ok()? })
    };
    let mut found: Vec<_> = numbers.filter_map(interrupt).collect();
    found.sort_unstable_by_key(|interrupt| (interrupt.queue, interrupt.irq));
    found.dedup_by_key(|interrupt| interrupt.queue);
    found
}

/// The receive queue that an interrupt's name says.
fn queue_in(name: &str) -> Option<u32> {
    let name = name.split('@').next()?;
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let is_rx = ["rx", "input", "comp"].iter().any(|word| stem.to_ascii_lowercase().contains(word));
    name.get(stem.len()..).filter(|_| is_rx)?.parse().ok()
}

impl Interrupt {
    fn look(interrupt: &QueueInterrupt, tree: &Tree) -> Option<Self> {
        let QueueInterrupt { queue, irq } = *interrupt;
        let file = |name: &str| cpus::read(&tree.text(&format!("proc/irq/{irq}/{name}"))?);
        let effective = file("effective_affinity_list").filter(|cpus| !cpus.is_empty());
        Some(Self { queue, irq, cpus: effective.or_else(|| file("smp_affinity_list"))? })
    }
}

impl Sysfs {
    fn look(link: &Link, tree: &Tree) -> Option<Self> {
        let folder = format!("sys/class/net/{}", link.name);
        let is_here = nic::is_shown(&tree.path(&folder), link.ifindex, link.mac);
        let of_device = |file: &str| of_device(tree, &link.name, file);
        is_here.then(|| Self {
            speed_mbps: tree.number(&format!("{folder}/speed")),
            // A machine of one node says -1.
            numa_node: of_device("numa_node").and_then(|node| node.parse().ok()),
            near_cpus: of_device("local_cpulist").and_then(|list| cpus::read(&list)),
            napi_defer_hard_irqs: tree.number(&format!("{folder}/napi_defer_hard_irqs")),
            gro_flush_timeout_ns: tree.number(&format!("{folder}/gro_flush_timeout")),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use wire::ethernet::MacAddr;

    use super::super::tree::tests::Planted;
    use super::*;

    /// A card with 2 of 8 queues in use, as a driver that tells everything describes it.
    pub(in crate::doctor) fn findings() -> Findings {
        let facts = PortFacts {
            interface: "eth1".into(),
            ifindex: 5,
            mac: MacAddr([2, 0, 0, 0, 0, 5]),
            mtu: 1500,
            driver: "igb".into(),
            bus: "0000:01:00.0".into(),
            rx_queues: 2,
            tx_queues: 2,
            hardware_rx_ring: Some(256),
            hardware_tx_ring: Some(256),
        };
        let sysfs = Sysfs {
            speed_mbps: Some(1000),
            numa_node: Some(0),
            near_cpus: Some(vec![0, 1, 2, 3]),
            napi_defer_hard_irqs: Some(0),
            gro_flush_timeout_ns: Some(0),
        };
        let indirection = (0..128).map(|place| place % 2).collect();
        Findings {
            interface: Interface { name: "eth1".into(), ifindex: 5 },
            facts,
            is_up: true,
            has_carrier: true,
            controller: None,
            occupant: None,
            xdp: Some(XdpCapabilities {
                native: true,
                zero_copy: true,
                zero_copy_segments: 1,
                ..XdpCapabilities::default()
            }),
            channels: Some(Channels { max_rx: 0, max_tx: 0, max_combined: 8, rx: 0, tx: 0, combined: 2 }),
            rings: Some(RingSizes { max_rx: 4096, max_tx: 512, rx: 256, tx: 256 }),
            coalescing: Some(Coalescing { adaptive_rx: true, rx_us: 250, rx_packets: 0 }),
            spread: Some(ReceiveSpread { function: "toeplitz", key_bytes: 40, indirection }),
            hashes: vec![
                (Flow::Udp4, HashFields::ADDRESSES),
                (Flow::Udp6, HashFields::ADDRESSES_AND_PORTS),
                (Flow::Ip4, HashFields::ADDRESSES),
            ],
            features: Vec::new(),
            interrupts: Vec::new(),
            sysfs: Some(sysfs),
        }
    }

    fn eth1(ifindex: u32, mac: [u8; 6]) -> Link {
        Link {
            ifindex,
            name: "eth1".into(),
            mac: Some(MacAddr(mac)),
            mtu: 1500,
            is_up: true,
            has_carrier: true,
            resolves_neighbours: true,
            is_loopback: false,
            kind: None,
            vlan: None,
            controller: None,
            rx_queue_count: 1,
            tx_queue_count: 1,
        }
    }

    /// `/sys/class/net/eth1` of a paravirtual card, which has its place one folder above.
    fn planted() -> Planted {
        let planted = Planted::new(&[
            ("sys/devices/pci/virtio2/features", "1"),
            ("sys/devices/pci/numa_node", "1"),
            ("sys/devices/pci/local_cpulist", "4-7"),
            ("sys/class/net/eth1/ifindex", "5"),
            ("sys/class/net/eth1/address", "02:00:00:00:00:05"),
            ("sys/class/net/eth1/speed", "1000"),
            ("sys/class/net/eth1/napi_defer_hard_irqs", "2"),
            ("sys/class/net/eth1/gro_flush_timeout", "200000"),
        ]);
        let device = planted.tree.path("sys/class/net/eth1/device");
        std::os::unix::fs::symlink(planted.tree.path("sys/devices/pci/virtio2"), device).unwrap();
        planted
    }

    #[test]
    fn an_interface_has_its_place_also_behind_a_paravirtual_device() {
        let expected = Sysfs {
            speed_mbps: Some(1000),
            numa_node: Some(1),
            near_cpus: Some(vec![4, 5, 6, 7]),
            napi_defer_hard_irqs: Some(2),
            gro_flush_timeout_ns: Some(200_000),
        };
        assert_eq!(Sysfs::look(&eth1(5, [2, 0, 0, 0, 0, 5]), &planted().tree), Some(expected));
    }

    #[test]
    fn a_folder_that_shows_another_interface_of_that_name_tells_nothing() {
        let planted = planted();
        assert_eq!(Sysfs::look(&eth1(6, [2, 0, 0, 0, 0, 5]), &planted.tree), None);
        assert_eq!(Sysfs::look(&eth1(5, [2, 0, 0, 0, 0, 6]), &planted.tree), None);
    }

    #[test]
    fn a_virtual_interface_without_a_link_speed_or_place_is_read_as_far_as_it_goes() {
        let planted = Planted::new(&[
            ("sys/class/net/eth1/ifindex", "5"),
            ("sys/class/net/eth1/address", "02:00:00:00:00:05"),
            ("sys/class/net/eth1/speed", "-1"),
        ]);
        let found = Sysfs::look(&eth1(5, [2, 0, 0, 0, 0, 5]), &planted.tree);
        assert_eq!(found, Some(Sysfs::default()));
    }

    #[test]
    fn interrupts_are_known_by_their_names_where_the_driver_does_not_tell() {
        for (name, queue) in [
            ("eth0-TxRx-3", Some(3)),
            ("ice-eth0-TxRx-12", Some(12)),
            ("eth0-Tx-Rx-0", Some(0)),
            ("virtio2-input.1", Some(1)),
            ("mlx5_comp7@pci:0000:01:00.0", Some(7)),
            ("virtio2-output.1", None),
            ("virtio2-config", None),
            ("eth0-rx", None),
            ("eth0", None),
        ] {
            assert_eq!(queue_in(name), queue, "{name}");
        }
        let planted = planted();
        for (irq, name) in [("38", "virtio2-input.0"), ("39", "virtio2-output.0"), ("37", "virtio2-config")] {
            planted.write(&format!("sys/devices/pci/msi_irqs/{irq}"), "msix");
            planted.write(&format!("sys/kernel/irq/{irq}/actions"), name);
        }
        assert_eq!(by_name("eth1", &planted.tree), [QueueInterrupt { queue: 0, irq: 38 }]);
    }

    #[test]
    fn the_cpus_of_an_interrupt_are_those_that_it_goes_to() {
        let planted = Planted::new(&[
            ("proc/irq/38/smp_affinity_list", "0-3"),
            ("proc/irq/38/effective_affinity_list", "2"),
            ("proc/irq/39/smp_affinity_list", "0-3"),
        ]);
        let look = |irq| Interrupt::look(&QueueInterrupt { queue: 1, irq }, &planted.tree);
        assert_eq!(look(38), Some(Interrupt { queue: 1, irq: 38, cpus: vec![2] }));
        assert_eq!(look(39), Some(Interrupt { queue: 1, irq: 39, cpus: vec![0, 1, 2, 3] }));
        assert_eq!(look(40), None);
    }
}
