//! Frames that do not fit: path MTUs that change, errors to senders, pieces, clamped TCP, forged ICMP.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use netlab::Node;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, sendto, socket_with};
use serde_json::{Value, json};
use wire::build::{self, FrameSpec, Transport};
use wire::icmp;

use super::capture::{Capture, tshark};
use super::pair::{PCS, Pair, ends, gateway_v4, gateway_v6, router_v4, tunnel, udp};
use super::sites::Sites;

/// UDP over IPv4 with sublayer: IPv4 20, UDP 8, flags 4, session id 4, sublayer 4; and the inner Ethernet header.
const TAKEN_V4: u64 = 40 + 14;

/// Two gateways with one tunnel between them; `lines` go into both tunnels.
fn running(name: &str, gateway: fn(usize, usize) -> String, lines: &str) -> Pair {
    up(Pair::laid_out(name, 1), gateway, [lines, lines])
}

/// Starts both gateways with these lines in their tunnels.
fn up(pair: Pair, gateway: fn(usize, usize) -> String, lines: [&str; 2]) -> Pair {
    for (side, lines) in lines.into_iter().enumerate() {
        let lines = format!("{}{lines}", udp(side));
        let _running = pair.start(side, &tunnel(side, ends(side, |side| gateway(side, 0)), &lines));
    }
    (0..2).for_each(|side| pair.await_up(side));
    pair
}

/// Two gateways whose routes to each other have this MTU.
fn narrow(name: &str, mtu: u32, lines: [&str; 2]) -> Pair {
    let pair = Pair::laid_out(name, 1);
    for side in 0..2 {
        let (far, via) = (gateway_v4(1 - side, 0), router_v4(side, 0));
        pair.gateways[side].ip(&format!("route add {far}/32 via {via} mtu {mtu}")).unwrap();
    }
    let pair = up(pair, gateway_v4, lines);
    (0..2).for_each(|side| drop(await_path(&pair, side, mtu, "route")));
    pair
}

