//! Frames to messages: fragments are joined, control frames pass between them.
//!
//! Not here: limits and the order of frames, which the decoder has checked by then.

use super::close::CloseFrame;
use super::decoder::Decoder;
use super::deflate::Inflater;
use super::frame::FrameRef;
use super::header::Opcode;
use super::limits::Limits;
use super::message::{Message, MessageKind, Role};
use super::utf8::as_utf8;
use crate::proto::error::ProtocolError;

/// A join buffer above this is given back after its message; below, it serves the next one. Room for 1 MiB and
/// a little to spare.
pub(super) const KEPT_BODY: usize = 9 << 17;

/// A whole message, lent or taken from the [`MessageDecoder`] that found it.
///
/// Good until the next call of [`MessageDecoder::poll`] or [`MessageDecoder::spare`]. A stale one
/// lends other bytes or none, and never panics.
#[derive(Debug, PartialEq, Eq)]
pub struct MessageRef {
    kind: MessageKind,
    /// The only frame of the message, or `None` for a message joined of several.
    frame: Option<FrameRef>,
}

impl MessageRef {
    /// Whether this is a text or a binary message.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        self.kind
    }
}

/// What a peer sent: a whole message, or a control frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A whole message.
    Message(MessageRef),
    /// A ping; its payload is lent by [`MessageDecoder::control_payload`].
    Ping(FrameRef),
    /// A pong; its payload is lent by [`MessageDecoder::control_payload`].
    Pong(FrameRef),
    /// A close frame, with its code and reason if it has any.
    Close(Option<CloseFrame>),
}

/// Bytes to messages under [`Limits`].
///
/// A message of one frame is lent from the frame buffer; fragments are joined, and compressed messages
/// inflated as they arrive, in a second buffer, which never holds more than
/// [`Limits::max_message_bytes`].
///
/// # Specification
///
/// [RFC 6455 §5.4](https://www.rfc-editor.org/rfc/rfc6455#section-5.4),
/// [RFC 7692 §7.2.2](https://www.rfc-editor.org/rfc/rfc7692#section-7.2.2).
#[derive(Debug)]
pub struct MessageDecoder {
    frames: Decoder,
    body: Vec<u8>,
    /// The message in `body` was given out, so that the next poll starts anew.
    body_given: bool,
    inflater: Option<Inflater>,
    /// The message whose frames arrive is compressed.
    compressed: bool,
    /// Bytes of the open frame that are inflated already.
    inflated: usize,
    failed: Option<ProtocolError>,
}

impl MessageDecoder {
    /// A decoder of what an endpoint in the role `receiver` receives.
    #[must_use]
    pub const fn new(receiver: Role, limits: Limits) -> Self {
        let frames = Decoder::new(receiver, limits);
        Self {
            frames,
            body: Vec::new(),
            body_given: false,
            inflater: None,
            compressed: false,
            inflated: 0,
            failed: None,
        }
    }

