//! Sections 5.3 and 10.3: clients mask, with keys that are given to them.

use std::num::NonZeroUsize;

use tidegate::proto::ws::{Connection, FrameHeader, Limits, MessageKind, Role};
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
use wasm_bindgen_test::wasm_bindgen_test as test;

use crate::support::Rng;

#[test]
fn b63_every_frame_of_a_client_takes_the_next_key_of_the_generator() {
    let mut rng = Rng(63);
    let mut drawn = Vec::new();
    let mut client = Connection::new(Role::Client, Limits::default());
    client.set_fragment_bytes(NonZeroUsize::new(10));
    let mut next_key = || {
        let key: [u8; 4] = rng.bytes(4).try_into().unwrap();
        drawn.push(key);
        key
    };
    client.send_text("three frames of ten bytes each", &mut next_key).unwrap();
    client.send_message(MessageKind::Binary, b"part", false, &mut next_key).unwrap();
    client.send_ping(b"ping", &mut next_key).unwrap();
    client.receive(b"\x89\x04ping");
    client.poll_event(&mut next_key).unwrap();
    client.send_message(MessageKind::Binary, b"", true, &mut next_key).unwrap();
    client.send_close(None, &mut next_key).unwrap();

    let mut seen = Vec::new();
    let mut output = client.output();
    while !output.is_empty() {
        let (header, used) = FrameHeader::decode(output, Role::Server).unwrap().unwrap();
        seen.push(header.mask.unwrap());
        output = &output[used + usize::try_from(header.len).unwrap()..];
    }
    assert_eq!(seen.len(), 8);
    assert_eq!(seen, drawn);
}

#[test]
fn b63_a_server_draws_no_key_and_masks_nothing() {
    let mut server = Connection::new(Role::Server, Limits::default());
    let no_key = || panic!("a server has no key");
    server.send_text("text", no_key).unwrap();
    server.send_ping(b"ping", no_key).unwrap();
    server.receive(b"\x89\x80\x01\x02\x03\x04");
    server.poll_event(no_key).unwrap();
    server.send_close(None, no_key).unwrap();
    assert_eq!(server.output(), b"\x81\x04text\x89\x04ping\x8a\x00\x88\x00");
}
