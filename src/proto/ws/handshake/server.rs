//! The server's half: a request to judge, a response to send.

use core::fmt;

use super::head::{
    FieldFault, HeadLimits, HeadOf, HeadReader, Headers, InvalidHead, is_field_value, is_reserved_field,
    is_token, parse_request, push_field,
};
use super::{accept_key, is_key};
#[cfg(feature = "deflate")]
use crate::proto::ws::deflate::{Deflate, DeflateOptions, answer};

/// A valid opening request; accept or reject it.
///
/// # Examples
///
/// ```
/// use tidegate::proto::ws::{HeadLimits, ServerHandshake};
///
/// let mut handshake = ServerHandshake::new(HeadLimits::default());
/// let received = handshake.receive(
///     b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
///       Sec-WebSocket-Protocol: chat.v3, chat.v2\r\n\r\n",
/// );
/// let request = match received {
///     Ok(request) => request.expect("the head is complete"),
///     Err(error) => return send(error.response().to_bytes()),
/// };
/// let subprotocol = request.choose(&["chat.v1", "chat.v2"]);
/// let response = request.accept(subprotocol).expect("it was offered");
/// send(response.to_bytes());
/// // Then `Connection::receive(&request.rest)`.
/// # fn send(bytes: Vec<u8>) { assert!(!bytes.is_empty()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// The request target as the client wrote it: path and query.
    pub target: String,
    /// `Host`.
    pub host: String,
    /// The subprotocols that the client offers, the one it likes best first.
    pub subprotocols: Vec<String>,
    /// All fields of the request. `Origin` says which page asks; a server that holds anything
    /// private must look at it (RFC 6455 §10.2).
    pub headers: Headers,
    /// What came behind the request; a client should wait for the response, but need not.
    pub rest: Vec<u8>,
    accept: String,
}

impl Request {
    /// Judges a request that some HTTP server has parsed.
    ///
    /// # Errors
    ///
    /// [`RequestError`], with the response that it deserves.
    ///
    /// # Specification
    ///
    /// [RFC 6455 §4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1).
    pub fn new(method: &str, target: &str, headers: Headers) -> Result<Self, RequestError> {
        if method != "GET" {
            return Err(RequestError::Method);
        }
        let host = core::str::from_utf8(headers.single("Host")?)
            .map_err(|_| RequestError::InvalidHeader { name: "Host" })?
            .to_owned();
        if !headers.has_token("Upgrade", "websocket") {
            return Err(RequestError::NoUpgrade);
        }
        if !headers.has_token("Connection", "upgrade") {
            return Err(RequestError::NoUpgrade);
        }
        // Before the key, since another version may know none.
        if headers.single("Sec-WebSocket-Version")? != b"13" {
            return Err(RequestError::Version);
        }
        let key = headers.single("Sec-WebSocket-Key")?;
        if !is_key(key) {
            return Err(RequestError::InvalidHeader { name: "Sec-WebSocket-Key" });
        }
        // A body would be taken for frames, or frames for a body by a proxy on the way.
        let framed = headers.all("Content-Length").any(|length| length != b"0")
            || headers.all("Transfer-Encoding").next().is_some();
        if framed {
            return Err(RequestError::Body);
        }
        let mut subprotocols: Vec<String> = Vec::new();
        for name in headers.list("Sec-WebSocket-Protocol") {
            let name = core::str::from_utf8(name).ok().filter(|name| is_token(name));
            match name {
                Some(name) if !subprotocols.iter().any(|offered| offered == name) => {
                    subprotocols.push(name.to_owned());
                }
                _ => return Err(RequestError::InvalidHeader { name: "Sec-WebSocket-Protocol" }),
            }
        }
        let (accept, target) = (accept_key(key), target.to_owned());
        Ok(Self { target, host, subprotocols, headers, rest: Vec::new(), accept })
    }

    /// The first of the offered subprotocols that is among `supported`: the client's order decides.
    #[must_use]
    pub fn choose(&self, supported: &[&str]) -> Option<&str> {
        self.subprotocols.iter().map(String::as_str).find(|offered| supported.contains(offered))
    }

