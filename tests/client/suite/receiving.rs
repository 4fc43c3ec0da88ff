//! Messages that arrive, and the end of them.

use core::pin::pin;

use futures_util::future::join3;
use futures_util::{Stream, StreamExt};
use tidegate::{CloseCause, CloseOptions, Message, ReadyState, Receiver, TryRecvError};

use super::{Count, LONG, Net, SHORT, open, poll_once, poll_with, text};

/// What `/burst` sends.
fn burst() -> [Message; 3] {
    [Message::from("one"), Message::from(&[1, 2, 3]), Message::from("three")]
}

pub(crate) async fn b09_frames_in_the_segment_of_the_handshake_arrive_in_order(net: &impl Net) {
    for turns in 0..3 {
        let client = open(net, "/burst").await;
        for _ in 0..turns {
            net.turn().await;
        }
        for expected in burst() {
            assert_eq!(client.recv().await, Some(expected));
        }
        assert_eq!(client.recv().await, None);
        let closed = client.closed().await;
        assert_eq!((closed.code, closed.reason.as_str(), closed.was_clean), (4001, "done", true));
        assert_eq!(closed.cause, CloseCause::Peer);
    }
}

pub(crate) async fn b11_everything_comes_out_before_one_final_close(net: &impl Net) {
    let client = open(net, "/burst").await;
    // The close is known before the first message is asked for.
    assert_eq!(client.closed().await.code, 4001);
    assert_eq!(client.ready_state(), ReadyState::Closed);
    for expected in burst() {
        assert_eq!(client.recv().await, Some(expected));
    }
    assert_eq!((client.recv().await, client.recv().await), (None, None));
    assert_eq!(client.try_recv(), Err(TryRecvError::Closed));
    assert_eq!(client.closed().await, client.closed().await);
}

pub(crate) async fn b11_every_handle_sees_the_same_final_close(net: &impl Net) {
    let client = open(net, "/close?code=4001&reason=bye").await;
    let (sender, receiver) = client.split();
    let clone = sender.clone();
    let (first, second, third) = join3(client.closed(), sender.closed(), receiver.closed()).await;
    assert_eq!((first.code, first.reason.as_str(), first.was_clean), (4001, "bye", true));
    assert_eq!((&second, &third, &clone.closed().await), (&first, &first, &first));
}

pub(crate) async fn b11_a_stream_ends_for_ever(net: &impl Net) {
    let client = open(net, "/burst").await;
    for expected in burst() {
        assert_eq!(client.recv().await, Some(expected));
    }
    for _ in 0..3 {
        assert_eq!(client.recv().await, None);
        net.turn().await;
    }
    // A receiver that is made after the end is at its end.
    let (_, mut receiver) = client.split();
    assert_eq!(receiver.next().await, None);
}

pub(crate) async fn b11_receivers_share_the_messages_and_none_waits_in_vain(net: &impl Net) {
    let client = open(net, "/echo").await;
    let (_, receiver) = client.split();
    let ((first_calls, first_waker), (second_calls, second_waker)) = (Count::waker(), Count::waker());
    let (mut first, mut second) = (pin!(client.recv()), pin!(receiver.recv()));
    assert!(poll_with(&first_waker, first.as_mut()).is_pending());
    assert!(poll_with(&second_waker, second.as_mut()).is_pending());
    // Both messages come before either task has run: each must have been woken.
    client.send("a").await.expect("open");
    client.send("b").await.expect("open");
    client.end(Some(SHORT)).await;
    assert!(first_calls.calls() > 0 && second_calls.calls() > 0);
    assert_eq!((second.await, first.await), (text("a"), text("b")));
}

pub(crate) async fn b11_an_abandoned_stream_does_not_keep_messages_from_others(net: &impl Net) {
    let client = open(net, "/echo").await;
    let (_, mut abandoned) = client.split();
    // Waits, then is neither polled again nor dropped: as in a `select` that went another way.
    let (_, nobody) = Count::waker();
    assert!(poll_with(&nobody, pin!(abandoned.next())).is_pending());
    let mut waiting = pin!(client.recv());
    assert!(poll_once(waiting.as_mut()).await.is_pending());
    client.send("for whoever asks").await.expect("open");
    assert_eq!(waiting.await, text("for whoever asks"));
}

pub(crate) async fn b15_nothing_arrives_after_a_local_close(net: &impl Net) {
    let client = open(net, "/flood?messages=20000&bytes=1000").await;
    assert_eq!(client.recv().await.map(|message| message.size()), Some(1000));
    // What has arrived by now is taken; from the close on there is nothing more.
    let mut before = 1;
    while client.try_recv().is_ok() {
        before += 1;
    }
    assert!(before < 20_000, "the test needs messages that arrive after the close");
    let closing = client.close_with(CloseOptions::default().code(4001).within(SHORT));
    assert_eq!(client.recv().await, None);
    // The server may have closed meanwhile, and then that is the end; what counts is that it comes.
    let closed = closing.await.expect("a code that may be sent");
    assert_ne!(closed.cause, CloseCause::Aborted, "{closed:?}");
}

pub(crate) async fn b15_end_goes_on_receiving_until_the_peer_closes(net: &impl Net) {
    let client = open(net, "/burst").await;
    let ended = client.end(Some(LONG));
    for expected in burst() {
        assert_eq!(client.recv().await, Some(expected));
    }
    let closed = ended.await;
    assert_eq!((closed.code, closed.cause), (4001, CloseCause::Peer));
}

pub(crate) async fn b15_end_closes_when_its_deadline_passes(net: &impl Net) {
    let client = open(net, "/echo").await;
    for word in ["one", "two", "three"] {
        client.send(word).await.expect("open");
    }
    let ended = client.end(Some(SHORT));
    let error = client.send("four").await.expect_err("nothing more is taken");
    assert_eq!(error.into_message(), Message::from("four"));
    for word in ["one", "two", "three"] {
        assert_eq!(client.recv().await, text(word));
    }
    assert_eq!(client.recv().await, None);
    let closed = ended.await;
    assert_eq!((closed.code, closed.cause), (1000, CloseCause::Local));
}

pub(crate) async fn b11_try_recv_serves_a_loop(net: &impl Net) {
    let client = open(net, "/echo").await;
    assert_eq!(client.try_recv(), Err(TryRecvError::Empty));
    client.send("once a frame").await.expect("open");
    client.send("again").await.expect("open");
    let mut got = Vec::new();
    // A frame loop: takes what is there, then lets everything else run.
    while got.len() < 2 {
        match client.try_recv() {
            Ok(message) => got.push(message),
            Err(TryRecvError::Empty) => net.turn().await,
            Err(error) => panic!("before the echo: {error}"),
        }
    }
    assert_eq!(got, [Message::from("once a frame"), Message::from("again")]);
    client.close(1000, "").await.expect("may be sent");
    assert_eq!(client.try_recv(), Err(TryRecvError::Closed));
}

/// `Receiver` is a stream.
const _: fn() = || {
    fn is_stream<S: Stream<Item = Message> + Send + Unpin>() {}
    is_stream::<Receiver>();
};
