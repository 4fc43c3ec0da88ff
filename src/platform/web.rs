//! Clock, timer and address base of pages, workers and Node. Nothing here needs `window`.

pub(crate) use self::application::{Timer, base_url};

#[cfg(feature = "client")]
pub(crate) mod waiter;

use core::cell::Cell;

use wasm_bindgen::prelude::*;

use crate::time::{Clock, Timestamp};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;

    #[cfg(target_feature = "atomics")]
    #[wasm_bindgen(thread_local_v2, js_namespace = performance, js_name = timeOrigin)]
    static TIME_ORIGIN: f64;
}

/// Milliseconds since the thread began.
#[cfg(not(target_feature = "atomics"))]
fn milliseconds() -> f64 {
    performance_now()
}

/// Milliseconds since a moment that all threads have in common. A page and its workers count each from its own start.
#[cfg(target_feature = "atomics")]
fn milliseconds() -> f64 {
    TIME_ORIGIN.with(|origin| *origin) + performance_now()
}

/// `performance.now()`, but that it never goes back: fake timers that an application's tests install and take away
/// again, and broken clocks, go on from where they were. What says no number stands still. With wasm threads, the others go
/// forward by as much as the clock of one of them has gone back, so that a deadline means the same on each.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WebClock;

/// What a clock of this thread has said last, and how far it has gone back in all, in microseconds.
#[derive(Clone, Copy)]
struct Shown {
    micros: i64,
    back: i64,
}

thread_local! {
    static SHOWN: Cell<Shown> = const { Cell::new(Shown { micros: 0, back: 0 }) };
}

impl Shown {
    /// What is taken for no clock's, in microseconds: 285 years.
    const MOST: f64 = 9_007_199_254_740_992.0;

    fn then(self, micros: f64) -> Self {
        if micros.is_nan() || micros.abs() >= Self::MOST {
            return self;
        }
        #[allow(clippy::cast_possible_truncation, reason = "less than 2^53")]
        let micros = micros as i64;
        Self { micros, back: self.back.saturating_add((self.micros - micros).max(0)) }
    }
}

impl Clock for WebClock {
    fn now(&self) -> Timestamp {
        let before = SHOWN.get();
        let shown = before.then(milliseconds() * 1000.0);
        SHOWN.set(shown);
        #[cfg(not(target_feature = "atomics"))]
        let back = shown.back;
        #[cfg(target_feature = "atomics")]
        let back = back_in_all(shown.back - before.back);
        Timestamp::from_micros(shown.micros.saturating_add(back).unsigned_abs())
    }
}

/// How far the clocks of all threads have gone back, in microseconds: now `more`.
#[cfg(target_feature = "atomics")]
fn back_in_all(more: i64) -> i64 {
    use core::sync::atomic::{AtomicI64, Ordering::Relaxed};

    static BACK: AtomicI64 = AtomicI64::new(0);

    let sum = |back: i64| back.saturating_add(more);
    let (Ok(back) | Err(back)) = BACK.fetch_update(Relaxed, Relaxed, |back| Some(sum(back)));
    sum(back)
}

/// What needs `Rc`s and closures.
mod application {
    use core::cell::{Cell, RefCell};
    use std::rc::Rc;

    use wasm_bindgen::prelude::*;

    use super::WebClock;
    use super::waiter::{Number, Waiter};
    use crate::time::{Clock, Timestamp};

    #[wasm_bindgen]
    extern "C" {
        /// A number in browsers, an object in Node.
        #[wasm_bindgen(js_name = setTimeout)]
        fn set_timeout(handler: &JsValue, milliseconds: f64) -> JsValue;

        #[wasm_bindgen(js_name = clearTimeout)]
        fn clear_timeout(id: &JsValue);

        type MessageChannel;
        #[wasm_bindgen(constructor)]
        fn new() -> MessageChannel;
        #[wasm_bindgen(method, getter)]
        fn port1(this: &MessageChannel) -> Port;
        #[wasm_bindgen(method, getter)]
        fn port2(this: &MessageChannel) -> Port;

        type Port;
        #[wasm_bindgen(method, setter)]
        fn set_onmessage(this: &Port, handler: &JsValue);
        #[wasm_bindgen(method, js_name = postMessage)]
        fn post(this: &Port, message: &JsValue);
        #[wasm_bindgen(method)]
        fn close(this: &Port);
        /// Node's only: a port that is listened to would keep the process alive.
        #[wasm_bindgen(method, catch)]
        fn unref(this: &Port) -> Result<(), JsValue>;
    }

    /// Longest delay that `setTimeout` takes, in milliseconds; anything above fires at once.
    const LONGEST_DELAY: f64 = 2_147_483_647.0;

    /// One timer that can be set again and again. What it needs of the host is made when it is first needed.
    pub(crate) struct Timer {
        shared: Rc<Shared>,
        closure: RefCell<Option<Closure<dyn Fn()>>>,
        hop: RefCell<Option<Hop>>,
    }

