//! The driver's side of a session: records in, records out, and what the handles are told.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

#[cfg(feature = "js")]
use super::TidegateConfig;
use super::{ChannelId, Origin, SUBPROTOCOL, Tidegate, Whose};
use crate::driver::{Driver, OVERFLOW_CLOSE_WITHIN, Outlet};
use crate::proto::v1::{
    Cause, ChannelCode, ChannelKey, ChannelKind, Directions, Event, OpenError, Output, RefusedCode,
};
use crate::proto::{
    CloseCause, CloseRequest, Closed, Gauges, MessageId, NewMessage, Payload, Priority, Reason,
};
use crate::time::{Clock, Duration, Timestamp};
use crate::transport::{FetchToken, Transport};
#[cfg(feature = "client")]
use crate::transport::{Incoming, TransportError};

/// How long the closing handshake may take where nobody has said so.
const CLOSE_WITHIN: Duration = OVERFLOW_CLOSE_WITHIN;

/// The same with a peer that has been silent for so long that it is not there: enough for the close frame to leave.
const SILENT_CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// The close code of a session that ends in good order.
const IN_GOOD_ORDER: u16 = 4200;

/// How a direction of a channel has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelEnd {
    /// Whoever sends has sent everything and closed it.
    Closed,
    /// One of the two has reset it.
    Reset {
        /// Why.
        code: ChannelCode,
        /// What it has added to that, up to 1,024 bytes.
        detail: Vec<u8>,
    },
    /// The connection is over.
    ConnectionOver,
}

/// A channel that the peer has opened.
#[derive(Debug)]
pub(crate) struct Offered {
    pub(crate) key: ChannelKey,
    pub(crate) name: String,
    pub(crate) priority: Priority,
}

impl<T: Transport, C: Clock, O: Outlet<T>> Driver<T, C, O> {
    /// Speaks `tidegate.v1` if that is the subprotocol when the connection opens.
    #[cfg(feature = "js")]
    pub(crate) fn offer_tidegate(&self, config: TidegateConfig) {
        self.offer.replace(Some(Box::new(config)));
    }

    /// The connection is open. Returns whether a session begins on it, which tells the handles later.
    pub(in crate::driver) fn begin_tidegate(&self) -> bool {
        let Some(config) = self.offer.take() else { return false };
        if self.transport.opened().protocol != SUBPROTOCOL {
            return false;
        }
        let (mut config, now) = (*config, self.clock.now());
        config.session.transport_takes_all = self.transport.takes_all();
        if let Some(due) = self.connect_due {
            let left = due.saturating_since(now);
            config.session.hello_timeout = config.session.hello_timeout.min(left);
        }
        self.tidegate.replace(Some(Box::new(Tidegate::new(now, config))));
        self.outlet.begins_tidegate();
        true
    }

    /// Calls the session, if there is one.
    fn with<R>(&self, call: impl FnOnce(&mut Tidegate) -> R) -> Option<R> {
        self.tidegate.borrow_mut().as_deref_mut().map(call)
    }

    pub(in crate::driver) fn is_tidegate(&self) -> bool {
        self.tidegate.borrow().is_some()
    }

    /// As [`send`](Self::send); gives the message back if there is no session.
    pub(in crate::driver) fn send_on_lane(
        &self,
        new: NewMessage,
    ) -> Result<Result<MessageId, Payload>, NewMessage> {
        let now = self.clock.now();
        match self.tidegate.borrow_mut().as_deref_mut() {
            Some(tidegate) => Ok(tidegate.send(now, new)),
            None => Err(new),
        }
    }

    /// A message on a channel.
    pub(crate) fn send_on(
        &self,
        channel: (ChannelId, ChannelKey),
        new: NewMessage,
    ) -> Result<MessageId, Payload> {
        let now = self.clock.now();
        match self.tidegate.borrow_mut().as_deref_mut() {
            Some(tidegate) => tidegate.send_on(now, channel, new),
            None => Err(new.payload),
        }
    }

