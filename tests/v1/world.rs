//! Both sides, what is between them, and what happens to it, in virtual time.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use tidegate::proto::v1::{Event, Outgoing, Output, RefusedCode, ResumeRequest, Session};
use tidegate::time::Timestamp;

use crate::end::{End, config};
use crate::link::Pipe;
use crate::plan::{Fault, Plan};
use crate::random::Random;

/// After which time a run is said never to end.
const LIMIT: u64 = 3_600_000_000;

/// One connection.
struct Connection {
    /// What the client sends, and what the server sends.
    pipes: [Pipe; 2],
    /// The server's session until it is known which one the client wants.
    fresh: Option<Box<Session>>,
    /// Who has given it up, or was told that it is gone; with its close code, what the other one is told, and when.
    closed: [bool; 2],
    news: [Option<(u64, u16)>; 2],
}

/// What a run has shown.
pub(crate) struct Trace {
    pub(crate) ends: [End; 2],
    pub(crate) hash: u64,
    pub(crate) resumes: u64,
    pub(crate) lasted: u64,
    pub(crate) messages: u64,
}

/// See the module's page.
pub(crate) struct World {
    plan: Plan,
    now: u64,
    random: Random,
    ends: [End; 2],
    connection: Option<Connection>,
    /// When the client connects again.
    connects: Option<u64>,
    timers: [Option<u64>; 2],
    fresh_timer: Option<u64>,
    /// When the applications act.
    acts: [Vec<u64>; 2],
    faults: Vec<(u64, Fault)>,
    hash: DefaultHasher,
    resumes: u64,
    messages: u64,
    is_closing: bool,
    /// How often something has happened without time going on.
    stays: u64,
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
        Self {
            now: 0,
            random: Random::new(34, plan.seed),
            ends: [End::new(&plan, 0), End::new(&plan, 1)],
            connection: None,
            connects: Some(0),
            timers: [None; 2],
            fresh_timer: None,
            acts,
            faults,
            hash: DefaultHasher::new(),
            resumes: 0,
            messages: 0,
            is_closing: false,
            stays: 0,
            prints,
            plan,
        }
    }

    fn note(&self, what: impl FnOnce() -> String) {
        if self.prints {
            println!("{:>10} {}", self.now, what());
        }
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.now)
    }

    /// Goes on until both sessions are over.
    pub(crate) fn run(mut self) -> Trace {
        while self.ends.iter().any(|end| end.over.is_none()) {
            self.pump();
            self.finish_in_time();
            self.pump();
            let Some(next) = self.next() else {
                if self.ends.iter().all(|end| end.over.is_some()) {
                    break;
                }
                // A server that never was connected, or whose client is gone for ever.
                assert!(self.ends[0].over.is_some(), "nothing is left to happen\n{:?}", self.stand());
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
        let hash = self.hash.finish();
        Trace { ends: self.ends, hash, resumes: self.resumes, lasted: self.now, messages: self.messages }
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
        let is_settled = self.ends.iter().all(End::has_settled);
        if is_settled && !self.is_closing && !self.ends[0].is_detached {
            self.is_closing = true;
            self.note(|| "the client closes".into());
            let at = self.at();
            self.ends[0].session.handle_close(at, 20_000);
        }
    }

    fn next(&mut self) -> Option<u64> {
        let mut next = self.connects;
        let mut consider = |at: Option<u64>| next = [next, at].into_iter().flatten().min();
        self.timers.iter().chain([&self.fresh_timer]).for_each(|at| consider(*at));
        self.acts.iter().for_each(|acts| consider(acts.last().copied()));
        consider(self.faults.last().map(|fault| fault.0));
        self.ends.iter().for_each(|end| consider(end.next_take()));
        if let Some(connection) = &self.connection {
            for (which, pipe) in connection.pipes.iter().enumerate() {
                consider(pipe.next_arrival());
                if which == 1 {
                    consider(pipe.next_leaving());
                }
            }
            connection.news.iter().for_each(|news| consider(news.map(|news| news.0)));
        }
        let all_over = self.ends.iter().all(|end| end.over.is_some());
        if !all_over {
            consider((self.now < self.plan.lasts).then_some(self.plan.lasts));
        }
        next.map(|next| next.max(self.now))
    }

    /// Whatever is due happens.
    fn step(&mut self) {
        let at = self.at();
        if self.connects.is_some_and(|when| when <= self.now) {
            self.connects = None;
            self.connect();
        }
        for which in 0..2 {
            if self.timers[which].is_some_and(|when| when <= self.now) {
                self.timers[which] = None;
                self.ends[which].session.handle_timeout(at);
            }
            while self.acts[which].last().is_some_and(|when| *when <= self.now) {
                self.acts[which].pop();
                if self.ends[which].over.is_none() && !self.is_closing {
                    self.ends[which].act(self.now);
                }
            }
            self.ends[which].take(self.now);
        }
        if self.fresh_timer.is_some_and(|when| when <= self.now) {
            self.fresh_timer = None;
            if let Some(fresh) = self.connection.as_mut().and_then(|connection| connection.fresh.as_mut()) {
                fresh.handle_timeout(at);
            }
        }
        while let Some((when, fault)) = self.faults.last().copied()
            && when <= self.now
        {
            self.faults.pop();
            self.fault(fault);
        }
        self.arrive();
        for which in 0..2 {
            let news = self
                .connection
                .as_mut()
                .and_then(|connection| connection.news[which].take_if(|news| news.0 <= self.now));
            if let Some((_, code)) = news {
                self.lost(which, code);
            }
        }
    }

    fn fault(&mut self, fault: Fault) {
        let now = self.now;
        self.note(|| format!("{fault:?}"));
        let Some(connection) = &mut self.connection else { return };
        match fault {
            Fault::Cut { told, code } => {
                for (which, told) in told.into_iter().enumerate() {
                    connection.pipes[which].cut();
                    if !connection.closed[which] {
                        let known = connection.news[which].map_or(u64::MAX, |news| news.0);
                        // What has arrived before is read before the end is.
                        let last = connection.pipes[1 - which].next_arrival().map_or(0, |_| 500_000);
                        connection.news[which] = Some((known.min(now + told + last), code));
                    }
                }
            }
            Fault::Dies { direction } => connection.pipes[direction].cut(),
        }
    }

    fn connect(&mut self) {
        if self.ends[0].over.is_some() {
            return;
        }
        self.note(|| "connects".into());
        let at = self.at();
        let pipes = [0, 1].map(|which| {
            let mut link = self.plan.links[which].clone();
            // Another path may have another rate.
            if self.resumes > 0 && self.random.once_in(3) {
                let rate = self.random.of(&[50_000, 500_000, 5_000_000]);
                link.rates = vec![(0, rate)];
            }
            Pipe::new(link, Random::new(40 + which as u64, self.random.bits()))
        });
        let mut fresh = Box::new(Session::new(at, config(&self.plan, 1)));
        fresh.handle_attached(at, self.random.bits() * u64::from(self.plan.grease));
        // The server's first session is the one that the end has.
        let fresh = if self.ends[1].epochs.is_empty()
            && self.ends[1].over.is_none()
            && !self.ends[1].session.is_attached()
        {
            self.ends[1].session.handle_attached(at, self.random.bits() * u64::from(self.plan.grease));
            None
        } else {
            Some(fresh)
        };
        if let Some(old) = &mut self.connection {
            // The old one may still be there for the server.
            old.closed[0] = true;
        }
        let random = self.random.bits() * u64::from(self.plan.grease);
        self.ends[0].session.handle_attached(at, random);
        self.connection = Some(Connection { pipes, fresh, closed: [false; 2], news: [None; 2] });
    }

    /// The connection is gone for one side.
    fn lost(&mut self, which: usize, code: u16) {
        let at = self.at();
        self.note(|| format!("{which} is told {code}"));
        let Some(connection) = &mut self.connection else { return };
        connection.closed[which] = true;
        if which == 1
            && let Some(fresh) = &mut connection.fresh
        {
            fresh.handle_lost(at, code);
        } else {
            self.ends[which].session.handle_lost(at, code);
        }
        if which == 0 {
            self.reconnect();
        }
    }

    fn reconnect(&mut self) {
        if self.ends[0].over.is_none() && self.connects.is_none() {
            self.connects = Some(self.now + self.plan.backoff);
        }
    }

    fn arrive(&mut self) {
        loop {
            let mut moved = false;
            for from in 0..2 {
                let Some(connection) = &mut self.connection else { return };
                let Some(message) = connection.pipes[from].take(self.now) else { continue };
                moved = true;
                let to = 1 - from;
                if connection.closed[to] {
                    continue;
                }
                let at = Timestamp::from_micros(self.now);
                if to == 1
                    && let Some(fresh) = &mut connection.fresh
                {
                    fresh.handle_message(at, &message);
                    self.pump_fresh();
                } else {
                    self.ends[to].session.handle_message(at, &message);
                    self.poll(to, &message);
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// What the server's new session has to say: it knows soon what the client wants.
    fn pump_fresh(&mut self) {
        let at = self.at();
        loop {
            let Some(connection) = &mut self.connection else { return };
            let Some(fresh) = &mut connection.fresh else { return };
            match fresh.poll_output(true) {
                Output::Transmit(out) => {
                    assert!(out.inserts.is_empty());
                    connection.pipes[1].give(self.now, out.bytes);
                }
                Output::Event(Event::Resume(request)) => {
                    if self.found(&request) {
                        return;
                    }
                }
                Output::Close(code) => {
                    self.close(1, code);
                    return;
                }
                Output::Event(Event::Over(_)) => return,
                Output::Event(_) => {}
                Output::Timeout(due) => {
                    self.fresh_timer = due.map(|due| due.as_micros().max(self.now));
                    return;
                }
                other => panic!("{at:?} {other:?}"),
            }
        }
    }

    /// Gives the connection to the session that the client asks for, if there is one.
    fn found(&mut self, request: &ResumeRequest) -> bool {
        let at = self.at();
        let end = &mut self.ends[1];
        let knows =
            end.over.is_none() && end.session.token().is_some_and(|(token, _)| *token == request.token);
        let Some(connection) = &mut self.connection else { return false };
        if !knows {
            if let Some(fresh) = &mut connection.fresh {
                fresh.refuse(RefusedCode::UnknownSession, 0);
            }
            return false;
        }
        self.resumes += 1;
        connection.fresh = None;
        self.fresh_timer = None;
        end.session.handle_fenced(at);
        loop {
            match end.session.poll_output(false) {
                Output::Event(event) => end.handle(self.now, event, &[]),
                // The old connection is not there any more.
                Output::Close(_) | Output::Transmit(_) => {}
                Output::Timeout(_) | Output::Blocked(_) => break,
                other => panic!("{other:?} in a world without host values"),
            }
        }
        let random = self.random.bits() * u64::from(self.plan.grease);
        end.session.handle_attached(at, random);
        end.session.handle_resume(at, request);
        self.poll(1, &[]);
        true
    }

    /// One side closes: the other is told when everything before has arrived.
    fn close(&mut self, which: usize, code: u16) {
        self.note(|| format!("{which} closes {code}"));
        let Some(connection) = &mut self.connection else { return };
        if core::mem::replace(&mut connection.closed[which], true) {
            return;
        }
        let link = &self.plan.links[which];
        let at = self.now + link.delay + 1_000_000;
        if !connection.closed[1 - which] && connection.news[1 - which].is_none() {
            connection.news[1 - which] = Some((at, code));
        }
        connection.news[which] = None;
        if which == 0 {
            self.reconnect();
        }
    }

    fn pump(&mut self) {
        for which in 0..2 {
            self.poll(which, &[]);
        }
        self.pump_fresh();
    }

    /// Whether the present connection is not this side's session's.
    fn is_elsewhere(&self, which: usize) -> bool {
        which == 1 && self.connection.as_ref().is_some_and(|connection| connection.fresh.is_some())
    }

    /// Carries out what a session says.
    fn poll(&mut self, which: usize, message: &[u8]) {
        let at = self.at();
        self.ends[which].session.handle_time(at);
        self.ends[which].session.handle_task();
        loop {
            let room = which == 0
                || self
                    .connection
                    .as_mut()
                    .is_none_or(|connection| connection.pipes[1].standing(self.now) < 65_536);
            let end = &mut self.ends[which];
            let before = end.session.gauges();
            match end.session.poll_output(room) {
                Output::Transmit(out) => self.transmit(which, out, before.in_flight),
                Output::Look => {
                    let amount = self
                        .connection
                        .as_mut()
                        .map_or(0, |connection| connection.pipes[which].amount(self.now));
                    end.session.handle_amount(at, amount);
                }
                Output::Event(event) => {
                    if self.prints && !matches!(event, Event::Chunk(_)) {
                        println!("{:>10} {which} {event:?}", self.now);
                    }
                    end.handle(self.now, event, message);
                }
                // What the server still says to a connection that is not there any more.
                Output::Close(_) if self.is_elsewhere(which) => {}
                Output::Close(code) => self.close(which, code),
                Output::Blocked(due) | Output::Timeout(due) => {
                    let late = self.plan.late[which];
                    self.timers[which] = due.map(|due| {
                        let due = due.as_micros().max(self.now);
                        match self.timers[which] {
                            // A timer that is set for no later stays as late as it is.
                            Some(set) if set >= due && set <= due + late => set,
                            _ => due + if late == 0 { 0 } else { self.random.between(0, late) },
                        }
                    });
                    return;
                }
                other => panic!("{other:?} in a world without host values"),
            }
        }
    }

    fn transmit(&mut self, which: usize, out: Outgoing, before: u64) {
        assert!(out.inserts.is_empty() && !out.bytes.is_empty());
        self.messages += 1;
        self.now.hash(&mut self.hash);
        out.bytes.hash(&mut self.hash);
        let gauges = self.ends[which].session.gauges();
        assert!(gauges.budget >= 2 * u64::from(gauges.chunk), "I5: {gauges:?}");
        assert!(gauges.log <= u64::from(self.plan.replay_limit.max(1_048_576)), "I4: {gauges:?}");
        assert!(gauges.windows <= 64 << 20, "I4: {gauges:?}");
        self.note(|| {
            format!("{which} sends {} in flight {} of {}", out.bytes.len(), gauges.in_flight, gauges.budget)
        });
        if gauges.in_flight > before {
            let most = gauges.budget.max(before) + u64::from(gauges.chunk) + 32;
            // A message has several records, of which the first may be larger than the budget.
            assert!(gauges.in_flight <= most || before == 0, "I5: {gauges:?}, before {before}");
        }
        if !self.is_elsewhere(which)
            && let Some(connection) = &mut self.connection
            && !connection.closed[which]
        {
            connection.pipes[which].give(self.now, out.bytes);
        }
    }
}
