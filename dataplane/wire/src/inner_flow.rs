//! Flow hash: a number that all frames of one flow have in common, and those of different flows mostly do not.
//!
//! | frame | what is hashed |
//! |---|---|
//! | TCP over IPv4 with DF and without options; TCP straight behind an IPv6 header | IP addresses and ports |
//! | any other IPv4 or IPv6 packet, behind up to two tags | IP addresses |
//! | everything else, and what is cut off | MAC addresses |
//!
//! Ports count only where nobody cuts packets up: a fragment but the first has none, and would part from the rest of its
//! flow. For the same reason NICs leave UDP ports out by default.
//!
//! Place on the path: when frames of one pseudowire are spread over workers. Not in it: a secret. Whoever can choose
//! addresses can bring flows together on one worker, where all of them would be without spreading.

use crate::ethernet::EtherType;
use crate::ipv4::{FLAG_DONT_FRAGMENT, PROTOCOL_TCP};

/// Any two numbers with about as many ones as zeros.
const MIX: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xD134_2543_DE82_EF95];

/// IPv4 header without options, and the ports behind it. Units: bytes.
const IPV4_BYTES: usize = 20 + 4;
/// IPv6 header, and the ports behind it. Units: bytes.
const IPV6_BYTES: usize = 40 + 4;

/// The hash of an Ethernet frame, or of the front of one. A frame without a whole Ethernet header has 0.
///
/// Range: all; the uppermost bits are spread best.
#[must_use]
#[inline(always)]
pub fn hash(frame: &[u8]) -> u64 {
    if let Some(([.., high, low], packet)) = frame.split_first_chunk::<14>()
        && EtherType(u16::from_be_bytes([*high, *low])) == EtherType::IPV4
        && let Some(hash) = ipv4(packet)
    {
        return hash;
    }
    of_other(frame)
}

/// The hash of a frame that is no whole IPv4 packet without tags. A function of its own: what it keeps in registers costs the others nothing.
///
/// Bench: `scaling`, one tunnel of the cheapest frames, 48.5 -> 46.7 cycles.
#[inline(never)]
fn of_other(frame: &[u8]) -> u64 {
    let Some((link, rest)) = frame.split_first_chunk::<14>() else { return 0 };
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, ethertype @ ..] = *link;
    let of_packet = match EtherType(u16::from_be_bytes(ethertype)) {
        EtherType::IPV6 => ipv6(rest),
        EtherType::VLAN | EtherType::SERVICE_VLAN => tagged(rest, 1),
        _ => None,
    };
    of_packet.unwrap_or_else(|| {
        let destination = u64::from_ne_bytes([d0, d1, d2, d3, d4, d5, 0, 0]);
        mix(destination, u64::from_ne_bytes([s0, s1, s2, s3, s4, s5, 0, 0]))
    })
}

/// What follows a tag's TPID; behind it there may be `more` tags.
#[cold]
#[inline(never)]
fn tagged(rest: &[u8], more: u8) -> Option<u64> {
    let (&[_, _, high, low], rest) = rest.split_first_chunk()?;
    match EtherType(u16::from_be_bytes([high, low])) {
        EtherType::IPV4 => ipv4(rest),
        EtherType::IPV6 => ipv6(rest),
        EtherType::VLAN | EtherType::SERVICE_VLAN => tagged(rest, more.checked_sub(1)?),
        _ => None,
    }
}

#[inline(always)]
fn ipv4(packet: &[u8]) -> Option<u64> {
    let (&[version_ihl, _, _, _, _, _, flags, offset, _, protocol, _, _], rest) =
        packet.first_chunk::<IPV4_BYTES>()?.split_first_chunk()?;
    let (addresses, ports) = rest.split_first_chunk()?;
    let has_ports = version_ihl == 0x45
        && protocol == PROTOCOL_TCP
        && u16::from_be_bytes([flags, offset]) == FLAG_DONT_FRAGMENT;
    Some(mix(u64::from_ne_bytes(*addresses), if has_ports { ports_of(ports)? } else { 0 }))
}

