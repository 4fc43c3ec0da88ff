//! How large a message of the WebSocket may be in tidegate mode: what each side tells the other of it.

use tidegate::proto::ws::{HeadLimits, Limits};
use tidegate::server::{AcceptOptions, accept, read_request};
use tidegate::{Client, Message, Mode};

use crate::block_on;

const SUBPROTOCOL: &str = "tidegate.v1";

/// HELLO without settings.
const HELLO: [u8; 5] = [1, 3, 1, 1, 0];

/// Takes a number as it is on the wire.
fn varint(bytes: &mut &[u8]) -> u64 {
    let size = 1 << (bytes[0] >> 6);
    let (number, rest) = bytes.split_at(size);
    *bytes = rest;
    number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)) & !(3 << (8 * size - 2))
}

/// `max_message_bytes` as a greeting has it, or by not having it: PROTOCOL.md, sections 5.1 and 5.4.
fn told(greeting: Option<Message>) -> u64 {
    let greeting = greeting.and_then(|message| message.into_binary().ok()).expect("a greeting");
    let mut rest = &greeting[1..];
    let len = usize::try_from(varint(&mut rest)).unwrap();
    let mut body = match greeting[0] {
        // Two versions.
        1 => &rest[2..len],
        // One, and behind the features neither time, token nor hint.
        2 => &rest[1..len],
        kind => panic!("{kind} is no greeting"),
    };
    varint(&mut body);
    if greeting[0] == 2 {
        assert_eq!(body[..3], [0; 3]);
        body = &body[3..];
    }
    let mut told = 65_535;
    while !body.is_empty() {
        let (id, value) = (varint(&mut body), varint(&mut body));
        if id == 1 {
            told = value;
        }
    }
    told
}

async fn told_by_server(limits: Limits) -> u64 {
    let (here, mut there) = tokio::io::duplex(64 << 10);
    let server = tokio::spawn(async move {
        let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
        let mut options = AcceptOptions::default();
        options.limits = limits;
        accept(there, &request, Some(SUBPROTOCOL), options).unwrap()
    });
    let builder = Client::builder("ws://example.com/").subprotocol(SUBPROTOCOL);
    let peer = builder.connect_over(here).await.unwrap();
    let _server = server.await.unwrap();
    peer.send(HELLO.to_vec()).await.unwrap();
    told(peer.recv().await)
}

async fn told_by_client(limits: Limits) -> u64 {
    let (here, mut there) = tokio::io::duplex(64 << 10);
    let peer = async {
        let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
        let mut options = AcceptOptions::default();
        options.tidegate = None;
        let peer = accept(there, &request, Some(SUBPROTOCOL), options).unwrap();
        told(peer.recv().await)
    };
    let builder = Client::builder("ws://example.com/").mode(Mode::Tidegate).limits(limits);
    tokio::select! {
        told = peer => told,
        connected = builder.connect_over(here) => panic!("nobody has answered: {connected:?}"),
    }
}

#[test]
fn each_side_tells_the_other_what_its_limits_leave_of_257_kib() {
    // Of a message and of a frame, and what server and client make of it. The server's is not below what a client may send
    // before it knows, the client's not below what the protocol has.
    let cases = [
        (64 << 20, 64 << 20, 263_168, 263_168),
        (263_167, 1 << 20, 263_167, 263_167),
        (1 << 20, 90_000, 90_000, 90_000),
        (65_535, 65_535, 65_535, 65_535),
        (20_000, 1 << 20, 65_535, 20_000),
        (1_000, 1_000, 65_535, 8_192),
    ];
    block_on(async {
        for (message, frame, server, client) in cases {
            let mut limits = Limits::default();
            (limits.max_message_bytes, limits.max_frame_bytes) = (message, frame);
            assert_eq!(told_by_server(limits).await, server, "server: {message}, {frame}");
            assert_eq!(told_by_client(limits).await, client, "client: {message}, {frame}");
        }
    });
}
