//! Section 4: the opening handshake, from both sides.

use tidegate::proto::ws::{
    ClientHandshake, ClientRequest, Connection, Event, HandshakeError, HeadLimits, InvalidHead,
    InvalidRequest, InvalidResponse, Limits, ProxyTunnel, Refusal, Request, RequestError, Response, Role,
    ServerHandshake, accept_key,
};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::{frame, poll_all};

const NONCE: [u8; 16] = *b"the sample nonce";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n";

fn client(subprotocols: &[&str]) -> ClientHandshake {
    let mut request = ClientRequest::new("example.com", "/chat").unwrap();
    for name in subprotocols {
        request.subprotocol(name).unwrap();
    }
    ClientHandshake::new(request, NONCE, HeadLimits::default())
}

/// A response of status 101 with these fields.
fn switching(fields: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n")
}

/// How a client that offers these subprotocols fails on a response, at every cut of it.
fn client_error(subprotocols: &[&str], response: &str) -> HandshakeError {
    let whole = client(subprotocols).receive(response.as_bytes()).unwrap_err();
    for cut in 0..response.len() {
        let mut handshake = client(subprotocols);
        let (head, tail) = response.as_bytes().split_at(cut);
        let cut_error = match handshake.receive(head) {
            Err(error) => error,
            Ok(accepted) => {
                assert_eq!(accepted, None);
                handshake.receive(tail).unwrap_err()
            }
        };
        assert_eq!(cut_error, whole, "cut at {cut}");
    }
    whole
}

