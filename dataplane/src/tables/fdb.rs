//! FDB: the MAC table of one bridge domain, shared by all workers.
//!
//! ```text
//!  place: 16 bytes, four to a cache line                entry (64 bits, written as one)
//! +-------+------------+--------+                      +-----------------------+--------------+
//! | entry | time stamp | unused |                      | MAC address (48 bits) | member (16)  |   0 = vacant
//! +-------+------------+--------+                      +-----------------------+--------------+
//! ```
//! An address stands at the place that its hash names, or where that was taken, at one of the next [`PROBE_PLACES`].
//!
//! Place on the path: `learn` writes it, `forward` reads it.
//!
//! Reads take no lock. Learning compares before it writes: a known address on its known member costs loads only, plus
//! one time-stamp store per entry and second. The main thread alone removes entries. Two workers that learn one new
//! address at the same moment may leave two entries; look-ups and refreshes always take the first, so the second ages out.
//!
//! Deliberately not here: VLAN-aware keys. A VLAN is a bridge domain of its own.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use wire::ethernet::EthernetHeader;

use super::ids::MemberId;

/// Places that an address may have. Two of three known addresses stand at the first, nearly all others at the next few; only unknown
/// ones cost a look at all.
const PROBE_PLACES: usize = 32;

/// Those of them that a pass over many frames looks at; who stands further behind is looked for frame by frame.
const NEAR_PLACES: usize = 8;

/// Places of a table that is looked at behind a prefetch: 1 MiB of them, as much as the second cache of a usual core.
const LARGE_PLACES: usize = 1 << 16;

/// 2^64 by the golden ratio.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// Bits of an entry that hold the member.
const MEMBER_BITS: u32 = 16;

/// Largest number of entries that can be asked for. Range: 1 to 16 Mi.
pub const MAX_ENTRIES: usize = 1 << 24;

/// A MAC address as a number below 2^48, first octet most significant. Zero is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacKey(u64);

impl MacKey {
    /// Group bit of the first octet (IEEE 802-2014 §8.2.2), seen in the number.
    const GROUP_BIT: u64 = 1 << 40;

    /// 01-80-C2-00-00-00, the first of the sixteen addresses bridges keep to themselves.
    const RESERVED: u64 = 0x0180_C200_0000;

    /// The key of the six octets of an address in wire order.
    #[must_use]
    #[inline]
    pub const fn new(octets: [u8; 6]) -> Self {
        let [a, b, c, d, e, f] = octets;
        Self(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    /// Destination and source of a frame.
    #[must_use]
    #[inline]
    pub fn pair(header: &EthernetHeader) -> (Self, Self) {
        let (destination, source) = header.addresses();
        (Self(destination), Self(source))
    }

    /// The six octets in wire order.
    #[must_use]
    pub const fn octets(self) -> [u8; 6] {
        let [_, _, a, b, c, d, e, f] = self.0.to_be_bytes();
        [a, b, c, d, e, f]
    }

    /// Multicast, broadcast included.
    #[must_use]
    #[inline]
    pub const fn is_group(self) -> bool {
        self.0 & Self::GROUP_BIT != 0
    }

    /// Whether a station can have it: neither a group address nor zero.
    #[must_use]
    #[inline]
    pub const fn is_station(self) -> bool {
        // With the group bit as the sign, groups are negative: one comparison for both.
        self.0.rotate_left(Self::GROUP_BIT.leading_zeros()).cast_signed() > 0
    }

    /// Low octet of an address 01-80-C2-00-00-00..0F; `None` for any other address.
    #[must_use]
    #[inline]
    pub const fn reserved(self) -> Option<u8> {
        if self.0 & !0xF == Self::RESERVED { Some((self.0 & 0xF) as u8) } else { None }
    }
}

/// What learning a source address came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// Known on this member.
    Known,
    /// Known on another member until now.
    Moved,
    /// New.
    New,
    /// New, but its buckets are full: not learned.
    Full,
}

/// One entry, as `fdb show` lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdbEntry {
    /// The station's address.
    pub mac: MacKey,
    /// The member it was last heard on.
    pub member: MemberId,
    /// Second of the engine's clock in which it was last heard.
    pub heard_s: u32,
}

/// An entry, and the second in which it was last heard: side by side, so that learning a known address touches one cache line.
///
/// Bench: `encap, 1 M MACs`, 164 -> 131 cycles per frame, against eight entries to a line and their time stamps in another.
#[derive(Debug, Default)]
#[repr(align(16))]
struct Place {
    entry: AtomicU64,
    heard_s: AtomicU32,
}

