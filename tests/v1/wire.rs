//! What goes over the wire, seen by a second reader, and what must hold of it.
//!
//! Each message is seen twice: as it is handed over, and as it is given to the session at the other end.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::check::Finding;
use crate::content;
use crate::plan::Plan;
use crate::records::{
    ABORT, ACCEPT, ACK, CHAN_LIMIT, CLOSE, CREDIT, DATA, FIRST, GOAWAY, HELLO, LAST, OPEN, PING, PONG,
    REFUSED, RESET, RESUME, RESUMED, Seen, WELCOME, chunk, records, total, varint,
};

/// One direction of a channel.
#[derive(Clone, Debug, Default)]
struct Stream {
    /// What all chunks have cost that were handed over, and those that have arrived.
    cost: u64,
    arrived: u64,
    /// The sender has handed over that it sends no more; and the receiver knows.
    is_ended: bool,
    has_ended: bool,
    /// The receiver has handed over that it wants no more; and the sender knows.
    is_stopped: bool,
    has_stopped: bool,
    /// The item in the midst of which the sender is, by its number if it has one; and the receiver.
    sends: Option<Option<usize>>,
    receives: Option<Option<usize>>,
    /// What the chunks of that have cost, and how many bytes of it are missing, if that is known.
    partial: u64,
    missing: Option<u64>,
    /// The limit that the sender knows, and the one that the receiver has told, on this connection or so that it arrived.
    known: u64,
    told: u64,
    /// The least window that the receiver keeps.
    window: u64,
    /// ACCEPT of the receiver has been handed over, by which that becomes larger.
    is_accepted: bool,
}

/// What one side sends.
#[derive(Debug, Default)]
struct Half {
    /// Every sequenced record that was ever handed over, as a hash.
    log: Vec<u64>,
    /// How many the other side has.
    arrived: u64,
    /// The connection, whether the greeting has gone, and the next number.
    connection: u64,
    has_greeted: bool,
    /// Both sides have greeted, as this one sees it.
    is_open: bool,
    next: u64,
    /// The limits are still to be told once more after a resume.
    restates: bool,
    /// The highest number of the other side that was acknowledged on this connection, by the greeting too.
    acked: u64,
    /// It goes away, and has said so on this connection.
    goes_away: bool,
    said_so: bool,
    /// How many of the other side's channels it handles, once it has said so.
    handles: Option<u64>,
    streams: BTreeMap<u64, Stream>,
    /// How many channels it has opened, and of how many the other side knows.
    opens: u64,
    opens_arrived: u64,
    /// How many channels it may open as it knows, and as it was told.
    may_open: u64,
    may_open_told: u64,
    /// It knows the settings of the other side.
    knows: bool,
    /// The PING of the other side that is not answered.
    ping: Option<u64>,
}

/// What is to be noted of an item of the side that sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Began(usize),
    Arrived(usize),
    /// CHAN_LIMIT was told.
    MayOpen(u64),
}

/// See the module's page.
#[derive(Debug)]
pub(crate) struct Wire {
    halves: [Half; 2],
    /// The names of channels, and who has opened them.
    names: BTreeMap<u64, String>,
    ids: BTreeMap<String, u64>,
    /// What the client has, as it has said on each connection.
    resumes: BTreeMap<u64, u64>,
    initial_window: u64,
    max_channels: u64,
    /// A side has said what it receives on a channel that it opens.
    pub(crate) has_opener_accepted: bool,
    pub(crate) findings: Vec<Finding>,
    pub(crate) news: Vec<News>,
}

