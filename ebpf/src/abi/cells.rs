//! Cells: what stands in front of a hash map and is found by a comparison, which spares the program a look-up.
//!
//! Every key has one place, and many have the same. A half-written cell is taken for an empty one or for another key's: its value stands in front of its key and
//! counts only if it is none of an empty cell. Who copies a value while the gateway gives the cell to another key may get that key's: for one frame, as with
//! any change that a frame meets under way.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::{ENDPOINT_CELLS_MAX, EndpointV4, EndpointV6, EndpointValue, PORT_CELLS_MAX, PortConfig};

/// A value of [`PORT_CELLS`](super::PORT_CELLS): a port that is found by its place.
///
/// ```text
///  0             16                20
/// +-------------+-----------------+
/// | port config | interface index |
/// +-------------+-----------------+
/// ```
///
/// Byte order: network, but for the interface index, which is in the machine's. An empty cell is all zeros: no interface has index 0, and no port is
/// without a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(4))]
pub struct PortCell {
    config: PortConfig,
    ifindex: u32,
}

impl PortCell {
    /// Bytes of a cell.
    pub const BYTES: usize = size_of::<Self>();

    /// The cell of the port with interface index `ifindex`.
    #[must_use]
    pub const fn new(ifindex: u32, config: PortConfig) -> Self {
        Self { config, ifindex }
    }

    /// Where the port with this interface index has its place.
    #[inline(always)]
    #[must_use]
    pub const fn place(ifindex: u32) -> u32 {
        ifindex % cells(PORT_CELLS_MAX)
    }

    /// What stands here of the port with this interface index.
    #[inline(always)]
    #[must_use]
    pub fn config_of(&self, ifindex: u32) -> Option<&PortConfig> {
        if self.ifindex == ifindex && self.config.has_roles() { Some(&self.config) } else { None }
    }

    /// The bytes to write into the map.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        zerocopy::transmute!(self)
    }
}

/// A number of cells, as a map's keys have it.
#[expect(clippy::cast_possible_truncation, reason = "a thousand at most")]
const fn cells(count: usize) -> u32 {
    assert!(count.is_power_of_two());
    count as u32
}

