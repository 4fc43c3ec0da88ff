//! A table with keys that are never used again.

use alloc::collections::VecDeque;

/// How many entries are looked through without further ado: below, gaps cost nothing worth closing them.
const FEW: usize = 16;

/// Values under keys that come in ascending order, or nearly so.
///
/// A value is found by a binary search. One that goes leaves a gap, and when more than half of the table are gaps they are
/// closed: adding, removing and a step of [`iter`](Self::iter) cost the same on average, however many there are, and the
/// first value is always at hand. A key that is smaller than others costs a step for each of those, or of the rest.
#[derive(Debug)]
pub(crate) struct Ascending<V> {
    /// Invariant: the first and the last have a value.
    entries: VecDeque<(u64, Option<V>)>,
    /// How many have none.
    gaps: usize,
}

impl<V> Default for Ascending<V> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), gaps: 0 }
    }
}

impl<V> Ascending<V> {
    /// Keeps `value` under `key`, in the place of one that is there.
    pub(crate) fn insert(&mut self, key: u64, value: V) {
        if self.entries.back().is_none_or(|last| last.0 < key) {
            self.entries.push_back((key, Some(value)));
            return;
        }
        match self.entries.binary_search_by_key(&key, |entry| entry.0) {
            Ok(at) => {
                if let Some(entry) = self.entries.get_mut(at) {
                    self.gaps -= usize::from(entry.1.is_none());
                    entry.1 = Some(value);
                }
            }
            Err(at) => {
                #[cfg(test)]
                super::steps::add(self.entries.len() - at);
                self.entries.insert(at, (key, Some(value)));
            }
        }
    }

    /// A key that is larger than all that are in use.
    pub(crate) fn next_key(&self) -> u64 {
        self.entries.back().map_or(0, |last| last.0 + 1)
    }

    /// The value of `key`.
    pub(crate) fn get(&self, key: u64) -> Option<&V> {
        #[cfg(test)]
        super::steps::add(1);
        let at = self.entries.binary_search_by_key(&key, |entry| entry.0).ok()?;
        self.entries.get(at)?.1.as_ref()
    }

    /// The value of `key`, to change.
    #[cfg(feature = "client")]
    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        #[cfg(test)]
        super::steps::add(1);
        let at = self.entries.binary_search_by_key(&key, |entry| entry.0).ok()?;
        self.entries.get_mut(at)?.1.as_mut()
    }

    /// Takes out the value of `key`.
    pub(crate) fn remove(&mut self, key: u64) -> Option<V> {
        let at = self.entries.binary_search_by_key(&key, |entry| entry.0).ok()?;
        let value = self.entries.get_mut(at)?.1.take()?;
        self.gaps += 1;
        while self.entries.front().is_some_and(|entry| entry.1.is_none()) {
            self.entries.pop_front();
            self.gaps -= 1;
        }
        while self.entries.back().is_some_and(|entry| entry.1.is_none()) {
            self.entries.pop_back();
            self.gaps -= 1;
        }
        if self.gaps > FEW && self.gaps * 2 > self.entries.len() {
            #[cfg(test)]
            super::steps::add(self.entries.len());
            self.entries.retain(|entry| entry.1.is_some());
            self.gaps = 0;
        }
        Some(value)
    }

    /// The first of all, and its key.
    pub(crate) fn first(&self) -> Option<(u64, V)>
    where
        V: Copy,
    {
        self.entries.front().and_then(|(key, value)| Some((*key, (*value)?)))
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.gaps
    }

    /// The values from `key` on, in the order of their keys.
    pub(crate) fn iter_from(&self, key: u64) -> impl Iterator<Item = (u64, &V)> {
        let from = self.entries.partition_point(|entry| entry.0 < key);
        self.entries.range(from..).filter_map(|(key, value)| {
            #[cfg(test)]
            super::steps::add(1);
            Some((*key, value.as_ref()?))
        })
    }

    /// All values, in the order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        self.iter_from(0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::slab::steps;

    /// Beside a map that is right for certain. `n` draws what is done.
    #[test]
    fn it_has_what_was_kept_and_not_removed_in_the_order_of_keys() {
        let (mut table, mut model) = (Ascending::default(), BTreeMap::new());
        let (mut n, mut last, mut most) = (1_u64, 0_u64, 0);
        for step in 0..40_000_u64 {
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let drawn = n >> 33;
            // More and more for a while, then less and less; every tenth key is out of order, or was used before.
            let key = if drawn % 10 == 0 { last.saturating_sub(drawn / 10 % 20) } else { last + 3 };
            if drawn % 100 < if step / 2_000 % 2 == 0 { 80 } else { 20 } {
                last = last.max(key);
                model.insert(key, step);
                table.insert(key, step);
            } else {
                let key = model.keys().copied().nth(drawn as usize % model.len().max(1)).unwrap_or(key);
                assert_eq!(table.remove(key), model.remove(&key));
                assert_eq!((table.remove(key), table.get(key)), (None, None));
            }
            assert_eq!((table.get(key), table.len()), (model.get(&key), model.len()));
            assert!(table.entries.len() <= (2 * table.len()).max(table.len() + FEW) + 1);
            assert!(model.keys().last().is_none_or(|last| *last < table.next_key()));
            most = most.max(table.len());
            if step % 100 == 0 {
                assert!(table.iter().eq(model.iter().map(|(key, value)| (*key, value))), "{step}");
                assert!(
                    table.iter_from(key).eq(model.range(key..).map(|(key, value)| (*key, value))),
                    "{step}"
                );
                let steps = steps::of(|| assert_eq!(table.iter().count(), table.len()));
                assert!(steps <= (2 * table.len()).max(table.len() + FEW) + 1, "{steps}");
            }
        }
        assert!(most > 500, "{most}");
    }

    #[test]
    fn to_add_and_to_remove_costs_a_few_steps_for_each_in_whatever_order() {
        const MANY: u64 = 10_000;
        // By turns from both ends, and all over the place.
        let orders: [fn(u64) -> u64; 4] = [
            |n| n,
            |n| MANY - 1 - n,
            |n| if n % 2 == 0 { n / 2 } else { MANY - 1 - n / 2 },
            |n| n * 7_919 % MANY,
        ];
        for order in orders {
            let mut table = Ascending::default();
            let steps = steps::of(|| {
                (0..MANY).for_each(|key| table.insert(key, ()));
                (0..MANY).for_each(|n| assert_eq!(table.remove(order(n)), Some(())));
            });
            assert!(steps < 3 * 10_000 && table.len() == 0, "{steps}");
        }
    }
}
