//! A browser's `WebSocketStream`, which Chromium has: messages are read and written one at a time, so that
//! the peer waits when nobody reads.
//!
//! The next message is read only when the one before it was taken by the driver, which takes none while the
//! receive queue is half full. The next one is written when the browser has let the one before it go
//! (`desiredSize` of its writer), which takes the place of the gate's guess at what stands in the browser.
//!
//! Chromium 156 forgets what of it (up to 128 KiB) has come when the peer's close arrives before it is asked for. A
//! connection to which that may have happened has not ended cleanly.
//!
//! Every promise of the stream is answered, whatever becomes of it, so that nothing is reported as unhandled;
//! the callbacks live until the last one has settled.
//!
//! Not here: any protocol decision, any queue, another way where there is no such class.

use core::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Array, ArrayBuffer, JsString, Object, Reflect, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use web_sys::{BinaryType, Blob};

use super::web::{Offer, WebTransport, WebValues, read, size_of};
use super::{Incoming, Opened, TransportEvent};
use crate::proto::payload::{HostedKind, Payload, Reason, Transmit};

#[wasm_bindgen]
extern "C" {
    /// WHATWG WebSockets, "the WebSocketStream interface" (pull request 48); web-sys has it among its unstable
    /// ones only.
    #[derive(Clone)]
    #[wasm_bindgen(js_name = WebSocketStream)]
    type Stream;
    #[wasm_bindgen(constructor, catch, js_class = WebSocketStream)]
    fn new(url: &str, options: &JsValue) -> Result<Stream, JsValue>;
    #[wasm_bindgen(method, getter)]
    fn opened(this: &Stream) -> Pending;
    #[wasm_bindgen(method, getter)]
    fn closed(this: &Stream) -> Pending;
    #[wasm_bindgen(method, catch)]
    fn close(this: &Stream, info: &JsValue) -> Result<(), JsValue>;

    /// A promise of the browser's.
    type Pending;
    #[wasm_bindgen(method)]
    fn then(this: &Pending, fulfilled: &JsValue, rejected: &JsValue) -> Pending;

    /// What `opened` gives.
    type Info;
    #[wasm_bindgen(method, getter)]
    fn readable(this: &Info) -> Readable;
    #[wasm_bindgen(method, getter)]
    fn writable(this: &Info) -> Writable;
    #[wasm_bindgen(method, getter)]
    fn protocol(this: &Info) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    fn extensions(this: &Info) -> Option<String>;

    /// What `closed` gives, and the `WebSocketError` with which it is rejected.
    type Ending;
    #[wasm_bindgen(method, getter, js_name = closeCode)]
    fn close_code(this: &Ending) -> Option<u16>;
    #[wasm_bindgen(method, getter)]
    fn reason(this: &Ending) -> Option<String>;

    type Readable;
    #[wasm_bindgen(method, js_name = getReader)]
    fn reader(this: &Readable) -> Reader;
    #[derive(Clone)]
    type Reader;
    #[wasm_bindgen(method)]
    fn read(this: &Reader) -> Pending;
    #[wasm_bindgen(method, getter)]
    fn closed(this: &Reader) -> Pending;
    #[wasm_bindgen(method)]
    fn cancel(this: &Reader) -> Pending;

    /// What `read` gives.
    type Chunk;
    #[wasm_bindgen(method, getter)]
    fn done(this: &Chunk) -> bool;
    #[wasm_bindgen(method, getter)]
    fn value(this: &Chunk) -> JsValue;

    type Writable;
    #[wasm_bindgen(method, js_name = getWriter)]
    fn writer(this: &Writable) -> Writer;
    #[derive(Clone)]
    type Writer;
    #[wasm_bindgen(method)]
    fn write(this: &Writer, chunk: &JsValue) -> Pending;
    #[wasm_bindgen(method, js_name = write)]
    fn write_text(this: &Writer, chunk: &str) -> Pending;
    #[wasm_bindgen(method, getter, js_name = desiredSize)]
    fn desired_size(this: &Writer) -> Option<f64>;

    /// What a stream that is over rejects everything with; `WebSocketError` is one.
    type DOMException;

    /// What buffers and views have.
    type Extent;
    /// Views only.
    #[wasm_bindgen(method, getter)]
    fn buffer(this: &Extent) -> Option<JsValue>;
    /// Views only.
    #[wasm_bindgen(method, getter, js_name = byteOffset)]
    fn byte_offset(this: &Extent) -> Option<f64>;
    #[wasm_bindgen(method, getter, js_name = byteLength)]
    fn byte_length(this: &Extent) -> f64;
    /// Of the buffer itself; younger than the class.
    #[wasm_bindgen(method, getter)]
    fn resizable(this: &Extent) -> Option<bool>;

    #[wasm_bindgen(js_name = Uint8Array)]
    type View;
    #[wasm_bindgen(constructor, js_class = Uint8Array)]
    fn new(buffer: &JsValue, start: f64, bytes: f64) -> View;
    #[wasm_bindgen(method)]
    fn slice(this: &View) -> JsValue;

    type AbortController;
    #[wasm_bindgen(constructor)]
    fn new() -> AbortController;
    #[wasm_bindgen(method, getter)]
    fn signal(this: &AbortController) -> JsValue;
    #[wasm_bindgen(method)]
    fn abort(this: &AbortController);
}

