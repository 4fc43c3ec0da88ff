//! Statements over many generated inputs. A failure prints its seed.

use std::num::NonZeroUsize;

use tidegate::proto::error::ProtocolError;
use tidegate::proto::ws::{
    Connection, Decoder, Event, Frame, Limits, Message, MessageKind, Role, Utf8Validator, copy_masked, mask,
};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{Rng, poll_all, run};

const SEEDS: u64 = 200;

/// Sends a random script and returns the bytes with the events that a peer must see.
fn script(rng: &mut Rng, role: Role) -> (Vec<u8>, Vec<Event>) {
    let mut limits = Limits::default();
    limits.max_output_bytes = usize::MAX;
    let mut sender = Connection::new(role, limits);
    let mut keys = Rng(rng.next());
    let mut next_key = || keys.bytes(4).try_into().unwrap();
    let mut expected = Vec::new();
    for _ in 0..=rng.below(8) {
        sender.set_fragment_bytes(NonZeroUsize::new(rng.below(3) * (1 + rng.below(200))));
        let len = [0, 1, 125, 126, 300, 70_000][rng.below(6)];
        let message = match rng.below(2) {
            0 => Message::Text(rng.text(len / 8)),
            _ => Message::Binary(rng.bytes(len)),
        };
        let mut rest = message.as_bytes();
        loop {
            if rng.below(4) == 0 {
                let payload_len = rng.below(126);
                let payload = rng.bytes(payload_len);
                sender.send_ping(&payload, &mut next_key).unwrap();
                expected.push(Event::Ping(payload));
            }
            // Parts end anywhere, also inside a character.
            let n = if rng.below(2) == 0 { rest.len() } else { rng.below(rest.len() + 1) };
            let (part, later) = rest.split_at(n);
            rest = later;
            let fin = rest.is_empty();
            sender.send_message(message.kind(), part, fin, &mut next_key).unwrap();
            if fin {
                break;
            }
        }
        expected.push(Event::Message(message));
    }
    (sender.output().to_vec(), expected)
}

/// Cuts `input` into random pieces.
fn pieces<'a>(rng: &mut Rng, mut input: &'a [u8]) -> Vec<&'a [u8]> {
    let most = 1 + rng.below(input.len() + 1);
    let mut pieces = Vec::new();
    while !input.is_empty() {
        let (piece, rest) = input.split_at((1 + rng.below(most)).min(input.len()));
        pieces.push(piece);
        input = rest;
    }
    pieces
}

#[test]
fn what_was_encoded_is_decoded_under_any_cut() {
    for seed in 0..SEEDS {
        let mut rng = Rng(seed);
        for role in [Role::Client, Role::Server] {
            let (bytes, expected) = script(&mut rng, role);
            let cut = pieces(&mut rng, &bytes);
            let outcome = run(role.peer(), Limits::default(), cut);
            assert_eq!(outcome.error, None, "seed {seed}");
            assert!(outcome.events == expected, "seed {seed}");
        }
    }
}

#[test]
fn b67_every_single_cut_of_a_stream_gives_the_same_events() {
    for role in [Role::Client, Role::Server] {
        let mut rng = Rng(67);
        let mut sender = Connection::new(role, Limits::default());
        let mut next_key = || rng.bytes(4).try_into().unwrap();
        sender.send_message(MessageKind::Text, b"caf\xc3", false, &mut next_key).unwrap();
        sender.send_ping(b"ping", &mut next_key).unwrap();
        sender.send_message(MessageKind::Text, b"\xa9", true, &mut next_key).unwrap();
        sender.send_binary(&[5; 200], &mut next_key).unwrap();
        sender.send_close(None, &mut next_key).unwrap();
        let bytes = sender.output();
        let expected = [
            Event::Ping(b"ping".to_vec()),
            Event::Message("caf\u{e9}".into()),
            Event::Message([5; 200][..].into()),
            Event::Close(None),
        ];
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let cut = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                let outcome = run(role.peer(), Limits::default(), cut);
                assert_eq!((outcome.events, outcome.error), (expected.to_vec(), None));
            }
        }
    }
}

