//! The exports of the npm package: convert, call [`LocalClient`](crate::LocalClient), convert back.
//!
//! All of it is synchronous. Promises, tickets and iterators are made in TypeScript (they cost
//! half of the wasm otherwise); what happens later is told through one [`Sink`](sink::Sink).
//!
//! Not here: any behaviour of its own.

mod convert;
mod core;
mod sink;
