//! An interface is prepared for its port, shown, and put back: on drop, and by the next start after a kill.

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that fails")]

#[path = "netns_net_support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};
use loader::netlink::{Link, Network, NetworkOptions};
use loader::nic::{Change, Leftover, NicError, NicKeeper, PortFacts, PortNeeds, PreparedPort};
use loader::program::AttachMode;
use netlab::Process;
use support::{Lab, Machine, Rerun};
use tokio::runtime::Runtime;
use xsk::nic::Ethtool;

const GENERIC_ACCESS: PortNeeds = PortNeeds { is_access: true, mode: AttachMode::Generic };
/// What veth has switched on of what a generic access port needs off, once GRO was asked for.
const SWITCHED: [&str; 3] = ["rx-vlan-hw-parse", "rx-vlan-stag-hw-parse", "rx-gro"];

/// Index of `eth1` wherever it is.
const INDEX: u32 = 102;

/// A machine with an interface of two queues that is switched as wanted, and a runtime directory.
struct Site {
    gateway: Machine,
    directory: PathBuf,
    lab: Lab,
}

impl Site {
    fn new() -> Self {
        let lab = Lab::new("netnic");
        let gateway = machine_with_eth1(&lab, "gw", "02:00:00:00:00:01");
        Self { gateway, directory: lab.folder("run"), lab }
    }

    fn inside(&self, work: impl FnOnce(&Self, Link) + Send) {
        self.gateway.inside(|runtime| work(self, link(runtime)));
    }

    fn prepare(&self, link: &Link, needs: PortNeeds) -> (NicKeeper, PreparedPort) {
        let (keeper, leftovers) = self.open();
        assert_eq!(leftovers, []);
        let port = keeper.prepare(link, needs).unwrap();
        (keeper, port)
    }

    fn open(&self) -> (NicKeeper, Vec<Leftover>) {
        NicKeeper::open(&self.directory, "gw-a").unwrap()
    }

    fn journal(&self) -> PathBuf {
        self.directory.join("gw-a.nic")
    }

    /// Names of the files in the runtime directory.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A gateway in a process of its own, which has switched `eth1`. `test` has to begin with [`be_the_gateway`].
    fn start_gateway(&self, test: &str) -> Process {
        let process = Rerun::start(&self.lab, &self.gateway, test, self.directory.to_str().unwrap());
        self.gateway.inside(|_runtime| assert_eq!(states("eth1"), [false; 3]));
        process
    }
}

/// A machine with an interface `eth1` of this address, with everything on that can be switched off.
fn machine_with_eth1(lab: &Lab, name: &str, mac: &str) -> Machine {
    let machine = lab.machine(name);
    add_eth1(&machine, mac);
    machine
}

fn add_eth1(machine: &Machine, mac: &str) {
    machine.ip(&format!(
        "link add eth1 index {INDEX} address {mac} numrxqueues 2 numtxqueues 2 type veth peer name far"
    ));
    machine.ip("link set eth1 up");
    machine.ethtool("-K eth1 gro on").unwrap();
}

/// In the second run: switches `eth1` and waits to be killed.
fn be_the_gateway() {
    if let Some(directory) = Rerun::argument() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (keeper, _) = NicKeeper::open(Path::new(&directory), "gw-a").unwrap();
        let _port = keeper.prepare(&link(&runtime), GENERIC_ACCESS).unwrap();
        Rerun::ready_to_be_killed();
    }
}

fn link(runtime: &Runtime) -> Link {
    let network = runtime.block_on(Network::open(NetworkOptions::default())).unwrap();
    network.with_view(|view| view.link_by_name("eth1").unwrap().clone())
}

