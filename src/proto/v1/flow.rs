//! Credit on one channel, both ways: the only place that adds or takes any.
//!
//! All amounts are *cost*, payload and 64 bytes for each chunk, summed up since the channel opened, but for windows, which
//! are differences. Limits are at most 2^53 - 1 and never fall. At every moment, for the receiver:
//!
//! ```text
//! consumed <= received <= limit <= consumed + window        window >= needed(max_item)
//! ```
//!
//! So the sum of the windows bounds what may wait to be taken, whatever happens to them; behind the end of the direction the
//! window is what waits. One that has grown returns to its first size after 30 s in which nothing was taken; as the limit
//! does not fall, it shrinks by the items that are taken then, for which nothing is granted.
//!
//! | a window grows, twofold, when | why |
//! |---|---|
//! | half of it was consumed within two round trips | less than four times what fills the path may leave the sender without credit |
//! | an item costs more than half of it, and was not the first such in 30 s | the next one waits for credit while this one is taken |
//!
//! The second row stands for the time that half a window takes at the rate of the path, which a receiver does not know: by the
//! rate of arrival each channel that keeps a link full would grow to whatever is left, and by the rate of consumption each
//! slow reader. So a window ends at eight times what fills the path, or what arrives between two times that the application takes
//! anything, and four items.
//!
//! Not here: which channel, whether it may still carry data, and how much all windows may promise in sum.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;

use crate::time::Timestamp;

/// The largest limit: the largest integer that a JavaScript number holds exactly. A channel that has come so far, after
/// 9 PB, gets no more credit.
pub(super) const MAX_LIMIT: u64 = (1 << 53) - 1;

/// What each chunk costs beside its payload, in bytes.
const CHUNK_COST: u64 = 64;

/// A round trip of which nothing is known, in microseconds.
const UNKNOWN_ROUND_TRIP: u64 = 100_000;
/// The shortest round trip that counts: credit also waits for two event loops, and for a chunk that is on its way.
const SHORTEST_ROUND_TRIP: u64 = 5_000;
/// For how long nothing is taken until the window returns to its first size, in microseconds.
const IDLE: u64 = 30_000_000;

/// What a chunk with so many bytes of payload takes from the window.
pub(super) const fn cost(payload: u64) -> u64 {
    payload.saturating_add(CHUNK_COST)
}

/// The smallest window that admits an item of `max_item` bytes in chunks of any permitted size.
pub(super) const fn needed(max_item: u64) -> u64 {
    cost(max_item.saturating_add(max_item / 8))
}

/// How much this side may send on one channel.
///
/// Invariant: `limit <= MAX_LIMIT`; and `used <= limit` as long as the caller asks [`credit`](Self::credit) first.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendWindow {
    used: u64,
    limit: u64,
}

impl SendWindow {
    /// Of a channel that opens: `limit` is the peer's `initial_window`.
    pub(super) const fn new(limit: u64) -> Self {
        Self { used: 0, limit: if limit < MAX_LIMIT { limit } else { MAX_LIMIT } }
    }

    /// The peer granted everything up to `limit`, by ACCEPT, CREDIT, or settings that came later than the channel opened.
    /// Whether that is more than before; what is not changes nothing, as grants are repeated after a resume.
    pub(super) fn raise(&mut self, limit: u64) -> bool {
        let limit = limit.min(MAX_LIMIT);
        let grows = limit > self.limit;
        self.limit = self.limit.max(limit);
        grows
    }

    /// A chunk was handed over for the first time. Its cost is within the credit.
    pub(super) fn charge(&mut self, cost: u64) {
        self.used = self.used.saturating_add(cost);
    }

