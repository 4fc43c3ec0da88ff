//! The session against a host that keeps count of every slot, ticket and byte.

mod bursts;
mod closing;
mod host;
mod matrix;
mod pacing;
mod passing;
mod random;
mod sending;
