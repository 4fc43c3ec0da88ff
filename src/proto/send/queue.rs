//! The queue of messages that the transport has not been given yet: which goes next.
//!
//! Four classes, one for each [`Priority`], strictly from the top, but for a guaranteed share. Inside
//! a class deficit round robin by bytes over its flows, as RFC 8290 has it: a flow that becomes
//! active goes first for one quantum. The messages of one flow and class, a *lane*, keep their order.
//! Every operation costs the same however much is queued, but for the rounds of large messages,
//! which cost one step for each 16 KiB.
//!
//! Plain mode takes whole messages ([`pop`](SendQueue::pop)). With the feature `v1` they can leave in chunks as well:
//! `chunks` has that, and in what its shares differ.
//!
//! Not here: bounds (`room`, where messages enter), pacing (`gate`), what is in a message.

// Lanes, places and slots are numbered by 32 bits, and there are far fewer of each.
#![allow(clippy::cast_possible_truncation, reason = "see above")]

#[cfg(feature = "v1")]
mod chunks;
mod deadlines;
mod message;
mod store;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;

use self::deadlines::Deadlines;
pub use self::message::{MESSAGE_COST, MessageId, NewMessage, Next, QUANTUM, QueueConfig, Queued, TicketId};
use self::store::{NONE, Store};
use super::priority::{Flow, Priority};
use crate::proto::payload::{Hosted, HostedKind, Payload};
use crate::time::Timestamp;
use alloc::vec::Vec;

const CLASSES: usize = Priority::ALL.len();

/// The messages of one class and flow.
#[derive(Clone, Copy, Debug)]
struct Lane {
    first: u32,
    last: u32,
    messages: u32,
    /// The next one in its ring.
    link: u32,
    /// What it may still send in this round, in bytes.
    credit: i64,
    place: Place,
}

/// Where a lane waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nowhere: it is empty, or what it begins with is not at hand.
    Aside,
    /// It was empty and has its first quantum before all others.
    Fresh,
    /// In turn with the others.
    Round,
    /// Nowhere, whatever is in it, until it is set ready again.
    #[cfg(feature = "v1")]
    Held,
}

impl Place {
    #[inline]
    const fn is_in_line(self) -> bool {
        #[cfg(feature = "v1")]
        if matches!(self, Self::Held) {
            return false;
        }
        !matches!(self, Self::Aside)
    }
}

impl Lane {
    const EMPTY: Self =
        Self { first: NONE, last: NONE, messages: 0, link: NONE, credit: 0, place: Place::Aside };

    /// Whether what is in it, or comes into it, does not go now.
    #[inline]
    fn waits(&self) -> bool {
        #[cfg(feature = "v1")]
        if self.place == Place::Held {
            return true;
        }
        self.messages > 0 && self.place == Place::Aside
    }
}

/// Lanes in turn.
#[derive(Clone, Copy, Debug)]
struct Ring {
    first: u32,
    last: u32,
}

/// One class: its lanes, and what it is owed.
#[derive(Clone, Copy, Debug)]
struct Class {
    fresh: Ring,
    round: Ring,
    /// Messages that could go now.
    ready: u32,
    /// Of its guaranteed share, in 256ths of a byte.
    owed: i64,
}

impl Class {
    fn ring(&mut self, place: Place) -> &mut Ring {
        if place == Place::Fresh { &mut self.fresh } else { &mut self.round }
    }
}

/// Messages waiting for the transport.
#[derive(Debug)]
pub struct SendQueue {
    store: Store,
    /// Those of flow `f` from `4 f` on, one for each class.
    lanes: Vec<Lane>,
    classes: [Class; CLASSES],
    deadlines: Deadlines,
    share: i64,
    /// See [`set_unit`](Self::set_unit).
    #[cfg(feature = "v1")]
    unit: i64,
    /// The last message was urgent, so that a class that is due goes before the next one.
    was_urgent: bool,
    messages: u64,
    /// The facade of the npm build counts them itself.
    #[cfg(not(feature = "js"))]
    bytes: u64,
}

impl SendQueue {
    /// An empty queue.
    #[must_use]
    pub fn new(config: QueueConfig) -> Self {
        let ring = Ring { first: NONE, last: NONE };
        Self {
            store: Store::new(),
            lanes: Vec::new(),
            classes: [Class { fresh: ring, round: ring, ready: 0, owed: 0 }; CLASSES],
            deadlines: Deadlines::new(),
            share: i64::from(config.share.min(64)),
            #[cfg(feature = "v1")]
            unit: i64::from(QUANTUM),
            was_urgent: false,
            messages: 0,
            #[cfg(not(feature = "js"))]
            bytes: 0,
        }
    }

