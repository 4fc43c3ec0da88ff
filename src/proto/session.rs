//! One connection in plain mode: opening, sending from the queue, the orders of closing.
//!
//! `handle_*` takes input, [`Session::poll_output`] gives one output at a time. After each input
//! the driver polls until [`Output::Timeout`] or [`Output::Blocked`].
//!
//! Not here: received messages (the driver puts them into a
//! [`RecvQueue`](crate::proto::RecvQueue) itself), frames, sockets.

mod phase;
mod sending;
#[cfg(all(test, feature = "client"))]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;

use alloc::vec::Vec;
use core::ops::Range;

use self::phase::{Action, Phase, Step};
use self::sending::{Head, Look, Started, started};
use crate::proto::outcome::{Amount, CloseCause, Closed, Outcome};
#[cfg(any(feature = "js", test))]
use crate::proto::payload::HostedKind;
use crate::proto::payload::{FetchId, Payload, Reason, Slot, Transmit};
use crate::proto::send::{
    Gate, GateConfig, Gauges, MessageId, NewMessage, Priority, QueueConfig, Queued, SendQueue, TicketId,
};
use crate::time::{Duration, Timestamp};

/// A Blob up to this size is read before it is handed over, so that a vanished file is one failed
/// message and not a broken connection. 1 MiB: small enough to hold, and above it a copy in the
/// page's memory costs more than the certainty is worth.
pub const READ_BLOB_UP_TO: u64 = 1 << 20;

/// How a message from the host is cut for a transport that takes bytes only, in bytes.
pub const PART_BYTES: u64 = 16 << 10;

/// How this connection is made.
#[derive(Clone, Copy, Debug)]
pub struct SessionConfig {
    /// How long opening may take; `None` for as long as it takes.
    pub connect_timeout: Option<Duration>,
    /// How long a transport may take to end after the peer has closed; `None` likewise.
    #[cfg(feature = "client")]
    pub peer_close_timeout: Option<Duration>,
    /// Whether the transport takes host values as they are (a browser does). Otherwise their
    /// content is fetched in parts of [`PART_BYTES`].
    pub transport_takes_values: bool,
    /// How the queue shares out what goes.
    pub queue: QueueConfig,
    /// How much is handed over, for a transport that takes everything at once and only says afterwards how
    /// much of it still stands with it; `None` for one that says when it has room.
    pub gate: Option<GateConfig>,
}

/// What the caller of `close` asked for. Code and reason have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseRequest {
    /// Close code; `None` sends a close frame without a body.
    pub code: Option<u16>,
    /// At most 123 bytes.
    pub reason: Reason,
    /// For flushing and confirmation together; `None` waits for ever.
    pub within: Option<Duration>,
    /// Whether what is queued is sent first.
    pub flush: bool,
}

/// What the driver has to do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Give this to the transport, then call [`Session::handle_transmitted`].
    Transmit(Transmit),
    /// See how much stands in the transport's buffer, then call [`Session::handle_amount`].
    Look,
    /// Read this range of a host value, then call [`Session::handle_fetched`].
    Fetch {
        /// Names the answer.
        id: FetchId,
        /// The value.
        slot: Slot,
        /// Bytes of its content.
        range: Range<u64>,
    },
    /// Nobody needs the value in this slot any more.
    Release(Slot),
    /// Start the closing handshake.
    Close {
        /// Close code, if one was given.
        code: Option<u16>,
        /// Its reason.
        reason: Reason,
    },
    /// Let go of the transport at once; none of its events counts any more.
    Abort,
    /// Tell the handles.
    Event(Event),
    /// A message waits for room in the transport; otherwise as `Timeout`.
    Blocked(Option<Timestamp>),
    /// Nothing to do before this moment, or before the next input if `None`.
    Timeout(Option<Timestamp>),
}

/// What the handles learn.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// The connection is open.
    Opened,
    /// A message has left the queue for good.
    Done(Done),
    /// The connection is over. The last event.
    Closed(Closed),
}

/// The end of one message in the queue. The facade of the npm build has kept what it needs beside the name (100 B
/// of brotli).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// What the session knew it by.
    pub id: MessageId,
    /// Who waits for it.
    pub ticket: Option<TicketId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Its size, which the queue now has room for.
    #[cfg(any(not(feature = "js"), feature = "v1"))]
    pub bytes: u64,
    /// Its class.
    #[cfg(any(not(feature = "js"), feature = "v1"))]
    pub priority: Priority,
    /// Its flow.
    #[cfg(any(not(feature = "js"), feature = "v1"))]
    pub flow: crate::proto::send::Flow,
    /// How long it was queued, in microseconds; 0 if it was not given to the transport.
    #[cfg(any(not(feature = "js"), feature = "v1"))]
    pub waited_micros: u64,
}

