//! Messages as the application sees them.

use core::fmt;
use core::ops::Range;
use std::borrow::Cow;
use std::sync::Arc;

use futures_channel::oneshot;

use super::error::{BlobError, ReceiveError, SendError};
use crate::driver::{Command, Hub};
use crate::proto::{Hosted, HostedKind, Payload, Slot};
use crate::transport::Incoming;

/// One message, sent or received.
///
/// `&str`, `String`, `&[u8]`, `Vec<u8>` and arrays of bytes convert into it, and what owns or shares them by `Box`, `Arc` or `Cow`. Its `Debug` shows the first 64 characters
/// or bytes, and the size if there are more.
#[derive(PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// A text message (opcode 1).
    Text(String),
    /// A binary message (opcode 2), in memory.
    Binary(Vec<u8>),
    /// A binary message that the browser keeps; comes with
    /// [`BinaryType::Blob`](super::BinaryType::Blob) only.
    Blob(Blob),
    /// Something arrived that cannot be given as any of these. Never sent; the connection goes on.
    Error(ReceiveError),
}

impl Message {
    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Binary(bytes) => bytes.len() as u64,
            Self::Blob(blob) => blob.size(),
            Self::Error(_) => 0,
        }
    }

    /// The text, if this is a text message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes, if this is a binary message in memory.
    #[must_use]
    pub fn as_binary(&self) -> Option<&[u8]> {
        match self {
            Self::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The text, owned, if this is a text message; otherwise the message back.
    ///
    /// # Errors
    ///
    /// The message, which is none.
    pub fn into_text(self) -> Result<String, Self> {
        match self {
            Self::Text(text) => Ok(text),
            other => Err(other),
        }
    }

    /// The bytes, owned, if this is a binary message in memory; otherwise the message back.
    ///
    /// # Errors
    ///
    /// The message, which is none.
    pub fn into_binary(self) -> Result<Vec<u8>, Self> {
        match self {
            Self::Binary(bytes) => Ok(bytes),
            other => Err(other),
        }
    }

    /// A message that has arrived; a value of the host is then held by it.
    pub(crate) fn from_incoming(incoming: Incoming, hub: &Arc<Hub>) -> Self {
        match incoming {
            Incoming::Message(Payload::Text(text)) => Self::Text(text),
            Incoming::Message(Payload::Binary(bytes)) => Self::Binary(bytes),
            Incoming::Message(Payload::Hosted(hosted)) => {
                Self::Blob(Blob::new(hub.clone(), hosted.slot, hosted.bytes))
            }
            Incoming::Unsupported(name) => Self::Error(ReceiveError::UnsupportedData { name }),
        }
    }

    /// The payload for the queue of `hub`. A Blob's slot then belongs to the payload.
    pub(crate) fn into_payload(self, hub: &Arc<Hub>) -> Result<Payload, SendError> {
        match self {
            Self::Text(text) => Ok(Payload::Text(text)),
            Self::Binary(bytes) => Ok(Payload::Binary(bytes)),
            Self::Blob(blob) if Arc::ptr_eq(&blob.hub, hub) => {
                let hosted = Hosted { slot: blob.slot, kind: HostedKind::Blob, bytes: blob.bytes };
                blob.forget();
                Ok(Payload::Hosted(hosted))
            }
            Self::Blob(_) => Err(SendError::ForeignBlob(self)),
            Self::Error(_) => Err(SendError::Unsupported(self)),
        }
    }

    /// The message of a payload that was not taken.
    pub(crate) fn from_payload(payload: Payload, hub: &Arc<Hub>) -> Self {
        match payload {
            Payload::Text(text) => Self::Text(text),
            Payload::Binary(bytes) => Self::Binary(bytes),
            Payload::Hosted(Hosted { slot, bytes, .. }) => {
                hub.hold_value();
                Self::Blob(Blob::new(hub.clone(), slot, bytes))
            }
        }
    }
}

/// As much of a message as `Debug` shows, in characters or bytes.
const SHOWN: usize = 64;

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => match text.char_indices().nth(SHOWN).and_then(|(at, _)| text.get(..at)) {
                Some(start) => write!(f, "Text({start:?}… {} bytes)", text.len()),
                None => f.debug_tuple("Text").field(text).finish(),
            },
            Self::Binary(bytes) => match bytes.get(..SHOWN) {
                Some(start) if start.len() < bytes.len() => {
                    write!(f, "Binary({start:?}… {} bytes)", bytes.len())
                }
                _ => write!(f, "Binary({bytes:?})"),
            },
            Self::Blob(blob) => f.debug_tuple("Blob").field(blob).finish(),
            Self::Error(error) => f.debug_tuple("Error").field(error).finish(),
        }
    }
}

/// Kind and size of a message, as the `Debug` of errors shows it: what was refused may be large, and is nothing
/// for a log.
pub(super) struct Outline<'a>(pub(super) &'a Message);

impl fmt::Debug for Outline<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.0 {
            Message::Text(_) => "Text",
            Message::Binary(_) => "Binary",
            Message::Blob(_) => "Blob",
            Message::Error(error) => return f.debug_tuple("Error").field(error).finish(),
        };
        write!(f, "{kind}({} bytes)", self.0.size())
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(bytes.into())
    }
}

