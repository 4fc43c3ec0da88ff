//! A peer that waits because nobody reads.

use tidegate::{
    BinaryType, Client, ClientBuilder, CloseCause, Message, Outcome, RecvLimits, RecvPolicy, Transport,
    TryRecvError,
};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test;

use super::spy::StreamSpy;
use super::{StreamNet, is_there};
use crate::WebNet;
use crate::page::{blob, js, turn};
use crate::suite::{LONG, Net, amount, open};

/// Another connection, over which the server tells how much `/push` has given away, or `/arrivals` has got.
pub(super) struct Watch {
    client: Client,
    run: String,
}

impl Watch {
    pub(super) async fn new() -> Self {
        let run = String::from(js("return crypto.randomUUID();", &[]).unchecked_into::<js_sys::JsString>());
        Self { client: open(&WebNet, &format!("/watch?run={run}")).await, run }
    }

    fn route(&self, messages: u32, bytes: u64) -> String {
        format!("/push?run={}&messages={messages}&bytes={bytes}", self.run)
    }

    pub(super) fn arrivals(&self) -> String {
        format!("/arrivals?run={}", self.run)
    }

    /// How many bytes have gone out, or arrived, once it is at least `bytes`.
    pub(super) async fn gone(&self, bytes: u64) -> u64 {
        self.client.send(format!("wait {bytes} 0")).await.expect("open");
        let answer = self.client.recv().await.expect("an answer").into_text().expect("text");
        let seen: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        seen["bulk"]["bytes"].as_u64().expect("a number")
    }

    /// How many bytes have gone out when nothing more does: nothing has while hundreds of questions were
    /// answered.
    async fn standing(&self) -> u64 {
        let (mut gone, mut same) = (0, 0);
        while same < 300 {
            let now = self.gone(0).await;
            same = if now == gone { same + 1 } else { 0 };
            gone = now;
        }
        gone
    }
}

const PIECE: u64 = 64 << 10;
const BOUND: u64 = 16 * PIECE;

#[wasm_bindgen_test]
async fn b16_a_full_queue_makes_the_peer_wait_and_nothing_is_dropped() {
    if !is_there().await {
        return;
    }
    // 256 MiB or a tenth: much more than everything on the way holds.
    let messages = amount(4096);
    for binary_type in [BinaryType::ArrayBuffer, BinaryType::Blob] {
        // The policy has no use.
        for policy in [RecvPolicy::default(), RecvPolicy::DropOldest] {
            let watch = Watch::new().await;
            let limits = RecvLimits::default().max_queued_bytes(BOUND).policy(policy);
            let describe = |builder: ClientBuilder| builder.recv_limits(limits).binary_type(binary_type);
            let client = StreamNet.connect(&watch.route(messages, PIECE), describe).await.expect("it opens");
            let gone = watch.standing().await;
            // What the queue takes, and what browser and kernels hold on the way.
            assert!((BOUND / 2..=BOUND + (12 << 20)).contains(&gone), "{gone} bytes have gone out");
            let held = client.stats().received;
            assert!(held.bytes >= BOUND / 2 && held.bytes <= BOUND / 2 + PIECE, "{held:?}");
            // It goes on with the reader, and holds no more than before on the way.
            for number in 0..messages {
                let bytes = match client.recv().await.expect("not over") {
                    Message::Blob(blob) => blob.bytes().await.expect("it is there"),
                    message => message.into_binary().expect("binary"),
                };
                assert_eq!((bytes.len() as u64, bytes[0]), (PIECE, number.to_le_bytes()[0]));
                assert!(client.stats().received.bytes <= BOUND / 2 + PIECE);
            }
            assert_eq!(watch.gone(0).await, u64::from(messages) * PIECE);
            assert_eq!(client.try_recv(), Err(TryRecvError::Empty));
            let closed = client.close(1000, "").await.expect("may be sent");
            assert_eq!(
                (closed.was_clean, closed.cause, closed.dropped.messages),
                (true, CloseCause::Local, 0)
            );
        }
    }
}

