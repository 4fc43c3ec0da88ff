//! From the sender's buffer to the peer: a link, the peer's window, the way back of acknowledgements.
//!
//! Bytes are counted from the connection's start; what is called a *mark* is the number of bytes up to a
//! point. Several messages cross as one piece, which is a few milliseconds long.

use core::time::Duration;
use std::collections::VecDeque;

use super::link::{Link, NEVER};
use super::random::Random;
use crate::time::Timestamp;

/// How the peer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "the simulated transport has a peer that reads when asked; tests have all")]
pub(crate) enum Reading {
    /// What arrives is read.
    AtOnce,
    /// So many bytes a second, at least 1.
    Slowly(u64),
    /// By [`Path::read`] only, so perhaps never.
    WhenAsked,
}

/// How long a piece takes to be sent, unless it is as small as [`LEAST_PIECE`] or there is no more. What
/// shares a piece with others arrives with its end.
const PIECE: Duration = Duration::from_millis(2);
/// One segment of Ethernet.
const LEAST_PIECE: u64 = 1_460;
/// One segment of loopback, or the largest that Linux hands to a network card.
const LARGEST_PIECE: u64 = 65_536;

/// The way to the peer. `read <= arrived <= sent <= edge`, and `acknowledged <= sent`.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    link: Link,
    reading: Reading,
    random: Random,
    sent: u64,
    arrived: u64,
    read: u64,
    acknowledged: u64,
    /// Up to where the peer has allowed to send.
    edge: u64,
    /// The piece that is being sent: when it will have been, up to which mark.
    sending: Option<(Timestamp, u64)>,
    flying: VecDeque<(Timestamp, u64)>,
    acknowledgements: VecDeque<(Timestamp, u64)>,
    edges: VecDeque<(Timestamp, u64)>,
    /// When a slow peer has read up to the mark.
    reads: Option<(Timestamp, u64)>,
    last_arrival: Timestamp,
}

/// What has happened on a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Happened {
    /// Bytes have arrived, up to [`Path::arrived`].
    pub(crate) has_arrived: bool,
    /// How many more bytes are acknowledged.
    pub(crate) acknowledged: u64,
}

impl Path {
    pub(crate) fn new(link: Link, reading: Reading, random: Random) -> Self {
        let edge = link.buffer_bytes.max(1);
        Self {
            link,
            reading,
            random,
            sent: 0,
            arrived: 0,
            read: 0,
            acknowledged: 0,
            edge,
            sending: None,
            flying: VecDeque::new(),
            acknowledgements: VecDeque::new(),
            edges: VecDeque::new(),
            reads: None,
            last_arrival: Timestamp::ZERO,
        }
    }

    /// Begins to send, if the link is free, of what lies before the mark `written`.
    pub(crate) fn start(&mut self, now: Timestamp, written: u64) {
        let rest = written.min(self.edge).saturating_sub(self.sent);
        if self.sending.is_some() || rest == 0 {
            return;
        }
        let piece = piece_bytes(self.link.rate_at(now)).min(rest);
        self.sending = Some((self.link.sent_at(now, piece), self.sent + piece));
    }

    /// The next moment at which something happens; [`NEVER`] if nothing does.
    pub(crate) fn next_event(&self) -> Timestamp {
        // Asked before every event, and written for builds that are not optimised.
        let mut next = NEVER;
        for (when, _) in [self.sending, self.reads].into_iter().flatten() {
            next = next.min(when);
        }
        for queue in [&self.flying, &self.acknowledgements, &self.edges] {
            next = next.min(queue.front().map_or(NEVER, |(when, _)| *when));
        }
        next
    }

    /// Lets happen all that is due at `now`, in the order in which a byte meets it.
    pub(crate) fn step(&mut self, now: Timestamp) -> Happened {
        let mut happened = Happened::default();
        if let Some((_, mark)) = self.sending.take_if(|(when, _)| *when <= now) {
            self.sent = mark;
            // Never before what went ahead, however the jitter falls.
            self.last_arrival = self.last_arrival.max(self.link.arrives_at(now, &mut self.random));
            self.flying.push_back((self.last_arrival, mark));
            if let Some(after) = self.link.acknowledged_after {
                self.acknowledgements.push_back((now.saturating_add(after), mark));
            }
        }
        while let Some(mark) = take_due(&mut self.flying, now) {
            happened.has_arrived = true;
            self.arrived = mark;
            if self.link.acknowledged_after.is_none() {
                self.acknowledgements.push_back((now.saturating_add(self.link.delay), mark));
            }
            match self.reading {
                Reading::AtOnce => self.read_to(now, mark),
                Reading::Slowly(_) => self.read_slowly(now),
                Reading::WhenAsked => {}
            }
        }
        while let Some(mark) = take_due(&mut self.acknowledgements, now) {
            happened.acknowledged += mark - self.acknowledged;
            self.acknowledged = mark;
        }
        while let Some(mark) = take_due(&mut self.edges, now) {
            self.edge = mark;
        }
        if let Some((_, mark)) = self.reads.take_if(|(when, _)| *when <= now) {
            self.read_to(now, mark);
            self.read_slowly(now);
        }
        happened
    }

    /// Up to where bytes have arrived.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived
    }

    /// The peer takes what has arrived before `mark`.
    pub(crate) fn read(&mut self, now: Timestamp, mark: u64) {
        self.read_to(now, mark.min(self.arrived));
    }

    fn read_to(&mut self, now: Timestamp, mark: u64) {
        if mark <= self.read {
            return;
        }
        self.read = mark;
        let back = self.link.acknowledged_after.unwrap_or(self.link.delay);
        let edge = mark.saturating_add(self.link.buffer_bytes.max(1));
        self.edges.push_back((now.saturating_add(back), edge));
    }

    fn read_slowly(&mut self, now: Timestamp) {
        let Reading::Slowly(rate) = self.reading else { return };
        let piece = piece_bytes(Some(rate)).min(self.arrived - self.read);
        if self.reads.is_none() && piece > 0 {
            let takes = Duration::from_micros(piece.saturating_mul(1_000_000).div_ceil(rate.max(1)));
            self.reads = Some((now.saturating_add(takes), self.read + piece));
        }
    }
}

/// How much goes as one piece at a rate.
fn piece_bytes(rate: Option<u64>) -> u64 {
    let Some(rate) = rate else { return LARGEST_PIECE };
    let micros = u64::from(PIECE.subsec_micros());
    (rate.saturating_mul(micros) / 1_000_000).clamp(LEAST_PIECE, LARGEST_PIECE)
}

fn take_due(queue: &mut VecDeque<(Timestamp, u64)>, now: Timestamp) -> Option<u64> {
    let (when, _) = queue.front()?;
    if *when > now {
        return None;
    }
    queue.pop_front().map(|(_, mark)| mark)
}
