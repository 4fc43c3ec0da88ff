//! The routes that behave, seen by a WebSocket that is not tidegate's.

use std::net::TcpStream;

use sha2::{Digest as _, Sha256};
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket, client};

use super::{assert_idle, connect, server};
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
