//! How long an urgent item takes while the rest of the link is full, against section 15.6 of PROTOCOL.md:
//! L <= D + (2c + s)/R + RTT/2 + J.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use tidegate::proto::Priority;

use crate::amount;
use crate::link::Link;
use crate::path::{Arrival, Flow, MILLI, Path, Run, SECOND};
use crate::random::Random;

/// D, in microseconds.
const DELAY: u64 = 12 * MILLI;
/// An urgent item with its header.
const URGENT: u64 = 40;

/// An item that the application would make 8 MiB large where the server takes so much at once.
const LARGE: usize = 400_000;
const MEDIUM: usize = 65_536;

/// What a run has shown after its startup.
struct Figures {
    path: Path,
    /// The longest that an urgent item took in the startup.
    start_most: u64,
    arrivals: Vec<Arrival>,
    /// Payload as a part of what the link takes.
    part: f64,
}

fn flows(bytes: usize) -> [Flow; 2] {
    [Flow::bulk(Priority::Bulk, bytes), Flow::urgent()]
}

/// How long the startup lasts at most, the greeting and the OPEN included, and until its queue is gone.
fn startup(path: &Path) -> u64 {
    let round_trip = path.there.delay + path.back.delay;
    18 * round_trip + 2 * 14_600 * SECOND / path.rate() + 1_200 * MILLI
}

/// The longest that an urgent item may take in the startup: a round's worth of queue, and what is sent before anything
/// is known.
fn startup_bound(path: &Path) -> u64 {
    2 * path.there.delay + path.back.delay + (14_600 + 2 * 4_096) * SECOND / path.rate() + 25 * MILLI
}

/// What section 15.6 allows for an item.
fn bound(path: &Path, rate: u64, arrival: &Arrival) -> u64 {
    let queue = (2 * u64::from(arrival.gauges.chunk) + URGENT) * SECOND / rate;
    DELAY + queue + path.there.delay
}

impl Figures {
    fn new(path: Path, bytes: usize, seed: u64, lasts: u64) -> Self {
        let mut run = Run::new(path, &flows(bytes), seed);
        let start = startup(&run.path);
        run.until(start);
        let start_most = run.arrivals.iter().map(|arrival| arrival.took).max().unwrap_or(0);
        run.arrivals.clear();
        let payload = run.until(start + lasts);
        let part = payload as f64 / (run.path.rate() as f64 * lasts as f64 / SECOND as f64);
        Self { path: run.path, start_most, arrivals: run.arrivals, part }
    }

    fn took(&self, percent: usize) -> u64 {
        let mut took: Vec<u64> = self.arrivals.iter().map(|arrival| arrival.took).collect();
        took.sort_unstable();
        took[(took.len() - 1) * percent / 100]
    }

    fn bound(&self) -> u64 {
        let bounds = self.arrivals.iter().map(|arrival| bound(&self.path, self.path.rate(), arrival));
        bounds.max().unwrap_or(0)
    }

    /// Items that took longer than is allowed and `more`, by how much, and why as far as the sender knew.
    fn exceptions(&self, more: u64) -> Vec<(u64, String)> {
        let allowed = |arrival: &Arrival| bound(&self.path, self.path.rate(), arrival) + more;
        let late = self.arrivals.iter().filter(|arrival| arrival.took > allowed(arrival));
        late.map(|arrival| (arrival.took - allowed(arrival), self.reason(arrival))).collect()
    }

    fn reason(&self, arrival: &Arrival) -> String {
        let gauges = &arrival.gauges;
        let rate = gauges.bytes_per_second as f64 / self.path.rate() as f64;
        let round_trip = (self.path.there.delay + self.path.back.delay) as f64;
        let excess = gauges.round_trip_micros.unwrap_or(0) as f64 - round_trip;
        if rate > 1.02 {
            format!("R is {rate:.3} of the link")
        } else if excess > 1_500.0 {
            format!("RTTmin is {:.1} ms too long", excess / 1e3)
        } else {
            // 30 of 600,004 in 5,000 paths, all below 0.1 MB/s with a buffer that is seen in whole, by 3.7 ms at most:
            // urgent items wait for room in it, too. Where they did not, none of the 30 was late.
            format!("R and RTTmin are right, and {} of {} B under way", gauges.in_flight, gauges.budget)
        }
    }

    fn line(&self) -> String {
        let millis = |micros: u64| micros as f64 / 1e3;
        format!(
            "| {:>5.2} | {:>5.0} | {:>6.1} | {:>6.1} | {:>6.1} | {:>6.1} | {:>6.1} | {:.3} | {:>2} of {} |",
            self.path.rate() as f64 / 1e6,
            millis(self.path.there.delay + self.path.back.delay),
            millis(self.start_most),
            millis(self.took(50)),
            millis(self.took(99)),
            millis(self.took(100)),
            millis(self.bound()),
            self.part,
            self.exceptions(0).len(),
            self.arrivals.len(),
        )
    }
}

