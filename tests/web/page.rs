//! Small helpers of the page or worker that the tests run in.

use js_sys::{Array, Function, Promise, Uint8Array};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

/// Runs JavaScript with arguments named `a`, `b`, `c`; gives what it returns.
pub(crate) fn js(body: &str, arguments: &[&JsValue]) -> JsValue {
    let arguments: Array = arguments.iter().copied().collect();
    let function = Function::new_with_args("a, b, c", body);
    function.apply(&JsValue::UNDEFINED, &arguments).unwrap_or_else(|thrown| panic!("{body}: {thrown:?}"))
}

/// Waits for a promise.
pub(crate) async fn settled(promise: JsValue) -> Result<JsValue, JsValue> {
    JsFuture::from(promise.unchecked_into::<Promise>()).await
}

/// Waits for one task of the event loop.
pub(crate) async fn turn() {
    let promise = js(
        "return new Promise((resolve) => {
            const { port1, port2 } = new MessageChannel();
            port1.onmessage = () => { port1.close(); resolve(); };
            port2.postMessage(0);
        });",
        &[],
    );
    settled(promise).await.expect("it is never rejected");
}

/// The size of the wasm memory in bytes. It never shrinks.
pub(crate) fn wasm_memory() -> u64 {
    let memory = wasm_bindgen::memory().unchecked_into::<js_sys::WebAssembly::Memory>();
    let buffer = memory.buffer().unchecked_into::<js_sys::ArrayBuffer>();
    u64::from(buffer.byte_length())
}

/// A Blob of `pieces` times `bytes`, each piece filled with the same bytes.
pub(crate) fn blob(bytes: u32, pieces: u32) -> JsValue {
    js(
        "const piece = new Blob([new Uint8Array(a).fill(7)]);
        return new Blob(Array.from({ length: b }, () => piece));",
        &[&bytes.into(), &pieces.into()],
    )
}

/// The bytes of a JavaScript Blob.
pub(crate) async fn bytes_of(blob: &JsValue) -> Vec<u8> {
    let buffer = settled(js("return a.arrayBuffer();", &[blob])).await.expect("it can be read");
    Uint8Array::new(&buffer).to_vec()
}
