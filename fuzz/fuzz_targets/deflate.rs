//! `cargo fuzz run deflate`: see the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::deflate(data));
