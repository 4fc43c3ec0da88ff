//! RFC 6455 over a byte stream of tokio: [`proto::ws`](crate::proto::ws) presented as messages.
//!
//! A client gets its stream from a future that dials and greets; a server has one already. From there on
//! both are the same.
//!
//! Not here: which streams are dialled, redirects, retries, queues of the application.

pub(crate) mod dial;
mod greet;
mod keys;
mod outgoing;
#[cfg(feature = "tls")]
pub(crate) mod tls;

use core::cell::RefCell;
use core::ops::Range;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(crate) use self::greet::{greet, tunnel};
pub(crate) use self::keys::Keys;
use self::outgoing::Outgoing;
use super::{FetchToken, Incoming, Moved, Opened, Transport, TransportError, TransportEvent};
use crate::proto::payload::{Payload, Slot, Transmit};
use crate::proto::ws::{
    Accepted, CloseCode, CloseFrame, Connection, Event, Headers, Limits, Message, MessageKind, Role,
};

/// Most bytes that may wait to be written before the queue has to wait. Small, because a pong and a
/// close frame wait behind them and one fragment more; large enough to fill a segment of loopback.
const OUTPUT_BYTES: usize = 64 << 10;

/// How many reads are made before what was read is looked at and other tasks get their turn.
const READS_AT_ONCE: usize = 16;

/// How many messages are taken out of what was read, likewise: of the smallest ones a single read
/// brings more than the receive queue has places for.
const EVENTS_AT_ONCE: usize = 4_096;

/// A stream of bytes in both directions.
pub(crate) trait ByteStream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> ByteStream for S {}

/// A stream on which a client's opening handshake is done.
pub(crate) struct Established<S> {
    pub(crate) stream: S,
    pub(crate) accepted: Accepted,
}

/// Everything up to the open connection. Dropping it lets go of all that it holds.
pub(crate) type Connecting<S> = Pin<Box<dyn Future<Output = Result<Established<S>, TransportError>> + Send>>;

/// What can be chosen about an open connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// Most bytes of a message that go out in one frame; `None` for any number.
    pub(crate) fragment_bytes: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { fragment_bytes: Some(FRAGMENT_BYTES) }
    }
}

/// Most bytes of a message that go out in one frame, unless something else is asked for.
///
/// A pong waits for one fragment and for [`OUTPUT_BYTES`]: 0.3 s at 10 Mbit/s, against minutes for a whole
/// message. Nothing is gained by smaller ones, which each receiver has to join again: over loopback 4 MiB
/// went out at the same speed whole and in parts of 16 KiB to 1 MiB, and 32 MiB 2.3 times as fast in parts,
/// since they stay in the processor's cache and in one buffer.
const FRAGMENT_BYTES: usize = 256 << 10;

/// See the module's page.
pub(crate) struct NativeTransport<S> {
    inner: RefCell<Inner<S>>,
}

struct Inner<S> {
    stage: Stage<S>,
    keys: Keys,
    events: VecDeque<TransportEvent>,
    opened: Opened,
    /// Bytes that may wait to be written: no more than the codec takes, or it would refuse messages
    /// for which there seemed to be room. At least 1, so that an empty output takes something.
    output_bytes: usize,
    /// A longer message is sent in fragments of this many bytes. At least 1.
    fragment_bytes: usize,
    /// The driver has been told that there is no room.
    room_refused: bool,
    /// The peer's close frame has come, or it broke the protocol: nothing more is received.
    ending: bool,
    /// Something was written that the stream may keep until it is flushed.
    needs_flush: bool,
}

enum Stage<S> {
    /// The byte stream is being opened, and the opening handshake done on it.
    Connecting(Connecting<S>),
    /// Frames go both ways.
    Open(Open<S>),
    /// Over.
    Over,
}

/// An open connection.
struct Open<S> {
    stream: S,
    connection: Box<Connection>,
    /// Written before all frames: a server's response.
    preface: Vec<u8>,
    /// The message that is going out in fragments. Until it has, no other is taken.
    outgoing: Option<Outgoing>,
    /// The close that waits for it.
    closing: Option<Close>,
}

/// A close frame to be sent, with or without a body.
struct Close(Option<CloseFrame>);

impl<S> Open<S> {
    fn new(stream: S, connection: Connection, preface: Vec<u8>) -> Self {
        Self { stream, connection: Box::new(connection), preface, outgoing: None, closing: None }
    }

    fn has_room(&self, output_bytes: usize) -> bool {
        self.outgoing.is_none() && self.connection.pending() < output_bytes
    }
}

