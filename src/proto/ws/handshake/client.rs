//! The client's half: a request to send, a response to judge.

use core::fmt;

use super::body::BodyReader;
use super::head::{
    FieldFault, HeadLimits, HeadOf, HeadReader, Headers, InvalidHead, is_field_value, is_reserved_field,
    is_token, parse_response, push_field,
};
use super::{accept_key, encode_key};
#[cfg(feature = "deflate")]
use crate::proto::ws::deflate::{Deflate, DeflateOptions, Fault, accept};

/// What a client asks for.
///
/// # Examples
///
/// ```
/// use tidegate::proto::ws::{ClientHandshake, ClientRequest, HeadLimits};
///
/// let mut request = ClientRequest::new("example.com:8080", "/chat?room=1")?;
/// request.subprotocol("chat.v2")?.header("Origin", "https://example.com")?;
/// // The nonce must come from a cryptographic generator, a new one for each handshake.
/// let nonce = *b"the sample nonce";
/// let mut handshake = ClientHandshake::new(request, nonce, HeadLimits::default());
/// assert!(handshake.request().starts_with(b"GET /chat?room=1 HTTP/1.1\r\nHost: example.com:8080\r\n"));
///
/// let answered = handshake.receive(
///     b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///       Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
///       Sec-WebSocket-Protocol: chat.v2\r\n\r\n\x81\x02hi",
/// )?;
/// let accepted = answered.expect("the head is complete");
/// assert_eq!(accepted.subprotocol.as_deref(), Some("chat.v2"));
/// assert_eq!(accepted.rest, b"\x81\x02hi"); // for `Connection::receive`
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ClientRequest {
    host: String,
    target: String,
    subprotocols: Vec<String>,
    headers: Vec<(String, String)>,
    #[cfg(feature = "deflate")]
    deflate: Option<DeflateOptions>,
}

/// With the names of header fields and without their values, which may be tokens or cookies; and without
/// the query, which may hold one.
impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("ClientRequest")
            .field("host", &self.host)
            .field("path", &self.target.split('?').next().unwrap_or_default())
            .field("subprotocols", &self.subprotocols)
            .field("headers", &names)
            .finish_non_exhaustive()
    }
}

impl ClientRequest {
    /// A request for `target` (path and query, as they go into the request line) at `host` (with
    /// its port unless that is the scheme's own, an IPv6 address in brackets).
    ///
    /// # Errors
    ///
    /// [`InvalidRequest::Host`] or [`InvalidRequest::Target`] for anything that would not stay one
    /// word in its line, an empty host, a target that does not begin with a slash or has a
    /// fragment.
    pub fn new(host: &str, target: &str) -> Result<Self, InvalidRequest> {
        let visible = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || !visible(host) || host.contains(['/', '?', '#', '@', ',']) {
            return Err(InvalidRequest::Host);
        }
        if !target.starts_with('/') || !visible(target) || target.contains('#') {
            return Err(InvalidRequest::Target);
        }
        let (host, target) = (host.to_owned(), target.to_owned());
        Ok(Self {
            host,
            target,
            subprotocols: Vec::new(),
            headers: Vec::new(),
            #[cfg(feature = "deflate")]
            deflate: None,
        })
    }

    /// Offers permessage-deflate; the last call counts. What the server makes of it is in
    /// [`Accepted::deflate`].
    ///
    /// # Specification
    ///
    /// [RFC 7692 §7.1](https://www.rfc-editor.org/rfc/rfc7692#section-7.1).
    #[cfg(feature = "deflate")]
    pub const fn deflate(&mut self, options: DeflateOptions) -> &mut Self {
        self.deflate = Some(options);
        self
    }

    /// Offers a subprotocol, after those already offered.
    ///
    /// # Errors
    ///
    /// [`InvalidRequest::Subprotocol`] if it is not a token or was offered before.
    ///
    /// # Specification
    ///
    /// [RFC 6455 §4.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.1), step 10 of the
    /// request.
    pub fn subprotocol(&mut self, name: &str) -> Result<&mut Self, InvalidRequest> {
        if !is_token(name) || self.subprotocols.iter().any(|offered| offered == name) {
            return Err(InvalidRequest::Subprotocol);
        }
        self.subprotocols.push(name.to_owned());
        Ok(self)
    }

