//! A WebSocket of the host: a browser's, Node's, or one that behaves like them (`ws`).
//!
//! Text and buffers that arrive become owned, Blobs stay with the host; values that are sent are
//! passed to the host as they are. It listens by `addEventListener`, dispatches nothing, and
//! detaches its own listeners when it is let go.
//!
//! Not here: any protocol decision, any queue.

use core::cell::RefCell;
use core::ops::Range;
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{Array, ArrayBuffer, Promise, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, Blob, CloseEvent, MessageEvent, WebSocket};

use super::{FetchToken, Incoming, Opened, Transport, TransportEvent};
use crate::proto::payload::{Hosted, HostedKind, Payload, Slot, Transmit};
use crate::slab::Slab;

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
    #[wasm_bindgen(method, getter, js_name = readyState)]
    fn ready_state(this: &Socket) -> Option<u16>;
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

/// What is listened to. `error` says nothing that `close` does not, but a host may report one
/// that nobody listens to as uncaught.
const EVENTS: [&str; 4] = ["open", "message", "error", "close"];

type Listener = Closure<dyn Fn(JsValue)>;
type Inbox = RefCell<VecDeque<TransportEvent>>;
type Reads = RefCell<Slab<[Closure<dyn FnMut(JsValue)>; 2]>>;

/// See the module's page.
pub(crate) struct WebSocketTransport {
    socket: Socket,
    shared: Rc<Shared>,
    listener: RefCell<Option<Listener>>,
}

struct Shared {
    inbox: Inbox,
    /// The values that the core knows by their slots.
    values: RefCell<Slab<JsValue>>,
    /// The callbacks of reads that are under way; each pair is dropped by the one that is called.
    reads: Reads,
    /// Makes the driver take events.
    notify: Rc<dyn Fn()>,
    /// Whether subprotocols were offered: a server that acknowledges none has then refused. Not
    /// all browsers fail such a connection by themselves, as the standard has it.
    wants_protocol: bool,
}

impl WebSocketTransport {
    /// Opens a WebSocket. `binary_type` is set before the first event can come.
    ///
    /// # Errors
    ///
    /// What the constructor throws; the arguments were checked, so this is a policy of the page
    /// (mixed content).
    pub(crate) fn open(
        url: &str,
        protocols: &[String],
        binary_type: BinaryType,
        notify: Rc<dyn Fn()>,
    ) -> Result<Self, JsValue> {
        let names: Array = protocols.iter().map(JsValue::from).collect();
        let socket = WebSocket::new_with_str_sequence(url, &names)?;
        socket.set_binary_type(binary_type);
        let socket: Socket = socket.unchecked_into();
        let shared = Rc::new(Shared {
            inbox: Inbox::default(),
            values: RefCell::default(),
            reads: Reads::default(),
            notify,
            wants_protocol: !protocols.is_empty(),
        });
        let listener = {
            let (socket, shared) = (socket.clone(), shared.clone());
            Listener::new(move |event: JsValue| {
                shared.take(&socket, &event);
                (shared.notify)();
            })
        };
        for kind in EVENTS {
            socket.listen(kind, listener.as_ref());
        }
        Ok(Self { socket, shared, listener: RefCell::new(Some(listener)) })
    }

    /// Keeps a value; the payload that stands for it owns the slot.
    pub(crate) fn keep(&self, value: JsValue, kind: HostedKind, bytes: u64) -> Payload {
        self.shared.keep(value, kind, bytes)
    }

    /// The value of a slot.
    pub(crate) fn value(&self, slot: Slot) -> Option<JsValue> {
        self.shared.values.borrow().get(slot.0).cloned()
    }

    /// Puts another value in its place, such as a snapshot of a buffer that has to wait.
    pub(crate) fn replace(&self, slot: Slot, value: JsValue) {
        self.shared.values.borrow_mut().replace(slot.0, value);
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
        let event = event.unchecked_ref::<web_sys::Event>();
        let taken = match event.type_().as_str() {
            "message" => TransportEvent::Message(self.content(event.unchecked_ref::<MessageEvent>().data())),
            "open" if self.wants_protocol && socket.protocol().is_none_or(|chosen| chosen.is_empty()) => {
                // WHATWG WebSockets, establish a connection: fail it. The close that follows is
                // the second one, and does not count.
                let _ = socket.close();
                TransportEvent::Closed { code: 1006, reason: String::new(), was_clean: false }
            }
            "open" => TransportEvent::Opened,
            "close" => {
                let event = event.unchecked_ref::<CloseEvent>();
                let (code, reason, was_clean) = (event.code(), event.reason(), event.was_clean());
                TransportEvent::Closed { code, reason, was_clean }
            }
            _ => return,
        };
        self.inbox.borrow_mut().push_back(taken);
    }

    fn content(&self, data: JsValue) -> Incoming {
        if let Some(text) = data.dyn_ref::<js_sys::JsString>() {
            return Incoming::Message(Payload::Text(String::from(text)));
        }
        if let Some(buffer) = data.dyn_ref::<ArrayBuffer>() {
            return Incoming::Message(Payload::Binary(Uint8Array::new(buffer).to_vec()));
        }
        if let Some(bytes) = data.dyn_ref::<Blob>().map(size_of) {
            return Incoming::Message(self.keep(data, HostedKind::Blob, bytes));
        }
        Incoming::Unsupported(String::from(data.js_typeof().unchecked_ref::<js_sys::JsString>()))
    }