impl<S: ByteStream> NativeTransport<S> {
    /// A client that is open once `connecting` is done.
    pub(crate) fn connecting(connecting: Connecting<S>, options: Options) -> Self {
        Self::new(Stage::Connecting(connecting), options)
    }

    /// A server whose client has been read from; `response` accepts it. The codec of `connection`
    /// takes messages while fewer than `output_bytes` wait.
    pub(crate) fn accepted(
        stream: S,
        connection: Connection,
        output_bytes: usize,
        response: Vec<u8>,
        protocol: String,
        options: Options,
    ) -> Self {
        let transport = Self::new(Stage::Open(Open::new(stream, connection, response)), options);
        let mut inner = transport.inner.borrow_mut();
        inner.output_bytes = output_bytes.clamp(1, OUTPUT_BYTES);
        inner.opened.protocol = protocol;
        inner.events.push_back(TransportEvent::Opened);
        drop(inner);
        transport
    }

    fn new(stage: Stage<S>, options: Options) -> Self {
        let inner = Inner {
            stage,
            keys: Keys::new(),
            events: VecDeque::new(),
            opened: Opened::default(),
            output_bytes: OUTPUT_BYTES,
            fragment_bytes: options.fragment_bytes.unwrap_or(usize::MAX).max(1),
            room_refused: false,
            ending: false,
            needs_flush: false,
        };
        Self { inner: RefCell::new(inner) }
    }

    /// Moves what can be moved, both ways.
    pub(crate) fn poll_io(&self, cx: &mut Context<'_>, reads: bool) -> Moved {
        let mut inner = self.inner.borrow_mut();
        let before = inner.stage_number();
        let moved = match &mut inner.stage {
            Stage::Connecting(_) => inner.poll_connecting(cx).into(),
            Stage::Open(_) => inner.poll_open(cx, reads),
            Stage::Over => Moved::Nothing,
        };
        match moved {
            Moved::Nothing if reads && !inner.events.is_empty() || before != inner.stage_number() => {
                Moved::Something
            }
            moved => moved,
        }
    }
}

impl<S: ByteStream> Inner<S> {
    /// Distinguishes stages, so that the next one is polled as soon as it is reached.
    fn stage_number(&self) -> u8 {
        match self.stage {
            Stage::Connecting(_) => 0,
            Stage::Open(_) => 1,
            Stage::Over => 2,
        }
    }

    fn poll_connecting(&mut self, cx: &mut Context<'_>) -> bool {
        let Stage::Connecting(connecting) = &mut self.stage else { return false };
        match connecting.as_mut().poll(cx) {
            Poll::Pending => return false,
            Poll::Ready(Err(error)) => self.fail(error),
            Poll::Ready(Ok(Established { stream, accepted })) => {
                let mut connection = Connection::new(Role::Client, Limits::default());
                connection.receive(&accepted.rest);
                let extensions = header(&accepted.headers, "Sec-WebSocket-Extensions");
                let protocol = accepted.subprotocol.unwrap_or_default();
                self.opened = Opened { protocol, extensions };
                self.events.push_back(TransportEvent::Opened);
                self.stage = Stage::Open(Open::new(stream, connection, Vec::new()));
            }
        }
        true
    }

