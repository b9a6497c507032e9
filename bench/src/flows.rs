//! The frames that are generated: one per flow, of varying addresses, with a stamp behind the UDP header.
//!
//! The frames are built by `etherparse`, which shares no code with the gateway's own parser. `bpf/stamp.h`
//! draws the stamp.

use std::str::FromStr;

use etherparse::{PacketBuilder, VlanId};
use wire::ethernet::{MacAddr, MacAddrError};

/// The bytes of a frame that the generator writes each time; also the shortest frame it sends.
pub const HEAD_BYTES: usize = 64;

/// The longest frame: what fits one page of live XDP frames beside its head and tail room.
pub const MAX_FRAME_BYTES: usize = 3072;

/// The magic that opens a stamp.
const STAMP_MAGIC: [u8; 4] = *b"SWG1";

/// Magic, flow id and sequence number; the time stands behind them.
const STAMP_BYTES: usize = 16;

/// Ethernet, IPv4 and UDP headers without VLAN tags.
const UNTAGGED_HEADER_BYTES: usize = 14 + 20 + 8;

/// Where the UDP header's checksum stands from its start.
const UDP_CHECKSUM_OFFSET: usize = 6;

/// The discard port.
const UDP_DESTINATION_PORT: u16 = 9;

/// Source ports start here and follow the flow, so that receive-side scaling can spread flows.
const FIRST_UDP_SOURCE_PORT: u16 = 1024;

/// Consecutive MAC addresses, written `02:00:00:00:01:00` or `02:00:00:00:01:00/1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacRange {
    first: u64,
    count: u32,
}

/// Why a text is no range of MAC addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MacRangeError {
    /// The part before the slash is no MAC address.
    #[error("{text:?} is no MAC address such as 02:00:00:00:01:00")]
    Address {
        /// The part refused.
        text: String,
        /// What is wrong with it.
        source: MacAddrError,
    },
    /// The part behind the slash is no count.
    #[error("{text:?} is no count of addresses in 1..=65536")]
    Count {
        /// The part refused.
        text: String,
    },
    /// The range runs beyond the last address there is.
    #[error("{count} addresses from {text:?} on run beyond ff:ff:ff:ff:ff:ff")]
    Overflow {
        /// The first address.
        text: String,
        /// How many were asked for.
        count: u32,
    },
}

impl MacRange {
    /// The address at `index`, starting again behind the last.
    #[must_use]
    pub fn at(self, index: u32) -> [u8; 6] {
        MacAddr::from_u64(self.first + u64::from(index % self.count)).0
    }

    /// The place of `index` in the range, as the two low octets of an IP address.
    fn host(self, index: u32) -> [u8; 2] {
        let [_, _, host @ ..] = (index % self.count).to_be_bytes();
        host
    }
}

impl FromStr for MacRange {
    type Err = MacRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, count) = text.split_once('/').unwrap_or((text, "1"));
        let first = address
            .parse()
            .map(MacAddr::to_u64)
            .map_err(|source| MacRangeError::Address { text: address.to_owned(), source })?;
        let count = count
            .parse()
            .ok()
            .filter(|count| (1..=65_536).contains(count))
            .ok_or_else(|| MacRangeError::Count { text: count.to_owned() })?;
        if first + u64::from(count) > 1 << 48 {
            return Err(MacRangeError::Overflow { text: address.to_owned(), count });
        }
        Ok(Self { first, count })
    }
}

/// What the generated frames look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowPlan {
    /// How many flows; flow `n` has source address `n` and destination address `n` of their ranges.
    pub flows: u32,
    /// Source addresses.
    pub source: MacRange,
    /// Destination addresses.
    pub destination: MacRange,
    /// An 802.1Q tag, `Range:` 0..=4094.
    pub vlan: Option<u16>,
    /// Frame length without the check sequence, `Range:` [`HEAD_BYTES`]..=[`MAX_FRAME_BYTES`].
    pub frame_bytes: usize,
}

/// Why a plan has no frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The length is out of range.
    #[error("frames of {bytes} bytes cannot be generated, only of {HEAD_BYTES} to {MAX_FRAME_BYTES}")]
    FrameBytes {
        /// The length asked for.
        bytes: usize,
    },
    /// The VLAN is out of range.
    #[error("VLAN {vlan} does not exist, only 0 to 4094")]
    Vlan {
        /// The VLAN asked for.
        vlan: u16,
    },
    /// No flows.
    #[error("0 flows asked for, at least 1 needed")]
    NoFlows,
}

impl FlowPlan {
    /// Checks every value's range.
    ///
    /// # Errors
    /// [`PlanError`]: a value is out of its range.
    pub fn check(&self) -> Result<(), PlanError> {
        if !(HEAD_BYTES..=MAX_FRAME_BYTES).contains(&self.frame_bytes) {
            return Err(PlanError::FrameBytes { bytes: self.frame_bytes });
        }
        if let Some(vlan) = self.vlan.filter(|&vlan| vlan > 4094) {
            return Err(PlanError::Vlan { vlan });
        }
        if self.flows == 0 { Err(PlanError::NoFlows) } else { Ok(()) }
    }

    /// Where the sequence number stands in every frame.
    #[must_use]
    pub fn sequence_offset(&self) -> usize {
        self.stamp_offset() + 8
    }

    /// Where the time at which a frame was due stands; a tagged frame has none.
    #[must_use]
    pub fn time_offset(&self) -> Option<usize> {
        self.vlan.is_none().then(|| self.stamp_offset() + STAMP_BYTES)
    }

