//! What was taken for sending and is not handed over: who may queue how much, and who waits.
//!
//! A part of the hub, below its lock. Wakers are given to the caller, to be called after it.

use core::task::Waker;
use std::collections::HashMap;

use super::dues::Dues;
use super::marks::{Marks, Passed};
use super::names::FlowNames;
use super::send_options::SendOptions;
use super::tickets::Tickets;
use super::waiters::Waiters;
use crate::proto::{
    Amount, Done, Flow, NewMessage, Outcome, Payload, Priority, Room, SendLimits, Stats, TicketId,
};
use crate::time::Timestamp;

/// A message on its way into the queue.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) payload: Payload,
    pub(crate) options: SendOptions,
    /// Its deadline as a moment.
    pub(crate) due: Option<Timestamp>,
}

/// Those who wait for the same room.
type Lane = (Priority, Option<Box<str>>);

/// The queued message that is the newest of its key.
#[derive(Clone, Copy, Debug)]
struct Newest {
    ticket: TicketId,
    priority: Priority,
    flow: Flow,
    bytes: u64,
}

/// Room that was taken for a message to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reserved {
    priority: Priority,
    flow: Flow,
    pub(crate) bytes: u64,
}

impl Reserved {
    /// The class for which room is there when it is given back.
    pub(super) fn priorities(&self) -> [bool; 4] {
        Priority::ALL.map(|priority| priority == self.priority)
    }
}

/// What is remembered of messages and of those who wait; all of it is 0 when nobody waits and nothing is queued.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    flows: usize,
    keys: usize,
    tickets: usize,
    lines: usize,
}

#[derive(Debug)]
pub(super) struct Outbox {
    room: Room,
    pub(super) stats: Stats,
    /// What was given to the transport, in bytes.
    given: u64,
    marks: Marks,
    flow_bounds: bool,
    flows: FlowNames,
    newest: HashMap<Box<str>, Newest>,
    pub(super) tickets: Tickets,
    /// Those who wait for room in turn. Each is a future that leaves the line when it is dropped. A line for
    /// each priority and flow, so that an upload that waits keeps nobody else waiting.
    lines: HashMap<Lane, Waiters>,
    /// The last key in all of the lines, which ascend together.
    last_in_line: u64,
    /// How long those in line wait.
    dues: Dues,
    /// Sinks that wait for room. A sink may be left waiting for ever (its `send` was dropped, it
    /// was not), so that nobody may have to wait for it.
    pub(super) sinks: Waiters,
    /// Those who wait for the queue, or what of it is before their mark, to be empty.
    pub(super) flushers: Waiters,
    /// Those who wait until the transport has sent what it was given.
    pub(super) drainers: Waiters,
    /// What the transport's buffer held when that was last seen; `None` if nobody has asked.
    standing: Option<u64>,
    /// Those who watch the numbers.
    pub(super) watchers: Waiters,
    /// How often the numbers have changed.
    pub(super) changes: u64,
    /// A message was not handed over since a sink was last told so.
    pub(super) lost: bool,
}

impl Outbox {
    pub(super) fn new(limits: SendLimits) -> Self {
        Self {
            room: Room::new(limits),
            stats: Stats::default(),
            given: 0,
            marks: Marks::default(),
            flow_bounds: limits.max_flow_bytes != u64::MAX || limits.max_flow_messages != u32::MAX,
            flows: FlowNames::default(),
            newest: HashMap::new(),
            tickets: Tickets::default(),
            lines: HashMap::new(),
            last_in_line: 0,
            dues: Dues::default(),
            sinks: Waiters::default(),
            flushers: Waiters::default(),
            drainers: Waiters::default(),
            standing: None,
            watchers: Waiters::default(),
            changes: 0,
            lost: false,
        }
    }

    /// How much is remembered.
    pub(super) fn kept(&self) -> Kept {
        let (flows, tickets) = (self.flows.count(), self.tickets.held());
        Kept { flows, keys: self.newest.len(), tickets, lines: self.lines.len() }
    }

    /// What was taken and has not ended.
    pub(super) fn queued(&self) -> Amount {
        self.stats.queued()
    }

    /// A mark behind all that was queued so far.
    pub(super) fn mark(&mut self) -> u64 {
        self.marks.set(self.tickets.count(), self.queued().messages)
    }

    /// Whether that mark is passed.
    pub(super) fn passed(&self, mark: u64) -> Passed {
        self.marks.passed(mark)
    }

