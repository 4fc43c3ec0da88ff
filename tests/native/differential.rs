//! The codec against tungstenite's: the same bytes in, the same messages or the same refusal out, in both
//! roles. Where the two differ on purpose, [`DIFFERENCES`] says why, and nothing else may differ.
//!
//! Everything is generated from seeds, and a failure prints its own. Neither codec is given more than it
//! has to be: bytes in pieces, and the end of the stream as "nothing yet".

mod generate;

use std::io::{self, Read, Write};

use tidegate::proto::error::ProtocolError;
use tidegate::proto::ws::{Connection, Event, Limits, Message, Role};
use tungstenite::protocol::{WebSocket, WebSocketConfig};

use self::generate::{Rng, pieces, stream};

/// Limits of both codecs, low enough to be passed often.
const MAX_MESSAGE: u16 = 3_000;
const MAX_FRAME: u16 = 1_000;

/// Damaged streams, in each role.
const SEEDS: u64 = 6_000;

/// What came out of a codec.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// How it went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It waits for more bytes.
    Waits,
    /// It has read a close frame.
    Closed,
    /// It refuses what it has read, with this close code.
    Refused(u16),
}

#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    items: Vec<Item>,
    end: End,
    /// What our own codec calls the fault.
    fault: Option<ProtocolError>,
}

/// An input, and what comes of it: in our codec, in theirs.
type Witness = (Vec<u8>, [(Vec<Item>, End); 2]);

/// A difference that is meant.
struct Difference {
    /// What differs.
    name: &'static str,
    /// Where the RFC decides, and how.
    reason: &'static str,
    /// Whether it explains these two outcomes, ours first.
    explains: fn(&Outcome, &Outcome) -> bool,
    /// The least input that shows it to a client, with what each makes of it.
    witness: fn() -> Witness,
}

const DIFFERENCES: &[Difference] = &[
    Difference {
        name: "a fault is told when its frame is complete",
        reason: "RFC 6455 section 7.1.7 has no time; section 10.4 wants no peer to cost more than it must. \
            We refuse at the first byte that shows a fault, tungstenite when the frame is there.",
        explains: |ours, theirs| {
            matches!(ours.end, End::Refused(_))
                && theirs.end == End::Waits
                && ours.items == theirs.items
                && !is_longer_than_needed(ours)
        },
        witness: || (vec![0xc2], [(vec![], End::Refused(1002)), (vec![], End::Waits)]),
    },
    Difference {
        name: "a length may take more bytes than it needs",
        reason: "RFC 6455 section 5.2: the minimal number of bytes MUST be used. tungstenite takes any.",
        // What comes of the frame and of all behind it is theirs alone. A control frame may not even have
        // room for such a length.
        explains: |ours, theirs| {
            let more = theirs.items.len() > ours.items.len() || theirs.end == End::Refused(1007);
            theirs.items.starts_with(&ours.items)
                && (is_longer_than_needed(ours) || more && ours.fault == Some(ProtocolError::ControlTooLong))
        },
        witness: || {
            let one = Item::Binary(vec![7]);
            (vec![0x82, 126, 0, 1, 7], [(vec![], End::Refused(1002)), (vec![one], End::Waits)])
        },
    },
    Difference {
        name: "the limit of a frame comes before its other faults",
        reason: "RFC 6455 section 5.2: a reserved bit, a wrong mask, a wrong order or a control frame above \
            125 bytes fails the connection whatever the length, which is not believed then (1002). \
            tungstenite holds the length against its limit first (1009), also one above 2^63 - 1.",
        explains: |ours, theirs| {
            ours.end == End::Refused(1002)
                && theirs.end == End::Refused(1009)
                && ours.items == theirs.items
                && !matches!(ours.fault, Some(ProtocolError::ReservedOpcode { .. }))
                && !is_longer_than_needed(ours)
        },
        witness: || {
            let huge = vec![0x89, 127, 0, 0, 0, 0, 0, 1, 0, 0];
            (huge, [(vec![], End::Refused(1002)), (vec![], End::Refused(1009))])
        },
    },
    Difference {
        name: "a close code that may not be sent is replaced",
        reason: "RFC 6455 section 7.4.1: 1005, 1006 and 1015 MUST NOT be set in a frame, and section 7.4.2 \
            leaves 0-999 and 1016-2999 unused. We fail the connection; tungstenite reports a close with \
            1002 that nobody has sent, and answers with the same code.",
        explains: |ours, theirs| {
            let Some((last, before)) = theirs.items.split_last() else { return false };
            matches!(ours.fault, Some(ProtocolError::InvalidCloseCode { .. }))
                && theirs.end == End::Closed
                && *last == violation()
                && ours.items == before
        },
        witness: || {
            let input = vec![0x88, 2, 0x03, 0xed];
            (input, [(vec![], End::Refused(1002)), (vec![violation()], End::Closed)])
        },
    },
    Difference {
        name: "of a bad code with a bad reason, the reason counts",
        reason: "RFC 6455 section 5.5.1 puts the code first, and so do we (1002). tungstenite reads the \
            reason first (1007).",
        explains: |ours, theirs| {
            matches!(ours.fault, Some(ProtocolError::InvalidCloseCode { .. }))
                && theirs.end == End::Refused(1007)
                && ours.items == theirs.items
        },
        witness: || {
            let input = vec![0x88, 3, 0x03, 0xed, 0xff];
            (input, [(vec![], End::Refused(1002)), (vec![], End::Refused(1007))])
        },
    },
    Difference {
        name: "1014 is not known",
        reason: "RFC 6455 section 7.4.2 and 11.7: codes of the protocol are registered with IANA, which has \
            1014 (bad gateway) since 2013. tungstenite takes it for one that may not be sent.",
        explains: |ours, theirs| {
            let (Some((own, before)), Some((other, others))) =
                (ours.items.split_last(), theirs.items.split_last())
            else {
                return false;
            };
            matches!(own, Item::Close(Some((1014, _)))) && *other == violation() && before == others
        },
        witness: || {
            let own = Item::Close(Some((1014, String::new())));
            (vec![0x88, 2, 0x03, 0xf6], [(vec![own], End::Closed), (vec![violation()], End::Closed)])
        },
    },
];

