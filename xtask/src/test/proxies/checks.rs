//! What has to hold through every proxy, with tidegate's client on the host.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidegate::proto::ws::DeflateOptions;
use tidegate::{Client, CloseCause, CloseOptions, Message, SendLimits};

use super::Scene;
use crate::hash;
use crate::test::way::{Check, Way, checks, close, closed_by_server, cut, echoed, pattern, text, words};

/// A message that is large for a proxy: sixteen times what nginx takes as the body of a request.
const LARGE: usize = 16 << 20;

/// How many small messages go each way.
const MANY: u32 = 10_000;

/// What is queued for a server that reads little or nothing, and in what parts.
const UPLOAD: usize = 64 << 20;
const PIECE: usize = 64 << 10;

/// How long a server may read nothing.
const STALLED: Duration = Duration::from_secs(2);

/// After how many bytes a server resets. It has little room for them, so that they come slowly.
const RESET_AFTER: u64 = 50_000;

/// In the order in which they run.
pub(super) const CHECKS: &[Check<Scene>] = checks![
    b10_the_offered_subprotocols_and_the_choice_pass_through,
    b10_target_and_fields_of_the_request_arrive_as_they_were_sent,
    b05_what_the_server_refuses_is_told_in_its_own_words,
    b09_what_the_server_says_at_once_arrives_in_order,
    b25_many_small_messages_keep_their_order,
    b29_large_messages_pass_whole_both_ways,
    b29_compressed_messages_pass_if_both_ends_agree,
    b31_close_codes_and_reasons_pass_both_ways,
    b31_a_server_that_reads_nothing_makes_the_client_wait,
    b39_a_server_that_resets_within_an_upload_ends_the_connection,
];

async fn b10_the_offered_subprotocols_and_the_choice_pass_through(scene: &Scene) -> Result<()> {
    let client = scene.way.connect_as("/subprotocols", |builder| builder).await?;
    let told: Value = serde_json::from_str(&text(&client).await?)?;
    ensure!(told == json!({ "offered": scene.way.subprotocols, "origin": null }), "the server saw {told}");
    close(&client, 1000, "").await?;
    // A server that chooses none, and one that is offered none.
    ensure!(scene.way.connect("/request").await?.protocol().is_empty());
    let refused = scene.way.builder("/no-subprotocol").subprotocol("chat.v2").connect().await;
    ensure!(refused.is_err(), "the answer has a subprotocol that the server has not chosen");
    Ok(())
}

async fn b10_target_and_fields_of_the_request_arrive_as_they_were_sent(scene: &Scene) -> Result<()> {
    const TARGET: &str = "/request?room=a%20b&path=%2Fx%2F&name=%C3%A9";
    const FIELDS: [(&str, &str); 4] = [
        ("Origin", "https://example.com"),
        ("Authorization", "Bearer abc.def-ghi"),
        ("Cookie", "id=7; lang=\"de\""),
        ("X-Request-Id", "42"),
    ];
    let builder = FIELDS
        .into_iter()
        .fold(scene.way.builder(TARGET), |builder, (name, value)| builder.header(name, value));
    let client = builder.connect().await?;
    let told: Value = serde_json::from_str(&text(&client).await?)?;
    ensure!(told.get("target").is_some_and(|target| target == TARGET), "the server saw {told}");
    let field = |name: &str| told.pointer(&format!("/headers/{}", name.to_ascii_lowercase()));
    for (name, value) in FIELDS {
        ensure!(field(name).is_some_and(|seen| seen == value), "{name} is not {value:?} in {told}");
    }
    let host = scene.way.address.to_string();
    ensure!(field("Host").is_some_and(|seen| *seen == host), "Host is not {host} in {told}");
    ensure!(field("X-Forwarded-For").is_some_and(|seen| seen == "127.0.0.1"), "no X-Forwarded-For in {told}");
    ensure!(field("Sec-WebSocket-Extensions").is_none(), "an extension was offered on the way: {told}");
    close(&client, 1000, "").await
}

async fn b05_what_the_server_refuses_is_told_in_its_own_words(scene: &Scene) -> Result<()> {
    for status in [401, 403, 404, 503] {
        let error = scene.way.builder(&format!("/status?code={status}")).connect().await.err();
        let error = error.with_context(|| format!("{status} opened a connection"))?;
        let refusal = error.refusal().with_context(|| format!("no answer: {error}"))?;
        let body = String::from_utf8_lossy(&refusal.body);
        ensure!(refusal.status == status, "{status} came as {}", refusal.status);
        ensure!(body == format!("status {status}\n"), "the body came as {body:?}");
    }
    Ok(())
}

async fn b09_what_the_server_says_at_once_arrives_in_order(scene: &Scene) -> Result<()> {
    let client = scene.way.connect("/burst").await?;
    for expected in [Message::from("one"), Message::from(&[1, 2, 3]), Message::from("three")] {
        let message = client.recv().await;
        ensure!(message.as_ref() == Some(&expected), "{message:?} instead of {expected:?}");
    }
    closed_by_server(&client, 4001, "done").await
}

