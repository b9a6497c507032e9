//! The control message header: enough to recognise one.

use super::L2tpError;
use super::data::SessionHeader;
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// T, L, S and the version: the bits of the first 16 that have one legal value.
const FIXED_MASK: u16 = 0xC80F;
/// Their legal value.
const FIXED_BITS: u16 = 0xC803;

/// Control message header. Over IP, 32 zero bits (session id 0) stand in front of it.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+---+-+-------------+-------+-------------------------------+
/// |T|L|x x|S|x x x x x x x| Ver=3 |            length             |
/// +-+-+---+-+-------------+-------+-------------------------------+
/// |                     control connection id                     |
/// +-------------------------------+-------------------------------+
/// |              Ns               |              Nr               |
/// +-------------------------------+-------------------------------+
/// ```
///
/// Byte order: network. Source: RFC 3931 §3.2.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct ControlHeader {
    /// T, L and S (all set), reserved bits, version.
    pub flags_version: U16,
    /// From the T bit to the last AVP; the zero word of IP is not counted. Units: bytes.
    pub length: U16,
    /// The recipient's id; 0 until it is known.
    pub control_connection_id: U32,
    /// Sequence number of this message.
    pub ns: U16,
    /// Sequence number expected next from the peer.
    pub nr: U16,
}

/// Splits a UDP payload into control header and AVPs.
///
/// # Errors
///
/// [`L2tpError::Truncated`] when the payload ends before header or stated length do,
/// [`L2tpError::NotControl`] when T, L, S, version or length are not a control message's.
#[inline]
pub fn split_control_udp(payload: &[u8]) -> Result<(&ControlHeader, &[u8]), L2tpError> {
    let (header, rest) = ControlHeader::ref_from_prefix(payload).map_err(|_| L2tpError::Truncated)?;
    if header.flags_version.get() & FIXED_MASK != FIXED_BITS {
        return Err(L2tpError::NotControl);
    }
    let stated = usize::from(header.length.get());
    let avps_bytes = stated.checked_sub(size_of::<ControlHeader>()).ok_or(L2tpError::NotControl)?;
    let avps = rest.get(..avps_bytes).ok_or(L2tpError::Truncated)?;
    Ok((header, avps))
}

/// Splits the payload of an IP packet of protocol 115 into control header and AVPs.
///
/// # Errors
///
/// As [`split_control_udp`]; [`L2tpError::NotControl`] also where the session id is not 0.
#[inline]
pub fn split_control_ip(payload: &[u8]) -> Result<(&ControlHeader, &[u8]), L2tpError> {
    let (zero, rest) = SessionHeader::ref_from_prefix(payload).map_err(|_| L2tpError::Truncated)?;
    match zero.session_id.get() {
        0 => split_control_udp(rest),
        _ => Err(L2tpError::NotControl),
    }
}

impl ControlHeader {
    /// A header for `avps_bytes` of AVPs.
    ///
    /// # Errors
    ///
    /// [`L2tpError::NoRoom`] when header and AVPs exceed 65 535 bytes.
    #[inline]
    pub fn new(control_connection_id: u32, ns: u16, nr: u16, avps_bytes: usize) -> Result<Self, L2tpError> {
        let length = avps_bytes.saturating_add(size_of::<Self>());
        Ok(Self {
            flags_version: U16::new(FIXED_BITS),
            length: U16::new(u16::try_from(length).map_err(|_| L2tpError::NoRoom)?),
            control_connection_id: U32::new(control_connection_id),
            ns: U16::new(ns),
            nr: U16::new(nr),
        })
    }

    /// Writes the header to the front of `out` and returns what is left of it.
    ///
    /// # Errors
    ///
    /// [`L2tpError::NoRoom`] when `out` is shorter than the header.
    #[inline]
    pub fn write<'b>(&self, out: &'b mut [u8]) -> Result<&'b mut [u8], L2tpError> {
        let (slot, rest) = Self::mut_from_prefix(out).map_err(|_| L2tpError::NoRoom)?;
        *slot = *self;
        Ok(rest)
    }
}
