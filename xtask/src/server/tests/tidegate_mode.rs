//! The routes that speak `tidegate.v1` to who offers it, seen by tidegate's own client.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidegate::{Client, Mode};
use tokio::time::timeout;

use super::{PATIENCE, assert_idle, server};
use crate::server::{Running, peer};

async fn open(server: &Running, target: &str) -> Client {
    let url = format!("ws://{}{target}", server.address());
    Client::builder(url).mode(Mode::Tidegate).connect().await.unwrap()
}

async fn recv(client: &Client) -> Value {
    let message = timeout(PATIENCE, client.recv()).await.unwrap().unwrap();
    serde_json::from_str(message.as_text().unwrap()).unwrap()
}

#[tokio::test]
async fn an_upload_is_told_the_same_over_tidegate_v1() {
    let server = server();
    let client = open(&server, "/upload?every=65536").await;
    assert_eq!(client.mode(), Mode::Tidegate);
    let piece = vec![7; 70_000];
    let sha256 = |bytes: &[u8]| peer::hex(Sha256::new_with_prefix(bytes));
    client.send("before").await.unwrap();
    client.send(piece.clone()).await.unwrap();
    client.send("after \u{1f30a}").await.unwrap();
    let before = json!({ "text": "before", "messages": 0, "bytes": 0, "received": 6, "sha256": sha256(&[]) });
    assert_eq!(recv(&client).await, before);
    let unasked =
        json!({ "text": null, "messages": 1, "bytes": 70_000, "received": 70_006, "sha256": sha256(&piece) });
    assert_eq!(recv(&client).await, unasked);
    let after = recv(&client).await;
    assert_eq!((&after["text"], &after["received"]), (&"after \u{1f30a}".into(), &70_016.into()));
    client.close(1000, "").await.unwrap();
    drop(client);
    assert_idle(&server);
}
