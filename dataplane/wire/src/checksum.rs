//! Internet checksum: sum, fold, pseudo-headers, incremental update.
//!
//! Place on the path: validates outer IPv4 headers and UDP, fills in the template of the encap stage.
//! Not in it: where a checksum field stands; each header file knows its own.
//!
//! Source: RFC 1071, RFC 1624.

use core::ops::Add;

/// A one's-complement sum in progress, wide enough that carries are folded once, at the end.
///
/// Words are kept in the machine's own byte order: the sum's bytes come out right whichever it is
/// (RFC 1071 §2 B), so nothing is swapped but the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

/// Sums bytes as 16-bit network-order words; an odd last byte is padded with zero.
///
/// Only the last of several pieces whose sums are added may have odd length.
#[must_use]
#[inline]
pub fn sum(bytes: &[u8]) -> Sum {
    let (words, tail) = bytes.as_chunks::<4>();
    // Wraps only above 16 GiB of input.
    let total =
        words.iter().fold(0_u64, |total, word| total.wrapping_add(u64::from(u32::from_ne_bytes(*word))));
    // Not a loop, which would become a call of `memcpy`. Bench: `decap, 1518 B, UDP checksum`.
    let last = match *tail {
        [] => [0; 4],
        [a] => [a, 0, 0, 0],
        [a, b] => [a, b, 0, 0],
        [a, b, c, ..] => [a, b, c, 0],
    };
    Sum(total.wrapping_add(u64::from(u32::from_ne_bytes(last))))
}

/// [`sum`] of an IPv4 header without options, in three words.
///
/// Bench: `decap`.
#[must_use]
#[inline]
pub const fn sum_header(header: &[u8; 20]) -> Sum {
    let ([first, second], [a, b, c, d]) = header.as_chunks::<8>() else { return Sum::ZERO };
    let long = Sum(u64::from_ne_bytes(*first)).plus(Sum(u64::from_ne_bytes(*second)));
    long.plus(Sum(u32::from_ne_bytes([*a, *b, *c, *d]) as u64))
}

/// Sum of bytes that come in several pieces, each of any length.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pieces {
    sum: Sum,
    /// The pieces so far have an odd number of bytes together.
    is_odd: bool,
}

impl Pieces {
    /// Goes on from the sum of an even number of bytes.
    #[must_use]
    pub const fn after(sum: Sum) -> Self {
        Self { sum, is_odd: false }
    }

    /// With the next piece.
    #[must_use]
    pub fn with(self, piece: &[u8]) -> Self {
        let sum = sum(piece);
        // What starts at an odd offset has the halves of its words swapped, and so has its sum (RFC 1071 §2 B).
        let sum = if self.is_odd { Sum::ZERO.add_u16(sum.fold().swap_bytes()) } else { sum };
        Self { sum: self.sum + sum, is_odd: self.is_odd == piece.len().is_multiple_of(2) }
    }

    /// The sum of all pieces.
    #[must_use]
    pub const fn sum(self) -> Sum {
        self.sum
    }
}

/// Sum of the IPv4 pseudo-header. `length` counts the transport header and its payload. Units: bytes.
///
/// ```text
/// | source (4) | destination (4) | 0 | protocol (1) | length (2) |
/// ```
///
/// Source: RFC 768, RFC 9293 §3.1.
#[must_use]
#[inline]
pub const fn pseudo_header_v4(source: [u8; 4], destination: [u8; 4], protocol: u8, length: u16) -> Sum {
    let addresses = u32::from_ne_bytes(source) as u64 + u32::from_ne_bytes(destination) as u64;
    Sum(addresses).add_u16(protocol as u16).add_u16(length)
}

