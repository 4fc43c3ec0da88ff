//! What wasm tells the facade.

use core::cell::Cell;

use wasm_bindgen::prelude::*;

use super::convert::{cause, number, outcome};
use crate::driver::Observer;
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

/// Passes on what the driver reports, once for each time the facade has found nothing.
pub(super) struct SinkObserver {
    pub(super) sink: Sink,
    /// `take` has found nothing, so that the next message is worth a call.
    pub(super) wants_message: Cell<bool>,
    /// A `send` is under way and looks at the outcome of its message itself.
    pub(super) sending: Cell<bool>,
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

    fn outcome(&self, ticket: TicketId, ended: Outcome) {
        if !self.sending.get() {
            self.sink.outcome(number(ticket.0), outcome(ended));
        }
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
