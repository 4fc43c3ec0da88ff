//! Bytes to frames, in one flat buffer that the decoder owns.
//!
//! Not here: joining fragments (`assembly.rs`), answering a ping or a close (`connection.rs`).

use core::ops::Range;

use super::frame::{Frame, FrameRef};
use super::header::{FrameHeader, Opcode, decode_first, find_whole};
use super::limits::Limits;
use super::mask::{copy_masked, mask};
use super::message::{Message, MessageKind, Role};
use super::utf8::{Utf8Validator, as_utf8, is_utf8};
use crate::proto::error::ProtocolError;

/// What an idle connection costs until its peer shows that it sends more.
const FIRST_BUFFER: usize = 4 << 10;
/// One read of this size amortises the cost of a system call; more gained nothing.
const READ_BUFFER: usize = 64 << 10;
/// Where frames are so large that what is left of one has to be moved often, as many reads fit in: then
/// it is moved less often.
const LARGEST_READ_BUFFER: usize = 8 * READ_BUFFER;
/// Moving so much costs less than the system call that it saves.
const CHEAP_MOVE: usize = 4 << 10;
/// A buffer that one frame made larger than this is given back once it is empty.
const KEPT_BUFFER: usize = 2 << 20;

/// Splits received bytes into frames, checks them in full and lends their payloads.
///
/// The bytes are written by the caller into [`Decoder::spare`] and announced by
/// [`Decoder::filled`]; then [`Decoder::poll_frame`] is called until it gives `None`. Each
/// payload is unmasked, and checked as UTF-8 if it is text, as it arrives; a frame that breaks a
/// rule is refused at the first byte that shows it, and nothing of its payload is given out.
///
/// # Specification
///
/// [RFC 6455 §5](https://www.rfc-editor.org/rfc/rfc6455#section-5) and
/// [§8.1](https://www.rfc-editor.org/rfc/rfc6455#section-8.1).
///
/// # Examples
///
/// ```
/// use tidegate::proto::ws::{Decoder, Limits, Role};
///
/// let mut decoder = Decoder::new(Role::Client, Limits::default());
/// let arrived = b"\x81\x05Hello\x82\x00";
/// decoder.spare()[..arrived.len()].copy_from_slice(arrived);
/// decoder.filled(arrived.len());
/// while let Some(frame) = decoder.next_frame()? {
///     println!("{:?}: {} bytes", frame.opcode, frame.payload.len());
/// }
/// # Ok::<(), tidegate::proto::error::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    receiver: Role,
    limits: Limits,
    /// permessage-deflate was agreed on, so that RSV1 has a meaning.
    allows_rsv1: bool,
    /// Initialised in its whole length, so that a transport can read into any part of it.
    buffer: Vec<u8>,
    /// Received bytes that belong to no complete frame are `start..end`.
    /// Invariant: `start <= end <= buffer.len()`.
    start: usize,
    end: usize,
    open: Option<OpenFrame>,
    message: Option<OpenMessage>,
    utf8: Utf8Validator,
    control_frames: u64,
    /// A message in one frame has fewer bytes than this, by all of `limits`; 0 if there may be none.
    whole_end: u64,
    /// The last read filled all the room there was, so more is probably waiting.
    eager: bool,
    failed: Option<ProtocolError>,
}

/// A frame whose header was read; its payload begins at `Decoder::start`.
#[derive(Clone, Copy, Debug)]
struct OpenFrame {
    fin: bool,
    rsv1: bool,
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    len: usize,
    /// Whether the payload is text as it stands, which that of a compressed message is not.
    text: bool,
    /// Payload bytes that are unmasked and checked. Invariant: `done <= len`.
    done: usize,
}

/// A message of which a first frame without FIN was seen.
#[derive(Clone, Copy, Debug)]
struct OpenMessage {
    kind: MessageKind,
    compressed: bool,
    /// Declared payload bytes so far. Invariant: at most `limits.max_message_bytes`, or what these can
    /// become when they are compressed.
    bytes: u64,
    /// Invariant: `1 <= fragments <= limits.max_fragments`.
    fragments: u64,
}

impl Decoder {
    /// A decoder of what an endpoint in the role `receiver` receives.
    #[must_use]
    pub const fn new(receiver: Role, limits: Limits) -> Self {
        let least = if limits.max_frame_bytes < limits.max_message_bytes {
            limits.max_frame_bytes
        } else {
            limits.max_message_bytes
        };
        Self {
            receiver,
            limits,
            allows_rsv1: false,
            whole_end: if limits.max_fragments == 0 { 0 } else { least.saturating_add(1) },
            buffer: Vec::new(),
            start: 0,
            end: 0,
            open: None,
            message: None,
            utf8: Utf8Validator::new(),
            control_frames: 0,
            eager: false,
            failed: None,
        }
    }

