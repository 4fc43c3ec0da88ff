//! What holds for every seed, engine and link.

use core::time::Duration;

use super::super::browser::{Browser, BrowserConfig, Passage};
use super::super::engine::Engine;
use super::super::kernel::Kernel;
use super::super::link::{Link, RateStep};
use super::super::path::Reading;
use super::super::random::Random;
use super::micros;
use crate::time::Timestamp;

const SEEDS: u64 = 200;
const MINUTE: u64 = 60_000_000;

fn below(random: &mut Random, bound: u64) -> u64 {
    random.bits() % bound
}

fn any_rate(random: &mut Random) -> Option<u64> {
    match below(random, 8) {
        0 => None,
        1 => Some(0),
        _ => Some(1_000 << below(random, 15)),
    }
}

fn any_config(random: &mut Random) -> BrowserConfig {
    let steps = (0..below(random, 4)).map(|_| RateStep {
        at: Duration::from_micros(below(random, 2 * MINUTE)),
        bytes_per_second: any_rate(random),
    });
    let steps = steps.collect();
    let millis = |random: &mut Random| Duration::from_millis(below(random, 300));
    let engines = [Engine::Chromium, Engine::Firefox, Engine::WebKit, Engine::Missing];
    BrowserConfig {
        engine: engines[usize::try_from(below(random, 4)).unwrap()],
        link: Link {
            bytes_per_second: any_rate(random),
            delay: millis(random),
            jitter: millis(random),
            buffer_bytes: below(random, 300_000),
            acknowledged_after: (below(random, 2) == 0).then(|| millis(random)),
            steps,
        },
        reading: match below(random, 4) {
            0 => Reading::Slowly(below(random, 1_000_000)),
            1 => Reading::WhenAsked,
            _ => Reading::AtOnce,
        },
        kernel: if below(random, 8) == 0 { Kernel::LOOPBACK } else { Kernel::default() },
        seed: random.bits(),
    }
}

/// What holds at every moment.
fn check(browser: &Browser, sent: u64, seed: u64) {
    assert_eq!(browser.sent_bytes(), sent, "seed {seed}");
    let standing = sent - browser.arrived_bytes();
    assert!(browser.hidden_bytes() <= standing, "seed {seed}");
    assert!(browser.kernel_bytes() <= Kernel::LOOPBACK.max_bytes, "seed {seed}");
    assert!(browser.largest_hidden_bytes() >= browser.hidden_bytes(), "seed {seed}");
    if let Some(amount) = browser.buffered_amount() {
        assert!(amount <= sent, "seed {seed}");
        assert!(amount <= browser.largest_amount(), "seed {seed}");
        // What is neither seen nor hidden has arrived: news is late, never early.
        assert!(amount + browser.hidden_bytes() + browser.arrived_bytes() >= sent, "seed {seed}");
    }
}

/// Two minutes of a page that sends as it likes, and ten more for the rest to arrive. The messages that
/// have passed, and the moments and amounts that the page saw.
fn run(seed: u64) -> (Vec<Passage>, Vec<(Timestamp, Option<u64>)>) {
    let mut random = Random::new(seed);
    let config = any_config(&mut random);
    let mut browser = Browser::new(micros(0), config);
    let (mut passages, mut looks) = (Vec::new(), Vec::new());
    let (mut now, mut sent) = (0, 0);
    while now < 2 * MINUTE {
        now += 1 << below(&mut random, 24);
        browser.new_task(micros(now));
        for _ in 0..below(&mut random, 4) {
            let most = 1 << below(&mut random, 21);
            let bytes = below(&mut random, most);
            let before = browser.buffered_amount();
            browser.send(micros(now), bytes);
            sent += bytes;
            assert_eq!(browser.buffered_amount(), before.map(|before| before + bytes), "seed {seed}");
        }
        if below(&mut random, 4) == 0 {
            browser.read(micros(now), below(&mut random, 1 << 24));
        }
        looks.push((micros(now), browser.buffered_amount()));
        check(&browser, sent, seed);
        passages.extend(core::iter::from_fn(|| browser.poll_passage()));
    }
    browser.new_task(micros(12 * MINUTE));
    check(&browser, sent, seed);
    passages.extend(core::iter::from_fn(|| browser.poll_passage()));
    if browser.next_event().is_none() && browser.arrived_bytes() == sent {
        // All has arrived and everybody knows: nothing is seen, held or hidden.
        assert_eq!((browser.hidden_bytes(), browser.pipe_bytes()), (0, 0), "seed {seed}");
        assert!(matches!(browser.buffered_amount(), None | Some(0)), "seed {seed}");
        assert_eq!(passages.iter().map(|passage| passage.bytes).sum::<u64>(), sent, "seed {seed}");
    }
    (passages, looks)
}

#[test]
fn bytes_are_neither_made_nor_lost_and_arrive_in_order() {
    let mut whole = 0;
    for seed in 0..SEEDS {
        let (passages, _) = run(seed);
        assert!(passages.is_sorted_by_key(|passage| passage.given), "seed {seed}");
        assert!(passages.is_sorted_by_key(|passage| passage.left), "seed {seed}");
        assert!(passages.is_sorted_by_key(|passage| passage.arrived), "seed {seed}");
        assert!(passages.iter().all(|passage| passage.given < passage.left), "seed {seed}");
        assert!(passages.iter().all(|passage| passage.given <= passage.arrived), "seed {seed}");
        whole += u64::from(!passages.is_empty());
    }
    assert!(whole > SEEDS / 2, "{whole}");
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..SEEDS / 8 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
    assert_ne!(run(0), run(1));
}

/// Whether it is looked at once or at every moment at which something happens makes no difference.
#[test]
fn looking_changes_nothing() {
    for seed in 0..SEEDS / 8 {
        let mut random = Random::new(seed);
        let config = any_config(&mut random);
        let mut looked_at = Browser::new(micros(0), config);
        looked_at.send(micros(0), below(&mut random, 4 << 20));
        looked_at.send(micros(1_000), below(&mut random, 4 << 20));
        let mut left_alone = looked_at.clone();
        while let Some(next) = looked_at.next_event().filter(|next| *next <= micros(MINUTE)) {
            looked_at.new_task(next);
        }
        looked_at.new_task(micros(MINUTE));
        left_alone.new_task(micros(MINUTE));
        let state = |browser: &Browser| {
            let passed = (browser.buffered_amount(), browser.arrived_bytes(), browser.hidden_bytes());
            (passed, browser.kernel_bytes(), browser.pipe_bytes(), browser.largest_hidden_bytes())
        };
        assert_eq!(state(&looked_at), state(&left_alone), "seed {seed}");
        assert_eq!(looked_at.poll_passage(), left_alone.poll_passage(), "seed {seed}");
    }
}
