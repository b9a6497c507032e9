//! The data header: flags and version (UDP only), session id, and both directions of reading and writing it.

use super::{Cookie, DefaultSublayer, L2tpError, SessionId, Sublayer};
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// T bit of the first 16 bits over UDP: a control message.
pub(super) const FLAG_CONTROL: u16 = 0x8000;
/// Version bits of the first 16 bits over UDP.
const VERSION_MASK: u16 = 0x000F;
/// Their value for L2TPv3.
const VERSION_3: u16 = 3;

/// Longest data header: UDP flags, session id, 8-byte cookie, sublayer. Units: bytes.
pub const MAX_DATA_HEADER_BYTES: usize =
    size_of::<UdpDataHeader>() + size_of::<SessionHeader>() + 8 + size_of::<DefaultSublayer>();

/// What stands in front of the session id over UDP.
///
/// ```text
/// +-+-------------------------+---------+---------------------------+
/// |T| reserved (11)           | Ver (4) | reserved (16)             |
/// +-+-------------------------+---------+---------------------------+
/// ```
///
/// Byte order: network. Source: RFC 3931 §4.1.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct UdpDataHeader {
    /// T bit, reserved bits, version.
    pub flags_version: U16,
    /// Sent zero, ignored on receive.
    pub reserved: U16,
}

/// The session id; the whole data header over IP.
///
/// Byte order: network. Source: RFC 3931 §4.1.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct SessionHeader {
    /// Chosen by the receiver; 0: control channel.
    pub session_id: U32,
}

/// What carries L2TPv3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Encap {
    /// UDP.
    #[default]
    Udp,
    /// IP protocol 115.
    Ip,
}

/// Everything between UDP or IP header and inner Ethernet frame, as one session sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataHeader {
    /// The id the peer chose.
    pub session_id: SessionId,
    /// The cookie the peer expects.
    pub cookie: Cookie,
    /// The sublayer the peer expects.
    pub sublayer: Sublayer,
    /// What to write into the sublayer, if there is one.
    pub sublayer_word: DefaultSublayer,
}

/// Splits a UDP payload into session id and what follows it: cookie, sublayer, frame.
///
/// The version is looked at before any other bit: L2TPv2 may come in on the same port.
/// Reserved bits are ignored.
///
/// # Errors
///
/// [`L2tpError::Truncated`], [`L2tpError::Version`], [`L2tpError::Control`] (T bit or session id 0).
#[inline]
pub fn split_udp(payload: &[u8]) -> Result<(SessionId, &[u8]), L2tpError> {
    let (header, rest) = UdpDataHeader::ref_from_prefix(payload).map_err(|_| L2tpError::Truncated)?;
    if header.version() != VERSION_3 {
        return Err(L2tpError::Version);
    }
    if header.is_control() {
        return Err(L2tpError::Control);
    }
    split_ip(rest)
}

/// Splits the payload of an IP packet of protocol 115 into session id and what follows it.
///
/// # Errors
///
/// [`L2tpError::Truncated`], [`L2tpError::Control`] (session id 0).
#[inline]
pub fn split_ip(payload: &[u8]) -> Result<(SessionId, &[u8]), L2tpError> {
    let (header, rest) = SessionHeader::ref_from_prefix(payload).map_err(|_| L2tpError::Truncated)?;
    let session_id = SessionId::new(header.session_id.get()).ok_or(L2tpError::Control)?;
    Ok((session_id, rest))
}

impl UdpDataHeader {
    /// Flags of a data packet: T clear, version 3.
    pub const DATA: Self = Self { flags_version: U16::new(VERSION_3), reserved: U16::ZERO };

    /// Version 3 and T clear, whatever the reserved bits are.
    #[must_use]
    #[inline]
    pub const fn is_data(&self) -> bool {
        self.flags_version.get() & (FLAG_CONTROL | VERSION_MASK) == VERSION_3
    }

    /// L2TP version.
    #[must_use]
    #[inline]
    pub const fn version(&self) -> u16 {
        self.flags_version.get() & VERSION_MASK
    }

    /// T bit.
    #[must_use]
    #[inline]
    pub const fn is_control(&self) -> bool {
        self.flags_version.get() & FLAG_CONTROL != 0
    }
}

impl Encap {
    /// Length of what stands between IP header and session id. Units: bytes. Range: 12 or 0.
    #[must_use]
    #[inline]
    pub const fn len_bytes(self) -> usize {
        match self {
            Self::Udp => size_of::<crate::udp::UdpHeader>() + size_of::<UdpDataHeader>(),
            Self::Ip => 0,
        }
    }
}

impl DataHeader {
    /// A header with an unsequenced sublayer word.
    #[must_use]
    #[inline]
    pub const fn new(session_id: SessionId, cookie: Cookie, sublayer: Sublayer) -> Self {
        Self { session_id, cookie, sublayer, sublayer_word: DefaultSublayer::UNSEQUENCED }
    }

    /// Length behind the UDP or IP header. Units: bytes. Range: 4..=20.
    #[must_use]
    #[inline]
    pub const fn len_bytes(&self, encap: Encap) -> usize {
        let flags = match encap {
            Encap::Udp => size_of::<UdpDataHeader>(),
            Encap::Ip => 0,
        };
        flags + size_of::<SessionHeader>() + self.cookie.len_bytes() + self.sublayer.len_bytes()
    }

    /// Writes the header to the front of `out` and returns what is left of it.
    ///
    /// # Errors
    ///
    /// [`L2tpError::NoRoom`] when `out` is shorter than [`Self::len_bytes`].
    #[inline]
    pub fn write<'b>(&self, encap: Encap, out: &'b mut [u8]) -> Result<&'b mut [u8], L2tpError> {
        let rest = match encap {
            Encap::Udp => {
                let (slot, rest) = UdpDataHeader::mut_from_prefix(out).map_err(|_| L2tpError::NoRoom)?;
                *slot = UdpDataHeader::DATA;
                rest
            }
            Encap::Ip => out,
        };
        let (slot, rest) = SessionHeader::mut_from_prefix(rest).map_err(|_| L2tpError::NoRoom)?;
        slot.session_id = U32::new(self.session_id.get());
        self.sublayer.write(self.sublayer_word, self.cookie.write(rest)?)
    }
}
