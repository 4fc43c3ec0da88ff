//! Who waits for the same thing, in a line.
//!
//! A waker that is dropped may run anything: an executor may own a task by its wakers alone. What leaves
//! the line is therefore given to the caller, to be dropped after its lock.

use core::task::Waker;
use std::collections::VecDeque;

/// Wakers in the order in which they came.
///
/// Invariant: the keys ascend.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    last: u64,
    line: VecDeque<(u64, Waker)>,
    /// Everybody in line was taken for waking since the last one registered.
    woken: bool,
}

impl Waiters {
    /// Registers `waker` under `key`, which is given on the first call and keeps its place. Gives the
    /// waker that it takes the place of.
    #[must_use]
    pub(crate) fn register(&mut self, key: &mut Option<u64>, waker: &Waker) -> Option<Waker> {
        self.woken = false;
        if let Some(entry) = key.and_then(|key| self.position(key)).and_then(|at| self.line.get_mut(at)) {
            let same = entry.1.will_wake(waker);
            return (!same).then(|| core::mem::replace(&mut entry.1, waker.clone()));
        }
        self.last += 1;
        *key = Some(self.last);
        self.line.push_back((self.last, waker.clone()));
        None
    }

    /// As [`register`](Self::register), in one of several lines of which a newcomer stands behind all who came
    /// before: `last` is the last key in all of them.
    #[must_use]
    pub(super) fn register_behind(
        &mut self,
        last: &mut u64,
        key: &mut Option<u64>,
        waker: &Waker,
    ) -> Option<Waker> {
        self.last = *last;
        let displaced = self.register(key, waker);
        *last = self.last;
        displaced
    }

    /// Takes `key` out of the line.
    #[must_use]
    pub(crate) fn remove(&mut self, key: &mut Option<u64>) -> Option<Waker> {
        let at = self.position(key.take()?)?;
        self.line.remove(at).map(|entry| entry.1)
    }

    /// Whether `key` may go before all others that wait.
    pub(super) fn is_first(&self, key: Option<u64>) -> bool {
        self.line.front().is_none_or(|entry| Some(entry.0) == key)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// The waker of `key`, if it stands in this line.
    pub(super) fn find(&self, key: u64) -> Option<Waker> {
        self.position(key).and_then(|at| self.line.get(at)).map(|entry| entry.1.clone())
    }

    pub(super) fn first(&self) -> Option<Waker> {
        self.line.front().map(|entry| entry.1.clone())
    }

    /// Everybody with the key under which they stand in line.
    pub(super) fn in_line(&self) -> impl Iterator<Item = (u64, Waker)> {
        self.line.iter().cloned()
    }

    pub(crate) fn all(&self) -> Vec<Waker> {
        self.line.iter().map(|entry| entry.1.clone()).collect()
    }

    /// All of them, without an allocation where there is only one; nobody if all were woken already and
    /// have not had their turn.
    pub(super) fn first_and_others(&mut self) -> (Option<Waker>, Vec<Waker>) {
        if core::mem::replace(&mut self.woken, true) {
            return (None, Vec::new());
        }
        (self.first(), self.line.iter().skip(1).map(|entry| entry.1.clone()).collect())
    }

    fn position(&self, key: u64) -> Option<usize> {
        self.line.binary_search_by_key(&key, |entry| entry.0).ok()
    }
}
