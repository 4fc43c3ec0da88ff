//! An open connection without its transport: pings, the closing handshake, what waits to be
//! written.
//!
//! Not here: the opening handshake, deadlines, and when to give up on a peer.

use core::num::NonZeroUsize;

use super::assembly::{Incoming, MessageDecoder, MessageRef};
use super::close::{CloseCode, CloseFrame, CloseReason};
use super::encoder::{Control, Encoder, SendError};
use super::limits::Limits;
use super::message::{Message, MessageKind, Role};
use super::output::Output;
use super::state::{Input, State};
use crate::proto::error::ProtocolError;

/// What came from the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A whole message.
    Message(Message),
    /// A ping with its payload. It is answered already.
    Ping(Vec<u8>),
    /// A pong with its payload.
    Pong(Vec<u8>),
    /// The peer's close frame, the last event; answered already. `None` if it had no code.
    Close(Option<CloseFrame>),
}

/// [`Event`] with the message lent: see [`Connection::poll_event_ref`].
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventRef {
    /// A whole message, for [`Connection::bytes`] or [`Connection::take`].
    Message(MessageRef),
    /// A ping with its payload. It is answered already.
    Ping(Vec<u8>),
    /// A pong with its payload.
    Pong(Vec<u8>),
    /// The peer's close frame, the last event; answered already. `None` if it had no code.
    Close(Option<CloseFrame>),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The code of the peer's close frame; 1005 if that had none, 1006 if none came.
    pub code: CloseCode,
    /// The reason in the peer's close frame; empty without one.
    pub reason: CloseReason,
    /// Whether both close frames had passed when the transport ended.
    pub was_clean: bool,
    /// The fault for which this side failed the connection.
    pub error: Option<ProtocolError>,
}

/// One endpoint of an open connection, driven by a transport.
///
/// The transport reads into [`spare`](Self::spare), says so with [`filled`](Self::filled), calls
/// [`poll_event`](Self::poll_event) until it gives `None`, and writes [`output`](Self::output),
/// saying with [`consume`](Self::consume) how much it wrote. It may read and write in any order;
/// after each call that received something there may be more to write. When
/// [`should_end_transport`](Self::should_end_transport) says so it closes, and once the transport
/// has ended, by whoever and however, [`transport_ended`](Self::transport_ended) tells how the
/// connection ended.
///
/// Every call that may queue a frame takes `next_key`, from which a client draws one masking key a
/// frame. It must be a cryptographic generator (RFC 6455 §10.3); a server passes
/// [`no_key`](super::no_key).
///
/// No call blocks, and nothing is half done between two calls: dropping a future that drives this
/// loses nothing as long as it reports the bytes it has read and written.
///
/// # Examples
///
/// Two endpoints in memory:
///
/// ```
/// use tidegate::proto::ws::{CloseFrame, CloseCode, Connection, Event, Limits, Message, Role, no_key};
///
/// /// Carries what waits at one end to the other.
/// fn carry(from: &mut Connection, to: &mut Connection) {
///     while from.pending() > 0 {
///         let spare = to.spare();
///         let n = spare.len().min(from.pending());
///         spare[..n].copy_from_slice(&from.output()[..n]);
///         to.filled(n);
///         from.consume(n);
///     }
/// }
///
/// let mut counter = 0_u32;
/// let mut next_key = || { counter += 1; counter.to_be_bytes() }; // a real one must be random
/// let mut client = Connection::new(Role::Client, Limits::default());
/// let mut server = Connection::new(Role::Server, Limits::default());
///
/// client.send_text("Hello", &mut next_key)?;
/// carry(&mut client, &mut server);
/// assert_eq!(server.poll_event(no_key)?, Some(Event::Message(Message::from("Hello"))));
///
/// let close = CloseFrame::new(CloseCode::NORMAL, "bye")?;
/// server.send_close(Some(&close), no_key)?;
/// carry(&mut server, &mut client);
/// assert_eq!(client.poll_event(&mut next_key)?, Some(Event::Close(Some(close))));
/// carry(&mut client, &mut server);
/// server.poll_event(no_key)?;
/// assert!(server.should_end_transport()); // the server ends it first (RFC 6455 §7.1.1)
/// assert!(client.transport_ended().was_clean);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    role: Role,
    state: State,
    incoming: MessageDecoder,
    encoder: Encoder,
    output: Output,
    /// What the peer's close frame said, 1005 for nothing.
    received_close: Option<(CloseCode, CloseReason)>,
    error: Option<ProtocolError>,
    pause: Pause,
    max_output_bytes: usize,
}

/// Whether a fault is reported by the poll that finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pause {
    /// By that one.
    Off,
    /// By the one after it.
    Armed,
    /// It was found; the next poll reports it.
    Taken,
}

