//! Deadlines of queued messages: a hierarchical timing wheel, so that each costs the same however
//! many there are.

use super::store::NONE;
use crate::time::Timestamp;
use alloc::vec;
use alloc::vec::Vec;

/// Slots of one level, as bits of a word.
const SLOTS: u32 = 64;
const SLOT_BITS: u32 = 6;
/// Six levels of 64 slots reach 2^36 ms: 2 years. What is due later is looked at again then.
const LEVELS: u32 = 6;

/// How many places stay when no deadline is left.
const KEPT: usize = 512;

/// One deadline, in the list of its slot.
#[derive(Debug)]
struct Entry {
    node: u32,
    due: Timestamp,
    next: u32,
    prev: u32,
    slot: u32,
}

/// Deadlines by number, and the messages that they belong to.
///
/// A slot of level `l` spans 64^l milliseconds. An entry stands in the lowest level at which its
/// moment and the present one differ, and goes down a level when its slot begins.
#[derive(Debug)]
pub(super) struct Deadlines {
    /// The wheel's present moment, in milliseconds; entries before it are due.
    now: u64,
    /// The first entry of each slot. Allocated with the first deadline.
    slots: Vec<u32>,
    /// Which slots of each level have entries.
    occupied: [u64; LEVELS as usize],
    entries: Vec<Entry>,
    free: u32,
    /// How many of the places are taken.
    used: usize,
}

impl Deadlines {
    pub(super) const fn new() -> Self {
        Self {
            now: 0,
            slots: Vec::new(),
            occupied: [0; LEVELS as usize],
            entries: Vec::new(),
            free: NONE,
            used: 0,
        }
    }

    /// Notes the deadline of the message at `node`, and gives the number by which it is removed.
    pub(super) fn insert(&mut self, node: u32, due: Timestamp) -> u32 {
        if self.slots.is_empty() {
            self.slots = vec![NONE; (SLOTS * LEVELS) as usize];
        }
        let entry = Entry { node, due, next: NONE, prev: NONE, slot: 0 };
        let mut key = self.free;
        if let Some(place) = self.entries.get_mut(key as usize) {
            self.free = place.next;
            *place = entry;
        } else {
            key = self.entries.len() as u32;
            self.entries.push(entry);
        }
        self.used += 1;
        self.link(key);
        key
    }

    /// Forgets a deadline.
    pub(super) fn remove(&mut self, key: u32) {
        self.unlink(key);
        self.entry(key).next = core::mem::replace(&mut self.free, key);
        self.used -= 1;
        if self.used == 0 && self.entries.len() > KEPT {
            // What a burst has needed is given back after it.
            (self.entries, self.free) = (Vec::new(), NONE);
        }
    }

