//! A route of axum with both kinds of clients on it: who is let in, and how it ends.

use core::net::SocketAddr;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
#[cfg(feature = "v1")]
use tidegate::TidegateOptions;
#[cfg(feature = "v1")]
use tidegate::server::AcceptOptions;
use tidegate::server::axum::{Endpoint, Origins, WithoutOrigin, upgrade};
use tidegate::server::{ConnectionLimits, Connections};
use tidegate::{Client, ClientBuilder, ConnectError, Message};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::block_on;

const PAGE: &str = "https://example.com";

fn origins(without: WithoutOrigin) -> Origins {
    Origins::new([PAGE, "http://localhost:3000"], without).unwrap()
}

/// What lets everybody in.
fn open() -> Endpoint {
    Endpoint::new(origins(WithoutOrigin::Accept))
}

/// Sends back what comes on the connection, and on each channel.
async fn echo<U>(client: Client, _: U) {
    #[cfg(feature = "v1")]
    {
        let mut channels = client.channels();
        tokio::spawn(async move {
            while let Some(channel) = channels.accept().await {
                tokio::spawn(async move {
                    while let Some(message) = channel.recv().await {
                        let _ = channel.send(message).await;
                    }
                });
            }
        });
    }
    while let Some(message) = client.recv().await {
        let _ = client.send(message).await;
    }
}

/// A server with this at `/live`; gives its address.
async fn serve(app: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

async fn serve_endpoint<U: Send + 'static>(endpoint: Endpoint<U>) -> SocketAddr {
    serve(Router::new().route("/live", any(upgrade(endpoint, echo)))).await
}

fn builder(address: SocketAddr) -> ClientBuilder {
    Client::builder(format!("ws://{address}/live"))
}

async fn echoes(client: &Client) {
    client.send("text").await.unwrap();
    assert_eq!(client.recv().await, Some("text".into()));
    client.send(vec![7; 100_000]).await.unwrap();
    assert!(client.recv().await == Some(Message::from(vec![7; 100_000])));
}

/// The status and body with which a client was refused.
fn refused(connected: Result<Client, ConnectError>) -> (u16, String) {
    let error = connected.unwrap_err();
    let refusal = error.refusal().unwrap_or_else(|| panic!("{error:?}"));
    (refusal.status, String::from_utf8(refusal.body.clone()).unwrap())
}

/// Says this and gives the first of what comes back, until the server ends or `enough` of it is there.
async fn say(address: SocketAddr, bytes: &[u8], enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut heard = Vec::new();
    while !enough(&heard) && stream.read_buf(&mut heard).await.unwrap() > 0 {}
    heard
}

fn request(line: &str, fields: &[&str]) -> Vec<u8> {
    format!("{line}\r\nHost: x\r\n{}\r\n\r\n", fields.join("\r\n")).into_bytes()
}

const FIELDS: [&str; 4] = [
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
];

/// Those of a good request with one of them replaced.
fn fields_with(at: usize, field: &'static str) -> Vec<u8> {
    let mut fields = FIELDS;
    fields[at] = field;
    request("GET /live HTTP/1.1", &fields)
}

#[cfg(feature = "v1")]
#[test]
fn b31_who_is_let_in_only_to_be_told_why_not_learns_it_in_both_modes() {
    use tidegate::Mode;

    block_on(async {
        let tells = async |client: Client, (): ()| {
            let _ = client.close(1000, "log in first").await;
        };
        let address = serve(Router::new().route("/live", any(upgrade(open(), tells)))).await;
        for mode in [Mode::Plain, Mode::Tidegate, Mode::Auto] {
            // The close may come before the session has begun.
            let closed = match builder(address).mode(mode).connect().await {
                Ok(client) => client.closed().await,
                Err(ConnectError::Failed { closed, .. }) => closed,
                Err(error) => panic!("{mode:?}: {error:?}"),
            };
            assert_eq!((closed.code, closed.reason.as_str()), (1000, "log in first"), "{mode:?}");
        }
    });
}

