//! `cargo fuzz run decoder`: see the harness.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tidegate_fuzz::decoder(data));
