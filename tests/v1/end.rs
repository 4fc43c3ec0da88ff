//! One side: a session, and an application that does things by chance and notes what comes of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tidegate::proto::Outcome;
use tidegate::proto::v1::{
    ChannelCode, ChannelKey, ChannelKind, Chunk, Directions, Event, NewItem, Output, Over, Session,
    SessionConfig, Settings, Side,
};
use tidegate::proto::{Done, MessageId, Payload, Priority};
use tidegate::time::Timestamp;

use crate::content::content;
use crate::plan::{Plan, Reader};
use crate::random::Random;

/// An item that was sent, by its place among all of one side.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    pub(crate) is_text: bool,
    pub(crate) outcome: Option<Outcome>,
    pub(crate) due: Option<u64>,
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
    sends: bool,
    receives: bool,
    is_dropped: bool,
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
    pub(crate) epochs: Vec<u64>,
    bytes: u64,
    /// Everything is taken at once, and nothing new is done.
    pub(crate) is_finishing: bool,
}

pub(crate) fn config(plan: &Plan, which: usize) -> SessionConfig {
    let mut config = if which == 0 { SessionConfig::client() } else { SessionConfig::server() };
    config.settings = Settings {
        max_channels: plan.max_channels,
        initial_window: plan.initial_window,
        max_item_bytes: plan.max_item,
        replay_limit_bytes: plan.replay_limit.max(if which == 0 { 131_072 } else { 1_048_576 }),
        ..Settings::default()
    };
    config.channel_window = 600_000;
    config.channel_max_item = 400_000;
    config.rx_budget = 64 << 20;
    config.transport_takes_all = which == 0;
    if which == 1 {
        let resume = (plan.ttl > 0).then_some((plan.ttl, [7; 32]));
        config.side = Side::Server { resume, hint: String::new() };
    }
    config
}

impl End {
    pub(crate) fn new(plan: &Plan, which: usize) -> Self {
        Self {
            which,
            session: Session::new(Timestamp::ZERO, config(plan, which)),
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
            epochs: Vec::new(),
            bytes: 0,
            is_finishing: false,
        }
    }

    /// The application does something.
    pub(crate) fn act(&mut self, now: u64) {
        let at = Timestamp::from_micros(now);
        let sending: Vec<_> =
            self.channels.iter().filter(|(_, known)| known.sends).map(|(key, _)| *key).collect();
        let random = &mut self.random;
        match random.between(0, 19) {
            0..=2 => self.open(),
            3 if !sending.is_empty() && self.plan.resets => {
                let key = random.of(&sending);
                let directions = random.of(&[Directions::Sending, Directions::Receiving, Directions::Both]);
                let code = random.of(&[ChannelCode::Cancelled, ChannelCode::Application]);
                self.session.handle_reset(key, directions, code, vec![1, 2, 3]);
                let known = self.channels.get_mut(&key).expect("it is in the table");
                if directions != Directions::Receiving {
                    known.sends = false;
                }
                if directions != Directions::Sending {
                    known.receives = false;
                    known.arriving = None;
                    self.unwanted.insert((known.name.clone(), 1 - self.which));
                }
                self.drop_if_over(key);
            }
            4 if !sending.is_empty() => {
                let key = random.of(&sending);
                self.session.handle_close_channel(key);
                self.channels.get_mut(&key).expect("it is in the table").sends = false;
                self.drop_if_over(key);
            }
            5 if !sending.is_empty() => {
                let (key, priority) = (random.of(&sending), random.of(&Priority::ALL));
                self.session.set_priority(key, priority);
            }
            6 => {
                let ids: Vec<_> = self.ids.keys().copied().collect();
                if !ids.is_empty() {
                    let id = random.of(&ids);
                    self.session.handle_cancel(id);
                }
            }
            _ if sending.is_empty() => self.open(),
            _ => {
                let key = random.of(&sending);
                for _ in 0..random.of(&[1, 1, 1, 4, 20]) {
                    self.send(at, key);
                }
            }
        }
    }

    fn open(&mut self) {
        let name = format!("{}{}", ["c", "s"][self.which], self.opened);
        let kind = self.random.of(&[ChannelKind::Items, ChannelKind::Items, ChannelKind::Call]);
        let priority = self.random.of(&Priority::ALL);
        if let Ok(key) = self.session.open(kind, name.clone(), Vec::new(), priority) {
            self.opened += 1;
            self.know(key, name);
        }
    }

    fn know(&mut self, key: ChannelKey, name: String) {
        let known = Known {
            name,
            sends: true,
            receives: true,
            is_dropped: false,
            arriving: None,
            latest: BTreeMap::new(),
        };
        let old = self.channels.insert(key, known);
        assert!(old.is_none_or(|old| old.is_dropped), "a key in use was given to another channel");
    }

