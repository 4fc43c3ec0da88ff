use super::super::encoder::no_key;
use super::*;

const KEY: [u8; 4] = [1, 2, 3, 4];

fn key() -> [u8; 4] {
    KEY
}

fn pair() -> (Connection, Connection) {
    let limits = Limits::default();
    (Connection::new(Role::Client, limits), Connection::new(Role::Server, limits))
}

/// Carries everything that waits at one end to the other.
fn carry(from: &mut Connection, to: &mut Connection) {
    to.receive(from.output());
    from.consume(from.pending());
}

/// All events that are there.
fn events(connection: &mut Connection) -> Vec<Event> {
    let mut seen = Vec::new();
    while let Some(event) = connection.poll_event(key).unwrap() {
        seen.push(event);
    }
    seen
}

fn close(code: u16, reason: &str) -> CloseFrame {
    CloseFrame::new(CloseCode::new(code), reason).unwrap()
}

#[test]
fn messages_travel_both_ways_and_empty_ones_too() {
    let (mut client, mut server) = pair();
    for message in [Message::from("\u{1f30a}"), Message::from(vec![0; 70_000]), "".into()] {
        for (sender, receiver) in [(0, 1), (1, 0)] {
            let ends = [&mut client, &mut server];
            ends[sender].send_message(message.kind(), message.as_bytes(), true, key).unwrap();
            let bytes = ends[sender].output().to_vec();
            ends[receiver].receive(&bytes);
            ends[sender].consume(usize::MAX);
            assert_eq!(events(ends[receiver]), [Event::Message(message.clone())]);
        }
    }
}

#[test]
fn the_close_code_is_echoed_and_the_server_ends_the_transport() {
    let (mut client, mut server) = pair();
    client.send_close(Some(&close(4001, "done")), key).unwrap();
    assert_eq!(client.state(), State::CloseQueued);
    carry(&mut client, &mut server);
    assert_eq!(client.state(), State::CloseSent);
    assert_eq!(events(&mut server), [Event::Close(Some(close(4001, "done")))]);
    assert!(!server.should_end_transport(), "its answer is not written");
    carry(&mut server, &mut client);
    assert!(server.should_end_transport());
    assert_eq!(events(&mut client), [Event::Close(Some(close(4001, "")))]);
    assert!(!client.should_end_transport(), "RFC 6455 section 7.1.1");
    for (mut end, reason) in [(client, ""), (server, "done")] {
        let closed = end.transport_ended();
        assert_eq!((closed.code.get(), closed.reason.as_str()), (4001, reason));
        assert!(closed.was_clean);
        assert_eq!(end.transport_ended(), closed, "again the same");
    }
}

#[test]
fn both_may_close_at_once() {
    let (mut client, mut server) = pair();
    client.send_close(None, key).unwrap();
    server.send_close(Some(&close(1001, "")), no_key).unwrap();
    carry(&mut client, &mut server);
    carry(&mut server, &mut client);
    assert_eq!(events(&mut client), [Event::Close(Some(close(1001, "")))]);
    assert_eq!(events(&mut server), [Event::Close(None)]);
    assert_eq!((client.pending(), server.pending()), (0, 0), "no second close frame");
    assert_eq!(client.transport_ended().code, CloseCode::GOING_AWAY);
    let closed = server.transport_ended();
    assert_eq!((closed.code, closed.was_clean), (CloseCode::NO_STATUS, true));
}

#[test]
fn messages_sent_before_the_peer_closed_still_arrive() {
    let (mut client, mut server) = pair();
    client.send_close(None, key).unwrap();
    server.send_text("late", no_key).unwrap();
    carry(&mut server, &mut client);
    assert_eq!(events(&mut client), [Event::Message("late".into())]);
    carry(&mut client, &mut server);
    events(&mut server);
    assert_eq!(server.send_text("too late", no_key), Err(SendError::Closing));
    assert_eq!(client.send_close(None, key), Err(SendError::Closing));
}

