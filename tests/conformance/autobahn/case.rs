//! One case: its script, and the endpoint that has to follow it.

use tidegate::proto::ws::{Connection, Event, Incoming, Limits, Message, MessageDecoder, MessageKind, Role};

use crate::support::{frame, key};

/// Up to this size a case is run in every cut, and not only in its own.
const SMALL: usize = 4 << 10;

/// A pattern, repeated up to a length: payloads of 16 MiB take no memory until they are sent.
#[derive(Clone, Debug)]
pub struct Payload {
    pattern: Vec<u8>,
    len: usize,
}

impl Payload {
    pub fn repeated(pattern: &[u8], len: usize) -> Self {
        Self { pattern: pattern.to_vec(), len }
    }

    fn bytes(&self) -> Vec<u8> {
        self.pattern.repeat(self.len.div_ceil(self.pattern.len().max(1)))[..self.len].to_vec()
    }
}

impl<T: AsRef<[u8]>> From<T> for Payload {
    fn from(bytes: T) -> Self {
        Self::repeated(bytes.as_ref(), bytes.as_ref().len())
    }
}

/// What the peer sends at once.
#[derive(Clone, Debug)]
pub enum Sent {
    /// A frame with this first byte.
    Frame(u8, Payload),
    /// A message in frames of that many bytes.
    Fragments(MessageKind, Payload, usize),
    /// A frame of which only these bytes of the payload are sent; the header comes with the first.
    Part(u8, Payload, core::ops::Range<usize>),
}

impl Sent {
    /// The bytes for an endpoint in the role `receiver`, frame by frame.
    fn frames(&self, receiver: Role) -> Vec<Vec<u8>> {
        match self {
            Self::Frame(first, payload) => vec![frame(receiver, *first, &payload.bytes())],
            Self::Fragments(kind, payload, size) => {
                let bytes = payload.bytes();
                let count = bytes.len().div_ceil(*size);
                let fragment = |(at, fragment): (usize, &[u8])| {
                    let opcode = if at > 0 { 0 } else { opcode(*kind) };
                    let fin = if at + 1 == count { 0x80 } else { 0 };
                    frame(receiver, fin | opcode, fragment)
                };
                bytes.chunks(*size).enumerate().map(fragment).collect()
            }
            Self::Part(first, payload, range) => {
                let whole = frame(receiver, *first, &payload.bytes());
                let header = whole.len() - payload.len;
                let from = if range.start == 0 { 0 } else { header + range.start };
                vec![whole[from..header + range.end].to_vec()]
            }
        }
    }
}

const fn opcode(kind: MessageKind) -> u8 {
    match kind {
        MessageKind::Text => 1,
        MessageKind::Binary => 2,
    }
}

/// What the endpoint sends.
#[derive(Clone, Debug)]
pub enum Answer {
    Message(MessageKind, Payload),
    Pong(Payload),
    /// A close frame; 1005 is one without a code.
    Close(u16),
}

impl Answer {
    fn matches(&self, heard: &Heard) -> bool {
        match (self, heard) {
            (Self::Message(kind, payload), Heard::Message(message)) => {
                *kind == message.kind() && payload.bytes() == message.as_bytes()
            }
            (Self::Pong(payload), Heard::Pong(bytes)) => payload.bytes() == *bytes,
            (Self::Close(code), Heard::Close(heard)) => code == heard,
            _ => false,
        }
    }
}

/// How the bytes of a turn reach the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// All at once.
    Whole,
    /// Each frame by itself.
    Frames,
    /// In pieces of that many bytes.
    Bytes(usize),
}

/// How the case ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The peer closes with 1000 when it has heard everything, and the close is clean.
    Echoed,
    /// The closing handshake was part of the case, and is clean.
    Closed,
    /// The endpoint fails the connection.
    Failed(u16),
}

/// What the peer sends before it waits, and what the endpoint has answered by then.
#[derive(Clone, Debug)]
struct Turn {
    sent: Vec<Sent>,
    answers: Vec<Answer>,
}

/// A case of the suite.
#[derive(Clone, Debug)]
pub struct Case {
    id: String,
    turns: Vec<Turn>,
    end: End,
    cut: Cut,
}

impl Case {
    fn new(id: impl Into<String>, sent: Vec<Sent>, answers: Vec<Answer>, end: End) -> Self {
        Self { id: id.into(), turns: vec![Turn { sent, answers }], end, cut: Cut::Whole }
    }

    /// The endpoint answers and the connection stays open.
    pub fn answered(id: impl Into<String>, sent: Vec<Sent>, answers: Vec<Answer>) -> Self {
        Self::new(id, sent, answers, End::Echoed)
    }

    /// The peer closes: the last of the answers confirms it with `code`.
    pub fn closed(id: impl Into<String>, sent: Vec<Sent>, mut answers: Vec<Answer>, code: u16) -> Self {
        answers.push(Answer::Close(code));
        Self::new(id, sent, answers, End::Closed)
    }

    /// The endpoint gives these answers, then fails the connection with `code`.
    pub fn failed(id: impl Into<String>, sent: Vec<Sent>, mut answers: Vec<Answer>, code: u16) -> Self {
        answers.push(Answer::Close(code));
        Self::new(id, sent, answers, End::Failed(code))
    }

    /// Another turn comes first, at whose end the endpoint has given these answers.
    pub fn after(mut self, sent: Vec<Sent>, answers: Vec<Answer>) -> Self {
        self.turns.insert(0, Turn { sent, answers });
        self
    }

    /// All turns that many times, one after the other.
    pub fn times(mut self, n: usize) -> Self {
        self.turns = core::iter::repeat_n(self.turns, n).flatten().collect();
        self
    }

