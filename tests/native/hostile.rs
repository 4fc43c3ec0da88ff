//! Servers that refuse, lie, or break the protocol.

use core::error::Error;
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream};

use tidegate::proto::ws::{self, HandshakeError, HeadLimits, InvalidHead};
use tidegate::server::AcceptOptions;
use tidegate::{Client, CloseCause, ConnectError, Message, TransportError};

use crate::block_on;
use crate::foreign::net;
use crate::own::read_request;
use crate::raw::{self, accept, read_head, say_and_listen};
use crate::suite::connecting::fails;
use crate::suite::{LONG, Net, SHORT, open, text};

/// What is known beyond the close event of a failed connect.
fn source(error: ConnectError) -> TransportError {
    match error {
        ConnectError::Failed { source: Some(source), .. } => source,
        other => panic!("no source: {other:?}"),
    }
}

#[test]
fn b05_a_refused_port_says_that_nobody_was_there() {
    block_on(async {
        let refused = fails(&net(), "/refused").await;
        // The operating system's own error is the source, in both.
        let of =
            |error: &dyn Error| error.source().and_then(|source| source.downcast_ref()).map(io::Error::kind);
        assert_eq!(of(&refused), Some(io::ErrorKind::ConnectionRefused));
        let error = source(refused);
        assert_eq!(of(&error), Some(io::ErrorKind::ConnectionRefused));
        assert_eq!(error, error.clone());
        assert!(matches!(error, TransportError::Connect { .. }), "{error:?}");
    });
}

#[test]
fn b05_a_status_is_told() {
    block_on(async {
        for code in [401, 404, 426, 503] {
            let error = fails(&net(), &format!("/status?code={code}")).await;
            let refusal = error.refusal().expect("the server has answered");
            assert_eq!((refusal.status, refusal.body.as_slice()), (code, &b"no.\n"[..]));
        }
    });
}

#[test]
fn b05_a_wrong_accept_value_fails() {
    block_on(async {
        let error = source(fails(&net(), "/wrong-accept").await);
        assert_eq!(error, TransportError::Handshake(HandshakeError::WrongAccept));
    });
}

#[test]
fn b05_an_unacknowledged_subprotocol_fails_as_it_does_in_a_browser() {
    block_on(async {
        let net = net();
        let connecting = net.connect("/no-subprotocol", |builder| builder.subprotocol("chat.v2"));
        let error = connecting.await.expect_err("it must fail");
        let ConnectError::Failed { closed, source: Some(_) } = error else { panic!("{error:?}") };
        assert_eq!((closed.code, closed.was_clean), (1006, false));
    });
}

#[test]
fn b05_a_server_that_hangs_up_or_speaks_no_http_fails() {
    block_on(async {
        for answer in ["", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/1.1 101", "\0\0\0\0"] {
            let port = serve_once(move |mut stream| {
                read_head(&mut stream);
                let _ = stream.write_all(answer.as_bytes());
            });
            let connecting = tidegate::Client::builder(format!("ws://127.0.0.1:{port}/")).connect();
            let error = source(connecting.await.expect_err("it must fail"));
            let TransportError::Handshake(fault) = error else { panic!("{error:?}") };
            assert!(fault.refusal().is_none(), "{fault:?}");
        }
    });
}

/// A server for one connection.
pub(crate) fn serve_once(talk: impl FnOnce(std::net::TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || talk(listener.accept().unwrap().0));
    port
}

/// The payload of the first frame that the client has sent, unmasked, with its opcode.
fn first_frame(bytes: &[u8]) -> (u8, Vec<u8>) {
    let length = usize::from(bytes[1] & 0x7f);
    let (key, payload) = (&bytes[2..6], &bytes[6..6 + length]);
    (bytes[0] & 0x0f, payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect())
}

