//! xtask's own server and the one in Node do the same on the routes of the bench, for tidegate's client on the host.

use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::Value;
use tidegate::{Client, Message, Mode, SendOptions};
use tokio::time::timeout;

use super::{Job, install, start};
use crate::bench::pages::install_tarball;
use crate::dist;
use crate::server::{self, Config, Running};
use crate::steps::Steps;
use crate::tools;

/// So long may anything take that is not there at once; a limit, never a pause.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(20);

/// Where each of them is, until this is dropped.
struct Both {
    rust: Running,
    node: String,
    _job: Job,
}

impl Both {
    fn start() -> Self {
        // Several tests may come here at once.
        static PROJECT: OnceLock<PathBuf> = OnceLock::new();
        let project = PROJECT.get_or_init(|| {
            let package = dist::build(&mut Steps::default()).unwrap();
            let project = tools::target().join("bench-node-test");
            install_tarball(&package, &project).unwrap();
            install(&project).unwrap();
            project
        });
        let (job, address) = start(project).unwrap();
        let rust = server::start(Config::default()).unwrap();
        Self { rust, node: format!("ws://{address}"), _job: job }
    }

    fn urls(&self) -> [String; 2] {
        [format!("ws://{}", self.rust.address()), self.node.clone()]
    }
}

async fn open(url: &str, mode: Mode) -> Client {
    let client = Client::builder(url).mode(mode).connect().await.unwrap();
    assert_eq!(client.mode(), mode);
    client
}

async fn recv(client: &Client) -> Message {
    timeout(PATIENCE, client.recv()).await.unwrap().unwrap()
}

async fn ask(watcher: &Client, question: &str) -> Value {
    watcher.send(question).await.unwrap();
    serde_json::from_str(recv(watcher).await.as_text().unwrap()).unwrap()
}

fn urgent(number: u32) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(32, 0);
    bytes
}

#[tokio::test]
async fn each_tells_what_has_arrived_and_when() {
    let both = Both::start();
    for url in both.urls() {
        let watcher = open(&format!("{url}/watch?run=a"), Mode::Plain).await;
        let other = open(&format!("{url}/watch?run=b"), Mode::Plain).await;
        let before = ask(&watcher, "now").await.as_f64().unwrap();
        let sender = open(&format!("{url}/arrivals?run=a"), Mode::Tidegate).await;
        sender.send(urgent(7)).await.unwrap();
        sender.send(vec![0; 100]).await.unwrap();
        sender.send("x".repeat(32)).await.unwrap();
        sender.send(urgent(300)).await.unwrap();
        let seen = ask(&watcher, "wait 132 2").await;
        assert_eq!(
            (&seen["bulk"]["messages"], &seen["bulk"]["bytes"]),
            (&2.into(), &132.into()),
            "{url}: {seen}"
        );
        assert_eq!((&seen["urgent"][0][0], &seen["urgent"][1][0]), (&7.into(), &300.into()), "{url}: {seen}");
        let times = [&seen["urgent"][0][1], &seen["bulk"]["at"], &seen["urgent"][1][1]];
        let times = times.map(|time| time.as_f64().unwrap());
        assert!(before <= times[0] && times.is_sorted(), "{url}: {seen}");
        assert!(ask(&watcher, "now").await.as_f64().unwrap() >= times[2], "{url}");
        // One that only chunks can interrupt arrives whole.
        sender.send_with(vec![1; 8 << 20], SendOptions::bulk()).await.unwrap();
        let seen = ask(&watcher, "wait 8388740 2").await;
        assert_eq!(
            (&seen["bulk"]["messages"], &seen["bulk"]["bytes"]),
            (&3.into(), &8_388_740.into()),
            "{url}"
        );
        assert_eq!(
            ask(&other, "wait 0 0").await["bulk"]["messages"],
            0,
            "{url}: another run has seen nothing of it"
        );
        other.send("what?").await.unwrap();
        assert_eq!(recv(&other).await, "what is that?".into(), "{url}");
    }
}

#[tokio::test]
async fn each_sends_urgent_messages_that_say_when_and_over_what_between_the_others() {
    let both = Both::start();
    for url in both.urls() {
        let client =
            open(&format!("{url}/stream?messages=3&bytes=1000&priorities=1&delay=50"), Mode::Tidegate).await;
        let (mut urgent, mut bulk) = (Vec::new(), 0);
        while urgent.len() < 8 || bulk < 3 {
            let Message::Binary(message) = recv(&client).await else { panic!("{url} sends binary messages") };
            if message.len() == 32 {
                let float = |at: usize| f64::from_le_bytes(message[at..at + 8].try_into().unwrap());
                let number = u32::from_le_bytes(message[..4].try_into().unwrap());
                urgent.push((number, float(8), float(16), float(24)));
            } else {
                assert_eq!(message, vec![0; 1000], "{url}");
                assert!(urgent.len() > 4, "{url}: five go over the idle line");
                bulk += 1;
            }
        }
        let numbers: Vec<u32> = urgent.iter().map(|(number, ..)| *number).collect();
        assert_eq!(numbers, (0..8).collect::<Vec<_>>(), "{url}");
        assert!(urgent.is_sorted_by_key(|(_, at, ..)| *at), "{url}: {urgent:?}");
        // The last one over the idle line, which has shown little: ten segments may be under way.
        let (_, _, budget_bytes, _) = urgent[4];
        assert!((14_600.0..14_601.0).contains(&budget_bytes), "{url}: {urgent:?}");
        let (_, _, budget_bytes, bytes_per_second) = urgent[7];
        assert!(budget_bytes >= 14_600.0 && bytes_per_second > 0.0, "{url}: {urgent:?}");
    }
}

#[tokio::test]
async fn neither_has_a_route_of_another_name() {
    let both = Both::start();
    for url in both.urls() {
        let error = Client::builder(format!("{url}/nowhere")).connect().await.unwrap_err();
        assert_eq!(error.refusal().map(|refusal| refusal.status), Some(404), "{url}");
    }
}
