//! A browser's WebSocket as a page sees it when it sends: everything is taken at once, and a number tells
//! something about what became of it.
//!
//! ```text
//! page ── pipe, network process ── kernel's send buffer ── link ── peer
//!   └─ bufferedAmount counts what is left of here (Firefox: of the kernel's buffer, by whole messages)
//! ```
//!
//! No I/O and no clock: moments come in, and what lies between two of them happens when the later one does,
//! at its own time and in order. Whoever drives it calls [`Browser::new_task`] at the beginning of each task
//! of the page, and may call [`Browser::advance`] at any time.
//!
//! Not here: the opening handshake, receiving, timers.

use std::collections::VecDeque;

use super::engine::{Engine, OwnBuffers};
use super::kernel::{Kernel, SendBuffer};
use super::link::{Link, NEVER};
use super::path::{Path, Reading};
use super::random::Random;
use crate::time::Timestamp;

/// What a [`Browser`] is made of.
#[derive(Clone, Debug)]
pub(crate) struct BrowserConfig {
    /// Default Chromium.
    pub(crate) engine: Engine,
    /// From the kernel to the peer. Default [`Link::default`].
    pub(crate) link: Link,
    /// How the peer reads. Default at once.
    pub(crate) reading: Reading,
    /// The kernel's send buffer. Default [`Kernel::default`].
    pub(crate) kernel: Kernel,
    /// Of everything that is random. Default 0.
    pub(crate) seed: u64,
}

impl BrowserConfig {
    /// A browser of this engine over this link; the rest as by default.
    pub(crate) fn new(engine: Engine, link: Link) -> Self {
        Self { engine, link, ..Self::default() }
    }
}

impl Default for BrowserConfig {
    fn default() -> Self {
        Self {
            engine: Engine::Chromium,
            link: Link::default(),
            reading: Reading::AtOnce,
            kernel: Kernel::default(),
            seed: 0,
        }
    }
}

/// What became of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    /// Its payload.
    pub(crate) bytes: u64,
    /// When the page gave it away.
    pub(crate) given: Timestamp,
    /// From when on a new task could see that all of it has left the `bufferedAmount`.
    pub(crate) left: Timestamp,
    /// When its last byte reached the peer.
    pub(crate) arrived: Timestamp,
}

/// A message that has not passed.
#[derive(Clone, Copy, Debug)]
struct Crossing {
    bytes: u64,
    /// The mark behind its last byte, frame headers counted.
    end: u64,
    given: Timestamp,
    left: Option<Timestamp>,
    arrived: Option<Timestamp>,
}

impl Crossing {
    /// Bytes of its payload that lie before `mark`. The header stands in front.
    fn before(&self, mark: u64) -> u64 {
        self.bytes.saturating_sub(self.end.saturating_sub(mark))
    }
}

/// How far the messages are past a point of the way.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// How many messages of those that are still kept are past it with all their bytes.
    messages: usize,
    /// Payload that is past it, in all.
    bytes: u64,
    /// Of `bytes`, those of the message that is not past it in whole.
    partial_bytes: u64,
}

/// What the page is about to hear: when, how much less there is, how many messages less.
#[derive(Clone, Copy, Debug)]
struct News {
    at: Timestamp,
    bytes: u64,
    messages: usize,
}

/// See the module's page. Amounts are of payload, without frame headers, but for those of the kernel.
#[derive(Clone, Debug)]
pub(crate) struct Browser {
    engine: Engine,
    own: OwnBuffers,
    random: Random,
    now: Timestamp,
    buffer: SendBuffer,
    path: Path,
    /// Marks: `written <= taken <= given`. What lies between `written` and `taken` is in the browser.
    given: u64,
    taken: u64,
    written: u64,
    /// Of what is in the browser, what the network process has taken out of the pipe.
    chunk: u64,
    messages: VecDeque<Crossing>,
    /// Past the point that `bufferedAmount` counts to.
    leaving: Progress,
    /// How many messages the page knows to have left.
    told: usize,
    arriving: Progress,
    news: VecDeque<News>,
    given_bytes: u64,
    /// What a new task would see.
    amount: u64,
    /// What this task sees.
    visible: u64,
    largest_amount: u64,
    largest_hidden: u64,
    is_closing: bool,
}

