//! Deadlines of queued messages: a hierarchical timing wheel, so that each costs the same however
//! many there are.
//!
//! Most messages leave before their deadline. What is forgotten stays in the list of its slot until it comes first or
//! half of all are forgotten: taking it out would touch itself and both its neighbours, which in a long queue lie
//! anywhere in memory. So a deadline counts as long as its message knows its number.

use super::store::{NONE, Store};
use crate::time::Timestamp;
use alloc::vec;
use alloc::vec::Vec;

/// Slots of one level, as bits of a word.
const SLOTS: u32 = 64;
const SLOT_BITS: u32 = 6;
/// Six levels of 64 slots reach 2^36 ms: 2 years. What is due later is looked at again then.
const LEVELS: u32 = 6;

/// How many may be forgotten beside as many as are not.
const KEPT: usize = 512;

/// One deadline, in the list of its slot.
#[derive(Clone, Copy, Debug)]
struct Entry {
    due: Timestamp,
    node: u32,
    next: u32,
}

/// Deadlines by number, and the messages that they belong to.
///
/// A slot of level `l` spans 64^l milliseconds. An entry stands in the lowest level at which its
/// moment and the present one differ, and goes down a level when its slot begins. The first entry of the first slot is
/// not a forgotten one.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// The wheel's present moment, in milliseconds; entries before it are due.
    now: u64,
    /// The first entry of each slot. Allocated with the first deadline.
    slots: Vec<u32>,
    /// Which slots of each level have entries.
    occupied: [u64; LEVELS as usize],
    entries: Vec<Entry>,
    /// How many of them are not forgotten.
    used: usize,
}

impl Deadlines {
    pub(super) const fn new() -> Self {
        Self { now: 0, slots: Vec::new(), occupied: [0; LEVELS as usize], entries: Vec::new(), used: 0 }
    }

    /// Notes the deadline of the message at `node`, and gives its number, which the message is to keep.
    pub(super) fn insert(&mut self, node: u32, due: Timestamp) -> u32 {
        if self.slots.is_empty() {
            self.slots = vec![NONE; (SLOTS * LEVELS) as usize];
        }
        let key = self.entries.len() as u32;
        self.entries.push(Entry { due, node, next: NONE });
        self.used += 1;
        self.link(key);
        key
    }

    /// A message has forgotten its deadline. Others may have another number now.
    pub(super) fn forget(&mut self, store: &mut Store) {
        self.used -= 1;
        self.front(store);
        if self.used == 0 {
            // No slot has an entry any more, and soon the store may not have their places either.
            self.entries.clear();
            // What a burst has needed is given back after it.
            self.entries.shrink_to(KEPT);
        } else if self.entries.len() > 2 * self.used + KEPT {
            self.sweep(store);
        }
    }

