//! A sender with a backlog, a link that hides all that it is given, and a peer that acknowledges as the protocol asks
//! for, in virtual time.

use std::collections::VecDeque;

use super::super::*;

pub(super) const MILLIS: f64 = 1_000.0;
pub(super) const SECOND: f64 = 1_000_000.0;
/// The peer's `max_ack_delay_ms`, in microseconds.
const MAX_ACK_DELAY: f64 = 25_000.0;
/// An urgent item of 32 B with its header.
const URGENT: u64 = 40;
/// The header of a chunk within an item.
const HEADER_BYTES: u64 = 8;

/// `SplitMix64`.
pub(super) struct Random(pub(super) u64);

impl Random {
    /// From 0 to below 1.
    pub(super) fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        float((bits ^ (bits >> 31)) >> 11) / float(1 << 53)
    }

    /// Such that each factor is as likely as any other.
    pub(super) fn log_between(&mut self, from: f64, to: f64) -> f64 {
        from * (to / from).powf(self.unit())
    }
}

/// A record on the link, or beyond it.
#[derive(Clone, Copy)]
struct Record {
    /// `None`: of somebody else.
    number: Option<u64>,
    bytes: u64,
    asks: bool,
    /// When it was wanted to go, if it is urgent, and for how long it should have waited at most.
    urgent: Option<(f64, f64)>,
}

/// What an urgent item met, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) took: f64,
    /// What section 6.6 allows.
    pub(super) bound: f64,
}

/// All times in microseconds, rates in bytes a second.
pub(super) struct Model {
    pub(super) budget: Budget,
    pub(super) rate: f64,
    pub(super) up: f64,
    pub(super) back: f64,
    /// By how much a record may be late at random; what is behind it is held up.
    pub(super) jitter: f64,
    /// Acknowledgements come at multiples of this; 0: when they come.
    pub(super) lump: f64,
    /// The earliest that a timer fires.
    pub(super) granularity: f64,
    /// Whether there is always more to send; and in chunks that are urgent, too.
    pub(super) has_backlog: bool,
    pub(super) is_flooded: bool,
    pub(super) urgent_every: f64,
    pub(super) now: f64,
    pub(super) arrivals: Vec<Arrival>,
    /// Bytes that have arrived, of the sender.
    pub(super) arrived: u64,
    pub(super) acks: u64,
    /// The most that waited in front of the link, in microseconds of it.
    pub(super) longest_queue: f64,
    pub(super) random: Random,
    /// In front of the link; the first is on it, with so much to go since then.
    queue: VecDeque<Record>,
    queued: u64,
    left: f64,
    left_at: f64,
    flying: VecDeque<(f64, Record)>,
    /// Of the peer: the last number, when it came, and when it is acknowledged at the latest.
    got: Option<(u64, f64)>,
    ack_at: Option<f64>,
    /// When it comes, the number, for how long the peer had it.
    answers: VecDeque<(f64, u64, f64)>,
    unacknowledged: VecDeque<(u64, u64, Stamp)>,
    under_way: u64,
    next: u64,
    timer: Option<f64>,
    urgent_at: f64,
    waiting: VecDeque<f64>,
}