impl Browser {
    /// A browser whose connection has just opened.
    pub(crate) fn new(now: Timestamp, config: BrowserConfig) -> Self {
        let BrowserConfig { engine, link, reading, kernel, seed } = config;
        let mut random = Random::new(seed);
        let path = Path::new(link, reading, Random::new(random.bits()));
        Self {
            engine,
            own: engine.own_buffers(),
            random,
            now,
            buffer: SendBuffer::new(kernel),
            path,
            given: 0,
            taken: 0,
            written: 0,
            chunk: 0,
            messages: VecDeque::new(),
            leaving: Progress::default(),
            told: 0,
            arriving: Progress::default(),
            news: VecDeque::new(),
            given_bytes: 0,
            amount: 0,
            visible: 0,
            largest_amount: 0,
            largest_hidden: 0,
            is_closing: false,
        }
    }

    /// Chromium over a link.
    pub(crate) fn chromium(now: Timestamp, link: Link) -> Self {
        Self::new(now, BrowserConfig::new(Engine::Chromium, link))
    }

    /// Firefox over a link.
    pub(crate) fn firefox(now: Timestamp, link: Link) -> Self {
        Self::new(now, BrowserConfig::new(Engine::Firefox, link))
    }

    /// WebKit over a link.
    pub(crate) fn webkit(now: Timestamp, link: Link) -> Self {
        Self::new(now, BrowserConfig::new(Engine::WebKit, link))
    }

    /// A socket without a `bufferedAmount`.
    pub(crate) fn missing(now: Timestamp, link: Link) -> Self {
        Self::new(now, BrowserConfig::new(Engine::Missing, link))
    }

    /// `WebSocket.send`: takes a message of `bytes`, whatever lies there. Returns the mark behind it: where
    /// [`arrived_mark`](Self::arrived_mark) will be when all of it has arrived.
    pub(crate) fn send(&mut self, now: Timestamp, bytes: u64) -> u64 {
        self.advance(now);
        self.amount = self.amount.saturating_add(bytes);
        self.visible = self.visible.saturating_add(bytes);
        self.largest_amount = self.largest_amount.max(self.visible);
        // A closing socket throws it away, and counts it for ever.
        if self.is_closing { self.given } else { self.give(bytes) }
    }

    /// `WebSocket.close`: a close frame goes out behind what was sent. Returns the mark behind it.
    pub(crate) fn close(&mut self, now: Timestamp) -> u64 {
        self.advance(now);
        if core::mem::replace(&mut self.is_closing, true) { self.given } else { self.give(0) }
    }

    /// `bufferedAmount`, as this task sees it; `None` if there is none.
    pub(crate) fn buffered_amount(&self) -> Option<u64> {
        (self.engine != Engine::Missing).then_some(self.visible)
    }

    /// As [`buffered_amount`](Self::buffered_amount), whether the page has one or not.
    pub(crate) fn visible_bytes(&self) -> u64 {
        self.visible
    }

    /// A task of the page begins: what has happened shows in the amount.
    pub(crate) fn new_task(&mut self, now: Timestamp) {
        self.advance(now);
        self.visible = self.amount;
    }

    /// The peer reads what has arrived before a mark; only for [`Reading::WhenAsked`].
    pub(crate) fn read(&mut self, now: Timestamp, mark: u64) {
        self.advance(now);
        self.path.read(self.now, mark);
    }

    /// The next moment at which something happens by itself.
    pub(crate) fn next_event(&self) -> Option<Timestamp> {
        let next = self.news.front().map_or(NEVER, |news| news.at).min(self.path.next_event());
        (next < NEVER).then_some(next)
    }