    /// Adds a header field, such as `Origin`, `Cookie`, `User-Agent` or `Authorization`.
    ///
    /// # Errors
    ///
    /// [`InvalidRequest::HeaderName`] if the name is not a token or is one that the handshake
    /// itself sets or that frames the message (`Host`, `Upgrade`, `Connection`,
    /// `Sec-WebSocket-*`, `Content-Length`, `Transfer-Encoding`, `TE`, `Trailer`);
    /// [`InvalidRequest::HeaderValue`] if the value holds CR, LF or another control character, or
    /// begins or ends with white space.
    pub fn header(&mut self, name: &str, value: &str) -> Result<&mut Self, InvalidRequest> {
        if !is_token(name) || is_reserved_field(name) {
            return Err(InvalidRequest::HeaderName);
        }
        if !is_field_value(value) {
            return Err(InvalidRequest::HeaderValue);
        }
        self.headers.push((name.to_owned(), value.to_owned()));
        Ok(self)
    }

    fn to_bytes(&self, key: &str) -> Vec<u8> {
        let mut text = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n",
            self.target, self.host
        );
        if !self.subprotocols.is_empty() {
            push_field(&mut text, "Sec-WebSocket-Protocol", &self.subprotocols.join(", "));
        }
        #[cfg(feature = "deflate")]
        if let Some(options) = &self.deflate {
            push_field(&mut text, "Sec-WebSocket-Extensions", &options.offer());
        }
        for (name, value) in &self.headers {
            push_field(&mut text, name, value);
        }
        text += "\r\n";
        text.into_bytes()
    }
}

/// A part of a request that cannot be sent; the fault of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// Not a host with an optional port.
    Host,
    /// Not a path with an optional query.
    Target,
    /// Not a token, or offered twice.
    Subprotocol,
    /// Not a token, or not the caller's to set.
    HeaderName,
    /// Control characters, or white space at an end.
    HeaderValue,
    /// Of a proxy's user and password: control characters, or a colon in the name.
    Credentials,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Host => "invalid host",
            Self::Target => "invalid request target",
            Self::Subprotocol => "subprotocol is not a token or is offered twice",
            Self::HeaderName => "header name is invalid or reserved",
            Self::HeaderValue => "header value holds characters that may not be sent",
            Self::Credentials => "user or password holds characters that may not be sent",
        })
    }
}

impl core::error::Error for InvalidRequest {}

/// A handshake that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// The subprotocol that the server chose; `None` only if none was offered.
    pub subprotocol: Option<String>,
    /// What was agreed on of permessage-deflate, for
    /// [`Connection::with_deflate`](crate::proto::ws::Connection::with_deflate); `None` if it was not
    /// offered or the server declined.
    #[cfg(feature = "deflate")]
    pub deflate: Option<Deflate>,
    /// All fields of the response.
    pub headers: Headers,
    /// What came behind the response: the first bytes for
    /// [`Connection::receive`](crate::proto::ws::Connection::receive).
    pub rest: Vec<u8>,
}

/// A response other than 101.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The status, such as 301, 401 or 503.
    pub status: u16,
    /// The reason phrase, which may be empty.
    pub reason: String,
    /// All fields of the response, such as `Location` or `WWW-Authenticate`.
    pub headers: Headers,
    /// The start of the body, at most [`HeadLimits::max_body_bytes`], chunks joined.
    pub body: Vec<u8>,
}

/// Why a handshake failed; final for the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The response is not one of HTTP/1.1, or exceeds a limit.
    Head(InvalidHead),
    /// A status other than 101. Whether to follow a redirect or to log in is the caller's choice.
    Refused(Box<Refusal>),
    /// A status other than 101 with `Sec-WebSocket-Version`: the server does not speak version 13.
    Version {
        /// The versions that the server offers.
        offered: Vec<u8>,
        /// The response.
        refusal: Box<Refusal>,
    },
    /// A field that must be there is not.
    MissingHeader {
        /// Its name.
        name: &'static str,
    },
    /// A field that must be there once is there twice.
    DoubledHeader {
        /// Its name.
        name: &'static str,
    },
    /// A field with a value that the protocol does not allow.
    InvalidHeader {
        /// Its name.
        name: &'static str,
    },
    /// `Sec-WebSocket-Accept` does not answer the key that was sent.
    WrongAccept,
    /// The server chose a subprotocol that was not offered.
    UnofferedSubprotocol,
    /// Subprotocols were offered and the server chose none.
    ///
    /// RFC 6455 leaves this to the client. Browsers fail the connection (WHATWG, *establish a `WebSocket` connection*),
    /// and so does this codec, so that a program behaves the same on both.
    NoSubprotocol,
    /// The server chose an extension that was not offered.
    UnofferedExtension,
    /// The transport ended inside the response.
    Truncated,
}

