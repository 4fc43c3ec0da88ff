//! What goes into the queue, and what comes out.

use super::{Flow, Priority, place_of};
use crate::proto::payload::{Hosted, Payload};
use crate::time::Timestamp;

/// By what the driver knows a message whose outcome somebody waits for. Opaque to the core.
#[cfg(any(not(feature = "js"), feature = "v1"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketId(pub core::num::NonZeroU64);

/// No message of the npm build has one: its facade goes by the [`MessageId`].
#[cfg(all(feature = "js", not(feature = "v1")))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketId {}

/// By what the queue knows a message. Never 0, below 2^53, and not used again for a long time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub u64);

/// How much one flow sends before the next of its class has its turn, and of how much of its share a
/// class is owed before it goes first, in bytes.
pub const QUANTUM: u32 = 16 << 10;

/// What each message costs beside its payload, in bytes: it orders those that have none.
pub const MESSAGE_COST: u32 = 64;

/// Taste in ordering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueConfig {
    /// What each class below urgent is guaranteed while it has something to send, in 256ths of all
    /// bytes. Default 16, a sixteenth. 0 to 64: at 64 a quarter each, which leaves urgent the last.
    pub share: u8,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { share: 16 }
    }
}

/// A message as it enters the queue.
#[derive(Debug)]
pub struct NewMessage {
    /// Its class.
    pub priority: Priority,
    /// Its flow.
    pub flow: Flow,
    /// What is to be sent.
    pub payload: Payload,
    /// When it is not worth sending any more.
    pub deadline: Option<Timestamp>,
    /// The message whose newer value it is. If that is still queued it ends, and this one takes its place, or
    /// the last one of its own lane if that is another.
    pub replaces: Option<MessageId>,
    /// Who waits for its outcome; `None` if nobody can.
    pub ticket: Option<TicketId>,
}

impl NewMessage {
    /// A message of no particular kind.
    #[must_use]
    pub fn normal(payload: Payload, ticket: Option<TicketId>) -> Self {
        let (priority, flow) = (Priority::default(), Flow::default());
        Self { priority, flow, payload, deadline: None, replaces: None, ticket }
    }
}

/// A message that has left the queue.
#[derive(Debug, PartialEq, Eq)]
pub struct Queued {
    /// What it was known by.
    pub id: MessageId,
    /// Its class.
    pub priority: Priority,
    /// Its flow.
    pub flow: Flow,
    /// Its content.
    pub payload: Payload,
    /// Who waits for its outcome.
    pub ticket: Option<TicketId>,
}

impl Queued {
    pub(super) fn new(id: MessageId, lane: u32, payload: Payload, ticket: Option<TicketId>) -> Self {
        let (priority, flow) = place_of(lane);
        Self { id, priority, flow, payload, ticket }
    }
}

/// The message whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Next {
    /// What it is known by.
    pub id: MessageId,
    /// Its class.
    pub priority: Priority,
    /// Its flow.
    #[cfg(feature = "v1")]
    pub flow: Flow,
    /// Whether it is a text.
    #[cfg(feature = "v1")]
    pub is_text: bool,
    /// Its size in bytes.
    pub bytes: u64,
    /// The value of the host, if it is one.
    pub hosted: Option<Hosted>,
}
