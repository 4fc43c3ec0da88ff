//! Tidegate mode: a session of `tidegate.v1` over the driver's connection.
//!
//! The session of plain mode stays: it opens and closes the connection, and its queue is empty. Between, messages are items of
//! channels. A message that names no channel goes on a *lane*: a channel without a name, one for each class and
//! flow that is in use, so that what holds in plain mode holds here: order within a class and flow, none
//! across. What arrives on any channel without a name is a message of the connection.
//!
//! Not here: the protocol (`proto::v1`), what handles share with the driver (the hub's).

mod drive;
mod lanes;

use alloc::string::String;
use alloc::vec::Vec;

pub use self::drive::ChannelEnd;
pub(crate) use self::drive::Offered;
use self::lanes::Lanes;
#[cfg(feature = "client")]
use crate::proto::v1::Chunk;
use crate::proto::v1::{
    BudgetConfig, ChannelCode, ChannelKey, ChannelKind, Directions, NewItem, OpenError, Over, Session,
    SessionConfig, Settings, Side,
};
use crate::proto::{CloseRequest, Done, Flow, MessageId, NewMessage, Payload, Priority, TicketId};
use crate::slab::Slab;
use crate::time::{Duration, Timestamp};

/// The subprotocol.
pub(crate) const SUBPROTOCOL: &str = "tidegate.v1";

/// The largest message that the host's transport puts together in this mode, in bytes. A quarter more than a peer may send:
/// one a little above that is answered by its own code, and of one without an end no more is kept.
#[cfg(feature = "native")]
pub(crate) const MOST_MESSAGE_BYTES: u64 = 320 << 10;

/// By what driver and outlet know a channel that has a name. Never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChannelId(pub(crate) u64);

/// Where an item came from, for the credit that its channel is due once it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) key: ChannelKey,
    pub(crate) serial: u32,
    /// What it has cost.
    pub(crate) cost: u64,
}

impl Origin {
    /// Whether both are of the same channel.
    pub(crate) fn is_with(&self, other: &Self) -> bool {
        (self.key, self.serial) == (other.key, other.serial)
    }
}

/// How a session is made where the server speaks `tidegate.v1`.
#[derive(Clone, Debug)]
pub(crate) struct TidegateConfig {
    pub(crate) session: SessionConfig,
    /// Decides what is sent that means nothing; 0 for nothing of the sort.
    pub(crate) random: u64,
}

impl TidegateConfig {
    /// Of the options that users have. Values out of their range become the nearest that are in it: a server's have to be no
    /// less than what a client may assume before it is told (PROTOCOL section 5.4).
    pub(crate) fn new(
        side: Side,
        random: u64,
        [max_channels, max_message_bytes]: [u32; 2],
        max_queued_bytes: u64,
        delay: Duration,
    ) -> Self {
        const LEAST_WINDOW: u64 = 65_536;
        let (mut session, least_channels, least_item) = match side {
            Side::Client => (SessionConfig::client(), 0, 1_024),
            Side::Server { .. } => (SessionConfig::server(), 16, 57_344),
        };
        let max_channels = max_channels.clamp(least_channels, 65_535);
        let share = max_queued_bytes / u64::from(max_channels).max(1);
        let initial_window = share.clamp(LEAST_WINDOW, 1 << 20);
        let max_item = max_message_bytes.clamp(least_item, 14_913_024);
        let window = u64::from(max_item).saturating_add(u64::from(max_item) / 8).saturating_add(64);
        session.settings = Settings {
            max_channels,
            initial_window: u32::try_from(initial_window).unwrap_or(u32::MAX),
            // What the peer may send where no ACCEPT says more. As much as the window admits, item and an eighth (PROTOCOL
            // section 7.6).
            max_item_bytes: u32::try_from((initial_window - 64) / 9 * 8).unwrap_or(u32::MAX).min(max_item),
            ..session.settings
        };
        session.channel_max_item = u64::from(max_item);
        session.channel_window = window.clamp(initial_window, 16 << 20);
        session.rx_budget =
            max_queued_bytes.max(initial_window.saturating_mul(u64::from(max_channels).max(1)));
        session.budget = BudgetConfig { delay, ..session.budget };
        session.side = side;
        Self { session, random }
    }

    /// The connection takes no WebSocket message of more than `bytes`. The peer is told so as far as PROTOCOL section 5.4
    /// allows that to be said: of a server it is what a client may assume before it is told.
    #[cfg(any(feature = "js", all(feature = "native", not(target_family = "wasm"))))]
    pub(crate) fn bound_messages(&mut self, bytes: u64) {
        let least = if self.session.side == Side::Client { 8_192 } else { 65_535 };
        let most = &mut self.session.settings.max_message_bytes;
        *most = u32::try_from(bytes).unwrap_or(u32::MAX).max(least).min(*most);
    }

