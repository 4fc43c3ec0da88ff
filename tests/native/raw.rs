//! Heads of the opening handshake by hand, for servers that misbehave.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use tungstenite::handshake::derive_accept_key;

/// A port on which nobody listens.
pub(crate) fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

/// Reads a request and returns its head.
pub(crate) fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8(head).expect("a head is text")
}

/// The value of a field in a head.
pub(crate) fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(':'));
    fields.find(|field| field.0.eq_ignore_ascii_case(name)).map(|field| field.1.trim())
}

/// A response that accepts the request in `head`.
pub(crate) fn accept(head: &str) -> Vec<u8> {
    let key = field(head, "Sec-WebSocket-Key").expect("a key");
    switching_protocols(&derive_accept_key(key.as_bytes()))
}

/// A response with any accept value.
pub(crate) fn switching_protocols(accept: &str) -> Vec<u8> {
    let lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"];
    format!("{}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

/// Writes everything, then reads until the peer has gone; returns what it said.
pub(crate) fn say_and_listen(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let mut heard = Vec::new();
    if stream.write_all(bytes).is_ok() {
        // A peer that resets has said what it had to say.
        let _ = stream.read_to_end(&mut heard);
    }
    heard
}

/// Bytes from hexadecimal digits.
pub(crate) fn from_hex(digits: &str) -> Vec<u8> {
    let digit = |at: usize| digits.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
    (0..digits.len()).step_by(2).map(|at| digit(at).expect("two digits")).collect()
}

/// The parameter `name` in the query of a request target.
pub(crate) fn parameter(target: &str, name: &str) -> String {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|pair| pair.0 == name).map(|pair| pair.1.to_owned()).expect("the parameter is there")
}

/// The frames of `/burst`: text `one`, the bytes 1 2 3, text `three`, close 4001 `done`.
pub(crate) const BURST: &[u8] = b"\x81\x03one\x82\x03\x01\x02\x03\x81\x05three\x88\x06\x0f\xa1done";
