//! Ends of a connection.

use core::pin::pin;

use futures_util::future::{join, join3};
use tidegate::{CloseCause, CloseError, CloseOptions, Closed, Outcome};

use super::{LONG, Net, SHORT, amount_of, open, pattern, poll_once, text};

/// The client closed with `code`, and the peer has confirmed.
fn confirmed(closed: &Closed, code: u16) {
    assert_eq!((closed.code, closed.was_clean, closed.cause), (code, true, CloseCause::Local));
    assert_eq!((closed.unsent, closed.unknown), (amount_of(0, 0), amount_of(0, 0)));
}

pub(crate) async fn b31_close_has_its_own_deadline(net: &impl Net) {
    let client = net.connect("/stall", |builder| builder.close_within(SHORT)).await.expect("it opens");
    let ticket = client.send(pattern(31, 1000)).await.expect("open");
    assert_eq!(ticket.await, Outcome::HandedOver);
    let closed = client.close(4001, "bye").await.expect("may be sent");
    assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Unconfirmed));
    assert_eq!((closed.unsent, closed.unknown), (amount_of(0, 0), amount_of(1, 1000)));
    // A deadline of the call's own.
    let client = open(net, "/stall").await;
    let closed = client.close_with(CloseOptions::default().within(SHORT)).await.expect("may be sent");
    assert_eq!(closed.cause, CloseCause::Unconfirmed);
}

pub(crate) async fn b33_only_codes_that_may_be_sent_are_taken(net: &impl Net) {
    let client = open(net, "/echo").await;
    let (sender, receiver) = client.split();
    for code in [0, 999, 1001, 1005, 1006, 1011, 1015, 2999, 5000, 65535] {
        let expected = Err(CloseError::Code { code });
        assert_eq!(client.close(code, "").await, expected);
        assert_eq!(sender.close(code, "").await, expected);
        assert_eq!(receiver.close(code, "").await, expected);
        assert_eq!(client.close_with(CloseOptions::default().code(code)).await, expected);
    }
    // The connection stayed as it was.
    client.send("still open").await.expect("open");
    assert_eq!(client.recv().await, text("still open"));
    for code in [1000, 3000, 4999] {
        let client = open(net, "/echo").await;
        confirmed(&client.close(code, "").await.expect("may be sent"), code);
    }
}

pub(crate) async fn b34_a_reason_is_bounded_in_bytes_and_has_a_code(net: &impl Net) {
    let client = open(net, "/echo").await;
    // 41 characters of three bytes are 123 bytes; one more byte is too much, few characters as it has.
    let longest = "\u{6c34}".repeat(41);
    for (reason, bytes) in
        [(format!("{longest}."), 124), ("\u{6c34}".repeat(42), 126), ("x".repeat(4000), 4000)]
    {
        assert_eq!(client.close(4001, &reason).await, Err(CloseError::Reason { bytes }));
    }
    client.send("still open").await.expect("open");
    assert_eq!(client.recv().await, text("still open"));
    confirmed(&client.close(4001, &longest).await.expect("may be sent"), 4001);
    // A reason without a code has 1000; neither has 1005.
    let client = open(net, "/echo").await;
    confirmed(&client.close_with(CloseOptions::default().reason("bye")).await.expect("may be sent"), 1000);
    let client = open(net, "/echo").await;
    confirmed(&client.close_with(CloseOptions::default()).await.expect("may be sent"), 1005);
}

pub(crate) async fn b35_close_works_from_any_handle(net: &impl Net) {
    for which in 0..4 {
        let client = open(net, "/echo").await;
        let (sender, receiver) = client.split();
        let closing = match which {
            0 => client.close(4001, "bye"),
            1 => sender.close(4001, "bye"),
            2 => receiver.close(4001, "bye"),
            _ => sender.clone().close(4001, "bye"),
        };
        confirmed(&closing.await.expect("may be sent"), 4001);
        assert_eq!((client.closed().await.code, receiver.closed().await.code), (4001, 4001));
    }
}

