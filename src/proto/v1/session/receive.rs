//! What arrives: the order of checks, and what each record does.
//!
//! Everything is checked before any state is created or memory reserved. Records before a faulty one are applied,
//! later ones are not.

use alloc::vec::Vec;

use super::phase::{Awaits, Phase};
use super::{Cause, Event, GoingAway, Output, Session};
use crate::proto::v1::channel::{ChannelKey, Directions, Rx, Tx};
use crate::proto::v1::code::{ChannelCode, FatalCode, RefusedCode};
use crate::proto::v1::mux::Found;
use crate::proto::v1::record::{Fault, Raw, Record, Records, kind};
use crate::proto::v1::replay::Ends;
use crate::proto::{Done, Outcome, Priority};
use crate::time::{Duration, Timestamp};

pub(super) fn violation(raw: &Raw<'_>, why: &'static str) -> Fault {
    Fault { code: FatalCode::ProtocolViolation, record_type: raw.kind, why }
}

impl Session {
    /// A text message has arrived, which no peer may send.
    pub fn handle_text(&mut self, now: Timestamp) {
        self.now = now;
        if self.is_attached() {
            self.fail(&Fault { code: FatalCode::ProtocolViolation, record_type: 0, why: "text message" });
        }
    }

    /// A binary message has arrived.
    pub fn handle_message(&mut self, now: Timestamp, message: &[u8]) {
        self.now = now;
        if !self.is_attached() {
            return;
        }
        self.liveness.handle_received(now);
        if let Err(fault) = self.apply_all(message) {
            self.fail(&fault);
        }
    }

    fn apply_all(&mut self, message: &[u8]) -> Result<(), Fault> {
        let fault = |code, why| Fault { code, record_type: 0, why };
        if message.is_empty() {
            return Err(fault(FatalCode::ProtocolViolation, "empty message"));
        }
        if message.len() as u64 > u64::from(self.config.settings.max_message_bytes) {
            return Err(fault(FatalCode::TooBig, "message over max_message_bytes"));
        }
        let mut records = Records::new(message);
        while let Some(raw) = records.next() {
            let raw = raw?;
            if !raw.is_known() && !raw.is_ignorable() {
                return Err(violation(&raw, "unknown mandatory type"));
            }
            self.check_phase(&raw)?;
            let next = self.acks.rx + 1;
            #[allow(clippy::cast_possible_truncation, reason = "that is what seq16 is")]
            if raw.seq16.is_some_and(|seq16| seq16 != next as u16) {
                return Err(Fault { code: FatalCode::SeqMismatch, record_type: raw.kind, why: "seq16" });
            }
            let record = raw.decode(&self.config.settings)?;
            self.apply(&raw, record)?;
            if !self.is_attached() {
                return Ok(());
            }
            if raw.is_sequenced() {
                self.note_received(raw.bytes as u64);
            }
        }
        Ok(())
    }

    /// Whether a record may come now, and from this side.
    fn check_phase(&self, raw: &Raw<'_>) -> Result<(), Fault> {
        let is_greeting =
            matches!(raw.kind, kind::HELLO | kind::WELCOME | kind::RESUME | kind::RESUMED | kind::REFUSED);
        let fits = match self.phase {
            Phase::Greeting { awaits, .. } => match awaits {
                Awaits::Hello => matches!(raw.kind, kind::HELLO | kind::RESUME),
                Awaits::NewHello => raw.kind == kind::HELLO,
                Awaits::Welcome => matches!(raw.kind, kind::WELCOME | kind::REFUSED | kind::ERROR),
                Awaits::Resumed => matches!(raw.kind, kind::RESUMED | kind::REFUSED | kind::ERROR),
                Awaits::Decision => false,
            },
            _ if is_greeting => return Err(violation(raw, "greeting record in an open session")),
            _ => true,
        };
        if fits { Ok(()) } else { Err(violation(raw, "not a first record")) }
    }

    fn note_received(&mut self, bytes: u64) {
        let acks = &mut self.acks;
        acks.rx += 1;
        acks.rx_at = self.now;
        acks.bytes += bytes;
        if acks.due.is_none() {
            let delay = Duration::from_millis(u64::from(self.config.settings.max_ack_delay_ms));
            acks.due = Some(self.now.saturating_add(delay));
        }
        acks.is_due |= acks.bytes * 4 >= u64::from(self.peer.replay_limit_bytes);
    }

