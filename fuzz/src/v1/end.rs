//! One session, what is known of it from outside, and an application that does what the input says.

use std::collections::{BTreeMap, VecDeque};

use tidegate::proto::v1::{
    Cause, ChannelKey, Chunk, Event, FatalCode, Output, Over, ResumeRequest, Session, SessionConfig,
};
use tidegate::proto::{Done, MessageId, Outcome};
use tidegate::time::Timestamp;

use super::book::{Book, Phase};
use super::judge::Verdict;
use super::says::Said;

/// More outputs than any input leads to at one moment.
const MOST_OUTPUTS: usize = 100_000;

/// How often a session may want to be called again at once.
const MOST_TURNS: usize = 100;

/// What a session gives its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    Message(Vec<u8>),
    Close(u16),
}

/// A channel as the application knows it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) key: ChannelKey,
    pub(super) name: String,
    /// `None` until OPEN has gone.
    pub(super) id: Option<u64>,
    pub(super) is_own: bool,
    pub(super) sends: bool,
    pub(super) receives: bool,
    pub(super) is_dropped: bool,
    /// ACCEPT was asked for, or goes of itself.
    pub(super) accepts: bool,
    arriving: Option<(bool, Vec<u8>)>,
    /// Its items in the order in which they are to go, and the one that has begun.
    pub(super) order: Vec<usize>,
    current: Option<usize>,
}

/// An item that was sent.
#[derive(Debug)]
pub(super) struct Item {
    /// Of its channel.
    pub(super) place: usize,
    pub(super) content: Vec<u8>,
    pub(super) is_text: bool,
    pub(super) due: Option<u64>,
    pub(super) has_begun: bool,
    pub(super) is_cancelled: bool,
    pub(super) is_replaced: bool,
    pub(super) outcome: Option<Outcome>,
    /// The record that ends it.
    pub(super) number: Option<u64>,
}

/// See the module's page.
pub(crate) struct End {
    pub(crate) session: Session,
    pub(crate) book: Book,
    pub(crate) now: u64,
    pub(crate) due: Option<u64>,
    pub(crate) over: Option<Over>,
    /// What a client has asked this session for, and where it says that it stands.
    pub(crate) request: Option<ResumeRequest>,
    pub(crate) asks: Option<([u8; 32], [u64; 3])>,
    /// It was told to end.
    pub(crate) is_closing: bool,
    /// What its connection's buffer shows.
    pub(crate) amount: u64,
    pub(super) known: Vec<Known>,
    pub(super) items: Vec<Item>,
    pub(super) ids: BTreeMap<MessageId, usize>,
    /// What has arrived and was not taken, by the place of its channel, with its cost.
    pub(super) waiting: VecDeque<(usize, u64)>,
    /// How many bytes may still be sent.
    pub(super) left: usize,
    error: Option<u64>,
}

impl End {
    pub(crate) fn new(
        now: u64,
        config: &SessionConfig,
        is_server: bool,
        is_exact: bool,
        has_token: bool,
    ) -> Self {
        Self {
            session: Session::new(Timestamp::from_micros(now), config.clone()),
            book: Book::new(config, is_server, is_exact, has_token),
            now,
            due: None,
            over: None,
            request: None,
            asks: None,
            is_closing: false,
            amount: 0,
            known: Vec::new(),
            items: Vec::new(),
            ids: BTreeMap::new(),
            waiting: VecDeque::new(),
            left: 400_000,
            error: None,
        }
    }

