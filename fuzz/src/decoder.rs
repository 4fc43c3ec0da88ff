//! `Decoder`, `MessageDecoder`, `Connection` and `decode_in_place` against the reference, in any pieces.
//!
//! An input is a byte of flags, four sizes of pieces, and the bytes of the wire; or, by a flag, frames in
//! short, each of five bytes, which make long payloads of short inputs.

use tidegate::proto::error::ProtocolError;
use tidegate::proto::ws::{
    self as ws, Connection, Decoder, EventRef, FrameHeader, Incoming, Limits, Message, MessageDecoder,
    MessageKind, Opcode, Role, mask,
};

use super::input::{Cuts, Input};
use super::reference::{self, Event, Frame, Rules, Texts};

/// The decoder's buffer grows to this whatever the limits, for the sake of fewer reads.
const READ_BUFFERS: usize = 512 << 10;

/// Most bytes that frames in short are written out to.
const MOST_WIRE: usize = 300 << 10;

/// How an input is to be decoded.
#[derive(Clone, Copy)]
struct Case {
    receiver: Role,
    limits: Limits,
    /// As if permessage-deflate had been agreed on.
    allows_rsv1: bool,
    cuts: Cuts,
    /// Polled only when all bytes are there, so that they pile up.
    is_late: bool,
    /// Payloads are taken and not only lent.
    takes: bool,
}

/// Decodes `data` in every way there is and compares.
///
/// # Panics
///
/// If two ways disagree, or memory goes beyond its bound.
pub fn decoder(data: &[u8]) {
    let mut input = Input::new(data);
    let flags = input.byte();
    let case = Case {
        receiver: if flags & 1 == 0 { Role::Client } else { Role::Server },
        limits: limits(flags >> 1 & 7),
        allows_rsv1: flags & 0x40 != 0,
        cuts: Cuts::new(&mut input),
        is_late: flags & 0x10 != 0,
        takes: flags & 0x20 != 0,
    };
    let wire = if flags & 0x80 == 0 { input.rest().to_vec() } else { written_out(&mut input, case.receiver) };

    let Case { receiver, limits, allows_rsv1, .. } = case;
    let mut rules = Rules { receiver, limits, allows_rsv1, texts: Texts::AtOnce };
    let (frames, end) = reference::frames(&wire, &rules);
    let seen = by_frames(&case, &wire);
    assert!(seen.0 == frames, "frames differ");
    assert_eq!(seen.1, end, "frames end differently");

    // Where RSV1 is allowed, whoever joins frames inflates too: that is the target `deflate`.
    if !allows_rsv1 {
        let (events, end) = reference::events(&frames, end);
        let seen = by_messages(&case, &wire);
        assert!(seen.0 == events, "messages differ");
        assert_eq!(seen.1, end, "messages end differently");

        let close = events.iter().position(|event| matches!(event, Event::Close(_)));
        let (until, end) = close.map_or((events.len(), end), |at| (at + 1, Ok(())));
        let seen = by_connection(&case, &wire);
        assert!(seen.0 == events[..until], "events differ");
        assert_eq!(seen.1, end, "events end differently");
    }

    rules.texts = Texts::WithTheirFrame;
    let (frames, end) = reference::frames(&wire, &rules);
    let seen = in_place(&case, &wire);
    assert!(seen.0 == frames, "frames in place differ");
    assert_eq!(seen.1, end, "frames in place end differently");
}

impl Case {
    fn decoder(&self) -> Decoder {
        let mut decoder = Decoder::new(self.receiver, self.limits);
        if self.allows_rsv1 {
            decoder.allow_rsv1();
        }
        decoder
    }
}

/// Limits of every kind, from the defaults to none at all and to nothing at all.
fn limits(choice: u8) -> Limits {
    let mut limits = Limits::default();
    match choice {
        0 => {}
        1 => (limits.max_message_bytes, limits.max_frame_bytes) = (200, 130),
        2 => (limits.max_message_bytes, limits.max_frame_bytes) = (130, u64::MAX),
        3 => (limits.max_fragments, limits.max_control_frames) = (3, Some(2)),
        4 => (limits.max_message_bytes, limits.max_frame_bytes) = (u64::MAX, u64::MAX),
        5 => (limits.max_message_bytes, limits.max_frame_bytes) = (100_000, 70_000),
        6 => (limits.max_message_bytes, limits.max_fragments, limits.max_control_frames) = (0, 1, Some(0)),
        _ => limits.max_fragments = 0,
    }
    limits
}

