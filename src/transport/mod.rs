//! What carries messages: a browser's `WebSocket` or `WebSocketStream`, a byte stream with tidegate's own
//! framing, an in-memory pair.
//!
//! A transport also keeps the values of its host, under the slots of [`Payload`]s.
//!
//! Not here: retries, queues of the application, protocol decisions.

#[cfg(feature = "client")]
mod error;
#[cfg(all(feature = "native", not(all(target_family = "wasm", target_os = "unknown"))))]
pub(crate) mod native;
#[cfg(feature = "sim")]
pub(crate) mod sim;
#[cfg(all(feature = "client", target_family = "wasm", target_os = "unknown"))]
pub(crate) mod web;
#[cfg(all(feature = "client", target_family = "wasm", target_os = "unknown"))]
pub(crate) mod web_socket;
#[cfg(all(feature = "client", target_family = "wasm", target_os = "unknown"))]
pub(crate) mod web_socket_stream;

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

#[cfg(feature = "client")]
pub use self::error::{IoSource, TransportError};
use crate::proto::payload::{FetchId, Payload, Reason, Slot, Transmit};
/// In the npm build nothing is ever known beyond the close event.
#[cfg(not(feature = "client"))]
pub(crate) use core::convert::Infallible as TransportError;

/// What has arrived. In the npm build messages stay with the facade.
#[derive(Debug)]
#[allow(dead_code, reason = "each transport uses its own part of the vocabulary")]
pub(crate) enum Incoming {
    /// A message.
    #[cfg(feature = "client")]
    Message(Payload),
    /// The host gave a value of a type that the WebSocket standard does not know; its name.
    #[cfg(feature = "client")]
    Unsupported(String),
}

impl Incoming {
    pub(crate) fn slot(&self) -> Option<Slot> {
        match *self {
            #[cfg(feature = "client")]
            Self::Message(ref payload) => payload.slot(),
            #[cfg(feature = "client")]
            Self::Unsupported(_) => None,
        }
    }

    /// Size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        match *self {
            #[cfg(feature = "client")]
            Self::Message(ref payload) => payload.bytes(),
            #[cfg(feature = "client")]
            Self::Unsupported(_) => 0,
        }
    }
}

/// Who asked for content of a host value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchToken {
    /// The session, to send it.
    Send(FetchId),
    /// A handle, to read a received Blob; the key of its reply.
    #[cfg(feature = "client")]
    Reply(u32),
}

/// What became known about the connection when it opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The subprotocol that the server chose; empty for none.
    pub(crate) protocol: String,
    /// `Sec-WebSocket-Extensions` of the response; empty for none.
    pub(crate) extensions: String,
}

/// What became of polling a transport.
#[cfg(any(
    all(feature = "native", not(all(target_family = "wasm", target_os = "unknown"))),
    feature = "sim"
))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "each transport uses its own part of the vocabulary")]
pub(crate) enum Moved {
    /// Nothing that the driver should see; the waker is registered.
    Nothing,
    /// There is an event, or room.
    Something,
    /// So much at once that the driver should look, and then others have their turn.
    Much,
}

#[cfg(all(feature = "native", not(all(target_family = "wasm", target_os = "unknown"))))]
impl From<bool> for Moved {
    fn from(something: bool) -> Self {
        if something { Self::Something } else { Self::Nothing }
    }
}

/// What a transport reports.
#[derive(Debug)]
#[allow(dead_code, reason = "each transport uses its own part of the vocabulary")]
pub(crate) enum TransportEvent {
    /// The opening handshake is done.
    Opened,
    /// A message has arrived.
    Message(Incoming),
    /// The answer to [`Transport::fetch`]; `None` if it could not be read.
    Fetched { token: FetchToken, content: Option<Payload> },
    /// Why the connection is about to be reported as closed, where more is known than a code.
    Failed(TransportError),
    /// The peer has closed, or was found to break the protocol: no message is taken any more and
    /// none will come; what waits to be written and the end of the byte stream are still missing.
    /// Browsers do not tell.
    #[cfg(feature = "client")]
    Closing { code: u16, reason: Reason },
    /// The connection is over. The last event.
    Closed { code: u16, reason: Reason, was_clean: bool },
}

/// Carries messages over one connection. All of it is synchronous and may be called back into.
pub(crate) trait Transport {
    /// Whether it sends host values as they are. Otherwise it is given bytes only. The same for
    /// its whole life.
    fn takes_values(&self) -> bool;
    /// Whether it takes everything at once, and only tells afterwards how much of it stands with it. The same
    /// for its whole life.
    fn takes_all(&self) -> bool {
        false
    }
    /// Bytes that it was given and has not sent; 0 where it cannot tell.
    fn buffered_amount(&self) -> u64 {
        0
    }
    /// Whether it takes a message now. When that changes it lets the driver be pumped.
    fn has_room(&self) -> bool;
    /// Takes one message or part. False if it cannot: it is closing or closed, or the host threw.
    fn send(&self, part: Transmit) -> bool;
    /// Takes one binary message, of which parts are kept by the host. False as of [`send`](Self::send).
    #[cfg(all(feature = "v1", feature = "client"))]
    fn send_records(&self, out: crate::proto::payload::Outgoing) -> bool {
        // Whoever keeps values for those who send them puts them in.
        out.inserts.is_empty()
            && self.send(Transmit {
                payload: Payload::Binary(out.bytes),
                text: false,
                first: true,
                last: true,
            })
    }
    /// See above.
    #[cfg(all(feature = "v1", feature = "js"))]
    fn send_records(&self, out: crate::proto::payload::Outgoing) -> bool;
    /// Starts the closing handshake.
    fn close(&self, code: Option<u16>, reason: Reason);
    /// Lets go of the connection at once. No event comes after this, but answers to `fetch` do.
    fn abort(&self);
    /// Reads a range of a host value; the answer is [`TransportEvent::Fetched`].
    fn fetch(&self, slot: Slot, range: Range<u64>, token: FetchToken);
    /// Forgets a host value.
    fn release(&self, slot: Slot);
    /// The bytes of what was fetched; a slot is released.
    fn take_bytes(&self, content: Payload) -> Option<Vec<u8>>;
    /// What became known when the connection opened.
    fn opened(&self) -> Opened;
    /// The next event that has not been taken. Unless `reads`, only one that a reader may wait for: of what
    /// comes by itself nothing more is wanted for now.
    fn next_event(&self, reads: bool) -> Option<TransportEvent>;
}
