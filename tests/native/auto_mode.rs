//! `Mode::Auto` on the host, where the answer of a server is seen: which of them are a reason to try without
//! `tidegate.v1`, and after which the server is known as plain.

use std::sync::mpsc;

use tidegate::{Client, ConnectError, Mode, TransportError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::block_on;
use crate::raw::{accept, closed_port, field, read_head, say_and_listen};
use crate::suite::LONG;

/// What a server answers to a request that offers `tidegate.v1`; any other it accepts.
#[derive(Clone, Copy)]
enum Answer {
    /// These bytes, and then the stream ends.
    Bytes(&'static str),
    /// It accepts without a subprotocol, or with this field.
    Accepts(&'static str),
    /// It accepts `tidegate.v1`, says these bytes, and the stream ends.
    Speaks(&'static [u8]),
}

/// A server, and what each attempt has offered, in their order.
async fn server(answer: Answer) -> (u16, mpsc::Receiver<Option<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, (tell, told)) = (listener.local_addr().unwrap().port(), mpsc::channel());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer, tell.clone()));
        }
    });
    (port, told)
}

async fn serve(mut stream: TcpStream, answer: Answer, tell: mpsc::Sender<Option<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let offered = field(&head, "Sec-WebSocket-Protocol").map(str::to_owned);
    let is_tidegate = offered.as_ref().is_some_and(|offered| offered.starts_with("tidegate.v1"));
    tell.send(offered).unwrap();
    let said = match answer {
        Answer::Bytes(bytes) if is_tidegate => bytes.as_bytes().to_vec(),
        Answer::Accepts(more) if is_tidegate => {
            let plain = String::from_utf8(accept(&head)).unwrap();
            format!("{}{more}\r\n", plain.strip_suffix("\r\n").unwrap()).into_bytes()
        }
        Answer::Speaks(bytes) if is_tidegate => {
            let plain = accept(&head);
            let (fields, end) = plain.split_at(plain.len() - 2);
            [fields, b"Sec-WebSocket-Protocol: tidegate.v1\r\n", end, bytes].concat()
        }
        _ => accept(&head),
    };
    stream.write_all(&said).await.unwrap();
    if !is_tidegate {
        // Until the client has gone.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

/// Each test has a `path` of its own: what is known of a server is known by all tests of the process, and a port may be
/// used again.
async fn auto(port: u16, path: &str) -> Result<Client, ConnectError> {
    let builder = Client::builder(format!("ws://127.0.0.1:{port}/{path}"));
    builder.mode(Mode::Auto).connect_within(LONG).connect().await
}

/// What two connections in a row have come to, and what their attempts have offered.
fn two(answer: Answer, path: &str) -> (Vec<Result<Mode, ConnectError>>, Vec<bool>) {
    block_on(async {
        let (port, told) = server(answer).await;
        let mut came = Vec::new();
        for _ in 0..2 {
            came.push(auto(port, path).await.map(|client| client.mode()));
        }
        (came, told.try_iter().map(|offered| offered.as_deref() == Some("tidegate.v1")).collect())
    })
}

#[test]
fn an_answer_about_the_subprotocol_is_a_reason_to_try_without_and_makes_the_server_known_as_plain() {
    let answers = [
        Answer::Accepts(""),
        Answer::Accepts("Sec-WebSocket-Protocol: chat.v2\r\n"),
        Answer::Accepts("Sec-WebSocket-Protocol: tidegate.v1\r\nSec-WebSocket-Protocol: chat.v2\r\n"),
        Answer::Bytes("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
        Answer::Bytes("HTTP/1.1 406 Not Acceptable\r\nContent-Length: 0\r\n\r\n"),
        Answer::Bytes("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n"),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        let (came, offered) = two(answer, &format!("subprotocol-{number}"));
        assert_eq!(came, [Ok(Mode::Plain), Ok(Mode::Plain)]);
        assert_eq!(offered, [true, false, false], "the second connection knows it");
    }
}

#[test]
fn b05_any_other_answer_is_told_after_one_attempt_and_nothing_is_known_of_the_server() {
    let statuses = [
        "302 Found",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "407 Proxy Authentication Required",
        "429 Too Many Requests",
        "500 Oops",
        "502 Bad Gateway",
        "503 Busy",
        "504 Gateway Timeout",
    ];
    for status in statuses {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let (came, offered) = two(Answer::Bytes(answer.leak()), "other");
        for came in came {
            let told = came.unwrap_err().refusal().map(|refusal| refusal.status.to_string());
            assert_eq!(told.as_deref(), status.split(' ').next());
        }
        assert_eq!(offered, [true, true], "{status}");
    }
    // Not of a server that speaks version 13, or WebSocket at all.
    for answer in [
        "HTTP/1.1 400 Bad Request\r\nSec-WebSocket-Version: 8\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "SSH-2.0-OpenSSH_9.6\r\n",
    ] {
        let (came, offered) = two(Answer::Bytes(answer), "other");
        assert!(came.iter().all(|came| matches!(came, Err(ConnectError::Failed { .. }))), "{came:?}");
        assert_eq!(offered, [true, true], "{answer}");
    }
}

#[test]
fn a_server_that_hangs_up_is_tried_without_each_time_since_it_may_only_have_been_away() {
    let (came, offered) = two(Answer::Bytes(""), "hangs-up");
    assert_eq!(came, [Ok(Mode::Plain), Ok(Mode::Plain)]);
    assert_eq!(offered, [true, false, true, false]);
}

#[test]
fn a_server_that_has_chosen_the_subprotocol_speaks_it_also_if_the_session_does_not_begin() {
    // Close frames (1013 Try Again Later, 4221 BUSY, 1000 with a reason), nothing at all, and garbage.
    for bytes in [&b"\x88\x02\x03\xf5"[..], b"\x88\x02\x10\x7d", b"\x88\x05\x03\xe8bye", b"", b"\xff\xff"] {
        let (came, offered) = two(Answer::Speaks(bytes), "speaks");
        assert!(came.iter().all(Result::is_err), "{came:?}");
        assert_eq!(offered, [true, true], "{bytes:?}");
    }
}

#[test]
fn a_server_that_chooses_whatever_it_is_offered_and_says_something_else_is_plain() {
    // A text, and a binary message that is no greeting: what an echo sends back is the client's own.
    for (bytes, path) in [(&b"\x81\x05hello"[..], "says text"), (b"\x82\x03\x01\x01\x01", "says bytes")] {
        let (came, offered) = two(Answer::Speaks(bytes), path);
        assert_eq!(came, [Ok(Mode::Plain), Ok(Mode::Plain)], "{bytes:?}");
        assert_eq!(offered, [true, false, false], "{bytes:?}");
    }
}

#[test]
fn b05_a_server_that_is_not_there_is_tried_once() {
    block_on(async {
        let error = auto(closed_port(), "away").await.unwrap_err();
        let is_connect =
            matches!(error, ConnectError::Failed { source: Some(TransportError::Connect { .. }), .. });
        assert!(is_connect, "{error:?}");
    });
}

#[test]
fn a_second_attempt_that_fails_makes_nothing_known() {
    // It accepts nobody.
    let (tell, told) = mpsc::channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let head = read_head(&mut stream);
            tell.send(field(&head, "Sec-WebSocket-Protocol").is_some()).unwrap();
            say_and_listen(stream, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        }
    });
    block_on(async {
        for _ in 0..2 {
            let error = auto(port, "nobody").await.unwrap_err();
            assert_eq!(error.refusal().unwrap().status, 400);
        }
    });
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [true, false, true, false]);
}