    /// What may still be sent.
    pub(super) const fn credit(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// What was granted so far.
    #[cfg(test)]
    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// What was sent so far.
    pub(super) const fn used(&self) -> u64 {
        self.used
    }
}

/// The peer sent more than was granted: `FLOW_CONTROL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overflow;

/// How much the peer may send on one channel. The module's page has the invariants.
#[derive(Debug)]
pub(super) struct RecvWindow {
    limit: u64,
    received: u64,
    consumed: u64,
    max_item: u64,
    window: u64,
    /// The window that is aimed at: less than `window` while that shrinks, 0 once the direction has ended.
    /// Invariant: `aim <= window`.
    aim: u64,
    /// The window before it grew, or 0 once the direction has ended. Invariant: `needed(max_item) <= first` or 0.
    first: u64,
    /// What had been consumed, and when, as the present half of a window began.
    half_from: u64,
    half_since: Timestamp,
    /// How long the last half of a window took to be consumed, in microseconds, until it is answered by growth;
    /// `u64::MAX` if there was none.
    half_took: u64,
    /// When something was last consumed; `None` before.
    consumed_at: Option<Timestamp>,
    /// How many items have been taken that cost more than half of the window, up to 2.
    large_items: u8,
}

impl RecvWindow {
    /// Of a channel that opens: `limit` is the own `initial_window`, of which the peer knows, and `max_item` the own setting.
    pub(super) fn new(limit: u64, max_item: u64) -> Self {
        let mut this = Self {
            limit: limit.min(MAX_LIMIT),
            received: 0,
            consumed: 0,
            max_item: 0,
            window: 0,
            aim: 0,
            first: 0,
            half_from: 0,
            half_since: Timestamp::ZERO,
            half_took: u64::MAX,
            consumed_at: None,
            large_items: 0,
        };
        this.widen(limit, max_item);
        this
    }

    /// Decides on what ACCEPT announces, and gives the limit; the item size is [`max_item`](Self::max_item) then.
    /// Neither is less than what is in force, and the window, the first one from now on, at least what such an item
    /// needs. How much it grew is the difference of [`window`](Self::window). Behind the end of the direction nothing changes.
    pub(super) fn open(&mut self, window: u64, max_item: u64) -> u64 {
        if self.first > 0 {
            self.widen(window, max_item);
        }
        self.regrant()
    }

    fn widen(&mut self, window: u64, max_item: u64) {
        // Of items that need more than there can be of credit, the largest that does not.
        self.max_item = self.max_item.max(max_item.min(MAX_LIMIT / 9 * 8 - CHUNK_COST));
        self.first = self.first.max(window.min(MAX_LIMIT)).max(needed(self.max_item));
        self.window = self.window.max(self.first);
        // One that is shrinking goes on, as far as the new first one.
        self.aim = self.aim.max(self.first);
    }

    /// A chunk arrived. Not called for what is replayed and was there already.
    ///
    /// # Errors
    ///
    /// [`Overflow`] if it is beyond the limit, by the peer's fault. Nothing has changed.
    pub(super) fn receive(&mut self, cost: u64) -> Result<(), Overflow> {
        let received =
            self.received.checked_add(cost).filter(|&received| received <= self.ceiling()).ok_or(Overflow)?;
        self.received = received;
        Ok(())
    }

    /// An item was taken by the application, aborted or discarded: all of its chunks cost `cost`, or those of which nothing
    /// was consumed yet. By how much the window fell, which is then free for others.
    ///
    /// To be followed by the question whether the window [`grows`](Self::grows), and then by [`grant`](Self::grant).
    #[must_use = "the session's sum of windows falls by as much"]
    pub(super) fn consume(&mut self, now: Timestamp, cost: u64) -> u64 {
        match self.consumed_at {
            Some(before) if now.micros_since(before) < IDLE => (),
            // The first half of a window has no beginning before something was taken.
            before => {
                if before.is_some() {
                    self.aim = self.aim.min(self.first);
                }
                (self.half_from, self.half_since) = (self.consumed.saturating_add(cost), now);
                (self.half_took, self.large_items) = (u64::MAX, 0);
            }
        }
        self.consumed_at = Some(now);
        self.consumed = self.consumed.saturating_add(cost).min(self.received);
        if cost > self.window / 2 {
            self.large_items = self.large_items.saturating_add(1).min(2);
        }
        let (half, passed) = (self.window / 2, self.consumed.saturating_sub(self.half_from));
        if passed >= half {
            self.half_took = now.micros_since(self.half_since);
            self.half_since = now;
            // What is more than a half counts for the next: the large items that are taken in one go need not end with one.
            self.half_from = self.consumed - passed.checked_rem(half).unwrap_or(0);
        }
        let before = self.window;
        self.window = before.min(self.aim.max(self.ceiling() - self.consumed));
        before - self.window
    }

