//! A network namespace of a test's own, and its wires.

use std::num::NonZeroU32;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use netlab::{Lab, LinkOptions, Node};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketType, recv, socket, sockopt};

/// Name of the lab; its one namespace is called `sw-xsk-one`.
const LAB_NAME: &str = "xsk";

/// EtherType for local experiments.
const ETHERTYPE: u16 = 0x88b5;

/// Held by the test whose turn it is: all use one lab name, so that each removes what a killed run left behind.
static TURN: Mutex<()> = Mutex::new(());

/// A namespace with two veth pairs; it goes with its lab.
pub(crate) struct World {
    node: Node,
}

impl World {
    /// Runs a test on a thread of its own inside a new namespace.
    pub(crate) fn enter(test: impl FnOnce(&Self) + Send) {
        assert_eq!(netlab::missing(), Vec::<String>::new(), "this test needs more than it has");
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let lab = Lab::new(LAB_NAME).unwrap();
        let world = Self { node: lab.node("one").unwrap() };
        // Nothing on the wires but what a test sends.
        world.node.ipv6_sysctl("conf.default.disable_ipv6", "1").unwrap();
        for (near, far) in [("a0", "a1"), ("b0", "b1")] {
            lab.link((&world.node, near), (&world.node, far), &LinkOptions::default()).unwrap();
        }
        world.node.inside(|| test(&world)).unwrap();
    }

    /// Runs `ip` with these words in the namespace.
    pub(crate) fn ip(&self, words: &str) -> String {
        self.node.ip(words).unwrap()
    }

    /// Runs `ethtool` with these words in the namespace.
    pub(crate) fn ethtool(&self, words: &str) {
        self.node.ethtool(words).unwrap();
    }

    /// Index of an interface.
    pub(crate) fn ifindex(&self, interface: &str) -> u32 {
        self.node.ifindex(interface).unwrap()
    }
}

/// A socket that hears every frame of the tests' EtherType that an interface of the namespace receives.
pub(crate) fn sniffer() -> OwnedFd {
    sniffer_of(ETHERTYPE)
}

/// The same for another EtherType.
pub(crate) fn sniffer_of(ethertype: u16) -> OwnedFd {
    let protocol = Protocol::from_raw(NonZeroU32::new(u32::from(ethertype.to_be())).unwrap());
    let sniffer = socket(AddressFamily::PACKET, SocketType::RAW, Some(protocol)).unwrap();
    sockopt::set_socket_recv_buffer_size_force(&sniffer, 16 << 20).unwrap();
    sockopt::set_socket_timeout(&sniffer, sockopt::Timeout::Recv, Some(Duration::from_secs(2))).unwrap();
    sniffer
}

/// The next frame heard.
pub(crate) fn sniff(sniffer: &OwnedFd) -> Vec<u8> {
    let mut bytes = [0; 16_384];
    let (len, _) = recv(sniffer, &mut bytes, RecvFlags::empty()).expect("a frame within two seconds");
    bytes[..len].to_vec()
}

/// Calls `done` until it says so.
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
