//! Raw frames, endpoints fed in pieces, and a seeded generator.

use tidegate::proto::error::ProtocolError;
use tidegate::proto::ws::{Connection, Event, Limits, Role, mask};

pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub fn key() -> [u8; 4] {
    KEY
}

/// A frame as a peer of `receiver` sends it: `first` is the first byte, FIN and all.
pub fn frame(receiver: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len() as u64;
    [header(receiver, first, len), masked(receiver, payload)].concat()
}

/// The header of such a frame, with any length in its shortest form.
pub fn header(receiver: Role, first: u8, len: u64) -> Vec<u8> {
    let (short, extended) = match len {
        0..=125 => (u8::try_from(len).unwrap(), Vec::new()),
        126..=0xffff => (126, u16::try_from(len).unwrap().to_be_bytes().to_vec()),
        _ => (127, len.to_be_bytes().to_vec()),
    };
    raw_header(receiver, first, short, &extended)
}

/// The header of such a frame, with these length bytes.
pub fn raw_header(receiver: Role, first: u8, short: u8, extended: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, short];
    bytes.extend_from_slice(extended);
    if receiver == Role::Server {
        bytes[1] |= 0x80;
        bytes.extend_from_slice(&KEY);
    }
    bytes
}

fn masked(receiver: Role, payload: &[u8]) -> Vec<u8> {
    let mut payload = payload.to_vec();
    if receiver == Role::Server {
        mask(&mut payload, KEY, 0);
    }
    payload
}

/// Everything that polling gives: events, then the error if there is one.
pub fn poll_all(connection: &mut Connection) -> (Vec<Event>, Option<ProtocolError>) {
    let mut events = Vec::new();
    loop {
        match connection.poll_event(key) {
            Ok(Some(event)) => events.push(event),
            Ok(None) => return (events, None),
            Err(error) => return (events, Some(error)),
        }
    }
}

/// What an endpoint makes of `input` that arrives in these pieces.
pub struct Outcome {
    pub events: Vec<Event>,
    pub error: Option<ProtocolError>,
    /// The close code that it sent, if any.
    pub sent_code: Option<u16>,
}

pub fn run<'a>(role: Role, limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut connection = Connection::new(role, limits);
    let mut events = Vec::new();
    for mut piece in pieces {
        while !piece.is_empty() {
            let spare = connection.spare();
            let n = spare.len().min(piece.len());
            spare[..n].copy_from_slice(&piece[..n]);
            connection.filled(n);
            piece = &piece[n..];
            let (more, error) = poll_all(&mut connection);
            events.extend(more);
            if error.is_some() {
                let sent_code = sent_close_code(role, connection.output());
                return Outcome { events, error, sent_code };
            }
        }
    }
    let sent_code = sent_close_code(role, connection.output());
    Outcome { events, error: None, sent_code }
}

/// The code of the close frame at the end of `output`.
pub fn sent_close_code(role: Role, output: &[u8]) -> Option<u16> {
    let mut peer = Connection::new(role.peer(), Limits::default());
    peer.receive(output);
    let (events, error) = poll_all(&mut peer);
    assert_eq!(error, None, "the endpoint sent something invalid");
    match events.last() {
        Some(Event::Close(close)) => Some(close.as_ref().map_or(1005, |close| close.code().get())),
        _ => None,
    }
}

/// Asserts that `input` fails with this error and close code, whole and byte by byte, after
/// delivering the messages before it and nothing else.
pub fn assert_fails(role: Role, input: &[u8], error: ProtocolError, code: u16) {
    let before = frame(role, 0x82, b"before");
    let input = [before.as_slice(), input].concat();
    let limits = Limits::default();
    for outcome in [run(role, limits, [&input[..]]), run(role, limits, input.chunks(1))] {
        assert_eq!(outcome.error, Some(error), "{role:?} {input:x?}");
        assert_eq!(error.close_code().get(), code);
        assert_eq!(outcome.sent_code, Some(code), "{role:?} {input:x?}");
        let expected = [Event::Message(b"before"[..].into())];
        let data: Vec<_> =
            outcome.events.into_iter().filter(|event| !matches!(event, Event::Ping(_))).collect();
        assert_eq!(data, expected, "{role:?} {input:x?}");
    }
}

/// The generator of `java.util.SplittableRandom`: small, seeded, the same on every target.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// A text of about `len` characters, of one to four bytes each.
    pub fn text(&mut self, len: usize) -> String {
        let ranges = [(0x20, 0x7f), (0x80, 0x800), (0x800, 0xd800), (0x1_0000, 0x11_0000)];
        (0..len)
            .filter_map(|_| {
                let (from, to) = ranges[self.below(4)];
                char::from_u32(from + u32::try_from(self.below((to - from) as usize)).unwrap())
            })
            .collect()
    }
}
