//! Bad packets, wrong configurations, a killed gateway.

use std::fs;
use std::net::SocketAddr;

use netlab::Node;
use netlab::article::SITES;
use rustix::net::{
    AddressFamily, Protocol, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with,
};
use rustix::process::Signal;

use super::sites::{SOON, SPANWIRE, Sites};

/// Frames that a gateway dropped for a reason; reasons that never occurred may be left out.
fn dropped(sites: &Sites, position: usize, reason: &str) -> u64 {
    let rows = sites.rows(position, "drop").unwrap();
    rows.iter().find(|row| row["reason"] == reason).map_or(0, |row| row["frames"].as_u64().unwrap())
}

/// Sends the payload of an IPv4 packet to gw-b, whose header the kernel makes.
fn send_raw(node: &Node, protocol: Protocol, payload: &[u8]) {
    let to = SocketAddr::from((SITES[1].underlay, 0));
    let send = || {
        let socket = socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?;
        sendto(socket, payload, SendFlags::empty(), &to)
    };
    assert_eq!(node.inside(send).unwrap(), Ok(payload.len()));
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn bad_packets_are_counted_by_reason_and_the_next_frame_passes() {
    let sites = Sites::running("nsbad");
    // UDP packets with the very addresses and ports of gw-a's end of the tunnel; the port itself is its gateway's.
    let send = |payload: &[u8]| {
        let len = u16::try_from(8 + payload.len()).unwrap();
        let header = [5001, 6001, len, 0].map(u16::to_be_bytes).concat();
        send_raw(&sites.net.gateways[0], ipproto::UDP, &[&header, payload].concat());
    };
    let inner = [0x02, 0, 0, 0, 0, 9, 0x02, 0, 0, 0, 0, 8, 0x88, 0xB5, 1, 2, 3, 4];
    let whole = [&[0, 3, 0, 0, 0, 0, 3, 0xE8, 0, 0, 0, 0][..], &inner].concat();
    let bad: [(&str, Vec<u8>); 5] = [
        ("l2tp_version", [&[0, 2][..], &whole[2..]].concat()),
        ("unknown_session", [&whole[..7], &[0xE9], &whole[8..]].concat()),
        ("l2tp_truncated", whole[..6].to_vec()),
        ("payload_truncated", whole[..20].to_vec()),
        ("vccv", [&whole[..8], &[0x80], &whole[9..]].concat()),
    ];
    for (reason, bytes) in &bad {
        assert_eq!(dropped(&sites, 1, reason), 0, "{reason}");
        send(bytes);
        sites.await_rows(1, "drop", reason, |rows| {
            rows.iter().any(|row| row["reason"] == *reason && row["frames"] == 1)
        });
    }
    // Too large for the path: the kernel sends fragments, which are put together, in one chunk or in several, and then looked at.
    for (packets, len) in [(1, 1650), (2, 3000)] {
        send(&vec![0; len]);
        sites.await_rows(1, "worker", "a packet put together", |rows| {
            rows.iter().any(|row| row["reassembled_packets"] == packets)
        });
    }
    sites.expect_ping(0, 1);
    sites.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_session_id_from_another_tunnels_peer_is_refused() {
    let sites = Sites::running("nssource");
    // gw-c's end of the IP tunnel sends the id of the UDP tunnel's session.
    let bytes = [&[0, 0, 3, 0xE8, 0, 0, 0, 0][..], &[0; 60]].concat();
    let l2tp = Protocol::from_raw(u32::from(wire::ipv4::PROTOCOL_L2TP).try_into().unwrap());
    send_raw(&sites.net.gateways[2], l2tp, &bytes);
    sites.await_rows(1, "drop", "wrong_source", |rows| {
        rows.iter().any(|row| row["reason"] == "wrong_source" && row["frames"] == 1)
    });
    sites.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn sigkill_leaves_interfaces_usable_and_no_program_attached() {
    let sites = Sites::running("nskill");
    let gateway = &sites.net.gateways[0];
    assert!(gateway.ip("link show eth0").unwrap().contains("xdp"), "attached while it runs");
    let status = sites.gateways[0].kill().unwrap();
    assert!(!status.success());
    for interface in ["eth0", "eth1"] {
        let link = gateway.ip(&format!("-details link show {interface}")).unwrap();
        assert!(!link.contains("xdp"), "{link}");
        assert!(link.contains("promiscuity 0"), "{link}");
    }
    let text = gateway.run(&["ping", "-c", "2", "-i", "0.05", "-W", "10", "10.200.100.1"]).unwrap();
    assert!(text.contains(" 0% packet loss"), "{text}");
    // A new gateway takes over where the killed one left, its stale control socket included.
    let again = sites.start(0, &[]);
    sites.await_up(0);
    sites.expect_ping(0, 1);
    assert!(again.terminate().unwrap().success());
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_gateway_that_is_told_to_stop_leaves_the_host_as_it_was() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        stop_by(signal);
    }
}

fn stop_by(signal: Signal) {
    let sites = Sites::laid_out("nsstop");
    let gateway = &sites.net.gateways[0];
    let state = || {
        let links = gateway.ip("-details link show").unwrap();
        let features: Vec<_> =
            ["eth0", "eth1"].iter().map(|i| gateway.ethtool(&format!("-k {i}")).unwrap()).collect();
        (links, features)
    };
    let before = state();
    let process = sites.start(0, &[]);
    sites.await_rows(0, "port", "both ports to be up", |rows| rows.iter().all(|row| row["state"] == "up"));
    assert_ne!(state(), before, "promiscuous mode and the program show");
    process.signal(signal);
    assert!(process.wait(SOON).unwrap().success(), "{signal:?}: {}", process.log());
    assert_eq!(state(), before, "{signal:?}");
    assert!(!process.log().contains("ERROR"), "{}", process.log());
    let left: Vec<_> =
        fs::read_dir(sites.lab.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let expected = ["gw-a.log", "gw-a.sh", "gw-a.toml"];
    assert!(left.iter().all(|name| expected.iter().any(|known| name == known)), "left behind: {left:?}");
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_wrong_configuration_names_every_fault_and_attaches_nothing() {
    let sites = Sites::laid_out("nsconfig");
    let path = sites.import(0);
    let text = fs::read_to_string(&path).unwrap();
    let wrong =
        text.replace("tunnel_id = 1000", "tunel_id = 0").replace("members = [", "members = [\"eth7\", ");
    assert_ne!(text, wrong);
    fs::write(&path, wrong).unwrap();
    let gateway = &sites.net.gateways[0];
    let output = gateway.command(&[SPANWIRE, "run", "--config", path.to_str().unwrap()]).output().unwrap();
    let faults = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{faults}");
    assert!(faults.contains("tunel_id") && faults.contains("eth7"), "{faults}");
    assert!(!gateway.ip("link show").unwrap().contains("xdp"));
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn without_privilege_the_missing_capability_is_named() {
    let sites = Sites::laid_out("nspriv");
    let path = sites.import(0);
    let words = [
        "setpriv",
        "--bounding-set",
        "-all",
        "--inh-caps",
        "-all",
        SPANWIRE,
        "run",
        "--config",
        path.to_str().unwrap(),
    ];
    let output = sites.net.gateways[0].command(&words).output().unwrap();
    let report = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{report}");
    assert!(report.contains("CAP_NET_ADMIN") && report.contains("CAP_NET_RAW"), "{report}");
}
