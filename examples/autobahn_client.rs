//! The client's side of the Autobahn test suite: runs every case that a fuzzing server has.
//!
//! ```sh
//! cargo run --release --features native,deflate --example autobahn_client -- ws://127.0.0.1:9001 [AGENT]
//! ```
//!
//! The server judges; its report names the client AGENT. `cargo xtask autobahn client` does all of it.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use tidegate::{Client, ClientBuilder, ConnectError, Message};
use tokio::time::{Instant, sleep};

/// How long to wait for a server that is starting.
const START_WITHIN: Duration = Duration::from_secs(30);

/// How long to wait between two attempts to reach it.
const ATTEMPT_EVERY: Duration = Duration::from_millis(100);

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("autobahn_client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let (Some(server), agent, None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("usage: autobahn_client ws://HOST:PORT [AGENT]".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run_cases(server.trim_end_matches('/'), agent.as_deref().unwrap_or("tidegate")))
}

/// Runs all cases of `server`, then has it write the report about `agent`.
///
/// # Errors
///
/// If the server cannot be reached or does not say how many cases it has, or if the name would not stay one
/// value in a query.
pub async fn run_cases(server: &str, agent: &str) -> Result<(), Failure> {
    if agent.is_empty() || !agent.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return Err(format!("the name {agent:?} is not made of letters, digits, `-`, `.` and `_`").into());
    }
    let cases = case_count(server).await?;
    for case in 1..=cases {
        echo(&format!("{server}/runCase?case={case}&agent={agent}")).await?;
    }
    let report = describe(&format!("{server}/updateReports?agent={agent}")).connect().await?;
    // The report is written before the server closes.
    report.closed().await;
    Ok(())
}

/// How a connection is described.
fn describe(url: &str) -> ClientBuilder {
    let builder = Client::builder(url);
    #[cfg(feature = "deflate")]
    let builder = builder.deflate(tidegate::proto::ws::DeflateOptions::default());
    builder
}

/// How many cases the server has. It may still be starting.
async fn case_count(server: &str) -> Result<u32, Failure> {
    let url = format!("{server}/getCaseCount");
    let limit = Instant::now() + START_WITHIN;
    let client = loop {
        match describe(&url).connect().await {
            Err(ConnectError::Failed { .. }) if Instant::now() < limit => sleep(ATTEMPT_EVERY).await,
            connected => break connected?,
        }
    };
    let answer = client.recv().await;
    let count = answer.as_ref().and_then(Message::as_text).and_then(|text| text.trim().parse().ok());
    client.closed().await;
    count.ok_or_else(|| format!("the server does not say how many cases it has, but {answer:?}").into())
}

/// Sends back what comes until the connection ends. How it ends is part of the case: whatever it is, the
/// server judges it.
async fn echo(url: &str) -> Result<(), ConnectError> {
    let client = describe(url).connect().await?;
    while let Some(message) = client.recv().await {
        if client.send(message).await.is_err() {
            break; // closing: nothing more is taken
        }
    }
    client.closed().await;
    Ok(())
}
