//! What goes first, what is dropped, who waits for whom, and the numbers about it.
//!
//! The driver is a task here: until the test awaits something, the queue only fills.

use core::pin::pin;
use core::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use tidegate::{
    Client, CloseOptions, Message, NotSent, Outcome, Priority, ReserveError, SendError, SendLimits,
    SendOptions, Ticket,
};

use super::{LONG, Net, Report, amount_of, bounded, open, pattern, poll_once, report};

fn queue(client: &Client, message: &str, options: SendOptions) -> Ticket {
    client.try_send_with(message, options).expect("there is room")
}

pub(crate) async fn b25_higher_priorities_go_first_and_each_keeps_its_order(net: &impl Net) {
    let client = open(net, "/sink").await;
    let all = [Priority::Background, Priority::Bulk, Priority::Normal, Priority::Urgent];
    for priority in all {
        for number in 0..3 {
            queue(&client, &format!("{priority:?} {number}"), SendOptions::new().priority(priority));
        }
    }
    client.flushed().await.expect("open");
    let order = all.into_iter().rev().flat_map(|priority| (0..3).map(move |n| format!("{priority:?} {n}")));
    assert_eq!(report(&client).await, Report::of(order));
}

pub(crate) async fn b25_the_messages_of_a_flow_keep_their_order(net: &impl Net) {
    let client = open(net, "/sink").await;
    let flows = ["a", "b", ""].map(|name| SendOptions::bulk().flow(name));
    let mut tickets = Vec::new();
    for number in 0..20 {
        for flow in &flows {
            tickets.push(queue(&client, &format!("{number}"), flow.clone()));
        }
    }
    assert!(join_all(tickets).await.iter().all(|outcome| *outcome == Outcome::HandedOver));
    assert_eq!(report(&client).await.messages, 60);
}

pub(crate) async fn b26_the_latest_value_takes_the_place_of_the_others(net: &impl Net) {
    let client = open(net, "/sink").await;
    let latest = |key: &str| SendOptions::new().latest(key);
    let long = "k".repeat(1 << 20);
    let mut tickets = vec![queue(&client, "x1", latest("x")), queue(&client, "y1", latest(&long))];
    queue(&client, "between", SendOptions::new());
    for value in ["x2", "x3"] {
        tickets.push(queue(&client, value, latest("x")));
    }
    tickets.push(queue(&client, "y2", latest(&long)));
    // Urgent, so that it goes before the place where the last one was.
    tickets.push(queue(&client, "x4", SendOptions::urgent().latest("x")));
    // Nobody holds the ticket of the newest one.
    drop(queue(&client, "z1", latest("z")));
    drop(queue(&client, "z2", latest("z")));
    client.flushed().await.expect("open");
    let outcomes = join_all(tickets).await;
    let (gone, sent) = (Outcome::Superseded, Outcome::HandedOver);
    assert_eq!(outcomes, [gone, gone, gone, gone, sent, sent]);
    // Once it has left, the next value is a message of its own.
    assert_eq!(queue(&client, "x5", latest("x")).await, sent);
    assert_eq!(report(&client).await, Report::of(["x4", "y2", "between", "z2", "x5"]));
}

pub(crate) async fn b26_a_latest_value_has_the_room_of_the_one_before_it(net: &impl Net) {
    let limits = SendLimits { max_queued_bytes: 10, ..SendLimits::default() };
    let client = bounded(net, "/sink", limits).await;
    let latest = SendOptions::new().latest("key");
    queue(&client, "12345", latest.clone());
    queue(&client, "12345", SendOptions::new());
    assert!(matches!(client.try_send("x"), Err(SendError::Full(_))));
    queue(&client, "54321", latest.clone());
    assert!(matches!(client.try_send_with("123456", latest), Err(SendError::Full(_))));
    client.flushed().await.expect("open");
    assert_eq!(report(&client).await, Report::of(["54321", "12345"]));
}

pub(crate) async fn b26_what_has_expired_is_never_sent(net: &impl Net) {
    let client = open(net, "/sink").await;
    let within = |within| SendOptions::new().deadline(within);
    let passed = queue(&client, "late", within(Duration::ZERO));
    let kept = queue(&client, "in time", within(LONG));
    let also = client.send_with("late too", within(Duration::ZERO)).await.expect("it is queued");
    assert_eq!(
        [passed.await, kept.await, also.await],
        [Outcome::Expired, Outcome::HandedOver, Outcome::Expired]
    );
    assert_eq!(report(&client).await, Report::of(["in time"]));
}

