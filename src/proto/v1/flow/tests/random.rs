//! Both windows of a channel under random operations: credit is neither lost nor made, and nothing locks up.

use super::*;
use std::collections::VecDeque;

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// A chunk on its way: payload, and whether it is the last of its item.
type Chunk = (u64, bool);

struct Channel {
    random: Random,
    now: u64,
    sends: SendWindow,
    receives: RecvWindow,
    /// What the sender knows of the receiver's item limit.
    max_item: u64,
    /// Bytes left of the item that is being sent.
    begun: Option<u64>,
    chunks: VecDeque<Chunk>,
    /// Limits on their way back, and item limits with them.
    grants: VecDeque<(u64, u64)>,
    /// The cost of what has arrived of the partial item.
    partial: Option<u64>,
    /// Items that have arrived and are not taken.
    items: VecDeque<u64>,
    /// What the receiver's window ought to be by the differences that it told.
    window: u64,
    sent: u64,
    taken: u64,
    grown: u64,
    shrunk: u64,
}

impl Channel {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let max_item = 1024 + random.below(4000);
        let limit = needed(max_item) + random.below(3) * random.below(3000);
        Self {
            now: 0,
            sends: SendWindow::new(limit),
            receives: RecvWindow::new(limit, max_item),
            max_item,
            begun: None,
            chunks: VecDeque::new(),
            grants: VecDeque::new(),
            partial: None,
            items: VecDeque::new(),
            window: limit,
            sent: 0,
            taken: 0,
            grown: 0,
            shrunk: 0,
            random,
        }
    }

    /// Sends one chunk of at most `largest` bytes if section 6.2 permits it. Whether it did.
    fn send(&mut self, item: u64, largest: u64) -> bool {
        let credit = self.sends.credit();
        let rest = self.begun.unwrap_or(item);
        if credit < cost(rest) && credit < cost(512) {
            return false;
        }
        let chunk = rest.min(largest).min(credit - 64);
        let is_last = chunk == rest;
        assert!(is_last || chunk >= 512);
        self.begun = (!is_last).then_some(rest - chunk);
        self.sends.charge(cost(chunk));
        self.sent += cost(chunk);
        self.chunks.push_back((chunk, is_last));
        true
    }

    fn arrive(&mut self) {
        let Some((bytes, is_last)) = self.chunks.pop_front() else { return };
        self.receives.receive(cost(bytes)).expect("the sender kept to its credit");
        let item = self.partial.take().unwrap_or(0) + cost(bytes);
        if is_last {
            self.items.push_back(item);
        } else {
            self.partial = Some(item);
        }
        self.grant();
    }

    fn take(&mut self) {
        let Some(cost) = self.items.pop_front() else { return };
        self.taken += cost;
        let fell = self.receives.consume(Timestamp::from_micros(self.now), cost);
        (self.window, self.shrunk) = (self.window - fell, self.shrunk + fell);
        let round_trip = Some(self.random.below(100_000));
        if self.receives.grows(Timestamp::from_micros(self.now), round_trip) {
            let spare = self.random.below(100_000).min(300_000_u64.saturating_sub(self.window));
            let grew = self.receives.grow(spare);
            assert!(grew <= spare);
            (self.window, self.grown) = (self.window + grew, self.grown + grew);
        }
        self.grant();
    }

    fn grant(&mut self) {
        if let Some(limit) = self.receives.grant(self.partial.is_some()) {
            self.grants.push_back((limit, 0));
        }
    }

    fn credit(&mut self) {
        if let Some((limit, max_item)) = self.grants.pop_front() {
            self.sends.raise(limit);
            self.max_item = self.max_item.max(max_item);
        }
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..30 => {
                let item = self.random.below(self.max_item + 1);
                let largest = 512 + self.random.below(3) * self.random.below(4000);
                self.send(item, largest);
            }
            30..60 => self.arrive(),
            60..85 => self.take(),
            85..96 => self.credit(),
            96 => {
                let (window, item) = (self.random.below(40_000), self.random.below(20_000));
                let limit = self.receives.open(window, item);
                self.window = self.receives.window();
                self.grants.push_back((limit, self.receives.max_item()));
            }
            // After a resume; grants on their way are lost, as CREDIT is not kept.
            97 => self.grants = [(self.receives.regrant(), self.receives.max_item())].into(),
            98 => self.now += 30_000_000 + self.random.below(1000),
            _ => self.now += self.random.below(1_000_000),
        }
        self.now += self.random.below(3000);
    }

    fn check(&self, limit_before: u64) {
        let receives = &self.receives;
        assert!(receives.limit() >= limit_before, "limits never fall");
        assert!(self.sends.used() <= self.sends.limit() && self.sends.limit() <= receives.limit());
        let under_way: u64 = self.chunks.iter().map(|&(bytes, _)| cost(bytes)).sum();
        assert_eq!((self.sends.used(), self.sent), (self.sent, receives.received() + under_way));
        assert_eq!(receives.consumed(), self.taken);
        let waits = self.items.iter().sum::<u64>() + self.partial.unwrap_or(0);
        assert_eq!(receives.received() - receives.consumed(), waits);
        assert!(receives.received() <= receives.limit());
        assert!(receives.limit() <= receives.consumed() + receives.window());
        assert!(needed(receives.max_item()) <= receives.window());
        assert_eq!(receives.window(), self.window, "the differences add up");
        // Nothing is lost: what is not granted is less than a quarter, or nothing if an item waits for it.
        let ungranted = receives.consumed() + receives.window() - receives.limit();
        assert!(
            ungranted * 4 < receives.window() && (ungranted == 0 || self.partial.is_none()),
            "{ungranted}"
        );
    }

    /// Everything that is on its way arrives, and all items are taken. An item that was begun is finished.
    fn settle(&mut self, largest: u64) {
        loop {
            while !self.chunks.is_empty() {
                self.arrive();
            }
            while !self.items.is_empty() {
                self.take();
            }
            while !self.grants.is_empty() {
                self.credit();
            }
            if self.begun.is_none() {
                return;
            }
            assert!(self.send(0, largest), "the rest of a permitted item fits");
        }
    }
}

