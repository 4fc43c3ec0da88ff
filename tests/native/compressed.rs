//! The suite again with every message compressed, at both ends by tidegate; and who agrees with whom.

use core::cell::Cell;
use std::rc::Rc;

use tidegate::proto::ws::{DeflateOptions, Event, Limits, no_key};
use tidegate::{Client, ClientBuilder, ConnectError, Message, Outcome};
use tokio::net::TcpListener;

use crate::TcpNet;
use crate::block_on;
use crate::own;
use crate::peer::{compressed_pair, with};
use crate::suite::{Net, text};

/// Compresses whatever is not empty.
fn everything() -> DeflateOptions {
    let mut options = DeflateOptions::default();
    options.min_bytes = 0;
    options
}

/// Routes on a port of this machine, where both ends compress.
struct Compressed(TcpNet);

async fn net() -> Compressed {
    Compressed(serve(Some(everything())).await)
}

/// A server in the runtime of the test.
async fn serve(deflate: Option<DeflateOptions>) -> TcpNet {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let options = with(|options| options.deflate = deflate);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(own::serve_with(stream, options));
        }
    });
    TcpNet { port }
}

impl Net for Compressed {
    async fn connect(
        &self,
        route: &str,
        describe: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client, ConnectError> {
        let client = self.0.connect(route, |builder| describe(builder).deflate(everything())).await?;
        // Some routes are served by hand, which agrees on nothing.
        assert!(client.extensions() == "permessage-deflate" || route == "/stall", "{}", client.extensions());
        Ok(client)
    }

    async fn turn(&self) {
        self.0.turn().await;
    }
}

macro_rules! run_compressed {
    // What is offered and agreed on is no matter of what goes over the connection.
    (connecting: $($case:ident,)*) => {};
    ($($cases:tt)*) => {
        run! { $($cases)* }
    };
}
crate::suite::for_every_transport!(run_compressed);
crate::suite::for_transports_with_a_task!(run_compressed);

#[test]
fn a_side_that_does_not_want_to_compress_need_not() {
    block_on(async {
        let mut small = everything();
        small.server_max_window_bits = 10;
        small.client_no_context_takeover = true;
        let agreed = "permessage-deflate; client_no_context_takeover; server_max_window_bits=10";
        for (client, server, expected) in [
            (Some(everything()), None, ""),
            (None, Some(everything()), ""),
            (Some(everything()), Some(everything()), "permessage-deflate"),
            (Some(small), Some(everything()), agreed),
            (Some(everything()), Some(small), agreed),
        ] {
            let net = serve(server).await;
            let client = net.connect("/echo", |builder| builder.deflate(client)).await.unwrap();
            assert_eq!(client.extensions(), expected);
            for message in ["one".to_owned(), "two ".repeat(100_000), String::new()] {
                client.send(message.as_str()).await.unwrap();
                assert_eq!(client.recv().await, text(&message));
            }
            client.close(1000, "").await.unwrap();
        }
    });
}

#[test]
fn b66_a_ping_is_answered_within_a_long_message_that_is_compressed() {
    block_on(async {
        let (server, mut peer) = compressed_pair().await;
        // As one message 64 kB on the wire, before which nothing else would go out.
        let long = vec![7; 64 << 20];
        let ticket = server.try_send(long.clone()).unwrap();
        for number in 0..50_u32 {
            let payload = number.to_be_bytes();
            peer.say(|codec| codec.send_ping(&payload, no_key).unwrap()).await;
            assert!(
                peer.event().await == Event::Pong(payload.to_vec()),
                "something else before pong {number}"
            );
        }
        let Event::Message(message) = peer.event().await else { panic!("not a message") };
        assert!(message.as_bytes() == long);
        assert_eq!(ticket.await, Outcome::HandedOver);
    });
}

#[test]
fn b66_others_have_their_turn_while_messages_are_compressed() {
    block_on(async {
        // One long message, and many that are not cut.
        for (count, bytes) in [(1, 8 << 20), (64, 128 << 10)] {
            let (server, mut peer) = compressed_pair().await;
            let sent = Rc::new(Cell::new(false));
            let counting = async {
                let mut turns = 0;
                while !sent.get() {
                    turns += 1;
                    tokio::task::yield_now().await;
                }
                turns
            };
            let message = vec![7; bytes];
            for _ in 0..count {
                server.try_send(message.clone()).unwrap();
            }
            let receiving = async {
                for _ in 0..count {
                    let Event::Message(received) = peer.event().await else { panic!("not a message") };
                    assert!(received.as_bytes() == message);
                }
                sent.set(true);
            };
            let (turns, ()) = futures_util::future::join(counting, receiving).await;
            // A quarter of a mebibyte in each.
            assert!(turns >= 32, "{count} messages of {bytes} bytes took {turns} turns");
        }
    });
}

#[test]
fn b61_a_client_takes_no_more_than_its_limit_inflated() {
    block_on(async {
        let net = serve(Some(everything())).await;
        let mut limits = Limits::default();
        limits.max_message_bytes = 100_000;
        let describe = |builder: ClientBuilder| builder.deflate(everything()).limits(limits);
        let client = net.connect("/echo", describe).await.unwrap();
        client.send(vec![7; 100_000]).await.unwrap();
        assert_eq!(client.recv().await, Some(Message::Binary(vec![7; 100_000])));
        client.send(vec![7; 100_001]).await.unwrap();
        assert_eq!(client.recv().await, None);
        assert_eq!(client.closed().await.code, 1006);
        assert!(client.failure().unwrap().to_string().contains("100000 bytes"));
    });
}
