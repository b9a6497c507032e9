//! What the steering program and the gateway agree on: names, map keys, map values.
//!
//! Place on the path: the gateway writes these maps, the program in the kernel reads them for every frame. Both sides are
//! compiled from this one file. Not here: what is decided from them ([`steer`](crate::steer)).
//!
//! Byte order: every struct is network-order bytes without padding (aligned only so that the program reads whole words). Bare `u32` map keys (interface
//! index, socket slot, counter index) are in the machine's order, because the kernel itself reads them.
//!
//! | map | kind | key | value |
//! |---|---|---|---|
//! | [`PORTS`] | hash | interface index, `u32` | [`PortConfig`] |
//! | [`PORT_CELLS`] | array | [`PortCell::place`], `u32` | [`PortCell`] |
//! | [`ENDPOINTS_V4`] | hash | [`EndpointV4`] | [`EndpointValue`] |
//! | [`ENDPOINTS_V6`] | hash | [`EndpointV6`] | [`EndpointValue`] |
//! | [`ENDPOINT_CELLS_V4`] | array | [`EndpointCellV4::place`], `u32` | [`EndpointCellV4`] |
//! | [`ENDPOINT_CELLS_V6`] | array | [`EndpointCellV6::place`], `u32` | [`EndpointCellV6`] |
//! | [`ACCESS_VLANS`] | hash | [`AccessVlanKey`] | [`COVERED`], `u8` |
//! | [`SOCKETS`] | XSKMAP | slot, `u32` | file descriptor of an AF_XDP socket |
//! | [`STATS`] | per-CPU array | [`stat_key`], `u32` | count of frames, `u64` |
//!
//! Cells stand in front of a hash map: what is in one is found by a comparison, which spares the program a look-up. Each entry has its place there, and
//! the first that claims a place has it. Nothing depends on an entry being in its cell.

mod cells;
mod endpoint;

use zerocopy::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub use cells::{EndpointCellV4, EndpointCellV6, PortCell};
pub(crate) use endpoint::Endpoint;
pub use endpoint::{EndpointKey, EndpointV4, EndpointV6, EndpointValue, Payload};

pub use crate::stats::Stat;

/// The XDP program's name in the object and in the kernel.
pub const PROGRAM: &str = "spanwire_steer";
/// The map of ports: interface index to [`PortConfig`].
pub const PORTS: &str = "PORTS";
/// The cells in front of [`PORTS`]: [`PortCell::place`] to [`PortCell`].
pub const PORT_CELLS: &str = "PORT_CELLS";
/// The map of tunnel endpoints between IPv4 addresses: [`EndpointV4`] to [`EndpointValue`].
pub const ENDPOINTS_V4: &str = "ENDPOINTS_V4";
/// The map of those between IPv6 addresses: [`EndpointV6`] to [`EndpointValue`].
pub const ENDPOINTS_V6: &str = "ENDPOINTS_V6";
/// The cells in front of [`ENDPOINTS_V4`]: [`EndpointCellV4::place`] to [`EndpointCellV4`].
pub const ENDPOINT_CELLS_V4: &str = "ENDPOINT_CELLS_V4";
/// The cells in front of [`ENDPOINTS_V6`]: [`EndpointCellV6::place`] to [`EndpointCellV6`].
pub const ENDPOINT_CELLS_V6: &str = "ENDPOINT_CELLS_V6";
/// The set of access VLANs: [`AccessVlanKey`] to [`COVERED`].
pub const ACCESS_VLANS: &str = "ACCESS_VLANS";
/// The map of AF_XDP sockets: [`PortConfig::slot`] to a socket.
pub const SOCKETS: &str = "SOCKETS";
/// The counters: [`stat_key`] to a count of frames per CPU.
pub const STATS: &str = "STATS";
/// The ring buffer of log records, under the name that `aya-log` reads.
pub const LOGS: &str = "AYA_LOGS";
/// The load-time global (one byte) that holds the log level, under the name that `aya-log` uses.
///
/// [`LOG_LEVEL_OFF`] stands in the object: the verifier then sees that no log code can run and removes it.
/// [`LOG_LEVEL_DEBUG`] and above report one record per frame.
pub const LOG_LEVEL: &str = "AYA_LOG_LEVEL";
/// The value of [`LOG_LEVEL`] at which nothing is logged; the default.
pub const LOG_LEVEL_OFF: u8 = 0;
/// The value of [`LOG_LEVEL`] at which every decision is logged.
pub const LOG_LEVEL_DEBUG: u8 = 4;

