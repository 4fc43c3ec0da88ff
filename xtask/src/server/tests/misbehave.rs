//! The routes that misbehave, seen byte by byte.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use sha2::{Digest as _, Sha256};

use super::{assert_idle, assert_tasks, connect, server};
use crate::server::{Running, peer};

/// Asks for a WebSocket and gives the stream, on which nothing was read.
fn ask(server: &Running, target: &str) -> TcpStream {
    let mut stream = connect(server);
    let head = format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// The accept key that the key above deserves (RFC 6455 §1.3).
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

/// A close frame of a client without a body; the mask of nothing is nothing.
const CLOSE: &[u8] = b"\x88\x80\x00\x00\x00\x00";

/// The head of the answer.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn open(server: &Running, target: &str) -> TcpStream {
    let mut stream = ask(server, target);
    let head = head(&mut stream);
    assert!(head.starts_with("HTTP/1.1 101 ") && head.contains(ACCEPT), "{head}");
    stream
}

/// All that comes until the end.
fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    rest
}

fn whole(server: &Running, target: &str) -> String {
    String::from_utf8(rest(&mut ask(server, target))).unwrap()
}

#[test]
fn closes_with_any_code() {
    let server = server();
    for (query, frame) in [
        ("", &b"\x88\x00"[..]),
        ("?code=4001&reason=bye", b"\x88\x05\x0f\xa1bye"),
        ("?code=1006", b"\x88\x02\x03\xee"),
        ("?code=0", b"\x88\x02\x00\x00"),
        ("?code=65535&reason=%C3%A9", b"\x88\x04\xff\xff\xc3\xa9"),
    ] {
        let mut stream = open(&server, &format!("/close{query}"));
        stream.write_all(CLOSE).unwrap();
        // Its own is the only close frame, and it ends the connection.
        assert_eq!(rest(&mut stream), frame, "{query}");
    }
    let mut long = open(&server, &format!("/close?code=1000&reason={}", "x".repeat(124)));
    long.write_all(CLOSE).unwrap();
    assert!(rest(&mut long).starts_with(b"\x88\x7e\x00\x7e\x03\xe8xxx"));
    assert_idle(&server);
}

#[test]
fn bursts_into_one_segment_with_the_response() {
    let server = server();
    let mut stream = ask(&server, "/burst");
    let mut segment = vec![0; 4_096];
    let n = stream.read(&mut segment).unwrap();
    let head_end = segment.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(&segment[head_end..n], b"\x81\x03one\x82\x03\x01\x02\x03\x81\x05three\x88\x06\x0f\xa1done");
    stream.write_all(CLOSE).unwrap();
    assert_eq!(rest(&mut stream), b"");
    assert_idle(&server);
}

#[test]
fn sends_raw_bytes_and_answers_while_that_makes_sense() {
    let server = server();
    for (hex, bytes, answer) in [
        // A message and nothing more: the peer's close is answered.
        ("8102hi".replace("hi", "6869"), &b"\x81\x02hi"[..], &b"\x8a\x00\x88\x00"[..]),
        // Closed already, text that is not UTF-8, a length of 5 GB.
        ("8800".into(), b"\x88\x00", b""),
        ("8101ff".into(), b"\x81\x01\xff", b""),
        ("827f000000012a05f200".into(), b"\x82\x7f\x00\x00\x00\x01\x2a\x05\xf2\x00", b""),
    ] {
        let mut stream = open(&server, &format!("/raw?hex={hex}"));
        let mut start = vec![0; bytes.len()];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(start, bytes);
        // A ping, then a close.
        stream.write_all(b"\x89\x80\x00\x00\x00\x00").unwrap();
        stream.write_all(CLOSE).unwrap();
        assert_eq!(rest(&mut stream), answer, "{hex}");
    }
    let mut gone = open(&server, "/raw?hex=");
    gone.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut gone), b"");
    assert_idle(&server);
}