#[test]
fn an_end_without_a_close_frame_is_abnormal() {
    let (mut client, mut server) = pair();
    client.send_text("x", key).unwrap();
    let half = client.output()[..3].to_vec();
    server.receive(&half);
    assert_eq!(events(&mut server), []);
    let closed = server.transport_ended();
    assert_eq!((closed.code, closed.was_clean), (CloseCode::ABNORMAL, false));
    // The peer's close frame came, but ours never left.
    let (mut client, mut server) = pair();
    server.send_close(Some(&close(1000, "")), no_key).unwrap();
    carry(&mut server, &mut client);
    events(&mut client);
    let closed = client.transport_ended();
    assert_eq!((closed.code, closed.was_clean), (CloseCode::NORMAL, false));
    assert_eq!(client.poll_event(key), Ok(None));
}

#[test]
fn a_fault_is_told_once_and_repeated_to_the_caller() {
    let (mut client, mut server) = pair();
    client.receive(&[0x81, 1, 0xff]);
    let error = ProtocolError::InvalidUtf8;
    assert_eq!(client.poll_event(key), Err(error));
    assert_eq!(client.poll_event(key), Err(error));
    assert_eq!(client.state(), State::Failed);
    assert!(!client.should_end_transport());
    carry(&mut client, &mut server);
    assert!(client.should_end_transport());
    assert_eq!(events(&mut server), [Event::Close(Some(close(1007, "")))]);
    let closed = client.transport_ended();
    assert_eq!((closed.error, closed.was_clean), (Some(error), false));

    // After our own close frame nothing more is sent, not even for a fault.
    let (mut client, _) = pair();
    client.send_close(None, key).unwrap();
    client.consume(client.pending());
    client.receive(&[0x83]);
    assert!(client.poll_event(key).is_err());
    assert_eq!(client.pending(), 0);
    assert!(client.should_end_transport());
}

#[test]
fn nothing_is_read_after_a_close_frame() {
    let (mut client, _) = pair();
    client.receive(b"\x88\x00\x81\x01x\xff\xff");
    assert_eq!(events(&mut client), [Event::Close(None)]);
    let capacity = client.input_capacity();
    for _ in 0..100 {
        client.receive(&[0xff; 10_000]);
        let spare = client.spare();
        assert!(!spare.is_empty());
        let n = spare.len();
        client.filled(n);
        assert_eq!(client.poll_event(key), Ok(None));
    }
    assert_eq!(client.input_capacity(), capacity);
}

#[test]
fn a_slow_reader_gets_the_newest_pong_and_costs_a_few() {
    let (mut client, mut server) = pair();
    for i in 0..1_000_u32 {
        server.send_ping(&i.to_be_bytes(), no_key).unwrap();
        carry(&mut server, &mut client);
        assert_eq!(events(&mut client).len(), 1);
    }
    let queued = usize::from(super::super::output::MAX_QUEUED_PONGS);
    assert_eq!(client.pending(), queued * (2 + 4 + 4));
    let mut pongs = Vec::new();
    while client.pending() > 0 {
        server.receive(&client.output()[..1]);
        client.consume(1);
        pongs.extend(events(&mut server));
    }
    let pong = |i: u32| Event::Pong(i.to_be_bytes().to_vec());
    let expected: Vec<Event> = (0..).take(queued).chain([999]).map(pong).collect();
    assert_eq!(pongs, expected);
    // With them the next burst has its places again.
    for i in 0..2 {
        server.send_ping(&[i], no_key).unwrap();
    }
    carry(&mut server, &mut client);
    events(&mut client);
    carry(&mut client, &mut server);
    assert_eq!(events(&mut server), [Event::Pong(vec![0]), Event::Pong(vec![1])]);
}

#[test]
fn no_pong_follows_a_close_frame() {
    let (mut client, mut server) = pair();
    client.receive(b"\x89\x011\x89\x012");
    events(&mut client);
    client.send_close(None, key).unwrap();
    client.receive(b"\x89\x013");
    assert_eq!(events(&mut client), [Event::Ping(b"3".to_vec())]);
    carry(&mut client, &mut server);
    let pong = |payload: &[u8]| Event::Pong(payload.to_vec());
    assert_eq!(events(&mut server), [pong(b"1"), pong(b"2"), Event::Close(None)]);
    assert_eq!(client.pending(), 0);
}

