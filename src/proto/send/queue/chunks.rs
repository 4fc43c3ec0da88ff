//! What tidegate mode asks of the queue: its messages, there called items, leave in chunks, and a flow is a channel.
//!
//! | the session | the queue |
//! |---|---|
//! | asks whose turn it is | `peek` |
//! | hands over the first chunk of that item | [`begin`](SendQueue::begin) |
//! | has handed over a chunk, the first included | [`charge`](SendQueue::charge): the item stays the first of its lane |
//! | has handed over the last one | `remove`, after `charge` |
//! | finds that a channel may send nothing now | [`hold`](SendQueue::hold), until [`set_ready_again`](SendQueue::set_ready_again) |
//!
//! All of it may come in any order and has its meaning; deadlines and replacing go on in a lane that is held.
//!
//! **Shares.** As in plain mode, but for the unit, and that a chunk costs its bytes and nothing more. For each n bytes
//! that go, each class below urgent with something ready is owed n/16; what it sends is subtracted, down to minus its
//! last record. One without is owed 0, from the next record of another on: all its lanes may be held.
//! Nothing is forfeited, for what is owed stays below two units by itself while records are no larger than the unit:
//! whoever is owed a unit is *due*, goes before all that is not, and after an urgent record before the next urgent
//! one. That holds also if no urgent one is queued in between, as long as anybody is owed a unit: or else urgent records
//! that come one by one, each behind one small record of a class that is due, would leave that class nothing.
//! So a class that stays ready has sent at least n/16 less two units and a record, over any time.
//!
//! **Turns.** A lane whose turn is over goes behind the others at once. One that is held during its turn has the rest of
//! it before all others afterwards, but no quantum for being new: one whose credit comes and goes has no more than the
//! others. Of two lanes of a class that stay ready, over any time one sends at most two quanta and two records more than
//! the other, and between two records of one any other has at most as much; each change of the unit may add as much as
//! it has changed.
//!
//! Not here: credit, what a chunk is, which item is begun.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;

use super::store::NONE;
use super::{
    CLASSES, Flow, Lane, MESSAGE_COST, MessageId, Place, Priority, Queued, SendQueue, TicketId, lane_of,
    place_of, size,
};
use crate::time::Timestamp;

impl SendQueue {
    /// Sets how much one flow sends before the next of its class has its turn, and of how much of its share a class is
    /// owed at most before it goes first, in bytes. Default [`QUANTUM`](super::QUANTUM), at least [`MESSAGE_COST`].
    ///
    /// It is to be no less than the largest record of a chunk. What is owed and the turns that have begun stay.
    pub fn set_unit(&mut self, bytes: u32) {
        self.unit = i64::from(bytes.max(MESSAGE_COST));
    }

    /// The first chunk of an item goes now: its deadline is forgotten. Gives how long it has waited, in microseconds;
    /// 0 if it is not queued.
    ///
    /// From here on the session sees to it that the item is not removed before its last chunk has gone, but with all of
    /// its flow, and that no message names it in `replaces`.
    pub fn begin(&mut self, now: Timestamp, id: MessageId) -> u64 {
        let Some(at) = self.store.find(id) else { return 0 };
        self.forget_deadline(at);
        self.waited(at, now)
    }

    /// A chunk of the item has gone, whose turn it was: `bytes` with the header of its record. Turn and shares are
    /// paid as `pop` does; the item stays. Nothing happens if it is not queued.
    pub fn charge(&mut self, id: MessageId, bytes: u64) {
        let Some(at) = self.store.find(id) else { return };
        let lane = self.store.node(at).lane;
        let cost = size(bytes);
        self.lane(lane).credit -= cost;
        self.end_turn(lane);
        let was_urgent = self.was_urgent;
        self.pay(lane as usize % CLASSES, cost);
        let due = self.unit * 256;
        // Ready classes only: `pay` has left nothing to the others, but to the one that has sent.
        let mut lower = self.classes.iter().skip(1);
        self.was_urgent |= was_urgent && lower.any(|class| class.ready > 0 && class.owed >= due);
    }

    /// Whether a class below urgent is owed enough for what it begins with to go before its turn: the unit, or the
    /// item if that is smaller. Meanwhile urgent has no overdraft.
    pub fn is_due(&mut self) -> bool {
        (1..CLASSES).any(|class| self.pick_from(class).is_some_and(|lane| self.is_due_in(class, lane)))
    }

    /// Sets a lane aside until [`set_ready_again`](Self::set_ready_again), whatever is in it or comes into it: for a
    /// channel without credit, one that has to wait for its ACCEPT, or whose content is being read. `set_aside` is less:
    /// it ends with the item that the lane waits for.
    ///
    /// It costs the same always if it is the lane's turn, or as many steps as the class has lanes. Then the lane loses
    /// the turn that it waited for, and comes back behind the others.
    pub fn hold(&mut self, flow: Flow, priority: Priority) {
        let lane = lane_of(flow, priority);
        self.create(lane);
        let unit = self.unit;
        let state = self.lane(lane);
        let (is_in_line, waits, messages) = (state.place.is_in_line(), state.waits(), state.messages);
        if is_in_line {
            if !self.unlink(lane) {
                let state = self.lane(lane);
                state.credit = state.credit.min(0);
            }
            self.class(lane).ready -= messages;
        } else if !waits {
            state.credit = unit;
        }
        self.lane(lane).place = Place::Held;
    }

