//! What goes out: one WebSocket message at a time, of as many records as fit.
//!
//! The order inside a connection: the greeting; what was lost with the last connection, in the order of numbers; CHAN_LIMIT
//! and CREDIT; control; data. ACK, PONG and PING go at any time behind the greeting.

use alloc::vec::Vec;
use core::ops::Range;

use super::greeting::{Greeting, VERSION};
use super::phase::{Awaits, Phase};
use super::{Cause, Control, Insert, Outgoing, Output, Session, Side, earlier};
use crate::proto::v1::budget::Class;
use crate::proto::v1::channel::{ChannelKey, Stage};
use crate::proto::v1::code::FatalCode;
use crate::proto::v1::flow::SendWindow;
use crate::proto::v1::liveness::Verdict;
use crate::proto::v1::record::{Meta, Open, Record, kind};
use crate::proto::v1::replay::{Ends, Entry, SourceKey};
use crate::proto::{Outcome, Payload};
use crate::time::{Duration, Timestamp};

/// More than any unsequenced record takes, and than GOAWAY and those that mean nothing do together.
pub(super) const LOOSE_BYTES: u64 = 160;

/// The most that ACK takes: type, length, and two numbers of 8 bytes.
pub(super) const MOST_ACK: u64 = 18;

/// How long after a look at the connection's buffer the next one may come unasked, in microseconds.
const LOOK_AGAIN: u64 = 4_000;

/// How often a peer's wish for another class is granted.
const WISH_EVERY: Duration = Duration::from_millis(20);

/// By when the acknowledgement of what was handed over is late, beyond twice what it takes: one second.
const ACK_LATE: u64 = 1_000_000;

impl Session {
    /// What to do next. `room` says whether the connection takes a message now.
    pub fn poll_output(&mut self, room: bool) -> Output {
        loop {
            if let Some(output) = self.pending.pop_front() {
                if let Some(channel) = output.channel().and_then(|key| self.mux.get_mut(key)) {
                    channel.events = channel.events.saturating_sub(1);
                }
                return output;
            }
            if self.phase == Phase::Over {
                return Output::Timeout(None);
            }
            if self.expire() || self.grant_wish() {
                continue;
            }
            if self.has_drained() {
                if !room && self.acks.rx > self.acks.told {
                    return Output::Blocked(self.due(false));
                }
                let code = self.drain.map_or(FatalCode::None, |drain| drain.code);
                self.end_in_order(code);
                continue;
            }
            if !self.may_send() {
                return Output::Timeout(self.due(true));
            }
            (self.is_blocked, self.is_buffer_full, self.wants_look) = (false, false, false);
            if !room {
                return Output::Blocked(self.due(false));
            }
            self.budget.handle_time(self.now);
            if let Some(out) = self.compose() {
                self.allowance = self.allowance.saturating_sub(out.len());
                return Output::Transmit(out);
            }
            if !self.pending.is_empty() {
                continue;
            }
            if self.wants_look {
                return Output::Look;
            }
            return Output::Timeout(self.due(true));
        }
    }

    /// Whether this side may say anything now.
    fn may_send(&self) -> bool {
        match self.phase {
            Phase::Open | Phase::Greeting { awaits: Awaits::Welcome, .. } => true,
            Phase::Greeting { awaits: Awaits::Resumed, .. } => self.greeting == Greeting::Due,
            _ => false,
        }
    }

    /// Whether everything has gone that is to go before the end.
    fn has_drained(&self) -> bool {
        let Some(drain) = self.drain else { return false };
        self.phase == Phase::Open
            && self.loose.went
            && self.queue.is_empty()
            && self.log.is_empty()
            && self.controls.is_empty()
            && self.opens.len() == 0
            && !(drain.channels && self.mux.open_count() > 0)
    }

    /// Ends an item whose deadline has passed. Returns whether there was one.
    fn expire(&mut self) -> bool {
        let Some(item) = self.queue.expire(self.now) else { return false };
        let key = ChannelKey(item.flow.0);
        self.finish_queued(&item, Outcome::Expired);
        self.close_if_sent(key);
        true
    }

