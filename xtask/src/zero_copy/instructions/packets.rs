//! What the generators send: a frame of the LAN, and the same in the peer's tunnel packet.

use anyhow::{Context as _, Result};
use etherparse::PacketBuilder;

/// A station on the gateway's LAN, and one behind the peer. Neither exists, so no card of the guest takes frames for them.
const STATIONS: [[u8; 6]; 2] = [[2, 0, 0, 0, 1, 0xa1], [2, 0, 0, 0, 1, 0xa2]];

/// The peer's WAN card and the gateway's.
const WAN_CARDS: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 4], [2, 0, 0, 0, 0, 3]];

/// Nobody's address: the cards take nothing for it.
const NOBODY: [u8; 6] = [2, 0, 0, 0, 1, 0x99];

/// Where the checksum of UDP stands in an IPv4 packet without options. Units: bytes from the frame's first.
const UDP_CHECKSUM: usize = 14 + 20 + 6;

/// Headers of Ethernet, IPv4 and UDP. Units: bytes.
const HEADERS: usize = 14 + 20 + 8;

/// Which way a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// From the gateway's LAN to the peer.
    Out,
    /// From the peer to the gateway's LAN.
    In,
}

/// A frame of a LAN, of so many bytes without FCS.
pub(super) fn frame(way: Way, bytes: usize) -> Result<Vec<u8>> {
    let [near, far] = STATIONS;
    let (source, destination) = match way {
        Way::Out => (near, far),
        Way::In => (far, near),
    };
    let builder =
        PacketBuilder::ethernet2(source, destination).ipv4([10, 0, 0, 8], [10, 0, 0, 9], 64).udp(9, 9);
    let content = vec![0; bytes.checked_sub(HEADERS).context("the headers alone are longer")?];
    let mut frame = Vec::with_capacity(bytes);
    builder.write(&mut frame, &content).context("building a frame")?;
    Ok(frame)
}

/// A frame in a packet of the peer's, as the kernel sends it by default: no cookie, a sublayer of zeros, no UDP checksum. With
/// `for_nobody`, the gateway's card does not take it.
pub(super) fn packet(frame: &[u8], for_nobody: bool) -> Result<Vec<u8>> {
    let [source, gateway] = WAN_CARDS;
    let destination = if for_nobody { NOBODY } else { gateway };
    // Version 3, a data message; reserved; session 1; sublayer. RFC 3931 §4.1.2.1, §4.6.
    let header = [0, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
    let builder = PacketBuilder::ethernet2(source, destination)
        .ipv4([192, 0, 2, 2], [192, 0, 2, 1], 64)
        .udp(1701, 1701);
    let mut packet = Vec::new();
    builder.write(&mut packet, &[&header, frame].concat()).context("building a packet")?;
    packet[UDP_CHECKSUM..UDP_CHECKSUM + 2].fill(0);
    Ok(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_long_as_asked_for_and_goes_between_the_stations() {
        for bytes in [64, 1514] {
            let frame = frame(Way::In, bytes).unwrap();
            assert_eq!(frame.len(), bytes);
            assert_eq!(frame[..12], [STATIONS[0], STATIONS[1]].concat());
        }
        assert!(frame(Way::Out, 41).is_err());
    }

    #[test]
    fn a_packet_holds_the_frame_behind_the_headers_of_session_1() {
        let inner = frame(Way::In, 64).unwrap();
        let packet = packet(&inner, false).unwrap();
        assert_eq!(packet.len(), 64 + HEADERS + 12);
        assert_eq!(packet[..12], [2, 0, 0, 0, 0, 3, 2, 0, 0, 0, 0, 4]);
        assert_eq!(packet[UDP_CHECKSUM..HEADERS + 12], [0, 0, 0, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(packet[HEADERS + 12..], inner);
    }
}