/// Whether this browser has the class.
pub(crate) fn is_available() -> bool {
    Reflect::get(&js_sys::global(), &"WebSocketStream".into()).is_ok_and(|class| class.is_function())
}

/// What a promise is about.
#[derive(Clone, Copy)]
enum About {
    Opened,
    Closed,
    Read,
    Written,
    /// The browser has no message any more, and will have none.
    Emptied,
    /// Nothing that anybody wants to know.
    Cancelled,
}

impl About {
    const ALL: [Self; 6] =
        [Self::Opened, Self::Closed, Self::Read, Self::Written, Self::Emptied, Self::Cancelled];
}

/// What is called when a promise is fulfilled, and when it is rejected; by [`About`].
type Callbacks = [[Closure<dyn Fn(JsValue)>; 2]; 6];

/// See the module's page.
pub(crate) struct WebSocketStreamTransport {
    shared: Rc<Shared>,
}

struct Shared {
    stream: Stream,
    /// Ends an attempt to connect; without effect later.
    controller: AbortController,
    values: WebValues,
    binary_type: Cell<BinaryType>,
    #[cfg(feature = "v1")]
    bytes_over: Option<&'static str>,
    /// Whether subprotocols were offered: a server that acknowledges none has then refused.
    wants_protocol: bool,
    ends: RefCell<Option<Ends>>,
    opened: RefCell<Opened>,
    reading: Cell<Reading>,
    /// The browser has no message any more.
    is_emptied: Cell<bool>,
    /// Perhaps not all that came could be read.
    has_gap: Cell<bool>,
    /// The size of the message that the browser was given and has not let go.
    writing: Cell<Option<u64>>,
    /// That message is a Blob, which is being read: a close has to wait for it.
    is_reading_blob: Cell<bool>,
    /// The close that waits.
    waiting_close: RefCell<Option<(Option<u16>, Reason)>>,
    /// How it has ended, once that is known; reported behind the last message.
    end: RefCell<Option<(u16, String, bool)>>,
    /// It was closed from here.
    is_closing: Cell<bool>,
    /// Nobody wants to hear any more: it was let go, or its end was reported.
    is_over: Cell<bool>,
    /// Promises that have not settled.
    pending: Cell<u32>,
    /// They hold this, which holds them, until the last promise has settled.
    callbacks: RefCell<Option<Callbacks>>,
}

/// Both ends of an open stream.
#[derive(Clone)]
struct Ends {
    reader: Reader,
    writer: Writer,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Nothing is asked for.
    Idle,
    /// A message is asked for and has not come.
    Waiting,
    /// There is none any more.
    Done,
}

