//! Routes that behave, on tidegate's driver in the server's role.

use std::io;
use std::num::NonZeroU64;
use std::pin::pin;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use tidegate::Message;
use tidegate::proto::ws::{DeflateOptions, Request};
use tokio::net::TcpStream;

use super::feed;
use super::peer::{Peer, hash, hex};
use super::route::Echo;

/// Sends each message back as its own kind, in the manner of `echo`.
pub(super) async fn echo(
    stream: TcpStream,
    request: &Request,
    subprotocol: Option<&str>,
    echo: Echo,
) -> io::Result<()> {
    let peer = Peer::accept_with(stream, request, subprotocol, |options| {
        options.deflate = echo.deflate.then(DeflateOptions::default);
        options.ping_after = echo.ping_after.or(options.ping_after);
    })
    .await?;
    while let Some(message) = peer.recv().await {
        let mut about = None;
        if echo.digest {
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
pub(super) async fn sink(stream: TcpStream, request: &Request, subprotocol: Option<&str>) -> io::Result<()> {
    let peer = Peer::accept(stream, request, subprotocol).await?;
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

/// Counts and hashes what is binary; each text is answered by itself, by what has arrived before it, and by how much
/// has arrived in all. The same is told unasked after `every` so many bytes.
pub(super) async fn upload(
    stream: TcpStream,
    request: &Request,
    subprotocol: Option<&str>,
    every: Option<NonZeroU64>,
) -> io::Result<()> {
    let peer = Peer::accept(stream, request, subprotocol).await?;
    let (mut messages, mut bytes, mut received, mut sha256) = (0_u64, 0_u64, 0_u64, Sha256::new());
    while let Some(message) = peer.recv().await {
        let text = message.as_text();
        let before = bytes;
        received += message.size();
        if text.is_none() {
            messages += 1;
            bytes += message.size();
            hash(&mut sha256, content(&message)).await;
        }
        if text.is_some() || every.is_some_and(|every| before / every != bytes / every) {
            let sha256 = hex(sha256.clone());
            let answer = json!({
                "text": text, "messages": messages, "bytes": bytes, "received": received, "sha256": sha256,
            });
            if !peer.send(answer.to_string()).await {
                break;
            }
        }
    }
    Ok(())
}

/// Streams the data set, one text message a row, and closes with its digest as the reason.
pub(super) async fn feed(stream: TcpStream, request: &Request) -> io::Result<()> {
    let peer = Peer::accept(stream, request, None).await?;
    meanwhile(&peer, async {
        for row in feed::rows() {
            if !peer.send(row).await {
                return;
            }
        }
        peer.close(feed::digest()).await;
    })
    .await;
    Ok(())
}

/// Sends as fast as it goes; byte `i` of message `m` is the lowest eight bits of `m + i`. Closes
/// with the SHA-256 of all bytes as the reason.
pub(super) async fn flood(
    stream: TcpStream,
    request: &Request,
    messages: u32,
    bytes: usize,
) -> io::Result<()> {
    let peer = Peer::accept(stream, request, None).await?;
    meanwhile(&peer, async {
        let mut sha256 = Sha256::new();
        let cycle: Vec<u8> = (0..=u8::MAX).cycle().take(bytes + 256).collect();
        for message in 0..messages {
            let [first, ..] = message.to_le_bytes();
            let message = cycle.get(usize::from(first)..).and_then(|rest| rest.get(..bytes));
            let message = message.unwrap_or_default();
            hash(&mut sha256, message).await;
            if !peer.send(message).await {
                return;
            }
        }
        peer.close(&hex(sha256)).await;
    })
    .await;
    Ok(())
}

/// Tells which subprotocols were offered, of which it acknowledges `first`, and the `Origin`.
pub(super) async fn subprotocols(
    stream: TcpStream,
    request: &Request,
    first: Option<&str>,
) -> io::Result<()> {
    let peer = Peer::accept(stream, request, first).await?;
    let origin = request.headers.value("Origin").map(String::from_utf8_lossy);
    let answer = json!({ "offered": request.subprotocols, "origin": origin });
    if peer.send(answer.to_string()).await {
        while peer.recv().await.is_some() {}
    }
    Ok(())
}

/// Tells what was asked for, as it has arrived here.
pub(super) async fn request(stream: TcpStream, request: &Request) -> io::Result<()> {
    let peer = Peer::accept(stream, request, None).await?;
    let fields = request.headers.iter().map(|(name, value)| {
        (name.to_ascii_lowercase(), serde_json::Value::from(String::from_utf8_lossy(value)))
    });
    let fields: serde_json::Map<_, _> = fields.collect();
    let answer = json!({ "target": request.target, "headers": fields });
    if peer.send(answer.to_string()).await {
        while peer.recv().await.is_some() {}
    }
    Ok(())
}

/// Does `work`, and throws away what the peer sends; gives up when the peer has gone.
pub(super) async fn meanwhile(peer: &Peer, work: impl Future<Output = ()>) {
    let mut work = pin!(work);
    loop {
        tokio::select! {
            () = &mut work => return,
            message = peer.recv() => if message.is_none() { return },
        }
    }
}

fn content(message: &Message) -> &[u8] {
    match message {
        Message::Text(text) => text.as_bytes(),
        Message::Binary(bytes) => bytes,
        // A browser's; they do not occur here.
        _ => &[],
    }
}
