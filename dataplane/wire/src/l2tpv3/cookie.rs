//! Cookies: 0, 4 or 8 random bytes that the receiver of a session's packets expects in them.

use super::L2tpError;
use crate::hex::hex_pair;
use core::fmt;
use core::str::FromStr;

/// A session's cookie in one direction.
///
/// ```text
/// | 0 bytes: nothing | 4 bytes: one word | 8 bytes: two words |
/// ```
///
/// Byte order: as on the wire. Source: RFC 3931 §4.1.1.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Cookie {
    /// The cookie in the first bytes (memory order), the rest zero.
    value: u64,
    /// Ones over the cookie's bytes, zeros elsewhere.
    mask: u64,
    /// 0, 4 or 8.
    length: u8,
}

impl Cookie {
    /// No cookie.
    pub const NONE: Self = Self { value: 0, mask: 0, length: 0 };

    /// A cookie of four bytes.
    #[must_use]
    #[inline]
    pub const fn four([a, b, c, d]: [u8; 4]) -> Self {
        let value = u64::from_ne_bytes([a, b, c, d, 0, 0, 0, 0]);
        let mask = u64::from_ne_bytes([0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]);
        Self { value, mask, length: 4 }
    }

    /// A cookie of eight bytes.
    #[must_use]
    #[inline]
    pub const fn eight(bytes: [u8; 8]) -> Self {
        Self { value: u64::from_ne_bytes(bytes), mask: u64::MAX, length: 8 }
    }

    /// A cookie from 0, 4 or 8 bytes.
    ///
    /// # Errors
    ///
    /// [`L2tpError::CookieLength`] for any other length.
    #[inline]
    pub const fn from_bytes(bytes: &[u8]) -> Result<Self, L2tpError> {
        match *bytes {
            [] => Ok(Self::NONE),
            [a, b, c, d] => Ok(Self::four([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => Ok(Self::eight([a, b, c, d, e, f, g, h])),
            _ => Err(L2tpError::CookieLength),
        }
    }

    /// Length. Units: bytes. Range: 0, 4 or 8.
    #[must_use]
    #[inline]
    pub const fn len_bytes(&self) -> usize {
        self.length as usize
    }

    /// The cookie in the first [`Self::len_bytes`] bytes, the rest zero.
    #[must_use]
    #[inline]
    pub const fn padded(&self) -> [u8; 8] {
        self.value.to_ne_bytes()
    }

    /// Whether `front`, of which what stands behind the cookie does not matter, begins with the cookie.
    #[must_use]
    #[inline]
    pub const fn is(&self, front: [u8; 8]) -> bool {
        (u64::from_ne_bytes(front) ^ self.value) & self.mask == 0
    }

    /// Checks the cookie at the front of `rest` and gives what follows it.
    ///
    /// One masked compare of eight bytes whatever the length: no branch on the length, no early exit that
    /// would tell how many bytes were right.
    ///
    /// # Errors
    ///
    /// [`L2tpError::Truncated`] when `rest` is shorter than the cookie, [`L2tpError::CookieMismatch`].
    #[inline]
    pub fn strip<'a>(&self, rest: &'a [u8]) -> Result<&'a [u8], L2tpError> {
        let Some(front) = rest.first_chunk::<8>() else { return self.strip_short(rest) };
        if !self.is(*front) {
            return Err(L2tpError::CookieMismatch);
        }
        rest.get(self.len_bytes()..).ok_or(L2tpError::Truncated)
    }

    /// [`Self::strip`] for fewer than eight bytes, in which no inner frame fits.
    #[cold]
    #[inline(never)]
    fn strip_short<'a>(&self, rest: &'a [u8]) -> Result<&'a [u8], L2tpError> {
        let (front, inner) = rest.split_at_checked(self.len_bytes()).ok_or(L2tpError::Truncated)?;
        match Self::from_bytes(front)? == *self {
            true => Ok(inner),
            false => Err(L2tpError::CookieMismatch),
        }
    }

    /// Writes the cookie to the front of `out` and returns what is left of it.
    ///
    /// # Errors
    ///
    /// [`L2tpError::NoRoom`] when `out` is shorter than the cookie.
    #[inline]
    pub fn write<'b>(&self, out: &'b mut [u8]) -> Result<&'b mut [u8], L2tpError> {
        let (slot, rest) = out.split_at_mut_checked(self.len_bytes()).ok_or(L2tpError::NoRoom)?;
        for (byte, value) in slot.iter_mut().zip(self.padded()) {
            *byte = value;
        }
        Ok(rest)
    }
}

impl fmt::Display for Cookie {
    /// Hex digits without separators; nothing for [`Cookie::NONE`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.padded().iter().take(self.len_bytes()).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({self})")
    }
}

impl FromStr for Cookie {
    type Err = L2tpError;

    /// 0, 8 or 16 hex digits, as `ip l2tp` takes them.
    fn from_str(text: &str) -> Result<Self, L2tpError> {
        let mut bytes = [0; 8];
        let (pairs, odd) = text.as_bytes().as_chunks::<2>();
        let slots = bytes.get_mut(..pairs.len()).ok_or(L2tpError::CookieLength)?;
        for (slot, [high, low]) in slots.iter_mut().zip(pairs) {
            *slot = hex_pair(*high, *low).ok_or(L2tpError::CookieDigit)?;
        }
        if odd.is_empty() { Self::from_bytes(slots) } else { Err(L2tpError::CookieLength) }
    }
}