/// Entries that [`PORTS`] has room for, unless the loader asks for more.
pub const PORTS_MAX: usize = 256;
/// Cells in front of [`PORTS`]. A power of two.
pub const PORT_CELLS_MAX: usize = 256;
/// Cells in front of [`ENDPOINTS_V4`] and [`ENDPOINTS_V6`] each. A power of two.
pub const ENDPOINT_CELLS_MAX: usize = 1024;
/// Entries that [`ENDPOINTS_V4`] and [`ENDPOINTS_V6`] have room for each, unless the loader asks for more.
pub const ENDPOINTS_MAX: usize = 65_536;
/// Entries that [`ACCESS_VLANS`] has room for, unless the loader asks for more.
pub const ACCESS_VLANS_MAX: usize = 65_536;
/// Slots that [`SOCKETS`] has, unless the loader asks for more.
pub const SOCKETS_MAX: usize = 4_096;
/// Entries of [`STATS`]: one row of counters per port, and row 0 for frames of interfaces that are no port.
pub const STATS_MAX: usize = (PORTS_MAX + 1) * Stat::COUNT;

/// The key in [`STATS`] of one counter of a row: row 0, or a port's [`PortConfig::stat_row`].
#[inline]
#[must_use]
pub const fn stat_key(row: u32, stat: Stat) -> u32 {
    const ROW_COUNTERS: u32 = Stat::ALL[Stat::COUNT - 1].index() + 1;
    row.wrapping_mul(ROW_COUNTERS).wrapping_add(stat.index())
}

/// The value under every key of [`ACCESS_VLANS`]: the key's presence is the information.
pub const COVERED: u8 = 1;

/// What a port is for: a set of the constants of this type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles(u32);

impl Roles {
    /// Faces the routed network.
    pub const UNDERLAY: Self = Self(1);
    /// Faces a LAN; the VLANs in [`ACCESS_VLANS`] belong to bridge domains.
    pub const ACCESS: Self = Self(2);
    /// Faces a LAN that belongs to bridge domains whole: every frame, tagged or not. On a port that is also
    /// [`UNDERLAY`](Self::UNDERLAY) it covers nothing, since then only a VLAN tells the two apart.
    pub const ACCESS_WHOLE: Self = Self(2 | 4);
    /// Some tunnel over UDP learns its peer: a packet whose endpoint is not found is looked up again without its sender
    /// ([`EndpointKey::without_peer`]). Without it, as on most gateways, nobody pays for that.
    pub const LEARNS_PEERS: Self = Self(8);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every role of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A value of [`PORTS`]: what a port is for and where its sockets stand.
///
/// ```text
///  0       4           8             12         16
/// +-------+-----------+-------------+----------+
/// | roles | slot base | queue count | stat row |
/// +-------+-----------+-------------+----------+
/// ```
///
/// Byte order: network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub struct PortConfig {
    roles: U32,
    slot_base: U32,
    queue_count: U32,
    stat_row: U32,
}

impl PortConfig {
    /// Bytes of a value of [`PORTS`].
    pub const BYTES: usize = size_of::<Self>();

    /// A port whose RX queues `0..queue_count` have their sockets in the slots `slot_base..slot_base + queue_count`.
    /// It is counted in row 0 of [`STATS`].
    #[must_use]
    pub fn new(roles: Roles, slot_base: u32, queue_count: u32) -> Self {
        Self {
            roles: U32::new(roles.0),
            slot_base: U32::new(slot_base),
            queue_count: U32::new(queue_count),
            stat_row: U32::ZERO,
        }
    }

    /// The same, counted in a row of its own. Range: 1 to [`PORTS_MAX`]; frames of a row beyond are not counted.
    #[must_use]
    pub fn with_stat_row(self, row: u32) -> Self {
        Self { stat_row: U32::new(row), ..self }
    }

    /// The row of [`STATS`] that the port's frames are counted in.
    #[inline]
    #[must_use]
    pub fn stat_row(&self) -> u32 {
        self.stat_row.get()
    }

    /// Whether it is for anything: no port is without a role, an empty cell is.
    #[inline(always)]
    fn has_roles(&self) -> bool {
        self.roles.get() != 0
    }

    /// What the port is for.
    #[inline]
    #[must_use]
    pub fn roles(&self) -> Roles {
        Roles(self.roles.get())
    }

    /// The slot in [`SOCKETS`] of an RX queue; `None` for a queue that the gateway does not serve.
    #[inline]
    #[must_use]
    pub fn slot(&self, rx_queue: u32) -> Option<u32> {
        if rx_queue < self.queue_count.get() {
            Some(self.slot_base.get().wrapping_add(rx_queue))
        } else {
            None
        }
    }

    /// The bytes to write into the map.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        zerocopy::transmute!(self)
    }
}

/// A key of [`ACCESS_VLANS`]: a VLAN of a port.
///
/// ```text
///  0                 4         6          8
/// +-----------------+---------+----------+
/// | interface index | VLAN ID | reserved |
/// +-----------------+---------+----------+
/// ```
///
/// Byte order: network. Range: VLAN ID 1 to 4094; the ID 0 of a priority tag names no VLAN and is never looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub struct AccessVlanKey {
    ifindex: U32,
    vlan_id: U16,
    reserved: [u8; 2],
}

