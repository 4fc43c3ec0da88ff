//! What the driver reports, counted and passed on to the facade.

use core::cell::{Cell, RefCell};

use super::convert::{cause, number, outcome};
use super::host::{Host, HostTransport};
use crate::driver::{Driver, Outlet};
use crate::proto::{
    Closed, Done, Flow, Hosted, MessageId, Outcome, Payload, Priority, RecvLimits, RecvQueue, Room,
    SendLimits, Slot,
};
use crate::time::Clock;
use crate::transport::Incoming;

/// The room of the send queue, the received messages, and what the facade waits for.
pub(super) struct FacadeOutlet {
    host: Host,
    room: RefCell<Room>,
    /// `send` has found no room, so that room is worth a call.
    wants_room: Cell<bool>,
    received: RefCell<RecvQueue<Slot>>,
    /// `take` has found nothing, so that the next message is worth a call.
    wants_message: Cell<bool>,
    /// No message is taken any more.
    stopped: Cell<bool>,
    /// The message of the innermost `send` that is under way, and its end: a `send` returns the end
    /// of its own message instead of reporting it.
    current: Cell<Option<(MessageId, Option<Outcome>)>>,
    /// What else has ended meanwhile, reported when the outermost `send` returns: until then the
    /// facade may not know its ticket.
    ended: Cell<Vec<(MessageId, Outcome)>>,
}

/// What became of a message within the call that sent it.
pub(super) enum Sent {
    /// It has to wait.
    Queued,
    /// It has ended.
    Ended(Outcome),
}

impl FacadeOutlet {
    pub(super) fn new(host: Host, send: SendLimits, receive: RecvLimits) -> Self {
        Self {
            host,
            room: RefCell::new(Room::new(send)),
            wants_room: Cell::new(false),
            received: RefCell::new(RecvQueue::new(receive)),
            wants_message: Cell::new(false),
            stopped: Cell::new(false),
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
        self.room.borrow().bytes()
    }

    /// Takes room for a message; false if there is none. `old` is what it replaces and makes room for it.
    pub(super) fn admit(
        &self,
        priority: Priority,
        flow: Flow,
        bytes: u64,
        old: Option<(Priority, Flow, u64)>,
    ) -> bool {
        let mut room = self.room.borrow_mut();
        if let Some((priority, flow, bytes)) = old {
            room.leave(priority, flow, bytes);
        }
        let admitted = room.admits(priority, flow, bytes);
        if let Some((priority, flow, bytes)) = old {
            room.enter(priority, flow, bytes);
        }
        if admitted {
            room.enter(priority, flow, bytes);
        } else {
            self.wants_room.set(true);
        }
        admitted
    }

    /// Runs `pump` for a message that was just queued. Returns its end, if that has come, and reports the
    /// others.
    pub(super) fn sending(&self, id: MessageId, pump: impl FnOnce()) -> Sent {
        let outer = self.current.replace(Some((id, None)));
        pump();
        let mut own = self.current.replace(outer).and_then(|(_, ended)| ended);
        // Taken out first: the facade may send again while it is told.
        for (other, ended) in self.ended.take() {
            if other == id {
                own = Some(ended);
            } else if outer.is_none() {
                self.host.outcome(number(other.0), outcome(ended));
            } else {
                self.keep(other, ended);
            }
        }
        own.map_or(Sent::Queued, Sent::Ended)
    }

    /// Keeps an end until the outermost `send` returns.
    fn keep(&self, id: MessageId, outcome: Outcome) {
        let mut ended = self.ended.take();
        ended.push((id, outcome));
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
        self.room.borrow_mut().leave(done.priority, done.flow, done.bytes);
        match self.current.get() {
            Some((current, _)) if current == done.id => {
                self.current.set(Some((current, Some(done.outcome))));
            }
            Some(_) => self.keep(done.id, done.outcome),
            None => self.host.outcome(number(done.id.0), outcome(done.outcome)),
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
