//! What goes over a quarter of a second in which messages have to wait: the rate.

use super::{HIDDEN, SHORTEST, scaled};
use crate::time::Timestamp;

/// How long a window is, at least.
const SPAN: u64 = 250_000;

/// What came of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    /// Bytes a second.
    pub(super) rate: u64,
    /// What goes between two looks, by all that no hidden buffer can have taken.
    pub(super) goes: u64,
    /// None of it can have gone into a hidden buffer, as far as is known.
    pub(super) is_sure: bool,
}

/// See the module's page.
#[derive(Debug)]
pub(super) struct Window {
    began: Timestamp,
    /// How often it was looked, and how much later than it was to be, in microseconds.
    looks: u64,
    late: u64,
    gone: u64,
    /// How much of that may only have gone into hidden buffers.
    hidden: u64,
}

impl Window {
    /// The first of a backlog.
    pub(super) fn first(now: Timestamp) -> Self {
        Self { hidden: HIDDEN, ..Self::next(now) }
    }

    fn next(now: Timestamp) -> Self {
        Self { began: now, looks: 0, late: 0, gone: 0, hidden: 0 }
    }

    /// It begins once more, `gone` bytes having gone since the last look.
    pub(super) fn again(&self, now: Timestamp, gone: u64) -> Self {
        Self { hidden: self.hidden.saturating_sub(self.gone.saturating_add(gone)), ..Self::next(now) }
    }

    /// Whether hidden buffers may be filling in it.
    pub(super) fn is_first(&self) -> bool {
        self.hidden > 0
    }

    /// Since the last look `gone` has left the browser, in which `standing` is left; this look is `late`.
    ///
    /// Buffers drain in bursts as well, over which a whole window goes. Some engines show a message as standing until
    /// all of it has gone: then it has gone in all that time.
    pub(super) fn handle_gone(
        &mut self,
        now: Timestamp,
        gone: u64,
        standing: u64,
        late: u64,
    ) -> Option<Measured> {
        self.gone = self.gone.saturating_add(gone);
        (self.looks, self.late) = (self.looks + 1, self.late.saturating_add(late));
        let span = now.micros_since(self.began);
        if span < SPAN || (self.gone == 0 && standing > 0) {
            return None;
        }
        let sure = self.gone.saturating_sub(self.hidden);
        let measured = Measured {
            rate: scaled(self.gone, 1_000_000, span),
            goes: scaled(sure, SHORTEST + self.late / self.looks, span),
            is_sure: self.hidden == 0,
        };
        *self = Self::next(now);
        Some(measured)
    }
}
