//! A WebSocket of the host: a browser's, Node's, or one that behaves like them (`ws`).
//!
//! Opened here, or handed in already open with the events that came meanwhile. Values are passed
//! to the host as they are. It listens by `addEventListener`, dispatches nothing, and detaches its
//! own listeners when it is let go.
//!
//! Not here: any protocol decision, any queue.

use core::cell::RefCell;
use core::ops::Range;
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{Array, ArrayBuffer, Promise, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, CloseEvent, MessageEvent};

use super::{Capabilities, Content, FetchToken, Opened, Outgoing, Refused, Transport, TransportEvent};
use crate::proto::HostedKind;

#[wasm_bindgen]
extern "C" {
    /// What of a `WebSocket` is used. Only the shape counts, so that `ws` and fakes fit too.
    #[derive(Clone)]
    pub(crate) type Socket;

    #[wasm_bindgen(method, js_name = addEventListener)]
    fn listen(this: &Socket, kind: &str, listener: &JsValue);
    #[wasm_bindgen(method, js_name = removeEventListener)]
    fn unlisten(this: &Socket, kind: &str, listener: &JsValue);
    #[wasm_bindgen(method, catch, js_name = send)]
    fn send_value(this: &Socket, value: &JsValue) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = send)]
    fn send_text(this: &Socket, text: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = send)]
    fn send_bytes(this: &Socket, bytes: &[u8]) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = close)]
    fn close(this: &Socket) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch, js_name = close)]
    fn close_with(this: &Socket, code: u16, reason: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, getter, js_name = bufferedAmount)]
    fn buffered_amount(this: &Socket) -> Option<f64>;
    #[wasm_bindgen(method, getter)]
    fn protocol(this: &Socket) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    fn extensions(this: &Socket) -> Option<String>;

    /// `Blob.prototype.arrayBuffer`, which throws where a runtime lacks it.
    #[wasm_bindgen(method, catch, js_name = arrayBuffer)]
    fn array_buffer(this: &Slice) -> Result<Promise<JsValue>, JsValue>;
    type Slice;
}

/// What is listened to. `error` says nothing that `close` does not, but `ws` kills the process
/// over one that nobody listens to.
const EVENTS: [&str; 4] = ["open", "message", "error", "close"];

type Listener = Closure<dyn Fn(JsValue)>;
type Inbox = RefCell<VecDeque<TransportEvent<JsValue>>>;
type Reads = RefCell<Vec<Option<[Closure<dyn FnMut(JsValue)>; 2]>>>;

/// See the module's page.
pub(crate) struct WebSocketTransport {
    socket: Socket,
    shared: Rc<Shared>,
    listener: RefCell<Option<Listener>>,
}

struct Shared {
    inbox: Inbox,
    /// The callbacks of reads that are under way; each pair is dropped by the one that is called.
    reads: Reads,
    /// Makes the driver take events.
    notify: Rc<dyn Fn()>,
    /// Whether received values stay with the host (npm) or become owned (Rust); Blobs always stay.
    keep_values: bool,
}

impl WebSocketTransport {
    /// Listens to `socket`. `early` are the events that it has already dispatched, in order.
    pub(crate) fn from_raw(socket: Socket, early: &Array, keep_values: bool, notify: Rc<dyn Fn()>) -> Self {
        let shared =
            Rc::new(Shared { inbox: Inbox::default(), reads: Reads::default(), notify, keep_values });
        for event in early.iter() {
            shared.take(&socket, &event);
        }
        let closure = {
            let (socket, shared) = (socket.clone(), shared.clone());
            Listener::new(move |event: JsValue| {
                shared.take(&socket, &event);
                (shared.notify)();
            })
        };
        for kind in EVENTS {
            socket.listen(kind, closure.as_ref());
        }
        Self { socket, shared, listener: RefCell::new(Some(closure)) }
    }

    /// Opens a WebSocket. `binary_type` is set before the first event can come.
    ///
    /// # Errors
    ///
    /// What the constructor throws; the arguments were checked, so this is a policy of the page
    /// (mixed content).
    pub(crate) fn open(
        url: &str,
        protocols: &[String],
        binary_type: web_sys::BinaryType,
        notify: Rc<dyn Fn()>,
    ) -> Result<Self, JsValue> {
        let names: Array = protocols.iter().map(JsValue::from).collect();
        let socket = web_sys::WebSocket::new_with_str_sequence(url, &names)?;
        socket.set_binary_type(binary_type);
        Ok(Self::from_raw(socket.unchecked_into(), &Array::new(), false, notify))
    }

    /// Bytes that the host says it has not sent yet; 0 where it does not say.
    pub(crate) fn buffered_amount(&self) -> f64 {
        self.socket.buffered_amount().unwrap_or(0.0)
    }

    fn detach(&self) -> bool {
        let Some(listener) = self.listener.take() else { return false };
        for kind in EVENTS {
            self.socket.unlisten(kind, listener.as_ref());
        }
        true
    }
}

impl Shared {
    /// Takes one event of the socket into the inbox.
    fn take(&self, socket: &Socket, event: &JsValue) {
        // The class is not checked but the name: `ws` has event classes of its own.
        let event = event.unchecked_ref::<web_sys::Event>();
        let taken = match event.type_().as_str() {
            "message" => TransportEvent::Message(self.content(&event.unchecked_ref::<MessageEvent>().data())),
            "open" => TransportEvent::Opened(Opened {
                protocol: socket.protocol().unwrap_or_default(),
                extensions: socket.extensions().unwrap_or_default(),
            }),
            "close" => {
                let event = event.unchecked_ref::<CloseEvent>();
                let (code, reason, was_clean) = (event.code(), event.reason(), event.was_clean());
                TransportEvent::Closed { code, reason, was_clean }
            }
            _ => return,
        };
        self.inbox.borrow_mut().push_back(taken);
    }