impl HandshakeError {
    /// The response, if it was complete and refused the connection.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) | Self::Version { refusal, .. } => Some(refusal),
            _ => None,
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) => error.fmt(f),
            Self::Refused(refusal) => write!(f, "server answered with status {}", refusal.status),
            Self::Version { .. } => f.write_str("server does not speak version 13"),
            Self::MissingHeader { name } => write!(f, "response lacks {name}"),
            Self::DoubledHeader { name } => write!(f, "response has {name} twice"),
            Self::InvalidHeader { name } => write!(f, "response has an invalid {name}"),
            Self::WrongAccept => f.write_str("accept value does not answer the key"),
            Self::UnofferedSubprotocol => f.write_str("subprotocol was not offered"),
            Self::NoSubprotocol => f.write_str("server chose none of the subprotocols"),
            Self::UnofferedExtension => f.write_str("extension was not offered"),
            Self::Truncated => f.write_str("transport ended inside the response"),
        }
    }
}

impl core::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Head(error) => Some(error),
            _ => None,
        }
    }
}

impl From<InvalidHead> for HandshakeError {
    fn from(error: InvalidHead) -> Self {
        Self::Head(error)
    }
}

impl From<FieldFault> for HandshakeError {
    fn from(fault: FieldFault) -> Self {
        match fault {
            FieldFault::Missing(name) => Self::MissingHeader { name },
            FieldFault::Doubled(name) => Self::DoubledHeader { name },
        }
    }
}

/// A handshake under way: send [`ClientHandshake::request`], pass on what comes back.
pub struct ClientHandshake {
    request: Vec<u8>,
    subprotocols: Vec<String>,
    #[cfg(feature = "deflate")]
    deflate: Option<DeflateOptions>,
    accept: String,
    limits: HeadLimits,
    reader: HeadReader,
    /// The response is a refusal and its body is being read.
    refusal: Option<(Refusal, BodyReader)>,
    failed: Option<HandshakeError>,
}

/// Without the request: see [`ClientRequest`]'s.
impl fmt::Debug for ClientHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientHandshake")
            .field("refused_status", &self.refused_status())
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

impl ClientHandshake {
    /// Starts a handshake. `nonce` must be drawn anew, from a cryptographic generator.
    ///
    /// # Specification
    ///
    /// [RFC 6455 §4.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.1).
    #[must_use]
    pub fn new(request: ClientRequest, nonce: [u8; 16], limits: HeadLimits) -> Self {
        let key = encode_key(nonce);
        Self {
            request: request.to_bytes(&key),
            subprotocols: request.subprotocols,
            #[cfg(feature = "deflate")]
            deflate: request.deflate,
            accept: accept_key(key.as_bytes()),
            limits,
            reader: HeadReader::new(HeadOf::Response, limits.max_head_bytes),
            refusal: None,
            failed: None,
        }
    }

