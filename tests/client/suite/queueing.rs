//! The bounds of the send queue, and those who wait for room.
//!
//! The driver is a task here: until the test awaits something, the queue only fills.

use core::pin::pin;

use futures_util::future::{join, join_all};
use futures_util::{SinkExt, StreamExt, stream};
use tidegate::{
    Client, CloseCause, CloseOptions, Message, Outcome, ReadyState, SendError, SendLimits, Sender, SinkError,
    Ticket,
};

use super::{Count, Net, Report, SHORT, amount_of, open, pattern, poll_once, poll_with, report};

async fn bounded(net: &impl Net, route: &str, messages: u32, bytes: u64) -> Client {
    let limits =
        SendLimits { max_queued_bytes: bytes, max_queued_messages: messages, ..SendLimits::default() };
    net.connect(route, |builder| builder.send_limits(limits)).await.expect("the route opens")
}

/// Fills the queue; returns how many messages it took.
fn fill(sender: &Sender, message: &str) -> usize {
    (0..1000).take_while(|_| sender.try_send(message).is_ok()).count()
}

/// The message was refused for want of room and given back.
fn full(sent: Result<Ticket, SendError>, message: &str) {
    assert_eq!(sent.expect_err("the queue is full"), SendError::Full(Message::from(message)));
}

pub(crate) async fn b28_try_send_gives_the_message_back_when_the_queue_is_full(net: &impl Net) {
    // Bounded by messages.
    let client = bounded(net, "/sink", 3, 1000).await;
    let (sender, _receiver) = client.split();
    assert_eq!(fill(&sender, "x"), 3);
    full(client.try_send("x"), "x");
    assert_eq!(sender.queued(), amount_of(3, 3));
    // Bounded by bytes: exactly so many pass.
    let client = bounded(net, "/sink", 1000, 10).await;
    assert!(client.try_send("123456").is_ok());
    full(client.try_send("12345"), "12345");
    assert!(client.try_send("1234").is_ok());
    full(client.try_send("1"), "1");
    // Nothing that was refused was counted or sent.
    assert_eq!(report(&client).await, Report::of(["123456", "1234"]));
}

pub(crate) async fn b28_send_waits_for_room_and_drops_nothing(net: &impl Net) {
    let client = bounded(net, "/sink", 4, 10_000).await;
    let (sender, _receiver) = client.split();
    let payloads: Vec<_> = (0..400).map(|number| pattern(number, 1000)).collect();
    // Four senders, each in its own order, all waiting most of the time.
    let chunks: Vec<Vec<_>> = payloads.chunks(100).map(<[_]>::to_vec).collect();
    let sending = chunks.iter().map(|chunk| {
        let sender = sender.clone();
        async move {
            for payload in chunk {
                sender.send(payload.as_slice()).await.expect("open");
                let queued = sender.queued();
                assert!(queued.messages <= 4 && queued.bytes <= 10_000, "{queued:?}");
            }
        }
    });
    join_all(sending).await;
    let reported = report(&client).await;
    assert_eq!((reported.messages, reported.bytes), (400, 400_000));
}

pub(crate) async fn b28_a_message_above_the_bound_is_taken_alone(net: &impl Net) {
    let client = bounded(net, "/sink", 10, 100).await;
    let large = pattern(28, 5000);
    assert!(client.try_send(large.as_slice()).is_ok());
    assert!(matches!(client.try_send(""), Err(SendError::Full(_))), "the queue is more than full");
    client.send(large.as_slice()).await.expect("open, and empty at some time");
    client.send("small").await.expect("open");
    let expected = Report::of([large.as_slice(), &large, b"small"]);
    assert_eq!(report(&client).await, expected);
}

