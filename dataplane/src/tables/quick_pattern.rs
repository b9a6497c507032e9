//! Quick pattern: what all packets of a session have in common, from the EtherType to the end of the sublayer.
//!
//! ```text
//! IPv4  | 0800 | 45 . .... .... 0?00 0000 . proto .... | source | destination |
//! IPv6  | 86DD | 6. .... .... next . | source | destination |        . and ?: not compared
//!       UDP | source port | destination port | .... | .... | flags: T = 0, version 3 |
//!       | session id | cookie | sublayer: V, B, E = 0 |
//! ```
//! Place on the path: built by the main thread with the tables; compared by [`super::quick_sessions`].

use std::net::Ipv6Addr;

use wire::{
    ethernet::EtherType,
    ipv4::{FLAG_DONT_FRAGMENT, PROTOCOL_UDP},
    l2tpv3::Sublayer,
};

use super::sessions::RxSession;

/// Words of eight bytes that are compared with IPv4: its longest headers end 62 bytes into the packet.
pub(crate) const V4_WORDS: usize = 8;

/// The same with IPv6: 82 bytes.
pub(crate) const V6_WORDS: usize = 10;

/// Where in the packet the first word stands: at the EtherType.
const START_BYTES: usize = 12;

/// First byte of an IPv4 header: version 4, five words long.
const V4_WITHOUT_OPTIONS: u8 = 0x45;

/// Words of a packet. Byte order: as in the packet, in memory. Aligned for instructions that take 16 bytes of memory at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(16))]
pub(crate) struct Words<const N: usize>(pub(crate) [u64; N]);

impl<const N: usize> Words<N> {
    /// The first words of these bytes.
    fn of(bytes: &[u8; V6_WORDS * 8]) -> Self {
        let (words, _) = bytes.as_chunks();
        let word = |at: usize| words.get(at).map_or(0, |word| u64::from_ne_bytes(*word));
        Self(core::array::from_fn(word))
    }
}

/// A pattern, and which of its bits count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern {
    expected: [u8; V6_WORDS * 8],
    mask: [u8; V6_WORDS * 8],
    /// Where the next byte belongs, from the packet's first one.
    at: usize,
    words: usize,
}

impl Pattern {
    /// That of a session; `None` when its addresses are of two kinds.
    pub(super) fn of(session: &RxSession) -> Option<Self> {
        let mut pattern = Self { expected: [0; _], mask: [0; _], at: START_BYTES, words: V4_WORDS };
        pattern.put_ip(session)?;
        if session.endpoint.protocol == PROTOCOL_UDP {
            pattern.put(&session.endpoint.remote_port.to_be_bytes());
            pattern.put(&session.endpoint.local_port.to_be_bytes());
            pattern.skip(4);
            pattern.put_bits(&[0, 3, 0, 0], &[0x80, 0x0F, 0, 0]);
        }
        pattern.put(&session.rx_session_id.get().to_be_bytes());
        let cookie = session.rx_cookie;
        pattern.put(cookie.padded().get(..cookie.len_bytes())?);
        if session.sublayer == Sublayer::Default {
            pattern.put_bits(&[0; 4], &[0xB0, 0, 0, 0]);
        }
        Some(pattern)
    }

    /// EtherType and IP header. Fields that may differ from packet to packet do not count.
    fn put_ip(&mut self, session: &RxSession) -> Option<()> {
        let [remote, local] = [session.endpoint.remote, session.endpoint.local].map(Ipv6Addr::from_bits);
        let protocol = [session.endpoint.protocol];
        match (remote.to_ipv4_mapped(), local.to_ipv4_mapped()) {
            (Some(remote), Some(local)) => {
                self.put(&EtherType::IPV4.0.to_be_bytes());
                self.put(&[V4_WITHOUT_OPTIONS]);
                self.skip(5);
                self.put_bits(&[0; 2], &(!FLAG_DONT_FRAGMENT).to_be_bytes());
                self.skip(1);
                self.put(&protocol);
                self.skip(2);
                self.put(&remote.octets());
                self.put(&local.octets());
            }
            (None, None) => {
                self.words = V6_WORDS;
                self.put(&EtherType::IPV6.0.to_be_bytes());
                self.put_bits(&[0x60], &[0xF0]);
                self.skip(5);
                self.put(&protocol);
                self.skip(1);
                self.put(&remote.octets());
                self.put(&local.octets());
            }
            _ => return None,
        }
        Some(())
    }

    /// Bytes that are the same in all packets.
    fn put(&mut self, bytes: &[u8]) {
        self.put_bits(bytes, &[u8::MAX; 16]);
    }

    /// Bytes of which these bits are.
    fn put_bits(&mut self, bytes: &[u8], mask: &[u8]) {
        for (byte, mask) in bytes.iter().zip(mask) {
            let at = self.at - START_BYTES;
            (self.expected[at], self.mask[at]) = (byte & mask, *mask);
            self.at += 1;
        }
    }

    /// Bytes that may be any.
    fn skip(&mut self, count: usize) {
        self.at += count;
    }

    /// Words that are compared: of IPv4 or of IPv6.
    pub(super) const fn words(&self) -> usize {
        self.words
    }

    pub(super) fn expected<const N: usize>(&self) -> Words<N> {
        Words::of(&self.expected)
    }

    pub(super) fn mask<const N: usize>(&self) -> Words<N> {
        Words::of(&self.mask)
    }

    /// Bytes in front of the frame, Ethernet header included.
    pub(super) fn header_bytes(&self) -> u16 {
        u16::try_from(self.at).expect("headers of a hundred bytes at most")
    }
}
