//! How connections through a proxy end when nobody has closed them: nothing is sent for too long, the proxy stops,
//! the server behind it stops. Each of these takes something away that the others need, so their order counts.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;
use tidegate::Outcome;
use tokio::task::spawn_blocking;

use super::Scene;
use crate::test::way::{Check, checks, cut, echoed, text};

/// Size of a message of the upload.
const PIECE: usize = 256 << 10;

/// How much has arrived when the proxy stops.
const ARRIVED: u64 = 4 << 20;

/// How often a silent peer is pinged: well within a second, after which the proxy would cut.
const PING_MS: u64 = 300;

/// For proxies that cut what is idle.
pub(super) const IDLE: &[Check<Scene>] = checks![
    b11_an_idle_connection_is_cut_and_pings_of_either_end_keep_it_open,
    b11_a_client_that_only_listens_counts_as_idle_for_lighttpd_alone,
];

/// In the order in which they run.
pub(super) const CHECKS: &[Check<Scene>] = checks![
    b39_a_proxy_that_stops_within_an_upload_leaves_a_true_account,
    b05_a_server_that_has_gone_ends_connections_and_refuses_new_ones,
];

async fn b11_an_idle_connection_is_cut_and_pings_of_either_end_keep_it_open(scene: &Scene) -> Result<()> {
    let way = scene.short;
    let ping = Duration::from_millis(PING_MS);
    let silent = |builder: tidegate::ClientBuilder| builder.ping_after(None);
    let by_server = way.connect_as(&scene.echo_with(&format!("ping={PING_MS}")), silent).await?;
    let by_client = way.connect_as(scene.echo(), |builder| builder.ping_after(ping)).await?;
    let_two_be_cut(scene).await?;
    echoed(&by_server, "pinged by the server").await?;
    echoed(&by_client, "pinged by the client").await
}

async fn b11_a_client_that_only_listens_counts_as_idle_for_lighttpd_alone(scene: &Scene) -> Result<()> {
    let builder = scene.short.builder("/push?run=listener&messages=10000000&bytes=100").ping_after(None);
    let listener = builder.connect().await?;
    let listening = async { while listener.recv().await.is_some() {} };
    let is_cut = tokio::select! {
        () = listening => true,
        result = let_two_be_cut(scene) => result.map(|()| false)?,
    };
    ensure!(is_cut == scene.kind.cuts_listeners(), "it is cut: {is_cut}");
    if is_cut { cut(&listener).await } else { Ok(()) }
}

/// Lets the proxy cut two connections on which nothing is sent, one after the other: when the second has gone,
/// whatever was open before is older than twice the limit.
async fn let_two_be_cut(scene: &Scene) -> Result<()> {
    for _ in 0..2 {
        let idle = scene.short.connect_as(scene.echo(), |builder| builder.ping_after(None)).await?;
        echoed(&idle, "not idle yet").await?;
        cut(&idle).await?;
        let closed = idle.closed().await;
        ensure!((closed.unsent.messages, closed.unknown.messages) == (0, 1), "{closed:?}");
    }
    Ok(())
}

async fn b39_a_proxy_that_stops_within_an_upload_leaves_a_true_account(scene: &Scene) -> Result<()> {
    let proxy = scene.short_proxy.take().context("it has stopped already")?;
    // Past the proxy.
    let watcher = scene.direct.connect("/watch?run=stopped").await?;
    let client = scene.short.connect("/arrivals?run=stopped").await?;
    let uploading = async {
        let mut tickets = Vec::new();
        // Ends when the connection does; what was not queued was given back.
        while let Ok(ticket) = client.send(vec![7; PIECE]).await {
            tickets.push(ticket);
        }
        Ok(tickets)
    };
    let stopping = async {
        watcher.send(format!("wait {ARRIVED} 0")).await?;
        text(&watcher).await?;
        spawn_blocking(move || drop(proxy)).await.context("stopping it")
    };
    let (tickets, ()) = tokio::try_join!(uploading, stopping)?;
    cut(&client).await?;
    let (mut sent, mut unsent) = (0, 0);
    for ticket in tickets {
        match ticket.await {
            Outcome::HandedOver | Outcome::Unknown => sent += 1,
            Outcome::Unsent => unsent += 1,
            other => return Err(anyhow!("an outcome is {other:?}")),
        }
    }
    let closed = client.closed().await;
    ensure!(
        (closed.unsent.messages, closed.unknown.messages) == (unsent, sent),
        "not {unsent}, {sent}: {closed:?}"
    );
    ensure!(closed.unsent.bytes == unsent * PIECE as u64 && unsent > 0, "the queue was not full: {closed:?}");
    watcher.send("wait 0 0").await?;
    let arrived: Value = serde_json::from_str(&text(&watcher).await?)?;
    let messages = arrived.pointer("/bulk/messages").and_then(Value::as_u64).context("it does not say")?;
    // In order, so that none of those that have arrived is called unsent.
    ensure!(messages >= ARRIVED / PIECE as u64 && messages <= sent, "{messages} have arrived, of {sent}");
    Ok(())
}

async fn b05_a_server_that_has_gone_ends_connections_and_refuses_new_ones(scene: &Scene) -> Result<()> {
    let open = scene.way.connect_as(scene.echo(), |builder| builder).await?;
    echoed(&open, "hello").await?;
    let server = scene.server.take().context("it has gone already")?;
    spawn_blocking(move || drop(server)).await.context("stopping the server")?;
    cut(&open).await?;
    let expected = scene.kind.status_without_server();
    let error = scene.way.builder("/echo").connect().await.err().context("it opened")?;
    let status = error.refusal().map(|refusal| refusal.status);
    ensure!(status == Some(expected), "{status:?} and not {expected}: {error}");
    Ok(())
}
