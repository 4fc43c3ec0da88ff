//! How much may stand in the browser's own buffer, and when to look at it again.
//!
//! A browser takes everything at once; what it has, nothing can overtake. So only as much is handed over
//! as the link takes soon. What is known about that is `bufferedAmount`, which has no event, says nothing
//! about the megabyte or more that the kernel and the browser hide below it, falls in steps of 131,000
//! bytes or of whole messages, and never changes within a task.
//!
//! Between two looks the gate counts for itself, so that most messages need neither a look nor the time.
//!
//! Not here: which message is next (`queue`).

use crate::time::Timestamp;

/// Taste in pacing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateConfig {
    /// How much may stand in the browser's buffer on a slow link, in bytes. Default 64 KiB: with less, a
    /// timer of 10 ms would hold up links of several megabytes a second, and what is hidden below is more
    /// anyway.
    pub budget_bytes: u64,
    /// Most bytes to hand over in a second, urgent ones included, which do not wait for it; `None` for no
    /// bound. Somewhat below the rate of a known link it keeps the hidden buffers empty, too.
    pub max_bytes_per_second: Option<u64>,
}

impl Default for GateConfig {
    fn default() -> Self {
        Self { budget_bytes: 64 << 10, max_bytes_per_second: None }
    }
}

/// The largest budget, in bytes: on a gigabit link and with timers of 10 ms, ten times of what is needed.
const CEILING: u64 = 16 << 20;

/// What a kernel and a browser may hide at most, in bytes: the send buffer (4 MiB on Linux) and Chromium's
/// pipes. As long as no more has gone, it may be no more than a buffer that fills.
const HIDDEN: u64 = 9 << 19;

/// The shortest timer, in microseconds. More than 100 looks in a second gain nothing (measured), as buffers
/// drain in bursts.
const SHORTEST: u64 = 10_000;
/// The longest one, when nothing moves.
const LONGEST: u64 = 250_000;
/// A look that comes this much later than it was to was held up, as by a hidden page.
const LATE: u64 = 100_000;
/// For how long after something has gone the next look is at once, by a hop into the next task. A browser
/// needs about 0.1 ms to take 64 KiB; a hop takes a hundredth of that.
const SPIN: u64 = 2_000;
/// Without a backlog for as long as this, what was learnt about the link is forgotten.
const FORGET: u64 = 1_000_000;

/// See the module's page.
///
/// All amounts are bytes of payload, all moments microseconds of one clock.
#[derive(Debug)]
pub struct Gate {
    config: GateConfig,
    /// Invariant: `config.budget_bytes <= budget <= max(CEILING, config.budget_bytes)`.
    budget: u64,
    /// What the browser said last.
    standing: u64,
    /// What it was given since.
    given: u64,
    /// What it was given in all, and what of that is gone.
    total: u64,
    left: u64,
    looked_at: Timestamp,
    moved_at: Timestamp,
    due: Option<Timestamp>,
    /// Whether the budget may be what limits, so that it is worth looking again at once.
    hops: bool,
    /// What has gone, and since when, without anything being found to stand for longer.
    run: u64,
    run_began: Timestamp,
    /// What may go at once of [`GateConfig::max_bytes_per_second`], in millionths of a byte, since that is
    /// what a byte per second makes in a microsecond; below 0 it is owed.
    tokens: i64,
    /// Bytes a second, of the last second with a backlog; 0 before.
    rate: u64,
    window: (Timestamp, u64),
}

impl Gate {
    /// A gate before a browser that has nothing.
    #[must_use]
    pub fn new(config: GateConfig) -> Self {
        let config = GateConfig { budget_bytes: config.budget_bytes.max(1), ..config };
        Self {
            config,
            budget: config.budget_bytes,
            standing: 0,
            given: 0,
            total: 0,
            left: 0,
            looked_at: Timestamp::ZERO,
            moved_at: Timestamp::ZERO,
            due: None,
            hops: false,
            run: 0,
            run_began: Timestamp::ZERO,
            tokens: 1,
            rate: 0,
            window: (Timestamp::ZERO, 0),
        }
    }

    /// Whether a message of `bytes` may go, as far as is known without a look.
    ///
    /// An urgent one may go while no more than the budget stands, whatever its size, so that the budget is
    /// exceeded by one message at most. So may any other when nothing stands.
    #[must_use]
    pub fn admits(&self, bytes: u64, is_urgent: bool) -> bool {
        let inside = self.inside();
        let fits =
            if is_urgent { inside <= self.budget } else { inside.saturating_add(bytes) <= self.budget };
        (fits || inside == 0) && (is_urgent || self.config.max_bytes_per_second.is_none() || self.tokens > 0)
    }

    /// A message was handed over.
    pub fn handle_given(&mut self, bytes: u64) {
        self.given = self.given.saturating_add(bytes);
        self.total = self.total.saturating_add(bytes);
        if self.config.max_bytes_per_second.is_some() {
            self.tokens = self.tokens.saturating_sub_unsigned(bytes.saturating_mul(1_000_000));
        }
    }

