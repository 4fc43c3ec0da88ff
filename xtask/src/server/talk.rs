//! Routes that behave, on tidegate's driver in the server's role.

use std::io;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tidegate::Message;
use tidegate::proto::ws::Request;
use tokio::net::TcpStream;

use super::peer::{Peer, hash, hex};

/// Sends each message back as its own kind; with `digest` followed by its size and SHA-256.
pub(super) async fn echo(
    stream: TcpStream,
    request: &Request,
    subprotocol: Option<&str>,
    digest: bool,
) -> io::Result<()> {
    let peer = Peer::accept(stream, request, subprotocol)?;
    while let Some(message) = peer.recv().await {
        let mut about = None;
        if digest {
            let mut sha256 = Sha256::new();
            hash(&mut sha256, content(&message)).await;
            about = Some(json!({ "bytes": message.size(), "sha256": hex(sha256) }).to_string());
        }
        if !peer.send(message).await {
            break;
        }
        if let Some(about) = about
            && !peer.send(about).await
        {
            break;
        }
    }
    Ok(())
}

/// Counts and hashes; the text `report` asks for the result so far, without what was asked.
pub(super) async fn sink(stream: TcpStream, request: &Request) -> io::Result<()> {
    let peer = Peer::accept(stream, request, None)?;
    let (mut messages, mut bytes, mut sha256) = (0_u64, 0_u64, Sha256::new());
    while let Some(message) = peer.recv().await {
        if message.as_text() == Some("report") {
            let sha256 = hex(sha256.clone());
            let report = json!({ "messages": messages, "bytes": bytes, "sha256": sha256 });
            if !peer.send(report.to_string()).await {
                break;
            }
        } else {
            messages += 1;
            bytes += message.size();
            hash(&mut sha256, content(&message)).await;
        }
    }
    Ok(())
}

fn content(message: &Message) -> &[u8] {
    match message {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(bytes) => bytes,
        // A browser's; they do not occur here.
        _ => &[],
    }
}
