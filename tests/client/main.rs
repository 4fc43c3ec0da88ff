//! The client over the simulated network: the suite that every transport passes, and what only
//! virtual time and a server in the test's own hands can show. And what the codecs make of values.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic fails the test"
)]

mod codecs;
mod sim;
mod suite;

#[test]
fn b29_json_writes_what_stands_in_the_table() {
    codecs::encodes::<tidegate::Json>();
}

#[test]
fn b14_json_reads_what_stands_in_the_table() {
    codecs::decodes::<tidegate::Json>();
}
