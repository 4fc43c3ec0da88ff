//! The one loop between the session, the transport and the handles.
//!
//! Handles share a [`Hub`] with the driver; the driver alone owns host values, in a [`Slab`], and
//! lives on one thread. [`Driver::pump`] is synchronous and runs until nothing is left to do:
//! commands of the handles, events of the transport, outputs of the session. It is called from
//! `send`, from the transport's callbacks and from timers. Neither a lock nor a borrow is held
//! while the transport, a waker or an observer is called, since each of them may call back; a
//! call that comes while the pump runs leaves its work in the hub and returns.
//!
//! Not here: protocol state (the session's), promises and futures (the client's).

pub(crate) mod hub;
mod observer;
mod slab;
#[cfg(any(feature = "native", feature = "sim"))]
pub(crate) mod task;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
pub(crate) mod web;

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::sync::Arc;

pub(crate) use self::hub::{Command, Hub, Incoming, Stage};
#[cfg(feature = "js")]
pub(crate) use self::observer::Observer;
use self::observer::ObserverSlot;
use self::slab::Slab;
use crate::proto::{
    Amount, Done, Event, FetchId, Hosted, HostedKind, Outcome, Output, Payload, Session, SessionConfig, Slot,
};
use crate::time::{Clock, Timestamp};
use crate::transport::{Content, FetchToken, Outgoing, Transport, TransportEvent};

/// How long the closing handshake may take after the receive queue has overflowed.
const OVERFLOW_CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// See the module's page.
pub(crate) struct Driver<T: Transport, C> {
    hub: Arc<Hub>,
    transport: T,
    clock: C,
    session: RefCell<Session>,
    slab: RefCell<Slab<T::Value>>,
    pub(crate) observer: ObserverSlot,
    commands: RefCell<Vec<Command>>,
    /// Messages that came out of the hub after the session had stopped taking any.
    rejected: Cell<Amount>,
    replies: RefCell<Slab<hub::Reply>>,
    pumping: Cell<bool>,
    again: Cell<bool>,
}

impl<T: Transport, C: Clock> Driver<T, C> {
    /// A driver over a transport that has begun to connect.
    pub(crate) fn new(hub: Arc<Hub>, transport: T, clock: C, connect_timeout: Option<Duration>) -> Self {
        let config =
            SessionConfig { connect_timeout, transport_takes_values: transport.capabilities().takes_values };
        let session = RefCell::new(Session::new(clock.now(), config));
        Self {
            hub,
            transport,
            clock,
            session,
            slab: RefCell::default(),
            observer: ObserverSlot::default(),
            commands: RefCell::default(),
            rejected: Cell::default(),
            replies: RefCell::default(),
            pumping: Cell::new(false),
            again: Cell::new(false),
        }
    }

    /// What the handles share with it.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// The transport, for the shell that polls it.
    pub(crate) fn transport(&self) -> &T {
        &self.transport
    }

    /// Whether nothing will ever be asked of it again: the connection is over, no handle is left
    /// and no received value is held.
    pub(crate) fn is_done(&self) -> bool {
        self.session.borrow().is_over() && self.hub.is_deserted()
    }

    /// Whether the call came from inside the pump, so that the outer call does the rest.
    #[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "tasks are not re-entered"))]
    pub(crate) fn is_pumping(&self) -> bool {
        self.pumping.get()
    }

    /// Runs until nothing is left to do. Returns when it wants to be called again at the latest.
    pub(crate) fn pump(&self) -> Option<Timestamp> {
        if self.pumping.replace(true) {
            // Called from inside: the outer call goes on after its present step.
            self.again.set(true);
            return None;
        }
        let deadline = loop {
            self.again.set(false);
            let commands = self.take_commands();
            let events = self.take_transport_events();
            let (outputs, deadline) = self.drain_session();
            if !(commands || events || outputs || self.again.get()) {
                break deadline;
            }
        };
        self.pumping.set(false);
        deadline
    }

    /// Lets the session look at its deadline, then pumps.
    pub(crate) fn pump_timer(&self) -> Option<Timestamp> {
        let now = self.clock.now();
        self.session.borrow_mut().handle_timeout(now);
        self.pump()
    }

    fn take_commands(&self) -> bool {
        let mut commands = self.commands.take();
        self.hub.swap_commands(&mut commands);
        let any = !commands.is_empty();
        for command in commands.drain(..) {
            self.carry_out(command);
        }
        // Given back for its capacity; a call from inside may have left its own.
        self.commands.replace(commands);
        any
    }

