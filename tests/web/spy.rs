//! A `WebSocket` that notes what is done to it, in the place of the browser's own.

use wasm_bindgen::prelude::*;

use crate::page::js;

/// While it lives, every WebSocket that is opened is watched.
pub(crate) struct Spy {
    state: JsValue,
}

impl Spy {
    pub(crate) fn new() -> Self {
        let state = js(
            "// A test that has panicked has not put the browser's own back.
            const Native = (globalThis.NativeWebSocket ??= globalThis.WebSocket);
            const state = { Native, sockets: [], errors: [] };
            state.note = (event) => state.errors.push(String(event.message ?? event.reason ?? event.type));
            globalThis.addEventListener('error', state.note);
            globalThis.addEventListener('unhandledrejection', state.note);
            globalThis.WebSocket = class extends Native {
                constructor(...args) {
                    super(...args);
                    Object.assign(this, { args, listeners: 0, dispatched: 0, closes: [], types: [], seen: [] });
                    for (const kind of ['open', 'message', 'error', 'close']) {
                        super.addEventListener(kind, (event) => this.seen.push(event.type));
                    }
                    state.sockets.push(this);
                }
                get binaryType() { return super.binaryType; }
                set binaryType(type) { this.types.push([type, this.readyState]); super.binaryType = type; }
                addEventListener(...args) { this.listeners += 1; super.addEventListener(...args); }
                removeEventListener(...args) { this.listeners -= 1; super.removeEventListener(...args); }
                dispatchEvent(event) { this.dispatched += 1; return super.dispatchEvent(event); }
                close(...args) { this.closes.push(args); super.close(...args); }
            };
            return state;",
            &[],
        );
        Self { state }
    }

    /// Runs JavaScript with the last socket as `a` and `argument` as `b`.
    pub(crate) fn ask_with(&self, body: &str, argument: &JsValue) -> JsValue {
        let socket = js("return a.sockets.at(-1);", &[&self.state]);
        js(body, &[&socket, argument])
    }

    /// Runs JavaScript with the last socket as `a`; gives what it returns, as JSON.
    pub(crate) fn ask(&self, body: &str) -> String {
        let answer = self.ask_with(body, &JsValue::UNDEFINED);
        String::from(js_sys::JSON::stringify(&answer).expect("plain data"))
    }

    /// How many sockets were opened.
    pub(crate) fn sockets(&self) -> usize {
        let sockets = js("return a.sockets;", &[&self.state]);
        sockets.unchecked_into::<js_sys::Array>().iter().count()
    }

    /// Uncaught errors and unhandled rejections so far, as JSON.
    pub(crate) fn errors(&self) -> String {
        String::from(js_sys::JSON::stringify(&js("return a.errors;", &[&self.state])).expect("plain data"))
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        js(
            "globalThis.WebSocket = a.Native;
            globalThis.removeEventListener('error', a.note);
            globalThis.removeEventListener('unhandledrejection', a.note);",
            &[&self.state],
        );
    }
}
