//! Two sessions that keep to the protocol.

use std::collections::VecDeque;

use tidegate::proto::v1::{Cause, RefusedCode};

use super::super::input::Input;
use super::app::OPERATIONS;
use super::end::{End, Given};
use super::{MOST_OPERATIONS, TOKEN, config};

/// How many things may happen until both have come to their end.
const MOST_STEPS: usize = 4_000;

/// The connection and what is on its way over it.
#[derive(Default)]
struct Connection {
    /// From the client, and from the server. A close is the last.
    pipes: [VecDeque<Given>; 2],
    /// A side has closed it, or was told of its end.
    is_over: [bool; 2],
    /// What is sent is lost.
    is_cut: bool,
}

struct Peers<'a> {
    input: Input<'a>,
    ends: [End; 2],
    connection: Connection,
    /// The server's side of a connection until it is known whose it is.
    fresh: Option<End>,
    choice: u8,
    resumes: bool,
    noise: u64,
}

pub(super) fn run(input: Input<'_>, mode: u8, choices: [u8; 2]) {
    let resumes = mode & 2 != 0;
    let ends = [0, 1].map(|which| {
        let (config, is_exact) = config(choices[which], which == 1, resumes);
        End::new(0, &config, which == 1, is_exact, resumes && which == 1)
    });
    let mut peers = Peers {
        input,
        ends,
        connection: Connection::default(),
        fresh: None,
        choice: choices[1],
        resumes,
        noise: u64::from(mode >> 2),
    };
    for which in 0..2 {
        let noise = peers.noise();
        peers.ends[which].attach(noise);
        peers.poll(which, true);
    }
    for _ in 0..MOST_OPERATIONS {
        if peers.input.is_empty() {
            break;
        }
        peers.operate();
    }
    peers.finish();
}

