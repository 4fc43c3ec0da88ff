//! The opening handshake: arbitrary bytes in arbitrary pieces on either side, and requests, responses and
//! refusals of ours that the other side has to understand as they were meant.
//!
//! The first byte of an input chooses among the four, then come the sizes of pieces.

use tidegate::proto::ws::{
    Accepted, ClientHandshake, ClientRequest, HandshakeError, HeadLimits, InvalidResponse, Request,
    RequestError, Response, ServerHandshake,
};

use super::input::{Cuts, Input};

const NONCE: [u8; 16] = *b"the sample nonce";

/// Room for what the parser of this harness finds; a head of ours never has so many fields.
const FIELDS: usize = 128;

/// Carries out one handshake, or a part of one.
///
/// # Panics
///
/// If the verdict depends on the pieces, if the two sides disagree, or if a value that a caller gives shows
/// up as anything but that value.
pub fn handshake(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let cuts = Cuts::new(&mut input);
    let mut limits = HeadLimits::default();
    if choice & 0x80 != 0 {
        (limits.max_head_bytes, limits.max_body_bytes) = (300, 20);
    }
    match choice & 3 {
        0 => server_hears(input.rest(), cuts, limits),
        1 => client_hears(input.rest(), cuts, limits, [choice & 4 != 0, choice & 8 != 0]),
        2 => both_agree(&mut input, cuts),
        _ => refused(&mut input, cuts, limits),
    }
}

/// What a server makes of bytes: the request, with all that came behind it, or why there is none.
fn serve(pieces: &[&[u8]], limits: HeadLimits) -> Result<Option<Request>, RequestError> {
    let mut handshake = ServerHandshake::new(limits);
    for (at, piece) in pieces.iter().enumerate() {
        match handshake.receive(piece) {
            Ok(None) => {}
            Ok(Some(mut request)) => {
                request.rest.extend(pieces[at + 1..].concat());
                return Ok(Some(request));
            }
            Err(error) => {
                assert_eq!(handshake.receive(b"GET / HTTP/1.1\r\n"), Err(error), "an error is repeated");
                return Err(error);
            }
        }
    }
    Ok(None)
}

/// What a client makes of bytes, likewise; an incomplete response is judged as one that was cut off.
fn connect(mut handshake: ClientHandshake, pieces: &[&[u8]]) -> Result<Accepted, HandshakeError> {
    for (at, piece) in pieces.iter().enumerate() {
        match handshake.receive(piece) {
            Ok(None) => {}
            Ok(Some(mut accepted)) => {
                accepted.rest.extend(pieces[at + 1..].concat());
                return Ok(accepted);
            }
            Err(error) => {
                assert_eq!(handshake.receive(b"HTTP/1.1 101 x\r\n"), Err(error.clone()), "repeated");
                assert_eq!(handshake.end(), error, "and at the end");
                return Err(error);
            }
        }
    }
    Err(handshake.end())
}

fn server_hears(bytes: &[u8], cuts: Cuts, limits: HeadLimits) {
    let whole = serve(&[bytes], limits);
    let pieces: Vec<&[u8]> = cuts.pieces(bytes).collect();
    assert_eq!(serve(&pieces, limits), whole, "the pieces matter");
    match whole {
        Ok(None) => assert!(bytes.len() <= limits.max_head_bytes, "a head without an end is too large"),
        Ok(Some(request)) => {
            let head = bytes.len() - request.rest.len();
            assert!(head <= limits.max_head_bytes);
            assert!(bytes.ends_with(&request.rest));
            let response = request.accept(None).expect("nothing is chosen");
            written(&response);
            for name in &request.subprotocols {
                written(&request.accept(Some(name)).expect("it was offered"));
            }
            #[cfg(feature = "deflate")]
            {
                let options = tidegate::proto::ws::DeflateOptions::default();
                let (response, agreed) = request.accept_with_deflate(None, &options).expect("likewise");
                written(&response);
                check_windows(agreed.as_ref());
            }
        }
        // What is said to a client that cannot speak is understood by one that can.
        Err(error) => {
            let response = error.response();
            written(&response);
            match connect(client(&[]), &[&response.to_bytes()]) {
                Err(HandshakeError::Refused(refusal)) => assert_eq!(refusal.status, response.status()),
                other => panic!("{other:?} for {error:?}"),
            }
        }
    }
}

fn client(subprotocols: &[String]) -> ClientHandshake {
    let mut request = ClientRequest::new("example.com", "/").expect("a request");
    for name in subprotocols {
        request.subprotocol(name).expect("a token");
    }
    ClientHandshake::new(request, NONCE, HeadLimits::default())
}

