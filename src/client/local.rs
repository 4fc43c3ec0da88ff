//! Host values in and out, on the driver's own thread.

use std::rc::Rc;
use std::sync::Arc;

use js_sys::{ArrayBuffer, JsString, Uint8Array};
use wasm_bindgen::prelude::*;

use super::close::CloseOptions;
use crate::driver::hub::NoRoom;
use crate::driver::web::{self, WebDriver};
use crate::driver::{Hub, SendOptions};
use crate::proto::HostedKind;
use crate::transport::Transport;

/// This is not the thread that has opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffThread;

impl core::fmt::Display for OffThread {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("host values can only be used on the thread that has opened the connection")
    }
}

impl core::error::Error for OffThread {}

/// Why a host value was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalSendError {
    /// The send queue is full.
    Full,
    /// The connection is closing or closed.
    Closed,
    /// Neither a string, an `ArrayBuffer`, a view of one, nor a `Blob`.
    Unsupported,
    /// The buffer is detached: its bytes belong to somebody else now.
    Detached,
}

impl core::fmt::Display for LocalSendError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Full => "the send queue is full",
            Self::Closed => "the connection is closing or closed",
            Self::Unsupported => "only strings, array buffers, their views and blobs can be sent",
            Self::Detached => "the buffer is detached",
        })
    }
}

impl core::error::Error for LocalSendError {}

/// A connection on the thread that has opened it: sends JavaScript values as they are, so that
/// strings, buffers and Blobs never pass through wasm memory. `!Send`.
pub struct LocalClient {
    driver: Rc<WebDriver>,
    close: CloseOptions,
}

impl LocalClient {
    pub(crate) fn of(hub: &Arc<Hub>, close: CloseOptions) -> Result<Self, OffThread> {
        let driver = web::find(hub.id).ok_or(OffThread)?;
        hub.add_user();
        Ok(Self { driver, close })
    }

    fn hub(&self) -> &Arc<Hub> {
        self.driver.core.outlet().hub()
    }

    /// Sends a string, an `ArrayBuffer`, a view of one, or a `Blob`, if there is room now.
    ///
    /// A buffer that cannot go out at once is copied, so that the caller may change it afterwards;
    /// a `Blob` is queued as it is.
    ///
    /// # Errors
    ///
    /// [`LocalSendError`]; nothing was taken.
    pub fn try_send(&self, value: &JsValue) -> Result<super::Ticket, LocalSendError> {
        self.try_send_with(value, SendOptions::new())
    }

    /// As [`try_send`](Self::try_send), with a priority, a flow, a deadline, or as the latest value of a key.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Self::try_send).
    pub fn try_send_with(
        &self,
        value: &JsValue,
        options: SendOptions,
    ) -> Result<super::Ticket, LocalSendError> {
        let (kind, bytes) = classify(value)?;
        let transport = self.driver.core.transport();
        #[cfg(feature = "v1")]
        let text = value.dyn_ref::<JsString>().filter(|_| self.hub().is_tidegate());
        #[cfg(not(feature = "v1"))]
        let text: Option<&JsString> = None;
        let payload = match text {
            // It goes in chunks, each of which would have to be encoded from the beginning.
            Some(text) => crate::proto::Payload::Text(String::from(text)),
            None => transport.values().keep(value.clone(), kind, bytes),
        };
        let slot = payload.slot();
        match self.hub().try_send(self.hub().outgoing(payload, options)) {
            Ok(id) => {
                let ticket = super::Ticket::new(self.hub(), id);
                // Sending has already been tried. What is still pending has to wait, and only that
                // is copied: what went out was copied by the browser.
                if kind == HostedKind::Buffer
                    && ticket.outcome().is_none()
                    && let Some(slot) = slot
                {
                    transport.values().replace(slot, snapshot(value));
                }
                Ok(ticket)
            }
            Err((why, payload)) => {
                if let Some(slot) = payload.slot() {
                    transport.release(slot);
                }
                Err(match why {
                    NoRoom::Full => LocalSendError::Full,
                    NoRoom::Closed => LocalSendError::Closed,
                })
            }
        }
    }

    /// The JavaScript `Blob` behind a received one.
    ///
    /// `None` if it was received on another connection.
    #[must_use]
    pub fn blob(&self, blob: &super::Blob) -> Option<web_sys::Blob> {
        let (hub, slot) = blob.place();
        if !Arc::ptr_eq(hub, self.hub()) {
            return None;
        }
        self.driver.core.transport().values().get(slot)?.dyn_into().ok()
    }

