//! What the driver reports, counted and passed on to the facade.

use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

use super::convert::{cause, number, outcome, place};
use super::host::{self, Host, HostTransport};
use crate::driver::{Driver, Outlet};
use crate::proto::{Closed, Done, Fit, Hosted, MessageId, Outcome, Payload, RecvLimits, RecvQueue, Slot};
use crate::time::Clock;
use crate::transport::Incoming;

/// The received messages, and what the facade waits for.
pub(super) struct FacadeOutlet {
    host: Host,
    received: RefCell<RecvQueue<Slot>>,
    /// `take` has found nothing, so that the next message is worth a call.
    wants_message: Cell<bool>,
    /// No message is taken any more.
    stopped: Cell<bool>,
    /// The message of the innermost `send` that is under way, and its end: a `send` returns the end
    /// of its own message instead of reporting it.
    current: Cell<Option<(MessageId, Option<Outcome>)>>,
}

impl FacadeOutlet {
    pub(super) fn new(host: Host, receive: RecvLimits) -> Self {
        Self {
            host,
            received: RefCell::new(RecvQueue::new(receive)),
            wants_message: Cell::new(false),
            stopped: Cell::new(false),
            current: Cell::new(None),
        }
    }

    /// Whether a message may be queued.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    pub(super) fn stop(&self) {
        self.stopped.set(true);
    }

    /// Messages and bytes that were received and not taken.
    pub(super) fn received(&self) -> (u64, u64) {
        self.received.borrow().queued()
    }

    /// Runs `pump` for a message that was just queued. Returns its end, if that has come.
    pub(super) fn sending(&self, id: MessageId, pump: impl FnOnce()) -> Option<Outcome> {
        let outer = self.current.replace(Some((id, None)));
        // Called from inside a `send`, this leaves the work to that one's.
        pump();
        self.current.replace(outer).and_then(|(_, ended)| ended)
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
        host::opened(self.host);
    }

    fn done(&self, done: Done) {
        match self.current.get() {
            Some((current, _)) if current == done.id => {
                self.current.set(Some((current, Some(done.outcome))));
            }
            _ => host::outcome(self.host, number(done.id.0), outcome(done.outcome)),
        }
    }

    fn deliver(&self, incoming: Incoming, _: &HostTransport) -> Result<(), (Incoming, u16)> {
        let Incoming::Message(Payload::Hosted(Hosted { slot, bytes, .. })) = incoming;
        loop {
            let (dropped, size) = {
                let mut received = self.received.borrow_mut();
                match received.poll_fit(bytes) {
                    Fit::Free => {
                        received.push(slot, bytes);
                        break;
                    }
                    Fit::Dropped(oldest, size) => (oldest, size),
                    Fit::None => (slot, bytes),
                    Fit::Close(code) => return Err((incoming, code)),
                }
            };
            host::release(self.host, place(dropped), number(size));
            if dropped == slot {
                return Ok(());
            }
        }
        if self.wants_message.replace(false) {
            host::readable(self.host);
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
        host::ended(
            self.host,
            closed.code.into(),
            closed.was_clean.into(),
            cause(closed.cause),
            number(unsent.messages),
            number(unsent.bytes),
            number(unknown.messages),
            number(unknown.bytes),
        );
    }

    fn abandoned(&self) {}
}