    /// Opens a channel. `None` without a session.
    pub(crate) fn open_channel(
        &self,
        id: ChannelId,
        name: String,
        priority: Priority,
    ) -> Option<Result<ChannelKey, OpenError>> {
        self.with(|tidegate| tidegate.open(id, name, priority))
    }

    /// What the peer has opened is known as `id` from now on; `None` refuses it.
    fn take_channel(&self, key: ChannelKey, id: Option<ChannelId>) {
        self.with(|tidegate| {
            if let Some(id) = id {
                tidegate.enter(key, Whose::Channel(id), false);
            } else {
                tidegate.session.handle_reset(key, Directions::Both, ChannelCode::Refused, Vec::new());
                tidegate.session.handle_dropped(key);
            }
        });
    }

    /// See [`Session::handle_close_tagged`](crate::proto::v1::Session::handle_close_tagged): true if
    /// [`Outlet::channel_stopped`] will tell how it has come to its end, or else that of the session.
    pub(crate) fn close_channel(&self, id: ChannelId, key: ChannelKey) -> bool {
        self.with(|tidegate| tidegate.session.handle_close_tagged(key, id.0)) == Some(true)
    }

    /// See [`Session::handle_reset`](crate::proto::v1::Session::handle_reset).
    pub(crate) fn reset_channel(
        &self,
        key: ChannelKey,
        directions: Directions,
        code: ChannelCode,
        detail: Vec<u8>,
    ) {
        self.with(|tidegate| tidegate.session.handle_reset(key, directions, code, detail));
    }

    /// See [`Session::set_priority`](crate::proto::v1::Session::set_priority).
    pub(crate) fn prefer_channel(&self, key: ChannelKey, priority: Priority) {
        self.with(|tidegate| tidegate.session.set_priority(key, priority));
    }

    /// See [`Session::handle_dropped`](crate::proto::v1::Session::handle_dropped).
    pub(crate) fn drop_channel(&self, key: ChannelKey) {
        self.with(|tidegate| tidegate.drop_channel(key));
    }

    /// Items were taken by the application.
    pub(crate) fn taken(&self, origin: Origin) {
        let now = self.clock.now();
        self.with(|tidegate| tidegate.taken(now, origin));
    }

    pub(in crate::driver) fn cancel_item(&self, id: MessageId) -> bool {
        self.with(|tidegate| tidegate.session.handle_cancel(id)).is_some()
    }

    /// What is under way, and what may be.
    pub(in crate::driver) fn session_gauges(&self) -> Option<Gauges> {
        let gauges = self.tidegate.borrow().as_deref().map(|tidegate| tidegate.session.gauges())?;
        Some(Gauges {
            buffered_amount: gauges.in_flight,
            budget_bytes: gauges.budget,
            bytes_per_second: gauges.bytes_per_second,
        })
    }

    /// The caller closes. Returns whether that is the session's to do.
    pub(in crate::driver) fn close_session(&self, request: &CloseRequest) -> bool {
        let now = self.clock.now();
        self.with(|tidegate| {
            if tidegate.over.is_some() {
                return false;
            }
            let due = request.within.map(|within| now.saturating_add(within));
            if tidegate.closing.is_none() {
                tidegate.closing = Some((request.clone(), due));
            }
            // Also before the greeting: a server may have everything to say by then.
            if request.flush {
                tidegate.session.handle_close(now, millis(request.within));
            } else {
                tidegate.session.handle_end(now);
            }
            true
        }) == Some(true)
    }

    /// The caller sends no more. Returns whether that is the session's to do.
    pub(in crate::driver) fn end_session(&self, within: Option<Duration>) -> bool {
        self.shut_down(within, None)
    }

    /// Says that this side goes away; who was served comes back `after`, and up to so much later. Returns whether there is
    /// a session to say it in.
    pub(crate) fn shut_down(&self, within: Option<Duration>, back: Option<[Duration; 2]>) -> bool {
        let now = self.clock.now();
        let [after, jitter] = back.unwrap_or_default().map(|time| millis(Some(time)));
        if back.is_some() {
            // Whoever has closed it before may have left the peer any time to confirm that.
            let more = millis(Some(CLOSE_WITHIN));
            self.hurry(within.map(|within| Duration::from_millis(millis(Some(within)).saturating_add(more))));
        }
        self.with(|tidegate| {
            tidegate.is_shut_down |= back.is_some();
            if tidegate.over.is_none() {
                tidegate.session.handle_shutdown(now, millis(within), after, jitter);
                tidegate.close_lanes();
            }
        })
        .is_some()
    }

