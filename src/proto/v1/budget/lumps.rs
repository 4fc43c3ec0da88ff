//! How unevenly acknowledgements come.
//!
//! Where they come in lumps, as much has to be under way beside what fills the path as comes in one: or the link runs
//! dry before the next. A lump is what was acknowledged in a span of time beyond what the link takes in that time.

use crate::proto::float::{larger, smaller};

/// The longest lump that is believed, in microseconds.
const LONGEST: f64 = 50_000.0;
/// The length of a span of time, and of how many rounds at least. What has come but once, because the path has become
/// shorter or faster, is no lump: it takes one in each of the last two spans.
const SPAN: f64 = 250_000.0;
const SPAN_ROUNDS: f64 = 4.0;
/// How much faster than the link a lump passes, or it would last for ever on one that is full.
const LEAK: f64 = 1.125;

/// Amounts are the time that they take on the link, in microseconds like the moments.
#[derive(Debug, Default)]
pub(super) struct Lumps {
    /// How much of the present lump is beyond what the link takes, up to the last acknowledgement.
    beyond: f64,
    at: f64,
    /// The longest of this span, and of the two before.
    longest_now: f64,
    longest: [f64; 2],
    since: f64,
}

impl Lumps {
    /// What the link takes so long for was acknowledged.
    pub(super) fn handle_acknowledged(&mut self, now: f64, took: f64, shortest: f64) {
        self.beyond = larger(self.beyond + took - (now - self.at) * LEAK, 0.0);
        self.at = now;
        self.longest_now = larger(self.longest_now, smaller(self.beyond, LONGEST));
        if now - self.since >= larger(SPAN, SPAN_ROUNDS * shortest) {
            self.longest = [self.longest_now, self.longest[0]];
            (self.longest_now, self.beyond, self.since) = (0.0, 0.0, now);
        }
    }

    /// What is acknowledged now says nothing.
    pub(super) fn pause(&mut self, now: f64) {
        (self.beyond, self.at) = (0.0, now);
    }

    pub(super) fn longest(&self) -> f64 {
        smaller(self.longest[0], self.longest[1])
    }
}