    /// The limit that a CREDIT has to announce now, if one is due, which then is in force: when a quarter of the window
    /// is not granted, or anything is not and an item waits for the rest of it (`partial_waits`). Without the second, a
    /// window that is half open would never admit the rest.
    pub(super) fn grant(&mut self, partial_waits: bool) -> Option<u64> {
        let target = self.target();
        let ungranted = target - self.limit;
        let is_due = ungranted > 0
            && (partial_waits || ungranted.saturating_mul(4) >= self.window || target == MAX_LIMIT);
        self.limit += if is_due { ungranted } else { 0 };
        is_due.then_some(target)
    }

    /// What CREDIT says after a resume, which is sent anyway: the limit in force, and with it what is not granted yet.
    pub(super) fn regrant(&mut self) -> u64 {
        self.limit = self.target();
        self.limit
    }

    /// Whether the window is what holds the sender up (see the module's page), so that it should [`grow`](Self::grow).
    /// `round_trip_micros` is the shortest round trip known.
    pub(super) fn grows(&self, now: Timestamp, round_trip_micros: Option<u64>) -> bool {
        let round_trip = round_trip_micros.unwrap_or(UNKNOWN_ROUND_TRIP).max(SHORTEST_ROUND_TRIP);
        let is_idle = self.consumed_at.is_none_or(|before| now.micros_since(before) >= IDLE);
        let is_fast = self.half_took <= round_trip.saturating_mul(2).min(IDLE);
        self.aim > 0 && !is_idle && (is_fast || self.large_items > 1)
    }

    /// Doubles the window, as far as `spare` goes, and gives by how much it grew. It does not grow again before as much
    /// was consumed as made it grow, whether there was room for it or not.
    #[must_use = "the session's sum of windows rises by as much"]
    pub(super) fn grow(&mut self, spare: u64) -> u64 {
        (self.half_took, self.large_items) = (u64::MAX, 0);
        let more = if self.aim > 0 { self.window.min(spare).min(MAX_LIMIT - self.window) } else { 0 };
        self.window += more;
        self.aim = self.window;
        more
    }

    /// The peer sends no more: its direction has ended. Nothing is granted from now on, and the window is what waits to
    /// be taken. By how much it fell.
    #[must_use = "the session's sum of windows falls by as much"]
    pub(super) fn end(&mut self) -> u64 {
        let before = self.window;
        (self.aim, self.first) = (0, 0);
        self.window = self.received - self.consumed;
        before - self.window
    }

    /// The most that may wait to be taken.
    pub(super) const fn window(&self) -> u64 {
        self.window
    }

    /// The largest item that may come, in bytes.
    pub(super) const fn max_item(&self) -> u64 {
        self.max_item
    }

    /// What was granted so far.
    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// What has arrived so far.
    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    /// What was taken so far.
    #[cfg(test)]
    pub(super) const fn consumed(&self) -> u64 {
        self.consumed
    }

    /// The limit that the whole window makes. Never below the present one, nor above it once the direction has ended.
    fn target(&self) -> u64 {
        self.consumed.saturating_add(self.window).min(MAX_LIMIT).max(self.limit)
    }

    /// What may arrive at most.
    fn ceiling(&self) -> u64 {
        if self.first > 0 { self.limit } else { self.received }
    }
}
