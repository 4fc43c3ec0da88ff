//! RFC 7692: compressed messages, in both roles and under every agreement.

use core::num::NonZeroUsize;

use tidegate::proto::error::ProtocolError;
use tidegate::proto::ws::{
    Accepted, ClientHandshake, ClientRequest, Connection, Control, Deflate, DeflateOptions, Encoder, Event,
    HandshakeError, HeadLimits, Limits, Message, MessageKind, Role, ServerHandshake,
};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{Rng, frame, key, poll_all, sent_close_code};

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const COMPRESSED: u8 = 0x40;

fn options(bits: u32) -> DeflateOptions {
    let mut options = DeflateOptions::default();
    options.server_no_context_takeover = bits & 1 != 0;
    options.client_no_context_takeover = bits & 2 != 0;
    options.server_max_window_bits = if bits & 4 != 0 { 9 } else { 15 };
    options.client_max_window_bits = if bits & 8 != 0 { 10 } else { 15 };
    options.min_bytes = 0;
    options
}

/// A whole opening handshake, and what each side says was agreed on.
fn shake_hands(client: DeflateOptions, server: DeflateOptions) -> (Deflate, Deflate) {
    let mut request = ClientRequest::new("localhost", "/").unwrap();
    request.deflate(client);
    let mut handshake = ClientHandshake::new(request, [7; 16], HeadLimits::default());
    let mut other = ServerHandshake::new(HeadLimits::default());
    let request = other.receive(handshake.request()).unwrap().unwrap();
    let (response, agreed) = request.accept_with_deflate(None, &server).unwrap();
    let accepted = handshake.receive(&response.to_bytes()).unwrap().unwrap();
    (accepted.deflate.unwrap(), agreed.unwrap())
}

fn agreed() -> Deflate {
    shake_hands(options(0), options(0)).0
}

fn endpoint(role: Role, limits: Limits) -> Connection {
    Connection::with_deflate(role, limits, Some(&agreed()))
}

fn limit(max_message_bytes: u64) -> Limits {
    let mut limits = Limits::default();
    limits.max_message_bytes = max_message_bytes;
    limits.max_frame_bytes = max_message_bytes;
    limits
}

/// The frames by which the peer of `receiver` sends `payload` compressed, whatever it is.
fn compressed(receiver: Role, kind: MessageKind, payload: &[u8], fragment: usize) -> Vec<u8> {
    let mut encoder = Encoder::with_deflate(receiver.peer(), &agreed());
    encoder.set_fragment_bytes(NonZeroUsize::new(fragment));
    let mut out = Vec::new();
    // As binary, since a text that is none would not be sent.
    encoder.message(MessageKind::Binary, payload, true, key, &mut out).unwrap();
    assert_eq!(out[0] & 0x7f, 0x42);
    if kind == MessageKind::Text {
        out[0] ^= 0x03;
    }
    out
}

/// What `connection` makes of `input` in pieces: events, error, and how many bytes it had taken then.
fn feed(
    connection: &mut Connection,
    input: &[u8],
    piece: usize,
) -> (Vec<Event>, Option<ProtocolError>, usize) {
    let mut events = Vec::new();
    let mut taken = 0;
    for piece in input.chunks(piece) {
        connection.receive(piece);
        taken += piece.len();
        let (more, error) = poll_all(connection);
        events.extend(more);
        if error.is_some() {
            return (events, error, taken);
        }
    }
    (events, None, taken)
}

