//! Host values in and out, on the driver's own thread.

use std::rc::Rc;
use std::sync::Arc;

use js_sys::{ArrayBuffer, Uint8Array};
use wasm_bindgen::prelude::*;

use super::close::CloseOptions;
use crate::driver::Hub;
use crate::driver::hub::NoRoom;
use crate::driver::web::{self, WebDriver};
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
        let (kind, bytes) = classify(value)?;
        let transport = self.driver.core.transport();
        let payload = transport.keep(value.clone(), kind, bytes);
        let slot = payload.slot();
        match self.hub().try_send(payload) {
            Ok(id) => {
                let ticket = super::Ticket::new(self.hub(), id);
                // Sending has already been tried. What is still pending has to wait, and only that
                // is copied: what went out was copied by the browser.
                if kind == HostedKind::Buffer
                    && ticket.outcome().is_none()
                    && let (Some(slot), Some(snapshot)) = (slot, snapshot(value))
                {
                    transport.replace(slot, snapshot);
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
        self.driver.core.transport().value(slot)?.dyn_into().ok()
    }

    /// Bytes queued here and bytes that the browser has taken and not sent, as WHATWG
    /// `bufferedAmount`. A socket that has none counts as 0.
    #[must_use]
    pub fn buffered_amount(&self) -> u64 {
        let (_, queued) = self.hub().queued();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an unsigned long long")]
        let host = self.driver.core.transport().buffered_amount() as u64;
        queued.saturating_add(host)
    }

    /// How many messages are queued here.
    #[must_use]
    pub fn queued_messages(&self) -> u32 {
        self.hub().queued().0
    }
}

impl Drop for LocalClient {
    fn drop(&mut self) {
        self.hub().remove_user(self.close.deadline());
    }
}

/// Kind and size of a value, as the WebSocket standard's `send` takes it.
fn classify(value: &JsValue) -> Result<(HostedKind, u64), LocalSendError> {
    if let Some(text) = value.dyn_ref::<js_sys::JsString>() {
        return Ok((HostedKind::Text, utf8_length(text)));
    }
    if let Some(blob) = value.dyn_ref::<web_sys::Blob>() {
        return Ok((HostedKind::Blob, crate::transport::web_socket::size_of(blob)));
    }
    let (buffer, bytes) = if let Some(buffer) = value.dyn_ref::<ArrayBuffer>() {
        (buffer.clone(), buffer.byte_length())
    } else if ArrayBuffer::is_view(value) {
        // Every view has these; `Uint8Array` only stands for them.
        let view = value.unchecked_ref::<Uint8Array>();
        (view.buffer(), view.byte_length())
    } else {
        return Err(LocalSendError::Unsupported);
    };
    if bytes == 0 && is_detached(&buffer) {
        return Err(LocalSendError::Detached);
    }
    Ok((HostedKind::Buffer, u64::from(bytes)))
}

/// Whether the buffer's bytes have been transferred: then no view can be made of it.
fn is_detached(buffer: &ArrayBuffer) -> bool {
    #[wasm_bindgen]
    extern "C" {
        #[wasm_bindgen(js_name = Uint8Array)]
        type View;
        #[wasm_bindgen(constructor, catch, js_class = Uint8Array)]
        fn new(buffer: &JsValue) -> Result<View, JsValue>;
    }
    View::new(buffer).is_err()
}

/// A copy of the bytes of a buffer or view, in JavaScript's memory.
fn snapshot(value: &JsValue) -> Option<JsValue> {
    if let Some(buffer) = value.dyn_ref::<ArrayBuffer>() {
        return Some(buffer.slice_with_end(0, buffer.byte_length()).into());
    }
    ArrayBuffer::is_view(value).then(|| {
        let view = value.unchecked_ref::<Uint8Array>();
        let (start, end) = (view.byte_offset(), view.byte_offset() + view.byte_length());
        Uint8Array::new(&view.buffer()).slice(start, end).into()
    })
}

/// The size of a string in UTF-8; a lone surrogate becomes U+FFFD, which has three bytes.
fn utf8_length(text: &js_sys::JsString) -> u64 {
    let units: Vec<u16> = text.iter().collect();
    char::decode_utf16(units).map(|unit| unit.map_or(3, char::len_utf8) as u64).sum()
}
