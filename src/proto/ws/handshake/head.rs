//! What both roles need of HTTP: finding the end of a head in time linear in its bytes, header
//! fields, and what may be written into one.

use core::fmt;

/// Bounds on what a peer may send before the connection is open; safety, not taste.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeadLimits {
    /// Most bytes of a head, from its first line to the empty one. Of a client, of all heads it
    /// reads, as interim responses may come first.
    ///
    /// Default 16 KiB: twice what the common servers accept, so that large cookies pass.
    pub max_head_bytes: usize,
    /// Most bytes of a refusal's body that a client keeps.
    ///
    /// Default 4 KiB: enough for the message that servers put there, and nothing is left of a
    /// page that is meant for eyes.
    pub max_body_bytes: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { max_head_bytes: 16 << 10, max_body_bytes: 4 << 10 }
    }
}

/// Most header fields of a head. Browsers send about 20; each costs the parser a slot of 32 bytes.
const MAX_FIELDS: usize = 128;

/// The header fields of a request or response, in the order they came in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Vec<u8>)>);

/// As text, without the values that may be secrets.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SECRET: [&str; 4] = ["Authorization", "Cookie", "Proxy-Authorization", "Set-Cookie"];
        f.debug_map()
            .entries(self.iter().map(|(name, value)| {
                let is_secret = SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret));
                (name, if is_secret { "..".into() } else { String::from_utf8_lossy(value) })
            }))
            .finish()
    }
}

impl Headers {
    /// The value of the only field of this name, in any case; `None` if there is none or several.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        let mut all = self.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        let (_, value) = all.next()?;
        if all.next().is_some() { None } else { Some(value) }
    }

    /// [`value`](Self::value) as text; `None` also if it is not UTF-8.
    ///
    /// # Examples
    ///
    /// ```
    /// use tidegate::proto::ws::Headers;
    /// let headers: Headers = [("Location", &b"wss://example.com/"[..])].into_iter().collect();
    /// assert_eq!(headers.text("location"), Some("wss://example.com/"));
    /// ```
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        core::str::from_utf8(self.value(name)?).ok()
    }

    /// The values of all fields of this name, in any case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    pub(super) fn push(&mut self, name: &str, value: &[u8]) {
        self.0.push((name.to_owned(), value.to_vec()));
    }

    /// The elements of a list that may be spread over several fields (RFC 9110 §5.3, §5.6.1).
    pub(super) fn list<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.all(name)
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|element| !element.is_empty())
    }

    pub(super) fn has_token(&self, name: &str, token: &str) -> bool {
        self.list(name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
    }

    /// The value of a field that must be there exactly once.
    pub(super) fn single(&self, name: &'static str) -> Result<&[u8], FieldFault> {
        let mut all = self.all(name);
        match (all.next(), all.next()) {
            (Some(value), None) => Ok(value),
            (None, _) => Err(FieldFault::Missing(name)),
            (Some(_), Some(_)) => Err(FieldFault::Doubled(name)),
        }
    }
}

impl<'a> FromIterator<(&'a str, &'a [u8])> for Headers {
    fn from_iter<T: IntoIterator<Item = (&'a str, &'a [u8])>>(fields: T) -> Self {
        let mut headers = Self::default();
        for (name, value) in fields {
            headers.push(name, value);
        }
        headers
    }
}

/// What is wrong with a field that must be there exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldFault {
    Missing(&'static str),
    Doubled(&'static str),
}

/// A head that is not HTTP/1.1, or exceeds its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidHead {
    /// Not the head of an HTTP/1 message.
    Malformed,
    /// HTTP/1.0, which has no upgrade.
    Version,
    /// No end within [`HeadLimits::max_head_bytes`].
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// More than 128 header fields.
    TooManyFields,
}

impl fmt::Display for InvalidHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("malformed http head"),
            Self::Version => f.write_str("http version is not 1.1"),
            Self::TooLarge { limit } => write!(f, "http head is above the limit of {limit} bytes"),
            Self::TooManyFields => write!(f, "http head has more than {MAX_FIELDS} fields"),
        }
    }
}

impl core::error::Error for InvalidHead {}

/// How many bytes of a head are looked at when more of it has come, to tell whether it is one.
const FIRST_LOOK: usize = 64;

/// Whose head is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadOf {
    /// A client's.
    Request,
    /// A server's, or a proxy's.
    Response,
}

impl HeadOf {
    /// Whether a head may begin so. Whoever speaks another protocol, such as TLS or SSH, is refused by its
    /// first bytes: it may say no more until it hears something, or never end a line.
    fn may_begin(self, bytes: &[u8]) -> bool {
        const PROTOCOL: &[u8] = b"HTTP/";
        // Longer methods are registered nowhere.
        const LONGEST_METHOD: usize = 32;
        match self {
            Self::Response => {
                let len = bytes.len().min(PROTOCOL.len());
                bytes.get(..len) == PROTOCOL.get(..len)
            }
            Self::Request => {
                // RFC 9112 §2.2: an empty line before the request is ignored.
                let start = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(bytes.len());
                let rest = bytes.get(start..).unwrap_or_default();
                let method = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
                let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
                (method > 0 || rest.is_empty())
                    && method <= LONGEST_METHOD
                    && rest.iter().take(method).all(is_token)
            }
        }
    }
}

