//! The transport over `WebSocketStream`: the suite that every transport passes, and what only this one can
//! show. Where the browser has no such class, each of these tests asserts the typed error instead.

mod large_blobs;
mod spy;
mod waiting;

use core::pin::pin;

use tidegate::{
    BinaryType, Client, ClientBuilder, CloseCause, CloseOptions, ConnectError, Message, Outcome, SendOptions,
    Transport,
};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test;

use self::spy::StreamSpy;
use crate::WebNet;
use crate::page::{js, turn, wasm_memory};
use crate::suite::{self, Net, Report, SHORT, open, pattern, poll_once, report, text};

/// The routes of the embedded server, over streams.
struct StreamNet;

impl Net for StreamNet {
    async fn connect(
        &self,
        route: &str,
        describe: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client, ConnectError> {
        WebNet.connect(route, |builder| describe(builder).transport(Transport::Stream)).await
    }

    async fn turn(&self) {
        turn().await;
    }

    fn memory(&self) -> Option<u64> {
        Some(wasm_memory())
    }
}

/// Whether this browser has the class. Where it has not, connecting is tried, and fails as documented.
async fn is_there() -> bool {
    let there = js("return 'WebSocketStream' in globalThis;", &[]).is_truthy();
    if !there {
        let refused = StreamNet.connect("/echo", |builder| builder).await;
        assert!(matches!(refused, Err(ConnectError::NoWebSocketStream)), "{:?}", refused.err());
    }
    there
}

macro_rules! run {
    ($module:ident: $($case:ident,)*) => {
        mod $module {
            use wasm_bindgen_test::wasm_bindgen_test;

            $(
                #[wasm_bindgen_test]
                async fn $case() {
                    if super::is_there().await {
                        crate::suite::$module::$case(&super::StreamNet).await;
                    }
                }
            )*
        }
    };
}
suite::for_every_transport!(run);

/// What a browser's transports do alike.
mod here {
    macro_rules! run {
        ($module:ident: $($case:ident,)*) => {
            mod $module {
                use wasm_bindgen_test::wasm_bindgen_test;

                $(
                    #[wasm_bindgen_test]
                    async fn $case() {
                        if crate::b45_stream::is_there().await {
                            crate::$module::$case(&crate::b45_stream::StreamNet).await;
                        }
                    }
                )*
            }
        };
    }
    crate::for_every_transport_of_a_browser!(run);
}

#[wasm_bindgen_test]
async fn a_browser_without_it_says_so_before_anything_is_tried() {
    let there = is_there().await;
    assert_eq!(there, js("return navigator.userAgent.includes('Chrome');", &[]).is_truthy());
}

#[wasm_bindgen_test]
async fn b45_a_chunk_that_the_browser_refuses_ends_the_connection() {
    if !is_there().await {
        return;
    }
    let spy = StreamSpy::new();
    let client = open(&StreamNet, "/echo").await;
    js(
        "const { write } = WritableStreamDefaultWriter.prototype;
        WritableStreamDefaultWriter.prototype.write = function () {
            WritableStreamDefaultWriter.prototype.write = write;
            return write.call(this, Symbol('no text can be made of it'));
        };",
        &[],
    );
    let (ticket, behind) =
        (client.try_send("first").expect("room"), client.try_send("behind").expect("room"));
    let closed = client.closed().await;
    assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Peer));
    assert_eq!((ticket.await, behind.await), (Outcome::HandedOver, Outcome::Unsent));
    spy.ended().await;
    assert_eq!(spy.errors(), "[]");
}