#[test]
fn answers_the_handshake_wrongly() {
    let server = server();
    assert_eq!(whole(&server, "/refuse"), "");
    for (code, start) in
        [(401, "HTTP/1.1 401 Unauthorized\r\n"), (503, "HTTP/1.1 503 "), (200, "HTTP/1.1 200 ")]
    {
        let answer = whole(&server, &format!("/status?code={code}"));
        assert!(answer.starts_with(start), "{answer}");
        assert!(answer.ends_with(&format!("\r\n\r\nstatus {code}\n")), "{answer}");
    }
    let redirect = whole(&server, "/redirect");
    assert!(
        redirect.starts_with("HTTP/1.1 302 ") && redirect.contains("\r\nLocation: /echo\r\n"),
        "{redirect}"
    );
    assert!(whole(&server, "/none").starts_with("HTTP/1.1 404 "));
    let wrong = whole(&server, "/flood?messages=1");
    assert!(wrong.starts_with("HTTP/1.1 400 ") && wrong.contains("parameter bytes"), "{wrong}");

    let mut wrong = ask(&server, "/wrong-accept");
    let answer = head(&mut wrong);
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("Sec-WebSocket-Accept: "), "{answer}");
    assert!(!answer.contains(ACCEPT), "{answer}");
    let mut extension = ask(&server, "/extension");
    let answer = head(&mut extension);
    assert!(answer.contains(ACCEPT), "{answer}");
    assert!(answer.ends_with("\r\nSec-WebSocket-Extensions: x-nobody-offered\r\n\r\n"), "{answer}");
    drop((wrong, extension));
    assert_idle(&server);
}

#[test]
fn never_answers() {
    let server = server();
    let mut stream = ask(&server, "/never");
    // An answer to a later request would show that time has passed without one to this.
    assert!(whole(&server, "/status?code=401").contains("401"));
    stream.set_nonblocking(true).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_tasks(&server, 1);
    drop(stream);
    assert_idle(&server);
}

#[test]
fn stalls_until_its_peer_ends_or_the_time_is_over() {
    let server = server();
    let quiet = open(&server, "/stall");
    drop(quiet);
    assert_idle(&server);

    let mut eager = open(&server, "/stall?seconds=1");
    let (mut taken, bytes) = (0, vec![0; 1 << 16]);
    // Until the server resets the connection, as what it has not read is lost.
    while let Ok(n) = eager.write(&bytes) {
        taken += n;
    }
    // What the kernel holds on both sides.
    assert!(taken < 16 << 20, "{taken} bytes were taken");
    drop(eager);
    assert_idle(&server);
}

#[test]
fn resets_in_the_middle_and_when_all_was_read() {
    let server = server();
    for bytes in [100, 1 << 20] {
        let mut stream = open(&server, "/reset?after=100");
        // The first that notices it is told; what comes later is only told that it is over.
        let sent = stream.write_all(&vec![0; bytes]);
        let error = sent.and_then(|()| stream.read_exact(&mut [0])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert_idle(&server);
    }
}

#[test]
fn a_stopped_server_ends_every_connection() {
    let server = server();
    let targets = ["/stall", "/never", "/echo", "/sink", "/raw?hex=", "/flood?messages=10000000&bytes=100"];
    let mut streams = targets.map(|target| ask(&server, target));
    drop(server);
    for stream in &mut streams {
        let mut rest = Vec::new();
        // To the end, or to a reset where something was under way.
        if let Err(error) = stream.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    }
}

#[test]
fn sink_reads_a_message_of_many_fragments_to_its_end() {
    const FRAGMENTS: usize = 4_096;
    let server = server();
    let mut stream = open(&server, "/sink");
    let zeros = vec![0; 1 << 14];
    for number in 0..FRAGMENTS {
        let opcode = if number == 0 { 2 } else { 0 };
        let fin = if number == FRAGMENTS - 1 { 0x80 } else { 0 };
        // 16,384 bytes, masked with nothing.
        stream.write_all(&[fin | opcode, 0xfe, 0x40, 0, 0, 0, 0, 0]).unwrap();
        stream.write_all(&zeros).unwrap();
    }
    stream.write_all(b"\x81\x86\x00\x00\x00\x00report").unwrap();
    let sha256 = peer::hex(Sha256::new_with_prefix(zeros.repeat(FRAGMENTS)));
    let expected = format!(r#"{{"bytes":67108864,"messages":1,"sha256":"{sha256}"}}"#);
    let mut report = vec![0; 2 + expected.len()];
    stream.read_exact(&mut report).unwrap();
    assert_eq!(&report[..2], [0x81, u8::try_from(expected.len()).unwrap()]);
    assert_eq!(&report[2..], expected.as_bytes());
    stream.write_all(CLOSE).unwrap();
    assert_eq!(rest(&mut stream), b"\x88\x00");
    assert_idle(&server);
}
