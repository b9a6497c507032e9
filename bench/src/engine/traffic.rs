//! Traffic: the frames of a scenario as they arrive, one after the other, each of the next station.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, anyhow, ensure};
use wire::build::{self, FrameSpec, Transport};
use wire::ethernet::{self, MacAddr};
use wire::ipv4;
use wire::l2tpv3::{Cookie, DataHeader, SessionId, Sublayer};
use wire::overhead::{self, IpFamily};
use wire::udp;
use xsk::{Chunk, Frame};

use super::scenario::{Carrier, FrameLength, Scenario, Way};
use crate::flows::{FlowPlan, HEAD_BYTES};

/// Where a frame starts in its chunk: as AF_XDP delivers it. Units: bytes.
const FRAME_START_BYTES: usize = 256;

/// Room for the longest packet. Units: bytes.
const PACKET_ROOM_BYTES: usize = 2048;

/// The first stations' addresses.
const FIRST_SOURCE: u64 = 0x02_00_01_00_00_00;
const FIRST_DESTINATION: u64 = 0x02_00_02_00_00_00;

/// The cookie of all sessions, both ways.
pub(super) const COOKIE: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// UDP port of all peers, and ours.
pub(super) const PEER_PORT: u16 = 5001;
pub(super) const OWN_PORT: u16 = 6001;

/// Sessions that one tunnel carries.
const SESSIONS_PER_TUNNEL: u32 = 64;

/// Offset of the stamp's sequence number in an untagged frame: Ethernet, IPv4, UDP, magic and flow id.
const SEQUENCE_OFFSET: usize = 14 + 20 + 8 + 8;

/// IMIX by position: the long frames stand apart.
const IMIX: [u16; 12] = [64, 64, 594, 64, 594, 64, 1518, 64, 594, 64, 594, 64];

/// The id of a session by its position in the tables.
pub(super) fn session_id(position: u32) -> anyhow::Result<SessionId> {
    SessionId::new(1000 + position).context("ids start at 1")
}

/// Source address of the station at a position.
pub(super) fn source(station: u32) -> MacAddr {
    MacAddr::from_u64(FIRST_SOURCE + u64::from(station))
}

/// Destination address of the station at a position.
pub(super) fn destination(station: u32) -> MacAddr {
    MacAddr::from_u64(FIRST_DESTINATION + u64::from(station))
}

/// Our address and the peer's, by the session's position.
pub(super) fn addresses(carrier: Carrier, position: u32) -> (IpAddr, IpAddr) {
    let tunnel = position / SESSIONS_PER_TUNNEL;
    let [_, _, high, low] = tunnel.to_be_bytes();
    match carrier {
        Carrier::UdpIpv6 => {
            let address =
                |host: u16| Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, u16::from_be_bytes([high, low]), host);
            (Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 1, 0, 1).into(), address(2).into())
        }
        _ => (Ipv4Addr::new(10, 200, 100, 6).into(), Ipv4Addr::new(10, 201, high, low).into()),
    }
}

/// Bytes in front of a frame: Ethernet, IP, UDP, L2TPv3, cookie, sublayer.
pub(super) fn outer_bytes(carrier: Carrier) -> usize {
    use wire::l2tpv3::Encap;
    let (family, encap) = match carrier {
        Carrier::Udp | Carrier::UdpChecksum | Carrier::UdpChecksumOffloaded => (IpFamily::V4, Encap::Udp),
        Carrier::UdpIpv6 => (IpFamily::V6, Encap::Udp),
        Carrier::Ip => (IpFamily::V4, Encap::Ip),
    };
    overhead::ETHERNET_BYTES + overhead::encap_bytes(family, encap, COOKIE.len(), Sublayer::Default)
}

/// The frames of one worker.
#[derive(Debug)]
pub(super) struct Traffic {
    scenario: Scenario,
    /// An inner frame of each length that occurs.
    inner: Vec<Vec<u8>>,
    packet: Vec<u8>,
    /// Number of the next frame.
    next: u64,
    /// Distance between this worker's frames.
    step: u64,
}