    fn send(&mut self, now: Timestamp, key: ChannelKey) {
        let random = &mut self.random;
        let mut bytes = match random.between(0, 9) {
            0 => 0,
            1..=4 => random.between(8, 64),
            5..=7 => random.between(8, self.plan.largest.min(6_000)),
            _ => random.between(8, self.plan.largest),
        };
        if random.once_in(60) {
            // Larger than the peer takes.
            bytes = 700_000;
        }
        if self.bytes + bytes > self.plan.bytes {
            bytes = bytes.min(8);
        }
        self.bytes += bytes;
        let is_text = random.once_in(3);
        let id = self.sent.len();
        let due =
            (self.plan.deadlines && random.once_in(4)).then(|| now.as_micros() + random.between(0, 300_000));
        let latest = (self.plan.latest && random.once_in(4)).then(|| random.between(0, 2));
        let payload = content(self.which, id, bytes, is_text);
        let payload = if is_text {
            Payload::Text(String::from_utf8(payload).expect("it is text"))
        } else {
            Payload::Binary(payload)
        };
        let known = self.channels.get_mut(&key).expect("it is in the table");
        let replaces = latest.and_then(|key| known.latest.get(&key).copied());
        let item = NewItem {
            payload,
            deadline: due.map(Timestamp::from_micros),
            replaces: replaces.map(|(id, _)| id),
            ticket: None,
        };
        let Ok(message) = self.session.handle_send(now, key, item) else {
            panic!("the session takes nothing on a channel that it has not said to be over");
        };
        self.sent.push(Sent { bytes, is_text, outcome: None, due });
        let stream = (known.name.clone(), self.which);
        let order = self.order.entry(stream).or_default();
        let place = replaces.and_then(|(old, place)| self.ids.contains_key(&old).then_some(place));
        let place = place.and_then(|old| order.iter().position(|at| *at == old));
        if let Some(key) = latest {
            known.latest.insert(key, (message, id));
        }
        self.ids.insert(message, id);
        // Whether it has taken the place of the old one shows when that ends.
        match place {
            Some(at) => order.insert(at, id),
            None => order.push(id),
        }
        self.moved(id, replaces.map(|(_, old)| old));
    }

    /// An item that was to replace one that had begun goes behind all others.
    fn moved(&mut self, id: usize, old: Option<usize>) {
        let (Some(old), which) = (old, self.which) else { return };
        self.settle();
        if self.sent[old].outcome != Some(Outcome::Superseded) {
            for (stream, order) in &mut self.order {
                if stream.1 == which
                    && let Some(at) = order.iter().position(|at| *at == id)
                {
                    order.remove(at);
                    order.push(id);
                }
            }
        }
    }

    /// Takes what the session has to say without being driven: the ends of items.
    fn settle(&mut self) {
        loop {
            match self.session.poll_output(false) {
                Output::Event(event) => self.handle(0, event, &[]),
                Output::Blocked(_) | Output::Timeout(_) => return,
                other => panic!("{other:?} follows from a send"),
            }
        }
    }

    /// The session has said something; `message` is what it was given last.
    pub(crate) fn handle(&mut self, now: u64, event: Event, message: &[u8]) {
        match event {
            Event::Attached { epoch } => {
                self.is_detached = false;
                self.epochs.push(epoch);
            }
            Event::Detached { .. } => self.is_detached = true,
            Event::Incoming { channel, name, .. } => self.know(channel, name),
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
                    if self.random.once_in(2) && known.sends {
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
            Event::Done(done) => self.done(done),
            Event::Over(over) => {
                assert!(self.over.is_none(), "the last event came twice");
                self.over = Some(over);
            }
            Event::Accepted(_) | Event::GoingAway(_) | Event::Resume(_) => {}
            other => panic!("an event that nobody knows: {other:?}"),
        }
    }

    fn done(&mut self, done: Done) {
        let id = self.ids.remove(&done.id).expect("each item ends once");
        let sent = &mut self.sent[id];
        assert_eq!(sent.outcome, None, "an item has ended twice");
        assert_eq!(sent.bytes, done.bytes);
        sent.outcome = Some(done.outcome);
    }

    fn chunk(&mut self, now: u64, chunk: &Chunk, message: &[u8]) {
        let known = self.channels.get_mut(&chunk.channel).expect("a chunk of a channel that is not open");
        if !known.receives {
            // It was on its way through the events when the application lost interest.
            if let Some(cost) = chunk.last {
                self.session.handle_taken(Timestamp::from_micros(now), chunk.channel, cost);
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
            self.session.handle_dropped(key);
        }
    }

    /// Takes what may be taken now.
    pub(crate) fn take(&mut self, now: u64) {
        while let Some((at, key, cost)) = self.waiting.front().copied()
            && (at <= now || self.is_finishing)
        {
            self.waiting.pop_front();
            self.session.handle_taken(Timestamp::from_micros(now), key, cost);
            self.drop_if_over(key);
        }
    }

    pub(crate) fn next_take(&self) -> Option<u64> {
        self.waiting.front().map(|(at, ..)| *at)
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
