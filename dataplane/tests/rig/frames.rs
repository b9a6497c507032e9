//! Frames and packets of the rig's world, built from nothing or changed on purpose.

use std::net::{IpAddr, Ipv4Addr};

use wire::{
    build::{self, FrameSpec, Transport},
    checksum,
    ethernet::MacAddr,
    l2tpv3::{Cookie, DataHeader, SessionId, Sublayer},
};

use super::{COOKIE_A, LOCAL, PEER_A, PEER_B};

pub const PC_1: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub const PC_2: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub const EVERYBODY: [u8; 6] = [0xFF; 6];

/// A LAN frame of 60 bytes, EtherType 0x88B5 (IEEE 802 local experiments).
pub fn lan_frame(destination: [u8; 6], source: [u8; 6]) -> Vec<u8> {
    tagged(destination, source, &[])
}

/// The same of another length, Ethernet header included.
pub fn lan_frame_of(destination: [u8; 6], source: [u8; 6], len: usize) -> Vec<u8> {
    let mut bytes = lan_frame(destination, source);
    bytes.resize(len, 0xA5);
    bytes
}

/// The same behind customer tags; 60 bytes with them.
pub fn tagged(destination: [u8; 6], source: [u8; 6], vids: &[u16]) -> Vec<u8> {
    let mut bytes = [destination, source].concat();
    for vid in vids {
        bytes.extend([0x81, 0x00]);
        bytes.extend(vid.to_be_bytes());
    }
    bytes.extend([0x88, 0xB5]);
    bytes.resize(60, 0xA5);
    bytes
}

/// An IPv4 packet of this whole length from [`PC_1`] to the station that the traffic of `no_allocation` has behind session
/// A, with or without "don't fragment".
pub fn ipv4_frame(packet_bytes: usize, dont_fragment: bool) -> Vec<u8> {
    let spec = FrameSpec {
        destination: MacAddr([2, 0, 0, 0, 0, 3]),
        source: MacAddr(PC_1),
        transport: Transport::udp(7, 9),
        ..FrameSpec::default()
    };
    changed(raw_packet(&spec, &vec![0xA5; packet_bytes - 28]), |frame| {
        frame[20] = if dont_fragment { 0x40 } else { 0 };
    })
}

/// What goes through the tunnels when it does not matter what: a broadcast from [`PC_1`].
pub fn inner() -> Vec<u8> {
    lan_frame(EVERYBODY, PC_1)
}

/// A packet from a peer to the gateway.
pub fn from_peer(remote: Ipv4Addr, transport: Transport) -> FrameSpec<'static> {
    FrameSpec {
        source_ip: IpAddr::V4(remote),
        destination_ip: IpAddr::V4(LOCAL),
        transport,
        ..FrameSpec::default()
    }
}

/// An L2TPv3 data packet.
pub fn data_packet(
    spec: &FrameSpec<'_>,
    id: u32,
    cookie: Cookie,
    sublayer: Sublayer,
    inner: &[u8],
) -> Vec<u8> {
    let mut bytes = vec![0; inner.len() + 128];
    let header = DataHeader::new(SessionId::new(id).unwrap(), cookie, sublayer);
    let used = build::l2tp_frame(&mut bytes, spec, &header, inner).unwrap();
    bytes.truncate(used);
    bytes
}

/// Any packet from a peer, with this behind its IP and UDP headers.
pub fn raw_packet(spec: &FrameSpec<'_>, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; payload.len() + 128];
    let used = build::frame(&mut bytes, spec, &[payload]).unwrap();
    bytes.truncate(used);
    bytes
}

/// A good packet of session A (UDP, id 1000, cookie of 8 bytes, default sublayer).
///
/// ```text
/// | Ethernet 14 | IPv4 20 | UDP 8 | flags 4 | id 4 | cookie 8 | sublayer 4 | inner frame
/// 0             14        34      42        46     50         58           62
/// ```
pub fn packet_a(inner: &[u8]) -> Vec<u8> {
    packet_a_over(Transport::udp_unchecked(5001, 6001), inner)
}

/// The same over another transport.
pub fn packet_a_over(transport: Transport, inner: &[u8]) -> Vec<u8> {
    let spec = from_peer(PEER_A, transport);
    data_packet(&spec, 1000, Cookie::eight(COOKIE_A), Sublayer::Default, inner)
}

/// A good packet of session B (IP 115, id 2000, no cookie, default sublayer).
///
/// ```text
/// | Ethernet 14 | IPv4 20 | id 4 | sublayer 4 | inner frame
/// 0             14        34     38           42
/// ```
pub fn packet_b(inner: &[u8]) -> Vec<u8> {
    data_packet(&from_peer(PEER_B, Transport::L2TP_IP), 2000, Cookie::NONE, Sublayer::Default, inner)
}

/// Changes a packet and makes its IPv4 header's checksum right again.
pub fn changed(mut packet: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    change(&mut packet);
    reseal(&mut packet);
    packet
}

/// Makes the checksum of a packet's IPv4 header right again, as long as the header says it is.
pub fn reseal(packet: &mut [u8]) {
    let header_bytes = usize::from(packet[14] & 0x0F).max(5) * 4;
    let end = packet.len().min(14 + header_bytes);
    packet[24..26].fill(0);
    let sum = !checksum::sum(&packet[14..end]).fold();
    packet[24..26].copy_from_slice(&sum.to_be_bytes());
}

/// Adds to a 16-bit length field at an offset.
pub fn lengthen(packet: &mut [u8], offset: usize, by: i16) {
    let field = u16::from_be_bytes([packet[offset], packet[offset + 1]]).wrapping_add_signed(by);
    packet[offset..offset + 2].copy_from_slice(&field.to_be_bytes());
}
