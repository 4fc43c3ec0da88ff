//! One connection in plain mode: opening, sending from the queue, the orders of closing.
//!
//! `handle_*` takes input, [`Session::poll_output`] gives one output at a time. After each input
//! the driver polls until [`Output::Timeout`] or [`Output::Blocked`].
//!
//! Not here: received messages (the driver puts them into a
//! [`RecvQueue`](crate::proto::RecvQueue) itself), frames, sockets.

mod phase;
#[cfg(all(test, feature = "client"))]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;

use core::ops::Range;
use core::time::Duration;

use self::phase::{Action, Phase, Step};
use crate::proto::outcome::{Amount, CloseCause, Closed, Outcome};
use crate::proto::payload::{FetchId, Hosted, HostedKind, Payload, Slot, Transmit};
use crate::proto::send::{Class, Flow, Queued, SendQueue, TicketId};
use crate::time::Timestamp;

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
}

/// What the caller of `close` asked for. Code and reason have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseRequest {
    /// Close code; `None` sends a close frame without a body.
    pub code: Option<u16>,
    /// At most 123 bytes.
    pub reason: String,
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
        reason: String,
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

/// The end of one message in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Who waits for it.
    pub ticket: Option<TicketId>,
    /// How it ended.
    pub outcome: Outcome,
    /// Its size, which the queue now has room for.
    pub bytes: u64,
}

/// A message that has left the queue and whose end is not known yet; its content is elsewhere.
#[derive(Clone, Copy, Debug)]
struct Started {
    ticket: Option<TicketId>,
    text: bool,
    bytes: u64,
    /// Where the host keeps the whole of it, if it does.
    source: Option<Slot>,
}

/// Where the message at the head of the queue is. Nothing overtakes it.
#[derive(Debug)]
enum Head {
    /// None has been started.
    Idle,
    /// This range of it is being read. If it does not begin at 0, the part before it is gone already.
    Fetching { id: FetchId, message: Started, range: Range<u64> },
    /// This range of it is at hand and goes next.
    Ready { message: Started, payload: Payload, range: Range<u64> },
    /// The transport is being given this range; its word is awaited.
    Given { message: Started, part: Option<Slot>, range: Range<u64> },
}

impl Head {
    /// The message, and how much of it the transport has had for certain.
    fn message(&self) -> Option<(Started, u64)> {
        match self {
            Self::Idle => None,
            Self::Fetching { message, range, .. }
            | Self::Ready { message, range, .. }
            | Self::Given { message, range, .. } => Some((*message, range.start)),
        }
    }
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
    config: SessionConfig,
    phase: Phase,
    queue: SendQueue,
    head: Head,
    next_fetch: u64,
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
            config,
            phase: Phase::Connecting { deadline },
            queue: SendQueue::new(),
            head: Head::Idle,
            next_fetch: 0,
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

    /// A message to send, in its class and flow.
    ///
    /// # Errors
    ///
    /// Gives the payload back once the session takes no more messages; nothing was counted.
    pub fn handle_send(
        &mut self,
        class: Class,
        flow: Flow,
        payload: Payload,
        ticket: Option<TicketId>,
    ) -> Result<(), Payload> {
        if !self.phase.takes_messages() {
            return Err(payload);
        }
        self.queue.push(class, flow, payload, ticket);
        Ok(())
    }

