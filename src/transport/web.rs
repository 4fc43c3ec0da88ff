//! What the transports of a browser have in common: the values that the core knows by their slots, the reads
//! that are under way, and what has happened and was not taken yet.
//!
//! Not here: the connection itself.

use core::cell::{Cell, RefCell};
use core::ops::Range;
use std::collections::VecDeque;
use std::rc::Rc;

use js_sys::{ArrayBuffer, Promise, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use web_sys::Blob;

use super::{FetchToken, Opened, Transport, TransportEvent};
use crate::proto::payload::{Hosted, HostedKind, Payload, Reason, Slot, Transmit};
use crate::slab::Slab;

#[wasm_bindgen]
extern "C" {
    /// `Blob.prototype.arrayBuffer`, which throws where a runtime lacks it.
    #[wasm_bindgen(method, catch, js_name = arrayBuffer)]
    fn array_buffer(this: &Slice) -> Result<Promise<JsValue>, JsValue>;
    type Slice;
}

/// What is asked of the server, and how binary messages arrive.
#[derive(Clone, Copy)]
pub(crate) struct Offer<'a> {
    /// Subprotocols, the most wanted first.
    pub(crate) protocols: &'a [String],
    pub(crate) binary_type: web_sys::BinaryType,
    /// The subprotocol over which they arrive as bytes whatever the binary type says.
    #[cfg(feature = "v1")]
    pub(crate) bytes_over: Option<&'static str>,
}

/// What the transports of a browser do each in its own way. Behind a pointer, so that what nobody chooses is not
/// linked. What has no description is as in [`Transport`].
pub(crate) trait WebTransport {
    /// Whether it reads no more than it is asked for, so that its peer waits with the reader.
    fn makes_peer_wait(&self) -> bool {
        false
    }
    /// The values that it keeps.
    fn values(&self) -> &WebValues;
    fn takes_all(&self) -> bool;
    fn buffered_amount(&self) -> u64;
    fn has_room(&self) -> bool;
    fn send(&self, part: Transmit) -> bool;
    fn close(&self, code: Option<u16>, reason: Reason);
    fn abort(&self);
    fn opened(&self) -> Opened;
    fn next_event(&self, reads: bool) -> Option<TransportEvent>;
}

impl Transport for Box<dyn WebTransport> {
    fn takes_values(&self) -> bool {
        true
    }

    fn takes_all(&self) -> bool {
        (**self).takes_all()
    }

    fn buffered_amount(&self) -> u64 {
        (**self).buffered_amount()
    }

    fn has_room(&self) -> bool {
        (**self).has_room()
    }

    fn send(&self, part: Transmit) -> bool {
        (**self).send(part)
    }

    fn close(&self, code: Option<u16>, reason: Reason) {
        (**self).close(code, reason);
    }

    fn abort(&self) {
        (**self).abort();
    }

    fn fetch(&self, slot: Slot, range: Range<u64>, token: FetchToken) {
        (**self).values().fetch(slot, range, token);
    }

    fn release(&self, slot: Slot) {
        (**self).values().release(slot);
    }

    #[cfg(feature = "v1")]
    fn send_records(&self, out: crate::proto::payload::Outgoing) -> bool {
        let payload = if out.inserts.is_empty() {
            Payload::Binary(out.bytes)
        } else {
            let Some(payload) = (**self).values().assemble(&out) else { return false };
            payload
        };
        let slot = payload.slot();
        let sent = (**self).send(Transmit { payload, text: false, first: true, last: true });
        if let Some(slot) = slot {
            (**self).values().release(slot);
        }
        sent
    }

    fn take_bytes(&self, content: Payload) -> Option<Vec<u8>> {
        (**self).values().take_bytes(&content)
    }

    fn opened(&self) -> Opened {
        (**self).opened()
    }

    fn next_event(&self, reads: bool) -> Option<TransportEvent> {
        (**self).next_event(reads)
    }
}

type Reads = RefCell<Slab<[Closure<dyn FnMut(JsValue)>; 2]>>;

/// See the module's page. Clones are the same.
#[derive(Clone)]
pub(crate) struct WebValues {
    shared: Rc<Shared>,
}

struct Shared {
    inbox: RefCell<VecDeque<TransportEvent>>,
    /// What was asked for by `fetch`. It comes before all else, and waits for no reader: one may wait for it.
    answers: RefCell<VecDeque<TransportEvent>>,
    values: RefCell<Slab<JsValue>>,
    /// The callbacks of reads that are under way; each pair is dropped by the one that is called.
    reads: Reads,
    /// Makes the driver take events.
    notify: Rc<dyn Fn()>,
}

impl WebValues {
    /// None yet; `notify` makes the driver take events.
    pub(crate) fn new(notify: Rc<dyn Fn()>) -> Self {
        let shared = Shared {
            inbox: RefCell::default(),
            answers: RefCell::default(),
            values: RefCell::default(),
            reads: Reads::default(),
            notify,
        };
        Self { shared: Rc::new(shared) }
    }

    /// One buffer of what the core has and what is kept here; the payload that stands for it owns its slot. `None` if a
    /// value is not there, or is no buffer.
    #[cfg(feature = "v1")]
    fn assemble(&self, out: &crate::proto::payload::Outgoing) -> Option<Payload> {
        let bytes = out.len();
        let buffer = Uint8Array::new_with_length(u32::try_from(bytes).ok()?);
        // What stands in `out.bytes`, and in the buffer, up to here.
        let (mut taken, mut at) = (0, 0);
        let put = |part: &[u8], at: &mut u32| {
            let end = *at + u32::try_from(part.len()).ok()?;
            buffer.subarray(*at, end).copy_from(part);
            *at = end;
            Some(())
        };
        for insert in &out.inserts {
            put(out.bytes.get(taken..insert.at)?, &mut at)?;
            taken = insert.at;
            let value = self.get(insert.slot)?;
            let [from, to] = [insert.range.start, insert.range.end].map(|place| u32::try_from(place).ok());
            let part = view_of(&value)?.subarray(from?, to?);
            buffer.set(&part, at);
            at += part.length();
        }
        put(out.bytes.get(taken..)?, &mut at)?;
        Some(self.keep(buffer.into(), HostedKind::Buffer, bytes))
    }

