//! What becomes of the channels that a client in tidegate mode opens, by their names.
//!
//! | name | what |
//! |---|---|
//! | `sink` | takes everything, and answers the end by how much that was: the text `MESSAGES BYTES` |
//! | `stall` | takes nothing |
//! | `refuse` | is reset, both ways |
//! | any other | sends each message back, and closes when the client has |
//!
//! Not here: the messages of the connection, which its route deals with.

use tidegate::proto::v1::ChannelCode;
use tidegate::{Channel, Channels};

/// Serves them until the connection is over.
pub(super) async fn serve(mut channels: Channels) {
    while let Some(channel) = channels.accept().await {
        tokio::spawn(serve_one(channel));
    }
}

async fn serve_one(channel: Channel) {
    match channel.name() {
        "sink" => {
            let (mut messages, mut bytes) = (0_u64, 0_u64);
            while let Some(message) = channel.recv().await {
                messages += 1;
                bytes += message.size();
            }
            // Nobody wants to know any more if this fails.
            let _ = channel.send(format!("{messages} {bytes}")).await;
        }
        "stall" => {
            channel.sender().stopped().await;
        }
        "refuse" => {
            channel.sender().reset(ChannelCode::Application, *b"no");
            channel.receiver().stop(ChannelCode::Application, *b"no");
        }
        _ => {
            while let Some(message) = channel.recv().await {
                if channel.send(message).await.is_err() {
                    break;
                }
            }
        }
    }
}
