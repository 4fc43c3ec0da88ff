//! A session whose peer says what the input says: records that are as they should be but for some, and any bytes.

use tidegate::proto::v1::RefusedCode;

use super::super::input::Input;
use super::app::OPERATIONS;
use super::end::End;
use super::wire::{
    ABORT, ACCEPT, ACK, ACK_NOW, BLOCKED, CHAN_LIMIT, CLOSE, CREDIT, DATA, ERROR, FIRST, GOAWAY, HELLO, LAST,
    MOST, OPEN, PAD, PING, PONG, PRIORITY, REFUSED, RESET, RESUME, RESUMED, TEXT, WELCOME, numbers, put,
    put_record,
};
use super::{MOST_OPERATIONS, TOKEN, config};

/// By the hour a session has given up whoever says nothing.
const PATIENCE: u64 = 3_600_000_000;

/// What it says, by the lower bits of a byte.
const KINDS: [u8; 32] = [
    DATA, DATA, DATA, DATA, DATA, OPEN, OPEN, OPEN, ACCEPT, ACCEPT, CLOSE, CLOSE, RESET, RESET, CREDIT,
    CREDIT, ACK, ACK, PING, PONG, GOAWAY, ERROR, CHAN_LIMIT, PAD, BLOCKED, PRIORITY, HELLO, WELCOME, RESUME,
    RESUMED, REFUSED, 0xff,
];

struct Hostile<'a> {
    input: Input<'a>,
    end: End,
    choice: u8,
    is_server: bool,
    resumes: bool,
    /// Records with a number, and channels, of the message that is being made.
    made: [u64; 2],
}

pub(super) fn run(input: Input<'_>, mode: u8, [choice, greeting]: [u8; 2]) {
    let (is_server, resumes) = (mode & 4 != 0, mode & 2 != 0);
    // What it allows is to be known to the byte.
    let choice = choice & !0x40;
    let (config, is_exact) = config(choice, is_server, resumes);
    let end = End::new(0, &config, is_server, is_exact, resumes && is_server);
    let mut hostile = Hostile { input, end, choice, is_server, resumes, made: [0; 2] };
    hostile.end.attach(u64::from(mode >> 4) << 8);
    hostile.poll(true);
    if mode & 8 == 0 {
        hostile.greet(greeting);
    }
    for _ in 0..MOST_OPERATIONS {
        if hostile.input.is_empty() {
            break;
        }
        hostile.operate();
    }
    hostile.finish();
}

