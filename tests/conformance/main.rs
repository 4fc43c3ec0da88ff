//! RFC 6455 by section, against the codec alone, and the vectors of `tidegate.v1` against its session: no transport, clock,
//! thread or file, so that the same tests run on wasm32, where `usize` has 32 bits.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a panic fails the test"
)]
#![allow(unreachable_pub, reason = "a test binary has no outside")]

mod autobahn;
mod properties;
#[cfg(feature = "v1")]
#[path = "../v1/records.rs"]
#[allow(dead_code, reason = "those who read along read more of it")]
mod records;
#[cfg(feature = "deflate")]
mod rfc7692_deflate;
mod s10_limits;
mod s4_opening_handshake;
mod s5_3_masking;
mod s5_5_control_frames;
mod s5_framing;
mod s7_closing;
mod s8_utf8;
mod support;
#[cfg(feature = "v1")]
mod tidegate_v1;