    fn content(&self, data: &JsValue) -> Content<JsValue> {
        if let Some(text) = data.dyn_ref::<js_sys::JsString>() {
            if self.keep_values {
                // UTF-16 units: the exact size would cost a walk over the string.
                let bytes = u64::from(text.length());
                return Content::Value { value: data.clone(), kind: HostedKind::Text, bytes };
            }
            return Content::Text(String::from(text));
        }
        if let Some(buffer) = data.dyn_ref::<ArrayBuffer>() {
            if self.keep_values {
                let bytes = u64::from(buffer.byte_length());
                return Content::Value { value: data.clone(), kind: HostedKind::Buffer, bytes };
            }
            return Content::Binary(Uint8Array::new(buffer).to_vec());
        }
        if let Some(blob) = data.dyn_ref::<Blob>() {
            return Content::Value { value: data.clone(), kind: HostedKind::Blob, bytes: size_of(blob) };
        }
        Content::Unsupported(String::from(data.js_typeof().unchecked_ref::<js_sys::JsString>()))
    }

    /// The callback of a read that is under way has been called with `content`.
    fn read_done(&self, key: usize, token: FetchToken, content: Option<Content<JsValue>>) {
        self.inbox.borrow_mut().push_back(TransportEvent::Fetched { token, content });
        let callbacks = self.reads.borrow_mut().get_mut(key).and_then(Option::take);
        (self.notify)();
        // One of the two is running: wasm-bindgen frees it when it returns.
        drop(callbacks);
    }
}

impl Transport for WebSocketTransport {
    type Value = JsValue;

    fn capabilities(&self) -> Capabilities {
        Capabilities { takes_values: true }
    }

    fn has_room(&self) -> bool {
        // Sending is not paced yet: the browser takes everything at once.
        true
    }

    fn send(&self, outgoing: Outgoing<JsValue>) -> Result<(), Refused> {
        let sent = match outgoing.content {
            Content::Text(text) => self.socket.send_text(&text),
            Content::Binary(bytes) => {
                // A view of shared memory is refused by browsers, so that with wasm threads the
                // bytes are copied once more.
                if cfg!(target_feature = "atomics") {
                    self.socket.send_value(&Uint8Array::new_from_slice(&bytes))
                } else {
                    self.socket.send_bytes(&bytes)
                }
            }
            Content::Value { value, .. } => self.socket.send_value(&value),
            Content::Unsupported(_) => return Err(Refused),
        };
        sent.map_err(|_| Refused)
    }

    fn close(&self, code: Option<u16>, reason: &str) {
        // Code and reason were checked, so that this cannot throw; if a foreign socket does throw,
        // the close deadline ends it.
        let _ = match code {
            None => self.socket.close(),
            Some(code) => self.socket.close_with(code, reason),
        };
    }

    fn abort(&self) {
        if self.detach() {
            let _ = self.socket.close();
        }
    }

    fn fetch(&self, value: &JsValue, range: Range<u64>, token: FetchToken) {
        #[allow(clippy::cast_precision_loss, reason = "a Blob's size is at most 2^53")]
        let (start, end) = (range.start as f64, range.end as f64);
        let key = {
            let mut reads = self.shared.reads.borrow_mut();
            reads.iter().position(Option::is_none).unwrap_or_else(|| {
                reads.push(None);
                reads.len() - 1
            })
        };
        let callback = |ok: bool| {
            let shared = self.shared.clone();
            Closure::once(move |value: JsValue| {
                let content = value.dyn_ref::<ArrayBuffer>().filter(|_| ok).map(|buffer| Content::Value {
                    bytes: u64::from(buffer.byte_length()),
                    kind: HostedKind::Buffer,
                    value: value.clone(),
                });
                shared.read_done(key, token, content);
            })
        };
        let promise = value
            .dyn_ref::<Blob>()
            .and_then(|blob| blob.slice_with_f64_and_f64(start, end).ok())
            .and_then(|part| part.unchecked_into::<Slice>().array_buffer().ok());
        let Some(promise) = promise else {
            self.shared.inbox.borrow_mut().push_back(TransportEvent::Fetched { token, content: None });
            return;
        };
        let callbacks = [callback(true), callback(false)];
        let _ = promise.then2(&callbacks[0], &callbacks[1]);
        if let Some(place) = self.shared.reads.borrow_mut().get_mut(key) {
            *place = Some(callbacks);
        }
    }

    fn next_event(&self) -> Option<TransportEvent<JsValue>> {
        self.shared.inbox.borrow_mut().pop_front()
    }

    fn copy(value: &JsValue) -> Option<Vec<u8>> {
        value.dyn_ref::<ArrayBuffer>().map(|buffer| Uint8Array::new(buffer).to_vec())
    }
}

impl Drop for WebSocketTransport {
    fn drop(&mut self) {
        self.abort();
    }
}

/// The size of a Blob in bytes.
pub(crate) fn size_of(blob: &Blob) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an integer up to 2^53")]
    let size = blob.size() as u64;
    size
}