#[wasm_bindgen_test]
async fn b29_shared_and_resizable_memory_arrives_as_it_was() {
    if !is_there().await {
        return;
    }
    let client = open(&StreamNet, "/echo").await;
    let local = client.local().expect("its own thread");
    for value in [
        "new ArrayBuffer(4, { maxByteLength: 8 })",
        "new Uint8Array(new ArrayBuffer(8, { maxByteLength: 9 }), 2, 4)",
        "new DataView(new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer, 65_532)",
    ] {
        let value = js(
            &format!(
                "const value = {value};
                new Uint8Array(value.buffer ?? value, value.byteOffset ?? 0).set([1, 2, 3, 4]);
                return value;"
            ),
            &[],
        );
        assert_eq!(local.try_send(&value).expect("room").await, Outcome::HandedOver);
        assert_eq!(client.recv().await, Some(Message::from(&[1, 2, 3, 4])));
    }
}

#[wasm_bindgen_test]
async fn b05_every_refusal_fails_once_with_the_close_event() {
    if !is_there().await {
        return;
    }
    let spy = StreamSpy::new();
    for route in ["/status?code=401", "/status?code=503", "/wrong-accept", "/refuse", "/nothing-here"] {
        let error = suite::connecting::fails(&StreamNet, route).await;
        assert!(matches!(error, ConnectError::Failed { source: None, .. }), "a browser tells no more");
    }
    let connecting = StreamNet.connect("/no-subprotocol", |builder| builder.subprotocol("chat.v2"));
    let Err(ConnectError::Failed { closed, .. }) = connecting.await else { panic!("it must fail") };
    assert_eq!((closed.code, closed.was_clean), (1006, false));
    turn().await;
    assert_eq!(spy.errors(), "[]");
}

#[wasm_bindgen_test]
async fn b06_a_dropped_connect_aborts_the_handshake() {
    if !is_there().await {
        return;
    }
    let spy = StreamSpy::new();
    for route in ["/never", "/echo", "/refused"] {
        {
            let connecting = pin!(StreamNet.connect(route, |builder| builder));
            assert!(poll_once(connecting).await.is_pending());
            assert_eq!(spy.ask("return a.options.signal.aborted;"), "false");
        }
        assert_eq!(spy.ask("return a.options.signal.aborted;"), "true", "{route}");
        assert!(spy.ended().await.starts_with("[\"failed\""), "{route}");
    }
    let timed_out = StreamNet.connect("/never", |builder| builder.connect_within(SHORT)).await;
    assert!(matches!(timed_out, Err(ConnectError::TimedOut { .. })));
    assert_eq!(spy.ask("return a.options.signal.aborted;"), "true");
    spy.ended().await;
    turn().await;
    assert_eq!(spy.errors(), "[]");
}

#[wasm_bindgen_test]
async fn b06_a_stream_that_opens_while_it_is_given_up_is_closed() {
    if !is_there().await {
        return;
    }
    let spy = StreamSpy::new();
    // The browser has opened it, and says so only when it is asked to.
    js(
        "const Watched = globalThis.WebSocketStream;
        globalThis.WebSocketStream = class extends Watched {
            get opened() {
                return super.opened.then(async (info) => {
                    await new Promise((resolve) => { this.tell = resolve; });
                    return info;
                });
            }
        };",
        &[],
    );
    {
        let connecting = pin!(StreamNet.connect("/echo", |builder| builder));
        assert!(poll_once(connecting).await.is_pending());
        while spy.ask("return !!a.tell;") == "false" {
            turn().await;
        }
    }
    assert_eq!(spy.ask("return a.closes;"), "[]");
    js("a.tell();", &[&spy.last()]);
    while spy.ask("return a.closes.length;") == "0" {
        turn().await;
    }
    assert_eq!(spy.ended().await, "[\"clean\",1005]");
    turn().await;
    assert_eq!(spy.errors(), "[]");
}

#[wasm_bindgen_test]
async fn b11_what_the_server_breaks_ends_the_connection_behind_what_came_before() {
    if !is_there().await {
        return;
    }
    let spy = StreamSpy::new();
    let client = open(&StreamNet, "/raw?hex=81036f6e65810361ff62").await;
    let first = client.recv().await;
    // Chromium fails the stream together with what of it was not read yet.
    assert!(first == text("one") || first.is_none(), "{first:?}");
    assert_eq!(client.recv().await, None);
    let closed = client.closed().await;
    assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Peer));
    assert_eq!(spy.errors(), "[]");
}

