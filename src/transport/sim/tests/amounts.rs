//! How `bufferedAmount` moves: BROWSERS.md, *Sending* and *Below `bufferedAmount`*.

use core::time::Duration;

use super::super::browser::Browser;
use super::super::engine::Engine;
use super::super::link::Link;
use super::{assert_near, micros, proxy, slow_link};

const ENGINES: [Engine; 3] = [Engine::Chromium, Engine::Firefox, Engine::WebKit];

/// When the amount fell and by how much, looked at every `every` microseconds until it is 0.
fn drops(browser: &mut Browser, every: u64) -> Vec<(u64, u64)> {
    let (mut now, mut drops) = (0, Vec::new());
    while let Some(before @ 1..) = browser.buffered_amount() {
        now += every;
        browser.new_task(micros(now));
        let amount = browser.buffered_amount().unwrap();
        if amount < before {
            drops.push((now, before - amount));
        }
    }
    drops
}

/// The drops of one message of `size` bytes at 2 MB/s.
fn drops_of_one(engine: Engine, size: u64) -> Vec<(u64, u64)> {
    let mut browser = Browser::new(micros(0), proxy(engine));
    browser.send(micros(0), size);
    drops(&mut browser, 1_000)
}

#[test]
fn an_amount_is_the_payload_and_stands_still_within_a_task() {
    for engine in ENGINES {
        let mut browser = Browser::new(micros(0), proxy(engine));
        browser.send(micros(0), 4 << 20);
        browser.send(micros(0), 0);
        browser.send(micros(0), 5);
        // A busy loop of 100 ms is one task.
        browser.advance(micros(100_000));
        assert_eq!(browser.buffered_amount(), Some((4 << 20) + 5));
        browser.new_task(micros(100_000));
        let fell = browser.buffered_amount() < Some((4 << 20) + 5);
        assert_eq!(fell, engine != Engine::Firefox, "{engine:?}");
    }
    let missing = Browser::missing(micros(0), Link::default());
    assert_eq!(missing.buffered_amount(), None);
}

/// 131,000 bytes first and then 65,536 at a time are what the steps of Chromium's value were.
#[test]
fn chromium_counts_down_within_a_message_in_steps() {
    let drops = drops_of_one(Engine::Chromium, 4 << 20);
    assert!(drops.len() > 10, "{drops:?}");
    // Of the first steps several fell together; the last takes what is left.
    assert!(drops[0].1 >= 131_000, "{drops:?}");
    assert!(drops[1..drops.len() - 1].iter().any(|(_, bytes)| bytes % 65_536 == 0), "{drops:?}");
}

/// One message of 4 MiB stood for 1,630 ms, then there was 0.
#[test]
fn firefox_counts_whole_messages() {
    let [(at, bytes)] = drops_of_one(Engine::Firefox, 4 << 20)[..] else { panic!("not one drop") };
    assert_eq!(bytes, 4 << 20);
    assert_near(at, 1_630_000);
}

/// 1 to 5 ms after `send`, whatever the peer does.
#[test]
fn webkit_shows_nothing_after_a_few_milliseconds() {
    let stalled = Link { bytes_per_second: Some(0), ..Link::default() };
    for seed in 0..100 {
        let mut browser = Browser::webkit(micros(seed), stalled.clone());
        browser.send(micros(seed), 64 << 20);
        browser.new_task(micros(seed + 999));
        assert_eq!(browser.buffered_amount(), Some(64 << 20));
        browser.new_task(micros(seed + 5_000));
        assert_eq!(browser.buffered_amount(), Some(0));
        assert_eq!(browser.hidden_bytes(), 64 << 20);
    }
}

/// 260 to 390 KB every 180 to 196 ms, and the first 1 to 1.5 MB at once.
#[test]
fn an_amount_falls_in_bursts() {
    for mut browser in [Browser::chromium(micros(0), slow_link()), Browser::firefox(micros(0), slow_link())] {
        for _ in 0..20 << 20 >> 14 {
            browser.send(micros(0), 16_384);
        }
        let drops = drops(&mut browser, 4_000);
        // What falls within 50 ms is one burst.
        let mut bursts: Vec<(u64, u64)> = Vec::new();
        for (at, bytes) in drops {
            match bursts.last_mut() {
                Some((began, sum)) if at - *began < 50_000 => *sum += bytes,
                _ => bursts.push((at, bytes)),
            }
        }
        let at_once: u64 = bursts.iter().take_while(|(at, _)| *at < 150_000).map(|(_, bytes)| bytes).sum();
        assert!((1_000_000..=1_500_000).contains(&at_once), "{at_once}");
        let steady: Vec<_> = bursts.iter().filter(|(at, _)| *at > 1_000_000).copied().collect();
        let (_, inner) = steady.split_last().unwrap();
        for pair in inner.windows(2) {
            assert_near(pair[1].0 - pair[0].0, 188_000);
            // Six steps of Chromium's are 393,216.
            assert!((260_000..=393_216).contains(&pair[1].1), "{pair:?}");
        }
        assert!(inner.len() > 40, "{}", inner.len());
    }
}

#[test]
fn amounts_beyond_four_gibibytes_are_exact() {
    let link = Link { bytes_per_second: Some(10_000_000_000), ..Link::default() };
    for engine in ENGINES {
        let mut config = proxy(engine);
        config.link = link.clone();
        let mut browser = Browser::new(micros(0), config);
        for _ in 0..3 {
            browser.send(micros(0), (4 << 30) + 1);
        }
        assert_eq!(browser.buffered_amount(), Some((12 << 30) + 3));
        browser.new_task(micros(10_000_000));
        assert_eq!(browser.buffered_amount(), Some(0));
        assert_eq!(browser.arrived_bytes(), (12 << 30) + 3);
        assert_eq!(browser.largest_amount(), (12 << 30) + 3);
    }
}

#[test]
fn an_amount_that_a_closing_socket_has_counted_never_falls() {
    for engine in ENGINES {
        let mut browser = Browser::new(micros(0), proxy(engine));
        browser.send(micros(0), 1_000);
        let end = browser.close(micros(0));
        assert_eq!(browser.close(micros(0)), end);
        assert_eq!(browser.send(micros(10), 50), end);
        browser.new_task(micros(1_000_000));
        assert_eq!(browser.buffered_amount(), Some(50));
        assert_eq!((browser.sent_bytes(), browser.arrived_bytes()), (1_000, 1_000));
    }
}

/// A rate that steps by ten, and a network that stands still, do to the amount what they must.
#[test]
fn an_amount_follows_the_link() {
    let mut link = Link { buffer_bytes: 4 << 20, ..slow_link() };
    let step = |at, bytes_per_second| super::super::link::RateStep {
        at: Duration::from_secs(at),
        bytes_per_second: Some(bytes_per_second),
    };
    link.steps = vec![step(2, 0), step(4, 20_000_000), step(5, 200_000)];
    let mut browser = Browser::chromium(micros(0), link);
    for _ in 0..40 << 20 >> 14 {
        browser.send(micros(0), 16_384);
    }
    let mut arrived_at = |millis: u64| {
        browser.advance(micros(millis * 1_000 + 20_000));
        browser.arrived_bytes()
    };
    assert_near(arrived_at(2_000), 4_000_000);
    let stalled = arrived_at(2_100);
    assert_eq!(arrived_at(3_990), stalled);
    assert_near(arrived_at(5_000) - stalled, 20_000_000);
    let fast = arrived_at(5_000);
    assert_near(arrived_at(15_000) - fast, 2_000_000);
}
