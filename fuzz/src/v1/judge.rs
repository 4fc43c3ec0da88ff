//! What has to become of a session by what it hears: sections 4.5, 5, 7.4 and 7.6 of PROTOCOL.md and the bucket of section 11, as
//! plain as can be.

use tidegate::proto::v1::Settings;

use super::book::{Awaits, Book, Channel, Partial, Phase};
use super::wire::{
    ABORT, ACCEPT, ACK, BLOCKED, Body, CHAN_LIMIT, CLOSE, CREDIT, DATA, ERROR, FIRST, GOAWAY, HELLO, KNOWN,
    LAST, Malformed, OPEN, PAD, PING, PONG, PRIORITY, REFUSED, RESET, RESUME, RESUMED, Record, TEXT, WELCOME,
    record, seq16,
};

const PROTOCOL_VIOLATION: u64 = 1;
const VERSION: u64 = 2;
const TOO_BIG: u64 = 3;
const FLOW_CONTROL: u64 = 4;
const SEQ_MISMATCH: u64 = 5;
const CALM_DOWN: u64 = 6;

/// What becomes of a session that has heard a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes on.
    Goes,
    /// It ends with this code.
    Fails(u64),
    /// The peer has ended it, or refused it.
    Ends,
    /// A client asks for an old session, which is where this says.
    Resumes([u8; 32], [u64; 3]),
}

impl From<Malformed> for Verdict {
    fn from(_: Malformed) -> Self {
        Self::Fails(PROTOCOL_VIOLATION)
    }
}

/// That it does not go on.
type Heard = Result<(), Verdict>;

fn violation<T>() -> Result<T, Verdict> {
    Err(Verdict::Fails(PROTOCOL_VIOLATION))
}

impl Book {
    /// A text message has come.
    pub(crate) fn hears_text(&mut self) -> Verdict {
        self.may_fail = None;
        if self.is_attached() { Verdict::Fails(PROTOCOL_VIOLATION) } else { Verdict::Goes }
    }

    pub(crate) fn is_attached(&self) -> bool {
        matches!(self.phase, Phase::Greeting(_) | Phase::Open)
    }

    /// A binary message has come.
    pub(crate) fn hears(&mut self, now: u64, mut message: &[u8]) -> Verdict {
        self.may_fail = None;
        if !self.is_attached() {
            return Verdict::Goes;
        }
        if message.is_empty() {
            return Verdict::Fails(PROTOCOL_VIOLATION);
        }
        if message.len() as u64 > u64::from(self.config.settings.max_message_bytes) {
            return Verdict::Fails(TOO_BIG);
        }
        let mut resumes = None;
        while !message.is_empty() {
            match self.hear_next(now, &mut message) {
                Ok(()) => {}
                Err(Verdict::Resumes(token, position)) => resumes = Some(Verdict::Resumes(token, position)),
                Err(verdict) => return verdict,
            }
        }
        resumes.unwrap_or(Verdict::Goes)
    }

    fn hear_next(&mut self, now: u64, message: &mut &[u8]) -> Heard {
        let record = record(message)?;
        if !KNOWN.contains(&record.kind) && record.kind & 0x80 == 0 {
            return violation();
        }
        let is_greeting = (HELLO..=REFUSED).contains(&record.kind);
        let fits = match self.phase {
            Phase::Greeting(Awaits::Hello) => matches!(record.kind, HELLO | RESUME),
            Phase::Greeting(Awaits::NewHello) => record.kind == HELLO,
            Phase::Greeting(Awaits::Welcome) => matches!(record.kind, WELCOME | REFUSED | ERROR),
            Phase::Greeting(Awaits::Resumed) => matches!(record.kind, RESUMED | REFUSED | ERROR),
            Phase::Greeting(Awaits::Decision) | Phase::Detached | Phase::Over => false,
            Phase::Open => !is_greeting,
        };
        if !fits {
            return violation();
        }
        if record.seq16.is_some_and(|number| number != seq16(self.rx + 1)) {
            return Err(Verdict::Fails(SEQ_MISMATCH));
        }
        self.apply(now, &record)?;
        self.rx += u64::from(record.seq16.is_some());
        Ok(())
    }