/// Frames of five bytes each: the first byte of the frame, the kind of its length and key, the unit and the
/// number of its payload's bytes, and what they are filled with.
fn written_out(input: &mut Input<'_>, receiver: Role) -> Vec<u8> {
    let mut wire = Vec::new();
    while !input.is_empty() && wire.len() < MOST_WIRE {
        let (first, kind) = (input.byte(), input.byte());
        let len = (input.small() << (2 * (kind & 7).min(5))) + input.small();
        let fill = input.byte();
        let opcode = Opcode::from_bits(first & 0x0f).unwrap_or(Opcode::Binary);
        let key = (receiver == Role::Server).then_some([fill, kind, first, 0x5a]);
        let header = FrameHeader { fin: first & 0x80 != 0, rsv1: false, opcode, mask: key, len: len as u64 };
        let mut bytes = header.encode().as_bytes().to_vec();
        bytes[0] = first;
        wire.extend_from_slice(&bytes);
        let start = wire.len();
        match kind >> 3 & 3 {
            // A character of three bytes, over and over, cut where it happens to be.
            0 => wire.extend("\u{2022}".bytes().cycle().take(len)),
            // A close code and a reason.
            1 => wire.extend([3, fill].into_iter().chain(core::iter::repeat(b'r')).take(len)),
            _ => wire.resize(start + len, fill),
        }
        if let Some(key) = key {
            mask(&mut wire[start..], key, 0);
        }
    }
    wire
}

/// Writes `piece` where the decoder has room for it.
fn feed(mut piece: &[u8], mut spare: impl FnMut(&[u8]) -> usize) {
    while !piece.is_empty() {
        let n = spare(piece);
        assert!(n > 0, "there is always room");
        piece = &piece[n..];
    }
}

/// Copies as much of `piece` as there is room for.
fn fill(room: &mut [u8], piece: &[u8]) -> usize {
    let n = room.len().min(piece.len());
    room[..n].copy_from_slice(&piece[..n]);
    n
}

/// Where `capacity` may be by now.
fn check_memory(case: &Case, capacity: usize, received: usize, buffers: usize) {
    // No more than was received asks for, whatever was declared.
    let by_received = READ_BUFFERS + 2 * buffers * received;
    assert!(capacity <= by_received, "{capacity} bytes for {received}");
    if !case.is_late {
        let least = u128::from(case.limits.max_frame_bytes.min(case.limits.max_message_bytes));
        // Compressed ones may be longer by an eighth.
        let by_limits = least + least / 7 + 2 * u128::from(case.limits.max_message_bytes);
        assert!(capacity as u128 <= READ_BUFFERS as u128 + by_limits, "{capacity} bytes above the limits");
    }
}

fn by_frames(case: &Case, wire: &[u8]) -> (Vec<Frame>, Result<(), ProtocolError>) {
    let mut decoder = case.decoder();
    let mut frames = Vec::new();
    let mut received = 0;
    let mut poll = |decoder: &mut Decoder| loop {
        let Some(frame) = decoder.poll_frame()? else { return Ok(()) };
        let lent = decoder.payload(&frame).to_vec();
        let payload = if case.takes { decoder.take(&frame) } else { lent.clone() };
        assert!(payload == lent, "what is taken is what was lent");
        let (fin, rsv1) = (frame.is_final(), frame.has_rsv1());
        frames.push(Frame { fin, rsv1, opcode: frame.opcode().bits(), payload });
    };
    for piece in case.cuts.pieces(wire) {
        let mut end = Ok(());
        feed(piece, |piece| {
            if end.is_err() {
                return piece.len();
            }
            let n = fill(decoder.spare(), piece);
            decoder.filled(n);
            received += n;
            if !case.is_late {
                end = end.and_then(|()| poll(&mut decoder));
            }
            check_memory(case, decoder.capacity(), received, 1);
            n
        });
        if let Err(error) = end {
            assert_eq!(decoder.poll_frame(), Err(error), "an error is repeated");
            return (frames, Err(error));
        }
    }
    let end = poll(&mut decoder);
    (frames, end)
}

fn by_messages(case: &Case, wire: &[u8]) -> (Vec<Event>, Result<(), ProtocolError>) {
    let mut decoder = MessageDecoder::new(case.receiver, case.limits);
    let mut events = Vec::new();
    let mut received = 0;
    let mut poll = |decoder: &mut MessageDecoder| loop {
        let Some(incoming) = decoder.poll()? else { return Ok(()) };
        events.push(match incoming {
            Incoming::Message(message) => {
                let lent = decoder.bytes(&message).to_vec();
                assert!(lent.len() as u64 <= case.limits.max_message_bytes, "above the limit");
                let message = if case.takes { decoder.take(message) } else { owned(message.kind(), &lent) };
                assert!(message.as_bytes() == lent, "what is taken is what was lent");
                Event::Message(message)
            }
            Incoming::Ping(frame) => Event::Ping(decoder.control_payload(&frame).to_vec()),
            Incoming::Pong(frame) => Event::Pong(decoder.control_payload(&frame).to_vec()),
            Incoming::Close(close) => Event::Close(close),
        });
    };
    for piece in case.cuts.pieces(wire) {
        let mut end = Ok(());
        feed(piece, |piece| {
            if end.is_err() {
                return piece.len();
            }
            let n = fill(decoder.spare(), piece);
            decoder.filled(n);
            received += n;
            if !case.is_late {
                end = end.and_then(|()| poll(&mut decoder));
            }
            check_memory(case, decoder.capacity(), received, 2);
            n
        });
        if let Err(error) = end {
            assert_eq!(decoder.poll(), Err(error), "an error is repeated");
            return (events, Err(error));
        }
    }
    let end = poll(&mut decoder);
    (events, end)
}

