//! What a message costs beside other channels of its session, both ends in one thread and nothing in between but memory.

use std::time::{Duration, Instant};

use serde::Serialize;
use tidegate::proto::ws::HeadLimits;
use tidegate::server::{AcceptOptions, accept, read_request};
use tidegate::{Channel, ChannelOptions, Client, Mode, TidegateOptions};
use tokio::runtime::Builder;

use crate::server::text;

/// How many channels are open, of which one is used.
const CHANNELS: [u16; 4] = [1, 100, 1_000, 10_000];

/// What the pipe between both ends holds, in bytes.
const PIPE: usize = 64 << 10;

/// What one number of channels has cost.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) channels: u16,
    /// To open one, until the other end has it.
    pub(crate) microseconds_per_opening: f64,
    /// There and back on one of them, while the others are open and idle.
    pub(crate) messages_per_second: f64,
}

/// Measures each number of channels for as long as `time`.
pub(crate) fn measure(time: Duration) -> Result<Vec<Row>, String> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(text)?;
    CHANNELS.into_iter().map(|channels| runtime.block_on(one(channels, time))).collect()
}

async fn one(channels: u16, time: Duration) -> Result<Row, String> {
    let (here, there) = pair().await?;
    let mut offered = there.channels();
    let mut pairs: Vec<(Channel, Channel)> = Vec::with_capacity(usize::from(channels));
    let begun = Instant::now();
    for number in 0..channels {
        let own = here.channel(&number.to_string(), ChannelOptions::new()).await.map_err(text)?;
        let other = offered.accept().await.ok_or("the session has ended")?;
        pairs.push((own, other));
    }
    let opening = begun.elapsed();
    let (own, other) = pairs.get(pairs.len() / 2).ok_or("there is no channel")?;
    let begun = Instant::now();
    let mut messages = 0_u32;
    while begun.elapsed() < time {
        for (from, to) in [(own, other), (other, own)] {
            from.send("x").await.map_err(text)?;
            to.recv().await.ok_or("the channel has ended")?;
            messages += 1;
        }
    }
    Ok(Row {
        channels,
        microseconds_per_opening: opening.as_secs_f64() * 1e6 / f64::from(channels),
        messages_per_second: f64::from(messages) / begun.elapsed().as_secs_f64(),
    })
}

/// A client and its server's end.
async fn pair() -> Result<(Client, Client), String> {
    let (here, mut there) = tokio::io::duplex(PIPE);
    let server = async {
        let request = read_request(&mut there, HeadLimits::default()).await.map_err(text)?;
        let mut options = AcceptOptions::default();
        options.tidegate = Some(TidegateOptions::server().max_channels(u16::MAX.into()));
        accept(there, &request, Some("tidegate.v1"), options).map_err(text)
    };
    let client = Client::builder("ws://example.com/").mode(Mode::Tidegate).connect_over(here);
    let (client, server) = tokio::join!(client, server);
    Ok((client.map_err(text)?, server?))
}