    /// A record that costs the peer nothing.
    pub(super) fn pay(&mut self, raw: &Raw<'_>) -> Result<(), Fault> {
        if self.bucket.take(self.now) {
            return Ok(());
        }
        Err(Fault {
            code: FatalCode::CalmDown,
            record_type: raw.kind,
            why: "too many records without effect",
        })
    }

    fn apply(&mut self, raw: &Raw<'_>, record: Record<'_>) -> Result<(), Fault> {
        match record {
            Record::Hello(hello) => self.apply_hello(raw, &hello),
            Record::Resume(resume) => self.apply_resume(raw, &resume),
            Record::Welcome(welcome) => self.apply_welcome(raw, &welcome),
            Record::Resumed(resumed) => self.apply_resumed(raw, &resumed),
            Record::Refused { code, retry_after_ms, .. } => {
                self.refused(code, retry_after_ms);
                Ok(())
            }
            Record::Error { code, .. } => {
                self.pending.push_back(Output::Close(code.close_code()));
                self.handle_lost(self.now, code.close_code());
                Ok(())
            }
            Record::Ack { rx, delay_us } => {
                self.pay(raw)?;
                self.apply_ack(raw, rx, Some(delay_us))
            }
            Record::Ping { t_us } => {
                self.pay(raw)?;
                self.loose.pong = Some((t_us, self.now));
                Ok(())
            }
            Record::Pong { t_us, rx, .. } => {
                self.pay(raw)?;
                self.liveness.handle_pong(t_us);
                self.apply_ack(raw, rx, None)
            }
            Record::GoAway { channels, code, drain_ms, reconnect_after_ms, jitter_ms, reason } => {
                self.pay(raw)?;
                let reason = reason.into();
                let going = GoingAway { channels, code, drain_ms, reconnect_after_ms, jitter_ms, reason };
                self.apply_goaway(going);
                Ok(())
            }
            Record::Credit { channel, limit } => {
                let found = self.find(raw, channel)?;
                self.pay(raw)?;
                if let Some(key) = found
                    && let Some(state) = self.mux.get_mut(key)
                    && state.send_window.raise(limit)
                {
                    self.set_ready(key);
                }
                Ok(())
            }
            Record::ChanLimit { count } => {
                self.pay(raw)?;
                self.mux.raise_own_limit(count);
                Ok(())
            }
            Record::Open(open) => self.apply_open(raw, &open),
            Record::Accept { channel, limit, max_item_bytes } => {
                self.apply_accept(raw, channel, limit, max_item_bytes)
            }
            Record::Reset { channel, dir, code, detail } => self.apply_reset(raw, channel, dir, code, detail),
            Record::Close { channel } => self.apply_close(raw, channel),
            Record::Data(data) => self.apply_data(raw, &data),
            Record::Blocked { channel, .. } => {
                self.find(raw, channel)?;
                self.pay(raw)
            }
            Record::Priority { channel, prio } => {
                let found = self.find(raw, channel)?;
                self.pay(raw)?;
                if let Some(key) = found
                    && let Some(state) = self.mux.get_mut(key)
                    && state.wish.replace(class(prio)).is_none()
                {
                    self.wishes.push_back(key);
                }
                Ok(())
            }
            Record::Pad { .. } | Record::Unknown { .. } => self.pay(raw),
        }
    }

    /// The channel of a record, unless it is over.
    pub(super) fn find(&self, raw: &Raw<'_>, id: u64) -> Result<Option<ChannelKey>, Fault> {
        match self.mux.find(id) {
            Found::Live(key) => Ok(Some(key)),
            Found::Over => Ok(None),
            Found::Never => Err(violation(raw, "channel never opened")),
        }
    }

    fn refused(&mut self, code: RefusedCode, retry_after_ms: u64) {
        // A busy server has not looked for the session: it is untouched, and the close code says so once more.
        if code == RefusedCode::Busy && self.epoch > 0 {
            self.retry_after_ms = retry_after_ms;
            return;
        }
        let cause = self.cause_of(code, retry_after_ms);
        if !matches!(cause, Cause::Refused { .. }) {
            // No new session begins here: when the client comes back was announced as well.
            self.pending.push_back(Output::Close(code.close_code()));
        }
        self.over(cause);
    }

