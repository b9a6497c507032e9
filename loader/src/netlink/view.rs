//! The kept tables: links, addresses and neighbours, changed by one message at a time.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags, AddressMessage};

use super::link::Link;
use super::neighbour::{self, Neighbour};

/// Links, addresses and neighbours of this network namespace at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    links: BTreeMap<u32, Link>,
    /// By address and interface; the value says whether the address is usable (duplicate address detection passed).
    addresses: BTreeMap<(IpAddr, u32), bool>,
    neighbours: HashMap<(u32, IpAddr), Neighbour>,
}

/// Where an address is found on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalAddress {
    /// On no interface.
    Missing,
    /// On an interface, but duplicate address detection has not passed.
    Unusable {
        /// The interface's name.
        interface: String,
    },
    /// On an interface, usable.
    Here {
        /// The interface's name.
        interface: String,
        /// Whether that interface is switched on.
        is_up: bool,
    },
}

/// What a message changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Touched {
    /// Nothing that is kept.
    Nothing,
    /// A neighbour: routes are as they were.
    Neighbours,
    /// A link, an address, a route or a rule: every route has to be looked up anew.
    Routes,
}

impl View {
    /// The link with an index.
    pub fn link(&self, ifindex: u32) -> Option<&Link> {
        self.links.get(&ifindex)
    }

    /// The link with a name.
    pub fn link_by_name(&self, name: &str) -> Option<&Link> {
        self.links.values().find(|link| link.name == name)
    }

    /// All links, by index.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    /// The addresses of an interface.
    pub fn addresses(&self, ifindex: u32) -> impl Iterator<Item = IpAddr> {
        self.addresses.keys().filter(move |(_, on)| *on == ifindex).map(|(address, _)| *address)
    }

    /// Where an address stands on this host: usable on an interface that is up, if there is such a one.
    pub fn local_address(&self, address: IpAddr) -> LocalAddress {
        let mut best = LocalAddress::Missing;
        for ((_, ifindex), is_usable) in self.addresses.range((address, 0)..=(address, u32::MAX)) {
            let link = self.links.get(ifindex);
            let interface = link.map_or_else(|| format!("index {ifindex}"), |link| link.name.clone());
            let is_up = link.is_some_and(|link| link.is_up);
            match (is_usable, is_up) {
                (true, true) => return LocalAddress::Here { interface, is_up },
                (true, false) => best = LocalAddress::Here { interface, is_up },
                (false, _) if best == LocalAddress::Missing => {
                    best = LocalAddress::Unusable { interface };
                }
                (false, _) => {}
            }
        }
        best
    }

    /// The neighbour entry of an address on an interface.
    pub fn neighbour(&self, oif: u32, address: IpAddr) -> Option<Neighbour> {
        self.neighbours.get(&(oif, address)).copied()
    }

    /// Follows one message of the kernel and says what it changed.
    pub(super) fn apply(&mut self, message: &RouteNetlinkMessage) -> Touched {
        use RouteNetlinkMessage as M;
        match message {
            M::NewLink(link) => self.link_seen(Link::read(link)),
            M::DelLink(link) => self.link_gone(Link::read(link)),
            M::NewAddress(address) => self.address_seen(address),
            M::DelAddress(address) => self.address_gone(address),
            M::NewNeighbour(entry) => self.neighbour_seen(neighbour::read(entry)),
            M::DelNeighbour(entry) => self.neighbour_gone(neighbour::read(entry)),
            M::NewRoute(_) | M::DelRoute(_) | M::NewRule(_) | M::DelRule(_) => Touched::Routes,
            _ => Touched::Nothing,
        }
    }

    fn link_seen(&mut self, link: Option<Link>) -> Touched {
        let Some(link) = link else { return Touched::Nothing };
        let before = self.links.insert(link.ifindex, link.clone());
        routes_if(before.as_ref() != Some(&link))
    }

    fn link_gone(&mut self, link: Option<Link>) -> Touched {
        let Some(link) = link else { return Touched::Nothing };
        self.addresses.retain(|(_, ifindex), _| *ifindex != link.ifindex);
        self.neighbours.retain(|(ifindex, _), _| *ifindex != link.ifindex);
        routes_if(self.links.remove(&link.ifindex).is_some())
    }

    fn address_seen(&mut self, message: &AddressMessage) -> Touched {
        let Some(key) = address_key(message) else { return Touched::Nothing };
        let unusable = AddressHeaderFlags::Tentative | AddressHeaderFlags::Dadfailed;
        let is_usable = !message.header.flags.intersects(unusable);
        routes_if(self.addresses.insert(key, is_usable) != Some(is_usable))
    }

    fn address_gone(&mut self, message: &AddressMessage) -> Touched {
        let Some(key) = address_key(message) else { return Touched::Nothing };
        routes_if(self.addresses.remove(&key).is_some())
    }

    fn neighbour_seen(&mut self, entry: Option<((u32, IpAddr), Neighbour)>) -> Touched {
        let Some((key, entry)) = entry else { return Touched::Nothing };
        neighbours_if(self.neighbours.insert(key, entry) != Some(entry))
    }

    fn neighbour_gone(&mut self, entry: Option<((u32, IpAddr), Neighbour)>) -> Touched {
        let Some((key, _)) = entry else { return Touched::Nothing };
        neighbours_if(self.neighbours.remove(&key).is_some())
    }
}

