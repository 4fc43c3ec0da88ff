//! How much may stand in the browser's own buffer, and when to look at it again.
//!
//! A browser takes everything at once; what it has, nothing can overtake. So only as much is handed over
//! as the link takes soon. What is known about that is `bufferedAmount`, which has no event, says nothing
//! about the megabyte or more that the kernel and the browser hide below it, falls in steps of 131,000
//! bytes or of whole messages, and never changes within a task.
//!
//! Between two looks the gate counts for itself, so that most messages need neither a look nor the time.
//!
//! If the application says what has arrived ([`Gate::handle_acknowledged`]), that decides instead, as long as it goes
//! on saying it (`budget`).
//!
//! Not here: which message is next (`queue`).

mod drain;
mod window;

use drain::{Drain, Drained, STILL};
use window::Window;

use super::budget::Budget;
use crate::proto::float::{float, whole};
use crate::time::Timestamp;

/// Taste in pacing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateConfig {
    /// How much may stand in the browser's buffer on a slow link, in bytes; eight times as much at the beginning.
    /// Default 64 KiB: with less, a timer of 12 ms would hold up links of several megabytes a second, and what is
    /// hidden below is more anyway.
    /// Below 60,000 an upload of messages that fit it may be no faster than this in each 12 ms, whatever the link takes.
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

/// The largest budget, in bytes: on a gigabit link and with timers of 12 ms, ten times of what is needed.
const CEILING: u64 = 16 << 20;

/// No amount is taken for more, in bytes: products of it stay within 64 bits.
const MOST: u64 = 1 << 40;

/// What a kernel and a browser may hide at most, in bytes: the send buffer (4 MiB on Linux) and Chromium's
/// pipes. As long as no more has gone, it may be no more than a buffer that fills.
const HIDDEN: u64 = 9 << 19;

/// The shortest timer but for [`SHORTS`], in microseconds: 83 in a second, since more gain nothing (measured), as
/// buffers drain in bursts.
const SHORTEST: u64 = 12_000;
/// The longest one, when nothing moves.
const LONGEST: u64 = 250_000;
/// A look that comes this much later than it was to was held up, as by a hidden page.
const LATE: u64 = 100_000;
/// How much of that a bound on the rate makes good, which is what timers of hidden pages are late: behind a longer one
/// too much would go at once.
const LONGEST_LATE: u64 = 1_000_000;
/// For how long after something has gone the next look is at once, by a hop into the next task, at the beginning of a
/// backlog: a browser needs about 0.1 ms to take 64 KiB, a hop a tenth of that. Hops for longer would take the processor
/// from those that are to make room.
const SPIN: u64 = 200;
/// The timer after that, and up to four times as long.
const SHORT: u64 = 1_000;
/// A page that looks this much later than it was to was busy, or has timers in steps, and then sees later what stands still.
/// With 4 ms one upload in 3,000 misses its bar.
const BUSY: u64 = 1_000;
/// How many timers may be shorter than [`SHORTEST`], behind a second without any: what those leave of 100 in a second.
const SHORTS: u64 = 16;
/// Without a backlog for as long as this, what was learnt about the link is forgotten; and that bursts are large, without
/// another one. Over the longest paths they are 0.6 s apart.
const FORGET: u64 = 1_000_000;
/// A link on which more than this goes between two looks has a budget by its rate, in bytes: 5 MB/s. It is less than
/// the least budget, or that would be all that could go, and no link known to be fast.
const FAST: u64 = 60_000;
/// How many budgets may stand at the beginning. Browser and kernel hide 300 KB at least, and at 2 MB/s a megabyte
/// (measured), which are empty then: so much stands in them a little later anyway.
const FIRST: u64 = 8;
/// How many of them as long as it may be a buffer that fills: 20 MB/s by timers, and on a slow link less than is hidden.
const FILLING: u64 = 4;

