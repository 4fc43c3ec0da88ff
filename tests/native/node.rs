//! tidegate's client on the host against the server of the npm package, in Node over the package ws.
//!
//! The package is built by `cargo xtask dist`, which does nothing where nothing has changed.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tidegate::proto::v1::ChannelCode;
use tidegate::{
    ChannelEnd, ChannelOptions, Client, CloseCause, Message, Mode, Outcome, SendLimits, SendOptions,
};

use crate::block_on;
use crate::suite::pattern;
use crate::ws::node;

/// It ends with this process, which holds its standard input.
struct Server {
    _child: Child,
    url: String,
}

/// The server of all tests.
fn url() -> &'static str {
    static SERVER: OnceLock<Server> = OnceLock::new();
    let server = SERVER.get_or_init(|| {
        let mut child = node("tidegate.mjs")
            .arg(package())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node runs");
        let mut port = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut port).expect("it prints its port");
        Server { url: format!("ws://127.0.0.1:{}/", port.trim()), _child: child }
    });
    &server.url
}

/// Where the npm package is, unpacked.
fn package() -> PathBuf {
    let mut dist = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    dist.args(["run", "--quiet", "--package", "xtask", "--", "dist"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let done = dist.output().expect("cargo runs");
    let out = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{out}{}", String::from_utf8_lossy(&done.stderr));
    let tarball = PathBuf::from(out.lines().last().expect("it prints where the tarball is"));
    tarball.with_file_name("tidegate")
}

async fn connect() -> Client {
    Client::builder(url()).mode(Mode::Tidegate).connect().await.expect("it speaks tidegate.v1")
}

/// Runs a test once the server is there, which is not in its time.
fn with_server(test: impl Future<Output = ()>) {
    url();
    block_on(test);
}

#[test]
fn b29_messages_of_the_connection_come_back_and_are_delivered() {
    with_server(async {
        let client = connect().await;
        let messages: [fn() -> Message; 5] = [
            || Message::from(""),
            || Message::from("hello"),
            || Message::from(Vec::new()),
            || Message::from(pattern(29, 3_000_000)),
            || Message::from("\u{1f30a}".repeat(750_000)),
        ];
        for message in messages {
            let ticket = client.send(message()).await.unwrap();
            assert!(client.recv().await == Some(message()));
            assert_eq!(ticket.await, Outcome::Delivered);
        }
        let closed = client.close(1000, "bye").await.unwrap();
        assert_eq!((closed.code, closed.was_clean, closed.cause), (1000, true, CloseCause::Local));
        assert_eq!((closed.unsent.messages, closed.unknown.messages), (0, 0));
    });
}

#[test]
fn an_urgent_message_passes_those_of_three_megabytes() {
    with_server(async {
        let client = connect().await;
        for _ in 0..5 {
            client.send_with(pattern(1, 3_000_000), SendOptions::bulk()).await.unwrap();
        }
        client.send_with("now", SendOptions::urgent()).await.unwrap();
        let mut before = 0;
        while client.recv().await.unwrap() != Message::from("now") {
            before += 1;
        }
        assert!(before < 5, "it came last");
    });
}

#[test]
fn channels_go_both_ways_are_closed_and_refused() {
    with_server(async {
        let client = connect().await;
        let mut offered = client.channels();
        let limits = SendLimits { max_queued_bytes: 64 << 20, ..SendLimits::default() };
        let chat = client.channel("chat", ChannelOptions::new()).await.unwrap();
        let there = client.channel("own", ChannelOptions::bulk().send_limits(limits)).await.unwrap();
        for seed in 0..4 {
            there.send(pattern(seed, 3_000_000)).await.unwrap();
        }
        let back = offered.accept().await.unwrap();
        assert_eq!(back.name(), "own");
        for round in 0..100 {
            chat.send(round.to_string()).await.unwrap();
            assert_eq!(chat.recv().await, Some(round.to_string().into()));
        }
        for seed in 0..4 {
            assert!(back.recv().await == Some(pattern(seed, 3_000_000).into()));
        }
        there.close();
        assert_eq!(back.recv().await, None);
        assert_eq!(back.receiver().ended(), Some(ChannelEnd::Closed));
        assert_eq!(there.recv().await, None);
        let refused = client.channel("refuse", ChannelOptions::new()).await.unwrap();
        assert_eq!(refused.recv().await, None);
        let end = ChannelEnd::Reset { code: ChannelCode::Application, detail: b"no".to_vec() };
        assert_eq!(refused.receiver().ended(), Some(end.clone()));
        assert_eq!(refused.sender().stopped().await, end);
        client.close(1000, "").await.unwrap();
    });
}

#[test]
fn a_server_that_closes_or_goes_away_is_told_apart() {
    with_server(async {
        let client = connect().await;
        client.send("close").await.unwrap();
        assert_eq!(client.recv().await, None);
        let closed = client.closed().await;
        assert_eq!((closed.code, closed.reason.as_str(), closed.cause), (4200, "enough", CloseCause::Peer));

        let client = connect().await;
        let chat = client.channel("chat", ChannelOptions::new()).await.unwrap();
        client.send("leave").await.unwrap();
        // What is open goes on.
        for round in 0..20 {
            chat.send(round.to_string()).await.unwrap();
            assert_eq!(chat.recv().await, Some(round.to_string().into()));
        }
        chat.close();
        assert_eq!(chat.recv().await, None);
        let closed = client.closed().await;
        assert_eq!((closed.code, closed.was_clean, closed.cause), (4200, true, CloseCause::Peer));
    });
}

#[test]
fn plain_clients_are_served_beside() {
    with_server(async {
        for subprotocol in [None, Some("chat.v2")] {
            let mut builder = Client::builder(url());
            if let Some(name) = subprotocol {
                builder = builder.subprotocol(name);
            }
            let client = builder.connect().await.unwrap();
            assert_eq!(
                (client.mode(), client.protocol().as_str()),
                (Mode::Plain, subprotocol.unwrap_or_default())
            );
            client.send(pattern(3, 3_000_000)).await.unwrap();
            assert!(client.recv().await == Some(pattern(3, 3_000_000).into()));
            client.send("close").await.unwrap();
            assert_eq!(client.recv().await, None);
            let closed = client.closed().await;
            assert_eq!((closed.code, closed.reason.as_str()), (4001, "enough"));
        }
    });
}
