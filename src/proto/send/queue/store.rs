//! Where queued messages are kept: small numbers for places, a list through each lane.

use super::{MessageId, Queued};
use crate::proto::payload::Payload;
use crate::proto::send::TicketId;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// No place.
pub(super) const NONE: u32 = u32::MAX;

/// How many messages are allocated at once: a million of them need no more memory than their own,
/// and none is moved when there are more.
const CHUNK: usize = 64;

/// How many the first chunk begins with: most connections never have more messages queued, and a server has many
/// connections.
const FIRST: usize = if GROUPS > 1 { 4 } else { CHUNK };

/// A chunk has messages of one group of lanes, which with up to 16 flows is one lane: those of a lane go one after the
/// other, and in a long queue the processor has the next one at hand only if it lies beside the last. Elsewhere in
/// memory it costs 100 ns. A page's queue is not that long, and there the code costs more than it gains.
const GROUPS: usize = if cfg!(target_pointer_width = "64") { 64 } else { 1 };

/// How many places may be free before one lane uses those of another: a queue needs the memory of the most messages
/// that were in it at once, and a megabyte more at worst.
const SPARE: usize = 1 << 14;

/// How many chunks an empty queue keeps: those of a few lanes that are filled and emptied by turns.
const KEPT: usize = 8;

/// A serial number has as many bits as leave a [`MessageId`] exact in a JavaScript number.
const SERIAL_BITS: u32 = 26;
const SERIAL_MASK: u32 = (1 << SERIAL_BITS) - 1;

/// A queued message and its neighbours. 64 bytes on a 64-bit host, of which the payload has 32.
#[derive(Debug)]
#[cfg_attr(target_pointer_width = "64", repr(align(64)))]
pub(super) struct Node {
    /// `None` in a free place.
    pub(super) payload: Option<Payload>,
    pub(super) ticket: Option<TicketId>,
    /// Behind it in its lane; in a free place, the next free one.
    pub(super) next: u32,
    /// Before it in its lane.
    pub(super) prev: u32,
    pub(super) lane: u32,
    serial: u32,
    /// Where its deadline is kept, if it has one.
    pub(super) deadline: u32,
    /// When it was queued: see [`ticks`](super::ticks).
    pub(super) queued_at: u32,
}

/// Places for messages, used again as soon as they are free.
#[derive(Debug)]
pub(super) struct Store {
    chunks: Vec<Box<[Node]>>,
    /// The first free place for each group of lanes.
    free: [u32; GROUPS],
    used: usize,
    last_serial: u32,
}

