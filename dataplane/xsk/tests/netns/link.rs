//! What a port sets on its interface, on a veth.

use xsk::nic::{Ethtool, Promiscuous};

use super::world::World;

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_interface_is_promiscuous_until_the_holder_is_dropped() {
    World::enter(|world| {
        let shown = || world.ip("-d link show a0");
        assert!(shown().contains("promiscuity 0"));
        let first = Promiscuous::enter(world.ifindex("a0")).unwrap();
        let second = Promiscuous::enter(world.ifindex("a0")).unwrap();
        assert!(shown().contains("promiscuity 2"));
        drop(first);
        assert!(shown().contains("promiscuity 1"));
        drop(second);
        assert!(shown().contains("promiscuity 0"));
        assert_eq!(Promiscuous::enter(9999).unwrap_err().raw_os_error(), Some(libc::ENODEV));
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_veth_tells_its_driver_and_its_queues() {
    World::enter(|world| {
        world.ip("link add c0 numrxqueues 4 numtxqueues 2 type veth peer name c1");
        let link = Ethtool::open("c0").unwrap();
        assert_eq!(link.driver().unwrap().name, "veth");
        let channels = link.channels().unwrap().expect("veth tells its channels");
        assert_eq!((channels.max_rx, channels.max_tx, channels.max_combined), (4, 2, 0));
        assert_eq!((channels.rx_queues(), channels.tx_queues()), (4, 2));
        assert_eq!(link.ring_sizes().unwrap(), None, "veth has no hardware rings");
        assert_eq!(Ethtool::open("nowhere").unwrap_err().raw_os_error(), Some(libc::ENODEV));
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn features_are_switched_off_and_on_by_name() {
    World::enter(|_| {
        let link = Ethtool::open("a0").unwrap();
        assert!(link.feature_names().iter().any(|name| name == "rx-gro"));
        for name in ["rx-gro", "tx-checksumming"] {
            for on in [false, true, false] {
                let state = link.set_feature(name, on).unwrap().expect("the kernel knows it");
                assert_eq!(state.active, on, "{name}");
                assert_eq!(link.feature(name).unwrap(), Some(state));
            }
        }
        let checksums: Vec<bool> = ["tx-checksum-ip-generic", "tx-checksum-sctp"]
            .map(|name| link.feature(name).unwrap().unwrap().active)
            .into();
        assert_eq!(checksums, [false, false], "the group switches its members");
        assert_eq!(link.feature("rx-teleport").unwrap(), None);
        assert_eq!(link.set_feature("rx-teleport", true).unwrap(), None);
    });
}
