//! The opening handshake, both roles, requests and responses as data; and what is asked of a proxy before.
//!
//! Not here: sockets, URLs, TLS, following redirects, drawing the nonce, HTTP beyond one head.

mod body;
mod client;
mod head;
mod server;
mod tunnel;

pub use client::{Accepted, ClientHandshake, ClientRequest, HandshakeError, InvalidRequest, Refusal};
pub use head::{HeadLimits, Headers, InvalidHead};
pub use server::{InvalidResponse, Request, RequestError, Response, ServerHandshake};
pub use tunnel::{ProxyTunnel, TunnelError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// The value of `Sec-WebSocket-Accept` that answers this `Sec-WebSocket-Key`.
///
/// # Specification
///
/// [RFC 6455 §4.2.2](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2), step 5.4.
///
/// # Examples
///
/// ```
/// use tidegate::proto::ws::accept_key;
/// assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
#[must_use]
pub fn accept_key(key: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(hash.finalize())
}

/// The value of `Sec-WebSocket-Key` for a nonce.
fn encode_key(nonce: [u8; 16]) -> String {
    STANDARD.encode(nonce)
}

/// RFC 6455 §4.1: the key is 16 bytes in base64, strictly 22 letters and two signs of padding.
fn is_key(key: &[u8]) -> bool {
    STANDARD.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}
