//! An open connection: a byte stream with a codec on it, and what goes over it next.
//!
//! Not here: what becomes of what has come, when to read and when to end (the transport).

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io;

use tokio::io::ReadBuf;

use super::ByteStream;
use super::keys::Keys;
use super::outgoing::Outgoing;
use crate::proto::payload::Payload;
use crate::proto::ws::{CloseFrame, Connection, MessageKind};
use crate::time::Timestamp;
use crate::transport::TransportError;

/// Most bytes of messages that the codec is given before what it has made of them is written and others have
/// their turn. Without compression it is full before; a quarter of a mebibyte is compressed in about a
/// millisecond or a few.
const INPUT_BYTES: usize = 256 << 10;

/// A read buffer that is no larger is given back while nothing is there to be read: it costs 0.1 us to have another. A
/// larger one has been of use, and is kept until the peer has been silent for long.
const WAITING_BYTES: usize = 4 << 10;

/// How long after a failed write it is waited for what the peer has sent before: the system may tell of it
/// later than of the failure.
const READ_ON: Duration = Duration::from_secs(1);

/// How long it is read on then from a peer that always has something: what was on its way is bounded, by the
/// buffers of two systems, and has come by then.
const READ_ON_AT_MOST: Duration = Duration::from_secs(10);

/// How much is given to the codec at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes that may wait to be written: no more than the codec takes, or it would refuse messages
    /// for which there seemed to be room. At least 1, so that an empty output takes something.
    pub(super) output_bytes: usize,
    /// A longer message is sent in fragments of this many bytes. At least 1.
    pub(super) fragment_bytes: usize,
}

/// See the module's page.
pub(super) struct Open<S> {
    pub(super) stream: S,
    pub(super) connection: Box<Connection>,
    /// Written before all frames: a server's response.
    preface: Vec<u8>,
    /// The message that is going out in fragments. Until it has, no other is taken.
    outgoing: Option<Outgoing>,
    /// The close that waits for it.
    closing: Option<Close>,
    /// Bytes of messages that the codec was given since it was last written.
    given: usize,
    /// The stream took nothing when it was last offered something.
    blocked: bool,
    /// Something was written that the stream may keep until it is flushed.
    needs_flush: bool,
    /// Nothing can be written any more, and nothing more is tried.
    pub(super) broken: Option<Broken>,
}

/// A stream that has failed to write, of which what the peer has sent is still read: its close frame may be
/// among it.
pub(super) struct Broken {
    pub(super) error: TransportError,
    /// Since when it is read on; `None` while whoever receives is not ready for more.
    since: Option<Timestamp>,
}

impl Broken {
    pub(super) const fn new(error: TransportError) -> Self {
        Self { error, since: None }
    }

    /// When it is over if nothing more comes.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.since.map(|since| since.saturating_add(READ_ON))
    }

    /// Whether it is over, now that it was read until nothing was there (`drained`) or for a while.
    pub(super) fn read(&mut self, now: Timestamp, drained: bool) -> bool {
        let since = *self.since.get_or_insert(now);
        now.saturating_since(since) >= if drained { READ_ON } else { READ_ON_AT_MOST }
    }

    /// It is not read for now, and nobody can say that nothing was there.
    pub(super) const fn pause(&mut self) {
        self.since = None;
    }
}

/// A close frame to be sent, with or without a body.
struct Close(Option<CloseFrame>);

/// What came of writing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Written {
    /// Nothing waits to be written any more, but in the stream's own buffer.
    pub(super) all: bool,
    /// The stream was full and has taken something again: its other end has taken some.
    pub(super) unblocked: bool,
}

impl<S: ByteStream> Open<S> {
    pub(super) fn new(stream: S, connection: Connection, preface: Vec<u8>) -> Self {
        let mut connection = Box::new(connection);
        // The application hears of messages later: what came before a fault is answered before the fault is.
        connection.set_pause_before_fault(true);
        Self {
            stream,
            connection,
            preface,
            outgoing: None,
            closing: None,
            given: 0,
            blocked: false,
            needs_flush: false,
            broken: None,
        }
    }

    /// Whether a message is taken now.
    pub(super) fn has_room(&self, bounds: Bounds) -> bool {
        self.broken.is_none() && !self.is_within_message() && self.takes_bytes(bounds)
    }

    /// Whether the codec is given more before what it has is written.
    fn takes_bytes(&self, bounds: Bounds) -> bool {
        self.given < INPUT_BYTES && self.connection.pending() < bounds.output_bytes
    }

