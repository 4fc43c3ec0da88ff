//! What holds at every moment of a run.

use core::time::Duration;
use std::collections::VecDeque;

use tidegate::sim::{Amounts, Engine, PageTask};
use tidegate::{Amount, ClassStats, Priority, Stats};

use crate::plan::Plan;

/// The budget of a slow link.
pub(crate) const LEAST_BUDGET: u64 = 64 << 10;

/// What may stand there as long as nothing is known of the link.
pub(crate) const FIRST_BUDGET: u64 = 512 << 10;

/// What a message costs beside its payload where classes are compared.
const COST: u64 = 64;
const QUANTUM: u64 = 16 << 10;

/// How long a driver may go on hopping while nothing moves: 0.2 ms from when it has seen that something has, which may
/// be several hops and messages later.
const SPIN: Duration = Duration::from_micros(1_020);

/// Looks at one run.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact about the run")]
pub(crate) struct Watch {
    engine: Engine,
    /// Of the fastest rate that the link ever has.
    is_slow: bool,
    share: u64,
    /// Urgent messages do not wait for the bound on the rate, which all others share.
    is_capped: bool,
    /// What is acknowledged counts, and not what stands.
    is_told: bool,
    /// Timers and hops so far.
    pub(crate) tasks: u64,
    is_hidden: bool,
    was_hidden: bool,
    pub(crate) faults: Vec<String>,
    stats: Stats,
    largest: u64,
    largest_urgent: u64,
    /// The largest of each class.
    sizes: [u64; 4],
    shares: [Share; 4],
    /// When the timers of the last second fired.
    timers: VecDeque<Duration>,
    last_hop: Duration,
    moved: (Duration, u64),
}

/// How far a class is behind its guaranteed share: in 256ths of a byte, since it was last not backlogged.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    lag: i128,
    least: i128,
}

impl Watch {
    pub(crate) fn new(plan: &Plan) -> Self {
        let sends = plan.sends();
        let size = |priority| {
            let of_class = sends.iter().filter(|send| send.priority == priority);
            of_class.map(|send| send.bytes as u64).max().unwrap_or(0)
        };
        let sizes = Priority::ALL.map(size);
        Self {
            engine: plan.engine,
            is_slow: plan.rates().1 < 5_000_000,
            share: u64::from(plan.share),
            is_capped: plan.bytes_per_second.is_some(),
            is_told: plan.acknowledges.is_some(),
            tasks: 0,
            is_hidden: false,
            was_hidden: false,
            faults: Vec::new(),
            stats: Stats::default(),
            largest: sizes.into_iter().max().unwrap_or(0),
            largest_urgent: sizes[0],
            sizes,
            shares: [Share::default(); 4],
            timers: VecDeque::new(),
            last_hop: Duration::ZERO,
            moved: (Duration::ZERO, 0),
        }
    }

    pub(crate) fn set_hidden(&mut self, hidden: bool) {
        self.is_hidden = hidden;
        self.was_hidden |= hidden;
    }

    fn fault(&mut self, at: Duration, what: &str) {
        self.faults.push(format!("{what} at {at:?}"));
    }

