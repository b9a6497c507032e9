//! MAC addresses.

use core::fmt;
use core::str::FromStr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A 48-bit MAC address.
///
/// ```text
///  byte 0            1       2       3       4       5
/// +-----------------+-------+-------+-------+-------+-------+
/// | ...... U/L  I/G |       |       |       |       |       |
/// +-----------------+-------+-------+-------+-------+-------+
///          bit 1   bit 0 = 1: group (multicast) address
/// ```
///
/// Byte order: as on the wire. Source: IEEE 802 §8.
#[derive(
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    KnownLayout,
    Immutable,
    Unaligned,
)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// All zero: no station's address.
    pub const ZERO: Self = Self([0; 6]);
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xFF; 6]);

    /// Group address: multicast or broadcast.
    #[must_use]
    #[inline]
    pub const fn is_multicast(self) -> bool {
        let [first, ..] = self.0;
        first & 1 != 0
    }

    /// Exactly ff:ff:ff:ff:ff:ff.
    #[must_use]
    #[inline]
    pub const fn is_broadcast(self) -> bool {
        self.to_u64() == 0xFFFF_FFFF_FFFF
    }

    /// All zero.
    #[must_use]
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.to_u64() == 0
    }

    /// 01-80-C2-00-00-00 to 0F: addresses that stay on the link (IEEE 802.1Q table 8-1).
    #[must_use]
    #[inline]
    pub const fn is_link_local_reserved(self) -> bool {
        self.to_u64() & !0xF == 0x0180_C200_0000
    }

    /// The address in the low 48 bits, first byte highest.
    #[must_use]
    #[inline]
    pub const fn to_u64(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }

    /// The address in the low 48 bits of `value`; the high 16 are ignored.
    #[must_use]
    #[inline]
    pub const fn from_u64(value: u64) -> Self {
        let [_, _, a, b, c, d, e, f] = value.to_be_bytes();
        Self([a, b, c, d, e, f])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = MacAddrError;

    /// Six groups of two hex digits, joined by one kind of separator, `:` or `-`.
    fn from_str(text: &str) -> Result<Self, MacAddrError> {
        let mut octets = [0; 6];
        if text.len() != 17 {
            return Err(MacAddrError::Length);
        }
        let mut separators = text.bytes().skip(2).step_by(3);
        let first = separators.next();
        if !matches!(first, Some(b':' | b'-')) || !separators.all(|byte| Some(byte) == first) {
            return Err(MacAddrError::Separator);
        }
        for (octet, group) in octets.iter_mut().zip(text.as_bytes().chunks(3)) {
            *octet = octet_of(group).ok_or(MacAddrError::Digit)?;
        }
        Ok(Self(octets))
    }
}

/// Value of the two hex digits at the front of `group`.
fn octet_of(group: &[u8]) -> Option<u8> {
    let [high, low, ..] = *group else { return None };
    crate::hex::hex_pair(high, low)
}

wire_error! {
    /// Why a text is not a MAC address.
    pub enum MacAddrError {
        /// Not 17 characters.
        Length => "mac address is not six groups of two hex digits",
        /// Groups not joined by one kind of separator.
        Separator => "mac address groups are not joined by ':' or '-'",
        /// A group is not two hex digits.
        Digit => "mac address has a character that is no hex digit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const STATION: MacAddr = MacAddr([0x02, 0x00, 0x5E, 0x10, 0x00, 0xAB]);

    #[test]
    fn group_bit_is_the_lowest_bit_of_the_first_byte() {
        assert!(MacAddr([0x01, 0, 0x5E, 0, 0, 1]).is_multicast());
        assert!(MacAddr::BROADCAST.is_multicast());
        assert!(!STATION.is_multicast());
        assert!(!MacAddr([0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]).is_multicast());
    }

    #[test]
    fn only_all_ones_is_broadcast_and_only_all_zeros_is_zero() {
        assert!(MacAddr::BROADCAST.is_broadcast());
        assert!(!MacAddr([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE]).is_broadcast());
        assert!(MacAddr::ZERO.is_zero());
        assert!(!MacAddr([0, 0, 0, 0, 0, 1]).is_zero());
    }

    #[test]
    fn sixteen_bridge_group_addresses_are_link_local() {
        for last in 0..=0xFF {
            let address = MacAddr([0x01, 0x80, 0xC2, 0x00, 0x00, last]);
            assert_eq!(address.is_link_local_reserved(), last <= 0x0F);
        }
        assert!(!MacAddr([0x01, 0x80, 0xC2, 0x00, 0x01, 0x00]).is_link_local_reserved());
    }

    #[test]
    fn number_has_the_first_byte_highest() {
        assert_eq!(STATION.to_u64(), 0x0200_5E10_00AB);
        assert_eq!(MacAddr::from_u64(0xFFFF_0200_5E10_00AB), STATION);
    }

    #[test]
    fn text_is_read_with_colons_or_dashes_and_written_with_colons() {
        assert_eq!("02:00:5e:10:00:ab".parse(), Ok(STATION));
        assert_eq!("02-00-5E-10-00-AB".parse(), Ok(STATION));
        assert_eq!(STATION.to_string(), "02:00:5e:10:00:ab");
    }

    #[test]
    fn malformed_text_is_refused_with_its_reason() {
        let refusal = |text: &str| text.parse::<MacAddr>().unwrap_err();
        assert_eq!(refusal("02:00:5e:10:00"), MacAddrError::Length);
        assert_eq!(refusal(""), MacAddrError::Length);
        assert_eq!(refusal("02:00:5e:10:00-ab"), MacAddrError::Separator);
        assert_eq!(refusal("02.00.5e.10.00.ab"), MacAddrError::Separator);
        assert_eq!(refusal("02:00:5e:10:00:ag"), MacAddrError::Digit);
        assert_eq!(refusal("+2:00:5e:10:00:ab"), MacAddrError::Digit);
        assert_eq!(refusal("02:00:5e:10:00:\u{e9}"), MacAddrError::Digit);
    }
}