    /// The browser was looked at because a message waits: `amount` is its `bufferedAmount`.
    pub fn handle_amount(&mut self, now: Timestamp, amount: u64) {
        let interval = now.micros_since(self.looked_at);
        self.refill(interval);
        // What others send on the same socket is not ours to count.
        let left = self.total.saturating_sub(amount).max(self.left);
        let gone = left - self.left;
        (self.left, self.standing, self.given, self.looked_at) = (left, amount, 0, now);
        let Some(due) = self.due else {
            // Nothing has waited, so that what has gone says nothing; nor, after a while, what was learnt
            // before: the link may be another one by now.
            if interval > FORGET {
                self.budget = self.config.budget_bytes;
            }
            (self.run, self.run_began, self.hops) = (0, now, true);
            (self.window, self.moved_at) = ((now, left), now);
            return;
        };
        if gone > 0 {
            self.moved_at = now;
        }
        self.run = self.run.saturating_add(gone);
        self.measure(now);
        // A timer may come a moment early.
        let by_timer = interval * 5 / 4 >= SHORTEST;
        let is_late = now.micros_since(due) >= LATE;
        // More than can be hidden has gone as fast as it was given: the link is faster than that.
        let wanted = if is_late || (by_timer && self.run >= HIDDEN) {
            gone * 2
        } else if self.run >= HIDDEN {
            self.run.saturating_mul(2 * SHORTEST) / now.micros_since(self.run_began).max(1)
        } else {
            0
        };
        // Small messages are seldom found to have gone in whole by one of the hops; and what a kernel's buffer has
        // swallowed makes a link look faster than it is.
        let is_fast = !by_timer && wanted / 4 > self.budget;
        if amount == 0 || is_fast {
            self.hops = true;
            if by_timer || is_fast {
                self.budget = wanted.min(CEILING).max(self.budget);
            }
        } else if by_timer {
            (self.run, self.run_began, self.hops) = (0, now, false);
            if amount > self.budget / 4 * 3 {
                let wanted = if is_late { gone } else { gone * 2 };
                self.budget = self.budget.min(wanted).max(self.config.budget_bytes);
            }
        }
    }

    /// A message of `bytes` has to wait: when to look again. A moment that is not later than `now` means
    /// at once, but in a task of its own.
    pub fn wait(&mut self, now: Timestamp, bytes: u64) -> Timestamp {
        let wait = if let Some(rate) = self.config.max_bytes_per_second
            && self.tokens <= 0
        {
            (self.tokens.unsigned_abs() / rate.max(1) + 1).max(SHORTEST)
        } else if self.hops
            && self.budget < CEILING / 64
            && now.micros_since(self.moved_at) < SPIN
            && !(1..self.budget * 50).contains(&self.rate)
        {
            // Unless it is known that a budget lasts for two timers: a hop would fill the kernel's buffer earlier,
            // and with it what an urgent message waits for.
            0
        } else {
            let over = self.inside().saturating_add(bytes).saturating_sub(self.budget).min(self.inside());
            // Half of the time that it should take; and less often when nothing moves.
            let drains = (over * 500_000).checked_div(self.rate).unwrap_or(0).min(5 * SHORTEST);
            drains.max(now.micros_since(self.moved_at) / 8).clamp(SHORTEST, LONGEST)
        };
        let due = Timestamp::from_micros(now.as_micros().saturating_add(wait));
        self.due = Some(due);
        due
    }

    /// Nothing waits any more.
    pub fn rest(&mut self) {
        self.due = None;
    }

    /// When the browser is to be looked at, if a message waits.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// When the browser was looked at last.
    #[must_use]
    pub fn looked_at(&self) -> Timestamp {
        self.looked_at
    }

    /// What stands in the browser at most.
    #[must_use]
    pub fn inside(&self) -> u64 {
        self.standing.saturating_add(self.given)
    }

    /// What may stand in the browser.
    #[must_use]
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Bytes a second, measured over a second or more in which messages had to wait; 0 if none had yet.
    #[must_use]
    pub fn rate(&self) -> u64 {
        self.rate
    }

    fn refill(&mut self, interval: u64) {
        if let Some(rate) = self.config.max_bytes_per_second {
            // Enough for two timers that come a little late.
            let most = i64::try_from(rate.saturating_mul(5 * SHORTEST / 2)).unwrap_or(i64::MAX).max(1);
            self.tokens = self.tokens.saturating_add_unsigned(rate.saturating_mul(interval)).min(most);
        }
    }

    fn measure(&mut self, now: Timestamp) {
        let (start, left) = self.window;
        let span = now.micros_since(start);
        if span >= 1_000_000 {
            self.rate = (self.left - left).saturating_mul(1_000_000) / span;
            self.window = (now, self.left);
        }
    }
}