#[cfg(feature = "v1")]
#[test]
fn plain_and_tidegate_clients_are_served_on_one_route() {
    use tidegate::{ChannelOptions, Mode};

    block_on(async {
        let address = serve_endpoint(open().subprotocols(["chat.v2", "chat.v3"])).await;
        for (offered, chosen) in [
            (&[][..], ""),
            (&["chat.v3", "chat.v2"][..], "chat.v3"),
            (&["chat.v1", "chat.v2"][..], "chat.v2"),
        ] {
            let builder = offered.iter().fold(builder(address), |builder, name| builder.subprotocol(*name));
            let client = builder.connect().await.unwrap();
            assert_eq!((client.mode(), client.protocol().as_str()), (Mode::Plain, chosen));
            echoes(&client).await;
        }
        for mode in [Mode::Tidegate, Mode::Auto] {
            let client = builder(address).mode(mode).subprotocol("chat.v2").connect().await.unwrap();
            assert_eq!((client.mode(), client.protocol().as_str()), (Mode::Tidegate, "tidegate.v1"));
            echoes(&client).await;
            let channel = client.channel("photos", ChannelOptions::bulk()).await.unwrap();
            channel.send(vec![9; 900_000]).await.unwrap();
            client.send("in between").await.unwrap();
            assert_eq!(client.recv().await, Some("in between".into()));
            assert!(channel.recv().await == Some(vec![9; 900_000].into()));
        }
        // With the mode switched off the offer means nothing.
        let mut options = tidegate::server::AcceptOptions::default();
        options.tidegate = None;
        let address = serve_endpoint(open().subprotocols(["chat.v2"]).options(options)).await;
        let client = builder(address).mode(Mode::Auto).subprotocol("chat.v2").connect().await.unwrap();
        assert_eq!((client.mode(), client.protocol().as_str()), (Mode::Plain, "chat.v2"));
        echoes(&client).await;
    });
}

#[test]
fn a_foreign_client_is_served() {
    block_on(async {
        let address = serve_endpoint(open()).await;
        let thread = tokio::task::spawn_blocking(move || {
            let (mut socket, response) = tungstenite::connect(format!("ws://{address}/live")).unwrap();
            assert_eq!(response.status(), 101);
            let message = tungstenite::Message::text("hello");
            socket.send(message.clone()).unwrap();
            assert_eq!(socket.read().unwrap(), message);
            socket.close(None).unwrap();
            while socket.read().is_ok() {}
        });
        thread.await.unwrap();
    });
}

#[test]
fn only_the_pages_of_the_list_are_let_in() {
    block_on(async {
        for without in [WithoutOrigin::Accept, WithoutOrigin::Refuse] {
            let address = serve_endpoint(Endpoint::new(origins(without))).await;
            let client = builder(address).header("Origin", PAGE).connect().await.unwrap();
            echoes(&client).await;
            for other in ["https://evil.example", "http://example.com", "https://example.com.evil.example"] {
                let connected = builder(address).header("Origin", other).connect().await;
                assert_eq!(refused(connected), (403, "the origin is not allowed\n".into()), "{other}");
            }
            let connected = builder(address).connect().await;
            match without {
                WithoutOrigin::Accept => echoes(&connected.unwrap()).await,
                WithoutOrigin::Refuse => assert_eq!(refused(connected).0, 403),
            }
        }
        let address = serve_endpoint(Endpoint::new(Origins::any(WithoutOrigin::Refuse))).await;
        echoes(&builder(address).header("Origin", "https://evil.example").connect().await.unwrap()).await;
    });
}

#[test]
fn authentication_sees_the_head_and_decides() {
    block_on(async {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        let endpoint = open().authenticate(move |head| {
            count.fetch_add(1, Ordering::Relaxed);
            async move {
                tokio::task::yield_now().await;
                let token = head.headers.get("Authorization").and_then(|value| value.to_str().ok());
                if let (Some("Bearer abc"), Some(room)) = (token, head.uri.query()) {
                    return Ok(room.to_owned());
                }
                let challenge = [("WWW-Authenticate", "Bearer")];
                Err((StatusCode::UNAUTHORIZED, challenge, "who are you?").into_response())
            }
        });
        let greet = |client: Client, room: String| async move {
            let _ = client.send(format!("welcome to {room}")).await;
        };
        let address = serve(Router::new().route("/live", get(upgrade(endpoint, greet)))).await;
        let builder = || Client::builder(format!("ws://{address}/live?attic"));
        let client = builder().header("Authorization", "Bearer abc").connect().await.unwrap();
        assert_eq!(client.recv().await, Some("welcome to attic".into()));
        // The handler has returned, and with it its handle.
        assert_eq!(client.closed().await.code, 1000);
        let error = builder().header("Authorization", "Bearer xyz").connect().await.unwrap_err();
        let refusal = error.refusal().unwrap();
        assert_eq!((refusal.status, refusal.body.as_slice()), (401, &b"who are you?"[..]));
        assert_eq!(refusal.headers.text("WWW-Authenticate"), Some("Bearer"));
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        // Nobody is asked about a page that may not connect.
        let connected = builder().header("Origin", "https://evil.example").connect().await;
        assert_eq!(refused(connected).0, 403);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    });
}

