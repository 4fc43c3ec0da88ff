//! What one run does, drawn from its seed.

use core::fmt;
use core::time::Duration;

use tidegate::sim::{Engine, Link, RateStep};
use tidegate::{Priority, SendLimits, SendOptions};

use crate::random::Random;

pub(crate) const ENGINES: [Engine; 4] = [Engine::Chromium, Engine::Firefox, Engine::WebKit, Engine::Missing];

/// Rates from 0.2 to 200 MB/s, in bytes a second.
pub(crate) const RATES: [u64; 14] = [
    200_000,
    350_000,
    600_000,
    1_000_000,
    2_000_000,
    3_500_000,
    6_000_000,
    9_900_000,
    16_000_000,
    25_000_000,
    40_000_000,
    70_000_000,
    125_000_000,
    200_000_000,
];

/// A run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) engine: Engine,
    pub(crate) link: Link,
    /// From when on the page is hidden, and for how long.
    pub(crate) hidden: Option<(Duration, Duration)>,
    pub(crate) reader: Reader,
    /// The peer answers one message in so many.
    pub(crate) answers_one_in: Option<u64>,
    /// The peer says what it has received, and the queue is told.
    pub(crate) acknowledges: Option<Acknowledges>,
    /// When every file of a Blob is deleted.
    pub(crate) vanish: Option<Duration>,
    pub(crate) share: u8,
    pub(crate) limits: SendLimits,
    /// What the page hands over in a second at most, urgent messages apart.
    pub(crate) bytes_per_second: Option<u64>,
    /// One list for each sender.
    pub(crate) senders: Vec<Vec<Step>>,
    pub(crate) end: End,
    /// When the end comes, whether the senders are ready or not; always before the last of the steps below.
    pub(crate) end_at: Duration,
}

/// When the peer says what it has received, in bytes of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledges {
    /// Whenever so much more has arrived.
    pub(crate) every: u64,
    /// Until so much has.
    pub(crate) until: u64,
}

/// How the peer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    AtOnce,
    /// So many bytes a second.
    Slowly(u64),
    /// Not at all for a while after so many messages; for ever if there is no while.
    Stops {
        after: u64,
        lasts: Option<Duration>,
    },
}

/// What a sender does next.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Pause(Duration),
    Send(Send),
    /// Waits until all that is queued has left the queue.
    Flush,
    /// The same, and the browser's own buffer.
    Drain,
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Send {
    /// Its place among all of the run.
    pub(crate) id: usize,
    pub(crate) bytes: usize,
    pub(crate) is_text: bool,
    pub(crate) is_blob: bool,
    pub(crate) priority: Priority,
    /// 0 for the one without a name.
    pub(crate) flow: u64,
    pub(crate) latest: Option<u64>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) way: Way,
    pub(crate) after: After,
}

/// How it gets into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Try,
    Wait,
    /// The future is dropped unless it is ready when it is polled first.
    Dropped,
    /// By a permit, which is held for so long.
    Reserved(Duration),
}

/// What becomes of its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Hold,
    Drop,
    Cancel(Duration),
}

/// How the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Close {
        flush: bool,
        within: Option<Duration>,
    },
    /// No more is sent, and nobody closes for so long.
    Finish(Duration),
    DropHandles,
    PeerCloses,
    Cut,
}

/// Below this size a message is known by its kind and size alone; see [`Send::lane`].
pub(crate) const NAMED: usize = 8;

impl Send {
    pub(crate) fn lane(&self) -> (usize, u64) {
        (self.priority.index(), self.flow)
    }

    pub(crate) fn options(&self) -> SendOptions {
        let mut options = SendOptions::new().priority(self.priority);
        if self.flow > 0 {
            options = options.flow(format!("flow {}", self.flow));
        }
        if let Some(key) = self.latest {
            options = options.latest(format!("key {key}"));
        }
        if let Some(within) = self.deadline {
            options = options.deadline(within);
        }
        options
    }
}

/// One line for each step.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let senders = Vec::new();
        writeln!(f, "{:?}", Self { senders, ..self.clone() })?;
        for (sender, steps) in self.senders.iter().enumerate() {
            for step in steps {
                writeln!(f, "  {sender}: {step:?}")?;
            }
        }
        Ok(())
    }
}

