//! Messages that are sent.

use futures_util::SinkExt;
use futures_util::future::join;
use tidegate::{BinaryType, Message, Outcome, SendError, SinkError};

use super::{Net, Report, amount, open, pattern, report, text};

pub(crate) async fn b19_send_after_close_gives_the_message_back(net: &impl Net) {
    let client = open(net, "/echo").await;
    let (mut sender, _receiver) = client.split();
    let closing = client.close(1000, "");
    // CLOSING, then CLOSED.
    for _ in 0..2 {
        let error = client.send("late").await.expect_err("nothing is taken");
        assert_eq!(error, SendError::Closed(Message::from("late")));
        let error = sender.try_send(vec![1, 2, 3]).expect_err("nothing is taken");
        assert_eq!(error.into_message(), Message::from(&[1, 2, 3]));
        let error = SinkExt::send(&mut sender, Message::from("sink")).await.expect_err("nothing is taken");
        assert_eq!(error, SinkError::Refused(SendError::Closed(Message::from("sink"))));
        client.closed().await;
    }
    let closed = closing.await.expect("may be sent");
    assert_eq!((closed.unsent.messages, closed.unknown.messages), (0, 0), "none of them was queued");
}

pub(crate) async fn b19_send_after_the_peers_close_gives_the_message_back(net: &impl Net) {
    let client = open(net, "/close?code=4001&reason=bye").await;
    client.closed().await;
    let error = client.send("late").await.expect_err("nothing is taken");
    assert_eq!(error, SendError::Closed(Message::from("late")));
}

pub(crate) async fn b25_messages_arrive_in_the_order_of_their_sends(net: &impl Net) {
    let client = open(net, "/echo").await;
    let (sender, receiver) = client.split();
    let clone = sender.clone();
    let sending = async {
        for number in 0..500_u32 {
            let sender = if number % 2 == 0 { &sender } else { &clone };
            let message = match number % 3 {
                0 => Message::from(number.to_string()),
                1 => Message::from(&number.to_be_bytes()),
                _ => Message::from(pattern(number.into(), 2000)),
            };
            sender.send(message).await.expect("open");
        }
    };
    let receiving = async {
        for number in 0..500_u32 {
            let expected = match number % 3 {
                0 => Message::from(number.to_string()),
                1 => Message::from(&number.to_be_bytes()),
                _ => Message::from(pattern(number.into(), 2000)),
            };
            assert!(receiver.recv().await == Some(expected), "message {number}");
        }
    };
    join(sending, receiving).await;
}

pub(crate) async fn b29_empty_one_byte_and_large_messages_arrive_whole(net: &impl Net) {
    let client = open(net, "/echo").await;
    for message in [Message::from(""), Message::from(&[]), Message::from("x"), Message::from(&[0xff])] {
        let copy = match &message {
            Message::Text(text) => Message::Text(text.clone()),
            other => Message::Binary(other.as_binary().expect("one of the two").to_vec()),
        };
        let ticket = client.send(message).await.expect("open");
        assert_eq!(client.recv().await, Some(copy));
        assert_eq!(ticket.await, Outcome::HandedOver);
    }
    let large = pattern(29, 16 << 20);
    client.send(large.as_slice()).await.expect("open");
    let echoed = client.recv().await.expect("an echo");
    assert!(echoed.as_binary() == Some(&large), "16 MiB of bytes");
    let echoed = echoed.into_text().expect_err("it is no text");
    assert!(echoed.into_binary().is_ok_and(|bytes| bytes == large));
    let digits: String = large.iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    client.send(digits.as_str()).await.expect("open");
    let echoed = client.recv().await.expect("an echo");
    assert!(echoed.as_text() == Some(&digits), "16 MiB of text");
}

pub(crate) async fn b29_text_of_every_width_arrives_whole(net: &impl Net) {
    let client = open(net, "/echo").await;
    let words = [
        "ASCII only",
        "\u{e4}\u{f6}\u{fc}\u{df}",
        "\u{6c34}\u{9580}",
        "\u{1f30a}\u{1f6aa}\u{10ffff}",
        "\u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{fffd}\u{ffff}\u{10000}",
        "\u{feff}begins with a byte order mark",
    ];
    for word in words {
        // Also so long that it is fragmented on the way, wherever it is cut.
        for times in [1, 40_000] {
            let sent = word.repeat(times);
            client.send(sent.as_str()).await.expect("open");
            let echoed = client.recv().await.expect("an echo");
            assert!(echoed.as_text() == Some(&sent), "{word:?} {times} times");
        }
    }
}

pub(crate) async fn b29_a_sink_sends_and_flushes(net: &impl Net) {
    let client = open(net, "/sink").await;
    let (mut sender, _receiver) = client.split();
    let payloads: Vec<_> = (0..50).map(|number| pattern(number, 1000)).collect();
    for payload in &payloads {
        sender.feed(Message::from(payload.as_slice())).await.expect("open");
    }
    sender.flush().await.expect("open");
    assert_eq!(sender.queued().messages, 0, "everything was handed over");
    assert_eq!(report(&client).await, Report::of(&payloads));
    SinkExt::<Message>::close(&mut sender).await.expect("closes");
    assert_eq!(client.closed().await.code, 1000);
}

pub(crate) async fn b18_many_messages(net: &impl Net) {
    let messages = amount(1_000_000);
    // What is kept from the first tenth on is all that is ever needed.
    let mut memory = None;
    for messages in [messages / 10, messages] {
        let client = open(net, "/sink").await;
        for number in 0..messages {
            client.send(number.to_be_bytes()).await.expect("open");
            if number % 4096 == 0 {
                net.turn().await;
            }
        }
        assert_eq!(report(&client).await, Report::of((0..messages).map(u32::to_be_bytes)));
        memory.get_or_insert_with(|| net.memory());
    }
    assert_eq!(net.memory(), memory.flatten(), "memory has grown");
}

pub(crate) async fn b18_many_messages_received(net: &impl Net) {
    let messages = amount(1_000_000);
    let mut memory = None;
    for messages in [messages / 10, messages] {
        let client = open(net, &format!("/flood?messages={messages}&bytes=10")).await;
        for number in 0..messages {
            assert_eq!(client.recv().await.map(|message| message.size()), Some(10), "message {number}");
        }
        memory.get_or_insert_with(|| net.memory());
    }
    assert_eq!(net.memory(), memory.flatten(), "memory has grown");
}

pub(crate) async fn b18_many_connections(net: &impl Net) {
    let cycles = amount(10_000);
    let mut memory = None;
    for number in 0..cycles {
        if number == cycles / 10 {
            memory = net.memory();
        }
        let binary_type = if number % 2 == 0 { BinaryType::ArrayBuffer } else { BinaryType::Blob };
        let connecting = net.connect("/echo", |builder| builder.binary_type(binary_type));
        let client = connecting.await.unwrap_or_else(|error| panic!("connection {number}: {error}"));
        client.send("hello").await.expect("open");
        assert_eq!(client.recv().await, text("hello"));
        let closed = client.close(1000, "").await.expect("may be sent");
        assert!(closed.was_clean, "connection {number}: {closed:?}");
    }
    assert_eq!(net.memory(), memory, "memory has grown");
}
