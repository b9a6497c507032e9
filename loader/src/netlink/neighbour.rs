//! Neighbours: which Ethernet address an on-link IP address has.

use std::fmt;
use std::net::IpAddr;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState as KernelState,
};
use serde::Serialize;
use wire::ethernet::MacAddr;

/// An entry of the kernel's neighbour table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its Ethernet address; `None` while unresolved.
    pub mac: Option<MacAddr>,
    /// How sure the kernel is of it.
    pub state: NeighbourState,
}

/// State of a neighbour entry (`NUD_*` of the kernel).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum NeighbourState {
    /// There is no entry, or nothing was tried yet.
    None,
    /// Asked, no answer yet.
    Incomplete,
    /// Confirmed lately.
    Reachable,
    /// Was confirmed once; not checked lately.
    Stale,
    /// In use while stale; a check follows unless traffic confirms it.
    Delay,
    /// Being checked.
    Probe,
    /// Asked, and nobody answered.
    Failed,
    /// Needs no resolution.
    NoArp,
    /// Set by the administrator.
    Permanent,
}

impl NeighbourState {
    /// Whether the entry's address may be sent to.
    pub fn is_usable(self) -> bool {
        !matches!(self, Self::None | Self::Incomplete | Self::Failed)
    }

    /// Whether the kernel should be asked to resolve or check the entry.
    pub fn wants_probe(self) -> bool {
        matches!(self, Self::None | Self::Failed | Self::Stale)
    }

    fn read(state: KernelState) -> Self {
        match state {
            KernelState::Incomplete => Self::Incomplete,
            KernelState::Reachable => Self::Reachable,
            KernelState::Stale => Self::Stale,
            KernelState::Delay => Self::Delay,
            KernelState::Probe => Self::Probe,
            KernelState::Failed => Self::Failed,
            KernelState::Noarp => Self::NoArp,
            KernelState::Permanent => Self::Permanent,
            _ => Self::None,
        }
    }
}

impl fmt::Display for NeighbourState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "NONE",
            Self::Incomplete => "INCOMPLETE",
            Self::Reachable => "REACHABLE",
            Self::Stale => "STALE",
            Self::Delay => "DELAY",
            Self::Probe => "PROBE",
            Self::Failed => "FAILED",
            Self::NoArp => "NOARP",
            Self::Permanent => "PERMANENT",
        })
    }
}

/// Reads interface, IP address and entry; `None` for entries that are not an IP neighbour (a bridge's MAC table, a proxy entry).
pub(super) fn read(message: &NeighbourMessage) -> Option<((u32, IpAddr), Neighbour)> {
    let header = &message.header;
    if !matches!(header.family, AddressFamily::Inet | AddressFamily::Inet6)
        || header.flags.contains(NeighbourFlags::Proxy)
    {
        return None;
    }
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(v4)) => Some(IpAddr::V4(*v4)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(v6)) => Some(IpAddr::V6(*v6)),
        _ => None,
    })?;
    let mac = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => super::link::mac(bytes),
        _ => None,
    });
    Some(((header.ifindex, address), Neighbour { mac, state: NeighbourState::read(header.state) }))
}

/// The message that asks the kernel to resolve an address, or to check a stale entry, as if a packet were sent to it.
pub(super) fn use_request(oif: u32, address: IpAddr) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = oif;
    message.header.state = KernelState::None;
    message.header.flags = NeighbourFlags::Use;
    let destination = match address {
        IpAddr::V4(v4) => {
            message.header.family = AddressFamily::Inet;
            NeighbourAddress::Inet(v4)
        }
        IpAddr::V6(v6) => {
            message.header.family = AddressFamily::Inet6;
            NeighbourAddress::Inet6(v6)
        }
    };
    message.attributes.push(NeighbourAttribute::Destination(destination));
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 200, 100, 1));

    #[test]
    fn a_reachable_neighbour_is_read_with_its_address() {
        let mut message = use_request(4, GATEWAY);
        message.header.flags = NeighbourFlags::empty();
        message.header.state = KernelState::Reachable;
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 1]));
        let expected = Neighbour { mac: Some(MacAddr([2, 0, 0, 0, 0, 1])), state: NeighbourState::Reachable };
        assert_eq!(read(&message), Some(((4, GATEWAY), expected)));
    }

    #[test]
    fn proxy_entries_and_bridge_entries_are_no_neighbours() {
        let mut proxy = use_request(4, GATEWAY);
        proxy.header.flags = NeighbourFlags::Proxy;
        assert_eq!(read(&proxy), None);
        let mut bridge = use_request(4, GATEWAY);
        bridge.header.family = AddressFamily::Bridge;
        assert_eq!(read(&bridge), None);
    }

    #[test]
    fn failed_incomplete_and_absent_entries_are_not_usable_and_all_others_are() {
        use NeighbourState::*;
        let usable = [Reachable, Stale, Delay, Probe, NoArp, Permanent];
        assert!(usable.iter().all(|state| state.is_usable()));
        assert!([None, Incomplete, Failed].iter().all(|state| !state.is_usable()));
    }

    #[test]
    fn only_absent_failed_and_stale_entries_are_probed() {
        use NeighbourState::*;
        assert!([None, Failed, Stale].iter().all(|state| state.wants_probe()));
        assert!([Incomplete, Reachable, Delay, Probe, NoArp, Permanent].iter().all(|s| !s.wants_probe()));
    }
}
