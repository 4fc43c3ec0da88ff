//! How much may be under way to the peer, by what the peer says that it has.
//!
//! The buffers below a WebSocket hide a megabyte and more from `bufferedAmount`. Who is told what has arrived
//! needs no such number: what is under way is what was given less what was acknowledged. The budget for it
//! is the rate at which messages arrive times the shortest time to the peer and back, and as much again as
//! passes in [`DELAY`], so that the link never runs dry and little waits in front of it.
//!
//! | state | budget | until |
//! |---|---|---|
//! | startup | twice what fills the path | a round shows a queue |
//! | steady | what fills the path, and the delay | no round has been as short as the shortest for 5 s or 50 of them |
//! | probing | half of what fills the path | a round that has begun with so little under way is over |
//!
//! A *round* begins with a message that is given (none that is much smaller than others) and is over when that has been
//! acknowledged: it tells the time there and back, and the rate.
//!
//! Not here: what happens when nothing is acknowledged any more (`gate`).

use crate::proto::float::{float, larger, micros, smaller, whole};
use crate::time::Timestamp;

/// Before anything is known, in bytes: what a TCP begins with (RFC 6928).
const AT_FIRST: f64 = 14_600.0;
/// How long messages may wait in front of the link, in microseconds; twice the jitter, if that is more.
const DELAY: f64 = 12_000.0;
/// The most that jitter makes of it: a queue of its own varies as well.
const LONGEST_DELAY: f64 = 50_000.0;
/// What may go at once beyond the pace, as the time in which it passes, in microseconds.
const BURST: f64 = 10_000.0;
/// The most that is allowed for what is acknowledged in one go, in bytes.
const LUMP: f64 = 262_144.0;
/// For how long at least the largest rate holds.
const RATE_HOLDS: f64 = 500_000.0;
/// For how long at least the shortest round may be missed, until the path is looked at without a queue. That costs
/// the time of a round or so; hence so many rounds at least.
const PROBE_EVERY: f64 = 5_000_000.0;
const PROBE_ROUNDS: f64 = 50.0;
/// For how long at least acknowledgements may fail to come, and at most.
const PATIENCE: f64 = 1_000_000.0;
const LONGEST_PATIENCE: f64 = 10_000_000.0;

/// See the module's page. All amounts are bytes of payload, all moments microseconds of one clock, rates bytes in a
/// microsecond: in floating point, which never overflows, and is exact up to 8 PB.
#[derive(Debug, Default)]
pub(super) struct Budget {
    state: State,
    now: f64,
    given: f64,
    /// Invariant: `acknowledged <= given`.
    acknowledged: f64,
    /// When that was last more than before; or since when something is under way, if that is later.
    acknowledged_at: f64,
    round: Round,
    /// The most that was acknowledged in one go, and less of it the more that came in smaller ones.
    lump: f64,
    /// The largest rate of one to two spans of time; that of the present one, and since when that is.
    rate: f64,
    rate_now: f64,
    rate_since: f64,
    /// How long the shortest round takes, and the last; 0 before.
    shortest: f64,
    took: f64,
    /// How much that varies from one round to the next.
    jitter: f64,
    /// The size of the message whose round is the shortest: a larger one takes longer by itself.
    shortest_bytes: f64,
    /// When a round was last as short as the shortest.
    fast_at: f64,
    /// When all that was given would have gone at the pace.
    paced_at: f64,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Startup,
    Steady,
    Probing,
}

/// See the module's page. It is open while less than `end` is acknowledged.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// The size of its message, and less of it the more smaller ones have followed.
    bytes: f64,
    began: f64,
    end: f64,
    /// [`Budget::acknowledged`] and its moment at the beginning.
    acknowledged: f64,
    acknowledged_at: f64,
    /// Whether too little was sent to fill the path.
    is_idle: bool,
}

impl Budget {
    /// For a connection that has been given `given` already, of which nothing is known.
    pub(super) fn new(now: Timestamp, given: u64) -> Self {
        Self { given: float(given), acknowledged_at: micros(now), ..Self::default() }
    }

    /// Whether a message of `bytes` may go. An urgent one may exceed the budget by itself; any other as far as it is
    /// more than what passes in the delay: with less the path would run dry between two of them. And where several
    /// are acknowledged at once, all of them have to be under way.
    pub(super) fn admits(&self, bytes: u64, is_urgent: bool) -> bool {
        let under_way = self.given - self.acknowledged;
        let bytes = float(bytes);
        let own = match self.rate {
            _ if is_urgent => 0.0,
            0.0 => bytes,
            rate => smaller(bytes, rate * self.delay()),
        };
        let more = if is_urgent { self.lump } else { larger(self.lump - bytes, 0.0) };
        let is_paced = is_urgent || self.paced_at <= self.now;
        under_way == 0.0 || is_paced && under_way + own <= self.budget(is_urgent) + more
    }

    /// A message was handed over. An urgent one does not wait for the pace.
    pub(super) fn handle_given(&mut self, now: Timestamp, bytes: u64, is_urgent: bool) {
        let bytes = float(bytes);
        self.now = micros(now);
        let under_way = self.given - self.acknowledged;
        if under_way == 0.0 {
            self.acknowledged_at = self.now;
        }
        self.given += bytes;
        if !is_urgent && self.rate > 0.0 {
            self.paced_at = larger(self.paced_at, self.now - BURST) + bytes / self.pace();
        }
        let is_probe = matches!(self.state, State::Probing);
        if bytes < self.round.bytes / 2.0 {
            self.round.bytes -= self.round.bytes / 16.0;
        } else if self.round.end <= self.acknowledged && !(is_probe && under_way > self.budget(false)) {
            // Behind a silence it is this message that has made the peer answer, and what it had before is not its doing.
            let is_new = self.round.end == 0.0;
            self.round = Round {
                bytes,
                began: self.now,
                end: self.given,
                acknowledged: if is_new { self.given - bytes } else { self.acknowledged },
                acknowledged_at: if is_new { self.now } else { self.acknowledged_at },
                is_idle: is_probe,
            };
        }
    }

