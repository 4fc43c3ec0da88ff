//! Small runs, all of them: two records in each direction, and two cuts wherever there can be one.

use std::collections::VecDeque;

use tidegate::proto::v1::{
    ChannelCode, ChannelKey, ChannelKind, Directions, Event, NewItem, Output, Session, SessionConfig, Side,
};
use tidegate::proto::{Outcome, Payload, Priority};
use tidegate::time::Timestamp;

use crate::amount;
use crate::random::Random;

/// What an application does; each makes one record, but for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Item,
    Close,
    /// Ends its direction by force.
    Reset,
    Open,
    /// An item of two chunks.
    Large,
}

/// Bytes of an item of two chunks.
const LARGE: usize = 5_000;

/// More messages than a connection brings in one direction.
const MOST: usize = 7;

/// One side.
struct End {
    session: Session,
    which: usize,
    /// The channel of the script; the newest that was opened here.
    channel: Option<ChannelKey>,
    sent: Vec<Vec<u8>>,
    delivered: usize,
    arriving: Vec<u8>,
    received: Vec<Vec<u8>>,
    ended: usize,
    incoming: usize,
    /// When it wants to be called.
    due: Option<Timestamp>,
}

struct Pair {
    ends: [End; 2],
    now: u64,
    /// What is under way from each side, and how much has arrived since the connection was made.
    pipes: [VecDeque<Vec<u8>>; 2],
    arrived: [usize; 2],
    /// The server's session until it is known that the client goes on with the old one.
    fresh: Option<Session>,
    /// A cut of which the server is not told.
    is_fenced: bool,
}

fn server() -> SessionConfig {
    let mut config = SessionConfig::server();
    config.side = Side::Server { resume: Some((120, [9; 32])), hint: String::new() };
    config
}

impl Pair {
    /// Both have greeted, and each side has opened a channel that the other one knows.
    fn new() -> Self {
        let ends = [SessionConfig::client(), server()].map(|config| Session::new(Timestamp::ZERO, config));
        let mut which = 0;
        let ends = ends.map(|mut session| {
            session.handle_attached(Timestamp::ZERO, 0);
            which += 1;
            End {
                session,
                which: which - 1,
                channel: None,
                sent: Vec::new(),
                delivered: 0,
                arriving: Vec::new(),
                received: Vec::new(),
                ended: 0,
                incoming: 0,
                due: None,
            }
        });
        let mut pair = Self {
            ends,
            now: 0,
            pipes: [VecDeque::new(), VecDeque::new()],
            arrived: [0; 2],
            fresh: None,
            is_fenced: false,
        };
        pair.act([Act::Open; 2]);
        pair.go([usize::MAX; 2]);
        for end in &pair.ends {
            assert_eq!(end.incoming, 1);
        }
        pair.arrived = [0; 2];
        pair
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.now)
    }

    /// One act on each side, each of which is handed over by itself.
    fn act(&mut self, acts: [Act; 2]) {
        let now = self.at();
        for (end, act) in self.ends.iter_mut().zip(acts) {
            let channel = end.channel;
            let key = || channel.expect("a channel is open");
            match act {
                Act::Open => {
                    let name = format!("{}{}", end.which, end.sent.len());
                    end.channel =
                        end.session.open(ChannelKind::Call, name, Vec::new(), Priority::Normal).ok();
                }
                Act::Item | Act::Large => {
                    let len = if act == Act::Large { LARGE } else { 3 };
                    // No two are alike.
                    let content: Vec<u8> =
                        end.sent.len().to_le_bytes()[..3].iter().copied().cycle().take(len).collect();
                    let payload = Payload::Binary(content.clone());
                    let item = NewItem { payload, deadline: None, replaces: None, ticket: None };
                    end.session.handle_send(now, key(), item).expect("the channel is open");
                    end.sent.push(content);
                }
                Act::Close => end.session.handle_close_channel(key()),
                Act::Reset => {
                    end.session.handle_reset(
                        key(),
                        Directions::Sending,
                        ChannelCode::Application,
                        Vec::new(),
                    );
                }
            }
        }
        self.poll(0, &[]);
        self.poll(1, &[]);
    }

    fn poll(&mut self, which: usize, message: &[u8]) {
        let now = self.at();
        let end = &mut self.ends[which];
        end.session.handle_time(now);
        loop {
            match end.session.poll_output(true) {
                // What the server says before it knows that its connection is gone is lost with that.
                Output::Transmit(_) if which == 1 && self.fresh.is_some() => {}
                Output::Transmit(out) => self.pipes[which].push_back(out.bytes),
                Output::Event(event) => end.hear(now, event, message),
                Output::Timeout(due) | Output::Blocked(due) => {
                    end.due = due;
                    return;
                }
                other => panic!("{other:?} in a run without faults"),
            }
        }
    }

    /// Lets at most so many messages of each side arrive. Returns how many there were.
    fn go(&mut self, most: [usize; 2]) -> [usize; 2] {
        loop {
            let mut moved = false;
            for from in 0..2 {
                if self.arrived[from] < most[from]
                    && let Some(message) = self.pipes[from].pop_front()
                {
                    moved = true;
                    self.arrived[from] += 1;
                    self.now += 1_000;
                    self.give(1 - from, &message);
                }
            }
            if !moved && !self.wait() {
                return self.arrived;
            }
        }
    }

    /// Waits for the next timer, unless that is far away.
    fn wait(&mut self) -> bool {
        let next = self.ends.iter().filter_map(|end| end.due).min().map_or(u64::MAX, Timestamp::as_micros);
        if next > self.now + 200_000 {
            return false;
        }
        self.now = self.now.max(next);
        for which in 0..2 {
            let now = self.at();
            self.ends[which].session.handle_timeout(now);
            self.poll(which, &[]);
        }
        true
    }

    fn give(&mut self, to: usize, message: &[u8]) {
        let now = self.at();
        if to == 1
            && let Some(mut fresh) = self.fresh.take()
        {
            fresh.handle_message(now, message);
            let Output::Event(Event::Resume(request)) = fresh.poll_output(true) else {
                panic!("the client wants its session")
            };
            let session = &mut self.ends[1].session;
            if core::mem::take(&mut self.is_fenced) {
                session.handle_fenced(now);
                assert_eq!(session.poll_output(true), Output::Close(4209));
            }
            session.handle_attached(now, 0);
            session.handle_resume(now, &request);
        } else {
            self.ends[to].session.handle_message(now, message);
        }
        self.poll(to, message);
    }

    /// The connection is gone, with all that is under way, and another one is there.
    fn cut(&mut self, tells_server: bool) {
        let now = self.at();
        // The server may have been fenced and lost once more before RESUME has come.
        let told = [true, tells_server && self.fresh.is_none()];
        for (which, told) in told.into_iter().enumerate() {
            self.pipes[which].clear();
            if told {
                self.ends[which].session.handle_lost(now, 1006);
                self.poll(which, &[]);
            }
        }
        if self.fresh.is_none() {
            self.is_fenced = !tells_server;
        }
        self.arrived = [0; 2];
        let mut fresh = Session::new(now, server());
        fresh.handle_attached(now, 0);
        self.fresh = Some(fresh);
        self.ends[0].session.handle_attached(now, 0);
        self.poll(0, &[]);
    }
}

