//! A WebSocket of the host: a browser's, Node's, or one that behaves like them (`ws`).
//!
//! Text and buffers that arrive become owned, Blobs stay with the host; values that are sent are
//! passed to the host as they are. It listens by `addEventListener`, dispatches nothing, and
//! detaches its own listeners when it is let go.
//!
//! Not here: any protocol decision, any queue.

use core::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Array, ArrayBuffer, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use web_sys::{Blob, CloseEvent, MessageEvent, WebSocket};

use super::web::{Offer, WebTransport, WebValues, size_of};
use super::{Incoming, Opened, TransportEvent};
use crate::proto::payload::{HostedKind, Payload, Transmit};

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
}

/// What is listened to. Behind `open` an `error` says nothing that `close` does not, but a host may report one
/// that nobody listens to as uncaught; before it, it may be all that comes.
const EVENTS: [&str; 4] = ["open", "message", "error", "close"];

type Listener = Closure<dyn Fn(JsValue)>;

/// See the module's page.
pub(crate) struct WebSocketTransport {
    socket: Socket,
    values: WebValues,
    listener: RefCell<Option<Listener>>,
}

impl WebSocketTransport {
    /// Opens a WebSocket. Its `binaryType` is set before the first event can come.
    ///
    /// # Errors
    ///
    /// What the constructor throws; the arguments were checked, so this is a policy of the page
    /// (mixed content).
    pub(crate) fn open(url: &str, offer: Offer<'_>, notify: Rc<dyn Fn()>) -> Result<Self, JsValue> {
        let names: Array = offer.protocols.iter().map(JsValue::from).collect();
        let socket = WebSocket::new_with_str_sequence(url, &names)?;
        socket.set_binary_type(offer.binary_type);
        let socket: Socket = socket.unchecked_into();
        let values = WebValues::new(notify);
        // A server that acknowledges none of those offered has refused. Not all browsers fail such a connection
        // by themselves, as the standard has it.
        let wants_protocol = !offer.protocols.is_empty();
        #[cfg(feature = "v1")]
        let bytes_over = offer.bytes_over;
        let listener = {
            let (socket, values, was_open) = (socket.clone(), values.clone(), Cell::new(false));
            Listener::new(move |event: JsValue| {
                // Before the first message can come.
                #[cfg(feature = "v1")]
                if !was_open.get() && bytes_over.is_some() && socket.protocol().as_deref() == bytes_over {
                    socket.unchecked_ref::<WebSocket>().set_binary_type(web_sys::BinaryType::Arraybuffer);
                }
                take(&socket, wants_protocol, &was_open, &values, &event);
                values.notify();
            })
        };
        for kind in EVENTS {
            socket.listen(kind, listener.as_ref());
        }
        Ok(Self { socket, values, listener: RefCell::new(Some(listener)) })
    }

    fn detach(&self) -> bool {
        let Some(listener) = self.listener.take() else { return false };
        for kind in EVENTS {
            self.socket.unlisten(kind, listener.as_ref());
        }
        true
    }
}

/// Takes one event of the socket into the inbox.
fn take(socket: &Socket, wants_protocol: bool, was_open: &Cell<bool>, values: &WebValues, event: &JsValue) {
    let event = event.unchecked_ref::<web_sys::Event>();
    let taken = match event.type_().as_str() {
        "message" => TransportEvent::Message(content(values, event.unchecked_ref::<MessageEvent>().data())),
        "open" if wants_protocol && socket.protocol().is_none_or(|chosen| chosen.is_empty()) => {
            // WHATWG WebSockets, establish a connection: fail it. The close that follows is
            // the second one, and does not count.
            let _ = socket.close();
            failed()
        }
        "open" => {
            was_open.set(true);
            TransportEvent::Opened
        }
        // A handshake has failed, of which Node 22 says nothing else, nor WebKit where the page may not have one.
        "error" if !was_open.get() => failed(),
        "close" => {
            let event = event.unchecked_ref::<CloseEvent>();
            let (code, reason, was_clean) = (event.code(), event.reason(), event.was_clean());
            TransportEvent::Closed { code, reason, was_clean }
        }
        _ => return,
    };
    values.push(taken);
}

/// The end of a connection that was none (WHATWG WebSockets, fail the WebSocket connection).
fn failed() -> TransportEvent {
    TransportEvent::Closed { code: 1006, reason: String::new(), was_clean: false }
}

fn content(values: &WebValues, data: JsValue) -> Incoming {
    if let Some(text) = data.dyn_ref::<js_sys::JsString>() {
        return Incoming::Message(Payload::Text(String::from(text)));
    }
    if let Some(buffer) = data.dyn_ref::<ArrayBuffer>() {
        return Incoming::Message(Payload::Binary(Uint8Array::new(buffer).to_vec()));
    }
    if let Some(bytes) = data.dyn_ref::<Blob>().map(size_of) {
        return Incoming::Message(values.keep(data, HostedKind::Blob, bytes));
    }
    Incoming::Unsupported(String::from(data.js_typeof().unchecked_ref::<js_sys::JsString>()))
}

impl WebTransport for WebSocketTransport {
    fn values(&self) -> &WebValues {
        &self.values
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
            Payload::Hosted(hosted) => match self.values.get(hosted.slot) {
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

    fn opened(&self) -> Opened {
        Opened {
            protocol: self.socket.protocol().unwrap_or_default(),
            extensions: self.socket.extensions().unwrap_or_default(),
        }
    }

    fn next_event(&self, reads: bool) -> Option<TransportEvent> {
        self.values.next_event(reads)
    }
}

impl Drop for WebSocketTransport {
    fn drop(&mut self) {
        self.abort();
    }
}
