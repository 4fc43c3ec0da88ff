//! Every `WebSocketStream` of the page, watched.

use wasm_bindgen::prelude::*;

use crate::page::{js, turn};

/// While it lives, every stream that is opened is watched; and uncaught errors and unhandled rejections, wherever
/// they come from.
pub(super) struct StreamSpy {
    state: JsValue,
}

impl StreamSpy {
    pub(super) fn new() -> Self {
        let state = js(
            "const Native = (globalThis.NativeWebSocketStream ??= globalThis.WebSocketStream);
            const state = { Native, streams: [], errors: [] };
            state.note = (event) => state.errors.push(String(event.message ?? event.reason ?? event.type));
            globalThis.addEventListener('error', state.note);
            globalThis.addEventListener('unhandledrejection', state.note);
            globalThis.WebSocketStream = class extends Native {
                constructor(url, options) {
                    super(url, options);
                    Object.assign(this, { options, closes: [], ended: null });
                    const note = (how) => (info) => { this.ended = [how, info?.closeCode ?? info?.name]; };
                    this.closed.then(note('clean'), note('failed'));
                    state.streams.push(this);
                }
                close(...args) { this.closes.push(args); super.close(...args); }
            };
            return state;",
            &[],
        );
        Self { state }
    }

    /// Runs JavaScript with the last stream as `a`; gives what it returns, as JSON.
    pub(super) fn ask(&self, body: &str) -> String {
        String::from(js_sys::JSON::stringify(&js(body, &[&self.last()])).expect("plain data"))
    }

    /// The last stream.
    pub(super) fn last(&self) -> JsValue {
        js("return a.streams.at(-1);", &[&self.state])
    }

    /// Waits until the browser says that the last stream is over.
    pub(super) async fn ended(&self) -> String {
        while self.ask("return a.ended;") == "null" {
            turn().await;
        }
        self.ask("return a.ended;")
    }

    /// Uncaught errors and unhandled rejections so far, as JSON.
    pub(super) fn errors(&self) -> String {
        String::from(js_sys::JSON::stringify(&js("return a.errors;", &[&self.state])).expect("plain data"))
    }
}

impl Drop for StreamSpy {
    fn drop(&mut self) {
        js(
            "globalThis.WebSocketStream = a.Native;
            globalThis.removeEventListener('error', a.note);
            globalThis.removeEventListener('unhandledrejection', a.note);",
            &[&self.state],
        );
    }
}
