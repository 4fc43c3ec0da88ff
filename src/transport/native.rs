//! RFC 6455 over a byte stream of tokio: [`proto::ws`](crate::proto::ws) presented as messages.
//!
//! A client gets its stream from a future that dials and greets; a server has one already. From there on
//! both are the same.
//!
//! Not here: which streams are dialled, redirects, retries, queues of the application.

mod arrived;
pub(crate) mod dial;
mod greet;
mod keys;
mod open;
mod outgoing;
mod silence;
#[cfg(all(test, feature = "tls"))]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;
#[cfg(feature = "tls")]
pub(crate) mod tls;

use core::cell::RefCell;
use core::ops::Range;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use self::arrived::Arrived;
pub(crate) use self::greet::{greet, tunnel};
pub(crate) use self::keys::Keys;
use self::open::{Bounds, Broken, Open, Written};
use self::silence::{Silence, Verdict};
use super::{FetchToken, Incoming, IoSource, Moved, Opened, Transport, TransportError, TransportEvent};
use crate::proto::payload::{Payload, Slot, Transmit};
use crate::proto::ws::{
    Accepted, CloseCode, CloseFrame, Connection, Event, Headers, Limits, Message, Role, State,
};
use crate::time::Timestamp;

/// Most bytes that may wait to be written before the queue has to wait. Small, because a pong and a
/// close frame wait behind them and one fragment more; large enough to fill a segment of loopback.
const OUTPUT_BYTES: usize = 64 << 10;

/// How many reads are made before what was read is looked at and other tasks get their turn.
const READS_AT_ONCE: usize = 16;

/// For how long [`Limits::max_control_frames`] allows so many.
const CONTROL_PERIOD: Duration = Duration::from_secs(1);

/// How long what a peer still sends is read and discarded once it was told of its fault and the stream was
/// ended. A socket that is dropped with something unread resets the connection, and the reset may overtake the
/// close frame. It costs no memory, and no more time than messages would.
const DISCARD_WITHIN: Duration = Duration::from_secs(1);

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
    /// How long the peer may be silent before it is pinged, and again after that; `None` for ever.
    pub(crate) ping_after: Option<Duration>,
    /// What a server may send to a client.
    pub(crate) limits: Limits,
    /// Most bytes of a message from a server that has chosen this subprotocol.
    pub(crate) message_bytes_of: Option<(&'static str, u64)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fragment_bytes: Some(FRAGMENT_BYTES),
            ping_after: Some(PING_AFTER),
            limits: Limits::default(),
            message_bytes_of: None,
        }
    }
}

/// How long a peer may be silent before it is pinged. Shorter than the 30 s and 60 s after which common
/// routers and proxies forget a connection that nothing goes over.
const PING_AFTER: Duration = Duration::from_secs(20);

/// Most bytes of a message that go out in one frame, unless something else is asked for.
///
/// A pong waits for one fragment and for [`OUTPUT_BYTES`]: 0.3 s at 10 Mbit/s, against minutes for a whole
/// message. Nothing is gained by smaller ones, which each receiver has to join again: over loopback 4 MiB
/// went out at the same speed whole and in parts of 16 KiB to 1 MiB, and 32 MiB 2.3 times as fast in parts,
/// since they stay in the processor's cache and in one buffer.
const FRAGMENT_BYTES: usize = 256 << 10;

/// What stands around a chunk of [`FRAGMENT_BYTES`] in a message of tidegate mode, which is no reason for a second frame.
#[cfg(feature = "v1")]
const HEAD_BYTES: usize = 1 << 10;

/// See the module's page.
pub(crate) struct NativeTransport<S> {
    inner: RefCell<Inner<S>>,
}

struct Inner<S> {
    stage: Stage<S>,
    keys: Keys,
    events: Arrived,
    opened: Opened,
    bounds: Bounds,
    limits: Limits,
    message_bytes_of: Option<(&'static str, u64)>,
    /// How long the peer may be silent.
    ping_after: Option<Duration>,
    /// Watches for it, once the connection is open.
    silence: Option<Silence>,
    /// When another [`Limits::max_control_frames`] are allowed, if one has come since they were last.
    renews_at: Option<Timestamp>,
    /// The driver has been told that there is no room.
    room_refused: bool,
    /// The peer's close frame has come, or it broke the protocol: nothing more is received.
    ending: bool,
}

enum Stage<S> {
    /// The byte stream is being opened, and the opening handshake done on it.
    Connecting(Connecting<S>),
    /// Frames go both ways.
    Open(Open<S>),
    /// The peer was told of its fault, and our half of the stream is ended; what comes until the peer ends its
    /// half, or until the given moment, is discarded.
    Discarding(Open<S>, Timestamp),
    /// Over.
    Over,
}

impl<S: ByteStream> NativeTransport<S> {
    /// A client that is open once `connecting` is done.
    pub(crate) fn connecting(connecting: Connecting<S>, options: Options) -> Self {
        Self::new(Stage::Connecting(connecting), options)
    }

