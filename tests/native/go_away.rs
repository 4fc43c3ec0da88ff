//! What a client can learn of the end that its peer announces, over streams in memory and in virtual time.

use core::time::Duration;

use futures_util::SinkExt;
use tidegate::proto::ws::HeadLimits;
use tidegate::server::{AcceptOptions, Connections, accept, read_request};
use tidegate::{ChannelOptions, Client, CloseCause, CloseOptions, FatalCode, Mode, Outcome, SendError};
use tokio::io::AsyncWriteExt as _;

use crate::in_virtual_time;

const DRAIN: Duration = Duration::from_secs(7);
const BACK: [Duration; 2] = [Duration::from_millis(1_500), Duration::from_secs(5)];

async fn pair(connections: &Connections, mode: Mode) -> (Client, Client) {
    let (here, mut there) = tokio::io::duplex(64 << 10);
    let place = connections.admit(None).unwrap();
    let server = tokio::spawn(async move {
        let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
        let chosen = request.subprotocols.first().map(String::as_str);
        let server = accept(there, &request, chosen, AcceptOptions::default()).unwrap();
        place.hold(&server);
        server
    });
    let client = Client::builder("ws://example.com/").mode(mode).connect_over(here).await.unwrap();
    (client, server.await.unwrap())
}

#[test]
fn a_server_that_goes_away_says_when_to_come_back_while_channels_go_on() {
    in_virtual_time(async {
        let connections = Connections::default();
        let (client, server) = pair(&connections, Mode::Tidegate).await;
        let here = client.channel("photos", ChannelOptions::bulk()).await.unwrap();
        here.send("first").await.unwrap();
        let there = server.channels().accept().await.unwrap();
        assert_eq!(there.recv().await, Some("first".into()));
        assert_eq!(client.go_away(), None);
        // One who waits, one who has given up waiting, and one that is polled after the end.
        let (waits, late) = (tokio::spawn(client.going_away()), client.going_away());
        assert!(tokio::time::timeout(Duration::from_millis(1), client.going_away()).await.is_err());
        let over = tokio::spawn(connections.shutdown(DRAIN, BACK[0], BACK[1]));
        let told = waits.await.unwrap().expect("it is announced");
        assert_eq!((told.code, told.reason.as_str()), (FatalCode::None, "NONE"));
        assert_eq!((told.drain, told.reconnect_after, told.jitter), (DRAIN, BACK[0], BACK[1]));
        // Whoever is told that nothing is taken any more knows why.
        assert!(matches!(client.try_send("x"), Err(SendError::Closed(_))));
        assert_eq!(client.go_away(), Some(told.clone()));
        here.send("second").await.unwrap();
        assert_eq!(there.recv().await, Some("second".into()));
        drop((here, there));
        over.await.unwrap();
        assert_eq!(client.closed().await.code, 4200);
        assert_eq!((client.go_away(), late.await), (Some(told.clone()), Some(told)));
        // What this side has announced itself is nothing that it was told.
        assert_eq!((server.go_away(), server.going_away().await), (None, None));
    });
}

#[test]
fn a_peer_that_closes_announces_it_without_a_time_to_come_back() {
    in_virtual_time(async {
        let (client, server) = pair(&Connections::default(), Mode::Tidegate).await;
        let told = tokio::spawn(server.going_away());
        let closed = client.close(1000, "").await.unwrap();
        assert_eq!(closed.cause, CloseCause::Local);
        let told = told.await.unwrap().expect("it is announced");
        assert_eq!(
            (told.code, told.reconnect_after, told.jitter),
            (FatalCode::None, Duration::ZERO, Duration::ZERO)
        );
        assert_eq!((client.go_away(), client.going_away().await), (None, None));
    });
}

