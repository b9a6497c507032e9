//! Packets of which only the front is at hand: jumbo packets that stand in several buffers.
//!
//! ```text
//!  first buffer                           further buffers
//! | headers | front of the payload      | beyond ...        |
//!           |<-------- as long as the header says ------>|
//! ```
//! The readers here are those of [`ipv4`](crate::ipv4), [`ipv6`](crate::ipv6) and [`udp`](crate::udp) for a [`Front`]: a stated length
//! may reach beyond what can be seen, but not beyond what there is. Headers must be in the front as a whole.
//!
//! Place on the path: decap, for packets that do not fit one chunk. Not in it: where the rest is.

use crate::ipv4::{Ipv4Error, Ipv4Header};
use crate::ipv6::{Ipv6Error, Ipv6Header};
use crate::udp::{UdpError, UdpHeader};
use zerocopy::FromBytes;

/// The front of a run of bytes that goes on elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Front<'a> {
    /// What is at hand.
    pub bytes: &'a [u8],
    /// How much follows it elsewhere. Units: bytes.
    pub beyond: usize,
}

impl<'a> Front<'a> {
    /// Length of the whole run. Units: bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len().saturating_add(self.beyond)
    }

    /// Whether the whole run has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `len` bytes of the run; `None` when it is shorter.
    #[must_use]
    pub fn cut(self, len: usize) -> Option<Self> {
        match self.bytes.get(..len) {
            Some(bytes) => Some(Self { bytes, beyond: 0 }),
            None => {
                let beyond = len.checked_sub(self.bytes.len())?;
                (beyond <= self.beyond).then_some(Self { beyond, ..self })
            }
        }
    }

    /// Splits the packet into IPv4 header, options and payload: see [`ipv4::split`](crate::ipv4::split).
    ///
    /// # Errors
    ///
    /// As there; [`Ipv4Error::Truncated`] also when header or options reach beyond the front.
    pub fn split_ipv4(self) -> Result<(&'a Ipv4Header, &'a [u8], Self), Ipv4Error> {
        let (header, _) = Ipv4Header::ref_from_prefix(self.bytes).map_err(|_| Ipv4Error::Truncated)?;
        if header.version_ihl >> 4 != 4 {
            return Err(Ipv4Error::Version);
        }
        if header.header_bytes() < size_of::<Ipv4Header>() {
            return Err(Ipv4Error::HeaderLength);
        }
        let total = usize::from(header.total_length.get());
        if total < header.header_bytes() {
            return Err(Ipv4Error::TotalLength);
        }
        let packet = self.cut(total).ok_or(Ipv4Error::Truncated)?;
        let (headers, bytes) =
            packet.bytes.split_at_checked(header.header_bytes()).ok_or(Ipv4Error::Truncated)?;
        let options = headers.get(size_of::<Ipv4Header>()..).ok_or(Ipv4Error::Truncated)?;
        Ok((header, options, Self { bytes, ..packet }))
    }

    /// Splits the packet into IPv6 header and payload: see [`ipv6::split`](crate::ipv6::split).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn split_ipv6(self) -> Result<(&'a Ipv6Header, Self), Ipv6Error> {
        let (header, bytes) = Ipv6Header::ref_from_prefix(self.bytes).map_err(|_| Ipv6Error::Truncated)?;
        if header.version_class_flow.get() >> 28 != 6 {
            return Err(Ipv6Error::Version);
        }
        let payload = usize::from(header.payload_length.get());
        Ok((header, Self { bytes, ..self }.cut(payload).ok_or(Ipv6Error::Truncated)?))
    }

    /// Splits the segment into UDP header and payload: see [`udp::split`](crate::udp::split).
    ///
    /// # Errors
    ///
    /// As there.
    pub fn split_udp(self) -> Result<(&'a UdpHeader, Self), UdpError> {
        let (header, bytes) = UdpHeader::ref_from_prefix(self.bytes).map_err(|_| UdpError::Truncated)?;
        let stated = usize::from(header.length.get());
        let payload = stated.checked_sub(size_of::<UdpHeader>()).ok_or(UdpError::Length)?;
        Ok((header, Self { bytes, ..self }.cut(payload).ok_or(UdpError::Truncated)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ipv4, ipv6, udp};
    use proptest::prelude::*;
    use std::vec::Vec;

    /// `whole` as a front of `at` bytes.
    fn front(whole: &[u8], at: usize) -> Front<'_> {
        let at = at.min(whole.len());
        Front { bytes: &whole[..at], beyond: whole.len() - at }
    }

    #[test]
    fn a_cut_keeps_what_is_at_hand_and_counts_the_rest() {
        let run = Front { bytes: &[1, 2, 3], beyond: 4 };
        assert_eq!((run.len(), run.is_empty()), (7, false));
        assert_eq!(run.cut(2), Some(Front { bytes: &[1, 2], beyond: 0 }));
        assert_eq!(run.cut(3), Some(Front { bytes: &[1, 2, 3], beyond: 0 }));
        assert_eq!(run.cut(5), Some(Front { bytes: &[1, 2, 3], beyond: 2 }));
        assert_eq!(run.cut(7), Some(run));
        assert_eq!((run.cut(8), run.cut(usize::MAX)), (None, None));
        assert!(Front { bytes: &[], beyond: 0 }.is_empty());
    }

    /// Bytes that are an IP packet more often than not, of any stated lengths.
    fn packet() -> impl Strategy<Value = Vec<u8>> {
        let length = prop_oneof![0u16..200, any::<u16>()];
        (
            any::<bool>(),
            prop_oneof![Just(5u8), 0u8..16],
            length,
            proptest::collection::vec(any::<u8>(), 0..200),
        )
            .prop_map(|(is_v4, ihl, length, mut bytes)| {
                let [high, low] = length.to_be_bytes();
                let start: &[u8] =
                    if is_v4 { &[0x40 | ihl, 0, high, low] } else { &[0x60, 0, 0, 0, high, low] };
                bytes.iter_mut().zip(start).for_each(|(byte, given)| *byte = *given);
                bytes
            })
    }

    proptest! {
        /// With the headers at hand, a front is read as the whole would be.
        #[test]
        fn a_front_is_read_as_the_whole(packet in packet(), at in 60usize..250) {
            let front = front(&packet, at);
            match (ipv4::split(&packet), front.split_ipv4()) {
                (Ok((header, options, payload)), Ok((header_2, options_2, payload_2))) => {
                    prop_assert_eq!((header, options), (header_2, options_2));
                    prop_assert_eq!(payload.len(), payload_2.len());
                    prop_assert!(payload.starts_with(payload_2.bytes));
                    prop_assert!(payload_2.beyond == 0 || 20 + options.len() + payload_2.bytes.len() == at);
                }
                (whole, front) => prop_assert_eq!(whole.map(drop), front.map(drop)),
            }
            match (ipv6::split(&packet), front.split_ipv6()) {
                (Ok((header, payload)), Ok((header_2, payload_2))) => {
                    prop_assert_eq!((header, payload.len()), (header_2, payload_2.len()));
                    prop_assert!(payload.starts_with(payload_2.bytes));
                }
                (whole, front) => prop_assert_eq!(whole.map(drop), front.map(drop)),
            }
            match (udp::split(&packet), front.split_udp()) {
                (Ok((header, payload)), Ok((header_2, payload_2))) => {
                    prop_assert_eq!((header, payload.len()), (header_2, payload_2.len()));
                    prop_assert!(payload.starts_with(payload_2.bytes));
                }
                (whole, front) => prop_assert_eq!(whole.map(drop), front.map(drop)),
            }
        }

        /// Whatever the front, nothing panics and nothing is longer than what there is.
        #[test]
        fn any_front_gives_no_more_than_there_is(packet in packet(), at in 0usize..250, beyond in any::<usize>()) {
            let mut front = front(&packet, at);
            front.beyond = beyond;
            for payload in [
                front.split_ipv4().map(|(_, _, payload)| payload).ok(),
                front.split_ipv6().map(|(_, payload)| payload).ok(),
                front.split_udp().map(|(_, payload)| payload).ok(),
            ].into_iter().flatten() {
                prop_assert!(payload.len() <= front.len() && payload.beyond <= front.beyond);
            }
        }
    }
}
