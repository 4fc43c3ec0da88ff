//! Hostile clients.

use core::time::Duration;
use std::net::TcpStream;

use tidegate::Client;
use tidegate::proto::ws::{Connection, Event, HeadLimits, Limits, Role, ServerHandshake};
use tidegate::server::AcceptOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Message, WebSocket};

use super::hostile::{ABORT, FIRST, HELLO, Hostile, LAST, MOST, OPEN, PING, PONG, RESET, Said, TEXT};
use super::{Heard, SUBPROTOCOL, Witness, assert_fault, list, message, say_and_hear, serve};
use crate::{block_on, in_virtual_time};

fn open(url: &str) -> WebSocket<TcpStream> {
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
    let address = url.strip_prefix("ws://").and_then(|url| url.strip_suffix('/')).unwrap();
    let (socket, response) =
        tungstenite::client::client(request, TcpStream::connect(address).unwrap()).unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], SUBPROTOCOL);
    socket
}

/// Has the server bear it, which is to end with this code.
fn tries_all(hostile: Hostile, code: u16) -> Heard {
    block_on(async {
        let (url, mut ends) = serve().await;
        let mut witness = Witness::of(&url).await;
        let heard = witness.beside(move || say_and_hear(&mut open(&url), hostile.messages)).await;
        assert_eq!((heard.error(), heard.close), (Some(code), Some(4_200 + code)), "{heard:?}");
        assert_fault(&ends.recv().await.unwrap(), code);
        heard
    })
}

fn tries(attack: fn(&mut Hostile) -> u16) {
    let mut hostile = Hostile::new(false);
    let greeting = hostile.greeting();
    hostile.say(&greeting);
    let code = attack(&mut hostile);
    tries_all(hostile, code);
}

macro_rules! tests {
    ($($attack:ident,)*) => {$(
        #[test]
        fn $attack() {
            tries(list::$attack);
        }
    )*};
}

list::for_every_attack!(tests);

/// A RESUME of a session that was never there.
fn resume() -> Vec<u8> {
    [&[0x03, 37, 1, 32][..], &[9; 32], &[0, 1, 1]].concat()
}

#[test]
fn b58_what_is_no_hello_is_cut_off_at_once() {
    let cases: [(u16, Vec<Said>); 10] = [
        (1, vec![Said::Text("hello")]),
        (1, vec![Said::Bytes(Vec::new())]),
        (1, vec![Said::Bytes(vec![0x7e; 100])]),
        // Something before HELLO, also what means nothing.
        (1, vec![Said::Bytes(vec![PING, 1, 1])]),
        (1, vec![Said::Bytes(vec![0x80, 0])]),
        // Garbage behind it in the same message.
        (1, vec![Said::Bytes([&Hostile::new(false).greeting()[..], &[0x3c; 50]].concat())]),
        // Settings that may not be: a window that admits no item, one twice, one without a value.
        (1, vec![Said::Bytes(vec![HELLO, 8, 1, 1, 0, 3, 0x45, 0, 3, 5])]),
        (1, vec![Said::Bytes(vec![HELLO, 4, 1, 1, 0, 3])]),
        (2, vec![Said::Bytes(vec![HELLO, 3, 2, 3, 0])]),
        (2, vec![Said::Bytes([&[0x03, 37, 2, 32][..], &[9; 32], &[0, 1, 1]].concat())]),
    ];
    for (code, messages) in cases {
        tries_all(Hostile { messages, ..Hostile::new(false) }, code);
    }
}

#[test]
fn b58_who_guesses_at_sessions_has_one_guess() {
    let messages = vec![Said::Bytes(resume()), Said::Bytes(resume())];
    let heard = tries_all(Hostile { messages, ..Hostile::new(false) }, 1);
    // REFUSED with UNKNOWN_SESSION, to come back as usual.
    assert_eq!(heard.messages[0][..1], [0x05]);
    assert_eq!(heard.messages[0][2..4], [16, 0]);
}

/// What is wrong in a channel is answered there. Gives the bodies of the RESETs.
fn resets(hostile: Hostile) -> Vec<Vec<u8>> {
    block_on(async {
        let (url, mut ends) = serve().await;
        let mut witness = Witness::of(&url).await;
        let heard = witness
            .beside(move || {
                let mut socket = open(&url);
                let mut messages = hostile.messages;
                // It is there still, and hears of a close in good order.
                messages.push(Said::Bytes(vec![PING, 1, 7]));
                for said in messages {
                    socket.send(message(said)).unwrap();
                }
                let mut heard = Vec::new();
                while !heard.iter().any(|record: &Vec<u8>| matches!(record[..], [PONG, _, 7, ..])) {
                    let Message::Binary(message) = socket.read().unwrap() else { continue };
                    heard.extend(records(&message));
                }
                socket
                    .close(Some(tungstenite::protocol::CloseFrame { code: 4_200.into(), reason: "".into() }))
                    .unwrap();
                while socket.read().is_ok() {}
                heard
            })
            .await;
        assert_eq!(ends.recv().await.unwrap().code, 4_200);
        heard.into_iter().filter(|record| record[0] == RESET).map(|record| record[4..].to_vec()).collect()
    })
}

/// The records of a message, none of which is long.
fn records(mut message: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let [kind, len, ..] = message {
        let (head, len) = if *len < 0x40 {
            (2, usize::from(*len))
        } else {
            (3, usize::from(len & 0x3f) << 8 | usize::from(message[2]))
        };
        let end = head + len + if kind & 0x40 == 0 { 0 } else { 2 };
        records.push(message[..end].to_vec());
        message = &message[end..];
    }
    records
}

