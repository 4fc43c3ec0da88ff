use super::*;

/// Unmasked frames, each given as its first byte and payload.
fn frames(frames: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (first, payload) in frames {
        let len = u8::try_from(payload.len()).unwrap();
        assert!(len <= 125);
        bytes.extend([*first, len]);
        bytes.extend_from_slice(payload);
    }
    bytes
}

fn client(limits: Limits, bytes: &[u8]) -> MessageDecoder {
    let mut decoder = MessageDecoder::new(Role::Client, limits);
    decoder.spare()[..bytes.len()].copy_from_slice(bytes);
    decoder.filled(bytes.len());
    decoder
}

/// The next thing, which must be a message.
fn message(decoder: &mut MessageDecoder) -> MessageRef {
    match decoder.poll() {
        Ok(Some(Incoming::Message(message))) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn fragments_are_joined_around_control_frames() {
    let bytes = frames(&[
        (0x01, b"\xf0\x9f"),
        (0x89, b"1"),
        (0x00, b""),
        (0x8a, b"2"),
        (0x80, b"\x8c\x8a"),
        (0x82, b"b"),
        (0x02, b""),
        (0x80, b""),
    ]);
    let mut decoder = client(Limits::default(), &bytes);
    assert!(matches!(decoder.poll(), Ok(Some(Incoming::Ping(_)))));
    assert!(matches!(decoder.poll(), Ok(Some(Incoming::Pong(_)))));
    let text = message(&mut decoder);
    assert_eq!(decoder.bytes(&text), "\u{1f30a}".as_bytes());
    assert_eq!(decoder.take(text), Message::from("\u{1f30a}"));
    let binary = message(&mut decoder);
    assert_eq!(decoder.take(binary), Message::from(&b"b"[..]));
    let empty = message(&mut decoder);
    assert_eq!(decoder.take(empty), Message::Binary(Vec::new()));
    assert_eq!(decoder.poll(), Ok(None));
}

#[test]
fn a_lent_message_is_gone_with_the_next_poll() {
    let bytes = frames(&[(0x02, b"a"), (0x80, b"b"), (0x02, b"c"), (0x80, b"d")]);
    let mut decoder = client(Limits::default(), &bytes);
    let first = message(&mut decoder);
    assert_eq!(decoder.bytes(&first), b"ab");
    let second = message(&mut decoder);
    assert_eq!(decoder.bytes(&second), b"cd");
}

#[test]
fn the_message_limit_holds_across_fragments_to_the_byte() {
    let bytes = frames(&[(0x02, &[0; 50]), (0x00, &[0; 50]), (0x80, b"")]);
    let limit = |max_message_bytes| Limits { max_message_bytes, ..Limits::default() };
    let fits = message(&mut client(limit(100), &bytes));
    assert_eq!(fits.kind(), MessageKind::Binary);
    let mut tight = client(limit(99), &bytes);
    assert_eq!(tight.poll(), Err(ProtocolError::MessageTooBig { limit: 99 }));
    assert_eq!(tight.poll(), Err(ProtocolError::MessageTooBig { limit: 99 }));
}

#[test]
fn the_fragment_limit_counts_empty_ones() {
    let limits = Limits { max_fragments: 3, ..Limits::default() };
    let fits = frames(&[(0x02, b""), (0x00, b""), (0x80, b""), (0x82, b"")]);
    let mut decoder = client(limits, &fits);
    message(&mut decoder);
    message(&mut decoder);
    let flood = frames(&[(0x02, b""), (0x00, b""), (0x00, b""), (0x80, b"")]);
    let error = client(limits, &flood).poll();
    assert_eq!(error, Err(ProtocolError::TooManyFragments { limit: 3 }));
}

#[test]
fn the_join_buffer_is_reused_when_small_and_returned_when_large() {
    let mut decoder = MessageDecoder::new(Role::Client, Limits::default());
    for (len, kept) in [(1_000, true), (KEPT_BODY + 1, false)] {
        let header = |opcode, fin| {
            let len = len as u64;
            super::super::header::FrameHeader { fin, rsv1: false, opcode, mask: None, len }.encode()
        };
        let payload = vec![0; len];
        let mut input = header(Opcode::Binary, false).as_bytes().to_vec();
        input.extend_from_slice(&payload);
        input.extend_from_slice(header(Opcode::Continuation, true).as_bytes());
        input.extend_from_slice(&payload);
        let mut found = 0;
        let mut rest = &input[..];
        while !rest.is_empty() {
            let spare = decoder.spare();
            let n = spare.len().min(rest.len());
            spare[..n].copy_from_slice(&rest[..n]);
            decoder.filled(n);
            rest = &rest[n..];
            while let Some(Incoming::Message(message)) = decoder.poll().unwrap() {
                assert_eq!(decoder.bytes(&message).len(), 2 * len);
                found += 1;
            }
        }
        assert_eq!(found, 1);
        assert_eq!(decoder.poll(), Ok(None));
        assert_eq!(decoder.body.capacity() > 0, kept);
    }
}