    /// The response that opens the connection.
    ///
    /// # Errors
    ///
    /// [`InvalidResponse::Subprotocol`] if `subprotocol` was not offered: the client would have to
    /// fail the connection.
    ///
    /// # Specification
    ///
    /// [RFC 6455 §4.2.2](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2), step 5.
    pub fn accept(&self, subprotocol: Option<&str>) -> Result<Response, InvalidResponse> {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut headers = vec![
            field("Upgrade", "websocket"),
            field("Connection", "Upgrade"),
            field("Sec-WebSocket-Accept", &self.accept),
        ];
        if let Some(chosen) = subprotocol {
            if !self.subprotocols.iter().any(|offered| offered == chosen) {
                return Err(InvalidResponse::Subprotocol);
            }
            headers.push(field("Sec-WebSocket-Protocol", chosen));
        }
        Ok(Response { status: 101, headers, body: Vec::new() })
    }

    /// [`accept`](Self::accept) that agrees on permessage-deflate if the client offers what this side can
    /// keep: the first such offer.
    ///
    /// # Errors
    ///
    /// As [`accept`](Self::accept).
    ///
    /// # Specification
    ///
    /// [RFC 7692 §7.1](https://www.rfc-editor.org/rfc/rfc7692#section-7.1).
    #[cfg(feature = "deflate")]
    pub fn accept_with_deflate(
        &self,
        subprotocol: Option<&str>,
        options: &DeflateOptions,
    ) -> Result<(Response, Option<Deflate>), InvalidResponse> {
        let mut response = self.accept(subprotocol)?;
        let agreed = answer(options, self.headers.list("Sec-WebSocket-Extensions"));
        if let Some(agreed) = &agreed {
            response.headers.push(("Sec-WebSocket-Extensions".to_owned(), agreed.answer()));
        }
        Ok((response, agreed))
    }
}

/// Why a request was refused; [`RequestError::response`] says it to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Not a request of HTTP/1.1, or above a limit.
    Head(InvalidHead),
    /// Another method than GET.
    Method,
    /// An ordinary request: no upgrade to `websocket` is asked for.
    NoUpgrade,
    /// Another version than 13.
    Version,
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
    /// The request announces a body.
    Body,
}

impl RequestError {
    /// The response that the client deserves; the connection is closed after it.
    ///
    /// Status 426 with `Sec-WebSocket-Version: 13` for another version or no upgrade at all, 405
    /// for another method, 431 for a head above a limit, 505 for another version of HTTP, else 400.
    ///
    /// # Specification
    ///
    /// [RFC 6455 §4.4](https://www.rfc-editor.org/rfc/rfc6455#section-4.4).
    #[must_use]
    pub fn response(&self) -> Response {
        let status = match self {
            Self::Head(InvalidHead::TooLarge { .. } | InvalidHead::TooManyFields) => 431,
            Self::Head(InvalidHead::Version) => 505,
            Self::Method => 405,
            Self::Version | Self::NoUpgrade => 426,
            _ => 400,
        };
        let mut headers = vec![("Connection".to_owned(), "close".to_owned())];
        if status == 426 {
            // RFC 9110 §15.5.22 asks for `Upgrade`, RFC 6455 §4.4 for the version.
            headers = vec![
                ("Upgrade".to_owned(), "websocket".to_owned()),
                ("Connection".to_owned(), "Upgrade, close".to_owned()),
                ("Sec-WebSocket-Version".to_owned(), "13".to_owned()),
            ];
        }
        if status == 405 {
            headers.push(("Allow".to_owned(), "GET".to_owned()));
        }
        headers.push(("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned()));
        Response { status, headers, body: format!("{self}\n").into_bytes() }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) => error.fmt(f),
            Self::Method => f.write_str("method is not GET"),
            Self::NoUpgrade => f.write_str("request does not ask for a websocket"),
            Self::Version => f.write_str("websocket version is not 13"),
            Self::MissingHeader { name } => write!(f, "request lacks {name}"),
            Self::DoubledHeader { name } => write!(f, "request has {name} twice"),
            Self::InvalidHeader { name } => write!(f, "request has an invalid {name}"),
            Self::Body => f.write_str("request announces a body"),
        }
    }
}

impl core::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Head(error) => Some(error),
            _ => None,
        }
    }
}

impl From<InvalidHead> for RequestError {
    fn from(error: InvalidHead) -> Self {
        Self::Head(error)
    }
}

impl From<FieldFault> for RequestError {
    fn from(fault: FieldFault) -> Self {
        match fault {
            FieldFault::Missing(name) => Self::MissingHeader { name },
            FieldFault::Doubled(name) => Self::DoubledHeader { name },
        }
    }
}