    /// The request, to be sent as it is.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Takes received bytes; `None` if the response is not complete.
    ///
    /// Interim responses (1xx but 101) are skipped. Of a refusal, the body is read to its end or
    /// to the limit first; a caller who does not want to wait calls [`ClientHandshake::end`].
    ///
    /// # Errors
    ///
    /// [`HandshakeError`]; every later call repeats it.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<Accepted>, HandshakeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.reader.receive(bytes);
        let result = self.advance();
        if let Err(error) = &result {
            self.failed = Some(error.clone());
        }
        result
    }

    /// The status of a response that refuses the connection, as soon as its head is there; its body
    /// may still be missing.
    #[must_use]
    pub fn refused_status(&self) -> Option<u16> {
        self.refusal.as_ref().map(|(refusal, _)| refusal.status)
    }

    /// Says that nothing more will be received, and why the handshake failed therefore.
    #[must_use]
    pub fn end(mut self) -> HandshakeError {
        if let Some(error) = self.failed {
            return error;
        }
        match self.refusal.take() {
            Some((refusal, body)) => refused(Refusal { body: body.into_bytes(), ..refusal }),
            None => HandshakeError::Truncated,
        }
    }

    fn advance(&mut self) -> Result<Option<Accepted>, HandshakeError> {
        while self.refusal.is_none() {
            let Some(head) = self.reader.next_head()? else { return Ok(None) };
            let (status, reason, headers) = parse_response(&head)?;
            match status {
                101 => {
                    self.judge(&headers)?;
                    let accepted = Accepted {
                        #[cfg(feature = "deflate")]
                        deflate: self.judge_extensions(&headers)?,
                        subprotocol: self.judge_subprotocol(&headers)?,
                        headers,
                        rest: self.reader.take_rest(),
                    };
                    return Ok(Some(accepted));
                }
                100..=199 => {}
                _ => {
                    let body = BodyReader::new(status, &headers, self.limits.max_body_bytes);
                    let refusal = Refusal { status, reason, headers, body: Vec::new() };
                    self.refusal = Some((refusal, body));
                }
            }
        }
        let Some((_, body)) = &mut self.refusal else { return Ok(None) };
        body.receive(&self.reader.take_rest());
        if !body.is_complete() {
            return Ok(None);
        }
        let Some((refusal, body)) = self.refusal.take() else { return Ok(None) };
        Err(refused(Refusal { body: body.into_bytes(), ..refusal }))
    }

    /// RFC 6455 §4.1, the six checks of the server's response.
    fn judge(&self, headers: &Headers) -> Result<(), HandshakeError> {
        // Not a list here: the server switches to one protocol.
        if !headers.single("Upgrade")?.eq_ignore_ascii_case(b"websocket") {
            return Err(HandshakeError::InvalidHeader { name: "Upgrade" });
        }
        if headers.all("Connection").next().is_none() {
            return Err(HandshakeError::MissingHeader { name: "Connection" });
        }
        if !headers.has_token("Connection", "upgrade") {
            return Err(HandshakeError::InvalidHeader { name: "Connection" });
        }
        if headers.single("Sec-WebSocket-Accept")? != self.accept.as_bytes() {
            return Err(HandshakeError::WrongAccept);
        }
        // Without the feature none is ever offered.
        if cfg!(not(feature = "deflate")) && headers.list("Sec-WebSocket-Extensions").next().is_some() {
            return Err(HandshakeError::UnofferedExtension);
        }
        Ok(())
    }

    #[cfg(feature = "deflate")]
    fn judge_extensions(&self, headers: &Headers) -> Result<Option<Deflate>, HandshakeError> {
        let mut elements = headers.list("Sec-WebSocket-Extensions");
        let Some(options) = &self.deflate else {
            return if elements.next().is_some() {
                Err(HandshakeError::UnofferedExtension)
            } else {
                Ok(None)
            };
        };
        accept(options, elements).map_err(|fault| match fault {
            Fault::Unoffered => HandshakeError::UnofferedExtension,
            Fault::Invalid => HandshakeError::InvalidHeader { name: "Sec-WebSocket-Extensions" },
        })
    }

    fn judge_subprotocol(&self, headers: &Headers) -> Result<Option<String>, HandshakeError> {
        let chosen = match headers.single("Sec-WebSocket-Protocol") {
            Ok(chosen) => chosen,
            Err(FieldFault::Missing(_)) if self.subprotocols.is_empty() => return Ok(None),
            Err(FieldFault::Missing(_)) => return Err(HandshakeError::NoSubprotocol),
            Err(fault) => return Err(fault.into()),
        };
        // RFC 6455 §4.1: compared case by case, as subprotocols are (§11.5).
        self.subprotocols
            .iter()
            .find(|offered| offered.as_bytes() == chosen)
            .map(|offered| Some(offered.clone()))
            .ok_or(HandshakeError::UnofferedSubprotocol)
    }
}

/// The error for a complete refusal.
fn refused(refusal: Refusal) -> HandshakeError {
    // RFC 6455 §4.4: a server that does not speak the version lists those it does.
    let offered: Vec<u8> = refusal
        .headers
        .list("Sec-WebSocket-Version")
        .filter_map(|version| core::str::from_utf8(version).ok()?.parse().ok())
        .collect();
    let refusal = Box::new(refusal);
    // A server that lists 13 among them refused for another reason.
    if offered.is_empty() || offered.contains(&13) {
        return HandshakeError::Refused(refusal);
    }
    HandshakeError::Version { offered, refusal }
}
