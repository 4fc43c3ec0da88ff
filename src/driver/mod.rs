//! The one loop between the session, the transport and the handles.
//!
//! [`Driver::pump`] is synchronous and runs until nothing is left to do: what the handles have
//! asked for, events of the transport, outputs of the session. It is called from `send`, from the
//! transport's callbacks and from timers. Neither a lock nor a borrow is held while the transport,
//! a waker or the outlet is called, since each of them may call back; a call that comes while the
//! pump runs leaves its work where it is and returns.
//!
//! To whom the driver reports is its [`Outlet`]: the hub of the handles ([`hub`]), or the facade
//! of the npm build, which has no handles of this crate.
//!
//! Not here: protocol state (the session's), host values (the transport's), promises and futures
//! (the client's).

#[cfg(feature = "client")]
mod dues;
#[cfg(feature = "client")]
pub(crate) mod hub;
#[cfg(feature = "client")]
mod marks;
#[cfg(feature = "client")]
mod names;
#[cfg(feature = "client")]
pub(crate) mod outbox;
#[cfg(feature = "client")]
pub(crate) mod outlet;
#[cfg(feature = "client")]
mod send_options;
#[cfg(any(all(feature = "native", not(target_family = "wasm")), feature = "sim"))]
pub(crate) mod task;
#[cfg(all(test, feature = "client", not(target_family = "wasm")))]
#[allow(clippy::unwrap_used, reason = "a panic fails the test")]
mod tests;
#[cfg(feature = "client")]
mod tickets;
#[cfg(feature = "v1")]
pub(crate) mod tidegate;
#[cfg(feature = "client")]
pub(crate) mod waiters;
#[cfg(all(feature = "client", target_family = "wasm", target_os = "unknown"))]
pub(crate) mod web;

#[cfg(feature = "v1")]
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

#[cfg(feature = "client")]
pub(crate) use self::hub::{Command, Hub, Stage};
#[cfg(feature = "client")]
pub(crate) use self::outlet::HubOutlet;
#[cfg(feature = "client")]
pub use self::send_options::SendOptions;
#[cfg(feature = "v1")]
pub use self::tidegate::ChannelEnd;
#[cfg(feature = "v1")]
use self::tidegate::{ChannelId, Offered, Origin, TidegateConfig};
#[cfg(feature = "js")]
use crate::proto::Transmit;
use crate::proto::{
    CloseRequest, Closed, Done, Event, FetchId, GateConfig, Gauges, MessageId, NewMessage, Output, Payload,
    QueueConfig, Reason, Session, SessionConfig,
};
use crate::time::{Clock, Duration, Timestamp};
use crate::transport::{FetchToken, Incoming, Transport, TransportEvent};

/// How long the closing handshake may take after the receive queue has overflowed.
const OVERFLOW_CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// RFC 6455 section 7.4.1: an endpoint is going away, such as a server going down.
#[cfg(all(feature = "native", not(target_family = "wasm")))]
const GOING_AWAY: u16 = 1001;

/// How often the transport is looked at for those who wait until it has sent everything.
const WATCH_EVERY: Duration = Duration::from_millis(20);

