//! JavaScript values through `LocalClient`.

use js_sys::Uint8Array;
use tidegate::{Client, CloseOptions, LocalClient, LocalSendError, Message, Outcome, SendLimits};
use wasm_bindgen::prelude::*;

use crate::page::js;
use crate::suite::{Net, Report, open, report};

async fn echo(net: &impl Net) -> (Client, LocalClient) {
    let client = open(net, "/echo").await;
    let local = client.local().expect("its own thread");
    (client, local)
}

/// Sends a value and gives what comes back.
async fn round_trip(client: &Client, local: &LocalClient, value: &JsValue) -> Message {
    let ticket = local.try_send(value).expect("room");
    assert_eq!(ticket.await, Outcome::HandedOver);
    client.recv().await.expect("an echo")
}

pub(crate) async fn b29_strings_buffers_and_views_arrive_whole(net: &impl Net) {
    let (client, local) = echo(net).await;
    for (value, expected) in [
        ("''", Message::from("")),
        ("'ASCII \\u00e4 \\u6c34 \\u{1f30a}'", Message::from("ASCII \u{e4} \u{6c34} \u{1f30a}")),
        (
            "'lone \\ud83c and \\udf0a, \\udf0a\\ud83c'",
            Message::from("lone \u{fffd} and \u{fffd}, \u{fffd}\u{fffd}"),
        ),
        ("new ArrayBuffer(0)", Message::from(&[])),
        ("Uint8Array.of(1, 2, 3).buffer", Message::from(&[1, 2, 3])),
        ("Uint8Array.of(1, 2, 3, 4, 5).subarray(1, 4)", Message::from(&[2, 3, 4])),
        ("new Uint16Array(Uint8Array.of(1, 2, 3, 4, 5, 6).buffer, 2, 2)", Message::from(&[3, 4, 5, 6])),
        ("new DataView(Uint8Array.of(1, 2, 3, 4).buffer, 1, 2)", Message::from(&[2, 3])),
        ("new Float64Array(0)", Message::from(&[])),
    ] {
        let value = js(&format!("return {value};"), &[]);
        assert_eq!(round_trip(&client, &local, &value).await, expected);
    }
}

pub(crate) async fn b29_strings_are_counted_as_the_peer_gets_them(net: &impl Net) {
    let client = open(net, "/sink").await;
    let local = client.local().expect("its own thread");
    local.try_send(&js("return new Blob(['first']);", &[])).expect("room");
    // Short and long, and such that pairs of surrogates lie on every border there may be.
    let (mut total, mut expected) = (5, vec![b"first".to_vec()]);
    for times in [0, 1, 20, 100, 5000, 20_000] {
        for (prefix, unit) in [
            ("", "\\u{1f30a}"),
            ("x", "\\u{1f30a}"),
            ("", "\\ud83c"),
            ("x", "\\udf0a\\ud83c"),
            ("", "a\\u6c34\\u00e4"),
        ] {
            let value = js(&format!("return {prefix:?} + '{unit}'.repeat({times});"), &[]);
            let units: Vec<u16> = js_sys::JsString::from(value.clone()).iter().collect();
            let bytes = String::from_utf16_lossy(&units).into_bytes();
            local.try_send(&value).expect("room");
            total += bytes.len() as u64;
            expected.push(bytes);
            assert_eq!(local.buffered_amount(), total, "{prefix}{unit} {times} times");
        }
    }
    assert_eq!(report(&client).await, Report::of(expected));
}

pub(crate) async fn b29_a_resizable_buffer_is_sent_as_long_as_it_is(net: &impl Net) {
    let (client, local) = echo(net).await;
    let supported = js("return typeof ArrayBuffer.prototype.resize === 'function';", &[]);
    assert!(supported.is_truthy(), "both browsers have them");
    let buffer = js(
        "const buffer = new ArrayBuffer(4, { maxByteLength: 8 });
        new Uint8Array(buffer).set([1, 2, 3, 4]);
        return buffer;",
        &[],
    );
    // What a browser's own `send` takes is sent; what it does not take has an outcome that says so.
    let ticket = local.try_send(&buffer).expect("room");
    match ticket.await {
        Outcome::HandedOver => assert_eq!(client.recv().await, Some(Message::from(&[1, 2, 3, 4]))),
        outcome => assert_eq!(outcome, Outcome::Unsent),
    }
    client.send("still open").await.expect("open");
    assert_eq!(client.recv().await, Some(Message::from("still open")));
}