    /// A server whose client has been read from; `response` accepts it.
    pub(crate) fn accepted(
        stream: S,
        connection: Connection,
        response: Vec<u8>,
        opened: Opened,
        options: Options,
    ) -> Self {
        let transport = Self::new(Stage::Open(Open::new(stream, connection, response)), options);
        let mut inner = transport.inner.borrow_mut();
        inner.opened = opened;
        inner.events.push(TransportEvent::Opened);
        drop(inner);
        transport
    }

    fn new(stage: Stage<S>, options: Options) -> Self {
        let inner = Inner {
            stage,
            keys: Keys::new(),
            events: Arrived::default(),
            opened: Opened::default(),
            bounds: Bounds {
                output_bytes: options.limits.max_output_bytes.clamp(1, OUTPUT_BYTES),
                fragment_bytes: options.fragment_bytes.unwrap_or(usize::MAX).max(1),
            },
            limits: options.limits,
            message_bytes_of: options.message_bytes_of,
            ping_after: options.ping_after,
            silence: None,
            renews_at: None,
            room_refused: false,
            ending: false,
        };
        Self { inner: RefCell::new(inner) }
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        let inner = self.inner.borrow();
        match &inner.stage {
            Stage::Open(Open { broken: Some(broken), .. }) => broken.due(),
            Stage::Open(_) => inner.silence.as_ref().map(Silence::due),
            Stage::Discarding(_, until) => Some(*until),
            _ => None,
        }
    }

    /// Looks whether the peer has been silent for too long. All else that has its time is looked at by
    /// [`poll_io`](Self::poll_io), which comes next.
    pub(crate) fn handle_timeout(&self, now: Timestamp) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let (Stage::Open(open), Some(silence)) = (&mut inner.stage, &mut inner.silence) else { return };
        if open.broken.is_some() {
            // It cannot be asked.
            return;
        }
        match silence.look(now) {
            Verdict::Wait => {}
            Verdict::Ask => {
                open.connection.release_spare(usize::MAX);
                let keys = &mut inner.keys;
                // Without one, if so much waits to be written already that it would not be seen, or the
                // connection is closing: then what is under way has to do as a question.
                let _ = open.connection.send_ping(&[], || keys.next());
            }
            Verdict::Gone => {
                let within = silence.after();
                inner.end(Some(TransportError::Silent { within }));
            }
        }
    }

    /// Moves what can be moved, both ways.
    pub(crate) fn poll_io(&self, cx: &mut Context<'_>, reads: bool, now: Timestamp) -> Moved {
        let mut inner = self.inner.borrow_mut();
        let before = inner.stage_number();
        let moved = match &mut inner.stage {
            Stage::Connecting(_) => inner.poll_connecting(cx).into(),
            Stage::Open(_) => inner.poll_open(cx, reads, now),
            Stage::Discarding(..) => inner.poll_discarding(cx, now),
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
            Stage::Discarding(..) => 2,
            Stage::Over => 3,
        }
    }

    fn poll_connecting(&mut self, cx: &mut Context<'_>) -> bool {
        let Stage::Connecting(connecting) = &mut self.stage else { return false };
        match connecting.as_mut().poll(cx) {
            Poll::Pending => return false,
            Poll::Ready(Err(error)) => self.fail(error),
            Poll::Ready(Ok(Established { stream, accepted })) => {
                if let Some((protocol, most)) = self.message_bytes_of
                    && accepted.subprotocol.as_deref() == Some(protocol)
                {
                    self.limits.max_message_bytes = self.limits.max_message_bytes.min(most);
                }
                #[cfg(not(feature = "deflate"))]
                let mut connection = Connection::new(Role::Client, self.limits);
                #[cfg(feature = "deflate")]
                let mut connection =
                    Connection::with_deflate(Role::Client, self.limits, accepted.deflate.as_ref());
                connection.receive(&accepted.rest);
                let extensions = header(&accepted.headers, "Sec-WebSocket-Extensions");
                let protocol = accepted.subprotocol.unwrap_or_default();
                self.opened = Opened { protocol, extensions };
                self.events.push(TransportEvent::Opened);
                self.stage = Stage::Open(Open::new(stream, connection, Vec::new()));
            }
        }
        true
    }

