//! The way of a message from the queue to the transport: its turn, its content, the gate.

#[cfg(not(feature = "js"))]
use alloc::vec::Vec;
use core::ops::Range;

#[cfg(not(feature = "js"))]
use super::PART_BYTES;
use super::{Done, Output, READ_BLOB_UP_TO, Session, earlier};
use crate::proto::outcome::Outcome;
use crate::proto::payload::{FetchId, Hosted, HostedKind, Payload, Slot, Transmit};
use crate::proto::send::{Gate, MessageId, Next, Priority, Queued};
use crate::proto::session::phase::Step;
use crate::time::Timestamp;

/// How long after a look the next one may come unasked, with a `send`, in microseconds.
const LOOK_AGAIN: u64 = 4_000;

/// A message that has left the queue and whose end is not known yet; its content is elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Started {
    /// Its end, but for the outcome.
    end: Done,
    text: bool,
    is_urgent: bool,
    pub(super) bytes: u64,
    /// Where the host keeps the whole of it, if it does.
    pub(super) source: Option<Slot>,
}

impl Started {
    pub(super) fn id(&self) -> MessageId {
        self.end.id
    }

    /// It was queued for so long. The facade of the npm build measures that itself.
    fn after(self, waited_micros: u64) -> Self {
        #[cfg(not(feature = "js"))]
        let end = Done { waited_micros, ..self.end };
        #[cfg(feature = "js")]
        let (end, _) = (self.end, waited_micros);
        Self { end, ..self }
    }

    pub(super) fn done(&self, outcome: Outcome) -> Done {
        Done { outcome, ..self.end }
    }
}

/// What the transport is given of a message at once. In the npm build that is always the whole, as the queue has it,
/// so that there is nothing to know about it (200 B of brotli).
#[derive(Clone, Debug)]
pub(super) struct Part {
    #[cfg(not(feature = "js"))]
    range: Range<u64>,
    /// Where it stands, unless that is the place of the whole.
    #[cfg(not(feature = "js"))]
    slot: Option<Slot>,
}

#[cfg_attr(feature = "js", allow(clippy::unused_self, reason = "there is nothing in it"))]
impl Part {
    /// This range of `message`, whose content is `payload`.
    #[cfg(not(feature = "js"))]
    fn new(message: &Started, range: Range<u64>, payload: &Payload) -> Self {
        Self { range, slot: payload.slot().filter(|slot| Some(*slot) != message.source) }
    }

    /// All of `message`, whose content is `payload`.
    #[cfg(not(feature = "js"))]
    fn whole(message: &Started, payload: &Payload) -> Self {
        Self::new(message, 0..message.bytes, payload)
    }

    /// All of it.
    #[cfg(feature = "js")]
    fn whole(_: &Started, _: &Payload) -> Self {
        Self {}
    }

    /// Its bytes of `message`.
    #[cfg(not(feature = "js"))]
    fn range(&self, _: &Started) -> Range<u64> {
        self.range.clone()
    }

    /// Its bytes of `message`.
    #[cfg(feature = "js")]
    fn range(&self, message: &Started) -> Range<u64> {
        0..message.bytes
    }

    /// Where it stands, unless that is the place of the whole.
    fn slot(&self) -> Option<Slot> {
        #[cfg(not(feature = "js"))]
        let slot = self.slot;
        #[cfg(feature = "js")]
        let slot = None;
        slot
    }
}

/// Where the message is that the transport is being given. Nothing overtakes it.
#[derive(Debug)]
pub(super) enum Head {
    /// None has been started.
    Idle,
    /// This range of it is being read. If it does not begin at 0, the part before it is gone already.
    #[cfg(not(feature = "js"))]
    Fetching { message: Started, range: Range<u64> },
    /// This part of it is at hand and goes next.
    Ready { message: Started, payload: Payload, part: Part },
    /// The transport is being given this part; its word is awaited.
    Given { message: Started, part: Part },
}

