//! The npm package `ws` as a foreign peer: the suite against it as server, and it as client against
//! tidegate's server; with TLS both ways.
//!
//! Its scripts are in the directory of this name. They run in Node with the package from below `target`, where
//! npm puts it once.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tidegate::server::{AcceptOptions, accept};
use tidegate::{CloseCause, CloseOptions, Message};
use tokio::net::TcpListener;

use crate::own::{self, read_request};
use crate::suite::{self, Net as _, SHORT, open, pattern, text};
use crate::{TcpNet, block_on};

/// The scripts, in a directory that has the package.
fn scripts() -> &'static Path {
    static SCRIPTS: OnceLock<PathBuf> = OnceLock::new();
    SCRIPTS.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/native/ws");
        let lock = std::fs::read(source.join("package-lock.json")).expect("a lock file");
        let version = suite::hex(&<sha2::Sha256 as sha2::Digest>::digest(lock));
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let installed = target.join(format!("ws-{}", &version[..16]));
        let copy = |names: &[&str], to: &Path| {
            for name in names {
                std::fs::copy(source.join(name), to.join(name)).expect("it can be copied");
            }
        };
        if !installed.is_dir() {
            // Beside the final place, so that a broken installation is never taken for one.
            let fresh = target.join(format!("ws-new-{}", std::process::id()));
            std::fs::create_dir_all(&fresh).expect("a directory below target");
            copy(&["package.json", "package-lock.json", ".npmrc"], &fresh);
            let mut npm = Command::new("npm");
            npm.args(["ci", "--ignore-scripts", "--loglevel=error"]).current_dir(&fresh);
            let done = npm.output().expect("npm runs: the README says where it comes from");
            assert!(done.status.success(), "npm ci: {}", String::from_utf8_lossy(&done.stderr));
            if std::fs::rename(&fresh, &installed).is_err() {
                // Another run was faster.
                let _ = std::fs::remove_dir_all(&fresh);
            }
        }
        copy(&["server.mjs", "client.mjs", "tidegate.mjs"], &installed);
        installed
    })
}

/// Node with a script of that name, before its arguments.
pub(crate) fn node(script: &str) -> Command {
    let mut node = Command::new("node");
    node.arg(scripts().join(script));
    node
}

/// The server of all tests. It ends with this process, which holds its standard input.
struct Server {
    _child: Child,
    plain: u16,
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "what is not used is TLS"))]
    secure: u16,
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let mut node = node("server.mjs");
        #[cfg(feature = "tls")]
        node.envs(secure::server_environment());
        let mut child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node runs");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it prints its ports");
        let mut ports = line.split_whitespace().map(|port| port.parse().expect("a port"));
        let mut port = || ports.next().expect("two ports");
        Server { plain: port(), secure: port(), _child: child }
    })
}

fn net() -> TcpNet {
    TcpNet { port: server().plain }
}

/// The suite, which waits for its network.
mod whole_suite {
    use crate::TcpNet;

    fn net() -> impl Future<Output = TcpNet> {
        core::future::ready(super::net())
    }

    crate::suite::for_every_transport!(run);
    crate::suite::for_transports_with_a_task!(run);
}

#[test]
fn b29_long_messages_arrive_at_ws_in_fragments_and_come_back() {
    block_on(async {
        for fragment_bytes in [Some(1_000), Some(256 << 10), None] {
            let client =
                net().connect("/echo", |builder| builder.fragment_bytes(fragment_bytes)).await.unwrap();
            let long = pattern(29, 5_000_000);
            client.send(long.clone()).await.unwrap();
            client.send("\u{1f30a}".repeat(100_000)).await.unwrap();
            assert!(client.recv().await == Some(Message::from(long)));
            assert!(client.recv().await == Some(Message::from("\u{1f30a}".repeat(100_000))));
            assert!(client.close(1000, "").await.unwrap().was_clean);
        }
    });
}

#[test]
fn b66_pings_of_ws_between_fragments_are_answered_before_the_message_is_whole() {
    block_on(async {
        let client = open(&net(), "/fragments").await;
        assert_eq!(client.recv().await, text("\u{1f30a} one two three"));
        assert_eq!(client.recv().await, text("a,b"));
    });
}

#[test]
fn b66_ws_is_pinged_when_it_is_silent() {
    block_on(async {
        let client = net().connect("/pinged", |builder| builder.ping_after(SHORT)).await.unwrap();
        assert_eq!(client.recv().await, text("pinged with 0 bytes"));
    });
}

#[test]
fn b31_close_codes_go_both_ways_and_are_told_as_they_are() {
    block_on(async {
        for code in [1000, 3000, 4999] {
            let client = open(&net(), "/echo").await;
            let closed = client.close(code, "bye").await.unwrap();
            assert_eq!((closed.code, closed.was_clean, closed.cause), (code, true, CloseCause::Local));
        }
        let client = open(&net(), "/echo").await;
        let closed = client.close_with(CloseOptions::default()).await.unwrap();
        assert_eq!((closed.code, closed.was_clean, closed.cause), (1005, true, CloseCause::Local));

        for code in [1000, 1001, 1011, 1013, 3000, 4999] {
            let closed = open(&net(), &format!("/close?code={code}&reason=why")).await.closed().await;
            assert_eq!((closed.code, closed.reason.as_str(), closed.was_clean), (code, "why", true));
            assert_eq!(closed.cause, CloseCause::Peer);
        }
        let closed = open(&net(), "/close-without-code").await.closed().await;
        assert_eq!((closed.code, closed.was_clean), (1005, true));
        let closed = open(&net(), "/terminate").await.closed().await;
        assert_eq!((closed.code, closed.was_clean, closed.cause), (1006, false, CloseCause::Peer));
    });
}

