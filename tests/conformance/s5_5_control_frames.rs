//! Sections 5.5.2 and 5.5.3: ping and pong.

use tidegate::proto::error::ProtocolError;
use tidegate::proto::ws::{CloseCode, CloseFrame, Connection, Event, Limits, MessageKind, Role, SendError};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{frame, header, key, poll_all, run};

#[test]
fn b66_a_ping_is_answered_while_a_long_message_is_received() {
    let mut client = Connection::new(Role::Client, Limits::default());
    let mut server = Connection::new(Role::Server, Limits::default());
    client.receive(&frame(Role::Client, 0x02, &vec![0; 100_000]));
    for i in 0..100_u8 {
        client.receive(&frame(Role::Client, 0x89, &[i]));
        client.receive(&frame(Role::Client, 0x00, &vec![i; 50_000]));
    }
    // The application never sees a message, for its last fragment does not come.
    let (events, error) = poll_all(&mut client);
    assert!(events.iter().all(|event| matches!(event, Event::Ping(_))));
    assert_eq!((events.len(), error), (100, None));
    let mut pongs = Vec::new();
    while client.pending() > 0 {
        server.receive(&client.output()[..1]);
        client.consume(1);
        pongs.extend(poll_all(&mut server).0);
    }
    let expected: Vec<Event> = (0..16).chain([99]).map(|i| Event::Pong(vec![i])).collect();
    assert_eq!(pongs, expected, "a few, and the newest");
}

#[test]
fn b66_a_ping_is_answered_between_the_parts_of_a_message_that_is_sent() {
    let mut client = Connection::new(Role::Client, Limits::default());
    let mut server = Connection::new(Role::Server, Limits::default());
    let mut seen = Vec::new();
    for i in 0..10_u8 {
        client.send_message(MessageKind::Binary, &[i; 16_384], i == 9, key).unwrap();
        client.receive(&frame(Role::Client, 0x89, &[i]));
        poll_all(&mut client);
        server.receive(client.output());
        client.consume(client.pending());
        seen.extend(poll_all(&mut server).0);
        if i < 9 {
            assert_eq!(seen.last(), Some(&Event::Pong(vec![i])), "before the message ends");
        }
    }
    let messages = seen.iter().filter(|event| matches!(event, Event::Message(_))).count();
    assert_eq!((messages, seen.len()), (1, 11));
}

#[test]
fn a_pong_has_the_payload_of_its_ping() {
    for len in [0, 1, 125] {
        let payload = vec![0xfe; len];
        let mut server = Connection::new(Role::Server, Limits::default());
        server.receive(&frame(Role::Server, 0x89, &payload));
        assert_eq!(poll_all(&mut server).0, [Event::Ping(payload.clone())]);
        assert_eq!(server.output(), frame(Role::Client, 0x8a, &payload));
    }
}

#[test]
fn a_ping_that_is_not_complete_is_not_answered() {
    let mut server = Connection::new(Role::Server, Limits::default());
    server.receive(&header(Role::Server, 0x89, 3));
    server.receive(b"ab");
    assert_eq!(poll_all(&mut server), (Vec::new(), None));
    assert_eq!(server.pending(), 0);
}

#[test]
fn an_unasked_pong_changes_nothing() {
    let mut server = Connection::new(Role::Server, Limits::default());
    server.receive(&frame(Role::Server, 0x8a, b"unasked"));
    assert_eq!(poll_all(&mut server).0, [Event::Pong(b"unasked".to_vec())]);
    assert_eq!(server.pending(), 0);
}

#[test]
fn b59_no_control_frame_above_125_bytes_is_sent() {
    for role in [Role::Client, Role::Server] {
        let mut connection = Connection::new(role, Limits::default());
        for len in [126, 1_000, 70_000] {
            let refused = Err(SendError::ControlTooLong { len });
            assert_eq!(connection.send_ping(&vec![0; len], key), refused);
            assert_eq!(connection.send_pong(&vec![0; len], key), refused);
        }
        // Two of them are the code.
        assert!(CloseFrame::new(CloseCode::NORMAL, &"r".repeat(124)).is_err());
        assert!(CloseFrame::new(CloseCode::NORMAL, &"\u{e9}".repeat(62)).is_err());
        assert_eq!(connection.pending(), 0, "nothing was queued");
        let mut peer = Connection::new(role.peer(), Limits::default());
        connection.send_pong(&[7; 125], key).unwrap();
        peer.receive(connection.output());
        assert_eq!(poll_all(&mut peer), (vec![Event::Pong(vec![7; 125])], None));
    }
}

#[test]
fn b61_control_frames_beyond_their_allowance_fail_with_1009() {
    let mut limits = Limits::default();
    limits.max_control_frames = Some(10);
    for role in [Role::Client, Role::Server] {
        let five = [frame(role, 0x89, b"?"), frame(role, 0x8a, b"!")].concat().repeat(5);
        let outcome = run(role, limits, [&five[..]]);
        assert_eq!((outcome.events.len(), outcome.error), (10, None));
        // Between the fragments of a message as well, which make no allowance.
        let start = frame(role, 0x02, b"start");
        let flood = [start, five, frame(role, 0x00, b"more"), frame(role, 0x89, b"one more")].concat();
        for piece in [1, flood.len()] {
            let outcome = run(role, limits, flood.chunks(piece));
            let error = ProtocolError::TooManyControlFrames { limit: 10 };
            assert_eq!((outcome.error, outcome.sent_code), (Some(error), Some(1009)));
            assert_eq!(outcome.events.len(), 10, "and the pings before are told");
        }
    }
}
