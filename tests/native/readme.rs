//! The README's Rust, run as it stands there.

use tidegate::server::{AcceptOptions, accept};
use tidegate::{Client, Message, SendOptions, TryRecvError};
use tokio::net::TcpListener;

use crate::block_on;
use crate::own::read_request;

/// The block of the README, to the letter.
mod example {
    #![allow(clippy::print_stdout, reason = "the README shows what comes")]
    use tidegate::{Client, Message};

    pub(super) async fn chat(url: &str) -> Result<(), Box<dyn std::error::Error>> {
        let client = Client::builder(url).subprotocol("chat.v2").connect().await?; // open now
        let (tx, rx) = client.split(); // both are Send, and tx is Clone
        let ticket = tx.send("hello").await?; // queued; waits if the queue is full
        println!("{:?}", ticket.await); // HandedOver: the browser, or tidegate's own writer, has it
        while let Some(message) = rx.recv().await {
            if let Message::Text(text) = message {
                println!("{text}");
            }
        }
        let closed = client.closed().await; // the same on every handle
        println!("{} {:?}, unsent: {:?}", closed.code, closed.cause, closed.unsent);
        Ok(())
    }
}

/// A frame loop of the host: connects inside a runtime, and is never in it itself.
#[test]
fn b11_a_loop_outside_the_runtime_is_served() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let handle = runtime.handle().clone();
    let (stop, mut stopped) = tokio::io::duplex(1);
    let thread = std::thread::spawn(move || {
        runtime.block_on(tokio::io::AsyncReadExt::read(&mut stopped, &mut [0])).unwrap()
    });
    let net = handle.block_on(crate::own::net());
    let mut opening = handle.spawn(Client::builder(net.url("/echo")).connect());
    let limit = std::time::Instant::now() + crate::suite::LONG;
    let frame = || {
        assert!(std::time::Instant::now() < limit, "the test hangs");
        std::thread::yield_now();
    };
    while !opening.is_finished() {
        frame();
    }
    let client = handle.block_on(&mut opening).unwrap().unwrap();
    for number in 0..100 {
        let place = number.to_string();
        client.try_send_with(place.as_str(), SendOptions::urgent()).unwrap();
        let back = loop {
            match client.try_recv() {
                Ok(message) => break message,
                Err(error) => assert_eq!(error, TryRecvError::Empty),
            }
            frame();
        };
        assert_eq!(back, Message::from(place));
    }
    drop(client);
    drop(stop);
    assert_eq!(thread.join().unwrap(), 0, "it runs until the end of the stream");
}

#[test]
fn the_readme_shows_what_runs_here() {
    let lines = |text: &'static str| text.lines().map(str::trim).filter(|line| !line.is_empty());
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once("```rust,no_run\n").expect("the README has a block of Rust");
    let (block, _) = rest.split_once("```").expect("the block has an end");
    let here: Vec<_> =
        lines(include_str!("readme.rs")).map(|line| line.trim_start_matches("pub(super) ")).collect();
    let first = lines(block).next().expect("the block is not empty");
    let start = here.iter().position(|line| *line == first).expect("the block begins here too");
    for (shown, run) in lines(block).zip(here[start..].iter()) {
        assert_eq!(shown, *run);
    }
}

#[test]
fn the_readmes_rust_runs() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let mut stream = listener.accept().await.unwrap().0;
            let request = read_request(&mut stream).await.expect("an opening request");
            let peer =
                accept(stream, &request, request.choose(&["chat.v2"]), AcceptOptions::default()).unwrap();
            let hello = peer.recv().await.unwrap();
            peer.send(hello).await.unwrap();
            peer.close(1000, "bye").await.unwrap()
        });
        example::chat(&format!("ws://127.0.0.1:{port}/live")).await.unwrap();
        assert!(server.await.unwrap().was_clean);
    });
}
