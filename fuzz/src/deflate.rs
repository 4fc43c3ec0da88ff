//! permessage-deflate: what is compressed under any agreement comes out as it was, and what nobody has
//! compressed costs no more than the limits allow.
//!
//! The first byte of an input chooses between the two; then come what both sides want of the extension, the
//! sizes of pieces, and either messages or the payloads of compressed frames.

use core::num::NonZeroUsize;

use tidegate::proto::error::ProtocolError;
use tidegate::proto::ws::{
    ClientHandshake, ClientRequest, CloseCode, Connection, Deflate, DeflateOptions, Event, FrameHeader,
    HeadLimits, Limits, Message, MessageKind, Opcode, Role, SendError, ServerHandshake, State, mask,
};

use super::input::{Cuts, Input};

/// Most messages, or frames, of one input.
const MOST: usize = 60;

/// What the buffers of a receiver take whatever the limits.
const BUFFERS: usize = 512 << 10;

/// Carries messages both ways over a connection that compresses, or breaks one.
///
/// # Panics
///
/// If a message does not arrive as it was sent, if a limit is passed, or if the verdict on a stream depends
/// on its pieces.
pub fn deflate(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let agreed = shake_hands(options(&mut input), options(&mut input));
    let cuts = Cuts::new(&mut input);
    if choice & 1 == 0 {
        round_trip(&mut input, &agreed, cuts);
    } else {
        hostile(&mut input, &agreed, cuts, choice);
    }
}

fn options(input: &mut Input<'_>) -> DeflateOptions {
    let (flags, bits) = (input.byte(), input.byte());
    let mut options = DeflateOptions::default();
    options.server_no_context_takeover = flags & 1 != 0;
    options.client_no_context_takeover = flags & 2 != 0;
    options.min_bytes = [0, 1, 128, 5_000][usize::from(flags >> 2 & 3)];
    options.level = flags >> 4;
    options.server_max_window_bits = bits & 15;
    options.client_max_window_bits = bits >> 4;
    options
}

/// What both sides agree on, each by its own.
fn shake_hands(client: DeflateOptions, server: DeflateOptions) -> [Deflate; 2] {
    let mut request = ClientRequest::new("localhost", "/").expect("a request");
    request.deflate(client);
    let mut handshake = ClientHandshake::new(request, [7; 16], HeadLimits::default());
    let mut other = ServerHandshake::new(HeadLimits::default());
    let request = other.receive(handshake.request()).expect("it is valid").expect("it is complete");
    let (response, by_server) = request.accept_with_deflate(None, &server).expect("nothing is chosen");
    let accepted = handshake.receive(&response.to_bytes()).expect("it is valid").expect("it is complete");
    let (by_client, by_server) = (accepted.deflate.expect("agreed"), by_server.expect("agreed"));
    for role in [Role::Client, Role::Server] {
        assert_eq!(by_client.max_window_bits(role), by_server.max_window_bits(role));
        assert_eq!(by_client.no_context_takeover(role), by_server.no_context_takeover(role));
    }
    [by_client, by_server]
}

fn key() -> [u8; 4] {
    [0x37, 0xfa, 0x21, 0x3d]
}

fn end(role: Role, limits: Limits, agreed: &[Deflate; 2]) -> Connection {
    let agreed = &agreed[usize::from(role == Role::Server)];
    Connection::with_deflate(role, limits, Some(agreed))
}

fn round_trip(input: &mut Input<'_>, agreed: &[Deflate; 2], cuts: Cuts) {
    let limit = [64 << 20, 1_000, 100_000, 0][input.small() % 4];
    let mut limits = Limits::default();
    limits.max_message_bytes = limit;
    limits.max_output_bytes = usize::MAX;
    let mut ends = [end(Role::Client, limits, agreed), end(Role::Server, limits, agreed)];
    let mut history = Vec::new();
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        let how = input.byte();
        let [client, server] = &mut ends;
        let (sender, receiver) = if how & 1 == 0 { (client, server) } else { (server, client) };
        sender.set_deflates(how & 0x0e != 0x0e);
        sender.set_fragment_bytes(NonZeroUsize::new(if how & 0x10 == 0 { 0 } else { input.small() }));
        let bytes = content(input, &mut history);
        let message = match String::from_utf8(bytes) {
            Ok(text) if how & 0x20 == 0 => Message::Text(text),
            Ok(text) => Message::Binary(text.into_bytes()),
            Err(error) => Message::Binary(error.into_bytes()),
        };
        send(sender, &message, if how & 0x40 == 0 { usize::MAX } else { 1 + input.small() * 7 });
        let wire = sender.output().to_vec();
        sender.consume(wire.len());
        let too_big = message.as_bytes().len() as u64 > limit;
        let (events, error) = feed(receiver, &wire, cuts, limit);
        if too_big {
            // Compressed or not, whole or in parts.
            let code = error.map(ProtocolError::close_code);
            assert_eq!(code, Some(CloseCode::TOO_BIG), "{error:?} for {} bytes", message.as_bytes().len());
            assert!(events.is_empty());
            return;
        }
        assert_eq!(error, None);
        assert!(events == [Event::Message(message)], "it arrives as it was");
    }
}