/// Collects bytes until a head is complete.
#[derive(Debug)]
pub(super) struct HeadReader {
    of: HeadOf,
    bytes: Vec<u8>,
    /// No end of a head begins below this. Invariant: `searched <= bytes.len()`.
    searched: usize,
    /// Bytes that may still be taken for heads.
    left: usize,
    limit: usize,
}

impl HeadReader {
    pub(super) const fn new(of: HeadOf, limit: usize) -> Self {
        Self { of, bytes: Vec::new(), searched: 0, left: limit, limit }
    }

    /// Takes more bytes; a head that is complete is then found by [`HeadReader::next_head`].
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Removes the next head, with its empty line.
    ///
    /// Each byte is looked at once however the input was cut, and a head is parsed once, when it
    /// is complete: a peer that sends byte by byte costs no more than one that does not.
    pub(super) fn next_head(&mut self) -> Result<Option<Vec<u8>>, InvalidHead> {
        const END: &[u8] = b"\r\n\r\n";
        if !self.of.may_begin(self.bytes.get(..FIRST_LOOK).unwrap_or(&self.bytes)) {
            return Err(InvalidHead::Malformed);
        }
        let fresh = self.bytes.get(self.searched..).unwrap_or_default();
        let Some(at) = fresh.windows(END.len()).position(|window| window == END) else {
            if self.bytes.len() > self.left {
                return Err(InvalidHead::TooLarge { limit: self.limit });
            }
            // The last three bytes may be the start of the end.
            self.searched = self.bytes.len().saturating_sub(END.len() - 1);
            return Ok(None);
        };
        let len = self.searched + at + END.len();
        if len > self.left {
            return Err(InvalidHead::TooLarge { limit: self.limit });
        }
        let rest = self.bytes.split_off(len);
        self.left -= len;
        self.searched = 0;
        Ok(Some(core::mem::replace(&mut self.bytes, rest)))
    }

    /// Removes what follows the heads that were removed.
    pub(super) fn take_rest(&mut self) -> Vec<u8> {
        self.searched = 0;
        core::mem::take(&mut self.bytes)
    }
}

/// Parses the head of a response: status, reason phrase, fields.
pub(super) fn parse_response(head: &[u8]) -> Result<(u16, String, Headers), InvalidHead> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(InvalidHead::Malformed),
        Err(error) => return Err(error.into()),
    }
    let status = response.code.ok_or(InvalidHead::Malformed)?;
    // Of HTTP/1.0, which has no upgrade, a refusal is as good as any.
    if response.version != Some(1) && status == 101 {
        return Err(InvalidHead::Version);
    }
    let reason = response.reason.unwrap_or_default().to_owned();
    Ok((status, reason, response.headers.iter().map(|field| (field.name, field.value)).collect()))
}

/// Parses the head of a request: method, target, fields.
pub(super) fn parse_request(head: &[u8]) -> Result<(String, String, Headers), InvalidHead> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(InvalidHead::Malformed),
        Err(error) => return Err(error.into()),
    }
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(InvalidHead::Malformed);
    };
    if request.version != Some(1) {
        return Err(InvalidHead::Version);
    }
    let headers = request.headers.iter().map(|field| (field.name, field.value)).collect();
    Ok((method.to_owned(), target.to_owned(), headers))
}

impl From<httparse::Error> for InvalidHead {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooManyFields,
            _ => Self::Malformed,
        }
    }
}

/// Appends a field, whose name and value were checked when they were given.
pub(super) fn push_field(text: &mut String, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        text.push_str(part);
    }
}

/// RFC 9110 §5.6.2: what a method, a field name or a subprotocol is made of.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// RFC 9110 §5.5: what may stand in a field value. Above all neither CR nor LF, with which a
/// value could end its field and begin another.
pub(super) fn is_field_value(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
        && value.trim_matches([' ', '\t']).len() == value.len()
}