/// `offers`: subprotocols, permessage-deflate.
fn client_hears(bytes: &[u8], cuts: Cuts, limits: HeadLimits, offers: [bool; 2]) {
    let [offers, compresses] = offers;
    let start = || {
        let mut request = ClientRequest::new("example.com", "/").expect("a request");
        if offers {
            request.subprotocol("a").and_then(|request| request.subprotocol("b")).expect("tokens");
        }
        #[cfg(feature = "deflate")]
        if compresses {
            request.deflate(tidegate::proto::ws::DeflateOptions::default());
        }
        ClientHandshake::new(request, NONCE, limits)
    };
    let whole = connect(start(), &[bytes]);
    let pieces: Vec<&[u8]> = cuts.pieces(bytes).collect();
    assert_eq!(connect(start(), &pieces), whole, "the pieces matter");
    match whole {
        Ok(accepted) => {
            assert_eq!(accepted.subprotocol.is_some(), offers, "as a browser: one of those offered");
            assert!(bytes.ends_with(&accepted.rest));
            assert!(bytes.len() - accepted.rest.len() <= limits.max_head_bytes);
            let has_extensions = accepted.headers.all("Sec-WebSocket-Extensions").any(is_list);
            assert!(compresses || !has_extensions, "nothing was offered");
            #[cfg(feature = "deflate")]
            check_windows(accepted.deflate.as_ref());
        }
        Err(HandshakeError::Refused(refusal) | HandshakeError::Version { refusal, .. }) => {
            assert!(refusal.body.len() <= limits.max_body_bytes);
            assert!(!(100..200).contains(&refusal.status));
        }
        Err(HandshakeError::Truncated) => assert!(bytes.len() <= limits.max_head_bytes),
        Err(_) => {}
    }
}

/// RFC 7692 section 7.1.2: windows of 8 to 15 bits, and nothing else can be agreed on.
#[cfg(feature = "deflate")]
fn check_windows(agreed: Option<&tidegate::proto::ws::Deflate>) {
    use tidegate::proto::ws::Role;
    for role in [Role::Client, Role::Server] {
        assert!(agreed.is_none_or(|agreed| (8..=15).contains(&agreed.max_window_bits(role))));
    }
}

/// The words of a request line and the fields of a request, as an HTTP server sees them.
fn read_request(bytes: &[u8]) -> (String, String, Vec<(String, Vec<u8>)>) {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(bytes).expect("it is HTTP");
    assert_eq!(parsed, httparse::Status::Complete(bytes.len()), "one head and nothing else");
    let fields = request.headers.iter().map(|field| (field.name.to_owned(), field.value.to_vec()));
    let word = |word: Option<&str>| word.expect("it is complete").to_owned();
    (word(request.method), word(request.path), fields.collect())
}

/// What our client writes is what our server reads, field by field, and the same the other way.
fn both_agree(input: &mut Input<'_>, cuts: Cuts) {
    let (host, target) = (input.text(), format!("/{}", input.text()));
    let Ok(mut request) = ClientRequest::new(&host, &target) else { return };
    let (mut offered, mut given) = (Vec::new(), Vec::new());
    for _ in 0..input.small() % 8 {
        let name = input.text();
        match request.subprotocol(&name) {
            Ok(_) => offered.push(name),
            Err(_) => assert!(offered.contains(&name) || !is_token(&name), "{name:?} is refused"),
        }
    }
    for _ in 0..input.small() % 16 {
        let (name, value) = (input.text(), input.text());
        if request.header(&name, &value).is_ok() {
            assert!(is_token(&name) && is_one_line(&value), "{name:?}: {value:?}");
            given.push((name, value.into_bytes()));
        }
    }
    let sender = ClientHandshake::new(request, NONCE, HeadLimits::default());
    let bytes = sender.request().to_vec();
    let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let mut expected = vec![
        field("Host", &host),
        field("Upgrade", "websocket"),
        field("Connection", "Upgrade"),
        field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        field("Sec-WebSocket-Version", "13"),
    ];
    if !offered.is_empty() {
        expected.push(field("Sec-WebSocket-Protocol", &offered.join(", ")));
    }
    expected.extend(given);
    assert_eq!(read_request(&bytes), ("GET".to_owned(), target.clone(), expected.clone()));

    let mut sent = bytes;
    sent.extend_from_slice(b"\x81\x80mask");
    let pieces: Vec<&[u8]> = cuts.pieces(&sent).collect();
    let received = serve(&pieces, HeadLimits::default()).expect("it is a request").expect("all of it");
    assert_eq!((&received.target, &received.host), (&target, &host));
    assert_eq!(received.subprotocols, offered);
    assert_eq!(received.rest, b"\x81\x80mask");
    let fields: Vec<_> =
        received.headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
    assert_eq!(fields, expected);

    let choice = offered.get(input.small() % (offered.len() + 1));
    let mut response = received.accept(choice.map(String::as_str)).expect("it was offered");
    add_fields(input, &mut response);
    let mut bytes = written(&response);
    bytes.extend_from_slice(b"\x81\x02hi");
    let pieces: Vec<&[u8]> = cuts.pieces(&bytes).collect();
    match connect(sender, &pieces) {
        Ok(accepted) => {
            assert_eq!(accepted.subprotocol.as_ref(), choice);
            assert_eq!(accepted.rest, b"\x81\x02hi");
            let fields: Vec<_> = accepted.headers.iter().map(|(n, v)| (n.to_owned(), v.to_vec())).collect();
            let sent: Vec<_> = response.headers().map(|(n, v)| field(n, v)).collect();
            assert_eq!(fields, sent);
        }
        Err(error) => {
            assert_eq!(error, HandshakeError::NoSubprotocol);
            assert!(!offered.is_empty() && choice.is_none());
        }
    }
}

