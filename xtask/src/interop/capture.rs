//! What stood on the wire between the guest and us: for options that a peer does not object to when they are wrong.
//!
//! `tcpdump` writes the packets' heads; `etherparse`, which is not ours, reads them.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use etherparse::{IpNumber, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use netlab::{Lab, Node, Process};

use super::network::TAPS;

/// Bytes of each packet that are kept: the longest headers up to and including those of an inner IPv4 packet with a tag.
const HEAD_BYTES: &str = "128";

/// What is captured: L2TPv3 over UDP and over IP, and fragments.
const FILTER: &str = "udp or ip proto 115 or ip6 proto 115 or ip6 proto 44";

/// Time that tcpdump has to begin.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// Flags and reserved bits in front of the session id, over UDP. Units: bytes.
const UDP_HEAD_BYTES: usize = 4;

/// Length of a packet's record header in the file, and of the file's own. Units: bytes.
const RECORD_BYTES: usize = 16;
const FILE_BYTES: usize = 24;

/// A capture that runs.
#[derive(Debug)]
pub(super) struct Capture {
    process: Process,
    file: PathBuf,
}

/// Who sends to whom in which session; ports are zero without UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Flow {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) ports: (u16, u16),
    pub(super) session_id: u32,
}

/// One packet's changing parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Packet {
    /// Where it goes on the link.
    pub(super) destination_mac: [u8; 6],
    /// Time to live, or hop limit.
    pub(super) ttl: u8,
    /// Differentiated services and ECN, as the byte that they are.
    pub(super) traffic_class: u8,
    /// "Don't fragment"; never over IPv6.
    pub(super) df: bool,
    /// UDP checksum; `None` without UDP.
    pub(super) checksum: Option<u16>,
    /// From behind the session id on.
    pub(super) rest: Vec<u8>,
}

/// What a capture has.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// The packets of each session and direction, in order; those in fragments are left out.
    pub(super) flows: HashMap<Flow, Vec<Packet>>,
    /// Fragments, by source and destination.
    pub(super) fragments: HashMap<(IpAddr, IpAddr), usize>,
}

impl Capture {
    /// Begins to capture at the guest's tap, for a go of this number.
    ///
    /// # Errors
    /// tcpdump does not start.
    pub(super) fn start(lab: &Lab, wires: &Node, go: usize) -> Result<Self> {
        let file = lab.dir().join(format!("underlay-{go}.pcap"));
        let path = file.to_str().context("the lab's folder is not UTF-8")?;
        // In a folder that nobody but root may read, so it cannot become another user.
        let options =
            ["-i", TAPS[0], "-s", HEAD_BYTES, "-B", "16384", "--immediate-mode", "-U", "-Z", "root"];
        let words = [&["tcpdump"], &options[..], &["-w", path, FILTER]].concat();
        let process = wires.spawn(&format!("tcpdump-{go}"), &words)?;
        lab.wait_until("tcpdump to listen", START_DEADLINE, || {
            if process.log().contains("listening on") { Ok(()) } else { Err(process.log()) }
        })?;
        Ok(Self { process, file })
    }

    /// tcpdump.
    pub(super) fn process(&self) -> &Process {
        &self.process
    }

    /// How much there is by now. Units: bytes of the file.
    ///
    /// # Errors
    /// There is no file.
    pub(super) fn size(&self) -> Result<u64> {
        let about =
            fs::metadata(&self.file).with_context(|| format!("looking at {}", self.file.display()))?;
        Ok(about.len())
    }

    /// Ends the capture and returns what it had at a [size](Capture::size): what came behind is in nobody's books.
    ///
    /// # Errors
    /// tcpdump lost packets, or its file cannot be read.
    pub(super) fn end(self, size: u64) -> Result<Seen> {
        self.process.terminate()?;
        let log = self.process.log();
        ensure!(log.contains("\n0 packets dropped by kernel"), "tcpdump lost packets:\n{log}");
        let bytes = fs::read(&self.file).with_context(|| format!("reading {}", self.file.display()))?;
        let seen = usize::try_from(size).ok().and_then(|size| seen(bytes.get(..size)?));
        seen.with_context(|| format!("{} is no capture", self.file.display()))
    }
}

/// What is in a capture file in this machine's byte order.
fn seen(file: &[u8]) -> Option<Seen> {
    let mut seen = Seen::default();
    let mut records = file.get(FILE_BYTES..)?;
    while !records.is_empty() {
        let (header, rest) = records.split_at_checked(RECORD_BYTES)?;
        let len = u32::from_ne_bytes(*header[8..].first_chunk()?);
        let (bytes, rest) = rest.split_at_checked(len as usize)?;
        note(bytes, &mut seen);
        records = rest;
    }
    Some(seen)
}

