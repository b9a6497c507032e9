//! Every pair of PCs reaches each other, and addresses are where the PCs are.

use netlab::LinkOptions;

use super::sites::{SOON, Sites};

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn every_pair_of_pcs_pings_without_loss() {
    let sites = Sites::running("nsforward");
    for from in 0..3 {
        for to in (0..3).filter(|to| *to != from) {
            sites.expect_ping(from, to);
        }
    }
    sites.expect_conserved();
    for (position, name) in [(0, "l2tpeth0"), (1, "l2tpeth0"), (1, "l2tpeth1"), (2, "l2tpeth0")] {
        let session = sites.row(position, "session", name);
        assert!(
            session["rx_frames"].as_u64() > Some(0) && session["tx_frames"].as_u64() > Some(0),
            "{session}"
        );
        assert_eq!(session["drops"], serde_json::json!({}), "{session}");
        assert!(session["last_heard_s"].as_u64().is_some_and(|age| age < 60), "{session}");
    }
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn large_frames_pass_whole() {
    let sites = Sites::running("nslarge");
    for (from, target) in [(0, "10.200.101.3"), (2, "10.200.101.1")] {
        // 1472 bytes of payload, 8 of ICMP and 20 of IP: the LAN's MTU of 1500, don't fragment.
        let text = sites.net.pcs[from]
            .run(&["ping", "-M", "do", "-s", "1472", "-c", "3", "-i", "0.05", "-W", "10", target]);
        assert!(text.unwrap().contains(" 0% packet loss"));
    }
    sites.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn workers_share_the_queues_of_every_port() {
    let sites = Sites::running_with_queues("nsqueues", 4);
    let cpus = std::thread::available_parallelism().unwrap().get().min(4);
    assert_eq!(sites.rows(1, "worker").unwrap().len(), cpus, "a worker per queue, as far as there are CPUs");
    let ports = sites.rows(1, "port").unwrap();
    assert!(
        ports.iter().all(|port| port["queues"] == 4),
        "every queue has a socket, whoever serves it: {ports:?}"
    );
    for (from, to) in [(0, 2), (2, 1), (1, 0)] {
        sites.expect_ping(from, to);
    }
    sites.expect_conserved();
}

/// Where gw-b knows an address.
fn member_at_b(sites: &Sites, mac: &str) -> Option<String> {
    let rows = sites.rows(1, "fdb").unwrap();
    rows.iter().find(|row| row["mac"] == mac).map(|row| row["member"].as_str().unwrap().to_owned())
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn the_gateway_in_the_middle_knows_where_every_pc_is() {
    let sites = Sites::running("nsfdb");
    sites.expect_ping(0, 2);
    sites.expect_ping(1, 2);
    for (pc, member) in [(0, "l2tpeth0"), (1, "eth1"), (2, "l2tpeth1")] {
        let mac = sites.net.pcs[pc].mac("eth0").unwrap();
        assert_eq!(member_at_b(&sites, &mac).as_deref(), Some(member), "pc{}", pc + 1);
    }
    assert_eq!(sites.rows(1, "fdb").unwrap().len(), 3, "the PCs and nobody else");
    // The PCs themselves see each other's real addresses: nothing in between answers for anybody.
    let neighbours = sites.net.pcs[0].ip("neigh show dev eth0").unwrap();
    assert!(neighbours.contains(&sites.net.pcs[2].mac("eth0").unwrap()), "{neighbours}");
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_pc_that_is_plugged_in_elsewhere_is_found_there() {
    let sites = Sites::running("nsreplug");
    sites.expect_ping(0, 1);
    let mac = sites.net.pcs[0].mac("eth0").unwrap();
    assert_eq!(member_at_b(&sites, &mac).as_deref(), Some("l2tpeth0"));
    // Both cables are pulled, and pc1 is plugged into gw-c.
    sites.net.gateways[0].ip("link delete eth1").unwrap();
    sites.net.gateways[2].ip("link delete eth1").unwrap();
    sites.await_rows(2, "port", "gw-c to miss eth1", |rows| {
        rows.iter().any(|row| row["name"] == "eth1" && row["state"] == "down")
    });
    sites
        .lab
        .link((&sites.net.gateways[2], "eth1"), (&sites.net.pcs[0], "eth0"), &LinkOptions::default())
        .unwrap();
    let pc = &sites.net.pcs[0];
    pc.ip("link set eth0 down").unwrap();
    pc.ip(&format!("link set eth0 address {mac} up")).unwrap();
    netlab::article::act_like_hardware(pc, "eth0").unwrap();
    pc.ip("address add 10.200.101.1/24 dev eth0").unwrap();
    sites
        .await_rows(2, "port", "gw-c to hold eth1 again", |rows| rows.iter().all(|row| row["state"] == "up"));
    sites
        .lab
        .wait_until("pc1 to reach pc2 from its new place", SOON, || {
            pc.run(&["ping", "-c", "1", "-W", "1", "10.200.101.2"]).map_err(|error| format!("{error:#}"))
        })
        .unwrap();
    assert_eq!(member_at_b(&sites, &mac).as_deref(), Some("l2tpeth1"));
    sites.expect_conserved();
}
