//! One session: what survives connections. Greeting, channels, the log, the end.
//!
//! `handle_*` takes input, [`Session::poll_output`] gives one output at a time, until [`Output::Timeout`] or
//! [`Output::Blocked`]. Outputs are to be polled before the next message is given: a [`Event::Chunk`] names a range of it.
//!
//! | phase | until |
//! |---|---|
//! | `Detached` | a connection is attached, or the time to resume is over |
//! | `Greeting` | the peer's first record |
//! | `Open` | the connection is lost, or the session ends |
//! | `Over` | – |
//!
//! Not here: connections and when to try again, timers, content of items, sessions of other peers.

mod channels;
mod config;
mod controls;
mod ends;
mod greeting;
mod output;
mod phase;
mod receive;
mod schedule;
mod send;
mod waiting;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

pub use self::config::{SessionConfig, Side};
use self::controls::Control;
use self::greeting::Greeting;
pub use self::output::{
    Cause, Chunk, Event, Gauges, GoingAway, NewItem, OpenError, Output, Over, ResumeRequest,
};
use self::phase::Phase;
use self::waiting::{Acks, Drain, Loose};
use super::abuse::Bucket;
use super::budget::Budget;
use super::channel::{Channel, ChannelKey, ChannelKind, Directions, Rx, Stage, Stop, Tx};
use super::code::{ChannelCode, FatalCode};
use super::flow::{RecvWindow, SendWindow};
use super::liveness::Liveness;
use super::mux::Mux;
use super::record::Meta;
use super::replay::{Log, SourceKey, Sources};
use super::settings::Settings;
use crate::proto::outcome::{Amount, Outcome};
use crate::proto::payload::{FetchId, Payload, Slot};
pub use crate::proto::payload::{Insert, Outgoing};
use crate::proto::send::{Flow, MessageId, NewMessage, Priority, SendQueue};
use crate::slab::Ascending;
use crate::time::Timestamp;

/// Bytes of a token.
pub const TOKEN_BYTES: usize = 32;

/// How much of a Blob is read at once, in bytes.
const BLOCK_BYTES: u64 = 256 << 10;

/// By what a peer finds its session again: 256 random bits.
pub type Token = [u8; TOKEN_BYTES];

/// See the module's page.
#[derive(Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own about the present connection"
)]
pub struct Session {
    config: SessionConfig,
    /// What the peer has announced.
    peer: Settings,
    phase: Phase,
    now: Timestamp,
    token: Option<Token>,
    resume_ttl_s: u64,
    /// Of the server, for the next connection.
    hint: String,
    /// How many connections have got as far as an answer to the greeting.
    epoch: u64,
    greeting: Greeting,
    /// CHAN_LIMIT and CREDIT are to be said again, after what was lost.
    restates: bool,
    retry_after_ms: u64,
    mux: Mux,
    queue: SendQueue,
    sources: Sources,
    log: Log,
    budget: Budget,
    bucket: Bucket,
    liveness: Liveness,
    acks: Acks,
    loose: Loose,
    controls: VecDeque<Control>,
    /// How many RESETs wait by which the peer, who knows their channels, is to stop.
    stops: u64,
    /// Channels whose OPEN waits, by their places.
    opens: Ascending<ChannelKey>,
    /// Something waits for acknowledgements, for its pace, or for the connection's buffer.
    is_blocked: bool,
    /// It is the connection's buffer that it waits for.
    is_buffer_full: bool,
    /// The connection was given up since nothing came over it.
    is_silent: bool,
    /// Until when the session may take to end.
    drain: Option<Drain>,
    /// What this side has to say about it, on each connection.
    goaway: Option<GoingAway>,
    /// The peer handles so many of this side's channels only.
    peer_handles: Option<u64>,
    /// Why the session is to end, as the peer has said with that.
    announced: Option<FatalCode>,
    /// This side handles so many of the peer's channels only.
    handles: Option<u64>,
    /// Bytes that may be given to the connection before it is looked at again.
    allowance: u64,
    has_looked: bool,
    looked_at: Timestamp,
    wants_look: bool,
    /// Since when something is under way of which nothing was acknowledged.
    waits_since: Option<Timestamp>,
    /// Channels for which the peer wants another class, and when such a wish was last granted.
    wishes: VecDeque<ChannelKey>,
    wished_at: Option<Timestamp>,
    /// Reads that have not ended, and for which channels.
    reads: Ascending<ChannelKey>,
    /// Sum of the windows of all channels.
    windows: u64,
    /// How many of the peer's channels have one.
    receiving: u64,
    /// Decides what means nothing; 0 for nothing of the sort.
    random: u64,
    fetches: u64,
    unsent: Amount,
    unknown: Amount,
    pending: VecDeque<Output>,
}

