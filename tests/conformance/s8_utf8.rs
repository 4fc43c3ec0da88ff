//! Section 8.1: text is UTF-8, and a fault shows at its first byte.

use tidegate::proto::error::ProtocolError;
use tidegate::proto::ws::{Connection, Event, Limits, Role};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{assert_fails, frame, header, key, run};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// What cannot be UTF-8 by its last byte: overlong forms, surrogates, above U+10FFFF, stray bytes.
const IMPOSSIBLE: [&[u8]; 12] = [
    b"\x80",
    b"\xc0",
    b"\xc1",
    b"\xc3A",
    b"\xe0\x80",
    b"\xe0\x9f",
    b"\xed\xa0",
    b"\xe2\x82A",
    b"\xf0\x8f",
    b"\xf4\x90",
    b"\xf5",
    b"\xff",
];

#[test]
fn b60_invalid_text_fails_with_1007() {
    for role in ROLES {
        for bad in IMPOSSIBLE {
            let text = [b"caf\xc3\xa9 ", bad, b" and more"].concat();
            assert_fails(role, &frame(role, 0x81, &text), ProtocolError::InvalidUtf8, 1007);
        }
        // Cut off inside a character by the end of the message.
        for bad in [&b"\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x8c"] {
            assert_fails(role, &frame(role, 0x81, bad), ProtocolError::InvalidUtf8, 1007);
        }
    }
}

#[test]
fn b60_invalid_text_fails_across_fragments() {
    for role in ROLES {
        for bad in IMPOSSIBLE {
            for cut in 0..=bad.len() {
                let input = [
                    frame(role, 0x01, &bad[..cut]),
                    frame(role, 0x89, b"\xff"), // a ping is no text
                    frame(role, 0x80, &bad[cut..]),
                ];
                let error = ProtocolError::InvalidUtf8;
                assert_fails(role, &input.concat(), error, 1007);
            }
        }
    }
}

#[test]
fn b60_failure_comes_with_the_first_impossible_byte_and_not_later() {
    for role in ROLES {
        for bad in IMPOSSIBLE {
            // A frame that declares much more than ever comes.
            let mut payload = [&b"ok \xf0\x9f\x8c\x8a "[..], bad].concat();
            if role == Role::Server {
                tidegate::proto::ws::mask(&mut payload, crate::support::KEY, 0);
            }
            let mut connection = Connection::new(role, Limits::default());
            connection.receive(&header(role, 0x01, 1 << 20));
            let (last, before) = payload.split_last().unwrap();
            for byte in before {
                connection.receive(&[*byte]);
                assert_eq!(connection.poll_event(key), Ok(None), "{bad:x?}");
            }
            connection.receive(&[*last]);
            assert_eq!(connection.poll_event(key), Err(ProtocolError::InvalidUtf8), "{bad:x?}");
        }
    }
}

#[test]
fn b60_valid_text_passes_however_it_is_cut_into_fragments() {
    let text = "\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}\0";
    for role in ROLES {
        for cut in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(cut);
            let input = [frame(role, 0x01, head), frame(role, 0x80, tail)].concat();
            let outcome = run(role, Limits::default(), [&input[..]]);
            assert_eq!(outcome.events, [Event::Message(text.into())], "cut at {cut}");
        }
    }
}

#[test]
fn binary_messages_are_not_checked() {
    for role in ROLES {
        let input = frame(role, 0x82, b"\xff\xfe");
        let outcome = run(role, Limits::default(), [&input[..]]);
        assert_eq!(outcome.events, [Event::Message(b"\xff\xfe"[..].into())]);
    }
}
