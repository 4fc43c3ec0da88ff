//! When messages arrive, or have gone out: `/arrivals` and `/push` note it, `/watch` tells it over a connection of
//! its own, which may take another way than the one that is measured.
//!
//! Not here: what the figures mean, and the other clock, which is the page's.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tidegate::proto::ws::Request;
use tidegate::{Message, SendOptions};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::interval;

use super::peer::Peer;
use super::talk::meanwhile;

/// The length of an urgent message. Its first four bytes are its number, the lowest first.
const URGENT_BYTES: usize = 32;

/// What has arrived under each name, and the clock by which it has.
#[derive(Debug)]
pub(super) struct Arrivals {
    start: Instant,
    runs: Mutex<HashMap<String, Arc<watch::Sender<Seen>>>>,
}

/// What has arrived so far. Times are in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
struct Seen {
    bulk: Bulk,
    /// Number and time of each urgent message, in the order of arrival.
    urgent: Vec<(u32, f64)>,
}

/// All messages that are not urgent.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Bulk {
    messages: u64,
    bytes: u64,
    /// When the last of them arrived.
    at: f64,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { start: Instant::now(), runs: Mutex::default() }
    }
}

impl Arrivals {
    /// Milliseconds on the server's clock.
    fn now(&self) -> f64 {
        self.start.elapsed().as_secs_f64() * 1_000.0
    }

    /// The run of that name, which begins with whoever asks first.
    fn run(&self, name: &str) -> Arc<watch::Sender<Seen>> {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.entry(name.to_owned()).or_default().clone()
    }

