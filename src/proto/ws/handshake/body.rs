//! The start of a refusal's body, bounded, however it is framed.

use super::head::Headers;

/// Most bytes of the line that gives a chunk's size; a longer one ends the body.
const MAX_SIZE_LINE: usize = 256;

/// Collects a body until its end or a limit.
#[derive(Debug)]
pub(super) struct BodyReader {
    body: Vec<u8>,
    limit: usize,
    rest: Rest,
    /// The start of a chunk's size line. Invariant: `line.len() <= MAX_SIZE_LINE`.
    line: Vec<u8>,
}

/// What of the body has not arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// This many bytes.
    Bytes(u64),
    /// All until the transport ends.
    ToEnd,
    /// This many bytes of a chunk, then another chunk.
    Chunk(u64),
    /// Nothing.
    Done,
}

impl BodyReader {
    pub(super) fn new(status: u16, headers: &Headers, limit: usize) -> Self {
        let length = || core::str::from_utf8(headers.value("Content-Length")?).ok()?.parse().ok();
        // RFC 9112 §6.3, in its order.
        let rest = if matches!(status, 204 | 304) {
            Rest::Done
        } else if headers.has_token("Transfer-Encoding", "chunked") {
            Rest::Chunk(0)
        } else {
            length().map_or(Rest::ToEnd, Rest::Bytes)
        };
        Self { body: Vec::new(), limit, rest, line: Vec::new() }
    }

    /// Takes more bytes, each of which is looked at once but for those of a size line.
    pub(super) fn receive(&mut self, mut bytes: &[u8]) {
        while !self.is_complete() && !bytes.is_empty() {
            bytes = match self.rest {
                Rest::Done => return,
                Rest::ToEnd => {
                    self.keep(bytes);
                    &[]
                }
                Rest::Bytes(left) => {
                    let (now, later, left) = split(bytes, left);
                    self.keep(now);
                    self.rest = Rest::Bytes(left);
                    later
                }
                Rest::Chunk(0) => self.read_size(bytes),
                Rest::Chunk(left) => {
                    let (now, later, left) = split(bytes, left);
                    self.keep(now);
                    self.rest = Rest::Chunk(left);
                    later
                }
            };
        }
    }

    /// Whether nothing more of the body is wanted.
    pub(super) fn is_complete(&self) -> bool {
        self.body.len() >= self.limit || matches!(self.rest, Rest::Done | Rest::Bytes(0))
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.body
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.body.len());
        self.body.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    /// Takes one byte of a size line, with the line end that closes the chunk before it.
    fn read_size<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some((&byte, later)) = bytes.split_first() else { return bytes };
        if self.line.is_empty() && matches!(byte, b'\r' | b'\n') {
            return later;
        }
        self.line.push(byte);
        if byte == b'\n' || self.line.len() > MAX_SIZE_LINE {
            self.rest = match httparse::parse_chunk_size(&self.line) {
                Ok(httparse::Status::Complete((_, size))) if size > 0 => Rest::Chunk(size),
                _ => Rest::Done,
            };
            self.line.clear();
        }
        later
    }
}

/// The first `left` of `bytes`, those behind them, and how many are still missing.
fn split(bytes: &[u8], left: u64) -> (&[u8], &[u8], u64) {
    let now = usize::try_from(left).unwrap_or(usize::MAX);
    let (now, later) = bytes.split_at_checked(now).unwrap_or((bytes, &[]));
    (now, later, left - now.len() as u64)
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests {
    use super::*;

    fn read(status: u16, field: (&str, &str), limit: usize, input: &[u8]) -> (String, bool) {
        let headers: Headers = [(field.0, field.1.as_bytes())].into_iter().collect();
        let whole = |cut: usize| {
            let mut reader = BodyReader::new(status, &headers, limit);
            reader.receive(&input[..cut]);
            reader.receive(&input[cut..]);
            (reader.is_complete(), reader.into_bytes())
        };
        let (complete, body) = whole(0);
        for cut in 1..=input.len() {
            assert_eq!(whole(cut), (complete, body.clone()), "cut at {cut}");
        }
        (String::from_utf8_lossy(&body).into_owned(), complete)
    }

    #[test]
    fn every_framing_gives_the_start_of_the_body() {
        let length = ("Content-Length", "5");
        assert_eq!(read(401, length, 9, b"Hello more"), ("Hello".to_owned(), true));
        assert_eq!(read(401, length, 9, b"Hell"), ("Hell".to_owned(), false));
        assert_eq!(read(401, length, 2, b"Hello"), ("He".to_owned(), true));
        let none = ("Server", "x");
        assert_eq!(read(503, none, 9, b"Hello"), ("Hello".to_owned(), false));
        assert_eq!(read(304, none, 9, b"Hello"), (String::new(), true));
        let chunked = ("Transfer-Encoding", "chunked");
        let chunks = b"3\r\nHel\r\n2;x=y\r\nlo\r\n0\r\n\r\n";
        assert_eq!(read(500, chunked, 9, chunks), ("Hello".to_owned(), true));
        assert_eq!(read(500, chunked, 9, &chunks[..10]), ("Hel".to_owned(), false));
        assert_eq!(read(500, chunked, 9, b"3\r\nHel\r\nzz\r\n"), ("Hel".to_owned(), true));
        let huge = [b"1;".as_slice(), &[b'x'; 1_000]].concat();
        assert_eq!(read(500, chunked, 9, &huge), (String::new(), true));
    }
}
