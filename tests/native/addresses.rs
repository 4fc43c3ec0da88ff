//! URLs, and builds that cannot connect.

use tidegate::{Client, ConnectError, UrlError};

use crate::block_on;
use crate::foreign::net;
use crate::suite::text;

fn error(builder: tidegate::ClientBuilder) -> ConnectError {
    block_on(builder.connect()).expect_err("it must fail")
}

fn url_error(url: &str) -> UrlError {
    match error(Client::builder(url)) {
        ConnectError::Url(error) => error,
        other => panic!("{url}: {other:?}"),
    }
}

#[test]
fn b02_wrong_urls_are_typed_errors() {
    for url in ["ws://127.0.0.1/#", "ws://127.0.0.1/path#part", "http://127.0.0.1/?a=b#c"] {
        assert_eq!(url_error(url), UrlError::Fragment, "{url}");
    }
    for (url, scheme) in
        [("ftp://a/", "ftp"), ("file:///a", "file"), ("data:text,a", "data"), ("wsx://a/", "wsx")]
    {
        assert_eq!(url_error(url), UrlError::Scheme { scheme: scheme.into() }, "{url}");
    }
    for url in ["ws://", "ws://a b/", "ws://a:99999/", "http://[::1/"] {
        assert_eq!(url_error(url), UrlError::Invalid { url: url.into() }, "{url}");
    }
    for url in ["/path", "//host/path", "path", ""] {
        assert_eq!(url_error(url), UrlError::NoBase { url: url.into() }, "{url}");
    }
    // There may be secrets in it, whose end nobody knows who cannot read it.
    for (url, shown) in [
        ("ws://user:secret@a:99999/path?token=secret", "a:99999/path"),
        ("ws://user:secret/secret@a/#secret", "a/"),
        ("ws://user:@secret@:99999", ":99999"),
        ("ws://user:sec?ret@a", ""),
        ("ws://user:sec#ret@a", ""),
        // A password that is no text.
        ("ws://user:secret%ff@a/?secret", "a/"),
    ] {
        assert_eq!(url_error(url), UrlError::Invalid { url: shown.into() }, "{url}");
    }
    for (url, shown) in
        [("/path?token=secret", "/path"), ("//user:secret@host/?secret", "host/"), ("?secret", "")]
    {
        assert_eq!(url_error(url), UrlError::NoBase { url: shown.into() }, "{url}");
    }
}

#[test]
fn neither_a_builder_nor_a_client_shows_what_may_be_secret_in_an_address() {
    let port = net().port;
    let url = format!("ws://user:secret@127.0.0.1:{port}/echo?token=secret");
    let builder = Client::builder(&url).base("ws://user:secret@elsewhere/path?secret");
    let shown = format!("{builder:?}");
    assert!(!shown.contains("secret") && shown.contains("elsewhere/path"), "{shown}");
    let client = block_on(builder.connect()).unwrap();
    let shown = format!("{client:?}");
    assert!(!shown.contains("secret") && shown.contains(&format!("127.0.0.1:{port}/echo")), "{shown}");
    assert_eq!(client.url(), url);
}

#[test]
fn b02_relative_urls_resolve_against_the_base() {
    block_on(async {
        let port = net().port;
        for (base, url) in [
            (format!("ws://127.0.0.1:{port}/a/b?c"), "/echo"),
            (format!("http://127.0.0.1:{port}/a/b"), "../echo"),
            ("https://elsewhere/".to_owned(), &format!("//127.0.0.1:{port}/echo")[..]),
            ("http://elsewhere/".to_owned(), &format!("http://127.0.0.1:{port}/echo")),
        ] {
            let result = Client::builder(url).base(base.clone()).connect().await;
            // The server does not speak TLS, and a build without it says so at once.
            if base.starts_with("https") {
                let error = result.expect_err("it must fail");
                if cfg!(feature = "tls") {
                    assert!(matches!(error, ConnectError::Failed { source: Some(_), .. }), "{error:?}");
                } else {
                    assert_eq!(error, ConnectError::NoTls);
                }
                continue;
            }
            let client = result.unwrap();
            assert_eq!(client.url(), format!("ws://127.0.0.1:{port}/echo"));
            client.send("hello").await.unwrap();
            assert_eq!(client.recv().await, text("hello"));
        }
    });
}

#[test]
fn b02_path_and_query_are_sent_as_they_are() {
    block_on(async {
        let closing = Client::builder(format!("ws://127.0.0.1:{}/close?reason=a%20b&code=4001", net().port));
        let closed = closing.connect().await.unwrap().closed().await;
        assert_eq!((closed.code, closed.reason.as_str()), (4001, "a%20b"));
        // A name instead of an address.
        let client = Client::builder(format!("ws://localhost:{}/echo", net().port)).connect().await.unwrap();
        client.send("hello").await.unwrap();
        assert_eq!(client.recv().await, text("hello"));
    });
}

#[test]
fn b40_without_a_runtime_connect_is_a_typed_error() {
    use futures_util::FutureExt as _;
    let connecting = Client::builder("ws://127.0.0.1:1/").connect();
    assert_eq!(connecting.now_or_never().expect("at once").err(), Some(ConnectError::NoRuntime));
}
