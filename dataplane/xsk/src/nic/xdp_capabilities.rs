//! What the driver of an interface says that it can do with XDP, asked of the kernel's `netdev` netlink family.
//!
//! Drivers have answered since 6.3, for multi-buffer since 6.6. What is not here: whether a port needs it.
//! Source: linux/netdev.h and linux/genetlink.h, v6.6.

use std::io;

use super::generic_netlink::{Family, attribute, attributes, number};

const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
const NETDEV_A_DEV_XDP_ZC_MAX_SEGS: u16 = 4;
const NETDEV_A_DEV_XSK_FEATURES: u16 = 6;
const NETDEV_XDP_ACT_BASIC: u64 = 1 << 0;
const NETDEV_XDP_ACT_XSK_ZEROCOPY: u64 = 1 << 3;
const NETDEV_XDP_ACT_RX_SG: u64 = 1 << 5;
const NETDEV_XSK_FLAGS_TX_CHECKSUM: u64 = 1 << 1;

/// What a driver can do with XDP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct XdpCapabilities {
    /// It runs XDP programs itself.
    pub native: bool,
    /// It moves frames between wire and frame memory without a copy.
    pub zero_copy: bool,
    /// It hands frames of several buffers to a program that it runs itself.
    pub rx_multi_buffer: bool,
    /// Segments that a frame may have in zero-copy mode; 0 without that mode. Units: segments.
    pub zero_copy_segments: u32,
    /// It fills in checksums of frames that AF_XDP sends, where it is asked to.
    pub tx_checksum: bool,
}

/// Asks what the driver of an interface can do.
///
/// # Errors
///
/// When the kernel is too old to answer, or there is no such interface.
pub fn xdp_capabilities(ifindex: u32) -> io::Result<XdpCapabilities> {
    let device = attribute(NETDEV_A_DEV_IFINDEX, &ifindex.to_ne_bytes());
    Family::find("netdev")?.ask(NETDEV_CMD_DEV_GET, &device).map(|answer| read(&answer))
}

/// Reads the attributes of a device.
fn read(answer: &[u8]) -> XdpCapabilities {
    let mut able = XdpCapabilities::default();
    for (kind, value) in attributes(answer) {
        match kind {
            NETDEV_A_DEV_XDP_FEATURES => {
                let has = |bit| bits(value) & bit != 0;
                able.native = has(NETDEV_XDP_ACT_BASIC);
                able.zero_copy = has(NETDEV_XDP_ACT_XSK_ZEROCOPY);
                able.rx_multi_buffer = has(NETDEV_XDP_ACT_RX_SG);
            }
            NETDEV_A_DEV_XDP_ZC_MAX_SEGS => able.zero_copy_segments = number(value).unwrap_or(0),
            NETDEV_A_DEV_XSK_FEATURES => able.tx_checksum = bits(value) & NETDEV_XSK_FLAGS_TX_CHECKSUM != 0,
            _ => {}
        }
    }
    able
}

/// A set of 64 bits; none when the value is shorter.
fn bits(value: &[u8]) -> u64 {
    value.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_and_segments_are_read_whatever_else_is_there() {
        let answer = [
            attribute(NETDEV_A_DEV_IFINDEX, &7u32.to_ne_bytes()),
            attribute(0x4000 | NETDEV_A_DEV_XDP_FEATURES, &0x2Bu64.to_ne_bytes()),
            attribute(99, &[1, 2, 3]),
            attribute(NETDEV_A_DEV_XDP_ZC_MAX_SEGS, &8u32.to_ne_bytes()),
        ]
        .concat();
        let able = XdpCapabilities {
            native: true,
            zero_copy: true,
            rx_multi_buffer: true,
            zero_copy_segments: 8,
            tx_checksum: false,
        };
        assert_eq!(read(&answer), able);
        assert_eq!(read(&attribute(NETDEV_A_DEV_XDP_FEATURES, &[0x20])), XdpCapabilities::default());
    }

    #[test]
    fn an_answer_cut_anywhere_is_read_as_far_as_it_goes() {
        let answer = attribute(NETDEV_A_DEV_XDP_FEATURES, &u64::MAX.to_ne_bytes());
        for len in 0..answer.len() {
            assert_eq!(read(&answer[..len]), XdpCapabilities::default(), "{len}");
        }
        assert_eq!(read(&[0, 0, 3, 0, 1]), XdpCapabilities::default(), "a length of nothing");
    }
}