/// Notes a frame, if it is an L2TPv3 data packet or a fragment.
fn note(frame: &[u8], seen: &mut Seen) -> Option<()> {
    let sliced = LaxSlicedPacket::from_ethernet(frame).ok()?;
    let (source, destination, payload, (ttl, traffic_class, df)) = match &sliced.net {
        Some(LaxNetSlice::Ipv4(ip)) => {
            let header = ip.header();
            let traffic_class = header.dcp().value() << 2 | header.ecn().value();
            let marks = (header.ttl(), traffic_class, header.dont_fragment());
            (header.source_addr().into(), header.destination_addr().into(), ip.payload().clone(), marks)
        }
        Some(LaxNetSlice::Ipv6(ip)) => {
            let header = ip.header();
            let marks = (header.hop_limit(), header.traffic_class(), false);
            (header.source_addr().into(), header.destination_addr().into(), ip.payload().clone(), marks)
        }
        _ => return None,
    };
    if payload.fragmented {
        *seen.fragments.entry((source, destination)).or_default() += 1;
        return Some(());
    }
    let (ports, checksum, data) = match &sliced.transport {
        Some(TransportSlice::Udp(udp)) => (
            (udp.source_port(), udp.destination_port()),
            Some(udp.checksum()),
            udp.payload().get(UDP_HEAD_BYTES..)?,
        ),
        _ if payload.ip_number == IpNumber::LAYER2_TUNNELING_PROTOCOL => ((0, 0), None, payload.payload),
        _ => return None,
    };
    let (session_id, rest) = data.split_first_chunk()?;
    let flow = Flow { source, destination, ports, session_id: u32::from_be_bytes(*session_id) };
    let (destination_mac, rest) = (*frame.first_chunk()?, rest.to_vec());
    let packet = Packet { destination_mac, ttl, traffic_class, df, checksum, rest };
    seen.flows.entry(flow).or_default().push(packet);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ethernet, IPv4 from 10.200.0.1 to 10.200.0.3, UDP 5001 to 6001 without checksum, session 7, four more bytes.
    const OVER_UDP: &[u8] = &[
        2, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 1, 8, 0, // Ethernet
        0x45, 0, 0, 40, 0, 0, 0, 0, 64, 17, 0, 0, 10, 200, 0, 1, 10, 200, 0, 3, // IPv4
        0x13, 0x89, 0x17, 0x71, 0, 20, 0, 0, // UDP
        0, 3, 0, 0, 0, 0, 0, 7, // L2TPv3 flags, session id
        0x40, 0, 0, 1, // sublayer
    ];

    /// The same over IP protocol 115.
    const OVER_IP: &[u8] = &[
        2, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 1, 8, 0, // Ethernet
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 115, 0, 0, 10, 200, 0, 1, 10, 200, 0, 3, // IPv4
        0, 0, 0, 7, // session id
        0x40, 0, 0, 1, // sublayer
    ];

    fn record(frame: &[u8]) -> Vec<u8> {
        let len = u32::try_from(frame.len()).unwrap().to_ne_bytes();
        [&[0; 8], &len[..], &len, frame].concat()
    }

    #[test]
    fn packets_over_udp_and_ip_are_told_apart_and_others_left_out() {
        let arp = [&[0xff; 12], &[8, 6][..], &[0; 28]].concat();
        let file = [vec![0; FILE_BYTES], record(OVER_UDP), record(&arp), record(OVER_IP)].concat();
        let seen = seen(&file).unwrap();
        let addresses = ["10.200.0.1", "10.200.0.3"].map(|address| address.parse().unwrap());
        let flow = |ports| Flow { source: addresses[0], destination: addresses[1], ports, session_id: 7 };
        let packet = |checksum| {
            let (destination_mac, rest) = ([2, 0, 0, 0, 0, 3], vec![0x40, 0, 0, 1]);
            vec![Packet { destination_mac, ttl: 64, traffic_class: 0, df: false, checksum, rest }]
        };
        let expected = [(flow((5001, 6001)), packet(Some(0))), (flow((0, 0)), packet(None))];
        assert_eq!(seen, Seen { flows: expected.into(), fragments: HashMap::new() });
    }

    #[test]
    fn the_marks_of_a_packet_are_read() {
        let mut marked = OVER_UDP.to_vec();
        (marked[15], marked[20], marked[22]) = (0xba, 0x40, 33);
        let mut seen = Seen::default();
        note(&marked, &mut seen).unwrap();
        let packet = &seen.flows.into_values().next().unwrap()[0];
        assert_eq!((packet.traffic_class, packet.df, packet.ttl), (0xba, true, 33));
    }

    #[test]
    fn fragments_are_counted_and_not_taken_for_packets() {
        let mut first = OVER_UDP.to_vec();
        first[20] = 0x20; // more fragments
        let mut last = OVER_IP.to_vec();
        last[21] = 1; // offset of eight bytes
        let seen = seen(&[vec![0; FILE_BYTES], record(&first), record(&last)].concat()).unwrap();
        let addresses = ("10.200.0.1".parse().unwrap(), "10.200.0.3".parse().unwrap());
        assert_eq!(seen, Seen { flows: HashMap::new(), fragments: [(addresses, 2)].into() });
    }

    #[test]
    fn a_packet_that_was_cut_off_is_read_as_far_as_it_goes() {
        let mut longer = OVER_UDP.to_vec();
        longer[17] = 200; // IPv4 total length
        longer[39] = 180; // UDP length
        let mut seen = Seen::default();
        note(&longer, &mut seen).unwrap();
        assert_eq!(seen.flows.into_values().next().unwrap()[0].rest, [0x40, 0, 0, 1]);
    }

    #[test]
    fn a_file_that_ends_in_a_packet_is_no_capture() {
        let file = [vec![0; FILE_BYTES], record(OVER_UDP)].concat();
        assert!(seen(&file[..file.len() - 1]).is_none());
    }
}
