//! Fronted: a hash map of the steering program with an array of cells in front, which spares the program most look-ups.
//!
//! Every key has one place in the array, and many have the same. The first that claims a place has it until it is removed;
//! the others are found in the map alone. What a cell holds, and what a half-written one means, stands in `ebpf::abi`. An entry is in the map
//! before it is in its cell, and leaves the cell before the map, so the program finds it all the time.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use aya::maps::{Array, HashMap as KernelHash, MapData};
use aya::{Ebpf, Pod};
use ebpf::abi::{
    self, EndpointCellV4, EndpointCellV6, EndpointV4, EndpointV6, EndpointValue, PortCell, PortConfig,
};

use super::{MapsError, absent_is_fine, access, open};

/// What such a map has as its key.
pub(super) trait Key: Copy + Eq + Hash + Debug {
    /// What an entry says.
    type Value: Copy;
    /// The bytes of a key.
    type KeyBytes: Pod;
    /// The bytes of a value.
    type ValueBytes: Pod;
    /// The bytes of a cell.
    type Cell: Pod;
    /// The map's name.
    const MAP: &'static str;
    /// The array's name.
    const ARRAY: &'static str;
    /// A cell that nobody has.
    const EMPTY: Self::Cell;

    /// The bytes of this key.
    fn bytes(self) -> Self::KeyBytes;

    /// The bytes of a value.
    fn value_bytes(value: Self::Value) -> Self::ValueBytes;

    /// Where its place is.
    fn place(self) -> u32;

    /// Its cell.
    fn cell(self, value: Self::Value) -> Self::Cell;
}

/// The interface index of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Port(pub(super) u32);

impl Key for Port {
    type Value = PortConfig;
    type KeyBytes = u32;
    type ValueBytes = [u8; PortConfig::BYTES];
    type Cell = [u8; PortCell::BYTES];
    const MAP: &'static str = abi::PORTS;
    const ARRAY: &'static str = abi::PORT_CELLS;
    const EMPTY: Self::Cell = [0; PortCell::BYTES];

    fn bytes(self) -> u32 {
        self.0
    }

    fn value_bytes(value: PortConfig) -> Self::ValueBytes {
        value.to_bytes()
    }

    fn place(self) -> u32 {
        PortCell::place(self.0)
    }

    fn cell(self, value: PortConfig) -> Self::Cell {
        PortCell::new(self.0, value).to_bytes()
    }
}

/// The endpoints of one family.
macro_rules! endpoint_key {
    ($key:ident, $cell:ident, $map:ident, $array:ident) => {
        impl Key for $key {
            type Value = EndpointValue;
            type KeyBytes = [u8; $key::BYTES];
            type ValueBytes = [u8; EndpointValue::BYTES];
            type Cell = [u8; $cell::BYTES];
            const MAP: &'static str = abi::$map;
            const ARRAY: &'static str = abi::$array;
            const EMPTY: Self::Cell = [0; $cell::BYTES];

            fn bytes(self) -> Self::KeyBytes {
                self.to_bytes()
            }

            fn value_bytes(value: EndpointValue) -> Self::ValueBytes {
                value.to_bytes()
            }

            fn place(self) -> u32 {
                $cell::place(&self)
            }

            fn cell(self, value: EndpointValue) -> Self::Cell {
                $cell::new(self, value).to_bytes()
            }
        }
    };
}

endpoint_key!(EndpointV4, EndpointCellV4, ENDPOINTS_V4, ENDPOINT_CELLS_V4);
endpoint_key!(EndpointV6, EndpointCellV6, ENDPOINTS_V6, ENDPOINT_CELLS_V6);

/// Map and array, and who has which cell.
pub(super) struct Fronted<K: Key> {
    map: KernelHash<MapData, K::KeyBytes, K::ValueBytes>,
    array: Array<MapData, K::Cell>,
    /// By place.
    taken: HashMap<u32, K>,
}

impl<K: Key> Fronted<K> {
    /// Takes both out of a loaded object.
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, MapsError> {
        Ok(Self { map: open(ebpf, K::MAP)?, array: open(ebpf, K::ARRAY)?, taken: HashMap::new() })
    }

    /// Adds an entry, or changes what it says.
    pub(super) fn set(&mut self, key: K, value: K::Value) -> Result<(), MapsError> {
        self.map
            .insert(key.bytes(), K::value_bytes(value), 0)
            .map_err(access(K::MAP, || format!("set {key:?}")))?;
        self.claim(key, value)
    }

    /// Puts an entry that is in the map into its cell, unless another one has that.
    fn claim(&mut self, key: K, value: K::Value) -> Result<(), MapsError> {
        let place = key.place();
        if *self.taken.entry(place).or_insert(key) != key {
            return Ok(());
        }
        self.array.set(place, key.cell(value), 0).map_err(access(K::ARRAY, || format!("set {key:?}")))
    }

    /// The same, unless any has the cell, this one included.
    pub(super) fn claim_if_free(&mut self, key: K, value: K::Value) -> Result<(), MapsError> {
        if self.taken.contains_key(&key.place()) { Ok(()) } else { self.claim(key, value) }
    }

    /// Removes an entry. No error when it is not there.
    pub(super) fn remove(&mut self, key: K) -> Result<(), MapsError> {
        let remove = || format!("remove {key:?}");
        let place = key.place();
        if self.taken.get(&place) == Some(&key) {
            self.array.set(place, K::EMPTY, 0).map_err(access(K::ARRAY, remove))?;
            self.taken.remove(&place);
        }
        absent_is_fine(self.map.remove(&key.bytes())).map_err(access(K::MAP, remove))
    }
}

#[cfg(test)]
mod tests {
    use ebpf::abi::Roles;

    use super::*;

    #[test]
    #[ignore = "needs root: loads BPF maps"]
    fn the_first_has_the_cell_until_it_is_removed_and_then_another_can_have_it() {
        let mut ebpf = Ebpf::load(ebpf::OBJECT).unwrap();
        let mut ports = Fronted::<Port>::open(&mut ebpf).unwrap();
        let config = |slot| PortConfig::new(Roles::UNDERLAY, slot, 1);
        let (first, second) = (Port(7), Port(7 + 256));
        assert_eq!(first.place(), second.place());
        let stands = |ports: &Fronted<Port>| ports.array.get(&first.place(), 0).unwrap();
        let in_map = |ports: &Fronted<Port>, port: Port| ports.map.get(&port.bytes(), 0).ok();
        assert_eq!(stands(&ports), Port::EMPTY);
        ports.set(first, config(1)).unwrap();
        ports.set(second, config(2)).unwrap();
        assert_eq!(stands(&ports), first.cell(config(1)));
        assert_eq!(in_map(&ports, second), Some(config(2).to_bytes()));
        ports.set(first, config(3)).unwrap();
        ports.claim_if_free(second, config(2)).unwrap();
        assert_eq!(stands(&ports), first.cell(config(3)));
        ports.remove(first).unwrap();
        assert_eq!((stands(&ports), in_map(&ports, first)), (Port::EMPTY, None));
        ports.claim_if_free(second, config(2)).unwrap();
        assert_eq!(stands(&ports), second.cell(config(2)));
        ports.remove(first).unwrap();
        assert_eq!(stands(&ports), second.cell(config(2)));
    }
}
