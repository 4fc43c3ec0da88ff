//! One side: a session, and an application that does things by chance and notes what comes of them.

mod acts;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tidegate::proto::Outcome;
use tidegate::proto::v1::{
    Cause, ChannelKey, ChannelKind, Chunk, Event, Output, Over, Session, SessionConfig, Settings, Side,
};
use tidegate::proto::{Done, MessageId};
use tidegate::time::Timestamp;

use crate::check::Finding;
use crate::content::NUMBER;
use crate::plan::{Plan, Reader};
use crate::random::Random;

/// An item that was sent, by its place among all of one side.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    pub(crate) is_text: bool,
    pub(crate) outcome: Option<Outcome>,
    /// By this side's clock.
    pub(crate) due: Option<u64>,
    /// When its first chunk was handed over, by the same.
    pub(crate) began: Option<u64>,
    /// Its last chunk was given to the other session.
    pub(crate) has_arrived: bool,
    /// A newer value was sent for it; and it was cancelled in time, as the session has said.
    is_replaced: bool,
    is_cancelled: bool,
    /// The largest item that the peer takes there, if it is not the default.
    takes: u64,
}

/// An item that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) is_text: bool,
    pub(crate) content: Vec<u8>,
}

/// What one side knows of a channel.
#[derive(Debug)]
pub(crate) struct Known {
    /// The same on both sides.
    pub(crate) name: String,
    kind: ChannelKind,
    is_own: bool,
    sends: bool,
    receives: bool,
    pub(crate) is_dropped: bool,
    arriving: Option<Received>,
    /// The queued item of each key.
    latest: BTreeMap<u64, (MessageId, usize)>,
}

/// The name of a stream: of the channel, and of the side that sends.
pub(crate) type Stream = (String, usize);

/// See the module's page.
pub(crate) struct End {
    pub(crate) which: usize,
    pub(crate) session: Session,
    pub(crate) random: Random,
    plan: Plan,
    pub(crate) channels: BTreeMap<ChannelKey, Known>,
    opened: u64,
    pub(crate) sent: Vec<Sent>,
    /// In what order the items of each stream are to arrive.
    pub(crate) order: BTreeMap<Stream, Vec<usize>>,
    pub(crate) received: BTreeMap<Stream, Vec<Received>>,
    /// Streams of which this side wants nothing more.
    pub(crate) unwanted: BTreeSet<Stream>,
    ids: BTreeMap<MessageId, usize>,
    /// What has arrived and was not taken: when it may be.
    waiting: VecDeque<(u64, ChannelKey, u64)>,
    pub(crate) over: Option<Over>,
    pub(crate) is_detached: bool,
    /// When the present connection came, by this side's clock.
    pub(crate) attached_at: u64,
    /// When the last connection was lost, by this side's clock.
    detached_at: u64,
    pub(crate) epochs: Vec<u64>,
    /// The session was told to close, so it takes nothing any more.
    pub(crate) is_closing: bool,
    pub(crate) going_away: bool,
    /// Until when it may take to close, by this side's clock; and whether it has, before that.
    pub(crate) closes_by: Option<u64>,
    pub(crate) closed_in_time: bool,
    /// It was told by a close code that the other side has ended the session in good order.
    pub(crate) was_told: bool,
    /// How many items were on channels that it does not open any more, since it shuts down.
    pub(crate) given_up: u64,
    /// Names of channels that the peer has opened and this side was told of, and of those that it has dropped.
    incoming: BTreeSet<String>,
    dropped: BTreeSet<String>,
    /// By how much this side's clock is ahead of the world's.
    pub(crate) ahead: u64,
    /// How late this side may find out that time has passed.
    pub(crate) late: u64,
    pub(crate) findings: Vec<Finding>,
    bytes: u64,
    /// Everything is taken at once, and nothing new is done.
    pub(crate) is_finishing: bool,
}

/// What ACCEPT announces.
const WINDOW: u64 = 600_000;
const MAX_ITEM: u64 = 400_000;

