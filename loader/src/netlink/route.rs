//! Route look-ups, answered by the kernel's own forwarding tables and policy rules.

use std::net::IpAddr;

use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteType, RouteVia,
};
use rustix::io::Errno;
use serde::Serialize;

/// What a route is asked for: a packet of this tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RouteQuery {
    /// Source address of the tunnel's packets.
    pub local: IpAddr,
    /// Destination address.
    pub remote: IpAddr,
    /// UDP source and destination port, which policy rules and multipath routes may look at; `None` for protocol 115, which
    /// the kernel cannot be asked for (`rtm_getroute_parse_ip_proto` in net/ipv4/netlink.c of Linux 6.12 takes TCP, UDP and
    /// ICMP): it is looked up by its addresses. One tunnel is one flow, so the answer is one way, the same at each look-up.
    pub udp_ports: Option<(u16, u16)>,
}

/// The kernel's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteAnswer {
    /// Interface that the packet leaves by.
    pub oif: u32,
    /// Next router; `None` when the destination is directly connected.
    pub gateway: Option<IpAddr>,
    /// Source address that the kernel would choose.
    pub prefsrc: Option<IpAddr>,
    /// MTU set on the route or learned for the path, when it is. Units: bytes.
    pub mtu: Option<u32>,
    /// Whether that MTU must not be learned (`mtu lock`), or was too small to be learned as it is.
    pub is_mtu_locked: bool,
    /// How long what was learned for the path is still believed; `None`: nothing was learned. Units: seconds.
    pub mtu_expires_s: Option<u32>,
    /// What the destination is.
    pub kind: RouteKind,
}

/// What the kernel takes a destination for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// One other host.
    Unicast,
    /// This host.
    Local,
    /// Broadcast, multicast or another destination that no tunnel can have.
    Other,
}

/// Why there is no route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unreachable {
    /// No route covers the destination.
    #[error("no route")]
    NoRoute,
    /// A route says "unreachable", or its next hop is not.
    #[error("unreachable")]
    Host,
    /// A route or rule says "prohibit".
    #[error("prohibited")]
    Prohibited,
    /// A route says "blackhole", or the source address is not usable.
    #[error("discarded")]
    Discarded,
    /// The look-up itself failed.
    #[error("look-up failed: {0}")]
    LookupFailed(String),
}

impl RouteQuery {
    /// The next hop on the wire, given the answer: the gateway, or the destination itself.
    pub fn next_hop(&self, answer: &RouteAnswer) -> IpAddr {
        answer.gateway.unwrap_or(self.remote)
    }

    pub(super) fn request(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        let (family, prefix_bits) = match self.remote {
            IpAddr::V4(_) => (AddressFamily::Inet, 32),
            IpAddr::V6(_) => (AddressFamily::Inet6, 128),
        };
        message.header.address_family = family;
        message.header.destination_prefix_length = prefix_bits;
        message.header.source_prefix_length = prefix_bits;
        message.attributes.push(RouteAttribute::Destination(self.remote.into()));
        message.attributes.push(RouteAttribute::Source(self.local.into()));
        if let Some((source, destination)) = self.udp_ports {
            message.attributes.push(RouteAttribute::IpProto(IPPROTO_UDP));
            message.attributes.push(RouteAttribute::Sport(source));
            message.attributes.push(RouteAttribute::Dport(destination));
        }
        message
    }
}

/// UDP's number among the IP protocols.
const IPPROTO_UDP: u8 = 17;

impl RouteAnswer {
    /// Reads the kernel's answer; `None` when it names no interface.
    pub(super) fn read(message: &RouteMessage) -> Option<Self> {
        let kind = match message.header.kind {
            RouteType::Unicast => RouteKind::Unicast,
            RouteType::Local => RouteKind::Local,
            _ => RouteKind::Other,
        };
        let mut answer = RouteAnswer {
            oif: 0,
            gateway: None,
            prefsrc: None,
            mtu: None,
            is_mtu_locked: false,
            mtu_expires_s: None,
            kind,
        };
        for attribute in &message.attributes {
            match attribute {
                RouteAttribute::Oif(oif) => answer.oif = *oif,
                RouteAttribute::Gateway(address) => answer.gateway = ip(address),
                RouteAttribute::Via(RouteVia::Inet(v4)) => answer.gateway = Some((*v4).into()),
                RouteAttribute::Via(RouteVia::Inet6(v6)) => answer.gateway = Some((*v6).into()),
                RouteAttribute::PrefSource(address) => answer.prefsrc = ip(address),
                RouteAttribute::Metrics(metrics) => {
                    answer.mtu = mtu(metrics);
                    answer.is_mtu_locked = is_mtu_locked(metrics);
                }
                RouteAttribute::CacheInfo(info) => answer.mtu_expires_s = expires_s(info.expires),
                _ => {}
            }
        }
        (answer.oif != 0).then_some(answer)
    }
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(v4) => Some((*v4).into()),
        RouteAddress::Inet6(v6) => Some((*v6).into()),
        _ => None,
    }
}

fn mtu(metrics: &[RouteMetric]) -> Option<u32> {
    metrics.iter().find_map(|metric| match metric {
        RouteMetric::Mtu(mtu) if *mtu > 0 => Some(*mtu),
        _ => None,
    })
}

fn is_mtu_locked(metrics: &[RouteMetric]) -> bool {
    metrics.iter().any(|metric| matches!(metric, RouteMetric::Lock(locks) if locks & 1 << RTAX_MTU != 0))
}

