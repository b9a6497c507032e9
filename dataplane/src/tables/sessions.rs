//! L2TP sessions as the receiving half sees them: found by session id, checked by outer addresses and cookie.
//!
//! Place on the path: `decap` looks a session up; its transmitting half is in [`super::next_hops`].
//! Deliberately not here: tunnels. A data packet names no tunnel; a tunnel's addresses and ports stand in each session.

use std::{net::Ipv6Addr, sync::Arc};

use wire::l2tpv3::{Cookie, SessionId, Sublayer};

pub use super::ids::SessionIndex;
use super::{
    attachment::Attachment, oversize::MssLimit, peer_watch::PeerWatch, quick_sessions::QuickSessions,
    session_state::RxSequencing, spreading::Spreading,
};
use crate::counters::{PerWorker, SessionCounters};

/// Outer addressing of a packet on its way in: what identifies the tunnel it claims to come through.
///
/// Addresses are IPv6; IPv4 stands as an IPv4-mapped address (RFC 4291 §2.5.5.2), so both families take one path.
/// Byte order: host. Ports are 0 for IP protocol 115.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Our address: the packet's destination.
    pub local: u128,
    /// The peer's address: the packet's source.
    pub remote: u128,
    /// Our UDP port: the packet's destination port.
    pub local_port: u16,
    /// The peer's UDP port: the packet's source port.
    pub remote_port: u16,
    /// IP protocol: 17 or 115.
    pub protocol: u8,
}

/// `::ffff:0:0/96`, the prefix of IPv4-mapped addresses.
const V4_MAPPED: u128 = 0xFFFF_0000_0000;

impl Endpoint {
    /// The mapped form of an IPv4 address in wire order.
    #[must_use]
    #[inline]
    pub const fn map_v4(octets: [u8; 4]) -> u128 {
        V4_MAPPED | u32::from_be_bytes(octets) as u128
    }

    /// Our address and port.
    const fn local_end(&self) -> (u128, u16) {
        (self.local, self.local_port)
    }

    /// The endpoint over UDP of a tunnel whose peer was not heard yet: no packet has it.
    #[must_use]
    pub const fn without_peer(local: u128, local_port: u16) -> Self {
        Self { local, remote: 0, local_port, remote_port: 0, protocol: 0 }
    }

    /// Whether the peer's address is one that packets can be sent to, whichever link it is on.
    #[must_use]
    pub fn is_remote_unicast(&self) -> bool {
        let address = Ipv6Addr::from_bits(self.remote);
        let is_none = match address.to_ipv4_mapped() {
            Some(v4) => v4.is_unspecified() || v4.is_loopback() || v4.is_multicast() || v4.is_broadcast(),
            None => {
                address.is_unspecified()
                    || address.is_loopback()
                    || address.is_multicast()
                    || address.is_unicast_link_local()
            }
        };
        !is_none
    }

    /// An IPv6 address in wire order; `None` for an IPv4-mapped one, which no packet carries (RFC 4291 §2.5.5.2): it
    /// must not pass for the IPv4 address.
    #[must_use]
    #[inline]
    pub const fn v6(octets: [u8; 16]) -> Option<u128> {
        let address = u128::from_be_bytes(octets);
        if address >> 32 == V4_MAPPED >> 32 { None } else { Some(address) }
    }
}

/// What `decap` needs of one session.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct RxSession {
    /// Outer addresses and ports the session's packets must carry.
    pub endpoint: Endpoint,
    /// Where sightings of the peer elsewhere are noted, for a tunnel that learns its peer; `None`: the endpoint is fixed.
    pub peer: Option<Arc<PeerWatch>>,
    /// The id in its packets: the one we chose (`ip l2tp`: `session_id`).
    pub rx_session_id: SessionId,
    /// The cookie in its packets: the one we chose (`ip l2tp`: `peer_cookie`).
    pub rx_cookie: Cookie,
    /// A second cookie that is as good, while the peer changes over; as long as `rx_cookie`.
    pub rx_cookie_also: Option<Cookie>,
    /// The sublayer in its packets.
    pub sublayer: Sublayer,
    /// What becomes of the sequence numbers in its packets; without a sublayer they have none.
    pub sequencing: RxSequencing,
    /// Whether UDP packets without a checksum are refused; over IPv4 they never are (RFC 768; `ip l2tp`: `udp6_csum_rx`).
    pub needs_checksum: bool,
    /// Whether congestion noted on the way is noted in the frame (RFC 6040 §4.2).
    pub combines_ecn: bool,
    /// Largest segments that TCP connections through it may announce.
    pub mss_limit: MssLimit,
    /// Position of this session.
    pub index: SessionIndex,
    /// Bridge domain its frames enter.
    pub attachment: Attachment,
    /// Its counters.
    pub counters: PerWorker<SessionCounters>,
}