/// Sends frames to a client; returns what the client reports and the close code that it sent.
fn close_code_for(frames: &'static [u8]) -> (tidegate::Closed, u16) {
    let (tell, told) = std::sync::mpsc::channel();
    let port = serve_once(move |mut stream| {
        let head = read_head(&mut stream);
        let answer = [accept(&head), frames.to_vec()].concat();
        tell.send(say_and_listen(stream, &answer)).unwrap();
    });
    let closed = block_on(async {
        let client = tidegate::Client::builder(format!("ws://127.0.0.1:{port}/")).connect().await.unwrap();
        assert_eq!(client.recv().await, None, "nothing of it is delivered");
        client.closed().await
    });
    let (opcode, payload) = first_frame(&told.recv().unwrap());
    assert_eq!(opcode, 8);
    (closed, u16::from_be_bytes([payload[0], payload[1]]))
}

#[test]
fn b60_invalid_utf8_fails_with_1007() {
    for frames in [&b"\x81\x03a\xffb"[..], b"\x01\x02\xe6\xb0\x80\x01\x61", b"\x81\x03\xed\xa0\x80"] {
        let (closed, code) = close_code_for(frames);
        assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Peer));
        assert_eq!(code, 1007);
    }
}

#[test]
fn b61_a_declared_length_of_5_gb_fails_with_1009_and_allocates_nothing() {
    let (closed, code) = close_code_for(b"\x82\x7f\x00\x00\x00\x01\x2a\x05\xf2\x00some of it");
    assert_eq!((closed.code, closed.was_clean), (1006, false));
    assert_eq!(code, 1009);
}

#[test]
fn b59_broken_frames_fail_with_1002() {
    for frames in [&b"\x82\x83\x00\x00\x00\x00abc"[..], b"\xc1\x00", b"\x83\x00", b"\x80\x00", b"\x09\x00"] {
        let (closed, code) = close_code_for(frames);
        assert_eq!((closed.code, closed.was_clean, code), (1006, false, 1002));
    }
}

#[test]
fn b65_broken_close_frames_fail_with_1002_or_1007() {
    for (frames, expected) in [
        (&b"\x88\x01\x03"[..], 1002),    // half a code
        (b"\x88\x02\x03\xed", 1002),     // 1005
        (b"\x88\x02\x03\xee", 1002),     // 1006
        (b"\x88\x02\x03\xf7", 1002),     // 1015
        (b"\x88\x02\x03\xe7", 1002),     // 999
        (b"\x88\x02\x0b\xb7", 1002),     // 2999
        (b"\x88\x03\x03\xe8\xff", 1007), // a reason that is no text
    ] {
        let (closed, code) = close_code_for(frames);
        assert_eq!((closed.code, closed.was_clean, code), (1006, false, expected), "{frames:x?}");
    }
}

#[test]
fn b11_nothing_that_follows_a_close_frame_is_delivered() {
    block_on(async {
        // Text, close 1000, text, and what is no frame at all.
        let client = open(&net(), "/raw?hex=81036f6e65880203e88104616674657affffff").await;
        assert_eq!(client.recv().await, text("one"));
        assert_eq!(client.recv().await, None);
        let closed = client.closed().await;
        assert_eq!((closed.code, closed.was_clean), (1000, true));
        assert_eq!(client.failure(), None);
    });
}

#[test]
fn b64_a_head_without_an_end_is_refused_at_its_limit() {
    block_on(async {
        let (tell, told) = std::sync::mpsc::channel();
        let port = serve_once(move |mut stream| {
            read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n").unwrap();
            let line = format!("X: {}\r\n", "y".repeat(997));
            let lines = core::iter::repeat_n(line, 100_000);
            // Written until the client has had enough; a system may take some megabytes before.
            let written = lines.take_while(|line| stream.write_all(line.as_bytes()).is_ok());
            tell.send(written.count()).unwrap();
        });
        let connecting = tidegate::Client::builder(format!("ws://127.0.0.1:{port}/")).connect();
        let error = source(connecting.await.expect_err("it must fail"));
        let limit = HeadLimits::default().max_head_bytes;
        let too_large = HandshakeError::Head(InvalidHead::TooLarge { limit });
        assert_eq!(error, TransportError::Handshake(too_large));
        assert!(told.recv().unwrap() < 100_000, "and the connection is let go of");
    });
}