impl Head {
    /// The message, and how much of it the transport has had for certain.
    pub(super) fn message(&self) -> Option<(Started, u64)> {
        match self {
            Self::Idle => None,
            #[cfg(not(feature = "js"))]
            Self::Fetching { message, range } => Some((*message, range.start)),
            Self::Ready { message, part, .. } | Self::Given { message, part } => {
                Some((*message, part.range(message).start))
            }
        }
    }
}

/// Whether the transport's buffer is worth a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// If it has not been looked at for a while.
    Idle,
    /// The time that was set for it has come.
    Due,
    /// It has been looked at, and nothing changes before the next task.
    Done,
}

impl Session {
    /// The answer to [`Output::Look`]: how many bytes stand in the transport's buffer.
    pub fn handle_amount(&mut self, now: Timestamp, amount: u64) {
        self.now = now;
        self.look = Look::Done;
        if let Some(gate) = &mut self.gate {
            gate.handle_amount(now, amount);
        }
    }

    /// The application has learnt that the peer has the first `upto` bytes of payload of all that this connection
    /// has sent, in order: see [`Gate::handle_acknowledged`].
    pub fn handle_acknowledged(&mut self, now: Timestamp, upto: u64) {
        self.now = now;
        #[cfg(feature = "client")]
        let gate = self.gate.get_or_insert_with(|| {
            let begun = self.head.message().map_or(0, |(_, given)| given);
            Gate::wide_open(self.handed_over.bytes + begun)
        });
        #[cfg(not(feature = "client"))]
        let Some(gate) = &mut self.gate else { return };
        gate.handle_acknowledged(now, upto);
        // What may go has changed, and so has when to look again.
        self.look = Look::Due;
    }

    /// A task of the host's has begun in which the transport's buffer may show less than before.
    pub fn handle_task(&mut self) {
        self.look = Look::Due;
    }

    /// The transport has taken the last [`Output::Transmit`], or (`false`) has refused it.
    ///
    /// Returns the end of the message, if this was its last part, and a slot to release.
    pub fn handle_transmitted(&mut self, taken: bool) -> (Option<Done>, Option<Slot>) {
        let Head::Given { message, part } = core::mem::replace(&mut self.head, Head::Idle) else {
            return (None, None);
        };
        let range = part.range(&message);
        let slot = part.slot();
        if taken && let Some(gate) = &mut self.gate {
            gate.handle_given(self.now, range.end - range.start, message.is_urgent);
        }
        #[cfg(not(feature = "js"))]
        if taken && range.end < message.bytes && !self.takes_values() {
            self.fetch_part(message, range.end);
            return (None, slot);
        }
        let outcome = match (taken, range.start) {
            (true, _) => Outcome::HandedOver,
            (false, 0) => Outcome::Unsent,
            (false, _) => Outcome::Unknown,
        };
        self.count(outcome, message.bytes);
        if slot.is_some() {
            self.release(message.source);
        }
        (Some(message.done(outcome)), slot.or(message.source))
    }

    /// The answer to [`Output::Fetch`]; `None` if the host could not read it.
    ///
    /// `content` is owned bytes, or another slot where the host keeps what it has read.
    pub fn handle_fetched(&mut self, id: FetchId, content: Option<Payload>) {
        let id = MessageId(id.0);
        if let Some(blob) = self.queue.blob(id) {
            let content = self.of_length(content, readable(blob.bytes));
            self.read(id, blob, content);
            return;
        }
        #[cfg(not(feature = "js"))]
        if !self.takes_values()
            && let Head::Fetching { message, range } = &self.head
            && message.end.id == id
        {
            let (message, range) = (*message, range.clone());
            let content = self.of_length(content, range.end - range.start);
            self.read_part(message, range, content);
            return;
        }
        // Cancelled, replaced or closed meanwhile.
        self.release(content.and_then(|content| content.slot()));
    }

