//! The in-memory transport: a link with a rate and a delay, in virtual time, and if it is wanted a browser
//! at the client's end of it.
//!
//! It takes bytes only, so that a Blob crosses it in the parts that the session fetches.
//!
//! Not here: loss or reordering. A WebSocket has neither, so that the model has none.

#[allow(dead_code, reason = "tests look at more of it than the transport does")]
pub(crate) mod browser;
mod engine;
mod kernel;
mod line;
mod link;
#[allow(dead_code, reason = "tests set more of it than the simulated network does")]
pub(crate) mod page;
mod path;
mod pipe;
mod random;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;
mod value;

use core::cell::{Cell, RefCell};
use core::ops::Range;
use core::task::Context;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

pub use self::engine::Engine;
pub use self::link::{Link, RateStep};
pub use self::pipe::Amounts;
pub(crate) use self::pipe::{Item, Pipe};
use self::value::SimValue;
pub(crate) use self::value::Values;
use super::{FetchToken, Incoming, Moved, Opened, Transport, TransportError, TransportEvent};
use crate::proto::payload::{Hosted, HostedKind, Payload, Slot, Transmit};
use crate::proto::ws::HandshakeError;
use crate::slab::Slab;
use crate::time::Alarm;

/// The client's end.
pub(crate) struct SimTransport<W: ?Sized> {
    out: Arc<Pipe<W>>,
    into: Arc<Pipe<W>>,
    /// Binary messages stay with the simulated host.
    keep_blobs: Option<Values>,
    /// The subprotocols that were offered.
    offered: Vec<String>,
    events: RefCell<VecDeque<TransportEvent>>,
    values: RefCell<Slab<SimValue>>,
    opened: RefCell<Opened>,
    partial: RefCell<Vec<u8>>,
    close_sent: Cell<bool>,
    over: Cell<bool>,
    /// The driver has been told that there is no room.
    refused_room: Cell<bool>,
}

impl<W: Alarm + Send + Sync + ?Sized + 'static> SimTransport<W> {
    /// A connection whose server has been asked. `keep_blobs`: where binary messages are kept as
    /// Blobs, if they are.
    pub(crate) fn new(
        out: Arc<Pipe<W>>,
        into: Arc<Pipe<W>>,
        keep_blobs: Option<Values>,
        offered: Vec<String>,
    ) -> Self {
        Self {
            out,
            into,
            keep_blobs,
            offered,
            events: RefCell::default(),
            values: RefCell::default(),
            opened: RefCell::default(),
            partial: RefCell::default(),
            close_sent: Cell::new(false),
            over: Cell::new(false),
            refused_room: Cell::new(false),
        }
    }

    /// Moves what can be moved; returns whether there is something for the driver.
    pub(crate) fn poll_io(&self, cx: &mut Context<'_>, reads: bool) -> Moved {
        let mut changed = reads && !self.events.borrow().is_empty();
        while reads
            && !self.over.get()
            && let Some(item) = self.into.read(cx.waker())
        {
            changed = true;
            self.take(item);
        }
        // Asked in any case, so that the waker is registered where there is none.
        if self.out.has_room(Some(cx.waker())) && self.refused_room.replace(false) {
            changed = true;
        }
        if changed { Moved::Something } else { Moved::Nothing }
    }

    fn take(&self, item: Item) {
        let event = match item {
            Item::Accept { protocol } => {
                // As everywhere: an answer that is not among those offered fails the connection.
                let matches = if self.offered.is_empty() {
                    protocol.is_empty()
                } else {
                    self.offered.contains(&protocol)
                };
                if !matches {
                    let fault = if protocol.is_empty() {
                        HandshakeError::NoSubprotocol
                    } else {
                        HandshakeError::UnofferedSubprotocol
                    };
                    let failure = TransportError::Handshake(fault);
                    self.events.borrow_mut().push_back(TransportEvent::Failed(failure));
                    self.take(Item::Cut);
                    return;
                }
                self.opened.borrow_mut().protocol = protocol;
                TransportEvent::Opened
            }
            Item::Part { text, last, bytes, .. } => {
                let mut partial = self.partial.borrow_mut();
                partial.extend_from_slice(&bytes);
                if !last {
                    return;
                }
                TransportEvent::Message(self.content(text, core::mem::take(&mut *partial)))
            }
            Item::Close { code, reason } => {
                if !self.close_sent.replace(true) {
                    self.out.write(Item::Close { code, reason: String::new() });
                }
                self.over.set(true);
                TransportEvent::Closed { code: code.unwrap_or(1005), reason, was_clean: true }
            }
            Item::Cut => {
                self.over.set(true);
                TransportEvent::Closed { code: 1006, reason: String::new(), was_clean: false }
            }
        };
        self.events.borrow_mut().push_back(event);
    }

    fn content(&self, text: bool, bytes: Vec<u8>) -> Incoming {
        if text {
            // Both ends make text from `String`s, in whole.
            return match String::from_utf8(bytes) {
                Ok(text) => Incoming::Message(Payload::Text(text)),
                Err(_) => Incoming::Unsupported("text that is not UTF-8".into()),
            };
        }
        let Some(values) = &self.keep_blobs else { return Incoming::Message(Payload::Binary(bytes)) };
        let size = bytes.len() as u64;
        let value = SimValue::new(bytes);
        values.lock().unwrap_or_else(PoisonError::into_inner).push(value.clone());
        let slot = Slot(self.values.borrow_mut().insert(value));
        Incoming::Message(Payload::Hosted(Hosted { slot, kind: HostedKind::Blob, bytes: size }))
    }
}

impl<W: Alarm + Send + Sync + ?Sized + 'static> Transport for SimTransport<W> {
    fn takes_values(&self) -> bool {
        false
    }

    fn takes_all(&self) -> bool {
        self.out.is_browser()
    }

    fn buffered_amount(&self) -> u64 {
        self.out.buffered_amount().unwrap_or(0)
    }

    fn has_room(&self) -> bool {
        let room = self.out.has_room(None);
        self.refused_room.set(!room);
        room
    }

    fn send(&self, part: Transmit) -> bool {
        let Transmit { payload, text, first, last } = part;
        let Some(bytes) = self.take_bytes(payload) else { return false };
        self.out.write(Item::Part { text, first, last, bytes });
        true
    }

    fn close(&self, code: Option<u16>, reason: String) {
        if !self.close_sent.replace(true) {
            self.out.write(Item::Close { code, reason });
        }
    }

    fn abort(&self) {
        if !self.over.replace(true) {
            self.out.write(Item::Cut);
        }
    }

    fn fetch(&self, slot: Slot, range: Range<u64>, token: FetchToken) {
        let content = self.values.borrow().get(slot.0).and_then(|value| value.read(range));
        let content = content.map(Payload::Binary);
        self.events.borrow_mut().push_back(TransportEvent::Fetched { token, content });
    }

    fn release(&self, slot: Slot) {
        self.values.borrow_mut().remove(slot.0);
    }

    fn take_bytes(&self, content: Payload) -> Option<Vec<u8>> {
        match content {
            Payload::Text(text) => Some(text.into_bytes()),
            Payload::Binary(bytes) => Some(bytes),
            // What it reads it gives as bytes.
            Payload::Hosted(_) => None,
        }
    }

    fn opened(&self) -> Opened {
        self.opened.borrow().clone()
    }

    fn next_event(&self, reads: bool) -> Option<TransportEvent> {
        if reads { self.events.borrow_mut().pop_front() } else { None }
    }
}
