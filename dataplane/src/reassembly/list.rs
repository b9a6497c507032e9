//! Lists of table positions, oldest first, in arrays of fixed size: add at the end and take out anywhere, each in constant time.
//!
//! A position stands in at most one list of the same [`Links`].

/// No position: a table has fewer.
const NONE: u16 = u16::MAX;

/// Both ends of one list.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    first: u16,
    last: u16,
}

/// What stands before and after a position in its list.
#[derive(Clone, Copy, Debug)]
struct Neighbours {
    before: u16,
    after: u16,
}

/// The neighbours of every position of a table.
#[derive(Debug)]
pub(super) struct Links(Box<[Neighbours]>);

impl List {
    /// A list of nothing.
    pub(super) const EMPTY: Self = Self { first: NONE, last: NONE };

    /// The position that was added first.
    #[inline]
    pub(super) fn first(&self) -> Option<u16> {
        (self.first != NONE).then_some(self.first)
    }
}

impl Links {
    /// Links for the positions `0..count`. Range: up to 65535.
    pub(super) fn new(count: usize) -> Self {
        Self(vec![Neighbours { before: NONE, after: NONE }; count].into())
    }

    /// Adds a position that is in no list.
    #[inline]
    pub(super) fn push(&mut self, list: &mut List, position: u16) {
        self.set(position, Neighbours { before: list.last, after: NONE });
        self.change(list.last, |last| last.after = position);
        if list.first == NONE {
            list.first = position;
        }
        list.last = position;
    }

    /// Takes a position out of its list.
    #[inline]
    pub(super) fn remove(&mut self, list: &mut List, position: u16) {
        let Some(&Neighbours { before, after }) = self.0.get(usize::from(position)) else { return };
        self.change(before, |neighbour| neighbour.after = after);
        self.change(after, |neighbour| neighbour.before = before);
        if list.first == position {
            list.first = after;
        }
        if list.last == position {
            list.last = before;
        }
    }

    /// Takes the first position out.
    #[inline]
    pub(super) fn pop(&mut self, list: &mut List) -> Option<u16> {
        let first = list.first()?;
        self.remove(list, first);
        Some(first)
    }

    /// The positions of a list, oldest first.
    pub(super) fn iter(&self, list: &List) -> impl Iterator<Item = u16> {
        let after = |at: &u16| Some(self.0.get(usize::from(*at))?.after).filter(|after| *after != NONE);
        core::iter::successors(list.first(), after)
    }

    #[inline]
    fn set(&mut self, position: u16, neighbours: Neighbours) {
        self.change(position, |slot| *slot = neighbours);
    }

    #[inline]
    fn change(&mut self, position: u16, change: impl FnOnce(&mut Neighbours)) {
        if let Some(neighbours) = self.0.get_mut(usize::from(position)) {
            change(neighbours);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn two_lists_hold_what_two_vectors_hold(steps in proptest::collection::vec((0u16..20, any::<bool>()), 0..200)) {
            let mut links = Links::new(20);
            let (mut lists, mut model) = ([List::EMPTY; 2], [Vec::new(), Vec::new()]);
            for (position, into_second) in steps {
                match model.iter().position(|list: &Vec<u16>| list.contains(&position)) {
                    Some(holder) => {
                        links.remove(&mut lists[holder], position);
                        model[holder].retain(|held| *held != position);
                    }
                    None => {
                        links.push(&mut lists[usize::from(into_second)], position);
                        model[usize::from(into_second)].push(position);
                    }
                }
                prop_assert_eq!(lists.map(|list| list.first()), [0, 1].map(|n: usize| model[n].first().copied()));
                prop_assert_eq!(lists.map(|list| links.iter(&list).collect::<Vec<_>>()), model.clone());
            }
            for (list, model) in lists.iter_mut().zip(&model) {
                let popped: Vec<u16> = std::iter::from_fn(|| links.pop(list)).collect();
                prop_assert_eq!(&popped, model);
            }
        }
    }
}
