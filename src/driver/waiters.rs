//! Who waits for the same thing, in a line.

use core::task::Waker;

/// Wakers in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    next: u64,
    line: Vec<(u64, Waker)>,
}

impl Waiters {
    /// Registers `waker` under `key`, which is given on the first call and keeps its place.
    pub(super) fn register(&mut self, key: &mut Option<u64>, waker: &Waker) {
        if let Some(entry) = self.line.iter_mut().find(|entry| Some(entry.0) == *key) {
            entry.1.clone_from(waker);
            return;
        }
        self.next += 1;
        *key = Some(self.next);
        self.line.push((self.next, waker.clone()));
    }

    pub(super) fn remove(&mut self, key: &mut Option<u64>) {
        if let Some(key) = key.take() {
            self.line.retain(|entry| entry.0 != key);
        }
    }

    /// Whether `key` may go before all others that wait.
    pub(super) fn is_first(&self, key: Option<u64>) -> bool {
        self.line.first().is_none_or(|entry| Some(entry.0) == key)
    }

    pub(super) fn first(&self) -> Option<Waker> {
        self.line.first().map(|entry| entry.1.clone())
    }

    pub(super) fn all(&self) -> Vec<Waker> {
        self.line.iter().map(|entry| entry.1.clone()).collect()
    }

    /// All of them, without an allocation where there is only one.
    pub(super) fn first_and_others(&self) -> (Option<Waker>, Vec<Waker>) {
        (self.first(), self.line.iter().skip(1).map(|entry| entry.1.clone()).collect())
    }
}
