//! A server that goes away, over streams in memory and in virtual time.

use core::time::Duration;

use futures_util::future::join;
use tidegate::proto::ws::HeadLimits;
use tidegate::server::{AcceptOptions, AdmitError, Connections, Place, accept, read_request};
use tidegate::{Client, ClientBuilder, CloseCause, Message, Outcome};
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::time::Instant;

use crate::in_virtual_time;

/// How long clients are asked to wait, which is nothing to these tests.
const BACK: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

const DRAIN: Duration = Duration::from_secs(7);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

/// A client, and the server's side of it, which has a place.
async fn pair(
    connections: &Connections,
    build: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> (Client, Client) {
    let (here, mut there) = tokio::io::duplex(4 << 10);
    let place = connections.admit(None).unwrap();
    let server = async move {
        let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
        let chosen = request.subprotocols.first().map(String::as_str);
        let server = accept(there, &request, chosen, AcceptOptions::default()).unwrap();
        place.hold(&server);
        server
    };
    let (client, server) = join(build(Client::builder("ws://example.com/")).connect_over(here), server).await;
    (client.unwrap(), server)
}

fn shutdown(connections: &Connections) -> impl Future<Output = ()> + Send + 'static {
    connections.shutdown(DRAIN, BACK[0], BACK[1])
}

/// Whether `took` is [`DRAIN`], and what a close takes.
fn is_drain(took: Duration) -> bool {
    (DRAIN..DRAIN + Duration::from_secs(1)).contains(&took)
}

#[test]
fn a_plain_client_gets_what_is_queued_and_then_1001() {
    in_virtual_time(async {
        let connections = Connections::default();
        let (client, server) = pair(&connections, |builder| builder).await;
        assert_eq!((connections.counts().open, connections.counts().accepted), (1, 1));
        let mut tickets = Vec::new();
        for n in 0..20_u8 {
            tickets.push(server.send(vec![n; 30_000]).await.unwrap());
        }
        let over = shutdown(&connections);
        assert!(server.try_send("too late").is_err());
        assert_eq!(connections.admit(None).unwrap_err(), AdmitError::ShuttingDown);
        for n in 0..20_u8 {
            assert!(client.recv().await == Some(Message::from(vec![n; 30_000])));
        }
        assert_eq!(client.recv().await, None);
        over.await;
        assert_eq!(connections.counts().open, 0);
        for ticket in tickets {
            assert_eq!(ticket.await, Outcome::HandedOver);
        }
        let closed = client.closed().await;
        assert_eq!((closed.code, closed.was_clean, closed.cause), (1001, true, CloseCause::Peer));
        // The handle of the server's side is still there, and its place is free all the same.
        assert_eq!(server.closed().await.cause, CloseCause::Local);
    });
}

/// The server's side of a plain connection whose peer reads nothing, and the peer's stream.
async fn stalled(place: Place) -> (Client, DuplexStream) {
    let (mut here, mut there) = tokio::io::duplex(4 << 10);
    here.write_all(REQUEST).await.unwrap();
    let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
    let mut options = AcceptOptions::default();
    options.ping_after = None;
    let server = accept(there, &request, None, options).unwrap();
    for _ in 0..20 {
        server.send(vec![0; 100_000]).await.unwrap();
    }
    place.hold(&server);
    (server, here)
}

#[test]
fn a_peer_that_reads_nothing_is_given_up_when_the_time_is_over() {
    in_virtual_time(async {
        let connections = Connections::default();
        let (server, _stream) = stalled(connections.admit(None).unwrap()).await;
        let start = Instant::now();
        shutdown(&connections).await;
        assert!(is_drain(start.elapsed()), "{:?}", start.elapsed());
        let closed = server.closed().await;
        assert!(closed.unsent.messages > 0, "{closed:?}");
    });
}

#[test]
fn of_two_shutdowns_the_earlier_end_holds() {
    let hour = Duration::from_secs(3_600);
    for drains in [[DRAIN, hour], [hour, DRAIN], [DRAIN, Duration::MAX], [Duration::MAX, DRAIN]] {
        in_virtual_time(async {
            let connections = Connections::default();
            let (_server, _stream) = stalled(connections.admit(None).unwrap()).await;
            let start = Instant::now();
            let [_, over] = drains.map(|drain| connections.shutdown(drain, BACK[0], BACK[1]));
            over.await;
            assert!(is_drain(start.elapsed()), "{drains:?}: {:?}", start.elapsed());
        });
    }
}

