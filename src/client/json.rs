//! The codec `Json`.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::message::Message;
use super::typed::{Codec, DecodeError, EncodeError};

/// JSON in text messages, by `serde_json`.
///
/// Numbers beyond 2^53 are exact between two tidegate ends, but not in JavaScript. A float that is
/// not finite becomes `null`, as `JSON.stringify` has it. A float of many digits may be read as the one beside
/// it (`serde_json` without its feature `float_roundtrip`). In browsers `BrowserJson` does the same in less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json;

impl Codec for Json {
    fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Message, EncodeError> {
        serde_json::to_string(value).map(Message::Text).map_err(EncodeError::new)
    }

    fn decode<T: DeserializeOwned>(message: Message) -> Result<T, DecodeError> {
        match &message {
            // Bytes that a server sends as a binary message by habit are JSON all the same.
            Message::Text(text) => {
                serde_json::from_str(text).map_err(|error| DecodeError::new(error, message))
            }
            Message::Binary(bytes) => {
                serde_json::from_slice(bytes).map_err(|error| DecodeError::new(error, message))
            }
            Message::Blob(_) => Err(DecodeError::unsuited("a blob; use BinaryType::ArrayBuffer", message)),
            Message::Error(_) => Err(DecodeError::unsuited("a receive error", message)),
        }
    }
}
