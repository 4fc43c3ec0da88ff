//! What wasm tells the facade.

use core::cell::{Cell, RefCell};

use wasm_bindgen::prelude::*;

use super::convert::{cause, number, outcome};
use crate::driver::Observer;
use crate::driver::hub::NoRoom;
use crate::proto::{Closed, Outcome, TicketId};

#[wasm_bindgen]
extern "C" {
    /// The facade's side. Any of these may call back into `Core`.
    pub type Sink;

    #[wasm_bindgen(method)]
    fn opened(this: &Sink);
    #[wasm_bindgen(method)]
    fn readable(this: &Sink);
    #[wasm_bindgen(method)]
    fn room(this: &Sink);
    #[wasm_bindgen(method)]
    fn outcome(this: &Sink, ticket: f64, outcome: u8);
    #[wasm_bindgen(method)]
    #[allow(clippy::too_many_arguments, reason = "numbers cross for less than an object")]
    fn closed(
        this: &Sink,
        code: u16,
        reason: &str,
        was_clean: bool,
        cause: u8,
        unsent_messages: f64,
        unsent_bytes: f64,
        unknown_messages: f64,
        unknown_bytes: f64,
    );
}

impl SinkObserver {
    pub(super) fn new(sink: Sink) -> Self {
        Self {
            sink,
            wants_message: Cell::new(false),
            sends: Cell::new(0),
            ended: RefCell::default(),
            cancelled: Cell::new(None),
        }
    }

    /// Runs a `send`. Returns the end of its own message, if that has come, and reports the others.
    pub(super) fn send(&self, queue: impl FnOnce() -> Result<TicketId, NoRoom>) -> Result<Sent, NoRoom> {
        self.sends.set(self.sends.get() + 1);
        let sent = queue();
        self.sends.set(self.sends.get() - 1);
        let own = sent.ok().and_then(|ticket| {
            let mut ended = self.ended.borrow_mut();
            let at = ended.iter().position(|entry| entry.0 == ticket)?;
            Some(ended.remove(at).1)
        });
        if self.sends.get() == 0 {
            // Taken out first: the sink may send again.
            for (ticket, ended) in self.ended.take() {
                self.outcome(ticket, ended);
            }
        }
        sent.map(|ticket| own.map_or(Sent::Queued(ticket), Sent::Ended))
    }
}

/// What became of a message within the call that sent it.
pub(super) enum Sent {
    /// It has to wait.
    Queued(TicketId),
    /// It has ended.
    Ended(Outcome),
}

/// Passes on what the driver reports, once for each time the facade has found nothing.
pub(super) struct SinkObserver {
    sink: Sink,
    /// `take` has found nothing, so that the next message is worth a call.
    pub(super) wants_message: Cell<bool>,
    /// How many calls of `send` are under way, one inside the other.
    sends: Cell<u32>,
    /// What ended meanwhile: a `send` returns the end of its own message instead of reporting it.
    ended: RefCell<Vec<(TicketId, Outcome)>>,
    /// The message that was cancelled last, for the `cancel` that is under way.
    pub(super) cancelled: Cell<Option<TicketId>>,
}

impl Observer for SinkObserver {
    fn opened(&self) {
        self.sink.opened();
    }

    fn readable(&self) {
        if self.wants_message.replace(false) {
            self.sink.readable();
        }
    }

    fn room(&self) {
        self.sink.room();
    }

    fn outcome(&self, ticket: TicketId, ended: Outcome) -> bool {
        if self.sends.get() > 0 {
            self.ended.borrow_mut().push((ticket, ended));
            return true;
        }
        if ended == Outcome::Cancelled {
            self.cancelled.set(Some(ticket));
        }
        self.sink.outcome(number(ticket.0), outcome(ended));
        true
    }

    fn closed(&self, closed: &Closed) {
        let (unsent, unknown) = (closed.unsent, closed.unknown);
        self.sink.closed(
            closed.code,
            &closed.reason,
            closed.was_clean,
            cause(closed.cause),
            number(unsent.messages),
            number(unsent.bytes),
            number(unknown.messages),
            number(unknown.bytes),
        );
    }
}