    /// Appends a message, at `now`. Gives its name, and the message that it has replaced.
    pub fn push(&mut self, now: Timestamp, new: NewMessage) -> (MessageId, Option<Queued>) {
        let NewMessage { priority, flow, payload, deadline, replaces, ticket } = new;
        let lane = lane_of(flow, priority);
        self.messages += 1;
        self.count_bytes(0, payload.bytes());
        let place = replaces.and_then(|id| self.store.find(id));
        let (at, old) = match place {
            Some(at) if self.store.node(at).lane == lane => {
                let old = self.store.replace(at, payload, ticket);
                self.left(&old);
                self.forget_deadline(at);
                if self.lane(lane).first == at {
                    // The content that the lane may have waited for is not wanted any more.
                    self.set_ready(lane);
                }
                (at, Some(old))
            }
            _ => {
                let old = place.map(|at| self.take(at));
                let at = self.store.insert(payload, ticket, lane);
                self.append(lane, at);
                (at, old)
            }
        };
        let deadline = deadline.map_or(NONE, |due| self.deadlines.insert(at, due));
        let node = self.store.node_mut(at);
        (node.deadline, node.queued_at) = (deadline, ticks(now));
        (self.store.id(at), old)
    }

    /// The message whose turn it is; the same until something is pushed, taken or set aside.
    pub fn peek(&mut self) -> Option<Next> {
        let at = self.pick().map(|lane| self.lane(lane).first)?;
        let node = self.store.node(at);
        let payload = node.payload.as_ref()?;
        let hosted = payload.hosted();
        let priority = place_of(node.lane).0;
        Some(Next {
            id: self.store.id(at),
            priority,
            #[cfg(feature = "v1")]
            flow: place_of(node.lane).1,
            #[cfg(feature = "v1")]
            is_text: payload.is_text(),
            bytes: payload.bytes(),
            hosted,
        })
    }

    /// Takes the message whose turn it is, and the time that it has waited, in microseconds.
    pub fn pop(&mut self, now: Timestamp) -> Option<(Queued, u64)> {
        let lane = self.pick()?;
        let at = self.lane(lane).first;
        let waited = self.waited(at, now);
        let item = self.take(at);
        let bytes = item.payload.bytes();
        self.lane(lane).credit -= cost(bytes);
        self.pass(item.priority, bytes);
        Some((item, waited))
    }

    /// Notes what each class is owed after a message that has gone. For one that goes by an empty queue without
    /// having been pushed, which leaves everything else as it is if it is not urgent.
    pub fn pass(&mut self, priority: Priority, bytes: u64) {
        self.pay(priority.index(), cost(bytes));
    }

    #[inline]
    fn pay(&mut self, class: usize, cost: i64) {
        // Urgent ones that come one by one, each when the one before it has gone, are many all the same.
        self.was_urgent = class == 0 || (self.was_urgent && self.has_urgent());
        let share = self.share;
        for (index, other) in self.classes.iter_mut().enumerate().skip(1) {
            if other.ready == 0 && index != class {
                other.owed = 0;
                continue;
            }
            // Without a bound, which would forfeit the share of large messages: what is due goes next, and its
            // classes are owed three quarters of all bytes at most, so that it does not grow.
            other.owed = other.owed.saturating_add(cost * share);
            if index == class {
                // What it got beyond its share, because nothing higher was there, is not held against it later.
                let paid = cost * 256;
                other.owed = other.owed.saturating_sub(paid).max(-paid);
            }
        }
    }

    /// Puts an urgent message before all that is due, if one is queued. Whether the turn is another's now.
    pub fn prefer_urgent(&mut self) -> bool {
        let passes = self.was_urgent && self.has_urgent();
        self.was_urgent &= !passes;
        passes
    }

    /// Takes out a message, wherever it stands; `None` if it is not queued any more.
    pub fn remove(&mut self, id: MessageId) -> Option<Queued> {
        let at = self.store.find(id)?;
        Some(self.take(at))
    }

    /// Takes any message, those that were set aside included: for the end of all of them.
    pub fn remove_any(&mut self) -> Option<Queued> {
        if self.pick().is_none() {
            for lane in 0..self.lanes.len() as u32 {
                #[cfg(feature = "v1")]
                self.release(lane);
                #[cfg(not(feature = "v1"))]
                self.set_ready(lane);
            }
        }
        let lane = self.pick()?;
        let at = self.lane(lane).first;
        Some(self.take(at))
    }

    /// The Blob that a queued message consists of, if it does.
    #[must_use]
    pub fn blob(&self, id: MessageId) -> Option<Hosted> {
        match self.store.node(self.store.find(id)?).payload {
            Some(Payload::Hosted(hosted)) if hosted.kind == HostedKind::Blob => Some(hosted),
            _ => None,
        }
    }