impl Session {
    /// A session without a connection.
    #[must_use]
    pub fn new(now: Timestamp, config: SessionConfig) -> Self {
        let is_server = config.is_server();
        let peer = Settings::default();
        let (token, resume_ttl_s) = match &config.side {
            Side::Server { resume: Some((seconds, token)), .. } => (Some(*token), *seconds),
            _ => (None, 0),
        };
        let mut budget = Budget::new(config.budget);
        let replay_limit = u64::from(config.settings.replay_limit_bytes);
        budget.set_limits(peer.max_message_bytes.saturating_sub(31), replay_limit);
        let mut log = Log::new();
        if is_server && token.is_none() {
            log.forget_content();
        }
        Self {
            mux: Mux::new(is_server, u64::from(peer.max_channels), u64::from(config.settings.max_channels)),
            queue: SendQueue::new(config.queue),
            peer,
            phase: Phase::Detached { until: None },
            now,
            token,
            resume_ttl_s,
            hint: String::new(),
            epoch: 0,
            greeting: Greeting::Said,
            restates: false,
            retry_after_ms: 0,
            sources: Sources::default(),
            log,
            budget,
            bucket: Bucket::new(now),
            liveness: Liveness::new(is_server),
            acks: Acks::default(),
            loose: Loose::default(),
            controls: VecDeque::new(),
            stops: 0,
            opens: Ascending::default(),
            is_blocked: false,
            is_silent: false,
            is_buffer_full: false,
            drain: None,
            goaway: None,
            peer_handles: None,
            announced: None,
            handles: None,
            allowance: 0,
            has_looked: false,
            looked_at: now,
            wants_look: false,
            waits_since: None,
            wishes: VecDeque::new(),
            wished_at: None,
            reads: Ascending::default(),
            windows: 0,
            receiving: 0,
            random: 0,
            fetches: 0,
            unsent: Amount::default(),
            unknown: Amount::default(),
            pending: VecDeque::new(),
            config,
        }
    }

    /// Opens a channel. What is sent on it goes at `priority`; the peer is asked to answer at the same.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]; nothing has happened then.
    pub fn open(
        &mut self,
        kind: ChannelKind,
        name: String,
        meta: Vec<u8>,
        priority: Priority,
    ) -> Result<ChannelKey, OpenError> {
        if self.is_ending() || self.peer_handles.is_some() {
            return Err(OpenError::Closing);
        }
        if name.len() as u64 > u64::from(self.peer.max_name_bytes) {
            return Err(OpenError::NameTooLong(self.peer.max_name_bytes));
        }
        if meta.len() as u64 > u64::from(self.peer.max_meta_bytes) {
            return Err(OpenError::MetaTooLong(self.peer.max_meta_bytes));
        }
        // The peer would end the session for it.
        Meta::new(&meta).check().map_err(OpenError::BadMeta)?;
        let place = self.opens.next_key();
        let channel = self.channel(Stage::Pending { name, meta, place }, true, kind, priority);
        let key = self.mux.insert(channel);
        self.opens.insert(place, key);
        Ok(key)
    }

    /// How much windows may grow: what is promised to channels that the peer may still open is kept for them.
    fn spare(&self) -> u64 {
        let settings = &self.config.settings;
        let unopened = u64::from(settings.max_channels).saturating_sub(self.receiving);
        let promised = unopened.saturating_mul(u64::from(settings.initial_window));
        self.config.rx_budget.saturating_sub(self.windows.saturating_add(promised))
    }

    /// How much of that the channels that this side opens leave to those of the peer, or else a few of them would take
    /// all, and the peer's messages that name no channel could not be large any more.
    fn kept_for_peer(&self) -> u64 {
        let settings = &self.config.settings;
        let promised = u64::from(settings.max_channels).saturating_mul(u64::from(settings.initial_window));
        self.config.rx_budget.saturating_sub(promised) / 2
    }

