//! What stands on the router's wires, as tshark reads it.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use netlab::{Lab, Node, Process};

use super::sites::{SOON, Sites};

/// tcpdump on one interface, writing a file.
pub(crate) struct Capture {
    process: Process,
    pub(crate) path: PathBuf,
}

impl Capture {
    pub(crate) fn start(lab: &Lab, node: &Node, interface: &str, filter: &str) -> Self {
        let path = lab.dir().join(format!("{}-{interface}.pcap", node.name()));
        let words =
            ["tcpdump", "-i", interface, "-U", "-w", path.to_str().unwrap(), "-s", "0", "-Z", "root", filter];
        let process = node.spawn(&format!("tcpdump-{}-{interface}", node.name()), &words).unwrap();
        let is_listening =
            || if process.log().contains("listening on") { Ok(()) } else { Err(process.log()) };
        lab.wait_until("tcpdump to listen", SOON, is_listening).unwrap();
        Self { process, path }
    }

    /// Waits until the file holds `packets`, then ends the capture.
    pub(crate) fn finish(&self, lab: &Lab, packets: usize) {
        let count = || {
            let seen = tshark(&self.path, &[]).lines().count();
            if seen >= packets { Ok(()) } else { Err(format!("{seen} packets")) }
        };
        lab.wait_until("the capture to hold all packets", SOON, count).unwrap();
        self.process.terminate().unwrap();
    }
}

/// tshark's text for a capture, one line per packet.
pub(crate) fn tshark(path: &PathBuf, options: &[&str]) -> String {
    let output = Command::new("tshark")
        .arg("-r")
        .arg(path)
        .args(["-d", "udp.port==5001,l2tp", "-o", "l2tp.cookie_size:None", "-o", "l2tp.l2_specific:None"])
        .args(options)
        .output()
        .expect("tshark is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Whole packets of a capture file (classic pcap, microseconds, this machine's byte order, as tcpdump writes it).
fn packets(path: &PathBuf) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let (_, mut rest) = bytes.split_at(24);
    let mut packets = Vec::new();
    while let Some((header, after)) = rest.split_at_checked(16) {
        let len = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        let (packet, after) = after.split_at(len);
        packets.push(packet.to_vec());
        rest = after;
    }
    packets
}

#[test]
#[ignore = "needs root: cargo test -p spanwire --test netns -- --ignored"]
fn tshark_reads_both_encapsulations_and_finds_the_frames_that_were_sent() {
    let sites = Sites::running("nscapture");
    sites.expect_ping(0, 2);
    let on_lan = Capture::start(&sites.lab, &sites.net.pcs[0], "eth0", "icmp");
    let on_udp = Capture::start(&sites.lab, &sites.net.router, "eth0", "udp");
    let on_ip = Capture::start(&sites.lab, &sites.net.router, "eth2", "ip proto 115");
    sites.net.pcs[0]
        .run(&["ping", "-c", "5", "-i", "0.05", "-s", "200", "-W", "10", "10.200.101.3"])
        .unwrap();
    [&on_lan, &on_udp, &on_ip].iter().for_each(|capture| capture.finish(&sites.lab, 10));

    // Outer IP protocol, the UDP port of the peer, session id, both ways.
    assert_eq!(
        headers(&on_udp),
        ["17\t5001\t0x000003e8".to_owned(), "17\t6001\t0x000003e8".to_owned()].into()
    );
    assert_eq!(headers(&on_ip), ["115\t\t0x000007d0".to_owned()].into());

    // Byte for byte: what the PC's wire carried is what stands behind the session id and the sublayer (four zero bytes).
    let sent: BTreeSet<_> = packets(&on_lan.path).into_iter().collect();
    assert_eq!(sent.len(), 10, "five requests, five replies");
    let carried: BTreeSet<_> = sent.iter().map(|frame| format!("00000000{}", hex(frame))).collect();
    assert!(carried.is_subset(&payloads(&on_udp)), "over UDP");
    assert!(carried.is_subset(&payloads(&on_ip)), "over IP");
}

fn headers(capture: &Capture) -> BTreeSet<String> {
    let fields = ["-T", "fields", "-e", "ip.proto", "-e", "udp.dstport", "-e", "l2tp.sid"];
    tshark(&capture.path, &fields).lines().map(str::to_owned).collect()
}

/// What tshark takes for the payload of each L2TPv3 data packet, in hexadecimal.
fn payloads(capture: &Capture) -> BTreeSet<String> {
    tshark(&capture.path, &["-T", "fields", "-e", "data.data"]).lines().map(str::to_owned).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