async fn b25_many_small_messages_keep_their_order(scene: &Scene) -> Result<()> {
    let client = scene.way.connect_as(scene.echo(), |builder| builder).await?;
    let message = |number: u32| match number % 3 {
        0 => Message::from(number.to_string()),
        1 => Message::from(&number.to_be_bytes()),
        _ => Message::from(format!("{number} {}", words(200))),
    };
    let sending = async {
        for number in 0..MANY {
            client.send(message(number)).await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    let receiving = async {
        for number in 0..MANY {
            let back = client.recv().await.with_context(|| format!("the end before message {number}"))?;
            ensure!(back == message(number), "message {number} is {back:?}");
        }
        Ok(())
    };
    tokio::try_join!(sending, receiving)?;
    close(&client, 1000, "").await
}

async fn b29_large_messages_pass_whole_both_ways(scene: &Scene) -> Result<()> {
    // As it came back, and as the server saw it.
    let client = scene.way.connect_as(&scene.echo_with("digest=1"), |builder| builder).await?;
    let (bytes, characters) = (pattern(29, LARGE), words(LARGE));
    let digests = [hash::of(&bytes), hash::of(characters.as_bytes())];
    echoed(&client, bytes).await?;
    let first: Value = serde_json::from_str(&text(&client).await?)?;
    echoed(&client, characters).await?;
    let second: Value = serde_json::from_str(&text(&client).await?)?;
    for (told, digest) in [first, second].into_iter().zip(digests) {
        ensure!(told == json!({ "bytes": LARGE, "sha256": digest }), "the server saw {told}");
    }
    close(&client, 1000, "").await
}

async fn b29_compressed_messages_pass_if_both_ends_agree(scene: &Scene) -> Result<()> {
    let deflate = |builder: tidegate::ClientBuilder| builder.deflate(DeflateOptions::default());
    let client = scene.way.connect_as(&scene.echo_with("deflate=1"), deflate).await?;
    let agreed = client.extensions();
    ensure!(agreed.starts_with("permessage-deflate"), "agreed on {agreed:?}");
    for len in [0, 1, 1_000, 1 << 20] {
        echoed(&client, words(len)).await?;
        echoed(&client, pattern(7, len)).await?;
    }
    close(&client, 1000, "").await?;
    // Nothing in between says yes for a server that does not.
    let client = scene.way.connect_as(scene.echo(), deflate).await?;
    ensure!(client.extensions().is_empty(), "agreed on {:?}", client.extensions());
    echoed(&client, words(1_000)).await
}

async fn b31_close_codes_and_reasons_pass_both_ways(scene: &Scene) -> Result<()> {
    for code in [1000, 3000, 3999, 4000, 4999] {
        let client = scene.way.connect_as(scene.echo(), |builder| builder).await?;
        // The server answers with what it has read.
        close(&client, code, "Gr\u{fc}\u{df}e").await?;
    }
    let longest = "x".repeat(123);
    for code in [1000, 1001, 1008, 1011, 1012, 1013, 3000, 4999] {
        for reason in ["", &longest] {
            let client = scene.way.connect(&format!("/close?code={code}&reason={reason}")).await?;
            closed_by_server(&client, code, reason).await?;
        }
    }
    closed_by_server(&scene.way.connect("/close").await?, 1005, "").await
}

/// What a proxy takes ahead of a server that reads nothing is bounded, by the kernel's buffers of two more sockets:
/// the figure is printed, beside that of the way past it.
async fn b31_a_server_that_reads_nothing_makes_the_client_wait(scene: &Scene) -> Result<()> {
    let (through, past) = tokio::try_join!(taken(scene.way), taken(scene.direct))?;
    println!("   {} KiB are hidden on the way, {} without the proxy", through >> 10, past >> 10);
    ensure!(through < UPLOAD as u64, "the way has taken all of it");
    Ok(())
}

/// How many bytes go out to a server that reads nothing.
async fn taken(way: Way) -> Result<u64> {
    let client = upload(way, "/stall").await?;
    let closed = client.close_with(CloseOptions::default().within(STALLED)).await?;
    ensure!(closed.cause == CloseCause::Unconfirmed, "nobody can have confirmed: {closed:?}");
    ensure!(closed.unsent.bytes + closed.unknown.bytes == UPLOAD as u64, "it does not add up: {closed:?}");
    Ok(closed.unknown.bytes)
}

/// A connection to `target` for which [`UPLOAD`] bytes are queued.
async fn upload(way: Way, target: &str) -> Result<Client> {
    let limits = SendLimits { max_queued_bytes: UPLOAD as u64, ..SendLimits::default() };
    let client = way.builder(target).send_limits(limits).connect().await?;
    for _ in 0..UPLOAD / PIECE {
        client.try_send(vec![7; PIECE])?;
    }
    Ok(client)
}

async fn b39_a_server_that_resets_within_an_upload_ends_the_connection(scene: &Scene) -> Result<()> {
    let client = upload(scene.way, &format!("/reset?after={RESET_AFTER}")).await?;
    cut(&client).await?;
    let closed = client.closed().await;
    ensure!(closed.unsent.bytes + closed.unknown.bytes == UPLOAD as u64, "it does not add up: {closed:?}");
    ensure!(closed.unknown.bytes >= RESET_AFTER, "the server has read more than that: {closed:?}");
    Ok(())
}
