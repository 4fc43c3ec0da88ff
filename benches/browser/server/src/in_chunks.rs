//! The same routes over `tidegate.v1`, by `tidegate::server`.

use std::net::TcpStream;

use tidegate::proto::ws::Request;
use tidegate::server::{AcceptOptions, accept};
use tidegate::{Client, Message};

use crate::{Failure, number};

/// Who offers this is served here.
pub(crate) const SUBPROTOCOL: &str = "tidegate.v1";

/// Serves one connection to its end, in a runtime of this thread's own.
pub(crate) fn serve(stream: TcpStream, request: &Request, path: &str, query: &str) -> Result<(), Failure> {
    stream.set_nonblocking(true)?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream)?;
        let client = accept(stream, request, Some(SUBPROTOCOL), AcceptOptions::default())?;
        match path {
            "/echo" => echo(&client).await?,
            "/sink" => sink(&client).await?,
            "/flood" => {
                let data = vec![0; number(query, "bytes")?];
                for _ in 0..number(query, "messages")? {
                    client.send(data.clone()).await?;
                }
                client.close(1000, "").await?;
            }
            _ => {}
        }
        client.closed().await;
        Ok(())
    })
}

async fn echo(client: &Client) -> Result<(), Failure> {
    while let Some(message) = client.recv().await {
        client.send(message).await?;
    }
    Ok(())
}

async fn sink(client: &Client) -> Result<(), Failure> {
    let (mut messages, mut bytes) = (0_u64, 0_u64);
    while let Some(message) = client.recv().await {
        if message == Message::from("report") {
            client.send(format!("{{\"messages\":{messages},\"bytes\":{bytes}}}")).await?;
        } else {
            messages += 1;
            bytes += message.size();
        }
    }
    Ok(())
}
