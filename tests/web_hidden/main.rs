//! A hidden page, which has timers of its own kind: in a page of its own, since it holds up all short timers, and what
//! other tests left would be among them.
//!
//! No browser hides a page for a test; what it would do to timers is done here. `tests/web/pacing.rs` has what can be
//! seen beside other tests. `TIDEGATE_TEST_SERVER` at build time says where the server listens.
#![cfg(all(target_family = "wasm", target_os = "unknown"))]
#![allow(clippy::expect_used, reason = "a panic fails the test")]

#[allow(dead_code, reason = "shared with the other tests")]
#[path = "../web/page.rs"]
mod page;

use core::task::{Context, Poll, Waker};
use core::time::Duration;

use tidegate::{Client, Outcome, SendOptions};
use wasm_bindgen::JsValue;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

use page::{js, settled, turn};

wasm_bindgen_test_configure!(run_in_browser);

/// The embedded server.
const SERVER: &str = match option_env!("TIDEGATE_TEST_SERVER") {
    Some(server) => server,
    None => "127.0.0.1:7357",
};

/// A page that says it is hidden, and whose own timers come only by hand. It ends with this.
struct Hidden(JsValue);

impl Hidden {
    fn new() -> Self {
        Self(js(
            "const native = { setTimeout, clearTimeout, Worker };
            const state = { native, workers: [], hidden: true, live: new Map(), set: 0 };
            globalThis.setTimeout = (step) => {
                state.live.set(--state.set, step);
                return state.set;
            };
            globalThis.clearTimeout = (id) => void (state.live.delete(id) || native.clearTimeout.call(globalThis, id));
            globalThis.Worker = class extends Worker {
                constructor(...args) { super(...args); state.workers.push(this); }
            };
            Object.defineProperty(document, 'hidden', { configurable: true, get: () => state.hidden });
            return state;",
            &[],
        ))
    }

    fn ask(&self, body: &str) -> JsValue {
        js(body, &[&self.0])
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        self.ask("Object.assign(globalThis, a.native); delete document.hidden;");
    }
}

async fn open(bytes_per_second: u64) -> Client {
    let builder = Client::builder(format!("ws://{SERVER}/sink")).budget_bytes(16 << 10).timer_worker();
    // The deadline of an attempt would be a timer, too.
    builder.max_bytes_per_second(bytes_per_second).connect_within(None).connect().await.expect("it opens")
}

fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    matches!(core::pin::Pin::new(future).poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}

/// In one test, since a page has one such worker for as long as it is there.
#[wasm_bindgen_test]
async fn b23_a_worker_waits_for_a_hidden_page_until_it_is_seen_again() {
    let page = Hidden::new();
    let client = open(1).await;
    client.try_send("first").expect("room");
    // Five minutes later even a timer of more than a second would be a minute late.
    let within = SendOptions::new().deadline(Duration::from_millis(1_100));
    let late = client.try_send_with("late", within).expect("room");
    assert_eq!(late.await, Outcome::Expired);
    assert_eq!(page.ask("return a.workers.length;").as_f64(), Some(1.0));
    assert_eq!(client.close(1000, "").await.expect("may be sent").code, 1000);

    // What the worker waits for when the page is seen again comes by a timer, and once.
    let client = open(1_250_000).await;
    while client.stats().queued().messages == 0 {
        client.try_send_with(vec![7; 16 << 10], SendOptions::bulk()).expect("room");
    }
    let answer = page.ask(
        "const [worker] = a.workers;
        const answer = new Promise((done) => worker.addEventListener('message', done, { once: true }));
        a.hidden = false;
        document.dispatchEvent(new Event('visibilitychange'));
        return answer;",
    );
    assert!(page.ask("return a.live.size > 0;").is_truthy(), "nobody waits");
    settled(answer).await.expect("it still waits");
    let mut flushed = Box::pin(client.flushed());
    while is_pending(&mut flushed) {
        page.ask("for (const [id, step] of [...a.live]) if (a.live.delete(id)) step();");
        turn().await;
    }
    assert_eq!(page.ask("return a.live.size;").as_f64(), Some(0.0), "one would fire for nothing");
    drop(page);
    assert_eq!(client.close(1000, "").await.expect("may be sent").code, 1000);
}
