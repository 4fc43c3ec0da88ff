//! The examples, run as they stand in their files.

use std::io::{Read, Write};
use std::net::TcpStream;

use tidegate::proto::error::ProtocolError;
use tidegate::proto::ws;
use tidegate::server::{AcceptOptions, accept};
use tidegate::{Client, Message};
use tokio::net::TcpListener;

use crate::own::read_request;
use crate::{block_on, raw};

#[allow(dead_code, unreachable_pub, reason = "`main` is cargo's to call")]
#[path = "../../examples/autobahn_client.rs"]
mod autobahn_client;
#[cfg(all(feature = "axum", feature = "v1", feature = "socket"))]
#[allow(dead_code, unreachable_pub, reason = "`main` is cargo's to call")]
#[path = "../../examples/axum_chat.rs"]
mod axum_chat;
#[allow(dead_code, unreachable_pub, reason = "`main` is cargo's to call")]
#[path = "../../examples/codec_over_std_tcp.rs"]
mod codec_over_std_tcp;
#[allow(dead_code, unreachable_pub, reason = "`main` is cargo's to call")]
#[path = "../../examples/echo_server.rs"]
mod echo_server;

/// The example server in the runtime of the test, as `host:port`.
async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(echo_server::serve(listener));
    address
}

/// Runs what blocks on a thread of its own, from now on.
fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> impl Future<Output = T> {
    let thread = tokio::task::spawn_blocking(work);
    async { thread.await.unwrap() }
}

#[test]
fn the_echo_server_gives_back_each_message_as_its_own_type() {
    block_on(async {
        let client = Client::builder(format!("ws://{}", server().await)).connect().await.unwrap();
        let large = vec![7; 16 << 20];
        client.send("text").await.unwrap();
        client.send(large.clone()).await.unwrap();
        assert_eq!(client.recv().await, Some(Message::from("text")));
        assert!(client.recv().await == Some(Message::from(large)));
        assert!(client.close(1000, "").await.unwrap().was_clean);
    });
}

#[test]
fn the_echo_server_refuses_what_is_larger_than_its_limit() {
    block_on(async {
        let client = Client::builder(format!("ws://{}", server().await)).connect().await.unwrap();
        client.send(vec![0; (16 << 20) + 1]).await.unwrap();
        assert_eq!(client.recv().await, None);
    });
}

#[test]
fn the_echo_server_answers_a_bad_request_and_goes_on() {
    block_on(async {
        let address = server().await;
        let there = address.clone();
        let answer = blocking(move || {
            let mut stream = TcpStream::connect(there).unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        let answer = answer.await;
        assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
        let client = Client::builder(format!("ws://{address}")).connect().await.unwrap();
        client.send("still there").await.unwrap();
        assert_eq!(client.recv().await, Some(Message::from("still there")));
    });
}

#[test]
fn the_codec_alone_asks_and_closes_cleanly() {
    block_on(async {
        let address = server().await;
        let answer = blocking(move || codec_over_std_tcp::ask(&address, "caf\u{e9}")).await;
        assert_eq!(answer.unwrap(), ws::Message::from("caf\u{e9}"));
    });
}

#[test]
fn the_codec_alone_says_what_went_wrong() {
    block_on(async {
        let nobody = format!("127.0.0.1:{}", raw::closed_port());
        let failed = blocking(move || codec_over_std_tcp::ask(&nobody, "")).await;
        assert!(failed.is_err());
        let failed = blocking(|| codec_over_std_tcp::ask("no port", "")).await;
        assert!(failed.is_err());

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        // A text that is not UTF-8, behind the response.
        let broken = blocking(move || {
            let mut stream = listener.accept().unwrap().0;
            let head = raw::read_head(&mut stream);
            raw::say_and_listen(stream, &[&raw::accept(&head)[..], b"\x81\x01\xff"].concat())
        });
        let failed = blocking(move || codec_over_std_tcp::ask(&address, "Hello")).await;
        assert_eq!(failed.unwrap_err().to_string(), ProtocolError::InvalidUtf8.to_string());
        let heard = broken.await;
        let mut server = ws::Connection::new(ws::Role::Server, ws::Limits::default());
        server.receive(&heard);
        assert_eq!(server.poll_event(ws::no_key), Ok(Some(ws::Event::Message("Hello".into()))));
        let Ok(Some(ws::Event::Close(Some(close)))) = server.poll_event(ws::no_key) else {
            panic!("the fault was not told")
        };
        assert_eq!(close.code(), ws::CloseCode::INVALID_DATA);
    });
}

#[test]
fn the_autobahn_client_runs_every_case_and_asks_for_the_report() {
    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            // Not ready yet: the client has to try again.
            drop(listener.accept().await.unwrap());
            let mut asked = Vec::new();
            while asked.len() < 4 {
                let mut stream = listener.accept().await.unwrap().0;
                let request = read_request(&mut stream).await.unwrap();
                let peer = accept(stream, &request, None, AcceptOptions::default()).unwrap();
                if request.target == "/getCaseCount" {
                    peer.send("2").await.unwrap();
                }
                if request.target.starts_with("/runCase") {
                    for message in [Message::from("text"), Message::from(b"\xff")] {
                        peer.send(message).await.unwrap();
                    }
                    assert_eq!(peer.recv().await, Some(Message::from("text")));
                    assert_eq!(peer.recv().await, Some(Message::from(b"\xff")));
                }
                peer.close(1000, "").await.unwrap();
                asked.push(request.target);
            }
            asked
        });
        autobahn_client::run_cases(url.trim_end_matches('/'), "me-1.0").await.unwrap();
        let expected = [
            "/getCaseCount",
            "/runCase?case=1&agent=me-1.0",
            "/runCase?case=2&agent=me-1.0",
            "/updateReports?agent=me-1.0",
        ];
        assert_eq!(server.await.unwrap(), expected);
        assert!(autobahn_client::run_cases(&url, "a&b").await.is_err());
    });
}

