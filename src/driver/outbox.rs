//! What was taken for sending and is not handed over: who may queue how much, and who waits.
//!
//! A part of the hub, below its lock. Wakers are given to the caller, to be called after it.

use core::task::Waker;
use std::collections::HashMap;

use super::names::FlowNames;
use super::send_options::SendOptions;
use super::tickets::Tickets;
use super::waiters::Waiters;
use crate::proto::{Amount, Done, Flow, NewMessage, Outcome, Payload, Priority, Room, SendLimits, TicketId};
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

#[derive(Debug)]
pub(super) struct Outbox {
    room: Room,
    /// What was taken and has not ended.
    queued: Amount,
    flow_bounds: bool,
    flows: FlowNames,
    newest: HashMap<Box<str>, Newest>,
    pub(super) tickets: Tickets,
    /// Those who wait for room in turn. Each is a future that leaves the line when it is dropped. A line for
    /// each priority and flow, so that an upload that waits keeps nobody else waiting.
    lines: HashMap<Lane, Waiters>,
    /// Sinks that wait for room. A sink may be left waiting for ever (its `send` was dropped, it
    /// was not), so that nobody may have to wait for it.
    pub(super) sinks: Waiters,
    /// Those who wait for the queue to be empty.
    pub(super) flushers: Waiters,
    /// A message was not handed over since a sink was last told so.
    pub(super) lost: bool,
}

impl Outbox {
    pub(super) fn new(limits: SendLimits) -> Self {
        Self {
            room: Room::new(limits),
            queued: Amount::default(),
            flow_bounds: limits.max_flow_bytes != u64::MAX || limits.max_flow_messages != u32::MAX,
            flows: FlowNames::default(),
            newest: HashMap::new(),
            tickets: Tickets::default(),
            lines: HashMap::new(),
            sinks: Waiters::default(),
            flushers: Waiters::default(),
            lost: false,
        }
    }

    /// What was taken and has not ended.
    pub(super) fn queued(&self) -> Amount {
        self.queued
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
        self.queued.add(bytes);
        let ticket = self.tickets.open(latest.clone());
        let newest = Newest { ticket, priority, flow, bytes };
        let replaced = latest.and_then(|key| self.newest.insert(key, newest)).map(|old| old.ticket);
        let new = NewMessage { priority, flow, payload, deadline, replaces: None, ticket: Some(ticket) };
        (ticket, new, replaced)
    }

    /// A message has ended. Gives who waits for its outcome.
    pub(super) fn finish(&mut self, done: &Done) -> Option<Waker> {
        self.queued.messages = self.queued.messages.saturating_sub(1);
        self.queued.bytes = self.queued.bytes.saturating_sub(done.bytes);
        self.room.leave(done.priority, done.flow, done.bytes);
        if self.room.flow_messages(done.flow) == 0 {
            self.flows.release(done.flow);
        }
        self.lost |= !matches!(done.outcome, Outcome::HandedOver | Outcome::Cancelled | Outcome::Superseded);
        let (waker, key) = self.tickets.finish(done.ticket?, done.outcome);
        if let Some(key) = key
            && self.newest.get(&key).map(|newest| newest.ticket) == done.ticket
        {
            self.newest.remove(&key);
        }
        waker
    }

    /// Whether the caller may go before all others that wait for the same room.
    pub(super) fn is_first(&self, options: &SendOptions, key: Option<u64>) -> bool {
        self.lines.is_empty() || self.lines.get(&lane(options)).is_none_or(|line| line.is_first(key))
    }

    /// Puts the caller into its line, or keeps its place there.
    pub(super) fn wait(
        &mut self,
        options: &SendOptions,
        key: &mut Option<u64>,
        waker: &Waker,
    ) -> Option<Waker> {
        self.lines.entry(lane(options)).or_default().register(key, waker)
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
        let whose = lane(options);
        let Some(line) = self.lines.get_mut(&whose) else { return (None, None) };
        let left = line.remove(key);
        let next = line.first();
        if next.is_none() {
            self.lines.remove(&whose);
        }
        (left, next)
    }

    /// Who is next in the lines that may have got room by the end of messages of the `priorities`.
    pub(super) fn next_in_line(&self, priorities: [bool; 4]) -> Vec<Waker> {
        let has_room = |lane: &Lane| self.flow_bounds || priorities.get(lane.0.index()) == Some(&true);
        self.lines.iter().filter(|(lane, _)| has_room(lane)).filter_map(|(_, line)| line.first()).collect()
    }

    /// Everybody who waits for room.
    pub(super) fn all_in_line(&self) -> Vec<Waker> {
        let mut all = self.sinks.all();
        all.extend(self.lines.values().flat_map(Waiters::all));
        all
    }
}

fn lane(options: &SendOptions) -> Lane {
    (options.priority, options.flow.clone())
}