pub(crate) fn config(plan: &Plan, which: usize) -> SessionConfig {
    let mut config = if which == 0 { SessionConfig::client() } else { SessionConfig::server() };
    config.settings = Settings {
        max_channels: plan.max_channels,
        initial_window: plan.initial_window,
        max_item_bytes: plan.max_item,
        replay_limit_bytes: plan.replay_limit.max(if which == 0 { 131_072 } else { 1_048_576 }),
        ..Settings::default()
    };
    config.channel_window = WINDOW;
    config.channel_max_item = MAX_ITEM;
    config.rx_budget = plan.rx_budget;
    config.transport_takes_all = which == 0;
    if which == 1 {
        let resume = (plan.ttl > 0).then_some((plan.ttl, [7; 32]));
        config.side = Side::Server { resume, hint: String::new() };
    }
    config
}

impl End {
    pub(crate) fn new(plan: &Plan, which: usize, session: Session, ahead: u64) -> Self {
        Self {
            which,
            session,
            random: Random::new(100 + which as u64, plan.seed),
            plan: plan.clone(),
            channels: BTreeMap::new(),
            opened: 0,
            sent: Vec::new(),
            order: BTreeMap::new(),
            received: BTreeMap::new(),
            unwanted: BTreeSet::new(),
            ids: BTreeMap::new(),
            waiting: VecDeque::new(),
            over: None,
            is_detached: false,
            attached_at: 0,
            detached_at: 0,
            epochs: Vec::new(),
            is_closing: false,
            going_away: false,
            closes_by: None,
            closed_in_time: false,
            was_told: false,
            given_up: 0,
            incoming: BTreeSet::new(),
            dropped: BTreeSet::new(),
            ahead,
            late: plan.late[which],
            findings: Vec::new(),
            bytes: 0,
            is_finishing: false,
        }
    }

    /// The moment by this side's clock.
    pub(crate) fn at(&self, now: u64) -> Timestamp {
        Timestamp::from_micros(now + self.ahead)
    }

    fn wrong(&mut self, which: &'static str, what: String) {
        self.findings.push((which, what));
    }

    fn know(&mut self, key: ChannelKey, name: String, kind: ChannelKind, is_own: bool) {
        let known = Known {
            name,
            kind,
            is_own,
            sends: true,
            receives: true,
            is_dropped: false,
            arriving: None,
            latest: BTreeMap::new(),
        };
        let old = self.channels.insert(key, known);
        assert!(old.is_none_or(|old| old.is_dropped), "a key in use was given to another channel");
    }

    /// Takes what the session has to say without being driven: the ends of items.
    fn settle(&mut self, now: u64) {
        loop {
            match self.session.poll_output(false) {
                Output::Event(event) => self.handle(now, event, &[]),
                Output::Blocked(_) | Output::Timeout(_) => return,
                other => panic!("{other:?} follows from a send"),
            }
        }
    }

    /// The session has said something; `message` is what it was given last.
    pub(crate) fn handle(&mut self, now: u64, event: Event, message: &[u8]) {
        match event {
            Event::Attached { epoch } => {
                let clock = self.at(now).as_micros();
                if epoch > 1 && clock > self.detached_at + self.plan.ttl * 1_000_000 + self.late {
                    self.wrong(
                        "TTL",
                        format!("{} resumes after {} us", self.which, clock - self.detached_at),
                    );
                }
                self.is_detached = false;
                self.epochs.push(epoch);
            }
            Event::Detached { .. } => {
                if self.plan.ttl == 0 {
                    self.wrong("TTL", format!("{} waits, and cannot be resumed", self.which));
                }
                // Only one that was open renews its time.
                if !core::mem::replace(&mut self.is_detached, true) {
                    self.detached_at = self.at(now).as_micros();
                }
            }
            Event::Incoming { channel, kind, name, .. } => {
                self.incoming.insert(name.clone());
                self.know(channel, name, kind, false);
            }
            Event::Chunk(chunk) => self.chunk(now, &chunk, message),
            Event::Void(channel) => {
                if let Some(known) = self.channels.get_mut(&channel) {
                    known.arriving = None;
                }
            }
            Event::PeerEnded { channel, .. } => {
                if let Some(known) = self.channels.get_mut(&channel).filter(|known| !known.is_dropped) {
                    known.receives = false;
                    assert!(known.arriving.is_none(), "a direction has ended inside an item");
                    if !self.plan.is_plain && self.random.once_in(2) && known.sends {
                        known.sends = false;
                        self.session.handle_close_channel(channel);
                    }
                    self.drop_if_over(channel);
                }
            }
            Event::PeerStopped { channel, .. } => {
                if let Some(known) = self.channels.get_mut(&channel).filter(|known| !known.is_dropped) {
                    known.sends = false;
                    self.drop_if_over(channel);
                }
            }
            Event::Done(done) => self.done(now, done),
            Event::Over(over) => {
                assert!(self.over.is_none(), "the last event came twice");
                let clock = self.at(now).as_micros();
                if over.cause == Cause::Expired && clock < self.detached_at + self.plan.ttl * 1_000_000 {
                    self.wrong("TTL", format!("{} has expired before its time", self.which));
                }
                self.over = Some(over);
            }
            Event::GoingAway(_) => self.going_away = true,
            Event::Accepted(_) | Event::Resume(_) => {}
            other => panic!("an event that nobody knows: {other:?}"),
        }
    }