fn refusal(response: &str) -> Refusal {
    match client(&[]).receive(response.as_bytes()) {
        Err(HandshakeError::Refused(refusal)) => *refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_example_of_the_rfc() {
    // Section 1.2.
    assert_eq!(accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let mut request = ClientRequest::new("server.example.com", "/chat").unwrap();
    request.subprotocol("chat").unwrap().subprotocol("superchat").unwrap();
    request.header("Origin", "http://example.com").unwrap();
    let mut handshake = ClientHandshake::new(request, NONCE, HeadLimits::default());
    let expected = "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat, superchat\r\n\
        Origin: http://example.com\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(handshake.request()), expected);
    let response = switching(&format!("{UPGRADE}{ACCEPT}Sec-WebSocket-Protocol: chat\r\n"));
    let accepted = handshake.receive(response.as_bytes()).unwrap().unwrap();
    assert_eq!(accepted.subprotocol.as_deref(), Some("chat"));
    assert_eq!(accepted.headers.value("upgrade"), Some(&b"websocket"[..]));
}

#[test]
fn both_sides_agree_at_every_cut_and_frames_may_follow_at_once() {
    // B9 as far as it is the codec's: frames in the same segment as the head are not lost.
    let mut request = ClientRequest::new("[::1]:9001", "/?a=%20b").unwrap();
    request.subprotocol("v1").unwrap().subprotocol("v2").unwrap();
    request.header("Authorization", "Bearer x").unwrap();
    let sent = ClientHandshake::new(request.clone(), NONCE, HeadLimits::default());
    let input = [sent.request(), &frame(Role::Server, 0x81, b"early")].concat();
    for cut in 0..=input.len() {
        let mut server = ServerHandshake::new(HeadLimits::default());
        let (head, tail) = input.split_at(cut);
        let mut received = server.receive(head).unwrap();
        let mut rest = tail;
        if received.is_none() {
            received = server.receive(tail).unwrap();
            rest = &[];
        }
        let received = received.unwrap();
        assert_eq!((received.target.as_str(), received.host.as_str()), ("/?a=%20b", "[::1]:9001"));
        assert_eq!(received.subprotocols, ["v1", "v2"]);
        assert_eq!(received.headers.value("authorization"), Some(&b"Bearer x"[..]));
        assert_eq!(received.choose(&["v3", "v2"]), Some("v2"));
        assert_eq!(received.choose(&["v3"]), None);
        let mut connection = Connection::new(Role::Server, Limits::default());
        connection.receive(&received.rest);
        connection.receive(rest);
        assert_eq!(poll_all(&mut connection).0, [Event::Message("early".into())]);

        let mut response = received.accept(Some("v2")).unwrap();
        response.header("Server", "test").unwrap();
        let mut bytes = response.to_bytes();
        bytes.extend(frame(Role::Client, 0x82, b"early"));
        let mut client = ClientHandshake::new(request.clone(), NONCE, HeadLimits::default());
        let (head, tail) = bytes.split_at(cut.min(bytes.len()));
        let accepted = match client.receive(head).unwrap() {
            Some(accepted) => [accepted.rest.as_slice(), tail].concat(),
            None => client.receive(tail).unwrap().unwrap().rest,
        };
        assert_eq!(accepted, frame(Role::Client, 0x82, b"early"));
    }
}

#[test]
fn b64_wrong_accept_is_refused() {
    for accept in ["", "x", "s3pPLMBiTxaQ9kYGzzhZRbK+xOp=", "S3pPLMBiTxaQ9kYGzzhZRbK+xOo="] {
        let response = switching(&format!("{UPGRADE}Sec-WebSocket-Accept: {accept}\r\n"));
        assert_eq!(client_error(&[], &response), HandshakeError::WrongAccept, "{accept}");
    }
}

#[test]
fn b64_missing_doubled_and_wrong_headers_are_refused() {
    use HandshakeError as E;
    let (upgrade, connection) = ("Upgrade: websocket\r\n", "Connection: Upgrade\r\n");
    let missing = |name| E::MissingHeader { name };
    let doubled = |name| E::DoubledHeader { name };
    let invalid = |name| E::InvalidHeader { name };
    for (fields, error) in [
        (format!("{connection}{ACCEPT}"), missing("Upgrade")),
        (format!("{upgrade}{ACCEPT}"), missing("Connection")),
        (UPGRADE.to_owned(), missing("Sec-WebSocket-Accept")),
        (format!("{UPGRADE}{upgrade}{ACCEPT}"), doubled("Upgrade")),
        (format!("{UPGRADE}{ACCEPT}{ACCEPT}"), doubled("Sec-WebSocket-Accept")),
        (format!("Upgrade: h2c\r\n{connection}{ACCEPT}"), invalid("Upgrade")),
        (format!("Upgrade: websocket, h2c\r\n{connection}{ACCEPT}"), invalid("Upgrade")),
        (format!("{upgrade}Connection: close\r\n{ACCEPT}"), invalid("Connection")),
        (format!("{upgrade}Connection: upgraded\r\n{ACCEPT}"), invalid("Connection")),
    ] {
        assert_eq!(client_error(&[], &switching(&fields)), error, "{fields}");
    }
    // Names and tokens have no case, and `Connection` is a list.
    let fields = format!("UPGRADE: WebSocket\r\nconnection: keep-alive, uPgRaDe\r\n{ACCEPT}");
    assert!(client(&[]).receive(switching(&fields).as_bytes()).unwrap().is_some());
}

#[test]
fn b64_what_was_not_offered_is_refused() {
    use HandshakeError as E;
    for extension in ["permessage-deflate", "x; y=1", "a, b"] {
        let fields = format!("{UPGRADE}{ACCEPT}Sec-WebSocket-Extensions: {extension}\r\n");
        assert_eq!(client_error(&[], &switching(&fields)), E::UnofferedExtension);
    }
    let choose = |name| switching(&format!("{UPGRADE}{ACCEPT}Sec-WebSocket-Protocol: {name}\r\n"));
    assert_eq!(client_error(&[], &choose("chat")), E::UnofferedSubprotocol);
    assert_eq!(client_error(&["chat"], &choose("Chat")), E::UnofferedSubprotocol);
    assert_eq!(client_error(&["a", "b"], &choose("a, b")), E::UnofferedSubprotocol);
    let twice = choose("a\r\nSec-WebSocket-Protocol: a");
    let name = "Sec-WebSocket-Protocol";
    assert_eq!(client_error(&["a"], &twice), E::DoubledHeader { name });
    // As a browser: offered, and none chosen.
    let none = switching(&format!("{UPGRADE}{ACCEPT}"));
    assert_eq!(client_error(&["chat"], &none), E::NoSubprotocol);
}

#[test]
fn b64_a_head_above_its_limit_is_refused() {
    let mut limits = HeadLimits::default();
    limits.max_head_bytes = 1_000;
    let too_large = InvalidHead::TooLarge { limit: 1_000 };
    let request = ClientRequest::new("example.com", "/").unwrap();
    let mut client = ClientHandshake::new(request, NONCE, limits);
    let mut server = ServerHandshake::new(limits);
    assert_eq!((client.receive(b"HTTP/"), server.receive(b"GET /")), (Ok(None), Ok(None)));
    for sent in 6..=1_001 {
        let (client, server) = (client.receive(b"x"), server.receive(b"x"));
        if sent <= 1_000 {
            assert_eq!((client, server), (Ok(None), Ok(None)));
        } else {
            assert_eq!(client, Err(HandshakeError::Head(too_large)));
            assert_eq!(server.unwrap_err().response().status(), 431);
        }
    }
    // Interim responses count towards the same limit.
    let request = ClientRequest::new("example.com", "/").unwrap();
    let mut client = ClientHandshake::new(request, NONCE, limits);
    let flood = b"HTTP/1.1 102 Processing\r\n\r\n".repeat(100);
    assert_eq!(client.receive(&flood), Err(HandshakeError::Head(too_large)));
    // Many short fields.
    let fields = format!("{UPGRADE}{ACCEPT}{}", "a:b\r\n".repeat(200));
    let many = client_error(&[], &switching(&fields));
    assert_eq!(many, HandshakeError::Head(InvalidHead::TooManyFields));
}

#[test]
fn b64_a_head_that_comes_byte_by_byte_is_searched_once() {
    // A megabyte in single bytes: searched anew at each, this would be 5 * 10^11 comparisons.
    let mut limits = HeadLimits::default();
    limits.max_head_bytes = 1 << 20;
    let mut server = ServerHandshake::new(limits);
    for _ in 0..1 << 20 {
        assert_eq!(server.receive(b"\r"), Ok(None));
    }
    assert!(server.receive(b"\r").is_err());
}

#[test]
fn b64_nothing_of_a_head_but_its_start_is_parsed_before_its_end() {
    // A parser that begins anew with each piece would refuse this at its first zero.
    let mut server = ServerHandshake::new(HeadLimits::default());
    let mut client = client(&[]);
    assert_eq!((client.receive(b"HTTP/"), server.receive(b"GET /")), (Ok(None), Ok(None)));
    for byte in [0; 1_000] {
        assert_eq!(server.receive(&[byte]), Ok(None));
        assert_eq!(client.receive(&[byte]), Ok(None));
    }
    assert_eq!(server.receive(b"\r\n\r\n"), Err(RequestError::Head(InvalidHead::Malformed)));
    assert_eq!(client.receive(b"\r\n\r\n"), Err(HandshakeError::Head(InvalidHead::Malformed)));
}

#[test]
fn b64_carriage_return_and_line_feed_are_refused_in_every_value() {
    for bad in ["a\r\nX: y", "a\rb", "a\nb", "a\0b"] {
        let slash = format!("/{bad}");
        assert_eq!(ClientRequest::new(bad, "/"), Err(InvalidRequest::Host));
        assert_eq!(ClientRequest::new("example.com", &slash), Err(InvalidRequest::Target));
        let mut request = ClientRequest::new("example.com", "/").unwrap();
        assert_eq!(request.subprotocol(bad), Err(InvalidRequest::Subprotocol));
        assert_eq!(request.header(bad, "x"), Err(InvalidRequest::HeaderName));
        assert_eq!(request.header("Origin", bad), Err(InvalidRequest::HeaderValue));
        let mut response = Response::refuse(403, "").unwrap();
        assert_eq!(response.header(bad, "x"), Err(InvalidResponse::Header));
        assert_eq!(response.header("Server", bad), Err(InvalidResponse::Header));
    }
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    for (host, target) in [("", "/"), ("a b", "/"), ("user@host", "/"), ("host/path", "/")] {
        assert_eq!(ClientRequest::new(host, target), Err(InvalidRequest::Host), "{host}");
    }
    for target in ["", "chat", "/a b", "/#fragment", "/\u{e9}", "http://example.com/"] {
        let request = ClientRequest::new("example.com", target);
        assert_eq!(request, Err(InvalidRequest::Target), "{target}");
    }
    let mut request = ClientRequest::new("example.com", "/").unwrap();
    request.subprotocol("a").unwrap();
    for name in ["", "a", "b c", "b,c", "b/c", "\u{e9}"] {
        assert_eq!(request.subprotocol(name), Err(InvalidRequest::Subprotocol), "{name}");
    }
    for name in ["Host", "sec-websocket-key", "Content-Length", "Transfer-Encoding", "Upgrade"] {
        assert_eq!(request.header(name, "x"), Err(InvalidRequest::HeaderName), "{name}");
    }
}

#[test]
fn b64_a_server_of_another_version_is_named_with_its_versions() {
    for status in ["426 Upgrade Required", "400 Bad Request"] {
        let response = format!(
            "HTTP/1.1 {status}\r\nSec-WebSocket-Version: 25, 8\r\nSec-WebSocket-Version: 7\r\n\
             Content-Length: 0\r\n\r\n"
        );
        match client_error(&[], &response) {
            HandshakeError::Version { offered, refusal } => {
                assert_eq!(offered, [25, 8, 7]);
                assert_eq!(refusal.status.to_string(), status[..3]);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn b64_redirects_and_refusals_give_status_headers_and_the_start_of_the_body() {
    let response = "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n";
    let moved = refusal(response);
    assert_eq!((moved.status, moved.reason.as_str()), (302, "Found"));
    assert_eq!(moved.headers.value("location"), Some(&b"/other"[..]));
    let response = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n\
        Content-Length: 8\r\n\r\nlog in! and what comes behind it";
    let unauthorised = refusal(response);
    assert_eq!((unauthorised.status, unauthorised.body.as_slice()), (401, &b"log in! "[..]));
    assert_eq!(unauthorised.headers.value("www-authenticate"), Some(&b"Basic realm=\"x\""[..]));
    let response = "HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n\
        4\r\nbusy\r\n5;a=b\r\n, so \r\n0\r\n\r\n";
    assert_eq!(refusal(response).body, b"busy, so ");
    assert!(matches!(client_error(&[], response), HandshakeError::Refused(_)));

    // Without a length it lasts until the transport ends, and no more than the start is kept.
    let mut handshake = client(&[]);
    assert_eq!(handshake.receive(b"HTTP/1.1 403 x\r\n\r\nnot "), Ok(None));
    assert_eq!(handshake.receive(b"you"), Ok(None));
    match handshake.end() {
        HandshakeError::Refused(refusal) => assert_eq!(refusal.body, b"not you"),
        other => panic!("{other:?}"),
    }
    let mut handshake = client(&[]);
    assert_eq!(handshake.receive(b"HTTP/1.1 500 x\r\n\r\n"), Ok(None));
    match handshake.receive(&vec![b'x'; 100_000]) {
        Err(HandshakeError::Refused(refusal)) => {
            assert_eq!(refusal.body.len(), HeadLimits::default().max_body_bytes);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn interim_responses_are_skipped() {
    let response = format!(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{}",
        switching(&format!("{UPGRADE}{ACCEPT}"))
    );
    assert!(client(&[]).receive(response.as_bytes()).unwrap().is_some());
}

#[test]
fn what_is_not_http_fails_and_a_short_response_is_truncated() {
    for bad in ["SSH-2.0-x\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "\r\n\r\n", "HTTP/2 101 x\r\n\r\n"] {
        let error = client_error(&[], bad);
        assert!(matches!(error, HandshakeError::Head(_)), "{bad} {error:?}");
    }
    let old = switching(&format!("{UPGRADE}{ACCEPT}")).replace("HTTP/1.1", "HTTP/1.0");
    assert_eq!(client_error(&[], &old), HandshakeError::Head(InvalidHead::Version));
    let mut handshake = client(&[]);
    handshake.receive(b"HTTP/1.1 101").unwrap();
    assert_eq!(handshake.end(), HandshakeError::Truncated);
}

/// A good request with one line changed; an empty replacement removes it.
fn request(line: &str, replacement: &str) -> Result<Option<Request>, RequestError> {
    let good = format!(
        "GET /chat HTTP/1.1\r\nHost: example.com\r\n{UPGRADE}\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: a, b\r\n\r\n"
    );
    assert!(good.contains(line), "{line}");
    let request = good.replace(&format!("{line}\r\n"), replacement);
    ServerHandshake::new(HeadLimits::default()).receive(request.as_bytes())
}

#[test]
fn b64_a_server_refuses_what_is_not_an_opening_request() {
    use RequestError as E;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let version = "Sec-WebSocket-Version: 13";
    let protocol = "Sec-WebSocket-Protocol: a, b";
    let missing = |name| E::MissingHeader { name };
    let doubled = |name| E::DoubledHeader { name };
    let invalid = |name| E::InvalidHeader { name };
    let twice = format!("{key}\r\n{key}\r\n");
    for (line, replacement, error, status) in [
        ("GET /chat HTTP/1.1", "POST /chat HTTP/1.1\r\n", E::Method, 405),
        ("GET /chat HTTP/1.1", "GET /chat HTTP/1.0\r\n", E::Head(InvalidHead::Version), 505),
        ("GET /chat HTTP/1.1", "nonsense\r\n", E::Head(InvalidHead::Malformed), 400),
        ("Host: example.com", "", missing("Host"), 400),
        ("Host: example.com", "Host: a\r\nHost: b\r\n", doubled("Host"), 400),
        ("Upgrade: websocket", "", E::NoUpgrade, 426),
        ("Upgrade: websocket", "Upgrade: h2c\r\n", E::NoUpgrade, 426),
        ("Connection: Upgrade", "Connection: close\r\n", E::NoUpgrade, 426),
        (key, "", missing("Sec-WebSocket-Key"), 400),
        (key, &twice, doubled("Sec-WebSocket-Key"), 400),
        (key, "Sec-WebSocket-Key: AAAA\r\n", invalid("Sec-WebSocket-Key"), 400),
        (key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n", invalid("Sec-WebSocket-Key"), 400),
        (version, "", missing("Sec-WebSocket-Version"), 400),
        (version, "Sec-WebSocket-Version: 8\r\n", E::Version, 426),
        (protocol, "Sec-WebSocket-Protocol: a, a\r\n", invalid("Sec-WebSocket-Protocol"), 400),
        (protocol, "Sec-WebSocket-Protocol: a/b\r\n", invalid("Sec-WebSocket-Protocol"), 400),
        (protocol, "Content-Length: 5\r\n", E::Body, 400),
        (protocol, "Transfer-Encoding: chunked\r\n", E::Body, 400),
    ] {
        let refused = request(line, replacement).unwrap_err();
        assert_eq!(refused, error, "{line} -> {replacement}");
        let response = refused.response();
        assert_eq!(response.status(), status, "{line} -> {replacement}");
        let bytes = response.to_bytes();
        // Our own client understands it.
        let seen = client(&[]).receive(&bytes).unwrap_err();
        match seen {
            HandshakeError::Refused(refusal) => assert_eq!(refusal.status, status),
            other => panic!("{other:?}"),
        }
        if status == 426 {
            assert!(response.headers().any(|field| field == ("Sec-WebSocket-Version", "13")));
        }
    }
    assert!(request("Upgrade: websocket", "Upgrade: h2c, WebSocket\r\n").unwrap().is_some());
}

#[test]
fn a_server_accepts_only_what_was_offered() {
    let request = request("Host: example.com", "Host: example.com\r\n").unwrap().unwrap();
    assert_eq!(request.accept(Some("c")), Err(InvalidResponse::Subprotocol));
    assert_eq!(request.accept(None).unwrap().status(), 101);
    assert_eq!(Response::refuse(101, ""), Err(InvalidResponse::Status));
    assert_eq!(Response::refuse(600, ""), Err(InvalidResponse::Status));
}

#[test]
fn b64_no_secret_shows_in_debug_output() {
    let mut request = ClientRequest::new("localhost", "/live?token=hunter2").unwrap();
    request.header("Authorization", "Bearer hunter2").unwrap();
    let shown = format!("{request:?}");
    assert!(shown.contains("Authorization") && shown.contains("/live"), "{shown}");
    let handshake = ClientHandshake::new(request, [7; 16], HeadLimits::default());
    let tunnel = ProxyTunnel::new("localhost:443", Some(("user", "hunter2")), HeadLimits::default()).unwrap();
    // As text, in base64, and as numbers.
    for shown in [shown, format!("{handshake:?}"), format!("{tunnel:?}")] {
        for secret in ["hunter2", "aHVudGVyMg", "dXNlcjpodW50ZXIy", "104, 117, 110", "100, 88, 78"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
