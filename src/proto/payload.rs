//! What messages and close frames carry, as far as the core has to know it.
//!
//! Not here: content of values that the host keeps, and how the host reads them.

#[cfg(not(feature = "js"))]
use alloc::string::String;
#[cfg(any(not(feature = "js"), feature = "v1"))]
use alloc::vec::Vec;
#[cfg(feature = "v1")]
use core::ops::Range;

/// A place in the driver's table of host values (JavaScript values in a browser).
///
/// The core passes slots around and never looks behind one. Whoever holds a slot is the only
/// one to hold it; [`Output::Release`](crate::proto::Output::Release) gives it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot(pub(crate) u32);

/// What kind of value stands behind a [`Slot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostedKind {
    /// A string: goes out as a text message.
    Text,
    /// Bytes in the host's memory that can be read at once (an `ArrayBuffer` or a view).
    Buffer,
    /// Bytes that can only be read asynchronously and may have vanished (a `Blob` or `File`).
    Blob,
}

/// A value that the host keeps, known to the core by slot, kind and size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hosted {
    /// Where the driver keeps the value.
    pub slot: Slot,
    /// Text, bytes at hand, or bytes that have to be read.
    pub kind: HostedKind,
    /// Size in bytes; of the UTF-8 form for text.
    pub bytes: u64,
}

/// The payload of one message: owned bytes, or a [`Slot`] for what the host keeps.
///
/// Values from JavaScript stay in JavaScript: they pass through the queue as slots, so that a
/// Blob of 2 GB costs the wasm memory nothing. In the npm build all values do, so that it goes without the others
/// (410 B of brotli).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A text message, owned.
    #[cfg(not(feature = "js"))]
    Text(String),
    /// A binary message, owned.
    #[cfg(not(feature = "js"))]
    Binary(Vec<u8>),
    /// A value of the host.
    Hosted(Hosted),
}

impl Payload {
    /// Size in bytes (UTF-8 for text). 64 bits, since a Blob may be larger than a 32-bit `usize`.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        match self {
            #[cfg(not(feature = "js"))]
            Self::Text(text) => text.len() as u64,
            #[cfg(not(feature = "js"))]
            Self::Binary(bytes) => bytes.len() as u64,
            Self::Hosted(hosted) => hosted.bytes,
        }
    }

    /// Whether it goes out as a text message.
    #[must_use]
    pub fn is_text(&self) -> bool {
        match self {
            #[cfg(not(feature = "js"))]
            Self::Text(_) => true,
            #[cfg(not(feature = "js"))]
            Self::Binary(_) => false,
            Self::Hosted(hosted) => hosted.kind == HostedKind::Text,
        }
    }

    /// The value of the host, if it is one.
    #[must_use]
    pub fn hosted(&self) -> Option<Hosted> {
        match self {
            Self::Hosted(hosted) => Some(*hosted),
            #[cfg(not(feature = "js"))]
            Self::Text(_) | Self::Binary(_) => None,
        }
    }

    /// Its slot.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        match self {
            Self::Hosted(hosted) => Some(hosted.slot),
            #[cfg(not(feature = "js"))]
            Self::Text(_) | Self::Binary(_) => None,
        }
    }
}

/// Names one [`Output::Fetch`](crate::proto::Output::Fetch), so that an answer that comes too late is known as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FetchId(pub(crate) u64);

/// One message, or one part of one, for the transport.
#[derive(Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The content.
    pub payload: Payload,
    /// Whether the message (of which this may be a later part) is text.
    pub text: bool,
    /// Whether it begins a message.
    pub first: bool,
    /// Whether it ends it.
    pub last: bool,
}

/// A close reason.
#[cfg(not(feature = "js"))]
pub type Reason = String;

/// A close reason, which the facade of the npm build keeps for itself (600 B of brotli).
#[cfg(feature = "js")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reason(());

#[cfg(feature = "js")]
impl From<&str> for Reason {
    fn from(_: &str) -> Self {
        Self(())
    }
}

/// One WebSocket message of `tidegate.v1` to send: `bytes`, into which the host puts what it keeps.
#[cfg(feature = "v1")]
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    /// All that the core has.
    pub bytes: Vec<u8>,
    /// What goes in between, by its place in `bytes`, in order.
    pub inserts: Vec<Insert>,
}

/// A part of a message that the host keeps.
#[cfg(feature = "v1")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Insert {
    /// Before which of [`Outgoing::bytes`] it goes.
    pub at: usize,
    /// Where the host keeps it.
    pub slot: Slot,
    /// Which bytes of it.
    pub range: Range<u64>,
}

#[cfg(feature = "v1")]
impl Outgoing {
    /// Its size, with what the host puts in.
    #[must_use]
    pub fn len(&self) -> u64 {
        let inserted: u64 = self.inserts.iter().map(|insert| insert.range.end - insert.range.start).sum();
        self.bytes.len() as u64 + inserted
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.inserts.is_empty()
    }
}
