//! How much may be queued, counted where messages enter.

use super::priority::{Flow, Priority};
use alloc::vec::Vec;

/// How much may be queued for sending: safety against a peer that is slower than its sender.
///
/// Each class has the first two bounds to itself, so that a full upload queue keeps no urgent message out.
/// A message larger than `max_queued_bytes` or `max_flow_bytes` is taken when nothing else of its class, or
/// its flow, is queued, since it would otherwise never be taken at all. Payloads count, in bytes; the names of flows and keys
/// do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendLimits {
    /// Largest sum of the sizes of the queued messages of one priority, in bytes. Default 16 MiB.
    pub max_queued_bytes: u64,
    /// Largest number of queued messages of one priority. Default 65,536. At least 1 is always allowed, and
    /// more than 16,777,216 never are.
    pub max_queued_messages: u32,
    /// Largest sum of the sizes of the queued messages of one flow, in bytes. Default none.
    pub max_flow_bytes: u64,
    /// Largest number of queued messages of one flow. Default none.
    pub max_flow_messages: u32,
}

impl Default for SendLimits {
    /// 16 MiB and 65,536 messages: what one page may hold back without anybody noticing.
    fn default() -> Self {
        Self {
            max_queued_bytes: 16 << 20,
            max_queued_messages: 65_536,
            max_flow_bytes: u64::MAX,
            max_flow_messages: u32::MAX,
        }
    }
}

/// A number of messages, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    messages: u32,
    bytes: u64,
}

impl Count {
    fn admits(self, bytes: u64, max_messages: u32, max_bytes: u64) -> bool {
        self.messages == 0 || (self.messages < max_messages && self.bytes.saturating_add(bytes) <= max_bytes)
    }

    fn enter(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn leave(&mut self, bytes: u64) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

/// No class may have more messages than this, so that four of them fit into a `MessageId`.
const MOST_MESSAGES: u32 = 1 << 24;

/// What is queued, by class and by flow, and what may be.
#[derive(Debug)]
pub struct Room {
    limits: SendLimits,
    classes: [Count; Priority::ALL.len()],
    flows: Vec<Count>,
}

impl Room {
    /// Nothing is queued.
    #[must_use]
    pub fn new(limits: SendLimits) -> Self {
        let max_queued_messages = limits.max_queued_messages.min(MOST_MESSAGES);
        Self {
            limits: SendLimits { max_queued_messages, ..limits },
            classes: [Count::default(); Priority::ALL.len()],
            flows: Vec::new(),
        }
    }

    /// Whether a message of `bytes` may join those that are queued.
    #[must_use]
    pub fn admits(&self, priority: Priority, flow: Flow, bytes: u64) -> bool {
        let limits = &self.limits;
        let class = self.classes.get(priority.index()).copied().unwrap_or_default();
        let flow = self.flows.get(flow.0 as usize).copied().unwrap_or_default();
        class.admits(bytes, limits.max_queued_messages, limits.max_queued_bytes)
            && flow.admits(bytes, limits.max_flow_messages, limits.max_flow_bytes)
    }

    /// Counts a message that is queued, whether there was room for it or not.
    pub fn enter(&mut self, priority: Priority, flow: Flow, bytes: u64) {
        if self.flows.len() <= flow.0 as usize {
            self.flows.resize(flow.0 as usize + 1, Count::default());
        }
        self.change(priority, flow, |count| count.enter(bytes));
    }

    /// Counts a message that is queued no more.
    pub fn leave(&mut self, priority: Priority, flow: Flow, bytes: u64) {
        self.change(priority, flow, |count| count.leave(bytes));
    }

    /// How many messages of a flow are queued.
    #[must_use]
    pub fn flow_messages(&self, flow: Flow) -> u32 {
        self.flows.get(flow.0 as usize).map_or(0, |flow| flow.messages)
    }

    /// How many messages are queued.
    #[must_use]
    pub fn messages(&self) -> u32 {
        self.classes.iter().map(|class| class.messages).sum()
    }

    /// The sum of their sizes in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.classes.iter().fold(0, |sum, class| sum.saturating_add(class.bytes))
    }

    fn change(&mut self, priority: Priority, flow: Flow, mut change: impl FnMut(&mut Count)) {
        let class = self.classes.get_mut(priority.index());
        class.into_iter().chain(self.flows.get_mut(flow.0 as usize)).for_each(&mut change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMAL: Priority = Priority::Normal;
    const MAIN: Flow = Flow(0);

    fn room(max_queued_bytes: u64, max_queued_messages: u32) -> Room {
        Room::new(SendLimits { max_queued_bytes, max_queued_messages, ..SendLimits::default() })
    }

    #[test]
    fn b28_an_oversized_message_is_admitted_only_alone() {
        let mut room = room(10, 2);
        assert!(room.admits(NORMAL, MAIN, 1 << 40));
        room.enter(NORMAL, MAIN, 4);
        assert!(!room.admits(NORMAL, MAIN, 11));
        assert!(room.admits(NORMAL, MAIN, 6));
        room.enter(NORMAL, MAIN, 0);
        assert!(!room.admits(NORMAL, MAIN, 0));
        room.leave(NORMAL, MAIN, 4);
        assert!(room.admits(NORMAL, MAIN, 10));
        assert!(!room.admits(NORMAL, MAIN, u64::MAX));
    }

    #[test]
    fn b28_a_full_class_keeps_no_other_out() {
        let mut room = room(10, 2);
        room.enter(Priority::Bulk, MAIN, 10);
        assert!(!room.admits(Priority::Bulk, MAIN, 1));
        assert!(room.admits(Priority::Urgent, MAIN, 10));
        room.enter(Priority::Urgent, MAIN, u64::MAX);
        assert_eq!((room.messages(), room.bytes()), (2, u64::MAX));
    }

    #[test]
    fn b28_a_full_flow_keeps_no_other_out() {
        let limits = SendLimits { max_flow_bytes: 10, max_flow_messages: 2, ..SendLimits::default() };
        let mut room = Room::new(limits);
        room.enter(NORMAL, Flow(3), 10);
        assert!(!room.admits(NORMAL, Flow(3), 1));
        assert!(!room.admits(Priority::Urgent, Flow(3), 1));
        assert!(room.admits(NORMAL, MAIN, 1) && room.admits(NORMAL, Flow(9), 1));
        room.leave(NORMAL, Flow(3), 10);
        assert_eq!(room.flow_messages(Flow(3)), 0);
        assert!(room.admits(NORMAL, Flow(3), 100));
    }
}