#[wasm_bindgen_test]
async fn b16_a_peer_that_closes_while_it_should_wait_is_no_clean_end() {
    if !is_there().await {
        return;
    }
    let spy = StreamSpy::new();
    // All of it is in the browser, and so is the close, before a fourth message was asked for.
    let limits = RecvLimits::default().max_queued_messages(4);
    let route = "/flood?messages=1000&bytes=10";
    let client = StreamNet.connect(route, |builder| builder.recv_limits(limits)).await.expect("it opens");
    spy.ended().await;
    let mut received: u16 = 0;
    while let Some(message) = client.recv().await {
        assert_eq!(
            message.into_binary().expect("binary")[0],
            received.to_le_bytes()[0],
            "in order, without a gap"
        );
        received += 1;
    }
    // If this fails, Chromium has mended it, and `was_clean` may be what the browser says.
    assert!(received < 1000, "{received}");
    let closed = client.closed().await;
    assert_eq!((closed.code, closed.was_clean, closed.cause), (1000, false, CloseCause::Peer));
    assert_eq!(closed.dropped.messages, 0, "nobody knows how many");
}

#[wasm_bindgen_test]
async fn b16_a_web_socket_takes_everything_where_a_stream_waits() {
    // What the test above would see if nothing waited.
    let watch = Watch::new().await;
    let messages = amount(4096);
    let limits = RecvLimits::default().max_queued_bytes(BOUND).policy(RecvPolicy::DropNewest);
    let describe = |builder: ClientBuilder| builder.recv_limits(limits).transport(Transport::Socket);
    let _client = WebNet.connect(&watch.route(messages, PIECE), describe).await.expect("it opens");
    assert_eq!(watch.gone(u64::from(messages) * PIECE).await, u64::from(messages) * PIECE);
}

/// A client whose peer waits since nobody reads, with the first message taken.
async fn waiting(watch: &Watch, binary_type: BinaryType) -> (Client, Message) {
    let limits = RecvLimits::default().max_queued_bytes(BOUND);
    let describe =
        |builder: ClientBuilder| builder.recv_limits(limits).binary_type(binary_type).close_within(LONG);
    let client = StreamNet.connect(&watch.route(4096, PIECE), describe).await.expect("it opens");
    let first = client.recv().await.expect("it has begun");
    watch.standing().await;
    (client, first)
}

#[wasm_bindgen_test]
async fn b16_while_the_peer_waits_blobs_are_read_and_messages_are_sent() {
    if !is_there().await {
        return;
    }
    let watch = Watch::new().await;
    let (client, first) = waiting(&watch, BinaryType::Blob).await;
    let Message::Blob(first) = first else { panic!("not a blob") };
    assert_eq!(first.bytes().await.map(|bytes| bytes.len() as u64), Ok(PIECE));
    // One that is read before it goes, one that is read when it goes, and one that needs no reading.
    let local = client.local().expect("its own thread");
    for (bytes, pieces) in [(1000, 1), (1 << 20, 2)] {
        assert_eq!(local.try_send(&blob(bytes, pieces)).expect("room").await, Outcome::HandedOver);
    }
    assert_eq!(client.send("text").await.expect("open").await, Outcome::HandedOver);
    client.drained().await.expect("open");
    assert_eq!(watch.gone(0).await, watch.standing().await, "the peer still waits");
}

#[wasm_bindgen_test]
async fn b31_a_close_is_confirmed_though_the_peer_waits_with_what_nobody_takes() {
    if !is_there().await {
        return;
    }
    let watch = Watch::new().await;
    let (client, _) = waiting(&watch, BinaryType::ArrayBuffer).await;
    let closed = client.close(4001, "enough").await.expect("may be sent");
    assert_eq!((closed.code, closed.cause, closed.was_clean), (4001, CloseCause::Local, true));
    // What had come before can be taken, and nothing more.
    let mut left = 0;
    while client.recv().await.is_some() {
        left += 1;
    }
    assert!(left <= BOUND / PIECE / 2 + 1, "{left} were left");
}

#[wasm_bindgen_test]
async fn b35_dropping_everything_closes_though_the_peer_waits() {
    if !is_there().await {
        return;
    }
    let spy = StreamSpy::new();
    let watch = Watch::new().await;
    let (client, _) = waiting(&watch, BinaryType::ArrayBuffer).await;
    drop(client);
    assert_eq!(spy.ask("return a.closes;"), "[[{\"closeCode\":1000,\"reason\":\"\"}]]");
    assert_eq!(spy.ended().await, "[\"clean\",1000]");
    turn().await;
    assert_eq!(spy.errors(), "[]");
}
