//! The examples as programs: that they are built, say what they should, and end as they should. What is in
//! them is tested by `tests/native`.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use tidegate::{ChannelOptions, Client, ConnectError, Mode};

use super::checks::NATIVE;
use crate::process::Captured;
use crate::{listen, process, tools};

/// How long the server may take to listen.
const LISTENS_WITHIN: Duration = Duration::from_secs(30);

/// How long a chat may take, and each example that is to end by itself: seconds on a busy machine, and for ever if
/// somebody waits for what does not come.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// Builds and runs them.
///
/// # Errors
///
/// If one of them does not build, or does something else than it should.
pub(super) fn run() -> Result<()> {
    let features = ["--features", NATIVE];
    process::run(tools::cargo().args(["build", "--quiet", "--workspace", "--examples"]).args(features))?;
    let (_server, address) = listen::start(LISTENS_WITHIN, |address| {
        let mut server = example("echo_server");
        server.arg(address.to_string());
        Ok(server)
    })?;
    let (_chat_server, chat_address) = listen::start(LISTENS_WITHIN, |address| {
        let mut server = example("axum_chat");
        server.args([address.to_string().as_str(), "https://example.com"]);
        Ok(server)
    })?;
    chat(chat_address)?;
    let address = address.to_string();
    let said = call("codec_over_std_tcp", &[&address, "caf\u{e9}"])?;
    if !said.status.success() || said.stdout != "caf\u{e9}\n" {
        bail!("codec_over_std_tcp said {:?} and {:?} ({})", said.stdout, said.stderr, said.status);
    }
    let said = call("priorities", &[])?;
    let names: Vec<_> = said.stdout.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
    if !said.status.success() || names != ["pointer", "photo"] {
        bail!("priorities said {:?} and {:?} ({})", said.stdout, said.stderr, said.status);
    }
    for (name, arguments) in [
        ("echo_server", &[][..]),
        ("echo_server", &["nowhere"]),
        ("echo_server", &[&address]), // taken
        ("axum_chat", &[]),
        ("axum_chat", &["nowhere"]),
        ("axum_chat", &["127.0.0.1:0", "https://example.com/"]), // no origin has a slash at its end
        ("axum_chat", &[&address]),
        ("autobahn_client", &[]),
        ("autobahn_client", &["nowhere"]),
        ("autobahn_client", &[&format!("ws://{address}"), "no name"]),
        ("codec_over_std_tcp", &[]),
        ("codec_over_std_tcp", &["nowhere"]),
        ("codec_over_std_tcp", &[&address, "a text", "too much"]),
    ] {
        let said = call(name, arguments)?;
        if said.status.code() != Some(1) || !said.stderr.starts_with(name) {
            bail!("{name} {arguments:?} said {:?} ({})", said.stderr, said.status);
        }
    }
    Ok(())
}

/// Chats with the server while a megabyte of telemetry goes to it, as a page of the origin that it serves; a page of
/// another is refused. What the server writes is shown as it comes, and it ends with its job.
fn chat(address: SocketAddr) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let at = Cell::new("");
    runtime.block_on(async {
        let chatted = tokio::time::timeout(ENDS_WITHIN, chat_from(address, &at)).await;
        chatted.unwrap_or_else(|_| bail!("after {} s the chat still {}", ENDS_WITHIN.as_secs(), at.get()))
    })
}

/// See [`chat`]; `at` has what it waits for.
async fn chat_from(address: SocketAddr, at: &Cell<&'static str>) -> Result<()> {
    let page = |origin| {
        let builder = Client::builder(format!("ws://{address}/live")).mode(Mode::Tidegate);
        builder.header("Origin", origin).connect()
    };
    at.set("waits to be refused");
    let refused = page("https://evil.example").await;
    let status = refused.as_ref().err().and_then(ConnectError::refusal).map(|refusal| refusal.status);
    if status != Some(403) {
        bail!("axum_chat answered a page of another origin with {refused:?}");
    }
    at.set("connects");
    let client = page("https://example.com").await?;
    at.set("opens its channels");
    let telemetry = client.channel("telemetry", ChannelOptions::bulk()).await?;
    telemetry.send(vec![0; 1_000_000]).await?;
    telemetry.close();
    let chat = client.channel("chat", ChannelOptions::urgent()).await?;
    chat.send("hello").await?;
    at.set("waits for what it has said itself");
    let said = chat.recv().await;
    at.set("waits for the sum of its telemetry");
    let said = (said, telemetry.recv().await);
    if said != (Some("hello".into()), Some("1000000".into())) {
        bail!("axum_chat said {said:?}");
    }
    at.set("closes");
    client.close(1000, "").await?;
    Ok(())
}

fn call(name: &str, arguments: &[&str]) -> Result<Captured> {
    process::capture_within(example(name).args(arguments), ENDS_WITHIN)
}

fn example(name: &str) -> Command {
    let file: PathBuf =
        ["debug", "examples", &format!("{name}{}", std::env::consts::EXE_SUFFIX)].iter().collect();
    Command::new(tools::target().join(file))
}
