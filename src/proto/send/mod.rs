//! What leaves next. Knows messages only by class, flow and size; never touches payload bytes.
//!
//! Not here: pacing by `bufferedAmount` (nothing is paced yet), sockets, frames.

mod queue;

pub use queue::{Class, Flow, Queued, SendLimits, SendQueue, TicketId};