fn greeted() -> Hostile {
    let mut hostile = Hostile::new(false);
    let greeting = hostile.greeting();
    hostile.say(&greeting);
    hostile
}

#[test]
fn b58_an_item_that_would_be_huge_is_refused_with_its_first_chunk() {
    let mut hostile = greeted();
    hostile.open(0, list::UNREAD);
    hostile.data_of(0, FIRST, Some(MOST - 1), &[0; 600]);
    // Channel 0, the receiving direction, ITEM_TOO_BIG.
    assert_eq!(resets(hostile), [[0, 2, 35]]);
}

#[test]
fn b58_text_that_is_none_ends_its_channel_only() {
    let mut hostile = greeted();
    hostile.open(0, list::UNREAD);
    // Half a character is none at the end of an item. One that is given up has no end.
    hostile.data(0, FIRST | LAST | TEXT, "\u{20ac}".as_bytes());
    hostile.data_of(0, FIRST | TEXT, None, &[&[b'a'; 599][..], &[0xe2]].concat());
    hostile.data(0, LAST | ABORT, &[]);
    hostile.open(1, list::UNREAD);
    hostile.data(1, FIRST | LAST | TEXT, &[0xe2, 0x82]);
    assert_eq!(resets(hostile), [[2, 2, 36]]);
}

#[test]
fn b58_a_channel_of_a_kind_that_nobody_knows_is_refused() {
    let mut hostile = greeted();
    hostile.tell(OPEN, &[0, 77, 1, 1, b'f', 0]);
    assert_eq!(resets(hostile), [[0, 3, 34]]);
}

#[test]
fn b58_half_built_items_cost_their_windows_and_nothing_else() {
    let mut hostile = greeted();
    for n in 0..100 {
        hostile.open(n, list::UNREAD);
        hostile.data_of(n, FIRST, Some(50_000), &[0; 8_000]);
    }
    assert_eq!(resets(hostile), [[0; 0]; 0]);
}

/// A server's connection over a stream in memory.
fn accept(stream: DuplexStream, options: AcceptOptions) -> Client {
    let request = [
        "GET / HTTP/1.1",
        "Host: x",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Protocol: tidegate.v1\r\n\r\n",
    ];
    let mut handshake = ServerHandshake::new(HeadLimits::default());
    let request = handshake.receive(request.join("\r\n").as_bytes()).unwrap().unwrap();
    tidegate::server::accept(stream, &request, Some(SUBPROTOCOL), options).unwrap()
}

/// The other end of one that is there as long as it can be.
fn accepted() -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let server = accept(ours, AcceptOptions::default());
    tokio::spawn(async move { while server.recv().await.is_some() {} });
    theirs
}

/// The close code that comes next, and after what time.
async fn close_code(stream: &mut DuplexStream) -> (u16, Duration) {
    let start = Instant::now();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let mut codec = Connection::new(Role::Client, Limits::default());
    loop {
        match codec.poll_event(|| [0; 4]).unwrap() {
            Some(Event::Close(Some(close))) => return (close.code().get(), start.elapsed()),
            Some(_) => {}
            None => {
                let n = stream.read(codec.spare()).await.unwrap();
                assert!(n > 0, "it ends without a close");
                codec.filled(n);
            }
        }
    }
}

#[test]
fn b58_silence_instead_of_hello_is_cut_off_after_ten_seconds() {
    in_virtual_time(async {
        let mut stream = accepted();
        let (code, took) = close_code(&mut stream).await;
        assert_eq!((code, took.as_secs()), (4_207, 10));
    });
}

#[test]
fn b58_a_hello_that_trickles_in_is_cut_off_all_the_same() {
    in_virtual_time(async {
        let (mut heard, mut says) = tokio::io::split(accepted());
        tokio::spawn(async move {
            let mut turns = tokio::time::interval(Duration::from_secs(3));
            // A frame of 60 bytes, one each time.
            for byte in [&[0x82, 0x80 | 0x3c, 0, 0, 0, 0][..], &[HELLO, 58], &[0; 58]].concat() {
                turns.tick().await;
                if says.write_all(&[byte]).await.is_err() {
                    return;
                }
            }
        });
        let start = Instant::now();
        let mut all = Vec::new();
        // Up to the close frame: the head of the answer comes before.
        while !all.ends_with(&[0x88, 0x02, 0x10, 0x6f]) {
            all.push(heard.read_u8().await.unwrap());
        }
        assert_eq!(start.elapsed().as_secs(), 10);
    });
}

#[test]
fn b58_who_reads_nothing_is_given_up_and_costs_what_may_be_queued() {
    in_virtual_time(async {
        let (ours, mut theirs) = tokio::io::duplex(64 << 10);
        let server = accept(ours, AcceptOptions::default());
        // HELLO, masked with zeros, and from then on nothing is done.
        theirs.write_all(&[0x82, 0x85, 0, 0, 0, 0, HELLO, 3, 1, 1, 0]).await.unwrap();
        let start = Instant::now();
        let mut sent = 0;
        while server.send(vec![0; 1 << 20]).await.is_ok() {
            sent += 1;
        }
        // As many as the queue takes; the next one has waited for room until the end.
        assert_eq!(sent, 16);
        let closed = server.closed().await;
        assert_eq!((closed.code, closed.was_clean), (1_006, false));
        assert!((20..=60).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
        drop(theirs);
    });
}
