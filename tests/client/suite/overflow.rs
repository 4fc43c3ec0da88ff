//! More than the receive queue has room for, where the peer cannot be made to wait: in browsers, and in the
//! simulator, which behaves as they do.
//!
//! `/flood` numbers its messages here: byte `i` of message `m` is the lowest eight bits of `m + i`. Behind the
//! last it closes with 1000.

use core::pin::pin;

use futures_util::future::join;
use tidegate::{BinaryType, Client, CloseCause, CloseOptions, Message, RecvLimits, RecvPolicy};

use super::{Count, Net, SHORT, amount_of, open, poll_with, text};

const TYPES: [BinaryType; 2] = [BinaryType::ArrayBuffer, BinaryType::Blob];

/// A client of `/flood` to which a hundred messages of 1000 bytes have come that nobody has taken, and the
/// peer's close behind them.
async fn flooded(net: &impl Net, binary_type: BinaryType, limits: RecvLimits) -> Client {
    let describe = |builder: tidegate::ClientBuilder| builder.binary_type(binary_type).recv_limits(limits);
    let client = net.connect("/flood?messages=100&bytes=1000", describe).await.expect("the route opens");
    client.closed().await;
    client
}

/// The numbers of the messages that are left, up to the end: `/flood` begins each with its own.
async fn left(client: &Client) -> Vec<u8> {
    let mut left = Vec::new();
    while let Some(message) = client.recv().await {
        let bytes = match message {
            Message::Blob(blob) => blob.bytes().await.expect("it is there"),
            message => message.into_binary().expect("binary"),
        };
        assert_eq!(bytes.len(), 1000);
        left.push(bytes[0]);
    }
    left
}

/// Waits until so many messages were dropped.
async fn until_dropped(net: &impl Net, client: &Client, messages: u64) {
    while client.dropped().messages < messages {
        net.turn().await;
    }
}

pub(crate) async fn b16_a_full_queue_closes_with_the_applications_code(net: &impl Net) {
    for binary_type in TYPES {
        let limits = RecvLimits::default().max_queued_bytes(10_000).policy(RecvPolicy::Close { code: 4123 });
        let client = flooded(net, binary_type, limits).await;
        let closed = client.closed().await;
        assert_eq!((closed.cause, closed.dropped), (CloseCause::ReceiveOverflow, amount_of(0, 0)));
        // What was taken before is still there, and nothing after.
        assert_eq!(left(&client).await, (0..10).collect::<Vec<_>>());
    }
}

pub(crate) async fn b16_the_oldest_are_dropped_and_counted(net: &impl Net) {
    let limits = RecvLimits::default().policy(RecvPolicy::DropOldest);
    for binary_type in TYPES {
        for limits in [limits.max_queued_bytes(10_999), limits.max_queued_messages(10)] {
            let client = flooded(net, binary_type, limits).await;
            let closed = client.closed().await;
            assert_eq!((closed.code, closed.cause), (1000, CloseCause::Peer));
            assert_eq!((client.dropped(), closed.dropped), (amount_of(90, 90_000), amount_of(90, 90_000)));
            assert_eq!(left(&client).await, (90..100).collect::<Vec<_>>());
        }
    }
}

pub(crate) async fn b16_the_newest_are_dropped_and_counted(net: &impl Net) {
    let limits = RecvLimits::default().policy(RecvPolicy::DropNewest);
    for binary_type in TYPES {
        for limits in [limits.max_queued_bytes(10_999), limits.max_queued_messages(10)] {
            let client = flooded(net, binary_type, limits).await;
            let closed = client.closed().await;
            assert_eq!((closed.code, closed.cause), (1000, CloseCause::Peer));
            assert_eq!((client.dropped(), closed.dropped), (amount_of(90, 90_000), amount_of(90, 90_000)));
            assert_eq!(left(&client).await, (0..10).collect::<Vec<_>>());
        }
    }
}

pub(crate) async fn b16_every_handle_tells_what_was_dropped(net: &impl Net) {
    let limits = RecvLimits::default().max_queued_messages(1).policy(RecvPolicy::DropOldest);
    let client = net.connect("/echo", |builder| builder.recv_limits(limits)).await.expect("it opens");
    let (sender, receiver) = client.split();
    assert_eq!((client.dropped(), receiver.dropped()), (amount_of(0, 0), amount_of(0, 0)));
    for message in ["one", "three", "fifteen"] {
        sender.send(message).await.expect("open");
    }
    until_dropped(net, &client, 2).await;
    assert_eq!((client.dropped(), receiver.dropped()), (amount_of(2, 8), amount_of(2, 8)));
    assert_eq!(receiver.recv().await, text("fifteen"));
    drop(receiver);
    client.close(4001, "").await.expect("may be sent");
    assert_eq!((sender.closed().await.dropped, client.dropped()), (amount_of(2, 8), amount_of(2, 8)));
}