pub(crate) async fn b27_a_dropped_send_leaves_the_message_unsent(net: &impl Net) {
    let client = bounded(net, "/sink", 2, 100).await;
    let (sender, _receiver) = client.split();
    assert_eq!(fill(&sender, "in"), 2);
    {
        let mut waiting = pin!(sender.send("dropped"));
        assert!(poll_once(waiting.as_mut()).await.is_pending());
        assert!(poll_once(waiting.as_mut()).await.is_pending());
        assert_eq!(sender.queued(), amount_of(2, 4));
    }
    // Neither polled nor sent.
    drop(sender.send("never polled"));
    assert_eq!(sender.queued(), amount_of(2, 4));
    assert_eq!(report(&client).await, Report::of(["in", "in"]));
}

pub(crate) async fn b27_whoever_waits_next_gets_the_room(net: &impl Net) {
    let client = bounded(net, "/sink", 1, 100).await;
    let (sender, _receiver) = client.split();
    assert_eq!(fill(&sender, "first"), 1);
    let mut dropped = Box::pin(sender.send("dropped"));
    let mut second = pin!(sender.send("second"));
    let mut third = pin!(sender.send("third"));
    assert!(poll_once(dropped.as_mut()).await.is_pending());
    assert!(poll_once(second.as_mut()).await.is_pending());
    assert!(poll_once(third.as_mut()).await.is_pending());
    // The first in the line goes away: what it was given room for, the next may use.
    drop(dropped);
    let (second, third) = join(second, third).await;
    assert_eq!(second.expect("open").await, Outcome::HandedOver);
    assert_eq!(third.expect("open").await, Outcome::HandedOver);
    assert_eq!(report(&client).await, Report::of(["first", "second", "third"]));
}

pub(crate) async fn b27_a_dropped_sink_send_does_not_block_others(net: &impl Net) {
    let client = bounded(net, "/sink", 1, 100).await;
    let (mut sink, _receiver) = client.split();
    let other = sink.clone();
    assert_eq!(fill(&other, "first"), 1);
    // Waits for room, then is dropped while its sink lives on: as in a `select` that went another way.
    assert!(poll_once(pin!(sink.feed(Message::from("dropped")))).await.is_pending());
    other.send("second").await.expect("open");
    other.send("third").await.expect("open");
    sink.feed(Message::from("fourth")).await.expect("open");
    assert_eq!(report(&client).await, Report::of(["first", "second", "third", "fourth"]));
}

pub(crate) async fn b28_a_sink_waits_for_room(net: &impl Net) {
    let client = bounded(net, "/sink", 2, 100).await;
    let (mut sink, _receiver) = client.split();
    let payloads: Vec<_> = (0..100_u32).map(|number| number.to_string()).collect();
    let mut messages = stream::iter(payloads.iter().map(|payload| Ok(Message::from(payload.as_str()))));
    sink.send_all(&mut messages).await.expect("open");
    assert_eq!((messages.next().await, sink.queued()), (None, amount_of(0, 0)));
    assert_eq!(report(&client).await, Report::of(&payloads));
}

pub(crate) async fn b32_what_is_queued_can_be_dropped_and_is_counted(net: &impl Net) {
    let client = open(net, "/sink").await;
    client.send("sent").await.expect("open").await;
    let tickets: Vec<_> = (0..5).map(|_| client.try_send("queued").expect("room")).collect();
    let closed =
        client.close_with(CloseOptions::default().code(4001).drop_queued()).await.expect("may be sent");
    assert_eq!((closed.code, closed.cause), (4001, CloseCause::Local));
    let mut outcomes = Vec::new();
    for ticket in tickets {
        outcomes.push(ticket.await);
    }
    // The commands of the handles are carried out in their order: by the time of the close, the
    // transport may have had some of them, and those it has not had are counted.
    let unsent = outcomes.iter().filter(|outcome| **outcome == Outcome::Unsent).count() as u64;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Unsent | Outcome::HandedOver)));
    assert_eq!((closed.unsent, closed.unknown), (amount_of(unsent, unsent * 6), amount_of(0, 0)));
    assert!(unsent > 0, "the close came before anything could go out");
}