/// The first field of `headers` that the caller may not set, because the handshake does or because
/// it would change where the peer sees the message end.
pub(super) fn is_reserved_field(name: &str) -> bool {
    const RESERVED: [&str; 7] =
        ["host", "upgrade", "connection", "content-length", "transfer-encoding", "te", "trailer"];
    const PREFIX: &str = "sec-websocket-";
    let prefix = name.get(..PREFIX.len()).unwrap_or_default();
    prefix.eq_ignore_ascii_case(PREFIX) || RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_found_at_every_cut() {
        let input = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 x\r\na: b\r\n\r\nrest";
        for cut in 0..=input.len() {
            let mut reader = HeadReader::new(HeadOf::Response, 1_000);
            let mut heads = Vec::new();
            for piece in [&input[..cut], &input[cut..]] {
                reader.receive(piece);
                while heads.len() < 2 {
                    let Some(head) = reader.next_head().unwrap() else { break };
                    heads.push(head);
                }
            }
            assert_eq!(heads.iter().map(Vec::len).collect::<Vec<_>>(), [25, 24]);
            assert_eq!(reader.take_rest(), b"rest");
        }
    }

    #[test]
    fn the_limit_is_exact_and_holds_over_several_heads() {
        let head = b"GET / HTTP/1.1\r\n\r\n";
        let mut reader = HeadReader::new(HeadOf::Request, 2 * head.len());
        reader.receive(&head.repeat(3));
        assert!(reader.next_head().unwrap().is_some());
        assert!(reader.next_head().unwrap().is_some());
        assert_eq!(reader.next_head(), Err(InvalidHead::TooLarge { limit: 36 }));
        let mut endless = HeadReader::new(HeadOf::Request, 4);
        endless.receive(b"GET ");
        assert_eq!(endless.next_head(), Ok(None));
        endless.receive(b"/");
        assert_eq!(endless.next_head(), Err(InvalidHead::TooLarge { limit: 4 }));
    }

    #[test]
    fn b64_another_protocol_is_refused_by_its_first_bytes() {
        let next = |of, bytes: &[u8]| {
            let mut reader = HeadReader::new(of, 1_000);
            reader.receive(bytes);
            reader.next_head()
        };
        for wrong in [&b"\x16\x03\x01"[..], b"SSH-2.0", b"\0", b" ", b"H\r", b"http/1.1", b"\x81\x05Hello"] {
            assert_eq!(next(HeadOf::Response, wrong), Err(InvalidHead::Malformed), "{wrong:x?}");
        }
        for start in [&b""[..], b"H", b"HTTP/", b"HTTP/1.1 101"] {
            assert_eq!(next(HeadOf::Response, start), Ok(None), "{start:x?}");
        }
        for wrong in [&b"\x16\x03\x01"[..], b"\0", b" ", b"G\x01", b"GET\t", b"\r\n\x16", &[b'A'; 33]] {
            assert_eq!(next(HeadOf::Request, wrong), Err(InvalidHead::Malformed), "{wrong:x?}");
        }
        for start in [&b""[..], b"G", b"\r\n", b"\r\nGET", b"GET /\x01", b"M-SEARCH "] {
            assert_eq!(next(HeadOf::Request, start), Ok(None), "{start:x?}");
        }
    }

    #[test]
    fn what_may_be_written_into_a_head() {
        assert!(is_token("chat.v2"));
        for bad in ["", "a b", "a,b", "a/b", "a\r\n", "\u{e9}"] {
            assert!(!is_token(bad), "{bad:?}");
        }
        assert!(is_field_value("Bearer a\tb \u{e9}"));
        for bad in ["a\r\nb", "a\rb", "a\nb", "a\0", "\x7f", " a", "a "] {
            assert!(!is_field_value(bad), "{bad:?}");
        }
        for name in ["Host", "SEC-WebSocket-Extra", "content-length"] {
            assert!(is_reserved_field(name), "{name}");
        }
        assert!(!is_reserved_field("Origin"));
    }

    #[test]
    fn b64_no_byte_of_a_head_is_searched_again_and_again() {
        // Work is counted and not time: what lies before `searched` is not looked at.
        for piece in [1, 2, 3, 7, 1_000] {
            let input = b"GET / HTTP/1.1\r\nHost: a\r\n\r".repeat(1_000);
            let mut reader = HeadReader::new(HeadOf::Request, input.len());
            let mut looked_at = 0;
            for piece in input.chunks(piece) {
                reader.receive(piece);
                looked_at += reader.bytes.len() - reader.searched;
                assert_eq!(reader.next_head(), Ok(None));
            }
            let most = input.len() + 3 * input.len().div_ceil(piece);
            assert!(looked_at <= most, "{looked_at} bytes of {} in pieces of {piece}", input.len());
            reader.receive(b"\n\r\n\r\n");
            assert!(reader.next_head().is_err(), "one above the limit");
        }
    }

    #[test]
    fn lists_may_be_spread_over_fields() {
        let fields = [("A", &b"x, ,y"[..]), ("b", b"1"), ("a", b",Z")];
        let headers: Headers = fields.into_iter().collect();
        assert_eq!(headers.list("a").collect::<Vec<_>>(), [b"x", b"y", b"Z"]);
        assert!(headers.has_token("A", "z"));
        assert_eq!(headers.single("a"), Err(FieldFault::Doubled("a")));
        assert_eq!(headers.single("c"), Err(FieldFault::Missing("c")));
        assert_eq!(headers.value("B"), Some(&b"1"[..]));
        assert_eq!(headers.value("a"), None);
    }
}
