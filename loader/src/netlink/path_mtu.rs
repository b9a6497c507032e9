//! How large a tunnel's outer packets may be, and who says so.
//!
//! The kernel's answer to a route look-up is followed: its exceptions hold what ICMP errors said about the destination, its
//! routes what the administrator said. Not here: how the kernel is made to believe ICMP errors ([`crate::anchors`]).

use super::route::RouteAnswer;

/// Least that is believed of an ICMP error about an IPv4 path: what every host has to take whole (RFC 791 §3.2). The kernel
/// itself stops at 552 (`net.ipv4.route.min_pmtu`) and says that smaller ones mean "do not set DF". Units: bytes.
const LEARNED_FLOOR_V4: u32 = 576;

/// Least that an IPv6 link takes (RFC 8200 §5); the kernel believes nothing smaller, either. Units: bytes.
const LEARNED_FLOOR_V6: u32 = 1280;

/// Largest outer packet on a tunnel's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathMtu {
    /// Units: bytes, without the Ethernet header.
    pub bytes: u32,
    /// Who says so.
    pub source: PathMtuSource,
    /// The route has `mtu lock`: over IPv4 the kernel believes no ICMP error about it.
    pub is_locked: bool,
    /// How long what was learned is still believed. Units: seconds.
    pub expires_s: Option<u32>,
}

/// Where a path MTU comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathMtuSource {
    /// The MTU of the interface that packets leave by.
    Interface,
    /// The route's own MTU (`ip route ... mtu`).
    Route,
    /// An ICMP error from the path.
    Icmp,
}

impl PathMtu {
    /// The path MTU of a route that leaves by an interface of this MTU.
    ///
    /// To say where a path MTU that is already known comes from, give it in the place of the interface's.
    ///
    /// What ICMP says counts from a floor on; what the administrator says counts as it is.
    pub fn of(route: &RouteAnswer, interface_mtu: u32, is_ipv6: bool) -> Self {
        let floor = if is_ipv6 { LEARNED_FLOOR_V6 } else { LEARNED_FLOOR_V4 };
        let is_learned = route.mtu_expires_s.is_some();
        let said = route.mtu.map(|mtu| if is_learned { mtu.max(floor) } else { mtu });
        match said.filter(|said| *said <= interface_mtu) {
            None => Self {
                bytes: interface_mtu,
                source: PathMtuSource::Interface,
                is_locked: route.is_mtu_locked,
                expires_s: None,
            },
            Some(bytes) => Self {
                bytes,
                source: if is_learned { PathMtuSource::Icmp } else { PathMtuSource::Route },
                is_locked: route.is_mtu_locked,
                expires_s: route.mtu_expires_s,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::route::RouteKind;
    use super::*;

    fn route(mtu: Option<u32>, expires_s: Option<u32>) -> RouteAnswer {
        RouteAnswer {
            oif: 3,
            gateway: None,
            prefsrc: None,
            mtu,
            is_mtu_locked: false,
            mtu_expires_s: expires_s,
            kind: RouteKind::Unicast,
        }
    }

    fn of(mtu: Option<u32>, expires_s: Option<u32>) -> (u32, PathMtuSource) {
        let path = PathMtu::of(&route(mtu, expires_s), 1500, false);
        (path.bytes, path.source)
    }

    #[test]
    fn the_smaller_of_route_and_interface_counts() {
        assert_eq!(of(None, None), (1500, PathMtuSource::Interface));
        assert_eq!(of(Some(1400), None), (1400, PathMtuSource::Route));
        assert_eq!(of(Some(9000), None), (1500, PathMtuSource::Interface));
        assert_eq!(of(Some(1400), Some(599)), (1400, PathMtuSource::Icmp));
        assert_eq!(of(Some(1500), None), (1500, PathMtuSource::Route));
    }

    #[test]
    fn what_icmp_says_counts_from_a_floor_on_and_what_a_route_says_as_it_is() {
        assert_eq!(of(Some(552), Some(600)), (576, PathMtuSource::Icmp));
        assert_eq!(of(Some(552), None), (552, PathMtuSource::Route));
        let ipv6 = PathMtu::of(&route(Some(1000), Some(600)), 1500, true);
        assert_eq!((ipv6.bytes, ipv6.expires_s), (1280, Some(600)));
    }

    #[test]
    fn a_locked_route_is_told_as_such() {
        let locked = RouteAnswer { is_mtu_locked: true, ..route(Some(1400), None) };
        assert!(PathMtu::of(&locked, 1500, false).is_locked);
        assert!(PathMtu::of(&RouteAnswer { mtu: None, ..locked }, 1500, false).is_locked);
    }
}