/// A response, as data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Response {
    /// A response that refuses the connection: 3xx with `Location`, 401, 403, 503.
    ///
    /// # Errors
    ///
    /// [`InvalidResponse::Status`] for a status below 200 or above 599, which would open the
    /// connection or leave the client waiting.
    pub fn refuse(status: u16, body: &str) -> Result<Self, InvalidResponse> {
        if !(200..=599).contains(&status) {
            return Err(InvalidResponse::Status);
        }
        let headers = vec![("Connection".to_owned(), "close".to_owned())];
        Ok(Self { status, headers, body: body.as_bytes().to_vec() })
    }

    /// Adds a header field.
    ///
    /// # Errors
    ///
    /// [`InvalidResponse::Header`] under the same rules as
    /// [`ClientRequest::header`](super::ClientRequest::header); a refusal may have `Upgrade` and
    /// `Sec-WebSocket-Version`.
    pub fn header(&mut self, name: &str, value: &str) -> Result<&mut Self, InvalidResponse> {
        // What a refusal may say of other protocols and versions (RFC 9110 §15.5.22, RFC 6455 §4.4).
        const OF_REFUSALS: [&str; 2] = ["Upgrade", "Sec-WebSocket-Version"];
        let is_free = self.status != 101 && OF_REFUSALS.iter().any(|free| name.eq_ignore_ascii_case(free));
        if !is_token(name) || (is_reserved_field(name) && !is_free) || !is_field_value(value) {
            return Err(InvalidResponse::Header);
        }
        self.headers.push((name.to_owned(), value.to_owned()));
        Ok(self)
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// All fields but `Content-Length`.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of a field of this response.
    #[cfg(all(feature = "native", not(target_family = "wasm")))]
    pub(crate) fn header_value(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The body, empty for 101.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The bytes to send.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        // RFC 9112 §4: a client ignores the phrase; these are for people who read a trace.
        let phrase = match self.status {
            101 => "Switching Protocols",
            301 => "Moved Permanently",
            302 => "Found",
            303 => "See Other",
            307 => "Temporary Redirect",
            308 => "Permanent Redirect",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            426 => "Upgrade Required",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            500 => "Internal Server Error",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            505 => "HTTP Version Not Supported",
            // RFC 9112 §4: it may be empty.
            _ => "",
        };
        let mut text = format!("HTTP/1.1 {} {phrase}\r\n", self.status);
        for (name, value) in &self.headers {
            push_field(&mut text, name, value);
        }
        if !matches!(self.status, 101 | 204 | 304) {
            push_field(&mut text, "Content-Length", &self.body.len().to_string());
        }
        text += "\r\n";
        let mut bytes = text.into_bytes();
        if !matches!(self.status, 101 | 204 | 304) {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// A response that cannot be sent; the fault of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidResponse {
    /// Not a status of 200–599.
    Status,
    /// The subprotocol was not offered.
    Subprotocol,
    /// A name or value that may not be sent, or a name that is not the caller's to set.
    Header,
}

impl fmt::Display for InvalidResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Status => "status does not refuse a connection",
            Self::Subprotocol => "subprotocol was not offered",
            Self::Header => "header is invalid or reserved",
        })
    }
}

impl core::error::Error for InvalidResponse {}

/// A handshake under way: pass on what comes, send what the request deserves.
#[derive(Debug)]
pub struct ServerHandshake {
    reader: HeadReader,
    failed: Option<RequestError>,
}

impl ServerHandshake {
    /// Waits for a request.
    #[must_use]
    pub const fn new(limits: HeadLimits) -> Self {
        Self { reader: HeadReader::new(HeadOf::Request, limits.max_head_bytes), failed: None }
    }

    /// Takes received bytes; `None` if the request is not complete.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; every later call repeats it. Send its [`RequestError::response`], then
    /// close.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<Request>, RequestError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.advance(bytes);
        if let Err(error) = &result {
            self.failed = Some(*error);
        }
        result
    }

    fn advance(&mut self, bytes: &[u8]) -> Result<Option<Request>, RequestError> {
        self.reader.receive(bytes);
        let Some(head) = self.reader.next_head()? else { return Ok(None) };
        let (method, target, headers) = parse_request(&head)?;
        let mut request = Request::new(&method, &target, headers)?;
        request.rest = self.reader.take_rest();
        Ok(Some(request))
    }
}
