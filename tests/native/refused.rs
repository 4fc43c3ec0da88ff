//! What the client says besides the handshake, and what a server says that refuses.

use std::io::Write as _;

use tidegate::proto::ws::{HandshakeError, InvalidRequest, Refusal};
use tidegate::{Client, ClientBuilder, ConnectError, TransportError};

use crate::block_on;
use crate::hostile::serve_once;
use crate::raw::{self, read_head, say_and_listen};
use crate::suite::LONG;

fn builder(port: u16) -> ClientBuilder {
    Client::builder(format!("ws://127.0.0.1:{port}/")).connect_within(LONG)
}

/// How connecting fails to a server with this answer.
fn refused_by(answer: &'static str) -> ConnectError {
    let port = serve_once(move |mut stream| {
        read_head(&mut stream);
        say_and_listen(stream, answer.as_bytes());
    });
    block_on(builder(port).connect()).expect_err("it must fail")
}

fn value<'a>(refusal: &'a Refusal, name: &str) -> &'a [u8] {
    refusal.headers.value(name).expect("the field is there")
}

#[test]
fn b64_a_redirect_a_login_and_a_refusal_tell_status_fields_and_the_start_of_the_body() {
    let moved =
        refused_by("HTTP/1.1 302 Found\r\nLocation: wss://other.example/\r\nContent-Length: 0\r\n\r\n");
    let refusal = moved.refusal().unwrap();
    assert_eq!((refusal.status, refusal.reason.as_str()), (302, "Found"));
    assert_eq!(value(refusal, "location"), b"wss://other.example/");

    let login = refused_by(
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nlog\r\n3\r\n in\r\n0\r\n\r\n",
    );
    let refusal = login.refusal().unwrap();
    assert_eq!((refusal.status, refusal.body.as_slice()), (401, &b"log in"[..]));
    assert_eq!(value(refusal, "WWW-Authenticate"), b"Bearer");

    let forbidden = refused_by("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno.\nand more");
    assert_eq!(forbidden.refusal().unwrap().body, b"no.\n");
    let busy = refused_by("HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(value(busy.refusal().unwrap(), "Retry-After"), b"120");
    // Whoever only prints it reads what happened.
    assert!(busy.to_string().ends_with("server answered with status 503"), "{busy}");
}

#[test]
fn b64_a_server_of_another_version_tells_those_it_offers() {
    for status in ["426 Upgrade Required", "400 Bad Request"] {
        let fields = "Sec-WebSocket-Version: 8, 7\r\nSec-WebSocket-Version: 25\r\nContent-Length: 0";
        let answer: &'static str = format!("HTTP/1.1 {status}\r\n{fields}\r\n\r\n").leak();
        let error = refused_by(answer);
        let number = status.split(' ').next().unwrap();
        assert_eq!(error.refusal().unwrap().status.to_string(), number);
        let ConnectError::Failed { source: Some(TransportError::Handshake(fault)), .. } = error else {
            panic!("{error:?}")
        };
        let HandshakeError::Version { offered, .. } = fault else { panic!("{fault:?}") };
        assert_eq!(offered, [8, 7, 25]);
    }
}

#[test]
fn b64_a_body_is_kept_up_to_its_limit_and_no_further_read() {
    let port = serve_once(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"HTTP/1.1 500 Oops\r\nContent-Length: 1000000000\r\n\r\n").unwrap();
        // Until the client has gone.
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let error = block_on(builder(port).connect()).expect_err("it must fail");
    let body = &error.refusal().unwrap().body;
    assert_eq!((body.len(), body.first()), (4096, Some(&b'x')));
}

#[test]
fn b10_user_and_password_of_the_url_are_sent_unless_the_caller_says_otherwise() {
    for (own, expected) in [(None, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="), (Some("Bearer x"), "Bearer x")] {
        let (tell, told) = std::sync::mpsc::channel();
        let port = serve_once(move |mut stream| {
            tell.send(read_head(&mut stream)).unwrap();
        });
        let mut builder = Client::builder(format!("ws://Aladdin:open%20sesame@127.0.0.1:{port}/"));
        if let Some(own) = own {
            builder = builder.header("authorization", own);
        }
        let _ = block_on(builder.connect());
        let head = told.recv().unwrap();
        let sent: Vec<_> =
            head.lines().filter(|line| line.to_lowercase().starts_with("authorization")).collect();
        assert_eq!(sent.len(), 1, "{head}");
        assert!(sent[0].ends_with(expected), "{head}");
        assert!(!head.contains('@'), "{head}");
    }
}

#[test]
fn b10_header_fields_of_the_callers_own_are_sent() {
    let (tell, told) = std::sync::mpsc::channel();
    let port = serve_once(move |mut stream| {
        tell.send(read_head(&mut stream)).unwrap();
    });
    let builder = builder(port).header("Authorization", "Bearer a.b.c").header("Cookie", "a=b; c=\"d\"");
    let _ = block_on(builder.header("Origin", "https://example.com").connect());
    let head = told.recv().unwrap();
    for (name, value) in
        [("Authorization", "Bearer a.b.c"), ("Cookie", "a=b; c=\"d\""), ("Origin", "https://example.com")]
    {
        assert_eq!(raw::field(&head, name), Some(value));
    }
}

#[test]
fn b64_header_fields_that_may_not_be_sent_are_typed_errors() {
    // Nobody is there: an error of any other kind would mean that it was tried.
    let error = |name: &str, value: &str| {
        let builder = builder(raw::closed_port()).header("X-Fine", "fine").header(name, value);
        block_on(builder.connect()).expect_err("it must fail")
    };
    let expected = |name: &str, reason| ConnectError::Header { name: name.into(), reason };
    for name in ["", "a b", "a:", "a\r\nb", "H\u{f6}", "Host", "sec-websocket-key", "Content-Length"] {
        assert_eq!(error(name, "value"), expected(name, InvalidRequest::HeaderName));
    }
    for value in ["a\r\nX: y", "a\rb", "a\nb", "a\0b", " a", "a\t"] {
        assert_eq!(error("X-Name", value), expected("X-Name", InvalidRequest::HeaderValue));
    }
    let builder = builder(1).header("Authorization", "secret");
    assert!(!format!("{builder:?}").contains("secret"));
}
