//! The routes that behave, seen by a WebSocket that is not tidegate's.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role};
use tungstenite::{ClientRequestBuilder, Message, WebSocket, client};

use super::{PATIENCE, assert_idle, connect, server};
use crate::server::{Running, peer};

type Socket = WebSocket<TcpStream>;

fn open(server: &Running, target: &str) -> Socket {
    let url = format!("ws://{}{target}", server.address());
    client(url, connect(server)).unwrap().0
}

fn hex(bytes: &[u8]) -> String {
    peer::hex(Sha256::new_with_prefix(bytes))
}

fn json(socket: &mut Socket) -> serde_json::Value {
    serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap()
}

/// Bytes that no part of the way can mistake for others.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..len).map(|_| byte()).collect()
}

/// Closes and sees the server answer with the same code.
fn close(mut socket: Socket) {
    let frame = CloseFrame { code: CloseCode::Library(4001), reason: "bye".into() };
    socket.close(Some(frame)).unwrap();
    let Message::Close(Some(answer)) = socket.read().unwrap() else { panic!("a close frame") };
    assert_eq!(answer.code, CloseCode::Library(4001));
    assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
}

#[test]
fn echo_returns_each_message_as_its_own_kind() {
    let server = server();
    let mut socket = open(&server, "/echo");
    let binary = [0, 1, 125, 126, 65_535, 65_536, 3_000_000].map(|len| Message::binary(noise(len)));
    let text = ["", "tide", "\u{6f6e}\u{306e}\u{9580} \u{1f30a}"].map(Message::text);
    for message in binary.into_iter().chain(text) {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.send(Message::Ping("are you there?".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("are you there?".into()));
    close(socket);
    assert_idle(&server);
}

#[test]
fn an_upload_is_told_what_has_arrived_when_it_asks_and_now_and_then() {
    let server = server();
    let [first, second] = [noise(70_000), noise(1)];
    let mut socket = open(&server, "/upload?every=65536");
    for message in [Message::text("before"), Message::binary(first.clone()), Message::binary(second.clone())]
    {
        socket.send(message).unwrap();
    }
    socket.send(Message::text("after \u{1f30a}")).unwrap();
    let before = json(&mut socket);
    assert_eq!((&before["text"], &before["bytes"]), (&"before".into(), &0.into()));
    let unasked = json(&mut socket);
    assert_eq!((&unasked["text"], &unasked["bytes"]), (&serde_json::Value::Null, &70_000.into()));
    let after = json(&mut socket);
    assert_eq!((&after["text"], &after["messages"]), (&"after \u{1f30a}".into(), &2.into()));
    assert_eq!(after["sha256"], hex(&[first, second].concat()));
    let received = [before, unasked, after].map(|answer| answer["received"].as_u64());
    assert_eq!(received, [Some(6), Some(70_006), Some(70_017)]);
    close(socket);
    assert_idle(&server);
}

#[test]
fn echo_tells_the_digest_if_asked() {
    let server = server();
    let mut socket = open(&server, "/echo?digest=1");
    for message in [Message::text("tide"), Message::binary(noise(3_000_000)), Message::binary("")] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
        let about = json(&mut socket);
        assert_eq!(about["bytes"], message.len());
        assert_eq!(about["sha256"], hex(&message.into_data()));
    }
    close(socket);
}

#[test]
fn a_request_is_told_as_it_has_arrived() {
    let server = server();
    let uri = format!("ws://{}/request?a=b%20c", server.address()).parse().unwrap();
    let request = ClientRequestBuilder::new(uri).with_header("Cookie", "id=7; lang=\"de\"");
    let mut socket = client(request, connect(&server)).unwrap().0;
    let told = json(&mut socket);
    assert_eq!(told["target"], "/request?a=b%20c");
    assert_eq!(told["headers"]["cookie"], "id=7; lang=\"de\"");
    assert_eq!(told["headers"]["host"], server.address().to_string());
    close(socket);
    assert_idle(&server);
}

#[test]
fn echo_pings_a_silent_peer_and_compresses_if_asked() {
    let server = server();
    let mut socket = open(&server, "/echo?ping=50");
    assert_eq!(socket.read().unwrap(), Message::Ping("".into()));
    close(socket);
    let uri = format!("ws://{}/echo?deflate=1", server.address()).parse().unwrap();
    let offer = ("Sec-WebSocket-Extensions", "permessage-deflate");
    let request = ClientRequestBuilder::new(uri).with_header(offer.0, offer.1);
    // This one compresses nothing itself, but shows what was agreed on.
    let response = client(request, connect(&server)).unwrap().1;
    assert_eq!(response.headers().get(offer.0).unwrap(), offer.1);
}

#[test]
fn sink_reports_what_it_took() {
    let server = server();
    let mut socket = open(&server, "/sink");
    let mut all = Vec::new();
    for len in [0, 10, 70_000, 1_000_000] {
        let bytes = noise(len);
        all.extend_from_slice(&bytes);
        socket.send(Message::binary(bytes)).unwrap();
    }
    socket.send(Message::text("report")).unwrap();
    let first = json(&mut socket);
    assert_eq!(first, serde_json::json!({ "messages": 4, "bytes": all.len(), "sha256": hex(&all) }));
    // Asking leaves no trace, and the binary message of the same bytes does not ask.
    socket.send(Message::binary("report")).unwrap();
    all.extend_from_slice(b"report");
    socket.send(Message::text("report")).unwrap();
    let second = json(&mut socket);
    assert_eq!(second, serde_json::json!({ "messages": 5, "bytes": all.len(), "sha256": hex(&all) }));
    close(socket);
    assert_idle(&server);
}

#[test]
fn a_peer_that_breaks_off_leaves_nothing() {
    let server = server();
    let mut sockets: Vec<_> = (0..100).map(|_| open(&server, "/echo")).collect();
    for socket in &mut sockets {
        socket.send(Message::text("tide")).unwrap();
    }
    assert!(server.tasks() >= 100);
    drop(sockets);
    assert_idle(&server);
}

#[test]
fn echo_makes_a_peer_wait_that_does_not_read() {
    // More than all queues of the server may hold.
    const MESSAGES: usize = 160;
    let server = server();
    let mut socket = open(&server, "/echo");
    let message = Message::binary(noise(1 << 20));
    socket.get_ref().set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0;
    while sent < MESSAGES {
        sent += 1;
        match socket.send(message.clone()) {
            Ok(()) => {}
            // The rest of it stays with the socket.
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(sent < MESSAGES / 2, "{sent} MiB were taken");
    let reader = socket.get_ref().try_clone().unwrap();
    let reader = std::thread::spawn({
        let message = message.clone();
        move || {
            let mut socket = WebSocket::from_raw_socket(reader, Role::Client, None);
            (0..MESSAGES).all(|_| socket.read().unwrap() == message)
        }
    });
    socket.get_ref().set_write_timeout(Some(PATIENCE)).unwrap();
    socket.flush().unwrap();
    for _ in sent..MESSAGES {
        socket.send(message.clone()).unwrap();
    }
    assert!(reader.join().unwrap());
    close(socket);
}

#[test]
fn sink_takes_messages_above_every_default_limit() {
    const MESSAGE: usize = 100 << 20;
    let server = server();
    let mut socket = open(&server, "/sink");
    let mut all = Sha256::new();
    for _ in 0..2 {
        let bytes = vec![7; MESSAGE];
        all.update(&bytes);
        socket.send(Message::binary(bytes)).unwrap();
    }
    socket.send(Message::text("report")).unwrap();
    let report = serde_json::json!({ "messages": 2, "bytes": 2 * MESSAGE, "sha256": peer::hex(all) });
    assert_eq!(json(&mut socket), report);
    close(socket);
}

/// All messages until the close frame, and its code and reason.
fn read_to_close(socket: &mut Socket) -> (Vec<Message>, u16, String) {
    let mut messages = Vec::new();
    loop {
        match socket.read().unwrap() {
            Message::Close(frame) => {
                let frame = frame.unwrap();
                assert!(matches!(socket.read(), Err(tungstenite::Error::ConnectionClosed)));
                return (messages, frame.code.into(), frame.reason.to_string());
            }
            message => messages.push(message),
        }
    }
}

#[test]
fn feed_streams_the_whole_data_set() {
    let server = server();
    let mut socket = open(&server, "/feed");
    // What the peer says is not listened to.
    socket.send(Message::binary(noise(100_000))).unwrap();
    let (messages, code, reason) = read_to_close(&mut socket);
    assert_eq!((messages.len(), code), (34_924, 1000));
    let rows: Vec<_> = messages.iter().map(|message| message.to_text().unwrap()).collect();
    assert!(messages.iter().all(Message::is_text));
    assert_eq!(reason, hex(rows.join("\n").as_bytes()));
    assert!(rows[0x41].starts_with("0041;LATIN CAPITAL LETTER A;"), "{}", rows[0x41]);
    assert_idle(&server);
}

#[test]
fn feed_ends_with_its_peer() {
    let server = server();
    let mut socket = open(&server, "/feed");
    socket.read().unwrap();
    drop(socket);
    assert_idle(&server);
}

#[test]
fn flood_sends_what_it_says() {
    let server = server();
    for (messages, bytes) in [(0, 10), (1_000, 0), (300, 1_000), (3, 1_000_000)] {
        let mut socket = open(&server, &format!("/flood?messages={messages}&bytes={bytes}"));
        let (received, code, reason) = read_to_close(&mut socket);
        assert_eq!((received.len(), code), (messages, 1000));
        let mut all = Vec::new();
        for (number, message) in received.into_iter().enumerate() {
            assert!(message.is_binary());
            let expected: Vec<u8> = (0..bytes).map(|i| (number + i).to_le_bytes()[0]).collect();
            assert_eq!(message.into_data(), expected);
            all.extend_from_slice(&expected);
        }
        assert_eq!(reason, hex(&all));
    }
    assert_idle(&server);
}

#[test]
fn subprotocols_are_reported_and_acknowledged() {
    let server = server();
    for (path, chosen) in
        [("/subprotocol", Some("chat.v2")), ("/subprotocols", Some("chat.v2")), ("/no-subprotocol", None)]
    {
        let url = format!("ws://{}{path}", server.address());
        let uri = url.parse().unwrap();
        let request = ClientRequestBuilder::new(uri)
            .with_header("Origin", "https://example.com")
            .with_sub_protocol("chat.v2")
            .with_sub_protocol("chat.v1");
        let (mut socket, chosen_here) = match client(request, connect(&server)) {
            Ok((socket, response)) => {
                let chosen = response.headers().get("Sec-WebSocket-Protocol").unwrap();
                (socket, Some(chosen.to_str().unwrap().to_owned()))
            }
            // It insists on an answer, as browsers do.
            Err(error) => {
                assert!(error.to_string().contains("SubProtocol error"), "{error}");
                assert_eq!(chosen, None);
                continue;
            }
        };
        assert_eq!(chosen_here.as_deref(), chosen);
        if path == "/subprotocols" {
            let expected =
                serde_json::json!({ "offered": ["chat.v2", "chat.v1"], "origin": "https://example.com" });
            assert_eq!(json(&mut socket), expected);
        } else {
            socket.send(Message::text("tide")).unwrap();
            assert_eq!(socket.read().unwrap(), Message::text("tide"));
        }
        close(socket);
    }
    let mut socket = open(&server, "/subprotocols");
    assert_eq!(json(&mut socket), serde_json::json!({ "offered": [], "origin": null }));
    close(socket);
    assert_idle(&server);
}