    /// `content`, if it has the length that was asked for. Otherwise it is of no use, but its slot is held.
    fn of_length(&mut self, content: Option<Payload>, bytes: u64) -> Option<Payload> {
        let content = content?;
        if content.bytes() == bytes {
            return Some(content);
        }
        self.release(content.slot());
        None
    }

    /// A part of the message at the head was read, or could not be.
    #[cfg(not(feature = "js"))]
    fn read_part(&mut self, message: Started, range: Range<u64>, content: Option<Payload>) {
        match content {
            Some(payload) => {
                let part = Part::new(&message, range, &payload);
                self.head = Head::Ready { message, payload, part };
            }
            None if range.start == 0 => {
                self.head = Head::Idle;
                self.finish(&message, Outcome::Unreadable);
            }
            // A message of which the peer has a part cannot be taken back (RFC 6455 has no
            // way to abandon one), so the connection cannot go on.
            None => self.step(Step::Broken),
        }
    }

    /// The content of a Blob that waits for its turn was read, or the first byte of it, or neither.
    fn read(&mut self, id: MessageId, blob: Hosted, content: Option<Payload>) {
        let ready = match content {
            Some(whole) if whole.bytes() == blob.bytes => whole,
            // The probe of a large Blob: it is readable, so that the transport gets all of it, as it is.
            Some(probe) => {
                self.release(probe.slot());
                Payload::Hosted(Hosted { kind: HostedKind::Buffer, ..blob })
            }
            None => {
                if let Some(item) = self.queue.remove(id) {
                    self.finish_queued(&item, Outcome::Unreadable);
                }
                return;
            }
        };
        let slot = ready.slot();
        let old = self.queue.set_content(id, ready);
        self.release(old.slot().filter(|old| Some(*old) != slot));
    }

    /// As [`poll_output`](Self::poll_output) while messages go out; `None` if there is more to do.
    pub(super) fn poll_sending(&mut self, room: bool) -> Option<Output> {
        if room && let Some(part) = self.give() {
            return Some(Output::Transmit(part));
        }
        match self.head {
            Head::Idle => {}
            Head::Ready { .. } => return Some(Output::Blocked(self.due())),
            #[cfg(not(feature = "js"))]
            Head::Fetching { .. } => return Some(Output::Timeout(self.due())),
            Head::Given { .. } => return Some(Output::Timeout(self.due())),
        }
        if self.expire() {
            return None;
        }
        let Some(next) = self.queue.peek() else {
            if self.phase.flushes() && self.queue.is_empty() {
                self.step(Step::Flushed);
                return None;
            }
            return Some(Output::Timeout(self.rest()));
        };
        // A file that is gone is to fail before its turn would come, and its reading to hold up nobody else.
        if self.takes_values()
            && let Some(blob) = next.hosted.filter(|hosted| hosted.kind == HostedKind::Blob)
        {
            self.queue.set_aside(next.id);
            self.pending.push(Output::Fetch {
                id: FetchId(next.id.0),
                slot: blob.slot,
                range: 0..readable(blob.bytes),
            });
            return None;
        }
        if !room {
            return Some(Output::Blocked(self.due()));
        }
        // What is owed its share does not have it while it is held up itself.
        let is_held = next.priority != Priority::Urgent && self.gate.as_ref().is_some_and(Gate::is_capped);
        if is_held && self.queue.prefer_urgent() {
            return None;
        }
        if let Some(output) = self.pass_gate(next) {
            return Some(output);
        }
        self.start_next();
        None
    }

    /// What has to be done before the next message may go: to look, or to wait; `None` if it may.
    fn pass_gate(&mut self, next: Next) -> Option<Output> {
        let gate = self.gate.as_mut()?;
        let is_urgent = next.priority == Priority::Urgent;
        if gate.admits(next.bytes, is_urgent) {
            return None;
        }
        if self.look == Look::Done {
            gate.wait(self.now, next.bytes, is_urgent);
        } else if self.look == Look::Due
            || gate.due().is_none()
            || self.now.micros_since(gate.looked_at()) >= LOOK_AGAIN
        {
            return Some(Output::Look);
        }
        let looks = gate.due();
        Some(Output::Timeout(earlier(self.due(), looks)))
    }