    /// The peer is asked after such a silence, and gone after two and a quarter of it: of 20 s, the 45 s of PROTOCOL section
    /// 5.4, which has the range as well. `None`: the most.
    #[cfg(any(feature = "js", all(feature = "native", not(target_family = "wasm"))))]
    pub(crate) fn ping_after(&mut self, silence: Option<Duration>) {
        const LONGEST: Duration = Duration::from_secs(300);
        let silence = silence.unwrap_or(LONGEST).clamp(Duration::from_secs(1), LONGEST).as_millis();
        let [ping, idle] = [silence, silence * 9 / 4].map(|time| u32::try_from(time).unwrap_or(u32::MAX));
        let settings = &mut self.session.settings;
        (settings.ping_interval_ms, settings.idle_timeout_ms) = (ping, idle);
    }
}

/// Whose items a channel carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The connection's.
    Connection,
    /// Those of a channel with a name.
    Channel(ChannelId),
}

impl Whose {
    fn channel(self) -> Option<ChannelId> {
        match self {
            Self::Connection => None,
            Self::Channel(id) => Some(id),
        }
    }
}

#[derive(Debug)]
struct Entry {
    serial: u32,
    whose: Whose,
    is_own: bool,
    /// What the items have cost that have arrived and were not taken.
    untaken: u64,
    /// Nobody uses it, but for what is not taken: so that this takes the room of a channel.
    is_left: bool,
    #[cfg(feature = "client")]
    arriving: Option<Arriving>,
}

/// An item of which a part has arrived.
#[cfg(feature = "client")]
#[derive(Debug)]
struct Arriving {
    is_text: bool,
    /// Its size, if that is known.
    total: Option<usize>,
    bytes: Vec<u8>,
}

/// What is remembered of a message until it ends.
#[derive(Debug)]
struct Sent {
    ticket: Option<TicketId>,
    priority: Priority,
    flow: Flow,
    on: On,
}

/// What a message was sent on.
#[derive(Clone, Copy, Debug)]
enum On {
    Lane(u32),
    Channel(ChannelId),
}

/// How many times what has arrived of an item there is room for, as far as its size is known: what grows twofold is copied once
/// more on the way.
#[cfg(feature = "client")]
const AHEAD: usize = 4;

/// See the module's page.
#[derive(Debug)]
pub(super) struct Tidegate {
    session: Session,
    /// Window and largest item of a channel that has a name.
    receives: [u64; 2],
    /// By the number of the key.
    entries: Vec<Option<Entry>>,
    serial: u32,
    lanes: Lanes,
    sent: Slab<Sent>,
    /// What the caller of `close` wants the peer to be told, and until when it waits.
    closing: Option<(CloseRequest, Option<Timestamp>)>,
    /// This side goes away with others, which is to be over at some time.
    is_shut_down: bool,
    /// How the session has ended.
    over: Option<Over>,
}

impl Tidegate {
    fn new(now: Timestamp, config: TidegateConfig) -> Self {
        let random = config.random;
        let receives = [config.session.channel_window, config.session.channel_max_item];
        let mut session = Session::new(now, config.session);
        session.handle_attached(now, random);
        Self {
            session,
            receives,
            entries: Vec::new(),
            serial: 0,
            lanes: Lanes::default(),
            sent: Slab::default(),
            closing: None,
            is_shut_down: false,
            over: None,
        }
    }

    /// A message of the connection.
    fn send(&mut self, now: Timestamp, new: NewMessage) -> Result<MessageId, Payload> {
        let (priority, flow) = (new.priority, new.flow);
        let Some((lane, key)) = self.lane(priority, flow) else { return Err(new.payload) };
        let sent = self.send_item(now, key, On::Lane(lane), new);
        if sent.is_ok() {
            self.lanes.enter(lane);
        } else if let Some(key) = self.lanes.forget_if_idle(lane) {
            self.leave(key);
        }
        sent
    }

    /// A message on a channel.
    fn send_on(
        &mut self,
        now: Timestamp,
        (id, key): (ChannelId, ChannelKey),
        new: NewMessage,
    ) -> Result<MessageId, Payload> {
        self.send_item(now, key, On::Channel(id), new)
    }

    fn send_item(
        &mut self,
        now: Timestamp,
        key: ChannelKey,
        on: On,
        new: NewMessage,
    ) -> Result<MessageId, Payload> {
        let NewMessage { priority, flow, payload, deadline, replaces, ticket } = new;
        let number = self.sent.insert(Sent { ticket, priority, flow, on });
        let ticket = Some(TicketId(core::num::NonZeroU64::MIN.saturating_add(u64::from(number))));
        let sent = self.session.handle_send(now, key, NewItem { payload, deadline, replaces, ticket });
        if sent.is_err() {
            self.sent.remove(number);
        }
        sent
    }

    /// A message has ended. Gives its end as whoever has sent it knows it, and on which channel.
    fn finish(&mut self, done: Done) -> Option<(Option<ChannelId>, Done)> {
        let number = u32::try_from(done.ticket?.0.get() - 1).ok()?;
        let Sent { ticket, priority, flow, on } = self.sent.remove(number)?;
        let done = Done { ticket, priority, flow, ..done };
        match on {
            On::Channel(id) => Some((Some(id), done)),
            On::Lane(lane) => {
                if let Some(key) = self.lanes.leave(lane) {
                    self.leave(key);
                }
                Some((None, done))
            }
        }
    }

