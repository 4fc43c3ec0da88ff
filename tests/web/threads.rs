//! Handles on another wasm thread than the connection's: a worker with the same module and memory.
//!
//! Only in builds for wasm threads, which `cargo xtask test --full` makes.

use core::time::Duration;
use std::sync::Mutex;

use tidegate::{SendOptions, Sender};
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::WebNet;
use crate::pacing::Jumping;
use crate::page::{js, settled, turn};
use crate::suite::open;

/// What the other thread is to send by.
static HANDED: Mutex<Option<Sender>> = Mutex::new(None);

/// How many messages each thread sends.
const COUNT: u32 = 5_000;

/// Sends, on whichever thread it is called. Returns how many messages had room. The first is worth nothing after
/// `milliseconds`.
#[wasm_bindgen(js_name = sendOnThisThread)]
#[allow(unreachable_pub, reason = "wasm-bindgen asks for it")]
pub fn send_on_this_thread(milliseconds: f64) -> u32 {
    let sender = HANDED.lock().unwrap().take().expect("handed over");
    let options = |number| match number {
        0 => SendOptions::new().deadline(Duration::from_secs_f64(milliseconds / 1000.0)),
        _ => SendOptions::new(),
    };
    let send = |number| sender.try_send_with(format!("other {number}"), options(number));
    (0..COUNT).map(|number| u32::from(send(number).is_ok())).sum()
}

/// Calls [`send_on_this_thread`] in a worker; the promise is of what it returns. The deadline is half of the page's
/// age: it would have passed by the worker's own clock, which began later.
fn call_in_a_worker() -> JsValue {
    js(
        "const script = `
            import init, { sendOnThisThread } from '${location.origin}/wasm-bindgen-test';
            onmessage = async ({ data }) => {
                await init(data);
                postMessage(sendOnThisThread(data.age / 2));
            };
            postMessage('ready');`;
        const url = URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
        const worker = new Worker(url, { type: 'module' });
        return new Promise((resolve, reject) => {
            worker.onerror = (event) => reject(event.message);
            worker.onmessage = ({ data }) => {
                if (data === 'ready') return worker.postMessage({ module_or_path: a, memory: b, age: performance.now() });
                worker.terminate();
                URL.revokeObjectURL(url);
                resolve(data);
            };
        });",
        &[&wasm_bindgen::module(), &wasm_bindgen::memory()],
    )
}

#[wasm_bindgen_test]
async fn b27_threads_that_send_at_once_lose_nothing() {
    // This thread has taken the clock for a day later, and so it stays. The other one comes to be as late.
    let clock = Jumping::new();
    clock.set(86_400_000.0);
    drop(open(&WebNet, "/echo").await);
    drop(clock);
    let client = open(&WebNet, "/echo").await;
    let (sender, receiver) = client.split();
    *HANDED.lock().unwrap() = Some(sender.clone());
    let worker = call_in_a_worker();
    let here = async {
        for number in 0..COUNT {
            drop(sender.send(format!("here {number}")).await.expect("open"));
            if number % 50 == 0 {
                turn().await;
            }
        }
    };
    let echoes = async {
        let (mut here, mut other, mut ended) = (0, 0, 0);
        while ended < 2 {
            let text = receiver.recv().await.expect("open").into_text().expect("a text");
            let (thread, number) = text.split_once(' ').expect("as sent");
            let next = if thread == "here" { &mut here } else { &mut other };
            // Each thread's messages in its own order.
            *next += u32::from(number == next.to_string());
            ended += u32::from(number == (COUNT - 1).to_string());
        }
        assert_eq!((here, other), (COUNT, COUNT));
    };
    futures_util::future::join(here, echoes).await;
    assert_eq!(settled(worker).await.expect("it runs").as_f64(), Some(f64::from(COUNT)));
}