    fn poll_open(&mut self, cx: &mut Context<'_>, reads: bool) -> Moved {
        let mut moved = reads && self.take_events(EVENTS_AT_ONCE);
        let mut much = false;
        for read in 1..=if reads { READS_AT_ONCE } else { 0 } {
            if self.events.len() >= EVENTS_AT_ONCE {
                much = true;
                break;
            }
            // After the last read there may be more, of which no waker knows.
            much = read == READS_AT_ONCE;
            match self.read(cx) {
                Ok(Some(0)) => return self.stream_ended(cx, None),
                // TLS says so if the peer ends without a word of TLS. Whether a close frame came before
                // counts, and nothing else: RFC 6455 needs no such word.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return self.stream_ended(cx, Some(broken(&error)));
                }
                Ok(Some(_)) => moved |= self.take_events(EVENTS_AT_ONCE),
                Ok(None) => {
                    much = false;
                    break;
                }
                Err(error) => {
                    self.end(Some(broken(&error)));
                    return Moved::Something;
                }
            }
        }
        self.feed();
        let written = match self.write(cx) {
            Ok(written) => written,
            Err(error) => {
                self.end(Some(broken(&error)));
                return Moved::Something;
            }
        };
        let Stage::Open(open) = &mut self.stage else { return Moved::Something };
        if self.room_refused && open.has_room(self.output_bytes) {
            self.room_refused = false;
            moved = true;
        }
        // The rest of a long message follows when what has come in meanwhile was looked at.
        much |= written && open.outgoing.is_some();
        // Both close frames have passed, or the peer was told of its fault. Until then the session
        // keeps the time.
        let over = written && (self.ending || open.connection.should_end_transport());
        // Flushed when no more can be read and no more is to be written, or after so much that others
        // have their turn: a stream with a buffer of its own fills it meanwhile.
        if written && (over || much || !moved) {
            match self.flush(cx) {
                Poll::Ready(Ok(())) if over => return self.shut_down(cx, moved),
                Poll::Ready(Ok(())) | Poll::Pending => {}
                Poll::Ready(Err(error)) => {
                    self.end(Some(broken(&error)));
                    return Moved::Something;
                }
            }
        }
        if much { Moved::Much } else { moved.into() }
    }

    /// Gives the codec more of the message that is going out, as far as there is room, and the close that
    /// waits behind it.
    fn feed(&mut self) {
        let Stage::Open(Open { connection, outgoing, closing, .. }) = &mut self.stage else { return };
        let keys = &mut self.keys;
        while let Some(message) = outgoing
            && connection.pending() < self.output_bytes
        {
            if !message.give(connection, self.fragment_bytes, || keys.next()) {
                *outgoing = None;
            }
        }
        if outgoing.is_none()
            && let Some(Close(frame)) = closing.take()
        {
            // Closing already, if this fails: then a close frame has been sent.
            let _ = connection.send_close(frame.as_ref(), || keys.next());
        }
    }

    /// Ends the stream, behind all that was written.
    fn shut_down(&mut self, cx: &mut Context<'_>, moved: bool) -> Moved {
        let Stage::Open(Open { stream, .. }) = &mut self.stage else { return Moved::Something };
        if Pin::new(stream).poll_shutdown(cx).is_pending() {
            return moved.into();
        }
        self.end(None);
        Moved::Something
    }

    /// Nothing more will be read.
    fn stream_ended(&mut self, cx: &mut Context<'_>, error: Option<TransportError>) -> Moved {
        self.take_events(usize::MAX);
        // A close frame that came with the end of the stream is still answered, and so is the end itself,
        // as far as that takes no waiting.
        if self.write(cx).is_ok_and(|written| written)
            && let Stage::Open(Open { stream, .. }) = &mut self.stage
        {
            let _ = Pin::new(stream).poll_shutdown(cx);
        }
        self.end(error);
        Moved::Something
    }

    /// Reads once; `None` if nothing is there now, 0 at the end.
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<Option<usize>> {
        let Stage::Open(Open { stream, connection, .. }) = &mut self.stage else { return Ok(None) };
        let mut buffer = ReadBuf::new(connection.spare());
        match Pin::new(stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(None),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Ready(Ok(())) => {
                let n = buffer.filled().len();
                connection.filled(n);
                Ok(Some(n))
            }
        }
    }

    /// Takes what the codec has made of the bytes until `most` wait. Returns whether there was
    /// something.
    fn take_events(&mut self, most: usize) -> bool {
        let mut any = false;
        while self.events.len() < most {
            let Stage::Open(Open { connection, .. }) = &mut self.stage else { return any };
            let keys = &mut self.keys;
            let event = match connection.poll_event(|| keys.next()) {
                Ok(Some(event)) => event,
                Ok(None) => return any,
                // Said once: the codec repeats its error for ever.
                Err(_) if self.ending => return any,
                Err(error) => {
                    self.ending = true;
                    let failed = TransportError::Protocol { message: error.to_string() };
                    self.events.push_back(TransportEvent::Failed(failed));
                    self.events.push_back(TransportEvent::Closing { code: 1006, reason: String::new() });
                    return true;
                }
            };
            any = true;
            let payload = match event {
                Event::Message(Message::Text(text)) => Payload::Text(text),
                Event::Message(Message::Binary(bytes)) => Payload::Binary(bytes),
                Event::Close(close) => {
                    self.ending = true;
                    let (code, reason) = close.map_or((1005, String::new()), |close| {
                        (close.code().get(), close.reason().as_str().into())
                    });
                    self.events.push_back(TransportEvent::Closing { code, reason });
                    continue;
                }
                // Pings are answered by the codec; a pong answers none of ours.
                Event::Ping(_) | Event::Pong(_) => continue,
            };
            self.events.push_back(TransportEvent::Message(Incoming::Message(payload)));
        }
        any
    }

    /// Writes as much as goes. Returns whether nothing is left but in the stream's own buffer.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let Stage::Open(Open { stream, connection, preface, .. }) = &mut self.stage else { return Ok(true) };
        let mut stream = Pin::new(stream);
        loop {
            let rest = if preface.is_empty() { connection.output() } else { preface.as_slice() };
            if rest.is_empty() {
                return Ok(true);
            }
            match stream.as_mut().poll_write(cx, rest) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) if preface.is_empty() => connection.consume(n),
                Poll::Ready(Ok(n)) => drop(preface.drain(..n)),
                Poll::Ready(Err(error)) => return Err(error),
            }
            self.needs_flush = true;
        }
    }

    /// Asked again until it is done: a stream with a buffer of its own keeps the rest otherwise.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Stage::Open(Open { stream, .. }) = &mut self.stage else { return Poll::Ready(Ok(())) };
        if !self.needs_flush {
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(stream).poll_flush(cx);
        self.needs_flush = polled.is_pending();
        polled
    }

    /// A connection that was never open.
    fn fail(&mut self, error: TransportError) {
        self.stage = Stage::Over;
        self.events.push_back(TransportEvent::Failed(error));
        self.events.push_back(TransportEvent::Closed { code: 1006, reason: String::new(), was_clean: false });
    }

    /// An open connection has ended. After both close frames nothing is wrong, however it did.
    fn end(&mut self, error: Option<TransportError>) {
        if let Stage::Open(Open { mut connection, .. }) = core::mem::replace(&mut self.stage, Stage::Over) {
            let closed = connection.transport_ended();
            self.events.extend(error.filter(|_| !closed.was_clean).map(TransportEvent::Failed));
            self.events.push_back(TransportEvent::Closed {
                code: closed.code.get(),
                reason: closed.reason.as_str().into(),
                was_clean: closed.was_clean,
            });
        }
    }
}