    /// The suite sends it in this cut.
    pub fn cut(mut self, cut: Cut) -> Self {
        self.cut = cut;
        self
    }

    /// The id as numbers, by which cases are sorted.
    pub fn number(&self) -> Vec<u32> {
        self.id.split('.').map(|part| part.parse().unwrap()).collect()
    }

    /// Runs the case in both roles, and in every cut if it is small.
    pub fn run(&self) {
        for role in [Role::Client, Role::Server] {
            let turns: Vec<Vec<Vec<u8>>> = self
                .turns
                .iter()
                .map(|turn| turn.sent.iter().flat_map(|sent| sent.frames(role)).collect())
                .collect();
            let bytes: usize = turns.iter().flatten().map(Vec::len).sum();
            let others = [Cut::Whole, Cut::Frames, Cut::Bytes(1)];
            let others = others.into_iter().filter(|cut| bytes <= SMALL && *cut != self.cut);
            for cut in [self.cut].into_iter().chain(others) {
                self.follow(role, cut, &turns);
            }
        }
    }

    fn follow(&self, role: Role, cut: Cut, turns: &[Vec<Vec<u8>>]) {
        let at = || format!("case {} as {role:?}, cut {cut:?}", self.id);
        let mut endpoint = Endpoint::new(role);
        for (turn, frames) in self.turns.iter().zip(turns) {
            match cut {
                Cut::Whole => endpoint.feed(&frames.concat()),
                Cut::Frames => frames.iter().for_each(|frame| endpoint.feed(frame)),
                Cut::Bytes(n) => frames.concat().chunks(n).for_each(|piece| endpoint.feed(piece)),
            }
            endpoint.expect(&turn.answers, &at);
        }
        if self.end == End::Echoed {
            endpoint.feed(&frame(role, 0x88, &1000_u16.to_be_bytes()));
            endpoint.expect(&[Answer::Close(1000)], &at);
        }
        // Nothing is said any more, whatever comes.
        let more = [frame(role, 0x89, b"ping"), frame(role, 0x81, b"text"), frame(role, 0x88, b"")];
        endpoint.feed(&more.concat());
        endpoint.expect(&[], &at);
        let ends = endpoint.connection.should_end_transport();
        let closed = endpoint.connection.transport_ended();
        let failed_with = closed.error.map(|error| error.close_code().get());
        match self.end {
            End::Echoed | End::Closed => {
                assert!(closed.was_clean && failed_with.is_none(), "{}: {closed:?}", at());
                assert_eq!(ends, role == Role::Server, "{}", at());
            }
            End::Failed(code) => {
                assert!(!closed.was_clean && ends, "{}: {closed:?}", at());
                assert_eq!(failed_with, Some(code), "{}", at());
            }
        }
    }
}

/// What the peer has heard from the endpoint.
#[derive(Debug)]
enum Heard {
    Message(Message),
    Pong(Vec<u8>),
    Close(u16),
}

/// An endpoint that sends every message back, and the ear of its peer.
struct Endpoint {
    connection: Connection,
    peer: MessageDecoder,
    heard: Vec<Heard>,
}

impl Endpoint {
    fn new(role: Role) -> Self {
        let limits = Limits::default();
        let peer = MessageDecoder::new(role.peer(), limits);
        Self { connection: Connection::new(role, limits), peer, heard: Vec::new() }
    }

    /// Gives the endpoint bytes, and the peer what it says to them.
    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let spare = self.connection.spare();
            let n = spare.len().min(bytes.len());
            spare[..n].copy_from_slice(&bytes[..n]);
            self.connection.filled(n);
            bytes = &bytes[n..];
            while let Ok(Some(event)) = self.connection.poll_event(key) {
                match event {
                    Event::Message(Message::Text(text)) => self.connection.send_text(&text, key).unwrap(),
                    Event::Message(Message::Binary(bytes)) => {
                        self.connection.send_binary(&bytes, key).unwrap();
                    }
                    _ => {}
                }
            }
            self.listen();
        }
    }

    /// Takes what the endpoint has said to the peer, which checks that it is valid.
    fn listen(&mut self) {
        while self.connection.pending() > 0 {
            let spare = self.peer.spare();
            let n = spare.len().min(self.connection.pending());
            spare[..n].copy_from_slice(&self.connection.output()[..n]);
            self.peer.filled(n);
            self.connection.consume(n);
            while let Some(incoming) = self.peer.poll().expect("the endpoint sends what is valid") {
                self.heard.push(match incoming {
                    Incoming::Message(message) => Heard::Message(self.peer.take(message)),
                    Incoming::Pong(pong) => Heard::Pong(self.peer.control_payload(&pong).to_vec()),
                    Incoming::Close(close) => Heard::Close(close.map_or(1005, |close| close.code().get())),
                    Incoming::Ping(_) => panic!("nobody asked the endpoint to ping"),
                });
            }
        }
    }

    /// Asserts that the endpoint has said this since the last time, and nothing else.
    fn expect(&mut self, answers: &[Answer], at: &dyn Fn() -> String) {
        let heard = core::mem::take(&mut self.heard);
        assert_eq!(heard.len(), answers.len(), "{}: {:?}", at(), first_of(&heard));
        for (answer, heard) in answers.iter().zip(&heard) {
            assert!(answer.matches(heard), "{}: expected {answer:?}, heard {}", at(), short(heard));
        }
    }
}

fn first_of(heard: &[Heard]) -> Vec<String> {
    heard.iter().take(20).map(short).collect()
}

/// What was heard, without megabytes of payload.
fn short(heard: &Heard) -> String {
    let text = format!("{heard:?}");
    text.chars().take(100).collect()
}
