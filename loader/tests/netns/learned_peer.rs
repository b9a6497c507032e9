//! A peer behind NAT: learned, followed when NAT gives it another port or address, and not moved by an attacker.
//!
//! ```text
//!   gw-a (peer = "learn")        router, as NAT        gw-b (fixed)
//!   10.9.0.2:5001  <--------  outside     inside  <---------  10.9.10.2:6001
//!                             changes     10.9.10.1:7001
//! ```

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::Value;

use super::pair::{IDS, PCS, Pair, gateway_v4, gateway_v6, router_v4, router_v6, tunnel};
use super::sites::SOON;

/// Addresses of the network's lines in one IP version.
type Address = fn(usize, usize) -> String;

const COOKIES: [&str; 2] = ["0011223344556677", "8899aabbccddeeff"];

fn socket(pair: &Pair, address: IpAddr, port: u16) -> UdpSocket {
    let socket = pair.router.inside(|| UdpSocket::bind(SocketAddr::new(address, port))).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    socket
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A translator of addresses and ports in the router; dropping it ends it.
struct Nat {
    outside: Arc<Mutex<UdpSocket>>,
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Nat {
    /// Between gateway b and gateway a, whose packets it sends from `outside`.
    fn start(pair: &Pair, [router, gateway]: [Address; 2], outside: UdpSocket) -> Self {
        let inside = Arc::new(socket(pair, address(&router(1, 0)), 7001));
        let gw_a = SocketAddr::new(address(&gateway(0, 0)), 5001);
        let gw_b = SocketAddr::new(address(&gateway(1, 0)), 6001);
        let outside = Arc::new(Mutex::new(outside));
        let is_over = Arc::new(AtomicBool::new(false));
        let out = {
            let (inside, outside, is_over) =
                (Arc::clone(&inside), Arc::clone(&outside), Arc::clone(&is_over));
            thread::spawn(move || {
                let mut bytes = [0; 2048];
                while !is_over.load(Relaxed) {
                    let Ok((len, _)) = inside.recv_from(&mut bytes) else { continue };
                    outside.lock().unwrap().send_to(&bytes[..len], gw_a).unwrap();
                }
            })
        };
        let back = {
            let (outside, is_over) = (Arc::clone(&outside), Arc::clone(&is_over));
            thread::spawn(move || {
                let mut bytes = [0; 2048];
                while !is_over.load(Relaxed) {
                    // A descriptor of its own, so that a change of the socket does not wait for this one's packets.
                    let socket = outside.lock().unwrap().try_clone().unwrap();
                    let Ok((len, _)) = socket.recv_from(&mut bytes) else { continue };
                    inside.send_to(&bytes[..len], gw_b).unwrap();
                }
            })
        };
        Self { outside, is_over, threads: vec![out, back] }
    }

    /// From now on gateway b's packets come from there, and only there its answers are heard.
    fn rebind(&self, socket: UdpSocket) {
        *self.outside.lock().unwrap() = socket;
    }
}

impl Drop for Nat {
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

/// Both gateways with NAT between them; gateway a does not know where gateway b is.
fn running(name: &str, [router, gateway]: [Address; 2], outside_port: u16) -> (Pair, Nat) {
    let pair = Pair::laid_out(name, 1);
    let outside = socket(&pair, address(&router(0, 0)), outside_port);
    let nat = Nat::start(&pair, [router, gateway], outside);
    let cookies = |own: usize| format!("cookie = {:?}\npeer_cookie = {:?}\n", COOKIES[1 - own], COOKIES[own]);
    let learning = "peer = \"learn\"\nudp_sport = 5001\n";
    let a = tunnel(0, [gateway(0, 0), String::new()], learning).replace("remote = \"\"\n", "");
    let _a = pair.start(0, &(a + &cookies(0)));
    let rows = pair.await_rows(0, "tunnel", "gateway a to wait for its peer", |rows| {
        rows.first().is_some_and(|row| row["reason"] == "its peer has not been heard yet")
    });
    assert_eq!((&rows[0]["peer"], &rows[0]["udp_dport"]), (&"learn".into(), &Value::Null));
    let fixed = "udp_sport = 6001\nudp_dport = 7001\n";
    let _b = pair.start(1, &(tunnel(1, [gateway(1, 0), router(1, 0)], fixed) + &cookies(1)));
    pair.await_up(1);
    (pair, nat)
}

/// Waits until gateway a sends to this end, and returns the tunnel's row.
fn await_peer(pair: &Pair, remote: &str, port: u16) -> Value {
    let rows = pair.await_rows(0, "tunnel", &format!("the peer to be at {remote} port {port}"), |rows| {
        let row = &rows[0];
        let is_there = row["remote"].as_str().is_some_and(|text| address(text) == address(remote));
        row["state"] == "up" && is_there && row["udp_dport"] == port
    });
    rows[0].clone()
}

/// Pings from behind gateway b until one is answered: NAT lets nothing in before something went out.
fn ping_until_answered(pair: &Pair) {
    let ping =
        || pair.pcs[1].run(&["ping", "-c", "1", "-W", "1", PCS[0]]).map_err(|error| format!("{error:#}"));
    pair.lab.wait_until("an answer through NAT", SOON, ping).unwrap();
}

fn follow_through_nat(name: &str, addresses: [Address; 2]) {
    let [router, _] = addresses;
    let (pair, nat) = running(name, addresses, 40_001);
    ping_until_answered(&pair);
    let row = await_peer(&pair, &router(0, 0), 40_001);
    assert_eq!((&row["peer_moves"], &row["peer_heard_s"].is_u64()), (&0.into(), &true));
    pair.expect_pings();

    // A request every 5 ms from behind NAT, while NAT changes first the port, then the address too.
    let words = ["ping", "-i", "0.005", "-c", "1200", "-W", "10", PCS[0]];
    let flood = pair.pcs[1].spawn("flood", &words).unwrap();
    for (moves, (outside, port)) in (1..).zip([(router(0, 0), 40_002), (router(1, 0), 40_003)]) {
        nat.rebind(socket(&pair, address(&outside), port));
        assert_eq!(await_peer(&pair, &outside, port)["peer_moves"], moves);
    }
    // What stands for the tunnel in the kernel has moved with it.
    assert_eq!(pair.rows(0, "tunnel").unwrap()[0]["warnings"], serde_json::json!([]));
    assert!(!pair.lab.log_tails(200).contains("in use"), "{}", pair.lab.log_tails(200));
    flood.wait(SOON).unwrap();
    let log = flood.log();
    let received = log.lines().find(|line| line.contains("packets transmitted")).unwrap();
    let received: u32 = received.split(", ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    // Two moves, each noticed within a tick of 250 ms, the second up to a second later because moves keep their distance.
    assert!(received >= 1200 - 600, "{received} of 1200 received");
    pair.expect_pings();
    pair.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_peer_behind_nat_is_learned_and_followed() {
    follow_through_nat("nsnat", [router_v4, gateway_v4]);
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_peer_behind_nat_is_learned_and_followed_over_ipv6() {
    follow_through_nat("nsnat6", [router_v6, gateway_v6]);
}

/// Packets that the attacker sends.
const FORGED: u64 = 200;

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn an_attacker_without_the_cookie_moves_nothing() {
    let addresses: [Address; 2] = [router_v4, gateway_v4];
    let (pair, nat) = running("nsnatforge", addresses, 40_001);
    ping_until_answered(&pair);
    await_peer(&pair, &router_v4(0, 0), 40_001);
    let attacker = socket(&pair, address(&router_v4(0, 0)), 49_999);
    // The session, a cookie with one wrong bit, the sublayer, and a frame.
    let frame = [[0xFF; 6], [2, 0, 0, 0, 0, 9]].concat();
    let forged = [
        &[0, 3, 0, 0][..],
        &IDS[0].to_be_bytes(),
        &[0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x76],
        &[0; 4],
        &frame,
        &[8, 6, 0, 0],
    ];
    for _ in 0..FORGED {
        attacker.send_to(&forged.concat(), SocketAddr::new(address(&gateway_v4(0, 0)), 5001)).unwrap();
    }
    pair.await_rows(0, "drop", "the forged packets to be counted", |rows| {
        rows.iter().any(|row| row["reason"] == "cookie_mismatch" && row["frames"] == FORGED)
    });
    assert_eq!(pair.session(0)["drops"]["cookie_mismatch"], FORGED);
    pair.expect_pings();
    // The peer itself moves once: that is all the moves there were.
    nat.rebind(socket(&pair, address(&router_v4(0, 0)), 40_002));
    ping_until_answered(&pair);
    let row = await_peer(&pair, &router_v4(0, 0), 40_002);
    assert_eq!(row["peer_moves"], 1);
    pair.expect_pings();
    pair.expect_conserved();
}
