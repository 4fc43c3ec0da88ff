//! What the driver reports, counted and passed on to the facade.

use core::cell::{Cell, RefCell};

use super::convert::{cause, number, outcome};
use super::host::{Host, HostTransport};
use crate::driver::{Driver, Outlet};
use crate::proto::{
    Closed, Done, Hosted, Outcome, Payload, RecvLimits, RecvQueue, Room, SendLimits, Slot, TicketId,
};
use crate::time::Clock;
use crate::transport::Incoming;

/// The room of the send queue, the received messages, and what the facade waits for.
pub(super) struct FacadeOutlet {
    host: Host,
    limits: SendLimits,
    queued: Cell<(u32, u64)>,
    /// `send` has found no room, so that room is worth a call.
    wants_room: Cell<bool>,
    received: RefCell<RecvQueue<Slot>>,
    /// `take` has found nothing, so that the next message is worth a call.
    wants_message: Cell<bool>,
    /// No message is taken any more.
    stopped: Cell<bool>,
    last_ticket: Cell<u64>,
    /// The message of the innermost `send` that is under way, and its end: a `send` returns the end
    /// of its own message instead of reporting it.
    current: Cell<Option<(TicketId, Option<Outcome>)>>,
    /// What else has ended meanwhile, reported when the outermost `send` returns: until then the
    /// facade may not know its ticket.
    ended: Cell<Vec<(TicketId, Outcome)>>,
}

/// What became of a message within the call that sent it.
pub(super) enum Sent {
    /// It has to wait.
    Queued(TicketId),
    /// It has ended.
    Ended(Outcome),
}

impl FacadeOutlet {
    pub(super) fn new(host: Host, send: SendLimits, receive: RecvLimits) -> Self {
        Self {
            host,
            limits: send,
            queued: Cell::new((0, 0)),
            wants_room: Cell::new(false),
            received: RefCell::new(RecvQueue::new(receive)),
            wants_message: Cell::new(false),
            stopped: Cell::new(false),
            last_ticket: Cell::new(0),
            current: Cell::new(None),
            ended: Cell::default(),
        }
    }

    /// Whether a message may be queued.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    pub(super) fn stop(&self) {
        self.stopped.set(true);
    }

    /// Bytes that were taken and are not handed over.
    pub(super) fn queued_bytes(&self) -> u64 {
        self.queued.get().1
    }

    /// Takes room for a message; false if there is none.
    pub(super) fn admit(&self, bytes: u64) -> bool {
        let (messages, queued) = self.queued.get();
        let admitted = self.limits.admit(messages, queued, bytes);
        if admitted {
            self.queued.set((messages + 1, queued.saturating_add(bytes)));
        } else {
            self.wants_room.set(true);
        }
        admitted
    }

    /// Runs a `send`. Returns the end of its own message, if that has come, and reports the others.
    pub(super) fn sending(&self, send: impl FnOnce(TicketId)) -> Sent {
        let ticket = TicketId(self.last_ticket.get() + 1);
        self.last_ticket.set(ticket.0);
        let outer = self.current.replace(Some((ticket, None)));
        send(ticket);
        let mut own = self.current.replace(outer).and_then(|(_, ended)| ended);
        // Taken out first: the facade may send again while it is told.
        for (other, ended) in self.ended.take() {
            if other == ticket {
                own = Some(ended);
            } else if outer.is_none() {
                self.host.outcome(number(other.0), outcome(ended));
            } else {
                self.keep(other, ended);
            }
        }
        own.map_or(Sent::Queued(ticket), Sent::Ended)
    }

    /// Keeps an end until the outermost `send` returns.
    fn keep(&self, ticket: TicketId, outcome: Outcome) {
        let mut ended = self.ended.take();
        ended.push((ticket, outcome));
        self.ended.set(ended);
    }

    /// The oldest received message; without one, the next is announced.
    pub(super) fn take(&self) -> Option<Slot> {
        let slot = self.received.borrow_mut().pop();
        self.wants_message.set(slot.is_none());
        slot
    }
}

impl Outlet<HostTransport> for FacadeOutlet {
    fn take_commands<C: Clock>(&self, _: &Driver<HostTransport, C, Self>) -> bool {
        // The facade calls the driver itself.
        false
    }

    fn opened(&self, _: &HostTransport) {
        self.host.opened();
    }

    fn done(&self, done: Done) {
        let (messages, bytes) = self.queued.get();
        self.queued.set((messages.saturating_sub(1), bytes.saturating_sub(done.bytes)));
        if let Some(ticket) = done.ticket {
            match self.current.get() {
                Some((current, _)) if current == ticket => {
                    self.current.set(Some((ticket, Some(done.outcome))));
                }
                Some(_) => self.keep(ticket, done.outcome),
                None => self.host.outcome(number(ticket.0), outcome(done.outcome)),
            }
        }
        if self.wants_room.replace(false) {
            self.host.room();
        }
    }

    fn deliver(&self, incoming: Incoming, _: &HostTransport) -> Result<(), (Incoming, u16)> {
        let Incoming::Message(Payload::Hosted(Hosted { slot, bytes, .. })) = incoming else { return Ok(()) };
        loop {
            let (dropped, size) = {
                let mut received = self.received.borrow_mut();
                match received.poll_room(bytes) {
                    Room::Free => {
                        received.push(slot, bytes);
                        break;
                    }
                    Room::Dropped(oldest, size) => (oldest, size),
                    Room::None => (slot, bytes),
                    Room::Close(code) => return Err((incoming, code)),
                }
            };
            self.host.release(dropped.0, number(size));
            if dropped == slot {
                return Ok(());
            }
        }
        if self.wants_message.replace(false) {
            self.host.readable();
        }
        Ok(())
    }

    fn read_done(&self, _: u32, _: Option<Vec<u8>>) {}

    fn failed(&self, _: crate::transport::TransportError) {}

    fn stop_sending(&self) {
        self.stopped.set(true);
    }

    fn closed(&self, closed: Closed) {
        let (unsent, unknown) = (closed.unsent, closed.unknown);
        self.host.ended(
            closed.code,
            closed.was_clean,
            cause(closed.cause),
            number(unsent.messages),
            number(unsent.bytes),
            number(unknown.messages),
            number(unknown.bytes),
        );
    }

    fn abandoned(&self) {}
}