    /// Makes the driver look. No borrow may be held.
    pub(crate) fn notify(&self) {
        (self.shared.notify)();
    }

    /// Notes what has happened; the driver is to be notified afterwards.
    pub(crate) fn push(&self, event: TransportEvent) {
        let answers = matches!(event, TransportEvent::Fetched { .. });
        let queue = if answers { &self.shared.answers } else { &self.shared.inbox };
        queue.borrow_mut().push_back(event);
    }

    /// As [`Transport::next_event`].
    pub(crate) fn next_event(&self, reads: bool) -> Option<TransportEvent> {
        let answer = self.shared.answers.borrow_mut().pop_front();
        if answer.is_some() || !reads { answer } else { self.shared.inbox.borrow_mut().pop_front() }
    }

    /// Keeps a value; the payload that stands for it owns the slot.
    pub(crate) fn keep(&self, value: JsValue, kind: HostedKind, bytes: u64) -> Payload {
        let slot = Slot(self.shared.values.borrow_mut().insert(value));
        Payload::Hosted(Hosted { slot, kind, bytes })
    }

    /// The value of a slot.
    pub(crate) fn get(&self, slot: Slot) -> Option<JsValue> {
        self.shared.values.borrow().get(slot.0).cloned()
    }

    /// Puts another value in its place, such as a snapshot of a buffer that has to wait.
    pub(crate) fn replace(&self, slot: Slot, value: JsValue) {
        self.shared.values.borrow_mut().replace(slot.0, value);
    }

    /// As [`Transport::release`].
    pub(crate) fn release(&self, slot: Slot) {
        // Dropped after the borrow has ended.
        let value = self.shared.values.borrow_mut().remove(slot.0);
        drop(value);
    }

    /// As [`Transport::take_bytes`].
    pub(crate) fn take_bytes(&self, content: &Payload) -> Option<Vec<u8>> {
        let value = self.shared.values.borrow_mut().remove(content.slot()?.0)?;
        value.dyn_ref::<ArrayBuffer>().map(|buffer| Uint8Array::new(buffer).to_vec())
    }

    /// As [`Transport::fetch`].
    pub(crate) fn fetch(&self, slot: Slot, range: Range<u64>, token: FetchToken) {
        let values = self.clone();
        let promise = self.get(slot).and_then(|value| read(value.dyn_ref::<Blob>()?, range));
        let Some(promise) = promise else {
            self.push(TransportEvent::Fetched { token, content: None });
            return;
        };
        self.when_read(&promise, move |buffer| {
            let content = buffer.map(|buffer| {
                let bytes = u64::from(buffer.byte_length());
                values.keep(buffer.into(), HostedKind::Buffer, bytes)
            });
            values.push(TransportEvent::Fetched { token, content });
        });
    }

    /// Calls `then` with what a read has given, `None` if it has failed, and makes the driver look.
    pub(crate) fn when_read(
        &self,
        promise: &Promise<JsValue>,
        then: impl FnOnce(Option<ArrayBuffer>) + 'static,
    ) {
        // The callbacks have to know their own key, which is known once they are kept; no promise
        // calls back before this turn is over.
        let (key, then) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(Some(then))));
        let callbacks = [true, false].map(|ok| {
            let (values, key, then) = (self.clone(), key.clone(), then.clone());
            Closure::once(move |value: JsValue| {
                if let Some(then) = then.take() {
                    then(value.dyn_into::<ArrayBuffer>().ok().filter(|_| ok));
                }
                let callbacks = values.shared.reads.borrow_mut().remove(key.get());
                values.notify();
                // One of the two is running: wasm-bindgen frees it when it returns.
                drop(callbacks);
            })
        });
        let [resolved, rejected] = &callbacks;
        let _ = promise.then2(resolved, rejected);
        key.set(self.shared.reads.borrow_mut().insert(callbacks));
    }
}

/// The bytes of a buffer or of a view of one.
#[cfg(feature = "v1")]
fn view_of(value: &JsValue) -> Option<Uint8Array> {
    if let Some(bytes) = value.dyn_ref::<Uint8Array>() {
        return Some(bytes.clone());
    }
    if !ArrayBuffer::is_view(value) {
        return value.is_instance_of::<ArrayBuffer>().then(|| Uint8Array::new(value));
    }
    // Any view has what one of bytes is described by.
    let view = value.unchecked_ref::<Uint8Array>();
    Some(Uint8Array::new_with_byte_offset_and_length(&view.buffer(), view.byte_offset(), view.byte_length()))
}

/// Begins to read a range of a Blob.
pub(crate) fn read(blob: &Blob, range: Range<u64>) -> Option<Promise<JsValue>> {
    #[allow(clippy::cast_precision_loss, reason = "a Blob's size is at most 2^53")]
    let (start, end) = (range.start as f64, range.end as f64);
    // The whole is not sliced: an empty slice of a file that is gone reads as empty.
    let whole = range.start == 0 && range.end == size_of(blob);
    let part = if whole { blob.clone() } else { blob.slice_with_f64_and_f64(start, end).ok()? };
    part.unchecked_into::<Slice>().array_buffer().ok()
}

/// The size of a Blob in bytes.
pub(crate) fn size_of(blob: &Blob) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an integer up to 2^53")]
    let size = blob.size() as u64;
    size
}
