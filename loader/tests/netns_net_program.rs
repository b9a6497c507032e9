//! The steering program on real interfaces: attached, refused, gone again; and its maps.

#![allow(clippy::unwrap_used, reason = "a test ends at the first thing that fails")]

#[path = "netns_net_support/mod.rs"]
mod support;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ebpf::abi::{AccessVlanKey, EndpointCellV4, EndpointKey, Payload, PortConfig, Roles, Stat};
use loader::maps::SteeringMaps;
use loader::program::{AttachMode, ProgramError, ProgramOptions, SteeringProgram};
use support::{Lab, Machine, Rerun, SOON};

/// Time between two looks at a log.
const PAUSE: Duration = Duration::from_millis(10);

/// Name of this file's labs.
const LAB: &str = "netprogram";

/// Two machines joined by a veth pair, `eth0` on both.
struct Pair {
    gateway: Machine,
    peer: Machine,
    lab: Lab,
}

impl Pair {
    fn new() -> Self {
        let lab = Lab::new(LAB);
        let pair = Self { gateway: lab.machine("gw"), peer: lab.machine("peer"), lab };
        pair.lab.join((&pair.gateway, "eth0"), (&pair.peer, "eth0"));
        pair
    }
}

fn has_xdp(machine: &Machine) -> bool {
    machine.ip("link show dev eth0").contains("xdp")
}

fn load() -> (SteeringProgram, SteeringMaps) {
    SteeringProgram::load(ProgramOptions::default()).unwrap()
}

fn count(maps: &SteeringMaps, wanted: Stat) -> u64 {
    maps.stats(0).unwrap().into_iter().find(|(stat, _)| *stat == wanted).unwrap().1
}

fn tunnel(last_octet: u8) -> EndpointKey {
    EndpointKey::ipv4(17, Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, last_octet))
        .with_ports(5001, 6001)
}

#[test]
#[ignore = "needs root: loads an XDP program"]
fn an_attached_program_is_gone_when_its_link_is_dropped() {
    let pair = Pair::new();
    let gateway = &pair.gateway;
    gateway.inside(|_runtime| {
        let (mut program, _maps) = load();
        let index = gateway.ifindex("eth0");
        for mode in [AttachMode::Native, AttachMode::Generic] {
            let link = program.attach("eth0", index, mode).unwrap();
            assert_eq!((link.mode(), link.ifindex(), link.interface()), (mode, index, "eth0"));
            let shown = gateway.ip("link show dev eth0");
            assert!(shown.contains(&format!("id {}", program.program_id())), "{shown}");
            drop(link);
            assert!(!has_xdp(gateway), "{mode}");
        }
    });
}

#[test]
#[ignore = "needs root: loads an XDP program"]
fn the_best_mode_is_native_on_veth_and_generic_where_the_driver_has_none() {
    let lab = Lab::new(LAB);
    let gateway = lab.machine("gw");
    gateway.ip("link add br0 type bridge");
    gateway.ip("link add veth0 type veth peer name veth1");
    gateway.inside(|_runtime| {
        let (mut program, _maps) = load();
        let no_driver = "driver of br0 does not support native XDP";
        for (interface, mode, refusal) in
            [("veth0", AttachMode::Native, None), ("br0", AttachMode::Generic, Some(no_driver))]
        {
            let link = program.attach_best(interface, gateway.ifindex(interface)).unwrap();
            assert_eq!((link.mode(), link.native_refusal()), (mode, refusal));
        }
        let error = program.attach("br0", gateway.ifindex("br0"), AttachMode::Native).unwrap_err();
        assert!(error.to_string().starts_with(no_driver), "{error}");
    });
}