pub(crate) async fn b35_dropping_a_clone_does_nothing(net: &impl Net) {
    let client = open(net, "/echo").await;
    let (sender, receiver) = client.split();
    let (clone, other) = (sender.clone(), client.split().1);
    for dropped in 0..3 {
        match dropped {
            0 => drop(client.split()),
            1 => drop(sender.clone()),
            _ => {}
        }
        net.turn().await;
        clone.send("still open").await.expect("open");
        assert_eq!(receiver.recv().await, text("still open"));
    }
    drop((client, sender, receiver));
    net.turn().await;
    // A sender and a receiver are left.
    clone.send("the last two").await.expect("open");
    assert_eq!(other.recv().await, text("the last two"));
    drop(clone);
    net.turn().await;
    confirmed(&other.close(4001, "").await.expect("may be sent"), 4001);
}

pub(crate) async fn b36_a_second_close_gives_the_same_result(net: &impl Net) {
    let client = open(net, "/echo").await;
    let first = client.close(4001, "first").await;
    assert_eq!(client.close(4002, "second").await, first);
    assert_eq!(client.end(None).await, first.clone().expect("may be sent"));
    assert_eq!(client.closed().await, first.expect("may be sent"));
}

pub(crate) async fn b36_concurrent_closers_all_get_it(net: &impl Net) {
    let client = open(net, "/echo").await;
    let (sender, receiver) = client.split();
    let (first, second, third) =
        join3(client.close(4001, "first"), sender.close(4002, "second"), receiver.close(1000, "")).await;
    confirmed(first.as_ref().expect("may be sent"), 4001);
    assert_eq!((&second, &third), (&first, &first));
}

pub(crate) async fn b39_the_peers_close_leaves_what_was_sent_unknown(net: &impl Net) {
    let client = open(net, "/close?code=4001&reason=bye").await;
    // Whether this is still taken is the peer's speed; the account must be true in any case.
    let mut handed_over = amount_of(0, 0);
    let mut unsent = amount_of(0, 0);
    let mut tickets = Vec::new();
    while let Ok(ticket) = client.try_send([0; 10]) {
        tickets.push(ticket);
        net.turn().await;
    }
    for ticket in tickets {
        let amount = match ticket.await {
            Outcome::HandedOver | Outcome::Unknown => &mut handed_over,
            Outcome::Unsent => &mut unsent,
            other => panic!("{other:?}"),
        };
        amount.messages += 1;
        amount.bytes += 10;
    }
    let closed = client.closed().await;
    assert_eq!((closed.code, closed.cause), (4001, CloseCause::Peer));
    assert_eq!((closed.unsent, closed.unknown), (unsent, handed_over));
}

pub(crate) async fn b39_a_confirmed_close_leaves_nothing(net: &impl Net) {
    let client = open(net, "/sink").await;
    for number in 0..100 {
        client.send(pattern(number, 1000)).await.expect("open");
    }
    confirmed(&client.close(4001, "").await.expect("may be sent"), 4001);
}

pub(crate) async fn b32_what_is_queued_is_sent_before_the_close(net: &impl Net) {
    let client = open(net, "/echo").await;
    let mut tickets = Vec::new();
    for number in 0..20 {
        tickets.push(client.try_send(pattern(number, 50_000)).expect("there is room"));
    }
    let mut closing = pin!(client.close_with(CloseOptions::default().code(4001).within(LONG)));
    let early = poll_once(closing.as_mut()).await;
    assert!(early.is_pending(), "the peer has not confirmed yet");
    let (closed, outcomes) = join(closing, futures_util::future::join_all(tickets)).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::HandedOver));
    // Echoes that are on their way when the close is sent may keep the peer from confirming in
    // order; what counts here is that everything went out before.
    let closed = closed.expect("may be sent");
    assert_eq!((closed.unsent, closed.code), (amount_of(0, 0), 4001));
}
