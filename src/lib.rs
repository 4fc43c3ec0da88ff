//! A WebSocket client for browsers, in Rust: typed async streams, truthful outcomes, bounded queues.

pub mod proto;
