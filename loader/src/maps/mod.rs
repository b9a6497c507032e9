//! The steering program's maps, written by the main thread: ports, endpoints, access VLANs, sockets; and its counters.
//!
//! Place on the path: none; the program reads them for every frame. What keys and values mean stands in `ebpf::abi`.
//! Endpoints and VLANs are applied as a difference, additions first, so that no frame of an unchanged tunnel ever misses. Ports and endpoints have cells in front of
//! their maps ([`fronted`]).

mod difference;
mod fronted;

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, AsRawFd};

use aya::Ebpf;
use aya::maps::{HashMap as KernelHash, Map, MapData, MapError, PerCpuArray, XskMap};
use ebpf::abi::{
    self, AccessVlanKey, EndpointKey, EndpointV4, EndpointV6, EndpointValue, Payload, PortConfig, Stat,
};

use difference::Difference;
use fronted::{Fronted, Port};

/// Why a map could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum MapsError {
    /// The object has no such map.
    #[error("map {map} is not in the steering program's object")]
    Absent {
        /// Its name.
        map: &'static str,
    },
    /// The map's keys or values have another size than agreed.
    #[error("map {map} is not of the agreed kind")]
    Kind {
        /// Its name.
        map: &'static str,
        /// The cause.
        source: MapError,
    },
    /// The kernel refused.
    #[error("{operation} in map {map}")]
    Access {
        /// What was tried, with the object: "set port 7".
        operation: String,
        /// The map's name.
        map: &'static str,
        /// The cause.
        source: MapError,
    },
}

/// The maps of the loaded program.
pub struct SteeringMaps {
    ports: Fronted<Port>,
    endpoints_v4: Fronted<EndpointV4>,
    endpoints_v6: Fronted<EndpointV6>,
    access_vlans: KernelHash<MapData, [u8; AccessVlanKey::BYTES], u8>,
    sockets: XskMap<MapData>,
    stats: PerCpuArray<MapData, u64>,
    /// What was written, so that a difference needs no reading back.
    written_endpoints: HashMap<EndpointKey, Payload>,
    written_vlans: HashMap<AccessVlanKey, ()>,
}

impl std::fmt::Debug for SteeringMaps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SteeringMaps")
            .field("written_endpoints", &self.written_endpoints)
            .field("written_vlans", &self.written_vlans)
            .finish_non_exhaustive()
    }
}

impl SteeringMaps {
    /// Takes the maps out of a loaded object.
    pub(crate) fn take(ebpf: &mut Ebpf) -> Result<Self, MapsError> {
        Ok(Self {
            ports: Fronted::open(ebpf)?,
            endpoints_v4: Fronted::open(ebpf)?,
            endpoints_v6: Fronted::open(ebpf)?,
            access_vlans: open(ebpf, abi::ACCESS_VLANS)?,
            sockets: open(ebpf, abi::SOCKETS)?,
            stats: open(ebpf, abi::STATS)?,
            written_endpoints: HashMap::new(),
            written_vlans: HashMap::new(),
        })
    }

    /// Makes an interface a port, or changes what it is for.
    ///
    /// # Errors
    /// When the kernel refuses, for example because the map is full.
    pub fn set_port(&mut self, ifindex: u32, config: PortConfig) -> Result<(), MapsError> {
        self.ports.set(Port(ifindex), config)
    }