    /// Whether it is given no more only because it has been busy for long enough.
    pub(super) fn is_compressing(&self, bounds: Bounds) -> bool {
        self.given >= INPUT_BYTES && self.connection.pending() < bounds.output_bytes
    }

    /// How many bytes wait to be written.
    pub(super) fn unwritten(&self) -> u64 {
        let outgoing = self.outgoing.as_ref().map_or(0, Outgoing::left);
        (outgoing + self.connection.pending()) as u64
    }

    /// Whether a part of a message is out and another is not.
    pub(super) fn is_within_message(&self) -> bool {
        self.outgoing.is_some()
    }

    /// Takes a message, if it can be sent.
    pub(super) fn send(&mut self, payload: Payload, last: bool, bounds: Bounds, keys: &mut Keys) -> bool {
        if self.broken.is_some() || self.is_within_message() {
            return false;
        }
        let bytes = usize::try_from(payload.bytes()).unwrap_or(usize::MAX);
        let connection = &mut self.connection;
        let sent = match Outgoing::cut(payload, last, bounds.fragment_bytes) {
            Ok(long) if connection.can_send() => {
                self.outgoing = Some(long);
                self.feed(bounds, keys);
                return true;
            }
            Ok(_) | Err(Payload::Hosted(_)) => return false,
            Err(Payload::Text(text)) if last => connection.send_text(&text, || keys.next()),
            Err(Payload::Text(text)) => {
                connection.send_message(MessageKind::Text, text.as_bytes(), last, || keys.next())
            }
            Err(Payload::Binary(bytes)) => {
                connection.send_message(MessageKind::Binary, &bytes, last, || keys.next())
            }
        };
        self.given = self.given.saturating_add(bytes);
        sent.is_ok()
    }

    /// Begins the closing handshake, behind the message that is going out.
    pub(super) fn close(&mut self, frame: Option<CloseFrame>, bounds: Bounds, keys: &mut Keys) {
        self.closing = Some(Close(frame));
        self.feed(bounds, keys);
    }

    /// Gives the codec more of the message that is going out, as far as there is room, and the close that
    /// waits behind it.
    pub(super) fn feed(&mut self, bounds: Bounds, keys: &mut Keys) {
        while self.takes_bytes(bounds)
            && let Some(message) = &mut self.outgoing
        {
            self.given = self.given.saturating_add(message.left().min(bounds.fragment_bytes));
            if !message.give(&mut self.connection, bounds.fragment_bytes, || keys.next()) {
                self.outgoing = None;
            }
        }
        if self.outgoing.is_none()
            && let Some(Close(frame)) = self.closing.take()
        {
            // Closing already, if this fails: then a close frame has been sent.
            let _ = self.connection.send_close(frame.as_ref(), || keys.next());
        }
    }

    /// Reads once; `None` if nothing is there now, 0 at the end.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> io::Result<Option<usize>> {
        let mut buffer = ReadBuf::new(self.connection.spare());
        match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
            Poll::Pending => {
                // A server has thousands that wait for a message, and each of them would keep it.
                self.connection.release_spare(WAITING_BYTES);
                Ok(None)
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) => {
                let n = buffer.filled().len();
                self.connection.filled(n);
                Ok(Some(n))
            }
        }
    }

    /// Writes as much as goes.
    pub(super) fn write(&mut self, cx: &mut Context<'_>) -> io::Result<Written> {
        self.given = 0;
        let was_blocked = core::mem::take(&mut self.blocked);
        let mut any = false;
        let all = loop {
            let preface = self.preface.as_slice();
            let rest = if preface.is_empty() { self.connection.output() } else { preface };
            if rest.is_empty() {
                break true;
            }
            match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Pending => {
                    self.blocked = true;
                    break false;
                }
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) if preface.is_empty() => self.connection.consume(n),
                Poll::Ready(Ok(n)) => drop(self.preface.drain(..n.min(preface.len()))),
                Poll::Ready(Err(error)) => return Err(error),
            }
            any = true;
            self.needs_flush = true;
        };
        Ok(Written { all, unblocked: was_blocked && any })
    }

    /// Flushes what was written. Asked again until it is done: a stream with a buffer of its own keeps the
    /// rest otherwise.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.needs_flush {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.needs_flush = polled.is_pending();
        polled
    }

    /// Has a close frame that waits go, if it can at once: nobody writes after this.
    pub(super) fn give_up(&mut self) {
        if !self.connection.can_send() {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = self.write(&mut cx).map(|_| self.flush(&mut cx));
        }
    }

    /// Ends the stream. Whether it can be ended does not matter, only that it was tried.
    pub(super) fn shut_down(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.stream).poll_shutdown(cx).map(drop)
    }
}
