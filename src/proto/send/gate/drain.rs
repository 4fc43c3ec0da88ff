//! How what was handed over leaves the browser: in bursts, or evenly.
//!
//! What drains in bursts that are larger than what a kernel has free at once on a slow link is a path that is fast
//! and long, whose buffers run empty between two of them: its average rate says nothing of what the budget has to be.
//!
//! | state | event | next |
//! |---|---|---|
//! | `Unknown` | [`LARGE`] budgets have gone in this burst | `Large` |
//! | `Unknown` | a burst is over, after the first window | `Small` |
//! | `Unknown` | [`FORGET`] without a large burst | `Small` |
//! | `Large` | something goes, [`LARGE`] budgets of this burst having gone | `Large`, for another [`FORGET`] |
//! | `Large` | a burst is over before so much has gone, after the first window | `Small` |
//! | `Large` | [`FORGET`] without such a burst | `Small` |
//! | any | a backlog begins, more than [`STILL`] after the last look or as acknowledgements fail to come, of whose link nothing is known | `Unknown` |
//!
//! After a shorter pause a burst goes on: an application that answers messages has a backlog now and then only, and its
//! link is as fast as one that never rests.
//!
//! Not here: the rate over a window, the budget (`gate`).

use super::{FORGET, HIDDEN, SHORTEST, later, scaled};
use crate::time::Timestamp;

/// A burst is over when nothing has moved for so long. The thirds of a full buffer that a kernel has free at once
/// are 75 ms apart at 5 MB/s.
pub(super) const STILL: u64 = 40_000;
/// From how many budgets on a burst is large: a slow link's are what a kernel has free at once, a third of its buffer,
/// less than 400 KB.
const LARGE: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bursts {
    /// The first is awaited, until then.
    Unknown(Timestamp),
    /// Taken for large, until then.
    Large(Timestamp),
    /// Small ones, or none.
    Small,
}

/// What stands in the browser, of which something goes or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drained {
    /// Something, of a burst that is large; if `fills`, hidden buffers may have taken it.
    Large { fills: bool },
    /// Something, or nothing since not long.
    Some,
    /// Nothing for as long as a timer takes.
    Stands,
    /// Nothing for so long that a burst is over.
    Over,
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Drain {
    bursts: Bursts,
    /// What has gone in the present burst, if they are not small.
    burst: u64,
    /// How much more of what goes may only go into hidden buffers.
    hides: u64,
    /// When the present burst was first seen, and something moved last.
    began: Timestamp,
    moved_at: Timestamp,
}

impl Drain {
    /// Nothing is known, nor has anything gone, at the clock's beginning.
    pub(super) fn new() -> Self {
        Self {
            bursts: Bursts::Unknown(Timestamp::from_micros(FORGET)),
            burst: 0,
            hides: HIDDEN,
            began: Timestamp::ZERO,
            moved_at: Timestamp::ZERO,
        }
    }

    /// A backlog begins; `is_known` is what came of earlier ones.
    pub(super) fn begin(&mut self, now: Timestamp, is_known: bool) {
        if !is_known {
            self.bursts = Bursts::Unknown(later(now, FORGET));
        }
        (self.burst, self.hides, self.moved_at) = (0, HIDDEN, now);
    }

    /// A backlog goes on after a pause no longer than [`STILL`], in which something has moved or nothing has stood.
    pub(super) fn go_on(&mut self, now: Timestamp, has_moved: bool) {
        if has_moved {
            self.moved_at = now;
        }
    }

    /// How long `bytes` take at the pace of the present burst, in microseconds; 0 if there is none yet.
    pub(super) fn takes(&self, now: Timestamp, bytes: u64) -> u64 {
        if self.burst > 0 { scaled(bytes, now.micros_since(self.began), self.burst) } else { 0 }
    }

    /// The page has been busy for as long as `late`, in which nothing could be seen to move.
    pub(super) fn handle_busy(&mut self, now: Timestamp, late: u64) {
        self.moved_at = later(self.moved_at, late).min(now);
    }

    /// Since the last look `gone` has left the browser, and of a message that was larger than the budget `at_once`
    /// of it: nobody knows how fast that has gone, as some engines show it as standing until all of it has.
    /// `is_first` says that the first window is not over.
    pub(super) fn handle_gone(
        &mut self,
        now: Timestamp,
        gone: u64,
        at_once: u64,
        budget_bytes: u64,
        is_first: bool,
    ) -> Drained {
        let still = now.micros_since(self.moved_at);
        if self.burst == 0 {
            self.began = now;
        }
        self.burst = if self.is_eager(now) { self.burst.saturating_add(at_once) } else { 0 };
        self.hides = self.hides.saturating_sub(gone);
        let is_large = self.burst >= budget_bytes * LARGE;
        if gone > 0 {
            self.moved_at = now;
            if !is_large {
                return Drained::Some;
            }
            self.bursts = Bursts::Large(later(now, FORGET));
            return Drained::Large { fills: self.hides > 0 };
        }
        if still < STILL {
            return if still < SHORTEST { Drained::Some } else { Drained::Stands };
        }
        if !is_first && !is_large && self.burst > 0 {
            self.bursts = Bursts::Small;
        }
        self.burst = 0;
        Drained::Over
    }

    /// Whether bursts may be large.
    pub(super) fn is_eager(&self, now: Timestamp) -> bool {
        match self.bursts {
            Bursts::Unknown(until) | Bursts::Large(until) => now < until,
            Bursts::Small => false,
        }
    }

    /// For how long nothing has moved, in microseconds.
    pub(super) fn still(&self, now: Timestamp) -> u64 {
        now.micros_since(self.moved_at)
    }
}

#[cfg(test)]
mod tests;