    /// Gives a channel the class that the peer wants. Returns whether one was waiting.
    ///
    /// It costs a step for each queued item, and the peer next to nothing: hence 50 in a second, of which the newest of
    /// each channel counts.
    fn grant_wish(&mut self) -> bool {
        if self.wish_due().is_none_or(|due| due > self.now) {
            return false;
        }
        while let Some(key) = self.wishes.pop_front() {
            // Of a channel that is over nothing is left to wish.
            let Some(wish) = self.mux.get_mut(key).and_then(|channel| channel.wish.take()) else { continue };
            self.wished_at = Some(self.now);
            self.set_priority(key, wish);
            return true;
        }
        false
    }

    /// When the next wish is granted.
    fn wish_due(&self) -> Option<Timestamp> {
        self.wishes.front()?;
        Some(self.wished_at.map_or(self.now, |at| at.saturating_add(WISH_EVERY)))
    }

    /// When to be called again at the latest. Without `room` no moment for saying something counts.
    fn due(&mut self, room: bool) -> Option<Timestamp> {
        let mut due = earlier(self.phase.due(), self.queue.next_deadline());
        due = earlier(due, self.drain.map(|drain| drain.due));
        due = earlier(due, self.wish_due());
        if !self.is_attached() {
            return due;
        }
        due = earlier(due, self.liveness.due(self.slack(), self.acknowledgement_due()));
        if self.phase != Phase::Open {
            return due;
        }
        if room && self.acks.upto() > self.acks.told {
            due = earlier(due, self.acks.due);
        }
        if self.is_blocked {
            due = earlier(due, self.budget.due());
            if self.is_buffer_full {
                let again = self.looked_at.saturating_add(Duration::from_micros(LOOK_AGAIN * 3));
                due = earlier(due, Some(again));
            }
        }
        due
    }

    /// How much longer than the peer's silence may last what is under way may take.
    fn slack(&self) -> Duration {
        Duration::from_micros(self.budget.slack_micros().saturating_mul(2))
    }

    /// When the acknowledgement that is awaited is late.
    fn acknowledgement_due(&self) -> Option<Timestamp> {
        let since = self.waits_since?;
        let takes = self.budget.round_trip_micros().unwrap_or(ACK_LATE / 2) + self.budget.slack_micros();
        Some(since.saturating_add(Duration::from_micros(takes.saturating_mul(2).saturating_add(ACK_LATE))))
    }