    fn done(&mut self, now: u64, done: Done) {
        let clock = self.at(now).as_micros();
        let id = self.ids.remove(&done.id).expect("each item ends once");
        let sent = &mut self.sent[id];
        assert_eq!(sent.outcome, None, "an item has ended twice");
        assert_eq!(sent.bytes, done.bytes);
        sent.outcome = Some(done.outcome);
        // Items without a number are not recognised on the wire.
        let is_seen = sent.bytes >= NUMBER as u64;
        let has_begun = is_seen && sent.began.is_some();
        let (invariant, is_right) = match done.outcome {
            Outcome::Delivered => ("I9", !is_seen || sent.has_arrived),
            Outcome::Unknown => ("I9", !is_seen || has_begun),
            // Which of these had begun is right, if any, is known at the end.
            Outcome::Unsent => ("I9", true),
            Outcome::TooBig => ("I9", !has_begun && sent.bytes > sent.takes),
            Outcome::Cancelled => ("I9", !has_begun || !sent.is_cancelled),
            Outcome::Expired => ("I13", !has_begun && sent.due.is_some_and(|due| due <= clock)),
            Outcome::Superseded => ("I13", !has_begun && sent.is_replaced),
            _ => ("I9", false),
        };
        if !is_right {
            let what = format!("item {id} of {} at {clock}: {sent:?}", self.which);
            self.wrong(invariant, what);
        }
    }

    /// An item has begun on the wire.
    pub(crate) fn begins(&mut self, now: u64, id: usize) {
        let clock = self.at(now).as_micros();
        let Some(sent) = self.sent.get_mut(id) else { return };
        sent.began = Some(clock);
        // The queue counts in milliseconds.
        if sent.due.is_some_and(|due| due + 1_000 <= clock) || sent.outcome.is_some() {
            let what = format!("item {id} of {} begins at {clock}: {sent:?}", self.which);
            self.wrong("I13", what);
        }
    }