    /// Lets happen what happens until `now`. A moment before an earlier one changes nothing.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        while let Some(at) = self.next_event()
            && at <= now
        {
            self.now = self.now.max(at);
            while let Some(news) = self.news.front().copied()
                && news.at <= at
            {
                self.news.pop_front();
                self.hear(news);
            }
            let happened = self.path.step(self.now);
            if happened.has_arrived {
                self.arrive();
            }
            if happened.acknowledged > 0 {
                self.buffer.acknowledge(happened.acknowledged);
                if self.buffer.is_writable() {
                    self.fill();
                }
            }
            self.path.start(self.now, self.written);
        }
        self.now = self.now.max(now);
    }

    /// The first message that has both arrived and left the page's view, once.
    pub(crate) fn poll_passage(&mut self) -> Option<Passage> {
        let Crossing { bytes, given, left, arrived, .. } = *self.messages.front()?;
        let passage = Passage { bytes, given, left: left?, arrived: arrived? };
        self.messages.pop_front();
        self.told -= 1;
        self.leaving.messages -= 1;
        self.arriving.messages -= 1;
        Some(passage)
    }

    /// Up to which mark bytes have arrived.
    pub(crate) fn arrived_mark(&self) -> u64 {
        self.path.arrived()
    }

    /// Bytes that were sent, in all.
    pub(crate) fn sent_bytes(&self) -> u64 {
        self.given_bytes
    }

    /// Bytes that have arrived, in all.
    pub(crate) fn arrived_bytes(&self) -> u64 {
        self.arriving.bytes
    }

    /// Bytes below the point to which `bufferedAmount` counts that have not arrived: what a page cannot
    /// see, even if the news has reached it.
    pub(crate) fn hidden_bytes(&self) -> u64 {
        self.leaving.bytes.saturating_sub(self.arriving.bytes)
    }

    /// Bytes in the kernel's send buffer, frame headers counted.
    pub(crate) fn kernel_bytes(&self) -> u64 {
        self.buffer.held_bytes()
    }

    /// Bytes in the browser's pipe and network process, frame headers counted.
    pub(crate) fn pipe_bytes(&self) -> u64 {
        self.taken - self.written
    }

    /// The largest amount that the page has seen.
    pub(crate) fn largest_amount(&self) -> u64 {
        self.largest_amount
    }

    /// The most that was hidden at any moment.
    pub(crate) fn largest_hidden_bytes(&self) -> u64 {
        self.largest_hidden
    }

    fn give(&mut self, bytes: u64) -> u64 {
        self.given_bytes = self.given_bytes.saturating_add(bytes);
        self.given = self.given.saturating_add(bytes).saturating_add(header_bytes(bytes));
        let (given, left, arrived) = (self.now, None, None);
        self.messages.push_back(Crossing { bytes, end: self.given, given, left, arrived });
        self.fill();
        self.given
    }

    /// Moves everything on as far as there is room, from below upwards.
    fn fill(&mut self) {
        loop {
            let before = (self.taken, self.written, self.chunk);
            if self.own.pipe_bytes == 0 {
                self.written += self.buffer.write(self.given - self.written);
                self.taken = self.written;
            } else {
                let written = self.buffer.write(self.chunk);
                self.chunk -= written;
                self.written += written;
                let piped = self.taken - self.written - self.chunk;
                if self.chunk == 0 {
                    self.chunk = piped.min(self.own.chunk_bytes);
                }
                let piped = self.taken - self.written - self.chunk;
                self.taken += (self.own.pipe_bytes - piped).min(self.given - self.taken);
            }
            if before == (self.taken, self.written, self.chunk) {
                break;
            }
        }
        self.path.start(self.now, self.written);
        self.leave();
    }

    /// Draws the consequences for the amount of what has moved.
    fn leave(&mut self) {
        let whole_only = self.engine.counts_messages();
        let mark = if whole_only { self.written } else { self.taken };
        let (bytes, messages) = self.leaving.reach(&self.messages, mark, whole_only);
        self.largest_hidden = self.largest_hidden.max(self.hidden_bytes());
        if bytes == 0 && messages == 0 {
            return;
        }
        let [least, most] = self.engine.news_takes();
        let at = self.now.saturating_add(self.random.between(least, most));
        let at = self.news.back().map_or(at, |last| last.at.max(at));
        self.news.push_back(News { at, bytes, messages });
    }

    fn hear(&mut self, news: News) {
        self.amount = self.amount.saturating_sub(news.bytes);
        for message in self.messages.iter_mut().skip(self.told).take(news.messages) {
            message.left = Some(self.now);
        }
        self.told += news.messages;
    }

    fn arrive(&mut self) {
        let known = self.arriving.messages;
        let (_, messages) = self.arriving.reach(&self.messages, self.path.arrived(), false);
        for message in self.messages.iter_mut().skip(known).take(messages) {
            message.arrived = Some(self.now);
        }
    }
}

impl Progress {
    /// Goes on to `mark`; returns how many bytes and whole messages that was. `whole_only`: the bytes of a
    /// message count when it is past in whole.
    fn reach(&mut self, messages: &VecDeque<Crossing>, mark: u64, whole_only: bool) -> (u64, usize) {
        let before = *self;
        while let Some(message) = messages.get(self.messages) {
            let passed = message.before(mark);
            let whole = message.end <= mark;
            if whole || !whole_only {
                self.bytes += passed - self.partial_bytes;
                self.partial_bytes = if whole { 0 } else { passed };
            }
            if !whole {
                break;
            }
            self.messages += 1;
        }
        (self.bytes - before.bytes, self.messages - before.messages)
    }
}

/// What a client's frame header takes (RFC 6455 section 5.2), the masking key included.
fn header_bytes(bytes: u64) -> u64 {
    match bytes {
        0..=125 => 6,
        126..=65_535 => 8,
        _ => 14,
    }
}
