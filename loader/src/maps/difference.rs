//! What has to be done to turn one set of entries into another.

use std::collections::HashMap;
use std::hash::Hash;

/// Entries to write and keys to remove.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Difference<K, V> {
    /// New entries and entries with a new value.
    pub(super) set: Vec<(K, V)>,
    /// Keys that are not wanted any more.
    pub(super) remove: Vec<K>,
}

impl<K: Copy + Eq + Hash, V: Copy + PartialEq> Difference<K, V> {
    /// From what there is to what is wanted.
    pub(super) fn between(there: &HashMap<K, V>, wanted: &HashMap<K, V>) -> Self {
        let set = wanted
            .iter()
            .filter(|(key, value)| there.get(key) != Some(value))
            .map(|(key, value)| (*key, *value))
            .collect();
        let remove = there.keys().filter(|key| !wanted.contains_key(key)).copied().collect();
        Self { set, remove }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_sets_need_nothing() {
        let entries = HashMap::from([(1, 'a'), (2, 'b')]);
        assert_eq!(Difference::between(&entries, &entries), Difference { set: vec![], remove: vec![] });
    }

    #[test]
    fn a_changed_value_is_set_and_not_removed() {
        let difference = Difference::between(&HashMap::from([(1, 'a')]), &HashMap::from([(1, 'b')]));
        assert_eq!(difference, Difference { set: vec![(1, 'b')], remove: vec![] });
    }

    proptest! {
        #[test]
        fn applying_the_difference_yields_the_wanted_set(
            there: HashMap<u8, u8>,
            wanted: HashMap<u8, u8>,
        ) {
            let mut entries = there.clone();
            let difference = Difference::between(&there, &wanted);
            // An entry that both sets hold is never absent in between.
            prop_assert!(difference.remove.iter().all(|key| !wanted.contains_key(key)));
            entries.extend(difference.set);
            difference.remove.iter().for_each(|key| { entries.remove(key); });
            prop_assert_eq!(entries, wanted);
        }
    }
}