impl Connection {
    /// A connection whose opening handshake is done.
    #[must_use]
    pub const fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            state: State::Open,
            incoming: MessageDecoder::new(role, limits),
            encoder: Encoder::new(role),
            output: Output::new(),
            received_close: None,
            error: None,
            pause: Pause::Off,
            max_output_bytes: limits.max_output_bytes,
        }
    }

    /// A connection whose opening handshake has agreed on permessage-deflate, or not.
    ///
    /// Messages are then compressed and inflated here; what is lent and what is sent is as without. Each
    /// direction that is used takes memory: 370 KiB to compress and 47 KiB to inflate. It is kept from one
    /// message to the next, unless it was agreed that nothing is.
    ///
    /// # Specification
    ///
    /// [RFC 7692 §7](https://www.rfc-editor.org/rfc/rfc7692#section-7).
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn with_deflate(role: Role, limits: Limits, agreed: Option<&super::Deflate>) -> Self {
        let plain = Self::new(role, limits);
        let Some(agreed) = agreed else { return plain };
        Self {
            incoming: MessageDecoder::with_deflate(role, limits, agreed),
            encoder: Encoder::with_deflate(role, agreed),
            ..plain
        }
    }

    /// Whether the messages begun from now on are compressed: see
    /// [`Encoder::set_deflates`](super::Encoder::set_deflates).
    #[cfg(feature = "deflate")]
    pub const fn set_deflates(&mut self, deflates: bool) {
        self.encoder.set_deflates(deflates);
    }

    /// Splits each part of a message into frames of at most this many payload bytes; `None`, the
    /// default, makes each part one frame.
    pub const fn set_fragment_bytes(&mut self, bytes: Option<NonZeroUsize>) {
        self.encoder.set_fragment_bytes(bytes);
    }

    /// Whether to pause before a fault of the peer: the poll that finds it then gives `None` once,
    /// [`is_paused`](Self::is_paused) says so, and the next poll reports it. Off by default.
    ///
    /// For transports whose application is told of messages later, through a queue or in another
    /// task: a fault that came in the same read as a message would fail the connection before
    /// anything could be said to that message. Between the two polls it can be.
    pub const fn set_pause_before_fault(&mut self, pause: bool) {
        self.pause = if pause { Pause::Armed } else { Pause::Off };
    }

    /// Whether a fault was found that the next poll reports. Poll again then without reading: the
    /// peer may be waiting for the close frame.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        matches!(self.pause, Pause::Taken)
    }

    /// Where the connection stands.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The side of the connection that this endpoint is on.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    // Receiving.

    /// Room for received bytes, never empty: see [`Decoder::spare`](super::Decoder::spare).
    ///
    /// Poll events until `None` first, as frames that wait make the buffer grow. After the peer's
    /// close frame or a fault there is room too, and what is written there is ignored.
    pub fn spare(&mut self) -> &mut [u8] {
        self.incoming.spare()
    }

    /// Gives back the memory of [`spare`](Self::spare) if nothing waits in it and it is not larger than `most` bytes.
    /// To be called when there was nothing to be read.
    #[cfg(all(feature = "native", not(target_family = "wasm")))]
    pub(crate) fn release_spare(&mut self, most: usize) {
        self.incoming.release_spare(most);
    }

    /// Says that the first `n` bytes of [`spare`](Self::spare) were written.
    pub fn filled(&mut self, n: usize) {
        if self.is_receiving() {
            self.incoming.filled(n);
        }
    }

    /// Takes a copy of received bytes, such as those that came with the opening handshake.
    pub fn receive(&mut self, bytes: &[u8]) {
        if self.is_receiving() {
            self.incoming.receive(bytes);
        }
    }

    /// The next event, its payload owned; `None` if more bytes are needed.
    ///
    /// Messages still come after [`send_close`](Self::send_close), until the peer's close frame.
    /// A ping is answered here. While 16 pongs wait to be written, at most one more is held, and a
    /// newer ping replaces it.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`] if the peer broke the protocol; every later call repeats it. The close
    /// frame that says so is queued: write [`output`](Self::output), then end the transport.
    pub fn poll_event(&mut self, next_key: impl FnMut() -> [u8; 4]) -> Result<Option<Event>, ProtocolError> {
        // The shortest way, for what most events are.
        if self.error.is_none()
            && self.is_receiving()
            && let Some(message) = self.incoming.take_whole()
        {
            return Ok(Some(Event::Message(message)));
        }
        Ok(match self.poll_event_ref(next_key)? {
            Some(EventRef::Message(message)) => Some(Event::Message(self.incoming.take(message))),
            Some(EventRef::Ping(payload)) => Some(Event::Ping(payload)),
            Some(EventRef::Pong(payload)) => Some(Event::Pong(payload)),
            Some(EventRef::Close(close)) => Some(Event::Close(close)),
            None => None,
        })
    }

    /// [`poll_event`](Self::poll_event) with the message lent until the next call that takes
    /// `&mut self` to receive.
    ///
    /// # Errors
    ///
    /// As [`poll_event`](Self::poll_event).
    pub fn poll_event_ref(
        &mut self,
        mut next_key: impl FnMut() -> [u8; 4],
    ) -> Result<Option<EventRef>, ProtocolError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if !self.is_receiving() {
            return Ok(None);
        }
        let incoming = match self.incoming.poll() {
            Ok(Some(incoming)) => incoming,
            Ok(None) => return Ok(None),
            Err(_) if self.pause == Pause::Armed => {
                self.pause = Pause::Taken; // the decoder repeats its error
                return Ok(None);
            }
            Err(error) => {
                self.pause = Pause::Off;
                self.fail(error, &mut next_key);
                return Err(error);
            }
        };
        Ok(Some(match incoming {
            Incoming::Message(message) => EventRef::Message(message),
            Incoming::Ping(frame) => {
                let payload = self.incoming.control_payload(&frame).to_vec();
                // RFC 6455 §5.5.2 asks for a pong, §5.5.1 for silence after our close frame.
                if self.state.next(Input::Send).is_ok() {
                    self.queue_pong(&payload, &mut next_key);
                }
                EventRef::Ping(payload)
            }
            Incoming::Pong(frame) => EventRef::Pong(self.incoming.control_payload(&frame).to_vec()),
            Incoming::Close(close) => {
                self.on_close(close.as_ref(), &mut next_key);
                EventRef::Close(close)
            }
        }))
    }

    /// The payload of a lent message; of a text, valid UTF-8.
    #[must_use]
    pub fn bytes(&self, message: &MessageRef) -> &[u8] {
        self.incoming.bytes(message)
    }

    /// A lent message, owned; large payloads are given away with their buffer and not copied.
    pub fn take(&mut self, message: MessageRef) -> Message {
        self.incoming.take(message)
    }

    /// Allows another [`Limits::max_control_frames`] control frames from now on.
    pub const fn renew_control_allowance(&mut self) {
        self.incoming.renew_control_allowance();
    }

    /// Bytes that received data take in memory.
    #[must_use]
    pub fn input_capacity(&self) -> usize {
        self.incoming.capacity()
    }

    // Sending.

    /// Whether a message part would be taken now: the connection is open and the output has room.
    #[must_use]
    pub fn can_send(&self) -> bool {
        self.check_send().is_ok()
    }

    /// Queues a part of a message; `fin` ends it.
    ///
    /// Parts of bounded size let pongs pass between them and keep what waits small; the peer sees
    /// one message. The parts of a text may be cut inside a character. An empty part that does
    /// not end the message does nothing.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], [`SendError::OutputFull`], [`SendError::UnfinishedMessage`],
    /// [`SendError::InvalidUtf8`]; nothing was queued then.
    pub fn send_message(
        &mut self,
        kind: MessageKind,
        part: &[u8],
        fin: bool,
        next_key: impl FnMut() -> [u8; 4],
    ) -> Result<(), SendError> {
        self.check_send()?;
        self.encoder.message(kind, part, fin, next_key, self.output.writer())
    }

    /// Queues a whole text message.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], [`SendError::OutputFull`], [`SendError::UnfinishedMessage`].
    pub fn send_text(&mut self, text: &str, next_key: impl FnMut() -> [u8; 4]) -> Result<(), SendError> {
        self.check_send()?;
        self.encoder.text(text, next_key, self.output.writer())
    }

    /// Queues a whole binary message.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], [`SendError::OutputFull`], [`SendError::UnfinishedMessage`].
    pub fn send_binary(&mut self, bytes: &[u8], next_key: impl FnMut() -> [u8; 4]) -> Result<(), SendError> {
        if let Some(open) = self.encoder.open_message() {
            self.check_send()?;
            return Err(SendError::UnfinishedMessage { open });
        }
        self.send_message(MessageKind::Binary, bytes, true, next_key)
    }

    /// Queues a ping, also between the parts of a message.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], [`SendError::OutputFull`], [`SendError::ControlTooLong`].
    pub fn send_ping(&mut self, payload: &[u8], next_key: impl FnMut() -> [u8; 4]) -> Result<(), SendError> {
        self.check_send()?;
        self.encoder.control(Control::Ping, payload, next_key, self.output.writer())
    }

    /// Queues a pong that no ping asked for; pings are answered without this.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`], [`SendError::OutputFull`], [`SendError::ControlTooLong`].
    pub fn send_pong(&mut self, payload: &[u8], next_key: impl FnMut() -> [u8; 4]) -> Result<(), SendError> {
        self.check_send()?;
        self.encoder.control(Control::Pong, payload, next_key, self.output.writer())
    }

    /// Starts the closing handshake; `None` sends no code, which the peer sees as 1005.
    ///
    /// Behind what is queued, whatever the room; a message of which only parts were sent stays
    /// unfinished. Go on receiving until [`Event::Close`], with a deadline of your own.
    ///
    /// # Errors
    ///
    /// [`SendError::Closing`] if the connection is closing already.
    pub fn send_close(
        &mut self,
        close: Option<&CloseFrame>,
        mut next_key: impl FnMut() -> [u8; 4],
    ) -> Result<(), SendError> {
        self.state = self.state.next(Input::SendClose).map_err(|_| SendError::Closing)?;
        self.queue_close(close, &mut next_key);
        Ok(())
    }

    /// The bytes to write next.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.output.pending()
    }

    /// How many bytes wait to be written.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.output.pending().len()
    }

    /// Says that the first `n` bytes of [`output`](Self::output) were written.
    pub fn consume(&mut self, n: usize) {
        if self.output.consume(n) {
            self.apply(Input::CloseWritten);
        }
    }

    // Ending.

    /// Whether it is for this side to end the transport now: everything is written, and the
    /// connection failed or, for a server, both close frames have passed.
    ///
    /// A client waits for the server to end the transport, with a deadline of its own.
    ///
    /// # Specification
    ///
    /// [RFC 6455 §7.1.1](https://www.rfc-editor.org/rfc/rfc6455#section-7.1.1),
    /// [§7.1.7](https://www.rfc-editor.org/rfc/rfc6455#section-7.1.7).
    #[must_use]
    pub fn should_end_transport(&self) -> bool {
        match self.state {
            State::Failed => self.pending() == 0,
            State::Draining => self.role == Role::Server && self.pending() == 0,
            _ => false,
        }
    }

    /// Says that the transport has ended, and tells how the connection did; again the same when
    /// called again.
    ///
    /// Poll events before: what was received is otherwise not counted.
    pub fn transport_ended(&mut self) -> Closed {
        self.apply(Input::TransportEnd);
        let nothing = || (CloseCode::ABNORMAL, CloseReason::default());
        let (code, reason) = self.received_close.clone().unwrap_or_else(nothing);
        let was_clean = self.state == State::Closed { was_clean: true };
        Closed { code, reason, was_clean, error: self.error }
    }

    const fn is_receiving(&self) -> bool {
        self.state.next(Input::Receive).is_ok()
    }

    fn check_send(&self) -> Result<(), SendError> {
        self.state.next(Input::Send).map_err(|_| SendError::Closing)?;
        match self.pending() {
            // Whatever the limit, an empty output takes something, or nothing would ever be sent.
            pending if pending > 0 && pending >= self.max_output_bytes => {
                Err(SendError::OutputFull { pending })
            }
            _ => Ok(()),
        }
    }

    /// Takes a transition; an input without a place in the state changes nothing.
    fn apply(&mut self, input: Input) {
        self.state = self.state.next(input).unwrap_or(self.state);
    }

    /// RFC 6455 §5.5.1: a close frame is answered with one, unless one was sent.
    fn on_close(&mut self, close: Option<&CloseFrame>, next_key: &mut impl FnMut() -> [u8; 4]) {
        let answer = self.state.next(Input::SendClose).is_ok();
        self.apply(Input::ReceiveClose);
        // RFC 6455 §1.4: data behind a close frame is discarded.
        self.incoming.discard();
        self.received_close = Some(match close {
            Some(close) => (close.code(), close.reason().clone()),
            None => (CloseCode::NO_STATUS, CloseReason::default()),
        });
        if answer {
            // The code is echoed, as §5.5.1 has it; the reason was the peer's own.
            let echo = close.and_then(|close| CloseFrame::new(close.code(), "").ok());
            self.queue_close(echo.as_ref(), next_key);
        }
    }

    /// RFC 6455 §7.1.7: tells the peer, unless a close frame was sent before.
    fn fail(&mut self, error: ProtocolError, next_key: &mut impl FnMut() -> [u8; 4]) {
        let tell = self.state.next(Input::SendClose).is_ok();
        self.apply(Input::Fault);
        self.incoming.discard();
        self.error = Some(error);
        if tell {
            self.queue_close(Some(&CloseFrame::from(error)), next_key);
        }
    }

    fn queue_close(&mut self, close: Option<&CloseFrame>, next_key: &mut impl FnMut() -> [u8; 4]) {
        self.encoder.close(close, next_key, self.output.writer());
        self.output.mark_close();
    }

    fn queue_pong(&mut self, payload: &[u8], next_key: &mut impl FnMut() -> [u8; 4]) {
        let mut frame = Vec::new();
        // The payload was a ping's, so it has at most 125 bytes.
        let _ = self.encoder.control(Control::Pong, payload, next_key, &mut frame);
        self.output.push_pong(&frame);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;