impl<const N: usize> From<&[u8; N]> for Message {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Binary(bytes.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Message {
    fn from(bytes: [u8; N]) -> Self {
        Self::Binary(bytes.to_vec())
    }
}

impl From<&String> for Message {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<Box<str>> for Message {
    fn from(text: Box<str>) -> Self {
        Self::Text(text.into())
    }
}

impl From<Arc<str>> for Message {
    fn from(text: Arc<str>) -> Self {
        Self::Text((*text).to_owned())
    }
}

impl From<Cow<'_, str>> for Message {
    fn from(text: Cow<'_, str>) -> Self {
        Self::Text(text.into_owned())
    }
}

impl From<&Vec<u8>> for Message {
    fn from(bytes: &Vec<u8>) -> Self {
        Self::Binary(bytes.clone())
    }
}

impl From<Box<[u8]>> for Message {
    fn from(bytes: Box<[u8]>) -> Self {
        Self::Binary(bytes.into())
    }
}

impl From<Arc<[u8]>> for Message {
    fn from(bytes: Arc<[u8]>) -> Self {
        Self::Binary(bytes.to_vec())
    }
}

impl From<Cow<'_, [u8]>> for Message {
    fn from(bytes: Cow<'_, [u8]>) -> Self {
        Self::Binary(bytes.into_owned())
    }
}

impl From<Blob> for Message {
    fn from(blob: Blob) -> Self {
        Self::Blob(blob)
    }
}

/// A received message whose content the browser keeps, perhaps on disk.
///
/// It can be read, in whole or in part, also after the connection has closed; sent back on the
/// connection it came from; or dropped, which releases it.
pub struct Blob {
    hub: Arc<Hub>,
    slot: Slot,
    bytes: u64,
    /// Whether the slot is released on drop; not once the queue owns it.
    holds: bool,
}

impl Blob {
    fn new(hub: Arc<Hub>, slot: Slot, bytes: u64) -> Self {
        Self { hub, slot, bytes, holds: true }
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.bytes
    }

    /// All of its content, copied into memory.
    ///
    /// # Errors
    ///
    /// [`BlobError`], as for [`read`](Self::read).
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn bytes(&self) -> Result<Vec<u8>, BlobError> {
        self.read(0..self.bytes).await
    }

    /// The bytes of `range`, copied into memory; what lies beyond the end is left out.
    ///
    /// # Errors
    ///
    /// [`BlobError::Unreadable`] if the browser cannot give the content (its file has gone, or
    /// there is no memory for it); [`BlobError::Gone`] if the thread that received it has ended.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again.
    pub async fn read(&self, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
        let range = range.start.min(self.bytes)..range.end.min(self.bytes);
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        self.hub.command(Command::Read { slot: self.slot, range, reply });
        match answer.await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(BlobError::Unreadable),
            Err(oneshot::Canceled) => Err(BlobError::Gone),
        }
    }

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    pub(crate) fn place(&self) -> (&Arc<Hub>, Slot) {
        (&self.hub, self.slot)
    }

    /// Leaves the slot to the queue.
    fn forget(mut self) {
        self.hub.adopt_value();
        self.holds = false;
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        if self.holds {
            self.hub.remove_value(self.slot);
        }
    }
}

impl PartialEq for Blob {
    /// Whether it is the same value; contents are not compared.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.hub, &other.hub) && self.slot == other.slot
    }
}

impl Eq for Blob {}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blob").field("size", &self.bytes).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_start_of_a_message_and_its_size() {
        let show = |message: Message| format!("{message:?}");
        assert_eq!(show("a \"b\"".into()), r#"Text("a \"b\"")"#);
        assert_eq!(show(b"\x01\xff".into()), "Binary([1, 255])");
        assert_eq!(show("€".repeat(64).into()), format!("Text(\"{}\")", "€".repeat(64)));
        assert_eq!(show("€".repeat(65).into()), format!("Text(\"{}\"… 195 bytes)", "€".repeat(64)));
        let bytes = |count| format!("[{}]", vec!["7"; count].join(", "));
        assert_eq!(show([7; 64].into()), format!("Binary({})", bytes(64)));
        assert_eq!(show([7; 65].into()), format!("Binary({}… 65 bytes)", bytes(64)));
    }

    #[test]
    fn debug_of_what_was_refused_shows_kind_and_size_alone() {
        let secret = || Message::from("secret".repeat(10_000));
        let kinds = [
            (SendError::Full(secret()), "Full(Text(60000 bytes))"),
            (SendError::Closed(Message::from(vec![1; 65_536])), "Closed(Binary(65536 bytes))"),
            (
                SendError::Unsupported(Message::Error(ReceiveError::UnsupportedData { name: "x".into() })),
                "Unsupported(Error(UnsupportedData { name: \"x\" }))",
            ),
        ];
        for (error, shown) in kinds {
            assert_eq!(format!("{error:?}"), shown);
        }
        assert_eq!(SendError::Full(secret()).into_message(), secret());
    }
}