/// Who learns what has happened, and whose wishes the driver carries out.
pub(crate) trait Outlet<T: Transport>: Sized {
    /// Carries out what has been asked for meanwhile. Returns whether there was anything.
    fn take_commands<C: Clock>(&self, driver: &Driver<T, C, Self>) -> bool;
    /// Whether what was delivered should be looked at before more is.
    fn is_behind(&self) -> bool {
        false
    }
    /// The connection is open.
    fn opened(&self, transport: &T);
    /// A message has left the queue.
    fn done(&self, done: Done);
    /// Nothing else leaves it for now.
    fn settle(&self, _: impl FnOnce() -> Gauges) {}
    /// What those wait for who cannot be told by the session.
    fn awaited(&self) -> Awaited {
        Awaited::default()
    }
    /// So much of it the transport has not sent.
    fn set_standing(&self, _: u64) {}
    /// A message has arrived. If it does not fit and that is to end the connection, it is given back with the
    /// code to close with; a value that is dropped instead is released here.
    fn deliver(&self, incoming: Incoming, transport: &T) -> Result<(), (Incoming, u16)>;
    /// A read that a handle has asked for has ended.
    fn read_done(&self, key: u32, content: Option<Vec<u8>>);
    /// More is known about a failure than the close code says.
    fn failed(&self, error: crate::transport::TransportError);
    /// No message will be taken any more.
    fn stop_sending(&self);
    /// The connection is over. `stop_sending` and `take_commands` were called before.
    fn closed(&self, closed: Closed);
    /// The driver is dropped; `closed` was called before.
    #[cfg(feature = "client")]
    fn abandoned(&self);
    /// The connection is in tidegate mode, and the greeting begins.
    #[cfg(feature = "v1")]
    fn begins_tidegate(&self) {}
    /// The connection is open, and both sides have greeted; in place of [`opened`](Self::opened).
    #[cfg(feature = "v1")]
    fn attached(&self, transport: &T);
    /// The peer has announced that it goes away.
    #[cfg(feature = "v1")]
    fn going_away(&self, going: crate::proto::v1::GoingAway);
    /// An item has arrived, on a channel or for the connection. Whoever takes it says so by [`Driver::taken`].
    #[cfg(all(feature = "v1", feature = "client"))]
    fn deliver_item(&self, channel: Option<ChannelId>, item: Payload, origin: Origin);
    /// A part of an item has arrived, for an outlet that has the message and puts items together itself. `origin` counts
    /// with the last part.
    #[cfg(all(feature = "v1", feature = "js"))]
    fn chunk(&self, channel: Option<ChannelId>, chunk: &crate::proto::v1::Chunk, origin: Origin);
    /// What has arrived of an item is void.
    #[cfg(all(feature = "v1", feature = "js"))]
    fn void(&self, key: crate::proto::v1::ChannelKey);
    /// [`done`](Self::done) of a message that was sent on a channel.
    #[cfg(feature = "v1")]
    fn channel_done(&self, id: ChannelId, done: Done);
    /// The peer has opened a channel. Gives what it is known as from now on; `None` refuses it.
    #[cfg(feature = "v1")]
    fn channel_offered(&self, offered: Offered) -> Option<ChannelId>;
    /// The peer has accepted a channel.
    #[cfg(feature = "v1")]
    fn channel_accepted(&self, id: ChannelId);
    /// The peer sends nothing more on it.
    #[cfg(feature = "v1")]
    fn channel_ended(&self, id: ChannelId, end: ChannelEnd);
    /// What is sent on it has ended: the peer has acknowledged its close, or one of the two has reset it.
    #[cfg(feature = "v1")]
    fn channel_stopped(&self, id: ChannelId, end: ChannelEnd);
    /// All channels are over, with the session.
    #[cfg(feature = "v1")]
    fn channels_over<C: Clock>(&self, driver: &Driver<T, C, Self>);
}

/// What is waited for outside, besides what happens to messages.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Awaited {
    /// Somebody waits for the transport to have sent what it was given.
    pub(crate) standing: bool,
    /// Somebody waits for room in the queue, and not beyond this moment: then `take_commands` tells them.
    pub(crate) due: Option<Timestamp>,
}

/// How a connection is driven.
#[derive(Clone, Debug, Default)]
#[cfg_attr(not(feature = "v1"), derive(Copy))]
pub(crate) struct DriverConfig {
    /// How long connecting may take.
    pub(crate) connect_within: Option<Duration>,
    /// How long the transport may take to end once the peer has closed.
    #[cfg(feature = "client")]
    pub(crate) peer_close_within: Option<Duration>,
    pub(crate) queue: QueueConfig,
    pub(crate) gate: GateConfig,
    /// What is spoken if `tidegate.v1` is the subprotocol when the connection opens; `None` to be in plain mode even then.
    #[cfg(feature = "v1")]
    pub(crate) tidegate: Option<Box<TidegateConfig>>,
}