    fn apply(&mut self, now: u64, record: &Record<'_>) -> Heard {
        let mut body = Body(record.body);
        match record.kind {
            HELLO => self.hello(body),
            WELCOME => self.welcome(body),
            RESUME => {
                if body.byte()? != 1 {
                    return Err(Verdict::Fails(VERSION));
                }
                let len = body.byte()?;
                let token = <[u8; 32]>::try_from(body.take(len.into())?).map_err(|_| Malformed)?;
                let position = position(&mut body)?;
                body.end()?;
                self.phase = Phase::Greeting(Awaits::Decision);
                Err(Verdict::Resumes(token, position))
            }
            RESUMED => {
                body.number()?;
                let position = position(&mut body)?;
                let settings = settings(body, self.peer, RESUMED)?;
                if !self.may_resume(position) {
                    return Err(Verdict::Fails(SEQ_MISMATCH));
                }
                self.peer = settings;
                self.resume(position[0]);
                Ok(())
            }
            REFUSED => {
                let [code, _] = body.numbers()?;
                reason(body)?;
                // 21: the session is as it was, and so is the connection until the server closes it.
                if code == 21 && self.epoch > 0 { Ok(()) } else { Err(Verdict::Ends) }
            }
            ERROR => {
                body.number()?;
                body.byte()?;
                reason(body)?;
                Err(Verdict::Ends)
            }
            ACK | PING | PONG | GOAWAY | CHAN_LIMIT => self.loose(now, record.kind, body),
            CREDIT | BLOCKED | PRIORITY => {
                let id = body.number()?;
                let value = if record.kind == PRIORITY { body.byte()?.into() } else { body.number()? };
                body.end()?;
                if record.kind == PRIORITY && !(1..=4).contains(&value) {
                    return violation();
                }
                self.find(id)?;
                self.pay(now, true)?;
                let channel = self.find(id)?;
                if record.kind == CREDIT {
                    channel.limit = channel.limit.max(value);
                }
                Ok(())
            }
            OPEN => self.open(body),
            ACCEPT => {
                let [id, limit, max_item] = body.numbers()?;
                body.end()?;
                let channel = self.find(id)?;
                if channel.was_accepted || channel.has_ended {
                    return violation();
                }
                channel.was_accepted = true;
                channel.limit = channel.limit.max(limit);
                channel.takes = channel.takes.max(max_item);
                Ok(())
            }
            RESET => self.reset(now, body),
            CLOSE => {
                let id = body.number()?;
                body.end()?;
                let channel = self.find(id)?;
                if channel.has_ended || channel.partial.is_some() || awaits_accept(channel) {
                    return violation();
                }
                channel.has_ended = true;
                Ok(())
            }
            DATA => self.data(body),
            // PAD, and what nobody knows.
            PAD.. => self.pay(now, true),
            _ => violation(),
        }
    }

    /// A channel that was opened.
    fn find(&mut self, id: u64) -> Result<&mut Channel, Verdict> {
        self.channel(id).ok_or(Verdict::Fails(PROTOCOL_VIOLATION))
    }

    fn pay(&mut self, now: u64, is_sure: bool) -> Heard {
        let [least, most] = self.pots.pay(now, is_sure);
        if !most {
            return Err(Verdict::Fails(CALM_DOWN));
        }
        if !least {
            self.may_fail = self.may_fail.or(Some(CALM_DOWN));
        }
        Ok(())
    }

    /// What this side has not told it may have decided all the same.
    fn beyond(&mut self) -> Heard {
        if self.is_exact && self.is_settled {
            return Err(Verdict::Fails(FLOW_CONTROL));
        }
        self.may_fail = self.may_fail.or(Some(FLOW_CONTROL));
        Ok(())
    }

    fn hello(&mut self, mut body: Body<'_>) -> Heard {
        let (least, most) = (body.byte()?, body.byte()?);
        body.number()?;
        if least > most {
            return violation();
        }
        if !(least..=most).contains(&1) {
            settings(body, Settings::default(), 0)?;
            return Err(Verdict::Fails(VERSION));
        }
        self.peer = settings(body, Settings::default(), HELLO)?;
        self.may_open = self.peer.max_channels.into();
        (self.phase, self.epoch) = (Phase::Open, 1);
        Ok(())
    }