    /// When to call [`expire`](Self::expire) next: at the earliest deadline, or before it.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.next_slot().map(|(_, _, at)| Timestamp::from_micros(at.max(self.now) * 1000))
    }

    /// A message whose deadline has passed; it keeps its number until it forgets it.
    pub(super) fn expire(&mut self, store: &Store, now: Timestamp) -> Option<u32> {
        let now = now.as_micros() / 1000;
        while let Some((slot, at, mut key)) = self.front(store).filter(|front| front.1 <= now) {
            self.now = self.now.max(at);
            if slot < SLOTS {
                return Some(self.entry(key).node);
            }
            // All of it goes down, since what is found below is taken for the earliest.
            self.set_first(slot, NONE);
            while key != NONE {
                let next = self.entry(key).next;
                self.link(key);
                key = next;
            }
        }
        self.now = self.now.max(now);
        None
    }

    /// Number of the slot that begins first, when, and its first entry. What is forgotten before that one is taken
    /// out, or it would wake the driver.
    fn front(&mut self, store: &Store) -> Option<(u32, u64, u32)> {
        loop {
            let (slot, key, at) = self.next_slot()?;
            if self.counts(store, key) {
                return Some((slot, at, key));
            }
            let next = self.entry(key).next;
            self.set_first(slot, next);
        }
    }

    /// As [`front`](Self::front), whatever the entry is.
    fn next_slot(&self) -> Option<(u32, u32, u64)> {
        (0..LEVELS).zip(&self.occupied).find(|(_, slots)| **slots != 0).map(|(level, slots)| {
            let shift = level * SLOT_BITS;
            let present = (self.now >> shift) as u32 % SLOTS;
            let ahead = slots.rotate_right(present).trailing_zeros();
            let at = ((self.now >> shift) + u64::from(ahead)) << shift;
            let slot = level * SLOTS + (present + ahead) % SLOTS;
            (slot, self.first(slot), at)
        })
    }

    fn link(&mut self, key: u32) {
        // Rounded up: an entry is due when all of its millisecond has passed.
        let due = self.entry(key).due.as_micros().div_ceil(1000).max(self.now);
        let level = (((self.now ^ due) | 1).ilog2() / SLOT_BITS).min(LEVELS - 1);
        // Further away than the wheel reaches: as far as it does.
        let due = due.min(self.now + (1 << (SLOT_BITS * LEVELS)) - (1 << (SLOT_BITS * (LEVELS - 1))));
        let slot = level * SLOTS + (due >> (level * SLOT_BITS)) as u32 % SLOTS;
        self.entry(key).next = self.first(slot);
        self.set_first(slot, key);
    }

    /// Takes out all that is forgotten. It costs as much as there are entries, of which half were forgotten since the
    /// last time.
    fn sweep(&mut self, store: &mut Store) {
        self.slots.fill(NONE);
        self.occupied = [0; LEVELS as usize];
        let mut kept = 0;
        for key in 0..self.entries.len() as u32 {
            let entry = *self.entry(key);
            let node = store.node_mut(entry.node);
            if node.deadline == key {
                node.deadline = kept;
                *self.entry(kept) = entry;
                self.link(kept);
                kept += 1;
            }
        }
        self.entries.truncate(kept as usize);
    }

    /// Whether it is the deadline of a queued message.
    fn counts(&mut self, store: &Store, key: u32) -> bool {
        store.node(self.entry(key).node).deadline == key
    }

    fn first(&self, slot: u32) -> u32 {
        self.slots.get(slot as usize).copied().unwrap_or(NONE)
    }

    fn set_first(&mut self, slot: u32, key: u32) {
        let (level, bit) = (slot / SLOTS, 1 << (slot % SLOTS));
        if let Some(first) = self.slots.get_mut(slot as usize)
            && let Some(slots) = self.occupied.get_mut(level as usize)
        {
            *first = key;
            *slots = if key == NONE { *slots & !bit } else { *slots | bit };
        }
    }

    fn entry(&mut self, key: u32) -> &mut Entry {
        self.entries.get_mut(key as usize).expect("a number that was given and not removed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::payload::Payload;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    /// Deadlines, and messages that have nothing else.
    struct Wheel {
        deadlines: Deadlines,
        store: Store,
    }

    impl Wheel {
        fn new() -> Self {
            Self { deadlines: Deadlines::new(), store: Store::new() }
        }

        /// Queues a message that is due at `due`.
        fn insert(&mut self, due: u64) -> u32 {
            let node = self.store.insert(Payload::Binary(Vec::new()), None, 0);
            self.store.node_mut(node).deadline = self.deadlines.insert(node, at(due));
            node
        }

        fn remove(&mut self, node: u32) {
            self.store.node_mut(node).deadline = NONE;
            self.deadlines.forget(&mut self.store);
            self.store.remove(node);
        }

        /// Everything that is due by `now`, in order.
        fn expire(&mut self, now: u64) -> Vec<u32> {
            core::iter::from_fn(|| {
                let node = self.deadlines.expire(&self.store, at(now))?;
                self.remove(node);
                Some(node)
            })
            .collect()
        }
    }

    #[test]
    fn each_comes_at_its_millisecond_on_every_level() {
        let mut wheel = Wheel::new();
        let dues: Vec<u64> = (0..36).map(|bit| (1_u64 << bit) + 5).collect();
        let nodes: Vec<u32> = dues.iter().map(|due| wheel.insert(*due)).collect();
        for (node, due) in nodes.iter().zip(&dues) {
            assert_eq!(wheel.expire(due - 1), Vec::<u32>::new());
            assert!(wheel.deadlines.next().is_some_and(|next| next <= at(*due)));
            assert_eq!(wheel.expire(*due), [*node]);
        }
        assert_eq!(wheel.deadlines.next(), None);
    }

    #[test]
    fn a_jump_over_all_of_them_gives_all() {
        let mut wheel = Wheel::new();
        let mut nodes: Vec<u32> = (0..1000).map(|index| wheel.insert(index * 977 % 100_000)).collect();
        let mut all = wheel.expire(1 << 40);
        all.sort_unstable();
        nodes.sort_unstable();
        assert_eq!(all, nodes);
        // The wheel goes on from where it was turned to.
        let node = wheel.insert((1 << 40) + 3);
        assert_eq!(wheel.expire((1 << 40) + 2), Vec::<u32>::new());
        assert_eq!(wheel.expire((1 << 40) + 3), [node]);
    }

    #[test]
    fn what_is_beyond_its_reach_is_not_early() {
        let mut wheel = Wheel::new();
        let node = wheel.insert(1 << 40);
        assert_eq!(wheel.expire((1 << 40) - 1), Vec::<u32>::new());
        assert_eq!(wheel.expire(1 << 40), [node]);
        assert_eq!(wheel.deadlines.next(), None);
    }

    #[test]
    fn random_ones_agree_with_a_sorted_list() {
        let mut seed = 7_u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        let mut wheel = Wheel::new();
        let mut open: Vec<(u64, u32)> = Vec::new();
        let mut now = 0;
        for _ in 0..20_000 {
            match random() % 4 {
                0 | 1 => {
                    let due = now + (random() % (1 << (random() % 24)));
                    open.push((due, wheel.insert(due)));
                }
                2 if !open.is_empty() => {
                    let (_, node) = open.swap_remove(random() as usize % open.len());
                    wheel.remove(node);
                }
                _ => {
                    now += random() % (1 << (random() % 20));
                    let mut expired = Vec::new();
                    for node in wheel.expire(now) {
                        let index = open.iter().position(|entry| entry.1 == node).expect("is open");
                        expired.push(open.swap_remove(index).0);
                    }
                    assert!(expired.iter().all(|due| *due <= now), "never early");
                    assert!(open.iter().all(|entry| entry.0 > now), "never late");
                    assert!(expired.is_sorted(), "in the order of their moments");
                    let earliest = open.iter().map(|entry| at(entry.0)).min();
                    let next = wheel.deadlines.next();
                    assert!(next <= earliest && next.is_some() == earliest.is_some());
                }
            }
        }
    }

    #[test]
    fn what_is_forgotten_is_not_looked_for_in_a_store_that_was_given_back() {
        let mut wheel = Wheel::new();
        // So long a queue that its places are given back, of which few of the last have a deadline.
        let plain = |store: &mut Store| store.insert(Payload::Binary(Vec::new()), None, 0);
        for round in 0..20 {
            let without: Vec<u32> = (0..900).map(|_| plain(&mut wheel.store)).collect();
            let with: Vec<u32> = (0..80).map(|due| wheel.insert(10 + due)).collect();
            for node in without {
                wheel.store.remove(node);
            }
            for node in with {
                wheel.remove(node);
            }
            assert!(wheel.deadlines.entries.is_empty());
            let shorter: Vec<u32> = (0..500 + round).map(|due| wheel.insert(10 + due)).collect();
            for node in shorter {
                wheel.remove(node);
            }
            assert_eq!(wheel.deadlines.next(), None);
        }
    }

    #[test]
    fn what_is_forgotten_wakes_nobody_and_is_given_back() {
        let mut wheel = Wheel::new();
        let mut nodes: Vec<u32> = (1..=10_000).map(|due| wheel.insert(due)).collect();
        // From both ends, down to one.
        for left in 1..10_000 {
            let node = if left % 2 == 0 { nodes.remove(0) } else { nodes.pop().unwrap() };
            wheel.remove(node);
            assert!(wheel.deadlines.entries.len() <= 2 * wheel.deadlines.used + KEPT);
        }
        let next = wheel.deadlines.next().unwrap();
        assert!(at(4_000) < next && next <= at(5_001), "{next:?}");
        // Those that come and go meanwhile take no room for good.
        for round in 0..100_000 {
            let node = wheel.insert(5_000 + round % 977);
            wheel.remove(node);
        }
        assert!(wheel.deadlines.entries.len() <= 2 + KEPT);
        assert!(wheel.deadlines.next().is_some());
        wheel.remove(nodes[0]);
        assert_eq!(wheel.deadlines.next(), None);
    }
}