#[test]
fn in_plain_mode_nothing_is_announced() {
    in_virtual_time(async {
        let connections = Connections::default();
        let (client, _server) = pair(&connections, Mode::Plain).await;
        let told = tokio::spawn(client.going_away());
        connections.shutdown(DRAIN, BACK[0], BACK[1]).await;
        assert_eq!(told.await.unwrap(), None);
        assert_eq!((client.closed().await.code, client.go_away()), (1001, None));
    });
}

#[test]
fn what_a_server_has_opened_before_it_goes_is_taken_by_a_client_that_hears_of_its_going_first() {
    in_virtual_time(async {
        let (here, mut there) = tokio::io::duplex(64 << 10);
        let server = tokio::spawn(async move {
            let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
            let server = accept(there, &request, Some("tidegate.v1"), AcceptOptions::default()).unwrap();
            // Before the client has greeted, so that GOAWAY stands in front of both.
            let news = server.channel("news", ChannelOptions::new()).await.unwrap();
            let ticket = news.send("of the day").await.unwrap();
            drop(news);
            let closed = server.close(1000, "").await.unwrap();
            (ticket.await, closed.code)
        });
        let client =
            Client::builder("ws://example.com/").mode(Mode::Tidegate).connect_over(here).await.unwrap();
        client.going_away().await.unwrap();
        let news = client.channels().accept().await.unwrap();
        assert_eq!((news.name(), news.recv().await), ("news", Some("of the day".into())));
        assert_eq!(news.recv().await, None);
        drop(news);
        assert_eq!(server.await.unwrap(), (Outcome::Delivered, 1000));
    });
}

#[test]
fn a_sink_of_a_client_closes_though_the_server_goes_away_and_takes_its_time() {
    in_virtual_time(async {
        for mode in [Mode::Tidegate, Mode::Plain] {
            let connections = Connections::default();
            let (client, server) = pair(&connections, mode).await;
            let mut _channels = None;
            if mode == Mode::Tidegate {
                let here = client.channel("photos", ChannelOptions::bulk()).await.unwrap();
                _channels = Some((server.channels().accept().await.unwrap(), here));
                tokio::spawn(connections.shutdown(
                    Duration::from_secs(86_400),
                    Duration::ZERO,
                    Duration::ZERO,
                ));
                client.going_away().await.unwrap();
            } else {
                drop(client.end(None));
            }
            let (mut sink, _receiver) = client.split();
            let start = tokio::time::Instant::now();
            SinkExt::close(&mut sink).await.unwrap();
            assert!(start.elapsed() <= Duration::from_secs(20), "{mode:?}: {:?}", start.elapsed());
        }
    });
}

#[test]
fn a_server_goes_away_from_a_peer_that_never_answers_a_close_without_a_deadline() {
    in_virtual_time(async {
        for is_closed_first in [false, true] {
            let connections = Connections::default();
            let (mut here, mut there) = tokio::io::duplex(64 << 10);
            let place = connections.admit(None).unwrap();
            here.write_all(
                b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                  Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: tidegate.v1\r\n\r\n",
            )
            .await
            .unwrap();
            let request = read_request(&mut there, HeadLimits::default()).await.unwrap();
            let mut options = AcceptOptions::default();
            (options.ping_after, options.close_within) = (None, None);
            let server = accept(there, &request, Some("tidegate.v1"), options).unwrap();
            place.hold(&server);
            // HELLO, masked by nothing.
            here.write_all(&[0x82, 0x85, 0, 0, 0, 0, 1, 3, 1, 1, 0]).await.unwrap();
            let close = || drop(server.close_with(CloseOptions::default().within(None)));
            if is_closed_first {
                close();
                assert!(tokio::time::timeout(Duration::from_secs(1), server.closed()).await.is_err());
            }
            let drain = Duration::from_secs(30);
            let over = connections.shutdown(drain, Duration::ZERO, Duration::ZERO);
            if !is_closed_first {
                close();
            }
            tokio::time::timeout(drain * 2, over).await.expect("it is over with its time, and ten seconds");
            assert_eq!(connections.counts().open, 0);
        }
    });
}
