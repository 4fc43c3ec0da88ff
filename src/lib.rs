//! A WebSocket client for browsers, in Rust: typed async streams, truthful outcomes, bounded queues.

// The npm build uses its own part of driver and transport; which is unused shows in the other builds.
#![cfg_attr(all(feature = "js", not(feature = "client")), allow(dead_code, unreachable_pub))]
// A host build without a transport (server-side rendering) has handles that are never made.
#![cfg_attr(
    not(any(feature = "native", feature = "sim", all(target_family = "wasm", target_os = "unknown"))),
    allow(dead_code, unused_imports, reason = "nothing can connect in such a build")
)]

#[cfg(all(feature = "js", not(all(target_family = "wasm", target_os = "unknown"))))]
compile_error!("the feature `js` is the npm build, for wasm32-unknown-unknown only");

#[cfg(feature = "client")]
mod client;
#[cfg(any(feature = "client", feature = "js"))]
mod driver;
#[cfg(feature = "js")]
mod js;
#[cfg(any(feature = "client", feature = "js"))]
mod platform;
pub mod proto;
#[cfg(all(feature = "native", not(all(target_family = "wasm", target_os = "unknown"))))]
pub mod server;
#[cfg(feature = "client")]
mod slab;
pub mod time;
#[cfg(any(feature = "client", feature = "js"))]
mod transport;

#[cfg(feature = "client")]
pub use client::*;
#[cfg(feature = "client")]
pub use proto::{Amount, CloseCause, Closed, Outcome, RecvLimits, SendLimits};
#[cfg(feature = "client")]
pub use transport::TransportError;
