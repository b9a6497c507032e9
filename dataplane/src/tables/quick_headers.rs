//! Quick headers: outer headers in which only lengths, identification and checksums differ from frame to frame.
//!
//! Place on the path: the row of `emit` writes them for frames that leave by one session one after the other. Nearly every session
//! is of this kind; the others (numbered, with a class from the frame, with an MSS limit) go through `encap`, which knows all of them
//! and writes the same bytes.

use wire::{
    checksum::{self, Sum},
    ipv4::Ipv4Header,
    ipv6::Ipv6Header,
    overhead::{IPV4_BYTES, IPV6_BYTES, MAX_ENCAP_BYTES},
    udp::UdpHeader,
};
use xsk::Frame;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{
    checksum_offload::Offload,
    next_hops::{IpPatch, UdpPatch},
};
use crate::stages::Identification;

/// Bytes that are copied for headers that are not longer: UDP over IPv4 with a cookie of eight bytes takes 62.
pub(crate) const SHORT_BYTES: usize = 64;

/// What there is to fill in.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Total length, identification and checksum, from the sum of the rest of the header.
    V4 { sum: u32 },
    /// The same, and the UDP length.
    V4Udp { sum: u32 },
    /// Payload length.
    V6,
    /// Payload length, and the UDP length, which is the same.
    V6Udp,
}

/// What a UDP checksum is made of.
#[derive(Clone, Copy, Debug)]
enum UdpSum {
    /// The sum of pseudo-header and header with both lengths and the checksum zero, and the payload.
    Whole(Sum),
    /// The pseudo-header: the port fills in the rest.
    Partial(Offload),
}

/// How a session's headers are filled in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuickHeaders {
    kind: Kind,
    /// Headers in front of a frame. Units: bytes.
    encap_bytes: u16,
    /// Those of them that the length in the IP header counts. Units: bytes.
    counted_bytes: u16,
    /// Those from the IP header on. Units: bytes.
    network_bytes: u16,
    /// For a UDP checksum.
    udp_sum: Option<UdpSum>,
    /// Largest frame that fits the path whole, and the length field. Units: bytes.
    max_frame_bytes: u16,
}

/// IPv4 header and UDP header as one run of bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct V4Udp {
    ip: Ipv4Header,
    udp: UdpHeader,
}

/// IPv6 header and UDP header as one run of bytes.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct V6Udp {
    ip: Ipv6Header,
    udp: UdpHeader,
}

impl QuickHeaders {
    /// For headers of `encap_bytes`, of which `link_bytes` stand in front of the IP header.
    ///
    /// `None` for lengths that no packet has.
    pub(super) fn new(
        (ip, udp): (IpPatch, UdpPatch),
        encap_bytes: usize,
        link_bytes: usize,
        max_frame_bytes: usize,
    ) -> Option<Self> {
        let network_bytes = encap_bytes.checked_sub(link_bytes)?;
        let kind = match (ip, udp) {
            (IpPatch::V4(sum), UdpPatch::Absent) => Kind::V4 { sum: u32::from(sum.fold()) },
            (IpPatch::V4(sum), _) => Kind::V4Udp { sum: u32::from(sum.fold()) },
            (IpPatch::V6, UdpPatch::Absent) => Kind::V6,
            (IpPatch::V6, _) => Kind::V6Udp,
        };
        let counted_bytes = match ip {
            IpPatch::V4(_) => network_bytes,
            IpPatch::V6 => network_bytes.checked_sub(IPV6_BYTES)?,
        };
        let udp_sum = match udp {
            UdpPatch::Checksum { whole, .. } => Some(UdpSum::Whole(whole)),
            UdpPatch::Absent | UdpPatch::Length => None,
        };
        let largest = usize::from(u16::MAX).checked_sub(counted_bytes)?;
        Some(Self {
            kind,
            udp_sum,
            encap_bytes: u16::try_from(encap_bytes).ok()?,
            counted_bytes: u16::try_from(counted_bytes).ok()?,
            network_bytes: u16::try_from(network_bytes).ok()?,
            max_frame_bytes: u16::try_from(max_frame_bytes.min(largest)).ok()?,
        })
    }

    /// The same with a UDP checksum that the port fills in.
    pub(super) fn offloaded(self, offload: Offload) -> Self {
        Self { udp_sum: Some(UdpSum::Partial(offload)), ..self }
    }