#[test]
#[ignore = "needs root: loads an XDP program"]
fn a_veth_with_fewer_queues_than_its_peer_gets_generic_mode_and_the_reason() {
    let lab = Lab::new(LAB);
    let gateway = lab.machine("gw");
    let queues = "numrxqueues 2 numtxqueues 2";
    gateway.ip(&format!("link add veth0 {queues} type veth peer name veth1 {queues}"));
    gateway.ethtool("-L veth0 rx 1").unwrap();
    let reason = "veth0 has fewer receive queues than its veth peer has transmit queues; give it more \
                  (`ethtool -L veth0 rx N`)";
    gateway.inside(|_runtime| {
        let (mut program, _maps) = load();
        let index = gateway.ifindex("veth0");
        let link = program.attach_best("veth0", index).unwrap();
        assert_eq!((link.mode(), link.native_refusal()), (AttachMode::Generic, Some(reason)));
        drop(link);
        let error = program.attach("veth0", index, AttachMode::Native).unwrap_err();
        assert!(matches!(error, ProgramError::TooFewQueues { .. }), "{error}");
        assert!(error.to_string().starts_with(reason), "{error}");
    });
}

#[test]
#[ignore = "needs root: loads an XDP program"]
fn an_interface_that_another_program_holds_or_that_is_gone_is_not_tried_again_in_generic_mode() {
    let pair = Pair::new();
    let gateway = &pair.gateway;
    gateway.inside(|_runtime| {
        let (mut first, _maps) = load();
        let (mut second, _maps) = load();
        let index = gateway.ifindex("eth0");
        let link = first.attach("eth0", index, AttachMode::Generic).unwrap();
        let error = second.attach_best("eth0", index).unwrap_err();
        assert!(matches!(error, ProgramError::Occupied { .. }), "{error}");
        drop(link);
        gateway.ip("link del eth0");
        let error = second.attach_best("eth0", index).unwrap_err();
        assert!(matches!(error, ProgramError::Query { .. }), "{error}");
    });
}

#[test]
#[ignore = "needs root: loads an XDP program"]
fn an_interface_with_a_program_is_refused_with_its_name_and_the_cure() {
    let pair = Pair::new();
    let gateway = &pair.gateway;
    gateway.inside(|_runtime| {
        let (mut first, _maps) = load();
        let (mut second, _maps) = load();
        let index = gateway.ifindex("eth0");
        let link = first.attach("eth0", index, AttachMode::Native).unwrap();
        for mode in [AttachMode::Native, AttachMode::Generic] {
            let error = second.attach("eth0", index, mode).unwrap_err();
            assert!(matches!(error, ProgramError::Occupied { .. }), "{error}");
            let id = first.program_id();
            let text = error.to_string();
            let expected = format!("eth0 already has an XDP program: spanwire_steer (id {id})");
            assert!(text.starts_with(&expected), "{text}");
            assert!(text.contains("end the process that holds BPF link"), "{text}");
        }
        drop(link);
        second.attach("eth0", index, AttachMode::Native).unwrap();
    });
}

#[test]
#[ignore = "needs root: loads an XDP program"]
fn a_killed_process_leaves_no_program_behind() {
    if Rerun::argument().is_some() {
        let (mut program, _maps) = load();
        let _link = program.attach("eth0", own_ifindex("eth0"), AttachMode::Native).unwrap();
        Rerun::ready_to_be_killed();
    }
    let pair = Pair::new();
    let second =
        Rerun::start(&pair.lab, &pair.gateway, "a_killed_process_leaves_no_program_behind", "attach");
    assert!(has_xdp(&pair.gateway));
    second.kill().unwrap();
    pair.lab.await_that("the program to be gone", || !has_xdp(&pair.gateway));
}

fn own_ifindex(interface: &str) -> u32 {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    rustix::net::netdevice::name_to_index(socket, interface).unwrap()
}

/// Two machines with an address each, the program on the first one's port, and UDP between them.
struct Steered(Pair);

impl Steered {
    fn new() -> Self {
        let pair = Pair::new();
        pair.gateway.ip("addr add 10.0.0.2/24 dev eth0");
        pair.peer.ip("addr add 10.0.0.3/24 dev eth0");
        Self(pair)
    }

