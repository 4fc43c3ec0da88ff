//! A link whose sender has no buffers of its own: it waits while there is no room.

use super::link::Link;
use super::random::Random;
use crate::time::Timestamp;

/// How a link is used at the moment.
#[derive(Clone, Debug)]
pub(super) struct Line {
    link: Link,
    random: Random,
    /// When the link has sent everything it was given.
    free_at: Timestamp,
    last_arrival: Timestamp,
    unread_bytes: u64,
}

impl Line {
    pub(super) fn new(now: Timestamp, link: Link, random: Random) -> Self {
        Self { link, random, free_at: now, last_arrival: now, unread_bytes: 0 }
    }

    /// Sends behind all that was sent before. Returns when it arrives.
    pub(super) fn send(&mut self, now: Timestamp, bytes: u64) -> Timestamp {
        self.free_at = self.link.sent_at(now.max(self.free_at), bytes);
        // Never before what went ahead, however the jitter falls.
        let arrival = self.link.arrives_at(self.free_at, &mut self.random);
        self.last_arrival = self.last_arrival.max(arrival);
        self.unread_bytes = self.unread_bytes.saturating_add(bytes);
        self.last_arrival
    }

    /// Makes room: so many bytes were read.
    pub(super) fn read(&mut self, bytes: u64) {
        self.unread_bytes = self.unread_bytes.saturating_sub(bytes);
    }

    pub(super) fn has_room(&self) -> bool {
        self.unread_bytes < self.link.buffer_bytes.max(1)
    }
}
