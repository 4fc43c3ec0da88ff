//! A host for a session: it keeps values in slots and notes everything that the session puts out.

use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeMap;

use crate::proto::outcome::{CloseCause, Closed, Outcome};
use crate::proto::payload::{Hosted, HostedKind, Payload, Slot};
use crate::proto::send::{GateConfig, MessageId, NewMessage, QueueConfig, TicketId};
use crate::proto::session::{CloseRequest, Done, Event, FetchId, Output, Session, SessionConfig};
use crate::time::Timestamp;

pub(super) fn ticket(number: u64) -> TicketId {
    TicketId(core::num::NonZeroU64::new(number).unwrap())
}

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// The moment `seconds` after the zero.
pub(super) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// What the host has done with a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) bytes: u64,
    pub(super) text: bool,
    pub(super) first: bool,
    pub(super) last: bool,
    /// The slot that was sent, if it was a host value.
    pub(super) slot: Option<Slot>,
}

/// A question that has not been answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) id: FetchId,
    pub(super) slot: Slot,
    pub(super) range: Range<u64>,
}

/// See the module's page. Every method drains the session, as the rule of driving it says, unless
/// its name begins with `only_`.
pub(super) struct Host {
    pub(super) session: Session,
    pub(super) now: Timestamp,
    /// Whether the transport has room.
    pub(super) room: bool,
    /// Whether the transport takes what it is given.
    pub(super) takes: bool,
    /// What stands in its buffer, as it shows it.
    pub(super) standing: u64,
    /// How often it was looked at.
    pub(super) looks: u32,
    /// By what the session knows the messages of each ticket.
    pub(super) ids: BTreeMap<u64, MessageId>,
    next: u32,
    /// Slots that somebody has to release.
    pub(super) live: BTreeMap<u32, u64>,
    pub(super) asked: Vec<Asked>,
    pub(super) sent: Vec<Sent>,
    pub(super) done: Vec<Done>,
    pub(super) opened: u32,
    pub(super) closes: Vec<(Option<u16>, String)>,
    pub(super) aborts: u32,
    pub(super) closed: Option<Closed>,
    /// When the session wants to be called again.
    pub(super) due: Option<Timestamp>,
    pub(super) blocked: bool,
}

impl Host {
    /// A session that is connecting, with a deadline of a second.
    pub(super) fn connecting(takes_values: bool) -> Self {
        Self::behind_gate(takes_values, None)
    }

    /// As [`connecting`](Self::connecting), over a transport that takes everything at once.
    pub(super) fn behind_gate(takes_values: bool, gate: Option<GateConfig>) -> Self {
        let config = SessionConfig {
            connect_timeout: Some(SECOND),
            peer_close_timeout: Some(2 * SECOND),
            transport_takes_values: takes_values,
            queue: QueueConfig::default(),
            gate,
        };
        let mut host = Self {
            session: Session::new(at(0), config),
            now: at(0),
            room: true,
            takes: true,
            standing: 0,
            looks: 0,
            ids: BTreeMap::new(),
            next: 0,
            live: BTreeMap::new(),
            asked: Vec::new(),
            sent: Vec::new(),
            done: Vec::new(),
            opened: 0,
            closes: Vec::new(),
            aborts: 0,
            closed: None,
            due: None,
            blocked: false,
        };
        host.drain();
        host
    }

    /// A session that is open, over a transport that takes host values, or bytes only.
    pub(super) fn open(takes_values: bool) -> Self {
        let mut host = Self::connecting(takes_values);
        host.session.handle_opened();
        host.drain();
        host
    }

    /// Keeps a value of `bytes` bytes.
    pub(super) fn keep(&mut self, kind: HostedKind, bytes: u64) -> Payload {
        let slot = self.next;
        self.next += 1;
        self.live.insert(slot, bytes);
        Payload::Hosted(Hosted { slot: Slot(slot), kind, bytes })
    }

    pub(super) fn blob(&mut self, bytes: u64) -> Payload {
        self.keep(HostedKind::Blob, bytes)
    }

    fn let_go(&mut self, slot: Slot) {
        assert!(self.live.remove(&slot.0).is_some(), "{slot:?} was released twice, or never taken");
    }

    /// Sends with the given ticket; panics if the session takes nothing.
    pub(super) fn send(&mut self, payload: Payload, ticket: u64) {
        assert!(self.try_send(payload, ticket), "the session takes no message");
    }

    pub(super) fn try_send(&mut self, payload: Payload, ticket: u64) -> bool {
        let taken = self.only_send(payload, ticket);
        self.drain();
        taken
    }

    pub(super) fn only_send(&mut self, payload: Payload, number: u64) -> bool {
        self.only_send_new(NewMessage::normal(payload, Some(ticket(number))))
    }

    pub(super) fn send_new(&mut self, new: NewMessage) {
        assert!(self.only_send_new(new), "the session takes no message");
        self.drain();
    }

    pub(super) fn only_send_new(&mut self, new: NewMessage) -> bool {
        if self.session.wants_time(Some(&new)) {
            self.session.handle_time(self.now);
        }
        let number = new.ticket.map(|ticket| ticket.0.get());
        match self.session.handle_send(new) {
            Ok(id) => {
                self.ids.extend(number.map(|number| (number, id)));
                true
            }
            Err(payload) => {
                if let Some(slot) = payload.slot() {
                    self.let_go(slot);
                }
                false
            }
        }
    }

