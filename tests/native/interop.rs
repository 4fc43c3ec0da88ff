//! The peer of `tidegate.v1` in Python, from `tests/interop`: this crate's client against its `serve`, its `connect`
//! against this crate's server; and its own tests.
//!
//! It runs in an environment below `target` that is made once, by the Python that `PYTHON3` names, else by `python3`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use tidegate::proto::ws::HeadLimits;
use tidegate::server::{AcceptOptions, accept, read_request};
use tidegate::{Channel, ChannelEnd, ChannelOptions, Client, Message, Mode, Outcome};
use tokio::net::TcpListener;

use crate::block_on;
use crate::suite::{self, text};

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop")
}

/// The interpreter of an environment that has what the peer requires.
fn interpreter() -> &'static Path {
    static INTERPRETER: OnceLock<PathBuf> = OnceLock::new();
    INTERPRETER.get_or_init(|| {
        let named = std::env::var_os("PYTHON3").filter(|name| !name.is_empty());
        let python = named.unwrap_or_else(|| "python3".into());
        let requirements = sources().join("requirements.txt");
        let mut key = std::fs::read(&requirements).expect("it is there");
        key.extend_from_slice(python.as_encoded_bytes());
        let key = suite::hex(&<sha2::Sha256 as sha2::Digest>::digest(&key));
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let place = target.join(format!("python-{}", &key[..16]));
        if !place.is_dir() {
            // Beside the final place, so that a broken installation is never taken for one.
            let fresh = target.join(format!("python-new-{}", std::process::id()));
            succeeds(Command::new(&python).args(["-m", "venv", "--clear"]).arg(&fresh));
            let mut pip = Command::new(fresh.join("bin/python3"));
            pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", "-r"]);
            succeeds(pip.arg(&requirements));
            if std::fs::rename(&fresh, &place).is_err() {
                // Another run was faster.
                let _ = std::fs::remove_dir_all(&fresh);
            }
        }
        place.join("bin/python3")
    })
}

/// What `command` says if it succeeds.
fn succeeds(command: &mut Command) -> String {
    let done = command.output();
    let Output { status, stdout, stderr } = done.expect(
        "Python runs: 3.11 or newer, with venv; name it in PYTHON3, or install python3 and python3-venv",
    );
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{out}{err}");
    out.into_owned()
}

/// A script of the peer, without files beside it.
fn python(arguments: &[&str]) -> Command {
    let mut python = Command::new(interpreter());
    python.args(["-E", "-s", "-B"]).args(arguments).current_dir(sources());
    python
}

/// `serve` on a free port; ends when it is dropped.
struct Serving {
    child: Child,
    url: String,
}

impl Serving {
    fn start() -> Self {
        let mut child = python(&["peer.py", "serve"]).stdout(Stdio::piped()).spawn().expect("Python runs");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped"))
            .read_line(&mut line)
            .expect("it says its address");
        let url = line.trim().strip_prefix("listening on ").expect("its address").to_owned();
        Self { child, url }
    }

    async fn connect(&self) -> Client {
        Client::builder(&self.url).mode(Mode::Tidegate).connect().await.expect("it is there")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Byte i is i modulo 251, as the peer counts.
fn counted(len: usize) -> Message {
    (0..=250).cycle().take(len).collect::<Vec<u8>>().into()
}

fn items() -> Vec<Message> {
    let texts = ["", "hello", &"Gr\u{fc}\u{df}e, \u{1d11e}".repeat(20_000)].map(Message::from);
    texts.into_iter().chain([0, 1, 511, 512, 65_536, 300_000].map(counted)).collect()
}

#[test]
fn v1_the_python_peer_has_all_vectors_right_and_passes_its_own_test() {
    let said = succeeds(&mut python(&["vectors.py"]));
    let (right, all) = said.trim().strip_suffix(" right").and_then(|said| said.split_once(" of ")).unwrap();
    assert_eq!(right, all);
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/tidegate-v1.json");
    let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(vectors).unwrap()).unwrap();
    let lists = vectors
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| !["about", "resume_checks"].contains(&name.as_str()));
    let count: usize = lists.filter_map(|(_, list)| list.as_array()).map(Vec::len).sum();
    assert_eq!(all, count.to_string());
    succeeds(&mut python(&["-W", "error", "-m", "unittest", "vectors"]));
}

#[test]
fn v1_items_of_all_sizes_come_back_from_python_and_its_direction_ends_after_ours() {
    block_on(async {
        let serving = Serving::start();
        let client = serving.connect().await;
        let echo = client.channel("echo", ChannelOptions::new()).await.unwrap();
        let sending = async {
            let mut tickets = Vec::new();
            for item in items() {
                tickets.push(echo.send(item).await.unwrap());
            }
            echo.close();
            for ticket in tickets {
                assert_eq!(ticket.await, Outcome::Delivered);
            }
        };
        let receiving = async {
            for item in items() {
                let back = echo.recv().await;
                assert!(back.as_ref() == Some(&item), "{back:?} and not {item:?}");
            }
            assert_eq!(echo.recv().await, None);
            assert_eq!(echo.receiver().ended(), Some(ChannelEnd::Closed));
        };
        futures_util::future::join(sending, receiving).await;
        // What names no channel goes on one without a name, and comes back on it.
        client.send("unnamed").await.unwrap();
        assert_eq!(client.recv().await, text("unnamed"));
        let closed = client.close(1000, "").await.unwrap();
        assert_eq!((closed.code, closed.was_clean, closed.unknown.messages), (1000, true, 0));
    });
}

