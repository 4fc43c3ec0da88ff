//! Messages to frames to bytes: header only, copied and masked, or masked in place.
//!
//! Not here: whether the connection may still send, and what waits to be written.

use core::fmt;
use core::num::NonZeroUsize;

use super::close::CloseFrame;
use super::deflate::Deflater;
use super::header::{FIN, FrameHeader, HEADER_WORDS, MAX_CONTROL_BYTES, Opcode, header_number};
use super::mask::{append_masked_frame, mask};
use super::message::{MessageKind, Role};
use super::utf8::Utf8Validator;

/// Why something was not queued; nothing of it was, and the connection is as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// A close frame was queued or received, the connection failed, or its transport ended.
    Closing,
    /// As much as [`Limits::max_output_bytes`](super::Limits::max_output_bytes) waits to be
    /// written; try again after [`Connection::consume`](super::Connection::consume).
    OutputFull {
        /// Bytes that wait.
        pending: usize,
    },
    /// The parts of a text message so far cannot be UTF-8, or its last part ends inside a
    /// character. The part may be sent again, corrected.
    InvalidUtf8,
    /// A message of which only parts were sent must be finished first, and a compressed one as it was
    /// begun.
    UnfinishedMessage {
        /// The kind of that message.
        open: MessageKind,
    },
    /// A ping or pong holds at most 125 bytes.
    ControlTooLong {
        /// The length in bytes.
        len: usize,
    },
    /// The body of a close frame is none, which a peer would have to refuse.
    InvalidClose,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closing => f.write_str("connection is closing or closed"),
            Self::OutputFull { pending } => {
                write!(f, "output is full, {pending} bytes wait to be written")
            }
            Self::InvalidUtf8 => f.write_str("text is not valid utf-8"),
            Self::UnfinishedMessage { .. } => f.write_str("another message is unfinished"),
            Self::InvalidClose => f.write_str("body of the close frame is invalid"),
            Self::ControlTooLong { len } => {
                write!(f, "control frame of {len} bytes, at most {MAX_CONTROL_BYTES} may be sent")
            }
        }
    }
}

impl core::error::Error for SendError {}

/// A control frame that carries plain bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The closing handshake; the body is a [`CloseFrame`](super::CloseFrame) or empty.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping, or is sent unasked.
    Pong,
}

/// Turns messages, whole or in parts, into frames.
///
/// Masking keys are an argument, `next_key`: it is called once for each frame that a client sends
/// and never for a server. In anything but a test it must draw from a cryptographic generator,
/// so that nobody who chooses a payload can choose what stands on the wire.
///
/// # Specification
///
/// [RFC 6455 §5.4](https://www.rfc-editor.org/rfc/rfc6455#section-5.4),
/// [§10.3](https://www.rfc-editor.org/rfc/rfc6455#section-10.3).
///
/// # Examples
///
/// ```
/// use tidegate::proto::ws::{Encoder, MessageKind, Role, no_key};
///
/// let mut encoder = Encoder::new(Role::Server);
/// let mut out = Vec::new();
/// encoder.message(MessageKind::Binary, b"Hel", false, no_key, &mut out)?;
/// encoder.message(MessageKind::Binary, b"lo", true, no_key, &mut out)?;
/// assert_eq!(out, b"\x02\x03Hel\x80\x02lo");
/// # Ok::<(), tidegate::proto::ws::SendError>(())
/// ```
#[derive(Debug)]
pub struct Encoder {
    role: Role,
    fragment_bytes: Option<NonZeroUsize>,
    open: Option<OpenMessage>,
    utf8: Utf8Validator,
    deflater: Option<Deflater>,
}

/// A message of which a part was taken, but not the last.
#[derive(Clone, Copy, Debug)]
struct OpenMessage {
    kind: MessageKind,
    /// Its first frame is made. Of a compressed message that may be later than its first part.
    started: bool,
    compressed: bool,
}

/// The `next_key` of a server, which never asks for one.
#[must_use]
pub const fn no_key() -> [u8; 4] {
    [0; 4]
}

impl Encoder {
    /// An encoder for what an endpoint in the role `role` sends.
    #[must_use]
    pub const fn new(role: Role) -> Self {
        Self { role, fragment_bytes: None, open: None, utf8: Utf8Validator::new(), deflater: None }
    }

