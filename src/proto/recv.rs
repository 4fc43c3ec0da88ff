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
/// Invariant: `bytes` is the sum of the sizes given to [`push`](Self::push) and not yet taken out.
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

    /// Appends a message of `bytes` bytes, whatever the bounds say: [`poll_overflow`](Self::poll_overflow)
    /// holds them.
    pub fn push(&mut self, message: M, bytes: u64) {
        // Sizes are claims of the host. Two that no memory holds must not add up to a small one.
        self.bytes = self.bytes.saturating_add(bytes);
        self.items.push_back((message, bytes));
    }

    /// Takes out a message by which the queue is above its bounds; `None` once it is not, or has one message
    /// only. To be asked after each [`push`](Self::push), unless the peer can be made to wait.
    pub fn poll_overflow(&mut self) -> Option<M> {
        let fits = self.bytes <= self.limits.max_queued_bytes
            && self.items.len() <= self.limits.max_queued_messages as usize;
        if fits || self.items.len() <= 1 {
            return None;
        }
        let (message, bytes) = self.items.pop_back()?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(message)
    }

    /// Takes the oldest message.
    pub fn pop(&mut self) -> Option<M> {
        let (message, bytes) = self.items.pop_front()?;
        self.bytes = self.bytes.saturating_sub(bytes);
        Some(message)
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

    /// Pushes a message; gives the one that is too much.
    fn push(queue: &mut RecvQueue<&'static str>, message: &'static str, bytes: u64) -> Option<&'static str> {
        queue.push(message, bytes);
        let too_much = queue.poll_overflow();
        assert_eq!(queue.poll_overflow(), None);
        too_much
    }

    #[test]
    fn b16_bounds_hold_in_bytes_and_messages_and_one_large_message_passes() {
        let limits = RecvLimits { max_queued_bytes: 10, max_queued_messages: 2, ..RecvLimits::default() };
        let mut queue = RecvQueue::new(limits);
        assert_eq!(push(&mut queue, "large", 100), None);
        assert_eq!(push(&mut queue, "none", 0), Some("none"));
        assert_eq!(queue.pop(), Some("large"));
        assert_eq!(push(&mut queue, "a", 5), None);
        assert_eq!(push(&mut queue, "b", 6), Some("b"));
        assert_eq!(push(&mut queue, "c", 5), None);
        assert_eq!(push(&mut queue, "d", 0), Some("d"));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some("a"), Some("c"), None));
        assert!(queue.is_empty());
    }

    #[test]
    fn b41_sizes_that_no_memory_holds_do_not_wrap() {
        let mut queue = RecvQueue::new(RecvLimits::default());
        assert_eq!(push(&mut queue, "huge", u64::MAX), None);
        assert_eq!(push(&mut queue, "small", 1), Some("small"));
        assert_eq!((queue.pop(), queue.bytes), (Some("huge"), 0));
    }
}
