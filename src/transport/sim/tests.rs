//! The models of browsers beside what was measured; `docs/BROWSERS.md` has the figures and how they were
//! taken.

mod amounts;
mod gate;
mod paths;
mod pipe;
mod properties;
mod stalled;

use core::time::Duration;

use super::browser::BrowserConfig;
use super::engine::Engine;
use super::link::Link;
use crate::time::Timestamp;

/// The link of the measurements: 2 MB/s, 20 ms, and a proxy beside the browser.
fn slow_link() -> Link {
    Link {
        bytes_per_second: Some(2_000_000),
        delay: Duration::from_millis(20),
        acknowledged_after: Some(Duration::ZERO),
        ..Link::default()
    }
}

fn proxy(engine: Engine) -> BrowserConfig {
    BrowserConfig::new(engine, slow_link())
}

fn micros(micros: u64) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// Whether `value` is within 15 % of what was measured.
#[track_caller]
fn assert_near(value: u64, measured: u64) {
    let within = value.abs_diff(measured) * 100 <= measured * 15;
    assert!(within, "{value} is not within 15 % of the {measured} that were measured");
}
