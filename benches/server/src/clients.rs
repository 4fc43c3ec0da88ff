//! The other process: idle sessions, and active ones beside them.

use std::io::BufRead as _;
use std::time::{Duration, Instant};

use tidegate::{Client, Message};
use tokio::runtime::{Builder, Runtime};

use crate::{Load, Mode};

/// How many connect at the same time.
const AT_ONCE: usize = 64;

/// How long sessions are left alone before they count as idle: acknowledgements and answers to pings have gone by then.
const SETTLED: Duration = Duration::from_secs(2);

/// What an active session sends.
const MESSAGE: [u8; 32] = [7; 32];

/// Does what the server's process asks for, line by line.
pub(crate) fn run(address: &str, mode: Mode, load: Load) -> Result<(), String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    wait()?;
    let _first = connect(&runtime, address, mode, 1)?;
    say("warm");
    wait()?;
    let _idle = connect(&runtime, address, mode, load.idle)?;
    runtime.block_on(async { tokio::time::sleep(SETTLED).await });
    say("idle");
    wait()?;
    let active = connect(&runtime, address, mode, load.active)?;
    say("ready");
    wait()?;
    let messages = runtime.block_on(talk(active, load.time()))?;
    say(&format!("done {messages}"));
    // Until the server has looked at the clock.
    wait().or(Ok(()))
}

fn say(word: &str) {
    println!("{word}");
}

fn wait() -> Result<(), String> {
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(1..) => Ok(()),
        _ => Err("the server has gone".into()),
    }
}

/// So many sessions, each of which has had a message back.
fn connect(runtime: &Runtime, address: &str, mode: Mode, count: u32) -> Result<Vec<Client>, String> {
    runtime.block_on(async {
        let mut clients = Vec::new();
        let mut under_way = tokio::task::JoinSet::new();
        for _ in 0..count {
            if under_way.len() >= AT_ONCE {
                clients.extend(under_way.join_next().await);
            }
            under_way.spawn(open(address.to_owned(), mode));
        }
        while let Some(client) = under_way.join_next().await {
            clients.push(client);
        }
        clients.into_iter().map(|client| client.map_err(|error| error.to_string())?).collect()
    })
}

async fn open(address: String, mode: Mode) -> Result<Client, String> {
    let mode = match mode {
        Mode::Plain => tidegate::Mode::Plain,
        Mode::Tidegate => tidegate::Mode::Tidegate,
    };
    // Nothing but the sessions is measured: no pings of this side.
    let builder = Client::builder(format!("ws://{address}/")).mode(mode).ping_after(None);
    let client = builder.connect().await.map_err(|error| error.to_string())?;
    ask(&client).await?;
    Ok(client)
}

async fn ask(client: &Client) -> Result<(), String> {
    client.send(&MESSAGE[..]).await.map_err(|error| error.to_string())?;
    match client.recv().await {
        Some(message) if message == Message::from(&MESSAGE[..]) => Ok(()),
        other => Err(format!("the server sent {other:?}: {:?}", client.failure())),
    }
}

/// All of them ask and wait for the answer, again and again. Gives how many answers there were.
async fn talk(clients: Vec<Client>, time: Duration) -> Result<u64, String> {
    let end = Instant::now() + time;
    let mut tasks = tokio::task::JoinSet::new();
    for client in clients {
        tasks.spawn(async move {
            let mut answers = 0_u64;
            while Instant::now() < end {
                ask(&client).await?;
                answers += 1;
            }
            Ok::<_, String>(answers)
        });
    }
    let mut answers = 0;
    while let Some(task) = tasks.join_next().await {
        answers += task.map_err(|error| error.to_string())??;
    }
    Ok(answers)
}
