//! URLs in a page or worker.

use core::pin::pin;

use tidegate::{Client, ClientBuilder, ConnectError, UrlError};
use wasm_bindgen_test::wasm_bindgen_test;

use crate::page::js;
use crate::spy::Spy;
use crate::suite::poll_once;

async fn url_error(builder: ClientBuilder) -> UrlError {
    let words = format!("{builder:?}");
    match builder.connect().await {
        Err(ConnectError::Url(error)) => error,
        other => panic!("{other:?} of {words}"),
    }
}

#[wasm_bindgen_test]
async fn b02_wrong_urls_are_typed_errors_before_the_constructor_is_called() {
    let spy = Spy::new();
    for url in ["ws://127.0.0.1/#", "ws://127.0.0.1/path#part", "/path#part", "http://127.0.0.1/?a=b#c"] {
        assert_eq!(url_error(Client::builder(url)).await, UrlError::Fragment, "{url}");
    }
    for (url, scheme) in
        [("ftp://a/", "ftp"), ("file:///a", "file"), ("data:text,a", "data"), ("wsx://a/", "wsx")]
    {
        assert_eq!(url_error(Client::builder(url)).await, UrlError::Scheme { scheme: scheme.into() });
    }
    for url in ["ws://", "ws://a:99999/", "http://[::1/"] {
        assert_eq!(url_error(Client::builder(url)).await, UrlError::Invalid { url: url.into() }, "{url}");
    }
    assert_eq!(spy.sockets(), 0);
}

#[wasm_bindgen_test]
async fn b02_relative_urls_resolve_against_the_page_or_worker() {
    let here = js("return location.origin.replace(/^http/, 'ws');", &[]).as_string().expect("text");
    let own = here.clone();
    let other = "ws://127.0.0.1:47356";
    for (url, base, expected) in [
        ("/path?query", None, format!("{own}/path?query")),
        ("http://127.0.0.1:47356/a", None, format!("{other}/a")),
        ("https://127.0.0.1:47356/a", None, "wss://127.0.0.1:47356/a".to_owned()),
        ("//127.0.0.1:47356/a", None, format!("{other}/a")),
        ("../b", Some("http://127.0.0.1:47356/a/c/d"), format!("{other}/a/b")),
    ] {
        let spy = Spy::new();
        let mut builder = Client::builder(url);
        if let Some(base) = base {
            builder = builder.base(base);
        }
        let connecting = pin!(builder.connect());
        assert!(poll_once(connecting).await.is_pending());
        assert_eq!(spy.ask("return a.args[0];"), format!("{expected:?}"));
    }
}

#[wasm_bindgen_test]
async fn b02_a_base_element_of_the_page_counts() {
    let base = js(
        "return globalThis.document && document.head.appendChild(
            Object.assign(document.createElement('base'), { href: 'http://127.0.0.1:47356/deep/page' }));",
        &[],
    );
    if base.is_undefined() {
        // A worker has no elements, and so no other base than its own address.
        return;
    }
    let spy = Spy::new();
    assert!(poll_once(pin!(Client::builder("live").connect())).await.is_pending());
    assert_eq!(spy.ask("return a.args[0];"), "\"ws://127.0.0.1:47356/deep/live\"");
    js("a.remove();", &[&base]);
}

#[wasm_bindgen_test]
async fn b03_a_relative_url_has_no_base_in_a_worker_made_from_a_blob() {
    for url in ["/path", "path", "//host/path", ""] {
        let builder = Client::builder(url).base("blob:http://127.0.0.1:47356/6e1b8e2e");
        assert_eq!(url_error(builder).await, UrlError::NoBase { url: url.into() }, "{url}");
    }
}
