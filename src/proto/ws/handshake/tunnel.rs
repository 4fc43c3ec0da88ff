//! What a client asks of an HTTP proxy before the opening handshake: a tunnel to the server.
//!
//! Not here: when to use a proxy, other ways to log in than Basic.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::body::BodyReader;
use super::client::{InvalidRequest, Refusal};
use super::head::{HeadLimits, HeadOf, HeadReader, InvalidHead, parse_response, push_field};

/// A tunnel being asked for: send [`ProxyTunnel::request`], pass on what comes back.
///
/// # Specification
///
/// [RFC 9110 §9.3.6](https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6), which
/// [RFC 6455 §4.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.1) asks for whether or not TLS follows.
///
/// # Examples
///
/// ```
/// use tidegate::proto::ws::{HeadLimits, ProxyTunnel};
///
/// let credentials = Some(("Aladdin", "open sesame"));
/// let mut tunnel = ProxyTunnel::new("example.com:443", credentials, HeadLimits::default())?;
/// assert!(tunnel.request().starts_with(b"CONNECT example.com:443 HTTP/1.1\r\n"));
/// assert!(!tunnel.receive(b"HTTP/1.1 200 Connection est")?);
/// assert!(tunnel.receive(b"ablished\r\n\r\n")?);
/// // From now on the stream leads to example.com.
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ProxyTunnel {
    request: Vec<u8>,
    limits: HeadLimits,
    reader: HeadReader,
    /// The response is a refusal and its body is being read.
    refusal: Option<(Refusal, BodyReader)>,
    /// How it has ended.
    ended: Option<Result<(), TunnelError>>,
}

/// Without the request, in which there may be a password.
impl fmt::Debug for ProxyTunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyTunnel").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl ProxyTunnel {
    /// Asks for a tunnel to `authority`, a host and its port (an IPv6 address in brackets), by the Basic
    /// `credentials` of a user and a password.
    ///
    /// # Errors
    ///
    /// [`InvalidRequest::Host`] if `authority` would not stay one word in its line or has no port;
    /// [`InvalidRequest::Credentials`] for control characters, or a colon in the user's name, at which
    /// the proxy would cut it.
    ///
    /// # Specification
    ///
    /// [RFC 7617 §2](https://www.rfc-editor.org/rfc/rfc7617#section-2) for the credentials, in UTF-8.
    pub fn new(
        authority: &str,
        credentials: Option<(&str, &str)>,
        limits: HeadLimits,
    ) -> Result<Self, InvalidRequest> {
        let has_port = authority.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty() && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        });
        let is_word = authority.bytes().all(|byte| byte.is_ascii_graphic());
        if !has_port || !is_word || authority.contains(['/', '?', '#', '@', ',']) {
            return Err(InvalidRequest::Host);
        }
        let mut text = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n");
        if let Some((user, password)) = credentials {
            if user.contains(':') || [user, password].iter().any(|part| part.contains(char::is_control)) {
                return Err(InvalidRequest::Credentials);
            }
            let credentials = STANDARD.encode(format!("{user}:{password}"));
            push_field(&mut text, "Proxy-Authorization", &format!("Basic {credentials}"));
        }
        text += "\r\n";
        let reader = HeadReader::new(HeadOf::Response, limits.max_head_bytes);
        Ok(Self { request: text.into_bytes(), limits, reader, refusal: None, ended: None })
    }

    /// The request, to be sent as it is.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Takes received bytes; true once the tunnel is there.
    ///
    /// Interim responses (1xx) are skipped. Of a refusal, the body is read to its end or to the limit
    /// first; a caller who does not want to wait calls [`ProxyTunnel::end`].
    ///
    /// # Errors
    ///
    /// [`TunnelError`]; every later call repeats it.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<bool, TunnelError> {
        if let Some(ended) = &self.ended {
            return ended.clone().map(|()| true);
        }
        self.reader.receive(bytes);
        let result = self.advance();
        match &result {
            Ok(false) => {}
            Ok(true) => self.ended = Some(Ok(())),
            Err(error) => self.ended = Some(Err(error.clone())),
        }
        result
    }

    /// The status of a response that refuses the tunnel, as soon as its head is there; its body may still
    /// be missing.
    #[must_use]
    pub fn refused_status(&self) -> Option<u16> {
        self.refusal.as_ref().map(|(refusal, _)| refusal.status)
    }

    /// Says that nothing more will be received, and why there is no tunnel therefore.
    #[must_use]
    pub fn end(mut self) -> TunnelError {
        match (self.ended, self.refusal.take()) {
            (Some(Err(error)), _) => error,
            (_, Some((refusal, body))) => refused(refusal, body),
            _ => TunnelError::Truncated,
        }
    }

    fn advance(&mut self) -> Result<bool, TunnelError> {
        while self.refusal.is_none() {
            let Some(head) = self.reader.next_head()? else { return Ok(false) };
            let (status, reason, headers) = parse_response(&head)?;
            match status {
                // RFC 9110 §9.3.6: any 2xx, and `Content-Length` or `Transfer-Encoding` mean nothing.
                200..=299 if self.reader.take_rest().is_empty() => return Ok(true),
                200..=299 => return Err(TunnelError::Surplus),
                // 101 would switch to a protocol that nobody has asked for.
                100 | 102..=199 => {}
                _ => {
                    let body = BodyReader::new(status, &headers, self.limits.max_body_bytes);
                    self.refusal = Some((Refusal { status, reason, headers, body: Vec::new() }, body));
                }
            }
        }
        let Some((_, body)) = &mut self.refusal else { return Ok(false) };
        body.receive(&self.reader.take_rest());
        if !body.is_complete() {
            return Ok(false);
        }
        let Some((refusal, body)) = self.refusal.take() else { return Ok(false) };
        Err(refused(refusal, body))
    }
}

