//! Sequence numbers of received packets: in order or not, lost or not.
//!
//! Place on the path: `decap` asks, once the session is known and its cookie was right. Both machines are pure functions from
//! a state and a number to a state and what it means: [`strict`] decides like the kernel's `l2tp_core`, [`observe`] only
//! counts. Deliberately not here: where the state lives ([`crate::tables::session_state`]) and what is dropped for it.

pub mod observe;
pub mod strict;

/// The 24 bits of a number. Source: RFC 3931 §4.6.
pub const MASK: u32 = 0x00FF_FFFF;

/// Packets in a row that are not where they are expected are believed once more than this many have followed the first.
/// Source: Linux `net/l2tp/l2tp_core.c`, `nr_oos_count_max`.
const ROW_FOLLOWERS_MAX: u8 = 4;

/// The number behind `number`.
#[inline]
const fn next(number: u32) -> u32 {
    number.wrapping_add(1) & MASK
}

/// How far `number` is ahead of `base`, modulo 2^24.
#[inline]
const fn ahead(number: u32, base: u32) -> u32 {
    number.wrapping_sub(base) & MASK
}

/// Packets that followed each other without a gap, away from what was expected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Row {
    /// Number of the last one.
    last: u32,
    /// How many followed the first. Range: 0 to [`ROW_FOLLOWERS_MAX`] and one more.
    followers: u8,
}

impl Row {
    /// Bits of a packed row.
    const BITS: u32 = 27;

    /// The row that begins behind an accepted number: the next packet in it could only be the expected one.
    #[inline]
    const fn behind(accepted: u32) -> Self {
        Self { last: accepted, followers: 0 }
    }

    /// The row after one more packet.
    #[inline]
    const fn with(self, number: u32) -> Self {
        let followers = match self.followers {
            _ if number != next(self.last) => 0,
            followers if followers > ROW_FOLLOWERS_MAX => followers,
            followers => followers + 1,
        };
        Self { last: number, followers }
    }

    /// Whether it is long enough to be believed.
    #[inline]
    const fn is_believed(self) -> bool {
        self.followers > ROW_FOLLOWERS_MAX
    }

    #[inline]
    const fn pack(self) -> u64 {
        self.last as u64 | (self.followers as u64) << 24
    }

    /// Any bits are a row.
    #[inline]
    const fn unpack(word: u64) -> Self {
        let [a, b, c, d, ..] = word.to_le_bytes();
        Self { last: u32::from_le_bytes([a, b, c, 0]), followers: d & 0b111 }
    }
}