    /// When to call [`expire`](Self::expire) next: at the earliest deadline, or before it.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.next_slot().map(|(_, _, at)| Timestamp::from_micros(at.max(self.now) * 1000))
    }

    /// A message whose deadline has passed; it keeps its number until it is removed.
    pub(super) fn expire(&mut self, now: Timestamp) -> Option<u32> {
        let now = now.as_micros() / 1000;
        while let Some((level, slot, at)) = self.next_slot().filter(|next| next.2 <= now) {
            self.now = self.now.max(at);
            let mut key = self.slots.get(slot as usize).copied().unwrap_or(NONE);
            if level == 0 {
                return Some(self.entry(key).node);
            }
            // All of it goes down, since what is found below is taken for the earliest.
            while key != NONE {
                let next = self.entry(key).next;
                self.unlink(key);
                self.link(key);
                key = next;
            }
        }
        self.now = self.now.max(now);
        None
    }

    /// Level and number of the slot that begins first, and when.
    fn next_slot(&self) -> Option<(u32, u32, u64)> {
        (0..LEVELS).zip(&self.occupied).find(|(_, slots)| **slots != 0).map(|(level, slots)| {
            let shift = level * SLOT_BITS;
            let present = (self.now >> shift) as u32 % SLOTS;
            let ahead = slots.rotate_right(present).trailing_zeros();
            let at = ((self.now >> shift) + u64::from(ahead)) << shift;
            (level, level * SLOTS + (present + ahead) % SLOTS, at)
        })
    }

    fn link(&mut self, key: u32) {
        // Rounded up: an entry is due when all of its millisecond has passed.
        let due = self.entry(key).due.as_micros().div_ceil(1000).max(self.now);
        let level = (((self.now ^ due) | 1).ilog2() / SLOT_BITS).min(LEVELS - 1);
        // Further away than the wheel reaches: as far as it does.
        let due = due.min(self.now + (1 << (SLOT_BITS * LEVELS)) - (1 << (SLOT_BITS * (LEVELS - 1))));
        let bit = (due >> (level * SLOT_BITS)) as u32 % SLOTS;
        let slot = level * SLOTS + bit;
        let first = self.slots.get_mut(slot as usize).map_or(NONE, |first| core::mem::replace(first, key));
        if let Some(slots) = self.occupied.get_mut(level as usize) {
            *slots |= 1 << bit;
        }
        if first != NONE {
            self.entry(first).prev = key;
        }
        let entry = self.entry(key);
        (entry.slot, entry.prev, entry.next) = (slot, NONE, first);
    }

    fn unlink(&mut self, key: u32) {
        let Entry { slot, prev, next, .. } = *self.entry(key);
        if next != NONE {
            self.entry(next).prev = prev;
        }
        if prev == NONE {
            if let Some(first) = self.slots.get_mut(slot as usize) {
                *first = next;
            }
            if next == NONE
                && let Some(slots) = self.occupied.get_mut((slot / SLOTS) as usize)
            {
                *slots &= !(1 << (slot % SLOTS));
            }
        } else {
            self.entry(prev).next = next;
        }
    }

    fn entry(&mut self, key: u32) -> &mut Entry {
        self.entries.get_mut(key as usize).expect("a number that was given and not removed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    /// Everything that is due by `now`, in order.
    fn expire(
        deadlines: &mut Deadlines,
        keys: &mut std::collections::HashMap<u32, u32>,
        now: u64,
    ) -> Vec<u32> {
        core::iter::from_fn(|| {
            let node = deadlines.expire(at(now))?;
            deadlines.remove(keys.remove(&node)?);
            Some(node)
        })
        .collect()
    }

    #[test]
    fn each_comes_at_its_millisecond_on_every_level() {
        let mut deadlines = Deadlines::new();
        let mut keys = std::collections::HashMap::new();
        let dues: Vec<u64> = (0..36).map(|bit| (1_u64 << bit) + 5).collect();
        for (node, due) in (0_u32..).zip(&dues) {
            keys.insert(node, deadlines.insert(node, at(*due)));
        }
        for (node, due) in (0_u32..).zip(&dues) {
            assert_eq!(expire(&mut deadlines, &mut keys, due - 1), Vec::<u32>::new());
            assert!(deadlines.next().is_some_and(|next| next <= at(*due)));
            assert_eq!(expire(&mut deadlines, &mut keys, *due), [node]);
        }
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn a_jump_over_all_of_them_gives_all() {
        let mut deadlines = Deadlines::new();
        let mut keys = std::collections::HashMap::new();
        for node in 0..1000 {
            keys.insert(node, deadlines.insert(node, at(u64::from(node) * 977 % 100_000)));
        }
        let mut all = expire(&mut deadlines, &mut keys, 1 << 40);
        all.sort_unstable();
        assert_eq!(all, (0..1000).collect::<Vec<_>>());
        // The wheel goes on from where it was turned to.
        keys.insert(7, deadlines.insert(7, at((1 << 40) + 3)));
        assert_eq!(expire(&mut deadlines, &mut keys, (1 << 40) + 2), Vec::<u32>::new());
        assert_eq!(expire(&mut deadlines, &mut keys, (1 << 40) + 3), [7]);
    }

    #[test]
    fn what_is_beyond_its_reach_is_not_early() {
        let mut deadlines = Deadlines::new();
        let key = deadlines.insert(1, at(1 << 40));
        assert_eq!(deadlines.expire(at((1 << 40) - 1)), None);
        assert_eq!(deadlines.expire(at(1 << 40)), Some(1));
        deadlines.remove(key);
        assert_eq!(deadlines.next(), None);
    }

    #[test]
    fn random_ones_agree_with_a_sorted_list() {
        let mut seed = 7_u64;
        let mut random = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        let mut deadlines = Deadlines::new();
        let mut open: Vec<(u64, u32, u32)> = Vec::new();
        let mut now = 0;
        for node in 0..20_000 {
            match random() % 4 {
                0 | 1 => {
                    let due = now + (random() % (1 << (random() % 24)));
                    open.push((due, node, deadlines.insert(node, at(due))));
                }
                2 if !open.is_empty() => {
                    let (_, _, key) = open.swap_remove(random() as usize % open.len());
                    deadlines.remove(key);
                }
                _ => {
                    now += random() % (1 << (random() % 20));
                    let mut expired = Vec::new();
                    while let Some(node) = deadlines.expire(at(now)) {
                        let index = open.iter().position(|entry| entry.1 == node).expect("is open");
                        let (due, _, key) = open.swap_remove(index);
                        deadlines.remove(key);
                        expired.push(due);
                    }
                    assert!(expired.iter().all(|due| *due <= now), "never early");
                    assert!(open.iter().all(|entry| entry.0 > now), "never late");
                    assert!(expired.is_sorted(), "in the order of their moments");
                    let earliest = open.iter().map(|entry| at(entry.0)).min();
                    assert!(deadlines.next() <= earliest && deadlines.next().is_some() == earliest.is_some());
                }
            }
        }
    }
}