impl Traffic {
    /// Frames number `worker`, `worker + workers` and so on.
    pub(super) fn new(scenario: &Scenario, worker: usize, workers: usize) -> anyhow::Result<Self> {
        let lengths: &[u16] = match &scenario.frame {
            FrameLength::Bytes(bytes) => std::slice::from_ref(bytes),
            FrameLength::Imix => &[64, 594, 1518],
        };
        let inner = lengths.iter().map(|&bytes| inner_frame(usize::from(bytes))).collect::<Result<_, _>>()?;
        let packet = vec![0; PACKET_ROOM_BYTES];
        Ok(Self { scenario: *scenario, inner, packet, next: worker as u64, step: workers as u64 })
    }

    /// Distance between the numbers of this worker's frames.
    pub(super) fn step(&self) -> usize {
        usize::try_from(self.step).unwrap_or(1)
    }

    /// The number of the frame that comes next.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    /// The next frame as it arrives, in a chunk that holds zeros or an earlier frame of this traffic. Only headers are written,
    /// so that payload is no warmer in the caches than a network card leaves it.
    pub(super) fn arrive(&mut self, chunk: Chunk) -> anyhow::Result<Frame> {
        let number = self.next;
        self.next += self.step;
        let inner = self.inner(number)?;
        let (bytes, written) = match self.scenario.way {
            Way::Encap | Way::Ports => (inner.as_slice(), HEAD_BYTES),
            Way::Decap | Way::Relay => {
                let len = self.wrap(number, &inner)?;
                (self.packet.get(..len).context("a packet in its buffer")?, len - inner.len() + HEAD_BYTES)
            }
        };
        let mut frame = Frame::new(chunk, FRAME_START_BYTES, bytes.len())
            .map_err(|_| anyhow!("{} bytes do not fit a chunk", bytes.len()))?;
        let head = frame.head_mut().get_mut(..written).context("a frame is longer than its headers")?;
        head.copy_from_slice(bytes.get(..written).context("a frame is longer than its headers")?);
        Ok(frame)
    }

    /// The inner frame of a number.
    pub(super) fn inner(&self, number: u64) -> anyhow::Result<Vec<u8>> {
        let bytes = match self.scenario.frame {
            FrameLength::Bytes(bytes) => bytes,
            FrameLength::Imix => IMIX[usize::try_from(number % IMIX.len() as u64)?],
        };
        let template = self.inner.iter().find(|frame| frame.len() == usize::from(bytes));
        let mut frame = template.context("every length has a template")?.clone();
        let station = self.station(number)?;
        frame[..6].copy_from_slice(&destination(station).0);
        frame[6..12].copy_from_slice(&source(station).0);
        set_hosts(&mut frame, station);
        frame[SEQUENCE_OFFSET..SEQUENCE_OFFSET + 8].copy_from_slice(&number.to_be_bytes());
        Ok(frame)
    }

    fn station(&self, number: u64) -> anyhow::Result<u32> {
        Ok(u32::try_from(number % u64::from(self.scenario.stations()))?)
    }

    /// Writes the packet that the peer sends with an inner frame in it; returns its length.
    fn wrap(&mut self, number: u64, inner: &[u8]) -> anyhow::Result<usize> {
        let position = self.station(number)? % self.scenario.a_sessions();
        let (own, peer) = addresses(self.scenario.carrier, position);
        let transport = match self.scenario.carrier {
            Carrier::Udp | Carrier::UdpIpv6 => Transport::udp_unchecked(PEER_PORT, OWN_PORT),
            Carrier::UdpChecksum | Carrier::UdpChecksumOffloaded => Transport::udp(PEER_PORT, OWN_PORT),
            Carrier::Ip => Transport::L2TP_IP,
        };
        let spec = FrameSpec { source_ip: peer, destination_ip: own, transport, ..FrameSpec::default() };
        let header = DataHeader::new(session_id(position)?, Cookie::eight(COOKIE), Sublayer::Default);
        Ok(build::l2tp_frame(&mut self.packet, &spec, &header, inner)?)
    }