fn is_longer_than_needed(outcome: &Outcome) -> bool {
    matches!(outcome.fault, Some(ProtocolError::NonMinimalLength { .. }))
}

/// What tungstenite makes of a close code that may not be sent.
fn violation() -> Item {
    Item::Close(Some((1002, "Protocol violation".to_owned())))
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.max_message_bytes = MAX_MESSAGE.into();
    limits.max_frame_bytes = MAX_FRAME.into();
    limits
}

/// What our codec makes of bytes that arrive in these pieces.
fn ours(role: Role, pieces: &[&[u8]]) -> Outcome {
    let mut connection = Connection::new(role, limits());
    let mut items = Vec::new();
    for piece in pieces {
        connection.receive(piece);
        loop {
            items.push(match connection.poll_event(|| [1, 2, 3, 4]) {
                Ok(Some(Event::Message(Message::Text(text)))) => Item::Text(text),
                Ok(Some(Event::Message(Message::Binary(bytes)))) => Item::Binary(bytes),
                Ok(Some(Event::Ping(payload))) => Item::Ping(payload),
                Ok(Some(Event::Pong(payload))) => Item::Pong(payload),
                Ok(Some(Event::Close(close))) => {
                    let close = close.map(|close| (close.code().get(), close.reason().as_str().to_owned()));
                    items.push(Item::Close(close));
                    return Outcome { items, end: End::Closed, fault: None };
                }
                Ok(Some(other)) => panic!("{other:?}"),
                Ok(None) => break,
                Err(fault) => {
                    let end = End::Refused(fault.close_code().get());
                    return Outcome { items, end, fault: Some(fault) };
                }
            });
        }
    }
    Outcome { items, end: End::Waits, fault: None }
}

/// Gives a piece to each read, and then nothing yet; takes whatever is written.
struct Pieces<'a> {
    pieces: std::slice::Iter<'a, &'a [u8]>,
    rest: &'a [u8],
}

impl Read for Pieces<'_> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() {
            self.rest = self.pieces.next().ok_or(io::ErrorKind::WouldBlock)?;
        }
        self.rest.read(room)
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite makes of them.
fn theirs(role: Role, pieces: &[&[u8]]) -> Outcome {
    use tungstenite::{Error, Message};
    let role = match role {
        Role::Client => tungstenite::protocol::Role::Client,
        Role::Server => tungstenite::protocol::Role::Server,
    };
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE.into()))
        .max_frame_size(Some(MAX_FRAME.into()))
        .read_buffer_size(4_096);
    let stream = Pieces { pieces: pieces.iter(), rest: &[] };
    let mut socket = WebSocket::from_raw_socket(stream, role, Some(config));
    let mut items = Vec::new();
    let end = loop {
        items.push(match socket.read() {
            Ok(Message::Text(text)) => Item::Text(text.as_str().to_owned()),
            Ok(Message::Binary(bytes)) => Item::Binary(bytes.to_vec()),
            Ok(Message::Ping(payload)) => Item::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Item::Pong(payload.to_vec()),
            Ok(Message::Close(close)) => {
                let close = close.map(|close| (close.code.into(), close.reason.as_str().to_owned()));
                items.push(Item::Close(close));
                break End::Closed;
            }
            Ok(Message::Frame(frame)) => panic!("{frame:?}"),
            Err(Error::Protocol(_)) => break End::Refused(1002),
            Err(Error::Utf8(_)) => break End::Refused(1007),
            Err(Error::Capacity(_)) => break End::Refused(1009),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break End::Waits,
            Err(other) => panic!("{other:?}"),
        });
    };
    Outcome { items, end, fault: None }
}

