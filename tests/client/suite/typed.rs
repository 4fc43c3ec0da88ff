//! Values of the application's own types.

use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tidegate::{Codec, Json, Message, TypedSendError};

use super::{Net, open};

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
