//! The queue of messages that the transport has not been given yet: first in, first out.

use std::collections::VecDeque;

use crate::proto::payload::Payload;

/// How urgent a message is. The queue keeps it with each message; today all go out in the order
/// in which they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Before everything else.
    Urgent,
    /// The class of a plain `send`.
    #[default]
    Normal,
    /// Large and patient: uploads.
    Bulk,
    /// When nothing else wants to go.
    Background,
}

/// A named stream inside the queue, among which a class is shared out. 0 is the default flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow(pub u32);

/// By what the driver knows a message whose outcome somebody waits for. Opaque to the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TicketId(pub u64);

/// How much may be queued for sending: safety against a peer that is slower than its sender.
///
/// A message larger than `max_queued_bytes` is taken when the queue is empty, since it would
/// otherwise never be taken at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendLimits {
    /// Largest sum of the sizes of queued messages, in bytes. Default 16 MiB.
    pub max_queued_bytes: u64,
    /// Largest number of queued messages. Default 65,536. At least 1 is always allowed.
    pub max_queued_messages: u32,
}

impl Default for SendLimits {
    /// 16 MiB and 65,536 messages: what one page may hold back without anybody noticing.
    fn default() -> Self {
        Self { max_queued_bytes: 16 << 20, max_queued_messages: 65_536 }
    }
}

impl SendLimits {
    /// Whether one more message of `bytes` may join `queued_messages` that hold `queued_bytes`.
    #[must_use]
    pub fn admit(&self, queued_messages: u32, queued_bytes: u64, bytes: u64) -> bool {
        queued_messages == 0
            || (queued_messages < self.max_queued_messages
                && queued_bytes.saturating_add(bytes) <= self.max_queued_bytes)
    }
}

/// A message in the queue.
#[derive(Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its class, kept for the scheduler.
    pub class: Class,
    /// Its flow, likewise.
    pub flow: Flow,
    /// What is to be sent.
    pub payload: Payload,
    /// Who waits for its outcome; `None` if nobody can.
    pub ticket: Option<TicketId>,
}

/// Messages waiting for the transport, in the order in which they were pushed.
///
/// The bounds are checked where messages enter (see [`SendLimits::admit`]), not here: a handle on
/// another thread has its room before the queue sees the message.
/// Invariant: `bytes` is the sum of the sizes of what is in `items`.
#[derive(Debug, Default)]
pub struct SendQueue {
    items: VecDeque<Queued>,
    bytes: u64,
}

impl SendQueue {
    /// An empty queue.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a message.
    pub fn push(&mut self, class: Class, flow: Flow, payload: Payload, ticket: Option<TicketId>) {
        self.bytes += payload.bytes();
        self.items.push_back(Queued { class, flow, payload, ticket });
    }

    /// Takes the message that goes next.
    pub fn pop(&mut self) -> Option<Queued> {
        let item = self.items.pop_front()?;
        Some(self.left(item))
    }

    /// Takes out the message of `ticket`, wherever it stands; `None` if it is not queued.
    ///
    /// Linear in the number of queued messages.
    pub fn cancel(&mut self, ticket: TicketId) -> Option<Queued> {
        let at = self.items.iter().position(|item| item.ticket == Some(ticket))?;
        // `VecDeque::remove` would do; moved one by one it is 250 B less in the npm package.
        for behind in at + 1..self.items.len() {
            self.items.swap(behind - 1, behind);
        }
        let item = self.items.pop_back()?;
        Some(self.left(item))
    }

    fn left(&mut self, item: Queued) -> Queued {
        self.bytes -= item.payload.bytes();
        item
    }

    /// How many messages are queued.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.items.len() as u64
    }

    /// The sum of their sizes in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(queue: &mut SendQueue, text: &str, ticket: u64) {
        queue.push(Class::Normal, Flow::default(), Payload::Text(text.into()), Some(TicketId(ticket)));
    }

    #[test]
    fn messages_leave_in_the_order_in_which_they_came() {
        let mut queue = SendQueue::new();
        for (ticket, text) in ["one", "", "three"].into_iter().enumerate() {
            push(&mut queue, text, ticket as u64);
        }
        assert_eq!((queue.messages(), queue.bytes()), (3, 8));
        let left: Vec<_> = core::iter::from_fn(|| queue.pop()).map(|item| item.payload).collect();
        assert_eq!(left, ["one", "", "three"].map(|text| Payload::Text(text.into())));
        assert_eq!((queue.is_empty(), queue.bytes()), (true, 0));
    }

    #[test]
    fn a_cancelled_message_leaves_the_others_in_place() {
        let mut queue = SendQueue::new();
        for ticket in 0..3 {
            push(&mut queue, "four", ticket);
        }
        assert_eq!(queue.cancel(TicketId(1)).and_then(|item| item.ticket), Some(TicketId(1)));
        assert_eq!(queue.cancel(TicketId(1)), None);
        // Not even a place is left behind, or sending and cancelling behind a slow message would add up.
        assert_eq!((queue.bytes(), queue.messages(), queue.items.len()), (8, 2, 2));
        assert_eq!(queue.pop().and_then(|item| item.ticket), Some(TicketId(0)));
        assert_eq!(queue.pop().and_then(|item| item.ticket), Some(TicketId(2)));
    }

    #[test]
    fn limits_admit_an_oversized_message_only_alone() {
        let limits = SendLimits { max_queued_bytes: 10, max_queued_messages: 2 };
        assert!(limits.admit(0, 0, 1 << 40));
        assert!(!limits.admit(1, 0, 11));
        assert!(limits.admit(1, 4, 6));
        assert!(!limits.admit(2, 0, 0));
        assert!(!limits.admit(1, u64::MAX, 1));
    }
}