impl Peers<'_> {
    /// Nothing, or what decides on what means nothing.
    fn noise(&mut self) -> u64 {
        if self.noise > 0 {
            self.noise = self.noise.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        }
        self.noise >> 8
    }

    fn operate(&mut self) {
        let operation = self.input.byte();
        let which = usize::from(operation & 1);
        match operation >> 1 {
            act @ 0..OPERATIONS => {
                self.ends[which].act(act, &mut self.input);
                self.poll(which, true);
            }
            16..=31 => {
                let most = self.input.byte();
                for _ in 0..=most & 15 {
                    self.deliver(which);
                }
            }
            32..=47 => {
                let byte = self.input.byte();
                let micros = match byte {
                    0..=127 => u64::from(byte) * 100,
                    128..=223 => u64::from(byte - 127) * 20_000,
                    _ => u64::from(byte - 223) * 5_000_000,
                };
                self.advance(micros);
            }
            48..=51 => drop(self.wait()),
            52..=55 => {
                let keeps = self.input.byte();
                self.cut([keeps & 15, keeps >> 4]);
            }
            56..=58 => drop(self.connect()),
            // The connection takes nothing at the moment.
            59 => self.poll(which, false),
            // It shows an amount in its buffer.
            60 => self.ends[which].amount = u64::from(self.input.byte()) << 10,
            _ => {
                self.deliver(0);
                self.deliver(1);
            }
        }
    }

    fn poll(&mut self, which: usize, room: bool) {
        let mut out = Vec::new();
        self.ends[which].poll(room, &[], &mut out);
        // What the server's session says to a connection that its client has given up goes nowhere.
        if which == 0 || self.fresh.is_none() {
            self.carry(which, out);
        }
    }

    /// Puts what a side has given its connection on the way.
    fn carry(&mut self, which: usize, out: Vec<Given>) {
        for given in out {
            assert!(!self.connection.is_over[which], "it says something without a connection: {given:?}");
            self.connection.is_over[which] = matches!(given, Given::Close(_));
            if !self.connection.is_cut {
                self.connection.pipes[which].push_back(given);
            }
        }
    }

    /// One message, or the end, arrives from `from`. Returns whether there was one.
    fn deliver(&mut self, from: usize) -> bool {
        let Some(given) = self.connection.pipes[from].pop_front() else { return false };
        let to = 1 - from;
        if self.connection.is_over[to] {
            return true;
        }
        let mut out = Vec::new();
        let fresh = if to == 1 { self.fresh.as_mut() } else { None };
        let end = fresh.unwrap_or(&mut self.ends[to]);
        match given {
            Given::Message(message) => end.hear(&message, &mut out),
            Given::Close(code) => {
                self.connection.is_over[to] = true;
                end.lose(code, &mut out);
            }
        }
        self.carry(to, out);
        if let Some(request) = self.fresh.as_mut().and_then(|fresh| fresh.request.take()) {
            assert_eq!(request.token, TOKEN);
            self.resume(&request);
        }
        true
    }

    /// The client asks for its session.
    fn resume(&mut self, request: &tidegate::proto::v1::ResumeRequest) {
        let mut out = Vec::new();
        if self.ends[1].over.is_some() {
            let fresh = self.fresh.as_mut().expect("it has asked");
            fresh.session.refuse(RefusedCode::UnknownSession, 0);
            fresh.poll(true, &[], &mut out);
            self.carry(1, out);
            return;
        }
        self.fresh = None;
        let server = &mut self.ends[1];
        assert!(server.session.may_resume(request), "nothing has overtaken it");
        if server.book.is_attached() {
            server.session.handle_fenced(server.at());
            server.poll(true, &[], &mut out);
            assert_eq!(out, [Given::Close(4_209)]);
        }
        let noise = self.noise();
        let rx = self.ends[0].book.rx;
        let server = &mut self.ends[1];
        server.attach(noise);
        server.session.handle_resume(server.at(), request);
        server.book.resume(rx);
        self.poll(1, true);
    }

    /// Everything from some message on is lost in each direction, and both sides hear so behind what is left.
    fn cut(&mut self, keeps: [u8; 2]) {
        if self.connection.is_cut {
            return;
        }
        self.connection.is_cut = true;
        for (pipe, keeps) in self.connection.pipes.iter_mut().zip(keeps) {
            pipe.truncate(keeps.into());
            if !matches!(pipe.back(), Some(Given::Close(_))) {
                pipe.push_back(Given::Close(1_006));
            }
        }
    }

    /// The client connects again, if it has to. The server may not know yet that the last connection is gone.
    fn connect(&mut self) -> bool {
        let client = &self.ends[0];
        if client.over.is_some() || client.book.is_attached() {
            return false;
        }
        self.connection = Connection::default();
        let (config, is_exact) = config(self.choice, true, self.resumes);
        let mut fresh = End::new(self.ends[1].now, &config, true, is_exact, self.resumes);
        fresh.attach(0);
        self.fresh = Some(fresh);
        let noise = self.noise();
        self.ends[0].attach(noise);
        self.poll(0, true);
        true
    }

    /// Time passes, and whatever is due happens.
    fn advance(&mut self, micros: u64) {
        for which in 0..2 {
            self.ends[which].now += micros;
            let mut out = Vec::new();
            self.ends[which].tick(&mut out);
            if which == 0 || self.fresh.is_none() {
                self.carry(which, out);
            }
        }
        let now = self.ends[0].now;
        if let Some(fresh) = &mut self.fresh {
            fresh.now = now;
            let mut out = Vec::new();
            fresh.tick(&mut out);
            self.carry(1, out);
        }
    }

    /// Time passes until something is due. Returns whether anything is.
    fn wait(&mut self) -> bool {
        let dues = self.ends.iter().chain(&self.fresh).filter_map(|end| end.due);
        let Some(due) = dues.min() else { return false };
        self.advance(due.saturating_sub(self.ends[0].now));
        true
    }

    /// Lets everything through, closes what is open and then the session, and looks whether all has come to its end.
    fn finish(mut self) {
        let mut is_settled = false;
        let mut stopped = [0; 2];
        for end in &mut self.ends {
            end.amount = 0;
        }
        let was_whole = |end: &End| end.over.is_none() && !end.is_closing;
        let was_whole = self.ends.iter().all(was_whole) && self.ends[0].book.epoch > 0;
        for _ in 0..MOST_STEPS {
            if self.ends.iter().all(|end| end.over.is_some()) {
                break;
            }
            let mut moved = false;
            for which in 0..2 {
                self.ends[which].close_all();
                while self.ends[which].take() {
                    moved = true;
                }
                self.ends[which].drop_ended();
                self.poll(which, true);
                moved |= self.deliver(which);
            }
            moved |= self.connect();
            let have_ended = self.ends.iter().all(|end| end.ids.is_empty() && end.over.is_none());
            if have_ended && !is_settled && self.ends[0].book.is_attached() {
                is_settled = true;
                // What came behind the end of a channel, as its other side saw it.
                stopped = [0, 1].map(|which| self.ends[which].unknown());
                self.ends[0].close(60_000);
                self.poll(0, true);
                moved = true;
            }
            if !moved && !self.wait() {
                break;
            }
        }
        for (which, end) in self.ends.iter().enumerate() {
            let Some(over) = end.over else {
                // Nobody is there who would have it end.
                assert!(which == 1 && self.ends[0].over.is_some() && end.due.is_none(), "{:?}", end.session);
                continue;
            };
            match over.cause {
                Cause::Closed
                | Cause::Lost { .. }
                | Cause::Expired
                | Cause::NoGreeting
                | Cause::Silent
                | Cause::Refused { code: RefusedCode::UnknownSession, .. } => {}
                other => panic!("{other:?} of two that keep to the protocol"),
            }
            if was_whole && is_settled && over.cause == Cause::Closed {
                assert_eq!(over.unknown.messages, stopped[which], "all had come to its end");
            }
        }
    }
}
