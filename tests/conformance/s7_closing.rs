//! Sections 5.5.1 and 7: the closing handshake, its codes and its ends.

use tidegate::proto::error::ProtocolError;
use tidegate::proto::ws::{CloseCode, CloseFrame, Connection, Event, InvalidClose, Limits, Role, SendError};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{assert_fails, frame, key, poll_all, run};

const ROLES: [Role; 2] = [Role::Client, Role::Server];

#[test]
fn b65_a_body_of_one_byte_fails_with_1002() {
    for role in ROLES {
        for byte in [0, 3, 0xff] {
            let input = frame(role, 0x88, &[byte]);
            assert_fails(role, &input, ProtocolError::TruncatedCloseCode, 1002);
        }
    }
}

#[test]
fn b65_codes_that_may_not_be_sent_fail_with_1002() {
    let reserved = [1004_u16, 1005, 1006, 1015];
    let never = [0, 1, 999, 1016, 1100, 2000, 2999, 5000, 65_535];
    for role in ROLES {
        for code in reserved.into_iter().chain(never) {
            for reason in [&b""[..], b"reason"] {
                let input = frame(role, 0x88, &[&code.to_be_bytes()[..], reason].concat());
                assert_fails(role, &input, ProtocolError::InvalidCloseCode { code }, 1002);
            }
        }
    }
}

#[test]
fn b65_a_reason_that_is_not_utf8_fails_with_1007() {
    for role in ROLES {
        for reason in [&b"\xff"[..], b"cut \xf0\x9f\x8c", b"\xed\xa0\x80"] {
            let input = frame(role, 0x88, &[b"\x03\xe8", reason].concat());
            assert_fails(role, &input, ProtocolError::InvalidCloseReason, 1007);
        }
    }
}

#[test]
fn b65_codes_that_may_not_be_sent_cannot_be_sent_from_here_either() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000] {
        let refused = CloseFrame::new(CloseCode::new(code), "");
        assert_eq!(refused, Err(InvalidClose::Code { code }));
        assert!(CloseFrame::for_browser(Some(CloseCode::new(code)), "").is_err());
    }
}

#[test]
fn b65_codes_that_may_be_sent_are_echoed() {
    let codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014];
    for role in ROLES {
        for code in codes.into_iter().chain([3000, 3999, 4000, 4999]) {
            let reason = "r".repeat(123);
            let close = CloseFrame::new(CloseCode::new(code), &reason).unwrap();
            let body = [&code.to_be_bytes()[..], reason.as_bytes()].concat();
            let input = frame(role, 0x88, &body);
            let outcome = run(role, Limits::default(), input.chunks(1));
            assert_eq!(outcome.events, [Event::Close(Some(close))]);
            assert_eq!((outcome.error, outcome.sent_code), (None, Some(code)));
        }
        let outcome = run(role, Limits::default(), [&frame(role, 0x88, b"")[..]]);
        assert_eq!(outcome.events, [Event::Close(None)]);
        assert_eq!(outcome.sent_code, Some(1005), "an empty one is answered with an empty one");
    }
}

#[test]
fn b11_bytes_after_a_close_frame_are_ignored() {
    for role in ROLES {
        let input = [
            frame(role, 0x82, b"before"),
            frame(role, 0x01, b"never finished"),
            frame(role, 0x88, b""),
            frame(role, 0x80, b"after"),
            frame(role, 0x89, b"after"),
            vec![0xff; 1_000],
        ]
        .concat();
        for piece in [1, 7, input.len()] {
            let outcome = run(role, Limits::default(), input.chunks(piece));
            let expected = [Event::Message(b"before"[..].into()), Event::Close(None)];
            assert_eq!((outcome.events, outcome.error), (expected.to_vec(), None));
        }
    }
}

/// What one side does or meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    ClientCloses,
    ServerCloses,
    /// What the client has written reaches the server, which polls.
    ToServer,
    /// What the server has written reaches the client, which polls.
    ToClient,
}

#[test]
fn the_closing_handshake_is_clean_in_every_order_of_events() {
    use Step as S;
    let all = [S::ClientCloses, S::ServerCloses, S::ToServer, S::ToClient];
    // Every sequence of six steps in which somebody closes, then all that is left is carried.
    for number in 0..4_usize.pow(6) {
        let steps: Vec<Step> = (0..6).map(|i| all[number / 4_usize.pow(i) % 4]).collect();
        let mut client = Connection::new(Role::Client, Limits::default());
        let mut server = Connection::new(Role::Server, Limits::default());
        let mut counts = [0, 0];
        let tail = [S::ToServer, S::ToClient, S::ToServer, S::ToClient];
        if !steps.iter().any(|step| matches!(step, S::ClientCloses | S::ServerCloses)) {
            continue;
        }
        for step in steps.iter().chain(&tail) {
            match step {
                S::ClientCloses => {
                    let first = client.send_close(None, key);
                    assert_eq!(client.send_close(None, key), Err(SendError::Closing), "{first:?}");
                }
                S::ServerCloses => drop(server.send_close(None, key)),
                S::ToServer | S::ToClient => {
                    let (from, to, count) = if *step == S::ToServer {
                        (&mut client, &mut server, &mut counts[0])
                    } else {
                        (&mut server, &mut client, &mut counts[1])
                    };
                    to.receive(from.output());
                    from.consume(from.pending());
                    let (events, error) = poll_all(to);
                    assert_eq!(error, None);
                    *count += events.len();
                }
            }
        }
        assert_eq!(counts, [1, 1], "one close frame each way: {steps:?}");
        assert!(server.should_end_transport() && !client.should_end_transport(), "{steps:?}");
        for mut end in [client, server] {
            assert_eq!(end.send_text("x", key), Err(SendError::Closing));
            let closed = end.transport_ended();
            assert!(closed.was_clean, "{steps:?}");
            assert_eq!(closed.code, CloseCode::NO_STATUS);
        }
    }
}

#[test]
fn a_failed_connection_is_ended_by_the_side_that_failed_it() {
    for role in ROLES {
        let mut connection = Connection::new(role, Limits::default());
        connection.receive(&frame(role, 0x80, b""));
        assert!(poll_all(&mut connection).1.is_some());
        assert!(!connection.should_end_transport(), "the close frame is not written");
        connection.consume(connection.pending());
        assert!(connection.should_end_transport());
        connection.receive(&frame(role, 0x88, b""));
        let closed = connection.transport_ended();
        assert_eq!((closed.code, closed.was_clean), (CloseCode::ABNORMAL, false));
        assert_eq!(closed.error, Some(ProtocolError::UnexpectedContinuation));
    }
}
