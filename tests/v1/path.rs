//! Two whole sessions with one connection between them that lasts: one side sends on some channels as fast as it may,
//! the other takes at once, in virtual time.
//!
//! All times in microseconds, rates in bytes a second. A message takes its bytes and [`FRAME`] on the link.

use std::collections::VecDeque;

use tidegate::proto::v1::{ChannelKey, ChannelKind, Event, Gauges, NewItem, Output, Session, SessionConfig};
use tidegate::proto::{Payload, Priority};
use tidegate::time::Timestamp;

use crate::link::{Link, Pipe};
use crate::random::Random;
use crate::records::{DATA, records};

pub(crate) const MILLI: u64 = 1_000;
pub(crate) const SECOND: u64 = 1_000_000;
/// What RFC 6455 adds to a message, as [`Pipe`] counts it.
pub(crate) const FRAME: u64 = 8;

/// What one channel carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flow {
    pub(crate) class: Priority,
    /// Of each item.
    pub(crate) bytes: usize,
    /// An item so often; `None` for always more than may go.
    pub(crate) every: Option<u64>,
    /// From when on the application of the receiver takes nothing more.
    pub(crate) stops: u64,
}

impl Flow {
    pub(crate) fn bulk(class: Priority, bytes: usize) -> Self {
        Self { class, bytes, every: None, stops: u64::MAX }
    }

    /// 32 B every 100 ms.
    pub(crate) fn urgent() -> Self {
        Self { class: Priority::Urgent, bytes: 32, every: Some(100 * MILLI), stops: u64::MAX }
    }
}

/// A connection: what is in the direction of the bulk, and back.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) there: Link,
    pub(crate) back: Link,
    /// The side that sends: 0 for the client.
    pub(crate) from: usize,
    /// A client sees only at multiples of this what has left its buffer; at least 1.
    pub(crate) lag: u64,
}

impl Path {
    /// As long in both directions, and as fast.
    pub(crate) fn even(rate: u64, round_trip: u64) -> Self {
        let there =
            Link { rates: vec![(0, rate)], delay: round_trip / 2, jitter: 0, lump: 0, hidden: u64::MAX };
        Self { back: there.clone(), there, from: 0, lag: 1 }
    }

    pub(crate) fn rate(&self) -> u64 {
        self.there.rates[0].1
    }
}

/// An item of a flow with `every` that has arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) sent: u64,
    pub(crate) took: u64,
    /// What the sender knew when it was sent.
    pub(crate) gauges: Gauges,
}

/// A record of DATA that has arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Got {
    pub(crate) at: u64,
    pub(crate) flow: usize,
    /// With its header.
    pub(crate) bytes: u64,
}

/// What is known of a flow while it runs.
struct Running {
    flow: Flow,
    sends: ChannelKey,
    receives: Option<ChannelKey>,
    /// Of what was sent and is not done: bytes.
    under_way: u64,
    next: u64,
    /// Items with `every` that have not arrived.
    sent: VecDeque<(u64, Gauges)>,
    /// What has arrived, and of it what the application has not taken, in payload and cost.
    arrived: u64,
    untaken: u64,
}

/// See the module's page.
pub(crate) struct Run {
    pub(crate) path: Path,
    pub(crate) now: u64,
    pub(crate) arrivals: Vec<Arrival>,
    /// Kept if wanted.
    pub(crate) got: Option<Vec<Got>>,
    /// Messages and their bytes with frames, as given to the link by the sender and by the receiver.
    pub(crate) messages: [u64; 2],
    pub(crate) wire: [u64; 2],
    /// Records of DATA that have arrived.
    pub(crate) records: u64,
    /// By side: 0 is the client.
    sessions: [Session; 2],
    /// From each side.
    pipes: [Pipe; 2],
    timers: [Option<u64>; 2],
    is_full: [bool; 2],
    /// When the client last saw what had left its buffer, what stood there then, and what it has given since.
    seen: (u64, u64, u64),
    flows: Vec<Running>,
    /// How many bytes are always queued or under way, beside two items.
    backlog: u64,
}