/// The difference that explains why two outcomes are not the same; `None` if they are.
///
/// # Panics
///
/// If they differ and nothing explains it, or more than one thing does.
fn difference(ours: &Outcome, theirs: &Outcome, context: &str) -> Option<usize> {
    if (&ours.items, ours.end) == (&theirs.items, theirs.end) {
        return None;
    }
    let all = (0..).zip(DIFFERENCES).filter(|(_, row)| (row.explains)(ours, theirs));
    let found: Vec<usize> = all.map(|(at, _)| at).collect();
    let names: Vec<&str> = found.iter().map(|at| DIFFERENCES[*at].name).collect();
    let tell =
        |outcome: &Outcome| format!("{} items, {:?}, {:?}", outcome.items.len(), outcome.end, outcome.fault);
    assert_eq!(found.len(), 1, "{context}: {names:?}\nours: {}\ntheirs: {}", tell(ours), tell(theirs));
    Some(found[0])
}

#[test]
fn b59_b65_each_difference_is_what_its_row_says() {
    for (at, row) in (0..).zip(DIFFERENCES) {
        let (input, [own, other]) = (row.witness)();
        let seen = [ours(Role::Client, &[&input]), theirs(Role::Client, &[&input])];
        assert_eq!(seen[0].items, own.0, "{}", row.name);
        assert_eq!(seen[0].end, own.1, "{}", row.name);
        assert_eq!(seen[1].items, other.0, "{}", row.name);
        assert_eq!(seen[1].end, other.1, "{}", row.name);
        assert_eq!(difference(&seen[0], &seen[1], row.name), Some(at));
        assert!(row.reason.starts_with("RFC 6455 section "), "{}", row.name);
    }
}

#[test]
fn b59_valid_streams_are_read_alike() {
    for seed in 0..1_500 {
        let mut rng = Rng(seed);
        for role in [Role::Client, Role::Server] {
            let bytes = stream(&mut rng, role, false);
            let seen = [ours(role, &pieces(&mut rng, &bytes)), theirs(role, &pieces(&mut rng, &bytes))];
            assert!(!matches!(seen[0].end, End::Refused(_)), "seed {seed}: {seen:?}");
            assert_eq!(difference(&seen[0], &seen[1], &format!("seed {seed}, {role:?}")), None);
        }
    }
}

#[test]
fn b59_b60_b61_b65_damaged_streams_are_refused_alike_but_for_the_known_differences() {
    let mut counts = vec![0; DIFFERENCES.len()];
    let mut refused = 0;
    for seed in 0..SEEDS {
        let mut rng = Rng(seed);
        for role in [Role::Client, Role::Server] {
            let bytes = stream(&mut rng, role, true);
            let seen = [ours(role, &pieces(&mut rng, &bytes)), theirs(role, &pieces(&mut rng, &bytes))];
            match difference(&seen[0], &seen[1], &format!("seed {seed}, {role:?}")) {
                Some(at) => counts[at] += 1,
                None => refused += u64::from(matches!(seen[0].end, End::Refused(_))),
            }
        }
    }
    // The comparison means something: both refuse much, and every row is met.
    assert!(refused > SEEDS / 4, "{refused}");
    for (row, count) in DIFFERENCES.iter().zip(counts) {
        assert!(count > 0, "no stream has shown this: {}", row.name);
    }
}

#[test]
fn b63_what_either_codec_writes_the_other_reads() {
    for seed in 0..500 {
        let mut rng = Rng(seed);
        let mut keys = Rng(rng.next());
        for role in [Role::Client, Role::Server] {
            let messages = generate::messages(&mut rng);
            let mut sender = Connection::new(role, Limits::default());
            let mut written = Vec::new();
            let their_role = match role {
                Role::Client => tungstenite::protocol::Role::Client,
                Role::Server => tungstenite::protocol::Role::Server,
            };
            let mut other = WebSocket::from_raw_socket(io::Cursor::new(&mut written), their_role, None);
            for message in &messages {
                let mut key = || keys.bytes(4).try_into().unwrap();
                let (sent, theirs) = match message {
                    Item::Text(text) => (sender.send_text(text, &mut key), tungstenite::Message::text(text)),
                    Item::Binary(bytes) => {
                        (sender.send_binary(bytes, &mut key), tungstenite::Message::binary(bytes.clone()))
                    }
                    Item::Ping(payload) => (
                        sender.send_ping(payload, &mut key),
                        tungstenite::Message::Ping(payload.clone().into()),
                    ),
                    other => panic!("{other:?}"),
                };
                sent.unwrap();
                other.send(theirs).unwrap();
            }
            let read_by_them = theirs(role.peer(), &pieces(&mut rng, sender.output()));
            let read_by_us = ours(role.peer(), &pieces(&mut rng, &written));
            for read in [read_by_them, read_by_us] {
                assert_eq!((read.items, read.end), (messages.clone(), End::Waits), "seed {seed}, {role:?}");
            }
        }
    }
}