impl Place {
    /// Notes that its address was heard in second `now_s`; at most one store per second.
    #[inline]
    fn hear(&self, now_s: u32) {
        if self.heard_s.load(Relaxed) != now_s {
            self.heard_s.store(now_s, Relaxed);
        }
    }
}

/// The table. Fixed size: it never grows, so it never stalls a worker.
#[derive(Debug)]
pub struct Fdb {
    /// A power of two, [`PROBE_PLACES`] at least.
    places: Box<[Place]>,
    /// Keeps outsiders from knowing which addresses share a place.
    seed: u64,
    /// [`MULTIPLIER`]. Read from here, because a constant of 64 bits takes an instruction of its own each time. Bench: `encap`, by 2
    /// instructions per frame.
    multiplier: u64,
    /// Leaves as many bits of a 64-bit hash as count the places.
    shift: u32,
    /// No address was last heard before this second. Written by the main thread alone, when it has looked at all.
    oldest_s: AtomicU32,
}

/// What is nearly always enough of the table, for a pass over many frames: it stays in registers, where a table that others write to would be
/// read anew for each frame, and it calls nothing.
#[derive(Clone, Copy, Debug)]
pub struct FdbView<'t> {
    places: &'t [Place],
    seed: u64,
    multiplier: u64,
    shift: u32,
}

impl<'t> FdbView<'t> {
    /// First place of an address.
    #[inline]
    fn home(self, mac: MacKey) -> usize {
        // The highest bits of the product depend on every bit of the address (Fibonacci hashing).
        let mixed = (mac.0 ^ self.seed).wrapping_mul(self.multiplier);
        usize::try_from(mixed >> self.shift).unwrap_or(0)
    }

    /// Whether the table is larger than the caches next to a core, so that [`Self::prefetch`] pays.
    #[must_use]
    #[inline]
    pub const fn is_large(self) -> bool {
        self.places.len() >= LARGE_PLACES
    }

    /// Has the first place of an address brought nearer, for a look at it soon.
    #[inline]
    pub fn prefetch(self, mac: MacKey) {
        if let Some(place) = self.places.get(self.home(mac)) {
            xsk::prefetch(place);
        }
    }

    /// The first places of an address; none behind the table's last one.
    #[inline]
    fn near(self, mac: MacKey) -> impl Iterator<Item = &'t Place> {
        let home = self.home(mac);
        (0..NEAR_PLACES).map_while(move |turn| self.places.get(home.wrapping_add(turn)))
    }

    /// Member behind which a station's address lives. `None`: it does not stand near its first place; [`Fdb::lookup`] knows.
    #[must_use]
    #[inline]
    pub fn lookup(self, mac: MacKey) -> Option<MemberId> {
        let entry =
            self.near(mac).map(|place| place.entry.load(Relaxed)).find(|entry| entry >> MEMBER_BITS == mac.0);
        entry.map(member_of)
    }

    /// Notes that a station's address was heard on the member that it is known on. `false`: it is not, or does not stand near its first
    /// place; [`Fdb::learn`] has to follow.
    #[must_use]
    #[inline]
    pub fn refresh(self, mac: MacKey, member: MemberId, now_s: u32) -> bool {
        let wanted = entry_of(mac, member);
        let place = self.near(mac).find(|place| place.entry.load(Relaxed) == wanted);
        place.inspect(|place| place.hear(now_s)).is_some()
    }
}

impl Fdb {
    /// A table with room for about `entries` addresses (rounded up to a power of two, twice the room for slack).
    /// `seed` should be random. Range of `entries`: clamped to 1..=[`MAX_ENTRIES`].
    #[must_use]
    pub fn new(entries: usize, seed: u64) -> Self {
        let count = (entries.clamp(1, MAX_ENTRIES) * 2).next_power_of_two().max(PROBE_PLACES);
        let mut places = Vec::with_capacity(count);
        xsk::ask_for_huge_pages(places.spare_capacity_mut());
        places.extend((0..count).map(|_| Place::default()));
        Self {
            places: places.into(),
            seed,
            multiplier: MULTIPLIER,
            shift: u64::BITS - count.trailing_zeros(),
            oldest_s: AtomicU32::new(0),
        }
    }

