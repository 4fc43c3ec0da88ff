//! What stands in a real browser, and what overtakes it. `/stall` reads nothing, so that the browser and the
//! kernel fill up, and what tidegate keeps stays where it is.

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tidegate::{Client, CloseOptions, Message, NotSent, Outcome, Priority, SendLimits, SendOptions, Ticket};
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::WebNet;
use crate::page::{blob, js, settled, turn};
use crate::spy::Spy;
use crate::suite::{LONG, Net, Report, SHORT, amount, open, pattern, poll_once, report};

const KIB: usize = 1 << 10;

const UNBOUNDED: SendLimits = SendLimits {
    max_queued_bytes: u64::MAX,
    max_queued_messages: u32::MAX,
    max_flow_bytes: u64::MAX,
    max_flow_messages: u32::MAX,
};

/// Notes the largest `bufferedAmount` of the spy's socket at each `send`, and the largest message.
const WATCH: &str = "a.largest = 0; a.message = 0;
    a.send = function (data) {
        WebSocket.prototype.send.call(this, data);
        a.message = Math.max(a.message, data.byteLength ?? data.length ?? data.size);
        a.largest = Math.max(a.largest, a.bufferedAmount);
    };
    return true;";

/// Lets time pass in which something is to be seen, or nothing.
async fn pause(milliseconds: u32) {
    let promise = js("return new Promise((done) => setTimeout(done, a));", &[&milliseconds.into()]);
    settled(promise).await.expect("it is never rejected");
}

/// A client whose browser has been given all that it takes, and whose queue holds more.
async fn stalled(pieces: usize) -> (Client, Vec<Ticket>) {
    let client = WebNet.connect("/stall", |builder| builder.send_limits(UNBOUNDED)).await.expect("it opens");
    let mut tickets = Vec::new();
    for _ in 0..pieces {
        tickets.push(client.send_with(vec![7; 64 * KIB], SendOptions::bulk()).await.expect("open"));
    }
    // Until nothing has moved for a while.
    let mut queued = u64::MAX;
    while client.stats().queued().bytes < queued {
        queued = client.stats().queued().bytes;
        pause(200).await;
    }
    (client, tickets)
}

/// Ends it without waiting for a peer that does not read.
async fn end(client: &Client) {
    let options = CloseOptions::default().drop_queued().within(SHORT);
    client.close_with(options).await.expect("may be sent");
}

#[wasm_bindgen_test]
async fn b21_no_more_than_the_budget_stands_in_the_browser() {
    let spy = Spy::new();
    let client = WebNet.connect("/sink", |builder| builder.send_limits(UNBOUNDED)).await.expect("it opens");
    spy.ask(WATCH);
    let pieces = amount(1024);
    for piece in 0..pieces {
        client.try_send_with(pattern(u64::from(piece), 64 * KIB), SendOptions::bulk()).expect("no bound");
        let stats = client.stats();
        // What the browser shows within a task is what it was given.
        assert!(stats.buffered_amount <= stats.budget_bytes.max(64 << 10), "{stats:?}");
    }
    client.flushed().await.expect("open");
    let largest: Vec<u64> = serde_json::from_str(&spy.ask("return [a.largest, a.message];")).unwrap();
    assert!(largest[0] <= 16 << 20, "{largest:?}");
    assert_eq!(largest[1], 64 << 10, "each was one message");
    let expected = (0..pieces).map(|piece| pattern(u64::from(piece), 64 * KIB));
    assert_eq!(report(&client).await, Report::of(expected));
}

#[wasm_bindgen_test]
async fn b24_an_urgent_message_overtakes_all_that_the_browser_does_not_have() {
    let client = WebNet.connect("/echo", |builder| builder.send_limits(UNBOUNDED)).await.expect("it opens");
    for _ in 0..200 {
        client.try_send_with(vec![7; 64 * KIB], SendOptions::bulk()).expect("no bound");
    }
    client.try_send_with("now", SendOptions::urgent()).expect("no bound");
    let mut before = 0;
    while let Some(Message::Binary(_)) = client.recv().await {
        before += 1;
    }
    // What may stand in the browser at first, and a message.
    assert!(before <= 9, "{before} of 200 came before it");
}

#[wasm_bindgen_test]
async fn b39_what_waits_at_the_gate_is_unsent() {
    let (client, bulk) = stalled(300).await;
    let waiting = client.stats().queued().messages;
    end(&client).await;
    let outcomes = join_all(bulk).await;
    let unsent = outcomes.iter().filter(|outcome| **outcome == Outcome::Unsent).count() as u64;
    assert_eq!(unsent, waiting);
}