impl WebSocketStreamTransport {
    /// Opens a stream. Blobs are made of what has arrived, if the binary type says so.
    ///
    /// # Errors
    ///
    /// What the constructor throws; the arguments were checked, so this is a policy of the page (mixed content),
    /// or there is no such class: see [`is_available`].
    pub(crate) fn open(url: &str, offer: Offer<'_>, notify: Rc<dyn Fn()>) -> Result<Self, JsValue> {
        let controller = AbortController::new();
        let options = Object::new();
        let names: Array = offer.protocols.iter().map(JsValue::from).collect();
        Reflect::set(&options, &"protocols".into(), &names)?;
        Reflect::set(&options, &"signal".into(), &controller.signal())?;
        let stream = Stream::new(url, &options)?;
        let shared = Rc::new(Shared {
            stream,
            controller,
            values: WebValues::new(notify),
            binary_type: Cell::new(offer.binary_type),
            #[cfg(feature = "v1")]
            bytes_over: offer.bytes_over,
            wants_protocol: !offer.protocols.is_empty(),
            ends: RefCell::default(),
            opened: RefCell::default(),
            reading: Cell::new(Reading::Idle),
            writing: Cell::default(),
            is_reading_blob: Cell::default(),
            waiting_close: RefCell::default(),
            end: RefCell::default(),
            is_emptied: Cell::default(),
            has_gap: Cell::default(),
            is_closing: Cell::default(),
            is_over: Cell::default(),
            pending: Cell::default(),
            callbacks: RefCell::default(),
        });
        let callbacks = About::ALL.map(|about| {
            [true, false].map(|ok| {
                let shared = shared.clone();
                Closure::new(move |value: JsValue| {
                    shared.settled(about, if ok { Ok(value) } else { Err(value) });
                })
            })
        });
        shared.callbacks.replace(Some(callbacks));
        shared.wait_for(About::Opened, &shared.stream.opened());
        shared.wait_for(About::Closed, &shared.stream.closed());
        Ok(Self { shared })
    }

    /// Reads a Blob and then writes what it holds. The stream would take a Blob for something to make a text of.
    fn write_blob(&self, blob: &Blob) -> bool {
        let Some(promise) = read(blob, 0..size_of(blob)) else { return false };
        self.shared.writing.set(Some(size_of(blob)));
        self.shared.is_reading_blob.set(true);
        let shared = self.shared.clone();
        self.shared.values.when_read(&promise, move |buffer| shared.blob_was_read(buffer));
        true
    }
}

impl Shared {
    /// Calls [`settled`](Self::settled) when the promise has.
    fn wait_for(&self, about: About, promise: &Pending) {
        let callbacks = self.callbacks.borrow();
        if let Some([fulfilled, rejected]) = callbacks.as_ref().and_then(|all| all.get(about as usize)) {
            self.pending.set(self.pending.get() + 1);
            let _ = promise.then(fulfilled.as_ref(), rejected.as_ref());
        }
    }

    fn settled(&self, about: About, outcome: Result<JsValue, JsValue>) {
        self.pending.set(self.pending.get() - 1);
        if self.is_over.get() {
            if let (About::Opened, Ok(info)) = (about, outcome) {
                // It was open before it could be told of the abort.
                self.cut(&info.unchecked_ref::<Info>().readable().reader());
            }
            self.forget_callbacks();
            return;
        }
        match (about, outcome) {
            (About::Opened, Ok(info)) => self.open(info.unchecked_ref()),
            (About::Read, Ok(chunk)) => match chunk.unchecked_ref::<Chunk>() {
                chunk if chunk.done() => self.reading.set(Reading::Done),
                chunk => {
                    self.reading.set(Reading::Idle);
                    self.has_gap.set(self.has_gap.get() || self.is_emptied.get());
                    self.values.push(TransportEvent::Message(self.content(chunk.value())));
                }
            },
            (About::Read, Err(_)) => self.reading.set(Reading::Done),
            (About::Written, Ok(_)) => self.writing.set(None),
            (About::Closed, outcome) => {
                let was_clean = outcome.is_ok();
                let (Ok(ending) | Err(ending)) = outcome;
                let ending = ending.unchecked_ref::<Ending>();
                let code = ending.close_code().unwrap_or(if was_clean { 1005 } else { 1006 });
                self.end.replace(Some((code, ending.reason().unwrap_or_default(), was_clean)));
            }
            (About::Emptied, Ok(_)) => {
                // The end was there while nothing was asked for, or (above) before the last message was taken. What
                // stood before it, up to 128 KiB, Chromium 156 has then forgotten without a word.
                self.has_gap.set(self.reading.get() == Reading::Idle);
                self.is_emptied.set(true);
            }
            // It was refused. Such a stream takes nothing ever again, and does not say so by `closed`.
            (About::Written, Err(thrown)) if !thrown.is_instance_of::<DOMException>() => self.fail(),
            // `closed` is settled as well, and says more.
            (About::Opened | About::Written | About::Emptied, Err(_)) | (About::Cancelled, _) => {}
        }
        self.report_end();
        self.values.notify();
    }

