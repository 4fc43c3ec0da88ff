//! A peer that never reads: what leaves the page's view all the same.

use super::super::browser::{Browser, BrowserConfig};
use super::super::engine::Engine;
use super::super::kernel::Kernel;
use super::super::link::Link;
use super::super::path::Reading;
use super::{assert_near, micros};

/// What is hidden once nothing moves, of messages of `size` bytes sent one by one while the amount falls.
fn hidden(engine: Engine, kernel: Kernel, window: u64, size: u64) -> Browser {
    let link = Link { buffer_bytes: window, ..Link::default() };
    let config = BrowserConfig { engine, link, reading: Reading::WhenAsked, kernel, seed: 0 };
    let mut browser = Browser::new(micros(0), config);
    let mut now = 0;
    // Until nothing has moved for a hundred looks: or, on WebKit, 64 MB are gone.
    let mut still = 0;
    while still < 100 && browser.sent_bytes() < 64_000_000 {
        now += 4_100;
        browser.new_task(micros(now));
        if browser.buffered_amount() == Some(0) {
            browser.send(micros(now), size);
            still = 0;
        } else {
            still += 1;
        }
    }
    browser.new_task(micros(now + 10_000));
    browser
}

fn gone(engine: Engine, kernel: Kernel, window: u64, size: u64) -> u64 {
    let browser = hidden(engine, kernel, window, size);
    browser.sent_bytes() - browser.buffered_amount().unwrap()
}

/// BROWSERS.md, *Below `bufferedAmount`*: 328 KB = 4 at the peer, 174 in the kernel, 150 in the browser.
#[test]
fn chromium_hides_328_kb_from_a_stalled_peer() {
    let browser = hidden(Engine::Chromium, Kernel::default(), 4_096, 65_536);
    assert_near(browser.sent_bytes() - browser.buffered_amount().unwrap(), 328_000);
    assert_near(browser.kernel_bytes(), 174_000);
    assert_near(browser.pipe_bytes(), 150_000);
    // Messages of 1 KiB: 359 KB were measured, one of 8 MiB: 393 KB.
    assert_near(gone(Engine::Chromium, Kernel::default(), 4_096, 1_024), 359_000);
    assert_near(gone(Engine::Chromium, Kernel::default(), 4_096, 8 << 20), 360_000);
}

/// The same: 131–180 KB, by whole messages.
#[test]
fn firefox_hides_131_to_180_kb_from_a_stalled_peer() {
    for size in [1_024, 16_384, 65_536] {
        let gone = gone(Engine::Firefox, Kernel::default(), 4_096, size);
        assert!((131_000..=180_000).contains(&gone), "{gone} with {size}");
    }
    assert_eq!(gone(Engine::Firefox, Kernel::default(), 4_096, 8 << 20), 0);
}

/// The same, loopback: 4.33 MB, of which 0.16 in the browser, and 4.19 to 4.28 MB.
#[test]
fn loopback_hides_four_megabytes() {
    assert_near(gone(Engine::Chromium, Kernel::LOOPBACK, 130_000, 65_536), 4_330_000);
    assert_near(gone(Engine::Firefox, Kernel::LOOPBACK, 130_000, 65_536), 4_230_000);
    // With `SO_RCVBUF` 4 K, 3.15 and 2.95 MB.
    assert_near(gone(Engine::Chromium, Kernel::LOOPBACK, 6_000, 65_536), 3_150_000);
    assert_near(gone(Engine::Firefox, Kernel::LOOPBACK, 6_000, 65_536), 2_950_000);
}

/// The same: 64 of 64 MB.
#[test]
fn webkit_hides_everything() {
    assert_eq!(gone(Engine::WebKit, Kernel::default(), 4_096, 65_536), 64_028_672);
}
