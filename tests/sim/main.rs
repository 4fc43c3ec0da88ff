//! Whole connections in virtual time, drawn from seeds: what plain mode promises of priorities, deadlines,
//! pacing and outcomes, over models of browsers and links of every kind.
//!
//! [`plan`] draws what a run does, [`run`] does it, [`watch`] looks at it while it goes on and [`check`] when it is
//! over; [`properties`] has the tests. [`sharing`], [`transfer`] and [`latency`] are runs of one kind each.
//!
//! A seed that failed is run alone, with its operations printed, by `TIDEGATE_SEED`.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unchecked_time_subtraction,
    reason = "a panic fails the test"
)]

mod acknowledged;
mod check;
mod latency;
mod peer;
mod plan;
mod properties;
mod random;
mod run;
mod sharing;
mod transfer;
mod watch;

/// How much a test does: everything only if that was asked for when it was built.
pub(crate) const fn amount(usual: u64, full: u64) -> u64 {
    if option_env!("TIDEGATE_FULL").is_some() { full } else { usual }
}