fn refused(refusal: Refusal, body: BodyReader) -> TunnelError {
    TunnelError::Refused(Box::new(Refusal { body: body.into_bytes(), ..refusal }))
}

/// Why a proxy gave no tunnel; final for the connection to it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TunnelError {
    /// The response is not one of HTTP/1, or exceeds a limit.
    Head(InvalidHead),
    /// A status other than 2xx: 407 asks for credentials, 403 forbids the server, 502 and 504 say that it
    /// was not reached.
    Refused(Box<Refusal>),
    /// Something came behind the response. Whoever speaks first in a tunnel is the client, in TLS as in
    /// HTTP, so that this is not from the server.
    Surplus,
    /// The transport ended inside the response.
    Truncated,
}

impl TunnelError {
    /// The response, if it was complete and refused the tunnel.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) => error.fmt(f),
            Self::Refused(refusal) => write!(f, "proxy answered with status {}", refusal.status),
            Self::Surplus => f.write_str("proxy sent more than its response"),
            Self::Truncated => f.write_str("transport ended inside the response of the proxy"),
        }
    }
}

impl core::error::Error for TunnelError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Head(error) => Some(error),
            _ => None,
        }
    }
}

impl From<InvalidHead> for TunnelError {
    fn from(error: InvalidHead) -> Self {
        Self::Head(error)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn tunnel() -> ProxyTunnel {
        ProxyTunnel::new("example.com:80", None, HeadLimits::default()).unwrap()
    }

    /// What comes of `input`, which is the same however it is cut.
    fn answer(input: &[u8]) -> Result<bool, TunnelError> {
        let whole = tunnel().receive(input);
        for cut in 0..=input.len() {
            let mut tunnel = tunnel();
            let first = tunnel.receive(&input[..cut]);
            let both = first.and_then(|_| tunnel.receive(&input[cut..]));
            // What follows the head is seen only if it comes with it.
            if whole != Err(TunnelError::Surplus) || cut == 0 {
                assert_eq!(both, whole, "cut at {cut}");
            }
        }
        whole
    }

    #[test]
    fn the_request_is_one_head() {
        let request = |authority, credentials| {
            let tunnel = ProxyTunnel::new(authority, credentials, HeadLimits::default())?;
            Ok(String::from_utf8(tunnel.request().to_vec()).unwrap())
        };
        let plain = "CONNECT [::1]:80 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n";
        assert_eq!(request("[::1]:80", None), Ok(plain.to_owned()));
        // The example of RFC 7617, and its example in UTF-8.
        for (user, password, encoded) in [
            ("Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("test", "123\u{a3}", "dGVzdDoxMjPCow=="),
        ] {
            let field = format!("\r\nProxy-Authorization: Basic {encoded}\r\n\r\n");
            assert!(request("a:1", Some((user, password))).unwrap().ends_with(&field), "{user}");
        }
        for bad in ["", "a", ":1", "a:", "a:b", "a b:1", "a\r\nb:1", "a/b:1", "u@a:1", "a,b:1"] {
            assert_eq!(request(bad, None), Err(InvalidRequest::Host), "{bad:?}");
        }
        for bad in [("a:b", "c"), ("a\n", "b"), ("a", "b\r\nX: y"), ("a", "\0")] {
            assert_eq!(request("a:1", Some(bad)), Err(InvalidRequest::Credentials), "{bad:?}");
        }
    }

    #[test]
    fn any_status_of_success_opens_the_tunnel() {
        for head in [
            "HTTP/1.1 200 Connection established\r\n\r\n",
            "HTTP/1.0 200 OK\r\nServer: old\r\n\r\n",
            "HTTP/1.1 204 \r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ] {
            assert_eq!(answer(head.as_bytes()), Ok(true), "{head}");
        }
        assert_eq!(answer(b"HTTP/1.1 200 OK\r\n\r\n\x16\x03"), Err(TunnelError::Surplus));
    }

    #[test]
    fn b64_a_refusal_has_status_fields_and_the_start_of_its_body() {
        let head = "HTTP/1.1 407 Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n";
        let whole = answer(format!("{head}Content-Length: 3\r\n\r\nno!").as_bytes());
        let refusal = whole.unwrap_err().refusal().cloned().unwrap();
        assert_eq!((refusal.status, refusal.body.as_slice()), (407, &b"no!"[..]));
        assert_eq!(refusal.headers.value("proxy-authenticate"), Some(&b"Basic realm=\"x\""[..]));

        // A body without an end is given up by the caller.
        let mut tunnel = tunnel();
        assert_eq!(tunnel.receive(format!("{head}\r\nhalf").as_bytes()), Ok(false));
        assert_eq!(tunnel.refused_status(), Some(407));
        assert_eq!(tunnel.end().refusal().unwrap().body, b"half");
        for status in [101, 301, 403, 502] {
            let head = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
            assert_eq!(answer(head.as_bytes()).unwrap_err().refusal().unwrap().status, status);
        }
    }

    #[test]
    fn b64_what_is_no_head_or_too_large_ends_the_tunnel() {
        for bad in ["SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 two\r\n\r\n", "\r\n\r\n\r\n\r\n"] {
            assert_eq!(answer(bad.as_bytes()), Err(InvalidHead::Malformed.into()), "{bad:?}");
        }
        let limits = HeadLimits { max_head_bytes: 64, max_body_bytes: 8 };
        let mut endless = ProxyTunnel::new("a:1", None, limits).unwrap();
        assert_eq!(endless.receive(b"HTTP/1.1 200 OK\r\nX: "), Ok(false));
        assert_eq!(endless.receive(&[b'x'; 64]), Err(InvalidHead::TooLarge { limit: 64 }.into()));
        assert_eq!(endless.receive(b"\r\n\r\n"), Err(InvalidHead::TooLarge { limit: 64 }.into()));
        let mut long = ProxyTunnel::new("a:1", None, limits).unwrap();
        let error = long.receive(b"HTTP/1.1 403 No\r\n\r\na body that goes on").unwrap_err();
        assert_eq!(error.refusal().unwrap().body, b"a body t");
        assert_eq!(tunnel().end(), TunnelError::Truncated);
    }
}
