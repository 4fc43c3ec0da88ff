//! The suite's routes in the simulated network.

use core::time::Duration;

use futures_util::FutureExt as _;
use sha2::{Digest, Sha256};
use tidegate::sim::{Handshake, Peer, Sim};
use tidegate::{Client, ClientBuilder, ConnectError, Message};

use crate::suite::{Net, hex};

/// A network that serves the suite's routes.
pub(crate) struct SimNet {
    pub(crate) sim: Sim,
}

impl SimNet {
    pub(crate) fn new() -> Self {
        let sim = Sim::new();
        sim.serve("/echo", echo);
        sim.serve("/sink", sink);
        sim.serve("/close", |handshake| async move {
            let code = parameter(handshake.target(), "code").parse().unwrap();
            let reason = parameter(handshake.target(), "reason");
            close(handshake.accept(None), code, &reason).await;
        });
        sim.serve("/subprotocol", |handshake| async move {
            let first = handshake.protocols().first().cloned();
            drain(handshake.accept(first.as_deref())).await;
        });
        sim.serve("/stall", |handshake| handshake.accept(None).stall());
        sim.serve("/never", |handshake| async move { handshake.ignore() });
        sim.serve("/burst", |handshake| async move {
            let mut peer = handshake.accept(None);
            for message in [Message::from("one"), Message::from(&[1, 2, 3]), Message::from("three")] {
                peer.send(message).await;
            }
            close(peer, 4001, "done").await;
        });
        sim.serve("/flood", |handshake| async move {
            let number = |name| parameter(handshake.target(), name).parse::<usize>().unwrap();
            let (messages, bytes) = (number("messages"), number("bytes"));
            let mut peer = handshake.accept(None);
            for message in 0..messages {
                let bytes = (0..=u8::MAX).cycle().skip(message % 256).take(bytes);
                peer.send(bytes.collect::<Vec<_>>()).await;
            }
            close(peer, 1000, "").await;
        });
        Self { sim }
    }
}

impl Net for SimNet {
    async fn connect(
        &self,
        route: &str,
        describe: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Result<Client, ConnectError> {
        describe(Client::builder(format!("ws://sim{route}"))).connect_in(&self.sim).await
    }

    async fn turn(&self) {
        // The shortest time there is: it passes when nothing else can run.
        self.sim.sleep(Duration::from_micros(1)).await;
    }
}

pub(crate) async fn echo(handshake: Handshake) {
    let mut peer = handshake.accept(None);
    while let Some(message) = peer.recv().await {
        peer.send(message).await;
    }
}

async fn sink(handshake: Handshake) {
    let mut peer = handshake.accept(None);
    let (mut messages, mut bytes, mut digest) = (0_u64, 0_u64, Sha256::new());
    while let Some(message) = peer.recv().await {
        let payload = match &message {
            Message::Text(text) if text == "report" => {
                let sha256 = hex(&digest.clone().finalize());
                let report = format!(r#"{{"messages":{messages},"bytes":{bytes},"sha256":"{sha256}"}}"#);
                peer.send(report).await;
                continue;
            }
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
            other => panic!("a peer receives text and bytes: {other:?}"),
        };
        messages += 1;
        bytes += payload.len() as u64;
        digest.update(payload);
    }
}

/// Closes, then takes what still comes.
pub(crate) async fn close(mut peer: Peer, code: u16, reason: &str) {
    peer.close(code, reason);
    drain(peer).await;
}

pub(crate) async fn drain(mut peer: Peer) {
    while peer.recv().await.is_some() {}
}

/// A parameter of the query, as it stands.
fn parameter(target: &str, name: &str) -> String {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned()).unwrap()
}

/// The value of a future that is ready at once.
#[track_caller]
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("ready at once")
}