/// See the module's page.
pub(crate) struct Driver<T: Transport, C: Clock, O: Outlet<T>> {
    outlet: O,
    transport: T,
    clock: C,
    session: RefCell<Session>,
    pumping: Cell<bool>,
    again: Cell<bool>,
    /// What is spoken if the server has chosen `tidegate.v1`, until it is known what it has.
    #[cfg(feature = "v1")]
    offer: RefCell<Option<Box<TidegateConfig>>>,
    /// When connecting is to be over, to which the greeting belongs.
    #[cfg(feature = "v1")]
    connect_due: Option<Timestamp>,
    /// The session in tidegate mode.
    #[cfg(feature = "v1")]
    tidegate: RefCell<Option<Box<tidegate::Tidegate>>>,
}

impl<T: Transport, C: Clock, O: Outlet<T>> Driver<T, C, O> {
    /// A driver over a transport that has begun to connect.
    pub(crate) fn new(outlet: O, transport: T, clock: C, config: DriverConfig) -> Self {
        let session = SessionConfig {
            connect_timeout: config.connect_within,
            #[cfg(feature = "client")]
            peer_close_timeout: config.peer_close_within,
            transport_takes_values: transport.takes_values(),
            queue: config.queue,
            gate: transport.takes_all().then_some(config.gate),
        };
        let now = clock.now();
        let session = RefCell::new(Session::new(now, session));
        Self {
            outlet,
            transport,
            clock,
            session,
            pumping: Cell::new(false),
            again: Cell::new(false),
            #[cfg(feature = "v1")]
            offer: RefCell::new(config.tidegate),
            #[cfg(feature = "v1")]
            connect_due: config.connect_within.map(|within| now.saturating_add(within)),
            #[cfg(feature = "v1")]
            tidegate: RefCell::default(),
        }
    }

    /// To whom it reports.
    pub(crate) fn outlet(&self) -> &O {
        &self.outlet
    }

    /// The transport, for the shell that polls it.
    pub(crate) fn transport(&self) -> &T {
        &self.transport
    }

    /// Whether the connection is over and everybody has been told.
    #[cfg(feature = "client")]
    pub(crate) fn is_over(&self) -> bool {
        self.session.borrow().is_over()
    }

    /// Whether the call came from inside the pump, so that the outer call does the rest.
    #[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "tasks are not re-entered"))]
    pub(crate) fn is_pumping(&self) -> bool {
        self.pumping.get()
    }

    /// See [`Session::handle_send`].
    pub(crate) fn send(&self, new: NewMessage) -> Result<MessageId, Payload> {
        #[cfg(feature = "v1")]
        let new = match self.send_on_lane(new) {
            Ok(sent) => return sent,
            Err(new) => new,
        };
        let mut session = self.session.borrow_mut();
        if session.wants_time(Some(&new)) {
            session.handle_time(self.clock.now());
        }
        session.handle_send(new)
    }

    /// Hands a message over that goes at once, as [`send`](Self::send) and [`pump_now`](Self::pump_now) would, and
    /// tells whether the transport has taken it; `None` if it has to be sent by them.
    #[cfg(feature = "js")]
    pub(crate) fn pass(&self, new: &NewMessage) -> Option<bool> {
        #[cfg(feature = "v1")]
        if self.is_tidegate() {
            return None;
        }
        if self.pumping.get() || !self.transport.has_room() || !self.session.borrow_mut().handle_passing(new)
        {
            return None;
        }
        let payload = new.payload.clone();
        let (bytes, slot, text) = (payload.bytes(), payload.slot(), payload.is_text());
        // What is asked for from inside comes after it.
        self.pumping.set(true);
        let taken = self.transport.send(Transmit { payload, text, first: true, last: true });
        self.pumping.set(false);
        self.session.borrow_mut().handle_sent(bytes, taken);
        self.release(slot);
        Some(taken)
    }