#[test]
fn the_examples_of_the_rfc() {
    // §7.2.3.1 to §7.2.3.5, all of them "Hello".
    let hello: [&[u8]; 5] = [
        b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00",
        b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00",
        b"\xc1\x0b\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
        b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
        b"\xc1\x0d\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
    ];
    for input in hello {
        for piece in [1, 2, input.len()] {
            let (events, error, _) = feed(&mut endpoint(Role::Client, Limits::default()), input, piece);
            assert_eq!((events, error), (vec![Event::Message("Hello".into())], None), "{input:x?}");
        }
    }
    // §7.2.3.2: the second one points into the first.
    let twice = [hello[0], b"\xc1\x05\xf2\x00\x11\x00\x00"].concat();
    let (events, error, _) = feed(&mut endpoint(Role::Client, Limits::default()), &twice, 1);
    assert_eq!((events, error), (vec![Event::Message("Hello".into()); 2], None));

    let mut server = endpoint(Role::Server, Limits::default());
    server.send_text("Hello", key).unwrap();
    server.send_text("Hello", key).unwrap();
    assert_eq!(server.output(), twice);
    // An empty message is smaller as it is, and a message may be compressed or not as one likes.
    server.consume(usize::MAX);
    server.send_text("", key).unwrap();
    server.set_deflates(false);
    server.send_text("Hello", key).unwrap();
    assert_eq!(server.output(), b"\x81\x00\x81\x05Hello");
}

#[test]
fn messages_pass_under_every_agreement() {
    let mut rng = Rng(7692);
    // What is agreed on depends on what either wants; every agreement comes up once.
    for wanted in 0..16 {
        let (at_client, at_server) = shake_hands(options(wanted), options(0));
        assert_eq!(at_client, at_server);
        for role in ROLES {
            let mut sender = Connection::with_deflate(role, Limits::default(), Some(&at_client));
            let mut receiver = Connection::with_deflate(role.peer(), Limits::default(), Some(&at_server));
            sender.set_fragment_bytes(NonZeroUsize::new(rng.below(3) * 700));
            for _ in 0..6 {
                pass_one(&mut rng, &mut sender, &mut receiver);
            }
        }
    }
}

fn pass_one(rng: &mut Rng, sender: &mut Connection, receiver: &mut Connection) {
    let len = [0, 1, 20, 3_000, 40_000][rng.below(5)];
    let message = match rng.below(3) {
        0 => Message::Binary(rng.bytes(len)),
        1 => Message::Binary(vec![b'x'; len]),
        _ => Message::Text(rng.text(len.min(300)).repeat(1 + len / 1_000)),
    };
    let mut parts = message.as_bytes().chunks(1 + rng.below(20_000)).peekable();
    let mut expected = Vec::new();
    if parts.peek().is_none() {
        sender.send_message(message.kind(), b"", true, key).unwrap();
    }
    while let Some(part) = parts.next() {
        sender.send_message(message.kind(), part, parts.peek().is_none(), key).unwrap();
        if parts.peek().is_some() && rng.below(2) == 0 {
            sender.send_ping(b"between", key).unwrap();
            expected.push(Event::Ping(b"between".to_vec()));
        }
    }
    expected.push(Event::Message(message));
    let output = sender.output().to_vec();
    sender.consume(output.len());
    let (events, error, _) = feed(receiver, &output, 1 + rng.below(10_000));
    assert_eq!((events, error), (expected, None));
    receiver.consume(usize::MAX);
}

#[test]
fn b59_rsv1_stands_on_the_first_frame_of_a_message_and_nowhere_else() {
    let reserved = |bits| Some(ProtocolError::ReservedBits { bits });
    for role in ROLES {
        for opcode in [0x88, 0x89, 0x8a] {
            let input = frame(role, opcode | COMPRESSED, b"");
            assert_eq!(feed(&mut endpoint(role, Limits::default()), &input, 1).1, reserved(4), "{opcode:x}");
        }
        let start = frame(role, 0x02 | COMPRESSED, b"\xf2");
        let input = [start, frame(role, 0x80 | COMPRESSED, b"\x48")].concat();
        assert_eq!(feed(&mut endpoint(role, Limits::default()), &input, 1).1, reserved(4));
        for bits in [0x50, 0x60, 0x70, 0x20, 0x10] {
            let input = frame(role, 0x82 | bits, b"\xf2");
            let (_, error, _) = feed(&mut endpoint(role, Limits::default()), &input, 1);
            assert_eq!(error, reserved(bits >> 4), "{bits:x}");
        }
        // And where nothing was agreed on, nowhere.
        let input = frame(role, 0x81 | COMPRESSED, b"\xf2\x48\xcd\xc9\xc9\x07\x00");
        let mut plain = Connection::with_deflate(role, Limits::default(), None);
        assert_eq!(feed(&mut plain, &input, 1).1, reserved(4));
        assert_eq!(sent_close_code(role, plain.output()), Some(1002));
    }
}

