//! A reader that is slower than its peer: what is kept for it stays within the bound of the queue, in the wasm
//! memory and in the JavaScript heap.

use std::cell::Cell;
use std::rc::Rc;

use tidegate::{BinaryType, CloseCause, ReadyState, RecvLimits, RecvPolicy};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::page::{js, settled, turn, wasm_memory};
use crate::suite::{Net, amount};
use crate::{HEAP, WebNet};

/// The size of each message, and how many of them are 1 GiB.
const BYTES: u64 = 64 << 10;
const MESSAGES: u32 = 16_384;

/// What the queue may hold: 8 MiB.
const BOUND: u64 = 128 * BYTES;

/// The reader takes one message for so many that arrive.
const ARRIVALS: u64 = 8;

/// While it lives, every message that arrives is noted, without being held, and a reader is called before it is in the queue:
/// how fast they come, and how often anything else has its turn between, is the browser's choice. Where it is busy it may
/// give hundreds in one go.
struct Arrivals {
    state: JsValue,
}

impl Arrivals {
    fn new() -> Self {
        let state = js(
            "const Native = (globalThis.NativeWebSocket ??= globalThis.WebSocket);
            const state = { Native, seen: 0, alive: new Set() };
            state.registry = new FinalizationRegistry((number) => state.alive.delete(number));
            globalThis.WebSocket = class extends Native {
                constructor(...args) {
                    super(...args);
                    this.addEventListener('message', ({ data }) => {
                        state.alive.add(++state.seen);
                        state.registry.register(data, state.seen);
                        state.read?.();
                    });
                }
            };
            return state;",
            &[],
        );
        Self { state }
    }

    /// Has `reader` called with each that arrives.
    fn read_by(&self, reader: &Closure<dyn FnMut()>) {
        js("a.read = b;", &[&self.state, reader.as_ref()]);
    }

    /// How many have arrived.
    fn seen(&self) -> u64 {
        count(&js("return a.seen;", &[&self.state]))
    }

    /// Fails if of those that have arrived by now more than so many bytes are held, however often garbage is
    /// collected; and one message: Chromium may hold the last that it gave.
    async fn hold_no_more_than(&self, bytes: u64) {
        let seen = js("return a.seen;", &[&self.state]);
        let mut held = 0;
        for _ in 0..200 {
            let collecting = js(
                "// In a worker, Firefox collects only if there is enough garbage, and WebKit knows no other way.
                const isAsked = globalThis.TestUtils || globalThis.gc;
                if (!isAsked || (globalThis.TestUtils && !globalThis.document)) {
                    for (let i = 0; i < 4; i++) new ArrayBuffer(32 << 20);
                }
                return Promise.resolve(isAsked && (globalThis.TestUtils ? TestUtils.gc() : gc()));",
                &[],
            );
            settled(collecting).await.expect("tests may collect garbage");
            // What was found to be garbage is told in a later task.
            turn().await;
            let alive = "return [...a.alive].filter((number) => number <= b).length;";
            held = count(&js(alive, &[&self.state, &seen])) * BYTES;
            if held <= bytes + BYTES {
                return;
            }
        }
        panic!("of {} messages {held} bytes are held in JavaScript, not {bytes}", count(&seen));
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        js("globalThis.WebSocket = a.Native; a.read = undefined;", &[&self.state]);
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
fn count(number: &JsValue) -> u64 {
    number.as_f64().expect("a number") as u64
}

/// Reads slowly what a server sends as fast as it can, 1 GiB or a tenth of it. Returns the close code and how
/// many messages have arrived.
async fn read_slowly(policy: RecvPolicy, binary_type: BinaryType) -> (u16, u64) {
    // What ends early need not be less; Firefox may have taken in a tenth of it, with the server's close, before
    // it gives the first hundred.
    let messages = if policy == RecvPolicy::default() { MESSAGES } else { amount(MESSAGES) };
    let arrivals = Rc::new(Arrivals::new());
    let memory = wasm_memory();
    HEAP.reset_peak_usage();
    let in_use = HEAP.current_usage();
    let limits = RecvLimits::default().max_queued_bytes(BOUND).policy(policy);
    let flood = format!("/flood?messages={messages}&bytes={BYTES}");
    let describe = |builder: tidegate::ClientBuilder| builder.binary_type(binary_type).recv_limits(limits);
    let client = Rc::new(WebNet.connect(&flood, describe).await.expect("it opens"));

    let reads = Rc::new(Cell::new(0));
    let reader = Closure::new({
        let (arrivals, client, reads) = (arrivals.clone(), client.clone(), reads.clone());
        move || {
            if arrivals.seen() >= ARRIVALS * (reads.get() + 1) && client.try_recv().is_ok() {
                reads.set(reads.get() + 1);
            }
        }
    });
    arrivals.read_by(&reader);
    let mut look_at = u64::from(messages) / 5;
    while client.ready_state() != ReadyState::Closed {
        if arrivals.seen() >= look_at {
            look_at += u64::from(messages) / 5;
            arrivals.hold_no_more_than(BOUND).await;
        }
        turn().await;
    }
    arrivals.hold_no_more_than(BOUND).await;

    let closed = client.closed().await;
    let mut left = 0;
    while client.recv().await.is_some() {
        left += 1;
    }
    assert!(left <= BOUND / BYTES, "{left} messages were left");
    let (seen, taken, dropped) = (arrivals.seen(), reads.get(), closed.dropped);
    if policy == RecvPolicy::default() {
        assert_eq!((closed.cause, dropped.messages), (CloseCause::ReceiveOverflow, 0));
    } else {
        assert_eq!((closed.cause, seen), (CloseCause::Peer, u64::from(messages)));
        assert_eq!((taken + left + dropped.messages, dropped.bytes), (seen, dropped.messages * BYTES));
        assert!(taken > 0, "the reader took something");
        assert!(dropped.messages > seen / 2, "the reader was slow: {taken} {dropped:?}");
    }
    // All of them were dropped or taken.
    arrivals.hold_no_more_than(0).await;

    let peak = (HEAP.peak_usage() - in_use) as u64;
    assert!(peak < BOUND + (1 << 20), "{peak} bytes of wasm memory were in use");
    let grown = wasm_memory() - memory;
    assert!(grown < 2 * BOUND, "the wasm memory has grown by {grown} bytes");
    (closed.code, seen)
}

const TYPES: [BinaryType; 2] = [BinaryType::ArrayBuffer, BinaryType::Blob];

#[wasm_bindgen_test]
async fn b17_a_slow_reader_costs_no_more_than_the_queue_when_the_oldest_are_dropped() {
    for binary_type in TYPES {
        assert_eq!(read_slowly(RecvPolicy::DropOldest, binary_type).await.0, 1000);
    }
}

#[wasm_bindgen_test]
async fn b17_a_slow_reader_costs_no_more_than_the_queue_when_the_newest_are_dropped() {
    for binary_type in TYPES {
        assert_eq!(read_slowly(RecvPolicy::DropNewest, binary_type).await.0, 1000);
    }
}

#[wasm_bindgen_test]
async fn b17_a_slow_reader_is_disconnected_long_before_the_end_by_default() {
    for binary_type in TYPES {
        let (code, seen) = read_slowly(RecvPolicy::default(), binary_type).await;
        assert_eq!(code, 4009);
        assert!(seen > BOUND / BYTES && seen < u64::from(MESSAGES) / 4, "after {seen} messages");
    }
}
