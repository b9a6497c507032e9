//! What can be tuned on an interface: numbers of queues, sizes of rings, how interrupts are gathered, how packets are spread over queues.
//!
//! Not here: what is good for a port, and putting it back.

use std::fmt;
use std::io;

use super::ethtool::{Channels, Ethtool, RingSizes, unless_unsupported};

/// How a card gathers packets into interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coalescing {
    /// The driver chooses by load, for received packets.
    pub adaptive_rx: bool,
    /// Longest delay of an interrupt after a received packet. Units: microseconds.
    pub rx_us: u32,
    /// Packets after which it comes anyway; 0: does not count. Units: packets.
    pub rx_packets: u32,
}

/// How received packets are spread over queues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiveSpread {
    /// The hash function: `toeplitz`, `xor`, `crc32`, or `unknown`.
    pub function: &'static str,
    /// Length of its key. Units: bytes.
    pub key_bytes: usize,
    /// Queue by hash, repeated.
    pub indirection: Vec<u32>,
}

impl ReceiveSpread {
    /// Queues that the indirection table names, ascending.
    #[must_use]
    pub fn queues(&self) -> Vec<u32> {
        let mut queues = self.indirection.clone();
        queues.sort_unstable();
        queues.dedup();
        queues
    }
}

/// A type of packet, as far as cards tell apart what they hash. There is none for IP protocol 115.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// UDP over IPv4.
    Udp4,
    /// UDP over IPv6.
    Udp6,
    /// IPv4 of a protocol that has no type of its own.
    Ip4,
    /// IPv6 of a protocol that has no type of its own.
    Ip6,
}

impl Flow {
    /// Its name for `ethtool -N ... rx-flow-hash`; the last two cannot be set.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Udp4 => "udp4",
            Self::Udp6 => "udp6",
            Self::Ip4 => "ip4",
            Self::Ip6 => "ip6",
        }
    }

    /// Source: linux/ethtool.h, v6.12.
    const fn number(self) -> u32 {
        match self {
            Self::Udp4 => 0x02,
            Self::Udp6 => 0x06,
            Self::Ip4 => 0x10,
            Self::Ip6 => 0x11,
        }
    }
}

/// Fields of a packet that are hashed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HashFields(u64);

impl HashFields {
    /// Both addresses and both ports.
    pub const ADDRESSES_AND_PORTS: Self = Self(0xF0);
    /// Both addresses.
    pub const ADDRESSES: Self = Self(0x30);
    /// Bit and letter of `ethtool` of each. Source: `RXH_*`, linux/ethtool.h, v6.12.
    const LETTERS: [(u64, char); 9] = [
        (1 << 1, 'm'),
        (1 << 2, 'v'),
        (1 << 3, 't'),
        (1 << 4, 's'),
        (1 << 5, 'd'),
        (1 << 6, 'f'),
        (1 << 7, 'n'),
        (1 << 8, 'e'),
        (1 << 31, 'r'),
    ];

    /// Whether all of `other` are among them.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Display for HashFields {
    /// The letters of `ethtool -N ... rx-flow-hash`: `sdfn` for both addresses and both ports.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_in = |(bit, _): &&(u64, char)| self.0 & bit != 0;
        let letters: String = Self::LETTERS.iter().filter(is_in).map(|(_, letter)| letter).collect();
        f.write_str(&letters)
    }
}

impl Ethtool {
    /// Sets the numbers of queues: `rx`, `tx` and `combined` of `channels`.
    ///
    /// # Errors
    ///
    /// What the kernel said: more than there can be, queues in use by AF_XDP, or CAP_NET_ADMIN is missing.
    pub fn set_channels(&self, channels: &Channels) -> io::Result<()> {
        let [max_rx, max_tx, max_other, max_combined, _, _, other, _] = self.link.channels()?;
        let Channels { rx, tx, combined, .. } = *channels;
        self.link.set_channels([max_rx, max_tx, max_other, max_combined, rx, tx, other, combined])
    }

    /// Sets the sizes of the hardware's rings: `rx` and `tx` of `sizes`.
    ///
    /// # Errors
    ///
    /// What the kernel said: larger than they can be, or CAP_NET_ADMIN is missing.
    pub fn set_ring_sizes(&self, sizes: &RingSizes) -> io::Result<()> {
        let [max_rx, max_mini, max_jumbo, max_tx, _, mini, jumbo, _] = self.link.ring_sizes()?;
        self.link.set_ring_sizes([max_rx, max_mini, max_jumbo, max_tx, sizes.rx, mini, jumbo, sizes.tx])
    }

    /// How it gathers packets into interrupts; `None` when the driver has no say in that.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn coalescing(&self) -> io::Result<Option<Coalescing>> {
        let numbers = unless_unsupported(self.link.coalescing())?;
        Ok(numbers.map(|numbers| Coalescing {
            rx_us: numbers[0],
            rx_packets: numbers[1],
            adaptive_rx: numbers[9] != 0,
        }))
    }

    /// How it spreads received packets over queues; `None` when the driver does not tell.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn receive_spread(&self) -> io::Result<Option<ReceiveSpread>> {
        let answer = unless_unsupported(self.link.receive_spread())?;
        Ok(answer.map(|(function, key_bytes, indirection)| ReceiveSpread {
            function: function_name(function),
            key_bytes,
            indirection,
        }))
    }

    /// What it hashes of packets of a type; `None` when the driver does not tell.
    ///
    /// # Errors
    ///
    /// What the kernel said.
    pub fn hash_fields(&self, flow: Flow) -> io::Result<Option<HashFields>> {
        let answer = match self.link.hash_fields(flow.number()) {
            // What drivers say to a type that they do not know.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => return Ok(None),
            answer => unless_unsupported(answer)?,
        };
        Ok(answer.map(HashFields))
    }

    /// Sets what it hashes of packets of a type.
    ///
    /// # Errors
    ///
    /// What the kernel said: the card cannot hash these, or CAP_NET_ADMIN is missing.
    pub fn set_hash_fields(&self, flow: Flow, fields: HashFields) -> io::Result<()> {
        self.link.set_hash_fields(flow.number(), fields.0)
    }
}

/// The name of a hash function's bit. Source: `ETH_RSS_HASH_*_BIT`, linux/ethtool.h, v6.12.
const fn function_name(bits: u8) -> &'static str {
    match bits {
        1 => "toeplitz",
        2 => "xor",
        4 => "crc32",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_fields_are_written_with_the_letters_of_ethtool() {
        assert_eq!(HashFields::ADDRESSES_AND_PORTS.to_string(), "sdfn");
        assert_eq!(HashFields(1 << 1 | 1 << 8 | 1 << 31).to_string(), "mer");
        assert_eq!(HashFields::default().to_string(), "");
    }

    #[test]
    fn addresses_are_among_addresses_and_ports_and_not_the_other_way_round() {
        assert!(HashFields::ADDRESSES_AND_PORTS.contains(HashFields::ADDRESSES));
        assert!(!HashFields::ADDRESSES.contains(HashFields::ADDRESSES_AND_PORTS));
    }

    #[test]
    fn queues_of_an_indirection_table_are_named_once() {
        let spread =
            ReceiveSpread { function: "toeplitz", key_bytes: 40, indirection: vec![0, 3, 0, 3, 1, 1] };
        assert_eq!(spread.queues(), [0, 1, 3]);
    }
}
