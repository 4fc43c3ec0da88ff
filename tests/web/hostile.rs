//! Servers that refuse, lie, or break the protocol; and what is left behind in the page.

use core::pin::pin;

use tidegate::{
    BinaryType, CloseCause, CloseOptions, ConnectError, Message, Outcome, ReceiveError, SendError,
};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::WebNet;
use crate::page::turn;
use crate::spy::Spy;
use crate::suite::connecting::fails;
use crate::suite::{LONG, Net, SHORT, open, poll_once, text};

#[wasm_bindgen_test]
async fn b04_nothing_needs_a_window() {
    // Connecting, timers and closing, wherever this runs.
    let client = open(&WebNet, "/echo").await;
    client.send("hello").await.expect("open");
    assert_eq!(client.recv().await, text("hello"));
    assert_eq!(client.close(4001, "bye").await.expect("may be sent").code, 4001);
    let timed_out = WebNet.connect("/never", |builder| builder.connect_within(SHORT)).await;
    assert!(matches!(timed_out, Err(ConnectError::TimedOut { .. })));
}

#[wasm_bindgen_test]
async fn b05_every_refusal_fails_once_with_the_close_event() {
    let spy = Spy::new();
    for route in ["/status?code=401", "/status?code=503", "/wrong-accept", "/refuse", "/nothing-here"] {
        let error = fails(&WebNet, route).await;
        assert!(matches!(error, ConnectError::Failed { source: None, .. }), "a browser tells no more");
        turn().await;
        assert_eq!(spy.ask("return [a.listeners, a.readyState];"), "[0,3]", "{route}");
    }
    assert_eq!(spy.errors(), "[]");
}

#[wasm_bindgen_test]
async fn b05_an_error_before_the_opening_is_the_end_of_the_attempt() {
    // Node 22 says no more, nor does WebKit where a policy forbids the connection.
    let spy = Spy::new();
    let mut connecting = pin!(WebNet.connect("/never", |builder| builder));
    assert!(poll_once(connecting.as_mut()).await.is_pending());
    spy.ask("a.dispatchEvent(new Event('error')); return null;");
    let Err(ConnectError::Failed { closed, .. }) = connecting.await else { panic!("it must fail") };
    assert_eq!((closed.code, closed.was_clean), (1006, false));
    assert_eq!(spy.ask("return [a.listeners, a.readyState >= 2];"), "[0,true]");
}

#[wasm_bindgen_test]
async fn b05_an_unacknowledged_subprotocol_fails() {
    let connecting = WebNet.connect("/no-subprotocol", |builder| builder.subprotocol("chat.v2"));
    let Err(ConnectError::Failed { closed, .. }) = connecting.await else { panic!("it must fail") };
    assert_eq!((closed.code, closed.was_clean), (1006, false));
}

#[wasm_bindgen_test]
async fn b06_a_dropped_connect_aborts_the_handshake_and_detaches_every_handler() {
    let spy = Spy::new();
    for route in ["/never", "/echo", "/refused"] {
        {
            let connecting = pin!(WebNet.connect(route, |builder| builder));
            assert!(poll_once(connecting).await.is_pending());
            assert_eq!(spy.ask("return [a.listeners, a.readyState];"), "[4,0]", "{route}");
        }
        assert_eq!(spy.ask("return [a.listeners, a.readyState >= 2];"), "[0,true]", "{route}");
        // What the browser has to say about it later reaches nobody.
        while spy.ask("return a.readyState;") != "3" {
            turn().await;
        }
    }
    turn().await;
    assert_eq!(spy.errors(), "[]");
}

#[wasm_bindgen_test]
async fn b08_an_expired_attempt_leaves_no_socket_behind() {
    let spy = Spy::new();
    let timed_out = WebNet.connect("/never", |builder| builder.connect_within(SHORT)).await;
    assert!(matches!(timed_out, Err(ConnectError::TimedOut { .. })));
    assert_eq!(spy.ask("return [a.listeners, a.readyState >= 2];"), "[0,true]");
    assert_eq!(spy.errors(), "[]");
}

/// Connects to a server whose first frames break the protocol. They come with the response of the
/// handshake, and Firefox then fails the connection before it has said that it is open.
async fn open_or_fail(route: &str) -> Option<tidegate::Client> {
    match WebNet.connect(route, |builder| builder).await {
        Ok(client) => Some(client),
        Err(ConnectError::Failed { closed, .. }) => {
            assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Peer));
            None
        }
        Err(other) => panic!("{route}: {other:?}"),
    }
}

#[wasm_bindgen_test]
async fn b11_invalid_utf8_from_the_server_ends_the_connection() {
    let Some(client) = open_or_fail("/raw?hex=81036f6e65810361ff62").await else { return };
    assert_eq!(client.recv().await, text("one"));
    assert_eq!(client.recv().await, None);
    let closed = client.closed().await;
    assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Peer));
}

#[wasm_bindgen_test]
async fn b11_a_declared_length_of_5_gb_delivers_nothing_and_close_ends_it() {
    // A browser may fail the connection or wait for the rest; either way nothing hangs.
    let Some(client) = open_or_fail("/raw?hex=827f000000012a05f200736f6d65").await else { return };
    for _ in 0..20 {
        turn().await;
        assert!(client.try_recv().is_err());
    }
    let closed = client.close_with(CloseOptions::default().within(SHORT)).await.expect("may be sent");
    assert!(!closed.was_clean || closed.code == 1005, "{closed:?}");
    assert_eq!(client.recv().await, None);
}

