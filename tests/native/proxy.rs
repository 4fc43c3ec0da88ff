//! Through an HTTP proxy of the test's own.

use std::sync::{Arc, Mutex};

use tidegate::proto::ws::TunnelError;
use tidegate::{Client, ClientBuilder, ConnectError, ProxyError, TransportError};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::suite::{LONG, text};
use crate::{block_on, own, raw};

/// A proxy that has been started, and the heads that it has read.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A proxy that answers every request with `answer`, and opens a tunnel if that begins with 200.
    async fn start(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = heads.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer, seen.clone()));
            }
        });
        Self { port, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// Serves one client of a proxy.
pub(crate) async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &'static str,
    heads: Arc<Mutex<Vec<String>>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    heads.lock().unwrap().push(head);
    if !answer.starts_with("200") {
        let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await;
        // Until the client has gone: a dropped stream with unread bytes would be reset.
        let _ = stream.read(&mut [0]).await;
        return;
    }
    let mut server = TcpStream::connect(target).await.unwrap();
    let _ = server.set_nodelay(true);
    // In two pieces, as a slow proxy does.
    stream.write_all(b"HTTP/1.1 200 Connection est").await.unwrap();
    stream.flush().await.unwrap();
    tokio::task::yield_now().await;
    stream.write_all(b"ablished\r\n\r\n").await.unwrap();
    let _ = tokio::io::copy_bidirectional(&mut stream, &mut server).await;
}

const TUNNEL: &str = "200";

fn builder(url: &str, proxy: &str) -> ClientBuilder {
    Client::builder(url).proxy(proxy).connect_within(LONG)
}

#[test]
fn b10_a_proxy_is_asked_for_a_tunnel_for_ws_too() {
    block_on(async {
        let (proxy, server) = (Proxy::start(TUNNEL).await, own::net().await);
        for (user, field) in
            [("", None), ("us%65r:p%20w@", Some("Basic dXNlcjpwIHc=")), ("user@", Some("Basic dXNlcjo="))]
        {
            let url = server.url("/echo");
            let address = format!("http://{user}127.0.0.1:{}", proxy.port);
            let client = builder(&url, &address).connect().await.unwrap();
            client.send("hello").await.unwrap();
            assert_eq!(client.recv().await, text("hello"));
            let head = proxy.heads().pop().unwrap();
            let authority = format!("127.0.0.1:{}", server.port);
            assert!(head.starts_with(&format!("CONNECT {authority} HTTP/1.1\r\n")), "{head}");
            assert_eq!(raw::field(&head, "Host"), Some(authority.as_str()));
            assert_eq!(raw::field(&head, "Proxy-Authorization"), field);
        }
    });
}

#[test]
fn b05_what_a_proxy_refuses_is_told_with_its_answer() {
    block_on(async {
        for (answer, status) in [
            ("407 No\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 6\r\n\r\nlog in", 407),
            ("403 No\r\nProxy-Authenticate: -\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 403),
            (
                "502 No\r\nProxy-Authenticate: -\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
                502,
            ),
        ] {
            let proxy = Proxy::start(answer).await;
            let connecting = builder("ws://nowhere.invalid/", &format!("http://127.0.0.1:{}/", proxy.port));
            let error = connecting.connect().await.expect_err("it must fail");
            assert!(error.refusal().is_none(), "the server has not been asked");
            let ConnectError::Failed { closed, source: Some(TransportError::Proxy(fault)) } = error else {
                panic!("{error:?}")
            };
            assert_eq!((closed.code, closed.was_clean), (1006, false));
            let refusal = fault.refusal().expect("it has answered");
            assert_eq!(refusal.status, status);
            assert!(refusal.headers.value("Proxy-Authenticate").is_some());
            assert_eq!(refusal.body.is_empty(), status == 403);
            assert!(proxy.heads().pop().unwrap().starts_with("CONNECT nowhere.invalid:80 "));
        }
    });
}

#[test]
fn b05_a_proxy_that_is_none_is_a_typed_error() {
    block_on(async {
        let port = Proxy::start("two\r\n\r\n").await.port;
        let error = builder("ws://nowhere.invalid/", &format!("http://127.0.0.1:{port}")).connect().await;
        let Err(ConnectError::Failed { source: Some(TransportError::Proxy(fault)), .. }) = error else {
            panic!("{error:?}")
        };
        assert!(matches!(fault, TunnelError::Head(_)), "{fault:?}");
        // One that is not there is told apart from a server that is not there.
        let port = raw::closed_port();
        let error = builder("ws://nowhere.invalid/", &format!("http://127.0.0.1:{port}")).connect().await;
        let Err(ConnectError::Failed { source: Some(TransportError::Connect { message, .. }), .. }) = error
        else {
            panic!("{error:?}")
        };
        assert!(message.starts_with(&format!("proxy 127.0.0.1 port {port}: ")), "{message}");
    });
}

#[test]
fn b02_wrong_urls_of_proxies_are_typed_errors() {
    block_on(async {
        let scheme = |scheme: &str| ProxyError::Scheme { scheme: scheme.into() };
        for (url, expected) in [
            ("", ProxyError::Invalid),
            ("localhost:8080", scheme("localhost")),
            ("127.0.0.1:8080", ProxyError::Invalid),
            ("socks5://127.0.0.1/", scheme("socks5")),
            ("http://127.0.0.1/path", ProxyError::Invalid),
            ("http://127.0.0.1/?query", ProxyError::Invalid),
            ("http://a%3ab:c@127.0.0.1/", ProxyError::Credentials),
            ("http://a%0d%0aX:c@127.0.0.1/", ProxyError::Credentials),
            ("http://a%ff:c@127.0.0.1/", ProxyError::Credentials),
        ] {
            // Nobody is there: an error of any other kind would mean that it was tried.
            let error = builder("ws://127.0.0.1:1/", url).connect().await.err();
            assert_eq!(error, Some(ConnectError::Proxy(expected)), "{url}");
        }
        if !cfg!(feature = "tls") {
            let error = builder("ws://127.0.0.1:1/", "https://127.0.0.1/").connect().await.err();
            assert_eq!(error, Some(ConnectError::NoTls));
        }
    });
}

#[test]
fn a_builder_does_not_show_the_password_of_its_proxy() {
    let builder = builder("ws://127.0.0.1/", "http://user:secret@127.0.0.1/");
    assert!(!format!("{builder:?}").contains("secret"));
}

#[cfg(feature = "tls")]
#[test]
fn b10_tls_is_spoken_inside_the_tunnel_and_with_the_proxy_if_it_wants_it() {
    use crate::tls::Issuer;

    block_on(async {
        let (issuer, plain, heads) = (Issuer::new(), Proxy::start(TUNNEL).await, Arc::default());
        let server = crate::tls::net_of(&issuer).await;
        // A proxy behind TLS.
        let acceptor = issuer.local_server();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let secure = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<String>>> = heads;
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let stream = acceptor.accept(stream).await.unwrap();
                tokio::spawn(serve(stream, TUNNEL, seen.clone()));
            }
        });
        for proxy in [format!("http://127.0.0.1:{}", plain.port), format!("https://127.0.0.1:{secure}")] {
            let url = format!("wss://127.0.0.1:{}/echo", server.port);
            let client = builder(&url, &proxy).tls(issuer.trusted()).connect().await.unwrap();
            client.send("hello").await.unwrap();
            assert_eq!(client.recv().await, text("hello"), "{proxy}");
            assert!(client.close(1000, "").await.unwrap().was_clean);
        }
        assert!(plain.heads().pop().unwrap().starts_with(&format!("CONNECT 127.0.0.1:{} ", server.port)));
    });
}