/// Outputs that wait to be polled, the oldest first. There are a few, and all are taken in one go.
#[derive(Debug, Default)]
struct Pending {
    outputs: Vec<Option<Output>>,
    /// How many were taken.
    taken: usize,
}

impl Pending {
    fn push(&mut self, output: Output) {
        self.outputs.push(Some(output));
    }

    fn pop(&mut self) -> Option<Output> {
        let output = self.outputs.get_mut(self.taken).and_then(Option::take);
        self.taken += 1;
        if output.is_none() {
            self.outputs.clear();
            self.taken = 0;
        }
        output
    }

    fn is_empty(&self) -> bool {
        self.taken == self.outputs.len()
    }
}

/// See the module's page.
#[derive(Debug)]
pub struct Session {
    /// See [`SessionConfig`].
    #[cfg(not(feature = "js"))]
    transport_takes_values: bool,
    /// Likewise.
    #[cfg(feature = "client")]
    peer_close_timeout: Option<Duration>,
    phase: Phase,
    queue: SendQueue,
    gate: Option<Gate>,
    head: Head,
    /// The present moment, as far as it was told.
    now: Timestamp,
    look: Look,
    /// Messages that ended as [`Outcome::HandedOver`].
    handed_over: Amount,
    /// Messages that ended as [`Outcome::Unsent`].
    unsent: Amount,
    /// Messages that ended as [`Outcome::Unknown`].
    unknown: Amount,
    pending: Pending,
    closed: Option<Closed>,
}

impl Session {
    /// A session whose transport has just begun to connect.
    #[must_use]
    pub fn new(now: Timestamp, config: SessionConfig) -> Self {
        let deadline = config.connect_timeout.map(|limit| now.saturating_add(limit));
        Self {
            #[cfg(not(feature = "js"))]
            transport_takes_values: config.transport_takes_values,
            #[cfg(feature = "client")]
            peer_close_timeout: config.peer_close_timeout,
            phase: Phase::Connecting { deadline },
            queue: SendQueue::new(config.queue),
            gate: config.gate.map(Gate::new),
            head: Head::Idle,
            now,
            look: Look::Idle,
            handed_over: Amount::default(),
            unsent: Amount::default(),
            unknown: Amount::default(),
            pending: Pending::default(),
            closed: None,
        }
    }

    /// The transport is open.
    pub fn handle_opened(&mut self) {
        self.step(Step::Opened);
    }

    /// Whether [`handle_time`](Self::handle_time) is to be called before anything else is: a message waits, or
    /// would have to, or has a deadline, or it matters when it goes.
    #[must_use]
    pub fn wants_time(&self, new: Option<&NewMessage>) -> bool {
        let waits = !self.queue.is_empty() || !matches!(self.head, Head::Idle);
        waits
            || self.gate.as_ref().is_some_and(Gate::wants_time)
            || new.is_some_and(|new| {
                let is_urgent = new.priority == Priority::Urgent;
                let goes = self.gate.as_ref().is_none_or(|gate| gate.admits(new.payload.bytes(), is_urgent));
                new.deadline.is_some() || !goes || !self.phase.sends()
            })
    }

    /// Whether the transport takes host values as they are. The facade of the npm build always does, which goes
    /// without the code for parts (400 B).
    #[cfg_attr(feature = "js", allow(clippy::unused_self, reason = "it is the same for all"))]
    pub(super) fn takes_values(&self) -> bool {
        #[cfg(not(feature = "js"))]
        let takes_values = self.transport_takes_values;
        #[cfg(feature = "js")]
        let takes_values = true;
        takes_values
    }

    /// Notes the present moment.
    pub fn handle_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// A message to send. Gives its name, by which it can be cancelled or replaced.
    ///
    /// # Errors
    ///
    /// Gives the payload back once the session takes no more messages; nothing was counted.
    pub fn handle_send(&mut self, new: NewMessage) -> Result<MessageId, Payload> {
        if !self.phase.takes_messages() {
            return Err(new.payload);
        }
        // The queue counts deadlines in milliseconds, and would let it go within this one.
        let is_late = new.deadline.is_some_and(|due| due <= self.now);
        let (id, old) = self.queue.push(self.now, new);
        if let Some(old) = old {
            self.finish_queued(&old, Outcome::Superseded);
        }
        if is_late && let Some(item) = self.queue.remove(id) {
            self.finish_queued(&item, Outcome::Expired);
        }
        Ok(id)
    }

