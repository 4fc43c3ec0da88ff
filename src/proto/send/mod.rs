//! What leaves next, and when. Knows messages only by class, flow and size; never touches payload
//! bytes.
//!
//! Not here: sockets, frames, tickets.

mod budget;
mod gate;
mod priority;
mod queue;
mod room;
mod stats;

pub use gate::{Gate, GateConfig};
pub use priority::{Flow, Priority};
pub use queue::{
    MESSAGE_COST, MessageId, NewMessage, Next, QUANTUM, QueueConfig, Queued, SendQueue, TicketId,
};
pub use room::{Room, SendLimits};
pub use stats::{ClassStats, Gauges, Stats, Waits};