    /// How many OPENs the peer may have sent: `ended` are its channels that are over.
    pub(crate) fn may_be_opened<'a>(&self, ended: impl Iterator<Item = &'a str>) -> u64 {
        let is_free = |name: &&str| self.dropped.contains(*name) || !self.incoming.contains(*name);
        u64::from(self.plan.max_channels) + ended.filter(is_free).count() as u64
    }

    /// Whether the peer has opened a channel of this name that this side handles.
    pub(crate) fn was_told_of(&self, name: &str) -> bool {
        self.incoming.contains(name) || name.starts_with(["c", "s"][self.which])
    }

    /// How many channels that this side has opened are in use.
    pub(crate) fn own_count(&self) -> u64 {
        self.channels.values().filter(|known| known.is_own).count() as u64
    }

    /// The channels with items that nobody has taken yet, and those of which nothing more is wanted.
    pub(crate) fn waiting(&self) -> BTreeSet<String> {
        let waits = |key: &ChannelKey| self.waiting.iter().any(|(_, waits, _)| waits == key);
        let known = self.channels.iter().filter(|(key, known)| !known.receives || waits(key));
        known.map(|(_, known)| known.name.clone()).collect()
    }

    fn chunk(&mut self, now: u64, chunk: &Chunk, message: &[u8]) {
        let known = self.channels.get_mut(&chunk.channel).expect("a chunk of a channel that is not open");
        if !known.receives {
            // It was on its way through the events when the application lost interest.
            if let Some(cost) = chunk.last {
                let at = Timestamp::from_micros(now + self.ahead);
                self.session.handle_taken(at, chunk.channel, cost);
            }
            return;
        }
        if let Some((is_text, _)) = chunk.first {
            assert!(known.arriving.is_none(), "an item has begun inside another");
            known.arriving = Some(Received { is_text, content: Vec::new() });
        }
        let arriving = known.arriving.as_mut().expect("a chunk without a beginning");
        arriving.content.extend_from_slice(&message[chunk.range.clone()]);
        if let Some(cost) = chunk.last {
            let item = known.arriving.take().expect("it was there");
            let stream = (known.name.clone(), 1 - self.which);
            self.received.entry(stream).or_default().push(item);
            let at = match self.plan.readers[self.which] {
                _ if self.is_finishing => now,
                Reader::AtOnce => now,
                Reader::After(after) => now + after,
                Reader::Stops(from, to) if (from..to).contains(&now) => to,
                Reader::Stops(..) => now,
            };
            self.waiting.push_back((at, chunk.channel, cost));
        }
    }

    fn drop_if_over(&mut self, key: ChannelKey) {
        if let Some(known) = self.channels.get_mut(&key)
            && !known.sends
            && !known.receives
            && !known.is_dropped
            && !self.waiting.iter().any(|(_, waits, _)| *waits == key)
        {
            known.is_dropped = true;
            self.dropped.insert(known.name.clone());
            self.session.handle_dropped(key);
        }
    }

    /// Takes what may be taken now.
    pub(crate) fn take(&mut self, now: u64) {
        while let Some((at, key, cost)) = self.waiting.front().copied()
            && (at <= now || self.is_finishing)
        {
            self.waiting.pop_front();
            self.session.handle_taken(self.at(now), key, cost);
            self.drop_if_over(key);
        }
    }

    pub(crate) fn next_take(&self) -> Option<u64> {
        self.waiting.front().map(|(at, ..)| *at)
    }

    /// The session is to end within this time, by this side's clock.
    pub(crate) fn close(&mut self, now: u64, within_ms: u64) {
        self.closes_within(now, within_ms);
        self.session.handle_close(self.at(now), within_ms);
    }

    /// The same for a server whose clients are to come back. `has_opened` knows the channels that have been opened.
    pub(crate) fn shut_down(&mut self, now: u64, drain_ms: u64, has_opened: impl Fn(&str) -> bool) {
        self.closes_within(now, drain_ms);
        self.session.handle_shutdown(self.at(now), drain_ms, 100, 50);
        // What waits for OPEN is told at once that there will be none.
        self.settle(now);
        let unopened =
            self.order.iter().filter(|(stream, _)| stream.1 == self.which && !has_opened(&stream.0));
        let items = unopened.flat_map(|(_, items)| items);
        self.given_up = items.filter(|id| self.sent[**id].outcome == Some(Outcome::Unsent)).count() as u64;
    }

    fn closes_within(&mut self, now: u64, within_ms: u64) {
        let by = self.at(now).as_micros() + within_ms * 1_000;
        self.is_closing = true;
        self.closes_by = Some(self.closes_by.map_or(by, |before| before.min(by)));
    }

    /// Closes what is open, and takes everything from now on.
    pub(crate) fn finish(&mut self) {
        self.is_finishing = true;
        self.close_all();
    }

    pub(crate) fn close_all(&mut self) {
        let keys: Vec<_> =
            self.channels.iter().filter(|(_, known)| known.sends).map(|(key, _)| *key).collect();
        for key in keys {
            self.session.handle_close_channel(key);
            self.channels.get_mut(&key).expect("it is in the table").sends = false;
            self.drop_if_over(key);
        }
    }

    /// Whether every item has its outcome.
    pub(crate) fn has_settled(&self) -> bool {
        self.ids.is_empty() && self.waiting.is_empty()
    }
}