    /// The Blob that is to be written was read, or could not be.
    fn blob_was_read(&self, buffer: Option<ArrayBuffer>) {
        self.is_reading_blob.set(false);
        if self.is_over.get() {
            // Nobody would answer a promise any more.
            return;
        }
        let (Some(buffer), Some(ends)) = (buffer, self.ends()) else {
            // It was readable when its first byte was. As with a `WebSocket` that cannot read it, that
            // ends the connection: it was reported as handed over.
            self.fail();
            return;
        };
        self.wait_for(About::Written, &ends.writer.write(&buffer));
        if let Some((code, reason)) = self.waiting_close.take() {
            self.close(code, &reason);
        }
    }

    /// Closes it behind what was written.
    fn close(&self, code: Option<u16>, reason: &str) {
        let info = Object::new();
        let set = |name: &str, value: JsValue| Reflect::set(&info, &name.into(), &value);
        // Code and reason were checked, and the object is ours, so that nothing of this can throw; if it
        // did, the close deadline would end it.
        let _ = code.map(|code| set("closeCode", code.into()).and_then(|_| set("reason", reason.into())));
        let _ = self.stream.close(&info);
    }

    fn open(&self, info: &Info) {
        let opened = Opened {
            protocol: info.protocol().unwrap_or_default(),
            extensions: info.extensions().unwrap_or_default(),
        };
        let ends = Ends { reader: info.readable().reader(), writer: info.writable().writer() };
        self.wait_for(About::Emptied, &ends.reader.closed());
        self.ends.replace(Some(ends));
        if self.wants_protocol && opened.protocol.is_empty() {
            // WHATWG WebSockets, establish a connection: fail it, if the browser has not.
            self.fail();
            return;
        }
        #[cfg(feature = "v1")]
        if self.bytes_over == Some(&opened.protocol) {
            self.binary_type.set(BinaryType::Arraybuffer);
        }
        self.opened.replace(opened);
        self.values.push(TransportEvent::Opened);
    }

    /// Fails the connection.
    fn fail(&self) {
        self.end.replace(Some((1006, String::new(), false)));
        self.reading.set(Reading::Done);
        self.report_end();
        self.let_go();
    }

    /// Reports the end if it is known and everything before it was read.
    fn report_end(&self) {
        if self.reading.get() != Reading::Done && self.ends.borrow().is_some() {
            return;
        }
        if let Some((code, reason, was_clean)) = self.end.take() {
            // Behind a close from here nobody wants what comes.
            let was_clean = was_clean && (self.is_closing.get() || !self.has_gap.get());
            self.values.push(TransportEvent::Closed { code, reason, was_clean });
        }
    }

    /// Asks for the next message, unless it has been, or there is none any more.
    fn read_on(&self) {
        if self.reading.get() == Reading::Idle
            && !self.is_over.get()
            && let Some(ends) = self.ends()
        {
            self.reading.set(Reading::Waiting);
            self.wait_for(About::Read, &ends.reader.read());
        }
    }

    fn content(&self, chunk: JsValue) -> Incoming {
        if let Some(text) = chunk.dyn_ref::<JsString>() {
            return Incoming::Message(Payload::Text(String::from(text)));
        }
        let bytes = match chunk.dyn_into::<Uint8Array>() {
            Ok(bytes) => bytes,
            Err(chunk) if chunk.is_instance_of::<ArrayBuffer>() => Uint8Array::new(&chunk),
            Err(chunk) => {
                return Incoming::Unsupported(String::from(chunk.js_typeof().unchecked_ref::<JsString>()));
            }
        };
        if self.binary_type.get() == BinaryType::Blob
            && let Ok(blob) = Blob::new_with_buffer_source_sequence(&Array::of1(&bytes))
        {
            let bytes = size_of(&blob);
            return Incoming::Message(self.values.keep(blob.into(), HostedKind::Blob, bytes));
        }
        Incoming::Message(Payload::Binary(bytes.to_vec()))
    }