    /// Whether the driver was called from inside, and is to be pumped.
    #[cfg(feature = "js")]
    pub(crate) fn was_called(&self) -> bool {
        self.again.replace(false)
    }

    /// See [`Session::gauges`].
    pub(crate) fn gauges(&self) -> Gauges {
        #[cfg(feature = "v1")]
        if let Some(gauges) = self.session_gauges() {
            return gauges;
        }
        self.session.borrow().gauges()
    }

    /// See [`Session::handle_cancel`].
    pub(crate) fn cancel(&self, id: MessageId) {
        #[cfg(feature = "v1")]
        if self.cancel_item(id) {
            return;
        }
        self.session.borrow_mut().handle_cancel(id);
    }

    /// See [`Session::handle_acknowledged`].
    pub(crate) fn acknowledged(&self, upto: u64) {
        let now = self.clock.now();
        self.session.borrow_mut().handle_acknowledged(now, upto);
    }

    /// See [`Session::handle_close`].
    pub(crate) fn close(&self, request: CloseRequest) {
        #[cfg(feature = "v1")]
        if self.close_session(&request) {
            return;
        }
        let now = self.clock.now();
        self.session.borrow_mut().handle_close(now, request);
    }

    /// See [`Session::handle_end`].
    pub(crate) fn end(&self, within: Option<Duration>, close_within: Option<Duration>) {
        #[cfg(feature = "v1")]
        if self.end_session(within) {
            return;
        }
        let now = self.clock.now();
        self.session.borrow_mut().handle_end(now, within, close_within);
    }

    /// This side goes away: a peer that speaks `tidegate.v1` is told, to any other the connection is closed with 1001
    /// once what is queued has gone.
    #[cfg(all(feature = "native", not(target_family = "wasm")))]
    pub(crate) fn go_away(&self, going: hub::GoAway) {
        #[cfg(feature = "v1")]
        if self.shut_down(Some(going.drain), Some(going.back)) {
            return;
        }
        let (reason, within) = (Reason::default(), Some(going.drain));
        self.close(CloseRequest { code: Some(GOING_AWAY), reason, within, flush: true });
        self.hurry(within);
    }

    /// See [`Session::handle_hurry`].
    #[cfg(any(all(feature = "native", not(target_family = "wasm")), feature = "v1"))]
    pub(crate) fn hurry(&self, within: Option<Duration>) {
        if let Some(within) = within {
            let now = self.clock.now();
            self.session.borrow_mut().handle_hurry(now, within);
        }
    }

    /// See [`Session::handle_abort`].
    #[cfg(feature = "js")]
    pub(crate) fn abort(&self) {
        self.session.borrow_mut().handle_abort();
    }

    /// Takes an event of the transport; [`pump`](Self::pump) draws its consequences.
    pub(crate) fn handle(&self, event: TransportEvent) {
        match event {
            TransportEvent::Opened => self.opened(),
            TransportEvent::Message(incoming) => self.receive(incoming),
            TransportEvent::Fetched { token: FetchToken::Send(id), content } => self.fetched(id, content),
            #[cfg(feature = "client")]
            TransportEvent::Fetched { token: FetchToken::Reply(key), content } => {
                let bytes = content.and_then(|content| self.transport.take_bytes(content));
                self.outlet.read_done(key, bytes);
            }
            TransportEvent::Failed(error) => self.outlet.failed(error),
            #[cfg(feature = "client")]
            TransportEvent::Closing { code, reason } => {
                self.outlet.take_commands(self);
                let now = self.clock.now();
                self.session.borrow_mut().handle_peer_closing(now, code, reason);
                self.outlet.stop_sending();
            }
            TransportEvent::Closed { code, reason, was_clean } => self.closed(code, reason, was_clean),
        }
    }