impl Model {
    /// A path with so many bytes a second, and so long to the peer and back.
    pub(super) fn new(rate: f64, up: f64, back: f64) -> Self {
        let mut budget = Budget::new(BudgetConfig::default());
        budget.set_limits(65_504, 1 << 30);
        let now = 1_000_000.0;
        budget.restart(Timestamp::from_micros(whole(now)));
        Self {
            budget,
            rate,
            up,
            back,
            jitter: 0.0,
            lump: 0.0,
            granularity: MILLIS,
            has_backlog: true,
            is_flooded: false,
            urgent_every: 100.0 * MILLIS,
            now,
            arrivals: Vec::new(),
            arrived: 0,
            acks: 0,
            longest_queue: 0.0,
            random: Random(1),
            queue: VecDeque::new(),
            queued: 0,
            left: 0.0,
            left_at: 0.0,
            flying: VecDeque::new(),
            got: None,
            ack_at: None,
            answers: VecDeque::new(),
            unacknowledged: VecDeque::new(),
            under_way: 0,
            next: 0,
            timer: None,
            urgent_at: now + 37.0 * MILLIS,
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn set_rate(&mut self, rate: f64) {
        self.advance_link();
        self.rate = rate;
    }

    /// So much of somebody else stands in front of the link for ever: what leaves it comes again.
    pub(super) fn add_foreign(&mut self, bytes: u64) {
        for _ in 0..bytes / 1_460 {
            self.give(Record { number: None, bytes: 1_460, asks: false, urgent: None });
        }
    }

    pub(super) fn remove_foreign(&mut self) {
        self.advance_link();
        let first = self.queue.front().copied();
        let mut is_first = true;
        self.queue.retain(|record| core::mem::take(&mut is_first) || record.number.is_some());
        if let Some(Record { number: None, .. }) = first {
            self.queue.pop_front();
            self.left = self.queue.front().map_or(0.0, |record| float(record.bytes));
        }
        self.queued = self.queue.iter().map(|record| record.bytes).sum();
    }

    /// For so long; what has arrived in it, as a part of what the link takes.
    pub(super) fn run(&mut self, micros: f64) -> f64 {
        let (began, before) = (self.now, self.arrived);
        let end = self.now + micros;
        self.arrivals.clear();
        self.longest_queue = 0.0;
        self.pump();
        while self.step(end) {}
        float(self.arrived - before) / (self.rate * (self.now - began) / SECOND)
    }

    /// Until the budget has found its place, or for so long: how long that took.
    pub(super) fn start(&mut self, most: f64) -> f64 {
        let began = self.now;
        self.pump();
        while self.budget.state != State::Steady && self.step(began + most) {}
        self.now - began
    }

    pub(super) fn took(&self, percent: usize) -> f64 {
        let mut took: Vec<f64> = self.arrivals.iter().map(|arrival| arrival.took).collect();
        took.sort_by(f64::total_cmp);
        took[(took.len() - 1) * percent / 100]
    }

    /// How many urgent items took longer than section 6.6 allows and `more`.
    pub(super) fn exceptions(&self, more: f64) -> usize {
        self.arrivals.iter().filter(|arrival| arrival.took > arrival.bound + more).count()
    }

    /// The next thing that happens, if it is before `end`.
    fn step(&mut self, end: f64) -> bool {
        let leaves = self.queue.front().map(|_| self.left_at + self.left / self.rate * SECOND);
        let arrives = self.flying.front().map(|(at, _)| *at);
        let answers = self.answers.front().map(|(at, _, _)| *at);
        let next = [leaves, arrives, answers, self.ack_at, self.timer, Some(self.urgent_at), Some(end)];
        self.now = next.into_iter().flatten().fold(f64::MAX, f64::min).max(self.now);
        let is = |at: Option<f64>| at.is_some_and(|at| at <= self.now);
        if is(leaves) {
            self.leave();
        } else if is(arrives) {
            self.arrive();
        } else if is(self.ack_at) {
            self.acknowledge();
        } else if is(answers) {
            self.hear();
            self.pump();
        } else if self.urgent_at <= self.now {
            self.waiting.push_back(self.urgent_at);
            self.urgent_at += self.urgent_every;
            self.pump();
        } else if is(self.timer) {
            self.timer = None;
            self.pump();
        } else {
            return false;
        }
        assert_eq!(self.budget.in_flight(), self.under_way);
        assert!(self.budget.bytes() >= 2 * u64::from(self.budget.chunk_bytes()), "I5: {:?}", self.budget);
        true
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_micros(whole(self.now))
    }

    fn pump(&mut self) {
        self.budget.handle_time(self.at());
        loop {
            let chunk = u64::from(self.budget.chunk_bytes()) + HEADER_BYTES;
            if let Some(at) = self.waiting.front().copied()
                && self.budget.admits(URGENT, Class::Urgent)
            {
                self.waiting.pop_front();
                self.send(URGENT, Class::Urgent, Some(at));
            } else if self.is_flooded && self.budget.admits(chunk, Class::Urgent) {
                self.send(chunk, Class::Urgent, None);
            } else if self.waiting.is_empty() && self.has_backlog && self.budget.admits(chunk, Class::Other) {
                self.send(chunk, Class::Other, None);
            } else {
                break;
            }
        }
        if self.waiting.is_empty() && !self.has_backlog {
            self.budget.handle_idle();
        } else if let Some(due) = self.budget.due() {
            let due = float(due.as_micros()).max(self.now + self.granularity);
            self.timer = Some(self.timer.map_or(due, |timer| timer.min(due)));
        }
    }

    fn send(&mut self, bytes: u64, class: Class, urgent: Option<f64>) {
        let is_alone = self.budget.in_flight() == 0;
        let asks = self.budget.wants_ack(bytes) || urgent.is_some();
        let stamp = self.budget.handle_sent(self.at(), bytes, class);
        let most = self.budget.bytes() + u64::from(self.budget.chunk_bytes()) + 32;
        assert!(is_alone || self.budget.in_flight() <= most, "I5: {:?}", self.budget);
        let (number, chunk) = (self.next, f64::from(self.budget.chunk_bytes()));
        self.next += 1;
        self.unacknowledged.push_back((number, bytes, stamp));
        self.under_way += bytes;
        let bound =
            span(self.budget.config.delay) + (2.0 * chunk + float(URGENT)) / self.rate * SECOND + self.up;
        let urgent = urgent.map(|at| (at, bound));
        self.give(Record { number: Some(number), bytes, asks, urgent });
    }

    fn give(&mut self, record: Record) {
        self.advance_link();
        self.longest_queue = self.longest_queue.max(float(self.queued) / self.rate * SECOND);
        if self.queue.is_empty() {
            self.left = float(record.bytes);
        }
        self.queued += record.bytes;
        self.queue.push_back(record);
    }

    /// What has gone until now has gone at the present rate.
    fn advance_link(&mut self) {
        if !self.queue.is_empty() {
            self.left = (self.left - (self.now - self.left_at) * self.rate / SECOND).max(0.0);
        }
        self.left_at = self.now;
    }

    fn leave(&mut self) {
        let Some(record) = self.queue.pop_front() else { return };
        self.queued -= record.bytes;
        self.left = self.queue.front().map_or(0.0, |record| float(record.bytes));
        self.left_at = self.now;
        if record.number.is_none() {
            self.give(record);
            return;
        }
        let before = self.flying.back().map_or(0.0, |(at, _)| *at);
        let at = self.now + self.up + self.jitter * self.random.unit();
        self.flying.push_back((at.max(before), record));
    }

    fn arrive(&mut self) {
        let Some((_, record)) = self.flying.pop_front() else { return };
        let Some(number) = record.number else { return };
        self.arrived += record.bytes;
        if let Some((at, bound)) = record.urgent {
            self.arrivals.push(Arrival { took: self.now - at, bound });
        }
        self.got = Some((number, self.now));
        if record.asks {
            self.acknowledge();
        } else {
            self.ack_at.get_or_insert(self.now + MAX_ACK_DELAY);
        }
    }

    fn acknowledge(&mut self) {
        self.ack_at = None;
        let Some((number, at)) = self.got else { return };
        let delay = self.now - at;
        let mut at = self.now + self.back;
        if self.lump > 0.0 {
            at = (at / self.lump).ceil() * self.lump;
        }
        let before = self.answers.back().map_or(0.0, |(at, _, _)| *at);
        self.answers.push_back((at.max(before), number, delay));
    }

    fn hear(&mut self) {
        let Some((_, upto, delay)) = self.answers.pop_front() else { return };
        let (mut bytes, mut newest) = (0, None);
        while let Some((number, size, stamp)) = self.unacknowledged.front().copied()
            && number <= upto
        {
            self.unacknowledged.pop_front();
            bytes += size;
            newest = Some(stamp);
        }
        self.under_way -= bytes;
        if let Some(newest) = newest {
            self.acks += 1;
            self.budget.handle_acknowledged(self.at(), bytes, newest, Some(whole(delay)));
        }
    }
}
