//! One tunnel over IP protocol 115 whose inner flows are spread over two workers.
//!
//! ```text
//!   gw-b (a raw socket of its kernel)  -- router --  gw-c: eth0, 2 queues, one of which gets the tunnel
//!                                                      worker 0, worker 1 -- eth1 -- pc3: a UDP socket
//! ```
//! The inner frames are UDP datagrams of many hosts of the LAN to pc3, with their host's next number in each.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket},
    num::NonZero,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use dataplane::worker::pin::{allowed_cpus, pin};
use netlab::article::SITES;
use rustix::net::{AddressFamily, Protocol, SendFlags, SocketType, sendto, socket};
use serde_json::Value;

use super::sites::{SOON, Sites};

/// gw-c, which takes the tunnel, and pc3 behind it.
const GATEWAY: usize = 2;

/// The session as gw-c has it (`tests/data/article-gw-c.toml`).
const SESSION_ID: u32 = 2000;

/// Inner flows: hosts 10.200.101.100 and up.
const FLOWS: u8 = 100;
const FIRST_HOST: u8 = 100;

/// Datagrams of each flow.
const ROUNDS: u32 = 60;

/// Datagrams on their way at most: fewer than any queue or socket buffer on the way holds.
const WINDOW: usize = 100;

/// Where datagrams go that are looked at, and those of a flood.
const PORT: u16 = 9000;
const FLOOD_PORT: u16 = 9001;

/// Threads of a flood.
const FLOODERS: usize = 4;

/// gw-c alone, with two queues and workers, this line in its tunnel, and pc3's address learned.
fn running(name: &str, line: &str) -> Sites {
    running_with(name, line, "")
}

/// The same with a line for its `[gateway]`.
fn running_with(name: &str, line: &str, gateway_line: &str) -> Sites {
    let mut sites = Sites::with_queues(name, 2);
    let path = sites.import(GATEWAY);
    let (text, head) = (fs::read_to_string(&path).unwrap(), "[tunnel.t2000]\n");
    assert_eq!(text.matches(head).count(), 1, "{text}");
    let text = text.replace(head, &format!("{head}{line}\n"));
    fs::write(&path, text.replace("[gateway]\n", &format!("[gateway]\n{gateway_line}\n"))).unwrap();
    let gateway = sites.start_with(GATEWAY, &path, &[]);
    sites.gateways.push(gateway);
    sites.await_up(GATEWAY);
    // Nobody answers; the question tells where pc3 is.
    sites.net.pcs[GATEWAY].run(&["ping", "-c", "1", "-W", "1", "10.200.101.1"]).unwrap_err();
    let mac = sites.net.pcs[GATEWAY].mac("eth0").unwrap();
    sites.await_rows(GATEWAY, "fdb", "pc3 to be known", |rows| {
        rows.iter().any(|row| row["mac"] == mac.as_str())
    });
    sites
}

/// An Ethernet frame of a flow's host to pc3: UDP over IPv4 with a number.
fn inner_frame(pc: [u8; 6], port: u16, flow: u8, number: u32) -> Vec<u8> {
    let [host, target] = [Ipv4Addr::new(10, 200, 101, FIRST_HOST + flow), SITES[GATEWAY].lan];
    // Version and length, TOS, total length 32, identification, flags | hop limit, UDP, checksum to be filled in
    let mut ip = [&[0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0][..], &host.octets(), &target.octets()].concat();
    let sum: u32 = ip.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = u16::try_from((sum & 0xFFFF) + (sum >> 16)).unwrap();
    ip[10..12].copy_from_slice(&(!folded).to_be_bytes());
    let [high, low] = port.to_be_bytes();
    // Source port, destination port, length 12, no checksum
    let udp = [&[0x30, 0x39, high, low, 0, 12, 0, 0][..], &number.to_be_bytes()].concat();
    [&pc[..], &[2, 0, 0, 0, 1, flow], &[8, 0], &ip, &udp].concat()
}

/// The peer's end of the tunnel: its kernel's raw socket.
struct Peer(OwnedFd);

