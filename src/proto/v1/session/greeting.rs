//! How a connection begins for a session, how it is lost, and how the session ends.

use alloc::string::String;
use alloc::vec::Vec;

use super::phase::{Awaits, Phase, Step};
use super::receive::violation;
use super::{Cause, Event, Loose, Outgoing, Output, Over, ResumeRequest, Session, Side, TOKEN_BYTES, Token};
use crate::proto::v1::channel::{ChannelKey, Stage};
use crate::proto::v1::code::{FatalCode, RefusedCode, Retry, SessionFate, fate_of_close};
use crate::proto::v1::record::{Fault, Hello, Raw, Record, Resume, Resumed, Welcome};
use crate::proto::v1::replay::Ends;
use crate::proto::v1::resume::{self, Position};
use crate::proto::{Done, Outcome};
use crate::time::{Duration, Timestamp};

/// The version of the protocol that is spoken here.
pub(super) const VERSION: u8 = 1;

/// What this side has to say before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// HELLO or RESUME, as the phase says; WELCOME or RESUMED, by the epoch.
    Due,
    /// It has been said.
    Said,
}

impl Session {
    /// A connection is open. `random` decides what this side sends that means nothing; 0 for nothing of the sort.
    ///
    /// Only for a session that has none.
    pub fn handle_attached(&mut self, now: Timestamp, random: u64) {
        self.now = now;
        let Phase::Detached { .. } = self.phase else { return };
        let awaits = match (&self.config.side, self.epoch) {
            (Side::Server { .. }, _) => Awaits::Hello,
            (Side::Client, 0) => Awaits::Welcome,
            (Side::Client, _) => Awaits::Resumed,
        };
        let due = now.saturating_add(self.config.hello_timeout);
        self.phase = self.phase.next(Step::Attached { awaits, due });
        self.greeting = if self.config.is_server() { Greeting::Said } else { Greeting::Due };
        self.random = random;
        self.retry_after_ms = 0;
        self.budget.restart(now);
        self.bucket.handle_attached(now, self.mux.open_count());
        self.liveness.handle_attached(now);
        self.is_silent = false;
        self.loose = Loose::default();
        self.restates = false;
        self.has_looked = false;
        self.allowance = 0;
        self.waits_since = None;
    }

    /// The connection is gone; its close code, 1006 if there was none.
    pub fn handle_lost(&mut self, now: Timestamp, code: u16) {
        self.now = now;
        if !self.is_attached() {
            return;
        }
        let (fate, retry) = fate_of_close(code);
        // What another connection has taken over is this attempt, of which the session knows nothing yet.
        let resumes = matches!(self.phase, Phase::Greeting { awaits: Awaits::Resumed, .. });
        let lives = match fate {
            SessionFate::Detached | SessionFate::Untouched => retry != Retry::StaysClosed,
            SessionFate::Elsewhere => resumes,
            SessionFate::Ended => false,
        };
        if lives && self.may_go_on() {
            self.detach();
            return;
        }
        let retry_after_ms = self.retry_after_ms;
        let told = u64::from(code.saturating_sub(4200));
        self.over(match (fate, code) {
            (SessionFate::Elsewhere, _) => Cause::Superseded,
            (_, 1000 | 4200) => Cause::Closed,
            (_, 4216..=4221) => self.cause_of(RefusedCode::from_wire(told), retry_after_ms),
            (SessionFate::Ended, 4201..=4299) => Cause::Told(FatalCode::from_wire(told)),
            _ => Cause::Lost { code },
        });
    }

    /// Whether the session outlives its connection.
    fn may_go_on(&self) -> bool {
        self.epoch > 0 && self.token.is_some()
    }

    /// The connection is gone, and nobody will try again: as [`handle_lost`](Self::handle_lost), but the session is over
    /// even if it could be resumed.
    pub fn handle_lost_for_good(&mut self, now: Timestamp, code: u16) {
        self.handle_lost(now, code);
        if matches!(self.phase, Phase::Detached { .. }) {
            self.over(if self.is_silent { Cause::Silent } else { Cause::Lost { code } });
        }
    }

    /// A server has found this session for another connection: the present one is closed, and nothing that it still
    /// brings counts.
    pub fn handle_fenced(&mut self, now: Timestamp) {
        self.now = now;
        if self.is_attached() {
            self.pending.push_back(Output::Close(FatalCode::Superseded.close_code()));
            self.detach();
        }
    }

    /// Whether a client's RESUME may be about this session as it is. Asked before anything is done to it, so that a claim
    /// that another one has overtaken, on a connection that its client has given up, ends nothing: it is refused
    /// with [`RefusedCode::ReplayGap`] by [`refuse`](Self::refuse).
    #[must_use]
    pub fn may_resume(&self, request: &ResumeRequest) -> bool {
        self.phase != Phase::Over && !resume::is_stale(self.position(), request.position)
    }

