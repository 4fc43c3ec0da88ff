//! Futures and handles that are dropped, at any time and anywhere.

use core::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};

use futures_util::StreamExt;
use tidegate::{Client, Message, Outcome, Receiver, Sender, Ticket};

use super::{Count, LONG, Net, drop_after, open, poll_once, poll_with, text};

pub(crate) async fn b27_a_dropped_receive_loses_no_message(net: &impl Net) {
    let client = open(net, "/echo").await;
    for number in 0..50 {
        client.send(number.to_string()).await.expect("open");
    }
    let (_, mut receiver) = client.split();
    let mut got = Vec::new();
    let mut polls = 0;
    while got.len() < 50 {
        // By future and by stream, dropped after no, one, two polls.
        polls += 1;
        let message = if polls % 2 == 0 {
            drop_after(net, polls % 3, client.recv()).await
        } else {
            drop_after(net, polls % 3, receiver.next()).await
        };
        got.extend(message.map(|message| message.expect("open")));
        net.turn().await;
    }
    let expected: Vec<_> = (0..50).map(|number| Message::from(number.to_string())).collect();
    assert_eq!(got, expected);
}

pub(crate) async fn b06_connect_can_be_dropped_at_every_await(net: &impl Net) {
    for polls in 0..12 {
        drop(drop_after(net, polls, net.connect("/echo", |builder| builder)).await);
    }
    let client = open(net, "/echo").await;
    client.send("still here").await.expect("open");
    assert_eq!(client.recv().await, text("still here"));
}

pub(crate) async fn b36_a_dropped_close_goes_on(net: &impl Net) {
    for polls in 0..3 {
        let client = open(net, "/echo").await;
        let closing = client.close(4001, "");
        assert!(polls > 0 || poll_once(pin!(client.closed())).await.is_pending());
        drop(drop_after(net, polls, closing).await);
        assert_eq!(client.closed().await.code, 4001);
    }
    // So does an end.
    let client = open(net, "/burst").await;
    drop(client.end(Some(LONG)));
    assert!(client.try_send("late").is_err());
    assert_eq!(client.closed().await.code, 4001);
}

pub(crate) async fn b27_a_dropped_ticket_detaches(net: &impl Net) {
    let client = open(net, "/echo").await;
    drop(client.send("nobody asks").await.expect("open"));
    let mut ticket = client.send("somebody asks, once").await.expect("open");
    let _ = poll_once(pin!(&mut ticket)).await;
    drop(ticket);
    assert_eq!(client.recv().await, text("nobody asks"));
    assert_eq!(client.recv().await, text("somebody asks, once"));
    // An outcome stays what it is, however often it is asked for.
    let mut ticket = client.send("again").await.expect("open");
    assert_eq!((&mut ticket).await, Outcome::HandedOver);
    ticket.cancel();
    assert_eq!((ticket.outcome(), ticket.await), (Some(Outcome::HandedOver), Outcome::HandedOver));
}

pub(crate) async fn b38_no_waker_is_called_after_drop(net: &impl Net) {
    let client = open(net, "/echo").await;
    let (sender, mut receiver) = client.split();
    let (count, waker) = Count::waker();
    {
        let (mut recv, mut closed) = (pin!(client.recv()), pin!(client.closed()));
        assert!(poll_with(&waker, recv.as_mut()).is_pending());
        assert!(poll_with(&waker, closed.as_mut()).is_pending());
        assert!(poll_with(&waker, pin!(receiver.next())).is_pending());
    }
    drop(receiver);
    sender.send("an echo comes").await.expect("open");
    while client.try_recv().is_err() {
        net.turn().await;
    }
    client.close(1000, "").await.expect("may be sent");
    assert_eq!(count.calls(), 0);
}

/// Drops a client when it is woken.
struct Dropper(Mutex<Option<Client>>);

impl Wake for Dropper {
    fn wake(self: Arc<Self>) {
        let client = self.0.lock().expect("no panic").take();
        drop(client);
    }
}

pub(crate) async fn b38_dropping_the_client_inside_a_callback_is_safe(net: &impl Net) {
    // The waker is called from inside the driver, on an echo and on a close.
    for echo in [true, false] {
        let client = open(net, "/echo").await;
        let (sender, receiver) = client.split();
        let dropper = Arc::new(Dropper(Mutex::new(Some(client))));
        let waker = Waker::from(dropper.clone());
        let mut recv = pin!(receiver.recv());
        assert!(poll_with(&waker, recv.as_mut()).is_pending());
        if echo {
            sender.send("an echo comes").await.expect("open");
        } else {
            drop(sender.close(4001, ""));
        }
        while dropper.0.lock().expect("no panic").is_some() {
            net.turn().await;
        }
        if echo {
            assert_eq!(recv.await, text("an echo comes"));
            assert_eq!(sender.close(4001, "").await.expect("may be sent").code, 4001);
        } else {
            assert_eq!(recv.await, None);
            assert_eq!(receiver.closed().await.code, 4001);
        }
    }
}

pub(crate) async fn b40_handles_are_send(net: &impl Net) {
    fn assert_send<T: Send>() {}
    fn assert_sync<T: Sync>() {}
    fn is_send(_: &(impl Send + 'static)) {}
    assert_send::<(Client, Sender, Receiver, Message, Ticket)>();
    // What a framework keeps for all of its threads.
    assert_sync::<(Client, Sender, Receiver, Ticket)>();

    let client = open(net, "/echo").await;
    is_send(&client.closed());
    is_send(&client.close(1000, ""));
    is_send(&client.end(None));
    let (sender, receiver) = client.split();
    let send = async move { sender.send("x").await.is_err() };
    let recv = async move { receiver.recv().await.is_none() };
    is_send(&send);
    is_send(&recv);
    assert!(send.await && recv.await, "closed above");
}