impl Run {
    pub(crate) fn new(path: Path, flows: &[Flow], seed: u64) -> Self {
        let (mut client, server) = (SessionConfig::client(), SessionConfig::server());
        client.transport_takes_all = true;
        Self::with(path, flows, seed, [client, server])
    }

    pub(crate) fn with(path: Path, flows: &[Flow], seed: u64, configs: [SessionConfig; 2]) -> Self {
        let mut sessions = configs.map(|config| Session::new(Timestamp::ZERO, config));
        for session in &mut sessions {
            session.handle_attached(Timestamp::ZERO, 0);
        }
        let from = path.from;
        let running = |(index, flow): (usize, &Flow)| Running {
            flow: *flow,
            sends: sessions[from]
                .open(ChannelKind::Items, format!("{index}"), Vec::new(), flow.class)
                .expect("a session that has just begun"),
            receives: None,
            under_way: 0,
            // Between two milliseconds, so that it does not go with the timers.
            next: 37_300,
            sent: VecDeque::new(),
            arrived: 0,
            untaken: 0,
        };
        let flows: Vec<Running> = flows.iter().enumerate().map(running).collect();
        let links = if from == 0 { [&path.there, &path.back] } else { [&path.back, &path.there] };
        let pipes = [0, 1].map(|which| Pipe::new(links[which].clone(), Random::new(50 + which as u64, seed)));
        let fastest = path.there.rates.iter().map(|rate| rate.1).max().unwrap_or(0);
        let round_trip = path.there.delay + path.back.delay;
        Self {
            backlog: 2 * fastest * round_trip / SECOND + fastest / 10 + 256_000,
            path,
            now: 0,
            arrivals: Vec::new(),
            got: None,
            messages: [0; 2],
            wire: [0; 2],
            records: 0,
            sessions,
            pipes,
            timers: [None; 2],
            is_full: [false; 2],
            seen: (0, 0, 0),
            flows,
        }
    }

    pub(crate) fn gauges(&self) -> Gauges {
        self.sessions[self.path.from].gauges()
    }

    /// Payload of a flow that has arrived, and what of that the application has not taken.
    pub(crate) fn arrived(&self, flow: usize) -> (u64, u64) {
        (self.flows[flow].arrived, self.flows[flow].untaken)
    }

    /// Payload that has arrived of all flows.
    pub(crate) fn payload(&self) -> u64 {
        self.flows.iter().map(|flow| flow.arrived).sum()
    }

    /// Until `end`; the payload that has arrived meanwhile.
    pub(crate) fn until(&mut self, end: u64) -> u64 {
        let before = self.payload();
        let mut stays = 0_u32;
        while self.now < end {
            self.fill();
            self.pump(0);
            self.pump(1);
            let next = self.next().unwrap_or(end).clamp(self.now, end);
            stays = if next == self.now { stays + 1 } else { 0 };
            assert!(stays < 1_000, "time stands still at {next}: {:?} {:?}", self.timers, self.gauges());
            self.now = next;
            for which in 0..2 {
                if self.timers[which].take_if(|due| *due <= next).is_some() {
                    self.sessions[which].handle_timeout(Timestamp::from_micros(next));
                }
                // Whatever arrives at one moment is one event each, as in a browser.
                while let Some(message) = self.pipes[1 - which].take(next) {
                    self.sessions[which].handle_message(Timestamp::from_micros(next), &message);
                    if which != self.path.from {
                        self.look_at(&message);
                    }
                    self.pump(which);
                }
            }
        }
        self.payload() - before
    }

    fn next(&self) -> Option<u64> {
        let timers = self.timers.iter().copied();
        let urgent = self.flows.iter().map(|flow| flow.flow.every.map(|_| flow.next));
        let leaves =
            self.pipes.iter().zip(self.is_full).map(|(pipe, full)| pipe.next_leaving().filter(|_| full));
        let arrives = self.pipes.iter().map(Pipe::next_arrival);
        timers.chain(urgent).chain(leaves).chain(arrives).flatten().min()
    }