/// What a message says: something new, something that was said before, or much of the same.
fn content(input: &mut Input<'_>, history: &mut Vec<u8>) -> Vec<u8> {
    let kind = input.byte();
    let bytes = match kind & 3 {
        0 => input.run().to_vec(),
        1 => {
            // At a distance that may be beyond a small window.
            let start = history.len().saturating_sub(input.length());
            let len = input.length();
            history[start..].iter().copied().take(len).collect()
        }
        2 => vec![input.byte(); input.length()],
        _ => {
            // What does not compress.
            let mut state = u32::from(kind) | 1;
            let mut next = || {
                state = state.wrapping_mul(0x915f_77f5).wrapping_add(0x9e37_79b9);
                state.to_be_bytes()[0]
            };
            (0..input.length()).map(|_| next()).collect()
        }
    };
    history.extend_from_slice(&bytes);
    bytes
}

/// Sends a message in parts of so many bytes.
fn send(sender: &mut Connection, message: &Message, part: usize) {
    let mut rest = message.as_bytes();
    loop {
        let (now, later) = rest.split_at(part.min(rest.len()));
        rest = later;
        let fin = rest.is_empty();
        sender.send_message(message.kind(), now, fin, key).expect("there is room");
        if fin {
            return;
        }
        let kind = message.kind();
        // Nothing else can begin now, but for a ping.
        let other = if kind == MessageKind::Text { MessageKind::Binary } else { MessageKind::Text };
        let refused = sender.send_message(other, b"", true, key);
        assert_eq!(refused, Err(SendError::UnfinishedMessage { open: kind }));
    }
}

/// Gives `wire` to `receiver` in pieces and takes all that comes, up to the first fault.
fn feed(
    receiver: &mut Connection,
    wire: &[u8],
    cuts: Cuts,
    limit: u64,
) -> (Vec<Event>, Option<ProtocolError>) {
    let mut events = Vec::new();
    let mut taken = 0;
    for mut piece in cuts.pieces(wire) {
        while !piece.is_empty() {
            let room = receiver.spare();
            let n = room.len().min(piece.len());
            room[..n].copy_from_slice(&piece[..n]);
            receiver.filled(n);
            piece = &piece[n..];
            taken += n;
            loop {
                let polled = receiver.poll_event(key);
                let most = u128::from(limit) + 1 + (BUFFERS + 3 * taken) as u128;
                let capacity = receiver.input_capacity();
                assert!(capacity as u128 <= most, "{capacity} bytes, {taken} received, limit {limit}");
                match polled {
                    Ok(Some(event)) => events.push(event),
                    Ok(None) => break,
                    Err(error) => {
                        assert_eq!(receiver.poll_event(key), Err(error), "an error is repeated");
                        assert_eq!(receiver.state(), State::Failed);
                        return (events, Some(error));
                    }
                }
            }
        }
    }
    (events, None)
}

/// Frames of which only the headers are as they should be.
fn hostile(input: &mut Input<'_>, agreed: &[Deflate; 2], cuts: Cuts, choice: u8) {
    let receiver = if choice & 2 == 0 { Role::Client } else { Role::Server };
    let limit = [64 << 20, 10, 1_000, 100_000][usize::from(choice >> 2 & 3)];
    let mut limits = Limits::default();
    limits.max_message_bytes = limit;
    let mut wire = Vec::new();
    let mut is_open = false;
    for _ in 0..MOST {
        if input.is_empty() {
            break;
        }
        let how = input.byte();
        let payload = if how & 0x20 == 0 { input.run() } else { input.rest() };
        let first = if how & 1 == 0 { Opcode::Binary } else { Opcode::Text };
        let opcode = if is_open { Opcode::Continuation } else { first };
        // Most messages are marked as compressed.
        let rsv1 = !is_open && how & 0x1c != 0;
        is_open = how & 2 != 0;
        let mask_key = (receiver == Role::Server).then(key);
        let header = FrameHeader { fin: !is_open, rsv1, opcode, mask: mask_key, len: payload.len() as u64 };
        wire.extend_from_slice(header.encode().as_bytes());
        let start = wire.len();
        wire.extend_from_slice(payload);
        if let Some(key) = mask_key {
            mask(&mut wire[start..], key, 0);
        }
    }
    let all_at_once = Cuts::new(&mut Input::new(&[255; 4]));
    let whole = feed(&mut end(receiver, limits, agreed), &wire, all_at_once, limit);
    for event in &whole.0 {
        if let Event::Message(message) = event {
            assert!(message.as_bytes().len() as u64 <= limit, "above the limit");
        }
    }
    let cut = feed(&mut end(receiver, limits, agreed), &wire, cuts, limit);
    assert!(whole.0 == cut.0, "the pieces matter");
    // Of two faults in the same frame, which of them is told may depend on what was there.
    assert_eq!(whole.1.is_some(), cut.1.is_some(), "{:?} and {:?}", whole.1, cut.1);
}
