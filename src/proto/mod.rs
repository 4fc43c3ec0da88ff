//! The sans-I/O core: bytes, messages, timestamps and random numbers come in as arguments,
//! outputs are pulled out. It names no other layer.
//!
//! Not here: clocks, randomness, sockets, tasks, `JsValue`.

pub mod ws;