#[wasm_bindgen_test]
async fn b23_a_stalled_connection_wakes_the_page_seldom_and_an_idle_one_never() {
    let count = js(
        "const state = { native: globalThis.setTimeout, calls: 0, short: 0 };
        globalThis.setTimeout = (step, after, ...rest) => {
            state.calls += 1;
            return state.native.call(globalThis, step, after, ...rest);
        };
        return state;",
        &[],
    );
    let calls = || js("return a.calls;", &[&count]).as_f64().expect("a number");
    // The pause itself, and what the harness does.
    pause(1000).await;
    let others = calls();
    let (client, _bulk) = stalled(300).await;
    let before = calls();
    pause(1000).await;
    let waiting = calls() - before - others;
    end(&client).await;
    let idle = open(&WebNet, "/echo").await;
    idle.send("hello").await.expect("open");
    idle.recv().await.expect("the echo");
    let before = calls();
    pause(1000).await;
    let resting = calls() - before - others;
    js("globalThis.setTimeout = a.native;", &[&count]);
    assert!(waiting <= 100.0, "{waiting} timers in a second of stall");
    assert!(resting <= 1.0, "{resting} timers in a second with nothing queued");
}

#[wasm_bindgen_test]
async fn b26_deadlines_and_latest_values_work_while_the_browser_takes_nothing() {
    let (client, _bulk) = stalled(300).await;
    if client.stats().class(Priority::Bulk).queued.messages > 0 {
        let expired = client.try_send_with("old", SendOptions::bulk().deadline(SHORT)).expect("room");
        let latest = SendOptions::bulk().latest("key");
        let first = client.try_send_with("first", latest.clone()).expect("room");
        let second = client.try_send_with("second", latest).expect("room");
        assert_eq!((first.await, second.outcome()), (Outcome::Superseded, None));
        assert_eq!(expired.await, Outcome::Expired);
        let stats = client.stats();
        let bulk = stats.class(Priority::Bulk);
        assert_eq!((bulk.expired.messages, bulk.superseded.messages), (1, 1));
    }
    end(&client).await;
}

#[wasm_bindgen_test]
async fn b24_a_large_blob_in_the_queue_is_overtaken_and_goes_whole() {
    let client = open(&WebNet, "/sink").await;
    let local = client.local().expect("its own thread");
    let content = blob(1 << 20, 3);
    let large = local.try_send_with(&content, SendOptions::bulk()).expect("room");
    let urgent = local.try_send_with(&"now".into(), SendOptions::urgent()).expect("room");
    assert_eq!((urgent.outcome(), large.outcome()), (Some(Outcome::HandedOver), None));
    assert_eq!(large.await, Outcome::HandedOver);
    let reported = report(&client).await;
    assert_eq!((reported.messages, reported.bytes), (2, 3 + (3 << 20)));
}

#[wasm_bindgen_test]
async fn flushed_and_drained_tell_what_the_browser_has_and_has_sent() {
    let client = open(&WebNet, "/sink").await;
    for number in 0..40 {
        let options = SendOptions::new().priority(Priority::ALL[number % 4]);
        client.send_with(vec![1; 20_000], options).await.expect("open");
    }
    client.flushed().await.expect("open");
    assert_eq!(client.stats().queued().messages, 0);
    client.drained().await.expect("open");
    assert_eq!(client.local().expect("its own thread").buffered_amount(), 0);
    assert_eq!(report(&client).await.messages, 40);

    let (client, _bulk) = stalled(300).await;
    let (flushed, drained) = (client.flushed(), client.drained());
    let waits = client.stats().queued().messages > 0;
    end(&client).await;
    if waits {
        assert_eq!((flushed.await, drained.await), (Err(NotSent), Err(NotSent)));
    }
}

#[wasm_bindgen_test]
async fn stats_come_as_messages_go() {
    let client = open(&WebNet, "/sink").await;
    let mut changes = client.stats_changes();
    assert_eq!(changes.next().await.map(|stats| stats.queued().messages), Some(0));
    client.send_with("x", SendOptions::urgent().deadline(LONG)).await.expect("open");
    let stats = changes.next().await.expect("open");
    assert_eq!(stats.class(Priority::Urgent).handed_over.messages, 1);
    assert_eq!(stats.class(Priority::Urgent).waits.counts()[0], 1);
}