#[wasm_bindgen_test]
async fn b12_the_binary_type_is_set_before_open_and_sending_never_changes_it() {
    for (binary_type, name) in [(BinaryType::ArrayBuffer, "arraybuffer"), (BinaryType::Blob, "blob")] {
        let spy = Spy::new();
        let client = WebNet.connect("/echo", |builder| builder.binary_type(binary_type)).await.expect("open");
        for _ in 0..3 {
            client.send([1, 2, 3]).await.expect("open");
            assert_eq!(client.recv().await.map(|message| message.size()), Some(3));
        }
        assert_eq!(spy.ask("return a.types;"), format!("[[\"{name}\",0]]"), "once, while connecting");
        assert_eq!(spy.ask("return a.binaryType;"), format!("{name:?}"));
    }
}

#[wasm_bindgen_test]
async fn b14_an_unknown_data_type_is_an_error_item() {
    let spy = Spy::new();
    let client = open(&WebNet, "/echo").await;
    for (data, name) in
        [("42", "number"), ("null", "object"), ("undefined", "object"), ("{ a: 1 }", "object")]
    {
        spy.ask_with(
            &format!("a.dispatchEvent(new MessageEvent('message', {{ data: {data} }}));"),
            &"".into(),
        );
        let Some(Message::Error(ReceiveError::UnsupportedData { name: given })) = client.recv().await else {
            panic!("no error item for {data}");
        };
        assert_eq!(given, name, "{data}");
    }
    // The connection goes on, and an error item cannot be sent.
    client.send("still open").await.expect("open");
    assert_eq!(client.recv().await, text("still open"));
    let item = Message::Error(ReceiveError::UnsupportedData { name: "number".into() });
    assert!(matches!(client.send(item).await, Err(SendError::Unsupported(Message::Error(_)))));
}

#[wasm_bindgen_test]
async fn b19_what_is_sent_while_the_peer_is_closing_is_not_reported_as_handed_over() {
    // A close frame, after which the server waits: the socket is CLOSING, and a raw send is silent.
    let spy = Spy::new();
    let client =
        WebNet.connect("/raw?hex=88020fa1", |builder| builder.close_within(SHORT)).await.expect("open");
    let mut silent = None;
    while client.ready_state() != tidegate::ReadyState::Closed {
        if spy.ask("return a.readyState;") == "2" {
            // Between the browser's word and the close event.
            silent = client.try_send("into the void").ok();
            break;
        }
        turn().await;
    }
    if let Some(ticket) = silent {
        assert_eq!(ticket.await, Outcome::Unsent);
        assert_eq!(client.closed().await.unsent.messages, 1);
    }
    let closed = client.closed().await;
    assert_eq!((closed.code, closed.unknown.messages), (4001, 0));
}

#[wasm_bindgen_test]
async fn b35_dropping_the_last_handle_closes_with_1000() {
    let spy = Spy::new();
    let client = open(&WebNet, "/echo").await;
    let (sender, receiver) = client.split();
    let clone = sender.clone();
    drop((client, sender, receiver));
    assert_eq!(spy.ask("return a.closes;"), "[]", "a clone is left");
    clone.try_send("queued").expect("room");
    drop(clone);
    assert_eq!(spy.ask("return a.closes;"), "[[1000,\"\"]]");
    while spy.ask("return a.readyState;") != "3" {
        turn().await;
    }
    turn().await;
    assert_eq!(spy.ask("return a.listeners;"), "0");
    assert_eq!(spy.errors(), "[]");
}

#[wasm_bindgen_test]
async fn b37_foreign_listeners_are_left_alone_and_nothing_is_dispatched() {
    let spy = Spy::new();
    let client = open(&WebNet, "/burst").await;
    assert_eq!(client.closed().await.code, 4001);
    let seen = "[\"open\",\"message\",\"message\",\"message\",\"close\"]";
    assert_eq!(spy.ask("return a.seen;"), seen, "every event once, by a listener that was there before");
    assert_eq!(
        spy.ask("return [a.dispatched, a.onopen, a.onmessage, a.onclose, a.onerror];"),
        "[0,null,null,null,null]"
    );
}

#[wasm_bindgen_test]
async fn b38_nothing_is_called_after_everything_was_dropped() {
    let spy = Spy::new();
    for route in ["/echo", "/flood?messages=100&bytes=100", "/stall"] {
        let client = WebNet.connect(route, |builder| builder.close_within(SHORT)).await.expect("open");
        let _ = client.try_send("an echo comes");
        drop(client);
        // Also those that come with the deadline, against a peer that confirms nothing.
        while spy.ask("return a.listeners;") != "0" {
            turn().await;
        }
        for _ in 0..20 {
            turn().await;
        }
    }
    assert_eq!(spy.errors(), "[]");
}

#[wasm_bindgen_test]
async fn b41_buffered_amount_is_a_64_bit_number_and_may_be_missing() {
    let spy = Spy::new();
    let client = open(&WebNet, "/echo").await;
    let local = client.local().expect("its own thread");
    let fake = "Object.defineProperty(a, 'bufferedAmount', { value: b, configurable: true });";
    spy.ask_with(fake, &5_000_000_000_f64.into());
    assert_eq!(local.buffered_amount(), 5_000_000_000);
    spy.ask_with(fake, &wasm_bindgen::JsValue::UNDEFINED);
    assert_eq!(local.buffered_amount(), 0);
    // It sends all the same.
    client.send("hello").await.expect("open");
    assert_eq!(client.recv().await, text("hello"));
    drop(local);
    assert_eq!(
        client.close_with(CloseOptions::default().within(LONG)).await.expect("may be sent").code,
        1005
    );
}
