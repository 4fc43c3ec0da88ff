//! ws_stream_wasm.

use futures_util::{SinkExt as _, StreamExt as _};
use wasm_bindgen::JsError;
use ws_stream_wasm::{WsMessage, WsMeta};

use crate::socket::{Data, Socket};

#[derive(Debug)]
pub(crate) struct WsStream {
    stream: ws_stream_wasm::WsStream,
    // Its events end with it.
    _meta: WsMeta,
}

impl WsStream {
    pub(crate) async fn connect(url: &str) -> Result<Self, JsError> {
        let (meta, stream) = WsMeta::connect(url, None).await?;
        Ok(Self { stream, _meta: meta })
    }
}

impl Socket for WsStream {
    async fn send(&mut self, message: Data) -> Result<(), JsError> {
        Ok(self
            .stream
            .send(match message {
                Data::Text(text) => WsMessage::Text(text),
                Data::Binary(bytes) => WsMessage::Binary(bytes),
            })
            .await?)
    }

    async fn next(&mut self) -> Result<Data, JsError> {
        match self.stream.next().await {
            Some(WsMessage::Text(text)) => Ok(Data::Text(text)),
            Some(WsMessage::Binary(bytes)) => Ok(Data::Binary(bytes)),
            None => Err(JsError::new("the connection has ended")),
        }
    }
}
