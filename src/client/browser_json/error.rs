//! What was wrong, and where in the value.

use core::fmt::{self, Display, Write as _};

use serde::de::{self, Expected, Unexpected};
use serde::ser;

/// Why a value cannot be JSON, or JSON cannot be a value.
///
/// It names kinds and keys, and no values, which keeps a peer's data out of logs, and the formatting of floats and
/// of quoted text out of the program (serde's own words about a wrong type have both: 14 kB of brotli).
#[derive(Debug)]
pub(super) struct Error {
    text: String,
    /// From the outermost value inwards: `.items[3].name`. Empty if it is the whole.
    path: String,
}

impl Error {
    pub(super) fn of(text: &str) -> Self {
        Self { text: text.to_owned(), path: String::new() }
    }

    /// The same, of a value that is below `key` of an object.
    pub(super) fn below(mut self, key: &str) -> Self {
        self.path.insert_str(0, key);
        self.path.insert(0, '.');
        self
    }

    /// The same, of a value that is in an array.
    pub(super) fn at(mut self, index: u32) -> Self {
        self.path = format!("[{index}]{}", self.path);
        self
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if !self.path.is_empty() {
            f.write_str(" at ")?;
            f.write_str(self.path.strip_prefix('.').unwrap_or(&self.path))?;
        }
        Ok(())
    }
}

impl core::error::Error for Error {}

impl ser::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self { text: message.to_string(), path: String::new() }
    }
}

impl de::Error for Error {
    fn custom<T: Display>(message: T) -> Self {
        Self { text: message.to_string(), path: String::new() }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::not(kind(&found), expected)
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::not(kind(&found), expected)
    }

    fn unknown_variant(_: &str, _: &'static [&'static str]) -> Self {
        Self::of("an unknown variant")
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::of("an unknown field").below(field)
    }
}

impl Error {
    fn not(found: &str, expected: &dyn Expected) -> Self {
        let mut text = String::new();
        // Writing to a `String` does not fail.
        let _ = write!(text, "{found} in the place of {expected}");
        Self { text, path: String::new() }
    }
}

/// The kind of a value in words, without its content.
fn kind<'a>(found: &Unexpected<'a>) -> &'a str {
    match found {
        Unexpected::Bool(_) => "a boolean",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) => "text",
        Unexpected::Bytes(_) => "bytes",
        Unexpected::Unit => "null",
        Unexpected::Seq => "an array",
        Unexpected::Map => "an object",
        Unexpected::UnitVariant => "the name of a variant",
        Unexpected::Other(words) => words,
        _ => "another kind of value",
    }
}
