//! Opening a connection, and not opening one.

use core::pin::pin;

use tidegate::{CloseCause, CloseError, ConnectError, ReadyState, RecvLimits, RecvPolicy, SubprotocolError};

use super::{LONG, Net, SHORT, drop_after, open, poll_once, text};

pub(crate) async fn b01_the_offered_subprotocol_is_chosen(net: &impl Net) {
    for names in [&["chat.v2"][..], &["chat.v2", "chat.v1"], &["!#$%&'*+-.^_`|~", "a", "Z9"]] {
        let describe = |builder| {
            names.iter().fold(builder, |builder: tidegate::ClientBuilder, name| builder.subprotocol(*name))
        };
        let client = net.connect("/subprotocol", describe).await.expect("one is acknowledged");
        assert_eq!(Some(&client.protocol().as_str()), names.first());
    }
}

pub(crate) async fn b01_wrong_subprotocols_are_typed_errors(net: &impl Net) {
    for name in ["", "two words", "a,b", "a/b", "a\t", "gr\u{fc}n", "a\u{0}"] {
        // Nobody is there: an error of any other kind would mean that it was tried.
        let error = net.connect("/refused", |builder| builder.subprotocol("fine").subprotocol(name)).await;
        let expected = SubprotocolError::NotAToken { name: name.into() };
        assert_eq!(error.err(), Some(ConnectError::Subprotocol(expected)), "{name:?}");
    }
    let twice = |builder: tidegate::ClientBuilder| builder.subprotocol("a").subprotocol("b").subprotocol("a");
    let expected = SubprotocolError::Duplicate { name: "a".into() };
    let error = net.connect("/refused", twice).await.err();
    assert_eq!(error, Some(ConnectError::Subprotocol(expected)));
}

pub(crate) async fn b33_an_overflow_code_that_may_not_be_sent_is_a_typed_error(net: &impl Net) {
    for code in [0, 999, 1001, 1006, 1009, 2999, 5000] {
        let limits = RecvLimits::default().policy(RecvPolicy::Close { code });
        let error = net.connect("/refused", |builder| builder.recv_limits(limits)).await.err();
        assert_eq!(error, Some(ConnectError::OverflowCode(CloseError::Code { code })));
    }
}

pub(crate) async fn b05_a_refused_connection_fails_once_with_its_close_event(net: &impl Net) {
    fails(net, "/refused").await;
}

/// Connecting to `route` fails, and says so with a close event.
pub(crate) async fn fails(net: &impl Net, route: &str) -> ConnectError {
    let error = net.connect(route, |builder| builder.connect_within(LONG)).await.expect_err("it must fail");
    let ConnectError::Failed { closed, .. } = &error else { panic!("another error for {route}: {error:?}") };
    assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Peer), "{route}");
    assert_eq!((closed.unsent.messages, closed.unknown.messages), (0, 0));
    error
}

pub(crate) async fn b06_a_dropped_connect_leaves_nothing_behind(net: &impl Net) {
    for route in ["/never", "/echo", "/refused"] {
        {
            let connecting = pin!(net.connect(route, |builder| builder));
            assert!(poll_once(connecting).await.is_pending(), "{route}");
        }
        net.turn().await;
    }
    // What comes after is as if nothing had been.
    let client = open(net, "/echo").await;
    client.send("still here").await.expect("open");
    assert_eq!(client.recv().await, text("still here"));
}

pub(crate) async fn b08_the_connect_deadline_ends_the_attempt(net: &impl Net) {
    let error = net.connect("/never", |builder| builder.connect_within(SHORT)).await.expect_err("no answer");
    let ConnectError::TimedOut { closed } = &error else { panic!("another error: {error:?}") };
    assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::ConnectTimeout));
    assert_eq!(error.to_string(), "the connection did not open before the deadline");
    // Off: it then waits, here until it is dropped.
    let waiting = net.connect("/never", |builder| builder.connect_within(None));
    assert!(drop_after(net, 5, waiting).await.is_none());
}

pub(crate) async fn b10_connect_resolves_when_open_and_tells_what_was_agreed(net: &impl Net) {
    let client = open(net, "/echo").await;
    assert_eq!(client.ready_state(), ReadyState::Open);
    assert_eq!((client.protocol().as_str(), client.extensions().as_str()), ("", ""));
    let (scheme, rest) = client.url().split_once("://").expect("an absolute url");
    assert!(["ws", "wss"].contains(&scheme) && rest.ends_with("/echo"), "{}", client.url());
    // It can be used at once.
    let ticket = client.try_send("now").expect("there is room");
    assert_eq!(client.recv().await, text("now"));
    assert_eq!(ticket.await, tidegate::Outcome::HandedOver);
}