    /// The answer to a read that the session has asked for.
    pub(in crate::driver) fn fetched_item(&self, id: crate::proto::FetchId, content: Option<Payload>) {
        self.with(|tidegate| tidegate.session.handle_fetched(id, content));
    }

    pub(in crate::driver) fn session_time(&self) {
        let now = self.clock.now();
        self.with(|tidegate| tidegate.session.handle_time(now));
    }

    pub(in crate::driver) fn session_timer(&self, now: Timestamp) {
        self.with(|tidegate| tidegate.session.handle_timeout(now));
    }

    pub(in crate::driver) fn session_task(&self) {
        self.with(|tidegate| tidegate.session.handle_task());
    }

    /// A message has arrived; in the npm build the facade gives its bytes.
    #[cfg(feature = "client")]
    pub(in crate::driver) fn receive_records(&self, incoming: Incoming) {
        let bytes = match incoming {
            Incoming::Message(Payload::Binary(bytes)) => Some(bytes),
            Incoming::Message(payload @ Payload::Hosted(_)) => self.transport.take_bytes(payload),
            _ => None,
        };
        match bytes {
            Some(bytes) => self.receive_bytes(&bytes),
            None => self.receive_text(),
        }
    }

    /// A binary message has arrived.
    pub(crate) fn receive_bytes(&self, bytes: &[u8]) {
        let now = self.clock.now();
        self.with(|tidegate| tidegate.session.handle_message(now, bytes));
        // Who is told of an item may call back; what that asks for comes after the message.
        let outer = self.pumping.replace(true);
        self.drain_tidegate(bytes);
        self.pumping.set(outer);
    }

    /// A message of another kind has, which no peer may send.
    pub(crate) fn receive_text(&self) {
        let now = self.clock.now();
        self.with(|tidegate| tidegate.session.handle_text(now));
    }

    /// The host could not decode a text that has arrived on this channel.
    #[cfg(feature = "js")]
    pub(crate) fn refuse_text(&self, origin: Origin) {
        let Origin { key, serial, .. } = origin;
        let known = self.with(|tidegate| {
            let is_known = tidegate.entry(key).is_some_and(|entry| entry.serial == serial);
            if is_known {
                tidegate.session.handle_reset(key, Directions::Receiving, ChannelCode::BadUtf8, Vec::new());
            }
            is_known
        });
        self.taken(origin);
        if known == Some(true) {
            self.peer_ended(key, ChannelEnd::Reset { code: ChannelCode::BadUtf8, detail: Vec::new() });
        }
    }

    /// The connection is gone, with this close code.
    pub(in crate::driver) fn lose_session(&self, code: u16) {
        let now = self.clock.now();
        if self.with(|tidegate| tidegate.session.handle_lost_for_good(now, code)).is_some() {
            self.drain_tidegate(&[]);
        }
    }

    /// The final word of the connection, with what the session has to add.
    pub(in crate::driver) fn end_tidegate(&self, mut closed: Closed) -> Closed {
        self.lose_session(closed.code);
        let over = self.with(|tidegate| tidegate.over).flatten();
        if let Some(over) = over {
            // The connection's own queue has had nothing to do with messages.
            (closed.unsent, closed.unknown) = (over.unsent, over.unknown);
            closed.cause = CloseCause::of_session(over.cause).unwrap_or(closed.cause);
        }
        closed
    }

