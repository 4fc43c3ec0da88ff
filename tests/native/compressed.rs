//! The suite again with every message compressed, at both ends by tidegate; and who agrees with whom.

use tidegate::proto::ws::{DeflateOptions, Limits};
use tidegate::{Client, ClientBuilder, ConnectError, Message};
use tokio::net::TcpListener;

use crate::TcpNet;
use crate::block_on;
use crate::own;
use crate::peer::with;
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

macro_rules! run {
    // What is offered and agreed on is no matter of what goes over the connection.
    (connecting: $($case:ident,)*) => {};
    ($module:ident: $($case:ident,)*) => {
        mod $module {
            $(
                #[test]
                fn $case() {
                    crate::block_on(async { crate::suite::$module::$case(&super::net().await).await });
                }
            )*
        }
    };
}
crate::suite::for_every_transport!(run);
crate::suite::for_transports_with_a_task!(run);

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
