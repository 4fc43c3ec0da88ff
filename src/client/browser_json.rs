//! The codec `BrowserJson`.
//!
//! What costs a page most of an implementation of JSON is reading: the grammar, and floats in both directions. That
//! is the platform's here, by `JSON.parse` and `String(number)`; text is put together by `encode`. What the
//! platform would lose without a word is seen beforehand by `scan`, and `decode` is as strict as `serde_json`.
//!
//! `serde-wasm-bindgen` with `JSON.stringify` around was tried and is not used. It adds more to a page than
//! `serde_json` (24.1 kB of brotli; that is 23.6, and this 16.9), and in silence it loses a key `__proto__`, items
//! that a tuple has no room for, halves of surrogate pairs, the digits of integers in untagged enums, and fields
//! that a type denies; it takes 1e400 for infinity, and an array in an array in … ends the program.
//!
//! Not here: JSON's grammar.

mod access;
mod decode;
mod encode;
mod error;
mod key;
mod scan;

use js_sys::JSON;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::prelude::*;

use self::error::Error;
use self::scan::Numbers;
use super::message::Message;
use super::typed::{Codec, DecodeError, EncodeError};

/// JSON in text messages, by the browser's own `JSON`: a page does not load an implementation of its own.
///
/// It writes what `Json` (of the feature `json`) writes, and reads what that reads, so that either may be at the other end.
/// Integers are exact in both directions up to 128 bits: a number beyond 2^53 − 1 goes around JavaScript's
/// numbers, by its digits. An error would be the other way without loss; but identifiers of 64 bits are ordinary,
/// and whether one is in the way would show with the first large one only. (A *peer* in JavaScript rounds them,
/// whoever sent them. Send text to it.)
///
/// The differences, all of which the tests of both have in one table:
///
/// | | `Json` | `BrowserJson` |
/// |---|---|---|
/// | writes `1e20`, `0.1_f32` as | `1e+20`, `0.1` | `100000000000000000000.0`, `0.10000000149011612`: the same numbers |
/// | reads `1.0` as an integer | an error | 1, as JavaScript has one kind of number; in an untagged type it is an integer |
/// | reads `0.9999999999999999` as a float | 1.0: some are off in the last bit | 0.9999999999999999 |
/// | reads a field that comes twice in a struct | an error | the last, as both do in maps |
/// | reads the keys of `{"b":1,"10":2,"9":3}` | in their order | those that look like indices first: 9, 10, b |
/// | refuses nesting beyond 127 levels | in what is read | also in what is passed over |
///
/// Alike are: NaN and infinities become `null`, as do `None` and `()`; bytes are an array of numbers; keys of maps
/// are text, or what has a text for sure (numbers, booleans, characters, names of variants), and any other is an
/// [`EncodeError`]. A number beyond the range of its type, half a surrogate pair, a missing or a denied field is
/// a [`DecodeError`]. Its source says what is wrong and where, and shows no values: `a number in the place of u8 at
/// items[0].count`.
///
/// It reads slower than `Json`, as each value of a message is a call out of the wasm: some 2 µs for a small one.
///
/// With the feature `browser-json`, on `wasm32-unknown-unknown` only.
///
/// # Examples
///
/// ```no_run
/// # async fn example(client: tidegate::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use tidegate::BrowserJson;
///
/// let typed = client.typed::<(u64, String), Vec<u64>, BrowserJson>();
/// typed.send(&(u64::MAX, "exact".into())).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrowserJson;

impl Codec for BrowserJson {
    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Message, EncodeError> {
        let mut encoder = encode::Encoder::default();
        value.serialize(&mut encoder).map_err(EncodeError::new)?;
        Ok(Message::Text(encoder.into_text()))
    }

    fn decode<T: DeserializeOwned>(message: Message) -> Result<T, DecodeError> {
        let decoded = match &message {
            Message::Text(text) => parse(text),
            // Bytes that a server sends as a binary message by habit are JSON all the same.
            Message::Binary(bytes) => match core::str::from_utf8(bytes) {
                Ok(text) => parse(text),
                Err(_) => Err(Error::of("bytes that are no UTF-8")),
            },
            Message::Blob(_) => {
                return Err(DecodeError::unsuited("a blob; use BinaryType::ArrayBuffer", message));
            }
            Message::Error(_) => return Err(DecodeError::unsuited("a receive error", message)),
        };
        decoded.map_err(|error| DecodeError::new(error, message))
    }
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let numbers = scan::scan(text)?;
    let value = match numbers {
        Numbers::Plain => JSON::parse(text),
        Numbers::Marked => JSON::parse(&scan::marked(text)),
    };
    // What is thrown has other words in every browser, some with a piece of the text.
    let value = value.map_err(|_| Error::of("text that is no JSON"))?;
    T::deserialize(decode::Decoder::new(value, numbers))
}

#[wasm_bindgen]
extern "C" {
    /// A JSON object as a JavaScript one.
    #[wasm_bindgen(extends = js_sys::Object)]
    type Record;

    /// The value of a key that is there.
    #[wasm_bindgen(method, indexing_getter)]
    fn get(this: &Record, key: &JsValue) -> JsValue;

    /// The shortest digits that stand for a float, as `JSON.stringify` writes them, too.
    #[wasm_bindgen(js_name = String)]
    fn digits_of(value: f64) -> String;
}

/// The largest integer that is told from its neighbours, and with a minus sign the smallest
/// (`Number.MAX_SAFE_INTEGER`).
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;
