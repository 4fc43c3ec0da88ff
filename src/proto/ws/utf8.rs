//! UTF-8 validation of text that arrives in pieces cut anywhere.
//!
//! Not here: frames, messages, and what follows from an invalid byte.

use core::fmt;
use core::str::from_utf8;

use simdutf8::compat;

/// Up to here a piece is looked at for ASCII first; longer ones are validated by vectors, which do so too.
const SHORT: usize = 32;

/// Whether a whole text is UTF-8.
pub(super) fn is_utf8(text: &[u8]) -> bool {
    text.len() <= SHORT && text.is_ascii() || simdutf8::basic::from_utf8(text).is_ok()
}

/// A whole text, if it is UTF-8.
pub(super) fn as_utf8(text: &[u8]) -> Option<&str> {
    if text.len() <= SHORT { from_utf8(text).ok() } else { simdutf8::basic::from_utf8(text).ok() }
}

/// Bytes that no continuation can make valid UTF-8, or an end inside a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUtf8;

impl fmt::Display for InvalidUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid utf-8")
    }
}

impl core::error::Error for InvalidUtf8 {}

/// Validates one text, piece by piece, and fails at the first byte that cannot be right.
///
/// # Specification
///
/// [RFC 6455 §8.1](https://www.rfc-editor.org/rfc/rfc6455#section-8.1) and
/// [RFC 3629](https://www.rfc-editor.org/rfc/rfc3629).
///
/// # Examples
///
/// ```
/// use tidegate::proto::ws::Utf8Validator;
/// let mut text = Utf8Validator::new();
/// assert!(text.push(b"\xf0\x9f").is_ok()); // two of the four bytes of a character
/// assert!(text.push(b"\x8c\x8a").is_ok());
/// assert!(text.finish().is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8Validator {
    /// The bytes of a character whose end has not arrived; always a possible start of one.
    partial: [u8; 4],
    /// Invariant: `partial_len <= 3`.
    partial_len: usize,
}

impl Utf8Validator {
    /// A validator at the start of a text.
    #[must_use]
    pub const fn new() -> Self {
        Self { partial: [0; 4], partial_len: 0 }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] if a byte of it cannot follow those before. The validator is then of no
    /// further use until [`Utf8Validator::reset`].
    pub fn push(&mut self, mut piece: &[u8]) -> Result<(), InvalidUtf8> {
        // At most three rounds: a character has four bytes, and one of them is here already.
        while self.partial_len > 0 {
            let Some((&next, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            let len = self.partial_len + 1;
            let Some(slot) = self.partial.get_mut(self.partial_len) else {
                return Err(InvalidUtf8);
            };
            *slot = next;
            self.partial_len = match from_utf8(self.partial.get(..len).unwrap_or_default()) {
                Ok(_) => 0,
                Err(error) if error.error_len().is_none() => len,
                Err(_) => return Err(InvalidUtf8),
            };
        }
        // Short pieces are mostly ASCII, for which a look at their words is the shortest way.
        if piece.len() <= SHORT && piece.is_ascii() {
            return Ok(());
        }
        if let Err(error) = compat::from_utf8(piece) {
            // `Some` says that these bytes are wrong whatever comes, `None` that the end is missing.
            if error.error_len().is_some() {
                return Err(InvalidUtf8);
            }
            let open = piece.get(error.valid_up_to()..).unwrap_or_default();
            for (slot, byte) in self.partial.iter_mut().zip(open) {
                *slot = *byte;
            }
            self.partial_len = open.len();
        }
        Ok(())
    }

    /// Ends the text and makes the validator ready for the next one.
    ///
    /// # Errors
    ///
    /// [`InvalidUtf8`] if the text ends inside a character.
    pub fn finish(&mut self) -> Result<(), InvalidUtf8> {
        let complete = self.partial_len == 0;
        self.reset();
        if complete { Ok(()) } else { Err(InvalidUtf8) }
    }

    /// Forgets the text so far.
    pub fn reset(&mut self) {
        self.partial_len = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(pieces: &[&[u8]]) -> bool {
        let mut text = Utf8Validator::new();
        pieces.iter().all(|piece| text.push(piece).is_ok()) && text.finish().is_ok()
    }

    #[test]
    fn agrees_with_std_on_every_sequence_of_three_bytes_however_cut() {
        // The second and later bytes matter only by their class, of which these are the borders.
        let borders = [0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xed, 0xff];
        for first in 0..=255_u8 {
            for second in borders {
                for third in borders {
                    for fourth in [0x41, 0x80, 0xbf, 0xc2] {
                        let text = [first, second, third, fourth];
                        let expected = from_utf8(&text).is_ok();
                        for cut in 0..=4 {
                            let (head, tail) = text.split_at(cut);
                            assert_eq!(valid(&[head, tail]), expected, "{text:x?} at {cut}");
                        }
                        let each: Vec<&[u8]> = text.chunks(1).collect();
                        assert_eq!(valid(&each), expected, "{text:x?} bytewise");
                    }
                }
            }
        }
    }

    #[test]
    fn fails_at_the_first_impossible_byte() {
        for (good, bad) in [
            (&b""[..], 0x80), // continuation without a start
            (b"", 0xc0),      // would be overlong
            (b"", 0xf5),      // above U+10FFFF
            (b"\xe0", 0x9f),  // overlong
            (b"\xed", 0xa0),  // surrogate
            (b"\xf0", 0x8f),  // overlong
            (b"\xf4", 0x90),  // above U+10FFFF
            (b"\xf0\x90", 0x41),
        ] {
            let mut text = Utf8Validator::new();
            assert_eq!(text.push(good), Ok(()));
            assert_eq!(text.push(&[bad]), Err(InvalidUtf8), "{good:x?} {bad:x}");
        }
    }

    #[test]
    fn an_end_inside_a_character_is_invalid() {
        for partial in [&b"\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x8c"] {
            let mut text = Utf8Validator::new();
            assert_eq!(text.push(partial), Ok(()));
            assert_eq!(text.finish(), Err(InvalidUtf8));
            assert_eq!(text.finish(), Ok(()), "finish starts the next text");
        }
    }
}