#[test]
fn b64_no_line_gets_into_a_request_by_its_url() {
    for path in ["/a\r\nX: y", "/a%0d%0aX:%20y", "/\u{e9}?q=\r\n\r\nGET / HTTP/1.1", "/a b\tc", "/\0"] {
        let (tell, told) = std::sync::mpsc::channel();
        let port = serve_once(move |mut stream| {
            let head = read_head(&mut stream);
            let answer = [accept(&head), b"\x88\x00".to_vec()].concat();
            tell.send(head).unwrap();
            say_and_listen(stream, &answer);
        });
        block_on(async {
            let url = format!("ws://127.0.0.1:{port}{path}");
            let client = tidegate::Client::builder(url).connect().await.unwrap();
            client.closed().await;
        });
        let head = told.recv().unwrap();
        let lines: Vec<&str> = head.trim_end().split("\r\n").collect();
        assert_eq!(lines.len(), 6, "{head}");
        assert_eq!(lines[0].split(' ').count(), 3, "{head}");
        let names: Vec<&str> = lines[1..].iter().map(|line| line.split(':').next().unwrap()).collect();
        let expected = ["Host", "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"];
        assert_eq!(names, expected, "{path:?}");
    }
}

#[test]
fn b11_what_came_before_a_broken_frame_is_delivered() {
    block_on(async {
        let client = open(&net(), "/raw?hex=81036f6e65c100").await;
        assert_eq!(client.recv().await, text("one"));
        assert_eq!(client.recv().await, None);
        assert_eq!(client.closed().await.code, 1006);
    });
}

#[test]
fn b11_a_connection_that_is_cut_ends_with_1006() {
    block_on(async {
        let port = serve_once(|mut stream| {
            let head = read_head(&mut stream);
            let frames = b"\x81\x03one\x81\x05cut";
            stream.write_all(&[accept(&head), frames.to_vec()].concat()).unwrap();
        });
        let client = tidegate::Client::builder(format!("ws://127.0.0.1:{port}/")).connect().await.unwrap();
        assert_eq!((client.recv().await, client.recv().await), (text("one"), None));
        let closed = client.closed().await;
        assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Peer));
    });
}