#[test]
fn an_own_handler_has_other_extractors_beside() {
    #[derive(Clone)]
    struct App {
        endpoint: Arc<Endpoint>,
        name: &'static str,
    }

    async fn live(State(app): State<App>, request: Request) -> Response {
        let name = app.name;
        let greet = move |client: Client, ()| async move {
            let _ = client.send(name).await;
        };
        app.endpoint.upgrade(request, greet).await
    }

    block_on(async {
        let app = App { endpoint: Arc::new(open()), name: "gate" };
        let address = serve(Router::new().route("/live", get(live)).with_state(app)).await;
        let client = builder(address).connect().await.unwrap();
        assert_eq!(client.recv().await, Some("gate".into()));
    });
}

#[test]
fn a_bad_request_is_answered_as_it_deserves_and_takes_no_place() {
    block_on(async {
        let connections = Connections::default();
        let address = serve_endpoint(open().connections(&connections)).await;
        for (bytes, status, field) in [
            (request("GET /live HTTP/1.1", &["Accept: text/html"]), 426, "upgrade: websocket"),
            (fields_with(2, "Sec-WebSocket-Version: 8"), 426, "sec-websocket-version: 13"),
            (fields_with(0, "Upgrade: h2c"), 426, "upgrade: websocket"),
            (fields_with(1, "Connection: keep-alive"), 426, "upgrade: websocket"),
            (fields_with(2, "X-Other: 13"), 400, ""),
            (fields_with(3, "Sec-WebSocket-Key: short"), 400, ""),
            (fields_with(3, "X-Other: x"), 400, ""),
            (request("POST /live HTTP/1.1", &FIELDS), 405, "allow: get"),
            (request("GET /live HTTP/1.0", &FIELDS), 505, ""),
            (request("GET /live HTTP/1.1", &[&FIELDS[..], &["Content-Length: 3"]].concat()), 400, ""),
        ] {
            let heard = String::from_utf8(say(address, &bytes, |_| false).await).unwrap().to_lowercase();
            let line = heard.lines().next().unwrap_or_default();
            assert!(line.contains(&format!(" {status} ")), "{status}: {heard}");
            assert!(heard.contains(field), "{field}: {heard}");
        }
        assert_eq!(connections.counts().accepted, 0);
        assert_eq!(connections.counts().pending, 0);
        echoes(&builder(address).connect().await.unwrap()).await;
        assert_eq!(connections.counts().accepted, 1);
    });
}

#[test]
fn b10_bytes_that_come_right_behind_the_request_are_read() {
    block_on(async {
        let address = serve_endpoint(open()).await;
        // A masked text of two letters, its key all zero, and a ping.
        let frames = b"\x81\x82\0\0\0\0hi\x89\x80\0\0\0\0";
        let bytes = [&request("GET /live HTTP/1.1", &FIELDS)[..], frames].concat();
        let answered = |heard: &[u8]| heard.ends_with(b"\x81\x02hi") || heard.ends_with(b"\x8a\0");
        let has_both = |heard: &[u8]| {
            let end = heard.len().saturating_sub(6);
            answered(heard)
                && heard
                    .get(end..)
                    .is_some_and(|end| end == b"\x8a\0\x81\x02hi" || end == b"\x81\x02hi\x8a\0")
        };
        let heard = say(address, &bytes, has_both).await;
        assert!(heard.starts_with(b"HTTP/1.1 101 "));
        assert!(has_both(&heard), "{}", String::from_utf8_lossy(&heard));
    });
}

