//! `cargo fuzz run transport`: see the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::transport(data));
