//! Blobs, received and sent.

use tidegate::{BinaryType, Blob, Client, Message, Outcome, SendError};

use crate::page::{blob, bytes_of, js, turn, wasm_memory};
use crate::suite::{Net, Report, open, pattern, report, text};

async fn blobs(net: &impl Net, route: &str) -> Client {
    net.connect(route, |builder| builder.binary_type(BinaryType::Blob)).await.expect("it opens")
}

async fn receive_blob(client: &Client) -> Blob {
    match client.recv().await {
        Some(Message::Blob(blob)) => blob,
        other => panic!("not a blob: {other:?}"),
    }
}

pub(crate) async fn b13_text_and_blobs_keep_their_order_whenever_bytes_are_asked_for(net: &impl Net) {
    let client = blobs(net, "/echo").await;
    for number in 0..20_u8 {
        client.send([number; 100]).await.expect("open");
        client.send(number.to_string()).await.expect("open");
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
}

pub(crate) async fn b14_a_blob_is_read_in_whole_or_in_part_also_after_the_close(net: &impl Net) {
    let client = blobs(net, "/echo").await;
    let bytes = pattern(14, 100_000);
    client.send(bytes.as_slice()).await.expect("open");
    client.send([]).await.expect("open");
    let (blob, empty) = (receive_blob(&client).await, receive_blob(&client).await);
    assert_eq!((blob.size(), empty.size()), (100_000, 0));
    assert_eq!(empty.bytes().await, Ok(vec![]));
    let local = client.local().expect("its own thread");
    let value = local.blob(&blob).expect("of this connection");
    assert!(bytes_of(&value).await == bytes);
    drop(local);
    client.close(1000, "").await.expect("may be sent");
    drop(client);
    turn().await;
    assert_eq!(blob.bytes().await.as_deref(), Ok(bytes.as_slice()));
    assert_eq!(blob.read(10..20).await.as_deref(), Ok(&bytes[10..20]));
    assert_eq!(blob.read(99_999..200_000).await.as_deref(), Ok(&bytes[99_999..]));
    assert_eq!(blob.read(200_000..300_000).await, Ok(vec![]));
    // Dropped while it is read.
    drop(crate::suite::poll_once(core::pin::pin!(blob.bytes())).await);
    drop(blob);
    turn().await;
}

pub(crate) async fn b14_the_content_of_received_blobs_stays_out_of_wasm_memory(net: &impl Net) {
    let client = blobs(net, "/flood?messages=4&bytes=33554432").await;
    let before = wasm_memory();
    let mut received = Vec::new();
    for _ in 0..4 {
        let blob = receive_blob(&client).await;
        assert_eq!(blob.size(), 32 << 20);
        received.push(blob);
    }
    assert_eq!(wasm_memory(), before);
    // Reading a part brings in that part.
    assert_eq!(received[3].read(0..4).await.map(|bytes| bytes.len()), Ok(4));
    assert_eq!(wasm_memory(), before);
}

pub(crate) async fn b29_blobs_of_every_size_arrive_whole(net: &impl Net) {
    let client = open(net, "/sink").await;
    let local = client.local().expect("its own thread");
    let mut tickets = Vec::new();
    let mut expected = Vec::new();
    // Below, at and above the bound up to which a Blob is read first.
    for (bytes, pieces) in [(0, 1), (1, 1), (1000, 3), (1 << 20, 1), ((1 << 20) + 1, 1), (1 << 20, 8)] {
        tickets.push(local.try_send(&blob(bytes, pieces)).expect("room"));
        tickets.push(client.try_send("between").expect("room"));
        expected.push(vec![7; (bytes * pieces) as usize]);
        expected.push(b"between".to_vec());
    }
    for ticket in tickets {
        assert_eq!(ticket.await, Outcome::HandedOver);
    }
    assert_eq!(report(&client).await, Report::of(expected));
}

pub(crate) async fn b29_a_received_blob_is_sent_back_as_it_is(net: &impl Net) {
    let client = blobs(net, "/echo").await;
    for bytes in [0, 1000, 3 << 20] {
        client.send(pattern(29, bytes)).await.expect("open");
        let received = receive_blob(&client).await;
        client.send(received).await.expect("open");
        assert!(receive_blob(&client).await.bytes().await.expect("it can be read") == pattern(29, bytes));
    }
    // Not on another connection, and given back there.
    let other = open(net, "/sink").await;
    client.send([1, 2, 3]).await.expect("open");
    let received = receive_blob(&client).await;
    let Err(SendError::ForeignBlob(Message::Blob(received))) = other.send(received).await else {
        panic!("not given back")
    };
    assert!(other.local().expect("its own thread").blob(&received).is_none());
    assert_eq!(received.bytes().await, Ok(vec![1, 2, 3]));
}

pub(crate) async fn b29_a_blob_that_cannot_be_read_is_one_failed_message(net: &impl Net) {
    let client = open(net, "/sink").await;
    let local = client.local().expect("its own thread");
    // As with a file that is gone: reading is refused.
    for body in [
        "const blob = new Blob(['content']);
        blob.arrayBuffer = () => Promise.reject(new DOMException('gone', 'NotFoundError'));
        return blob;",
        "const blob = new Blob([new Uint8Array(3 << 20)]);
        blob.slice = () => ({ arrayBuffer: () => Promise.reject(new DOMException('gone', 'NotFoundError')) });
        return blob;",
        "const blob = new Blob(['content']);
        blob.arrayBuffer = () => Promise.resolve(new ArrayBuffer(3));
        return blob;",
        "const blob = new Blob(['content']);
        blob.arrayBuffer = () => { throw new TypeError('no such method'); };
        return blob;",
    ] {
        let ticket = local.try_send(&js(body, &[])).expect("room");
        let behind = client.try_send("behind").expect("room");
        assert_eq!((ticket.await, behind.await), (Outcome::Unreadable, Outcome::HandedOver), "{body}");
    }
    assert_eq!(report(&client).await, Report::of(["behind"; 4]));
}
