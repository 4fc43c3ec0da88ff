//! The facade, as the driver sees it: a transport that keeps the values.

use alloc::vec::Vec;
use core::ops::Range;

use wasm_bindgen::prelude::*;

use super::convert::{count, number, place};
use crate::proto::{FetchId, Payload, Reason, Slot, Transmit};
use crate::time::{Clock, Timestamp};
use crate::transport::{FetchToken, Opened, Transport, TransportEvent};

/// A connection of the facade's, by its number there.
pub(super) type Host = i32;

// Functions of numbers, in the module that `wasm.ts` calls `host`: the wasm imports them as they are, without glue
// between. So truths that go out are 0 or 1, and nothing is unsigned.
#[wasm_bindgen(raw_module = "host")]
extern "C" {
    /// The facade's clock, in milliseconds. Never goes back.
    fn now() -> f64;

    // Any of these may call back into `Core`.

    /// Gives the value of a slot to the socket; false if that throws.
    fn transmit(host: Host, slot: i32) -> bool;
    /// Calls the socket's `close`; code 0 for none. The facade knows the reason.
    fn close(host: Host, code: i32);
    /// Lets go of the socket: takes its listeners off and closes it.
    fn detach(host: Host);
    /// Reads a range of a Blob, then calls `Core.fetched`.
    fn read(host: Host, id: f64, slot: i32, start: f64, end: f64);
    /// Forgets the value of a slot.
    fn release(host: Host, slot: i32);
    /// The socket's `bufferedAmount`; 0 where it has none.
    fn amount(host: Host) -> f64;
    /// Calls `Core.timer` after that many milliseconds, with 0 in the next task; below 0: never.
    #[wasm_bindgen(js_name = setTimer)]
    pub(super) fn set_timer(host: Host, milliseconds: i32);

    pub(super) fn opened(host: Host);
    pub(super) fn outcome(host: Host, ticket: f64, outcome: i32);
    /// Exactly once, the last call of all.
    #[allow(clippy::too_many_arguments, reason = "numbers cross for less than an object")]
    pub(super) fn ended(
        host: Host,
        code: i32,
        was_clean: i32,
        cause: i32,
        unsent_messages: f64,
        unsent_bytes: f64,
        unknown_messages: f64,
        unknown_bytes: f64,
    );
}

/// The page's or worker's clock.
pub(super) struct HostClock;

impl Clock for HostClock {
    fn now(&self) -> Timestamp {
        // 2^53 microseconds are 285 years.
        Timestamp::from_micros(count(now() * 1000.0))
    }
}

/// The socket behind the facade. Its events come by calls of `Core`.
pub(super) struct HostTransport {
    pub(super) host: Host,
    /// Whether the socket has no room while something stands in it; else it takes everything at once.
    pub(super) is_paced: bool,
    /// The subprotocol is `tidegate.v1`, as the facade has said.
    #[cfg(feature = "v1")]
    pub(super) is_tidegate: core::cell::Cell<bool>,
    /// A server's, whose facade tells when its socket has written something.
    #[cfg(feature = "v1")]
    pub(super) accepts: core::cell::Cell<bool>,
}

/// So much may wait in a server's socket before a session says more: answers too, which cost the peer little to ask for. The
/// largest message that it sends, so that whoever reads is never kept waiting by one.
#[cfg(feature = "v1")]
const MOST_UNWRITTEN: u64 = 256 << 10;

impl Transport for HostTransport {
    fn takes_values(&self) -> bool {
        true
    }

    fn takes_all(&self) -> bool {
        true
    }

    fn buffered_amount(&self) -> u64 {
        count(amount(self.host))
    }

    fn has_room(&self) -> bool {
        // A browser does not tell when it has written something, and nobody but its own server would fill it.
        #[cfg(feature = "v1")]
        if self.is_tidegate.get() && self.accepts.get() {
            return self.buffered_amount() < MOST_UNWRITTEN;
        }
        !self.is_paced || self.buffered_amount() == 0
    }

    fn send(&self, part: Transmit) -> bool {
        let Payload::Hosted(hosted) = part.payload;
        transmit(self.host, place(hosted.slot))
    }

    fn close(&self, code: Option<u16>, _: Reason) {
        close(self.host, code.unwrap_or(0).into());
    }

    fn abort(&self) {
        detach(self.host);
    }

    fn fetch(&self, slot: Slot, range: Range<u64>, token: FetchToken) {
        let FetchToken::Send(FetchId(id)) = token;
        read(self.host, number(id), place(slot), number(range.start), number(range.end));
    }

    fn release(&self, slot: Slot) {
        release(self.host, place(slot));
    }

    fn take_bytes(&self, _: Payload) -> Option<Vec<u8>> {
        None
    }

    #[cfg(not(feature = "v1"))]
    fn opened(&self) -> Opened {
        // The facade reads them from the socket.
        Opened::default()
    }

    #[cfg(feature = "v1")]
    fn opened(&self) -> Opened {
        let protocol = if self.is_tidegate.get() { crate::driver::tidegate::SUBPROTOCOL } else { "" };
        Opened { protocol: protocol.into(), ..Opened::default() }
    }

    #[cfg(feature = "v1")]
    fn send_records(&self, out: crate::proto::payload::Outgoing) -> bool {
        super::channels::transmit(self.host, &out)
    }

    fn next_event(&self, _: bool) -> Option<TransportEvent> {
        None
    }
}
