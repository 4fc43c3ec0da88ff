//! The session against a host that keeps count of every slot, ticket and byte.

mod closing;
mod host;
mod matrix;
mod pacing;
mod random;
mod sending;