    fn carry_out(&self, command: Command) {
        match command {
            Command::Send { class, flow, payload, ticket } => {
                let bytes = payload.bytes();
                let refused = self.session.borrow_mut().handle_send(class, flow, payload, ticket);
                if let Err(payload) = refused {
                    let mut rejected = self.rejected.get();
                    rejected.add(bytes);
                    self.rejected.set(rejected);
                    self.release(payload.slot());
                    self.report_done(Done { ticket, outcome: Outcome::Unsent, bytes });
                }
            }
            Command::Cancel(ticket) => {
                self.session.borrow_mut().handle_cancel(ticket);
            }
            Command::Close(request) => self.session.borrow_mut().handle_close(self.clock.now(), request),
            Command::End { within, close_within } => {
                self.session.borrow_mut().handle_end(self.clock.now(), within, close_within);
            }
            #[cfg(feature = "js")]
            Command::Abort => self.session.borrow_mut().handle_abort(),
            Command::Read { slot, range, reply } => {
                let value = self.slab.borrow().get(slot.0).cloned();
                let Some(value) = value else { return };
                let key = self.replies.borrow_mut().insert(reply);
                self.transport.fetch(&value, range, FetchToken::Reply(key));
            }
            Command::Release(slot) => self.release(Some(slot)),
            // Nothing to do but to look whether anybody is left, which the shell does.
            Command::Wake => {}
        }
    }

    fn take_transport_events(&self) -> bool {
        let mut any = false;
        while let Some(event) = self.transport.next_event() {
            any = true;
            match event {
                TransportEvent::Opened(opened) => {
                    self.hub.set_opened(opened);
                    self.session.borrow_mut().handle_opened();
                }
                TransportEvent::Message(content) => self.receive(content),
                TransportEvent::Fetched { token, content } => self.fetched(token, content),
                TransportEvent::Closed { code, reason, was_clean } => {
                    // What the handles sent before this was known still belongs to the session.
                    self.take_commands();
                    self.session.borrow_mut().handle_transport_end(code, reason, was_clean);
                }
                TransportEvent::Failed(error) => self.hub.set_failure(error),
            }
        }
        any
    }

    fn receive(&self, content: Content<T::Value>) {
        if !self.session.borrow().delivers() {
            return;
        }
        let bytes = content.bytes();
        let incoming = match content {
            Content::Text(text) => Incoming::Text(text),
            Content::Binary(bytes) => Incoming::Binary(bytes),
            Content::Value { value, kind, bytes } => {
                let slot = Slot(self.slab.borrow_mut().insert(value));
                Incoming::Hosted(Hosted { slot, kind, bytes })
            }
            Content::Unsupported(name) => Incoming::Unsupported(name),
        };
        match self.hub.deliver(incoming, bytes) {
            Ok(()) => {
                self.observer.readable();
            }
            Err((refused, limits)) => {
                self.release(refused.slot());
                let now = self.clock.now();
                let mut session = self.session.borrow_mut();
                session.handle_receive_overflow(now, limits.overflow_code, Some(OVERFLOW_CLOSE_WITHIN));
                drop(session);
                self.hub.stop_sending();
            }
        }
    }

    fn fetched(&self, token: FetchToken, content: Option<Content<T::Value>>) {
        match token {
            FetchToken::Send(id) => {
                let content = content.and_then(|content| self.keep(content));
                self.session.borrow_mut().handle_fetched(id, content);
            }
            FetchToken::Reply(key) => {
                let reply = self.replies.borrow_mut().remove(key);
                if let Some(reply) = reply {
                    let bytes = match content {
                        Some(Content::Binary(bytes)) => Some(bytes),
                        Some(Content::Value { value, .. }) => T::copy(&value),
                        _ => None,
                    };
                    // Nobody waits any more if this fails, which is nobody's loss.
                    let _ = reply.send(bytes);
                }
            }
        }
    }

    /// Content that was read for sending: owned, or in a slot of its own.
    fn keep(&self, content: Content<T::Value>) -> Option<Payload> {
        match content {
            Content::Text(text) => Some(Payload::Text(text)),
            Content::Binary(bytes) => Some(Payload::Binary(bytes)),
            Content::Value { value, kind, bytes } => Some(self.keep_value(value, kind, bytes)),
            Content::Unsupported(_) => None,
        }
    }