impl RxSession {
    /// A session without cookie and sublayer, of packets with or without UDP checksum.
    #[must_use]
    pub const fn plain(
        endpoint: Endpoint,
        rx_session_id: SessionId,
        index: SessionIndex,
        attachment: Attachment,
        counters: PerWorker<SessionCounters>,
    ) -> Self {
        Self {
            endpoint,
            peer: None,
            rx_session_id,
            rx_cookie: Cookie::NONE,
            rx_cookie_also: None,
            sublayer: Sublayer::None,
            sequencing: RxSequencing::Ignored,
            needs_checksum: false,
            combines_ecn: false,
            mss_limit: MssLimit::Unlimited,
            index,
            attachment,
            counters,
        }
    }
}

/// Why no session was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSession {
    /// Nobody has this id.
    Unknown,
    /// Somebody has it, between other addresses or ports.
    WrongSource,
}

/// One place of the hash table: the key beside the position, so that a miss costs one cache line.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// 0 is vacant: no session has id 0.
    rx_session_id: u32,
    position: u32,
}

/// All sessions, by receive session id and peer. Ids may repeat between tunnels over UDP, so the peer is part of the
/// hash: a thousand spokes that all call their session 1 do not form one chain.
#[derive(Clone, Debug, Default)]
pub struct SessionTable {
    places: Box<[Place]>,
    sessions: Box<[RxSession]>,
    /// Those whose packets need no closer look.
    quick: QuickSessions,
    /// Sessions of tunnels that learn their peer, by id and local endpoint alone; empty when there is none.
    anywhere: Box<[Place]>,
    /// Every id once, ascending: tells, on a miss, a wrong source from an unknown id.
    ids: Box<[u32]>,
    spreading: Spreading,
}

impl SessionTable {
    /// A table of these sessions.
    ///
    /// # Panics
    /// With 2^31 sessions or more.
    #[must_use]
    pub fn new(sessions: Vec<RxSession>) -> Self {
        let mut places = vec![Place::default(); (sessions.len() * 2).next_power_of_two().max(2)];
        let mask = places.len() - 1;
        for (position, session) in (0u32..).zip(&sessions) {
            let rx_session_id = session.rx_session_id.get();
            let mut at = home(rx_session_id, &session.endpoint, mask);
            while places[at].rx_session_id != 0 {
                at = (at + 1) & mask;
            }
            places[at] = Place { rx_session_id, position };
        }
        let mut ids: Vec<_> = sessions.iter().map(|session| session.rx_session_id.get()).collect();
        ids.sort_unstable();
        ids.dedup();
        let anywhere = places_anywhere(&sessions).into();
        let mut table = Self {
            places: places.into(),
            sessions: sessions.into(),
            quick: QuickSessions::default(),
            anywhere,
            ids: ids.into(),
            spreading: Spreading::default(),
        };
        // Not one that another session stands in front of.
        let is_found = |(position, session): &(u32, &RxSession)| {
            table.find(session.rx_session_id, &session.endpoint).is_ok_and(|(found, _)| found == *position)
        };
        table.quick = QuickSessions::new((0u32..).zip(&table.sessions).filter(is_found));
        table
    }

    /// Sessions whose packets need no closer look.
    #[inline]
    pub(crate) const fn quick(&self) -> &QuickSessions {
        &self.quick
    }

    /// The table with the packets of some sessions spread over all workers; of none that looks at sequence numbers, whose packets
    /// have to pass one worker in order.
    #[must_use]
    pub fn with_spread(mut self, is_spread: impl Fn(&RxSession) -> bool) -> Self {
        let is_free = |session: &RxSession| matches!(session.sequencing, RxSequencing::Ignored);
        let sessions = (0..).zip(&self.sessions);
        self.spreading =
            Spreading::new(sessions.filter(|(_, session)| is_free(session) && is_spread(session)));
        self
    }

    /// The sessions whose packets are spread.
    #[must_use]
    #[inline]
    pub const fn spreading(&self) -> &Spreading {
        &self.spreading
    }

