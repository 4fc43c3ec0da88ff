//! An urgent message behind an upload: BROWSERS.md, *An urgent message behind an upload*.

use core::time::Duration;

use super::super::browser::{Browser, BrowserConfig};
use super::super::engine::Engine;
use super::super::kernel::Kernel;
use super::{assert_near, micros, proxy};

const UPLOAD: u64 = 20 << 20;
const URGENT_EVERY: u64 = 100_000;
/// A nested `setTimeout(0)`.
const POLL_EVERY: u64 = 4_100;

struct Outcome {
    /// Of the urgent messages, from `send` until the peer had them.
    waits: Vec<Duration>,
    bytes_per_second: u64,
    largest_amount: u64,
}

impl Outcome {
    fn median_millis(&self) -> u64 {
        self.percentile_millis(50)
    }

    fn percentile_millis(&self, percent: usize) -> u64 {
        u64::try_from(self.waits[(self.waits.len() - 1) * percent / 100].as_millis()).unwrap()
    }
}

/// 20 MiB in messages of `piece` bytes, and 32 bytes every 100 ms until the peer has all of it. Bulk is
/// sent while the amount stays within `budget`, looked at every 4.1 ms.
fn upload(config: BrowserConfig, budget: u64, piece: u64) -> Outcome {
    let mut browser = Browser::new(micros(0), config);
    let (mut now, mut urgent, mut sent) = (0_u64, 50_000, 0);
    let mut outcome = Outcome { waits: Vec::new(), bytes_per_second: 0, largest_amount: 0 };
    let mut bulk_arrived = 0;
    // Urgent messages that were sent during the upload are waited for.
    while bulk_arrived < UPLOAD || browser.arrived_bytes() < browser.sent_bytes() {
        browser.new_task(micros(now));
        while sent < UPLOAD && browser.buffered_amount().unwrap() + piece <= budget {
            browser.send(micros(now), piece);
            sent += piece;
        }
        while bulk_arrived < UPLOAD && urgent < now + POLL_EVERY {
            browser.new_task(micros(urgent));
            browser.send(micros(urgent), 32);
            urgent += URGENT_EVERY;
        }
        while let Some(passage) = browser.poll_passage() {
            if passage.bytes == 32 {
                outcome.waits.push(passage.arrived.saturating_since(passage.given));
            } else {
                bulk_arrived += passage.bytes;
                outcome.bytes_per_second = bulk_arrived * 1_000_000 / passage.arrived.as_micros();
            }
        }
        now += POLL_EVERY;
    }
    outcome.waits.sort();
    outcome.largest_amount = browser.largest_amount();
    outcome
}

fn gate_64k(engine: Engine) -> Outcome {
    upload(proxy(engine), 65_536, 16_384)
}

#[test]
fn raw_an_urgent_message_waits_for_the_upload() {
    for (engine, measured) in [(Engine::Chromium, 5_207), (Engine::Firefox, 5_388), (Engine::WebKit, 5_250)] {
        let outcome = upload(proxy(engine), u64::MAX, 65_536);
        assert_near(outcome.median_millis(), measured);
        assert_near(outcome.bytes_per_second, 2_000_000);
    }
}

#[test]
fn a_gate_is_worth_nine_times_in_chromium() {
    let outcome = gate_64k(Engine::Chromium);
    assert_near(outcome.median_millis(), 574);
    assert_near(outcome.percentile_millis(95), 674);
    assert_near(outcome.bytes_per_second, 1_990_000);
    assert_near(outcome.largest_amount, 65_600);
    let outcome = upload(proxy(Engine::Chromium), 16_384, 4_096);
    assert_near(outcome.median_millis(), 537);
}

#[test]
fn a_gate_is_worth_ten_times_in_firefox() {
    let outcome = gate_64k(Engine::Firefox);
    assert_near(outcome.median_millis(), 543);
    assert_near(outcome.percentile_millis(95), 645);
    assert_near(outcome.bytes_per_second, 1_950_000);
}

#[test]
fn a_gate_is_worth_little_in_webkit() {
    let outcome = gate_64k(Engine::WebKit);
    assert_near(outcome.median_millis(), 4_521);
    assert_near(outcome.bytes_per_second, 1_970_000);
}

/// *Sensitivity of gate 64K/16K in Chromium*: 351 ms where the kernel's buffer is of 0.66 MB, 1,655 ms
/// with loopback's own segments.
#[test]
fn what_remains_behind_a_gate_is_the_kernels_buffer() {
    let with = |kernel| upload(BrowserConfig { kernel, ..proxy(Engine::Chromium) }, 65_536, 16_384);
    assert_near(with(Kernel { max_bytes: 620_000, ..Kernel::default() }).median_millis(), 351);
    assert_near(with(Kernel::LOOPBACK).median_millis(), 1_655);
}
