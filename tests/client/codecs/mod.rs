//! What the codecs make of values: one table for all of them, in which stands where they differ.
//!
//! [`Json`] goes through it on the host and in browsers, `BrowserJson` in browsers.

mod decoding;
mod encoding;
mod types;

pub(crate) use decoding::decodes;
pub(crate) use encoding::encodes;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) use types::Any;

use core::error::Error;
use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tidegate::{Codec, Json, Message};

/// A codec that goes through the table.
pub(crate) trait Subject: Codec {
    /// Whether it is the browser's, for the columns in which the two are apart.
    const IS_BROWSERS: bool;
}

impl Subject for Json {
    const IS_BROWSERS: bool = false;
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
impl Subject for tidegate::BrowserJson {
    const IS_BROWSERS: bool = true;
}

/// The text of a value; `None` if it is refused, which every refusal has to say why.
fn written<C: Subject>(value: &(impl Serialize + ?Sized)) -> Option<String> {
    match C::encode(value) {
        Ok(Message::Text(text)) => Some(text),
        Ok(other) => panic!("JSON is text: {other:?}"),
        Err(error) => {
            assert!(!error.source().expect("a reason").to_string().is_empty());
            None
        }
    }
}

/// The value of a text; `None` if it is refused, which gives the message back and says why.
fn read<C: Subject, T: DeserializeOwned>(text: &str) -> Option<T> {
    match C::decode(Message::from(text)) {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(!error.source().expect("a reason").to_string().is_empty());
            assert_eq!(error.into_message(), Message::from(text));
            None
        }
    }
}

/// A map of these pairs.
fn map<K: Ord, V>(pairs: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, V> {
    pairs.into_iter().collect()
}