    /// Takes a message out of the queue. Its end follows as [`Event::Done`]. Returns whether it
    /// was still there; a message of which the transport has had a part, or is being given one, is
    /// not.
    pub fn handle_cancel(&mut self, ticket: TicketId) -> bool {
        if let Some((message, 0)) = self.head.message()
            && message.ticket == Some(ticket)
            && !matches!(self.head, Head::Given { .. })
        {
            self.drop_head(Outcome::Cancelled);
            return true;
        }
        let Some(item) = self.queue.cancel(ticket) else { return false };
        self.finish(started(&item), Outcome::Cancelled);
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
    pub fn handle_peer_closing(&mut self, now: Timestamp, code: u16, reason: String) {
        let deadline = self.config.peer_close_timeout.map(|limit| now.saturating_add(limit));
        self.step(Step::PeerClosing { code, reason, deadline });
    }

    /// The transport has ended.
    pub fn handle_transport_end(&mut self, code: u16, reason: String, was_clean: bool) {
        self.step(Step::TransportEnd { code, reason, was_clean });
    }

    /// Time has passed. Does nothing before the moment that [`Output::Timeout`] named.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.phase.deadline().is_some_and(|deadline| deadline <= now) {
            let busy = self.has_unsent();
            self.step(Step::Deadline { now, busy });
        }
    }

    /// The transport has taken the last [`Output::Transmit`], or (`false`) has refused it.
    ///
    /// Returns the end of the message, if this was its last part, and a slot to release.
    pub fn handle_transmitted(&mut self, taken: bool) -> (Option<Done>, Option<Slot>) {
        let Head::Given { message, part, range } = core::mem::replace(&mut self.head, Head::Idle) else {
            return (None, None);
        };
        if taken && range.end < message.bytes {
            self.fetch_part(message, range.end);
            return (None, part);
        }
        let outcome = match (taken, range.start) {
            (true, _) => Outcome::HandedOver,
            (false, 0) => Outcome::Unsent,
            (false, _) => Outcome::Unknown,
        };
        self.count(outcome, message.bytes);
        if part.is_some() {
            self.release(message.source);
        }
        (Some(Done { ticket: message.ticket, outcome, bytes: message.bytes }), part.or(message.source))
    }

    /// The answer to [`Output::Fetch`]; `None` if the host could not read it.
    ///
    /// `content` is owned bytes, or another slot where the host keeps what it has read.
    pub fn handle_fetched(&mut self, id: FetchId, content: Option<Payload>) {
        match core::mem::replace(&mut self.head, Head::Idle) {
            Head::Fetching { id: awaited, message, range } if awaited == id => {
                let content = content.and_then(|content| {
                    if content.bytes() == range.end - range.start {
                        return Some(content);
                    }
                    // Not what was asked for, so that it is of no use; its slot is held all the same.
                    self.release(content.slot());
                    None
                });
                match (content, message.source) {
                    (Some(content), _) if self.is_whole_or_part(message, &range) => {
                        self.head = Head::Ready { message, payload: content, range };
                    }
                    // The probe of a large Blob: it is readable, so the transport gets all of it.
                    (Some(probe), Some(slot)) => {
                        self.release(probe.slot());
                        let whole = Hosted { slot, kind: HostedKind::Blob, bytes: message.bytes };
                        let range = 0..message.bytes;
                        self.head = Head::Ready { message, payload: Payload::Hosted(whole), range };
                    }
                    _ if range.start == 0 => self.finish(message, Outcome::Unreadable),
                    // A message of which the peer has a part cannot be taken back (RFC 6455 has no
                    // way to abandon one), so the connection cannot go on.
                    _ => {
                        self.head = Head::Fetching { id, message, range };
                        self.step(Step::Broken);
                    }
                }
            }
            head => {
                // Cancelled or closed meanwhile.
                self.head = head;
                self.release(content.and_then(|content| content.slot()));
            }
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

    /// Bytes that are queued here, the message being read included.
    #[must_use]
    pub fn queued_bytes(&self) -> u64 {
        self.queue.bytes() + self.head.message().map_or(0, |(message, _)| message.bytes)
    }

    /// What to do next. `room` says whether the transport takes a message now.
    pub fn poll_output(&mut self, room: bool) -> Output {
        loop {
            if let Some(output) = self.pending.pop() {
                return output;
            }
            if self.phase.sends() {
                if room && let Some(part) = self.give() {
                    return Output::Transmit(part);
                }
                match (&self.head, self.queue.is_empty()) {
                    (Head::Ready { .. }, _) => return Output::Blocked(self.phase.deadline()),
                    (Head::Idle, false) => self.start_next(),
                    (Head::Idle, true) if self.phase.flushes() => self.step(Step::Flushed),
                    _ => return Output::Timeout(self.phase.deadline()),
                }
                continue;
            }
            if self.phase == Phase::Closed {
                if let Some((_, given)) = self.head.message() {
                    let begun = given > 0 || matches!(self.head, Head::Given { .. });
                    self.drop_head(if begun { Outcome::Unknown } else { Outcome::Unsent });
                    continue;
                }
                if let Some(item) = self.queue.pop() {
                    self.finish(started(&item), Outcome::Unsent);
                    continue;
                }
                if let Some(closed) = self.take_closed() {
                    return Output::Event(Event::Closed(closed));
                }
            }
            return Output::Timeout(self.phase.deadline());
        }
    }

    fn has_unsent(&self) -> bool {
        !self.queue.is_empty() || !matches!(self.head, Head::Idle)
    }

    /// Begins with the message that goes next.
    fn start_next(&mut self) {
        let Some(item) = self.queue.pop() else { return };
        let message = started(&item);
        let all = 0..message.bytes;
        match item.payload {
            Payload::Hosted(_) if !self.config.transport_takes_values => self.fetch_part(message, 0),
            // A large file that is gone fails at its first byte just as well as at all of them.
            // An empty one is read as well: a file that is gone may show a size of 0.
            Payload::Hosted(Hosted { kind: HostedKind::Blob, .. }) => {
                let end = if message.bytes <= READ_BLOB_UP_TO { message.bytes } else { 1 };
                self.fetch(message, 0..end);
            }
            payload => self.head = Head::Ready { message, payload, range: all },
        }
    }

    /// Reads the part of `message` that begins at `from`.
    fn fetch_part(&mut self, message: Started, from: u64) {
        let end = message.bytes.min(from + PART_BYTES);
        if from == end {
            // An empty message: there is nothing to read.
            self.head = Head::Ready { message, payload: Payload::Binary(Vec::new()), range: from..end };
        } else {
            self.fetch(message, from..end);
        }
    }

    fn fetch(&mut self, message: Started, range: Range<u64>) {
        let Some(slot) = message.source else { return };
        self.next_fetch += 1;
        let id = FetchId(self.next_fetch);
        self.pending.push(Output::Fetch { id, slot, range: range.clone() });
        self.head = Head::Fetching { id, message, range };
    }

    /// Whether what was read of `range` is to be sent, and not only a probe.
    fn is_whole_or_part(&self, message: Started, range: &Range<u64>) -> bool {
        !self.config.transport_takes_values || range.end == message.bytes
    }

    /// The part that is at hand, if one is.
    fn give(&mut self) -> Option<Transmit> {
        match core::mem::replace(&mut self.head, Head::Idle) {
            Head::Ready { message, payload, range } => {
                let part = payload.slot().filter(|slot| Some(*slot) != message.source);
                let (first, last) = (range.start == 0, range.end == message.bytes);
                self.head = Head::Given { message, part, range };
                Some(Transmit { payload, text: message.text, first, last })
            }
            head => {
                self.head = head;
                None
            }
        }
    }

    /// Adds a message that has ended to what the final word will say.
    fn count(&mut self, outcome: Outcome, bytes: u64) {
        match outcome {
            Outcome::HandedOver => self.handed_over.add(bytes),
            Outcome::Unsent => self.unsent.add(bytes),
            Outcome::Unknown => self.unknown.add(bytes),
            // Nothing of these was sent, and their owner has had word of each.
            Outcome::Cancelled | Outcome::Unreadable => {}
        }
    }

    /// Ends the message at the head. Its parts that were already read are released too.
    fn drop_head(&mut self, outcome: Outcome) {
        let head = core::mem::replace(&mut self.head, Head::Idle);
        let Some((message, _)) = head.message() else { return };
        let part = match head {
            Head::Ready { payload, .. } => payload.slot(),
            Head::Given { part, .. } => part,
            Head::Idle | Head::Fetching { .. } => None,
        };
        let part = part.filter(|slot| Some(*slot) != message.source);
        self.release(part);
        self.finish(message, outcome);
    }

    fn release(&mut self, slot: Option<Slot>) {
        if let Some(slot) = slot {
            self.pending.push(Output::Release(slot));
        }
    }

    fn finish(&mut self, message: Started, outcome: Outcome) {
        self.count(outcome, message.bytes);
        self.release(message.source);
        let done = Done { ticket: message.ticket, outcome, bytes: message.bytes };
        self.pending.push(Output::Event(Event::Done(done)));
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
                self.report(1006, String::new(), false, cause);
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
    fn report(&mut self, code: u16, reason: String, was_clean: bool, cause: CloseCause) {
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

fn started(item: &Queued) -> Started {
    Started {
        ticket: item.ticket,
        text: item.payload.is_text(),
        bytes: item.payload.bytes(),
        source: item.payload.slot(),
    }
}