/// As messages, up to the peer's close, by the two ways in which a connection gives them.
fn by_connection(case: &Case, wire: &[u8]) -> (Vec<Event>, Result<(), ProtocolError>) {
    let key = || [0x37, 0xfa, 0x21, 0x3d];
    let mut connection = Connection::new(case.receiver, case.limits);
    let mut events = Vec::new();
    for piece in case.cuts.pieces(wire) {
        connection.receive(piece);
        loop {
            let polled = if case.takes {
                connection.poll_event(key).map(|event| event.map(taken))
            } else {
                let polled = connection.poll_event_ref(key);
                polled.map(|event| event.map(|event| lent(&connection, event)))
            };
            match polled {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(connection.poll_event(key), Err(error), "an error is repeated");
                    check_told(&connection, error);
                    return (events, Err(error));
                }
            }
        }
        // What answers the pings is written.
        connection.consume(usize::MAX);
    }
    (events, Ok(()))
}

fn taken(event: ws::Event) -> Event {
    match event {
        ws::Event::Message(message) => Event::Message(message),
        ws::Event::Ping(payload) => Event::Ping(payload),
        ws::Event::Pong(payload) => Event::Pong(payload),
        ws::Event::Close(close) => Event::Close(close),
        other => panic!("{other:?}"),
    }
}

fn lent(connection: &Connection, event: EventRef) -> Event {
    match event {
        EventRef::Message(message) => Event::Message(owned(message.kind(), connection.bytes(&message))),
        EventRef::Ping(payload) => Event::Ping(payload),
        EventRef::Pong(payload) => Event::Pong(payload),
        EventRef::Close(close) => Event::Close(close),
        other => panic!("{other:?}"),
    }
}

fn owned(kind: MessageKind, bytes: &[u8]) -> Message {
    match kind {
        MessageKind::Binary => bytes.into(),
        MessageKind::Text => str::from_utf8(bytes).expect("a text is UTF-8").into(),
    }
}

/// The last frame that waits tells the peer of its fault.
fn check_told(connection: &Connection, error: ProtocolError) {
    let mut peer = MessageDecoder::new(connection.role().peer(), Limits::default());
    feed(connection.output(), |piece| {
        let n = fill(peer.spare(), piece);
        peer.filled(n);
        n
    });
    let mut last = None;
    while let Some(incoming) = peer.poll().expect("what is sent is valid") {
        last = Some(incoming);
    }
    let Some(Incoming::Close(Some(close))) = last else { panic!("the peer is not told: {last:?}") };
    assert_eq!(close.code(), error.close_code());
}

fn in_place(case: &Case, wire: &[u8]) -> (Vec<Frame>, Result<(), ProtocolError>) {
    let mut decoder = case.decoder();
    let mut frames = Vec::new();
    let mut bytes = Vec::new();
    for piece in case.cuts.pieces(wire) {
        bytes.extend_from_slice(piece);
        let mut at = 0;
        loop {
            // Of a long rest this would take longer than all else.
            let before = (bytes.len() - at < 4_096).then(|| bytes[at..].to_vec());
            match decoder.decode_in_place(&mut bytes[at..]) {
                Ok(Some((frame, taken))) => {
                    let (fin, rsv1, opcode) = (frame.fin, frame.rsv1, frame.opcode.bits());
                    frames.push(Frame { fin, rsv1, opcode, payload: frame.payload.to_vec() });
                    at += taken;
                }
                Ok(None) => {
                    let is_unchanged = before.is_none_or(|before| before == bytes[at..]);
                    assert!(is_unchanged, "what is wanted again is unchanged");
                    break;
                }
                Err(error) => {
                    let again = decoder.decode_in_place(&mut bytes[at..]).err();
                    assert_eq!(again, Some(error), "an error is repeated");
                    return (frames, Err(error));
                }
            }
        }
        bytes.drain(..at);
    }
    assert_eq!(decoder.capacity(), 0, "the caller's buffer is enough");
    (frames, Ok(()))
}