    /// Attaches the program, then runs `story` inside the gateway.
    fn tell(&self, story: impl FnOnce(&Self, &mut SteeringMaps, u32) + Send) {
        self.0.gateway.inside(|_runtime| {
            let (mut program, mut maps) = load();
            let index = self.0.gateway.ifindex("eth0");
            let _link = program.attach("eth0", index, AttachMode::Native).unwrap();
            story(self, &mut maps, index);
        });
    }

    /// Sends a datagram from port 6001 of the peer to port 5001 of the gateway, whose kernel has to receive it.
    fn send_datagram(&self) {
        let socket = UdpSocket::bind("10.0.0.2:5001").unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        self.0.peer.inside(|_runtime| {
            let sender = UdpSocket::bind("10.0.0.3:6001").unwrap();
            // Session ID 7: data, not a control message.
            sender.send_to(&[0, 3, 0, 0, 0, 0, 0, 7], "10.0.0.2:5001").unwrap();
        });
        let mut bytes = [0; 8];
        assert_eq!(socket.recv(&mut bytes).unwrap(), 8);
    }
}

#[test]
#[ignore = "needs root: loads an XDP program"]
fn a_packet_of_no_tunnel_reaches_the_kernel_and_is_counted() {
    Steered::new().tell(|lab, maps, index| {
        lab.send_datagram();
        assert!(count(maps, Stat::PassUnknownPort) > 0);
        maps.set_port(index, PortConfig::new(Roles::UNDERLAY, 0, 1)).unwrap();
        assert_eq!(count(maps, Stat::PassNotTunnel), 0);
        lab.send_datagram();
        assert!(count(maps, Stat::PassNotTunnel) > 0);
        maps.remove_port(index).unwrap();
        maps.remove_port(index).unwrap();
        let before = count(maps, Stat::PassUnknownPort);
        lab.send_datagram();
        assert!(count(maps, Stat::PassUnknownPort) > before);
    });
}

#[test]
#[ignore = "needs root: loads an XDP program"]
fn endpoints_become_exactly_the_wanted_ones_and_steer() {
    Steered::new().tell(|lab, maps, index| {
        maps.set_port(index, PortConfig::new(Roles::UNDERLAY, 0, 1)).unwrap();
        // A tunnel's packet finds no socket here, and the kernel gets it; counted once per packet.
        let steered_after_sync = |maps: &mut SteeringMaps, peers: &[u8]| {
            let wanted = peers.iter().map(|last| (tunnel(*last), Payload::L2tp)).collect();
            maps.sync_endpoints(&wanted).unwrap();
            let before = count(maps, Stat::PassNoSocket);
            lab.send_datagram();
            count(maps, Stat::PassNoSocket) - before
        };
        assert_eq!(steered_after_sync(maps, &[]), 0);
        assert_eq!(steered_after_sync(maps, &[3]), 1);
        assert_eq!(steered_after_sync(maps, &[3, 4, 5]), 1);
        assert_eq!(steered_after_sync(maps, &[4, 5]), 0);
        assert_eq!(steered_after_sync(maps, &[3]), 1);
        maps.remove_endpoint(tunnel(3)).unwrap();
        maps.remove_endpoint(tunnel(3)).unwrap();
        assert_eq!(steered_after_sync(maps, &[]), 0);
    });
}