    /// Bytes queued here and bytes that the browser has taken and not sent, as WHATWG
    /// `bufferedAmount`. A socket that has none counts as 0; over [`Transport::Stream`](super::Transport::Stream)
    /// it is the message that is being written.
    #[must_use]
    pub fn buffered_amount(&self) -> u64 {
        let host = self.driver.core.transport().buffered_amount();
        self.hub().queued().bytes.saturating_add(host)
    }

    /// How many messages are queued here.
    #[must_use]
    pub fn queued_messages(&self) -> u64 {
        self.hub().queued().messages
    }
}

impl Drop for LocalClient {
    fn drop(&mut self) {
        self.hub().remove_user(self.close.deadline());
    }
}

/// Kind and size of a value, as the WebSocket standard's `send` takes it.
fn classify(value: &JsValue) -> Result<(HostedKind, u64), LocalSendError> {
    if let Some(text) = value.dyn_ref::<JsString>() {
        return Ok((HostedKind::Text, utf8_length(text)));
    }
    if let Some(blob) = value.dyn_ref::<web_sys::Blob>() {
        return Ok((HostedKind::Blob, crate::transport::web::size_of(blob)));
    }
    if !value.is_instance_of::<ArrayBuffer>() && !ArrayBuffer::is_view(value) {
        return Err(LocalSendError::Unsupported);
    }
    let extent = value.unchecked_ref::<Extent>();
    let bytes = extent.byte_length();
    if bytes == 0.0 && is_detached(&extent.buffer().unwrap_or_else(|| value.clone())) {
        return Err(LocalSendError::Detached);
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an integer up to 2^53")]
    let bytes = bytes as u64;
    Ok((HostedKind::Buffer, bytes))
}

#[wasm_bindgen]
extern "C" {
    /// What buffers and all views have, with lengths beyond 32 bits.
    type Extent;
    #[wasm_bindgen(method, getter, js_name = byteLength)]
    fn byte_length(this: &Extent) -> f64;
    /// Views only.
    #[wasm_bindgen(method, getter, js_name = byteOffset)]
    fn byte_offset(this: &Extent) -> Option<f64>;
    /// Views only.
    #[wasm_bindgen(method, getter)]
    fn buffer(this: &Extent) -> Option<JsValue>;
    /// Buffers only.
    #[wasm_bindgen(method)]
    fn slice(this: &Extent, start: f64, end: f64) -> JsValue;

    #[wasm_bindgen(js_name = Uint8Array)]
    type View;
    #[wasm_bindgen(constructor, catch, js_class = Uint8Array)]
    fn new(buffer: &JsValue) -> Result<View, JsValue>;

    type TextEncoder;
    #[wasm_bindgen(constructor)]
    fn new() -> TextEncoder;
    #[wasm_bindgen(method, js_name = encodeInto)]
    fn encode_into(this: &TextEncoder, text: &JsString, into: &Uint8Array) -> Encoded;
    type Encoded;
    #[wasm_bindgen(method, getter)]
    fn written(this: &Encoded) -> u32;
}

/// Whether the buffer's bytes have been transferred: then no view can be made of it.
fn is_detached(buffer: &JsValue) -> bool {
    View::new(buffer).is_err()
}

/// A copy of the bytes of a buffer or view, in JavaScript's memory.
fn snapshot(value: &JsValue) -> JsValue {
    let extent = value.unchecked_ref::<Extent>();
    let start = extent.byte_offset().unwrap_or(0.0);
    let buffer = extent.buffer().unwrap_or_else(|| value.clone());
    buffer.unchecked_ref::<Extent>().slice(start, start + extent.byte_length())
}

/// The size of a string in UTF-8; a lone surrogate becomes U+FFFD, which has three bytes.
///
/// Counted by the host, a piece at a time, so that a long string takes no memory here.
fn utf8_length(text: &JsString) -> u64 {
    /// In UTF-16 units. Short ones are counted here, for less than it costs to ask.
    const PIECE: u32 = 8 << 10;
    const SHORT: u32 = 64;
    const HIGH_SURROGATES: core::ops::Range<f64> = 55_296.0..56_320.0;

    let length = text.length();
    if length <= SHORT {
        return char::decode_utf16(text.iter()).map(|unit| unit.map_or(3, char::len_utf8) as u64).sum();
    }
    // Three bytes at most for each unit.
    let (encoder, scratch) = (TextEncoder::new(), Uint8Array::new_with_length(3 * PIECE.min(length)));
    let (mut start, mut bytes) = (0, 0);
    while start < length {
        let mut end = length.min(start + PIECE);
        // A pair of surrogates is not cut in two.
        if end < length && HIGH_SURROGATES.contains(&text.char_code_at(end - 1)) {
            end -= 1;
        }
        bytes += u64::from(encoder.encode_into(&text.substring(start, end), &scratch).written());
        start = end;
    }
    bytes
}