#[wasm_bindgen_test]
async fn b27_a_send_from_inside_a_waker_and_from_a_drop_is_taken() {
    struct Last(Client);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.try_send("from a drop").expect("room");
        }
    }
    let client = open(&WebNet, "/sink").await;
    let (sender, _receiver) = client.split();
    let inside = sender.clone();
    let ticket = client.send("first").await.expect("open");
    wasm_bindgen_futures::spawn_local(async move {
        ticket.await;
        inside.send("from a task").await.expect("open");
    });
    drop(Last(open(&WebNet, "/sink").await));
    sender.flushed().await.expect("open");
    turn().await;
    assert_eq!(report(&client).await, Report::of(["first", "from a task"]));
}

/// `performance.now` with an offset, as long as it lives.
pub(crate) struct Jumping(JsValue);

impl Jumping {
    pub(crate) fn new() -> Self {
        let state = "const own = performance.now;
            const state = { own, offset: 0 };
            performance.now = () => own.call(performance) + state.offset;
            return state;";
        Self(js(state, &[]))
    }

    /// So many milliseconds before or after the true moment.
    pub(crate) fn set(&self, offset: f64) {
        js("a.offset = b;", &[&self.0, &offset.into()]);
    }
}

impl Drop for Jumping {
    fn drop(&mut self) {
        js("performance.now = a.own;", &[&self.0]);
    }
}

#[wasm_bindgen_test]
async fn b26_a_clock_that_jumps_expires_what_has_a_deadline_and_loses_nothing() {
    const DAY: f64 = 86_400_000.0;
    let clock = Jumping::new();
    clock.set(DAY);
    let client = open(&WebNet, "/sink").await;
    let local = client.local().expect("its own thread");
    let mut tickets = Vec::new();
    let mut expected = Vec::new();
    for (round, offset) in [3.0 * DAY, 0.0, -DAY, f64::NAN, 1e300, 2.0 * DAY].into_iter().enumerate() {
        // It is read before it goes, and all others wait behind it.
        tickets.push((local.try_send(&blob(7, 1)).expect("room"), Outcome::HandedOver));
        expected.push(vec![7; 7]);
        let text = format!("kept {round}");
        tickets.push((client.try_send(text.clone()).expect("room"), Outcome::HandedOver));
        expected.push(text.into_bytes());
        if round == 0 {
            let within = SendOptions::new().deadline(LONG);
            tickets.push((client.try_send_with("expired", within).expect("room"), Outcome::Expired));
        }
        clock.set(offset);
        client.flushed().await.expect("open");
    }
    clock.set(2.0 * DAY);
    for (ticket, outcome) in tickets {
        assert_eq!(ticket.await, outcome);
    }
    assert_eq!(report(&client).await, Report::of(expected));
    assert_eq!(client.close(1000, "").await.expect("may be sent").code, 1000);
}

#[wasm_bindgen_test]
async fn b26_a_clock_that_goes_back_holds_up_nothing_that_waits_at_the_gate() {
    let clock = Jumping::new();
    clock.set(86_400_000.0);
    let client = WebNet
        .connect("/sink", |builder| builder.budget_bytes(16 * KIB as u64).max_bytes_per_second(1_250_000))
        .await
        .expect("it opens");
    let mut upload = Box::pin(paced(&client));
    assert!(poll_once(upload.as_mut()).await.is_pending());
    clock.set(0.0);
    assert!(upload.await, "held up");
    let within = SendOptions::new().deadline(core::time::Duration::from_millis(50));
    assert!(client.try_send(vec![0; 64 * KIB]).is_ok());
    let late = client.try_send_with(vec![0; 64 * KIB], within).expect("room");
    clock.set(-86_400_000.0);
    // What stands in front of it takes 52 ms, of the true time; it is over when it is over.
    assert!(in_time(late).await.is_some(), "neither sent nor expired");
}

/// Sends what takes a fifth of a second by its rate, and so needs timers; gives whether it went.
async fn paced(client: &Client) -> bool {
    for _ in 0..16 {
        client.send_with(vec![7; 16 * KIB], SendOptions::bulk()).await.expect("open");
    }
    in_time(client.flushed()).await.is_some_and(|flushed| flushed.is_ok())
}

