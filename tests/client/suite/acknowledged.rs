//! A server that says what it has received, and one that stops saying so.

use tidegate::{Client, SendOptions};

use super::{Net, open, report};

/// Queues 50 messages of 16,000 bytes.
fn fill(client: &Client) {
    for _ in 0..50 {
        client.try_send_with("x".repeat(16_000), SendOptions::bulk()).expect("room");
    }
}

pub(crate) async fn b24_nothing_is_in_front_of_an_urgent_message_but_what_is_not_acknowledged(
    net: &impl Net,
) {
    let client = open(net, "/echo").await;
    client.acknowledged(0);
    fill(&client);
    client.try_send_with("urgent", SendOptions::urgent()).expect("room");
    let (mut acknowledged, mut before) = (0, None);
    for received in 0..=50 {
        let message = client.recv().await.expect("an echo");
        if message.size() == 6 {
            before = Some(received);
        }
        acknowledged += message.size();
        client.acknowledged(acknowledged);
    }
    assert_eq!(acknowledged, 50 * 16_000 + 6);
    assert!(before.is_some_and(|before| before <= 1), "{before:?} messages came before it");
    let stats = client.stats();
    assert!(stats.bytes_per_second > 0, "{stats:?}");
}

pub(crate) async fn b24_a_server_that_acknowledges_nothing_more_is_sent_everything_all_the_same(
    net: &impl Net,
) {
    let client = open(net, "/sink").await;
    client.acknowledged(0);
    fill(&client);
    client.flushed().await.expect("open");
    assert_eq!(report(&client).await.messages, 50);
}
