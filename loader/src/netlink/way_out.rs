//! What the interface that a route leaves by has to do with the gateway's ports.
//!
//! A route may name a port itself, a VLAN interface on top of one, or something that hides one (bridge, bond). The engine sends
//! frames on ports only, so this says by which port and with which tag; the rest is for the words of a tunnel that is down.

use wire::ethernet::VlanTag;

use super::link::Link;
use super::view::View;

/// How packets that a route gives to an interface leave by an underlay port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WayOut {
    /// The interface is an underlay port.
    Port,
    /// The interface is a VLAN interface on top of an underlay port.
    Vlan {
        /// The port's link.
        port: Box<Link>,
        /// The tag that packets carry there.
        tag: VlanTag,
    },
    /// Not at all, although an underlay port is a part of the interface: a member of a bridge or bond, or below two tags.
    Hidden {
        /// The port's name.
        port: String,
    },
    /// Not at all.
    Elsewhere,
}

impl WayOut {
    /// The way out by the interface `link`; `is_underlay_port` says which interface indexes are underlay ports.
    #[must_use]
    pub fn of(view: &View, link: &Link, is_underlay_port: impl Fn(u32) -> bool) -> Self {
        if is_underlay_port(link.ifindex) {
            return Self::Port;
        }
        let below = link.vlan.and_then(|vlan| Some((view.link(vlan.ifindex)?, vlan.tag)));
        match below {
            Some((port, tag)) if is_underlay_port(port.ifindex) => {
                Self::Vlan { port: Box::new(port.clone()), tag }
            }
            Some((between, _)) => hidden(view, between, is_underlay_port),
            None => hidden(view, link, is_underlay_port),
        }
    }
}

/// Whether an underlay port is a member of `link`, or carries it by a tag of its own.
fn hidden(view: &View, link: &Link, is_underlay_port: impl Fn(u32) -> bool) -> WayOut {
    let is_part = |port: &&Link| {
        port.controller == Some(link.ifindex) || link.vlan.is_some_and(|vlan| vlan.ifindex == port.ifindex)
    };
    let port = view.links().filter(|port| is_underlay_port(port.ifindex)).find(is_part);
    port.map_or(WayOut::Elsewhere, |port| WayOut::Hidden { port: port.name.clone() })
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::link::{
        InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
        VlanProtocol,
    };
    use wire::ethernet::VlanId;

    use super::*;

    /// The gateway's underlay port.
    const PORT: u32 = 3;

    fn message(ifindex: u32, name: &str, more: Vec<LinkAttribute>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = ifindex;
        message.header.link_layer_type = LinkLayerType::Ether;
        message.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
        message.attributes = vec![LinkAttribute::IfName(name.into())];
        message.attributes.extend(more);
        message
    }

    /// What the kernel says of a VLAN interface.
    fn vlan(ifindex: u32, name: &str, below: u32, vid: u16, protocol: VlanProtocol) -> LinkMessage {
        let data = LinkInfo::Data(InfoData::Vlan(vec![InfoVlan::Protocol(protocol), InfoVlan::Id(vid)]));
        let infos = LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Vlan), data]);
        message(ifindex, name, vec![LinkAttribute::Link(below), infos])
    }

    fn view(messages: impl IntoIterator<Item = LinkMessage>) -> View {
        let mut view = View::default();
        for message in messages {
            view.apply(&RouteNetlinkMessage::NewLink(message));
        }
        view
    }

    fn of(view: &View, ifindex: u32) -> WayOut {
        WayOut::of(view, view.link(ifindex).unwrap(), |port| port == PORT)
    }

    fn eth0(more: Vec<LinkAttribute>) -> LinkMessage {
        message(PORT, "eth0", more)
    }

    #[test]
    fn a_port_is_its_own_way_out_and_another_interface_is_none() {
        let view = view([eth0(vec![]), message(4, "eth1", vec![])]);
        assert_eq!((of(&view, PORT), of(&view, 4)), (WayOut::Port, WayOut::Elsewhere));
    }

    #[test]
    fn a_vlan_interface_on_a_port_leads_to_the_port_with_its_tag() {
        let vid = VlanId::new(100).unwrap();
        for (protocol, tag) in [
            (VlanProtocol::Ieee8021Q, VlanTag::customer(vid)),
            (VlanProtocol::Ieee8021Ad, VlanTag::service(vid)),
        ] {
            let view = view([eth0(vec![]), vlan(7, "eth0.100", PORT, 100, protocol)]);
            let port = Box::new(view.link(PORT).unwrap().clone());
            assert_eq!(of(&view, 7), WayOut::Vlan { port, tag });
        }
    }

    #[test]
    fn a_vlan_interface_whose_tag_changes_is_followed() {
        let mut view = view([eth0(vec![]), vlan(7, "wan", PORT, 100, VlanProtocol::Ieee8021Q)]);
        view.apply(&RouteNetlinkMessage::NewLink(vlan(7, "wan", PORT, 200, VlanProtocol::Ieee8021Q)));
        assert!(matches!(of(&view, 7), WayOut::Vlan { tag, .. } if tag.vid.get() == 200));
        view.apply(&RouteNetlinkMessage::DelLink(eth0(vec![])));
        assert_eq!(of(&view, 7), WayOut::Elsewhere);
    }

    #[test]
    fn a_vlan_interface_on_something_else_leads_nowhere() {
        let other = message(4, "eth1", vec![]);
        let view = view([eth0(vec![]), other, vlan(7, "eth1.100", 4, 100, VlanProtocol::Ieee8021Q)]);
        assert_eq!(of(&view, 7), WayOut::Elsewhere);
    }

    #[test]
    fn a_vlan_interface_of_another_namespace_has_nothing_to_do_with_our_interface_of_that_index() {
        let mut moved = vlan(7, "v100", PORT, 100, VlanProtocol::Ieee8021Q);
        moved.attributes.push(LinkAttribute::LinkNetNsId(0));
        assert_eq!(of(&view([eth0(vec![]), moved]), 7), WayOut::Elsewhere);
    }

    #[test]
    fn a_bridge_or_bond_that_a_port_is_a_member_of_hides_it() {
        let hidden = WayOut::Hidden { port: "eth0".into() };
        let bond = message(8, "bond0", vec![]);
        let member = eth0(vec![LinkAttribute::Controller(8)]);
        let on_top = vlan(9, "bond0.100", 8, 100, VlanProtocol::Ieee8021Q);
        let view = view([member, bond, on_top]);
        assert_eq!((of(&view, 8), of(&view, 9)), (hidden.clone(), hidden));
    }

    #[test]
    fn a_port_below_two_tags_is_hidden() {
        let inner = vlan(7, "eth0.100", PORT, 100, VlanProtocol::Ieee8021Q);
        let view = view([eth0(vec![]), inner, vlan(8, "eth0.100.5", 7, 5, VlanProtocol::Ieee8021Q)]);
        assert_eq!(of(&view, 8), WayOut::Hidden { port: "eth0".into() });
    }
}