    /// Gives the transport a message that need not be queued, and tells how it ended.
    pub(super) fn pass_by(&mut self, new: &NewMessage) -> Outcome {
        let (bytes, slot) = (new.payload.bytes(), new.payload.slot());
        if self.takes {
            self.standing += bytes;
            self.sent.push(Sent { bytes, text: new.payload.is_text(), first: true, last: true, slot });
        }
        self.session.handle_sent(bytes, self.takes);
        if let Some(slot) = slot {
            self.let_go(slot);
        }
        if self.takes { Outcome::HandedOver } else { Outcome::Unsent }
    }

    pub(super) fn cancel(&mut self, ticket: u64) -> bool {
        let cancelled = self.only_cancel(ticket);
        self.drain();
        cancelled
    }

    pub(super) fn only_cancel(&mut self, ticket: u64) -> bool {
        self.ids.get(&ticket).is_some_and(|id| self.session.handle_cancel(*id))
    }

    /// Answers the oldest question with `content`, or says that it cannot be read.
    pub(super) fn answer(&mut self, content: Option<Payload>) {
        self.only_answer(0, content);
        self.drain();
    }

    pub(super) fn only_answer(&mut self, which: usize, content: Option<Payload>) {
        let asked = self.asked.remove(which);
        self.session.handle_fetched(asked.id, content);
    }

    /// Answers the oldest question truly, with owned bytes.
    pub(super) fn answer_bytes(&mut self) {
        let asked = self.asked.first().expect("something was asked");
        let bytes = vec![0; usize::try_from(asked.range.end - asked.range.start).unwrap()];
        self.answer(Some(Payload::Binary(bytes)));
    }

    /// Answers the oldest question truly, with a value in a slot of its own.
    pub(super) fn answer_value(&mut self) {
        let asked = self.asked.first().expect("something was asked");
        let bytes = asked.range.end - asked.range.start;
        let content = self.keep(HostedKind::Buffer, bytes);
        self.answer(Some(content));
    }

    pub(super) fn close(&mut self, code: u16, flush: bool) {
        let request = CloseRequest { code: Some(code), reason: "bye".into(), within: Some(SECOND), flush };
        self.session.handle_close(self.now, request);
        self.drain();
    }

    pub(super) fn end(&mut self) {
        self.session.handle_end(self.now, Some(SECOND), Some(SECOND));
        self.drain();
    }

    pub(super) fn abort(&mut self) {
        self.session.handle_abort();
        self.drain();
    }

    pub(super) fn overflow(&mut self) {
        self.session.handle_receive_overflow(self.now, 4009, Some(SECOND));
        self.drain();
    }

    pub(super) fn transport_end(&mut self, code: u16, was_clean: bool) {
        self.session.handle_transport_end(code, "peer".into(), was_clean);
        self.drain();
    }

    /// Lets time pass and says so.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
        self.session.handle_timeout(self.now);
        self.drain();
    }

    /// Carries out what the session says, until it says that nothing is left to do.
    pub(super) fn drain(&mut self) {
        loop {
            let output = self.session.poll_output(self.room);
            self.blocked = matches!(output, Output::Blocked(_));
            match output {
                Output::Timeout(due) | Output::Blocked(due) => {
                    self.due = due;
                    return;
                }
                Output::Look => {
                    self.looks += 1;
                    self.session.handle_amount(self.now, self.standing);
                }
                Output::Transmit(part) => {
                    assert!(self.room, "a part came out while the transport had no room");
                    assert!(self.closes.is_empty() && self.aborts == 0, "sent after a close frame");
                    if let Some(slot) = part.payload.slot() {
                        assert!(self.live.contains_key(&slot.0), "{slot:?} was sent after its release");
                    }
                    if self.takes {
                        self.standing += part.payload.bytes();
                        self.sent.push(Sent {
                            bytes: part.payload.bytes(),
                            text: part.text,
                            first: part.first,
                            last: part.last,
                            slot: part.payload.slot(),
                        });
                    }
                    let (done, slot) = self.session.handle_transmitted(self.takes);
                    if let Some(slot) = slot {
                        self.let_go(slot);
                    }
                    self.done.extend(done);
                }
                Output::Fetch { id, slot, range } => {
                    assert!(self.live.contains_key(&slot.0), "{slot:?} was asked for after its release");
                    assert!(range.end <= self.live[&slot.0], "{range:?} is beyond the end of {slot:?}");
                    self.asked.push(Asked { id, slot, range });
                }
                Output::Release(slot) => self.let_go(slot),
                Output::Close { code, reason } => self.closes.push((code, reason)),
                Output::Abort => self.aborts += 1,
                Output::Event(Event::Opened) => self.opened += 1,
                Output::Event(Event::Done(done)) => {
                    assert_eq!(self.closed, None, "a message ended after the final word");
                    self.done.push(done);
                }
                Output::Event(Event::Closed(closed)) => {
                    assert_eq!(self.closed, None, "two final words");
                    self.closed = Some(closed);
                }
            }
        }
    }

    /// How the message of `ticket` has ended, if it has; panics if it has twice.
    pub(super) fn outcome(&self, ticket: u64) -> Option<Outcome> {
        let mut ends =
            self.done.iter().filter(|done| done.ticket.is_some_and(|given| given.0.get() == ticket));
        let first = ends.next().map(|done| done.outcome);
        assert_eq!(ends.next(), None, "ticket {ticket} has ended twice");
        first
    }

    pub(super) fn cause(&self) -> Option<CloseCause> {
        self.closed.as_ref().map(|closed| closed.cause)
    }

    /// Unsent and unknown of the final word: messages and bytes of each.
    pub(super) fn left(&self) -> [(u64, u64); 2] {
        let closed = self.closed.as_ref().expect("the session is over");
        [closed.unsent, closed.unknown].map(|amount| (amount.messages, amount.bytes))
    }

    /// The slots that are still held.
    pub(super) fn held(&self) -> Vec<u32> {
        self.live.keys().copied().collect()
    }
}