/// Waits until the path MTU of a gateway's only tunnel is this, said by this.
fn await_path(pair: &Pair, side: usize, mtu: u32, source: &str) -> Value {
    let what = format!("path MTU {mtu}, said by {source}");
    let mut rows = pair.await_rows(side, "tunnel", &what, |rows| {
        rows[0]["path_mtu"] == mtu && rows[0]["path"]["mtu_source"] == source
    });
    rows.remove(0)
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_link_that_became_smaller_is_learned_from_its_router() {
    // IPv6 routers cut nothing up; IPv4 routers cut up what has DF clear, and then say nothing.
    let over_v6 = running("nspath6", gateway_v6, "");
    expect_learned(&over_v6, "2001:db8::1", 60);
    let over_v4 = running("nspath4", gateway_v4, "fragmentation = \"drop\"\ndf = true\n");
    expect_learned(&over_v4, "10.9.0.1", 40);
    // What the gateway has learned, its PCs are told.
    let refusal = over_v4.refused_ping(0, &["-M", "do", "-s", "1472"]);
    assert!(refusal.contains("100% packet loss"), "{refusal}");
    let route = over_v4.pcs[0].ip(&format!("route get {}", PCS[1])).unwrap();
    assert!(route.contains(&format!("mtu {}", 1400 - TAKEN_V4)), "{route}");
}

/// Makes the link behind the router smaller, and expects the gateway on the other side to learn that from the router.
fn expect_learned(pair: &Pair, router: &str, overhead: u64) {
    pair.expect_pings();
    await_path(pair, 0, 1600, "interface");
    pair.router.ip("link set east0 mtu 1400").unwrap();
    // The first packet that does not fit is lost, and the router says so.
    let _lost = pair.ping(0, &["-M", "dont", "-s", "1400"]);
    let tunnel = await_path(pair, 0, 1400, "icmp");
    let path = &tunnel["path"];
    assert_eq!((&tunnel["state"], &path["mtu_locked"]), (&json!("up"), &json!(false)));
    assert!(path["icmp_errors"]["too_big"].as_u64() >= Some(1), "{tunnel}");
    assert_eq!(path["last_icmp_error"], format!("packet too big, MTU 1400, from {router}"));
    assert_eq!(path["unreachable"], false);
    assert!(path["mtu_expires_s"].as_u64() > Some(500), "{tunnel}");
    let session = pair.session(0);
    let (frame, inner) = (1400 - overhead, 1400 - overhead - 14);
    for (key, expected) in [
        ("overhead_bytes", overhead),
        ("path_mtu_bytes", 1400),
        ("max_frame_bytes", frame),
        ("inner_mtu", inner),
    ] {
        assert_eq!(session[key], expected, "{key} of {session}");
    }
    // The other direction has not learned anything, and needs not.
    await_path(pair, 1, 1600, "interface");
    let fits = (inner - 28).to_string();
    let text = pair.ping(0, &["-M", "do", "-s", &fits]).unwrap();
    assert!(text.contains(" 0% packet loss"), "{text}");
    pair.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_route_s_own_mtu_is_followed_and_its_lock_is_shown() {
    let pair = narrow("nspathroute", 1450, ["", ""]);
    let via = router_v4(0, 0);
    let far = gateway_v4(1, 0);
    pair.gateways[0].ip(&format!("route change {far}/32 via {via} mtu lock 1430")).unwrap();
    assert_eq!(await_path(&pair, 0, 1430, "route")["path"]["mtu_locked"], true);
    pair.gateways[0].ip(&format!("route delete {far}/32")).unwrap();
    await_path(&pair, 0, 1600, "interface");
    pair.expect_pings();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_pc_behind_a_tunnel_that_drops_learns_its_path_mtu() {
    let pair = narrow("nsmtudrop", 1400, ["fragmentation = \"drop\"\n"; 2]);
    pair.expect_pings();
    let inner = 1400 - TAKEN_V4;
    let known = |pc: usize| pair.pcs[pc].ip(&format!("route get {}", PCS[1 - pc])).unwrap();
    let learned = format!("mtu {inner}");
    // Both hosts announce 1460, send segments that are too big, and are told.
    expect_tcp(&pair);
    for pc in 0..2 {
        assert!(known(pc).contains(&learned), "{}", known(pc));
        pair.pcs[pc].ip("route flush cache").unwrap();
        assert!(!known(pc).contains("mtu"), "{}", known(pc));
    }
    // The first packet is answered with an error, the second is not sent: its sender knows by then.
    let refusal = pair.refused_ping(0, &["-M", "do", "-s", "1472"]);
    assert!(refusal.contains("100% packet loss"), "{refusal}");
    assert!(known(0).contains(&learned), "{}", known(0));
    let fits = (inner - 28).to_string();
    let text = pair.ping(0, &["-M", "do", "-s", &fits]).unwrap();
    assert!(text.contains(" 0% packet loss"), "{text}");
    // A packet that may be fragmented is dropped in silence.
    let lost = pair.refused_ping(1, &["-M", "dont", "-s", "1472"]);
    assert!(lost.contains("100% packet loss"), "{lost}");
    assert!(!known(1).contains("mtu"), "{}", known(1));
    for side in 0..2 {
        let session = pair.session(side);
        assert!(session["icmp_sent"].as_u64() >= Some(1), "{session}");
        assert!(session["drops"]["too_big"].as_u64() >= session["icmp_sent"].as_u64(), "{session}");
        assert_eq!((&session["icmp_limited"], &session["inner_fragmented"]), (&json!(0), &json!(0)));
    }
    pair.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn packets_that_may_be_fragmented_go_through_in_pieces() {
    let pair = narrow("nsmtuinner", 1400, ["fragmentation = \"inner\"\n"; 2]);
    let text = pair.ping(0, &["-M", "dont", "-s", "1472"]).unwrap();
    assert!(text.contains(" 0% packet loss"), "{text}");
    for side in 0..2 {
        let session = pair.session(side);
        assert_eq!((&session["inner_fragmented"], &session["drops"]), (&json!(3), &json!({})), "{session}");
    }
    // Those that may not are answered, as with "drop".
    let refusal = pair.refused_ping(0, &["-M", "do", "-s", "1472"]);
    assert!(refusal.contains("100% packet loss"), "{refusal}");
    let route = pair.pcs[0].ip(&format!("route get {}", PCS[1])).unwrap();
    assert!(route.contains(&format!("mtu {}", 1400 - TAKEN_V4)), "{route}");
    pair.expect_conserved();
}

/// A megabyte from pc1 to pc2 and back, over one connection.
fn expect_tcp(pair: &Pair) {
    let listener = pair.pcs[1].inside(|| TcpListener::bind((PCS[1], 5201)).unwrap()).unwrap();
    let mut client = pair.pcs[0].inside(|| TcpStream::connect((PCS[1], 5201)).unwrap()).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let sent: Vec<u8> = (0..=250).cycle().take(1 << 20).collect();
    pass(&sent, &mut client, &mut server);
    pass(&sent, &mut server, &mut client);
}

/// Writes everything at one end of a connection and reads it at the other.
fn pass(sent: &[u8], from: &mut TcpStream, to: &mut TcpStream) {
    to.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let received = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut received = vec![0; sent.len()];
            to.read_exact(&mut received).map(|()| received)
        });
        from.write_all(sent).unwrap();
        reader.join().unwrap()
    });
    assert!(received.unwrap() == sent);
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn tcp_through_a_clamped_tunnel_sends_nothing_that_does_not_fit() {
    // Gateway a clamps for both: its peer does nothing.
    let pair = narrow("nsmss", 1400, ["mss_clamp = \"auto\"\n", ""]);
    let filter = "tcp[tcpflags] & tcp-syn != 0";
    let captures = [0, 1].map(|side| Capture::start(&pair.lab, &pair.pcs[side], "eth0", filter));
    expect_tcp(&pair);
    // pc1's own SYN and the answer to it, as pc1 and pc2 have them.
    let announced = captures.map(|capture| {
        capture.finish(&pair.lab, 2);
        let text = tshark(&capture.path, &["-T", "fields", "-e", "tcp.options.mss_val"]);
        text.lines().map(|line| line.parse::<u64>().unwrap()).collect::<Vec<_>>()
    });
    let clamped = 1400 - TAKEN_V4 - 40;
    assert_eq!(announced, [vec![1460, clamped], vec![clamped, 1460]]);
    assert_eq!(pair.session(0)["mss_clamped"], 2);
    for side in 0..2 {
        let session = pair.session(side);
        assert_eq!(session["drops"], json!({}), "{session}");
    }
    pair.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_peer_that_cannot_be_reached_is_told_as_such_and_the_tunnel_stays_up() {
    let pair = running("nsunreach", gateway_v4, "");
    pair.expect_pings();
    pair.router.ip(&format!("route add unreachable {}/32", gateway_v4(1, 0))).unwrap();
    let _lost = pair.ping(0, &[]);
    let rows = pair
        .await_rows(0, "tunnel", "the peer to be unreachable", |rows| rows[0]["path"]["unreachable"] == true);
    assert_eq!(rows[0]["state"], "up", "anybody could have said so");
    assert_eq!(rows[0]["path"]["last_icmp_error"], "host unreachable, from 10.9.0.1");
    assert!(rows[0]["path"]["icmp_errors"]["host_unreachable"].as_u64() >= Some(1));
    assert_eq!(rows[0]["path_mtu"], 1600);
    pair.router.ip(&format!("route delete unreachable {}/32", gateway_v4(1, 0))).unwrap();
    pair.lab
        .wait_until("the peer to be heard again", super::sites::SOON, || {
            pair.ping(0, &[]).map_err(|error| error.to_string())?;
            let rows = pair.rows(0, "tunnel")?;
            if rows[0]["path"]["unreachable"] == false { Ok(()) } else { Err(format!("{rows:?}")) }
        })
        .unwrap();
}

/// Lets a node send "fragmentation needed" about a UDP packet between two tunnel ends.
fn forge(node: &Node, [local, remote]: [IpAddr; 2], [sport, dport]: [u16; 2], mtu: u16) {
    let spec = FrameSpec {
        source_ip: local,
        destination_ip: remote,
        transport: Transport::udp_unchecked(sport, dport),
        ..FrameSpec::default()
    };
    // The quoted packet's Ethernet header is overwritten by a part of what stands in front of it.
    let mut bytes = [0; 256];
    let used = build::frame(&mut bytes[icmp::V4_FRONT_BYTES - 14..], &spec, &[&[0xA5; 64]]).unwrap();
    let end = icmp::V4_FRONT_BYTES - 14 + used;
    let packet_bytes = icmp::write_fragmentation_needed(&mut bytes[..end], 0, mtu).unwrap();
    let message = &bytes[20..packet_bytes];
    node.inside(|| {
        let socket =
            socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(ipproto::ICMP));
        sendto(socket.unwrap(), message, SendFlags::empty(), &SocketAddr::new(local, 0)).unwrap();
    })
    .unwrap();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_forged_error_about_one_tunnel_stops_at_a_floor_and_leaves_the_other_as_it_was() {
    let sites = Sites::running("nsforged");
    let path = |rows: &[Value], encap: &str| {
        let row = rows.iter().find(|row| row["encap"] == encap).unwrap();
        (row["path_mtu"].as_u64().unwrap(), row["path"]["icmp_errors"]["too_big"].as_u64().unwrap_or(0))
    };
    let ends = ["10.200.100.6", "10.200.100.2"].map(|text| text.parse().unwrap());
    // gw-b's tunnel to gw-a is UDP 6001 to 5001, its tunnel to gw-c is protocol 115. Ports that are not right are not believed.
    forge(&sites.net.router, ends, [6001, 5002], 1000);
    for _ in 0..50 {
        forge(&sites.net.router, ends, [6001, 5001], 300);
    }
    let rows = sites.await_rows(1, "tunnel", "the forged path MTU", |rows| path(rows, "udp").0 == 576);
    assert!(path(&rows, "udp").1 >= 1);
    assert_eq!(path(&rows, "ip"), (1600, 0));
    sites.expect_ping(0, 1);
    sites.expect_ping(2, 1);
    sites.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_tunnel_whose_port_another_program_has_works_and_warns() {
    let pair = Pair::laid_out("nsporttaken", 1);
    let held = pair.gateways[0].inside(|| UdpSocket::bind((gateway_v4(0, 0), 5001)).unwrap()).unwrap();
    let pair = up(pair, gateway_v4, ["", ""]);
    pair.expect_pings();
    let warning = pair.rows(0, "tunnel").unwrap()[0]["warnings"][0].as_str().unwrap().to_owned();
    let process = format!("(process {})", std::process::id());
    assert!(
        warning.starts_with("UDP port 5001 of 10.9.0.2 is in use by") && warning.contains(&process),
        "{warning}"
    );
    assert_eq!(pair.rows(1, "tunnel").unwrap()[0]["warnings"], json!([]));
    drop(held);
    pair.await_rows(0, "tunnel", "the anchor to be held after all", |rows| rows[0]["warnings"] == json!([]));
}