    /// Takes RSV1 on the first frame of a message as the mark of a compressed one (RFC 7692 §6).
    ///
    /// Whoever sets this inflates: payloads of such messages are given out as they came, and what a text
    /// becomes is not checked here. Their declared lengths may exceed [`Limits`] by a seventh, which is
    /// what deflate can add to bytes that do not compress; what they inflate to is the caller's to
    /// limit. [`MessageDecoder`](super::MessageDecoder) does all of this.
    pub const fn allow_rsv1(&mut self) {
        self.allows_rsv1 = true;
    }

    /// Room for received bytes, never empty.
    ///
    /// Poll until `None` first; frames that wait to be polled make the buffer grow. Otherwise it
    /// grows for an open frame only, to at most the larger of 64 KiB and twice what was received
    /// of that frame, and never beyond its end: a header that declares much allocates nothing.
    pub fn spare(&mut self) -> &mut [u8] {
        let wanted = self.open.map_or(0, |open| open.len);
        let live = self.end - self.start;
        if live == 0 {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > KEPT_BUFFER && wanted <= KEPT_BUFFER {
                self.buffer = Vec::new();
            }
        }
        let behind = self.buffer.len() - self.end;
        let fits = wanted <= self.buffer.len() - self.start;
        // What is cheap to move is moved for the sake of longer reads; a large part of a frame only if its
        // rest has no room.
        let short = if live <= CHEAP_MOVE { behind <= self.buffer.len() / 2 } else { behind == 0 };
        let mut grows = false;
        if (short || !fits) && self.start > 0 {
            grows = live > CHEAP_MOVE && self.buffer.len() < LARGEST_READ_BUFFER;
            // Also puts the payload of a frame that is larger than the buffer at its very start,
            // from where `take` can give it away without a copy.
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, live);
        }
        let size = if wanted > self.buffer.len() - self.start {
            wanted.min(live.saturating_mul(2).max(READ_BUFFER))
        } else if self.end == self.buffer.len() || (self.eager && (grows || self.buffer.len() < READ_BUFFER))
        {
            self.buffer.len().saturating_mul(2).max(FIRST_BUFFER)
        } else {
            self.buffer.len()
        };
        if size > self.buffer.len() {
            self.eager = false;
            self.buffer.reserve_exact(size - self.buffer.len());
            self.buffer.resize(size, 0);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Says that the first `n` bytes of what [`Decoder::spare`] returned were written.
    ///
    /// More than its length counts as its length. The whole length makes a small buffer grow, up
    /// to 64 KiB.
    pub fn filled(&mut self, n: usize) {
        let room = self.buffer.len() - self.end;
        self.end += n.min(room);
        self.eager = n >= room;
    }

    /// Gives back the memory of [`spare`](Self::spare) if nothing waits in it and it is not larger than `most` bytes.
    #[cfg(all(feature = "native", not(target_family = "wasm")))]
    pub(super) fn release(&mut self, most: usize) {
        if self.start == self.end && self.open.is_none() && self.buffer.len() <= most {
            (self.start, self.end) = (0, 0);
            self.buffer = Vec::new();
        }
    }

    /// Takes a copy of received bytes, such as those that came with the opening handshake. Where they can be
    /// read into [`spare`](Self::spare), the copy is saved. After an error they are ignored.
    pub fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.failed.is_none() {
            let spare = self.spare();
            let n = spare.len().min(bytes.len());
            let (now, later) = bytes.split_at_checked(n).unwrap_or((bytes, &[]));
            if let Some(room) = spare.get_mut(..now.len()) {
                room.copy_from_slice(now);
            }
            self.filled(n);
            bytes = later;
        }
    }

    /// The next complete frame, or `None` if more bytes are needed.
    ///
    /// # Errors
    ///
    /// Any [`ProtocolError`] but those of a close frame's body; every later call repeats it.
    #[inline]
    pub fn poll_frame(&mut self) -> Result<Option<FrameRef>, ProtocolError> {
        match self.whole_message() {
            Some(frame) => Ok(Some(frame)),
            None => self.poll_frame_in_full(),
        }
    }