    /// What the transport was given so far, in bytes: what [`has_left`](Self::has_left) is asked with.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// Whether the transport has sent what it was given when that was `given` bytes. Until the transport's
    /// buffer has been looked at, it has not.
    pub(super) fn has_left(&self, given: u64) -> bool {
        self.standing.is_some_and(|standing| self.given.saturating_sub(standing) >= given)
    }

    /// Whether somebody waits for the transport's buffer to be looked at.
    pub(super) fn wants_standing(&self) -> bool {
        !self.drainers.is_empty()
    }

    /// The transport's buffer holds `amount` bytes. Gives whom to wake.
    pub(super) fn set_standing(&mut self, amount: u64) -> Vec<Waker> {
        self.standing = Some(amount);
        self.drainers.all()
    }

    /// Whether there is room for a message of `bytes`. What it would replace makes room for it.
    pub(super) fn admits(&mut self, options: &SendOptions, bytes: u64) -> bool {
        // A flow that nobody has named yet has nothing queued.
        let flow = self.flows.find(options.flow.as_deref()).unwrap_or(Flow(u32::MAX));
        let old = options.latest.as_ref().and_then(|key| self.newest.get(key)).copied();
        if let Some(old) = old {
            self.room.leave(old.priority, old.flow, old.bytes);
        }
        let admits = self.room.admits(options.priority, flow, bytes);
        if let Some(old) = old {
            self.room.enter(old.priority, old.flow, old.bytes);
        }
        admits
    }

    /// Counts a message. Gives its ticket, the message for the session, and the ticket of the one that it
    /// replaces, if that is still queued.
    pub(super) fn take(&mut self, outgoing: Outgoing) -> (TicketId, NewMessage, Option<TicketId>) {
        let Outgoing { payload, options, due: deadline } = outgoing;
        let SendOptions { priority, flow, latest, .. } = options;
        let (flow, bytes) = (self.flows.get(flow.as_deref()), payload.bytes());
        self.room.enter(priority, flow, bytes);
        self.stats.class_mut(priority).enter(bytes);
        self.changes += 1;
        let ticket = self.tickets.open(latest.clone());
        let newest = Newest { ticket, priority, flow, bytes };
        let replaced = latest.and_then(|key| self.newest.insert(key, newest)).map(|old| old.ticket);
        let new = NewMessage { priority, flow, payload, deadline, replaces: None, ticket: Some(ticket) };
        (ticket, new, replaced)
    }

    /// A message has ended. Gives who waits for its outcome, and whether a mark was passed.
    pub(super) fn finish(&mut self, done: &Done) -> (Option<Waker>, bool) {
        self.stats.class_mut(done.priority).leave(done);
        self.changes += 1;
        if is_sent(done.outcome) {
            self.given = self.given.saturating_add(done.bytes);
            // Seen before this was given.
            self.standing = None;
        }
        self.room.leave(done.priority, done.flow, done.bytes);
        if self.room.flow_messages(done.flow) == 0 {
            self.flows.release(done.flow);
        }
        self.lost |=
            !is_sent(done.outcome) && !matches!(done.outcome, Outcome::Cancelled | Outcome::Superseded);
        let Some(ticket) = done.ticket else { return (None, false) };
        let not_sent = matches!(done.outcome, Outcome::Unsent | Outcome::Unknown);
        let passed = self.marks.end(self.tickets.number(ticket), not_sent);
        let (waker, key) = self.tickets.finish(ticket, done.outcome);
        if let Some(key) = key
            && self.newest.get(&key).map(|newest| newest.ticket) == done.ticket
        {
            self.newest.remove(&key);
        }
        (waker, passed)
    }

    /// Whether the caller may go before all others that wait for the same room.
    pub(super) fn is_first(&self, options: &SendOptions, key: Option<u64>) -> bool {
        self.lines.is_empty() || self.lines.get(&lane(options)).is_none_or(|line| line.is_first(key))
    }

    /// Puts the caller into its line until `due`, or keeps its place there. Gives the waker that was there, and
    /// whether `due` is earlier than what the driver knows of.
    pub(super) fn wait(
        &mut self,
        options: &SendOptions,
        due: Option<Timestamp>,
        key: &mut Option<u64>,
        waker: &Waker,
    ) -> (Option<Waker>, bool) {
        let line = self.lines.entry(lane(options)).or_default();
        let displaced = line.register_behind(&mut self.last_in_line, key, waker);
        let is_next = key.zip(due).is_some_and(|(key, due)| self.dues.insert(key, due));
        (displaced, is_next)
    }