    fn ends(&self) -> Option<Ends> {
        self.ends.borrow().clone()
    }

    /// Whether a message can be written now, which then leaves at once.
    fn is_writable(&self) -> bool {
        self.writing.get().is_none()
            && !self.is_over.get()
            // Null once the stream has failed or is closing, though nobody has been told yet.
            && self.ends.borrow().as_ref().and_then(|ends| ends.writer.desired_size()).is_some_and(|size| size > 0.0)
    }

    /// Closes it, and takes nothing from it any more.
    fn let_go(&self) {
        if self.is_over.replace(true) {
            return;
        }
        match self.ends() {
            None => self.controller.abort(),
            Some(ends) => self.cut(&ends.reader),
        }
        self.forget_callbacks();
    }

    /// Closes an open stream of which nobody wants anything any more.
    fn cut(&self, reader: &Reader) {
        let _ = self.stream.close(&JsValue::UNDEFINED);
        // What still comes is not kept for anybody; otherwise the peer's close would wait behind it.
        self.wait_for(About::Cancelled, &reader.cancel());
    }

    /// Once nobody listens and no promise can call.
    fn forget_callbacks(&self) {
        if self.pending.get() == 0 {
            let callbacks = self.callbacks.take();
            // One of them may be running: wasm-bindgen frees it when it returns.
            drop(callbacks);
        }
    }
}

impl WebTransport for WebSocketStreamTransport {
    fn makes_peer_wait(&self) -> bool {
        true
    }

    fn values(&self) -> &WebValues {
        &self.shared.values
    }

    fn takes_all(&self) -> bool {
        false
    }

    fn buffered_amount(&self) -> u64 {
        self.shared.writing.get().unwrap_or(0)
    }

    fn has_room(&self) -> bool {
        self.shared.is_writable()
    }

    fn send(&self, part: Transmit) -> bool {
        if !self.shared.is_writable() {
            return false;
        }
        let Some(Ends { writer, .. }) = self.shared.ends() else { return false };
        let (bytes, written) = match part.payload {
            Payload::Text(text) => (text.len() as u64, writer.write_text(&text)),
            // Copied out of the wasm memory: a stream may look at a chunk later.
            Payload::Binary(bytes) => (bytes.len() as u64, writer.write(&Uint8Array::new_from_slice(&bytes))),
            Payload::Hosted(hosted) => match self.shared.values.get(hosted.slot) {
                Some(value) => match value.dyn_ref::<Blob>() {
                    Some(blob) => return self.write_blob(blob),
                    None => (hosted.bytes, writer.write(&fixed(value))),
                },
                None => return false,
            },
        };
        self.shared.writing.set(Some(bytes));
        self.shared.wait_for(About::Written, &written);
        true
    }

    fn close(&self, code: Option<u16>, reason: Reason) {
        self.shared.is_closing.set(true);
        if self.shared.is_reading_blob.get() {
            self.shared.waiting_close.replace(Some((code, reason)));
        } else {
            self.shared.close(code, &reason);
        }
    }

    fn abort(&self) {
        self.shared.let_go();
    }

    fn opened(&self) -> Opened {
        self.shared.opened.borrow().clone()
    }

    fn next_event(&self, reads: bool) -> Option<TransportEvent> {
        let event = self.shared.values.next_event(reads);
        if reads && event.is_none() {
            self.shared.read_on();
        }
        event
    }
}

/// A string or buffer as a stream takes it: memory that is shared, or that may change its size, it refuses.
fn fixed(value: JsValue) -> JsValue {
    let extent = value.unchecked_ref::<Extent>();
    let memory = extent.buffer().unwrap_or_else(|| value.clone());
    let is_fixed =
        memory.is_instance_of::<ArrayBuffer>() && memory.unchecked_ref::<Extent>().resizable() != Some(true);
    if value.is_string() || is_fixed {
        return value;
    }
    View::new(&memory, extent.byte_offset().unwrap_or(0.0), extent.byte_length()).slice()
}

impl Drop for WebSocketStreamTransport {
    fn drop(&mut self) {
        self.abort();
    }
}
