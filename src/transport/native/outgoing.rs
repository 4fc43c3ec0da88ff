//! A message that is too long to be written in one go.
//!
//! Not here: when there is room for more of it (the transport), and frames (`proto::ws`).

use crate::proto::payload::Payload;
use crate::proto::ws::{Connection, MessageKind};

/// A message of which the codec gets one fragment at a time, so that pongs and pings go between them
/// (RFC 6455 section 5.4) and only one fragment at a time takes memory once more.
pub(super) struct Outgoing {
    kind: MessageKind,
    bytes: Vec<u8>,
    /// How many of them the codec has. Invariant: `given <= bytes.len()`.
    given: usize,
    /// Whether the message ends with them.
    last: bool,
}

impl Outgoing {
    /// What has to go in parts of at most `fragment_bytes`; otherwise gives the payload back.
    pub(super) fn cut(payload: Payload, last: bool, fragment_bytes: usize) -> Result<Self, Payload> {
        let (kind, bytes) = match payload {
            Payload::Text(text) if text.len() > fragment_bytes => (MessageKind::Text, text.into_bytes()),
            Payload::Binary(bytes) if bytes.len() > fragment_bytes => (MessageKind::Binary, bytes),
            short => return Err(short),
        };
        Ok(Self { kind, bytes, given: 0, last })
    }

    /// How many bytes the codec does not have.
    pub(super) const fn left(&self) -> usize {
        self.bytes.len() - self.given
    }

    /// Gives the codec the next fragment. Returns whether there is another: not after the last one, nor
    /// after the connection has begun to close, behind which RFC 6455 allows none.
    pub(super) fn give(
        &mut self,
        connection: &mut Connection,
        fragment_bytes: usize,
        next_key: impl FnMut() -> [u8; 4],
    ) -> bool {
        let rest = self.bytes.get(self.given..).unwrap_or_default();
        let (part, later) = rest.split_at_checked(fragment_bytes).unwrap_or((rest, &[]));
        let is_end = later.is_empty();
        if connection.send_message(self.kind, part, is_end && self.last, next_key).is_err() {
            return false;
        }
        self.given += part.len();
        !is_end
    }
}
