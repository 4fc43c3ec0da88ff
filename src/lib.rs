//! A WebSocket client for browsers, in Rust: typed async streams, truthful outcomes, bounded queues.
//!
//! [`Client::builder`]`(url).connect().await` resolves when the connection is open. Messages come as
//! a `Stream` out of a bounded queue; [`send`](Client::send) waits for room in another and gives a
//! [`Ticket`] for the message's [`Outcome`]; [`closed`](Client::closed) tells every handle the same
//! final word, with what was left [unsent](Closed::unsent) or is [unknown](Closed::unknown). All handles
//! are `Send`. Dropping a future receives, sends and half-does nothing: each says so under *Cancel safety*.
//!
//! ```no_run
//! use tidegate::{Client, Message};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("wss://example.com/live").connect().await?;
//! client.send("hello").await?;
//! while let Some(message) = client.recv().await {
//!     if let Message::Text(text) = message {
//!         println!("{text}");
//!     }
//! }
//! let closed = client.closed().await;
//! println!("closed with {} {}", closed.code, closed.reason);
//! # Ok(())
//! # }
//! ```
//!
//! The same program compiles for browsers (pages and workers of every kind, on
//! `wasm32-unknown-unknown`), for the host, and for a simulated network in virtual time.
//!
//! | feature | adds |
//! |---|---|
//! | `client` (default) | the handles; in browsers the WebSocket of the page or worker |
//! | `native` | [`connect`](ClientBuilder::connect) on the host: TCP by tokio, HTTP proxies, streams of your own; and `server::accept` |
//! | `tls` | `native`, and `wss:` on the host by rustls: `TlsOptions` |
//! | `futures-io` | `native`, and streams with the traits of that crate besides tokio's |
//! | `axum` | `native`, and `server::axum`: plain and tidegate clients on a route of axum |
//! | `socket` | `native`, and `server::keep_unsent_short`: what a server sends can be overtaken until it is sent |
//! | `tracing` | `native`, and an event for each connection of a server that begins or ends |
//! | `deflate` | permessage-deflate in the codec, and on the host where a connection asks for it: `DeflateOptions` |
//! | `sim` | `sim::Sim`: servers in memory, links with rate and delay, virtual time |
//! | `json` | `Client::typed` and `Channel::typed`: values of your own types, by serde, with the codec `Json` |
//! | `browser-json` | in browsers `Client::typed` with the codec `BrowserJson`: the platform's JSON, a third less to load; elsewhere nothing |
//! | `v1` | tidegate mode, with a peer that speaks `tidegate.v1`: `ClientBuilder::mode`, `Client::channel`, on the host by `server::accept`; and `proto::v1`, its core without I/O |
//! | `js` | the exports of the npm package, without `client`; nothing for Rust |
//!
//! Without any feature there is [`proto`]: the state machines and the RFC 6455 codec, without I/O.

// The npm build goes without the standard library, whose ways of reporting a panic nobody would read there.
#![cfg_attr(feature = "js", no_std)]
// It uses its own part of driver and transport; which is unused shows in the other builds.
#![cfg_attr(feature = "js", allow(dead_code, unreachable_pub))]
// A host build without a transport (server-side rendering) has handles that are never made.
#![cfg_attr(
    not(any(feature = "native", feature = "sim", all(target_family = "wasm", target_os = "unknown"))),
    allow(dead_code, unused_imports, reason = "nothing can connect in such a build")
)]
// The page above speaks of the handles, which a build of the core alone has not.
#![cfg_attr(not(feature = "client"), allow(rustdoc::broken_intra_doc_links))]

#[cfg(all(feature = "js", not(all(target_family = "wasm", target_os = "unknown"))))]
compile_error!("the feature `js` is the npm build, for wasm32-unknown-unknown only");
#[cfg(all(feature = "js", feature = "client"))]
compile_error!(
    "the feature `js` is the npm build, which has no handles: --no-default-features --features js"
);

extern crate alloc;

#[cfg(feature = "client")]
mod client;
#[cfg(any(feature = "client", feature = "js"))]
mod driver;
#[cfg(feature = "js")]
mod js;
#[cfg(feature = "client")]
mod platform;
pub mod proto;
#[cfg(all(feature = "native", not(all(target_family = "wasm", target_os = "unknown"))))]
pub mod server;
#[cfg(any(feature = "client", feature = "v1"))]
mod slab;
pub mod time;
#[cfg(any(feature = "client", feature = "js"))]
mod transport;

#[cfg(feature = "client")]
pub use client::*;
#[cfg(all(feature = "client", feature = "v1"))]
pub use proto::v1::{ChannelCode, FatalCode};
#[cfg(feature = "client")]
pub use proto::{
    Amount, ClassStats, CloseCause, Closed, Outcome, Priority, RecvLimits, RecvPolicy, SendLimits, Stats,
    Waits,
};
/// The TLS library, in the version that [`TlsOptions::with_config`] takes.
#[cfg(all(feature = "tls", not(all(target_family = "wasm", target_os = "unknown"))))]
pub use tokio_rustls::rustls;
#[cfg(feature = "client")]
pub use transport::{IoSource, TransportError};

/// The Rust of `docs/SERVER.md` compiles.
#[cfg(all(doctest, feature = "axum", feature = "v1", feature = "socket"))]
#[doc = include_str!("../docs/SERVER.md")]
struct Server;

/// The README's Rust compiles; a part of it is for the host, and one is a server.
#[cfg(all(doctest, feature = "axum", feature = "v1", feature = "socket"))]
#[doc = include_str!("../README.md")]
struct Readme;