impl Plan {
    pub(crate) fn new(seed: u64) -> Self {
        let random = &mut Random::new(1, seed);
        let engine = random.of(&ENGINES);
        let rate = random.of(&RATES);
        let link = link(random, rate);
        let hidden = random.once_in(5).then(|| {
            let lasts =
                if random.once_in(8) { random.millis(300_000, 500_000) } else { random.millis(500, 9_000) };
            (random.millis(0, 2_000), lasts)
        });
        let reader = match random.between(0, 9) {
            0 => Reader::Slowly(rate / random.between(2, 10)),
            1 => Reader::Stops {
                after: random.between(0, 20),
                lasts: random.once_in(2).then(|| random.millis(500, 20_000)),
            },
            _ => Reader::AtOnce,
        };
        let mut limits = SendLimits::default();
        if random.once_in(3) {
            limits.max_queued_bytes = random.between(1_000, 1_000_000);
            limits.max_queued_messages = u32::try_from(random.between(1, 100)).expect("few");
        }
        if random.once_in(6) {
            limits.max_flow_bytes = random.between(1_000, 300_000);
            limits.max_flow_messages = u32::try_from(random.between(1, 30)).expect("few");
        }
        let end = end(random, reader);
        let mut traffic = Traffic::new(random, rate);
        let senders = (0..random.between(1, 4)).map(|_| traffic.sender(random)).collect();
        Self {
            seed,
            engine,
            link,
            hidden,
            reader,
            answers_one_in: random.once_in(4).then(|| random.between(1, 10)),
            vanish: (traffic.blobs > 0 && random.once_in(3)).then(|| random.millis(300, 3_000)),
            share: if random.once_in(5) { u8::try_from(random.between(0, 64)).expect("few") } else { 16 },
            limits,
            bytes_per_second: random.once_in(8).then(|| rate / random.between(1, 3)),
            senders,
            end,
            end_at: if random.once_in(3) { random.millis(300, 4_000) } else { Duration::from_secs(120) },
            acknowledges: random.once_in(3).then(|| Acknowledges {
                every: random.of(&[0, 0, 1, 10_000, 64 << 10]),
                until: random.of(&[u64::MAX, u64::MAX, 1_000, 300_000]),
            }),
        }
    }

    /// All messages, by their place.
    pub(crate) fn sends(&self) -> Vec<Send> {
        let steps = self.senders.iter().flatten();
        let sends =
            steps.filter_map(|step| if let Step::Send(send) = step { Some(send.clone()) } else { None });
        let mut sends: Vec<_> = sends.collect();
        sends.sort_by_key(|send| send.id);
        sends
    }

    /// The slowest and the fastest that the link ever is, stalls apart.
    pub(crate) fn rates(&self) -> (u64, u64) {
        let steps = self.link.steps.iter().filter_map(|step| step.bytes_per_second);
        let rates = steps.chain(self.link.bytes_per_second).filter(|rate| *rate > 0);
        rates.fold((u64::MAX, 0), |(least, most), rate| (least.min(rate), most.max(rate)))
    }
}

fn link(random: &mut Random, rate: u64) -> Link {
    let delay = Duration::from_millis(random.of(&[1, 2, 5, 10, 20, 40, 80, 150, 300]));
    let mut steps = Vec::new();
    if random.once_in(4) {
        let bytes_per_second = Some(if random.once_in(2) { rate / 10 } else { rate * 10 });
        steps.push(RateStep { at: random.millis(300, 2_500), bytes_per_second });
    } else if random.once_in(6) {
        let (at, lasts) = (random.millis(300, 2_500), random.millis(500, 6_000));
        steps.push(RateStep { at, bytes_per_second: Some(0) });
        steps.push(RateStep { at: at + lasts, bytes_per_second: Some(rate) });
    }
    Link {
        bytes_per_second: Some(rate),
        delay,
        buffer_bytes: random.of(&[256 << 10, 256 << 10, 4 << 20]),
        jitter: if random.once_in(3) { random.millis(0, 30) } else { Duration::ZERO },
        acknowledged_after: random.once_in(3).then_some(Duration::ZERO),
        steps,
    }
}