    /// What is nearly always enough of it.
    #[must_use]
    #[inline]
    pub fn view(&self) -> FdbView<'_> {
        FdbView { places: &self.places, seed: self.seed, multiplier: self.multiplier, shift: self.shift }
    }

    /// All places that an address may have.
    fn candidates(&self, mac: MacKey) -> impl Iterator<Item = &Place> {
        let (home, mask) = (self.view().home(mac), self.places.len().wrapping_sub(1));
        (0..PROBE_PLACES).filter_map(move |turn| self.places.get(home.wrapping_add(turn) & mask))
    }

    /// Member behind which `mac` lives. Nobody lives at address zero.
    #[must_use]
    pub fn lookup(&self, mac: MacKey) -> Option<MemberId> {
        let mut entries = self.candidates(mac).map(|place| place.entry.load(Relaxed));
        entries.find(|entry| entry >> MEMBER_BITS == mac.0 && mac.0 != 0).map(member_of)
    }

    /// Notes that `mac` was heard on `member` in second `now_s`. The caller has checked [`MacKey::is_station`].
    pub fn learn(&self, mac: MacKey, member: MemberId, now_s: u32) -> Learned {
        let wanted = entry_of(mac, member);
        for place in self.candidates(mac) {
            let seen = place.entry.load(Relaxed);
            if seen >> MEMBER_BITS != mac.0 {
                continue;
            }
            place.hear(now_s);
            if seen == wanted {
                return Learned::Known;
            }
            // Losing the race means that ageing removed it or another worker moved it: the next frame settles it.
            let _ = place.entry.compare_exchange(seen, wanted, Relaxed, Relaxed);
            return Learned::Moved;
        }
        self.insert(mac, wanted, now_s)
    }

    /// Puts a new address into the first vacant place.
    fn insert(&self, mac: MacKey, wanted: u64, now_s: u32) -> Learned {
        for place in self.candidates(mac) {
            if place.entry.load(Relaxed) != 0 {
                continue;
            }
            place.heard_s.store(now_s, Relaxed);
            if place.entry.compare_exchange(0, wanted, Relaxed, Relaxed).is_ok() {
                return Learned::New;
            }
        }
        Learned::Full
    }

    /// Removes entries not heard for more than `ageing_s` seconds. Main thread only. Returns how many.
    ///
    /// Looks at the table only when there may be such an entry: else an idle gateway would do little but walk through its vacant places.
    pub fn age(&self, now_s: u32, ageing_s: u32) -> usize {
        let is_old = |heard_s| now_s.saturating_sub(heard_s) > ageing_s;
        if !is_old(self.oldest_s.load(Relaxed)) {
            return 0;
        }
        let mut oldest_s = now_s;
        let removed = self.remove_if(|entry| {
            if !is_old(entry.heard_s) {
                oldest_s = oldest_s.min(entry.heard_s);
            }
            is_old(entry.heard_s)
        });
        self.oldest_s.store(oldest_s, Relaxed);
        removed
    }

    /// Removes all entries of members that `is_gone` picks. Main thread only. Returns how many.
    pub fn flush(&self, is_gone: impl Fn(MemberId) -> bool) -> usize {
        self.remove_if(|entry| is_gone(entry.member))
    }

    /// Removes the entries that `condemned` picks. Returns how many.
    fn remove_if(&self, mut condemned: impl FnMut(FdbEntry) -> bool) -> usize {
        let mut removed = 0;
        for place in &self.places {
            let seen = place.entry.load(Relaxed);
            if seen != 0 && condemned(view(seen, place)) {
                removed += usize::from(place.entry.compare_exchange(seen, 0, Relaxed, Relaxed).is_ok());
            }
        }
        removed
    }

    /// All entries, in no order.
    pub fn entries(&self) -> impl Iterator<Item = FdbEntry> {
        self.places.iter().filter_map(|place| {
            let seen = place.entry.load(Relaxed);
            (seen != 0).then(|| view(seen, place))
        })
    }

    /// Number of places, vacant ones included.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.places.len()
    }
}

#[inline]
const fn entry_of(mac: MacKey, member: MemberId) -> u64 {
    mac.0 << MEMBER_BITS | member.0 as u64
}

#[inline]
const fn member_of(entry: u64) -> MemberId {
    MemberId((entry & 0xFFFF) as u16)
}

fn view(entry: u64, place: &Place) -> FdbEntry {
    let heard_s = place.heard_s.load(Relaxed);
    FdbEntry { mac: MacKey(entry >> MEMBER_BITS), member: member_of(entry), heard_s }
}

#[cfg(test)]
mod tests;