impl Wire {
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut halves = [Half::default(), Half::default()];
        for half in &mut halves {
            (half.may_open, half.may_open_told) = (16, 16);
        }
        Self {
            halves,
            names: BTreeMap::new(),
            ids: BTreeMap::new(),
            resumes: BTreeMap::new(),
            initial_window: plan.initial_window.into(),
            max_channels: plan.max_channels.into(),
            has_opener_accepted: false,
            findings: Vec::new(),
            news: Vec::new(),
        }
    }

    /// How many sequenced records of a side the other one has.
    pub(crate) fn arrived_of(&self, which: usize) -> u64 {
        self.halves[which].arrived
    }

    /// A session has got another connection.
    pub(crate) fn attach(&mut self, which: usize, connection: u64) {
        let half = &mut self.halves[which];
        (half.connection, half.has_greeted, half.next) = (connection, false, half.arrived + 1);
        (half.is_open, half.restates, half.ping) = (false, false, None);
        (half.acked, half.said_so) = (0, false);
        // What was told and is lost does not count.
        let other = &mut self.halves[1 - which];
        other.may_open_told = other.may_open;
        for stream in other.streams.values_mut() {
            stream.told = stream.known.max(self.initial_window);
        }
    }

    /// A session is told to go away.
    pub(crate) fn go_away(&mut self, which: usize) {
        self.halves[which].goes_away = true;
    }

    /// Somebody else has said for the client what that has.
    pub(crate) fn claim(&mut self, connection: u64, rx: u64) {
        self.resumes.insert(connection, rx);
    }

    fn wrong(&mut self, which: &'static str, what: String) {
        if self.findings.len() < 10 {
            self.findings.push((which, what));
        }
    }

    /// A message is handed over.
    pub(crate) fn sent(&mut self, which: usize, message: &[u8]) {
        let mut opened = None;
        for record in records(message) {
            self.accepts_in_time(which, opened, &record);
            opened = (record.kind == OPEN).then(|| record.numbers::<1>()[0]);
            let is_greeting = matches!(record.kind, HELLO..=REFUSED);
            let had_greeted = core::mem::replace(&mut self.halves[which].has_greeted, true);
            if had_greeted == is_greeting {
                self.wrong("I1", format!("{which} greets at the wrong time: {record:?}"));
            }
            let mut is_new = true;
            if let Some(seq16) = record.seq16 {
                is_new = self.number(which, seq16, &record);
            }
            if is_new {
                self.sent_new(which, &record);
            } else if record.kind == ACCEPT {
                self.told(which, &record);
            }
        }
    }

    /// 7.1: what the opener of a channel receives it says directly behind OPEN, which is before its first DATA.
    fn accepts_in_time(&mut self, which: usize, opened: Option<u64>, record: &Seen<'_>) {
        if record.kind != ACCEPT {
            return;
        }
        let [channel] = record.numbers();
        let is_own = channel % 2 == which as u64;
        let is_replayed = self.halves[which].next <= self.halves[which].log.len() as u64;
        if !is_own || is_replayed {
            return;
        }
        self.has_opener_accepted = true;
        if opened != Some(channel) {
            self.wrong("I2", format!("{which} opened {channel}, and accepts it later: {record:?}"));
        }
    }

    /// Checks number and content of a record, and says whether it is handed over for the first time.
    fn number(&mut self, which: usize, seq16: u16, record: &Seen<'_>) -> bool {
        let mut hasher = DefaultHasher::new();
        record.whole.hash(&mut hasher);
        let hash = hasher.finish();
        let half = &mut self.halves[which];
        let number = half.next;
        half.next += 1;
        if seq16 != number as u16 {
            self.wrong("I1", format!("{which} sends {seq16} for {number}"));
            return false;
        }
        if let Some(before) = half.log.get(number as usize - 1) {
            if *before != hash {
                self.wrong("I1", format!("{which} sends another record {number} than before"));
            }
            return false;
        }
        half.log.push(hash);
        if half.restates {
            self.wrong("I3", format!("{which} goes on before it tells its limits again"));
        }
        true
    }

    fn sent_new(&mut self, which: usize, record: &Seen<'_>) {
        let has = self.halves[1 - which].arrived;
        let half = &mut self.halves[which];
        let replays = half.next <= half.log.len() as u64;
        match record.kind {
            WELCOME => half.is_open = true,
            RESUME => {
                let mut at = 2 + usize::from(record.body[1]);
                let rx = varint(record.body, &mut at);
                half.acked = rx;
                if rx != has {
                    self.wrong("I1", format!("the client says that it has {rx} instead of {has}"));
                }
                self.resumes.insert(self.halves[0].connection, rx);
            }
            RESUMED => {
                let [_, rx] = record.numbers();
                let from = self.resumes.get(&half.connection).copied();
                half.next = from.expect("RESUMED without RESUME") + 1;
                (half.is_open, half.restates, half.acked) = (true, true, rx);
                if rx != has {
                    self.wrong("I1", format!("the server says that it has {rx} instead of {has}"));
                }
            }
            ACK | PONG => {
                let rx = if record.kind == ACK { record.numbers::<1>()[0] } else { record.numbers::<4>()[3] };
                let is_vain = rx <= core::mem::replace(&mut half.acked, rx) && record.kind == ACK;
                // What is acknowledged on channels that are not handled would pass for delivered.
                let is_early = half.goes_away && !half.said_so && !replays;
                if is_vain || is_early {
                    self.wrong("I9", format!("{which} acknowledges {rx} at the wrong time: {record:?}"));
                }
                let half = &mut self.halves[which];
                let answers = record.kind == PONG && half.ping.take() != Some(record.numbers::<1>()[0]);
                if answers {
                    self.wrong("PING", format!("{which} answers what was not asked: {record:?}"));
                }
                // Less is acknowledged before a RESET has gone, whose channel takes nothing any more.
                if rx > has {
                    self.wrong("I9", format!("{which} acknowledges {rx} and has {has}"));
                }
            }
            GOAWAY => {
                let [channels] = record.numbers();
                half.said_so = true;
                half.handles = Some(half.handles.map_or(channels, |before| before.min(channels)));
            }
            CREDIT | CHAN_LIMIT if replays => {
                self.wrong("I3", format!("{which} tells limits before all is said that was lost"));
            }
            CREDIT | ACCEPT => self.told(which, record),
            CHAN_LIMIT => {
                half.restates = false;
                let [count] = record.numbers();
                let other = &mut self.halves[1 - which];
                if count < other.may_open_told {
                    self.wrong("I3", format!("{which} lowers CHAN_LIMIT to {count}"));
                    return;
                }
                other.may_open_told = count;
                self.news.push(News::MayOpen(count));
            }
            OPEN => self.open(which, record),
            DATA => self.data(which, record),
            CLOSE | RESET => self.end(which, record),
            _ => {}
        }
    }

    fn told(&mut self, which: usize, record: &Seen<'_>) {
        let [channel, limit] = record.numbers();
        let Some(stream) = self.halves[1 - which].streams.get_mut(&channel) else { return };
        if record.kind == ACCEPT {
            // Of what has arrived some may have been taken.
            stream.window = stream.window.max(limit.saturating_sub(stream.arrived));
            stream.is_accepted = true;
        }
        let before = stream.told;
        stream.told = before.max(limit);
        if limit < before && record.kind == CREDIT {
            self.wrong("I3", format!("{which} lowers the limit of {channel} from {before} to {limit}"));
        }
    }

    fn open(&mut self, which: usize, record: &Seen<'_>) {
        let mut at = 0;
        let id = varint(record.body, &mut at);
        at += 2;
        let len = varint(record.body, &mut at) as usize;
        let name = String::from_utf8(record.body[at..at + len].to_vec()).expect("names are text");
        let half = &mut self.halves[which];
        if id != half.opens * 2 + which as u64 || half.opens >= half.may_open {
            let may = half.may_open;
            self.wrong("I3", format!("{which} opens {id}, may open {may}"));
        }
        self.halves[which].opens += 1;
        self.ids.insert(name.clone(), id);
        self.names.insert(id, name);
        for from in 0..2 {
            // Before WELCOME the client knows only what every server takes.
            let is_early = from == which && !self.halves[from].knows;
            let known = if is_early { 65_536 } else { self.initial_window };
            let (told, window) = (self.initial_window, self.initial_window);
            self.halves[from].streams.insert(id, Stream { known, told, window, ..Stream::default() });
        }
    }

    fn data(&mut self, which: usize, record: &Seen<'_>) {
        let (channel, flags, payload) = chunk(record);
        let Some(stream) = self.halves[which].streams.get_mut(&channel) else {
            self.wrong("I2", format!("{which} sends on {channel}, which is not open"));
            return;
        };
        stream.cost += payload.len() as u64 + 64;
        let begins = flags & FIRST != 0;
        let fits = begins == stream.sends.is_none() && !stream.is_ended;
        let (cost, known) = (stream.cost, stream.known);
        if begins {
            let number = content::number(which, payload);
            stream.sends = Some(number);
            self.news.extend(number.map(News::Began));
        }
        if flags & LAST != 0 {
            stream.sends = None;
        }
        if !fits {
            self.wrong("I2", format!("{which} sends a chunk on {channel} that does not follow"));
        }
        if cost > known {
            self.wrong("I3", format!("{which} sends {cost} on {channel}, and may {known}"));
        }
    }

    fn end(&mut self, which: usize, record: &Seen<'_>) {
        let mut at = 0;
        let channel = varint(record.body, &mut at);
        let dir = if record.kind == CLOSE { 1 } else { record.body[at] };
        if dir & 2 != 0
            && let Some(stream) = self.halves[1 - which].streams.get_mut(&channel)
        {
            stream.is_stopped = true;
        }
        if dir & 1 != 0
            && let Some(stream) = self.halves[which].streams.get_mut(&channel)
        {
            let is_inside = stream.sends.take().is_some() && record.kind == CLOSE;
            if core::mem::replace(&mut stream.is_ended, true) || is_inside {
                self.wrong("I2", format!("{which} ends {channel} where it may not"));
            }
        }
    }

    /// A message is given to the session of `to`.
    pub(crate) fn arrived(&mut self, to: usize, message: &[u8]) {
        let from = 1 - to;
        for record in records(message) {
            if let Some(seq16) = record.seq16 {
                let half = &mut self.halves[from];
                half.arrived += 1;
                let (number, handed) = (half.arrived, half.log.len() as u64);
                if seq16 != number as u16 || number > handed {
                    self.wrong("I1", format!("{to} is given {seq16} as {number} of {handed}"));
                    return;
                }
            }
            match record.kind {
                HELLO => self.greeted(1),
                WELCOME => {
                    self.greeted(0);
                    self.halves[0].is_open = true;
                }
                RESUMED => {
                    let [_, rx] = record.numbers();
                    let half = &mut self.halves[to];
                    (half.next, half.is_open, half.restates) = (rx + 1, true, true);
                }
                CREDIT | ACCEPT => {
                    let [channel, limit] = record.numbers();
                    if let Some(stream) = self.halves[to].streams.get_mut(&channel) {
                        stream.known = stream.known.max(limit);
                    }
                }
                CHAN_LIMIT => {
                    let [count] = record.numbers();
                    let half = &mut self.halves[to];
                    half.may_open = half.may_open.max(count);
                }
                OPEN => self.halves[from].opens_arrived += 1,
                PING => {
                    let [t_us] = record.numbers();
                    self.halves[to].ping = Some(t_us);
                }
                DATA => {
                    let (channel, flags, payload) = chunk(&record);
                    let Some(stream) = self.halves[from].streams.get_mut(&channel) else { continue };
                    stream.arrived += payload.len() as u64 + 64;
                    stream.partial += payload.len() as u64 + 64;
                    if flags & FIRST != 0 {
                        stream.receives = Some(content::number(from, payload));
                        stream.missing = total(&record);
                    }
                    stream.missing =
                        stream.missing.map(|missing| missing.saturating_sub(payload.len() as u64));
                    if flags & LAST != 0 {
                        let number = stream.receives.take().flatten();
                        stream.partial = 0;
                        self.news.extend(number.filter(|_| flags & ABORT == 0).map(News::Arrived));
                    }
                }
                CLOSE | RESET => {
                    let mut at = 0;
                    let channel = varint(record.body, &mut at);
                    let ends = record.kind == CLOSE || record.body[at] & 1 != 0;
                    if record.kind == RESET
                        && record.body[at] & 2 != 0
                        && let Some(stream) = self.halves[to].streams.get_mut(&channel)
                    {
                        stream.has_stopped = true;
                    }
                    if ends && let Some(stream) = self.halves[from].streams.get_mut(&channel) {
                        (stream.has_ended, stream.receives, stream.partial) = (true, None, 0);
                    }
                }
                _ => {}
            }
        }
    }

    /// `to` knows the other side's settings.
    fn greeted(&mut self, to: usize) {
        let half = &mut self.halves[to];
        half.knows = true;
        (half.may_open, half.may_open_told) = (self.max_channels, self.max_channels);
        for stream in half.streams.values_mut() {
            stream.known = stream.known.max(self.initial_window);
        }
    }

    /// `which` has said all that it has to say now. `waits` are the channels with items that nobody has taken yet, and
    /// those of which its application wants no more. `is_free`: neither budget nor log hold a small record back.
    pub(crate) fn settle(&mut self, which: usize, waits: &BTreeSet<String>, is_free: bool) {
        let half = &self.halves[which];
        if half.next <= half.log.len() as u64 || !half.is_open || half.restates {
            return;
        }
        let mut wrong = Vec::new();
        if let Some(ping) = half.ping {
            wrong.push(("PING", format!("{which} has not answered {ping}")));
        }
        if half.goes_away && !half.said_so {
            wrong.push(("I9", format!("{which} goes away and has not said so")));
        }
        for (id, stream) in &half.streams {
            if is_free && stream.has_stopped && !stream.is_ended {
                wrong.push(("I2", format!("{which} was told to stop on {id}, and has not answered")));
            }
        }
        for (id, stream) in &self.halves[1 - which].streams {
            let Stream { has_ended, is_stopped, partial, told, window, .. } = *stream;
            if has_ended || is_stopped || waits.contains(&self.names[id]) {
                continue;
            }
            // 6.6: it is refused, and what it carries until then is thrown away.
            if id % 2 == 1 - which as u64 && half.handles.is_some_and(|handled| id / 2 >= handled) {
                if is_free && id / 2 < self.halves[1 - which].opens_arrived {
                    wrong.push(("I2", format!("{which} has not refused {id}, which it does not handle")));
                }
                continue;
            }
            // ACCEPT says more than CREDIT could; it waits as every sequenced record does.
            if !is_free && id % 2 == 1 - which as u64 && !stream.is_accepted {
                continue;
            }
            // A quarter may be owed, but not while an item may have to wait for its rest.
            let rest = stream.missing.map_or(u64::MAX, |missing| missing + missing / 8 + 64);
            let waits = partial > 0 && told.saturating_sub(stream.arrived) < rest;
            let owed = if waits { 0 } else { window / 4 };
            let least = stream.arrived - partial + window - owed;
            if told < least {
                wrong.push(("I3", format!("{which} has told {told} on {id} instead of {least}: {stream:?}")));
            }
        }
        for (which, what) in wrong {
            self.wrong(which, what);
        }
    }

    /// The credit of a side on a channel and what it has used, as both follow from the wire; `None` once it has ended.
    pub(crate) fn credit(&self, which: usize, name: &str) -> Option<(u64, u64)> {
        let stream = self.halves[which].streams.get(self.ids.get(name)?)?;
        (!stream.is_ended).then(|| (stream.known - stream.cost.min(stream.known), stream.cost))
    }

    /// Whether the OPEN of this channel was handed over.
    pub(crate) fn has_opened(&self, name: &str) -> bool {
        self.ids.contains_key(name)
    }

    /// The channels that the other side has opened and of which both directions have ended for this one.
    pub(crate) fn ended_of_peer(&self, which: usize) -> impl Iterator<Item = &str> {
        let streams = &self.halves[1 - which].streams;
        let ended = streams.iter().filter(move |(id, stream)| {
            let own = &self.halves[which].streams[id];
            **id % 2 == 1 - which as u64 && stream.has_ended && own.is_ended
        });
        ended.map(|(id, _)| self.names[id].as_str())
    }
}
