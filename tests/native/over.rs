//! Both ends over byte streams of the test's own: tokio's and those of `futures-io`, in memory.

use tidegate::proto::ws::HandshakeError;
use tidegate::{Client, ClientBuilder, ConnectError, TransportError};
use tokio::io::DuplexStream;

use crate::{block_on, own, suite};

/// Routes behind streams in memory.
struct MemoryNet;

/// A stream to the own server.
fn dial() -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(16 << 10);
    tokio::spawn(own::serve(theirs));
    ours
}

impl suite::Net for MemoryNet {
    async fn connect(
        &self,
        route: &str,
        describe: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client, ConnectError> {
        let stream = if route == "/refused" { tokio::io::duplex(1).0 } else { dial() };
        describe(Client::builder(format!("ws://memory.test{route}"))).connect_over(stream).await
    }

    async fn turn(&self) {
        tokio::task::yield_now().await;
    }
}

fn net() -> impl Future<Output = MemoryNet> {
    core::future::ready(MemoryNet)
}

crate::suite::for_every_transport!(run);
crate::suite::for_transports_with_a_task!(run);

#[test]
fn b10_over_a_stream_the_url_names_host_and_path_and_nothing_is_dialled() {
    block_on(async {
        for url in ["ws://example.test/echo?a=b", "wss://example.test:8443/echo?a=b"] {
            let (ours, mut theirs) = tokio::io::duplex(1024);
            let builder = Client::builder(url).proxy("http://127.0.0.1:1").header("X-One", "1");
            let client = tokio::spawn(builder.connect_over(ours));
            let request = own::read_request(&mut theirs).await.unwrap();
            let host = if url.starts_with("wss") { "example.test:8443" } else { "example.test" };
            assert_eq!((request.host.as_str(), request.target.as_str()), (host, "/echo?a=b"));
            assert_eq!(request.headers.value("x-one"), Some(&b"1"[..]));
            drop(theirs);
            let error = client.await.unwrap().expect_err("it must fail");
            let ConnectError::Failed { source, .. } = error else { panic!("{error:?}") };
            assert_eq!(source, Some(TransportError::Handshake(HandshakeError::Truncated)));
        }
    });
}

#[cfg(feature = "futures-io")]
#[test]
fn b29_streams_of_futures_io_carry_a_connection_at_both_ends() {
    use crate::suite::{LONG, pattern, text};
    use tidegate::server::{AcceptOptions, accept_futures_io};
    use tokio_util::compat::TokioAsyncReadCompatExt as _;

    block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let builder = Client::builder("ws://memory.test/").connect_within(LONG);
        let client = tokio::spawn(builder.connect_over_futures_io(ours.compat()));
        let request = own::read_request(&mut theirs).await.unwrap();
        let server = accept_futures_io(theirs.compat(), &request, None, AcceptOptions::default()).unwrap();
        let client = client.await.unwrap().unwrap();
        let long = pattern(29, 1 << 20);
        client.send(long.clone()).await.unwrap();
        assert_eq!(server.recv().await, Some(long.into()));
        server.send("back").await.unwrap();
        assert_eq!(client.recv().await, text("back"));
        let closed = client.close(4001, "bye").await.unwrap();
        assert!(closed.was_clean);
        assert_eq!(server.closed().await.reason, "bye");
    });
}
