//! What has come, until the driver takes it.
//!
//! Not here: the receive queue of the application, which is larger and has limits of its own.

use std::collections::VecDeque;

use crate::transport::TransportEvent;

/// How many events are taken out of what was read before the driver looks at them: of the smallest messages a
/// single read brings more than the receive queue has places for.
const EVENTS_AT_ONCE: usize = 4_096;

/// How many bytes of messages, likewise: what the reads of one turn bring, unless it is compressed. A read of
/// compressed ones may stand for a thousand times as much.
const BYTES_AT_ONCE: u64 = 1 << 20;

/// Events in their order.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    events: VecDeque<TransportEvent>,
    /// Payload bytes of the messages among them.
    bytes: u64,
}

impl Arrived {
    /// Whether so much waits that the driver should take it before more is made of what was read. One
    /// message may be more than that; it is the last that was taken then.
    pub(super) fn is_much(&self) -> bool {
        self.events.len() >= EVENTS_AT_ONCE || self.bytes >= BYTES_AT_ONCE
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn push(&mut self, event: TransportEvent) {
        self.bytes += bytes(&event);
        self.events.push_back(event);
    }

    pub(super) fn pop(&mut self) -> Option<TransportEvent> {
        let event = self.events.pop_front()?;
        self.bytes -= bytes(&event);
        Some(event)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn bytes(event: &TransportEvent) -> u64 {
    match event {
        TransportEvent::Message(incoming) => incoming.bytes(),
        _ => 0,
    }
}
