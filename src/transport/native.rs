//! RFC 6455 over a byte stream of tokio: [`proto::ws`](crate::proto::ws) presented as messages.
//!
//! A client gets its stream from a future that dials and greets; a server has one already. From there on
//! both are the same.
//!
//! Not here: which streams are dialled, redirects, retries, queues of the application.

pub(crate) mod dial;
mod greet;
mod keys;
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
use super::{FetchToken, Incoming, Moved, Opened, Transport, TransportError, TransportEvent};
use crate::proto::payload::{Payload, Slot, Transmit};
use crate::proto::ws::{
    Accepted, CloseCode, CloseFrame, Connection, Event, Headers, Limits, Message, MessageKind, Role,
};

/// Most bytes that may wait to be written before the queue has to wait. Small, because a pong and a
/// close frame wait behind them; large enough to fill a segment of loopback.
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
    /// Frames go both ways. `preface` is written before them (a server's response).
    Open { stream: S, connection: Box<Connection>, preface: Vec<u8> },
    /// Over.
    Over,
}

impl<S: ByteStream> NativeTransport<S> {
    /// A client that is open once `connecting` is done.
    pub(crate) fn connecting(connecting: Connecting<S>) -> Self {
        Self::new(Stage::Connecting(connecting))
    }

    /// A server whose client has been read from; `response` accepts it. The codec of `connection`
    /// takes messages while fewer than `output_bytes` wait.
    pub(crate) fn accepted(
        stream: S,
        connection: Connection,
        output_bytes: usize,
        response: Vec<u8>,
        protocol: String,
    ) -> Self {
        let transport =
            Self::new(Stage::Open { stream, connection: Box::new(connection), preface: response });
        let mut inner = transport.inner.borrow_mut();
        inner.output_bytes = output_bytes.clamp(1, OUTPUT_BYTES);
        inner.opened.protocol = protocol;
        inner.events.push_back(TransportEvent::Opened);
        drop(inner);
        transport
    }

    fn new(stage: Stage<S>) -> Self {
        let inner = Inner {
            stage,
            keys: Keys::new(),
            events: VecDeque::new(),
            opened: Opened::default(),
            output_bytes: OUTPUT_BYTES,
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
            Stage::Open { .. } => inner.poll_open(cx, reads),
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
            Stage::Open { .. } => 1,
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
                self.stage = Stage::Open { stream, connection: Box::new(connection), preface: Vec::new() };
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
        let written = match self.write(cx) {
            Ok(written) => written,
            Err(error) => {
                self.end(Some(broken(&error)));
                return Moved::Something;
            }
        };
        let Stage::Open { stream, connection, .. } = &mut self.stage else { return Moved::Something };
        // Both close frames have passed, or the peer was told of its fault. Until then the session
        // keeps the time.
        let over = self.ending || connection.should_end_transport();
        if over && written && Pin::new(stream).poll_shutdown(cx).is_ready() {
            self.end(None);
            return Moved::Something;
        }
        if self.room_refused && connection.pending() < self.output_bytes {
            self.room_refused = false;
            moved = true;
        }
        if much { Moved::Much } else { moved.into() }
    }

    /// Nothing more will be read.
    fn stream_ended(&mut self, cx: &mut Context<'_>, error: Option<TransportError>) -> Moved {
        self.take_events(usize::MAX);
        // A close frame that came with the end of the stream is still answered, and so is the end itself,
        // as far as that takes no waiting.
        if self.write(cx).is_ok_and(|written| written)
            && let Stage::Open { stream, .. } = &mut self.stage
        {
            let _ = Pin::new(stream).poll_shutdown(cx);
        }
        self.end(error);
        Moved::Something
    }

    /// Reads once; `None` if nothing is there now, 0 at the end.
    fn read(&mut self, cx: &mut Context<'_>) -> io::Result<Option<usize>> {
        let Stage::Open { stream, connection, .. } = &mut self.stage else { return Ok(None) };
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
            let Stage::Open { connection, .. } = &mut self.stage else { return any };
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

    /// Writes as much as goes. Returns whether nothing is left, in the stream's own buffer either.
    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let Stage::Open { stream, connection, preface } = &mut self.stage else { return Ok(true) };
        let mut stream = Pin::new(stream);
        let blocked = loop {
            let rest = if preface.is_empty() { connection.output() } else { preface.as_slice() };
            if rest.is_empty() {
                break false;
            }
            match stream.as_mut().poll_write(cx, rest) {
                Poll::Pending => break true,
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) if preface.is_empty() => connection.consume(n),
                Poll::Ready(Ok(n)) => drop(preface.drain(..n)),
                Poll::Ready(Err(error)) => return Err(error),
            }
            self.needs_flush = true;
        };
        // Asked again until it is done: a stream with a buffer of its own keeps the rest otherwise.
        if self.needs_flush {
            match stream.poll_flush(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Ready(Ok(())) => self.needs_flush = false,
            }
        }
        Ok(!blocked)
    }

    /// A connection that was never open.
    fn fail(&mut self, error: TransportError) {
        self.stage = Stage::Over;
        self.events.push_back(TransportEvent::Failed(error));
        self.events.push_back(TransportEvent::Closed { code: 1006, reason: String::new(), was_clean: false });
    }

    /// An open connection has ended. After both close frames nothing is wrong, however it did.
    fn end(&mut self, error: Option<TransportError>) {
        if let Stage::Open { mut connection, .. } = core::mem::replace(&mut self.stage, Stage::Over) {
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
            Stage::Open { connection, .. } => connection.pending() < inner.output_bytes,
            _ => false,
        };
        inner.room_refused |= !room;
        room
    }

    fn send(&self, part: Transmit) -> bool {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let Stage::Open { connection, .. } = &mut inner.stage else { return false };
        let keys = &mut inner.keys;
        let kind = if part.text { MessageKind::Text } else { MessageKind::Binary };
        let sent = match &part.payload {
            Payload::Text(text) => connection.send_text(text, || keys.next()),
            Payload::Binary(bytes) => connection.send_message(kind, bytes, part.last, || keys.next()),
            Payload::Hosted(_) => return false,
        };
        sent.is_ok()
    }

    fn close(&self, code: Option<u16>, reason: &str) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        if let Stage::Open { connection, .. } = &mut inner.stage {
            let frame = code.and_then(|code| CloseFrame::new(CloseCode::new(code), reason).ok());
            let keys = &mut inner.keys;
            // Closing already, if this fails: then a close frame has been sent.
            let _ = connection.send_close(frame.as_ref(), || keys.next());
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