    /// [`TransportEvent::Opened`]; as the others that follow, for a transport that calls the driver itself.
    pub(crate) fn opened(&self) {
        self.session.borrow_mut().handle_opened();
    }

    /// [`TransportEvent::Fetched`] for the session.
    pub(crate) fn fetched(&self, id: FetchId, content: Option<Payload>) {
        #[cfg(feature = "v1")]
        if self.is_tidegate() {
            self.fetched_item(id, content);
            return;
        }
        self.session.borrow_mut().handle_fetched(id, content);
    }

    /// [`TransportEvent::Closed`].
    pub(crate) fn closed(&self, code: u16, reason: Reason, was_clean: bool) {
        // What was asked for before this was known still belongs to the connection.
        self.outlet.take_commands(self);
        #[cfg(feature = "v1")]
        self.lose_session(code);
        self.session.borrow_mut().handle_transport_end(code, reason, was_clean);
        // Before the queue is emptied: the room that this makes is for nobody.
        self.outlet.stop_sending();
    }

    /// Runs until nothing is left to do. Returns when it wants to be called again at the latest.
    pub(crate) fn pump(&self) -> Option<Timestamp> {
        {
            let mut session = self.session.borrow_mut();
            if session.wants_time(None) {
                session.handle_time(self.clock.now());
            }
        }
        #[cfg(feature = "v1")]
        self.session_time();
        self.pump_now()
    }

    /// As [`pump`](Self::pump), right after [`send`](Self::send), which has looked at the clock if need be.
    pub(crate) fn pump_now(&self) -> Option<Timestamp> {
        if self.pumping.replace(true) {
            // Called from inside: the outer call goes on after its present step.
            self.again.set(true);
            return None;
        }
        let deadline = loop {
            self.again.set(false);
            let mut busy = self.outlet.take_commands(self);
            while let Some(event) = self.transport.next_event(!self.awaits_reader()) {
                busy = true;
                self.handle(event);
            }
            let (outputs, deadline) = self.drain_session();
            #[cfg(feature = "v1")]
            let (outputs, deadline) = {
                let (records, due) = self.drain_tidegate(&[]);
                (outputs || records, deadline.into_iter().chain(due).min())
            };
            if !(busy || outputs || self.again.get()) {
                break deadline;
            }
        };
        self.pumping.set(false);
        let awaited = self.outlet.awaited();
        let deadline = deadline.into_iter().chain(awaited.due).min();
        if awaited.standing { self.watch_standing(deadline) } else { deadline }
    }

    /// Tells those who wait for it what the transport has not sent, and adds to `deadline` when to look again.
    fn watch_standing(&self, deadline: Option<Timestamp>) -> Option<Timestamp> {
        let amount = self.transport.buffered_amount();
        self.outlet.set_standing(amount);
        if amount == 0 {
            return deadline;
        }
        let look = self.clock.now().saturating_add(WATCH_EVERY);
        Some(deadline.map_or(look, |deadline| deadline.min(look)))
    }

    /// Lets the session look at its deadline.
    pub(crate) fn timer(&self) {
        let now = self.clock.now();
        self.session.borrow_mut().handle_timeout(now);
        #[cfg(feature = "v1")]
        self.session_timer(now);
    }

    /// [`timer`](Self::timer), then [`pump`](Self::pump).
    #[cfg(feature = "client")]
    pub(crate) fn pump_timer(&self) -> Option<Timestamp> {
        self.timer();
        self.pump()
    }

    /// [`pump`](Self::pump), and the session's deadline if it has passed: a transport that always
    /// has something must not keep the timer from its turn.
    #[cfg(any(all(feature = "native", not(target_family = "wasm")), feature = "sim"))]
    pub(crate) fn pump_on_time(&self) -> Option<Timestamp> {
        let due = self.pump();
        if due.is_some_and(|due| due <= self.clock.now()) { self.pump_timer() } else { due }
    }