    /// The lane of a class and flow, and its channel, which is opened if need be. `None` if that cannot be.
    fn lane(&mut self, priority: Priority, flow: Flow) -> Option<(u32, ChannelKey)> {
        if let Some(known) = self.lanes.find(priority, flow) {
            return Some(known);
        }
        if flow != Flow::default() && self.lanes.are_many() {
            // Beside the messages of its class that have no flow, in their order.
            let (host, _) = self.lane(priority, Flow::default())?;
            return self.lanes.insert_guest(priority, flow, host);
        }
        let key = self.session.open(ChannelKind::Items, String::new(), Vec::new(), priority).ok()?;
        self.enter(key, Whose::Connection, true);
        Some((self.lanes.insert(priority, flow, key), key))
    }

    /// Opens a channel.
    fn open(&mut self, id: ChannelId, name: String, priority: Priority) -> Result<ChannelKey, OpenError> {
        let key = self.session.open(ChannelKind::Items, name, Vec::new(), priority)?;
        // The peer may answer with as much as it takes itself. On a lane it never does.
        let [window, max_item] = self.receives;
        self.session.handle_accept(key, window, max_item);
        self.enter(key, Whose::Channel(id), true);
        Ok(key)
    }

    fn enter(&mut self, key: ChannelKey, whose: Whose, is_own: bool) {
        self.serial = self.serial.wrapping_add(1);
        let at = key.0 as usize;
        if self.entries.len() <= at {
            self.entries.resize_with(at + 1, || None);
        }
        if let Some(place) = self.entries.get_mut(at) {
            *place = Some(Entry {
                serial: self.serial,
                whose,
                is_own,
                untaken: 0,
                is_left: false,
                #[cfg(feature = "client")]
                arriving: None,
            });
        }
    }

    fn entry(&mut self, key: ChannelKey) -> Option<&mut Entry> {
        self.entries.get_mut(key.0 as usize)?.as_mut()
    }

    fn whose(&mut self, key: ChannelKey) -> Option<Whose> {
        self.entry(key).map(|entry| entry.whose)
    }

    /// Nobody uses a channel any more.
    fn drop_channel(&mut self, key: ChannelKey) {
        if let Some(entry) = self.entries.get_mut(key.0 as usize)
            && entry.take().is_some()
        {
            self.session.handle_dropped(key);
        }
    }

    /// An item was taken by the application.
    fn taken(&mut self, now: Timestamp, origin: Origin) {
        let Origin { key, serial, cost } = origin;
        let Some(entry) = self.entry(key).filter(|entry| entry.serial == serial) else { return };
        entry.untaken = entry.untaken.saturating_sub(cost);
        let is_over = entry.is_left && entry.untaken == 0;
        self.session.handle_taken(now, key, cost);
        if is_over {
            self.drop_channel(key);
        }
    }

    /// A part of an item has arrived in `message`. Gives the item if it is whole now, and whose it is.
    #[cfg(feature = "client")]
    fn chunk(&mut self, chunk: Chunk, message: &[u8]) -> Option<(Whose, Payload, Origin)> {
        let Chunk { channel: key, range, first, last } = chunk;
        let part = message.get(range).unwrap_or_default();
        let entry = self.entry(key)?;
        if let Some((is_text, total)) = first {
            let total = total.and_then(|total| usize::try_from(total).ok());
            entry.arriving = Some(Arriving { is_text, total, bytes: Vec::new() });
        }
        let Arriving { total, bytes, .. } = entry.arriving.as_mut()?;
        let arrived = bytes.len() + part.len();
        if let Some(total) = *total
            && arrived > bytes.capacity()
        {
            bytes.reserve_exact(total.min(arrived.saturating_mul(AHEAD)).saturating_sub(bytes.len()));
        }
        bytes.extend_from_slice(part);
        let cost = last?;
        entry.untaken = entry.untaken.saturating_add(cost);
        let Arriving { is_text, bytes, .. } = entry.arriving.take()?;
        let payload = if is_text {
            // The session has looked at it; otherwise it would be the session that is wrong.
            Payload::Text(String::from_utf8(bytes).ok()?)
        } else {
            Payload::Binary(bytes)
        };
        Some((entry.whose, payload, Origin { key, serial: entry.serial, cost }))
    }

    /// A channel without a name is not used any more, but for what has arrived on it.
    fn leave(&mut self, key: ChannelKey) {
        let Some(entry) = self.entry(key) else { return };
        entry.is_left = true;
        // Else the peer could use one after the other, and nothing would bound what waits to be taken.
        if entry.untaken == 0 {
            self.drop_channel(key);
        } else {
            self.session.handle_close_channel(key);
            self.session.handle_reset(key, Directions::Receiving, ChannelCode::Cancelled, Vec::new());
        }
    }

    /// Lanes send nothing any more once what is queued on them has gone.
    fn close_lanes(&mut self) {
        for key in self.lanes.keys() {
            self.session.handle_close_channel(key);
        }
    }
}
