//! FDB: the MAC table of one bridge domain, shared by all workers.
//!
//! ```text
//!  bucket: two cache lines of 64 bytes                   entry (64 bits, written as one)
//! +-------+-------+-- ... --+-------+                   +-----------------------+--------------+
//! | entry | entry |  8 in all | entry |                 | MAC address (48 bits) | member (16)  |   0 = vacant
//! +-------+-------+-- ... --+-------+                   +-----------------------+--------------+
//! | their 8 time stamps   |  unused |
//! +-----------------------+---------+
//! ```
//! An address stands at the place that its hash names, or where that was taken, behind it in the same bucket, or in the next ones.
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

/// Entries in one bucket: as many as fill a cache line of 64 bytes.
const BUCKET_ENTRIES: usize = 8;

/// Buckets an address may stand in: its own and the next ones. Known addresses are nearly always in the first, three of four at
/// the very place that their hash names; only unknown ones cost a look at all.
const PROBE_BUCKETS: usize = 4;

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

/// Entries in the first cache line; in the second the seconds in which they were last heard.
#[derive(Debug)]
#[repr(align(64))]
struct Bucket {
    entries: [AtomicU64; BUCKET_ENTRIES],
    stamps: [AtomicU32; BUCKET_ENTRIES],
}

impl Bucket {
    fn vacant() -> Self {
        Self {
            entries: core::array::from_fn(|_| AtomicU64::new(0)),
            stamps: core::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    /// The entry whose position is the last bits of a place.
    #[inline]
    fn entry(&self, place: usize) -> &AtomicU64 {
        let [first, ..] = &self.entries;
        self.entries.get(place % BUCKET_ENTRIES).unwrap_or(first)
    }

    /// Its stamp.
    #[inline]
    fn stamp(&self, place: usize) -> &AtomicU32 {
        let [first, ..] = &self.stamps;
        self.stamps.get(place % BUCKET_ENTRIES).unwrap_or(first)
    }
}

/// The table. Fixed size: it never grows, so it never stalls a worker.
#[derive(Debug)]
pub struct Fdb {
    buckets: Box<[Bucket]>,
    /// Keeps outsiders from knowing which addresses share a bucket.
    seed: u64,
    /// Leaves as many bits of a 64-bit hash as count the places.
    shift: u32,
}

impl Fdb {
    /// A table with room for about `entries` addresses (rounded up to a power of two, twice the room for slack).
    /// `seed` should be random. Range of `entries`: clamped to 1..=[`MAX_ENTRIES`].
    #[must_use]
    pub fn new(entries: usize, seed: u64) -> Self {
        let buckets = (entries.clamp(1, MAX_ENTRIES) * 2)
            .div_ceil(BUCKET_ENTRIES)
            .next_power_of_two()
            .max(PROBE_BUCKETS);
        Self {
            buckets: (0..buckets).map(|_| Bucket::vacant()).collect(),
            seed,
            shift: u64::BITS - (buckets * BUCKET_ENTRIES).trailing_zeros(),
        }
    }

    /// First place of an address: of the table's entries one by one, so that its bucket is an eighth of it.
    #[inline]
    fn home(&self, mac: MacKey) -> usize {
        // The highest bits of the product depend on every bit of the address (Fibonacci hashing).
        let mixed = (mac.0 ^ self.seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        usize::try_from(mixed >> self.shift).unwrap_or(0)
    }

    /// The bucket that a place is in.
    #[inline]
    fn bucket(&self, place: usize) -> Option<&Bucket> {
        self.buckets.get(place / BUCKET_ENTRIES)
    }

    /// The places an address may have, with their stamps: those of its bucket from the first one on, then the next buckets'.
    fn candidates(&self, home: usize) -> impl Iterator<Item = (&AtomicU64, &AtomicU32)> {
        let mask = self.buckets.len() - 1;
        (0..PROBE_BUCKETS * BUCKET_ENTRIES).filter_map(move |turn| {
            let bucket = self.buckets.get((home / BUCKET_ENTRIES + turn / BUCKET_ENTRIES) & mask)?;
            Some((bucket.entry(home + turn), bucket.stamp(home + turn)))
        })
    }

    /// Member behind which `mac` lives. Nobody lives at address zero.
    #[must_use]
    #[inline]
    pub fn lookup(&self, mac: MacKey) -> Option<MemberId> {
        let home = self.home(mac);
        let bucket = self.bucket(home)?;
        if mac.0 != 0 {
            for turn in 0..BUCKET_ENTRIES {
                let entry = bucket.entry(home.wrapping_add(turn)).load(Relaxed);
                if entry >> MEMBER_BITS == mac.0 {
                    return Some(member_of(entry));
                }
            }
        }
        self.lookup_everywhere(mac)
    }

    /// [`Self::lookup`] in all buckets.
    #[cold]
    #[inline(never)]
    fn lookup_everywhere(&self, mac: MacKey) -> Option<MemberId> {
        let mut entries = self.candidates(self.home(mac)).map(|(entry, _)| entry.load(Relaxed));
        entries.find(|entry| entry >> MEMBER_BITS == mac.0 && mac.0 != 0).map(member_of)
    }

    /// Notes that `mac` was heard on `member` in second `now_s`. The caller has checked [`MacKey::is_station`].
    #[inline]
    pub fn learn(&self, mac: MacKey, member: MemberId, now_s: u32) -> Learned {
        let home = self.home(mac);
        let wanted = entry_of(mac, member);
        if let Some(bucket) = self.bucket(home) {
            for turn in 0..BUCKET_ENTRIES {
                let place = home.wrapping_add(turn);
                if bucket.entry(place).load(Relaxed) == wanted {
                    let stamp = bucket.stamp(place);
                    if stamp.load(Relaxed) != now_s {
                        stamp.store(now_s, Relaxed);
                    }
                    return Learned::Known;
                }
            }
        }
        self.learn_anywhere(mac, wanted, now_s)
    }

    /// [`Self::learn`] for an address that is not known on this member, or stands in another bucket.
    #[cold]
    #[inline(never)]
    fn learn_anywhere(&self, mac: MacKey, wanted: u64, now_s: u32) -> Learned {
        let home = self.home(mac);
        for (entry, stamp) in self.candidates(home) {
            let seen = entry.load(Relaxed);
            if seen >> MEMBER_BITS != mac.0 {
                continue;
            }
            if stamp.load(Relaxed) != now_s {
                stamp.store(now_s, Relaxed);
            }
            if seen == wanted {
                return Learned::Known;
            }
            // Losing the race means that ageing removed it or another worker moved it: the next frame settles it.
            let _ = entry.compare_exchange(seen, wanted, Relaxed, Relaxed);
            return Learned::Moved;
        }
        self.insert(home, wanted, now_s)
    }

    /// Puts a new address into the first vacant place.
    #[cold]
    fn insert(&self, home: usize, wanted: u64, now_s: u32) -> Learned {
        for (entry, stamp) in self.candidates(home) {
            if entry.load(Relaxed) != 0 {
                continue;
            }
            stamp.store(now_s, Relaxed);
            if entry.compare_exchange(0, wanted, Relaxed, Relaxed).is_ok() {
                return Learned::New;
            }
        }
        Learned::Full
    }

    /// Removes entries not heard for more than `ageing_s` seconds. Main thread only. Returns how many.
    pub fn age(&self, now_s: u32, ageing_s: u32) -> usize {
        self.remove_if(|entry| now_s.saturating_sub(entry.heard_s) > ageing_s)
    }

    /// Removes all entries of members that `is_gone` picks. Main thread only. Returns how many.
    pub fn flush(&self, is_gone: impl Fn(MemberId) -> bool) -> usize {
        self.remove_if(|entry| is_gone(entry.member))
    }

    /// Removes the entries that `condemned` picks. Returns how many.
    fn remove_if(&self, condemned: impl Fn(FdbEntry) -> bool) -> usize {
        let mut removed = 0;
        for (entry, stamp) in self.slots() {
            let seen = entry.load(Relaxed);
            if seen != 0 && condemned(view(seen, stamp)) {
                removed += usize::from(entry.compare_exchange(seen, 0, Relaxed, Relaxed).is_ok());
            }
        }
        removed
    }

    /// All entries, in no order.
    pub fn entries(&self) -> impl Iterator<Item = FdbEntry> {
        self.slots().filter_map(|(entry, stamp)| {
            let seen = entry.load(Relaxed);
            (seen != 0).then(|| view(seen, stamp))
        })
    }

    /// Number of places, vacant ones included.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buckets.len() * BUCKET_ENTRIES
    }

    fn slots(&self) -> impl Iterator<Item = (&AtomicU64, &AtomicU32)> {
        self.buckets.iter().flat_map(|bucket| bucket.entries.iter().zip(&bucket.stamps))
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

fn view(entry: u64, stamp: &AtomicU32) -> FdbEntry {
    FdbEntry { mac: MacKey(entry >> MEMBER_BITS), member: member_of(entry), heard_s: stamp.load(Relaxed) }
}

#[cfg(test)]
mod tests;