/// The cells of one family.
macro_rules! endpoint_cell {
    ($(#[$attribute:meta])* $cell:ident, $key:ident) => {
        $(#[$attribute])*
        ///
        /// Byte order: network. An empty cell is all zeros: no value is, and no key either.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C, align(4))]
        pub struct $cell {
            value: EndpointValue,
            key: $key,
        }

        impl $cell {
            /// Bytes of a cell.
            pub const BYTES: usize = size_of::<Self>();

            /// The cell of the endpoint `key`.
            #[must_use]
            pub const fn new(key: $key, value: EndpointValue) -> Self {
                Self { value, key }
            }

            /// Where the endpoint `key` has its place: words multiplied into each other, so that those that change alike do not cancel each other out.
            #[inline(always)]
            #[must_use]
            pub fn place(key: &$key) -> u32 {
                // The upper bits of each product go on, to where the next word and the remainder find them.
                let mix = |mixed: u32, word: u32| (mixed ^ word).wrapping_mul(0x9e37_79b1).rotate_left(10);
                key.folded().into_iter().fold(0, mix) % cells(ENDPOINT_CELLS_MAX)
            }

            /// What stands here of the endpoint `key`.
            #[inline(always)]
            #[must_use]
            pub fn value_of(&self, key: &$key) -> Option<&EndpointValue> {
                let words: [[u32; $key::BYTES / 4]; 2] = [zerocopy::transmute!(self.key), zerocopy::transmute!(*key)];
                let [own, other] = words;
                // Without a branch for each word.
                let differ = own.into_iter().zip(other).fold(0, |differ, (own, other)| differ | own ^ other);
                if differ == 0 && !self.value.is_none() { Some(&self.value) } else { None }
            }

            /// The bytes to write into the map.
            #[must_use]
            pub fn to_bytes(self) -> [u8; Self::BYTES] {
                zerocopy::transmute!(self)
            }
        }
    };
}

endpoint_cell! {
    /// A value of [`ENDPOINT_CELLS_V4`](super::ENDPOINT_CELLS_V4): an endpoint that is found by its place.
    ///
    /// ```text
    ///  0       4     20
    /// +-------+------+
    /// | value | key  |
    /// +-------+------+
    /// ```
    EndpointCellV4, EndpointV4
}

endpoint_cell! {
    /// A value of [`ENDPOINT_CELLS_V6`](super::ENDPOINT_CELLS_V6): an endpoint that is found by its place.
    ///
    /// ```text
    ///  0       4     44
    /// +-------+------+
    /// | value | key  |
    /// +-------+------+
    /// ```
    EndpointCellV6, EndpointV6
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::super::{Endpoint, EndpointKey, Payload, Roles};
    use super::*;

    /// Every key of `bytes` that differs from it in one bit.
    fn neighbours<const N: usize>(bytes: [u8; N]) -> impl Iterator<Item = [u8; N]> {
        (0..N * 8).map(move |bit| {
            let mut other = bytes;
            other[bit / 8] ^= 1 << (bit % 8);
            other
        })
    }

    #[test]
    fn a_port_is_found_by_its_own_index_only() {
        let config = PortConfig::new(Roles::UNDERLAY, 8, 1);
        let cell = PortCell::new(0x0102, config);
        assert_eq!(cell.to_bytes()[16..], 0x0102_u32.to_ne_bytes());
        assert_eq!((cell.config_of(0x0102), cell.config_of(0x0202)), (Some(&config), None));
        assert_eq!(PortCell::place(0x0102), PortCell::place(0x0202));
        let empty: PortCell = zerocopy::transmute!([0_u8; PortCell::BYTES]);
        assert_eq!(empty.config_of(0), None);
        let without_config: PortCell =
            zerocopy::transmute!([[0_u8; 4], [0; 4], [0; 4], [0; 4], [0, 0, 1, 2]]);
        assert_eq!(without_config.config_of(u32::from_ne_bytes([0, 0, 1, 2])), None, "half removed");
    }

    #[test]
    fn an_endpoint_is_found_by_a_key_that_is_the_same_in_every_bit() {
        let value = EndpointValue::new(Payload::L2tp);
        let v4 = EndpointV4::new(17, [10, 0, 0, 2], [10, 0, 0, 6]).with_ports(1, 2);
        let cell = EndpointCellV4::new(v4, value);
        assert_eq!(cell.to_bytes(), [&[1, 0, 0, 0][..], &v4.to_bytes()].concat()[..]);
        assert_eq!(cell.value_of(&v4), Some(&value));
        let others = neighbours(v4.to_bytes());
        assert!(others.map(|bytes| zerocopy::transmute!(bytes)).all(|key| cell.value_of(&key).is_none()));
        let v6 = EndpointV6::new(115, [3; 16], [4; 16]);
        let cell = EndpointCellV6::new(v6, value);
        assert_eq!(cell.to_bytes(), [&[1, 0, 0, 0][..], &v6.to_bytes()].concat()[..]);
        assert_eq!(cell.value_of(&v6), Some(&value));
        let others = neighbours(v6.to_bytes());
        assert!(others.map(|bytes| zerocopy::transmute!(bytes)).all(|key| cell.value_of(&key).is_none()));
    }

    #[test]
    fn a_cell_without_a_value_is_nobodys() {
        let key = EndpointV4::new(17, [10, 0, 0, 2], [10, 0, 0, 6]);
        let half: EndpointCellV4 =
            zerocopy::transmute!([[0_u8; 4], [0, 0, 0, 17], [0; 4], [10, 0, 0, 2], [10, 0, 0, 6]]);
        assert_eq!(half.value_of(&key), None);
        let empty: EndpointCellV4 = zerocopy::transmute!([0_u8; EndpointCellV4::BYTES]);
        assert_eq!(empty.value_of(&zerocopy::transmute!([0_u8; EndpointV4::BYTES])), None);
    }

    #[test]
    fn peers_of_one_network_have_places_of_their_own_also_where_ports_count_with_addresses() {
        let place = |port: u16, last_octet: u8| {
            let key =
                EndpointKey::ipv4(17, Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, last_octet));
            let EndpointKey::V4(key) = key.with_ports(1701, port) else { panic!() };
            EndpointCellV4::place(&key)
        };
        let same_port: std::collections::HashSet<u32> = (0..=255).map(|number| place(1701, number)).collect();
        assert_eq!(same_port.len(), 256);
        let own_ports: std::collections::HashSet<u32> =
            (0..=255).map(|number| place(0x1700 + u16::from(number), number)).collect();
        // By chance, 226 of 256 would have a place of their own.
        assert!(own_ports.len() > 180, "{}", own_ports.len());
        assert!(same_port.iter().chain(&own_ports).all(|place| *place < cells(ENDPOINT_CELLS_MAX)));
    }
}