    /// Puts a host value into the slab; the payload that stands for it owns the slot.
    pub(crate) fn keep_value(&self, value: T::Value, kind: HostedKind, bytes: u64) -> Payload {
        let slot = Slot(self.slab.borrow_mut().insert(value));
        Payload::Hosted(Hosted { slot, kind, bytes })
    }

    fn drain_session(&self) -> (bool, Option<Timestamp>) {
        let mut any = false;
        loop {
            let room = self.transport.has_room();
            let output = self.session.borrow_mut().poll_output(room);
            match output {
                Output::Blocked(deadline) | Output::Timeout(deadline) => return (any, deadline),
                Output::Transmit(part) => {
                    let Some(outgoing) = self.outgoing(part.payload, part.text, part.first, part.last) else {
                        continue;
                    };
                    let taken = self.transport.send(outgoing).is_ok();
                    let (done, slot) = self.session.borrow_mut().handle_transmitted(taken);
                    self.release(slot);
                    if let Some(done) = done {
                        self.report_done(done);
                    }
                }
                Output::Fetch { id, slot, range } => self.fetch(id, slot, range),
                Output::Release(slot) => self.release(Some(slot)),
                Output::Close { code, reason } => self.transport.close(code, &reason),
                Output::Abort => self.transport.abort(),
                Output::Event(Event::Opened) => {
                    self.hub.open();
                    self.observer.opened();
                }
                Output::Event(Event::Done(done)) => self.report_done(done),
                Output::Event(Event::Closed(closed)) => self.report_closed(closed),
            }
            any = true;
        }
    }

    fn outgoing(&self, payload: Payload, text: bool, first: bool, last: bool) -> Option<Outgoing<T::Value>> {
        let content = match payload {
            Payload::Text(text) => Content::Text(text),
            Payload::Binary(bytes) => Content::Binary(bytes),
            Payload::Hosted(Hosted { slot, kind, bytes }) => {
                // A slot that is not there is the driver's own fault; the message is then refused
                // and reported as unsent, which is the truth.
                let value = self.slab.borrow().get(slot.0).cloned();
                let Some(value) = value else {
                    let (done, _) = self.session.borrow_mut().handle_transmitted(false);
                    if let Some(done) = done {
                        self.report_done(done);
                    }
                    return None;
                };
                Content::Value { value, kind, bytes }
            }
        };
        Some(Outgoing { content, text, first, last })
    }

    fn fetch(&self, id: FetchId, slot: Slot, range: core::ops::Range<u64>) {
        let value = self.slab.borrow().get(slot.0).cloned();
        match value {
            Some(value) => self.transport.fetch(&value, range, FetchToken::Send(id)),
            None => self.session.borrow_mut().handle_fetched(id, None),
        }
    }

    fn release(&self, slot: Option<Slot>) {
        if let Some(slot) = slot {
            // Dropped after the borrow has ended: dropping a host value may run host code.
            let value = self.slab.borrow_mut().remove(slot.0);
            drop(value);
        }
    }

    fn report_done(&self, done: Done) {
        let room_wanted = self.hub.finish(done);
        if let Some(ticket) = done.ticket
            && self.observer.outcome(ticket, done.outcome)
        {
            self.hub.detach(ticket);
        }
        if room_wanted {
            self.observer.room();
        }
    }

    fn report_closed(&self, mut closed: crate::proto::Closed) {
        // From here on the hub takes no message, so that what it holds now is all there is.
        self.hub.stop_sending();
        self.take_commands();
        let rejected = self.rejected.take();
        closed.unsent.messages += rejected.messages;
        closed.unsent.bytes = closed.unsent.bytes.saturating_add(rejected.bytes);
        self.transport.abort();
        self.hub.close(closed.clone());
        self.observer.closed(&closed);
    }
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
impl<T: Transport, C: Clock> Driver<T, C> {
    /// A value in the slab.
    pub(crate) fn value(&self, slot: Slot) -> Option<T::Value> {
        self.slab.borrow().get(slot.0).cloned()
    }

    /// Takes a value out of the slab.
    pub(crate) fn take_value(&self, slot: Slot) -> Option<T::Value> {
        self.slab.borrow_mut().remove(slot.0)
    }

    /// Puts another value in its place, such as a snapshot of a buffer that has to wait.
    pub(crate) fn replace_value(&self, slot: Slot, value: T::Value) {
        self.slab.borrow_mut().replace(slot.0, value);
    }
}

impl<T: Transport, C> Drop for Driver<T, C> {
    fn drop(&mut self) {
        self.transport.abort();
        self.hub.abandon();
    }
}
