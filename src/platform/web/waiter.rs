//! A worker that does nothing but wait: the timers of a hidden page come once a second, and after five minutes once a
//! minute, in Chromium and Firefox alike; those of a worker are not held up.
//!
//! One for each thread, made when the page is hidden for the first time while something is waited for.

use core::cell::RefCell;
use std::rc::Rc;

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    type Worker;
    #[wasm_bindgen(constructor, catch)]
    fn new(url: &str) -> Result<Worker, JsValue>;
    #[wasm_bindgen(method, setter)]
    fn set_onmessage(this: &Worker, handler: &JsValue);
    #[wasm_bindgen(method, setter)]
    fn set_onerror(this: &Worker, handler: &JsValue);
    #[wasm_bindgen(method, js_name = postMessage)]
    fn post(this: &Worker, message: &JsValue);

    type Document;
    /// There is none in workers, whose timers nobody holds up.
    #[wasm_bindgen(thread_local_v2, js_name = document)]
    static DOCUMENT: Option<Document>;
    #[wasm_bindgen(method, getter)]
    fn hidden(this: &Document) -> bool;
    #[wasm_bindgen(method, js_name = addEventListener)]
    fn listen(this: &Document, kind: &str, handler: &JsValue);
}

/// What the worker does: it answers each pair of a number and milliseconds with the number, that much later.
const SCRIPT: &str =
    "onmessage = ({ data: [id, milliseconds] }) => setTimeout(postMessage, milliseconds, id);";

type Step = Rc<dyn Fn()>;

/// By what a waiter knows a step: a whole number, which JavaScript gives back.
pub(crate) type Number = f64;

/// Who waits instead of `setTimeout`. Functions behind a reference, so that a program that never names
/// [`WORKER`] does not link it.
#[derive(Debug)]
pub(crate) struct Waiter {
    /// Calls the step after so many milliseconds, or earlier if it cannot wait any more. `None` if it will not.
    pub(crate) wait: fn(f64, Step) -> Option<Number>,
    /// Does not call it any more.
    pub(crate) forget: fn(Number),
    /// Calls the function whenever `wait` may decide otherwise than before, in this thread from now on.
    pub(crate) watch: fn(fn()),
}

/// A worker, if the page is hidden and may have one.
pub(crate) static WORKER: Waiter = Waiter { wait, forget, watch };

thread_local! {
    static STATE: RefCell<State> =
        const { RefCell::new(State { worker: Made::NotYet, waiting: Vec::new(), last: 0, is_watching: false }) };
}

enum Made {
    NotYet,
    Worker(Worker),
    /// The page's policy allows none, or the browser has none.
    Never,
}

struct State {
    worker: Made,
    /// As many as there are connections, at most.
    waiting: Vec<(Number, Step)>,
    last: u32,
    is_watching: bool,
}

fn wait(milliseconds: f64, step: Step) -> Option<Number> {
    // However long: after five minutes ordinary timers are up to a minute late.
    if !is_hidden() {
        return None;
    }
    STATE.with_borrow_mut(|state| {
        if let Made::NotYet = state.worker {
            state.worker = start().map_or(Made::Never, Made::Worker);
        }
        let Made::Worker(worker) = &state.worker else { return None };
        state.last = state.last.wrapping_add(1);
        let number = state.last.into();
        state.waiting.push((number, step));
        worker.post(&js_sys::Array::of2(&number.into(), &milliseconds.into()));
        Some(number)
    })
}

/// The worker goes on waiting, and answers to nobody.
fn forget(number: Number) {
    drop(take(Some(number)));
}

fn take(number: Option<Number>) -> Option<Step> {
    // `try_with`: a timer may be dropped while the thread's locals are.
    STATE
        .try_with(|state| {
            let waiting = &mut state.borrow_mut().waiting;
            let at = waiting.iter().position(|entry| Some(entry.0) == number)?;
            Some(waiting.swap_remove(at).1)
        })
        .ok()
        .flatten()
}

fn is_hidden() -> bool {
    DOCUMENT.with(|document| document.as_ref().is_some_and(Document::hidden))
}

/// The page is hidden, or seen again.
fn watch(changed: fn()) {
    if STATE.with_borrow_mut(|state| core::mem::replace(&mut state.is_watching, true)) {
        return;
    }
    DOCUMENT.with(|document| {
        if let Some(document) = document {
            document.listen("visibilitychange", &Closure::<dyn Fn()>::new(changed).into_js_value());
        }
    });
}

/// It lives as long as its thread, and so do its handlers and its URL.
fn start() -> Option<Worker> {
    let options = web_sys::BlobPropertyBag::new();
    options.set_type("text/javascript");
    let script =
        web_sys::Blob::new_with_str_sequence_and_options(&js_sys::Array::of1(&SCRIPT.into()), &options);
    let url = web_sys::Url::create_object_url_with_blob(&script.ok()?).ok()?;
    let worker = Worker::new(&url).ok()?;
    let answered = Closure::<dyn Fn(JsValue)>::new(|event: JsValue| {
        let data = js_sys::Reflect::get(&event, &"data".into()).ok();
        // Called after the borrow: it may wait again.
        if let Some(step) = take(data.and_then(|data| data.as_f64())) {
            step();
        }
    });
    worker.set_onmessage(&answered.into_js_value());
    // A policy that forbids it (`worker-src` without `blob:`) is told here, after the constructor. Those who wait are
    // early then, and wait anew by ordinary timers.
    let failed = Closure::<dyn Fn()>::new(|| {
        let steps = STATE.with_borrow_mut(|state| {
            state.worker = Made::Never;
            core::mem::take(&mut state.waiting)
        });
        for (_, step) in steps {
            step();
        }
    });
    worker.set_onerror(&failed.into_js_value());
    Some(worker)
}
