//! What the driver reports, counted and passed on to the facade.

use core::cell::{Cell, RefCell};

use super::convert::{cause, number, outcome};
use super::host::{Host, HostTransport};
use crate::driver::{Driver, Outlet};
use crate::proto::{
    Closed, Done, Hosted, Outcome, Payload, RecvLimits, RecvQueue, SendLimits, Slot, TicketId,
};
use crate::time::Clock;
use crate::transport::{Incoming, TransportError};

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
    /// How many calls of `send` are under way, one inside the other.
    sends: Cell<u32>,
    /// What ended meanwhile: a `send` returns the end of its own message instead of reporting it.
    ended: RefCell<Vec<(TicketId, Outcome)>>,
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
            sends: Cell::new(0),
            ended: RefCell::default(),
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
        self.sends.set(self.sends.get() + 1);
        send(ticket);
        self.sends.set(self.sends.get() - 1);
        let own = {
            let mut ended = self.ended.borrow_mut();
            ended.iter().position(|entry| entry.0 == ticket).map(|at| ended.remove(at).1)
        };
        if self.sends.get() == 0 && !self.ended.borrow().is_empty() {
            // Taken out first: the facade may send again.
            for (ticket, ended) in self.ended.take() {
                self.host.outcome(number(ticket.0), outcome(ended));
            }
        }
        own.map_or(Sent::Queued(ticket), Sent::Ended)
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
            if self.sends.get() > 0 {
                self.ended.borrow_mut().push((ticket, done.outcome));
            } else {
                self.host.outcome(number(ticket.0), outcome(done.outcome));
            }
        }
        if self.wants_room.replace(false) {
            self.host.room();
        }
    }

    fn deliver(&self, incoming: Incoming) -> Result<(), (Incoming, u16)> {
        let Incoming::Message(Payload::Hosted(Hosted { slot, bytes, .. })) = incoming else { return Ok(()) };
        {
            let mut received = self.received.borrow_mut();
            if received.push(slot, bytes).is_err() {
                return Err((incoming, received.limits().overflow_code));
            }
        }
        if self.wants_message.replace(false) {
            self.host.readable();
        }
        Ok(())
    }

    fn read_done(&self, _: u32, _: Option<Vec<u8>>) {}

    fn failed(&self, _: TransportError) {}

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