    /// Why a session is over that the server does not have any more. PROTOCOL section 6.6: the close that it has announced
    /// may have been lost with the connection.
    pub(super) fn cause_of(&self, code: RefusedCode, retry_after_ms: u64) -> Cause {
        let is_gone =
            matches!(code, RefusedCode::UnknownSession | RefusedCode::Expired | RefusedCode::Evicted);
        match self.announced {
            Some(FatalCode::None) if is_gone => Cause::Closed,
            Some(why) if is_gone => Cause::Told(why),
            _ => Cause::Refused { code, retry_after_ms },
        }
    }

    fn apply_ack(&mut self, raw: &Raw<'_>, rx: u64, delay_us: Option<u64>) -> Result<(), Fault> {
        if rx > self.log.sent() {
            return Err(violation(raw, "acknowledges a number never sent"));
        }
        self.acknowledged(rx, delay_us);
        Ok(())
    }

    /// The peer has everything up to `rx`, as it has said on this connection.
    fn acknowledged(&mut self, rx: u64, delay_us: Option<u64>) {
        let newest = self.log.stamp(rx);
        let bytes = self.drop_acknowledged(rx);
        if let Some(newest) = newest {
            self.budget.handle_acknowledged(self.now, bytes, newest, delay_us);
        }
    }

    /// The same, as it has said in its greeting. Returns the sum of the sizes of the records.
    pub(super) fn drop_acknowledged(&mut self, rx: u64) -> u64 {
        let mut bytes = 0;
        while let Some(entry) = self.log.acknowledge(rx) {
            bytes += entry.bytes;
            if let Some((source, _)) = entry.content {
                self.release_source(source);
            }
            match entry.ends {
                Some(Ends::Item(done)) => self.finish(Done { outcome: Outcome::Delivered, ..done }),
                Some(Ends::Channel(tag)) => self.event(Event::Closed { tag, reset: None }),
                None => {}
            }
            self.waits_since = Some(self.now);
        }
        if self.log.sent() < self.log.oldest() {
            self.waits_since = None;
        }
        bytes
    }

    fn apply_goaway(&mut self, going: GoingAway) {
        let before = self.peer_handles.unwrap_or(u64::MAX).min(self.mux.own_opened());
        let handled = self.peer_handles.unwrap_or(u64::MAX).min(going.channels);
        (self.peer_handles, self.announced) = (Some(handled), Some(going.code));
        let opens = core::mem::take(&mut self.opens);
        for (_, key) in opens.iter() {
            let key = *key;
            self.end_unopened(key, Outcome::Unsent);
        }
        // GOAWAY costs the peer little: only one that says less has this side look, and at nothing twice.
        if handled < before {
            self.give_up(handled, before);
        }
        self.event(Event::GoingAway(going));
    }

    /// The peer handles only so many of this side's channels, of which `before` were left.
    fn give_up(&mut self, handled: u64, before: u64) {
        // What is under way on channels that nobody will handle is not applied: it is safe to send it again.
        let (first, behind) = (self.mux.own_id(handled), self.mux.own_id(before));
        let ending = self.log.ending_from(first).take_while(|id| *id < behind);
        let ending: Vec<u64> = ending.filter(|id| id % 2 == first % 2).collect();
        for id in ending {
            self.give_up_ends(id, Outcome::Unsent, (ChannelCode::Refused, &[]));
        }
        let unhandled = self.mux.own_from(handled).take_while(|(id, _)| *id < behind);
        let unhandled: Vec<ChannelKey> = unhandled.map(|(_, key)| key).collect();
        for key in unhandled {
            let Some(channel) = self.mux.get(key) else { continue };
            let (sends, receives) = (matches!(channel.tx, Tx::Open | Tx::Closing), channel.rx == Rx::Open);
            if sends {
                self.drop_items(key, Outcome::Unsent);
            }
            // Anything more would be acknowledged, and thrown away.
            let code = ChannelCode::Refused;
            self.handle_reset(key, Directions::Both, code, Vec::new());
            if sends {
                self.event(Event::PeerStopped { channel: key, code, detail: Vec::new() });
            }
            if receives {
                self.event(Event::PeerEnded { channel: key, code: Some(code), detail: Vec::new() });
            }
        }
    }
}

/// The class that a peer asks for.
pub(super) fn class(prio: u8) -> Priority {
    let at = usize::from(prio & 7).saturating_sub(1);
    Priority::ALL.get(at).copied().unwrap_or_default()
}