#[test]
fn b67_reads_and_writes_of_any_size_in_any_order_lose_nothing() {
    // What a transport reports when its futures are dropped at any poll: some bytes, or none.
    for seed in 0..SEEDS {
        let mut rng = Rng(seed);
        let mut ends = [Role::Client, Role::Server].map(|role| {
            let mut connection = Connection::new(role, Limits::default());
            connection.set_fragment_bytes(NonZeroUsize::new(rng.below(50)));
            connection
        });
        let mut sent = [Vec::new(), Vec::new()];
        let mut seen = [Vec::new(), Vec::new()];
        let mut keys = Rng(rng.next());
        let mut next_key = || keys.bytes(4).try_into().unwrap();
        for round in 0..400 {
            let from = rng.below(2);
            let to = 1 - from;
            match rng.below(4) {
                0 if round < 300 => {
                    let bytes = {
                        let len = rng.below(400);
                        rng.bytes(len)
                    };
                    ends[from].send_binary(&bytes, &mut next_key).unwrap();
                    sent[from].push(bytes);
                }
                1 if round < 300 => ends[from].send_ping(b"?", &mut next_key).unwrap(),
                2 => {
                    while let Some(event) = ends[to].poll_event(&mut next_key).unwrap() {
                        if let Event::Message(Message::Binary(bytes)) = event {
                            seen[from].push(bytes);
                        }
                    }
                }
                _ => {
                    let n = rng.below(ends[from].pending() + 1);
                    let bytes = ends[from].output()[..n].to_vec();
                    let spare = ends[to].spare();
                    let n = n.min(spare.len());
                    spare[..n].copy_from_slice(&bytes[..n]);
                    ends[to].filled(n);
                    ends[from].consume(n);
                }
            }
        }
        // Twice each way: the second time for the pongs of what came the first time.
        for from in [0, 1, 0, 1] {
            let bytes = ends[from].output().to_vec();
            ends[1 - from].receive(&bytes);
            ends[from].consume(bytes.len());
            let (events, error) = poll_all(&mut ends[1 - from]);
            assert_eq!(error, None, "seed {seed}");
            for event in events {
                if let Event::Message(Message::Binary(bytes)) = event {
                    seen[from].push(bytes);
                }
            }
        }
        assert!(seen == sent, "seed {seed}");
    }
}

#[test]
fn garbage_gives_the_same_result_under_any_cut_and_never_a_panic() {
    for seed in 0..5 * SEEDS {
        let mut rng = Rng(seed);
        let role = [Role::Client, Role::Server][rng.below(2)];
        // Good bytes with some flipped, so that more than the first header is reached.
        let (mut bytes, _) = script(&mut rng, role.peer());
        for _ in 0..=rng.below(4) {
            let at = rng.below(bytes.len().min(400));
            bytes[at] ^= 1 << rng.below(8);
        }
        let mut limits = Limits::default();
        limits.max_message_bytes = 100_000;
        let whole = run(role, limits, [&bytes[..]]);
        let cut = run(role, limits, pieces(&mut rng, &bytes));
        assert!(whole.events == cut.events, "seed {seed}");
        assert_eq!(whole.error, cut.error, "seed {seed}");
        assert_eq!(whole.sent_code, cut.sent_code, "seed {seed}");
    }
}

#[test]
fn masking_equals_its_definition() {
    for seed in 0..5 * SEEDS {
        let mut rng = Rng(seed);
        let from = rng.below(9);
        let len = rng.below(200);
        let offset = rng.below(1_000);
        let data = rng.bytes(from + len);
        let key: [u8; 4] = rng.bytes(4).try_into().unwrap();
        let defined: Vec<u8> =
            data[from..].iter().enumerate().map(|(i, b)| b ^ key[(offset + i) % 4]).collect();
        let mut in_place = data.clone();
        mask(&mut in_place[from..], key, offset);
        assert_eq!(in_place[from..], defined, "seed {seed}");
        let mut copied = Vec::new();
        copy_masked(&data[from..], &mut copied, key, offset);
        assert_eq!(copied, defined, "seed {seed}");
    }
}

