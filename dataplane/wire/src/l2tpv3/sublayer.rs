//! The L2-specific sublayer between cookie and Ethernet frame.

use super::L2tpError;
use zerocopy::byteorder::network_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The default L2-specific sublayer.
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-+-+-+-+-------+-----------------------------------------------+
/// |V|S|B|E|   0   |                sequence number                |
/// +-+-+-+-+-------+-----------------------------------------------+
/// ```
///
/// Byte order: network. Source: RFC 3931 §4.6; V: RFC 5085 §5.1; B, E: RFC 4623 §5.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned,
)]
#[repr(transparent)]
pub struct DefaultSublayer(pub U32);

/// Which sublayer a session uses in one direction. Never inferred from the packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sublayer {
    /// None; 0 bytes.
    None,
    /// [`DefaultSublayer`]; 4 bytes. What Linux uses unless told otherwise.
    #[default]
    Default,
}

impl DefaultSublayer {
    /// Neither sequenced nor a control channel's: four zero bytes, as Linux sends them.
    pub const UNSEQUENCED: Self = Self(U32::ZERO);
    const VCCV: u32 = 1 << 31;
    const SEQUENCED: u32 = 1 << 30;
    const SEQUENCE_MASK: u32 = 0x00FF_FFFF;

    /// S set, with the low 24 bits of `sequence`.
    #[must_use]
    #[inline]
    pub const fn sequenced(sequence: u32) -> Self {
        Self(U32::new(Self::SEQUENCED | sequence & Self::SEQUENCE_MASK))
    }

    /// V bit: the payload is a VCCV control message, not a frame.
    #[must_use]
    #[inline]
    pub const fn is_vccv(self) -> bool {
        self.0.get() & Self::VCCV != 0
    }

    /// The 24-bit sequence number, where the S bit says there is one.
    #[must_use]
    #[inline]
    pub const fn sequence(self) -> Option<u32> {
        let word = self.0.get();
        if word & Self::SEQUENCED != 0 { Some(word & Self::SEQUENCE_MASK) } else { None }
    }

    /// B and E bits both clear: a whole frame, not a PWE3 fragment.
    #[must_use]
    #[inline]
    pub const fn is_whole_frame(self) -> bool {
        self.0.get() >> 28 & 0b11 == 0
    }
}

impl Sublayer {
    /// Length. Units: bytes. Range: 0 or 4.
    #[must_use]
    #[inline]
    pub const fn len_bytes(self) -> usize {
        match self {
            Self::None => 0,
            Self::Default => size_of::<DefaultSublayer>(),
        }
    }

    /// Takes the sublayer off the front of `rest`; where there is none, it reads as unsequenced.
    ///
    /// # Errors
    ///
    /// [`L2tpError::Truncated`] when `rest` is shorter than the sublayer.
    #[inline]
    pub fn strip(self, rest: &[u8]) -> Result<(DefaultSublayer, &[u8]), L2tpError> {
        match self {
            Self::None => Ok((DefaultSublayer::UNSEQUENCED, rest)),
            Self::Default => DefaultSublayer::read_from_prefix(rest).map_err(|_| L2tpError::Truncated),
        }
    }

    /// Writes `word`, where the session has a sublayer, to the front of `out`; returns what is left of it.
    ///
    /// # Errors
    ///
    /// [`L2tpError::NoRoom`] when `out` is shorter than the sublayer.
    #[inline]
    pub fn write(self, word: DefaultSublayer, out: &mut [u8]) -> Result<&mut [u8], L2tpError> {
        match self {
            Self::None => Ok(out),
            Self::Default => {
                let (slot, rest) = DefaultSublayer::mut_from_prefix(out).map_err(|_| L2tpError::NoRoom)?;
                *slot = word;
                Ok(rest)
            }
        }
    }
}