    /// Messages have left the queue.
    pub(crate) fn stats_changed(&mut self, stats: &Stats, amounts: Option<Amounts>, now: Duration) {
        let before = core::mem::replace(&mut self.stats, stats.clone());
        let budget = stats.budget_bytes.max(LEAST_BUDGET);
        let has_gone = Priority::ALL
            .iter()
            .any(|priority| stats.class(*priority).handed_over != before.class(*priority).handed_over);
        if let Some(amounts) = amounts
            && has_gone
            && !self.is_told
            && self.engine != Engine::Missing
        {
            // An urgent one of any size goes while no more than the budget stands, any other that is larger than the
            // budget while half of that is free.
            // A look that made the budget smaller may have come behind it, at the same moment.
            let budget = budget.max(before.budget_bytes);
            let most = (budget + self.largest_urgent).max(budget / 2 + self.largest);
            if amounts.buffered > most {
                let buffered = amounts.buffered;
                self.fault(now, &format!("I5 B21: {buffered} stand, {budget} and a message may"));
            }
        }
        // Of WebKit's amount nothing can be learnt, and in a hidden page a budget has to last for a second. A link that
        // nothing is known of begins with more; and while buffers grow that are hidden it may look faster than it is,
        // for a quarter of a second, which gives it less than that.
        let learns = matches!(self.engine, Engine::Chromium | Engine::Firefox);
        let is_usual = budget <= FIRST_BUDGET / 2 || budget == FIRST_BUDGET;
        if learns && self.is_slow && !self.was_hidden && !is_usual && !self.is_told {
            self.fault(now, &format!("I5 B21: a budget of {budget} on a slow link"));
        }
        self.compare_shares(&before, now);
    }

    /// I6, over every time in which a class had something to send.
    fn compare_shares(&mut self, before: &Stats, now: Duration) {
        let gone = Priority::ALL.map(|priority| {
            let (now, before) = (self.stats.class(priority), before.class(priority));
            let (messages, bytes) = difference(now.handed_over, before.handed_over);
            bytes + messages * COST
        });
        let all: u64 = gone.iter().skip(usize::from(self.is_capped)).sum();
        for (class, priority) in Priority::ALL.into_iter().enumerate().skip(1) {
            let (new, old) = (self.stats.class(priority), before.class(priority));
            // What was queued before did not all go, so that it was backlogged all the time.
            let was_backlogged = ended(new) - ended(old) < old.queued.messages;
            let share = &mut self.shares[class];
            if !was_backlogged {
                *share = Share::default();
                continue;
            }
            share.lag += i128::from(all) * i128::from(self.share) - i128::from(gone[class]) * 256;
            share.least = share.least.min(share.lag);
            let most = 2 * QUANTUM + self.sizes[class] + COST + self.largest + COST;
            if share.lag - share.least > i128::from(most) * 256 {
                let behind = (share.lag - share.least) / 256;
                *share = Share::default();
                self.fault(now, &format!("I6: {priority:?} is {behind} bytes behind its share"));
            }
        }
    }

    /// The driver goes on in a task that it has asked for.
    pub(crate) fn page_task(
        &mut self,
        task: PageTask,
        now: Duration,
        is_idle: bool,
        amounts: Option<Amounts>,
    ) {
        if is_idle && task != PageTask::Overtaken {
            self.fault(now, &format!("B23: a {task:?} with nothing queued"));
        }
        self.tasks += 1;
        match task {
            PageTask::Timer | PageTask::Overtaken => {
                let second = now.saturating_sub(Duration::from_secs(1));
                while self.timers.front().is_some_and(|fired| *fired <= second) {
                    self.timers.pop_front();
                }
                self.timers.push_back(now);
                if self.timers.len() > 100 {
                    let count = self.timers.len();
                    self.timers.clear();
                    self.fault(now, &format!("B23: {count} timers in a second"));
                }
            }
            PageTask::Hop => {
                let is_chain = now - self.last_hop <= Duration::from_micros(100);
                self.last_hop = now;
                let Some(amounts) = amounts else { return };
                let left = amounts.sent - amounts.buffered.min(amounts.sent);
                if !is_chain || left != self.moved.1 {
                    self.moved = (now, left);
                } else if now - self.moved.0 > SPIN {
                    self.moved = (now, left);
                    self.fault(now, "B23: hops while nothing moves");
                }
            }
        }
    }
}

fn difference(now: Amount, before: Amount) -> (u64, u64) {
    (now.messages - before.messages, now.bytes - before.bytes)
}

/// How many have ended in one of the ways that are counted.
fn ended(class: &ClassStats) -> u64 {
    class.handed_over.messages + class.expired.messages + class.superseded.messages + class.cancelled.messages
}