/// See the module's page.
///
/// All amounts are bytes of payload, all moments microseconds of one clock.
#[derive(Debug)]
pub struct Gate {
    config: GateConfig,
    /// Invariant: `config.budget_bytes <= budget <= max(CEILING, FIRST * config.budget_bytes)`.
    budget: u64,
    /// What the browser said last.
    standing: u64,
    /// What it was given since.
    given: u64,
    /// What it was given in all, and what of that is gone.
    total: u64,
    left: u64,
    looked_at: Timestamp,
    /// When a message that waits has the browser looked at; still there while [`is_paused`](Self::is_paused).
    due: Option<Timestamp>,
    /// No message can go, though some are queued: how late the next look is says nothing.
    is_paused: bool,
    drain: Drain,
    window: Window,
    /// How many of [`SHORTS`] there were in this second. Invariant: each is followed by a look, so that a second without
    /// a look is one without a short timer.
    shorts: u64,
    /// What may go at once of [`GateConfig::max_bytes_per_second`], in millionths of a byte, since that is
    /// what a byte per second makes in a microsecond; below 0 it is owed.
    tokens: i64,
    /// Up to when that is.
    filled_at: Timestamp,
    /// Bytes a second, in the last window; 0 before.
    rate: u64,
    /// What is known from acknowledgements, once there was one.
    acknowledged: Option<Budget>,
    /// There were, and they fail to come.
    is_silent: bool,
}

impl Gate {
    /// A gate before a browser that has nothing.
    #[must_use]
    pub fn new(config: GateConfig) -> Self {
        let budget_bytes = config.budget_bytes.clamp(1, MOST);
        let config = GateConfig { budget_bytes, ..config };
        Self {
            config,
            budget: budget_bytes * FIRST,
            standing: 0,
            given: 0,
            total: 0,
            left: 0,
            looked_at: Timestamp::ZERO,
            due: None,
            is_paused: false,
            drain: Drain::new(),
            window: Window::first(Timestamp::ZERO),
            shorts: 0,
            tokens: 1,
            filled_at: Timestamp::ZERO,
            rate: 0,
            acknowledged: None,
            is_silent: false,
        }
    }

    /// A gate before a transport that takes no more than it can send, and so needs none before something is
    /// acknowledged. It has been given `given`.
    #[cfg(feature = "client")]
    #[must_use]
    pub fn wide_open(given: u64) -> Self {
        Self {
            total: given,
            left: given,
            ..Self::new(GateConfig { budget_bytes: u64::MAX, ..GateConfig::default() })
        }
    }

    /// Whether a message of `bytes` may go, as far as is known without a look.
    ///
    /// An urgent one may go while no more than the budget stands, whatever its size, so that the budget is
    /// exceeded by one message at most. So may one that is larger than the budget, when half of it is free.
    #[must_use]
    pub fn admits(&self, bytes: u64, is_urgent: bool) -> bool {
        if !is_urgent && self.is_capped() {
            return false;
        }
        if let Some(budget) = self.heard() {
            return budget.admits(bytes, is_urgent);
        }
        let most = match bytes {
            _ if is_urgent => self.budget,
            _ if self.is_full() => 0,
            fits if fits <= self.budget => self.budget - fits,
            _ => self.budget / 2,
        };
        self.inside() <= most
    }

    /// Whether [`GateConfig::max_bytes_per_second`] lets only urgent messages go.
    #[must_use]
    pub fn is_capped(&self) -> bool {
        self.config.max_bytes_per_second.is_some() && self.tokens <= 0
    }

    /// The peer has the first `upto` bytes of all that was handed over.
    ///
    /// From the first call on, even one with 0, what is not acknowledged is what counts: see `budget`. Less than
    /// before, and more than was handed over, says nothing, as if it had not been said. If nothing comes for a second or more while
    /// something is under way, `bufferedAmount` counts again until something does.
    pub fn handle_acknowledged(&mut self, now: Timestamp, upto: u64) {
        let budget = self.acknowledged.get_or_insert_with(|| Budget::new(now, self.total));
        budget.handle_acknowledged(now, upto);
        // That it falls silent is for the next look to find.
        self.is_silent = self.is_silent && budget.is_silent(now);
    }

    /// A message was handed over.
    pub fn handle_given(&mut self, now: Timestamp, bytes: u64, is_urgent: bool) {
        if let Some(budget) = &mut self.acknowledged {
            budget.handle_given(now, bytes, is_urgent);
        }
        self.given = self.given.saturating_add(bytes);
        self.total = self.total.saturating_add(bytes);
        if self.config.max_bytes_per_second.is_some() {
            // Before: what has passed until now makes up for nothing that is given now.
            self.refill(now, 0);
            self.tokens = self.tokens.saturating_sub_unsigned(bytes.min(MOST) * 1_000_000);
        }
    }