    /// The present moment, for the shell and for the outlet.
    #[cfg(feature = "client")]
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether what was delivered should be looked at before more is.
    pub(crate) fn awaits_reader(&self) -> bool {
        // Behind a close frame of this side nothing is delivered, so that nobody has to make room for it.
        self.session.borrow().delivers() && self.outlet.is_behind()
    }

    fn receive(&self, incoming: Incoming) {
        self.task();
        if !self.session.borrow().delivers() {
            self.release(incoming.slot());
            return;
        }
        #[cfg(all(feature = "v1", feature = "client"))]
        if self.is_tidegate() {
            self.receive_records(incoming);
            return;
        }
        if let Err((refused, code)) = self.outlet.deliver(incoming, &self.transport) {
            self.release(refused.slot());
            self.overflow(code);
        }
    }

    /// See [`Session::handle_task`].
    pub(crate) fn task(&self) {
        self.session.borrow_mut().handle_task();
        #[cfg(feature = "v1")]
        self.session_task();
    }

    /// See [`Session::handle_receive_overflow`].
    pub(crate) fn overflow(&self, code: u16) {
        let now = self.clock.now();
        self.session.borrow_mut().handle_receive_overflow(now, code, Some(OVERFLOW_CLOSE_WITHIN));
        self.outlet.stop_sending();
    }

    fn drain_session(&self) -> (bool, Option<Timestamp>) {
        let mut any = false;
        loop {
            let room = self.transport.has_room();
            let output = self.session.borrow_mut().poll_output(room);
            match output {
                Output::Blocked(deadline) | Output::Timeout(deadline) => {
                    self.outlet.settle(|| self.gauges());
                    return (any, deadline);
                }
                Output::Transmit(part) => {
                    let taken = self.transport.send(part);
                    let (done, slot) = self.session.borrow_mut().handle_transmitted(taken);
                    self.release(slot);
                    if let Some(done) = done {
                        self.outlet.done(done);
                    }
                }
                Output::Look => {
                    let amount = self.transport.buffered_amount();
                    self.session.borrow_mut().handle_amount(self.clock.now(), amount);
                }
                Output::Fetch { id, slot, range } => self.transport.fetch(slot, range, FetchToken::Send(id)),
                Output::Release(slot) => self.transport.release(slot),
                Output::Close { code, reason } => self.transport.close(code, reason),
                Output::Abort => self.transport.abort(),
                #[cfg(feature = "v1")]
                Output::Event(Event::Opened) if self.begin_tidegate() => {}
                Output::Event(Event::Opened) => self.outlet.opened(&self.transport),
                Output::Event(Event::Done(done)) => self.outlet.done(done),
                Output::Event(Event::Closed(closed)) => {
                    // From here on no message is taken, so that what comes out now is all there is.
                    self.outlet.stop_sending();
                    self.outlet.take_commands(self);
                    #[cfg(feature = "v1")]
                    let closed = self.end_tidegate(closed);
                    self.transport.abort();
                    self.outlet.settle(|| self.gauges());
                    self.outlet.closed(closed);
                }
            }
            any = true;
        }
    }

    pub(crate) fn release(&self, slot: Option<crate::proto::Slot>) {
        if let Some(slot) = slot {
            self.transport.release(slot);
        }
    }
}

/// Dropped with its runtime or thread before the connection was over: whoever still waits gets the
/// truth, as after an abort. The facade of the npm build frees a driver when it has reported the end, and not before.
#[cfg(feature = "client")]
impl<T: Transport, C: Clock, O: Outlet<T>> Drop for Driver<T, C, O> {
    fn drop(&mut self) {
        // First of all: a close that the last handle has just left behind would tell the peer of a clean end, though
        // whoever held it may have been cut off halfway.
        self.session.borrow_mut().handle_abort();
        self.outlet.take_commands(self);
        // Still set if a panic, such as a waker's, has ended the pump and with it the task.
        self.pumping.set(false);
        self.pump();
        self.transport.abort();
        self.outlet.abandoned();
    }
}
