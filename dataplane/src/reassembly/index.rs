//! Index: finds a table position by a hash, through chains in arrays of fixed size.
//!
//! The hashes are made with a number that outsiders do not know ([`Secret`]), so nobody can choose identifications that all
//! fall into one chain.

/// End of a chain: a table has fewer positions.
const NONE: u16 = u16::MAX;

/// Positions by hash.
#[derive(Debug)]
pub(super) struct Index {
    heads: Box<[u16]>,
    /// By position: the next one in its chain.
    next: Box<[u16]>,
}

/// A number that outsiders cannot guess, to make hashes with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Secret(u64);

impl Secret {
    /// Another one each time: the standard library's hash keys are random per process.
    pub(super) fn new() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self(RandomState::new().hash_one(0u8))
    }

    /// Mixes two words and the secret, so that each bit of them changes about half of the result's.
    #[inline]
    pub(super) fn mix(self, one: u64, other: u64) -> u64 {
        let product = u128::from(one ^ self.0) * u128::from(other ^ 0x9E37_79B9_7F4A_7C15);
        let [a, b, c, d, e, f, g, h, low @ ..] = product.to_be_bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) ^ u64::from_be_bytes(low)
    }

    /// The same of an address and one word more.
    #[inline]
    pub(super) fn mix_address(self, address: u128, other: u64) -> u64 {
        let [a, b, c, d, e, f, g, h, low @ ..] = address.to_be_bytes();
        let high = self.mix(u64::from_be_bytes([a, b, c, d, e, f, g, h]), other);
        self.mix(high, u64::from_be_bytes(low))
    }
}

impl Index {
    /// An index of the positions `0..count`. Range: up to 65535.
    pub(super) fn new(count: usize) -> Self {
        Self { heads: vec![NONE; (count * 2).next_power_of_two()].into(), next: vec![NONE; count].into() }
    }

    /// The position with this hash that `is_meant`.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_meant: impl Fn(u16) -> bool) -> Option<u16> {
        let mut at = *self.heads.get(self.bucket(hash))?;
        // Ends: a chain names a position once, and NONE is beyond every array.
        while let Some(&next) = self.next.get(usize::from(at)) {
            if is_meant(at) {
                return Some(at);
            }
            at = next;
        }
        None
    }

    /// Adds a position that is not in the index.
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, position: u16) {
        let bucket = self.bucket(hash);
        if let (Some(head), Some(next)) =
            (self.heads.get_mut(bucket), self.next.get_mut(usize::from(position)))
        {
            *next = core::mem::replace(head, position);
        }
    }

    /// Takes out a position that was added with this hash.
    #[inline]
    pub(super) fn remove(&mut self, hash: u64, position: u16) {
        let Some(&after) = self.next.get(usize::from(position)) else { return };
        let bucket = self.bucket(hash);
        let Some(head) = self.heads.get_mut(bucket) else { return };
        if *head == position {
            *head = after;
            return;
        }
        let mut at = *head;
        while let Some(next) = self.next.get_mut(usize::from(at)) {
            if *next == position {
                *next = after;
                return;
            }
            at = *next;
        }
    }

    #[inline]
    fn bucket(&self, hash: u64) -> usize {
        // The upper half: the product mixes it best.
        usize::try_from(hash >> 32).unwrap_or(0) & (self.heads.len().wrapping_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn finds_what_a_map_finds_even_when_all_hashes_collide(
            steps in proptest::collection::vec((0u16..16, 0u64..3), 0..200)
        ) {
            let mut index = Index::new(16);
            let mut model: HashMap<u16, u64> = HashMap::new();
            for (position, hash) in steps {
                match model.remove(&position) {
                    Some(hash) => index.remove(hash << 32, position),
                    None => {
                        index.insert(hash << 32, position);
                        model.insert(position, hash);
                    }
                }
                for position in 0..16 {
                    for hash in 0..3u64 {
                        let found = index.find(hash << 32, |candidate| candidate == position);
                        prop_assert_eq!(found, (model.get(&position) == Some(&hash)).then_some(position));
                    }
                }
            }
        }
    }

    #[test]
    fn secrets_differ_and_so_do_their_hashes() {
        let [one, other] = [Secret::new(), Secret::new()];
        assert_ne!(one.mix_address(1, 2), other.mix_address(1, 2));
        assert_ne!(one.mix_address(1, 2), one.mix_address(2, 1));
    }
}