    /// Carries out what the session wants. `message` is what it was given last. Returns whether there was anything, and
    /// when it wants to be called again.
    pub(in crate::driver) fn drain_tidegate(&self, message: &[u8]) -> (bool, Option<Timestamp>) {
        let mut any = false;
        loop {
            let room = self.transport.has_room();
            let Some(output) = self.with(|tidegate| tidegate.session.poll_output(room)) else {
                return (any, None);
            };
            match output {
                Output::Blocked(due) | Output::Timeout(due) => {
                    if any {
                        self.outlet.settle(|| self.gauges());
                    }
                    return (any, due);
                }
                // A connection that does not take it is about to be reported as closed.
                Output::Transmit(out) => _ = self.transport.send_records(out),
                Output::Look => {
                    let amount = self.transport.buffered_amount();
                    let now = self.clock.now();
                    self.with(|tidegate| tidegate.session.handle_amount(now, amount));
                }
                Output::Fetch { id, slot, range } => self.transport.fetch(slot, range, FetchToken::Send(id)),
                Output::Release(slot) => self.transport.release(slot),
                Output::Close(code) => self.close_connection(code),
                Output::Event(event) => self.tell(event, message),
            }
            any = true;
        }
    }

    /// The session is done with the connection.
    fn close_connection(&self, code: u16) {
        let now = self.clock.now();
        let told = self
            .with(|tidegate| (tidegate.closing.take(), tidegate.session.is_silent(), tidegate.is_shut_down));
        let (asked, is_silent, is_shut_down) = told.unwrap_or_default();
        let limit = if is_silent { SILENT_CLOSE_WITHIN } else { CLOSE_WITHIN };
        let (code, reason, within) = match asked {
            Some((request, due)) => {
                let left = due.map(|due| due.saturating_since(now));
                if code == IN_GOOD_ORDER {
                    // Any other code of the application's would mean that the session goes on.
                    let code = if request.code == Some(1000) { 1000 } else { code };
                    (code, request.reason, left.into_iter().chain(is_shut_down.then_some(limit)).min())
                } else {
                    (code, Reason::default(), Some(left.map_or(limit, |left| left.min(limit))))
                }
            }
            None => (code, Reason::default(), Some(limit)),
        };
        self.outlet.stop_sending();
        let request = CloseRequest { code: Some(code), reason, within, flush: false };
        self.session.borrow_mut().handle_close(now, request);
    }

    /// Tells the handles.
    fn tell(&self, event: Event, message: &[u8]) {
        match event {
            Event::Attached { .. } => self.outlet.attached(&self.transport),
            Event::Resume(_) => {
                // No session outlives its connection here yet.
                self.with(|tidegate| tidegate.session.refuse(RefusedCode::UnknownSession, 0));
            }
            // What follows is the end: see `lose_session`.
            Event::Detached { .. } => {}
            Event::Incoming { channel, kind, name, priority, .. } => {
                self.offered(kind, Offered { key: channel, name, priority });
            }
            Event::Accepted(key) => {
                if let Some(id) = self.named(key) {
                    self.outlet.channel_accepted(id);
                }
            }
            #[cfg(feature = "js")]
            Event::Chunk(chunk) => {
                let _ = message;
                let cost = chunk.last.unwrap_or(0);
                let entry = self.with(|tidegate| {
                    let entry = tidegate.entry(chunk.channel)?;
                    entry.untaken = entry.untaken.saturating_add(cost);
                    Some((entry.whose, entry.serial))
                });
                if let Some((whose, serial)) = entry.flatten() {
                    let origin = Origin { key: chunk.channel, serial, cost };
                    self.outlet.chunk(whose.channel(), &chunk, origin);
                }
            }
            #[cfg(feature = "client")]
            Event::Chunk(chunk) => {
                let item = self.with(|tidegate| tidegate.chunk(chunk, message)).flatten();
                if let Some((whose, payload, origin)) = item {
                    self.outlet.deliver_item(whose.channel(), payload, origin);
                }
            }
            #[cfg(feature = "js")]
            Event::Void(key) => self.outlet.void(key),
            #[cfg(feature = "client")]
            Event::Void(key) => {
                self.with(|tidegate| tidegate.entry(key).map(|entry| entry.arriving.take()));
            }
            Event::PeerEnded { channel, code, detail } => {
                let end = match code {
                    None => ChannelEnd::Closed,
                    Some(code) => ChannelEnd::Reset { code, detail },
                };
                self.peer_ended(channel, end);
            }
            Event::PeerStopped { channel, code, detail } => {
                self.peer_stopped(channel, ChannelEnd::Reset { code, detail });
            }
            Event::Closed { tag, reset } => {
                let end = reset.map(|(code, detail)| ChannelEnd::Reset { code, detail });
                self.outlet.channel_stopped(ChannelId(tag), end.unwrap_or(ChannelEnd::Closed));
            }
            Event::Done(done) => match self.with(|tidegate| tidegate.finish(done)).flatten() {
                Some((None, done)) => self.outlet.done(done),
                Some((Some(id), done)) => self.outlet.channel_done(id, done),
                None => {}
            },
            Event::GoingAway(going) => {
                // First: whoever hears that nothing is taken any more may ask why.
                self.outlet.going_away(going);
                self.outlet.stop_sending();
                self.outlet.take_commands(self);
                self.with(Tidegate::close_lanes);
            }
            Event::Over(over) => {
                #[cfg(feature = "client")]
                if let Cause::Peer { why, .. } = over.cause {
                    self.outlet.failed(TransportError::Records { why });
                }
                // The server may never close (PROTOCOL section 10.2), and no second HELLO is sent here.
                if let Cause::Refused { code, .. } = over.cause {
                    self.close_connection(code.close_code());
                }
                // Whoever waits for the connection has waited long enough, and a server that says nothing need not answer
                // a close either.
                if over.cause == Cause::NoGreeting && self.connect_due.is_some() {
                    self.hurry(Some(Duration::ZERO));
                }
                self.with(|tidegate| {
                    tidegate.over = Some(over);
                    tidegate.entries.clear();
                });
                self.outlet.channels_over(self);
            }
        }
    }