/// A refusal with anything in it arrives as what it was.
fn refused(input: &mut Input<'_>, cuts: Cuts, limits: HeadLimits) {
    let status = u16::from(input.byte()) << 8 | u16::from(input.byte());
    // Ordinary ones more often than by chance.
    let status = if status < 1_000 { status } else { 200 + status % 400 };
    let body = input.text();
    let response = Response::refuse(status, &body);
    assert_eq!(response.is_ok(), (200..600).contains(&status));
    let Ok(mut response) = response else { return };
    add_fields(input, &mut response);
    let bytes = written(&response);
    let request = ClientRequest::new("example.com", "/").expect("a request");
    // A head above the limit is a fault of its own.
    if bytes.len() > limits.max_head_bytes {
        return;
    }
    let pieces: Vec<&[u8]> = cuts.pieces(&bytes).collect();
    match connect(ClientHandshake::new(request, NONCE, limits), &pieces) {
        Err(HandshakeError::Refused(refusal)) => {
            assert_eq!(refusal.status, status);
            let kept = body.len().min(limits.max_body_bytes);
            let kept = if matches!(status, 204 | 304) { 0 } else { kept };
            assert_eq!(refusal.body, body.as_bytes()[..kept]);
        }
        other => panic!("{other:?}"),
    }
}

/// Adds fields to a response, those that may be added.
fn add_fields(input: &mut Input<'_>, response: &mut Response) {
    for _ in 0..input.small() % 8 {
        let (name, value) = (input.text(), input.text());
        match response.header(&name, &value) {
            Ok(_) => assert!(is_token(&name) && is_one_line(&value), "{name:?}: {value:?}"),
            Err(error) => assert_eq!(error, InvalidResponse::Header),
        }
    }
}

/// The bytes of a response, which are one response to an HTTP client, with the fields that it was given.
fn written(response: &Response) -> Vec<u8> {
    let bytes = response.to_bytes();
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head) = parsed.parse(&bytes).expect("it is HTTP") else {
        panic!("it has an end");
    };
    assert_eq!(parsed.code, Some(response.status()));
    let has_body = !matches!(response.status(), 101 | 204 | 304);
    assert_eq!(&bytes[head..], if has_body { response.body() } else { &[] });
    let mut expected: Vec<_> =
        response.headers().map(|(n, v)| (n.to_owned(), v.as_bytes().to_vec())).collect();
    if has_body {
        let length = response.body().len().to_string().into_bytes();
        expected.push(("Content-Length".to_owned(), length));
    }
    let seen: Vec<_> =
        parsed.headers.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect();
    assert_eq!(seen, expected);
    bytes
}

/// Whether a list has an element.
fn is_list(value: &[u8]) -> bool {
    value.iter().any(|byte| !b", \t".contains(byte))
}

/// RFC 9110 section 5.6.2, as a list of what is not in it.
fn is_token(text: &str) -> bool {
    let forbidden = "\"(),/:;<=>?@[\\]{}";
    !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && !forbidden.contains(c))
}

fn is_one_line(value: &str) -> bool {
    !value.contains(['\r', '\n', '\0'])
}