    fn channel(&mut self, stage: Stage, is_own: bool, kind: ChannelKind, class: Priority) -> Channel {
        let settings = &self.config.settings;
        let sends = SendWindow::new(u64::from(self.peer.initial_window));
        let receives =
            RecvWindow::new(u64::from(settings.initial_window), u64::from(settings.max_item_bytes));
        self.windows += receives.window();
        let mut channel = Channel::new(stage, is_own, kind, class, (sends, receives));
        channel.max_item = u64::from(self.peer.max_item_bytes);
        channel
    }

    /// An item to send on a channel. Gives its name, by which it can be cancelled or replaced.
    ///
    /// # Errors
    ///
    /// Gives the payload back if nothing can be sent there any more; nothing was counted.
    pub fn handle_send(
        &mut self,
        now: Timestamp,
        channel: ChannelKey,
        item: NewItem,
    ) -> Result<MessageId, Payload> {
        self.now = now;
        let takes_items = !self.is_ending() || self.lets_channels_finish();
        let Some(state) = self.mux.get(channel).filter(|state| takes_items && state.tx == Tx::Open) else {
            return Err(item.payload);
        };
        let begun = state.begun.as_ref().map(|begun| begun.done.id);
        let NewItem { payload, deadline, replaces, ticket } = item;
        let (priority, flow) = (state.class, Flow(channel.0));
        // What has begun goes on to its end.
        let replaces = replaces.filter(|id| Some(*id) != begun);
        let (elsewhere, replaces) = match replaces.and_then(|id| self.queue.flow_of(id)) {
            None => (None, None),
            Some(its) if its == flow => (None, replaces),
            Some(_) => (replaces, None),
        };
        let is_late = deadline.is_some_and(|due| due <= now);
        if let Some(other) = elsewhere {
            self.take_out(other, Outcome::Superseded);
        }
        let new = NewMessage { priority, flow, payload, deadline, replaces, ticket };
        let (id, old) = self.queue.push(now, new);
        if let Some(old) = old {
            self.finish_queued(&old, Outcome::Superseded);
        }
        if is_late && let Some(item) = self.queue.remove(id) {
            self.finish_queued(&item, Outcome::Expired);
        }
        Ok(id)
    }

    /// Takes an item out of the queue. Its end follows as [`Event::Done`]. Returns whether it was still there; one
    /// that has begun is not.
    pub fn handle_cancel(&mut self, id: MessageId) -> bool {
        self.take_out(id, Outcome::Cancelled)
    }

    /// Takes an item that has not begun out of the queue. Returns whether it was there.
    fn take_out(&mut self, id: MessageId, outcome: Outcome) -> bool {
        let Some(flow) = self.queue.flow_of(id) else { return false };
        let key = ChannelKey(flow.0);
        let begun = self.mux.get(key).and_then(|state| state.begun.as_ref());
        if begun.is_some_and(|begun| begun.done.id == id) {
            return false;
        }
        let Some(item) = self.queue.remove(id) else { return false };
        self.finish_queued(&item, outcome);
        self.close_if_sent(key);
        true
    }

    /// Nothing more is sent on this channel. What is queued goes first.
    pub fn handle_close_channel(&mut self, key: ChannelKey) {
        if let Some(channel) = self.mux.get_mut(key)
            && channel.tx == Tx::Open
        {
            channel.tx = Tx::Closing;
            self.close_if_sent(key);
        }
    }