fn routes_if(changed: bool) -> Touched {
    if changed { Touched::Routes } else { Touched::Nothing }
}

fn neighbours_if(changed: bool) -> Touched {
    if changed { Touched::Neighbours } else { Touched::Nothing }
}

/// The address that is this host's: on a point-to-point interface `Address` is the other end and `Local` is ours.
fn address_key(message: &AddressMessage) -> Option<(IpAddr, u32)> {
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(local) => return Some((*local, message.header.index)),
            AddressAttribute::Address(found) => address = Some(*found),
            _ => {}
        }
    }
    Some((address?, message.header.index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
    use netlink_packet_route::neighbour::{NeighbourMessage, NeighbourState as KernelState};
    use netlink_packet_route::route::RouteMessage;

    fn local() -> IpAddr {
        "10.200.100.2".parse().unwrap()
    }

    fn link(ifindex: u32, flags: LinkFlags) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = ifindex;
        message.header.flags = flags;
        message.attributes = vec![LinkAttribute::IfName(format!("eth{ifindex}"))];
        message
    }

    fn address(ifindex: u32, flags: AddressHeaderFlags) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.index = ifindex;
        message.header.flags = flags;
        message.attributes = vec![AddressAttribute::Address(local())];
        message
    }

    fn entry(ifindex: u32, state: KernelState) -> NeighbourMessage {
        let mut message = neighbour::use_request(ifindex, local());
        message.header.state = state;
        message
    }

    #[test]
    fn an_address_is_missing_until_seen_and_missing_again_when_gone() {
        let mut view = View::default();
        view.apply(&RouteNetlinkMessage::NewLink(link(2, LinkFlags::Up)));
        assert_eq!(view.local_address(local()), LocalAddress::Missing);
        let message = address(2, AddressHeaderFlags::Permanent);
        assert_eq!(view.apply(&RouteNetlinkMessage::NewAddress(message.clone())), Touched::Routes);
        let here = LocalAddress::Here { interface: "eth2".into(), is_up: true };
        assert_eq!(view.local_address(local()), here);
        assert_eq!(view.apply(&RouteNetlinkMessage::DelAddress(message)), Touched::Routes);
        assert_eq!(view.local_address(local()), LocalAddress::Missing);
    }

    #[test]
    fn an_address_on_two_interfaces_is_taken_from_the_one_that_is_up() {
        let mut view = View::default();
        view.apply(&RouteNetlinkMessage::NewLink(link(2, LinkFlags::empty())));
        view.apply(&RouteNetlinkMessage::NewLink(link(3, LinkFlags::Up)));
        view.apply(&RouteNetlinkMessage::NewAddress(address(2, AddressHeaderFlags::Permanent)));
        let down = LocalAddress::Here { interface: "eth2".into(), is_up: false };
        assert_eq!(view.local_address(local()), down);
        view.apply(&RouteNetlinkMessage::NewAddress(address(3, AddressHeaderFlags::Permanent)));
        let up = LocalAddress::Here { interface: "eth3".into(), is_up: true };
        assert_eq!(view.local_address(local()), up);
    }

    #[test]
    fn a_tentative_address_is_not_usable_until_detection_has_passed() {
        let mut view = View::default();
        view.apply(&RouteNetlinkMessage::NewLink(link(2, LinkFlags::Up)));
        view.apply(&RouteNetlinkMessage::NewAddress(address(2, AddressHeaderFlags::Tentative)));
        assert_eq!(view.local_address(local()), LocalAddress::Unusable { interface: "eth2".into() });
        view.apply(&RouteNetlinkMessage::NewAddress(address(2, AddressHeaderFlags::Permanent)));
        assert!(matches!(view.local_address(local()), LocalAddress::Here { .. }));
    }

    #[test]
    fn a_removed_link_takes_its_addresses_and_neighbours_with_it() {
        let mut view = View::default();
        view.apply(&RouteNetlinkMessage::NewLink(link(2, LinkFlags::Up)));
        view.apply(&RouteNetlinkMessage::NewAddress(address(2, AddressHeaderFlags::Permanent)));
        view.apply(&RouteNetlinkMessage::NewNeighbour(entry(2, KernelState::Stale)));
        assert_eq!(view.apply(&RouteNetlinkMessage::DelLink(link(2, LinkFlags::Up))), Touched::Routes);
        assert_eq!(view, View::default());
    }

    #[test]
    fn a_repeated_message_changes_nothing() {
        let mut view = View::default();
        let message = RouteNetlinkMessage::NewNeighbour(entry(2, KernelState::Stale));
        assert_eq!(view.apply(&message), Touched::Neighbours);
        assert_eq!(view.apply(&message), Touched::Nothing);
        let message = RouteNetlinkMessage::NewLink(link(2, LinkFlags::Up));
        assert_eq!(view.apply(&message), Touched::Routes);
        assert_eq!(view.apply(&message), Touched::Nothing);
    }

    #[test]
    fn every_route_message_asks_for_new_look_ups() {
        let message = RouteNetlinkMessage::DelRoute(RouteMessage::default());
        assert_eq!(View::default().apply(&message), Touched::Routes);
    }
}