    /// Largest frame that they are written in front of. Units: bytes.
    #[inline]
    pub(crate) const fn max_frame_bytes(&self) -> usize {
        self.max_frame_bytes as usize
    }

    /// What there is to fill in.
    #[inline]
    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether [`SHORT_BYTES`] hold them.
    #[inline]
    pub(crate) const fn is_short(&self) -> bool {
        self.encap_bytes as usize <= SHORT_BYTES
    }

    /// Bytes that they take in front of a frame.
    #[inline]
    pub(crate) const fn header_bytes(&self) -> u16 {
        self.encap_bytes
    }

    /// Writes the headers in front of a linear frame that is not longer than [`Self::max_frame_bytes`]. `None`, and the frame is as it
    /// was, without the headroom. `kind` is [`Self::kind`], and `N` [`SHORT_BYTES`] where [`Self::is_short`] or else all: a loop over many
    /// frames knows both.
    #[inline(always)]
    pub(crate) fn write<const N: usize>(
        &self,
        kind: Kind,
        template: &[u8; MAX_ENCAP_BYTES],
        frame: &mut Frame,
        identification: &mut Identification,
    ) -> Option<()> {
        let encap_bytes = usize::from(self.encap_bytes);
        let length = narrow(frame.head_len()).wrapping_add(self.counted_bytes);
        let room = frame.before_mut::<N>()?;
        *room = *template.last_chunk()?;
        self.fill_in(kind, room, length, identification)?;
        let packet = frame.push_front(encap_bytes)?;
        if let Some(sum) = self.udp_sum {
            self.seal(packet, sum);
        }
        Some(())
    }

    /// Fills in the UDP checksum of a packet whose lengths are there.
    #[inline(never)]
    fn seal(&self, packet: &mut [u8], sum: UdpSum) {
        let ip_bytes = if matches!(self.kind, Kind::V6Udp) { IPV6_BYTES } else { IPV4_BYTES };
        let udp_offset = usize::from(self.encap_bytes - self.network_bytes) + ip_bytes;
        let segment = packet.get_mut(udp_offset..).unwrap_or_default();
        if let Ok((udp, payload)) = UdpHeader::mut_from_prefix(segment) {
            let length = udp.length.get();
            udp.checksum.set(match sum {
                UdpSum::Partial(offload) => offload.partial(length),
                // The length stands in the pseudo-header and in the header.
                UdpSum::Whole(sum) => {
                    (sum.add_u16(length).add_u16(length) + checksum::sum(payload)).finish_udp()
                }
            });
        }
    }

    /// Fills in what differs from frame to frame, in headers that end where `room` does.
    #[inline(always)]
    fn fill_in<const N: usize>(
        &self,
        kind: Kind,
        room: &mut [u8; N],
        length: u16,
        identification: &mut Identification,
    ) -> Option<()> {
        let packet = room.get_mut(N.checked_sub(usize::from(self.network_bytes))?..)?;
        match kind {
            Kind::V4Udp { sum } => {
                let (headers, _) = V4Udp::mut_from_prefix(packet).ok()?;
                patch(&mut headers.ip, length, identification.next_ipv4(), sum);
                headers.udp.length.set(length.wrapping_sub(narrow(IPV4_BYTES)));
            }
            Kind::V4 { sum } => {
                let (header, _) = Ipv4Header::mut_from_prefix(packet).ok()?;
                patch(header, length, identification.next_ipv4(), sum);
            }
            Kind::V6Udp => {
                let (headers, _) = V6Udp::mut_from_prefix(packet).ok()?;
                headers.ip.payload_length.set(length);
                headers.udp.length.set(length);
            }
            Kind::V6 => Ipv6Header::mut_from_prefix(packet).ok()?.0.payload_length.set(length),
        }
        Some(())
    }
}

/// As [`Ipv4Header::patch`], from a sum that is folded already.
#[inline(always)]
fn patch(header: &mut Ipv4Header, total_length: u16, identification: u16, sum: u32) {
    header.total_length.set(total_length);
    header.identification.set(identification);
    // Three words of 16 bits: their carries fit the upper half, and come round by one addition.
    let sum = sum + u32::from(total_length) + u32::from(identification);
    let [high, low, ..] = sum.wrapping_add(sum.rotate_left(16)).to_be_bytes();
    header.checksum.set(!u16::from_be_bytes([high, low]));
}

/// A length that is no longer than a packet.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "no frame and no header is longer than 65535 bytes")]
const fn narrow(bytes: usize) -> u16 {
    bytes as u16
}