    fn welcome(&mut self, mut body: Body<'_>) -> Heard {
        if body.byte()? != 1 {
            return Err(Verdict::Fails(VERSION));
        }
        let [features, ttl] = body.numbers()?;
        let len = body.byte()?;
        body.take(len.into())?;
        if features != 0 || !matches!(len, 0 | 32) || (len == 0) != (ttl == 0) {
            return violation();
        }
        self.has_token = len == 32;
        let len = body.byte()?;
        let hint = body.take(len.into())?;
        if !hint.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte)) {
            return violation();
        }
        self.peer = settings(body, Settings::default(), WELCOME)?;
        self.may_open = self.may_open.max(self.peer.max_channels.into());
        for channel in &mut self.own {
            channel.limit = channel.limit.max(self.peer.initial_window.into());
            channel.takes = channel.takes.max(self.peer.max_item_bytes.into());
        }
        (self.phase, self.epoch) = (Phase::Open, 1);
        Ok(())
    }

    /// Records of the session that have no number.
    fn loose(&mut self, now: u64, kind: u8, mut body: Body<'_>) -> Heard {
        let acknowledged = match kind {
            ACK => Some(body.numbers::<2>()?[0]),
            PONG => Some(body.numbers::<4>()?[3]),
            _ => None,
        };
        let numbers = match kind {
            GOAWAY => body.numbers::<5>()?,
            PING | CHAN_LIMIT => [body.number()?, 0, 0, 0, 0],
            _ => [0; 5],
        };
        if kind == GOAWAY {
            reason(body)?;
        } else {
            body.end()?;
        }
        self.pay(now, true)?;
        match kind {
            PING => self.ping = Some(numbers[0]),
            CHAN_LIMIT => self.may_open = self.may_open.max(numbers[0]),
            GOAWAY => {
                let handled = self.peer_handles.map_or(numbers[0], |before| before.min(numbers[0]));
                self.peer_handles = Some(handled);
                for channel in self.own.iter_mut().skip(usize::try_from(handled).unwrap_or(usize::MAX)) {
                    channel.is_ending = true;
                    if !channel.has_ended {
                        channel.stop();
                    }
                }
            }
            _ => {}
        }
        if let Some(rx) = acknowledged {
            if rx >= self.next {
                return violation();
            }
            self.acked = self.acked.max(rx);
        }
        Ok(())
    }

    fn open(&mut self, mut body: Body<'_>) -> Heard {
        let id = body.number()?;
        let (kind, prio) = (body.byte()?, body.byte()?);
        if !(1..=4).contains(&prio) {
            return violation();
        }
        let len = body.number()?;
        let name = core::str::from_utf8(body.take(len)?).map_err(|_| Malformed)?;
        let len = body.number()?;
        let meta = body.take(len)?;
        body.end()?;
        check_meta(meta)?;
        let own = &self.config.settings;
        if name.len() as u64 > own.max_name_bytes.into() || meta.len() as u64 > own.max_meta_bytes.into() {
            return Err(Verdict::Fails(TOO_BIG));
        }
        let count = self.of_peer.len() as u64;
        if id != count * 2 + u64::from(!self.is_server) {
            return violation();
        }
        if count >= self.allows {
            self.beyond()?;
        }
        let is_refused = kind > 2 || self.handles.is_some_and(|handled| count >= handled);
        let channel = self.add(false, kind);
        if is_refused {
            channel.stop();
            (channel.is_ending, channel.is_released) = (true, true);
            return Ok(());
        }
        if channel.wants_accept() {
            self.accept(id, self.config.channel_window, self.config.channel_max_item);
        }
        self.incoming.push_back((id, name.to_owned(), meta.to_vec()));
        Ok(())
    }

    fn reset(&mut self, now: u64, mut body: Body<'_>) -> Heard {
        let id = body.number()?;
        let dir = body.byte()?;
        body.number()?;
        if !(1..=3).contains(&dir) || body.0.len() > 1_024 {
            return violation();
        }
        let channel = self.find(id)?;
        let (ends, stops) = (dir & 1 != 0 && !channel.has_ended, dir & 2 != 0 && !channel.ended);
        // Whether it has queued its own end already, and this one is in vain, is not seen from here.
        let is_unsure = stops && channel.is_ending;
        if ends {
            channel.has_ended = true;
            channel.give_up_partial();
        }
        if stops {
            (channel.is_ending, channel.was_stopped) = (true, true);
        }
        if !ends && (!stops || is_unsure) {
            return self.pay(now, !is_unsure);
        }
        Ok(())
    }

    fn data(&mut self, mut body: Body<'_>) -> Heard {
        let id = body.number()?;
        let flags = body.byte()?;
        let [first, last, text, abort] = [FIRST, LAST, TEXT, ABORT].map(|flag| flags & flag != 0);
        if flags & 0xe0 != 0 || text && !first || abort && (first || !last) {
            return violation();
        }
        let total = if first && !last { body.number()?.checked_sub(1) } else { None };
        let payload = body.rest();
        let bytes = payload.len() as u64;
        if abort && bytes > 0 || !last && bytes < 512 {
            return violation();
        }
        let channel = self.find(id)?;
        if channel.has_ended || awaits_accept(channel) {
            return violation();
        }
        let partial = &channel.partial;
        let known = if first { total } else { partial.as_ref().and_then(|partial| partial.known) };
        let so_far = bytes + partial.as_ref().map_or(0, |partial| partial.content.len() as u64);
        if !channel.is_stopped {
            if first == partial.is_some() {
                return violation();
            }
            if known.is_some_and(|known| so_far > known || last && !abort && so_far != known) {
                return violation();
            }
        }
        let cost = bytes + 64;
        if channel.arrived + cost > channel.allows {
            self.beyond()?;
        }
        let channel = self.find(id)?;
        channel.arrived += cost;
        if channel.is_stopped {
            channel.consumed += cost;
            return Ok(());
        }
        let mut partial =
            channel.partial.take().unwrap_or(Partial { is_text: text, known, content: Vec::new(), cost: 0 });
        partial.content.extend_from_slice(payload);
        partial.cost += cost;
        let is_too_big = known.unwrap_or(so_far) > channel.max_item;
        let is_bad = last && partial.is_text && core::str::from_utf8(&partial.content).is_err();
        if abort || is_too_big || is_bad {
            channel.consumed += partial.cost;
            channel.is_stopped = !abort;
        } else if last {
            channel.items.push_back((partial.is_text, partial.content));
        } else {
            channel.partial = Some(partial);
        }
        Ok(())
    }
}