pub(crate) async fn b29_detached_buffers_and_other_values_are_typed_errors(net: &impl Net) {
    let (client, local) = echo(net).await;
    let detached =
        js("const gone = new ArrayBuffer(8); structuredClone(gone, { transfer: [gone] }); return gone;", &[]);
    assert_eq!(local.try_send(&detached).err(), Some(LocalSendError::Detached));
    let view = js(
        "const view = new Uint8Array(8); structuredClone(0, { transfer: [view.buffer] }); return view;",
        &[],
    );
    assert_eq!(local.try_send(&view).err(), Some(LocalSendError::Detached));
    for value in ["42", "null", "undefined", "{}", "[1, 2]", "Symbol('a')", "10n", "true", "new String('x')"]
    {
        let value = js(&format!("return {value};"), &[]);
        assert_eq!(local.try_send(&value).err(), Some(LocalSendError::Unsupported), "{value:?}");
    }
    assert_eq!(local.queued_messages(), 0);
    client.close(1000, "").await.expect("may be sent");
    assert_eq!(local.try_send(&"late".into()).err(), Some(LocalSendError::Closed));
}

pub(crate) async fn b30_the_peer_sees_the_bytes_as_they_were_at_the_call(net: &impl Net) {
    let (client, local) = echo(net).await;
    let buffer = Uint8Array::new_with_length(4);
    buffer.copy_from(&[1, 2, 3, 4]);
    // Straight out.
    local.try_send(&buffer).expect("room");
    buffer.fill(9, 0, 4);
    assert_eq!(client.recv().await, Some(Message::from(&[1, 2, 3, 4])));
    // Behind a Blob that is being read: the buffer, a view of a part of it, and a `DataView`.
    buffer.copy_from(&[1, 2, 3, 4]);
    let view = js("return new DataView(a.buffer, 1, 2);", &[&buffer]);
    let blob = js("return new Blob(['first']);", &[]);
    let tickets = [&blob, &buffer.buffer().into(), &buffer.subarray(2, 4).into(), &view]
        .map(|value| local.try_send(value).expect("room"));
    assert_eq!(local.queued_messages(), 4);
    buffer.fill(9, 0, 4);
    js("structuredClone(a.buffer, { transfer: [a.buffer] });", &[&buffer]);
    for ticket in tickets {
        assert_eq!(ticket.await, Outcome::HandedOver);
    }
    for expected in [&b"first"[..], &[1, 2, 3, 4], &[3, 4], &[2, 3]] {
        assert_eq!(client.recv().await, Some(Message::from(expected)));
    }
}

pub(crate) async fn b41_sizes_above_4_gib_do_not_wrap(net: &impl Net) {
    let limits = SendLimits { max_queued_bytes: 1 << 40, ..SendLimits::default() };
    let client = net.connect("/sink", |builder| builder.send_limits(limits)).await.expect("it opens");
    let local = client.local().expect("its own thread");
    local.try_send(&js("return new Blob(['first']);", &[])).expect("room");
    // Neither is as large as it says, which costs the test less than 5 GB.
    let buffer = js("return Object.defineProperty(new ArrayBuffer(1), 'byteLength', { value: 5e9 });", &[]);
    let blob = js("return Object.defineProperty(new Blob(['x']), 'size', { value: 6e9 });", &[]);
    local.try_send(&buffer).expect("room");
    local.try_send(&blob).expect("room");
    assert_eq!(local.buffered_amount(), 11_000_000_005);
    let closed = client.close_with(CloseOptions::default().drop_queued()).await.expect("may be sent");
    assert_eq!((closed.unsent.messages, closed.unsent.bytes), (3, 11_000_000_005));
}

pub(crate) async fn b41_sizes_that_no_memory_holds_do_no_harm(net: &impl Net) {
    let limits = SendLimits { max_queued_bytes: u64::MAX, ..SendLimits::default() };
    let client = net.connect("/sink", |builder| builder.send_limits(limits)).await.expect("it opens");
    let local = client.local().expect("its own thread");
    for _ in 0..3 {
        let blob = js("return Object.defineProperty(new Blob(['x']), 'size', { value: Infinity });", &[]);
        local.try_send(&blob).expect("room");
    }
    assert_eq!(local.buffered_amount(), u64::MAX);
    assert_eq!(report(&client).await, Report::of(["x", "x", "x"]));
    assert_eq!(local.queued_messages(), 0);
    assert_eq!(client.close(4001, "").await.expect("may be sent").code, 4001);
}

pub(crate) async fn b30_owned_bytes_are_the_callers_no_more(net: &impl Net) {
    let client = open(net, "/sink").await;
    let mut bytes = vec![1_u8; 1000];
    client.send(bytes.as_slice()).await.expect("open");
    bytes.fill(2);
    assert_eq!(report(&client).await, Report::of([[1_u8; 1000]]));
}

pub(crate) async fn b40_a_local_client_keeps_the_connection_open(net: &impl Net) {
    let (client, local) = echo(net).await;
    let receiver = client.split().1;
    drop(client);
    assert_eq!(local.buffered_amount(), 0);
    local.try_send(&"hello".into()).expect("room");
    assert_eq!(receiver.recv().await, Some(Message::from("hello")));
    drop(local);
    assert_eq!(receiver.close(1000, "").await.expect("may be sent").code, 1000);
}
