//! The facade, as the driver sees it: a transport that keeps the values.

use core::ops::Range;

use wasm_bindgen::prelude::*;

use super::convert::{count, number};
use crate::proto::{FetchId, Payload, Slot, Transmit};
use crate::transport::{FetchToken, Opened, Transport, TransportEvent};

#[wasm_bindgen]
extern "C" {
    /// The facade's side. Any of these may call back into `Core`.
    #[derive(Clone)]
    pub type Host;

    /// The option at that place of the facade's list.
    #[wasm_bindgen(method)]
    pub(super) fn option(this: &Host, index: u8) -> f64;
    /// Gives the value of a slot to the socket; false if that throws.
    #[wasm_bindgen(method)]
    fn transmit(this: &Host, slot: u32) -> bool;
    /// Calls the socket's `close`; code 0 for none. The facade knows the reason.
    #[wasm_bindgen(method)]
    fn close(this: &Host, code: u16, overflow: bool);
    /// Lets go of the socket: takes its listeners off and closes it.
    #[wasm_bindgen(method)]
    fn detach(this: &Host);
    /// Reads a range of a Blob, then calls `Core.fetched`.
    #[wasm_bindgen(method)]
    fn read(this: &Host, id: f64, slot: u32, start: f64, end: f64);
    /// Forgets the value of a slot. `dropped` from 0 on: it was a received message of so many bytes for which
    /// there was no room. A call of its own for that would weigh 50 B of brotli.
    #[wasm_bindgen(method)]
    pub(super) fn release(this: &Host, slot: u32, dropped: f64);
    /// The socket's `bufferedAmount`; 0 where it has none.
    #[wasm_bindgen(method)]
    fn amount(this: &Host) -> f64;
    /// Calls `Core.timer` after that many milliseconds, with 0 in the next task; below 0: never.
    #[wasm_bindgen(method, js_name = setTimer)]
    pub(super) fn set_timer(this: &Host, milliseconds: f64);

    #[wasm_bindgen(method)]
    pub(super) fn opened(this: &Host);
    #[wasm_bindgen(method)]
    pub(super) fn readable(this: &Host);
    #[wasm_bindgen(method)]
    pub(super) fn outcome(this: &Host, ticket: f64, outcome: u8);
    /// Exactly once, the last call of all.
    #[wasm_bindgen(method)]
    #[allow(clippy::too_many_arguments, reason = "numbers cross for less than an object")]
    pub(super) fn ended(
        this: &Host,
        code: u16,
        was_clean: bool,
        cause: u8,
        unsent_messages: f64,
        unsent_bytes: f64,
        unknown_messages: f64,
        unknown_bytes: f64,
    );
}

/// The socket behind the facade. Its events come by calls of `Core`.
pub(super) struct HostTransport {
    pub(super) host: Host,
    /// Whether the socket has no room while something stands in it; else it takes everything at once.
    pub(super) is_paced: bool,
}

impl Transport for HostTransport {
    fn takes_values(&self) -> bool {
        true
    }

    fn takes_all(&self) -> bool {
        true
    }

    fn buffered_amount(&self) -> u64 {
        count(self.host.amount())
    }

    fn has_room(&self) -> bool {
        !self.is_paced || self.buffered_amount() == 0
    }

    fn send(&self, part: Transmit) -> bool {
        match part.payload {
            Payload::Hosted(hosted) => self.host.transmit(hosted.slot.0),
            // The facade queues slots only.
            Payload::Text(_) | Payload::Binary(_) => false,
        }
    }

    fn close(&self, code: Option<u16>, reason: &str) {
        // The session has a reason of its own for an overflow only.
        self.host.close(code.unwrap_or(0), !reason.is_empty());
    }

    fn abort(&self) {
        self.host.detach();
    }

    fn fetch(&self, slot: Slot, range: Range<u64>, token: FetchToken) {
        if let FetchToken::Send(FetchId(id)) = token {
            self.host.read(number(id), slot.0, number(range.start), number(range.end));
        }
    }

    fn release(&self, slot: Slot) {
        self.host.release(slot.0, -1.0);
    }

    fn take_bytes(&self, _: Payload) -> Option<Vec<u8>> {
        None
    }

    fn opened(&self) -> Opened {
        // The facade reads them from the socket.
        Opened::default()
    }

    fn next_event(&self, _: bool) -> Option<TransportEvent> {
        None
    }
}