    /// Makes an interface no port: all its frames go to the kernel. No error when it was none.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove_port(&mut self, ifindex: u32) -> Result<(), MapsError> {
        self.ports.remove(Port(ifindex))
    }

    /// Adds one endpoint, or changes what it carries.
    ///
    /// # Errors
    /// When the kernel refuses, for example because the map is full.
    pub fn set_endpoint(&mut self, key: EndpointKey, payload: Payload) -> Result<(), MapsError> {
        let value = EndpointValue::new(payload);
        match key {
            EndpointKey::V4(key) => self.endpoints_v4.set(key, value),
            EndpointKey::V6(key) => self.endpoints_v6.set(key, value),
        }?;
        self.written_endpoints.insert(key, payload);
        Ok(())
    }

    /// Removes one endpoint. No error when it is not there.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn remove_endpoint(&mut self, key: EndpointKey) -> Result<(), MapsError> {
        match key {
            EndpointKey::V4(key) => self.endpoints_v4.remove(key),
            EndpointKey::V6(key) => self.endpoints_v6.remove(key),
        }?;
        self.written_endpoints.remove(&key);
        Ok(())
    }

    /// Makes the endpoints exactly the wanted ones: adds and changes first, removes last.
    ///
    /// # Errors
    /// At the first refusal; what was done until then stays, and a further call goes on from there.
    pub fn sync_endpoints(&mut self, wanted: &HashMap<EndpointKey, Payload>) -> Result<(), MapsError> {
        let Difference { set, remove } = Difference::between(&self.written_endpoints, wanted);
        set.into_iter().try_for_each(|(key, payload)| self.set_endpoint(key, payload))?;
        if remove.is_empty() {
            return Ok(());
        }
        remove.into_iter().try_for_each(|key| self.remove_endpoint(key))?;
        // Those that had the place of one that is gone.
        wanted.iter().try_for_each(|(key, payload)| match *key {
            EndpointKey::V4(key) => self.endpoints_v4.claim_if_free(key, EndpointValue::new(*payload)),
            EndpointKey::V6(key) => self.endpoints_v6.claim_if_free(key, EndpointValue::new(*payload)),
        })
    }

    /// Makes the access VLANs exactly the wanted ones: adds first, removes last.
    ///
    /// # Errors
    /// At the first refusal; what was done until then stays, and a further call goes on from there.
    pub fn sync_access_vlans(&mut self, wanted: &HashSet<AccessVlanKey>) -> Result<(), MapsError> {
        let wanted = wanted.iter().map(|key| (*key, ())).collect();
        let Difference { set, remove } = Difference::between(&self.written_vlans, &wanted);
        for (key, ()) in set {
            self.access_vlans
                .insert(key.to_bytes(), abi::COVERED, 0)
                .map_err(access(abi::ACCESS_VLANS, || format!("set {key:?}")))?;
            self.written_vlans.insert(key, ());
        }
        for key in remove {
            absent_is_fine(self.access_vlans.remove(&key.to_bytes()))
                .map_err(access(abi::ACCESS_VLANS, || format!("remove {key:?}")))?;
            self.written_vlans.remove(&key);
        }
        Ok(())
    }

    /// Puts an AF_XDP socket into a slot: from now on the slot's queue delivers to it.
    ///
    /// # Errors
    /// When the slot does not exist or the kernel refuses.
    pub fn set_socket(&mut self, slot: u32, socket: impl AsFd) -> Result<(), MapsError> {
        self.sockets
            .set(slot, socket.as_fd().as_raw_fd(), 0)
            .map_err(access(abi::SOCKETS, || format!("set slot {slot}")))
    }

    /// Empties a slot. No error when it is empty.
    ///
    /// # Errors
    /// When the slot does not exist or the kernel refuses.
    pub fn clear_socket(&mut self, slot: u32) -> Result<(), MapsError> {
        absent_is_fine(self.sockets.unset(slot))
            .map_err(access(abi::SOCKETS, || format!("clear slot {slot}")))
    }

    /// Count of slots for sockets.
    pub fn socket_slots(&self) -> u32 {
        self.sockets.len()
    }

    /// The program's counters of a row ([`PortConfig::stat_row`]), summed over the CPUs, in the order of [`Stat::ALL`].
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn stats(&self, row: u32) -> Result<Vec<(Stat, u64)>, MapsError> {
        Stat::ALL.iter().map(|stat| Ok((*stat, self.stat(row, *stat)?))).collect()
    }

    fn stat(&self, row: u32, stat: Stat) -> Result<u64, MapsError> {
        let per_cpu = self
            .stats
            .get(&abi::stat_key(row, stat), 0)
            .map_err(access(abi::STATS, || format!("read {}", stat.name())))?;
        Ok(per_cpu.iter().fold(0, |sum, count| sum.wrapping_add(*count)))
    }
}

fn open<M: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, map: &'static str) -> Result<M, MapsError> {
    let found = ebpf.take_map(map).ok_or(MapsError::Absent { map })?;
    M::try_from(found).map_err(|source| MapsError::Kind { map, source })
}

fn access(map: &'static str, operation: impl FnOnce() -> String) -> impl FnOnce(MapError) -> MapsError {
    move |source| MapsError::Access { operation: operation(), map, source }
}

/// Removing what is not there is no failure.
fn absent_is_fine(outcome: Result<(), MapError>) -> Result<(), MapError> {
    match outcome {
        Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