    /// A client wants to go on with this session, over the connection that was just attached to it. If this side has
    /// lost what that needs it is refused, and the session is over; the client may greet for a new one.
    pub fn handle_resume(&mut self, now: Timestamp, request: &ResumeRequest) {
        self.now = now;
        if !matches!(self.phase, Phase::Greeting { awaits: Awaits::Hello | Awaits::Decision, .. }) {
            return;
        }
        if resume::check(self.position(), request.position).is_none() {
            self.put_refused(RefusedCode::ReplayGap, 0);
            self.over(Cause::Refused { code: RefusedCode::ReplayGap, retry_after_ms: 0 });
            return;
        }
        self.epoch += 1;
        self.resumed(request.position.rx);
    }

    /// A client's RESUME is refused. After [`RefusedCode::Auth`] and [`RefusedCode::Busy`] the connection is closed,
    /// and this session over; after the others the client may greet for a new session, which is this one.
    pub fn refuse(&mut self, code: RefusedCode, retry_after_ms: u64) {
        if !matches!(self.phase, Phase::Greeting { awaits: Awaits::Decision, .. }) {
            return;
        }
        self.put_refused(code, retry_after_ms);
        if matches!(code, RefusedCode::Auth | RefusedCode::Busy) {
            self.pending.push_back(Output::Close(code.close_code()));
            self.over(Cause::Refused { code, retry_after_ms });
        } else {
            self.phase = self.phase.next(Step::MayGreetAgain);
        }
    }

    fn put_refused(&mut self, code: RefusedCode, retry_after_ms: u64) {
        let mut out = Outgoing::default();
        Record::Refused { code, retry_after_ms, reason: code.name() }.put(None, &mut out.bytes);
        self.pending.push_back(Output::Transmit(out));
    }

    /// What this side has and knows.
    pub(super) fn position(&self) -> Position {
        Position { rx: self.acks.rx, tx_oldest: self.log.oldest(), tx_next: self.log.next() }
    }

    /// Ends the session: the peer has broken the protocol.
    pub(super) fn fail(&mut self, fault: &Fault) {
        // PROTOCOL section 6.1: what stands behind RESUME is the fault of this connection, and whoever could be asked for
        // another session is not asked.
        self.pending.retain(|output| !matches!(output, Output::Event(Event::Resume(_))));
        let mut out = Outgoing::default();
        let Fault { code, record_type, why } = *fault;
        Record::Error { code, record_type, reason: why }.put(None, &mut out.bytes);
        self.pending.push_back(Output::Transmit(out));
        self.pending.push_back(Output::Close(code.close_code()));
        self.over(Cause::Peer { code, why });
    }

    /// The session is over: everything has its end.
    pub(super) fn over(&mut self, cause: Cause) {
        if self.phase == Phase::Over {
            return;
        }
        self.phase = self.phase.next(Step::Ended);
        let keys: Vec<ChannelKey> = self.mux.live().map(|(_, key)| key).collect();
        for key in keys {
            let begun = self.mux.get_mut(key).and_then(|channel| channel.begun.take());
            if let Some(begun) = begun {
                self.finish_begun(&begun, Outcome::Unknown);
            }
        }
        while let Some(entry) = self.log.give_up() {
            if let Some((source, _)) = entry.content {
                self.release_source(source);
            }
            if let Some(Ends::Item(done)) = entry.ends {
                self.finish(Done { outcome: Outcome::Unknown, ..done });
            }
        }
        while let Some(item) = self.queue.remove_any() {
            self.finish_queued(&item, Outcome::Unsent);
        }
        self.event(Event::Over(Over { cause, unsent: self.unsent, unknown: self.unknown }));
    }

    /// The session goes on without a connection, until its time is over.
    pub(super) fn detach(&mut self) {
        let until = self.now.saturating_add(Duration::from_secs(self.resume_ttl_s));
        self.phase = self.phase.next(Step::Lost { until });
        self.liveness.handle_detached();
        self.event(Event::Detached { retry_after_ms: self.retry_after_ms });
    }

    /// Both sides have greeted.
    fn agree(&mut self) {
        self.phase = self.phase.next(Step::Agreed);
        self.use_times();
        let replay_limit = u64::from(self.config.settings.replay_limit_bytes);
        self.budget.set_limits(self.peer.max_message_bytes.saturating_sub(31), replay_limit);
        self.event(Event::Attached { epoch: self.epoch });
    }

    fn use_times(&mut self) {
        let rules = if self.config.is_server() { &self.config.settings } else { &self.peer };
        let times = [rules.ping_interval_ms, rules.idle_timeout_ms];
        let [ping, idle] = times.map(|millis| Duration::from_millis(u64::from(millis)));
        self.liveness.set_times(ping, idle);
    }

    /// The session goes on, and the peer has everything up to `rx`.
    fn resumed(&mut self, rx: u64) {
        self.drop_acknowledged(rx);
        self.log.restart();
        self.waits_since = None;
        // What is acknowledged by the greeting needs no acknowledgement.
        self.acks.hold = None;
        self.acks.note_told();
        self.restates = true;
        if self.config.is_server() {
            self.greeting = Greeting::Due;
        }
        self.agree();
    }

