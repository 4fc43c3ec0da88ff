//! Both sides, what is between them, and what happens to it, in virtual time.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tidegate::proto::v1::{Cause, Event, Gauges, Outgoing, Output, RefusedCode, ResumeRequest, Session};
use tidegate::time::Timestamp;

use crate::check::Finding;
use crate::connection::Connection;
use crate::end::{End, config};
use crate::plan::{Fault, Plan};
use crate::random::Random;
use crate::wire::{News, Wire};

/// After which time a run is said never to end.
const LIMIT: u64 = 3_600_000_000;

/// What a run has shown.
pub(crate) struct Trace {
    /// The two sides of each session: of two if the memory of the server was lost, of which only the client's side of
    /// the first has ended.
    pub(crate) pairs: Vec<[End; 2]>,
    pub(crate) findings: Vec<Finding>,
    /// A client may have lost its session to another connection.
    pub(crate) may_be_superseded: bool,
    pub(crate) hash: u64,
    pub(crate) resumes: u64,
    pub(crate) lasted: u64,
    pub(crate) messages: u64,
    /// What has happened, by name.
    pub(crate) happened: Vec<&'static str>,
}

/// See the module's page.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) now: u64,
    pub(crate) random: Random,
    pub(crate) ends: [End; 2],
    /// Those of the session that the server has forgotten.
    past: [Option<End>; 2],
    pub(crate) connections: Vec<Connection>,
    /// The connection that each side's session has.
    pub(crate) at: [Option<u64>; 2],
    opened: u64,
    pub(crate) wire: Wire,
    /// When the client connects again.
    connects: Option<u64>,
    timers: [Option<u64>; 2],
    /// Something was said to a session since it was last asked.
    pub(crate) is_dirty: [bool; 2],
    /// It waits for room in its connection.
    is_blocked: [bool; 2],
    /// Until when nothing happens there.
    pub(crate) stalled: [u64; 2],
    /// When the applications act.
    acts: [Vec<u64>; 2],
    pub(crate) faults: Vec<(u64, Fault)>,
    /// How many RESUMED are to be lost.
    pub(crate) loses_resumed: u64,
    /// The client gives its next connection up soon after it is there.
    pub(crate) gives_up_again: bool,
    pub(crate) is_forgotten: bool,
    pub(crate) may_be_superseded: bool,
    findings: Vec<Finding>,
    hash: DefaultHasher,
    resumes: u64,
    messages: u64,
    pub(crate) happened: Vec<&'static str>,
    is_closing: bool,
    /// How often something has happened without time going on.
    stays: u64,
    polls: u64,
    prints: bool,
}