#[test]
fn v1_a_channel_that_python_opens_arrives_and_ends() {
    block_on(async {
        let serving = Serving::start();
        let client = serving.connect().await;
        let greeting = client.channels().accept().await.unwrap();
        assert_eq!(greeting.name(), "greeting");
        assert_eq!(greeting.recv().await, text("hello from python"));
        assert_eq!(greeting.recv().await, Some(counted(0)));
        assert!(greeting.recv().await == Some(counted(100_000)));
        assert_eq!(greeting.recv().await, None);
        assert_eq!(greeting.receiver().ended(), Some(ChannelEnd::Closed));
    });
}

#[test]
fn v1_python_sees_more_channels_in_turn_than_may_be_open_at_once() {
    block_on(async {
        // It allows 16 at once, and more only when those have ended and their handlers have stopped.
        let serving = Serving::start();
        let client = serving.connect().await;
        for number in 0..50 {
            let channel = client.channel(&format!("number {number}"), ChannelOptions::new()).await.unwrap();
            channel.send(number.to_string()).await.unwrap();
            channel.close();
            assert_eq!(channel.recv().await, text(&number.to_string()));
            assert_eq!(channel.recv().await, None);
        }
    });
}

#[test]
fn v1_what_waits_for_its_channel_when_this_side_goes_away_still_reaches_python() {
    block_on(async {
        let serving = Serving::start();
        let client = serving.connect().await;
        let (mut channels, mut tickets) = (Vec::new(), Vec::new());
        // More than it allows at once: those behind are opened after GOAWAY.
        for number in 0..40 {
            let channel = client.channel("late", ChannelOptions::new()).await.unwrap();
            tickets.push(channel.send(number.to_string()).await.unwrap());
            channel.close();
            channels.push(channel);
        }
        let closed = client.close(1000, "").await.unwrap();
        assert_eq!((closed.unsent.messages, closed.unknown.messages), (0, 0));
        for ticket in tickets {
            assert_eq!(ticket.await, Outcome::Delivered);
        }
    });
}

#[test]
fn v1_python_connects_to_python_and_gets_the_greeting_too() {
    let serving = Serving::start();
    assert_eq!(succeeds(&mut python(&["peer.py", "connect", &serving.url, "--greeting"])), "ok\n");
}

/// Sends back what comes, and ends behind it.
async fn echo(channel: Channel) {
    while let Some(item) = channel.recv().await {
        if channel.send(item).await.is_err() {
            return;
        }
    }
    channel.close();
}

#[test]
fn v1_python_connects_to_this_server_and_everything_comes_back() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let connecting =
            tokio::task::spawn_blocking(move || succeeds(&mut python(&["peer.py", "connect", &url])));
        let mut stream = listener.accept().await.unwrap().0;
        let request = read_request(&mut stream, HeadLimits::default()).await.unwrap();
        assert_eq!(request.subprotocols, ["tidegate.v1"]);
        let server = accept(stream, &request, Some("tidegate.v1"), AcceptOptions::default()).unwrap();
        let mut channels = server.channels();
        let mut names = Vec::new();
        while let Some(channel) = channels.accept().await {
            names.push(channel.name().to_owned());
            tokio::spawn(echo(channel));
        }
        assert_eq!(names, ["echo", "given up"]);
        let closed = server.closed().await;
        // One may have been under way on the channel that was given up.
        assert!(closed.was_clean && closed.unknown.messages <= 1, "{closed:?}");
        assert_eq!(connecting.await.unwrap(), "ok\n");
    });
}

#[test]
fn v1_python_says_what_a_faulty_echo_changed() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let connecting = tokio::task::spawn_blocking(move || {
            python(&["peer.py", "connect", &url]).output().expect("Python runs")
        });
        let mut stream = listener.accept().await.unwrap().0;
        let request = read_request(&mut stream, HeadLimits::default()).await.unwrap();
        let server = accept(stream, &request, Some("tidegate.v1"), AcceptOptions::default()).unwrap();
        let channel = server.channels().accept().await.unwrap();
        channel.send("hell").await.unwrap();
        let connected = connecting.await.unwrap();
        assert_eq!(connected.status.code(), Some(1));
        let said = String::from_utf8(connected.stderr).unwrap();
        assert_eq!(said.trim(), "differs: channel 0: 'hell' and not 'hello'");
    });
}
