//! The gateway's tables in plain memory, for the host's side of a comparison.

use std::collections::{HashMap, HashSet};

use ebpf::abi::{AccessVlanKey, EndpointKey, EndpointValue, PortConfig};
use ebpf::steer::Tables;

/// What the gateway would have written into the maps.
#[derive(Clone, Debug, Default)]
pub struct ModelTables {
    /// Ports by interface index.
    pub ports: HashMap<u32, PortConfig>,
    /// Tunnel endpoints.
    pub endpoints: HashMap<EndpointKey, EndpointValue>,
    /// Access VLANs.
    pub vlans: HashSet<AccessVlanKey>,
    /// Slots that hold a socket.
    pub sockets: HashSet<u32>,
}

impl Tables for ModelTables {
    fn port(&self, ifindex: u32) -> Option<PortConfig> {
        self.ports.get(&ifindex).copied()
    }

    fn is_covered(&self, vlan: &AccessVlanKey) -> bool {
        self.vlans.contains(vlan)
    }

    fn endpoint(&self, key: &EndpointKey) -> Option<EndpointValue> {
        self.endpoints.get(key).copied()
    }
}
