//! A network namespace of a test's own, and its wires.

use std::fs::File;
use std::num::NonZeroU32;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketType, recv, socket, sockopt};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// EtherType for local experiments.
const ETHERTYPE: u16 = 0x88b5;

/// A namespace with two veth pairs, removed when dropped.
pub(crate) struct World {
    name: String,
}

impl World {
    /// Runs a test on a thread of its own inside a new namespace; says so when it cannot.
    pub(crate) fn enter(test: impl FnOnce(&Self) + Send) {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: needs root to make network namespaces");
            return;
        }
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("sw-xsk-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        run(&["netns", "add", &name]);
        let world = Self { name };
        for pair in ["a", "b"] {
            world.ip(&format!("link add {pair}0 type veth peer name {pair}1"));
            for end in 0..2 {
                world.ip(&format!("link set {pair}{end} addrgenmode none up"));
            }
        }
        let result = std::thread::scope(|scope| {
            scope
                .spawn(|| catch_unwind(AssertUnwindSafe(|| world.inside(test))))
                .join()
                .expect("panics are caught")
        });
        drop(world);
        result.unwrap_or_else(|panic| resume_unwind(panic));
    }

    /// Moves the calling thread into the namespace and runs the test there.
    fn inside(&self, test: impl FnOnce(&Self)) {
        let namespace = File::open(format!("/run/netns/{}", self.name)).expect("made just now");
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("root may enter it");
        test(self);
    }

    /// Runs `ip` with these words in the namespace.
    pub(crate) fn ip(&self, words: &str) -> String {
        let all: Vec<&str> = ["-n", &self.name].into_iter().chain(words.split(' ')).collect();
        run(&all)
    }

    /// Index of an interface; to be called inside.
    pub(crate) fn ifindex(&self, interface: &str) -> u32 {
        let any = socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
        rustix::net::netdevice::name_to_index(&any, interface)
            .unwrap_or_else(|error| panic!("{interface}: {error}"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        run(&["netns", "del", &self.name]);
    }
}

/// Runs `ip`.
fn run(words: &[&str]) -> String {
    let output = Command::new("ip").args(words).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A socket that hears every frame of the tests' EtherType that an interface of the namespace receives.
pub(crate) fn sniffer() -> OwnedFd {
    let protocol = Protocol::from_raw(NonZeroU32::new(u32::from(ETHERTYPE.to_be())).unwrap());
    let sniffer = socket(AddressFamily::PACKET, SocketType::RAW, Some(protocol)).unwrap();
    sockopt::set_socket_recv_buffer_size_force(&sniffer, 16 << 20).unwrap();
    sockopt::set_socket_timeout(&sniffer, sockopt::Timeout::Recv, Some(Duration::from_secs(2))).unwrap();
    sniffer
}

/// The next frame heard.
pub(crate) fn sniff(sniffer: &OwnedFd) -> Vec<u8> {
    let mut bytes = [0; 2048];
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