const TITLE: &str = "|  MB/s |   RTT |  start |    p50 |    p99 |   most |  bound |  link | late (ms)";

/// Logarithms of such are as likely as any.
fn log_between(random: &mut Random, from: f64, to: f64) -> u64 {
    let unit = random.between(0, 1 << 30) as f64 / f64::from(1 << 30);
    (from * (to / from).powf(unit)) as u64
}

fn drawn(seed: u64) -> (Path, usize) {
    let random = &mut Random::new(60, seed);
    let rate = log_between(random, 62_500.0, 25e6);
    let round_trip = log_between(random, 5e3, 300e3);
    let mut path = Path::even(rate, round_trip);
    path.there.hidden = random.of(&[u64::MAX, u64::MAX, 131_000, 0]);
    path.from = random.of(&[0, 0, 0, 1]);
    if random.once_in(3) {
        // A free way back.
        path.back = Link { rates: vec![(0, 100_000_000)], ..path.back };
    }
    (path, random.of(&[MEDIUM, LARGE]))
}

/// 0.5 to 200 Mbit/s, 5 to 300 ms, up and down, buffers that are seen, in part, and not.
#[test]
fn i07_an_urgent_item_arrives_within_the_bound() {
    let (seeds, next) = (amount(200, 5_000), AtomicU64::new(0));
    let all = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            let (path, bytes) = drawn(seed);
            let figures = Figures::new(path, bytes, seed, 12 * SECOND);
            all.lock().unwrap().push((seed, figures));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut all = all.into_inner().unwrap();
    all.sort_by_key(|(seed, _)| *seed);
    println!("seed {TITLE}");
    let (mut late, mut items, mut least, mut slow_starts, mut most) = (0, 0, f64::MAX, 0, 0);
    for (seed, figures) in &all {
        let exceptions = figures.exceptions(0);
        let is_slow = figures.start_most > startup_bound(&figures.path);
        if !exceptions.is_empty() || is_slow || figures.part < 0.95 {
            let start = if is_slow { "slow start" } else { "" };
            println!("{seed:>4} {} {start} {:?}", figures.line(), figures.path.there.hidden);
        }
        for (by, why) in exceptions.iter().take(3) {
            println!("       {:.1} ms: {why}", *by as f64 / 1e3);
        }
        most = exceptions.iter().map(|(by, _)| *by).fold(most, u64::max);
        late += exceptions.len();
        items += figures.arrivals.len();
        least = figures.part.min(least);
        slow_starts += usize::from(is_slow);
    }
    println!(
        "{late} of {items} late, by {:.1} ms at most; the link at {least:.3} or more",
        most as f64 / 1e3
    );
    println!("{slow_starts} of {} starts beyond their bound", all.len());
    assert!(late * 10_000 <= items, "{late} of {items}");
    assert!(slow_starts * 100 <= all.len(), "{slow_starts} of {}", all.len());
    assert!(least >= 0.94, "{least}");
}

/// Slow, usual and fast, near and far, for messages of 64 KiB and for the parts of large ones.
#[test]
fn an_urgent_item_arrives_in_time_while_the_link_is_full() {
    println!("{TITLE}");
    for bytes in [MEDIUM, LARGE] {
        for rate in [200_000, 2_000_000, 20_000_000] {
            for round_trip in [5, 50, 200] {
                let figures = Figures::new(Path::even(rate, round_trip * MILLI), bytes, 1, 30 * SECOND);
                println!("{}", figures.line());
                assert!(figures.took(99) <= figures.bound(), "{}", figures.line());
                assert!(figures.start_most <= startup_bound(&figures.path), "{}", figures.line());
                assert!(figures.part >= 0.95, "{}", figures.line());
            }
        }
    }
}

/// The link of `bench hol`: 20 ms there, nothing back. Up and down, for all kinds of buffers.
#[test]
fn at_2_mb_a_second_and_20_ms_an_urgent_item_waits_15_ms() {
    println!("{TITLE}");
    for from in [0, 1] {
        for hidden in [u64::MAX, 131_000, 0] {
            let mut path = Path::even(2_000_000, 40 * MILLI);
            path.back = Link { rates: vec![(0, 1_000_000_000)], delay: 0, ..path.back };
            (path.there.hidden, path.from) = (hidden, from);
            for bytes in [MEDIUM, LARGE] {
                let figures = Figures::new(path.clone(), bytes, 1, 30 * SECOND);
                println!("{} {}", figures.line(), ["up", "down"][from]);
                assert!(figures.took(50) <= 35 * MILLI, "{}", figures.line());
                assert!(figures.took(99) <= 70 * MILLI, "{}", figures.line());
                assert!(figures.took(99) <= figures.bound(), "{}", figures.line());
                assert!(figures.part >= 0.97, "{}", figures.line());
            }
        }
    }
}

