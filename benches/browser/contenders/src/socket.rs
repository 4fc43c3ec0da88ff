//! What the crates have in common.

use wasm_bindgen::JsError;

/// A message, in either direction.
#[derive(Debug)]
pub(crate) enum Data {
    Text(String),
    Binary(Vec<u8>),
}

/// An open connection.
pub(crate) trait Socket {
    /// Sends a message, as soon as the crate takes it.
    async fn send(&mut self, message: Data) -> Result<(), JsError>;

    /// The next message.
    async fn next(&mut self) -> Result<Data, JsError>;
}
