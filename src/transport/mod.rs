//! What carries messages: a browser's `WebSocket`, a byte stream with tidegate's own framing, an
//! in-memory pair.
//!
//! Not here: retries, queues of the application, protocol decisions.

#[cfg(all(feature = "native", not(all(target_family = "wasm", target_os = "unknown"))))]
pub(crate) mod native;
#[cfg(feature = "sim")]
pub(crate) mod sim;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) mod web_socket;

use core::ops::Range;

use crate::proto::{FetchId, HostedKind};

/// What a transport can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// It sends host values as they are. Otherwise it is given bytes only.
    pub(crate) takes_values: bool,
}

/// The content of a message, as a transport gives or takes it.
#[derive(Debug)]
#[allow(dead_code, reason = "each transport uses its own part of the vocabulary")]
pub(crate) enum Content<V> {
    /// Text, owned.
    Text(String),
    /// Bytes, owned. In a later part of a text message these are UTF-8 as well.
    Binary(Vec<u8>),
    /// A host value of `bytes` bytes.
    Value { value: V, kind: HostedKind, bytes: u64 },
    /// The host gave a value of a type that the WebSocket standard does not know; its name.
    Unsupported(String),
}

impl<V> Content<V> {
    /// Size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Binary(bytes) => bytes.len() as u64,
            Self::Value { bytes, .. } => *bytes,
            Self::Unsupported(_) => 0,
        }
    }
}

/// A message, or a part of one, to be sent.
#[derive(Debug)]
#[allow(dead_code, reason = "each transport uses its own part of the vocabulary")]
pub(crate) struct Outgoing<V> {
    /// The content of this part.
    pub(crate) content: Content<V>,
    /// Whether the message is text.
    pub(crate) text: bool,
    /// Whether this part begins the message. Always, if `takes_values`.
    pub(crate) first: bool,
    /// Whether this part ends the message. Always, if `takes_values`.
    pub(crate) last: bool,
}

/// Who asked for content of a host value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchToken {
    /// The session, to send it.
    Send(FetchId),
    /// A handle, to read a received Blob; the key of its reply.
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

/// What a transport reports.
#[derive(Debug)]
#[allow(dead_code, reason = "each transport uses its own part of the vocabulary")]
pub(crate) enum TransportEvent<V> {
    /// The opening handshake is done.
    Opened(Opened),
    /// A message has arrived.
    Message(Content<V>),
    /// The answer to [`Transport::fetch`]; `None` if it could not be read.
    Fetched { token: FetchToken, content: Option<Content<V>> },
    /// Why the connection is about to be reported as closed, where more is known than a code.
    Failed(TransportError),
    /// The connection is over. The last event.
    Closed { code: u16, reason: String, was_clean: bool },
}

/// The environment's fault: what a transport knows about a connection that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransportError {
    /// No connection to the server: the name is unknown, the port refuses, the network is away.
    Connect {
        /// The operating system's words.
        message: String,
    },
    /// The server answered the opening handshake, but not by accepting it.
    Handshake {
        /// HTTP status, if there was a complete answer.
        status: Option<u16>,
        /// What was wrong with it.
        message: String,
    },
    /// The peer broke RFC 6455 in an open connection.
    Protocol {
        /// The rule it broke.
        message: String,
    },
    /// Reading or writing failed, or the peer vanished without a close frame.
    Io {
        /// The operating system's words.
        message: String,
    },
}

impl core::fmt::Display for TransportError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (what, message) = match self {
            Self::Connect { message } => ("could not connect: ", message),
            Self::Handshake { message, .. } => ("opening handshake failed: ", message),
            Self::Protocol { message } => ("the peer broke the protocol: ", message),
            Self::Io { message } => ("the connection broke: ", message),
        };
        f.write_str(what)?;
        f.write_str(message)
    }
}

impl core::error::Error for TransportError {}

/// The transport refused a message; it is closing or closed, or the host threw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// Carries messages over one connection. All of it is synchronous and may be called back into.
pub(crate) trait Transport {
    /// What the host keeps behind a slot.
    type Value: Clone;

    /// What it can do; the same for its whole life.
    fn capabilities(&self) -> Capabilities;
    /// Whether it takes a message now. When that changes it lets the driver be pumped.
    fn has_room(&self) -> bool;
    /// Takes one message or part.
    fn send(&self, outgoing: Outgoing<Self::Value>) -> Result<(), Refused>;
    /// Starts the closing handshake.
    fn close(&self, code: Option<u16>, reason: &str);
    /// Lets go of the connection at once. No event comes after this, but answers to `fetch` do.
    fn abort(&self);
    /// Reads a range of a value; the answer is [`TransportEvent::Fetched`].
    fn fetch(&self, value: &Self::Value, range: Range<u64>, token: FetchToken);
    /// The next event that has not been taken.
    fn next_event(&self) -> Option<TransportEvent<Self::Value>>;
    /// The bytes of a value that is at hand.
    fn copy(value: &Self::Value) -> Option<Vec<u8>>;
}