    /// The browser was looked at because a message waits: `amount` is its `bufferedAmount`.
    pub fn handle_amount(&mut self, now: Timestamp, amount: u64) {
        let interval = now.micros_since(self.looked_at);
        // A look that was put off because nothing moved is not one that was held up, nor one for which no message was
        // there to go.
        let was_paused = core::mem::take(&mut self.is_paused);
        let late = match self.due {
            Some(due) if !was_paused => now.micros_since(due),
            _ => 0,
        };
        self.refill(now, late);
        let was_silent = self.is_silent;
        if let Some(budget) = &mut self.acknowledged {
            budget.handle_time(now);
            if budget.is_silent(now) && !was_silent {
                budget.give_up();
                self.is_silent = true;
            }
        }
        let falls_silent = self.is_silent && !was_silent;
        // What others send on the same socket is not ours to count.
        let left = self.total.saturating_sub(amount).max(self.left);
        let stood = self.standing;
        let gone = left - self.left;
        (self.left, self.standing, self.given, self.looked_at) = (left, amount, 0, now);
        let floor = self.config.budget_bytes;
        // For how much of a pause something stood nobody knows, if nothing does at its end.
        let has_rested = was_paused && amount == 0;
        if self.due.is_none() || falls_silent || has_rested {
            // Nothing has waited, so that what has gone says nothing; nor, after a while, what was learnt
            // before: the link may be another one by now.
            if falls_silent {
                (self.budget, self.rate) = (floor, 0);
            } else if interval > FORGET {
                (self.budget, self.rate, self.shorts) = (floor * FIRST, 0, 0);
            }
            if interval > STILL || falls_silent {
                self.drain.begin(now, self.rate > 0);
            } else {
                self.drain.go_on(now, gone > 0 || stood == 0);
            }
            let goes_on = has_rested && !falls_silent && interval <= FORGET;
            self.window = if goes_on { self.window.again(now, gone) } else { Window::first(now) };
            return;
        }
        if late >= BUSY {
            self.drain.handle_busy(now, late);
        }
        self.follow_drain(now, gone, interval);
        if let Some(measured) = self.window.handle_gone(now, gone, amount, late) {
            // What is large is so for a while; but not what has filled buffers.
            let is_large = measured.is_sure && self.drain.is_eager(now);
            self.budget = if is_large { floor.max(self.budget / 4 * 3) } else { floor };
            if measured.goes >= FAST {
                // A little more, or where one message goes between two looks it would be a byte short of two.
                self.budget = self.budget.max(doubled(measured.goes.saturating_add(measured.goes / 8)));
            }
            self.rate = measured.rate;
        }
        if amount == 0 && late >= LATE {
            // All has gone, though nobody knows when.
            self.budget = self.budget.max(doubled(gone));
        }
    }

    /// Since the last look `gone` has left the browser. Of bursts that are large the budget is twice what goes between
    /// two looks, each time that it has limited that.
    fn follow_drain(&mut self, now: Timestamp, gone: u64, interval: u64) {
        if gone == 0 && self.standing == 0 {
            // Something else than what stands holds up what waits.
            return;
        }
        let floor = self.config.budget_bytes;
        let at_once = gone.min(self.budget);
        let is_first = self.window.is_first();
        match self.drain.handle_gone(now, gone, at_once, floor, is_first) {
            Drained::Large { fills: true } if self.standing == 0 => {
                self.budget = self.budget.max(doubled(at_once).min(floor * FILLING));
            }
            Drained::Large { .. } if self.standing == 0 => {
                // After a shorter timer than others will be as much more goes.
                let goes = if is_first {
                    scaled(at_once, SHORTEST, interval.clamp(SHORT, SHORTEST))
                } else {
                    at_once
                };
                self.budget = self.budget.max(doubled(goes));
            }
            // As it may for a while on a fast link as well.
            Drained::Stands if is_first => self.budget = self.budget.min(floor * FILLING),
            Drained::Over if is_first => self.budget = self.budget.min(floor),
            _ => {}
        }
    }