    /// What is in a lane that was [held](Self::hold) or set aside, or comes into it, can go again. Nothing happens if it
    /// was neither.
    pub fn set_ready_again(&mut self, flow: Flow, priority: Priority) {
        self.release(lane_of(flow, priority));
    }

    /// The flow of an item; `None` if it is not queued.
    #[must_use]
    pub fn flow_of(&self, id: MessageId) -> Option<Flow> {
        self.store.find(id).map(|at| place_of(self.store.node(at).lane).1)
    }

    /// Who waits for the outcome of an item; `None` if nobody can, or it is not queued.
    #[must_use]
    pub fn ticket_of(&self, id: MessageId) -> Option<TicketId> {
        self.store.find(id).and_then(|at| self.store.node(at).ticket)
    }

    /// Whether nothing of a flow is queued.
    #[must_use]
    pub fn is_flow_empty(&self, flow: Flow) -> bool {
        let lanes = Priority::ALL.map(|priority| self.lanes.get(lane_of(flow, priority) as usize));
        lanes.into_iter().flatten().all(|lane| lane.messages == 0)
    }

    /// Takes the first item of a flow, one that is begun included, from its highest class: for the end of a channel.
    /// Once it gives `None`, no lane of the flow is held any more, and the number may be another channel's.
    pub fn pop_flow(&mut self, flow: Flow) -> Option<Queued> {
        for priority in Priority::ALL {
            let Some(state) = self.lanes.get_mut(lane_of(flow, priority) as usize) else { continue };
            if state.place == Place::Held && state.messages == 0 {
                state.place = Place::Aside;
            }
            let first = state.first;
            if first != NONE {
                return Some(self.take(first));
            }
        }
        None
    }

    /// Moves the items of a flow from one class to another, in their order and behind what the flow has there, and
    /// with them that the lane is held or waits for content. It costs a step for each item, and for each lane of the
    /// class at worst.
    pub fn set_priority(&mut self, flow: Flow, from: Priority, to: Priority) {
        let (from, to) = (lane_of(flow, from), lane_of(flow, to));
        let Some(old) = self.lanes.get(from as usize).copied() else { return };
        if from == to || old.messages == 0 && !old.waits() {
            return;
        }
        // An empty lane that is in line stays there for one round, as always.
        let place = if old.place.is_in_line() { old.place } else { Place::Aside };
        *self.lane(from) = Lane { first: NONE, last: NONE, messages: 0, place, ..old };
        if old.place.is_in_line() {
            self.class(from).ready -= old.messages;
        }

        self.create(to);
        let Lane { first, last, messages, place, .. } = *self.lane(to);
        if place.is_in_line() {
            self.class(to).ready -= messages;
        }
        let mut at = old.first;
        while at != NONE {
            let node = self.store.node_mut(at);
            node.lane = to;
            at = node.next;
        }
        if last != NONE && old.first != NONE {
            self.store.node_mut(last).next = old.first;
            self.store.node_mut(old.first).prev = last;
        }

        let unit = self.unit;
        let waits = self.lane(to).waits();
        let state = self.lane(to);
        state.first = if first == NONE { old.first } else { first };
        state.last = if old.last == NONE { last } else { old.last };
        state.messages += old.messages;
        let messages = state.messages;
        if old.waits() {
            if place.is_in_line() {
                self.unlink(to);
            }
            let state = self.lane(to);
            state.credit = unit;
            state.place = old.place;
        } else if place.is_in_line() {
            self.class(to).ready += messages;
        } else if !waits {
            state.credit = unit;
            self.class(to).ready += messages;
            self.join(to, Place::Fresh);
        }
    }

    /// A lane that waits does so no more.
    pub(super) fn release(&mut self, lane: u32) {
        let unit = self.unit;
        let Some(state) = self.lanes.get_mut(lane as usize).filter(|state| state.waits()) else { return };
        let messages = state.messages;
        let place = if state.credit > 0 {
            // The rest of its turn.
            Place::Fresh
        } else {
            // It had its turn. Empty it waits in line as well, or it would be new with the next item.
            state.credit += unit;
            Place::Round
        };
        self.class(lane).ready += messages;
        self.join(lane, place);
    }

    /// Puts a lane that has sent its quantum behind the others. Now and not when the next one is looked for: it may be
    /// empty then, and would be new with its next item.
    fn end_turn(&mut self, lane: u32) {
        let unit = self.unit;
        let Lane { credit, place, .. } = *self.lane(lane);
        if credit <= 0 && place.is_in_line() && self.class(lane).ring(place).first == lane {
            self.leave(lane);
            self.lane(lane).credit += unit;
            self.join(lane, Place::Round);
        }
    }

    /// Takes a lane out of the line that it stands in, wherever it does. Whether it was the first.
    fn unlink(&mut self, lane: u32) -> bool {
        let Lane { place, link, .. } = *self.lane(lane);
        let ring = *self.class(lane).ring(place);
        if ring.first == lane {
            self.leave(lane);
            return true;
        }
        let mut before = ring.first;
        while before != NONE && self.lane(before).link != lane {
            before = self.lane(before).link;
        }
        if before != NONE {
            self.lane(before).link = link;
        }
        if ring.last == lane {
            self.class(lane).ring(place).last = before;
        }
        self.lane(lane).place = Place::Aside;
        false
    }
}