    fn named(&self, key: ChannelKey) -> Option<ChannelId> {
        self.with(|tidegate| tidegate.whose(key)).flatten()?.channel()
    }

    /// The peer has opened a channel.
    fn offered(&self, kind: ChannelKind, offered: Offered) {
        let key = offered.key;
        match kind {
            ChannelKind::Items if offered.name.is_empty() => {
                self.with(|tidegate| tidegate.enter(key, Whose::Connection, false));
            }
            ChannelKind::Items => {
                let id = self.outlet.channel_offered(offered);
                self.take_channel(key, id);
            }
            _ => {
                let code = ChannelCode::UnsupportedKind;
                self.with(|tidegate| {
                    tidegate.session.handle_reset(key, Directions::Both, code, Vec::new());
                    tidegate.session.handle_dropped(key);
                });
            }
        }
    }

    /// The peer sends nothing more on a channel.
    fn peer_ended(&self, key: ChannelKey, end: ChannelEnd) {
        let whose = self.with(|tidegate| {
            let entry = tidegate.entry(key)?;
            #[cfg(feature = "client")]
            {
                entry.arriving = None;
            }
            let (whose, is_own) = (entry.whose, entry.is_own);
            if whose == Whose::Connection && !is_own {
                tidegate.leave(key);
            }
            Some(whose)
        });
        if let Some(Whose::Channel(id)) = whose.flatten() {
            self.outlet.channel_ended(id, end);
        }
    }

    /// The peer wants nothing more on a channel.
    fn peer_stopped(&self, key: ChannelKey, end: ChannelEnd) {
        let whose = self.with(|tidegate| {
            let whose = tidegate.whose(key)?;
            // On those that the peer has opened nothing is ever sent.
            if whose == Whose::Connection && tidegate.entry(key)?.is_own {
                tidegate.lanes.end(key);
                tidegate.leave(key);
            }
            Some(whose)
        });
        if let Some(Whose::Channel(id)) = whose.flatten() {
            self.outlet.channel_stopped(id, end);
        }
    }
}

fn millis(time: Option<Duration>) -> u64 {
    // The most that a record can say.
    const MOST: u64 = (1 << 53) - 1;
    #[cfg(feature = "client")]
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(MOST);
    #[cfg(feature = "js")]
    let millis = Duration::as_millis;
    time.map_or(MOST, millis).min(MOST)
}