    fn poll_open(&mut self, cx: &mut Context<'_>, reads: bool, now: Timestamp) -> Moved {
        if self.silence.is_none() {
            self.silence = self.ping_after.map(|after| Silence::new(after, now));
        }
        if let Stage::Open(open) = &mut self.stage
            && self.renews_at.is_some_and(|at| at <= now)
        {
            // Only reading uses the allowance up, so that no timer has to wake for it.
            open.connection.renew_control_allowance();
            self.renews_at = None;
        }
        // Whoever does not listen cannot say that nothing was said.
        let mut alive = !reads;
        let mut moved = reads && self.take_events(now);
        let mut much = false;
        for read in 1..=if reads { READS_AT_ONCE } else { 0 } {
            if self.events.is_much() || self.is_paused() {
                much = true;
                break;
            }
            // After the last read there may be more, of which no waker knows.
            much = read == READS_AT_ONCE;
            let Stage::Open(open) = &mut self.stage else { return Moved::Something };
            match open.read(cx) {
                Ok(Some(0)) => {
                    let message = "the stream ended without a close frame".to_owned();
                    let error = TransportError::Io { message, source: None };
                    return self.stream_ended(cx, Some(error).filter(|_| !self.ending));
                }
                // TLS says so if the peer ends without a word of TLS. Whether a close frame came before
                // counts, and nothing else: RFC 6455 needs no such word.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return self.stream_ended(cx, Some(broken(error)));
                }
                Ok(Some(_)) => {
                    alive = true;
                    moved |= self.take_events(now);
                }
                Ok(None) => {
                    much = false;
                    break;
                }
                Err(error) => {
                    self.end(Some(broken(error)));
                    return Moved::Something;
                }
            }
        }
        let Stage::Open(open) = &mut self.stage else { return Moved::Something };
        if let Some(broken) = &mut open.broken {
            if !reads {
                broken.pause();
            } else if broken.read(now, !much) || self.ending {
                self.end(None);
                return Moved::Something;
            }
            return if much { Moved::Much } else { moved.into() };
        }
        open.feed(self.bounds, &mut self.keys);
        much |= open.is_compressing(self.bounds);
        let Written { all, unblocked } = match open.write(cx) {
            Ok(written) => written,
            Err(error) => {
                open.broken = Some(Broken::new(broken(error)));
                return Moved::Something;
            }
        };
        if (alive || unblocked)
            && let Some(silence) = &mut self.silence
        {
            silence.heard(now);
        }
        if self.room_refused && open.has_room(self.bounds) {
            self.room_refused = false;
            moved = true;
        }
        // The rest of a long message follows when what has come in meanwhile was looked at.
        much |= all && open.is_within_message();
        // Both close frames have passed, or the peer was told of its fault. Until then the session
        // keeps the time.
        let over = all && (self.ending || open.connection.should_end_transport());
        // Flushed when no more can be read and no more is to be written, or after so much that others
        // have their turn: a stream with a buffer of its own fills it meanwhile.
        if all && (over || much || !moved) {
            match open.flush(cx) {
                Poll::Ready(Ok(())) if over && open.shut_down(cx).is_ready() => {
                    self.shut_down(now);
                    return Moved::Something;
                }
                Poll::Ready(Ok(())) | Poll::Pending => {}
                Poll::Ready(Err(error)) => {
                    open.broken = Some(Broken::new(broken(error)));
                    return Moved::Something;
                }
            }
        }
        if much { Moved::Much } else { moved.into() }
    }

    /// Our half of the stream is ended.
    fn shut_down(&mut self, now: Timestamp) {
        match core::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Open(open) if open.connection.state() == State::Failed => {
                self.stage = Stage::Discarding(open, now.saturating_add(DISCARD_WITHIN));
            }
            // Behind its close frame a peer sends nothing.
            stage => {
                self.stage = stage;
                self.end(None);
            }
        }
    }

    fn poll_discarding(&mut self, cx: &mut Context<'_>, now: Timestamp) -> Moved {
        for _ in 0..READS_AT_ONCE {
            let Stage::Discarding(open, until) = &mut self.stage else { return Moved::Nothing };
            // The codec takes nothing more.
            match open.read(cx) {
                Ok(Some(1..)) if now < *until => {}
                Ok(None) if now < *until => return Moved::Nothing,
                _ => {
                    self.end(None);
                    return Moved::Something;
                }
            }
        }
        Moved::Much
    }

    /// A fault of the peer is to be reported by the next look at what has come.
    fn is_paused(&self) -> bool {
        matches!(&self.stage, Stage::Open(open) if open.connection.is_paused())
    }

    /// Nothing more will be read. What was read before has been taken, or there would have been no read.
    fn stream_ended(&mut self, cx: &mut Context<'_>, error: Option<TransportError>) -> Moved {
        // A close frame that came with the end of the stream is still answered, and so is the end itself,
        // as far as that takes no waiting.
        if let Stage::Open(open) = &mut self.stage
            && open.broken.is_none()
            && open.write(cx).is_ok_and(|written| written.all)
        {
            let _ = open.shut_down(cx);
        }
        self.end(error);
        Moved::Something
    }

    /// Takes what the codec makes of the bytes until much waits, or until nothing more can be made of them.
    /// Returns whether there was something.
    fn take_events(&mut self, now: Timestamp) -> bool {
        let mut any = false;
        while !self.events.is_much() {
            let Stage::Open(Open { connection, .. }) = &mut self.stage else { return any };
            let keys = &mut self.keys;
            let event = match connection.poll_event(|| keys.next()) {
                Ok(Some(event)) => event,
                Ok(None) => return any,
                // Said once: the codec repeats its error for ever.
                Err(_) if self.ending => return any,
                Err(error) => {
                    self.ending = true;
                    let failed = TransportError::Protocol(error);
                    self.events.push(TransportEvent::Failed(failed));
                    self.events.push(TransportEvent::Closing { code: 1006, reason: String::new() });
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
                    self.events.push(TransportEvent::Closing { code, reason });
                    continue;
                }
                // Pings are answered by the codec; a pong answers none of ours.
                Event::Ping(_) | Event::Pong(_) => {
                    self.renews_at.get_or_insert_with(|| now.saturating_add(CONTROL_PERIOD));
                    continue;
                }
            };
            self.events.push(TransportEvent::Message(Incoming::Message(payload)));
        }
        any
    }

    /// A connection that was never open.
    fn fail(&mut self, error: TransportError) {
        self.stage = Stage::Over;
        self.events.push(TransportEvent::Failed(error));
        self.events.push(TransportEvent::Closed { code: 1006, reason: String::new(), was_clean: false });
    }

    /// An open connection has ended. After both close frames nothing is wrong, however it did; a fault of
    /// the peer was told when it was found; and what made it impossible to write came before `error`.
    fn end(&mut self, error: Option<TransportError>) {
        let stage = core::mem::replace(&mut self.stage, Stage::Over);
        if let Stage::Open(open) | Stage::Discarding(open, _) = stage {
            let Open { mut connection, broken, .. } = open;
            let closed = connection.transport_ended();
            let error = broken.map(|broken| broken.error).or(error);
            if let Some(error) = error.filter(|_| !closed.was_clean && closed.error.is_none()) {
                self.events.push(TransportEvent::Failed(error));
            }
            self.events.push(TransportEvent::Closed {
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

    fn buffered_amount(&self) -> u64 {
        match &self.inner.borrow().stage {
            Stage::Open(open) => open.unwritten(),
            _ => 0,
        }
    }

    fn has_room(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        let room = match &inner.stage {
            Stage::Open(open) => open.has_room(inner.bounds),
            _ => false,
        };
        inner.room_refused |= !room;
        room
    }

    fn send(&self, part: Transmit) -> bool {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let Stage::Open(open) = &mut inner.stage else { return false };
        open.send(part.payload, part.last, inner.bounds, &mut inner.keys)
    }

    #[cfg(feature = "v1")]
    fn send_records(&self, out: crate::proto::payload::Outgoing) -> bool {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let Stage::Open(open) = &mut inner.stage else { return false };
        let mut bounds = inner.bounds;
        bounds.fragment_bytes = bounds.fragment_bytes.saturating_add(HEAD_BYTES);
        out.inserts.is_empty() && open.send(Payload::Binary(out.bytes), true, bounds, &mut inner.keys)
    }

    fn close(&self, code: Option<u16>, reason: String) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        if let Stage::Open(open) = &mut inner.stage {
            let frame = code.and_then(|code| CloseFrame::new(CloseCode::new(code), &reason).ok());
            open.close(frame, inner.bounds, &mut inner.keys);
        }
    }

    fn abort(&self) {
        let mut inner = self.inner.borrow_mut();
        if let Stage::Open(open) = &mut inner.stage {
            open.give_up();
        }
        inner.stage = Stage::Over;
        inner.events.clear();
    }

    fn fetch(&self, _: Slot, _: Range<u64>, token: FetchToken) {
        // There are no host values on the host.
        let event = TransportEvent::Fetched { token, content: None };
        self.inner.borrow_mut().events.push(event);
    }

    fn release(&self, _: Slot) {}

    fn take_bytes(&self, _: Payload) -> Option<Vec<u8>> {
        None
    }

    fn opened(&self) -> Opened {
        self.inner.borrow().opened.clone()
    }

    fn next_event(&self, reads: bool) -> Option<TransportEvent> {
        if reads { self.inner.borrow_mut().events.pop() } else { None }
    }
}

fn broken(error: io::Error) -> TransportError {
    TransportError::Io { message: error.to_string(), source: Some(IoSource::new(error)) }
}

/// All values of a field, as one.
fn header(headers: &Headers, name: &str) -> String {
    let values: Vec<_> = headers.all(name).map(String::from_utf8_lossy).collect();
    values.join(", ")
}