pub(crate) async fn b16_a_message_larger_than_the_queue_is_taken_alone(net: &impl Net) {
    let small = RecvLimits::default().max_queued_bytes(10);
    // It displaces everything, and is displaced by the next.
    let limits = small.policy(RecvPolicy::DropOldest);
    let client = net.connect("/echo", |builder| builder.recv_limits(limits)).await.expect("it opens");
    let large = "x".repeat(5000);
    for message in ["a", "bc", large.as_str()] {
        client.send(message).await.expect("open");
    }
    until_dropped(net, &client, 2).await;
    assert_eq!(client.try_recv(), Ok(Message::from(large.as_str())));
    client.send(large.as_str()).await.expect("open");
    client.send("d").await.expect("open");
    until_dropped(net, &client, 3).await;
    assert_eq!((client.recv().await, client.dropped()), (text("d"), amount_of(3, 5003)));
    // It is dropped where something waits, and where nothing does it keeps out what follows.
    let limits = small.policy(RecvPolicy::DropNewest);
    let client = net.connect("/echo", |builder| builder.recv_limits(limits)).await.expect("it opens");
    client.send("a").await.expect("open");
    client.send(large.as_str()).await.expect("open");
    until_dropped(net, &client, 1).await;
    assert_eq!(client.try_recv(), Ok(Message::from("a")));
    client.send(large.as_str()).await.expect("open");
    client.send("b").await.expect("open");
    until_dropped(net, &client, 2).await;
    assert_eq!(client.recv().await, text(&large));
    assert_eq!(client.dropped(), amount_of(2, 5001));
}

pub(crate) async fn b16_bounds_of_zero_keep_one_message(net: &impl Net) {
    for (policy, kept) in [(RecvPolicy::DropOldest, "three"), (RecvPolicy::DropNewest, "one")] {
        let limits = RecvLimits::default().max_queued_bytes(0).max_queued_messages(0).policy(policy);
        let client = net.connect("/echo", |builder| builder.recv_limits(limits)).await.expect("it opens");
        for message in ["one", "two", "three"] {
            client.send(message).await.expect("open");
        }
        until_dropped(net, &client, 2).await;
        assert_eq!(client.recv().await, text(kept));
        client.send("next").await.expect("open");
        assert_eq!(client.recv().await, text("next"));
        assert_eq!(client.dropped().messages, 2);
    }
}

pub(crate) async fn b16_a_reader_that_keeps_up_loses_nothing(net: &impl Net) {
    // With wasm threads a browser wakes a task when it likes to (`Atomics.waitAsync`), before which as many may come as
    // the server is sent at once.
    let is_late = cfg!(all(target_family = "wasm", target_feature = "atomics"));
    let room = if is_late { 20 } else { 1 };
    for policy in [RecvPolicy::default(), RecvPolicy::DropOldest, RecvPolicy::DropNewest] {
        let limits = RecvLimits::default().max_queued_messages(room).policy(policy);
        let client = net.connect("/echo", |builder| builder.recv_limits(limits)).await.expect("it opens");
        for round in if is_late { 0..10 } else { 0..1 } {
            let numbers = move || (0..200).skip(20 * round).take(if is_late { 20 } else { 200 });
            let reading = async {
                for number in numbers() {
                    assert_eq!(client.recv().await, text(&number.to_string()));
                }
            };
            let sending = async {
                for number in numbers() {
                    client.send(number.to_string()).await.expect("open");
                }
            };
            join(reading, sending).await;
        }
        assert_eq!(client.dropped(), amount_of(0, 0));
    }
}

pub(crate) async fn b16_a_reader_that_was_woken_finds_a_message(net: &impl Net) {
    for (policy, found) in [(RecvPolicy::DropOldest, "two"), (RecvPolicy::DropNewest, "one")] {
        let limits = RecvLimits::default().max_queued_messages(1).policy(policy);
        let client = net.connect("/echo", |builder| builder.recv_limits(limits)).await.expect("it opens");
        let (calls, waker) = Count::waker();
        {
            let mut waiting = pin!(client.recv());
            assert!(poll_with(&waker, waiting.as_mut()).is_pending());
            client.send("one").await.expect("open");
            while calls.calls() == 0 {
                net.turn().await;
            }
        }
        // Nobody waits any more, so that the second takes the place of the first, or none.
        client.send("two").await.expect("open");
        until_dropped(net, &client, 1).await;
        assert_eq!(client.recv().await, text(found));
    }
}

pub(crate) async fn b16_what_comes_after_a_local_close_is_not_counted(net: &impl Net) {
    let limits = RecvLimits::default().max_queued_messages(1).policy(RecvPolicy::DropNewest);
    // WebKit has been seen to give 20 MB of them in one go.
    let flood = "/flood?messages=100000&bytes=1000";
    let client = net.connect(flood, |builder| builder.recv_limits(limits)).await.expect("it opens");
    until_dropped(net, &client, 1).await;
    let before = client.dropped();
    assert!(before.messages < 95_000, "the test needs messages that arrive after the close");
    let closing = client.close_with(CloseOptions::default().code(4001).within(SHORT));
    let closed = closing.await.expect("a code that may be sent");
    assert_eq!((closed.dropped, client.dropped()), (before, before));
    // What waits can still be taken.
    assert!(client.recv().await.is_some());
    assert_eq!(client.recv().await, None);
}

pub(crate) async fn b16_nothing_is_dropped_by_default(net: &impl Net) {
    let client = open(net, "/flood?messages=1000&bytes=1000").await;
    let closed = client.closed().await;
    assert_eq!((closed.cause, closed.dropped), (CloseCause::Peer, amount_of(0, 0)));
    let mut received = 0;
    while client.recv().await.is_some() {
        received += 1;
    }
    assert_eq!((received, client.dropped()), (1000, amount_of(0, 0)));
}
