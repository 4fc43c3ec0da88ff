//! The rate at which the peer gets what is sent (draft-cheng-iccrg-delivery-rate-estimation).
//!
//! A sample is what was delivered from one moment to another, over the time between them; or over the time in which it
//! was sent, if that was longer. The first moment is the last *mark* before a record was sent, the second that of its
//! own arrival. A mark is an acknowledgement: what had been delivered, and when, by the peer's own word.
//!
//! Where acknowledgements come in lumps this makes up to a third more than the link has, as what is sent in the middle
//! of one counts the rest of it. To begin at the last mark before the lump was tried: a tenth more, and urgent items 5 to
//! 18 ms earlier at p99 behind lumps of 40 ms, but where there was jitter besides the link was emptier more often.

use crate::proto::float::{larger, smaller};

/// For how long at least the largest rate holds, and for how many rounds. It is that of one to two spans of half of it.
const HOLDS: f64 = 1_000_000.0;
const HOLDS_ROUNDS: f64 = 10.0;

/// What is remembered of a record until it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::proto::v1) struct Stamp {
    sent_at: f64,
    /// The mark's amount; how long before this record it was, and how long before this record its own was sent.
    delivered: f64,
    delivered_before: f32,
    sent_before: f32,
    bytes: f32,
    is_limited: bool,
    is_full: bool,
}

impl Stamp {
    pub(super) fn sent_at(self) -> f64 {
        self.sent_at
    }

    pub(super) fn bytes(self) -> f64 {
        f64::from(self.bytes)
    }

    /// Whether there was no room for two further chunks behind it.
    pub(super) fn is_full(self) -> bool {
        self.is_full
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    delivered: f64,
    at: f64,
    /// When the record was sent whose acknowledgement it is.
    sent_at: f64,
}

/// Amounts in bytes, moments in microseconds.
#[derive(Debug, Default)]
pub(super) struct Rate {
    delivered: f64,
    /// The last acknowledgement.
    mark: Mark,
    /// What is sent before so much is delivered is not bounded by the path.
    limited_until: f64,
    /// The largest rate of one to two spans of time; that of the present one, and since when that is.
    largest: f64,
    largest_now: f64,
    since: f64,
}

impl Rate {
    /// Bytes in a microsecond; 0 before it is known.
    pub(super) fn get(&self) -> f64 {
        self.largest
    }

    /// A record is sent with nothing under way: what was before is not its doing.
    pub(super) fn handle_quiet(&mut self, now: f64) {
        self.mark = Mark { delivered: self.delivered, at: now, sent_at: now };
    }

    pub(super) fn stamp(&self, now: f64, bytes: f64, is_full: bool) -> Stamp {
        let mark = self.mark;
        Stamp {
            sent_at: now,
            delivered: mark.delivered,
            delivered_before: short(now - mark.at),
            sent_before: short(now - mark.sent_at),
            bytes: short(bytes),
            is_limited: self.limited_until > self.delivered,
            is_full,
        }
    }

    pub(super) fn handle_idle(&mut self, in_flight: f64) {
        // At least a byte, for what is sent with nothing under way.
        self.limited_until = self.delivered + larger(in_flight, 1.0);
    }

    /// The peer did not say when it got so much more.
    pub(super) fn handle_delivered(&mut self, bytes: f64) {
        self.delivered += bytes;
    }

    /// The peer got `bytes` more, the last of it `took` after it was sent. The rate that this shows; 0 if the path
    /// did not bound it.
    pub(super) fn handle_acknowledged(
        &mut self,
        now: f64,
        bytes: f64,
        newest: Stamp,
        took: f64,
        shortest: f64,
    ) -> f64 {
        self.delivered += bytes;
        let at = newest.sent_at + took;
        self.mark = Mark { delivered: self.delivered, at, sent_at: newest.sent_at };
        let passed = larger(took + f64::from(newest.delivered_before), f64::from(newest.sent_before));
        let sample = larger(self.delivered - newest.delivered, bytes) / larger(passed, 1.0);
        if newest.is_limited && sample <= self.largest {
            return 0.0;
        }
        if now - self.since >= larger(HOLDS, HOLDS_ROUNDS * shortest) / 2.0 {
            (self.largest, self.largest_now, self.since) = (self.largest_now, 0.0, now);
        }
        self.largest_now = larger(self.largest_now, sample);
        self.largest = larger(self.largest, self.largest_now);
        if newest.is_limited { 0.0 } else { sample }
    }

    /// It is no more than `rate`.
    pub(super) fn lower(&mut self, now: f64, rate: f64) {
        self.largest = smaller(self.largest, rate);
        (self.largest_now, self.since) = (self.largest, now);
    }
}

#[allow(clippy::cast_possible_truncation, reason = "exact up to 16 s or 16 MB, and beyond not needed")]
fn short(amount: f64) -> f32 {
    amount as f32
}
