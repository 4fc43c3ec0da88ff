//! What tidegate promises about hostile bytes and odd orders of events, as functions of arbitrary bytes.
//!
//! One function for each target. It returns if every promise was kept and panics if one was broken, so
//! that libFuzzer can look for inputs that break one (`fuzz_targets/`), and an ordinary test can play back
//! those that are kept in `corpus/` (`tests/fuzz` of the main crate, which compiles these files as its own
//! by their paths, and so needs neither a fuzzer nor a nightly compiler).
//!
//! - [`decoder`]: bytes to frames and messages, held against a second decoder that is as plain as can be.
//! - [`handshake`]: both sides of the opening handshake, and what a caller may put into it.
//! - [`connection`]: two endpoints of opposite roles, whatever is done with them in whatever order.
//! - `deflate`: two endpoints that have agreed on compression, and one that is fed with what nobody has
//!   compressed.
//! - `v1`: two sessions of `tidegate.v1`, or one whose peer says anything, held against a second reading of its document.
//! - `transport`: a whole client handle over a byte stream that stalls, breaks and ends at any point.
//!
//! Not here: files, threads, sockets, real time, randomness. The same bytes always do the same.

mod connection;
mod decoder;
#[cfg(feature = "deflate")]
mod deflate;
mod handshake;
mod input;
mod reference;
#[cfg(all(feature = "native", not(target_family = "wasm")))]
mod transport;
#[cfg(feature = "v1")]
mod v1;

pub use connection::connection;
pub use decoder::decoder;
#[cfg(feature = "deflate")]
pub use deflate::deflate;
pub use handshake::handshake;
#[cfg(all(feature = "native", not(target_family = "wasm")))]
pub use transport::transport;
#[cfg(feature = "v1")]
pub use v1::v1;

/// A target: its name, which is that of its directory in `corpus`, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets that this platform and these features can run.
pub const TARGETS: &[Target] = &[
    ("decoder", decoder),
    ("handshake", handshake),
    ("connection", connection),
    #[cfg(feature = "deflate")]
    ("deflate", deflate),
    #[cfg(feature = "v1")]
    ("v1", v1),
    #[cfg(all(feature = "native", not(target_family = "wasm")))]
    ("transport", transport),
];