    /// Refuses a transmitted frame that is not what frame `number` has to become.
    ///
    /// # Errors
    /// It has another length, another inner frame, or a UDP checksum that is not the one it has to leave with.
    pub(super) fn check_left(&self, number: u64, frame: &Frame) -> anyhow::Result<()> {
        let added = added_bytes(&self.scenario);
        let (bytes, inner) = (frame.linear().context("a frame in several chunks left")?, self.inner(number)?);
        ensure!(
            bytes.len() == added + inner.len() && bytes.ends_with(&inner),
            "frame {number} left as {} bytes that are not its {} behind {added} of headers",
            bytes.len(),
            inner.len()
        );
        if self.scenario.way == Way::Encap && self.scenario.carrier.has_checksum() {
            ensure!(has_checksum(self.scenario.carrier, bytes)?, "frame {number} left with a wrong checksum");
        }
        Ok(())
    }
}

/// Whether a packet over UDP and IPv4 has the right checksum, or the right sum of the pseudo-header where the port has to do the rest.
fn has_checksum(carrier: Carrier, frame: &[u8]) -> anyhow::Result<bool> {
    let (ip, _, segment) = ipv4::split(ethernet::read(frame)?.payload)?;
    let (header, payload) = udp::split(segment)?;
    let pseudo = ip.pseudo_header(header.length.get());
    Ok(match carrier {
        Carrier::UdpChecksumOffloaded => header.checksum.get() == pseudo.fold(),
        _ => header.has_checksum() && udp::verify_checksum(header, payload, pseudo).is_ok(),
    })
}

/// Writes the IP addresses of a station and of the one that it talks to.
fn set_hosts(frame: &mut [u8], station: u32) {
    let [_, a, b, c] = station.to_be_bytes();
    frame[26..30].copy_from_slice(&[10, a, b, c]);
    frame[30..34].copy_from_slice(&[11, a, b, c]);
    frame[24..26].fill(0);
    let sum = !wire::checksum::sum(&frame[14..34]).fold();
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

/// The number in a frame that left.
pub(super) fn inner_number(scenario: &Scenario, frame: &Frame) -> anyhow::Result<u64> {
    let at = added_bytes(scenario) + SEQUENCE_OFFSET;
    let bytes = frame.linear().and_then(|bytes| bytes.get(at..)?.first_chunk());
    Ok(u64::from_be_bytes(*bytes.context("a frame that left has its number")?))
}

/// Bytes that a frame leaves with in front of what it was on the LAN.
fn added_bytes(scenario: &Scenario) -> usize {
    match scenario.way {
        Way::Encap => outer_bytes(scenario.carrier),
        Way::Relay => outer_bytes(Carrier::Ip),
        Way::Decap | Way::Ports => 0,
    }
}

/// A frame between two stations; addresses and sequence number are written later. Behind its first 64 bytes it is zeros.
fn inner_frame(frame_bytes: usize) -> anyhow::Result<Vec<u8>> {
    let any = "02:00:00:00:00:01".parse()?;
    Ok(FlowPlan { flows: 1, source: any, destination: any, vlan: None, frame_bytes }.frame(0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imix_has_seven_short_four_middle_and_one_long_frame_of_twelve() {
        let count = |bytes| IMIX.iter().filter(|&&length| length == bytes).count();
        assert_eq!((count(64), count(594), count(1518)), (7, 4, 1));
    }

    #[test]
    fn two_workers_share_the_frames_of_one() {
        let base = Scenario::base(Way::Encap);
        let second = Traffic::new(&base, 1, 2).expect("traffic");
        let only = Traffic::new(&base, 0, 1).expect("traffic");
        assert_eq!((second.next_number(), second.step), (1, 2));
        assert_eq!(second.inner(5).expect("a frame"), only.inner(5).expect("a frame"));
        assert_ne!(only.inner(5).expect("a frame"), only.inner(6).expect("a frame"));
    }
}
