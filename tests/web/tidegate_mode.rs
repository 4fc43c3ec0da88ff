//! Tidegate mode in a browser, against the embedded server.

use core::time::Duration;

use futures_util::StreamExt as _;
use tidegate::proto::v1::ChannelCode;
use tidegate::{
    BinaryType, ChannelEnd, ChannelError, ChannelOptions, Client, CloseCause, ConnectError, Message, Mode,
    Outcome, Priority, SendError, SendOptions,
};
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::SERVER;

fn url(path: &str) -> String {
    format!("ws://{SERVER}{path}")
}

async fn connect(path: &str) -> Client {
    let client = Client::builder(url(path)).mode(Mode::Tidegate).connect().await.unwrap();
    assert_eq!((client.mode(), client.protocol().as_str()), (Mode::Tidegate, "tidegate.v1"));
    client
}

#[wasm_bindgen_test]
async fn messages_of_each_kind_and_size_come_back() {
    let client = connect("/echo").await;
    let bytes = |size: usize| -> Vec<u8> { (0..=250).cycle().take(size).collect() };
    let mut tickets = Vec::new();
    for size in [0, 1, 100, 65_536, 3_000_000] {
        tickets.push(client.send(bytes(size)).await.unwrap());
        tickets.push(client.send("\u{20ac}".repeat(size / 3)).await.unwrap());
    }
    for size in [0, 1, 100, 65_536, 3_000_000] {
        assert!(client.recv().await == Some(bytes(size).into()), "{size} bytes");
        assert!(client.recv().await == Some("\u{20ac}".repeat(size / 3).into()), "{size} bytes of text");
    }
    for ticket in tickets {
        assert_eq!(ticket.await, Outcome::Delivered);
    }
    let closed = client.close(1000, "bye").await.unwrap();
    assert_eq!((closed.code, closed.was_clean, closed.cause), (1000, true, CloseCause::Local));
    assert_eq!((closed.unsent.messages, closed.unknown.messages), (0, 0));
}

#[wasm_bindgen_test]
async fn channels_are_opened_used_and_closed() {
    let client = connect("/echo").await;
    let chat = client.channel("chat", ChannelOptions::new()).await.unwrap();
    chat.send("one").await.unwrap();
    chat.sender().accepted().await.unwrap();
    assert_eq!(chat.recv().await, Some("one".into()));
    let sink = client.channel("sink", ChannelOptions::bulk()).await.unwrap();
    for _ in 0..100 {
        sink.send(vec![7; 100_000]).await.unwrap();
    }
    chat.send("two").await.unwrap();
    assert_eq!(chat.recv().await, Some("two".into()));
    sink.close();
    assert_eq!(sink.recv().await, Some("100 10000000".into()));
    assert_eq!(sink.recv().await, None);
    assert_eq!(sink.receiver().ended(), Some(ChannelEnd::Closed));
    let refused = client.channel("refuse", ChannelOptions::new()).await.unwrap();
    let end = ChannelEnd::Reset { code: ChannelCode::Application, detail: b"no".to_vec() };
    assert_eq!(refused.recv().await, None);
    assert_eq!(refused.receiver().ended(), Some(end.clone()));
    assert_eq!(refused.sender().stopped().await, end);
    assert!(matches!(refused.try_send("x"), Err(SendError::ChannelClosed(_))));
}

#[wasm_bindgen_test]
async fn b55_a_stalled_channel_holds_nobody_up() {
    let client = connect("/echo").await;
    let stalled = client.channel("stall", ChannelOptions::new()).await.unwrap();
    // A window of 16 MiB takes the first, and what is queued the others.
    let mut refused = false;
    for _ in 0..40 {
        refused |= stalled.try_send(vec![0; 1 << 20]).is_err();
    }
    assert!(refused);
    for n in 0..100_u32 {
        client.send(n.to_string()).await.unwrap();
        assert_eq!(client.recv().await, Some(n.to_string().into()));
    }
    assert!(stalled.sender().queued().messages > 0);
}

#[wasm_bindgen_test]
async fn b22_an_urgent_message_overtakes_what_is_queued() {
    let client = connect("/echo").await;
    for _ in 0..12 {
        client.send_with(vec![1; 1 << 20], SendOptions::bulk()).await.unwrap();
    }
    client.send_with("now", SendOptions::urgent()).await.unwrap();
    let mut before = 0;
    while client.recv().await != Some("now".into()) {
        before += 1;
    }
    assert!(before < 12, "it came last");
}

#[wasm_bindgen_test]
async fn b29_blobs_and_buffers_of_the_page_are_sent_in_chunks() {
    let client = connect("/echo").await;
    let local = client.local().unwrap();
    let bytes: Vec<u8> = (0..=252).cycle().take(700_000).collect();
    let array = js_sys::Uint8Array::from(bytes.as_slice());
    let blob = web_sys::Blob::new_with_u8_array_sequence(&js_sys::Array::of1(&array)).unwrap();
    let values: [JsValue; 3] = [blob.into(), array.buffer().into(), array.subarray(1, 600_000).into()];
    let tickets: Vec<_> = values.iter().map(|value| local.try_send(value).unwrap()).collect();
    let text = local.try_send(&JsValue::from_str("last \u{1f600}")).unwrap();
    assert!(client.recv().await == Some(bytes.clone().into()));
    assert!(client.recv().await == Some(bytes.clone().into()));
    assert!(client.recv().await == Some(bytes[1..600_000].into()));
    assert_eq!(client.recv().await, Some("last \u{1f600}".into()));
    for ticket in tickets {
        assert_eq!(ticket.await, Outcome::Delivered);
    }
    assert_eq!(text.await, Outcome::Delivered);
}

#[wasm_bindgen_test]
async fn auto_falls_back_to_plain_and_keeps_its_binary_type() {
    let auto = |path: &str| Client::builder(url(path)).mode(Mode::Auto).binary_type(BinaryType::Blob);
    let client = auto("/echo").connect().await.unwrap();
    assert_eq!(client.mode(), Mode::Tidegate);
    client.send([1, 2, 3]).await.unwrap();
    assert_eq!(client.recv().await, Some([1, 2, 3].into()));
    // It knows no subprotocol: the browser fails the first attempt.
    for _ in 0..2 {
        let client = auto("/no-subprotocol").connect().await.unwrap();
        assert_eq!(client.mode(), Mode::Plain);
        client.send([1, 2, 3]).await.unwrap();
        assert!(matches!(client.recv().await, Some(Message::Blob(_))));
        let error = client.channel("x", ChannelOptions::new()).await.unwrap_err();
        assert_eq!(error, ChannelError::Plain);
    }
    let strict = Client::builder(url("/no-subprotocol")).mode(Mode::Tidegate).connect().await;
    assert!(matches!(strict, Err(ConnectError::Failed { .. })), "{strict:?}");
}

#[wasm_bindgen_test]
async fn a_channel_can_change_its_class_and_ends_with_the_connection() {
    let client = connect("/echo").await;
    let mut channel = client.channel("x", ChannelOptions::background()).await.unwrap();
    channel.sender().set_priority(Priority::Urgent);
    assert_eq!(channel.sender().priority(), Priority::Urgent);
    channel.send("x").await.unwrap();
    assert_eq!(channel.next().await, Some("x".into()));
    let closing = client.close_with(tidegate::CloseOptions::default().within(Duration::from_secs(5)));
    closing.await.unwrap();
    assert_eq!(channel.next().await, None);
    assert_eq!(channel.receiver().ended(), Some(ChannelEnd::ConnectionOver));
}
