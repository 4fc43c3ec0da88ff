//! An upload and urgent messages over one slow link, in the simulator: priority, flow, deadline, latest value,
//! backpressure and numbers.
//!
//! `cargo run --features sim --example priorities`

use std::time::Duration;

use futures_util::future::join;
use tidegate::sim::{Engine, Link, Sim};
use tidegate::{Client, Message, Priority, SendOptions};

/// Runs it.
pub fn main() {
    let sim = Sim::new();
    let (rate, delay) = (Some(2_000_000), Duration::from_millis(20));
    sim.set_link(Link { bytes_per_second: rate, delay, ..Link::default() });
    sim.set_engine(Some(Engine::Chromium));
    let clock = sim.clone();
    sim.serve("/", move |handshake| {
        let clock = clock.clone();
        async move {
            let mut peer = handshake.accept(None);
            while let Some(message) = peer.recv().await {
                if let Message::Text(position) = message {
                    println!("{position}, arrived at {:?}", clock.elapsed());
                }
            }
        }
    });
    sim.block_on(async {
        let client = Client::builder("ws://sim/").connect_in(&sim).await.expect("it is served");
        // Waits for room: of each priority 16 MiB are queued at most.
        let upload = async {
            for _ in 0..320 {
                client.send_with(vec![0; 65_536], SendOptions::bulk().flow("photo")).await.expect("open");
            }
            client.flushed().await.expect("open");
        };
        // Only the newest position is worth sending, and only for a while.
        let cursor = SendOptions::urgent().latest("cursor").deadline(Duration::from_secs(1));
        let pointing = async {
            for step in 0..100 {
                let position = format!("position {step}, sent at {:?}", sim.elapsed());
                client.send_with(position, cursor.clone()).await.expect("open");
                sim.sleep(Duration::from_millis(100)).await;
            }
        };
        join(upload, pointing).await;
        let stats = client.stats();
        println!("upload: {:?}", stats.class(Priority::Bulk).handed_over);
        println!("cursor: {:?}", stats.class(Priority::Urgent).handed_over);
    });
}
