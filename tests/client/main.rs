//! The client over the simulated network: the suite that every transport passes, and what only
//! virtual time and a server in the test's own hands can show.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic fails the test"
)]

mod sim;
mod suite;