#[test]
fn who_finds_no_place_is_refused_with_503_until_there_is_one() {
    block_on(async {
        let mut limits = ConnectionLimits::default();
        limits.max_connections = 3;
        limits.max_per_address = 2;
        let connections = Connections::new(limits);
        // The field stands for what a proxy says.
        let endpoint = open()
            .connections(&connections)
            .address_by(|head| head.headers.get("X-From").and_then(|from| from.to_str().ok()?.parse().ok()));
        let address = serve_endpoint(endpoint).await;
        let connect = |from: &str| builder(address).header("X-From", from).connect();
        let first = connect("192.0.2.1").await.unwrap();
        let second = connect("192.0.2.1").await.unwrap();
        for client in [&first, &second] {
            echoes(client).await;
        }
        let (status, body) = refused(connect("192.0.2.1").await);
        assert_eq!((status, body.contains("from this address")), (503, true), "{body}");
        let third = connect("192.0.2.2").await.unwrap();
        let (status, body) = refused(connect("192.0.2.3").await);
        assert_eq!((status, body.contains("as many connections as it takes")), (503, true), "{body}");
        assert_eq!((connections.counts().open, connections.counts().refused), (3, 2));
        // The closing handshake is done, and the server's side is over a moment later.
        first.close(1000, "").await.unwrap();
        while connections.counts().open == 3 {
            tokio::task::yield_now().await;
        }
        echoes(&connect("192.0.2.1").await.unwrap()).await;
        drop((second, third));
    });
}

#[test]
fn by_default_the_peers_own_address_counts() {
    block_on(async {
        let mut limits = ConnectionLimits::default();
        limits.max_per_address = 1;
        let connections = Connections::new(limits);
        let address = serve_endpoint(open().connections(&connections)).await;
        let client = builder(address).connect().await.unwrap();
        echoes(&client).await;
        assert_eq!(refused(builder(address).connect().await).0, 503);
    });
}

#[test]
fn a_place_is_free_again_when_the_client_goes_before_it_is_accepted() {
    block_on(async {
        let connections = Connections::default();
        let (asked, was_asked) = oneshot::channel();
        let asked = std::sync::Mutex::new(Some(asked));
        let endpoint = open().connections(&connections).authenticate(move |_| {
            asked.lock().unwrap().take().unwrap().send(()).unwrap();
            core::future::pending::<Result<(), Response>>()
        });
        let address = serve_endpoint(endpoint).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&request("GET /live HTTP/1.1", &FIELDS)).await.unwrap();
        was_asked.await.unwrap();
        assert_eq!(connections.counts().pending, 1);
        drop(stream);
        connections.shutdown(Duration::ZERO, Duration::ZERO, Duration::ZERO).await;
        assert_eq!((connections.counts().pending, connections.counts().accepted), (0, 0));
    });
}

#[test]
fn authentication_that_takes_too_long_is_given_up() {
    block_on(async {
        let endpoint = open()
            .within(Duration::from_millis(20))
            .authenticate(|_| core::future::pending::<Result<(), Response>>());
        let address = serve_endpoint(endpoint).await;
        let (status, body) = refused(builder(address).connect().await);
        assert_eq!((status, body.as_str()), (503, "authentication took too long\n"));
    });
}

#[cfg(feature = "v1")]
#[test]
fn a_delay_out_of_its_range_is_answered_with_500_and_not_with_silence() {
    block_on(async {
        let mut options = AcceptOptions::default();
        options.tidegate = Some(TidegateOptions::server().delay(Duration::from_millis(501)));
        let address = serve_endpoint(open().options(options)).await;
        let (status, body) = refused(builder(address).connect().await);
        assert_eq!((status, body.contains("5 to 500 ms")), (500, true), "{body}");
    });
}

#[test]
fn a_shutdown_ends_what_axums_own_leaves_open() {
    block_on(async {
        let connections = Connections::default();
        let app = Router::new().route("/live", any(upgrade(open().connections(&connections), echo)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let signal = connections.shutting_down();
        let serving = axum::serve(listener, app).with_graceful_shutdown(signal).into_future();
        let serving = tokio::spawn(serving);
        let plain = builder(address).connect().await.unwrap();
        echoes(&plain).await;
        #[cfg(feature = "v1")]
        let other = {
            let builder = builder(address).mode(tidegate::Mode::Tidegate);
            let client = builder.connect().await.unwrap();
            echoes(&client).await;
            client
        };
        #[cfg(not(feature = "v1"))]
        let other = builder(address).connect().await.unwrap();
        let over = connections.shutdown(Duration::from_secs(20), Duration::ZERO, Duration::ZERO);
        // The listener is gone, or there is no place.
        assert!(builder(address).connect().await.is_err());
        serving.await.unwrap().unwrap();
        over.await;
        let codes = (plain.closed().await.code, other.closed().await.code);
        assert_eq!(codes, (1001, if cfg!(feature = "v1") { 4200 } else { 1001 }));
        assert_eq!((connections.counts().open, connections.counts().pending), (0, 0));
    });
}
