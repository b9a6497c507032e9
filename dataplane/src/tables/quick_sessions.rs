//! Quick sessions: what `decap` needs for the packets of nearly every session, in two cache lines each.
//!
//! ```text
//! | MAC addresses 12 | EtherType, IP, UDP, flags, session id, cookie, sublayer | frame ...
//!                    |<--- 64 bytes with IPv4, 80 with IPv6: compared at once ------->|
//! ```
//! Place on the path: `decap` asks here first, by the bytes of a packet as they stand in it. A session is in here when a packet of it takes
//! no more than to check its cookie and to take its headers off. All sessions are in [`SessionTable`], with everything that there is to
//! know about them; who is not found here is looked for there.
//!
//! [`SessionTable`]: super::sessions::SessionTable

use wire::ipv4::{PROTOCOL_L2TP, PROTOCOL_UDP};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::{
    attachment::Ingress,
    oversize::MssLimit,
    quick_pattern::{Pattern, V4_WORDS, V6_WORDS, Words},
    session_state::RxSequencing,
    sessions::RxSession,
};

/// Words that are in the same cache line as the packet's first byte.
const NEAR_WORDS: usize = 6;

/// Front of a packet, from its first byte on. Byte order: as in the packet, in memory.
#[derive(Clone, Copy, FromBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Front<const N: usize> {
    macs: [u8; 12],
    words: [[u8; 8]; N],
}

impl<const N: usize> Front<N> {
    /// That of a packet, if it is so long.
    #[inline]
    pub(crate) fn of(packet: &[u8]) -> Option<&Self> {
        Self::ref_from_prefix(packet).ok().map(|(front, _)| front)
    }

    /// `B` bytes from an offset in the packet on; zeros where there are none.
    #[inline]
    fn bytes<const B: usize>(&self, offset: usize) -> [u8; B] {
        let behind = self.words.as_flattened().get(offset - size_of_val(&self.macs)..);
        behind.and_then(<[u8]>::first_chunk).copied().unwrap_or([0; B])
    }

    /// Whether it is, behind a mask, as expected. One branch for all of it, or two where what counts does not end in the packet's first cache line:
    /// the second one is not read for nothing.
    ///
    /// Bench: `scaling`, the tunnel that is spread, whose frames come from memory that is not in the first caches.
    #[inline(always)]
    pub(crate) fn is_like(&self, mask: &Words<N>, expected: &Words<N>) -> bool {
        let words = || self.words.iter().zip(&mask.0).zip(&expected.0);
        let differ = |all, ((bytes, mask), expected): ((&[u8; 8], &u64), &u64)| {
            all | (u64::from_ne_bytes(*bytes) & mask) ^ expected
        };
        let has_more = mask.0.iter().skip(NEAR_WORDS).fold(0, |all, mask| all | mask) != 0;
        words().take(NEAR_WORDS).fold(0, differ) == 0
            && (!has_more || words().skip(NEAR_WORDS).fold(0, differ) == 0)
    }

    /// A hash, whose highest bits depend on every bit, of what names the session: addresses, ports, session id. Without a secret: the keys
    /// are the configuration's, not those of who sends packets.
    #[inline]
    fn hash(&self) -> u64 {
        let quad = |offset| u64::from_ne_bytes(self.bytes(offset));
        let (addresses, [protocol], behind) = if N == V6_WORDS {
            let [a, b, c, d] = [22, 30, 38, 46].map(quad);
            (
                (a ^ b.rotate_left(32)).wrapping_mul(0xA24B_AED4_963E_E407) ^ c ^ d.rotate_left(32),
                self.bytes(20),
                54,
            )
        } else {
            (quad(26), self.bytes(23), 34)
        };
        let pair = |offset| u64::from(u32::from_ne_bytes(self.bytes(offset)));
        let ports_and_id = match protocol {
            PROTOCOL_UDP => pair(behind) | pair(behind + 12) << 32,
            _ => pair(behind) << 32,
        };
        let mixed = addresses.wrapping_mul(0xD134_2543_DE82_EF95).rotate_left(32) ^ ports_and_id;
        mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }
}

/// One session. Aligned so that its two cache lines come together.
#[derive(Clone, Copy, Debug)]
#[repr(align(128))]
pub(crate) struct QuickSession<const N: usize> {
    /// What its packets' front is behind the mask.
    expected: Words<N>,
    /// Position in the session table.
    pub(crate) position: u32,
    /// Where its frames enter a bridge domain.
    pub(crate) ingress: Ingress,
    /// Bytes in front of the frame, Ethernet header included; 0 in a place that no session has.
    header_bytes: u16,
    /// Which of the table's masks leaves what all its packets have in common.
    mask: u8,
    /// What carries its packets.
    pub(crate) carrier: Carrier,
}

/// What carries a session's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// UDP with or without a checksum.
    Udp,
    /// UDP with a checksum.
    UdpWithChecksum,
    /// IP protocol 115.
    Ip,
}

impl Carrier {
    fn of(session: &RxSession) -> Self {
        match (session.endpoint.protocol, session.needs_checksum) {
            (PROTOCOL_UDP, false) => Self::Udp,
            (PROTOCOL_UDP, true) => Self::UdpWithChecksum,
            _ => Self::Ip,
        }
    }
}