fn end(random: &mut Random, reader: Reader) -> End {
    let stops = matches!(reader, Reader::Stops { lasts: None, .. });
    match random.between(0, 11) {
        0 => End::Cut,
        1 => End::PeerCloses,
        2 => End::DropHandles,
        3 => End::Finish(random.millis(0, 5_000)),
        4 => End::Close { flush: false, within: Some(Duration::from_secs(10)) },
        5 => End::Close { flush: true, within: Some(random.millis(0, 2_000)) },
        6 => End::Close { flush: true, within: Some(Duration::from_secs(10)) },
        _ => End::Close { flush: true, within: stops.then_some(Duration::from_secs(10)) },
    }
}

/// Draws messages.
struct Traffic {
    /// How many bytes there may still be: some seconds of the link's, or the run takes long.
    rest: u64,
    next: usize,
    blobs: usize,
    has_latest: bool,
    has_deadlines: bool,
    has_blobs: bool,
    largest: u64,
}

impl Traffic {
    fn new(random: &mut Random, rate: u64) -> Self {
        Self {
            rest: (rate * random.between(1, 4)).min(5 << 20),
            next: 0,
            blobs: 0,
            has_latest: random.once_in(2),
            has_deadlines: random.once_in(2),
            has_blobs: random.once_in(6),
            largest: random.of(&[2_000, 20_000, 70_000, 300_000, 4 << 20]),
        }
    }

    fn sender(&mut self, random: &mut Random) -> Vec<Step> {
        let mut steps = Vec::new();
        for _ in 0..random.between(1, 8) {
            match random.between(0, 5) {
                0 => steps.push(Step::Pause(random.millis(0, 1_000))),
                1 => steps.push(Step::Pause(random.millis(0, 30))),
                2 if random.once_in(4) => steps.push(Step::Flush),
                2 if random.once_in(4) => steps.push(Step::Drain),
                _ => {}
            }
            for _ in 0..random.of(&[1, 1, 3, 10, 25]) {
                steps.push(Step::Send(self.send(random)));
                if random.once_in(10) {
                    steps.push(Step::Pause(random.millis(0, 40)));
                }
            }
        }
        steps
    }

    fn send(&mut self, random: &mut Random) -> Send {
        let size = match random.between(0, 19) {
            0..=1 => random.between(0, NAMED as u64 - 1),
            2..=7 => random.between(8, 300),
            8..=12 => random.between(8, 4_000.min(self.largest)),
            13..=17 => random.between(8, 70_000.min(self.largest)),
            _ => random.between(8, self.largest),
        };
        let size = if size > self.rest { size % 64 } else { size };
        self.rest -= size.min(self.rest);
        let bytes = usize::try_from(size).expect("it fits into memory");
        let is_text = random.once_in(3);
        let (mut priority, mut flow) = (random.of(&Priority::ALL), random.between(0, 2));
        if bytes < NAMED {
            // So that it says itself of which lane it is.
            let kind = bytes * 2 + usize::from(is_text);
            (priority, flow) = (Priority::ALL[kind % 4], (kind / 4 % 3) as u64);
        }
        let is_blob = self.has_blobs
            && self.blobs < 4
            && (NAMED..200_000).contains(&bytes)
            && !is_text
            && random.once_in(4);
        self.blobs += usize::from(is_blob);
        let latest = (self.has_latest && random.once_in(3)).then(|| random.between(0, 3));
        let deadline = (self.has_deadlines && random.once_in(3)).then(|| match random.between(0, 5) {
            0 => Duration::ZERO,
            1 => Duration::from_secs(3_600),
            _ => random.millis(0, 1_500),
        });
        let after = match random.between(0, 9) {
            0 => After::Cancel(Duration::ZERO),
            1 => After::Cancel(random.millis(0, 500)),
            // Of what had both, or is not known by a number, nobody could tell afterwards whether it was sent.
            2 | 3 if latest.is_none() && deadline.is_none() => After::Drop,
            2 | 3 if bytes >= NAMED && (latest.is_none() || deadline.is_none()) => After::Drop,
            _ => After::Hold,
        };
        let after = if is_blob { After::Hold } else { after };
        let way = match random.between(0, 9) {
            0 => Way::Dropped,
            1 => Way::Reserved(if random.once_in(2) { Duration::ZERO } else { random.millis(0, 50) }),
            2..=5 => Way::Try,
            _ => Way::Wait,
        };
        let id = self.next;
        self.next += 1;
        Send { id, bytes, is_text, is_blob, priority, flow, latest, deadline, way, after }
    }
}
