//! One direction of a connection: a rate, a delay, and all that waits before it, of which the sender sees a part.

use std::collections::VecDeque;

use crate::random::Random;

/// What one direction is like. Times in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// Bytes a second, and from when on; in order of time.
    pub(crate) rates: Vec<(u64, u64)>,
    pub(crate) delay: u64,
    pub(crate) jitter: u64,
    /// Messages arrive together at multiples of this; 0 for none.
    pub(crate) lump: u64,
    /// How much of what waits the sender does not see.
    pub(crate) hidden: u64,
}

impl Link {
    /// When `bytes` that begin to leave at `from` have left.
    fn leaves(&self, from: u64, bytes: u64) -> u64 {
        let (mut at, mut rest) = (from as f64, bytes as f64);
        for (index, (_, rate)) in self.rates.iter().enumerate() {
            let until = self.rates.get(index + 1).map_or(f64::MAX, |next| next.0 as f64);
            if at >= until {
                continue;
            }
            let per_micro = *rate as f64 / 1e6;
            let takes = rest / per_micro;
            if at + takes <= until {
                return (at + takes).ceil() as u64;
            }
            rest -= (until - at) * per_micro;
            at = until;
        }
        at.ceil() as u64
    }
}

/// What is under way in one direction.
#[derive(Debug)]
pub(crate) struct Pipe {
    link: Link,
    random: Random,
    /// When the last message has left.
    busy_until: u64,
    last_arrival: u64,
    leaving: VecDeque<(u64, u64)>,
    arriving: VecDeque<(u64, Vec<u8>)>,
    /// Nothing arrives any more.
    is_dead: bool,
}

impl Pipe {
    pub(crate) fn new(link: Link, random: Random) -> Self {
        let (leaving, arriving) = (VecDeque::new(), VecDeque::new());
        Self { link, random, busy_until: 0, last_arrival: 0, leaving, arriving, is_dead: false }
    }

    pub(crate) fn give(&mut self, now: u64, message: Vec<u8>) {
        let bytes = message.len() as u64 + 8;
        self.busy_until = self.link.leaves(self.busy_until.max(now), bytes);
        self.leaving.push_back((self.busy_until, bytes));
        let jitter = if self.link.jitter == 0 { 0 } else { self.random.between(0, self.link.jitter) };
        let mut at = self.busy_until + self.link.delay + jitter;
        if self.link.lump > 0 {
            at = at.div_ceil(self.link.lump) * self.link.lump;
        }
        self.last_arrival = self.last_arrival.max(at);
        if !self.is_dead {
            self.arriving.push_back((self.last_arrival, message));
        }
    }

    /// What has not left.
    pub(crate) fn standing(&mut self, now: u64) -> u64 {
        while self.leaving.front().is_some_and(|(at, _)| *at <= now) {
            self.leaving.pop_front();
        }
        self.leaving.iter().map(|(_, bytes)| bytes).sum()
    }

    /// What the sender sees of it.
    pub(crate) fn amount(&mut self, now: u64) -> u64 {
        self.standing(now).saturating_sub(self.link.hidden)
    }

    /// When the next thing leaves.
    pub(crate) fn next_leaving(&self) -> Option<u64> {
        self.leaving.front().map(|(at, _)| *at)
    }

    pub(crate) fn next_arrival(&self) -> Option<u64> {
        self.arriving.front().map(|(at, _)| *at)
    }

    pub(crate) fn take(&mut self, now: u64) -> Option<Vec<u8>> {
        if self.next_arrival()? <= now { self.arriving.pop_front().map(|(_, message)| message) } else { None }
    }

    /// When what is given now without taking time to leave arrives; `None` if it never does.
    pub(crate) fn arrives(&self, now: u64) -> Option<u64> {
        (!self.is_dead).then(|| self.last_arrival.max(self.busy_until.max(now) + self.link.delay))
    }

    /// What is under way is lost from some point on, or all of it, and whatever follows.
    pub(crate) fn cut(&mut self, all: bool) {
        let keeps = self.random.between(0, self.arriving.len() as u64) as usize;
        let keeps = if all || self.random.once_in(2) { 0 } else { keeps };
        self.arriving.truncate(keeps);
        self.is_dead = true;
    }
}