#[test]
fn b60_invalid_utf8_in_a_compressed_message_fails_at_its_first_byte() {
    let mut rng = Rng(60);
    for role in ROLES {
        // What does not compress goes in blocks that are stored as they are, so that bytes come out one
        // by one.
        let mut text: Vec<u8> = (0..3_000).map(|_| b' ' + (rng.bytes(1)[0] & 0x3f)).collect();
        text[1_000] = 0xff;
        for fragment in [usize::MAX, 100] {
            let input = compressed(role, MessageKind::Text, &text, fragment);
            for piece in [1, 64] {
                let mut connection = endpoint(role, Limits::default());
                let (events, error, taken) = feed(&mut connection, &input, piece);
                assert_eq!((events, error), (vec![], Some(ProtocolError::InvalidUtf8)));
                assert!(taken < input.len() / 2, "after {taken} of {}", input.len());
                assert_eq!(sent_close_code(role, connection.output()), Some(1007));
            }
        }
        // Cut inside a character, which only the end shows.
        let input = compressed(role, MessageKind::Text, "ab\u{20ac}".as_bytes().split_last().unwrap().1, 9);
        let (events, error, _) = feed(&mut endpoint(role, Limits::default()), &input, 3);
        assert_eq!((events, error), (vec![], Some(ProtocolError::InvalidUtf8)));
    }
}

#[test]
fn what_cannot_be_inflated_fails_with_1007() {
    for role in ROLES {
        // A block of the type that does not exist, and a stored one whose length contradicts itself.
        for payload in [&b"\x07"[..], b"\x00\x05\x00\x05\x00", b"\xf2\x48\xcd\xc9\xc9\x07\x06"] {
            let input = frame(role, 0x82 | COMPRESSED, payload);
            let mut connection = endpoint(role, Limits::default());
            let (events, error, _) = feed(&mut connection, &input, 1);
            assert_eq!((events, error), (vec![], Some(ProtocolError::InvalidCompression)), "{payload:x?}");
            assert_eq!(sent_close_code(role, connection.output()), Some(1007));
        }
        // A distance beyond the start of the window.
        let input = frame(role, 0x81 | COMPRESSED, b"\xf2\x00\x11\x00\x00");
        let (_, error, _) = feed(&mut endpoint(role, Limits::default()), &input, 1);
        assert_eq!(error, Some(ProtocolError::InvalidCompression));
    }
}

#[test]
fn b61_the_message_limit_is_exact_for_inflated_bytes() {
    let mut rng = Rng(61);
    for role in ROLES {
        for payload in [vec![0; 10_000], rng.bytes(10_000)] {
            for fragment in [usize::MAX, 1_000, 3] {
                for piece in [1, 4_096] {
                    let input = compressed(role, MessageKind::Binary, &payload, fragment);
                    let (events, error, _) = feed(&mut endpoint(role, limit(10_000)), &input, piece);
                    assert_eq!((events, error), (vec![Event::Message(payload.clone().into())], None));
                    let mut connection = endpoint(role, limit(9_999));
                    let (events, error, _) = feed(&mut connection, &input, piece);
                    assert_eq!(
                        (events, error),
                        (vec![], Some(ProtocolError::MessageTooBig { limit: 9_999 }))
                    );
                    assert_eq!(sent_close_code(role, connection.output()), Some(1009));
                }
            }
        }
        // What is declared has its bound too, before any of it is there.
        let declared = crate::support::header(role, 0x82 | COMPRESSED, 12_000);
        let (_, error, _) = feed(&mut endpoint(role, limit(10_000)), &declared, 1);
        assert_eq!(error, Some(ProtocolError::FrameTooBig { len: 12_000, limit: 10_000 }));
    }
}