/// The kernel counts in hundredths of a second (`USER_HZ`), whatever its own tick; 0 is "never". What is about to expire is
/// learned all the same.
fn expires_s(hundredths: u32) -> Option<u32> {
    (hundredths > 0).then(|| hundredths.div_ceil(100))
}

/// Number of the MTU among the metrics, and of its bit in the lock. Source: linux/rtnetlink.h.
const RTAX_MTU: u32 = 2;

/// What an error of the look-up means.
///
/// Source: `fib_props` in net/ipv4/fib_semantics.c of Linux 6.12, which gives each route type its error.
pub(super) fn unreachable(error: &rtnetlink::Error) -> Unreachable {
    let rtnetlink::Error::NetlinkError(message) = error else {
        return Unreachable::LookupFailed(error.to_string());
    };
    match Errno::from_io_error(&message.to_io()) {
        Some(Errno::NETUNREACH) => Unreachable::NoRoute,
        Some(Errno::HOSTUNREACH) => Unreachable::Host,
        Some(Errno::ACCESS) => Unreachable::Prohibited,
        Some(Errno::INVAL) => Unreachable::Discarded,
        _ => Unreachable::LookupFailed(message.to_io().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink_packet_core::ErrorMessage;
    use netlink_packet_route::route::RouteCacheInfo;
    use std::num::NonZeroI32;

    fn query(udp_ports: Option<(u16, u16)>) -> RouteQuery {
        RouteQuery {
            local: "10.200.100.2".parse().unwrap(),
            remote: "10.200.100.6".parse().unwrap(),
            udp_ports,
        }
    }

    #[test]
    fn a_gateway_answer_is_read_with_interface_and_mtu() {
        let mut message = RouteMessage::default();
        message.header.kind = RouteType::Unicast;
        let gateway: IpAddr = "10.200.100.1".parse().unwrap();
        message.attributes = vec![
            RouteAttribute::Oif(3),
            RouteAttribute::Gateway(gateway.into()),
            RouteAttribute::Metrics(vec![RouteMetric::Mtu(1400)]),
        ];
        let answer = RouteAnswer::read(&message).unwrap();
        assert_eq!((answer.oif, answer.gateway, answer.mtu), (3, Some(gateway), Some(1400)));
        assert_eq!(query(None).next_hop(&answer), gateway);
    }

    #[test]
    fn a_learned_mtu_is_told_from_a_set_one_by_its_end() {
        let mut message = RouteMessage::default();
        message.attributes = vec![
            RouteAttribute::Oif(3),
            RouteAttribute::Metrics(vec![RouteMetric::Lock(1 << 2), RouteMetric::Mtu(552)]),
        ];
        let answer = RouteAnswer::read(&message).unwrap();
        assert_eq!((answer.mtu, answer.is_mtu_locked, answer.mtu_expires_s), (Some(552), true, None));
        // struct rta_cacheinfo: clntref, lastuse, expires, error, used, id, ts, tsage.
        let mut info = [0; 32];
        info[8..12].copy_from_slice(&59_950_u32.to_ne_bytes());
        let info = RouteCacheInfo::parse(&info).unwrap();
        message.attributes = vec![
            RouteAttribute::Oif(3),
            RouteAttribute::CacheInfo(info),
            RouteAttribute::Metrics(vec![RouteMetric::Lock(1 << 3), RouteMetric::Mtu(1400)]),
        ];
        let answer = RouteAnswer::read(&message).unwrap();
        assert_eq!((answer.mtu, answer.is_mtu_locked, answer.mtu_expires_s), (Some(1400), false, Some(600)));
    }

    #[test]
    fn the_next_hop_of_a_connected_destination_is_the_destination() {
        let mut message = RouteMessage::default();
        message.header.kind = RouteType::Unicast;
        message.attributes = vec![RouteAttribute::Oif(3)];
        let answer = RouteAnswer::read(&message).unwrap();
        assert_eq!(query(None).next_hop(&answer), query(None).remote);
    }

    #[test]
    fn ports_are_asked_for_udp_and_left_out_for_protocol_115() {
        let asked = query(Some((5001, 6001))).request().attributes;
        assert!(asked.contains(&RouteAttribute::IpProto(17)));
        assert!(asked.contains(&RouteAttribute::Sport(5001)));
        assert!(asked.contains(&RouteAttribute::Dport(6001)));
        assert_eq!(query(None).request().attributes.len(), 2);
    }

    #[test]
    fn an_answer_without_interface_is_no_answer() {
        assert_eq!(RouteAnswer::read(&RouteMessage::default()), None);
    }

    #[test]
    fn kernel_errors_are_told_apart() {
        let error = |errno: Errno| {
            let mut message = ErrorMessage::default();
            message.code = NonZeroI32::new(-errno.raw_os_error());
            unreachable(&rtnetlink::Error::NetlinkError(message))
        };
        assert_eq!(error(Errno::NETUNREACH), Unreachable::NoRoute);
        assert_eq!(error(Errno::HOSTUNREACH), Unreachable::Host);
        assert_eq!(error(Errno::ACCESS), Unreachable::Prohibited);
        assert_eq!(error(Errno::INVAL), Unreachable::Discarded);
        assert!(matches!(error(Errno::NOMEM), Unreachable::LookupFailed(_)));
    }
}
