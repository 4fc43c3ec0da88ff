//! A sender with a backlog, a path and a peer that answers, in virtual time.

use std::collections::VecDeque;

use super::*;

/// A path with one bottleneck, in front of which everything waits that is sent too early.
struct Path {
    bytes_per_second: u64,
    /// To the peer, and back, in microseconds.
    delay: u64,
    /// How much longer it may take at random.
    jitter: u64,
    random: u64,
    now: u64,
    /// When the bottleneck has sent all that it has.
    free_at: u64,
    given: u64,
    /// When which amount will have been acknowledged.
    answers: VecDeque<(u64, u64)>,
    arrived: u64,
    /// For how long each message has waited in front of the bottleneck.
    waits: Vec<u64>,
}

impl Path {
    fn new(bytes_per_second: u64, delay: u64) -> Self {
        let (answers, waits) = (VecDeque::new(), Vec::new());
        Self {
            bytes_per_second,
            delay,
            jitter: 0,
            random: 1,
            now: 1_000_000,
            free_at: 0,
            given: 0,
            answers,
            arrived: 0,
            waits,
        }
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.now)
    }

    fn give(&mut self, bytes: u64) {
        self.waits.push(self.free_at.saturating_sub(self.now));
        self.free_at = self.free_at.max(self.now) + bytes * 1_000_000 / self.bytes_per_second;
        self.given += bytes;
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let late = (self.random >> 33) % (self.jitter + 1);
        // What is late holds up all behind it.
        let before = self.answers.back().map_or(0, |(at, _)| *at);
        self.answers.push_back(((self.free_at + 2 * self.delay + late).max(before), self.given));
    }

    /// Sends messages of `size` for so long, with a backlog; how many bytes have arrived.
    fn run(&mut self, budget: &mut Budget, size: u64, micros: u64) -> u64 {
        let (end, before) = (self.now + micros, self.arrived);
        self.waits.clear();
        while self.now < end {
            let mut sent = 0;
            while budget.admits(size, false) && sent < 10_000 {
                budget.handle_given(self.at(), size, false);
                self.give(size);
                sent += 1;
            }
            let due = budget.due().as_micros().max(self.now + 1);
            let answer = self.answers.front().copied().filter(|(at, _)| *at <= due);
            self.now = answer.map_or(due, |(at, _)| at).min(end);
            budget.handle_time(self.at());
            if let Some((at, upto)) = answer
                && at <= self.now
            {
                self.answers.pop_front();
                self.arrived = upto;
                budget.handle_acknowledged(self.at(), upto);
            }
        }
        self.arrived - before
    }

    fn wait(&self, percent: usize) -> u64 {
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        waits[(waits.len() - 1) * percent / 100]
    }
}

const SECOND: u64 = 1_000_000;
const DELAY_MICROS: u64 = 12_000;

#[test]
fn a_path_is_filled_and_no_queue_stands_before_it() {
    for rate in [125_000, 2_000_000, 12_500_000, 125_000_000] {
        for delay in [100, 5_000, 20_000, 150_000] {
            for size in [1 << 10, 16 << 10, 64 << 10] {
                let (mut path, mut budget) = (Path::new(rate, delay), Budget::new(Timestamp::ZERO, 0));
                path.run(&mut budget, size, 15 * SECOND);
                let arrived = path.run(&mut budget, size, 40 * SECOND);
                let case = format!("{rate} B/s, {delay} us, {size} B, {budget:?}");
                // The last may be on its way.
                assert!((arrived + size) * 100 >= rate * 40 * 97, "{arrived} of {}: {case}", rate * 40);
                // Beside the delay that is wanted, the time of a message.
                let most = DELAY_MICROS + size * 1_000_000 / rate;
                assert!(path.wait(50) <= most, "{} instead of {most}: {case}", path.wait(50));
                // And after a probe a burst of two.
                let most = most + DELAY_MICROS + 2 * size * 1_000_000 / rate;
                assert!(path.wait(99) <= most, "{} instead of {most}: {case}", path.wait(99));
            }
        }
    }
}

