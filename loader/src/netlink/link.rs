//! A network interface as the kernel describes it.

use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
    VlanProtocol,
};
use wire::ethernet::{MacAddr, VlanId, VlanTag};

/// An interface: what the gateway needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Interface index, unique in the network namespace.
    pub ifindex: u32,
    /// Interface name; can change while the index stays.
    pub name: String,
    /// Ethernet address; `None` when the interface is not Ethernet (tun, ppp, loopback).
    pub mac: Option<MacAddr>,
    /// Largest packet that the interface takes. Units: bytes, without the Ethernet header.
    pub mtu: u32,
    /// Switched on (`ip link set up`).
    pub is_up: bool,
    /// Has a carrier: the cable is in and the other end is up.
    pub has_carrier: bool,
    /// Resolves neighbours (ARP or ND); off for interfaces with the `NOARP` flag.
    pub resolves_neighbours: bool,
    /// The loopback interface.
    pub is_loopback: bool,
    /// Kind of a virtual interface ("veth", "vlan", "bridge"); `None` for a physical one.
    pub kind: Option<String>,
    /// For a VLAN interface: the interface below it and the VLAN.
    pub vlan: Option<VlanParent>,
    /// Interface that this one is a member of (bridge, bond, VRF).
    pub controller: Option<u32>,
    /// Receive queues allocated; a driver may use fewer.
    pub rx_queue_count: u32,
    /// Transmit queues allocated; a driver may use fewer.
    pub tx_queue_count: u32,
}

/// What a VLAN interface stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VlanParent {
    /// Index of the interface below.
    pub ifindex: u32,
    /// The tag that its packets carry there. Its priority is 0: the kernel's map of priorities is not followed.
    pub tag: VlanTag,
}

impl Link {
    /// Reads a link from its message; `None` when the message is about something else (a bridge port's state).
    pub(super) fn read(message: &LinkMessage) -> Option<Self> {
        if message.header.interface_family != AddressFamily::Unspec {
            return None;
        }
        let mut link = Link::from_header(message);
        let is_ethernet = message.header.link_layer_type == LinkLayerType::Ether;
        let mut below = None;
        let mut tag = None;
        let mut is_below_elsewhere = false;
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(bytes) if is_ethernet => link.mac = mac(bytes),
                LinkAttribute::NumRxQueues(count) => link.rx_queue_count = *count,
                LinkAttribute::NumTxQueues(count) => link.tx_queue_count = *count,
                LinkAttribute::Controller(ifindex) => link.controller = Some(*ifindex),
                LinkAttribute::Link(ifindex) => below = Some(*ifindex),
                // The index of an interface in another network namespace may be that of any interface here.
                LinkAttribute::LinkNetNsId(_) => is_below_elsewhere = true,
                LinkAttribute::LinkInfo(infos) => (link.kind, tag) = kind_and_tag(infos),
                _ => {}
            }
        }
        let vlan = below.zip(tag).map(|(ifindex, tag)| VlanParent { ifindex, tag });
        link.vlan = vlan.filter(|_| !is_below_elsewhere);
        Some(link)
    }

    fn from_header(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        Self {
            ifindex: message.header.index,
            name: String::new(),
            mac: None,
            mtu: 0,
            is_up: flags.contains(LinkFlags::Up),
            has_carrier: flags.contains(LinkFlags::LowerUp),
            resolves_neighbours: !flags.contains(LinkFlags::Noarp),
            is_loopback: flags.contains(LinkFlags::Loopback),
            kind: None,
            vlan: None,
            controller: None,
            rx_queue_count: 1,
            tx_queue_count: 1,
        }
    }
}

/// An Ethernet address from an attribute; `None` when it has another length.
pub(super) fn mac(bytes: &[u8]) -> Option<MacAddr> {
    bytes.try_into().ok().map(MacAddr)
}

fn kind_and_tag(infos: &[LinkInfo]) -> (Option<String>, Option<VlanTag>) {
    let kind = infos.iter().find_map(|info| match info {
        LinkInfo::Kind(InfoKind::Other(name)) => Some(name.clone()),
        LinkInfo::Kind(kind) => Some(kind.to_string()),
        _ => None,
    });
    let tag = infos.iter().find_map(|info| match info {
        LinkInfo::Data(InfoData::Vlan(data)) => tag(data),
        _ => None,
    });
    (kind, tag)
}

/// The tag that a VLAN interface puts on; `None` for a kind of tag that is neither of the two.
fn tag(data: &[InfoVlan]) -> Option<VlanTag> {
    let mut vid = None;
    let mut of: fn(VlanId) -> VlanTag = VlanTag::customer;
    for item in data {
        match item {
            InfoVlan::Id(number) => vid = VlanId::new(*number),
            InfoVlan::Protocol(VlanProtocol::Ieee8021Q) => of = VlanTag::customer,
            InfoVlan::Protocol(VlanProtocol::Ieee8021Ad) => of = VlanTag::service,
            InfoVlan::Protocol(_) => return None,
            _ => {}
        }
    }
    vid.map(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(family: AddressFamily, attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.interface_family = family;
        message.header.index = 7;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
        message.attributes = attributes;
        message
    }

    #[test]
    fn an_ethernet_link_is_read_with_its_address_and_state() {
        let link = Link::read(&message(
            AddressFamily::Unspec,
            vec![
                LinkAttribute::IfName("eth0".into()),
                LinkAttribute::Mtu(1500),
                LinkAttribute::Address(vec![0x02, 0, 0, 0, 0, 0x0a]),
            ],
        ))
        .unwrap();
        assert_eq!((link.ifindex, link.name.as_str(), link.mtu), (7, "eth0", 1500));
        assert_eq!(link.mac, Some(MacAddr([0x02, 0, 0, 0, 0, 0x0a])));
        assert!(link.is_up && link.has_carrier && link.resolves_neighbours && !link.is_loopback);
    }

    #[test]
    fn a_vlan_link_names_its_parent_and_vlan() {
        let data = LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Id(100)]));
        let link = Link::read(&message(
            AddressFamily::Unspec,
            vec![LinkAttribute::Link(3), LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Vlan), data])],
        ))
        .unwrap();
        let tag = VlanTag::customer(VlanId::new(100).unwrap());
        assert_eq!(link.vlan, Some(VlanParent { ifindex: 3, tag }));
        assert_eq!(link.kind.as_deref(), Some("vlan"));
    }

    #[test]
    fn a_veth_link_has_a_peer_but_no_vlan_parent() {
        let infos = LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]);
        let link = Link::read(&message(AddressFamily::Unspec, vec![LinkAttribute::Link(3), infos])).unwrap();
        assert_eq!((link.kind.as_deref(), link.vlan), (Some("veth"), None));
    }

    #[test]
    fn a_message_about_a_bridge_port_is_not_a_link() {
        assert_eq!(Link::read(&message(AddressFamily::Bridge, vec![])), None);
    }

    #[test]
    fn an_address_that_is_not_six_bytes_is_no_ethernet_address() {
        let attributes = vec![LinkAttribute::Address(vec![0, 0, 0, 0])];
        assert_eq!(Link::read(&message(AddressFamily::Unspec, attributes)).unwrap().mac, None);
    }
}
