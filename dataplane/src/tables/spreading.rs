//! Spreading: which sessions' packets may be taken by any worker, and where their inner frame starts.
//!
//! Place on the path: `spread` looks here before `decap` looks anything up, so it is small: one word and a half per session.
//! The word is a hash of all that [`SessionTable::find`] compares. Two sessions with one hash, by a chance of one in 2^64 each,
//! would be taken for one another: packets of theirs would go to a worker that is not theirs, which checks them like any other.
//!
//! Deliberately not here: cookies and checksums. Whoever takes a packet checks it; a forged one only has a longer way.
//!
//! [`SessionTable::find`]: super::sessions::SessionTable::find

use wire::l2tpv3::SessionId;

use super::sessions::{Endpoint, RxSession};

/// The sessions that are spread.
#[derive(Clone, Debug, Default)]
pub struct Spreading {
    /// A hash table with half of its places vacant; empty when there is no such session.
    places: Box<[Place]>,
    generation: u64,
}

/// One place.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Hash of id and endpoint; 0 is vacant.
    tag: u64,
    entry: Entry,
}

/// What `spread` needs of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its position in the session table.
    pub position: u32,
    /// Cookie and sublayer, between the session id and the inner frame. Units: bytes.
    pub before_frame_bytes: u32,
}

impl Spreading {
    /// A table of these sessions, each with its position in the session table.
    ///
    /// # Panics
    /// Never: the places are twice as many as the sessions.
    #[must_use]
    pub fn new<'s>(sessions: impl Iterator<Item = (u32, &'s RxSession)>) -> Self {
        let entries: Vec<_> =
            sessions.map(|(position, session)| (tag_of(session), entry(position, session))).collect();
        if entries.is_empty() {
            return Self::default();
        }
        let mut places = vec![Place::default(); (entries.len() * 2).next_power_of_two()];
        let mut generation = 0u64;
        for (tag, entry) in entries {
            let mut at = home(tag, places.len());
            while places[at].tag != 0 {
                at = (at + 1) % places.len();
            }
            places[at] = Place { tag, entry };
            // A sum, so that the order of sessions makes no difference.
            generation = generation.wrapping_add(tag.rotate_left(32).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        }
        Self { places: places.into(), generation: generation.max(1) }
    }

    /// Whether no session is spread.
    #[must_use]
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// A number that differs between tables that spread different sessions; 0 of one that spreads none.
    #[must_use]
    #[inline]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The session of a packet with this id between these addresses, if it is one of these.
    #[must_use]
    #[inline]
    pub fn find(&self, rx_session_id: SessionId, endpoint: &Endpoint) -> Option<Entry> {
        let tag = tag(rx_session_id, endpoint);
        let mut at = home(tag, self.places.len());
        // Ends: half of the places are vacant.
        loop {
            let place = self.places.get(at)?;
            if place.tag == tag {
                return Some(place.entry);
            }
            if place.tag == 0 {
                return None;
            }
            at = (at + 1) & (self.places.len() - 1);
        }
    }
}

fn entry(position: u32, session: &RxSession) -> Entry {
    let bytes = session.rx_cookie.len_bytes() + session.sublayer.len_bytes();
    Entry { position, before_frame_bytes: u32::try_from(bytes).unwrap_or(0) }
}

fn tag_of(session: &RxSession) -> u64 {
    tag(session.rx_session_id, &session.endpoint)
}

/// First place of a hash among `places`, a power of two.
#[inline]
fn home(tag: u64, places: usize) -> usize {
    usize::try_from(tag >> 32).unwrap_or(0) & places.wrapping_sub(1)
}

/// Never 0.
#[inline]
fn tag(rx_session_id: SessionId, endpoint: &Endpoint) -> u64 {
    let ports = u64::from(endpoint.remote_port) << 48 | u64::from(endpoint.local_port) << 32;
    let own = ports ^ u64::from(rx_session_id.get());
    let remote = folded(endpoint.remote)
        .wrapping_add(u64::from(endpoint.protocol))
        .wrapping_mul(0xD134_2543_DE82_EF95);
    let local = folded(endpoint.local).wrapping_mul(0xA076_1D64_78BD_642F).rotate_left(29);
    let mixed = (own ^ remote ^ local).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ mixed >> 32) | 1
}

#[inline]
fn folded(address: u128) -> u64 {
    let [a, b, c, d, e, f, g, h, tail @ ..] = address.to_ne_bytes();
    u64::from_ne_bytes([a, b, c, d, e, f, g, h]) ^ u64::from_ne_bytes(tail).rotate_left(32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        counters::PerWorker,
        tables::{attachment::Attachment, sessions::SessionIndex},
    };
    use wire::l2tpv3::{Cookie, Sublayer};

    fn endpoint(remote: u8) -> Endpoint {
        let address = |last| Endpoint::map_v4([10, 0, 0, last]);
        Endpoint {
            local: address(1),
            remote: address(remote),
            local_port: 6001,
            remote_port: 5001,
            protocol: 17,
        }
    }

    fn session(id: u32, remote: u8) -> RxSession {
        let id = SessionId::new(id).unwrap();
        RxSession::plain(endpoint(remote), id, SessionIndex(0), Attachment::default(), PerWorker::new(1))
    }

    fn find(spreading: &Spreading, id: u32, endpoint: &Endpoint) -> Option<u32> {
        spreading.find(SessionId::new(id).unwrap(), endpoint).map(|entry| entry.position)
    }

    #[test]
    fn a_session_is_found_by_everything_that_its_packets_must_have() {
        let sessions: Vec<_> = (1..100).map(|id| session(id, 2 + (id % 3) as u8)).collect();
        let spreading = Spreading::new((0..).zip(&sessions));
        for (position, session) in (0..).zip(&sessions) {
            assert_eq!(find(&spreading, session.rx_session_id.get(), &session.endpoint), Some(position));
        }
        let own = sessions[9].endpoint;
        for other in [
            Endpoint { remote: own.remote + 1, ..own },
            Endpoint { local: own.local + 1, ..own },
            Endpoint { remote_port: 5002, ..own },
            Endpoint { local_port: 6002, ..own },
            Endpoint { protocol: 115, ..own },
        ] {
            assert_eq!(find(&spreading, 10, &other), None, "{other:?}");
        }
        assert_eq!((find(&spreading, 11, &own), find(&spreading, 100, &own)), (None, None));
    }

    #[test]
    fn the_frame_stands_behind_cookie_and_sublayer() {
        let one =
            RxSession { rx_cookie: Cookie::eight([7; 8]), sublayer: Sublayer::Default, ..session(1, 2) };
        let spreading = Spreading::new([(4, &one)].into_iter());
        let entry = spreading.find(one.rx_session_id, &one.endpoint);
        assert_eq!(entry, Some(Entry { position: 4, before_frame_bytes: 12 }));
    }

    #[test]
    fn tables_that_spread_the_same_sessions_are_of_one_generation() {
        let (one, other) = (session(1, 2), session(2, 2));
        let of = |sessions: &[(u32, &RxSession)]| Spreading::new(sessions.iter().copied()).generation();
        assert_eq!(of(&[(0, &one), (1, &other)]), of(&[(1, &other), (2, &one)]));
        let all = [of(&[]), of(&[(0, &one)]), of(&[(0, &other)]), of(&[(0, &one), (1, &other)])];
        assert_eq!(all[0], 0);
        assert!(all.iter().enumerate().all(|(at, one)| !all[..at].contains(one)), "{all:?}");
        assert!(Spreading::default().is_empty() && find(&Spreading::default(), 1, &endpoint(2)).is_none());
    }
}
