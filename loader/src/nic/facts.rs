//! What an interface is, as far as a port depends on it.

use serde::{Serialize, Serializer};
use wire::ethernet::MacAddr;
use xsk::nic::Ethtool;

use super::NicError;
use crate::netlink::Link;

/// Facts about a port's interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PortFacts {
    /// Name.
    pub interface: String,
    /// Index.
    pub ifindex: u32,
    /// Ethernet address.
    #[serde(serialize_with = "as_text")]
    pub mac: MacAddr,
    /// MTU. Units: bytes, without the Ethernet header.
    pub mtu: u32,
    /// Driver's name ("igb", "veth").
    pub driver: String,
    /// Bus address; empty for a virtual interface.
    pub bus: String,
    /// Receive queues in use.
    pub rx_queues: u32,
    /// Transmit queues in use.
    pub tx_queues: u32,
    /// Size of the card's receive ring, when it has one. Units: descriptors.
    pub hardware_rx_ring: Option<u32>,
    /// Size of the card's transmit ring, when it has one. Units: descriptors.
    pub hardware_tx_ring: Option<u32>,
}

impl PortFacts {
    /// Asks the driver of a link.
    ///
    /// # Errors
    /// When the link is not Ethernet or the kernel refuses.
    pub fn read(link: &Link) -> Result<Self, NicError> {
        let interface = link.name.clone();
        let Some(mac) = link.mac else { return Err(NicError::NotEthernet { interface }) };
        let failed = |what| move |source| NicError::Read { what, interface: link.name.clone(), source };
        let ethtool = Ethtool::open(&interface).map_err(failed("features"))?;
        let driver = ethtool.driver().map_err(failed("driver"))?;
        let channels = ethtool.channels().map_err(failed("queues"))?;
        let rings = ethtool.ring_sizes().map_err(failed("ring sizes"))?;
        Ok(Self {
            interface,
            ifindex: link.ifindex,
            mac,
            mtu: link.mtu,
            driver: driver.name,
            bus: driver.bus,
            // A driver that does not tell how many it uses, uses what was allocated.
            rx_queues: channels.map_or(link.rx_queue_count, |channels| channels.rx_queues()),
            tx_queues: channels.map_or(link.tx_queue_count, |channels| channels.tx_queues()),
            hardware_rx_ring: rings.map(|rings| rings.rx),
            hardware_tx_ring: rings.map(|rings| rings.tx),
        })
    }
}

fn as_text<S: Serializer>(value: &MacAddr, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}