impl End {
    fn hear(&mut self, now: Timestamp, event: Event, message: &[u8]) {
        match event {
            Event::Incoming { .. } => self.incoming += 1,
            Event::Chunk(chunk) => {
                assert_eq!(chunk.first.is_some(), self.arriving.is_empty());
                self.arriving.extend_from_slice(&message[chunk.range]);
                if let Some(cost) = chunk.last {
                    self.received.push(core::mem::take(&mut self.arriving));
                    self.session.handle_taken(now, chunk.channel, cost);
                }
            }
            Event::PeerEnded { .. } => self.ended += 1,
            Event::Done(done) => {
                assert_eq!(done.outcome, Outcome::Delivered);
                self.delivered += 1;
            }
            Event::Attached { .. } | Event::Detached { .. } => {}
            other => panic!("{other:?} in a run without faults"),
        }
    }
}

/// One run. Returns how many messages the first two connections have brought each way.
fn run(script: &[Act], cuts: [[usize; 2]; 2], tells_server: bool) -> [[usize; 2]; 2] {
    let mut pair = Pair::new();
    for act in script {
        pair.act([*act; 2]);
    }
    let arrived = cuts.map(|cut| {
        let arrived = pair.go(cut);
        pair.cut(tells_server);
        arrived
    });
    pair.go([usize::MAX; 2]);
    let count = |act| script.iter().filter(|of| **of == act).count();
    for which in 0..2 {
        let (end, other) = (&pair.ends[which], &pair.ends[1 - which]);
        let run = format!("{script:?} {cuts:?} {tells_server} {which}");
        assert_eq!(end.received, other.sent, "{run}");
        assert_eq!(end.delivered, end.sent.len(), "{run}");
        assert_eq!(end.ended, count(Act::Close) + count(Act::Reset), "{run}");
        assert_eq!(end.incoming, 1 + count(Act::Open), "{run}");
        assert_eq!(end.session.gauges().log, 0, "{run}: nothing is left in the log");
    }
    arrived
}

#[test]
fn i01_resume_is_exact_for_all_small_runs() {
    let scripts = [
        [Act::Item, Act::Item].as_slice(),
        &[Act::Item, Act::Close],
        &[Act::Item, Act::Reset],
        &[Act::Open, Act::Item],
        &[Act::Large],
    ];
    let borders = || (0..=MOST).flat_map(|up| (0..=MOST).map(move |down| [up, down]));
    for script in scripts {
        for first in borders() {
            for second in borders() {
                for tells_server in [true, false] {
                    let arrived = run(script, [first, second], tells_server);
                    let arrived = arrived.as_flattened();
                    assert!(
                        arrived.iter().all(|arrived| *arrived < MOST),
                        "{script:?}: there are more borders"
                    );
                }
            }
        }
    }
}

/// One session over a thousand connections, each of which is lost with what is under way.
#[test]
fn b56_over_a_thousand_cuts_every_message_arrives_once_and_in_order() {
    let mut random = Random::new(56, 0);
    let mut pair = Pair::new();
    for _ in 0..amount(1_000, 20_000) {
        for _ in 0..random.between(0, 3) {
            pair.act([0; 2].map(|_| random.of(&[Act::Item, Act::Large])));
        }
        let arrive = [0; 2].map(|_| random.between(0, 9) as usize);
        pair.go(arrive);
        pair.cut(random.once_in(2));
    }
    pair.go([usize::MAX; 2]);
    for which in 0..2 {
        let (end, other) = (&pair.ends[which], &pair.ends[1 - which]);
        assert!(end.sent.len() > 1_000);
        assert!(end.received == other.sent, "{} of {}", end.received.len(), other.sent.len());
        assert_eq!((end.delivered, end.session.gauges().log), (end.sent.len(), 0));
    }
}