const _: () =
    assert!(size_of::<QuickSession<V4_WORDS>>() == 128 && size_of::<QuickSession<V6_WORDS>>() == 128);

impl<const N: usize> QuickSession<N> {
    /// A place that no session has. No packet is like that: every mask leaves bytes of the first word out, length and traffic class.
    const VACANT: Self = Self {
        expected: Words([u64::MAX; N]),
        position: 0,
        ingress: Ingress::NOWHERE,
        header_bytes: 0,
        mask: 0,
        carrier: Carrier::Ip,
    };

    /// Bytes in front of the frame, Ethernet header included.
    #[inline]
    pub(crate) const fn header_bytes(&self) -> usize {
        self.header_bytes as usize
    }
}

/// A session with what tells its packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'t, const N: usize> {
    pub(crate) session: &'t QuickSession<N>,
    /// What all its packets have in common of their front.
    pub(crate) mask: &'t Words<N>,
}

impl<'t, const N: usize> Found<'t, N> {
    /// What that is.
    #[inline]
    pub(crate) const fn expected(&self) -> &'t Words<N> {
        &self.session.expected
    }
}

/// The sessions of one IP version.
#[derive(Clone, Debug, Default)]
pub(crate) struct QuickTable<const N: usize> {
    /// Half of them vacant at least, and a power of two, or none.
    places: Box<[QuickSession<N>]>,
    /// Few: one for each way to lay out headers.
    masks: Vec<Words<N>>,
    /// Leaves as many bits of a 64-bit hash as count the places.
    shift: u32,
}

impl<const N: usize> QuickTable<N> {
    /// Those of these sessions that are of this IP version.
    fn new(sessions: &[(u32, &RxSession, Pattern, Ingress)]) -> Self {
        let own = || sessions.iter().filter(|(.., pattern, _)| pattern.words() == N);
        let count = (own().count() * 2).next_power_of_two().max(2);
        let (mut places, shift) = (vec![QuickSession::VACANT; count], u64::BITS - count.trailing_zeros());
        let mut masks = Vec::new();
        for (position, session, pattern, ingress) in own() {
            let expected = pattern.expected();
            let front = Front { macs: [0; 12], words: expected.0.map(u64::to_ne_bytes) };
            let mut at = place(&front, shift);
            while places[at].header_bytes != 0 {
                at = (at + 1) & (count - 1);
            }
            places[at] = QuickSession {
                expected,
                position: *position,
                ingress: *ingress,
                header_bytes: pattern.header_bytes(),
                mask: index_of(&mut masks, pattern.mask()),
                carrier: Carrier::of(session),
            };
        }
        Self { places: places.into(), masks, shift }
    }

    /// The session that a packet with this front is of.
    #[inline(always)]
    pub(crate) fn find(&self, front: &Front<N>) -> Option<Found<'_, N>> {
        let end = self.places.len().checked_sub(1)?;
        let mut at = place(front, self.shift);
        // Ends: half of the places are vacant.
        loop {
            let session = self.places.get(at)?;
            let mask = self.masks.get(usize::from(session.mask))?;
            if front.is_like(mask, &session.expected) {
                return Some(Found { session, mask });
            }
            if session.header_bytes == 0 {
                return None;
            }
            at = (at + 1) & end;
        }
    }
}

/// First place of packets with this front.
#[inline]
fn place<const N: usize>(front: &Front<N>, shift: u32) -> usize {
    usize::try_from(front.hash() >> shift).unwrap_or(0)
}

/// Where a mask stands among the others; it is added when it is new.
fn index_of<const N: usize>(masks: &mut Vec<Words<N>>, mask: Words<N>) -> u8 {
    let index = masks.iter().position(|known| *known == mask).unwrap_or_else(|| {
        masks.push(mask);
        masks.len() - 1
    });
    u8::try_from(index).expect("there are a dozen ways to lay out headers")
}

/// All of them, by what their packets look like.
#[derive(Clone, Debug, Default)]
pub(crate) struct QuickSessions {
    pub(crate) v4: QuickTable<V4_WORDS>,
    pub(crate) v6: QuickTable<V6_WORDS>,
}

impl QuickSessions {
    /// Those of these sessions that are quick, with their positions.
    pub(super) fn new<'s>(sessions: impl Iterator<Item = (u32, &'s RxSession)>) -> Self {
        let quick: Vec<_> = sessions
            .filter(|(_, session)| is_quick(session))
            .filter_map(|(position, session)| {
                Some((position, session, Pattern::of(session)?, session.attachment.whole_alone()?))
            })
            .collect();
        Self { v4: QuickTable::new(&quick), v6: QuickTable::new(&quick) }
    }
}

/// Whether a session's packets take no more than the checks that are made here.
fn is_quick(session: &RxSession) -> bool {
    [PROTOCOL_UDP, PROTOCOL_L2TP].contains(&session.endpoint.protocol)
        && !session.combines_ecn
        && session.mss_limit == MssLimit::Unlimited
        && matches!(session.sequencing, RxSequencing::Ignored)
}
