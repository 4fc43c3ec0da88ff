//! Both sides, what is between them, and what happens to it, in virtual time.

mod attach;
mod says;

use std::hash::{DefaultHasher, Hasher as _};

use tidegate::proto::v1::Session;
use tidegate::time::Timestamp;

use crate::check::Finding;
use crate::connection::Connection;
use crate::end::{End, config};
use crate::plan::{Fault, Plan};
use crate::random::Random;
use crate::wire::Wire;

/// After which time a run is said never to end.
const LIMIT: u64 = 3_600_000_000;

/// How long the last one may take to close: until it is noticed that a connection is dead (6.5: 45 s, and as much again),
/// and another one has brought what that has lost.
const CLOSING_MS: u64 = 300_000;

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
        if self.wire.has_opener_accepted {
            self.happened.push("accepted by the opener");
        }
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
        let can_close =
            !self.is_over(which) && !self.ends[which].is_detached && self.stalled[which] <= self.now;
        if is_settled && !self.is_closing && can_close {
            self.is_closing = true;
            self.note(|| format!("{which} closes"));
            self.wire.go_away(which);
            self.ends[which].close(self.now, CLOSING_MS);
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

    fn pump(&mut self) {
        for which in 0..2 {
            if self.is_dirty[which] && self.stalled[which] <= self.now {
                self.poll(which, &[]);
            }
        }
    }
}