#[test]
fn b61_a_bomb_costs_no_more_than_the_limit() {
    let piece = vec![0; 1 << 20];
    for role in ROLES {
        let mut encoder = Encoder::with_deflate(role.peer(), &agreed());
        let mut bomb = Vec::new();
        for n in 1..=128 {
            encoder.message(MessageKind::Binary, &piece, n == 128, key, &mut bomb).unwrap();
        }
        assert!(bomb.len() < 200 << 10, "{}", bomb.len());
        for chunk in [1_000, bomb.len()] {
            let mut connection = endpoint(role, limit(1 << 20));
            let (events, error, _) = feed(&mut connection, &bomb, chunk);
            assert_eq!((events, error), (vec![], Some(ProtocolError::MessageTooBig { limit: 1 << 20 })));
            assert!(connection.input_capacity() < 3 << 20, "{}", connection.input_capacity());
        }
    }
}

#[test]
fn a_compressed_message_is_finished_as_it_was_begun() {
    let mut encoder = Encoder::with_deflate(Role::Server, &agreed());
    let mut out = Vec::new();
    encoder.message(MessageKind::Binary, b"begun", false, key, &mut out).unwrap();
    // The deflater may hold all of it back.
    assert_eq!(encoder.open_message(), Some(MessageKind::Binary));
    assert!(encoder.header(MessageKind::Binary, 4, true, key).is_err());
    assert!(encoder.in_place(MessageKind::Binary, &mut [0; 4], true, key).is_err());
    encoder.control(Control::Ping, b"", key, &mut out).unwrap();
    encoder.message(MessageKind::Binary, b" and finished", true, key, &mut out).unwrap();
    // One that is not compressed stays so.
    out.extend_from_slice(encoder.header(MessageKind::Binary, 3, false, key).unwrap().encode().as_bytes());
    out.extend_from_slice(b"not");
    encoder.message(MessageKind::Binary, b" compressed", true, key, &mut out).unwrap();
    let (events, error, _) = feed(&mut endpoint(Role::Client, Limits::default()), &out, 1);
    let message = |text: &str| Event::Message(text.as_bytes().into());
    let expected = [Event::Ping(Vec::new()), message("begun and finished"), message("not compressed")];
    assert_eq!((events.as_slice(), error), (&expected[..], None));
}

#[test]
fn b64_an_extension_that_was_not_offered_fails_the_handshake() {
    let judge = |offers: bool, extensions: &str| -> Result<Option<Accepted>, HandshakeError> {
        let mut request = ClientRequest::new("localhost", "/").unwrap();
        if offers {
            request.deflate(DeflateOptions::default());
        }
        let mut handshake = ClientHandshake::new(request, *b"the sample nonce", HeadLimits::default());
        let response = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n{extensions}\r\n"
        );
        handshake.receive(response.as_bytes())
    };
    let field = |value: &str| format!("Sec-WebSocket-Extensions: {value}\r\n");
    assert_eq!(judge(true, "").unwrap().unwrap().deflate, None);
    assert!(judge(true, &field("permessage-deflate")).unwrap().unwrap().deflate.is_some());
    let unoffered = Err(HandshakeError::UnofferedExtension);
    assert_eq!(judge(false, &field("permessage-deflate")), unoffered);
    assert_eq!(judge(true, &field("x-webkit-deflate-frame")), unoffered);
    let invalid = Err(HandshakeError::InvalidHeader { name: "Sec-WebSocket-Extensions" });
    for bits in ["", "=", "=0", "=7", "=16", "=015", "=-1", "=x"] {
        for side in ["client", "server"] {
            let value = format!("permessage-deflate; {side}_max_window_bits{bits}");
            assert_eq!(judge(true, &field(&value)), invalid, "{value}");
        }
    }
    // In two fields, it is there twice.
    let twice = field("permessage-deflate").repeat(2);
    assert_eq!(judge(true, &twice), invalid);
}