    /// Sets the lane of the message whose turn it is aside, until its content is at hand.
    pub fn set_aside(&mut self, id: MessageId) {
        let Some(at) = self.store.find(id) else { return };
        let lane = self.store.node(at).lane;
        let Lane { first, place, messages, .. } = *self.lane(lane);
        let Class { fresh, round, .. } = *self.class(lane);
        let has_turn = lane == if place == Place::Fresh { fresh.first } else { round.first };
        if first == at && has_turn && place.is_in_line() {
            self.leave(lane);
            self.class(lane).ready -= messages;
        }
    }

    /// The content of a message that was set aside is at hand. Gives what is not needed any more: what the
    /// message was before, or the content itself if the message is not queued any more.
    pub fn set_content(&mut self, id: MessageId, content: Payload) -> Payload {
        let Some(at) = self.store.find(id) else { return content };
        let node = self.store.node_mut(at);
        let lane = node.lane;
        let bytes = content.bytes();
        let Some(payload) = &mut node.payload else { return content };
        let old = core::mem::replace(payload, content);
        self.count_bytes(old.bytes(), bytes);
        self.set_ready(lane);
        old
    }

    /// Takes a message whose deadline has passed.
    pub fn expire(&mut self, now: Timestamp) -> Option<Queued> {
        let at = self.deadlines.expire(&self.store, now)?;
        Some(self.take(at))
    }