pub(crate) async fn b39_what_was_queued_and_what_was_handed_over_are_counted_apart(net: &impl Net) {
    let client = net.connect("/stall", |builder| builder.close_within(SHORT)).await.expect("it opens");
    // More than any buffer on the way holds, against a peer that does not read.
    let mut tickets = Vec::new();
    for number in 0..300 {
        tickets.push(client.try_send(pattern(number, 50_000)).expect("there is room for 16 MiB"));
    }
    let closed = client.close(4001, "").await.expect("may be sent");
    assert_eq!(closed.cause, CloseCause::Unconfirmed);
    let (mut unsent, mut unknown) = (amount_of(0, 0), amount_of(0, 0));
    for ticket in tickets {
        let amount = match ticket.await {
            Outcome::Unsent => &mut unsent,
            Outcome::HandedOver | Outcome::Unknown => &mut unknown,
            other => panic!("{other:?}"),
        };
        amount.messages += 1;
        amount.bytes += 50_000;
    }
    assert_eq!((closed.unsent, closed.unknown), (unsent, unknown));
    assert!(unsent.messages > 0 && unknown.messages > 0, "{closed:?}");
}

pub(crate) async fn b39_a_sink_is_told_that_not_everything_went_out(net: &impl Net) {
    let client = net.connect("/stall", |builder| builder.close_within(SHORT)).await.expect("it opens");
    let (mut sink, _receiver) = client.split();
    for number in 0..300 {
        sink.feed(pattern(number, 50_000).into()).await.expect("there is room for 16 MiB");
    }
    let closing = client.close(4001, "");
    assert_eq!(SinkExt::flush(&mut sink).await, Err(SinkError::Lost));
    let refused = sink.feed(Message::from("late")).await;
    assert_eq!(refused, Err(SinkError::Refused(SendError::Closed("late".into()))));
    assert_eq!(SinkExt::close(&mut sink).await, Err(SinkError::Lost));
    assert!(closing.await.expect("may be sent").unsent.messages > 0);
}

pub(crate) async fn b29_a_cancelled_message_is_never_sent(net: &impl Net) {
    let client = open(net, "/sink").await;
    let first = client.try_send("first").expect("room");
    let second = client.try_send("second").expect("room");
    let third = client.try_send("third").expect("room");
    second.cancel();
    second.cancel();
    // Whether the driver has come upon the message before the cancellation is not said; the
    // outcome and what arrives agree.
    let cancelled = second.await == Outcome::Cancelled;
    assert_eq!((first.await, third.await), (Outcome::HandedOver, Outcome::HandedOver));
    let expected = if cancelled { vec!["first", "third"] } else { vec!["first", "second", "third"] };
    assert!(cancelled, "both came in one batch");
    assert_eq!(report(&client).await, Report::of(expected));
}

pub(crate) async fn b36_a_sink_that_closes_keeps_others_awake(net: &impl Net) {
    // However many wait for what: a sink that waits for its flush and then closes waits in two lines.
    for others in 0..4 {
        let client = open(net, "/echo").await;
        let mut sinks: Vec<_> = (0..=others).map(|_| client.split().0).collect();
        for sink in &mut sinks {
            sink.feed(Message::from("x")).await.expect("open");
            assert!(poll_once(pin!(SinkExt::flush(sink))).await.is_pending());
        }
        let (calls, waker) = Count::waker();
        let mut watching = pin!(client.closed());
        assert!(poll_with(&waker, watching.as_mut()).is_pending());
        let mut sink = sinks.pop().expect("there is one");
        let (flushed, flush_waker) = Count::waker();
        let mut flushing = sinks.iter_mut().map(SinkExt::flush).collect::<Vec<_>>();
        for flush in &mut flushing {
            assert!(poll_with(&flush_waker, pin!(flush)).is_pending());
        }
        assert!(poll_once(pin!(SinkExt::close(&mut sink))).await.is_pending());
        drop(sink);
        while client.ready_state() != ReadyState::Closed {
            net.turn().await;
        }
        assert!(calls.calls() > 0, "the watcher was forgotten");
        assert!(flushed.calls() >= others, "a flush was forgotten");
    }
}