#[test]
fn a_connection_that_comes_between_two_shutdowns_has_until_the_earlier_end() {
    in_virtual_time(async {
        let connections = Connections::default();
        let places = [(); 2].map(|()| connections.admit(None).unwrap());
        let start = Instant::now();
        drop(shutdown(&connections));
        let mut kept = Vec::new();
        for place in places {
            tokio::time::advance(DRAIN / 4).await;
            kept.push(stalled(place).await);
            drop(connections.shutdown(2 * DRAIN, BACK[0], BACK[1]));
            // The connection hears of both now, and not when the time has gone on.
            tokio::task::yield_now().await;
        }
        connections.shutdown(2 * DRAIN, BACK[0], BACK[1]).await;
        assert!(is_drain(start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn who_connects_while_the_server_goes_is_told_at_once() {
    in_virtual_time(async {
        let connections = Connections::default();
        let (here, mut there) = tokio::io::duplex(4 << 10);
        let place = connections.admit(None).unwrap();
        let connecting = tokio::spawn(Client::builder("ws://example.com/").connect_over(here));
        let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
        let over = shutdown(&connections);
        let server = accept(there, &request, None, AcceptOptions::default()).unwrap();
        place.hold(&server);
        let client = connecting.await.unwrap().unwrap();
        assert_eq!(client.closed().await.code, 1001);
        over.await;
    });
}

#[cfg(feature = "v1")]
mod tidegate_mode {
    use tidegate::{ChannelEnd, ChannelError, ChannelOptions, Mode};

    use super::*;

    fn tidegate(builder: ClientBuilder) -> ClientBuilder {
        builder.mode(Mode::Tidegate)
    }

    #[test]
    fn what_has_begun_goes_on_until_both_sides_have_closed_it() {
        in_virtual_time(async {
            let connections = Connections::default();
            let (client, server) = pair(&connections, tidegate).await;
            let mut channels = server.channels();
            let here = client.channel("photos", ChannelOptions::bulk()).await.unwrap();
            here.send("first").await.unwrap();
            let there = channels.accept().await.unwrap();
            assert_eq!(there.recv().await, Some("first".into()));
            client.send("hello").await.unwrap();
            assert_eq!(server.recv().await, Some("hello".into()));
            // Under way in both directions, of the connection and of a channel.
            let mut tickets = Vec::new();
            for n in 0..20_u8 {
                tickets.push(server.send(vec![n; 50_000]).await.unwrap());
                tickets.push(there.send(vec![n; 50_000]).await.unwrap());
                tickets.push(client.send(vec![n; 50_000]).await.unwrap());
            }
            let start = Instant::now();
            let mut over = core::pin::pin!(shutdown(&connections));
            assert!(server.try_send("too late").is_err());
            let error = server.channel("new", ChannelOptions::new()).await.unwrap_err();
            assert_eq!(error, ChannelError::Closed);
            for n in 0..20_u8 {
                assert!(client.recv().await == Some(Message::from(vec![n; 50_000])));
                assert!(server.recv().await == Some(Message::from(vec![n; 50_000])));
                assert!(here.recv().await == Some(Message::from(vec![n; 50_000])));
            }
            // The channel is open still, in both directions.
            here.send("and another").await.unwrap();
            assert_eq!(there.recv().await, Some("and another".into()));
            there.send("done").await.unwrap();
            assert_eq!(here.recv().await, Some("done".into()));
            // The client has heard of it, opens nothing and sends nothing more on the connection.
            let error = client.channel("new", ChannelOptions::new()).await.unwrap_err();
            assert_eq!(error, ChannelError::Closed);
            assert!(client.try_send("too late").is_err());
            let open = core::future::poll_fn(|cx| core::task::Poll::Ready(over.as_mut().poll(cx))).await;
            assert!(open.is_pending());
            drop((here, there));
            over.await;
            // It did not take until the end of the time.
            assert!(start.elapsed() < DRAIN);
            for ticket in tickets {
                assert_eq!(ticket.await, Outcome::Delivered);
            }
            for closed in [client.closed().await, server.closed().await] {
                assert_eq!((closed.code, closed.was_clean), (4200, true), "{closed:?}");
                assert_eq!((closed.unsent.messages, closed.unknown.messages), (0, 0));
            }
            assert_eq!(client.closed().await.cause, CloseCause::Peer);
        });
    }

    #[test]
    fn a_channel_that_nobody_closes_ends_when_the_time_is_over() {
        in_virtual_time(async {
            let connections = Connections::default();
            let (client, server) = pair(&connections, tidegate).await;
            let here = client.channel("chat", ChannelOptions::new()).await.unwrap();
            let there = server.channels().accept().await.unwrap();
            let start = Instant::now();
            shutdown(&connections).await;
            assert!(is_drain(start.elapsed()), "{:?}", start.elapsed());
            assert_eq!(here.recv().await, None);
            assert_eq!(here.receiver().ended(), Some(ChannelEnd::ConnectionOver));
            assert_eq!(there.sender().stopped().await, ChannelEnd::ConnectionOver);
            assert_eq!(client.closed().await.code, 4200);
        });
    }

    #[test]
    fn of_two_shutdowns_the_earlier_end_holds() {
        let hour = Duration::from_secs(3_600);
        for drains in [[DRAIN, hour], [hour, DRAIN]] {
            in_virtual_time(async {
                let connections = Connections::default();
                let (client, server) = pair(&connections, tidegate).await;
                let _here = client.channel("chat", ChannelOptions::new()).await.unwrap();
                let _there = server.channels().accept().await.unwrap();
                let start = Instant::now();
                let [_, over] = drains.map(|drain| connections.shutdown(drain, BACK[0], BACK[1]));
                over.await;
                assert!(is_drain(start.elapsed()), "{drains:?}: {:?}", start.elapsed());
            });
        }
    }

    #[test]
    fn what_the_peer_had_not_begun_when_it_was_told_is_safe_to_send_again() {
        in_virtual_time(async {
            let connections = Connections::default();
            let (client, server) = pair(&connections, tidegate).await;
            // The first of their connection, so that each opens a channel: the server's goes, the client's crosses
            // the word of the end.
            let up = client.send("up").await.unwrap();
            let down = server.send("down").await.unwrap();
            shutdown(&connections).await;
            assert_eq!(client.recv().await, Some("down".into()));
            assert_eq!(down.await, Outcome::Delivered);
            assert_eq!(up.await, Outcome::Unsent);
            assert_eq!(server.recv().await, None);
            assert_eq!(client.closed().await.unsent.messages, 1);
        });
    }

    #[test]
    fn a_session_without_channels_is_over_at_once() {
        in_virtual_time(async {
            let connections = Connections::default();
            let (client, _server) = pair(&connections, tidegate).await;
            let start = Instant::now();
            let handler = connections.shutting_down();
            shutdown(&connections).await;
            handler.await;
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
            assert_eq!(client.closed().await.code, 4200);
        });
    }
}