    /// Ends one direction of a channel or both at once, with what is queued there.
    ///
    /// `detail` is cut to 1,024 bytes. Directions that have ended stay as they are. Of a channel that the peer has not heard
    /// of, both end with the sending one. Once the session is over nothing happens.
    pub fn handle_reset(
        &mut self,
        key: ChannelKey,
        directions: Directions,
        code: ChannelCode,
        mut detail: Vec<u8>,
    ) {
        if self.phase == Phase::Over {
            // Everything has had its end.
            return;
        }
        detail.truncate(1024);
        let Some(channel) = self.mux.get_mut(key) else { return };
        let sending = directions.sending() && matches!(channel.tx, Tx::Open | Tx::Closing);
        let receiving = directions.receiving() && channel.rx == Rx::Open;
        let still_receives = channel.rx == Rx::Open && !receiving;
        let Some(directions) = Directions::of(sending, receiving) else { return };
        if sending {
            self.tell_reset(key, code, &detail);
        }
        let Some(channel) = self.mux.get_mut(key) else { return };
        if sending && matches!(channel.stage, Stage::Pending { .. }) {
            // The peer has never heard of it.
            self.leave_line(key);
            if let Some(channel) = self.mux.get_mut(key) {
                (channel.tx, channel.rx) = (Tx::Ended, Rx::Ended);
            }
            self.drop_items(key, Outcome::Cancelled);
            if still_receives {
                self.event(Event::PeerEnded { channel: key, code: Some(code), detail: Vec::new() });
            }
            self.forget_if_over(key);
            return;
        }
        if sending {
            self.stop_sending(key, Outcome::Cancelled);
        }
        if receiving {
            self.stop_receiving(key);
            self.say_stop(key, Stop { directions, code, detail });
        } else {
            self.say_reset(key, code, detail);
        }
    }

    /// The application has taken items of this channel, for which [`Chunk::last`] has named the cost.
    pub fn handle_taken(&mut self, now: Timestamp, key: ChannelKey, cost: u64) {
        self.now = now;
        self.consume(key, cost);
    }

    /// Nobody uses this channel here any more: what is queued goes, and nothing more is wanted of the peer. After this
    /// the key may name another channel.
    pub fn handle_dropped(&mut self, key: ChannelKey) {
        let Some(channel) = self.mux.get(key) else { return };
        if matches!(channel.stage, Stage::Pending { .. }) && self.queue.is_flow_empty(Flow(key.0)) {
            // Nor need the peer hear of it.
            self.handle_reset(key, Directions::Both, ChannelCode::Cancelled, Vec::new());
        }
        self.handle_close_channel(key);
        self.handle_reset(key, Directions::Receiving, ChannelCode::Cancelled, Vec::new());
        if let Some(channel) = self.mux.get_mut(key) {
            channel.is_dropped = true;
            self.forget_if_over(key);
        }
    }

    /// Notes the present moment.
    pub fn handle_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// What this side receives on this channel: a window of `window` bytes and items up to `max_item`. Nothing below
    /// what is in force. Once for each channel; by itself only for channels that the peer has opened.
    ///
    /// For one that this side opens, before anything was sent on it; it goes with OPEN if that has not gone yet, and is not
    /// said at all where it makes no difference. Half of what the windows may grow by is kept for channels of the peer's.
    pub fn handle_accept(&mut self, key: ChannelKey, window: u64, max_item: u64) {
        let (spare, kept) = (self.spare(), self.kept_for_peer());
        let Some(channel) = self.mux.get_mut(key) else { return };
        if channel.has_accepted || channel.rx != Rx::Open || matches!(channel.tx, Tx::Ending | Tx::Ended) {
            return;
        }
        let is_own = channel.is_own;
        let before = channel.recv_window.window();
        let window = window.min(before + if is_own { spare.saturating_sub(kept) } else { spare });
        // An item that the window does not admit would never arrive.
        let max_item = max_item.min(largest_item(window)).max(channel.recv_window.max_item());
        let is_more = window > before || max_item > channel.recv_window.max_item();
        // PROTOCOL section 7.1: the opener's comes before its first DATA.
        if is_own && (!is_more || channel.send_window.used() > 0) {
            return;
        }
        channel.has_accepted = true;
        channel.recv_window.open(window, max_item);
        self.windows += channel.recv_window.window() - before;
        if channel.id().is_some() {
            self.say(Control::Accept(key));
        }
    }

    /// A sign that the connection may be gone: it came online, the page became visible.
    pub fn handle_probe(&mut self, now: Timestamp) {
        self.now = now;
        self.liveness.probe(now);
    }

    /// How many bytes stand in the connection's buffer.
    pub fn handle_amount(&mut self, now: Timestamp, amount: u64) {
        self.now = now;
        (self.has_looked, self.looked_at) = (true, now);
        self.allowance = self.budget.buffered_limit().saturating_sub(amount);
        if amount == 0 {
            self.allowance = self.allowance.max(1);
        }
    }

    /// A task of the host's has begun in which the connection's buffer may show less than before.
    pub fn handle_task(&mut self) {
        self.has_looked = false;
    }