impl Peer {
    fn open(sites: &Sites) -> Self {
        let protocol = Protocol::from_raw(NonZero::new(115).unwrap());
        let open = || socket(AddressFamily::INET, SocketType::RAW, Some(protocol)).unwrap();
        Self(sites.net.gateways[1].inside(open).unwrap())
    }

    fn send(&self, frame: &[u8]) {
        let packet = [&SESSION_ID.to_be_bytes()[..], &[0; 4], frame].concat();
        let to = SocketAddrV4::new(SITES[GATEWAY].underlay, 0);
        assert_eq!(sendto(&self.0, &packet, SendFlags::empty(), &to).unwrap(), packet.len());
    }
}

/// What pc3 gets: every flow's next number, or the test fails.
struct Receiver {
    socket: UdpSocket,
    /// By flow: the number that comes next.
    next: Vec<u32>,
}

impl Receiver {
    fn open(sites: &Sites) -> Self {
        let bind = || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
        let socket = sites.net.pcs[GATEWAY].inside(bind).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self { socket, next: vec![0; usize::from(FLOWS)] }
    }

    fn take(&mut self) {
        let mut number = [0; 4];
        let (_, from) = self.socket.recv_from(&mut number).expect("a datagram was lost");
        let IpAddr::V4(from) = from.ip() else { panic!("{from}") };
        let flow = usize::from(from.octets()[3] - FIRST_HOST);
        assert_eq!(u32::from_be_bytes(number), self.next[flow], "flow {flow} came out of order");
        self.next[flow] += 1;
    }
}