impl<S: ByteStream> Transport for NativeTransport<S> {
    fn takes_values(&self) -> bool {
        false
    }

    fn has_room(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        let room = match &inner.stage {
            Stage::Open(open) => open.has_room(inner.output_bytes),
            _ => false,
        };
        inner.room_refused |= !room;
        room
    }

    fn send(&self, part: Transmit) -> bool {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let Stage::Open(open) = &mut inner.stage else { return false };
        if open.outgoing.is_some() {
            return false;
        }
        let (keys, connection) = (&mut inner.keys, &mut open.connection);
        let short = match Outgoing::cut(part.payload, part.last, inner.fragment_bytes) {
            Err(short) => short,
            Ok(long) if connection.can_send() => {
                open.outgoing = Some(long);
                inner.feed();
                return true;
            }
            Ok(_) => return false,
        };
        let kind = if part.text { MessageKind::Text } else { MessageKind::Binary };
        let sent = match &short {
            Payload::Text(text) => connection.send_text(text, || keys.next()),
            Payload::Binary(bytes) => connection.send_message(kind, bytes, part.last, || keys.next()),
            Payload::Hosted(_) => return false,
        };
        sent.is_ok()
    }

    fn close(&self, code: Option<u16>, reason: &str) {
        let mut inner = self.inner.borrow_mut();
        if let Stage::Open(open) = &mut inner.stage {
            let frame = code.and_then(|code| CloseFrame::new(CloseCode::new(code), reason).ok());
            open.closing = Some(Close(frame));
            inner.feed();
        }
    }

    fn abort(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.stage = Stage::Over;
        inner.events.clear();
    }

    fn fetch(&self, _: Slot, _: Range<u64>, token: FetchToken) {
        // There are no host values on the host.
        let event = TransportEvent::Fetched { token, content: None };
        self.inner.borrow_mut().events.push_back(event);
    }

    fn release(&self, _: Slot) {}

    fn take_bytes(&self, _: Payload) -> Option<Vec<u8>> {
        None
    }

    fn opened(&self) -> Opened {
        self.inner.borrow().opened.clone()
    }

    fn next_event(&self) -> Option<TransportEvent> {
        self.inner.borrow_mut().events.pop_front()
    }
}

fn broken(error: &io::Error) -> TransportError {
    TransportError::Io { message: error.to_string() }
}

/// All values of a field, as one.
fn header(headers: &Headers, name: &str) -> String {
    let values: Vec<_> = headers.all(name).map(String::from_utf8_lossy).collect();
    values.join(", ")
}