#[test]
fn downwards_it_is_the_same() {
    println!("{TITLE}");
    for round_trip in [5, 50, 200] {
        for hidden in [u64::MAX, 131_000, 0] {
            let mut path = Path::even(2_000_000, round_trip * MILLI);
            (path.there.hidden, path.from) = (hidden, 1);
            let figures = Figures::new(path, MEDIUM, 1, 30 * SECOND);
            println!("{}", figures.line());
            assert!(figures.took(99) <= figures.bound(), "{}", figures.line());
            assert!(figures.part >= 0.97, "{}", figures.line());
        }
    }
}

/// J of section 15.6 is what the path adds, and the lumps that it makes of acknowledgements. With 30 ms both ways D is
/// at its limit, and the link is not full: 0.85 to 0.89 when this was written.
#[test]
fn jitter_is_all_that_jitter_adds() {
    println!("{TITLE}");
    for round_trip in [20, 100] {
        for (there, back) in [(3, 0), (10, 0), (30, 0), (3, 3), (10, 10), (30, 30)] {
            let mut path = Path::even(2_000_000, round_trip * MILLI);
            (path.there.jitter, path.back.jitter) = (there * MILLI, back * MILLI);
            let figures = Figures::new(path, MEDIUM, 1, 30 * SECOND);
            let late = figures.exceptions(there * MILLI + (2 * there.max(back) * MILLI).min(50 * MILLI));
            println!("{} jitter {there} and {back} ms, {} late", figures.line(), late.len());
            assert!(late.len() * 100 <= figures.arrivals.len(), "{} late: {}", late.len(), figures.line());
            let least = if back < 30 { 0.94 } else { 0.8 };
            assert!(figures.part >= least, "{}", figures.line());
        }
    }
}

/// What was under way for the old rate has to leave at the new one; then all is as before.
#[test]
fn a_rate_that_falls_costs_one_queue() {
    const TO: u64 = 400_000;
    for round_trip in [20, 100] {
        for from in [0, 1] {
            let mut path = Path::even(2_000_000, round_trip * MILLI);
            let falls = startup(&path) + 5 * SECOND;
            path.there.rates.push((falls, TO));
            path.from = from;
            let mut run = Run::new(path, &flows(MEDIUM), 1);
            run.until(falls);
            let before = run.gauges();
            run.arrivals.clear();
            run.until(falls + 30 * SECOND);
            let most = run.arrivals.iter().map(|arrival| arrival.took).max().unwrap();
            let chunk = u64::from(before.chunk) + 32;
            let once = (before.budget + 2 * chunk + URGENT) * SECOND / TO + run.path.there.delay;
            let is_late = |arrival: &&Arrival| arrival.took > bound(&run.path, TO, arrival);
            let late: Vec<_> = run.arrivals.iter().filter(is_late).collect();
            let lasts = late.last().map_or(0, |arrival| (arrival.sent + arrival.took).saturating_sub(falls));
            let late = late.len();
            let payload = run.until(falls + 50 * SECOND);
            let part = payload as f64 / (20 * TO) as f64;
            println!(
                "RTT {round_trip}: {} ms of {} at most, {} late, for {} ms; the link at {part:.3}",
                most / MILLI,
                once / MILLI,
                late,
                lasts / MILLI
            );
            assert!(most <= once, "{most} of {once}");
            assert!(lasts <= 2 * SECOND + 2 * once, "{lasts}");
            assert!(part >= 0.95, "{part}");
        }
    }
}

/// What a client sees of its buffer may be old: 5 ms change nothing.
#[test]
fn a_buffer_that_is_seen_5_ms_late_changes_nothing() {
    println!("{TITLE}");
    for rate in [200_000, 2_000_000, 20_000_000] {
        for hidden in [u64::MAX, 131_000, 0] {
            let mut path = Path::even(rate, 50 * MILLI);
            (path.there.hidden, path.lag) = (hidden, 5 * MILLI);
            let figures = Figures::new(path, MEDIUM, 1, 20 * SECOND);
            println!("{}", figures.line());
            assert!(figures.exceptions(0).is_empty() && figures.part >= 0.95, "{}", figures.line());
        }
    }
}