#[test]
fn pongs_pass_between_the_parts_of_a_message() {
    let (mut client, mut server) = pair();
    client.send_message(MessageKind::Text, b"\xf0\x9f", false, key).unwrap();
    client.receive(b"\x89\x01?");
    assert_eq!(events(&mut client), [Event::Ping(b"?".to_vec())]);
    client.send_message(MessageKind::Text, b"\x8c\x8a", true, key).unwrap();
    carry(&mut client, &mut server);
    let expected = [Event::Pong(b"?".to_vec()), Event::Message("\u{1f30a}".into())];
    assert_eq!(events(&mut server), expected);
}

#[test]
fn the_output_is_bounded() {
    let limits = Limits { max_output_bytes: 100, ..Limits::default() };
    let mut server = Connection::new(Role::Server, limits);
    server.send_binary(&[0; 98], no_key).unwrap();
    assert!(!server.can_send());
    assert_eq!(server.send_text("x", no_key), Err(SendError::OutputFull { pending: 100 }));
    server.consume(1);
    server.send_text("x", no_key).unwrap();
    // A close frame is never refused for room.
    server.send_close(None, no_key).unwrap();
    assert_eq!(server.pending(), 99 + 3 + 2);
}

#[test]
fn written_bytes_are_dropped_as_the_output_moves_on() {
    let (mut client, mut server) = pair();
    let mut sent = 0;
    let mut seen = 0;
    while seen < 5_000 {
        while client.pending() < 1_000 {
            client.send_binary(&[7; 50], key).unwrap();
            sent += 1;
        }
        server.receive(&client.output()[..333]);
        client.consume(333);
        seen += events(&mut server).len();
        assert!(client.output.capacity() < 10_000);
    }
    carry(&mut client, &mut server);
    seen += events(&mut server).len();
    assert_eq!(seen, sent);
}

#[test]
fn consuming_more_than_there_is_is_harmless() {
    let (mut client, _) = pair();
    client.send_text("x", key).unwrap();
    client.consume(usize::MAX);
    assert_eq!(client.pending(), 0);
    client.filled(usize::MAX);
    assert_eq!(client.poll_event(key), Ok(None));
}

#[test]
fn what_came_before_a_fault_can_be_answered_if_the_connection_pauses() {
    // A text, a continuation of nothing, a ping.
    let input = b"\x81\x02hi\x80\x00\x89\x00";
    let error = ProtocolError::UnexpectedContinuation;
    for pause in [false, true] {
        let mut client = Connection::new(Role::Client, Limits::default());
        client.set_pause_before_fault(pause);
        client.receive(input);
        assert_eq!(client.poll_event(key), Ok(Some(Event::Message("hi".into()))));
        assert!(!client.is_paused());
        if pause {
            assert_eq!(client.poll_event(key), Ok(None));
            assert!(client.is_paused());
        } else {
            assert_eq!(client.poll_event(key), Err(error));
        }
        assert_eq!(client.send_text("hi", key).is_ok(), pause);
        for _ in 0..2 {
            assert_eq!(client.poll_event(key), Err(error));
            assert!(!client.is_paused());
        }
        let mut server = Connection::new(Role::Server, Limits::default());
        carry(&mut client, &mut server);
        let close = CloseFrame::from(error);
        let echo = pause.then(|| Event::Message("hi".into()));
        let expected: Vec<Event> = echo.into_iter().chain([Event::Close(Some(close))]).collect();
        assert_eq!(events(&mut server), expected);
    }
}

#[test]
fn a_close_during_the_pause_is_the_only_one() {
    let mut client = Connection::new(Role::Client, Limits::default());
    client.set_pause_before_fault(true);
    client.receive(b"\x80\x00");
    assert_eq!(client.poll_event(key), Ok(None));
    client.send_close(None, key).unwrap();
    assert_eq!(client.poll_event(key), Err(ProtocolError::UnexpectedContinuation));
    let mut server = Connection::new(Role::Server, Limits::default());
    carry(&mut client, &mut server);
    assert_eq!(events(&mut server), [Event::Close(None)]);
    assert!(client.should_end_transport());
}