    /// A decoder that inflates compressed messages, as was agreed on.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn with_deflate(receiver: Role, limits: Limits, agreed: &super::Deflate) -> Self {
        let mut decoder = Self::new(receiver, limits);
        decoder.frames.allow_rsv1();
        decoder.inflater = Some(Inflater::new(receiver, agreed, limits.max_message_bytes));
        decoder
    }

    /// Room for received bytes: see [`Decoder::spare`].
    pub fn spare(&mut self) -> &mut [u8] {
        self.frames.spare()
    }

    /// Gives back its memory: see [`Connection::release_spare`](super::Connection::release_spare).
    #[cfg(all(feature = "native", not(target_family = "wasm")))]
    pub(super) fn release_spare(&mut self, most: usize) {
        self.frames.release(most);
    }

    /// Says that `n` bytes were written into it: see [`Decoder::filled`].
    pub fn filled(&mut self, n: usize) {
        self.frames.filled(n);
    }

    /// Takes a copy of received bytes: see [`Decoder::receive`].
    pub fn receive(&mut self, bytes: &[u8]) {
        self.frames.receive(bytes);
    }

    /// The next message or control frame, or `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// Any [`ProtocolError`]; every later call repeats it.
    pub fn poll(&mut self) -> Result<Option<Incoming>, ProtocolError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.advance();
        if let Err(error) = result {
            self.failed = Some(error);
        }
        result
    }

    /// The payload of `message`; of a text, valid UTF-8.
    #[must_use]
    pub fn bytes(&self, message: &MessageRef) -> &[u8] {
        match &message.frame {
            Some(frame) => self.frames.payload(frame),
            None => &self.body,
        }
    }

    /// The message itself; large payloads are given away with their buffer and not copied.
    #[allow(clippy::needless_pass_by_value, reason = "what was taken cannot be lent again")]
    pub fn take(&mut self, message: MessageRef) -> Message {
        let bytes = match (message.kind, message.frame) {
            // Looked at again, since only so is it a string; that and a copy take less time than the
            // standard library's second look.
            (MessageKind::Text, _) => return Message::Text(text_of(self.bytes(&message))),
            (MessageKind::Binary, Some(frame)) => self.frames.take(&frame),
            // A small message does not take the room of a large one with it.
            _ if self.body.len() < self.body.capacity() / 2 => self.body.clone(),
            _ => core::mem::take(&mut self.body),
        };
        Message::Binary(bytes)
    }

    /// The next message if it is the next frame, has arrived in whole, and is not large. `None` says
    /// nothing: [`poll`](Self::poll) then tells.
    #[inline]
    pub(super) fn take_whole(&mut self) -> Option<Message> {
        if self.failed.is_some() {
            return None;
        }
        self.frames.take_whole()
    }

    /// The payload of a ping or pong.
    #[must_use]
    pub fn control_payload(&self, frame: &FrameRef) -> &[u8] {
        self.frames.payload(frame)
    }

    /// Bytes that both buffers take in memory.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.frames.capacity() + self.body.capacity()
    }

    /// Allows another [`Limits::max_control_frames`] control frames from now on.
    pub const fn renew_control_allowance(&mut self) {
        self.frames.renew_control_allowance();
    }

    /// Drops what was received and not yet given out.
    pub fn discard(&mut self) {
        self.frames.discard();
        self.inflated = 0;
    }

    fn advance(&mut self) -> Result<Option<Incoming>, ProtocolError> {
        if self.body_given {
            self.body_given = false;
            self.body.clear();
            if self.body.capacity() > KEPT_BODY {
                self.body = Vec::new();
            }
        }
        loop {
            // Before the frame, because its last fragment closes the message.
            let open = self.frames.open_message();
            let Some(frame) = self.frames.poll_frame()? else {
                self.inflate_arrived()?;
                return Ok(None);
            };
            let kind = match (frame.opcode(), open) {
                (Opcode::Ping, _) => return Ok(Some(Incoming::Ping(frame))),
                (Opcode::Pong, _) => return Ok(Some(Incoming::Pong(frame))),
                (Opcode::Close, _) => {
                    let close = CloseFrame::decode(self.frames.payload(&frame))?;
                    return Ok(Some(Incoming::Close(close)));
                }
                (Opcode::Text, _) => MessageKind::Text,
                (Opcode::Binary, _) => MessageKind::Binary,
                (Opcode::Continuation, Some(kind)) => kind,
                // The decoder refuses it first.
                (Opcode::Continuation, None) => return Err(ProtocolError::UnexpectedContinuation),
            };
            if frame.opcode() != Opcode::Continuation {
                self.compressed = frame.has_rsv1();
            }
            if self.compressed {
                self.inflate(kind, &frame)?;
            } else if frame.is_final() && frame.opcode() != Opcode::Continuation {
                return Ok(Some(Incoming::Message(MessageRef { kind, frame: Some(frame) })));
            } else if frame.len() > self.body.capacity() && self.body.is_empty() {
                // A large first fragment brings its own buffer.
                self.body = self.frames.take(&frame);
            } else {
                self.body.extend_from_slice(self.frames.payload(&frame));
            }
            if frame.is_final() {
                self.body_given = true;
                return Ok(Some(Incoming::Message(MessageRef { kind, frame: None })));
            }
        }
    }

    /// Inflates what is new of a complete frame.
    fn inflate(&mut self, kind: MessageKind, frame: &FrameRef) -> Result<(), ProtocolError> {
        let fresh = self.frames.payload(frame).get(self.inflated..).unwrap_or_default();
        self.inflated = 0;
        match &mut self.inflater {
            Some(inflater) => inflater.inflate(kind, fresh, frame.is_final(), &mut self.body),
            // RSV1 was refused then.
            None => Ok(()),
        }
    }

    /// Inflates what is new of an incomplete frame, so that a fault or an excess shows at its first byte.
    fn inflate_arrived(&mut self) -> Result<(), ProtocolError> {
        let Some(inflater) = &mut self.inflater else { return Ok(()) };
        let Some((kind, arrived)) = self.frames.arrived_compressed() else { return Ok(()) };
        let fresh = arrived.get(self.inflated..).unwrap_or_default();
        self.inflated = arrived.len();
        inflater.inflate(kind, fresh, false, &mut self.body)
    }
}

/// A text that was checked as it arrived; only a stale reference can be anything but UTF-8 here.
fn text_of(bytes: &[u8]) -> String {
    as_utf8(bytes).map_or_else(|| String::from_utf8_lossy(bytes).into_owned(), str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;