#[test]
#[ignore = "needs root: loads an XDP program"]
fn tunnels_that_have_one_place_in_front_of_their_map_are_all_found_and_none_stays_when_it_is_removed() {
    let place = |key: EndpointKey| match key {
        EndpointKey::V4(key) => EndpointCellV4::place(&key),
        EndpointKey::V6(_) => unreachable!("tunnels over IPv4"),
    };
    let other = (0..u32::from(u16::MAX))
        .map(|count| EndpointKey::ipv4(115, Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::from(0x0b00_0000 + count)))
        .find(|key| place(*key) == place(tunnel(3)))
        .expect("one of 64 thousand has one of a thousand places");
    Steered::new().tell(|lab, maps, index| {
        maps.set_port(index, PortConfig::new(Roles::UNDERLAY, 0, 1)).unwrap();
        let is_steered = |maps: &SteeringMaps| {
            let before = count(maps, Stat::PassNoSocket);
            lab.send_datagram();
            count(maps, Stat::PassNoSocket) > before
        };
        maps.set_endpoint(other, Payload::L2tp).unwrap();
        maps.set_endpoint(tunnel(3), Payload::L2tp).unwrap();
        assert!(is_steered(maps), "the other one has the place");
        maps.sync_endpoints(&HashMap::from([(tunnel(3), Payload::L2tp)])).unwrap();
        assert!(is_steered(maps), "it has the place itself");
        maps.set_endpoint(other, Payload::L2tp).unwrap();
        maps.remove_endpoint(tunnel(3)).unwrap();
        assert!(!is_steered(maps), "it is removed from its place, too");
        maps.set_endpoint(tunnel(3), Payload::L2tp).unwrap();
        // The same for ports: this one and another have one place.
        let other_port = index + 256;
        maps.set_port(other_port, PortConfig::new(Roles::UNDERLAY, 0, 1)).unwrap();
        assert!(is_steered(maps));
        maps.remove_port(index).unwrap();
        maps.set_port(other_port, PortConfig::new(Roles::UNDERLAY, 0, 1)).unwrap();
        assert!(!is_steered(maps), "the other port has the place");
        maps.set_port(index, PortConfig::new(Roles::UNDERLAY, 0, 1)).unwrap();
        assert!(is_steered(maps));
    });
}

#[test]
#[ignore = "needs root: loads an XDP program"]
fn thousands_of_tunnels_and_vlans_fit() {
    let (_program, mut maps) = load();
    let key =
        |count: u32| EndpointKey::ipv4(115, Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::from(0x0b00_0000 + count));
    let tunnels: HashMap<_, _> = (0..20_000).map(|count| (key(count), Payload::L2tp)).collect();
    maps.sync_endpoints(&tunnels).unwrap();
    let vlans: HashSet<_> = (1..=4094).map(|vlan| AccessVlanKey::new(7, vlan)).collect();
    maps.sync_access_vlans(&vlans).unwrap();
    maps.sync_access_vlans(&HashSet::from([AccessVlanKey::new(8, 1)])).unwrap();
    maps.sync_endpoints(&HashMap::new()).unwrap();
}

#[test]
#[ignore = "needs root: loads an XDP program"]
fn slots_take_only_sockets_and_only_where_there_are_slots() {
    let (_program, mut maps) = load();
    let no_socket = std::fs::File::open("/dev/null").unwrap();
    let error = maps.set_socket(0, &no_socket).unwrap_err();
    assert_eq!(error.to_string(), "set slot 0 in map SOCKETS");
    maps.clear_socket(0).unwrap();
    let beyond = maps.socket_slots();
    assert!(maps.clear_socket(beyond).is_err());
}

#[test]
#[ignore = "needs root: loads an XDP program"]
fn raising_the_log_level_reports_decisions() {
    let written = Written::default();
    let writer = written.clone();
    tracing_subscriber::fmt()
        .with_env_filter("spanwire_steer=debug")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let steered = Steered::new();
    let gateway = &steered.0.gateway;
    gateway.inside(|runtime| {
        let _inside = runtime.enter();
        let (mut program, _maps) = SteeringProgram::load(ProgramOptions { log_decisions: true }).unwrap();
        let index = gateway.ifindex("eth0");
        let _link = program.attach("eth0", index, AttachMode::Native).unwrap();
        steered.send_datagram();
        let wanted = format!("port {index} queue 0: pass_unknown_port");
        runtime.block_on(async {
            let is_reported = async {
                while !written.text().contains(&wanted) {
                    tokio::time::sleep(PAUSE).await;
                }
            };
            let outcome = tokio::time::timeout(SOON, is_reported).await;
            assert!(outcome.is_ok(), "no {wanted:?} in {}", written.text());
        });
    });
}

/// A log that can be read back.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