#[cfg(all(feature = "axum", feature = "v1", feature = "socket"))]
#[test]
fn the_chat_goes_on_beside_telemetry_and_refuses_other_channels() {
    use tidegate::server::axum::{Endpoint, Origins, WithoutOrigin};
    use tidegate::{ChannelCode, ChannelEnd, ChannelOptions, Mode};

    block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/live", listener.local_addr().unwrap());
        let app = axum_chat::app(Endpoint::new(Origins::any(WithoutOrigin::Accept)));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let connect = || Client::builder(&url).mode(Mode::Tidegate).connect();
        let (one, two) = (connect().await.unwrap(), connect().await.unwrap());
        let mut chats = Vec::new();
        for client in [&one, &two] {
            let chat = client.channel("chat", ChannelOptions::urgent()).await.unwrap();
            // Taken up by the room, once it comes back.
            chat.send("hello").await.unwrap();
            while chat.recv().await != Some("hello".into()) {}
            chats.push(chat);
        }
        assert_eq!(chats[0].recv().await, Some("hello".into()));
        let telemetry = one.channel("telemetry", ChannelOptions::bulk()).await.unwrap();
        for _ in 0..10 {
            telemetry.send(vec![0; 1 << 20]).await.unwrap();
        }
        chats[0].send("in between").await.unwrap();
        for chat in &chats {
            assert_eq!(chat.recv().await, Some("in between".into()));
        }
        telemetry.close();
        assert_eq!(telemetry.recv().await, Some((10 << 20).to_string().into()));
        assert_eq!(telemetry.recv().await, None);
        // Who has said everything gets no more, and the others go on; so do they when a connection is gone.
        chats[1].close();
        while chats[1].recv().await.is_some() {}
        assert_eq!(chats[1].receiver().ended(), Some(ChannelEnd::Closed));
        drop(two.close(1000, ""));
        two.closed().await;
        chats[0].send("alone").await.unwrap();
        assert_eq!(chats[0].recv().await, Some("alone".into()));
        // Who speaks something else would wait here for ever.
        let closed = Client::builder(&url).connect().await.unwrap().closed().await;
        assert_eq!((closed.code, closed.reason.as_str()), (1000, "speak tidegate.v1"));
        let other = one.channel("other", ChannelOptions::new()).await.unwrap();
        assert_eq!(other.recv().await, None);
        let end = ChannelEnd::Reset { code: ChannelCode::Refused, detail: b"chat or telemetry".to_vec() };
        assert_eq!((other.sender().stopped().await, other.receiver().ended()), (end.clone(), Some(end)));
    });
}