#[test]
fn the_beginning_makes_no_queue_longer_than_the_path_takes() {
    for (rate, delay, size) in [
        (125_000, 20_000, 4 << 10),
        (2_000_000, 10_000, 16 << 10),
        (12_500_000, 75_000, 64 << 10),
        (125_000_000, 10_000, 64 << 10),
    ] {
        let (mut path, mut budget) = (Path::new(rate, delay), Budget::new(Timestamp::ZERO, 0));
        path.run(&mut budget, size, 5 * SECOND);
        let most = DELAY_MICROS + (2 * delay + size * 1_000_000 / rate) * 5 / 4;
        assert!(path.wait(100) <= most, "{} instead of {most}: {rate} B/s, {delay} us", path.wait(100));
    }
}

#[test]
fn a_rate_that_changes_tenfold_is_found_within_seconds() {
    let (mut path, mut budget) = (Path::new(2_000_000, 20_000), Budget::new(Timestamp::ZERO, 0));
    path.run(&mut budget, 16 << 10, 5 * SECOND);
    path.bytes_per_second = 20_000_000;
    path.run(&mut budget, 16 << 10, 2 * SECOND);
    assert!(path.run(&mut budget, 16 << 10, 5 * SECOND) >= 20_000_000 * 5 * 97 / 100);
    path.bytes_per_second = 2_000_000;
    path.run(&mut budget, 16 << 10, 12 * SECOND);
    assert!(path.run(&mut budget, 16 << 10, 5 * SECOND) >= 2_000_000 * 5 * 97 / 100);
    assert!(path.wait(50) <= 2 * DELAY_MICROS, "{}: {budget:?}", path.wait(50));
}

/// Their own time on the link is no queue, which would be looked for again and again.
#[test]
fn messages_that_become_larger_fill_the_path_at_once() {
    for (rate, small, large) in [(500_000, 1_000, 64 << 10), (2_000_000, 4_000, 256 << 10)] {
        let (mut path, mut budget) = (Path::new(rate, 20_000), Budget::new(Timestamp::ZERO, 0));
        path.run(&mut budget, small, 5 * SECOND);
        let arrived = path.run(&mut budget, large, 4 * SECOND);
        assert!((arrived + large) * 100 >= rate * 4 * 97, "{arrived} of {}: {budget:?}", rate * 4);
    }
}

#[test]
fn a_path_that_takes_now_more_and_now_less_is_filled_as_well() {
    let (mut path, mut budget) = (Path::new(2_000_000, 20_000), Budget::new(Timestamp::ZERO, 0));
    path.jitter = 30_000;
    path.run(&mut budget, 16 << 10, 5 * SECOND);
    let arrived = path.run(&mut budget, 16 << 10, 20 * SECOND);
    assert!(arrived >= 2_000_000 * 20 * 95 / 100, "{arrived}: {budget:?}");
    assert!(path.wait(50) <= 40_000, "{}: {budget:?}", path.wait(50));
}

#[test]
fn a_queue_of_others_that_goes_is_found_gone() {
    // It was there from the beginning, so that nobody knows the path without it.
    let (mut path, mut budget) = (Path::new(2_000_000, 60_000), Budget::new(Timestamp::ZERO, 0));
    path.run(&mut budget, 16 << 10, 5 * SECOND);
    path.delay = 20_000;
    path.run(&mut budget, 16 << 10, 30 * SECOND);
    path.run(&mut budget, 16 << 10, 5 * SECOND);
    assert!(path.wait(50) <= 2 * DELAY_MICROS, "{}: {budget:?}", path.wait(50));
}

#[test]
fn what_was_given_before_is_waited_for_first() {
    let mut budget = Budget::new(Timestamp::ZERO, 512 << 10);
    assert!(!budget.admits(1, false));
    budget.handle_acknowledged(Timestamp::from_micros(300_000), 500 << 10);
    assert!(budget.admits(1 << 10, false) && !budget.admits(16 << 10, false));
    budget.handle_acknowledged(Timestamp::from_micros(310_000), 512 << 10);
    assert!(budget.admits(u64::MAX, false), "alone, a message of any size may go");
}

