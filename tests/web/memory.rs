//! What stays out of wasm memory.

use tidegate::{CloseOptions, Outcome, SendLimits};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::WebNet;
use crate::page::{blob, js, wasm_memory};
use crate::suite::{Net, open, report};

#[wasm_bindgen_test]
async fn b30_queued_values_stay_out_of_wasm_memory() {
    let limits = SendLimits { max_queued_bytes: 4 << 30, ..SendLimits::default() };
    let client = WebNet.connect("/sink", |builder| builder.send_limits(limits)).await.expect("it opens");
    let local = client.local().expect("its own thread");
    let before = wasm_memory();
    // The first is read before it is sent, and holds up all the others.
    let mut tickets = vec![local.try_send(&blob(7, 1)).expect("room")];
    let piece = js("return new ArrayBuffer(16 << 20);", &[]);
    for _ in 0..16 {
        tickets.push(local.try_send(&piece).expect("room"));
    }
    tickets.push(local.try_send(&blob(64 << 20, 16)).expect("room"));
    tickets.push(local.try_send(&js("return 'x'.repeat(64 << 20);", &[])).expect("room"));
    assert_eq!(local.queued_messages(), 19);
    assert_eq!(local.buffered_amount(), 7 + (256 << 20) + (1 << 30) + (64 << 20));
    assert_eq!(wasm_memory(), before, "256 MiB of buffers, a Blob of 1 GiB, a string of 64 MiB");
    let closed = client.close_with(CloseOptions::default().drop_queued()).await.expect("may be sent");
    assert_eq!((closed.unsent.messages, closed.unsent.bytes), (19, 7 + (256 << 20) + (1 << 30) + (64 << 20)));
    for ticket in tickets {
        assert_eq!(ticket.await, Outcome::Unsent);
    }
    assert_eq!(wasm_memory(), before);
}

#[wasm_bindgen_test]
async fn b30_values_that_are_sent_stay_out_of_wasm_memory() {
    let client = open(&WebNet, "/sink").await;
    let local = client.local().expect("its own thread");
    let before = wasm_memory();
    let buffer = js("return new Uint8Array(16 << 20).fill(7).buffer;", &[]);
    let text = js("return '\\u0007'.repeat(16 << 20);", &[]);
    for value in [&buffer, &text, &blob(16 << 20, 1)] {
        assert_eq!(local.try_send(value).expect("room").await, Outcome::HandedOver);
    }
    assert_eq!(wasm_memory(), before);
    let reported = report(&client).await;
    assert_eq!((reported.messages, reported.bytes), (3, 48 << 20));
}

#[wasm_bindgen_test]
async fn b20_owned_bytes_are_not_copied_on_their_way() {
    let client = open(&WebNet, "/sink").await;
    // The largest message that the server takes.
    let bytes = vec![7_u8; 64 << 20];
    let before = wasm_memory();
    assert_eq!(client.send(bytes).await.expect("open").await, Outcome::HandedOver);
    assert_eq!(wasm_memory(), before, "64 MiB went out of the buffer that they were in");
    let reported = report(&client).await;
    assert_eq!((reported.messages, reported.bytes), (1, 64 << 20));
}

/// Only in builds for wasm threads, which `cargo xtask test --full` makes: a browser refuses to send a
/// view of shared memory, and to decode text in it.
#[cfg(target_feature = "atomics")]
#[wasm_bindgen_test]
async fn b20_what_is_in_shared_memory_is_copied_first() {
    let shared = crate::page::js("return a.buffer instanceof SharedArrayBuffer;", &[&wasm_bindgen::memory()]);
    assert_eq!(shared.as_bool(), Some(true));
    let client = open(&WebNet, "/echo").await;
    for bytes in [0, 1, 125, 70_000, 1 << 20] {
        let sent = crate::suite::pattern(20, bytes);
        client.send(sent.clone()).await.expect("open");
        assert_eq!(client.recv().await, Some(sent.into()));
        let text = "grüße 𝄞".repeat(bytes / 12);
        client.send(text.clone()).await.expect("open");
        assert_eq!(client.recv().await, Some(text.into()));
    }
}