    /// A message of `bytes` has to wait, an urgent one not for its turn: when to look again. A moment that is not later than `now` means
    /// at once, but in a task of its own.
    pub fn wait(&mut self, now: Timestamp, bytes: u64, is_urgent: bool) -> Timestamp {
        let is_eager = self.drain.is_eager(now);
        let still = self.drain.still(now);
        let begins = is_eager && self.window.is_first() && still < SHORTEST;
        let wait = if let Some(rate) = self.config.max_bytes_per_second
            && self.tokens <= 0
            && !is_urgent
        {
            (self.tokens.unsigned_abs() / rate.max(1) + 1).max(SHORTEST)
        } else if let Some(budget) = self.heard() {
            budget.due().micros_since(now).max(SHORTEST)
        } else if begins && still < SPIN {
            0
        } else if begins && self.shorts < SHORTS {
            self.shorts += 1;
            // At the pace of this burst a quarter of what stands will have gone.
            (self.drain.takes(now, self.standing) / 4).clamp(SHORT, 4 * SHORT).max(still)
        } else {
            let fits = if self.is_full() { 0 } else { self.budget };
            let over = self.inside().saturating_add(bytes).saturating_sub(fits).min(self.inside());
            // Half of the time that it should take, if it does not come in bursts; and less often when nothing moves.
            let is_steady = self.rate > 0 && !is_eager;
            let drains = if is_steady { scaled(over, 500_000, self.rate).min(50_000) } else { 0 };
            drains.max(still / 8).clamp(SHORTEST, LONGEST)
        };
        let due = later(now, wait);
        (self.due, self.is_paused) = (Some(due), false);
        due
    }

    /// What waits cannot go before something else than the browser is done with it, such as a Blob that is read. The
    /// backlog goes on.
    pub fn pause(&mut self) {
        self.is_paused = true;
        if let Some(budget) = &mut self.acknowledged {
            budget.rest();
        }
    }

    /// Nothing waits any more.
    pub fn rest(&mut self) {
        (self.due, self.is_paused) = (None, false);
        if let Some(budget) = &mut self.acknowledged {
            budget.rest();
        }
    }

    /// When the browser is to be looked at, if a message waits.
    #[must_use]
    pub fn due(&self) -> Option<Timestamp> {
        self.due.filter(|_| !self.is_paused)
    }

    /// When the browser was looked at last.
    #[must_use]
    pub fn looked_at(&self) -> Timestamp {
        self.looked_at
    }

    /// What stands in the browser at most.
    #[must_use]
    pub fn inside(&self) -> u64 {
        let inside = self.standing.saturating_add(self.given);
        self.heard().map_or(inside, |budget| inside.min(budget.under_way()))
    }

    /// What may stand in the browser, or be under way.
    #[must_use]
    pub fn budget(&self) -> u64 {
        self.heard().map_or(self.budget, Budget::bytes)
    }

    /// Bytes a second, measured over a quarter of a second or more in which messages had to wait, or by what was
    /// acknowledged; 0 if none had yet.
    #[must_use]
    pub fn rate(&self) -> u64 {
        self.heard().map_or(self.rate, Budget::bytes_per_second)
    }

    /// Whether it has to know when a message is handed over.
    #[must_use]
    pub fn wants_time(&self) -> bool {
        self.acknowledged.is_some() || self.config.max_bytes_per_second.is_some()
    }

    /// What acknowledgements say, as long as they come.
    fn heard(&self) -> Option<&Budget> {
        self.acknowledged.as_ref().filter(|_| !self.is_silent)
    }

    /// Something stood at the last look, on a link that is known to be slow: then the buffers below are full. A kernel
    /// takes more when a good part of its buffer is free, or when it is given something; so whatever is handed over
    /// meanwhile keeps it full to the brim. Therefore nothing is, until all that stands is gone.
    fn is_full(&self) -> bool {
        self.standing > 0 && self.rate > 0 && self.budget == self.config.budget_bytes
    }

    /// Time has passed, and this look was `late`.
    fn refill(&mut self, now: Timestamp, late: u64) {
        if let Some(rate) = self.config.max_bytes_per_second {
            let passed = now.micros_since(self.filled_at);
            self.filled_at = now;
            // Enough for two timers that come a little late; and in a hidden page, for those that are.
            let held_up = if late >= LATE { late.min(LONGEST_LATE) } else { 0 };
            let most = i64::try_from(scaled(rate, 5 * SHORTEST / 2 + held_up, 1)).unwrap_or(i64::MAX).max(1);
            let most = most.max(self.tokens);
            self.tokens = self.tokens.saturating_add_unsigned(scaled(rate, passed, 1)).min(most);
        }
    }
}

/// Twice as much, up to the largest budget.
fn doubled(bytes: u64) -> u64 {
    bytes.min(CEILING / 2) * 2
}

fn later(now: Timestamp, micros: u64) -> Timestamp {
    Timestamp::from_micros(now.as_micros().saturating_add(micros))
}

/// `amount * times / by`, or the largest number. In floating point, whose products need no check; 53 bits are
/// exact enough for rates.
pub(super) fn scaled(amount: u64, times: u64, by: u64) -> u64 {
    whole(float(amount) * float(times) / float(by))
}