    /// An encoder that compresses messages as was agreed on.
    ///
    /// [`message`](Self::message) and [`text`](Self::text) compress what is not too short for it, and
    /// every message in parts; [`header`](Self::header) and [`in_place`](Self::in_place) never do.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn with_deflate(role: Role, agreed: &super::Deflate) -> Self {
        Self { deflater: Deflater::new(role, agreed), ..Self::new(role) }
    }

    /// Whether the messages begun from now on are compressed, if that was agreed on; `true` at first.
    ///
    /// For payloads that are compressed already, and for secrets beside what a stranger chooses: the
    /// length of such a message tells of both.
    #[cfg(feature = "deflate")]
    pub const fn set_deflates(&mut self, deflates: bool) {
        if let Some(deflater) = &mut self.deflater {
            deflater.set_enabled(deflates);
        }
    }

    /// Splits messages into frames of at most this many payload bytes; `None`, the default, makes
    /// each part one frame.
    pub const fn set_fragment_bytes(&mut self, bytes: Option<NonZeroUsize>) {
        self.fragment_bytes = bytes;
    }

    /// The message of which parts were sent but not yet the last.
    #[must_use]
    pub const fn open_message(&self) -> Option<MessageKind> {
        match self.open {
            Some(open) => Some(open.kind),
            None => None,
        }
    }

    /// The header of the next frame, for a caller that writes the payload itself.
    ///
    /// A client masks those `len` bytes with the key in [`FrameHeader::mask`], by [`mask()`](super::mask()), and draws a new header for the
    /// next ones. The payload is not seen: that a text is UTF-8 is the caller's word.
    ///
    /// # Errors
    ///
    /// [`SendError::UnfinishedMessage`] if parts of a message of the other kind were sent, or of a
    /// compressed one.
    pub fn header(
        &mut self,
        kind: MessageKind,
        len: u64,
        fin: bool,
        mut next_key: impl FnMut() -> [u8; 4],
    ) -> Result<FrameHeader, SendError> {
        self.check_uncompressed()?;
        self.check_kind(kind)?;
        Ok(self.next_header(kind, len, fin, &mut next_key))
    }

    /// Masks a part where it lies and returns its header; header and part are then the frame.
    ///
    /// One frame, whatever its size.
    ///
    /// # Errors
    ///
    /// [`SendError::UnfinishedMessage`], [`SendError::InvalidUtf8`]; the part is unchanged then.
    pub fn in_place(
        &mut self,
        kind: MessageKind,
        part: &mut [u8],
        fin: bool,
        mut next_key: impl FnMut() -> [u8; 4],
    ) -> Result<FrameHeader, SendError> {
        if let (None, true, MessageKind::Binary) = (&self.open, fin, kind) {
            // The shortest way, for what most messages are.
            let key = self.key(&mut next_key);
            if let Some(key) = key {
                mask(part, key, 0);
            }
            let len = part.len() as u64;
            return Ok(FrameHeader { fin, rsv1: false, opcode: Opcode::Binary, mask: key, len });
        }
        self.check_uncompressed()?;
        self.check(kind, part, fin)?;
        let header = self.next_header(kind, part.len() as u64, fin, &mut next_key);
        if let Some(key) = header.mask {
            mask(part, key, 0);
        }
        Ok(header)
    }

    /// Appends a part of a message to `out`, as one frame or more; `fin` ends the message.
    ///
    /// An empty part that does not end the message adds nothing. The parts of a text may be cut
    /// inside a character.
    ///
    /// # Errors
    ///
    /// [`SendError::UnfinishedMessage`], [`SendError::InvalidUtf8`]; `out` is unchanged then.
    #[inline]
    pub fn message(
        &mut self,
        kind: MessageKind,
        part: &[u8],
        fin: bool,
        next_key: impl FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        self.check(kind, part, fin)?;
        self.write(kind, part, fin, next_key, out);
        Ok(())
    }

    /// Appends a whole text message to `out`, which needs no check.
    ///
    /// # Errors
    ///
    /// [`SendError::UnfinishedMessage`] if parts of another message were sent.
    pub fn text(
        &mut self,
        text: &str,
        next_key: impl FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        if let Some(open) = self.open_message() {
            return Err(SendError::UnfinishedMessage { open });
        }
        self.write(MessageKind::Text, text.as_bytes(), true, next_key, out);
        Ok(())
    }

    /// Appends a control frame to `out`, at any time, also between the parts of a message.
    ///
    /// # Errors
    ///
    /// [`SendError::ControlTooLong`] above 125 bytes; [`SendError::InvalidClose`] for a body that no
    /// [`CloseFrame`] has.
    pub fn control(
        &self,
        control: Control,
        payload: &[u8],
        mut next_key: impl FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) -> Result<(), SendError> {
        if payload.len() > MAX_CONTROL_BYTES {
            return Err(SendError::ControlTooLong { len: payload.len() });
        }
        if control == Control::Close && CloseFrame::decode(payload).is_err() {
            return Err(SendError::InvalidClose);
        }
        let opcode = match control {
            Control::Close => Opcode::Close,
            Control::Ping => Opcode::Ping,
            Control::Pong => Opcode::Pong,
        };
        let key = self.key(&mut next_key);
        append(FIN | opcode.bits(), key, payload, out);
        Ok(())
    }

    /// Appends a close frame to `out`; `None` has no code, which the peer sees as 1005. Nothing may follow
    /// it, which is for the caller to keep.
    ///
    /// # Specification
    ///
    /// [RFC 6455 §5.5.1](https://www.rfc-editor.org/rfc/rfc6455#section-5.5.1).
    pub fn close(&self, close: Option<&CloseFrame>, next_key: impl FnMut() -> [u8; 4], out: &mut Vec<u8>) {
        let mut body = Vec::new();
        if let Some(close) = close {
            close.encode(&mut body);
        }
        // What a `CloseFrame` holds has at most 125 bytes and is valid.
        let _ = self.control(Control::Close, &body, next_key, out);
    }

    #[inline]
    const fn check_kind(&self, kind: MessageKind) -> Result<(), SendError> {
        match (self.open_message(), kind) {
            (Some(open @ MessageKind::Text), MessageKind::Binary)
            | (Some(open @ MessageKind::Binary), MessageKind::Text) => {
                Err(SendError::UnfinishedMessage { open })
            }
            _ => Ok(()),
        }
    }

    /// Bytes that are not seen cannot continue a compressed message.
    const fn check_uncompressed(&self) -> Result<(), SendError> {
        match self.open {
            Some(OpenMessage { kind: open, compressed: true, .. }) => {
                Err(SendError::UnfinishedMessage { open })
            }
            _ => Ok(()),
        }
    }

    /// RFC 6455 §8.1 binds the sender too: a text that a peer must refuse is not sent.
    #[inline]
    fn check(&mut self, kind: MessageKind, part: &[u8], fin: bool) -> Result<(), SendError> {
        self.check_kind(kind)?;
        if kind == MessageKind::Text {
            // On a copy, so that a refused part leaves the message as it was.
            let mut utf8 = self.utf8;
            utf8.push(part).map_err(|_| SendError::InvalidUtf8)?;
            if fin {
                utf8.finish().map_err(|_| SendError::InvalidUtf8)?;
            }
            self.utf8 = utf8;
        }
        Ok(())
    }

    #[inline]
    fn write(
        &mut self,
        kind: MessageKind,
        part: &[u8],
        fin: bool,
        mut next_key: impl FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) {
        // The shortest way, for what most messages are.
        if let (None, None, true) = (&self.open, &self.deflater, fin)
            && self.fragment_bytes.is_none_or(|most| part.len() <= most.get())
        {
            return append(FIN | kind.opcode().bits(), self.key(&mut next_key), part, out);
        }
        self.write_in_full(kind, part, fin, &mut next_key, out);
    }

    /// Once for all generators of keys, so that the shortest way has room for its own.
    #[inline(never)]
    fn write_in_full(
        &mut self,
        kind: MessageKind,
        part: &[u8],
        fin: bool,
        next_key: &mut dyn FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) {
        let compressed = match (&self.open, &self.deflater) {
            (Some(open), _) => open.compressed,
            (None, Some(deflater)) => deflater.wants(part.len(), fin),
            (None, None) => false,
        };
        if compressed {
            self.write_compressed(kind, part, fin, next_key, out);
        } else {
            self.write_frames(kind, part, fin, next_key, out);
        }
    }

    fn write_compressed(
        &mut self,
        kind: MessageKind,
        part: &[u8],
        fin: bool,
        next_key: &mut dyn FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) {
        if part.is_empty() && !fin {
            return;
        }
        let Some(mut deflater) = self.deflater.take() else { return };
        // What was taken of the message may still be in the deflater, and its first frame not made.
        self.open.get_or_insert(OpenMessage { kind, started: false, compressed: true });
        self.write_frames(kind, deflater.deflate(part, fin), fin, next_key, out);
        self.deflater = Some(deflater);
    }

    fn write_frames(
        &mut self,
        kind: MessageKind,
        mut part: &[u8],
        fin: bool,
        next_key: &mut dyn FnMut() -> [u8; 4],
        out: &mut Vec<u8>,
    ) {
        let most = self.fragment_bytes.map_or(usize::MAX, NonZeroUsize::get);
        while let Some((fragment, rest)) = part.split_at_checked(most) {
            if rest.is_empty() {
                break;
            }
            let header = self.next_header(kind, most as u64, false, next_key);
            append(header.first_byte(), header.mask, fragment, out);
            part = rest;
        }
        if fin || !part.is_empty() {
            let header = self.next_header(kind, part.len() as u64, fin, next_key);
            append(header.first_byte(), header.mask, part, out);
        }
    }

    #[inline]
    fn next_header(
        &mut self,
        kind: MessageKind,
        len: u64,
        fin: bool,
        next_key: &mut (impl FnMut() -> [u8; 4] + ?Sized),
    ) -> FrameHeader {
        let fresh = OpenMessage { kind, started: false, compressed: false };
        let OpenMessage { started, compressed, .. } = self.open.unwrap_or(fresh);
        let opcode = if started { Opcode::Continuation } else { kind.opcode() };
        self.open = if fin { None } else { Some(OpenMessage { kind, started: true, compressed }) };
        // RFC 7692 §6.1: on the first frame of a compressed message, and on no other.
        FrameHeader { fin, rsv1: compressed && !started, opcode, mask: self.key(next_key), len }
    }

    #[inline]
    fn key(&self, next_key: &mut (impl FnMut() -> [u8; 4] + ?Sized)) -> Option<[u8; 4]> {
        match self.role {
            Role::Client => Some(next_key()),
            Role::Server => None,
        }
    }
}

