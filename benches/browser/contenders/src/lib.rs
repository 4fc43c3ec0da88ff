//! WebSocket crates of other authors, each behind the same few exports.
//!
//! What is measured by the message happens in here, as it would in a program that is written in Rust: a crossing
//! from JavaScript for each message would be charged to the crate. `send` is for a page that sends a few
//! messages a second.
//!
//! Not here: what is measured and in which order, which the pages say.

mod cells;
mod gloo;
mod socket;
mod ws_stream;

use futures_util::FutureExt as _;
use wasm_bindgen::prelude::*;

use gloo::Gloo;
use socket::{Data, Socket};
use ws_stream::WsStream;

/// An open connection of one of the crates. Freed, it closes.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Contender(Inner);

#[derive(Debug)]
enum Inner {
    Gloo(Gloo),
    WsStream(WsStream),
}

#[wasm_bindgen]
impl Contender {
    /// Connects with the crate of that name, and waits until the connection is open.
    ///
    /// # Errors
    ///
    /// If there is no connection, or no such crate here.
    pub async fn connect(name: String, url: String) -> Result<Contender, JsError> {
        Ok(Self(match name.as_str() {
            "gloo-net" => Inner::Gloo(Gloo::connect(&url).await?),
            "ws_stream_wasm" => Inner::WsStream(WsStream::connect(&url).await?),
            _ => return Err(JsError::new("there is no such crate here")),
        }))
    }

    /// Sends a binary message. Neither crate makes its user wait once the connection is open.
    ///
    /// # Errors
    ///
    /// If the crate refuses, or wants to wait.
    pub fn send(&mut self, data: Vec<u8>) -> Result<(), JsError> {
        let data = Data::Binary(data);
        let sent = match &mut self.0 {
            Inner::Gloo(socket) => socket.send(data).now_or_never(),
            Inner::WsStream(socket) => socket.send(data).now_or_never(),
        };
        sent.unwrap_or_else(|| Err(JsError::new("the crate waits before it sends")))
    }

    /// Does `send`, `receive` or `echo` of so many messages; returns milliseconds.
    ///
    /// # Errors
    ///
    /// If the connection ends, or something else arrives than should.
    pub async fn measure(&mut self, what: String, bytes: usize, messages: u32) -> Result<f64, JsError> {
        match &mut self.0 {
            Inner::Gloo(socket) => cells::measure(socket, &what, bytes, messages).await,
            Inner::WsStream(socket) => cells::measure(socket, &what, bytes, messages).await,
        }
    }
}
