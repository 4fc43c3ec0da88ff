//! `tidegate.v1` between two cores in virtual time.
//!
//! [`plan`] draws what a run is like, [`end`] is one side with its application, [`world`] has both, the connections
//! between them and their faults; [`wire`] reads along, by [`records`]; [`check`] judges when it is over; [`invariants`]
//! has the tests over all seeds.
//! [`peer`] is the other side byte by byte, with which [`faults`] shows single moments that chance hardly meets;
//! [`latency`] and [`shares`] measure.
//!
//! A seed that failed is run alone, with what happened printed, by `TIDEGATE_SEED`. `TIDEGATE_FROM` is the first of those that
//! are run, 0 by default.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::match_same_arms,
    clippy::needless_range_loop,
    clippy::option_option,
    clippy::struct_excessive_bools,
    reason = "a panic fails the test, and amounts are small"
)]

mod check;
mod connection;
mod content;
mod end;
mod endings;
mod exhaustive;
mod faults;
mod invariants;
mod latency;
mod link;
mod outages;
mod path;
mod peer;
mod plan;
#[path = "../sim/random.rs"]
#[allow(dead_code, reason = "the other simulator draws spans of time as well")]
mod random;
mod records;
mod shares;
mod wire;
mod world;

/// How much a test does: everything only if that was asked for when it was built.
pub(crate) const fn amount(usual: u64, full: u64) -> u64 {
    if option_env!("TIDEGATE_FULL").is_some() { full } else { usual }
}