    /// The shortest way through what most frames are: a message in one frame that has arrived in whole
    /// and keeps every rule. Whatever is not so, for any reason, is left untouched for
    /// [`advance`](Self::advance) to judge.
    #[inline]
    fn whole_message(&mut self) -> Option<FrameRef> {
        let (kind, key, payload) = self.find_whole()?;
        let bytes = self.buffer.get_mut(payload.clone())?;
        if !unmask_whole(kind, key, bytes) {
            // Told by the caller, who looks there next.
            self.failed = Some(ProtocolError::InvalidUtf8);
            return None;
        }
        self.start = payload.end;
        Some(FrameRef {
            fin: true,
            rsv1: false,
            opcode: kind.opcode(),
            start: payload.start,
            len: payload.len(),
        })
    }

    /// [`whole_message`](Self::whole_message) given away: unmasked on the way into memory of its own.
    ///
    /// A large one is left to those that give the buffer away with it.
    #[inline]
    pub(super) fn take_whole(&mut self) -> Option<Message> {
        let (kind, key, payload) = self.find_whole().filter(|(.., payload)| payload.len() < READ_BUFFER)?;
        let end = payload.end;
        let bytes = self.buffer.get_mut(payload)?;
        let message = match kind {
            MessageKind::Binary => {
                let mut taken = Vec::with_capacity(bytes.len());
                match key {
                    Some(key) => copy_masked(bytes, &mut taken, key, 0),
                    None => taken.extend_from_slice(bytes),
                }
                Message::Binary(taken)
            }
            MessageKind::Text => {
                if let Some(key) = key {
                    mask(bytes, key, 0);
                }
                let Some(text) = as_utf8(bytes) else {
                    self.failed = Some(ProtocolError::InvalidUtf8);
                    return None;
                };
                Message::Text(text.to_owned())
            }
        };
        self.start = end;
        Some(message)
    }

    #[inline]
    fn find_whole(&self) -> Option<(MessageKind, Option<[u8; 4]>, Range<usize>)> {
        if self.open.is_some() || self.message.is_some() || self.failed.is_some() {
            return None;
        }
        let received = self.buffer.get(self.start..self.end)?;
        let (kind, key, payload) = find_whole(received, self.receiver, self.whole_end)?;
        Some((kind, key, self.start + payload.start..self.start + payload.end))
    }