/// pc3's address.
fn target(sites: &Sites) -> [u8; 6] {
    let mac = sites.net.pcs[GATEWAY].mac("eth0").unwrap();
    let bytes: Vec<_> = mac.split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

/// Sends every flow's datagrams by turns and takes them again.
///
/// From one CPU: a veth hands packets to the CPU that sends them, so the router would forward those of a thread that moves in another order. On
/// a thread of its own, so that only that one is bound.
fn pass_all(sites: &Sites) {
    let send = || {
        pin(allowed_cpus()[0]).unwrap();
        pass_all_here(sites);
    };
    thread::scope(|scope| scope.spawn(send).join()).unwrap_or_else(|panic| resume_unwind(panic));
}

fn pass_all_here(sites: &Sites) {
    let (peer, mut receiver) = (Peer::open(sites), Receiver::open(sites));
    let mac = target(sites);
    let mut on_their_way = 0;
    for number in 0..ROUNDS {
        for flow in 0..FLOWS {
            peer.send(&inner_frame(mac, PORT, flow, number));
            on_their_way += 1;
            if on_their_way == WINDOW {
                receiver.take();
                on_their_way -= 1;
            }
        }
    }
    (0..on_their_way).for_each(|_| receiver.take());
    assert_eq!(receiver.next, vec![ROUNDS; usize::from(FLOWS)]);
    receiver.socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(receiver.socket.recv_from(&mut [0; 4]).is_err(), "a datagram came twice");
}

/// Both workers' numbers of this name.
fn by_worker(sites: &Sites, key: &str) -> [u64; 2] {
    let rows = sites.rows(GATEWAY, "worker").unwrap();
    let numbers: Vec<_> = rows.iter().map(|worker| worker[key].as_u64().unwrap()).collect();
    numbers.try_into().expect("the machine has two CPUs or more, and the gateway two workers")
}

/// The books of gw-c: every frame ended once, every chunk is known, nothing is between the workers.
fn expect_books(sites: &Sites) {
    sites.await_rows(GATEWAY, "worker", "one verdict per frame", |rows| {
        let sum = |key: &str| rows.iter().map(|worker| worker[key].as_u64().unwrap()).sum::<u64>();
        rows.iter().all(super::sites::has_ended_all) && sum("handed") == sum("taken")
    });
    let rows = sites.rows(GATEWAY, "worker").unwrap();
    assert!(rows.iter().all(|worker: &Value| worker["chunks"]["conserved"] == true), "{rows:?}");
    let session = sites.row(GATEWAY, "session", "l2tpeth0");
    assert_eq!(session["rx_frames"], u64::from(ROUNDS) * u64::from(FLOWS), "{session}");
    assert_eq!(session["drops"], serde_json::json!({}), "{session}");
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn flows_of_one_tunnel_leave_by_both_workers_each_in_its_order() {
    let sites = running("nsspread", "spread = \"on\"");
    let tunnel = sites.row(GATEWAY, "tunnel", "t2000");
    assert_eq!((&tunnel["spread"], &tunnel["spread_active"]), (&"on".into(), &true.into()));
    assert_eq!(sites.row(GATEWAY, "session", "l2tpeth0")["spread"], true);
    let before = ["forwarded", "handed"].map(|key| by_worker(&sites, key));
    pass_all(&sites);
    expect_books(&sites);
    let after = ["forwarded", "handed"].map(|key| by_worker(&sites, key));
    let [forwarded, handed] = [0, 1].map(|key| [0, 1].map(|worker| after[key][worker] - before[key][worker]));
    // A flow in ten at the least, of a hundred that fall to two workers.
    let least = u64::from(ROUNDS) * u64::from(FLOWS / 10);
    assert!(forwarded.iter().all(|frames| *frames >= least), "forwarded {forwarded:?}, handed {handed:?}");
    let all = u64::from(ROUNDS) * u64::from(FLOWS);
    assert_eq!(forwarded.iter().sum::<u64>(), all);
    assert!(handed.contains(&0) && handed.iter().any(|frames| *frames >= least), "one receives: {handed:?}");
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_tunnel_that_is_not_spread_and_one_that_is_not_much_stay_with_their_worker() {
    for (name, line) in [("nsspreadoff", "spread = \"off\""), ("nsspreadauto", "")] {
        let sites = running(name, line);
        pass_all(&sites);
        expect_books(&sites);
        assert_eq!(by_worker(&sites, "handed"), [0, 0], "{line}");
        assert_eq!(sites.row(GATEWAY, "tunnel", "t2000")["spread_active"], false, "{line}");
    }
}

/// Waits until what was sent has come.
fn await_rest(sites: &Sites) {
    let count = || sites.row(GATEWAY, "session", "l2tpeth0")["rx_frames"].as_u64();
    let rests = || {
        let before = count();
        if count() == before { Ok(()) } else { Err("frames still come".to_owned()) }
    };
    sites.lab.wait_until("the flood to be through", SOON, rests).unwrap();
}

/// Waits until the tunnel is spread, or is not.
fn await_spread(sites: &Sites, is_spread: bool) {
    sites.await_rows(GATEWAY, "tunnel", &format!("spread_active to be {is_spread}"), |rows| {
        rows.iter().any(|row| row["name"] == "t2000" && row["spread_active"] == is_spread)
    });
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_tunnel_that_saturates_its_worker_is_spread_until_it_is_little_again() {
    // Small batches, each with its system calls: a worker that is soon saturated.
    let sites = running_with("nsspreadload", "", "batch = 2");
    let (target, is_over) = (target(&sites), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..FLOODERS {
            scope.spawn(|| {
                let peer = Peer::open(&sites);
                for flow in (0..FLOWS).cycle().take_while(|_| !is_over.load(Relaxed)) {
                    peer.send(&inner_frame(target, FLOOD_PORT, flow, 0));
                }
            });
        }
        let outcome = catch_unwind(AssertUnwindSafe(|| await_spread(&sites, true)));
        is_over.store(true, Relaxed);
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
    });
    assert_eq!(sites.row(GATEWAY, "session", "l2tpeth0")["spread"], true);
    await_rest(&sites);
    let handed = by_worker(&sites, "handed");
    pass_all(&sites);
    assert_ne!(by_worker(&sites, "handed"), handed, "nothing was given away");
    await_spread(&sites, false);
    let handed = by_worker(&sites, "handed");
    pass_all(&sites);
    assert_eq!(by_worker(&sites, "handed"), handed);
    sites.await_rows(GATEWAY, "worker", "one verdict per frame", |rows| {
        rows.iter().all(super::sites::has_ended_all)
            && rows.iter().all(|row| row["chunks"]["conserved"] == true)
    });
}
