//! The sans-I/O core: bytes, messages, timestamps and random numbers come in as arguments,
//! outputs are pulled out. It names no other layer.
//!
//! [`ws`] is the RFC 6455 codec, for transports that carry bytes. [`Session`] is one connection
//! above a transport that carries messages: what a browser gives, and what [`ws`] makes of bytes.
//!
//! The rule of driving a [`Session`]: after each call of a `handle_*` method, call
//! [`Session::poll_output`] and carry out what it says, until it says [`Output::Timeout`] or
//! [`Output::Blocked`].
//!
//! Not here: clocks, randomness, sockets, tasks, `JsValue`.

// Framing is the browser's in the npm build.
#[cfg(not(feature = "js"))]
pub mod error;
mod float;
mod outcome;
pub(crate) mod payload;
mod recv;
mod send;
mod session;
#[cfg(feature = "v1")]
pub mod v1;
#[cfg(not(feature = "js"))]
pub mod ws;

pub use outcome::{Amount, CloseCause, Closed, Outcome};
pub use payload::{FetchId, Hosted, HostedKind, Payload, Reason, Slot, Transmit};
pub use recv::{Fit, RecvLimits, RecvPolicy, RecvQueue};
pub use send::{
    ClassStats, Flow, Gate, GateConfig, Gauges, MESSAGE_COST, MessageId, NewMessage, Next, Priority, QUANTUM,
    QueueConfig, Queued, Room, SendLimits, SendQueue, Stats, TicketId, Waits,
};
pub use session::{CloseRequest, Done, Event, Output, PART_BYTES, READ_BLOB_UP_TO, Session, SessionConfig};