    fn forget(&self, name: &str) {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// Takes everything, and notes what arrives when. If it is to acknowledge it, each message is answered by how many
/// bytes of payload have arrived in all.
pub(super) async fn note(
    stream: TcpStream,
    request: &Request,
    subprotocol: Option<&str>,
    name: &str,
    acknowledges: bool,
    arrivals: &Arrivals,
) -> io::Result<()> {
    let run = arrivals.run(name);
    let peer = Peer::accept(stream, request, subprotocol).await?;
    let mut received = 0_u64;
    while let Some(message) = peer.recv().await {
        let now = arrivals.now();
        received += message.size();
        run.send_modify(|seen| {
            if let Some(number) = number(&message) {
                seen.urgent.push((number, now));
            } else {
                seen.bulk.messages += 1;
                seen.bulk.bytes += message.size();
                seen.bulk.at = now;
            }
        });
        if acknowledges && !peer.send(received.to_string()).await {
            break;
        }
    }
    Ok(())
}

/// Sends `messages` of `bytes` bytes, one after the other, and notes how much has gone out; the close is the
/// peer's.
pub(super) async fn push(
    stream: TcpStream,
    request: &Request,
    subprotocol: Option<&str>,
    name: &str,
    messages: u32,
    bytes: usize,
    arrivals: &Arrivals,
) -> io::Result<()> {
    let run = arrivals.run(name);
    let peer = Peer::accept(stream, request, subprotocol).await?;
    meanwhile(&peer, async {
        for message in 0..messages {
            let [first, ..] = message.to_le_bytes();
            if !peer.hand_over(vec![first; bytes]).await {
                return;
            }
            let now = arrivals.now();
            run.send_modify(|seen| {
                seen.bulk.messages += 1;
                seen.bulk.bytes += bytes as u64;
                seen.bulk.at = now;
            });
        }
        core::future::pending::<()>().await;
    })
    .await;
    Ok(())
}

/// How often [`stream`] sends an urgent message, and before everything else, and how many before it.
const URGENT_EVERY: Duration = Duration::from_millis(100);
const IDLE_EVERY: Duration = Duration::from_millis(50);
const IDLE_MESSAGES: u32 = 5;

/// What [`stream`] sends, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Streamed {
    pub(super) messages: u32,
    /// Of each.
    pub(super) bytes: usize,
    /// Else all of it goes as it comes.
    pub(super) has_priorities: bool,
    /// How long what is under way may queue, in tidegate mode; by default as tidegate has it.
    pub(super) delay: Option<Duration>,
}

/// Sends what is wanted with an urgent message as it begins and every 100 ms meanwhile, after five of them over the idle
/// line; each says when it was sent, and what the sender thinks of the line. The close is the peer's.
pub(super) async fn stream(
    stream: TcpStream,
    request: &Request,
    subprotocol: Option<&str>,
    wanted: Streamed,
    arrivals: &Arrivals,
) -> io::Result<()> {
    let Streamed { messages, bytes, has_priorities, delay } = wanted;
    let peer = Peer::accept_with(stream, request, subprotocol, |options| {
        if let (Some(tidegate), Some(delay)) = (&mut options.tidegate, delay) {
            tidegate.delay = delay;
        }
    })
    .await?;
    let (bulk, urgent) =
        if has_priorities { (SendOptions::bulk(), SendOptions::urgent()) } else { Default::default() };
    let number = AtomicU32::new(0);
    let send_urgent = async || {
        let mut message = Vec::with_capacity(URGENT_BYTES);
        message.extend(number.fetch_add(1, Ordering::Relaxed).to_le_bytes());
        message.extend([0; 4]);
        message.extend(arrivals.now().to_le_bytes());
        let (budget_bytes, bytes_per_second) = peer.budget();
        #[allow(clippy::cast_precision_loss, reason = "a budget and a rate are far from 2^52")]
        message.extend([budget_bytes, bytes_per_second].map(|value| (value as f64).to_le_bytes()).concat());
        peer.send_with(message, urgent.clone()).await
    };
    meanwhile(&peer, async {
        let mut idle = interval(IDLE_EVERY);
        for _ in 0..IDLE_MESSAGES {
            idle.tick().await;
            if !send_urgent().await {
                return;
            }
        }
        idle.tick().await;
        let upload = async {
            for _ in 0..messages {
                if !peer.send_with(vec![0; bytes], bulk.clone()).await {
                    return;
                }
            }
            core::future::pending::<()>().await;
        };
        let pings = async {
            let mut every = interval(URGENT_EVERY);
            every.tick().await;
            while send_urgent().await {
                every.tick().await;
            }
        };
        tokio::select! {
            // By the first of them the peer knows when it has begun.
            biased;
            () = pings => {}
            () = upload => {}
        }
    })
    .await;
    Ok(())
}

/// The number of an urgent message.
fn number(message: &Message) -> Option<u32> {
    let Message::Binary(bytes) = message else { return None };
    let (number, rest) = bytes.split_first_chunk()?;
    (number.len() + rest.len() == URGENT_BYTES).then(|| u32::from_le_bytes(*number))
}

/// Answers `now` by the server's clock, and `wait BYTES URGENT` by what has arrived, once it is so many
/// bytes of bulk and so many urgent messages. With the connection the run is forgotten.
pub(super) async fn watch(
    stream: TcpStream,
    request: &Request,
    name: &str,
    arrivals: &Arrivals,
) -> io::Result<()> {
    let run = arrivals.run(name);
    let peer = Peer::accept(stream, request, None).await?;
    while let Some(message) = peer.recv().await {
        let answer = match message.as_text().and_then(asked) {
            Some(Asked::Now) => arrivals.now().to_string(),
            Some(Asked::Wait { bytes, urgent }) => {
                let mut seen = run.subscribe();
                let enough = |seen: &Seen| seen.bulk.bytes >= bytes && seen.urgent.len() >= urgent;
                tokio::select! {
                    seen = seen.wait_for(enough) => serde_json::to_string(&*seen.map_err(io::Error::other)?)?,
                    // Nobody says anything while waiting: it is the end.
                    _ = peer.recv() => break,
                }
            }
            None => "what is that?".to_owned(),
        };
        if !peer.send(answer).await {
            break;
        }
    }
    arrivals.forget(name);
    Ok(())
}

/// What a watcher may ask for.
#[derive(Debug, PartialEq)]
enum Asked {
    Now,
    Wait { bytes: u64, urgent: usize },
}

fn asked(text: &str) -> Option<Asked> {
    let mut words = text.split(' ');
    match (words.next()?, words.next(), words.next(), words.next()) {
        ("now", None, None, None) => Some(Asked::Now),
        ("wait", Some(bytes), Some(urgent), None) => {
            Some(Asked::Wait { bytes: bytes.parse().ok()?, urgent: urgent.parse().ok()? })
        }
        _ => None,
    }
}
