//! `cargo fuzz run v1`: see the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::v1(data));