    pub(super) fn apply_hello(&mut self, raw: &Raw<'_>, hello: &Hello<'_>) -> Result<(), Fault> {
        if hello.ver_min > VERSION || hello.ver_max < VERSION {
            return Err(Fault { code: FatalCode::Version, record_type: raw.kind, why: "no common version" });
        }
        self.peer = hello.settings;
        self.mux.set_own_limit(u64::from(self.peer.max_channels));
        self.end_too_long();
        self.epoch = 1;
        self.greeting = Greeting::Due;
        self.agree();
        Ok(())
    }

    /// Ends channels that wait for their OPEN, if HELLO takes less of a name than the constants.
    fn end_too_long(&mut self) {
        let [most_name, most_meta] = [self.peer.max_name_bytes, self.peer.max_meta_bytes].map(u64::from);
        let (mux, mut too_long) = (&self.mux, Vec::new());
        for (_, key) in self.opens.iter() {
            if let Some(Stage::Pending { name, meta, .. }) = mux.get(*key).map(|channel| &channel.stage)
                && (name.len() as u64 > most_name || meta.len() as u64 > most_meta)
            {
                too_long.push(*key);
            }
        }
        for key in too_long {
            self.end_unopened(key, Outcome::Unsent);
        }
    }

    pub(super) fn apply_resume(&mut self, raw: &Raw<'_>, resume: &Resume<'_>) -> Result<(), Fault> {
        if resume.ver != VERSION {
            return Err(Fault { code: FatalCode::Version, record_type: raw.kind, why: "no common version" });
        }
        let Ok(token) = Token::try_from(resume.token) else {
            return Err(violation(raw, "token length"));
        };
        self.phase = self.phase.next(Step::Asked);
        let position = Position { rx: resume.rx, tx_oldest: resume.tx_oldest, tx_next: resume.tx_next };
        self.event(Event::Resume(ResumeRequest { token, position }));
        Ok(())
    }

    pub(super) fn apply_welcome(&mut self, raw: &Raw<'_>, welcome: &Welcome<'_>) -> Result<(), Fault> {
        if welcome.ver != VERSION {
            return Err(Fault {
                code: FatalCode::Version,
                record_type: raw.kind,
                why: "version never offered",
            });
        }
        // None is offered yet.
        if welcome.features != 0 {
            return Err(violation(raw, "feature never offered"));
        }
        self.peer = welcome.settings;
        self.mux.raise_own_limit(u64::from(self.peer.max_channels));
        let keys: Vec<ChannelKey> = self.mux.live().map(|(_, key)| key).collect();
        for key in keys {
            if let Some(channel) = self.mux.get_mut(key) {
                channel.send_window.raise(u64::from(self.peer.initial_window));
                channel.max_item = channel.max_item.max(u64::from(self.peer.max_item_bytes));
                self.set_ready(key);
            }
        }
        self.token = <[u8; TOKEN_BYTES]>::try_from(welcome.token).ok();
        self.resume_ttl_s = welcome.resume_ttl_s;
        self.hint = String::from(welcome.hint);
        if self.token.is_none() {
            for source in self.log.forget_content() {
                self.release_source(source);
            }
        }
        self.epoch = 1;
        self.agree();
        Ok(())
    }

    pub(super) fn apply_resumed(&mut self, raw: &Raw<'_>, resumed: &Resumed<'_>) -> Result<(), Fault> {
        let Resumed { epoch, rx, tx_oldest, tx_next, .. } = *resumed;
        if resume::check(self.position(), Position { rx, tx_oldest, tx_next }).is_none() {
            let why = "positions do not meet";
            return Err(Fault { code: FatalCode::SeqMismatch, record_type: raw.kind, why });
        }
        self.peer = resumed.settings(raw, self.peer)?;
        self.epoch = epoch.max(2);
        self.resumed(rx);
        Ok(())
    }

    /// Time has passed. Does nothing before the moment that [`Output::Timeout`] named.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.now = now;
        match self.phase {
            Phase::Detached { until: Some(until) } | Phase::Greeting { until: Some(until), .. }
                if until <= now =>
            {
                if self.is_attached() {
                    self.pending.push_back(Output::Close(FatalCode::Timeout.close_code()));
                }
                self.over(Cause::Expired);
            }
            Phase::Greeting { due, .. } if due <= now => {
                self.pending.push_back(Output::Close(FatalCode::Timeout.close_code()));
                if self.may_go_on() { self.detach() } else { self.over(Cause::NoGreeting) }
            }
            Phase::Greeting { .. } | Phase::Open => self.check_life(),
            Phase::Detached { .. } | Phase::Over => {}
        }
        if let Some(drain) = self.drain.filter(|drain| drain.due <= now) {
            self.end_in_order(drain.code);
        }
    }

    /// Closes in good order, as GOAWAY has announced.
    pub(super) fn end_in_order(&mut self, code: FatalCode) {
        if self.is_attached() {
            self.acknowledge_at_last();
            self.pending.push_back(Output::Close(code.close_code()));
        }
        self.over(Cause::Closed);
    }
}
