//! An upload and a pointer over one slow simulated link: `cargo run --features sim --example priorities`

use std::time::Duration;
use tidegate::sim::{Engine, Link, Sim};
use tidegate::{Client, Priority, SendOptions, Stats};

/// Sends 20 MiB and a thousand positions, and gives the numbers.
pub(crate) async fn share(sim: &Sim) -> Stats {
    let client = Client::builder("ws://sim/").connect_in(sim).await.expect("it is served");
    let upload = async {
        for _ in 0..320 {
            // Waits for room: of each priority 16 MiB are queued at most.
            client.send_with(vec![0; 65_536], SendOptions::bulk().flow("photo")).await.expect("open");
        }
    };
    let pointing = async {
        // Only the newest position is worth sending, and only for a while.
        let newest = SendOptions::urgent().latest("pointer").deadline(Duration::from_millis(200));
        for step in 0..1_000 {
            client.send_with(format!("position {step}"), newest.clone()).await.expect("open");
            sim.sleep(Duration::from_millis(10)).await;
        }
    };
    futures_util::future::join(upload, pointing).await;
    client.flushed().await.expect("open");
    client.stats()
}

fn main() {
    let sim = Sim::new();
    sim.set_link(Link { bytes_per_second: Some(2_000_000), ..Link::default() });
    sim.set_engine(Some(Engine::Chromium));
    sim.serve("/", |handshake| async {
        let mut peer = handshake.accept(None);
        while peer.recv().await.is_some() {}
    });
    let stats = sim.block_on(share(&sim));
    println!("pointer: {:?}\nphoto: {:?}", stats.class(Priority::Urgent), stats.class(Priority::Bulk));
}
