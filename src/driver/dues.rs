//! Until when those in line wait.

use crate::time::Timestamp;

/// The deadlines of those who stand in line and have one.
///
/// Few wait, if anybody does: a list that is walked when one passes, and the earliest of it at hand.
#[derive(Debug, Default)]
pub(super) struct Dues {
    /// By the keys of those who wait, ascending. `None` once it has passed and its owner was told.
    waiting: Vec<(u64, Option<Timestamp>)>,
    /// The earliest of them that has not passed. Of one who has left it may be earlier than that.
    next: Option<Timestamp>,
}

impl Dues {
    /// Notes the deadline of `key`, unless it is known. Returns whether it is earlier than all others.
    pub(super) fn insert(&mut self, key: u64, due: Timestamp) -> bool {
        let Err(at) = self.position(key) else { return false };
        self.waiting.insert(at, (key, Some(due)));
        let is_next = self.next.is_none_or(|next| due < next);
        if is_next {
            self.next = Some(due);
        }
        is_next
    }

    /// Forgets the deadline of `key`, who waits no more.
    pub(super) fn remove(&mut self, key: u64) {
        if let Ok(at) = self.position(key) {
            self.waiting.remove(at);
        }
        if self.waiting.is_empty() {
            self.next = None;
        }
    }

    /// When the earliest passes, or a little before.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.next
    }

    /// Whether the deadline of `key` has passed and [`pass`](Self::pass) has told so.
    pub(super) fn has_passed(&self, key: u64) -> bool {
        self.position(key).ok().and_then(|at| self.waiting.get(at)).is_some_and(|entry| entry.1.is_none())
    }

    /// The keys of those whose deadlines have passed by `now` and were not told of before, ascending.
    pub(super) fn pass(&mut self, now: Timestamp) -> Vec<u64> {
        let mut passed = Vec::new();
        for (key, due) in &mut self.waiting {
            if due.take_if(|due| *due <= now).is_some() {
                passed.push(*key);
            }
        }
        self.next = self.waiting.iter().filter_map(|entry| entry.1).min();
        passed
    }

    fn position(&self, key: u64) -> Result<usize, usize> {
        self.waiting.binary_search_by_key(&key, |entry| entry.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn b26_each_deadline_of_those_in_line_passes_once_and_in_time() {
        let mut dues = Dues::default();
        assert_eq!(dues.next(), None);
        let earlier: Vec<_> =
            [(1, 50), (2, 70), (4, 20), (7, 20)].map(|(key, due)| dues.insert(key, at(due))).to_vec();
        assert_eq!(earlier, [true, false, true, false]);
        assert!(!dues.insert(4, at(1)), "a key keeps its deadline");
        assert_eq!((dues.next(), dues.pass(at(19))), (Some(at(20)), vec![]));
        assert_eq!((dues.pass(at(20)), dues.next()), (vec![4, 7], Some(at(50))));
        assert!(dues.has_passed(4) && !dues.has_passed(1) && !dues.has_passed(3));
        // Who has left is not told.
        dues.remove(1);
        assert_eq!((dues.pass(at(60)), dues.next()), (vec![], Some(at(70))));
        assert_eq!((dues.pass(at(100)), dues.next()), (vec![2], None));
        assert_eq!(dues.pass(at(200)), Vec::<u64>::new());
        for key in [2, 4, 7] {
            dues.remove(key);
        }
        assert!(dues.waiting.is_empty() && !dues.has_passed(4));
    }
}