impl AccessVlanKey {
    /// Bytes of a key of [`ACCESS_VLANS`].
    pub const BYTES: usize = size_of::<Self>();

    /// The VLAN `vlan_id` of the port with interface index `ifindex`.
    #[inline]
    #[must_use]
    pub fn new(ifindex: u32, vlan_id: u16) -> Self {
        Self { ifindex: U32::new(ifindex), vlan_id: U16::new(vlan_id), reserved: [0; 2] }
    }

    /// The bytes to write into the map.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        zerocopy::transmute!(self)
    }
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn bytes(key: EndpointKey) -> Vec<u8> {
        match key {
            EndpointKey::V4(key) => key.to_bytes().into(),
            EndpointKey::V6(key) => key.to_bytes().into(),
        }
    }

    #[test]
    fn ipv4_udp_endpoint_has_this_layout() {
        let key = EndpointKey::ipv4(17, Ipv4Addr::new(10, 200, 100, 2), Ipv4Addr::new(10, 200, 100, 6))
            .with_ports(5001, 6001);
        let expected = [
            0, 0, 0, 17, // protocol
            0x13, 0x89, // local port 5001
            0x17, 0x71, // remote port 6001
            10, 200, 100, 2, // local
            10, 200, 100, 6, // remote
        ];
        assert_eq!(bytes(key), expected);
    }

    #[test]
    fn ipv6_endpoint_without_ports_has_this_layout() {
        let local = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        let remote = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
        let mut expected = [0; EndpointV6::BYTES];
        expected[3] = 115;
        expected[8..24].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        expected[24..].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(bytes(EndpointKey::ipv6(115, local, remote)), expected);
    }

    #[test]
    fn fragments_are_found_by_the_entry_without_ports() {
        let plain = EndpointKey::ipv4(17, Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST);
        assert_eq!(plain.with_ports(1701, 1701).for_fragments(), plain);
    }

    #[test]
    fn a_learning_endpoint_keeps_its_local_end_and_nothing_of_its_peer() {
        let key = EndpointKey::ipv4(17, Ipv4Addr::new(10, 200, 100, 2), Ipv4Addr::new(10, 200, 100, 6))
            .with_ports(5001, 6001);
        let expected = [0, 0, 0, 17, 0x13, 0x89, 0, 0, 10, 200, 100, 2, 0, 0, 0, 0];
        assert_eq!(bytes(key.without_peer()), expected);
        assert_ne!(key.without_peer(), key.for_fragments());
        let key = EndpointKey::ipv6(17, Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST).with_ports(5001, 6001);
        let mut expected = [0; EndpointV6::BYTES];
        (expected[3], expected[4], expected[5], expected[23]) = (17, 0x13, 0x89, 1);
        assert_eq!(bytes(key.without_peer()), expected);
    }

    #[test]
    fn port_and_vlan_have_this_layout() {
        let port = PortConfig::new(Roles::UNDERLAY.with(Roles::ACCESS), 0x0102, 4).with_stat_row(5);
        assert_eq!(port.to_bytes(), [0, 0, 0, 3, 0, 0, 1, 2, 0, 0, 0, 4, 0, 0, 0, 5]);
        assert_eq!(AccessVlanKey::new(7, 0xabc).to_bytes(), [0, 0, 0, 7, 0x0a, 0xbc, 0, 0]);
        assert_eq!(EndpointValue::new(Payload::L2tp).to_bytes(), [1, 0, 0, 0]);
        assert_eq!(EndpointValue::new(Payload::Esp).to_bytes(), [2, 0, 0, 0]);
    }

    #[test]
    fn rows_of_counters_do_not_overlap() {
        let last = Stat::ALL[Stat::COUNT - 1];
        assert_eq!(stat_key(0, Stat::ALL[0]), 0);
        assert_eq!(stat_key(1, Stat::ALL[0]), stat_key(0, last) + 1);
        let last_row = u32::try_from(PORTS_MAX).unwrap();
        assert_eq!(usize::try_from(stat_key(last_row, last)).unwrap(), STATS_MAX - 1);
    }

    #[test]
    fn a_queue_beyond_the_served_ones_has_no_slot() {
        let port = PortConfig::new(Roles::UNDERLAY, 16, 2);
        assert_eq!([port.slot(0), port.slot(1), port.slot(2)], [Some(16), Some(17), None]);
    }

    #[test]
    fn the_whole_of_a_port_includes_its_access_role() {
        assert!(Roles::ACCESS_WHOLE.contains(Roles::ACCESS));
        assert!(!Roles::ACCESS.contains(Roles::ACCESS_WHOLE));
        assert!(!Roles::ACCESS_WHOLE.contains(Roles::UNDERLAY));
        assert!(!Roles::ACCESS_WHOLE.with(Roles::UNDERLAY).contains(Roles::LEARNS_PEERS));
    }
}
