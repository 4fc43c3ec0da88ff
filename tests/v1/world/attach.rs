//! Connections: how they come, which session gets them, and how they go.

use tidegate::proto::v1::{Cause, Event, Output, RefusedCode, ResumeRequest, Session, Side};

use super::World;
use crate::connection::Connection;
use crate::end::{End, config};
use crate::plan::Fault;
use crate::wire::Wire;

impl World {
    /// A connection, whose server's side does not know yet for which session it is.
    pub(crate) fn open(&mut self) -> usize {
        self.opened += 1;
        let at = self.clock(1);
        let mut config = config(&self.plan, 1);
        if let Side::Server { resume: Some((_, token)), .. } = &mut config.side {
            // Each session has a token of its own.
            token[..8].copy_from_slice(&self.opened.to_be_bytes());
        }
        let mut fresh = Box::new(Session::new(at, config));
        fresh.handle_attached(at, self.noise());
        let is_first = self.resumes == 0;
        self.connections.push(Connection::new(&self.plan, &mut self.random, self.opened, is_first, fresh));
        self.connections.len() - 1
    }

    pub(super) fn connect(&mut self) {
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
    pub(super) fn gets(&mut self, which: usize, number: u64) {
        self.at[which] = Some(number);
        self.ends[which].attached_at = self.clock(which).as_micros();
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
            self.ends[which].was_told |= code == 4200;
            self.ends[which].session.handle_lost(at, code);
            self.is_dirty[which] = true;
            if which == 0 {
                self.reconnect();
            }
        }
    }

    pub(super) fn reconnect(&mut self) {
        if !self.is_over(0) && self.connects.is_none() {
            self.connects = Some(self.now + self.plan.backoff);
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
    pub(super) fn adopt(&mut self, place: usize, message: &[u8]) {
        let connection = &mut self.connections[place];
        let (number, fresh) = (connection.number, connection.fresh.take().expect("it has just greeted"));
        let end = End::new(&self.plan, 1, *fresh, self.ends[1].ahead);
        self.past[1] = Some(core::mem::replace(&mut self.ends[1], end));
        (self.is_forgotten, self.is_closing) = (false, false);
        self.happened.push("begun anew");
        self.ends[1].handle(self.now, Event::Attached { epoch: 1 }, &[]);
        self.gets(1, number);
        // What bits have done to it the second reader need not bear.
        if self.plan.flips == 0 {
            self.wire.arrived(1, message);
            self.hear(1);
        }
        self.poll(1, message);
    }

    /// Gives the connection to the session that the client asks for, if there is one.
    pub(super) fn found(&mut self, place: usize, request: &ResumeRequest) -> bool {
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
        if !self.ends[1].session.may_resume(request) {
            // A later RESUME has overtaken it.
            self.happened.push("refused as stale");
            if let Some(fresh) = &mut connection.fresh {
                fresh.refuse(RefusedCode::ReplayGap, 0);
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
    pub(super) fn close(&mut self, place: usize, which: usize, code: u16) {
        self.note(|| format!("{which} closes {code}"));
        let clock = self.clock(which).as_micros();
        let end = &mut self.ends[which];
        let is_own = self.at[which] == Some(self.connections[place].number);
        end.closed_in_time |= is_own && code == 4200 && end.closes_by.is_some_and(|by| clock < by);
        self.connections[place].close(self.now, which, code);
        if self.at[which] == Some(self.connections[place].number) {
            self.at[which] = None;
            if which == 0 {
                self.reconnect();
            }
        }
    }

    /// A client whose session is unknown begins another one on the same connection.
    pub(super) fn begin_anew(&mut self, which: usize) {
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
}