impl Hostile<'_> {
    fn poll(&mut self, room: bool) {
        self.end.poll(room, &[], &mut Vec::new());
    }

    /// As a peer does that means well.
    fn greet(&mut self, choice: u8) {
        let settings: &[u64] = match choice & 3 {
            0 => &[],
            1 => &[3, 1 << 20, 4, 800_000],
            2 => &[1, 1 << 20, 2, 40, 8, 4 << 20],
            _ => &[5, 0, 6, 1_000, 7, 2_000],
        };
        let mut body = Vec::new();
        if self.is_server {
            body.extend([1, 1, 0]);
        } else if self.resumes {
            body.extend([1, 0, 60, 32]);
            body.extend(TOKEN);
            body.push(0);
        } else {
            body.extend([1, 0, 0, 0, 0]);
        }
        body.extend(numbers(settings));
        let mut message = Vec::new();
        put_record(&mut message, if self.is_server { HELLO } else { WELCOME }, 0, &body);
        self.end.hear(&message, &mut Vec::new());
    }

    fn operate(&mut self) {
        let operation = self.input.byte();
        match operation {
            act @ 0..OPERATIONS => {
                self.end.act(act, &mut self.input);
                self.poll(true);
            }
            0x10..=0x17 => {
                let byte = self.input.byte();
                let micros =
                    if byte < 128 { 1_000 * u64::from(byte) } else { 500_000 * u64::from(byte - 127) };
                self.advance(micros);
            }
            0x18..=0x1b => self.again(operation & 1 != 0),
            0x1c => self.poll(false),
            0x1d => self.end.hear_text(&mut Vec::new()),
            0x1e => {
                let message = self.input.run().to_vec();
                self.say(&message);
            }
            0x1f => {
                // As long as the longest that it takes, or longer.
                let len = self.end.book.config.settings.max_message_bytes + u32::from(self.input.flag());
                let mut message = vec![PAD];
                put(&mut message, u64::from(len) - 5);
                message.resize(usize::try_from(len).expect("it is small"), 0);
                self.say(&message);
            }
            _ => {
                let message = self.message(1 + (operation >> 5));
                self.say(&message);
            }
        }
    }

    fn say(&mut self, message: &[u8]) {
        let mut out = Vec::new();
        self.end.hear(message, &mut out);
        if self.end.request.take().is_some() {
            // On a connection that was not made to ask for a session: there is none.
            self.end.asks = None;
            self.end.session.refuse(RefusedCode::UnknownSession, 0);
            self.end.book.phase = match self.end.book.phase {
                super::book::Phase::Greeting(_) => {
                    super::book::Phase::Greeting(super::book::Awaits::NewHello)
                }
                phase => phase,
            };
            self.poll(true);
        }
    }

    fn advance(&mut self, micros: u64) {
        self.end.now += micros;
        self.end.tick(&mut Vec::new());
    }

    /// The connection is lost, as the session `knows` or does not, and there is another.
    fn again(&mut self, knows: bool) {
        if knows || !self.is_server {
            self.end.lose(1_006, &mut Vec::new());
        }
        if !self.is_server {
            if self.end.over.is_none() {
                self.end.attach(0);
                self.poll(true);
            }
            return;
        }
        let (config, is_exact) = config(self.choice, true, self.resumes);
        let mut fresh = End::new(self.end.now, &config, true, is_exact, self.resumes);
        fresh.attach(0);
        let message = self.message(1);
        let mut out = Vec::new();
        fresh.hear(&message, &mut out);
        let (request, asks) = (fresh.request.take(), fresh.asks.take());
        let (Some(request), Some((token, position))) = (request, asks) else {
            // It has begun another session, or none.
            self.end = fresh;
            return;
        };
        assert_eq!(request.token, token);
        let is_here = self.end.over.is_none() && self.resumes && token == TOKEN;
        let may = is_here && self.end.session.may_resume(&request);
        assert!(
            !is_here || may != self.end.book.is_stale(position),
            "{position:?} for {:?}",
            self.end.session
        );
        if fresh.over.is_some() || !may {
            let code = if is_here { RefusedCode::ReplayGap } else { RefusedCode::UnknownSession };
            fresh.session.refuse(code, 0);
            if fresh.over.is_none() {
                fresh.book.phase = super::book::Phase::Greeting(super::book::Awaits::NewHello);
            }
            fresh.poll(true, &[], &mut out);
            self.end = fresh;
            return;
        }
        self.end.session.handle_fenced(self.end.at());
        self.poll(true);
        self.end.attach(0);
        let meets = self.end.book.may_resume(position);
        self.end.session.handle_resume(self.end.at(), &request);
        if meets {
            self.end.book.resume(position[0]);
        }
        self.poll(true);
        assert_eq!(self.end.over.is_none(), meets, "{position:?}");
    }

    /// So many records.
    fn message(&mut self, count: u8) -> Vec<u8> {
        self.made = [0; 2];
        let mut message = Vec::new();
        for _ in 0..count {
            self.record(&mut message);
        }
        message
    }

    fn record(&mut self, message: &mut Vec<u8>) {
        let choice = self.input.byte();
        let mut kind = KINDS[usize::from(choice & 31)];
        if kind == 0xff {
            kind = self.input.byte();
        }
        let mut body = self.body(kind);
        let mut number = self.end.book.rx + 1 + self.made[0];
        self.made[0] += u64::from(kind >> 6 & 1);
        if choice >= 0xe0 {
            // Not quite as it should be.
            match self.input.byte() {
                by @ 0..=0x3f => number = number.wrapping_add(u64::from(by)),
                byte @ 0x40..=0x7f => body.push(byte),
                at @ 0x80..=0xbf => body.truncate(usize::from(at & 0x3f)),
                at => {
                    if let Some(byte) = body.get_mut(usize::from(at & 0x1f)) {
                        *byte ^= if at & 0x20 == 0 { 1 } else { 0x80 };
                    }
                }
            }
        }
        put_record(message, kind, number, &body);
    }

    /// A number: a small one, or one on a border.
    fn number(&mut self) -> u64 {
        const BORDERS: [u64; 16] = [
            63,
            64,
            1_024,
            4_096,
            16_383,
            16_384,
            57_344,
            65_535,
            65_536,
            1 << 20,
            14_913_024,
            (1 << 30) - 1,
            1 << 30,
            1 << 32,
            MOST - 1,
            MOST,
        ];
        match self.input.byte() {
            small @ 0..=0xbf => small.into(),
            border @ 0xc0..=0xcf => BORDERS[usize::from(border & 15)],
            large => u64::from(large - 0xcf) * 3_000,
        }
    }

    /// What is right, or near it.
    fn near(&mut self, right: u64) -> u64 {
        match self.input.byte() {
            0..=0xdf => right,
            more @ 0xe0..=0xef => right.saturating_add(u64::from(more & 15)),
            less => right.saturating_sub(u64::from(less & 15)),
        }
    }

    /// The id of a channel.
    fn channel(&mut self) -> u64 {
        let (book, choice) = (&self.end.book, self.input.byte());
        let (own, of_peer) = (book.own.len() as u64, book.of_peer.len() as u64 + self.made[1]);
        let parity = u64::from(self.is_server);
        match choice {
            0..=0x7f if of_peer > 0 => (of_peer - 1 - u64::from(choice) % of_peer) * 2 + (1 - parity),
            0x80..=0xdf if own > 0 => u64::from(choice) % own * 2 + parity,
            other => other.into(),
        }
    }

    fn body(&mut self, kind: u8) -> Vec<u8> {
        match kind {
            HELLO | WELCOME => self.greeting(kind),
            RESUME | RESUMED => self.position(kind),
            REFUSED | ERROR => {
                let mut body = numbers(&[self.number()]);
                if kind == REFUSED {
                    put(&mut body, self.number());
                } else {
                    body.push(self.input.byte());
                }
                body.extend_from_slice(self.input.run());
                body
            }
            ACK => numbers(&[self.near(self.end.book.next - 1), self.number()]),
            PING | CHAN_LIMIT => numbers(&[self.number()]),
            PONG => numbers(&[self.number(), 0, 0, self.near(self.end.book.next - 1)]),
            GOAWAY => {
                let mut body = numbers(&[self.number(), self.number(), self.number(), 0, 0]);
                body.extend_from_slice(self.input.run());
                body
            }
            CREDIT | BLOCKED => {
                let id = self.channel();
                let limit = self.end.book.channel(id).map_or(0, |channel| channel.limit);
                numbers(&[id, limit.saturating_add(self.number())])
            }
            OPEN => self.open(),
            ACCEPT => numbers(&[self.channel(), self.number() << 6, self.number() << 4]),
            RESET => {
                let mut body = numbers(&[self.channel()]);
                body.push(self.input.byte() & 7);
                put(&mut body, self.number());
                body.extend_from_slice(self.input.run());
                body
            }
            CLOSE => numbers(&[self.channel()]),
            DATA => self.data(),
            PRIORITY => {
                let mut body = numbers(&[self.channel()]);
                body.push(self.input.byte() & 7);
                body
            }
            _ => self.input.run().to_vec(),
        }
    }

    fn greeting(&mut self, kind: u8) -> Vec<u8> {
        let choice = self.input.byte();
        let ver = if choice >= 0xf0 { choice & 3 } else { 1 };
        let mut body = if kind == HELLO {
            vec![ver, ver.max(1), choice >> 3 & 1]
        } else if choice & 1 == 0 {
            vec![ver, 0, 0, 0]
        } else {
            [&[ver, 0, 60, 32][..], &TOKEN].concat()
        };
        if kind == WELCOME {
            let hint = self.input.small() & 7;
            body.push(u8::try_from(hint).expect("it is small"));
            body.extend_from_slice(&b"node-1.~"[..hint]);
        }
        for _ in 0..choice >> 1 & 3 {
            let id = u64::from(self.input.byte() & 15);
            put(&mut body, id);
            put(&mut body, self.number());
        }
        body
    }

    fn position(&mut self, kind: u8) -> Vec<u8> {
        let mut body = Vec::new();
        if kind == RESUME {
            body.extend([1, 32]);
            body.extend(TOKEN);
            if self.input.byte() == 0xff {
                body[2] ^= 1;
            }
        } else {
            put(&mut body, self.number());
        }
        let book = &self.end.book;
        let (acked, said, rx) = (book.acked, book.log.len() as u64, book.rx);
        let choice = self.input.byte();
        let has = match choice {
            0..=0x7f => said,
            0x80..=0xbf => acked,
            _ => acked + u64::from(choice & 63) % (said - acked + 1),
        };
        let has = self.near(has);
        let (oldest, next) = (self.near(rx + 1), self.near(rx + 1));
        put(&mut body, has);
        put(&mut body, oldest);
        put(&mut body, next.max(oldest));
        body
    }

    fn open(&mut self) -> Vec<u8> {
        let count = self.end.book.of_peer.len() as u64 + self.made[1];
        self.made[1] += 1;
        let id = self.near(count * 2 + u64::from(!self.is_server));
        let choice = self.input.byte();
        let mut body = numbers(&[id]);
        body.extend([choice & 3, if choice >= 0xf8 { choice } else { 1 + (choice >> 2 & 3) }]);
        let name = self.input.text();
        put(&mut body, name.len() as u64);
        body.extend_from_slice(name.as_bytes());
        let meta = if choice & 0x10 == 0 { Vec::new() } else { self.input.run().to_vec() };
        put(&mut body, meta.len() as u64);
        body.extend_from_slice(&meta);
        body
    }

    fn data(&mut self) -> Vec<u8> {
        let id = self.channel();
        let (choice, len) = (self.input.byte(), self.input.length());
        let partial = self.end.book.channel(id).and_then(|channel| channel.partial.as_ref());
        let so_far = partial.map_or(0, |partial| partial.content.len() as u64);
        let is_inside = partial.is_some();
        let mut flags = choice & ACK_NOW;
        flags |= match choice & 7 {
            0..=2 if is_inside => LAST,
            3..=5 if is_inside => 0,
            6 if is_inside => LAST | ABORT,
            0 | 1 => FIRST | LAST,
            2 => FIRST | LAST | TEXT,
            3 | 4 => FIRST,
            5 => FIRST | TEXT,
            _ => self.input.byte(),
        };
        let mut body = numbers(&[id]);
        body.push(flags);
        let len = if flags & ABORT != 0 && choice & 0x80 == 0 { 0 } else { len };
        if flags & (FIRST | LAST) == FIRST {
            // Unknown, this chunk and as much again, or anything.
            let total = match choice >> 5 & 3 {
                0 | 1 => 0,
                2 => 2 * (so_far + len as u64) + 1,
                _ => self.number() << 4,
            };
            put(&mut body, total);
        }
        let filler = match choice & 8 {
            0 => "a\u{e9}",
            _ => "\u{20ac}",
        };
        let mut payload: Vec<u8> = filler.bytes().cycle().take(len).collect();
        if let (true, Some(last)) = (choice & 0xc0 == 0xc0, payload.last_mut()) {
            *last = 0xff;
        }
        body.extend_from_slice(&payload);
        body
    }

    /// The peer says nothing more.
    fn finish(mut self) {
        let until = self.end.now + PATIENCE;
        while let Some(due) = self.end.due.filter(|due| *due <= until) {
            while self.end.take() {}
            self.advance(due.saturating_sub(self.end.now));
        }
        assert!(!self.end.book.is_attached(), "it waits for ever: {:?}", self.end.session);
    }
}
