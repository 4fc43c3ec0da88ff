//! gloo-net.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;

use futures_util::{Sink as _, SinkExt as _, StreamExt as _};
use gloo_net::websocket::futures::WebSocket;
use gloo_net::websocket::{Message, State};
use wasm_bindgen::JsError;

use crate::socket::{Data, Socket};

pub(crate) struct Gloo(WebSocket);

impl fmt::Debug for Gloo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gloo")
    }
}

impl Gloo {
    pub(crate) async fn connect(url: &str) -> Result<Self, JsError> {
        let mut socket = WebSocket::open(url)?;
        // Ready says that the attempt is over, not how it ended.
        poll_fn(|context| Pin::new(&mut socket).poll_ready(context)).await?;
        match socket.state() {
            State::Open => Ok(Self(socket)),
            _ => Err(JsError::new("gloo-net does not connect")),
        }
    }
}

impl Socket for Gloo {
    async fn send(&mut self, message: Data) -> Result<(), JsError> {
        Ok(self
            .0
            .send(match message {
                Data::Text(text) => Message::Text(text),
                Data::Binary(bytes) => Message::Bytes(bytes),
            })
            .await?)
    }

    async fn next(&mut self) -> Result<Data, JsError> {
        match self.0.next().await {
            Some(message) => Ok(match message? {
                Message::Text(text) => Data::Text(text),
                Message::Bytes(bytes) => Data::Binary(bytes),
            }),
            None => Err(JsError::new("the connection has ended")),
        }
    }
}
