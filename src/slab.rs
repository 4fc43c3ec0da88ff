//! A table with small reusable keys, and one whose keys are never used again.

#[cfg(feature = "v1")]
mod ascending;

use alloc::vec::Vec;

#[cfg(feature = "v1")]
pub(crate) use self::ascending::Ascending;

/// Values under keys that are reused as soon as they are free. All operations are O(1).
#[derive(Debug)]
pub(crate) struct Slab<V> {
    entries: Vec<Entry<V>>,
    /// The key of the first free entry; each free entry names the next.
    free: u32,
}

#[derive(Debug)]
enum Entry<V> {
    Free(u32),
    Used(V),
}

/// No free entry. A slab of that many entries does not fit into any memory.
const NONE: u32 = u32::MAX;

impl<V> Default for Slab<V> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: NONE }
    }
}

impl<V> Slab<V> {
    /// Keeps `value` and returns its key.
    pub(crate) fn insert(&mut self, value: V) -> u32 {
        let key = self.free;
        if let Some(entry) = self.entries.get_mut(key as usize)
            && let Entry::Free(next) = *entry
        {
            self.free = next;
            *entry = Entry::Used(value);
            return key;
        }
        self.entries.push(Entry::Used(value));
        u32::try_from(self.entries.len() - 1).expect("a slab has less than 2^32 entries: each takes 8 bytes")
    }

    /// The value of `key`.
    #[cfg_attr(
        not(any(feature = "sim", target_family = "wasm")),
        allow(dead_code, reason = "only host values are looked at")
    )]
    pub(crate) fn get(&self, key: u32) -> Option<&V> {
        #[cfg(test)]
        steps::add(1);
        match self.entries.get(key as usize) {
            Some(Entry::Used(value)) => Some(value),
            _ => None,
        }
    }

    /// The value of `key`, to change.
    pub(crate) fn get_mut(&mut self, key: u32) -> Option<&mut V> {
        #[cfg(test)]
        steps::add(1);
        match self.entries.get_mut(key as usize) {
            Some(Entry::Used(value)) => Some(value),
            _ => None,
        }
    }

    /// Takes out the value of `key`, which becomes free. The memory is kept for the next.
    pub(crate) fn remove(&mut self, key: u32) -> Option<V> {
        let entry = self.entries.get_mut(key as usize)?;
        if matches!(entry, Entry::Free(_)) {
            return None;
        }
        let Entry::Used(value) = core::mem::replace(entry, Entry::Free(self.free)) else { return None };
        self.free = key;
        Some(value)
    }

    /// All values, in the order of their keys.
    #[cfg(all(feature = "native", not(all(target_family = "wasm", target_os = "unknown"))))]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &V> {
        self.entries.iter().filter_map(|entry| match entry {
            Entry::Used(value) => Some(value),
            Entry::Free(_) => None,
        })
    }

    /// How many values there are; counted now.
    pub(crate) fn count(&self) -> usize {
        self.entries.iter().filter(|entry| matches!(entry, Entry::Used(_))).count()
    }

    /// Puts `value` in the place of the one of `key`, if there is one.
    #[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "only host values are replaced"))]
    pub(crate) fn replace(&mut self, key: u32, value: V) {
        if let Some(old) = self.get_mut(key) {
            *old = value;
        }
    }
}

/// How many entries were looked at, of all tables of this thread: for tests of what something costs.
#[cfg(test)]
pub(crate) mod steps {
    use core::cell::Cell;

    std::thread_local! {
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }

    pub(crate) fn add(more: usize) {
        COUNT.with(|count| count.set(count.get() + more));
    }

    /// How many `call` looks at.
    #[cfg(feature = "v1")]
    pub(crate) fn of<R>(call: impl FnOnce() -> R) -> usize {
        let before = COUNT.with(Cell::get);
        call();
        COUNT.with(Cell::get) - before
    }
}

#[cfg(test)]
mod tests {
    use super::Slab;

    #[test]
    fn keys_are_reused_and_stale_ones_find_nothing() {
        let mut slab = Slab::default();
        let keys = [slab.insert("a"), slab.insert("b"), slab.insert("c")];
        assert_eq!(keys, [0, 1, 2]);
        assert_eq!(slab.remove(1), Some("b"));
        assert_eq!(slab.remove(1), None);
        assert_eq!(slab.get(1), None);
        assert_eq!(slab.remove(0), Some("a"));
        assert_eq!((slab.insert("d"), slab.insert("e"), slab.insert("f")), (0, 1, 3));
        slab.replace(2, "g");
        slab.replace(9, "h");
        assert_eq!(slab.count(), 4);
        assert_eq!((slab.get(2), slab.get(9)), (Some(&"g"), None));
    }
}
