//! The suite against tidegate's own server: the same driver at both ends.

use sha2::{Digest, Sha256};
use tidegate::proto::ws::{HeadLimits, Request, ServerHandshake};
use tidegate::server::{AcceptOptions, accept};
use tidegate::{Client, Message, SendError, SendLimits};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::TcpNet;
use crate::raw::parameter;
use crate::suite::{Net, hex};

/// A server in the runtime of the test.
pub(crate) async fn net() -> TcpNet {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(serve(stream));
        }
    });
    TcpNet { port }
}

/// Reads the request; `None` if the client has gone before it had said it.
pub(crate) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<Request> {
    let mut handshake = ServerHandshake::new(HeadLimits::default());
    let mut bytes = [0; 4096];
    loop {
        let n = stream.read(&mut bytes).await.ok().filter(|n| *n > 0)?;
        if let Some(request) = handshake.receive(&bytes[..n]).expect("a valid request") {
            return Some(request);
        }
    }
}

/// Serves one connection.
pub(crate) async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    serve_with(stream, AcceptOptions::default()).await;
}

/// Serves one connection, accepted with `options`.
pub(crate) async fn serve_with(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    options: AcceptOptions,
) {
    let Some(request) = read_request(&mut stream).await else { return };
    let target = request.target.clone();
    let path = target.split('?').next().expect("it has a first part");
    let chosen = request.subprotocols.first().cloned().filter(|_| path == "/subprotocol");
    match path {
        "/never" => {
            // Held until the client goes.
            let _ = stream.read(&mut [0; 16]).await;
        }
        "/stall" => {
            let response = request.accept(None).expect("nothing is chosen").to_bytes();
            stream.write_all(&response).await.expect("it is there");
            core::future::pending::<()>().await;
        }
        _ => {
            let client = accept(stream, &request, chosen.as_deref(), options).expect("it was offered");
            talk(client, path, &target).await;
        }
    }
}

async fn talk(client: Client, path: &str, target: &str) {
    match path {
        "/echo" => {
            while let Some(message) = client.recv().await {
                if client.send(message).await.is_err() {
                    return;
                }
            }
        }
        "/sink" => sink(&client).await,
        "/close" => {
            let code = parameter(target, "code").parse().expect("a code");
            client.close(code, &parameter(target, "reason")).await.expect("it may be sent");
        }
        "/burst" => {
            for message in [Message::from("one"), Message::from(&[1, 2, 3]), Message::from("three")] {
                client.try_send(message).expect("there is room");
            }
            client.close(4001, "done").await.expect("it may be sent");
        }
        "/flood" => {
            let number = |name| parameter(target, name).parse::<usize>().expect("a number");
            for _ in 0..number("messages") {
                if client.send(vec![0; number("bytes")]).await.is_err() {
                    return;
                }
            }
            client.closed().await;
        }
        "/subprotocol" => while client.recv().await.is_some() {},
        other => panic!("there is no route {other}"),
    }
}

async fn sink(client: &Client) {
    let (mut messages, mut bytes, mut digest) = (0_u64, 0_u64, Sha256::new());
    while let Some(message) = client.recv().await {
        let payload = match &message {
            Message::Text(text) if text == "report" => {
                let sha256 = hex(&digest.clone().finalize());
                let report = format!(r#"{{"messages":{messages},"bytes":{bytes},"sha256":"{sha256}"}}"#);
                if client.send(report).await.is_err() {
                    return;
                }
                continue;
            }
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
            other => panic!("on the host there are text and bytes: {other:?}"),
        };
        messages += 1;
        bytes += payload.len() as u64;
        digest.update(payload);
    }
}

crate::suite::for_every_transport!(run);
crate::suite::for_transports_with_a_task!(run);

#[test]
fn b40_senders_on_other_threads_lose_nothing_and_each_keeps_its_order() {
    const THREADS: usize = 8;
    const EACH: usize = 1_000;
    crate::block_on(async {
        let limits = SendLimits { max_queued_messages: 16, ..SendLimits::default() };
        let net = net().await;
        let client = net.connect("/echo", |builder| builder.send_limits(limits)).await.expect("it opens");
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (sender, _receiver) = client.split();
                std::thread::spawn(move || {
                    for number in 0..EACH {
                        let mut message = Message::from(format!("{thread} {number}"));
                        while let Err(error) = sender.try_send(message) {
                            let SendError::Full(back) = error else { panic!("{error}") };
                            message = back;
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let mut due = [0; THREADS];
        for _ in 0..THREADS * EACH {
            let text = client.recv().await.and_then(|message| message.into_text().ok()).expect("a text");
            let (thread, number) = text.split_once(' ').expect("two numbers");
            let number_due = &mut due[thread.parse::<usize>().expect("a number")];
            assert_eq!(number, number_due.to_string());
            *number_due += 1;
        }
        assert_eq!(due, [EACH; THREADS]);
        for thread in threads {
            thread.join().expect("it has sent all");
        }
    });
}
