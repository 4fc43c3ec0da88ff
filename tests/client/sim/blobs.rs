//! Blobs, which a simulated host keeps as a browser does: received, read, sent back, vanished.

use std::cell::RefCell;
use std::rc::Rc;

use tidegate::sim::Sim;
use tidegate::{BinaryType, Blob, BlobError, Client, ClientBuilder, CloseCause, Message, Outcome, SendError};

use super::net::{SimNet, echo};
use crate::suite::{Net, hex, open, pattern, report, text};

fn blobs(builder: ClientBuilder) -> ClientBuilder {
    builder.binary_type(BinaryType::Blob)
}

async fn receive_blob(client: &Client) -> Blob {
    match client.recv().await {
        Some(Message::Blob(blob)) => blob,
        other => panic!("not a blob: {other:?}"),
    }
}

#[test]
fn b12_the_binary_type_decides_how_bytes_arrive_and_sending_does_not_change_it() {
    let net = SimNet::new();
    net.sim.block_on(async {
        let client = net.connect("/echo", blobs).await.unwrap();
        for _ in 0..3 {
            client.send([1, 2, 3]).await.unwrap();
            client.send("text stays text").await.unwrap();
            assert_eq!(receive_blob(&client).await.bytes().await, Ok(vec![1, 2, 3]));
            assert_eq!(client.recv().await, text("text stays text"));
        }
        let client = open(&net, "/echo").await;
        client.send([1, 2, 3]).await.unwrap();
        assert_eq!(client.recv().await, Some(Message::from(&[1, 2, 3])));
    });
}

#[test]
fn b13_text_and_blobs_keep_their_order_whenever_bytes_are_asked_for() {
    let net = SimNet::new();
    net.sim.block_on(async {
        let client = net.connect("/echo", blobs).await.unwrap();
        for number in 0..20_u8 {
            client.send([number; 100]).await.unwrap();
            client.send(number.to_string()).await.unwrap();
        }
        let mut kept = Vec::new();
        for number in 0..20_u8 {
            let blob = receive_blob(&client).await;
            if number % 2 == 0 {
                assert_eq!(blob.bytes().await, Ok(vec![number; 100]));
            }
            kept.push(blob);
            assert_eq!(client.recv().await, text(&number.to_string()));
        }
        for (number, blob) in (0..20_u8).zip(kept) {
            assert_eq!(blob.bytes().await, Ok(vec![number; 100]));
        }
    });
}

#[test]
fn b14_a_blob_is_read_in_whole_or_in_part_also_after_the_close() {
    let net = SimNet::new();
    net.sim.block_on(async {
        let client = net.connect("/echo", blobs).await.unwrap();
        let bytes = pattern(14, 100_000);
        client.send(bytes.as_slice()).await.unwrap();
        client.send([]).await.unwrap();
        let (blob, empty) = (receive_blob(&client).await, receive_blob(&client).await);
        assert_eq!((blob.size(), empty.size()), (100_000, 0));
        assert_eq!(empty.bytes().await, Ok(vec![]));
        client.close(1000, "").await.unwrap();
        drop(client);
        net.turn().await;
        assert_eq!(blob.bytes().await.as_deref(), Ok(bytes.as_slice()));
        assert_eq!(blob.read(10..20).await.as_deref(), Ok(&bytes[10..20]));
        assert_eq!(blob.read(99_999..200_000).await.as_deref(), Ok(&bytes[99_999..]));
        assert_eq!(blob.read(200_000..300_000).await, Ok(vec![]));
        net.sim.vanish_blobs();
        assert_eq!(blob.bytes().await, Err(BlobError::Unreadable));
    });
}

#[test]
fn b14_a_blob_whose_network_is_gone_says_so() {
    let blob = {
        let net = SimNet::new();
        net.sim.block_on(async {
            let client = net.connect("/echo", blobs).await.unwrap();
            client.send([1]).await.unwrap();
            receive_blob(&client).await
        })
    };
    assert_eq!(super::net::now(blob.bytes()), Err(BlobError::Gone));
    // Neither is there anybody to hear of its end.
    drop(blob);
}

/// A server that sends back what it gets and notes in what parts it came.
fn noting(sim: &Sim) -> Rc<RefCell<Vec<Vec<u64>>>> {
    let parts = Rc::new(RefCell::new(Vec::new()));
    let noted = parts.clone();
    sim.serve("/parts", move |handshake| {
        let noted = noted.clone();
        async move {
            let mut peer = handshake.accept(None);
            while let Some(message) = peer.recv().await {
                noted.borrow_mut().push(peer.part_sizes().to_vec());
                peer.send(message).await;
            }
        }
    });
    parts
}

#[test]
fn b29_a_blob_sent_back_is_cut_into_parts_of_16_kib() {
    let net = SimNet::new();
    let parts = noting(&net.sim);
    net.sim.block_on(async {
        let client = net.connect("/parts", blobs).await.unwrap();
        for bytes in [0, 1, 16_384, 16_385, 1_000_000] {
            parts.borrow_mut().clear();
            let content = pattern(29, bytes);
            client.send(content.as_slice()).await.unwrap();
            let blob = receive_blob(&client).await;
            client.send(blob).await.unwrap();
            client.send("behind").await.unwrap();
            let back = receive_blob(&client).await;
            assert!(back.bytes().await.unwrap() == content, "{bytes} bytes");
            assert_eq!(client.recv().await, text("behind"));

            // Owned bytes go as one part, a Blob in parts of which only one is in memory at a time.
            let (full, rest) = (bytes / 16_384, (bytes % 16_384) as u64);
            let mut cut = vec![16_384; full];
            if rest > 0 || bytes == 0 {
                cut.push(rest);
            }
            assert_eq!(*parts.borrow(), [vec![bytes as u64], cut, vec![6]]);
        }
    });
}