    /// When the first of those in line has waited long enough.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.dues.next()
    }

    /// Whether the driver has found that `key` has waited long enough.
    pub(super) fn has_passed(&self, key: Option<u64>) -> bool {
        key.is_some_and(|key| self.dues.has_passed(key))
    }

    /// Those in line who have waited long enough by `now`, to be woken.
    pub(super) fn pass(&mut self, now: Timestamp) -> Vec<Waker> {
        let passed = self.dues.pass(now);
        let waker = |key| self.lines.values().find_map(|line| line.find(key));
        passed.into_iter().filter_map(waker).collect()
    }

    /// Counts a message that has expired before it was queued. Gives who watches the numbers.
    pub(super) fn expire(&mut self, priority: Priority, bytes: u64) -> Vec<Waker> {
        self.stats.class_mut(priority).expired.add(bytes);
        self.changes += 1;
        self.watchers.all()
    }

    /// Takes the caller out of its line. Gives its waker, and who is next in it.
    pub(super) fn leave(
        &mut self,
        options: &SendOptions,
        key: &mut Option<u64>,
    ) -> (Option<Waker>, Option<Waker>) {
        if self.lines.is_empty() {
            return (None, None);
        }
        if let Some(key) = *key {
            self.dues.remove(key);
        }
        let whose = lane(options);
        let Some(line) = self.lines.get_mut(&whose) else { return (None, None) };
        let left = line.remove(key);
        let next = line.first();
        if next.is_none() {
            self.lines.remove(&whose);
        }
        (left, next)
    }

    /// Who is next in the lines that may have got room by the end of messages of the `priorities`, in the order
    /// in which they came: the first of them may be the only one that there is room for.
    pub(super) fn next_in_line(&self, priorities: [bool; 4]) -> Vec<Waker> {
        let has_room = |lane: &Lane| self.flow_bounds || priorities.get(lane.0.index()) == Some(&true);
        let lines = self.lines.iter().filter(|(lane, _)| has_room(lane));
        in_turn(lines.filter_map(|(_, line)| line.in_line().next()))
    }

    /// Takes room for a message that is still to come.
    pub(super) fn reserve(&mut self, options: &SendOptions, bytes: u64) -> Reserved {
        let reserved =
            Reserved { priority: options.priority, flow: self.flows.get(options.flow.as_deref()), bytes };
        self.room.enter(reserved.priority, reserved.flow, bytes);
        reserved
    }

    /// Gives the room back.
    pub(super) fn release(&mut self, reserved: Reserved) {
        self.room.leave(reserved.priority, reserved.flow, reserved.bytes);
        if self.room.flow_messages(reserved.flow) == 0 {
            self.flows.release(reserved.flow);
        }
    }

    /// Everybody who waits for room.
    pub(super) fn all_in_line(&self) -> Vec<Waker> {
        let mut all = self.sinks.all();
        all.extend(in_turn(self.lines.values().flat_map(Waiters::in_line)));
        all
    }
}

/// Those of several lines in the order of their keys. A map has none of its own, or not the same in two runs.
fn in_turn(waiting: impl Iterator<Item = (u64, Waker)>) -> Vec<Waker> {
    let mut waiting: Vec<_> = waiting.collect();
    waiting.sort_unstable_by_key(|(key, _)| *key);
    waiting.into_iter().map(|(_, waker)| waker).collect()
}

/// Whether the transport was given it, or even the peer has it.
fn is_sent(outcome: Outcome) -> bool {
    #[cfg(feature = "v1")]
    if outcome == Outcome::Delivered {
        return true;
    }
    outcome == Outcome::HandedOver
}

fn lane(options: &SendOptions) -> Lane {
    (options.priority, options.flow.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    struct Sleeper;

    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn b28_those_of_different_flows_get_room_in_the_order_in_which_they_came() {
        let mut outbox = Outbox::new(SendLimits::default());
        let wakers: Vec<_> = (0..20).map(|_| Waker::from(Arc::new(Sleeper))).collect();
        for (number, waker) in wakers.iter().enumerate() {
            let options = SendOptions::new().flow(format!("{}", number * 7 % 20));
            assert!(outbox.wait(&options, None, &mut None, waker).0.is_none());
        }
        for line in [outbox.next_in_line([true; 4]), outbox.all_in_line()] {
            assert_eq!(line.len(), wakers.len());
            assert!(line.iter().zip(&wakers).all(|(one, other)| one.will_wake(other)));
        }
    }
}