#[inline]
fn append(first: u8, key: Option<[u8; 4]>, payload: &[u8], out: &mut Vec<u8>) {
    if let Some(key) = key {
        append_masked_frame(first, key, payload, out);
    } else {
        append_unmasked(first, payload, out);
    }
}

/// Apart, so that [`append`] is small enough to become a part of what calls it.
#[inline(never)]
fn append_unmasked(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    let (head, head_len) = header_number(first, None, payload.len() as u64);
    out.reserve(HEADER_WORDS + payload.len());
    out.extend_from_slice(head.to_le_bytes().get(..head_len).unwrap_or_default());
    out.extend_from_slice(payload);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::super::mask::copy_masked;
    use super::*;

    const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 6455 §5.7.
        let mut server = Encoder::new(Role::Server);
        let mut out = Vec::new();
        server.text("Hello", no_key, &mut out).unwrap();
        server.message(MessageKind::Text, b"Hel", false, no_key, &mut out).unwrap();
        server.message(MessageKind::Text, b"lo", true, no_key, &mut out).unwrap();
        server.control(Control::Ping, b"Hello", no_key, &mut out).unwrap();
        server.message(MessageKind::Binary, &[0; 256], true, no_key, &mut out).unwrap();
        let expected = [&b"\x81\x05Hello\x01\x03Hel\x80\x02lo\x89\x05Hello\x82\x7e\x01\x00"[..], &[0; 256]];
        assert_eq!(out, expected.concat());

        let mut client = Encoder::new(Role::Client);
        let mut out = Vec::new();
        client.text("Hello", || KEY, &mut out).unwrap();
        client.control(Control::Pong, b"Hello", || KEY, &mut out).unwrap();
        let expected = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\
            \x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        assert_eq!(out, expected);
    }

    #[test]
    fn every_frame_has_a_key_of_its_own() {
        let mut client = Encoder::new(Role::Client);
        client.set_fragment_bytes(NonZeroUsize::new(2));
        let mut drawn = 0;
        let mut out = Vec::new();
        let mut next_key = || {
            drawn += 1;
            [drawn; 4]
        };
        client.text("12345", &mut next_key, &mut out).unwrap();
        client.control(Control::Ping, b"", &mut next_key, &mut out).unwrap();
        let keys: Vec<u8> = vec![out[2], out[10], out[18], out[25]];
        assert_eq!((keys, drawn), (vec![1, 2, 3, 4], 4));
    }

    #[test]
    fn fragments_are_of_the_set_size_at_most() {
        for (len, frames) in [(0, 1), (1, 1), (3, 1), (4, 2), (6, 2), (7, 3)] {
            let mut server = Encoder::new(Role::Server);
            server.set_fragment_bytes(NonZeroUsize::new(3));
            let mut out = Vec::new();
            server.message(MessageKind::Binary, &vec![1; len], true, no_key, &mut out).unwrap();
            assert_eq!(out.len(), len + 2 * frames, "{len}");
            assert_eq!(server.open_message(), None);
        }
    }

    #[test]
    fn all_three_forms_give_the_same_bytes() {
        let payload = b"the same payload";
        let mut copied = Vec::new();
        let mut client = Encoder::new(Role::Client);
        client.message(MessageKind::Binary, payload, true, || KEY, &mut copied).unwrap();

        let mut part = *payload;
        let header = client.in_place(MessageKind::Binary, &mut part, true, || KEY).unwrap();
        assert_eq!([header.encode().as_bytes(), &part].concat(), copied);

        let header = client.header(MessageKind::Binary, 16, true, || KEY).unwrap();
        let mut bytes = header.encode().as_bytes().to_vec();
        copy_masked(payload, &mut bytes, header.mask.unwrap(), 0);
        assert_eq!(bytes, copied);
    }

    #[test]
    fn misuse_leaves_message_and_output_as_they_were() {
        let mut server = Encoder::new(Role::Server);
        let mut out = Vec::new();
        server.message(MessageKind::Text, b"\xf0\x9f", false, no_key, &mut out).unwrap();
        let before = out.clone();
        let open = MessageKind::Text;
        let other = server.message(MessageKind::Binary, b"x", true, no_key, &mut out);
        assert_eq!(other, Err(SendError::UnfinishedMessage { open }));
        let second = server.text("x", no_key, &mut out);
        assert_eq!(second, Err(SendError::UnfinishedMessage { open }));
        let wrong = server.message(MessageKind::Text, b"\x41", false, no_key, &mut out);
        assert_eq!(wrong, Err(SendError::InvalidUtf8));
        let early = server.message(MessageKind::Text, b"\x8c", true, no_key, &mut out);
        assert_eq!(early, Err(SendError::InvalidUtf8));
        let long = server.control(Control::Ping, &[0; 126], no_key, &mut out);
        assert_eq!(long, Err(SendError::ControlTooLong { len: 126 }));
        assert_eq!(out, before);
        server.message(MessageKind::Text, b"\x8c\x8a", true, no_key, &mut out).unwrap();
        assert_eq!(out, b"\x01\x02\xf0\x9f\x80\x02\x8c\x8a");
    }

    #[test]
    fn an_empty_part_adds_a_frame_only_at_the_end() {
        let mut server = Encoder::new(Role::Server);
        let mut out = Vec::new();
        server.message(MessageKind::Binary, b"", false, no_key, &mut out).unwrap();
        assert_eq!((out.len(), server.open_message()), (0, None));
        server.message(MessageKind::Binary, b"1", false, no_key, &mut out).unwrap();
        server.message(MessageKind::Binary, b"", true, no_key, &mut out).unwrap();
        assert_eq!(out, b"\x02\x011\x80\x00");
    }
}
