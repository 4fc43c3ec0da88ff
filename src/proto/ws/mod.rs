//! The WebSocket protocol, RFC 6455.
//!
//! Not here: sockets, TLS, clocks, randomness, redirects, URLs, records, channels, sessions.

mod assembly;
mod close;
mod connection;
mod decoder;
mod encoder;
mod handshake;
mod header;
mod limits;
mod mask;
mod message;
mod output;
mod state;
mod utf8;

pub use assembly::{Incoming, MessageDecoder, MessageRef};
pub use close::{CloseCode, CloseFrame, CloseReason, InvalidClose, MAX_REASON_BYTES};
pub use connection::{Closed, Connection, Event, EventRef};
pub use decoder::{Decoder, Frame, FrameRef};
pub use encoder::{Control, Encoder, SendError, no_key};
pub use handshake::{
    Accepted, ClientHandshake, ClientRequest, HandshakeError, HeadLimits, Headers, InvalidHead,
    InvalidRequest, InvalidResponse, Refusal, Request, RequestError, Response, ServerHandshake, accept_key,
};
pub use header::{EncodedHeader, FrameHeader, MAX_CONTROL_BYTES, MAX_HEADER_BYTES, Opcode};
pub use limits::Limits;
pub use mask::{copy_masked, mask};
pub use message::{Message, MessageKind, Role};
pub use state::State;
pub use utf8::{InvalidUtf8, Utf8Validator};
