//! An underlay with the LANs' own MTU: outer packets leave in fragments, and are put together, with nothing configured.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    thread,
};

use netlab::{Node, article::SITES};

use super::sites::Sites;

/// Every pair of sites once: over UDP, over protocol 115, over both.
const PAIRS: [(usize, usize); 3] = [(0, 1), (1, 2), (0, 2)];

/// Three gateways on an underlay of 1500 bytes.
fn running(name: &str, queue_count: u32) -> Sites {
    Sites::over(name, queue_count, 1500).up()
}

/// What a TCP connection carries: no two of its blocks are alike.
fn text(len: usize) -> Vec<u8> {
    (0u32..).take(len).map(|at| at.wrapping_mul(0x9E37_79B1).to_be_bytes()[0]).collect()
}

/// A TCP connection between two machines: both ends.
fn connect(client: &Node, server: &Node, address: Ipv4Addr) -> (TcpStream, TcpStream) {
    let bind = || TcpListener::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let listener = server.inside(bind).unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = || TcpStream::connect(SocketAddrV4::new(address, port)).unwrap();
    let near = client.inside(connect).unwrap();
    (near, listener.accept().unwrap().0)
}

/// Sends `len` bytes over each of several connections at a time, and compares what came with what was sent.
fn transfer(sites: &Sites, (from, to): (usize, usize), connections: usize, len: usize) {
    let sent = text(len);
    thread::scope(|scope| {
        for _ in 0..connections {
            let (mut near, mut far) = connect(&sites.net.pcs[from], &sites.net.pcs[to], SITES[to].lan);
            let sent = &sent;
            scope.spawn(move || near.write_all(sent).unwrap());
            scope.spawn(move || {
                let mut came = Vec::new();
                far.read_to_end(&mut came).unwrap();
                assert!(came == *sent, "{} of {} bytes came, or others", came.len(), sent.len());
            });
        }
    });
}

/// Every gateway cut packets up and put some together, and lost none on the way.
fn expect_fragments(sites: &Sites) {
    for position in 0..3 {
        assert!(sites.workers_sum(position, "extra_fragments") > 0, "gateway {position} cut none up");
        assert!(
            sites.workers_sum(position, "reassembled_packets") > 0,
            "gateway {position} put none together"
        );
        let drops = sites.rows(position, "drop").unwrap();
        let lost: Vec<_> = drops
            .iter()
            .filter(|row| row["reason"].as_str().unwrap().contains("fragment") && row["frames"] != 0)
            .collect();
        assert!(lost.is_empty(), "gateway {position}: {lost:?}");
    }
    sites.expect_conserved();
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_lan_of_1500_bytes_works_over_an_underlay_of_1500_by_default() {
    let sites = running("nsfragments", 1);
    for (from, to) in PAIRS {
        // 1472 of payload, 8 of ICMP and 20 of IP.
        sites.expect_whole_ping(from, to, 1472);
        transfer(&sites, (from, to), 1, 1 << 20);
    }
    expect_fragments(&sites);
    assert!(sites.row(0, "session", "l2tpeth0")["tx_fragments"].as_u64() >= Some(2));
    let tunnel = &sites.rows(0, "tunnel").unwrap()[0];
    assert_eq!((&tunnel["path_mtu"], &tunnel["fragmentation"]), (&1500.into(), &"outer".into()));
}

/// Makes the router send what each worker of gw-a sent by a queue of its own to gw-b.
///
/// Left alone it chooses by a hash of what all fragments of a tunnel have in common, so that they stay on one queue, and by a
/// secret of the running kernel, so that it is the queue of the worker that puts them together on one machine and not on the next.
fn queue_by_sending_worker(sites: &Sites) {
    for (queue, worker) in sites.rows(0, "worker").unwrap().iter().enumerate() {
        // The router forwards on the CPU that sent. A mask has commas between words of 32 CPUs.
        let cpu = worker["cpu"].as_u64().expect("workers are pinned");
        let mask =
            format!("{:x}{}", 1u32 << (cpu % 32), ",00000000".repeat(usize::try_from(cpu / 32).unwrap()));
        let file = format!("/sys/class/net/eth1/queues/tx-{queue}/xps_cpus");
        sites.net.router.run(&["sh", "-c", "echo \"$1\" > \"$2\"", "xps", &mask, &file]).unwrap();
    }
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn fragments_that_arrive_at_several_workers_are_put_together_by_one() {
    let sites = running("nsfragments2", 2);
    assert_eq!(sites.rows(1, "worker").unwrap().len(), 2, "the machine has two CPUs or more");
    queue_by_sending_worker(&sites);
    for (from, to) in PAIRS {
        sites.expect_whole_ping(from, to, 1472);
        // A connection stays on one worker of the first gateway; sixteen are on both.
        transfer(&sites, (from, to), 16, 1 << 17);
    }
    expect_fragments(&sites);
    for position in 0..3 {
        assert_eq!(sites.workers_sum(position, "handed"), sites.workers_sum(position, "taken"));
    }
    // The connections' segments, which are what is cut up, arrive at gw-b on both queues; its neighbours get but the pings' fragments.
    assert!(sites.workers_sum(1, "handed") > 0, "one worker received every fragment");
}

/// Three gateways whose LANs have an MTU of 9000.
fn jumbo(name: &str, underlay_mtu_bytes: u32) -> Sites {
    let sites = Sites::over(name, 1, underlay_mtu_bytes);
    for (gateway, pc) in sites.net.gateways.iter().zip(&sites.net.pcs) {
        gateway.ip("link set eth1 mtu 9000").unwrap();
        pc.ip("link set eth0 mtu 9000").unwrap();
    }
    sites.up()
}

/// Largest pings and TCP over a LAN of 9000.
fn expect_jumbo(sites: &Sites) {
    for (from, to) in PAIRS {
        sites.expect_whole_ping(from, to, 8972);
        transfer(sites, (from, to), 1, 4 << 20);
    }
    expect_fragments(sites);
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_jumbo_lan_works_over_an_underlay_of_9000() {
    let sites = jumbo("nsfragments3", 9000);
    expect_jumbo(&sites);
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn a_jumbo_lan_works_over_an_underlay_of_1500() {
    let sites = jumbo("nsfragments4", 1500);
    expect_jumbo(&sites);
}