    /// The application sends what it has.
    fn fill(&mut self) {
        let at = Timestamp::from_micros(self.now);
        let from = self.path.from;
        for flow in &mut self.flows {
            loop {
                match flow.flow.every {
                    Some(every) if flow.next <= self.now => {
                        flow.sent.push_back((self.now, self.sessions[from].gauges()));
                        flow.next += every;
                    }
                    None if flow.under_way < self.backlog + 2 * flow.flow.bytes as u64 => {
                        flow.under_way += flow.flow.bytes as u64;
                    }
                    _ => break,
                }
                let payload = Payload::Binary(vec![0; flow.flow.bytes]);
                let item = NewItem { payload, deadline: None, replaces: None, ticket: None };
                assert!(self.sessions[from].handle_send(at, flow.sends, item).is_ok());
            }
        }
    }

    fn pump(&mut self, which: usize) {
        let at = Timestamp::from_micros(self.now);
        self.sessions[which].handle_time(at);
        self.sessions[which].handle_task();
        self.is_full[which] = false;
        if which == 0 && self.now / self.path.lag > self.seen.0 / self.path.lag {
            self.seen = (self.now, self.pipes[0].amount(self.now), 0);
        }
        loop {
            // A server waits for its socket, which holds 64 KiB; a client looks.
            let room = which == 0 || self.pipes[1].amount(self.now) < 65_536;
            self.is_full[which] |= !room;
            match self.sessions[which].poll_output(room) {
                Output::Transmit(out) => {
                    let side = usize::from(which != self.path.from);
                    self.messages[side] += 1;
                    self.wire[side] += out.len() + FRAME;
                    self.seen.2 += if which == 0 { out.len() + FRAME } else { 0 };
                    self.pipes[which].give(self.now, out.bytes);
                }
                Output::Look => {
                    let amount = self.seen.1 + self.seen.2;
                    self.sessions[which].handle_amount(at, amount);
                }
                Output::Event(event) => self.handle(which, event),
                Output::Blocked(due) | Output::Timeout(due) => {
                    self.timers[which] = due.map(|due| {
                        // A timer counts whole milliseconds from now on, and at least one.
                        let wait = due.as_micros().saturating_sub(self.now).div_ceil(MILLI).max(1) * MILLI;
                        let set = self.timers[which].filter(|set| *set >= due.as_micros());
                        set.map_or(self.now + wait, |set| set.min(self.now + wait))
                    });
                    return;
                }
                other => panic!("{other:?} on a connection that lasts"),
            }
        }
    }

    fn handle(&mut self, which: usize, event: Event) {
        match event {
            Event::Incoming { channel, name, .. } => {
                let index: usize = name.parse().expect("a number");
                self.flows[index].receives = Some(channel);
            }
            Event::Chunk(chunk) => {
                let now = self.now;
                let flow = self.flows.iter_mut().find(|flow| flow.receives == Some(chunk.channel));
                let flow = flow.expect("a channel that has come in");
                flow.arrived += (chunk.range.end - chunk.range.start) as u64;
                if flow.flow.stops <= now {
                    flow.untaken += (chunk.range.end - chunk.range.start) as u64 + 64;
                } else if let Some(cost) = chunk.last {
                    self.sessions[which].handle_taken(Timestamp::from_micros(now), chunk.channel, cost);
                }
                if chunk.last.is_some()
                    && let Some((sent, gauges)) = flow.sent.pop_front()
                {
                    self.arrivals.push(Arrival { sent, took: now - sent, gauges });
                }
            }
            Event::Done(done) => {
                let flow = self.flows.iter_mut().find(|flow| flow.sends.0 == done.flow.0);
                let flow = flow.expect("a channel that was opened");
                flow.under_way = flow.under_way.saturating_sub(done.bytes);
            }
            Event::Attached { .. } | Event::Accepted(_) => {}
            other => panic!("{other:?} on a connection that lasts"),
        }
    }

    /// Reads a message as an observer on the wire does.
    fn look_at(&mut self, message: &[u8]) {
        for record in records(message).into_iter().filter(|record| record.kind == DATA) {
            self.records += 1;
            let [channel] = record.numbers();
            if let Some(got) = &mut self.got {
                got.push(Got { at: self.now, flow: channel as usize / 2, bytes: record.whole.len() as u64 });
            }
        }
    }
}