    /// Whether a message goes at once, with nothing to be done before or after it. Then it need not be queued: give
    /// it to the transport, and call [`handle_sent`](Self::handle_sent). What comes meanwhile waits for that.
    ///
    /// To be asked only after everything was polled, for a transport that takes values and everything at once. What
    /// follows is the same as if it had been queued.
    #[cfg(any(feature = "js", test))]
    pub fn handle_passing(&mut self, new: &NewMessage) -> bool {
        let bytes = new.payload.bytes();
        let goes = new.priority != Priority::Urgent
            && new.deadline.is_none()
            && new.payload.hosted().is_some_and(|hosted| hosted.kind != HostedKind::Blob)
            && matches!(self.phase, Phase::Open)
            && !self.has_unsent()
            && self.gate.as_ref().is_some_and(|gate| !gate.wants_time() && gate.admits(bytes, false));
        if goes {
            self.queue.pass(new.priority, bytes);
        }
        goes
    }

    /// The transport has taken a message of `bytes` that was not queued, or (`false`) has refused it.
    #[cfg(any(feature = "js", test))]
    pub fn handle_sent(&mut self, bytes: u64, taken: bool) {
        if taken && let Some(gate) = &mut self.gate {
            gate.handle_given(self.now, bytes, false);
        }
        self.count(if taken { Outcome::HandedOver } else { Outcome::Unsent }, bytes);
    }

    /// Takes a message out of the queue. Its end follows as [`Event::Done`]. Returns whether it
    /// was still there; a message of which the transport has had a part, or is being given one, is
    /// not.
    pub fn handle_cancel(&mut self, id: MessageId) -> bool {
        if let Some((message, 0)) = self.head.message()
            && message.id() == id
            && !matches!(self.head, Head::Given { .. })
        {
            self.drop_head(Outcome::Cancelled);
            return true;
        }
        let Some(item) = self.queue.remove(id) else { return false };
        self.finish_queued(&item, Outcome::Cancelled);
        true
    }

    /// The caller wants to close. Only the first call counts.
    pub fn handle_close(&mut self, now: Timestamp, request: CloseRequest) {
        let flush = request.flush;
        let deadline = request.within.map(|limit| now.saturating_add(limit));
        let busy = flush && self.has_unsent();
        self.step(Step::Close { request, deadline, busy });
    }

    /// The caller sends no more, but goes on receiving until the peer closes or `within` is over;
    /// then the session closes with 1000, for which `close_within` is the deadline.
    pub fn handle_end(&mut self, now: Timestamp, within: Option<Duration>, close_within: Option<Duration>) {
        let deadline = within.map(|limit| now.saturating_add(limit));
        self.step(Step::End { deadline, close_within });
    }

    /// A close that is under way is over after `within` at the latest, whatever deadline it has.
    #[cfg(any(feature = "client", feature = "v1"))]
    pub fn handle_hurry(&mut self, now: Timestamp, within: Duration) {
        self.step(Step::Hurry { deadline: now.saturating_add(within) });
    }

    /// The caller gives up at once.
    pub fn handle_abort(&mut self) {
        self.step(Step::Abort);
    }

    /// The receive queue is full: closes with `code`, without flushing.
    pub fn handle_receive_overflow(&mut self, now: Timestamp, code: u16, within: Option<Duration>) {
        let deadline = within.map(|limit| now.saturating_add(limit));
        self.step(Step::Overflow { code, deadline });
    }

    /// The peer has closed or broken the protocol; the transport has not ended yet.
    #[cfg(feature = "client")]
    pub fn handle_peer_closing(&mut self, now: Timestamp, code: u16, reason: Reason) {
        let deadline = self.peer_close_timeout.map(|limit| now.saturating_add(limit));
        self.step(Step::PeerClosing { code, reason, deadline });
    }

    /// The transport has ended.
    pub fn handle_transport_end(&mut self, code: u16, reason: Reason, was_clean: bool) {
        self.step(Step::TransportEnd { code, reason, was_clean });
    }