    /// Whether its connection was given up since nothing came over it, until there is another.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.is_silent
    }

    /// Looks after the peer's life.
    pub(super) fn check_life(&mut self) {
        match self.liveness.handle_timeout(self.now, self.slack(), self.acknowledgement_due()) {
            Verdict::Nothing => {}
            Verdict::Ping => {
                self.loose.ping = true;
                self.bucket.earn_ping();
            }
            Verdict::Dead => {
                self.is_silent = true;
                self.pending.push_back(Output::Close(FatalCode::Timeout.close_code()));
                if self.epoch > 0 && self.token.is_some() {
                    self.detach();
                } else {
                    self.over(Cause::Silent);
                }
            }
        }
    }

    /// The next message, if there is something to say.
    fn compose(&mut self) -> Option<Outgoing> {
        let mut out = Outgoing::default();
        if self.greeting == Greeting::Due {
            self.greeting = Greeting::Said;
            self.put_greeting(&mut out);
        }
        if self.phase == Phase::Open {
            let replays = self.log.unsent().is_some();
            if !replays && core::mem::take(&mut self.restates) {
                self.restate();
            }
            if replays {
                // The peer may not know the channels yet.
                self.put_answers(&mut out);
                self.replay(&mut out);
                if self.is_blocked {
                    self.acks.hold = None;
                }
                return (!out.is_empty()).then_some(out);
            }
            if !self.put_limits(&mut out) {
                return Some(out);
            }
            self.put_answers(&mut out);
            self.put_grease(&mut out);
        } else if !matches!(self.phase, Phase::Greeting { awaits: Awaits::Welcome, .. }) {
            return (!out.is_empty()).then_some(out);
        }
        let target = self.target();
        self.queue.set_unit(self.budget.chunk_bytes() + 32);
        // What has waited for its OPEN goes before the channel's data, ACCEPT above all.
        let goes_on = self.put_controls(&mut out, target)
            && self.put_opens(&mut out, target)
            && self.put_controls(&mut out, target);
        // One that has to wait, and not only for the next message, must not keep the peer from making room for it.
        if self.is_blocked || self.stops == 0 {
            self.acks.hold = None;
        }
        if goes_on {
            self.put_data(&mut out, target);
        }
        let has_room = out.len() + MOST_ACK <= u64::from(self.peer.max_message_bytes);
        if !out.is_empty() && has_room && self.acks.upto() > self.acks.told && self.phase == Phase::Open {
            self.put_ack(&mut out);
        }
        (!out.is_empty()).then_some(out)
    }

    /// How long a message becomes of several records.
    fn target(&self) -> u64 {
        (u64::from(self.budget.chunk_bytes()) + 32).min(u64::from(self.peer.max_message_bytes))
    }

    fn put_greeting(&mut self, out: &mut Outgoing) {
        let position = self.position();
        let grease = (self.random != 0).then_some(self.random >> 8 & 0xff);
        let mut settings = Vec::new();
        let token = self.token.as_ref().map_or(&[][..], |token| &token[..]);
        let record = match (&self.config.side, self.epoch) {
            (Side::Client, 0) => {
                self.config.settings.put(&mut settings, grease);
                Record::hello(VERSION, 0, &settings)
            }
            (Side::Client, _) => {
                Record::resume(VERSION, token, position.rx, position.tx_oldest, position.tx_next)
            }
            (Side::Server { hint, .. }, 1) => {
                self.config.settings.put(&mut settings, grease);
                Record::welcome(VERSION, 0, self.resume_ttl_s, token, hint, &settings)
            }
            (Side::Server { .. }, epoch) => {
                Record::resumed(epoch, position.rx, position.tx_oldest, position.tx_next, &settings)
            }
        };
        record.put(None, &mut out.bytes);
        if grease.is_some() && self.epoch <= 1 {
            self.grease();
        }
    }

    /// Something that means nothing, so that nobody comes to rely on there being none.
    fn grease(&mut self) {
        self.loose.pad = true;
        let which = usize::from(self.random & 4 != 0);
        if self.random & 2 == 0 {
            self.loose.grease = kind::GREASE.get(which).copied();
        } else if let Some(kind) = kind::GREASE_SEQUENCED.get(which) {
            self.say(Control::Grease(*kind));
        }
    }

    /// After what was lost the peer is told again what it may do.
    fn restate(&mut self) {
        self.loose.chan_limit = true;
        self.loose.credits.clear();
        let keys: Vec<ChannelKey> = self.mux.live().map(|(_, key)| key).collect();
        for key in keys {
            let Some(channel) = self.mux.get_mut(key) else { continue };
            channel.owes_credit = channel.rx == super::Rx::Open;
            if channel.owes_credit {
                channel.recv_window.regrant();
                self.loose.credits.push_back(key);
            }
        }
    }

    fn put_ack(&mut self, out: &mut Outgoing) {
        let acks = &mut self.acks;
        let delay_us = self.now.micros_since(acks.rx_at);
        Record::Ack { rx: acks.upto(), delay_us }.put(None, &mut out.bytes);
        acks.note_told();
    }

    /// Before the connection is closed in good order: what is not acknowledged then the peer takes for unknown. Whether there
    /// is room for it or not, as ERROR.
    pub(super) fn acknowledge_at_last(&mut self) {
        // Before GOAWAY what came behind a channel that it does not handle would pass for delivered.
        let is_goaway_due = self.goaway.is_some() && !self.loose.went;
        if self.phase != Phase::Open || self.greeting == Greeting::Due || is_goaway_due {
            return;
        }
        if self.stops == 0 {
            self.acks.hold = None;
        } else if self.acks.hold.is_none() {
            // RESET has waited for room, and does not go any more: the peer would take for delivered what was thrown away.
            return;
        }
        if self.acks.upto() > self.acks.told {
            let mut out = Outgoing::default();
            self.put_ack(&mut out);
            self.pending.push_back(Output::Transmit(out));
        }
    }

    /// What limits the peer, and GOAWAY behind it; false if there is more than the message holds.
    fn put_limits(&mut self, out: &mut Outgoing) -> bool {
        if core::mem::take(&mut self.loose.chan_limit) {
            Record::ChanLimit { count: self.mux.peer_limit() }.put(None, &mut out.bytes);
        }
        let most = u64::from(self.peer.max_message_bytes).saturating_sub(LOOSE_BYTES);
        while out.len() <= most
            && let Some(key) = self.loose.credits.pop_front()
        {
            // One that has ended since owes nothing, nor does another with its key before it has said so itself.
            let Some(channel) = self.mux.get_mut(key).filter(|channel| channel.owes_credit) else { continue };
            channel.owes_credit = false;
            if let (Stage::Known(id), super::Rx::Open) = (&channel.stage, channel.rx) {
                let limit = channel.recv_window.limit();
                Record::Credit { channel: *id, limit }.put(None, &mut out.bytes);
            }
        }
        if out.len() > most {
            return false;
        }
        if let Some(going) = &self.goaway
            && !core::mem::replace(&mut self.loose.went, true)
        {
            let &super::GoingAway { channels, code, drain_ms, reconnect_after_ms, jitter_ms, ref reason } =
                going;
            Record::GoAway { channels, code, drain_ms, reconnect_after_ms, jitter_ms, reason }
                .put(None, &mut out.bytes);
        }
        true
    }

    /// Answers that are due. Not before GOAWAY, but among what is replayed: what is acknowledged behind it was handled.
    fn put_answers(&mut self, out: &mut Outgoing) {
        if let Some((t_us, came)) = self.loose.pong.take() {
            let hold_us = self.now.micros_since(came);
            let peer_t_us = self.now.as_micros();
            Record::Pong { t_us, hold_us, peer_t_us, rx: self.acks.upto() }.put(None, &mut out.bytes);
            self.acks.note_told();
        }
        if self.acks.is_due(self.now) {
            self.put_ack(out);
        }
        if core::mem::take(&mut self.loose.ping)
            && let Some(pinged) = self.liveness.pinged()
        {
            Record::Ping { t_us: pinged.as_micros() }.put(None, &mut out.bytes);
        }
    }

    /// What means nothing, on its turn.
    fn put_grease(&mut self, out: &mut Outgoing) {
        if core::mem::take(&mut self.loose.pad) {
            Record::Pad { body: &[] }.put(None, &mut out.bytes);
        }
        if let Some(kind) = self.loose.grease.take() {
            Record::put_unknown(kind, None, &mut out.bytes);
        }
    }

    /// Hands over again what the last connection has lost.
    fn replay(&mut self, out: &mut Outgoing) {
        let target = self.target();
        while let Some(entry) = self.log.unsent() {
            if !out.is_empty() && out.len() + entry.bytes > target {
                return;
            }
            if !self.budget.admits(entry.bytes, Class::Other) {
                self.is_blocked = true;
                return;
            }
            entry.stamp = Some(self.budget.handle_sent(self.now, entry.bytes, Class::Other));
            out.bytes.extend_from_slice(&entry.head);
            if let Some((source, range)) = &entry.content {
                self.sources.put(*source, range.clone(), out);
            }
            self.log.note_sent();
            self.waits_since = self.waits_since.or(Some(self.now));
        }
    }

    /// Whether a record of this size may go now.
    pub(super) fn admits(&mut self, bytes: u64, class: Class) -> bool {
        self.admits_all(1, bytes, class)
    }

    /// Whether so many records of this size together may go now.
    fn admits_all(&mut self, records: u64, bytes: u64, class: Class) -> bool {
        let goes = self.log_takes(records, bytes) && self.budget.admits(bytes, class);
        self.is_blocked |= !goes;
        goes
    }

    /// Whether the log has room for so many records of this size together.
    pub(super) fn log_takes(&mut self, records: u64, bytes: u64) -> bool {
        let takes = self.log.has_room(records, bytes, u64::from(self.config.settings.replay_limit_bytes));
        self.is_blocked |= !takes;
        takes
    }

    /// Hands a sequenced record over: `head`, and behind it a part of a source.
    pub(super) fn hand_over(
        &mut self,
        out: &mut Outgoing,
        class: Class,
        head: Vec<u8>,
        content: Option<(SourceKey, Range<u64>)>,
        ends: Option<(Ends, u64)>,
    ) {
        let bytes = head.len() as u64 + content.as_ref().map_or(0, |(_, range)| range.end - range.start);
        let stamp = Some(self.budget.handle_sent(self.now, bytes, class));
        self.bucket.earn_sequenced();
        self.waits_since = self.waits_since.or(Some(self.now));
        out.bytes.extend_from_slice(&head);
        if let Some((source, range)) = &content {
            self.sources.put(*source, range.clone(), out);
        }
        let keeps = self.log.keeps();
        let content = content.filter(|_| keeps);
        if let Some((source, _)) = &content {
            self.sources.hold(*source);
        }
        let head = if keeps { head } else { Vec::new() };
        let channel = ends.as_ref().map_or(u64::MAX, |(_, channel)| *channel);
        let ends = ends.map(|(ends, _)| ends);
        self.log.push(Entry { bytes, head, content, stamp, ends, channel, before: 0 });
    }

    /// Hands over OPENs. Returns whether the message has room for more.
    fn put_opens(&mut self, out: &mut Outgoing, target: u64) -> bool {
        while self.mux.may_open()
            && let Some((place, key)) = self.opens.first()
        {
            let Some(channel) = self.mux.get(key) else {
                self.opens.remove(place);
                continue;
            };
            let Stage::Pending { name, meta, .. } = &channel.stage else {
                self.opens.remove(place);
                continue;
            };
            let (mut head, mut accept) = (Vec::new(), Vec::new());
            let id = self.mux.next_own();
            let open = Open {
                channel: id,
                kind: channel.kind.to_wire(),
                #[allow(clippy::cast_possible_truncation, reason = "there are four")]
                prio: channel.class.index() as u8 + 1,
                name,
                meta: Meta::new(meta),
            };
            Record::Open(open).put(Some(self.log.next()), &mut head);
            if channel.has_accepted {
                // In the same message: whoever hears of the channel knows what may be sent on it.
                let window = &channel.recv_window;
                let (limit, max_item_bytes) = (window.limit(), window.max_item());
                let record = Record::Accept { channel: id, limit, max_item_bytes };
                record.put(Some(self.log.next() + 1), &mut accept);
            }
            let bytes = (head.len() + accept.len()) as u64;
            if !out.is_empty() && out.len() + bytes > target {
                return false;
            }
            let records = 1 + u64::from(!accept.is_empty());
            if !self.admits_all(records, bytes, Class::Control) {
                return false;
            }
            self.opens.remove(place);
            self.hand_over(out, Class::Control, head, None, None);
            if !accept.is_empty() {
                self.hand_over(out, Class::Control, accept, None, None);
            }
            let id = self.mux.name(key);
            let Some(channel) = self.mux.get_mut(key) else { continue };
            channel.stage = Stage::Known(id);
            channel.send_window = SendWindow::new(u64::from(self.peer.initial_window));
            channel.max_item = u64::from(self.peer.max_item_bytes);
            self.set_ready(key);
            self.say_what_waited(key);
        }
        true
    }

    /// Whether the connection's buffer takes more data; if that is not known, it is to be looked at.
    pub(super) fn buffer_takes(&mut self) -> bool {
        if !self.config.transport_takes_all || self.allowance > 0 {
            return true;
        }
        (self.is_blocked, self.is_buffer_full) = (true, true);
        self.wants_look = !self.has_looked || self.now.micros_since(self.looked_at) >= LOOK_AGAIN;
        false
    }
}

impl crate::proto::v1::replay::Sources {
    /// Puts a range of a source into a message.
    fn put(&self, source: SourceKey, range: Range<u64>, out: &mut Outgoing) {
        match self.get(source) {
            #[cfg(not(feature = "js"))]
            Some(Payload::Text(text)) => put_range(text.as_bytes(), range, out),
            #[cfg(not(feature = "js"))]
            Some(Payload::Binary(bytes)) => put_range(bytes, range, out),
            Some(Payload::Hosted(hosted)) => {
                out.inserts.push(Insert { at: out.bytes.len(), slot: hosted.slot, range });
            }
            None => {}
        }
    }
}

#[cfg(not(feature = "js"))]
fn put_range(bytes: &[u8], range: Range<u64>, out: &mut Outgoing) {
    let range =
        usize::try_from(range.start).unwrap_or(usize::MAX)..usize::try_from(range.end).unwrap_or(usize::MAX);
    if let Some(part) = bytes.get(range) {
        out.bytes.extend_from_slice(part);
    }
}
