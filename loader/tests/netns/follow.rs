//! The gateway follows the host: addresses, routes, neighbours, links; and leaves the host its own traffic.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use super::sites::{SOON, Sites};

/// Waits until the tunnel of gw-a is down for a reason that contains `text`, and its session with it.
fn await_down(sites: &Sites, text: &str) {
    let rows = sites.await_rows(0, "tunnel", &format!("the tunnel to be down: {text}"), |rows| {
        rows[0]["state"] == "down" && rows[0]["reason"].as_str().is_some_and(|reason| reason.contains(text))
    });
    let name = rows[0]["sessions"][0].as_str().unwrap();
    let session = sites.row(0, "session", name);
    assert_eq!(session["state"], "down");
    assert!(session["reason"].as_str().unwrap().contains(text), "{session}");
}

fn await_carrying(sites: &Sites) {
    sites.await_up(0);
    sites.expect_ping(0, 1);
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_tunnel_goes_down_with_its_reason_and_comes_up_by_itself() {
    let sites = Sites::running("nsfollow");
    let gateway = &sites.net.gateways[0];
    gateway.ip("address delete 10.200.100.2/30 dev eth0").unwrap();
    await_down(&sites, "local address 10.200.100.2 is not on this host");
    gateway.ip("address add 10.200.100.2/30 dev eth0").unwrap();
    await_down(&sites, "no route to 10.200.100.6");
    gateway.ip("route add default via 10.200.100.1").unwrap();
    await_carrying(&sites);
    gateway.ip("link set eth0 down").unwrap();
    await_down(&sites, "interface eth0 is down");
    gateway.ip("link set eth0 up").unwrap();
    gateway.ip("route add default via 10.200.100.1").unwrap();
    await_carrying(&sites);
    // The router's end is pulled: no carrier.
    sites.net.router.ip("link set eth0 down").unwrap();
    await_down(&sites, "no carrier");
    sites.net.router.ip("link set eth0 up").unwrap();
    await_carrying(&sites);
    sites.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_next_hop_that_changes_its_address_is_followed() {
    let sites = Sites::running("nsneigh");
    sites.expect_ping(0, 1);
    let router = &sites.net.router;
    router.ip("link set eth0 down").unwrap();
    router.ip("link set eth0 address 02:00:00:00:be:ef up").unwrap();
    sites.net.gateways[0].ip("neigh flush dev eth0").unwrap();
    sites.await_rows(0, "tunnel", "the new next hop", |rows| rows[0]["next_hop_mac"] == "02:00:00:00:be:ef");
    await_carrying(&sites);
    sites.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_tunnel_may_exist_before_its_route_does() {
    let mut sites = Sites::laid_out("nsbefore");
    sites.net.gateways[0].ip("route delete default").unwrap();
    for position in 0..3 {
        let gateway = sites.start(position, &[]);
        sites.gateways.push(gateway);
    }
    await_down(&sites, "no route to 10.200.100.6");
    sites.await_up(1);
    sites.net.gateways[0].ip("route add default via 10.200.100.1").unwrap();
    await_carrying(&sites);
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn queues_that_are_added_are_served() {
    let sites = Sites::with_queues("nschannels", 4);
    sites.net.gateways[0].ethtool("-L eth1 rx 2 tx 2").unwrap();
    let sites = sites.up();
    let rows = sites.rows(0, "worker").unwrap();
    sites.net.gateways[0].ethtool("-L eth1 rx 4 tx 4").unwrap();
    sites.await_rows(0, "port", "four queues on eth1", |rows| {
        rows.iter().any(|row| row["name"] == "eth1" && row["queues"] == 4 && row["state"] == "up")
    });
    sites.expect_ping(0, 1);
    assert_eq!(sites.rows(0, "worker").unwrap().len(), rows.len());
    sites.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn what_stands_in_a_ports_way_is_told() {
    let sites = Sites::running("nswarn");
    let gateway = &sites.net.gateways[0];
    gateway.ip("link add br9 type bridge").unwrap();
    gateway.ip("link set eth1 master br9").unwrap();
    let warned = |rows: &[serde_json::Value], name: &str, text: &str| {
        let row = rows.iter().find(|row| row["name"] == name).unwrap();
        row["warnings"].as_array().unwrap().iter().any(|warning| warning.as_str().unwrap().contains(text))
    };
    sites.await_rows(0, "port", "the warning about the bridge", |rows| {
        warned(rows, "eth1", "still a member of br9")
    });
    // A sender on a veth that leaves checksums to hardware: its TCP segments would be dropped at the far end.
    sites.net.pcs[0].ethtool("-K eth0 tx on").unwrap();
    let socket = sites.net.pcs[0].inside(|| std::net::UdpSocket::bind("10.200.101.1:9")).unwrap().unwrap();
    sites
        .lab
        .wait_until("the warning about checksums", SOON, || {
            socket.send_to(b"x", "10.200.101.2:9").map_err(|error| error.to_string())?;
            let rows = sites.rows(0, "port")?;
            if warned(&rows, "eth1", "tx off") { Ok(()) } else { Err(format!("{rows:?}")) }
        })
        .unwrap();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn decisions_of_the_program_are_logged_when_that_is_asked_for() {
    let sites = Sites::laid_out("nsdecide");
    let gateway = sites.start(0, &["--program-log-level", "debug"]);
    sites.await_rows(0, "port", "both ports to be up", |rows| rows.iter().all(|row| row["state"] == "up"));
    sites.net.router.run(&["ping", "-c", "1", "-w", "10", "10.200.100.2"]).unwrap();
    let logged =
        || if gateway.log().contains("queue 0: pass_not_tunnel") { Ok(()) } else { Err(gateway.log()) };
    sites.lab.wait_until("the decision about the ping", SOON, logged).unwrap();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn underlay_traffic_of_others_reaches_the_kernel() {
    let sites = Sites::running("nsunderlay");
    let text = sites.net.router.run(&["ping", "-c", "3", "-i", "0.05", "-W", "10", "10.200.100.6"]).unwrap();
    assert!(text.contains(" 0% packet loss"), "{text}");
    let listener = sites.net.gateways[1].inside(|| TcpListener::bind("10.200.100.6:2022")).unwrap().unwrap();
    let mut client =
        sites.net.gateways[0].inside(|| TcpStream::connect("10.200.100.6:2022")).unwrap().unwrap();
    let (mut server, peer) = listener.accept().unwrap();
    assert_eq!(peer.ip().to_string(), "10.200.100.2");
    server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let sent: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
    let receiver = std::thread::spawn(move || {
        let mut received = Vec::new();
        server.read_to_end(&mut received).map(|_| received)
    });
    client.write_all(&sent).unwrap();
    drop(client);
    assert_eq!(receiver.join().unwrap().unwrap(), sent);
    sites.expect_ping(0, 1);
}