    fn keep(&self, value: JsValue, kind: HostedKind, bytes: u64) -> Payload {
        let slot = Slot(self.values.borrow_mut().insert(value));
        Payload::Hosted(Hosted { slot, kind, bytes })
    }

    /// The callback of a read that is under way has been called.
    fn read_done(&self, key: u32, token: FetchToken, buffer: Option<ArrayBuffer>) {
        let content = buffer.map(|buffer| {
            let bytes = u64::from(buffer.byte_length());
            self.keep(buffer.into(), HostedKind::Buffer, bytes)
        });
        self.inbox.borrow_mut().push_back(TransportEvent::Fetched { token, content });
        let callbacks = self.reads.borrow_mut().remove(key);
        (self.notify)();
        // One of the two is running: wasm-bindgen frees it when it returns.
        drop(callbacks);
    }
}

impl Transport for WebSocketTransport {
    fn takes_values(&self) -> bool {
        true
    }

    fn takes_all(&self) -> bool {
        true
    }

    fn buffered_amount(&self) -> u64 {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "`as` saturates, and what is no number becomes 0"
        )]
        let amount = self.socket.buffered_amount().unwrap_or(0.0) as u64;
        amount
    }

    fn has_room(&self) -> bool {
        true
    }

    fn send(&self, part: Transmit) -> bool {
        // Between the peer's close frame and the close event `send` drops what it is given, without
        // a word (WHATWG WebSockets, `send(data)`, step 3).
        if self.socket.ready_state().is_some_and(|state| state != WebSocket::OPEN) {
            return false;
        }
        let sent = match part.payload {
            Payload::Text(text) => self.socket.send_text(&text),
            // A view of shared memory is refused by browsers, so that with wasm threads the bytes
            // are copied once more.
            Payload::Binary(bytes) if cfg!(target_feature = "atomics") => {
                self.socket.send_value(&Uint8Array::new_from_slice(&bytes))
            }
            Payload::Binary(bytes) => self.socket.send_bytes(&bytes),
            Payload::Hosted(hosted) => match self.value(hosted.slot) {
                Some(value) => self.socket.send_value(&value),
                None => return false,
            },
        };
        sent.is_ok()
    }

    fn close(&self, code: Option<u16>, reason: String) {
        // Code and reason were checked, so that this cannot throw; if a foreign socket does throw,
        // the close deadline ends it.
        let _ = match code {
            None => self.socket.close(),
            Some(code) => self.socket.close_with(code, &reason),
        };
    }

    fn abort(&self) {
        if self.detach() {
            let _ = self.socket.close();
        }
    }

    fn fetch(&self, slot: Slot, range: Range<u64>, token: FetchToken) {
        #[allow(clippy::cast_precision_loss, reason = "a Blob's size is at most 2^53")]
        let (start, end) = (range.start as f64, range.end as f64);
        let promise = self.value(slot).and_then(|value| {
            let blob = value.dyn_ref::<Blob>()?;
            // The whole is not sliced: an empty slice of a file that is gone reads as empty.
            let whole = range.start == 0 && range.end == size_of(blob);
            let part = if whole { blob.clone() } else { blob.slice_with_f64_and_f64(start, end).ok()? };
            part.unchecked_into::<Slice>().array_buffer().ok()
        });
        let Some(promise) = promise else {
            self.shared.inbox.borrow_mut().push_back(TransportEvent::Fetched { token, content: None });
            return;
        };
        // The callbacks have to know their own key, which is known once they are kept; no promise
        // calls back before this turn is over.
        let key = Rc::new(core::cell::Cell::new(0));
        let callbacks = [true, false].map(|ok| {
            let (shared, key) = (self.shared.clone(), key.clone());
            Closure::once(move |value: JsValue| {
                let buffer = value.dyn_into::<ArrayBuffer>().ok().filter(|_| ok);
                shared.read_done(key.get(), token, buffer);
            })
        });
        let [resolved, rejected] = &callbacks;
        let _ = promise.then2(resolved, rejected);
        key.set(self.shared.reads.borrow_mut().insert(callbacks));
    }

    fn release(&self, slot: Slot) {
        // Dropped after the borrow has ended.
        let value = self.shared.values.borrow_mut().remove(slot.0);
        drop(value);
    }

    fn take_bytes(&self, content: Payload) -> Option<Vec<u8>> {
        let Payload::Hosted(hosted) = content else { return None };
        let value = self.shared.values.borrow_mut().remove(hosted.slot.0)?;
        value.dyn_ref::<ArrayBuffer>().map(|buffer| Uint8Array::new(buffer).to_vec())
    }

    fn opened(&self) -> Opened {
        Opened {
            protocol: self.socket.protocol().unwrap_or_default(),
            extensions: self.socket.extensions().unwrap_or_default(),
        }
    }

    fn next_event(&self) -> Option<TransportEvent> {
        self.shared.inbox.borrow_mut().pop_front()
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
