//! The Python packages websockets and ws4py.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tidegate::Message;
use tidegate::proto::ws::DeflateOptions;

use super::{Server, start};
use crate::test::Tally;
use crate::test::way::{Check, checks, close, closed_by_server, echoed, pattern, run, text, words};
use crate::tools::{self, python};

/// What both do.
const CHECKS: &[Check<Server>] = checks![
    b10_the_subprotocol_that_is_offered_first_is_chosen,
    b25_many_messages_come_back_in_their_order,
    b29_messages_of_every_size_come_back_as_they_were,
    b29_fragments_are_joined_at_both_ends,
    b31_close_codes_and_reasons_go_both_ways,
    b66_pings_are_answered_by_both_ends,
];

/// What only websockets does.
const COMPRESSED: &[Check<Server>] = checks![b29_compressed_messages_come_back_as_they_were];

/// Runs the checks with the server of this package.
pub(super) fn check(package: &str, tally: &mut Tally) -> Result<()> {
    let scripts = tools::root().join("tests/foreign");
    let directory = tools::target().join("foreign");
    let interpreter = python::environment(&scripts.join("requirements.txt"), &directory)?;
    let server = start(package, |address| {
        let mut command = Command::new(&interpreter);
        // Without what the user's environment or home directory adds, and without files beside the scripts.
        command.args(["-E", "-s", "-B"]).arg(scripts.join(format!("{package}_server.py")));
        command.arg(address.port().to_string());
        Ok(command)
    })?;
    let suite = format!("foreign::{package}");
    let checked = run(&suite, &server, CHECKS, tally);
    if package == "websockets" {
        return checked.and(run(&suite, &server, COMPRESSED, tally));
    }
    checked
}

async fn b10_the_subprotocol_that_is_offered_first_is_chosen(server: &Server) -> Result<()> {
    let client = server.way.connect_as("/echo", |builder| builder).await?;
    echoed(&client, "hello").await?;
    close(&client, 1000, "").await?;
    ensure!(server.way.connect("/echo").await?.protocol().is_empty());
    Ok(())
}

async fn b25_many_messages_come_back_in_their_order(server: &Server) -> Result<()> {
    const MANY: u32 = 2_000;
    let client = server.way.connect("/echo").await?;
    let sending = async {
        for number in 0..MANY {
            client.send(number.to_string()).await?;
        }
        Ok::<_, anyhow::Error>(())
    };
    let receiving = async {
        for number in 0..MANY {
            let back = text(&client).await?;
            ensure!(back == number.to_string(), "message {number} is {back:?}");
        }
        Ok(())
    };
    tokio::try_join!(sending, receiving)?;
    close(&client, 1000, "").await
}

async fn b29_messages_of_every_size_come_back_as_they_were(server: &Server) -> Result<()> {
    let client = server.way.connect("/echo").await?;
    for len in [0, 1, 125, 126, 1_000, 65_535, 65_536, 1 << 20] {
        echoed(&client, words(len)).await.with_context(|| format!("text of {len} bytes"))?;
        echoed(&client, pattern(29, len)).await.with_context(|| format!("{len} bytes"))?;
    }
    close(&client, 1000, "").await
}

async fn b29_fragments_are_joined_at_both_ends(server: &Server) -> Result<()> {
    // Characters are cut, too.
    for fragment_bytes in [1_000, 65_537] {
        let client = server.way.builder("/echo").fragment_bytes(Some(fragment_bytes)).connect().await?;
        echoed(&client, words(100_000)).await?;
        echoed(&client, pattern(30, 100_000)).await?;
        close(&client, 1000, "").await?;
    }
    let client = server.way.connect("/fragments").await?;
    let joined = text(&client).await?;
    ensure!(joined == "\u{1f30a} one two three", "the text is {joined:?}");
    let expected = [vec![0, 1], vec![2; 70_000]].concat();
    let joined = client.recv().await.context("the end instead of bytes")?;
    ensure!(joined == Message::from(expected), "the bytes are {joined:?}");
    close(&client, 1000, "").await
}

async fn b31_close_codes_and_reasons_go_both_ways(server: &Server) -> Result<()> {
    for code in [1000, 3000, 4999] {
        let client = server.way.connect("/echo").await?;
        echoed(&client, "before").await?;
        close(&client, code, "Gr\u{fc}\u{df}e").await?;
    }
    for code in [1000, 1001, 1011, 3000, 4999] {
        let client = server.way.connect(&format!("/close?code={code}&reason=why")).await?;
        closed_by_server(&client, code, "why").await?;
    }
    Ok(())
}

async fn b66_pings_are_answered_by_both_ends(server: &Server) -> Result<()> {
    let client = server.way.connect("/pinged").await?;
    let told = text(&client).await?;
    ensure!(told == "ponged", "the server says {told:?}");
    close(&client, 1000, "").await?;
    // The server says nothing for longer than a peer may that does not answer pings.
    let often = |builder: tidegate::ClientBuilder| builder.ping_after(Duration::from_millis(200));
    let client = often(server.way.builder("/later?seconds=1")).connect().await?;
    let told = text(&client).await.with_context(|| format!("{:?}", client.failure()))?;
    ensure!(told == "later", "the server says {told:?}");
    close(&client, 1000, "").await
}

async fn b29_compressed_messages_come_back_as_they_were(server: &Server) -> Result<()> {
    let mut options = DeflateOptions::default();
    options.min_bytes = 0;
    let client = server.way.builder("/echo").deflate(options).connect().await?;
    let agreed = client.extensions();
    ensure!(agreed.starts_with("permessage-deflate"), "agreed on {agreed:?}");
    for len in [0, 1, 1_000, 65_536, 1 << 20] {
        echoed(&client, words(len)).await.with_context(|| format!("text of {len} bytes"))?;
        echoed(&client, pattern(31, len)).await.with_context(|| format!("{len} bytes"))?;
    }
    close(&client, 1000, "").await
}