#[test]
fn b64_what_a_server_in_node_refuses_is_told_in_full() {
    block_on(async {
        let error = net().connect("/refuse", |builder| builder).await.expect_err("it must fail");
        let refusal = error.refusal().expect("it has answered");
        assert_eq!((refusal.status, refusal.body.as_slice()), (401, &b"log in"[..]));
        assert_eq!(refusal.headers.value("www-authenticate"), Some(&b"Bearer"[..]));
    });
}

/// Runs a case of the client's script against `base`.
async fn client(case: &'static str, base: String, environment: Vec<(&'static str, String)>) {
    let done = tokio::task::spawn_blocking(move || {
        node("client.mjs").args([case, &base]).envs(environment).output().expect("node runs")
    });
    let done = done.await.unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && out == "done\n", "{case}: {out}{err}");
}

macro_rules! clients {
    ($($test:ident: $case:literal,)*) => {
        $(
            #[test]
            fn $test() {
                block_on(async {
                    let net = own::net().await;
                    client($case, format!("ws://127.0.0.1:{}", net.port), Vec::new()).await;
                });
            }
        )*
    };
}
clients! {
    b29_a_client_in_node_gets_every_message_back: "messages",
    b25_a_client_in_node_gets_many_messages_back_in_their_order: "many",
    b31_a_client_in_node_sees_close_codes_as_they_are: "closed",
    b09_a_client_in_node_gets_what_the_server_says_at_once: "burst",
    b10_a_client_in_node_gets_the_subprotocol_that_it_offered: "subprotocol",
}

#[test]
fn a_client_in_node_answers_pings_and_one_that_is_gone_is_noticed() {
    block_on(async {
        for (case, code, was_clean) in [("pinged", 4002, true), ("terminated", 1006, false)] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("ws://{}", listener.local_addr().unwrap());
            let running = tokio::spawn(client(case, base, Vec::new()));
            let mut stream = listener.accept().await.unwrap().0;
            let request = read_request(&mut stream).await.unwrap();
            let mut options = AcceptOptions::default();
            options.ping_after = Some(SHORT);
            let server = accept(stream, &request, None, options).unwrap();
            let closed = server.closed().await;
            assert_eq!((closed.code, closed.was_clean, closed.cause), (code, was_clean, CloseCause::Peer));
            running.await.unwrap();
        }
    });
}

/// With TLS by Node's OpenSSL.
#[cfg(feature = "tls")]
mod secure {
    use std::sync::OnceLock;

    use tidegate::Client;

    use super::{client, server};
    use crate::block_on;
    use crate::suite::{LONG, pattern, text};
    use crate::tls::{Issuer, net_of};

    fn issuer() -> &'static Issuer {
        static ISSUER: OnceLock<Issuer> = OnceLock::new();
        ISSUER.get_or_init(Issuer::new)
    }

    /// Certificate and key for a server in Node.
    pub(super) fn server_environment() -> [(&'static str, String); 2] {
        let (certificate, key) = issuer().pem_for_this_machine();
        [("TIDEGATE_CERTIFICATE", certificate), ("TIDEGATE_KEY", key)]
    }

    #[test]
    fn b29_a_server_in_node_is_spoken_with_over_tls() {
        block_on(async {
            let url = |route: &str| format!("wss://127.0.0.1:{}{route}", server().secure);
            let builder = Client::builder(url("/echo")).tls(issuer().trusted()).connect_within(LONG);
            let client = builder.connect().await.unwrap();
            let long = pattern(29, 2 << 20);
            client.send(long.clone()).await.unwrap();
            client.send("hello").await.unwrap();
            assert!(client.recv().await == Some(long.into()));
            assert_eq!(client.recv().await, text("hello"));
            let closed = client.close(4001, "bye").await.unwrap();
            assert_eq!((closed.code, closed.was_clean), (4001, true));
            assert_eq!(client.failure(), None);

            let closing = Client::builder(url("/burst")).tls(issuer().trusted()).connect().await.unwrap();
            assert_eq!(closing.recv().await, text("one"));
            assert_eq!(closing.closed().await.reason, "done");
        });
    }

    #[test]
    fn b29_a_client_in_node_is_served_over_tls() {
        block_on(async {
            let issuer = Issuer::new();
            let net = net_of(&issuer).await;
            for case in ["messages", "closed"] {
                let environment = vec![("TIDEGATE_ROOT", issuer.root_pem())];
                client(case, format!("wss://127.0.0.1:{}", net.port), environment).await;
            }
        });
    }
}