impl Store {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), free: [NONE; GROUPS], used: 0, last_serial: 0 }
    }

    /// The message at `at`, which is a place that a link leads to.
    pub(super) fn node(&self, at: u32) -> &Node {
        let (chunk, place) = (at as usize / CHUNK, at as usize % CHUNK);
        self.chunks.get(chunk).and_then(|chunk| chunk.get(place)).expect("links lead to places")
    }

    pub(super) fn node_mut(&mut self, at: u32) -> &mut Node {
        let (chunk, place) = (at as usize / CHUNK, at as usize % CHUNK);
        self.chunks.get_mut(chunk).and_then(|chunk| chunk.get_mut(place)).expect("links lead to places")
    }

    /// Keeps a message, which is not in any list yet.
    pub(super) fn insert(&mut self, payload: Payload, ticket: Option<TicketId>, lane: u32) -> u32 {
        if *self.free(lane) == NONE {
            let mut others = self.free.iter_mut().filter(|first| **first != NONE);
            match others.next() {
                Some(other) if GROUPS > 1 && self.chunks.len() * CHUNK > self.used + SPARE => {
                    *self.free(lane) = core::mem::replace(other, NONE);
                }
                _ => self.grow(lane),
            }
        }
        let at = *self.free(lane);
        let serial = self.next_serial();
        self.used += 1;
        let node = self.node_mut(at);
        let free = node.next;
        *node = Node {
            payload: Some(payload),
            ticket,
            next: NONE,
            prev: NONE,
            lane,
            serial,
            deadline: NONE,
            queued_at: 0,
        };
        *self.free(lane) = free;
        at
    }

    /// Takes a message out of its place, which becomes free. It is in no list any more.
    pub(super) fn remove(&mut self, at: u32) -> Option<Payload> {
        let lane = self.node(at).lane;
        let free = core::mem::replace(self.free(lane), at);
        let node = self.node_mut(at);
        let payload = node.payload.take();
        node.next = free;
        self.used -= 1;
        if self.used == 0 && self.chunks.len() > KEPT {
            // What a burst has needed is given back after it.
            self.chunks = Vec::new();
            self.free = [NONE; GROUPS];
        }
        payload
    }

    /// By what the message at `at` is known.
    pub(super) fn id(&self, at: u32) -> MessageId {
        MessageId(u64::from(at) << SERIAL_BITS | u64::from(self.node(at).serial))
    }

    /// Where the message `id` is, if it is still queued.
    pub(super) fn find(&self, id: MessageId) -> Option<u32> {
        let at = u32::try_from(id.0 >> SERIAL_BITS).ok()?;
        let node = self.chunks.get(at as usize / CHUNK)?.get(at as usize % CHUNK)?;
        let is_it = node.payload.is_some() && u64::from(node.serial) == id.0 & u64::from(SERIAL_MASK);
        is_it.then_some(at)
    }

    /// Gives the message at `at` another content, under a name of its own.
    pub(super) fn replace(&mut self, at: u32, payload: Payload, ticket: Option<TicketId>) -> Queued {
        let id = self.id(at);
        let serial = self.next_serial();
        let node = self.node_mut(at);
        node.serial = serial;
        let old = node.payload.replace(payload).expect("a queued message has a payload");
        let ticket = core::mem::replace(&mut node.ticket, ticket);
        Queued::new(id, node.lane, old, ticket)
    }

    fn next_serial(&mut self) -> u32 {
        // 0 is left out: an id of 0 is no message's.
        self.last_serial = self.last_serial % SERIAL_MASK + 1;
        self.last_serial
    }

    fn free(&mut self, lane: u32) -> &mut u32 {
        self.free.get_mut(lane as usize & (GROUPS - 1)).expect("one for each remainder")
    }

    fn grow(&mut self, lane: u32) {
        let before = match self.chunks.first().map_or(0, |first| first.len()) {
            // The first chunk becomes longer until it is as long as all others. In a page it is from the beginning, which
            // the compiler is told: 470 B of brotli.
            short @ 1..CHUNK if FIRST < CHUNK => short,
            _ => 0,
        };
        let len = match before {
            0 if self.chunks.is_empty() => FIRST,
            0 => CHUNK,
            short => (short * 2).min(CHUNK),
        };
        let from = if before > 0 { before } else { self.chunks.len() * CHUNK };
        let from = u32::try_from(from).expect("2^26 messages are more than a queue admits");
        let free = |at: usize| Node {
            payload: None,
            ticket: None,
            next: if at + 1 == len { NONE } else { from + (at - before) as u32 + 1 },
            prev: NONE,
            lane: 0,
            serial: 0,
            deadline: NONE,
            queued_at: 0,
        };
        let places = (before..len).map(free);
        if before > 0
            && let Some(first) = self.chunks.first_mut()
        {
            *first = core::mem::take(first).into_iter().chain(places).collect();
        } else {
            self.chunks.push(places.collect());
        }
        *self.free(lane) = from;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn the_first_chunk_grows_with_what_is_in_it_and_names_stay() {
        let mut store = Store::new();
        let mut kept = Vec::new();
        for n in 0..300_u32 {
            let at = store.insert(Payload::Text(n.to_string()), None, n % 5);
            if n == 0 {
                assert_eq!(store.chunks.first().map(|first| first.len()), Some(FIRST));
            }
            kept.push((store.id(at), at));
            for (n, (id, at)) in kept.iter().enumerate() {
                assert_eq!(store.find(*id), Some(*at));
                assert_eq!(store.node(*at).payload, Some(Payload::Text(n.to_string())));
            }
        }
        let mut places: Vec<_> = kept.iter().map(|(_, at)| *at).collect();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 300);
        // Whole chunks, as all have the same length now.
        assert!(store.chunks.iter().all(|chunk| chunk.len() == CHUNK));
        for (_, at) in kept {
            store.remove(at).unwrap();
        }
        assert_eq!(store.used, 0);
    }
}