#[test]
fn b06_the_server_sees_a_dropped_connect_as_the_end_of_the_stream() {
    let (tell, told) = std::sync::mpsc::channel();
    let port = serve_once(move |mut stream| {
        let head = read_head(&mut stream);
        tell.send(()).unwrap();
        // Nothing is answered; the client goes.
        assert_eq!(say_and_listen(stream, b""), b"", "{head}");
        tell.send(()).unwrap();
    });
    block_on(async {
        let connecting = tidegate::Client::builder(format!("ws://127.0.0.1:{port}/")).connect();
        let mut connecting = Box::pin(connecting);
        while told.try_recv().is_err() {
            assert!(crate::suite::poll_once(connecting.as_mut()).await.is_pending());
            tokio::task::yield_now().await;
        }
        drop(connecting);
        while told.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn b31_a_peer_that_answers_no_close_frame_is_left_at_the_deadline() {
    block_on(async {
        // Reads, and says nothing.
        let client = net().connect("/raw?hex=", |builder| builder.close_within(SHORT)).await.unwrap();
        let closed = client.close(1000, "").await.unwrap();
        assert_eq!((closed.code, closed.cause), (1006, CloseCause::Unconfirmed));
    });
}

#[test]
fn b29_a_large_message_in_many_reads_arrives_whole() {
    block_on(async {
        // 16 MiB in one frame: more than is read in one go, with no event between.
        let port = serve_once(|mut stream| {
            let head = read_head(&mut stream);
            stream.write_all(&accept(&head)).unwrap();
            for _ in 0..3 {
                let mut frame = vec![0x82, 0x7f, 0, 0, 0, 0, 1, 0, 0, 0];
                frame.resize(10 + (16 << 20), 7);
                stream.write_all(&frame).unwrap();
            }
            // 16 MiB more, as a message in 16,384 fragments.
            for number in 0..16_384 {
                let mut frame = vec![u8::from(number == 0) * 2, 126, 4, 0];
                if number == 16_383 {
                    frame[0] |= 0x80;
                }
                frame.resize(4 + 1024, 7);
                stream.write_all(&frame).unwrap();
            }
            say_and_listen(stream, &raw::BURST[5..]);
        });
        let connecting = tidegate::Client::builder(format!("ws://127.0.0.1:{port}/")).connect_within(LONG);
        let client = connecting.connect().await.unwrap();
        for _ in 0..4 {
            let Some(Message::Binary(bytes)) = client.recv().await else { panic!("not a message") };
            assert!(bytes == vec![7; 16 << 20]);
        }
    });
}

/// A text, one with a reserved bit, and a ping, as a server sends them.
const TEXT_AND_FAULT: &[u8] = b"\x81\x05Hello\xa1\x05Hello\x89\x00";

/// What the peer of a server has said: its events up to the close frame.
fn said(heard: &[u8], role: ws::Role) -> Vec<ws::Event> {
    let mut peer = ws::Connection::new(role, ws::Limits::default());
    peer.receive(heard);
    core::iter::from_fn(|| peer.poll_event(|| [1, 2, 3, 4]).unwrap()).collect()
}

/// The answer to what came before the fault, then the close frame that tells of it.
fn answered() -> Vec<ws::Event> {
    let close = ws::CloseFrame::new(ws::CloseCode::PROTOCOL_ERROR, "").unwrap();
    vec![ws::Event::Message("Hello".into()), ws::Event::Close(Some(close))]
}

#[test]
fn b59_a_client_answers_what_came_before_a_fault() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let server = tokio::task::spawn_blocking(move || {
            let mut stream = listener.accept().unwrap().0;
            let head = read_head(&mut stream);
            say_and_listen(stream, &[&accept(&head)[..], TEXT_AND_FAULT].concat())
        });
        // Not in a task of its own: a runtime of one thread runs others first.
        let client = Client::builder(url).connect().await.unwrap();
        let message = client.recv().await.unwrap();
        client.send(message).await.unwrap();
        assert_eq!(client.recv().await, None);
        assert_eq!(client.closed().await.code, 1006);
        assert!(matches!(client.failure(), Some(TransportError::Protocol { .. })));
        assert_eq!(said(&server.await.unwrap(), ws::Role::Server), answered());
    });
}

#[test]
fn b59_a_server_answers_what_came_before_a_fault() {
    block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = tokio::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            let lines = ["GET / HTTP/1.1", "Host: x", "Upgrade: websocket", "Connection: Upgrade"];
            let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13";
            write!(stream, "{}\r\n{key}\r\n\r\n", lines.join("\r\n")).unwrap();
            read_head(&mut stream);
            // Masked with zeros.
            let frames = b"\x81\x85\0\0\0\0Hello\xa1\x85\0\0\0\0Hello\x89\x80\0\0\0\0";
            say_and_listen(stream, frames)
        });
        let mut stream = listener.accept().await.unwrap().0;
        let request = read_request(&mut stream).await.unwrap();
        let server = tidegate::server::accept(stream, &request, None, AcceptOptions::default()).unwrap();
        let message = server.recv().await.unwrap();
        server.send(message).await.unwrap();
        assert_eq!(server.recv().await, None);
        assert_eq!(said(&client.await.unwrap(), ws::Role::Client), answered());
    });
}
