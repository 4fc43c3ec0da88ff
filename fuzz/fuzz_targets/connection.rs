//! `cargo fuzz run connection`: see the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::connection(data));