#[test]
fn an_urgent_message_goes_beside_a_full_budget_but_not_beside_two() {
    let (mut path, mut budget) = (Path::new(2_000_000, 20_000), Budget::new(Timestamp::ZERO, 0));
    path.run(&mut budget, 16 << 10, 5 * SECOND);
    while budget.admits(1 << 10, false) {
        budget.handle_given(path.at(), 1 << 10, false);
    }
    assert!(budget.admits(1 << 20, true));
    budget.handle_given(path.at(), 1 << 20, true);
    assert!(!budget.admits(1, true));
}

#[test]
fn little_to_send_says_nothing_about_the_rate() {
    let (mut path, mut budget) = (Path::new(2_000_000, 20_000), Budget::new(Timestamp::ZERO, 0));
    path.run(&mut budget, 16 << 10, 5 * SECOND);
    let before = budget.bytes_per_second();
    for _ in 0..1_000 {
        // One small message at a time.
        path.now += 60_000;
        if let Some((_, upto)) = path.answers.back().copied() {
            budget.handle_acknowledged(path.at(), upto);
        }
        budget.handle_given(path.at(), 100, false);
        budget.rest();
        path.give(100);
    }
    assert_eq!(budget.bytes_per_second(), before);
}

#[test]
fn answers_that_make_no_sense_change_nothing() {
    let mut budget = Budget::new(Timestamp::ZERO, 0);
    let at = Timestamp::from_micros;
    budget.handle_acknowledged(at(1), 5_000);
    assert_eq!((budget.under_way(), budget.bytes_per_second()), (0, 0));
    budget.handle_given(at(10), 1_000, false);
    budget.handle_given(at(20), 1_000, false);
    budget.handle_acknowledged(at(30), 1_000);
    budget.handle_acknowledged(at(40), 10);
    assert_eq!(budget.under_way(), 1_000);
    budget.handle_acknowledged(at(50), 2_001);
    budget.handle_acknowledged(at(50), u64::MAX);
    assert_eq!(budget.under_way(), 1_000, "more than there was");
    budget.handle_acknowledged(at(30), 2_000);
    assert_eq!(budget.under_way(), 0);
    budget.handle_given(at(u64::MAX), u64::MAX, false);
    budget.handle_given(at(0), u64::MAX, false);
    budget.handle_time(at(u64::MAX));
    assert!(budget.due() <= at(u64::MAX));
}

#[test]
fn whoever_owes_an_answer_for_a_second_is_silent() {
    let mut budget = Budget::new(Timestamp::ZERO, 0);
    assert!(!budget.is_silent(Timestamp::from_micros(10 * SECOND)), "nothing is owed");
    let at = Timestamp::from_micros(20 * SECOND);
    budget.handle_given(at, 1_000, false);
    let due = budget.due().as_micros();
    assert!((21 * SECOND..21 * SECOND + 131_072).contains(&due), "{due}");
    assert!(!budget.is_silent(Timestamp::from_micros(21 * SECOND - 1)));
    assert!(budget.is_silent(Timestamp::from_micros(21 * SECOND)));
    budget.handle_acknowledged(Timestamp::from_micros(30 * SECOND), 1_000);
    assert!(!budget.is_silent(Timestamp::from_micros(30 * SECOND)));
}

#[test]
fn a_silence_is_no_part_of_the_rate_that_the_answer_behind_it_tells() {
    let at = Timestamp::from_micros;
    let mut budget = Budget::new(at(0), 0);
    budget.handle_given(at(0), 16_384, false);
    assert!(budget.is_silent(at(1_000_000)));
    budget.give_up();
    for _ in 0..3 {
        budget.handle_given(at(1_000_000), 16_384, false);
    }
    budget.handle_acknowledged(at(1_050_000), 65_536);
    let rate = budget.bytes_per_second();
    assert_eq!(rate, 3 * 16_384 * 20, "what was given before the silence may have arrived in it");
}
