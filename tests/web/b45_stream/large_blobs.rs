//! A Blob above 1 MiB, which is read when it is written: what happens meanwhile.

use tidegate::{CloseCause, Outcome};
use wasm_bindgen_test::wasm_bindgen_test;

use super::spy::StreamSpy;
use super::waiting::Watch;
use super::{StreamNet, is_there};
use crate::page::{blob, js, turn};
use crate::suite::{Net, SHORT, open};

const BYTES: u64 = 3 << 20;

#[wasm_bindgen_test]
async fn b32_b39_a_close_goes_behind_a_blob_that_is_being_read() {
    if !is_there().await {
        return;
    }
    let spy = StreamSpy::new();
    let watch = Watch::new().await;
    for (round, is_dropped) in [false, true].into_iter().enumerate() {
        let client = open(&StreamNet, &watch.arrivals()).await;
        let local = client.local().expect("its own thread");
        let ticket = local.try_send(&blob(1 << 20, 3)).expect("room");
        drop(local);
        if is_dropped {
            drop(client);
            assert_eq!(spy.ended().await, "[\"clean\",1000]");
        } else {
            let closed = client.close(4001, "enough").await.expect("may be sent");
            assert_eq!((closed.code, closed.cause, closed.was_clean), (4001, CloseCause::Local, true));
            assert_eq!((closed.unsent.messages, closed.unknown.messages), (0, 0));
            assert_eq!(spy.ask("return a.closes[0];"), "[{\"closeCode\":4001,\"reason\":\"enough\"}]");
        }
        assert_eq!(ticket.await, Outcome::HandedOver);
        // The server had read everything before it confirmed.
        assert_eq!(watch.gone(0).await, BYTES * (round as u64 + 1));
    }
    assert_eq!(spy.errors(), "[]");
}

/// A Blob as [`blob`], which is read when its `read` is called, and then fails if that is given `false`.
fn held() -> wasm_bindgen::JsValue {
    js(
        "const reading = new Promise((resolve) => { a.read = resolve; });
        a.arrayBuffer = function () {
            this.is_asked = true;
            return reading.then((ok) => {
                if (!ok) throw new DOMException('gone', 'NotFoundError');
                return Blob.prototype.arrayBuffer.call(this);
            });
        };
        return a;",
        &[&blob(1 << 20, 3)],
    )
}

#[wasm_bindgen_test]
async fn b38_a_blob_that_is_read_after_the_end_of_the_connection_is_nobodys() {
    if !is_there().await {
        return;
    }
    let spy = StreamSpy::new();
    for is_readable in [true, false] {
        let client =
            StreamNet.connect("/sink", |builder| builder.close_within(SHORT)).await.expect("it opens");
        let local = client.local().expect("its own thread");
        let blob = held();
        let ticket = local.try_send(&blob).expect("room");
        assert_eq!(ticket.await, Outcome::HandedOver);
        assert!(js("return a.is_asked;", &[&blob]).is_truthy());
        let closed = client.close(4001, "").await.expect("may be sent");
        assert_eq!((closed.cause, closed.unknown.bytes), (CloseCause::Unconfirmed, BYTES));
        drop(local);
        drop(client);
        spy.ended().await;
        turn().await;
        js("a.read(b);", &[&blob, &is_readable.into()]);
        for _ in 0..20 {
            turn().await;
        }
    }
    assert_eq!(spy.errors(), "[]");
}

#[wasm_bindgen_test]
async fn b32_a_close_that_waits_for_a_blob_ends_with_it_when_it_cannot_be_read() {
    if !is_there().await {
        return;
    }
    let spy = StreamSpy::new();
    let client = open(&StreamNet, "/sink").await;
    let local = client.local().expect("its own thread");
    let blob = held();
    let ticket = local.try_send(&blob).expect("room");
    assert_eq!(ticket.await, Outcome::HandedOver);
    let closing = client.close(4001, "enough");
    assert_eq!(spy.ask("return a.closes;"), "[]", "it waits");
    js("a.read(false);", &[&blob]);
    let closed = closing.await.expect("may be sent");
    assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Unconfirmed));
    assert_eq!((closed.unknown.messages, closed.unknown.bytes), (1, BYTES));
    spy.ended().await;
    assert_eq!(spy.errors(), "[]");
}
