//! What has to be known of a text before the platform parses it, and cannot be seen in what becomes of it.

use super::error::Error;

/// As deep as `serde_json` goes. Without a bound a peer could end the program by a nesting that overflows the
/// stack of who reads the values.
const MAX_DEPTH: u32 = 127;

/// The largest integer that is told from its neighbours, 2^53 - 1.
const LARGEST: &[u8] = b"9007199254740991";

/// What a string begins with that stands for an integer: the second half of a surrogate pair. No other string
/// begins so that [`scan`] lets pass.
pub(super) const MARK: u32 = 0xdc00;

/// How the numbers of a text are given to the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// As they are: every integer is one that floats tell from its neighbours.
    Plain,
    /// Those that are not as strings behind [`MARK`], by [`marked`].
    Marked,
}

/// Looks at strings, nesting and numbers. Grammar is left to the platform, so that this takes any text.
///
/// # Errors
///
/// If the nesting is too deep, or if a string has one half of a surrogate pair: the platform would take it, and
/// make U+FFFD of it on its way to Rust.
pub(super) fn scan(text: &str) -> Result<Numbers, Error> {
    let mut numbers = Numbers::Plain;
    let mut depth = 0_u32;
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = match byte {
            b'"' => after_string(after)?,
            b'-' | b'0'..=b'9' => {
                let (number, after) = split(rest, is_of_number);
                if is_long(number) {
                    numbers = Numbers::Marked;
                }
                after
            }
            b'[' | b'{' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(Error::of("nesting beyond 127 levels"));
                }
                after
            }
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                after
            }
            _ => after,
        };
    }
    Ok(numbers)
}

/// A text that passed [`scan`], with its long integers as strings behind [`MARK`]: the platform keeps all their
/// digits then.
pub(super) fn marked(text: &str) -> String {
    let mut marked = String::with_capacity(text.len() + text.len() / 2);
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let end = match byte {
            b'"' => after_string(after).unwrap_or_default(),
            b'-' | b'0'..=b'9' => split(rest, is_of_number).1,
            _ => split(rest, |byte| !matches!(byte, b'"' | b'-' | b'0'..=b'9')).1,
        };
        // The borders lie beside ASCII, and so between characters.
        let (from, to) = (text.len() - rest.len(), text.len() - end.len());
        let part = text.get(from..to).unwrap_or_default();
        // The name of a member must be a string, and must not become one here.
        let is_name = || split(end, |byte| byte.is_ascii_whitespace()).1.first() == Some(&b':');
        if is_long(part.as_bytes()) && !is_name() {
            marked.push_str("\"\\udc00");
            marked.push_str(part);
            marked.push('"');
        } else {
            marked.push_str(part);
        }
        rest = end;
    }
    marked
}

/// Whether a number may go on with this byte.
fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
}

/// Whether this is an integer, and above [`LARGEST`].
fn is_long(number: &[u8]) -> bool {
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    let is_large = match digits.len() {
        length if length == LARGEST.len() => digits > LARGEST,
        length => length > LARGEST.len(),
    };
    // A zero in front is none of JSON's, and what the platform has to say about that must not be lost.
    is_large && !digits.starts_with(b"0") && digits.iter().all(u8::is_ascii_digit)
}

/// What follows the string that `rest` is in. An escape that is none, and a string without an end, are left to
/// the platform.
fn after_string(mut rest: &[u8]) -> Result<&[u8], Error> {
    loop {
        rest = match split(rest, |byte| !matches!(byte, b'"' | b'\\')).1 {
            [b'"', after @ ..] => return Ok(after),
            [b'\\', b'u', after @ ..] => match unit(after) {
                Some((0xd800..=0xdbff, [b'\\', b'u', second @ ..])) => match unit(second) {
                    Some((0xdc00..=0xdfff, after)) => after,
                    _ => return Err(half()),
                },
                Some((0xd800..=0xdfff, _)) => return Err(half()),
                Some((_, after)) => after,
                None => after,
            },
            [b'\\', _, after @ ..] => after,
            _ => return Ok(&[]),
        };
    }
}

fn half() -> Error {
    Error::of("one half of a surrogate pair")
}

/// The UTF-16 unit of four hexadecimal digits, and what follows them.
fn unit(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, after) = bytes.split_at_checked(4)?;
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let unit = digits.iter().try_fold(0, |unit, byte| Some(unit * 16 + digit(byte)?))?;
    Some((unit, after))
}

/// The bytes before the first for which `holds` does not, and the rest.
fn split(bytes: &[u8], holds: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| !holds(*byte)).unwrap_or(bytes.len());
    bytes.split_at_checked(end).unwrap_or((bytes, &[]))
}