pub(crate) async fn b28_a_full_priority_keeps_no_other_out(net: &impl Net) {
    let limits = SendLimits { max_queued_messages: 1, ..SendLimits::default() };
    let client = bounded(net, "/sink", limits).await;
    queue(&client, "bulk 1", SendOptions::bulk());
    assert!(client.try_send_with("bulk 2", SendOptions::bulk()).is_err());
    let mut waiting = pin!(client.send_with("bulk 2", SendOptions::bulk()));
    assert!(poll_once(waiting.as_mut()).await.is_pending());
    // Nor those who wait for it.
    assert!(client.send_with("urgent", SendOptions::urgent()).await.is_ok());
    assert!(client.send("normal").await.is_ok());
    assert!(waiting.await.is_ok());
    client.flushed().await.expect("open");
    assert_eq!(report(&client).await, Report::of(["urgent", "normal", "bulk 1", "bulk 2"]));
}

pub(crate) async fn b28_a_full_flow_keeps_no_other_out(net: &impl Net) {
    let limits = SendLimits { max_flow_bytes: 10, max_flow_messages: 2, ..SendLimits::default() };
    let client = bounded(net, "/sink", limits).await;
    let flow = |name| SendOptions::new().flow(name);
    queue(&client, "1234567890", flow("a"));
    assert!(client.try_send_with("x", flow("a")).is_err());
    let mut waiting = pin!(client.send_with("x", flow("a")));
    assert!(poll_once(waiting.as_mut()).await.is_pending());
    queue(&client, "1", flow("b"));
    queue(&client, "2", flow("b"));
    assert!(client.try_send_with("3", flow("b")).is_err());
    queue(&client, "4", SendOptions::new());
    assert!(waiting.await.is_ok());
    assert_eq!(report(&client).await.messages, 5);
}

pub(crate) async fn b28_try_send_overtakes_nobody_of_its_priority_and_flow(net: &impl Net) {
    let limits = SendLimits { max_queued_bytes: 10, ..SendLimits::default() };
    let client = bounded(net, "/sink", limits).await;
    queue(&client, "12345678", SendOptions::new());
    {
        let mut waiting = pin!(client.send("waits"));
        assert!(poll_once(waiting.as_mut()).await.is_pending());
        assert!(matches!(client.try_send("x"), Err(SendError::Full(_))), "there is room for it, and a line");
        queue(&client, "y", SendOptions::new().flow("other"));
    }
    queue(&client, "z", SendOptions::new());
    assert_eq!(report(&client).await.messages, 3);
}

pub(crate) async fn b28_ten_thousand_senders_each_get_their_turn(net: &impl Net) {
    let limits = SendLimits { max_queued_messages: 10, ..SendLimits::default() };
    let client = bounded(net, "/sink", limits).await;
    let sends = (0..10_000).map(|number: u32| {
        let priority = Priority::ALL[number as usize % 4];
        client.send_with(number.to_string(), SendOptions::new().priority(priority))
    });
    let tickets = join_all(sends).await.into_iter().map(|ticket| ticket.expect("open"));
    let outcomes = join_all(tickets).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::HandedOver));
    assert_eq!(report(&client).await.messages, 10_000);
}

pub(crate) async fn flushed_waits_for_what_was_queued_before_it_and_for_nothing_else(net: &impl Net) {
    let client = open(net, "/sink").await;
    client.flushed().await.expect("nothing is queued");
    let first = queue(&client, "first", SendOptions::background());
    let flushed = client.flushed();
    let second = queue(&client, "second", SendOptions::urgent());
    let mut flushed = pin!(flushed);
    assert!(poll_once(flushed.as_mut()).await.is_pending());
    flushed.await.expect("open");
    assert_eq!((first.outcome(), second.outcome()), (Some(Outcome::HandedOver), Some(Outcome::HandedOver)));
    // What ends otherwise has ended, too.
    let cancelled = queue(&client, "cancelled", SendOptions::new());
    let flushed = client.flushed();
    cancelled.cancel();
    flushed.await.expect("open");
    // Dropped at any time, it leaves nothing behind.
    queue(&client, "third", SendOptions::new());
    let mut dropped = Box::pin(client.flushed());
    assert!(poll_once(dropped.as_mut()).await.is_pending());
    drop(dropped);
    assert_eq!(report(&client).await, Report::of(["second", "first", "third"]));
}

pub(crate) async fn flushed_and_drained_say_that_the_connection_ended_first(net: &impl Net) {
    let client = open(net, "/stall").await;
    for number in 0..200 {
        client.try_send(pattern(number, 65_536)).expect("there is room");
    }
    let (flushed, drained) = (client.flushed(), client.drained());
    let closed = client.close_with(CloseOptions::default().drop_queued().within(Duration::ZERO));
    assert_eq!((flushed.await, drained.await), (Err(NotSent), Err(NotSent)));
    assert!(closed.await.expect("the code may be sent").unsent.messages > 0);
    assert_eq!(client.flushed().await, Err(NotSent), "nor later");
}