    /// Time has passed. Does nothing before the moment that [`Output::Timeout`] named.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.now = now;
        if self.gate.as_ref().and_then(Gate::due).is_some_and(|due| due <= now) {
            self.look = Look::Due;
        }
        if self.phase.deadline().is_some_and(|deadline| deadline <= now) {
            let busy = self.has_unsent();
            self.step(Step::Deadline { now, busy });
        }
    }

    /// Whether messages that arrive now are for the application. After a close frame was sent
    /// none is, on every transport, because a browser delivers none.
    #[must_use]
    pub fn delivers(&self) -> bool {
        self.phase.delivers()
    }

    /// Whether the last event has been polled.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Closed && self.closed.is_none() && self.pending.is_empty()
    }

    /// What stands in the transport's buffer, and what may.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        self.gate.as_ref().map_or_else(Gauges::default, |gate| Gauges {
            buffered_amount: gate.inside(),
            budget_bytes: gate.budget(),
            bytes_per_second: gate.rate(),
        })
    }

    /// Bytes that are queued here, the message being read included; as [`SendQueue::bytes`] modulo 2^64.
    #[cfg(not(feature = "js"))]
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        self.queue.bytes().wrapping_add(self.head.message().map_or(0, |(message, _)| message.bytes))
    }

    /// What to do next. `room` says whether the transport takes a message now.
    pub fn poll_output(&mut self, room: bool) -> Output {
        loop {
            if let Some(output) = self.pending.pop() {
                return output;
            }
            if self.phase.sends() {
                if let Some(output) = self.poll_sending(room) {
                    if matches!(output, Output::Blocked(_) | Output::Timeout(_)) {
                        self.look = Look::Idle;
                    }
                    return output;
                }
                continue;
            }
            if self.phase == Phase::Closed {
                if let Some((_, given)) = self.head.message() {
                    let begun = given > 0 || matches!(self.head, Head::Given { .. });
                    self.drop_head(if begun { Outcome::Unknown } else { Outcome::Unsent });
                    continue;
                }
                if let Some(item) = self.queue.remove_any() {
                    self.finish_queued(&item, Outcome::Unsent);
                    continue;
                }
                if let Some(closed) = self.take_closed() {
                    return Output::Event(Event::Closed(closed));
                }
            } else if self.expire() {
                continue;
            }
            return Output::Timeout(self.due());
        }
    }

    /// When to be called again at the latest, unless it is the gate that a message waits for.
    fn due(&self) -> Option<Timestamp> {
        earlier(self.phase.deadline(), self.queue.next_deadline())
    }

    fn has_unsent(&self) -> bool {
        !self.queue.is_empty() || !matches!(self.head, Head::Idle)
    }

    /// Adds a message that has ended to what the final word will say.
    fn count(&mut self, outcome: Outcome, bytes: u64) {
        match outcome {
            Outcome::HandedOver => self.handed_over.add(bytes),
            Outcome::Unsent => self.unsent.add(bytes),
            Outcome::Unknown => self.unknown.add(bytes),
            // Nothing of these was sent, and their owner has had word of each.
            Outcome::Cancelled | Outcome::Unreadable | Outcome::Expired | Outcome::Superseded => {}
            #[cfg(feature = "v1")]
            Outcome::Delivered | Outcome::TooBig => {}
        }
    }

    fn release(&mut self, slot: Option<Slot>) {
        if let Some(slot) = slot {
            self.pending.push(Output::Release(slot));
        }
    }

    fn finish(&mut self, message: &Started, outcome: Outcome) {
        self.count(outcome, message.bytes);
        self.release(message.source);
        self.pending.push(Output::Event(Event::Done(message.done(outcome))));
    }

    // As one function it is 30 B of brotli less in the npm build.
    #[inline(never)]
    fn finish_queued(&mut self, item: &Queued, outcome: Outcome) {
        self.finish(&started(item), outcome);
    }

    /// Takes one step of the phase machine and carries out its action.
    fn step(&mut self, step: Step) {
        let (next, action) = core::mem::replace(&mut self.phase, Phase::Closed).next(step);
        self.phase = next;
        match action {
            Action::Nothing => {}
            Action::ReportOpened => self.pending.push(Output::Event(Event::Opened)),
            Action::SendClose { code, reason } => {
                self.pending.push(Output::Close { code, reason });
            }
            Action::Abort { cause } => {
                self.pending.push(Output::Abort);
                self.report(1006, Reason::default(), false, cause);
            }
            #[cfg(feature = "client")]
            Action::GiveUp { code, reason } => {
                self.pending.push(Output::Abort);
                self.report(code, reason, false, CloseCause::Peer);
            }
            Action::Report { code, reason, was_clean, cause } => {
                self.report(code, reason, was_clean, cause);
            }
        }
    }

    /// Keeps the final word until all messages have theirs, since it counts how they ended.
    fn report(&mut self, code: u16, reason: Reason, was_clean: bool, cause: CloseCause) {
        let (unsent, unknown) = (Amount::default(), Amount::default());
        // What was received is not the session's to count.
        let dropped = Amount::default();
        self.closed = Some(Closed { code, reason, was_clean, cause, unsent, unknown, dropped });
    }

    /// The final word, with what every message has come to.
    fn take_closed(&mut self) -> Option<Closed> {
        let mut closed = self.closed.take()?;
        closed.unsent = self.unsent;
        closed.unknown = self.unknown;
        // A peer that confirms has read everything whole that was sent before.
        if closed.cause != CloseCause::Local {
            closed.unknown.messages += self.handed_over.messages;
            closed.unknown.bytes = closed.unknown.bytes.saturating_add(self.handed_over.bytes);
        }
        Some(closed)
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