    /// The session with this id at this local address and port, of a tunnel that learns its peer.
    ///
    /// Such a session is also found by [`SessionTable::find`] between the addresses and ports it has now.
    #[must_use]
    pub fn find_anywhere(&self, rx_session_id: SessionId, endpoint: &Endpoint) -> Option<(u32, &RxSession)> {
        let mask = self.anywhere.len().checked_sub(1)?;
        let mut at = home_anywhere(rx_session_id.get(), endpoint, mask);
        // Ends: half of the places are vacant.
        while let Some(place) = self.anywhere.get(at).filter(|place| place.rx_session_id != 0) {
            if place.rx_session_id == rx_session_id.get()
                && let Some(session) = self.sessions.get(place.position as usize)
                && session.endpoint.local_end() == endpoint.local_end()
            {
                return Some((place.position, session));
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// The session with this id between these addresses, and its position for [`SessionTable::at`].
    ///
    /// # Errors
    /// [`NoSession`] says whether the id or the addresses do not fit.
    #[inline]
    pub fn find(
        &self,
        rx_session_id: SessionId,
        endpoint: &Endpoint,
    ) -> Result<(u32, &RxSession), NoSession> {
        let mask = self.places.len().wrapping_sub(1);
        let mut at = home(rx_session_id.get(), endpoint, mask);
        // Ends: half of the places are vacant.
        while let Some(place) = self.places.get(at).filter(|place| place.rx_session_id != 0) {
            if place.rx_session_id == rx_session_id.get()
                && let Some(session) = self.sessions.get(place.position as usize)
                && session.endpoint == *endpoint
            {
                return Ok((place.position, session));
            }
            at = (at + 1) & mask;
        }
        Err(self.refusal(rx_session_id))
    }

    #[cold]
    fn refusal(&self, rx_session_id: SessionId) -> NoSession {
        match self.ids.binary_search(&rx_session_id.get()) {
            Ok(_) => NoSession::WrongSource,
            Err(_) => NoSession::Unknown,
        }
    }

    /// The session at a position of [`SessionTable::iter`].
    #[must_use]
    #[inline]
    pub fn at(&self, position: u32) -> Option<&RxSession> {
        self.sessions.get(position as usize)
    }

    /// All sessions, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = &RxSession> {
        self.sessions.iter()
    }

    /// Number of sessions.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

/// The places of the sessions whose peer is learned; none when there is no such session.
fn places_anywhere(sessions: &[RxSession]) -> Vec<Place> {
    let learning = || (0u32..).zip(sessions).filter(|(_, session)| session.peer.is_some());
    let count = learning().count();
    if count == 0 {
        return Vec::new();
    }
    let mut places = vec![Place::default(); (count * 2).next_power_of_two()];
    let mask = places.len() - 1;
    for (position, session) in learning() {
        let rx_session_id = session.rx_session_id.get();
        let mut at = home_anywhere(rx_session_id, &session.endpoint, mask);
        while places[at].rx_session_id != 0 {
            at = (at + 1) & mask;
        }
        places[at] = Place { rx_session_id, position };
    }
    places
}

/// First place of an id at a local endpoint.
fn home_anywhere(rx_session_id: u32, endpoint: &Endpoint, mask: usize) -> usize {
    let here = Endpoint { remote: endpoint.local, remote_port: endpoint.local_port, ..*endpoint };
    home(rx_session_id, &here, mask)
}

/// First place of an id from a peer.
#[inline]
fn home(rx_session_id: u32, endpoint: &Endpoint, mask: usize) -> usize {
    let [a, b, c, d, e, f, g, h, tail @ ..] = endpoint.remote.to_ne_bytes();
    let halves = [[a, b, c, d, e, f, g, h], tail].map(u64::from_ne_bytes);
    let peer = (halves[0] ^ halves[1].rotate_left(32)).wrapping_add(u64::from(endpoint.remote_port) << 48);
    let mixed = (u64::from(rx_session_id) ^ peer.wrapping_mul(0xD134_2543_DE82_EF95))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    usize::try_from(mixed >> 32).unwrap_or(0) & mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::{collections::HashMap, net::IpAddr};

    fn endpoint(remote: u8) -> Endpoint {
        Endpoint {
            local: Endpoint::map_v4([10, 0, 0, 1]),
            remote: Endpoint::map_v4([10, 0, 0, remote]),
            local_port: 0,
            remote_port: 0,
            protocol: 115,
        }
    }

    fn session(id: u32, remote: u8, index: u32) -> RxSession {
        let id = SessionId::new(id).unwrap();
        let counters = PerWorker::new(1);
        RxSession::plain(endpoint(remote), id, SessionIndex(index), Attachment::default(), counters)
    }

    fn find(table: &SessionTable, id: u32, remote: u8) -> Result<u32, NoSession> {
        table.find(SessionId::new(id).unwrap(), &endpoint(remote)).map(|(_, session)| session.index.0)
    }

    #[test]
    fn one_id_in_two_tunnels_is_told_apart_by_the_endpoint() {
        let table = SessionTable::new(vec![session(1000, 2, 0), session(1000, 3, 1)]);
        assert_eq!(find(&table, 1000, 2), Ok(0));
        assert_eq!(find(&table, 1000, 3), Ok(1));
        assert_eq!(find(&table, 1000, 4), Err(NoSession::WrongSource));
        assert_eq!(find(&table, 1001, 2), Err(NoSession::Unknown));
    }

    #[test]
    fn both_ends_of_the_id_range_are_found() {
        let table = SessionTable::new(vec![session(1, 2, 0), session(u32::MAX, 2, 1)]);
        assert_eq!((find(&table, 1, 2), find(&table, u32::MAX, 2)), (Ok(0), Ok(1)));
    }

    #[test]
    fn a_mapped_address_in_an_ipv6_packet_is_no_address() {
        let mapped = Endpoint::map_v4([10, 0, 0, 1]);
        assert_eq!(Endpoint::v6(mapped.to_be_bytes()), None);
        assert_eq!(Endpoint::v6((mapped + (1 << 48)).to_be_bytes()), Some(mapped + (1 << 48)));
    }

    #[test]
    fn an_empty_table_knows_nobody() {
        assert_eq!(find(&SessionTable::new(Vec::new()), 1, 2), Err(NoSession::Unknown));
        assert_eq!(find(&SessionTable::default(), 1, 2), Err(NoSession::Unknown));
    }

    #[test]
    fn a_source_that_nothing_can_be_sent_to_is_no_peers() {
        let is_unicast = |address: &str| {
            let remote = match address.parse().unwrap() {
                IpAddr::V4(v4) => Endpoint::map_v4(v4.octets()),
                IpAddr::V6(v6) => v6.to_bits(),
            };
            Endpoint { remote, ..endpoint(2) }.is_remote_unicast()
        };
        for address in ["192.0.2.1", "169.254.7.7", "2001:db8::1", "fd00::1"] {
            assert!(is_unicast(address), "{address}");
        }
        for address in
            ["0.0.0.0", "127.0.0.1", "224.0.0.5", "255.255.255.255", "::", "::1", "ff02::1", "fe80::1"]
        {
            assert!(!is_unicast(address), "{address}");
        }
    }

    /// A session over UDP whose peer is learned, at this local port.
    fn learning(id: u32, local_port: u16, index: u32) -> RxSession {
        let watch = Some(Arc::new(PeerWatch::new(1)));
        let unknown = Endpoint::without_peer(endpoint(0).local, local_port);
        RxSession { endpoint: unknown, peer: watch, ..session(id, 0, index) }
    }

    proptest! {
        #[test]
        fn finds_anywhere_what_a_map_of_learning_sessions_finds(
            learned in proptest::collection::hash_set((1u32..60, 1u16..5), 0..60),
            fixed in proptest::collection::hash_set((1u32..60, 2u8..6), 0..60),
            source: u128,
        ) {
            let model: HashMap<(u32, u16), u32> = learned.into_iter().zip(0..).collect();
            let sessions = model.iter().map(|(&(id, port), &n)| learning(id, port, n));
            let others = fixed.iter().map(|&(id, remote)| session(id, remote, 1000));
            let table = SessionTable::new(sessions.chain(others).collect());
            for id in 1..60 {
                for local_port in 0..6 {
                    let packet = Endpoint { remote: source, local_port, remote_port: 9, protocol: 17, ..endpoint(0) };
                    let found = table.find_anywhere(SessionId::new(id).unwrap(), &packet);
                    prop_assert_eq!(found.map(|(_, session)| session.index.0), model.get(&(id, local_port)).copied());
                    let elsewhere = Endpoint { local: 1, ..packet };
                    prop_assert!(table.find_anywhere(SessionId::new(id).unwrap(), &elsewhere).is_none());
                }
            }
        }

        #[test]
        fn finds_what_a_map_finds(ids in proptest::collection::hash_set((1u32..200, 2u8..6), 0..100)) {
            let model: HashMap<(u32, u8), u32> = ids.into_iter().zip(0..).collect();
            let table = SessionTable::new(model.iter().map(|(&(id, remote), &n)| session(id, remote, n)).collect());
            for id in 1..200 {
                for remote in 2..7 {
                    prop_assert_eq!(find(&table, id, remote).ok(), model.get(&(id, remote)).copied());
                }
            }
        }
    }
}
