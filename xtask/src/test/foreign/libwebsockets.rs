//! The test server of libwebsockets. It has no route that sends messages back as they were, but subprotocols:
//! `lws-mirror-protocol` sends everything back as text in parts of its buffer of 4,096 bytes, each part a message;
//! `dumb-increment-protocol` counts, and closes when it is told to; `lws-status` says something once.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tidegate::proto::ws::{DeflateOptions, ProtocolError};
use tidegate::{Client, ClientBuilder, TransportError};

use super::{Server, start};
use crate::test::Tally;
use crate::test::way::{Check, checks, close, closed_by_server, echoed, run, text};
use crate::tools::daemons;

const MIRROR: &str = "lws-mirror-protocol";
const COUNTER: &str = "dumb-increment-protocol";
const STATUS: &str = "lws-status";

/// The longest message that the mirror sends back in one: its buffer holds the frame's header as well.
const WHOLE: usize = 4_088;

const CHECKS: &[Check<Server>] = checks![
    b10_one_of_several_subprotocols_is_chosen_by_the_server,
    b05_a_server_that_speaks_none_of_them_ends_the_attempt,
    b25_many_messages_come_back_in_their_order,
    b29_messages_of_every_size_come_back,
    b29_compressed_messages_arrive,
    b31_close_codes_go_both_ways,
    b60_bytes_that_come_back_as_text_end_the_connection,
    b66_pings_are_answered,
];

/// Runs the checks.
pub(super) fn check(tally: &mut Tally) -> Result<()> {
    let program = daemons::program("libwebsockets-test-server")?;
    let server = start("libwebsockets", |address| {
        let mut command = Command::new(&program);
        command.arg(format!("--port={}", address.port()));
        Ok(command)
    })?;
    run("foreign::libwebsockets", &server, CHECKS, tally)
}

/// Connects to `subprotocol`. Each `room` of the mirror is by itself: who is in it gets what others say, too.
async fn open(
    server: &Server,
    subprotocol: &str,
    room: &str,
    describe: impl FnOnce(ClientBuilder) -> ClientBuilder,
) -> Result<Client> {
    let builder = server.way.builder(&format!("/?mirror={room}")).subprotocol(subprotocol);
    describe(builder).connect().await.with_context(|| format!("connecting to {subprotocol}"))
}

async fn b10_one_of_several_subprotocols_is_chosen_by_the_server(server: &Server) -> Result<()> {
    let builder = server.way.builder("/").subprotocol("chat.v2").subprotocol(MIRROR).subprotocol(COUNTER);
    let client = builder.connect().await?;
    ensure!(client.protocol() == MIRROR, "{:?} was chosen", client.protocol());
    close(&client, 1000, "").await
}

async fn b05_a_server_that_speaks_none_of_them_ends_the_attempt(server: &Server) -> Result<()> {
    // It ends the stream without an answer.
    let error = server.way.builder("/").subprotocol("chat.v2").connect().await.err();
    let error = error.context("it opened")?;
    ensure!(error.refusal().is_none(), "{error:?}");
    Ok(())
}

async fn b25_many_messages_come_back_in_their_order(server: &Server) -> Result<()> {
    // The mirror forgets what does not fit into its ring of 8 messages, so that there are never more under way.
    let client = open(server, MIRROR, "order", |builder| builder).await?;
    for number in 0..500 {
        for part in 0..4 {
            client.send(format!("{number} {part}")).await?;
        }
        for part in 0..4 {
            let back = text(&client).await?;
            ensure!(back == format!("{number} {part}"), "message {number} {part} is {back:?}");
        }
    }
    close(&client, 1000, "").await
}

async fn b29_messages_of_every_size_come_back(server: &Server) -> Result<()> {
    for fragment_bytes in [None, Some(1_000)] {
        let fragments = |builder: ClientBuilder| builder.fragment_bytes(fragment_bytes);
        let client = open(server, MIRROR, "sizes", fragments).await?;
        for len in [0, 1, 125, 126, 1_000] {
            echoed(&client, "x".repeat(len)).await.with_context(|| format!("{len} bytes"))?;
        }
        if fragment_bytes.is_none() {
            echoed(&client, "y".repeat(WHOLE)).await?;
        }
        for len in [5_000, 65_535, 65_536, 1 << 20] {
            let long: String = ('a'..='z').cycle().take(len).collect();
            client.send(long.clone()).await?;
            let mut back = String::new();
            while back.len() < len {
                back += &text(&client).await?;
            }
            ensure!(back == long, "{len} bytes came back otherwise");
        }
        close(&client, 1000, "").await?;
    }
    Ok(())
}

async fn b29_compressed_messages_arrive(server: &Server) -> Result<()> {
    let deflate = |builder: ClientBuilder| builder.deflate(DeflateOptions::default());
    let client = open(server, STATUS, "none", deflate).await?;
    let agreed = client.extensions();
    ensure!(agreed.starts_with("permessage-deflate"), "agreed on {agreed:?}");
    let told: serde_json::Value = serde_json::from_str(&text(&client).await?)?;
    ensure!(told.get("version").is_some(), "it says {told}");
    close(&client, 1000, "").await
}

async fn b31_close_codes_go_both_ways(server: &Server) -> Result<()> {
    for code in [1000, 3000, 4999] {
        let client = open(server, MIRROR, "closing", |builder| builder).await?;
        close(&client, code, "Gr\u{fc}\u{df}e").await?;
    }
    let client = open(server, COUNTER, "none", |builder| builder).await?;
    for number in 0..3 {
        let counted = text(&client).await?;
        ensure!(counted == number.to_string(), "{number} is {counted:?}");
    }
    client.send("closeme\n").await?;
    closed_by_server(&client, 1001, "seeya").await
}

async fn b60_bytes_that_come_back_as_text_end_the_connection(server: &Server) -> Result<()> {
    let client = open(server, MIRROR, "bytes", |builder| builder).await?;
    client.send([0xff, 0xfe]).await?;
    ensure!(client.recv().await.is_none(), "they are no text");
    let failure = client.failure();
    let is_utf8 = matches!(failure, Some(TransportError::Protocol(ProtocolError::InvalidUtf8)));
    ensure!(is_utf8, "{failure:?}");
    Ok(())
}

async fn b66_pings_are_answered(server: &Server) -> Result<()> {
    let often = |builder: ClientBuilder| builder.ping_after(Duration::from_millis(200));
    // The mirror is silent, while the other counts for two seconds.
    let pinging = open(server, MIRROR, "pings", often).await?;
    let counting = open(server, COUNTER, "none", |builder| builder).await?;
    for _ in 0..40 {
        text(&counting).await?;
    }
    echoed(&pinging, "still here").await.with_context(|| format!("{:?}", pinging.failure()))
}
