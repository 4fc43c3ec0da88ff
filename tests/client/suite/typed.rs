//! Values of the application's own types.

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tidegate::{
    Amount, Codec, Json, Message, Outcome, Priority, SendError, SendLimits, SendOptions, TryRecvError,
    TypedSendError,
};

use super::{LONG, Net, open};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Value {
    Say { text: String },
    Move { x: f64, y: f64, buttons: Vec<u8> },
    Leave,
}

fn values() -> [Value; 3] {
    [
        Value::Say { text: "\u{1f30a} \"quoted\" \\ \n".into() },
        Value::Move { x: 0.1, y: -1e300, buttons: vec![0, 255] },
        Value::Leave,
    ]
}

pub(crate) async fn b29_typed_values_make_the_round_trip(net: &impl Net) {
    values_make_the_round_trip::<Json>(net).await;
}

pub(crate) async fn values_make_the_round_trip<C: Codec>(net: &impl Net) {
    let client = open(net, "/echo").await;
    let typed = client.typed::<Value, Value, C>();
    for value in values() {
        typed.send(&value).await.expect("open");
        assert_eq!(typed.recv().await.expect("an echo").expect("a value"), value);
    }
    // Apart, the sender cloned, the receiver as a stream.
    let (sender, mut receiver) = typed.split();
    let clone = sender.clone();
    drop(sender);
    for value in values() {
        clone.try_send(&value).expect("room");
        assert_eq!(receiver.next().await.expect("an echo").expect("a value"), value);
    }
    client.close(1000, "").await.expect("may be sent");
    assert!(receiver.next().await.is_none());
    assert!(matches!(clone.send(&Value::Leave).await, Err(TypedSendError::Send(_))));
}

pub(crate) async fn b25_typed_values_go_with_options_and_without_waiting(net: &impl Net) {
    let limits = SendLimits { max_queued_bytes: 20, ..SendLimits::default() };
    let client = net.connect("/echo", |builder| builder.send_limits(limits)).await.expect("the route opens");
    let typed = client.typed::<String, Value, Json>();
    let value = |number: u32| format!("value {number}");
    typed.acknowledged(0);
    typed.send_with(&value(1), SendOptions::urgent().deadline(LONG)).await.expect("open");
    typed.flushed().await.expect("open");
    let late = typed.send_with(&value(2), SendOptions::bulk().deadline(core::time::Duration::ZERO)).await;
    assert_eq!(late.expect("open").await, Outcome::Expired);
    typed.try_send_with(&value(3), SendOptions::background()).expect("room");
    typed.drained().await.expect("open");
    let class = |priority| typed.stats().class(priority).clone();
    assert_eq!(class(Priority::Urgent).handed_over.messages, 1);
    assert_eq!((class(Priority::Bulk).expired.messages, typed.dropped()), (1, Amount::default()));
    assert_eq!(class(Priority::Background).handed_over.bytes, 9);
    let permit = client.reserve(20, SendOptions::new()).await.expect("open");
    let full = typed.try_send(&value(4)).expect_err("the room is kept for another");
    assert!(matches!(full, TypedSendError::Send(SendError::Full(_))), "{full}");
    drop(permit);
    typed.try_send(&value(5)).expect("room");
    client.send("\"the last\"").await.expect("open");
    // What is no value keeps nothing back that is behind it. Values of another type are as good as none.
    let (sender, receiver) = typed.split();
    let mut messages = Vec::new();
    while messages.len() < 4 {
        match receiver.try_recv() {
            Ok(item) => messages.push(item.expect_err("a string is no such value").into_message()),
            Err(error) => {
                assert_eq!(error, TryRecvError::Empty);
                net.turn().await;
            }
        }
    }
    let texts = ["\"value 1\"", "\"value 3\"", "\"value 5\"", "\"the last\""];
    assert_eq!(messages, texts.map(Message::from));
    let strings = client.typed::<(), String, Json>();
    client.send("\"a string\"").await.expect("open");
    let string = loop {
        match strings.try_recv() {
            Ok(item) => break item.expect("a string"),
            Err(_) => net.turn().await,
        }
    };
    assert_eq!((string.as_str(), client.queued()), ("a string", Amount::default()));
    sender.sender().close(1000, "").await.expect("may be sent");
    assert!(matches!(receiver.try_recv(), Err(TryRecvError::Closed)));
    assert_eq!(receiver.receiver().closed().await.code, 1000);
}

pub(crate) async fn b14_a_message_that_is_no_value_is_an_error_item(net: &impl Net) {
    a_message_that_is_no_value_is_an_error_item::<Json>(net).await;
}

pub(crate) async fn a_message_that_is_no_value_is_an_error_item<C: Codec>(net: &impl Net) {
    let client = open(net, "/echo").await;
    let typed = client.typed::<Value, Value, C>();
    for message in ["{", "{\"kind\":\"unknown\"}", "", "[]"] {
        client.send(message).await.expect("open");
        let error = typed.recv().await.expect("an echo").expect_err("no value");
        assert_eq!(error.into_message(), Message::from(message));
    }
    // JSON in a binary message is JSON all the same, and the connection goes on.
    client.send(b"{\"kind\":\"leave\"}").await.expect("open");
    assert_eq!(typed.recv().await.expect("an echo").expect("a value"), Value::Leave);
    // A value without a form in JSON is refused before anything is sent.
    let keyed = client.typed::<std::collections::BTreeMap<Vec<u8>, u8>, Value, C>();
    let map = [(vec![1], 1)].into_iter().collect();
    assert!(matches!(keyed.send(&map).await, Err(TypedSendError::Encode(_))));
}
