//! What lies between the kernel and the peer: acknowledgements, jitter, readers.

use core::time::Duration;

use super::super::browser::{Browser, BrowserConfig};
use super::super::engine::Engine;
use super::super::link::Link;
use super::super::path::Reading;
use super::{assert_near, micros, slow_link};

const DELAY: Duration = Duration::from_millis(20);

#[test]
fn the_kernel_holds_what_is_not_acknowledged() {
    for (acknowledged_after, held_until) in
        [(None, 40_000), (Some(Duration::ZERO), 0), (Some(Duration::from_millis(7)), 7_000)]
    {
        let link = Link { delay: DELAY, acknowledged_after, ..Link::default() };
        let mut browser = Browser::firefox(micros(0), link);
        browser.send(micros(0), 1_000);
        for now in [0, held_until.max(1) - 1, held_until] {
            browser.advance(micros(now));
            let held = if now < held_until { 1_008 } else { 0 };
            assert_eq!(browser.kernel_bytes(), held, "{acknowledged_after:?} at {now}");
        }
    }
}

/// Over a real path one window goes in each round trip.
#[test]
fn a_window_bounds_the_rate_of_a_long_path() {
    let link = Link { delay: DELAY, buffer_bytes: 65_536, ..Link::default() };
    let mut browser = Browser::webkit(micros(0), link);
    browser.send(micros(0), 64 << 20);
    browser.advance(micros(10_000_000));
    assert_near(browser.arrived_bytes(), 65_536 * 250);
}

#[test]
fn jitter_spreads_what_is_sent_apart_and_reorders_nothing() {
    let jitter = Duration::from_millis(30);
    let mut browser = Browser::chromium(micros(0), Link { delay: DELAY, jitter, ..Link::default() });
    let mut waits = Vec::new();
    for at in 0..1_000 {
        browser.send(micros(at * 100_000), 32);
        browser.advance(micros((at + 1) * 100_000));
        let passage = browser.poll_passage().unwrap();
        waits.push(passage.arrived.saturating_since(passage.given));
    }
    waits.sort_unstable();
    assert!(waits[0] >= DELAY && waits[999] <= DELAY + jitter);
    assert_near(u64::try_from(waits[500].as_micros()).unwrap(), 35_000);
    assert!(waits[999] > DELAY + jitter * 9 / 10);
    // Sent close together, they arrive in order; the tests for all seeds look at that, too.
    for at in 0..1_000 {
        browser.send(micros(200_000_000 + at * 100), 32);
    }
    browser.advance(micros(300_000_000));
    let arrivals: Vec<_> = core::iter::from_fn(|| browser.poll_passage()).collect();
    assert_eq!(arrivals.len(), 1_000);
    assert!(arrivals.is_sorted_by_key(|passage| passage.arrived));
}

/// A peer that reads slowly is a slow link, but for the window that it holds itself.
#[test]
fn a_slow_peer_holds_back_what_is_beyond_its_window() {
    let config = |reading| BrowserConfig { reading, ..BrowserConfig::new(Engine::Firefox, slow_link()) };
    let mut browser = Browser::new(micros(0), config(Reading::Slowly(100_000)));
    browser.send(micros(0), 8 << 20);
    browser.advance(micros(20_000_000));
    assert_near(browser.arrived_bytes(), 100_000 * 20 + Link::default().buffer_bytes);
    let before = browser.arrived_bytes();
    browser.advance(micros(30_000_000));
    assert_near(browser.arrived_bytes() - before, 100_000 * 10);
}

#[test]
fn a_peer_that_reads_when_asked_waits_for_it() {
    let link = Link { buffer_bytes: 1_000, ..slow_link() };
    let config = BrowserConfig { reading: Reading::WhenAsked, ..BrowserConfig::new(Engine::Chromium, link) };
    let mut browser = Browser::new(micros(0), config);
    let mark = browser.send(micros(0), 5_000);
    browser.advance(micros(1_000_000));
    assert_eq!(browser.arrived_mark(), 1_000);
    // It cannot read what has not arrived.
    browser.read(micros(1_000_000), mark);
    browser.advance(micros(2_000_000));
    assert_eq!(browser.arrived_mark(), 2_000);
    for second in 2..6 {
        browser.read(micros(second * 1_000_000), mark);
    }
    browser.advance(micros(7_000_000));
    assert_eq!((browser.arrived_mark(), browser.arrived_bytes()), (mark, 5_000));
}