    struct Shared {
        fire: Rc<dyn Fn()>,
        due: Cell<Option<Timestamp>>,
        /// Of `setTimeout`.
        id: Cell<Option<JsValue>>,
        /// Who waits instead of `setTimeout`, if that was asked for.
        waiter: Option<&'static Waiter>,
        /// What it waits for.
        number: Cell<Option<Number>>,
    }

    impl Shared {
        /// The moment has come, or a waiter has given up. Whoever else waits for it is taken back.
        fn come(&self) {
            self.due.set(None);
            self.clear();
            (self.fire)();
        }

        /// Nobody waits any more, but for a hop, which finds that out.
        fn clear(&self) {
            if let Some(id) = self.id.take() {
                clear_timeout(&id);
            }
            if let (Some(waiter), Some(number)) = (self.waiter, self.number.take()) {
                (waiter.forget)(number);
            }
        }
    }

    /// A way into the next task that is no timer: those have a floor of 4 ms when one sets the next, and of a
    /// second in a hidden page.
    struct Hop {
        port: Port,
        other: Port,
        _closure: Closure<dyn Fn()>,
    }

    impl Timer {
        /// A timer that is not set; `fire` is called when it is due.
        pub(crate) fn new(fire: Rc<dyn Fn()>, waiter: Option<&'static Waiter>) -> Self {
            let shared =
                Shared { fire, due: Cell::new(None), id: Cell::new(None), waiter, number: Cell::new(None) };
            Self { shared: Rc::new(shared), closure: RefCell::new(None), hop: RefCell::new(None) }
        }

        /// Sets it to `due`, or clears it. A moment that has come fires in a task of its own. A delay beyond
        /// what the platform takes fires early, after which it is set again.
        pub(crate) fn set(&self, due: Option<Timestamp>) {
            let shared = &self.shared;
            if shared.due.replace(due) == due {
                return;
            }
            shared.clear();
            let Some(due) = due else { return };
            let delay = due.saturating_since(WebClock.now());
            if delay.is_zero() {
                self.hop.borrow_mut().get_or_insert_with(|| self.new_hop()).port.post(&JsValue::NULL);
                return;
            }
            // Rounded up: a timer that fires a moment early would only be set again.
            #[allow(clippy::cast_precision_loss, reason = "clamped to 2^31 below")]
            let milliseconds = (delay.as_micros().div_ceil(1000) as f64).min(LONGEST_DELAY);
            if let Some(waiter) = shared.waiter {
                let step = shared.clone();
                let number = (waiter.wait)(milliseconds, Rc::new(move || step.come()));
                shared.number.set(number);
                if number.is_some() {
                    return;
                }
            }
            let mut closure = self.closure.borrow_mut();
            let closure = closure.get_or_insert_with(|| {
                let shared = shared.clone();
                Closure::new(move || shared.come())
            });
            shared.id.set(Some(set_timeout(closure.as_ref(), milliseconds)));
        }

        /// Sets it to the same moment once more: another may have to wait for it now.
        pub(crate) fn set_anew(&self) {
            let due = self.shared.due.get();
            self.set(None);
            self.set(due);
        }

        fn new_hop(&self) -> Hop {
            let shared = self.shared.clone();
            let closure: Closure<dyn Fn()> = Closure::new(move || {
                // A hop cannot be taken back; meanwhile the timer may have been set to another moment.
                if shared.due.get().is_some_and(|due| due <= WebClock.now()) {
                    shared.come();
                }
            });
            let channel = MessageChannel::new();
            let (port, other) = (channel.port2(), channel.port1());
            other.set_onmessage(closure.as_ref());
            // Fails where there is no such method, and nothing keeps a page alive.
            let _ = other.unref();
            Hop { port, other, _closure: closure }
        }
    }

    impl Drop for Hop {
        fn drop(&mut self) {
            self.other.set_onmessage(&JsValue::NULL);
            self.port.close();
        }
    }

    impl Drop for Timer {
        fn drop(&mut self) {
            self.set(None);
        }
    }

    /// The URL against which a page or worker resolves; `None` where there is none (Node).
    ///
    /// WHATWG HTML, API base URL: of a page its document's base, which `<base>` may have changed.
    pub(crate) fn base_url() -> Option<String> {
        let read = |object: &str, field: &str| {
            let object = js_sys::Reflect::get(&js_sys::global(), &object.into()).ok()?;
            js_sys::Reflect::get(&object, &field.into()).ok()?.as_string()
        };
        read("document", "baseURI").or_else(|| read("location", "href"))
    }
}

/// A random number, for what has to differ and not to be secret.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number below 2^53")]
pub(crate) fn random() -> u64 {
    (js_sys::Math::random() * 9_007_199_254_740_992.0) as u64
}
