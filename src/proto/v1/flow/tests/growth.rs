//! A channel over a link in virtual time: whether its window grows to what it needs, and not for ever.

use super::*;
use std::collections::VecDeque;

/// How the application takes items.
#[derive(Clone, Copy, Debug)]
enum Taking {
    AtOnce,
    /// So many bytes a second.
    Slowly(u64),
    /// All that is there, each so many microseconds.
    Every(u64),
}

/// Amounts in cost, the rate too, in a second; times in microseconds.
#[derive(Clone, Copy, Debug)]
struct Link {
    rate: u64,
    round_trip: u64,
    item: u64,
    chunk: u64,
    window: u64,
    taking: Taking,
}

impl Link {
    /// Which share of the link, or of what the application takes at most, passes in the second half of `micros`; and
    /// the window at the end, with no bound to its growth.
    fn run(self, micros: u64) -> (f64, u64) {
        let Self { rate, round_trip, item, chunk, window, taking } = self;
        let mut receives = RecvWindow::new(window, item);
        let mut sends = SendWindow::new(receives.regrant());
        let mut chunks: VecDeque<(u64, u64, bool)> = VecDeque::new();
        let mut grants: VecDeque<(u64, u64)> = VecDeque::new();
        let mut items: VecDeque<u64> = VecDeque::new();
        let (mut now, mut free_at, mut take_at) = (0, 0, 0);
        let (mut begun, mut partial) = (item, 0);
        let (mut taken, mut at_half) = (0, None);
        while now < micros {
            while let Some(&(_, limit)) = grants.front().filter(|&&(at, _)| at <= now) {
                grants.pop_front();
                sends.raise(limit);
            }
            let size = begun.min(chunk);
            if free_at <= now && sends.credit() >= cost(size) {
                sends.charge(cost(size));
                begun -= size;
                let is_last = begun == 0;
                begun = if is_last { item } else { begun };
                free_at = now + (cost(size) * 1_000_000).div_ceil(rate);
                chunks.push_back((free_at + round_trip / 2, cost(size), is_last));
            }
            while let Some(&(_, cost, is_last)) = chunks.front().filter(|&&(at, ..)| at <= now) {
                chunks.pop_front();
                receives.receive(cost).unwrap();
                partial += cost;
                if is_last {
                    items.push_back(partial);
                    partial = 0;
                }
            }
            while take_at <= now
                && let Some(cost) = items.pop_front()
            {
                taken += cost;
                let _ = receives.consume(Timestamp::from_micros(now), cost);
                if receives.grows(Timestamp::from_micros(now), Some(round_trip)) {
                    let _ = receives.grow(u64::MAX);
                }
                if let Taking::Slowly(rate) = taking {
                    take_at = now + (cost * 1_000_000).div_ceil(rate);
                }
            }
            if let Taking::Every(span) = taking
                && take_at <= now
            {
                take_at = now + span;
            }
            if let Some(limit) = receives.grant(partial > 0) {
                grants.push_back((now + round_trip / 2, limit));
            }
            if now * 2 >= micros {
                at_half.get_or_insert((now, taken));
            }
            let next = [
                Some(free_at),
                Some(take_at),
                grants.front().map(|&(at, _)| at),
                chunks.front().map(|&(at, ..)| at),
            ];
            now = next.into_iter().flatten().filter(|&at| at > now).min().expect("something is due");
        }
        let (since, before) = at_half.unwrap();
        let most = if let Taking::Slowly(slow) = taking { slow.min(rate) } else { rate };
        #[allow(clippy::cast_precision_loss, reason = "below 2^53")]
        let share = ((taken - before) * 1_000_000) as f64 / ((now - since) * most) as f64;
        (share, receives.window())
    }

    /// Eight times what passes in a round trip at this rate, or four items; the first window if that is more.
    fn most(self, rate: u64) -> u64 {
        let path = rate * self.round_trip.max(5_000) / 1_000_000;
        let item = self.item + self.item.div_ceil(self.chunk) * 64;
        // A half is over with the item that makes it more than that: 2 * (half - item) pass in the two round trips.
        self.window.max(needed(self.item)).max(8 * path + 4 * item).max(4 * item)
    }
}

/// Rates of 0.2 to 20 MB/s, round trips of 5 to 200 ms, items of 1 kB to 3 MB.
fn links(taking: impl Fn(u64) -> Taking) -> Vec<Link> {
    let mut links = Vec::new();
    for rate in [200_000, 2_000_000, 20_000_000] {
        for round_trip in [5_000, 50_000, 200_000] {
            for item in [1_000, 57_344, 300_000, 3_000_000] {
                let chunk = (rate / 250).clamp(992, 262_144);
                for window in [65_536, 1 << 20] {
                    links.push(Link { rate, round_trip, item, chunk, window, taking: taking(rate) });
                }
            }
        }
    }
    links
}

/// Long enough for 80 items at this rate, and for 60 round trips.
fn long(link: Link, rate: u64) -> u64 {
    (80 * link.item * 1_000_000 / rate).max(60 * link.round_trip)
}

#[test]
fn a_reader_that_keeps_up_has_the_whole_link() {
    for link in links(|_| Taking::AtOnce) {
        let (share, window) = link.run(long(link, link.rate));
        // The second half may begin and end in the middle of an item.
        assert!(share > 0.95, "{link:?}: {share:.3}");
        assert!(window <= link.most(link.rate), "{link:?}: {window}");
    }
}

#[test]
fn a_slow_reader_has_what_it_takes_and_no_larger_a_window() {
    for percent in [20, 50, 80, 95] {
        for link in links(|rate| Taking::Slowly(rate * percent / 100)) {
            let slow = link.rate * percent / 100;
            let (share, window) = link.run(long(link, slow));
            assert!(share > 0.95, "{percent} % {link:?}: {share:.3}");
            let most = link.most(slow);
            assert!(window <= most, "{percent} % {link:?}: {window} above {most}");
        }
    }
}

#[test]
fn a_reader_that_takes_all_now_and_then_gets_room_for_what_comes_in_between() {
    for span in [20_000, 200_000] {
        for link in links(|_| Taking::Every(span)).into_iter().filter(|link| link.item <= 57_344) {
            let (share, window) = link.run(long(link, link.rate).max(span * 60));
            assert!(share > 0.95, "{span} {link:?}: {share:.3}");
            let slower = Link { round_trip: link.round_trip.max(5_000) + span, ..link };
            assert!(window <= slower.most(link.rate), "{span} {link:?}: {window}");
        }
    }
}
