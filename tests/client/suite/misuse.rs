//! Sends at odd places and with odd arguments: each comes out as documented, and nothing is lost.
//!
//! The driver is a task here: until the test awaits something, the queue only fills.

use core::pin::pin;
use core::task::Poll;
use std::sync::Arc;
use std::task::{Wake, Waker};

use futures_util::SinkExt;
use futures_util::future::join_all;
use tidegate::{Message, Outcome, SendError, SendLimits, SendOptions, Sender};

use super::{LONG, Net, Report, open, poll_once, poll_with, report};

/// A name of a megabyte; they differ in their last letter.
fn long(letter: char) -> String {
    let mut name = "k".repeat(1 << 20);
    name.push(letter);
    name
}

pub(crate) async fn b26_a_key_of_a_megabyte_is_a_key_like_others(net: &impl Net) {
    let client = open(net, "/sink").await;
    let latest = |letter| SendOptions::new().latest(long(letter)).deadline(LONG);
    let first = client.try_send_with("first", latest('a')).expect("room");
    let other = client.try_send_with("other", latest('b')).expect("room");
    let second = client.try_send_with("second", latest('a')).expect("room");
    // As a flow it is one, too.
    let flow = client.try_send_with("flow", SendOptions::new().flow(long('a'))).expect("room");
    let outcomes = join_all([first, other, second, flow]).await;
    assert_eq!(
        outcomes,
        [Outcome::Superseded, Outcome::HandedOver, Outcome::HandedOver, Outcome::HandedOver]
    );
    assert_eq!(report(&client).await, Report::of(["second", "other", "flow"]));
}

pub(crate) async fn b28_every_way_into_a_full_queue_finds_it_full_and_loses_nothing(net: &impl Net) {
    let by_messages = SendLimits { max_queued_messages: 2, ..SendLimits::default() };
    let by_bytes = SendLimits { max_queued_bytes: 2, ..SendLimits::default() };
    let flow_by_messages = SendLimits { max_flow_messages: 2, ..SendLimits::default() };
    let flow_by_bytes = SendLimits { max_flow_bytes: 2, ..SendLimits::default() };
    for limits in [by_messages, by_bytes, flow_by_messages, flow_by_bytes] {
        let client = net.connect("/sink", |builder| builder.send_limits(limits)).await.expect("it opens");
        let (sender, _receiver) = client.split();
        let mut sink = sender.clone();
        assert!(client.try_send("1").is_ok() && client.try_send("2").is_ok());
        let full = SendError::Full(Message::from("x"));
        assert_eq!(client.try_send("x").expect_err("full"), full);
        assert_eq!(sender.try_send("x").expect_err("full"), full);
        assert_eq!(sender.try_send_with("x", SendOptions::new()).expect_err("full"), full);
        // A newer value needs room where there is no older one.
        let latest = SendOptions::new().latest("key");
        assert_eq!(sender.try_send_with("x", latest).expect_err("full"), full);
        let mut given_up = Box::pin(sender.send("given up"));
        let mut first = pin!(sender.send("3"));
        let mut second = pin!(sink.feed(Message::from("4")));
        let mut kept = pin!(sender.reserve(1, SendOptions::new()));
        assert!(poll_once(given_up.as_mut()).await.is_pending());
        assert!(poll_once(first.as_mut()).await.is_pending());
        // A sink asks before it knows how large its next message is, and so may pass a bound in bytes by that one.
        let is_taken = limits.max_queued_bytes == 2 || limits.max_flow_bytes == 2;
        let polled = poll_once(second.as_mut()).await;
        assert_eq!(polled.is_ready(), is_taken, "{limits:?}");
        assert!(poll_once(kept.as_mut()).await.is_pending());
        // Who has come later passes none of those who wait.
        assert_eq!(client.try_send("x").expect_err("full"), full);
        drop(given_up);
        first.await.expect("open");
        match polled {
            Poll::Ready(taken) => taken.expect("open"),
            Poll::Pending => second.await.expect("open"),
        }
        kept.await.expect("open").send("5").expect("room was kept");
        client.flushed().await.expect("open");
        let reported = report(&client).await;
        assert_eq!(reported.messages, 5, "{limits:?}");
        assert_eq!(client.stats().queued().messages, 0);
    }
}

/// Sends when it is woken, and when it is dropped.
struct Sending(Sender);

impl Wake for Sending {
    fn wake(self: Arc<Self>) {
        self.0.try_send("from a waker").expect("room");
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.try_send("from a drop").expect("room");
    }
}

pub(crate) async fn b27_a_send_from_a_waker_and_from_a_drop_goes(net: &impl Net) {
    let client = open(net, "/sink").await;
    let (sender, _receiver) = client.split();
    let waker = Waker::from(Arc::new(Sending(sender.clone())));
    let mut ticket = client.try_send("first").expect("room");
    // It is woken, and dropped, by the driver: in the midst of its work.
    assert_eq!(poll_with(&waker, pin!(&mut ticket)), Poll::Pending);
    drop(waker);
    client.flushed().await.expect("open");
    assert_eq!(ticket.outcome(), Some(Outcome::HandedOver));
    assert_eq!(report(&client).await, Report::of(["first", "from a waker", "from a drop"]));
}
