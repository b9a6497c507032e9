//! Front: an array of cells in front of a hash map, which spares the steering program a look-up.
//!
//! Every entry of the map has one place in the array, and many have the same. The first that claims a place has it until it is removed;
//! the others are found in the map alone. What a cell holds stands in `ebpf::abi`.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::Hash;

use aya::maps::{Array, MapData};
use aya::{Ebpf, Pod};
use ebpf::abi::{
    self, EndpointCellV4, EndpointCellV6, EndpointV4, EndpointV6, EndpointValue, PortCell, PortConfig,
};

use super::{MapsError, access, open};

/// What has a cell: the key of an entry in the map behind.
pub(super) trait Key: Copy + Eq + Hash + Debug {
    /// What the entry says.
    type Value;
    /// The bytes of a cell.
    type Cell: Pod;
    /// The array's name.
    const ARRAY: &'static str;
    /// A cell that nobody has.
    const EMPTY: Self::Cell;

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
    type Cell = [u8; PortCell::BYTES];
    const ARRAY: &'static str = abi::PORT_CELLS;
    const EMPTY: Self::Cell = [0; PortCell::BYTES];

    fn place(self) -> u32 {
        PortCell::place(self.0)
    }

    fn cell(self, value: PortConfig) -> Self::Cell {
        PortCell::new(self.0, value).to_bytes()
    }
}

impl Key for EndpointV4 {
    type Value = EndpointValue;
    type Cell = [u8; EndpointCellV4::BYTES];
    const ARRAY: &'static str = abi::ENDPOINT_CELLS_V4;
    const EMPTY: Self::Cell = [0; EndpointCellV4::BYTES];

    fn place(self) -> u32 {
        EndpointCellV4::place(&self)
    }

    fn cell(self, value: EndpointValue) -> Self::Cell {
        EndpointCellV4::new(self, value).to_bytes()
    }
}

impl Key for EndpointV6 {
    type Value = EndpointValue;
    type Cell = [u8; EndpointCellV6::BYTES];
    const ARRAY: &'static str = abi::ENDPOINT_CELLS_V6;
    const EMPTY: Self::Cell = [0; EndpointCellV6::BYTES];

    fn place(self) -> u32 {
        EndpointCellV6::place(&self)
    }

    fn cell(self, value: EndpointValue) -> Self::Cell {
        EndpointCellV6::new(self, value).to_bytes()
    }
}

/// The array, and who has which of its cells.
pub(super) struct Front<K: Key> {
    array: Array<MapData, K::Cell>,
    /// By place.
    taken: HashMap<u32, K>,
}

impl<K: Key> Front<K> {
    /// Takes the array out of a loaded object.
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, MapsError> {
        Ok(Self { array: open(ebpf, K::ARRAY)?, taken: HashMap::new() })
    }

    /// Writes an entry, that is in the map already, into its cell, unless another one has that.
    pub(super) fn set(&mut self, key: K, value: K::Value) -> Result<(), MapsError> {
        let place = key.place();
        if *self.taken.entry(place).or_insert(key) != key {
            return Ok(());
        }
        self.write(place, key.cell(value), || format!("set {key:?}"))
    }

    /// The same for an entry whose value has not changed: nothing is to be done when any has the cell.
    pub(super) fn set_if_free(&mut self, key: K, value: K::Value) -> Result<(), MapsError> {
        if self.taken.contains_key(&key.place()) { Ok(()) } else { self.set(key, value) }
    }

    /// Empties the cell of an entry that is about to leave the map, if it has one.
    pub(super) fn remove(&mut self, key: K) -> Result<(), MapsError> {
        let place = key.place();
        if self.taken.get(&place) != Some(&key) {
            return Ok(());
        }
        self.write(place, K::EMPTY, || format!("remove {key:?}"))?;
        self.taken.remove(&place);
        Ok(())
    }

    fn write(
        &mut self,
        place: u32,
        cell: K::Cell,
        operation: impl FnOnce() -> String,
    ) -> Result<(), MapsError> {
        self.array.set(place, cell, 0).map_err(access(K::ARRAY, operation))
    }
}