    pub(crate) fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.now)
    }

    /// It gets a connection, on which it sends what means nothing by `random`.
    pub(crate) fn attach(&mut self, random: u64) {
        self.session.handle_attached(self.at(), random);
        self.book.attach();
    }

    /// Its connection is gone.
    pub(crate) fn lose(&mut self, code: u16, out: &mut Vec<Given>) {
        self.session.handle_lost(self.at(), code);
        self.book.detach();
        self.poll(true, &[], out);
    }

    /// A message has come.
    pub(crate) fn hear(&mut self, message: &[u8], out: &mut Vec<Given>) {
        // What it was told before is done with first: events name places in the message that was given last.
        self.poll(true, &[], out);
        let verdict = self.book.hears(self.now, message);
        self.session.handle_message(self.at(), message);
        self.judge(verdict, message, out);
    }

    /// A text message has come.
    pub(crate) fn hear_text(&mut self, out: &mut Vec<Given>) {
        self.poll(true, &[], out);
        let verdict = self.book.hears_text();
        self.session.handle_text(self.at());
        self.judge(verdict, &[], out);
    }

    /// Compares what the session does about a message with what has to become of it.
    fn judge(&mut self, verdict: Verdict, message: &[u8], out: &mut Vec<Given>) {
        let (from, was_over) = (out.len(), self.over.is_some());
        self.poll(true, message, out);
        let (error, may_fail) = (self.error, self.book.may_fail);
        if was_over {
            return;
        }
        if let Verdict::Resumes(token, position) = verdict {
            self.asks = Some((token, position));
        }
        let Some(code) = error else {
            assert!(!matches!(verdict, Verdict::Fails(_)), "it goes on: {verdict:?} for {message:x?}");
            assert!(
                verdict == Verdict::Ends
                    || !matches!(self.over, Some(Over { cause: Cause::Peer { .. }, .. })),
                "it ends without a word"
            );
            return;
        };
        let is_right = verdict == Verdict::Fails(code) || may_fail == Some(code);
        assert!(is_right, "{code} instead of {verdict:?}, may be {may_fail:?}, for {message:x?}");
        let close = 4_200 + u16::try_from(code).expect("there are few");
        assert!(out.len() >= from + 2 && out[out.len() - 1] == Given::Close(close), "ERROR, then the close");
        assert!(
            matches!(&out[out.len() - 2], Given::Message(message) if message[0] == 0x0a),
            "ERROR by itself"
        );
        let Some(Over { cause: Cause::Peer { code: told, .. }, .. }) = self.over else {
            panic!("{:?}", self.over)
        };
        assert_eq!(told, FatalCode::from_wire(code));
    }

    /// Time has passed: up to `now`, at which whatever is due is done.
    pub(crate) fn tick(&mut self, out: &mut Vec<Given>) {
        for _ in 0..MOST_TURNS {
            if self.due.is_none_or(|due| due > self.now) {
                return;
            }
            self.book.pots.earn(0, 1);
            self.session.handle_timeout(self.at());
            self.poll(true, &[], out);
        }
        panic!("it wants to be called again and again at {}: {:?}", self.now, self.session);
    }

    /// Carries out what the session wants. `message` is what it was given last.
    pub(crate) fn poll(&mut self, room: bool, message: &[u8], out: &mut Vec<Given>) {
        let at = self.at();
        self.session.handle_time(at);
        self.session.handle_task();
        self.book.is_settled = false;
        for _ in 0..MOST_OUTPUTS {
            let output = self.session.poll_output(room);
            if self.over.is_some() {
                assert_eq!(output, Output::Timeout(None), "something behind the last event");
            }
            match output {
                Output::Transmit(said) => {
                    assert!(said.inserts.is_empty());
                    for note in self.book.says(&said.bytes) {
                        self.note(note);
                    }
                    out.push(Given::Message(said.bytes));
                }
                Output::Look => self.session.handle_amount(at, self.amount),
                Output::Close(code) => {
                    self.book.detach();
                    out.push(Given::Close(code));
                }
                Output::Event(event) => self.learn(event, message),
                ref output @ (Output::Blocked(due) | Output::Timeout(due)) => {
                    self.due = due.map(Timestamp::as_micros);
                    let is_all = self.book.next == self.book.log.len() as u64 + 1 && !self.book.restates;
                    let is_open = self.book.phase == Phase::Open;
                    self.book.is_settled = room && is_all && is_open && matches!(output, Output::Timeout(_));
                    self.check();
                    return;
                }
                other => panic!("{other:?} without host values"),
            }
        }
        panic!("it never has nothing to do");
    }

    /// What holds whenever the session has said what it has to say.
    fn check(&mut self) {
        let (gauges, config) = (self.session.gauges(), &self.book.config);
        assert!(gauges.log <= config.settings.replay_limit_bytes.into(), "{gauges:?}");
        let own = self.known.iter().filter(|known| known.is_own && !self.is_gone(known)).count() as u64;
        let most = config.rx_budget + own * u64::from(config.settings.initial_window);
        assert!(gauges.windows <= most, "{gauges:?}, {most} in all");
        if self.over.is_some() {
            assert!(self.ids.is_empty(), "an item without an end");
            return;
        }
        let promised = self.book.promised();
        assert!(promised <= gauges.windows, "{promised} are promised, but {gauges:?}");
        for known in self.known.iter().filter(|known| !known.is_dropped) {
            let Some(channel) = known.id.and_then(|id| self.book.channel(id)) else { continue };
            assert!(channel.items.is_empty(), "an item was not delivered: {channel:?}");
            assert!(!(known.receives && channel.has_ended), "the end was not told: {channel:?}");
            assert!(!(known.receives && channel.is_stopped), "it was stopped, and nobody knows: {channel:?}");
            assert!(!(known.sends && channel.was_stopped), "the peer's word was not told: {channel:?}");
        }
    }

    /// Whether nothing is left of a channel.
    fn is_gone(&self, known: &Known) -> bool {
        let parity = u64::from(self.book.is_server);
        let over = |id: u64| {
            let at = usize::try_from(id / 2).expect("there are few");
            let list = if id % 2 == parity { &self.book.own } else { &self.book.of_peer };
            list[at].is_over()
        };
        known.is_dropped && known.id.is_some_and(over)
    }

    /// The newest that was known by this key. One that was dropped may still hear of what has become of it.
    fn place(&self, key: ChannelKey) -> usize {
        self.known.iter().rposition(|known| known.key == key).expect("a channel that there was")
    }

    fn learn(&mut self, event: Event, message: &[u8]) {
        match event {
            Event::Attached { epoch } => {
                assert!(!self.book.is_server || epoch == self.book.epoch, "{epoch}");
            }
            Event::Detached { .. } => {
                assert!(self.book.has_token, "nobody can resume it");
                self.book.detach();
            }
            Event::Resume(request) => self.request = Some(request),
            Event::Incoming { channel, name, meta, .. } => {
                let (id, expected, its) = self.book.incoming.pop_front().expect("it was opened");
                assert_eq!((&name, &meta), (&expected, &its));
                let accepts = self.book.channel(id).expect("it was opened").wants_accept();
                self.know(Known { id: Some(id), accepts, ..Known::new(channel, name, false) });
            }
            Event::Accepted(key) => {
                let id = self.known[self.place(key)].id.expect("OPEN has gone");
                assert!(self.book.channel(id).is_some_and(|channel| channel.was_accepted));
            }
            Event::Chunk(chunk) => self.chunk(&chunk, message),
            Event::Void(key) => {
                let place = self.place(key);
                assert!(self.known[place].arriving.take().is_some(), "nothing was arriving");
            }
            Event::PeerEnded { channel, .. } => {
                let place = self.place(channel);
                let known = &mut self.known[place];
                let is_first = core::mem::replace(&mut known.receives, false);
                assert!(is_first || known.id.is_none(), "a second end, or of what is not wanted");
                assert!(known.arriving.is_none(), "an end in the midst of an item");
                let book = known.id.and_then(|id| self.book.channel(id));
                assert!(
                    book.is_none_or(|channel| channel.has_ended || channel.is_stopped),
                    "nothing has ended"
                );
            }
            Event::PeerStopped { channel, .. } => {
                let place = self.place(channel);
                let known = &mut self.known[place];
                known.sends = false;
                let book = known.id.and_then(|id| self.book.channel(id));
                assert!(book.is_none_or(|channel| channel.is_ending), "nobody has stopped it");
            }
            Event::Done(done) => self.done(done),
            Event::GoingAway(going) => {
                assert!(self.book.peer_handles.is_some_and(|most| most <= going.channels));
            }
            Event::Over(over) => {
                let count =
                    |outcome| self.items.iter().filter(|item| item.outcome == Some(outcome)).count() as u64;
                assert_eq!(over.unsent.messages, count(Outcome::Unsent));
                assert_eq!(over.unknown.messages, count(Outcome::Unknown));
                self.book.phase = Phase::Over;
                self.over = Some(over);
            }
            other => panic!("an event that nobody knows: {other:?}"),
        }
    }

    fn chunk(&mut self, chunk: &Chunk, message: &[u8]) {
        let place = self.place(chunk.channel);
        let known = &mut self.known[place];
        assert!(known.receives, "nothing comes behind the end");
        assert_eq!(
            chunk.first.is_some(),
            known.arriving.is_none(),
            "the chunks of an item follow each other"
        );
        let fresh = || (chunk.first.is_some_and(|first| first.0), Vec::new());
        let mut item = known.arriving.take().unwrap_or_else(fresh);
        item.1.extend_from_slice(&message[chunk.range.clone()]);
        let Some(cost) = chunk.last else {
            known.arriving = Some(item);
            return;
        };
        let id = known.id.expect("it was opened");
        let expected = self.book.channel(id).and_then(|channel| channel.items.pop_front());
        assert!(expected.is_some_and(|expected| expected == item), "another item than was sent");
        self.waiting.push_back((place, cost));
    }

    /// How many of its items have ended as unknown.
    pub(crate) fn unknown(&self) -> u64 {
        self.items.iter().filter(|item| item.outcome == Some(Outcome::Unknown)).count() as u64
    }

    fn done(&mut self, done: Done) {
        let at = self.ids.remove(&done.id).expect("each item ends once");
        let now = self.now;
        let item = &mut self.items[at];
        let id = self.known[item.place].id;
        let takes = id.and_then(|id| self.book.channel(id)).map_or(u64::MAX, |channel| channel.takes);
        assert_eq!((item.outcome.replace(done.outcome), done.bytes), (None, item.content.len() as u64));
        let is_right = match done.outcome {
            Outcome::Delivered => item.number.is_some_and(|number| number <= self.book.acked),
            Outcome::Expired => !item.has_begun && item.due.is_some_and(|due| due <= now),
            Outcome::Superseded => !item.has_begun && item.is_replaced,
            Outcome::TooBig => !item.has_begun && done.bytes > takes,
            // Which of these it is follows from why the channel or the session has ended.
            Outcome::Unknown => item.has_begun,
            Outcome::Unsent => !item.has_begun || self.book.peer_handles.is_some(),
            Outcome::Cancelled => true,
            _ => false,
        };
        assert!(is_right, "{done:?} at {now}: {item:?}");
    }

    fn note(&mut self, said: Said) {
        match said {
            Said::Error { code } => self.error = Some(code),
            Said::Opened { id, name } => {
                let mut known = self.known.iter_mut();
                let known = known.find(|known| known.is_own && known.name == name && known.id.is_none());
                let known = known.expect("a channel that was opened here");
                known.id = Some(id);
                let (sends, receives, is_dropped) = (known.sends, known.receives, known.is_dropped);
                let channel = self.book.channel(id).expect("it was opened just now");
                (channel.is_ending, channel.is_released) = (!sends, is_dropped);
                if !receives {
                    channel.stop();
                }
            }
            Said::Began { id } => {
                let takes = self.book.channel(id).expect("it is open").takes;
                let (known, items) = (self.by_id(id), &mut self.items);
                let waits = |at: &&usize| {
                    let item = &items[**at];
                    item.outcome.is_none() && !item.has_begun && item.content.len() as u64 <= takes
                };
                let at = *self.known[known].order.iter().find(waits).expect("an item that was sent");
                self.known[known].current = Some(at);
                items[at].has_begun = true;
                let item = &items[at];
                // The queue counts in milliseconds.
                assert!(item.due.is_none_or(|due| due + 1_000 > self.now), "it begins too late: {item:?}");
            }
            Said::Item { id, is_text, content, number } => {
                let known = self.by_id(id);
                let at = self.known[known].current.take().expect("it has begun");
                let item = &mut self.items[at];
                assert!(
                    item.content == content && item.is_text == is_text,
                    "another item than was sent: {item:?}"
                );
                item.number = Some(number);
            }
            Said::Stops { id } => {
                let channel = self.book.channel(id).expect("a channel that there is");
                assert!(channel.is_stopped || channel.has_ended, "it stops what it wants: {channel:?}");
            }
            Said::GivenUp { id } => {
                let known = self.by_id(id);
                assert!(self.known[known].current.take().is_some(), "nothing was on its way");
            }
        }
    }

    fn by_id(&self, id: u64) -> usize {
        self.known.iter().position(|known| known.id == Some(id)).expect("a channel that is known")
    }

    pub(super) fn know(&mut self, known: Known) {
        let is_used = self.known.iter().any(|other| other.key == known.key && !other.is_dropped);
        assert!(!is_used, "a key in use was given to another channel");
        self.known.push(known);
    }
}

impl Known {
    pub(super) fn new(key: ChannelKey, name: String, is_own: bool) -> Self {
        Self {
            key,
            name,
            id: None,
            is_own,
            sends: true,
            receives: true,
            is_dropped: false,
            accepts: false,
            arriving: None,
            order: Vec::new(),
            current: None,
        }
    }
}