    /// The whole frame of one flow, with sequence number 0. The UDP checksum is 0 (none): the
    /// generator changes bytes that it would cover.
    ///
    /// # Errors
    /// [`PlanError`]: a value is out of its range.
    pub fn frame(&self, flow: u32) -> Result<Vec<u8>, PlanError> {
        self.check()?;
        let payload = self.payload(flow);
        let [source_high, source_low] = self.source.host(flow);
        let [destination_high, destination_low] = self.destination.host(flow);
        // 198.18.0.0/15 is set aside for measuring (RFC 2544).
        let source_ip = [198, 18, source_high, source_low];
        let destination_ip = [198, 19, destination_high, destination_low];
        let ports = u16::try_from(flow % 60_000).map_or(0, |offset| FIRST_UDP_SOURCE_PORT + offset);
        let ethernet = PacketBuilder::ethernet2(self.source.at(flow), self.destination.at(flow));
        let packet = match self.vlan.and_then(|vlan| VlanId::try_new(vlan).ok()) {
            Some(vlan) => ethernet.single_vlan(vlan).ipv4(source_ip, destination_ip, 64),
            None => ethernet.ipv4(source_ip, destination_ip, 64),
        };
        let mut frame = Vec::with_capacity(self.frame_bytes);
        packet
            .udp(ports, UDP_DESTINATION_PORT)
            .write(&mut frame, &payload)
            .expect("a payload below 3072 bytes fits IPv4 and UDP, and a vector takes every write");
        let checksum_offset = self.stamp_offset() - 8 + UDP_CHECKSUM_OFFSET;
        frame[checksum_offset..checksum_offset + 2].fill(0);
        Ok(frame)
    }

    /// The stamp with sequence number 0, and zeros up to the frame's length.
    fn payload(&self, flow: u32) -> Vec<u8> {
        let mut payload = Vec::with_capacity(self.frame_bytes);
        payload.extend(STAMP_MAGIC);
        payload.extend(flow.to_be_bytes());
        payload.resize((self.frame_bytes - self.stamp_offset()).max(STAMP_BYTES), 0);
        payload
    }

    /// Where the stamp starts in every frame.
    fn stamp_offset(&self) -> usize {
        UNTAGGED_HEADER_BYTES + if self.vlan.is_some() { 4 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> FlowPlan {
        FlowPlan {
            flows: 2,
            source: "02:00:00:00:01:ff/2".parse().expect("a range"),
            destination: "02:00:00:00:02:00".parse().expect("a range"),
            vlan: None,
            frame_bytes: 64,
        }
    }

    #[test]
    fn the_second_flows_frame_is_these_64_bytes() {
        let expected = [
            0x02, 0x00, 0x00, 0x00, 0x02, 0x00, // destination: the only one
            0x02, 0x00, 0x00, 0x00, 0x02, 0x00, // source: 02:00:00:00:01:ff + 1
            0x08, 0x00, // IPv4
            0x45, 0x00, 0x00, 0x32, // version, header length, TOS, total length 50
            0x00, 0x00, 0x40, 0x00, // identification, don't fragment
            0x40, 0x11, 0xae, 0x94, // TTL 64, UDP, header checksum
            0xc6, 0x12, 0x00, 0x01, // 198.18.0.1
            0xc6, 0x13, 0x00, 0x00, // 198.19.0.0
            0x04, 0x01, 0x00, 0x09, 0x00, 0x1e, 0x00, 0x00, // UDP 1025 -> 9, length 30, no checksum
            b'S', b'W', b'G', b'1', // magic
            0x00, 0x00, 0x00, 0x01, // flow 1
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // sequence number
            0x00, 0x00, 0x00, 0x00, 0x00, 0x00, // padding
        ];
        assert_eq!(plan().frame(1).expect("a frame"), expected);
    }

    #[test]
    fn a_vlan_tag_moves_the_stamp_by_four_bytes() {
        let plan = FlowPlan { vlan: Some(100), ..plan() };
        let frame = plan.frame(0).expect("a frame");
        assert_eq!(frame[12..18], [0x81, 0x00, 0x00, 0x64, 0x08, 0x00]);
        assert_eq!((&frame[46..50], plan.sequence_offset(), frame.len()), (&b"SWG1"[..], 54, 64));
    }

    #[test]
    fn addresses_start_again_behind_the_last() {
        let range: MacRange = "02:00:00:00:00:ff/2".parse().expect("a range");
        let seen = [range.at(0), range.at(1), range.at(2)];
        assert_eq!(seen, [[2, 0, 0, 0, 0, 0xff], [2, 0, 0, 0, 1, 0], [2, 0, 0, 0, 0, 0xff]]);
    }

    #[test]
    fn ranges_that_are_none_are_refused_with_the_reason() {
        let refused = |text: &str| text.parse::<MacRange>().expect_err("refused").to_string();
        assert_eq!(
            refused("02:00:00:00:01"),
            "\"02:00:00:00:01\" is no MAC address such as 02:00:00:00:01:00"
        );
        assert_eq!(refused("02:00:00:00:01:00/0"), "\"0\" is no count of addresses in 1..=65536");
        assert_eq!(
            refused("ff:ff:ff:ff:ff:ff/2"),
            "2 addresses from \"ff:ff:ff:ff:ff:ff\" on run beyond ff:ff:ff:ff:ff:ff"
        );
    }

    #[test]
    fn a_plan_out_of_range_is_refused_with_the_reason() {
        let refused = |plan: FlowPlan| plan.frame(0).expect_err("refused");
        assert_eq!(refused(FlowPlan { frame_bytes: 63, ..plan() }), PlanError::FrameBytes { bytes: 63 });
        assert_eq!(refused(FlowPlan { vlan: Some(4095), ..plan() }), PlanError::Vlan { vlan: 4095 });
        assert_eq!(refused(FlowPlan { flows: 0, ..plan() }), PlanError::NoFlows);
    }
}
