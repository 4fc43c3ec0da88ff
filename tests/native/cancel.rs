//! Futures of an open connection, dropped at every poll, over streams in memory that hold little.

use tidegate::server::AcceptOptions;
use tidegate::{CloseCause, Message, SendLimits};

use crate::block_on;
use crate::peer::pair;
use crate::suite::{drop_after, pattern, poll_once};
use tidegate::proto::ws::Event;

/// Lets everything else run.
struct Turn;

impl crate::suite::Net for Turn {
    async fn connect(
        &self,
        _: &str,
        _: impl FnOnce(tidegate::ClientBuilder) -> tidegate::ClientBuilder,
    ) -> Result<tidegate::Client, tidegate::ConnectError> {
        Err(tidegate::ConnectError::NoTransport)
    }

    async fn turn(&self) {
        tokio::task::yield_now().await;
    }
}

#[test]
fn b67_sends_and_receives_dropped_at_any_poll_leave_every_frame_whole_and_in_order() {
    block_on(async {
        let mut options = AcceptOptions::default();
        options.fragment_bytes = Some(10_000);
        options.send_limits = SendLimits { max_queued_messages: 2, ..SendLimits::default() };
        let (server, mut peer) = pair(options).await;
        let peer = tokio::spawn(async move {
            // Sends back what comes until the close, its pongs among it.
            loop {
                match peer.event().await {
                    Event::Message(message) => {
                        let no_key = tidegate::proto::ws::no_key;
                        peer.say(|codec| {
                            let (kind, bytes) = (message.kind(), message.as_bytes());
                            codec.send_message(kind, bytes, true, no_key).unwrap();
                            codec.send_ping(b"?", no_key).unwrap();
                        })
                        .await;
                    }
                    Event::Close(_) => return peer.say(|_| ()).await,
                    Event::Pong(payload) => assert_eq!(payload, b"?"),
                    other => panic!("{other:?}"),
                }
            }
        });
        let mut sent = Vec::new();
        let mut received = Vec::new();
        for round in 0..400_usize {
            let message = pattern(round as u64, [0, 5, 1_000, 30_000][round % 4]);
            // Queued or not, but never by half: what a ticket was given for arrives.
            if let Some(ticket) = drop_after(&Turn, round % 3, server.send(message.clone())).await {
                drop(ticket.expect("it is open"));
                sent.push(Message::from(message));
            }
            received.extend(drop_after(&Turn, round % 4, server.recv()).await.map(|m| m.expect("open")));
        }
        assert!(sent.len() > 100, "{} of 400", sent.len());
        while received.len() < sent.len() {
            received.push(server.recv().await.expect("it is open"));
        }
        assert!(received == sent);
        let mut closing = Box::pin(server.close(4001, "bye"));
        let _ = poll_once(closing.as_mut()).await;
        drop(closing);
        let closed = server.closed().await;
        assert_eq!((closed.code, closed.was_clean, closed.cause), (4001, true, CloseCause::Local));
        peer.await.unwrap();
    });
}