pub(crate) async fn flushed_says_that_the_connection_ended_though_nobody_has_asked_before(net: &impl Net) {
    let client = open(net, "/stall").await;
    for number in 0..200 {
        client.try_send(pattern(number, 65_536)).expect("there is room");
    }
    let closing = client.close_with(CloseOptions::default().drop_queued().within(Duration::ZERO));
    assert!(closing.await.expect("the code may be sent").unsent.messages > 0);
    assert_eq!((client.flushed().await, client.drained().await), (Err(NotSent), Err(NotSent)));
    // Where all of it was sent, it was.
    let client = open(net, "/sink").await;
    client.send("sent").await.expect("open");
    assert_eq!(client.close(1000, "").await.expect("may be sent").unsent.messages, 0);
    assert_eq!(client.flushed().await, Ok(()));
}

pub(crate) async fn drained_waits_until_the_transport_has_sent_everything(net: &impl Net) {
    let client = open(net, "/sink").await;
    client.drained().await.expect("nothing is queued");
    for number in 0..40 {
        queue(&client, &"x".repeat(10_000), SendOptions::new().priority(Priority::ALL[number % 4]));
    }
    client.drained().await.expect("open");
    assert_eq!(client.stats().queued(), amount_of(0, 0));
    assert_eq!(report(&client).await.messages, 40);
}

pub(crate) async fn b28_reserved_room_is_kept_until_it_is_used_or_given_back(net: &impl Net) {
    let limits = SendLimits { max_queued_bytes: 10, max_queued_messages: 2, ..SendLimits::default() };
    let client = bounded(net, "/sink", limits).await;
    let (sender, _receiver) = client.split();
    let permit = sender.reserve(6, SendOptions::new()).await.expect("open");
    assert_eq!(permit.bytes(), 6);
    assert!(
        client.try_send("12345").is_err() && client.try_send_with("12345", SendOptions::urgent()).is_ok()
    );
    assert_eq!(
        permit.send("too long").expect_err("more than was kept"),
        SendError::AbovePermit(Message::from("too long"))
    );
    // It was given up with that.
    let permit = sender.reserve(6, SendOptions::new()).await.expect("open");
    let mut waiting = pin!(sender.send("12345"));
    assert!(poll_once(waiting.as_mut()).await.is_pending());
    drop(permit);
    let ticket = waiting.await.expect("open");
    assert_eq!(ticket.await, Outcome::HandedOver);
    let permit = sender.reserve(10, SendOptions::urgent()).await.expect("open");
    // One who waits for room and gives up keeps nobody from it.
    let second = sender.reserve(1, SendOptions::urgent());
    let mut second = Box::pin(second);
    assert!(poll_once(second.as_mut()).await.is_pending());
    drop(second);
    assert_eq!(permit.send("kept").expect("there is room").await, Outcome::HandedOver);
    assert_eq!(report(&client).await.messages, 3);
    drop(client.close(1000, ""));
    assert_eq!(sender.reserve(1, SendOptions::new()).await.map(|permit| permit.bytes()), Err(ReserveError));
}

pub(crate) async fn stats_count_what_became_of_messages(net: &impl Net) {
    let client = open(net, "/sink").await;
    let sent = queue(&client, "four", SendOptions::urgent());
    let old = queue(&client, "one", SendOptions::bulk().latest("key"));
    let new = queue(&client, "three", SendOptions::bulk().latest("key"));
    let expired = queue(&client, "late", SendOptions::bulk().deadline(Duration::ZERO));
    let cancelled = queue(&client, "ab", SendOptions::background());
    let stats = client.stats();
    assert_eq!(stats.queued(), amount_of(5, 18));
    assert_eq!(stats.class(Priority::Bulk).queued, amount_of(3, 12));
    cancelled.cancel();
    join_all([sent, old, new, expired, cancelled]).await;
    let stats = client.stats();
    assert_eq!(stats.queued(), amount_of(0, 0));
    let (urgent, bulk) = (stats.class(Priority::Urgent), stats.class(Priority::Bulk));
    assert_eq!((urgent.handed_over, bulk.handed_over), (amount_of(1, 4), amount_of(1, 5)));
    assert_eq!((bulk.superseded, bulk.expired), (amount_of(1, 3), amount_of(1, 4)));
    assert_eq!(stats.class(Priority::Background).cancelled, amount_of(1, 2));
    assert_eq!(bulk.waits.counts().iter().sum::<u32>(), 1);
}

pub(crate) async fn stats_come_again_when_they_have_changed(net: &impl Net) {
    let client = open(net, "/sink").await;
    let mut changes = client.stats_changes();
    assert_eq!(changes.next().await.map(|stats| stats.queued()), Some(amount_of(0, 0)));
    assert!(poll_once(pin!(changes.next())).await.is_pending());
    queue(&client, "four", SendOptions::new());
    loop {
        let stats = changes.next().await.expect("open");
        if stats.class(Priority::Normal).handed_over == amount_of(1, 4) {
            break;
        }
    }
    drop(client.close(1000, ""));
    // The end may come with a last change.
    while changes.next().await.is_some() {}
}