impl World {
    pub(crate) fn new(plan: Plan, prints: bool) -> Self {
        let random = &mut Random::new(33, plan.seed);
        let mut acts = [Vec::new(), Vec::new()];
        for (which, acts) in acts.iter_mut().enumerate() {
            for _ in 0..plan.actions[which] {
                acts.push(random.between(0, plan.lasts));
            }
            acts.sort_unstable_by(|one, other| other.cmp(one));
        }
        let mut faults = plan.faults.clone();
        faults.reverse();
        let ends = [0, 1].map(|which| {
            let session = Session::new(Timestamp::from_micros(plan.ahead[which]), config(&plan, which));
            End::new(&plan, which, session, plan.ahead[which])
        });
        Self {
            now: 0,
            random: Random::new(34, plan.seed),
            ends,
            past: [None, None],
            connections: Vec::new(),
            at: [None; 2],
            opened: 0,
            wire: Wire::new(&plan),
            connects: Some(0),
            timers: [None; 2],
            is_dirty: [true; 2],
            is_blocked: [false; 2],
            stalled: [0; 2],
            acts,
            faults,
            loses_resumed: 0,
            gives_up_again: false,
            is_forgotten: false,
            may_be_superseded: false,
            findings: Vec::new(),
            hash: DefaultHasher::new(),
            resumes: 0,
            messages: 0,
            happened: Vec::new(),
            is_closing: false,
            stays: 0,
            polls: 0,
            prints,
            plan,
        }
    }

    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        if self.prints {
            println!("{:>10} {}", self.now, what());
        }
    }

    pub(crate) fn clock(&self, which: usize) -> Timestamp {
        self.ends[which].at(self.now)
    }

    pub(crate) fn is_over(&self, which: usize) -> bool {
        self.ends[which].over.is_some() || which == 1 && self.is_forgotten
    }

    /// Goes on until both sessions are over.
    pub(crate) fn run(mut self) -> Trace {
        while !(self.is_over(0) && self.is_over(1)) {
            self.pump();
            self.finish_in_time();
            self.pump();
            let Some(next) = self.next() else {
                // A server that never was connected, or whose client is gone for ever.
                assert!(self.is_over(0), "nothing is left to happen\n{:?}", self.stand());
                break;
            };
            assert!(next >= self.now, "something was due before now");
            self.stays = if next == self.now { self.stays + 1 } else { 0 };
            assert!(
                self.stays < 10_000,
                "time stands still: timers {:?}, connects {:?}\n{:?}",
                self.timers,
                self.connects,
                self.stand()
            );
            assert!(next < LIMIT, "it does not end\n{:?}", self.stand());
            self.now = next;
            self.step();
        }
        let mut pairs = Vec::new();
        let mut findings = self.findings;
        if let [Some(client), server] = self.past {
            // The server is the old one as long as no client has come back.
            match server {
                Some(server) => pairs.extend([[client, server], self.ends]),
                None => pairs.push([client, self.ends.into_iter().nth(1).expect("there are two")]),
            }
        } else {
            pairs.push(self.ends);
        }
        findings.append(&mut self.wire.findings);
        for end in pairs.iter_mut().flatten() {
            findings.append(&mut end.findings);
        }
        if self.plan.flips > 0 {
            findings.clear();
        }
        Trace {
            pairs,
            findings,
            may_be_superseded: self.may_be_superseded,
            hash: self.hash.finish(),
            resumes: self.resumes,
            lasted: self.now,
            messages: self.messages,
            happened: self.happened,
        }
    }

    fn stand(&self) -> Vec<String> {
        self.ends.iter().map(|end| format!("{:?} {:?}", end.session.gauges(), end.session)).collect()
    }

    /// When all was done that is in the plan: close what is open, and when that has come to an end the session.
    fn finish_in_time(&mut self) {
        if self.now < self.plan.lasts || !self.acts.iter().all(Vec::is_empty) || !self.faults.is_empty() {
            return;
        }
        for end in &mut self.ends {
            if !end.is_finishing {
                end.finish();
            }
            end.close_all();
            end.take(self.now);
        }
        self.is_dirty = [true; 2];
        let which = self.plan.closer;
        // What bits have done to it need not come to an end.
        let is_late = self.plan.flips > 0 && self.now > self.plan.lasts + 60_000_000;
        let is_settled = self.ends.iter().all(End::has_settled) || is_late;
        if is_settled && !self.is_closing && !self.ends[which].is_detached && self.stalled[which] <= self.now
        {
            self.is_closing = true;
            self.note(|| format!("{which} closes"));
            let at = self.clock(which);
            self.ends[which].is_closing = true;
            self.ends[which].session.handle_close(at, 20_000);
        }
    }

    fn next(&mut self) -> Option<u64> {
        let mut next = self.connects;
        let stalled = self.stalled;
        let mut consider = |which: usize, at: Option<u64>| {
            next = [next, at.map(|at| at.max(stalled[which]))].into_iter().flatten().min();
        };
        for which in 0..2 {
            consider(which, self.timers[which]);
            consider(which, self.acts[which].last().copied());
            consider(which, self.ends[which].next_take());
            if self.is_dirty[which] && stalled[which] > self.now {
                consider(which, Some(self.now));
            }
        }
        for connection in &self.connections {
            consider(1, connection.fresh_timer);
            for which in 0..2 {
                consider(1 - which, connection.pipes[which].next_arrival());
                consider(which, connection.news[which].map(|news| news.0));
            }
            if self.is_blocked[1] && self.at[1] == Some(connection.number) {
                consider(1, connection.pipes[1].next_leaving());
            }
        }
        if let Some((at, _)) = self.faults.last() {
            next = Some(next.map_or(*at, |next| next.min(*at)));
        }
        let is_late = self.plan.flips > 0 && self.now <= self.plan.lasts + 60_000_000;
        let ends = [self.plan.lasts, self.plan.lasts + 60_000_001];
        for at in ends.into_iter().take(1 + usize::from(is_late)).filter(|at| self.now < *at) {
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        next.map(|next| next.max(self.now))
    }

    /// Whatever is due happens.
    fn step(&mut self) {
        if self.connects.is_some_and(|when| when <= self.now) {
            self.connects = None;
            self.connect();
        }
        for which in 0..2 {
            if self.stalled[which] > self.now {
                continue;
            }
            let at = self.clock(which);
            if self.timers[which].is_some_and(|when| when <= self.now) {
                self.timers[which] = None;
                self.ends[which].session.handle_timeout(at);
                self.poll(which, &[]);
            }
            while self.acts[which].last().is_some_and(|when| *when <= self.now) {
                self.acts[which].pop();
                if !self.is_over(which) && !self.is_closing {
                    self.ends[which].act(self.now);
                    self.is_dirty[which] = true;
                }
            }
            self.is_dirty[which] |= self.ends[which].next_take().is_some_and(|at| at <= self.now);
            self.ends[which].take(self.now);
            // Something has left, and there may be room.
            self.is_dirty[which] |= self.is_blocked[which] && which == 1;
        }
        while let Some((when, fault)) = self.faults.last().copied()
            && when <= self.now
        {
            self.faults.pop();
            self.fault(fault);
        }
        self.arrive();
        for place in 0..self.connections.len() {
            for which in 0..2 {
                if self.stalled[which] > self.now {
                    continue;
                }
                let connection = &mut self.connections[place];
                if which == 1 && connection.fresh_timer.take_if(|when| *when <= self.now).is_some() {
                    let at = self.ends[1].at(self.now);
                    if let Some(fresh) = &mut connection.fresh {
                        fresh.handle_timeout(at);
                    }
                    self.pump_fresh(place, &[]);
                }
                let news = self.connections[place].news[which].take_if(|news| news.0 <= self.now);
                if let Some((_, code)) = news {
                    self.lost(place, which, code);
                }
            }
        }
        let at = self.at;
        self.connections.retain(|connection| !connection.closed[1] || at.contains(&Some(connection.number)));
    }

    /// The place of the connection that a side's session has.
    pub(crate) fn place(&self, which: usize) -> Option<usize> {
        let number = self.at[which]?;
        self.connections.iter().position(|connection| connection.number == number)
    }

    pub(crate) fn noise(&mut self) -> u64 {
        self.random.bits() * u64::from(self.plan.grease)
    }

    /// A connection, whose server's side does not know yet for which session it is.
    pub(crate) fn open(&mut self) -> usize {
        self.opened += 1;
        let at = self.clock(1);
        let mut fresh = Box::new(Session::new(at, config(&self.plan, 1)));
        fresh.handle_attached(at, self.noise());
        let is_first = self.resumes == 0;
        self.connections.push(Connection::new(&self.plan, &mut self.random, self.opened, is_first, fresh));
        self.connections.len() - 1
    }

    fn connect(&mut self) {
        if self.is_over(0) {
            return;
        }
        self.note(|| "connects".into());
        let place = self.open();
        let number = self.connections[place].number;
        // The server's first session is the one that its application has from the beginning.
        if number == 1 {
            self.connections[place].fresh = None;
            let (at, noise) = (self.clock(1), self.noise());
            self.ends[1].session.handle_attached(at, noise);
            self.gets(1, number);
        }
        let (at, noise) = (self.clock(0), self.noise());
        self.ends[0].session.handle_attached(at, noise);
        self.gets(0, number);
        if core::mem::take(&mut self.gives_up_again) {
            let soon = self.random.between(0, 3 * self.plan.links[0].delay);
            self.faults.push((self.now + soon, Fault::GivesUp { again: false }));
            self.faults.sort_by_key(|fault| core::cmp::Reverse(fault.0));
        }
    }

    /// A side's session has another connection.
    fn gets(&mut self, which: usize, number: u64) {
        self.at[which] = Some(number);
        self.wire.attach(which, number);
        self.is_dirty[which] = true;
    }

    /// The connection is gone for one side.
    pub(crate) fn lost(&mut self, place: usize, which: usize, code: u16) {
        let at = self.clock(which);
        self.note(|| format!("{which} is told {code}"));
        let connection = &mut self.connections[place];
        if core::mem::replace(&mut connection.closed[which], true) {
            return;
        }
        if which == 1
            && let Some(fresh) = &mut connection.fresh
        {
            fresh.handle_lost(at, code);
        } else if self.at[which] == Some(connection.number) {
            self.at[which] = None;
            self.ends[which].session.handle_lost(at, code);
            self.is_dirty[which] = true;
            if which == 0 {
                self.reconnect();
            }
        }
    }

    fn reconnect(&mut self) {
        if !self.is_over(0) && self.connects.is_none() {
            self.connects = Some(self.now + self.plan.backoff);
        }
    }

    fn arrive(&mut self) {
        loop {
            let mut moved = false;
            for place in 0..self.connections.len() {
                for from in 0..2 {
                    let to = 1 - from;
                    if self.stalled[to] > self.now {
                        continue;
                    }
                    let Some(message) = self.connections[place].pipes[from].take(self.now) else { continue };
                    moved = true;
                    self.give(place, to, &message);
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// A message has come over a connection.
    pub(crate) fn give(&mut self, place: usize, to: usize, message: &[u8]) {
        let at = self.clock(to);
        let connection = &mut self.connections[place];
        if connection.closed[to] {
            return;
        }
        if to == 1
            && let Some(fresh) = &mut connection.fresh
        {
            fresh.handle_message(at, message);
            self.pump_fresh(place, message);
        } else if self.at[to] == Some(connection.number) {
            if self.plan.flips == 0 {
                self.wire.arrived(to, message);
                self.hear(to);
            }
            self.ends[to].session.handle_message(at, message);
            self.poll(to, message);
        } else {
            panic!("a connection that is open has no session");
        }
    }

    /// What the server's new session has to say: it knows soon what the client wants.
    pub(crate) fn pump_fresh(&mut self, place: usize, message: &[u8]) {
        loop {
            let connection = &mut self.connections[place];
            let Some(fresh) = &mut connection.fresh else { return };
            match fresh.poll_output(true) {
                Output::Transmit(out) => {
                    assert!(out.inserts.is_empty());
                    connection.pipes[1].give(self.now, out.bytes);
                }
                Output::Event(Event::Resume(request)) => {
                    if self.found(place, &request) {
                        return;
                    }
                }
                Output::Event(Event::Attached { .. }) => {
                    self.adopt(place, message);
                    return;
                }
                Output::Close(code) => {
                    self.close(place, 1, code);
                }
                Output::Event(_) => {}
                Output::Timeout(due) => {
                    let ahead = self.ends[1].ahead;
                    connection.fresh_timer =
                        due.map(|due| due.as_micros().saturating_sub(ahead).max(self.now));
                    return;
                }
                other => panic!("{other:?} of a session that has not greeted"),
            }
        }
    }

    /// A client begins a new session, since the server has forgotten the old one.
    fn adopt(&mut self, place: usize, message: &[u8]) {
        let connection = &mut self.connections[place];
        let (number, fresh) = (connection.number, connection.fresh.take().expect("it has just greeted"));
        let end = End::new(&self.plan, 1, *fresh, self.ends[1].ahead);
        self.past[1] = Some(core::mem::replace(&mut self.ends[1], end));
        (self.is_forgotten, self.is_closing) = (false, false);
        self.happened.push("begun anew");
        self.ends[1].handle(self.now, Event::Attached { epoch: 1 }, &[]);
        self.gets(1, number);
        self.wire.arrived(1, message);
        self.hear(1);
        self.poll(1, message);
    }

    /// Gives the connection to the session that the client asks for, if there is one.
    fn found(&mut self, place: usize, request: &ResumeRequest) -> bool {
        let at = self.clock(1);
        let knows = !self.is_over(1)
            && self.ends[1].session.token().is_some_and(|(token, _)| *token == request.token);
        let connection = &mut self.connections[place];
        if !knows {
            if let Some(fresh) = &mut connection.fresh {
                fresh.refuse(RefusedCode::UnknownSession, 0);
            }
            return false;
        }
        self.resumes += 1;
        let number = connection.number;
        (connection.fresh, connection.fresh_timer) = (None, None);
        // The client has given up the connection on which it is heard now.
        if self.at[1].is_some_and(|before| before > number) {
            self.may_be_superseded = true;
            self.happened.push("resumed in the wrong order");
        }
        self.ends[1].session.handle_fenced(at);
        let old = self.place(1);
        loop {
            match self.ends[1].session.poll_output(false) {
                Output::Event(event) => self.ends[1].handle(self.now, event, &[]),
                Output::Close(code) => {
                    let old = old.expect("a session without a connection closes one");
                    self.happened.push("fenced");
                    self.close(old, 1, code);
                }
                Output::Timeout(_) | Output::Blocked(_) => break,
                other => panic!("{other:?} of a session that is fenced"),
            }
        }
        // From here on nothing is read of the old one.
        if let Some(old) = old {
            assert!(self.connections[old].closed[1], "the old connection is still open");
        }
        let noise = self.noise();
        self.ends[1].session.handle_attached(at, noise);
        self.gets(1, number);
        self.ends[1].session.handle_resume(at, request);
        self.poll(1, &[]);
        true
    }

    /// One side closes: the other is told when everything before has arrived.
    fn close(&mut self, place: usize, which: usize, code: u16) {
        self.note(|| format!("{which} closes {code}"));
        self.connections[place].close(self.now, which, code);
        if self.at[which] == Some(self.connections[place].number) {
            self.at[which] = None;
            if which == 0 {
                self.reconnect();
            }
        }
    }

    fn pump(&mut self) {
        for which in 0..2 {
            if self.is_dirty[which] && self.stalled[which] <= self.now {
                self.poll(which, &[]);
            }
        }
    }

    /// Notes what was seen of items on the wire: handed over by, or given to `which`.
    fn hear(&mut self, which: usize) {
        for news in core::mem::take(&mut self.wire.news) {
            match news {
                News::Began(id) => self.ends[which].begins(self.now, id),
                News::Arrived(id) => {
                    if let Some(sent) = self.ends[1 - which].sent.get_mut(id) {
                        sent.has_arrived = true;
                    }
                }
                News::MayOpen(count) => {
                    let most = self.ends[which].may_be_opened(self.wire.ended_of_peer(which));
                    if count > most {
                        self.findings
                            .push(("I12", format!("{which} allows {count} channels instead of {most}")));
                    }
                }
            }
        }
    }

    /// Carries out what a session says.
    fn poll(&mut self, which: usize, message: &[u8]) {
        if which == 1 && self.is_forgotten {
            return;
        }
        let at = self.clock(which);
        self.is_dirty[which] = false;
        self.ends[which].session.handle_time(at);
        self.ends[which].session.handle_task();
        loop {
            let place = self.place(which);
            let room = which == 0
                || place.is_none_or(|place| self.connections[place].pipes[1].standing(self.now) < 65_536);
            let end = &mut self.ends[which];
            let before = end.session.gauges();
            match end.session.poll_output(room) {
                Output::Transmit(out) => self.transmit(which, out, &before),
                Output::Look => {
                    let amount =
                        place.map_or(0, |place| self.connections[place].pipes[which].amount(self.now));
                    end.session.handle_amount(at, amount);
                }
                Output::Event(event) => {
                    if self.prints && !matches!(event, Event::Chunk(_)) {
                        println!("{:>10} {which} {event:?}", self.now);
                    }
                    end.handle(self.now, event, message);
                    self.begin_anew(which);
                }
                Output::Close(code) => {
                    let place = place.expect("a session without a connection closes one");
                    self.close(place, which, code);
                }
                ref output @ (Output::Blocked(due) | Output::Timeout(due)) => {
                    self.is_blocked[which] = matches!(output, Output::Blocked(_));
                    self.set_timer(which, due);
                    self.settle(which, room);
                    return;
                }
                other => panic!("{other:?} in a world without host values"),
            }
        }
    }

    fn set_timer(&mut self, which: usize, due: Option<Timestamp>) {
        let late = self.plan.late[which];
        self.timers[which] = due.map(|due| {
            let due = due.as_micros().saturating_sub(self.ends[which].ahead).max(self.now);
            match self.timers[which] {
                // A timer that is set for no later stays as late as it is.
                Some(set) if set >= due && set <= due + late => set,
                _ => due + if late == 0 { 0 } else { self.random.between(0, late) },
            }
        });
    }

    /// A session has said all that it has to say.
    fn settle(&mut self, which: usize, room: bool) {
        self.polls += 1;
        let is_open = self.place(which).is_some_and(|place| !self.connections[place].closed[which]);
        if !room || !is_open || self.plan.flips > 0 || self.ends[which].over.is_some() {
            return;
        }
        if !self.polls.is_multiple_of(16) {
            return;
        }
        self.wire.settle(which, &self.ends[which].waiting());
        let end = &mut self.ends[which];
        for (key, known) in end.channels.iter().filter(|(_, known)| !known.is_dropped) {
            if let (Some(is), Some(should)) = (end.session.credit(*key), self.wire.credit(which, &known.name))
                && is != should
            {
                self.findings.push(("I3", format!("credit of {}: {is:?} instead of {should:?}", known.name)));
            }
        }
    }

    /// A client whose session is unknown begins another one on the same connection.
    fn begin_anew(&mut self, which: usize) {
        let Some(over) = self.ends[which].over.filter(|_| which == 0 && self.past[0].is_none()) else {
            return;
        };
        let Cause::Refused { code: RefusedCode::UnknownSession, .. } = over.cause else { return };
        let Some(place) = self.place(0) else { return };
        let (at, number, noise) = (self.clock(0), self.connections[place].number, self.noise());
        let mut session = Session::new(at, config(&self.plan, 0));
        session.handle_attached(at, noise);
        let end = End::new(&self.plan, 0, session, self.ends[0].ahead);
        self.past[0] = Some(core::mem::replace(&mut self.ends[0], end));
        self.findings.append(&mut self.wire.findings);
        self.wire = Wire::new(&self.plan);
        self.gets(0, number);
    }

    fn transmit(&mut self, which: usize, out: Outgoing, before: &Gauges) {
        assert!(out.inserts.is_empty() && !out.bytes.is_empty());
        self.messages += 1;
        self.now.hash(&mut self.hash);
        out.bytes.hash(&mut self.hash);
        let gauges = self.ends[which].session.gauges();
        assert!(gauges.budget >= 2 * u64::from(gauges.chunk), "I5: {gauges:?}");
        let limit = u64::from(config(&self.plan, which).settings.replay_limit_bytes);
        assert!(gauges.log <= limit, "I4: {gauges:?}");
        assert!(gauges.windows <= 64 << 20, "I4: {gauges:?}");
        self.note(|| {
            let kinds: Vec<_> = crate::wire::records(&out.bytes)
                .iter()
                .map(|record| format!("{:02x}:{}", record.kind, record.whole.len()))
                .collect();
            format!("{which} sends {} in flight {} of {}", kinds.join(" "), gauges.in_flight, gauges.budget)
        });
        if gauges.in_flight > before.in_flight {
            let chunk = u64::from(gauges.chunk.max(before.chunk));
            let most = gauges.budget.max(before.budget).max(before.in_flight) + chunk + 32;
            // A message has several records, of which the first may be larger than the budget.
            let is_within = gauges.in_flight <= most || before.in_flight == 0;
            assert!(is_within, "I5: {gauges:?}, before {before:?}");
        }
        let Some(place) = self.place(which) else { panic!("a session without a connection sends") };
        let mut bytes = out.bytes;
        if self.plan.flips == 0 {
            self.wire.sent(which, &bytes);
            self.hear(which);
        } else if self.random.once_in(self.plan.flips) {
            let at = self.random.between(0, bytes.len() as u64 - 1) as usize;
            bytes[at] ^= 1 << self.random.between(0, 7);
            self.happened.push("flipped");
        }
        if which == 1 && bytes[0] == crate::wire::RESUMED && self.loses_resumed > 0 {
            self.loses_resumed -= 1;
            self.happened.push("RESUMED lost");
            self.connections[place].cut(self.now, [self.plan.backoff / 2; 2], 1006, true);
            return;
        }
        self.connections[place].pipes[which].give(self.now, bytes);
    }
}