fn states(interface: &str) -> Vec<bool> {
    let ethtool = Ethtool::open(interface).unwrap();
    SWITCHED.iter().map(|name| ethtool.feature(name).unwrap().unwrap().active).collect()
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_generic_access_port_is_prepared_shown_and_put_back() {
    Site::new().inside(|site, link| {
        assert_eq!(states("eth1"), [true; 3]);
        let (_keeper, port) = site.prepare(&link, GENERIC_ACCESS);
        assert_eq!(states("eth1"), [false; 3]);
        let switched = SWITCHED.map(|name| Change { feature: name.into(), before: true, now: false });
        assert_eq!(port.changes()[..3], switched);
        assert_eq!(port.changes()[3].feature, "promiscuous");
        assert!(port.changes().iter().all(|change| !change.is_unmet()));
        let detail = site.gateway.ip("-d link show dev eth1");
        assert!(detail.contains("promiscuity 1"), "{detail}");
        assert!(site.journal().exists());
        drop(port);
        assert_eq!(states("eth1"), [true; 3]);
        assert!(site.gateway.ip("-d link show dev eth1").contains("promiscuity 0"));
        assert!(!site.journal().exists());
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_native_underlay_port_is_left_as_it_is() {
    Site::new().inside(|site, link| {
        let (_keeper, port) = site.prepare(&link, PortNeeds { is_access: false, mode: AttachMode::Native });
        assert_eq!(port.changes(), []);
        assert_eq!(states("eth1"), [true; 3]);
        assert!(site.gateway.ip("-d link show dev eth1").contains("promiscuity 0"));
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn what_a_killed_gateway_left_is_put_back_by_the_next_start() {
    be_the_gateway();
    let site = Site::new();
    let gateway = site.start_gateway("what_a_killed_gateway_left_is_put_back_by_the_next_start");
    site.inside(|site, _link| {
        let error = NicKeeper::open(&site.directory, "gw-a").unwrap_err();
        assert!(matches!(error, NicError::AlreadyRunning { .. }), "{error}");
        gateway.kill().unwrap();
        assert_eq!(states("eth1"), [false; 3]);
        let detail = site.gateway.ip("-d link show dev eth1");
        assert!(detail.contains("promiscuity 0"), "the kernel ends that itself: {detail}");
        // Renamed meanwhile: it is known by its index, and told with its present name.
        site.gateway.ip("link set eth1 down");
        site.gateway.ip("link set eth1 name lan0");
        let (keeper, leftovers) = site.open();
        let told = leftovers.iter().map(|left| (left.interface.as_str(), left.feature.as_str()));
        assert_eq!(told.collect::<Vec<_>>(), SWITCHED.map(|feature| ("lan0", feature)));
        assert_eq!(states("lan0"), [true; 3]);
        drop(keeper);
        assert_eq!(site.files(), [""; 0]);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_interface_of_another_namespace_is_left_alone_though_index_and_address_are_the_same() {
    be_the_gateway();
    let site = Site::new();
    let test = "an_interface_of_another_namespace_is_left_alone_though_index_and_address_are_the_same";
    site.start_gateway(test).kill().unwrap();
    let elsewhere = machine_with_eth1(&site.lab, "other", "02:00:00:00:00:01");
    elsewhere.ethtool("-K eth1 gro off rxvlan off").unwrap();
    elsewhere.inside(|_runtime| {
        let before = states("eth1");
        assert!(before.contains(&false));
        let (keeper, leftovers) = site.open();
        assert_eq!((leftovers, states("eth1")), (vec![], before));
        drop(keeper);
    });
    assert_eq!(site.files(), ["gw-a.nic"]);
    // At home it is put back after all.
    site.inside(|site, _link| {
        assert_eq!(site.open().1.len(), SWITCHED.len());
        assert_eq!(states("eth1"), [true; 3]);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn a_later_interface_with_the_same_index_is_left_alone() {
    be_the_gateway();
    let site = Site::new();
    site.start_gateway("a_later_interface_with_the_same_index_is_left_alone").kill().unwrap();
    site.gateway.ip("link del eth1");
    add_eth1(&site.gateway, "02:00:00:00:00:99");
    site.gateway.ethtool("-K eth1 gro off rxvlan off").unwrap();
    site.inside(|site, _link| {
        let before = states("eth1");
        let (keeper, leftovers) = site.open();
        assert_eq!((leftovers, states("eth1")), (vec![], before));
        drop(keeper);
    });
    assert_eq!(site.files(), ["gw-a.nic"]);
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn what_cannot_be_put_back_stays_in_the_journal() {
    be_the_gateway();
    let site = Site::new();
    site.start_gateway("what_cannot_be_put_back_stays_in_the_journal").kill().unwrap();
    site.inside(|site, _link| {
        // Of this thread alone.
        caps::drop(None, CapSet::Effective, Capability::CAP_NET_ADMIN).unwrap();
        assert_eq!(site.open().1, []);
        assert_eq!(states("eth1"), [false; 3]);
        caps::raise(None, CapSet::Effective, Capability::CAP_NET_ADMIN).unwrap();
        assert_eq!(site.open().1.len(), SWITCHED.len());
        assert_eq!(states("eth1"), [true; 3]);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn an_interface_that_is_gone_needs_nothing_put_back() {
    Site::new().inside(|site, link| {
        let (keeper, port) = site.prepare(&link, GENERIC_ACCESS);
        site.gateway.ip("link del eth1");
        drop(port);
        assert!(!site.journal().exists());
        drop(keeper);
        assert_eq!(site.open().1, []);
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn facts_name_driver_queues_address_and_mtu() {
    Site::new().inside(|site, link| {
        let facts = PortFacts::read(&link).unwrap();
        assert_eq!((facts.interface.as_str(), facts.driver.as_str(), facts.mtu), ("eth1", "veth", 1500));
        assert_eq!((facts.rx_queues, facts.tx_queues), (2, 2));
        assert!(site.gateway.ip("link show dev eth1").contains(&facts.mac.to_string()));
        let json = serde_json::to_value(&facts).unwrap();
        assert_eq!(json["mac"], facts.mac.to_string());
    });
}

#[test]
#[ignore = "needs root: makes network namespaces"]
fn loopback_is_no_port() {
    Lab::new("netnic").machine("lo").inside(|runtime| {
        let network = runtime.block_on(Network::open(NetworkOptions::default())).unwrap();
        let loopback = network.with_view(|view| view.link_by_name("lo").unwrap().clone());
        let error = PortFacts::read(&loopback).unwrap_err();
        assert_eq!(error.to_string(), "lo is not an Ethernet interface");
    });
}