/// What comes within five seconds.
async fn in_time<T>(future: impl Future<Output = T>) -> Option<T> {
    let limit = pause(5_000);
    futures_util::pin_mut!(future, limit);
    match futures_util::future::select(future, limit).await {
        futures_util::future::Either::Left((value, _)) => Some(value),
        futures_util::future::Either::Right(_) => None,
    }
}

#[wasm_bindgen_test]
async fn b23_in_a_hidden_page_a_worker_waits_and_without_one_timers_do() {
    let describe = |builder: tidegate::ClientBuilder| {
        builder.budget_bytes(16 * KIB as u64).max_bytes_per_second(1_250_000).timer_worker()
    };
    // Short timers never come while `held` is set, as if a second were for ever. In a worker nothing is hidden.
    let state = js(
        "const state = { native: setTimeout, Worker: globalThis.Worker, workers: [], short: 0, held: false };
        globalThis.setTimeout = (step, milliseconds, ...rest) => {
            if (milliseconds < 1000) state.short += 1;
            return state.held && milliseconds < 1000 ? 0 : state.native.call(globalThis, step, milliseconds, ...rest);
        };
        if (!globalThis.document) return state;
        globalThis.Worker = class extends state.Worker {
            constructor(...args) { super(...args); state.workers.push(this); }
        };
        Object.defineProperty(document, 'hidden', { configurable: true, get: () => true });
        state.held = true;
        return state;",
        &[],
    );
    let workers = || js("return a.workers.length;", &[&state]).as_f64();
    let is_page = js("return !!globalThis.document;", &[]).is_truthy();
    let client = WebNet.connect("/sink", describe).await.expect("it opens");
    assert!(paced(&client).await, "held up");
    assert_eq!(workers(), Some(f64::from(u8::from(is_page))));
    // Of those of a page none has come, whoever has set them.
    assert!(is_page || js("return a.short > 0;", &[&state]).is_truthy());
    // A policy that forbids workers is told by this event. Who waits already gets an ordinary timer.
    // Until then this one says nothing; WebKit would dispatch no event to one that was terminated.
    js("for (const worker of a.workers) worker.postMessage = () => {};", &[&state]);
    let second = WebNet.connect("/sink", describe).await.expect("it opens");
    let mut upload = Box::pin(paced(&second));
    assert!(poll_once(upload.as_mut()).await.is_pending());
    turn().await;
    js(
        "a.held = false;
        for (const worker of a.workers) worker.dispatchEvent(new ErrorEvent('error'));",
        &[&state],
    );
    assert!(upload.await, "forbidden");
    // And nobody asks for another one.
    assert!(paced(&second).await, "forbidden for ever");
    assert_eq!(workers(), Some(f64::from(u8::from(is_page))));
    js(
        "globalThis.setTimeout = a.native;
        if (!globalThis.document) return;
        for (const worker of a.workers) worker.terminate();
        globalThis.Worker = a.Worker;
        delete document.hidden;",
        &[&state],
    );
    for client in [client, second] {
        assert_eq!(client.close(1000, "").await.expect("may be sent").code, 1000);
    }
}

#[wasm_bindgen_test]
async fn b22_an_upload_goes_on_whatever_the_browser_says_of_its_buffer() {
    // What `real` is becomes what an engine makes of it.
    for shown in [
        "undefined",
        "0",
        // Chromium's steps, and the whole messages of others.
        "Math.ceil(real / 131_000) * 131_000",
        "Math.ceil(real / 65_536) * 65_536",
        // It falls late, and rarely.
        "(this.shown = performance.now() > (this.next ?? 0) ? real : Math.max(this.shown, real),
            this.next = performance.now() > (this.next ?? 0) ? performance.now() + 50 : this.next, this.shown)",
    ] {
        let spy = Spy::new();
        let client = WebNet.connect("/sink", |builder| builder.send_limits(UNBOUNDED)).await.expect("it opens");
        spy.ask(&format!(
            "const amount = Object.getOwnPropertyDescriptor(NativeWebSocket.prototype, 'bufferedAmount').get;
            Object.defineProperty(a, 'bufferedAmount', {{
                get() {{ const real = amount.call(this); return {shown}; }},
            }});
            return a.bufferedAmount ?? null;"
        ));
        let pieces = || (0..amount(256)).map(|piece| pattern(u64::from(piece), 64 * KIB));
        for piece in pieces() {
            client.try_send_with(piece, SendOptions::bulk()).expect("no bound");
        }
        client.flushed().await.expect("open");
        assert_eq!(report(&client).await, Report::of(pieces()), "{shown}");
    }
}
