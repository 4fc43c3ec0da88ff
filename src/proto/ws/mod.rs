//! The WebSocket protocol, RFC 6455: bytes to messages and back, without any I/O.
//!
//! Everything here is a pure function or a small state machine that is fed with bytes. It serves
//! both roles, runs on every target, and can be used without the rest of this crate: build it with
//! `default-features = false`. Masking keys and the handshake's nonce are arguments, since nothing
//! here draws randomness; deadlines are the caller's, since nothing here reads a clock.
//!
//! From the outside in:
//!
//! - [`ClientHandshake`] and [`ServerHandshake`] turn a byte stream into an open connection. Both
//!   give back what came behind the head, which is the start of the first frames.
//! - [`Connection`] is one endpoint of an open connection: bytes in, [`Event`]s out, messages in,
//!   bytes out. It answers pings, carries out the closing handshake and fails the connection with
//!   the right close code. This is what a transport drives.
//! - [`MessageDecoder`], [`Decoder`] and [`Encoder`] are what it is made of, for those who want
//!   another policy, frames instead of messages, or payloads written from where they lie.
//! - [`FrameHeader`], [`mask()`], [`Utf8Validator`], [`CloseFrame`] are the parts of those.
//!
//! A peer's fault is a [`ProtocolError`] and final; a caller's
//! fault ([`SendError`], [`InvalidClose`], [`InvalidRequest`], [`InvalidResponse`]) changes nothing.
//! No input of either makes anything here panic. What a peer may cost is set by [`Limits`] and
//! [`HeadLimits`].
//!
//! # Examples
//!
//! A client over any blocking byte stream, such as a `std::net::TcpStream`:
//!
//! ```
//! use std::error::Error;
//! use std::io::{Read, Write};
//! use tidegate::proto::ws::*;
//!
//! /// Sends one text and returns the first message that comes back.
//! fn ask(
//!     stream: &mut (impl Read + Write),
//!     nonce: [u8; 16],
//!     mut next_key: impl FnMut() -> [u8; 4],
//!     text: &str,
//! ) -> Result<Message, Box<dyn Error>> {
//!     let request = ClientRequest::new("localhost:9001", "/")?;
//!     let mut handshake = ClientHandshake::new(request, nonce, HeadLimits::default());
//!     stream.write_all(handshake.request())?;
//!     let mut buffer = [0; 1024];
//!     let accepted = loop {
//!         let n = stream.read(&mut buffer)?;
//!         if n == 0 {
//!             return Err(handshake.end().into());
//!         }
//!         if let Some(accepted) = handshake.receive(&buffer[..n])? {
//!             break accepted;
//!         }
//!     };
//!
//!     let mut connection = Connection::new(Role::Client, Limits::default());
//!     connection.receive(&accepted.rest);
//!     connection.send_text(text, &mut next_key)?;
//!     loop {
//!         while let Some(event) = connection.poll_event(&mut next_key)? {
//!             if let Event::Message(message) = event {
//!                 return Ok(message);
//!             }
//!         }
//!         stream.write_all(connection.output())?;
//!         connection.consume(connection.pending());
//!         let n = stream.read(connection.spare())?;
//!         if n == 0 {
//!             let closed = connection.transport_ended();
//!             return Err(format!("closed with {}", closed.code).into());
//!         }
//!         connection.filled(n);
//!     }
//! }
//! # // A stream that plays a server: what it has to say, whatever it is told.
//! # struct Played(std::io::Cursor<&'static [u8]>);
//! # impl Read for Played {
//! #     fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> { self.0.read(buf) }
//! # }
//! # impl Write for Played {
//! #     fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> { Ok(buf.len()) }
//! #     fn flush(&mut self) -> std::io::Result<()> { Ok(()) }
//! # }
//! # let said = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
//! #     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n\x81\x05Hello";
//! # let mut stream = Played(std::io::Cursor::new(said));
//! # let answer = ask(&mut stream, *b"the sample nonce", || [1, 2, 3, 4], "Hello")?;
//! # assert_eq!(answer, Message::from("Hello"));
//! # Ok::<(), Box<dyn Error>>(())
//! ```
//!
//! # Specification
//!
//! [RFC 6455](https://www.rfc-editor.org/rfc/rfc6455), and with the feature `deflate` the extension
//! permessage-deflate of [RFC 7692](https://www.rfc-editor.org/rfc/rfc7692), where it is asked for.
//!
//! Not here: sockets, TLS, clocks, randomness, redirects, URLs, records, channels, sessions.

mod assembly;
mod close;
mod connection;
mod decoder;
mod deflate;
mod encoder;
mod frame;
mod handshake;
mod header;
mod limits;
mod mask;
mod message;
mod output;
mod state;
mod utf8;

pub use crate::proto::error::ProtocolError;
pub use assembly::{Incoming, MessageDecoder, MessageRef};
pub use close::{CloseCode, CloseFrame, CloseReason, InvalidClose, MAX_REASON_BYTES};
pub use connection::{Closed, Connection, Event, EventRef};
pub use decoder::Decoder;
#[cfg(feature = "deflate")]
pub use deflate::{Deflate, DeflateOptions};
pub use encoder::{Control, Encoder, SendError, no_key};
pub use frame::{Frame, FrameRef};
pub use handshake::{
    Accepted, ClientHandshake, ClientRequest, HandshakeError, HeadLimits, Headers, InvalidHead,
    InvalidRequest, InvalidResponse, ProxyTunnel, Refusal, Request, RequestError, Response, ServerHandshake,
    TunnelError, accept_key,
};
pub use header::{EncodedHeader, FrameHeader, MAX_CONTROL_BYTES, MAX_HEADER_BYTES, Opcode};
pub use limits::Limits;
pub use mask::{copy_masked, mask};
pub use message::{Message, MessageKind, Role};
pub use state::State;
pub use utf8::{InvalidUtf8, Utf8Validator};