#[test]
fn utf8_validation_equals_that_of_std_for_every_split() {
    for seed in 0..SEEDS {
        let mut rng = Rng(seed);
        let mut text = rng.text(12).into_bytes();
        if rng.below(2) == 0 && !text.is_empty() {
            let at = rng.below(text.len());
            text[at] ^= 1 << rng.below(8);
        }
        text.truncate(rng.below(text.len() + 1));
        let expected = std::str::from_utf8(&text);
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let cut = [&text[..first], &text[first..second], &text[second..]];
                let mut utf8 = Utf8Validator::new();
                let valid = cut.iter().all(|piece| utf8.push(piece).is_ok());
                // Impossible bytes show at once, a missing end only at the end.
                let possible = !matches!(expected, Err(error) if error.error_len().is_some());
                assert_eq!(valid, possible, "seed {seed} {text:x?}");
                assert_eq!(valid && utf8.finish().is_ok(), expected.is_ok(), "seed {seed}");
            }
        }
    }
}

#[test]
fn b67_decoding_in_place_gives_what_decoding_by_copy_gives() {
    for seed in 0..SEEDS {
        let mut rng = Rng(seed);
        for role in [Role::Client, Role::Server] {
            let (mut bytes, _) = script(&mut rng, role);
            // Half of the streams are damaged somewhere.
            if rng.below(2) == 0 && !bytes.is_empty() {
                let at = rng.below(bytes.len());
                bytes[at] ^= 1 << rng.below(8);
            }
            let frame = |opcode, fin, payload: &[u8]| (opcode, fin, payload.to_vec());
            let mut by_copy = Decoder::new(role.peer(), Limits::default());
            let mut expected = Vec::new();
            let mut rest = bytes.as_slice();
            let expected_end = loop {
                match by_copy.next_frame() {
                    Ok(Some(Frame { fin, opcode, payload, .. })) => {
                        expected.push(frame(opcode, fin, payload));
                    }
                    Ok(None) if rest.is_empty() => break Ok(()),
                    Ok(None) => {
                        let spare = by_copy.spare();
                        let n = spare.len().min(rest.len());
                        spare[..n].copy_from_slice(&rest[..n]);
                        by_copy.filled(n);
                        rest = &rest[n..];
                    }
                    Err(error) => break Err(error),
                }
            };
            let mut in_place = Decoder::new(role.peer(), Limits::default());
            let mut seen = Vec::new();
            let mut lent = bytes.clone();
            let (mut rest, mut shown) = (lent.as_mut_slice(), 0);
            let end = loop {
                // What is there grows by pieces; the start of an incomplete frame is shown again.
                let (part, is_all) = (shown.min(rest.len()), shown >= rest.len());
                match in_place.decode_in_place(&mut rest[..part]) {
                    Ok(Some((Frame { fin, opcode, payload, .. }, taken))) => {
                        seen.push(frame(opcode, fin, payload));
                        rest = &mut rest[taken..];
                        shown = shown.saturating_sub(taken);
                    }
                    Ok(None) if is_all => break Ok(()),
                    Ok(None) => shown += 1 + rng.below(3_000),
                    Err(error) => break Err(error),
                }
            };
            // A text is looked at when its frame is complete, so that an invalid one may come to light
            // later, or not at all where its end is missing.
            let invalid_and_incomplete = expected_end == Err(ProtocolError::InvalidUtf8) && end == Ok(());
            assert!(end == expected_end || invalid_and_incomplete, "seed {seed}: {end:?}, {expected_end:?}");
            assert!(seen == expected, "seed {seed}");
        }
    }
}