/// Sum of the IPv6 pseudo-header. `length` counts the transport header and its payload. Units: bytes.
///
/// ```text
/// | source (16) | destination (16) | length (4) | 0 (3) | next header (1) |
/// ```
///
/// Source: RFC 8200 §8.1.
#[must_use]
#[inline]
pub fn pseudo_header_v6(source: &[u8; 16], destination: &[u8; 16], next_header: u8, length: u32) -> Sum {
    sum(source) + sum(destination) + sum(&length.to_be_bytes()) + Sum::ZERO.add_u16(u16::from(next_header))
}

/// The checksum after one 16-bit word under it changed from `old` to `new`.
///
/// `HC' = ~(~HC + ~m + m')`. Source: RFC 1624 §3 equation 3.
#[must_use]
#[inline]
pub const fn update_u16(checksum: u16, old: u16, new: u16) -> u16 {
    Sum::ZERO.add_u16(!checksum).add_u16(!old).add_u16(new).finish()
}

/// The checksum after one 32-bit, 16-bit aligned field under it changed from `old` to `new`.
#[must_use]
#[inline]
pub const fn update_u32(checksum: u16, old: u32, new: u32) -> u16 {
    let [old_0, old_1, old_2, old_3] = old.to_be_bytes();
    let [new_0, new_1, new_2, new_3] = new.to_be_bytes();
    let high = update_u16(checksum, u16::from_be_bytes([old_0, old_1]), u16::from_be_bytes([new_0, new_1]));
    update_u16(high, u16::from_be_bytes([old_2, old_3]), u16::from_be_bytes([new_2, new_3]))
}

impl Sum {
    /// The sum of nothing.
    pub const ZERO: Self = Self(0);

    /// Adds one 16-bit word given in host order.
    #[must_use]
    #[inline]
    pub const fn add_u16(self, word: u16) -> Self {
        self.plus(Self(word.to_be() as u64))
    }

    /// Adds another sum; what it covers must start at an even offset.
    #[must_use]
    #[inline]
    pub const fn plus(self, other: Self) -> Self {
        // End-around carry: 2^64 is 1 modulo 2^16 - 1.
        let (total, carry) = self.0.overflowing_add(other.0);
        Self(total.wrapping_add(carry as u64))
    }

    /// The 16-bit one's-complement sum, in host order. Data under a right checksum folds to 0xFFFF.
    #[must_use]
    #[inline]
    pub const fn fold(self) -> u16 {
        // Adding a word to itself with its halves swapped leaves, in the upper half, the sum of the halves
        // with the carry of the lower one already brought round.
        let [a, b, c, d, ..] = self.0.wrapping_add(self.0.rotate_left(32)).to_be_bytes();
        let word = u32::from_be_bytes([a, b, c, d]);
        let [high, low, ..] = word.wrapping_add(word.rotate_left(16)).to_be_bytes();
        u16::from_be(u16::from_be_bytes([high, low]))
    }

    /// The checksum: complement of the folded sum, in host order.
    #[must_use]
    #[inline]
    pub const fn finish(self) -> u16 {
        !self.fold()
    }

    /// The checksum as UDP sends it: 0 means "none" there, so 0xFFFF stands for it (RFC 768).
    #[must_use]
    #[inline]
    pub const fn finish_udp(self) -> u16 {
        match self.finish() {
            0 => 0xFFFF,
            checksum => checksum,
        }
    }

    /// Whether the summed data, its checksum included, is intact.
    #[must_use]
    #[inline]
    pub const fn is_valid(self) -> bool {
        // It folds to 0xFFFF when it is a multiple of that, and not 0. Multiplying by the inverse modulo 2^64 divides multiples, and makes
        // of all other numbers larger ones than any quotient.
        const INVERSE: u64 = 0xFFFE_FFFE_FFFE_FFFF;
        const _: () = assert!(0xFFFF_u64.wrapping_mul(INVERSE) == 1);
        self.0.wrapping_mul(INVERSE).wrapping_sub(1) < u64::MAX / 0xFFFF
    }
}

impl Add for Sum {
    type Output = Self;

    #[inline]
    fn add(self, other: Self) -> Self {
        self.plus(other)
    }
}

#[cfg(test)]
mod tests;