#[inline]
fn ipv6(packet: &[u8]) -> Option<u64> {
    let (&[_, _, _, _, _, _, next_header, _], rest) =
        packet.first_chunk::<IPV6_BYTES>()?.split_first_chunk()?;
    let (source_high, rest) = rest.split_first_chunk()?;
    let (source_low, rest) = rest.split_first_chunk()?;
    let (destination_high, rest) = rest.split_first_chunk()?;
    let (destination_low, ports) = rest.split_first_chunk()?;
    let halves =
        [source_high, destination_high, source_low, destination_low].map(|half| u64::from_ne_bytes(*half));
    let [source_high, destination_high, source_low, destination_low] = halves;
    let ports = if next_header == PROTOCOL_TCP { ports_of(ports)? } else { 0 };
    let networks = mix(source_high, destination_high);
    Some(mix(mix(source_low, destination_low), networks.rotate_left(17) ^ ports))
}

#[inline]
fn ports_of(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|ports| u64::from(u32::from_ne_bytes(*ports)))
}

/// Both halves of a product, one upon the other, and the lower bits mixed into the upper ones.
#[inline]
fn mix(one: u64, other: u64) -> u64 {
    let [a, b] = MIX;
    let product = u128::from(one ^ a) * u128::from(other ^ b);
    let [low @ .., _, _, _, _, _, _, _, _] = product.to_ne_bytes();
    let [_, _, _, _, _, _, _, _, high @ ..] = product.to_ne_bytes();
    (u64::from_ne_bytes(low) ^ u64::from_ne_bytes(high)).wrapping_mul(a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::HashSet, vec::Vec};

    const MACS: [u8; 12] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];

    /// An IPv4 frame with these tags (TPID and TCI), flags and protocol.
    fn v4(tags: &[[u8; 4]], flags: [u8; 2], protocol: u8, addresses: [u8; 8], ports: [u8; 4]) -> Vec<u8> {
        let mut frame = MACS.to_vec();
        tags.iter().for_each(|tag| frame.extend(tag));
        // EtherType | version and length, TOS, total length | identification
        frame.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 7]);
        // flags and offset | TTL | protocol | checksum
        frame.extend([flags[0], flags[1], 64, protocol, 0, 0]);
        frame.extend(addresses);
        frame.extend(ports);
        frame.extend([0; 16]);
        frame
    }

    fn v6(next_header: u8, source: [u8; 16], destination: [u8; 16], ports: [u8; 4]) -> Vec<u8> {
        let mut frame = MACS.to_vec();
        // EtherType | version, class, label | payload length | next header | hop limit
        frame.extend([0x86, 0xDD, 0x60, 0, 0, 0, 0, 20, next_header, 64]);
        frame.extend(source);
        frame.extend(destination);
        frame.extend(ports);
        frame.extend([0; 16]);
        frame
    }

    const HOSTS: [u8; 8] = [192, 0, 2, 1, 192, 0, 2, 2];
    const DF: [u8; 2] = [0x40, 0];

    #[test]
    fn ports_tell_flows_apart_only_where_nobody_cuts_packets_up() {
        let differ = |flags, protocol| {
            hash(&v4(&[], flags, protocol, HOSTS, [0, 80, 4, 1]))
                != hash(&v4(&[], flags, protocol, HOSTS, [0, 80, 4, 2]))
        };
        assert!(differ(DF, 6), "TCP that must not be cut");
        assert!(!differ([0, 0], 6), "TCP that a router may cut");
        assert!(!differ([0x20, 0], 6) && !differ([0x40, 1], 6), "fragments");
        assert!(!differ(DF, 17), "UDP");
        let v6 = |next, port| hash(&v6(next, [1; 16], [2; 16], [0, 80, 4, port]));
        assert_ne!(v6(6, 1), v6(6, 2));
        assert_eq!((v6(17, 1), v6(44, 1)), (v6(17, 2), v6(44, 2)));
    }

    #[test]
    fn addresses_tell_flows_apart_behind_tags_too() {
        for tags in [&[][..], &[[0x81, 0, 0, 10]], &[[0x88, 0xA8, 0, 5], [0x81, 0, 0, 10]]] {
            let one = hash(&v4(tags, [0, 0], 17, HOSTS, [0; 4]));
            let other = hash(&v4(tags, [0, 0], 17, [192, 0, 2, 1, 192, 0, 2, 3], [0; 4]));
            assert_ne!(one, other, "{tags:?}");
            assert_eq!(one, hash(&v4(&[], [0, 0], 17, HOSTS, [0; 4])), "a tag is not part of it");
        }
        let three = [[0x81, 0, 0, 1]; 3];
        assert_eq!(
            hash(&v4(&three, DF, 6, HOSTS, [0; 4])),
            hash(&v4(&three, DF, 6, [9; 8], [0; 4])),
            "by MAC address"
        );
    }

    #[test]
    fn what_is_no_ip_goes_by_its_mac_addresses() {
        let arp = |last| [2, 0, 0, 0, 0, last, 2, 0, 0, 0, 0, 2, 0x08, 0x06, 0, 1];
        assert_ne!(hash(&arp(1)), hash(&arp(3)));
        let whole = v4(&[], DF, 6, HOSTS, [0, 80, 4, 1]);
        assert_eq!(hash(&whole[..37]), hash(&[&MACS[..], &[0x12, 0x34]].concat()), "cut off in its ports");
        assert_eq!((hash(&whole[..13]), hash(&[])), (0, 0));
    }

    /// Most of the 256 values of the uppermost byte occur among the hashes of 1024 flows.
    fn assert_spread(name: &str, frames: impl Iterator<Item = Vec<u8>>) {
        let groups: HashSet<_> = frames.map(|frame| hash(&frame) >> 56).collect();
        assert!(groups.len() > 230, "{name}: {} groups", groups.len());
    }

    #[test]
    fn neighbouring_flows_are_spread_evenly() {
        let numbers = || (0..1024u16).map(u16::to_be_bytes);
        assert_spread("hosts", numbers().map(|[h, l]| v4(&[], DF, 17, [10, 0, h, l, 10, 1, 0, 1], [0; 4])));
        assert_spread("pairs", numbers().map(|[h, l]| v4(&[], DF, 17, [10, 0, h, l, 10, 0, h, l], [0; 4])));
        assert_spread("ports", numbers().map(|[h, l]| v4(&[], DF, 6, HOSTS, [0, 80, h, l])));
        let mac = |[h, l]: [u8; 2]| [2, 0, 0, 1, h, l, 2, 0, 0, 2, h, l, 0x88, 0xB5];
        assert_spread("stations", numbers().map(|number| mac(number).to_vec()));
        let address = |[h, l]: [u8; 2], net| [0x20, 1, 0xD, 0xB8, 0, 0, 0, net, 0, 0, 0, 0, 0, 0, h, l];
        assert_spread("IPv6", numbers().map(|number| v6(17, address(number, 1), address(number, 2), [0; 4])));
        assert_spread("IPv6 ports", numbers().map(|[h, l]| v6(6, [1; 16], [2; 16], [h, l, 0, 80])));
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_hash_that_their_payload_does_not_change(
            bytes in proptest::collection::vec(any::<u8>(), 0..100), more in any::<[u8; 9]>(),
        ) {
            // Behind the longest headers that are looked at.
            let mut longer = bytes;
            longer.resize(14 + 8 + IPV6_BYTES, 0);
            let whole = hash(&longer);
            longer.extend(more);
            prop_assert_eq!(hash(&longer), whole);
        }
    }
}