    /// When the earliest deadline passes, or a little before.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.deadlines.next()
    }

    /// How many messages are queued.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// The sum of their sizes in bytes, modulo 2^64: a size is a claim of the host, and two that no memory holds may be
    /// among them.
    #[cfg(not(feature = "js"))]
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether nothing is queued.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages == 0
    }

    /// So many bytes are queued no more, and so many are.
    #[cfg(not(feature = "js"))]
    fn count_bytes(&mut self, less: u64, more: u64) {
        self.bytes = self.bytes.wrapping_sub(less).wrapping_add(more);
    }

    /// Nothing.
    #[cfg(feature = "js")]
    #[allow(clippy::unused_self, reason = "as the other one")]
    fn count_bytes(&mut self, _: u64, _: u64) {}

    /// How long a message has been queued, in microseconds.
    #[inline]
    fn waited(&self, at: u32, now: Timestamp) -> u64 {
        u64::from(ticks(now).wrapping_sub(self.store.node(at).queued_at)) << TICK_BITS
    }

    /// The quantum, in bytes.
    #[cfg(feature = "v1")]
    fn unit(&self) -> i64 {
        self.unit
    }

    /// The quantum, in bytes.
    #[cfg(not(feature = "v1"))]
    #[allow(clippy::unused_self, reason = "as the other one")]
    fn unit(&self) -> i64 {
        i64::from(QUANTUM)
    }

    fn has_urgent(&self) -> bool {
        self.classes.first().is_some_and(|urgent| urgent.ready > 0)
    }

    /// The lane whose turn it is.
    fn pick(&mut self) -> Option<u32> {
        let is_urgent = self.has_urgent();
        // A lone urgent message waits for no share; the second one does.
        if is_urgent && !self.was_urgent {
            return self.pick_from(0);
        }
        let mut strict = None;
        for class in 1..CLASSES {
            let Some(lane) = self.pick_from(class) else { continue };
            if self.is_due_in(class, lane) {
                return Some(lane);
            }
            strict = strict.or(Some(lane));
        }
        if is_urgent { self.pick_from(0) } else { strict }
    }

    /// Whether a class is owed enough for what its `lane` begins with to go before its turn.
    #[inline]
    fn is_due_in(&mut self, class: usize, lane: u32) -> bool {
        let first = self.lane(lane).first;
        let bytes = self.store.node(first).payload.as_ref().map_or(0, Payload::bytes);
        let due = cost(bytes).min(self.unit()) * 256;
        self.classes.get(class).is_some_and(|class| class.owed >= due)
    }

    /// The lane of a class whose turn it is in the class.
    fn pick_from(&mut self, class: usize) -> Option<u32> {
        let unit = self.unit();
        loop {
            let Class { fresh, round, .. } = *self.classes.get(class)?;
            let lane = if fresh.first == NONE { round.first } else { fresh.first };
            if lane == NONE {
                return None;
            }
            let state = self.lane(lane);
            if state.messages > 0 {
                if state.credit > 0 {
                    return Some(lane);
                }
                if fresh.first == NONE && round.first == round.last {
                    // Alone in its class: there is nobody to take turns with.
                    state.credit = unit;
                    return Some(lane);
                }
                state.credit += unit;
            }
            let (was_fresh, is_empty) = (state.place == Place::Fresh, state.messages == 0);
            self.leave(lane);
            // An empty lane is kept for one round: one that sends now and then would always be new otherwise.
            if was_fresh || !is_empty {
                self.join(lane, Place::Round);
            }
        }
    }

    /// Sees to it that a lane exists.
    #[inline]
    fn create(&mut self, lane: u32) {
        if self.lanes.len() <= lane as usize {
            self.lanes.resize(lane as usize + 1, Lane::EMPTY);
        }
    }

    /// Appends a message to its lane.
    fn append(&mut self, lane: u32, at: u32) {
        self.create(lane);
        let state = self.lane(lane);
        let (last, waits) = (state.last, state.waits());
        state.last = at;
        state.messages += 1;
        if last == NONE {
            state.first = at;
        }
        let is_new = state.place == Place::Aside && !waits;
        self.store.node_mut(at).prev = last;
        if last != NONE {
            self.store.node_mut(last).next = at;
        }
        if !waits {
            self.class(lane).ready += 1;
        }
        if is_new {
            let unit = self.unit();
            self.lane(lane).credit = unit;
            self.join(lane, Place::Fresh);
        }
    }

    /// Takes a message out of its lane and its place.
    fn take(&mut self, at: u32) -> Queued {
        let id = self.store.id(at);
        self.forget_deadline(at);
        let node = self.store.node(at);
        let (lane, prev, next, ticket) = (node.lane, node.prev, node.next, node.ticket);
        if next != NONE {
            self.store.node_mut(next).prev = prev;
        }
        if prev != NONE {
            self.store.node_mut(prev).next = next;
        }
        let state = self.lane(lane);
        state.messages -= 1;
        if prev == NONE {
            state.first = next;
        }
        if next == NONE {
            state.last = prev;
        }
        if state.place.is_in_line() {
            self.class(lane).ready -= 1;
        } else if prev == NONE {
            // It was what the lane has waited for.
            self.set_ready(lane);
        }
        let payload = self.store.remove(at).expect("a queued message has a payload");
        let item = Queued::new(id, lane, payload, ticket);
        self.left(&item);
        item
    }

    fn left(&mut self, item: &Queued) {
        self.messages -= 1;
        self.count_bytes(item.payload.bytes(), 0);
    }

    /// A lane that was set aside has its turn again, if there is something in it.
    fn set_ready(&mut self, lane: u32) {
        let Lane { place, messages, .. } = *self.lane(lane);
        if place == Place::Aside && messages > 0 {
            self.class(lane).ready += messages;
            self.join(lane, Place::Fresh);
        }
    }

    fn forget_deadline(&mut self, at: u32) {
        let deadline = core::mem::replace(&mut self.store.node_mut(at).deadline, NONE);
        if deadline != NONE {
            self.deadlines.forget(&mut self.store);
        }
    }

    /// Puts a lane behind the others.
    fn join(&mut self, lane: u32, place: Place) {
        let class = self.class(lane);
        let ring = class.ring(place);
        let last = core::mem::replace(&mut ring.last, lane);
        if last == NONE {
            ring.first = lane;
        } else {
            self.lane(last).link = lane;
        }
        let state = self.lane(lane);
        (state.link, state.place) = (NONE, place);
    }

    /// Takes the lane out of its line that it is the first of.
    fn leave(&mut self, lane: u32) {
        let state = self.lane(lane);
        let (place, link) = (core::mem::replace(&mut state.place, Place::Aside), state.link);
        let class = self.class(lane);
        let ring = class.ring(place);
        ring.first = link;
        if link == NONE {
            ring.last = NONE;
        }
    }

    fn lane(&mut self, lane: u32) -> &mut Lane {
        self.lanes.get_mut(lane as usize).expect("a lane exists from its first message on")
    }

    fn class(&mut self, lane: u32) -> &mut Class {
        self.classes.get_mut(lane as usize % CLASSES).expect("one for each remainder")
    }
}

#[inline]
fn lane_of(flow: Flow, priority: Priority) -> u32 {
    flow.0 * CLASSES as u32 + priority as u32
}

/// Class and flow of a lane.
fn place_of(lane: u32) -> (Priority, Flow) {
    let priority = Priority::ALL.get(lane as usize % CLASSES).copied().unwrap_or_default();
    (priority, Flow(lane / CLASSES as u32))
}

/// What a message costs in turns and shares.
#[inline]
fn cost(bytes: u64) -> i64 {
    size(bytes) + i64::from(MESSAGE_COST)
}

#[inline]
fn size(bytes: u64) -> i64 {
    // Nothing that exists is larger; the products above stay within 64 bits.
    i64::try_from(bytes).unwrap_or(i64::MAX).min(1 << 50)
}

/// Moments are kept in 16 microseconds, of which 32 bits hold 19 hours.
const TICK_BITS: u32 = 4;

#[allow(clippy::cast_possible_truncation, reason = "only differences count")]
fn ticks(moment: Timestamp) -> u32 {
    // The facade of the npm build measures itself how long a message has waited.
    if cfg!(feature = "js") { 0 } else { (moment.as_micros() >> TICK_BITS) as u32 }
}