#[wasm_bindgen_test]
async fn b12_binary_messages_come_as_the_binary_type_says() {
    if !is_there().await {
        return;
    }
    for binary_type in [BinaryType::ArrayBuffer, BinaryType::Blob] {
        let client =
            StreamNet.connect("/echo", |builder| builder.binary_type(binary_type)).await.expect("open");
        for bytes in [vec![], vec![1, 2, 3]] {
            client.send(bytes.clone()).await.expect("open");
            match (binary_type, client.recv().await) {
                (BinaryType::ArrayBuffer, Some(Message::Binary(received))) => assert_eq!(received, bytes),
                (BinaryType::Blob, Some(Message::Blob(blob))) => assert_eq!(blob.bytes().await, Ok(bytes)),
                (_, other) => panic!("{other:?}"),
            }
        }
    }
}

#[wasm_bindgen_test]
async fn b19_what_is_sent_while_the_peer_is_closing_is_not_reported_as_handed_over() {
    if !is_there().await {
        return;
    }
    let client =
        StreamNet.connect("/raw?hex=88020fa1", |builder| builder.close_within(SHORT)).await.expect("open");
    let mut tickets = Vec::new();
    while let Ok(ticket) = client.try_send("into the void") {
        tickets.push(ticket);
        turn().await;
    }
    let (mut unsent, mut handed_over) = (0, 0);
    for ticket in tickets {
        match ticket.await {
            Outcome::Unsent => unsent += 1,
            Outcome::HandedOver => handed_over += 1,
            other => panic!("{other:?}"),
        }
    }
    let closed = client.closed().await;
    assert_eq!((closed.code, closed.cause), (4001, CloseCause::Peer));
    assert_eq!((closed.unsent.messages, closed.unknown.messages), (unsent, handed_over));
}

#[wasm_bindgen_test]
async fn b24_an_urgent_message_waits_for_nothing_but_the_one_that_is_being_written() {
    if !is_there().await {
        return;
    }
    let client = open(&StreamNet, "/stall").await;
    // Until nothing moves any more: the peer does not read.
    let mut tickets = Vec::new();
    loop {
        tickets.push(client.try_send_with(pattern(24, 1 << 20), SendOptions::bulk()).expect("room"));
        for _ in 0..200 {
            turn().await;
        }
        if tickets.len() - handed_over(&tickets) > 3 {
            break;
        }
    }
    let before = handed_over(&tickets);
    let urgent = client.try_send_with("urgent", SendOptions::urgent()).expect("room");
    assert_eq!(urgent.outcome(), None);
    let closing = client.close_with(CloseOptions::default().within(SHORT).drop_queued());
    let closed = closing.await.expect("may be sent");
    assert_eq!((closed.cause, urgent.await), (CloseCause::Unconfirmed, Outcome::Unsent));
    assert_eq!(closed.unsent.messages, (tickets.len() - before) as u64 + 1);
    assert_eq!(closed.unknown.messages, before as u64);
}

fn handed_over(tickets: &[tidegate::Ticket]) -> usize {
    tickets.iter().filter(|ticket| ticket.outcome() == Some(Outcome::HandedOver)).count()
}