    /// The peer has the first `upto` bytes. What it had before, and more than was given, says nothing.
    pub(super) fn handle_acknowledged(&mut self, now: Timestamp, upto: u64) {
        let (before, upto) = (self.acknowledged, float(upto));
        if before < upto && upto <= self.given {
            self.acknowledged = upto;
            self.now = micros(now);
            if self.round.end > before && self.round.end <= self.acknowledged {
                self.lump = smaller(larger(upto - before, self.lump - self.lump / 16.0), LUMP);
                self.measure();
            }
            self.acknowledged_at = self.now;
        }
    }

    /// Nothing waits any more.
    pub(super) fn rest(&mut self) {
        self.round.is_idle = true;
    }

    /// Nothing was acknowledged for so long that it says nothing of the path when it comes.
    pub(super) fn give_up(&mut self) {
        self.round.end = 0.0;
    }

    /// Something waits.
    pub(super) fn handle_time(&mut self, now: Timestamp) {
        self.now = micros(now);
    }

    /// When something may go though nothing was acknowledged; or when it is not worth waiting for longer.
    pub(super) fn due(&self) -> Timestamp {
        // In steps of 0.13 s, so that not each acknowledgement makes for another timer.
        let given_up = whole(self.acknowledged_at + self.patience()) | 0x1_ffff;
        let paced = if self.paced_at > self.now { whole(self.paced_at + 1.0) } else { given_up };
        Timestamp::from_micros(given_up.min(paced))
    }

    /// Whether the peer owes an answer for so long that none may come.
    pub(super) fn is_silent(&self, now: Timestamp) -> bool {
        self.given > self.acknowledged && micros(now) - self.acknowledged_at >= self.patience()
    }

    /// In bytes.
    pub(super) fn under_way(&self) -> u64 {
        whole(self.given - self.acknowledged)
    }

    /// How much may be under way.
    pub(super) fn bytes(&self) -> u64 {
        whole(self.budget(false))
    }

    /// Bytes a second; 0 if that is not known yet.
    pub(super) fn bytes_per_second(&self) -> u64 {
        whole(self.rate * 1e6)
    }

    fn budget(&self, is_urgent: bool) -> f64 {
        let path = self.rate * self.shortest;
        match self.state {
            State::Startup => larger(AT_FIRST, 2.0 * path),
            State::Probing if !is_urgent => path / 2.0,
            _ => path + self.rate * self.delay(),
        }
    }

    fn delay(&self) -> f64 {
        smaller(larger(self.jitter * 2.0, DELAY), LONGEST_DELAY)
    }

    fn patience(&self) -> f64 {
        smaller(larger(PATIENCE, 4.0 * self.took), LONGEST_PATIENCE)
    }

    /// The rate at which messages are let go, so that no burst of them makes a queue.
    fn pace(&self) -> f64 {
        let more = match self.state {
            State::Startup => 1.0,
            _ => smaller(self.delay() / self.shortest, 0.25),
        };
        self.rate + self.rate * more
    }

    /// What a round tells of the path.
    fn measure(&mut self) {
        let Round { bytes, began, acknowledged, acknowledged_at, is_idle, .. } = self.round;
        let before = self.pace();
        let mut took = larger(self.now - began, 1.0);
        if is_idle {
            // Who answers now and then does not answer the last message before there is another.
            took = smaller(took, larger(self.took, PATIENCE / 4.0));
        }
        if matches!(self.state, State::Steady) {
            // Before, it is the queue that changes.
            self.jitter += ((took - self.took).abs() - self.jitter) / 4.0;
        }
        self.took = took;
        let is_first = matches!(self.state, State::Probing) || bytes > 2.0 * self.shortest_bytes;
        if is_first || took < self.shortest {
            (self.shortest, self.shortest_bytes) = (took, bytes);
        }
        if took <= self.shortest * 1.02 + 1_000.0 {
            self.fast_at = self.now;
        }
        let sample = (self.acknowledged - acknowledged) / larger(self.now - acknowledged_at, took);
        // Where there was too little to send, the path may take more.
        if !is_idle || sample > self.rate {
            if self.now - self.rate_since >= larger(RATE_HOLDS, 5.0 * self.shortest) {
                (self.rate, self.rate_now, self.rate_since) = (self.rate_now, 0.0, self.now);
            }
            self.rate_now = larger(self.rate_now, sample);
            self.rate = larger(self.rate, self.rate_now);
        }
        let is_missed = self.now - self.fast_at >= larger(PROBE_EVERY, self.shortest * PROBE_ROUNDS);
        self.state = match self.state {
            // Somewhere on the path, by own messages or those of others.
            State::Startup if took <= self.shortest * 1.125 + DELAY + bytes / self.rate => State::Startup,
            State::Steady if is_missed => State::Probing,
            _ => State::Steady,
        };
        let pace = self.pace();
        if before > 0.0 && pace > before && self.paced_at > self.now {
            self.paced_at = self.now + (self.paced_at - self.now) * before / pace;
        }
    }
}

#[cfg(test)]
mod tests;