#[test]
fn credit_is_neither_lost_nor_made_and_a_permitted_item_always_fits() {
    let (mut grown, mut shrunk) = (0, 0);
    for seed in 0..2_000_u64 {
        let run = std::panic::catch_unwind(|| {
            let mut channel = Channel::new(seed);
            for _ in 0..20 {
                for _ in 0..60 {
                    let before = channel.receives.limit();
                    channel.step();
                    channel.check(before);
                }
                let largest = 512 + channel.random.below(2) * channel.random.below(9000);
                channel.settle(largest);
                // The largest item goes through in the smallest chunks, of which none is taken before it is whole.
                let item = channel.max_item;
                assert!(channel.send(item, 512), "it may begin");
                channel.settle(512);
                channel.check(0);
                assert_eq!(channel.receives.received(), channel.receives.consumed());
            }
            (channel.grown, channel.shrunk)
        });
        let Ok((more, less)) = run else {
            panic!("seed {seed}");
        };
        (grown, shrunk) = (grown + more, shrunk + less);
    }
    assert!(grown > 10_000_000 && shrunk > 10_000_000, "{grown} {shrunk}");
}

#[test]
fn a_window_half_open_admits_the_rest_of_an_item_in_the_smallest_chunks() {
    for max_item in [1024, 1025, 1535, 1536, 4096, 57_344] {
        let limit = needed(max_item);
        for before in (64..limit.min(8192)).chain(limit - limit.min(1000)..=limit) {
            // So much was used and taken before, which may be too little for a grant.
            let mut sends = SendWindow::new(limit);
            let mut receives = RecvWindow::new(limit, max_item);
            sends.charge(before);
            assert_eq!(pass(&mut receives, at(0), before), 0);
            let granted = receives.grant(false);
            assert_eq!(granted.is_some(), before * 4 >= limit);
            granted.map(|limit| sends.raise(limit));
            let mut rest = max_item;
            while rest > 0 {
                let chunk = rest.min(512);
                assert!(sends.credit() >= cost(chunk), "{max_item}, {before} before, {rest} left");
                sends.charge(cost(chunk));
                receives.receive(cost(chunk)).unwrap();
                rest -= chunk;
                receives.grant(rest > 0).map(|limit| sends.raise(limit));
            }
        }
    }
}