    /// Ends a message whose deadline has passed. Returns whether there was one.
    pub(super) fn expire(&mut self) -> bool {
        let Some(item) = self.queue.expire(self.now) else { return false };
        self.finish_queued(&item, Outcome::Expired);
        true
    }

    /// As [`due`](Self::due), when no message can go.
    fn rest(&mut self) -> Option<Timestamp> {
        match &mut self.gate {
            Some(gate) if self.queue.is_empty() => gate.rest(),
            Some(gate) => gate.pause(),
            None => {}
        }
        self.due()
    }

    /// Begins with the message that goes next.
    fn start_next(&mut self) {
        let Some((item, waited_micros)) = self.queue.pop(self.now) else { return };
        let message = started(&item).after(waited_micros);
        match item.payload {
            #[cfg(not(feature = "js"))]
            Payload::Hosted(_) if !self.takes_values() => self.fetch_part(message, 0),
            payload => {
                let part = Part::whole(&message, &payload);
                self.head = Head::Ready { message, payload, part };
            }
        }
    }

    /// Reads the part of `message` that begins at `from`.
    #[cfg(not(feature = "js"))]
    fn fetch_part(&mut self, message: Started, from: u64) {
        let range = from..message.bytes.min(from + PART_BYTES);
        let Some(slot) = message.source.filter(|_| !range.is_empty()) else {
            // An empty message: there is nothing to read.
            let payload = Payload::Binary(Vec::new());
            let part = Part::new(&message, range, &payload);
            self.head = Head::Ready { message, payload, part };
            return;
        };
        self.pending.push(Output::Fetch { id: FetchId(message.end.id.0), slot, range: range.clone() });
        self.head = Head::Fetching { message, range };
    }

    /// The part that is at hand, if one is.
    fn give(&mut self) -> Option<Transmit> {
        match core::mem::replace(&mut self.head, Head::Idle) {
            Head::Ready { message, payload, part } => {
                let range = part.range(&message);
                let (first, last) = (range.start == 0, range.end == message.bytes);
                self.head = Head::Given { message, part };
                Some(Transmit { payload, text: message.text, first, last })
            }
            head => {
                self.head = head;
                None
            }
        }
    }

    /// Ends the message at the head. Its parts that were already read are released too.
    pub(super) fn drop_head(&mut self, outcome: Outcome) {
        let head = core::mem::replace(&mut self.head, Head::Idle);
        let Some((message, _)) = head.message() else { return };
        if let Head::Ready { part, .. } | Head::Given { part, .. } = head {
            self.release(part.slot());
        }
        self.finish(&message, outcome);
    }
}

/// How much of a Blob is read before it is handed over: a large file that is gone fails at its first byte just
/// as well as at all of them. An empty one is read as well: a file that is gone may show a size of 0.
fn readable(bytes: u64) -> u64 {
    if bytes <= READ_BLOB_UP_TO { bytes } else { 1 }
}

pub(super) fn started(item: &Queued) -> Started {
    let bytes = item.payload.bytes();
    let end = Done {
        id: item.id,
        ticket: item.ticket,
        outcome: Outcome::Unsent,
        #[cfg(any(not(feature = "js"), feature = "v1"))]
        bytes,
        #[cfg(any(not(feature = "js"), feature = "v1"))]
        priority: item.priority,
        #[cfg(any(not(feature = "js"), feature = "v1"))]
        flow: item.flow,
        #[cfg(any(not(feature = "js"), feature = "v1"))]
        waited_micros: 0,
    };
    let is_urgent = item.priority == Priority::Urgent;
    Started { end, text: item.payload.is_text(), is_urgent, bytes, source: item.payload.slot() }
}
