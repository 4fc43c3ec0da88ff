//! A slow link of a page's own: it lasts as long as the connection that asked for it.
//!
//! Not here: how the link carries bytes, which is [`crate::link`]'s.

use std::io;

use serde_json::json;
use tidegate::proto::ws::Request;
use tokio::net::TcpStream;

use super::peer::Peer;
use super::route;
use crate::link::{Link, Shape};

/// Opens a link that leads back to this server, tells its port, and changes it when asked to.
pub(super) async fn open(stream: TcpStream, request: &Request, shape: Shape) -> io::Result<()> {
    let link = Link::start(stream.local_addr()?, shape, Shape::default())?;
    let peer = Peer::accept(stream, request, None).await?;
    if !peer.send(json!({ "port": link.address().port() }).to_string()).await {
        return Ok(());
    }
    while let Some(message) = peer.recv().await {
        let asked = message.as_text().and_then(shape_of);
        let answer = match asked {
            Some(shape) => {
                link.reshape(shape);
                message
            }
            None => "what is that?".into(),
        };
        if !peer.send(answer).await {
            break;
        }
    }
    Ok(())
}

/// Of `RATE DELAY`.
fn shape_of(text: &str) -> Option<Shape> {
    let (rate, delay) = text.split_once(' ')?;
    route::shape(rate.parse().ok()?, delay.parse().ok()?)
}