#[test]
fn b29_a_blob_that_has_vanished_is_one_failed_message() {
    let net = SimNet::new();
    net.sim.block_on(async {
        let client = net.connect("/echo", blobs).await.unwrap();
        client.send(pattern(1, 100_000)).await.unwrap();
        let blob = receive_blob(&client).await;
        net.sim.vanish_blobs();
        let ticket = client.send(blob).await.unwrap();
        let behind = client.send("behind").await.unwrap();
        assert_eq!((ticket.await, behind.await), (Outcome::Unreadable, Outcome::HandedOver));
        assert_eq!(client.recv().await, text("behind"));
    });
}

#[test]
fn b29_a_blob_that_vanishes_while_it_is_sent_ends_the_connection_and_is_unknown() {
    let net = SimNet::new();
    net.sim.set_link(tidegate::sim::Link {
        bytes_per_second: Some(1_000_000),
        buffer_bytes: 16_384,
        ..Default::default()
    });
    net.sim.block_on(async {
        let client = net.connect("/echo", blobs).await.unwrap();
        client.send(pattern(1, 1_000_000)).await.unwrap();
        let blob = receive_blob(&client).await;
        let ticket = client.send(blob).await.unwrap();
        let behind = client.send("behind").await.unwrap();
        net.sim.sleep(core::time::Duration::from_millis(100)).await;
        net.sim.vanish_blobs();
        assert_eq!((ticket.await, behind.await), (Outcome::Unknown, Outcome::Unsent));
        let closed = client.closed().await;
        assert_eq!((closed.code, closed.was_clean), (1006, false));
        assert_eq!((closed.unsent.messages, closed.unsent.bytes), (1, 6));
        assert_eq!((closed.unknown.messages, closed.unknown.bytes), (2, 2_000_000));
        assert_ne!(closed.cause, CloseCause::Local);
    });
}

#[test]
fn b29_a_blob_of_another_connection_is_given_back() {
    let net = SimNet::new();
    net.sim.block_on(async {
        let client = net.connect("/echo", blobs).await.unwrap();
        let other = net.connect("/sink", |builder| builder).await.unwrap();
        client.send([1, 2, 3]).await.unwrap();
        let blob = receive_blob(&client).await;
        let Err(SendError::ForeignBlob(Message::Blob(blob))) = other.send(blob).await else {
            panic!("not given back")
        };
        other.send(blob.bytes().await.unwrap()).await.unwrap();
        assert_eq!(report(&other).await.messages, 1);
        // A Blob that is given back on its own connection can be read and sent still.
        client.close(1000, "").await.unwrap();
        let Err(SendError::Closed(Message::Blob(blob))) = client.send(blob).await else {
            panic!("not given back")
        };
        assert_eq!(hex(&blob.bytes().await.unwrap()), "010203");
    });
}

#[test]
fn b27_a_blob_whose_send_is_dropped_is_released_and_one_that_waits_can_be_cancelled() {
    let net = SimNet::new();
    net.sim.serve("/slow", echo);
    net.sim.block_on(async {
        let limits =
            tidegate::SendLimits { max_queued_messages: 1, max_queued_bytes: 1 << 20, ..Default::default() };
        let client = net.connect("/slow", |builder| blobs(builder).send_limits(limits)).await.unwrap();
        for _ in 0..3 {
            client.send(pattern(27, 50_000)).await.unwrap();
        }
        let first = receive_blob(&client).await;
        let second = receive_blob(&client).await;
        let third = receive_blob(&client).await;
        let ticket = client.send(first).await.unwrap();
        drop(client.send(second));
        let Err(SendError::Full(Message::Blob(third))) = client.try_send(third) else {
            panic!("there is room for one")
        };
        ticket.cancel();
        assert_eq!(ticket.await, Outcome::Cancelled);
        client.send(third).await.unwrap();
        assert_eq!(receive_blob(&client).await.size(), 50_000);
    });
}

#[test]
fn b29_a_sink_is_told_of_a_blob_that_has_vanished_and_goes_on() {
    use futures_util::SinkExt;

    let net = SimNet::new();
    net.sim.block_on(async {
        let client = net.connect("/echo", blobs).await.unwrap();
        client.send([1, 2, 3]).await.unwrap();
        let blob = client.recv().await.expect("an echo");
        net.sim.vanish_blobs();
        let (mut sink, _receiver) = client.split();
        assert_eq!(SinkExt::send(&mut sink, blob).await, Err(tidegate::SinkError::Lost));
        // Told once: the next message is another one.
        assert_eq!(SinkExt::send(&mut sink, "next".into()).await, Ok(()));
        assert_eq!(client.recv().await, text("next"));
        assert_eq!(SinkExt::<Message>::close(&mut sink).await, Ok(()));
    });
}