#[wasm_bindgen_test]
async fn b38_nothing_is_called_after_everything_was_dropped_in_the_middle_of_a_write() {
    if !is_there().await {
        return;
    }
    let spy = StreamSpy::new();
    for route in ["/echo", "/flood?messages=100&bytes=100", "/stall"] {
        let client = StreamNet.connect(route, |builder| builder.close_within(SHORT)).await.expect("open");
        for number in 0..8 {
            client.try_send(pattern(number, 1 << 20)).expect("room");
        }
        // A read is waited for, and against `/stall` a write. With wasm threads tasks are woken late, when `/flood` has
        // sent something.
        let waits = poll_once(pin!(client.recv())).await.is_pending();
        assert!(waits || (cfg!(target_feature = "atomics") && route.starts_with("/flood")));
        drop(client);
        if route != "/stall" {
            spy.ended().await;
        }
        while spy.ask("return a.closes.length;") == "0" {
            turn().await;
        }
        for _ in 0..20 {
            turn().await;
        }
    }
    assert_eq!(spy.errors(), "[]");
}

#[wasm_bindgen_test]
async fn b20_messages_are_copied_when_they_are_given_away() {
    if !is_there().await {
        return;
    }
    let client = open(&StreamNet, "/sink").await;
    let local = client.local().expect("its own thread");
    let buffers: Vec<JsValue> =
        (0..12).map(|n| js("return new Uint8Array(1_000_000).fill(a);", &[&n.into()])).collect();
    for buffer in &buffers {
        local.try_send(buffer).expect("room");
        js("a.fill(99);", &[buffer]);
    }
    let expected = (0..12).map(|n| vec![n; 1_000_000]);
    assert_eq!(report(&client).await, Report::of(expected));
}

#[wasm_bindgen_test]
async fn b29_a_large_blob_that_cannot_be_read_after_all_ends_the_connection() {
    if !is_there().await {
        return;
    }
    let spy = StreamSpy::new();
    let client = open(&StreamNet, "/sink").await;
    let local = client.local().expect("its own thread");
    let gone = js(
        "const blob = new Blob([new Uint8Array(3 << 20)]);
        blob.arrayBuffer = () => Promise.reject(new DOMException('gone', 'NotFoundError'));
        return blob;",
        &[],
    );
    let (ticket, behind) = (local.try_send(&gone).expect("room"), client.try_send("behind").expect("room"));
    let closed = client.closed().await;
    assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Peer));
    assert_eq!((ticket.await, behind.await), (Outcome::HandedOver, Outcome::Unsent));
    assert_eq!((closed.unknown.messages, closed.unsent.messages), (1, 1));
    drop(local);
    drop(client);
    spy.ended().await;
    assert_eq!(spy.errors(), "[]");
}

#[wasm_bindgen_test]
async fn b29_what_is_no_message_is_an_error_item() {
    if !is_there().await {
        return;
    }
    let _spy = StreamSpy::new();
    // A stream that gives a number, as none does.
    js(
        "const Native = globalThis.WebSocketStream;
        globalThis.WebSocketStream = class extends Native {
            get opened() {
                return super.opened.then((info) => {
                    const first = new TransformStream({ start: (controller) => controller.enqueue(42) });
                    return { ...info, readable: info.readable.pipeThrough(first), writable: info.writable,
                        protocol: info.protocol, extensions: info.extensions };
                });
            }
        };",
        &[],
    );
    let client = open(&StreamNet, "/echo").await;
    assert!(matches!(client.recv().await, Some(Message::Error(_))));
    client.send("still open").await.expect("open");
    assert_eq!(client.recv().await, text("still open"));
}

#[wasm_bindgen_test]
async fn b38_a_hundred_peers_that_reset_leave_the_page_alone() {
    if !is_there().await {
        return;
    }
    // Not with a message being written: Chromium 156 crashes then, whatever a script does.
    let spy = StreamSpy::new();
    for _ in 0..100 {
        let client = open(&StreamNet, "/reset?after=100").await;
        let ticket = client.try_send(vec![0; 100]).expect("room");
        let closed = client.closed().await;
        assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Peer));
        assert_eq!((ticket.await, closed.unknown.messages), (Outcome::HandedOver, 1));
        assert_eq!(client.recv().await, None);
    }
    assert_eq!(spy.errors(), "[]");
}