    /// The answer to [`Output::Fetch`]; `None` if the host could not read it.
    pub fn handle_fetched(&mut self, id: FetchId, content: Option<Payload>) {
        self.fetched(id, content);
    }

    /// Ends the session when everything has gone and was acknowledged, or after `within_ms`. No channel is opened
    /// any more.
    pub fn handle_close(&mut self, now: Timestamp, within_ms: u64) {
        let going = self.going_away(within_ms, 0, 0);
        self.go_away(now, going, false);
    }

    /// Ends the session in good order, but at once: what is queued is not sent.
    pub fn handle_end(&mut self, now: Timestamp) {
        self.now = now;
        self.end_in_order(FatalCode::None);
    }

    /// A server goes away: what has begun may go on for `drain_ms`, then the session ends. What is queued goes, also on
    /// channels that the peer has not heard of. Clients come back after `reconnect_after_ms`, and up to `jitter_ms`
    /// later.
    pub fn handle_shutdown(
        &mut self,
        now: Timestamp,
        drain_ms: u64,
        reconnect_after_ms: u64,
        jitter_ms: u64,
    ) {
        let going = self.going_away(drain_ms, reconnect_after_ms, jitter_ms);
        self.go_away(now, going, true);
    }

    /// The name by which this session can be resumed, and for how many seconds.
    #[must_use]
    pub fn token(&self) -> Option<(&Token, u64)> {
        self.token.as_ref().map(|token| (token, self.resume_ttl_s))
    }

    /// What the server wants in the next connection's URL as `tidegate-hint`; empty for nothing.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// Whether the last event has been polled.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over) && self.pending.is_empty()
    }

    /// Whether a connection is attached to it.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        matches!(self.phase, Phase::Greeting { .. } | Phase::Open)
    }

    /// What is under way, and what may be; bytes a second, and the shortest time there and back in microseconds.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        Gauges {
            in_flight: self.budget.in_flight(),
            budget: self.budget.bytes(),
            chunk: self.budget.chunk_bytes(),
            bytes_per_second: self.budget.bytes_per_second(),
            round_trip_micros: self.budget.round_trip_micros(),
            log: self.log.bytes(),
            windows: self.windows,
            queued: self.queue.messages(),
        }
    }

    /// The class of what this side sends on a channel.
    #[must_use]
    pub fn priority(&self, key: ChannelKey) -> Option<Priority> {
        self.mux.get(key).map(|channel| channel.class)
    }

    /// Bytes of credit that a channel has, and the sum of what it has cost: for those who look for leaks.
    #[must_use]
    pub fn credit(&self, key: ChannelKey) -> Option<(u64, u64)> {
        self.mux.get(key).map(|channel| (channel.send_window.credit(), channel.send_window.used()))
    }

    /// Whether no new channel is opened, and no new item taken unless channels may finish.
    fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Over) || self.drain.is_some()
    }

    /// Whether this side goes away, and what is open is used until both sides have closed it.
    fn lets_channels_finish(&self) -> bool {
        !matches!(self.phase, Phase::Over) && self.drain.is_some_and(|drain| drain.channels)
    }

    fn event(&mut self, event: Event) {
        let output = Output::Event(event);
        if let Some(channel) = output.channel().and_then(|key| self.mux.get_mut(key)) {
            channel.events += 1;
        }
        self.pending.push_back(output);
    }

    fn release(&mut self, slot: Option<Slot>) {
        if let Some(slot) = slot {
            self.pending.push_back(Output::Release(slot));
        }
    }

    fn release_source(&mut self, source: SourceKey) {
        let slot = self.sources.release(source);
        self.release(slot);
    }

    /// What is sent on a channel goes at another priority from now on, what is queued included.
    pub fn set_priority(&mut self, key: ChannelKey, priority: Priority) {
        let Some(channel) = self.mux.get_mut(key) else { return };
        let before = core::mem::replace(&mut channel.class, priority);
        if before != priority {
            self.queue.set_priority(Flow(key.0), before, priority);
        }
    }
}

/// The largest item that arrives through a window for certain, in chunks of 512 bytes: `w >= m + floor(m / 8) + 64`.
fn largest_item(window: u64) -> u64 {
    window.saturating_sub(64) / 9 * 8
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(all(test, not(feature = "js")))]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test")]
mod tests;