    /// The frame at the start of `bytes`, unmasked where it lies, and how many bytes it takes with its
    /// header; `None` if it is not complete, and then `bytes` are unchanged and wanted again with more
    /// behind them.
    ///
    /// For bytes that lie in the caller's own buffer. All checks are those of
    /// [`poll_frame`](Self::poll_frame), but that a text is looked at when its frame is complete; a
    /// decoder is used in one of the two ways only.
    ///
    /// # Errors
    ///
    /// As [`poll_frame`](Self::poll_frame); the payload may be unmasked then.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate::proto::ws::{Decoder, Limits, Role};
    ///
    /// let mut decoder = Decoder::new(Role::Server, Limits::default());
    /// let mut bytes = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58\x82";
    /// let (frame, taken) = decoder.decode_in_place(&mut bytes)?.expect("it is complete");
    /// assert_eq!((frame.payload, taken), (&b"Hello"[..], 11));
    /// assert!(decoder.decode_in_place(&mut bytes[11..])?.is_none());
    /// # Ok::<(), tidegate::proto::error::ProtocolError>(())
    /// ```
    #[inline]
    pub fn decode_in_place<'a>(
        &mut self,
        bytes: &'a mut [u8],
    ) -> Result<Option<(Frame<'a>, usize)>, ProtocolError> {
        if self.message.is_none()
            && self.failed.is_none()
            && let Some((kind, key, payload)) = find_whole(bytes, self.receiver, self.whole_end)
        {
            let taken = payload.end;
            let payload = bytes.get_mut(payload).unwrap_or_default();
            if !unmask_whole(kind, key, payload) {
                self.failed = Some(ProtocolError::InvalidUtf8);
                return Err(ProtocolError::InvalidUtf8);
            }
            return Ok(Some((Frame { fin: true, rsv1: false, opcode: kind.opcode(), payload }, taken)));
        }
        self.decode_in_place_in_full(bytes)
    }

    fn decode_in_place_in_full<'a>(
        &mut self,
        bytes: &'a mut [u8],
    ) -> Result<Option<(Frame<'a>, usize)>, ProtocolError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let before = (self.message, self.control_frames);
        match self.judge_in_place(bytes) {
            Ok(Some((OpenFrame { fin, rsv1, opcode, .. }, frame))) => {
                let taken = frame.end;
                let payload = bytes.get(frame).unwrap_or_default();
                Ok(Some((Frame { fin, rsv1, opcode, payload }, taken)))
            }
            Ok(None) => {
                // It is judged again when more of it is there.
                (self.message, self.control_frames) = before;
                Ok(None)
            }
            Err(error) => {
                self.failed = Some(error);
                Err(error)
            }
        }
    }

    fn judge_in_place(
        &mut self,
        bytes: &mut [u8],
    ) -> Result<Option<(OpenFrame, Range<usize>)>, ProtocolError> {
        let Some((open, head)) = self.judge_header(bytes)? else { return Ok(None) };
        // The limits have passed the length, and it fits into `usize`; the sum may not.
        let Some(payload) = bytes.get_mut(head..).and_then(|rest| rest.get_mut(..open.len)) else {
            return Ok(None);
        };
        if let Some(key) = open.mask {
            mask(payload, key, 0);
        }
        if open.text {
            self.utf8.push(payload).map_err(|_| ProtocolError::InvalidUtf8)?;
        }
        self.close_message(&open)?;
        Ok(Some((open, head..head + open.len)))
    }

    fn poll_frame_in_full(&mut self) -> Result<Option<FrameRef>, ProtocolError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.advance();
        self.failed = result.err();
        result
    }

    /// [`Decoder::poll_frame`] with its payload.
    ///
    /// # Errors
    ///
    /// As [`Decoder::poll_frame`].
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, ProtocolError> {
        let Some(frame) = self.poll_frame()? else { return Ok(None) };
        let payload = self.payload(&frame);
        Ok(Some(Frame { fin: frame.fin, rsv1: frame.rsv1, opcode: frame.opcode, payload }))
    }

    /// The unmasked payload of `frame`.
    #[must_use]
    #[inline]
    pub fn payload(&self, frame: &FrameRef) -> &[u8] {
        let rest = self.buffer.get(frame.start..).unwrap_or_default();
        rest.get(..frame.len).unwrap_or_default()
    }

    /// The unmasked payload of `frame`, owned.
    ///
    /// A payload of 64 KiB or more that was read straight into the buffer is given away with the
    /// buffer itself; anything else is copied.
    pub fn take(&mut self, frame: &FrameRef) -> Vec<u8> {
        let owns_buffer = frame.start == 0
            && frame.len >= READ_BUFFER
            && frame.len >= self.buffer.len() / 2
            && frame.len <= self.start;
        if !owns_buffer {
            return self.payload(frame).to_vec();
        }
        let rest = self.buffer.get(self.start..self.end).unwrap_or_default().to_vec();
        (self.start, self.end) = (0, rest.len());
        let mut payload = core::mem::replace(&mut self.buffer, rest);
        payload.truncate(frame.len);
        payload
    }

    /// The message of which fragments were seen but not yet the last.
    #[must_use]
    pub fn open_message(&self) -> Option<MessageKind> {
        self.message.map(|message| message.kind)
    }

    /// What has arrived of an incomplete frame that belongs to a compressed message.
    pub(super) fn arrived_compressed(&self) -> Option<(MessageKind, &[u8])> {
        let open = self.open.filter(|open| !open.opcode.is_control())?;
        let message = self.message.filter(|message| message.compressed)?;
        Some((message.kind, self.buffer.get(self.start..self.start + open.done)?))
    }

    /// Bytes that the buffer takes in memory.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Allows another [`Limits::max_control_frames`] control frames from now on.
    pub const fn renew_control_allowance(&mut self) {
        self.control_frames = 0;
    }

    /// Drops what was received and not yet given out.
    pub fn discard(&mut self) {
        (self.start, self.end) = (0, 0);
        self.open = None;
    }

    fn advance(&mut self) -> Result<Option<FrameRef>, ProtocolError> {
        let mut open = match self.open {
            Some(open) => open,
            None => match self.read_header()? {
                Some(open) => open,
                None => return Ok(None),
            },
        };
        let arrived = open.len.min(self.end - self.start);
        let fresh = self.start + open.done..self.start + arrived;
        let fresh = self.buffer.get_mut(fresh).unwrap_or_default();
        if let Some(key) = open.mask {
            mask(fresh, key, open.done);
        }
        if open.text {
            // RFC 6455 §8.1, and at once: a peer that streams garbage is not read to its end.
            self.utf8.push(fresh).map_err(|_| ProtocolError::InvalidUtf8)?;
        }
        open.done = arrived;
        if arrived < open.len {
            self.open = Some(open);
            return Ok(None);
        }
        self.open = None;
        self.close_message(&open)?;
        let OpenFrame { fin, rsv1, opcode, len, .. } = open;
        let frame = FrameRef { fin, rsv1, opcode, start: self.start, len };
        self.start += len;
        Ok(Some(frame))
    }

    /// Ends the message, if this complete frame was its last.
    fn close_message(&mut self, frame: &OpenFrame) -> Result<(), ProtocolError> {
        if frame.fin && !frame.opcode.is_control() {
            self.message = None;
            if frame.text {
                self.utf8.finish().map_err(|_| ProtocolError::InvalidUtf8)?;
            }
        }
        Ok(())
    }

    fn read_header(&mut self) -> Result<Option<OpenFrame>, ProtocolError> {
        let buffer = core::mem::take(&mut self.buffer);
        let judged = self.judge_header(buffer.get(self.start..self.end).unwrap_or_default());
        self.buffer = buffer;
        Ok(judged?.map(|(open, used)| {
            self.start += used;
            open
        }))
    }

    /// The header at the start of `received`, with how many bytes it takes: checked in full, and counted.
    fn judge_header(&mut self, received: &[u8]) -> Result<Option<(OpenFrame, usize)>, ProtocolError> {
        // Before anything that the second byte says, so that the verdict is the same whether or not that
        // has come: the order of frames shows in the first.
        let Some(&first) = received.first() else { return Ok(None) };
        let (.., opcode) = decode_first(first, self.allows_rsv1)?;
        self.check_sequence(opcode)?;
        let Some((header, used)) = FrameHeader::decode_extended(received, self.receiver, self.allows_rsv1)?
        else {
            return Ok(None);
        };
        let text = self.admit(&header)?;
        // RFC 6455 lengths have 63 bits; what passed the limits may still be more than `usize`
        // or an allocation can hold where that has 32.
        let len = usize::try_from(header.len)
            .ok()
            .filter(|len| isize::try_from(*len).is_ok())
            .ok_or(ProtocolError::FrameTooBig { len: header.len, limit: LARGEST_ALLOCATION })?;
        let FrameHeader { fin, rsv1, opcode, mask, .. } = header;
        Ok(Some((OpenFrame { fin, rsv1, opcode, mask, len, text, done: 0 }, used)))
    }

    /// RFC 6455 §5.4: fragments of one message are not mixed with another's.
    const fn check_sequence(&self, opcode: Opcode) -> Result<(), ProtocolError> {
        match (opcode, &self.message) {
            (Opcode::Continuation, None) => Err(ProtocolError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => Err(ProtocolError::UnfinishedMessage),
            _ => Ok(()),
        }
    }

    /// Holds a header against the limits, as `u64` and before anything is allocated, and counts it.
    /// Returns whether the payload is to be checked as text.
    fn admit(&mut self, header: &FrameHeader) -> Result<bool, ProtocolError> {
        let limits = &self.limits;
        let (kind, compressed) = match (header.opcode, self.message) {
            (Opcode::Text, _) => (MessageKind::Text, header.rsv1),
            (Opcode::Binary, _) => (MessageKind::Binary, header.rsv1),
            (Opcode::Continuation, Some(message)) => (message.kind, message.compressed),
            _ => {
                self.control_frames = self.control_frames.saturating_add(1);
                return match limits.max_control_frames {
                    Some(limit) if self.control_frames > limit => {
                        Err(ProtocolError::TooManyControlFrames { limit })
                    }
                    _ => Ok(false),
                };
            }
        };
        let most = |limit: u64| if compressed { deflated(limit) } else { limit };
        if header.len > most(limits.max_frame_bytes) {
            return Err(ProtocolError::FrameTooBig { len: header.len, limit: limits.max_frame_bytes });
        }
        let (bytes, fragments) = self.message.map_or((0, 0), |open| (open.bytes, open.fragments));
        // Both are below 2^63, so the sum cannot wrap.
        let (bytes, fragments) = (bytes + header.len, fragments + 1);
        if bytes > most(limits.max_message_bytes) {
            return Err(ProtocolError::MessageTooBig { limit: limits.max_message_bytes });
        }
        if fragments > limits.max_fragments {
            return Err(ProtocolError::TooManyFragments { limit: limits.max_fragments });
        }
        self.message = Some(OpenMessage { kind, compressed, bytes, fragments });
        Ok(kind == MessageKind::Text && !compressed)
    }
}

/// Unmasks the whole payload of a message where it lies. `false` if it is a text that is not UTF-8.
#[inline]
fn unmask_whole(kind: MessageKind, key: Option<[u8; 4]>, payload: &mut [u8]) -> bool {
    if let Some(key) = key {
        mask(payload, key, 0);
    }
    kind != MessageKind::Text || is_utf8(payload)
}

/// The most that deflate makes of so many bytes that do not compress: 9 bits of each at the worst, and the
/// ends of blocks.
const fn deflated(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / 8 + bytes / 64 + 64)
}

/// What one allocation can hold on this target, in bytes.
const LARGEST_ALLOCATION: u64 = isize::MAX as u64;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;