/// Whether nothing may come before ACCEPT.
fn awaits_accept(channel: &Channel) -> bool {
    channel.is_own && channel.wants_accept() && !channel.was_accepted
}

fn reason(mut body: Body<'_>) -> Result<(), Malformed> {
    let reason = body.rest();
    if reason.len() > 256 || core::str::from_utf8(reason).is_err() { Err(Malformed) } else { Ok(()) }
}

fn position(body: &mut Body<'_>) -> Result<[u64; 3], Malformed> {
    let [rx, tx_oldest, tx_next] = body.numbers()?;
    if tx_oldest == 0 || tx_oldest > tx_next { Err(Malformed) } else { Ok([rx, tx_oldest, tx_next]) }
}

/// Section 5.5.
fn check_meta(meta: &[u8]) -> Result<(), Malformed> {
    let mut meta = Body(meta);
    let mut keys = Vec::new();
    while !meta.0.is_empty() {
        let key = meta.number()?;
        let len = meta.number()?;
        let value = meta.take(len)?;
        if keys.contains(&key) || keys.len() == 64 {
            return Err(Malformed);
        }
        keys.push(key);
        match key {
            1 => {
                let mut value = Body(value);
                value.number()?;
                value.end()?;
            }
            3 => drop(core::str::from_utf8(value).map_err(|_| Malformed)?),
            _ => {}
        }
    }
    Ok(())
}

/// Section 5.4: what `pairs` make of `base`, in the record `kind`; 0 for one of a version that nobody knows.
fn settings(mut pairs: Body<'_>, base: Settings, kind: u8) -> Result<Settings, Malformed> {
    let mut settings = base;
    let mut ids = Vec::new();
    while !pairs.0.is_empty() {
        let [id, value] = pairs.numbers()?;
        if ids.contains(&id) || ids.len() == 64 {
            return Err(Malformed);
        }
        ids.push(id);
        if kind == 0 || kind == RESUMED && !(5..=7).contains(&id) {
            continue;
        }
        // Constant, range, and whether WELCOME may not go below the constant.
        let (field, constant, range, is_limit) = match id {
            1 => (&mut settings.max_message_bytes, 65_535, 8_192..=1_048_576, true),
            2 => (&mut settings.max_channels, 16, 0..=65_535, true),
            3 => (&mut settings.initial_window, 65_536, 1_280..=16_777_216, true),
            4 => (&mut settings.max_item_bytes, 57_344, 1_024..=14_913_024, true),
            5 => (&mut settings.max_ack_delay_ms, 25, 0..=1_000, false),
            6 => (&mut settings.ping_interval_ms, 20_000, 1_000..=300_000, false),
            7 => (&mut settings.idle_timeout_ms, 45_000, 2_000..=900_000, false),
            8 => (&mut settings.replay_limit_bytes, 1_048_576, 131_072..=1 << 30, true),
            9 => (&mut settings.max_name_bytes, 128, 16..=1_024, true),
            10 => (&mut settings.max_meta_bytes, 4_096, 64..=4_096, true),
            _ => continue,
        };
        if !range.contains(&value) || kind == WELCOME && is_limit && value < constant {
            return Err(Malformed);
        }
        *field = u32::try_from(value).expect("it is in its range");
    }
    let item = settings.max_item_bytes;
    if settings.initial_window < item + item / 8 + 64 { Err(Malformed) } else { Ok(settings) }
}
