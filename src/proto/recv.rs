//! The queue of messages that the application has not taken yet, bounded.

use std::collections::VecDeque;

/// How much may wait for the application: the `WebSocket` of a browser cannot be made to push back, so
/// what does not fit ends the connection, which then closes with `overflow_code`.
///
/// On the host the connection waits for its reader instead: nothing more is read from the stream while half
/// of a bound is taken, so that the peer has to wait as well. Its pings and its close wait with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvLimits {
    /// Largest sum of the sizes of waiting messages, in bytes. Default 64 MiB.
    ///
    /// A single larger message is taken when the queue is empty.
    pub max_queued_bytes: u64,
    /// Largest number of waiting messages. Default 65,536. At least 1 is always allowed.
    pub max_queued_messages: u32,
    /// Close code that tells the peer of the overflow, 1000 or 3000 to 4999. Default 4009, after 1009
    /// (message too big), which a browser may not send.
    pub overflow_code: u16,
}

impl Default for RecvLimits {
    /// 64 MiB, 65,536 messages, 4009.
    fn default() -> Self {
        Self { max_queued_bytes: 64 << 20, max_queued_messages: 65_536, overflow_code: 4009 }
    }
}

/// Messages waiting for the application, in the order of their arrival.
///
/// Invariant: `bytes` is the sum of the sizes given to [`push`](Self::push) and not yet popped.
#[derive(Debug)]
pub struct RecvQueue<M> {
    items: VecDeque<(M, u64)>,
    bytes: u64,
    limits: RecvLimits,
}

impl<M> RecvQueue<M> {
    /// An empty queue with the given bounds.
    #[must_use]
    pub fn new(limits: RecvLimits) -> Self {
        Self { items: VecDeque::new(), bytes: 0, limits }
    }

    /// Appends a message of `bytes` bytes.
    ///
    /// # Errors
    ///
    /// Gives the message back when it does not fit; the queue is unchanged.
    pub fn push(&mut self, message: M, bytes: u64) -> Result<(), M> {
        let full = self.items.len() >= self.limits.max_queued_messages as usize
            || self.bytes.saturating_add(bytes) > self.limits.max_queued_bytes;
        if full && !self.items.is_empty() {
            return Err(message);
        }
        self.bytes += bytes;
        self.items.push_back((message, bytes));
        Ok(())
    }

    /// Takes the oldest message.
    pub fn pop(&mut self) -> Option<M> {
        let (message, bytes) = self.items.pop_front()?;
        self.bytes -= bytes;
        Some(message)
    }

    /// How many messages wait, and the sum of their sizes in bytes.
    #[must_use]
    pub fn queued(&self) -> (u64, u64) {
        (self.items.len() as u64, self.bytes)
    }

    /// Whether something waits, and the `part`th part of either bound is taken.
    #[must_use]
    pub fn is_filled_by(&self, part: u32) -> bool {
        let part = part.max(1);
        !self.items.is_empty()
            && (self.bytes >= self.limits.max_queued_bytes / u64::from(part)
                || self.items.len() >= (self.limits.max_queued_messages / part) as usize)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The bounds.
    #[must_use]
    pub fn limits(&self) -> RecvLimits {
        self.limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_in_bytes_and_messages_and_one_large_message_passes() {
        let mut queue = RecvQueue::new(RecvLimits {
            max_queued_bytes: 10,
            max_queued_messages: 2,
            ..RecvLimits::default()
        });
        assert_eq!(queue.push("large", 100), Ok(()));
        assert_eq!(queue.push("none", 0), Err("none"));
        assert_eq!(queue.pop(), Some("large"));
        assert_eq!(queue.push("a", 5), Ok(()));
        assert_eq!(queue.push("b", 6), Err("b"));
        assert_eq!(queue.push("c", 5), Ok(()));
        assert_eq!(queue.push("d", 0), Err("d"));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some("a"), Some("c"), None));
        assert!(queue.is_empty());
    }
}
