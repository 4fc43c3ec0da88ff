//! A queue that is not empty. A browser takes what it is given, so that messages only wait behind a
//! Blob that is being read.

use core::pin::pin;

use futures_util::SinkExt as _;
use futures_util::future::join;
use tidegate::{
    Client, CloseCause, CloseOptions, LocalSendError, Message, Outcome, SendError, SendLimits, Ticket,
};

use crate::page::blob;
use crate::suite::{Net, Report, poll_once, report};

/// A client with a queue of at most `messages`, whose head is a Blob of 7 bytes that is being read.
async fn blocked(net: &impl Net, messages: u32) -> (Client, Ticket) {
    let limits = SendLimits { max_queued_messages: messages, ..SendLimits::default() };
    let client = net.connect("/sink", |builder| builder.send_limits(limits)).await.expect("it opens");
    let ticket = client.local().expect("its own thread").try_send(&blob(7, 1)).expect("room");
    (client, ticket)
}

const HEAD: &[u8] = &[7; 7];

pub(crate) async fn b28_try_send_gives_the_message_back_when_the_queue_is_full(net: &impl Net) {
    let (client, head) = blocked(net, 3).await;
    client.try_send("second").expect("room");
    client.try_send("third").expect("room");
    let error = client.try_send("fourth").expect_err("full");
    assert_eq!(error, SendError::Full(Message::from("fourth")));
    let local = client.local().expect("its own thread");
    assert_eq!(local.try_send(&"fourth".into()).err(), Some(LocalSendError::Full));
    assert_eq!((local.queued_messages(), local.buffered_amount()), (3, 18));
    assert_eq!(head.await, Outcome::HandedOver);
    assert_eq!(report(&client).await, Report::of([HEAD, b"second", b"third"]));
}

pub(crate) async fn b28_send_waits_for_room_and_nothing_is_dropped(net: &impl Net) {
    let (client, _head) = blocked(net, 2).await;
    let (mut sink, _receiver) = client.split();
    client.try_send("second").expect("room");
    let mut third = pin!(client.send("third"));
    let mut fourth = pin!(sink.feed(Message::from("fourth")));
    assert!(poll_once(third.as_mut()).await.is_pending());
    assert!(poll_once(fourth.as_mut()).await.is_pending());
    let (third, fourth) = join(third, fourth).await;
    fourth.expect("open");
    assert_eq!(third.expect("open").await, Outcome::HandedOver);
    let reported = report(&client).await;
    assert_eq!((reported.messages, reported.bytes), (4, 7 + 6 + 5 + 6));
}

pub(crate) async fn b27_a_dropped_send_leaves_the_message_unsent_and_lets_others_go(net: &impl Net) {
    let (client, _head) = blocked(net, 1).await;
    {
        let mut dropped = pin!(client.send("dropped"));
        assert!(poll_once(dropped.as_mut()).await.is_pending());
    }
    let (mut abandoned, _receiver) = client.split();
    assert!(poll_once(pin!(abandoned.feed(Message::from("dropped")))).await.is_pending());
    client.send("sent").await.expect("open");
    assert_eq!(report(&client).await, Report::of([HEAD, b"sent"]));
}

pub(crate) async fn b29_what_is_queued_can_be_cancelled(net: &impl Net) {
    let (client, head) = blocked(net, 10).await;
    let second = client.try_send("second").expect("room");
    let third = client.try_send("third").expect("room");
    second.cancel();
    head.cancel();
    assert_eq!((second.await, head.await), (Outcome::Cancelled, Outcome::Cancelled));
    assert_eq!(third.await, Outcome::HandedOver);
    assert_eq!(report(&client).await, Report::of(["third"]));
}

pub(crate) async fn b32_what_is_queued_is_sent_before_the_close_or_dropped_and_counted(net: &impl Net) {
    let (client, head) = blocked(net, 10).await;
    let second = client.try_send("second").expect("room");
    let closed = client.close(4001, "").await.expect("may be sent");
    assert_eq!((head.await, second.await), (Outcome::HandedOver, Outcome::HandedOver));
    assert_eq!((closed.code, closed.cause, closed.unsent.messages), (4001, CloseCause::Local, 0));

    let (client, head) = blocked(net, 10).await;
    let second = client.try_send("second").expect("room");
    let closed =
        client.close_with(CloseOptions::default().code(4001).drop_queued()).await.expect("may be sent");
    assert_eq!((head.await, second.await), (Outcome::Unsent, Outcome::Unsent));
    assert_eq!((closed.code, closed.cause), (4001, CloseCause::Local));
    assert_eq!((closed.unsent.messages, closed.unsent.bytes), (2, 13));
}
