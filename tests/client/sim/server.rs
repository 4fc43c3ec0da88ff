//! What the peer sees.

use std::cell::RefCell;
use std::rc::Rc;

use tidegate::{Client, CloseOptions, Message};

use super::net::SimNet;
use crate::suite::{Net, SHORT};

type Seen = Rc<RefCell<Vec<String>>>;

/// A server that notes every message and how the connection ended.
fn noting(net: &SimNet) -> Seen {
    let seen = Seen::default();
    let noted = seen.clone();
    net.sim.serve("/note", move |handshake| {
        let noted = noted.clone();
        async move {
            let mut peer = handshake.accept(None);
            while let Some(message) = peer.recv().await {
                noted.borrow_mut().push(message.as_text().unwrap().to_owned());
            }
            let (code, reason) = peer.closed().unwrap();
            noted.borrow_mut().push(format!("{code:?} {reason}").trim_end().to_owned());
        }
    });
    seen
}

async fn open(net: &SimNet) -> Client {
    net.connect("/note", |builder| builder.close_within(SHORT)).await.unwrap()
}

#[test]
fn b35_dropping_the_last_handle_sends_what_is_queued_and_closes_with_1000() {
    let net = SimNet::new();
    let seen = noting(&net);
    net.sim.block_on(async {
        let client = open(&net).await;
        client.try_send("queued").unwrap();
        drop(client);
        net.turn().await;
        assert_eq!(*seen.borrow(), ["queued", "Some(1000)"]);

        seen.borrow_mut().clear();
        let (sender, receiver) = open(&net).await.split();
        let clone = sender.clone();
        drop(sender);
        drop(receiver);
        net.turn().await;
        assert!(seen.borrow().is_empty(), "a clone is left");
        clone.try_send("the last one").unwrap();
        drop(clone);
        net.turn().await;
        assert_eq!(*seen.borrow(), ["the last one", "Some(1000)"]);
    });
}

#[test]
fn b35_a_handle_dropped_on_another_thread_closes_as_well() {
    let net = SimNet::new();
    let seen = noting(&net);
    net.sim.block_on(async {
        let client = open(&net).await;
        let (sender, receiver) = client.split();
        std::thread::spawn(move || drop((client, receiver))).join().unwrap();
        let thread = std::thread::spawn(move || sender.try_send("from afar").map(drop));
        thread.join().unwrap().unwrap();
        net.turn().await;
        assert_eq!(*seen.borrow(), ["from afar", "Some(1000)"]);
    });
}

#[test]
fn b40_handles_may_be_used_and_dropped_on_any_thread() {
    b35_a_handle_dropped_on_another_thread_closes_as_well();
}

#[test]
fn b06_the_server_sees_a_dropped_connect_as_a_cut() {
    let net = SimNet::new();
    let seen = noting(&net);
    net.sim.set_link(tidegate::sim::Link { delay: SHORT, ..Default::default() });
    net.sim.block_on(async {
        // The handshake has arrived, its answer has not.
        drop(crate::suite::drop_after(&net, 1, net.connect("/note", |builder| builder)).await);
        net.sim.sleep(10 * SHORT).await;
        assert_eq!(*seen.borrow(), ["Some(1006)"]);
    });
}

#[test]
fn b32_the_peer_gets_what_was_queued_or_nothing_of_it() {
    let net = SimNet::new();
    let seen = noting(&net);
    net.sim.block_on(async {
        for (options, expected) in [
            (CloseOptions::default().code(4001), &["one", "two", "Some(4001)"][..]),
            (CloseOptions::default().code(4001).drop_queued(), &["Some(4001)"]),
            (CloseOptions::default(), &["one", "two", "None"]),
            (CloseOptions::default().reason("bye"), &["one", "two", "Some(1000) bye"]),
        ] {
            seen.borrow_mut().clear();
            let client = open(&net).await;
            client.try_send("one").unwrap();
            client.try_send("two").unwrap();
            client.close_with(options).await.unwrap();
            net.turn().await;
            assert_eq!(*seen.borrow(), expected);
        }
    });
}

#[test]
fn b11_a_cut_is_reported_as_1006_after_what_came_before() {
    let net = SimNet::new();
    net.sim.serve("/cut", |handshake| async move {
        let mut peer = handshake.accept(None);
        peer.send("last words").await;
    });
    net.sim.block_on(async {
        let client = net.connect("/cut", |builder| builder).await.unwrap();
        assert_eq!(client.recv().await, Some(Message::from("last words")));
        assert_eq!(client.recv().await, None);
        let closed = client.closed().await;
        assert_eq!((closed.code, closed.was_clean), (1006, false));
    });
}
