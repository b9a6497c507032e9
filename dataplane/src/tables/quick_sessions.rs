//! Quick sessions: what `decap` needs for the packets of nearly every session, in one cache line each.
//!
//! Place on the path: `decap` asks here first, by the bytes of an IPv4 packet without options as they stand in it. A session is in here
//! when a packet of it takes no more than to check its cookie and to take its headers off. All sessions are in [`SessionTable`], with
//! everything that there is to know about them; who is not found here is looked for there.
//!
//! [`SessionTable`]: super::sessions::SessionTable

use std::net::Ipv6Addr;

use wire::{
    ipv4::PROTOCOL_UDP,
    l2tpv3::{Cookie, Encap, SessionId, Sublayer},
    overhead::{ETHERNET_BYTES, IPV4_BYTES},
};

use super::{
    attachment::Ingress,
    oversize::MssLimit,
    session_state::RxSequencing,
    sessions::{Endpoint, RxSession},
};

/// Bits of the sublayer's first byte that make a packet no frame: V, B and E.
const NO_FRAME: [u8; 4] = [0xB0, 0, 0, 0];

/// What names a session in an IPv4 packet. Byte order: as in the packet, in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuickKey {
    /// Source and destination address.
    addresses: u64,
    /// Source and destination port, 0 without UDP, and the session id.
    ports_and_id: u64,
    /// IP protocol: 17 or 115; 0 is no packet's.
    protocol: u8,
}

impl QuickKey {
    /// The key of these bytes, each field as it stands in the packet.
    #[inline]
    pub(crate) const fn new(protocol: u8, addresses: [[u8; 4]; 2], ports: [[u8; 2]; 2], id: [u8; 4]) -> Self {
        let [[a, b, c, d], [e, f, g, h]] = addresses;
        let [[i, j], [k, l]] = ports;
        let [m, n, o, p] = id;
        Self {
            addresses: u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            ports_and_id: u64::from_ne_bytes([i, j, k, l, m, n, o, p]),
            protocol,
        }
    }

    /// The key of a session's packets; `None` when they are not of IPv4.
    fn of(id: SessionId, endpoint: &Endpoint) -> Option<Self> {
        let v4 = |address| Ipv6Addr::from_bits(address).to_ipv4_mapped().map(|v4| v4.octets());
        let addresses = [v4(endpoint.remote)?, v4(endpoint.local)?];
        let ports = [endpoint.remote_port, endpoint.local_port].map(u16::to_be_bytes);
        Some(Self::new(endpoint.protocol, addresses, ports, id.get().to_be_bytes()))
    }

    /// A hash whose highest bits depend on every bit. Without a secret: the keys are the configuration's, not those of who sends packets.
    #[inline]
    const fn hash(&self) -> u64 {
        let mixed = self.addresses.wrapping_mul(0xD134_2543_DE82_EF95).rotate_left(32) ^ self.ports_and_id;
        mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// One session.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(crate) struct QuickSession {
    key: QuickKey,
    /// The cookie in its packets.
    pub(crate) cookie: Cookie,
    /// Bits of the last four bytes in front of the frame that have to be 0.
    sublayer_mask: u32,
    /// Position of the session in the table of all.
    pub(crate) position: u32,
    /// Where its frames enter.
    pub(crate) ingress: Ingress,
    /// Bytes in front of the frame, Ethernet header included.
    header_bytes: u16,
}

const _: () = assert!(size_of::<QuickSession>() == 64, "one cache line");

impl QuickSession {
    /// A place that no session has.
    pub(crate) const VACANT: Self = Self {
        key: QuickKey { addresses: 0, ports_and_id: 0, protocol: 0 },
        cookie: Cookie::NONE,
        sublayer_mask: 0,
        position: 0,
        ingress: Ingress::NOWHERE,
        header_bytes: 0,
    };

    /// `None` for a session whose packets take more than the checks that are made here.
    fn of(position: u32, session: &RxSession) -> Option<Self> {
        let is_quick = !session.needs_checksum
            && !session.combines_ecn
            && session.mss_limit == MssLimit::Unlimited
            && matches!(session.sequencing, RxSequencing::Ignored);
        if !is_quick {
            return None;
        }
        let encap = if session.endpoint.protocol == PROTOCOL_UDP { Encap::Udp } else { Encap::Ip };
        let tunnel_bytes = encap.len_bytes() + size_of::<u32>();
        let payload_bytes = session.rx_cookie.len_bytes() + session.sublayer.len_bytes();
        Some(Self {
            key: QuickKey::of(session.rx_session_id, &session.endpoint)?,
            cookie: session.rx_cookie,
            sublayer_mask: match session.sublayer {
                Sublayer::None => 0,
                Sublayer::Default => u32::from_ne_bytes(NO_FRAME),
            },
            position,
            ingress: session.attachment.whole_alone()?,
            header_bytes: u16::try_from(ETHERNET_BYTES + IPV4_BYTES + tunnel_bytes + payload_bytes).ok()?,
        })
    }

    /// Whether a packet with this key is its own.
    #[inline]
    pub(crate) fn has(&self, key: &QuickKey) -> bool {
        self.key == *key
    }

    /// Bytes in front of the frame, Ethernet header included.
    #[inline]
    pub(crate) const fn header_bytes(&self) -> usize {
        self.header_bytes as usize
    }

    /// Whether the packet whose last four bytes in front of the frame these are carries a whole frame.
    #[inline]
    pub(crate) const fn is_frame(&self, last: [u8; 4]) -> bool {
        u32::from_ne_bytes(last) & self.sublayer_mask == 0
    }
}

/// All of them, by what their packets look like.
#[derive(Clone, Debug, Default)]
pub(crate) struct QuickSessions {
    /// Half of them vacant at least, and a power of two, or none.
    places: Box<[QuickSession]>,
    /// Leaves as many bits of a 64-bit hash as count the places.
    shift: u32,
}

impl QuickSessions {
    /// Those of these sessions that are quick, with their positions.
    pub(super) fn new<'s>(sessions: impl Iterator<Item = (u32, &'s RxSession)>) -> Self {
        let quick: Vec<_> =
            sessions.filter_map(|(position, session)| QuickSession::of(position, session)).collect();
        let count = (quick.len() * 2).next_power_of_two().max(2);
        let mut places = vec![QuickSession::VACANT; count];
        let shift = u64::BITS - count.trailing_zeros();
        for session in quick {
            let mut at = place(&session.key, shift);
            while places[at].key.protocol != 0 {
                at = (at + 1) & (count - 1);
            }
            places[at] = session;
        }
        Self { places: places.into(), shift }
    }

    /// The session whose packets have this key.
    #[inline]
    pub(crate) fn find(&self, key: &QuickKey) -> Option<&QuickSession> {
        let mask = self.places.len().checked_sub(1)?;
        let mut at = place(key, self.shift);
        // Ends: half of the places are vacant.
        loop {
            let session = self.places.get(at)?;
            if session.has(key) {
                return Some(session);
            }
            if session.key.protocol == 0 {
                return None;
            }
            at = (at + 1) & mask;
        }
    }
}

/// First place of a key.
#[inline]
fn place(key: &QuickKey, shift: u32) -> usize {
    usize::try_from(key.hash() >> shift).unwrap_or(0)
}
